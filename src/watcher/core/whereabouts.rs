//! Where a task is that somebody calls by its name, as far as this worker has seen.

use super::Core;
use crate::task::{FileName, Place, WorkerName};

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is being worked on.
    Running(FileName),
    /// It is on its way from a queue, or back into one.
    OnItsWay(FileName),
    /// It waits.
    Waiting(Place, FileName),
    /// It is none of those.
    Elsewhere,
}

/// What a person calls a task: its name or its file's, and maybe the worker before it. `None` if it is another worker's.
pub fn name_of<'a>(worker: &WorkerName, called: &'a str) -> Option<&'a str> {
    let called = called.strip_suffix(".json").unwrap_or(called);
    match called.split_once('/') {
        Some((of, name)) => (of == worker.as_str() || of == "inbox").then_some(name),
        None => Some(called),
    }
}

impl Core {
    /// Where the task is that `name` means: one at work before one that waits, a file of that name before a task of
    /// another file.
    pub fn whereabouts(&self, name: &str) -> Whereabouts {
        let by_file = |file: &FileName| file.stem() == name;
        if let Some((file, _)) =
            self.running.iter().find(|(file, live)| by_file(file) || live.name.as_str() == name)
        {
            return Whereabouts::Running(file.clone());
        }
        let called_so =
            |task: &Option<crate::task::TaskName>| task.as_ref().is_some_and(|it| it.as_str() == name);
        if let Some((file, _)) = self.claiming.iter().find(|(file, task)| by_file(file) || called_so(task)) {
            return Whereabouts::OnItsWay(file.clone());
        }
        let file = format!("{name}.json").parse::<FileName>().ok();
        let by_file =
            file.and_then(|file| Place::QUEUES.into_iter().find_map(|it| self.queue.get(it, &file)));
        match by_file.or_else(|| self.queue.find(|head| head.name() == name)) {
            Some(head) => Whereabouts::Waiting(head.place, head.file.clone()),
            None => Whereabouts::Elsewhere,
        }
    }
}
