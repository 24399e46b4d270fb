//! Packs: how an agent is run, as the operator says in `packs/<name>.toml`; the field `type` of a task names one.
//!
//! Invariants:
//! - `default` needs no file, and is without one what an agent is run with anyway;
//! - a pack is whole or it is none: one that cannot be read, or that others than its owner could have written, lets its
//!   own tasks wait, and no others;
//! - what a task asks for narrows a pack's limits and never widens them;
//! - a pack that was taken back with a mark beside it stays so over every restart, until the mark is removed.
//!
//! It deliberately does not know how the CLI is told: what a pack leaves open is `None` here, and filled in there.

mod check;
mod fault;
mod mark;
mod model;
mod name;
mod shelf;
mod show;
mod site;
mod stamp;
mod template;
mod trust;

pub use check::{Loaded, parse};
pub use fault::Fault;
pub use mark::Mark;
pub use model::{AfterTimeout, DeniedTools, Dirty, OutputKind, Pack, PermissionMode, WorkdirRule};
pub use name::{DEFAULT, PackName};
pub use shelf::{Bar, Bars, Found, Shelf, Sighting, Survey, What};
pub use show::{Line, describe};
pub use site::{Site, site};
pub use stamp::Stamp;
pub use template::{Missing, fill};

/// The largest pack file that is read, in bytes: the whole of it has to fit into the arguments of one program.
pub const FILE_LIMIT: u64 = 64 * 1024;
/// The mode of the folder: who may drop tasks may read packs, and only its owner writes them.
pub const DIR_MODE: u32 = 0o2750;
