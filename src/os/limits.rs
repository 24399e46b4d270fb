//! What the kernel allows us of descriptors, processes and events, and how much of it is used. Thin: what is too little
//! is for whoever asks.

use std::fs;
use std::io;
use std::path::Path;
use std::thread::Builder;

use nix::sys::resource::{Resource, getrlimit};
use rustix::fs::inotify;
use rustix::io::Errno;

/// Kernel events (`inotify(7)`): of one user, instances and watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inotify {
    /// How many instances are used by the processes that we can see, and how many may be.
    pub instances: (u64, u64),
    /// The same for watches.
    pub watches: (u64, u64),
}

/// Whether one thread more can be had: asked before somebody who takes a refusal for a bug.
pub fn room_for_a_thread() -> io::Result<()> {
    // It has nothing to do, and so nothing to say.
    Builder::new().spawn(|| ())?.join().ok();
    Ok(())
}

/// How many descriptors a process of ours may have: the soft limit.
pub fn descriptors() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

/// The greatest process number.
pub fn pid_max() -> Option<u64> {
    number(Path::new("/proc/sys/kernel/pid_max"))
}

/// Which cgroups are mounted: 2, 1, or none.
pub fn cgroup_version() -> Option<u8> {
    let there = |path: &str| Path::new(path).exists();
    if there("/sys/fs/cgroup/cgroup.controllers") {
        Some(2)
    } else {
        there("/sys/fs/cgroup/memory").then_some(1)
    }
}

/// What is left of kernel events; `None` where `/proc` does not tell.
pub fn inotify() -> Option<Inotify> {
    let limit = |name: &str| number(&Path::new("/proc/sys/fs/inotify").join(name));
    let (mut instances, mut watches) = (0, 0);
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(fds) = fs::read_dir(process.path().join("fd")) else { continue };
        for fd in fds.flatten().filter(|fd| is_inotify(&fd.path())) {
            instances += 1;
            let told = fs::read_to_string(process.path().join("fdinfo").join(fd.file_name()));
            watches +=
                told.map_or(0, |it| it.lines().filter(|line| line.starts_with("inotify ")).count() as u64);
        }
    }
    let most = limit("max_user_instances")?;
    // Not all processes of a user may be seen by that user, and each has its share.
    let is_out = inotify::init(inotify::CreateFlags::CLOEXEC).is_err_and(|error| error == Errno::MFILE);
    Some(Inotify {
        instances: (if is_out { most } else { instances }, most),
        watches: (watches, limit("max_user_watches")?),
    })
}

fn is_inotify(fd: &Path) -> bool {
    fs::read_link(fd).is_ok_and(|to| to.to_string_lossy().contains("inotify"))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
