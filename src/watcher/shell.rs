//! The loop: waits for signals, hints, runs and time, asks the core, does what it says.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::attend::{Begin, Order, Run};
use super::beat::{Beat, Beaten};
use super::command::{Desk, Hearing};
use super::core::{Core, Effect, Event, Now, REFUSED, Wanted};
use super::ctx::Ctx;
use super::effects::{Errands, Left, Told};
use super::look::{Finds, Scanner, Slot, Watched};
use super::looks::Looks;
use super::outside::{Word, watch, word};
use super::packs::Packs;
use super::ramp::Ramp;
use super::verdicts::{Verdict, Verdicts};
use crate::clock::Ticks;
use crate::os::alarm::{self, Alarm};
use crate::os::signals::Signal;
use crate::os::watch::{Hint, Hints};
use crate::pipe::outlet::Listener;
use crate::spool::found::FILE_LIMIT;
use crate::spool::{Examined, Lease, Store};
use crate::task::{FileName, Place, RunId, TaskFile};
use crate::telemetry::log::LogHandle;
use crate::telemetry::traces::TracesGuard;

/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// Between two looks at everything where there are kernel events, and where there are none.
const SCAN: Duration = Duration::from_secs(10);
const SCAN_BLIND: Duration = Duration::from_secs(3);
/// What is due so soon is done with what is due now: one wake-up instead of two.
const TOGETHER: Duration = Duration::from_millis(30);

/// A run as the loop knows it.
struct Following {
    run: RunId,
    /// The pack that it names.
    pack: Option<String>,
    dir: PathBuf,
    orders: mpsc::UnboundedSender<Order>,
}

/// The loop's own things.
pub(super) struct Shell {
    pub(super) ctx: Rc<Ctx>,
    pub(super) beat: Beat,
    /// Before the log, which hears what the last spans met.
    pub(super) _sending: TracesGuard,
    pub(super) log: LogHandle,
    pub(super) signals: mpsc::UnboundedReceiver<Signal>,
    pub(super) hints: Option<Hints>,
    pub(super) living: Vec<FileName>,
}

/// What the loop knows.
pub(super) struct Looping {
    pub(super) ctx: Rc<Ctx>,
    pub(super) core: Core,
    pub(super) errands: Errands,
    pub(super) desk: Desk,
    hearing: Hearing,
    looks: Looks,
    verdicts: Verdicts,
    runs: HashMap<FileName, Following>,
    watched: Watched,
    ramp: Ramp,
    packs: Packs,
    scanner: Option<Scanner>,
    is_first_scan: bool,
    next_scan: Ticks,
    next_beat: Ticks,
    own: Option<Ticks>,
    kill_at: Option<Ticks>,
    faulty: bool,
    /// What was looked at by name since the last look at everything.
    looked: HashSet<Slot>,
    /// Files in `active/` for which we started no agent.
    unstarted: HashSet<FileName>,
    leaving: Option<Parting>,
}

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// It was told to stop, and nothing runs any more.
    Stopped,
    /// The worker is not ours any more: everything was left as it is.
    LostLock,
}

impl Shell {
    /// Works until it is told to stop and nothing runs any more, or until the worker is not ours any more.
    pub(super) async fn run(mut self) -> Parting {
        let (tell, mut told) = mpsc::unbounded_channel();
        let alarm = Alarm::new().ok();
        let config = &self.ctx.config;
        let mut looping = Looping {
            core: Core::new(config.worker.clone(), config.concurrency),
            errands: Errands { ctx: Rc::clone(&self.ctx), tell },
            desk: Desk::default(),
            hearing: Hearing::new(&self.ctx),
            looks: Looks::default(),
            verdicts: Verdicts::default(),
            runs: HashMap::new(),
            watched: Watched::new(self.ctx.layout(), &config.worker),
            ramp: Ramp::default(),
            packs: Packs::default(),
            scanner: Some(Scanner::default()),
            is_first_scan: true,
            next_scan: Ticks::default(),
            next_beat: Ticks::default(),
            own: None,
            kill_at: None,
            faulty: false,
            looked: HashSet::new(),
            unstarted: HashSet::new(),
            leaving: None,
            ctx: Rc::clone(&self.ctx),
        };
        if self.ctx.board.show().wanted.is_some() {
            tracing::info!("paused before it was started: taking no new tasks until `resume`");
            looping.on_event(Event::Asked(Wanted::Pause));
        }
        for file in std::mem::take(&mut self.living) {
            looping.recover(file);
        }
        let left = loop {
            if let Some(left) = looping.leaving {
                break left;
            }
            looping.on_time(&mut self);
            let (now, until) = looping.until();
            tokio::select! {
                biased;
                Some(signal) = self.signals.recv() => looping.on_signal(signal, &self.log),
                Some(it) = told.recv() => looping.on_told(it, &mut self.hints),
                word = word(&mut self.hints, &looping.hearing) => {
                    let may_be_more = match word {
                        Word::Hinted(hints) => {
                            looping.on_hints(hints);
                            true
                        }
                        Word::Spoken => looping.hear(&self.log),
                    };
                    // Whoever prints without end, or floods the pipe, does not keep the runs from their turns.
                    if may_be_more {
                        tokio::task::yield_now().await;
                    }
                }
                () = self.ctx.herald.left() => {}
                () = alarm::pause(alarm.as_ref(), now, until) => {}
            }
            looping.ctx.board.turned(looping.ctx.clock.ticks());
        };
        // What was lost since the last beat.
        self.log.tell_lost();
        if left == Parting::Stopped {
            self.beat.farewell(&looping.core);
        }
        left
    }
}

