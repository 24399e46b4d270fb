//! Starting a program in a process group of its own and, where it is given them, in a control group and confined.
//!
//! Invariants:
//! - it is in its control group and confined before it executes anything, and so is everything that it ever starts;
//! - nothing of ours runs between fork and exec, so that `posix_spawn(3)` serves: who enters a group is this program once
//!   more, as a small process that then becomes the other one, under the same number; who is only confined is started by a
//!   thread that is ([`super::starter`]);
//! - nothing but 0, 1 and 2 is handed on: what became of the entrance is told on 2, which the program gets anew;
//! - one that cannot be started is told as if there were no group; one that cannot enter its group is started outside; one
//!   that cannot be confined is not started.

#![expect(
    clippy::disallowed_methods,
    reason = "the door through which agents and what checks them are started"
)]

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::identity::signal;
use super::priority::goes_first;
use super::reaper::{Child, Reaper};
use super::starter::Apart;
use crate::os::cgroup::group::Group;
use crate::os::confine::Confinement;
use crate::os::durable::FILE_MODE;
use crate::os::knob;

/// The word by which this program is told to enter a group, to confine itself, and to become another program.
pub const ENTER: &str = "enter-group";
/// In place of a path: there is none.
const NONE: &str = "-";
/// This program, also when its file was replaced meanwhile.
const MYSELF: &str = "/proc/self/exe";
/// How long an entrance may take: a frozen group keeps whoever enters.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// What is told on the way: the group refused; it could not be confined; the program could not be executed.
const REFUSED: char = 'G';
const UNCONFINED: char = 'L';
const NOT_EXECUTED: char = 'X';

/// What is started, and how.
#[derive(Debug)]
pub struct Start<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it works.
    pub cwd: &'a Path,
    /// What it reads.
    pub stdin: Stdio,
    /// What it prints goes here.
    pub stdout: File,
    /// What it complains about goes to the end of this file.
    pub stderr: &'a Path,
    /// The group that it is to be in.
    pub group: Option<&'a Group>,
    /// What it may write to; everything that its user may, where nothing is said.
    pub confined: Option<&'a Confinement>,
}

/// A program that was started.
#[derive(Debug)]
pub struct Started {
    /// Its process.
    pub child: Child,
    /// Why it is not in its group.
    pub outside: Option<io::Error>,
}

/// Starts it, from a thread that does nothing else.
pub fn start(apart: Apart, reaper: &Reaper, start: Start<'_>) -> io::Result<Started> {
    if start.group.is_none() && start.confined.is_some() {
        // Whoever asked puts it first: this thread is confined then, and may not.
        return alone(apart, reaper, start);
    }
    let started = if start.group.is_some() { through(reaper, start)? } else { alone(apart, reaper, start)? };
    put_first(&started.child);
    Ok(started)
}

/// Has it go before us when memory runs out, with all that it starts from then on.
pub fn put_first(child: &Child) {
    let pid = child.id.pid;
    if let Err(error) = goes_first(pid) {
        tracing::debug!(pid, error = %error, "it is as likely as we are to go when memory runs out");
    }
}

/// A file that is written to at its end only.
pub fn append_to(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW;
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).custom_flags(flags).open(path)
}

fn command(program: &OsStr, environment: Vec<(OsString, OsString)>, cwd: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(environment).current_dir(cwd).process_group(0);
    command
}

/// Without a group nobody has to enter one: this thread confines itself, which holds for it alone and for what it starts
/// (`landlock(7)`: a thread hands its domain on to its children).
fn alone(apart: Apart, reaper: &Reaper, start: Start<'_>) -> io::Result<Started> {
    let stderr = append_to(start.stderr)?;
    if let Some(confined) = start.confined {
        confined.enter(start.cwd, apart.foreseen()).map_err(|error| unconfined(&error))?;
    }
    let mut command = command(start.program.as_os_str(), start.environment, start.cwd);
    command.args(start.arguments).stdin(start.stdin).stdout(start.stdout).stderr(stderr);
    Ok(Started { child: reaper.spawn(&mut command)?, outside: None })
}

/// Whose number it is would be taken for one of the program's.
fn unconfined(error: &io::Error) -> io::Error {
    io::Error::other(format!("it could not be confined: {error}"))
}

fn through(reaper: &Reaper, start: Start<'_>) -> io::Result<Started> {
    // It is there before anybody is told to open it.
    append_to(start.stderr)?;
    let (heard, told) = io::pipe()?;
    let mut command = command(OsStr::new(MYSELF), start.environment, start.cwd);
    let door = start.group.map_or_else(|| NONE.into(), Group::door);
    command.args(entrance(&door, start.stderr, start.confined)).arg(start.program).args(start.arguments);
    command.stdin(start.stdin).stdout(start.stdout).stderr(told);
    let child = reaper.spawn(&mut command)?;
    // Our copy of what it tells on: with the last one it has become the program, or is gone.
    drop(command);
    match hear(heard) {
        Ok(said) => {
            let Told { refused, stopped } = parse(&said);
            stopped.map_or(Ok(Started { child, outside: refused }), Err)
        }
        Err(error) => {
            signal(&child.id, Signal::KILL).ok();
            Err(error)
        }
    }
}

