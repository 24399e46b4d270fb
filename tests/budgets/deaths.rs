//! Whoever dies, and whenever: what an attempt cost counts once.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::world::World;
use crate::{journal, state, told};

/// More durable steps than a watcher takes from its start to the end of one task.
const STEPS: u32 = 24;

fn sum(task: &Value, of: impl Fn(&Value) -> f64) -> f64 {
    task["attempts"].as_array().unwrap().iter().map(of).fold(0.0, |sum, it| sum + it)
}

/// What the task's own record says is what its worker is said to have spent.
fn agrees(world: &World, task: &Value, when: &str) {
    let account = told(world, "worker", "marie");
    let usd = sum(task, |it| it["cost_usd"].as_f64().unwrap_or(0.0));
    let tokens = sum(task, |it| {
        ["input", "output", "cache_write"].iter().map(|kind| it["tokens"][kind].as_f64().unwrap_or(0.0)).sum()
    });
    assert!(usd > 0.0, "{when}: {task}");
    assert!((account["usd_last_day"].as_f64().unwrap() - usd).abs() < 1e-9, "{when}: {account} {task:#}");
    assert!(
        (account["tokens_last_day"].as_f64().unwrap() - tokens).abs() < 0.5,
        "{when}: {account} {task:#}"
    );
}

#[test]
fn a_watcher_that_is_killed_at_any_step_leaves_what_was_spent_counted_once() {
    for prompt in ["fake: cost usd=0.01; succeed", "fake: use in=600 out=50; die | cost usd=0.01; succeed"] {
        for n in 1..STEPS {
            let world = World::new();
            let mut command = world.watcher("marie");
            let mut first = world.start(command.env("AGENT_WORKER_KILL_AFTER", n.to_string()), "marie");
            let filed = world.root().join("tasks/marie/completed/t.json");
            std::fs::create_dir_all(world.root().join("tasks/marie/pending")).unwrap();
            world.submit("marie/pending", "t", &json!({"prompt": prompt}));
            world.until("it is killed, or done", || (first.is_over() || filed.exists()).then_some(()));
            let is_through = !first.is_over();
            drop(first);
            let second = world.up("marie");
            let task = world.filed("marie/completed", "t");
            agrees(&world, &task, &format!("{prompt}, killed after step {n}"));
            assert_eq!(second.stop(), 0);
            if is_through {
                break;
            }
        }
    }
}

#[test]
fn what_recovery_files_counts_and_holds() {
    let world = World::new();
    let budget = ["--budget-usd-per-day", "0.01"];
    let start = || {
        let started = world.start(world.watcher("marie").args(budget), "marie");
        world.at_work("marie", &started);
        started
    };
    let first = start();
    let gate = world.path().join("gate");
    let prompt = format!("fake: gate={}; cost usd=0.01; succeed", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    let pid = |it: &Value| it["attempts"][0]["pid"].as_i64();
    let task = world.active("marie", "t", |it| pid(it).is_some());
    first.murder();
    std::fs::write(gate, "").unwrap();
    let agent = Pid::from_raw(i32::try_from(pid(&task).unwrap()).unwrap());
    world.until("the agent has ended", || kill(agent, None::<Signal>).is_err().then_some(()));
    let recovered =
        world.command("supervisor").args(["recover", "marie", "--root"]).arg(world.root()).output();
    assert!(recovered.unwrap().status.success(), "{}", world.said());
    let task = world.filed("marie/completed", "t");
    agrees(&world, &task, "filed by recovery");
    let lines: Vec<Value> = journal(&world).into_iter().filter(|line| line["event"] == "concluded").collect();
    assert_eq!((lines.len(), &lines[0]["cost_usd"], &lines[0]["pack"]), (1, &json!(0.01), &json!("default")));
    world.submit("marie/pending", "next", &json!({"prompt": "fake: succeed"}));
    let _second = start();
    state(&world, "marie", |it| it["hold"]["cause"] == "budget");
    assert_eq!(world.homes("next"), ["marie/pending"]);
}

/// What a run used that came to no result.
const USED: u64 = 950;

/// A run in the middle of its turn, after its first messages, whose watcher is gone; its agent.
fn widowed(world: &World, limits: &Value) -> Pid {
    let watcher = world.up("marie");
    let mut task = json!({"prompt": "fake: use in=900 out=50; hang stubborn | cost usd=0.01; succeed"});
    task.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    world.submit("marie/pending", "t", &task);
    let task = world.active("marie", "t", |it| it["attempts"][0]["pid"].is_i64());
    let run = task["run_id"].as_str().unwrap();
    let stream = world.root().join(format!("artifacts/{run}/attempt-1/stream.ndjson"));
    world.until("it has used something", || {
        std::fs::read_to_string(&stream).ok()?.contains(r#""type":"assistant""#).then_some(())
    });
    watcher.murder();
    Pid::from_raw(i32::try_from(task["attempts"][0]["pid"].as_i64().unwrap()).unwrap())
}

/// `kill -9`, and gone.
fn kill_agent(world: &World, agent: Pid) {
    kill(agent, Signal::SIGKILL).unwrap();
    world.until("the agent is gone", || kill(agent, None::<Signal>).is_err().then_some(()));
}

/// What the first attempt used is in the record, and in the line that says that it went back to the queue.
fn first_is_counted(world: &World, task: &Value) {
    let lines: Vec<Value> = journal(world).into_iter().filter(|line| line["event"] == "requeued").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for used in [&task["attempts"][0]["tokens"], &lines[0]["tokens"]] {
        assert_eq!((&used["input"], &used["output"]), (&json!(900), &json!(50)), "{task:#} {lines:?}");
    }
}

#[test]
fn what_an_agent_used_that_died_with_its_watcher_counts() {
    let world = World::new();
    let agent = widowed(&world, &json!({}));
    kill_agent(&world, agent);
    let _second = world.up("marie");
    let task = world.filed("marie/completed", "t");
    first_is_counted(&world, &task);
    agrees(&world, &task, "it died in the middle of its turn");
}

#[test]
fn a_task_that_used_up_its_tokens_before_agent_and_watcher_died_is_not_started_again() {
    let world = World::new();
    let agent = widowed(&world, &json!({"max_tokens": USED}));
    kill_agent(&world, agent);
    let _second = world.up("marie");
    let task = world.filed("marie/failed", "t");
    assert_eq!(task["error_code"], "E004", "{task:#}");
    first_is_counted(&world, &task);
    assert_eq!(world.agent_log().iter().filter(|line| line["event"] == "start").count(), 1, "{task:#}");
}

#[test]
fn what_an_agent_used_that_recovery_ended_counts_though_it_is_not_charged() {
    let world = World::new();
    widowed(&world, &json!({}));
    let mut recover = world.command("supervisor");
    recover.args(["recover", "marie", "--end-agents", "--root"]).arg(world.root());
    assert!(recover.output().unwrap().status.success(), "{}", world.said());
    let task = world.filed("marie/pending", "t");
    assert_eq!(task["attempts"][0]["charged"], false, "{task:#}");
    first_is_counted(&world, &task);
}
