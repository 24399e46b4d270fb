//! Processes: who they are, how they are started, reaped and ended.
//!
//! Invariants:
//! - a pid is trusted only together with its start time, boot and PID namespace ([`ProcessId`]);
//! - every child is waited for by the one [`Reaper`] of this program, also the orphans that the kernel hands
//!   us as their subreaper;
//! - a run's processes are found by their control group where it has one ([`start`]), and by ancestry, session and
//!   cookie ([`tree`]), and end within a bounded time ([`ending`]).

pub mod asking;
pub mod bounded;
pub mod ending;
pub mod footprint;
pub mod identity;
pub mod priority;
pub mod reaper;
pub mod start;
pub mod starter;
pub mod tree;

pub use identity::{ProcessId, signal};
pub use reaper::{Child, Exit, Reaper};
pub use starter::{Starter, Starters};
