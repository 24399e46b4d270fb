//! Descriptors that whoever started us left open: they end with us, instead of being handed on to agents.

#![expect(unsafe_code, reason = "setting a flag on a number has no safe face; the proof stands beside it")]

use std::io;

use nix::libc::{F_SETFD, FD_CLOEXEC, fcntl};

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
