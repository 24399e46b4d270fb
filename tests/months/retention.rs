//! What is done with goes after its time, and nothing else does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_worker::clock::Timestamp;
use agent_worker::config::{Kind, Limit};
use agent_worker::layout::Layout;
use agent_worker::os::lock::Lock;
use agent_worker::retention::{Applied, Keep, Plan, Round, Scope, What};
use agent_worker::task::{RunId, WorkerName};
use serde_json::{Value, json};

use crate::names;

const DAY: Duration = Duration::from_hours(24);
/// Old is what is older than this, in these tests.
const MONTH: Limit = Limit { age: Some(Duration::from_hours(30 * 24)), bytes: None };

/// A root, seen 100 days from now.
struct Later {
    dir: tempfile::TempDir,
    layout: Layout,
    marie: WorkerName,
    now: Timestamp,
}

impl Later {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("aw-").tempdir_in("/tmp").unwrap();
        let layout = Layout::new(dir.path());
        for worker in ["marie", "anga"] {
            for made in layout.worker_dirs(&worker.parse().unwrap()) {
                fs::create_dir_all(made).unwrap();
            }
        }
        for made in layout.common_dirs() {
            fs::create_dir_all(made).unwrap();
        }
        let now = Timestamp::try_from(std::time::SystemTime::now() + DAY * 100).unwrap();
        Self { dir, layout, marie: "marie".parse().unwrap(), now }
    }

    fn round(&self) -> Round<'_> {
        Round::begin(Scope {
            layout: &self.layout,
            worker: &self.marie,
            log_dir: self.dir.path(),
            scratch: self.dir.path(),
            now: self.now,
        })
    }

    /// A run of `worker` with a record and a workspace.
    fn run(&self, worker: &str) -> RunId {
        let run = RunId::mint();
        let paths = self.layout.run(&run);
        fs::create_dir_all(paths.attempt(1)).unwrap();
        fs::write(paths.stream(1), "{}\n").unwrap();
        let input = json!({
            "run_id": run, "task": "x", "worker": worker, "file": "x.json", "content": {"prompt": "x"},
            "claimed_at": "2026-01-01T00:00:00Z", "dropped_at": "tasks/marie/pending/x.json",
            "dropped": {"dev": 1, "inode": 1, "size": 1, "mtime_ns": 1},
        });
        fs::write(paths.input(), input.to_string()).unwrap();
        fs::create_dir_all(self.layout.workspace(&run)).unwrap();
        fs::write(self.layout.workspace(&run).join("made"), "by the agent").unwrap();
        run
    }

    /// A task file at `place`, such as `marie/failed`, that names `run`.
    fn task(&self, place: &str, name: &str, run: RunId) -> PathBuf {
        let path = self.layout.tasks().join(place).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, json!({"prompt": "x", "run_id": run}).to_string()).unwrap();
        path
    }

    fn plan(&self, kind: Kind) -> Plan {
        self.round().plan(kind, MONTH, &mut || true).unwrap()
    }

    /// Plans and applies every kind but the failed tasks.
    fn prune(&self) {
        let mut round = self.round();
        round.mend();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Failed) {
            let plan = round.plan(kind, MONTH, &mut || true).unwrap();
            let applied = apply(&mut round, &plan);
            assert_eq!(applied.refused, 0, "{:?}", applied.told);
        }
    }

    fn has(&self, run: RunId) -> (bool, bool) {
        (self.layout.run(&run).input().exists(), self.layout.workspace(&run).join("made").exists())
    }
}

fn apply(round: &mut Round<'_>, plan: &Plan) -> Applied {
    round.apply(plan, &mut |_| {}, &mut || true)
}
#[test]
fn a_run_stays_while_any_task_that_may_need_it_names_it() {
    for (place, keep) in [
        (".", Keep::Needed),
        ("marie/pending", Keep::Needed),
        ("marie/staged", Keep::Needed),
        ("marie/active", Keep::Needed),
        ("anga/pending", Keep::Needed),
        ("anga/active", Keep::Needed),
        ("marie/parked-by-hand", Keep::Needed),
        ("marie/failed", Keep::Failed),
        ("anga/failed", Keep::Failed),
    ] {
        let later = Later::new();
        let run = later.run("marie");
        let task = later.task(place, "x.json", run);
        for kind in [Kind::Artifacts, Kind::Workspaces] {
            let plan = later.plan(kind);
            assert!(plan.go.is_empty() && plan.stay.contains_key(&keep), "{place} {kind}: {plan:?}");
        }
        later.prune();
        assert_eq!(later.has(run), (true, true), "{place}");
        assert!(task.exists(), "{place}");
        // Taken out by its operator: from now on it is one like the others.
        fs::remove_file(&task).unwrap();
        later.prune();
        assert_eq!(later.has(run), (false, false), "{place}");
    }
}

