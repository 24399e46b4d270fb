//! What is promised everywhere, under systemd.

use std::path::PathBuf;

use crate::ends::are_up;
use crate::install::SERVICES;
use crate::life::MARIE;
use crate::machine::Machine;
use crate::promises::{Host, drops, names, room, trees};

impl Host for Machine {
    fn root(&self) -> PathBuf {
        self.root()
    }

    fn there(&self) -> String {
        "/shared".to_owned()
    }

    fn agents(&self) -> PathBuf {
        self.home().join("fake-claude.log")
    }

    /// Alice, of the operators' group.
    fn operator(&self, line: &str) -> String {
        let (is_well, text) = self.typed("alice", line);
        assert!(is_well, "{line}\n{text}\n{}", self.said());
        text
    }

    fn inside(&self, line: &str) -> (bool, String) {
        self.try_run(line)
    }

    fn until<T>(&self, what: &str, fact: impl FnMut() -> Option<T>) -> T {
        self.until(what, fact)
    }
}

/// An operator drops tasks with every tool, through what closes the units off.
pub(crate) fn is_given_tasks_by_every_hand(machine: &Machine) {
    drops::by_every_hand(machine);
}

/// Four tasks of one name.
pub(crate) fn keeps_what_has_a_name(machine: &Machine) {
    names::nothing_is_written_over(machine);
}

/// Cancelled, too late, and done.
pub(crate) fn ends_whole_trees(machine: &Machine) {
    let watcher = machine.main_pid(MARIE);
    trees::end_with_their_task(machine);
    assert_eq!(machine.main_pid(MARIE), watcher, "{}", machine.said());
}

/// `/shared` is a small disk of its own, and runs full.
pub(crate) fn runs_out_of_room(machine: &Machine) {
    machine.run("systemctl stop agent-worker.target");
    for unit in SERVICES {
        machine.until(&format!("{unit} stops"), || {
            (machine.shows(unit, "ActiveState") == "inactive").then_some(())
        });
    }
    machine.run(
        "mount -t tmpfs -o size=2m,mode=2770,uid=$(id -u agent-worker),gid=$(getent group agents | cut -d: -f3) \
         tmpfs /shared",
    );
    machine.run("systemctl reset-failed; systemctl start agent-worker-marie");
    let watcher = machine.main_pid(MARIE);
    room::runs_out_and_comes_back(machine, || machine.run("journalctl -u agent-worker-marie -n 200"));
    assert_eq!(machine.main_pid(MARIE), watcher, "{}", machine.said());
    assert_eq!(machine.shows(MARIE, "NRestarts"), "0");

    machine.run("systemctl stop agent-worker-marie; umount /shared");
    machine.run("systemctl start agent-worker.target");
    are_up(machine);
}
