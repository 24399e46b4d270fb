//! The package goes and comes back.

use crate::machine::Machine;
use crate::page;
use crate::there::{SERVICES, are_up, filed, gated, type_it, works};

/// Services end in order; who lives on without a watcher is told. What is the operator's stays.
pub(crate) fn is_removed(machine: &Machine) {
    let before = filed(machine);
    // Its watcher was killed, and nobody brings it back.
    machine.run(
        "mkdir /run/systemd/system/agent-worker-marie.service.d; cd /run/systemd/system; \
         printf '[Service]\\nRestart=no\\n' > agent-worker-marie.service.d/override.conf; systemctl daemon-reload",
    );
    let agent = gated(machine, "left");
    machine.run("systemctl kill --signal KILL --kill-whom main agent-worker-marie");
    let at_work = "echo '{\"prompt\":\"fake: gate=/shared/other; succeed text=done\"}' > /shared/tasks/anga/pending/other.json";
    machine.run(at_work);
    let other = machine.root().join("tasks/anga/active/other.json");
    machine.until("anga is at work too", || other.exists().then_some(()));

    let [remove, _] = &page::typed("### Remove")[..] else { panic!("two blocks below `Remove`") };
    let said = type_it(machine, 2, &remove.replace("remove ", "remove -y "));
    assert!(machine.is_alive(agent), "a removal kills nobody: {said}");
    assert!(said.contains(&format!("{agent} ")) && said.contains("pkill -u agent-worker"), "{said}");
    machine.run("pkill -u agent-worker");
    machine.until("that ends it", || (!machine.is_alive(agent)).then_some(()));

    assert_eq!(machine.run("ls /usr/bin | grep -cE '^(watcher|supervisor|agentctl)$' || true"), "0");
    for unit in SERVICES {
        assert_eq!(machine.shows(unit, "LoadState"), "not-found", "{unit}");
    }
    assert_eq!(machine.run("ls /etc/systemd/system/agent-worker.target.wants 2>/dev/null || true"), "");
    assert_eq!(machine.run("systemctl is-system-running"), "running", "no unit is left that fails");
    assert!(machine.root().join("tasks/anga/pending/other.json").exists(), "it waits");
    assert!(machine.run("cat /etc/agent-worker/config.toml").contains("mine"));
    assert_eq!(filed(machine), before);
}

/// It takes up what it finds.
pub(crate) fn is_back(machine: &Machine) {
    type_it(machine, 2, &page::only("### Install").replace("install ", "install -y "));
    assert!(machine.run("cat /etc/agent-worker/config.toml").contains("mine"));
    machine.run(&page::typed("### Start")[0]);
    are_up(machine);
    machine.at_work("left", 2);
    machine.open("left");
    machine.open("other");
    assert_eq!(machine.filed("completed", "left")["result"], "done");
    let other = machine.root().join("tasks/anga/completed/other.json");
    machine.until("the other is done too", || other.exists().then_some(()));
}

/// The configuration goes, and no task.
pub(crate) fn is_purged(machine: &Machine) {
    let before = filed(machine);
    machine.run("echo LOG_LEVEL=debug > /etc/agent-worker/marie.env");
    let [_, purge] = &page::typed("### Remove")[..] else { panic!("two blocks below `Remove`") };
    let said = type_it(machine, 2, &purge.replace("purge ", "purge -y "));
    assert!(said.contains("left are /shared"), "{said}");
    assert!(!machine.try_run("ls /etc/agent-worker").0);
    assert_eq!(machine.run("dpkg-query -W -f '${Status}' agent-worker 2>/dev/null || true"), "");
    assert!(!before.is_empty());
    assert_eq!(filed(machine), before);
    machine.run("id agent-worker");
}

/// As at the first time.
pub(crate) fn is_new(machine: &Machine) {
    type_it(machine, 2, &page::only("### Install").replace("install ", "install -y "));
    assert!(!machine.run("cat /etc/agent-worker/config.toml").contains("mine"));
    machine.run("rm /shared/tasks/*/completed/hello.json");
    works(machine);
}
