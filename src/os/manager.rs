//! What the service manager is told, where one listens (`sd_notify(3)`): that we are at work, that we still turn, what we
//! do, that we stop. Where none listens nothing happens.
//!
//! Invariant: it never keeps its caller waiting, and no failure of it stops the work.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock::Ticks;

/// The longest status that is told, in bytes: one line of `systemctl status`.
const STATUS_MAX: usize = 200;

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Manager {
    /// How often it wants to hear that we turn: half of `WATCHDOG_USEC`, as `sd_watchdog_enabled(3)` recommends.
    every: Option<Duration>,
    fed: Option<Ticks>,
    is_ready: bool,
    said: String,
}

impl Manager {
    /// The one that started this process.
    pub fn of_this_process() -> Self {
        Self::every(sd_notify::watchdog_enabled().map(|limit| limit / 2))
    }

    const fn every(every: Option<Duration>) -> Self {
        Self { every, fed: None, is_ready: false, said: String::new() }
    }

    /// The loop turned, and this is what it does. The first time it says that the start is over.
    pub fn turned(&mut self, status: &str, now: Ticks) {
        let due = self.due(status, now);
        let told: Vec<NotifyState<'_>> = due.iter().map(Due::state).collect();
        // Nobody there, or nobody who reads: it will miss us by itself.
        if !told.is_empty() && sd_notify::notify(&told).is_ok() {
            self.is_ready = true;
        }
    }

    /// It ends.
    pub fn stopping(&self) {
        sd_notify::notify(&[NotifyState::Stopping]).ok();
    }

    /// What is to be told now.
    fn due(&mut self, status: &str, now: Ticks) -> Vec<Due> {
        let mut due = Vec::new();
        if !self.is_ready {
            due.push(Due::Ready);
        }
        let status = one_line(status);
        if status != self.said || !self.is_ready {
            self.said.clone_from(&status);
            due.push(Due::Status(status));
        }
        if let Some(every) = self.every
            && self.fed.is_none_or(|fed| now.since(fed) >= every)
        {
            self.fed = Some(now);
            due.push(Due::Turns);
        }
        due
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Ready,
    Status(String),
    Turns,
}

impl Due {
    fn state(&self) -> NotifyState<'_> {
        match self {
            Self::Ready => NotifyState::Ready,
            Self::Status(text) => NotifyState::Status(text),
            Self::Turns => NotifyState::Watchdog,
        }
    }
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line[..line.floor_char_boundary(STATUS_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Ticks {
        Ticks(Duration::from_secs(seconds))
    }

    #[test]
    fn it_is_ready_once_and_fed_at_half_of_its_patience() {
        let mut manager = Manager::every(Some(Duration::from_secs(10)));
        let status = || Due::Status("at work".to_owned());
        assert_eq!(manager.due("at work", at(0)), [Due::Ready, status(), Due::Turns]);
        manager.is_ready = true;
        assert_eq!(manager.due("at work", at(9)), []);
        assert_eq!(manager.due("at work", at(10)), [Due::Turns]);
        assert_eq!(manager.due("waits", at(11)), [Due::Status("waits".to_owned())]);
    }

    #[test]
    fn one_that_wants_no_feeding_gets_none_and_a_status_is_one_line() {
        let mut manager = Manager::every(None);
        assert_eq!(manager.due("a\nREADY=1", at(0)), [Due::Ready, Due::Status("a READY=1".to_owned())]);
        let long = "ä".repeat(STATUS_MAX);
        let told = manager.due(&long, at(1));
        let Some(Due::Status(status)) = told.last() else { panic!("{told:?}") };
        assert_eq!(status.len(), STATUS_MAX);
    }
}
