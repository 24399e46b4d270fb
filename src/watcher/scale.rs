//! The scale: how much memory each run uses, the agent and all that it started. One look at `/proc` serves all runs.
//!
//! Invariants:
//! - nothing is weighed while no agent is at work, and never on the loop;
//! - the looks take at most a twentieth of a core: after a long one there is a longer pause;
//! - the rough sum counts shared pages more than once, so nobody is ended by it: what is above its limit roughly is
//!   weighed exactly before it is told.
//!
//! Where a run has a control group the kernel has counted already. What shed cookie, ancestry and session is found there
//! only, and elsewhere not counted.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::ctx::Ctx;
use crate::clock::Ticks;
use crate::config::show_size;
use crate::os::cgroup::group::Group;
use crate::os::process::tree::{self, Orphans, Seen, Signs};
use crate::os::process::{ProcessId, footprint};
use crate::task::text::shown;
use crate::task::{FileName, RunId};

/// Between two looks, at least.
const LOOK: Duration = Duration::from_secs(2);
/// What a look costs is rested so many times.
const REST: u32 = 20;

/// What a run weighs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// All of it, in bytes.
    pub(super) bytes: u64,
    /// Of how many processes.
    pub(super) processes: usize,
    /// The heaviest of them: its name, its pid and its bytes.
    pub(super) heaviest: Option<(String, i32, u64)>,
    /// Whether the kernel has ended some of it, since it reached the limit of its own control group.
    pub(super) is_struck: bool,
}

impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&show_size(self.bytes))?;
        match &self.heaviest {
            Some((name, pid, bytes)) if self.processes > 1 => {
                let name = shown(name, 32);
                write!(
                    f,
                    " in {} processes, the largest {name} (pid {pid}) with {}",
                    self.processes,
                    show_size(*bytes)
                )
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// One that is weighed.
#[derive(Debug)]
struct Weighed {
    what: Load,
    tell: watch::Sender<Option<Weight>>,
}

/// What is weighed of a run.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Its agent.
    pub(super) agent: ProcessId,
    /// What it may weigh.
    pub(super) limit: Option<u64>,
    /// Its control group.
    pub(super) group: Option<Group>,
    /// Whether what the kernel counts there is all that it has.
    pub(super) is_counted: bool,
}

/// The scale of a watcher.
#[derive(Debug, Default)]
pub(super) struct Scale {
    on: Mutex<BTreeMap<RunId, (FileName, Weighed)>>,
    is_busy: AtomicBool,
    next_ns: AtomicU64,
}

/// A run's place on the scale; it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Footing {
    scale: Arc<Scale>,
    run: RunId,
    weight: watch::Receiver<Option<Weight>>,
}

