//! `doctor` and `fsck`, on a tree in which something is wrong.

use std::fs;

use crate::stage::Stage;

pub(crate) const ALL: &[&str] = &["doctor", "fsck"];

#[test]
fn what_is_wrong_is_found_and_mended() {
    let Some(stage) = Stage::at_work(ALL, &[]) else { return };
    stage.says("agentctl stop anga --wait --yes").tells(&[]);
    let lock = stage.world().root().join("locks/anga_task_gone.lock");
    fs::write(&lock, "{}").unwrap();
    let told = stage.types(r#"agentctl doctor --json | jq '.checks[] | select(.verdict != "ok")'"#);
    assert!(told.out.contains("anga_task_gone.lock") && !told.out.contains(r#""verdict": "ok""#), "{told:?}");
    let told = stage.types("agentctl doctor --fix --dry-run");
    let shown = format!("{}{}", told.out, told.err);
    assert!(shown.contains("anga_task_gone.lock") && lock.exists(), "{told:?}");
    let [alone, living] = ["anga", "marie"].map(|worker| {
        let path = stage.world().root().join(format!("tasks/{worker}/failed/gone.json.reason"));
        fs::write(&path, "{}").unwrap();
        path
    });
    stage.types("agentctl fsck").ends(1, &["reason-alone", "gone.json.reason", "free-lock"]);
    let told = stage.types(r#"agentctl fsck --json | jq '.findings[] | select(.severity == "damaged")'"#);
    assert_eq!(told.tells(&[]).out, "", "nothing of it is damaged");
    let told = stage.types("agentctl fsck --repair");
    assert!(!alone.exists() && !lock.exists(), "{told:?}");
    assert!(living.exists() && told.code == 1, "marie's watcher lives: {told:?}");
    stage.done();
    stage.host.stop();
}
