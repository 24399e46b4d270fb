//! Where the command lines meet the actors: one call each.

#![expect(clippy::needless_pass_by_value, reason = "the actors own their configuration")]

use std::ffi::OsString;

use crate::clock::SystemClock;
use crate::config::{Environment, Exit, RecoverConfig, SupervisorConfig, WatcherConfig};
use crate::operator::Report;

use super::supervisor::RecoverWish;

// SEAM: crate::watcher::run(config, env.clone(), SystemClock::shared()) -> Exit
pub(super) fn watch(config: WatcherConfig, env: &Environment) -> Exit {
    absent(&format!("the watcher of {}", config.worker), env)
}

/// The agent's own exit code is not one of ours: it is what the CLI's would have been.
pub(super) fn echo_agent(args: &[OsString]) -> Exit {
    let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    match crate::agent::echo::run(&args, std::io::stdin().lock(), std::io::stdout().lock()) {
        0 => Exit::Done,
        _ => Exit::TaskFailed,
    }
}

pub(super) fn look_after(config: SupervisorConfig, env: &Environment) -> Exit {
    crate::supervisor::up::run(config, env, SystemClock::shared())
}

// SEAM: crate::recovery: survey → plan → print → apply, under the worker's lock
pub(super) fn recover(config: RecoverConfig, _wish: RecoverWish, env: &Environment) -> Exit {
    absent(&format!("the recovery of {}", config.worker), env)
}

fn absent(what: &str, env: &Environment) -> Exit {
    Report::new(env).talk(&format!("{what} is not built in"));
    Exit::Unavailable
}
