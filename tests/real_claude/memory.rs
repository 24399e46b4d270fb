//! What the real CLI says of its version and takes of the memory, and how it ends when that is too much.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::stub_api::Scenario;
use crate::world;
use crate::{Real, attempts};

fn state(real: &Real, is: impl Fn(&Value) -> bool) -> Value {
    let path = real.world.root().join("workers/marie/state.json");
    real.world.until("the state is as expected", || world::json(&path).filter(|it| is(it)))
}

#[test]
fn an_old_cli_is_waited_out_until_the_real_one_stands_in_its_place() {
    let Some(mut real) = Real::new(Scenario::Text("well".to_owned())) else { return };
    let (installed, place) = (real.claude.clone(), real.world.home().join("claude"));
    fs::write(&place, "#!/bin/sh\necho '1.0.3 (Claude Code)'\n").unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    real.claude.clone_from(&place);
    let _watcher = real.up();
    real.world.submit("marie/pending", "t", &json!({"prompt": "hello"}));
    let held = state(&real, |it| it["hold"]["cause"] == "configuration");
    assert!(held["hold"]["reason"].as_str().unwrap().contains("claude 1.0.3"), "{held}");
    assert_eq!(real.api.count(), 0, "nobody was asked, and nothing was paid");
    // As an installer does.
    let new = real.world.home().join("claude.new");
    symlink(installed, &new).unwrap();
    fs::rename(new, &place).unwrap();
    let task = real.completed("t");
    assert_eq!((&task["result"], attempts(&task).len()), (&json!("well"), 1), "{task}");
    let version = state(&real, |it| it["status"] == "running")["claude_version"].clone();
    let told = real.artifact(&task, "attempt-1/stream.ndjson");
    assert!(told.contains(&format!("\"claude_code_version\":{version}")), "{version}: {told}");
}

#[test]
fn it_is_weighed_and_too_much_of_it_ends_with_e004() {
    let Some(real) = Real::new(Scenario::Text(String::new())) else { return };
    let gate = real.world.home().join("gate");
    real.api.play(Scenario::bash_until(&gate.display().to_string()));
    let watcher = real.up();
    real.world.submit("", "t", &json!({"prompt": "begin"}));
    let weighed = state(&real, |it| it["running"][0]["memory_bytes"].as_u64() > Some(64 << 20));
    let bytes = weighed["running"][0]["memory_bytes"].as_u64().unwrap();
    assert!(bytes < 2 << 30, "{weighed}");
    fs::write(&gate, "").unwrap();
    real.completed("t");
    assert_eq!(watcher.stop(), 0);
    fs::remove_file(&gate).unwrap();

    real.api.play(Scenario::bash_until(&gate.display().to_string()));
    let _small = real.start(real.watcher().args(["--agent-memory", "64MiB"]));
    real.world.submit("", "u", &json!({"prompt": "begin"}));
    let task = real.failed("u");
    assert_eq!((&task["error_code"], attempts(&task).len()), (&json!("E004"), 1), "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("more than the 64MiB"), "{task}");
}
