//! What is done with goes: survey → plan → apply, a kind at a time.
//!
//! One code for a watcher's own rounds and for `agentctl prune`; the plan is a value that can be printed before it is
//! done.
//!
//! | what | goes | stays whatever its age |
//! |---|---|---|
//! | a task file in `completed/`, `cancelled/` | by age, by size | |
//! | one in `failed/`, with its reason | by an operator's word | without that word |
//! | the record and the workspace of a run | by age, by size | while any task file outside `completed/` and `cancelled/` names the run; while an agent holds its stream |
//! | a day of the journal | by age, by size | today |
//! | a log that was put aside | by age, by size | |
//! | left-overs: files of cut writes, old reports of bugs, folders of attempts that no record names | after a day | while they may be somebody's |
//!
//! Invariants:
//! - one prunes at a time under a root: whoever holds the flock on `artifacts/` ([`turn`]). It says nothing about who
//!   works: no worker's lock is needed, since nothing in `active/` or in a queue is ever touched;
//! - a task file is taken by a rename to a hidden name, looked at again and only then removed, so one that was replaced
//!   since it was seen is put back, and one that an operator moves meanwhile is the operator's;
//! - a run is looked for in every queue before and after its folder was taken by such a rename, and put back if it is
//!   needed after all. What was taken by somebody who died then is judged anew by the next round;
//! - a run that is named by no task outside the terminal folders is never needed again: a task that comes back from
//!   there begins a new life under a new run;
//! - where a look at the queues failed, no run goes;
//! - links are never followed, and what cannot be removed is told and costs nothing else.
//!
//! It deliberately does not know whether a task should be run, and touches nothing that waits or works.

mod apply;
mod look;
mod measure;
mod needed;
mod plan;
mod round;
mod runs;
mod taken;

pub use apply::Applied;
pub use plan::{Decided, Item, Keep, Plan, Tally, What, Why};
pub use round::{Round, Scope, turn};
