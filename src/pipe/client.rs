//! The caller's end: one command to a worker, and its answer.
//!
//! Invariants:
//! - nothing that is no named pipe is written to, no link is followed, and nobody is waited for but the answer;
//! - a command is one line, written by one `write(2)`;
//! - the pipe for the answer is gone when the call is over;
//! - without an answer nobody claims that nothing was done.
//!
//! It deliberately does not know what is asked, nor what a person is told.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use uuid::Uuid;

use super::LINE_MAX;
use super::framing::{Framed, Framer};
use super::reply::Reply;
use super::words::Request;
use crate::clock::{Clock, Ticks};
use crate::layout::Layout;
use crate::os::folder::{End, Folder};
use crate::task::WorkerName;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody reads the pipe, or there is none.
    #[error("nobody listens on `{}`", .pipe.display())]
    Nobody {
        /// The pipe.
        pipe: PathBuf,
    },
    /// Something else stands in its place.
    #[error("`{}` is no named pipe, and nothing was written into it", .pipe.display())]
    NoPipe {
        /// What it was to be.
        pipe: PathBuf,
    },
    /// More than a pipe takes at once.
    #[error("a command of {bytes} bytes, and a pipe takes {LINE_MAX} at once")]
    TooLong {
        /// How much it would have been.
        bytes: usize,
    },
    /// It was written, and no answer came.
    #[error("no answer on `{}` within {waited:?}", .pipe.display())]
    Unanswered {
        /// Where it was asked.
        pipe: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It was written, and whoever read it is gone.
    #[error("the watcher that read `{}` died before it answered", .pipe.display())]
    Died {
        /// Where it was asked.
        pipe: PathBuf,
    },
    /// The kernel refused.
    #[error("could not {doing} `{}`", .path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl AskError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// Asks the watcher of `worker`, and waits for its answer at most `patience`, and only while it `lives`.
pub fn ask(
    layout: &Layout,
    worker: &WorkerName,
    request: Request,
    patience: (&dyn Clock, Duration),
    lives: &dyn Fn() -> bool,
) -> Result<Reply, AskError> {
    exchange(layout.root(), layout.commands(worker), request, (patience, lives))
}

/// The same on a pipe in a folder below `root`, beside which the answer comes.
pub fn ask_on(
    root: &Path,
    pipe: PathBuf,
    request: Request,
    patience: (&dyn Clock, Duration),
) -> Result<Reply, AskError> {
    exchange(root, pipe, request, (patience, &|| true))
}

fn exchange(
    root: &Path,
    pipe: PathBuf,
    request: Request,
    (patience, lives): ((&dyn Clock, Duration), &dyn Fn() -> bool),
) -> Result<Reply, AskError> {
    let mark = Uuid::new_v4();
    let (name, mark) = (super::leftover::name_of(&mark), mark.to_string());
    let request = Request { reply_to: Some(name.clone()), id: Some(mark.clone()), ..request };
    let line = request.to_line();
    if line.len() > LINE_MAX {
        return Err(AskError::TooLong { bytes: line.len() });
    }
    let dir = pipe.parent().unwrap_or(root).to_owned();
    let folder = Folder::open(root, &dir).map_err(AskError::io("open the folder", &dir))?;
    let answers = Answers::make(&folder, &dir, &name)?;
    write(&folder, &pipe, &line)?;
    match answers.wait(&mark, patience, lives).map_err(AskError::io("read", &answers.path()))? {
        Heard::Answer(reply) => Ok(*reply),
        Heard::Nothing => Err(AskError::Unanswered { pipe, waited: patience.1 }),
        Heard::Death => Err(AskError::Died { pipe }),
    }
}

fn write(folder: &Folder, path: &Path, line: &str) -> Result<(), AskError> {
    let name = path.file_name().unwrap_or_default();
    let pipe = || path.to_owned();
    let is = |error: &io::Error, kind| error.kind() == kind;
    let (mut file, _) = folder.fifo(name, End::Write).map_err(|error| {
        if is(&error, io::ErrorKind::NotFound) || error.raw_os_error() == Some(nix::libc::ENXIO) {
            AskError::Nobody { pipe: pipe() }
        } else if is(&error, io::ErrorKind::InvalidInput) {
            AskError::NoPipe { pipe: pipe() }
        } else {
            AskError::io("open", path)(error)
        }
    })?;
    // All of it or nothing, since it is no longer than PIPE_BUF (pipe(7)).
    file.write_all(line.as_bytes()).map_err(|error| {
        if is(&error, io::ErrorKind::BrokenPipe) {
            AskError::Nobody { pipe: pipe() }
        } else {
            AskError::io("write into", path)(error)
        }
    })
}

/// How often it is asked whether there is still somebody who could answer.
const LOOK: Duration = Duration::from_millis(500);

/// What came of waiting.
enum Heard {
    Answer(Box<Reply>),
    Nothing,
    Death,
}

/// The pipe on which the answer comes.
struct Answers<'a> {
    folder: &'a Folder,
    dir: &'a Path,
    name: OsString,
    file: File,
}

