//! Control groups (`cgroups(7)`, `cgroup-v2` of the kernel's documentation): here those around us, and what memory they leave
//! us; [`group`] is one of a run, and [`base`] where such are made.
//!
//! Version 2, and of version 1 the same three numbers. A group is read from the process's own up to the mount, since a
//! limit of any of them binds. Nothing is made or changed in this file, and the folder of the mount is handed in, so that
//! what other machines wrote can be read.

pub mod base;
pub mod group;

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel shows control groups.
pub const MOUNT: &str = "/sys/fs/cgroup";

/// One group, as far as memory goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its folder.
    pub path: PathBuf,
    /// What it may use, in bytes: the lower of `memory.max` and `memory.high`.
    pub limit: u64,
    /// What it uses, in bytes, without the files that nobody reads any more.
    pub used: u64,
}

impl Level {
    /// What it may use on top of that.
    pub const fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// How much of it is in use, in percent.
    pub fn percent(&self) -> Option<u64> {
        self.used.saturating_mul(100).checked_div(self.limit)
    }
}

/// The names of the files of one version.
struct Names {
    used: &'static str,
    limits: &'static [&'static str],
    idle: &'static str,
}

const V2: Names =
    Names { used: "memory.current", limits: &["memory.max", "memory.high"], idle: "inactive_file " };
const V1: Names =
    Names { used: "memory.usage_in_bytes", limits: &["memory.limit_in_bytes"], idle: "total_inactive_file " };

/// Without a limit version 1 says the largest multiple of a page that fits 63 bits.
const NO_LIMIT: u64 = 1 << 62;

/// Every group with a limit above a process that has `groups` in its `/proc/<pid>/cgroup`, its own first.
pub fn levels(groups: &str, mount: &Path) -> Vec<Level> {
    let (mut folder, top, names) = place(groups, mount);
    let mut found = Vec::new();
    while folder.starts_with(&top) {
        found.extend(level(&folder, &names));
        if !folder.pop() {
            break;
        }
    }
    found
}

fn level(folder: &Path, names: &Names) -> Option<Level> {
    let limits = names.limits.iter().filter_map(|name| number(&folder.join(name)));
    let limit = limits.filter(|limit| *limit < NO_LIMIT).min()?;
    Some(Level { path: folder.to_owned(), limit, used: used(folder, names)? })
}

fn used(folder: &Path, names: &Names) -> Option<u64> {
    let used = number(&folder.join(names.used))?;
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let idle = stat.lines().find_map(|line| line.strip_prefix(names.idle)?.trim().parse::<u64>().ok());
    Some(used.saturating_sub(idle.unwrap_or(0)))
}

/// `max` is no number.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The process's folder, and the one at which its groups end.
fn place(groups: &str, mount: &Path) -> (PathBuf, PathBuf, Names) {
    let v1 = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|it| it == "memory").then_some(group)
    });
    if let Some(group) = v1 {
        let top = mount.join("memory");
        let folder = below(&top, group);
        // In a container its own group is mounted as the root.
        let folder = if folder.is_dir() { folder } else { top.clone() };
        return (folder, top, V1);
    }
    let group = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let folder = below(mount, group);
    let folder = if folder.is_dir() { folder } else { mount.to_owned() };
    (folder, mount.to_owned(), V2)
}

/// What another namespace names from its own root (`/../x`) is not here.
fn below(top: &Path, group: &str) -> PathBuf {
    if group.split('/').any(|part| part == "..") {
        return top.to_owned();
    }
    top.join(group.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cgroup").join(name)
    }

    fn mib(levels: &[Level]) -> Vec<(u64, u64, u64)> {
        levels.iter().map(|it| (it.limit >> 20, it.used >> 20, it.left() >> 20)).collect()
    }

    #[test]
    fn a_unit_of_systemd_is_bound_by_its_own_limit_and_by_its_slices() {
        let mount = recorded("systemd");
        let unit = levels("0::/system.slice/agent-worker-marie.service\n", &mount);
        assert_eq!(mib(&unit), [(1024, 700, 324), (4096, 3900, 196)]);
        assert!(unit[1].path.ends_with("system.slice"));
        let gone = levels("0::/system.slice/other.service\n", &mount);
        assert_eq!(mib(&gone), [], "a folder that is not there has no limit, and neither has the root");
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        for groups in ["0::/\n", "0::/../sibling\n", "0::/docker/3f7a\n"] {
            assert_eq!(mib(&levels(groups, &recorded("docker"))), [(512, 412, 100)], "{groups}");
        }
    }

    #[test]
    fn version_1_tells_the_same_numbers() {
        let groups = "9:name=systemd:/\n4:memory:/jobs/a\n0::/\n";
        assert_eq!(mib(&levels(groups, &recorded("v1"))), [(2048, 1500, 548)]);
        let container = "4:cpu,memory:/docker/3f7a\n";
        assert_eq!(
            mib(&levels(container, &recorded("v1"))),
            [],
            "the root of version 1 says that it has no limit"
        );
    }
}
