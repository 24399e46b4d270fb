//! What is logged can be asked for by its fields, reads well, and needs no journal to be said.

use serde_json::{Value, json};

use crate::life::MARIE;
use crate::machine::Machine;

/// The entries that match, as the journal has them.
fn entries(machine: &Machine, matches: &str) -> Vec<Value> {
    let text = machine.run(&format!("journalctl --no-pager --output json {matches}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `journalctl` finds a task by its name, its run, its correlation and its worker; a journal that is stopped holds up
/// nobody, and has what comes after it is back.
pub(crate) fn is_asked(machine: &Machine) {
    machine.drop_task("noted", &json!({"prompt": "fake: succeed text=done", "correlation_id": "board-42"}));
    let task = machine.filed("completed", "noted");
    let run = task["run_id"].as_str().unwrap();
    let concluded = |matches: &str| {
        machine.until(&format!("the journal has {matches}"), || {
            let found = entries(machine, matches);
            found
                .into_iter()
                .find(|it| it["MESSAGE"].as_str().is_some_and(|it| it.contains("task COMPLETED")))
        })
    };
    for matches in [
        "TASK_ID=noted",
        &format!("RUN_ID={run}"),
        "CORRELATION_ID=board-42",
        "WORKER=marie TASK_ID=noted",
        "--unit agent-worker-marie PRIORITY=6 TASK_ID=noted",
        "SYSLOG_IDENTIFIER=watcher TASK_ID=noted",
    ] {
        let entry = concluded(matches);
        assert_eq!((&entry["TASK_ID"], &entry["WORKER"]), (&"noted".into(), &"marie".into()), "{entry}");
        assert_eq!(entry["_SYSTEMD_UNIT"], "agent-worker-marie.service", "{entry}");
        let message = entry["MESSAGE"].as_str().unwrap();
        assert!(message.starts_with("task COMPLETED task=noted "), "{message}");
    }
    assert_eq!(machine.try_run("journalctl --quiet TASK_ID=noted WORKER=anga").1, "");
    let grave = entries(machine, "--unit agent-worker-marie --priority warning");
    assert!(grave.iter().all(|it| it["MESSAGE"].as_str().is_none_or(|it| !it.starts_with("task COMPLETED"))));

    let journal = "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service";
    let watcher = machine.main_pid(MARIE);
    machine.run(&format!("systemctl stop {journal}"));
    machine.submit("unheard", "succeed text=done");
    assert_eq!(machine.filed("completed", "unheard")["result"], "done");
    machine.run("grep -q '\"task\":\"unheard\".*task COMPLETED' /var/log/agents/marie.log");
    machine.run(&format!("systemctl start {journal}"));
    machine.submit("heard", "succeed text=done");
    machine.filed("completed", "heard");
    concluded("TASK_ID=heard");
    assert_eq!(machine.main_pid(MARIE), watcher);
}
