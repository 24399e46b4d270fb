//! The watcher is killed after its n-th durable step, for every n, and what takes over is killed too.
//!
//! After each kill the task has one home; at the end it is done once, every start of its agent is recorded, and no two
//! agents worked at once.

#![cfg(feature = "test-support")]
#![expect(clippy::disallowed_methods, reason = "a test plays the user: it starts programs and moves files")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/traces.rs"]
mod traces;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use traces::{alone, said};
use world::{Started, World};

/// Far more steps than a run has.
const MANY: u32 = 200;

/// How many are tried at once.
const TOGETHER: u32 = 9;

/// What is tried: a task, and how it must end.
struct Case {
    prompt: &'static str,
    place: &'static str,
    /// Starts that the script needs by itself; each kill may add one.
    starts: usize,
}

const GOOD: Case = Case { prompt: "fake: succeed text=done", place: "completed", starts: 1 };
const RETRIED: Case =
    Case { prompt: "fake: api status=500 error=x | succeed text=done", place: "completed", starts: 2 };
const DYING: Case = Case { prompt: "fake: die | succeed text=done", place: "completed", starts: 2 };

fn start(world: &World, kill_after: Option<u32>) -> Started {
    let mut watcher = world.watcher("marie");
    if let Some(n) = kill_after {
        watcher.env("AGENT_WORKER_KILL_AFTER", n.to_string());
    }
    world.start(&mut watcher, "marie")
}

/// How a watcher with a kill point came out.
#[derive(PartialEq, Eq)]
enum Came {
    Killed,
    Through,
}

/// Waits until the watcher is killed, or the task is filed and everything is quiet.
fn watch(world: &World, case: &Case, mut watcher: Started) -> Came {
    let filed = world.root().join(format!("tasks/marie/{}/t.json", case.place));
    let end = world.until("the watcher is killed or its task is filed", || {
        if watcher.is_over() {
            return Some(Came::Killed);
        }
        filed.exists().then_some(Came::Through)
    });
    if end == Came::Through && watcher.try_stop() != 0 {
        // It filed the task, and was killed on the way out.
        return Came::Killed;
    }
    end
}

/// The homes of the task; a crash never shows two, or none.
fn one_home(world: &World, when: &str) {
    let homes = world.homes("t");
    assert_eq!(homes.len(), 1, "{when}: {homes:?}\n{}", world.said());
}

fn submit(world: &World, case: &Case) {
    fs::create_dir_all(world.root().join("tasks/marie/pending")).unwrap();
    world.submit("marie/pending", "t", &json!({"prompt": case.prompt, "mine": {"b": 1, "a": 2}}));
}

/// The end of it: the task is where it belongs, once, and all that ran is recorded.
fn settled(world: &World, case: &Case, kills: usize, when: &str) {
    let task = world.filed(&format!("marie/{}", case.place), "t");
    one_home(world, when);
    assert_eq!(task["mine"], json!({"b": 1, "a": 2}), "{when}");
    assert_eq!(task["result"], "done", "{when}: {task:#}");
    let attempts = task["attempts"].as_array().unwrap();
    let starts = said(world, "start", "t").len();
    assert!(starts <= attempts.len(), "{when}: {starts} starts, {task:#}");
    assert!(attempts.len() <= case.starts + kills, "{when}: {task:#}");
    assert!(attempts.iter().all(|it| it["outcome"].is_string()), "{when}: {task:#}");
    let completed = attempts.iter().filter(|it| it["outcome"] == "completed").count();
    assert_eq!(completed, 1, "{when}: {task:#}");
    assert_eq!(charges(&task), task["retry_count"].as_u64().unwrap_or(0), "{when}: {task:#}");
    let run = task["run_id"].as_str().unwrap();
    let result = world::json(&world.root().join(format!("artifacts/{run}/result.json")));
    assert_eq!(result.unwrap_or_default()["state"], "COMPLETED", "{when}");
    told(world, &task, when);
    // The agent said its last word once: what was finished is not run again.
    let ends = said(world, "end", "t").iter().filter(|line| line["code"] == 0).count();
    assert!(ends <= 1, "{when}: finished {ends} times\n{}", world.said());
    alone(world);
    // A watcher that has just been started tries its folders out.
    world.until(&format!("{when}: nothing temporary is left"), || temps(world).is_empty().then_some(()));
}

/// Every change of the task's state stands in its history and in the journal, whoever was killed before it could be
/// written; what stands there twice has one id.
fn told(world: &World, task: &Value, when: &str) {
    let run = task["run_id"].as_str().unwrap();
    let mut expected: Vec<String> = Vec::new();
    let attempts = task["attempts"].as_array().unwrap();
    for (n, attempt) in attempts.iter().enumerate() {
        let change = |word: &str| format!("{run}:{}:{word}", attempt["number"]);
        expected.push(change("claimed"));
        expected.extend(attempt["pid"].is_number().then(|| change("started")));
        expected.push(change(if n + 1 < attempts.len() { "requeued" } else { "concluded" }));
    }
    let history = fs::read_to_string(world.root().join(format!("artifacts/{run}/history.ndjson"))).unwrap();
    let days = fs::read_dir(world.root().join("workers/marie/journal")).unwrap().flatten();
    let journal: String = days.map(|day| fs::read_to_string(day.path()).unwrap()).collect();
    for text in [history, journal] {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ids: Vec<String> = lines.filter_map(|line| Some(line["id"].as_str()?.to_owned())).collect();
        for change in &expected {
            assert!(ids.contains(change), "{when}: nothing tells of {change}\n{text}\n{task:#}");
        }
    }
}

