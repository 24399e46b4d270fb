//! The state of one account, and how it changes. Pure: no clock, no disk, no lock.
//!
//! Requests are counted by one number, the moment at which all that were taken will be given back: with 50 a minute each
//! takes 1.2 s of it. So there is nothing to refill, nothing below zero, and nothing that a killed worker keeps.
//!
//! Two things may stop all starts: a rate limit, and the breaker (an outage, a login, a bill). Each has the states
//!
//! | | while | then |
//! |---|---|---|
//! | closed | nothing was learned | a start needs a request, no more |
//! | open | the pause lasts | nothing starts |
//! | half-open | the pause is over, and nobody was answered since | one run tries; refused: open, for longer; answered: closed |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Ticks, Timestamp};
use crate::task::{HoldCause, WorkerName};

/// The version of the file that is understood.
pub const VERSION: u32 = 1;

/// By how much a pause that nobody told is made longer at most, so that roots do not knock together.
const JITTER: f64 = 0.2;

/// Both answers of the clock, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For people.
    pub wall: Timestamp,
    /// For everything else.
    pub ticks: Ticks,
}

/// What one account is known to be like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the file.
    pub version: u32,
    /// Where requests go.
    pub endpoint: String,
    /// The boot to which all `_ns` belong.
    pub boot_id: String,
    /// How many requests a minute there were when one was last taken; 0: as many as are wanted.
    pub per_minute: u32,
    /// When all requests that were taken will be given back, on the boot clock.
    pub spent_until_ns: u64,
    /// The rate limit, until somebody was answered after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Stop>,
    /// The breaker, unless it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Stop>,
    /// What the API last said before there was a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Warning>,
}

/// Why nothing starts, and until when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// The kind of fault.
    pub cause: HoldCause,
    /// What happened.
    pub reason: String,
    /// What a person can do about it.
    pub remedy: String,
    /// Who learned it.
    pub by: WorkerName,
    /// When, RFC 3339.
    pub at: Timestamp,
    /// The same on the boot clock: what began before is no proof against it.
    pub since_ns: u64,
    /// Until when, RFC 3339, for people.
    pub until: Timestamp,
    /// The same on the boot clock.
    pub due_ns: u64,
    /// How often in a row it was tried in vain, from 1.
    pub times: u32,
}

impl Stop {
    /// When it may be tried whether it is over.
    pub const fn due(&self) -> Ticks {
        Ticks(Duration::from_nanos(self.due_ns))
    }
}

/// How much of a window is used up, before requests are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Which window, as the API calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How much of it, in hundredths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_percent: Option<u32>,
    /// When it begins anew, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
    /// Who was told.
    pub by: WorkerName,
    /// When, RFC 3339.
    pub at: Timestamp,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a rate limit is near")?;
        if let Some(window) = &self.window {
            write!(f, " ({window})")?;
        }
        if let Some(used) = self.used_percent {
            write!(f, ": {used} % are used up")?;
        }
        self.resets_at.map_or(Ok(()), |at| write!(f, "; it begins anew at {at:.0}"))
    }
}

/// What a run met.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The kind of fault.
    pub cause: HoldCause,
    /// What happened.
    pub reason: String,
    /// What a person can do about it.
    pub remedy: String,
    /// Until when, where the API said so.
    pub told: Option<Timestamp>,
    /// Who met it.
    pub by: WorkerName,
    /// Whether it was the one run that tried.
    pub tried: bool,
}

