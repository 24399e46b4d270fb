//! The log: structured lines to stderr and to `<log-dir>/<worker>.log`.
//!
//! Invariants:
//! - one event is one line (in `bracket` style, one head line and indented `key: value` lines), whatever the
//!   text in it: control and direction characters are escaped, lengths are capped, secrets are masked;
//! - logging never blocks the loop that works: each output has its own thread and a bounded queue, and what
//!   does not fit is counted ([`LogHandle::dropped`]);
//! - a file that cannot be written costs a warning and nothing else; it is tried again, and the lines that it did not
//!   take are counted ([`LogHandle::lost`]) and said;
//! - where standard error is systemd's journal, lines go there as entries with fields, whatever the style of the file;
//! - a complaint that does not end is not written over and over.
//!
//! | module | what it is for |
//! |---|---|
//! | `record` | one event with the fields of the spans around it |
//! | `style` | the three ways in which a record is written (pure) |
//! | `file` | a file that is opened again when it was rotated away |
//! | `journald` | entries with fields, where standard error is systemd's journal |
//! | `limit` | how often one and the same complaint is written (pure) |
//!
//! It deliberately does not know who reads it; facts that a program needs belong into the journal.

mod file;
mod journald;
mod limit;
mod record;
mod style;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::{Event, Level, Subscriber, span};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::clock::SharedClock;
use crate::os::limits;
use crate::task::WorkerName;
use crate::text::redact::Redactor;

use file::LogFile;
use journald::Journald;
use limit::Limiter;
use record::{Fields, Record};

/// How many lines may wait for one output.
const LINES_WAITING: usize = 8192;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line, for programs.
    #[default]
    Json,
    /// Short lines, for a person in front of a terminal.
    Pretty,
    /// `[ts] [LEVEL] [agent:x] message` with indented `key: value` lines, for the runbooks' scripts.
    Bracket,
}

impl std::str::FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            "bracket" => Ok(Self::Bracket),
            other => Err(LogError::Format(other.escape_debug().to_string())),
        }
    }
}

/// What is logged, how and where to.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// How a line looks.
    pub format: LogFormat,
    /// A level (`INFO`, `debug`) or a filter such as `info,agent_worker::spool=debug`.
    pub level: String,
    /// The log file; `None` for stderr alone.
    pub file: Option<PathBuf>,
    /// When we put the file aside ourselves.
    pub rotation: Rotation,
    /// `JOURNAL_STREAM`: the stream of systemd's journal, which standard error may be.
    pub journal_stream: Option<String>,
    /// Whether the pretty style may use colours on stderr (a terminal, and no `NO_COLOR`).
    pub color: bool,
    /// What takes secrets out.
    pub redactor: Redactor,
}

/// When a log file is put aside, where nobody else rotates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Beyond so many bytes; `None`: never.
    pub max_bytes: Option<u64>,
    /// How many of those that were put aside are kept: `.1` is the latest.
    pub keep: u32,
}

/// Why the log could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not a level and not a filter.
    #[error("`{text}` is not a log level: it is one of error, warn, info, debug, trace, off")]
    Level {
        /// What was given.
        text: String,
        /// What the filter's parser said.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Not a format.
    #[error("`{0}` is not a log format: it is one of json, pretty, bracket")]
    Format(String),
    /// This user, or this control group, may have no thread that writes it.
    #[error("could not start a thread for the log")]
    Thread(#[source] std::io::Error),
    /// A log is already installed in this process.
    #[error("a log is already installed in this process")]
    Installed(#[source] tracing::subscriber::SetGlobalDefaultError),
    /// The log has ended.
    #[error("the log has already ended")]
    Ended(#[source] reload::Error),
}

/// Holds the log open. Dropping it writes out what waits, so it belongs into `main`.
#[must_use = "dropping it ends the log"]
#[derive(Debug)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    reopen: Arc<AtomicBool>,
    dropped: Vec<ErrorCounter>,
    lost: Arc<AtomicU64>,
    told: AtomicU64,
    _guards: Vec<WorkerGuard>,
}

impl LogHandle {
    /// Opens the log file again at the next line: logrotate's signal.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Changes what is logged from now on.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        self.filter.reload(filter(level)?).map_err(LogError::Ended)
    }

    /// How many lines the log file did not take: its disk was full or failed. Standard error had them.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Says how many lines the log file did not take since this was last asked.
    pub fn tell_lost(&self) {
        let lost = self.lost();
        let told = self.told.swap(lost, Ordering::Relaxed);
        if lost > told {
            tracing::warn!(
                lines = lost - told,
                in_all = lost,
                "the log file did not take these lines; standard error has them"
            );
        }
    }

    /// How many lines were dropped because an output was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().map(|counter| counter.dropped_lines() as u64).sum()
    }
}

