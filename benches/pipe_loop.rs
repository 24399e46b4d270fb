//! What the pipes cost: a `ping` of the real watcher beside a bare round trip over two FIFOs, events told to a fast reader
//! as fast as can be and 100,000 a second, and events told to nobody.
//!
//! The bare one has all that the kernel asks for and nothing else: another process that sleeps in `read(2)`, is woken by
//! the line, answers with one `write(2)` of as many bytes as the watcher does, and so wakes the one who asked. Both are
//! asked in turns, so that what else the machine does is in both.
//!
//! `cargo bench --bench pipe_loop -- DIR [ROUNDS]` prints a line for each: what, p50 in ms or a number, and the ratio to
//! the bare round trip, parts separated by tabs.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: it plays the user, and it prints what it found"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent_worker::clock::Timestamp;
use agent_worker::pipe::event::{Event, Kind, Teller};
use agent_worker::pipe::outlet::{Listener, Outlet};
use agent_worker::pipe::place::{Access, Place};
use agent_worker::text::redact::Redactor;
use nix::sys::stat::Mode;
use serde_json::json;

/// How many events are told.
const EVENTS: u32 = 200_000;
/// How often one is told where they come evenly: 100,000 a second.
const PACE: Duration = Duration::from_micros(10);

/// A folder of its own, and a program in it.
struct Root {
    dir: PathBuf,
    program: Option<Child>,
}

impl Root {
    fn new(dir: &Path, tag: &str) -> io::Result<Self> {
        let dir = dir.join(format!("pipe-{tag}-{}", std::process::id()));
        fs::create_dir_all(dir.join("pipes"))?;
        Ok(Self { dir, program: None })
    }

    fn fifo(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.dir.join("pipes").join(name);
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(path)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            drop(program.kill().and_then(|()| program.wait()));
        }
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn both(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Reads up to the end of a line.
fn line(pipe: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got == 0 || bytes[got - 1] != b'\n' {
        got += pipe.read(&mut bytes[got..])?;
    }
    Ok(got)
}

/// Somebody who is asked, and how long each answer took, in ms.
struct Asked {
    _root: Root,
    to: File,
    from: File,
    all: Vec<f64>,
}

impl Asked {
    /// One line there and one back, again and again.
    fn ask(&mut self, said: &str, rounds: usize) -> io::Result<()> {
        let mut bytes = [0; 4096];
        for _ in 0..rounds {
            let began = Instant::now();
            self.to.write_all(said.as_bytes())?;
            line(&mut self.from, &mut bytes)?;
            self.all.push(began.elapsed().as_secs_f64() * 1e3);
        }
        Ok(())
    }

    fn median(mut self) -> f64 {
        self.all.sort_by(f64::total_cmp);
        self.all[self.all.len() / 2]
    }
}

/// The other end of the bare round trip: answers each line, in as many bytes as a watcher does.
fn echo(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to, mut bytes) = (both(from)?, both(to)?, [0; 4096]);
    let mut answer = vec![b'x'; 300];
    answer.push(b'\n');
    loop {
        line(&mut from, &mut bytes)?;
        to.write_all(&answer)?;
    }
}

fn bare(dir: &Path) -> io::Result<Asked> {
    let mut root = Root::new(dir, "bare")?;
    let (there, back) = (root.fifo("there")?, root.fifo("back")?);
    let (to, from) = (both(&there)?, both(&back)?);
    let child = Command::new(std::env::current_exe()?).arg("echo").arg(&there).arg(&back).spawn()?;
    root.program = Some(child);
    Ok(Asked { _root: root, to, from, all: Vec::new() })
}

fn watcher(dir: &Path) -> io::Result<Asked> {
    let mut root = Root::new(dir, "ping")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &root.dir)
        .args(["--worker=marie", "--metrics-addr=none", "--log-level=error", "--agent=echo"])
        .arg(format!("--root={}", root.dir.display()))
        .arg(format!("--log-dir={}", root.dir.display()))
        .stdin(Stdio::null());
    root.program = Some(command.spawn()?);
    let from = both(&root.fifo("back")?)?;
    let began = Instant::now();
    let to = loop {
        match OpenOptions::new().write(true).open(root.dir.join("pipes/marie.in")) {
            Ok(pipe) => break pipe,
            Err(error) if began.elapsed() > Duration::from_secs(20) => return Err(error),
            Err(_) => std::thread::yield_now(),
        }
    };
    Ok(Asked { _root: root, to, from, all: Vec::new() })
}

