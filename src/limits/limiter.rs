//! What a watcher asks about its account, and tells of it. It blocks for a moment of disk, and belongs off the loop.
//!
//! Invariants:
//! - every answer comes from one change of the file under its lock, or, where that cannot be had, from the same change of
//!   what this worker knows itself;
//! - a worker holds at most one right to try, for one file, and lets go of it with that run's end;
//! - nothing here is an error: without the file the worker is as careful as if it were alone.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::account::Account;
use super::record::{Moment, News, Record, Standing, Stop, Warning, is_shared};
use super::store::{Found, Store};
use crate::clock::{SharedClock, Ticks};
use crate::os::lock::Lock;
use crate::os::process::identity::boot_id;
use crate::task::{FileName, HoldCause, WorkerName};

/// Whether an agent may be started.
#[derive(Clone, Debug, PartialEq)]
pub enum Permit {
    /// Yes; a request was taken.
    Granted,
    /// The requests of this minute are used up; there is one again then.
    Paced(Ticks),
    /// Nothing starts, or another run tries whether it is over.
    Stopped(Box<Word>),
    /// Nothing starts, and tasks are not to wait for that.
    Refused,
}

/// What is known of the account, as far as it stops starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// Why, and until when.
    pub stop: Stop,
    /// Whether another worker's run tries right now.
    pub elsewhere: bool,
}

/// What one look says.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// What stops starts.
    pub word: Option<Word>,
    /// Whether there is a rate limit.
    pub limited: bool,
    /// The breaker: 0 closed, 1 half-open, 2 open.
    pub breaker: u8,
    /// Whether the requests of this minute are used up.
    pub empty: bool,
}

#[derive(Debug)]
struct Known {
    record: Record,
    /// The disk refused it: what is in the file is older.
    unsaved: bool,
    /// That the file cannot be used was said.
    said: bool,
    /// What others left who were killed was removed.
    tidied: bool,
    probe: Option<(FileName, Lock)>,
}

/// The limiter of one watcher.
#[derive(Debug)]
pub struct Limiter {
    store: Store,
    account: Account,
    worker: WorkerName,
    per_minute: u32,
    /// Whether tasks fail at a rate limit in place of waiting for its end.
    fails: bool,
    clock: SharedClock,
    boot: String,
    known: Mutex<Known>,
}

impl Limiter {
    /// The limiter of `worker`: so many starts a minute, 0 for as many as are wanted. Nothing is touched yet.
    pub fn new(
        store: Store,
        account: Account,
        worker: WorkerName,
        (per_minute, fails): (u32, bool),
        clock: SharedClock,
    ) -> Self {
        let boot = boot_id();
        let record = Record::fresh(&account.endpoint, &boot);
        let known = Mutex::new(Known { record, unsaved: false, said: false, tidied: false, probe: None });
        Self { store, account, worker, per_minute, fails, clock, boot, known }
    }

    /// The account.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Asks to start the agent of the task in `file`.
    pub fn permit(&self, file: &FileName) -> Permit {
        let now = self.now();
        self.change(|record, probe| match record.standing(now.ticks) {
            Standing::Closed => paced(record.take(self.per_minute, now.ticks)),
            Standing::Open(stop) => self.stopped(Word { stop: stop.clone(), elsewhere: false }),
            Standing::HalfOpen(stop) => {
                let stop = stop.clone();
                match self.store.try_probe(&self.account.key) {
                    Ok(None) => self.stopped(Word { stop, elsewhere: true }),
                    // Where there is no lock to be had this worker tries for itself.
                    lock => {
                        let permit = paced(record.take(self.per_minute, now.ticks));
                        if permit == Permit::Granted {
                            *probe = lock.ok().flatten().map(|lock| (file.clone(), lock));
                        }
                        permit
                    }
                }
            }
        })
    }

    /// Why the task in `file`, which is not to wait for the end of a rate limit, cannot be started now.
    pub fn refusal(&self, file: &FileName) -> Option<Stop> {
        let stop = self.current().rate_limit.filter(|_| self.fails)?;
        let tries = self.known().probe.as_ref().is_some_and(|(it, _)| it == file);
        (!tries).then_some(stop)
    }

    /// The task in `file` was not started after all.
    pub fn give_back(&self, file: &FileName) {
        self.change(|record, _| record.give_back(self.per_minute));
        self.ended(file);
    }

    /// The run of `file` is over: if it was the one that tried, the next one may.
    pub fn ended(&self, file: &FileName) {
        drop(self.known().probe.take_if(|(it, _)| it == file));
    }

    /// The run of `file` was refused.
    pub fn learn(&self, file: &FileName, mut news: News, jitter: f64) {
        if is_shared(news.cause) {
            let now = self.now();
            self.change(|record, probe| {
                news.tried = probe.as_ref().is_some_and(|(it, _)| it == file);
                news.by.clone_from(&self.worker);
                record.learn(news.clone(), now, jitter);
            });
        }
    }

