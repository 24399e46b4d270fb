//! The course of one run: how long it may take, how long it may be silent, and how it is ended. Pure.
//!
//! | phase | ends by | then |
//! |---|---|---|
//! | working | a result line, everything that was said is taken up | answered: stdin is closed |
//! | working | a result line, something that was said is not | owing: stdin stays open |
//! | owing | a new turn | working again |
//! | owing | 10 s without a sign | answered: stdin is closed |
//! | working, owing | a message; an interrupt that goes on with one | the same |
//! | working | a limit, a stop, a cancel, an interrupt that goes on with nothing | ending: interrupt, then TERM, then KILL |
//! | owing, answered | the same | ending: TERM, then KILL |
//! | answered | the exit, a new turn | gone, working again |
//! | answered | 10 s without a sign | ending: TERM, then KILL |
//! | any | too much output | ending: KILL at once, since a disk fills faster than anybody answers |
//! | working | too much memory | ending: interrupt, a second later TERM, a second later KILL |
//! | owing, answered | too much memory | ending: TERM, a second later KILL |
//! | any | a quarter too much memory | ending: KILL at once, since it grows faster than anybody answers |
//! | ending | the exit | gone |
//!
//! An interrupt that goes on ends a turn with a result like any other, and the message that it goes on with is not taken up
//! then: so that result closes nothing. What is in the pipe when stdin is closed is read and answered all the same.

use std::time::Duration;

use uuid::Uuid;

use super::verdict::EndedBy;
use crate::clock::Ticks;

/// Between a result and the moment at which an agent that does not exit hangs.
pub const AFTER_RESULT: Duration = Duration::from_secs(10);
/// Between an interrupt and `SIGTERM`: the CLI answers an interrupt in a tenth of a second.
const INTERRUPT: Duration = Duration::from_secs(2);
/// Between `SIGTERM` and `SIGKILL`: the CLI needs up to 1.5 s to end its tools.
const TERMINATE: Duration = Duration::from_secs(5);

/// The same where it uses too much memory: it grows meanwhile.
const HURRIED: Duration = Duration::from_secs(1);

/// Between two looks at a run there are two seconds; so much more means that nobody could look.
const STANDSTILL: Duration = Duration::from_secs(5);

/// The limits of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall clock of the attempt.
    pub wall: Duration,
    /// Without a line.
    pub silence: Duration,
    /// Without a line, until people are told that it may be stuck.
    pub quiet: Duration,
    /// Bytes of output, of both streams together.
    pub output: u64,
    /// Bytes of memory, of the agent and all that it started; `None`: as many as there are.
    pub memory: Option<u64>,
}

/// What is to be done to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ask it, in its own words, to stop.
    Interrupt,
    /// Tell it that nothing more will be said.
    CloseStdin,
    /// `SIGTERM`, and `SIGCONT` so that a stopped one hears it.
    Terminate,
    /// `SIGKILL`.
    Kill,
    /// Tell people that the limit is near.
    Warn(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Interrupted,
    Terminated,
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Working,
    Owing,
    Answered,
    Ending { by: EndedBy, step: Step, since: Ticks },
}

/// One run's course.
#[derive(Clone, Debug)]
pub struct Course {
    limits: Limits,
    began: Ticks,
    sign: Ticks,
    watched: Ticks,
    warned: usize,
    told_quiet: bool,
    /// What was said to it and is not taken up yet.
    untaken: Vec<Uuid>,
    phase: Phase,
}

/// The shares of the wall-clock limit at which people are warned: 5/6 and 11/12.
const WARNINGS: [(u32, u32); 2] = [(5, 6), (11, 12)];

impl Course {
    /// A run that begins.
    pub const fn new(limits: Limits, began: Ticks) -> Self {
        Self {
            limits,
            began,
            sign: began,
            watched: began,
            warned: 0,
            told_quiet: false,
            untaken: Vec::new(),
            phase: Phase::Working,
        }
    }

