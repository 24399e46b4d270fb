//! Mending what is filed: the papers beside a task that can be written again from it, and the folder that its outcome
//! names. For whoever holds the worker's lock.
//!
//! Nothing here makes an outcome up: what a task file does not say is not mended.

use std::io;
use std::path::PathBuf;

use super::found::FILE_LIMIT;
use super::papers;
use super::queue::Spool;
use super::steps::{self, Papers};
use super::store::{StepError, Store};
use crate::task::{ErrorCode, FileName, Place, TaskFile, TaskState};

impl<S: Store> Spool<S> {
    /// Moves a filed task to the folder that its own outcome names; where it is then. The reason goes with it.
    pub fn refile(&self, place: Place, file: &FileName) -> Result<Option<PathBuf>, StepError> {
        let task = self.filed_task(place, file)?;
        let Some(home) = task.as_ref().and_then(|it| it.record.state).and_then(TaskState::terminal_place)
        else {
            return Ok(None);
        };
        if home == place {
            return Ok(None);
        }
        let name = self.free_name(home, file)?;
        let (from, to) = (self.path(place, file), self.path(home, &name));
        self.shift(&from, &to, &steps::transfer(&from, &to))?;
        if place == Place::Failed {
            self.store.perform_all(&steps::drop_ghost(&self.layout.reason(&self.worker, file)))?;
        }
        self.mend_papers(home, &name)?;
        Ok(Some(to))
    }

    /// Writes `result.json` and, in `failed/`, the reason again, from what the task file says.
    pub fn mend_papers(&self, place: Place, file: &FileName) -> Result<(), StepError> {
        let now = self.clock.wall();
        let task = self.filed_task(place, file)?.filter(|task| task.record.outcome().is_some());
        let mut mended = Papers::default();
        if let Some((task, run)) = task.as_ref().and_then(|it| it.record.run_id.map(|run| (it, run))) {
            let paths = self.layout.run(&run);
            // A run whose record went after its time stays gone.
            if self.store.find(paths.dir())?.is_some() {
                let beside = (self.acceptance(run, task), self.changes_of(run));
                let result = papers::result(&self.worker, (file, task), beside, now);
                mended.files.push((paths.result(), result));
            }
        }
        if place == Place::Failed {
            let why = "no reason was recorded when it was filed";
            let reason = task.as_ref().map_or_else(
                || papers::rejection(&self.worker, file, (ErrorCode::E002, why), now),
                |task| papers::reason(&self.worker, (file, file), task, now),
            );
            mended.files.push((self.layout.reason(&self.worker, file), reason));
        }
        self.store.perform_all(&steps::papers(mended))
    }

    /// The task at a name; `None` where what stands there is none.
    fn filed_task(&self, place: Place, file: &FileName) -> Result<Option<TaskFile>, StepError> {
        let path = self.path(place, file);
        match self.store.read(&path, FILE_LIMIT) {
            Ok((bytes, _)) => Ok(TaskFile::parse(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StepError::unseen(&path, error)),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::layout::Layout;
    use crate::os::durable::{Durability, write_new};
    use crate::spool::Disk;

    #[test]
    fn a_task_goes_where_its_outcome_belongs_and_gets_its_papers() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let spool = Spool::new(
            layout.clone(),
            "marie".parse().unwrap(),
            Disk::new(dir.path(), Durability::None),
            Arc::new(SystemClock),
        );
        for made in layout.worker_dirs(spool.worker()) {
            std::fs::create_dir_all(made).unwrap();
        }
        let file: FileName = "x.json".parse().unwrap();
        let text = br#"{"prompt":"x","state":"FAILED","error_code":"E006","failure_reason":"api down"}"#;
        write_new(&spool.path(Place::Completed, &file), text, None).unwrap();
        let to = spool.refile(Place::Completed, &file).unwrap();
        assert_eq!(to, Some(spool.path(Place::Failed, &file)));
        let reason = std::fs::read_to_string(layout.reason(spool.worker(), &file)).unwrap();
        assert!(reason.contains("api down"), "{reason}");
        assert_eq!(spool.refile(Place::Failed, &file).unwrap(), None, "it is at home");
    }
}
