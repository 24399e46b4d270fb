//! What is wrong with what was seen. Pure: a survey in, findings out.
//!
//! Invariants:
//! - what the holder of a worker's lock may be doing this very moment is no finding: its `active/`, its temporary files,
//!   the papers of a task that is still in `active/`;
//! - nothing is judged by an age;
//! - a repair is offered only where all that it needs stands in a file.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::damage::{Damage, Finding, Repair, Severity};
use super::seen::{EntrySeen, RecordSeen, ResultSeen, Stamp, Survey, TaskSeen, What};
use crate::spool::suitable::Finding as Shape;
use crate::task::text::shell_word;
use crate::task::{FileName, Place, RunId, TaskState, WorkerName};

/// Everything that is wrong, the worst first.
pub(super) fn judge(survey: &Survey) -> Vec<Finding> {
    let mut found: Vec<Finding> = survey.shape.iter().map(shape).collect();
    found.extend(homes(survey));
    let failed = Failed::of(survey);
    for entry in &survey.entries {
        found.extend(one(survey, &failed, entry));
    }
    found.extend(free_locks(survey));
    found.extend(survey.torn.iter().map(|(_, path, lines)| Finding {
        severity: Severity::Note,
        damage: Damage::TornJournal,
        path: path.clone(),
        what: format!("{lines} of its lines are torn: a reader passes over them"),
        repair: Repair::None,
        stamp: (0, *lines as u64),
    }));
    found.extend(orphans(survey));
    found.sort_by(|a, b| (b.severity, a.damage, &a.path).cmp(&(a.severity, b.damage, &b.path)));
    found
}

fn shape(found: &Shape) -> Finding {
    let (severity, damage) = (Severity::Damaged, Damage::Shape);
    let repair = Repair::ByHand { remedy: found.remedy.clone() };
    Finding { severity, damage, path: found.path.clone(), what: found.what.clone(), repair, stamp: (0, 0) }
}

/// A finding about an entry.
fn about(
    entry: &EntrySeen,
    severity: Severity,
    damage: Damage,
    what: impl Into<String>,
    repair: Repair,
) -> Finding {
    Finding { severity, damage, path: entry.path.clone(), what: what.into(), repair, stamp: entry.stamp }
}

fn by_hand(remedy: impl Into<String>) -> Repair {
    Repair::ByHand { remedy: remedy.into() }
}

/// A path as an argument of a shell's command.
fn word(path: &Path) -> String {
    shell_word(&path.display().to_string())
}

/// What lies in the folders `failed/`, by name.
struct Failed<'a>(HashMap<(Option<&'a WorkerName>, &'a str), &'a EntrySeen>);

impl<'a> Failed<'a> {
    fn of(survey: &'a Survey) -> Self {
        let failed = survey.entries.iter().filter(|it| it.place == Place::Failed);
        Self(failed.map(|it| ((it.worker.as_ref(), it.name.as_str()), it)).collect())
    }

    /// What lies beside `entry` under another name.
    fn beside(&self, entry: &EntrySeen, name: &str) -> Option<&EntrySeen> {
        self.0.get(&(entry.worker.as_ref(), name)).copied()
    }
}

/// What is wrong with one name in a place.
fn one(survey: &Survey, failed: &Failed<'_>, entry: &EntrySeen) -> Vec<Finding> {
    let mut found: Vec<Finding> = match &entry.what {
        What::Task(task) => match entry.place {
            Place::Inbox | Place::Pending => Vec::new(),
            Place::Staged => staged(survey, entry, &task.file).into_iter().collect(),
            Place::Active => active(survey, entry, task).into_iter().collect(),
            Place::Completed | Place::Failed | Place::Cancelled => filed(survey, failed, (entry, task)),
        },
        What::NoTask(file, why) => no_task(survey, failed, (entry, file), why).into_iter().collect(),
        What::Reason(is_good) => reason(survey, failed, (entry, *is_good)).into_iter().collect(),
        What::Temp => temp(survey, entry).into_iter().collect(),
        What::Foreign(what) => {
            vec![about(entry, Severity::Note, Damage::Foreign, *what, by_hand("move it elsewhere"))]
        }
    };
    let is_ours = !matches!(entry.place, Place::Inbox | Place::Pending | Place::Staged);
    if is_ours && entry.mode & 0o002 != 0 && matches!(entry.what, What::Task(_)) {
        let what = "may be written by everybody, so that what it says may be anybody's";
        found.push(about(entry, Severity::Broken, Damage::OpenToAll, what, Repair::Close));
    }
    found
}

