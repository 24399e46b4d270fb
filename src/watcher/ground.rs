//! What a worker stands on while it works: its lock, its folders, room on the disk.

use std::path::Path;

use super::ctx::Ctx;
use super::tenure::{Seen, Tenure, Verdict};
use crate::agent::disposition::Holding;
use crate::clock::Ticks;
use crate::layout::Layout;
use crate::os::folder::{self, Need, Standing};
use crate::os::lock;
use crate::spool::suitable::{self, Finding};
use crate::spool::{Step, Store};
use crate::task::{HoldCause, WorkerName};

/// What was found at one look.
#[derive(Debug)]
pub(super) struct Found {
    /// Whether the worker is still ours.
    pub(super) tenure: Verdict,
    /// What is wrong with its folders.
    pub(super) folders: Vec<Finding>,
}

/// Looks at it, once a second.
#[derive(Debug, Default)]
pub(super) struct Ground {
    tenure: Tenure,
}

impl Ground {
    /// Looks at the lock and the folders; a folder that is missing is made again.
    pub(super) fn look(&mut self, ctx: &Ctx, now: Ticks) -> Found {
        let folder = ctx.layout().worker(&ctx.config.worker);
        let tenure = self.tenure.judge(seen(ctx, &folder), now);
        if tenure != Verdict::Held {
            return Found { tenure, folders: Vec::new() };
        }
        make_again(ctx);
        Found { tenure, folders: suitable::standing(ctx.layout(), &ctx.config.worker) }
    }
}

fn seen(ctx: &Ctx, folder: &Path) -> Seen {
    if ctx.is_ours() {
        return Seen::Ours;
    }
    // Only a folder can be another watcher's: to ask a link would be to ask somebody else's.
    let taken = matches!(folder::standing(folder, Need::Pass), Standing::Folder { .. })
        && lock::is_held(folder).unwrap_or(false);
    if taken { Seen::Taken } else { Seen::Another }
}

/// Never without the lock: where the whole root is gone, for a disk that was unmounted, nothing is laid out in its
/// place.
fn make_again(ctx: &Ctx) {
    for path in dirs(ctx.layout(), &ctx.config.worker) {
        if folder::standing(&path, Need::Pass) != Standing::Missing {
            continue;
        }
        match ctx.spool.store().perform(&Step::MakeDir(path.clone())) {
            Ok(()) => tracing::warn!(path = %path.display(), "the folder was missing; made again"),
            Err(error) => tracing::debug!(path = %path.display(), error = %error, "a folder is missing"),
        }
    }
}

fn dirs(layout: &Layout, worker: &WorkerName) -> impl Iterator<Item = std::path::PathBuf> {
    layout.common_dirs().into_iter().chain(layout.worker_dirs(worker))
}

/// What makes starting anything impossible.
pub(super) fn fault(ctx: &Ctx, found: &Found) -> Option<Holding> {
    if found.tenure != Verdict::Held {
        let folder = ctx.layout().worker(&ctx.config.worker);
        let reason = format!("`{}` was moved or replaced: its lock is not ours any more", folder.display());
        return Some(disk(
            reason,
            "put the folder back at once, or start this worker again: it ends by itself",
        ));
    }
    let room = ctx.look_at_disks().fault;
    if let Some(first) = found.folders.iter().find(|it| it.forbids()) {
        let more = found.folders.len() - 1;
        let others = if more > 0 { format!(" (and {more} more like it)") } else { String::new() };
        let remedy = format!("{}; the worker goes on by itself", first.remedy);
        return Some(disk(format!("{}{others}", first.what), &remedy));
    }
    room
}

fn disk(reason: String, remedy: &str) -> Holding {
    Holding { cause: HoldCause::Disk, reason, remedy: remedy.to_owned(), until: None }
}
