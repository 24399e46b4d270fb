//! The walk: a life of a task, cut after every step, recovered, cut again, recovered, and lived to its end.

use std::collections::{BTreeMap, HashSet};
use std::ops::AddAssign;
use std::path::PathBuf;

use agent_worker::agent::disposition::{Disposition, Terms, dispose};
use agent_worker::recovery::plan::{LivingAgents, decide};
use agent_worker::recovery::survey::look_at;
use agent_worker::recovery::{Change, Hands, Plan, Policy, apply, planned};
use agent_worker::spool::found::Examined;
use agent_worker::spool::{ClaimError, Claimed, Lease, Store};
use agent_worker::task::{Attempt, ErrorCode, FileName, Place, SessionId, TaskFile, TaskState};
use agent_worker::text::redact::Redactor;
use agent_worker::watcher::takes::Takes;

use super::crash_acts::{self as acts, Act};
use super::crash_promises::{self as promises, Cut};
use super::crash_ramp::{self as ramp, Ramp};
use super::crash_world::{
    Agent, Broken, Dropped, Ending, Moment, Mutation, OLD, Rewrite, World, is_terminal, layout, marie,
    mark_of, now,
};
use super::model_disk::{Model, Moves};

const MAX_RETRIES: u32 = 2;

/// How a file comes into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Written and synced elsewhere, then renamed.
    Moved,
    /// Written in place, and never synced.
    Copied,
}

/// A file that somebody drops.
#[derive(Clone, Debug)]
pub(crate) struct Drop {
    pub(crate) mark: char,
    pub(crate) place: Place,
    pub(crate) how: How,
    pub(crate) max_retries: u32,
    pub(crate) is_whole: bool,
}

/// What happens in one life.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) drop: Drop,
    /// A second drop of the same name, when the first agent has started.
    pub(crate) late: Option<Drop>,
    /// The drop is written again while it is claimed.
    pub(crate) is_rewritten: bool,
    /// Names that are taken already.
    pub(crate) taken: &'static [Place],
    /// How the agents end, one after the other; then well.
    pub(crate) endings: &'static [Ending],
    pub(crate) moves: Moves,
    pub(crate) ramp: Ramp,
    /// What an operator does in the first life.
    pub(crate) act: Act,
}

/// What a walk has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walked {
    pub(crate) kills: usize,
    pub(crate) powers: usize,
    pub(crate) recoveries: usize,
    pub(crate) ends: usize,
    pub(crate) shapes: BTreeMap<String, Vec<String>>,
}

impl AddAssign for Walked {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.powers += other.powers;
        self.recoveries += other.recoveries;
        self.ends += other.ends;
        self.shapes.extend(other.shapes);
    }
}

struct NoHands;

impl Hands for NoHands {
    fn end(
        &self,
        _: &FileName,
        _: &[agent_worker::os::process::ProcessId],
    ) -> Vec<agent_worker::os::process::ProcessId> {
        Vec::new()
    }
    fn remove_lock(&self, _: &std::path::Path) {}
    fn clear_scratch(&self) {}
    fn note(&self, _: &[Change<'_>]) -> std::io::Result<()> {
        Ok(())
    }
    fn say(&self, _: &str) {}
}

pub(crate) fn x() -> FileName {
    "x.json".parse().expect("a file name")
}

fn policy() -> Policy {
    Policy {
        max_retries: MAX_RETRIES,
        living: LivingAgents::Adopt,
        now: now(),
        jitter: 0.0,
        failure: "worker_crash",
        redactor: Redactor::default(),
        unstarted: false,
    }
}

fn text(drop: &Drop) -> Vec<u8> {
    let Drop { mark, max_retries, is_whole, .. } = drop;
    let end = if *is_whole { "}" } else { "" };
    let text = format!(
        "{{\"prompt\":\"say hello\", \"note\":[1.50,{{ }}],\"max_retries\":{max_retries},\"mark\":\"{mark}\"{end}"
    );
    text.into_bytes()
}

impl Scenario {
    fn begin(&self, mutation: Option<Mutation>) -> World {
        let mut dirs = layout().common_dirs();
        dirs.extend(layout().worker_dirs(&marie()));
        let mut disk = Model::with(dirs);
        disk.moves = self.moves;
        for place in self.taken {
            let old = text(&Drop { mark: OLD, ..self.drop.clone() });
            disk.plant(&layout().task(&marie(), *place, &x()), &old);
        }
        World::at(Moment { disk, ..Moment::default() }, mutation)
    }

    fn path(drop: &Drop) -> PathBuf {
        layout().task(&marie(), drop.place, &x())
    }

