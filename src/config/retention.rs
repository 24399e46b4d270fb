//! How long what is done with is kept, and how much of it.

use std::time::Duration;

use super::duration::parse_duration;
use super::error::ConfigError;
use super::settings::Settings;

/// What is kept for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Task files in `completed/`.
    Completed,
    /// Task files in `cancelled/`.
    Cancelled,
    /// Task files in `failed/`, with their reasons: only by a word of an operator.
    Failed,
    /// The records of runs.
    Artifacts,
    /// The working directories of runs.
    Workspaces,
    /// The journal's days.
    Journal,
    /// Log files that were put aside by us.
    Logs,
    /// What nobody will ever ask for: files of writes that were cut, scratch of dead runs, old reports of bugs.
    Leftovers,
}

impl Kind {
    /// All kinds, in the order in which they are gone through.
    pub const ALL: [Self; 8] = [
        Self::Completed,
        Self::Cancelled,
        Self::Failed,
        Self::Workspaces,
        Self::Artifacts,
        Self::Journal,
        Self::Logs,
        Self::Leftovers,
    ];

    /// The word used in flags, files and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Artifacts => "artifacts",
            Self::Workspaces => "workspaces",
            Self::Journal => "journal",
            Self::Logs => "logs",
            Self::Leftovers => "leftovers",
        }
    }

    /// The settings that speak of this kind alone; `None` where there are none.
    const fn keys(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Completed => Some(("retention_days_completed", "retention_gb_completed")),
            Self::Cancelled => Some(("retention_days_cancelled", "retention_gb_cancelled")),
            Self::Artifacts => Some(("retention_days_artifacts", "retention_gb_artifacts")),
            Self::Workspaces => Some(("retention_days_workspaces", "retention_gb_workspaces")),
            Self::Journal => Some(("retention_days_journal", "retention_gb_journal")),
            Self::Logs => Some(("retention_days_logs", "retention_gb_logs")),
            Self::Failed | Self::Leftovers => None,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            "takes completed, cancelled, failed, artifacts, workspaces, journal, logs or leftovers".to_owned()
        })
    }
}

/// How much of one kind is kept; `None` is without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// What is older goes.
    pub age: Option<Duration>,
    /// Beyond so many bytes the oldest go.
    pub bytes: Option<u64>,
}

/// How much of everything one worker keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    limits: Vec<(Kind, Limit)>,
    /// How often a watcher looks what may go.
    pub every: Duration,
}

impl Retention {
    /// Resolves the settings.
    pub fn resolve(settings: &mut Settings) -> Result<Self, ConfigError> {
        let common = Limit {
            age: settings.take("retention_days", days, "90")?,
            bytes: settings.take("retention_gb", gigabytes, "20")?,
        };
        let mut limits = Vec::new();
        for kind in Kind::ALL {
            let Some((days_key, gb_key)) = kind.keys() else { continue };
            let age = settings.take_optional(days_key, days)?.unwrap_or(common.age);
            let bytes = settings.take_optional(gb_key, gigabytes)?.unwrap_or(common.bytes);
            limits.push((kind, Limit { age, bytes }));
        }
        let every = settings.take("retention_every", super::watcher::some_time, "1h")?;
        Ok(Self { limits, every })
    }

    /// The limit of one kind. What failed has none; what is left over has one of its own.
    pub fn limit(&self, kind: Kind) -> Limit {
        if kind == Kind::Leftovers {
            return Limit { age: Some(LEFTOVERS), bytes: None };
        }
        self.limits.iter().find(|(it, _)| *it == kind).map(|(_, limit)| *limit).unwrap_or_default()
    }
}

/// A write, or a run, that stood still for so long is over, whoever's it was.
const LEFTOVERS: Duration = Duration::from_hours(24);

/// Reads `90` or `0.5` (days), `36h`, `30d`; `0`, `never` and `off` are without a bound.
pub fn days(text: &str) -> Result<Option<Duration>, String> {
    if is_off(text) {
        return Ok(None);
    }
    let bare = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let age = parse_duration(&if bare { format!("{text}d") } else { text.to_owned() })
        .map_err(|_| "takes days such as 90, a duration such as 36h, or never".to_owned())?;
    Ok(Some(age).filter(|age| !age.is_zero()))
}

/// Reads `20` or `0.5` (10⁹ bytes each); `0`, `never` and `off` are without a bound.
fn gigabytes(text: &str) -> Result<Option<u64>, String> {
    if is_off(text) {
        return Ok(None);
    }
    let number = text.strip_suffix("GB").unwrap_or(text).trim();
    let plain = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let gigabytes: Option<f64> = plain.then(|| number.parse().ok()).flatten();
    // A `Duration` turns seconds into whole nanoseconds without a cast: one of them is a byte here.
    let bytes = gigabytes.and_then(|it| Duration::try_from_secs_f64(it).ok()).map(|it| it.as_nanos());
    match bytes.map(u64::try_from) {
        Some(Ok(0)) => Ok(None),
        Some(Ok(bytes)) => Ok(Some(bytes)),
        Some(Err(_)) | None => Err("takes gigabytes such as 20 or 0.5, or never".to_owned()),
    }
}

fn is_off(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "0" | "never" | "off" | "none")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::ConfigFile;
    use super::*;

    fn resolve(file: &str) -> Retention {
        let file = ConfigFile::parse(Path::new("/f.toml"), file).unwrap();
        Retention::resolve(&mut Settings::new(Vec::new(), Some(file))).unwrap()
    }

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn without_a_word_everything_is_kept_for_90_days_and_20_gb() {
        let retention = resolve("");
        for kind in Kind::ALL.into_iter().filter(|kind| kind.keys().is_some()) {
            assert_eq!(
                retention.limit(kind),
                Limit { age: Some(DAY * 90), bytes: Some(20_000_000_000) },
                "{kind}"
            );
        }
        assert_eq!(retention.limit(Kind::Failed), Limit::default(), "what failed waits for a person");
    }

    #[test]
    fn a_kind_of_its_own_overrides_the_rest() {
        let retention =
            resolve("retention_days = 7\nretention_days_journal = \"never\"\nretention_gb_artifacts = 0.5");
        assert_eq!(retention.limit(Kind::Completed).age, Some(DAY * 7));
        assert_eq!(retention.limit(Kind::Journal).age, None);
        assert_eq!(retention.limit(Kind::Artifacts).bytes, Some(500_000_000));
        assert_eq!(retention.limit(Kind::Workspaces).bytes, Some(20_000_000_000));
    }

    #[test]
    fn days_and_sizes_read_as_people_write_them() {
        for (text, hours) in
            [("90", Some(2160)), ("0.5", Some(12)), ("36h", Some(36)), ("0", None), ("off", None)]
        {
            assert_eq!(days(text), Ok(hours.map(Duration::from_hours)), "{text}");
        }
        for wrong in ["", "-1", "ninety", "90x", "1e3"] {
            assert!(days(wrong).is_err() && gigabytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(gigabytes("never"), Ok(None));
        assert_eq!(gigabytes("20GB"), Ok(Some(20_000_000_000)));
    }
}
