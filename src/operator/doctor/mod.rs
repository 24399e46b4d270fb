//! `agentctl doctor`: whether this machine can work, one line for each thing, with what to type where it cannot.
//!
//! | file | |
//! |---|---|
//! | `facts` | what was seen, values |
//! | `look`, `claude`, `leftovers`, `names` | the looks (thin) |
//! | `check` | a line: the thing, how it is, what to do |
//! | `judge`, `confined` | from the facts to the lines (pure) |
//! | `fix` | what is safe to do by itself |
//!
//! Invariants:
//! - no call that costs money, and no secret on the screen;
//! - without `--fix` nothing is changed but for one file of its own, for an instant;
//! - what it cannot see as its user it says so of.

mod check;
mod claude;
mod confined;
mod facts;
mod fix;
mod judge;
mod leftovers;
mod look;
mod names;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use check::{Check, Verdict};

use super::desk::Desk;
use super::error::OperatorError;
use super::report::{Cell, Tone};
use crate::config::Exit;
use crate::task::WorkerName;

/// What to look at.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl doctor                 what is well, what is not, and what to type
  agentctl doctor --fix           make what is missing, remove what nobody holds, close what is open to all
  sudo -H -u agent agentctl doctor   as the workers' user: permissions and the login are those of who looks

Exit codes: 0 well, or warnings only; 69 something stops the work; 78 something is set up wrongly.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct DoctorArgs {
    /// Do what is safe; each action is told first
    #[arg(long)]
    pub fix: bool,
    /// With --fix: tell the actions, and do none
    #[arg(long)]
    pub dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    pub json: bool,
    /// Only this worker
    #[arg(long, short, value_name = "NAME")]
    pub worker: Option<String>,
    /// The Claude CLI [default: claude in PATH]
    #[arg(long, value_name = "PATH")]
    pub claude_bin: Option<PathBuf>,
    /// Where the workers' logs are [default: /var/log/agents]
    #[arg(long, env = "LOG_DIR", value_name = "DIR", hide_env_values = true)]
    pub log_dir: Option<PathBuf>,
    /// Where the agents' scratch is [default: /tmp/WORKER for the root /shared, else below the root]
    #[arg(long, value_name = "DIR")]
    pub scratch_dir: Option<PathBuf>,
    /// The workers are allowed to work over a network
    #[arg(long)]
    pub allow_nfs: bool,
}

/// Looks at everything, and does what is safe if that is asked for.
pub fn run(desk: &Desk, args: &DoctorArgs) -> Result<Exit, OperatorError> {
    let workers: Vec<WorkerName> = match &args.worker {
        Some(called) => vec![super::find::worker(desk, called)?],
        // Where we may not even list them, the folders of the usual ones say why.
        None => super::look::workers(&desk.layout).unwrap_or_else(|_| look::usual().collect()),
    };
    let look = || look::look(desk, args, &workers).map(|facts| judge::judge(&facts));
    let mut checks = look()?;
    if args.fix && checks.iter().any(|it| it.fix.is_some()) {
        fix::all(desk, &checks, args);
        checks = look()?;
    }
    if args.json {
        desk.report.json(&json!({ "root": desk.layout.root(), "checks": checks }));
    } else {
        show(desk, args, &checks);
    }
    Ok(check::exit(&checks))
}

fn show(desk: &Desk, args: &DoctorArgs, checks: &[Check]) {
    for it in checks {
        let (word, tone) = match it.verdict {
            Verdict::Ok => ("ok  ", Tone::Good),
            Verdict::Warn => ("warn", Tone::Warn),
            Verdict::Bad => ("bad ", Tone::Bad),
        };
        let name = format!("{:<10}", it.thing);
        let mut line = vec![Cell::toned(word, tone), Cell::toned(name, Tone::Strong), Cell::plain(&it.found)];
        line.extend(it.remedy.as_ref().map(|remedy| Cell::toned(format!("→ {remedy}"), Tone::Faint)));
        desk.report.data(&desk.report.line(&line));
    }
    let count = |verdict| checks.iter().filter(|it| it.verdict == verdict).count();
    let (warn, bad) = (count(Verdict::Warn), count(Verdict::Bad));
    let fixable = checks.iter().filter(|it| it.fix.is_some()).count();
    let more = if fixable > 0 && !args.fix {
        format!("; `{} doctor --fix` mends {fixable}", desk.agentctl())
    } else {
        String::new()
    };
    desk.report.talk(&format!("{bad} bad, {warn} to look at{more}"));
}
