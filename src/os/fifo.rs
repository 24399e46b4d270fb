//! Named pipes: made, checked, and opened without ever blocking (`fifo(7)`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;

/// Both ends of a pipe that a child is to read.
#[derive(Debug)]
pub struct Ends {
    /// For the child: a blocking descriptor, opened for reading only.
    pub read: File,
    /// For us: a descriptor that never blocks.
    pub write: File,
}

/// Makes a pipe at `path`, replacing one that stands there; anything else in its place is refused.
pub fn make(path: &Path, mode: u32) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_fifo() => std::fs::remove_file(path)?,
        Ok(_) => {
            let why = format!("`{}` is in the way and is not a pipe: move it aside", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    nix::unistd::mkfifo(path, Mode::from_bits_truncate(mode)).map_err(io::Error::from)
}

/// Opens both ends. The reader is opened first, without blocking, so that the writer finds one; then it is set
/// to block, as a program expects of its stdin.
pub fn open_ends(path: &Path) -> io::Result<Ends> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW;
    let read = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let write = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    let old = OFlag::from_bits_truncate(fcntl(read.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(read.as_fd(), FcntlArg::F_SETFL(old.difference(OFlag::O_NONBLOCK)))?;
    Ok(Ends { read, write })
}

/// Writes as much of `bytes` as the pipe takes now; how much that was.
pub fn write_some(mut pipe: &File, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match pipe.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_was_written_before_anybody_read_is_there_and_ends_with_the_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdin");
        make(&path, 0o600).unwrap();
        let Ends { mut read, write } = open_ends(&path).unwrap();
        assert_eq!(write_some(&write, b"hello\n").unwrap(), 6);
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
    }

    #[test]
    fn a_full_pipe_takes_a_part_and_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdin");
        make(&path, 0o600).unwrap();
        let ends = open_ends(&path).unwrap();
        let sent = write_some(&ends.write, &vec![b'x'; 1 << 20]).unwrap();
        assert!((4096..1 << 20).contains(&sent), "{sent}");
    }

    #[test]
    fn a_regular_file_in_its_place_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdin");
        File::create(&path).unwrap();
        assert_eq!(make(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists());
    }
}
