//! After the agent: what it left behind is ended, before its task moves.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Run;
use crate::agent::verdict::EndedBy;
use crate::os::cgroup::group::Group;
use crate::os::process::ProcessId;
use crate::os::process::ending::{Patience, end_all};
use crate::os::process::tree::{self, Orphans, Signs};

/// What uses too much memory is not given the time to use more.
const NONE: Patience = Patience { grace: Duration::ZERO, total: PATIENCE.total };
/// With the longest ending of the agent itself, the whole tree is gone within 15 s.
const PATIENCE: Patience = Patience { grace: Duration::from_millis(1500), total: Duration::from_secs(7) };
/// For agents that are being started, each time that is looked.
const STARTING: Duration = Duration::from_millis(500);
const _: () = assert!(crate::agent::course::LONGEST_ENDING.as_secs() + PATIENCE.total.as_secs() <= 15);

impl Run {
    /// Ends every process of the run that is left.
    pub(super) async fn sweep(&self, agent: Option<&ProcessId>, ended_by: Option<EndedBy>) {
        let patience = if ended_by == Some(EndedBy::MemoryLimit) { NONE } else { PATIENCE };
        let (run, agent) = (self.lease.run.to_string(), agent.cloned());
        let (reaper, clock) = (Arc::clone(&self.ctx.reaper), Arc::clone(&self.ctx.clock));
        let group = self.group.clone();
        let group_too = group.clone();
        let looking = move || {
            // First, so that an agent that is being started right now, and carries no sign yet, is known as another's:
            // to ask for the children waits for whoever starts one. Where that takes too long nobody is taken for an
            // orphan.
            let since = agent.as_ref().map_or(0, |it| it.start_ticks);
            let seen = tree::snapshot(since)?;
            let (children, are_all) = reaper.children(STARTING);
            let others: HashSet<i32> =
                children.into_iter().filter(|pid| Some(*pid) != agent.as_ref().map(|it| it.pid)).collect();
            let signs = Signs {
                run: &run,
                agent: agent.as_ref(),
                since,
                own_pid: std::process::id().cast_signed(),
                others: &others,
                orphans: if are_all { orphans(agent.as_ref(), &others) } else { Orphans::Unknown },
            };
            let mut left = tree::members(&seen, &signs);
            let in_group = group_too.as_ref().map(Group::members).unwrap_or_default();
            left.extend(in_group.into_iter().filter(|it| !left.contains(it)).collect::<Vec<_>>());
            Ok(left)
        };
        let ended = tokio::task::spawn_blocking(move || end_all(looking, group.as_ref(), patience, &*clock))
            .await
            .unwrap_or_default();
        if ended.found > 0 {
            tracing::warn!(
                task = %self.lease.name,
                run_id = %self.lease.run,
                found = ended.found,
                killed = ended.killed,
                "ended processes that the agent left behind"
            );
        }
        if ended.is_unseen {
            tracing::error!(
                task = %self.lease.name,
                run_id = %self.lease.run,
                "/proc gives no answer: processes that the agent left behind may be there still"
            );
        }
        for left in &ended.left {
            tracing::error!(task = %self.lease.name, pid = left.pid, "a process of the run cannot be ended: it waits in the kernel");
        }
    }
}

/// An orphan that shed every sign is this run's, if no other agent that lives could have left it. One that several
/// could have left is ended with the last of them.
fn orphans(agent: Option<&ProcessId>, others: &HashSet<i32>) -> Orphans {
    let first = others.iter().filter_map(|pid| ProcessId::of(*pid)).map(|it| it.start_ticks).min();
    let before = first.unwrap_or(u64::MAX);
    agent.map_or(Orphans::Unknown, |agent| Orphans::Ours { since: agent.start_ticks, before })
}