fn staged(survey: &Survey, entry: &EntrySeen, file: &FileName) -> Option<Finding> {
    let worker = entry.worker.as_ref()?;
    let seen = survey.workers.get(worker)?;
    if seen.resumes {
        return None;
    }
    let (damage, what) = (Damage::StagedLeft, "is staged, and no gradual resume is under way");
    Some(if seen.is_held {
        about(entry, Severity::Note, damage, format!("{what}; its watcher takes it first"), Repair::None)
    } else {
        let repair = Repair::Unstage { worker: worker.clone(), file: file.clone() };
        about(entry, Severity::Broken, damage, what, repair)
    })
}

fn active(survey: &Survey, entry: &EntrySeen, task: &TaskSeen) -> Option<Finding> {
    let worker = entry.worker.clone()?;
    let has_record = matches!(task.record, RecordSeen::Ours(_));
    if task.run.is_some() && !has_record {
        let what = "is worked on, and no `artifacts/<run_id>/input.json` names it as its run's task";
        let repair = Repair::Recover { worker };
        return Some(about(entry, Severity::Broken, Damage::NoRecord, what, repair));
    }
    // Whoever holds the lock knows what it does.
    (!survey.is_held(entry.worker.as_ref())).then(|| {
        let what = "was being worked on when its watcher ended; the next start recovers it";
        about(entry, Severity::Note, Damage::Unrecovered, what, Repair::Recover { worker })
    })
}

fn temp(survey: &Survey, entry: &EntrySeen) -> Option<Finding> {
    // In a queue it is a drop that somebody is writing; a holder's own are its own.
    let is_held = survey.is_held(entry.worker.as_ref());
    if is_held || matches!(entry.place, Place::Inbox | Place::Pending | Place::Staged) {
        return None;
    }
    let repair = Repair::Remove { worker: entry.worker.clone()? };
    Some(about(entry, Severity::Broken, Damage::TempLeft, "is what a write that was cut left", repair))
}

/// A task's file without a task in it.
fn no_task(
    survey: &Survey,
    failed: &Failed<'_>,
    (entry, file): (&EntrySeen, &FileName),
    why: &str,
) -> Option<Finding> {
    let worker = entry.worker.clone();
    match entry.place {
        // A watcher gives it time to settle, and files it.
        Place::Inbox | Place::Pending | Place::Staged => (!survey.is_held(worker.as_ref())).then(|| {
            let what = format!("is no task ({why}); a watcher would file it as failed");
            about(entry, Severity::Note, Damage::Foreign, what, Repair::None)
        }),
        Place::Active => {
            let repair = Repair::Recover { worker: worker? };
            (!survey.is_held(entry.worker.as_ref())).then(|| {
                let what = format!("is no task ({why}); the next start files it as failed");
                about(entry, Severity::Note, Damage::Unrecovered, what, repair)
            })
        }
        Place::Failed => no_reason(failed, entry, file),
        Place::Completed | Place::Cancelled => {
            let what = format!(
                "cannot be read as a task ({why}): its answer is lost, unless its run's record has it"
            );
            let remedy =
                format!("look for its run: grep -l {} artifacts/*/input.json", shell_word(file.as_str()));
            Some(about(entry, Severity::Damaged, Damage::Unreadable, what, by_hand(remedy)))
        }
    }
}

/// What is wrong with a task that ended.
fn filed(survey: &Survey, failed: &Failed<'_>, (entry, task): (&EntrySeen, &TaskSeen)) -> Vec<Finding> {
    let Some(worker) = entry.worker.clone() else { return Vec::new() };
    let (place, file) = (entry.place, task.file.clone());
    let mut found = Vec::new();
    match task.state {
        Some(state) if state.terminal_place() == Some(place) => {
            found.extend(result(entry, task, &worker, state));
            found.extend(untold(survey, entry, task, &worker));
        }
        Some(state) if state.is_terminal() => {
            let what = format!("says {state}, which does not belong into {place}/");
            let repair = Repair::Refile { worker, place, file: file.clone() };
            found.push(about(entry, Severity::Broken, Damage::WrongFolder, what, repair));
        }
        // What was no task, or somebody's own, is filed untouched.
        None if place == Place::Failed => {}
        state => {
            let what = match state {
                Some(state) => format!("is filed, and says {state}: nobody recorded how it ended"),
                None => "is filed, and has no state: nobody recorded how it ended".to_owned(),
            };
            let folders = entry.path.ancestors().nth(2).unwrap_or(&entry.path);
            let back = format!("mv {} {}/pending/", word(&entry.path), word(folders));
            let remedy = format!("to have it done: {back}; if it is not needed, remove it");
            found.push(about(entry, Severity::Damaged, Damage::NoOutcome, what, by_hand(remedy)));
        }
    }
    if place == Place::Failed && !found.iter().any(|it| it.damage == Damage::WrongFolder) {
        found.extend(no_reason(failed, entry, &file));
    }
    found
}

