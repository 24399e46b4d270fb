//! Faults that a test makes: small disks that fill up, a root that turns read-only, system calls that fail.
//!
//! A fault begins when its value is made and ends when it is dropped. [`Injection`] takes any system call, any error and
//! any of strace's `when=` (`3`, `2+`, `1+5`), so that a sweep over all of them is a loop around it.

#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test uses its own part")]
#![allow(clippy::disallowed_methods, reason = "a test plays the machine that fails")]
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::real;
use crate::world::{Started, World, until};

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|it| it.status.success())
}

/// A small disk; taken away when it is dropped.
pub struct SmallDisk {
    at: PathBuf,
    image: Option<PathBuf>,
}

impl SmallDisk {
    /// A disk in memory at `at`, with mount options such as `size=96m,nr_inodes=2000`. `None`, said aloud, where this
    /// user may not mount.
    pub fn tmpfs(at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mounted = runs("mount", &["-t", "tmpfs", "-o", options, "tmpfs", at.to_str().unwrap()]);
        if !mounted {
            real::skip("this user may not mount a small disk (run the tests as root)");
            return None;
        }
        Some(Self { at, image: None })
    }

    /// A real file system of `mib` MiB in a file beside `at`, mounted there.
    pub fn ext4(at: PathBuf, mib: u64) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let image = at.with_extension("img");
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let made = runs("mkfs.ext4", &["-q", "-F", "-m", "0", image.to_str().unwrap()])
            && runs("mount", &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()]);
        if !made {
            real::skip("no ext4 in a file can be made and mounted here (mkfs.ext4, a loop device, root)");
            return None;
        }
        Some(Self { at, image: Some(image) })
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Writes until nothing more goes in; the file is in `.filler`.
    pub fn fill(&self) -> Filler {
        Filler::of(&self.at)
    }

    /// Makes files until no more can be made.
    pub fn fill_inodes(&self) -> Filler {
        let dir = self.at.join(".inodes");
        fs::create_dir(&dir).unwrap();
        let full = (0..1_000_000).find(|n| fs::File::create(dir.join(n.to_string())).is_err());
        assert!(full.is_some(), "the inodes end");
        Filler(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        runs("umount", &["-l", self.at.to_str().unwrap()]);
        if let Some(image) = &self.image {
            fs::remove_file(image).ok();
        }
    }
}

/// What fills a disk; it goes when it is dropped.
pub struct Filler(PathBuf);

impl Filler {
    /// Fills the disk of the folder `dir` to the last byte.
    pub fn of(dir: &Path) -> Self {
        let path = dir.join(".filler");
        for block in ["1M", "4K", "1"] {
            let more = Command::new("dd")
                .args(["if=/dev/zero", "oflag=append", "conv=notrunc", &format!("bs={block}")])
                .args(if block == "1" { vec!["count=8192"] } else { vec![] })
                .arg(format!("of={}", path.display()))
                .output()
                .expect("dd runs");
            assert!(!more.status.success() || block == "1", "the disk is full");
        }
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_file(&self.0).or_else(|_| fs::remove_dir_all(&self.0)).ok();
    }
}

/// A folder that can be seen, and not be written, as after `mount -o remount,ro`: the kernel refuses a plain remount
/// while a file is open for writing, as a watcher's always are; so the same folder is laid over itself, read-only. What
/// is open already can still be written.
pub struct ReadOnly(PathBuf);

