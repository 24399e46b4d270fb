//! The gradual resumes that a supervisor leads: after a crash that calls for one, and in place of a leader that died.
//!
//! Each is led by a thread of its own, so that no disk keeps a death from being noticed. What it does stands in the
//! worker's journal, from where it is told like everything else of a worker.
//!
//! It keeps nothing beyond `resume.json`: a successor goes on with what it finds.

use std::collections::{HashMap, VecDeque};
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
        let (deaths, led) = (HashMap::new(), HashMap::new());
        Self { layout, durability, clock, window, next_look: Ticks::default(), deaths, led, tell, told }
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
            let orphaned = !self.led.contains_key(worker)
                && Record::read(&path).is_some_and(|record| record.state != Phase::Stopped);
            if !orphaned {
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
