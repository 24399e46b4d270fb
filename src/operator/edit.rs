//! `agentctl edit`: a waiting task in an editor.
//!
//! Invariants:
//! - the person edits a copy; what comes back is checked as a watcher would, before anything of the task is touched;
//! - a task that moved on, or was changed by somebody else meanwhile, is left as it is, and the copy is kept;
//! - a living watcher is the only one who moves what waits: it holds the task meanwhile, files the old text as cancelled,
//!   and the new one is dropped under the same name, with its age.

#![expect(
    clippy::disallowed_methods,
    reason = "a person's editor is not an agent: it gets the terminal and all of the environment"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use uuid::Uuid;

use crate::config::Exit;
use crate::os::durable;
use crate::spool::{Identity, Store};
use crate::task::TaskFile;

use super::act::{Deed, Ground, Target, Via, ask, plan, said, waits, way, who};
use super::desk::Desk;
use super::error::OperatorError;
use super::find;
use super::look::Seen;

/// What to edit.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
$VISUAL, else $EDITOR, else vi. Only what still waits; it is held meanwhile where a watcher could take it. What is wrong
with the new text is told before anything is changed, and the text is kept.

Example:
  agentctl edit report")]
pub struct EditArgs {
    /// The task, by its name or worker/name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// Show by whom it would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The copy, and what it was made from.
struct Copy {
    path: PathBuf,
    before: Vec<u8>,
}

/// Whose a mark is that holds the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// It lasts only while the task is edited.
    Ours,
    /// It is a part of the text, or there is none.
    Theirs,
}

/// Edits a task.
pub fn run(desk: &Desk, args: &EditArgs) -> Result<Exit, OperatorError> {
    let seen = find::find(desk, &args.task)?;
    let via = way(desk, &seen)?;
    may_be_edited(&seen, &via)?;
    if args.dry_run {
        desk.report.data(&format!("would edit {} ({}) {via}", seen.full_name(), seen.entry.place));
        return Ok(Exit::Done);
    }
    let was_held = Target::of(&seen).is_held;
    let holds = !was_held && matches!(via, Via::Worker(_));
    let seen = if holds { held(desk, &seen)? } else { seen };
    let copy = Copy::make(desk, &seen, if holds { Mark::Ours } else { Mark::Theirs })?;
    let edited = copy.edit(desk);
    let done = match edited {
        Ok(None) => {
            desk.report.talk("nothing was changed");
            Ok(None)
        }
        Ok(Some(task)) => put(desk, &seen, task, &copy).map(Some),
        Err(error) => Err(error),
    };
    if holds && !matches!(done, Ok(Some(_))) {
        release(desk, &seen);
    }
    if let Err(error) = done {
        desk.report.talk(&format!("your text is kept: {}", copy.path.display()));
        return Err(error);
    }
    copy.forget();
    if let Ok(Some(where_to)) = done {
        desk.report.data(&format!("{}: edited: {where_to}", seen.full_name()));
    }
    Ok(Exit::Done)
}

fn may_be_edited(seen: &Seen, via: &Via) -> Result<(), OperatorError> {
    let no = |why: &str, hint: &str| {
        let (why, hint, exit) = (why.to_owned(), Some(hint.to_owned()), Exit::Unavailable);
        Err(OperatorError::NotPossible { why, hint, exit })
    };
    if !waits(seen.entry.place) {
        return no("only what still waits can be edited", "`agentctl tell` speaks to an agent at work");
    }
    let has_begun = seen.task.as_ref().is_ok_and(|task| !task.record.attempts.is_empty());
    if has_begun && matches!(via, Via::Worker(_)) {
        return no(
            "it has begun, and its conversation goes on where it was",
            "`agentctl tell` speaks to its agent once it is at work; or cancel it, and submit another",
        );
    }
    Ok(())
}

/// Has the watcher hold the task, so that it is not taken while it is edited; the task as it is then.
fn held(desk: &Desk, seen: &Seen) -> Result<Seen, OperatorError> {
    let reason = Some(format!("being edited by {}", who(desk)));
    command(desk, &Deed::Hold { reason }, seen)?;
    let again = find::find(desk, &again(seen))?;
    if waits(again.entry.place) { Ok(again) } else { Err(OperatorError::Moved { what: seen.full_name() }) }
}

fn release(desk: &Desk, seen: &Seen) {
    if let Err(error) = command(desk, &Deed::Release, seen) {
        let hint = format!("`agentctl release {}` lets it be taken", seen.full_name());
        desk.report.error(&error, Some(&hint));
    }
}

/// The name by which it is found again, also when it was taken out of the inbox.
fn again(seen: &Seen) -> String {
    let stem = seen.entry.file.stem();
    seen.entry.worker.as_ref().map_or_else(|| stem.to_owned(), |worker| format!("{worker}/{stem}"))
}

