//! The command line of `agentctl`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::clock::SystemClock;
use crate::config::{Environment, Exit, usual_root};
use crate::operator::{
    Desk, OperatorError, attach, budget, cancel, doctor, edit, fsck, hold, inside, limits, list, logs, packs,
    pause, prune, retry, show, status, submit, tell, top, wait, watch, why,
};
use crate::os::inherited;

use super::{completion, man, parse};

/// Submit tasks, see what is going on, and change it.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Agentctl {
    /// The root directory [default: that of the configuration file, or /shared]
    #[arg(long, global = true, env = "SHARED_ROOT", value_name = "DIR", hide_env_values = true)]
    pub root: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  agentctl submit 'say hello' --wait     hand in a task and wait for its answer
  agentctl status                        one screen that tells everything
  agentctl logs -f marie                 what marie is doing

Data goes to stdout, talk to stderr. Exit codes: 0, 64 usage, 65 data (an unknown task too), 69 unavailable,
70 internal, 75 try again, 77 permission, 78 configuration; `wait` has its own, see `agentctl wait --help`.";

/// The verbs of `agentctl`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Hand in a task
    Submit(Box<submit::SubmitArgs>),
    /// One screen that tells everything
    Status(status::StatusArgs),
    /// The same as it changes, and the keys to change it
    Top(top::TopArgs),
    /// The tasks of all workers
    List(list::ListArgs),
    /// Everything about one task
    Show(show::ShowArgs),
    /// Why a task is not running now, and when it will
    Why(why::WhyArgs),
    /// What an agent is doing, or what a worker logs
    Logs(logs::LogsArgs),
    /// What happens, as it happens
    Watch(watch::WatchArgs),
    /// Wait until tasks have ended
    Wait(wait::WaitArgs),
    /// The packs: which there are, and what is wrong with them
    Packs(packs::PacksArgs),
    /// Take a pack back, or give it free
    Pack(packs::switch::PackArgs),
    /// End tasks for good
    Cancel(cancel::CancelArgs),
    /// Begin a new life of tasks that ended, or try one now that waits for its retry
    Retry(retry::RetryArgs),
    /// Keep waiting tasks from being taken
    Hold(hold::HoldArgs),
    /// Let held tasks be taken
    Release(hold::ReleaseArgs),
    /// Edit a waiting task in your editor
    Edit(edit::EditArgs),
    /// Go on with the session of a task, at the terminal
    Attach(attach::AttachArgs),
    /// Have workers take no new tasks
    Pause(pause::PauseArgs),
    /// Have workers take tasks again
    Resume(pause::ResumeArgs),
    /// Have workers finish what runs, and stop
    Drain(pause::DrainArgs),
    /// Have workers stop now; what runs is put back
    Stop(pause::StopArgs),
    /// Say something to an agent at work
    Tell(tell::TellArgs),
    /// End what an agent is doing right now
    Interrupt(tell::InterruptArgs),
    /// Remove what is done with and past its time
    Prune(prune::PruneArgs),
    /// What the workers of an account know together: requests left, rate limit, breaker
    Limits(limits::LimitsArgs),
    /// What workers and packs have used of their budgets, and when that eases
    Budget(budget::BudgetArgs),
    /// Whether the API answers, as the workers know it
    Breaker(limits::BreakerArgs),
    /// Whether this machine can work, and what to type where it cannot
    Doctor(doctor::DoctorArgs),
    /// Whether the tree keeps its promises, and what mends it
    Fsck(fsck::FsckArgs),
    /// What an agent reports about itself
    Progress(inside::ProgressArgs),
    /// What a shell sources to complete verbs, flags, workers and tasks
    Completions(completion::CompletionsArgs),
    /// The man pages of the three programs and of each verb
    Man(man::ManArgs),
}

/// Runs `agentctl` with `args`, the program first.
pub fn run(args: &[OsString], env: &Environment) -> Exit {
    inherited::keep_to_the_group();
    if let Some(answered) = completion::answer(Agentctl::command(), args, env) {
        return answered;
    }
    let matched = Agentctl::command().try_get_matches_from(args);
    let parsed = matched.and_then(|matches| {
        let called = matches.subcommand_name().unwrap_or_default().to_owned();
        Agentctl::from_arg_matches(&matches).map(|parsed| (parsed, called))
    });
    let (parsed, called) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return parse::refuse(&error),
    };
    let named = parsed.root.as_deref().filter(|root| !root.is_empty()).map(PathBuf::from);
    let root = match named.map_or_else(|| usual_root(env), Ok) {
        Ok(root) => root,
        Err(error) => return parse::misconfigured(&error, env),
    };
    let desk = Desk::new(&root, SystemClock::shared(), env.clone());
    let done = match inside::pipe(&desk) {
        Some(pipe) => inside(&desk, &pipe, (&parsed.verb, called)),
        None => outside(&desk, &parsed.verb, args.first().map_or("agentctl".as_ref(), OsString::as_os_str)),
    };
    done.unwrap_or_else(|error| {
        desk.report.error(&error, error.hint().as_deref());
        error.exit()
    })
}

fn outside(desk: &Desk, verb: &Verb, program: &OsStr) -> Result<Exit, OperatorError> {
    match verb {
        Verb::Submit(args) => submit::run(desk, args),
        Verb::Status(args) => status::run(desk, args),
        Verb::Top(args) => top::run(desk, *args),
        Verb::List(args) => list::run(desk, args),
        Verb::Show(args) => show::run(desk, args),
        Verb::Why(args) => why::run(desk, args),
        Verb::Logs(args) => logs::run(desk, args),
        Verb::Watch(args) => watch::run(desk, args),
        Verb::Wait(args) => wait::run(desk, args),
        Verb::Packs(args) => packs::run(desk, args),
        Verb::Pack(args) => packs::switch::run(desk, args),
        Verb::Cancel(args) => cancel::run(desk, args),
        Verb::Retry(args) => retry::run(desk, args),
        Verb::Hold(args) => hold::hold(desk, args),
        Verb::Release(args) => hold::release(desk, args),
        Verb::Edit(args) => edit::run(desk, args),
        Verb::Attach(args) => attach::run(desk, args),
        Verb::Pause(args) => pause::pause(desk, args),
        Verb::Resume(args) => pause::resume(desk, args),
        Verb::Drain(args) => pause::drain(desk, args),
        Verb::Stop(args) => pause::stop(desk, args),
        Verb::Tell(args) => tell::tell(desk, args),
        Verb::Interrupt(args) => tell::interrupt(desk, args),
        Verb::Prune(args) => prune::run(desk, args),
        Verb::Limits(args) => limits::limits(desk, args),
        Verb::Budget(args) => budget::run(desk, args),
        Verb::Breaker(args) => limits::breaker(desk, args),
        Verb::Doctor(args) => doctor::run(desk, args),
        Verb::Fsck(args) => fsck::run(desk, args),
        Verb::Progress(args) => inside::progress(desk, args),
        Verb::Completions(args) => Ok(completion::print(desk.report, args, program, &desk.env)),
        Verb::Man(args) => man::write(desk.report, args, &desk.env),
    }
}

/// Inside of an agent: through its pipe, or not at all.
fn inside(desk: &Desk, pipe: &Path, (verb, called): (&Verb, String)) -> Result<Exit, OperatorError> {
    if let Verb::Submit(args) = verb {
        inside::submit(desk, pipe, args)
    } else if let Verb::Status(args) = verb {
        inside::status(desk, pipe, args)
    } else if let Verb::Progress(args) = verb {
        inside::progress(desk, args)
    } else {
        Err(OperatorError::Inside { verb: called })
    }
}
