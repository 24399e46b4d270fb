//! Where the agent works, and what it changed there. Git is asked off the loop; whoever stops the worker does not wait for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::prepare::{Refused, deferred, no_room, put_back, refuse};
use super::workdir::Workdir;
use super::{Order, Run};
use crate::agent::disposition::{Disposition, Holding};
use crate::agent::evidence::Evidence;
use crate::agent::verdict::{Ending as EndingOf, Judgement, Verdict, judge};
use crate::checkout::collect::Ending;
use crate::checkout::{self, BeginError, Begun, Checkout, Git, GitError, Wish};
use crate::os::durable::{DIR_MODE, make_dir};
use crate::pack::Dirty;
use crate::task::{AttemptOutcome, ErrorCode, HoldCause, Requeue, RunId, TaskState, Usage, WorkdirMode};
use crate::watcher::core::Wanted;
use crate::watcher::seats::sitter;

/// Between a claim that met a directory which another run just took and the next one.
const AGAIN: Duration = Duration::from_secs(2);

/// What ends a piece of work of git's before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The worker stops.
    Stop,
    /// The worker leaves at once.
    Kill,
}

/// How a piece of work of git's ended.
enum Worked<T> {
    Done(T),
    /// The worker leaves at once.
    Left,
}

impl Run {
    /// The directory that was wanted, made ready; else the workspace of `origin`, the run that it goes on with.
    pub(super) async fn working_directory(
        &mut self,
        wanted: Option<(WorkdirMode, Workdir)>,
        origin: &RunId,
    ) -> Result<Workdir, Refused> {
        let workspace = self.ctx.layout().workspace(origin);
        let Some((mode, wanted)) = wanted else {
            make_dir(&workspace, DIR_MODE).map_err(|error| no_room(&workspace, &error))?;
            return Ok(Workdir::own(workspace));
        };
        if mode == WorkdirMode::Dir {
            self.take_seat(&wanted)?;
        }
        let wish = self.wish(mode, &wanted, (origin, &workspace))?;
        let begun = match self.with_git(Until::Stop, move |git| checkout::begin(git, &wish)).await {
            Worked::Done(begun) => begun.map_err(|error| self.not_begun(&error))?,
            Worked::Left => return Err(Box::new(put_back())),
        };
        let (told, workdir) = match begun {
            Begun::Untracked(why) => (why.into_iter().collect(), wanted),
            Begun::Tracked(_, told) if mode == WorkdirMode::Dir => (told, wanted),
            Begun::Tracked(checkout, told) => (told, Workdir::own(checkout.path)),
        };
        for what in told {
            self.ctx.herald.caution(Some(self.lease.file.as_str()), &what, None);
        }
        Ok(workdir)
    }

    /// Where the run works, as it was made ready before its agent was started.
    pub(super) fn place_of_work(&self) -> Result<Workdir, Refused> {
        let (paths, number) = (self.lease.paths(self.ctx.layout()), self.lease.number());
        let checkout =
            Checkout::read(&paths, number).map_err(|error| no_room(&paths.checkout(number), &error))?;
        if let Some(checkout) = checkout.filter(|it| it.mode == WorkdirMode::Worktree) {
            return Ok(Workdir::own(checkout.path));
        }
        if let Some((_, wanted)) = self.wanted_directory()? {
            return Ok(wanted);
        }
        let cwd = self.lease.attempt().and_then(|it| it.cwd.as_ref()).map(PathBuf::from);
        let cwd = cwd.unwrap_or_else(|| self.ctx.layout().workspace(&self.lease.run));
        make_dir(&cwd, DIR_MODE).map_err(|error| no_room(&cwd, &error))?;
        Ok(Workdir::own(cwd))
    }

    fn wish(
        &self,
        mode: WorkdirMode,
        wanted: &Workdir,
        (origin, workspace): (&RunId, &Path),
    ) -> Result<Wish, Refused> {
        let refused = |error: &std::io::Error| no_room(workspace, error);
        let tree = if mode == WorkdirMode::Worktree {
            make_dir(workspace, DIR_MODE).map_err(|error| refused(&error))?;
            // As git will call it, whatever leads to the root.
            crate::layout::tree_in(&workspace.canonicalize().map_err(|error| refused(&error))?)
        } else {
            crate::layout::tree_in(workspace)
        };
        Ok(Wish {
            mode,
            directory: wanted.path.clone(),
            refuses_dirty: self.pack.pack.dirty == Dirty::Refuse,
            task: self.lease.name.clone(),
            paths: self.lease.paths(self.ctx.layout()),
            number: self.lease.number(),
            origin: self.ctx.layout().run(origin),
            tree,
            durability: self.ctx.config.durability,
        })
    }

    fn take_seat(&self, wanted: &Workdir) -> Result<(), Refused> {
        let sitter = sitter(&self.lease, self.ctx.clock.wall());
        match self.ctx.seats.sit(&wanted.path, &sitter) {
            Ok(None) => Ok(()),
            // Another worker was faster between the claim and now.
            Ok(Some(who)) => Err(self.later(format!("{who}; one run at a time does"))),
            Err(error) => Err(no_room(&self.ctx.layout().directories(), &error)),
        }
    }

