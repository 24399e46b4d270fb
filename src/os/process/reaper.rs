//! The one place that starts children and waits for them.
//!
//! As a subreaper, or as PID 1 of a container, this program also inherits orphans that it never started. They
//! are waited for here too, or they would stay as zombies. Since one `waitpid(-1)` collects everybody, nobody
//! else in the program may wait for a child.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use tokio::sync::oneshot;

use super::identity::ProcessId;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(name) => write!(f, "killed by {name}"),
                Err(_) => write!(f, "killed by signal {signal}"),
            },
        }
    }
}

/// A child that was started here.
#[derive(Debug)]
pub struct Child {
    /// Who it is.
    pub id: ProcessId,
    /// Answers once, when it has been reaped.
    pub exit: oneshot::Receiver<Exit>,
}

/// Starts and reaps. One per program.
#[derive(Debug, Default)]
pub struct Reaper {
    children: Mutex<Children>,
    started: Condvar,
}

#[derive(Debug, Default)]
struct Children {
    waiting: HashMap<i32, oneshot::Sender<Exit>>,
    /// Those that are being started, by number: whoever of them has ended already is nobody's yet, and not a stranger.
    starting: BTreeSet<u64>,
    /// The number of the last that was begun.
    last: u64,
    /// Somebody ended while one was being started.
    is_owed: bool,
}

impl Reaper {
    /// Starts `command`, which may take as long as the disk does that it lies on.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let number = self.lock().begin();
        let started = start(command);
        let mut children = self.lock();
        children.starting.remove(&number);
        let child = started.map(|id| {
            let (tell, exit) = oneshot::channel();
            children.waiting.insert(id.pid, tell);
            Child { id, exit }
        });
        if std::mem::take(&mut children.is_owed) {
            children.reap();
        }
        drop(children);
        self.started.notify_all();
        child
    }

    /// Collects everybody who has ended. To be called on every `SIGCHLD`; signals merge, so it takes all.
    pub fn reap(&self) {
        self.lock().reap();
    }

    /// The pids of the children that have not been reaped, and whether these are all: those that are being started now are
    /// waited for as long as `patience` lasts, and no longer, since a disk may hang on which such a program lies.
    pub fn children(&self, patience: Duration) -> (Vec<i32>, bool) {
        let children = self.lock();
        let now = children.last;
        let waited = self.started.wait_timeout_while(children, patience, |it| it.is_starting_up_to(now));
        let (children, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (children.waiting.keys().copied().collect(), !children.is_starting_up_to(now))
    }

    /// For an instant.
    fn lock(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(command: &mut Command) -> io::Result<ProcessId> {
    let mut started = command.spawn()?;
    // Not reaped yet, so the number cannot mean anybody else.
    let known = ProcessId::ask(started.id().cast_signed()).and_then(|it| {
        it.ok_or_else(|| io::Error::other("the child has no entry in /proc that can be read; is it mounted?"))
    });
    if known.is_err() {
        // Whoever asked hears that nothing was started, so nothing may go on.
        started.kill().ok();
    }
    known
}

impl Children {
    fn begin(&mut self) -> u64 {
        self.last += 1;
        self.starting.insert(self.last);
        self.last
    }

    /// Whether one is still being started that has this number or a lower one.
    fn is_starting_up_to(&self, number: u64) -> bool {
        self.starting.first().is_some_and(|first| *first <= number)
    }

    fn reap(&mut self) {
        if self.starting.is_empty() {
            while self.collect(None).is_some() {}
            return;
        }
        // The others are left to whoever is starting one.
        self.is_owed = true;
        for pid in self.waiting.keys().copied().collect::<Vec<_>>() {
            self.collect(Some(pid));
        }
    }

    /// Collects one who has ended, of all or of one; who it was.
    fn collect(&mut self, of: Option<i32>) -> Option<i32> {
        let (pid, exit) = ended(of)?;
        if let Some(tell) = self.waiting.remove(&pid) {
            // Whoever asked may have gone; the child is reaped all the same.
            tell.send(exit).ok();
        }
        Some(pid)
    }
}

/// Who has ended, of all or of one, and how. A signal is any number: those of real time have no name.
fn ended(of: Option<i32>) -> Option<(i32, Exit)> {
    loop {
        let waited = match of {
            Some(pid) => rustix::process::waitpid(Some(Pid::from_raw(pid)?), WaitOptions::NOHANG),
            None => rustix::process::wait(WaitOptions::NOHANG),
        };
        match waited {
            Ok(Some((pid, status))) => return Some((pid.as_raw_pid(), exit(status)?)),
            Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// `None` for one who only stopped or went on, which is not asked for.
fn exit(status: WaitStatus) -> Option<Exit> {
    status.exit_status().map(Exit::Code).or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// Makes this process the parent of its orphaned descendants (`PR_SET_CHILD_SUBREAPER`, `prctl(2)`).
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_died_of_a_signal_of_real_time_is_told_like_everybody() {
        let reaper = Reaper::default();
        for (signal, expected) in [(9, Exit::Signal(9)), (34, Exit::Signal(34)), (64, Exit::Signal(64))] {
            #[expect(clippy::disallowed_methods, reason = "a test runs a program of its own")]
            let mut command = Command::new("/bin/sh");
            let mut child = reaper.spawn(command.args(["-c", &format!("kill -{signal} $$")])).unwrap();
            while reaper.lock().collect(Some(child.id.pid)).is_none() {
                assert_eq!(
                    ProcessId::of(child.id.pid).as_ref(),
                    Some(&child.id),
                    "reaped, and told to nobody"
                );
                std::thread::yield_now();
            }
            assert_eq!(child.exit.try_recv(), Ok(expected));
            assert!(reaper.children(Duration::ZERO).0.is_empty());
        }
    }
}
