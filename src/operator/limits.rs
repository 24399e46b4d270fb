//! `agentctl limits` and `agentctl breaker`: what the workers of an account know together, and the operator's hand in it.
//!
//! Looking takes no lock. A change is made in the file, under the lock of its folder; living workers see it within a
//! second.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::desk::{Desk, spoken};
use super::error::OperatorError;
use super::look::check_root;
use super::report::{Cell, Tone};
use crate::config::{Exit, nearest};
use crate::limits::store::Found;
use crate::limits::{Moment, Record, Stop, Store};
use crate::os::process::identity::boot_id;
use crate::task::text::shown;

/// How to show what is known.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Workers with the same credentials at the same API share one account: what one of them learns holds them all.

Examples:
  agentctl limits
  agentctl limits --json | jq '.[] | {account, requests_left, rate_limit}'
  agentctl limits --clear                        forget all rate limits, and let tasks try")]
pub struct LimitsArgs {
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
    /// Forget the rate limit of this account, or of all; what is spent of this minute too
    #[arg(long, value_name = "KEY", num_args = 0..=1, default_missing_value = "")]
    pub clear: Option<String>,
}

/// What to do about breakers.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A breaker opens when the API is down, or refuses a login or a bill.
After a growing pause one task of all workers tries, and its good end closes it.

Examples:
  agentctl breaker status
  agentctl breaker reset                         close all breakers now")]
pub struct BreakerArgs {
    /// What.
    #[command(subcommand)]
    pub what: Breaker,
}

