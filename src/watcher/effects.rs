//! Carrying out what the core decided about names in queues. The disk is asked off the loop.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::attend;
use super::command::{Errand, Found};
use super::core::Event;
use super::ctx::Ctx;
use super::homecoming::Homecoming;
use super::look::{self, Slot};
use super::seats::Wait;
use super::trace::Tracer;
use super::way;
use crate::agent::disposition::Holding;
use crate::agent::trouble::{self, is_scarcity};
use crate::limits::Permit;
use crate::recovery::{ApplyError, LivingAgents, Policy, SystemHands, SystemWitness, recover_one};
use crate::spool::{ClaimError, Claimed, Disk, Examined, Lease, Spool, Store};
use crate::task::{FileName, HoldCause, Place, TaskFile};

/// What the loop is told by its own errands.
#[derive(Debug)]
pub(super) enum Told {
    /// For the core.
    Core(Event),
    /// A task is ours: start its agent.
    Claimed(Box<Lease>),
    /// A living agent is ours: take it up.
    Adopted(Box<Lease>),
    /// A task came back from a queue with an attempt that nobody ended.
    Open(FileName),
    /// A claim failed, and could not be undone: its file stands in `active/`, and no agent was started for it.
    Stuck(FileName),
    /// A stream to be watched for hints.
    Watch(PathBuf),
    /// A stream that is over.
    Unwatch(PathBuf),
    /// A full look is over.
    Scanned(look::Scanner, look::Finds),
    /// Names were looked at.
    Looked(Vec<(Slot, Examined)>),
    /// A round of looks is over.
    LookedThrough,
    /// A round of verdicts is over.
    Judged,
    /// A task that a command is about was looked for.
    Found(Box<Errand>, Found),
    /// A command about a task was carried out.
    Served,
}

/// How a file came to stand in `active/` with nobody at work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nobody knows: by hand, or by a watcher before us.
    Somehow,
    /// By a claim of ours that failed: no agent was started, and nothing is to be charged.
    Unstarted,
}

/// Does errands on threads of their own.
#[derive(Clone, Debug)]
pub(super) struct Errands {
    pub(super) ctx: Rc<Ctx>,
    pub(super) tell: mpsc::UnboundedSender<Told>,
}

impl Errands {
    /// Looks at everything.
    pub(super) fn scan(&self, mut scanner: look::Scanner) {
        let board = Arc::clone(&self.ctx.board);
        self.go(move |spool| {
            let finds = scanner.scan(spool);
            board.forget_moved(|path| spool.store().identity(path).is_ok());
            vec![Told::Scanned(scanner, finds)]
        });
    }

    /// Claims a task.
    pub(super) fn claim(&self, place: Place, file: FileName) {
        let config_dir = self.ctx.config_dir();
        let (ours, packs) = (self.ctx.ours(), Arc::clone(&self.ctx.packs));
        let (limits, seats) = (self.ctx.limits.clone(), Arc::clone(&self.ctx.seats));
        let (roots, groups) = (self.ctx.config.workdir_roots.clone(), Arc::clone(&self.ctx.groups));
        self.go(move |spool| {
            if !ours() {
                return vec![Told::Core(Event::Refused(not_ours())), Told::Core(Event::NotClaimed { file })];
            }
            if let Err(Wait { site, until }) = seats.reserve(spool, (place, &file), &roots) {
                return vec![Told::Core(Event::Busy { file, site, until })];
            }
            let permit = limits.as_ref().map(|limits| limits.permit(&file));
            if let Some(why) = permit.as_ref().and_then(not_permitted) {
                seats.release(&file);
                return vec![Told::Core(why), Told::Core(Event::NotClaimed { file })];
            }
            let plan = |task: &TaskFile, run| {
                let mut attempt = way::plan(task, run, spool, &packs, config_dir);
                let group = task.record.run_id.and_then(|run| groups.path(run));
                attempt.cgroup = group.map(|path| path.display().to_string());
                attempt
            };
            let claimed = spool.claim(place, &file, plan);
            if !matches!(claimed, Ok(Claimed::Lease(_))) {
                seats.release(&file);
                if let (Some(limits), Some(Permit::Granted)) = (&limits, &permit) {
                    limits.give_back(&file);
                }
            }
            match claimed {
                Ok(Claimed::Lease(lease)) => vec![Told::Claimed(lease)],
                Ok(Claimed::Open(file)) => vec![Told::Open(file)],
                Err(error) => not_claimed(&file, &error),
            }
        });
        attend::foresee(&self.ctx);
    }

