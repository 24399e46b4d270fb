//! Why a verb could not do what it was asked for, and with which code it ends.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{ConfigError, Exit};
use crate::pack::Fault;
use crate::pipe::client::AskError;
use crate::spool::{ClaimError, StepError, WaitingError};
use crate::task::{ParseError, WorkerName};

/// The error of a verb.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No task of that name.
    #[error("no task `{name}` under `{}`", .root.display())]
    UnknownTask {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        root: PathBuf,
        /// What was most likely meant.
        near: Option<String>,
    },
    /// Several tasks of that name.
    #[error("`{name}` is the name of several tasks: {}", .full.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// `worker/task` of each.
        full: Vec<String>,
    },
    /// No worker of that name.
    #[error("no worker `{name}` under `{}`", .root.display())]
    UnknownWorker {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        root: PathBuf,
        /// What was most likely meant.
        near: Option<String>,
    },
    /// No pack of that name.
    #[error("no pack `{name}` in `{}`", .dir.display())]
    UnknownPack {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        dir: PathBuf,
        /// What was most likely meant.
        near: Option<String>,
    },
    /// The folder of the packs cannot be used.
    #[error("no pack can be used: {}", .fault.what)]
    Packs {
        /// Why, and what to do.
        fault: Fault,
    },
    /// The root is not one.
    #[error("`{}` is not laid out: there is no `tasks` folder in it", .root.display())]
    NotLaidOut {
        /// The root.
        root: PathBuf,
    },
    /// What was handed in is no task.
    #[error("{what} is not a task")]
    NotATask {
        /// Where it came from.
        what: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A live task has that name already.
    #[error("there is a task `{name}` already: `{}`", .path.display())]
    Taken {
        /// The name.
        name: String,
        /// Where the other one is.
        path: PathBuf,
    },
    /// Somebody else prunes.
    #[error("somebody else prunes under this root: `{}` is locked", .path.display())]
    Busy {
        /// What is locked.
        path: PathBuf,
    },
    /// This program was built without it.
    #[error("this agentctl was built without `{verb}`")]
    NotBuiltIn {
        /// What was asked for.
        verb: &'static str,
        /// The cargo feature that has it.
        feature: &'static str,
    },
    /// It is for a person at a terminal.
    #[error("there is no terminal to draw on")]
    NoTerminal,
    /// Not inside of an agent.
    #[error("inside of an agent `agentctl {verb}` is not allowed")]
    Inside {
        /// What was asked for.
        verb: String,
    },
    /// It cannot be done as things are.
    #[error("{why}")]
    NotPossible {
        /// Why not.
        why: String,
        /// What to do.
        hint: Option<String>,
        /// With which code that ends.
        exit: Exit,
    },
    /// Somebody else has the worker.
    #[error("somebody else holds the lock of {worker}")]
    Held {
        /// The worker.
        worker: WorkerName,
    },
    /// A worker was asked, and did not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It is not where it was.
    #[error("{what} moved on while it was looked at")]
    Moved {
        /// What.
        what: String,
    },
    /// A task that waits could not be changed.
    #[error("could not change a task of {worker}")]
    Waiting {
        /// Under whose lock.
        worker: WorkerName,
        /// Why.
        source: Box<WaitingError>,
    },
    /// A task could not be moved.
    #[error("could not move {what}")]
    Spool {
        /// What.
        what: String,
        /// Why.
        source: Box<StepError>,
    },
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The command line contradicts itself or lacks something.
    #[error("{why}")]
    Wish {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The kernel refused.
    #[error("could not {doing} `{}`", .path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl OperatorError {
    /// A refusal of the kernel's: `doing` is a verb such as `read`.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::UnknownTask { .. }
            | Self::Ambiguous { .. }
            | Self::UnknownWorker { .. }
            | Self::UnknownPack { .. }
            | Self::NotATask { .. }
            | Self::Taken { .. } => Exit::Data,
            Self::NotLaidOut { .. } | Self::NotBuiltIn { .. } | Self::NoTerminal => Exit::Unavailable,
            Self::Packs { .. } => Exit::Configuration,
            Self::Wish { .. } => Exit::Usage,
            Self::Ask(error) => exit_of_ask(error),
            Self::Inside { .. } => Exit::Denied,
            Self::NotPossible { exit, .. } => *exit,
            Self::Busy { .. } | Self::Held { .. } | Self::Moved { .. } => Exit::TryAgain,
            Self::Waiting { source, .. } => of_waiting(source),
            Self::Spool { source, .. } => Exit::of_io(&source.source),
            Self::Config(error) => error.exit(),
            Self::Io { source, .. } => Exit::of_io(source),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let meant = |near: &Option<String>| near.as_ref().map(|near| format!("did you mean `{near}`?"));
        match self {
            Self::UnknownTask { near, .. } => {
                meant(near).or_else(|| Some("`agentctl list` shows all tasks".to_owned()))
            }
            Self::UnknownWorker { near, .. } => {
                meant(near).or_else(|| Some("a worker is made by starting its watcher".to_owned()))
            }
            Self::UnknownPack { near, .. } => {
                meant(near).or_else(|| Some("`agentctl packs` shows all".to_owned()))
            }
            Self::Packs { fault } => fault.hint.clone(),
            Self::Ambiguous { full, .. } => full.first().map(|one| format!("say which, such as `{one}`")),
            Self::NotLaidOut { root } => Some(format!(
                "`supervisor up --root {}` lays it out and starts working; --root or SHARED_ROOT names another",
                root.display()
            )),
            Self::Taken { .. } => Some("give another --id, or none".to_owned()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("are you in the group that may work on this root?".to_owned())
            }
            Self::Busy { .. } => Some("a worker's own round, most likely; it is over in minutes".to_owned()),
            Self::NotBuiltIn { feature, .. } => Some(format!(
                "`cargo build --release --features {feature}` builds it in; `agentctl status` shows the same, once"
            )),
            Self::NoTerminal => Some(
                "it needs standard input and output at a terminal, and TERM; `agentctl status` goes through a pipe"
                    .to_owned(),
            ),
            Self::Inside { .. } => Some(
                "what an agent can do: `agentctl submit PROMPT` hands a task on, `agentctl status`, `agentctl progress TEXT`"
                    .to_owned(),
            ),
            Self::NotPossible { hint, .. } => hint.clone(),
            Self::Held { worker } => Some(format!(
                "its watcher starts, or somebody recovers it; try again, or look with `agentctl status {worker}`"
            )),
            Self::Ask(error) => Some(hint_of_ask(error).to_owned()),
            Self::Waiting { source, worker } if matches!(**source, WaitingError::Unfinished { .. }) => {
                Some(format!("`supervisor recover {worker}` brings it home, and so does its watcher's next start"))
            }
            Self::Moved { .. } | Self::Waiting { .. } => Some("look again: `agentctl show`".to_owned()),
            Self::Spool { source, .. } if source.source.kind() == io::ErrorKind::PermissionDenied => {
                Some("are you in the group that may work on this root?".to_owned())
            }
            Self::Spool { .. } => Some("nothing is lost; mend the cause and say it again".to_owned()),
            Self::Config(error) => error.hint(),
            Self::NotATask { .. } | Self::Wish { .. } | Self::Io { .. } => None,
        }
    }
}

