//! Asking a host: runs what [`restarter`](super::restarter) says, one command after the other, each until a deadline.
//!
//! Invariants:
//! - a command that fails is told with its exit status and what it printed;
//! - one that hangs is killed at the deadline and told; what it had asked of its daemon may still happen.

#![expect(clippy::disallowed_methods, reason = "the place that runs systemctl and docker")]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Signal;

use super::restarter::Ask;
use crate::os::process::{self, Exit, Reaper};

/// How much of what a command printed is looked at.
const PRINTED_BYTES: u64 = 4096;

/// Why a host did not do what it was asked.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Its program is not here: trying again would not help.
    NoProgram(String),
    /// It failed, or did not answer: trying again may help.
    Failed(String),
}

/// Asks a host everything in `asks`.
pub(super) async fn ask_all(reaper: Arc<Reaper>, asks: Vec<Ask>, deadline: Duration) -> Result<(), Refusal> {
    for ask in asks {
        one(&reaper, &ask, deadline).await?;
    }
    Ok(())
}

/// Asks a host one question; what it printed. No answer is none: the restart does not depend on it.
pub(super) async fn hear(reaper: &Reaper, question: &Ask, deadline: Duration) -> Option<String> {
    one(reaper, question, deadline).await.ok()
}

async fn one(reaper: &Reaper, ask: &Ask, deadline: Duration) -> Result<String, Refusal> {
    let line = ask.argv.join(" ");
    let failed = |why: String| Refusal::Failed(format!("`{line}`: {why}"));
    let Some((program, args)) = ask.argv.split_first() else { return Ok(String::new()) };
    let printed = [paper("out"), paper("err")].into_iter().collect::<io::Result<Vec<File>>>();
    let mut printed = printed.map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command.args(args).process_group(0).stdin(Stdio::null());
    let (Ok(out), Ok(err)) = (printed[0].try_clone(), printed[1].try_clone()) else {
        return Err(failed("no descriptor is left".to_owned()));
    };
    let spawned = reaper.spawn(command.stdout(out).stderr(err));
    drop(command);
    let child = spawned.map_err(|error| {
        let hopeless = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
        let why = format!("could not run `{program}`: {error}; is it installed, and in PATH?");
        if hopeless { Refusal::NoProgram(why) } else { Refusal::Failed(why) }
    })?;
    let Ok(exit) = tokio::time::timeout(deadline, child.exit).await else {
        process::signal(&child.id, Signal::KILL).ok();
        return Err(failed(format!("no answer within {} s; it was killed", deadline.as_secs())));
    };
    let exit = exit.map_err(|_| failed("it was not reaped".to_owned()))?;
    let [out, err] = [0, 1].map(|n| text(&mut printed[n]));
    if exit != Exit::Code(0) {
        return Err(failed(format!("{exit}: {}", said(&out, &err))));
    }
    match &ask.answer {
        Some(answer) if !answer.is(&out) => {
            Err(failed(format!("there is no container of exactly this name, but: {}", said(&out, &err))))
        }
        Some(_) | None => Ok(out),
    }
}

/// A file without a name, for what a command prints: a pipe would have to be read while it runs.
fn paper(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read was not said.
    file.seek(SeekFrom::Start(0)).and_then(|_| file.take(PRINTED_BYTES).read_to_end(&mut bytes)).ok();
    let text = String::from_utf8_lossy(&bytes);
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

fn said(out: &str, err: &str) -> String {
    let lines: Vec<&str> =
        err.lines().chain(out.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
}
