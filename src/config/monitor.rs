//! The settings of `supervisor monitor`.

use std::path::PathBuf;
use std::time::Duration;

use crate::task::WorkerName;

use super::environment::Environment;
use super::error::ConfigError;
use super::settings::Settings;
use super::watcher::path;

/// The shortest pause between two looks.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);

/// What is watched, where and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorConfig {
    /// Whom.
    pub worker: WorkerName,
    /// The root, absolute.
    pub root: PathBuf,
    /// Where its metrics are served, if that was said; `host:port`.
    pub addr: Option<String>,
    /// For how long.
    pub duration: Duration,
    /// Between two looks.
    pub interval: Duration,
}

impl MonitorConfig {
    /// Resolves the settings; `times` are the duration and the interval.
    pub fn resolve(
        worker: WorkerName,
        addr: Option<String>,
        times: (Duration, Duration),
        settings: &mut Settings,
        env: &Environment,
    ) -> Result<Self, ConfigError> {
        let root = settings.take("root", path(env), "/shared")?;
        Ok(Self { worker, root, addr, duration: times.0, interval: times.1.max(LEAST_INTERVAL) })
    }
}
