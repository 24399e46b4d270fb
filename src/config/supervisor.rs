//! What the supervisor is told, and what it tells its watchers.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::task::WorkerName;
use crate::text::redact::Redactor;

use super::durability::Durability;
use super::duration::parse_duration;
use super::environment::Environment;
use super::error::ConfigError;
use super::settings::{Given, Settings};
use super::watcher::{
    AgentKind, LogConfig, address, default_metrics_addr, host, name, number, path, some_time, text,
};

/// The workers without a word about them.
const DEFAULT_WORKERS: &str = "marie,anga,fabien";

/// Who brings a dead watcher back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartBy {
    /// The supervisor itself: watchers are its children.
    Exec,
    /// `systemctl restart agent-worker-<worker>`.
    Systemd,
    /// `docker restart <worker>`, by exact name.
    Docker,
    /// The host does it by itself.
    Nobody,
}

impl FromStr for RestartBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "exec" => Ok(Self::Exec),
            "systemd" => Ok(Self::Systemd),
            "docker" => Ok(Self::Docker),
            "none" => Ok(Self::Nobody),
            _ => Err("takes exec, systemd, docker or none".to_owned()),
        }
    }
}

/// How long the supervisor lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// In front of a person: a second one is refused, and the end of it ends the watchers.
    Up,
    /// As a service: a second one stands by until the first is gone.
    Run,
}

/// One worker to look after, `bob` or `bob=ADDR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSpec {
    /// Its name.
    pub name: WorkerName,
    /// Where its watcher is served; `None`: nowhere.
    pub metrics_addr: Option<SocketAddr>,
    /// Whether that was said with its name.
    pub is_placed: bool,
}

impl FromStr for WorkerSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (worker, addr) = text.split_once('=').unwrap_or((text, ""));
        let worker = name(worker)?;
        let is_placed = text.contains('=');
        let addr = address(if is_placed { addr } else { default_metrics_addr(&worker) })?;
        Ok(Self { name: worker, metrics_addr: addr, is_placed })
    }
}

impl fmt::Display for WorkerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.metrics_addr {
            Some(addr) => write!(f, "{}={addr}", self.name),
            None => write!(f, "{}=none", self.name),
        }
    }
}

/// The settings of `supervisor up` and `supervisor run`.
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorConfig {
    /// The root, absolute.
    pub root: PathBuf,
    /// How long it lives.
    pub manner: Manner,
    /// The workers to look after, each once; the backups among them.
    pub workers: Vec<WorkerSpec>,
    /// Those who run only while another is gone.
    pub backups: Vec<WorkerName>,
    /// Who brings a dead watcher back.
    pub restart: RestartBy,
    /// How long `systemctl` or `docker` may take to answer.
    pub host_deadline: Duration,
    /// Where the supervisor itself is served; `None`: nowhere.
    pub metrics_addr: Option<SocketAddr>,
    /// Further names under which pages about tasks are shown.
    pub allowed_hosts: Vec<String>,
    /// Who answers the prompts.
    pub agent: AgentKind,
    /// The Claude CLI, where it was named.
    pub claude_bin: Option<PathBuf>,
    /// How many restarts within `window` before a worker is set aside.
    pub max_restarts: u32,
    /// The pause between restarts, from the second on.
    pub cooldown: Duration,
    /// The window in which restarts are counted.
    pub window: Duration,
    /// How long a watcher may hold its lock without a sign of progress before it is taken for hung.
    pub hung_after: Duration,
    /// How long watchers may take to stop their agents.
    pub grace: Duration,
    /// The agents' scratch, where it was named.
    pub scratch_dir: Option<PathBuf>,
    /// How many charged failures a task may have and still be tried again, unless it says otherwise.
    pub max_retries: u32,
    /// Whether a power cut counts.
    pub durability: Durability,
    /// The log.
    pub log: LogConfig,
    /// `otlp` to export traces.
    pub traces_exporter: Option<String>,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// Flags of the command line that are handed on to every watcher as they were given.
    pub passed: Vec<String>,
    /// What takes secrets out of the reasons.
    pub redactor: Redactor,
    /// Where programs are found that a recovery needs.
    pub environment: Environment,
}

