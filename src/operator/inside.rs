//! `agentctl` inside of an agent: what it may say goes through the agent's own pipe, and everything else is refused.
//!
//! Invariants:
//! - nothing under the root is read or written, but the pipe that `AGENT_PIPE` names and one beside it for the answer;
//! - without an answer nobody claims that it was done.
//!
//! It deliberately does not know what the worker allows. It is no boundary either: an agent that runs as the user of its
//! worker can do without `agentctl`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::config::Exit;
use crate::pipe::client::{self, AskError};
use crate::pipe::reply::Reply;
use crate::pipe::words::{Op, Request};
use clap::Args;

use super::desk::Desk;
use super::error::OperatorError;
use super::status::StatusArgs;
use super::submit::{self, SubmitArgs};

/// How long a watcher that died may take to come back, and an answer to come.
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
        let reply = ask(desk, pipe, request)?;
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
pub fn status(desk: &Desk, pipe: &Path, args: &StatusArgs) -> Result<Exit, OperatorError> {
    let reply = ask(desk, pipe, Request::new(Op::Status))?;
    if let Some(result) = reply.result.as_ref().filter(|_| args.json) {
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
    Ok(told(desk, &ask(desk, &pipe, request)?))
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
fn ask(desk: &Desk, pipe: &Path, request: Request) -> Result<Reply, OperatorError> {
    let _reader = reader(pipe)?;
    let dir = pipe.parent().unwrap_or(pipe);
    Ok(client::ask_on(dir, pipe.to_owned(), request, (&*desk.clock, PATIENCE))?)
}

/// Waits until somebody reads the pipe: a watcher that died comes back, where somebody restarts it. On a thread of its own,
/// since to open a pipe is to wait for the other side (fifo(7)), and that may never come.
fn reader(pipe: &Path) -> Result<File, OperatorError> {
    let is_pipe = std::fs::symlink_metadata(pipe).map_err(OperatorError::io("look at", pipe))?;
    if !is_pipe.file_type().is_fifo() {
        return Err(OperatorError::Ask(AskError::NoPipe { pipe: pipe.to_owned() }));
    }
    let (tell, opened) = mpsc::channel();
    let path = pipe.to_owned();
    std::thread::spawn(move || {
        let flags = nix::libc::O_NOFOLLOW;
        drop(tell.send(OpenOptions::new().write(true).custom_flags(flags).open(path)));
    });
    match opened.recv_timeout(PATIENCE) {
        Ok(opened) => opened.map_err(OperatorError::io("open", pipe)),
        Err(_) => Err(OperatorError::Ask(AskError::Nobody { pipe: pipe.to_owned() })),
    }
}
