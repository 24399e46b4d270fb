//! Months unattended: what is done with goes after its time and nothing else does, no line of a log is lost, nothing grows.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "../support/real.rs"]
mod real;
#[path = "../support/world.rs"]
mod world;

mod holds;
mod logs;
mod prune;
mod retention;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}
