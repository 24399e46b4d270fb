//! The worker, its operator or the machine cut the verification short.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::world::{Started, World, json as read};
use crate::{checked, history, of_run, starts, submit};

/// An acceptance command that leaves its number, and passes once the gate is there.
struct Gated {
    world: World,
    gate: PathBuf,
    pids: PathBuf,
}

impl Gated {
    fn new() -> Self {
        let world = World::new();
        let (gate, pids) = (world.path().join("gate"), world.path().join("open/pids"));
        let stubborn =
            "setsid sh -c 'echo $$ >>\"$0\"; trap \"\" TERM; while :; do sleep 0.1; done' \"$PIDS\" &";
        checked(
            &world,
            &format!(
                "PIDS={}; {stubborn}\necho $$ >>\"$PIDS\"; while ! [ -f {} ]; do sleep 0.05; done",
                pids.display(),
                gate.display()
            ),
        );
        fs::create_dir(pids.parent().unwrap()).unwrap();
        Self { world, gate, pids }
    }

    /// A watcher whose commands may tell their numbers.
    fn up(&self) -> Started {
        let mut watcher = self.world.watcher("marie");
        watcher.arg("--agent-writes").arg(self.pids.parent().unwrap());
        self.world.start(&mut watcher, "marie")
    }

    /// The processes of all commands so far, once there are so many.
    fn pids(&self, many: usize) -> Vec<i32> {
        self.world.until("the command is at work", || {
            let text = fs::read_to_string(&self.pids).ok()?;
            let pids: Vec<i32> = text.lines().filter_map(|it| it.parse().ok()).collect();
            (pids.len() >= many).then_some(pids)
        })
    }

    fn all_gone(&self, pids: &[i32]) {
        self.world.until("all of them are gone", || {
            let is_gone = |pid: &i32| kill(Pid::from_raw(*pid), None::<Signal>).is_err();
            pids.iter().all(is_gone).then_some(())
        });
    }

    fn completing(&self) -> Value {
        self.world.active("marie", "t", |it| it["state"] == "COMPLETING")
    }

    fn completed_once(&self) -> Value {
        let task = self.world.filed("marie/completed", "t");
        assert_eq!((&task["result"], &task["retry_count"]), (&json!("done"), &json!(0)));
        assert_eq!((starts(&self.world), task["attempts"].as_array().unwrap().len()), (1, 1));
        assert_eq!(self.world.homes("t"), ["marie/completed"]);
        task
    }
}

#[test]
fn a_watcher_that_is_killed_meanwhile_is_followed_by_one_that_verifies_and_files() {
    let it = Gated::new();
    let watcher = it.up();
    submit(&it.world, "succeed text=done");
    let task = it.completing();
    let first = it.pids(2);
    it.world.until("it is noted", || (history(&it.world, &task, "verifying").len() == 1).then_some(()));
    watcher.murder();
    let _next = it.up();
    let both = it.pids(4);
    it.all_gone(&first);
    assert!(read(&of_run(&it.world, &it.completing(), "attempt-1/verify.json")).is_none());
    fs::write(&it.gate, "").unwrap();
    let task = it.completed_once();
    assert_eq!(history(&it.world, &task, "verifying").len(), 2);
    it.all_gone(&both);
}

#[test]
fn a_recovery_by_hand_leaves_it_to_the_next_watcher() {
    let it = Gated::new();
    let watcher = it.up();
    submit(&it.world, "succeed text=done");
    it.completing();
    let first = it.pids(2);
    watcher.murder();
    let recover = |more: &[&str]| {
        let mut command = it.world.command("supervisor");
        command.args(["recover", "marie", "--root"]).arg(it.world.root()).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = "Leaving t.json to the next watcher: its answer is to be verified";
    let plan = recover(&["--dry-run"]);
    assert!(plan.contains(said), "{plan}");
    let done = recover(&[]);
    assert!(done.contains(said), "{done}");
    it.all_gone(&first);
    assert_eq!(it.world.homes("t"), ["marie/active"]);
    // Who does not want to wait for a watcher has it back in the queue, where it can be cancelled.
    recover(&["--end-agents"]);
    assert_eq!(it.world.homes("t"), ["marie/pending"]);
    fs::write(&it.gate, "").unwrap();
    let _next = it.up();
    it.completed_once();
}

#[test]
fn an_answer_that_waits_in_the_queue_can_be_held_and_cancelled_there() {
    let it = Gated::new();
    let watcher = it.up();
    submit(&it.world, "succeed text=done");
    it.completing();
    let off = it.world.agentctl(&["pack", "disable", "checked", "--reason", "no", "--end-running"]);
    assert!(off.status.success(), "{off:?}");
    it.world.until("it waits in the queue", || (it.world.homes("t") == ["marie/pending"]).then_some(()));
    it.world.until("it can be held", || it.world.agentctl(&["hold", "t"]).status.success().then_some(()));
    assert_eq!(watcher.stop(), 0);
    let done = it.world.agentctl(&["cancel", "t", "--yes"]);
    assert!(done.status.success(), "{done:?}");
    let task = it.world.filed("marie/cancelled", "t");
    assert_eq!((&task["attempts"][0]["outcome"], starts(&it.world)), (&json!("cancelled"), 1));
}

#[test]
fn a_worker_that_stops_ends_the_command_and_the_next_one_runs_it_again() {
    let it = Gated::new();
    let watcher = it.up();
    submit(&it.world, "succeed text=done");
    it.completing();
    let first = it.pids(2);
    assert_eq!(watcher.stop(), 0);
    it.all_gone(&first);
    assert_eq!(it.world.homes("t"), ["marie/active"]);
    let _next = it.up();
    it.pids(4);
    fs::write(&it.gate, "").unwrap();
    it.completed_once();
}

#[test]
fn a_task_that_is_cancelled_meanwhile_ends_the_command_and_is_cancelled() {
    let it = Gated::new();
    let _watcher = it.up();
    submit(&it.world, "succeed text=done");
    it.completing();
    let first = it.pids(2);
    let told = it.world.agentctl(&["tell", "t", "hurry"]);
    assert_eq!(told.status.code(), Some(69), "{told:?}");
    let done = it.world.agentctl(&["cancel", "t", "--yes"]);
    assert!(done.status.success(), "{done:?}");
    let task = it.world.filed("marie/cancelled", "t");
    assert_eq!(task["state"], "CANCELLED");
    assert!(task["attempts"][0]["cost_usd"].as_f64().unwrap() > 0.0, "what it cost is counted: {task}");
    it.all_gone(&first);
    assert_eq!(starts(&it.world), 1);
}

#[test]
fn a_pack_that_is_taken_back_ends_the_command_and_the_answer_waits_for_it() {
    let it = Gated::new();
    let _watcher = it.up();
    submit(&it.world, "succeed text=done");
    it.completing();
    let first = it.pids(2);
    let off = it.world.agentctl(&["pack", "disable", "checked", "--reason", "it deletes", "--end-running"]);
    assert!(off.status.success(), "{off:?}");
    it.world.until("it waits in the queue", || (it.world.homes("t") == ["marie/pending"]).then_some(()));
    it.all_gone(&first);
    fs::write(&it.gate, "").unwrap();
    assert!(it.world.agentctl(&["pack", "enable", "checked"]).status.success());
    it.completed_once();
}
