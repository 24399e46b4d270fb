//! A run that uses more memory than it may ends with E004, all of it; one that may is only shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::http::get;
use crate::sight::{events, logged, state};
use crate::world::World;
use crate::{real, up};

/// The failed task, which was tried once, and what its reason says.
fn failed(world: &World, name: &str) -> (Value, String) {
    let task = world.filed("marie/failed", name);
    assert_eq!((&task["error_code"], &task["state"]), (&json!("E004"), &json!("FAILED")), "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "not tried again: {task}");
    let reason = task["failure_reason"].as_str().unwrap().to_owned();
    (task, reason)
}

#[test]
fn what_grows_fast_is_killed_with_everything_that_it_started() {
    let world = World::new();
    let _watcher = up(&world, &["--agent-memory=100MiB"]);
    // In a process and a session of its own, as a tool of the CLI is.
    world.submit("marie/pending", "greedy", &json!({"prompt": "fake: eat mib=200 apart; hang stubborn"}));
    let (_, reason) = failed(&world, "greedy");
    let words = [
        "more than the 100MiB",
        "--agent-memory",
        "in 2 processes, the largest fake-claude (pid ",
        "with 200",
    ];
    for word in words {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    let eater = events(&world, "grandchild", "greedy");
    let pid = eater[0]["pid"].as_i64().unwrap();
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "nothing of it is left");
    assert!(!logged(&world, "marie", "more than it may").is_empty(), "{}", world.said());
}

#[test]
fn what_is_a_little_too_large_is_asked_and_tells_what_it_cost() {
    let world = World::new();
    let _watcher = up(&world, &["--agent-memory=100MiB"]);
    world.submit("marie/pending", "large", &json!({"prompt": "fake: eat mib=105; hang"}));
    let (task, reason) = failed(&world, "large");
    assert!(reason.contains("more than the 100MiB"), "{reason}");
    assert!(task["attempts"][0]["cost_usd"].is_number(), "an interrupt leaves a result line: {task}");
}

#[test]
fn a_pack_says_how_much_and_what_is_within_it_is_only_shown() {
    let world = World::new();
    let dir = world.root().join("packs");
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let pack = dir.join("small.toml");
    fs::write(&pack, "max_memory = \"64MiB\"\n").unwrap();
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).unwrap();
    let watcher = up(&world, &["--agent-memory=1GiB"]);
    let (gate, prompt) = (world.path().join("gate"), "fake: eat mib=150");
    world.submit(
        "marie/pending",
        "wide",
        &json!({"prompt": format!("{prompt}; gate={}; succeed text=enough", gate.display())}),
    );
    let shown = state(&world, "marie", |it| it["running"][0]["memory_bytes"].as_u64() >= Some(150 << 20));
    assert!(shown["running"][0]["memory_bytes"].as_u64() < Some(400 << 20), "{shown}");
    let metric = world.until("the metric tells", || {
        let text = get(world.address("marie"), "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix("agent_worker_agents_memory_bytes "))?;
        line.parse::<u64>().ok().filter(|bytes| *bytes >= 150 << 20)
    });
    assert!(metric < 400 << 20, "{metric}");
    fs::write(gate, "").unwrap();
    assert_eq!(world.filed("marie/completed", "wide")["result"], "enough");

    world.submit(
        "marie/pending",
        "tight",
        &json!({"type": "small", "prompt": format!("{prompt}; hang stubborn")}),
    );
    let (_, reason) = failed(&world, "tight");
    assert!(reason.contains(&format!("its pack allows (`max_memory` in `{}`)", pack.display())), "{reason}");
    assert_eq!(watcher.stop(), 0);
}

#[test]
fn pages_that_processes_share_count_once() {
    // As no root: of other users' processes the exact way may not be asked.
    let world = World::unprivileged();
    if real::program("python3").is_none() {
        return;
    }
    let (script, ready) = (world.home().join("share.py"), world.home().join("ready"));
    // 60 MiB, and four copies of the process that share them: 300 MiB and more by the rough way.
    let text = "import os, sys, time\nheld = b'x' * (60 << 20)\n\
                for _ in range(4):\n    if os.fork() == 0:\n        while not os.path.exists(sys.argv[1] + '.end'): time.sleep(0.02)\n        os._exit(0)\n\
                open(sys.argv[1], 'w').close()\nfor _ in range(4): os.wait()\n";
    fs::write(&script, text).unwrap();
    let _watcher = up(&world, &["--agent-memory=160MiB"]);
    let run = format!("fake: run text=python3 {} {}", script.display(), ready.display());
    world.submit("marie/pending", "forks", &json!({"prompt": format!("{run}; succeed text=shared")}));
    world.until("the copies are there", || ready.exists().then_some(()));
    // It was weighed with all of them, exactly.
    state(&world, "marie", |it| {
        it["running"][0]["memory_bytes"].as_u64().is_some_and(|bytes| (60 << 20..150 << 20).contains(&bytes))
    });
    fs::write(world.home().join("ready.end"), "").unwrap();
    assert_eq!(world.filed("marie/completed", "forks")["result"], "shared");
}

#[test]
fn an_adopted_run_is_weighed_too_and_goes_by_the_pack_that_it_began_with() {
    let world = World::new();
    let first = up(&world, &["--agent-memory=1GiB"]);
    let gate = world.path().join("gate");
    let prompt = format!("fake: gate={}; eat mib=200 apart; hang stubborn", gate.display());
    world.submit("marie/pending", "t", &json!({"prompt": prompt}));
    world.active("marie", "t", |it| it["state"] == "RUNNING");
    first.murder();
    let _second = up(&world, &["--agent-memory=100MiB"]);
    world.until("it is adopted", || logged(&world, "marie", "adopted a living agent").first().cloned());
    // Its stdin ended with the old watcher; what waits at the gate goes on all the same.
    fs::write(gate, "").unwrap();
    let (_, reason) = failed(&world, "t");
    assert!(reason.contains("more than the 100MiB"), "{reason}");
}
