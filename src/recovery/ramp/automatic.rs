//! Whether a crash calls for a gradual resume, and how careful a one: in proportion (pure).
//!
//! | crashes in the window | at work when it died | backlog | then |
//! |---|---|---|---|
//! | 1 | any | any | none: a crash is most likely no task's doing, and the restart is immediate |
//! | any | 0 | any | none: no task can have been the cause |
//! | 2 | 1 or more | more than a batch of 5 | batches of 5 |
//! | 3 or more | 1 or more | more than a batch of 2 | batches of 2 |
//!
//! They double while they do well, so a backlog that is harmless after all is not slowed down for long.

/// What is known of a worker that died just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// How often it died within the window, this time included.
    pub crashes: usize,
    /// How many tasks were at work when it died.
    pub interrupted: usize,
    /// How many tasks wait in its own folder.
    pub backlog: usize,
}

/// The size of the first batch, if the backlog should be let go gradually.
pub const fn after_crash(crash: Crash) -> Option<usize> {
    let size = match crash.crashes {
        0 | 1 => return None,
        2 => 5,
        _ => 2,
    };
    if crash.interrupted > 0 && crash.backlog > size { Some(size) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_crash_is_no_storm() {
        for (crashes, interrupted, backlog, expected) in [
            (0, 5, 1000, None),
            (1, 5, 1000, None),
            (2, 0, 1000, None),
            (2, 1, 5, None),
            (2, 1, 6, Some(5)),
            (2, 5, 1000, Some(5)),
            (3, 1, 2, None),
            (3, 1, 3, Some(2)),
            (9, 1, 1000, Some(2)),
            (9, 0, 1000, None),
        ] {
            let crash = Crash { crashes, interrupted, backlog };
            assert_eq!(after_crash(crash), expected, "{crash:?}");
        }
    }
}
