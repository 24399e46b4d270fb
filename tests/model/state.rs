//! Everything at one instant, and what is known of it.

use agent_worker::task::{FileName, Place, RunId, TaskFile};

use super::disk::Disk;
use super::intern::{self, PathId, Text, layout, worker};
use super::operations::Ending;
use super::promises::{self, Promise};
use super::town::Who;
use super::unfold::{Answer, Point, Request, Word};

/// One start of an agent.
pub(crate) type Key = (RunId, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "a table of facts, each true or not")]
pub(crate) struct Agent {
    pub(crate) key: Key,
    pub(crate) mark: char,
    pub(crate) ending: Ending,
    pub(crate) lives: bool,
    /// Whether its stream says how it ended.
    pub(crate) heard: bool,
    pub(crate) settled: bool,
    pub(crate) laid_by: bool,
}

impl Agent {
    pub(crate) const fn owes(self) -> bool {
        self.heard && !self.settled && matches!(self.ending, Ending::Owed | Ending::LaidBy)
    }
}

/// A file that somebody dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dropped {
    pub(crate) mark: char,
    /// Whether it is durable, so that nothing may lose it.
    pub(crate) is_held: bool,
    pub(crate) mtime: i64,
    /// Whether it has come to an end that no power cut takes back.
    pub(crate) finished: bool,
    /// Where it was told to be filed.
    pub(crate) reported: Option<PathId>,
    /// The life of which the end does not count any more.
    pub(crate) renewed: Option<RunId>,
}

/// A task that a watcher works on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Work {
    pub(crate) file: FileName,
    pub(crate) task: Text,
    pub(crate) key: Key,
    pub(crate) is_started: bool,
}

/// A watcher.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Watcher {
    pub(crate) is_up: bool,
    pub(crate) at: Option<Point>,
    pub(crate) works: Vec<Work>,
}

/// What may still happen that nobody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) kills: u8,
    pub(crate) powers: u8,
    pub(crate) sweeps: u8,
    pub(crate) acts: u8,
}

/// Everything at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) disk: Disk,
    pub(crate) watchers: [Watcher; 2],
    /// Who holds a worker's lock beside its watcher: the supervisor or an operator, and what they do.
    pub(crate) other: Option<(usize, Point)>,
    pub(crate) leader: Option<Point>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) crashed: Vec<Key>,
    pub(crate) budget: Budget,
    /// How many runs each worker began.
    pub(crate) runs: [u8; 2],
    pub(crate) deaths: u8,
    /// What was looked at in vain, and need not be looked at again before something changes.
    pub(crate) tried: Vec<(u8, PathId)>,
    /// Whether a power cut may have left two homes, and no recovery of that worker has come to its end since.
    pub(crate) lost_power: [bool; 2],
    pub(crate) is_ramped: bool,
    pub(crate) is_late: bool,
    /// Whether somebody wrote into a file that was dropped.
    pub(crate) is_scribbled: bool,
    pub(crate) broken: Option<Promise>,
}

impl State {
    pub(crate) fn agent(&self, key: Key) -> Option<&Agent> {
        self.agents.iter().find(|it| it.key == key)
    }

    pub(crate) fn agent_mut(&mut self, key: Key) -> Option<&mut Agent> {
        self.agents.iter_mut().find(|it| it.key == key)
    }

    pub(crate) fn drop_mut(&mut self, mark: char) -> Option<&mut Dropped> {
        self.dropped.iter_mut().find(|it| it.mark == mark)
    }

    pub(crate) fn is_locked(&self, nth: usize) -> bool {
        self.watchers[nth].is_up || self.other.is_some_and(|it| it.0 == nth)
    }

    pub(crate) fn point(&self, who: Who) -> Option<Point> {
        match who {
            Who::Watcher(nth) => self.watchers[nth].at,
            Who::Other => self.other.map(|it| it.1),
            Who::Leader => self.leader,
        }
    }

    pub(crate) fn put_point(&mut self, who: Who, point: Option<Point>) {
        match who {
            Who::Watcher(nth) => self.watchers[nth].at = point,
            Who::Other => self.other = self.other.zip(point).map(|((nth, _), point)| (nth, point)),
            Who::Leader => self.leader = point,
        }
    }

