//! What a process and all that it starts may write to, held by the kernel (`landlock(7)`).
//!
//! Invariants:
//! - reading and executing are left alone; writing, making, removing, moving and cutting short are refused but below what
//!   was granted;
//! - a tree that holds something protected is granted entry by entry, down to it and without it, so that nothing new can be
//!   made in the folders on the way; a tree that lies in something protected is granted only where that was named;
//! - it is judged by the folder that was opened, and not by a path: a link that leads into what is protected grants nothing,
//!   and a link by which something protected is reached is protected too;
//! - nobody outside is signalled (from Linux 6.12 on) or traced, and no right is gained by executing a file.
//!
//! What the kernel cannot refuse this way: modes, owners and times of what belongs to the same user; before Linux 6.2 that a
//! file is cut short by its path.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};

/// The first that lets files be moved from folder to folder (Linux 5.19).
const NEEDED: u32 = 2;
/// The first that refuses to cut a file short by its path (Linux 6.2).
const TRUNCATES: u32 = 3;
/// The first that keeps signals in (Linux 6.12).
const SIGNALS: u32 = 6;
/// More links than that lead nowhere (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;
/// So many entries of one folder are granted one by one.
const ENTRIES_MAX: usize = 4096;

/// What may be written to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// What is not to be written to.
    pub protected: Vec<PathBuf>,
    /// What may be granted although it lies there.
    pub inner: Vec<PathBuf>,
    /// Folders, with all below them; `.` is where the process will stand.
    pub trees: Vec<PathBuf>,
    /// Single files.
    pub files: Vec<PathBuf>,
}

/// How well this kernel can do it: the version of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strength(pub u32);

impl Strength {
    /// What it cannot refuse; nothing where it can all that we know of.
    pub fn gaps(self) -> Option<&'static str> {
        match self.0 {
            ..TRUNCATES => {
                Some("files can be cut short by their path, and signals reach everybody of the same user")
            }
            TRUNCATES..SIGNALS => Some("signals reach everybody of the same user"),
            SIGNALS.. => None,
        }
    }
}

impl std::fmt::Display for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "landlock {}", self.0)
    }
}

/// Tries it on a thread of its own, which it ends with; or why it cannot be had.
pub fn probe() -> Result<Strength, String> {
    let tried = std::thread::Builder::new().name("confined".to_owned()).spawn(|| {
        let status = ruleset()?.restrict_self().map_err(io::Error::other)?;
        Ok::<_, io::Error>((status.ruleset, status.landlock))
    });
    let cannot = |why: &dyn std::fmt::Display| format!("the kernel lets nobody confine himself: {why}");
    let (enforced, status) = match tried.map_err(|error| cannot(&error))?.join() {
        Ok(tried) => tried.map_err(|error| cannot(&error))?,
        Err(_) => return Err(cannot(&"the trial failed")),
    };
    match status {
        LandlockStatus::NotImplemented => Err("this kernel has no Landlock".to_owned()),
        LandlockStatus::NotEnabled => {
            Err("Landlock is not switched on (boot with lsm=landlock,…)".to_owned())
        }
        LandlockStatus::Available { .. } if enforced == RulesetStatus::NotEnforced => {
            Err(cannot(&"it was not enforced"))
        }
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            let abi = kernel_abi.and_then(|it| u32::try_from(it).ok()).unwrap_or(effective_abi as u32);
            if abi < NEEDED {
                return Err("this kernel's Landlock is too old: nobody could move a file to another folder"
                    .to_owned());
            }
            Ok(Strength(abi))
        }
    }
}

/// All that is refused, as far as the kernel knows it.
fn handled() -> BitFlags<AccessFs> {
    AccessFs::from_write(ABI::V3)
}

fn ruleset() -> io::Result<RulesetCreated> {
    Ruleset::default()
        .handle_access(handled())
        .and_then(|it| it.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)
}

impl Confinement {
    /// The same, and everything below `dir` may be written to, wherever it lies.
    #[must_use]
    pub fn and(mut self, dir: PathBuf) -> Self {
        self.inner.push(dir.clone());
        self.trees.push(dir);
        self
    }

    /// As words of a command line.
    pub fn to_args(&self) -> Vec<OsString> {
        let lists = [("!", &self.protected), ("+", &self.inner), ("/", &self.trees), ("-", &self.files)];
        let words = lists.iter().flat_map(|(sign, list)| list.iter().map(move |path| (sign, path)));
        words
            .map(|(sign, path)| {
                let mut word = OsString::from(sign);
                word.push(path);
                word
            })
            .collect()
    }