impl Scale {
    /// Puts a run on it.
    pub(super) fn step_on(self: &Arc<Self>, (file, run): (&FileName, RunId), what: Load) -> Footing {
        let (tell, weight) = watch::channel(None);
        let weighed = Weighed { what, tell };
        self.lock().insert(run, (file.clone(), weighed));
        Footing { scale: Arc::clone(self), run, weight }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, (FileName, Weighed)>> {
        self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is on it.
    fn all(&self) -> Vec<(RunId, Load)> {
        self.lock().iter().map(|(run, (_, it))| (*run, it.what.clone())).collect()
    }
}

impl Footing {
    /// Waits for the next weight.
    pub(super) async fn next(&mut self) -> Weight {
        while self.weight.changed().await.is_ok() {
            if let Some(weight) = self.weight.borrow_and_update().clone() {
                return weight;
            }
        }
        std::future::pending().await
    }
}

impl Drop for Footing {
    fn drop(&mut self) {
        self.scale.lock().remove(&self.run);
    }
}

/// For agents that are being started: who has begun already is weighed with them.
const STARTING: Duration = Duration::from_millis(500);

/// Has everybody weighed off the loop, if it is time.
pub(super) fn look(ctx: &Rc<Ctx>, now: Ticks) {
    let scale = Arc::clone(&ctx.scale);
    let now_ns = u64::try_from(now.0.as_nanos()).unwrap_or(u64::MAX);
    let all = scale.all();
    if all.is_empty() {
        ctx.metrics.set_agents_memory(0);
        return;
    }
    if now_ns < scale.next_ns.load(Ordering::Acquire) || scale.is_busy.swap(true, Ordering::AcqRel) {
        return;
    }
    let (clock, reaper) = (Arc::clone(&ctx.clock), Arc::clone(&ctx.reaper));
    let (metrics, board) = (Arc::clone(&ctx.metrics), Arc::clone(&ctx.board));
    tokio::task::spawn_blocking(move || {
        let began = clock.ticks();
        let children: HashSet<i32> = reaper.children(STARTING).0.into_iter().collect();
        let weights = weigh_all(&all, &children);
        let total = weights.iter().map(|(_, weight)| weight.bytes).sum();
        metrics.set_agents_memory(total);
        for (run, weight) in weights {
            let on = scale.lock();
            // One that has ended meanwhile is on it no longer.
            if let Some((file, weighed)) = on.get(&run) {
                if let Some(running) = board.show().running.get_mut(file) {
                    running.memory_bytes = coarse(running.memory_bytes, weight.bytes);
                }
                weighed.tell.send(Some(weight)).ok();
            }
        }
        let ended = clock.ticks();
        let rest = LOOK.max(ended.since(began).saturating_mul(REST));
        let next = u64::try_from(ended.plus(rest).0.as_nanos()).unwrap_or(u64::MAX);
        scale.next_ns.store(next, Ordering::Release);
        scale.is_busy.store(false, Ordering::Release);
    });
}

/// What is shown: it changes only where somebody would care, since each change is a write.
fn coarse(shown: Option<u64>, bytes: u64) -> Option<u64> {
    let rounded = bytes & !((1 << 20) - 1);
    shown.filter(|shown| shown.abs_diff(rounded) <= shown / 16).or(Some(rounded))
}

fn weigh_all(all: &[(RunId, Load)], children: &HashSet<i32>) -> Vec<(RunId, Weight)> {
    let mut weights = Vec::new();
    let mut others: Vec<&(RunId, Load)> = Vec::new();
    for one in all {
        match counted(&one.1) {
            Some(weight) => weights.push((one.0, weight)),
            None => others.push(one),
        }
    }
    let Some(since) = others.iter().map(|(_, load)| load.agent.start_ticks).min() else { return weights };
    // What cannot be looked at now is weighed at the next look.
    let Ok(seen) = tree::snapshot(since) else { return weights };
    weights.extend(others.into_iter().map(|(run, load)| {
        let strangers = children.iter().copied().filter(|pid| *pid != load.agent.pid).collect();
        (*run, weigh(&seen, (run, load), &strangers))
    }));
    weights
}

/// What the kernel has counted already, files in memory included.
fn counted(load: &Load) -> Option<Weight> {
    let group = load.group.as_ref().filter(|_| load.is_counted)?;
    let (bytes, struck) = (group.used()?, group.struck());
    if struck.kills > 0 && struck.by_own_limit {
        // What is left says nothing of what it was.
        let bytes = group.peak().unwrap_or(0).max(bytes);
        return Some(Weight { bytes, is_struck: true, ..Weight::default() });
    }
    let members = group.members();
    let (_, heaviest) = sum(&members, footprint::rough);
    Some(Weight { bytes, processes: members.len(), heaviest, is_struck: false })
}

fn weigh(seen: &[Seen], (run, load): (&RunId, &Load), others: &HashSet<i32>) -> Weight {
    let agent = &load.agent;
    let signs = Signs {
        run: &run.to_string(),
        agent: Some(agent),
        since: agent.start_ticks,
        own_pid: std::process::id().cast_signed(),
        others,
        orphans: Orphans::Unknown,
    };
    let mut members = tree::members(seen, &signs);
    let in_group = load.group.as_ref().map(Group::members).unwrap_or_default();
    members.extend(in_group.into_iter().filter(|it| !members.contains(it)).collect::<Vec<_>>());
    let (mut bytes, mut heaviest) = sum(&members, footprint::rough);
    if load.limit.is_some_and(|limit| bytes > limit) {
        (bytes, heaviest) = sum(&members, |pid| footprint::exact(pid).or_else(|| footprint::rough(pid)));
    }
    Weight { bytes, processes: members.len(), heaviest, is_struck: false }
}

fn sum(members: &[ProcessId], of: impl Fn(i32) -> Option<u64>) -> (u64, Option<(String, i32, u64)>) {
    let each: Vec<(i32, u64)> = members.iter().filter_map(|it| Some((it.pid, of(it.pid)?))).collect();
    let heaviest = each.iter().max_by_key(|(_, bytes)| *bytes);
    let heaviest = heaviest.map(|(pid, bytes)| (footprint::name(*pid), *pid, *bytes));
    (each.iter().map(|(_, bytes)| bytes).sum(), heaviest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_told_with_who_is_the_heaviest() {
        let heaviest = Some(("node".to_owned(), 7, 3 << 29));
        let one = Weight { bytes: 3 << 29, processes: 1, heaviest, is_struck: false };
        assert_eq!(one.to_string(), "1.5GiB");
        let many = Weight { bytes: 2 << 30, processes: 3, ..one };
        assert_eq!(many.to_string(), "2GiB in 3 processes, the largest node (pid 7) with 1.5GiB");
        let hostile = Weight { heaviest: Some(("a\u{1b}[2J".to_owned(), 7, 1)), ..many };
        assert!(!hostile.to_string().contains('\u{1b}'), "{hostile}");
    }

    #[test]
    fn what_is_shown_changes_only_where_somebody_would_care() {
        const MIB: u64 = 1 << 20;
        for (shown, bytes, then) in [
            (None, 300 * MIB + 5, 300),
            (Some(300 * MIB), 310 * MIB, 300),
            (Some(300 * MIB), 400 * MIB, 400),
            (Some(300 * MIB), 100 * MIB, 100),
            (Some(0), MIB - 1, 0),
        ] {
            assert_eq!(coarse(shown, bytes), Some(then * MIB), "{shown:?} {bytes}");
        }
    }

    #[test]
    fn a_run_weighs_what_its_tree_holds() {
        let me = ProcessId::current();
        let held = std::hint::black_box(vec![1_u8; 32 << 20]);
        let (run, nobody) = (RunId::mint(), HashSet::new());
        let seen = tree::snapshot(me.start_ticks).unwrap();
        let load = |limit| Load { agent: me.clone(), limit, group: None, is_counted: false };
        let weight = weigh(&seen, (&run, &load(None)), &nobody);
        assert!(weight.bytes >= 32 << 20 && weight.processes >= 1, "{weight:?}");
        let exactly = weigh(&seen, (&run, &load(Some(1))), &nobody);
        assert!(exactly.bytes >= 32 << 20, "{exactly:?} {}", held.len());
    }
}