impl SupervisorConfig {
    /// Resolves the supervisor's settings.
    pub fn resolve(manner: Manner, settings: &mut Settings, env: &Environment) -> Result<Self, ConfigError> {
        settings.narrow_to_supervisor();
        let mut workers: Vec<WorkerSpec> = settings.take_list("workers", str::parse, DEFAULT_WORKERS)?;
        let mut backups: Vec<WorkerSpec> = settings.take_list("backup", str::parse, "")?;
        for spec in workers.iter_mut().chain(&mut backups).filter(|it| !it.is_placed) {
            if let Some(addr) = settings.of_worker(spec.name.as_str(), "metrics_addr") {
                spec.metrics_addr = address(&addr).map_err(|why| bad(settings, "workers", why))?;
            }
        }
        workers.extend(backups.iter().cloned());
        let config = Self {
            root: settings.take("root", path(env), "/shared")?,
            manner,
            workers,
            backups: backups.into_iter().map(|backup| backup.name).collect(),
            restart: settings.take("restart", str::parse, "exec")?,
            host_deadline: settings.take("host_deadline", some_time, "60s")?,
            metrics_addr: settings.take("metrics_addr", address, "127.0.0.1:9002")?,
            allowed_hosts: settings.take_list("allowed_host", host, "")?,
            agent: settings.take("agent", str::parse, "claude")?,
            claude_bin: settings.take_optional("claude_bin", path(env))?,
            max_restarts: settings.take("max_restarts", number, "3")?,
            cooldown: settings.take("cooldown", parse_duration, "60s")?,
            window: settings.take("window", some_time, "10m")?,
            hung_after: settings.take("hung_after", some_time, "60s")?,
            grace: settings.take("grace", parse_duration, "10s")?,
            scratch_dir: settings.take_optional("scratch_dir", path(env))?,
            max_retries: settings.take("max_retries", number, "3")?,
            durability: settings.take("durability", str::parse, "full")?,
            log: LogConfig::resolve(settings, env)?,
            traces_exporter: settings.take_optional("traces_exporter", text)?,
            otlp_endpoint: settings.take_optional("otlp_endpoint", text)?,
            passed: passed(settings.flags()),
            redactor: env.redactor(),
            environment: env.clone(),
        };
        config.check_workers(settings)?;
        config.check_backups(settings)?;
        Ok(config)
    }

    /// The settings for recovering `worker` in its absence.
    pub fn recovery_of(&self, worker: &WorkerName) -> RecoverConfig {
        RecoverConfig {
            worker: worker.clone(),
            root: self.root.clone(),
            scratch_dir: self.scratch_dir.clone(),
            durability: self.durability,
            max_retries: self.max_retries,
            grace: self.grace,
            log: self.log.clone(),
            redactor: self.redactor.clone(),
            environment: self.environment.clone(),
        }
    }

    /// The command line of the watcher for `worker`, without the program.
    pub fn watcher_args(&self, worker: &WorkerSpec) -> Vec<String> {
        let addr = worker.metrics_addr.map_or_else(|| "none".to_owned(), |addr| addr.to_string());
        let mut args = vec![
            format!("--worker={}", worker.name),
            format!("--root={}", self.root.display()),
            format!("--metrics-addr={addr}"),
        ];
        args.extend(self.passed.iter().cloned());
        args
    }

    fn check_workers(&self, settings: &Settings) -> Result<(), ConfigError> {
        let twice = self
            .workers
            .iter()
            .enumerate()
            .find(|(n, worker)| self.workers[..*n].iter().any(|earlier| earlier.name == worker.name));
        let why = match twice {
            Some((_, worker)) => format!("names `{}` twice", worker.name),
            None if self.workers.len() == self.backups.len() => "names no worker".to_owned(),
            None => return Ok(()),
        };
        Err(bad(settings, "workers", why))
    }

    /// A backup has to be started and ended by us.
    fn check_backups(&self, settings: &Settings) -> Result<(), ConfigError> {
        let by_us = matches!(self.restart, RestartBy::Exec | RestartBy::Systemd);
        if by_us || self.backups.is_empty() {
            return Ok(());
        }
        let why = "needs --restart exec or systemd: with another, a backup could not be started and ended";
        Err(bad(settings, "backup", why.to_owned()))
    }
}

fn bad(settings: &Settings, key: &'static str, why: String) -> ConfigError {
    let shown = settings.shown().iter().find(|shown| shown.key == key);
    ConfigError::Bad {
        key,
        text: shown.map(|shown| shown.value.clone()).unwrap_or_default(),
        origin: shown.map_or(super::error::Origin::Default, |shown| shown.origin.clone()),
        why,
    }
}

/// The flags that a watcher understands too and that are not said for each one anyway.
fn passed<'a>(flags: impl Iterator<Item = &'a Given>) -> Vec<String> {
    const ALSO_THE_WATCHERS: &[&str] = &[
        "config",
        "allowed_host",
        "claude_bin",
        "agent",
        "concurrency",
        "grace",
        "workdir_root",
        "scratch_dir",
        "durability",
        "allow_nfs",
        "log_dir",
        "log_level",
        "log_format",
        "agent_timeout",
        "idle_timeout",
        "visibility_timeout",
        "max_output",
        "agent_memory",
        "cgroup",
        "confine",
        "agent_writes",
        "agent_submits",
        "agent_depth",
        "max_retries",
        "api_requests_per_minute",
        "on_rate_limit",
        "budget_usd_per_hour",
        "budget_usd_per_day",
        "budget_tokens_per_hour",
        "budget_tokens_per_day",
        "reserve",
        "reserve_inodes",
        "reserve_memory",
        "agent_env",
        "traces_exporter",
        "otlp_endpoint",
        "retention_days",
        "retention_gb",
        "log_max_mb",
        "log_keep",
        "pipe_mode",
        "pipe_group",
    ];
    let mut args = Vec::new();
    for given in flags {
        if given.key == "debug" {
            args.push("--debug".to_owned());
        } else if ALSO_THE_WATCHERS.contains(&given.key) {
            let flag = given.key.replace('_', "-");
            args.extend(given.values.iter().map(|value| format!("--{flag}={value}")));
        }
    }
    args
}

