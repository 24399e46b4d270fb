//! No process outlives its task, whatever it did to get away.

use serde_json::Value;

use super::{Host, filed, submit, told};
use crate::world::json;

/// Sessions of their own, grown up with the first process, deaf to SIGTERM, still printing.
const TREE: &str = "grandchild setsid; grandchild double noterm; grandchild setsid noterm stdout; grandchild";
/// How many they are.
const GROWN: usize = 4;
/// How soon they have to be gone, in marie's own seconds: her heart beats once in each.
const SOON: u64 = 15;

/// A tree ends with a task that is cancelled, one that took too long, and one that went well.
pub fn end_with_their_task(host: &impl Host) {
    let deaf = format!("{TREE}; ignore-term; hang stubborn");
    submit(host, "tree-late", &deaf, r#","timeout_s":4,"max_retries":0"#);
    submit(host, "tree-cancelled", &deaf, "");
    // One more has neither environment nor ancestry: it fell to the watcher, and goes with the last run.
    submit(host, "tree-done", &format!("{TREE}; grandchild double noenv noterm; succeed"), "");
    gone(host, "completed", "tree-done");
    grown(host, "tree-late", GROWN);
    grown(host, "tree-cancelled", GROWN);
    let root = host.there();
    let (is_well, said) = host.inside(&format!("agentctl --root {root} cancel tree-cancelled --yes"));
    assert!(is_well, "{said}");
    gone(host, "cancelled", "tree-cancelled");
    assert_eq!(gone(host, "failed", "tree-late")["state"], "TIMEOUT");
    assert_eq!(told(host, "tree-done", "grandchild").len(), GROWN);
    let bare = nameless(host);
    assert_eq!(bare.len(), 1);
    host.until("what carries no sign ends with the last run", || (!is_alive(host, bare[0])).then_some(()));
    host.until("no zombie stays", || {
        let (_, all) = host.inside("ps -eo stat=,comm=");
        (!all.lines().any(|line| line.starts_with('Z') && line.contains("claude"))).then_some(())
    });
}

/// Waits until the tree of a task is there.
pub fn grown(host: &impl Host, task: &str, all: usize) {
    host.until(&format!("the tree of {task} is there"), || {
        (told(host, task, "grandchild").len() == all).then_some(())
    });
}

/// The task is filed soon, and then none of what it started lives.
fn gone(host: &impl Host, at: &str, task: &str) -> Value {
    let beat = || json(&host.root().join("workers/marie/heartbeat.json")).and_then(|it| it["seq"].as_u64());
    let asked = host.until("marie beats", beat);
    let filed = filed(host, at, task);
    let limit = filed["timeout_s"].as_u64().unwrap_or(0);
    let took = host.until("marie beats", beat) - asked;
    assert!(took <= SOON + limit, "{task}: it took {took} beats");
    let left = living(host, task);
    assert!(left.is_empty(), "{task}: {left:?}");
    filed
}

/// What a task left behind and what still lives of it, by the numbers that they have there.
pub fn living(host: &impl Host, task: &str) -> Vec<i64> {
    let left = told(host, task, "grandchild").into_iter().chain(told(host, task, "start"));
    left.filter_map(|line| line["pid"].as_i64()).filter(|pid| is_alive(host, *pid)).collect()
}

/// Those who do not even know whose they were.
fn nameless(host: &impl Host) -> Vec<i64> {
    let text = std::fs::read_to_string(host.agents()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let bare =
        lines.filter(|line| line["event"] == "grandchild" && line["words"].to_string().contains("noterm"));
    bare.filter(|line| line["task"].as_str().is_none_or(str::is_empty))
        .filter_map(|line| line["pid"].as_i64())
        .collect()
}

/// Whether there is a process of this number that is no zombie.
pub fn is_alive(host: &impl Host, pid: i64) -> bool {
    host.inside(&format!("grep -q '^State:.[^ZX]' /proc/{pid}/status")).0
}
