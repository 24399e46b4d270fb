//! What a disk that does not answer must not be taken for: a task that is not there, a session that never was.

use std::time::Instant;

use serde_json::json;

use crate::faults::Injection;
use crate::world::World;
use crate::{at_work, let_through, sight, soon};

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
    let ended = Instant::now();
    soon(&world, ended, "it is filed", || {
        world.root().join("tasks/marie/completed/running.json").exists().then_some(())
    });
    assert_eq!(crate::ended_once(&world, "running")["result"], "kept");
    assert_eq!(sight::logged(&world, "marie", "had been taken out of active"), [json!(0); 0]);
    assert_eq!(watcher.stop(), 0);
}