    /// What those words meant.
    pub fn from_args(args: &[OsString]) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let mut confinement = Self::default();
        for word in args {
            let Some((sign, path)) = word.as_bytes().split_first() else { continue };
            let list = match sign {
                b'!' => &mut confinement.protected,
                b'+' => &mut confinement.inner,
                b'/' => &mut confinement.trees,
                _ => &mut confinement.files,
            };
            list.push(OsStr::from_bytes(path).into());
        }
        confinement
    }

    /// All of it that can be seen to before the rest is known: what stands there now is granted. None of its trees is `.`.
    pub fn foresee(self) -> io::Result<Foreseen> {
        let bounds = Bounds { protected: ways(&self.protected)?, inner: all_real(&self.inner)? };
        let rules = grant_all(ruleset()?, &bounds, &self.trees, &self.files)?;
        Ok(Foreseen { confinement: self, bounds, rules })
    }

    /// Confines the calling thread and what it starts from now on, for good; no other thread. `here` is where that will
    /// stand. What is granted and is not there is passed over. What was foreseen of it a moment ago is not seen to again.
    pub fn enter(&self, here: &Path, foreseen: Option<Foreseen>) -> io::Result<()> {
        let Foreseen { confinement: seen, mut bounds, rules } =
            match foreseen.filter(|it| it.confinement.begins(self)) {
                Some(foreseen) => foreseen,
                None => Self { protected: self.protected.clone(), ..Self::default() }.foresee()?,
            };
        bounds.inner.extend(all_real(&self.inner[seen.inner.len()..])?);
        let there = |tree: &PathBuf| if tree == Path::new(".") { here.to_owned() } else { tree.clone() };
        let trees: Vec<_> = self.trees[seen.trees.len()..].iter().map(there).collect();
        let rules = grant_all(rules, &bounds, &trees, &self.files[seen.files.len()..])?;
        let status = rules.restrict_self().map_err(io::Error::other)?;
        if status.ruleset == RulesetStatus::NotEnforced {
            return Err(io::Error::other("the kernel did not confine it"));
        }
        Ok(())
    }

    /// Whether `whole` is this and more. Then what was foreseen of this is foreseen of that: a tree is granted without what is
    /// protected in it, whatever else is named in there, and one that lies there itself by what names it here.
    fn begins(&self, whole: &Self) -> bool {
        self.protected == whole.protected
            && whole.inner.starts_with(&self.inner)
            && whole.trees.starts_with(&self.trees)
            && whole.files.starts_with(&self.files)
    }
}

/// What was granted before all was known.
#[derive(Debug)]
pub struct Foreseen {
    confinement: Confinement,
    bounds: Bounds,
    rules: RulesetCreated,
}

fn grant_all(
    mut rules: RulesetCreated,
    bounds: &Bounds,
    trees: &[PathBuf],
    files: &[PathBuf],
) -> io::Result<RulesetCreated> {
    for (n, tree) in trees.iter().enumerate() {
        // Often it stands in its workspace.
        if !trees[..n].contains(tree) {
            rules = grant_tree(rules, bounds, tree)?;
        }
    }
    for file in files {
        if let Some(opened) = open(file, 0)? {
            rules = grant(rules, opened, Kind::File.rights())?;
        }
    }
    Ok(rules)
}

/// What is protected and what may be granted in it, without links.
#[derive(Debug)]
struct Bounds {
    protected: Vec<PathBuf>,
    inner: Vec<PathBuf>,
}

/// What becomes of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    All,
    /// Something protected lies in it.
    Entries,
    Nothing,
}

impl Bounds {
    fn share(&self, tree: &Path) -> Share {
        let is_named = |protected: &PathBuf| {
            self.inner
                .iter()
                .any(|inner| tree.starts_with(inner) && inner.starts_with(protected) && inner != protected)
        };
        if self.protected.iter().any(|it| tree.starts_with(it) && !is_named(it)) {
            Share::Nothing
        } else if self.protected.iter().any(|it| it.starts_with(tree)) {
            Share::Entries
        } else {
            Share::All
        }
    }
}

/// Where they are, without links, and the links by which they are reached: who may put another one there has another root.
/// An error is one that may be there: what is protected must not be missed.
fn ways(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut ways = Vec::new();
    for path in paths {
        way(path, &mut ways)?;
    }
    Ok(ways)
}

