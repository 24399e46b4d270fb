//! What dead agents and dead watchers leave: strays that shed every sign, and groups.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::sight::{agent, events, lives};
use crate::world::World;
use crate::{BOTH, Base, Version, pids, stray, written_down};

/// Twice forked, a session of its own, no environment, deaf to SIGTERM: nothing but the group ties it to its run.
const SHED: &str = "grandchild setsid double noenv noterm";

#[test]
fn what_shed_everything_after_its_watcher_s_death_is_ended_before_its_task_goes_on() {
    for version in BOTH {
        let world = World::new();
        let Some(base) = Base::new(&world, version) else { return };
        let first = base.watcher(&world, &[]);
        let gate = world.path().join("gate");
        let script = format!("fake: gate={}; {SHED}; die signal=9 | succeed text=again", gate.display());
        world.submit("marie/pending", "t", &json!({"prompt": script}));
        let agent = agent(&world, "t");
        let group = written_down(&world.active("marie", "t", |it| it["attempts"][0]["pid"].is_number()));
        first.murder();
        fs::write(&gate, "").unwrap();
        let stray = stray(&world);
        world.until("the agent is gone", || (!lives(agent)).then_some(()));
        assert!(lives(stray) && pids(&group).contains(&stray), "{version:?}");

        let second = base.watcher(&world, &[]);
        let task = world.filed("marie/completed", "t");
        assert!(!lives(stray), "{version:?}: {}", world.said());
        assert_eq!((&task["result"], &task["retry_count"]), (&json!("again"), &json!(1)), "{task}");
        world.until("no group is left", || base.groups().is_empty().then_some(()));
        assert_eq!(second.stop(), 0);
    }
}

#[test]
fn what_a_living_watcher_s_run_shed_is_ended_with_it_and_no_other_run_is() {
    for version in BOTH {
        let world = World::new();
        let Some(base) = Base::new(&world, version) else { return };
        let watcher = base.watcher(&world, &[]);
        let gate = world.path().join("gate");
        // As long as another one is at work, an orphan without a sign could be that one's.
        let waits = json!({"prompt": format!("fake: gate={}; succeed text=late", gate.display())});
        world.submit("marie/pending", "other", &waits);
        let other = agent(&world, "other");
        world.submit("marie/pending", "t", &json!({"prompt": format!("fake: {SHED}; succeed text=done")}));
        let task = world.filed("marie/completed", "t");
        assert_eq!(task["result"], "done", "{task}");
        assert!(!lives(stray(&world)), "{version:?}: {}", world.said());
        assert!(lives(other));
        fs::write(gate, "").unwrap();
        assert_eq!(world.filed("marie/completed", "other")["result"], "late");
        assert_eq!(watcher.stop(), 0);
        assert!(base.groups().is_empty(), "{:?}", base.groups());
    }
}

#[test]
fn an_agent_in_a_group_is_adopted_and_recovery_by_hand_ends_all_of_it() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::Two) else { return };
    let first = base.watcher(&world, &[]);
    let (gate, end) = (world.path().join("gate"), world.path().join("end"));
    let script = format!("fake: gate={}; {SHED}; gate={}; succeed", gate.display(), end.display());
    world.submit("marie/pending", "t", &json!({"prompt": script}));
    let agent = agent(&world, "t");
    let group = written_down(&world.active("marie", "t", |it| it["attempts"][0]["pid"].is_number()));
    first.murder();
    let second = base.watcher(&world, &[]);
    world.until("it is adopted", || {
        (crate::sight::logged(&world, "marie", "adopted a living agent").len() == 1).then_some(())
    });
    assert!(lives(agent) && pids(&group).contains(&agent));
    second.murder();
    fs::write(&gate, "").unwrap();
    let stray = stray(&world);

    // By somebody who is told of no group: the record says where it is.
    let mut command = world.command("supervisor");
    command.args(["recover", "marie", "--end-agents", "--root"]).arg(world.root());
    let out = command.arg("--log-dir").arg(world.logs()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(!lives(agent) && !lives(stray), "{out:?}");
    assert!(!group.exists(), "{out:?}");
    assert_eq!(world.homes("t"), ["marie/pending"]);
    assert_eq!(events(&world, "start", "t").len(), 1);
}

#[test]
fn groups_that_runs_left_go_with_who_is_in_them_and_those_of_others_stay() {
    let world = World::new();
    let Some(base) = Base::new(&world, Version::Two) else { return };
    let first = base.watcher(&world, &[]);
    world.submit("marie/pending", "t", &json!({"prompt": format!("fake: {SHED}; hang stubborn")}));
    let agent = agent(&world, "t");
    let group = written_down(&world.active("marie", "t", |it| it["attempts"][0]["pid"].is_number()));
    let stray = stray(&world);
    first.murder();
    kill(Pid::from_raw(agent), Signal::SIGKILL).unwrap();
    world.until("the agent is gone", || (!lives(agent)).then_some(()));
    // Somebody takes the task away by hand: nobody's record tells of the group any more.
    fs::remove_file(world.root().join("tasks/marie/active/t.json")).unwrap();
    let mine = group.file_name().unwrap().to_str().unwrap();
    let run = mine.strip_prefix("run-marie-").unwrap();
    // Somebody's own, another worker's, and one of another root.
    let unknown = "run-marie-0192aaaa-0000-7000-8000-000000000000";
    let others =
        ["mine".to_owned(), format!("run-anga-{run}"), unknown.to_owned()].map(|name| base.0.join(name));
    for other in &others {
        fs::create_dir(other).unwrap();
    }

    let second = base.watcher(&world, &[]);
    assert!(!lives(stray), "{}", world.said());
    assert!(!group.exists());
    let mut left = others.to_vec();
    left.sort();
    assert_eq!(base.groups(), left);
    assert_eq!(second.stop(), 0);
}
