//! Which account at which API a worker speaks for, as a name that can stand in a path and in a log.
//!
//! Invariants:
//! - the name gives no secret away: of a key or a token only a short digest is in it;
//! - workers with the same address and the same credentials have the same name, wherever they run.
//!
//! It deliberately does not know whether the credentials are any good.

use std::path::Path;

use uuid::Uuid;

use crate::config::Environment;

/// Where requests go without a word about it.
const USUAL: &str = "https://api.anthropic.com";

/// Other clouds, by the variable that chooses them.
const CLOUDS: [(&str, &str); 2] =
    [("CLAUDE_CODE_USE_BEDROCK", "amazon-bedrock"), ("CLAUDE_CODE_USE_VERTEX", "google-vertex")];

/// What the CLI logs in with, the first that is set before what stands in its folder.
const CREDENTIALS: [&str; 3] = ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"];

/// An account at an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Where requests go, without a user's name, a password or a query.
    pub endpoint: String,
    /// Its name: the host, and a digest.
    pub key: String,
}

impl Account {
    /// The account for which agents of this environment speak.
    pub fn of(env: &Environment, config_dir: Option<&Path>) -> Self {
        let cloud = CLOUDS.iter().find(|(variable, _)| env.get(variable).is_some()).map(|(_, name)| *name);
        let given = env.text("ANTHROPIC_BASE_URL").unwrap_or(USUAL);
        let endpoint = cloud.map_or_else(|| plain(given), str::to_owned);
        let credential = CREDENTIALS.iter().find_map(|name| env.get(name));
        let who = credential.or(config_dir.map(Path::as_os_str)).unwrap_or_default();
        let told = [endpoint.as_bytes(), b"\0", std::os::unix::ffi::OsStrExt::as_bytes(who)].concat();
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_URL, &told).simple().to_string();
        Self { key: format!("{}-{}", host(&endpoint), &digest[..12]), endpoint }
    }
}

/// The address without what may be secret in it.
fn plain(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The host, in letters that a path and a terminal take as they are.
fn host(endpoint: &str) -> String {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' };
    let name: String = host.trim_start_matches('.').chars().take(64).map(safe).collect();
    if name.is_empty() { "api".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vars: &[(&str, &str)]) -> Account {
        Account::of(&Environment::of(vars), Some(Path::new("/home/a/.claude")))
    }

    #[test]
    fn the_same_credentials_at_the_same_address_are_one_account() {
        let key = ("ANTHROPIC_API_KEY", "sk-ant-secret-1");
        assert_eq!(of(&[key]), of(&[key, ("HOME", "/elsewhere")]));
        assert_ne!(of(&[key]).key, of(&[("ANTHROPIC_API_KEY", "sk-ant-secret-2")]).key);
        assert_ne!(of(&[key]).key, of(&[]).key, "a login in a folder is another one");
        assert_ne!(of(&[key]).key, of(&[key, ("ANTHROPIC_BASE_URL", "http://proxy:8080")]).key);
        assert_ne!(of(&[key]).key, of(&[key, ("CLAUDE_CODE_USE_BEDROCK", "1")]).key);
    }

    #[test]
    fn no_secret_is_in_the_name_or_the_address() {
        let account = of(&[
            ("ANTHROPIC_API_KEY", "sk-ant-secret-1"),
            ("ANTHROPIC_BASE_URL", "https://me:password@proxy.example:8443/v1/?token=hidden"),
        ]);
        assert_eq!(account.endpoint, "https://proxy.example:8443/v1");
        let said = format!("{account:?}");
        for secret in ["sk-ant", "secret", "password", "hidden"] {
            assert!(!said.contains(secret), "{said}");
        }
    }

    #[test]
    fn whatever_the_address_is_the_name_is_one_of_a_file() {
        for (url, begins) in [
            ("", "api.anthropic.com-"),
            ("https://api.anthropic.com/", "api.anthropic.com-"),
            ("http://127.0.0.1:8080", "127.0.0.1_8080-"),
            ("../../etc/passwd", "api-"),
            ("http://[::1]:9/x", "___1__9-"),
            ("nonsense\n\u{1b}[31m", "nonsense___31m-"),
        ] {
            let key = of(&[("ANTHROPIC_BASE_URL", url)]).key;
            assert!(key.starts_with(begins), "{url}: {key}");
            assert!(!key.contains('/') && key.len() < 100, "{key}");
        }
    }
}
