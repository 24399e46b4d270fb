//! `agentctl fsck`: whether the tree keeps its promises, and what mends it where it does not.
//!
//! | file | |
//! |---|---|
//! | `seen` | what a look saw, a value |
//! | `survey` | the look (thin) |
//! | `damage` | what can be found, which promise it breaks, what mends it |
//! | `judge` | from the one to the other (pure) |
//! | `repair` | mending, under the locks that it needs |
//!
//! Invariants:
//! - looking takes no lock; what one look accuses, two more have to see as well, since tasks move;
//! - without `--repair` nothing is changed; with it nothing under a worker's lock while somebody else holds that, and
//!   everything is looked at again under the lock before it is touched.
//!
//! It deliberately does not know how a task is recovered: that is recovery's.

mod damage;
mod judge;
mod repair;
mod seen;
mod survey;

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use damage::{Damage, Finding, Severity};
pub(super) use survey::free_locks;

use super::desk::Desk;
use super::error::OperatorError;
use super::report::{Cell, Tone};
use super::{find, look};
use crate::config::Exit;
use crate::os::lock;
use crate::task::WorkerName;

/// How many looks have to see the same.
const LOOKS: usize = 3;
/// How long tasks may move between two looks.
const BETWEEN: Duration = Duration::from_millis(200);
/// How many orphaned runs are named one by one.
const ORPHANS: usize = 3;

/// What to check.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl fsck                       what breaks a promise, and what would mend it
  agentctl fsck --json | jq '.findings[] | select(.severity == \"damaged\")'
  agentctl fsck --repair              mend what can be mended

It may be run while the workers work. What needs a worker's lock is mended only while no watcher holds it. Exit codes: 0
clean, 1 something was found, 65 something is damaged that only a person can decide about.")]
pub struct FsckArgs {
    /// Mend what can be mended
    #[arg(long, conflicts_with = "dry_run")]
    pub repair: bool,
    /// Only look and show, which is what happens without --repair
    #[arg(long)]
    pub dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
    /// Only this worker, and the inbox
    #[arg(long, short, value_name = "NAME")]
    pub worker: Option<String>,
}

/// Checks the tree, and mends it if that is asked for.
pub fn run(desk: &Desk, args: &FsckArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    let workers = match &args.worker {
        Some(called) => vec![find::worker(desk, called)?],
        None => look::workers(&desk.layout)?,
    };
    let mut found = settled(desk, &workers, args)?;
    let mut done = Vec::new();
    if args.repair && found.iter().any(|it| it.severity == Severity::Broken && it.repair.is_ours()) {
        done = repair::repair(desk, &found, &workers)?;
        found = settled(desk, &workers, args)?;
    }
    if args.json {
        desk.report.json(&as_json(desk, &found, &done));
    } else {
        show(desk, args, &found);
    }
    Ok(exit(&found))
}

/// What several looks agree on. One worker alone does not know whose the runs are.
fn settled(desk: &Desk, workers: &[WorkerName], args: &FsckArgs) -> Result<Vec<Finding>, OperatorError> {
    let all = || survey::survey(&desk.layout, workers).map(|survey| judge::judge(&survey));
    let mut found = all()?;
    for _ in 1..LOOKS {
        if found.is_empty() {
            break;
        }
        lock::pause(BETWEEN);
        let again = all()?;
        found.retain(|it| again.iter().any(|other| it.is_again(other)));
    }
    found.retain(|it| args.worker.is_none() || it.damage != Damage::Orphan);
    Ok(found)
}

fn exit(found: &[Finding]) -> Exit {
    match found.iter().map(|it| it.severity).max() {
        Some(Severity::Damaged) => Exit::Data,
        Some(Severity::Broken) => Exit::TaskFailed,
        Some(Severity::Note) | None => Exit::Done,
    }
}

fn as_json(desk: &Desk, found: &[Finding], done: &[repair::Done]) -> Value {
    let findings: Vec<Value> = found
        .iter()
        .map(|it| {
            let mut value = serde_json::to_value(it).unwrap_or_default();
            value["promise"] = it.damage.promise().into();
            value["remedy"] = it.repair.to_string().into();
            value
        })
        .collect();
    json!({ "root": desk.layout.root(), "findings": findings, "repaired": done })
}

fn show(desk: &Desk, args: &FsckArgs, found: &[Finding]) {
    let mut orphans = 0;
    for it in found {
        orphans += usize::from(it.damage == Damage::Orphan);
        if it.damage != Damage::Orphan || orphans <= ORPHANS {
            desk.report.data(&shown(desk, it));
        }
    }
    if orphans > ORPHANS {
        desk.report.data(&format!("note     … and {} more runs that belong to no task", orphans - ORPHANS));
    }
    let count = |severity| found.iter().filter(|it| it.severity == severity).count();
    let (broken, damaged) = (count(Severity::Broken), count(Severity::Damaged));
    desk.report.talk(&match broken + damaged {
        0 => "every promise is kept".to_owned(),
        _ if args.repair => format!("{broken} broken, {damaged} damaged: that is what is left"),
        _ => format!(
            "{broken} broken, {damaged} damaged; `{} fsck --repair` mends what can be mended",
            desk.agentctl()
        ),
    });
}

fn shown(desk: &Desk, it: &Finding) -> String {
    let (word, tone) = match it.severity {
        Severity::Note => ("note    ", Tone::Faint),
        Severity::Broken => ("broken  ", Tone::Warn),
        Severity::Damaged => ("damaged ", Tone::Bad),
    };
    let path = it.path.strip_prefix(desk.layout.root()).unwrap_or(&it.path).display().to_string();
    let first = desk.report.line(&[
        Cell::toned(word, tone),
        Cell::toned(it.damage.word(), Tone::Strong),
        Cell::plain(path),
        Cell::plain(&it.what),
    ]);
    let promise = Cell::toned(format!("         promise: {}; repair:", it.damage.promise()), Tone::Faint);
    format!("{first}\n{}", desk.report.line(&[promise, Cell::plain(it.repair.to_string())]))
}