    /// Somebody watches the run now, and does so every few seconds. Time in which nobody could counts for nothing:
    /// the machine was suspended, or the watcher stopped, and the agent most likely with it.
    pub fn watched(&mut self, now: Ticks) {
        let gap = now.since(self.watched);
        self.watched = now;
        if gap > STANDSTILL {
            self.began = self.began.plus(gap);
            self.sign = self.sign.plus(gap).min(now);
            if let Phase::Ending { since, .. } = &mut self.phase {
                *since = since.plus(gap).min(now);
            }
        }
    }

    /// A run that is taken up `spent` after its start.
    pub fn taken_up(limits: Limits, spent: Duration, now: Ticks) -> Self {
        let began = Ticks(now.0.saturating_sub(spent));
        Self { sign: now, watched: now, ..Self::new(limits, began) }
    }

    /// How long it has gone on.
    pub fn spent(&self, now: Ticks) -> Duration {
        now.since(self.began)
    }

    /// The agent printed something.
    pub const fn heard(&mut self, now: Ticks) {
        self.sign = now;
        self.told_quiet = false;
    }

    /// How much the agent has printed in all, read or not.
    pub fn measured(&mut self, printed: u64, now: Ticks) -> Vec<Order> {
        let is_killed = matches!(self.phase, Phase::Ending { step: Step::Killed, .. });
        if printed > self.limits.output && !is_killed {
            self.kill(EndedBy::OutputLimit, now)
        } else {
            Vec::new()
        }
    }

    /// How much memory it uses with all that it started. An interrupt leaves a result line, which tells what was spent;
    /// what grows fast is not given the time.
    pub fn weighed(&mut self, used: u64, now: Ticks) -> Vec<Order> {
        let Some(limit) = self.limits.memory.filter(|limit| used > *limit) else { return Vec::new() };
        let is_killed = matches!(self.phase, Phase::Ending { step: Step::Killed, .. });
        if used <= limit.saturating_add(limit / 4) {
            return self.end(EndedBy::MemoryLimit, now);
        }
        if is_killed { Vec::new() } else { self.kill(EndedBy::MemoryLimit, now) }
    }

    /// Whether something can be said to it: its stdin is open, and it is not at its end.
    pub const fn hears(&self) -> bool {
        matches!(self.phase, Phase::Working | Phase::Owing)
    }

    /// Whether it has answered, everything, and nobody ends it.
    pub const fn has_answered(&self) -> bool {
        matches!(self.phase, Phase::Answered)
    }

    /// Something was said to it.
    pub fn told(&mut self, message: Uuid, now: Ticks) {
        self.untaken.push(message);
        if self.phase == Phase::Owing {
            self.sign = now;
        }
    }

    /// It took a message up: in the turn that it is at, or as its next one.
    pub fn took_up(&mut self, message: Uuid) {
        self.untaken.retain(|untaken| *untaken != message);
    }

    /// A turn began: what looked like the end was none.
    pub fn turn_began(&mut self) {
        if matches!(self.phase, Phase::Owing | Phase::Answered) {
            self.phase = Phase::Working;
        }
    }

    /// A result line came.
    pub fn answered(&mut self, now: Ticks) -> Vec<Order> {
        self.sign = now;
        if self.phase == Phase::Working && !self.untaken.is_empty() {
            self.phase = Phase::Owing;
            return Vec::new();
        }
        if self.phase == Phase::Working {
            self.phase = Phase::Answered;
        }
        vec![Order::CloseStdin]
    }

    /// What was said last is not answered: an agent that does not tell what it takes up, or has lost it.
    fn expect_no_more(&mut self, now: Ticks) -> Vec<Order> {
        self.untaken.clear();
        self.sign = now;
        self.phase = Phase::Answered;
        vec![Order::CloseStdin]
    }

    /// Ends the run; the first who does gives the reason.
    pub fn end(&mut self, by: EndedBy, now: Ticks) -> Vec<Order> {
        match self.phase {
            Phase::Ending { .. } => Vec::new(),
            Phase::Working => {
                self.phase = Phase::Ending { by, step: Step::Interrupted, since: now };
                vec![Order::Interrupt]
            }
            Phase::Owing | Phase::Answered => {
                // It has answered: what it is asked to end is not its work any more.
                self.phase = Phase::Ending { by, step: Step::Terminated, since: now };
                vec![Order::CloseStdin, Order::Terminate]
            }
        }
    }

