//! The environment of the CLI: what is let through, and what makes it well-behaved.
//!
//! Invariants:
//! - a name that is on no list does not reach the agent, and with it no secret of ours;
//! - nothing of an outer CLI session, of the service manager or of the dynamic linker gets through, not even when
//!   somebody allows it;
//! - what we set ourselves wins over what was there.
//!
//! It deliberately does not read any environment: the outer one is handed to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::task::{RunId, TaskName, WorkerName};

/// What the environment says about the run itself.
#[derive(Clone, Debug)]
pub struct RunEnv {
    /// The run: its identifier is the cookie by which leftovers are told.
    pub run: RunId,
    /// The task's name.
    pub task: TaskName,
    /// The worker's name.
    pub worker: WorkerName,
    /// The run's own scratch folder. Sockets are made in it, so its path should stay below 80 bytes.
    pub scratch: PathBuf,
    /// The pipe on which the agent may say something to its worker.
    pub pipe: PathBuf,
    /// The W3C trace context that the agent's spans belong to: `TRACEPARENT`, and `TRACESTATE` where there is one.
    pub trace: Option<(String, Option<String>)>,
}

/// Names that are let through.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "API_TIMEOUT_MS",
    "BASH_DEFAULT_TIMEOUT_MS",
    "BASH_MAX_OUTPUT_LENGTH",
    "BASH_MAX_TIMEOUT_MS",
    "CLAUDE_CODE_API_KEY_HELPER_TTL_MS",
    "CLAUDE_CODE_CLIENT_CERT",
    "CLAUDE_CODE_CLIENT_KEY",
    "CLAUDE_CODE_CLIENT_KEY_PASSPHRASE",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CONFIG_DIR",
    "DISABLE_COST_WARNINGS",
    "DISABLE_ERROR_REPORTING",
    "DISABLE_PROMPT_CACHING",
    "DISABLE_TELEMETRY",
    "MAX_THINKING_TOKENS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TRACEPARENT",
    "TRACESTATE",
];

/// Beginnings of names that are let through.
const ALLOWED_PREFIXES: &[&str] = &["LC_", "ANTHROPIC_"];

/// Some switches need further names: of the cloud that serves the model, of the collector that the agent's own telemetry
/// goes to. The switch, then what it opens.
const SWITCHES: &[(&str, &[&str])] = &[
    ("CLAUDE_CODE_USE_BEDROCK", &["AWS_", "CLAUDE_CODE_SKIP_BEDROCK_AUTH"]),
    (
        "CLAUDE_CODE_USE_VERTEX",
        &["CLOUD_ML_", "GOOGLE_", "GCLOUD_", "VERTEX_", "CLAUDE_CODE_SKIP_VERTEX_AUTH"],
    ),
    ("CLAUDE_CODE_USE_FOUNDRY", &["AZURE_", "CLAUDE_CODE_SKIP_FOUNDRY_AUTH"]),
    (
        "CLAUDE_CODE_ENABLE_TELEMETRY",
        &["OTEL_", "CLAUDE_CODE_ENABLE_TELEMETRY", "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA"],
    ),
];

