//! What is still to be done once an agent has come to its end and is gone. Changes nothing.
//!
//! Invariants:
//! - a run that owes something is not filed by who recovers: it stays in `active/` until a watcher takes it up, which
//!   reads the answer, does what is owed and files it; the agent is not run again;
//! - what is owed is told by what stands beside the stream, so that it outlasts everybody.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::agent::verdict::{Ending, Judgement, Verdict};
use crate::agent::{disposition, replay, worth};
use crate::layout::{Layout, RunPaths};
use crate::os::trouble::if_there;
use crate::pack::Stamp;
use crate::task::acceptance::Acceptance;
use crate::task::{TaskFile, Usage};

/// What is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// The acceptance command has not had its word.
    Verification,
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verification => "its answer is to be verified",
        })
    }
}

/// What attempt `number` of the run of `paths` owes, that was started with `stamp` and came to `judgement`, the first of it;
/// what was done already is put into the judgement. An error is a record that is there and cannot be read.
pub fn settle(
    paths: &RunPaths,
    number: u32,
    stamp: &Stamp,
    judgement: &mut Judgement,
) -> io::Result<Option<Owed>> {
    if stamp.pack.wants_json() && worth::shaped(judgement) {
        tracing::info!(stream = %paths.stream(number).display(), "took the fence off an answer that is JSON");
    }
    let is_answer = matches!(judgement.verdict, Verdict::Done { .. });
    if is_answer && stamp.pack.verify.is_some() {
        match acceptance(paths, number)? {
            Some(acceptance) => worth::accepted(judgement, &acceptance),
            None => return Ok(Some(Owed::Verification)),
        }
    }
    Ok(None)
}

/// What the open attempt of `task` has used, as its stream tells; nothing where none is open or nothing was said. For who ends
/// a task whose answer waits for the acceptance command: it was paid for. An error is a stream that cannot be read.
pub fn spent(layout: &Layout, task: &TaskFile) -> io::Result<Usage> {
    let Some((run, attempt)) = task.record.run_id.zip(task.record.open_attempt()) else {
        return Ok(Usage::default());
    };
    let paths = layout.run(&run);
    let Some(evidence) = if_there(replay::read(&paths.stream(attempt.number)))? else {
        return Ok(Usage::default());
    };
    let known = Ending { goes_on: attempt.goes_on(), ..Ending::default() };
    let judgement = replay::judge_stream(&evidence, &paths.stderr(attempt.number), known);
    Ok(disposition::usage(&judgement, task))
}

/// What the acceptance command came to, if it had its word.
pub fn acceptance(paths: &RunPaths, number: u32) -> io::Result<Option<Acceptance>> {
    let bytes = if_there(std::fs::read(paths.verify(number)))?;
    Ok(bytes.and_then(|bytes| Acceptance::parse(&bytes)))
}
