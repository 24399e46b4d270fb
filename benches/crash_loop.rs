//! What a crash costs: until it is known, until its task is at work again, and until many tasks are home.
//!
//! `kernel` is the bare hand-over of a lock from a killed process to one that waits for it, `known` a supervisor's word of
//! it, `at work` the first instruction of the resumed agent, all after the `kill -9`; `recover N` is `supervisor recover`
//! over N interrupted tasks, synced, with its peak of resident memory.
//!
//! `cargo bench --bench crash_loop -- DIR STAND_IN [ROUNDS [TASKS]]` prints a line for each, parts separated by tabs.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: it plays the user, and it prints what it found"
)]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// From the kill of whoever holds a lock until the kernel gives it to who waits for it, in ms.
fn hand_over(dir: &Path) -> io::Result<f64> {
    let path = dir.join("lock");
    File::create(&path)?;
    let mut holder =
        Command::new(std::env::current_exe()?).arg("hold").arg(&path).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(holder.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).read_line(&mut line)?;
    let file = File::open(&path)?;
    let (ready, is_ready) = channel();
    let waiter = std::thread::spawn(move || {
        ready.send(()).ok();
        file.lock_shared().map(|()| Instant::now())
    });
    is_ready.recv().map_err(io::Error::other)?;
    std::thread::sleep(Duration::from_millis(2));
    let killed = Instant::now();
    holder.kill()?;
    let had = waiter.join().map_err(|_| io::Error::other("the waiting thread panicked"))??;
    holder.wait()?;
    Ok(had.saturating_duration_since(killed).as_secs_f64() * 1e3)
}

/// Holds a lock until it is killed.
fn hold(path: &str) -> io::Result<()> {
    let file = File::open(path)?;
    file.lock()?;
    println!("held");
    loop {
        std::thread::park();
    }
}

/// A root of its own.
struct Root(PathBuf);

impl Root {
    fn new(dir: &Path, tag: &str) -> io::Result<Self> {
        let dir = dir.join(format!("crash-{tag}-{}", std::process::id()));
        for folder in ["home", "log", "tasks/marie/pending", "tasks/marie/active", "workers/marie"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        Ok(Self(dir))
    }

    fn supervisor(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.0.join("home"))
            .args(verb)
            .arg(format!("--root={}", self.0.display()))
            .arg(format!("--log-dir={}", self.0.join("log").display()))
            .stdin(Stdio::null());
        command
    }

    fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.0.join(path)).ok()?).ok()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("crash_loop: {}: {error}", self.0.display());
        }
    }
}

fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> io::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(it) = fact() {
            return Ok(it);
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("waited in vain until {what}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A supervisor with one worker, and when it said that a watcher was dead.
struct Watched {
    child: Child,
    deaths: Receiver<Instant>,
}

impl Watched {
    fn start(root: &Root, stand_in: &Path) -> io::Result<Self> {
        let mut child = root
            .supervisor(&["up", "--workers=marie=none", "--metrics-addr=none", "--api-requests-per-minute=0"])
            .args(["--max-restarts=1000000", "--cooldown=1ms", "--window=1s"])
            .arg(format!("--claude-bin={}", stand_in.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).lines();
        let (tell, deaths) = channel();
        std::thread::spawn(move || {
            for _ in lines.map_while(Result::ok).filter(|line| line.contains(" died")) {
                tell.send(Instant::now()).ok();
            }
        });
        Ok(Self { child, deaths })
    }

    /// One crash of the watcher and of its agent; ms until it was known, and until the task was at work again.
    fn crash(&self, root: &Root, n: usize) -> io::Result<(f64, f64)> {
        let name = format!("hang-{n}");
        let temp = root.0.join(&name);
        fs::write(&temp, br#"{"prompt":"say hello"}"#)?;
        fs::rename(temp, root.0.join(format!("tasks/marie/pending/{name}.json")))?;
        let active = format!("tasks/marie/active/{name}.json");
        let agent = until("its agent is recorded", || root.json(&active)?["attempts"][0]["pid"].as_i64())?;
        let run = root.json(&active).ok_or(io::ErrorKind::NotFound)?["run_id"].clone();
        let run = run.as_str().unwrap_or_default();
        let hung = root.0.join("workspaces").join(run).join("hung");
        until("it hangs", || hung.exists().then_some(()))?;
        let watcher =
            until("the watcher beats", || root.json("workers/marie/heartbeat.json")?["pid"].as_i64())?;
        while self.deaths.try_recv().is_ok() {}
        let (killed, at) = (Instant::now(), now_ns());
        for pid in [watcher, agent] {
            let pid = i32::try_from(pid).map_err(io::Error::other)?;
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        }
        let known = self.deaths.recv_timeout(PATIENCE).map_err(io::Error::other)?;
        until("it is done", || root.json(&format!("tasks/marie/completed/{name}.json")))?;
        let stream = fs::read_to_string(root.0.join(format!("artifacts/{run}/attempt-2/stream.ndjson")))?;
        let began = stream.split("\"at_ns\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let began: u128 = began.and_then(|ns| ns.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok((known.saturating_duration_since(killed).as_secs_f64() * 1e3, ms(began.saturating_sub(at))))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
        drop(self.child.wait());
    }
}

/// `supervisor recover` over so many interrupted tasks; seconds, and its peak of resident memory in KiB.
fn recover(dir: &Path, tasks: usize) -> io::Result<(f64, u64)> {
    let root = Root::new(dir, &format!("recover-{tasks}"))?;
    fs::write(root.0.join("workers/marie/state.json"), r#"{"status":"running"}"#)?;
    (0..tasks).try_for_each(|n| interrupted(&root, n))?;
    rustix::fs::sync();
    let began = Instant::now();
    let mut child =
        root.supervisor(&["recover", "marie"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or(peak);
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = began.elapsed().as_secs_f64();
    let home = fs::read_dir(root.0.join("tasks/marie/pending"))?.count();
    if !ended.success() || home != tasks {
        return Err(io::Error::other(format!("{ended}, {home} of {tasks} are home")));
    }
    Ok((took, peak))
}

/// A task whose watcher and agent are dead.
fn interrupted(root: &Root, n: usize) -> io::Result<()> {
    let (run, name) = (uuid::Uuid::now_v7().to_string(), format!("t{n:05}"));
    let artifacts = root.0.join("artifacts").join(&run);
    fs::create_dir_all(artifacts.join("attempt-1"))?;
    fs::write(artifacts.join("attempt-1/stream.ndjson"), "{\"type\":\"system\",\"subtype\":\"init\"}\n")?;
    let at = "2026-03-01T10:00:00Z";
    let dropped = json!({"dev": 1, "inode": n, "size": 22, "mtime_ns": 1});
    let input = json!({
        "run_id": run, "task": name, "worker": "marie", "file": format!("{name}.json"), "claimed_at": at,
        "dropped_at": format!("tasks/marie/pending/{name}.json"), "dropped": dropped,
        "content": {"prompt": "say hello"},
    });
    fs::write(artifacts.join("input.json"), input.to_string())?;
    let attempt = json!({
        "number": 1, "session_id": uuid::Uuid::new_v4().to_string(), "started_at": at, "charged": false,
    });
    let task = json!({
        "prompt": "say hello", "id": name, "type": "default", "submitted_at": at, "run_id": run,
        "state": "RUNNING", "retry_count": 0, "attempts": [attempt],
    });
    fs::write(root.0.join(format!("tasks/marie/active/{name}.json")), task.to_string())
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
fn ms(ns: u128) -> f64 {
    ns as f64 / 1e6
}

fn tell(what: &str, mut all: Vec<f64>) {
    all.sort_by(f64::total_cmp);
    let (p50, p99) = (all[all.len() / 2], all[all.len() * 99 / 100]);
    println!("{what}\t{p50:.2} ms\t{p99:.2} ms");
}

fn measure(dir: &Path, stand_in: &Path, rounds: usize, tasks: usize) -> io::Result<()> {
    let bare = (0..rounds).map(|_| hand_over(dir)).collect::<io::Result<Vec<_>>>()?;
    tell("kernel", bare);
    let root = Root::new(dir, "watched")?;
    let watched = Watched::start(&root, stand_in)?;
    let crashes = (0..rounds).map(|n| watched.crash(&root, n)).collect::<io::Result<Vec<_>>>()?;
    drop(watched);
    let (known, at_work): (Vec<f64>, Vec<f64>) = crashes.into_iter().unzip();
    tell("known", known);
    tell("at work", at_work);
    for tasks in [tasks / 10, tasks] {
        let (took, peak) = recover(dir, tasks)?;
        println!("recover {tasks}\t{took:.2} s\t{:.1} MiB", ms(u128::from(peak) * 1_000_000) / 1024.0);
    }
    Ok(())
}

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`; anything else that begins with a dash is not for us.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let done = match &words[..] {
        [first, path] if first == "hold" => hold(path),
        [dir, stand_in, rest @ ..] => {
            let number = |at: usize, usual| rest.get(at).and_then(|word| word.parse().ok()).unwrap_or(usual);
            measure(Path::new(dir), Path::new(stand_in), number(0, 100), number(1, 10_000))
        }
        _ => {
            eprintln!("crash_loop: skipped, it wants a folder and a program (scripts/bench.sh gives them)");
            return ExitCode::SUCCESS;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crash_loop: {error}");
            ExitCode::FAILURE
        }
    }
}
