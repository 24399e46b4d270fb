//! Whatever is dropped into a queue: it stops no watcher, tricks none, fills nothing, and gets a verdict that says why.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "../support/dice.rs"]
mod dice;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/world.rs"]
mod world;

mod contents;
mod entries;
mod flood;
mod forged;
mod hundreds;
mod moved;
mod rows;
mod workdirs;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use world::{Started, World};

/// Drops some bytes under a name, whole.
fn drop_bytes(world: &World, dir: &str, name: impl AsRef<OsStr>, bytes: &[u8]) {
    let temp = world.path().join("drop");
    fs::write(&temp, bytes).unwrap();
    if let Some(uid) = world.uid {
        nix::unistd::chown(&temp, Some(uid.into()), Some(uid.into())).unwrap();
    }
    fs::rename(temp, sight::place(world, dir).join(name.as_ref())).unwrap();
}

/// The reason beside a failed file as it stands there, once it does.
fn reason_text(world: &World, worker: &str, file: &str) -> String {
    let path = sight::place(world, &format!("{worker}/failed/{file}.reason"));
    let read = || fs::read_to_string(&path).ok().filter(|text| text.ends_with("}\n"));
    world.until(&format!("{} is there", path.display()), read)
}

/// A reason that is one JSON object, short, and safe to print as it is.
fn safe_reason(world: &World, worker: &str, file: &str) -> Value {
    let text = reason_text(world, worker, file);
    assert!(text.len() < 8 * 1024, "{file}: {} bytes", text.len());
    let hides =
        |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}".contains(c);
    assert!(!text.contains(hides), "{text:?}");
    let reason: Value = serde_json::from_str(&text).unwrap();
    assert!(!reason["reason"].as_str().unwrap().contains(hides), "also when a program prints it: {text:?}");
    reason
}

/// A good task beside the others is done, and the watcher is the one that was started.
fn a_good_task_is_done(world: &World, watcher: &Started, name: &str) {
    world.submit("marie/pending", name, &json!({"prompt": "fake: succeed text=good"}));
    assert_eq!(world.filed("marie/completed", name)["result"], "good");
    assert!(sight::lives(watcher.pid()));
}

/// How many of the files in a folder end so.
fn count(dir: &Path, end: &str) -> usize {
    sight::names(dir).iter().filter(|name| name.ends_with(end)).count()
}