/// Goes from folder to folder, as the kernel does (`path_resolution(7)`).
fn way(path: &Path, met: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut left: VecDeque<_> = std::path::absolute(path)?.iter().map(OsStr::to_owned).collect();
    let (mut here, mut links) = (PathBuf::from("/"), 0);
    while let Some(name) = left.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        // What is absolute begins with `/`, which takes the place of all before it.
        here.push(name);
        if here.parent().is_none() {
            continue;
        }
        let to = match fs::read_link(&here) {
            Ok(to) => to,
            // No link.
            Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => continue,
            Err(error) if is_out_of_reach(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        links += 1;
        if links > LINKS_MAX {
            return Ok(());
        }
        met.push(here.clone());
        here.pop();
        to.iter().rev().for_each(|part| left.push_front(part.to_owned()));
    }
    met.push(here);
    Ok(())
}

/// Nobody gets there: it is not there, or not for us, and so for no agent of ours.
fn is_out_of_reach(error: &io::Error) -> bool {
    use nix::libc::{EACCES, ENOENT, ENOTDIR};
    matches!(error.raw_os_error(), Some(EACCES | ENOENT | ENOTDIR))
}

/// Those of them that are there, without links.
fn all_real(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    paths.iter().filter_map(|path| open(path, 0).transpose()).map(|opened| real(&opened?)).collect()
}

/// Where it was found: three calls, and not one for each folder on the way.
fn real(opened: &File) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

fn grant_tree(mut rules: RulesetCreated, bounds: &Bounds, tree: &Path) -> io::Result<RulesetCreated> {
    let Some((opened, kind)) = open_tree(tree, 0)? else { return Ok(rules) };
    let real = real(&opened)?;
    match bounds.share(&real) {
        Share::Nothing => return Ok(rules),
        Share::All => return grant(rules, opened, kind.rights()),
        Share::Entries => drop(opened),
    }
    // What cannot be listed cannot be granted; what is on the way to what is protected is gone down into.
    let entries = fs::read_dir(&real).map(Some).or_else(unless_absent)?;
    for entry in entries.into_iter().flatten().flatten().take(ENTRIES_MAX) {
        let path = entry.path();
        rules = match bounds.share(&path) {
            Share::Nothing => rules,
            Share::Entries => grant_tree(rules, bounds, &path)?,
            // A link here may have been made by whom this is to confine.
            Share::All => match open_tree(&path, nix::libc::O_NOFOLLOW)? {
                Some((opened, kind)) => grant(rules, opened, kind.rights())?,
                None => rules,
            },
        };
    }
    Ok(rules)
}

/// What was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
}

impl Kind {
    /// What may be done with it.
    fn rights(self) -> BitFlags<AccessFs> {
        match self {
            // Devices are nobody's to make.
            Self::Folder => handled() & !make_bitflags!(AccessFs::{MakeChar | MakeBlock}),
            Self::File => make_bitflags!(AccessFs::{WriteFile | Truncate}),
        }
    }
}

fn grant(rules: RulesetCreated, opened: File, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    rules.add_rule(PathBeneath::new(opened, access)).map_err(io::Error::other)
}

/// A folder, as nearly all are, or another thing, opened to be pointed at; a link is none.
fn open_tree(path: &Path, flags: i32) -> io::Result<Option<(File, Kind)>> {
    use nix::libc::{ENOTDIR, O_DIRECTORY, O_PATH};
    match File::options().read(true).custom_flags(O_PATH | O_DIRECTORY | flags).open(path) {
        Ok(opened) => Ok(Some((opened, Kind::Folder))),
        Err(error) if error.raw_os_error() == Some(ENOTDIR) => {
            let Some(opened) = open(path, flags)? else { return Ok(None) };
            let kind = opened.metadata().map(Some).or_else(unless_absent)?.map(|it| it.file_type());
            Ok(kind.filter(|kind| !kind.is_symlink()).map(|_| (opened, Kind::File)))
        }
        Err(error) => unless_absent(error),
    }
}

/// Opened to be pointed at, and for nothing else; nothing where it is not there or not for us.
fn open(path: &Path, flags: i32) -> io::Result<Option<File>> {
    let opened = File::options().read(true).custom_flags(nix::libc::O_PATH | flags).open(path);
    opened.map(Some).or_else(unless_absent)
}

