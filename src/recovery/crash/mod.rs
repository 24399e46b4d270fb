//! Why a watcher died: from whatever can be known to one word and one sentence.
//!
//! | module | what it is for |
//! |---|---|
//! | [`reason`] | the words |
//! | [`verdict`] | evidence in, word and sentence out (pure) |
//! | [`host`] | what systemd and Docker say about the end of a process (pure) |
//! | [`mod@examine`] | looks at the kernel, the reports and the lock's mirror |
//! | [`note`] | what the supervisor found, left for the next watcher |
//!
//! Invariants:
//! - a SIGKILL is called an OOM kill only where the kernel or the host says so; else its sender is unknown;
//! - evidence counts for the process that died, never for one that had its number before;
//! - it decides nothing about tasks but the word that they are charged with.
//!
//! It deliberately does not know who restarts.

pub mod examine;
pub mod host;
pub mod note;
pub mod reason;
pub mod verdict;

pub use examine::{Dead, Past, examine, gather};
pub use reason::CrashReason;
pub use verdict::{Evidence, Verdict, decide};
