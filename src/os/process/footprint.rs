//! How much memory a process has for itself: what would be free if it were gone.
//!
//! Two ways. The rough one (`/proc/<pid>/status`, microseconds) counts a page once for each process that shares it, so
//! a program that forks is counted too high and never too low. The exact one (`smaps_rollup`, which walks the page
//! tables: some 10 ms for each GiB) shares it out. Neither counts a program's own text, nor files, which the kernel
//! takes back when it needs room.

use super::identity::contents;

/// The rough way, in bytes; `None` if there is no such process.
pub fn rough(pid: i32) -> Option<u64> {
    let text = contents(&format!("/proc/{pid}/status")).ok()?;
    Some(rough_of(&String::from_utf8_lossy(&text)))
}

/// The exact way, in bytes; `None` if it may not be asked of this process, or not of this kernel.
pub fn exact(pid: i32) -> Option<u64> {
    let text = contents(&format!("/proc/{pid}/smaps_rollup")).ok()?;
    exact_of(&String::from_utf8_lossy(&text))
}

/// What the kernel calls it; empty if there is no such process.
pub fn name(pid: i32) -> String {
    let text = contents(&format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&text).trim_end_matches('\n').to_owned()
}

/// `proc_pid_status(5)`: anonymous pages, those of shared memory, and what was swapped out. A zombie has none.
fn rough_of(status: &str) -> u64 {
    sum(status, &["RssAnon:", "RssShmem:", "VmSwap:"]).unwrap_or(0)
}

/// `proc_pid_smaps(5)`: the process's shares of the same.
fn exact_of(rollup: &str) -> Option<u64> {
    sum(rollup, &["Pss_Anon:", "Pss_Shmem:", "SwapPss:"])
}

/// The sum of lines such as `RssAnon:  1024 kB`, in bytes; `None` where the first is missing.
fn sum(text: &str, names: &[&str]) -> Option<u64> {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    let first = of(names.first()?)?;
    Some(names[1..].iter().filter_map(|name| of(name)).fold(first, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_read_what_a_kernel_wrote() {
        let status = "Name:\tnode\nState:\tS (sleeping)\nVmRSS:\t 1059676 kB\nRssAnon:\t 1053058 kB\n\
                      RssFile:\t    6610 kB\nRssShmem:\t       8 kB\nVmSwap:\t    1024 kB\nThreads:\t11\n";
        assert_eq!(rough_of(status), (1_053_058 + 8 + 1024) * 1024);
        assert_eq!(
            rough_of("Name:\tkthreadd\nState:\tS (sleeping)\n"),
            0,
            "kernel threads and zombies have none"
        );
        let rollup = "55e5e9685000-7fff478b1000 ---p 00000000 00:00 0   [rollup]\nRss: 1059676 kB\nPss: 1054255 kB\n\
                      Pss_Dirty: 1053058 kB\nPss_Anon: 526529 kB\nPss_File: 1197 kB\nPss_Shmem: 4 kB\nSwap: 8 kB\nSwapPss: 2 kB\n";
        assert_eq!(exact_of(rollup), Some((526_529 + 4 + 2) * 1024));
        assert_eq!(exact_of("Rss: 1 kB\nPss: 1 kB\n"), None, "before Linux 5.9");
    }

    #[test]
    fn our_own_is_read_and_nobodys_is_not() {
        let pid = std::process::id().cast_signed();
        let held = std::hint::black_box(vec![1_u8; 8 << 20]);
        let (rough, exact) = (rough(pid).unwrap(), exact(pid).unwrap());
        assert!(
            rough >= 8 << 20 && exact >= 8 << 20 && !name(pid).is_empty(),
            "{rough} {exact} {}",
            held.len()
        );
        assert_eq!((super::rough(0), super::exact(0), name(0)), (None, None, String::new()));
    }
}
