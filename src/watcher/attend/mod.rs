//! One run, from its claim to its end: one async task, the only one that knows the agent's process.
//!
//! prepare → launch → listen → sweep → judge → after work → settle. Others send it [`Order`]s and hear one
//! [`crate::watcher::core::Event::RunEnded`].

mod after;
mod choose;
mod confined;
mod ears;
mod guard;
mod hand_on;
mod launch;
mod listen;
mod memory;
mod order;
mod packed;
mod prepare;
mod repository;
mod said;
mod settle;
mod share;
mod spent;
mod starting;
mod steer;
mod sweep;
mod verify;
mod workdir;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc;

use self::after::Afterwork;
use super::core::{After, Ended, Event, Wanted};
use super::ctx::Ctx;
use super::effects::Told;
use super::trace::Models;
use crate::agent::disposition::Disposition;
use crate::agent::replay;
use crate::agent::verdict::{EndedBy, Ending, Exit, Judgement, Verdict, judge};
use crate::clock::Ticks;
use crate::os::cgroup::group::Group;
use crate::os::process::ProcessId;
use crate::pack::Stamp;
use crate::spool::Lease;
use crate::task::{Attempt, TaskState};
use crate::telemetry::journal::Event as Noted;

pub(super) use ears::sweep as sweep_pipes;
pub(super) use order::{Answer, Order};
pub(super) use starting::foresee;

/// How a run begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// The agent is to be started.
    Start,
    /// The agent lives already: its watcher died, or its file was taken away from us.
    Adopt,
    /// Not at all: the worker stops.
    PutBack,
}

/// One run.
pub(super) struct Run {
    ctx: Rc<Ctx>,
    lease: Lease,
    /// What its agent is started with, once that was looked up.
    pack: Stamp,
    orders: mpsc::UnboundedReceiver<Order>,
    tell: mpsc::UnboundedSender<Told>,
    hurry: bool,
    /// Whether it was told to end: then what is not done yet is not begun.
    wanted: Wanted,
    /// What was said to it before its agent could hear.
    early: Vec<Order>,
    answered: bool,
    /// How it began here: an agent that was adopted cannot hear.
    begin: Begin,
    /// How often something was said to its agent.
    said: u32,
    /// How many tasks its agent has handed on, once that was counted.
    handed: Option<u32>,
    /// Which models it had to do with.
    models: Models,
    /// Who waits for its end, and for which.
    closing: Vec<(steer::Closing, Answer)>,
    /// Another worker has it now.
    lost: bool,
    /// When it was begun to be listened to.
    began: Ticks,
    /// Its control group, where it has one.
    group: Option<Group>,
    /// Whether its end is noted in the journal.
    noted: Arc<AtomicBool>,
}

/// How the process ended, and who it was.
struct Over {
    exit: Option<Exit>,
    ended_by: Option<EndedBy>,
    judgement: Judgement,
}

/// What was found out about its end, in words.
struct Found<'a> {
    disk: Option<&'a str>,
    memory: Option<&'a str>,
    oom: Option<&'a str>,
}

impl Run {
    pub(super) fn new(
        ctx: Rc<Ctx>,
        lease: Lease,
        orders: mpsc::UnboundedReceiver<Order>,
        tell: mpsc::UnboundedSender<Told>,
    ) -> Self {
        let began = Ticks::default();
        Self {
            ctx,
            lease,
            pack: Stamp::default(),
            orders,
            tell,
            hurry: false,
            wanted: Wanted::Run,
            early: Vec::new(),
            answered: false,
            begin: Begin::Start,
            said: 0,
            handed: None,
            models: Models::default(),
            closing: Vec::new(),
            lost: false,
            began,
            group: None,
            noted: Arc::default(),
        }
    }

    /// Follows the run to its end.
    pub(super) async fn follow(mut self, begin: Begin) {
        self.begin = begin;
        let disposition = match begin {
            Begin::Start => {
                // While its start waits for the first time, and before anything is told of what came of it.
                let (ctx, lease) = (Rc::clone(&self.ctx), self.lease.clone());
                tokio::join!(biased; self.start(), async { note_claim(&ctx, &lease) }).0
            }
            Begin::Adopt => self.adopt().await,
            Begin::PutBack => {
                note_claim(&self.ctx, &self.lease);
                Some(prepare::put_back())
            }
        };
        if self.is_gone() {
            self.is_taken_over();
        }
        let hold = match disposition {
            Some(disposition) if !self.lost => self.settle(disposition).await,
            Some(_) | None => None,
        };
        let after = match hold {
            Some(holding) => After::Hold(holding),
            None if self.answered => After::Answered,
            None => After::Unknown,
        };
        let file = self.lease.file.clone();
        self.ctx.seats.release(&file);
        self.let_others_try();
        self.ctx.board.show().running.remove(&file);
        // The loop has left only if the whole program ends.
        self.tell.send(Told::Core(Event::RunEnded(Ended { file, after }))).ok();
        // After that: whoever hears that the task waits may have another word for it at once.
        self.answer_closing();
    }

    /// Starts the agent and follows it; what becomes of its task.
    async fn start(&mut self) -> Option<Disposition> {
        if let Err(disposition) = self.wait_for_the_cli().await {
            return Some(*disposition);
        }
        let prepared = match self.ready().await {
            Ok(prepared) => prepared,
            Err(disposition) => return Some(*disposition),
        };
        let live = match self.launch(prepared).await {
            Ok(live) => live,
            Err(disposition) => return disposition.map(|it| *it),
        };
        self.through(live).await
    }

