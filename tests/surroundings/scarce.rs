//! What a machine has too little of: kernel events, descriptors, processes. Nothing is lost or charged for want of them; it
//! is said; and the work goes on when there is enough again.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::sight::{events, logged, place, tasks};
use crate::world::{Started, World, json as read_json};
use crate::{Group, done_once, held_for, is_root, real, released, wrap};

/// A user who is nobody else's in these tests, so that only they have too little.
fn of_a_user(uid: u32) -> World {
    let mut world = World::new();
    world.uid = Some(uid);
    for dir in [world.root(), world.home(), world.logs()] {
        nix::unistd::chown(&dir, Some(uid.into()), Some(uid.into())).unwrap();
    }
    world
}

/// Takes every inotify instance that its user may have, says so, and keeps them until it is killed.
const TAKE_ALL: &str = r"
import ctypes, os, signal, sys
os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
libc, n = ctypes.CDLL(None), 0
while libc.inotify_init() >= 0: n += 1
print('all', n, 'taken', flush=True)
signal.pause()
";

#[test]
fn when_another_program_of_its_user_has_all_kernel_events_drops_are_found_by_looking() {
    if !is_root() {
        return;
    }
    let Some(python) = real::program("python3") else { return };
    let world = of_a_user(61_184);
    let most: u64 =
        fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap().trim().parse().unwrap();
    let mut filler = Command::new("prlimit");
    filler.arg(format!("--nofile={}", most + 64)).arg(python).args(["-c", TAKE_ALL, "61184"]);
    let filler = world.start(&mut filler, "filler");
    let said = || fs::read_to_string(world.logs().join("filler.err")).unwrap().contains("taken");
    world.until("all are taken", || said().then_some(()));

    let watcher = world.up("marie");
    for (n, dir) in ["", "marie/pending", "marie/staged"].iter().enumerate() {
        world.submit(dir, &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
    }
    for n in 0..3 {
        done_once(&world, "marie/completed", &format!("t{n}"));
    }
    assert!(!logged(&world, "marie", "looking every few seconds instead").is_empty(), "{}", world.said());
    let doctor = world.agentctl(&["doctor"]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let of_all = format!("inotify: {most} of {most} instances are used");
    assert!(told.contains(&of_all) && told.contains("max_user_instances"), "{told}");

    // Once there are some again the worker hears at once: several drops within one round of looking.
    filler.murder();
    let pid = watcher.pid();
    world.until("it watches again", || {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        fds.filter_map(|it| fs::read_link(it.path()).ok())
            .any(|it| it.to_string_lossy().contains("inotify"))
            .then_some(())
    });
    world.submit("", "heard", &json!({"prompt": "fake: succeed"}));
    done_once(&world, "marie/completed", "heard");
    assert_eq!(watcher.stop(), 0);
}

/// The watcher in a control group that lets it have no process or thread more than it has.
#[test]
fn a_container_that_has_all_the_processes_it_may_holds_its_worker_until_there_are_more() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let hierarchy = if fs::exists("/sys/fs/cgroup/pids").unwrap() { "pids" } else { "" };
    let Some(group) = Group::new(&world, hierarchy) else { return };
    if !group.0.join("pids.max").exists() {
        real::skip("no control group here counts processes");
        return;
    }
    let watcher = world.up("marie");
    group.take(&watcher);
    world.submit("marie/pending", "before", &json!({"prompt": "fake: succeed"}));
    done_once(&world, "marie/completed", "before");
    let now = group.get("pids.current");
    group.set("pids.max", &now);
    for n in 0..3 {
        world.submit("marie/pending", &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
    }
    let hold = held_for(&world, "no more processes");
    assert!(hold["remedy"].as_str().unwrap().contains("TasksMax="), "{hold}");
    let shown = world.agentctl(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned() + &String::from_utf8_lossy(&shown.stderr);
    assert!(shown.contains("no more processes"), "{shown}");
    group.set("pids.max", "max");
    for n in 0..3 {
        let name = format!("t{n}");
        let task = world.filed("marie/completed", &name);
        assert_eq!(events(&world, "start", &name).len(), 1);
        let charged = task["attempts"].as_array().unwrap().iter().filter(|it| it["charged"] == true).count();
        assert_eq!((charged, task["retry_count"].as_u64().unwrap_or(0)), (0, 0), "{task}");
    }
    released(&world);
    assert_eq!(watcher.stop(), 0);
}

/// The command under a limit of a resource, from its first instruction on.
fn under(world: &World, limit: &str, inner: &Command) -> Command {
    let mut outer = Command::new("prlimit");
    outer.arg(limit);
    let mut command = wrap(world, outer, inner);
    if let Some(uid) = world.uid {
        command.uid(uid).gid(uid);
    }
    command
}

/// What came of a start under a limit: it said why it does not start, or it works and loses nothing.
fn says_or_works(world: &World, mut watcher: Started, tag: &str) -> &'static str {
    let done = place(world, "marie/completed/t.json");
    let held = || {
        let state = read_json(&world.root().join("workers/marie/state.json"))?;
        let reason = state["hold"]["reason"].as_str()?;
        (state["status"] == "degraded" && !reason.is_empty()).then_some("holds")
    };
    let ended = world.until(&format!("{tag}: it works, holds, or has ended"), || {
        if watcher.is_over() {
            return Some("ends");
        }
        let waits = || {
            let said = fs::read_to_string(world.logs().join(format!("{tag}.err"))).ok()?;
            let words = ["not at work yet, and waiting", "claiming nothing"];
            let line = said.lines().find(|it| words.iter().any(|word| it.contains(word)))?;
            (line.contains("remedy") && line.contains("raise the limit")).then_some("waits")
        };
        done.exists().then_some("works").or_else(held).or_else(waits)
    });
    if ended == "ends" {
        let said = fs::read_to_string(world.logs().join(format!("{tag}.err"))).unwrap();
        assert!(!said.trim().is_empty(), "{tag}: it ended without a word");
        assert!(!said.contains("panicked"), "{tag}: {said}");
        let code = watcher.ended();
        assert!([69, 70, 71, 73, 74, 75, 77, 78].contains(&code), "{tag}: ended with {code}\n{said}");
    } else {
        assert_eq!(watcher.stop(), 0, "{tag}: {}", world.said());
    }
    ended
}

/// Starts under each of these limits, one after the other; what came of it.
fn starts_under(world: &World, what: &str, limits: &[u64]) -> String {
    assert_eq!(world.up("marie").stop(), 0);
    let mut told = Vec::new();
    for most in limits {
        let tag = format!("{what}-{most}");
        world.submit("marie/pending", "t", &json!({"prompt": "fake: succeed"}));
        let limit = format!("--{what}={most}");
        let watcher = world.start(&mut under(world, &limit, &world.watcher("marie")), &tag);
        told.push((most, says_or_works(world, watcher, &tag)));
        // With enough it is done, whatever came before, and nothing was charged.
        let watcher = world.up("marie");
        let task = world.filed("marie/completed", "t");
        let charged: Vec<&Value> =
            task["attempts"].as_array().unwrap().iter().filter(|it| it["charged"] == true).collect();
        assert!(charged.is_empty() && task["retry_count"].as_u64().unwrap_or(0) == 0, "{tag}: {task}");
        assert_eq!(tasks(world, "marie/completed"), ["t.json"], "{tag}");
        assert_eq!(watcher.stop(), 0);
        fs::remove_file(place(world, "marie/completed/t.json")).unwrap();
    }
    format!("{what}: {told:?}")
}

#[test]
fn with_few_descriptors_a_worker_works_or_says_why_not_and_charges_nothing() {
    println!("{}", starts_under(&World::new(), "nofile", &[4, 8, 12, 16, 20, 24, 28, 32, 40]));
}

#[test]
fn with_few_processes_a_worker_works_or_says_why_not_and_charges_nothing() {
    if !is_root() {
        return;
    }
    println!("{}", starts_under(&of_a_user(61_185), "nproc", &[1, 2, 3, 4, 6, 8]));
}