impl Looping {
    fn now(&self) -> Now {
        Now { wall: self.ctx.clock.wall(), ticks: self.ctx.clock.ticks() }
    }

    /// What time it is, and until when there is nothing to do.
    fn until(&mut self) -> (Ticks, Ticks) {
        let now = self.now();
        self.own = self.core.next_moment(now);
        let scan = self.scanner.is_some().then_some(self.next_scan);
        let half = self.hearing.due();
        let next = [Some(self.next_beat), scan, self.own, self.kill_at, half].into_iter().flatten().min();
        (now.ticks, next.unwrap_or_else(|| now.ticks.plus(BEAT)))
    }

    fn on_time(&mut self, shell: &mut Shell) {
        let now = self.now();
        let soon = now.ticks.plus(TOGETHER);
        if soon >= self.next_beat {
            self.next_beat = now.ticks.plus(BEAT);
            // Before it beats: the beat says which resume is followed, and its leader goes by that.
            let takes = self.ramp.look(&self.ctx, now.ticks);
            self.on_event(Event::Takes(takes));
            self.look_at_account();
            self.look_at_packs();
            self.heed_budget();
            self.beat(shell, now);
            self.tend_pipes(&shell.log);
        }
        if self.hearing.due().is_some_and(|at| at <= now.ticks) {
            self.hear(&shell.log);
        }
        if soon >= self.next_scan
            && let Some(scanner) = self.scanner.take()
        {
            let mut scanner = scanner;
            // It goes on from what is known: what waits and is gone is missed, all else is read again.
            scanner.learn(self.looked.drain().map(|slot| {
                let known = self.core.queue().get(slot.0, &slot.1).map(|head| head.identity);
                (slot, known)
            }));
            self.next_scan = now.ticks.plus(self.until_next_scan(&mut shell.hints));
            self.errands.scan(scanner);
        }
        if self.own.take_if(|at| *at <= now.ticks).is_some() {
            self.on_event(Event::Tick);
        }
        if self.kill_at.is_some_and(|at| at <= now.ticks) {
            self.kill_at = None;
            self.on_event(Event::Asked(Wanted::StopNow));
        }
    }

    /// The first look at everything is nobody's business: a hundred thousand files that are opened before anybody listens
    /// cause no events. What changes meanwhile is met by the second one, which follows at once.
    fn until_next_scan(&mut self, hints: &mut Option<Hints>) -> Duration {
        if std::mem::replace(&mut self.is_first_scan, false) {
            return Duration::ZERO;
        }
        if self.listen(hints) { SCAN } else { SCAN_BLIND }
    }

    /// Both pipes stand where they should, and who begins to read is told how the worker is.
    fn tend_pipes(&mut self, log: &LogHandle) {
        let (lines, listener) = self.hearing.look(&self.ctx, self.ctx.clock.ticks());
        if listener == Listener::New {
            self.ctx.tell_status();
        }
        self.on_lines(lines, log);
    }

    /// Carries out what was said; whether more may have been.
    fn hear(&mut self, log: &LogHandle) -> bool {
        let (lines, may_be_more) = self.hearing.read(self.ctx.clock.ticks());
        self.on_lines(lines, log);
        may_be_more
    }

    /// What changed is to be seen at once.
    pub(super) fn beat_now(&mut self) {
        self.next_beat = Ticks::default();
    }

    /// With what was taken back nothing is started, and what runs with it ends where that was asked for.
    fn look_at_packs(&mut self) {
        let bars = self.packs.look(&self.ctx);
        let is_ended = |run: &Following| bars.of(run.pack.as_deref()).is_some_and(|bar| bar.end_running);
        for following in self.runs.values().filter(|run| is_ended(run)) {
            // A run that is ending already does not mind.
            following.orders.send(Order::Stop).ok();
        }
        self.on_event(Event::Bars(bars));
    }

