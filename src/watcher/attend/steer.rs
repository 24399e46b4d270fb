//! What people say to a run while its agent works: messages, interrupts, and its end before its time.
//!
//! Invariants:
//! - what an agent cannot hear is refused, with what works instead; nothing is kept for later;
//! - what was said stands in the run's history, shortened and without secrets, and so does the answer of every turn of a
//!   run to which something was said: `output.txt` has the last one;
//! - who ends a run is answered when its task is where it belongs, with what became of it.

use uuid::Uuid;

use super::super::command::cancelled;
use super::listen::{Live, flush};
use super::order::Answer;
use super::{Begin, Run};
use crate::agent::course::Order as Act;
use crate::agent::message;
use crate::agent::stream::{BRIEF, ResultLine};
use crate::agent::verdict::{EndedBy, Judgement, Verdict};
use crate::pipe::reply::Reply;
use crate::task::outcome::head;
use crate::task::text::shown;
use crate::task::{Held, TaskState};
use crate::telemetry::journal::Event as Noted;

/// How much may wait to be said to an agent that does not read, in bytes.
const OUTBOX_MAX: usize = 64 * 1024;

/// What somebody wants to become of a run.
#[derive(Debug)]
pub(super) enum Closing {
    /// It is to be held.
    Hold,
    /// It is to be cancelled, for this reason.
    Cancel(Option<String>),
}

impl Run {
    /// Says `text` to the agent.
    pub(super) fn tell(&mut self, text: &str, answer: Answer, live: &mut Live) {
        let reply = self.deaf(text, live).unwrap_or_else(|| {
            self.say(text, (Noted::Told, answer.by()), live);
            Reply::done("told: it is heard with the next answer of a tool, or as the next turn")
        });
        answer.with(reply);
    }

    /// Ends what the agent is doing; it goes on with `text`, or its task goes back and is held.
    pub(super) fn interrupt(&mut self, text: Option<&str>, answer: Answer, live: &mut Live) -> Vec<Act> {
        if let Some(refusal) = self.deaf(text.unwrap_or("-"), live) {
            answer.with(refusal);
            return Vec::new();
        }
        let Some(text) = text else {
            self.note_said((Noted::Interrupted, answer.by()), "");
            self.closing.push((Closing::Hold, answer));
            return live.course.end(EndedBy::Hold, self.ctx.clock.ticks());
        };
        live.outbox.extend(message::interrupt("steer").into_bytes());
        self.say(text, (Noted::Interrupted, answer.by()), live);
        answer.with(Reply::done("interrupted: it goes on with that"));
        Vec::new()
    }

    /// Ends the agent; its task is cancelled, unless it has answered already.
    pub(super) fn cancel(&mut self, reason: Option<String>, answer: Answer, live: &mut Live) -> Vec<Act> {
        if live.course.has_answered() {
            answer.with(answered());
            return Vec::new();
        }
        if live.process.is_none() {
            let why = "its agent lives where this watcher cannot end it, in another PID namespace";
            answer.with(Reply::refused(69, why).hinting("end it there, or wait for its end"));
            return Vec::new();
        }
        self.closing.push((Closing::Cancel(reason), answer));
        live.course.end(EndedBy::Cancel, self.ctx.clock.ticks())
    }

    /// Why the agent cannot hear this, if it cannot.
    fn deaf(&self, text: &str, live: &Live) -> Option<Reply> {
        if text.trim().is_empty() {
            return Some(Reply::refused(64, "there is nothing in the message"));
        }
        if self.begin == Begin::Adopt {
            let why = "its agent was adopted when its watcher had died: it works, and cannot hear";
            return Some(
                Reply::refused(69, why).hinting("wait for its end, or `cancel` it; `retry` begins again"),
            );
        }
        if live.course.has_answered() {
            return Some(answered());
        }
        if live.course.ended_by().is_some() {
            return Some(Reply::refused(69, "its agent is being ended"));
        }
        if live.stdin.is_none() {
            return Some(
                Reply::refused(69, "its agent listens no more").hinting("wait for its end, or `cancel` it"),
            );
        }
        (live.outbox.len() >= OUTBOX_MAX).then(|| {
            Reply::refused(75, "its agent has not read what it was told before").hinting("try again later")
        })
    }

