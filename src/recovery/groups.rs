//! Which control group is a run's: by its name, and by what its attempt wrote down before it began.
//!
//! Invariants:
//! - what a record says is believed only where the group bears the run's own name, on the kernel's own file system: a forged
//!   path must not get a service killed;
//! - an attempt of another PID namespace, or of another boot, has none here.

use std::path::Path;

use crate::os::cgroup::group::Group;
use crate::os::process::identity::{boot_id, pid_ns};
use crate::task::{Attempt, RunId, WorkerName};

/// How the names begin.
const MARK: &str = "run-";

/// The name of the group of a run.
pub fn name(worker: &WorkerName, run: RunId) -> String {
    format!("{MARK}{worker}-{run}")
}

/// The run of `worker` whose group has this name.
pub fn run_of(name: &str, worker: &WorkerName) -> Option<RunId> {
    let run = name.strip_prefix(MARK)?.strip_prefix(worker.as_str())?.strip_prefix('-')?;
    run.parse().ok().map(RunId).filter(|it| it.to_string() == run)
}

/// The group of an attempt, if it wrote one down that is still there.
pub fn recorded(run: RunId, attempt: &Attempt) -> Option<Group> {
    let path = attempt.cgroup.as_deref().filter(|path| is_of(path, run))?;
    let is_here = attempt.pid_ns.is_none_or(|it| it == pid_ns())
        && attempt.boot_id.as_ref().is_none_or(|it| *it == boot_id());
    Group::at(Path::new(path)).filter(|_| is_here)
}

/// Whether a path names a group of this run, of whichever worker.
fn is_of(path: &str, run: RunId) -> bool {
    let name = Path::new(path).file_name().and_then(|it| it.to_str()).unwrap_or_default();
    name.starts_with(MARK) && name.ends_with(&format!("-{run}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_run_and_its_worker() {
        let (run, marie): (RunId, WorkerName) = (RunId::mint(), "marie".parse().unwrap());
        let twice: WorkerName = "marie-2".parse().unwrap();
        assert_eq!(run_of(&name(&marie, run), &marie), Some(run));
        assert_eq!(run_of(&name(&twice, run), &twice), Some(run));
        assert_eq!(run_of(&name(&twice, run), &marie), None, "another worker's");
        for other in ["run-marie-", "run-marie-x", "watcher", "marie", "init.scope"] {
            assert_eq!(run_of(other, &marie), None, "{other}");
        }
    }

    #[test]
    fn a_record_names_no_group_but_the_run_s_own() {
        let (run, other) = (RunId::mint(), RunId::mint());
        assert!(is_of(&format!("/sys/fs/cgroup/x/run-marie-{run}"), run));
        for forged in [
            "/sys/fs/cgroup/system.slice/ssh.service".to_owned(),
            format!("/sys/fs/cgroup/x/run-marie-{other}"),
            format!("/sys/fs/cgroup/x/run-marie-{run}/.."),
            format!("/sys/fs/cgroup/run-marie-{run}/sub"),
            format!("/sys/fs/cgroup/{run}"),
            String::new(),
        ] {
            assert!(!is_of(&forged, run), "{forged}");
        }
    }
}
