//! How a run ended, and what its operator makes its answer worth: what a verdict is drawn from beside the stream. Pure.

use crate::os::process::Exit;

/// Who ended a run, where it was one of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The wall-clock limit.
    Timeout,
    /// Nothing was heard for too long.
    Silence,
    /// The worker stops: the run will go on later.
    Stop,
    /// An operator interrupted it: it goes on once it is released.
    Hold,
    /// An operator cancelled the task.
    Cancel,
    /// It printed too much.
    OutputLimit,
    /// It used more tokens than it may.
    TokenLimit,
    /// It used too much memory.
    MemoryLimit,
    /// It waited for what no wait can mend ([`super::Evidence::hopeless`]).
    HopelessWait,
    /// It stayed after its last result.
    HangAfterResult,
}

/// How a run ended, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending<'a> {
    /// Unknown for an adopted run.
    pub exit: Option<Exit>,
    /// Nobody of us: it ended by itself or was killed by another.
    pub ended_by: Option<EndedBy>,
    /// Why what it wrote may not have been taken: a disk that was full or read-only while it worked.
    pub disk: Option<&'a str>,
    /// What it used in words, where that was too much memory.
    pub memory: Option<&'a str>,
    /// What says that the kernel's OOM killer ended the agent, if anything does.
    pub oom: Option<&'a str>,
    /// The end of what it wrote to standard error; shown to people, never decided by.
    pub stderr_tail: &'a str,
    /// What its answer is worth if a tool was denied.
    pub denied: Denied<'a>,
    /// Whether it was to go on with a conversation: then a CLI that refuses to begin refuses that.
    pub goes_on: bool,
    /// What its task has used, and may use, where that is bounded.
    pub allowed: Option<Allowed>,
}

/// The tokens of a task, over all its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// What it has used.
    pub used: u64,
    /// What it may.
    pub most: u64,
}

impl Allowed {
    /// Whether it may use no more.
    pub const fn is_used_up(self) -> bool {
        self.used >= self.most
    }
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it used {} tokens of the {} it may (`max_tokens`)", self.used, self.most)
    }
}

/// What an answer is worth in whose course a tool was denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Denied<'a> {
    /// Nothing: the task failed.
    #[default]
    Fails,
    /// The same, and this file says what is allowed.
    FailsBy(&'a str),
    /// As much as any.
    Counts,
}
