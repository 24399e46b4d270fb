//! The worker on real directories, with real processes and a scripted agent.

#![cfg(feature = "test-support")]

#[path = "support/world.rs"]
mod world;

use serde_json::json;
use world::World;

#[test]
fn a_dropped_task_is_run_and_filed_with_its_answer() {
    let world = World::new();
    let watcher = world.up("marie");
    world.submit("", "hello", &json!({"prompt": "fake: succeed text=hi", "mine": [1, 2]}));
    let task = world.filed("marie/completed", "hello");
    assert_eq!(task["result"], "hi");
    assert_eq!(task["mine"], json!([1, 2]));
    assert_eq!(world.homes("hello"), ["marie/completed"]);
    assert_eq!(watcher.stop(), 0);
}
