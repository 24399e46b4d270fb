//! Whether the CLI will do: it is asked for its version before the first agent, and again when its file changes.
//!
//! Invariants:
//! - a CLI that will not do is an outage of the worker: nothing is claimed, no attempt is begun, and the backlog
//!   stays as it is;
//! - an answer is about one file as it was (path, inode, size, time); another one is asked anew, and what will not do
//!   is asked again after a growing pause, since what a script starts may have changed;
//! - the loop never waits for it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::{mpsc, watch};

use super::core::Event;
use super::ctx::Ctx;
use super::effects::Told;
use crate::agent::disposition::Holding;
use crate::agent::version::{Answer, DEADLINE, Fit, judge};
use crate::agent::{env, trouble};
use crate::clock::Ticks;
use crate::config::AgentKind;
use crate::limits::record::pause;
use crate::os::process::Exit;
use crate::task::HoldCause;

/// How much of an answer is looked at, in bytes.
const ANSWER: u64 = 64 << 10;

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// Device, inode, size, and when it was changed; `None` where it cannot be seen.
    file: Option<(u64, u64, u64, i64, i64)>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let file = std::fs::metadata(path).ok();
        let file = file.map(|it| (it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()));
        Self { path: path.to_owned(), file }
    }
}

/// What is known of one file.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    found: Result<Fit, Holding>,
    /// When it is asked again, if it will not do.
    again: Ticks,
    /// How often it would not do.
    times: u32,
}

/// What the CLI is known to be.
#[derive(Debug)]
pub(super) struct Cli {
    known: RefCell<Option<Known>>,
    is_asking: RefCell<bool>,
    news: watch::Sender<()>,
}

/// What a look at it found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// It will do.
    Fit,
    /// It is being asked.
    Trying,
    /// It will not do.
    Unfit(Holding),
}

impl Default for Cli {
    fn default() -> Self {
        Self { known: RefCell::default(), is_asking: RefCell::default(), news: watch::channel(()).0 }
    }
}

impl Cli {
    /// Its version, where it told one.
    pub(super) fn version(&self) -> Option<String> {
        match &self.known.borrow().as_ref()?.found {
            Ok(Fit::Version(version)) => Some(version.clone()),
            Ok(Fit::Unknown(_)) | Err(_) => None,
        }
    }

    /// It is asked again: somebody says that something changed.
    pub(super) fn forget(&self) {
        *self.known.borrow_mut() = None;
    }

    fn learn(&self, stamp: Stamp, mut found: Result<Fit, Holding>, ctx: &Ctx) {
        let mut known = self.known.borrow_mut();
        let before = known.as_ref().filter(|it| it.stamp == stamp && it.found.is_err());
        let times = before.map_or(1, |it| it.times.saturating_add(1));
        let rest = pause(HoldCause::Configuration, times);
        match &mut found {
            Ok(fit) => tell(ctx, &stamp.path, fit),
            Err(holding) => {
                // What it complains of may name what it was given.
                holding.reason = ctx.redactor.redact(&holding.reason).into_owned();
                let rest = jiff::SignedDuration::try_from(rest).unwrap_or_default();
                holding.until = ctx.clock.wall().checked_add(rest).ok();
            }
        }
        *known = Some(Known { stamp, found, again: ctx.clock.ticks().plus(rest), times });
        drop(known);
        *self.is_asking.borrow_mut() = false;
        self.news.send_replace(());
    }
}

