//! `agentctl logs`: what an agent is doing, or what a worker logs.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::agent::LineSplitter;
use crate::config::Exit;
use crate::task::outcome::head;
use crate::task::{Attempt, RunId};
use crate::text::redact::{Lines, Redactor};

use super::conclusion::{exit_of, folders};
use super::desk::Desk;
use super::error::OperatorError;
use super::find;
use super::look::{self, Seen};
use super::report::{Cell, Tone, one_line, printable};
use super::stream_view::{Shown, render};
use super::tail::Tail;
use super::vigil::Vigil;

/// Whose log to show.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  agentctl logs hello             what the agent of this task said and did, over all attempts
  agentctl logs -f marie/hello    the same as it happens, until the task has ended
  agentctl logs -f marie          the worker's own log
  agentctl logs hello --raw | jq -c 'select(.type==\"result\")'")]
pub struct LogsArgs {
    /// A worker, or a task by its name or worker/name
    #[arg(value_name = "TASK|WORKER")]
    pub what: String,
    /// Go on as it happens: for a task until it has ended, for a worker until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// The lines as they are
    #[arg(long, visible_alias = "json")]
    pub raw: bool,
    /// How many lines of a worker's log
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub lines: usize,
    /// Where the workers' logs are
    #[arg(
        long,
        env = "LOG_DIR",
        value_name = "DIR",
        default_value = "/var/log/agents",
        hide_env_values = true
    )]
    pub log_dir: PathBuf,
}

impl LogsArgs {
    /// What the agent of a task says, until it has ended.
    pub(super) fn following(task: &str) -> Self {
        let log_dir = PathBuf::from("/var/log/agents");
        Self { what: task.to_owned(), follow: true, raw: false, lines: 0, log_dir }
    }
}

/// Shows a log.
pub fn run(desk: &Desk, args: &LogsArgs) -> Result<Exit, OperatorError> {
    look::check_root(&desk.layout)?;
    if find::worker(desk, &args.what).is_ok() {
        return worker_log(desk, args);
    }
    let redactor = desk.env.redactor();
    let mut reader = TaskReader { desk, redactor, raw: args.raw, run: None, current: None };
    let mut vigil = Vigil::start()?;
    let mut trail = find::Trail::new(&args.what);
    loop {
        vigil.listen(folders(&desk.layout, &look::workers(&desk.layout)?));
        let seen = trail.look(desk)?;
        vigil.listen(reader.folders(&seen));
        let goes_on = reader.turn(&seen)?;
        let has_ended = exit_of(seen.state()).is_some();
        if !goes_on || has_ended || !args.follow {
            reader.close(&seen);
            return Ok(Exit::Done);
        }
        vigil.wait(None);
    }
}

/// Reads the attempts of one task, one after another.
struct TaskReader<'a> {
    desk: &'a Desk,
    redactor: Redactor,
    raw: bool,
    run: Option<RunId>,
    current: Option<AttemptReader>,
}

/// The two streams of one attempt.
struct AttemptReader {
    number: u32,
    stdout: Tail,
    stderr: Tail,
    lines: LineSplitter,
    errors: LineSplitter,
    clean: Lines,
}

