//! What a watcher is told: the settings of one named worker.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::task::WorkerName;

use super::budget::Allowance;
use super::confine::Confine;
use super::durability::Durability;
use super::duration::parse_duration;
use super::environment::Environment;
use super::error::ConfigError;
use super::groups::GroupsIn;
use super::pipes::PipeAccess;
use super::retention::Retention;
use super::settings::Settings;
use super::size::parse_size;

/// Less memory than this no agent can live in: a Claude process at work has more than 100 MiB for itself.
pub const AGENT_MEMORY_MIN: u64 = 64 << 20;

/// Who answers the prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentKind {
    /// The Claude CLI.
    Claude,
    /// A built-in agent that repeats the prompt: for trying things out without a cost.
    Echo,
}

impl FromStr for AgentKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "claude" => Ok(Self::Claude),
            "echo" => Ok(Self::Echo),
            _ => Err("takes `claude` or `echo`".to_owned()),
        }
    }
}

impl AgentKind {
    /// The word used in flags and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Echo => "echo",
        }
    }
}

/// What becomes of a task that meets a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRateLimit {
    /// It waits in the queue until the limit is lifted.
    Wait,
    /// It fails.
    Fail,
}

impl FromStr for OnRateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "wait" => Ok(Self::Wait),
            "fail" => Ok(Self::Fail),
            _ => Err("takes `wait` or `fail`".to_owned()),
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what needs a person.
    Error,
    /// And what may need one.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And every step.
    Trace,
}

impl LogLevel {
    /// The word used in flags and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "error" => Ok(Self::Error),
            "warn" | "warning" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err("takes error, warn, info, debug or trace".to_owned()),
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person at a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
    /// `[ts] [LEVEL] [agent:x] message` with indented `key: value` lines.
    Bracket,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            "bracket" => Ok(Self::Bracket),
            _ => Err("takes pretty, json or bracket".to_owned()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
            Self::Bracket => "bracket",
        })
    }
}

/// Where the log goes and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The folder of `<worker>.log`.
    pub dir: PathBuf,
    /// How much is logged; `--debug` is [`LogLevel::Debug`].
    pub level: LogLevel,
    /// How a line looks: without a word about it, pretty at a terminal and JSON elsewhere.
    pub format: LogFormat,
    /// Beyond so many bytes the file is put aside; `None`: never by us.
    pub max_bytes: Option<u64>,
    /// How many of those are kept.
    pub keep: u32,
}

impl LogConfig {
    /// Resolves the log's settings.
    pub fn resolve(settings: &mut Settings, env: &Environment) -> Result<Self, ConfigError> {
        let format = if env.terminals().stderr { "pretty" } else { "json" };
        let dir = settings.take("log_dir", path(env), "/var/log/agents")?;
        let level: LogLevel = settings.take("log_level", str::parse, "info")?;
        let debug = settings.take("debug", flag, "false")?;
        let format = settings.take("log_format", str::parse, format)?;
        let max_bytes = settings.take("log_max_mb", megabytes, "64")?;
        let keep = settings.take("log_keep", number, "5")?;
        let level = if debug { level.max(LogLevel::Debug) } else { level };
        Ok(Self { dir, level, format, max_bytes, keep })
    }
}

