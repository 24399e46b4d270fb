//! Leading a gradual resume: looks, asks the core, does what it says.
//!
//! Invariants:
//! - what cannot be done now stays to be done, in its order: no task moves before its batch is durable;
//! - before each move it is made sure that the resume is still ours.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::look;
use super::super::state::Found;
use crate::clock::SharedClock;
use crate::os::process::ProcessId;
use crate::recovery::ramp::{
    Core, Effect, End, Event, Fate, Leader, LeaderError, Line, Record, Seen, Shelf, Terms, Watcher, fate,
};
use crate::spool::{Disk, Spool};
use crate::task::{FileName, HoldCause};
use crate::telemetry::journal::{self, Journal};
use crate::telemetry::state_file::State;

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// A step of the resume.
    Line(Line),
    /// Something does not work, and is tried again.
    Trouble(String),
}

/// A resume that we lead.
#[derive(Debug)]
pub(super) struct Lead {
    spool: Arc<Spool<Disk>>,
    clock: SharedClock,
    journal: Journal,
    core: Core,
    leader: Leader,
    shelf: Shelf,
    todo: VecDeque<Effect>,
    trouble: Option<String>,
}

impl Lead {
    /// Begins a resume of `found` tasks: from now on the worker takes from `staged/` only.
    pub(super) fn begin(
        spool: Arc<Spool<Disk>>,
        leader: Leader,
        terms: Terms,
        found: usize,
    ) -> Result<Self, LeaderError> {
        let record = Record::begin(terms, found, ProcessId::current(), spool.clock().wall());
        Self::take(spool, leader, record, Line::Found(found))
    }

    /// Goes on with a resume that nobody leads any more.
    pub(super) fn follow(
        spool: Arc<Spool<Disk>>,
        leader: Leader,
        record: Record,
    ) -> Result<Self, LeaderError> {
        let line = Line::Following {
            pid: record.leader.pid,
            batch: record.batch,
            released: record.released,
            found: record.found,
        };
        Self::take(spool, leader, record, line)
    }

    fn take(
        spool: Arc<Spool<Disk>>,
        mut leader: Leader,
        mut record: Record,
        line: Line,
    ) -> Result<Self, LeaderError> {
        let clock = spool.clock();
        sign(&mut record, &clock);
        leader.sweep(&spool);
        leader.publish(&spool, &record)?;
        let journal = Journal::new(spool.layout().clone(), spool.worker().clone());
        let core = Core::new(record, clock.ticks());
        let todo = VecDeque::from([Effect::Say(line)]);
        Ok(Self { spool, clock, journal, core, leader, shelf: Shelf::default(), todo, trouble: None })
    }

    /// How far it is.
    pub(super) const fn record(&self) -> &Record {
        self.core.record()
    }

    /// Looks once, and does what is due; how it ended, if it did.
    pub(super) fn turn(&mut self, tell: &mut dyn FnMut(Told, &Record)) -> Option<End> {
        if !self.leader.leads() {
            self.say(Line::Abandoned, tell);
            return Some(End::Abandoned);
        }
        if self.todo.is_empty() {
            let seen = self.look();
            if seen.fates.contains(&Fate::Unknown) {
                self.complain("the disk does not show what became of some tasks".to_owned(), tell);
            }
            self.hand_in(Event::Seen(seen));
        }
        while let Some(effect) = self.todo.pop_front() {
            match self.perform(effect.clone(), tell) {
                Ok(None) => self.trouble = None,
                Ok(end) => return end,
                Err(why) => {
                    self.todo.push_front(effect);
                    self.complain(why, tell);
                    return None;
                }
            }
        }
        None
    }

    fn hand_in(&mut self, event: Event) {
        let effects = self.core.handle(event, self.clock.ticks());
        // What follows from an effect comes before what stood behind it.
        for effect in effects.into_iter().rev() {
            self.todo.push_front(effect);
        }
    }

