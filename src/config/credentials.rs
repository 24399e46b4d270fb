//! Secrets that the service manager hands over as files (`systemd.exec(5)`, `LoadCredential=`): each stands for a variable
//! that nobody set.
//!
//! Invariant: what stands in the environment wins, and a file that is missing, empty, no text or too long is passed over:
//! the CLI may be logged in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The folder of this service's own credentials.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The names of the files, and the variables that they stand for.
const KNOWN: [(&str, &str); 2] =
    [("anthropic-api-key", "ANTHROPIC_API_KEY"), ("claude-code-oauth-token", "CLAUDE_CODE_OAUTH_TOKEN")];

/// A key is much shorter.
const LONGEST: u64 = 64 * 1024;

/// Adds to `vars` what was handed over.
pub(super) fn add_to(vars: &mut BTreeMap<OsString, OsString>) {
    let Some(dir) = vars.get(OsStr::new(DIRECTORY)).map(|dir| Path::new(dir).to_owned()) else { return };
    if !dir.is_absolute() {
        return;
    }
    for (file, variable) in KNOWN {
        if vars.get(OsStr::new(variable)).is_none_or(|value| value.is_empty())
            && let Some(secret) = secret(&dir.join(file))
        {
            vars.insert(variable.into(), secret.into());
        }
    }
}

fn secret(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST + 1).read_to_string(&mut text).ok()?;
    let secret = text.trim();
    let is_one = !secret.is_empty() && text.len() as u64 <= LONGEST && !secret.contains(char::is_control);
    is_one.then(|| secret.to_owned())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test plays the service manager, which writes the files")]
mod tests {
    use super::*;

    fn with(files: &[(&str, &[u8])], vars: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let mut all: BTreeMap<OsString, OsString> =
            vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        all.insert(DIRECTORY.into(), dir.path().into());
        add_to(&mut all);
        all.remove(OsStr::new(DIRECTORY));
        all
    }

    fn key(of: &BTreeMap<OsString, OsString>) -> Option<&str> {
        of.get(OsStr::new("ANTHROPIC_API_KEY")).and_then(|it| it.to_str())
    }

    #[test]
    fn a_file_stands_for_a_variable_that_nobody_set() {
        let file: (&str, &[u8]) = ("anthropic-api-key", b"sk-ant-from-the-file\n");
        assert_eq!(key(&with(&[file], &[])), Some("sk-ant-from-the-file"));
        assert_eq!(key(&with(&[file], &[("ANTHROPIC_API_KEY", "")])), Some("sk-ant-from-the-file"));
        assert_eq!(
            key(&with(&[file], &[("ANTHROPIC_API_KEY", "from the environment")])),
            Some("from the environment")
        );
        let both = with(&[file, ("claude-code-oauth-token", b"sk-ant-oat-1")], &[]);
        assert_eq!(&both[OsStr::new("CLAUDE_CODE_OAUTH_TOKEN")], "sk-ant-oat-1");
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        let long = vec![b'x'; 1 + usize::try_from(LONGEST).unwrap()];
        for content in [b"".as_slice(), b" \n", b"two\nlines", b"\xff\xfe", &long] {
            assert_eq!(with(&[("anthropic-api-key", content)], &[]).len(), 0, "{content:?}");
        }
        assert_eq!(with(&[("another", b"sk")], &[]).len(), 0);
    }

    #[test]
    fn without_a_folder_of_its_own_nothing_is_looked_for() {
        for dir in ["", ".", "etc"] {
            let mut vars = BTreeMap::from([(OsString::from(DIRECTORY), OsString::from(dir))]);
            add_to(&mut vars);
            assert_eq!(vars.len(), 1, "{dir}");
        }
    }
}
