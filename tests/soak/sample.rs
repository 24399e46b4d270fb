//! What those who are left alone hold on to, at rest: the watcher of marie from the beginning, the supervisor from the
//! middle on.

use std::fs;
use std::time::{Duration, Instant};

use crate::faults::Faults;
use crate::world::until;
use crate::{Soak, sight};

/// How much the last third may add to the resident memory: a round of retention leaves its mark once.
const GROWS_KIB: u64 = 2048;
/// Descriptors and threads that come and go.
const SLACK: u64 = 2;

#[derive(Clone, Copy)]
struct Sample {
    pid: i32,
    rss: u64,
    fds: u64,
    threads: u64,
}

impl Sample {
    fn of(pid: i32) -> Self {
        let number = |field| {
            let value = sight::status(pid, field).unwrap_or_default();
            value.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0)
        };
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |it| it.count() as u64);
        Self { pid, rss: number("VmRSS"), fds, threads: number("Threads") }
    }
}

pub(crate) struct Samples {
    began: Instant,
    marie: Vec<Sample>,
    supervisor: Vec<Sample>,
}

impl Samples {
    pub(crate) fn begin(soak: &Soak) -> Self {
        println!(
            "{:>7} {:>8} {:>7}  {:>20}  {:>20}",
            "s", "tasks", "faults", "marie KiB fds thr", "supervisor KiB fds thr"
        );
        let mut samples = Self { began: Instant::now(), marie: Vec::new(), supervisor: Vec::new() };
        samples.look(soak, 0);
        samples
    }

    /// Everything has ended: after a rest they are looked at.
    pub(crate) fn take(&mut self, soak: &Soak, faults: &Faults, rest: Duration) {
        until(rest, || None::<()>);
        self.look(soak, faults.count());
    }

    fn look(&mut self, soak: &Soak, faults: u64) {
        let marie = self.between_two_rounds(soak.pid("marie"));
        let supervisor = Sample::of(soak.supervisor.as_ref().unwrap().pid());
        println!(
            "{:>7} {:>8} {faults:>7}  {:>12} {:>3} {:>3}  {:>12} {:>3} {:>3}",
            self.began.elapsed().as_secs(),
            soak.handed_in(),
            marie.rss,
            marie.fds,
            marie.threads,
            supervisor.rss,
            supervisor.fds,
            supervisor.threads
        );
        self.marie.push(marie);
        self.supervisor.push(supervisor);
    }

    /// The retention goes round all the time and holds some folders meanwhile: it is looked at when it does not.
    fn between_two_rounds(&self, pid: i32) -> Sample {
        let most = self.marie.first().map_or(u64::MAX, |first| first.fds + SLACK);
        let rests = || Some(Sample::of(pid)).filter(|it| it.fds <= most);
        until(Duration::from_secs(20), rests).unwrap_or_else(|| Sample::of(pid))
    }

    /// What grew.
    pub(crate) fn grown(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let (first, last) = (self.marie[0], self.marie[self.marie.len() - 1]);
        if self.marie.iter().any(|it| it.pid != first.pid) {
            broken.push("the watcher of marie ended, which nobody had killed".to_owned());
        }
        if last.fds > first.fds + SLACK {
            broken.push(format!("marie's watcher had {} descriptors, and has {}", first.fds, last.fds));
        }
        // In the beginning a process finds its size.
        for (whose, all) in [("marie's watcher", &self.marie), ("the supervisor", &self.supervisor)] {
            let before = all[all.len() * 2 / 3];
            let last = all[all.len() - 1];
            if last.pid != before.pid {
                continue;
            }
            if last.rss > before.rss + GROWS_KIB {
                broken
                    .push(format!("{whose} grew from {} to {} KiB in the last third", before.rss, last.rss));
            }
            if last.fds > before.fds + SLACK || last.threads > before.threads + SLACK {
                broken.push(format!(
                    "{whose} had {} descriptors and {} threads, and has {} and {}",
                    before.fds, before.threads, last.fds, last.threads
                ));
            }
        }
        broken
    }
}
