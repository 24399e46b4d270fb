//! Very many watchers of one name, started at once: one works, the others say who does, and end.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::sight::{events, lives, status, tasks};
use crate::world::{Started, World, json as read_json};
use crate::{at_work, done_once, gated, is_root, real, wrap};

const MANY: usize = 100;
const TASKS: usize = 20;

/// Starts them, one after the other and faster than one of them begins; each says what it says under its own tag.
fn start(world: &World, tag: &str, n: usize, command: impl Fn() -> Command) -> Vec<(String, Started)> {
    let one = |n| {
        let tag = format!("{tag}{n}");
        let started = world.start(&mut command(), &tag);
        (tag, started)
    };
    (0..n).map(one).collect()
}

/// Waits until all but one have ended as the page says (78), and told who holds the name; the one that works.
fn all_but_one_end(world: &World, mut crowd: Vec<(String, Started)>) -> (String, Started) {
    let mut refused = Vec::new();
    world.until("all but one have ended", || {
        refused.extend(crowd.extract_if(.., |(_, it)| it.is_over()));
        (crowd.len() <= 1).then_some(())
    });
    let (tag, works) = crowd.pop().expect("one of them works");
    for (tag, started) in refused {
        assert_eq!(started.ended(), 78, "{}", world.said());
        let said = fs::read_to_string(world.logs().join(format!("{tag}.err"))).unwrap();
        let line = said.lines().find(|it| it.contains("holds worker marie already")).unwrap_or_default();
        assert!(line.contains("the worker does not start") && line.contains("pid"), "{tag}: {said}");
    }
    (tag, works)
}

#[test]
fn of_a_hundred_watchers_of_one_name_one_works_and_the_others_say_who() {
    let world = World::new();
    fs::create_dir_all(world.root().join("tasks")).unwrap();
    for n in 0..TASKS {
        world.submit("", &format!("t{n}"), &json!({"prompt": "fake: succeed"}));
    }
    let crowd = start(&world, "w", MANY, || world.watcher("marie"));
    let (_, works) = all_but_one_end(&world, crowd);
    world.at_work("marie", &works);
    world.until_all(TASKS, "are done", || tasks(&world, "marie/completed").len());
    for n in 0..TASKS {
        done_once(&world, "marie/completed", &format!("t{n}"));
    }
    assert_eq!(works.stop(), 0);
}

/// As an agent may, which can read the folder: `docs/security.md`.
#[test]
fn a_lock_that_no_watcher_took_is_told_with_the_way_to_whoever_has_it() {
    let world = World::new();
    let folder = world.root().join("workers/marie");
    fs::create_dir_all(&folder).unwrap();
    let taken = fs::File::open(&folder).unwrap();
    fs2::FileExt::lock_exclusive(&taken).unwrap();
    assert_eq!(world.start(&mut world.watcher("marie"), "refused").ended(), 78, "{}", world.said());
    let said = fs::read_to_string(world.logs().join("refused.err")).unwrap();
    assert!(said.contains(&format!("says `fuser -v {}`", folder.display())), "{said}");
    drop(taken);
    assert_eq!(world.up("marie").stop(), 0);
}

#[test]
fn when_the_holder_is_killed_among_a_hundred_one_of_them_takes_over_and_its_agent_lives_on() {
    let world = World::new();
    let holder = world.up("marie");
    let gate = gated(&world, "t");
    let agent = at_work(&world, "t");
    let crowd = start(&world, "w", MANY, || world.watcher("marie"));
    holder.murder();
    let (_, works) = all_but_one_end(&world, crowd);
    world.at_work("marie", &works);
    assert!(lives(agent), "{}", world.said());
    fs::write(&gate, "").unwrap();
    assert_eq!(done_once(&world, "marie/completed", "t")["result"], "done");
    assert_eq!(events(&world, "overlap", "t").len(), 0);
    assert_eq!(works.stop(), 0);
}

/// Each is the first process of a namespace of its own, as in containers: their numbers mean nothing to each other.
#[test]
fn of_many_containers_with_one_name_one_works_and_when_it_dies_the_next_does() {
    if !is_root() {
        return;
    }
    let Some(unshare) = real::program("unshare") else { return };
    let world = World::new();
    let contained = || {
        let mut outer = Command::new(&unshare);
        outer.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        wrap(&world, outer, &world.watcher("marie"))
    };
    let (_, first) = all_but_one_end(&world, start(&world, "a", 20, contained));
    let gate = gated(&world, "t");
    world.active("marie", "t", |task| task["attempts"][0]["pid"].is_number());
    crate::sight::agent(&world, "t");
    // A container that is killed takes its agent along; what it was at is gone on with, uncharged for that.
    let crowd = start(&world, "b", 20, contained);
    first.murder();
    let (_, second) = all_but_one_end(&world, crowd);
    fs::write(&gate, "").unwrap();
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], "done", "{task}");
    assert_eq!(world.homes("t"), ["marie/completed"]);
    let beat = read_json(&world.root().join("workers/marie/heartbeat.json")).unwrap();
    assert_eq!(beat["pid"], 1, "{beat}");
    assert!(status(second.pid(), "State").is_some());
    drop(second);
}

/// Workers of one root whose containers are started together: each is process 1 of its own, and what they try out in the
/// folders that all share must not meet.
#[test]
fn workers_of_one_root_that_are_all_process_one_do_not_get_in_each_others_way() {
    if !is_root() {
        return;
    }
    let Some(unshare) = real::program("unshare") else { return };
    let world = World::new();
    let names: Vec<String> = (0..24).map(|n| format!("worker{n}")).collect();
    for name in &names {
        for made in ["pending", "active"] {
            fs::create_dir_all(world.root().join(format!("tasks/{name}/{made}"))).unwrap();
        }
    }
    let started: Vec<_> = names
        .iter()
        .map(|name| {
            let mut outer = Command::new(&unshare);
            outer.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
            world.start(&mut wrap(&world, outer, &world.watcher(name)), name)
        })
        .collect();
    for name in &names {
        world.submit(&format!("{name}/pending"), &format!("t-{name}"), &json!({"prompt": "fake: succeed"}));
    }
    for name in &names {
        world.filed(&format!("{name}/completed"), &format!("t-{name}"));
        let said = fs::read_to_string(world.logs().join(format!("{name}.err"))).unwrap();
        assert!(!said.contains("File exists"), "{said}");
    }
    drop(started);
}
