//! One line of the doctor's.

use std::path::PathBuf;

use serde::Serialize;

use crate::config::Exit;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// It works, and promises less, or will not do so for long.
    Warn,
    /// It stops the work.
    Bad,
}

/// What is done about it with `--fix`: nothing that could cost anybody anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub(super) enum Fix {
    MakeFolder { path: PathBuf },
    MakePipe { path: PathBuf },
    RemoveLock { path: PathBuf },
    SetMode { path: PathBuf, mode: u32 },
}

impl std::fmt::Display for Fix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MakeFolder { path } => write!(f, "make the folder {}", path.display()),
            Self::MakePipe { path } => write!(f, "make the pipe {}", path.display()),
            Self::RemoveLock { path } => {
                write!(f, "remove the lock file {}, which nobody holds", path.display())
            }
            Self::SetMode { path, mode } => write!(f, "set the mode of {} to {mode:04o}", path.display()),
        }
    }
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// The thing.
    #[serde(rename = "check")]
    pub(super) thing: &'static str,
    /// How it is.
    pub(super) verdict: Verdict,
    /// Whether it is a matter of how things were set up, and not one that may end by itself.
    pub(super) is_setup: bool,
    /// What is so.
    pub(super) found: String,
    /// What to do, as a command where there is one.
    pub(super) remedy: Option<String>,
    /// What `--fix` does.
    pub(super) fix: Option<Fix>,
}

impl Check {
    pub(super) fn ok(thing: &'static str, found: impl Into<String>) -> Self {
        Self { thing, verdict: Verdict::Ok, is_setup: false, found: found.into(), remedy: None, fix: None }
    }

    pub(super) fn warn(thing: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, remedy: Some(remedy.into()), ..Self::ok(thing, found) }
    }

    pub(super) fn bad(thing: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::warn(thing, found, remedy) }
    }

    /// A matter of the setup.
    pub(super) fn set_up(self) -> Self {
        Self { is_setup: true, ..self }
    }

    pub(super) fn fixed_by(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }
}

/// With which code the doctor ends: what will not end by itself weighs more.
pub(super) fn exit(checks: &[Check]) -> Exit {
    let bad: Vec<&Check> = checks.iter().filter(|it| it.verdict == Verdict::Bad).collect();
    if bad.iter().any(|it| it.is_setup) {
        Exit::Configuration
    } else if bad.is_empty() {
        Exit::Done
    } else {
        Exit::Unavailable
    }
}