/// The settings of one watcher.
#[derive(Clone, Debug, PartialEq)]
pub struct WatcherConfig {
    /// Its name.
    pub worker: WorkerName,
    /// The root, absolute.
    pub root: PathBuf,
    /// Where its metrics and health are served; `None`: nowhere.
    pub metrics_addr: Option<SocketAddr>,
    /// Further names under which pages about tasks are shown.
    pub allowed_hosts: Vec<String>,
    /// The Claude CLI, where it was named; else it is looked for in `PATH`.
    pub claude_bin: Option<PathBuf>,
    /// Who answers the prompts.
    pub agent: AgentKind,
    /// How many tasks a run may hand on.
    pub agent_submits: u32,
    /// How often a task may be handed on.
    pub agent_depth: u32,
    /// How many tasks run at once, at least 1.
    pub concurrency: usize,
    /// How long agents may take to stop before they are killed.
    pub grace: Duration,
    /// The directories below which a task's `workdir` may lie.
    pub workdir_roots: Vec<PathBuf>,
    /// The agents' scratch, where it was named; else [`crate::layout::Layout::default_scratch`].
    pub scratch_dir: Option<PathBuf>,
    /// Whether the root may be on a file system that somebody else keeps.
    pub allow_nfs: bool,
    /// Whether a power cut counts.
    pub durability: Durability,
    /// `--debug`: backtraces and the fullest log.
    pub debug: bool,
    /// The log.
    pub log: LogConfig,
    /// The wall-clock limit of one attempt, unless the task says otherwise.
    pub agent_timeout: Duration,
    /// How long an agent may be silent.
    pub idle_timeout: Duration,
    /// How long a running task may show no sign of progress before it is reported as stuck.
    pub visibility_timeout: Duration,
    /// How much an agent may print in one attempt, in bytes.
    pub max_output: u64,
    /// How much memory an agent may use with everything that it starts, in bytes; `None`: as much as there is.
    pub agent_memory: Option<u64>,
    /// Where each run gets a control group of its own.
    pub cgroup: GroupsIn,
    /// Whether agents may write only where their run has to.
    pub confine: Confine,
    /// Where else they may write.
    pub agent_writes: Vec<PathBuf>,
    /// How many charged failures a task may have and still be tried again, unless it says otherwise.
    pub max_retries: u32,
    /// How many agents all workers of one account start in a minute; 0: as many as they want.
    pub api_requests_per_minute: u32,
    /// What becomes of a task that meets a rate limit.
    pub on_rate_limit: OnRateLimit,
    /// What it may use in an hour and in a day before it starts nothing more.
    pub budget: Allowance,
    /// Bytes that are kept free on every file system that is written to: with less, nothing is claimed.
    pub reserve: u64,
    /// The same, in files.
    pub reserve_inodes: u64,
    /// Bytes of memory that are kept free: with less, nothing is claimed.
    pub reserve_memory: u64,
    /// Environment variables that agents inherit on top of the built-in list.
    pub agent_env: Vec<String>,
    /// `otlp` to export traces.
    pub traces_exporter: Option<String>,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// How long what is done with is kept.
    pub retention: Retention,
    /// Who may use the pipes.
    pub pipes: PipeAccess,
    /// The file that some of this stands in.
    pub config_file: Option<PathBuf>,
}

impl WatcherConfig {
    /// Resolves a watcher's settings.
    pub fn resolve(settings: &mut Settings, env: &Environment) -> Result<Self, ConfigError> {
        let worker: WorkerName = settings.take_optional("worker", name)?.ok_or(ConfigError::Missing {
            key: "worker",
            hint: "give --worker NAME or set WORKER_NAME, such as marie, anga or fabien",
        })?;
        settings.narrow_to(&worker);
        let debug_before = settings.shown().len();
        let log = LogConfig::resolve(settings, env)?;
        let debug = settings.shown()[debug_before..]
            .iter()
            .any(|shown| shown.key == "debug" && shown.value == "true");
        Ok(Self {
            root: settings.take("root", path(env), "/shared")?,
            metrics_addr: settings.take("metrics_addr", address, default_metrics_addr(&worker))?,
            allowed_hosts: settings.take_list("allowed_host", host, "")?,
            claude_bin: settings.take_optional("claude_bin", path(env))?,
            agent: settings.take("agent", str::parse, "claude")?,
            concurrency: settings.take("concurrency", count, "5")?,
            agent_submits: settings.take("agent_submits", number, "20")?,
            agent_depth: settings.take("agent_depth", number, "3")?,
            grace: settings.take("grace", parse_duration, "10s")?,
            workdir_roots: settings.take_list("workdir_root", path(env), "")?,
            scratch_dir: settings.take_optional("scratch_dir", path(env))?,
            allow_nfs: settings.take("allow_nfs", flag, "false")?,
            durability: settings.take("durability", str::parse, "full")?,
            agent_timeout: settings.take("agent_timeout", some_time, "30m")?,
            idle_timeout: settings.take("idle_timeout", some_time, "10m")?,
            visibility_timeout: settings.take("visibility_timeout", some_time, "5m")?,
            max_output: settings.take("max_output", some_size, "256MiB")?,
            agent_memory: settings.take("agent_memory", bounded, "none")?,
            cgroup: settings.take("cgroup", str::parse, "auto")?,
            confine: settings.take("confine", str::parse, "auto")?,
            agent_writes: settings.take_list("agent_writes", path(env), "")?,
            config_file: settings.file_path().map(Path::to_owned),
            max_retries: settings.take("max_retries", number, "3")?,
            api_requests_per_minute: settings.take("api_requests_per_minute", number, "50")?,
            on_rate_limit: settings.take("on_rate_limit", str::parse, "wait")?,
            budget: Allowance::resolve(settings)?,
            reserve: settings.take("reserve", parse_size, "64MiB")?,
            reserve_inodes: settings.take("reserve_inodes", number, "500")?.into(),
            reserve_memory: settings.take("reserve_memory", parse_size, "256MiB")?,
            agent_env: settings.take_list("agent_env", variable, "")?,
            traces_exporter: settings.take_optional("traces_exporter", text)?,
            otlp_endpoint: settings.take_optional("otlp_endpoint", text)?,
            retention: Retention::resolve(settings)?,
            pipes: PipeAccess::resolve(settings)?,
            worker,
            debug,
            log,
        })
    }
}

