//! What ends: a stop, a worker that nobody brings back, a configuration that is wrong, the machine.

use crate::install::SERVICES;
use crate::life::{MARIE, gated, is_counting_down, is_replaced, went_well};
use crate::machine::Machine;

/// `systemctl stop`: orderly, and nobody takes it for a death.
pub(crate) fn is_stopped(machine: &Machine) {
    let agent = gated(machine, "stop");
    machine.run("systemctl stop agent-worker-marie");
    assert_eq!(machine.shows(MARIE, "ActiveState"), "inactive");
    assert_eq!(machine.shows(MARIE, "Result"), "success");
    assert_eq!(machine.state()["status"], "stopped");
    assert!(!machine.is_alive(agent));
    assert!(!is_counting_down(machine));
    let task = machine.filed("pending", "stop");
    assert_eq!(task["retry_count"].as_u64().unwrap_or(0), 0, "{task}");

    machine.run("systemctl start agent-worker-marie");
    machine.at_work("stop", 2);
    machine.open("stop");
    assert_eq!(machine.filed("completed", "stop")["attempts"].as_array().unwrap().len(), 2);
}

/// Killed, and nobody starts it: its agent may finish, but not for ever. While a watcher lives nothing is ended.
pub(crate) fn is_left(machine: &Machine) {
    let agent = gated(machine, "left");
    machine.run("systemctl start agent-leftovers@marie.service");
    assert!(machine.is_alive(agent), "{}", machine.said());

    let units = "/etc/systemd/system";
    machine.run(&format!(
        "mkdir {units}/agent-worker-marie.service.d {units}/agent-leftovers@.timer.d; \
         printf '[Service]\\nRestart=no\\n' > {units}/agent-worker-marie.service.d/override.conf; \
         printf '[Timer]\\nOnActiveSec=\\nOnActiveSec=10s\\n' > {units}/agent-leftovers@.timer.d/override.conf; \
         systemctl daemon-reload"
    ));
    machine.run("systemctl kill --signal KILL --kill-whom main agent-worker-marie");
    machine.until("its leftovers are waited for", || is_counting_down(machine).then_some(()));
    assert!(machine.is_alive(agent), "{}", machine.said());
    let task = machine.filed("pending", "left");
    assert!(!machine.is_alive(agent));
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");
    machine.until("that is all", || {
        let unit = "agent-leftovers@marie.service";
        let is_over =
            machine.shows(unit, "ActiveState") == "inactive" && machine.shows(unit, "Result") == "success";
        is_over.then_some(())
    });

    machine.run(&format!("rm -r {units}/agent-worker-marie.service.d {units}/agent-leftovers@.timer.d"));
    machine.run("systemctl daemon-reload; systemctl start agent-worker-marie");
    machine.at_work("left", 2);
    machine.open("left");
    machine.filed("completed", "left");
}

/// The other way round: nobody but the supervisor restarts, by asking systemd.
pub(crate) fn is_restarted_by_the_supervisor(machine: &Machine) {
    let dropped = "/etc/systemd/system/agent-worker-marie.service.d";
    machine.run(&format!("mkdir {dropped}; printf '[Service]\\nRestart=no\\n' > {dropped}/override.conf"));
    machine.run("systemctl daemon-reload; systemctl stop agent-supervisor");
    let flags = "--workers marie --metrics-addr none --restart systemd --log-dir /run";
    machine.run(&format!(
        "setsid supervisor run {flags} > /run/supervisor.out 2>&1 & echo $! > /run/supervisor.pid"
    ));
    let told = |words: &str| {
        let said = || machine.run("cat /run/supervisor.out").contains(words).then_some(());
        machine.until(&format!("the supervisor says: {words}"), said);
    };
    told("taken over as it is");
    let (watcher, agent) = (machine.main_pid(MARIE), gated(machine, "asked"));
    machine.run("systemctl kill --signal KILL --kill-whom main agent-worker-marie");
    is_replaced(machine, watcher);
    assert!(machine.is_alive(agent), "{}", machine.said());
    told("up again");
    went_well(machine, "asked", 1, 0);
    let why = machine.state();
    assert_eq!(why["last_crash_reason"], "signal_9", "{why}");
    assert!(
        why["last_crash_detail"].as_str().is_some_and(|it| it.contains("systemd: Result=signal")),
        "{why}"
    );

    machine.run("kill $(cat /run/supervisor.pid)");
    machine.run(&format!("rm -r {dropped}; systemctl daemon-reload; systemctl start agent-supervisor"));
}

/// The target is all of them.
pub(crate) fn are_one(machine: &Machine) {
    machine.run("systemctl stop agent-worker.target");
    for unit in SERVICES {
        machine.until(&format!("{unit} stops with its target"), || {
            (machine.shows(unit, "ActiveState") == "inactive").then_some(())
        });
    }
    // By hand it was started more often than a host would.
    machine.run("systemctl reset-failed; systemctl start agent-worker.target");
    are_up(machine);
}

/// Exit 78 is final: systemd does not try it over and over.
pub(crate) fn is_misconfigured(machine: &Machine) {
    machine.run("echo WORKER_CONCURRENCY=many > /etc/agent-worker/anga.env");
    assert!(!machine.try_run("systemctl restart agent-worker-anga").0);
    assert_eq!(machine.shows("agent-worker-anga", "ActiveState"), "failed");
    assert_eq!(machine.shows("agent-worker-anga", "ExecMainStatus"), "78");
    assert_eq!(machine.shows("agent-worker-anga", "NRestarts"), "0");
    machine.run("rm /etc/agent-worker/anga.env; systemctl restart agent-worker-anga");
}

/// The machine goes down, in order and not, with an agent at work; the units come up by themselves.
pub(crate) fn reboots(machine: &Machine) {
    gated(machine, "machine");
    machine.reboot();
    are_up(machine);
    machine.at_work("machine", 2);
    machine.lose_power();
    are_up(machine);
    machine.at_work("machine", 3);
    machine.open("machine");
    let task = machine.filed("completed", "machine");
    let attempts = task["attempts"].as_array().unwrap();
    let charged: Vec<bool> = attempts.iter().map(|it| it["charged"] == true).collect();
    // The stop is not the task's fault; whether the cut was, nobody can tell.
    assert_eq!(charged, [false, true, false], "{task}");
    assert!(attempts.iter().all(|it| it["session_id"] == attempts[0]["session_id"]), "{task}");
}

pub(crate) fn are_up(machine: &Machine) {
    for unit in SERVICES {
        machine.until(&format!("{unit} is up"), || {
            (machine.shows(unit, "ActiveState") == "active").then_some(())
        });
    }
}
