//! What stands in `observability/`: rules, alerts, routes and dashboards, each tried on the real programs.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test plays the operator: it starts programs and writes files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

#[path = "../support/base.rs"]
mod base;
mod compose;
#[path = "../support/docker.rs"]
mod docker;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/prometheus.rs"]
mod prometheus;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/world.rs"]
mod world;

mod dashboards;
mod fires;
mod rules;
mod scene;

use std::path::PathBuf;

/// A file of ours.
fn ours(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("observability").join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(ours(path)).unwrap()
}