fn charges(task: &Value) -> u64 {
    task["attempts"].as_array().unwrap().iter().filter(|it| it["charged"] == true).count() as u64
}

/// Temporary files that stayed where tasks are.
fn temps(world: &World) -> Vec<String> {
    let found = Command::new("find").arg(world.root().join("tasks")).args(["-name", ".*"]).output().unwrap();
    String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
}

/// Kills after step `n`, then after step `m` if there is one, then lets a watcher finish; whether `n` was reached.
fn try_it(case: &Case, n: u32, m: Option<u32>) -> bool {
    let world = World::new();
    let when = format!("{}: killed after {n}, then {m:?}", case.prompt);
    submit(&world, case);
    if watch(&world, case, start(&world, Some(n))) == Came::Through {
        settled(&world, case, 0, &when);
        return false;
    }
    one_home(&world, &when);
    let mut kills = 1;
    if let Some(m) = m
        && watch(&world, case, start(&world, Some(m))) == Came::Killed
    {
        one_home(&world, &when);
        kills += 1;
    }
    let last = start(&world, None);
    settled(&world, case, kills, &when);
    world.at_work("marie", &last);
    assert_eq!(last.stop(), 0);
    true
}

fn at_every_step(case: &Case, least: u32) {
    let reached = (1..MANY).step_by(TOGETHER as usize).take_while(|n| all(*n..n + TOGETHER, case)).count();
    let reached = u32::try_from(reached).unwrap() * TOGETHER;
    assert!(reached >= least, "only {reached} steps: is the kill point there?");
}

/// Tries several at once, since most of the time is waiting; whether all were reached.
fn all(numbers: std::ops::Range<u32>, case: &Case) -> bool {
    std::thread::scope(|scope| {
        let tries: Vec<_> = numbers.map(|n| scope.spawn(move || try_it(case, n, None))).collect();
        let reached: Vec<bool> = tries.into_iter().map(|it| it.join().unwrap()).collect();
        reached.into_iter().all(|it| it)
    })
}

#[test]
fn a_task_survives_a_kill_after_every_step() {
    at_every_step(&GOOD, 24);
}

#[test]
fn a_task_that_is_retried_survives_a_kill_after_every_step() {
    at_every_step(&RETRIED, 36);
}

#[test]
fn a_task_whose_agent_dies_survives_a_kill_after_every_step() {
    at_every_step(&DYING, 36);
}

#[test]
fn what_takes_over_may_be_killed_too() {
    for n in (2..40).step_by(5) {
        for m in [1, 2, 4, 7, 12, 19] {
            if !try_it(&GOOD, n, Some(m)) {
                return;
            }
        }
    }
}

#[test]
fn what_is_no_task_survives_a_kill_after_every_step() {
    let through = (1..MANY).find(|n| {
        let world = World::new();
        fs::create_dir_all(world.root().join("tasks/marie/pending")).unwrap();
        world.submit("marie/pending", "t", &json!({"prompt": ["no", "text"], "timeout_s": "x"}));
        let case = Case { prompt: "", place: "failed", starts: 0 };
        let end = watch(&world, &case, start(&world, Some(*n)));
        one_home(&world, &format!("reject, killed after {n}"));
        let last = start(&world, None);
        world.filed("marie/failed", "t");
        one_home(&world, &format!("reject, killed after {n}, and after"));
        let reason = world::json(&world.root().join("tasks/marie/failed/t.json.reason")).unwrap();
        assert_eq!(reason["error_code"], "E002");
        world.at_work("marie", &last);
        assert_eq!(last.stop(), 0);
        end == Came::Through
    });
    assert!(through.is_some_and(|n| n > 4), "{through:?}");
}

#[test]
fn a_recovery_by_hand_survives_a_kill_after_every_step() {
    let killed = (1..MANY).take_while(|n| {
        let world = World::new();
        let watcher = world.up("marie");
        world.submit("marie/pending", "t", &traces::gated(&traces::gate(&world, "never")));
        let agent = traces::at_work(&world, "t", 1);
        traces::recorded(&world, "t", agent);
        watcher.murder();
        traces::slay(&world, agent);
        let recover = |kill: Option<u32>| {
            let mut command = world.command("supervisor");
            command.args(["recover", "marie", "--root"]).arg(world.root());
            command.envs(kill.map(|n| ("AGENT_WORKER_KILL_AFTER", n.to_string())));
            let ended = world.start(&mut command, "recover").ended();
            one_home(&world, &format!("recovery killed after {n}"));
            ended
        };
        let first = recover(Some(*n));
        assert_eq!(recover(None), 0, "{}", world.said());
        assert_eq!(world.homes("t"), ["marie/pending"], "{n}");
        let task = world.filed("marie/pending", "t");
        assert_eq!((&task["retry_count"], charges(&task)), (&json!(1), 1), "{n}: {task:#}");
        let told = traces::state(&world, "marie", |_| true);
        assert_eq!((&told["status"], &told["recovery_count"]), (&json!("recovering"), &json!(1)));
        first != 0
    });
    assert!(killed.count() >= 6);
}
