//! The gradual resumes that a supervisor leads: after a crash that calls for one, and in place of a leader that died.
//!
//! Each is led by a thread of its own, so that no disk keeps a death from being noticed. What it does stands in the
//! worker's journal, from where it is told like everything else of a worker.
//!
//! It keeps nothing beyond `resume.json`: a successor goes on with what it finds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::notice::Notice;
use super::lead::{Lead, Told, with_cause};
use crate::clock::{SharedClock, Ticks};
use crate::config::{Durability, resume};
use crate::layout::Layout;
use crate::recovery::ramp::automatic::Crash;
use crate::recovery::ramp::{Approach, Leader, LeaderError, Phase, Record, Terms, after_crash, approach};
use crate::spool::{Disk, Spool};
use crate::task::{Place, WorkerName};

/// Between two looks of a leader.
const LOOK: Duration = Duration::from_millis(200);
/// Between two looks for a resume that nobody leads.
const LOOK_AROUND: Duration = Duration::from_secs(2);

/// A resume that one of our threads leads.
#[derive(Debug)]
struct Led {
    /// Dropped, it ends the thread.
    _stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// The resumes of all workers of this supervisor.
#[derive(Debug)]
pub(in super::super) struct Ramps {
    layout: Layout,
    durability: Durability,
    clock: SharedClock,
    window: Duration,
    next_look: Ticks,
    deaths: HashMap<WorkerName, VecDeque<Ticks>>,
    led: HashMap<WorkerName, Led>,
    /// Those whose `resume.json` could not be read at the last look, which has been told.
    unread: HashSet<WorkerName>,
    tell: Sender<String>,
    told: Receiver<String>,
}

impl Ramps {
    /// Nothing is led yet. Crashes are counted within `window`.
    pub(in super::super) fn new(
        layout: Layout,
        durability: Durability,
        clock: SharedClock,
        window: Duration,
    ) -> Self {
        let (tell, told) = channel();
        let (deaths, led, unread) = (HashMap::new(), HashMap::new(), HashSet::new());
        let next_look = Ticks::default();
        Self { layout, durability, clock, window, next_look, deaths, led, unread, tell, told }
    }

    /// Counts the crashes among what is told.
    pub(in super::super) fn told(&mut self, notice: &Notice) {
        let Notice::Died { worker, .. } = notice else { return };
        let now = self.clock.ticks();
        let deaths = self.deaths.entry(worker.clone()).or_default();
        deaths.push_back(now);
        deaths.retain(|at| now.since(*at) < self.window);
    }

    /// Before a watcher is started: begins a resume if its crashes call for one, so that the new watcher finds it.
    pub(in super::super) fn before_start(&mut self, worker: &WorkerName) {
        let spool = self.spool(worker);
        let count = |place| spool.list(place).map_or(0, |files| files.len());
        let crash = Crash {
            crashes: self.deaths.get(worker).map_or(0, VecDeque::len),
            interrupted: count(Place::Active),
            backlog: count(Place::Pending),
        };
        let Some(batch_size) = after_crash(crash) else { return };
        let terms = Terms {
            batch_size,
            delay_s: resume::DELAY.as_secs_f64(),
            max_failure_rate: resume::MAX_FAILURE_RATE,
            adaptive: true,
            leaderless_s: resume::LEADERLESS.as_secs_f64(),
        };
        let path = self.layout.resume(worker);
        let leader = match approach(&path, &self.clock) {
            Ok(Approach::Free) => Leader::first(path),
            Ok(Approach::Nonsense(leader)) => leader,
            // One is under way, or stopped: that is careful enough.
            Ok(Approach::Led(_) | Approach::Orphaned(..) | Approach::Stopped(..)) => return,
            Err(error) => return self.complain(worker, &error),
        };
        let begun = Lead::begin(spool, leader, terms, crash.backlog);
        self.lead(worker, begun);
    }

