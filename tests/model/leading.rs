//! A gradual resume, turn by turn: its record, its moves, and whoever goes on from what a cut left. The locks on the
//! record are the model's.

#![expect(clippy::fn_params_excessive_bools, reason = "a table of facts, each true or not")]

use agent_worker::os::durable::beside;
use agent_worker::os::process::ProcessId;
use agent_worker::recovery::ramp::{Batch, Fate, Phase, Record, Shelf, Terms, Ticket, fate};
use agent_worker::spool::{Spool, Store, steps};

use super::operations::now;
use super::unfold::Desk;

type Queue<'a, 'b> = Spool<&'a Desk<'b>>;

const TERMS: Terms =
    Terms { batch_size: 5, delay_s: 30.0, max_failure_rate: 0.5, adaptive: false, leaderless_s: 60.0 };

/// One turn; `None` if something was refused.
pub(crate) fn lead(spool: &Queue<'_, '_>) -> Option<()> {
    let path = spool.layout().resume(spool.worker());
    let Ok((bytes, _)) = spool.store().read(&path, u64::MAX) else { return begin(spool) };
    let mut record = Record::parse(&bytes)?;
    let open: Vec<Ticket> = record.open().cloned().collect();
    match record.state {
        Phase::Moving => {
            for ticket in &open {
                if fate(spool, ticket, &[]) == Fate::Back {
                    spool.stage(&ticket.file).ok()?;
                }
            }
            record.state = Phase::Waiting;
            publish(spool, &record, false)
        }
        Phase::Waiting if record.batches.is_empty() => {
            let picked = Shelf::default().pick(spool, &record, 5, now()).ok()?;
            let size = picked.len();
            record.batch = 1;
            record.state = Phase::Moving;
            record.batches.push(Batch {
                number: 1,
                wanted: 5,
                size,
                probe: false,
                done: 0,
                failed: 0,
                open: picked,
            });
            publish(spool, &record, false)
        }
        Phase::Waiting => {
            let is_open = |it: &Ticket| matches!(fate(spool, it, &[]), Fate::Staged | Fate::Works);
            if open.iter().any(is_open) {
                return Some(());
            }
            spool.store().perform_all(&steps::drop_temp(&path)).ok()
        }
        Phase::Stopped => {
            for ticket in &open {
                if fate(spool, ticket, &[]) == Fate::Staged {
                    spool.unstage(&ticket.file).ok()?;
                }
            }
            spool.store().perform_all(&steps::drop_temp(&path)).ok()
        }
    }
}

/// Takes back what was let go, from the next turn on.
pub(crate) fn stop(spool: &Queue<'_, '_>) -> Option<()> {
    let path = spool.layout().resume(spool.worker());
    let (bytes, _) = spool.store().read(&path, u64::MAX).ok()?;
    let mut record = Record::parse(&bytes)?;
    record.state = Phase::Stopped;
    publish(spool, &record, false)
}

fn begin(spool: &Queue<'_, '_>) -> Option<()> {
    let leader = ProcessId { pid: 1, start_ticks: 1, boot_id: String::new(), pid_ns: 1 };
    publish(spool, &Record::begin(TERMS, 1, leader, now()), true)
}

fn publish(spool: &Queue<'_, '_>, record: &Record, is_first: bool) -> Option<()> {
    let path = spool.layout().resume(spool.worker());
    let draft = beside(&path);
    spool.store().perform_all(&steps::draft(&draft, record.to_bytes())).ok()?;
    let steps = if is_first { steps::begin(&draft, &path) } else { steps::announce(&draft, &path) };
    spool.store().perform_all(&steps).ok()
}
