//! Months unattended: what is done with goes after its time and nothing else does, no line of a log is lost, nothing grows.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test plays the user, and one that cannot go on ends"
)]

#[path = "support/real.rs"]
mod real;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use agent_worker::clock::{SystemClock, Timestamp};
use agent_worker::config::{Kind, Limit};
use agent_worker::layout::Layout;
use agent_worker::os::lock::Lock;
use agent_worker::retention::{Applied, Keep, Plan, Round, Scope, What, turn};
use agent_worker::task::{RunId, WorkerName};
use agent_worker::telemetry::log::{self, LogFormat, LogOptions, Rotation};
use serde_json::{Value, json};
use world::World;

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

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
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

/// Makes everything below the root look as if it had not been touched for so many days.
fn age(world: &World, days: u32) {
    let done = Command::new("find")
        .arg(world.root().join("artifacts"))
        .arg(world.root().join("workspaces"))
        .args(["-exec", "touch", "-h", "-d", &format!("{days} days ago"), "{}", "+"])
        .status();
    assert!(done.unwrap().success());
}

fn everything(world: &World) -> BTreeSet<PathBuf> {
    let found = Command::new("find").arg(world.root()).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// A world in which marie did one task, failed another, and has stopped.
fn done_and_failed() -> World {
    let world = World::new();
    let marie =
        world.start(world.watcher("marie").args(["--agent", "echo", "--durability", "none"]), "marie");
    world.submit("marie/pending", "good", &json!({"prompt": "hello"}));
    world.submit("marie/pending", "bad", &json!({"prompt": "hello", "type": "no-such-pack"}));
    world.filed("marie/completed", "good");
    world.filed("marie/failed", "bad");
    assert_eq!(marie.stop(), 0);
    age(&world, 40);
    world
}

#[test]
fn a_dry_run_tells_what_would_go_and_changes_nothing() {
    let world = done_and_failed();
    let before = everything(&world);
    let shown = world.agentctl(&["prune", "--dry-run", "--json", "--older-than", "0"]);
    let plans: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let of = |kind: &str| plans.as_array().unwrap().iter().find(|it| it["kind"] == kind).unwrap().clone();
    assert_eq!(of("completed")["going"]["count"], 1, "{plans:#}");
    assert_eq!(of("workspaces")["going"]["count"], 1);
    assert_eq!(of("artifacts")["going"]["count"], 1);
    assert_eq!(of("artifacts")["stay"]["failed"]["count"], 1);
    assert_eq!(of("journal")["stay"]["open"]["count"], 1);
    assert_eq!(everything(&world), before, "a dry run changed something");

    let said = world.agentctl(&["prune", "--dry-run"]);
    let talk = String::from_utf8(said.stderr).unwrap();
    assert!(talk.contains("nothing was changed") && talk.contains("within its time and size"), "{talk}");
}

#[test]
fn prune_does_what_the_dry_run_told_and_the_failed_wait_for_their_own_word() {
    let world = done_and_failed();
    let failed = world.root().join("tasks/marie/failed/bad.json");
    assert!(world.agentctl(&["prune", "--older-than", "0"]).status.success());
    assert!(failed.exists() && !world.root().join("tasks/marie/completed/good.json").exists());
    assert_eq!(names(&world.root().join("artifacts")).len(), 1, "that of the failed one");
    assert!(!world.agentctl(&["prune", "--failed"]).status.success(), "how old?");
    assert!(failed.exists());
    assert!(world.agentctl(&["prune", "--failed", "--older-than", "0"]).status.success());
    assert_eq!(names(failed.parent().unwrap()), BTreeSet::new(), "its reason goes with it");
}

#[test]
fn two_do_not_prune_at_once() {
    let world = done_and_failed();
    let taken = turn(&Layout::new(world.root())).unwrap().unwrap();
    let refused = world.agentctl(&["prune", "--older-than", "0"]);
    assert_eq!(refused.status.code(), Some(75), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(world.agentctl(&["prune", "--dry-run"]).status.success(), "to look needs no turn");
    drop(taken);
    assert!(world.agentctl(&["prune", "--older-than", "0"]).status.success());
}

#[test]
fn a_watcher_prunes_by_itself_while_it_works() {
    let world = done_and_failed();
    let config = world.path().join("agent-worker.toml");
    fs::write(
        &config,
        "retention_every = \"250ms\"\nretention_days_completed = \"1s\"\nretention_days = 30\n",
    )
    .unwrap();
    let mut watcher = world.served("marie", "127.0.0.1:0");
    watcher.args(["--agent", "echo", "--durability", "none"]).arg("--config").arg(&config);
    let started = world.start(&mut watcher, "marie");
    world.at_work("marie", &started);
    let completed = world.root().join("tasks/marie/completed");
    world.submit("marie/pending", "later", &json!({"prompt": "hello"}));
    world.until("what was completed has gone, and the new one after it", || {
        let pending = world.root().join("tasks/marie/pending/later.json").exists();
        (!pending && names(&completed).is_empty()).then_some(())
    });
    world.until("the record of the old run has gone", || {
        (names(&world.root().join("artifacts")).len() == 2).then_some(())
    });
    assert!(world.root().join("tasks/marie/failed/bad.json").exists());
    let state = world.root().join("workers/marie/state.json");
    world.until("the worker counts none", || {
        world::json(&state).filter(|state| state["queues"]["completed"] == 0).map(drop)
    });
    let journal = fs::read_dir(world.root().join("workers/marie/journal")).unwrap().flatten();
    let text: String = journal.map(|it| fs::read_to_string(it.path()).unwrap()).collect();
    assert!(text.contains(r#""event":"pruned""#), "{text}");
    let scraped = Command::new("curl")
        .args(["-s", &format!("http://{}/metrics", world.address("marie"))])
        .stderr(Stdio::null())
        .output();
    if let Ok(scraped) = scraped {
        let text = String::from_utf8_lossy(&scraped.stdout).into_owned();
        assert!(text.contains("agent_worker_pruned_total{kind=\"completed\"} 2"), "{text}");
    }
    assert_eq!(started.stop(), 0);
}

/// The numbers in all files of a log, those that were compressed too, in no order.
fn logged(dir: &Path) -> Vec<u32> {
    let text = Command::new("sh")
        .args(["-c", "for f in marie.log*; do case $f in *.gz) zcat $f;; *) cat $f;; esac; done"])
        .current_dir(dir)
        .output()
        .unwrap();
    let lines = String::from_utf8(text.stdout).unwrap();
    let number = |line: &str| -> Option<u32> {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("torn: {line}: {error}"));
        line["n"].as_u64()?.try_into().ok()
    };
    lines.lines().filter_map(number).collect()
}

/// Rotates as the shipped configuration says.
fn rotate(program: &Path, dir: &Path) {
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/logrotate.conf")).unwrap();
    assert!(shipped.contains("/var/log/agents/*.log"));
    let config = dir.join("logrotate.conf");
    fs::write(&config, shipped.replace("/var/log/agents", &dir.display().to_string())).unwrap();
    fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let done = Command::new(program)
        .args(["--verbose", "--force", "--state"])
        .arg(dir.join("state"))
        .arg(&config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains("renaming"), "{said}");
}

#[test]
fn no_line_is_lost_or_doubled_while_logrotate_rotates() {
    let Some(program) = real::program("logrotate") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        format: LogFormat::Json,
        level: "info".to_owned(),
        file: Some(dir.path().join("marie.log")),
        rotation: Rotation { max_bytes: None, keep: 0 },
        color: false,
        redactor: agent_worker::text::redact::Redactor::default(),
    };
    let handle = log::install(&options, None, SystemClock::shared()).unwrap();
    let (mut n, mut old) = (0, 0);
    for rotation in 0..5 {
        // It goes on writing, before it has noticed and after: until it writes into the new file.
        let noticed = world::until(world::PATIENCE, || {
            for _ in 0..20 {
                tracing::info!(n, "one of many");
                n += 1;
            }
            let path = dir.path().join("marie.log");
            (inode(&path) != old && fs::metadata(&path).ok()?.len() > 0).then_some(())
        });
        assert!(noticed.is_some(), "rotation {rotation} was not noticed");
        old = inode(&dir.path().join("marie.log"));
        rotate(&program, dir.path());
    }
    assert_eq!(handle.dropped(), 0, "the test wrote faster than a disk can");
    drop(handle);
    let mut numbers = logged(dir.path());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..n).collect::<Vec<u32>>());
    assert!(names(dir.path()).iter().any(|name| name.contains(".gz")), "{:?}", names(dir.path()));
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).unwrap_or_default()
}

