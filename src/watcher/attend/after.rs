//! What is owed once an agent has come to its end: done before the outcome is written.
//!
//! Invariants:
//! - what is done is durable beside the stream before the judgement goes by it, so that whoever takes the run up next goes
//!   on from there ([`owed`]);
//! - the agent is not run again for what is owed: who has to leave in the middle of it leaves the task in `active/`, and
//!   what cannot be done now lets it wait in the queue with its attempt open.

use std::sync::Arc;
use std::time::Duration;

use super::{Begin, Order, Run};
use crate::agent::disposition::Holding;
use crate::agent::verdict::{Judgement, Verdict};
use crate::os::durable::remove_if_there;
use crate::recovery::owed::{self, Owed};
use crate::task::TaskState;
use crate::telemetry::journal::Event as Noted;
use crate::watcher::core::{Event, Wanted};
use crate::watcher::effects::Told;

/// Between two tries of what refuses.
const AGAIN: Duration = Duration::from_secs(2);
/// Between a try that could not be made and the next claim.
const LATER: Duration = Duration::from_secs(3);

/// What came of what was owed.
#[derive(Debug)]
pub(super) enum Afterwork {
    /// The judgement holds.
    Done,
    /// The worker leaves: the next watcher does it.
    Left,
    /// It cannot be done now, for this reason: the task waits for it.
    Later(String),
}

/// What came of one thing that was owed.
#[derive(Debug)]
pub(super) enum Duty {
    /// It is done, and stands beside the stream.
    Done,
    /// An operator cancelled the task meanwhile.
    Cancelled,
    /// As [`Afterwork::Left`].
    Left,
    /// As [`Afterwork::Later`].
    Later(String),
}

impl Run {
    /// Does everything that is owed, and puts what came of it into `judgement`.
    pub(super) async fn after_work(&mut self, judgement: &mut Judgement) -> Afterwork {
        let (paths, number) = (self.lease.paths(self.ctx.layout()), self.lease.number());
        if self.begin == Begin::Start {
            // Nobody but we could have written a word already, unless it was the agent.
            remove_if_there(&paths.verify(number)).ok();
        }
        loop {
            let owed = match owed::settle(&paths, number, &self.pack, judgement) {
                Ok(Some(owed)) => owed,
                Ok(None) => return Afterwork::Done,
                Err(error) => {
                    let holding = Holding::of_disk("could not read what a run came to", &error);
                    if self.waits_a_moment(holding).await {
                        continue;
                    }
                    return Afterwork::Left;
                }
            };
            let duty = match owed {
                Owed::Verification => self.verify().await,
            };
            match duty {
                Duty::Done => {}
                Duty::Cancelled => {
                    judgement.verdict = Verdict::Cancelled { reason: "cancelled by an operator".to_owned() };
                    return Afterwork::Done;
                }
                Duty::Left => return Afterwork::Left,
                Duty::Later(why) => return Afterwork::Later(why),
            }
        }
    }

    /// Waits a moment for what refuses now; whether it is worth another try.
    pub(super) async fn waits_a_moment(&mut self, holding: Holding) -> bool {
        tracing::error!(task = %self.lease.name, remedy = %holding.remedy, "{}; trying again", holding.reason);
        self.tell.send(Told::Core(Event::Refused(holding))).ok();
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            order = self.orders.recv() => match order {
                Some(Order::Stop) => self.wanted = Wanted::Stop,
                Some(Order::Kill) | None => (self.wanted, self.hurry) = (Wanted::StopNow, true),
                Some(_) => {}
            },
        }
        !self.wanted.is_stop() && !self.lost
    }

    /// Lets the task wait in the queue with its attempt open: it goes on from there, and not from its prompt.
    pub(super) async fn lay_by(&mut self, why: &str) {
        self.clear_scratch().await;
        let record = &mut self.lease.task.record;
        record.state = Some(TaskState::Pending);
        record.failure_reason = Some(why.to_owned());
        record.retry_at = self.ctx.clock.wall().checked_add(LATER).ok();
        let said = why.to_owned();
        let done = self
            .until_done(move |run| {
                let (spool, lease, said) = (Arc::clone(&run.ctx.spool), run.lease.clone(), said.clone());
                let note = run.note_once(Noted::LaidBy, move |line| {
                    line.from = Some(TaskState::Completing);
                    line.charged = Some(false);
                    line.reason = Some(said);
                });
                move || spool.lay_by(&lease, note)
            })
            .await;
        if done.is_some() {
            self.remove_group().await;
            tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, reason = %why, "task back to pending, its answer kept");
        }
    }
}
