//! Recovery on a real disk: states laid by hand, as a dead watcher, an operator or a stranger leaves them.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "lays files as people do, with what the shell would use; what fails here fails the test"
)]

use std::cell::RefCell;
use std::path::Path;

use agent_worker::clock::SystemClock;
use agent_worker::layout::Layout;
use agent_worker::os::durable::Durability;
use agent_worker::os::lock::Lock;
use agent_worker::os::process::ProcessId;
use agent_worker::recovery::plan::LivingAgents;
use agent_worker::recovery::{
    Action, ApplyError, Change, Hands, Plan, Policy, SystemWitness, apply, locks, planned,
};
use agent_worker::spool::{Claimed, Disk, Lease, Spool, Store};
use agent_worker::task::{
    Attempt, ErrorCode, FileName, Outcome, Place, SessionId, TaskFile, TaskState, Usage, WorkerName,
};
use agent_worker::text::redact::Redactor;

struct Root {
    dir: tempfile::TempDir,
    spool: Spool<Disk>,
}

#[derive(Default)]
struct Seen {
    said: RefCell<Vec<String>>,
    /// A full disk, for the journal alone; else the files that were noted, with their states, a list a note.
    refuses: bool,
    noted: RefCell<Vec<Noted>>,
}

type Noted = Vec<(FileName, Option<TaskState>)>;

