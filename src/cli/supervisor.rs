//! The command line of `supervisor`.

use std::ffi::OsString;

use clap::{ArgMatches, Args, CommandFactory, Parser, Subcommand};

use crate::config::{Changes, Environment, Exit, Manner, RecoverConfig, ResumeConfig, SupervisorConfig};
use crate::operator::Report;
use crate::os::inherited;
use crate::supervisor::resume::verb::Wish;
use crate::task::WorkerName;

use super::flags::{AgentFlags, LimitFlags, LogFlags, PipeFlags, PlaceFlags, RetentionFlags, TraceFlags};
use super::monitor::{self, MonitorFlags};
use super::{ended, parse, seams};

/// Look after the watchers of one root: start them, notice their deaths, recover and restart.
#[derive(Debug, Parser)]
#[command(name = "supervisor", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Supervisor {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  supervisor up                                  lay out /shared and run marie, anga and fabien until Ctrl-C
  supervisor up --root /tmp/try --agent echo     try it out, without Claude and without a cost
  supervisor up --workers marie,bob=127.0.0.1:9095
  supervisor run --restart none                  watchers are units of their own, systemd restarts them
  supervisor recover marie --dry-run             what would be done about a dead marie
  supervisor monitor marie --duration 5m         marie's numbers while it recovers
  supervisor resume marie                        let its backlog go in batches of 5, every 30 s

Exit codes: 0, 1 resume stopped, 64 usage, 65 data, 69 unavailable, 70 internal, 75 try again, 77 permission, 78 configuration.";

const RUN_HELP: &str = "\
Who restarts a watcher (one layer only):
  exec      the supervisor: watchers are its children, as with `up`
  systemd   systemctl restart agent-worker-NAME    (units without a Restart= of their own)
  docker    docker restart NAME, by exact name     (containers without a restart policy of their own)
  none      the host by itself (Restart=, a restart policy): the supervisor observes, reports, and recovers
            what nobody brings back within the cooldown

SIGTERM ends it: with exec after its watchers, else at once and without them. SIGHUP tries again whoever was set
aside or wrongly configured. A second one on the same root waits until the first is gone, and takes over.";

/// The verbs of `supervisor`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Lay out the root and run the watchers as children, until Ctrl-C
    Up(UpFlags),
    /// The same as a service: a second one stands by, and the host may own the watchers
    #[command(after_help = RUN_HELP)]
    Run(RunFlags),
    /// Bring a dead worker's tasks back to order, once
    Recover(RecoverFlags),
    /// Watch a worker while it recovers: its numbers, every ten seconds
    Monitor(MonitorFlags),
    /// Let a worker's backlog go in batches, and stop when too much of it fails
    Resume(ResumeFlags),
    /// Leave for the next watcher what systemd says about the end of this one
    #[command(hide = true)]
    Ended(ended::EndedFlags),
}

/// The flags of `supervisor up`.
#[derive(Debug, Args)]
pub struct UpFlags {
    /// Whom to look after.
    #[command(flatten)]
    pub watch: WatchFlags,
}

/// The flags of `supervisor run`.
#[derive(Debug, Args)]
pub struct RunFlags {
    /// Who restarts a watcher: exec, systemd, docker or none [default: exec]
    #[arg(long, value_name = "BY")]
    pub restart: Option<String>,
    /// How long systemctl or docker may take to answer [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub host_deadline: Option<String>,
    /// Whom to look after.
    #[command(flatten)]
    pub watch: WatchFlags,
}