/// The medians of both, in ms.
fn round_trips(dir: &Path, rounds: usize) -> io::Result<(f64, f64)> {
    const TURN: usize = 100;
    let said = "{\"op\":\"ping\",\"reply_to\":\"back\"}\n";
    let (mut bare, mut watcher) = (bare(dir)?, watcher(dir)?);
    for asked in [&mut bare, &mut watcher] {
        asked.ask(said, TURN)?;
        asked.all.clear();
    }
    for _ in 0..rounds.div_ceil(TURN) {
        bare.ask(said, TURN)?;
        watcher.ask(said, TURN)?;
    }
    Ok((bare.median(), watcher.median()))
}

/// How long one event takes to be told, and the share of all that came through to a reader that does nothing but read.
/// `every` so often one is told, if the machine can; without it there is no reader.
fn events(dir: &Path, every: Option<Duration>) -> io::Result<(f64, f64)> {
    let is_heard = every.is_some();
    let root = Root::new(dir, "events")?;
    let path = root.dir.join("pipes/marie.out");
    let place = Place::new(&root.dir, &path, Access { mode: 0o640, group: None });
    let worker = "marie".parse().map_err(io::Error::other)?;
    let mut outlet = Outlet::new(place, Teller::new(&worker, uuid::Uuid::nil(), Redactor::default()));
    outlet.look(&mut Vec::new()).map_err(io::Error::other)?;
    let is_over = AtomicBool::new(false);
    let seconds = std::thread::scope(|scope| -> io::Result<f64> {
        if is_heard {
            let mut reader = both(&path)?;
            let is_over = &is_over;
            scope.spawn(move || {
                let mut bytes = vec![0; 1 << 16];
                while !is_over.load(Ordering::Relaxed) && reader.read(&mut bytes).is_ok() {}
            });
        }
        let listener = outlet.look(&mut Vec::new()).map_err(io::Error::other)?;
        debug_assert_eq!(listener == Listener::New, is_heard);
        let began = Instant::now();
        for attempt in 0..EVENTS {
            let due = every.unwrap_or_default() * attempt;
            while !due.is_zero() && began.elapsed() < due {
                std::hint::spin_loop();
            }
            outlet.tell(|| {
                let data = json!({"run_id": uuid::Uuid::nil(), "attempt": attempt, "text": "I look at the figures first."});
                Event::new(Kind::Turn, Some("hello".to_owned()), Timestamp::UNIX_EPOCH, data)
            });
        }
        let seconds = began.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        // The reader wakes once more, and sees that it is over.
        if is_heard {
            both(&path)?.write_all(b"\n")?;
        }
        Ok(seconds)
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a few hundred thousand")]
    let lost = outlet.lost() as f64 / f64::from(EVENTS);
    Ok((seconds / f64::from(EVENTS), 1.0 - lost))
}

fn measure(dir: &Path, rounds: usize) -> io::Result<()> {
    let (floor, ping) = round_trips(dir, rounds)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let (heard, came) = events(dir, Some(Duration::ZERO))?;
    let (paced, came_paced) = events(dir, Some(PACE))?;
    let (unheard, _) = events(dir, None)?;
    println!("bare round trip\t{floor:.4} ms\t1.00x");
    println!("ping\t{ping:.4} ms\t{:.2}x", ping / floor);
    println!("events, heard\t{:.0}/s told\t{:.0}/s came", 1.0 / heard, came / heard);
    println!("events, paced\t{:.0}/s told\t{:.2} % came", 1.0 / paced, came_paced * 100.0);
    println!("events, unheard\t{:.1} ns each\t", unheard * 1e9);
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let done = match &words[..] {
        [part, from, to] if part == "echo" => echo(Path::new(from), Path::new(to)),
        [dir, rest @ ..] => {
            measure(Path::new(dir), rest.first().and_then(|word| word.parse().ok()).unwrap_or(2000))
        }
        [] => {
            eprintln!("pipe_loop: skipped, it wants a folder (scripts/bench.sh gives one)");
            return ExitCode::SUCCESS;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipe_loop: {error}");
            ExitCode::FAILURE
        }
    }
}
