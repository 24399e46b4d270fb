//! While the machine, or a control group around the worker, is short of memory nothing is claimed; what runs goes on.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::http::{body, code, get};
use crate::sight::{events, journal, logged, state};
use crate::world::{Started, World};

/// What the kernel tells, set by hand.
struct Machine(PathBuf);

impl Machine {
    fn new(world: &World, available_mib: u64) -> Self {
        let machine = Self(world.path().join("machine"));
        for dir in ["proc/self", "proc/pressure", "cgroup"] {
            fs::create_dir_all(machine.0.join(dir)).unwrap();
        }
        machine.set("proc/self/cgroup", "0::/\n");
        machine.has(available_mib);
        machine
    }

    fn set(&self, path: &str, text: &str) {
        let (path, temp) = (self.0.join(path), self.0.join("temp"));
        fs::write(&temp, text).unwrap();
        fs::rename(temp, path).unwrap();
    }

    fn has(&self, available_mib: u64) {
        let text = format!("MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: {} kB\n", available_mib << 10);
        self.set("proc/meminfo", &text);
    }

    fn up(&self, world: &World, flags: &[&str]) -> Started {
        let mut command = world.served("marie", "127.0.0.1:0");
        command.args(flags).env("AGENT_WORKER_MACHINE", &self.0);
        let watcher = world.start(&mut command, "marie");
        world.at_work("marie", &watcher);
        watcher
    }
}

fn held(world: &World) -> Value {
    state(world, "marie", |it| it["hold"]["cause"] == "memory")
}

#[test]
fn a_machine_that_is_short_of_memory_holds_claims_until_it_is_not() {
    let world = World::new();
    let machine = Machine::new(&world, 4000);
    let _watcher = machine.up(&world, &[]);
    let gate = world.path().join("gate");
    world.submit(
        "marie/pending",
        "first",
        &json!({"prompt": format!("fake: gate={}; succeed", gate.display())}),
    );
    world.active("marie", "first", |it| it["state"] == "RUNNING");

    machine.has(200);
    let state_now = held(&world);
    assert_eq!(
        (&state_now["status"], &state_now["hold"]["error_code"]),
        (&json!("degraded"), &json!("E004"))
    );
    let reason = state_now["hold"]["reason"].as_str().unwrap();
    assert!(reason.contains("the machine has only 200MiB") && reason.contains("256MiB"), "{reason}");
    assert!(state_now["hold"]["remedy"].as_str().unwrap().contains("--reserve-memory"), "{state_now}");
    let health = get(world.address("marie"), "/health");
    assert_eq!(code(&health), "200", "{health}");
    let said: Value = serde_json::from_str(body(&health)).unwrap();
    assert_eq!(said["status"], "degraded", "{said}");
    assert!(said.to_string().contains("200MiB"), "{said}");
    let metrics = get(world.address("marie"), "/metrics");
    for line in ["agent_worker_held{cause=\"memory\"} 1", "agent_worker_memory_available_bytes 209715200"] {
        assert!(metrics.lines().any(|it| it == line), "{line}: {metrics}");
    }
    let dropped = json!({"prompt": "fake: succeed"});
    for name in ["second", "third"] {
        world.submit("marie/pending", name, &dropped);
    }
    state(&world, "marie", |it| it["queues"]["pending"] == 2);
    let why = world.agentctl(&["why", "second"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("memory"), "{why:?}");
    let status = world.agentctl(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("200MiB"), "{status:?}");
    // What runs goes on.
    fs::write(&gate, "").unwrap();
    world.filed("marie/completed", "first");

    // At the edge it stays as it is.
    machine.has(300);
    world.until("the edge is seen", || {
        let hold = world_json(&world)?["hold"]["reason"].as_str()?.to_owned();
        hold.contains("only 300MiB").then_some(())
    });
    for name in ["second", "third"] {
        assert_eq!(world.filed("marie/pending", name), dropped, "untouched");
    }
    machine.has(400);
    for name in ["second", "third"] {
        world.filed("marie/completed", name);
    }
    state(&world, "marie", |it| it["status"] == "running" && it["hold"].is_null());
    assert_eq!(logged(&world, "marie", "claiming nothing").len(), 1, "said once: {}", world.said());
    assert_eq!(logged(&world, "marie", "claiming again").len(), 1, "{}", world.said());
    let told: Vec<_> = journal(&world, "marie")
        .iter()
        .map(|it| it["event"].clone())
        .filter(|it| it == "held" || it == "released")
        .collect();
    assert_eq!(told, ["held", "released"]);
}

fn world_json(world: &World) -> Option<Value> {
    crate::world::json(&world.root().join("workers/marie/state.json"))
}

#[test]
fn a_control_group_around_the_worker_counts_like_a_machine() {
    let world = World::new();
    let machine = Machine::new(&world, 4000);
    let gib = (1_u64 << 30).to_string();
    machine.set("cgroup/memory.max", &gib);
    machine.set("cgroup/memory.high", "max\n");
    machine.set("cgroup/memory.stat", "anon 1\ninactive_file 104857600\n");
    machine.set("cgroup/memory.current", &((1_u64 << 30) - (20 << 20)).to_string());
    let _watcher = machine.up(&world, &[]);
    // An eighth of a small group is its reserve: 20 MiB and the 100 MiB of files are less than 128.
    let reason = held(&world)["hold"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("cgroup") && reason.contains("only 120MiB"), "{reason}");
    machine.set("cgroup/memory.stat", "anon 1\ninactive_file 204857600\n");
    state(&world, "marie", |it| it["hold"].is_null());
    machine.set(
        "cgroup/memory.pressure",
        "some avg10=60.00 avg60=1 avg300=0 total=1\nfull avg10=41.50 avg60=1 avg300=0 total=1\n",
    );
    let reason = held(&world)["hold"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("stood still for want of memory for 42 %"), "{reason}");
}

#[test]
fn agents_begin_one_by_one_where_they_would_not_all_fit() {
    let world = World::new();
    // Above the reserve there is room for two that take 256 MiB.
    let machine = Machine::new(&world, 800);
    let _watcher = machine.up(&world, &[]);
    let gate = world.path().join("gate");
    for name in ["a", "b", "c", "d", "e"] {
        world.submit(
            "marie/pending",
            name,
            &json!({"prompt": format!("fake: gate={}; succeed", gate.display())}),
        );
    }
    let running = |at_least: usize| {
        let seen =
            state(&world, "marie", |it| it["running"].as_array().is_some_and(|it| it.len() >= at_least));
        seen["running"].as_array().unwrap().len()
    };
    assert_eq!(running(2), 2);
    // The first two are old enough after ten seconds, and what they take shows: here nothing.
    let began = std::time::Instant::now();
    assert_eq!(running(3), 4, "two more, and never all at once");
    assert!(began.elapsed().as_secs() >= 5, "{:?}", began.elapsed());
    fs::write(&gate, "").unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        world.filed("marie/completed", name);
        assert_eq!(events(&world, "start", name).len(), 1);
    }
}

#[test]
fn who_keeps_nothing_free_is_never_held() {
    let world = World::new();
    let machine = Machine::new(&world, 3);
    let _watcher = machine.up(&world, &["--reserve-memory", "0"]);
    world.submit("", "t", &json!({"prompt": "fake: succeed"}));
    world.filed("marie/completed", "t");
    assert!(logged(&world, "marie", "claiming nothing").is_empty());
}
