//! The stand-in agent behaves like the CLI where the tests of the worker rely on it.

#![cfg(feature = "test-support")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "it starts the stand-in by itself, since it is the stand-in that is tested"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use agent_worker::agent::verdict::judge;
use agent_worker::agent::{
    EndedBy, Ending, Evidence, Exit, HoldCause, Interruption, Invocation, Manner, SessionStart, Verdict,
    argv, message,
};
use agent_worker::task::{ErrorCode, SessionId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What a verdict must be.
type Check<'a> = &'a dyn Fn(&Verdict) -> bool;

struct Run {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    seen: Vec<u8>,
    goes_on: bool,
}

fn start(home: &Path, session: SessionId, start: SessionStart, prompt: &str) -> Run {
    let invocation =
        Invocation { session, start, manner: Manner::default(), max_turns: None, max_cost_usd: None };
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-claude"))
        .args(argv::arguments(&invocation))
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let goes_on = start != SessionStart::New;
    let mut run = Run { child, stdin, stdout, seen: Vec::new(), goes_on };
    run.send(&message::user_message(prompt));
    run
}

impl Run {
    fn send(&mut self, line: &str) {
        // One that refused to start does not read.
        self.stdin.as_mut().unwrap().write_all(line.as_bytes()).ok();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Reads on until a line holds `text`.
    fn until(&mut self, text: &str) {
        loop {
            let mut line = Vec::new();
            assert!(self.stdout.read_until(b'\n', &mut line).unwrap() > 0, "no line with {text}");
            self.seen.extend_from_slice(&line);
            if String::from_utf8_lossy(&line).contains(text) {
                return;
            }
        }
    }

    fn end(mut self, ended_by: Option<EndedBy>) -> Verdict {
        self.stdin = None;
        std::io::Read::read_to_end(&mut self.stdout, &mut self.seen).unwrap();
        let status = self.child.wait().unwrap();
        let goes_on = self.goes_on;
        let exit = status.code().map(Exit::Code).or(status.signal().map(Exit::Signal));
        judge(&Evidence::of(&self.seen), &Ending { exit, ended_by, goes_on, ..Ending::default() }).verdict
    }
}

fn verdict_of(prompt: &str) -> Verdict {
    let home = tempfile::tempdir().unwrap();
    start(home.path(), SessionId::mint(), SessionStart::New, prompt).end(None)
}

fn log(home: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(home.join("fake-claude.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn done(answer: &str) -> Verdict {
    Verdict::Done { answer: answer.to_owned() }
}

#[test]
fn each_script_gets_its_verdict() {
    let failed = |code| move |v: &Verdict| matches!(v, Verdict::Failed { code: c, .. } if *c == code);
    let held = |cause| move |v: &Verdict| matches!(v, Verdict::Wait { cause: c, .. } if *c == cause);
    let crashed = |v: &Verdict| matches!(v, Verdict::Interrupted { cause: Interruption::Crashed, .. });
    assert_eq!(verdict_of("fake: succeed text=hello there"), done("hello there"));
    assert_eq!(verdict_of("say hello\nand more"), done("heard: say hello"));
    assert_eq!(verdict_of("fake: result text=42; die"), done("42"));
    assert_eq!(verdict_of("fake: bad-utf8; garbage; flood n=500; succeed text=ok"), done("ok"));
    assert_eq!(verdict_of("fake: line bytes=3000000; succeed text=ok"), done("ok"));
    let table: [(&str, Check<'_>); 14] = [
        ("fake: fail turns", &failed(ErrorCode::E004)),
        ("fake: fail budget", &failed(ErrorCode::E004)),
        ("fake: fail long", &failed(ErrorCode::E004)),
        ("fake: fail refusal", &failed(ErrorCode::E006)),
        ("fake: fail error", &failed(ErrorCode::E006)),
        ("fake: denied tool=WebFetch", &failed(ErrorCode::E005)),
        ("fake: api status=401", &held(HoldCause::Auth)),
        ("fake: api status=402", &held(HoldCause::Billing)),
        ("fake: api status=429", &held(HoldCause::RateLimit)),
        ("fake: api status=529", &held(HoldCause::Outage)),
        ("fake: refuse text=error: unknown option", &held(HoldCause::Configuration)),
        ("fake: tear", &crashed),
        ("fake: die signal=9", &crashed),
        ("fake: exit code=0", &crashed),
    ];
    for (prompt, expected) in table {
        let verdict = verdict_of(prompt);
        assert!(expected(&verdict), "{prompt}: {verdict:?}");
    }
}

#[test]
fn an_interrupt_ends_the_turn_and_the_session_goes_on_where_the_script_says() {
    let (home, session) = (tempfile::tempdir().unwrap(), SessionId::mint());
    let mut first =
        start(home.path(), session, SessionStart::New, "fake: say text=at work; hang | succeed text=after");
    first.until("at work");
    first.send(&message::interrupt("r1"));
    first.until("control_response");
    let stopped = first.end(Some(EndedBy::Stop));
    assert!(matches!(stopped, Verdict::Interrupted { cause: Interruption::Asked, .. }), "{stopped:?}");
    let again = start(home.path(), session, SessionStart::New, "x").end(None);
    assert!(matches!(again, Verdict::Wait { cause: HoldCause::Configuration, .. }), "used once: {again:?}");
    let resumed = start(
        home.path(),
        session,
        SessionStart::Resume,
        &message::resume_message(message::Cause::Stopped, ""),
    );
    assert_eq!(resumed.end(None), done("after"));
    let events: Vec<_> =
        log(home.path()).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["start", "message", "end", "start", "message", "end"]);
}

#[test]
fn a_conversation_that_is_not_there_cannot_go_on() {
    let home = tempfile::tempdir().unwrap();
    let verdict = start(home.path(), SessionId::mint(), SessionStart::Resume, "x").end(None);
    assert!(matches!(verdict, Verdict::SessionGone { .. }), "{verdict:?}");
}

#[test]
fn two_processes_of_one_conversation_are_seen() {
    let (home, session) = (tempfile::tempdir().unwrap(), SessionId::mint());
    let mut first = start(home.path(), session, SessionStart::New, "fake: say text=at work; hang");
    first.until("at work");
    start(home.path(), session, SessionStart::Resume, "fake: succeed").end(None);
    assert!(log(home.path()).iter().any(|line| line["event"] == "overlap"));
    kill(first.pid(), Signal::SIGKILL).unwrap();
    first.end(None);
}

#[test]
fn term_is_heeded_with_143_unless_it_is_ignored() {
    let home = tempfile::tempdir().unwrap();
    let mut heeds = start(home.path(), SessionId::mint(), SessionStart::New, "fake: say text=at work; hang");
    heeds.until("at work");
    kill(heeds.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(heeds.child.wait().unwrap().code(), Some(143));
    let gate = home.path().join("gate");
    let prompt =
        format!("fake: ignore-term; say text=at work; gate={}; succeed text=still here", gate.display());
    let mut ignores = start(home.path(), SessionId::mint(), SessionStart::New, &prompt);
    ignores.until("at work");
    kill(ignores.pid(), Signal::SIGTERM).unwrap();
    std::fs::write(&gate, "").unwrap();
    assert_eq!(ignores.end(None), done("still here"));
}

#[test]
fn a_grandchild_is_left_behind_and_is_named_in_the_log() {
    for words in ["setsid", "double noterm", "noenv setsid"] {
        let home = tempfile::tempdir().unwrap();
        let prompt = format!("fake: grandchild {words}; succeed text=ok");
        assert_eq!(start(home.path(), SessionId::mint(), SessionStart::New, &prompt).end(None), done("ok"));
        let lines = log(home.path());
        let left = lines.iter().find(|line| line["event"] == "grandchild").unwrap();
        let pid = Pid::from_raw(i32::try_from(left["pid"].as_i64().unwrap()).unwrap());
        assert!(kill(pid, None).is_ok(), "{words}: it lives on");
        let mine = nix::unistd::getsid(None).unwrap();
        assert_ne!(nix::unistd::getsid(Some(pid)).unwrap(), mine, "{words}: a session of its own");
        kill(pid, Signal::SIGKILL).unwrap();
    }
}