/// The verbs of `agentctl breaker`.
#[derive(Clone, Debug, Subcommand)]
pub enum Breaker {
    /// Whether each is closed, open or half-open
    Status {
        /// Only that of this account
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Close breakers now
    Reset {
        /// Only that of this account
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

/// An account as it is now.
struct Known {
    key: String,
    record: Record,
    probed: bool,
}

/// Shows or clears limits.
pub fn limits(desk: &Desk, args: &LimitsArgs) -> Result<Exit, OperatorError> {
    if let Some(key) = &args.clear {
        let key = Some(key.as_str()).filter(|key| !key.is_empty());
        return change(desk, key, "the rate limit is forgotten", |record| {
            record.rate_limit = None;
            record.warning = None;
            record.spent_until_ns = 0;
        });
    }
    let known = look(desk, None)?;
    if args.json {
        desk.report.json(&known.iter().map(|it| as_json(desk, it)).collect());
    } else if known.is_empty() {
        desk.report.talk("no worker has learned anything yet: no agent was started under this root");
    } else {
        desk.report.data(&known.iter().map(|it| as_text(desk, it)).collect::<String>());
    }
    Ok(Exit::Done)
}

/// Shows or resets breakers.
pub fn breaker(desk: &Desk, args: &BreakerArgs) -> Result<Exit, OperatorError> {
    match &args.what {
        Breaker::Reset { name } => {
            change(desk, name.as_deref(), "the breaker is closed", |record| record.breaker = None)
        }
        Breaker::Status { name, json } => {
            let known = look(desk, name.as_deref())?;
            if *json {
                let told = known.iter().map(|it| {
                    json!({"account": it.key, "endpoint": it.record.endpoint, "state": state(desk, it), "breaker": it.record.breaker})
                });
                desk.report.json(&told.collect());
            } else {
                let rows: Vec<Vec<Cell>> = known.iter().map(|it| breaker_row(desk, it)).collect();
                desk.report.data(&desk.report.table(&["BREAKER", "STATE", "UNTIL", "WHY"], &rows));
            }
            Ok(Exit::Done)
        }
    }
}

fn look(desk: &Desk, wanted: Option<&str>) -> Result<Vec<Known>, OperatorError> {
    check_root(&desk.layout)?;
    let store = Store::new(desk.layout.limits());
    let mut known = Vec::new();
    for key in keys(&store, wanted)? {
        match store.read(&key).map_err(OperatorError::io("read", &store.path(&key)))? {
            Found::Absent => {}
            Found::Broken => desk.report.warn(&format!(
                "`{}` cannot be understood, and counts as absent: the next worker that learns something replaces it",
                store.path(&key).display()
            )),
            Found::Record(record) => {
                let record = record.in_boot(&boot_id(), now(desk));
                known.push(Known { probed: store.is_probed(&key), record, key });
            }
        }
    }
    Ok(known)
}

/// The accounts that are meant: all, or the one of this name.
fn keys(store: &Store, wanted: Option<&str>) -> Result<Vec<String>, OperatorError> {
    let keys = store.keys().map_err(OperatorError::io("read", store.folder()))?;
    let Some(wanted) = wanted else { return Ok(keys) };
    if keys.iter().any(|key| key == wanted) {
        return Ok(vec![wanted.to_owned()]);
    }
    let near = nearest(wanted, keys.iter().map(String::as_str));
    Err(OperatorError::NotPossible {
        why: format!("no account `{}` under `{}`", shown(wanted, 80), store.folder().display()),
        hint: Some(near.map_or_else(
            || "`agentctl limits` shows all accounts".to_owned(),
            |near| format!("did you mean `{near}`?"),
        )),
        exit: Exit::Data,
    })
}

fn change(
    desk: &Desk,
    wanted: Option<&str>,
    done: &str,
    change: impl Fn(&mut Record),
) -> Result<Exit, OperatorError> {
    check_root(&desk.layout)?;
    let store = Store::new(desk.layout.limits());
    let keys = keys(&store, wanted)?;
    if keys.is_empty() {
        desk.report.talk("no worker has learned anything yet: there is nothing to change");
        return Ok(Exit::Done);
    }
    let lock = store.lock().map_err(OperatorError::io("lock", store.folder()))?;
    let Some(_lock) = lock else { return Err(OperatorError::Busy { path: store.folder().to_owned() }) };
    for key in keys {
        let path = store.path(&key);
        let found = store.read(&key).map_err(OperatorError::io("read", &path))?;
        if let Found::Record(record) = found {
            let mut record = record.in_boot(&boot_id(), now(desk));
            change(&mut record);
            store.write(&key, &record).map_err(OperatorError::io("write", &path))?;
            desk.report.data(&format!("{key}: {done}"));
        }
    }
    Ok(Exit::Done)
}

fn now(desk: &Desk) -> Moment {
    Moment { wall: desk.clock.wall(), ticks: desk.clock.ticks() }
}

fn state(desk: &Desk, known: &Known) -> &'static str {
    match &known.record.breaker {
        None => "closed",
        Some(stop) if desk.clock.ticks() < stop.due() => "open",
        Some(_) => "half-open",
    }
}

fn breaker_row(desk: &Desk, known: &Known) -> Vec<Cell> {
    let state = state(desk, known);
    let tone = if state == "closed" { Tone::Good } else { Tone::Bad };
    let stop = known.record.breaker.as_ref();
    let until = stop.filter(|_| state == "open").map_or_else(String::new, |stop| until(desk, stop));
    let why = stop.map_or_else(String::new, |stop| format!("{} (met by {})", stop.reason, stop.by));
    vec![Cell::plain(&known.key), Cell::toned(state, tone), Cell::plain(until), Cell::plain(why)]
}

/// The time of day by the clock of now: the one in the file may have been set since.
fn until(desk: &Desk, stop: &Stop) -> String {
    let left = stop.due().since(desk.clock.ticks());
    let at =
        jiff::SignedDuration::try_from(left).ok().and_then(|left| desk.clock.wall().checked_add(left).ok());
    at.map_or_else(String::new, |at| format!("{at:.0}, in {}", spoken(left.as_secs())))
}

fn as_text(desk: &Desk, known: &Known) -> String {
    let (record, ticks) = (&known.record, desk.clock.ticks());
    let left = record.left(ticks).map_or_else(
        || "as many as are wanted".to_owned(),
        |left| format!("{left} of {} left this minute", record.per_minute),
    );
    let told = |stop: &Stop| {
        let open = ticks < stop.due();
        let when = match (open, known.probed) {
            (true, _) => format!("until {}", until(desk, stop)),
            (false, true) => "one task tries whether it is over".to_owned(),
            (false, false) => "the next task tries whether it is over".to_owned(),
        };
        let age = spoken(desk.age_s(stop.at));
        (Tone::Bad, format!("{when}; met by {} {age} ago: {}", stop.by, stop.reason))
    };
    let rows = [
        ("requests", (Tone::Plain, left)),
        ("rate limit", record.rate_limit.as_ref().map_or((Tone::Good, "none".to_owned()), told)),
        (
            "breaker",
            record.breaker.as_ref().map_or((Tone::Good, "closed".to_owned()), |stop| {
                let (tone, text) = told(stop);
                (tone, format!("{}, {text}", state(desk, known)))
            }),
        ),
        (
            "warning",
            record.warning.as_ref().map_or((Tone::Plain, "none".to_owned()), |it| {
                (Tone::Warn, format!("{it}; {} was told {} ago", it.by, spoken(desk.age_s(it.at))))
            }),
        ),
    ];
    let mut text = desk
        .report
        .line(&[Cell::toned(&known.key, Tone::Strong), Cell::toned(&record.endpoint, Tone::Faint)]);
    text.push('\n');
    for (name, (tone, told)) in rows {
        text +=
            &desk.report.line(&[Cell::toned(format!("  {name:<10}"), Tone::Faint), Cell::toned(told, tone)]);
        text.push('\n');
    }
    text
}

fn as_json(desk: &Desk, known: &Known) -> Value {
    let record = &known.record;
    json!({
        "account": known.key,
        "endpoint": record.endpoint,
        "requests_per_minute": record.per_minute,
        "requests_left": record.left(desk.clock.ticks()),
        "rate_limit": record.rate_limit,
        "breaker": record.breaker,
        "breaker_state": state(desk, known),
        "tried_now": known.probed,
        "warning": record.warning,
    })
}