    /// Ends the run without any grace.
    pub fn kill(&mut self, by: EndedBy, now: Ticks) -> Vec<Order> {
        let by = self.ended_by().unwrap_or(by);
        self.phase = Phase::Ending { by, step: Step::Killed, since: now };
        vec![Order::Kill]
    }

    /// Time passed.
    pub fn tick(&mut self, now: Ticks) -> Vec<Order> {
        match self.phase {
            Phase::Working => self.watch_limits(now),
            Phase::Owing if now.since(self.sign) >= AFTER_RESULT => self.expect_no_more(now),
            Phase::Answered if now.since(self.sign) >= AFTER_RESULT => {
                self.end(EndedBy::HangAfterResult, now)
            }
            Phase::Owing | Phase::Answered => Vec::new(),
            Phase::Ending { by, step, .. } => self.escalate((by, step), now),
        }
    }

    /// Who ended it, if it was one of us.
    pub const fn ended_by(&self) -> Option<EndedBy> {
        match self.phase {
            Phase::Ending { by, .. } => Some(by),
            Phase::Working | Phase::Owing | Phase::Answered => None,
        }
    }

    /// When the agent last gave a sign of life.
    pub const fn last_sign(&self) -> Ticks {
        self.sign
    }

    /// When the next thing happens by itself.
    pub fn next_moment(&self) -> Ticks {
        match self.phase {
            Phase::Working => {
                let silence = self.sign.plus(self.limits.silence);
                let wall = self.began.plus(self.limits.wall);
                let warning = WARNINGS.get(self.warned).map_or(wall, |share| self.share(*share));
                let quiet = if self.told_quiet { silence } else { self.sign.plus(self.limits.quiet) };
                silence.min(wall).min(warning).min(quiet)
            }
            Phase::Owing | Phase::Answered => self.sign.plus(AFTER_RESULT),
            Phase::Ending { by: EndedBy::MemoryLimit, since, .. } => since.plus(HURRIED),
            Phase::Ending { step: Step::Interrupted, since, .. } => since.plus(INTERRUPT),
            Phase::Ending { step: Step::Terminated, since, .. } => since.plus(TERMINATE),
            Phase::Ending { step: Step::Killed, since, .. } => since.plus(Duration::from_secs(1)),
        }
    }

    fn share(&self, (part, whole): (u32, u32)) -> Ticks {
        self.began.plus(self.limits.wall * part / whole)
    }

    fn watch_limits(&mut self, now: Ticks) -> Vec<Order> {
        if now.since(self.began) >= self.limits.wall {
            return self.end(EndedBy::Timeout, now);
        }
        if now.since(self.sign) >= self.limits.silence {
            return self.end(EndedBy::Silence, now);
        }
        let mut orders = Vec::new();
        if !self.told_quiet && now.since(self.sign) >= self.limits.quiet {
            self.told_quiet = true;
            let quiet = self.limits.quiet.as_secs();
            orders.push(Order::Warn(format!("No sign of progress for {quiet}s: the task may be stuck")));
        }
        while let Some(share) = WARNINGS.get(self.warned).filter(|share| now >= self.share(**share)) {
            let (spent, limit) = (self.limits.wall * share.0 / share.1, self.limits.wall);
            orders.push(Order::Warn(format!(
                "Execution time: {}s of {}s limit",
                spent.as_secs(),
                limit.as_secs()
            )));
            self.warned += 1;
        }
        orders
    }

    fn escalate(&mut self, (by, step): (EndedBy, Step), now: Ticks) -> Vec<Order> {
        if now < self.next_moment() {
            return Vec::new();
        }
        let (step, order) = match step {
            Step::Interrupted => (Step::Terminated, Order::Terminate),
            Step::Terminated | Step::Killed => (Step::Killed, Order::Kill),
        };
        self.phase = Phase::Ending { by, step, since: now };
        vec![order]
    }
}

/// The longest that an ending takes until `SIGKILL`; with the sweep after it, a tree is gone within 15 s.
pub const LONGEST_ENDING: Duration = Duration::from_secs(7);
const _: () = assert!(INTERRUPT.as_secs() + TERMINATE.as_secs() == LONGEST_ENDING.as_secs());

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