/// Names that never get through, whoever allows them: they belong to another process than the agent.
const NEVER: &[&str] = &[
    "CLAUDECODE",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_MESSAGING_TOKEN",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_PID",
    "AI_AGENT",
    "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NODE_OPTIONS",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Beginnings of such names: what the dynamic linker obeys.
const NEVER_PREFIXES: &[&str] = &["LD_"];

/// What a command is looked up in when the outer environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The agent's environment. `extra` holds further names to let through, each whole or with a `*` at its end.
pub fn environment(
    outer: impl IntoIterator<Item = (OsString, OsString)>,
    extra: &[String],
    run: &RunEnv,
) -> Vec<(OsString, OsString)> {
    let outer: Vec<_> = outer.into_iter().collect();
    let opened = opened(&outer);
    let ours = own(run);
    // A state belongs to its parent, and to no other.
    let is_ours = |name: &str| {
        ours.iter().any(|(own, _)| *own == name) || (name == "TRACESTATE" && run.trace.is_some())
    };
    let passes = |name: &str| {
        !is_never(name) && !is_ours(name) && (is_allowed(name, &opened) || is_extra(name, extra))
    };
    let mut env: Vec<_> = outer.into_iter().filter(|(name, _)| name.to_str().is_some_and(passes)).collect();
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    env.extend(ours.into_iter().map(|(name, value)| (name.into(), value)));
    env
}

/// The environment of a question that is asked of the CLI outside of a run: what an agent would get, without a run's
/// own names.
pub fn for_a_question(
    outer: impl IntoIterator<Item = (OsString, OsString)>,
    extra: &[String],
    scratch: &Path,
) -> Vec<(OsString, OsString)> {
    let outer: Vec<_> = outer.into_iter().collect();
    let opened = opened(&outer);
    let ours: [(&str, OsString); 4] = [
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".into()),
        ("DISABLE_AUTOUPDATER", "1".into()),
        ("TERM", "dumb".into()),
        ("TMPDIR", scratch.into()),
    ];
    let passes = |name: &str| {
        let is_ours = ours.iter().any(|(own, _)| *own == name);
        !is_never(name) && !is_ours && (is_allowed(name, &opened) || is_extra(name, extra))
    };
    let mut env: Vec<_> = outer.into_iter().filter(|(name, _)| name.to_str().is_some_and(passes)).collect();
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    env.extend(ours.into_iter().map(|(name, value)| (name.into(), value)));
    env
}

/// The same for a command that is no agent: without what pays for the agent and what leads to its worker, unless `extra`
/// names it, whole.
pub fn without_credentials(env: Vec<(OsString, OsString)>, extra: &[String]) -> Vec<(OsString, OsString)> {
    let prefixes = || SWITCHES.iter().flat_map(|(_, names)| names.iter()).chain(&["ANTHROPIC_", "CLAUDE_"]);
    let is_the_agent_s =
        |name: &str| name == "AGENT_PIPE" || prefixes().any(|prefix| name.starts_with(prefix));
    let is_named = |name: &str| extra.iter().any(|it| it == name);
    env.into_iter()
        .filter(|(name, _)| name.to_str().is_some_and(|name| is_named(name) || !is_the_agent_s(name)))
        .collect()
}

/// What we set, whatever was there.
fn own(run: &RunEnv) -> Vec<(&'static str, OsString)> {
    let mut own: Vec<(&'static str, OsString)> = vec![
        // A command that outlives its timeout is ended instead of going on behind the answer.
        ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1".into()),
        // Long waits are ours to schedule: the default is ten tries, three minutes, also for a wrong key.
        ("CLAUDE_CODE_MAX_RETRIES", "2".into()),
        ("DISABLE_AUTOUPDATER", "1".into()),
        ("TERM", "dumb".into()),
        ("TMPDIR", run.scratch.clone().into()),
        ("CLAUDE_CODE_TMPDIR", run.scratch.clone().into()),
        ("AGENT_RUN_ID", run.run.to_string().into()),
        ("AGENT_TASK", run.task.as_str().into()),
        ("AGENT_WORKER", run.worker.as_str().into()),
        ("AGENT_PIPE", run.pipe.clone().into()),
    ];
    if let Some((parent, state)) = &run.trace {
        own.push(("TRACEPARENT", parent.into()));
        own.extend(state.iter().map(|state| ("TRACESTATE", state.into())));
    }
    own
}

/// The beginnings of names that the switches that are on need.
fn opened(outer: &[(OsString, OsString)]) -> Vec<&'static str> {
    let is_on =
        |switch: &str| outer.iter().any(|(name, value)| name == switch && !value.is_empty() && value != "0");
    SWITCHES.iter().filter(|(switch, _)| is_on(switch)).flat_map(|(_, names)| names.iter().copied()).collect()
}

