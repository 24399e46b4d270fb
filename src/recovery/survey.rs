//! Looking: what a dead watcher left behind. Changes nothing.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::witness::{Testimony, Witness};
use crate::os::trouble::{if_there, is_no_answer};
use crate::spool::Belief;
use crate::spool::found::FILE_LIMIT;
use crate::spool::input::Input;
use crate::spool::{Spool, Store};
use crate::task::{FileName, Place, RunId, TaskFile};

/// A file in `active/`.
#[derive(Debug)]
pub struct ActiveFile {
    /// Its name.
    pub file: FileName,
    /// Where it stands.
    pub path: PathBuf,
    /// Its content, or why it has none.
    pub task: Result<TaskFile, String>,
    /// Why nothing can be said of it now, if the disk did not answer.
    pub unread: Option<String>,
    /// Whether its record is ours.
    pub believed: bool,
    /// Where the same run is filed already.
    pub filed: Option<PathBuf>,
    /// Whether it also has its name in a queue: a move by link and unlink was cut in the middle.
    pub is_linked: bool,
    /// What is known of its open attempt.
    pub testimony: Option<Testimony>,
}

/// What lies about beside the files in `active/`, which are looked at one by one: there may be many thousands.
#[derive(Debug)]
pub struct Surroundings {
    /// Second homes of tasks that are worked on or filed: what a power cut brought back.
    pub ghosts: Vec<PathBuf>,
    /// Temporary files: of writes that were cut.
    pub temps: Vec<PathBuf>,
    /// Lock files that nobody holds.
    pub stale_locks: Vec<PathBuf>,
}

/// The files in `active/`, by name.
pub fn active<S: Store>(spool: &Spool<S>) -> io::Result<Vec<FileName>> {
    let mut files = spool.list(Place::Active)?;
    files.sort();
    Ok(files)
}

/// Looks at everything else of the spool's worker; `active` is what [`active`] found.
pub fn surroundings<S: Store>(spool: &Spool<S>, active: &[FileName]) -> io::Result<Surroundings> {
    Ok(Surroundings {
        ghosts: ghosts(spool, active)?,
        temps: temps_beside_tasks(spool)?,
        stale_locks: stale_locks(spool)?,
    })
}

/// Looks at one file in `active/`.
pub fn look_at<S: Store>(spool: &Spool<S>, witness: &impl Witness, file: FileName) -> ActiveFile {
    let path = spool.path(Place::Active, &file);
    let mut unread = None;
    let task = match spool.store().read(&path, FILE_LIMIT) {
        Ok((bytes, _)) => TaskFile::parse(&bytes).map_err(|error| error.to_string()),
        Err(error) => {
            unread = is_no_answer(&error).then(|| error.to_string());
            Err(error.to_string())
        }
    };
    let mut active = ActiveFile {
        file,
        path,
        task,
        unread,
        believed: false,
        filed: None,
        is_linked: false,
        testimony: None,
    };
    if active.unread.is_none()
        && let Err(error) = look_around(spool, witness, &mut active)
    {
        active.unread = Some(error.to_string());
    }
    active
}

/// What is known about a file beyond its content. An error is a disk that did not answer: whatever was found out until
/// then, nothing may be decided on it.
fn look_around<S: Store>(
    spool: &Spool<S>,
    witness: &impl Witness,
    active: &mut ActiveFile,
) -> io::Result<()> {
    if let Ok(task) = &active.task {
        // A run that another worker began goes through the queue, where it is made ours or left alone.
        active.believed = matches!(spool.belief(&active.file, task)?, Belief::Ours | Belief::Over);
    }
    let run = active.task.as_ref().ok().filter(|_| active.believed).and_then(|it| it.record.run_id);
    for twin in filed(spool, &active.file)? {
        if is_one_inode(spool, &active.path, &twin)? || is_run(spool, &twin, run)? {
            active.filed = Some(twin);
            break;
        }
    }
    for place in Place::QUEUES {
        active.is_linked |= is_one_inode(spool, &active.path, &spool.path(place, &active.file))?;
    }
    let attempt = active.task.as_ref().ok().and_then(|it| it.record.open_attempt());
    active.testimony = match run.zip(attempt) {
        Some((run, attempt)) => Some(witness.testify(run, attempt)?),
        None => None,
    };
    Ok(())
}