fn exit_of_ask(error: &AskError) -> Exit {
    match error {
        AskError::Nobody { .. } | AskError::Unanswered { .. } | AskError::Died { .. } => Exit::TryAgain,
        AskError::NoPipe { .. } => Exit::Unavailable,
        AskError::TooLong { .. } => Exit::Usage,
        AskError::Io { source, .. } => Exit::of_io(source),
    }
}

const fn hint_of_ask(error: &AskError) -> &'static str {
    match error {
        AskError::Nobody { .. } => {
            "it starts, stops, or somebody recovers it at this moment: nothing was done, so say it again in some seconds"
        }
        AskError::Unanswered { .. } | AskError::Died { .. } => {
            "it may have been done all the same: look with `agentctl show` or `agentctl status` before you say it again"
        }
        AskError::NoPipe { .. } => {
            "its watcher moves aside what stands there, within a second, and makes the pipe anew"
        }
        AskError::TooLong { .. } => "put the rest into a file, and name that",
        AskError::Io { .. } => "are you in the group that may write into its pipe?",
    }
}

fn of_waiting(error: &WaitingError) -> Exit {
    match error {
        WaitingError::NotATask { .. } => Exit::Data,
        WaitingError::Open(_) | WaitingError::Elsewhere { .. } => Exit::Unavailable,
        WaitingError::Unfinished { source, .. } | WaitingError::Claim(ClaimError::Disk { source, .. }) => {
            Exit::of_io(&source.source)
        }
        WaitingError::Claim(ClaimError::Unreadable { source, .. }) => Exit::of_io(source),
        WaitingError::Claim(ClaimError::Gone(_) | ClaimError::Live(_) | ClaimError::Changed(_)) => {
            Exit::TryAgain
        }
    }
}
