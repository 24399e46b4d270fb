//! The real watcher on the floor that `raw_loop` measures: the same drops, the same stand-in for the CLI.
//!
//! `unsynced` is `--durability none`, `durable` is `full`. Latency is from the drop's rename to the first
//! instruction of the program; throughput is that of a backlog, from the first start to the last filing.
//!
//! `cargo bench --bench watcher_loop -- DIR STAND_IN [TASKS]` prints lines like those of `raw_loop`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: it plays the user, and it prints what it found"
)]

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::inotify;
use serde_json::Value;

/// How the watcher is run.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    durability: &'static str,
}

const WAYS: [Way; 2] =
    [Way { name: "unsynced", durability: "none" }, Way { name: "durable", durability: "full" }];

/// A root of its own, and a watcher on it.
struct Root {
    dir: PathBuf,
    watch: OwnedFd,
    watcher: Option<Child>,
}

impl Root {
    fn new(dir: &Path, tag: &str) -> io::Result<Self> {
        let dir = dir.join(format!("watcher-{tag}-{}", std::process::id()));
        for folder in ["home", "log", "tasks/marie/pending", "tasks/marie/completed"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, dir.join("tasks/marie/completed"), inotify::WatchFlags::MOVED_TO)?;
        Ok(Self { dir, watch, watcher: None })
    }

    fn start(&mut self, stand_in: &Path, way: Way, lanes: usize) -> io::Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.dir.join("home"))
            .args([
                "--worker=marie",
                "--metrics-addr=none",
                "--log-level=error",
                "--api-requests-per-minute=0",
            ])
            .arg(format!("--root={}", self.dir.display()))
            .arg(format!("--log-dir={}", self.dir.join("log").display()))
            .arg(format!("--claude-bin={}", stand_in.display()))
            .arg(format!("--durability={}", way.durability))
            .arg(format!("--concurrency={lanes}"))
            .stdin(Stdio::null());
        self.watcher = Some(command.spawn()?);
        Ok(())
    }

    fn drop_task(&self, name: &str) -> io::Result<u128> {
        let temp = self.dir.join(name);
        fs::write(&temp, br#"{"prompt":"say hello"}"#)?;
        let before = now_ns();
        fs::rename(temp, self.dir.join("tasks/marie/pending").join(name))?;
        Ok(before)
    }

    /// Waits until so many more tasks are filed.
    fn filed(&self, count: usize) -> io::Result<()> {
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut events = inotify::Reader::new(self.watch.as_fd(), &mut buffer);
        let mut filed = 0;
        while filed < count {
            // A start tries its folders out with hidden files.
            let event = events.next()?;
            let is_task = event.file_name().is_some_and(|name| !name.to_bytes().starts_with(b"."));
            filed += usize::from(is_task);
        }
        Ok(())
    }

    /// When the program of a filed task ran first, since 1970 in ns.
    fn began(&self, name: &str) -> io::Result<u128> {
        let read = |path: PathBuf| fs::read_to_string(path);
        let task: Value = serde_json::from_str(&read(self.dir.join("tasks/marie/completed").join(name))?)?;
        let run = task["run_id"].as_str().unwrap_or_default();
        let stream = read(self.dir.join("artifacts").join(run).join("attempt-1/stream.ndjson"))?;
        let began = stream.split("\"at_ns\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        began
            .and_then(|ns| ns.parse().ok())
            .ok_or_else(|| io::Error::other(format!("{name} did not say when it began")))
    }

    /// Drops one task after the other, each when the one before was filed; sorted latencies in ms.
    fn latency(&self, tasks: usize) -> io::Result<Vec<f64>> {
        let warm_up = 3;
        let mut all = Vec::with_capacity(tasks);
        for n in 0..tasks + warm_up {
            let name = format!("latency-{n}.json");
            let dropped = self.drop_task(&name)?;
            self.filed(1)?;
            all.push(ms(self.began(&name)?.saturating_sub(dropped)));
        }
        all.drain(..warm_up);
        all.sort_by(f64::total_cmp);
        Ok(all)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            let ended = watcher.kill().and_then(|()| watcher.wait());
            drop(ended);
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("watcher_loop: {}: {error}", self.dir.display());
        }
    }
}

/// Works off a backlog with `lanes` at a time; tasks per second.
fn throughput(dir: &Path, stand_in: &Path, way: Way, lanes: usize, tasks: usize) -> io::Result<f64> {
    let mut root = Root::new(dir, &format!("{}-{lanes}", way.name))?;
    let names: Vec<String> = (0..tasks).map(|n| format!("backlog-{n}.json")).collect();
    names.iter().try_for_each(|name| root.drop_task(name).map(drop))?;
    root.start(stand_in, way, lanes)?;
    root.filed(tasks)?;
    let ended = now_ns();
    let began = names.iter().map(|name| root.began(name)).collect::<io::Result<Vec<_>>>()?;
    let first = began.into_iter().min().unwrap_or(ended);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok(tasks as f64 / (ms(ended.saturating_sub(first)) / 1e3))
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
fn ms(ns: u128) -> f64 {
    ns as f64 / 1e6
}

fn measure(dir: &Path, stand_in: &Path, tasks: usize) -> io::Result<()> {
    for way in WAYS {
        let mut root = Root::new(dir, way.name)?;
        root.start(stand_in, way, 5)?;
        let latency = root.latency(tasks.min(200))?;
        drop(root);
        let (p50, p99) = (latency[latency.len() / 2], latency[latency.len() * 99 / 100]);
        let one = throughput(dir, stand_in, way, 1, tasks)?;
        let five = throughput(dir, stand_in, way, 5, tasks)?;
        println!("{}\t{p50:.2}\t{p99:.2}\t{one:.0}\t{five:.0}", way.name);
    }
    Ok(())
}

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`; anything else that begins with a dash is not for us.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let [dir, stand_in, rest @ ..] = &words[..] else {
        eprintln!("watcher_loop: skipped, it wants a folder and a program (scripts/bench.sh gives them)");
        return ExitCode::SUCCESS;
    };
    let tasks = rest.first().and_then(|word| word.parse().ok()).unwrap_or(500);
    match measure(Path::new(dir), Path::new(stand_in), tasks) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watcher_loop: {error}");
            ExitCode::FAILURE
        }
    }
}