#[test]
fn a_finished_task_and_its_run_go_after_their_time() {
    let later = Later::new();
    let run = later.run("marie");
    let (done, failed) = (
        later.task("marie/completed", "x.json", run),
        later.task("marie/failed", "y.json", later.run("marie")),
    );
    let others = later.task("anga/completed", "x.json", later.run("anga"));
    later.prune();
    assert!(!done.exists() && failed.exists());
    assert_eq!(later.has(run), (false, false));
    assert!(others.exists(), "another worker's are another worker's");
    assert_eq!(names(&later.layout.artifacts()).len(), 2, "the failed one's, and anga's");
    assert_eq!(names(done.parent().unwrap()), BTreeSet::new(), "no hidden name is left");
}

#[test]
fn a_run_of_nobody_goes_and_one_whose_agent_lives_stays() {
    let later = Later::new();
    let (gone, lives) = (later.run("marie"), later.run("marie"));
    fs::remove_file(later.layout.run(&gone).input()).unwrap();
    let stranger = later.run("bob");
    let lock = Lock::try_exclusive(&later.layout.run(&lives).stream(1)).unwrap().unwrap();
    assert!(later.plan(Kind::Artifacts).stay.contains_key(&Keep::Locked));
    later.prune();
    assert!(!later.layout.run(&gone).dir().exists(), "without a record of whose it was");
    assert!(!later.layout.run(&stranger).dir().exists(), "of a worker that is no more");
    assert_eq!(later.has(lives), (true, true));
    drop(lock);
    later.prune();
    assert_eq!(later.has(lives), (false, false));
}

#[test]
fn where_the_queues_do_not_answer_no_run_goes() {
    let later = Later::new();
    let run = later.run("marie");
    // A file that stands under two names may be on its way between them: it cannot be read as one.
    let first = later.task("anga/pending", "x.json", run);
    fs::hard_link(&first, first.with_file_name("y.json")).unwrap();
    assert!(later.round().fault().is_some());
    assert!(later.plan(Kind::Artifacts).stay.contains_key(&Keep::Unknown));
    later.prune();
    assert_eq!(later.has(run), (true, true));
}

#[test]
fn a_run_that_is_needed_again_between_the_plan_and_its_doing_is_given_back() {
    for lands_in in ["marie/pending", "anga/active"] {
        let later = Later::new();
        let run = later.run("marie");
        for kind in [Kind::Workspaces, Kind::Artifacts] {
            let mut round = later.round();
            let plan = round.plan(kind, MONTH, &mut || true).unwrap();
            assert_eq!(plan.go.len(), 1);
            later.task(lands_in, "back.json", run);
            let applied = apply(&mut round, &plan);
            assert_eq!((applied.gone.count, applied.stayed), (0, 1), "{lands_in}");
            fs::remove_file(later.layout.tasks().join(lands_in).join("back.json")).unwrap();
        }
        assert_eq!(later.has(run), (true, true), "{lands_in}");
        assert_eq!(names(&later.layout.artifacts()).len(), 1, "no hidden name is left");
    }
}

#[test]
fn a_file_that_took_the_name_since_it_was_seen_stays() {
    let later = Later::new();
    let path = later.task("marie/completed", "x.json", RunId::mint());
    let mut round = later.round();
    let plan = round.plan(Kind::Completed, MONTH, &mut || true).unwrap();
    fs::write(path.with_file_name("new"), "another").unwrap();
    fs::rename(path.with_file_name("new"), &path).unwrap();
    let applied = apply(&mut round, &plan);
    assert_eq!((applied.gone.count, applied.stayed), (0, 1));
    assert_eq!(fs::read_to_string(&path).unwrap(), "another");
    assert_eq!(names(path.parent().unwrap()), BTreeSet::from(["x.json".to_owned()]));
}

#[test]
fn a_task_that_is_moved_back_in_the_very_moment_is_moved_or_gone_and_never_both() {
    let later = Later::new();
    let tasks = 400;
    let completed = later.layout.tasks().join("marie/completed");
    let pending = later.layout.tasks().join("marie/pending");
    for n in 0..tasks {
        later.task("marie/completed", &format!("t{n:03}.json"), RunId::mint());
    }
    let gone = std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            // From the other end, so that the two meet.
            let moved = (0..tasks).rev().map(|n| format!("t{n:03}.json"));
            moved.filter(|name| fs::rename(completed.join(name), pending.join(name)).is_ok()).count()
        });
        let mut round = later.round();
        let plan = round.plan(Kind::Completed, MONTH, &mut || true).unwrap();
        let applied = apply(&mut round, &plan);
        assert_eq!(applied.refused, 0, "{:?}", applied.told);
        (applied.gone.count, mover.join().unwrap())
    });
    assert_eq!(names(&pending).len(), gone.1);
    assert_eq!(names(&completed), BTreeSet::new());
    assert_eq!(usize::try_from(gone.0).unwrap() + gone.1, tasks, "each is in one place, or pruned");
}