/// Whether something may start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing<'a> {
    /// Yes.
    Closed,
    /// No, until then.
    Open(&'a Stop),
    /// One run of all workers may.
    HalfOpen(&'a Stop),
}

/// Whether a fault is one of the account or its API, which every worker of it meets.
pub const fn is_shared(cause: HoldCause) -> bool {
    match cause {
        HoldCause::RateLimit | HoldCause::Outage | HoldCause::Auth | HoldCause::Billing => true,
        HoldCause::Configuration
        | HoldCause::Disk
        | HoldCause::Resume
        | HoldCause::Budget
        | HoldCause::Memory => false,
    }
}

impl Record {
    /// An account of which nothing is known.
    pub fn fresh(endpoint: &str, boot_id: &str) -> Self {
        Self {
            version: VERSION,
            endpoint: endpoint.to_owned(),
            boot_id: boot_id.to_owned(),
            per_minute: 0,
            spent_until_ns: 0,
            rate_limit: None,
            breaker: None,
            warning: None,
        }
    }

    /// The record in the bytes of its file, if it is one of ours and of this version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|it: &Self| it.version == VERSION)
    }

    /// The same in the boot `boot_id`: the clock of an earlier one says nothing, so what is shown decides once.
    #[must_use]
    pub fn in_boot(mut self, boot_id: &str, now: Moment) -> Self {
        if self.boot_id != boot_id {
            boot_id.clone_into(&mut self.boot_id);
            self.spent_until_ns = 0;
            for stop in [&mut self.rate_limit, &mut self.breaker].into_iter().flatten() {
                stop.since_ns = 0;
                stop.due_ns = nanos(now.ticks.plus(ahead(stop.until, now.wall)));
            }
        }
        self
    }

    /// Whether something may start; of two faults the one that lasts longer tells.
    pub fn standing(&self, now: Ticks) -> Standing<'_> {
        match [&self.rate_limit, &self.breaker].into_iter().flatten().max_by_key(|stop| stop.due_ns) {
            None => Standing::Closed,
            Some(stop) if now < stop.due() => Standing::Open(stop),
            Some(stop) => Standing::HalfOpen(stop),
        }
    }

    /// Takes one of `per_minute` requests; when there is one again, if there is none.
    pub fn take(&mut self, per_minute: u32, now: Ticks) -> Result<(), Ticks> {
        self.per_minute = per_minute;
        let Some(each) = each(per_minute) else { return Ok(()) };
        let spent = self.spent(per_minute, now).saturating_add(each);
        let whole = each.saturating_mul(per_minute.into());
        if spent > whole {
            return Err(now.plus(Duration::from_nanos(spent - whole)));
        }
        self.spent_until_ns = nanos(now).saturating_add(spent);
        Ok(())
    }

    /// Gives back a request that was taken and not used.
    pub fn give_back(&mut self, per_minute: u32) {
        self.spent_until_ns = self.spent_until_ns.saturating_sub(each(per_minute).unwrap_or(0));
    }

    /// How many requests there are now; `None`: as many as are wanted.
    pub fn left(&self, now: Ticks) -> Option<u64> {
        let each = each(self.per_minute)?;
        let whole = each.saturating_mul(self.per_minute.into());
        Some(whole.saturating_sub(self.spent(self.per_minute, now)) / each)
    }

    /// When there is a request again; `None` if there is one.
    pub fn empty_until(&self, now: Ticks) -> Option<Ticks> {
        self.clone().take(self.per_minute, now).err()
    }

    /// What is taken, as time; what nobody can have taken was not.
    fn spent(&self, per_minute: u32, now: Ticks) -> u64 {
        let whole = each(per_minute).unwrap_or(0).saturating_mul(per_minute.into());
        self.spent_until_ns.saturating_sub(nanos(now)).min(whole)
    }

    /// A run was refused. Those that were under way together count once.
    pub fn learn(&mut self, news: News, now: Moment, jitter: f64) {
        let slot = if news.cause == HoldCause::RateLimit { &mut self.rate_limit } else { &mut self.breaker };
        let same = slot.as_ref().filter(|stop| stop.cause == news.cause);
        let times = same.map_or(1, |stop| stop.times.saturating_add(u32::from(news.tried)));
        let told = news.told.filter(|at| *at > now.wall);
        let usual = pause(news.cause, times);
        let wait = told.map_or_else(|| usual.mul_f64(1.0 + JITTER * jitter), |at| ahead(at, now.wall));
        let mut stop = Stop {
            cause: news.cause,
            reason: news.reason,
            remedy: news.remedy,
            by: news.by,
            at: now.wall,
            since_ns: nanos(now.ticks),
            until: told.unwrap_or_else(|| after(now.wall, wait)),
            due_ns: nanos(now.ticks.plus(wait)),
            times,
        };
        // Who comes back later and was told less does not shorten what another was told.
        if let Some(known) = same.filter(|known| known.due_ns > stop.due_ns && told.is_none()) {
            (stop.until, stop.due_ns) = (known.until, known.due_ns);
        }
        *slot = Some(stop);
    }

    /// A run that began at `began` was answered: what was learned before it began is over.
    pub fn answered(&mut self, began: Ticks) {
        let is_over = |stop: &mut Stop| stop.since_ns <= nanos(began);
        self.rate_limit.take_if(is_over);
        self.breaker.take_if(is_over);
    }

    /// What two workers know who could not tell each other: what was spent more, and what was learned last. At the worst
    /// a fault that is over is tried once more.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        self.spent_until_ns = self.spent_until_ns.max(other.spent_until_ns);
        let slots = [(&mut self.rate_limit, &other.rate_limit), (&mut self.breaker, &other.breaker)];
        for (mine, theirs) in slots {
            let known = mine.as_ref().map(|stop| stop.since_ns);
            if let Some(stop) = theirs.as_ref().filter(|stop| Some(stop.since_ns) > known) {
                *mine = Some(stop.clone());
            }
        }
        if other.warning.as_ref().map(|it| it.at) > self.warning.as_ref().map(|it| it.at) {
            self.warning.clone_from(&other.warning);
        }
        self
    }

    /// Whatever was wrong may have been mended: the next run tries.
    pub fn try_now(&mut self, now: Moment) {
        for stop in [&mut self.rate_limit, &mut self.breaker].into_iter().flatten() {
            stop.due_ns = stop.due_ns.min(nanos(now.ticks));
            stop.until = stop.until.min(now.wall);
        }
    }
}

/// How long to wait where nobody told: by cause, doubling each time.
pub fn pause(cause: HoldCause, times: u32) -> Duration {
    let (first, longest) = match cause {
        HoldCause::Auth | HoldCause::Billing | HoldCause::Configuration => (15, 300),
        HoldCause::RateLimit | HoldCause::Budget => (60, 900),
        HoldCause::Outage | HoldCause::Resume => (5, 60),
        // Trying costs a few writes, and whoever made room does not wait long.
        HoldCause::Disk | HoldCause::Memory => (2, 5),
    };
    Duration::from_secs((first << times.saturating_sub(1).min(8)).min(longest))
}

/// How long one request takes to be given back, in nanoseconds.
fn each(per_minute: u32) -> Option<u64> {
    60_000_000_000_u64.checked_div(per_minute.into())
}

fn nanos(at: Ticks) -> u64 {
    u64::try_from(at.0.as_nanos()).unwrap_or(u64::MAX)
}

fn ahead(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok()).unwrap_or(now)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
