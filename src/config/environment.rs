//! The process environment, read once at the start: the only place that asks for it. Secrets that the service manager
//! handed over as files stand in it like variables.
//!
//! It deliberately does not know what a variable means: settings are resolved in [`super::settings`], and what
//! an agent may inherit is decided where the agent is started.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::credentials;
use crate::text::redact::Redactor;

/// What the program found around itself when it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    vars: BTreeMap<OsString, OsString>,
    cwd: PathBuf,
    terminals: Terminals,
    columns: Option<usize>,
}

/// Which of the standard descriptors a person sits at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminals {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn snapshot() -> Self {
        let shown = terminal_size::terminal_size_of(std::io::stdout());
        let mut vars = std::env::vars_os().collect();
        credentials::add_to(&mut vars);
        Self {
            columns: shown.map(|(width, _)| width.0.into()),
            vars,
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            terminals: Terminals {
                stdin: std::io::stdin().is_terminal(),
                stdout: std::io::stdout().is_terminal(),
                stderr: std::io::stderr().is_terminal(),
            },
        }
    }

    /// An environment made by hand, in `/`, with no terminal.
    pub fn of(vars: &[(&str, &str)]) -> Self {
        Self {
            vars: vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
            cwd: PathBuf::from("/"),
            terminals: Terminals { stdin: false, stdout: false, stderr: false },
            columns: None,
        }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Same, where it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// All variables, sorted by name.
    pub fn vars(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.vars.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// What takes secrets out of texts, those of this environment among them.
    pub fn redactor(&self) -> Redactor {
        Redactor::of_environment(
            self.vars.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?))),
        )
    }

    /// Where the program was started.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// Which standard descriptors are terminals.
    pub const fn terminals(&self) -> Terminals {
        self.terminals
    }

    /// How wide the terminal is that standard output goes to, `COLUMNS` before what it says itself; `None` where nobody
    /// sits at it.
    pub fn columns(&self) -> Option<usize> {
        let said =
            self.text("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
        self.columns.map(|columns| said.unwrap_or(columns))
    }

    /// The directories of `PATH`, absolute ones only: a relative one would mean the working directory of whoever looks.
    pub fn search_path(&self) -> Vec<PathBuf> {
        let path = self.get("PATH").unwrap_or_default();
        std::env::split_paths(path).filter(|dir| dir.is_absolute()).collect()
    }

    /// `path` seen from where the program was started.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        std::path::absolute(self.cwd.join(path)).unwrap_or_else(|_| self.cwd.join(path))
    }
}
