//! Three watchers of one root share one account: what one of them learns, the others know, whoever is killed meanwhile.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "../support/faults.rs"]
mod faults;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/syscalls.rs"]
mod syscalls;
#[path = "../support/tracer.rs"]
mod tracer;
#[path = "../support/world.rs"]
mod world;

mod bucket;
mod hand;
mod killed;
mod learned;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use world::{Started, World};

const WORKERS: [&str; 3] = ["marie", "anga", "fabien"];

/// How a watcher of `worker` with further flags is started.
fn command(world: &World, worker: &str, flags: &[(&str, &str)]) -> Command {
    let mut command = sight::watcher_with(world, worker, flags);
    let known: Vec<_> = world.watcher(worker).get_args().map(|it| it.to_str().unwrap().to_owned()).collect();
    for (flag, value) in flags.iter().filter(|(flag, _)| !known.iter().any(|it| it == flag)) {
        command.args([flag, value]);
    }
    command
}

/// A watcher of `worker` with further flags, at work.
fn up(world: &World, worker: &str, flags: &[(&str, &str)]) -> Started {
    let started = world.start(&mut command(world, worker, flags), worker);
    world.at_work(worker, &started);
    started
}

fn limits(world: &World) -> PathBuf {
    world.root().join("limits")
}

/// The record of the one account, once it is as expected.
fn account(world: &World, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    world.until(what, || {
        let name = sight::names(&limits(world)).into_iter().find(|name| {
            std::path::Path::new(name).extension().is_some_and(|it| it == "json") && !name.starts_with('.')
        })?;
        world::json(&limits(world).join(name)).filter(|it| is(it))
    })
}

/// How many agents were started.
fn starts(world: &World) -> usize {
    world.agent_log().iter().filter(|line| line["event"] == "start").count()
}

/// The hold in a worker's state, once it holds for this cause.
fn held(world: &World, worker: &str, cause: &str) -> Value {
    sight::state(world, worker, |it| it["hold"]["cause"] == cause)["hold"].clone()
}
