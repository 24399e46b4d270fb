//! Working on a git repository: in place, or in a worktree of its own.
//!
//! | question | where |
//! |---|---|
//! | what git is asked, and how | [`ask`] (values), [`git`] (the program) |
//! | how its answers are read | `answer` |
//! | whose a directory is | [`seat`] |
//! | what is prepared before an agent is started | [`mod@begin`] |
//! | what it changed | [`mod@collect`] |
//! | what goes when the run has ended | [`mod@tidy`] |
//!
//! Invariants:
//! - one run at a time works in a directory, or in the repository that the directory lies in, under one root;
//! - what an attempt works on stands in its `checkout.json`, durably, before its agent is started: whoever finds the run
//!   later knows what to compare with;
//! - what is compared with is what stood there when the run's first attempt began, committed or not, so that the patch has
//!   what the run changed and nothing else;
//! - nothing is written into the user's repository but the branch and the registration of a worktree, and what the agent
//!   itself does there; what was compared goes into the run's own folder;
//! - work is never thrown away: a worktree goes only if all of it is committed;
//! - no hook is run, nobody is asked for a password, and git ends within bounds of time and size.
//!
//! It deliberately does not know packs, tasks' files or agents.

mod answer;
pub mod ask;
pub mod begin;
pub mod collect;
pub mod git;
mod name;
pub mod record;
pub mod seat;
mod snapshot;
pub mod tidy;
mod worktree;

pub use begin::{BeginError, Begun, Wish, begin};
pub use collect::collect;
pub use git::{Git, GitError};
pub use record::{Checkout, Report};
pub use seat::{Seat, Sitter, Taken};
pub use tidy::{Registration, tidy};
