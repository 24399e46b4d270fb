//! The floor to compare the watcher with: drop → event → claim → spawn → wait → file, without a watcher.
//!
//! Three ways: `bare` moves the file and starts the program, no more; `files` performs the spool's own lists of
//! steps without the fsyncs; `synced` performs them whole. Latency is from the drop's rename to the first
//! instruction of the program, which prints its time; throughput is that of a backlog.
//!
//! `cargo bench --bench raw_loop -- DIR STAND_IN [TASKS]` prints one line of tab separated values per way:
//! way, p50 ms, p99 ms, tasks/s at 1, tasks/s at 5. It knows no task, no retry, no crash, and judges nothing.
//!
//! `raw_loop serve ROOT PROGRAM LANES` is the bare way as a daemon, which `scripts/compare.sh` measures beside others.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: the raw calls are its subject, and it prints what it found"
)]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use agent_worker::os::durable::{self, rename_noreplace};
use agent_worker::os::lock::Lock;
use agent_worker::spool::steps::{self, Claim, Papers};
use agent_worker::spool::{Identity, Step};
use rustix::fs::inotify;

/// What is done around the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bare,
    Files,
    Synced,
}

/// The folders of one measurement.
struct Tree {
    root: PathBuf,
    stand_in: PathBuf,
    way: Way,
}

const DROPPED: &[u8] = br#"{"prompt":"say hello"}"#;
const STAMPED: &[u8] = &[b' '; 700];

impl Tree {
    fn new(dir: &Path, stand_in: &Path, way: Way) -> io::Result<Self> {
        let root = dir.join(format!("raw-{way:?}-{}", std::process::id()));
        for folder in ["pending", "active", "completed", "artifacts"] {
            fs::create_dir_all(root.join(folder))?;
        }
        Ok(Self { root, stand_in: stand_in.to_owned(), way })
    }

    fn at(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name)
    }

    fn drop_task(&self, name: &str) -> io::Result<()> {
        let temp = self.root.join(name);
        fs::write(&temp, DROPPED)?;
        fs::rename(temp, self.at("pending", name))
    }

    /// One task from the queue to its end; the time at which the program said that it runs, since 1970 in ns.
    fn run(&self, name: &str) -> io::Result<u128> {
        let (from, active, filed) =
            (self.at("pending", name), self.at("active", name), self.at("completed", name));
        let run = self.at("artifacts", name);
        fs::read(&from)?;
        if self.way == Way::Bare {
            rename_noreplace(&from, &active)?;
            fs::create_dir(&run)?;
        } else {
            // Not compared here: looking again is one more read, as in the real thing.
            let identity = Identity { dev: 0, inode: 0, size: 0, mtime_ns: 0 };
            let input = run.join("input.json");
            let claim = Claim {
                from: &from,
                active: &active,
                identity,
                input: Some((&input, DROPPED.to_vec())),
                stamped: STAMPED.to_vec(),
            };
            self.perform(steps::claim(claim))?;
        }
        let began = self.spawn(&run)?;
        if self.way == Way::Bare {
            rename_noreplace(&active, &filed)?;
        } else {
            let papers = |name: &str| Papers { files: vec![(run.join(name), STAMPED.to_vec())] };
            let (output, result) = (papers("output.txt"), papers("result.json"));
            self.perform(steps::judge(&active, STAMPED.to_vec(), output, result))?;
            self.perform(steps::file(&active, &filed, Papers::default(), vec![run.clone()]))?;
        }
        Ok(began)
    }

    /// Starts the program with a locked file as its stdout and waits for it.
    fn spawn(&self, run: &Path) -> io::Result<u128> {
        let stream = run.join("stream.ndjson");
        let lock = Lock::try_exclusive_on(File::create_new(&stream)?)?;
        let stdout =
            lock.and_then(Lock::into_file).ok_or_else(|| io::Error::other("the stream is locked"))?;
        let status = Command::new(&self.stand_in).stdin(Stdio::null()).stdout(stdout).status()?;
        let said = fs::read_to_string(stream)?;
        let began = said.split("\"at_ns\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        began
            .and_then(|ns| ns.parse().ok())
            .ok_or_else(|| io::Error::other(format!("the stand-in ended with {status} and did not say when")))
    }

    fn perform(&self, steps: Vec<Step>) -> io::Result<()> {
        steps.into_iter().try_for_each(|step| match step {
            Step::SyncFile(path) if self.way == Way::Synced => durable::sync_file(&path),
            Step::SyncDir(path) if self.way == Way::Synced => durable::sync_dir(&path),
            Step::SyncFile(_) | Step::SyncDir(_) | Step::Look(_) | Step::Note(_) => Ok(()),
            Step::MakeDir(path) => fs::create_dir(path),
            Step::Move { from, to } => rename_noreplace(&from, &to),
            Step::Confirm { at, .. } => fs::read(at).map(drop),
            Step::Write { path, bytes, mtime } => durable::write_new(&path, &bytes, mtime),
            Step::Replace { from, to } => fs::rename(from, to),
            Step::Remove(path) => fs::remove_file(path),
        })
    }

    /// Drops one task after the other, each when the one before has ended; sorted latencies in ms.
    fn latency(&self, tasks: usize) -> io::Result<Vec<f64>> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, self.root.join("pending"), inotify::WatchFlags::MOVED_TO)?;
        let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut all = Vec::with_capacity(tasks);
        for n in 0..tasks {
            let name = format!("latency-{n}.json");
            let (dropped, event) = std::thread::scope(|scope| {
                let dropper = scope.spawn(|| {
                    let before = now_ns();
                    self.drop_task(&name).map(|()| before)
                });
                let event = inotify::Reader::new(watch.as_fd(), &mut buffer).next().map(drop);
                (dropper.join(), event)
            });
            event?;
            let dropped = dropped.map_err(|_| io::Error::other("the dropper panicked"))??;
            all.push(ms(self.run(&name)?.saturating_sub(dropped)));
        }
        all.sort_by(f64::total_cmp);
        Ok(all)
    }

    /// Works off a backlog with `lanes` at a time; tasks per second.
    fn throughput(&self, lanes: usize, tasks: usize) -> io::Result<f64> {
        let names: Vec<String> = (0..tasks).map(|n| format!("backlog-{lanes}-{n}.json")).collect();
        names.iter().try_for_each(|name| self.drop_task(name))?;
        let queue = Mutex::new(names.into_iter());
        let next = || queue.lock().ok()?.next();
        let began = Instant::now();
        std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..lanes)
                .map(|_| {
                    scope.spawn(|| std::iter::from_fn(next).try_for_each(|name| self.run(&name).map(drop)))
                })
                .collect();
            lanes
                .into_iter()
                .try_for_each(|lane| lane.join().unwrap_or_else(|_| Err(io::Error::other("a lane panicked"))))
        })?;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        Ok(tasks as f64 / began.elapsed().as_secs_f64())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            eprintln!("raw_loop: {}: {error}", self.root.display());
        }
    }
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
fn ms(ns: u128) -> f64 {
    ns as f64 / 1e6
}

