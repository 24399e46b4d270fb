//! While the agent works: its output is read, its limits are watched, what is to be said to it is said.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::unix::pipe;

use super::ears::Ears;
use super::memory::Weighing;
use super::{Order, Run};
use crate::agent::course::{Course, Order as Act};
use crate::agent::disposition::Holding;
use crate::agent::message;
use crate::agent::stream::{Assistant, StreamEvent};
use crate::agent::tail::Tail;
use crate::agent::verdict::{EndedBy, Exit};
use crate::os::process::{ProcessId, signal};
use crate::pipe::event::Kind;
use crate::spool::Lease;
use crate::task::TaskState;
use crate::watcher::core::{Event, Wanted};
use crate::watcher::ctx::WORKING;
use crate::watcher::effects::Told;
use crate::watcher::herald::Herald;
use crate::watcher::scale::Weight;
use rustix::process::Signal;
use serde_json::json;

/// How often a stream is looked at without a hint.
const LOOK: Duration = Duration::from_secs(2);

/// An agent at work.
pub(super) struct Live {
    pub(super) process: Option<ProcessId>,
    pub(super) exit: Pin<Box<dyn Future<Output = Option<Exit>>>>,
    pub(super) tail: Tail,
    pub(super) stderr: PathBuf,
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) outbox: Vec<u8>,
    pub(super) course: Course,
    pub(super) ears: Ears,
    /// What was said before it was taken up is read, and was told already.
    pub(super) is_replay: bool,
    pub(super) weighing: Weighing,
}

impl Live {
    /// How much it has printed, as long as the files are; a hole counts like what could be written into it.
    fn printed(&self) -> u64 {
        let stderr = std::fs::symlink_metadata(&self.stderr).map_or(0, |it| it.len());
        self.tail.size().unwrap_or(0).saturating_add(stderr)
    }
}

/// What woke us.
enum Woken {
    Ended(Option<Exit>),
    Told(Option<Order>),
    Weighed(Weight),
    Writable,
    Time,
}

impl Run {
    /// Listens until the process is gone; how it ended, and by whom. `None`: it lives on without us, since the worker
    /// leaves and nobody here may end it.
    pub(super) async fn listen(&mut self, live: &mut Live) -> Option<(Option<Exit>, Option<EndedBy>)> {
        for order in std::mem::take(&mut self.early) {
            if let Order::TakeBack(path) = order {
                self.take_back(path).await;
            } else {
                self.told(Some(order), live);
            }
        }
        let mut more = true;
        let exit = loop {
            let wait = if more { Duration::ZERO } else { self.next_look(live) };
            match self.wait(live, wait).await {
                Woken::Ended(exit) => break exit,
                Woken::Told(Some(Order::TakeBack(path))) => self.take_back(path).await,
                Woken::Told(order) => self.told(order, live),
                Woken::Weighed(weight) => self.weighed(weight, live),
                Woken::Writable => flush(live),
                Woken::Time => {}
            }
            self.heed(live).await;
            self.guard().await;
            if self.lost {
                let acts = live.course.kill(EndedBy::Stop, self.ctx.clock.ticks());
                self.act(acts, live);
            }
            self.expect_no_answer(live);
            if self.hurry && live.process.is_none() {
                tracing::warn!(task = %self.lease.name, "its agent lives in another PID namespace, and is left to the next watcher");
                return None;
            }
            // What was said while nobody looked is heard before anybody is judged silent.
            let heard_until = self.ctx.clock.ticks();
            live.course.watched(heard_until);
            more = self.hear(live).unwrap_or_else(|error| {
                tracing::warn!(task = %self.lease.name, error = %error, "could not read the agent's output");
                false
            });
            // Not a moment later: between the hearing and the judging we may have been stopped ourselves.
            let acts = live.course.tick(heard_until);
            self.act(acts, live);
        };
        live.ears.close();
        self.hear_the_rest(live).await?;
        live.stdin = None;
        Some((exit, live.course.ended_by()))
    }

