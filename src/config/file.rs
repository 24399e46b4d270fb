//! The configuration file: TOML, flat keys named like the flags, and the tables `[supervisor]` and `[workers.<name>]` that
//! override them for one of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::task::WorkerName;
use crate::text::position;

use super::environment::Environment;
use super::error::ConfigError;
use super::near::nearest;

/// Every key that may stand in a file: the long flags with underscores.
pub const KEYS: &[&str] = &[
    "root",
    "worker",
    "workers",
    "metrics_addr",
    "allowed_host",
    "claude_bin",
    "agent",
    "concurrency",
    "grace",
    "workdir_root",
    "scratch_dir",
    "durability",
    "allow_nfs",
    "debug",
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
    "backup",
    "restart",
    "host_deadline",
    "max_restarts",
    "cooldown",
    "window",
    "hung_after",
    "retention_days",
    "retention_gb",
    "retention_days_completed",
    "retention_gb_completed",
    "retention_days_cancelled",
    "retention_gb_cancelled",
    "retention_days_artifacts",
    "retention_gb_artifacts",
    "retention_days_workspaces",
    "retention_gb_workspaces",
    "retention_days_journal",
    "retention_gb_journal",
    "retention_days_logs",
    "retention_gb_logs",
    "retention_every",
    "log_max_mb",
    "log_keep",
    "pipe_mode",
    "pipe_group",
    "batch_size",
    "delay",
    "max_failure_rate",
    "adaptive",
    "leaderless",
];

/// Where something stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}, column {}", self.path.display(), self.line, self.column)
    }
}

/// The values of one key, as the texts a person would have given as flags.
type Values = (Vec<String>, Spot);
/// What stands in one table.
type Table = BTreeMap<String, Values>;

/// Whose table goes before what is said to everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// Nobody's.
    #[default]
    Common,
    /// `[supervisor]`.
    Supervisor,
    /// `[workers.<name>]`.
    Worker(WorkerName),
}

/// A configuration file in memory.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    common: Table,
    supervisor: Table,
    workers: BTreeMap<String, Table>,
}

/// Where a file is looked for that nobody named.
pub(super) const USUAL: &str = "/etc/agent-worker/config.toml";
/// The variable that names one.
pub(super) const VARIABLE: &str = "AGENT_WORKER_CONFIG";

impl ConfigFile {
    /// The file that was `named`, by a flag or by `AGENT_WORKER_CONFIG`; else the one at `/etc/agent-worker/config.toml`, if there is one. `none` is none.
    pub fn find(named: Option<&str>, env: &Environment) -> Result<Option<Self>, ConfigError> {
        match named.filter(|it| !it.is_empty()).or_else(|| env.text(VARIABLE)) {
            Some("none") => Ok(None),
            Some(path) => Self::read(&env.absolute(Path::new(path))).map(Some),
            None => match Self::read(Path::new(USUAL)) {
                Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
                found => found.map(Some),
            },
        }
    }

    /// Reads `path` and checks every key in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Same, from text.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text)
            .map_err(|source| ConfigError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let reader = Reader { path, text };
        let (mut common, mut supervisor, mut workers) = (Table::new(), Table::new(), BTreeMap::new());
        for (key, value) in table.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("workers", DeValue::Table(tables)) => workers = reader.workers(tables)?,
                ("supervisor", DeValue::Table(table)) => supervisor = reader.table(table)?,
                _ => drop(common.insert(reader.known(key)?, reader.values(key, value))),
            }
        }
        Ok(Self { path: path.to_owned(), common, supervisor, workers })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The values of `key` and where they stand, those of `whose` table first; `None` if the file does not say.
    pub fn get(&self, key: &str, whose: &Whose) -> Option<&(Vec<String>, Spot)> {
        let table = match whose {
            Whose::Common => None,
            Whose::Supervisor => Some(&self.supervisor),
            Whose::Worker(worker) => self.workers.get(worker.as_str()),
        };
        table.and_then(|it| it.get(key)).or_else(|| self.common.get(key))
    }

    /// What `[workers.<name>]` says of `key`, as one text.
    pub fn of_worker(&self, worker: &str, key: &str) -> Option<&str> {
        self.workers.get(worker)?.get(key)?.0.first().map(String::as_str)
    }
}