/// Looks whether agents may be started now; to be called on the loop, which is told once it may go on.
pub(super) fn look(ctx: &Rc<Ctx>, tell: &mpsc::UnboundedSender<Told>) -> Look {
    if ctx.config.agent == AgentKind::Echo {
        return Look::Fit;
    }
    let path = match ctx.program() {
        Ok(path) => path,
        Err(holding) => return Look::Unfit(holding),
    };
    let stamp = Stamp::of(&path);
    let known = ctx.cli.known.borrow();
    let about = known.as_ref().filter(|it| it.stamp == stamp);
    let (seen, is_due) = match about.map(|it| (&it.found, ctx.clock.ticks() >= it.again)) {
        None => (Look::Trying, true),
        Some((Ok(_), _)) => (Look::Fit, false),
        Some((Err(holding), is_due)) => (Look::Unfit(holding.clone()), is_due),
    };
    drop(known);
    if is_due && !ctx.cli.is_asking.replace(true) {
        let (ctx, tell) = (Rc::clone(ctx), tell.clone());
        tokio::task::spawn_local(async move {
            let found = ask(&ctx, &path).await;
            let is_fit = found.is_ok();
            ctx.cli.learn(stamp, found, &ctx);
            // What will not do is a fault at the next beat; until then nothing is claimed either.
            if is_fit {
                tell.send(Told::Core(Event::Trying(false))).ok();
            }
        });
    }
    seen
}

/// The same, waiting until that is known.
pub(super) async fn settled(ctx: &Rc<Ctx>, tell: &mpsc::UnboundedSender<Told>) -> Result<(), Holding> {
    let mut news = ctx.cli.news.subscribe();
    loop {
        match look(ctx, tell) {
            Look::Fit => return Ok(()),
            Look::Unfit(holding) => return Err(holding),
            // The sender is ours: it is not dropped before us.
            Look::Trying => drop(news.changed().await),
        }
    }
}

fn tell(ctx: &Ctx, path: &Path, fit: &Fit) {
    match fit {
        Fit::Version(version) => {
            ctx.metrics.set_claude(version);
            tracing::info!(path = %path.display(), version = %version, "the CLI that agents are started with");
        }
        Fit::Unknown(said) => {
            ctx.metrics.set_claude("unknown");
            tracing::warn!(path = %path.display(), said = %ctx.redactor.redact(said), "the CLI does not tell its version; agents are started with it all the same");
        }
    }
}

/// Asks it. What cannot be started is told in the words of an agent that cannot.
async fn ask(ctx: &Ctx, path: &Path) -> Result<Fit, Holding> {
    let unfit = |error: std::io::Error| {
        let trouble = trouble::explain(&error, path, Path::new("/"));
        let reason = format!("could not start `{}`: {} ({error})", path.display(), trouble.why);
        Holding { cause: HoldCause::Configuration, reason, remedy: trouble.remedy, until: None }
    };
    let answer = answer(ctx, path).await.map_err(unfit)?;
    judge(path, &answer)
}

async fn answer(ctx: &Ctx, path: &Path) -> std::io::Result<Answer> {
    // Files without a name: a pipe would have to be read while it runs.
    let open = || Ok::<_, std::io::Error>(File::from(memfd_create("version", MemfdFlags::CLOEXEC)?));
    let (printed, complained) = (open()?, open()?);
    let outer = ctx.environment.vars().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = env::for_a_question(outer, &ctx.config.agent_env, &ctx.scratch);
    #[expect(
        clippy::disallowed_methods,
        reason = "the one question that is asked of the CLI outside of a run"
    )]
    let mut command = Command::new(path);
    command
        .arg("--version")
        .env_clear()
        .envs(environment)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(complained.try_clone()?);
    // Off the loop: a disk that hangs keeps whoever executes what lies on it.
    let reaper = Arc::clone(&ctx.reaper);
    let asked = tokio::task::spawn_blocking(move || {
        let child = reaper.spawn(&mut command)?;
        Ok::<_, std::io::Error>((Group(Some(Pid::from_raw(child.id.pid))), child))
    });
    let (group, child) = asked.await??;
    let Ok(exit) = tokio::time::timeout(DEADLINE, child.exit).await else { return Ok(Answer::Silence) };
    group.spare();
    let exit = exit.unwrap_or(Exit::Code(-1));
    Ok(Answer::Said { exit, text: whole(printed)?, complaint: whole(complained)? })
}

/// A program that was asked, with what it started in its group; killed when nobody waits for it any more, also where that
/// is because the worker leaves.
struct Group(Option<Pid>);

impl Group {
    /// It has ended by itself: its number may be another's now.
    fn spare(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Not reaped yet, so the number cannot mean anybody else.
        if let Some(group) = self.0.take() {
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}

fn whole(mut file: File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(ANSWER).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
