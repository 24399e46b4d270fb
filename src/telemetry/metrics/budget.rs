//! What is used of budgets, and what each pack has cost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{CounterVec, GaugeVec, IntCounterVec};

use super::MetricsError;
use super::registry::Registrar;
use crate::task::{Tokens, Usage};

/// The packs that have a label of their own.
const PACKS_MAX: usize = 200;
/// The pack that every worker has.
const DEFAULT: &str = "default";
/// The label of all others.
const OTHER: &str = "other";

/// One bound, as it is labelled: whose kind, whose, the window, the unit.
pub type BudgetLabels = [String; 4];

/// Gauges and counters of one worker. Cloning shares them.
#[derive(Clone, Debug)]
pub struct BudgetMetrics {
    used: GaugeVec,
    cost: CounterVec,
    tokens: IntCounterVec,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    bounds: BTreeSet<BudgetLabels>,
    packs: BTreeSet<String>,
}

impl BudgetMetrics {
    pub(super) fn new(registry: &Registrar) -> Result<Self, MetricsError> {
        let used = "How much of a budget is used; from 1 on nothing more is started.";
        let tokens = "Tokens that count against budgets, by pack.";
        let it = Self {
            used: registry.gauges_of(
                "agent_worker_budget_used_ratio",
                used,
                &["scope", "name", "window", "unit"],
            )?,
            cost: registry.float_counters(
                "agent_worker_pack_cost_usd_total",
                "What agents cost, in US dollars, by pack.",
                "pack",
            )?,
            tokens: registry.counters("agent_worker_pack_tokens_total", tokens, "pack")?,
            known: Arc::default(),
        };
        it.cost.with_label_values(&[DEFAULT]).reset();
        it.tokens.with_label_values(&[DEFAULT]).reset();
        Ok(it)
    }

    /// What is used of every bound that there is now: 1 is all. Bounds that are no more are not shown any more.
    pub fn set_used(&self, bounds: impl IntoIterator<Item = (BudgetLabels, f64)>) {
        let mut now = BTreeSet::new();
        for (labels, share) in bounds {
            self.used.with_label_values(&labels.each_ref().map(String::as_str)).set(share);
            now.insert(labels);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.bounds.difference(&now) {
            self.used.remove_label_values(&gone.each_ref().map(String::as_str)).ok();
        }
        known.bounds = now;
    }

    /// An attempt with `pack` used so much. One that used nothing may name a pack that is none.
    pub fn spent(&self, pack: &str, usage: Usage) {
        let usd = usage.cost_usd.filter(|usd| usd.is_finite() && *usd > 0.0).unwrap_or(0.0);
        let tokens = usage.tokens.map_or(0, Tokens::counted);
        if usd <= 0.0 && tokens == 0 {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = known.packs.len() < PACKS_MAX;
        let label = if known.packs.contains(pack) || has_room { pack } else { OTHER };
        known.packs.insert(label.to_owned());
        drop(known);
        self.cost.with_label_values(&[label]).inc_by(usd);
        self.tokens.with_label_values(&[label]).inc_by(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    fn labels(name: &str) -> BudgetLabels {
        ["pack", name, "day", "usd"].map(str::to_owned)
    }

    #[test]
    fn a_bound_that_is_no_more_is_not_shown_any_more() {
        let metrics = Metrics::new("1").unwrap();
        metrics.budget().set_used([(labels("a"), 0.5), (labels("b"), 1.25)]);
        let of = |name: &str| {
            format!(
                "agent_worker_budget_used_ratio{{name=\"{name}\",scope=\"pack\",unit=\"usd\",window=\"day\"}}"
            )
        };
        let text = metrics.render();
        assert!(text.contains(&format!("{} 0.5\n", of("a"))), "{text}");
        assert!(text.contains(&format!("{} 1.25\n", of("b"))), "{text}");
        metrics.budget().set_used([(labels("b"), 0.0)]);
        let text = metrics.render();
        assert!(!text.contains(&of("a")) && text.contains(&format!("{} 0\n", of("b"))), "{text}");
    }

    #[test]
    fn packs_have_labels_of_their_own_as_long_as_they_are_few() {
        let metrics = Metrics::new("1").unwrap();
        let tokens = Some(Tokens { input: 1, output: 1, cache_read: 50, cache_write: 1 });
        for n in 0..PACKS_MAX + 50 {
            metrics.budget().spent(&format!("p{n}"), Usage { cost_usd: Some(0.5), tokens });
        }
        metrics.budget().spent("p0", Usage { cost_usd: None, tokens });
        metrics.budget().spent("typo", Usage::default());
        let text = metrics.render();
        for line in [
            "agent_worker_pack_cost_usd_total{pack=\"p0\"} 0.5",
            "agent_worker_pack_tokens_total{pack=\"p0\"} 6",
            "agent_worker_pack_cost_usd_total{pack=\"other\"} 25",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}");
        }
        assert!(!text.contains("typo"), "{text}");
    }
}
