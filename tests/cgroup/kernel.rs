//! Version 2 with memory, as most machines have it: in a kernel of its own, that runs as a program of this machine (User Mode
//! Linux) and sees its files.

use serde_json::{Value, json};

use crate::uml;
use crate::world::World;

#[test]
fn version_2_with_memory_keeps_its_promises() {
    let world = World::new();
    let Some(said) = uml::booted(&world, "tests/cgroup/kernel.sh") else { return };
    let told = |name: &str| said.get(name).map_or("", String::as_str);
    let task = |name: &str| serde_json::from_str::<Value>(told(name)).unwrap_or_default();

    assert_eq!(told("leaf"), "0::/unit/watcher", "{said:#?}");
    assert_eq!(told("handed"), "memory", "{said:#?}");
    for name in ["agent", "tool", "adopted", "dead"] {
        let task = task(name);
        assert_eq!(
            (&task["error_code"], &task["state"]),
            (&json!("E004"), &json!("FAILED")),
            "{name}: {task}"
        );
        assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{name}: {task}");
        assert!(
            task["attempts"][0]["cgroup"].as_str().unwrap().contains("/unit/run-marie-"),
            "{name}: {task}"
        );
    }
    for name in ["agent", "tool", "adopted"] {
        let peak = task(name)["attempts"][0]["peak_memory_bytes"].as_u64().unwrap();
        assert!((60 << 20..=81 << 20).contains(&peak), "{name}: {peak}");
    }
    assert!(
        task("dead")["failure_reason"].as_str().unwrap().contains("while its watcher was dead"),
        "{said:#?}"
    );
    let reason = task("starved")["attempts"][0]["reason"].to_string();
    assert!(reason.contains("oom_killed"), "{said:#?}");
    // Without the word of the dead watcher's unit the next one could not be started.
    assert!(told("busy").contains("busy"), "{said:#?}");
    assert_eq!(told("back"), "0::/unit/watcher", "{said:#?}");
    assert_eq!((told("groups"), told("starts")), ("", "4"), "{said:#?}");
}
