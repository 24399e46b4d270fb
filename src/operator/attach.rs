//! `agentctl attach`: the real CLI on the session of a task, for a person at a terminal.
//!
//! Invariants:
//! - a session has one at a time: no agent may hold the stream of its last attempt, and we hold it meanwhile;
//! - a task that waits is held first, so that no worker goes on with the session behind the person's back;
//! - the CLI gets the surroundings that the agent had: its folder, its transcripts, its variables.
//!
//! It deliberately does not know what is said.

#![expect(
    clippy::disallowed_methods,
    reason = "a person's own session is no agent: it gets the terminal, and nobody limits it"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::agent::env::{RunEnv, environment};
use crate::config::Exit;
use crate::os::lock::Lock;
use crate::os::signals;
use crate::task::{Attempt, Place, RunId, TaskFile, TaskName, WorkerName};

use super::act::{self, Deed, Manner, waits, who};
use super::desk::Desk;
use super::error::OperatorError;
use super::find;
use super::look::Seen;

/// Whose session.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A task that waits is held meanwhile; afterwards you are asked whether it is to be released. Run it as the worker's user,
whose login and transcripts the session needs.

Examples:
  agentctl attach hello
  agentctl attach marie/hello --dry-run    # the command, the folder and the variables")]
pub struct AttachArgs {
    /// The task, by its name or worker/name
    #[arg(value_name = "TASK")]
    pub task: String,
    /// The Claude CLI [default: claude in PATH]
    #[arg(long, env = "CLAUDE_BIN", value_name = "PATH", hide_env_values = true)]
    pub claude_bin: Option<PathBuf>,
    /// Show what would be run, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A session that can be gone on with.
struct Session {
    worker: WorkerName,
    task: TaskName,
    run: RunId,
    attempt: Attempt,
    cwd: PathBuf,
}

/// Attaches to a session.
pub fn run(desk: &Desk, args: &AttachArgs) -> Result<Exit, OperatorError> {
    let seen = find::find(desk, &args.task)?;
    let session = Session::of(&seen)?;
    let mut command = command(desk, args, &session)?;
    let lock = alone(desk, &session)?;
    still_there(&seen, &session)?;
    if args.dry_run {
        desk.report.data(&super::report::printable(&shown(&command)));
        return Ok(Exit::Done);
    }
    if !desk.env.terminals().stdin || !desk.env.terminals().stdout {
        return no(Exit::Usage, "a session needs a terminal", "`agentctl logs` shows what was said in it");
    }
    let holds = waits(seen.entry.place) && !act::Target::of(&seen).is_held;
    if holds {
        let reason = Some(format!("{} is attached to its session", who(desk)));
        let held = act::run(desk, &Deed::Hold { reason }, std::slice::from_ref(&seen), quiet())?;
        if held != Exit::Done {
            return Ok(held);
        }
    }
    signals::leave_interrupts_to_children().map_err(OperatorError::io("listen to", Path::new("signals")))?;
    let program = PathBuf::from(command.get_program());
    let ended = command.status().map_err(OperatorError::io("start", &program));
    drop(lock);
    if holds {
        offer_release(desk, &seen)?;
    }
    let ended = ended?;
    desk.report.talk(&format!("the session ended with {ended}"));
    Ok(if ended.success() { Exit::Done } else { Exit::TaskFailed })
}

const fn quiet() -> Manner {
    Manner { dry_run: false, json: false, yes: true }
}

fn no<T>(exit: Exit, why: &str, hint: &str) -> Result<T, OperatorError> {
    Err(OperatorError::NotPossible { why: why.to_owned(), hint: Some(hint.to_owned()), exit })
}

impl Session {
    fn of(seen: &Seen) -> Result<Self, OperatorError> {
        if seen.entry.place == Place::Active {
            return no(
                Exit::Unavailable,
                "an agent works in that session",
                "`agentctl tell` speaks to it; `agentctl interrupt` ends it, and holds its task",
            );
        }
        let task = seen.task.as_ref().ok();
        let begun = task.and_then(|task| {
            let attempt = task.record.attempts.last()?.clone();
            Some((task.name(&seen.entry.file), task.record.run_id?, attempt))
        });
        match (begun, &seen.entry.worker) {
            (Some((task, run, attempt)), Some(worker)) => {
                let cwd = attempt.cwd.as_ref().map(PathBuf::from);
                let cwd = cwd.map_or_else(
                    || no(Exit::Unavailable, "its agent never started", "there is nothing to go on with"),
                    Ok,
                )?;
                Ok(Self { worker: worker.clone(), task, run, attempt, cwd })
            }
            _ => no(Exit::Unavailable, "it has no session yet", "`agentctl submit` and a worker begin one"),
        }
    }
}

/// The stream of the last attempt, for us alone.
fn alone(desk: &Desk, session: &Session) -> Result<Lock, OperatorError> {
    let stream = desk.layout.run(&session.run).stream(session.attempt.number);
    match Lock::try_exclusive(&stream).map_err(OperatorError::io("lock", &stream))? {
        Some(lock) => Ok(lock),
        None => no(
            Exit::TryAgain,
            "somebody has that session: its agent, or another who is attached",
            "try later",
        ),
    }
}

/// Whether the task lies where it was seen, with the same last attempt. A worker that took it meanwhile looked at the lock
/// before we had it; one that takes it from now on finds it held, and goes on with a copy.
fn still_there(seen: &Seen, session: &Session) -> Result<(), OperatorError> {
    let bytes = std::fs::read(&seen.entry.path).unwrap_or_default();
    let now = TaskFile::parse(&bytes).ok().map(|task| task.record);
    let same = now.is_some_and(|record| {
        record.run_id == Some(session.run)
            && record.attempts.last().map(|it| it.number) == Some(session.attempt.number)
    });
    if same {
        Ok(())
    } else {
        no(Exit::TryAgain, "it was taken or moved meanwhile", "look where it is: `agentctl show`")
    }
}

fn command(desk: &Desk, args: &AttachArgs, session: &Session) -> Result<Command, OperatorError> {
    if !session.cwd.is_dir() {
        let why = format!("its folder `{}` is not there any more", session.cwd.display());
        return no(Exit::Unavailable, &why, "without it the CLI does not find the conversation");
    }
    let mut command = Command::new(program(desk, args)?);
    command.arg("--resume").arg(session.attempt.session_id.to_string());
    command.current_dir(&session.cwd).env_clear().envs(variables(desk, session));
    Ok(command)
}

fn program(desk: &Desk, args: &AttachArgs) -> Result<PathBuf, OperatorError> {
    if let Some(given) = &args.claude_bin {
        return Ok(desk.env.absolute(given));
    }
    let found = desk.env.search_path().into_iter().map(|dir| dir.join("claude")).find(|path| path.is_file());
    found.map_or_else(
        || {
            no(
                Exit::Unavailable,
                "there is no `claude` in PATH",
                "--claude-bin or CLAUDE_BIN says where it is",
            )
        },
        Ok,
    )
}

/// What the agent had, but for what belongs to a terminal, and for the pipe that is the agent's alone.
fn variables(desk: &Desk, session: &Session) -> Vec<(OsString, OsString)> {
    let outer = desk.env.vars().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let scratch = desk.layout.default_scratch(&session.worker).join(session.run.to_string());
    let has_scratch = scratch.is_dir();
    let run = RunEnv {
        run: session.run,
        task: session.task.clone(),
        worker: session.worker.clone(),
        scratch,
        pipe: PathBuf::new(),
        trace: None,
    };
    let mut env = environment(outer, &[], &run);
    let is_agents = |name: &OsString| {
        name == "TERM"
            || name == "AGENT_PIPE"
            || (!has_scratch && (name == "TMPDIR" || name == "CLAUDE_CODE_TMPDIR"))
    };
    env.retain(|(name, _)| !is_agents(name));
    env.extend(
        ["TERM", "COLORTERM"].into_iter().filter_map(|name| Some((name.into(), desk.env.get(name)?.into()))),
    );
    with_transcripts(&mut env, session.attempt.config_dir.as_deref().map(Path::new));
    env
}

/// The CLI finds its transcripts where the agent left them. The usual folder is found by HOME: named outright, the CLI
/// would look for its other files in it too.
fn with_transcripts(env: &mut Vec<(OsString, OsString)>, config_dir: Option<&Path>) {
    let Some(dir) = config_dir else { return };
    env.retain(|(name, _)| name != "CLAUDE_CONFIG_DIR");
    match dir.parent().filter(|_| dir.ends_with(".claude")) {
        Some(home) => {
            env.retain(|(name, _)| name != "HOME");
            env.push(("HOME".into(), home.into()));
        }
        None => env.push(("CLAUDE_CONFIG_DIR".into(), dir.into())),
    }
}

/// The command, as it could be typed; values that may be secret are left out.
fn shown(command: &Command) -> String {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| crate::task::text::shell_word(&word.to_string_lossy()))
        .collect();
    let names: Vec<String> =
        command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    let cwd = command.get_current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    format!(
        "cd {}\n{}\nwith the variables {}",
        crate::task::text::shell_word(&cwd),
        words.join(" "),
        names.join(" ")
    )
}

