//! `supervisor up` as a person sees it: real processes, real locks, and a small stand-in for the watcher.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test starts programs, and fails by panicking"
)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use agent_worker::layout::Layout;
use agent_worker::os::holder::Holder;
use agent_worker::os::lock;
use agent_worker::os::process::ProcessId;
use agent_worker::task::WorkerName;
use agent_worker::telemetry::journal::{Event, Journal, Line};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A root, and a folder with our programs.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        // In the target directory, so that the program can be linked instead of copied.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::create_dir(dir.path().join("log")).unwrap();
        let world = Self { dir };
        std::fs::hard_link(env!("CARGO_BIN_EXE_supervisor"), world.program("supervisor")).unwrap();
        std::fs::write(world.program("watcher"), include_str!("stand-ins/watcher.sh")).unwrap();
        std::fs::set_permissions(world.program("watcher"), std::fs::Permissions::from_mode(0o755)).unwrap();
        world
    }

    fn program(&self, name: &str) -> PathBuf {
        self.dir.path().join("bin").join(name)
    }

    fn layout(&self) -> Layout {
        Layout::new(self.dir.path().join("shared"))
    }

    fn up(&self, stand_in: &str, more: &[&str]) -> Supervisor {
        let mut command = Command::new(self.program("supervisor"));
        command
            .args(["up", "--root", "shared", "--workers", "marie=none", "--log-dir", "log", "--grace", "2"])
            .args(["--metrics-addr", "none"])
            .args(more)
            .current_dir(self.dir.path())
            .env("STAND_IN", stand_in)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Supervisor { child, lines }
    }

    fn watcher(&self) -> ProcessId {
        Holder::read(&self.layout().watcher_lock(&marie())).expect("a mirror").process
    }

    fn is_held(&self) -> bool {
        lock::is_held(&self.layout().worker(&marie())).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Whatever a failed test left behind.
        if let Some(holder) = Holder::read(&self.layout().watcher_lock(&marie())) {
            agent_worker::os::process::signal(&holder.process, rustix::process::Signal::KILL).ok();
        }
    }
}

/// A running `supervisor up` and what it says.
struct Supervisor {
    child: Child,
    lines: Receiver<String>,
}

impl Supervisor {
    /// The lines up to the first that contains `text`.
    fn says(&self, text: &str) -> String {
        let mut heard = String::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            heard.push_str(&line);
            heard.push('\n');
            if line.contains(text) {
                return heard;
            }
        }
        panic!("never said `{text}`, but:\n{heard}")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Presses Ctrl-C, waits, and gives the last words.
    fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGINT);
        let mut heard = String::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            heard.push_str(&line);
            heard.push('\n');
        }
        (self.child.wait().unwrap(), heard)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn marie() -> WorkerName {
    "marie".parse().unwrap()
}

fn pid_in(text: &str) -> i32 {
    text.rsplit_once("pid ").unwrap().1.trim().parse().unwrap()
}

fn is_alive(process: &ProcessId) -> bool {
    process.is_alive() == Some(true)
}

