//! `agentctl` inside of an agent: what it may say goes through the agent's own pipe, and everything else is refused.
//!
//! Invariants:
//! - nothing under the root is read or written, but the pipe that `AGENT_PIPE` names and one beside it for the answer;
//! - a request is one line, written at once; without an answer nobody claims that it was done.
//!
//! It deliberately does not know what the worker allows. It is no boundary either: an agent that runs as the user of its
//! worker can do without `agentctl`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::config::Exit;
use crate::os::fifo;
use crate::pipe::LINE_MAX;
use crate::pipe::reply::Reply;
use crate::pipe::words::{Op, Request};

use super::desk::Desk;
use super::error::OperatorError;
use super::submit::{self, SubmitArgs};

/// How long an answer may take: a watcher that died is back by then, where somebody restarts it.
const PATIENCE: Duration = Duration::from_secs(90);

/// What to report.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
For agents: what is reported is shown in `agentctl status` and in the events of the worker.

Example:
  agentctl progress 'three of seven files are done'")]
pub struct ProgressArgs {
    /// How far it is
    #[arg(value_name = "TEXT")]
    pub text: String,
}

/// The pipe of the agent that this runs in; `None`: in none.
pub fn pipe(desk: &Desk) -> Option<PathBuf> {
    desk.env.get("AGENT_PIPE").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Hands tasks on.
pub fn submit(desk: &Desk, pipe: &Path, args: &SubmitArgs) -> Result<Exit, OperatorError> {
    if args.wait || args.dry_run {
        let why = "an agent hands a task on and does not wait for it: leave out --wait and --dry-run";
        return Err(OperatorError::Wish { why });
    }
    for spec in submit::specs(desk, args)? {
        let request = Request { spec: Some(spec), ..Request::new(Op::Submit) };
        let reply = ask(pipe, request)?;
        if let Some(task) = field(&reply, "task") {
            desk.report.data(&super::report::printable(&task));
        }
        let exit = told(desk, &reply);
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    Ok(Exit::Done)
}

/// Shows how the worker is.
pub fn status(desk: &Desk, pipe: &Path, as_json: bool) -> Result<Exit, OperatorError> {
    let reply = ask(pipe, Request::new(Op::Status))?;
    if let Some(result) = reply.result.as_ref().filter(|_| as_json) {
        desk.report.json(result);
        return Ok(exit_of(reply.code));
    }
    Ok(told(desk, &reply))
}

/// Reports.
pub fn progress(desk: &Desk, args: &ProgressArgs) -> Result<Exit, OperatorError> {
    let Some(pipe) = pipe(desk) else {
        let why = "`progress` is what an agent reports: there is no AGENT_PIPE here";
        return Err(OperatorError::Wish { why });
    };
    let request = Request { text: Some(args.text.clone()), ..Request::new(Op::Progress) };
    Ok(told(desk, &ask(&pipe, request)?))
}

fn field(reply: &Reply, name: &str) -> Option<String> {
    reply.result.as_ref()?.get(name)?.as_str().map(str::to_owned)
}

fn told(desk: &Desk, reply: &Reply) -> Exit {
    let message = super::report::printable(&reply.message);
    if reply.ok {
        desk.report.talk(&message);
    } else {
        desk.report.warn(&message);
        if let Some(hint) = &reply.hint {
            desk.report.talk(&format!("hint: {}", super::report::printable(hint)));
        }
    }
    exit_of(reply.code)
}

fn exit_of(code: u8) -> Exit {
    const CODES: [Exit; 7] = [
        Exit::Done,
        Exit::Usage,
        Exit::Data,
        Exit::Unavailable,
        Exit::TryAgain,
        Exit::Denied,
        Exit::Configuration,
    ];
    CODES.into_iter().find(|exit| exit.code() == code).unwrap_or(Exit::Internal)
}

/// Asks, and waits for the answer.
fn ask(pipe: &Path, request: Request) -> Result<Reply, OperatorError> {
    let is_pipe = std::fs::symlink_metadata(pipe).map_err(OperatorError::io("look at", pipe))?;
    if !is_pipe.file_type().is_fifo() {
        return Err(OperatorError::io("use", pipe)(io::Error::other("it is no named pipe")));
    }
    let name = format!("answer-{}", Uuid::new_v4().simple());
    let line = Request { reply_to: Some(name.clone()), ..request }.to_line();
    if line.len() > LINE_MAX {
        let why = "too long for a pipe (4096 bytes with its fields): write the rest into a file, and name that in the prompt";
        return Err(OperatorError::Wish { why });
    }
    let answers = pipe.with_file_name(name);
    let answered = fifo::make(&answers, 0o600)
        .map_err(OperatorError::io("make", &answers))
        .and_then(|()| exchange(pipe, &answers, line));
    std::fs::remove_file(&answers).ok();
    let answered = answered?.ok_or_else(|| OperatorError::Unanswered { pipe: pipe.to_owned() })?;
    understood(&answered).ok_or_else(|| OperatorError::Unanswered { pipe: pipe.to_owned() })
}

/// On a thread of its own: to open a pipe is to wait for the other side (fifo(7)), and that may never come.
fn exchange(pipe: &Path, answers: &Path, line: String) -> Result<Option<String>, OperatorError> {
    let ends = fifo::open_ends(answers).map_err(OperatorError::io("open", answers))?;
    let (tell, answer) = mpsc::channel();
    let to = pipe.to_owned();
    std::thread::spawn(move || drop(tell.send(say_and_hear(&to, &ends.read, &line))));
    // The other end of the answers stays open in here, so that reading waits for an answer and never sees an end.
    let heard = answer.recv_timeout(PATIENCE);
    drop(ends.write);
    match heard {
        Ok(heard) => heard.map(Some).map_err(OperatorError::io("write into", pipe)),
        Err(_) => Ok(None),
    }
}

fn say_and_hear(pipe: &Path, answers: &File, line: &str) -> io::Result<String> {
    let mut pipe = OpenOptions::new().write(true).custom_flags(nix::libc::O_NOFOLLOW).open(pipe)?;
    pipe.write_all(line.as_bytes())?;
    drop(pipe);
    let mut heard = String::new();
    BufReader::new(answers.take(LINE_MAX as u64)).read_line(&mut heard)?;
    Ok(heard)
}

/// The answer, alone or as the `data` of an event.
fn understood(line: &str) -> Option<Reply> {
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let data = fields.remove("data").unwrap_or(Value::Object(fields));
    serde_json::from_value(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_understood_alone_and_in_an_event() {
        for line in [
            r#"{"ok":false,"code":77,"message":"no"}"#,
            r#"{"specversion":"1.0","type":"agent-worker.reply","data":{"ok":false,"code":77,"message":"no"}}"#,
        ] {
            let reply = understood(line).unwrap();
            assert_eq!((reply.ok, exit_of(reply.code)), (false, Exit::Denied), "{line}");
        }
        assert!(understood("").is_none() && understood("[1]").is_none());
    }
}
