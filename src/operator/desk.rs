//! What every verb is given: the root, the time, and the printer.

use std::path::Path;

use crate::clock::{SharedClock, Timestamp};
use crate::config::{Environment, usual_root};
use crate::layout::Layout;

use super::report::Report;

/// Where an operator works.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The tree under the root.
    pub layout: Layout,
    /// The time.
    pub clock: SharedClock,
    /// What the program found around itself.
    pub env: Environment,
    /// The printer.
    pub report: Report,
}

impl Desk {
    /// A desk at `root`, which is made absolute.
    pub fn new(root: &Path, clock: SharedClock, env: Environment) -> Self {
        let layout = Layout::new(env.absolute(root));
        let report = Report::new(&env);
        Self { layout, clock, env, report }
    }

    /// `agentctl` as the person has to type it to come to this desk again.
    pub fn agentctl(&self) -> String {
        let root = self.layout.root();
        if usual_root(&self.env).is_ok_and(|usual| usual == root) {
            "agentctl".to_owned()
        } else {
            format!("agentctl --root {}", root.display())
        }
    }

    /// How long ago `then` was, in whole seconds; zero if it lies ahead.
    pub fn age_s(&self, then: Timestamp) -> u64 {
        u64::try_from(self.clock.wall().as_second() - then.as_second()).unwrap_or(0)
    }
}

/// Seconds as people say them: `45s`, `12m`, `3h05m`, `9d`.
pub(super) fn spoken(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        600..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_as_exact_as_a_person_needs() {
        for (seconds, words) in
            [(0, "0s"), (59, "59s"), (61, "1m01s"), (720, "12m"), (11_100, "3h05m"), (800_000, "9d")]
        {
            assert_eq!(spoken(seconds), words);
        }
    }
}
