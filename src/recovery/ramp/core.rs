//! The deciding half of a gradual resume: what was seen comes in, effects go out. No clock, no disk.
//!
//! | phase | what is going on | left by |
//! |---|---|---|
//! | moving | the latest batch is recorded, and its tasks are moved | all of them were tried to be moved |
//! | waiting | its tasks are watched until the delay is over and none of them waits | the next batch, the end |
//! | stopped | too much of a batch failed | a person |

use super::fate::Fate;
use super::lines::Line;
use super::record::{Batch, Phase, Record, Ticket};
use crate::clock::Ticks;
use crate::task::FileName;

/// How long a watcher may take to say that it has seen the resume, before that is told.
const DEAF: std::time::Duration = std::time::Duration::from_secs(5);

/// How the watcher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// There is none.
    Absent,
    /// It has not said yet that it takes from `staged/` only.
    Deaf,
    /// It takes from `staged/` only.
    Follows,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The watcher.
    pub watcher: Watcher,
    /// Why the worker holds, if it does and no task is at fault.
    pub hold: Option<String>,
    /// What became of each of [`Record::open`], in that order.
    pub fates: Vec<Fate>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody looked.
    Seen(Seen),
    /// These are next; fewer than asked for if there are no more.
    Picked(Vec<Ticket>),
    /// The tasks of the latest batch were moved, or could not be.
    Staged,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Find the next tasks, so many at most.
    Pick(usize),
    /// Make the record durable.
    Record,
    /// Move these into `staged/`.
    Stage(Vec<FileName>),
    /// Move these back into `pending/`.
    Unstage(Vec<FileName>),
    /// Tell.
    Say(Line),
    /// Remove the record.
    Retire,
    /// It is over.
    Finish(End),
}

/// How a resume ends for its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was let go.
    Completed,
    /// Too much failed.
    Stopped,
    /// The file was taken away.
    Abandoned,
}

/// The mind of the leader.
#[derive(Debug)]
pub struct Core {
    record: Record,
    due: Ticks,
    watcher: Option<Watcher>,
    deaf: Option<Ticks>,
    hold: Option<String>,
    probing: bool,
}

impl Core {
    /// Leads `record` from where it stands. A successor gives the latest batch its delay once more.
    pub fn new(record: Record, now: Ticks) -> Self {
        let due = if record.batch == 0 { now } else { now.plus(record.terms.delay()) };
        Self { record, due, watcher: None, deaf: None, hold: None, probing: false }
    }

    /// What a successor has to know.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The same, to be signed before it is written.
    pub const fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Takes in what happened, and says what to do.
    pub fn handle(&mut self, event: Event, now: Ticks) -> Vec<Effect> {
        match event {
            Event::Seen(seen) if self.record.state == Phase::Moving => self.go_on_moving(&seen),
            Event::Seen(seen) => self.seen(&seen, now),
            Event::Picked(tickets) if tickets.is_empty() => Self::complete(),
            Event::Picked(tickets) => self.begin_batch(tickets),
            Event::Staged => self.staged(now),
        }
    }

    fn go_on_moving(&self, seen: &Seen) -> Vec<Effect> {
        let fates = self.record.open().zip(&seen.fates);
        let back = fates.filter(|(_, fate)| **fate == Fate::Back).map(|(ticket, _)| ticket.file.clone());
        vec![Effect::Stage(back.collect())]
    }

    fn begin_batch(&mut self, open: Vec<Ticket>) -> Vec<Effect> {
        let record = &mut self.record;
        record.state = Phase::Moving;
        record.batch += 1;
        record.released += open.len();
        record.deferred.retain(|file| !open.iter().any(|ticket| ticket.file == *file));
        let (number, size) = (record.batch, open.len());
        let files = open.iter().map(|ticket| ticket.file.clone()).collect();
        let (wanted, probe) = (record.next_size, self.probing);
        record.batches.push(Batch { number, wanted, size, probe, done: 0, failed: 0, open });
        vec![Effect::Record, Effect::Say(Line::Batch { number, size }), Effect::Stage(files)]
    }

    fn staged(&mut self, now: Ticks) -> Vec<Effect> {
        self.record.state = Phase::Waiting;
        self.due = now.plus(self.record.terms.delay());
        vec![Effect::Record, Effect::Say(Line::Waiting(self.record.terms.delay()))]
    }

    fn complete() -> Vec<Effect> {
        vec![Effect::Retire, Effect::Say(Line::Completed), Effect::Finish(End::Completed)]
    }

