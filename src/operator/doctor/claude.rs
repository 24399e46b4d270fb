//! Looking for the Claude CLI and asking it what costs nothing. Thin.
//!
//! Invariants:
//! - it is asked only for its version, and a version that is known to answer locally whether it is logged in, that:
//!   to an older one the words would be a prompt, which costs money;
//! - no secret is read or printed: that there is one is all that is looked for.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::facts::{ClaudeSeen, DEADLINE, Login};
use crate::agent::version::version_of;
use crate::clock::Clock;
use crate::config::Environment;
use crate::os::process::asking::{self, Answer};

/// The first version that was seen to know `auth status`.
const AUTH_SINCE: [u32; 3] = [2, 1, 330];

/// What is let through to it: where it lives, and how it is logged in.
const ALLOWED: [&str; 6] =
    ["HOME", "PATH", "USER", "LOGNAME", "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_OAUTH_TOKEN"];
const ALLOWED_PREFIXES: [&str; 2] = ["ANTHROPIC_", "CLAUDE_CODE_USE_"];

/// Looks at the CLI that `named` or the environment says.
pub(super) fn look(named: Option<&Path>, env: &Environment, clock: &dyn Clock) -> ClaudeSeen {
    let program = find(named, env);
    let Ok(path) = program.clone() else {
        let login = guess(env);
        return ClaudeSeen { program, is_executable: false, version: None, login };
    };
    let is_executable = path.is_file() && nix::unistd::access(&path, nix::unistd::AccessFlags::X_OK).is_ok();
    let version = is_executable.then(|| match ask(&path, &["--version"], env, clock) {
        Ok(Answer { code: Some(0), text }) => Ok(text.trim().to_owned()),
        Ok(Answer { code, .. }) => {
            Err(code.map_or("it was killed".to_owned(), |code| format!("it ended with {code}")))
        }
        Err(error) => Err(error.to_string()),
    });
    let knows_auth = version.iter().flatten().any(|text| version_of(text).is_some_and(|it| it >= AUTH_SINCE));
    let told = knows_auth
        .then(|| ask(&path, &["auth", "status"], env, clock).ok())
        .flatten()
        .and_then(|it| told(&it.text));
    ClaudeSeen { program, is_executable, version, login: told.unwrap_or_else(|| guess(env)) }
}

fn find(named: Option<&Path>, env: &Environment) -> Result<PathBuf, String> {
    let named = named
        .map(Path::to_owned)
        .or_else(|| env.get("CLAUDE_BIN").filter(|it| !it.is_empty()).map(PathBuf::from));
    if let Some(path) = named.map(|path| env.absolute(&path)) {
        return if path.exists() { Ok(path) } else { Err(format!("`{}` is not there", path.display())) };
    }
    let found = env.search_path().into_iter().map(|dir| dir.join("claude")).find(|it| it.is_file());
    found.ok_or_else(|| "there is no `claude` in PATH".to_owned())
}

fn ask(path: &Path, args: &[&str], env: &Environment, clock: &dyn Clock) -> std::io::Result<Answer> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one question that is asked of the CLI outside of a run"
    )]
    let mut command = Command::new(path);
    let passes = |name: &OsStr| {
        name.to_str().is_some_and(|name| {
            ALLOWED.contains(&name) || ALLOWED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
    };
    command.args(args).env_clear().envs(env.vars().filter(|(name, _)| passes(name)));
    command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("DISABLE_AUTOUPDATER", "1");
    asking::ask(&mut command, DEADLINE, clock)
}

fn told(text: &str) -> Option<Login> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let method = value["authMethod"].as_str().unwrap_or("none").to_owned();
    Some(Login::Told { is_in: value["loggedIn"].as_bool()?, method })
}

fn guess(env: &Environment) -> Login {
    let has = |name: &str| env.get(name).is_some_and(|it| !it.is_empty());
    let home = || env.get("HOME").map(|home| Path::new(home).join(".claude"));
    let folder = env.get("CLAUDE_CONFIG_DIR").map(PathBuf::from).or_else(home);
    Login::Guessed {
        credentials: folder.is_some_and(|it| it.join(".credentials.json").exists()),
        key: ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"]
            .iter()
            .any(|name| has(name)),
    }
}
