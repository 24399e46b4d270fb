//! A scripted stand-in for the Claude CLI: it speaks the CLI's protocol and does what its prompt says ([`script`]).
//!
//! Every process leaves lines in `$HOME/fake-claude.log` (`start`, `message`, `end`, `grandchild`, and `overlap` when
//! a second process works on a conversation while the first lives), so that a test can prove what ran and how often.
//! Conversations are kept where the CLI keeps them: `--session-id` is refused once used, `--resume` needs one that can be
//! read. What stands in `$HOME/refuse-new`, `refuse-resume` or `refuse-fork` is said in place of beginning so, without a line
//! on standard output where it begins with `plain`.

#![expect(
    clippy::disallowed_methods,
    clippy::zombie_processes,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own, which is no part of the product"
)]

mod havoc;
mod left_behind;
mod script;
mod session;
mod voice;

use std::io::BufRead;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use serde_json::{Value, json};

use script::Step;
use session::{Transcript, log};
use voice::Voice;

/// The version that it claims to be.
pub(crate) const VERSION: &str = "2.1.330";

/// How long what waits waits at most, so that a test that fails leaves nothing behind.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// How often a gate is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// What comes through standard input.
enum Input {
    Message(Said),
    Interrupt(Value),
    Garbage,
}

/// A message of the user.
struct Said {
    text: String,
    /// Who wants to know what becomes of it.
    uuid: Option<String>,
}

/// Whether an interrupt is heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ear {
    Open,
    Deaf,
}

/// How the steps of a turn ended.
enum Turn {
    Ended,
    Aborted,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--version" || arg == "-v") {
        println!("{VERSION} (Claude Code)");
        return;
    }
    if args == ["auth", "status"] {
        let is_in =
            std::env::var_os("HOME").is_some_and(|home| !Path::new(&home).join("logged-out").exists());
        println!("{}", json!({"loggedIn": is_in, "authMethod": if is_in { "oauth" } else { "none" }}));
        std::process::exit(i32::from(!is_in));
    }
    if let Some(at) = args.iter().position(|arg| arg == "--fake-grandchild") {
        return left_behind::grandchild(&args[at + 1..]);
    }
    // Its first thread only waits, so that it can end before the others do.
    std::thread::spawn(move || {
        std::process::exit(std::panic::catch_unwind(|| Agent::run(&args)).unwrap_or(101));
    });
    havoc::stand_by();
}

struct Agent {
    voice: Voice,
    transcript: Transcript,
    input: Receiver<Input>,
    /// Whether it honours SIGTERM, as the real one does, with status 143.
    heeds_term: Arc<AtomicBool>,
    /// Which process of the conversation this is.
    process: usize,
    prompt: String,
    queued: Vec<Said>,
    /// Whether the input has ended.
    is_told_all: bool,
    /// The messages of this turn whose end is to be told.
    taken: Vec<String>,
}

