//! Parts of the real world that a test needs: programs that may or may not be on this machine.

#![allow(dead_code, reason = "not every test that needs a real program needs all of it")]

use std::path::PathBuf;

/// The program `name` on `PATH`. Where it is missing the test is told to skip, aloud; with `REQUIRE_REAL=1` in
/// the environment it fails instead.
#[expect(clippy::disallowed_methods, reason = "where programs lie is said by whoever runs the tests")]
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where programs for administrators lie is not on everybody's path.
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = dirs.map(|dir: PathBuf| dir.join(name)).find(|file| file.is_file());
    found.or_else(|| missing(name))
}

/// The Claude CLI: `CLAUDE_BIN`, else `claude` on `PATH`; missing like any other [`program`].
#[expect(clippy::disallowed_methods, reason = "where programs lie is said by whoever runs the tests")]
pub(crate) fn claude() -> Option<PathBuf> {
    let named = std::env::var_os("CLAUDE_BIN").filter(|it| !it.is_empty()).map(PathBuf::from);
    named.or_else(|| program("claude"))
}

fn missing(name: &str) -> Option<PathBuf> {
    let package = match name {
        "claude" => "npm install -g @anthropic-ai/claude-code, or set CLAUDE_BIN",
        "logrotate" => "Debian: apt-get install logrotate",
        "python3" => "Debian: apt-get install python3",
        "linux.uml" => "Debian: apt-get install user-mode-linux",
        "gdb" => "Debian: apt-get install gdb",
        "cargo-deb" => "cargo install cargo-deb --locked",
        "dpkg-shlibdeps" => "Debian: apt-get install dpkg-dev",
        "lintian" => "Debian: apt-get install lintian",
        "rsync" | "vim.tiny" => "Debian: apt-get install rsync vim-tiny",
        "docker-compose" | "iptables" => "Debian: apt-get install docker-compose iptables",
        "prometheus-alertmanager" | "amtool" => "Debian: apt-get install prometheus-alertmanager",
        _ => "Debian: apt-get install prometheus",
    };
    skip(&format!("`{name}` is not on PATH ({package})"));
    None
}

/// Says why a test is skipped; with `REQUIRE_REAL=1` in the environment it fails instead.
#[expect(clippy::print_stdout, reason = "a skip is told to whoever runs the tests")]
#[expect(clippy::disallowed_methods, reason = "whether a skip is allowed is said by whoever runs the tests")]
pub(crate) fn skip(why: &str) {
    let required = std::env::var_os("REQUIRE_REAL").is_some_and(|value| value == "1");
    assert!(!required, "{why}, and REQUIRE_REAL=1 asks for it");
    println!("skipped: {why}");
}
