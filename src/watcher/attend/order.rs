//! What a run is told by the rest of the worker, and how it answers.
//!
//! Invariants:
//! - whoever asks is answered, once: a run that ends before it came to an order says so by itself;
//! - an answer that nobody waits for is lost, and the order was carried out all the same.
//!
//! It deliberately does not know who asks, or how the answer travels.

use std::fmt;
use std::path::PathBuf;

use crate::pipe::reply::Reply;

/// What a run is told by the rest of the worker.
#[derive(Debug)]
pub(in crate::watcher) enum Order {
    /// Its stream or its file changed: look.
    Look,
    /// Somebody queued its file, here: take it out again.
    TakeBack(PathBuf),
    /// End, orderly: the worker stops.
    Stop,
    /// End at once.
    Kill,
    /// Say this to the agent: it steers while tools are at work, otherwise it is the next turn. Answered as soon as it
    /// is on its way; refused where the agent cannot hear.
    Tell {
        /// The message, as the person wrote it.
        text: String,
        /// Who waits.
        answer: Answer,
    },
    /// End what the agent is doing right now. Answered as soon as it is asked where it goes on, at the end of the run where
    /// it does not.
    Interrupt {
        /// What it goes on with. Without one the task goes back uncharged, with its session, and is held.
        text: Option<String>,
        /// Who waits.
        answer: Answer,
    },
    /// End the agent, an adopted one too; its task goes to `cancelled/`. Answered when it is there, which takes up to 15 s.
    Cancel {
        /// Why, as the person wrote it.
        reason: Option<String>,
        /// Who waits.
        answer: Answer,
    },
}

/// Who asked, and where the answer goes. One that is dropped says that the run was over before.
pub(in crate::watcher) struct Answer {
    by: Option<String>,
    to: Option<Box<dyn FnOnce(Reply)>>,
}

impl Answer {
    /// The answer goes to `to`, which is called once, on the worker's loop; `by` is who asked, as they say.
    pub(in crate::watcher) fn to(by: Option<String>, to: impl FnOnce(Reply) + 'static) -> Self {
        Self { by, to: Some(Box::new(to)) }
    }

    /// Who asked, as they say.
    pub(super) fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }

    /// Answers.
    pub(super) fn with(mut self, reply: Reply) {
        if let Some(to) = self.to.take() {
            to(reply);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            to(Reply::refused(75, "its run came to its end before this could be done")
                .hinting("see what became of it: agentctl show TASK"));
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("by", &self.by).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn whoever_asks_is_answered_once_also_by_a_run_that_is_over() {
        let heard: Rc<RefCell<Vec<Reply>>> = Rc::default();
        let listener = || {
            let heard = Rc::clone(&heard);
            Answer::to(None, move |reply| heard.borrow_mut().push(reply))
        };
        listener().with(Reply::done("told"));
        drop(Order::Tell { text: "x".to_owned(), answer: listener() });
        let heard = heard.borrow();
        assert_eq!(
            heard.iter().map(|reply| (reply.ok, reply.code)).collect::<Vec<_>>(),
            [(true, 0), (false, 75)]
        );
    }
}
