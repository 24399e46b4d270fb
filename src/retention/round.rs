//! One round of one worker: whose things they are, what they need, and the turn at which it may be done.

use std::io;
use std::path::Path;

use super::apply::{Applied, apply};
use super::look;
use super::needed::{Looker, Needed};
use super::plan::{Item, Plan, Seen, decide};
use super::runs::{self, RunPart};
use crate::clock::Timestamp;
use crate::config::{Kind, Limit};
use crate::layout::Layout;
use crate::os::durable::Durability;
use crate::os::lock::Lock;
use crate::spool::Disk;
use crate::task::{Place, WorkerName};

/// Whose things a round is about: those of one worker, and those that are nobody's.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The tree.
    pub layout: &'a Layout,
    /// The worker.
    pub worker: &'a WorkerName,
    /// Where its logs are.
    pub log_dir: &'a Path,
    /// Where its agents' scratch is.
    pub scratch: &'a Path,
    /// Now.
    pub now: Timestamp,
}

/// Takes the turn to prune under this root, or says `None` while somebody else has it. It ends when it is dropped.
pub fn turn(layout: &Layout) -> io::Result<Option<Lock>> {
    Lock::try_exclusive(&layout.artifacts())
}

/// One round.
#[derive(Debug)]
pub struct Round<'a> {
    pub(super) scope: Scope<'a>,
    looker: Looker,
    needed: Option<Needed>,
    fault: Option<String>,
}

impl<'a> Round<'a> {
    /// Looks at the queues.
    pub fn begin(scope: Scope<'a>) -> Self {
        let looker = Looker::new(scope.layout.clone(), Disk::new(scope.layout.root(), Durability::None));
        let mut round = Self { scope, looker, needed: None, fault: None };
        round.look_again();
        round
    }

    /// Gives back what somebody took and then died over, where it is needed after all. Whoever calls has the turn.
    pub fn mend(&self) {
        look::give_back_taken(&self.scope, self.needed.as_ref());
    }

    /// Why no run can go now, if that is so.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What of one kind goes; `None` if it was to be given up. Nothing is changed.
    pub fn plan(&self, kind: Kind, limit: Limit, go_on: &mut dyn FnMut() -> bool) -> Option<Plan> {
        let now = self.scope.now;
        let mut seen = Seen::sifting(limit, now);
        self.see(kind, &mut |item| seen.push(item), go_on)?;
        if seen.is_too_much(limit) {
            seen = Seen::default();
            self.see(kind, &mut |item| seen.push(item), go_on)?;
        }
        Some(decide(kind, seen, limit, now))
    }

    /// Does what was planned. Whoever calls has the turn.
    pub fn apply(
        &mut self,
        plan: &Plan,
        gone: &mut dyn FnMut(&Item),
        go_on: &mut dyn FnMut() -> bool,
    ) -> Applied {
        apply(self, plan, gone, go_on)
    }

    /// Shows everything of one kind; `None` if it was to be given up.
    fn see(&self, kind: Kind, show: &mut dyn FnMut(Item), go_on: &mut dyn FnMut() -> bool) -> Option<()> {
        let (scope, needed) = (&self.scope, self.needed.as_ref());
        match kind {
            Kind::Completed => look::tasks(scope, Place::Completed, show, go_on),
            Kind::Cancelled => look::tasks(scope, Place::Cancelled, show, go_on),
            Kind::Failed => look::tasks(scope, Place::Failed, show, go_on),
            Kind::Artifacts => runs::runs((scope, needed), RunPart::Record, show, go_on),
            Kind::Workspaces => runs::runs((scope, needed), RunPart::Workspace, show, go_on),
            Kind::Journal => {
                look::journal(scope).into_iter().for_each(show);
                Some(())
            }
            Kind::Logs => {
                look::logs(scope).into_iter().for_each(show);
                Some(())
            }
            Kind::Leftovers => {
                look::leftovers(scope, needed).into_iter().for_each(show);
                Some(())
            }
        }
    }

    /// The runs that are needed now; `None` where the queues do not answer.
    pub(super) fn look_again(&mut self) -> Option<&Needed> {
        match self.looker.look() {
            Ok(needed) => {
                self.needed = Some(needed);
                self.fault = None;
            }
            Err(error) => {
                self.needed = None;
                self.fault = Some(error.to_string());
            }
        }
        self.needed.as_ref()
    }
}
