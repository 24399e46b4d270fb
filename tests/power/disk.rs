//! A disk that loses its power: an ext4 in a file, shut down by the kernel at once and without writing anything more
//! (`EXT4_IOC_SHUTDOWN`, `ioctl_xfs_goingdown(2)`). What had not been waited for is gone when it is mounted again.

//!
//! Always: whoever has such a disk lives in a mount namespace of its own. A namespace that others make copies the mounts of
//! theirs, and as long as one of them holds the disk it is not taken down, and stays cut.

#![expect(unsafe_code, reason = "the requests have no safe face; the proofs stand beside them")]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::real;
use crate::world::World;

/// How a disk is mounted. The journal is written every second, so that names may reach it before what they name; without
/// order and without `auto_da_alloc` nothing is in a file that nobody synced.
pub(crate) const KINDS: [&str; 3] = ["defaults", "commit=1", "commit=1,data=writeback,noauto_da_alloc"];

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`: the same number on every file system that knows it.
const SHUTDOWN: nix::libc::Ioctl = 0x8004_587d;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written.
static NOW: u32 = 2;

/// The root and the agents' home of a world are on it.
pub(crate) struct Disk {
    image: PathBuf,
    at: PathBuf,
    options: &'static str,
    shown: [PathBuf; 2],
    witness: PathBuf,
}

impl Disk {
    /// `None`, said aloud, where this user may not mount, or the kernel cannot cut.
    pub(crate) fn new(world: &World, options: &'static str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            real::skip("only root may mount a disk, and cut its power");
            return None;
        }
        real::program("mkfs.ext4")?;
        apart();
        let (image, at) = (world.path().join("disk.img"), world.path().join("disk"));
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(96 << 20).unwrap();
        let witness = world.path().join("witness.log");
        let disk = Self { image, at, options, shown: [world.root(), world.home()], witness };
        let made = runs("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&disk.image]) && disk.mounts();
        if !made {
            real::skip("no ext4 in a file can be made and mounted here (mkfs.ext4, a loop device, root)");
            return None;
        }
        for shown in &disk.shown {
            fs::create_dir(disk.at.join(shown.file_name().unwrap())).unwrap();
        }
        disk.sync();
        disk.show();
        Some(disk)
    }

    fn mounts(&self) -> bool {
        runs("mount", &["-o", &format!("loop,{}", self.options)], &[&self.image, &self.at])
    }

    fn show(&self) {
        for shown in &self.shown {
            let from = self.at.join(shown.file_name().unwrap());
            assert!(runs("mount", &["--bind"], &[&from, shown]), "{} is shown", shown.display());
        }
        // What agents say of themselves is told to us, and no part of the machine.
        let log = self.shown[1].join("fake-claude.log");
        if log.symlink_metadata().is_err() {
            symlink(&self.witness, log).unwrap();
        }
    }

    /// Everything there is now is safe.
    pub(crate) fn sync(&self) {
        let folder = fs::File::open(&self.at).unwrap();
        nix::unistd::syncfs(&folder).unwrap();
    }

    /// The journal is written, and what it tells of need not be.
    pub(crate) fn names_are_safe(&self) {
        let file = fs::File::create(self.at.join("names")).unwrap();
        file.sync_all().unwrap();
    }

    /// The power goes.
    pub(crate) fn cut(&self) {
        let folder = fs::File::open(&self.at).unwrap();
        // SAFETY: the kernel reads one u32 through the pointer, which outlives the call.
        let cut = unsafe { nix::libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const NOW) };
        assert_eq!(cut, 0, "the power goes: {}", std::io::Error::last_os_error());
    }

    /// Who worked is dead, and the machine comes back: the journal is played, what is there is sound.
    pub(crate) fn back(&self, world: &World) {
        world.until("nobody is left on the disk", || self.is_unmounted().then_some(()));
        assert!(self.mounts(), "the journal is played");
        assert!(runs("umount", &[], &[&self.at]), "and it is put down again");
        let sound = Command::new("e2fsck").args(["-f", "-n"]).arg(&self.image).output().unwrap();
        assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stdout));
        assert!(self.mounts(), "it comes back");
        self.show();
        let probe = self.at.join("probe");
        let works = fs::write(&probe, "").and_then(|()| fs::File::open(&probe)?.sync_all());
        assert!(works.is_ok(), "it works again: {works:?}");
    }

    fn is_unmounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
        let is_there = |path: &Path| {
            let path = format!(" {} ", path.display());
            mounts.lines().any(|line| line.contains(&path))
        };
        let places = [&self.shown[0], &self.shown[1], &self.at];
        places.into_iter().all(|place| !is_there(place) || runs("umount", &[], &[place]))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for place in [&self.shown[0], &self.shown[1], &self.at] {
            runs("umount", &["-l"], &[place]);
        }
        fs::remove_file(&self.image).ok();
    }
}

/// This thread, and whatever it starts, sees mounts that nobody else sees.
fn apart() {
    // SAFETY: it takes no pointer, and changes nothing but what this thread sees of the file systems.
    let unshared = unsafe { nix::libc::unshare(nix::libc::CLONE_NEWNS) };
    assert_eq!(unshared, 0, "a mount namespace: {}", std::io::Error::last_os_error());
    assert!(runs("mount", &["--make-rprivate"], &[Path::new("/")]), "nobody else sees what is mounted here");
}

fn runs(program: &str, flags: &[&str], paths: &[&Path]) -> bool {
    Command::new(program).args(flags).args(paths).output().is_ok_and(|it| it.status.success())
}
