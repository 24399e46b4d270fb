//! Why an agent could not be started, and what to do about it, in words. Pure, but for one look at what is there.
//!
//! The kernel has one number for several faults: `ENOENT` is said of a program, of the interpreter in its first line,
//! of its loader and of the working directory alike (`execve(2)`, `chdir(2)`).

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The longest first line of a script that the kernel reads (`BINPRM_BUF_SIZE`).
const FIRST_LINE: u64 = 256;

/// A fault in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub why: String,
    /// What a person can do about it.
    pub remedy: String,
}

/// What stands where the program should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Nothing, or nothing that we may see.
    Absent,
    /// A directory.
    Directory,
    /// A file that nobody may execute.
    Plain,
    /// A script with its interpreter, and whether that is there.
    Script {
        /// From its first line.
        interpreter: PathBuf,
        /// Whether there is such a file.
        is_there: bool,
    },
    /// Something executable.
    Binary,
}

impl Program {
    /// Looks at `path`.
    pub fn look(path: &Path) -> Self {
        let Ok(meta) = fs::metadata(path) else { return Self::Absent };
        if meta.is_dir() {
            return Self::Directory;
        }
        if meta.permissions().mode() & 0o111 == 0 {
            return Self::Plain;
        }
        match interpreter(path) {
            Some(interpreter) => Self::Script { is_there: interpreter.is_file(), interpreter },
            None => Self::Binary,
        }
    }
}

fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut line = Vec::new();
    fs::File::open(path).ok()?.take(FIRST_LINE).read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let words = String::from_utf8_lossy(line);
    words.split_whitespace().next().map(PathBuf::from)
}

/// What `error` of starting `program` in `cwd` means.
pub fn explain(error: &io::Error, program: &Path, cwd: &Path) -> Trouble {
    let errno = error.raw_os_error().unwrap_or(0);
    if matches!(errno, nix::libc::ENOENT | nix::libc::ENOTDIR) && !cwd.is_dir() {
        return Trouble {
            why: format!("its working directory `{}` is gone", cwd.display()),
            remedy: "make it again, or hand the task in without `workdir`".to_owned(),
        };
    }
    in_words(errno, &Program::look(program), program)
}

/// Whether `error` tells of something that this process or this machine has too little of, whatever was to be done.
pub fn is_scarcity(error: &io::Error) -> bool {
    use nix::libc::{EAGAIN, EMFILE, ENFILE, ENOMEM};
    matches!(error.raw_os_error(), Some(EAGAIN | EMFILE | ENFILE | ENOMEM))
}

