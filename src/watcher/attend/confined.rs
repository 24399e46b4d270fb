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
use crate::watcher::ctx::Ctx;

/// What all of this worker's may write to; nothing where they may write whatever their user may.
pub(super) fn usual(ctx: &Ctx) -> Option<Confinement> {
    let (home, config_dir) = (ctx.environment.get("HOME").map(PathBuf::from), ctx.config_dir());
    let homes = home.clone().into_iter().chain(config_dir.clone());
    let mut confinement = ctx.fence.common(&ctx.config, homes)?;
    confinement.inner.extend(home);
    confinement.inner.retain(|it| is_below_the_root(ctx, it));
    // Where the home holds the root nothing can be made in it, and without its folder the CLI forgets every session.
    if let Some(dir) = config_dir
        && let Err(error) = make_private(&dir)
    {
        tracing::debug!(path = %dir.display(), error = %error, "could not make the folder of the CLI");
    }
    Some(confinement)
}

impl Run {
    /// That, and what is the run's own.
    pub(super) fn confined(&self, usual: Confinement, cwd: &Workdir, scratch: &Path) -> Confinement {
        let (layout, number) = (self.ctx.layout(), self.lease.number());
        let paths = layout.run(&self.lease.run);
        let own = [layout.workspace(&self.lease.run), scratch.to_owned(), paths.pipes()];
        // A run may go on in the workspace of another one.
        let other = workspace_of(&layout.workspaces(), &cwd.path).filter(|it| !own.contains(it));
        let inner = own.iter().cloned().chain(other).filter(|it| is_below_the_root(&self.ctx, it));
        let mut confinement = usual;
        confinement.inner.extend(inner);
        confinement.trees.extend(own);
        confinement.trees.push(".".into());
        if let Ok(Some(checkout)) = Checkout::read(&paths, number) {
            confinement.trees.extend(checkout.objects.parent().map(Path::to_owned));
            confinement.trees.push(checkout.tree);
        }
        confinement.files.extend([paths.stream(number), paths.stderr(number), paths.verify_log(number)]);
        confinement
    }
}

/// Elsewhere a link could stand in the place of what was named.
fn is_below_the_root(ctx: &Ctx, path: &Path) -> bool {
    path.starts_with(ctx.layout().root())
}

/// The workspace that `cwd` lies in.
fn workspace_of(workspaces: &Path, cwd: &Path) -> Option<PathBuf> {
    // As git calls it, whatever leads to the root.
    let really = || cwd.strip_prefix(workspaces.canonicalize().ok()?).ok();
    match cwd.strip_prefix(workspaces).ok().or_else(really)?.components().next()? {
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