    /// Everything that the agent wrote is in the file now. What it left behind may write on, and is not listened to.
    /// `None`: the worker leaves, and the next one reads it.
    async fn hear_the_rest(&mut self, live: &mut Live) -> Option<()> {
        let size = live.tail.size();
        live.tail.catch_up(*size.as_ref().unwrap_or(&0));
        let end = size.unwrap_or(u64::MAX);
        while self.hear_on(live).await? && !live.tail.has_reached(end) {
            // A long rest must not keep the other runs waiting.
            tokio::task::yield_now().await;
        }
        live.tail.finish();
        Some(())
    }

    /// A disk that is full may have swallowed the answer, and an agent that has answered waits for the next message. Its
    /// input ends here: it finishes its turn, if it is still at one, and goes.
    fn expect_no_answer(&self, live: &mut Live) {
        if live.stdin.is_some() && live.outbox.is_empty() && self.ctx.was_out_since(self.began) {
            tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, "a disk ran full under its agent; it gets no further message, and goes when its turn is over");
            live.stdin = None;
        }
    }

    /// Reads on after the end; whether there is more. While the disk does not give what was said, nothing is judged: an
    /// answer that was paid for may stand there. `None`: the worker leaves, and the next one reads it.
    async fn hear_on(&mut self, live: &mut Live) -> Option<bool> {
        match self.hear(live) {
            Ok(more) => return Some(more),
            Err(error) => {
                tracing::error!(task = %self.lease.name, error = %error, "could not read what the agent said last; trying again");
                let holding = Holding::of_disk("could not read an agent's output", &error);
                self.tell.send(Told::Core(Event::Refused(holding))).ok();
            }
        }
        if self.hurry {
            return None;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            order = self.orders.recv() => self.hurry = matches!(order, Some(Order::Kill) | None),
        }
        Some(true)
    }

    async fn wait(&mut self, live: &mut Live, wait: Duration) -> Woken {
        let wants_to_write = !live.outbox.is_empty();
        let writable = async {
            match live.stdin.as_ref().filter(|_| wants_to_write) {
                Some(stdin) => stdin.writable().await.map_or_else(|_| (), |()| ()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            exit = &mut live.exit => Woken::Ended(exit),
            order = self.orders.recv() => Woken::Told(order),
            () = writable => Woken::Writable,
            weight = live.weighing.next() => Woken::Weighed(weight),
            () = live.ears.readable() => Woken::Time,
            () = tokio::time::sleep(wait) => Woken::Time,
        }
    }

    fn next_look(&self, live: &Live) -> Duration {
        live.course.next_moment().min(live.ears.due()).since(self.ctx.clock.ticks()).min(LOOK)
    }

    /// Reads what is new; whether there is more.
    fn hear(&mut self, live: &mut Live) -> std::io::Result<bool> {
        let now = self.ctx.clock.ticks();
        let mut acts = Vec::new();
        let (mut began, mut turns, mut near) = (false, Vec::new(), None);
        let course = &mut live.course;
        let (herald, lease, is_replay) = (&self.ctx.herald, &self.lease, live.is_replay);
        let looked = live.tail.look(|event| match event {
            StreamEvent::Init(_) => {
                began = true;
                course.turn_began();
            }
            StreamEvent::Result(result) => {
                turns.push(result.clone());
                acts.extend(course.answered(now));
            }
            StreamEvent::TakenUp(message) => course.took_up(*message),
            StreamEvent::Assistant(said) if !is_replay => tell_said(herald, lease, said),
            StreamEvent::RateLimit(limit) if !is_replay && limit.is_near => near = Some(limit.clone()),
            StreamEvent::Assistant(_)
            | StreamEvent::ToolResults(_)
            | StreamEvent::Retry(_)
            | StreamEvent::RateLimit(_)
            | StreamEvent::PermissionDenied(_)
            | StreamEvent::Partial
            | StreamEvent::Metered(_)
            | StreamEvent::ControlResponse(_)
            | StreamEvent::Hook(_)
            | StreamEvent::Other
            | StreamEvent::Garbage => {}
        });
        for turn in &turns {
            self.note_turn(turn);
        }
        self.warn_of(near);
        if began || !turns.is_empty() {
            let state = if live.course.has_answered() { TaskState::Completing } else { WORKING };
            self.show_state(state);
        }
        if looked.as_ref().is_ok_and(|it| it.cut) {
            tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, "the agent cut its own output short; reading it from its start again");
        }
        if looked.as_ref().is_ok_and(|it| it.bytes > 0) {
            // Not a moment earlier: since `now` we may have been stopped ourselves, for longer than anybody may be silent.
            live.course.heard(self.ctx.clock.ticks());
            self.sign_of_life();
        }
        acts.extend(live.course.measured(live.printed(), now));
        if self.allowed(&live.tail.evidence).is_some_and(|it| it.used > it.most)
            && !live.course.has_answered()
        {
            acts.extend(live.course.end(EndedBy::TokenLimit, now));
        }
        if live.tail.evidence.hopeless().is_some() {
            acts.extend(live.course.end(EndedBy::HopelessWait, now));
        }
        self.act(acts, live);
        live.is_replay &= looked.as_ref().is_ok_and(|it| it.more);
        looked.map(|looked| looked.more)
    }

    fn show_state(&self, state: TaskState) {
        if let Some(running) = self.ctx.board.show().running.get_mut(&self.lease.file) {
            running.state = state;
        }
    }

    pub(super) fn sign_of_life(&self) {
        let now = self.ctx.clock.wall();
        if let Some(running) = self.ctx.board.show().running.get_mut(&self.lease.file) {
            running.last_sign_at = Some(now);
        }
    }

    fn told(&mut self, order: Option<Order>, live: &mut Live) {
        let now = self.ctx.clock.ticks();
        let acts = match order {
            Some(Order::Look | Order::TakeBack(_)) => Vec::new(),
            Some(Order::Tell { text, answer }) => {
                self.tell(&text, answer, live);
                Vec::new()
            }
            Some(Order::Interrupt { text, answer }) => self.interrupt(text.as_deref(), answer, live),
            Some(Order::Cancel { reason, answer }) => self.cancel(reason, answer, live),
            Some(Order::Stop) | None => {
                self.wanted = Wanted::Stop;
                live.course.end(EndedBy::Stop, now)
            }
            Some(Order::Kill) => {
                (self.wanted, self.hurry) = (Wanted::StopNow, true);
                live.course.kill(EndedBy::Stop, now)
            }
        };
        self.act(acts, live);
    }

    pub(super) fn act(&self, acts: Vec<Act>, live: &mut Live) {
        for act in acts {
            if matches!(act, Act::Interrupt | Act::Terminate | Act::Kill) {
                live.tail.evidence.ask_to_end();
            }
            match act {
                Act::Interrupt if live.stdin.is_some() => {
                    live.outbox.extend(message::interrupt("stop").into_bytes());
                    flush(live);
                }
                Act::Interrupt | Act::Terminate => {
                    self.send(live, Signal::TERM);
                    self.send(live, Signal::CONT);
                }
                Act::CloseStdin => {
                    live.stdin = None;
                    live.outbox.clear();
                }
                Act::Kill => self.send(live, Signal::KILL),
                Act::Warn(text) => {
                    tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, "{text}");
                }
            }
        }
    }

    fn send(&self, live: &Live, number: Signal) {
        let Some(process) = &live.process else { return };
        if let Err(error) = signal(process, number) {
            tracing::debug!(task = %self.lease.name, pid = process.pid, error = %error, "the agent is gone already");
        }
    }
}

/// Tells whoever listens to the worker what the agent says and does; what its subagents say is theirs.
fn tell_said(herald: &Herald, lease: &Lease, said: &Assistant) {
    if said.is_subagent || said.error.is_some() {
        return;
    }
    if !said.text.is_empty() {
        herald.tell_of(Kind::Turn, lease, || json!({"text": said.text}));
    }
    for tool in &said.tools {
        herald.tell_of(Kind::Tool, lease, || json!({"tool": tool.name, "input": tool.brief}));
    }
}

/// Writes what waits to be said, as far as the pipe takes it.
pub(super) fn flush(live: &mut Live) {
    while let Some(stdin) = live.stdin.as_ref().filter(|_| !live.outbox.is_empty()) {
        match stdin.try_write(&live.outbox) {
            Ok(n) => drop(live.outbox.drain(..n)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            // It does not listen any more; its end will say why.
            Err(_) => {
                live.stdin = None;
                live.outbox.clear();
            }
        }
    }
}
