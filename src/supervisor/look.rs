//! Looking at a worker: who holds its lock, and how it left its state file.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::layout::Layout;
use crate::os::holder::{Holder, Role};
use crate::os::lock;
use crate::os::trouble::{Trouble, is_no_answer};
use crate::task::{FileName, WorkerName};
use crate::telemetry::state_file::{State, WorkerStatus};

use super::core::Event;
use super::state::{Found, Left};

/// The pauses after which a state file that gave no answer is read again.
const AGAIN: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];

/// Who holds the worker's lock. The lock is the fact; the mirror only says who, and only if that one lives.
pub(super) fn found(layout: &Layout, worker: &WorkerName) -> io::Result<Found> {
    if !lock::is_held(&layout.worker(worker))? {
        return Ok(Found::Free(left(layout, worker)));
    }
    Ok(match holder(layout, worker) {
        Some(holder) => match holder.role {
            Role::Watcher => Found::Watcher(Some(holder.process)),
            Role::Recovery | Role::Supervisor | Role::Operator => Found::Other(holder.role),
        },
        None => Found::Watcher(None),
    })
}

/// What a refused look means: a machine in trouble says nothing of the worker.
pub(super) fn refused(folder: &Path, error: &io::Error) -> Event {
    let why = format!("its folder `{}` cannot be locked: {error}", folder.display());
    match Trouble::of(error) {
        Some(trouble) => Event::LookDelayed(format!("{why}; {}", trouble.remedy())),
        None if is_no_answer(error) => Event::LookDelayed(why),
        None => Event::Unstartable(why),
    }
}

/// Who the mirror names, if it is about this worker and not known to be dead.
pub(super) fn holder(layout: &Layout, worker: &WorkerName) -> Option<Holder> {
    let holder = Holder::read(&layout.watcher_lock(worker))?;
    let ours = holder.worker.as_ref().is_none_or(|name| name == worker);
    (ours && holder.process.is_alive() != Some(false)).then_some(holder)
}

/// How the worker left its state file.
pub(super) fn left(layout: &Layout, worker: &WorkerName) -> Left {
    // One that cannot be read hides no crash: a start too many finds nothing to do.
    match answered(|| State::read(&layout.state(worker))).ok().flatten().unwrap_or_default().status {
        WorkerStatus::Stopped => Left::Stopped,
        WorkerStatus::Starting
        | WorkerStatus::Running
        | WorkerStatus::Paused
        | WorkerStatus::Draining
        | WorkerStatus::Recovering
        | WorkerStatus::Degraded => Left::Otherwise,
    }
}

/// What was read, or what kept it from being read after a few tries.
fn answered<T>(read: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for pause in AGAIN {
        match read() {
            Err(error) if is_no_answer(&error) => lock::pause(pause),
            answer => return answer,
        }
    }
    read()
}

/// How many task files lie in `dir`.
pub(super) fn tasks_in(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let is_task = |name: &OsStr| name.to_str().is_some_and(|name| name.parse::<FileName>().is_ok());
    entries.flatten().filter(|entry| is_task(&entry.file_name())).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_machine_in_trouble_says_nothing_of_the_worker() {
        use nix::libc::{EACCES, EINTR, EIO, ELOOP, EMFILE, ENFILE, ENOMEM, ESTALE};
        let looked = |errno| refused(Path::new("marie"), &io::Error::from_raw_os_error(errno));
        for errno in [EMFILE, ENFILE, ENOMEM, EIO, ESTALE, EINTR] {
            assert!(matches!(looked(errno), Event::LookDelayed(_)), "{errno}");
        }
        for errno in [EACCES, ELOOP] {
            assert!(matches!(looked(errno), Event::Unstartable(_)), "{errno}");
        }
    }

    #[test]
    fn a_state_that_gave_no_answer_is_read_again_and_not_for_ever() {
        let reads = Cell::new(0);
        let read = |errno, refused| {
            reads.set(0);
            let reads = &reads;
            answered(move || {
                reads.set(reads.get() + 1);
                if reads.get() > refused { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
            })
        };
        for (errno, refused, is_read, asked) in [
            (nix::libc::EMFILE, 0, true, 1),
            (nix::libc::EMFILE, 2, true, 3),
            (nix::libc::EIO, 3, false, 3),
            (nix::libc::EACCES, 1, false, 1),
        ] {
            assert_eq!((read(errno, refused).is_ok(), reads.get()), (is_read, asked), "{errno} {refused}");
        }
    }
}
