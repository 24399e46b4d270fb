//! What falls into the middle: of claiming, of an answer, of another unit's life.

use std::fs;

use crate::life::{MARIE, gated, is_replaced, went_well};
use crate::machine::Machine;
use crate::promises::{flow, told, trees};

const KILL: &str = "systemctl kill --signal KILL --kill-whom main agent-worker-marie";

/// `systemctl stop` while tasks come: what is being claimed is put back, uncharged.
pub(crate) fn is_stopped_while_it_claims(machine: &Machine) {
    // By hand it was started more often than a host would.
    machine.run("systemctl reset-failed agent-worker-marie");
    let names = flow::during(machine, "stopped", || {
        flow::is_at_it(machine);
        machine.run("systemctl stop agent-worker-marie");
        assert_eq!(machine.state()["status"], "stopped");
        assert_eq!(flow::tasks(&machine.root().join("tasks/marie/active")), 0, "{}", machine.said());
        machine.run("systemctl start agent-worker-marie");
    });
    assert_eq!(flow::ended_once(machine, &names, 0), 0);
}

/// `kill -9` while tasks come, twice.
pub(crate) fn is_killed_while_it_claims(machine: &Machine) {
    let names = flow::during(machine, "killed", || {
        for _ in 0..2 {
            let watcher = machine.main_pid(MARIE);
            flow::is_at_it(machine);
            machine.run(KILL);
            is_replaced(machine, watcher);
        }
    });
    flow::ended_once(machine, &names, 2);
}

/// Does something while systemd starts no watcher of marie by itself.
fn unattended(machine: &Machine, act: impl FnOnce()) {
    let dropped = "/etc/systemd/system/agent-worker-marie.service.d";
    machine.run(&format!("mkdir {dropped}; printf '[Service]\\nRestart=no\\n' > {dropped}/override.conf"));
    machine.run("systemctl daemon-reload");
    act();
    machine.run(&format!("rm -r {dropped}; systemctl daemon-reload; systemctl start agent-worker-marie"));
}

/// The agent ends well, and nobody is there to read it: that is its outcome, and it is not run again.
pub(crate) fn is_answered_while_it_is_dead(machine: &Machine) {
    unattended(machine, || {
        let agent = gated(machine, "alone");
        machine.run(KILL);
        machine.until("nobody watches", || (machine.shows(MARIE, "ActiveState") == "failed").then_some(()));
        machine.open("alone");
        machine.until("it has answered", || (!machine.is_alive(agent)).then_some(()));
        assert!(machine.root().join("tasks/marie/active/alone.json").exists(), "{}", machine.said());
    });
    went_well(machine, "alone", 1, 0);
}

/// Watcher and agent are dead, and what the agent left is not: it goes before the conversation goes on. The units are so
/// closed that another user's processes are not even seen.
pub(crate) fn has_strays_of_a_dead_agent(machine: &Machine) {
    let wait = "gate=/shared/strays; succeed text=done";
    machine.submit("strays", &format!("grandchild setsid noterm; grandchild double noterm; {wait} | {wait}"));
    trees::grown(machine, "strays", 2);
    let (watcher, agent) = (machine.main_pid(MARIE), machine.at_work("strays", 1));
    machine.run(&format!("{KILL}; kill -9 {agent}"));
    is_replaced(machine, watcher);
    machine.at_work("strays", 2);
    let strays = told(machine, "strays", "grandchild");
    assert_eq!(strays.len(), 2);
    assert!(strays.iter().all(|it| !machine.is_alive(it["pid"].as_i64().unwrap())), "{}", machine.said());
    went_well(machine, "strays", 2, 1);
}

/// A second unit with the first one's worker: it ends, says who has it, and costs the first one nothing.
pub(crate) fn has_a_twin(machine: &Machine) {
    let (watcher, agent) = (machine.main_pid(MARIE), gated(machine, "twin"));
    let noted = || fs::read(machine.root().join("workers/marie/death.json")).ok();
    let (before, death) = (machine.state(), noted());
    let units = "/etc/systemd/system";
    let hers = machine.shows(MARIE, "FragmentPath");
    machine.run(&format!("cp {hers} {units}/agent-worker-twin.service"));
    machine.run("systemctl daemon-reload");
    assert!(!machine.try_run("systemctl start agent-worker-twin").0);
    for (property, value) in [("ActiveState", "failed"), ("ExecMainStatus", "78"), ("NRestarts", "0")] {
        assert_eq!(machine.shows("agent-worker-twin", property), value, "{}", machine.said());
    }
    let said = machine.run("journalctl -u agent-worker-twin");
    assert!(
        said.contains(&format!("a watcher holds worker marie already (pid {watcher} on box, since ")),
        "{said}"
    );

    assert_eq!(machine.main_pid(MARIE), watcher);
    assert!(machine.is_alive(agent), "{}", machine.said());
    for field in ["last_crash", "last_crash_reason", "recovery_count"] {
        assert_eq!(machine.state()[field], before[field], "{field}");
    }
    assert_eq!(noted(), death, "nobody died");
    went_well(machine, "twin", 1, 0);
    machine.run(&format!(
        "rm {units}/agent-worker-twin.service; systemctl daemon-reload; systemctl reset-failed"
    ));
    // The twin's end began the countdown of whom it is named after; a living watcher's agents are not touched by it.
    machine.run("systemctl stop agent-leftovers@marie.timer");
}
