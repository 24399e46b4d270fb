//! `agentctl prune`: what is done with goes, after its time, or now.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::desk::{Desk, spoken};
use super::error::OperatorError;
use super::report::{Cell, Tone};
use super::{find, look};
use crate::config::{ConfigFile, Exit, Kind, Limit, LogConfig, Retention, Settings, days, show_duration};
use crate::retention::{Applied, Plan, Round, Scope, turn};
use crate::task::WorkerName;

/// What to prune.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl prune --dry-run                          what would go, why, and what stays
  agentctl prune                                    what the workers' own rounds remove, now
  agentctl prune --kind workspaces --older-than 7d
  agentctl prune --failed --older-than 30d          dead letters: only by this word

It may be run while the workers work: what waits, works, or has failed unseen stays. Without --older-than the settings
of --config count, else the defaults: 90 days and 20 GB of each kind.")]
pub struct PruneArgs {
    /// Show what would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As a JSON array
    #[arg(long)]
    pub json: bool,
    /// Only this: completed, cancelled, artifacts, workspaces, journal, logs or leftovers; can be repeated
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<Kind>,
    /// Everything older than this goes, whatever the settings say: days, or a duration such as 36h
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Only what is this worker's, or nobody's
    #[arg(long, short, value_name = "NAME")]
    pub worker: Option<String>,
    /// Tasks in failed/, with their reasons; takes --older-than
    #[arg(long, requires = "older_than")]
    pub failed: bool,
    /// The configuration file of the workers
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the workers' logs are [default: /var/log/agents]
    #[arg(long, env = "LOG_DIR", value_name = "DIR", hide_env_values = true)]
    pub log_dir: Option<PathBuf>,
    /// Where the agents' scratch is [default: /tmp/WORKER for the root /shared, else below the root]
    #[arg(long, value_name = "DIR")]
    pub scratch_dir: Option<PathBuf>,
}

fn age(text: &str) -> Result<Duration, String> {
    days(text).map(Option::unwrap_or_default)
}

/// What one worker keeps, and where.
struct Terms {
    retention: Retention,
    log_dir: PathBuf,
    scratch: PathBuf,
}

/// What was planned for one worker, and what of it was done.
struct Done {
    worker: WorkerName,
    plan: Plan,
    applied: Option<Applied>,
}

/// Prunes, or shows what that would do.
pub fn run(desk: &Desk, args: &PruneArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    let workers = match &args.worker {
        Some(called) => vec![find::worker(desk, called)?],
        None => look::workers(&desk.layout)?,
    };
    let kinds = kinds(args)?;
    let artifacts = desk.layout.artifacts();
    let taken = turn(&desk.layout).map_err(OperatorError::io("lock", &artifacts))?;
    if taken.is_none() && !args.dry_run {
        return Err(OperatorError::Busy { path: artifacts });
    }
    // To look takes no turn: whoever's it is may go on.
    let taken = taken.filter(|_| !args.dry_run);
    let mut all = Vec::new();
    for worker in workers {
        all.extend(prune(desk, args, &kinds, &worker)?);
    }
    drop(taken);
    Ok(report(desk, args, &all))
}

fn kinds(args: &PruneArgs) -> Result<Vec<Kind>, OperatorError> {
    if args.kind.contains(&Kind::Failed) && !args.failed {
        return Err(OperatorError::Wish { why: "tasks in failed/ go only with --failed --older-than TIME" });
    }
    let wanted = |kind: &Kind| {
        if *kind == Kind::Failed {
            args.failed
        } else if args.kind.is_empty() {
            !args.failed
        } else {
            args.kind.contains(kind)
        }
    };
    Ok(Kind::ALL.into_iter().filter(wanted).collect())
}

fn terms(desk: &Desk, args: &PruneArgs, worker: &WorkerName) -> Result<Terms, OperatorError> {
    let file = ConfigFile::find(args.config.as_deref().and_then(Path::to_str), &desk.env)?;
    let mut settings = Settings::new(Vec::new(), file);
    settings.narrow_to(worker);
    let log = LogConfig::resolve(&mut settings, &desk.env)?;
    let scratch = settings.take_optional("scratch_dir", |text| Ok(desk.env.absolute(Path::new(text))))?;
    let given = |dir: &Option<PathBuf>| dir.as_ref().map(|dir| desk.env.absolute(dir));
    Ok(Terms {
        retention: Retention::resolve(&mut settings)?,
        log_dir: given(&args.log_dir).unwrap_or(log.dir),
        scratch: given(&args.scratch_dir).or(scratch).unwrap_or_else(|| desk.layout.default_scratch(worker)),
    })
}

