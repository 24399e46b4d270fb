//! Parts of the real world that a test needs: programs that may or may not be on this machine.

use std::path::PathBuf;

/// The program `name` on `PATH`. Where it is missing the test is told to skip, aloud; with `REQUIRE_REAL=1` in
/// the environment it fails instead.
#[expect(clippy::print_stdout, reason = "a skip is told to whoever runs the tests")]
#[expect(clippy::disallowed_methods, reason = "whether a skip is allowed is said by whoever runs the tests")]
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os("REQUIRE_REAL").is_some_and(|value| value == "1");
        assert!(!required, "`{name}` is not on PATH, and REQUIRE_REAL=1 asks for it");
        println!("skipped: `{name}` is not on PATH (Debian: apt-get install prometheus)");
    }
    found
}
