//! More than the kernel tells: a queue of events that overflows, and no events at all.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::real;
use crate::sight::{journal, logged, names, place, tasks};
use crate::world::{Started, World};

/// More than `fs.inotify.max_queued_events`, which is 16384 unless somebody raised it.
const MANY: usize = 20_000;
/// So many of them are due; the others wait for a day that does not come.
const DUE: usize = 200;

fn echoing(world: &World) -> Started {
    let mut command = world.watcher("marie");
    command.args(["--agent", "echo", "--durability", "none", "--concurrency", "8"]);
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    watcher
}

/// Drops them all as one program would that does not wait; every hundredth is due.
fn drop_all(world: &World) {
    let dirs = [place(world, ""), place(world, "marie/pending")];
    for n in 0..MANY {
        let task = if n % (MANY / DUE) == 0 {
            json!({"prompt": format!("say {n}")})
        } else {
            json!({"prompt": "later", "not_before": "2999-01-01T00:00:00Z"})
        };
        fs::write(dirs[n % 2].join(format!("t{n}.json")), task.to_string()).unwrap();
    }
}

/// Each that is due was run, once, and no other.
fn each_once(world: &World) {
    world.until_all(DUE, "that are due are filed", || tasks(world, "marie/completed").len());
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for line in journal(world, "marie").iter().filter(|line| line["event"] == "started") {
        *runs.entry(line["task"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!((runs.len(), runs.values().sum::<usize>()), (DUE, DUE));
    assert_eq!(names(&world.root().join("artifacts")).len(), DUE, "one life each");
    let waiting = tasks(world, "").len() + tasks(world, "marie/pending").len();
    assert_eq!(waiting, MANY - DUE);
    assert!(tasks(world, "marie/failed").is_empty());
}

#[test]
fn more_drops_than_the_kernel_can_tell_are_all_found() {
    let world = World::new();
    let watcher = echoing(&world);
    watcher.signal(Signal::SIGSTOP);
    drop_all(&world);
    watcher.signal(Signal::SIGCONT);
    each_once(&world);
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn as_many_drops_while_nobody_is_there_are_all_found() {
    let world = World::new();
    assert_eq!(echoing(&world).stop(), 0);
    drop_all(&world);
    let watcher = echoing(&world);
    each_once(&world);
    assert_eq!(watcher.stop(), 0);
}

/// A watcher in a user namespace whose users may have so many of `what`; `None`, said aloud, where there is none.
fn limited(world: &World, what: &str, most: u32) -> Option<Started> {
    let set = format!("echo {most} > /proc/sys/user/max_inotify_{what}");
    let possible = Command::new("unshare").args(["-U", "-r", "sh", "-ec", &set]).output();
    if !possible.is_ok_and(|it| it.status.success()) {
        real::skip("this user may not have a user namespace with limits of its own");
        return None;
    }
    let inner = world.watcher("marie");
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", "sh", "-ec", &format!("{set}; exec \"$0\" \"$@\"")]);
    command.arg(inner.get_program()).args(inner.get_args()).env_clear().current_dir(world.path());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    Some(watcher)
}

#[test]
fn without_kernel_events_drops_are_found_by_looking_and_told_again_when_there_are_some() {
    // Without an instance nothing can be watched; with one watch, one folder of four.
    for (what, most, deaf) in [("instances", 0, 1), ("watches", 1, 3)] {
        let world = World::new();
        let Some(watcher) = limited(&world, what, most) else { return };
        let said = || logged(&world, "marie", "looking every few seconds instead").len();
        world.until("it says so", || (said() >= deaf).then_some(()));
        for name in ["a", "b"] {
            world.submit("", name, &json!({"prompt": "fake: succeed"}));
            world.submit("marie/pending", &format!("{name}2"), &json!({"prompt": "fake: succeed"}));
            world.filed("marie/completed", name);
            world.filed("marie/completed", &format!("{name}2"));
        }
        assert_eq!(said(), deaf, "{what}: it is said once for each folder");
        let pid = watcher.pid().to_string();
        let raise = format!("echo 100 > /proc/sys/user/max_inotify_{what}");
        let raised = Command::new("nsenter").args(["-U", "-t", &pid, "sh", "-ec", &raise]).status().unwrap();
        assert!(raised.success());
        let heard = || {
            let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
            let texts = fds.filter_map(|fd| {
                fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", fd.file_name().to_str()?)).ok()
            });
            texts.map(|text| text.matches("inotify wd:").count()).sum::<usize>()
        };
        world.until("it watches four folders", || (heard() >= 4).then_some(()));
        assert_eq!(watcher.stop(), 0);
    }
}