/// The settings of `supervisor recover`.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoverConfig {
    /// Whose tasks are recovered.
    pub worker: WorkerName,
    /// The root, absolute.
    pub root: PathBuf,
    /// The agents' scratch, where it was named.
    pub scratch_dir: Option<PathBuf>,
    /// Whether a power cut counts.
    pub durability: Durability,
    /// How many charged failures a task may have and still be tried again, unless it says otherwise.
    pub max_retries: u32,
    /// How long agents may take to stop before they are killed.
    pub grace: Duration,
    /// The log.
    pub log: LogConfig,
    /// What takes secrets out of what is recorded.
    pub redactor: Redactor,
    /// Where programs are found that it needs.
    pub environment: Environment,
}

impl RecoverConfig {
    /// Resolves the settings for recovering `worker`.
    pub fn resolve(
        worker: WorkerName,
        settings: &mut Settings,
        env: &Environment,
    ) -> Result<Self, ConfigError> {
        settings.narrow_to(&worker);
        Ok(Self {
            worker,
            root: settings.take("root", path(env), "/shared")?,
            scratch_dir: settings.take_optional("scratch_dir", path(env))?,
            durability: settings.take("durability", str::parse, "full")?,
            max_retries: settings.take("max_retries", number, "3")?,
            grace: settings.take("grace", parse_duration, "10s")?,
            log: LogConfig::resolve(settings, env)?,
            redactor: env.redactor(),
            environment: env.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Origin;
    use super::*;

    fn given(key: &'static str, values: &[&str], origin: Origin) -> Given {
        Given { key, values: values.iter().map(|value| (*value).to_owned()).collect(), origin }
    }

    fn resolve(given: Vec<Given>) -> Result<SupervisorConfig, ConfigError> {
        SupervisorConfig::resolve(Manner::Up, &mut Settings::new(given, None), &Environment::of(&[]))
    }

    #[test]
    fn three_workers_with_their_ports_are_the_default() {
        let config = resolve(vec![]).unwrap();
        let shown: Vec<String> = config.workers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["marie=127.0.0.1:9091", "anga=127.0.0.1:9092", "fabien=127.0.0.1:9093"]);
        assert_eq!((config.max_restarts, config.cooldown.as_secs()), (3, 60));
    }

    #[test]
    fn a_worker_of_any_name_takes_an_address() {
        let config = resolve(vec![given("workers", &["marie,bob=9095", "eve"], Origin::Flag)]).unwrap();
        let shown: Vec<String> = config.workers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["marie=127.0.0.1:9091", "bob=127.0.0.1:9095", "eve=none"]);
    }

    #[test]
    fn one_file_serves_the_supervisor_and_its_workers() {
        let text = "cooldown = 5\n[supervisor]\nworkers = [\"marie\", \"bob\", \"eve=9097\"]\nmetrics_addr = 9001\n\
                    [workers.bob]\nmetrics_addr = 9095\n[workers.eve]\nmetrics_addr = 9096\n";
        let file = super::super::file::ConfigFile::parse("/f.toml".as_ref(), text).unwrap();
        let config = SupervisorConfig::resolve(
            Manner::Run,
            &mut Settings::new(Vec::new(), Some(file)),
            &Environment::of(&[]),
        )
        .unwrap();
        let shown: Vec<String> = config.workers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["marie=127.0.0.1:9091", "bob=127.0.0.1:9095", "eve=127.0.0.1:9097"]);
        assert_eq!(config.metrics_addr, Some("127.0.0.1:9001".parse().unwrap()));
        assert_eq!(config.cooldown.as_secs(), 5);
    }

    #[test]
    fn nobody_is_looked_after_twice() {
        for text in ["marie,marie=9095", ","] {
            assert!(resolve(vec![given("workers", &[text], Origin::Flag)]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_watcher_is_told_what_the_command_line_said_and_nothing_it_can_read_itself() {
        let config = resolve(vec![
            given("concurrency", &["2"], Origin::Flag),
            given("workdir_root", &["/a", "/b"], Origin::Flag),
            given("max_retries", &["9"], Origin::Environment("MAX_RETRIES")),
            given("max_restarts", &["9"], Origin::Flag),
            given("debug", &["true"], Origin::Flag),
        ])
        .unwrap();
        assert_eq!(
            config.watcher_args(&config.workers[0]),
            [
                "--worker=marie",
                "--root=/shared",
                "--metrics-addr=127.0.0.1:9091",
                "--concurrency=2",
                "--workdir-root=/a",
                "--workdir-root=/b",
                "--debug"
            ]
        );
    }
}
