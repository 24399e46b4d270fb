//! The lists of steps by their shape, and a step of one of them changed.

use std::path::Path;

use agent_worker::spool::Step;
use agent_worker::task::Place;

use super::intern;
use super::step_words::word;

/// A step that is left out of all lists of one shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mutation {
    pub(crate) shape: String,
    pub(crate) at: usize,
}

impl Mutation {
    pub(crate) fn apply(&self, steps: &mut Vec<Step>) {
        steps.remove(self.at);
    }
}

/// A list of steps in words.
pub(crate) fn words(steps: &[Step]) -> Vec<String> {
    let place = |path: &Path| -> Option<Place> { intern::home_dir(path) };
    steps.iter().map(|step| word(step, place)).collect()
}
