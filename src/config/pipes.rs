//! Who may use the pipes.

use super::error::ConfigError;
use super::settings::Settings;

/// Who may use a pipe, besides its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeAccess {
    /// Its mode.
    pub mode: u32,
    /// Its group; else that of the folder.
    pub group: Option<u32>,
}

impl PipeAccess {
    /// For a pipe that is written into, where nobody says otherwise: its owner, and the group that gives orders.
    pub const USUAL: Self = Self { mode: 0o620, group: None };

    /// Resolves the settings of the pipes.
    pub fn resolve(settings: &mut Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            mode: settings.take("pipe_mode", mode, &format!("0{:o}", Self::USUAL.mode))?,
            group: settings.take_optional("pipe_group", group)?,
        })
    }

    /// The same people, for a pipe from which they read instead of writing into it.
    #[must_use]
    pub const fn to_read(self) -> Self {
        Self { mode: (self.mode & 0o600) | ((self.mode & 0o022) << 1), ..self }
    }
}

/// An octal mode in which the owner may do both: the worker itself reads and writes.
fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| mode & 0o600 == 0o600 && mode & !0o666 == 0);
    mode.ok_or_else(|| {
        "takes an octal mode such as 0620 or 0600, in which the owner may read and write".to_owned()
    })
}

/// A group by its name or its number.
fn group(text: &str) -> Result<u32, String> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    match nix::unistd::Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err("names no group of this machine".to_owned()),
        Err(error) => Err(format!("could not be looked up: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_locks_the_worker_out_is_refused() {
        for (text, expected) in [("0620", 0o620), ("600", 0o600), ("0o666", 0o666)] {
            assert_eq!(mode(text).unwrap(), expected);
        }
        for wrong in ["", "0420", "0720", "4620", "rw", "0628", "-600"] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
        assert_eq!(group("0"), Ok(0));
        assert!(group("no-such-group-anywhere").is_err());
    }

    #[test]
    fn whoever_may_write_into_the_one_may_read_from_the_other() {
        for (mode, to_read) in [(0o620, 0o640), (0o600, 0o600), (0o622, 0o644), (0o660, 0o640)] {
            assert_eq!(PipeAccess { mode, group: None }.to_read().mode, to_read, "{mode:o}");
        }
    }
}
