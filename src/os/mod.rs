//! One kernel idea a file, thin. Nothing above this floor makes these calls itself.
//!
//! Invariants:
//! - a file that others may read is replaced whole ([`durable`]);
//! - a lock is released explicitly when its owner is done, so that a copy of the descriptor caught in a
//!   half-finished spawn does not hold it on ([`lock`]);
//! - a process is signalled through a pidfd after its start time was compared, never by a number from a file
//!   ([`process`]).
//!
//! It deliberately does not know what a task is.

pub mod alarm;
pub mod beneath;
pub mod cgroup;
pub mod confine;
pub mod durable;
pub mod fifo;
pub mod filesystem;
pub mod folder;
pub mod headroom;
pub mod holder;
pub mod inherited;
pub mod knob;
pub mod limits;
pub mod lock;
pub mod manager;
pub mod memory;
pub mod oom;
pub mod opened;
pub mod process;
pub mod removal;
pub mod side_by_side;
pub mod signals;
pub mod space;
pub mod syslog;
pub mod trouble;
pub mod watch;
