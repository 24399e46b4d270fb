//! Everything that can wake the supervisor, in one place to wait at.

use std::time::Duration;

use tokio::sync::mpsc;

use super::core::Event;
use super::waiter::Waited;
use crate::config::WorkerSpec;
use crate::layout::Layout;
use crate::os::process::Exit;
use crate::os::signals::Signal;
use crate::os::watch::{Hint, Hints, Wanted};
use crate::task::WorkerName;

/// What woke us.
#[derive(Debug)]
pub(super) enum Woke {
    Signal(Signal),
    Exited(WorkerName, Exit),
    Told(WorkerName, Event),
    Waited(Waited),
    Hint(Hint),
    Time,
}

/// Everything that can wake us.
#[derive(Debug)]
pub(super) struct Ears {
    pub(super) signals: mpsc::UnboundedReceiver<Signal>,
    pub(super) exits: mpsc::UnboundedReceiver<(WorkerName, Exit)>,
    pub(super) told: mpsc::UnboundedReceiver<(WorkerName, Event)>,
    pub(super) waits: mpsc::UnboundedReceiver<Waited>,
    pub(super) hints: Option<Hints>,
}

impl Ears {
    /// Waits for the next thing, at most for `patience`. Signals come first: whoever asks to stop is heard.
    pub(super) async fn listen(&mut self, patience: Duration) -> Woke {
        let hint = async {
            match &mut self.hints {
                Some(hints) => hints.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(signal) = self.signals.recv() => Woke::Signal(signal),
            Some((worker, exit)) = self.exits.recv() => Woke::Exited(worker, exit),
            Some((worker, event)) = self.told.recv() => Woke::Told(worker, event),
            Some(waited) = self.waits.recv() => Woke::Waited(waited),
            hint = hint => Woke::Hint(hint),
            () = tokio::time::sleep(patience) => Woke::Time,
        }
    }
}

/// Hints on the locks, the workers' folders and their journals; `None` where there are none to be had.
pub(super) fn listen_to_files(layout: &Layout, workers: &[WorkerSpec]) -> Option<Hints> {
    let mut hints = Hints::start().ok()?;
    hints.add(&layout.locks(), Wanted::Changes).ok()?;
    for worker in workers {
        hints.add(&layout.worker(&worker.name), Wanted::Changes).ok()?;
        hints.add(&layout.journal_dir(&worker.name), Wanted::Changes).ok()?;
    }
    Some(hints)
}