/// Tells the watcher to do it.
fn command(desk: &Desk, deed: &Deed, seen: &Seen) -> Result<(), OperatorError> {
    let act = plan(desk, deed, seen)?;
    let Via::Worker(worker) = &act.via else { return Err(OperatorError::Moved { what: seen.full_name() }) };
    let reply = ask(desk, worker, &act.request(&who(desk)))?;
    if reply.ok {
        return Ok(());
    }
    Err(OperatorError::NotPossible { exit: said(&reply), why: reply.message, hint: reply.hint })
}

/// Puts the new text in the place of the old one; where it is then.
fn put(desk: &Desk, seen: &Seen, task: TaskFile, copy: &Copy) -> Result<String, OperatorError> {
    let now = find::find(desk, &again(seen))?;
    if now.entry.path != seen.entry.path || now.bytes != copy.before {
        return Err(OperatorError::Moved { what: seen.full_name() });
    }
    match way(desk, &now)? {
        Via::Files(worker) => {
            let mut ground = Ground::new(desk);
            let spool = ground.enter(&worker)?;
            let version = version(desk, &now)?;
            let (place, file) = (now.entry.place, &now.entry.file);
            let name =
                ground.amend_version(&spool, (place, file, Some(version)), "edited", |old| *old = task)?;
            Ok(spool.path(place, &name).display().to_string())
        }
        via @ Via::Worker(_) => {
            may_be_edited(&now, &via)?;
            replace(desk, &now, task)
        }
    }
}

fn version(desk: &Desk, seen: &Seen) -> Result<Identity, OperatorError> {
    let store = crate::spool::Disk::new(desk.layout.root(), durable::Durability::None);
    store.identity(&seen.entry.path).map_err(OperatorError::io("look at", &seen.entry.path))
}

/// The old text is filed as cancelled by the watcher, and the new one dropped under its name.
fn replace(desk: &Desk, seen: &Seen, mut task: TaskFile) -> Result<String, OperatorError> {
    task.forget_record();
    let path = &seen.entry.path;
    let temp = durable::beside(path);
    let age = std::time::SystemTime::from(seen.entry.mtime);
    durable::write_new(&temp, &task.to_bytes(), Some(age))
        .and_then(|()| durable::sync_file(&temp))
        .map_err(OperatorError::io("write", &temp))?;
    let dropped =
        command(desk, &Deed::Cancel { reason: Some("edited: it goes on under its name".to_owned()) }, seen)
            .and_then(|()| durable::rename_noreplace(&temp, path).map_err(OperatorError::io("write", path)))
            .and_then(|()| durable::sync_dir(durable::parent(path)).map_err(OperatorError::io("sync", path)));
    if dropped.is_err() {
        durable::remove_if_there(&temp).ok();
    }
    dropped.map(|()| path.display().to_string())
}

impl Copy {
    /// The text for the person: without the mark of the hold that lasts only while it is edited.
    fn make(desk: &Desk, seen: &Seen, mark: Mark) -> Result<Self, OperatorError> {
        let shown = match &seen.task {
            Ok(task) if mark == Mark::Ours => {
                let mut task = task.clone();
                task.release();
                task.to_bytes()
            }
            Ok(_) | Err(_) => seen.bytes.clone(),
        };
        let temp = desk.env.get("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let dir = temp.join(format!("agentctl-{}", Uuid::new_v4().simple()));
        durable::make_dir(&dir, 0o700).map_err(OperatorError::io("make", &dir))?;
        let path = dir.join(seen.entry.file.as_str());
        durable::write_new(&path, &shown, None).map_err(OperatorError::io("write", &path))?;
        Ok(Self { path, before: seen.bytes.clone() })
    }

    /// Has the person edit it; the new task, if it is another.
    fn edit(&self, desk: &Desk) -> Result<Option<TaskFile>, OperatorError> {
        let read = || std::fs::read(&self.path).map_err(OperatorError::io("read", &self.path));
        let shown = read()?;
        open_editor(desk, &self.path)?;
        let text = read()?;
        if text == shown {
            return Ok(None);
        }
        let what = format!("`{}`", self.path.display());
        TaskFile::parse(&text).map(Some).map_err(|source| OperatorError::NotATask { what, source })
    }

    fn forget(&self) {
        std::fs::remove_file(&self.path).ok();
        std::fs::remove_dir(durable::parent(&self.path)).ok();
    }
}

/// Through the shell, since the variable may have arguments in it.
fn open_editor(desk: &Desk, path: &Path) -> Result<(), OperatorError> {
    let editor = desk.env.text("VISUAL").or_else(|| desk.env.text("EDITOR")).unwrap_or("vi");
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("exec {editor} \"$1\""))
        .args(["sh".as_ref(), path.as_os_str()])
        .status()
        .map_err(OperatorError::io("open in an editor", path))?;
    if status.success() {
        return Ok(());
    }
    Err(OperatorError::NotPossible {
        why: format!("the editor `{editor}` ended with {status}"),
        hint: Some("VISUAL or EDITOR names another; nothing was changed".to_owned()),
        exit: Exit::Unavailable,
    })
}
