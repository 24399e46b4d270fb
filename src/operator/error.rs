//! Why a verb could not do what it was asked for, and with which code it ends.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{ConfigError, Exit};
use crate::task::ParseError;

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
            | Self::NotATask { .. }
            | Self::Taken { .. } => Exit::Data,
            Self::NotLaidOut { .. } | Self::NotBuiltIn { .. } | Self::NoTerminal => Exit::Unavailable,
            Self::Wish { .. } => Exit::Usage,
            Self::Busy { .. } => Exit::TryAgain,
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
            Self::Config(error) => error.hint(),
            Self::NotATask { .. } | Self::Wish { .. } | Self::Io { .. } => None,
        }
    }
}