impl Agent {
    fn run(args: &[String]) -> i32 {
        let value =
            |flag: &str| args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1)).cloned();
        let resumed = value("--resume").or_else(|| value("-r"));
        let session = resumed.clone().or_else(|| value("--session-id")).unwrap_or_else(fresh);
        let mut voice = Voice {
            session: session.clone(),
            is_mute: false,
            cost_usd: 0.0,
            usd_a_turn: 0.01,
            results: 0,
            messages: 0,
            is_error: false,
        };
        let is_fork = args.iter().any(|arg| arg == "--fork-session");
        let mode = if is_fork {
            "fork"
        } else if resumed.is_some() {
            "resume"
        } else {
            "new"
        };
        if let Some(refusal) = session::refusal(mode) {
            log("refused", &json!({"mode": mode, "session": session}));
            eprintln!("{refusal}");
            if resumed.is_some() && !refusal.starts_with("plain") {
                voice.session_gone();
            }
            return 1;
        }
        let transcript = match (&resumed, Transcript::find(&session)) {
            (Some(_), Some(found)) if is_fork => {
                voice.session = value("--session-id").unwrap_or_else(fresh);
                found.copy(&voice.session)
            }
            (Some(_), Some(found)) => found,
            (Some(_), None) => {
                log("refused", &json!({"mode": mode, "session": session}));
                eprintln!("No conversation found with session ID: {session}");
                voice.session_gone();
                return 1;
            }
            (None, _) => Transcript::here(&session),
        };
        if resumed.is_none() && transcript.exists() {
            eprintln!("Error: Session ID {session} is already in use.");
            return 1;
        }
        Self::begin(voice, transcript, mode, args).converse()
    }

    fn begin(mut voice: Voice, mut transcript: Transcript, start: &str, args: &[String]) -> Self {
        let past = transcript.past();
        let cwd = std::env::current_dir().unwrap_or_default().display().to_string();
        let more = json!({"session": voice.session, "mode": start, "cwd": cwd, "args": args});
        log("start", &more);
        if !transcript.lock() {
            log("overlap", &more);
        }
        voice.cost_usd = past.cost_usd;
        let heeds_term = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(
            signal_hook::consts::SIGTERM,
            143,
            Arc::clone(&heeds_term),
        )
        .expect("a handler for SIGTERM");
        let (process, prompt) = (past.processes, past.prompt);
        Self {
            voice,
            transcript,
            input: listen(),
            heeds_term,
            process,
            prompt,
            queued: Vec::new(),
            taken: Vec::new(),
            is_told_all: false,
        }
    }

    /// Turn after turn, until the input ends; the status is that of the last one.
    fn converse(mut self) -> i32 {
        let mut is_known = false;
        loop {
            let text = match self.next_input() {
                Some(Input::Message(said)) => self.take(said),
                Some(Input::Interrupt(id)) => {
                    Voice::acknowledge(&id);
                    continue;
                }
                Some(Input::Garbage) => {
                    eprintln!("Error parsing streaming input line: SyntaxError");
                    return self.end(1);
                }
                None => return self.end(i32::from(self.voice.is_error)),
            };
            if !is_known {
                is_known = true;
                self.transcript.append(&json!({"type": "process", "prompt": text}));
            }
            self.turn(&text);
            for uuid in std::mem::take(&mut self.taken) {
                self.voice.lifecycle(&uuid, "completed");
            }
            self.transcript.append(&json!({"type": "turn", "cost_usd": self.voice.cost_usd}));
        }
    }

    /// What was queued during a turn is one message for the next, as with the real one.
    fn next_input(&mut self) -> Option<Input> {
        if self.queued.is_empty() {
            let input = self.input.recv().ok()?;
            if let Input::Message(said) = input {
                self.queue(said);
            } else {
                return Some(input);
            }
        }
        let queued = std::mem::take(&mut self.queued);
        let texts: Vec<String> = queued.into_iter().map(|said| self.take(said)).collect();
        Some(Input::Message(Said { text: texts.join("\n"), uuid: None }))
    }

    fn queue(&mut self, said: Said) {
        if let Some(uuid) = &said.uuid {
            self.voice.lifecycle(uuid, "queued");
        }
        self.queued.push(said);
    }

    fn take(&mut self, said: Said) -> String {
        if let Some(uuid) = said.uuid {
            self.voice.lifecycle(&uuid, "started");
            self.taken.push(uuid);
        }
        said.text
    }

    fn end(&self, code: i32) -> i32 {
        log("end", &json!({"session": self.voice.session, "code": code}));
        code
    }

    fn turn(&mut self, text: &str) {
        log("message", &json!({"text": text.chars().take(10_000).collect::<String>()}));
        let is_first = self.voice.results == 0;
        let script = if is_first && !script::is_script(text) { self.prompt.clone() } else { text.to_owned() };
        let mut steps = script::steps(&script, if is_first { self.process } else { 0 });
        if steps.is_empty() {
            steps = script::steps(&format!("fake: succeed text=heard: {}", first_line(text)), 0);
        }
        if let Some(refusal) = steps.first().filter(|step| step.verb == "refuse") {
            eprintln!("{}", refusal.or("text", "error: refused by the script"));
            std::process::exit(self.end(code_of(refusal)));
        }
        self.voice.init();
        let before = self.voice.results;
        for step in &steps {
            if let Turn::Aborted = self.step(step) {
                self.voice.aborted();
                return;
            }
        }
        if self.voice.results == before {
            self.voice.succeed("done");
        }
    }

    fn step(&mut self, step: &Step) -> Turn {
        match step.verb.as_str() {
            "succeed" | "result" => self.voice.succeed(step.or("text", "done")),
            "say" => self.voice.say(step.or("text", "hello")),
            "env" => {
                let name = step.or("name", "HOME");
                self.voice.succeed(&format!("{name}={}", session::variable(name)));
            }
            "cwd" => self.voice.succeed(&std::env::current_dir().unwrap_or_default().display().to_string()),
            "tool" => self.voice.tool(step.or("name", "Bash"), step.or("text", "make")),
            "tool-done" => self.voice.tool_done("ok"),
            "fail" => self.voice.fail(step.words.first().map_or("error", String::as_str)),
            "api" => self.api(step),
            "denied" => self.voice.denied(step.or("tool", "WebFetch")),
            "cost" => self.voice.usd_a_turn = step.or("usd", "0.01").parse().expect("a price"),
            "use" => self.voice.used(step.number("in", 100), step.number("out", 1)),
            "listen" => return self.hear(),
            "steer" => return self.steered(),
            "mute" => self.voice.is_mute = true,
            "drain" => return self.wait(Ear::Deaf, |agent| agent.is_told_all),
            "run" => self.run_command(step.or("text", "true")),
            "gate" => return self.wait(Ear::Open, |_| Path::new(step.or("gate", "/")).exists()),
            "hang" => return self.wait(if step.has("stubborn") { Ear::Deaf } else { Ear::Open }, |_| false),
            "api-wait" => {
                self.voice.retry(1, step.number("status", 401), error_of(step));
                return self.wait(Ear::Open, |_| false);
            }
            _ => self.rough(step),
        }
        Turn::Ended
    }

    /// The steps that the real one would rather not do.
    fn rough(&mut self, step: &Step) {
        match step.verb.as_str() {
            "ignore-term" => self.heeds_term.store(false, std::sync::atomic::Ordering::SeqCst),
            // To this thread, which does nothing more then; of a process another thread may take it.
            "stopped" => raise(Signal::SIGSTOP).expect("a signal to myself"),
            "die" => die(step.number("signal", 9)),
            "exit" => std::process::exit(self.end(code_of(step))),
            "tear" => {
                let line = self.voice.result_line(&json!({"result": "torn"})).to_string();
                voice::raw(&line.as_bytes()[..line.len() / 2]);
                die(9);
            }
            "flood" => {
                let filler = "x".repeat(usize::try_from(step.number("bytes", 100)).expect("a length"));
                (0..step.number("n", 1000)).for_each(|_| self.voice.say(&filler));
            }
            "line" => {
                self.voice
                    .say(&"x".repeat(usize::try_from(step.number("bytes", 1 << 20)).expect("a length")));
            }
            "life-sign" => self.voice.partial(),
            "bad-utf8" => voice::raw(b"\xff\xfe\xc3\n"),
            "garbage" => voice::raw(b"not a message\n"),
            "stderr" => eprintln!("{}", step.or("text", "a warning")),
            "write" => std::fs::write(step.or("file", "out.txt"), step.or("text", "")).expect("a file"),
            "append" => append(step.or("file", "out.txt"), step.or("text", "")),
            "grandchild" => left_behind::leave_behind(step),
            unknown => {
                if !havoc::wreak(step) {
                    eprintln!("fake-claude: unknown step `{unknown}`");
                    std::process::exit(self.end(64));
                }
            }
        }
    }

    fn api(&mut self, step: &Step) {
        let (status, error) = (step.number("status", 529), error_of(step));
        for attempt in 1..=step.number("retries", 2) {
            self.voice.retry(attempt, status, error);
        }
        // What the CLI calls an overload while it waits is a failure of the server in the end.
        let last = if error == "overloaded" { "server_error" } else { error };
        self.voice.api_failure(status, last);
    }

    fn hear(&mut self) -> Turn {
        let end = self.wait(Ear::Open, |agent| !agent.queued.is_empty());
        if let Some(said) = self.queued.pop() {
            let text = self.take(said);
            self.voice.succeed(&format!("heard: {}", first_line(&text)));
        }
        end
    }

    /// Waits for a message in the middle of a turn, which goes on with it.
    fn steered(&mut self) -> Turn {
        let end = self.wait(Ear::Open, |agent| !agent.queued.is_empty());
        for said in std::mem::take(&mut self.queued) {
            let text = self.take(said);
            log("steered", &json!({"text": text}));
            self.voice.say(&format!("steered: {}", first_line(&text)));
        }
        end
    }

    /// A tool that runs a command, whose output and status are logged.
    fn run_command(&self, command: &str) {
        self.voice.tool("Bash", command);
        let output = Command::new("/bin/sh").args(["-c", command]).stdin(Stdio::null()).output();
        let output = output.expect("a shell");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        log("ran", &json!({"command": command, "code": output.status.code(), "out": out, "err": err}));
        self.voice.tool_done(&out);
    }

    /// Waits for a fact; an interrupt ends the turn, unless it is not heard.
    fn wait(&mut self, ear: Ear, until: impl Fn(&Self) -> bool) -> Turn {
        let mut left = PATIENCE;
        while !until(self) && !left.is_zero() {
            match self.input.recv_timeout(LOOK) {
                Ok(Input::Message(said)) => self.queue(said),
                Ok(Input::Interrupt(id)) if ear == Ear::Open => {
                    Voice::acknowledge(&id);
                    return Turn::Aborted;
                }
                Ok(Input::Interrupt(_) | Input::Garbage) => {}
                Err(RecvTimeoutError::Timeout) => left = left.saturating_sub(LOOK),
                Err(RecvTimeoutError::Disconnected) => {
                    self.is_told_all = true;
                    // The input has ended; as with the real one, the turn goes on.
                    std::thread::sleep(LOOK);
                    left = left.saturating_sub(LOOK);
                }
            }
        }
        Turn::Ended
    }
}