    fn bring(world: &World, drop: &Drop) {
        let (path, bytes) = (Self::path(drop), text(drop));
        if drop.place == Place::Active {
            world.happen(|now| now.is_scribbled = true);
        }
        let count = |now: &mut Moment| {
            let mtime_ns = now.disk.identity(&path).map_or(0, |it| it.mtime_ns);
            now.dropped.insert(drop.mark, Dropped { mtime_ns, is_held: drop.how == How::Moved });
        };
        match drop.how {
            How::Moved => world.happen(|now| {
                now.disk.plant(&path, &bytes);
                count(now);
            }),
            How::Copied => {
                world.happen(|now| now.disk.scribble(&path, &[]));
                world.happen(|now| now.disk.scribble(&path, &bytes[..bytes.len() / 2]));
                world.happen(|now| {
                    now.disk.scribble(&path, &bytes);
                    count(now);
                });
            }
        }
    }

    /// The first life, uncut.
    fn live(&self, world: &World) -> Result<(), Broken> {
        if self.is_rewritten {
            let new = Drop { mark: 'B', ..self.drop.clone() };
            let bytes = [text(&new), b"\n".to_vec()].concat();
            world.rewrite(Rewrite { path: Self::path(&self.drop), bytes, was: self.drop.mark, becomes: 'B' });
        }
        Self::bring(world, &self.drop);
        recover(world).or_else(|_| recover(world))?;
        ramp::begin(world, self.ramp)?;
        acts::before(world, self.act)?;
        if matches!(self.act, Act::AmendLater | Act::CancelLater) {
            self.take_next(world)?;
            acts::while_it_waits_to_go_on(world, self.act)?;
        }
        self.drive(world)?;
        if acts::after(world, self.act)? { self.drive(world) } else { Ok(()) }
    }

    /// Takes the one task that waits, and has its agent come to its end.
    fn take_next(&self, world: &World) -> Result<(), Broken> {
        match next(world, &Takes::All) {
            Some((place, file)) => self.take(world, place, &file),
            None => Ok(()),
        }
    }

    /// The watcher at work, until nothing waits.
    fn drive(&self, world: &World) -> Result<(), Broken> {
        let spool = world.spool();
        for file in spool.list(Place::Active).map_err(|error| error.to_string())? {
            Self::finish(world, &mut lease(world, &file)?)?;
        }
        for _ in 0..40 {
            let takes = ramp::lead(world)?;
            match next(world, &takes) {
                Some((place, file)) => self.take(world, place, &file)?,
                // A claim that failed, and could not be taken back either, is left to the next survey.
                None if world.refused_at().is_some()
                    && !spool.list(Place::Active).map_err(plain)?.is_empty() =>
                {
                    recover(world)?;
                }
                None if takes != Takes::All => {}
                None => return promises::at_end(&world.see(Clone::clone)),
            }
        }
        Err("it never comes to an end".to_owned())
    }

    fn take(&self, world: &World, place: Place, file: &FileName) -> Result<(), Broken> {
        let spool = world.spool();
        match spool.examine(place, file) {
            Examined::Gone | Examined::Elsewhere { .. } | Examined::Copy { .. } => return Ok(()),
            Examined::Unsettled { why, .. } | Examined::Invalid { why, .. } => {
                again(|| spool.reject(place, file, ErrorCode::E002, &why))?;
                return Ok(());
            }
            Examined::Task(head) => kept_its_age(world, &spool.path(place, file), head.identity.mtime_ns)?,
        }
        let attempt = |task: &TaskFile, _| {
            let number = u32::try_from(task.record.attempts.len()).unwrap_or(u32::MAX) + 1;
            Attempt::open(number, SessionId::mint(), now())
        };
        match spool.claim(place, file, attempt) {
            Ok(Claimed::Lease(mut lease)) => {
                self.spawn(world, &lease)?;
                Self::finish(world, &mut lease)
            }
            Ok(Claimed::Open(file)) => {
                let done = again(|| {
                    let actions = decide(&look_at(&spool, world, file.clone()), &policy());
                    apply(&spool, &Plan { worker: marie(), actions }, &NoHands)
                })?;
                done.living.iter().try_for_each(|file| Self::finish(world, &mut lease(world, file)?))
            }
            Err(ClaimError::Changed(_) | ClaimError::Gone(_) | ClaimError::Disk { .. }) => Ok(()),
            Err(ClaimError::Live(_)) => again(|| spool.rename_aside(place, file)).map(drop),
            Err(error) => Err(plain(error)),
        }
    }

