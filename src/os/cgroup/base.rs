//! Where groups for runs are made: a control group that is ours to divide.
//!
//! Ours is one that somebody names, or our own in version 2 if it was delegated to us: systemd marks it so (`Delegate=`), or
//! it belongs to our user while the one around it does not. Version 2 wants no processes in a group with groups that are
//! bounded (`cgroup-v2`, "No Internal Process Constraint"), so that this process first goes into a leaf of it.
//!
//! Invariant: in a group that others live in, or that nobody gave us, nothing is made and nothing changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;

use super::MOUNT;
use super::group::{Group, Version, folders};
use crate::os::knob;

/// The leaf in which a watcher lives. `DelegateSubgroup=` of systemd may put it there at once.
pub const LEAF: &str = "watcher";
/// Where systemd starts what it asks about a unit that divides its own group.
const CONTROL: &str = ".control";
/// What is handed down to the groups of runs.
const CONTROLLER: &str = "memory";

/// A group that is ours to divide.
#[derive(Clone, Debug)]
pub struct Base {
    path: PathBuf,
    /// Whether groups in it can be bounded, or why not.
    memory: Result<Counted, String>,
}

/// Since when the memory of the groups below is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Since they were made.
    Always,
    /// From now on: what their processes held before is counted elsewhere.
    Anew,
}

/// What is seen of our own group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// systemd has written upon it that it is delegated.
    is_marked: bool,
    /// It belongs to our user, who is not root, and the one around it does not.
    is_handed_over: bool,
    /// Processes directly in it, beside this one.
    others: usize,
}

impl Base {
    /// The one that somebody named.
    pub fn given(path: &Path) -> Result<Self, String> {
        let group = Group::at(path).ok_or("it is no control group")?;
        Self::settle(group.path().to_owned())
    }

    /// Our own, if it was given to us.
    pub fn own() -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mount = mount().ok_or("there are no control groups of version 2")?;
        let path = unit(&groups, &mount).ok_or("our own control group cannot be seen from here")?;
        judge(look(&path)).map_err(|why| format!("`{}` {why}", path.display()))?;
        Self::settle(path)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the memory of groups in it is counted and can be bounded; else why not.
    pub fn memory(&self) -> Result<Counted, &str> {
        self.memory.as_ref().copied().map_err(String::as_str)
    }

    /// The groups in it.
    pub fn groups(&self) -> Vec<Group> {
        folders(&self.path).filter_map(|path| Group::at(&path)).collect()
    }

    fn settle(path: PathBuf) -> Result<Self, String> {
        let failed =
            |what: &str, error: &io::Error| format!("could not {what} `{}`: {error}", path.display());
        if Version::of(&path) == Some(Version::One) {
            let counts = path.join("memory.limit_in_bytes").is_file();
            let memory = counts.then_some(Counted::Always).ok_or_else(|| "it is none for memory".to_owned());
            return Ok(Self { path, memory });
        }
        if processes(&path).contains(&std::process::id()) {
            let leaf = path.join(LEAF);
            fs::create_dir(&leaf).or_else(if_there).map_err(|error| failed("make a leaf in", &error))?;
            knob::set(&leaf.join("cgroup.procs"), "0")
                .map_err(|error| failed("go into a leaf of", &error))?;
        }
        let memory = hand_down(&path);
        Ok(Self { path, memory })
    }
}

/// The group of the unit that this process belongs to, be it in a leaf of it.
fn unit(groups: &str, mount: &Path) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    if own.split('/').any(|part| part == "..") {
        return None;
    }
    let mut path = mount.join(own.trim_start_matches('/'));
    if path.ends_with(LEAF) || path.ends_with(CONTROL) {
        path.pop();
    }
    path.is_dir().then_some(path)
}

