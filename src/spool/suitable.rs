//! Whether a root can carry a queue: what is found, as a list. Whoever starts a worker refuses by it, a worker at work
//! holds by it, and a person can be shown it.
//!
//! | look | touches | when |
//! |---|---|---|
//! | [`standing`] | nothing | every second while a worker works |
//! | [`survey`] | nothing | before anything of a root is made |
//! | [`super::probe`] | temporary files of its own | once it is laid out, before a worker begins; renames by the holder of the lock |
//!
//! It deliberately does not know who asks, nor how a program ends.

use std::path::{Path, PathBuf};

use crate::layout::Layout;
use crate::os::filesystem::{self, Kind};
use crate::os::folder::{self, Denied, Need, Standing};
use crate::task::{Place, WorkerName};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It works, and promises less.
    Weaker,
    /// It did not answer: what is there is not known, and may be known later.
    Failing,
    /// It does not work; somebody may change the permissions.
    Denied,
    /// It does not work like this.
    Wrong,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// What it is about.
    pub path: PathBuf,
    /// What is so, with the path, as a sentence without its full stop.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// A finding about `path`; `what` goes on after it.
    pub(super) fn new(weight: Weight, path: &Path, what: &str, remedy: impl Into<String>) -> Self {
        let what = format!("`{}` {what}", path.display());
        Self { weight, path: path.to_owned(), what, remedy: remedy.into() }
    }

    /// Whether nothing may be claimed.
    pub const fn forbids(&self) -> bool {
        matches!(self.weight, Weight::Failing | Weight::Denied | Weight::Wrong)
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// What an operator allows beyond a local disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Nothing.
    Refused,
    /// File systems that somebody else keeps.
    Allowed,
}

/// What is wrong with the folders of `worker` as they stand; one that is missing is not wrong, it can be made.
pub fn standing(layout: &Layout, worker: &WorkerName) -> Vec<Finding> {
    if let Some(wrong) = judge_root(layout.root()) {
        return vec![wrong];
    }
    let mut found = Vec::new();
    let active = layout.place(worker, Place::Active);
    let home = mount(&folder::standing(&active, Need::Pass));
    let mut away = Vec::new();
    for (path, need) in folders(layout, worker) {
        let seen = folder::standing(&path, need);
        found.extend(judge(&path, &seen));
        let exchanges = exchanging().any(|place| layout.place(worker, place) == path);
        if exchanges && home.zip(mount(&seen)).is_some_and(|(home, there)| home != there) {
            away.push(path);
        }
    }
    found.extend(elsewhere(&active, &away));
    found
}

/// What is wrong with, or weaker on, a root that need not be laid out yet.
pub fn survey(layout: &Layout, worker: &WorkerName, remote: Remote) -> Vec<Finding> {
    let mut found = standing(layout, worker);
    found.extend(kept(layout, worker, remote));
    let mut all = folders(layout, worker);
    all.insert(0, (layout.root().join("."), Need::Pass));
    let open = all.into_iter().filter(|(path, need)| is_open(&folder::standing(path, *need)));
    let open: Vec<PathBuf> = open.map(|(path, _)| path).collect();
    found.extend(open_to_all(&open));
    found
}

/// What the file systems of the root and of the folders of `worker` cannot promise.
pub fn kept(layout: &Layout, worker: &WorkerName, remote: Remote) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut kinds: Vec<Kind> = Vec::new();
    let inner = folders(layout, worker).into_iter().map(|(path, _)| path);
    for path in std::iter::once(existing(layout.root()).to_owned()).chain(inner) {
        let Ok(kind) = filesystem::of(&path) else { continue };
        if !kinds.contains(&kind) {
            found.extend(kept_by(&path, kind, remote));
            kinds.push(kind);
        }
    }
    found
}

/// Whether the root is kept by another machine or by a program, so that changes may come without an event.
pub fn is_remote(layout: &Layout) -> bool {
    matches!(filesystem::of(&layout.tasks()), Ok(Kind::Remote(_)))
}

/// The root may be a link: what it leads to counts.
fn judge_root(root: &Path) -> Option<Finding> {
    let standing = folder::standing(&root.join("."), Need::Pass);
    if standing == Standing::Missing && folder::standing(root, Need::Pass) == Standing::Link {
        let remedy =
            format!("make the folder that it names, or lead it elsewhere (`ln -sfn DIR {}`)", root.display());
        return Some(Finding::new(Weight::Wrong, root, "is a symbolic link that leads nowhere", remedy));
    }
    judge(root, &standing)
}