    /// A run that began at `began` was answered; whether anything stops starts still.
    pub fn answered(&self, began: Ticks) -> bool {
        // Nothing is written where nothing is known: that is what every good run ends with.
        if self.look().word.is_none() {
            return false;
        }
        self.change(|record, _| {
            record.answered(began);
            record.rate_limit.is_some() || record.breaker.is_some()
        })
    }

    /// The API said how much is used up.
    pub fn warned(&self, mut warning: Warning) {
        warning.by.clone_from(&self.worker);
        warning.at = self.clock.wall();
        self.change(|record, _| record.warning = Some(warning.clone()));
    }

    /// Something was mended, a person says.
    pub fn try_now(&self) {
        let now = self.now();
        self.change(|record, _| record.try_now(now));
    }

    /// What is known now; no lock is taken, and nothing is written.
    pub fn look(&self) -> Sight {
        let now = self.now();
        let record = self.current();
        let of_state = |stop: &Stop| if now.ticks < stop.due() { 2 } else { 1 };
        let word = match record.standing(now.ticks) {
            Standing::Closed => None,
            Standing::Open(stop) => Some(Word { stop: stop.clone(), elsewhere: false }),
            Standing::HalfOpen(stop) => {
                let ours = self.known().probe.is_some();
                let elsewhere = !ours && self.store.is_probed(&self.account.key);
                Some(Word { stop: stop.clone(), elsewhere })
            }
        };
        Sight {
            word: word.filter(|word| !self.is_passed_over(&word.stop)),
            limited: record.rate_limit.is_some(),
            breaker: record.breaker.as_ref().map_or(0, of_state),
            empty: record.left(now.ticks) == Some(0),
        }
    }

    fn stopped(&self, word: Word) -> Permit {
        if self.is_passed_over(&word.stop) { Permit::Refused } else { Permit::Stopped(Box::new(word)) }
    }

    fn is_passed_over(&self, stop: &Stop) -> bool {
        self.fails && stop.cause == HoldCause::RateLimit
    }

    fn now(&self) -> Moment {
        Moment { wall: self.clock.wall(), ticks: self.clock.ticks() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known right now: the file, unless the disk refused what is newer.
    fn current(&self) -> Record {
        let known = self.known();
        if known.unsaved {
            return known.record.clone();
        }
        let record = self.read(known);
        let mut known = self.known();
        if !known.unsaved {
            known.record.clone_from(&record);
        }
        record
    }

    /// What the file says, or, where it cannot be read, what is known.
    fn read(&self, mut known: MutexGuard<'_, Known>) -> Record {
        let fresh = || Record::fresh(&self.account.endpoint, &self.boot);
        let record = match self.store.read(&self.account.key) {
            Ok(Found::Record(record)) => record.in_boot(&self.boot, self.now()),
            Ok(Found::Absent) => fresh(),
            Ok(Found::Broken) => {
                let path = self.store.path(&self.account.key);
                self.say(
                    &mut known,
                    &format!("`{}` cannot be understood, and counts as absent", path.display()),
                );
                return fresh();
            }
            Err(error) => {
                self.say(&mut known, &format!("cannot read what workers know together: {error}"));
                return known.record.clone();
            }
        };
        known.said = false;
        record
    }

    /// Changes the record, in the file where that can be had.
    fn change<T>(&self, change: impl FnOnce(&mut Record, &mut Option<(FileName, Lock)>) -> T) -> T {
        let lock = self.store.lock();
        let known = self.known();
        let (mut record, mut known) = match &lock {
            Ok(Some(_)) if !known.unsaved => (self.read(known), self.known()),
            Ok(Some(_)) => {
                let mine = known.record.clone();
                (self.read(known).join(&mine), self.known())
            }
            Ok(None) | Err(_) => (known.record.clone(), known),
        };
        if !known.tidied && matches!(lock, Ok(Some(_))) {
            known.tidied = self.store.tidy().is_ok();
        }
        let before = record.clone();
        let done = change(&mut record, &mut known.probe);
        let written = match &lock {
            Ok(Some(_)) if record == before && !known.unsaved => Ok(()),
            Ok(Some(_)) => self.store.write(&self.account.key, &record),
            Ok(None) => Err(std::io::Error::other("somebody was stopped while he changed it")),
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
        };
        known.record = record;
        known.unsaved = written.is_err();
        if let Err(error) = written {
            self.say(&mut known, &format!("cannot write what workers know together: {error}"));
        }
        done
    }

    fn say(&self, known: &mut Known, what: &str) {
        if !std::mem::replace(&mut known.said, true) {
            tracing::warn!(account = %self.account.key, "{what}; this worker goes by what it knows itself");
        }
    }
}

fn paced(taken: Result<(), Ticks>) -> Permit {
    taken.map_or_else(Permit::Paced, |()| Permit::Granted)
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
