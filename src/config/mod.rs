//! Settings, read once, each with where it came from.
//!
//! Invariants:
//! - flags win over the environment, the environment over the file, the file over the defaults;
//! - all four accept the same spellings, and a value that makes no sense is an error that names its origin;
//! - the process environment is read here and nowhere else ([`Environment::snapshot`]);
//! - paths are absolute once they are in a config struct.
//!
//! It deliberately does not know the command line's grammar: that is [`crate::cli`], which hands in what was
//! [`Given`].

mod budget;
mod confine;
mod credentials;
mod durability;
mod duration;
mod environment;
mod error;
mod exit;
mod file;
mod groups;
mod monitor;
mod near;
mod pipes;
mod reload;
pub mod resume;
mod retention;
mod settings;
mod size;
mod supervisor;
mod watcher;

pub use budget::Allowance;
pub use confine::Confine;
pub use durability::Durability;
pub use duration::{parse_duration, show_duration};
pub use environment::{Environment, Terminals};
pub use error::{ConfigError, Origin};
pub use exit::Exit;
pub use file::{ConfigFile, KEYS, Spot, usual_root};
pub use groups::GroupsIn;
pub use monitor::MonitorConfig;
pub use near::nearest;
pub use pipes::PipeAccess;
pub use reload::{Change, Changes};
pub use resume::ResumeConfig;
pub use retention::{Kind, Limit, Retention, days};
pub use settings::{Given, Settings, Shown};
pub use size::{parse_size, show_size};
pub use supervisor::{Manner, RecoverConfig, RestartBy, SupervisorConfig, WorkerSpec};
pub use watcher::{
    AGENT_MEMORY_MIN, AgentKind, LogConfig, LogFormat, LogLevel, OnRateLimit, WatcherConfig, address,
    default_metrics_addr,
};
