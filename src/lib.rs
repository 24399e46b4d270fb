//! Unattended Claude Code agents on a Linux filesystem queue.
//!
//! The library is built in floors; a module uses floors below its own and never one above, which
//! `tests/architecture.rs` checks line by line.
//!
//! | floor | module | what lives there |
//! |---|---|---|
//! | 0 | [`task`] | what a task is: names, states, attempts, outcomes, the retry rule (pure) |
//! | 0 | [`text`] | what others wrote: escaping and redaction (pure) |
//! | 0 | [`clock`] | wall and monotonic time, and the boot they belong to |
//! | 1 | [`layout`] | every path under the root; nothing else knows one |
//! | 1 | [`config`] | settings, read once, each with where it came from |
//! | 2 | [`os`] | one kernel idea a file: durable writes, locks, pipes, processes, signals |
//! | 3 | [`spool`] | where tasks live: the state table, the step lists, the disk that performs them |
//! | 3 | [`agent`] | one Claude run: arguments, stream, verdict, the child |
//! | 3 | [`checkout`] | working on a git repository: what git is asked, whose a directory is, what was changed |
//! | 3 | [`limits`] | what all workers of one account know: requests left, a rate limit, the breaker |
//! | 3 | [`pack`] | how an agent is run, as the operator says in a file |
//! | 3 | [`pipe`] | what a line on a named pipe means, and the pipes' two ends |
//! | 3 | [`telemetry`] | logs, journal, metrics and the HTTP face |
//! | 4 | [`budget`] | what was spent, by worker and pack, and what may be |
//! | 4 | [`recovery`] | survey, plan, apply |
//! | 4 | [`retention`] | what is done with goes, after its time |
//! | 5 | [`watcher`] | the worker: a core that decides, a shell that does |
//! | 5 | [`supervisor`] | the one who notices deaths and restarts |
//! | 6 | [`operator`] | the verbs of `agentctl`, and how things read to a person |
//! | 7 | [`cli`] | the three programs' entry points |
//!
//! What always holds is written at the top of each module; the promises to users are in `docs/ARCHITECTURE.md`.

pub mod agent;
pub mod budget;
pub mod checkout;
pub mod cli;
pub mod clock;
pub mod config;
pub mod layout;
pub mod limits;
pub mod operator;
pub mod os;
pub mod pack;
pub mod pipe;
pub mod recovery;
pub mod retention;
pub mod spool;
pub mod supervisor;
pub mod task;
pub mod telemetry;
pub mod text;
pub mod watcher;
