//! `agentctl submit`: hands in tasks.
//!
//! Invariants:
//! - what the watcher would refuse is refused here, before anything is written;
//! - a task appears whole and durable, or not at all: written beside, synced, renamed without replacing;
//! - fields we do not know go in as they were written.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::config::{Exit, nearest, parse_duration};
use crate::os::durable::Durability;
use crate::spool::Disk;
use crate::spool::fresh::{Fresh, FreshError, file_name};
use crate::task::{FileName, ParseError, Place, Spec, TaskFile, TaskName, WorkdirMode, WorkerName};

use super::conclusion::{answer, exit_of, mourn, wait_for, warn_if_nobody_works};
use super::desk::Desk;
use super::error::OperatorError;
use super::vigil::Vigil;
use super::{find, logs, look, moment};

/// What to hand in.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Prints the task's name.

Examples:
  agentctl submit 'say hello'
  agentctl submit 'say hello' --worker marie --wait
  agentctl submit 'say hello' --follow
  git diff | agentctl submit - --priority 5
  agentctl submit --file nightly.json --in 2h
  agentctl submit 'mend the build' --workdir /srv/repos/web --workdir-mode worktree
  jq -c '.[]' tasks.json | agentctl submit --file -
  agentctl submit 'summarise the input' --input '{\"rows\":[1,2,3]}'")]
pub struct SubmitArgs {
    /// What the agent is asked to do; `-` reads it from stdin
    #[arg(value_name = "PROMPT", required_unless_present_any = ["file", "input"])]
    pub prompt: Option<String>,
    /// A task file, or one with a task on each line; `-` reads stdin; can be repeated
    #[arg(long, short, value_name = "FILE", conflicts_with = "prompt")]
    pub file: Vec<PathBuf>,
    /// Only this worker may take it
    #[arg(long, short, value_name = "NAME")]
    pub worker: Option<String>,
    /// The task's name [default: made from the prompt, or the file's name]
    #[arg(long, value_name = "NAME")]
    pub id: Option<TaskName>,
    /// Higher first
    #[arg(long, short, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// The wall-clock limit of one attempt
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// How many charged failures it may have and still be tried again
    #[arg(long, value_name = "N")]
    pub max_retries: Option<u32>,
    /// Where the agent works, below one of the watcher's --workdir-root
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// How it works there: dir (in place), worktree (on a branch of its own) or empty
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub workdir_mode: Option<WorkdirMode>,
    /// Not before this moment, such as 2026-01-31T06:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment::at, conflicts_with = "after")]
    pub at: Option<Timestamp>,
    /// Not before this time has passed
    #[arg(long = "in", id = "after", value_name = "TIME", value_parser = parse_duration)]
    pub after: Option<Duration>,
    /// The pack that says how the agent is run
    #[arg(long, value_name = "NAME")]
    pub pack: Option<String>,
    /// Any JSON, handed to the prompt
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// Wait until it has ended, print its answer, and end like `agentctl wait`
    #[arg(long)]
    pub wait: bool,
    /// Show what its agent says as it happens, and end like `agentctl wait`
    #[arg(long, short = 'F', conflicts_with = "wait")]
    pub follow: bool,
    /// Show what would be written, and where
    #[arg(long)]
    pub dry_run: bool,
}

fn mode(text: &str) -> Result<WorkdirMode, String> {
    let words = WorkdirMode::WORDS;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, mode)| *mode);
    found.ok_or_else(|| {
        let known = words.map(|(word, _)| word);
        let near = nearest(text, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("there are {}{near}", known.join(", "))
    })
}

/// A task that is ready to be written.
struct Ready {
    task: TaskFile,
    file: FileName,
    /// Whether another name would do as well.
    can_be_renamed: bool,
    dir: PathBuf,
    worker: Option<WorkerName>,
}

/// Hands in tasks.
pub fn run(desk: &Desk, args: &SubmitArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    let tasks = read_tasks(args)?;
    if tasks.len() > 1 && args.id.is_some() {
        return Err(OperatorError::Wish { why: "one --id cannot name several tasks" });
    }
    if tasks.len() > 1 && args.follow {
        return Err(OperatorError::Wish { why: "one task at a time can be followed: leave out --follow" });
    }
    // All are checked before the first is written.
    let ready: Vec<Ready> =
        tasks.into_iter().map(|(task, from)| prepare(desk, args, task, &from)).collect::<Result<_, _>>()?;
    if args.dry_run {
        for ready in &ready {
            show(desk, ready);
        }
        return Ok(Exit::Done);
    }
    let mut called = Vec::new();
    for ready in ready {
        let file = write(desk, &ready)?;
        let name = ready.task.name(&file);
        desk.report.data(name.as_str());
        let place = ready.worker.as_ref().map_or("inbox", WorkerName::as_str);
        desk.report.talk(&format!("submitted to {place}: {}", ready.dir.join(file.as_str()).display()));
        warn_if_nobody_works(desk, ready.worker.as_ref().or(ready.task.spec.worker.as_ref()));
        called.push(name);
    }
    match called.first() {
        Some(name) if args.follow => follow(desk, name),
        _ if args.wait => wait_for_all(desk, &called),
        _ => Ok(Exit::Done),
    }
}

