//! A worker's own rounds of retention: on a thread of its own, slowly, and only while the worker's lock is ours.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::board::Board;
use super::ctx::Ctx;
use crate::clock::SharedClock;
use crate::config::{Kind, Limit, Retention};
use crate::layout::Layout;
use crate::os::lock;
use crate::retention::{Item, Round, Scope, Tally, What, turn};
use crate::task::WorkerName;
use crate::telemetry::journal::{Event as Noted, Journal, Line};
use crate::telemetry::metrics::Metrics;

/// The first round waits until the start is over, and until somebody could say no.
const FIRST: Duration = Duration::from_mins(5);
/// After so many names there is a pause: agents and the loop come first.
const SLICE: u32 = 256;
const PAUSE: Duration = Duration::from_millis(10);
/// The thread gives way to everybody else's (`nice(2)`).
const NICE: i32 = 10;

/// Keeps until it is dropped.
#[derive(Debug)]
pub(super) struct Keeping {
    _alive: mpsc::Sender<()>,
}

struct Keeper {
    layout: Layout,
    worker: WorkerName,
    log_dir: PathBuf,
    scratch: PathBuf,
    retention: Retention,
    clock: SharedClock,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    journal: Journal,
}

/// Starts to keep.
pub(super) fn start(ctx: &Ctx) -> std::io::Result<Keeping> {
    let keeper = Keeper {
        layout: ctx.layout().clone(),
        worker: ctx.config.worker.clone(),
        log_dir: ctx.config.log.dir.clone(),
        scratch: ctx.scratch.clone(),
        retention: ctx.config.retention.clone(),
        clock: Arc::clone(&ctx.clock),
        board: Arc::clone(&ctx.board),
        metrics: Arc::clone(&ctx.metrics),
        journal: ctx.journal.clone(),
    };
    let (alive, ended) = mpsc::channel();
    std::thread::Builder::new().name("retention".to_owned()).spawn(move || keeper.keep(&ended))?;
    Ok(Keeping { _alive: alive })
}

impl Keeper {
    fn keep(&self, ended: &Receiver<()>) {
        // Of this thread alone, on Linux.
        rustix::process::setpriority_process(None, NICE).ok();
        let mut wait = FIRST.min(self.retention.every).mul_f64(1.0 + Ctx::jitter() / 4.0);
        while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = match turn(&self.layout) {
                Ok(Some(turn)) => {
                    self.round(ended);
                    drop(turn);
                    self.retention.every.mul_f64(0.9 + Ctx::jitter() / 5.0)
                }
                // Another worker, or an operator: soon again.
                Ok(None) => self.retention.every.mul_f64(0.1),
                Err(error) => {
                    tracing::warn!(error = %error, "could not take the turn to prune; trying again later");
                    self.retention.every
                }
            };
        }
    }

    fn round(&self, ended: &Receiver<()>) {
        let mut steps = 0_u32;
        let mut go_on = || {
            steps = steps.wrapping_add(1);
            if !steps.is_multiple_of(SLICE) {
                return true;
            }
            lock::pause(PAUSE);
            ended.try_recv() == Err(TryRecvError::Empty) && self.board.show().lock_held
        };
        if !self.board.show().lock_held {
            return;
        }
        let scope = Scope {
            layout: &self.layout,
            worker: &self.worker,
            log_dir: &self.log_dir,
            scratch: &self.scratch,
            now: self.clock.wall(),
        };
        let mut round = Round::begin(scope);
        if let Some(fault) = round.fault() {
            tracing::warn!(
                error = fault,
                "the queues do not answer, so it is not known which runs are needed: none is pruned now"
            );
        }
        round.mend();
        let mut gone = Vec::new();
        for kind in Kind::ALL {
            let limit = self.retention.limit(kind);
            if limit == Limit::default() {
                continue;
            }
            let Some(plan) = round.plan(kind, limit, &mut go_on) else { break };
            let applied = round.apply(&plan, &mut |item| self.gone(kind, item), &mut go_on);
            for told in &applied.told {
                tracing::warn!(kind = kind.as_str(), "{told}");
            }
            if applied.gone.count > 0 {
                gone.push((kind, applied.gone));
            }
            if applied.given_up {
                break;
            }
        }
        self.tell(&gone);
    }

    fn gone(&self, kind: Kind, item: &Item) {
        self.metrics.pruned(kind, item.bytes);
        if let What::Task(_, place, _) = &item.what {
            self.board.left(*place);
        }
    }

    fn tell(&self, gone: &[(Kind, Tally)]) {
        if gone.is_empty() {
            return;
        }
        let parts: Vec<String> =
            gone.iter().map(|(kind, it)| format!("{kind} {} ({} bytes)", it.count, it.bytes)).collect();
        let said = format!("pruned {}", parts.join(", "));
        tracing::info!("{said}");
        let mut line = Line::new(self.clock.wall(), self.worker.clone(), Noted::Pruned);
        line.reason = Some(said);
        if let Err(error) = self.journal.append(&line) {
            tracing::warn!(error = %error, "could not write the journal");
        }
    }
}
