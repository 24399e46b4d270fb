//! The one place that starts children and waits for them.
//!
//! As a subreaper, or as PID 1 of a container, this program also inherits orphans that it never started. They
//! are waited for here too, or they would stay as zombies. Since one `waitpid(-1)` collects everybody, nobody
//! else in the program may wait for a child.

use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
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
    waiting: Mutex<HashMap<i32, oneshot::Sender<Exit>>>,
    /// Somebody has ended since all were collected.
    is_due: AtomicBool,
}

impl Reaper {
    /// Starts `command`.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let child = self.start(command);
        // Whoever ended meanwhile was left to us.
        self.catch_up();
        child
    }

    /// The lock is held over the spawn, so that a child that ends at once is not reaped as a stranger.
    fn start(&self, command: &mut Command) -> io::Result<Child> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut started = command.spawn()?;
        let pid = started.id().cast_signed();
        let (tell, exit) = oneshot::channel();
        waiting.insert(pid, tell);
        // Not reaped yet, so the number cannot mean anybody else.
        let Some(id) = ProcessId::of(pid) else {
            // Whoever asked hears that nothing was started, so nothing may go on.
            started.kill().ok();
            return Err(io::Error::other("the child has no entry in /proc that can be read; is it mounted?"));
        };
        Ok(Child { id, exit })
    }

    /// Collects everybody who has ended. To be called on every `SIGCHLD`; signals merge, so it takes all. It waits for
    /// nobody: where a child is being started, whoever starts it does it right after that.
    pub fn reap(&self) {
        self.is_due.store(true, Ordering::SeqCst);
        self.catch_up();
    }

    fn catch_up(&self) {
        while self.is_due.load(Ordering::SeqCst) {
            let mut waiting = match self.waiting.try_lock() {
                Ok(waiting) => waiting,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                // Who holds it looks again when he has let go.
                Err(TryLockError::WouldBlock) => return,
            };
            self.is_due.store(false, Ordering::SeqCst);
            collect(&mut waiting);
        }
    }

    /// The pids of the children that have not been reaped.
    pub fn children(&self) -> Vec<i32> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

fn collect(waiting: &mut HashMap<i32, oneshot::Sender<Exit>>) {
    loop {
        let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
            Err(nix::errno::Errno::EINTR) => continue,
            Ok(_) | Err(_) => return,
        };
        if let Some(tell) = waiting.remove(&pid.as_raw()) {
            // Whoever asked may have gone; the child is reaped all the same.
            tell.send(exit).ok();
        }
    }
}

/// Makes this process the parent of its orphaned descendants (`PR_SET_CHILD_SUBREAPER`, `prctl(2)`).
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}
