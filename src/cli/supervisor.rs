//! The command line of `supervisor`.

use std::ffi::OsString;

use clap::{ArgMatches, Args, CommandFactory, Parser, Subcommand};

use crate::config::{Environment, Exit, Manner, RecoverConfig, SupervisorConfig};
use crate::operator::Report;
use crate::os::inherited;
use crate::task::WorkerName;

use super::flags::{AgentFlags, LimitFlags, LogFlags, PlaceFlags, RetentionFlags, TraceFlags};
use super::monitor::{self, MonitorFlags};
use super::{parse, seams};

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

Exit codes: 0, 64 usage, 65 data, 69 unavailable, 70 internal, 75 try again, 77 permission, 78 configuration.";

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
        Ok((config, _)) => seams::look_after(config, env),
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