/// Where a worker of this name is served without a word about it.
pub fn default_metrics_addr(worker: &WorkerName) -> &'static str {
    match worker.as_str() {
        "marie" => "127.0.0.1:9091",
        "anga" => "127.0.0.1:9092",
        "fabien" => "127.0.0.1:9093",
        _ => "none",
    }
}

/// Reads `127.0.0.1:9091`, `localhost:9091`, `:9091`, `9091`, or `none`.
pub fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if matches!(text, "none" | "off") {
        return Ok(None);
    }
    let host_and_port = text.rsplit_once(':').unwrap_or(("", text));
    let port = || host_and_port.1.parse::<u16>().map_err(|_| wrong_address());
    match host_and_port.0 {
        "" | "localhost" => Ok(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port()?))),
        _ => text.parse().map(Some).map_err(|_| wrong_address()),
    }
}

fn wrong_address() -> String {
    "takes an address and port such as 127.0.0.1:9091 or 0.0.0.0:9091, or none".to_owned()
}

/// A parser of paths, seen from where the program was started.
pub(super) fn path(env: &Environment) -> impl Fn(&str) -> Result<PathBuf, String> + '_ {
    |text| if text.is_empty() { Err("takes a path".to_owned()) } else { Ok(env.absolute(Path::new(text))) }
}

pub(super) fn name(text: &str) -> Result<WorkerName, String> {
    text.parse().map_err(|error: crate::task::name::NameError| error.to_string())
}

pub(super) fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "takes a number".to_owned())
}

pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .and_then(|time| if time.is_zero() { Err("must be above 0".to_owned()) } else { Ok(time) })
}

/// Whole megabytes (10⁶ bytes); `0` and `off` are without a bound.
fn megabytes(text: &str) -> Result<Option<u64>, String> {
    if matches!(text, "0" | "never" | "off") {
        return Ok(None);
    }
    let megabytes: u64 = text.parse().map_err(|_| "takes whole megabytes, or off".to_owned())?;
    Ok(Some(megabytes.saturating_mul(1_000_000)))
}

fn some_size(text: &str) -> Result<u64, String> {
    parse_size(text).and_then(|size| if size == 0 { Err("must be above 0".to_owned()) } else { Ok(size) })
}

/// A size that an agent can live in; `0`, `none` and `off` are without a bound.
fn bounded(text: &str) -> Result<Option<u64>, String> {
    if matches!(text, "0" | "none" | "never" | "off") {
        return Ok(None);
    }
    match parse_size(text)? {
        size if size < AGENT_MEMORY_MIN => Err("must be at least 64MiB, or none".to_owned()),
        size => Ok(Some(size)),
    }
}

fn count(text: &str) -> Result<usize, String> {
    let wrong = || "takes a number from 1 to 1000".to_owned();
    text.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(wrong)
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("takes true or false".to_owned()),
    }
}

