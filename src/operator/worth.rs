//! What an answer was worth: what the acceptance command came to, and the tools that were denied.

use std::time::Duration;

use serde_json::Value;

use crate::os::trouble::if_there;
use crate::task::TaskFile;
use crate::task::acceptance::Acceptance;

use super::desk::{Desk, spoken};

/// What the acceptance command came to last, if it had its word; each attempt is asked, the last one first.
fn acceptance(desk: &Desk, task: &TaskFile) -> Option<Acceptance> {
    let paths = desk.layout.run(&task.record.run_id?);
    // A file that cannot be read now says nothing; the task's own record says what became of it.
    let read = |number| if_there(std::fs::read(paths.verify(number))).ok().flatten();
    let mut attempts = task.record.attempts.iter().rev();
    attempts.find_map(|attempt| Acceptance::parse(&read(attempt.number)?))
}

/// As lines for a person; empty where there is nothing to say.
pub(super) fn lines(desk: &Desk, task: &TaskFile) -> Vec<(&'static str, String)> {
    let verified = acceptance(desk, task).map(|it| {
        let took = spoken(Duration::try_from_secs_f64(it.took_s).unwrap_or_default().as_secs());
        format!("`{}` {}, after {took}", it.typed(), it.how())
    });
    vec![("verified", verified.unwrap_or_default()), ("denied tools", task.record.denied_tools.join(", "))]
}

/// The verdict of the acceptance command for programs.
pub(super) fn verify(desk: &Desk, task: &TaskFile) -> Value {
    acceptance(desk, task).and_then(|it| serde_json::to_value(it).ok()).unwrap_or_default()
}
