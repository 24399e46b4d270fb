//! What the task may still use: over all its attempts, whatever session each of them had.

use super::Run;
use super::prepare::{Refused, refuse};
use crate::agent::evidence::Evidence;
use crate::agent::verdict::Allowed;
use crate::task::ErrorCode;

impl Run {
    /// What the task has used with what this attempt has said, and what it may use.
    pub(super) fn allowed(&self, evidence: &Evidence) -> Option<Allowed> {
        let most = self.pack.pack.tokens(self.lease.task.spec.max_tokens)?;
        let used = self.lease.task.record.tokens().plus(evidence.used()).counted();
        Some(Allowed { used, most })
    }

    /// A task that has used up what it may is not started once more.
    pub(super) fn check_spent(&self) -> Result<(), Refused> {
        if let Some(allowed) = self.allowed(&Evidence::default()).filter(|it| it.is_used_up()) {
            return Err(refuse(ErrorCode::E004, &allowed.to_string()));
        }
        let (record, most) = (&self.lease.task.record, self.most_usd());
        if let Some(most) = most.filter(|most| record.cost_usd() >= *most) {
            let why = format!("it cost ${:.4} of the ${most} it may (`max_cost_usd`)", record.cost_usd());
            return Err(refuse(ErrorCode::E004, &why));
        }
        Ok(())
    }

    /// The limit for the CLI, which goes by what its own process spends and by nothing before it.
    pub(super) fn usd_left(&self) -> Option<f64> {
        let spent = self.lease.task.record.cost_usd();
        self.most_usd().map(|most| rounded(most - spent))
    }

    fn most_usd(&self) -> Option<f64> {
        self.pack.pack.cost_usd(self.lease.task.spec.max_cost_usd)
    }
}

/// To a millionth, and above nothing: the CLI refuses a limit of 0.
fn rounded(usd: f64) -> f64 {
    ((usd * 1e6).round() / 1e6).max(1e-6)
}
