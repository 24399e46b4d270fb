//! What the running agents say: the ends of their streams, read as they grow.
//!
//! Invariants:
//! - every text is escaped and redacted when it is taken;
//! - of each agent only the last [`KEPT`] lines are kept, and of one that has ended none.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

use crate::agent::LineSplitter;
use crate::layout::Layout;
use crate::text::redact::Redactor;

use super::super::error::OperatorError;
use super::super::stream_view::{Shown, render};
use super::super::tail::Tail;
use super::super::worker::Running;

/// How many lines of an agent are kept.
const KEPT: usize = 400;

/// One agent.
struct Voice {
    folder: PathBuf,
    tail: Tail,
    lines: LineSplitter,
    said: VecDeque<Shown>,
}

/// All agents at work, by `worker/task`.
pub(super) struct Voices {
    redactor: Redactor,
    voices: HashMap<String, Voice>,
}

impl Voices {
    /// Nobody yet.
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, voices: HashMap::new() }
    }

    /// Reads what is new of those that run, and forgets the others.
    pub(super) fn follow(&mut self, layout: &Layout, rows: &[Running]) -> Result<(), OperatorError> {
        let mut before = std::mem::take(&mut self.voices);
        for row in rows {
            let Some(folder) = folder(layout, row) else { continue };
            let name = row.seen.full_name();
            let known = before.remove(&name).filter(|voice| voice.folder == folder);
            let mut voice = known.unwrap_or_else(|| Voice::of(folder));
            voice.read(&self.redactor)?;
            self.voices.insert(name, voice);
        }
        Ok(())
    }

    /// The last line that an agent said.
    pub(super) fn last(&self, name: &str) -> Option<String> {
        let said = self.voices.get(name)?.said.iter().rev();
        said.flat_map(|shown| shown.text.lines().rev())
            .find(|line| !line.trim().is_empty())
            .map(str::to_owned)
    }

    /// The last lines that it said.
    pub(super) fn lines(&self, name: &str) -> Option<Vec<Shown>> {
        self.voices.get(name).map(|voice| voice.said.iter().cloned().collect())
    }

    /// Where its stream grows.
    pub(super) fn folder(&self, name: &str) -> Option<PathBuf> {
        self.voices.get(name).map(|voice| voice.folder.clone())
    }

    /// A text without secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }
}

impl Voice {
    fn of(folder: PathBuf) -> Self {
        let mut tail = Tail::new(&crate::layout::stream_in(&folder));
        // A stream that is not there yet is read from its beginning.
        drop(tail.skip_to_last(KEPT));
        Self { folder, tail, lines: LineSplitter::default(), said: VecDeque::new() }
    }

    fn read(&mut self, redactor: &Redactor) -> Result<(), OperatorError> {
        let (lines, said) = (&mut self.lines, &mut self.said);
        self.tail.drain(|bytes| {
            lines.push(bytes, |line| {
                said.extend(render(line).into_iter().map(|shown| Shown {
                    text: redactor.redact(&shown.text).into_owned(),
                    tone: shown.tone,
                }));
            });
            let surplus = said.len().saturating_sub(KEPT);
            said.drain(..surplus);
            true
        })?;
        Ok(())
    }
}

fn folder(layout: &Layout, row: &Running) -> Option<PathBuf> {
    let record = &row.seen.task.as_ref().ok()?.record;
    Some(layout.run(&record.run_id?).attempt(record.attempts.last()?.number))
}
