//! The hidden name under which something stands that is about to be removed.
//!
//! It is no task's name, no run's, and no temporary file's that somebody else would clean up.

use std::io;
use std::path::{Path, PathBuf};

use crate::os::durable;

const SUFFIX: &str = ".pruned";

/// The hidden name for `path`, beside it.
pub(super) fn hidden(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{SUFFIX}"))
}

/// The name that `path` had before it was taken; `None` if it was not.
pub(super) fn original(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(SUFFIX)?;
    Some(path.with_file_name(name))
}

/// Takes `path`; its hidden name, or nothing where it is gone. One that was taken under that name before is in the
/// way, and the round after the next finds it gone.
pub(super) fn take(path: &Path) -> io::Result<Option<PathBuf>> {
    let hidden = hidden(path);
    match durable::rename_noreplace(path, &hidden) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(|()| Some(hidden)),
    }
}

/// Gives it its name back. Where that was made anew meanwhile, a folder's content is put into the new one, and what
/// is there already wins.
pub(super) fn give_back(hidden: &Path, path: &Path) -> io::Result<()> {
    match durable::rename_noreplace(hidden, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && hidden.is_dir() => merge(hidden, path),
        done => done,
    }
}

fn merge(from: &Path, into: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        match durable::rename_noreplace(&entry.path(), &into.join(entry.file_name())) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => done?,
        }
    }
    // What the new one has already stays behind, and goes with the next round.
    std::fs::remove_dir(from).or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable::write_new;

    #[test]
    fn a_hidden_name_is_nobody_elses_and_tells_the_first() {
        let path = Path::new("/r/tasks/marie/completed/x.json");
        let hidden = hidden(path);
        assert_eq!(original(&hidden).as_deref(), Some(path));
        let name = hidden.file_name().unwrap().to_str().unwrap();
        assert!(name.parse::<crate::task::FileName>().is_err());
        assert!(!name.to_ascii_lowercase().ends_with(".tmp"));
        assert_eq!(original(path), None);
    }

    #[test]
    fn what_was_taken_in_vain_is_given_back_also_into_a_folder_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        std::fs::create_dir(&run).unwrap();
        for name in ["input.json", "result.json"] {
            write_new(&run.join(name), b"old", None).unwrap();
        }
        let hidden = take(&run).unwrap().unwrap();
        std::fs::create_dir_all(run.join("attempt-2")).unwrap();
        write_new(&run.join("result.json"), b"new", None).unwrap();
        give_back(&hidden, &run).unwrap();
        assert_eq!(std::fs::read(run.join("input.json")).unwrap(), b"old");
        assert_eq!(std::fs::read(run.join("result.json")).unwrap(), b"new");
        assert!(run.join("attempt-2").is_dir());
        assert_eq!(take(&dir.path().join("nothing")).unwrap(), None);
    }
}
