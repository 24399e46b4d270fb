//! What `--fix` does: told first, then done. Nothing here can cost anybody anything: it makes what is missing, removes
//! what nobody holds, and takes rights away that nobody should have.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::DoctorArgs;
use super::check::{Check, Fix};
use super::judge::pipe_mode;
use crate::operator::desk::Desk;
use crate::os::durable::{DIR_MODE, make_dir};
use crate::os::fifo;
use crate::recovery::locks;

/// Does every fix of `checks`, or only tells them; one that fails is told and does not cost the others.
pub(super) fn all(desk: &Desk, checks: &[Check], args: &DoctorArgs) {
    for fix in checks.iter().filter_map(|check| check.fix.as_ref()) {
        let told = crate::operator::report::one_line(&fix.to_string());
        desk.report.talk(&format!("{}{told}", if args.dry_run { "would " } else { "" }));
        if !args.dry_run
            && let Err(error) = one(fix)
        {
            desk.report.warn(&format!("could not {told}: {error}"));
        }
    }
}

fn one(fix: &Fix) -> io::Result<()> {
    match fix {
        Fix::MakeFolder { path } => make_dir(path, DIR_MODE),
        // Only where nothing stands: a pipe that came meanwhile is somebody's.
        Fix::MakePipe { path } if path.symlink_metadata().is_ok() => Ok(()),
        Fix::MakePipe { path } => {
            let mode = pipe_mode(path);
            fifo::make(path, mode).and_then(|()| set_mode(path, mode))
        }
        Fix::RemoveLock { path } => locks::remove_stale(path).map(drop),
        Fix::SetMode { path, mode } => set_mode(path, *mode),
    }
}

/// Through a descriptor that follows no link.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    File::options().read(true).custom_flags(flags).open(path)?.set_permissions(Permissions::from_mode(mode))
}