/// The flags that `up` and `run` share.
#[derive(Debug, Args)]
pub struct WatchFlags {
    /// Whom to look after: names, with an address where it is not the usual one [default: marie,anga,fabien]
    #[arg(long, value_name = "NAME[=ADDR],…")]
    pub workers: Vec<String>,
    /// A worker that runs only while another is set aside or long gone; can be repeated [default: none]
    #[arg(long, value_name = "NAME[=ADDR]")]
    pub backup: Vec<String>,
    /// Where the supervisor's own metrics and health are served, or `none` [default: 127.0.0.1:9002]
    #[arg(long, env = "METRICS_ADDR", value_name = "ADDR", hide_env_values = true)]
    pub metrics_addr: Option<String>,
    /// A further name under which /api/status is shown (box.example.org, *.example.org); can be repeated [default: none]
    #[arg(long, value_name = "NAME")]
    pub allowed_host: Vec<String>,
    /// How many restarts within the window before a worker is set aside [default: 3]
    #[arg(long, value_name = "N")]
    pub max_restarts: Option<String>,
    /// The least pause between restarts, from the second on; as much again or more is added by lot [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub cooldown: Option<String>,
    /// The window in which restarts are counted [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub window: Option<String>,
    /// How long a watcher may show no progress before it is taken for hung [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub hung_after: Option<String>,
    /// Where the root is.
    #[command(flatten)]
    pub place: PlaceFlags,
    /// How tasks are run.
    #[command(flatten)]
    pub agents: AgentFlags,
    /// What is too much.
    #[command(flatten)]
    pub limits: LimitFlags,
    /// What is kept.
    #[command(flatten)]
    pub kept: RetentionFlags,
    /// The pipes.
    #[command(flatten)]
    pub pipes: PipeFlags,
    /// The log.
    #[command(flatten)]
    pub log: LogFlags,
    /// Traces.
    #[command(flatten)]
    pub traces: TraceFlags,
}

/// The flags of `supervisor recover`.
#[derive(Debug, Args)]
pub struct RecoverFlags {
    /// Whose tasks to bring back to order
    #[arg(value_name = "WORKER")]
    pub whom: WorkerName,
    /// Show the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The plan as JSON
    #[arg(long)]
    pub json: bool,
    /// End agents that are still alive, instead of leaving them to be adopted
    #[arg(long)]
    pub end_agents: bool,
    /// The agents' scratch [default: /tmp/WORKER for the root /shared, else below the root]
    #[arg(long, value_name = "DIR")]
    pub scratch_dir: Option<String>,
    /// How long agents may take to stop before they are killed [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub grace: Option<String>,
    /// How many charged failures a task may have and still be tried again [default: 3]
    #[arg(long, env = "MAX_RETRIES", value_name = "N", hide_env_values = true)]
    pub max_retries: Option<String>,
    /// full, or none for tests and throw-away roots [default: full]
    #[arg(long, value_name = "HOW")]
    pub durability: Option<String>,
    /// Where the root is.
    #[command(flatten)]
    pub place: PlaceFlags,
    /// The log.
    #[command(flatten)]
    pub log: LogFlags,
}

/// The flags of `supervisor resume`.
#[derive(Debug, Args)]
#[command(after_help = RESUME)]
pub struct ResumeFlags {
    /// Whose backlog
    #[arg(value_name = "WORKER")]
    pub whom: WorkerName,
    /// How many tasks the first batch has [default: 5]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<String>,
    /// The pause between two batches [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub delay: Option<String>,
    /// Which share of a batch may fail [default: 0.5]
    #[arg(long, value_name = "SHARE")]
    pub max_failure_rate: Option<String>,
    /// Twice as many after a batch without a failure (up to 8 times the first), half as many after one with some
    #[arg(long)]
    pub adaptive: bool,
    /// What to do instead, and how to tell it.
    #[command(flatten)]
    pub instead: InsteadFlags,
    /// After how long without a leader the worker ends the resume by itself [default: 60s]
    // Hidden: nobody but a test needs another.
    #[arg(long, value_name = "TIME", hide = true)]
    pub leaderless: Option<String>,
    /// full, or none for tests and throw-away roots [default: full]
    #[arg(long, value_name = "HOW")]
    pub durability: Option<String>,
    /// Where the root is.
    #[command(flatten)]
    pub place: PlaceFlags,
    /// The log.
    #[command(flatten)]
    pub log: LogFlags,
}

/// What `supervisor resume` does instead of leading, and how it tells.
#[derive(Debug, Args)]
pub struct InsteadFlags {
    /// Show the batches and do nothing
    #[arg(long, conflicts_with = "abandon")]
    pub dry_run: bool,
    /// End a resume that is under way or has stopped: the worker takes everything again
    #[arg(long)]
    pub abandon: bool,
    /// The end, or the plan, as JSON; the lines go to stderr
    #[arg(long)]
    pub json: bool,
}

