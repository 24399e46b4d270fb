//! Asking another program a question: it is run until a deadline, and what it printed is its answer.
//!
//! Invariant: whatever it does, the asker goes on after the deadline; it and what it started in its group are killed then.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::clock::Clock;
use crate::os::lock;

/// How much of an answer is looked at.
const ANSWER_BYTES: u64 = 64 * 1024;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

/// What a program answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status; `None` for a signal.
    pub code: Option<i32>,
    /// What it printed on its standard output.
    pub text: String,
}

/// Runs `command` until `deadline`. An error is a program that could not be run, or gave no answer in time.
pub fn ask(command: &mut Command, deadline: Duration, clock: &dyn Clock) -> io::Result<Answer> {
    // A file without a name: a pipe would have to be read while it runs.
    let mut printed = File::from(memfd_create("answer", MemfdFlags::CLOEXEC)?);
    command.process_group(0).stdin(Stdio::null()).stdout(printed.try_clone()?).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let began = clock.ticks();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if clock.ticks().since(began) > deadline {
            killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).ok();
            child.wait()?;
            let why = format!("no answer within {} s; it was killed", deadline.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        lock::pause(LOOK);
    };
    let mut bytes = Vec::new();
    printed.seek(SeekFrom::Start(0))?;
    printed.take(ANSWER_BYTES).read_to_end(&mut bytes)?;
    Ok(Answer { code: status.code(), text: String::from_utf8_lossy(&bytes).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn sh(script: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "a test asks a program of its own")]
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_answer_is_what_was_printed_and_silence_has_an_end() {
        let patient = Duration::from_mins(1);
        let answer = ask(&mut sh("echo yes; exit 3"), patient, &SystemClock).unwrap();
        assert_eq!(answer, Answer { code: Some(3), text: "yes\n".to_owned() });
        let silent = ask(&mut sh("sleep 300 & sleep 300"), Duration::from_millis(50), &SystemClock);
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
