//! A run's memory: what it weighs is held against its limit, and who ended it for want of memory is found out.
//!
//! The kernel's OOM killer and our own limit are two things: the first takes whom it likes, and the run is tried again;
//! the second is the task's own fault.

use super::listen::Live;
use super::{Begin, Run};
use crate::agent::verdict::{EndedBy, Exit};
use crate::config::show_size;
use crate::os::cgroup::group::Group;
use crate::os::oom::{self, Counter};
use crate::os::process::ProcessId;
use crate::watcher::scale::{Footing, Load, Weight};

/// What is known of a run's memory while it goes on.
#[derive(Debug, Default)]
pub(super) struct Weighing {
    footing: Option<Footing>,
    /// The most that was seen, in bytes.
    peak: u64,
    /// What it weighed when it was ended for that.
    too_much: Option<Weight>,
    /// How often the OOM killer had struck in its control group when it began.
    kills: Option<Counter>,
}

impl Weighing {
    /// Of a run whose agent is this; one that cannot be seen is not weighed.
    pub(super) fn of(run: &Run, agent: Option<&ProcessId>) -> Self {
        let Some(agent) = agent else { return Self::default() };
        let what = Load {
            agent: agent.clone(),
            limit: run.limits().memory,
            group: run.group.clone(),
            is_counted: run.begin == Begin::Start || run.ctx.groups.count_all(),
        };
        let footing = run.ctx.scale.step_on((&run.lease.file, run.lease.run), what);
        Self { footing: Some(footing), kills: Counter::of(agent.pid), ..Self::default() }
    }

    /// Waits for the next weight.
    pub(super) async fn next(&mut self) -> Weight {
        match &mut self.footing {
            Some(footing) => footing.next().await,
            None => std::future::pending().await,
        }
    }

    /// The most that was seen, in bytes.
    pub(super) const fn peak(&self) -> u64 {
        self.peak
    }
}

impl Run {
    /// It was weighed.
    pub(super) fn weighed(&self, weight: Weight, live: &mut Live) {
        live.weighing.peak = live.weighing.peak.max(weight.bytes);
        // The kernel ends one process or another of it, and not what made it so large.
        let bytes = if weight.is_struck { u64::MAX } else { weight.bytes };
        let acts = live.course.weighed(bytes, self.ctx.clock.ticks());
        if !acts.is_empty() && live.course.ended_by() == Some(EndedBy::MemoryLimit) {
            tracing::warn!(task = %self.lease.name, run_id = %self.lease.run, "it uses {weight} of memory, more than it may; ending it");
            live.weighing.too_much = Some(weight);
        }
        self.act(acts, live);
    }

    /// Whether the kernel ended its agent since the run's own limit was reached: that is ours, however it came about.
    pub(super) fn is_ended_by_its_limit(&self, live: &mut Live, exit: Option<Exit>) -> bool {
        let Some(group) = self.group.as_ref().filter(|_| self.limits().memory.is_some()) else {
            return false;
        };
        let struck = group.struck();
        let may_be =
            exit.is_none_or(|exit| matches!(exit, Exit::Signal(nix::libc::SIGKILL) | Exit::Code(137)));
        let is = may_be && struck.kills > 0 && struck.by_own_limit && live.tail.evidence.answer().is_none();
        if is {
            let bytes = group.peak().unwrap_or(0).max(live.weighing.peak);
            live.weighing.too_much = Some(Weight { bytes, ..Weight::default() });
        }
        is
    }

    /// Writes down the most memory that the attempt had so far.
    pub(super) fn note_peak(&mut self, live: &Live) {
        let counted = self.group.as_ref().and_then(Group::peak).unwrap_or(0);
        let peak = counted.max(live.weighing.peak);
        if let Some(attempt) = self.lease.task.record.open_attempt_mut().filter(|_| peak > 0) {
            attempt.peak_memory_bytes = Some(peak.max(attempt.peak_memory_bytes.unwrap_or(0)));
        }
    }

    /// Why it was ended, where that was its memory.
    pub(super) fn too_much_memory(&self, live: &Live) -> Option<String> {
        let weight = live.weighing.too_much.as_ref()?;
        let limit = show_size(self.limits().memory?);
        let by = match (self.pack.pack.max_memory, &self.pack.file) {
            (Some(_), Some(file)) => format!("its pack allows (`max_memory` in `{file}`)"),
            (Some(_), None) => "its pack allows (`max_memory`)".to_owned(),
            (None, _) => "its worker allows (--agent-memory)".to_owned(),
        };
        Some(format!("it used {weight} of memory, more than the {limit} that {by}"))
    }

    /// What says that the kernel's OOM killer ended the agent; off the loop, for the kernel's log is long. What it did to
    /// others of the run is told, and decides nothing.
    pub(super) async fn oom_witness(
        &self,
        live: &Live,
        agent: Option<&ProcessId>,
        (exit, ended_by): (Option<Exit>, Option<EndedBy>),
    ) -> Option<String> {
        let struck = live.weighing.kills.as_ref().and_then(Counter::risen).unwrap_or(0);
        let by_kill = matches!(exit, Some(Exit::Signal(nix::libc::SIGKILL)));
        // An adopted agent has no exit status, and a shell around it says its child's signal as a number.
        let may_be = by_kill || exit.is_none() || (struck > 0 && exit == Some(Exit::Code(137)));
        let is_ours = ended_by.is_some() || live.tail.evidence.answer().is_some();
        let found = if may_be && !is_ours { named(agent, exit, struck).await } else { None };
        if struck > 0 && found.is_none() && ended_by != Some(EndedBy::MemoryLimit) {
            let what = format!(
                "the kernel's OOM killer struck {struck} time(s) in the control group of the agent while it was at work, and did not take the agent itself"
            );
            self.ctx.herald.caution(
                Some(self.lease.name.as_str()),
                &what,
                Some(crate::agent::remedy::MORE_MEMORY),
            );
        }
        found
    }
}

async fn named(agent: Option<&ProcessId>, exit: Option<Exit>, struck: u64) -> Option<String> {
    let agent = agent?.clone();
    let pid = agent.pid;
    let logged = tokio::task::spawn_blocking(move || oom::logged(&agent)).await;
    if let Ok(Ok(Some(line))) = logged {
        return Some(format!("the kernel's OOM killer ended the agent (pid {pid}): {line}"));
    }
    (struck > 0).then(|| {
        let is_agent = matches!(exit, Some(Exit::Signal(_)));
        let whom = if is_agent { "the agent" } else { "what the agent is started with" };
        format!("{whom} (pid {pid}) was killed while the kernel's OOM killer struck in its control group ({struck} killed)")
    })
}
