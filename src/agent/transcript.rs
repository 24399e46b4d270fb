//! The CLI's own record of a session: `<config dir>/projects/<working directory>/<session>.jsonl`.
//!
//! While it exists a session is resumed and never begun anew.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::ladder::Transcript;
use crate::os::trouble::is_no_answer;
use crate::task::SessionId;

/// Where the CLI keeps its things: `CLAUDE_CONFIG_DIR`, else `.claude` in the home directory.
pub fn config_dir(given: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(|| home.map(|home| home.join(".claude")))
}

/// What there is of the session, for whatever working directory. An error is a disk that does not say.
///
/// What this user may not look into holds none: the CLI, which is the same user, could not resume it either. Anything of
/// that name is a transcript for the CLI, which begins no other beside it.
pub fn look(config_dir: &Path, session: SessionId) -> io::Result<Transcript> {
    let name = format!("{session}.jsonl");
    let Some(projects) = answered(std::fs::read_dir(config_dir.join("projects")))? else {
        return Ok(Transcript::Gone);
    };
    for project in projects {
        let path = project?.path().join(&name);
        if answered(std::fs::symlink_metadata(&path))?.is_some() {
            let is_writable = access(&path, AccessFlags::W_OK).is_ok();
            return Ok(if is_writable { Transcript::There } else { Transcript::ReadOnly });
        }
    }
    Ok(Transcript::Gone)
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
        assert_eq!(look(dir.path(), session).unwrap(), Transcript::Gone);
        let project = dir.path().join("projects/-srv-x");
        std::fs::create_dir_all(&project).unwrap();
        std::fs::File::create(project.join(format!("{session}.jsonl"))).unwrap();
        assert_eq!(look(dir.path(), session).unwrap(), Transcript::There);
        let other = SessionId::mint();
        assert_eq!(look(dir.path(), other).unwrap(), Transcript::Gone);
        std::fs::create_dir(project.join(format!("{other}.jsonl"))).unwrap();
        assert_ne!(look(dir.path(), other).unwrap(), Transcript::Gone, "the CLI would refuse to begin it");
    }
}
