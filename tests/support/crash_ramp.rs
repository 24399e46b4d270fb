//! A gradual resume on the model disk: its record, its moves, and a successor that goes on from what a cut left.

use agent_worker::os::process::ProcessId;
use agent_worker::recovery::ramp::{Batch, Fate, Phase, Record, Shelf, Terms, Ticket, fate};
use agent_worker::spool::{StepError, Store, steps};
use agent_worker::watcher::takes::Takes;

use super::crash_walk::{again, plain};
use super::crash_world::{Broken, World, layout, marie, now};

/// Whether there is one, and how it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ramp {
    None,
    LetGo,
    TakenBack,
}

const TERMS: Terms =
    Terms { batch_size: 5, delay_s: 30.0, max_failure_rate: 0.5, adaptive: false, leaderless_s: 60.0 };

/// The leader's first life: the record, the batch, and what becomes of it.
pub(crate) fn begin(world: &World, ramp: Ramp) -> Result<(), Broken> {
    if ramp == Ramp::None {
        return Ok(());
    }
    world.happen(|now| now.is_ramped = true);
    let leader = ProcessId { pid: 1, start_ticks: 1, boot_id: String::new(), pid_ns: 1 };
    let mut record = Record::begin(TERMS, 1, leader, now());
    publish(world, &record)?;
    let picked = Shelf::default().pick(&world.spool(), &record, 5, now()).map_err(plain)?;
    let (number, size) = (1, picked.len());
    record.batch = number;
    record.state = Phase::Moving;
    record.batches.push(Batch { number, wanted: 5, size, probe: false, done: 0, failed: 0, open: picked });
    publish(world, &record)?;
    lead(world)?;
    if ramp == Ramp::TakenBack {
        record.state = Phase::Stopped;
        publish(world, &record)?;
        lead(world)?;
    }
    Ok(())
}

/// Goes on with what the record says; from where tasks are taken then.
pub(crate) fn lead(world: &World) -> Result<Takes, Broken> {
    let path = layout().resume(&marie());
    let Some(bytes) = world.see(|now| now.disk.content(&path).map(<[u8]>::to_vec)) else {
        return Ok(Takes::All);
    };
    let mut record = Record::parse(&bytes).ok_or("resume.json is not whole")?;
    let spool = world.spool();
    let open: Vec<Ticket> = record.open().cloned().collect();
    let is = |ticket: &&Ticket, wanted: Fate| fate(&spool, ticket, &[]) == wanted;
    match record.state {
        Phase::Moving => {
            for ticket in open.iter().filter(|it| is(it, Fate::Back)) {
                again(|| spool.stage(&ticket.file))?;
                if fate(&spool, ticket, &[]) != Fate::Staged {
                    return Err(format!("{} was let go and is not staged", ticket.file));
                }
            }
            record.state = Phase::Waiting;
            publish(world, &record)?;
            return Ok(Takes::Staged);
        }
        Phase::Waiting if open.iter().any(|it| is(&it, Fate::Staged) || is(&it, Fate::Works)) => {
            return Ok(Takes::Staged);
        }
        Phase::Waiting => {}
        Phase::Stopped => {
            for ticket in open.iter().filter(|it| is(it, Fate::Staged)) {
                again(|| spool.unstage(&ticket.file))?;
                if fate(&spool, ticket, &[]) != Fate::Back {
                    return Err(format!("{} was taken back and is not in pending", ticket.file));
                }
            }
        }
    }
    again(|| spool.store().perform_all(&steps::drop_temp(&path)))?;
    Ok(Takes::All)
}

/// A new version of the record, as a leader makes it, but for the locks.
fn publish(world: &World, record: &Record) -> Result<(), Broken> {
    again(|| announce(world, record))?;
    let path = layout().resume(&marie());
    let is_there = world.see(|now| now.disk.content(&path) == Some(&record.to_bytes()[..]));
    if is_there { Ok(()) } else { Err("the record was written and is not there".to_owned()) }
}

fn announce(world: &World, record: &Record) -> Result<(), StepError> {
    let (path, spool) = (layout().resume(&marie()), world.spool());
    let draft = agent_worker::os::durable::beside(&path);
    spool.store().perform_all(&steps::draft(&draft, record.to_bytes()))?;
    let is_first = world.see(|now| now.disk.content(&path).is_none());
    let steps = if is_first { steps::begin(&draft, &path) } else { steps::announce(&draft, &path) };
    spool.store().perform_all(&steps).inspect_err(|_| {
        spool.store().perform_all(&steps::drop_temp(&draft)).ok();
    })
}