fn is_never(name: &str) -> bool {
    NEVER.contains(&name) || NEVER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_allowed(name: &str, opened: &[&str]) -> bool {
    ALLOWED.contains(&name) || ALLOWED_PREFIXES.iter().chain(opened).any(|prefix| name.starts_with(prefix))
}

fn is_extra(name: &str, extra: &[String]) -> bool {
    extra.iter().any(|allowed| match allowed.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == allowed,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn run() -> RunEnv {
        RunEnv {
            run: RunId::mint(),
            task: "t1".parse().unwrap(),
            worker: "marie".parse().unwrap(),
            scratch: "/tmp/marie/run".into(),
            pipe: "/shared/artifacts/run/agent.in".into(),
            trace: None,
        }
    }

    fn passed(outer: &[(&str, &str)], extra: &[&str]) -> BTreeMap<String, String> {
        let outer = outer.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let extra: Vec<String> = extra.iter().map(|&name| name.to_owned()).collect();
        environment(outer, &extra, &run())
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
            .collect()
    }

    #[test]
    fn each_name_passes_or_not() {
        let table = [
            ("HOME", true),
            ("LC_ALL", true),
            ("ANTHROPIC_API_KEY", true),
            ("CLAUDE_CONFIG_DIR", true),
            ("CLAUDE_CODE_OAUTH_TOKEN", true),
            ("HTTPS_PROXY", true),
            ("NODE_EXTRA_CA_CERTS", true),
            ("TRACEPARENT", true),
            ("SECRET_OF_OURS", false),
            ("AWS_SECRET_ACCESS_KEY", false),
            ("SSH_AUTH_SOCK", false),
            ("CREDENTIALS_DIRECTORY", false),
            ("NOTIFY_SOCKET", false),
            ("WATCHDOG_USEC", false),
            ("CLAUDECODE", false),
            ("CLAUDE_CODE_SESSION_ID", false),
            ("CLAUDE_CODE_ENTRYPOINT", false),
            ("LD_PRELOAD", false),
            ("NODE_OPTIONS", false),
            ("IS_SANDBOX", false),
        ];
        for (name, passes) in table {
            assert_eq!(passed(&[(name, "x")], &[]).contains_key(name), passes, "{name}");
        }
    }

    #[test]
    fn a_cloud_opens_its_own_names_only() {
        let bedrock = passed(
            &[("CLAUDE_CODE_USE_BEDROCK", "1"), ("AWS_REGION", "x"), ("GOOGLE_APPLICATION_CREDENTIALS", "x")],
            &[],
        );
        assert!(bedrock.contains_key("AWS_REGION"));
        assert!(!bedrock.contains_key("GOOGLE_APPLICATION_CREDENTIALS"));
        let off = passed(&[("CLAUDE_CODE_USE_BEDROCK", "0"), ("AWS_REGION", "x")], &[]);
        assert!(!off.contains_key("AWS_REGION"));
    }

    #[test]
    fn more_can_be_allowed_but_not_what_is_never_let_through() {
        let outer = [("GH_TOKEN", "x"), ("CARGO_HOME", "x"), ("CLAUDECODE", "1"), ("LD_PRELOAD", "x")];
        let env = passed(&outer, &["GH_TOKEN", "CARGO_*", "CLAUDECODE", "LD_*", "*"]);
        assert!(env.contains_key("GH_TOKEN") && env.contains_key("CARGO_HOME"));
        assert!(!env.contains_key("CLAUDECODE") && !env.contains_key("LD_PRELOAD"));
    }

    #[test]
    fn what_we_set_wins_and_stands_once() {
        let outer = [("TERM", "xterm"), ("TMPDIR", "/var/tmp"), ("CLAUDE_CODE_MAX_RETRIES", "10")];
        let outer = outer.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let env = environment(outer, &["TERM".to_owned(), "*".to_owned()], &run());
        for (name, value) in
            [("TERM", "dumb"), ("TMPDIR", "/tmp/marie/run"), ("CLAUDE_CODE_MAX_RETRIES", "2")]
        {
            let found: Vec<_> = env.iter().filter(|(own, _)| own == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].1, value, "{name}");
        }
    }

    #[test]
    fn a_question_gets_what_an_agent_would_get_and_no_run() {
        let outer = [
            ("HOME", "/h"),
            ("SECRET_OF_OURS", "x"),
            ("GH_TOKEN", "x"),
            ("TMPDIR", "/var/tmp"),
            ("LD_PRELOAD", "x"),
        ];
        let outer = outer.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let env = for_a_question(outer, &["GH_TOKEN".to_owned()], Path::new("/tmp/marie"));
        let mut names: Vec<_> = env.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        names.sort_unstable();
        let expected = [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "GH_TOKEN",
            "HOME",
            "PATH",
            "TERM",
            "TMPDIR",
        ];
        assert_eq!(names, expected);
        assert!(env.contains(&("TMPDIR".into(), "/tmp/marie".into())));
    }

    #[test]
    fn the_agent_knows_its_run_and_can_find_programs() {
        let env = passed(&[], &[]);
        assert_eq!(env["AGENT_TASK"], "t1");
        assert_eq!(env["AGENT_WORKER"], "marie");
        assert_eq!(env["AGENT_PIPE"], "/shared/artifacts/run/agent.in");
        assert!(env["AGENT_RUN_ID"].len() == 36);
        assert_eq!(env["CLAUDE_CODE_DISABLE_BACKGROUND_TASKS"], "1");
        assert_eq!(env["PATH"], DEFAULT_PATH);
    }
}
