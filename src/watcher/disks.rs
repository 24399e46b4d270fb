//! The file systems that a run writes to: whether there is room, and whether they may be written.
//!
//! Agents and we write below the root, where `artifacts/` and `workspaces/` may be disks of their own, into the log, into
//! the scratch, and the CLI keeps its conversations in its own folder. With too little room on any of them nothing new is begun, while what runs can still end.

use std::path::{Path, PathBuf};

use crate::agent::disposition::Holding;
use crate::os::space::{self, Reserve, Space};
use crate::os::trouble::Trouble;
use crate::task::HoldCause;
use crate::telemetry::metrics::Metrics;

/// One of them.
#[derive(Debug)]
struct Written {
    /// What is written there, as a label and for people.
    what: &'static str,
    path: PathBuf,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Disks {
    root: Written,
    others: Vec<Written>,
    reserve: Reserve,
}

/// What a look at them found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why nothing may be claimed.
    pub(super) fault: Option<Holding>,
    /// Why what is written now is likely to fail.
    pub(super) out: Option<String>,
    room: Vec<(&'static str, Space)>,
}

impl Disks {
    pub(super) fn new(root: PathBuf, reserve: Reserve) -> Self {
        Self { root: Written { what: "root", path: root }, others: Vec::new(), reserve }
    }

    /// And this one.
    #[must_use]
    pub(super) fn and(mut self, what: &'static str, path: Option<PathBuf>) -> Self {
        self.others.extend(path.map(|path| Written { what, path }));
        self
    }

    /// Looks at all of them (`statvfs(3)`).
    pub(super) fn look(&self, metrics: &Metrics) -> Seen {
        let mut seen = Seen::default();
        match space::of(&self.root.path) {
            Ok(space) => self.take_in(&self.root, &space, &mut seen),
            Err(error) => {
                let what = format!("cannot ask for room at the root `{}`", self.root.path.display());
                seen.fault = Some(Holding::of_disk(what, &error));
            }
        }
        for written in &self.others {
            // One that is not there yet, or not ours to look at, is no reason to stop.
            if let Ok(space) = space::of(&written.path) {
                self.take_in(written, &space, &mut seen);
            }
        }
        for (what, space) in &seen.room {
            metrics.set_disk(what, space);
        }
        seen
    }

    fn take_in(&self, written: &Written, space: &Space, seen: &mut Seen) {
        let Written { what, path } = written;
        seen.room.push((*what, *space));
        if space.is_out() && seen.out.is_none() {
            seen.out = Some(format!("the disk of the {what} `{}` is full or read-only", path.display()));
        }
        if seen.fault.is_none() {
            seen.fault =
                space.scarce(&self.reserve).map(|(trouble, left)| scarce(trouble, &left, what, path));
        }
    }
}

fn scarce(trouble: Trouble, left: &str, what: &str, path: &Path) -> Holding {
    Holding {
        cause: HoldCause::Disk,
        reason: format!("{left} on the disk of the {what}, `{}`", path.display()),
        remedy: trouble.remedy().to_owned(),
        until: None,
    }
}