impl TaskReader<'_> {
    /// Where new output appears.
    fn folders(&self, seen: &Seen) -> Vec<PathBuf> {
        let Ok(task) = &seen.task else { return Vec::new() };
        let Some(run) = task.record.run_id else { return Vec::new() };
        let last = task.record.attempts.last().map(|attempt| attempt.number);
        let paths = self.desk.layout.run(&run);
        std::iter::once(paths.dir().to_owned()).chain(last.map(|number| paths.attempt(number))).collect()
    }

    /// Prints what is new; `false` once nobody reads it any more.
    fn turn(&mut self, seen: &Seen) -> Result<bool, OperatorError> {
        let Ok(task) = &seen.task else { return Ok(true) };
        let Some(run) = task.record.run_id else { return Ok(true) };
        if self.run.replace(run) != Some(run) {
            self.current = None;
        }
        for attempt in &task.record.attempts {
            let reached = self.current.as_ref().map_or(0, |current| current.number);
            if attempt.number < reached {
                continue;
            }
            if attempt.number > reached && !self.begin(run, attempt) {
                return Ok(false);
            }
            if !self.drain()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn begin(&mut self, run: RunId, attempt: &Attempt) -> bool {
        let paths = self.desk.layout.run(&run);
        self.current = Some(AttemptReader {
            number: attempt.number,
            stdout: Tail::new(&paths.stream(attempt.number)),
            stderr: Tail::new(&paths.stderr(attempt.number)),
            lines: LineSplitter::default(),
            errors: LineSplitter::default(),
            clean: Lines::new(self.redactor.clone()),
        });
        let heading = format!("── attempt {}, {:.0}", attempt.number, attempt.started_at);
        self.raw || self.desk.report.data(&self.desk.report.line(&[Cell::toned(heading, Tone::Faint)]))
    }

    fn drain(&mut self) -> Result<bool, OperatorError> {
        let (report, raw, redactor) = (self.desk.report, self.raw, &self.redactor);
        let Some(AttemptReader { stdout, stderr, lines, errors, clean, .. }) = &mut self.current else {
            return Ok(true);
        };
        if raw {
            return stdout.drain(|bytes| report.raw(bytes));
        }
        let print = |shown: &Shown| report.data(&report.text(&redactor.redact(&shown.text), shown.tone));
        let goes_on = stdout.drain(|bytes| {
            let mut is_read = true;
            lines.push(bytes, |line| is_read = is_read && render(line).iter().all(print));
            is_read
        })?;
        let mut print_error = |line: crate::agent::Line<'_>| match line {
            crate::agent::Line::Whole(line) => {
                let text = String::from_utf8_lossy(line);
                let text = format!("stderr: {}", one_line(&clean.redact(head(text.trim_end(), 4000))));
                report.data(&report.text(&text, Tone::Warn))
            }
            crate::agent::Line::Oversized { .. } => true,
        };
        let errors_go_on = stderr.drain(|bytes| {
            let mut is_read = true;
            errors.push(bytes, |line| is_read = is_read && print_error(line));
            is_read
        })?;
        Ok(goes_on && errors_go_on)
    }

    /// Says on stderr how the task stands.
    fn close(&self, seen: &Seen) {
        let state = seen.state();
        let said = match (&self.current, exit_of(state)) {
            (_, Some(Exit::Done)) => format!("{} {state}", seen.full_name()),
            (_, Some(_)) => format!("{} {state}: {}", seen.full_name(), super::list::about(seen)),
            (None, None) => format!("{} has not started: {state} in {}", seen.full_name(), seen.entry.place),
            (Some(_), None) => format!("{} {state}; -f goes on as it happens", seen.full_name()),
        };
        self.desk.report.talk(&one_line(&said));
    }
}

fn worker_log(desk: &Desk, args: &LogsArgs) -> Result<Exit, OperatorError> {
    let dir = desk.env.absolute(&args.log_dir);
    let mut tail = Tail::new(&dir.join(format!("{}.log", args.what)));
    tail.skip_to_last(args.lines)?;
    let mut vigil = Vigil::start()?;
    vigil.listen(tail.path().parent().map(Path::to_owned));
    let mut lines = LineSplitter::default();
    let mut clean = Lines::new(desk.env.redactor());
    loop {
        let goes_on = tail.drain(|bytes| log_lines(desk, args, (&mut lines, &mut clean), bytes))?;
        if !goes_on || !args.follow {
            return Ok(Exit::Done);
        }
        vigil.wait(None);
    }
}

fn log_lines(
    desk: &Desk,
    args: &LogsArgs,
    (lines, clean): (&mut LineSplitter, &mut Lines),
    bytes: &[u8],
) -> bool {
    if args.raw {
        return desk.report.raw(bytes);
    }
    let mut is_read = true;
    lines.push(bytes, |line| {
        let text = match line {
            crate::agent::Line::Whole(line) => printable(&clean.redact(&String::from_utf8_lossy(line))),
            crate::agent::Line::Oversized { bytes } => format!("(a line of {bytes} bytes)"),
        };
        is_read = is_read && desk.report.data(&format!("{text}\n"));
    });
    is_read
}