    fn spawn(&self, world: &World, lease: &Lease) -> Result<(), Broken> {
        let mark = mark_of(&lease.task.to_bytes()).ok_or("an agent for a task that nobody dropped")?;
        let key = (lease.run, lease.number());
        world.see(|now| {
            let mut agents = now.agents.iter();
            if now.finished.contains(&mark) {
                return Err(format!("{mark} was finished and is started again"));
            }
            match agents.find(|(other, agent)| **other == key || (agent.lives && agent.mark == mark)) {
                Some((other, _)) => Err(format!("{other:?} was started, and {key:?} of the same task too")),
                None => Ok(()),
            }
        })?;
        world.happen(|now| {
            let earlier = now.agents.values().filter(|agent| agent.mark == mark).count();
            let ending = self.endings.get(earlier).copied().unwrap_or(Ending::Done);
            now.agents.insert(
                key,
                Agent { mark, ending, lives: true, heard: false, settled: false, laid_by: false },
            );
            if let Some(dropped) = now.dropped.get_mut(&mark) {
                dropped.is_held = true;
            }
            now.is_scribbled = false;
        });
        self.come_late(world)
    }

    fn come_late(&self, world: &World) -> Result<(), Broken> {
        let Some(late) = self.late.as_ref().filter(|_| !world.see(|now| now.late_came)) else {
            return Ok(());
        };
        world.happen(|now| now.late_came = true);
        Self::bring(world, late);
        again(|| world.spool().rename_aside(late.place, &x())).map(drop)
    }

    /// Does what is owed, or lets the task wait for it: whether it may end.
    fn settle(world: &World, lease: &mut Lease) -> Result<bool, Broken> {
        let key = (lease.run, lease.number());
        let agent = world.see(|now| now.agents[&key]);
        if agent.owes() && agent.ending == Ending::LaidBy && !agent.laid_by {
            lease.task.record.state = Some(TaskState::Pending);
            again(|| world.spool().lay_by(lease, |_| Ok(())))?;
            world.happen(|now| now.agents.values_mut().for_each(|it| it.laid_by |= it.owes()));
            return Ok(false);
        }
        world.happen(|now| now.agents.values_mut().for_each(|it| it.settled |= it.owes()));
        Ok(true)
    }

    fn finish(world: &World, lease: &mut Lease) -> Result<(), Broken> {
        let spool = world.spool();
        lease.task.record.state = Some(TaskState::Running);
        again(|| spool.update(lease))?;
        let key = (lease.run, lease.number());
        let ending = world.see(|now| now.agents[&key].ending);
        world.happen(|now| {
            if let Some(agent) = now.agents.get_mut(&key) {
                agent.heard = ending.is_heard();
            }
        });
        world.happen(|now| {
            if let Some(agent) = now.agents.get_mut(&key) {
                agent.lives = false;
            }
        });
        if !Self::settle(world, lease)? {
            return Ok(());
        }
        let redactor = Redactor::default();
        let terms = Terms {
            max_retries: MAX_RETRIES,
            most_retries: None,
            continues: 0,
            now: now(),
            jitter: 0.0,
            fails_at_limit: false,
            redactor: &redactor,
        };
        match dispose(&ending.judgement(), &lease.task, &terms) {
            Disposition::Conclude { outcome, answer, usage } => {
                let answer = answer.as_deref().map(str::as_bytes);
                again(|| spool.conclude(lease, (&outcome, usage), answer, |_| Ok(())))?;
            }
            Disposition::Requeue { entry, .. } => again(|| spool.requeue(lease, &entry, |_| Ok(())))?,
        }
        report(world);
        Ok(())
    }
}

/// Once more, if the disk refused.
pub(crate) fn again<T, E: std::error::Error>(mut act: impl FnMut() -> Result<T, E>) -> Result<T, Broken> {
    act().or_else(|_| act()).map_err(plain)
}

/// Lives one scenario with a disk that refuses each step in turn; how many there were.
pub(crate) fn refuse_each(scenario: &Scenario) -> Result<usize, Broken> {
    for count in 0.. {
        let world = scenario.begin(None);
        world.refuse_after(count);
        scenario.live(&world).map_err(|broken| format!("step {count} refused: {broken}"))?;
        for moment in world.take_tape().into_iter().skip(world.refused_at().unwrap_or(usize::MAX)) {
            promises::at_cut(&moment, Cut::Kill)
                .map_err(|broken| format!("step {count} refused: {broken}"))?;
        }
        if world.will_refuse() {
            return Ok(count);
        }
    }
    Ok(0)
}

pub(crate) fn plain(error: impl std::error::Error) -> Broken {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

fn kept_its_age(world: &World, path: &std::path::Path, mtime_ns: i64) -> Result<(), Broken> {
    world.see(|now| {
        let mark = now.disk.content(path).and_then(mark_of);
        let dropped = mark.and_then(|mark| now.dropped.get(&mark));
        match dropped {
            Some(dropped) if dropped.mtime_ns != mtime_ns => {
                Err(format!("{} lost its place", path.display()))
            }
            Some(_) | None => Ok(()),
        }
    })
}

/// The next file in the queues that does not wait for its namesake; while a gradual resume is under way, of those that
/// it let go.
fn next(world: &World, takes: &Takes) -> Option<(Place, FileName)> {
    let spool = world.spool();
    let list = |place: Place| {
        let mut files = spool.list(place).unwrap_or_default();
        files.sort();
        files.into_iter().map(move |file| (place, file))
    };
    let queues = Place::QUEUES.into_iter().filter(|place| takes.allows(*place));
    let waiting: Vec<_> = queues.flat_map(list).collect();
    let first = |file: &FileName| waiting.iter().any(|(_, it)| it.stem() == file.base());
    waiting.iter().find(|(_, file)| file.base() == file.stem() || !first(file)).cloned()
}

fn lease(world: &World, file: &FileName) -> Result<Lease, Broken> {
    let spool = world.spool();
    let (bytes, _) = spool.store().read(&spool.path(Place::Active, file), u64::MAX).map_err(plain)?;
    let task = TaskFile::parse(&bytes).map_err(plain)?;
    Lease::of(&marie(), file, task).ok_or_else(|| format!("{file} was adopted and has no attempt"))
}

/// From here on, what is filed stays.
pub(crate) fn report(world: &World) {
    world.happen(|now| {
        let filed = now.homes().into_iter().filter(|home| is_terminal(home.place) && home.mark != OLD);
        now.reported.extend(filed.map(|home| (home.mark, home.path)));
    });
}

pub(crate) fn recover(world: &World) -> Result<(), Broken> {
    world.recovering(true);
    let spool = world.spool();
    let plan = planned(&spool, world, &policy()).map_err(plain)?;
    apply(&spool, &plan, &NoHands).map_err(plain)?;
    world.recovering(false);
    world.happen(|now| now.lost_power = false);
    report(world);
    Ok(())
}

/// How often a task is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth {
    /// Once, and recovery is not.
    Once,
    /// Recovery is cut too, and recovered from.
    Twice,
}

impl Depth {
    const fn rounds(self) -> &'static [bool] {
        match self {
            Self::Once => &[false],
            Self::Twice => &[true, false],
        }
    }
}

