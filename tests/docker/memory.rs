//! Memory runs out, and it is told as that.

use serde_json::json;

use crate::stage::Stage;
use crate::world;

fn limit(stage: &Stage, worker: &str, memory: &str) {
    stage.shell(&format!("docker update --memory {memory} --memory-swap {memory} {worker}"));
}

pub(crate) fn an_agent_that_takes_too_much_is_told(stage: &Stage) {
    limit(stage, "marie", "200m");
    let before = stage.last_beat("marie");
    let task = json!({ "prompt": "fake: line bytes=400000000; succeed text=done", "max_retries": 0 });
    stage.world.submit("marie/pending", "hungry", &task);
    let task = stage.world.filed("marie/failed", "hungry");
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.starts_with("oom_killed: "), "{task}");
    limit(stage, "marie", "2g");
    stage.beating_anew("marie", before);
    assert_eq!(stage.inspect("marie", ".RestartCount"), "0", "the watcher was spared");
}

pub(crate) fn a_watcher_that_takes_too_much_is_told(stage: &Stage) {
    let left = || world::json(&stage.world.root().join("workers/fabien/state.json")).unwrap();
    let died = left()["recovery_count"].as_u64().unwrap_or(0);
    limit(stage, "fabien", "6m");
    stage.within("its beat shows that it is tight", || {
        (stage.beat("fabien")?["memory_percent"].as_u64()? >= 25).then_some(())
    });
    // More than it may have: it is read before it is judged.
    let task = json!({ "prompt": "x".repeat(9 << 20) });
    stage.world.submit("fabien/pending", "heavy", &task);
    let heavy = stage.world.root().join("tasks/fabien/pending/heavy.json");
    stage.within("it dies of that", || (stage.inspect("fabien", ".RestartCount") != "0").then_some(()));
    // Else it would die of it again.
    std::fs::remove_file(heavy).ok();
    limit(stage, "fabien", "2g");
    stage.within("it has recovered and is at work", || {
        let now = left();
        (now["recovery_count"].as_u64()? > died && now["status"] == "running").then_some(())
    });
    assert_eq!(left()["last_crash_reason"], "oom_killed", "{}", left());
    let said = stage.logs("supervisor");
    assert!(said.contains("fabien: oom_killed: "), "{said}");
}
