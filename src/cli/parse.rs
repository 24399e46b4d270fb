//! From the command line to [`Given`]: what was said, and whether a flag or the environment said it.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::config::{ConfigError, ConfigFile, Environment, Exit, Given, KEYS, Origin, Settings};
use crate::operator::Report;

/// Reads `args` (the program first). What clap has to say (help, version, wrong usage) is printed here, and the
/// error is what the program ends with.
pub(super) fn matches(command: Command, args: &[OsString]) -> Result<ArgMatches, Exit> {
    command.try_get_matches_from(args).map_err(|error| refuse(&error))
}

/// Prints what clap has to say; usage errors end with 64, which is not clap's own number.
pub(super) fn refuse(error: &clap::Error) -> Exit {
    drop(error.print());
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// The settings of the flags and the environment in `matches`, over the file that `--config` names, or the usual one.
pub(super) fn settings(matches: &ArgMatches, env: &Environment) -> Result<Settings, ConfigError> {
    let named = matches.try_get_one::<String>("config").ok().flatten();
    let file = ConfigFile::find(named.map(String::as_str), env)?;
    Ok(Settings::new(given(matches), file))
}

/// Prints why there is no configuration, and says how to end.
pub(super) fn misconfigured(error: &ConfigError, env: &Environment) -> Exit {
    Report::new(env).config_error(error);
    error.exit()
}

/// Whether a switch such as `--dry-run` is on.
pub(super) fn is_on(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or(false)
}

fn given(matches: &ArgMatches) -> Vec<Given> {
    KEYS.iter()
        .chain(["config"].iter())
        .filter(|key| matches.try_contains_id(key).unwrap_or(false))
        .filter_map(|key| given_one(matches, key))
        .collect()
}

fn given_one(matches: &ArgMatches, key: &'static str) -> Option<Given> {
    let source = matches.value_source(key)?;
    let origin = if source == ValueSource::CommandLine {
        Origin::Flag
    } else if source == ValueSource::EnvVariable {
        Origin::Environment(variable(key))
    } else {
        return None;
    };
    let values = matches.get_raw(key)?.map(|value| value.to_string_lossy().into_owned()).collect();
    Some(Given { key, values, origin })
}

/// The variable that stands for a setting.
fn variable(key: &str) -> &'static str {
    match key {
        "root" => "SHARED_ROOT",
        "worker" => "WORKER_NAME",
        "metrics_addr" => "METRICS_ADDR",
        "claude_bin" => "CLAUDE_BIN",
        "log_dir" => "LOG_DIR",
        "log_level" => "LOG_LEVEL",
        "agent_timeout" => "AGENT_TIMEOUT",
        "idle_timeout" => "AGENT_IDLE_TIMEOUT",
        "concurrency" => "WORKER_CONCURRENCY",
        "visibility_timeout" => "QUEUE_VISIBILITY_TIMEOUT",
        "max_retries" => "MAX_RETRIES",
        "allow_nfs" => "ALLOW_NFS",
        "reserve" => "DISK_RESERVE",
        "budget_usd_per_hour" => "BUDGET_USD_PER_HOUR",
        "budget_usd_per_day" => "BUDGET_USD_PER_DAY",
        "budget_tokens_per_hour" => "BUDGET_TOKENS_PER_HOUR",
        "budget_tokens_per_day" => "BUDGET_TOKENS_PER_DAY",
        "pipe_mode" => "PIPE_MODE",
        "pipe_group" => "PIPE_GROUP",
        "traces_exporter" => "OTEL_TRACES_EXPORTER",
        "otlp_endpoint" => "OTEL_EXPORTER_OTLP_ENDPOINT",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::{agentctl, supervisor, watcher};
    use super::*;

    #[test]
    fn the_grammars_are_sound() {
        watcher::Watcher::command().debug_assert();
        supervisor::Supervisor::command().debug_assert();
        agentctl::Agentctl::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_key_of_the_file_and_its_variable_is_known_by_name() {
        let talk = [
            "print_config",
            "config",
            "help",
            "version",
            "dry_run",
            "json",
            "end_agents",
            "duration",
            "interval",
            "abandon",
        ];
        let supervisor = supervisor::Supervisor::command();
        let commands = supervisor.get_subcommands().cloned().chain([watcher::Watcher::command()]);
        for command in commands {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let id = arg.get_id().as_str();
                assert!(KEYS.contains(&id) || talk.contains(&id), "{id}");
                if let Some(name) = arg.get_env() {
                    assert_eq!(variable(id), name, "{id}");
                }
            }
        }
    }

    #[test]
    fn a_flag_is_told_from_silence() {
        let args: Vec<OsString> = ["watcher", "--worker", "marie", "--workdir-root=/a", "--workdir-root=/b"]
            .map(OsString::from)
            .into();
        let matches = watcher::Watcher::command().try_get_matches_from(args).unwrap();
        let given = given(&matches);
        let find = |key| given.iter().find(|given| given.key == key && given.origin == Origin::Flag);
        assert_eq!(find("worker").unwrap().values, ["marie"]);
        assert_eq!(find("workdir_root").unwrap().values, ["/a", "/b"]);
        assert_eq!(find("grace"), None);
        assert_eq!(find("debug"), None);
    }
}
