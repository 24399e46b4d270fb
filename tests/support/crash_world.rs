//! A spool on the model disk, with agents that are numbers in a table: who runs, what was heard, what must
//! hold from now on. Every durable step leaves a picture on the tape, from which a walk can cut.

#![expect(
    clippy::fn_params_excessive_bools,
    clippy::struct_excessive_bools,
    reason = "a world of a test is a table of facts, each true or not"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use agent_worker::clock::{Clock, Ticks, Timestamp};
use agent_worker::layout::Layout;
use agent_worker::recovery::owed::Owed;
use agent_worker::recovery::{Liveness, Testimony, Witness};
use agent_worker::spool::store::Entry;
use agent_worker::spool::{Identity, Spool, Step, StepError, Store};
use agent_worker::task::{Attempt, FileName, Place, RunId, TaskFile, WorkerName};

pub(crate) use super::ending::{ANSWER, Ending};
use super::model_disk::Model;
use super::step_words::word;

/// What was broken, in a sentence.
pub(crate) type Broken = String;

/// A file of another task that ended long ago.
pub(crate) const OLD: char = 'Z';

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Agent {
    pub(crate) mark: char,
    pub(crate) ending: Ending,
    pub(crate) lives: bool,
    pub(crate) heard: bool,
    /// Whether what is owed was done, and stands beside its stream.
    pub(crate) settled: bool,
    /// Whether its task was laid by.
    pub(crate) laid_by: bool,
}

impl Agent {
    /// Whether its answer waits for something.
    pub(crate) const fn owes(self) -> bool {
        self.heard && !self.settled && matches!(self.ending, Ending::Owed | Ending::LaidBy)
    }
}

/// A drop that counts.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Dropped {
    pub(crate) mtime_ns: i64,
    /// Whether it was durable, so that nothing may lose it.
    pub(crate) is_held: bool,
}

/// Everything at one instant: the disk, the agents, and what was promised so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) disk: Model,
    pub(crate) agents: BTreeMap<(RunId, u32), Agent>,
    pub(crate) dropped: BTreeMap<char, Dropped>,
    /// Finished: never to be started again.
    pub(crate) finished: BTreeSet<char>,
    /// Attempts that crashed.
    pub(crate) crashed: BTreeSet<(RunId, u32)>,
    /// What was told to be filed, and where.
    pub(crate) reported: BTreeMap<char, PathBuf>,
    pub(crate) late_came: bool,
    /// Whether somebody wrote into a file that was just moved, so that half of it may stand in `active/`.
    pub(crate) is_scribbled: bool,
    /// Whether a gradual resume has begun, so that what is staged is named in its record.
    pub(crate) is_ramped: bool,
    /// Whether a power cut may have left two homes, and no recovery has come to its end since.
    pub(crate) lost_power: bool,
    /// Whether an operation or a recovery is under way.
    pub(crate) is_amid: bool,
}

impl Moment {
    pub(crate) fn print(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        self.disk.print().hash(&mut hash);
        (&self.agents, &self.dropped, &self.finished, &self.crashed).hash(&mut hash);
        (&self.reported, self.late_came, self.is_scribbled, self.is_amid, self.lost_power).hash(&mut hash);
        self.is_ramped.hash(&mut hash);
        hash.finish()
    }
}

/// A step that is left out, or two that change places, in all operations of one shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mutation {
    pub(crate) shape: String,
    pub(crate) at: usize,
    pub(crate) swaps: bool,
}

impl std::fmt::Display for Mutation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.swaps { "swapped with the next" } else { "left out" };
        write!(f, "[{}] step {} {how}", self.shape, self.at)
    }
}

/// A drop that is written again at the very moment of its claim.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) was: char,
    pub(crate) becomes: char,
}

#[derive(Debug, Default)]
struct Inner {
    now: Moment,
    tape: Vec<Moment>,
    is_recovering: bool,
    mutation: Option<Mutation>,
    shapes: BTreeMap<String, Vec<String>>,
    rewrite: Option<Rewrite>,
    fault: Option<usize>,
    refused_at: Option<usize>,
}

/// The world; a handle that can be copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct World(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap_or_default()
    }

    fn ticks(&self) -> Ticks {
        Ticks::default()
    }
}

pub(crate) fn now() -> Timestamp {
    Still.wall()
}

pub(crate) fn layout() -> Layout {
    Layout::new("/r")
}

pub(crate) fn marie() -> WorkerName {
    "marie".parse().expect("a worker's name")
}

pub(crate) fn place_of(path: &Path) -> Option<Place> {
    let dir = path.parent()?;
    let all = Place::QUEUES.iter().chain([&Place::Active]).chain(&Place::TERMINAL);
    all.copied().find(|place| layout().place(&marie(), *place) == dir)
}

pub(crate) fn is_queue(place: Place) -> bool {
    Place::QUEUES.contains(&place)
}

