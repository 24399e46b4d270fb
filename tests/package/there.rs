//! The package is there: installed, at work, updated.

use std::fs;

use crate::built::{NEW_SETTING, NEXT, VERSION};
use crate::machine::Machine;
use crate::page;

/// Where the packages lie on the machine, the first version in `1`, the next in `2`.
pub(crate) const PACKAGES: &str = "/root/packages";
pub(crate) const SERVICES: [&str; 4] =
    ["agent-worker-marie", "agent-worker-anga", "agent-worker-fabien", "agent-supervisor"];
const CONFIG: &str = "/etc/agent-worker/config.toml";
const MINE: &str = "agent_timeout = \"1h\"  # mine";

/// Types a block of the page where that version lies.
pub(crate) fn type_it(machine: &Machine, version: u8, block: &str) -> String {
    machine.run(&format!("export DEBIAN_FRONTEND=noninteractive; cd {PACKAGES}/{version}; set -e\n{block}"))
}

/// Everything is in its place, for whom it is meant; and it waits for a word.
pub(crate) fn is_installed(machine: &Machine) {
    let said = type_it(machine, 1, &page::only("### Install").replace("install ", "install -y "));
    assert!(said.contains("nothing was started"), "{said}");
    assert_eq!(
        machine.run("dpkg-query -W -f '${Status} ${Version}' agent-worker"),
        format!("install ok installed {VERSION}")
    );
    assert_eq!(machine.run("dpkg --verify agent-worker"), "", "all files are as they were packed");
    assert!(machine.run("id agent-worker").contains("(agents)"));
    assert_eq!(
        machine.run(&format!("stat -c '%U %G %a' /shared /var/log/agents /etc/agent-worker {CONFIG}")),
        "agent-worker agents 2770\nagent-worker agents 2750\nroot agents 750\nroot agents 640"
    );
    let conffiles = machine.run("dpkg-query -W -f '${Conffiles}' agent-worker");
    assert_eq!(conffiles.split_whitespace().step_by(2).collect::<Vec<_>>(), [CONFIG]);
    for page in ["agentctl.1", "agentctl-status.1", "watcher.1", "supervisor-recover.1"] {
        assert!(machine.run(&format!("zcat /usr/share/man/man1/{page}.gz")).contains(".TH"), "{page}");
    }
    let completes = "source /usr/share/bash-completion/completions/agentctl; complete -p agentctl";
    assert!(machine.run(completes).contains("agentctl"));
    let verified = "systemd-analyze verify /usr/lib/systemd/system/agent-*.{service,timer,target}";
    assert_eq!(machine.run(verified), "");
    for unit in SERVICES {
        assert_eq!(machine.shows(unit, "ActiveState"), "inactive", "{unit}");
        assert_eq!(machine.shows(unit, "UnitFileState"), "disabled", "{unit}");
    }
}

/// `systemctl enable --now`, and the first task.
pub(crate) fn works(machine: &Machine) {
    let [start, task] = &page::typed("### Start")[..] else { panic!("two blocks below `Start`") };
    machine.run(start);
    are_up(machine);
    let said = machine.run(task);
    assert!(said.contains("COMPLETED"), "{said}");
    let filed = machine.run("cat /shared/tasks/*/completed/hello.json");
    assert!(filed.contains("heard: say hello"), "{filed}");
}

/// The next version comes while an agent is at work and tasks wait: each is done once, and what was changed stays.
pub(crate) fn is_updated(machine: &Machine) {
    machine.run(&format!(
        "sed -i 's/^# agent_timeout .*/{MINE}/' {CONFIG}; systemctl reload agent-worker-marie"
    ));
    let agent = gated(machine, "running");
    for n in 0..6 {
        machine.submit(&format!("waiting-{n}"), "gate=/shared/running; succeed text=done");
    }
    let before = SERVICES.map(|unit| machine.main_pid(unit));
    type_it(machine, 2, &page::only("### Update").replace("install ", "install -y "));

    assert_eq!(machine.run("dpkg-query -W -f '${Version}' agent-worker"), NEXT);
    are_up(machine);
    for (unit, before) in SERVICES.iter().zip(before) {
        assert_ne!(machine.main_pid(unit), before, "{unit} goes on with the new program");
    }
    assert!(!machine.is_alive(agent), "it was interrupted, in order");
    machine.at_work("running", 2);
    machine.open("running");
    let task = machine.filed("completed", "running");
    assert_eq!(task["retry_count"], 0, "{task}");
    assert_eq!(task["attempts"][0]["session_id"], task["attempts"][1]["session_id"], "{task}");
    for name in std::iter::once("running".to_owned()).chain((0..6).map(|n| format!("waiting-{n}"))) {
        let task = machine.filed("completed", &name);
        assert_eq!(task["result"], "done", "{task}");
        let attempts = task["attempts"].as_array().unwrap();
        assert_eq!(machine.starts(&name), attempts.len(), "{task}");
        let (_, before) = attempts.split_last().unwrap();
        assert!(before.iter().all(|it| it["outcome"] == "interrupted" && it["charged"] == false), "{task}");
    }
    assert!(machine.run(&format!("cat {CONFIG}")).contains(MINE), "it is kept");
    assert!(
        machine.run(&format!("cat {CONFIG}.dpkg-dist")).ends_with(NEW_SETTING),
        "the new one lies beside"
    );
    // Longer than systemd lets the agents of a dead watcher live.
    let checks = machine.try_run("agentctl doctor --json").1;
    let remedy = "systemctl edit agent-leftovers@marie.timer, with the lines [Timer], OnActiveSec= and OnActiveSec=65min";
    assert!(checks.contains(remedy), "{checks}");
}

/// A task of marie whose agent waits until `open(name)`; its process.
pub(crate) fn gated(machine: &Machine, name: &str) -> i64 {
    machine.submit(name, &format!("gate=/shared/{name}; succeed text=done"));
    machine.at_work(name, 1)
}

/// All services are at work.
pub(crate) fn are_up(machine: &Machine) {
    for unit in SERVICES {
        machine.until(&format!("{unit} is up"), || {
            (machine.shows(unit, "ActiveState") == "active").then_some(())
        });
    }
}

/// The tasks that have ended, by path: what may never go.
pub(crate) fn filed(machine: &Machine) -> Vec<String> {
    let mut found = Vec::new();
    for worker in ["marie", "anga", "fabien"] {
        let dir = machine.root().join(format!("tasks/{worker}/completed"));
        let names = fs::read_dir(dir).into_iter().flatten().flatten();
        found.extend(names.map(|entry| entry.path().display().to_string()));
    }
    found.sort();
    found
}
