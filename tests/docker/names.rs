//! What operators type, with the names that the runbook knows.

use std::fs;
use std::process::Stdio;

use crate::WORKERS;
use crate::blocks::text;
use crate::real;
use crate::stage::{Stage, both, descriptors};
use crate::world;

/// The blocks that are shell, as they stand there; what they ask of systemd and of Python is not on this host.
pub(crate) fn the_runbooks_commands(stage: &Stage) {
    let status = stage.block(text(1));
    for (worker, _) in WORKERS {
        let line = status.lines().find(|line| line.ends_with(worker)).unwrap_or_default();
        assert!(line.contains("Up ") && line.contains(&format!("agent-worker:{worker}")), "{status}");
    }
    assert!(status.lines().filter(|line| line.contains("/app/watcher")).count() >= 3, "{status}");
    assert!(!status.contains("No heartbeat file"), "{status}");
    let logs = stage.block(text(2));
    for (worker, _) in WORKERS {
        let told =
            |line: &&str| line.contains(&format!(r#""worker":"{worker}""#)) && line.contains("at work");
        assert_eq!(logs.lines().filter(told).count(), 2, "docker's and the application's log: {logs}");
    }
    let before = stage.last_beat("marie");
    let restart = stage.block(text(3));
    assert!(restart.contains("active_tasks 0") && !restart.contains("not responding"), "{restart}");
    assert!(
        restart.lines().any(|line| line.contains("agent-worker:marie") && line.contains("Up ")),
        "{restart}"
    );
    stage.beating_anew("marie", before);
    let files = stage.block(text(5));
    let most = descriptors().to_string();
    assert_eq!(files.lines().filter(|line| **line == *most).count(), 3, "{files}");
    let claude = stage.block(text(7));
    assert_eq!(claude.matches("/usr/local/bin/claude\n").count(), 3, "{claude}");
    assert!(!claude.contains("Claude not"), "{claude}");
    assert_eq!(claude.matches("(Claude Code)").count(), 3, "{claude}");
}

pub(crate) fn pages_from_a_neighbour_and_from_the_host(stage: &Stage) {
    for (worker, port) in WORKERS {
        let ask = format!("curl -fsS http://{worker}:{port}");
        let neighbour = stage.shell(&format!("docker exec supervisor {ask}/metrics"));
        assert!(neighbour.contains("active_tasks 0"), "{neighbour}");
        let status = stage.shell(&format!("docker exec supervisor {ask}/api/status"));
        assert!(status.contains(worker), "a neighbour's name is one of ours: {status}");
        assert!(stage.shell(&format!("{ask}/metrics")).contains("active_tasks 0"), "from the host's shell");
    }
    stage.within("the supervisor is served, and all are up", || {
        let output = stage.host.shell("curl -fsS http://localhost:9002/health/orchestrator");
        output.status.success().then_some(())
    });
    // Docker asks for the first time after its interval; what it will ask is asked at once.
    for (name, port) in WORKERS.into_iter().chain([("supervisor", 9002)]) {
        let test = stage.inspect(name, "json .Config.Healthcheck");
        // A worker's as the runbook has it; of the supervisor that knows nothing.
        let page = if name == "supervisor" { "health" } else { "metrics" };
        let asks = format!(r#"["CMD","curl","-f","http://localhost:{port}/{page}"]"#);
        assert!(test.contains(&asks), "{test}");
        for figure in [
            r#""Interval":30000000000"#,
            r#""Timeout":10000000000"#,
            r#""StartPeriod":40000000000"#,
            r#""Retries":3"#,
        ] {
            assert!(test.contains(figure), "{figure}: {test}");
        }
        stage.shell(&format!("docker exec {name} curl -f http://localhost:{port}/{page}"));
    }
    let limits = stage.inspect("marie", "json .HostConfig");
    for figure in [r#""Memory":2147483648"#, r#""MemorySwap":2147483648"#, r#""CpuQuota":100000"#] {
        assert!(limits.contains(figure), "{figure}: {limits}");
    }
    assert_eq!(stage.inspect("marie", ".Config.StopTimeout"), "30");
}

/// The runbook's command for a debug container, as it stands there.
fn debug_container() -> &'static str {
    let block = text(9);
    block.split("# Watch logs").next().unwrap()
}

/// The runbook's command to watch it, which ends with it.
fn watching() -> &'static str {
    let line = text(9).lines().find(|line| line.starts_with("docker logs -f"));
    line.unwrap()
}

pub(crate) fn the_second_of_one_name_says_who_has_it(stage: &Stage) {
    let before = stage.last_beat("marie");
    stage.shell(debug_container());
    stage.within("it is refused", || {
        (stage.inspect("marie-debug", ".State.Status") == "exited").then_some(())
    });
    let said = stage.logs("marie-debug");
    assert_eq!(stage.inspect("marie-debug", ".State.ExitCode"), "78", "{said}");
    assert!(said.contains("a watcher holds worker marie already (pid 1 on marie, since "), "{said}");
    stage.shell("docker rm marie-debug");
    stage.beating_anew("marie", before);
    // The same with Docker's own name for it, and the tree between them: the lock is the tree's.
    let id = stage.shell("docker run -d -v /shared:/shared agent-worker:anga");
    let code = stage.shell(&format!("docker wait {id}"));
    assert_eq!(code.trim(), "78");
    stage.shell(&format!("docker rm {id}"));
}

pub(crate) fn alone_the_debug_container_works(stage: &Stage) {
    let before = stage.last_beat("marie");
    stage.shell("docker stop marie");
    stage.shell(debug_container());
    stage.beating_anew("marie", before);
    let said = stage.logs("marie-debug");
    assert!(
        said.contains("no traces are sent to http://otel-collector:4317"),
        "its variables are heard: {said}"
    );
    let neighbour = stage.shell("docker exec anga curl -fsS http://marie-debug:9091/metrics");
    assert!(neighbour.contains("active_tasks"), "{neighbour}");
    stage.shell("docker exec marie-debug sh -c \"ulimit -c unlimited\"");
    let mut typed = stage.host.within("bash");
    typed.args(["-c", watching()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let reader = typed.spawn().unwrap();
    let python = stage.block("docker exec marie-debug python --version");
    assert!(python.contains("there is no Python in this image"), "{python}");
    stage.shell("docker stop marie-debug");
    let watched = both(&reader.wait_with_output().unwrap());
    assert!(
        watched.contains("at work") && watched.lines().count() == stage.logs("marie-debug").lines().count()
    );
    stage.shell("docker rm marie-debug");
}

/// As docs/docker.md has it. A bug has to end the first process of a namespace too, which takes no signal of its own.
pub(crate) fn a_bug_leaves_a_report_and_a_core(stage: &Stage) {
    let before = stage.last_beat("marie");
    let buggy = "-e LOG_LEVEL=DEBUG -e AGENT_WORKER_PANIC_AFTER=8 --ulimit core=-1";
    stage.shell(&debug_container().replace("-e LOG_LEVEL=DEBUG", buggy));
    stage.beating_anew("marie", before);
    stage.shell("docker exec marie-debug prlimit --pid 1 --core=unlimited");
    // Its start takes fewer steps than the bug waits for, and these tasks take more.
    let names = ["bitten-1", "bitten-2", "bitten-3"];
    for name in names {
        stage.world.submit(
            "marie/pending",
            name,
            &serde_json::json!({ "prompt": "fake: succeed text=done" }),
        );
    }
    assert_eq!(stage.shell("docker wait marie-debug").trim(), "139", "{}", stage.logs("marie-debug"));
    names_lines_of_ours(stage);
    let left = fs::read_dir(stage.world.root().join("workers/marie")).unwrap().flatten();
    let report = left.filter(|it| it.file_name().to_string_lossy().starts_with("panic-")).last().unwrap();
    let report = fs::read_to_string(report.path()).unwrap();
    assert!(report.contains("/src/watcher/panic.rs:"), "the report names lines: {report}");
    stage.shell("docker rm marie-debug && docker start marie");
    for name in names {
        assert_eq!(stage.world.filed("marie/completed", name)["result"], "done");
    }
    let left = world::json(&stage.world.root().join("workers/marie/state.json")).unwrap();
    assert_eq!(left["last_crash_reason"], "panic", "{left}");
}

fn names_lines_of_ours(stage: &Stage) {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with(['|', '/']) {
        real::skip(&format!("core dumps of this machine go elsewhere: {}", pattern.trim()));
        return;
    }
    if real::program("gdb").is_none() {
        return;
    }
    let dump = stage.world.path().join("dump");
    let (dump, home) = (dump.display(), "marie-debug:/home/agent-worker");
    stage.shell(&format!("docker cp {home} {dump} && docker cp marie-debug:/app/watcher {dump}"));
    let trace = stage.shell(&format!("cd {dump} && gdb -batch -ex 'thread apply all bt' watcher core* 2>&1"));
    assert!(trace.contains("src/spool/kill_point.rs:"), "the line of the bug: {trace}");
}