#[test]
fn it_lays_out_the_root_and_says_what_to_type_and_leaves_nothing_running() {
    let world = World::new();
    let supervisor = world.up("live", &["--agent", "echo"]);
    let heard = supervisor.says("marie: up");
    assert!(heard.contains(r#"echo '{"prompt":"say hello"}' > ./shared/tasks/hello.json"#), "{heard}");
    assert!(heard.contains("./bin/agentctl --root ./shared status"), "{heard}");
    assert!(heard.contains("NO CLAUDE HERE"), "{heard}");
    let watcher = world.watcher();
    assert_eq!(watcher.pid, pid_in(&heard));
    std::fs::write(world.layout().tasks().join("later.json"), r#"{"prompt":"x"}"#).unwrap();

    let (status, heard) = supervisor.stop();
    assert_eq!(status.code(), Some(0), "{heard}");
    assert!(heard.contains("marie: stopped"), "{heard}");
    assert!(heard.contains("1 waiting in ./shared/tasks"), "{heard}");
    assert!(!is_alive(&watcher));
    assert!(!world.is_held());
    assert!(world.layout().tasks().join("later.json").exists());
}

#[test]
fn a_killed_watcher_is_back_at_once() {
    let world = World::new();
    let supervisor = world.up("live", &[]);
    let first = pid_in(&supervisor.says("marie: up"));
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let heard = supervisor.says("marie: up");
    for part in ["killed by SIGKILL", "\nRestarting marie\n"] {
        assert!(heard.contains(part), "{part} is missing in\n{heard}");
    }
    assert_ne!(pid_in(&heard), first);
    assert!(is_alive(&world.watcher()));
    let (status, _) = supervisor.stop();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_watcher_that_does_not_listen_is_killed_when_asked_a_third_time() {
    let world = World::new();
    let supervisor = world.up("deaf", &[]);
    supervisor.says("marie: up");
    let watcher = world.watcher();
    supervisor.signal(Signal::SIGINT);
    supervisor.says("Stopping 1 worker:");
    supervisor.signal(Signal::SIGINT);
    supervisor.says("Asking again");
    assert!(is_alive(&watcher));
    let (status, heard) = supervisor.stop();
    assert_eq!(status.code(), Some(0), "{heard}");
    assert!(heard.contains("marie: ended, killed by SIGKILL"), "{heard}");
    assert!(!is_alive(&watcher) && !world.is_held());
}

#[test]
fn a_closed_terminal_stops_nothing() {
    let world = World::new();
    let supervisor = world.up("live", &[]);
    let first = pid_in(&supervisor.says("marie: up"));
    supervisor.signal(Signal::SIGHUP);
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    assert_ne!(pid_in(&supervisor.says("marie: up")), first);
    supervisor.stop();
}

#[test]
fn a_killed_supervisor_touches_nobody_and_the_next_one_takes_over() {
    let world = World::new();
    let supervisor = world.up("live", &[]);
    supervisor.says("marie: up");
    let watcher = world.watcher();
    supervisor.signal(Signal::SIGKILL);
    drop(supervisor);
    assert!(is_alive(&watcher) && world.is_held());

    let supervisor = world.up("live", &[]);
    let heard = supervisor.says("taken over");
    assert!(heard.contains(&format!("pid {}", watcher.pid)), "{heard}");
    kill(Pid::from_raw(watcher.pid), Signal::SIGKILL).unwrap();
    let heard = supervisor.says("marie: up");
    assert!(heard.contains("Restarting marie"), "a death of one taken over is seen too:\n{heard}");

    let last = world.watcher();
    supervisor.signal(Signal::SIGKILL);
    drop(supervisor);
    let supervisor = world.up("live", &[]);
    supervisor.says("taken over");
    let (status, heard) = supervisor.stop();
    assert_eq!(status.code(), Some(0), "{heard}");
    assert!(heard.contains("marie: stopped"), "{heard}");
    assert!(!is_alive(&last) && !world.is_held());
}

#[test]
fn a_second_one_says_who_the_first_is() {
    let world = World::new();
    let first = world.up("live", &[]);
    first.says("marie: up");
    let mut second = Command::new(world.program("supervisor"));
    second.args(["up", "--root", "shared", "--metrics-addr", "none"]).current_dir(world.dir.path());
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("pid {}", first.child.id())), "{said}");
    first.stop();
}

#[test]
fn a_clean_stop_is_not_restarted_and_a_start_by_hand_is_noticed() {
    let world = World::new();
    let supervisor = world.up("live", &[]);
    supervisor.says("marie: up");
    kill(Pid::from_raw(world.watcher().pid), Signal::SIGTERM).unwrap();
    let heard = supervisor.says("stopped as it was told");
    assert!(!heard.contains("Restarting"), "{heard}");
    let root = format!("--root={}", world.layout().root().display());
    let mut by_hand = Command::new(world.program("watcher")).args(["--worker=marie", &root]).spawn().unwrap();
    supervisor.says("taken over");
    let (status, _) = supervisor.stop();
    assert_eq!(status.code(), Some(0));
    assert_eq!(by_hand.wait().unwrap().code(), Some(0), "it was stopped with the others");
}

#[test]
fn a_wrong_configuration_is_told_with_its_own_words() {
    let world = World::new();
    let supervisor = world.up("misconfigured", &[]);
    let heard = supervisor.says("NOT RUNNING");
    assert!(heard.contains("no such agent: gpt"), "{heard}");
    let (status, heard) = supervisor.stop();
    assert_eq!(status.code(), Some(0));
    assert!(!heard.contains("Restarting"), "{heard}");
}

#[test]
fn a_crash_loop_ends_loudly() {
    let world = World::new();
    let supervisor = world.up("crash", &["--cooldown", "1ms"]);
    let heard = supervisor.says("Max restarts reached for marie");
    assert_eq!(heard.matches("\nRestarting marie\n").count(), 3, "{heard}");
    supervisor.stop();
}

#[test]
fn what_tasks_do_is_told_as_it_happens() {
    let world = World::new();
    let supervisor = world.up("live", &[]);
    supervisor.says("marie: up");
    let line = Line::new("2026-03-01T10:00:00Z".parse().unwrap(), marie(), Event::Claimed);
    let mut line = line.about("hello".parse().unwrap(), &"hello.json".parse().unwrap(), None);
    line.time = agent_worker::clock::SystemClock::shared().wall();
    Journal::new(world.layout(), marie()).append(&line).unwrap();
    supervisor.says("marie   hello  claimed");
    supervisor.stop();
}

#[test]
fn what_a_watcher_prints_is_kept_below_the_root_where_the_log_directory_is_not_ours() {
    let world = World::new();
    std::fs::remove_dir(world.dir.path().join("log")).unwrap();
    let supervisor = world.up("misconfigured", &[]);
    supervisor.says("NOT RUNNING");
    let out = world.layout().logs().join("marie.out");
    assert_eq!(read(&out), "no such agent: gpt\n");
    supervisor.stop();
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