/// The names in the terminal places under which `file` may rest: its own, and the numbered ones.
fn filed<S: Store>(spool: &Spool<S>, file: &FileName) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for place in Place::TERMINAL {
        names.extend(spool.taken(place, file).map_err(|error| error.source)?);
    }
    Ok(names)
}

fn is_one_inode<S: Store>(spool: &Spool<S>, one: &Path, other: &Path) -> io::Result<bool> {
    let look = |path| if_there(spool.store().identity(path));
    Ok(match (look(one)?, look(other)?) {
        (Some(one), Some(other)) => one.is_same_inode(&other),
        _ => false,
    })
}

fn is_run<S: Store>(spool: &Spool<S>, path: &Path, run: Option<RunId>) -> io::Result<bool> {
    Ok(run.is_some() && spool.run_at(path)? == run)
}

/// Names in a queue that are second homes: of a task in `active/`, of one that is filed, or of one that was
/// being given another name.
fn ghosts<S: Store>(spool: &Spool<S>, active: &[FileName]) -> io::Result<Vec<PathBuf>> {
    let queues = Place::QUEUES.map(|place| spool.list(place).map(|files| (place, files)));
    let queues = queues.into_iter().collect::<io::Result<Vec<_>>>()?;
    let elsewhere = elsewhere(spool, &queues)?;
    let mut ghosts = Vec::new();
    for (place, files) in queues {
        for file in &files {
            let worked = active.binary_search(file).is_ok().then(|| spool.path(Place::Active, file));
            if worked.is_none() && !elsewhere.contains(file) {
                continue;
            }
            let path = spool.path(place, file);
            if is_second_home(spool, &path, file, worked.as_deref())? {
                ghosts.push(path);
            }
        }
        for numbered in &files {
            ghosts.extend(renamed_from(spool, place, numbered)?);
        }
    }
    Ok(ghosts)
}

/// The names in queues that stand in `staged/` or among what is filed too. The folders are read for it: of a backlog of a
/// hundred thousand each name would be asked for in each of them before the first task is claimed.
fn elsewhere<S: Store>(spool: &Spool<S>, queues: &[(Place, Vec<FileName>)]) -> io::Result<HashSet<FileName>> {
    let mut elsewhere = HashSet::new();
    if queues.iter().all(|(_, files)| files.is_empty()) {
        return Ok(elsewhere);
    }
    // Made when there is something to be held against it.
    let waiting: LazyCell<HashSet<&FileName>, _> =
        LazyCell::new(|| queues.iter().flat_map(|(_, files)| files).collect());
    for place in [Place::Staged].iter().chain(&Place::TERMINAL) {
        elsewhere.extend(spool.list(*place)?.into_iter().filter(|file| waiting.contains(file)));
    }
    Ok(elsewhere)
}