    fn seen(&mut self, seen: &Seen, now: Ticks) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.take_in(&seen.fates) {
            out.push(Effect::Record);
        }
        if let Some(reason) = self.too_many_failures() {
            return self.stop(reason, &seen.fates);
        }
        self.forget_what_is_over();
        self.hear_of_the_watcher(seen.watcher, now, &mut out);
        self.hear_of_a_hold(seen.hold.as_ref(), now, &mut out);
        let waits = seen.fates.iter().any(|fate| matches!(fate, Fate::Staged | Fate::Unknown));
        if seen.watcher != Watcher::Follows || waits {
            return out;
        }
        if self.hold.is_some() {
            // Only a run tells the worker that what it waits for is over, so one task is let go to try.
            if !seen.fates.contains(&Fate::Works) {
                self.probing = true;
                out.extend(self.next(1));
            }
        } else if now >= self.due {
            self.probing = false;
            self.grow_or_shrink();
            out.extend(self.next(self.record.next_size));
        }
        out
    }

    fn next(&self, size: usize) -> Vec<Effect> {
        match self.record.found.saturating_sub(self.record.released) {
            0 => Self::complete(),
            left => vec![Effect::Pick(size.min(left))],
        }
    }

    /// Takes in what became of the tasks; whether anything did.
    fn take_in(&mut self, fates: &[Fate]) -> bool {
        let mut fates = fates.iter().copied();
        let Record { batches, set_back, deferred, released, done, failed, .. } = &mut self.record;
        let mut is_news = false;
        for batch in batches {
            let Batch { open, done: batch_done, failed: batch_failed, .. } = batch;
            open.retain(|ticket| {
                match fates.next().unwrap_or(Fate::Unknown) {
                    Fate::Staged | Fate::Held | Fate::Works | Fate::Unknown => return true,
                    Fate::Done => (*done, *batch_done) = (*done + 1, *batch_done + 1),
                    fate @ (Fate::Failed | Fate::Charged) => {
                        (*failed, *batch_failed) = (*failed + 1, *batch_failed + 1);
                        set_back.extend((fate == Fate::Charged).then(|| ticket.file.clone()));
                    }
                    Fate::Back => {
                        *released = released.saturating_sub(1);
                        deferred.push(ticket.file.clone());
                    }
                    Fate::Gone => {}
                }
                is_news = true;
                false
            });
        }
        is_news
    }

    fn forget_what_is_over(&mut self) {
        let latest = self.record.batch;
        self.record.batches.retain(|batch| batch.number == latest || !batch.open.is_empty());
    }

    /// A batch is measured by what it should have had, or the one task of a last batch could stop everything.
    fn too_many_failures(&self) -> Option<String> {
        let rate = self.record.terms.max_failure_rate;
        let count = |tasks: usize| f64::from(u32::try_from(tasks).unwrap_or(u32::MAX));
        let is_worse = |batch: &&Batch| count(batch.failed) > count(batch.wanted) * rate;
        let Batch { number, size, failed, .. } = self.record.batches.iter().find(is_worse)?;
        let of = if *size == 1 { "the 1 task".to_owned() } else { format!("the {size} tasks") };
        Some(format!("{failed} of {of} of batch {number} failed, and {rate} of a batch may"))
    }

    fn stop(&mut self, reason: String, fates: &[Fate]) -> Vec<Effect> {
        let is_open = |fate: &&Fate| matches!(fate, Fate::Staged | Fate::Held | Fate::Works | Fate::Unknown);
        let waits = fates.iter().filter(is_open);
        let staged =
            self.record.open().zip(waits).filter(|(_, fate)| matches!(fate, Fate::Staged | Fate::Held));
        let files: Vec<_> = staged.map(|(ticket, _)| ticket.file.clone()).collect();
        let record = &mut self.record;
        record.state = Phase::Stopped;
        record.released = record.released.saturating_sub(files.len());
        record.reason = Some(reason.clone());
        // Taken back first: nobody leads a stopped one, and what it left in `staged/` would be run.
        vec![
            Effect::Unstage(files),
            Effect::Record,
            Effect::Say(Line::TooManyFailures(reason)),
            Effect::Finish(End::Stopped),
        ]
    }

    /// Twice as many after a batch that did well, half as many after one with failures.
    fn grow_or_shrink(&mut self) {
        let Record { terms, batches, next_size, batch, .. } = &mut self.record;
        let Some(last) = batches.iter().find(|it| it.number == *batch && !it.probe) else { return };
        if !terms.adaptive {
            return;
        }
        if last.failed > 0 {
            *next_size = (*next_size / 2).max(1);
        } else if last.done > 0 {
            *next_size = next_size.saturating_mul(2).min(terms.largest());
        }
    }

    fn hear_of_the_watcher(&mut self, watcher: Watcher, now: Ticks, out: &mut Vec<Effect>) {
        let was = self.watcher.replace(watcher);
        if watcher != Watcher::Deaf {
            self.deaf = None;
        }
        match (was, watcher) {
            (Some(Watcher::Absent), Watcher::Absent) => {}
            (_, Watcher::Absent) => out.push(Effect::Say(Line::NoWatcher)),
            (Some(Watcher::Absent), _) => out.push(Effect::Say(Line::Watcher)),
            (_, Watcher::Deaf) => {
                let since = *self.deaf.get_or_insert(now);
                if now.since(since) >= DEAF {
                    self.deaf = Some(Ticks(std::time::Duration::MAX));
                    out.push(Effect::Say(Line::Deaf));
                }
            }
            (_, Watcher::Follows) => {}
        }
        if watcher == Watcher::Absent && self.record.batch > 0 {
            self.due = now.plus(self.record.terms.delay());
        }
    }

    fn hear_of_a_hold(&mut self, hold: Option<&String>, now: Ticks, out: &mut Vec<Effect>) {
        match (&self.hold, hold) {
            (was, Some(reason)) if was.as_ref() != Some(reason) => {
                out.push(Effect::Say(Line::Held(reason.clone())));
            }
            (Some(_), None) => out.push(Effect::Say(Line::Released)),
            (None | Some(_), None | Some(_)) => {}
        }
        if self.hold.is_some() || hold.is_some() {
            self.due = now.plus(self.record.terms.delay());
        }
        self.hold = hold.cloned();
    }
}