    fn beat(&mut self, shell: &mut Shell, now: Now) {
        shell.log.tell_lost();
        let Beaten { fault, lost } = shell.beat.beat(&self.core, now, shell.log.lost());
        if lost {
            tracing::error!(
                "the lock on this worker's folder is lost, since the folder was moved away or replaced: leaving everything as it is, agents too; the next watcher takes it up"
            );
            self.leaving = Some(Parting::LostLock);
        }
        let fault = self.stand(fault, now.ticks);
        if std::mem::replace(&mut self.faulty, fault.is_some()) && fault.is_none() {
            self.next_scan = Ticks::default();
        }
        self.on_event(Event::Fault(fault));
        self.on_event(Event::Tick);
    }

    /// Sees to it that changes are told; whether all of them are.
    fn listen(&mut self, hints: &mut Option<Hints>) -> bool {
        self.watched.listen(hints) && !self.ctx.entered.get().is_some_and(|it| it.remote)
    }

    fn on_signal(&mut self, signal: Signal, log: &LogHandle) {
        match signal {
            Signal::Child => self.ctx.reaper.reap(),
            Signal::Reload => drop(self.reload(log)),
            Signal::Stop => drop(self.stop()),
        }
    }

    pub(super) fn on_event(&mut self, event: Event) {
        if let Event::RunEnded(ended) = &event {
            self.runs.remove(&ended.file);
            // Before the next one is taken.
            self.look_at_packs();
            self.heed_budget();
        }
        let now = self.now();
        let effects = self.core.handle(event, now);
        for effect in effects {
            self.perform(effect);
        }
        self.looks.go(&self.errands);
        self.verdicts.go(&self.errands);
        self.serve();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Claim { place, file } => self.errands.claim(place, file),
            Effect::Look { place, file, unless } => self.looks.add((place, file), unless),
            Effect::Reject(sentence) => self.verdicts.add(Verdict::NoTask(sentence), &self.ctx.spool),
            Effect::DropCopy { place, file, worker } => {
                self.verdicts.add(Verdict::Copy((place, file), worker), &self.ctx.spool);
            }
            Effect::Aside { place, file } => self.errands.aside(place, file),
            Effect::TakeBack { place, file } => self.take_back(place, &file),
            Effect::StopRuns => {
                self.kill_at = Some(self.ctx.clock.ticks().plus(self.ctx.config.grace));
                self.order(|| Order::Stop);
            }
            Effect::KillRuns => self.order(|| Order::Kill),
            Effect::Leave => self.leaving = Some(Parting::Stopped),
        }
    }

    fn on_told(&mut self, told: Told, hints: &mut Option<Hints>) {
        match told {
            Told::Core(event) => self.on_event(event),
            Told::Claimed(lease) => self.follow(*lease, Begin::Start),
            Told::Adopted(lease) => self.follow(*lease, Begin::Adopt),
            Told::Open(file) => self.recover(file),
            // It is brought home when everything is looked at next.
            Told::Stuck(file) => {
                self.unstarted.insert(file);
                self.next_scan = self.next_scan.min(self.ctx.clock.ticks().plus(REFUSED));
            }
            Told::Watch(path) => {
                watch(hints, &path);
                // What was printed before it was watched gave no hint.
                if let Some(file) = self.run_of(&path) {
                    self.tell_run(&file, Order::Look);
                }
            }
            Told::Unwatch(path) => {
                if let Some(hints) = hints {
                    hints.remove(&path);
                }
            }
            Told::Looked(looked) => {
                self.looked.extend(looked.iter().map(|(slot, _)| slot.clone()));
                self.on_looked(looked);
            }
            Told::Scanned(scanner, finds) => self.on_scanned(scanner, finds),
            Told::LookedThrough => self.looks.done(&self.errands),
            Told::Judged => self.verdicts.done(&self.errands),
            Told::Found(errand, found) => self.on_found(*errand, found),
            Told::Served => self.on_served(),
        }
    }

    fn on_looked(&mut self, looked: Vec<(Slot, Examined)>) {
        for (slot, found) in &looked {
            self.warn_of_a_wrong_pin(slot.0, found);
        }
        self.on_event(Event::Looked(looked));
    }

    /// A task in this worker's own folder that is pinned to another would wait for ever, unseen.
    fn warn_of_a_wrong_pin(&self, place: Place, found: &Examined) {
        let (Examined::Task(head), false) = (found, place == Place::Inbox) else { return };
        let ours = &self.ctx.config.worker;
        if let Some(pinned) = head.special().pinned.as_ref().filter(|it| *it != ours) {
            let message =
                format!("waits in the wrong folder, {place}/: it is pinned to another worker, {pinned}");
            let remedy = Some("move it to tasks/ or to that worker's pending/");
            self.ctx.herald.caution(Some(head.file.as_str()), &message, remedy);
        }
    }

    fn on_scanned(&mut self, scanner: Scanner, finds: Finds) {
        self.scanner = Some(scanner);
        if let Some(fault) = &finds.fault {
            tracing::warn!("{fault}");
        }
        // What was seen again meanwhile may be there again.
        let awaited = |(slot, found): &(Slot, Examined)| *found == Examined::Gone && self.core.awaits(slot);
        let (gone, looked): (Vec<_>, Vec<_>) = finds.looked.into_iter().partition(awaited);
        for (slot, _) in gone {
            self.looks.add(slot, None);
        }
        self.looks.go(&self.errands);
        self.on_looked(looked);
        for (path, misfit) in finds.misfits {
            self.verdicts.add(Verdict::NoName(path, misfit), &self.ctx.spool);
        }
        self.verdicts.go(&self.errands);
        // What stands in active/ and is nobody's was put there by hand, or by a claim that failed half-way.
        for file in finds.active {
            if !self.runs.contains_key(&file) && !self.core.is_live(&file) {
                self.recover(file);
            }
        }
    }

    fn recover(&mut self, file: FileName) {
        self.on_event(Event::Recovering { file: file.clone() });
        let left = if self.unstarted.remove(&file) { Left::Unstarted } else { Left::Somehow };
        self.errands.recover(file, left);
    }

    fn on_hints(&mut self, hints: Vec<Hint>) {
        // Once each: two streams that are written to in turn are a thousand hints, and a run has other orders too.
        let mut woken = HashSet::new();
        for hint in hints {
            match hint {
                Hint::Lost => self.next_scan = Ticks::default(),
                // The folder itself was moved or removed.
                Hint::Changed(path) | Hint::Gone(path) if self.watched.is_folder(&path) => {
                    self.next_beat = Ticks::default();
                    self.next_scan = Ticks::default();
                }
                Hint::Changed(path) => match self.watched.slot(&path) {
                    Some(slot) => self.looks.add(slot, None),
                    None => woken.extend(self.run_of(&path)),
                },
                // Most of what leaves a folder was moved by us. A look that is under way may have seen it before it left.
                Hint::Gone(path) => match self.watched.slot(&path) {
                    Some((Place::Active, file)) => drop(woken.insert(file)),
                    Some(slot) if self.looks.is_busy() || self.core.awaits(&slot) => {
                        self.looks.add(slot, None);
                    }
                    Some(_) | None => {}
                },
            }
        }
        for file in woken {
            self.tell_run(&file, Order::Look);
        }
        self.looks.go(&self.errands);
    }

    /// The run in whose folder it lies.
    fn run_of(&self, path: &Path) -> Option<FileName> {
        let run = self.runs.iter().find(|(_, following)| path.starts_with(&following.dir));
        run.map(|(file, _)| file.clone())
    }

    fn follow(&mut self, lease: Lease, begin: Begin) {
        let (orders, told) = mpsc::unbounded_channel();
        // A worker that stops starts nothing any more, but it takes up what lives, to end it orderly.
        let stopping = self.core.wanted().is_stop();
        let begin = if stopping && begin == Begin::Start { Begin::PutBack } else { begin };
        let file = lease.file.clone();
        let running = Event::Running { file: file.clone(), name: lease.name.clone(), run: lease.run };
        let dir = lease.paths(self.ctx.layout()).dir().to_owned();
        let pack = lease.task.spec.kind.clone();
        self.runs.insert(file, Following { run: lease.run, pack, dir, orders });
        self.on_event(running);
        let run = Run::new(Rc::clone(&self.ctx), lease, told, self.errands.tell.clone());
        tokio::task::spawn_local(run.follow(begin));
        if stopping {
            self.order(|| Order::Stop);
        }
    }

    fn order(&self, order: impl Fn() -> Order) {
        for following in self.runs.values() {
            following.orders.send(order()).ok();
        }
    }

    pub(super) fn tell_run(&self, file: &FileName, order: Order) {
        if let Some(following) = self.runs.get(file) {
            following.orders.send(order).ok();
        }
    }

    /// Lets the run take its file out of a queue again.
    fn take_back(&self, place: Place, file: &FileName) {
        let path = self.ctx.spool.path(place, file);
        let read = self.ctx.spool.store().read(&path, FILE_LIMIT).ok();
        let run = read.and_then(|(bytes, _)| TaskFile::parse(&bytes).ok()?.record.run_id);
        if let Some(following) = self.runs.values().find(|it| Some(it.run) == run) {
            following.orders.send(Order::TakeBack(path)).ok();
        }
    }
}
