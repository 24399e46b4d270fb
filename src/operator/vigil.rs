//! Waiting until something under some folders changes: kernel events wake us at once, and a slow look of our own
//! finds what they miss.

use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
#[cfg(feature = "top")]
use tokio::sync::mpsc::Receiver;

use crate::os::watch::{Hints, Wanted};

use super::error::OperatorError;

/// How long events may be missed, as over NFS, before we look by ourselves.
const SLOW_LOOK: Duration = Duration::from_secs(2);

/// What ended a wait.
#[cfg(feature = "top")]
#[derive(Debug)]
pub(super) enum Woken<T> {
    /// A word from elsewhere.
    Word(T),
    /// Something changed.
    Changed,
    /// Time was up.
    Nothing,
}

/// Somebody who waits for changes.
#[derive(Debug)]
pub(super) struct Vigil {
    hints: Option<Hints>,
    runtime: Runtime,
    watched: Vec<PathBuf>,
}

impl Vigil {
    /// Starts to listen to nothing yet. Without kernel events the slow look has to do.
    pub(super) fn start() -> Result<Self, OperatorError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(OperatorError::io("wait in", std::path::Path::new(".")))?;
        let hints = {
            let _inside = runtime.enter();
            Hints::start().ok()
        };
        Ok(Self { hints, runtime, watched: Vec::new() })
    }

    /// Listens to these files and folders too, as far as they exist. Whoever looks does so after this, or misses
    /// what came between.
    pub(super) fn listen(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let Some(hints) = &mut self.hints else { return };
        for path in paths {
            if !self.watched.contains(&path) && hints.add(&path, Wanted::Changes).is_ok() {
                self.watched.push(path);
            }
        }
    }

    /// Waits for a change, at most `limit` and at most until the next slow look.
    pub(super) fn wait(&mut self, limit: Option<Duration>) {
        let limit = limit.map_or(SLOW_LOOK, |limit| limit.min(SLOW_LOOK));
        let Some(hints) = &mut self.hints else {
            self.runtime.block_on(tokio::time::sleep(limit));
            return;
        };
        let woken = self.runtime.block_on(async { tokio::time::timeout(limit, hints.next()).await });
        if woken.is_ok() {
            // One look answers all that was told until now.
            hints.waiting();
        }
    }
    /// Waits for a change or for a word, at most `limit`.
    #[cfg(feature = "top")]
    pub(super) fn wait_or<T>(&mut self, limit: Duration, words: &mut Receiver<T>) -> Woken<T> {
        let Some(hints) = &mut self.hints else { return self.listen_only_to(limit, words) };
        let woken = self.runtime.block_on(async {
            tokio::select! {
                biased;
                Some(word) = words.recv() => Woken::Word(word),
                _ = hints.next() => Woken::Changed,
                () = tokio::time::sleep(limit) => Woken::Nothing,
            }
        });
        if matches!(woken, Woken::Changed) {
            hints.waiting();
        }
        woken
    }

    /// Waits for a word, at most `limit`.
    #[cfg(feature = "top")]
    pub(super) fn listen_only_to<T>(&self, limit: Duration, words: &mut Receiver<T>) -> Woken<T> {
        let heard = self.runtime.block_on(async { tokio::time::timeout(limit, words.recv()).await });
        heard.ok().flatten().map_or(Woken::Nothing, Woken::Word)
    }
}