/// The root for whom nobody named one: `SHARED_ROOT`, that of the configuration file, `/shared`. A file that this user may
/// not read says nothing.
pub fn usual_root(env: &Environment) -> Result<PathBuf, ConfigError> {
    if let Some(root) = env.get("SHARED_ROOT") {
        return Ok(env.absolute(Path::new(root)));
    }
    let file = match ConfigFile::find(None, env) {
        Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::PermissionDenied => None,
        found => found?,
    };
    let said = file.as_ref().and_then(|it| it.get("root", &Whose::Common)?.0.first());
    Ok(env.absolute(Path::new(said.map_or("/shared", String::as_str))))
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

type Key<'a> = Spanned<Cow<'a, str>>;

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>) -> Result<Table, ConfigError> {
        table.iter().map(|(key, value)| Ok((self.known(key)?, self.values(key, value)))).collect()
    }

    fn workers(&self, tables: &DeTable<'_>) -> Result<BTreeMap<String, Table>, ConfigError> {
        let mut workers = BTreeMap::new();
        for (name, table) in tables {
            let is_name = name.get_ref().parse::<WorkerName>().is_ok();
            let Some(table) = table.get_ref().as_table().filter(|_| is_name) else {
                return Err(self.unknown(name, None));
            };
            workers.insert(name.get_ref().as_ref().to_owned(), self.table(table)?);
        }
        Ok(workers)
    }

    fn known(&self, key: &Key<'_>) -> Result<String, ConfigError> {
        let name = key.get_ref().as_ref();
        if KEYS.contains(&name) {
            return Ok(name.to_owned());
        }
        Err(self.unknown(key, nearest(name, KEYS.iter().copied())))
    }

    fn values(&self, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Values {
        (texts(value.get_ref()), self.spot(key))
    }

    fn unknown(&self, key: &Key<'_>, near: Option<&str>) -> ConfigError {
        ConfigError::Unknown {
            at: self.spot(key),
            key: key.get_ref().as_ref().to_owned(),
            near: near.map(str::to_owned),
        }
    }

    fn spot(&self, key: &Key<'_>) -> Spot {
        let (line, column) = position(self.text, key.span().start);
        Spot { path: self.path.to_owned(), line, column }
    }
}

fn texts(value: &DeValue<'_>) -> Vec<String> {
    match value {
        DeValue::Array(values) => values.iter().flat_map(|it| texts(it.get_ref())).collect(),
        DeValue::String(text) => vec![text.as_ref().to_owned()],
        DeValue::Integer(number) => vec![number.to_string()],
        DeValue::Float(number) => vec![number.to_string()],
        DeValue::Boolean(it) => vec![it.to_string()],
        DeValue::Datetime(at) => vec![at.to_string()],
        DeValue::Table(_) => vec!["a table".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, ConfigError> {
        ConfigFile::parse(Path::new("/etc/agent-worker.toml"), text)
    }

    #[test]
    fn the_table_of_one_overrides_the_rest() {
        let text = "grace = 10\nworkdir_root = [\"/a\", \"/b\"]\n[workers.marie]\ngrace = \"20s\"\n[supervisor]\ngrace = 5";
        let file = parse(text).unwrap();
        let marie = Whose::Worker("marie".parse().unwrap());
        let get = |key, whose| file.get(key, whose).map(|(texts, at)| (texts.join(" "), at.line, at.column));
        assert_eq!(get("grace", &marie), Some(("20s".to_owned(), 4, 1)));
        assert_eq!(get("grace", &Whose::Common), Some(("10".to_owned(), 1, 1)));
        assert_eq!(get("grace", &Whose::Supervisor), Some(("5".to_owned(), 6, 1)));
        assert_eq!(get("workdir_root", &marie), Some(("/a /b".to_owned(), 2, 1)));
        assert_eq!(get("workers", &Whose::Common), None);
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused_with_the_one_that_was_meant() {
        for (text, place) in [
            ("concurency = 3", "line 1, column 1"),
            ("[workers.marie]\n  concurency = 3", "line 2, column 3"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                matches!(&error, ConfigError::Unknown { near: Some(near), .. } if near == "concurrency"),
                "{error}"
            );
            assert!(error.to_string().contains(place), "{error}");
        }
        assert!(parse("[workers.Marie]\ngrace = 3").is_err());
        assert!(matches!(parse("grace ="), Err(ConfigError::Toml { .. })));
    }
}