fn look(path: &Path) -> Seen {
    let me = nix::unistd::geteuid().as_raw();
    let owner = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.uid());
    let around = path.parent().map_or(me, owner);
    let own = std::process::id();
    Seen {
        is_marked: is_marked(path),
        is_handed_over: me != 0 && owner(path) == me && around != me,
        others: processes(path).into_iter().filter(|pid| *pid != own).count(),
    }
}

/// Whether it may be divided; else why not.
fn judge(seen: Seen) -> Result<(), &'static str> {
    match seen {
        Seen { is_marked: false, is_handed_over: false, .. } => Err("is not delegated to us (Delegate=)"),
        Seen { others: 1.., .. } => Err("has other processes in it"),
        Seen { .. } => Ok(()),
    }
}

/// systemd's mark; only root can read the older one.
fn is_marked(path: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 8];
        getxattr(path, *name, &mut value[..]).is_ok_and(|length| &value[..length] == b"1")
    })
}

fn processes(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn has(path: &Path, file: &str, word: &str) -> bool {
    fs::read_to_string(path.join(file)).is_ok_and(|text| text.split_whitespace().any(|it| it == word))
}

/// Lets the groups below count and bound memory.
fn hand_down(path: &Path) -> Result<Counted, String> {
    if has(path, "cgroup.subtree_control", CONTROLLER) {
        return Ok(Counted::Always);
    }
    if !has(path, "cgroup.controllers", CONTROLLER) {
        return Err("nobody counts memory there".to_owned());
    }
    let set = knob::set(&path.join("cgroup.subtree_control"), &format!("+{CONTROLLER}"));
    set.map(|()| Counted::Anew).map_err(|error| format!("memory could not be handed down: {error}"))
}

/// Where version 2 is mounted.
fn mount() -> Option<PathBuf> {
    let is_two = |path: &PathBuf| Version::of(path) == Some(Version::Two);
    [PathBuf::from(MOUNT), Path::new(MOUNT).join("unified")].into_iter().find(is_two)
}

/// Makes room in the group of our unit for a process that is to be started directly in it: as long as groups in it are
/// bounded, there is none (`EBUSY`). Whether there was something to do.
pub fn make_room() -> io::Result<bool> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let Some(path) = mount().and_then(|mount| unit(&groups, &mount)) else { return Ok(false) };
    if judge(Seen { others: 0, ..look(&path) }).is_err() || !has(&path, "cgroup.subtree_control", CONTROLLER)
    {
        return Ok(false);
    }
    knob::set(&path.join("cgroup.subtree_control"), &format!("-{CONTROLLER}")).map(|()| true)
}

fn if_there(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_to_us_and_nobody_lives_in_is_divided() {
        for (is_marked, is_handed_over, others, expected) in [
            (true, false, 0, true),
            (false, true, 0, true),
            // The session of a person who is root, or any group that nobody gave away.
            (false, false, 0, false),
            (true, true, 1, false),
            (false, true, 3, false),
        ] {
            let seen = Seen { is_marked, is_handed_over, others };
            assert_eq!(judge(seen).is_ok(), expected, "{seen:?}");
        }
    }

    #[test]
    fn a_unit_is_known_from_its_leaf_and_from_where_systemd_asks_about_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("system.slice/agent-worker-marie.service");
        fs::create_dir_all(&path).unwrap();
        for below in ["", "/watcher", "/.control"] {
            let groups = format!("4:memory:/x\n0::/system.slice/agent-worker-marie.service{below}\n");
            assert_eq!(unit(&groups, dir.path()), Some(path.clone()), "{below}");
        }
        for elsewhere in ["0::/../x\n", "0::/gone\n", "4:memory:/system.slice\n"] {
            assert_eq!(unit(elsewhere, dir.path()), None, "{elsewhere}");
        }
    }

    #[test]
    fn nothing_is_made_where_there_are_no_control_groups() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Base::given(dir.path()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(look(dir.path()).others, 0);
        assert!(!is_marked(dir.path()));
    }
}