impl ReadOnly {
    pub fn over(dir: &Path) -> Option<Self> {
        let at = dir.to_str().unwrap();
        if !runs("mount", &["--bind", at, at]) {
            real::skip("this user may not lay a folder over itself (run the tests as root)");
            return None;
        }
        let over = Self(dir.to_owned());
        assert!(runs("mount", &["-o", "remount,bind,ro", at]), "read-only from here on");
        Some(over)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        runs("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

/// System calls of a program that fail, from now until this is dropped. Its children are not touched once they are
/// another program.
pub struct Injection {
    strace: Child,
    told: PathBuf,
}

impl Injection {
    /// `what` as strace's `-e inject=` takes it: `fsync:error=EIO`, `openat:error=EMFILE:when=3+5`. `when=` counts in
    /// each thread by itself. `None`, said aloud, where there is no strace or it may not attach.
    pub fn into(world: &World, program: &Started, what: &[&str]) -> Option<Self> {
        Self::of(world, program, what, &[])
    }

    /// The same, only for calls about the very path `only`.
    pub fn about(world: &World, program: &Started, what: &[&str], only: &Path) -> Option<Self> {
        Self::of(world, program, what, &[only.to_owned()])
    }

    /// The same for calls whose first path is any of `only`.
    pub fn about_any(world: &World, program: &Started, what: &[&str], only: &[PathBuf]) -> Option<Self> {
        Self::of(world, program, what, only)
    }

    fn of(world: &World, program: &Started, what: &[&str], only: &[PathBuf]) -> Option<Self> {
        let (mut command, told) = strace(world, what, only)?;
        command.args(["-b", "execve", "-p", &program.pid().to_string()]);
        let mut injection = Self { strace: command.spawn().unwrap(), told };
        let traced = until(Duration::from_secs(10), || {
            let over = injection.strace.try_wait().unwrap().is_some();
            (over || is_traced(program.pid())).then_some(!over)
        });
        if traced != Some(true) {
            real::skip("strace may not attach here");
            return None;
        }
        Some(injection)
    }

    /// Starts `command` with its system calls about the path `only` failing from the first one on; its agents' too.
    pub fn around(
        world: &World,
        (command, tag): (&Command, &str),
        what: &[&str],
        only: Option<&Path>,
    ) -> Option<Started> {
        let only: Vec<_> = only.into_iter().map(Path::to_owned).collect();
        let (mut traced, _) = strace(world, what, &only)?;
        traced.arg("--").arg(command.get_program()).args(command.get_args()).env_clear();
        traced.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        Some(world.start(&mut traced, tag))
    }

    /// What was refused so far, a line a call, with the paths behind descriptors.
    pub fn refused(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.told).unwrap_or_default();
        text.lines().filter(|line| line.contains("(INJECTED)")).map(str::to_owned).collect()
    }

    /// Every call of the kinds that are injected.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.told).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until something was refused.
    pub fn bites(&self, world: &World) {
        world.until("a call is refused", || (!self.refused().is_empty()).then_some(()));
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // Asked politely it lets go of the program; killed it would leave it as it is too, but late.
        kill(Pid::from_raw(self.strace.id().cast_signed()), Signal::SIGTERM).ok();
        self.strace.wait().ok();
    }
}

fn strace(world: &World, what: &[&str], only: &[PathBuf]) -> Option<(Command, PathBuf)> {
    if !runs("strace", &["--version"]) {
        real::skip("there is no strace here");
        return None;
    }
    let told = (1..1000).map(|n| world.path().join(format!("strace.{n}"))).find(|it| !it.exists()).unwrap();
    fs::write(&told, "").unwrap();
    let calls: Vec<_> = what.iter().map(|it| it.split(':').next().unwrap()).collect();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-s", "256", "-A", "-o", told.to_str().unwrap()]);
    command.args(["-e", &format!("trace={}", calls.join(","))]);
    command.args(["-e", "signal=none"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for path in only {
        command.args(["-P", path.to_str().unwrap()]);
    }
    for it in what {
        command.args(["-e", &format!("inject={it}")]);
    }
    Some((command, told))
}

fn is_traced(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut traced = threads.map(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|it| it.trim() != "0"))
    });
    traced.all(|it| it)
}

/// The share of one core that `pid` takes over `span`, in percent.
pub fn cpu(pid: i32, span: Duration) -> f64 {
    cpu_while_it_lives(pid, span).expect("it lives")
}

/// The same; nothing if it ended meanwhile.
pub fn cpu_while_it_lives(pid: i32, span: Duration) -> Option<f64> {
    let (before, began) = (cpu_time(pid)?, Instant::now());
    std::thread::sleep(span);
    Some(100.0 * (cpu_time(pid)? - before) / began.elapsed().as_secs_f64())
}

/// Seconds of `utime` and `stime` (`proc(5)`).
fn cpu_time(pid: i32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap().unwrap();
    Some((fields[11] + fields[12]) / f64::from(i32::try_from(ticks).unwrap()))
}