    /// Brings home a file in `active/` that nobody works on: put there by hand, or by a claim that failed half-way.
    pub(super) fn recover(&self, file: FileName, why: Left) {
        let (spool, clock) = (Arc::clone(&self.ctx.spool), Arc::clone(&self.ctx.clock));
        let (scratch, max_retries) = (self.ctx.scratch.clone(), self.ctx.config.max_retries);
        let unstarted = why == Left::Unstarted;
        let policy = Policy {
            max_retries,
            living: LivingAgents::Adopt,
            now: clock.wall(),
            jitter: Ctx::jitter(),
            failure: "worker_crash",
            unstarted,
            redactor: self.ctx.redactor.clone(),
        };
        let (worker, tracer) = (self.ctx.config.worker.clone(), Tracer::new(&self.ctx));
        let (ours, git, durability) = (
            self.ctx.ours(),
            self.ctx.git.granting(self.ctx.layout().artifacts()),
            self.ctx.config.durability,
        );
        self.go(move |_| {
            if !ours() {
                return vec![Told::Core(Event::Refused(not_ours())), Told::Core(Event::NotClaimed { file })];
            }
            let witness = SystemWitness::new(spool.layout().clone());
            let say = |line: &str| tracing::info!("{line}");
            let say: &dyn Fn(&str) = &say;
            let hands = SystemHands {
                spool: Arc::clone(&spool),
                clock,
                scratch,
                own_lock: None,
                say,
                git,
                durability,
            };
            let hands = Homecoming { worker, tracer, hands };
            match recover_one(&spool, &witness, &file, &policy, &hands) {
                Ok(true) => adopted(&spool, &file),
                Ok(false) => vec![Told::Core(Event::NotClaimed { file })],
                Err(error) => {
                    tracing::warn!(file = %file, error = %error, "could not bring home; trying again");
                    let mut told = vec![
                        Told::Core(Event::Refused(unreached(&error))),
                        Told::Core(Event::NotClaimed { file: file.clone() }),
                    ];
                    told.extend(unstarted.then_some(Told::Stuck(file)));
                    told
                }
            }
        });
    }

    /// Gives a drop another name.
    pub(super) fn aside(&self, place: Place, file: FileName) {
        self.go(move |spool| match spool.rename_aside(place, &file) {
            Ok(name) => {
                tracing::info!(file = %file, renamed = %name, "a task of this name is being worked on; the new one waits under another");
                vec![Told::Looked(look::look_at(spool, vec![(place, name), (place, file)]))]
            }
            Err(error) if error.is_gone() => vec![Told::Looked(look::look_at(spool, vec![(place, file)]))],
            Err(error) => {
                // It is looked at again when its namesake has ended: asked now, it would be tried without a pause.
                tracing::warn!(file = %file, error = %error, "could not give it another name");
                Vec::new()
            }
        });
    }

    /// Does an errand, and tells at its end.
    pub(super) fn go(&self, errand: impl FnOnce(&Arc<Spool<Disk>>) -> Vec<Told> + Send + 'static) {
        self.go_on(move |spool, tell| errand(spool).into_iter().for_each(tell));
    }

    /// Does an errand that tells as it goes on.
    pub(super) fn go_on(&self, errand: impl FnOnce(&Arc<Spool<Disk>>, &dyn Fn(Told)) + Send + 'static) {
        let (spool, tell) = (Arc::clone(&self.ctx.spool), self.tell.clone());
        // The loop is gone only if the program ends.
        tokio::task::spawn_blocking(move || errand(&spool, &|told| drop(tell.send(told))));
    }
}