fn result(entry: &EntrySeen, task: &TaskSeen, worker: &WorkerName, state: TaskState) -> Option<Finding> {
    let RecordSeen::Ours(result) = task.record else { return None };
    let (damage, what) = match result {
        ResultSeen::State(told) if told == state => return None,
        ResultSeen::State(told) => {
            (Damage::OtherResult, format!("says {state}, and its run's result.json says {told}"))
        }
        ResultSeen::Unreadable => {
            (Damage::OtherResult, "says how it ended, and its run's result.json cannot be read".to_owned())
        }
        ResultSeen::Missing => (Damage::NoResult, "is filed, and its run has no result.json".to_owned()),
    };
    let repair = Repair::Papers { worker: worker.clone(), place: entry.place, file: task.file.clone() };
    Some(about(entry, Severity::Broken, damage, what, repair))
}

/// Whether no journal tells of its end, though there are journals from its day on.
fn untold(survey: &Survey, entry: &EntrySeen, task: &TaskSeen, worker: &WorkerName) -> Option<Finding> {
    let (run, ended) = (task.run?, task.ended.as_ref()?);
    let since = survey.workers.get(worker)?.told_since.as_ref()?;
    // A run that went after its time may have ended elsewhere, before its file was brought here.
    let is_ours = matches!(task.record, RecordSeen::Ours(_));
    (is_ours && since <= ended && !survey.concluded.contains(&run)).then(|| {
        let what = "is filed, and no journal tells of its end";
        let repair = Repair::Tell { worker: worker.clone(), place: entry.place, file: task.file.clone() };
        about(entry, Severity::Broken, Damage::Untold, what, repair)
    })
}

/// A file in `failed/` without its reason.
fn no_reason(failed: &Failed<'_>, entry: &EntrySeen, file: &FileName) -> Option<Finding> {
    let worker = entry.worker.clone()?;
    if failed.beside(entry, &format!("{}.reason", entry.name)).is_some() {
        return None;
    }
    let repair = Repair::Papers { worker, place: Place::Failed, file: file.clone() };
    let what = "has no .reason beside it";
    Some(about(entry, Severity::Broken, Damage::NoReason, what, repair))
}

fn reason(survey: &Survey, failed: &Failed<'_>, (entry, is_good): (&EntrySeen, bool)) -> Option<Finding> {
    let worker = entry.worker.clone()?;
    let name = entry.name.strip_suffix(".reason")?;
    if let Some(failed) = failed.beside(entry, name) {
        let file = match &failed.what {
            What::Task(task) => task.file.clone(),
            What::NoTask(file, _) => file.clone(),
            What::Reason(_) | What::Temp | What::Foreign(_) => return None,
        };
        let repair = Repair::Papers { worker, place: Place::Failed, file };
        return (!is_good)
            .then(|| about(entry, Severity::Broken, Damage::BadReason, "is no JSON object", repair));
    }
    // It is written before the file comes.
    let base = name.parse::<FileName>().ok().map(|it| it.base().to_owned());
    let comes = |it: &EntrySeen| match &it.what {
        What::Task(task) => Some(task.file.base().to_owned()) == base,
        What::NoTask(file, _) => Some(file.base().to_owned()) == base,
        What::Reason(_) | What::Temp | What::Foreign(_) => false,
    };
    let is_coming = survey.is_held(Some(&worker))
        && survey
            .entries
            .iter()
            .filter(|it| it.worker == entry.worker)
            .any(|it| it.place != Place::Failed && comes(it));
    (!is_coming).then(|| {
        let what = "is the reason of a file that is not there any more";
        about(entry, Severity::Broken, Damage::ReasonAlone, what, Repair::Remove { worker })
    })
}

/// Tasks that are in two places: by one inode, or by one run.
fn homes(survey: &Survey) -> Vec<Finding> {
    let mut inodes: HashMap<Stamp, &EntrySeen> = HashMap::new();
    let mut runs: HashMap<RunId, &EntrySeen> = HashMap::new();
    let mut found = Vec::new();
    for entry in &survey.entries {
        let Some(task) = entry.task() else { continue };
        if let Some(first) = inodes.insert(entry.stamp, entry) {
            found.push(twice(survey, (first, entry), By::Inode));
            continue;
        }
        // One that has ended and was put into a queue begins a new life.
        let begins_anew =
            Place::QUEUES.contains(&entry.place) && task.state.is_some_and(TaskState::is_terminal);
        let Some(run) = task.run.filter(|_| !begins_anew) else { continue };
        if let Some(first) = runs.insert(run, entry) {
            found.push(twice(survey, (first, entry), By::Run));
        }
    }
    found
}

