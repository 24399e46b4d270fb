//! Where a task works: what its file says and what its pack says, taken together. Pure.

use std::path::PathBuf;

use super::model::{Pack, WorkdirRule};
use crate::task::{Spec, WorkdirMode};

/// Where a task works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// In a folder of its own, that is empty at first.
    Own,
    /// In a directory, in this way; never an empty one.
    Named(WorkdirMode, PathBuf),
}

/// Where a task that says `spec` works under `pack`, which is called `name`; or why it cannot be told.
pub fn site(name: &str, pack: &Pack, spec: &Spec) -> Result<Site, String> {
    let wanted = spec.workdir.as_ref().map(PathBuf::from);
    match (pack.workdir, &wanted) {
        (WorkdirRule::Required, None) => {
            return Err(format!(
                "the pack `{name}` works in a directory that the task names; add `workdir` to the task's file"
            ));
        }
        (WorkdirRule::None, Some(_)) => {
            return Err(format!(
                "the pack `{name}` lets no task name a directory; take `workdir` out of the task's file"
            ));
        }
        (WorkdirRule::Optional | WorkdirRule::Required | WorkdirRule::None, _) => {}
    }
    let mode = match (pack.workdir_mode, spec.workdir_mode) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            return Err(format!(
                "the pack `{name}` has workdir_mode `{ours}`, and the task `{theirs}`; take one of them out"
            ));
        }
        (ours, theirs) => ours.or(theirs),
    };
    match (mode, wanted.clone().or_else(|| pack.workdir_path.clone())) {
        (Some(WorkdirMode::Empty), _) if wanted.is_some() => {
            Err("with workdir_mode `empty` the agent works in a folder of its own; take `workdir` out of the task's file"
                .to_owned())
        }
        (Some(WorkdirMode::Empty), _) | (None, None) => Ok(Site::Own),
        (Some(mode), None) => Err(format!(
            "workdir_mode `{mode}` needs a directory; add `workdir` to the task's file, or `workdir_path` to its pack"
        )),
        (mode, Some(path)) => Ok(Site::Named(mode.unwrap_or(WorkdirMode::Dir), path)),
    }
}

#[cfg(test)]
mod tests {
    use WorkdirMode::{Dir, Empty, Worktree};

    use super::*;

    #[test]
    fn a_task_works_where_it_and_its_pack_agree() {
        let (task, usual) = (Some("/t"), Some("/p"));
        let (optional, required, none) = (WorkdirRule::Optional, WorkdirRule::Required, WorkdirRule::None);
        let named = |mode, path: &str| Ok(Site::Named(mode, path.into()));
        let no = |words: &str| Err(words.to_owned());
        for (pack, spec, site_or_words) in [
            ((optional, None, None), (None, None), Ok(Site::Own)),
            ((optional, None, None), (task, None), named(Dir, "/t")),
            ((optional, usual, None), (None, None), named(Dir, "/p")),
            ((optional, usual, None), (task, None), named(Dir, "/t")),
            ((none, usual, None), (None, None), named(Dir, "/p")),
            ((optional, usual, Some(Worktree)), (None, None), named(Worktree, "/p")),
            ((optional, None, Some(Worktree)), (task, Some(Worktree)), named(Worktree, "/t")),
            ((optional, None, None), (task, Some(Worktree)), named(Worktree, "/t")),
            ((optional, usual, None), (None, Some(Empty)), Ok(Site::Own)),
            ((optional, None, Some(Empty)), (None, None), Ok(Site::Own)),
            ((optional, None, Some(Empty)), (task, None), no("take `workdir` out")),
            ((optional, None, Some(Worktree)), (task, Some(Dir)), no("`worktree`, and the task `dir`")),
            ((optional, None, None), (None, Some(Dir)), no("workdir_mode `dir` needs a directory")),
            ((optional, None, Some(Worktree)), (None, None), no("add `workdir`")),
            ((required, None, None), (None, None), no("add `workdir`")),
            ((none, usual, None), (task, None), no("take `workdir` out")),
        ] {
            let said = format!("{pack:?} {spec:?}");
            let pack = Pack {
                workdir: pack.0,
                workdir_path: pack.1.map(PathBuf::from),
                workdir_mode: pack.2,
                ..Pack::default()
            };
            let spec = Spec { workdir: spec.0.map(str::to_owned), workdir_mode: spec.1, ..Spec::default() };
            match (site("review", &pack, &spec), site_or_words) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{said}"),
                (Err(why), Err(words)) => assert!(why.contains(&words), "{said}: {why}"),
                (found, expected) => panic!("{said}: {found:?} in place of {expected:?}"),
            }
        }
    }
}
