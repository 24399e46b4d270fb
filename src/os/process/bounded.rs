//! Running another program within bounds: of time, of what it prints, and until it is told to stop.
//!
//! Invariant: when the call returns, the program has ended; beyond its bounds it and its group are killed.
//! It is called off the loop: it waits.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::oneshot;

use super::reaper::{Exit, Reaper};
use crate::clock::Clock;
use crate::os::lock;

/// The first pause between two looks, and the longest.
const LOOK: Duration = Duration::from_micros(500);
const LOOK_MAX: Duration = Duration::from_millis(20);
/// How much of what it complains about is kept.
const STDERR_BYTES: u64 = 16 * 1024;

/// How far it may go.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// How long it may take.
    pub time: Duration,
    /// How much it may print, in bytes.
    pub bytes: u64,
    /// Becomes true when nobody wants to know any more.
    pub stop: &'a AtomicBool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status; `None` for a signal.
    Exited(Option<i32>),
    /// It took too long.
    TooLong,
    /// It printed too much; what fits is there.
    TooMuch,
    /// Nobody wanted to know any more.
    Stopped,
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How.
    pub end: End,
    /// What it said on its standard error, the beginning of it.
    pub said: String,
}

/// A file without a name, to be printed into.
pub fn unnamed() -> io::Result<File> {
    Ok(File::from(memfd_create("printed", MemfdFlags::CLOEXEC)?))
}

/// Everything in `file`, from its start, up to `limit` bytes.
pub fn contents(mut file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Runs `command`, which prints into `out`. Where this program has a reaper, its children are started and waited for there
/// only.
pub fn run(
    command: &mut Command,
    reaper: Option<&Reaper>,
    out: &File,
    bounds: Bounds<'_>,
    clock: &dyn Clock,
) -> io::Result<Ran> {
    let complaints = unnamed()?;
    command.process_group(0).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(complaints.try_clone()?);
    let mut child = match reaper {
        Some(reaper) => {
            let child = reaper.spawn(command)?;
            Child::Reaped { reaper, pid: child.id.pid, exit: child.exit }
        }
        None => Child::Own(command.spawn()?),
    };
    // What the command holds open is the child's alone from here on.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let end = watch(&mut child, out, bounds, clock)?;
    let said = String::from_utf8_lossy(&contents(&complaints, STDERR_BYTES)?).into_owned();
    Ok(Ran { end, said })
}

enum Child<'a> {
    Own(std::process::Child),
    Reaped { reaper: &'a Reaper, pid: i32, exit: oneshot::Receiver<Exit> },
}

impl Child<'_> {
    fn pid(&self) -> Pid {
        match self {
            Self::Own(child) => Pid::from_raw(child.id().cast_signed()),
            Self::Reaped { pid, .. } => Pid::from_raw(*pid),
        }
    }

    /// Its end, if it has ended.
    fn ended(&mut self) -> io::Result<Option<End>> {
        match self {
            Self::Own(child) => Ok(child.try_wait()?.map(|status| End::Exited(status.code()))),
            Self::Reaped { reaper, exit, .. } => {
                reaper.reap();
                match exit.try_recv() {
                    Ok(Exit::Code(code)) => Ok(Some(End::Exited(Some(code)))),
                    Ok(Exit::Signal(_)) | Err(oneshot::error::TryRecvError::Closed) => {
                        Ok(Some(End::Exited(None)))
                    }
                    Err(oneshot::error::TryRecvError::Empty) => Ok(None),
                }
            }
        }
    }
}

fn watch(child: &mut Child<'_>, out: &File, bounds: Bounds<'_>, clock: &dyn Clock) -> io::Result<End> {
    let began = clock.ticks();
    let mut pause = LOOK;
    let beyond = loop {
        if let Some(end) = child.ended()? {
            let printed = out.metadata().map_or(0, |it| it.len());
            return Ok(if printed > bounds.bytes { End::TooMuch } else { end });
        }
        if bounds.stop.load(Ordering::Relaxed) {
            break End::Stopped;
        }
        if out.metadata().is_ok_and(|it| it.len() > bounds.bytes) {
            break End::TooMuch;
        }
        if clock.ticks().since(began) > bounds.time {
            break End::TooLong;
        }
        lock::pause(pause);
        pause = (pause * 2).min(LOOK_MAX);
    };
    killpg(child.pid(), Signal::SIGKILL).ok();
    while child.ended()?.is_none() {
        lock::pause(LOOK_MAX);
    }
    Ok(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn sh(script: &str, bounds: Bounds<'_>, reaper: Option<&Reaper>) -> (Ran, String) {
        #[expect(clippy::disallowed_methods, reason = "a test runs a program of its own")]
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let out = unnamed().unwrap();
        let ran = run(&mut command, reaper, &out, bounds, &SystemClock).unwrap();
        (ran, String::from_utf8(contents(&out, 100).unwrap()).unwrap())
    }

    #[test]
    fn a_program_ends_by_itself_or_at_its_bounds() {
        let go_on = AtomicBool::new(false);
        let bounds = Bounds { time: Duration::from_mins(1), bytes: 1000, stop: &go_on };
        let (ran, printed) = sh("echo yes; echo no >&2; exit 3", bounds, None);
        assert_eq!((ran.end, ran.said.as_str(), printed.as_str()), (End::Exited(Some(3)), "no\n", "yes\n"));
        let short = Bounds { time: Duration::from_millis(50), ..bounds };
        assert_eq!(sh("sleep 300 & sleep 300", short, None).0.end, End::TooLong);
        assert_eq!(sh("while :; do echo more than enough; done", bounds, None).0.end, End::TooMuch);
        let stopped = AtomicBool::new(true);
        assert_eq!(sh("sleep 300", Bounds { stop: &stopped, ..bounds }, None).0.end, End::Stopped);
    }
}
