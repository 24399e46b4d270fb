//! What `scripts/install.sh` installs: it is clean, it starts, it has its limits, and it is closed.

use std::fs;

use crate::machine::{Machine, clone_into};

/// The services, the supervisor last.
pub(crate) const SERVICES: [&str; 4] =
    ["agent-worker-marie", "agent-worker-anga", "agent-worker-fabien", "agent-supervisor"];

const KEY: &str = "unlikely-looking-value-of-a-key";

const INSTALL: &str = "cd /opt/agent-worker && scripts/install.sh --programs bin";

/// Puts a clone there and runs the installation.
pub(crate) fn install(machine: &Machine) {
    let clone = tempfile::Builder::new().prefix("aw-clone-").tempdir_in("/tmp").unwrap();
    clone_into(clone.path());
    machine.put(clone.path(), "/opt/agent-worker");
    machine.run(INSTALL);
    machine.run("install -m 755 /opt/agent-worker/bin/claude /usr/bin/claude");
    machine.run("useradd --groups agents alice");
    // More agents in a minute than an account would like.
    machine.run("echo 'api_requests_per_minute = 0' > /etc/agent-worker/config.toml");
}

/// systemd finds nothing to say about the units, and all users, groups and folders are there.
pub(crate) fn is_clean(machine: &Machine) {
    let said = machine.run(
        "cd /usr/local/lib/systemd/system && systemd-analyze verify agent-worker.target agent-worker-*.service \
         agent-supervisor.service agent-leftovers@marie.service agent-leftovers@marie.timer",
    );
    assert_eq!(said, "");
    assert_eq!(
        machine.run("stat -c '%U %G %a' /shared /tmp/marie"),
        "agent-worker agents 2770\nagent-worker agents 700"
    );
    assert!(machine.run("id agent-worker").contains("(agents)"));
    // It can be run again.
    machine.run(INSTALL);
}

/// `systemctl enable --now` comes back when they are ready, and they say what they do.
pub(crate) fn starts(machine: &Machine) {
    machine.run(&format!("umask 077; printf '{KEY}\n' > /etc/credstore/anthropic-api-key"));
    machine.run(&format!("systemctl enable --now agent-worker.target {}", SERVICES.join(" ")));
    for unit in SERVICES {
        assert_eq!(machine.shows(unit, "ActiveState"), "active", "{unit}\n{}", machine.said());
    }
    machine.until("marie says what she does", || {
        (machine.shows("agent-worker-marie", "StatusText") == "running: 0 at work, 0 waiting").then_some(())
    });
    machine.until("the supervisor says what it does", || {
        (machine.shows("agent-supervisor", "StatusText") == "running: 3 of 3 workers up").then_some(())
    });
    assert_eq!(machine.run("systemctl is-system-running"), "running");
}

/// Memory, files, processes and the processor, as the runbook has them.
pub(crate) fn has_its_limits(machine: &Machine) {
    for unit in &SERVICES[..3] {
        let wanted = [
            ("MemoryMax", (2_u64 << 30).to_string().as_str()),
            ("MemorySwapMax", "0"),
            ("CPUQuotaPerSecUSec", "1s"),
            ("LimitNOFILE", "65536"),
            ("LimitNPROC", "32768"),
            ("TasksMax", "32768"),
            ("LimitCORE", "0"),
            ("KillMode", "process"),
            ("OOMPolicy", "continue"),
            ("Restart", "on-failure"),
            ("WatchdogUSec", "5min"),
        ]
        .map(|(property, value)| format!("{property}={value}"));
        let shown = machine.run(&format!("systemctl show {unit}"));
        let missing: Vec<_> = wanted.iter().filter(|it| !shown.lines().any(|line| line == *it)).collect();
        assert!(missing.is_empty(), "{unit}: {missing:?}\n{shown}");
        // Where this test is a container itself, PID 1 may have less to give.
        for (name, most) in [("open files", 65536), ("processes", 32768)] {
            let (given, there) = (limit(machine, machine.main_pid(unit), name), limit(machine, 1, name));
            assert_eq!(given, most.min(there), "{unit}: {name}");
        }
    }
}

/// The hard limit of a process, as the kernel has it.
fn limit(machine: &Machine, pid: i32, name: &str) -> u64 {
    let said = machine.run(&format!("grep '^Max {name} ' /proc/{pid}/limits"));
    let hard = said.split_whitespace().nth_back(1).unwrap_or_default().to_owned();
    if hard == "unlimited" { u64::MAX } else { hard.parse().unwrap() }
}

/// What `systemd-analyze security` makes of them; 10 is open.
pub(crate) fn is_hardened(machine: &Machine) {
    for (unit, most) in [
        ("agent-supervisor.service", 2.0),
        ("agent-leftovers@marie.service", 2.0),
        ("agent-worker-marie.service", 2.2),
    ] {
        let said = machine.run(&format!("systemd-analyze security --no-pager {unit} | tail -n 1"));
        let words = said.split_whitespace();
        let exposure: f64 = words.filter_map(|word| word.parse().ok()).next_back().unwrap_or(10.0);
        println!("          {said}");
        assert!(exposure <= most, "{said}");
    }
}

/// The credential is in the agent's environment, and in nothing that is logged.
pub(crate) fn hands_the_key_on(machine: &Machine) {
    machine.submit("key", "env name=ANTHROPIC_API_KEY");
    assert_eq!(machine.filed("completed", "key")["result"], format!("ANTHROPIC_API_KEY={KEY}"));
    machine.submit("path", "env name=CREDENTIALS_DIRECTORY");
    let told = machine.filed("completed", "path")["result"].to_string();
    assert!(!told.contains("/run/credentials"), "{told}");

    let lines = machine.run("journalctl -u agent-worker-marie -n 100");
    assert!(lines.contains("task=key") && lines.contains("task COMPLETED"), "{lines}");
    let logs = machine.run("cat /var/log/agents/*.log; journalctl --no-pager");
    assert!(!logs.contains(KEY), "{logs}");
    assert!(!fs::read_to_string(machine.root().join("workers/marie/state.json")).unwrap().contains(KEY));
}