fn prune(
    desk: &Desk,
    args: &PruneArgs,
    kinds: &[Kind],
    worker: &WorkerName,
) -> Result<Vec<Done>, OperatorError> {
    let terms = terms(desk, args, worker)?;
    let scope = Scope {
        layout: &desk.layout,
        worker,
        log_dir: &terms.log_dir,
        scratch: &terms.scratch,
        now: desk.clock.wall(),
    };
    let mut round = Round::begin(scope);
    if let Some(fault) = round.fault() {
        desk.report.warn(&format!(
            "the queues do not answer, so it is not known which runs are needed, and none goes: {fault}"
        ));
    }
    if !args.dry_run {
        round.mend();
    }
    let mut all = Vec::new();
    for kind in kinds {
        let limit = match args.older_than {
            Some(age) => Limit { age: Some(age), bytes: None },
            None => terms.retention.limit(*kind),
        };
        let Some(plan) = round.plan(*kind, limit, &mut || true) else { continue };
        let applied = (!args.dry_run).then(|| round.apply(&plan, &mut |_| {}, &mut || true));
        all.push(Done { worker: worker.clone(), plan, applied });
    }
    Ok(all)
}

fn report(desk: &Desk, args: &PruneArgs, all: &[Done]) -> Exit {
    let refused: u64 = all.iter().filter_map(|done| done.applied.as_ref()).map(|it| it.refused).sum();
    for told in all.iter().filter_map(|done| done.applied.as_ref()).flat_map(|it| &it.told) {
        desk.report.warn(told);
    }
    if args.json {
        desk.report.json(&Value::Array(all.iter().map(as_json).collect()));
    } else {
        show(desk, args, all);
    }
    if refused > 0 { Exit::Denied } else { Exit::Done }
}

fn as_json(done: &Done) -> Value {
    json!({
        "worker": done.worker,
        "kind": done.plan.kind,
        "go": done.plan.go,
        "going": done.plan.going(),
        "stay": done.plan.stay,
        "gone": done.applied.as_ref().map(|it| it.gone),
        "refused": done.applied.as_ref().map(|it| it.refused),
    })
}

fn show(desk: &Desk, args: &PruneArgs, all: &[Done]) {
    for it in all.iter().flat_map(|done| &done.plan.go) {
        let line = format!(
            "{}  {} old, {} ({})",
            it.item.what,
            spoken(desk.age_s(it.item.at)),
            size(it.item.bytes),
            it.why.as_str()
        );
        if !desk.report.data(&desk.report.line(&[Cell::plain(line)])) {
            return;
        }
    }
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    let verb = if args.dry_run { "GOES" } else { "WENT" };
    desk.report.talk(&desk.report.table(&["WORKER", "KIND", verb, "FREES", "STAYS", "WHY"], &rows));
    if args.dry_run {
        desk.report.talk("nothing was changed; without --dry-run this is done");
    }
    if let Some(age) = args.older_than {
        desk.report.talk(&format!("--older-than {}: the settings did not count", show_duration(age)));
    }
}

fn row(done: &Done) -> Vec<Cell> {
    let goes = done.applied.as_ref().map_or_else(|| done.plan.going(), |it| it.gone);
    let stays: u64 = done.plan.stay.values().map(|tally| tally.count).sum();
    let why: Vec<String> =
        done.plan.stay.iter().map(|(keep, tally)| format!("{} {}", tally.count, keep.as_str())).collect();
    vec![
        Cell::plain(done.worker.as_str()),
        Cell::plain(done.plan.kind.as_str()),
        Cell::plain(goes.count.to_string()),
        Cell::plain(size(goes.bytes)),
        Cell::plain(stays.to_string()),
        Cell::toned(why.join(", "), Tone::Faint),
    ]
}

/// Bytes as people say them: `0 B`, `4.1 kB`, `20.0 GB`.
fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: PruneArgs,
    }

    fn parse(words: &[&str]) -> Result<PruneArgs, clap::Error> {
        Line::try_parse_from(std::iter::once(&"prune").chain(words)).map(|line| line.args)
    }

    #[test]
    fn failed_tasks_go_only_by_their_own_word_with_an_age() {
        assert!(parse(&["--failed"]).is_err(), "how old?");
        assert!(kinds(&parse(&["--kind", "failed"]).unwrap()).is_err());
        let of = |words: &[&str]| kinds(&parse(words).unwrap()).unwrap();
        assert!(!of(&[]).contains(&Kind::Failed));
        assert!(!of(&["--older-than", "1"]).contains(&Kind::Failed));
        assert_eq!(of(&["--failed", "--older-than", "30d"]), [Kind::Failed]);
        assert_eq!(
            of(&["--failed", "--older-than", "30d", "--kind", "journal"]),
            [Kind::Failed, Kind::Journal]
        );
    }

    #[test]
    fn sizes_are_as_exact_as_a_person_needs() {
        for (bytes, words) in [
            (0, "0 B"),
            (999, "999 B"),
            (4_100, "4.1 kB"),
            (2_560_000, "2.5 MB"),
            (20_000_000_000, "20.0 GB"),
        ] {
            assert_eq!(size(bytes), words);
        }
    }
}
