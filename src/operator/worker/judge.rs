//! Judging: what a worker is doing, in a word, and what is wrong with it. Pure.

use crate::clock::Timestamp;
use crate::os::holder::Role;
use crate::recovery::ramp::Phase;
use crate::telemetry::state_file::WorkerStatus;
use crate::telemetry::vital::Vital;

use super::super::report::Tone;
use super::super::word::Word;
use super::WorkerView;

/// For how many seconds a crash is told.
const CRASH_IS_NEWS: f64 = 86_400.0;

/// Something that a person should know about a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Condition {
    /// In a word, for programs.
    pub(in crate::operator) word: &'static str,
    /// In a sentence that begins with the worker's name.
    pub(in crate::operator) what: String,
    /// When it passes, or is tried again.
    pub(in crate::operator) until: Option<Timestamp>,
    /// What to do.
    pub(in crate::operator) remedy: Option<String>,
    /// Whether it lasts until a person acts.
    pub(in crate::operator) is_yours: bool,
}

impl Condition {
    fn yours(word: &'static str, what: String) -> Self {
        Self { word, what, until: None, remedy: None, is_yours: true }
    }
}

impl WorkerView {
    /// What it is doing, in a word: a file that says `running` while nobody holds the lock is a crash.
    pub(in crate::operator) fn word(&self) -> (&'static str, Tone) {
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

    pub(in crate::operator) const fn is_alive(&self) -> bool {
        matches!(self.held_by, Some(Role::Watcher))
    }

    /// Since when nobody restarts it any more.
    pub(in crate::operator) fn set_aside(&self) -> Option<Timestamp> {
        self.state.as_ref().filter(|_| !self.is_alive())?.set_aside
    }

    /// All that a person should know about it, the worst first.
    pub(in crate::operator) fn conditions(&self) -> Vec<Condition> {
        let all = [
            self.is_set_aside(),
            self.is_dead(),
            self.shows_no_life(),
            self.is_unreadable(),
            self.holds(),
            self.is_resumed(),
            self.is_paused(),
            self.is_paced(),
            self.is_near_its_limit(),
        ];
        all.into_iter().flatten().collect()
    }

    fn is_set_aside(&self) -> Option<Condition> {
        let since = self.set_aside()?;
        Some(Condition {
            remedy: Some("find out why (its log), then SIGHUP to the supervisor, or start it".to_owned()),
            ..Condition::yours(
                "set_aside",
                format!("is set aside since {since:.0}: it died and is not restarted any more"),
            )
        })
    }

    fn is_dead(&self) -> Option<Condition> {
        if !self.has_died() || self.set_aside().is_some() {
            return None;
        }
        if self.supervised {
            let what = "is dead: its supervisor recovers and restarts it".to_owned();
            return Some(Condition { is_yours: false, ..Condition::yours("dead", what) });
        }
        Some(Condition {
            remedy: Some(format!(
                "start its watcher, which recovers first (`watcher --worker {}`)",
                self.name
            )),
            ..Condition::yours("dead", "is dead, and no supervisor is there to restart it".to_owned())
        })
    }

    fn shows_no_life(&self) -> Option<Condition> {
        let (what, remedy) = self.vital.trouble()?;
        let condition = Condition::yours(self.vital.as_str(), format!("takes no tasks: {what}"));
        Some(Condition { remedy: Some(remedy.to_owned()), ..condition })
    }

    fn is_unreadable(&self) -> Option<Condition> {
        let error = self.unread.as_ref()?;
        let what = format!("does not say how it is: its state.json cannot be read: {error}");
        Some(Condition::yours("unreadable", what))
    }

    fn holds(&self) -> Option<Condition> {
        let hold = self.state.as_ref()?.hold.as_ref().filter(|_| self.is_alive())?;
        let code = hold.error_code.map(|code| format!("{code} ")).unwrap_or_default();
        Some(Condition {
            word: hold.cause.as_str(),
            what: format!("takes no tasks: {code}{}: {}", hold.cause.as_str(), hold.reason),
            until: hold.until,
            remedy: hold.remedy.clone(),
            is_yours: !hold.cause.passes_by_itself(),
        })
    }

    /// A resume that stopped; where the worker lives, its hold tells it already.
    fn is_resumed(&self) -> Option<Condition> {
        let (record, is_led) = self.resume.as_ref()?;
        let stopped = record.state == Phase::Stopped;
        if !stopped
            || self.state.as_ref().is_some_and(|state| state.hold.is_some() && self.is_alive())
            || *is_led
        {
            return None;
        }
        let why = record.reason.as_deref().unwrap_or("too much of a batch failed");
        Some(Condition {
            remedy: Some(crate::recovery::ramp::lines::remedy(&self.name)),
            ..Condition::yours("resume", format!("takes no tasks: its gradual resume was stopped: {why}"))
        })
    }

    fn is_paused(&self) -> Option<Condition> {
        let status = self.beat.or_else(|| Some(self.state.as_ref()?.status)).filter(|_| self.is_alive());
        let by_hand = |word, what| Condition { is_yours: false, ..Condition::yours(word, what) };
        if status == Some(WorkerStatus::Draining) {
            let what = format!("is draining: takes no tasks, {} still run", self.running.len());
            return Some(by_hand("draining", what));
        }
        let paused = self.paused();
        if status != Some(WorkerStatus::Paused) && paused.is_none() {
            return None;
        }
        let tail = paused.as_ref().map(Word::tail).unwrap_or_default();
        let remedy = Some(format!("agentctl resume {}", self.name));
        Some(Condition { remedy, ..by_hand("paused", format!("is paused{tail}")) })
    }

    fn is_paced(&self) -> Option<Condition> {
        let until = self.paced.filter(|_| self.is_alive())?;
        let what = "starts nothing for a moment: the requests of this minute are used up".to_owned();
        let remedy = Some("nothing; --api-requests-per-minute says how many there are".to_owned());
        Some(Condition { word: "paced", what, until: Some(until), remedy, is_yours: false })
    }

    fn is_near_its_limit(&self) -> Option<Condition> {
        let warning = self.warning.as_ref().filter(|_| self.is_alive())?;
        let what = format!("was warned: {warning} (told to {})", warning.by);
        Some(Condition { word: "limit_near", what, until: None, remedy: None, is_yours: false })
    }

    /// Whether it left without a word.
    pub(in crate::operator) fn has_died(&self) -> bool {
        let said = self.state.as_ref().map(|state| state.status);
        self.held_by.is_none() && said.is_some_and(|status| status != WorkerStatus::Stopped)
    }

    /// Why its watcher last died, while that is news.
    pub(in crate::operator) fn crash(&self, now: f64) -> Option<(u64, String)> {
        let state = self.state.as_ref()?;
        let age = state.last_crash.map(|at| now - at).filter(|age| (0.0..CRASH_IS_NEWS).contains(age))?;
        let (word, text) = (state.last_crash_reason.as_ref()?, state.last_crash_detail.as_deref());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a day at most")]
        Some((age as u64, format!("{word}: {}", text.unwrap_or_default())))
    }

    pub(in crate::operator) fn crashes(&self) -> u64 {
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