#[test]
fn what_a_dead_pruner_had_taken_is_judged_anew() {
    let later = Later::new();
    let (needed, over) = (later.run("marie"), later.run("marie"));
    later.task("anga/pending", "x.json", needed);
    let hide = |path: &Path| {
        let name = format!(".{}.pruned", path.file_name().unwrap().to_str().unwrap());
        fs::rename(path, path.with_file_name(name)).unwrap();
    };
    for run in [needed, over] {
        hide(later.layout.run(&run).dir());
        hide(&later.layout.workspace(&run));
    }
    let young = later.task("marie/cancelled", "young.json", RunId::mint());
    hide(&young);
    let mut round = later.round();
    round.mend();
    assert_eq!(later.has(needed), (true, true));
    assert!(young.exists());
    let plan = round.plan(Kind::Leftovers, MONTH, &mut || true).unwrap();
    apply(&mut round, &plan);
    assert_eq!(names(&later.layout.artifacts()), BTreeSet::from([needed.to_string()]));
    assert_eq!(names(&later.layout.workspaces()), BTreeSet::from([needed.to_string()]));
}

#[test]
fn a_pruner_that_is_killed_again_and_again_comes_to_its_end() {
    let later = Later::new();
    let run = later.run("marie");
    let workspace = later.layout.workspace(&run);
    for n in 0..60 {
        let dir = workspace.join(format!("d{n}"));
        fs::create_dir(&dir).unwrap();
        (0..50).for_each(|n| fs::write(dir.join(n.to_string()), "x").unwrap());
    }
    let mut slice = 7;
    for _ in 0..100 {
        let mut round = later.round();
        round.mend();
        let mut left = slice;
        let mut go_on = || {
            left -= 1;
            left > 0
        };
        for kind in [Kind::Workspaces, Kind::Artifacts, Kind::Leftovers] {
            let Some(plan) = round.plan(kind, MONTH, &mut || true) else { continue };
            round.apply(&plan, &mut |_| {}, &mut go_on);
        }
        slice += 20;
    }
    assert_eq!(names(&later.layout.workspaces()), BTreeSet::new());
    assert_eq!(names(&later.layout.artifacts()), BTreeSet::new());
}

#[test]
fn left_overs_go_and_what_only_looks_like_them_stays() {
    let later = Later::new();
    let folder = later.layout.worker(&later.marie);
    for n in 0..25 {
        fs::write(folder.join(format!("panic-{n}.txt")), "x").unwrap();
    }
    fs::write(folder.join(".heartbeat.json.123.4.tmp"), "x").unwrap();
    fs::write(folder.join("heartbeat.json"), "{}").unwrap();
    let pending = later.layout.tasks().join("marie/pending");
    fs::write(pending.join(".mine.tmp"), "somebody's own way to drop").unwrap();
    let failed = later.layout.tasks().join("marie/failed");
    fs::write(failed.join("gone.json.reason"), "{}").unwrap();
    later.task("marie/failed", "there.json", RunId::mint());
    fs::write(failed.join("there.json.reason"), "{}").unwrap();
    // A lasting fault: the record remembers the first attempt and the last fifty.
    let run = later.run("marie");
    let numbers: Vec<u32> = std::iter::once(1).chain(151..=200).collect();
    let attempts: Vec<Value> = numbers.iter().map(|n| json!({"number": n, "session_id": RunId::mint(), "started_at": "2026-01-01T00:00:00Z", "outcome": "deferred"})).collect();
    fs::write(
        pending.join("x.json"),
        json!({"prompt": "x", "run_id": run, "attempts": attempts}).to_string(),
    )
    .unwrap();
    (1..=201).for_each(|n| fs::create_dir_all(later.layout.run(&run).attempt(n)).unwrap());
    later.prune();
    assert_eq!(names(&folder).iter().filter(|name| name.starts_with("panic-")).count(), 20);
    assert!(!folder.join(".heartbeat.json.123.4.tmp").exists() && folder.join("heartbeat.json").exists());
    assert_eq!(names(&pending), BTreeSet::from([".mine.tmp".to_owned(), "x.json".to_owned()]));
    assert_eq!(names(&failed), BTreeSet::from(["there.json".to_owned(), "there.json.reason".to_owned()]));
    let left = names(later.layout.run(&run).dir());
    let kept = |n: u32| left.contains(&format!("attempt-{n}"));
    assert!(kept(1) && !kept(2) && !kept(150) && kept(151) && kept(200) && kept(201), "{left:?}");
}

#[test]
fn the_journal_goes_by_its_days_and_never_today() {
    let later = Later::new();
    let journal = later.layout.journal_dir(&later.marie);
    let today = later.now.strftime("%Y-%m-%d").to_string();
    for day in ["2020-01-01", &today] {
        fs::write(journal.join(format!("{day}.ndjson")), "{}\n").unwrap();
    }
    fs::write(journal.join("notes.txt"), "x").unwrap();
    let plan = later
        .round()
        .plan(Kind::Journal, Limit { age: Some(Duration::ZERO), bytes: Some(0) }, &mut || true)
        .unwrap();
    let going: Vec<_> = plan.go.iter().map(|it| &it.item.what).collect();
    assert_eq!(going, [&What::File(journal.join("2020-01-01.ndjson"))]);
    assert!(plan.stay.contains_key(&Keep::Open));
}
