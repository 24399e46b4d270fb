//! The CLI's own record of a session: `<config dir>/projects/<working directory>/<session>.jsonl`.
//!
//! While it exists a session is resumed and never begun anew.

use std::path::{Path, PathBuf};

use crate::task::SessionId;

/// Where the CLI keeps its things: `CLAUDE_CONFIG_DIR`, else `.claude` in the home directory.
pub fn config_dir(given: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(|| home.map(|home| home.join(".claude")))
}

/// Whether the session has a transcript, for whatever working directory.
pub fn exists(config_dir: &Path, session: SessionId) -> bool {
    let name = format!("{session}.jsonl");
    let Ok(projects) = std::fs::read_dir(config_dir.join("projects")) else { return false };
    projects.flatten().any(|project| project.path().join(&name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_found_whatever_the_folder_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let session = SessionId::mint();
        assert!(!exists(dir.path(), session));
        let project = dir.path().join("projects/-srv-x");
        std::fs::create_dir_all(&project).unwrap();
        std::fs::File::create(project.join(format!("{session}.jsonl"))).unwrap();
        assert!(exists(dir.path(), session));
        assert!(!exists(dir.path(), SessionId::mint()));
    }
}
