//! What comes to the loop from outside: hints of the kernel, and lines in the pipe.

use std::path::Path;

use super::command::Hearing;
use crate::os::watch::{Hint, Hints, Wanted};

/// What came.
#[derive(Debug)]
pub(super) enum Word {
    Hinted(Vec<Hint>),
    /// Something stands in the pipe.
    Spoken,
}

/// The next of it. Neither goes first: both can be flooded.
pub(super) async fn word(hints: &mut Option<Hints>, hearing: &Hearing) -> Word {
    tokio::select! {
        hints = burst(hints) => Word::Hinted(hints),
        () = hearing.readable() => Word::Spoken,
    }
}

/// The next hint, with those that wait already: a burst is one look. Never, where there are none to be had.
async fn burst(hints: &mut Option<Hints>) -> Vec<Hint> {
    match hints {
        Some(hints) => {
            let mut burst = vec![hints.next().await];
            burst.extend(hints.waiting());
            burst
        }
        None => std::future::pending().await,
    }
}

/// Has a stream told about.
pub(super) fn watch(hints: &mut Option<Hints>, path: &Path) {
    let Some(hints) = hints else { return };
    if let Err(error) = hints.add(path, Wanted::Changes) {
        tracing::debug!(error = %error, "no kernel events for a stream; looking every few seconds instead");
    }
}
