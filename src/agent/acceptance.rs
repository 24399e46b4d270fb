//! The acceptance command of a pack: where its program is, and its start.
//!
//! Invariants:
//! - no shell reads it: the words of the pack are the program and its arguments;
//! - its stdin is empty, and both its outputs go into one plain file, so that it waits for nobody;
//! - its environment is the agent's, without what pays for the agent.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::trouble::Program;
use crate::os::cgroup::group::Group;
use crate::os::confine::Confinement;
use crate::os::durable::FILE_MODE;
use crate::os::process::Reaper;
use crate::os::process::start::{self, Started};
use crate::os::process::starter::Apart;

/// Where a program is looked for when the environment does not say.
const USUAL: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// Where the program of a command is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Here.
    At(PathBuf),
    /// Nowhere, and whoever wrote the pack can mend that.
    Nowhere,
    /// Not in the working directory, where the work should have left it.
    NotInTheWork(PathBuf),
}

/// Where `program` is: a name is looked for in `path`, and a path with a slash is seen from `cwd`.
pub fn look_up(program: &str, path: &[PathBuf], cwd: &Path) -> Whereabouts {
    let is_there = |at: &PathBuf| matches!(Program::look(at), Program::Script { .. } | Program::Binary);
    if program.starts_with('/') {
        let at = PathBuf::from(program);
        return if is_there(&at) { Whereabouts::At(at) } else { Whereabouts::Nowhere };
    }
    if program.contains('/') {
        let at = cwd.join(program);
        return if is_there(&at) { Whereabouts::At(at) } else { Whereabouts::NotInTheWork(at) };
    }
    let usual = USUAL.map(PathBuf::from);
    let path = if path.is_empty() { &usual[..] } else { path };
    path.iter().map(|dir| dir.join(program)).find(is_there).map_or(Whereabouts::Nowhere, Whereabouts::At)
}

/// Everything that is needed to start one.
#[derive(Debug)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it works.
    pub cwd: PathBuf,
    /// What it prints goes here, in place of what an earlier one printed.
    pub log: PathBuf,
    /// The control group that it is to be in: that of the run.
    pub group: Option<Group>,
    /// What it may write to: what the agent could.
    pub confined: Option<Confinement>,
}

/// Starts one, from a thread that does nothing else.
pub fn start(apart: Apart, reaper: &Reaper, start: Start) -> io::Result<Started> {
    let how = start::Start {
        program: &start.program,
        arguments: start.arguments,
        environment: start.environment,
        cwd: &start.cwd,
        stdin: Stdio::null(),
        stdout: log(&start.log)?,
        stderr: &start.log,
        group: start.group.as_ref(),
        confined: start.confined.as_ref(),
    };
    start::start(apart, reaper, how)
}

fn log(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_APPEND;
    OpenOptions::new().write(true).truncate(true).create(true).mode(FILE_MODE).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_a_person_would_look() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, work) = (dir.path().join("bin"), dir.path().join("work"));
        for (folder, name, mode) in [(&bin, "check", 0o755), (&bin, "plain", 0o644), (&work, "own", 0o755)] {
            std::fs::create_dir_all(folder).unwrap();
            OpenOptions::new().append(true).create(true).mode(mode).open(folder.join(name)).unwrap();
        }
        let path = [PathBuf::from("/nowhere"), bin.clone()];
        let absolute = bin.join("check").display().to_string();
        for (program, expected) in [
            ("check", Whereabouts::At(bin.join("check"))),
            (absolute.as_str(), Whereabouts::At(bin.join("check"))),
            ("./own", Whereabouts::At(work.join("./own"))),
            ("own", Whereabouts::Nowhere),
            ("plain", Whereabouts::Nowhere),
            ("/nowhere/check", Whereabouts::Nowhere),
            ("./check", Whereabouts::NotInTheWork(work.join("./check"))),
        ] {
            assert_eq!(look_up(program, &path, &work), expected, "{program}");
        }
        assert!(matches!(look_up("sh", &[], &work), Whereabouts::At(_)));
    }
}