fn is_second_home<S: Store>(
    spool: &Spool<S>,
    queued: &Path,
    file: &FileName,
    worked: Option<&Path>,
) -> io::Result<bool> {
    if let Some(worked) = worked
        && is_same(spool, queued, worked)?
    {
        return Ok(true);
    }
    // What was let go counts, and what it was let go from is the rest of a move that was cut.
    let pending = spool.path(Place::Pending, file);
    if queued == pending && is_one_inode(spool, &pending, &spool.path(Place::Staged, file))? {
        return Ok(true);
    }
    for filed in filed(spool, file)? {
        if is_filed(spool, queued, &filed)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `queued` is the drop that rests as `filed`, and no later one: the numbers of inodes are used again, and a copy
/// may have the size and the time of its template each night.
fn is_filed<S: Store>(spool: &Spool<S>, queued: &Path, filed: &Path) -> io::Result<bool> {
    if is_one_inode(spool, queued, filed)? {
        return Ok(true);
    }
    let Some(task) = spool.task_at(filed)? else { return Ok(false) };
    let ended = task.record.attempts.last().and_then(|attempt| attempt.ended_at);
    let is_later = |changed: i128| ended.is_some_and(|ended| changed > ended.as_nanosecond());
    Ok(is_dropped_again(spool, queued, task.record.run_id)?
        && !spool.store().changed_ns(queued)?.is_some_and(|ns| is_later(ns.into())))
}

/// The name that a file had before it was given the numbered one, if it still stands under both.
fn renamed_from<S: Store>(
    spool: &Spool<S>,
    place: Place,
    numbered: &FileName,
) -> io::Result<Option<PathBuf>> {
    let first: Option<FileName> = format!("{}.json", numbered.base()).parse().ok();
    let Some(first) = first.filter(|it| it != numbered) else { return Ok(None) };
    let path = spool.path(place, &first);
    Ok(is_one_inode(spool, &path, &spool.path(place, numbered))?.then_some(path))
}

/// Whether the queued `path` is the same file or the same run as what is worked on, or the drop that it was claimed
/// from.
fn is_same<S: Store>(spool: &Spool<S>, path: &Path, worked: &Path) -> io::Result<bool> {
    if is_one_inode(spool, path, worked)? {
        return Ok(true);
    }
    // What cannot be read now is left where it is, and keeps anything of its name from being claimed.
    let run = spool.run_at(worked).unwrap_or_default();
    Ok(is_run(spool, path, run)? || is_dropped_again(spool, path, run)?)
}

/// Whether `path` is the very version of the very inode that `run` was claimed from.
fn is_dropped_again<S: Store>(spool: &Spool<S>, path: &Path, run: Option<RunId>) -> io::Result<bool> {
    let Some(run) = run else { return Ok(false) };
    let Some(input) = Input::read(spool.store(), spool.layout(), run)? else { return Ok(false) };
    if input.origin(spool.layout()) != path {
        return Ok(false);
    }
    Ok(if_there(spool.store().identity(path))?.is_some_and(|it| it.is_same_version(&input.dropped)))
}

/// What a cut left of files that were being written where none but the holder of the lock writes: in `active/`, beside
/// what is filed, and in `staged/`, where a root is tried out.
fn temps_beside_tasks<S: Store>(spool: &Spool<S>) -> io::Result<Vec<PathBuf>> {
    let places = [Place::Active, Place::Staged].iter().chain(&Place::TERMINAL);
    let mut temps = Vec::new();
    for place in places {
        temps.extend(temps_in(spool, &spool.layout().place(spool.worker(), *place))?);
    }
    Ok(temps)
}

/// The same in the folder of the run that a task was worked on in.
pub fn temps_of_run<S: Store>(spool: &Spool<S>, active: &ActiveFile) -> io::Result<Vec<PathBuf>> {
    let run = active.task.as_ref().ok().filter(|_| active.believed).and_then(|it| it.record.run_id);
    run.map_or(Ok(Vec::new()), |run| temps_in(spool, spool.layout().run(&run).dir()))
}

fn temps_in<S: Store>(spool: &Spool<S>, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let is_temp = |name: &OsStr| name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(b".tmp");
    let entries = spool.store().list(dir)?;
    Ok(entries.into_iter().filter(|entry| is_temp(&entry.name)).map(|entry| entry.path).collect())
}

fn stale_locks<S: Store>(spool: &Spool<S>) -> io::Result<Vec<PathBuf>> {
    let ours = format!("{}_", spool.worker());
    let is_lock =
        |name: &OsStr| name.as_bytes().starts_with(ours.as_bytes()) && name.as_bytes().ends_with(b".lock");
    let mut locks: Vec<_> = spool
        .store()
        .list(&spool.layout().locks())?
        .into_iter()
        .filter(|entry| is_lock(&entry.name))
        .map(|entry| entry.path)
        .filter(|path| !spool.store().is_held(path).unwrap_or(true))
        .collect();
    locks.sort();
    Ok(locks)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::plan::{Action, LivingAgents, Policy, decide};
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::layout::Layout;
    use crate::os::durable::Durability;
    use crate::spool::steps::Step;
    use crate::spool::store::{Entry, Identity};
    use crate::spool::{ClaimError, Claimed, Disk};
    use crate::task::{Attempt, Outcome, SessionId, Usage};

    /// A disk that answers nothing about one kind of file.
    struct Silent {
        disk: Disk,
        about: &'static str,
        asked: std::cell::Cell<usize>,
    }

    impl Store for Silent {
        fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
            self.disk.list(dir)
        }
        fn read(&self, path: &Path, limit: u64) -> io::Result<(Vec<u8>, Identity)> {
            if path.ends_with(self.about) {
                return Err(io::Error::from_raw_os_error(nix::libc::EIO));
            }
            self.disk.read(path, limit)
        }
        fn identity(&self, path: &Path) -> io::Result<Identity> {
            self.asked.set(self.asked.get() + 1);
            self.disk.identity(path)
        }
        fn perform(&self, step: &Step) -> io::Result<()> {
            self.disk.perform(step)
        }
    }

    struct Nobody;

    impl Witness for Nobody {
        fn testify(&self, _: RunId, _: &Attempt) -> io::Result<Testimony> {
            Ok(Testimony {
                liveness: super::super::Liveness::Dead,
                heard: None,
                tokens: None,
                strays: Vec::new(),
                is_oom_killed: false,
                pack: Box::default(),
                owed: None,
            })
        }
    }

    fn spool(root: &Path, about: &'static str) -> Spool<Silent> {
        let store = Silent { disk: Disk::new(root, Durability::None), about, asked: 0.into() };
        Spool::new(Layout::new(root), "marie".parse().unwrap(), store, Arc::new(SystemClock))
    }

    #[test]
    fn a_disk_that_does_not_answer_makes_no_task_a_forged_one() {
        let dir = tempfile::tempdir().unwrap();
        let file: FileName = "x.json".parse().unwrap();
        let whole = spool(dir.path(), "nothing");
        for place in whole.layout().worker_dirs(whole.worker()) {
            std::fs::create_dir_all(place).unwrap();
        }
        crate::os::durable::write_new(&whole.path(Place::Pending, &file), br#"{"prompt":"x"}"#, None)
            .unwrap();
        let begin = |_: &TaskFile, _| Attempt::open(1, SessionId::mint(), SystemClock.wall());
        assert!(matches!(whole.claim(Place::Pending, &file, begin), Ok(Claimed::Lease(_))));
        let policy = Policy {
            max_retries: 3,
            living: LivingAgents::Adopt,
            now: SystemClock.wall(),
            jitter: 0.0,
            failure: "worker_crash",
            redactor: crate::text::redact::Redactor::default(),
            unstarted: false,
        };
        for about in ["x.json", "input.json"] {
            let spool = spool(dir.path(), about);
            let actions = decide(&look_at(&spool, &Nobody, file.clone()), &policy);
            assert!(matches!(&actions[..], [Action::Leave { .. }]), "{about}: {actions:?}");
        }
        // Moved back by hand, its attempt open: it is not begun anew either.
        whole.move_back(&file).unwrap();
        let claimed = spool(dir.path(), "input.json").claim(Place::Pending, &file, begin);
        assert!(matches!(claimed, Err(ClaimError::Unreadable { .. })), "{claimed:?}");
        assert!(matches!(whole.claim(Place::Pending, &file, begin), Ok(Claimed::Open(_))));
    }

    #[test]
    fn a_task_that_was_filed_is_not_filed_again_for_a_disk_that_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let file: FileName = "x.json".parse().unwrap();
        let whole = spool(dir.path(), "nothing");
        for place in whole.layout().worker_dirs(whole.worker()) {
            std::fs::create_dir_all(place).unwrap();
        }
        crate::os::durable::write_new(&whole.path(Place::Pending, &file), br#"{"prompt":"x"}"#, None)
            .unwrap();
        let begin = |_: &TaskFile, _| Attempt::open(1, SessionId::mint(), SystemClock.wall());
        let Ok(Claimed::Lease(mut lease)) = whole.claim(Place::Pending, &file, begin) else {
            panic!("claimed")
        };
        let (outcome, usage) = (Outcome::completed("yes", None), Usage::default());
        whole.conclude(&mut lease.clone(), (&outcome, usage), None, |_| Ok(())).unwrap();
        // As if the syncs after the move had failed: it is tried again, and the filed one cannot be read now.
        let silent = spool(dir.path(), "x.json");
        let error = silent.conclude(&mut lease, (&outcome, usage), None, |_| Ok(())).unwrap_err();
        assert!(matches!(error.step, Step::Look(_)), "{error}");
        assert_eq!(whole.list(Place::Active).unwrap(), []);
        assert_eq!(whole.list(Place::Completed).unwrap(), [file]);
        whole.conclude(&mut lease, (&outcome, usage), None, |_| Ok(())).unwrap();
        assert_eq!(whole.list(Place::Completed).unwrap().len(), 1);
    }

    #[test]
    fn a_trial_of_the_root_that_was_killed_leaves_nothing_where_only_its_holder_writes() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path(), "nothing");
        for place in Place::OF_WORKER {
            let folder = spool.layout().place(spool.worker(), place);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::File::create(folder.join(".probe.7.1.tmp")).unwrap();
        }
        std::fs::create_dir_all(spool.layout().locks()).unwrap();
        let seen = surroundings(&spool, &[]).unwrap();
        let left =
            |place| seen.temps.contains(&spool.layout().place(spool.worker(), place).join(".probe.7.1.tmp"));
        // In `pending/` it may be the drop of somebody who still writes it: that is the retention's.
        for place in Place::OF_WORKER {
            assert_eq!(left(place), place != Place::Pending, "{place:?}");
        }
    }

    #[test]
    fn a_backlog_is_not_asked_for_name_by_name_and_a_second_home_in_it_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path(), "nothing");
        for place in Place::OF_WORKER {
            std::fs::create_dir_all(spool.layout().place(spool.worker(), place)).unwrap();
        }
        let name = |n: usize| format!("t{n}.json").parse::<FileName>().unwrap();
        for n in 0..200 {
            std::fs::File::create_new(spool.path(Place::Pending, &name(n))).unwrap();
        }
        std::fs::File::create_new(spool.path(Place::Failed, &name(3))).unwrap();
        for (n, place) in
            [(5, Place::Completed), (6, Place::Failed), (7, Place::Cancelled), (8, Place::Staged)]
        {
            std::fs::hard_link(spool.path(Place::Pending, &name(n)), spool.path(place, &name(n))).unwrap();
        }
        let mut seen = surroundings(&spool, &[]).unwrap().ghosts;
        seen.sort();
        assert_eq!(seen, [5, 6, 7, 8].map(|n| spool.path(Place::Pending, &name(n))));
        assert!(spool.store().asked.get() < 60, "asked {} times", spool.store().asked.get());
    }

    #[test]
    fn a_claim_that_could_not_be_undone_is_not_charged() {
        let attempt = Attempt::open(1, SessionId::mint(), SystemClock.wall());
        let mut task = TaskFile::parse(br#"{"prompt":"x"}"#).unwrap();
        task.begin_run(RunId::mint(), &"x".parse().unwrap(), SystemClock.wall());
        task.begin_attempt(attempt.clone());
        let active = ActiveFile {
            file: "x.json".parse().unwrap(),
            path: PathBuf::new(),
            testimony: Some(Nobody.testify(task.record.run_id.unwrap(), &attempt).unwrap()),
            task: Ok(task),
            unread: None,
            believed: true,
            filed: None,
            is_linked: false,
        };
        for unstarted in [false, true] {
            let (living, now) = (LivingAgents::Adopt, SystemClock.wall());
            let (failure, redactor) = ("worker_crash", crate::text::redact::Redactor::default());
            let policy = Policy { max_retries: 3, living, now, jitter: 0.0, failure, unstarted, redactor };
            let actions = decide(&active, &policy);
            let [Action::Requeue { charged, .. }] = &actions[..] else { panic!("{actions:?}") };
            assert_eq!(*charged, !unstarted);
        }
    }
}