/// What it tells until it becomes the program.
fn hear(mut heard: PipeReader) -> io::Result<String> {
    let (mut said, mut chunk) = (Vec::new(), [0; 64]);
    loop {
        match poll(&mut [PollFd::new(&heard, PollFlags::IN)], Some(&PATIENCE)) {
            Ok(0) => return Err(io::Error::other("it does not get into its control group; is that frozen?")),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match heard.read(&mut chunk)? {
            0 => return Ok(String::from_utf8_lossy(&said).into_owned()),
            n => said.extend_from_slice(&chunk[..n]),
        }
    }
}

/// What was told on the way.
#[derive(Debug, Default)]
struct Told {
    /// Why the group refused it.
    refused: Option<io::Error>,
    /// Why it did not become the program.
    stopped: Option<io::Error>,
}

fn parse(said: &str) -> Told {
    let line = |what: char| said.lines().find_map(|line| line.strip_prefix(what));
    let error = |line: &str| {
        line.parse().map_or_else(|_| io::Error::other(line.to_owned()), io::Error::from_raw_os_error)
    };
    let unconfined = line(UNCONFINED).map(|why| unconfined(&error(why)));
    Told { refused: line(REFUSED).map(error), stopped: unconfined.or_else(|| line(NOT_EXECUTED).map(error)) }
}

/// The words before a program by which this one is told on which way to become it.
fn entrance(door: &Path, stderr: &Path, confined: Option<&Confinement>) -> Vec<OsString> {
    let confined = confined.map(Confinement::to_args).unwrap_or_default();
    let mut words = vec![ENTER.into(), door.into(), stderr.into(), confined.len().to_string().into()];
    words.extend(confined);
    words
}

/// A command that confines itself before it becomes `program`; to be started by a process that knows [`ENTER`].
pub fn confined(program: &Path, confined: &Confinement) -> Command {
    let mut command = Command::new(MYSELF);
    command.args(entrance(NONE.as_ref(), NONE.as_ref(), Some(confined))).arg(program);
    command
}

/// The other side: enters the group, confines itself and becomes the program; `args` are those after [`ENTER`]. It comes back
/// only if that is not possible.
pub fn enter(args: &[OsString]) {
    let [door, stderr, count, rest @ ..] = args else { return };
    let Some(count) = count.to_str().and_then(|it| it.parse().ok()).filter(|it| *it < rest.len()) else {
        return;
    };
    let (confined, program) = rest.split_at(count);
    let [program, arguments @ ..] = program else { return };
    let Ok(tell) = rustix::io::fcntl_dupfd_cloexec(io::stderr().as_fd(), 3) else {
        return;
    };
    let mut tell = File::from(tell);
    let mut say = |what: char, error: &io::Error| {
        let line = error.raw_os_error().map_or_else(|| error.to_string(), |code| code.to_string());
        // Who started us is gone, and with it whoever cared.
        writeln!(tell, "{what}{line}").ok();
    };
    if door != NONE
        && let Err(error) = knob::set(Path::new(door), "0")
    {
        say(REFUSED, &error);
    }
    let mut command = Command::new(program);
    if stderr != NONE {
        match append_to(Path::new(stderr)) {
            Ok(stderr) => drop(command.stderr(stderr)),
            Err(error) => return say(NOT_EXECUTED, &error),
        }
    }
    if !confined.is_empty()
        && let Err(error) = Confinement::from_args(confined).enter(Path::new("."), None)
    {
        return say(UNCONFINED, &error);
    }
    let error = command.args(arguments).exec();
    say(NOT_EXECUTED, &error);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_on_the_way_is_understood() {
        let codes = |said: &str| {
            let told = parse(said);
            (told.refused.and_then(|it| it.raw_os_error()), told.stopped.and_then(|it| it.raw_os_error()))
        };
        for (said, expected) in [
            ("", (None, None)),
            ("G13\n", (Some(13), None)),
            ("X2\n", (None, Some(2))),
            ("G16\nX8\n", (Some(16), Some(8))),
        ] {
            assert_eq!(codes(said), expected, "{said:?}");
        }
        assert!(parse("Gno errno\n").refused.is_some_and(|it| it.to_string() == "no errno"));
        let unconfined = parse("L1\n").stopped.unwrap();
        assert!(unconfined.raw_os_error().is_none() && unconfined.to_string().contains("confined"));
    }
}
