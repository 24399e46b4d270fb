//! What is let loose in a model: files, endings of agents, and what goes wrong how often.

use agent_worker::task::Place;

use super::ending::Ending;
use super::intern::{self, PathId, Text, layout, worker};
use super::operations::MAX_RETRIES;
use super::state::{Dropped, State};
use super::town::task_of;

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    Cancel,
    Amend,
    Renew,
}

/// How a file comes into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Written and synced elsewhere, then renamed.
    Moved,
    /// Written in place, and never synced.
    Copied,
}

/// A file that somebody drops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drop {
    pub(crate) mark: char,
    pub(crate) nth: usize,
    pub(crate) place: Place,
    pub(crate) file: &'static str,
    pub(crate) how: How,
    pub(crate) is_whole: bool,
}

pub(crate) const DROP: Drop =
    Drop { mark: 'A', nth: 0, place: Place::Pending, file: "x.json", how: How::Moved, is_whole: true };

/// What may happen.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a table of facts, each true or not")]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) drops: &'static [Drop],
    /// A drop that comes at any time.
    pub(crate) late: Option<Drop>,
    /// Whether somebody writes into what waits, at any time.
    pub(crate) is_rewritten: bool,
    /// How agents may end, any of these for the first of a task; the last one for all others.
    pub(crate) endings: &'static [Ending],
    /// How many workers have a watcher that is started.
    pub(crate) watchers: usize,
    pub(crate) kills: u8,
    pub(crate) powers: u8,
    /// How often the supervisor looks after a worker that is down.
    pub(crate) sweeps: u8,
    /// Whether what it finds goes to the others.
    pub(crate) is_handed_on: bool,
    /// Whether a gradual resume is led.
    pub(crate) is_led: bool,
    pub(crate) acts: Option<Act>,
    /// Whether the disk keeps renames whole.
    pub(crate) is_journal: bool,
}

impl Drop {
    fn path(&self) -> PathId {
        let file = self.file.parse().expect("a file name");
        intern::path(&layout().task(&worker(self.nth), self.place, &file))
    }

    fn text(&self) -> Text {
        let end = if self.is_whole { "}" } else { "" };
        let (mark, retries) = (self.mark, MAX_RETRIES);
        let text = format!(
            "{{\"prompt\":\"say hello\", \"note\":[1.50,{{ }}],\"max_retries\":{retries},\"mark\":\"{mark}\"{end}"
        );
        intern::text(text.as_bytes())
    }

    fn bring(&self, state: &mut State) {
        // Whoever drops a file does so at a moment of his own.
        let mtime = 1_000_000 + i64::from(u32::from(self.mark));
        let is_held = self.how == How::Moved;
        match self.how {
            How::Moved => state.disk.plant(self.path(), self.text(), mtime),
            How::Copied => state.disk.scribble(self.path(), self.text(), mtime),
        }
        state.dropped.push(Dropped {
            mark: self.mark,
            is_held,
            mtime,
            finished: false,
            reported: None,
            renewed: None,
        });
    }
}

impl Scenario {
    pub(crate) fn begin(&self, state: &mut State) {
        self.drops.iter().for_each(|it| it.bring(state));
    }

    pub(crate) fn come_late(&self, state: &mut State) {
        state.is_late = true;
        if let Some(late) = self.late.filter(|it| state.disk.number(it.path()).is_none()) {
            late.bring(state);
        }
    }

    /// Somebody writes another task into a file that waits.
    pub(crate) fn rewrite(state: &mut State, path: PathId) {
        state.is_scribbled = true;
        let new = Drop { mark: 'B', ..DROP };
        let mtime = 1_000_000 + i64::from(u32::from('B'));
        let old = state.disk.text(path).and_then(|it| intern::facts(it).mark);
        state.dropped.retain(|it| Some(it.mark) != old);
        state.disk.scribble(path, new.text(), mtime);
        state.dropped.push(Dropped {
            mark: 'B',
            is_held: false,
            mtime,
            finished: false,
            reported: None,
            renewed: None,
        });
    }

    /// How the agent of a task may end that is started now.
    pub(crate) fn endings(&self, task: Text) -> impl Iterator<Item = Ending> {
        let is_first = task_of(task).is_some_and(|it| it.record.attempts.len() < 2);
        let last = self.endings.len() - 1;
        self.endings[if is_first { 0 } else { last }..].iter().copied()
    }
}
