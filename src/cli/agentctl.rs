//! The command line of `agentctl`.

use std::ffi::OsString;
use std::path::Path;

use clap::{Parser, Subcommand};

use crate::clock::SystemClock;
use crate::config::{Environment, Exit};
use crate::operator::{
    Desk, OperatorError, attach, cancel, edit, hold, inside, list, logs, packs, pause, prune, retry, show,
    status, submit, tell, wait,
};
use crate::os::inherited;

use super::parse;

/// Submit tasks, see what is going on, and change it.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Agentctl {
    /// The root directory [default: /shared]
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
    /// The tasks of all workers
    List(list::ListArgs),
    /// Everything about one task
    Show(show::ShowArgs),
    /// What an agent is doing, or what a worker logs
    Logs(logs::LogsArgs),
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
    /// Say something to an agent at work
    Tell(tell::TellArgs),
    /// End what an agent is doing right now
    Interrupt(tell::InterruptArgs),
    /// Remove what is done with and past its time
    Prune(prune::PruneArgs),
    /// What an agent reports about itself
    Progress(inside::ProgressArgs),
}

/// Runs `agentctl` with `args`, the program first.
pub fn run(args: &[OsString], env: &Environment) -> Exit {
    inherited::keep_to_the_group();
    let parsed = match Agentctl::try_parse_from(args) {
        Ok(parsed) => parsed,
        Err(error) => return parse::refuse(&error),
    };
    let root = parsed.root.as_deref().filter(|root| !root.is_empty()).unwrap_or("/shared");
    let desk = Desk::new(Path::new(root), SystemClock::shared(), env.clone());
    let done = match inside::pipe(&desk) {
        Some(pipe) => inside(&desk, &pipe, &parsed.verb),
        None => outside(&desk, &parsed.verb),
    };
    done.unwrap_or_else(|error| {
        desk.report.error(&error, error.hint().as_deref());
        error.exit()
    })
}

fn outside(desk: &Desk, verb: &Verb) -> Result<Exit, OperatorError> {
    match verb {
        Verb::Submit(args) => submit::run(desk, args),
        Verb::Status(args) => status::run(desk, args),
        Verb::List(args) => list::run(desk, args),
        Verb::Show(args) => show::run(desk, args),
        Verb::Logs(args) => logs::run(desk, args),
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
        Verb::Tell(args) => tell::tell(desk, args),
        Verb::Interrupt(args) => tell::interrupt(desk, args),
        Verb::Prune(args) => prune::run(desk, args),
        Verb::Progress(args) => inside::progress(desk, args),
    }
}

/// Inside of an agent: through its pipe, or not at all.
fn inside(desk: &Desk, pipe: &Path, verb: &Verb) -> Result<Exit, OperatorError> {
    let refused = |verb: &str| Err(OperatorError::Inside { verb: verb.to_owned() });
    match verb {
        Verb::Submit(args) => inside::submit(desk, pipe, args),
        Verb::Status(args) => inside::status(desk, pipe, args),
        Verb::Progress(args) => inside::progress(desk, args),
        Verb::List(_) => refused("list"),
        Verb::Show(_) => refused("show"),
        Verb::Logs(_) => refused("logs"),
        Verb::Wait(_) => refused("wait"),
        Verb::Packs(_) => refused("packs"),
        Verb::Pack(_) => refused("pack"),
        Verb::Cancel(_) => refused("cancel"),
        Verb::Retry(_) => refused("retry"),
        Verb::Hold(_) => refused("hold"),
        Verb::Release(_) => refused("release"),
        Verb::Edit(_) => refused("edit"),
        Verb::Attach(_) => refused("attach"),
        Verb::Pause(_) => refused("pause"),
        Verb::Resume(_) => refused("resume"),
        Verb::Drain(_) => refused("drain"),
        Verb::Tell(_) => refused("tell"),
        Verb::Interrupt(_) => refused("interrupt"),
        Verb::Prune(_) => refused("prune"),
    }
}
