//! The base image: a small Debian with systemd, on which containers and machines of the tests stand. Made once
//! (`debootstrap`), and kept in `${XDG_CACHE_HOME:-~/.cache}/agent-worker-ci`.
//!
//! Always: nothing is downloaded but packages of Debian; two tests that want it at once make it once.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test plays the user, and ends where it cannot go on"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};

use crate::real;

/// What is in it besides `debootstrap`'s smallest Debian. Another list makes another image.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,procps,sudo,curl,git,jq,rsync,vim-tiny,ca-certificates";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// It as a tar, made at the first call. `None`, aloud, where it cannot be made.
pub(crate) fn tar() -> Option<PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MADE.get_or_init(make).clone()
}

fn make() -> Option<PathBuf> {
    let cache = cache();
    fs::create_dir_all(&cache).unwrap();
    let release = release();
    let tar = cache.join(format!("base-{release}-{}.tar", PACKAGES.replace(',', "+")));
    // Two tests may want it at once: one makes it, the other waits.
    let lock = fs::File::create(cache.join("base.lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    if tar.exists() {
        return Some(tar);
    }
    real::program("debootstrap")?;
    let root = tempfile::Builder::new().prefix("base-").tempdir_in(&cache).unwrap();
    // What it mounts there goes with it, also where it is killed.
    let output = Command::new("unshare")
        .args(["--mount", "--fork", "--kill-child", "debootstrap"])
        .args(["--variant=minbase", &format!("--include={PACKAGES}"), &release])
        .arg(root.path())
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().unwrap_or_default();
        real::skip(&format!("debootstrap makes no base image: {last}"));
        return None;
    }
    // What the packages came in is not needed, and a name that is its own must not be this machine's.
    fs::remove_dir_all(root.path().join("var/cache/apt/archives")).ok();
    fs::remove_dir_all(root.path().join("var/lib/apt/lists")).ok();
    for file in ["etc/machine-id", "etc/hostname"] {
        fs::write(root.path().join(file), "").ok();
    }
    let half = tar.with_extension("half");
    let status =
        Command::new("tar").arg("-C").arg(root.path()).arg("-cf").arg(&half).arg(".").status().unwrap();
    assert!(status.success(), "tar: {status}");
    fs::rename(half, &tar).unwrap();
    Some(tar)
}

/// The release of Debian that this machine runs, else the one that the programs are built for: what cargo built here
/// needs this machine's libc.
fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value("VERSION_CODENAME").filter(|_| value("ID") == Some("debian")).unwrap_or("bookworm").to_owned()
}

fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(|| "/tmp".into()).join("agent-worker-ci")
}
