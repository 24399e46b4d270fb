//! What the worker decides: which task is next, when to hold, when to stop. No clock, no disk, no async.
//!
//! The shell tells what happened ([`Event`]) and does what comes back ([`Effect`]); nobody else decides.

mod busy;
mod event;
mod whereabouts;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::hold::Holds;
use super::takes::Takes;
use crate::agent::disposition::Holding;
use crate::clock::{Ticks, Timestamp};
use crate::pack::Bars;
use crate::spool::{Examined, Head, Identity, Queue};
use crate::task::retry::LONGEST;
use crate::task::{ErrorCode, FileName, HoldCause, Place, RunId, TaskName, WorkerName};

use busy::Busy;
pub use busy::Site;
pub use event::{After, Effect, Ended, Event, Now, Room, Sentence, Wanted};
pub use whereabouts::{Whereabouts, name_of};

/// How long a file that is no task yet may take to become one, counted from its last change.
pub const SETTLE: Duration = Duration::from_secs(10);

/// How long an agent is young: what it needs of the memory does not show yet.
pub const YOUNG: Duration = Duration::from_secs(10);

/// How long nothing is claimed after the disk refused a write.
pub const REFUSED: Duration = Duration::from_secs(2);

type Slot = (Place, FileName);

#[derive(Clone, Debug)]
struct Unsettled {
    identity: Option<Identity>,
    by_content: bool,
    since: Ticks,
    why: String,
}

#[derive(Clone, Debug)]
struct Live {
    name: TaskName,
    run: RunId,
    since: Ticks,
}

/// The worker's mind.
#[derive(Debug)]
pub struct Core {
    worker: WorkerName,
    slots: usize,
    queue: Queue,
    unsettled: HashMap<(Place, FileName), Unsettled>,
    claiming: HashMap<FileName, Option<TaskName>>,
    /// Names that were met in a queue while they were being claimed.
    met: HashSet<FileName>,
    running: HashMap<FileName, Live>,
    holds: Holds,
    fault: Option<Holding>,
    refused: Option<(Holding, Ticks)>,
    /// Whose end began the hold or made it longer.
    stumbled: Option<FileName>,
    takes: Takes,
    /// Until when the account has no request left.
    paced: Option<Ticks>,
    bars: Bars,
    busy: Busy,
    budget: Option<Holding>,
    room: Room,
    is_trying: bool,
    wanted: Wanted,
    left: bool,
    /// How far the wall clock is from the one that nobody sets, in nanoseconds.
    apart: Option<i128>,
}

impl Core {
    /// A worker that has seen nothing yet.
    pub fn new(worker: WorkerName, slots: usize) -> Self {
        Self {
            worker,
            slots: slots.max(1),
            queue: Queue::default(),
            unsettled: HashMap::new(),
            claiming: HashMap::new(),
            met: HashSet::new(),
            running: HashMap::new(),
            holds: Holds::default(),
            fault: None,
            refused: None,
            stumbled: None,
            takes: Takes::All,
            paced: None,
            bars: Bars::default(),
            busy: Busy::default(),
            budget: None,
            room: Room::Enough,
            is_trying: false,
            wanted: Wanted::Run,
            left: false,
            apart: None,
        }
    }

