//! The directory that a task wants to work in: allowed only below a root that the operator named, and held open from
//! the check to the start.

use std::path::{Path, PathBuf};

use crate::os::beneath::Held;
use crate::task::text::shown;

/// Where an agent works.
#[derive(Debug)]
pub(super) struct Workdir {
    /// Its path, without links.
    pub(super) path: PathBuf,
    /// The directory itself, where the task named it.
    held: Option<Held>,
}

impl Workdir {
    /// A directory of our own.
    pub(super) const fn own(path: PathBuf) -> Self {
        Self { path, held: None }
    }

    /// The path to start in: it means what was checked.
    pub(super) fn entrance(&self) -> PathBuf {
        self.held.as_ref().map_or_else(|| self.path.clone(), Held::path)
    }
}

/// The directory `wanted` by a task: links resolved, it must lie under one of `roots`.
pub(super) fn allowed(wanted: &Path, roots: &[PathBuf]) -> Result<Workdir, String> {
    let name = shown(&wanted.display().to_string(), 300);
    if roots.is_empty() {
        return Err(format!(
            "workdir `{name}` is not allowed: the worker was started without --workdir-root"
        ));
    }
    let cannot = |error: &std::io::Error| format!("workdir `{name}` cannot be used: {error}");
    let real = wanted.canonicalize().map_err(|error| cannot(&error))?;
    let mut real_roots = roots.iter().filter_map(|root| root.canonicalize().ok());
    let Some((root, below)) =
        real_roots.find_map(|root| Some((root.clone(), real.strip_prefix(&root).ok()?)))
    else {
        let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
        return Err(format!("workdir `{name}` does not lie under --workdir-root {}", roots.join(", ")));
    };
    if !real.is_dir() {
        return Err(format!("workdir `{name}` is no directory"));
    }
    let held = Held::open(&root, below).map_err(|error| cannot(&error))?;
    held.check_usable().map_err(|error| cannot(&error))?;
    Ok(Workdir { path: real, held: Some(held) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workdir_lies_under_a_root_with_all_links_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("repo")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::File::create(root.join("file")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        std::os::unix::fs::symlink("repo", root.join("inner")).unwrap();
        let roots = [root.clone()];
        for good in ["repo", "inner", "."] {
            assert!(allowed(&root.join(good), &roots).is_ok(), "{good}");
        }
        for (wrong, word) in [
            (root.join("link"), "does not lie under"),
            (root.join("repo/../../outside"), "does not lie under"),
            (root.join("none"), "cannot be used"),
            (root.join("file"), "is no directory"),
            (outside, "does not lie under"),
        ] {
            let why = allowed(&wrong, &roots).unwrap_err();
            assert!(why.contains(word), "{}: {why}", wrong.display());
        }
        assert!(allowed(&root, &[]).unwrap_err().contains("--workdir-root"));
    }

    #[test]
    fn the_entrance_means_what_was_checked_also_when_a_link_took_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("repo")).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        let workdir = allowed(&root.join("repo"), std::slice::from_ref(&root)).unwrap();
        let moved = root.join("moved");
        crate::os::durable::rename_noreplace(&root.join("repo"), &moved).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("repo")).unwrap();
        assert_eq!(workdir.entrance().canonicalize().unwrap(), moved.canonicalize().unwrap());
    }
}