fn not_ours() -> Holding {
    Holding::of(HoldCause::Disk, "the worker's folder is not the one that is locked".to_owned())
}

/// Why nothing is claimed while this process has too little of something.
fn scarcity(error: &std::io::Error) -> Holding {
    let trouble = trouble::explain(error, std::path::Path::new("/"), std::path::Path::new("/"));
    Holding {
        cause: HoldCause::Configuration,
        reason: format!("a task could not be read: {} ({error})", trouble.why),
        remedy: trouble.remedy,
        until: None,
    }
}

/// Why nothing is claimed for a while after a file in `active/` could not be brought home.
fn unreached(error: &ApplyError) -> Holding {
    match error {
        ApplyError::Disk { source, .. } => {
            Holding::of_disk(format_args!("{error}: {source}"), &source.source)
        }
        ApplyError::Journal { source, .. } => Holding::of_disk(error, source),
        ApplyError::Changed(_) | ApplyError::Undying { .. } => {
            Holding::of(HoldCause::Disk, error.to_string())
        }
    }
}

fn adopted(spool: &Arc<Spool<Disk>>, file: &FileName) -> Vec<Told> {
    let witness = SystemWitness::new(spool.layout().clone());
    let active = crate::recovery::survey::look_at(spool, &witness, file.clone());
    let lease = active.task.ok().and_then(|task| Lease::of(spool.worker(), file, task));
    // Somebody may have moved it since: a name that nobody answers for would keep its slot for ever.
    let told = lease.map_or_else(
        || Told::Core(Event::NotClaimed { file: file.clone() }),
        |lease| Told::Adopted(Box::new(lease)),
    );
    vec![told]
}

/// Why no agent may be started now, for the core.
fn not_permitted(permit: &Permit) -> Option<Event> {
    match permit {
        // One that is not to wait is claimed, and told why it fails.
        Permit::Granted | Permit::Refused => None,
        Permit::Paced(until) => Some(Event::Paced(*until)),
        Permit::Stopped(word) => Some(Event::Account(Some(word.clone()))),
    }
}

fn not_claimed(file: &FileName, error: &ClaimError) -> Vec<Told> {
    let again = Told::Core(Event::NotClaimed { file: file.clone() });
    match error {
        ClaimError::Gone(_) | ClaimError::Changed(_) => {
            tracing::debug!(file = %file, error = %error, "not claimed");
            vec![again]
        }
        // We work on no task of this name, so what stands in active/ is nobody's: it is brought home first, or this
        // one would be claimed again and again in vain.
        ClaimError::Live(_) => {
            tracing::debug!(file = %file, error = %error, "not claimed");
            vec![Told::Open(file.clone())]
        }
        ClaimError::Unreadable { source, .. } => {
            tracing::warn!(file = %file, error = %source, "not claimed: it cannot be read");
            let scarce = is_scarcity(source).then(|| Told::Core(Event::Refused(scarcity(source))));
            scarce.into_iter().chain([again]).collect()
        }
        ClaimError::Disk { source, undone, .. } => {
            tracing::error!(file = %file, error = %source, cause = %source.source, "not claimed: the disk refuses");
            let mut told = vec![Told::Core(Event::Refused(Holding::of_disk(source, &source.source))), again];
            told.extend((!undone).then(|| Told::Stuck(file.clone())));
            told
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::layout::Layout;
    use crate::os::durable::Durability;

    #[test]
    fn a_name_that_was_to_be_adopted_and_is_gone_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, disk) = (Layout::new(dir.path()), Disk::new(dir.path(), Durability::None));
        let spool = Arc::new(Spool::new(layout, "marie".parse().unwrap(), disk, Arc::new(SystemClock)));
        let file: FileName = "x.json".parse().unwrap();
        let told = adopted(&spool, &file);
        assert!(matches!(&told[..], [Told::Core(Event::NotClaimed { file: it })] if *it == file), "{told:?}");
    }
}
