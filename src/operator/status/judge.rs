//! Judging: what a worker is doing, in a word, and what is wrong with it. Pure.

use crate::clock::Timestamp;
use crate::os::holder::Role;
use crate::telemetry::state_file::WorkerStatus;
use crate::telemetry::vital::Vital;

use super::super::report::Tone;
use super::survey::WorkerView;

/// For how many seconds a crash is told.
const CRASH_IS_NEWS: f64 = 86_400.0;

impl WorkerView {
    /// What it is doing, in a word: a file that says `running` while nobody holds the lock is a crash.
    pub(super) fn word(&self) -> (&'static str, Tone) {
        match (self.held_by, self.state.as_ref().map(|state| state.status)) {
            (None, None) => ("never started", Tone::Faint),
            _ if self.set_aside().is_some() => ("set aside", Tone::Bad),
            (None, Some(WorkerStatus::Stopped)) => ("stopped", Tone::Warn),
            (None, Some(_)) => ("dead", Tone::Bad),
            (Some(Role::Recovery | Role::Supervisor | Role::Operator), _) => {
                ("held for recovery", Tone::Warn)
            }
            (Some(Role::Watcher), state) => self.alive_word(state),
        }
    }

    fn alive_word(&self, state: Option<WorkerStatus>) -> (&'static str, Tone) {
        match (&self.vital, self.beat.or(state)) {
            (Vital::Dead | Vital::Starting | Vital::Beating, None) => ("alive", Tone::Good),
            (Vital::Dead | Vital::Starting | Vital::Beating, Some(status)) => {
                (status.as_str(), tone_of(status))
            }
            (vital, _) => (vital.as_str(), Tone::Bad),
        }
    }

    pub(super) const fn is_alive(&self) -> bool {
        matches!(self.held_by, Some(Role::Watcher))
    }

    /// Since when nobody restarts it any more.
    pub(super) fn set_aside(&self) -> Option<Timestamp> {
        self.state.as_ref().filter(|_| !self.is_alive())?.set_aside
    }

    /// Why it takes no tasks, and what to do.
    pub(super) fn trouble(&self) -> Option<(String, Option<&str>)> {
        if let Some(since) = self.set_aside() {
            let reason = format!("set aside since {since:.0}: it died and is not restarted any more");
            return Some((
                reason,
                Some("find out why (its log), then SIGHUP to the supervisor, or start it"),
            ));
        }
        if let Some((what, remedy)) = self.vital.trouble() {
            return Some((what, Some(remedy)));
        }
        if let Some(error) = &self.unread {
            return Some((format!("its state.json cannot be read: {error}"), None));
        }
        let hold = self.state.as_ref()?.hold.as_ref().filter(|_| self.is_alive())?;
        let until = hold.until.map(|until| format!(" (tries again at {until:.0})")).unwrap_or_default();
        let code = hold.error_code.map(|code| format!("{code} ")).unwrap_or_default();
        let cause = hold.cause.as_str();
        Some((format!("{code}{cause}: {}{until}", hold.reason), hold.remedy.as_deref()))
    }

    /// Whether it left without a word.
    pub(super) fn has_died(&self) -> bool {
        let said = self.state.as_ref().map(|state| state.status);
        self.held_by.is_none() && said.is_some_and(|status| status != WorkerStatus::Stopped)
    }

    /// Why its watcher last died, while that is news.
    pub(super) fn crash(&self, now: f64) -> Option<(u64, String)> {
        let state = self.state.as_ref()?;
        let age = state.last_crash.map(|at| now - at).filter(|age| (0.0..CRASH_IS_NEWS).contains(age))?;
        let (word, text) = (state.last_crash_reason.as_ref()?, state.last_crash_detail.as_deref());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a day at most")]
        Some((age as u64, format!("{word}: {}", text.unwrap_or_default())))
    }

    pub(super) fn crashes(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.recovery_count)
    }
}

const fn tone_of(status: WorkerStatus) -> Tone {
    match status {
        WorkerStatus::Running => Tone::Good,
        WorkerStatus::Degraded => Tone::Bad,
        WorkerStatus::Starting
        | WorkerStatus::Paused
        | WorkerStatus::Draining
        | WorkerStatus::Stopped
        | WorkerStatus::Recovering => Tone::Warn,
    }
}
