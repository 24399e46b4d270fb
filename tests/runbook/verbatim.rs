//! Blocks of the runbook typed as they stand there: at `/shared`, with the names and ports it knows.
//!
//! What needs Docker or a service manager is not on this host and says so on stderr; the rest of the block runs.

use crate::blocks::text;
use crate::host::Host;
use crate::traces::{gate, open, said};

const WORKERS: [&str; 3] = ["marie", "anga", "fabien"];

#[test]
fn looking_around_finds_what_it_looks_for() {
    let Some(host) = Host::at_work() else { return };
    let status = host.shell(text(1));
    assert!(!status.contains("No heartbeat file"), "{status}");
    for worker in WORKERS {
        let beat = status.split(&format!("=== {worker} ===\n")).nth(1).unwrap_or_default();
        assert!(beat.contains(&format!(r#""worker":"{worker}""#)), "{status}");
        let process = status.lines().any(|line| line.contains("watcher") && line.contains(worker));
        assert!(process, "ps shows its watcher: {status}");
    }
    let logs = host.shell(text(2));
    for worker in WORKERS {
        let told = |line: &str| line.contains(&format!(r#""worker":"{worker}""#)) && line.contains("at work");
        assert!(logs.lines().any(told), "{logs}");
    }
    let restart = host.shell(text(3));
    assert!(restart.contains("active_tasks 0") && !restart.contains("not responding"), "{restart}");
    let files = host.shell(text(5));
    assert!(files.lines().any(|line| line.split_whitespace().count() == 3), "file-nr: {files}");
    let pipes = host.shell(text(7));
    assert!(pipes.contains("total "), "the folder of the pipes is there: {pipes}");
    host.stop();
}

#[test]
fn nothing_healthy_looks_deadlocked() {
    let Some(host) = Host::at_work() else { return };
    let gate = gate(&host.world, "a");
    host.drop_by_echo("marie/pending", "t", &format!("fake: gate={}; succeed text=done", gate.display()));
    host.world.until("it runs", || (said(&host.world, "message", "t").len() == 1).then_some(()));
    for worker in WORKERS {
        assert_eq!(host.python(text(6), &format!("detect_deadlock('{worker}')")), "");
    }
    open(&gate);
    host.world.filed("marie/completed", "t");
    host.stop();
}

#[test]
fn clean_recovery_beside_a_supervisor_loses_and_doubles_nothing() {
    let Some(host) = Host::at_work() else { return };
    let gate = gate(&host.world, "a");
    for task in ["t1", "t2"] {
        let prompt =
            format!("fake: gate={0}; succeed text=done | gate={0}; succeed text=done", gate.display());
        host.drop_by_echo("marie/pending", task, &prompt);
        host.world.until("it runs", || (said(&host.world, "message", task).len() == 1).then_some(()));
    }
    let alive = host.python(text(8), "clean_recovery('marie')");
    assert!(alive.contains("Starting clean recovery for marie"), "{alive}");
    assert!(alive.contains("Clean recovery completed for marie"), "{alive}");
    host.world.until("both are at work again", || {
        (host.world.homes("t1") == ["marie/active"] && host.world.homes("t2") == ["marie/active"])
            .then_some(())
    });
    host.murder("marie");
    host.python(text(8), "clean_recovery('marie')");
    host.until_beating("marie");
    open(&gate);
    for task in ["t1", "t2"] {
        assert_eq!(host.world.filed("marie/completed", task)["result"], "done");
        assert_eq!(host.world.homes(task), ["marie/completed"]);
        assert_eq!(said(&host.world, "start", task).len(), 1, "its agent lived all the time");
    }
    host.stop();
}

#[test]
fn the_script_for_a_gradual_resume_strands_nothing() {
    let Some(host) = Host::at_work() else { return };
    let gate = gate(&host.world, "a");
    let names: Vec<_> = (0..12).map(|n| format!("t{n:02}")).collect();
    for name in &names {
        let prompt = format!("fake: gate={}; succeed text=done", gate.display());
        host.drop_by_echo("marie/pending", name, &prompt);
    }
    host.world.until("all slots are taken", || {
        let running = names.iter().filter(|name| said(&host.world, "message", name).len() == 1).count();
        (running == 5).then_some(())
    });
    let told = host.python(text(10), "gradual_resume('marie', batch_size=5, delay=0)");
    for line in ["Found 7 pending tasks", "Processing batch 1: 5 tasks", "Processing batch 2: 2 tasks"] {
        assert!(told.contains(line), "{told}");
    }
    open(&gate);
    for name in &names {
        host.world.filed("marie/completed", name);
        assert_eq!(said(&host.world, "start", name).len(), 1);
    }
    host.stop();
}

#[test]
fn monitoring_reads_the_numbers_it_asks_for() {
    let Some(host) = Host::at_work() else { return };
    for worker in WORKERS {
        // Its loop sleeps ten seconds after each look; one look is enough.
        let once = text(11).replace("time.sleep(10)", "time.sleep(0.1)");
        let told = host.python(&once, &format!("monitor_recovery('{worker}', duration=0.05)"));
        assert!(told.contains("] active_tasks 0\n") && told.contains("] task_failed_total 0\n"), "{told}");
    }
    host.stop();
}
