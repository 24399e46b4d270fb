//! Processes that an agent leaves behind when it goes: they detach as they were told, and sleep.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::script::Step;
use crate::session::log;
use crate::{LOOK, PATIENCE, fresh, havoc, voice};

/// Starts a process that outlives this one, and waits until it has said its pid in the log.
pub(crate) fn leave_behind(step: &Step) {
    start(&step.words);
}

/// The same, told in words.
pub(crate) fn start(words: &[String]) {
    let has = |word: &str| words.iter().any(|known| known == word);
    let exe = std::env::current_exe().expect("my own path");
    let mut command = Command::new(exe);
    command.arg("--fake-grandchild").args(words).stdin(Stdio::null()).stderr(Stdio::null());
    if !has("stdout") {
        command.stdout(Stdio::null());
    }
    let ready = std::env::temp_dir().join(format!("grandchild-{}", fresh()));
    command.env("FAKE_GRANDCHILD_READY", &ready);
    let child = command.spawn().expect("a grandchild");
    if has("double") {
        child.wait_with_output().expect("the process between");
    }
    while !ready.exists() {
        std::thread::sleep(LOOK);
    }
    std::fs::remove_file(&ready).ok();
}

/// What a process that is left behind does: it detaches as it was told and sleeps.
pub(crate) fn grandchild(words: &[String]) {
    let has = |word: &str| words.iter().any(|known| known == word);
    if has("setsid") || has("double") {
        nix::unistd::setsid().expect("a session of its own");
    }
    let rest: Vec<&String> =
        words.iter().filter(|word| !["setsid", "double", "noenv"].contains(&word.as_str())).collect();
    if has("double") || has("noenv") {
        let mut next = Command::new(std::env::current_exe().expect("my own path"));
        next.arg("--fake-grandchild").args(rest);
        if has("noenv") {
            // Only what the log needs; the run's cookie is gone.
            next.env_clear();
            for name in ["HOME", "FAKE_CLAUDE_LOG", "FAKE_GRANDCHILD_READY"] {
                next.envs(std::env::var_os(name).map(|value| (name, value)));
            }
        }
        next.spawn().expect("the process after");
        return;
    }
    if has("noterm") {
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::default())
            .expect("a handler for SIGTERM");
    }
    if let Some(mib) = words.iter().find_map(|word| word.strip_prefix("eat:")) {
        havoc::eat(mib.parse().expect("a number of MiB"));
    }
    log("grandchild", &json!({"words": words}));
    if let Some(ready) = std::env::var_os("FAKE_GRANDCHILD_READY") {
        std::fs::write(ready, "").expect("a sign that it is there");
    }
    let mut left = PATIENCE;
    while has("flood") {
        voice::raw(b"x\n".repeat(500).as_slice());
    }
    while !left.is_zero() {
        std::thread::sleep(Duration::from_millis(100));
        left = left.saturating_sub(Duration::from_millis(100));
    }
}