/// Sets up the log of this process, once.
pub fn install(
    options: &LogOptions,
    worker: Option<&WorkerName>,
    clock: SharedClock,
) -> Result<LogHandle, LogError> {
    let stderr = std::io::stderr();
    let is_journal = options.journal_stream.as_deref().is_some_and(|stream| journald::is_at(stream, &stderr));
    let journal = is_journal.then_some(Path::new(journald::SOCKET));
    let (subscriber, handle, complaint) = build(options, worker, clock, (stderr, journal))?;
    tracing::subscriber::set_global_default(subscriber).map_err(LogError::Installed)?;
    if let (Some(error), Some(path)) = (complaint, &options.file) {
        let path = path.display();
        tracing::warn!(%path, %error, "could not open the log file; logging to stderr alone and trying again");
    }
    Ok(handle)
}

type Built<S> = (S, LogHandle, Option<std::io::Error>);

fn build<W: Write + Send + 'static>(
    options: &LogOptions,
    worker: Option<&WorkerName>,
    clock: SharedClock,
    (stderr, journal): (W, Option<&Path>),
) -> Result<Built<impl Subscriber + Send + Sync + use<W>>, LogError> {
    let (filter, reload) = reload::Layer::new(filter(&options.level)?);
    let reopen = Arc::new(AtomicBool::new(false));
    let journal = journal.and_then(|path| Some((path, journald::socket().ok()?)));
    let is_journal = journal.is_some();
    let (stderr, guard) = match journal {
        Some((path, socket)) => output(Journald::new(socket, path, stderr), "log-journal")?,
        None => output(stderr, "log-stderr")?,
    };
    let (mut guards, mut dropped) = (vec![guard], vec![stderr.error_counter()]);
    let mut complaint = None;
    let lost = Arc::<AtomicU64>::default();
    let file = options.file.as_deref().map(|path| -> Result<NonBlocking, LogError> {
        let (reopen, lost) = (Arc::clone(&reopen), Arc::clone(&lost));
        let log_file = LogFile::new(path.to_owned(), options.rotation, Arc::clone(&clock), reopen, lost);
        let (log_file, error) = opened(log_file);
        complaint = error;
        let (file, guard) = output(log_file, "log-file")?;
        guards.push(guard);
        dropped.push(file.error_counter());
        Ok(file)
    });
    let file = file.transpose()?;
    let layer = Lines {
        format: options.format,
        color: options.color,
        redactor: options.redactor.clone(),
        worker: worker.map(ToString::to_string),
        clock,
        is_journal,
        stderr,
        file,
        limiter: Mutex::default(),
    };
    let handle =
        LogHandle { filter: reload, reopen, dropped, lost, told: AtomicU64::new(0), _guards: guards };
    Ok((Registry::default().with(filter).with(layer), handle, complaint))
}

fn opened(mut file: LogFile) -> (LogFile, Option<std::io::Error>) {
    let error = file.open().err();
    (file, error)
}

fn output<W: Write + Send + 'static>(to: W, thread: &str) -> Result<(NonBlocking, WorkerGuard), LogError> {
    // The builder takes it for a bug if it gets none.
    limits::room_for_a_thread().map_err(LogError::Thread)?;
    let output = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING);
    Ok(output.thread_name(thread).finish(to))
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(level.trim())
        .map_err(|source| LogError::Level { text: level.escape_debug().to_string(), source })
}

/// The layer that turns events into lines.
struct Lines {
    format: LogFormat,
    color: bool,
    redactor: Redactor,
    worker: Option<String>,
    clock: SharedClock,
    /// Whether `stderr` takes frames for the journal.
    is_journal: bool,
    stderr: NonBlocking,
    file: Option<NonBlocking>,
    limiter: Mutex<Limiter>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::new(&self.redactor);
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new(&self.redactor);
        if let Some(worker) = &self.worker {
            fields.set("worker", worker.as_str().into());
        }
        for span in
            context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.take_in(of_span);
            }
        }
        event.record(&mut fields);
        match self.admit(event, &fields) {
            None => return,
            Some(0) => {}
            Some(kept_back) => fields.set("kept_back", kept_back.into()),
        }
        self.write(&fields.into_record(self.clock.wall(), *event.metadata().level()));
    }
}

impl Lines {
    /// Whether an event is written; if it is a complaint that was kept back before, how often. Two complaints are the
    /// same if they come from the same place in the source and are about the same task.
    fn admit(&self, event: &Event<'_>, fields: &Fields) -> Option<u64> {
        if *event.metadata().level() > Level::WARN {
            return Some(0);
        }
        let mut key = DefaultHasher::new();
        event.metadata().callsite().hash(&mut key);
        for name in ["task", "file", "path"] {
            fields.get(name).map(ToString::to_string).hash(&mut key);
        }
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.admit(key.finish(), self.clock.ticks())
    }

    fn write(&self, record: &Record) {
        let plain = style::line(self.format, record);
        // `NonBlocking` never fails and never blocks: a full queue counts as dropped.
        if let Some(file) = &self.file {
            file.clone().write_all(plain.as_bytes()).ok();
        }
        let shown = if self.is_journal {
            journald::frame(record, if self.worker.is_some() { "watcher" } else { "supervisor" }, &plain)
        } else if self.color && self.format == LogFormat::Pretty {
            style::colored(record).into_bytes()
        } else {
            plain.into_bytes()
        };
        self.stderr.clone().write_all(&shown).ok();
    }
}

#[cfg(test)]
mod tests;