/// The places between which tasks are moved.
pub(super) fn exchanging() -> impl Iterator<Item = Place> {
    std::iter::once(Place::Inbox).chain(Place::OF_WORKER)
}

/// The folders that must be folders, outer ones first, and what is done in them. Those that only hold others may belong
/// to another user.
fn folders(layout: &Layout, worker: &WorkerName) -> Vec<(PathBuf, Need)> {
    let mut folders = vec![(layout.tasks(), Need::Work), (layout.tasks().join(worker.as_str()), Need::Pass)];
    folders.extend(Place::OF_WORKER.iter().map(|place| (layout.place(worker, *place), Need::Work)));
    folders.push((layout.workers(), Need::Pass));
    folders.extend([(layout.worker(worker), Need::Work), (layout.artifacts(), Need::Work)]);
    folders
}

fn judge(path: &Path, standing: &Standing) -> Option<Finding> {
    let shown = path.display();
    let (weight, what, remedy) = match standing {
        Standing::Missing | Standing::Folder { denied: None, .. } => return None,
        Standing::Link => (
            Weight::Wrong,
            "is a symbolic link, and no task is taken or filed through one".to_owned(),
            "remove the link and put the folder itself back; a tree that is to lie elsewhere is moved as a whole, \
             with the root as the link"
                .to_owned(),
        ),
        Standing::NoFolder => (
            Weight::Wrong,
            "is not a folder".to_owned(),
            format!("move aside what stands there (`mv {shown} {shown}.aside`); the folder is made anew"),
        ),
        Standing::Barred | Standing::Folder { denied: Some(Denied::Permission), .. } => (
            Weight::Denied,
            format!("may not be read and written by the worker's user (uid {})", nix::unistd::geteuid()),
            format!("`chown` it to that user, or `chmod u+rwx {shown}`; the folders above it need the x as well"),
        ),
        Standing::Folder { denied: Some(Denied::ReadOnly), .. } => (
            Weight::Wrong,
            "is mounted read-only".to_owned(),
            "mount it writable (`mount -o remount,rw`); `dmesg` says whether a failing disk did this".to_owned(),
        ),
        Standing::Unknown(why) => (
            Weight::Failing,
            format!("cannot be looked at: {why}"),
            "look at `dmesg`, and at the disk or the server behind it".to_owned(),
        ),
    };
    Some(Finding::new(weight, path, &what, remedy))
}

const fn mount(standing: &Standing) -> Option<u64> {
    match standing {
        Standing::Folder { mount, .. } => Some(*mount),
        Standing::Missing | Standing::Link | Standing::NoFolder | Standing::Barred | Standing::Unknown(_) => {
            None
        }
    }
}

fn is_open(standing: &Standing) -> bool {
    matches!(standing, Standing::Folder { mode, .. } if mode & 0o1002 == 0o002)
}

/// Folders on other mounts than `active/`.
pub(super) fn elsewhere(active: &Path, away: &[PathBuf]) -> Option<Finding> {
    let first = away.first()?;
    let others = if away.len() > 1 { format!(" (and {} more)", away.len() - 1) } else { String::new() };
    Some(Finding::new(
        Weight::Wrong,
        first,
        &format!(
            "is on another mount than `{}`{others}, so that a task cannot go from one to the other by a rename",
            active.display()
        ),
        "mount one file system at the root, or at `tasks/`, and none below it",
    ))
}

fn kept_by(path: &Path, kind: Kind, remote: Remote) -> Option<Finding> {
    let (weight, what, remedy) = match (kind, remote) {
        (Kind::Local, _) => return None,
        (Kind::Memory, _) => (
            Weight::Weaker,
            "is kept in memory: a reboot takes all tasks and results".to_owned(),
            "put the root on a disk, unless that is meant",
        ),
        (Kind::Layer, _) => (
            Weight::Weaker,
            "lies in a container's own layer: all tasks and results go with the container".to_owned(),
            "mount a volume at the root",
        ),
        (Kind::Remote(name), Remote::Refused) => (
            Weight::Wrong,
            format!(
                "is on {name}, where a lock may hold on one machine only, so that a task could run twice"
            ),
            "put the root on a disk of this machine; or, if workers run on one machine only, allow it with --allow-nfs",
        ),
        (Kind::Remote(name), Remote::Allowed) => (
            Weight::Weaker,
            format!(
                "is on {name}: the lock on a worker's folder holds on this machine only, changes made elsewhere are \
                 seen by looking every few seconds, and where a rename cannot refuse to replace, a move is a link \
                 and an unlink"
            ),
            "start workers of this root on one machine only",
        ),
    };
    Some(Finding::new(weight, path, &what, remedy))
}