fn in_words(errno: i32, seen: &Program, program: &Path) -> Trouble {
    use nix::libc;
    let path = program.display();
    let (why, remedy) = match (errno, seen) {
        (libc::ENOENT, Program::Absent) => ("it is not there".to_owned(), install()),
        (libc::ENOENT | libc::EACCES, Program::Script { interpreter, is_there: false }) => (
            format!("it is a script, and its interpreter `{}` is not there", interpreter.display()),
            format!("install `{}`, or put the right path into the first line of `{path}`", interpreter.display()),
        ),
        (libc::ENOENT, _) => (
            "it is there, and the loader that it needs is not: it was built for another system".to_owned(),
            format!("`file {path}` and `ldd {path}` say what it needs; {}", install()),
        ),
        (libc::EACCES, Program::Directory) => {
            ("it is a directory".to_owned(), "name the program in it, with --claude-bin or CLAUDE_BIN".to_owned())
        }
        (libc::EACCES, Program::Plain) => ("it may not be executed".to_owned(), format!("`chmod a+x {path}`")),
        (libc::EACCES, _) => (
            "this user may not execute it or its interpreter, or not enter the working directory".to_owned(),
            format!("`namei -l {path}` shows which folder is closed; `findmnt -T {path}` whether its file system is noexec"),
        ),
        (libc::ENOEXEC, _) => (
            "it is neither a program for this machine nor a script with an interpreter in its first line".to_owned(),
            format!("`file {path}` says what it is; {}", install()),
        ),
        (libc::E2BIG, _) => (
            "its arguments and its environment are too long".to_owned(),
            "let fewer or shorter variables through: see --agent-env, and the ANTHROPIC_ variables of the worker".to_owned(),
        ),
        (libc::EAGAIN, _) => (
            "this user or this control group may have no more processes".to_owned(),
            "end what runs too much (`ps -u` of the worker's user), or raise `ulimit -u`, TasksMax= or --pids-limit; a \
             lower --concurrency needs fewer"
                .to_owned(),
        ),
        (libc::ENOMEM, _) => (
            "there is not enough memory".to_owned(),
            "free some, raise the limit of the control group, or lower --concurrency".to_owned(),
        ),
        (libc::EMFILE | libc::ENFILE, _) => (
            "there are no file descriptors left".to_owned(),
            "raise `ulimit -n` (LimitNOFILE=), or lower --concurrency".to_owned(),
        ),
        (libc::ETXTBSY, _) => (
            "it is being written right now, most likely by an update".to_owned(),
            "nothing, if it is an update: it is tried again".to_owned(),
        ),
        (libc::EINVAL, _) => (
            "an argument or a variable holds a NUL byte, or the program's format is broken".to_owned(),
            format!("`file {path}` says what it is; {}", install()),
        ),
        _ => ("the system refused".to_owned(), format!("try it as the worker's user: `{path} --version`")),
    };
    Trouble { why, remedy }
}

fn install() -> String {
    "install it with `npm install -g @anthropic-ai/claude-code`, or name it with --claude-bin or CLAUDE_BIN"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn each_fault_is_told_from_those_that_share_its_number() {
        let script = |is_there| Program::Script { interpreter: "/opt/node".into(), is_there };
        for (errno, seen, why, remedy) in [
            (libc::ENOENT, Program::Absent, "it is not there", "npm install"),
            (libc::ENOENT, script(false), "interpreter `/opt/node` is not there", "install `/opt/node`"),
            (libc::ENOENT, Program::Binary, "another system", "ldd"),
            (libc::EACCES, Program::Directory, "it is a directory", "--claude-bin"),
            (libc::EACCES, Program::Plain, "may not be executed", "chmod a+x /bin/it"),
            (libc::EACCES, script(true), "or its interpreter", "noexec"),
            (libc::ENOEXEC, Program::Binary, "neither a program for this machine", "file /bin/it"),
            (libc::E2BIG, Program::Binary, "too long", "--agent-env"),
            (libc::EAGAIN, Program::Binary, "no more processes", "ulimit -u"),
            (libc::ENOMEM, Program::Binary, "not enough memory", "--concurrency"),
            (libc::EMFILE, Program::Binary, "no file descriptors", "ulimit -n"),
            (libc::ENFILE, Program::Binary, "no file descriptors", "ulimit -n"),
            (libc::ETXTBSY, Program::Binary, "being written", "tried again"),
            (libc::EINVAL, Program::Binary, "NUL byte", "file /bin/it"),
            (libc::EIO, Program::Binary, "the system refused", "--version"),
        ] {
            let trouble = in_words(errno, &seen, Path::new("/bin/it"));
            assert!(
                trouble.why.contains(why) && trouble.remedy.contains(remedy),
                "{errno} {seen:?}: {trouble:?}"
            );
        }
    }

    #[test]
    fn a_working_directory_that_is_gone_is_not_taken_for_a_missing_program() {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        let gone = explain(&error, Path::new("/bin/sh"), Path::new("/no/such/directory"));
        assert!(gone.why.contains("`/no/such/directory` is gone"), "{gone:?}");
        let missing = explain(&error, Path::new("/no/such/program"), Path::new("/"));
        assert_eq!(missing.why, "it is not there");
    }
}