/// Nothing, where the error says that it is not there, not for us, or a mount whose other side is gone; others may pass, and
/// what is granted would be too little.
fn unless_absent<T>(error: io::Error) -> io::Result<Option<T>> {
    use nix::libc::{EACCES, EHOSTDOWN, ELOOP, ENOENT, ENOTCONN, ENOTDIR, ESTALE};
    match error.raw_os_error() {
        Some(EACCES | ELOOP | ENOENT | ENOTDIR | ENOTCONN | ESTALE | EHOSTDOWN) => Ok(None),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_shared_by_what_lies_in_it_and_where_it_lies() {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect();
        let bounds = Bounds {
            protected: paths(&["/shared", "/var/log/agents"]),
            inner: paths(&["/shared/workspaces/1", "/shared/repos", "/shared", "/tmp/marie"]),
        };
        for (tree, share) in [
            ("/home/marie", Share::All),
            ("/", Share::Entries),
            ("/var", Share::Entries),
            ("/var/log/agents", Share::Nothing),
            ("/var/log/agents/x", Share::Nothing),
            ("/shared", Share::Nothing),
            ("/shared/tasks", Share::Nothing),
            ("/shared/workspaces", Share::Nothing),
            ("/shared/workspaces/2", Share::Nothing),
            ("/shared/workspaces/1", Share::All),
            ("/shared/workspaces/1/tree", Share::All),
            ("/shared/repos/a", Share::All),
            ("/shared-not", Share::All),
        ] {
            assert_eq!(bounds.share(Path::new(tree)), share, "{tree}");
        }
    }

    #[test]
    fn what_is_protected_is_known_by_its_real_name_and_by_the_links_to_it_or_nothing_is_granted() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        for name in ["data", "data/root", "etc"] {
            fs::create_dir(home.join(name)).unwrap();
        }
        // home/agents -> etc/current -> ../data, and what is asked for is a folder in there.
        symlink("etc/current", home.join("agents")).unwrap();
        symlink("../data", home.join("etc/current")).unwrap();
        let [link, next] = ["agents", "etc/current"].map(|it| home.join(it));
        let asked = [link.join("root"), home.join("absent")];
        assert_eq!(ways(&asked).unwrap(), [link, next, home.join("data/root")]);
        symlink(home.join("data"), home.join("absolute")).unwrap();
        let by = home.join("absolute");
        assert_eq!(ways(std::slice::from_ref(&by)).unwrap(), [by, home.join("data")]);
        // Whether it is there cannot be told.
        let unknown = PathBuf::from(format!("/{}", "x".repeat(5000)));
        assert!(ways(&[unknown]).is_err());
    }

    #[test]
    fn what_is_told_to_the_process_is_what_was_meant() {
        let confinement = Confinement {
            protected: vec!["/shared".into()],
            inner: vec!["/shared/workspaces/1".into()],
            trees: vec![".".into(), "/home/a b".into()],
            files: vec!["/dev/null".into(), "-".into()],
        };
        assert_eq!(Confinement::from_args(&confinement.to_args()), confinement);
        assert_eq!(Confinement::from_args(&["".into()]), Confinement::default());
    }

    #[test]
    fn only_what_the_whole_begins_with_was_foreseen_of_it() {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect();
        let of = |protected: &[&str], inner: &[&str], trees: &[&str], files: &[&str]| Confinement {
            protected: paths(protected),
            inner: paths(inner),
            trees: paths(trees),
            files: paths(files),
        };
        let usual = of(&["/shared"], &["/shared/repos"], &["/home"], &["/dev/null"]);
        let whole = of(&["/shared"], &["/shared/repos", "/shared/1"], &["/home", "."], &["/dev/null", "/x"]);
        assert!(usual.begins(&whole) && usual.begins(&usual) && !whole.begins(&usual));
        for other in [
            of(&["/shared", "/var/log"], &["/shared/repos"], &["/home"], &["/dev/null"]),
            of(&["/shared"], &[], &["/home"], &["/dev/null"]),
            of(&["/shared"], &["/shared/repos"], &["/tmp", "/home"], &["/dev/null"]),
            of(&["/shared"], &["/shared/repos"], &["/home"], &[]),
        ] {
            assert!(!usual.begins(&other), "{other:?}");
        }
    }

    #[test]
    fn each_kernel_is_told_what_it_lacks() {
        for (abi, word) in [(2, Some("cut short")), (5, Some("signals")), (6, None), (12, None)] {
            let gaps = Strength(abi).gaps();
            assert_eq!(gaps.is_some(), word.is_some(), "{abi}");
            assert!(gaps.unwrap_or_default().contains(word.unwrap_or_default()), "{abi}");
        }
    }
}
