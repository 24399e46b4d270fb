//! The command line of `supervisor monitor`.

use std::time::Duration;

use clap::{ArgMatches, Args};

use super::flags::PlaceFlags;
use super::parse;
use crate::clock::SystemClock;
use crate::config::{ConfigError, Environment, Exit, MonitorConfig};
use crate::operator::Report;
use crate::supervisor::monitor::{self, Audience};
use crate::task::WorkerName;

/// The flags of `supervisor monitor`.
#[derive(Debug, Args)]
pub struct MonitorFlags {
    /// Whom to watch
    #[arg(value_name = "WORKER")]
    pub whom: WorkerName,
    /// For how long
    #[arg(long, value_name = "TIME", default_value = "300", value_parser = crate::config::parse_duration)]
    pub duration: Duration,
    /// Between two looks
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = crate::config::parse_duration)]
    pub interval: Duration,
    /// Where its metrics are served, such as marie:9091 [default: what its state says, else 127.0.0.1:9091 for marie,
    /// 9092 anga, 9093 fabien]
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics_addr: Option<String>,
    /// Where the root is.
    #[command(flatten)]
    pub place: PlaceFlags,
}

/// Where the lines go.
struct Screen {
    report: Report,
    person: bool,
}

impl Audience for Screen {
    fn line(&self, text: &str) -> bool {
        self.report.data(text)
    }

    fn below(&self, text: &str) -> bool {
        // Back to the beginning of the line, and nothing on it (ECMA-48: CR, EL 2).
        !self.person || self.report.raw(format!("\r\u{1b}[2K{text}").as_bytes())
    }

    fn is_person(&self) -> bool {
        self.person
    }
}

/// Runs `supervisor monitor`.
pub(super) fn run(matches: &ArgMatches, env: &Environment) -> Exit {
    let report = Report::new(env);
    match resolve(matches, env) {
        Err(error) => parse::misconfigured(&error, env),
        Ok(None) => Exit::Usage,
        Ok(Some(config)) => {
            let to = Screen { report, person: env.terminals().stdout };
            match monitor::run(&config, &to, &SystemClock::shared()) {
                Ok(()) => Exit::Done,
                Err(error) => {
                    report.error(&error, error.hint());
                    error.exit()
                }
            }
        }
    }
}

fn resolve(matches: &ArgMatches, env: &Environment) -> Result<Option<MonitorConfig>, ConfigError> {
    let mut settings = parse::settings(matches, env)?;
    let (Some(worker), Some(duration), Some(interval)) = (
        matches.get_one::<WorkerName>("whom"),
        matches.get_one::<Duration>("duration"),
        matches.get_one::<Duration>("interval"),
    ) else {
        return Ok(None);
    };
    let addr = matches.get_one::<String>("metrics_addr").cloned();
    MonitorConfig::resolve(worker.clone(), addr, (*duration, *interval), &mut settings, env).map(Some)
}
