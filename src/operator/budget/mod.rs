//! `agentctl budget`: what every worker and every pack has used in the last hour and day, what they may, and when it eases;
//! and the operator's hand in it.

mod look;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::act::who;
use super::desk::Desk;
use super::error::OperatorError;
use super::report::{Cell, Tone};
use super::{look as looking, packs};
use crate::budget::forgiven::{self, Forgiven};
use crate::budget::{Scope, Tier, Unit, Use, Window, words};
use crate::config::{Exit, nearest};
use crate::task::WorkerName;

pub(super) use look::{Account, accounts, bar};

/// What to show.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The windows slide: what was used in the last 60 minutes, and in the last 24 hours.
A worker's budget is set by the flags --budget-usd-per-hour and the like of its watcher, a pack's by the keys
usd_per_hour and the like in its file; that of a pack is for all workers together.

Examples:
  agentctl budget
  agentctl budget --json | jq '.[] | select(.is_spent) | .name'
  agentctl budget reset --worker marie           what marie has used so far counts no more")]
pub struct BudgetArgs {
    /// What to do; without it, the list
    #[command(subcommand)]
    pub verb: Option<BudgetVerb>,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
}

/// What can be done with budgets.
#[derive(Clone, Debug, Subcommand)]
pub enum BudgetVerb {
    /// Forgive what was used so far: it goes on at once
    Reset {
        /// That of this worker
        #[arg(long, value_name = "WORKER", required_unless_present = "pack")]
        worker: Option<String>,
        /// That of this pack
        #[arg(long, value_name = "PACK")]
        pack: Option<String>,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// Shows budgets, or resets some.
pub fn run(desk: &Desk, args: &BudgetArgs) -> Result<Exit, OperatorError> {
    looking::check_root(&desk.layout)?;
    if let Some(BudgetVerb::Reset { worker, pack, reason }) = &args.verb {
        let worker = worker.as_ref().map(|name| worker_called(desk, name)).transpose()?;
        let pack = pack.as_ref().map(|name| pack_called(desk, name)).transpose()?;
        for scope in worker.into_iter().chain(pack) {
            reset(desk, &scope, reason.as_ref())?;
        }
        return Ok(Exit::Done);
    }
    let all = accounts(desk)?;
    if args.json {
        desk.report.json(&all.iter().map(as_json).collect());
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    let heading = ["BUDGET OF", "LAST 60 MIN", "LAST 24 H", "TOKENS 60 MIN", "TOKENS 24 H", "EASES"];
    desk.report.data(&desk.report.table(&heading, &rows));
    Ok(Exit::Done)
}

fn worker_called(desk: &Desk, called: &str) -> Result<Scope, OperatorError> {
    let all = looking::workers(&desk.layout)?;
    let near = nearest(called, all.iter().map(WorkerName::as_str)).map(str::to_owned);
    let root = desk.layout.root().to_owned();
    let known = all.into_iter().find(|it| it.as_str() == called);
    known.map(Scope::Worker).ok_or(OperatorError::UnknownWorker { name: called.to_owned(), root, near })
}

fn pack_called(desk: &Desk, called: &str) -> Result<Scope, OperatorError> {
    packs::find(desk, called).map(|it| Scope::Pack(it.name.to_string()))
}

fn reset(desk: &Desk, scope: &Scope, reason: Option<&String>) -> Result<(), OperatorError> {
    let path = forgiven::path(&desk.layout, scope);
    let mark = Forgiven { until: desk.clock.wall(), by: Some(who(desk)), reason: reason.cloned() };
    forgiven::write(&desk.layout, scope, &mark).map_err(OperatorError::io("write", &path))?;
    // Also for workers that are not in the group of whoever types this.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&path, readable).map_err(OperatorError::io("change the mode of", &path))?;
    desk.report.data(&format!("{}: what was used so far is forgiven", words::name(scope)));
    Ok(())
}

/// What is worth a line on a screen that shows everything: what is used of budgets from three quarters on.
pub(super) fn lines(desk: &Desk, all: &[Account]) -> String {
    let mut text = String::new();
    for account in all {
        let Some(it) = account.pressing() else { continue };
        let Some(tier) = it.tier() else { continue };
        let said = format!("{} {} ({} %)", words::name(&account.scope), words::used(it), it.percent());
        text += &desk.report.line(&[Cell::toned(said, tone(Some(tier)))]);
        text.push('\n');
    }
    text
}

const fn tone(tier: Option<Tier>) -> Tone {
    match tier {
        None => Tone::Plain,
        Some(Tier::Near | Tier::Close) => Tone::Warn,
        Some(Tier::Spent) => Tone::Bad,
    }
}

fn row(account: &Account) -> Vec<Cell> {
    let name = match &account.scope {
        Scope::Worker(name) => name.to_string(),
        Scope::Pack(name) => format!("pack {name}"),
    };
    let cell = |window, unit| match account.bound(window, unit) {
        Some(it) => {
            let (used, limit) = (words::amount(unit, it.used), words::amount(unit, it.limit));
            let text = format!("{} of {} ({} %)", bare(&used), bare(&limit), it.percent());
            Cell::toned(text, tone(it.tier()))
        }
        None => Cell::toned(bare(&words::amount(unit, account.used(window, unit))), Tone::Faint),
    };
    let eases = account.pressing().and_then(|it| it.eases);
    vec![
        Cell::plain(name),
        cell(Window::Hour, Unit::Usd),
        cell(Window::Day, Unit::Usd),
        cell(Window::Hour, Unit::Tokens),
        cell(Window::Day, Unit::Tokens),
        Cell::plain(eases.map_or_else(|| "-".to_owned(), |(at, _)| format!("{at:.0}"))),
    ]
}

/// The column says what it is.
fn bare(amount: &str) -> &str {
    amount.strip_suffix(" tokens").unwrap_or(amount)
}

/// In dollars as a float, in tokens as a whole number.
fn number(unit: Unit, amount: u64) -> Value {
    match unit {
        Unit::Usd => json!(crate::budget::Spent { micro_usd: amount, tokens: 0 }.usd()),
        Unit::Tokens => json!(amount),
    }
}

/// One bound for a program.
pub(super) fn bound_json(it: &Use) -> Value {
    json!({
        "window": it.window.as_str(),
        "unit": it.unit.as_str(),
        "used": number(it.unit, it.used),
        "limit": number(it.unit, it.limit),
        "percent": it.percent(),
        "is_spent": it.is_spent(),
        "eases_at": it.eases.map(|(at, _)| at),
        "eases_by": it.eases.map(|(_, left)| number(it.unit, left)),
    })
}

fn as_json(account: &Account) -> Value {
    json!({
        "scope": account.scope.kind(),
        "name": account.scope.name(),
        "usd_last_hour": account.hour.usd(),
        "usd_last_day": account.day.usd(),
        "tokens_last_hour": account.hour.tokens,
        "tokens_last_day": account.day.tokens,
        "is_spent": account.uses.iter().any(Use::is_spent),
        "bounds": account.uses.iter().map(bound_json).collect::<Vec<_>>(),
        "forgiven": account.forgiven,
    })
}