    /// Goes on with what nobody leads any more; looked for every other second, however often it is called.
    pub(in super::super) fn look_around(&mut self, workers: &[WorkerName]) {
        let now = self.clock.ticks();
        if now < self.next_look {
            return;
        }
        self.next_look = now.plus(LOOK_AROUND);
        self.led.retain(|_, led| !led.thread.is_finished());
        for worker in workers {
            let path = self.layout.resume(worker);
            if self.led.contains_key(worker) || !self.is_under_way(worker, &path) {
                continue;
            }
            match approach(&path, &self.clock) {
                Ok(Approach::Orphaned(record, leader)) => {
                    let followed = Lead::follow(self.spool(worker), leader, *record);
                    self.lead(worker, followed);
                }
                Ok(Approach::Free | Approach::Led(_) | Approach::Stopped(..) | Approach::Nonsense(_)) => {}
                Err(error) => self.complain(worker, &error),
            }
        }
    }

    /// Whether there is a resume that did not stop. What cannot be read is told once, and looked at again.
    fn is_under_way(&mut self, worker: &WorkerName, path: &Path) -> bool {
        match Record::read(path) {
            Ok(record) => {
                self.unread.remove(worker);
                record.is_some_and(|record| record.state != Phase::Stopped)
            }
            Err(error) => {
                if self.unread.insert(worker.clone()) {
                    self.complain(worker, &error);
                }
                false
            }
        }
    }

    /// What does not work, since the last time.
    pub(in super::super) fn troubles(&self) -> Vec<String> {
        self.told.try_iter().collect()
    }

    fn spool(&self, worker: &WorkerName) -> Arc<Spool<Disk>> {
        let disk = Disk::new(self.layout.root(), self.durability);
        Arc::new(Spool::new(self.layout.clone(), worker.clone(), disk, Arc::clone(&self.clock)))
    }

    fn lead(&mut self, worker: &WorkerName, lead: Result<Lead, LeaderError>) {
        let mut lead = match lead {
            Ok(lead) => lead,
            Err(error) => return self.complain(worker, &error),
        };
        let (stop, stopped) = channel::<()>();
        let (tell, name) = (self.tell.clone(), worker.clone());
        let thread = std::thread::Builder::new().name(format!("resume-{worker}")).spawn(move || {
            let mut complain = |told: Told, _: &Record| {
                if let Told::Trouble(why) = told {
                    // Nobody listens only if the program is about to end.
                    tell.send(format!("{name}: its gradual resume: {why}; it is tried again")).ok();
                }
            };
            while lead.turn(&mut complain).is_none() {
                if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        match thread {
            Ok(thread) => drop(self.led.insert(worker.clone(), Led { _stop: stop, thread })),
            Err(error) => self.complain(worker, &error),
        }
    }

    fn complain(&self, worker: &WorkerName, error: &dyn std::error::Error) {
        self.tell.send(format!("{worker}: no gradual resume: {}", with_cause(error))).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_resume_that_cannot_be_read_is_told_once_and_followed_when_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, worker) = (Layout::new(dir.path()), "marie".parse().unwrap());
        let path = layout.resume(&worker);
        let mut ramps = Ramps::new(layout, Durability::None, SystemClock::shared(), Duration::MAX);
        assert!(!ramps.is_under_way(&worker, &path) && ramps.troubles().is_empty(), "there is none");
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        for told in [1, 0] {
            assert!(!ramps.is_under_way(&worker, &dir.path().join("loop/resume.json")));
            assert_eq!(ramps.troubles().len(), told);
        }
        let terms = Terms::usual();
        let process = crate::os::process::ProcessId::current();
        let record = Record::begin(terms, 12, process, ramps.clock.wall());
        std::fs::create_dir_all(crate::os::durable::parent(&path)).unwrap();
        crate::os::durable::write_new(&path, &record.to_bytes(), None).unwrap();
        assert!(ramps.is_under_way(&worker, &path) && ramps.unread.is_empty());
    }
}
