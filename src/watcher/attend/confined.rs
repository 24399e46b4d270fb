//! What the agent of a run may write to, and what checks its answer: what is the run's own, and what every program needs.
//!
//! | what | why |
//! |---|---|
//! | the directory that it stands in, its workspace and scratch | its work |
//! | the repository around that: its files, and where it keeps objects and branches | commits |
//! | `artifacts/<run_id>/pipes` | what it says to its worker, and hears |
//! | its own output | a program may open `/dev/stdout` anew |
//! | the home and the CLI's configuration | the CLI's sessions, caches |
//! | `/tmp`, `/var/tmp`, `/dev/shm`, terminals, `/dev/null` and its like | what programs take for granted |

use std::path::{Component, Path, PathBuf};

use super::Run;
use super::prepare::make_private;
use super::workdir::Workdir;
use crate::checkout::Checkout;
use crate::os::confine::Confinement;

impl Run {
    /// All of it; nothing where it may write whatever its user may.
    pub(super) fn confined(&self, cwd: &Workdir, scratch: &Path) -> Option<Confinement> {
        let (layout, number) = (self.ctx.layout(), self.lease.number());
        let home = self.ctx.environment.get("HOME").map(PathBuf::from);
        let homes = home.clone().into_iter().chain(self.ctx.config_dir());
        let mut confinement = self.ctx.fence.common(&self.ctx.config, homes)?;
        let paths = layout.run(&self.lease.run);
        let own = [layout.workspace(&self.lease.run), scratch.to_owned(), paths.pipes()];
        confinement.inner.extend(own.iter().cloned().chain(home));
        // Where the home holds the root nothing can be made in it, and without its folder the CLI forgets every session.
        if let Some(dir) = self.ctx.config_dir()
            && let Err(error) = make_private(&dir)
        {
            tracing::debug!(path = %dir.display(), error = %error, "could not make the folder of the CLI");
        }
        // A run may go on in the workspace of another one.
        let other = workspace_of(&layout.workspaces(), &cwd.path);
        confinement.inner.extend(other.filter(|it| !own.contains(it)));
        confinement.trees.extend(own);
        confinement.trees.push(".".into());
        if let Ok(Some(checkout)) = Checkout::read(&paths, number) {
            confinement.trees.extend(checkout.objects.parent().map(Path::to_owned));
            confinement.trees.push(checkout.tree);
        }
        // Elsewhere a link could stand in the place of what was named.
        confinement.inner.retain(|it| it.starts_with(layout.root()));
        confinement.files.extend([paths.stream(number), paths.stderr(number), paths.verify_log(number)]);
        Some(confinement)
    }
}

/// The workspace that `cwd` lies in.
fn workspace_of(workspaces: &Path, cwd: &Path) -> Option<PathBuf> {
    let real = workspaces.canonicalize().unwrap_or_else(|_| workspaces.to_owned());
    let below = cwd.strip_prefix(&real).or_else(|_| cwd.strip_prefix(workspaces)).ok()?;
    match below.components().next()? {
        Component::Normal(name) => Some(workspaces.join(name)),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_one_folder_and_never_all_of_them() {
        let of = |cwd: &str| workspace_of(Path::new("/nowhere/workspaces"), Path::new(cwd));
        assert_eq!(of("/nowhere/workspaces/1/tree/src"), Some("/nowhere/workspaces/1".into()));
        for cwd in ["/nowhere/workspaces", "/nowhere/workspaces/../tasks", "/srv/repo", "/nowhere"] {
            assert_eq!(of(cwd), None, "{cwd}");
        }
    }
}