fn measure(dir: &Path, stand_in: &Path, tasks: usize) -> io::Result<()> {
    println!("way\tp50_ms\tp99_ms\ttasks_s_1\ttasks_s_5");
    for way in [Way::Bare, Way::Files, Way::Synced] {
        let tree = Tree::new(dir, stand_in, way)?;
        let latency = tree.latency(tasks.min(200))?;
        let (p50, p99) = (latency[latency.len() / 2], latency[latency.len() * 99 / 100]);
        let (one, five) = (tree.throughput(1, tasks)?, tree.throughput(5, tasks)?);
        println!("{}\t{p50:.2}\t{p99:.2}\t{one:.0}\t{five:.0}", format!("{way:?}").to_lowercase());
    }
    Ok(())
}

/// The bare way for as long as it is left to: what is dropped into `pending/` is run, `lanes` at a time.
fn serve(root: &Path, program: &Path, lanes: usize) -> io::Result<()> {
    let at = |folder: &str, name: &str| root.join(folder).join(name);
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, root.join("pending"), inotify::WatchFlags::MOVED_TO)?;
    let (tell, told) = channel::<String>();
    let told = Mutex::new(told);
    let one = |name: &str| {
        let active = at("active", name);
        rename_noreplace(&at("pending", name), &active)?;
        let lock = Lock::try_exclusive_on(File::open(&active)?)?;
        Command::new(program)
            .arg(name.trim_end_matches(".json"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        drop(lock);
        rename_noreplace(&active, &at("completed", name))
    };
    let names = |folder: &str| -> io::Result<Vec<String>> {
        let entries = fs::read_dir(root.join(folder))?;
        entries.map(|entry| entry.map(|it| it.file_name().to_string_lossy().into_owned())).collect()
    };
    names("active")?
        .iter()
        .try_for_each(|name| rename_noreplace(&at("active", name), &at("pending", name)))?;
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let next = || told.lock().ok()?.recv().ok();
                for name in std::iter::from_fn(next) {
                    // What was listed and told of is found once.
                    let failed = one(&name).err().filter(|error| error.kind() != io::ErrorKind::NotFound);
                    if let Some(error) = failed {
                        eprintln!("raw_loop: {name}: {error}");
                    }
                }
            });
        }
        names("pending")?.into_iter().try_for_each(|name| tell.send(name)).map_err(io::Error::other)?;
        let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut events = inotify::Reader::new(watch.as_fd(), &mut buffer);
        loop {
            let event = events.next()?;
            if let Some(name) = event.file_name() {
                tell.send(name.to_string_lossy().into_owned()).map_err(io::Error::other)?;
            }
        }
    })
}

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`; anything else that begins with a dash is not for us.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [verb, root, program, lanes] = &words[..]
        && verb == "serve"
    {
        let served = serve(Path::new(root), Path::new(program), lanes.parse().unwrap_or(1));
        eprintln!("raw_loop: {served:?}");
        return ExitCode::FAILURE;
    }
    let [dir, stand_in, rest @ ..] = &words[..] else {
        eprintln!("raw_loop: skipped, it wants a folder and a program (scripts/bench.sh gives them)");
        return ExitCode::SUCCESS;
    };
    let tasks = rest.first().and_then(|word| word.parse().ok()).unwrap_or(500);
    match measure(Path::new(dir), Path::new(stand_in), tasks) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raw_loop: {error}");
            ExitCode::FAILURE
        }
    }
}
