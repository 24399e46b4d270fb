//! How far a gradual resume is, as a bar on the terminal's stderr. Elsewhere there is none: the lines say it.

use indicatif::{ProgressBar, ProgressStyle};

use crate::recovery::ramp::Record;

/// The bar, where there is one.
#[derive(Debug)]
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// None.
    pub(super) const fn absent() -> Self {
        Self(None)
    }

    /// A bar on stderr, which is a terminal.
    pub(super) fn drawn() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} let go, {msg}") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// Shows how far it is.
    pub(super) fn show(&self, record: &Record) {
        let Some(bar) = &self.0 else { return };
        bar.set_length(record.found as u64);
        bar.set_position(record.released as u64);
        bar.set_message(format!("batch {}, {} done, {} failed", record.batch, record.done, record.failed));
        bar.tick();
    }

    /// Lets somebody write, without the bar in the way.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
