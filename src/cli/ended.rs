//! `supervisor ended W`: for the `ExecStopPost=` of a watcher's unit. It also makes room in the unit's control group for the
//! next watcher, while agents of the last one live in groups below it.

use clap::{ArgMatches, Args};

use super::flags::{LogFlags, PlaceFlags};
use super::parse;
use crate::clock::SystemClock;
use crate::config::{Environment, Exit, RecoverConfig};
use crate::operator::Report;
use crate::os::cgroup::base;
use crate::supervisor::unit_end;
use crate::task::WorkerName;

/// The flags of `supervisor ended`.
#[derive(Debug, Args)]
pub struct EndedFlags {
    /// Whose watcher ended
    #[arg(value_name = "WORKER")]
    pub whom: WorkerName,
    /// Where the root is.
    #[command(flatten)]
    pub place: PlaceFlags,
    /// The log.
    #[command(flatten)]
    pub log: LogFlags,
}

pub(super) fn run(matches: &ArgMatches, env: &Environment) -> Exit {
    let Some(worker) = matches.get_one::<WorkerName>("whom").cloned() else { return Exit::Usage };
    let resolved = parse::settings(matches, env)
        .and_then(|mut settings| RecoverConfig::resolve(worker, &mut settings, env));
    let config = match resolved {
        Ok(config) => config,
        Err(error) => return parse::misconfigured(&error, env),
    };
    let report = Report::new(env);
    if let Err(error) = base::make_room() {
        report.warn(&format!("the next watcher may not find room in its control group: {error}"));
    }
    match unit_end::note_end(&config, env, SystemClock::shared().wall()) {
        Ok(Some(verdict)) => {
            report.data(&format!("the watcher of {} ended: {verdict}", config.worker));
            Exit::Done
        }
        Ok(None) => Exit::Done,
        Err(error) => {
            report.error(&error, None);
            Exit::Denied
        }
    }
}
