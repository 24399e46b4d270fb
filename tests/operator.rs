//! The command lines as a person sees them, on roots that are laid out by hand: what is printed, and with which
//! code each ends.

#![expect(clippy::disallowed_methods, reason = "tests lay files and start programs themselves")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const RUN: &str = "0198a000-0000-7000-8000-000000000001";

/// A root with the worker marie, and nobody at work.
struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Self { dir };
        for place in ["pending", "staged", "active", "completed", "failed", "cancelled"] {
            std::fs::create_dir_all(root.path("tasks/marie").join(place)).unwrap();
        }
        for folder in ["workers/marie", "locks", "pipes", "artifacts", "workspaces"] {
            std::fs::create_dir_all(root.path(folder)).unwrap();
        }
        root
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    fn lay(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `ended` fields as the watcher leaves them, in the folder that goes with them.
    fn lay_ended(&self, place: &str, name: &str, state: &str) {
        let record = format!(
            r#""state":"{state}","run_id":"{RUN}","result":"42","error_code":"E006","failure_reason":"api down""#
        );
        self.lay(&format!("tasks/marie/{place}/{name}.json"), &format!(r#"{{"prompt":"hi",{record}}}"#));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
        command.args(args).env_clear().env("SHARED_ROOT", self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        Said::from(self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    fn run_with_stdin(&self, args: &[&str], text: &str) -> Said {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Said::from(child.wait_with_output().unwrap())
    }

    fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// What a program said, and its code.
#[derive(Debug)]
struct Said {
    out: String,
    err: String,
    code: i32,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits for a fact, half a minute at most.
fn until(what: &str, fact: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !fact() {
        assert!(std::time::Instant::now() < deadline, "never came true: {what}");
        std::thread::yield_now();
    }
}

/// Waits until a program has asked for kernel events.
fn until_it_listens(child: &Child) {
    let fds = PathBuf::from(format!("/proc/{}/fd", child.id()));
    until("it listens", || {
        std::fs::read_dir(&fds).is_ok_and(|entries| {
            entries.flatten().any(|fd| {
                std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("inotify"))
            })
        })
    });
}

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    let root = Root::new();
    for args in [&["lst"][..], &["list", "--bogus"], &["submit"], &["wait"], &["list", "--state", "odd"], &[]]
    {
        let said = root.run(args);
        assert_eq!((said.code, said.out.as_str()), (64, ""), "{args:?}: {said:?}");
    }
    assert!(root.run(&["lst"]).err.contains("list"), "the verb that was meant is named");
    assert_eq!(root.run(&["--help"]).code, 0);
    assert_eq!(root.run(&["submit", "--help"]).code, 0);
}

#[test]
fn a_root_that_is_none_says_how_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root { dir };
    for verb in [&["status"][..], &["list"], &["submit", "hi"], &["show", "x"], &["wait", "x"]] {
        let said = root.run(verb);
        assert_eq!(said.code, 69, "{said:?}");
        assert!(said.err.contains("supervisor up --root"), "{said:?}");
    }
}

#[test]
fn a_submitted_prompt_is_a_task_and_its_name_is_all_of_stdout() {
    let root = Root::new();
    let said = root.run(&["submit", "say hello", "--priority", "-3", "--timeout", "5m", "--input", "[1]"]);
    assert_eq!(said.code, 0, "{said:?}");
    let name = said.out.trim_end();
    assert!(name.starts_with("say-hello-"), "{said:?}");
    assert_eq!(files(&root.path("tasks")), [format!("{name}.json")]);
    let task: Value =
        serde_json::from_slice(&std::fs::read(root.path(&format!("tasks/{name}.json"))).unwrap()).unwrap();
    assert_eq!(task["prompt"], "say hello");
    assert_eq!((task["priority"].as_i64(), task["timeout_s"].as_u64()), (Some(-3), Some(300)));
    assert_eq!(task["input"], serde_json::json!([1]));
    assert!(said.err.contains("no worker is alive"), "{said:?}");
}

#[test]
fn a_task_for_one_worker_is_pinned_and_lies_in_its_folder() {
    let root = Root::new();
    let said = root.run(&["submit", "hi", "--worker", "marie", "--id", "t1"]);
    assert_eq!((said.code, said.out.as_str()), (0, "t1\n"), "{said:?}");
    let task = std::fs::read_to_string(root.path("tasks/marie/pending/t1.json")).unwrap();
    assert!(task.contains(r#""worker": "marie""#), "{task}");
    let again = root.run(&["submit", "hi", "--worker", "marie", "--id", "t1"]);
    assert_eq!(again.code, 65, "{again:?}");
    let typo = root.run(&["submit", "hi", "--worker", "mari"]);
    assert_eq!(typo.code, 65);
    assert!(typo.err.contains("did you mean `marie`?"), "{typo:?}");
}

#[test]
fn fields_of_others_go_in_as_they_were_written_and_forged_ones_do_not() {
    let root = Root::new();
    root.lay("in/nightly.json", r#"{"zeta": 1.50e3, "prompt":"x", "state":"COMPLETED", "retry_count": 9}"#);
    let file = root.path("in/nightly.json");
    let file = file.to_str().unwrap();
    assert_eq!(root.run(&["submit", "--file", file]).out, "nightly\n");
    let text = std::fs::read_to_string(root.path("tasks/nightly.json")).unwrap();
    assert!(
        text.contains("1.50e3") && !text.contains("COMPLETED") && !text.contains("retry_count"),
        "{text}"
    );
    assert_eq!(root.run(&["submit", "--file", file]).out, "nightly~2\n", "a taken name is numbered");
    std::fs::rename(root.path("tasks/nightly.json"), root.path("tasks/marie/completed/nightly.json"))
        .unwrap();
    assert_eq!(root.run(&["submit", "--file", file]).out, "nightly~3\n", "also one that an ended task has");
}

#[test]
fn what_a_watcher_would_refuse_is_refused_and_nothing_is_written() {
    let root = Root::new();
    root.lay("in/good.json", r#"{"prompt":"x"}"#);
    root.lay("in/bad.json", r#"{"prompt":"x","priority":"high"}"#);
    let (good, bad) = (root.path("in/good.json"), root.path("in/bad.json"));
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    for (args, word) in [
        (vec!["submit", "  "], "`prompt` is empty"),
        (vec!["submit", "--file", good, "--file", bad], "`priority`"),
        (vec!["submit", "x", "--input", "{"], "--input"),
        (vec!["submit", "x", "--timeout", "0"], "`timeout_s`"),
    ] {
        let said = root.run(&args);
        assert_eq!((said.code, said.out.as_str()), (65, ""), "{said:?}");
        assert!(said.err.contains(word), "{said:?}");
    }
    assert_eq!(files(&root.path("tasks")), [""; 0]);
    let missing = root.run(&["submit", "--file", "/nonexistent/x.json"]);
    assert_eq!(missing.code, 69, "{missing:?}");
}

#[test]
fn stdin_is_a_prompt_or_a_task() {
    let root = Root::new();
    let said = root.run_with_stdin(&["submit", "-", "--id", "a"], "look at this\nand that\n");
    assert_eq!((said.code, said.out.as_str()), (0, "a\n"), "{said:?}");
    let said = root.run_with_stdin(&["submit", "--file", "-"], r#"{"id":"b","prompt":"x"}"#);
    assert_eq!((said.code, said.out.as_str()), (0, "b\n"), "{said:?}");
    assert_eq!(files(&root.path("tasks")), ["a.json", "b.json"]);
}

#[test]
fn a_dry_run_shows_the_task_and_writes_nothing() {
    let root = Root::new();
    let said = root.run(&["submit", "hi", "--dry-run", "--in", "2h"]);
    assert_eq!((said.code, said.json()["prompt"].as_str()), (0, Some("hi")), "{said:?}");
    assert!(said.json()["not_before"].is_string());
    assert_eq!(files(&root.path("tasks")), [""; 0]);
}

#[test]
fn a_list_has_the_running_first_and_is_filtered() {
    let root = Root::new();
    root.lay("tasks/in.json", r#"{"prompt":"one"}"#);
    root.lay("tasks/marie/active/run.json", r#"{"prompt":"two","state":"RUNNING"}"#);
    root.lay_ended("failed", "bad", "TIMEOUT");
    root.lay("tasks/marie/failed/bad.json.reason", "{}");
    root.lay("tasks/marie/pending/torn.json", r#"{"prompt":"#);
    let all = root.run(&["list", "--json"]).json();
    let names: Vec<&str> =
        all.as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[3], names.len()), ("run", "bad", 4), "{all:#}");
    let failed = root.run(&["list", "--state", "failed", "--json"]).json();
    assert_eq!(
        (failed[0]["state"].as_str(), failed[0]["error_code"].as_str()),
        (Some("TIMEOUT"), Some("E006"))
    );
    assert_eq!(failed.as_array().unwrap().len(), 1);
    let table = root.run(&["list", "--worker", "marie"]);
    assert!(table.out.starts_with("TASK") && !table.out.contains("inbox"), "{table:?}");
    assert!(root.run(&["list", "--limit", "1"]).err.contains("3 more"));
}

#[test]
fn one_task_is_shown_with_its_attempts_and_an_unknown_one_is_65() {
    let root = Root::new();
    let attempt = r#"{"number":1,"session_id":"11111111-1111-4111-8111-111111111111","started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:01:30Z","outcome":"completed","charged":false,"cost_usd":0.0123}"#;
    root.lay(
        "tasks/marie/completed/hello.json",
        &format!(r#"{{"prompt":"say \u001b[2J","state":"COMPLETED","run_id":"{RUN}","attempts":[{attempt}],"result":"hi there"}}"#),
    );
    let said = root.run(&["show", "hello"]);
    assert_eq!(said.code, 0, "{said:?}");
    for word in ["marie/hello", "COMPLETED", "1m30s", "$0.0123", "hi there", RUN, "\\u{1b}[2J"] {
        assert!(said.out.contains(word), "{word} in {}", said.out);
    }
    assert!(!said.out.contains('\x1b'), "no colours into a pipe, and no control bytes of others");
    let json = root.run(&["show", "marie/hello", "--json"]).json();
    assert_eq!(json["file"]["attempts"][0]["cost_usd"], 0.0123);
    let typo = root.run(&["show", "helo"]);
    assert_eq!((typo.code, typo.out.as_str()), (65, ""));
    assert!(typo.err.contains("did you mean `hello`?"), "{typo:?}");
}

#[test]
fn a_task_is_found_by_id_and_told_from_another_workers() {
    let root = Root::new();
    root.lay("tasks/marie/pending/20260101.json", r#"{"id":"report","prompt":"x"}"#);
    assert_eq!(root.run(&["show", "report", "--json"]).json()["task"], "report");
    root.lay("tasks/anga/pending/twin.json", r#"{"prompt":"x"}"#);
    root.lay("tasks/marie/completed/twin.json", r#"{"prompt":"x"}"#);
    assert_eq!(root.run(&["show", "twin", "--json"]).json()["worker"], "anga", "what lives is meant");
    root.lay("tasks/anga/completed/twin.json", r#"{"prompt":"x"}"#);
    std::fs::remove_file(root.path("tasks/anga/pending/twin.json")).unwrap();
    let both = root.run(&["show", "twin"]);
    assert_eq!(both.code, 65, "{both:?}");
    assert!(both.err.contains("anga/twin") && both.err.contains("marie/twin"), "{both:?}");
    assert_eq!(root.run(&["show", "anga/twin", "--json"]).json()["worker"], "anga");
    root.lay("tasks/marie/pending/twin.json", r#"{"prompt":"y"}"#);
    assert_eq!(root.run(&["show", "marie/twin", "--json"]).json()["place"], "pending", "what lives wins");
}

#[test]
fn waiting_ends_with_the_code_of_the_outcome() {
    let root = Root::new();
    for (place, name, state, code) in [
        ("completed", "a", "COMPLETED", 0),
        ("failed", "b", "FAILED", 1),
        ("failed", "c", "TIMEOUT", 124),
        ("cancelled", "d", "CANCELLED", 130),
    ] {
        root.lay_ended(place, name, state);
        let said = root.run(&["wait", name]);
        assert_eq!((said.code, said.out), (code, format!("marie/{name} {state}\n")));
    }
    assert_eq!(root.run(&["wait", "a", "c", "b"]).code, 124, "the first that did not complete");
    assert_eq!(root.run(&["wait", "nobody"]).code, 65);
    root.lay("tasks/marie/pending/e.json", r#"{"prompt":"x"}"#);
    assert_eq!(root.run(&["wait", "e", "--timeout", "50ms"]).code, 75);
}

#[test]
fn waiting_goes_on_until_the_task_is_filed() {
    let root = Root::new();
    root.lay("tasks/marie/active/t.json", r#"{"prompt":"x","state":"RUNNING"}"#);
    let waiting = root.start(&["wait", "t", "--timeout", "60s"]);
    until_it_listens(&waiting);
    root.lay_ended("active", "t", "COMPLETED");
    std::fs::rename(root.path("tasks/marie/active/t.json"), root.path("tasks/marie/completed/t.json"))
        .unwrap();
    let said = Said::from(waiting.wait_with_output().unwrap());
    assert_eq!((said.code, said.out.as_str()), (0, "marie/t COMPLETED\n"), "{said:?}");
}

#[test]
fn a_task_is_followed_from_the_inbox_to_whoever_took_it() {
    let root = Root::new();
    root.lay("tasks/20260101.json", r#"{"id":"report","prompt":"x"}"#);
    let waiting = root.start(&["wait", "inbox/report", "--timeout", "60s"]);
    until_it_listens(&waiting);
    std::fs::rename(root.path("tasks/20260101.json"), root.path("tasks/marie/active/20260101.json")).unwrap();
    std::fs::rename(
        root.path("tasks/marie/active/20260101.json"),
        root.path("tasks/marie/cancelled/20260101.json"),
    )
    .unwrap();
    let said = Said::from(waiting.wait_with_output().unwrap());
    assert_eq!((said.code, said.out.as_str()), (130, "marie/report CANCELLED\n"), "{said:?}");
}

#[test]
fn submit_and_wait_prints_the_answer() {
    let root = Root::new();
    let waiting = root.start(&["submit", "x", "--worker", "marie", "--id", "t", "--wait"]);
    let pending = root.path("tasks/marie/pending/t.json");
    until("the task is submitted", || pending.exists());
    until_it_listens(&waiting);
    root.lay_ended("completed", "t", "COMPLETED");
    std::fs::remove_file(pending).unwrap();
    let said = Said::from(waiting.wait_with_output().unwrap());
    assert_eq!((said.code, said.out.as_str()), (0, "t\n42\n"), "{said:?}");
}

const SAID: &str = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"hello"},{"type":"tool_use","id":"t","name":"Bash","input":{"command":"ls"}}]}}"#;
const ENDED: &str =
    r#"{"type":"result","subtype":"success","is_error":false,"result":"hello","num_turns":1}"#;

fn attempt(number: u32) -> String {
    format!(
        r#"{{"number":{number},"session_id":"{RUN}","started_at":"2026-01-01T00:00:00Z","charged":false}}"#
    )
}

#[test]
fn a_tasks_log_is_what_its_agent_said_over_all_attempts() {
    let root = Root::new();
    let record = format!(r#""run_id":"{RUN}","attempts":[{},{}]"#, attempt(1), attempt(2));
    root.lay("tasks/marie/active/t.json", &format!(r#"{{"prompt":"x","state":"RUNNING",{record}}}"#));
    root.lay(&format!("artifacts/{RUN}/attempt-1/stream.ndjson"), "torn \u{1b}[2J\n");
    root.lay(&format!("artifacts/{RUN}/attempt-1/stderr.log"), "killed\n");
    root.lay(&format!("artifacts/{RUN}/attempt-2/stream.ndjson"), &format!("{SAID}\n{ENDED}\n"));
    let said = root.run(&["logs", "t"]);
    assert_eq!(said.code, 0, "{said:?}");
    let order =
        ["attempt 1", "? torn \\u{1b}[2J", "stderr: killed", "attempt 2", "hello", "→ Bash ls", "✓ answered"];
    let found: Vec<_> = order.iter().map(|word| said.out.find(word)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{found:?} in {}", said.out);
    assert!(said.err.contains("RUNNING"), "{said:?}");
    let raw = root.run(&["logs", "t", "--raw"]);
    assert_eq!(raw.out, format!("torn \u{1b}[2J\n{SAID}\n{ENDED}\n"));
    assert_eq!(root.run(&["logs", "nobody"]).code, 65);
}

#[test]
fn a_followed_log_goes_on_until_the_task_is_filed() {
    let root = Root::new();
    root.lay("tasks/marie/active/t.json", r#"{"prompt":"x"}"#);
    let following = root.start(&["logs", "-f", "t"]);
    until_it_listens(&following);
    let record = format!(r#""run_id":"{RUN}","attempts":[{}]"#, attempt(1));
    root.lay("tasks/marie/active/t.json", &format!(r#"{{"prompt":"x","state":"RUNNING",{record}}}"#));
    root.lay(&format!("artifacts/{RUN}/attempt-1/stream.ndjson"), &format!("{SAID}\n"));
    let mut stream = std::fs::File::options()
        .append(true)
        .open(root.path(&format!("artifacts/{RUN}/attempt-1/stream.ndjson")));
    stream.as_mut().unwrap().write_all(format!("{ENDED}\n").as_bytes()).unwrap();
    root.lay("tasks/marie/active/t.json", &format!(r#"{{"prompt":"x","state":"COMPLETED",{record}}}"#));
    std::fs::rename(root.path("tasks/marie/active/t.json"), root.path("tasks/marie/completed/t.json"))
        .unwrap();
    let said = Said::from(following.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("→ Bash ls") && said.out.contains("✓ answered"), "{said:?}");
}

#[test]
fn a_workers_log_is_shown_from_its_end() {
    let root = Root::new();
    root.lay("logs/marie.log", "one\ntwo\nthree \u{7}\n");
    let dir = root.path("logs");
    let said = root.run(&["logs", "marie", "-n", "2", "--log-dir", dir.to_str().unwrap()]);
    assert_eq!((said.code, said.out.as_str()), (0, "two\nthree \\u{7}\n"), "{said:?}");
    let missing = root.run(&["logs", "marie", "--log-dir", "/nonexistent"]);
    assert_eq!(missing.code, 69, "{missing:?}");
}

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
fn the_status_tells_the_living_from_the_dead() {
    let root = Root::new();
    root.lay("workers/marie/state.json", r#"{"status":"running","recovery_count":2}"#);
    root.lay("tasks/in.json", r#"{"prompt":"one"}"#);
    root.lay_ended("failed", "bad", "FAILED");
    let said = root.run(&["status"]);
    assert_eq!(said.code, 0, "{said:?}");
    for word in
        ["0 of 1 workers alive", "1 in the inbox", "dead", "marie/bad", "E006 api down", "supervisor up"]
    {
        assert!(said.out.contains(word), "{word} in {}", said.out);
    }
    let lock = agent_worker::os::lock::Lock::try_exclusive(&root.path("workers/marie")).unwrap().unwrap();
    root.lay(
        "workers/marie/state.json",
        r#"{"status":"degraded","hold":{"cause":"auth","reason":"not logged in","remedy":"run claude /login"}}"#,
    );
    let alive = root.run(&["status"]);
    for word in
        ["1 of 1 workers alive", "degraded", "marie takes no tasks: auth: not logged in", "run claude /login"]
    {
        assert!(alive.out.contains(word), "{word} in {}", alive.out);
    }
    let json = root.run(&["status", "--json"]).json();
    let marie = &json["workers"][0];
    assert_eq!(
        (marie["alive"].as_bool(), marie["depths"]["failed"].as_u64()),
        (Some(true), Some(1)),
        "{json:#}"
    );
    assert_eq!(json["inbox"], 1);
    drop(lock);
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
    assert_eq!(line("concurrency"), format!("concurrency 2 file {}", config.display()));
    assert_eq!(line("grace"), format!("grace 20s file {}", config.display()));
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
