//! What the pages for operators tell to type on a machine with systemd, and the blocks of the runbook that speak to it:
//! each as it stands there.

use std::fs;

use crate::blocks;
use crate::life::{MARIE, is_replaced};
use crate::machine::Machine;
use crate::page;

/// What is typed, in an order that leaves her at work.
const TYPED: [&str; 9] = [
    "systemctl status agent-supervisor",
    "systemctl reload agent-worker-marie",
    "journalctl -u agent-worker-marie -n 100",
    "sudo -u agent-worker -H agentctl doctor",
    "sudo -u agent-worker -H claude",
    "systemctl restart agent-worker-marie",
    "systemctl stop agent-worker-marie",
    "systemctl reset-failed agent-worker-marie",
    "systemctl start agent-worker-marie",
];

pub(crate) fn as_it_stands(machine: &Machine) {
    let told = page::of(&page::OF_SYSTEMD);
    assert_eq!(told, TYPED.map(str::to_owned).into(), "what the pages tell to type, and what is typed here");
    for command in TYPED {
        types(machine, command);
    }
}

/// The logs, and a restart, as the runbook has them; Docker is not on this machine, and says so.
pub(crate) fn the_runbooks_blocks(machine: &Machine) {
    machine.run("echo '127.0.0.1 marie anga fabien' >> /etc/hosts");
    let logs = machine.try_run(blocks::text(2)).1;
    for worker in ["marie", "anga", "fabien"] {
        let hers = format!("watcher[{}]", machine.main_pid(&format!("agent-worker-{worker}")));
        let of_journal = |line: &str| line.contains(&hers) && line.contains("at work");
        assert!(logs.lines().any(of_journal), "{worker}: {logs}");
    }
    let before = machine.main_pid(MARIE);
    let restarted = machine.try_run(blocks::text(3)).1;
    is_replaced(machine, before);
    assert!(restarted.contains("active_tasks 0") && !restarted.contains("not responding"), "{restarted}");
}

fn types(machine: &Machine, command: &str) {
    let before = machine.main_pid(MARIE);
    let (is_well, said) = machine.try_run(command);
    match command.split_once(' ').unwrap_or_default() {
        // The CLI without a terminal and without a word says nothing: that it was begun with the worker's home is the point.
        ("sudo", "-u agent-worker -H claude") => {
            let log = fs::read_to_string(machine.home().join("fake-claude.log")).unwrap_or_default();
            let is_begun =
                log.lines().any(|line| line.contains(r#""event":"start""#) && line.contains(r#""args":[]"#));
            assert!(is_begun, "{said}\n{log}");
            return;
        }
        // What it thinks of this machine is not the point.
        ("sudo", _) => {
            for line in ["login      logged in", "root       `/shared` is laid out", "marie: alive"] {
                assert!(said.contains(line), "{said}");
            }
            return;
        }
        ("journalctl", _) => assert!(said.contains("at work"), "{said}"),
        ("systemctl", "status agent-supervisor") => assert!(said.contains("active (running)"), "{said}"),
        ("systemctl", "restart agent-worker-marie") => is_replaced(machine, before),
        ("systemctl", "reset-failed agent-worker-marie") => {}
        ("systemctl", "stop agent-worker-marie") => assert_eq!(machine.state()["status"], "stopped"),
        ("systemctl", "start agent-worker-marie") => {
            assert_eq!(machine.shows(MARIE, "ActiveState"), "active", "{said}");
        }
        // Told, and nothing that runs notices.
        ("systemctl", _) => assert_eq!(machine.main_pid(MARIE), before, "{said}"),
        _ => unreachable!("{command}"),
    }
    assert!(is_well, "{command}: {said}");
}
