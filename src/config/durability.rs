//! How much a write is worth: whether it survives a power cut, or only the end of a process.

use std::fmt;
use std::str::FromStr;

/// Whether files and directories are synced to the disk before anything is built on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Every promise holds through a power cut.
    Full,
    /// The promises hold through any kill, not through a power cut: for tests and throw-away roots.
    None,
}

impl Durability {
    /// The word used in flags and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "none" => Ok(Self::None),
            _ => Err("takes `full` or `none`".to_owned()),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
