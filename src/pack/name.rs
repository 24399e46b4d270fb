//! The name of a pack: what a task's `type` says, and the stem of the file.
//!
//! It is checked before it becomes a part of a path: a task says it.

use std::fmt;
use std::str::FromStr;

/// The pack of a task that names none.
pub const DEFAULT: &str = "default";
/// The longest name, in bytes.
const MAX: usize = 64;

/// A name that may be that of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackName(String);

impl PackName {
    /// The pack that a task's `type` means; `None` where no pack can be called so.
    pub fn of(kind: Option<&str>) -> Option<Self> {
        kind.unwrap_or(DEFAULT).parse().ok()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the one that needs no file.
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }

    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}.toml", self.0)
    }

    /// The name of the mark that takes it back.
    pub fn mark(&self) -> String {
        format!("{}.disabled", self.0)
    }
}

/// Why a text is no pack's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no pack can be called so: a name has 1 to {MAX} of A-Z a-z 0-9 . _ - and begins with a letter or a digit"
)]
pub struct NoName;

impl FromStr for PackName {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= MAX && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoName)
        }
    }
}

impl fmt::Display for PackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_anywhere() {
        for good in ["default", "review", "a.b-c_D9"] {
            assert_eq!(PackName::of(Some(good)).map(|it| it.to_string()).as_deref(), Some(good));
        }
        for bad in ["", ".x", "-x", "../x", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(PackName::of(Some(bad)), None, "{bad}");
        }
        assert!(PackName::of(None).unwrap().is_default());
    }
}
