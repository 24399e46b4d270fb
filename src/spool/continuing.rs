//! A task that ended and begins a new life with the conversation of its last one.
//!
//! Whose new life goes on so is marked beside the record of the old one, which nobody else writes, before the task is moved:
//! what stands in a dropped file could be anybody's. The claim that begins the new life takes the mark along into its
//! `input.json` (`continues`), so whoever has that run later finds the other.

use std::io;

use serde::Deserialize;

use super::belief::Belief;
use super::input::Input;
use super::queue::Spool;
use super::steps::{self, Papers};
use super::store::{StepError, Store};
use crate::layout::Layout;
use crate::os::trouble::if_there;
use crate::task::{Attempt, FileName, Place, RunId, TaskFile};

/// How many lives back are looked for.
const LIVES: usize = 64;

/// The attempts of a run that has ended.
#[derive(Debug, Deserialize)]
struct Ended {
    attempts: Vec<Attempt>,
}

impl<S: Store> Spool<S> {
    /// As [`Spool::renew`], but the new life goes on with the conversation of this one.
    pub fn go_on(
        &self,
        place: Place,
        file: &FileName,
        note: impl FnOnce(Option<&TaskFile>) -> io::Result<()>,
    ) -> Result<FileName, StepError> {
        if let Some(run) = self.ended_run(place, file)? {
            let mark = self.layout.run(&run).continued();
            self.store.perform_all(&Papers { files: vec![(mark, Vec::new())] }.steps())?;
        }
        self.begin_again(place, file, note)
    }

    /// The run that ended in this file, if its record bears that out.
    fn ended_run(&self, place: Place, file: &FileName) -> Result<Option<RunId>, StepError> {
        let path = self.path(place, file);
        let unseen = |source| StepError::unseen(&path, source);
        let read = if_there(self.store.read(&path, super::found::FILE_LIMIT)).map_err(unseen)?;
        let Some(task) = read.and_then(|(bytes, _)| TaskFile::parse(&bytes).ok()) else { return Ok(None) };
        let is_ours = matches!(self.belief(file, &task).map_err(unseen)?, Belief::Ours);
        Ok(task.record.run_id.filter(|_| is_ours && task.record.outcome().is_some()))
    }

    /// Forgets that a new life was to go on: this one does not.
    pub(super) fn start_over(&self, place: Place, file: &FileName) -> Result<(), StepError> {
        if let Some(run) = self.ended_run(place, file)? {
            let mark = self.layout.run(&run).continued();
            if self.store.find(&mark)?.is_some() {
                self.store.perform_all(&steps::drop_ghost(&mark))?;
            }
        }
        Ok(())
    }

    /// Whether the new life of `task`, which ended in the run that it names, goes on with that.
    pub(super) fn continues(&self, task: &TaskFile) -> io::Result<Option<RunId>> {
        let Some(run) = task.record.run_id.filter(|_| task.record.outcome().is_some()) else {
            return Ok(None);
        };
        let found = if_there(self.store.identity(&self.layout.run(&run).continued()))?;
        Ok(found.map(|_| run))
    }

    /// The mark has done its work.
    pub(super) fn took_along(&self, run: RunId) {
        self.store.perform(&steps::Step::Remove(self.layout.run(&run).continued())).ok();
    }
}

/// The lives before `run`, the last one first.
pub fn lives_before(store: &impl Store, layout: &Layout, run: RunId) -> io::Result<Vec<RunId>> {
    let mut lives = Vec::new();
    let mut at = run;
    while let Some(before) = Input::read(store, layout, at)?.and_then(|input| input.continues) {
        if lives.len() == LIVES || lives.contains(&before) || before == run {
            break;
        }
        lives.push(before);
        at = before;
    }
    Ok(lives)
}

/// The attempts of a run that has ended, as its result has them; none where there is none.
pub fn attempts_of(layout: &Layout, run: RunId) -> io::Result<Vec<Attempt>> {
    let bytes = if_there(std::fs::read(layout.run(&run).result()))?;
    let ended = bytes.and_then(|bytes| serde_json::from_slice::<Ended>(&bytes).ok());
    Ok(ended.map(|it| it.attempts).unwrap_or_default())
}
