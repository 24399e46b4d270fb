//! Numbers, in registries of our own, under the names that the runbooks ask for.
//!
//! Invariants:
//! - every series is there at 0 from the start, so that a rate has a beginning;
//! - labels come from closed sets (states, causes, kinds, the configured workers, the operator's packs, a bounded number of
//!   packs that agents were started with): never a task, a path, a text;
//! - a scrape reads numbers that are already there and touches no disk but `/proc`;
//! - nobody outside names a metric: there is a method for each.
//!
//! | module | whose |
//! |---|---|
//! | `runbook` | the names the runbooks know, of both programs |
//! | `budget` | what a worker used of budgets, and with which packs |
//! | `packs` | those of each pack that is there |
//! | `watcher` | one worker's: [`Metrics`] |
//! | `supervisor` | the supervisor's: [`SupervisorMetrics`] |
//!
//! It deliberately does not know when something happens, only how often it did.

mod budget;
mod packs;
mod registry;
mod runbook;
mod supervisor;
mod watcher;

pub use budget::{BudgetLabels, BudgetMetrics};
pub use packs::Packs;
pub use runbook::Runbook;
pub use supervisor::{Labels, Standing, SupervisorMetrics};
pub use watcher::Metrics;

/// Why the metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("could not register the metric `{name}`")]
pub struct MetricsError {
    name: String,
    source: prometheus::Error,
}