    async fn ready(&mut self) -> Result<prepare::Prepared, prepare::Refused> {
        self.take_pack()?;
        self.check_limit()?;
        self.check_spent()?;
        let chosen = self.choose().await?;
        self.prepare(&chosen).await
    }

    /// Takes up a run whose agent lives.
    async fn adopt(&mut self) -> Option<Disposition> {
        self.recall_pack();
        match self.take_up() {
            Ok(live) => self.through(live).await,
            Err(error) => {
                // Its record stays in active/, and the next survey looks again.
                tracing::error!(task = %self.lease.name, error = %error, "could not take up a living agent");
                None
            }
        }
    }

    async fn through(&mut self, mut live: listen::Live) -> Option<Disposition> {
        let agent = live.process.clone();
        let paths = self.lease.paths(self.ctx.layout());
        let (stream, stderr) = (paths.stream(self.lease.number()), live.stderr.clone());
        for path in [&stream, &stderr] {
            self.tell.send(Told::Watch(path.clone())).ok();
        }
        self.began = self.ctx.clock.ticks();
        let heard = self.listen(&mut live).await;
        for path in [stream, stderr] {
            self.tell.send(Told::Unwatch(path)).ok();
        }
        let (exit, mut ended_by) = heard?;
        let took = live.course.spent(self.ctx.clock.ticks());
        // Before what it left behind is removed, which may be what filled the disk. A whole answer had room.
        let is_answered = ended_by.is_none() && live.tail.evidence.answer().is_some();
        let disk = if is_answered { None } else { self.ctx.out_since(self.began) };
        if ended_by.is_none() && self.is_ended_by_its_limit(&mut live, exit) {
            ended_by = Some(EndedBy::MemoryLimit);
        }
        let oom = self.oom_witness(&live, agent.as_ref(), (exit, ended_by)).await;
        self.sweep(agent.as_ref(), ended_by).await;
        let memory = self.too_much_memory(&live);
        let found = Found { disk: disk.as_deref(), memory: memory.as_deref(), oom: oom.as_deref() };
        let mut over = self.judge(&live, (exit, ended_by), &found);
        self.explain(&mut over.judgement);
        self.report(&over, agent.as_ref(), &live);
        let judgement = &over.judgement;
        self.answered =
            live.tail.evidence.tokens.output > 0 || matches!(judgement.verdict, Verdict::Done { .. });
        self.note_peak(&live);
        self.share(&over.judgement).await;
        match self.after_work(&mut over.judgement).await {
            Afterwork::Done => self.explain(&mut over.judgement),
            Afterwork::Left => return None,
            Afterwork::Later(why) => {
                self.lay_by(&why).await;
                return None;
            }
        }
        self.note_peak(&live);
        self.models =
            Models { asked: over.judgement.model.clone(), answered: over.judgement.answered_by.clone() };
        let mut disposition = self.dispose(&over.judgement, took);
        self.about_pack(&mut disposition, ended_by);
        if !self.collect(&disposition).await {
            return None;
        }
        if ended_by == Some(EndedBy::Hold) && matches!(disposition, Disposition::Requeue { .. }) {
            self.hold();
        }
        Some(disposition)
    }

    fn judge(
        &self,
        live: &listen::Live,
        (exit, ended_by): (Option<Exit>, Option<EndedBy>),
        found: &Found<'_>,
    ) -> Over {
        let stderr = self.lease.paths(self.ctx.layout()).stderr(self.lease.number());
        let stderr_tail = replay::stderr_tail(&stderr);
        let Found { disk, memory, oom } = *found;
        let goes_on = self.lease.attempt().is_some_and(Attempt::goes_on);
        let (stderr_tail, denied) = (stderr_tail.as_str(), self.denied());
        let allowed = self.allowed(&live.tail.evidence);
        let ending = Ending { exit, ended_by, disk, memory, oom, stderr_tail, denied, goes_on, allowed };
        Over { exit, ended_by, judgement: judge(&live.tail.evidence, &ending) }
    }

    fn report(&self, over: &Over, agent: Option<&ProcessId>, live: &listen::Live) {
        let exit = over.exit.map_or_else(|| "not seen".to_owned(), |exit| exit.to_string());
        tracing::info!(
            task = %self.lease.name,
            run_id = %self.lease.run,
            pid = agent.map_or(0, |it| it.pid),
            exit = %exit,
            ended_by = over.ended_by.map(tracing::field::debug),
            cost_usd = over.judgement.cost_usd.unwrap_or(0.0),
            peak_memory_bytes = Some(live.weighing.peak()).filter(|it| *it > 0),
            "the agent has ended"
        );
    }
}

/// Says that a task was claimed: to the counters, the journal and the log.
fn note_claim(ctx: &Ctx, lease: &Lease) {
    ctx.metrics.claimed();
    ctx.note(Noted::Claimed, lease, |line| line.from = Some(TaskState::Pending));
    tracing::info!(
        task = %lease.name,
        run_id = %lease.run,
        correlation_id = lease.task.spec.correlation_id.as_deref(),
        attempt = lease.number(),
        "claimed"
    );
}
