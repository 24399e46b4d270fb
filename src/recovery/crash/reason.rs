//! Why a watcher died, in a word.

use std::fmt;

/// Why a watcher died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashReason {
    /// The kernel ended it for want of memory.
    OomKilled,
    /// A bug.
    Panicked,
    /// It stood still, and was ended for that.
    Hung,
    /// The machine was restarted, or lost its power.
    HostRestarted,
    /// A signal, sent by whom is not known.
    Signalled(i32),
    /// It ended itself with this exit status.
    Exited(i32),
    /// Nothing is known.
    Unknown,
}

impl CrashReason {
    /// The word that the tasks which it interrupted are charged with.
    pub const fn failure(self) -> &'static str {
        match self {
            Self::OomKilled => "oom_killed",
            Self::Panicked
            | Self::Hung
            | Self::HostRestarted
            | Self::Signalled(_)
            | Self::Exited(_)
            | Self::Unknown => "worker_crash",
        }
    }
}

impl fmt::Display for CrashReason {
    /// The word in `state.json`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OomKilled => f.write_str("oom_killed"),
            Self::Panicked => f.write_str("panic"),
            Self::Hung => f.write_str("hung"),
            Self::HostRestarted => f.write_str("host_restarted"),
            Self::Signalled(number) => write!(f, "signal_{number}"),
            Self::Exited(code) => write!(f, "exit_{code}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl std::str::FromStr for CrashReason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.parse().map_err(|_| ());
        match text {
            "oom_killed" => Ok(Self::OomKilled),
            "panic" => Ok(Self::Panicked),
            "hung" => Ok(Self::Hung),
            "host_restarted" => Ok(Self::HostRestarted),
            "unknown" => Ok(Self::Unknown),
            _ => match text.split_once('_') {
                Some(("signal", rest)) => number(rest).map(Self::Signalled),
                Some(("exit", rest)) => number(rest).map(Self::Exited),
                _ => Err(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for reason in [
            CrashReason::OomKilled,
            CrashReason::Panicked,
            CrashReason::Hung,
            CrashReason::HostRestarted,
            CrashReason::Signalled(9),
            CrashReason::Exited(75),
            CrashReason::Unknown,
        ] {
            assert_eq!(reason.to_string().parse(), Ok(reason));
        }
        for text in ["", "signal_", "signal_x", "exit", "oom"] {
            assert_eq!(text.parse::<CrashReason>(), Err(()), "{text}");
        }
    }
}
