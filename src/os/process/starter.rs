//! A thread for one start. What confines a program confines the thread that starts it, and for good (`landlock(7)`); and
//! whoever is started is waited for until it executes, which is no wait for a loop.
//!
//! Invariants:
//! - nothing is confined but such a thread: whoever starts a program shows an [`Apart`], and there is none elsewhere;
//! - what is known before all is known is done meanwhile ([`Confinement::foresee`]);
//! - nothing is started for somebody who does not wait for it any more.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::sync::mpsc;
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Ticks;
use crate::os::confine::{Confinement, Foreseen};

/// What was foreseen before is seen to again: a folder may have been made since.
const FRESH: Duration = Duration::from_millis(100);

type Work = Box<dyn FnOnce(Apart) + Send>;

/// That this thread does one thing more, and ends.
#[derive(Debug)]
pub struct Apart {
    foreseen: Option<Foreseen>,
    /// It stays on its thread.
    _here: PhantomData<*const ()>,
}

impl Apart {
    /// What was foreseen of the bounds of whatever is started.
    pub(super) fn foreseen(self) -> Option<Foreseen> {
        self.foreseen
    }
}

/// One that waits, so that none has to be made between a drop and its agent.
#[derive(Debug, Default)]
pub struct Starters {
    waiting: RefCell<Option<Starter>>,
}

impl Starters {
    /// One. An error is that of a machine which has no thread left.
    pub fn take(&self) -> io::Result<Starter> {
        self.waiting.take().map_or_else(Starter::begin, Ok)
    }

    /// Has the one that waits, if one does, see to the bounds of what is likely to be started next.
    pub fn foresee(&self, usual: Confinement, now: Ticks) {
        if let Some(waiting) = self.waiting.borrow_mut().as_mut() {
            waiting.foresee(usual, now);
        }
    }

    /// Sees that one waits; the next who takes one tries again.
    pub fn refill(&self) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_none() {
            *waiting = Starter::begin().ok();
        }
    }
}

enum Told {
    Foresee(Confinement),
    Do(Work),
}

/// Such a thread, as whoever has it knows it. One that is let go ends.
#[derive(Debug)]
pub struct Starter {
    tell: mpsc::Sender<Told>,
    /// What it sees to, and since when.
    asked: Option<(Confinement, Ticks)>,
}

impl Starter {
    fn begin() -> io::Result<Self> {
        let (tell, told) = mpsc::channel();
        Builder::new().name("starter".to_owned()).spawn(move || listen(&told))?;
        Ok(Self { tell, asked: None })
    }

    /// Sees to all of `usual` that can be seen to before it is known what is started, if it did not a moment ago.
    pub fn foresee(&mut self, usual: Confinement, now: Ticks) {
        let is_seen = |(seen, at): &(Confinement, Ticks)| *seen == usual && now.since(*at) < FRESH;
        if self.asked.as_ref().is_some_and(is_seen) {
            return;
        }
        self.tell.send(Told::Foresee(usual.clone())).ok();
        self.asked = Some((usual, now));
    }

    /// What came of `work`, which is done there. An error is a bug in it.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(Apart) -> T + Send + 'static,
    ) -> io::Result<T> {
        let (tell, done) = oneshot::channel();
        self.tell.send(Told::Do(unless_gone(work, tell))).ok();
        done.await.map_err(|_| io::Error::other("the thread that starts it has failed"))
    }
}

fn listen(told: &mpsc::Receiver<Told>) {
    let mut foreseen = None;
    while let Ok(told) = told.recv() {
        match told {
            // Where it cannot be foreseen it is told when it is needed.
            Told::Foresee(usual) => foreseen = usual.foresee().ok(),
            Told::Do(work) => return work(Apart { foreseen, _here: PhantomData }),
        }
    }
}

fn unless_gone<T: Send + 'static>(
    work: impl FnOnce(Apart) -> T + Send + 'static,
    tell: oneshot::Sender<T>,
) -> Work {
    Box::new(move |apart| {
        if !tell.is_closed() {
            tell.send(work(apart)).ok();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_is_told_and_what_fails_is_an_error() {
        let thread = |_: Apart| std::thread::current().name().map(str::to_owned);
        let told = Starter::begin().unwrap().run(thread).await.unwrap();
        assert_eq!(told.as_deref(), Some("starter"));
        let failed = Starter::begin().unwrap().run(|_| panic!("as it should")).await;
        assert!(failed.unwrap_err().to_string().contains("thread"));
    }

    #[test]
    fn what_was_seen_to_a_moment_ago_is_not_seen_to_again() {
        let (tell, told) = mpsc::channel();
        let mut starter = Starter { tell, asked: None };
        let usual = |tree: &str| Confinement { trees: vec![tree.into()], ..Confinement::default() };
        let at = |ms: u64| Ticks::default().plus(Duration::from_millis(ms));
        for (tree, ms, asks) in [("/a", 0, 1), ("/a", 99, 0), ("/a", 100, 1), ("/b", 101, 1), ("/b", 102, 0)]
        {
            starter.foresee(usual(tree), at(ms));
            assert_eq!(told.try_iter().count(), asks, "{tree} at {ms}");
        }
    }

    #[test]
    fn nothing_is_started_for_somebody_who_has_gone() {
        let (tell, done) = oneshot::channel();
        drop(done);
        unless_gone(|_| panic!("for whom?"), tell)(Apart { foreseen: None, _here: PhantomData });
    }
}
