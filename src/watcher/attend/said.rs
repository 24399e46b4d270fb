//! What a line on a pipe of a run does.
//!
//! People say something to the agent; the agent hands tasks on, asks how the worker is, and reports. Nobody else's word is
//! on these pipes, and no other command.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Run;
use super::ears::Speaker;
use super::listen::Live;
use super::order::Answer;
use crate::pipe::event::Kind;
use crate::pipe::reply::Reply;
use crate::pipe::words::{self, Op, Refusal, Request};

impl Run {
    /// Takes in what was said on the run's pipes.
    pub(super) async fn heed(&mut self, live: &mut Live) {
        let heard = live.ears.hear(self.ctx.clock.ticks());
        for notice in heard.notices {
            tracing::warn!(task = %self.lease.name, remedy = notice.remedy, "{}", notice.message);
            self.ctx.herald.warn(&notice.message, Some(notice.remedy));
        }
        for (speaker, unfit) in heard.unfit {
            let by = if speaker == Speaker::Agent { "its agent" } else { "somebody" };
            tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, "passed over what {by} wrote: {unfit}");
            self.ctx.herald.pass_over(unfit);
        }
        for (speaker, line) in heard.lines {
            match speaker {
                Speaker::People => self.said_by_people(&line, live),
                Speaker::Agent => self.said_by_agent(&line).await,
            }
        }
        if live.stdin.is_none() || !live.course.hears() {
            live.ears.close_to_people();
        }
    }

    fn said_by_people(&mut self, words: &str, live: &mut Live) {
        let dir = self.ctx.layout().pipes();
        let request = match meant(words, self.lease.name.as_str()) {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(refusal) => return self.not_understood(&refusal, dir),
        };
        let caller = self.ctx.herald.asker_in(&request, dir);
        let task = request.task.as_deref().unwrap_or(self.lease.name.as_str());
        let full = format!("{}/{}", self.lease.worker, self.lease.name);
        if ![self.lease.name.as_str(), self.lease.file.as_str(), &full].contains(&task) {
            return caller.answer(Reply::refused(65, format!("this is the pipe of `{full}`")));
        }
        let answer = Answer::to(request.by.clone(), move |reply| caller.answer(reply));
        if request.op == Op::Tell {
            self.tell(request.text.as_deref().unwrap_or_default(), answer, live);
        } else if request.op == Op::Interrupt {
            let acts = self.interrupt(request.text.as_deref(), answer, live);
            self.act(acts, live);
        } else {
            let (op, worker) = (request.op, &self.lease.worker);
            let why =
                format!("`{op}` is no word to an agent: its pipe takes a message, `tell` and `interrupt`");
            answer.with(Reply::refused(69, why).hinting(format!("write it into pipes/{worker}.in")));
        }
    }

    async fn said_by_agent(&mut self, line: &str) {
        let dir = self.lease.paths(self.ctx.layout()).pipes();
        let request = match words::parse(line) {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(refusal) => return self.not_understood(&refusal, dir),
        };
        let caller = self.ctx.herald.asker_in(&request, dir);
        let op = request.op;
        let reply = if op == Op::Submit {
            self.hand_on(&request.spec.unwrap_or_default()).await
        } else if op == Op::Status {
            self.status()
        } else if op == Op::Progress {
            self.progress(&request.text.unwrap_or_default())
        } else {
            Reply::refused(77, format!("an agent may not `{op}`"))
                .hinting("it may `submit`, ask for the `status`, and report `progress`")
        };
        if !reply.ok {
            tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, op = %op, "refused to the agent: {}", reply.message);
        }
        caller.answer(reply);
    }

    fn status(&self) -> Reply {
        let shown = self.ctx.board.show();
        let (status, active, pending) = (shown.status, shown.running.len(), shown.queues.pending);
        let hold = shown.hold.as_ref().map(|hold| hold.reason.clone());
        let worker = &self.lease.worker;
        Reply::done(format!("{worker} is {status}: {active} at work, {pending} waiting")).with(
            json!({"worker": worker, "status": status, "active": active, "pending": pending, "hold": hold}),
        )
    }

    fn progress(&self, text: &str) -> Reply {
        if text.trim().is_empty() {
            return Reply::refused(64, "there is nothing in the report");
        }
        let said = self.brief(text);
        if let Some(running) = self.ctx.board.show().running.get_mut(&self.lease.file) {
            running.progress = Some(said.clone());
        }
        tracing::info!(task = %self.lease.name, run_id = %self.lease.run, text = %said, "the agent reports");
        self.ctx.herald.tell_of(Kind::Progress, &self.lease, || json!({"text": said}));
        Reply::done("noted")
    }

    fn not_understood(&self, refusal: &Refusal, dir: PathBuf) {
        tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, "not understood on a pipe of the run: {refusal}");
        self.ctx.herald.refuse_in(refusal, dir);
    }
}

/// What a line on the pipe of the agent that works on `task` means: a command is an object with an `op`, and everything
/// else is a message.
fn meant(line: &str, task: &str) -> Result<Option<Request>, Box<Refusal>> {
    let line = line.trim();
    let object: Option<Value> = serde_json::from_str(line).ok();
    let Some(mut object) = object.filter(|it| it.get("op").is_some()) else {
        let told = Request { text: Some(line.to_owned()), ..Request::new(Op::Tell).about(task) };
        return Ok(Some(told).filter(|_| !line.is_empty()));
    };
    // An op that is about no task is no word to an agent, and refused as what it is.
    let op = object["op"].as_str().unwrap_or_default();
    if object.get("task").is_none()
        && ["tell", "interrupt", "cancel", "retry", "hold", "release"].contains(&op)
    {
        object["task"] = task.into();
    }
    words::parse(&object.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_an_op_is_a_command_and_everything_else_is_a_message() {
        for (line, op, text) in [
            ("use French", Op::Tell, Some("use French")),
            (" stop ", Op::Tell, Some("stop")),
            (r#"{"rows":[1]}"#, Op::Tell, Some(r#"{"rows":[1]}"#)),
            (r#"{"op":"tell""#, Op::Tell, Some(r#"{"op":"tell""#)),
            (r#"{"op":"tell","text":"x"}"#, Op::Tell, Some("x")),
            (r#"{"op":"interrupt"}"#, Op::Interrupt, None),
            (r#"{"op":"interrupt","text":"x"}"#, Op::Interrupt, Some("x")),
            (r#"{"op":"cancel"}"#, Op::Cancel, None),
        ] {
            let request = meant(line, "t").unwrap().unwrap();
            assert_eq!((request.op, request.text.as_deref()), (op, text), "{line}");
            assert_eq!(request.task.as_deref(), Some("t"), "{line}");
        }
        assert_eq!(meant("  ", "t"), Ok(None));
        assert!(meant(r#"{"op":"tell"}"#, "t").is_err());
        assert!(meant(r#"{"op":7}"#, "t").is_err());
    }
}
