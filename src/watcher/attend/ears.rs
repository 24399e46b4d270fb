//! The pipes of one run: on one people say something to its agent, on the other the agent says something to its worker.
//!
//! | pipe | is there | a line is |
//! |---|---|---|
//! | `pipes/<worker>_<task>.in` | while the agent can hear | the next message, or an object with an `op` |
//! | `artifacts/<run_id>/pipes/agent.in` | while the agent lives | what `docs/pipes.md` lets an agent say |
//!
//! Invariants:
//! - a pipe that cannot be made costs the pipe and not the run, and is told once;
//! - what comes in is bounded each time, so that whoever floods a pipe does not keep the run from its agent.
//!
//! It deliberately does not know what a line does.

use std::time::Duration;

use super::{Begin, Run};
use crate::clock::Ticks;
use crate::config::PipeAccess;
use crate::layout::Layout;
use crate::os::folder::Folder;
use crate::pipe::framing::{Framed, Unfit};
use crate::pipe::inlet::Inlet;
use crate::pipe::place::{Notice, Place};
use crate::task::WorkerName;

/// Removes the pipes of runs that ended with a watcher before us: whoever finds one would speak to nobody. Only named pipes
/// of ours whose name no other worker's can have, since a worker's name has no underscore.
pub(in crate::watcher) fn sweep(layout: &Layout, worker: &WorkerName) {
    let Ok(folder) = Folder::open_to_read(layout.root(), &layout.pipes()) else { return };
    let (own, unfinished) = (format!("{worker}_"), format!(".{worker}_"));
    for name in folder.names().unwrap_or_default() {
        let Some(text) = name.to_str() else { continue };
        let is_ours = text.starts_with(&own) && text.strip_suffix(".in").is_some()
            || text.starts_with(&unfinished) && text.ends_with(".in.new");
        if is_ours && folder.look(&name).is_ok_and(|it| it.is_some_and(|it| it.is_fifo())) {
            match folder.remove(&name) {
                Ok(()) => tracing::debug!(pipe = text, "removed the pipe of a run that is gone"),
                Err(error) => {
                    tracing::warn!(pipe = text, error = %error, "could not remove the pipe of a run that is gone; remove it by hand");
                }
            }
        }
    }
}

/// Between two looks at the pipes themselves.
const LOOK: Duration = Duration::from_secs(1);

/// The agent's own pipe is for the agent, which runs as we do.
const OWN: PipeAccess = PipeAccess { mode: 0o600, group: None };

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// Whoever may write into `pipes/`.
    People,
    /// The agent.
    Agent,
}

/// One of the pipes.
#[derive(Debug)]
struct Ear {
    speaker: Speaker,
    inlet: Inlet,
    /// What was wrong with it last, so that it is told once.
    trouble: Option<String>,
}

/// The pipes of a run.
#[derive(Debug)]
pub(super) struct Ears {
    pipes: Vec<Ear>,
    next: Ticks,
    /// What was noticed before anybody asked.
    early: Vec<Notice>,
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The lines, each with who said it.
    pub(super) lines: Vec<(Speaker, String)>,
    /// What was passed over.
    pub(super) unfit: Vec<(Speaker, Unfit)>,
    /// What somebody should know of the pipes.
    pub(super) notices: Vec<Notice>,
}

impl Ears {
    /// The pipe for people too only where the agent can hear.
    pub(super) fn of(run: &Run) -> Self {
        let layout = run.ctx.layout();
        let agent = run.lease.paths(layout).agent_pipe();
        let mut pipes = vec![(Speaker::Agent, agent, OWN)];
        if run.begin != Begin::Adopt {
            let people = layout.task_pipe(&run.lease.worker, &run.lease.name);
            pipes.push((Speaker::People, people, run.ctx.config.pipes));
        }
        let ears = pipes.into_iter().map(|(speaker, path, access)| Ear {
            speaker,
            inlet: Inlet::new(Place::new(layout.root(), &path, access)),
            trouble: None,
        });
        Self { pipes: ears.collect(), next: Ticks::default(), early: Vec::new() }
    }

    /// Makes the agent's own pipe, which is there before the agent is.
    pub(super) fn open_own(&mut self, now: Ticks) {
        for ear in self.pipes.iter_mut().filter(|ear| ear.speaker == Speaker::Agent) {
            ear.look(now, &mut self.early, &mut Vec::new());
        }
    }

    /// Waits until something is said.
    pub(super) async fn readable(&self) {
        let first = async {
            match self.pipes.first() {
                Some(ear) => ear.inlet.readable().await,
                None => std::future::pending().await,
            }
        };
        let second = async {
            match self.pipes.get(1) {
                Some(ear) => ear.inlet.readable().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = first => {}
            () = second => {}
        }
    }

    /// When the pipes are to be looked at, or half a line is to be given up.
    pub(super) fn due(&self) -> Ticks {
        self.pipes.iter().filter_map(|ear| ear.inlet.due()).fold(self.next, Ticks::min)
    }

    /// Takes in what was said, and sees now and then that the pipes stand where they should.
    pub(super) fn hear(&mut self, now: Ticks) -> Heard {
        let mut heard = Heard { notices: std::mem::take(&mut self.early), ..Heard::default() };
        let is_due = now >= self.next;
        if is_due {
            self.next = now.plus(LOOK);
        }
        for ear in &mut self.pipes {
            let mut lines = Vec::new();
            if is_due {
                ear.look(now, &mut heard.notices, &mut lines);
            }
            ear.inlet.read(now, &mut lines);
            for line in lines {
                match line {
                    Ok(line) => heard.lines.push((ear.speaker, line)),
                    Err(unfit) => heard.unfit.push((ear.speaker, unfit)),
                }
            }
        }
        heard
    }

    /// The agent cannot hear any more: nobody finds a pipe to say something.
    pub(super) fn close_to_people(&mut self) {
        if let Some(at) = self.pipes.iter().position(|ear| ear.speaker == Speaker::People) {
            self.pipes.remove(at).inlet.remove();
        }
    }

    /// The agent is gone.
    pub(super) fn close(&mut self) {
        self.pipes.drain(..).for_each(|ear| ear.inlet.remove());
    }
}

impl Ear {
    fn look(&mut self, now: Ticks, notices: &mut Vec<Notice>, lines: &mut Vec<Framed>) {
        let trouble = self.inlet.look(now, notices, lines).err();
        let told = trouble.as_ref().map(ToString::to_string);
        if let Some(error) = trouble.filter(|_| told != self.trouble) {
            notices.push(Notice { message: error.to_string(), remedy: error.remedy });
        }
        self.trouble = told;
    }
}
