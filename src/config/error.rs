//! Where a value came from, and why there is no configuration.

use std::fmt;
use std::path::PathBuf;

use super::exit::Exit;
use super::file::Spot;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// An environment variable.
    Environment(&'static str),
    /// A configuration file.
    File(Spot),
    /// Built in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(spot) => write!(f, "file {spot}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that is not one.
    #[error("`{key}` = `{text}` (from {origin}): {why}")]
    Bad {
        /// The setting.
        key: &'static str,
        /// What was given.
        text: String,
        /// Where it was given.
        origin: Origin,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing was given for a setting that has no default.
    #[error("`{key}` is not set")]
    Missing {
        /// The setting.
        key: &'static str,
        /// How to set it.
        hint: &'static str,
    },
    /// The file cannot be read.
    #[error("could not read the configuration `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("could not understand the configuration `{}`", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where it stopped making sense.
        source: Box<toml::de::Error>,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in the configuration {at}")]
    Unknown {
        /// Where it stands.
        at: Spot,
        /// The key.
        key: String,
        /// What was most likely meant.
        near: Option<String>,
    },
}

impl ConfigError {
    /// A wrong flag is wrong usage; anything else is wrong configuration.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Bad { origin: Origin::Flag, .. } | Self::Missing { .. } => Exit::Usage,
            Self::Bad { .. } | Self::Read { .. } | Self::Toml { .. } | Self::Unknown { .. } => {
                Exit::Configuration
            }
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { hint, .. } => Some((*hint).to_owned()),
            Self::Unknown { near, .. } => near.as_ref().map(|near| format!("did you mean `{near}`?")),
            Self::Bad { .. } | Self::Read { .. } | Self::Toml { .. } => None,
        }
    }
}
