//! How much memory is left, for the machine and for the control groups that we are in.
//!
//! It deliberately does not judge: a number, whose it is, and how hard the kernel already works for it.

use std::fs;
use std::path::PathBuf;

use super::cgroup;

/// Where the kernel tells of it.
#[derive(Clone, Debug)]
pub struct Places {
    /// `/proc`.
    pub proc: PathBuf,
    /// The mount of the control groups.
    pub cgroup: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { proc: "/proc".into(), cgroup: cgroup::MOUNT.into() }
    }
}

/// What is left where it is tightest.
#[derive(Clone, Debug, PartialEq)]
pub struct Headroom {
    /// Bytes that can still be used.
    pub left: u64,
    /// All the bytes that there are.
    pub total: u64,
    /// The control group whose limit that is; `None` for the machine.
    pub group: Option<PathBuf>,
    /// The share of the last ten seconds in which everybody stood still for want of memory, in percent: of the group, or
    /// of the machine. 0 where nobody counts it.
    pub stalled: f64,
}

impl Headroom {
    /// Looks; `None` where the kernel does not tell.
    pub fn look(places: &Places) -> Option<Self> {
        let info = fs::read_to_string(places.proc.join("meminfo")).ok()?;
        let groups = fs::read_to_string(places.proc.join("self/cgroup")).unwrap_or_default();
        let levels = cgroup::levels(&groups, &places.cgroup);
        let (left, total) = (line(&info, "MemAvailable:")?, line(&info, "MemTotal:")?);
        // A limit that is no tighter than the machine binds nobody.
        let tightest = levels.into_iter().min_by_key(cgroup::Level::left).filter(|it| it.left() < left);
        let pressure = tightest
            .as_ref()
            .map_or_else(|| places.proc.join("pressure/memory"), |level| level.path.join("memory.pressure"));
        let stalled = fs::read_to_string(pressure).ok().and_then(|text| stalled(&text)).unwrap_or(0.0);
        Some(match tightest {
            Some(level) => Self { left: level.left(), total: level.limit, group: Some(level.path), stalled },
            None => Self { left, total, group: None, stalled },
        })
    }
}

/// A line of `proc_meminfo(5)`, in bytes.
fn line(info: &str, name: &str) -> Option<u64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// `avg10` of the line `full` (the kernel's `psi` documentation).
fn stalled(pressure: &str) -> Option<f64> {
    let full = pressure.lines().find_map(|line| line.strip_prefix("full "))?;
    full.split(' ').find_map(|word| word.strip_prefix("avg10=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn recorded(name: &str, groups: &str, available_kb: u64) -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path().to_owned();
        for (file, text) in [
            ("meminfo", format!("MemTotal:  8388608 kB\nMemFree:  1 kB\nMemAvailable:  {available_kb} kB\n")),
            ("self/cgroup", groups.to_owned()),
            (
                "pressure/memory",
                "some avg10=9.00 avg60=0 avg300=0 total=1\nfull avg10=5.50 avg60=0 avg300=0 total=1\n"
                    .to_owned(),
            ),
        ] {
            let path = proc.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::io::Write::write_all(&mut fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
        }
        let cgroup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cgroup").join(name);
        (dir, Places { proc, cgroup })
    }

    #[test]
    fn the_tightest_of_machine_and_groups_counts() {
        const UNIT: &str = "0::/system.slice/agent-worker-marie.service\n";
        for (name, groups, available_mib, left_mib, total_mib, group, stalled) in [
            // The slice above is fuller than the unit's own group.
            ("systemd", UNIT, 4000, 196, 4096, Some("system.slice"), 0.0),
            ("systemd", UNIT, 150, 150, 8192, None, 5.5),
            ("docker", "0::/\n", 4000, 100, 512, Some("docker"), 0.0),
            ("v1", "4:memory:/jobs/a\n", 4000, 548, 2048, Some("a"), 0.0),
            ("nowhere", "", 4000, 4000, 8192, None, 5.5),
        ] {
            let (_dir, places) = recorded(name, groups, available_mib << 10);
            let seen = Headroom::look(&places).unwrap();
            assert_eq!((seen.left >> 20, seen.total >> 20), (left_mib, total_mib), "{name} {seen:?}");
            let found = seen.group.as_ref().and_then(|it| it.file_name()?.to_str());
            assert_eq!((found, seen.stalled), (group, stalled), "{name} {seen:?}");
        }
    }

    #[test]
    fn a_group_that_stands_still_says_so() {
        let text =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(
                "tests/fixtures/cgroup/systemd/system.slice/agent-worker-marie.service/memory.pressure",
            ))
            .unwrap();
        assert_eq!(stalled(&text), Some(24.8));
        assert_eq!(stalled("some avg10=1.00\n"), None, "the line `full` is missing before Linux 5.13");
    }

    #[test]
    fn this_machine_tells() {
        let seen = Headroom::look(&Places::default()).unwrap();
        assert!(seen.left > 0 && seen.total >= seen.left, "{seen:?}");
        let nowhere = Places { proc: "/nowhere".into(), cgroup: "/nowhere".into() };
        assert_eq!(Headroom::look(&nowhere), None);
    }
}
