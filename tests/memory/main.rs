//! Memory: runs that use too much of it, a kernel that takes an agent, a machine that has too little.

#![cfg(feature = "test-support")]
#![allow(clippy::disallowed_methods, reason = "a test plays the operator and the kernel: it writes files")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/world.rs"]
mod world;

mod limit;
mod oom;
mod short;

use world::{Started, World};

/// A watcher with a face on a free port and some more flags, at work.
fn up(world: &World, flags: &[&str]) -> Started {
    let watcher = world.start(world.served("marie", "127.0.0.1:0").args(flags), "marie");
    world.at_work("marie", &watcher);
    watcher
}