fn open_to_all(open: &[PathBuf]) -> Option<Finding> {
    let first = open.first()?;
    let others = if open.len() > 1 { format!(" (and {} more)", open.len() - 1) } else { String::new() };
    Some(Finding::new(
        Weight::Weaker,
        first,
        &format!(
            "may be written by everybody on this machine{others}: whoever can drop or replace a task runs commands \
             as the worker's user"
        ),
        "`chmod o-w` it, and let those who may drop tasks share a group",
    ))
}

/// `path`, or the nearest folder above it that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|it| it.exists()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable::{make_dir, write_new};

    fn folder(mode: u32, denied: Option<Denied>) -> Standing {
        Standing::Folder { mount: 1, mode, denied }
    }

    #[test]
    fn what_stands_in_a_folders_place_is_judged() {
        for (standing, weight, word) in [
            (Standing::Missing, None, ""),
            (folder(0o2770, None), None, ""),
            (Standing::Link, Some(Weight::Wrong), "symbolic link"),
            (Standing::NoFolder, Some(Weight::Wrong), "mv /s/x /s/x.aside"),
            (folder(0o500, Some(Denied::Permission)), Some(Weight::Denied), "chmod u+rwx /s/x"),
            (folder(0o700, Some(Denied::ReadOnly)), Some(Weight::Wrong), "read-only"),
            (Standing::Barred, Some(Weight::Denied), "chown"),
            (Standing::Unknown("I/O error".to_owned()), Some(Weight::Failing), "I/O error"),
        ] {
            let found = judge(Path::new("/s/x"), &standing);
            assert_eq!(found.as_ref().map(|it| it.weight), weight, "{standing:?}");
            let text = found.map(|it| it.to_string()).unwrap_or_default();
            assert!(text.contains(word), "{text}");
            assert!(text.is_empty() || text.contains("/s/x"), "{text}");
        }
    }

    #[test]
    fn what_somebody_else_keeps_is_refused_unless_it_is_allowed() {
        for (kind, remote, weight) in [
            (Kind::Local, Remote::Refused, None),
            (Kind::Memory, Remote::Refused, Some(Weight::Weaker)),
            (Kind::Layer, Remote::Refused, Some(Weight::Weaker)),
            (Kind::Remote("NFS"), Remote::Refused, Some(Weight::Wrong)),
            (Kind::Remote("NFS"), Remote::Allowed, Some(Weight::Weaker)),
        ] {
            let found = kept_by(Path::new("/s"), kind, remote);
            assert_eq!(found.as_ref().map(|it| it.weight), weight, "{kind:?} {remote:?}");
        }
        let refused = kept_by(Path::new("/s"), Kind::Remote("NFS"), Remote::Refused).unwrap().to_string();
        assert!(refused.contains("--allow-nfs") && refused.contains("`/s` is on NFS"), "{refused}");
    }

    #[test]
    fn a_folder_that_is_open_to_all_is_told_unless_it_is_sticky() {
        for (mode, open) in [(0o770, false), (0o777, true), (0o1777, false), (0o775, false), (0o2772, true)] {
            assert_eq!(is_open(&folder(mode, None)), open, "{mode:o}");
        }
    }

    fn tree() -> (tempfile::TempDir, Layout, WorkerName) {
        let dir = tempfile::tempdir().unwrap();
        let (layout, marie) = (Layout::new(dir.path().join("shared")), "marie".parse().unwrap());
        for made in layout.common_dirs().into_iter().chain(layout.worker_dirs(&marie)) {
            make_dir(&made, 0o770).unwrap();
        }
        (dir, layout, marie)
    }

    #[test]
    fn a_root_that_is_laid_out_has_nothing_wrong_and_what_took_a_folders_place_is_found() {
        let (_dir, layout, marie) = tree();
        assert_eq!(standing(&layout, &marie), []);
        let failed = layout.place(&marie, Place::Failed);
        std::fs::remove_dir(&failed).unwrap();
        assert_eq!(standing(&layout, &marie), [], "what is missing can be made");
        std::os::unix::fs::symlink("/", &failed).unwrap();
        std::fs::remove_dir(layout.artifacts()).unwrap();
        write_new(&layout.artifacts(), b"x", None).unwrap();
        let found = standing(&layout, &marie);
        let told: Vec<_> = found.iter().map(|it| (it.path.as_path(), it.weight)).collect();
        assert_eq!(told, [(failed.as_path(), Weight::Wrong), (&layout.artifacts(), Weight::Wrong)]);
        assert!(found.iter().all(Finding::forbids));
    }

    #[test]
    fn a_root_may_be_a_link_that_leads_somewhere() {
        let (dir, layout, marie) = tree();
        let (link, nowhere) = (dir.path().join("link"), dir.path().join("nowhere"));
        std::os::unix::fs::symlink(layout.root(), &link).unwrap();
        std::os::unix::fs::symlink(dir.path().join("gone"), &nowhere).unwrap();
        let found = |root: &Path| standing(&Layout::new(root), &marie).first().map(ToString::to_string);
        assert_eq!(found(&link), None);
        assert!(found(&nowhere).unwrap().contains("a symbolic link that leads nowhere"));
        assert_eq!(found(&dir.path().join("none")), None, "it can be made");
        let file = dir.path().join("file");
        write_new(&file, b"x", None).unwrap();
        assert!(found(&file).unwrap().contains("is not a folder"));
    }

    #[test]
    fn a_folder_that_everybody_may_write_is_a_weakness_and_forbids_nothing() {
        let (_dir, layout, marie) = tree();
        let open = |path: &Path| {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        };
        let weak = |layout: &Layout| {
            let found = survey(layout, &marie, Remote::Refused);
            assert!(!found.iter().any(Finding::forbids), "{found:?}");
            found.into_iter().find(|it| it.what.contains("by everybody")).map(|it| it.what)
        };
        assert_eq!(weak(&layout), None);
        open(&layout.artifacts());
        let one = weak(&layout).unwrap();
        assert!(one.contains("artifacts") && !one.contains("more)"), "{one}");
        open(&layout.tasks());
        open(&layout.place(&marie, Place::Pending));
        let three = weak(&layout).unwrap();
        assert!(three.starts_with(&format!("`{}`", layout.tasks().display())), "{three}");
        assert!(three.contains("(and 2 more)"), "{three}");
    }

    #[test]
    fn a_root_in_memory_is_told_once() {
        let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
            println!("skipped: there is no file system in memory");
            return;
        };
        let marie: WorkerName = "marie".parse().unwrap();
        let layout = Layout::new(dir.path().join("deep/shared"));
        for made in layout.common_dirs().into_iter().chain(layout.worker_dirs(&marie)) {
            make_dir(&made, 0o770).unwrap();
        }
        let found = kept(&layout, &marie, Remote::Refused);
        assert_eq!(found.iter().map(|it| it.weight).collect::<Vec<_>>(), [Weight::Weaker]);
        assert_eq!(found[0].path, layout.root());
        assert!(found[0].what.contains("kept in memory"), "{found:?}");
        assert_eq!(survey(&layout, &marie, Remote::Refused), found);
        assert!(!is_remote(&layout), "this machine keeps it");
    }

    #[test]
    fn folders_on_other_mounts_are_told_as_one() {
        let paths: Vec<PathBuf> = ["/s/a", "/s/b", "/s/c"].map(PathBuf::from).into();
        let told = |away: &[PathBuf]| elsewhere(Path::new("/s/active"), away).map(|it| it.what);
        assert_eq!(told(&[]), None);
        let one = told(&paths[..1]).unwrap();
        assert!(one.starts_with("`/s/a` is on another mount than `/s/active`, so"), "{one}");
        assert!(told(&paths).unwrap().contains("(and 2 more)"));
        assert_eq!(mount(&folder(0o770, None)), Some(1));
        assert_eq!(mount(&Standing::Folder { mount: 7, mode: 0o770, denied: None }), Some(7));
        assert_eq!(mount(&Standing::Missing), None);
        let places: Vec<Place> = exchanging().collect();
        assert!(places.contains(&Place::Inbox) && places.len() == Place::OF_WORKER.len() + 1);
    }
}