    /// Whether a lock is held that an operation asks about.
    pub(crate) fn is_held(&self, path: PathId) -> bool {
        let path = intern::path_of(path);
        let is_stream = |it: &Agent| layout().run(&it.key.0).stream(it.key.1) == path;
        let is_of = |nth: usize| {
            let is_task = |work: &Work| {
                let task = intern::facts(work.task).task.as_ref();
                task.is_some_and(|it| layout().task_lock(&worker(nth), &it.name(&work.file)) == path)
            };
            (self.is_locked(nth) && layout().worker(&worker(nth)) == path)
                || self.watchers[nth].works.iter().any(is_task)
        };
        self.agents.iter().any(|it| it.lives && is_stream(it)) || (0..2).any(is_of)
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        match request {
            Request::List(dir) => Answer::List(self.disk.list(*dir)),
            Request::Read(path) => Answer::Read(self.disk.read(*path)),
            Request::Identity(path) => Answer::Identity(self.disk.identity(*path)),
            Request::Held(path) => Answer::Held(self.is_held(*path)),
            Request::Testify(run, number) => Answer::Testimony(match self.agent((*run, *number)) {
                Some(agent) if agent.lives => Word::Lives,
                Some(agent) => Word::Dead { heard: agent.heard.then_some(agent.ending), owes: agent.owes() },
                None => Word::Dead { heard: None, owes: false },
            }),
            Request::Perform(_) => unreachable!("a step is no question"),
        }
    }

    /// The files in the queues of a worker.
    pub(crate) fn queued(&self, nth: usize) -> impl Iterator<Item = PathId> + '_ {
        let resume = intern::path(&layout().resume(&worker(nth)));
        let only_staged = self.disk.text(resume).is_some();
        self.disk.files().map(|it| it.0).filter(move |path| {
            intern::home(*path).is_some_and(|(of, place, _)| {
                let is_ours = *place == Place::Inbox || *of == nth;
                let is_allowed = !only_staged || *place == Place::Staged;
                is_ours && is_allowed && Place::QUEUES.contains(place)
            })
        })
    }

    pub(crate) fn kill(&mut self, who: Who) {
        match who {
            Who::Watcher(nth) => self.watchers[nth] = Watcher::default(),
            Who::Other => self.other = None,
            Who::Leader => self.leader = None,
        }
        self.deaths += 1;
        self.tried.clear();
    }

    /// Takes down which attempts crashed: nobody runs them any more, and they did not say how they ended.
    pub(crate) fn note_crashes(&mut self) {
        for home in promises::homes(&self.disk) {
            let Some(record) = intern::facts(home.text).task.as_ref().map(|it| &it.record) else { continue };
            let open = record.open_attempt().zip(record.run_id).map(|(open, run)| (run, open.number));
            let Some(key) = open.filter(|_| home.place == Place::Active) else { continue };
            let is_crash = self.agent(key).is_some_and(|it| !it.lives && !it.heard);
            if is_crash && !self.crashed.contains(&key) {
                self.crashed.push(key);
                self.crashed.sort_unstable();
            }
        }
    }

    /// Takes down what has come to its end.
    pub(crate) fn note_ends(&mut self) {
        let renewed: Vec<RunId> = self.dropped.iter().filter_map(|it| it.renewed).collect();
        let mut ended: Vec<char> =
            self.agents.iter().filter(|it| it.heard && it.ending.is_done()).map(|it| it.mark).collect();
        for home in promises::homes(&self.disk) {
            let task = intern::facts(home.text).task.as_ref();
            let is_of_queue = Place::QUEUES.contains(&home.place);
            let counts = |it: &&TaskFile| it.record.run_id.is_none_or(|run| !renewed.contains(&run));
            if !is_of_queue && task.filter(counts).is_some_and(|it| it.record.outcome().is_some()) {
                ended.push(home.mark);
            }
        }
        for dropped in self.dropped.iter_mut().filter(|it| ended.contains(&it.mark)) {
            dropped.finished = true;
        }
    }
}
