//! `agentctl pack disable` and `enable`: a mark beside the pack, which every worker sees within a second and which
//! outlasts everybody.

use std::io;

use clap::{Args, Subcommand};

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::find;
use crate::config::{Durability, Exit};
use crate::os::durable;
use crate::pack::{DIR_MODE, Mark};

/// What to do with one pack.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl pack disable review --reason 'it deletes branches' --end-running
  agentctl pack enable review")]
pub struct PackArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: PackVerb,
}

/// What can be done with one pack.
#[derive(Clone, Debug, Subcommand)]
pub enum PackVerb {
    /// Start nothing with it, over restarts too; its tasks wait
    Disable {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// End what runs with it, too; those tasks wait as well, and go on in the same conversation
        #[arg(long)]
        end_running: bool,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let its tasks go on
    Enable {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Takes a pack back, or gives it free.
pub fn run(desk: &Desk, args: &PackArgs) -> Result<Exit, OperatorError> {
    match &args.verb {
        PackVerb::Disable { name, end_running, reason } => {
            let wish = Mark { end_running: *end_running, reason: reason.clone(), ..Mark::default() };
            disable(desk, name, wish)
        }

        PackVerb::Enable { name } => enable(desk, name),
    }
}

fn disable(desk: &Desk, called: &str, wish: Mark) -> Result<Exit, OperatorError> {
    let seen = find(desk, called)?;
    let dir = desk.layout.packs();
    durable::make_dir(&dir, DIR_MODE).map_err(OperatorError::io("make", &dir))?;
    let before = seen.mark.unwrap_or_default();
    let mark = Mark {
        since: before.since.or_else(|| Some(desk.clock.wall())),
        by: desk.env.text("SUDO_USER").or_else(|| desk.env.text("USER")).map(str::to_owned).or(before.by),
        reason: wish.reason.or(before.reason),
        end_running: wish.end_running,
    };
    let path = dir.join(seen.name.mark());
    durable::write_atomic(&path, &mark.to_bytes(), Durability::Full)
        .map_err(OperatorError::io("write", &path))?;
    // Also for workers that are not in the group of whoever types this.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&path, readable).map_err(OperatorError::io("change the mode of", &path))?;
    desk.report.data(&format!("{called}: disabled"));
    let running = if mark.end_running { "what runs with it is ended" } else { "what runs with it goes on" };
    desk.report.talk(&format!(
        "no worker starts anything with it from now on; {running}; `{} pack enable {called}` ends that",
        desk.agentctl()
    ));
    Ok(Exit::Done)
}

fn enable(desk: &Desk, called: &str) -> Result<Exit, OperatorError> {
    let seen = find(desk, called)?;
    let path = desk.layout.packs().join(seen.name.mark());
    match std::fs::remove_file(&path) {
        Ok(()) => durable::sync_dir(&desk.layout.packs()).map_err(OperatorError::io("sync", &path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => desk.report.talk("it was not disabled"),
        Err(error) => return Err(OperatorError::io("remove", &path)(error)),
    }
    desk.report.data(&format!("{called}: enabled"));
    Ok(Exit::Done)
}
