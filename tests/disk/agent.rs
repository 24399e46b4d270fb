//! An agent whose own writes fail: its output is cut, and that is not its task's fault.

use serde_json::json;

use crate::faults::SmallDisk;
use crate::world::World;
use crate::{at_work, let_through, served, sight, soon};

#[test]
fn an_agent_that_cannot_write_is_not_charged_and_goes_on_when_there_is_room() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=32m") else { return };
    let (watcher, _) = served(&world, &[]);
    let gate = at_work(&world, "t", "flood n=200 bytes=1000; succeed text=lost | succeed text=resumed");
    let filler = disk.fill();
    std::fs::write(&gate, "").unwrap();
    world.until("the outcome is kept in memory", || {
        (!sight::logged(&world, "marie", "outcome is kept in memory").is_empty()).then_some(())
    });
    assert_eq!(world.homes("t"), ["marie/active"]);
    drop(filler);
    let task = soon(&world, "it went on and is filed", || {
        crate::world::json(&world.root().join("tasks/marie/completed/t.json"))
    });
    assert_eq!((&task["result"], &task["retry_count"]), (&json!("resumed"), &json!(0)), "{task:#}");
    let first = &task["attempts"][0];
    assert_eq!((&first["outcome"], &first["charged"]), (&json!("deferred"), &json!(false)), "{task:#}");
    assert!(first["reason"].as_str().unwrap().contains("disk of the root"), "{task:#}");
    assert_eq!(sight::events(&world, "start", "t")[1]["mode"], "resume", "its conversation goes on");
    let requeued: Vec<_> =
        sight::journal(&world, "marie").into_iter().filter(|line| line["event"] == "requeued").collect();
    assert_eq!((requeued.len(), &requeued[0]["error_code"]), (1, &json!("E007")), "{requeued:?}");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn an_answer_that_fits_on_the_full_disk_is_an_answer() {
    let world = World::new();
    let Some(disk) = SmallDisk::tmpfs(world.root(), "size=32m") else { return };
    let (watcher, _) = served(&world, &[]);
    let gate = at_work(&world, "t", "succeed text=fits");
    let filler = disk.fill();
    let_through(&world, &gate, "t");
    world.until("the outcome is kept in memory", || {
        (!sight::logged(&world, "marie", "outcome is kept in memory").is_empty()).then_some(())
    });
    drop(filler);
    assert_eq!(crate::ended_once(&world, "t")["result"], "fits");
    assert_eq!(watcher.stop(), 0);
}