impl<'a> Answers<'a> {
    /// Makes it, for us and for the group of the folder: the worker may be another user.
    fn make(folder: &'a Folder, dir: &'a Path, name: &str) -> Result<Self, AskError> {
        let (name, path) = (OsString::from(name), dir.join(name));
        let made = folder.make_fifo(&name).and_then(|()| {
            let held = folder.hold(&name)?;
            let group = folder.look_at_itself()?.group;
            let wanted = (held.look.group != group).then_some(group);
            held.allow(0o620, wanted).or_else(|_| held.allow(0o600, None))?;
            folder.fifo(&name, End::Both)
        });
        match made {
            Ok((file, _)) => Ok(Self { folder, dir, name, file }),
            Err(error) => {
                folder.remove(&name).ok();
                Err(AskError::io("make", &path)(error))
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Waits for the answer that bears `mark`.
    fn wait(
        &self,
        mark: &str,
        (clock, patience): (&dyn Clock, Duration),
        lives: &dyn Fn() -> bool,
    ) -> io::Result<Heard> {
        let due = clock.ticks().plus(patience);
        let mut framer = Framer::default();
        loop {
            let left = due.since(clock.ticks());
            // Asked before the last look: what it said before it died is still in the pipe.
            let is_alive = lives();
            if self.is_readable(if is_alive { left.min(LOOK) } else { Duration::ZERO })? {
                let mut heard = Vec::new();
                self.read(&mut framer, clock.ticks(), &mut heard)?;
                if let Some(reply) = heard.into_iter().flatten().find_map(|line| understood(&line, mark)) {
                    return Ok(Heard::Answer(Box::new(reply)));
                }
            } else if !is_alive {
                return Ok(Heard::Death);
            } else if left.is_zero() {
                return Ok(Heard::Nothing);
            }
        }
    }

    fn is_readable(&self, left: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        let limit = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&limit)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    fn read(&self, framer: &mut Framer, now: Ticks, lines: &mut Vec<Framed>) -> io::Result<()> {
        let mut bytes = [0; LINE_MAX];
        match (&self.file).read(&mut bytes) {
            Ok(count) => framer.feed(&bytes[..count], now, lines),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.folder.remove(&self.name).ok();
    }
}

/// The answer in an event; `None` for what is none to the command with this mark.
fn understood(line: &str, mark: &str) -> Option<Reply> {
    #[derive(Deserialize)]
    struct Told {
        data: Reply,
    }
    let Told { data } = serde_json::from_str(line).ok()?;
    (data.id.as_deref() == Some(mark)).then_some(data)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{BufRead, BufReader};

    use super::super::words::{Op, parse};
    use super::*;
    use crate::clock::SystemClock;
    use crate::os::fifo;

    const SOON: Duration = Duration::from_secs(30);

    fn world() -> (tempfile::TempDir, Layout, WorkerName) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        std::fs::create_dir_all(layout.pipes()).unwrap();
        (dir, layout, "marie".parse().unwrap())
    }

    fn left(layout: &Layout) -> Vec<String> {
        let names = std::fs::read_dir(layout.pipes()).unwrap().flatten();
        names.map(|it| it.file_name().to_string_lossy().into_owned()).filter(|it| it != "marie.in").collect()
    }

    /// A worker that answers each command with these lines.
    fn worker(layout: &Layout, answers: impl Fn(&Request) -> Vec<String> + Send + 'static) {
        let path = layout.commands(&"marie".parse().unwrap());
        fifo::make(&path, 0o600).unwrap();
        let pipe = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let dir = layout.pipes();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let request = parse(&line.unwrap()).unwrap().unwrap();
                let to = dir.join(request.reply_to.as_ref().unwrap());
                let mut pipe = OpenOptions::new().write(true).open(to).unwrap();
                for answer in answers(&request) {
                    pipe.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
    }

    fn event(reply: &Reply) -> String {
        format!(
            "{}\n",
            serde_json::json!({"specversion": "1.0", "type": "agent-worker.reply", "data": reply})
        )
    }

    #[test]
    fn a_command_is_answered_and_nothing_is_left() {
        let (_dir, layout, marie) = world();
        worker(&layout, |request| {
            let stranger = Reply { id: Some("another".to_owned()), ..Reply::done("not for you") };
            let ours = Reply { id: request.id.clone(), ..Reply::done(format!("{} it is", request.op)) };
            vec!["noise\n".to_owned(), event(&stranger), event(&ours)]
        });
        let reply = ask(&layout, &marie, Request::new(Op::Pause), (&SystemClock, SOON), &|| true).unwrap();
        assert!(reply.ok && reply.message == "pause it is", "{reply:?}");
        assert!(left(&layout).is_empty(), "{:?}", left(&layout));
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for_for_ever() {
        let (_dir, layout, marie) = world();
        worker(&layout, |_| Vec::new());
        let limit = Duration::from_millis(30);
        let asked = ask(&layout, &marie, Request::new(Op::Ping), (&SystemClock, limit), &|| true);
        assert!(matches!(asked, Err(AskError::Unanswered { .. })), "{asked:?}");
        let asked = ask(&layout, &marie, Request::new(Op::Ping), (&SystemClock, SOON), &|| false);
        assert!(matches!(asked, Err(AskError::Died { .. })), "nor is one who is gone: {asked:?}");
        assert!(left(&layout).is_empty(), "{:?}", left(&layout));
    }

    #[test]
    fn nothing_but_a_pipe_with_a_reader_is_written_to() {
        let (_dir, layout, marie) = world();
        let ask = || ask(&layout, &marie, Request::new(Op::Ping), (&SystemClock, SOON), &|| true);
        assert!(matches!(ask(), Err(AskError::Nobody { .. })), "there is none");
        let path = layout.commands(&marie);
        fifo::make(&path, 0o600).unwrap();
        assert!(matches!(ask(), Err(AskError::Nobody { .. })), "nobody reads it");
        std::fs::remove_file(&path).unwrap();
        let precious = layout.root().join("precious");
        File::create(&precious).unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert!(matches!(ask(), Err(AskError::NoPipe { .. })), "a link");
        std::fs::remove_file(&path).unwrap();
        File::create(&path).unwrap();
        assert!(matches!(ask(), Err(AskError::NoPipe { .. })), "a file");
        assert_eq!(std::fs::metadata(&path).unwrap().len() + std::fs::metadata(&precious).unwrap().len(), 0);
        assert!(left(&layout).is_empty());
    }

    #[test]
    fn what_does_not_fit_into_one_write_is_not_written() {
        let (_dir, layout, marie) = world();
        let request = Request { text: Some("x".repeat(LINE_MAX)), ..Request::new(Op::Tell).about("t") };
        let asked = ask(&layout, &marie, request, (&SystemClock, SOON), &|| true);
        assert!(matches!(asked, Err(AskError::TooLong { .. })), "{asked:?}");
    }
}
