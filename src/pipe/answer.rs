//! The way of an answer to the pipe that its caller made and reads.
//!
//! Invariants:
//! - nothing but such a pipe is written to, and nothing waits for the caller;
//! - a pipe is opened for one answer and closed after it, so that its reader sees an end;
//! - a folder that was moved or replaced is gone down to anew, at the latest when it was forgotten.
//!
//! It deliberately does not know what is answered.

use std::io;
use std::path::PathBuf;

use super::outlet::write_once;
use crate::os::folder::{End, Folder};

/// The folder of callers' pipes; held between two answers, since the way down to it costs more than the answer.
#[derive(Debug)]
pub struct Callers {
    root: PathBuf,
    dir: PathBuf,
    folder: Option<Folder>,
}

impl Callers {
    /// Those whose pipes stand in `dir`, at or below `root`.
    pub const fn new(root: PathBuf, dir: PathBuf) -> Self {
        Self { root, dir, folder: None }
    }

    /// Goes down to the folder anew before the next answer; to be called every second.
    pub fn forget(&mut self) {
        self.folder = None;
    }

    /// Writes a line to the pipe of that name.
    pub fn answer(&mut self, name: &str, line: &str) -> io::Result<()> {
        if !is_callers(name) {
            let why = "not the name of a pipe for answers: one directly in the folder, and none of a worker's or an agent's";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let held = self.folder.take();
        let is_held = held.is_some();
        let folder = held.map_or_else(|| Folder::open(&self.root, &self.dir), Ok)?;
        let pipe = match folder.fifo(name.as_ref(), End::Write) {
            // It may stand in the folder that took the place of this one.
            Err(error) if is_held && error.kind() == io::ErrorKind::NotFound => {
                return self.answer(name, line);
            }
            opened => opened,
        };
        self.folder = Some(folder);
        let (pipe, _) = pipe?;
        if write_once(&pipe, line.as_bytes())? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

/// Whether a pipe of this name can be a caller's: into those of workers and agents only their own lines go.
fn is_callers(name: &str) -> bool {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    plain && name != "stdin" && ![".in", ".out"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::{BufRead, BufReader};
    use std::path::Path;

    use super::*;

    fn reader_of_new(path: &Path) -> File {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    fn read(pipe: File) -> String {
        BufReader::new(pipe).lines().next().unwrap().unwrap()
    }

    #[test]
    fn an_answer_goes_to_a_pipe_of_the_caller_s_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let mine = reader_of_new(&dir.path().join("mine"));
        for name in ["marie.in", "stdin"] {
            drop(reader_of_new(&dir.path().join(name)));
        }
        File::create(dir.path().join("file")).unwrap();
        std::os::unix::fs::symlink("mine", dir.path().join("link")).unwrap();
        let mut callers = Callers::new(dir.path().to_owned(), dir.path().to_owned());
        let mut to = |name: &str| callers.answer(name, "{}\n");
        to("mine").unwrap();
        assert_eq!(read(mine), "{}");
        assert_eq!(to("mine").unwrap_err().raw_os_error(), Some(nix::libc::ENXIO), "nobody reads");
        for wrong in
            ["", ".", "..", "../x", "a/b", ".hidden", "marie.in", "anga.out", "stdin", "file", "link"]
        {
            assert_eq!(to(wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{wrong}");
        }
        assert_eq!(to("missing").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(std::fs::metadata(dir.path().join("file")).unwrap().len(), 0);
    }

    #[test]
    fn a_folder_that_was_replaced_is_found_by_the_next_answer() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("pipes");
        let mut callers = Callers::new(root.path().to_owned(), dir.clone());
        for answer in ["1", "2", "3"] {
            std::fs::create_dir(&dir).unwrap();
            let reader = reader_of_new(&dir.join("mine"));
            callers.answer("mine", &format!("{answer}\n")).unwrap();
            assert_eq!(read(reader), answer);
            std::fs::remove_dir_all(&dir).unwrap();
        }
        assert_eq!(callers.answer("mine", "4\n").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
