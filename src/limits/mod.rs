//! What all workers of one account know together: how many requests there are left, until when the API refuses them,
//! and whether it answers at all. One small file for each account, under `limits/`.
//!
//! Invariants:
//! - a start is permitted by the file, in one change under the lock of the folder: two workers never spend one request
//!   twice, and a worker that is killed in between leaves the old file or the new one;
//! - time is the boot clock's: a wall clock that is set changes what is shown and nothing else;
//! - what was learned before a run began is not disproved by its answer;
//! - after a fault one run of all workers tries; the lock it holds is the fact, and ends with its watcher;
//! - a file that is torn, foreign or of another version is as good as absent;
//! - where the disk refuses, a worker goes by what it knows itself.
//!
//! | module | what is there |
//! |---|---|
//! | `account` | which file: the API's address, and what tells one account from another |
//! | `record` | the state and its changes (pure) |
//! | `store` | the file |
//! | `limiter` | what a watcher asks |
//!
//! It deliberately does not know a task, nor what a run printed.

pub mod account;
pub mod limiter;
pub mod record;
pub mod store;

pub use account::Account;
pub use limiter::{Limiter, Permit, Word};
pub use record::{Moment, News, Record, Standing, Stop, Warning};
pub use store::Store;
