//! The CLI's own record of a session: `<config dir>/projects/<working directory>/<session>.jsonl`.
//!
//! While it exists a session is resumed and never begun anew.

use std::io;
use std::path::{Path, PathBuf};

use crate::os::trouble::is_no_answer;
use crate::task::SessionId;

/// Where the CLI keeps its things: `CLAUDE_CONFIG_DIR`, else `.claude` in the home directory.
pub fn config_dir(given: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(|| home.map(|home| home.join(".claude")))
}

/// Whether the session has a transcript, for whatever working directory. An error is a disk that does not say.
///
/// What this user may not look into holds none: the CLI, which is the same user, could not resume it either.
pub fn exists(config_dir: &Path, session: SessionId) -> io::Result<bool> {
    let name = format!("{session}.jsonl");
    let Some(projects) = answered(std::fs::read_dir(config_dir.join("projects")))? else { return Ok(false) };
    for project in projects {
        let found = answered(std::fs::metadata(project?.path().join(&name)))?;
        if found.is_some_and(|it| it.is_file()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn answered<T>(asked: io::Result<T>) -> io::Result<Option<T>> {
    match asked {
        Err(error) if is_no_answer(&error) => Err(error),
        other => Ok(other.ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_found_whatever_the_folder_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let session = SessionId::mint();
        assert!(!exists(dir.path(), session).unwrap());
        let project = dir.path().join("projects/-srv-x");
        std::fs::create_dir_all(&project).unwrap();
        std::fs::File::create(project.join(format!("{session}.jsonl"))).unwrap();
        assert!(exists(dir.path(), session).unwrap());
        assert!(!exists(dir.path(), SessionId::mint()).unwrap());
    }
}