/// Shows what the agent of a task says until it has ended.
fn follow(desk: &Desk, name: &TaskName) -> Result<Exit, OperatorError> {
    logs::run(desk, &logs::LogsArgs::following(name.as_str()))?;
    let mut vigil = Vigil::start()?;
    let Some(seen) = wait_for(desk, &mut vigil, name.as_str(), None)? else { return Ok(Exit::TryAgain) };
    let exit = exit_of(seen.state()).unwrap_or(Exit::Internal);
    if exit != Exit::Done {
        mourn(desk, &seen);
    }
    Ok(exit)
}

/// The fields of what is to be handed in, for somebody else to write.
pub(super) fn specs(desk: &Desk, args: &SubmitArgs) -> Result<Vec<Map<String, Value>>, OperatorError> {
    let specs = read_tasks(args)?.into_iter().map(|(mut task, from)| {
        apply_flags(desk, args, &mut task.spec)?;
        let what =
            if from.as_os_str().is_empty() { "this".to_owned() } else { format!("`{}`", from.display()) };
        let task = parse(&task.to_bytes(), &what)?;
        let mut spec: Map<String, Value> = serde_json::from_slice(&task.to_bytes()).unwrap_or_default();
        if let Some(worker) = &args.worker {
            spec.insert("worker".to_owned(), worker.as_str().into());
        }
        Ok(spec)
    });
    specs.collect()
}

/// The tasks and where each came from, which is also where a name can come from.
fn read_tasks(args: &SubmitArgs) -> Result<Vec<(TaskFile, PathBuf)>, OperatorError> {
    if args.file.is_empty() {
        let prompt = match args.prompt.as_deref() {
            Some("-") => Some(text_from_stdin()?),
            other => other.map(str::to_owned),
        };
        return Ok(vec![(TaskFile::new(Spec { prompt, ..Spec::default() }), PathBuf::new())]);
    }
    let mut all = Vec::new();
    for path in &args.file {
        let tasks = read_file(path)?;
        let is_alone = tasks.len() == 1;
        let from = if is_alone { path.clone() } else { PathBuf::new() };
        all.extend(tasks.into_iter().map(|task| (task, from.clone())));
    }
    Ok(all)
}

/// One task, or one on each line.
fn read_file(path: &Path) -> Result<Vec<TaskFile>, OperatorError> {
    let bytes = if path == Path::new("-") {
        bytes_from_stdin()?
    } else {
        std::fs::read(path).map_err(OperatorError::io("read", path))?
    };
    let mut tasks = many(&bytes, &format!("`{}`", path.display()))?;
    // A task that was filed before starts a new life.
    tasks.iter_mut().for_each(TaskFile::forget_record);
    Ok(tasks)
}

fn many(bytes: &[u8], what: &str) -> Result<Vec<TaskFile>, OperatorError> {
    let whole = parse(bytes, what);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let is_object = |line: &str| serde_json::from_str::<Map<String, Value>>(line).is_ok();
    if whole.is_ok() || lines().count() < 2 || !lines().next().is_some_and(|(_, first)| is_object(first)) {
        return whole.map(|task| vec![task]);
    }
    lines().map(|(n, line)| parse(line.as_bytes(), &format!("line {} of {what}", n + 1))).collect()
}

fn parse(bytes: &[u8], what: &str) -> Result<TaskFile, OperatorError> {
    TaskFile::parse(bytes).map_err(|source| OperatorError::NotATask { what: what.to_owned(), source })
}

fn text_from_stdin() -> Result<String, OperatorError> {
    String::from_utf8(bytes_from_stdin()?).map_err(|_| OperatorError::NotATask {
        what: "stdin".to_owned(),
        source: ParseError::Invalid("not UTF-8".to_owned()),
    })
}

fn bytes_from_stdin() -> Result<Vec<u8>, OperatorError> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(OperatorError::io("read", Path::new("stdin")))?;
    Ok(bytes)
}