/// Walks one scenario to its end, whatever is cut.
pub(crate) fn walk(scenario: &Scenario, depth: Depth, mutation: Option<&Mutation>) -> Result<Walked, Broken> {
    let mut walked = Walked::default();
    let mut search =
        Search { seen: HashSet::new(), left: HashSet::new(), work: Vec::new(), lived: HashSet::new() };
    let world = scenario.begin(mutation.cloned());
    scenario.live(&world)?;
    search.cut_all(world.take_tape(), &mut walked)?;
    walked.shapes.extend(world.shapes());
    for is_cut_again in depth.rounds() {
        for moment in std::mem::take(&mut search.work) {
            let world = World::at(moment.clone(), mutation.cloned());
            recover(&world).map_err(|broken| format!("recovery: {broken}"))?;
            walked.recoveries += 1;
            let tape = world.take_tape();
            if *is_cut_again {
                search.cut_all(tape, &mut walked)?;
            }
            promises::after_recovery(&moment, &world.see(Clone::clone))?;
            if search.lived.insert(world.see(Moment::print)) {
                scenario.drive(&world)?;
                walked.ends += 1;
            }
            walked.shapes.extend(world.shapes());
        }
    }
    Ok(walked)
}

struct Search {
    seen: HashSet<(u64, Cut)>,
    left: HashSet<u64>,
    work: Vec<Moment>,
    lived: HashSet<u64>,
}

impl Search {
    fn cut_all(&mut self, tape: Vec<Moment>, walked: &mut Walked) -> Result<(), Broken> {
        for moment in tape {
            let kills = moment.kills();
            walked.kills += kills.len();
            kills.into_iter().try_for_each(|cut| self.take_in(cut, Cut::Kill))?;
            let powers = moment.power_cuts();
            walked.powers += powers.len();
            powers.into_iter().try_for_each(|cut| self.take_in(cut, Cut::Power))?;
        }
        Ok(())
    }

    fn take_in(&mut self, moment: Moment, cut: Cut) -> Result<(), Broken> {
        if !self.seen.insert((moment.print(), cut)) {
            return Ok(());
        }
        let moment = if cut == Cut::Power { moment.forget().cut() } else { moment.cut() };
        promises::at_cut(&moment, cut).map_err(|broken| format!("{cut:?}: {broken}"))?;
        // From here on it does not matter how it came about.
        let left = Moment { is_amid: true, ..moment };
        if self.left.insert(left.print()) {
            self.work.push(left);
        }
        Ok(())
    }
}
