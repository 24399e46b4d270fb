//! Whether the agents of this worker are kept from writing where they need not.
//!
//! Invariants:
//! - settled once, at the start, by trying it: what the kernel cannot do is said then, and not at each run;
//! - where it was asked for outright and cannot be had, the worker does not start.

use std::path::PathBuf;

use super::live::Live;
use crate::config::{Confine, WatcherConfig};
use crate::layout::Layout;
use crate::os::confine::{Confinement, Strength, probe};

/// What every run may write to, where it is there: what programs take for granted.
const USUAL: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Devices that are nobody's.
const DEVICES: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"];
/// Terminals that were made with the last of those.
const TERMINALS: &str = "/dev/pts";

/// How well.
#[derive(Debug)]
pub(super) struct Fence {
    strength: Option<Strength>,
}

impl Fence {
    /// Finds out, and says which it is.
    pub(super) fn settle(config: &WatcherConfig) -> Result<Self, String> {
        let found = match config.confine {
            Confine::Nothing => {
                tracing::warn!(
                    "agents may write wherever their user may, the queue included: `confine` is none"
                );
                return Ok(Self { strength: None });
            }
            Confine::Auto | Confine::Landlock => probe(),
        };
        match found {
            Ok(strength) => {
                let gap = strength.gaps().map(|gaps| format!("; what this kernel cannot refuse: {gaps}"));
                tracing::info!(by = %strength, "agents may write only where their run has to{}", gap.unwrap_or_default());
                Ok(Self { strength: Some(strength) })
            }
            Err(why) if config.confine == Confine::Landlock => Err(why),
            Err(why) => {
                tracing::warn!("agents may write wherever their user may, the queue included: {why}");
                Ok(Self { strength: None })
            }
        }
    }

    /// What programs of ours may write to that run what a repository names: everything but what is the worker's.
    pub(super) fn outside(&self, config: &WatcherConfig, layout: &Layout) -> Option<Confinement> {
        self.strength?;
        let mut confinement = Confinement {
            protected: protected(config),
            inner: config.workdir_roots.iter().filter(|it| it.starts_with(&config.root)).cloned().collect(),
            trees: vec!["/".into()],
            files: Vec::new(),
        };
        confinement.trees.extend(confinement.inner.iter().cloned());
        Some(confinement.and(layout.workspaces()))
    }

    /// By what they are held.
    pub(super) fn strength(&self) -> Option<Strength> {
        self.strength
    }

    /// What a run of this worker may write to besides its own; nothing where it may write everything.
    pub(super) fn common(&self, config: &Live, homes: impl Iterator<Item = PathBuf>) -> Option<Confinement> {
        self.strength?;
        let mut confinement = Confinement {
            protected: protected(config),
            inner: config.workdir_roots.iter().chain(&config.agent_writes).cloned().collect(),
            trees: homes.collect(),
            files: DEVICES.iter().map(PathBuf::from).collect(),
        };
        confinement.trees.extend(USUAL.iter().chain([&TERMINALS]).map(PathBuf::from));
        confinement.trees.extend(config.agent_writes.iter().cloned());
        Some(confinement)
    }
}

/// What is the worker's and its operator's.
fn protected(config: &WatcherConfig) -> Vec<PathBuf> {
    [&config.root, &config.log.dir].into_iter().chain(&config.config_file).cloned().collect()
}