const RESUME: &str = "\
While it is under way the worker takes its tasks from staged/ only. When more than the share of a batch fails, it
stops: what waits in staged/ goes back to pending/, and the worker takes nothing until somebody has looked; then
`supervisor resume WORKER` begins again, and --abandon lets everything go. Ctrl-C leaves it to a successor: the same
command goes on, and so does a running `supervisor up`; after 60 s without a leader the worker ends it by itself.";

/// Runs `supervisor` with `args`, the program first.
pub fn run(args: &[OsString], env: &Environment) -> Exit {
    inherited::keep_to_the_group();
    let matches = match parse::matches(Supervisor::command(), args) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    match matches.subcommand() {
        Some(("recover", verb)) => recover(verb, env),
        Some(("monitor", verb)) => monitor::run(verb, env),
        Some(("resume", verb)) => resume(verb, env),
        Some(("ended", verb)) => ended::run(verb, env),
        Some(("run", verb)) => look_after(Manner::Run, verb, env),
        Some((_, verb)) => look_after(Manner::Up, verb, env),
        None => Exit::Usage,
    }
}

fn look_after(manner: Manner, matches: &ArgMatches, env: &Environment) -> Exit {
    let resolved = parse::settings(matches, env).and_then(|mut settings| {
        SupervisorConfig::resolve(manner, &mut settings, env).map(|config| (config, settings))
    });
    match resolved {
        Err(error) => parse::misconfigured(&error, env),
        Ok((_, settings)) if parse::is_on(matches, "print_config") => {
            Report::new(env).settings(settings.shown());
            Exit::Done
        }
        Ok((config, settings)) => {
            let (verb, surroundings, before) = (matches.clone(), env.clone(), settings.shown().to_vec());
            let again = move || {
                let mut settings = parse::settings(&verb, &surroundings)?;
                SupervisorConfig::resolve(manner, &mut settings, &surroundings)?;
                Ok(Changes::between(&before, settings.shown()))
            };
            seams::look_after(config, Box::new(again), env)
        }
    }
}

fn recover(matches: &ArgMatches, env: &Environment) -> Exit {
    let Some(worker) = matches.get_one::<WorkerName>("whom").cloned() else { return Exit::Usage };
    let resolved = parse::settings(matches, env).and_then(|mut settings| {
        RecoverConfig::resolve(worker, &mut settings, env).map(|config| (config, settings))
    });
    let wish = seams::RecoverWish {
        dry_run: parse::is_on(matches, "dry_run"),
        json: parse::is_on(matches, "json"),
        end_agents: parse::is_on(matches, "end_agents"),
    };
    match resolved {
        Err(error) => parse::misconfigured(&error, env),
        Ok((_, settings)) if parse::is_on(matches, "print_config") => {
            Report::new(env).settings(settings.shown());
            Exit::Done
        }
        Ok((config, _)) => seams::recover(config, wish, env),
    }
}

fn resume(matches: &ArgMatches, env: &Environment) -> Exit {
    let Some(worker) = matches.get_one::<WorkerName>("whom").cloned() else { return Exit::Usage };
    let resolved = parse::settings(matches, env).and_then(|mut settings| {
        ResumeConfig::resolve(worker, &mut settings, env).map(|config| (config, settings))
    });
    let what = match (parse::is_on(matches, "dry_run"), parse::is_on(matches, "abandon")) {
        (true, _) => Wish::Plan,
        (false, true) => Wish::Abandon,
        (false, false) => Wish::Lead,
    };
    let wish = seams::ResumeWish { what, json: parse::is_on(matches, "json") };
    match resolved {
        Err(error) => parse::misconfigured(&error, env),
        Ok((_, settings)) if parse::is_on(matches, "print_config") => {
            Report::new(env).settings(settings.shown());
            Exit::Done
        }
        Ok((config, _)) => seams::resume(config, wish, env),
    }
}
