//! What comes in over HTTP and out of an agent: it must not stop, trick or fill a worker, nor take a secret along.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "../support/http.rs"]
mod http;
#[path = "../support/real.rs"]
mod real;
#[path = "../support/sight.rs"]
mod sight;
#[path = "../support/world.rs"]
mod world;

mod confined;
mod face;
mod modes;
mod secrets;
mod spawn;
mod terminal;
