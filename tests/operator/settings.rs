//! All three programs: their settings, and the built-in agent.

use std::process::{Command, Stdio};

use crate::root::{Root, Said};

#[test]
fn the_echo_agent_is_a_part_of_the_watcher() {
    let output = Command::new(env!("CARGO_BIN_EXE_watcher"))
        .args(["echo-agent", "-p", "--output-format", "stream-json"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn every_program_shows_where_its_settings_came_from() {
    let root = Root::new();
    root.lay("aw.toml", "concurrency = 2\n[workers.marie]\ngrace = \"20s\"\n");
    let config = root.path("aw.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_watcher"))
        .args(["--worker", "marie", "--print-config", "--config"])
        .arg(&config)
        .env_clear()
        .env("MAX_RETRIES", "7")
        .env("METRICS_ADDR", "")
        .output()
        .unwrap();
    let said = Said::from(output);
    assert_eq!(said.code, 0, "{said:?}");
    let line = |key: &str| {
        let line = said.out.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("worker "), "worker marie flag");
    assert_eq!(line("max_retries"), "max_retries 7 environment MAX_RETRIES");
    let at = |line: usize| format!("file {}, line {line}, column 1", config.display());
    assert_eq!(line("concurrency"), format!("concurrency 2 {}", at(1)));
    assert_eq!(line("grace"), format!("grace 20s {}", at(3)));
    assert_eq!(line("metrics_addr"), "metrics_addr 127.0.0.1:9091 default");
}

#[test]
fn a_wrong_setting_ends_with_64_as_a_flag_and_with_78_elsewhere() {
    let run = |args: &[&str], var: (&str, &str)| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
        Said::from(command.args(args).env_clear().env(var.0, var.1).output().unwrap())
    };
    let none = ("A", "b");
    assert_eq!(run(&["--worker", "marie", "--grace", "soon", "--print-config"], none).code, 64);
    assert_eq!(run(&["--worker", "marie", "--print-config"], ("AGENT_TIMEOUT", "soon")).code, 78);
    assert_eq!(run(&["--worker", "marie", "--config", "/nonexistent", "--print-config"], none).code, 78);
    assert_eq!(run(&["--print-config"], none).code, 64);
}