impl Hands for Seen {
    fn end(&self, _: &FileName, _: &[ProcessId]) -> Vec<ProcessId> {
        Vec::new()
    }
    fn remove_lock(&self, path: &Path) {
        locks::remove_stale(path).unwrap();
    }
    fn clear_scratch(&self) {}
    fn note(&self, changes: &[Change<'_>]) -> std::io::Result<()> {
        if self.refuses {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let told = changes.iter().filter_map(|(action, task)| {
            Some((action.file()?.clone(), task.and_then(|task| task.record.state)))
        });
        self.noted.borrow_mut().push(told.collect());
        Ok(())
    }
    fn say(&self, line: &str) {
        self.said.borrow_mut().push(line.to_owned());
    }
}

fn x() -> FileName {
    "x.json".parse().unwrap()
}

fn root() -> Root {
    let dir = tempfile::tempdir().unwrap();
    let (layout, marie): (_, WorkerName) = (Layout::new(dir.path()), "marie".parse().unwrap());
    for folder in layout.common_dirs().into_iter().chain(layout.worker_dirs(&marie)) {
        std::fs::create_dir_all(folder).unwrap();
    }
    let spool = Spool::new(layout, marie, Disk::new(dir.path(), Durability::None), SystemClock::shared());
    Root { dir, spool }
}

impl Root {
    fn lay(&self, place: Place, text: &str) {
        std::fs::write(self.spool.path(place, &x()), text).unwrap();
    }

    fn plan(&self) -> Plan {
        let witness = SystemWitness::new(self.spool.layout().clone());
        let now = agent_worker::clock::Clock::wall(&SystemClock);
        let policy = Policy {
            max_retries: 3,
            living: LivingAgents::Adopt,
            now,
            jitter: 0.0,
            failure: "worker_crash",
            unstarted: false,
            redactor: Redactor::default(),
        };
        planned(&self.spool, &witness, &policy).unwrap()
    }

    /// What recovery said, but for the line about scratch, which always ends it.
    fn recover(&self) -> Vec<String> {
        let mut said = self.recover_aloud();
        assert_eq!(said.pop().as_deref(), Some("Clearing the scratch of runs that are over"));
        said
    }

    fn recover_aloud(&self) -> Vec<String> {
        let seen = Seen::default();
        apply(&self.spool, &self.plan(), &seen).unwrap();
        seen.said.into_inner()
    }

    fn claim(&self) -> Box<Lease> {
        let attempt = |task: &TaskFile, _| {
            let number = u32::try_from(task.record.attempts.len()).unwrap() + 1;
            Attempt::open(number, SessionId::mint(), agent_worker::clock::Clock::wall(&SystemClock))
        };
        match self.spool.claim(Place::Pending, &x(), attempt).unwrap() {
            Claimed::Lease(lease) => lease,
            Claimed::Open(file) => panic!("{file} has an open attempt"),
        }
    }

    fn read(&self, place: Place) -> TaskFile {
        TaskFile::parse(&std::fs::read(self.spool.path(place, &x())).unwrap()).unwrap()
    }

    /// Everywhere the file stands.
    fn homes(&self) -> Vec<Place> {
        let all = Place::QUEUES.into_iter().chain([Place::Active]).chain(Place::TERMINAL);
        all.filter(|place| self.spool.path(*place, &x()).exists()).collect()
    }

    fn stream(&self, lease: &Lease, text: &str) -> std::path::PathBuf {
        let stream = lease.paths(self.spool.layout()).stream(lease.number());
        std::fs::create_dir_all(stream.parent().unwrap()).unwrap();
        std::fs::write(&stream, text).unwrap();
        stream
    }
}

const TASK: &str = r#"{"prompt":"say hello","note":1.50}"#;

#[test]
fn a_wave_is_recorded_then_noted_as_a_whole_and_only_then_moved() {
    let root = root();
    root.lay(Place::Pending, TASK);
    root.claim();
    let other: FileName = "y.json".parse().unwrap();
    let active = |file: &FileName| root.spool.path(Place::Active, file);
    std::fs::write(active(&other), TASK).unwrap();
    let full = Seen { refuses: true, ..Seen::default() };
    let refused = apply(&root.spool, &root.plan(), &full).unwrap_err();
    assert!(matches!(&refused, ApplyError::Journal { file, .. } if file == "x.json and 1 more"), "{refused}");
    assert!(active(&other).exists(), "none of them is moved");
    assert_eq!(root.homes(), [Place::Active]);
    let recorded = root.read(Place::Active).record;
    assert_eq!((recorded.retry_count, recorded.state), (Some(1), Some(TaskState::Pending)));
    let seen = Seen::default();
    apply(&root.spool, &root.plan(), &seen).unwrap();
    assert_eq!(seen.noted.into_inner(), [[(x(), Some(TaskState::Pending)), (other.clone(), None)]]);
    assert!(root.spool.path(Place::Pending, &other).exists());
    assert_eq!(root.homes(), [Place::Pending]);
    assert_eq!(root.read(Place::Pending).record.retry_count, Some(1), "charged once");
}

#[test]
fn an_interrupted_task_goes_back_charged_once_and_in_its_place() {
    let root = root();
    root.lay(Place::Pending, TASK);
    let age = std::fs::metadata(root.spool.path(Place::Pending, &x())).unwrap().modified().unwrap();
    root.claim();
    let said = root.recover();
    assert_eq!(said, ["Moving x.json back to pending (worker_crash, charged)"]);
    assert_eq!(root.homes(), [Place::Pending]);
    let record = root.read(Place::Pending).record;
    assert_eq!((record.retry_count, record.state), (Some(1), Some(TaskState::Pending)));
    assert_eq!(record.failure_reason.as_deref(), Some("worker_crash"));
    assert!(record.last_failure.is_some());
    let again = std::fs::metadata(root.spool.path(Place::Pending, &x())).unwrap().modified().unwrap();
    assert_eq!(again, age, "it keeps its place in the queue");
    assert!(root.recover().is_empty(), "a second recovery finds nothing");
}

#[test]
fn what_is_printed_is_what_is_done() {
    let root = root();
    root.lay(Place::Pending, TASK);
    root.claim();
    let printed = root.plan().to_string();
    assert_eq!(root.homes(), [Place::Active], "a plan changes nothing");
    let done = root.recover_aloud();
    assert_eq!(printed.lines().collect::<Vec<_>>(), done);
}

#[test]
fn a_living_agent_is_left_to_be_adopted() {
    let root = root();
    root.lay(Place::Pending, TASK);
    let lease = root.claim();
    let held = Lock::try_exclusive(&root.stream(&lease, "")).unwrap().unwrap();
    assert!(matches!(root.plan().actions[..], [Action::Adopt { .. }, Action::ClearScratch]));
    root.recover();
    assert_eq!(root.homes(), [Place::Active]);
    drop(held);
    root.recover();
    assert_eq!(root.homes(), [Place::Pending]);
}

#[test]
fn a_result_that_nobody_read_is_filed_and_not_run_again() {
    let root = root();
    root.lay(Place::Pending, TASK);
    let lease = root.claim();
    let good = include_str!("fixtures/transcripts/success_text.ndjson");
    root.stream(&lease, good);
    root.recover();
    assert_eq!(root.homes(), [Place::Completed]);
    assert!(lease.paths(root.spool.layout()).result().exists());
}

#[test]
fn an_answer_that_is_to_be_verified_is_left_until_the_word_stands_beside_it() {
    let good = "{\"type\":\"result\",\"subtype\":\"success\",\"result\":\"done\"}\n";
    for (word, said, home) in [
        (None, "Leaving x.json to the next watcher: its answer is to be verified", Place::Active),
        // What a cut left of a word is none.
        (
            Some("{\"passed\":"),
            "Leaving x.json to the next watcher: its answer is to be verified",
            Place::Active,
        ),
        (
            Some(r#"{"command":["t"],"passed":true,"exit":0}"#),
            "Filing x.json as COMPLETED: its agent had come to an end",
            Place::Completed,
        ),
        (
            Some(r#"{"command":["t"],"passed":false,"exit":1,"tail":"no"}"#),
            "Moving x.json back to pending (the acceptance command `t` failed (exit status 1): no, charged)",
            Place::Pending,
        ),
    ] {
        let root = root();
        root.lay(Place::Pending, "{\"prompt\":\"p\"}");
        let lease = root.claim();
        root.stream(&lease, good);
        let paths = lease.paths(root.spool.layout());
        std::fs::write(paths.pack(1), r#"{"name":"a","file":"/packs/a.toml","verify":["t"]}"#).unwrap();
        if let Some(word) = word {
            std::fs::write(paths.verify(1), word).unwrap();
        }
        assert_eq!(root.recover(), [said], "{word:?}");
        assert_eq!(root.spool.list(home).unwrap(), [x()], "{word:?}");
        let told = apply(&root.spool, &root.plan(), &Seen::default()).unwrap();
        assert_eq!(told.living.len(), usize::from(home == Place::Active), "a watcher takes it up");
    }
}

#[test]
fn a_recorded_outcome_is_filed() {
    let root = root();
    root.lay(Place::Pending, TASK);
    let mut lease = root.claim();
    let outcome = Outcome::failed(ErrorCode::E002, "no");
    lease.task.conclude(&outcome, Usage::default(), agent_worker::clock::Clock::wall(&SystemClock));
    root.spool.update(&lease).unwrap();
    root.recover();
    assert_eq!(root.homes(), [Place::Failed]);
    assert!(root.dir.path().join("tasks/marie/failed/x.json.reason").exists());
}

#[test]
fn a_file_put_into_active_by_hand_goes_back_to_pending_untouched() {
    let root = root();
    root.lay(Place::Active, TASK);
    root.recover();
    assert_eq!(root.homes(), [Place::Pending]);
    assert_eq!(std::fs::read_to_string(root.spool.path(Place::Pending, &x())).unwrap(), TASK);
}

#[test]
fn what_is_no_task_in_active_goes_to_failed_with_its_reason() {
    let root = root();
    root.lay(Place::Active, "{\"prompt\":");
    root.recover();
    assert_eq!(root.homes(), [Place::Failed]);
    let reason = std::fs::read_to_string(root.dir.path().join("tasks/marie/failed/x.json.reason")).unwrap();
    assert!(reason.contains("E002"), "{reason}");
}

#[test]
fn a_task_that_an_operator_moves_back_begins_a_new_life() {
    let root = root();
    root.lay(Place::Pending, TASK);
    let mut first = root.claim();
    root.spool
        .conclude(&mut first, (&Outcome::failed(ErrorCode::E006, "api"), Usage::default()), None, |_| Ok(()))
        .unwrap();
    std::fs::rename(root.spool.path(Place::Failed, &x()), root.spool.path(Place::Pending, &x())).unwrap();
    assert!(root.recover().is_empty(), "it is no ghost");
    let second = root.claim();
    assert_ne!(second.run, first.run);
    assert_eq!((second.number(), second.task.record.retry_count), (1, Some(0)));
    assert_eq!(second.task.record.failure_reason, None);
}

/// As a template that is copied with its time every night: the number of its inode may be the last one's again.
#[test]
fn a_drop_that_looks_like_one_that_was_filed_before_is_a_task_of_its_own() {
    let root = root();
    root.lay(Place::Pending, TASK);
    let mut first = root.claim();
    let end = (&Outcome::completed("yes", None), Usage::default());
    root.spool.conclude(&mut first, end, Some(b"yes"), |_| Ok(())).unwrap();
    let ended = first.task.record.attempts[0].ended_at.unwrap().as_nanosecond();
    let pending = root.spool.path(Place::Pending, &x());
    let changed = |path: &Path| root.spool.store().changed_ns(path).unwrap().unwrap();
    // The kernel's clock for files goes in steps of some milliseconds.
    root.lay(Place::Pending, TASK);
    while i128::from(changed(&pending)) <= ended {
        root.lay(Place::Pending, TASK);
    }
    let paper = first.paths(root.spool.layout()).input();
    let mut input: serde_json::Value = serde_json::from_slice(&std::fs::read(&paper).unwrap()).unwrap();
    input["dropped"] = serde_json::to_value(root.spool.store().identity(&pending).unwrap()).unwrap();
    std::fs::write(&paper, input.to_string()).unwrap();
    root.recover();
    assert_eq!(root.homes(), [Place::Pending, Place::Completed]);
}

#[test]
fn what_was_filed_is_found_behind_a_gap_in_the_numbers() {
    let root = root();
    root.lay(Place::Pending, TASK);
    let mut lease = root.claim();
    let end = Outcome::completed("yes", None);
    let filed = root.spool.conclude(&mut lease, (&end, Usage::default()), Some(b"yes"), |_| Ok(())).unwrap();
    let numbered = filed.with_file_name("x~130.json");
    std::fs::rename(&filed, &numbered).unwrap();
    // Again, as where only the wait for the disk after the move failed.
    let again = root.spool.conclude(&mut lease, (&end, Usage::default()), Some(b"yes"), |_| Ok(()));
    assert_eq!(again.unwrap(), numbered);
}

#[test]
fn a_forged_run_is_not_believed() {
    let root = root();
    let forged = "01890000-0000-7000-8000-000000000000";
    root.lay(
        Place::Pending,
        &format!(r#"{{"prompt":"x","run_id":"{forged}","retry_count":9,"state":"RUNNING","note":1.50}}"#),
    );
    let lease = root.claim();
    assert_ne!(lease.run.to_string(), forged);
    assert_eq!(lease.task.record.retry_count, Some(0));
    let text = std::fs::read_to_string(root.spool.path(Place::Active, &x())).unwrap();
    assert!(text.contains("1.50") && !text.contains(forged), "{text}");
}

#[test]
fn filed_wins_over_worked_and_worked_over_queued() {
    let root = root();
    root.lay(Place::Pending, TASK);
    let mut lease = root.claim();
    let active = root.spool.path(Place::Active, &x());
    std::fs::copy(&active, root.spool.path(Place::Pending, &x())).unwrap();
    root.recover();
    assert_eq!(root.homes(), [Place::Pending]);
    assert_eq!(root.read(Place::Pending).record.retry_count, Some(1), "the worked one was kept");

    lease = {
        drop(lease);
        root.claim()
    };
    let worked = std::fs::read(&active).unwrap();
    root.spool
        .conclude(&mut lease, (&Outcome::completed("yes", None), Usage::default()), Some(b"yes"), |_| Ok(()))
        .unwrap();
    std::fs::write(&active, worked).unwrap();
    root.recover();
    assert_eq!(root.homes(), [Place::Completed]);
}

#[test]
fn a_move_by_link_and_unlink_that_was_cut_is_finished() {
    for (from, to) in [(Place::Pending, Place::Active), (Place::Active, Place::Pending)] {
        let root = root();
        root.lay(from, TASK);
        std::fs::hard_link(root.spool.path(from, &x()), root.spool.path(to, &x())).unwrap();
        root.recover();
        assert_eq!(root.homes(), [Place::Pending]);
        assert_eq!(root.claim().number(), 1);
    }
}

#[test]
fn only_locks_that_nobody_holds_are_removed() {
    let root = root();
    let locks = root.spool.layout().locks();
    for name in ["marie_watcher.lock", "marie_task_t1.lock", "anga_task_t2.lock", "supervisor.lock"] {
        std::fs::write(locks.join(name), "{}").unwrap();
    }
    let held = Lock::try_exclusive(&locks.join("marie_watcher.lock")).unwrap().unwrap();
    assert_eq!(root.recover(), ["Removing stale lock: marie_task_t1.lock"]);
    let mut left: Vec<_> =
        std::fs::read_dir(&locks).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["anga_task_t2.lock", "marie_watcher.lock", "supervisor.lock"]);
    drop(held);
}
