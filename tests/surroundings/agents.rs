//! What an agent finds around it: its environment, its descriptors, its signals, its prompt.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::json;

use crate::sight::{agent, status};
use crate::world::World;

fn environment(pid: i32) -> BTreeMap<String, String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.split('\0').filter_map(|it| it.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn only_what_is_allowed_reaches_the_agent() {
    let world = World::new();
    let mut command = world.watcher("marie");
    let hidden =
        ["NOTIFY_SOCKET", "CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "LD_X", "SECRET", "AWS_SECRET_ACCESS_KEY"];
    for name in hidden {
        command.env(name, "/nowhere");
    }
    command.env("ANTHROPIC_API_KEY", "dummy");
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    world.submit("", "t", &json!({"prompt": "fake: hang"}));
    let seen = environment(agent(&world, "t"));
    let task = world.active("marie", "t", |it| it["run_id"].is_string());
    for name in hidden {
        assert!(!seen.contains_key(name), "{name}");
    }
    assert_eq!(seen["AGENT_RUN_ID"], task["run_id"].as_str().unwrap());
    assert_eq!((seen["AGENT_TASK"].as_str(), seen["ANTHROPIC_API_KEY"].as_str()), ("t", "dummy"));
    assert!(seen["TMPDIR"].ends_with(&seen["AGENT_RUN_ID"]), "{}", seen["TMPDIR"]);
}

#[test]
fn nothing_is_open_but_the_three_and_the_prompt_is_not_on_show() {
    let world = World::new();
    let marker = world.path().join("left-open");
    fs::write(&marker, "").unwrap();
    // Whoever starts the watcher leaves a descriptor open.
    let inner = world.watcher("marie");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", r#"exec 9<"$0"; exec "$@""#])
        .arg(&marker)
        .arg(inner.get_program())
        .args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    for name in ["a", "b"] {
        world.submit("", name, &json!({"prompt": "fake: hang; say text=a-secret-word"}));
    }
    for name in ["a", "b"] {
        let pid = agent(&world, name);
        // What it opened itself leads elsewhere: to its transcripts, its log, its own pipes.
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let handed: Vec<_> = fds
            .filter(|fd| fd.file_name().to_str().unwrap().parse::<u32>().unwrap() > 2)
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .filter(|to| to == &marker || to.starts_with(world.root()) || to.starts_with(world.logs()))
            .collect();
        assert_eq!(handed, Vec::<std::path::PathBuf>::new());
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!String::from_utf8_lossy(&words).contains("a-secret-word"));
        let stdout = fs::read_link(format!("/proc/{pid}/fd/1")).unwrap();
        assert!(stdout.ends_with("attempt-1/stream.ndjson"), "{}", stdout.display());
    }
}

#[test]
fn a_prompt_larger_than_the_pipe_arrives_whole() {
    let world = World::new();
    let _watcher = world.up("marie");
    // The stand-in answers with the first line: all of it is one line.
    let prompt = "word ".repeat(400_000);
    world.submit("", "t", &json!({"prompt": prompt.trim()}));
    let task = world.filed("marie/completed", "t");
    let output = world.root().join(task["output"].as_str().unwrap());
    assert_eq!(fs::read_to_string(output).unwrap(), format!("heard: {}", prompt.trim()));
    assert!(task["result"].as_str().unwrap().len() <= 4096);
}

#[test]
fn signals_are_as_new_whatever_the_watcher_inherited() {
    let world = World::new();
    let inner = world.watcher("marie");
    // `env` of coreutils blocks and ignores before it executes.
    let can = Command::new("env").args(["--block-signal=TERM", "--ignore-signal=HUP", "true"]).status();
    assert!(can.is_ok_and(|it| it.success()), "env of coreutils 8.31 or newer");
    let mut command = Command::new("env");
    command.args(["--block-signal=TERM,USR1", "--ignore-signal=HUP,USR2,INT"]);
    command.arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    world.submit("", "t", &json!({"prompt": "fake: hang"}));
    let pid = agent(&world, "t");
    assert_eq!(status(pid, "SigBlk").as_deref(), Some("0000000000000000"));
    let ignored = u64::from_str_radix(&status(pid, "SigIgn").unwrap(), 16).unwrap();
    // Rust programs ignore SIGPIPE themselves, and the stand-in is one; 32 and 33 belong to the C library.
    assert_eq!(ignored & !(1 << 12 | 1 << 31 | 1 << 32), 0, "{ignored:x}");
    assert_eq!(watcher.stop(), 0, "the watcher hears SIGTERM as well");
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_without_traces_says_once_how_to_get_them_and_works() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let world = World::new();
    let mut command = world.watcher("marie");
    command.env("OTEL_TRACES_EXPORTER", "otlp").env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:pass@c:4317");
    let watcher = world.start(&mut command, "marie");
    let task = json!({"prompt": "fake: env name=TRACEPARENT", "traceparent": PARENT});
    world.submit("", "t", &task);
    let task = world.filed("marie/completed", "t");
    assert_eq!(task["result"], format!("TRACEPARENT={PARENT}"), "what the task brought is passed on");
    assert_eq!(watcher.stop(), 0);
    let said = fs::read_to_string(world.logs().join("marie.log")).unwrap();
    assert_eq!(said.matches("--features otlp").count(), 1, "{said}");
    assert!(!said.contains("pass"), "{said}");
}

#[test]
fn an_agent_dumps_no_core_and_dies_before_its_worker() {
    let world = World::new();
    let inner = world.watcher("marie");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"ulimit -c unlimited; umask 0; exec "$0" "$@""#]).arg(inner.get_program());
    command.args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let watcher = world.start(&mut command, "marie");
    world.at_work("marie", &watcher);
    world.submit("", "t", &json!({"prompt": "fake: hang"}));
    let pid = agent(&world, "t");
    for pid in [pid, watcher.pid()] {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        assert_eq!(status(pid, "Umask").as_deref(), Some("0007"), "as it was for the group, and nobody else");
    }
    // When memory runs out, the kernel takes the agent and not the one who would notice.
    let score =
        |pid: i32| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse::<i32>();
    // The worker says so of an agent when it has started it, and of that one may hear before.
    world.until("the agent goes first", || {
        (score(pid).unwrap() >= score(watcher.pid()).unwrap() + 500).then_some(())
    });
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(cwd.parent(), Some(world.root().join("workspaces").as_path()));
}
