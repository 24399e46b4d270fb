//! What a disk that does not answer must not be taken for: a task that is not there, a session that never was.

use serde_json::json;

use crate::faults::Injection;
use crate::world::World;
use crate::{at_work, let_through, sight, soon};

#[test]
fn a_session_that_cannot_be_looked_for_is_not_begun_anew() {
    let world = World::new();
    let watcher = world.up("marie");
    let gate = world.path().join("gate");
    let prompt = format!("fake: gate={}; die | succeed text=resumed", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    world.active("marie", "t", |task| task["state"] == "RUNNING");
    let projects = world.home().join(".claude/projects");
    let Some(fault) = Injection::about(&world, &watcher, &["openat:error=EIO"], &projects) else { return };
    std::fs::write(&gate, "").unwrap();
    fault.bites(&world);
    world.until("it is said what cannot be found out", || {
        let text = std::fs::read_to_string(world.logs().join("marie.log")).ok()?;
        text.contains("could not find out what is left of its earlier attempts").then_some(())
    });
    assert_eq!(sight::events(&world, "start", "t").len(), 1, "nothing is begun meanwhile");
    drop(fault);
    let task = world.filed("marie/completed", "t");
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("resumed"), &json!(1)), "{task:#}");
    assert_eq!(sight::events(&world, "start", "t")[1]["mode"], "resume");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn a_state_that_cannot_be_read_is_not_taken_for_none() {
    let world = World::new();
    let watcher = world.up("marie");
    watcher.murder();
    let path = world.root().join("workers/marie/state.json");
    let mut state = crate::world::json(&path).unwrap();
    state["recovery_count"] = json!(4);
    state["mine"] = json!("kept");
    std::fs::write(&path, state.to_string()).unwrap();
    let command = world.watcher("marie");
    let what = ["openat:error=EIO:when=1..3"];
    let Some(started) = Injection::around(&world, (&command, "second"), &what, Some(&path)) else { return };
    let state = sight::state(&world, "marie", |it| it["status"] == "running" && it["recovery_count"] != 4);
    assert_eq!((&state["recovery_count"], &state["mine"]), (&json!(5), &json!("kept")), "{state}");
    assert!(!sight::logged(&world, "second", "waiting for the disk").is_empty());
    started.murder();
}

#[test]
fn an_answer_that_cannot_be_read_is_waited_for_and_not_paid_for_again() {
    let world = World::new();
    let watcher = world.up("marie");
    let gate = at_work(&world, "t", "succeed text=paid");
    let run = world.active("marie", "t", |_| true)["run_id"].as_str().unwrap().to_owned();
    let stream = world.root().join(format!("artifacts/{run}/attempt-1/stream.ndjson"));
    let Some(fault) = Injection::about(&world, &watcher, &["read:error=EIO", "pread64:error=EIO"], &stream)
    else {
        return;
    };
    let_through_closed(&world, &gate, &watcher, &fault);
    drop(fault);
    soon(&world, "it is filed", || world.root().join("tasks/marie/completed/t.json").exists().then_some(()));
    assert_eq!(crate::ended_once(&world, "t")["result"], "paid");
    assert_eq!(watcher.stop(), 0);
}

/// The agent answers and is killed, so that its end is seen while its answer is not.
fn let_through_closed(
    world: &World,
    gate: &std::path::Path,
    watcher: &crate::world::Started,
    fault: &Injection,
) {
    std::fs::write(gate, "").unwrap();
    let agent = sight::agent(world, "t");
    world.until("it has answered", || {
        let streams = std::process::Command::new("grep")
            .args(["-rl", "paid"])
            .arg(world.root().join("artifacts"))
            .output()
            .ok()?;
        String::from_utf8_lossy(&streams.stdout).contains("stream.ndjson").then_some(())
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(agent), nix::sys::signal::Signal::SIGKILL).unwrap();
    fault.bites(world);
    world.until("it is tried again", || {
        (!sight::logged(world, "marie", "could not read what the agent said last").is_empty()).then_some(())
    });
    assert_eq!(world.homes("t"), ["marie/active"], "watcher {}", watcher.pid());
}

/// The system calls by which a program asks what is there.
const ASKING: [&str; 3] = ["statx:error=EIO", "newfstatat:error=EIO", "getdents64:error=EIO"];

#[test]
fn a_disk_that_does_not_say_what_is_there_has_taken_nothing_away() {
    let world = World::new();
    let watcher = world.up("marie");
    let gate = at_work(&world, "running", "succeed text=kept");
    let Some(fault) = Injection::into(&world, &watcher, &ASKING) else { return };
    fault.bites(&world);
    let_through(&world, &gate, "running");
    let refused = fault.refused().len();
    world.until("it is asked again", || (fault.refused().len() > refused + 20).then_some(()));
    assert_eq!(world.homes("running").len(), 1, "{:?}", world.homes("running"));
    drop(fault);
    soon(&world, "it is filed", || {
        world.root().join("tasks/marie/completed/running.json").exists().then_some(())
    });
    assert_eq!(crate::ended_once(&world, "running")["result"], "kept");
    assert!(sight::logged(&world, "marie", "had been taken out of active").is_empty());
    assert_eq!(watcher.stop(), 0);
}
