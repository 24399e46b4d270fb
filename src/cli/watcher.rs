//! The command line of `watcher`.

use std::ffi::OsString;

use clap::{ArgMatches, CommandFactory, Parser, Subcommand};

use crate::config::{ConfigError, Environment, Exit, Settings, WatcherConfig};
use crate::operator::Report;
use crate::os::inherited;
use crate::os::process::start;
use crate::watcher::Live;

use super::flags::{AgentFlags, LimitFlags, LogFlags, PipeFlags, PlaceFlags, RetentionFlags, TraceFlags};
use super::{parse, seams};

/// Run one worker: take tasks from its folder and the inbox, run the agent on them, file the results.
#[derive(Debug, Parser)]
#[command(name = "watcher", version, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct Watcher {
    /// The worker's name: marie, anga, fabien, or any other
    #[arg(long, env = "WORKER_NAME", value_name = "NAME", hide_env_values = true)]
    pub worker: Option<String>,
    /// Where metrics and health are served, or `none` [default: 127.0.0.1:9091 for marie, 9092 anga, 9093 fabien]
    #[arg(long, env = "METRICS_ADDR", value_name = "ADDR", hide_env_values = true)]
    pub metrics_addr: Option<String>,
    /// A further name under which /api/status is shown (box.example.org, *.example.org); can be repeated [default: none]
    #[arg(long, value_name = "NAME")]
    pub allowed_host: Vec<String>,
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
    /// Hidden parts.
    #[command(subcommand)]
    pub part: Option<Part>,
}

const EXAMPLES: &str = "\
Examples:
  watcher --worker marie                              work on /shared as marie
  watcher --worker marie --root /tmp/try --agent echo try it out, without Claude and without a cost
  watcher --worker bob --metrics-addr 127.0.0.1:9095  a worker of your own
  watcher --worker marie --print-config               what it would use, and where that came from

Flags win over the environment, the environment over the file (--config), the file over the defaults.
Exit codes: 0 stopped, 64 usage, 70 internal, 75 try again, 77 permission, 78 configuration or another watcher.";

/// Parts of the program that it starts itself.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// The agent that repeats the prompt
    #[command(hide = true, disable_help_flag = true)]
    EchoAgent {
        /// What the Claude CLI would have been given
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// Runs `watcher` with `args`, the program first.
pub fn run(args: &[OsString], env: &Environment) -> Exit {
    if let [_, word, rest @ ..] = args
        && word == start::ENTER
    {
        start::enter(rest);
        return Exit::Unavailable;
    }
    inherited::keep_to_the_group();
    let matches = match parse::matches(Watcher::command(), args) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    if let Some(("echo-agent", echo)) = matches.subcommand() {
        let args: Vec<OsString> = echo.get_many("args").unwrap_or_default().cloned().collect();
        return seams::echo_agent(&args);
    }
    match resolve(&matches, env) {
        Err(error) => parse::misconfigured(&error, env),
        Ok((_, settings)) if parse::is_on(&matches, "print_config") => {
            Report::new(env).settings(settings.shown());
            Exit::Done
        }
        Ok((config, settings)) => {
            let (again, surroundings) = (matches.clone(), env.clone());
            let reread = move || {
                let (config, settings) = resolve(&again, &surroundings)?;
                Ok((config, settings.shown().to_vec()))
            };
            seams::watch(Live::new((config, settings.shown().to_vec()), Box::new(reread)), env)
        }
    }
}

fn resolve(matches: &ArgMatches, env: &Environment) -> Result<(WatcherConfig, Settings), ConfigError> {
    let mut settings = parse::settings(matches, env)?;
    let config = WatcherConfig::resolve(&mut settings, env)?;
    Ok((config, settings))
}
