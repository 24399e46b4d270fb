//! Which tasks are shown, and in which order. Pure.

use std::cmp::Ordering;

use super::scene::Task;

/// In which order tasks are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// By what they are sorted.
    pub(super) by: Sort,
    /// The other way round.
    pub(super) is_reversed: bool,
}

/// By what tasks are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// As the list comes: what runs and waits the longest first, what failed the latest.
    #[default]
    Time,
    /// By name.
    Name,
    /// By worker.
    Worker,
    /// By what it cost, the dearest first.
    Cost,
    /// By how long its agent has been silent, the longest first.
    Sign,
    /// By what was asked for, the most urgent first.
    Priority,
}

impl Sort {
    /// The next one.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Time => Self::Name,
            Self::Name => Self::Worker,
            Self::Worker => Self::Cost,
            Self::Cost => Self::Sign,
            Self::Sign => Self::Priority,
            Self::Priority => Self::Time,
        }
    }

    /// In a word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Name => "name",
            Self::Worker => "worker",
            Self::Cost => "cost",
            Self::Sign => "sign",
            Self::Priority => "priority",
        }
    }

    fn compare(self, a: &Task, b: &Task) -> Ordering {
        match self {
            Self::Time => Ordering::Equal,
            Self::Name => a.name.cmp(&b.name),
            Self::Worker => a.worker.cmp(&b.worker),
            Self::Cost => b.cost_usd.total_cmp(&a.cost_usd),
            Self::Sign => b.silent_s.cmp(&a.silent_s),
            Self::Priority => b.priority.cmp(&a.priority),
        }
    }
}

/// The tasks with `filter` in them, sorted.
pub(super) fn chosen<'a>(all: &'a [Task], filter: &str, order: Order) -> Vec<&'a Task> {
    let says = |task: &Task| {
        [task.full_name.as_str(), &task.says, task.state.as_str()].into_iter().any(|text| has(text, filter))
    };
    let mut tasks: Vec<&Task> = all.iter().filter(|task| filter.is_empty() || says(task)).collect();
    tasks.sort_by(|a, b| order.by.compare(a, b));
    if order.is_reversed {
        tasks.reverse();
    }
    tasks
}

/// Whether `text` has `part` in it, in whatever case.
pub(super) fn has(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}