/// Filed wins over worked, worked wins over queued, what was let go over what it was let go from.
const fn rank(place: Place) -> u8 {
    match place {
        Place::Inbox => 0,
        Place::Pending => 1,
        Place::Staged => 2,
        Place::Active => 3,
        Place::Completed | Place::Failed | Place::Cancelled => 4,
    }
}

/// By what two names are known for one task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Inode,
    Run,
}

fn twice(survey: &Survey, (one, other): (&EntrySeen, &EntrySeen), by: By) -> Finding {
    let (lesser, home) = if rank(one.place) > rank(other.place) { (other, one) } else { (one, other) };
    let both_filed = rank(lesser.place) == 4;
    let shown = home.path.display();
    let is_one_file = by == By::Inode;
    let what = if is_one_file {
        format!("is the same file as `{shown}`")
    } else {
        format!("belongs to the same run as `{shown}`")
    };
    let of_one_worker =
        lesser.worker == home.worker || (lesser.place == Place::Inbox && home.worker.is_some());
    let same_name = base_of(lesser) == base_of(home);
    // What recovery clears by itself, and nothing that somebody may have meant.
    let is_recoverable =
        of_one_worker && same_name && !both_filed && (is_one_file || lesser.place == Place::Active);
    let (severity, repair) = match home.worker.clone() {
        Some(worker) if is_recoverable => (Severity::Broken, Repair::Recover { worker }),
        _ if both_filed && is_one_file => {
            // The same content under two names: the one in the folder that its state names stays.
            let is_home = |it: &EntrySeen| {
                it.task().and_then(|task| task.state).and_then(TaskState::terminal_place) == Some(it.place)
            };
            let extra = if is_home(lesser) && !is_home(home) { home } else { lesser };
            let Some(worker) = extra.worker.clone() else { return unsettled(lesser, &what) };
            let what = "has another name in a folder of what has ended, and is one file with it";
            return about(extra, Severity::Broken, Damage::TwoHomes, what, Repair::Remove { worker });
        }
        _ if both_filed => return unsettled(lesser, &what),
        _ => {
            let remedy = format!("if it is a copy that nobody meant: rm {}", word(&lesser.path));
            (Severity::Broken, by_hand(remedy))
        }
    };
    let is_held = survey.is_held(lesser.worker.as_ref());
    let what =
        if is_held && lesser.place == Place::Active { format!("{what}; its watcher holds it") } else { what };
    about(lesser, severity, Damage::TwoHomes, what, repair)
}

/// Two ends of one run: which of them counts nobody can tell from the files alone.
fn unsettled(entry: &EntrySeen, what: &str) -> Finding {
    let what = format!("{what}, and both have ended");
    let remedy = "read both, keep the one that counts, and move the other out of `tasks/`";
    about(entry, Severity::Damaged, Damage::TwoHomes, what, by_hand(remedy))
}

fn base_of(entry: &EntrySeen) -> Option<&str> {
    entry.task().map(|task| task.file.base())
}

fn free_locks(survey: &Survey) -> Vec<Finding> {
    let is_working = |worker: &WorkerName, name: &str| {
        // A holder makes its lock files and locks them, one after the other.
        let of_task = |it: &EntrySeen| {
            it.place == Place::Active
                && it.worker.as_ref() == Some(worker)
                && it.task().is_some_and(|task| name == format!("{worker}_task_{}.lock", task.task))
        };
        survey.is_held(Some(worker))
            && (name == format!("{worker}_watcher.lock") || survey.entries.iter().any(of_task))
    };
    let is_busy = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        survey.workers.keys().any(|worker| is_working(worker, &name))
    };
    let free = survey.free_locks.iter().filter(|(path, _)| !is_busy(path));
    free.map(|(path, stamp)| Finding {
        severity: Severity::Broken,
        damage: Damage::FreeLock,
        path: path.clone(),
        what: "is a lock file that nobody holds".to_owned(),
        repair: Repair::RemoveLock,
        stamp: *stamp,
    })
    .collect()
}

fn orphans(survey: &Survey) -> Vec<Finding> {
    let known: HashSet<RunId> = survey.entries.iter().filter_map(|entry| entry.task()?.run).collect();
    let alone = survey.runs.iter().filter(|(run, _)| !known.contains(run));
    alone
        .map(|(_, path)| Finding {
            severity: Severity::Note,
            damage: Damage::Orphan,
            path: path.clone(),
            what: "belongs to no task".to_owned(),
            repair: by_hand("its time comes by itself; `agentctl prune --dry-run` says when"),
            stamp: (0, 0),
        })
        .collect()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
