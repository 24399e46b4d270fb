//! `agentctl packs`: which there are and how they are, what is wrong with one, and every value of one with its source.
//!
//! It reads the files as they are now, as a watcher does; whether the CLI refused one only its worker knows, and
//! `agentctl status` tells.

pub mod switch;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::budget;
use super::desk::Desk;
use super::error::OperatorError;
use super::look;
use super::report::{Cell, Tone};
use crate::clock::Timestamp;
use crate::config::{Allowance, Exit, nearest};
use crate::pack::{self, DEFAULT, Fault, Found, Loaded, PackName, Shelf, Sighting, Site};
use crate::task::{Spec, WorkdirMode};
use crate::telemetry::state_file::BarredPack;

/// Which packs to show, and how.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A pack is a file packs/<name>.toml under the root; the field `type` of a task names one.

Examples:
  agentctl packs                         all packs, and how they are
  agentctl packs check                   what is wrong with any of them, with line and column
  agentctl packs check ./review.toml     the same before it is put there
  agentctl packs show review             every value, and where it came from")]
pub struct PacksArgs {
    /// What to do; without it, the list
    #[command(subcommand)]
    pub verb: Option<PacksVerb>,
    /// As JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done with packs.
#[derive(Clone, Debug, Subcommand)]
pub enum PacksVerb {
    /// Say what is wrong with them; ends with 65 if anything is
    Check {
        /// A file that need not be in its place yet; without it, all that are
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Every value of one pack, and where it came from
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Shows packs.
pub fn run(desk: &Desk, args: &PacksArgs) -> Result<Exit, OperatorError> {
    match &args.verb {
        Some(PacksVerb::Check { file: Some(file) }) => check_file(desk, file, args),
        Some(PacksVerb::Check { file: None }) => check_all(desk, args),
        Some(PacksVerb::Show { name }) => show(desk, name, args),
        None => list(desk, args),
    }
}

/// The packs as a worker would find them.
pub(super) fn shelf(desk: &Desk) -> Shelf {
    let owner = std::fs::metadata(desk.layout.workers()).map(|it| std::os::unix::fs::MetadataExt::uid(&it));
    let trusted = owner.into_iter().chain([nix::unistd::geteuid().as_raw()]).collect();
    Shelf::new(desk.layout.clone(), crate::clock::SharedClock::clone(&desk.clock), trusted)
}

/// All packs, `default` among them.
fn sightings(desk: &Desk) -> Result<Vec<Sighting>, OperatorError> {
    look::check_root(&desk.layout)?;
    let mut all = shelf(desk).sightings().map_err(|fault| OperatorError::Packs { fault })?;
    if !all.iter().any(|it| it.name.is_default()) {
        all.extend(PackName::of(None).map(|name| Sighting { name, read: None, mark: None }));
        all.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(all)
}

fn list(desk: &Desk, args: &PacksArgs) -> Result<Exit, OperatorError> {
    let all = sightings(desk)?;
    if args.json {
        desk.report.json(&Value::Array(all.iter().map(|it| sighting_json(desk, it)).collect()));
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    desk.report.data(&desk.report.table(&["PACK", "STATE", "MODEL", "TOOLS", "ABOUT"], &rows));
    Ok(Exit::Done)
}

/// Its state in a word, and in its tone.
fn state(seen: &Sighting) -> (&'static str, Tone) {
    match (&seen.mark, &seen.read) {
        (Some(_), _) => ("disabled", Tone::Warn),
        (None, Some(Err(_))) => ("broken", Tone::Bad),
        (None, Some(Ok(_))) => ("ready", Tone::Good),
        (None, None) => ("built in", Tone::Plain),
    }
}

fn row(seen: &Sighting) -> Vec<Cell> {
    let (word, tone) = state(seen);
    let pack = match &seen.read {
        Some(Ok(loaded)) => loaded.pack.clone(),
        Some(Err(_)) | None => pack::Pack::default(),
    };
    let about = match (&seen.mark, &seen.read) {
        (Some(mark), _) => mark.reason.clone().unwrap_or_else(|| "no reason was given".to_owned()),
        (None, Some(Err(faults))) => faults.first().map(ToString::to_string).unwrap_or_default(),
        (None, _) => pack.description.unwrap_or_default(),
    };
    vec![
        Cell::plain(seen.name.as_str()),
        Cell::toned(word, tone),
        Cell::plain(pack.model.as_deref().unwrap_or("-")),
        Cell::plain(pack.allowed_tools.map_or_else(|| "-".to_owned(), |tools| tools.len().to_string())),
        Cell::toned(about, Tone::Faint),
    ]
}

fn sighting_json(desk: &Desk, seen: &Sighting) -> Value {
    let file = seen.read.as_ref().map(|_| desk.layout.packs().join(seen.name.file()));
    let (pack, faults) = match &seen.read {
        Some(Ok(loaded)) => (Some(&loaded.pack), None),
        Some(Err(faults)) => (None, Some(faults)),
        None => (None, None),
    };
    json!({
        "pack": seen.name.as_str(),
        "state": state(seen).0,
        "file": file,
        "description": pack.and_then(|it| it.description.as_ref()),
        "model": pack.and_then(|it| it.model.as_ref()),
        "faults": faults.map_or(&[][..], Vec::as_slice),
        "disabled": seen.mark,
    })
}

fn check_all(desk: &Desk, args: &PacksArgs) -> Result<Exit, OperatorError> {
    let all = sightings(desk)?;
    let checked = all.iter().filter_map(|seen| {
        let faults = seen.read.as_ref()?.as_ref().err().cloned().unwrap_or_default();
        Some((desk.layout.packs().join(seen.name.file()), faults))
    });
    let mut checked: Vec<(PathBuf, Vec<Fault>)> = checked.collect();
    checked.extend(strays(&desk.layout.packs()));
    Ok(told(desk, &checked, args))
}

/// Files that were meant for packs and cannot be any by their names.
fn strays(dir: &Path) -> Vec<(PathBuf, Vec<Fault>)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|it| it.path());
    let is_stray = |path: &PathBuf| {
        let stem = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
        path.extension().is_some_and(|it| it == "toml")
            && !stem.starts_with('.')
            && stem.parse::<PackName>().is_err()
    };
    let fault = || Fault::of_file("no pack can be called so", "use A-Z a-z 0-9 . _ - and at most 64 of them");
    entries.filter(is_stray).map(|path| (path, vec![fault()])).collect()
}

fn check_file(desk: &Desk, file: &Path, args: &PacksArgs) -> Result<Exit, OperatorError> {
    let meta = std::fs::metadata(file).map_err(OperatorError::io("read", file))?;
    let faults = if meta.len() > pack::FILE_LIMIT {
        vec![Fault::of_file("it is larger than 64 KiB", "put long texts into files of the working directory")]
    } else {
        let bytes = std::fs::read(file).map_err(OperatorError::io("read", file))?;
        match String::from_utf8(bytes) {
            Ok(text) => pack::parse(&text).err().unwrap_or_default(),
            Err(_) => vec![Fault::of_file("it is not UTF-8", "save it as UTF-8")],
        }
    };
    Ok(told(desk, &[(file.to_owned(), faults)], args))
}

/// Says what is wrong, in the form that editors jump by.
fn told(desk: &Desk, checked: &[(PathBuf, Vec<Fault>)], args: &PacksArgs) -> Exit {
    if args.json {
        let one = |(path, faults): &(PathBuf, Vec<Fault>)| json!({"file": path, "faults": faults});
        desk.report.json(&Value::Array(checked.iter().map(one).collect()));
    } else {
        for (path, faults) in checked {
            for fault in faults {
                let place =
                    if fault.line > 0 { format!(":{}:{}", fault.line, fault.column) } else { String::new() };
                let hint = fault.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
                let said = format!("{}{place}: {}{hint}", path.display(), fault.what);
                desk.report.data(&desk.report.line(&[Cell::plain(said)]));
            }
            if faults.is_empty() {
                desk.report.data(&desk.report.line(&[Cell::plain(format!("{}: good", path.display()))]));
            }
        }
        if checked.is_empty() {
            desk.report.talk("there are no packs but the built-in one");
        }
    }
    if checked.iter().all(|(_, faults)| faults.is_empty()) { Exit::Done } else { Exit::Data }
}

fn show(desk: &Desk, called: &str, args: &PacksArgs) -> Result<Exit, OperatorError> {
    let seen = find(desk, called)?;
    let file = desk.layout.packs().join(seen.name.file());
    let loaded = match &seen.read {
        Some(Err(faults)) => return Ok(told(desk, &[(file, faults.clone())], args)),
        Some(Ok(loaded)) => Loaded::clone(loaded),
        None => Loaded::default(),
    };
    let lines = pack::describe(&loaded);
    if args.json {
        let values: Vec<Value> = lines.iter().map(|line| json!(line)).collect();
        let mut body = sighting_json(desk, &seen);
        body["values"] = Value::Array(values);
        desk.report.json(&body);
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|line| {
            let source = match line.line {
                Some(number) => format!("{}:{number}", file.display()),
                None => line.usual.to_owned(),
            };
            vec![Cell::plain(line.key), Cell::plain(spoken(&line.value)), Cell::toned(source, Tone::Faint)]
        })
        .collect();
    desk.report.data(&desk.report.table(&["KEY", "VALUE", "FROM"], &rows));
    if let Some(mark) = &seen.mark {
        let why = mark.reason.as_deref().unwrap_or("no reason was given");
        desk.report
            .warn(&format!("it is disabled: {why}; `{} pack enable {called}` ends that", desk.agentctl()));
    }
    Ok(Exit::Done)
}

fn spoken(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(spoken).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// The pack that is meant.
pub(super) fn find(desk: &Desk, called: &str) -> Result<Sighting, OperatorError> {
    let all = sightings(desk)?;
    let near = nearest(called, all.iter().map(|it| it.name.as_str())).map(str::to_owned);
    let unknown = || OperatorError::UnknownPack { name: called.to_owned(), dir: desk.layout.packs(), near };
    all.into_iter().find(|it| it.name.as_str() == called).ok_or_else(unknown)
}

/// Why nothing is started with a pack.
#[derive(Clone, Debug)]
pub(super) struct Barred {
    /// Why.
    pub(super) why: String,
    /// What to do.
    pub(super) remedy: String,
    /// Until when, where it passes by itself.
    pub(super) until: Option<Timestamp>,
}

/// Why a task that names `kind` is not started, as far as its pack goes.
pub(super) fn bar(desk: &Desk, kind: Option<&str>) -> Option<Barred> {
    match shelf(desk).find(kind) {
        Found::Barred(bar) => Some(Barred { why: bar.why, remedy: bar.remedy, until: None }),
        Found::Ready { name, loaded, .. } => budget::bar(desk, name.as_str(), &loaded.pack.allowance),
        Found::Unknown { .. } => None,
    }
}

/// The directory that a task works in, where one run at a time does.
pub(super) fn directory(desk: &Desk, spec: &Spec) -> Option<PathBuf> {
    let Found::Ready { name, loaded, .. } = shelf(desk).find(spec.kind.as_deref()) else { return None };
    match pack::site(name.as_str(), &loaded.pack, spec) {
        Ok(Site::Named(WorkdirMode::Dir, path)) => Some(path),
        Ok(Site::Named(WorkdirMode::Worktree | WorkdirMode::Empty, _) | Site::Own) | Err(_) => None,
    }
}

/// What each pack lets its tasks use, where that is bounded.
pub(super) fn allowances(desk: &Desk) -> Vec<(String, Allowance)> {
    let all = sightings(desk).unwrap_or_default();
    let allowed = all.into_iter().filter_map(|it| {
        let allowance = it.read?.ok()?.pack.allowance;
        (!allowance.is_none()).then(|| (it.name.to_string(), allowance))
    });
    allowed.collect()
}

/// What the workers say of packs that they start nothing with, each once.
pub(super) fn waiting<'a>(desk: &Desk, told: impl Iterator<Item = &'a BarredPack>) -> String {
    let mut said: Vec<String> = Vec::new();
    for barred in told {
        let name = if barred.pack == "*" {
            format!("all packs but `{DEFAULT}`")
        } else {
            format!("the pack `{}`", barred.pack)
        };
        let line = format!("tasks of {name} wait: {}; {}", barred.reason, barred.remedy);
        if !said.contains(&line) {
            said.push(line);
        }
    }
    let painted = said.iter().map(|line| desk.report.line(&[Cell::toned(line, Tone::Warn)]) + "\n");
    painted.collect()
}
