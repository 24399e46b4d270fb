//! What happens to a worker that is to go on: reload, restart, kills, a loop that stands still.

use std::fs;

use crate::machine::Machine;
use crate::world::json;

pub(crate) const MARIE: &str = "agent-worker-marie";

/// Whether marie's leftovers are being waited for.
pub(crate) fn is_counting_down(machine: &Machine) -> bool {
    machine.shows("agent-leftovers@marie.timer", "ActiveState") == "active"
}

/// Another process than `before` is marie's watcher, and it is ready.
pub(crate) fn is_replaced(machine: &Machine, before: i32) {
    machine.until("another watcher is at work", || {
        let pid = machine.main_pid(MARIE);
        (pid != 0 && pid != before && machine.shows(MARIE, "SubState") == "running").then_some(())
    });
    machine.until("nobody waits for leftovers any more", || (!is_counting_down(machine)).then_some(()));
}

/// Why the last watcher died, as the next one was told.
fn died_of(machine: &Machine, word: &str) {
    let state = machine.state();
    assert_eq!(state["last_crash_reason"], word, "{state}\n{}", machine.said());
}

/// The task ended well, in so many attempts, and each start of an agent was one of them.
pub(crate) fn went_well(machine: &Machine, name: &str, attempts: usize, charged: u64) {
    machine.open(name);
    let task = machine.filed("completed", name);
    assert_eq!(task["result"], "done", "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), attempts, "{task}");
    assert_eq!(task["retry_count"].as_u64().unwrap_or(0), charged, "{task}");
    assert_eq!(machine.starts(name), attempts, "{task}");
}

/// A task whose agent waits until `open(name)`.
pub(crate) fn gated(machine: &Machine, name: &str) -> i64 {
    machine.submit(name, &format!("gate=/shared/{name}; succeed text=done"));
    machine.at_work(name, 1)
}

/// `systemctl reload`: the same process, the same agent.
pub(crate) fn is_reloaded(machine: &Machine) {
    let (watcher, agent) = (machine.main_pid(MARIE), gated(machine, "reload"));
    machine.run("systemctl reload agent-worker-marie agent-supervisor");
    machine.until("it says that it was reloaded", || {
        machine.run("journalctl -u agent-worker-marie -n 100").contains("log reopened").then_some(())
    });
    assert_eq!(machine.main_pid(MARIE), watcher);
    assert!(machine.is_alive(agent));
    went_well(machine, "reload", 1, 0);
}

/// `systemctl restart` with an agent at work: it is put back uncharged, and goes on where it was.
pub(crate) fn is_restarted(machine: &Machine) {
    let (watcher, agent) = (machine.main_pid(MARIE), gated(machine, "restart"));
    machine.run("systemctl restart agent-worker-marie");
    is_replaced(machine, watcher);
    assert!(!machine.is_alive(agent));
    machine.at_work("restart", 2);
    went_well(machine, "restart", 2, 0);
}

/// `kill -9` of the watcher alone: systemd brings it back, its agent never stops.
pub(crate) fn is_killed(machine: &Machine) {
    let (watcher, agent) = (machine.main_pid(MARIE), gated(machine, "kill"));
    machine.run("systemctl kill --signal KILL --kill-whom main agent-worker-marie");
    machine.until("leftovers are waited for, or it is back", || {
        (is_counting_down(machine) || machine.main_pid(MARIE) != watcher).then_some(())
    });
    is_replaced(machine, watcher);
    assert!(machine.is_alive(agent), "{}", machine.said());
    machine.until("it was adopted", || {
        machine.run("journalctl -u agent-worker-marie -n 100").contains("adopted").then_some(())
    });
    died_of(machine, "signal_9");
    went_well(machine, "kill", 1, 0);
}

/// What an agent of a dead watcher shed every sign of is ended before its task goes on: by the run's group in the unit's.
pub(crate) fn leaves_nothing(machine: &Machine) {
    let watcher = machine.main_pid(MARIE);
    let shed = "grandchild setsid double noenv noterm";
    machine.submit("shed", &format!("gate=/shared/shed; {shed}; die signal=9 | succeed text=done"));
    let agent = machine.at_work("shed", 1);
    let groups = machine.run(&format!("cat /proc/{agent}/cgroup; cat /proc/{watcher}/cgroup"));
    assert!(groups.contains("/agent-worker-marie.service/run-marie-"), "{groups}\n{}", machine.said());
    assert!(groups.contains("/agent-worker-marie.service/watcher"), "{groups}");
    machine.run("systemctl kill --signal KILL --kill-whom main agent-worker-marie");
    machine.open("shed");
    let stray = machine.until("a process is left behind", || machine.left_behind());
    is_replaced(machine, watcher);
    let task = machine.filed("completed", "shed");
    assert!(!machine.is_alive(stray), "{}", machine.said());
    assert_eq!((&task["result"], &task["retry_count"]), (&"done".into(), &1.into()), "{task}");
    let group = task["attempts"][0]["cgroup"].as_str().unwrap();
    machine.until("its group is gone", || (!machine.try_run(&format!("ls -d {group}")).0).then_some(()));
}

/// `systemctl kill` without more takes the agents too: their sessions are resumed.
pub(crate) fn is_killed_whole(machine: &Machine) {
    let (watcher, agent) = (machine.main_pid(MARIE), gated(machine, "whole"));
    machine.run("systemctl kill --signal KILL agent-worker-marie");
    is_replaced(machine, watcher);
    assert!(!machine.is_alive(agent));
    machine.at_work("whole", 2);
    went_well(machine, "whole", 2, 1);
}

/// A watcher that is stopped feeds no watchdog: systemd ends it, and its agent is adopted.
pub(crate) fn stands_still(machine: &Machine) {
    let dropped = "/etc/systemd/system/agent-worker-marie.service.d";
    machine
        .run(&format!("mkdir {dropped}; printf '[Service]\\nWatchdogSec=10\\n' > {dropped}/override.conf"));
    machine.run("systemctl daemon-reload; systemctl restart agent-worker-marie");
    let (watcher, agent) = (machine.main_pid(MARIE), gated(machine, "still"));
    machine.run(&format!("kill -STOP {watcher}"));
    is_replaced(machine, watcher);
    assert!(machine.run("journalctl -u agent-worker-marie -n 100").contains("Watchdog timeout"));
    assert!(machine.is_alive(agent), "{}", machine.said());
    died_of(machine, "hung");
    went_well(machine, "still", 1, 0);

    machine.run(&format!("rm -r {dropped}; systemctl daemon-reload; systemctl restart agent-worker-marie"));
}

/// What an agent runs takes more memory than the worker has: it is ended, and neither the watcher nor the agent.
pub(crate) fn runs_out_of_memory(machine: &Machine) {
    let watcher = machine.main_pid(MARIE);
    machine.run("systemctl set-property --runtime agent-worker-marie MemoryMax=150M");
    machine.submit("memory", "run text=tail /dev/zero && true; succeed text=done");
    assert_eq!(machine.filed("completed", "memory")["result"], "done");
    // As a shell tells that a signal 9 ended it.
    let ran = machine.told("memory", "ran");
    assert_eq!(ran.first().map(|it| it["code"].clone()), Some(137.into()), "{ran:?}");
    assert_eq!(machine.main_pid(MARIE), watcher, "{}", machine.said());
    machine.run("systemctl set-property --runtime agent-worker-marie MemoryMax=2G");
}

/// The watcher itself takes more than it may: the next one is told what it died of.
pub(crate) fn dies_of_memory(machine: &Machine) {
    let watcher = machine.main_pid(MARIE);
    machine.run("systemctl set-property --runtime agent-worker-marie MemoryMax=8M");
    let beat = machine.root().join("workers/marie/heartbeat.json");
    machine.until("its beat shows that it is tight", || {
        (json(&beat)?["memory_percent"].as_u64()? >= 25).then_some(())
    });
    // It is read before it is judged.
    machine.submit("heavy", &"x".repeat(9 << 20));
    machine.until("it dies of that", || (machine.main_pid(MARIE) != watcher).then_some(()));
    // Else the next one would die of it again.
    fs::remove_file(machine.root().join("tasks/marie/pending/heavy.json")).unwrap();
    machine.run("systemctl set-property --runtime agent-worker-marie MemoryMax=2G");
    is_replaced(machine, watcher);
    died_of(machine, "oom_killed");
}
