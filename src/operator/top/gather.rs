//! Looking: from the tree to a scene, reading only what changed since the last look.
//!
//! It deliberately takes no lock and changes nothing, and does not know what is shown of what it finds.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::config::Environment;
use crate::task::{Place, WorkerName};

use super::super::conclusion;
use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::list::about;
use super::super::look::{self, Entry, Seen};
use super::super::report::{Report, Tone};
use super::super::show;
use super::super::stream_view::Shown;
use super::super::worker::Running;
use super::ledger::Ledger;
use super::rows::{self, Rows};
use super::scene::{Detail, Scene, Task, Worker};
use super::voice::Voices;

/// So many rows of what waits and of what failed are read; the totals count all.
const LISTED: usize = 1000;

/// What tells a file that was written anew.
type Mark = (u64, u64, i64, i64);

/// Somebody who looks again and again.
pub(super) struct Gather {
    desk: Desk,
    /// The same desk with a printer that knows no colours: the screen has its own.
    plain: Desk,
    /// What was read of a file, while it is the same.
    read: HashMap<PathBuf, (Mark, Task)>,
    /// Where the tasks of the last look lie.
    entries: HashMap<String, Entry>,
    voices: Voices,
    ledger: Ledger,
}

impl Gather {
    /// Somebody who has not looked yet.
    pub(super) fn new(desk: &Desk) -> Self {
        let plain = Desk { report: Report::new(&Environment::of(&[])), ..desk.clone() };
        Self {
            voices: Voices::new(desk.env.redactor()),
            ledger: Ledger::default(),
            read: HashMap::new(),
            entries: HashMap::new(),
            plain,
            desk: desk.clone(),
        }
    }

    /// Looks; `subject` is the task whose detail is wanted.
    pub(super) fn look(&mut self, subject: Option<&str>) -> Result<Scene, OperatorError> {
        let rows = rows::look(&self.desk)?;
        let names: Vec<WorkerName> = rows.workers.iter().map(|it| it.name.clone()).collect();
        self.ledger.read(&self.desk, &names)?;
        let (waiting, failed) = self.lists(&names)?;
        let running = self.running(&rows.running)?;
        let detail = self.detail(subject)?;
        let Rows { supervised, inbox, workers, .. } = rows;
        let workers = workers.into_iter().map(|row| {
            let today = self.ledger.of(&row.name);
            Worker { cost_usd: today.cost_usd, claims: today.claims, row }
        });
        Ok(Scene {
            root: self.desk.layout.root().display().to_string(),
            time: self.desk.clock.wall().strftime("%H:%M:%SZ").to_string(),
            supervised,
            inbox,
            workers: workers.collect(),
            running,
            waiting,
            failed,
            detail,
        })
    }

    /// The folders in which a change can be seen.
    pub(super) fn folders(&self, subject: Option<&str>) -> Vec<PathBuf> {
        let names = look::workers(&self.desk.layout).unwrap_or_default();
        let mut folders = conclusion::folders(&self.desk.layout, &names);
        folders.extend(names.iter().map(|name| self.desk.layout.worker(name)));
        folders.extend(subject.and_then(|name| self.voices.folder(name)));
        folders
    }

    /// What waits, the oldest first, and what failed, the latest first.
    fn lists(&mut self, names: &[WorkerName]) -> Result<(Vec<Task>, Vec<Task>), OperatorError> {
        let layout = &self.desk.layout;
        let mut waiting = look::entries(layout, None, Place::Inbox)?;
        let mut failed = Vec::new();
        for name in names {
            waiting.extend(look::entries(layout, Some(name), Place::Staged)?);
            waiting.extend(look::entries(layout, Some(name), Place::Pending)?);
            failed.extend(look::entries(layout, Some(name), Place::Failed)?);
        }
        waiting.sort_by_key(|entry| entry.mtime);
        failed.sort_by_key(|entry| std::cmp::Reverse(entry.mtime));
        waiting.truncate(LISTED);
        failed.truncate(LISTED);
        let mut known = std::mem::take(&mut self.read);
        self.entries.clear();
        Ok((self.tasks(waiting, &mut known)?, self.tasks(failed, &mut known)?))
    }

    fn tasks(
        &mut self,
        entries: Vec<Entry>,
        known: &mut HashMap<PathBuf, (Mark, Task)>,
    ) -> Result<Vec<Task>, OperatorError> {
        let mut tasks = Vec::new();
        for entry in entries {
            let Some(mark) = mark(&entry) else { continue };
            let (path, mtime) = (entry.path.clone(), entry.mtime);
            let task = match known.remove(&path).filter(|(then, _)| *then == mark) {
                Some((_, task)) => task,
                None => match entry.clone().read()? {
                    Some(seen) => task(&self.desk, &seen),
                    None => continue,
                },
            };
            self.entries.insert(task.full_name.clone(), entry);
            tasks.push(Task { age_s: self.desk.age_s(mtime), ..task.clone() });
            self.read.insert(path, (mark, task));
        }
        Ok(tasks)
    }

    fn running(&mut self, rows: &[Running]) -> Result<Vec<Task>, OperatorError> {
        self.voices.follow(&self.desk.layout, rows)?;
        let mut tasks = Vec::new();
        for row in rows {
            let known = task(&self.desk, &row.seen);
            let said = row.progress.clone().or_else(|| self.voices.last(&known.full_name));
            self.entries.insert(known.full_name.clone(), row.seen.entry.clone());
            tasks.push(Task {
                age_s: row.elapsed_s,
                limit_s: row.limit_s,
                silent_s: row.silent_s,
                says: said.unwrap_or_else(|| known.says.clone()),
                ..known
            });
        }
        tasks.sort_by_key(|task| std::cmp::Reverse(task.age_s));
        Ok(tasks)
    }

    fn detail(&self, subject: Option<&str>) -> Result<Detail, OperatorError> {
        let Some(name) = subject else { return Ok(Detail::default()) };
        let of = Some(name.to_owned());
        if let Some(lines) = self.voices.lines(name) {
            return Ok(Detail { of, lines });
        }
        let Some(entry) = self.entries.get(name) else { return Ok(Detail::default()) };
        let text = entry.clone().read()?.map(|seen| show::whole(&self.plain, &seen)).unwrap_or_default();
        let text = self.voices.redact(text.trim_end());
        Ok(Detail { of, lines: vec![Shown { text, tone: Tone::Plain }] })
    }
}

/// What a task file says of itself, in the words of a row.
fn task(desk: &Desk, seen: &Seen) -> Task {
    let file = seen.task.as_ref().ok();
    let record = file.map(|file| &file.record);
    let held = seen.held();
    Task {
        full_name: seen.full_name(),
        name: seen.name(),
        worker: seen.worker_word().to_owned(),
        place: seen.entry.place,
        state: seen.state(),
        age_s: desk.age_s(seen.entry.mtime),
        limit_s: None,
        silent_s: None,
        cost_usd: record.map_or(0.0, crate::task::Record::cost_usd),
        charges: record.map_or(0, crate::task::Record::charges),
        priority: file.and_then(|file| file.spec.priority).unwrap_or(0),
        is_held: held.is_some(),
        says: held.map_or_else(|| about(seen), |word| format!("held{}; {}", word.tail(), about(seen))),
    }
}

/// A requeue keeps a file's time, so that alone does not tell.
fn mark(entry: &Entry) -> Option<Mark> {
    let meta = entry.path.symlink_metadata().ok()?;
    Some((meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec()))
}
