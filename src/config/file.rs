//! The configuration file: TOML, flat keys named like the flags, and `[workers.<name>]` tables that override them for one worker.

use std::path::{Path, PathBuf};

use crate::task::WorkerName;

use super::error::ConfigError;
use super::near::nearest;

/// Every key that may stand in a file: the long flags with underscores.
pub const KEYS: [&str; 62] = [
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
    "agent_submits",
    "agent_depth",
    "max_retries",
    "api_requests_per_minute",
    "on_rate_limit",
    "reserve",
    "reserve_inodes",
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

/// A configuration file in memory.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    table: toml::Table,
}

impl ConfigFile {
    /// Reads `path` and checks every key in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Same, from text.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text
            .parse()
            .map_err(|source| ConfigError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let file = Self { path: path.to_owned(), table };
        file.check()?;
        Ok(file)
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The values of `key`, those for `worker` alone first; `None` if the file does not say.
    pub fn get(&self, key: &str, worker: Option<&WorkerName>) -> Option<Vec<String>> {
        let own = worker.and_then(|worker| self.overrides()?.get(worker.as_str())?.as_table()?.get(key));
        let value = own.or_else(|| self.table.get(key).filter(|value| !value.is_table()))?;
        Some(texts(value))
    }

    fn overrides(&self) -> Option<&toml::Table> {
        self.table.get("workers").and_then(toml::Value::as_table)
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.check_table(&self.table)?;
        for (name, table) in self.overrides().into_iter().flatten() {
            if name.parse::<WorkerName>().is_err() {
                return Err(self.unknown(name, None));
            }
            match table.as_table() {
                Some(table) => self.check_table(table)?,
                None => return Err(self.unknown(&format!("workers.{name}"), None)),
            }
        }
        Ok(())
    }

    fn check_table(&self, table: &toml::Table) -> Result<(), ConfigError> {
        match table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => Err(self.unknown(key, nearest(key, KEYS))),
            None => Ok(()),
        }
    }

    fn unknown(&self, key: &str, near: Option<&str>) -> ConfigError {
        ConfigError::Unknown { path: self.path.clone(), key: key.to_owned(), near: near.map(str::to_owned) }
    }
}

/// A value as the texts a person would have given as flags.
fn texts(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Array(values) => values.iter().flat_map(texts).collect(),
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_) => vec![value.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, ConfigError> {
        ConfigFile::parse(Path::new("/etc/agent-worker.toml"), text)
    }

    #[test]
    fn a_table_of_one_worker_overrides_the_rest() {
        let file =
            parse("grace = 10\nworkdir_root = [\"/a\", \"/b\"]\n[workers.marie]\ngrace = \"20s\"").unwrap();
        let marie: WorkerName = "marie".parse().unwrap();
        assert_eq!(file.get("grace", Some(&marie)), Some(vec!["20s".to_owned()]));
        assert_eq!(file.get("grace", None), Some(vec!["10".to_owned()]));
        assert_eq!(file.get("workdir_root", Some(&marie)), Some(vec!["/a".to_owned(), "/b".to_owned()]));
        assert_eq!(file.get("workers", None), None);
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused_with_the_one_that_was_meant() {
        for text in ["concurency = 3", "[workers.marie]\nconcurency = 3"] {
            let error = parse(text).unwrap_err();
            assert!(
                matches!(&error, ConfigError::Unknown { near: Some(near), .. } if near == "concurrency"),
                "{error}"
            );
        }
        assert!(parse("[workers.Marie]\ngrace = 3").is_err());
        assert!(matches!(parse("grace ="), Err(ConfigError::Toml { .. })));
    }
}