pub(crate) fn is_terminal(place: Place) -> bool {
    Place::TERMINAL.contains(&place)
}

/// The mark in a task's text; it stands at the end, so that half a text has none.
pub(crate) fn mark_of(text: &[u8]) -> Option<char> {
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once("\"mark\":")?;
    rest.trim_start().strip_prefix('"')?.chars().next()
}

impl World {
    pub(crate) fn at(moment: Moment, mutation: Option<Mutation>) -> Self {
        Self(Rc::new(RefCell::new(Inner { now: moment, mutation, ..Inner::default() })))
    }

    pub(crate) fn spool(&self) -> Spool<Self> {
        Spool::new(layout(), marie(), self.clone(), Arc::new(Still))
    }

    pub(crate) fn see<T>(&self, look: impl FnOnce(&Moment) -> T) -> T {
        look(&self.0.borrow().now)
    }

    /// Something happens that is no step of ours.
    pub(crate) fn happen<T>(&self, change: impl FnOnce(&mut Moment) -> T) -> T {
        let result = change(&mut self.0.borrow_mut().now);
        self.picture(false);
        result
    }

    pub(crate) fn rewrite(&self, rewrite: Rewrite) {
        self.0.borrow_mut().rewrite = Some(rewrite);
    }

    /// Lets the disk refuse the step after `count` others, once.
    pub(crate) fn refuse_after(&self, count: usize) {
        self.0.borrow_mut().fault = Some(count);
    }

    /// Whether that step is still to come.
    pub(crate) fn will_refuse(&self) -> bool {
        self.0.borrow().fault.is_some()
    }

    /// Where on the tape the disk refused a step.
    pub(crate) fn refused_at(&self) -> Option<usize> {
        self.0.borrow().refused_at
    }

    fn refuses(&self) -> bool {
        let mut inner = self.0.borrow_mut();
        let is_due = inner.fault.take_if(|left| *left == 0).is_some();
        inner.fault = inner.fault.map(|left| left - 1);
        if is_due {
            inner.refused_at = Some(inner.tape.len());
        }
        is_due
    }

    pub(crate) fn recovering(&self, is_recovering: bool) {
        self.0.borrow_mut().is_recovering = is_recovering;
    }

    pub(crate) fn take_tape(&self) -> Vec<Moment> {
        std::mem::take(&mut self.0.borrow_mut().tape)
    }

    /// The shapes of the operations that were performed, each with its steps in words.
    pub(crate) fn shapes(&self) -> BTreeMap<String, Vec<String>> {
        self.0.borrow().shapes.clone()
    }

    fn picture(&self, is_amid: bool) {
        let mut inner = self.0.borrow_mut();
        inner.now.is_amid = is_amid || inner.is_recovering;
        let moment = inner.now.clone();
        inner.tape.push(moment);
    }

    fn mutated(&self, steps: &[Step]) -> Vec<Step> {
        let words: Vec<_> = steps.iter().map(|step| word(step, place_of)).collect();
        let shape = words.join(", ");
        let mut inner = self.0.borrow_mut();
        let mut steps = steps.to_vec();
        if let Some(mutation) = inner.mutation.as_ref().filter(|it| it.shape == shape) {
            if mutation.swaps {
                steps.swap(mutation.at, mutation.at + 1);
            } else {
                steps.remove(mutation.at);
            }
        }
        inner.shapes.entry(shape).or_insert(words);
        steps
    }

    fn rewrite_before(&self, step: &Step) {
        let mut inner = self.0.borrow_mut();
        let is_due = |it: &mut Rewrite| matches!(step, Step::Move { from, .. } if *from == it.path);
        let Some(rewrite) = inner.rewrite.take_if(is_due) else { return };
        let now = &mut inner.now;
        now.disk.scribble(&rewrite.path, &rewrite.bytes);
        let mtime_ns = now.disk.identity(&rewrite.path).map_or(0, |it| it.mtime_ns);
        now.is_scribbled = true;
        now.dropped.remove(&rewrite.was);
        now.dropped.insert(rewrite.becomes, Dropped { mtime_ns, is_held: false });
    }

    fn step(&self, step: &Step, is_amid: bool) -> io::Result<()> {
        if self.refuses() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.rewrite_before(step);
        let mut halfway = None;
        let done = self.0.borrow_mut().now.disk.perform(step, |disk| halfway = Some(disk.clone()));
        if let Some(disk) = halfway {
            let mut inner = self.0.borrow_mut();
            let moment = Moment { disk, is_amid: true, ..inner.now.clone() };
            inner.tape.push(moment);
        }
        self.picture(is_amid);
        done
    }
}

