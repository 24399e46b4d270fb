//! Where the command lines meet the actors: one call each.

#![expect(clippy::needless_pass_by_value, reason = "the actors own their configuration")]

use std::ffi::OsString;

use crate::clock::{SharedClock, SystemClock};
use crate::config::{Environment, Exit, RecoverConfig, ResumeConfig, SupervisorConfig};
use crate::operator::Report;
use crate::recovery::LivingAgents;
use crate::supervisor::resume::verb::{self as resuming, View};
use crate::supervisor::up::Again;
use crate::supervisor::{self, recover::Wish};
use crate::watcher::Live;

/// What `supervisor recover` was asked for, beside its settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RecoverWish {
    /// Show the plan and do nothing.
    pub(super) dry_run: bool,
    /// The plan as JSON.
    pub(super) json: bool,
    /// End agents that are still alive.
    pub(super) end_agents: bool,
}

/// What `supervisor resume` was asked for, beside its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResumeWish {
    /// To lead, to show, to end.
    pub(super) what: resuming::Wish,
    /// The end as JSON.
    pub(super) json: bool,
}

pub(super) fn watch(config: Live, env: &Environment) -> Exit {
    crate::watcher::run(config, env, clock(env))
}

#[cfg(not(feature = "test-support"))]
fn clock(_: &Environment) -> SharedClock {
    SystemClock::shared()
}

/// A test may set the wall clock, which nobody may do to the machine.
#[cfg(feature = "test-support")]
fn clock(env: &Environment) -> SharedClock {
    match env.get("AGENT_WORKER_CLOCK_STEP") {
        Some(path) => crate::clock::SteppedClock::shared(path.into()),
        None => SystemClock::shared(),
    }
}

/// The agent's own exit code is not one of ours: it is what the CLI's would have been.
pub(super) fn echo_agent(args: &[OsString]) -> Exit {
    let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    match crate::agent::echo::run(&args, std::io::stdin().lock(), std::io::stdout().lock()) {
        0 => Exit::Done,
        _ => Exit::TaskFailed,
    }
}

pub(super) fn look_after(config: SupervisorConfig, again: Again, env: &Environment) -> Exit {
    supervisor::up::run(config, again, env, SystemClock::shared())
}

pub(super) fn recover(config: RecoverConfig, wish: RecoverWish, env: &Environment) -> Exit {
    let report = Report::new(env);
    let living = if wish.end_agents { LivingAgents::End } else { LivingAgents::Adopt };
    let what = if wish.dry_run { Wish::Plan(living) } else { Wish::Apply(living) };
    let say = |line: &str| {
        if wish.json {
            report.talk(line);
        } else {
            report.data(line);
        }
    };
    match supervisor::recover::run(&config, what, &SystemClock::shared(), &say) {
        Ok(recovered) if wish.json => {
            report.json(&serde_json::to_value(&recovered).unwrap_or_default());
            Exit::Done
        }
        Ok(recovered) if !recovered.applied => {
            report.talk(&format!("this is what recovering {} would do; nothing was changed", config.worker));
            tell_death(report, &recovered);
            for action in &recovered.plan.actions {
                report.data(&action.to_string());
            }
            Exit::Done
        }
        Ok(recovered) => {
            tell_death(report, &recovered);
            Exit::Done
        }
        Err(error) => {
            report.error(&error, error.hint());
            error.exit()
        }
    }
}

/// Beside the data: scripts read the runbook's lines there.
fn tell_death(report: Report, recovered: &supervisor::recover::Recovered) {
    if let Some(died) = &recovered.died {
        report.talk(&format!("its last watcher died: {died}"));
    }
}

pub(super) fn resume(config: ResumeConfig, wish: ResumeWish, env: &Environment) -> Exit {
    let report = Report::new(env);
    let say = |line: &str| {
        if wish.json {
            report.talk(line);
        } else {
            report.data(line);
        }
    };
    let view = View { say: &say, warn: &|text| report.warn(text), is_terminal: env.terminals().stderr };
    if wish.what == resuming::Wish::Plan {
        report.talk(&format!("this is what resuming {} would do; nothing was changed", config.worker));
    }
    match resuming::run(&config, wish.what, &SystemClock::shared(), view) {
        Ok(resumed) => {
            if wish.json {
                report.json(&serde_json::to_value(&resumed).unwrap_or_default());
            }
            resumed.exit()
        }
        Err(error) => {
            report.error(&error, error.hint());
            error.exit()
        }
    }
}