    fn perform(
        &mut self,
        effect: Effect,
        tell: &mut dyn FnMut(Told, &Record),
    ) -> Result<Option<End>, String> {
        match effect {
            Effect::Pick(count) => {
                let now = self.clock.wall();
                let picked = self.shelf.pick(&self.spool, self.core.record(), count, now);
                let picked = picked.map_err(|error| format!("cannot read pending/: {error}"))?;
                self.hand_in(Event::Picked(picked));
            }
            Effect::Record => return self.publish(),
            Effect::Stage(files) => {
                self.stage(&files)?;
                self.hand_in(Event::Staged);
            }
            Effect::Unstage(files) => {
                for file in &files {
                    self.spool.unstage(file).map_err(|error| format!("{error}: {}", error.source))?;
                }
            }
            Effect::Say(line) => self.say(line, tell),
            Effect::Retire => {
                self.leader.retire(&self.spool).map_err(|error| format!("{error}: {}", error.source))?;
            }
            Effect::Finish(end) => return Ok(Some(end)),
        }
        Ok(None)
    }

    fn publish(&mut self) -> Result<Option<End>, String> {
        sign(self.core.record_mut(), &self.clock);
        self.leader
            .publish(&self.spool, self.core.record())
            .map(|()| None)
            .map_err(|error| unpublished(&error))
    }

    fn stage(&self, files: &[FileName]) -> Result<(), String> {
        for file in files {
            if !self.leader.leads() {
                return Err("resume.json was taken away".to_owned());
            }
            self.spool.stage(file).map_err(|error| format!("{error}: {}", error.source))?;
        }
        Ok(())
    }

    fn look(&self) -> Seen {
        let (layout, worker) = (self.spool.layout(), self.spool.worker());
        let record = self.core.record();
        let state = State::read(&layout.state(worker)).ok().flatten().unwrap_or_default();
        let is_there = matches!(look::found(layout, worker), Ok(Found::Watcher(_)));
        let knows = state.resume.is_some_and(|resume| resume.id == record.id);
        let barred: Vec<String> = state.packs.iter().map(|it| it.pack.clone()).collect();
        let hold = state.hold.filter(|hold| is_there && hold.cause != HoldCause::Resume);
        Seen {
            watcher: match (is_there, knows) {
                (false, _) => Watcher::Absent,
                (true, false) => Watcher::Deaf,
                (true, true) => Watcher::Follows,
            },
            hold: hold.map(|hold| format!("{}: {}", hold.cause.as_str(), hold.reason)),
            fates: record.open().map(|ticket| fate(&self.spool, ticket, &barred)).collect(),
        }
    }

    fn say(&self, line: Line, tell: &mut dyn FnMut(Told, &Record)) {
        let worker = self.spool.worker();
        if let Some(event) = line.event() {
            let mut entry = journal::Line::new(self.clock.wall(), worker.clone(), event);
            let why = line.reason().map(|why| format!(": {why}")).unwrap_or_default();
            entry.reason = Some(format!("{}{why}", line.text(worker)));
            // What a full disk keeps out of the journal is told to whoever looks on, and stands in resume.json.
            self.journal.append(&entry).ok();
        }
        tell(Told::Line(line), self.core.record());
    }

    /// Says what does not work, once until it is another thing.
    fn complain(&mut self, why: String, tell: &mut dyn FnMut(Told, &Record)) {
        if self.trouble.as_ref() != Some(&why) {
            tell(Told::Trouble(why.clone()), self.core.record());
            self.trouble = Some(why);
        }
    }
}

fn sign(record: &mut Record, clock: &SharedClock) {
    record.leader = ProcessId::current();
    record.updated_at = clock.wall();
}

/// Why the record could not be written, in words that are the same each time: what is the same is said once.
fn unpublished(error: &LeaderError) -> String {
    match error {
        // The next turn sees it, and ends.
        LeaderError::Lost(path) => format!("`{}` was taken away", path.display()),
        // Without the name of the draft, which is another at each try.
        LeaderError::Disk { path, source } => {
            format!("could not write `{}`: {}", path.display(), source.source)
        }
        LeaderError::Lock { .. } => with_cause(error),
    }
}

/// An error with everything below it, on one line.
pub(super) fn with_cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::os::durable::beside;
    use crate::spool::StepError;
    use crate::spool::steps::draft;

    #[test]
    fn what_refuses_each_try_alike_is_told_in_the_same_words() {
        let path = Path::new("/s/workers/marie/resume.json");
        let refused = || {
            let step = draft(&beside(path), Vec::new()).swap_remove(0);
            let source = StepError { step, index: 0, source: io::ErrorKind::StorageFull.into() };
            unpublished(&LeaderError::Disk { path: path.to_owned(), source })
        };
        let (first, again) = (refused(), refused());
        assert_eq!(first, again);
        assert!(first.contains("resume.json`: no storage space"), "{first}");
    }
}