/// Puts the flags into the task, checks it as the watcher will, and finds it a name and a folder.
fn prepare(desk: &Desk, args: &SubmitArgs, mut task: TaskFile, from: &Path) -> Result<Ready, OperatorError> {
    apply_flags(desk, args, &mut task.spec)?;
    let worker = args.worker.as_deref().map(|called| find::worker(desk, called)).transpose()?;
    if worker.is_some() {
        task.spec.worker.clone_from(&worker);
    }
    let what = if from.as_os_str().is_empty() { "this".to_owned() } else { format!("`{}`", from.display()) };
    let task = parse(&task.to_bytes(), &what)?;
    let file = file_name(&task.spec, from);
    let dir = worker.as_ref().map_or_else(|| desk.layout.tasks(), |w| desk.layout.place(w, Place::Pending));
    if let Some(id) = &task.spec.id {
        refuse_taken(desk, worker.as_ref(), id)?;
    }
    let can_be_renamed = args.id.is_none();
    Ok(Ready { task, file, can_be_renamed, dir, worker })
}

fn apply_flags(desk: &Desk, args: &SubmitArgs, spec: &mut Spec) -> Result<(), OperatorError> {
    let input = args.input.as_deref().map(serde_json::from_str).transpose().map_err(|error| {
        OperatorError::NotATask {
            what: "`--input`".to_owned(),
            source: ParseError::Malformed(error.to_string()),
        }
    })?;
    let soon = args.after.and_then(|after| desk.clock.wall().checked_add(after).ok());
    let timeout_s = args.timeout.map(|limit| u32::try_from(limit.as_secs()).unwrap_or(u32::MAX));
    let workdir = args.workdir.as_ref().map(|dir| desk.env.absolute(dir).display().to_string());
    or_keep(&mut spec.input, input);
    or_keep(&mut spec.id, args.id.clone());
    or_keep(&mut spec.kind, args.pack.clone());
    or_keep(&mut spec.priority, args.priority);
    or_keep(&mut spec.timeout_s, timeout_s);
    or_keep(&mut spec.max_retries, args.max_retries);
    or_keep(&mut spec.workdir, workdir);
    or_keep(&mut spec.workdir_mode, args.workdir_mode);
    or_keep(&mut spec.not_before, args.at.or(soon));
    Ok(())
}

fn or_keep<T>(field: &mut Option<T>, flag: Option<T>) {
    if flag.is_some() {
        *field = flag;
    }
}

/// A name that was given is not given twice among what waits and runs.
fn refuse_taken(desk: &Desk, worker: Option<&WorkerName>, id: &TaskName) -> Result<(), OperatorError> {
    let Ok(file) = format!("{id}.json").parse::<FileName>() else { return Ok(()) };
    let workers = match worker {
        Some(worker) => vec![worker.clone()],
        None => look::workers(&desk.layout)?,
    };
    let live = look::all_places(&workers)
        .into_iter()
        .filter(|(_, place)| !Place::TERMINAL.contains(place))
        .find_map(|(worker, place)| look::entry(&desk.layout, worker.as_ref(), place, &file));
    match live {
        Some(entry) => Err(OperatorError::Taken { name: id.to_string(), path: entry.path }),
        None => Ok(()),
    }
}

fn show(desk: &Desk, ready: &Ready) {
    desk.report.talk(&format!("would write {}", ready.dir.join(ready.file.as_str()).display()));
    desk.report.raw(&ready.task.to_bytes());
}

/// Writes a task, under a name that no task has, ended ones included, as far as it may be renamed.
fn write(desk: &Desk, ready: &Ready) -> Result<FileName, OperatorError> {
    let places = look::all_places(&look::workers(&desk.layout)?);
    let is_known = |file: &FileName| {
        places
            .iter()
            .any(|(worker, place)| look::entry(&desk.layout, worker.as_ref(), *place, file).is_some())
    };
    let Ready { task, file, can_be_renamed, dir, .. } = ready;
    let fresh = Fresh { dir, file: file.clone(), can_be_renamed: *can_be_renamed, task };
    let store = Disk::new(desk.layout.root(), Durability::Full);
    fresh.drop_into(&store, is_known).map_err(|error| match error {
        FreshError::Taken { name, path } => OperatorError::Taken { name, path },
        FreshError::Disk(error) => OperatorError::io("write", &dir.join(file.as_str()))(error.source),
    })
}

fn wait_for_all(desk: &Desk, called: &[TaskName]) -> Result<Exit, OperatorError> {
    let mut vigil = Vigil::start()?;
    let mut exit = Exit::Done;
    for name in called {
        let Some(seen) = wait_for(desk, &mut vigil, name.as_str(), None)? else { continue };
        let own = exit_of(seen.state()).unwrap_or(Exit::Internal);
        if own == Exit::Done {
            desk.report.data(&super::report::printable(&answer(desk, &seen).unwrap_or_default()));
        } else {
            mourn(desk, &seen);
        }
        exit = if exit == Exit::Done { own } else { exit };
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_with_and_without_an_offset() {
        assert_eq!(moment::at("2026-01-31T06:00:00Z").unwrap().to_string(), "2026-01-31T06:00:00Z");
        assert!(moment::at("2026-01-31T06:00").is_ok());
        assert!(moment::at("tomorrow").is_err());
    }
}