impl Store for World {
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        Ok(self.see(|now| now.disk.list(dir)))
    }

    fn read(&self, path: &Path, _: u64) -> io::Result<(Vec<u8>, Identity)> {
        self.see(|now| now.disk.read(path))
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        self.see(|now| now.disk.identity(path))
    }

    fn perform(&self, step: &Step) -> io::Result<()> {
        self.step(step, true)
    }

    fn perform_all(&self, steps: &[Step]) -> Result<(), StepError> {
        let steps = self.mutated(steps);
        let last = steps.len().saturating_sub(1);
        steps.iter().enumerate().try_for_each(|(index, step)| {
            let done = self.step(step, index < last);
            done.map_err(|source| {
                self.discard(&steps[..index]);
                StepError { step: step.clone(), index, source }
            })
        })
    }
}

impl Witness for World {
    fn testify(&self, run: RunId, attempt: &Attempt) -> io::Result<Testimony> {
        let agent = self.see(|now| now.agents.get(&(run, attempt.number)).copied());
        let liveness = if agent.is_some_and(|it| it.lives) { Liveness::Lives } else { Liveness::Dead };
        let heard = agent.filter(|it| it.heard).map(|it| it.ending.judgement());
        let owed = agent.filter(|it| it.owes()).map(|_| Owed::Verification);
        Ok(Testimony {
            liveness,
            heard,
            tokens: None,
            strays: Vec::new(),
            is_oom_killed: false,
            pack: Box::default(),
            owed,
        })
    }
}

/// A home of a marked task.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) mark: char,
    pub(crate) path: PathBuf,
    pub(crate) place: Place,
    pub(crate) task: Option<TaskFile>,
    pub(crate) inode: Option<usize>,
}

impl Moment {
    /// Every task file of the state directories that bears a mark.
    pub(crate) fn homes(&self) -> Vec<Home> {
        let home = |(path, bytes): (&Path, &[u8])| {
            path.file_name()?.to_str()?.parse::<FileName>().ok()?;
            let place = place_of(path)?;
            let task = TaskFile::parse(bytes).ok();
            let inode = self.disk.inode(path);
            Some(Home { mark: mark_of(bytes)?, path: path.to_owned(), place, task, inode })
        };
        self.disk.files().filter_map(home).collect()
    }

    /// What a kill may leave: agents live on, or die too, with or without having said their last.
    pub(crate) fn kills(&self) -> Vec<Self> {
        let living = self.agents.iter().find(|(_, agent)| agent.lives).map(|(key, agent)| (*key, *agent));
        let Some((key, agent)) = living else { return vec![self.clone()] };
        let mut fates = vec![agent, Agent { lives: false, ..agent }];
        if !agent.heard && agent.ending.is_heard() {
            fates.push(Agent { lives: false, heard: true, ..agent });
        }
        let fate = |agent| {
            let mut moment = self.clone();
            moment.agents.insert(key, agent);
            moment
        };
        fates.into_iter().map(fate).collect()
    }

    /// What a power cut may leave: no agent lives, and their streams are there or lost.
    pub(crate) fn power_cuts(&self) -> Vec<Self> {
        let fates = if self.agents.values().any(|it| it.heard) { &[true, false][..] } else { &[true][..] };
        let views = self.disk.power_cuts();
        let view = |disk: Model, keeps: bool| {
            let mut moment = Self { disk, lost_power: true, ..self.clone() };
            for ((run, _), agent) in &mut moment.agents {
                agent.lives = false;
                agent.heard &= keeps && moment.disk.has_folder(layout().run(run).dir());
            }
            moment
        };
        views.into_iter().flat_map(|disk| fates.iter().map(move |keeps| view(disk.clone(), *keeps))).collect()
    }

    /// A power cut: what was not durable is forgotten, an outcome, and a drop that nobody had synced.
    pub(crate) fn forget(mut self) -> Self {
        let reported: BTreeSet<_> = self.reported.keys().copied().collect();
        self.finished.retain(|mark| reported.contains(mark));
        let there: BTreeSet<_> = self.homes().into_iter().map(|home| home.mark).collect();
        self.dropped.retain(|mark, dropped| dropped.is_held || there.contains(mark));
        self
    }

    /// Takes down what follows from what is left.
    pub(crate) fn cut(mut self) -> Self {
        let homes = self.homes();
        // One that an operator put back into a queue begins a new life, also where its claim was cut in the middle.
        let renewed: Vec<_> = homes.iter().filter(|it| is_queue(it.place)).map(|it| it.inode).collect();
        for home in homes {
            let Some(record) = home.task.map(|task| task.record) else { continue };
            let is_renewed = renewed.contains(&home.inode) && !is_terminal(home.place);
            if record.outcome().is_some() && !is_renewed {
                self.finished.insert(home.mark);
            }
            let open = record.open_attempt().zip(record.run_id).map(|(open, run)| (run, open.number));
            let Some(key) = open.filter(|_| home.place == Place::Active) else { continue };
            if self.agents.get(&key).is_some_and(|agent| !agent.lives && !agent.heard) {
                self.crashed.insert(key);
            }
        }
        let done = self.agents.values().filter(|it| it.heard && it.ending.is_done());
        self.finished.extend(done.map(|it| it.mark));
        self
    }
}
