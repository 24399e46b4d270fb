//! The program `git`, as it stands in the `PATH`: asked with an environment of its own, within bounds.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ask::Ask;
use crate::clock::SharedClock;
use crate::config::Environment;
use crate::os::confine::Confinement;
use crate::os::process::Reaper;
use crate::os::process::bounded::{self, Bounds, End};
use crate::os::process::start;
use crate::task::text::shown;

/// What git may know of our environment: where programs are, and whose settings count.
const PASSED: [&str; 7] =
    ["PATH", "HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"];
/// Nobody is asked anything, and it speaks one language.
const FIXED: [(&str, &str); 6] = [
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "true"),
    ("GIT_EDITOR", "true"),
    ("GIT_PAGER", "cat"),
    ("GIT_ADVICE", "0"),
];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no such program.
    #[error("there is no `git` in the PATH of the worker")]
    Missing,
    /// It could not be run.
    #[error("git could not be run: {0}")]
    Run(#[source] io::Error),
    /// It took too long.
    #[error("`git {what}` took more than {seconds} s")]
    TooLong {
        /// What was asked.
        what: String,
        /// How long it had.
        seconds: u64,
    },
    /// It answered too much.
    #[error("`git {what}` answered more than {bytes} bytes")]
    TooMuch {
        /// What was asked.
        what: String,
        /// How much it could say.
        bytes: u64,
    },
    /// The worker stops.
    #[error("the worker was stopped")]
    Stopped,
    /// It says no.
    #[error("`git {what}`: {said}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        said: String,
    },
}

/// An answer: what was printed, and whether it ended well.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) is_yes: bool,
    pub(super) said: String,
}

impl Answer {
    /// What was printed.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The same as one line.
    pub(super) fn line(&self) -> String {
        self.text().trim_end_matches('\n').to_owned()
    }
}

/// Asks git.
#[derive(Clone, Debug)]
pub struct Git {
    search: Vec<PathBuf>,
    env: Vec<(OsString, OsString)>,
    reaper: Option<Arc<Reaper>>,
    clock: SharedClock,
    stop: Arc<AtomicBool>,
    confined: Option<Arc<Confinement>>,
}

impl Git {
    /// The git of this environment. `reaper` is that of the program, where it has one.
    pub fn new(environment: &Environment, reaper: Option<Arc<Reaper>>, clock: SharedClock) -> Self {
        let passed = PASSED.iter().filter_map(|name| Some(((*name).into(), environment.get(name)?.into())));
        let fixed = FIXED.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Self {
            search: environment.search_path(),
            env: passed.chain(fixed).collect(),
            reaper,
            clock,
            stop: Arc::default(),
            confined: None,
        }
    }

    /// The same, and it and what a repository has it start may write to no more than that. For programs that know the word for
    /// it ([`start::ENTER`]).
    #[must_use]
    pub fn kept_to(&self, confined: Option<Confinement>) -> Self {
        Self { confined: confined.map(Arc::new), ..self.clone() }
    }

    /// The same, and it may write below `dir` too.
    #[must_use]
    pub fn granting(&self, dir: PathBuf) -> Self {
        let more = |confined: &Arc<Confinement>| Confinement::clone(confined).and(dir);
        Self { confined: self.confined.as_ref().map(more).map(Arc::new), ..self.clone() }
    }

    /// The same, and it ends as soon as `stop` is true.
    #[must_use]
    pub fn until(&self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self.clone() }
    }

    /// Whether it was told to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.program().is_some()
    }

    fn program(&self) -> Option<PathBuf> {
        self.search.iter().map(|dir| dir.join("git")).find(|it| it.is_file())
    }

    /// Asks; an answer may be a no.
    pub(super) fn ask(&self, ask: &Ask) -> Result<Answer, GitError> {
        let out = bounded::unnamed().map_err(GitError::Run)?;
        let (end, said) = self.run(ask, &out)?;
        let is_yes = match end {
            End::Exited(code) => code == Some(0),
            End::TooMuch => return Err(GitError::TooMuch { what: ask.what(), bytes: ask.bytes }),
            End::TooLong | End::Stopped => return Err(cut(ask, end)),
        };
        let bytes = bounded::contents(&out, ask.bytes).map_err(GitError::Run)?;
        Ok(Answer { bytes, is_yes, said })
    }

    /// Asks what must be answered.
    pub(super) fn answer(&self, ask: &Ask) -> Result<Answer, GitError> {
        let answer = self.ask(ask)?;
        if answer.is_yes {
            return Ok(answer);
        }
        Err(GitError::Refused { what: ask.what(), said: first_words(&answer.said) })
    }

    /// Asks what has an answer of one line, or none.
    pub(super) fn line(&self, ask: &Ask) -> Result<Option<String>, GitError> {
        let answer = self.ask(ask)?;
        Ok(Some(answer.line()).filter(|line| answer.is_yes && !line.is_empty()))
    }

    /// Asks, and lets it be printed into `out`; whether all of it is there.
    pub(super) fn print(&self, ask: &Ask, out: &File) -> Result<bool, GitError> {
        let (end, said) = self.run(ask, out)?;
        match end {
            End::Exited(Some(0)) => Ok(true),
            End::TooMuch => Ok(false),
            End::Exited(_) => Err(GitError::Refused { what: ask.what(), said: first_words(&said) }),
            End::TooLong | End::Stopped => Err(cut(ask, end)),
        }
    }

    fn run(&self, ask: &Ask, out: &File) -> Result<(End, String), GitError> {
        let program = self.program().ok_or(GitError::Missing)?;
        #[expect(clippy::disallowed_methods, reason = "started and waited for by os/process/bounded.rs")]
        let mut command = match &self.confined {
            Some(confined) => start::confined(&program, confined),
            None => Command::new(program),
        };
        command.args(&ask.args).current_dir(&ask.dir).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.envs(ask.env.iter().map(|(name, value)| (name, value)));
        let bounds = Bounds { time: ask.time, bytes: ask.bytes, stop: &self.stop };
        let ran = bounded::run(&mut command, self.reaper.as_deref(), out, bounds, &*self.clock);
        ran.map(|ran| (ran.end, ran.said)).map_err(GitError::Run)
    }
}

fn cut(ask: &Ask, end: End) -> GitError {
    if end == End::Stopped {
        return GitError::Stopped;
    }
    GitError::TooLong { what: ask.what(), seconds: ask.time.as_secs() }
}

/// What it complains about, as one short line.
pub(super) fn first_words(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let fatal = lines.iter().find(|line| line.starts_with("fatal:") || line.starts_with("error:"));
    shown(fatal.or(lines.first()).unwrap_or(&"it did not say why"), 300)
}
