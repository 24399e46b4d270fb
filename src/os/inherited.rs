//! What whoever started us left to us, and what of it is handed on to agents: no descriptor, no loose umask, no core
//! dumps.

#![expect(unsafe_code, reason = "setting a flag on a number has no safe face; the proof stands beside it")]

use std::io;

use nix::libc::{F_SETFD, FD_CLOEXEC, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Marks everything that is open above standard error as not to be inherited any further. To be called once at the
/// start: what is opened later is opened so by std.
pub fn keep() -> io::Result<()> {
    let open = std::fs::read_dir("/proc/self/fd")?.flatten();
    let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for fd in numbers.filter(|fd| *fd > 2) {
        // SAFETY: fcntl(2) with F_SETFD takes numbers only and changes no memory; a number that is closed by now
        // is an error, which changes nothing.
        unsafe { fcntl(fd, F_SETFD, FD_CLOEXEC) };
    }
    Ok(())
}

/// What is made from here on is for the group to read and for nobody else (`umask(2)`): ours, and what agents make,
/// unless they say otherwise. Whether the group may write too stays as it was.
pub fn keep_to_the_group() {
    let inherited = umask(Mode::S_IRWXO);
    umask((inherited & Mode::S_IWGRP) | Mode::S_IRWXO);
}

/// No core dumps, of us or of agents (`RLIMIT_CORE`, `core(5)`): in them stand the environment and with it the key, and
/// they fall into workspaces.
pub fn dump_nothing() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard).map_err(io::Error::from)
}
