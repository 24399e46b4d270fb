//! What `supervisor resume` is told.

use std::path::PathBuf;
use std::time::Duration;

use crate::task::WorkerName;

use super::durability::Durability;
use super::duration::parse_duration;
use super::environment::Environment;
use super::error::ConfigError;
use super::settings::Settings;
use super::watcher::{LogConfig, path};

/// Tasks of the first batch.
pub const BATCH_SIZE: usize = 5;
/// Between two batches.
pub const DELAY: Duration = Duration::from_secs(30);
/// Which share of a batch may fail.
pub const MAX_FAILURE_RATE: f64 = 0.5;
/// After how long without a leader a worker ends a resume by itself.
pub const LEADERLESS: Duration = Duration::from_mins(1);

/// The settings of `supervisor resume`.
#[derive(Clone, Debug, PartialEq)]
pub struct ResumeConfig {
    /// Whose backlog.
    pub worker: WorkerName,
    /// The root, absolute.
    pub root: PathBuf,
    /// Tasks of the first batch, at least 1.
    pub batch_size: usize,
    /// Between two batches.
    pub delay: Duration,
    /// Which share of a batch may fail, from 0 to 1.
    pub max_failure_rate: f64,
    /// Whether batches grow while they do well.
    pub adaptive: bool,
    /// After how long without a leader the worker ends the resume by itself.
    pub leaderless: Duration,
    /// Whether a power cut counts.
    pub durability: Durability,
    /// The log.
    pub log: LogConfig,
}

impl ResumeConfig {
    /// Resolves the settings for resuming `worker`.
    pub fn resolve(
        worker: WorkerName,
        settings: &mut Settings,
        env: &Environment,
    ) -> Result<Self, ConfigError> {
        settings.narrow_to(&worker);
        Ok(Self {
            worker,
            root: settings.take("root", path(env), "/shared")?,
            batch_size: settings.take("batch_size", size, "5")?,
            delay: settings.take("delay", parse_duration, "30s")?,
            max_failure_rate: settings.take("max_failure_rate", share, "0.5")?,
            adaptive: settings.take("adaptive", flag, "false")?,
            leaderless: settings.take("leaderless", parse_duration, "60s")?,
            durability: settings.take("durability", str::parse, "full")?,
            log: LogConfig::resolve(settings, env)?,
        })
    }
}

fn size(text: &str) -> Result<usize, String> {
    let wrong = || "takes a number from 1 to 10000".to_owned();
    text.parse().ok().filter(|n| (1..=10_000).contains(n)).ok_or_else(wrong)
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || "takes a share from 0 to 1, such as 0.5".to_owned();
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wrong)
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "takes true or false".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::error::Origin;
    use super::super::settings::Given;
    use super::*;

    fn resolve(flags: &[(&'static str, &str)]) -> Result<ResumeConfig, ConfigError> {
        let given = |(key, value): &(&'static str, &str)| Given {
            key,
            values: vec![(*value).to_owned()],
            origin: Origin::Flag,
        };
        let mut settings = Settings::new(flags.iter().map(given).collect(), None);
        let marie = "marie".parse().map_err(|_| ConfigError::Missing { key: "worker", hint: "" })?;
        ResumeConfig::resolve(marie, &mut settings, &Environment::of(&[]))
    }

    #[test]
    fn the_defaults_are_those_of_the_runbook() {
        let config = resolve(&[]).unwrap();
        assert_eq!((config.batch_size, config.delay, config.leaderless), (BATCH_SIZE, DELAY, LEADERLESS));
        assert!((config.max_failure_rate - MAX_FAILURE_RATE).abs() < f64::EPSILON && !config.adaptive);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            ("batch_size", "0"),
            ("batch_size", "five"),
            ("delay", "-1"),
            ("max_failure_rate", "1.5"),
            ("max_failure_rate", "-0.1"),
            ("max_failure_rate", "NaN"),
        ] {
            assert!(resolve(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(
            resolve(&[("max_failure_rate", "0"), ("delay", "0"), ("adaptive", "true")]).unwrap().adaptive
        );
    }
}