    /// Who has the directory of a run that works in place, if it is not this run's again.
    pub(super) fn lacks_seat(&self) -> Option<String> {
        let Ok(Some((WorkdirMode::Dir, wanted))) = self.wanted_directory() else { return None };
        match *self.take_seat(&wanted).err()? {
            Disposition::Requeue { entry, .. } => Some(entry.reason),
            Disposition::Conclude { outcome, .. } => outcome.failure_reason,
        }
    }

    fn later(&self, reason: String) -> Refused {
        let entry = Requeue {
            outcome: AttemptOutcome::NotStarted,
            charged: false,
            reason,
            error_code: None,
            retry_at: self.ctx.clock.wall().checked_add(AGAIN).ok(),
            usage: Usage::default(),
        };
        Box::new(Disposition::Requeue { entry, hold: None })
    }

    /// What becomes of a task whose repository could not be made ready.
    fn not_begun(&self, error: &BeginError) -> Refused {
        if let Some((path, source)) = error.disk() {
            return no_room(path, source);
        }
        match error {
            BeginError::Unfit(why) => refuse(ErrorCode::E002, why),
            BeginError::Git(GitError::Stopped) => Box::new(put_back()),
            BeginError::Git(GitError::Missing) => self.later(error.to_string()),
            BeginError::Disk(path, source) => no_room(path, source),
            BeginError::Git(GitError::Run(source)) => {
                deferred(Holding::of(HoldCause::Configuration, format!("git could not be run: {source}")))
            }
            // It may be over with the next try, as far as the task has tries.
            BeginError::Git(
                GitError::TooLong { .. } | GitError::TooMuch { .. } | GitError::Refused { .. },
            ) => {
                let reason = format!("the repository could not be made ready: {error}");
                Box::new(self.dispose(&failed(ErrorCode::E007, reason), Duration::ZERO))
            }
        }
    }

    /// Looks at what the run changed, and puts it into its record; false where the worker leaves at once, and the next one
    /// looks.
    pub(super) async fn collect(&mut self, disposition: &Disposition) -> bool {
        let (paths, number) = (self.lease.paths(self.ctx.layout()), self.lease.number());
        if std::fs::symlink_metadata(paths.checkout(number)).is_err() {
            return true;
        }
        let state = match disposition {
            Disposition::Conclude { outcome, .. } => Some(outcome.state),
            Disposition::Requeue { .. } => None,
        };
        let (run, task, durability) = (self.lease.run, self.lease.name.clone(), self.ctx.config.durability);
        let ending = Ending { run, task, paths, number, state, durability };
        match self.with_git(Until::Kill, move |git| checkout::collect(git, &ending)).await {
            // An answer stands in the stream, and whatever else came of it is known here only.
            Worked::Left => return state != Some(TaskState::Completed),
            Worked::Done(Ok(None)) => {}
            Worked::Done(Ok(Some(report))) => {
                let brief = report.brief();
                tracing::info!(
                    task = %self.lease.name,
                    run_id = %self.lease.run,
                    branch = brief.branch.as_deref(),
                    commits = brief.commits,
                    note = brief.note.as_deref(),
                    "{brief}"
                );
                self.lease.task.record.changes = Some(brief);
            }
            Worked::Done(Err(error)) => {
                tracing::warn!(task = %self.lease.name, error = %error, "could not write down what the run changed");
            }
        }
        true
    }

    /// Once it is filed: what is not needed any more goes.
    pub(super) async fn tidy(&mut self) {
        let Some(state) = self.lease.task.record.state.filter(|it| it.is_terminal()) else { return };
        let (paths, number) = (self.lease.paths(self.ctx.layout()), self.lease.number());
        if std::fs::symlink_metadata(paths.checkout(number)).is_err() {
            return;
        }
        if let Worked::Done(Some(why)) =
            self.with_git(Until::Kill, move |git| checkout::tidy(git, &paths, number, state)).await
        {
            tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, "its worktree stays: {why}");
        }
    }

    /// Lets git work off the loop. What is said to the run meanwhile is kept for its agent; a worker that stops does not wait.
    async fn with_git<T: Send + 'static>(
        &mut self,
        until: Until,
        work: impl FnOnce(&Git) -> T + Send + 'static,
    ) -> Worked<T> {
        let stop = Arc::new(AtomicBool::new(self.hurry));
        let own = self.lease.paths(self.ctx.layout()).dir().to_owned();
        let git = self.ctx.git.granting(own).until(Arc::clone(&stop));
        let mut working = tokio::task::spawn_blocking(move || work(&git));
        let mut is_heard = true;
        loop {
            tokio::select! {
                done = &mut working => {
                    return match done {
                        Ok(done) if !self.hurry => Worked::Done(done),
                        _ => Worked::Left,
                    };
                }
                order = self.orders.recv(), if is_heard => match order {
                    Some(Order::Look) => {}
                    Some(Order::Kill) | None => {
                        (self.wanted, self.hurry) = (Wanted::StopNow, true);
                        is_heard = order.is_some();
                        stop.store(true, Ordering::Relaxed);
                    }
                    Some(order) => {
                        if matches!(order, Order::Stop) && until == Until::Stop {
                            stop.store(true, Ordering::Relaxed);
                        }
                        self.early.push(order);
                    }
                },
            }
        }
    }
}

/// A verdict on something that never began.
fn failed(code: ErrorCode, reason: String) -> Judgement {
    let nothing = judge(&Evidence::default(), &EndingOf::default());
    Judgement { verdict: Verdict::Failed { code, reason }, ..nothing }
}
