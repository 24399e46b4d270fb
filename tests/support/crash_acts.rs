//! What an operator does on the model disk: a waiting task is cancelled or changed, an ended one begins a new life.

use agent_worker::spool::Store;
use agent_worker::task::{FileName, Place, TaskFile, Usage};

use super::crash_walk::{again, plain, recover, report, x};
use super::crash_world::{Broken, OLD, World, mark_of};

/// What is done, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    None,
    /// Before it is taken.
    Cancel,
    Amend,
    /// When it has been worked on once.
    CancelLater,
    AmendLater,
    /// When it has ended.
    Renew,
    CancelThenRenew,
}

/// What is done before the worker takes anything.
pub(crate) fn before(world: &World, act: Act) -> Result<(), Broken> {
    match act {
        Act::Cancel | Act::CancelThenRenew => cancel(world),
        Act::Amend => amend(world),
        Act::None | Act::CancelLater | Act::AmendLater | Act::Renew => Ok(()),
    }
}

/// What is done between two attempts.
pub(crate) fn while_it_waits_to_go_on(world: &World, act: Act) -> Result<(), Broken> {
    match act {
        Act::CancelLater => cancel(world),
        Act::AmendLater => amend(world),
        Act::None | Act::Cancel | Act::Amend | Act::Renew | Act::CancelThenRenew => Ok(()),
    }
}

/// What is done when everything has ended; whether there is something to do for the worker again.
pub(crate) fn after(world: &World, act: Act) -> Result<bool, Broken> {
    match act {
        Act::Renew => renew(world, Place::Failed).map(|()| true),
        Act::CancelThenRenew => renew(world, Place::Cancelled).map(|()| true),
        Act::None | Act::Cancel | Act::Amend | Act::CancelLater | Act::AmendLater => Ok(false),
    }
}

/// Where the task waits now.
fn waiting(world: &World) -> Option<(Place, FileName)> {
    let spool = world.spool();
    Place::QUEUES
        .into_iter()
        .find(|place| spool.store().identity(&spool.path(*place, &x())).is_ok())
        .map(|it| (it, x()))
}

fn cancel(world: &World) -> Result<(), Broken> {
    let act = || {
        let Some((place, file)) = waiting(world) else { return Ok(()) };
        world
            .spool()
            .cancel((place, &file), "not needed", |_| Ok(Usage::default()), |_, _, _| Ok(()))
            .map(drop)
    };
    persist(world, act)?;
    let is_filed = |place| !world.spool().list(place).unwrap_or_default().is_empty();
    if waiting(world).is_some() || !is_filed(Place::Cancelled) {
        return Err("it was cancelled and is not filed".to_owned());
    }
    report(world);
    Ok(())
}

/// Once more where the disk refused or somebody wrote at the same time; what was taken is brought home first.
fn persist<E: std::error::Error>(world: &World, act: impl Fn() -> Result<(), E>) -> Result<(), Broken> {
    for _ in 0..2 {
        if act().is_ok() {
            return Ok(());
        }
        recover(world).or_else(|_| recover(world))?;
    }
    act().map_err(plain)
}

fn amend(world: &World) -> Result<(), Broken> {
    let act = || {
        let Some((place, file)) = waiting(world) else { return Ok(()) };
        world.spool().amend(place, &file, None, |task| task.spec.priority = Some(7)).map(drop)
    };
    persist(world, act)?;
    let spool = world.spool();
    let Some((place, file)) = waiting(world) else {
        return Err("it was changed and is not there".to_owned());
    };
    let (bytes, _) = spool.store().read(&spool.path(place, &file), u64::MAX).map_err(plain)?;
    let task = TaskFile::parse(&bytes).map_err(plain)?;
    if task.spec.priority == Some(7) { Ok(()) } else { Err("it was changed and is as it was".to_owned()) }
}

fn renew(world: &World, place: Place) -> Result<(), Broken> {
    let spool = world.spool();
    let Some(file) = spool.list(place).map_err(plain)?.into_iter().next() else { return Ok(()) };
    world.happen(|now| {
        let mark = now.disk.content(&spool.path(place, &file)).and_then(mark_of).unwrap_or(OLD);
        now.finished.remove(&mark);
        now.reported.remove(&mark);
        // It takes its place by when it ended.
        let mtime_ns = now.disk.identity(&spool.path(place, &file)).map_or(0, |it| it.mtime_ns);
        if let Some(dropped) = now.dropped.get_mut(&mark) {
            dropped.mtime_ns = mtime_ns;
        }
        // They belong to another life.
        now.agents.retain(|_, agent| agent.mark != mark);
    });
    again(|| match spool.renew(place, &file, |_| Ok(())) {
        Err(error) if error.is_gone() => Ok(file.clone()),
        done => done,
    })?;
    let waits = waiting(world).is_some();
    if waits { Ok(()) } else { Err("it was renewed and does not wait".to_owned()) }
}