fn offer_release(desk: &Desk, seen: &Seen) -> Result<(), OperatorError> {
    let full = seen.full_name();
    let again = find::find(desk, &full)?;
    let question = format!("{full} is held. Release it, so that its worker goes on with the session?");
    if act::confirm(desk, act::Sure::Ask, &question).is_ok() {
        return act::run(desk, &Deed::Release, &[again], quiet()).map(drop);
    }
    desk.report.talk(&format!("it stays held: `{} release {full}` lets it go", desk.agentctl()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcripts_are_found_where_the_agent_left_them() {
        for (dir, expected) in [
            (None, vec![("HOME", "/me"), ("CLAUDE_CONFIG_DIR", "/mine")]),
            (Some("/srv/marie/.claude"), vec![("HOME", "/srv/marie")]),
            (Some("/srv/conf"), vec![("HOME", "/me"), ("CLAUDE_CONFIG_DIR", "/srv/conf")]),
        ] {
            let given = [("HOME", "/me"), ("CLAUDE_CONFIG_DIR", "/mine")];
            let mut env: Vec<(OsString, OsString)> =
                given.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
            with_transcripts(&mut env, dir.map(Path::new));
            let env: Vec<_> =
                env.iter().map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap())).collect();
            assert_eq!(env, expected);
        }
    }
}