/// Reads standard input on a thread of its own.
fn listen() -> Receiver<Input> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            let message: Value = match serde_json::from_str(&line) {
                Ok(message) => message,
                Err(_) if line.trim().is_empty() => continue,
                Err(_) => Value::Null,
            };
            let input = match message["type"].as_str() {
                Some("user") => Input::Message(Said {
                    text: text_of(&message["message"]["content"]),
                    uuid: message["uuid"].as_str().map(str::to_owned),
                }),
                Some("control_request") => Input::Interrupt(message["request_id"].clone()),
                Some(_) => continue,
                None => Input::Garbage,
            };
            if send.send(input).is_err() {
                return;
            }
        }
    });
    receive
}

fn text_of(content: &Value) -> String {
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    content.as_str().map_or_else(|| texts.join("\n"), str::to_owned)
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

fn error_of(step: &Step) -> &str {
    let usual = match step.number("status", 529) {
        401 | 403 => "authentication_failed",
        402 => "billing_error",
        404 => "model_not_found",
        429 => "rate_limit",
        529 => "overloaded",
        _ => "server_error",
    };
    step.or("error", usual)
}

fn code_of(step: &Step) -> i32 {
    i32::try_from(step.number("code", 1)).expect("a status")
}

pub(crate) fn fresh() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn append(file: &str, text: &str) {
    let mut content = std::fs::read(file).unwrap_or_default();
    content.extend_from_slice(text.as_bytes());
    content.push(b'\n');
    std::fs::write(file, content).expect("a file");
}

fn die(signal: u64) {
    let signal = i32::try_from(signal).ok().and_then(|number| Signal::try_from(number).ok());
    raise(signal.expect("a signal")).expect("a signal to myself");
    // A signal to oneself is there before this returns, unless it is blocked.
    std::thread::sleep(PATIENCE);
}
