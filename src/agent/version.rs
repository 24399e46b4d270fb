//! Which CLI this is, and whether it is new enough.

use std::fmt;

/// A version of the CLI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

/// The oldest CLI that is run: older ones let a sandboxed command out or wrote where a link led.
pub const OLDEST: Version = Version { major: 2, minor: 1, patch: 90 };

impl Version {
    /// Reads what `claude --version` prints, such as `2.1.330 (Claude Code)`.
    pub fn parse(printed: &str) -> Option<Self> {
        let mut numbers = printed.split_whitespace().next()?.split('.');
        let mut number = || -> Option<u32> {
            let text = numbers.next()?;
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            text[..digits].parse().ok()
        };
        Some(Self { major: number()?, minor: number()?, patch: number()? })
    }

    /// Whether it is new enough.
    pub fn is_supported(self) -> bool {
        self >= OLDEST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let table = [
            ("2.1.330 (Claude Code)\n", Some(true)),
            ("2.1.90", Some(true)),
            ("2.1.89 (Claude Code)", Some(false)),
            ("1.9.400", Some(false)),
            ("2.2.0-beta.1 (Claude Code)", Some(true)),
            ("10.0.0", Some(true)),
            ("2.1", None),
            ("command not found", None),
            ("", None),
        ];
        for (printed, supported) in table {
            assert_eq!(Version::parse(printed).map(Version::is_supported), supported, "{printed:?}");
        }
        assert_eq!(Version::parse("2.1.330 (Claude Code)").unwrap().to_string(), "2.1.330");
    }
}