pub(super) fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("takes a word".to_owned()) } else { Ok(text.to_owned()) }
}

/// A host's name, or a pattern of such names: `*` or `*.example.org`.
pub(super) fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let good = text == "*" || name.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c));
    if good && !name.is_empty() {
        Ok(text.to_owned())
    } else {
        Err("takes a host's name without a port, or *.its.domain, or *".to_owned())
    }
}

fn variable(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && !text.contains(['=', '\0']);
    if good { Ok(text.to_owned()) } else { Err("takes the name of a variable".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::super::error::Origin;
    use super::super::settings::Given;
    use super::*;

    fn resolve(flags: &[(&'static str, &str)]) -> Result<WatcherConfig, ConfigError> {
        let given = flags
            .iter()
            .map(|(key, value)| Given { key, values: vec![(*value).to_owned()], origin: Origin::Flag })
            .collect();
        WatcherConfig::resolve(&mut Settings::new(given, None), &Environment::of(&[]))
    }

    #[test]
    fn the_defaults_are_those_of_the_runbooks() {
        let marie = resolve(&[("worker", "marie")]).unwrap();
        assert_eq!(marie.root, Path::new("/shared"));
        assert_eq!(marie.metrics_addr, Some("127.0.0.1:9091".parse().unwrap()));
        assert_eq!((marie.concurrency, marie.max_retries), (5, 3));
        assert_eq!((marie.grace.as_secs(), marie.agent_timeout.as_secs()), (10, 1800));
        assert_eq!((marie.idle_timeout.as_secs(), marie.visibility_timeout.as_secs()), (600, 300));
        assert_eq!((marie.durability, marie.agent), (Durability::Full, AgentKind::Claude));
        assert_eq!((marie.reserve, marie.reserve_inodes), (64 << 20, 500));
        assert_eq!(marie.log.dir, Path::new("/var/log/agents"));
        assert_eq!(marie.max_output, 256 << 20);
        assert_eq!((marie.agent_memory, marie.reserve_memory), (None, 256 << 20));
        assert_eq!(marie.cgroup, GroupsIn::Own);
        assert_eq!((marie.confine, marie.agent_writes.len()), (Confine::Auto, 0));
        assert_eq!((marie.api_requests_per_minute, marie.on_rate_limit), (50, OnRateLimit::Wait));
    }

    #[test]
    fn any_other_worker_has_no_face_unless_it_is_given_one() {
        assert_eq!(resolve(&[("worker", "bob")]).unwrap().metrics_addr, None);
        let bob = resolve(&[("worker", "bob"), ("metrics_addr", ":9099")]).unwrap();
        assert_eq!(bob.metrics_addr, Some("127.0.0.1:9099".parse().unwrap()));
    }

    #[test]
    fn debug_raises_the_level_and_never_lowers_it() {
        for (level, expected) in [("INFO", LogLevel::Debug), ("trace", LogLevel::Trace)] {
            let config = resolve(&[("worker", "a"), ("debug", "true"), ("log_level", level)]).unwrap();
            assert_eq!((config.log.level, config.debug), (expected, true));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            ("concurrency", "0"),
            ("agent", "gpt"),
            ("metrics_addr", "marie"),
            ("metrics_addr", "127.0.0.1:99999"),
            ("agent_timeout", "0"),
            ("max_output", "0"),
            ("allowed_host", "http://x"),
            ("agent_memory", "2"),
            ("reserve_memory", "much"),
            ("cgroup", "mine"),
            ("confine", "yes"),
            ("max_output", "much"),
            ("api_requests_per_minute", "-1"),
            ("on_rate_limit", "retry"),
            ("log_level", "loud"),
            ("root", ""),
        ] {
            assert!(resolve(&[("worker", "a"), wrong]).is_err(), "{wrong:?}");
        }
        assert!(resolve(&[("worker", "Marie")]).is_err());
        assert!(matches!(resolve(&[]), Err(ConfigError::Missing { key: "worker", .. })));
    }

    #[test]
    fn a_relative_root_is_seen_from_where_the_program_was_started() {
        assert_eq!(resolve(&[("worker", "a"), ("root", "x/y")]).unwrap().root, Path::new("/x/y"));
    }
}