#[test]
fn what_a_watcher_logs_is_bounded_without_anybody_elses_help() {
    let world = World::new();
    for (name, content) in [("marie.log", "x".repeat(1_100_000)), ("marie.log.1", "older".to_owned())] {
        fs::write(world.logs().join(name), content).unwrap();
    }
    let mut watcher = world.watcher("marie");
    watcher.args(["--agent", "echo", "--durability", "none", "--log-max-mb", "1", "--log-keep", "1"]);
    let started = world.start(&mut watcher, "marie");
    world.at_work("marie", &started);
    assert_eq!(started.stop(), 0);
    let size = |name: &str| fs::metadata(world.logs().join(name)).map_or(0, |meta| meta.len());
    assert!((1..100_000).contains(&size("marie.log")), "{}", size("marie.log"));
    assert_eq!(size("marie.log.1"), 1_100_000);
    assert_eq!(size("marie.log.2"), 0, "only one was to be kept");
}

/// What a process holds: anonymous memory in KiB, descriptors, threads.
fn held(pid: i32) -> (u64, usize, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    (field("RssAnon:"), fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), field("Threads:"))
}

#[test]
fn a_watcher_holds_on_to_nothing_of_the_tasks_that_went_through_it() {
    let world = World::new();
    let mut watcher = world.watcher("marie");
    watcher.args(["--agent", "echo", "--durability", "none", "--log-level", "warn"]);
    let started = world.start(&mut watcher, "marie");
    world.at_work("marie", &started);
    let state = world.root().join("workers/marie/state.json");
    let mut dropped = 0;
    let mut through = |tasks: u64| {
        for _ in 0..tasks / 150 {
            (0..150).for_each(|n| {
                world.submit("marie/pending", &format!("t{}", dropped + n), &json!({"prompt": "hello"}));
            });
            dropped += 150;
            world.until("they are done", || {
                world::json(&state).filter(|it| it["queues"]["completed"] == dropped).map(drop)
            });
        }
    };
    through(150);
    let before = held(started.pid());
    through(600);
    let after = held(started.pid());
    assert_eq!(after.1, before.1, "descriptors");
    // Those for errands stay, and are so many at most.
    assert!(after.2 < 32, "{} threads", after.2);
    assert!(after.0 <= before.0 + 1536, "{} KiB became {} KiB", before.0, after.0);
    assert_eq!(started.stop(), 0);
}