    fn say(&mut self, text: &str, event: (Noted, Option<&str>), live: &mut Live) {
        let id = Uuid::new_v4();
        live.course.told(id, self.ctx.clock.ticks());
        live.outbox.extend(message::told(text, id).into_bytes());
        flush(live);
        self.said += 1;
        self.note_said(event, text);
    }

    fn note_said(&self, (event, by): (Noted, Option<&str>), text: &str) {
        let (said, by) = (self.brief(text), by.map(|by| self.brief(by)));
        let what = if event == Noted::Interrupted {
            "the agent is interrupted"
        } else {
            "the agent is told something"
        };
        tracing::info!(task = %self.lease.name, run_id = %self.lease.run, by, text = %said, "{what}");
        self.ctx.note(event, &self.lease, |line| {
            line.reason = Some(said).filter(|said| !said.is_empty());
            line.by = by;
        });
    }

    /// A turn ended: where something was said to the run there may be several.
    pub(super) fn note_turn(&self, result: &ResultLine) {
        if self.said > 0 {
            let said = result.answer.as_deref().or(result.terminal_reason.as_deref()).unwrap_or_default();
            let said = self.brief(said);
            self.ctx.note(Noted::Turn, &self.lease, |line| line.reason = Some(said));
        }
    }

    /// The beginning of a text, on one line and without secrets.
    pub(super) fn brief(&self, text: &str) -> String {
        shown(head(&self.ctx.redactor.redact(text), BRIEF), BRIEF)
    }

    /// Its task waits until it is released.
    pub(super) fn hold(&mut self) {
        let reason = "its agent was interrupted".to_owned();
        let since = Some(self.ctx.clock.wall());
        self.lease.task.hold(Held { since, by: self.ended_by(), reason: Some(reason) });
    }

    /// Who wanted the run to end, as they say.
    pub(super) fn ended_by(&self) -> Option<String> {
        self.closing.iter().find_map(|(_, answer)| answer.by()).map(|by| self.brief(by))
    }

    /// The verdict with the reason of whoever cancelled.
    pub(super) fn explain(&self, judgement: &mut Judgement) {
        let reason = self.closing.iter().find_map(|(closing, _)| match closing {
            Closing::Cancel(reason) => reason.as_deref().map(|it| self.brief(it)),
            Closing::Hold => None,
        });
        if let Verdict::Cancelled { reason: said } = &mut judgement.verdict
            && !self.closing.is_empty()
        {
            *said = cancelled(self.ended_by().as_deref(), reason.as_deref());
        }
    }

    /// Answers whoever wanted the run to end; where nothing was filed, the answers say that by themselves.
    pub(super) fn answer_closing(&mut self) {
        let Some(state) = self.lease.task.record.state else { return };
        for (closing, answer) in self.closing.drain(..) {
            let reply = match (closing, state) {
                (Closing::Cancel(_), TaskState::Cancelled) => Reply::done("cancelled; its agent is ended"),
                (Closing::Hold, TaskState::Pending) => {
                    Reply::done("interrupted; its task waits, and is held")
                        .hinting("`release` lets it go on in the same conversation")
                }
                (Closing::Cancel(_), TaskState::Pending) => {
                    Reply::refused(75, "its agent was ended for another reason, and its task waits again")
                        .hinting("`cancel` it there")
                }
                (_, TaskState::Completed) => answered(),
                (_, TaskState::Failed | TaskState::Timeout | TaskState::Cancelled) => {
                    Reply::refused(69, format!("it ended before: {state}"))
                }
                (_, TaskState::Initializing | TaskState::Running | TaskState::Completing) => continue,
            };
            answer.with(reply);
        }
    }
}

fn answered() -> Reply {
    Reply::refused(69, "it has answered already").hinting("its answer is filed: agentctl show TASK")
}
