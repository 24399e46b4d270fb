//! With what a program of ours ends: the numbers are a contract, the first ones those of `sysexits.h`.

use std::process::{ExitCode, Termination};

/// The end of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 0: done; for `wait`, the task completed.
    Done,
    /// 1: for `wait`, the task failed; for `resume`, too many did; for `fsck`, something was found.
    TaskFailed,
    /// 64: the command line is wrong.
    Usage,
    /// 65: what was handed in is wrong, or names a task that does not exist.
    Data,
    /// 69: something that is needed does not answer.
    Unavailable,
    /// 70: our own fault.
    Internal,
    /// 75: not now; the same command may work later. For `wait`, its own time limit.
    TryAgain,
    /// 77: not allowed to.
    Denied,
    /// 78: the configuration is wrong, or another watcher of this name is at work.
    Configuration,
    /// 124: `wait` only: the task ran into its time limit.
    TaskTimedOut,
    /// 130: `wait` only: the task was cancelled.
    TaskCancelled,
}

impl Exit {
    /// The number the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::TaskFailed => 1,
            Self::Usage => 64,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::TryAgain => 75,
            Self::Denied => 77,
            Self::Configuration => 78,
            Self::TaskTimedOut => 124,
            Self::TaskCancelled => 130,
        }
    }

    /// The code that fits an error of the kernel's.
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) {
            Self::Denied
        } else if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
            Self::TryAgain
        } else if matches!(error.kind(), ErrorKind::NotFound) {
            Self::Unavailable
        } else {
            Self::Internal
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
