//! What a configuration that was read again changes: some of it at once, the rest with the next start. Pure.

use std::fmt;

use super::settings::Shown;
use super::watcher::WatcherConfig;

/// The settings of a watcher that are taken over while it works. Everything else is bound to what was opened, locked or
/// started with it.
const AT_ONCE: &[&str] = &[
    "claude_bin",
    "concurrency",
    "grace",
    "workdir_root",
    "agent_timeout",
    "idle_timeout",
    "visibility_timeout",
    "max_output",
    "agent_memory",
    "max_retries",
    "agent_submits",
    "agent_depth",
    "reserve_memory",
    "agent_env",
    "budget_usd_per_hour",
    "budget_usd_per_day",
    "budget_tokens_per_hour",
    "budget_tokens_per_day",
    "log_level",
    "debug",
];

/// A setting that is another one now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub key: &'static str,
    /// What it was; empty for none.
    pub from: String,
    /// What it is; empty for none.
    pub to: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
        write!(f, "{} from {} to {}", self.key, word(&self.from), word(&self.to))
    }
}

/// All that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What holds from now on.
    pub at_once: Vec<Change>,
    /// What holds from the next start on.
    pub with_a_start: Vec<Change>,
}

impl Changes {
    /// What is different in `after`; both as they were resolved.
    pub fn between(before: &[Shown], after: &[Shown]) -> Self {
        let mut changes = Self::default();
        for shown in after {
            let old = before.iter().find(|it| it.key == shown.key).map(|it| it.value.as_str());
            let from = old.unwrap_or_default();
            if from == shown.value {
                continue;
            }
            let change = Change { key: shown.key, from: from.to_owned(), to: shown.value.clone() };
            let list =
                if AT_ONCE.contains(&shown.key) { &mut changes.at_once } else { &mut changes.with_a_start };
            list.push(change);
        }
        changes
    }
}

/// In one sentence.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |changes: &[Change]| changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (self.at_once.as_slice(), self.with_a_start.as_slice()) {
            ([], []) => f.write_str("nothing changed"),
            (now, []) => write!(f, "changed: {}", list(now)),
            ([], later) => write!(f, "needs a restart: {}", list(later)),
            (now, later) => write!(f, "changed: {}; needs a restart: {}", list(now), list(later)),
        }
    }
}

impl WatcherConfig {
    /// These settings with what of `new` can be taken over without a restart.
    #[must_use]
    pub fn taking(&self, new: &Self) -> Self {
        Self {
            claude_bin: new.claude_bin.clone(),
            concurrency: new.concurrency,
            grace: new.grace,
            workdir_roots: new.workdir_roots.clone(),
            agent_timeout: new.agent_timeout,
            idle_timeout: new.idle_timeout,
            visibility_timeout: new.visibility_timeout,
            max_output: new.max_output,
            agent_memory: new.agent_memory,
            reserve_memory: new.reserve_memory,
            max_retries: new.max_retries,
            agent_submits: new.agent_submits,
            agent_depth: new.agent_depth,
            agent_env: new.agent_env.clone(),
            budget: new.budget,
            log: super::watcher::LogConfig { level: new.log.level, ..self.log.clone() },
            debug: new.debug,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::environment::Environment;
    use super::super::file::ConfigFile;
    use super::super::settings::Settings;
    use super::*;

    fn resolve(text: &str) -> (WatcherConfig, Vec<Shown>) {
        let text = format!("worker = \"marie\"\n{text}\n");
        let file = ConfigFile::parse(Path::new("/f.toml"), &text).unwrap();
        let mut settings = Settings::new(Vec::new(), Some(file));
        let config = WatcherConfig::resolve(&mut settings, &Environment::of(&[])).unwrap();
        (config, settings.shown().to_vec())
    }

    /// A line for each setting of a watcher that differs from the default.
    const OTHERS: &[&str] = &[
        "root = \"/r\"",
        "metrics_addr = \"none\"",
        "allowed_host = \"h\"",
        "claude_bin = \"/c\"",
        "agent = \"echo\"",
        "concurrency = 9",
        "grace = 9",
        "workdir_root = [\"/w\"]",
        "scratch_dir = \"/s\"",
        "durability = \"none\"",
        "allow_nfs = true",
        "debug = true",
        "log_dir = \"/l\"",
        "log_level = \"warn\"",
        "log_format = \"bracket\"",
        "agent_timeout = 9",
        "idle_timeout = 9",
        "visibility_timeout = 9",
        "max_output = 9999",
        "agent_memory = \"1GiB\"",
        "cgroup = \"none\"",
        "confine = \"none\"",
        "reserve_memory = 9",
        "agent_submits = 9",
        "agent_depth = 9",
        "max_retries = 9",
        "api_requests_per_minute = 9",
        "on_rate_limit = \"fail\"",
        "budget_usd_per_hour = 9.5",
        "budget_usd_per_day = 9",
        "budget_tokens_per_hour = 9",
        "budget_tokens_per_day = 9",
        "reserve = 9",
        "agent_env = [\"A\"]",
        "traces_exporter = \"otlp\"",
        "otlp_endpoint = \"http://x\"",
        "log_max_mb = 9",
        "pipe_mode = \"0600\"",
        "retention_days = 9",
    ];

    #[test]
    fn what_is_said_to_hold_at_once_does_and_nothing_else() {
        let (before, shown) = resolve("");
        for line in OTHERS {
            let (after, then) = resolve(line);
            let changes = Changes::between(&shown, &then);
            let taken = before.taking(&after);
            let is_taken = taken == after;
            assert_ne!(before, after, "{line}: it is no change");
            assert_eq!(is_taken, changes.with_a_start.is_empty(), "{line}: {changes}");
            assert_eq!(!is_taken, taken == before, "{line}: {changes}");
            assert!(changes.to_string().contains(line.split(' ').next().unwrap()), "{line}: {changes}");
        }
        let keys: Vec<_> = OTHERS.iter().map(|it| it.split(' ').next().unwrap()).collect();
        assert!(AT_ONCE.iter().all(|key| keys.contains(key)));
    }

    #[test]
    fn it_is_said_in_one_sentence() {
        let (_, before) = resolve("");
        let said = |text: &str| Changes::between(&before, &resolve(text).1).to_string();
        assert_eq!(said(""), "nothing changed");
        assert_eq!(said("max_retries = 5"), "changed: max_retries from 3 to 5");
        assert_eq!(
            said("max_retries = 5\nroot = \"/x\"\nclaude_bin = \"/c\""),
            "changed: claude_bin from nothing to /c, max_retries from 3 to 5; needs a restart: root from /shared to /x"
        );
    }
}