    /// Takes in what happened, and says what to do.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            // All of it is known before anything is taken, or what is seen first would go first.
            Event::Looked(looked) => self.looked_all(looked, now, &mut effects),
            Event::Running { file, name, run } => {
                self.claiming.remove(&file);
                // Another drop of this name, seen before or while it was claimed, is seen as one now: left under its
                // name, the next drop would replace it.
                let waits = |place: &Place| self.queue.get(*place, &file).is_some();
                if self.met.remove(&file) || Place::QUEUES.iter().any(waits) {
                    effects.extend(looks(&file));
                }
                self.running.insert(file, Live { name, run, since: now.ticks });
            }
            Event::Recovering { file } => {
                self.claiming.insert(file, None);
            }
            Event::NotClaimed { file } => self.not_claimed(&file, &mut effects),
            Event::Busy { file, site, until } => {
                self.busy.set(site, until);
                self.not_claimed(&file, &mut effects);
            }
            Event::RunEnded(ended) => self.run_ended(ended, now, &mut effects),
            Event::Fault(fault) => self.fault_is(fault, now),
            Event::Room(room) => self.room = room,
            Event::Trying(is_trying) => self.is_trying = is_trying,
            Event::Refused(holding) => self.refused = Some((holding, now.ticks.plus(REFUSED))),
            Event::Takes(takes) => self.takes = takes,
            Event::Slots(slots) => self.slots = slots.max(1),
            Event::Bars(bars) => self.bar(bars, now),
            Event::Budget(holding) => self.budget = holding.map(|it| *it),
            Event::Asked(wanted) => self.asked(wanted, &mut effects),
            Event::Account(word) => self.holds.heed(word.as_deref(), &self.worker),
            Event::Paced(until) => self.paced = Some(until),
            Event::TryNow => self.holds.try_now(now),
            Event::Tick => {
                self.settle(now, &mut effects);
                self.mind_the_clock(now, &mut effects);
            }
        }
        self.claim(now, &mut effects);
        self.leave(&mut effects);
        effects
    }

    /// The packs that nothing is started with.
    pub const fn bars(&self) -> &Bars {
        &self.bars
    }

    /// What waits.
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// How many tasks are being worked on.
    pub fn active(&self) -> usize {
        self.running.len() + self.claiming.len()
    }

    /// Why nothing is started now, if that is so.
    pub fn hold(&self) -> Option<&Holding> {
        let refused = self.refused.as_ref().map(|(holding, _)| holding);
        self.fault
            .as_ref()
            .or(refused)
            .or_else(|| self.holds.holding())
            .or(self.budget.as_ref())
            .or_else(|| self.takes.holding())
    }

    /// Until when nothing is started, where that is known.
    pub fn held_until(&self, now: Now) -> Option<Timestamp> {
        self.holds.until(now)
    }

    /// What the operator wants.
    pub const fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Whether a task of this file name is being worked on.
    pub fn is_live(&self, file: &FileName) -> bool {
        self.running.contains_key(file) || self.claiming.contains_key(file)
    }

    /// Whether what stood at this name when it was looked at last is still to be dealt with.
    pub fn awaits(&self, slot: &(Place, FileName)) -> bool {
        self.queue.get(slot.0, &slot.1).is_some() || self.unsettled.contains_key(slot)
    }

    /// When the next thing happens by itself. What is due already waits for something else, such as a slot.
    pub fn next_moment(&self, now: Now) -> Option<Ticks> {
        let settles = self.unsettled.values().map(|it| it.since.plus(SETTLE)).min();
        let due = self.queue.next_due().filter(|at| *at > now.wall).map(|at| {
            let ahead = at.duration_since(now.wall);
            now.ticks.plus(Duration::try_from(ahead).unwrap_or(Duration::ZERO))
        });
        let held = [self.holds.due(), self.paced, self.busy.due()];
        [settles, due].into_iter().chain(held).flatten().filter(|at| *at > now.ticks).min()
    }

    fn looked_all(&mut self, looked: Vec<(Slot, Examined)>, now: Now, effects: &mut Vec<Effect>) {
        let mut waiting = Vec::new();
        for (slot, found) in looked {
            effects.extend(self.looked(slot, found, now, &mut waiting));
        }
        self.queue.put_all(waiting, now.wall);
    }

    /// What follows from one look; a task that waits goes to those that are put into the queue together.
    #[expect(clippy::vec_box, reason = "they come in boxes, and stay in them")]
    fn looked(
        &mut self,
        slot: Slot,
        found: Examined,
        now: Now,
        waiting: &mut Vec<Box<Head>>,
    ) -> Option<Effect> {
        let (place, file) = (slot.0, slot.1.clone());
        if !matches!(found, Examined::Unsettled { .. }) {
            self.unsettled.remove(&slot);
        }
        let waits = matches!(&found, Examined::Task(head) if self.may_wait(head));
        if !waits {
            // It may be about one of these.
            self.queue.put_all(waiting.drain(..), now.wall);
        }
        match found {
            Examined::Task(mut head) if waits => {
                head.is_barred = self.bars.of(head.special().pack.as_deref()).is_some();
                waiting.push(head);
            }
            Examined::Task(head) => return self.found(&head),
            Examined::Unsettled { identity, by_content, why } => {
                self.queue.remove(place, &file);
                let fresh = Unsettled { identity, by_content, since: now.ticks, why };
                let known = self.unsettled.entry(slot).or_insert_with(|| fresh.clone());
                if known.identity != fresh.identity {
                    *known = fresh;
                }
            }
            // In the inbox it is nobody's: the first worker that looks files it with its own.
            Examined::Invalid { code, why } => {
                self.queue.remove(place, &file);
                return Some(Effect::Reject(Sentence { place, file, code, why, settled: None }));
            }
            // Its owner puts its own back or has it; the next look at everything asks again.
            Examined::Elsewhere { .. } | Examined::Gone => {
                self.queue.remove(place, &file);
            }
            Examined::Copy { worker, .. } => {
                self.queue.remove(place, &file);
                return Some(Effect::DropCopy { place, file, worker });
            }
        }
        None
    }

    /// Whether it is this worker's, and nothing of its name or run is worked on.
    fn may_wait(&self, head: &Head) -> bool {
        let is_worked_on = self.claiming.contains_key(&head.file) || self.running.contains_key(&head.file);
        !self.is_anothers(head) && !is_worked_on && !self.is_running(head)
    }

    fn is_anothers(&self, head: &Head) -> bool {
        head.special().pinned.as_ref().is_some_and(|pinned| *pinned != self.worker)
    }

    fn is_running(&self, head: &Head) -> bool {
        head.special().run.is_some_and(|run| self.running.values().any(|live| live.run == run))
    }

    /// One that may not wait.
    fn found(&mut self, head: &Head) -> Option<Effect> {
        let (place, file) = (head.place, head.file.clone());
        if self.is_anothers(head) {
            self.queue.remove(place, &file);
        } else if self.claiming.contains_key(&file) {
            // Seen before it was taken, or another file: it is looked at again when that is known.
            self.met.insert(file);
        } else if self.is_running(head) {
            return Some(Effect::TakeBack { place, file });
        } else {
            return Some(Effect::Aside { place, file });
        }
        None
    }

    fn bar(&mut self, bars: Bars, now: Now) {
        if self.bars != bars {
            self.queue.bar(|head| bars.of(head.special().pack.as_deref()).is_some(), now.wall);
            self.bars = bars;
        }
    }

    fn not_claimed(&mut self, file: &FileName, effects: &mut Vec<Effect>) {
        self.claiming.remove(file);
        self.met.remove(file);
        // Another worker took what was to try whether a hold is over: the next one tries.
        self.holds.told_nothing(file);
        effects.extend(looks(file));
    }

    fn run_ended(&mut self, ended: Ended, now: Now, effects: &mut Vec<Effect>) {
        self.running.remove(&ended.file);
        self.claiming.remove(&ended.file);
        self.met.remove(&ended.file);
        self.busy.clear();
        self.stumbled = matches!(ended.after, After::Hold(_)).then(|| ended.file.clone());
        match ended.after {
            After::Hold(holding) => self.holds.begin(holding, now),
            After::Answered => self.holds.prove_over(),
            After::Unknown => self.holds.told_nothing(&ended.file),
        }
        // It may be back in pending, and a namesake may have waited for it.
        effects.extend(looks(&ended.file));
    }

    /// What held for the disk need not wait any longer than the disk's own fault does.
    fn fault_is(&mut self, fault: Option<Holding>, now: Now) {
        let of_disk = |it: Option<&Holding>| it.is_some_and(|it| it.cause == HoldCause::Disk);
        if of_disk(self.fault.as_ref()) && fault.is_none() {
            self.refused = None;
            if of_disk(self.holds.holding()) {
                self.holds.try_now(now);
            }
        }
        self.fault = fault;
    }

    /// From working to stopping there is no way back: what drains or stops is started again afterwards.
    fn asked(&mut self, wanted: Wanted, effects: &mut Vec<Effect>) {
        use Wanted::{Drain, Pause, Run, Stop, StopNow};
        match (self.wanted, wanted) {
            (Run | Pause, Run | Pause | Drain) => self.wanted = wanted,
            (Drain | Stop | StopNow, Run | Pause | Drain) => {}
            (Run | Pause | Drain, Stop) => {
                self.wanted = Stop;
                effects.push(Effect::StopRuns);
            }
            (_, StopNow) | (Stop | StopNow, Stop) => {
                self.wanted = StopNow;
                effects.push(Effect::KillRuns);
            }
        }
    }

    fn settle(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let due = |it: &Unsettled| now.ticks.since(it.since) >= SETTLE;
        let over: Vec<_> = self.unsettled.extract_if(|_, it| due(it)).collect();
        for ((place, file), it) in over {
            let settled = it.identity.filter(|_| it.by_content);
            effects.push(Effect::Reject(Sentence {
                place,
                file,
                code: ErrorCode::E002,
                why: it.why,
                settled,
            }));
        }
        // It may have changed without an event. A thousand halves of files are not read each second for that.
        effects.extend(self.unsettled.iter().map(|((place, file), it)| Effect::Look {
            place: *place,
            file: file.clone(),
            unless: it.identity.filter(|_| it.by_content),
        }));
    }

    /// A clock that was set back leaves pauses longer than any that we make: what waits for a moment is read anew, with
    /// the time that it is now.
    fn mind_the_clock(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        let apart = now.wall.as_nanosecond() - nanos(now.ticks.0);
        let before = self.apart.replace(apart);
        if before.is_some_and(|it| it - apart > nanos(LONGEST)) {
            let again =
                |(place, file): (Place, &FileName)| Effect::Look { place, file: file.clone(), unless: None };
            effects.extend(self.queue.deferred().map(again));
        }
    }

    fn claim(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.refused.take_if(|(_, until)| now.ticks >= *until);
        self.paced.take_if(|until| now.ticks >= *until);
        self.busy.pass(now.ticks);
        let is_stopped = [&self.fault, &self.budget].iter().any(|it| it.is_some())
            || self.refused.is_some()
            || self.paced.is_some()
            || self.is_trying;
        if self.wanted != Wanted::Run || is_stopped {
            return;
        }
        while self.active() < self.slots && self.has_room(now) && self.holds.lets_start(now.ticks) {
            let (running, claiming, takes, busy) = (&self.running, &self.claiming, &self.takes, &self.busy);
            let fits = |head: &Head| {
                takes.allows(head.place)
                    && !busy.has(head)
                    && !running.contains_key(&head.file)
                    && !claiming.contains_key(&head.file)
                    && !running
                        .values()
                        .map(|live| &live.name)
                        .chain(claiming.values().flatten())
                        .any(|name| name.as_str() == head.name())
                    && !has_live_namesake(&head.file, running, claiming)
            };
            // What looks like a fault of the API may be one task's own: another one tries first, or all would wait
            // behind it for ever.
            let stumbled = self.stumbled.as_ref();
            let other = self.queue.next(now.wall, |head| Some(&head.file) != stumbled && fits(head)).cloned();
            let head = other.or_else(|| self.queue.next(now.wall, fits).cloned());
            let Some(head) = head else { return };
            self.queue.remove(head.place, &head.file);
            self.holds.started(&head.file);
            self.claiming.insert(head.file.clone(), head.name().parse().ok());
            effects.push(Effect::Claim { place: head.place, file: head.file });
        }
    }

    /// Whether one more agent fits, with those that have only begun.
    fn has_room(&self, now: Now) -> bool {
        let young = self.running.values().filter(|live| now.ticks.since(live.since) < YOUNG).count();
        match self.room {
            Room::Enough => true,
            Room::For(agents) => young + self.claiming.len() < agents,
        }
    }

    fn leave(&mut self, effects: &mut Vec<Effect>) {
        if self.wanted.leaves() && self.active() == 0 && !self.left {
            self.left = true;
            effects.push(Effect::Leave);
        }
    }
}

/// The looks at one name in every queue.
fn looks(file: &FileName) -> impl Iterator<Item = Effect> {
    Place::QUEUES.into_iter().map(|place| Effect::Look { place, file: file.clone(), unless: None })
}

/// `x~2.json` waits while `x.json` is worked on.
fn has_live_namesake(
    file: &FileName,
    running: &HashMap<FileName, Live>,
    claiming: &HashMap<FileName, Option<TaskName>>,
) -> bool {
    file.base() != file.stem() && running.keys().chain(claiming.keys()).any(|it| it.base() == file.base())
}

#[cfg(test)]
mod tests;
