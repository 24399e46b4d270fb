//! `supervisor ended W`: what systemd tells the `ExecStopPost=` of a watcher's unit about its end, left for the next
//! watcher in `death.json`. Nobody else learns it where systemd alone restarts.
//!
//! Invariant: it speaks of a watcher that is dead, and never over somebody who knew more.

use crate::clock::Timestamp;
use crate::config::{Environment, RecoverConfig};
use crate::layout::Layout;
use crate::recovery::crash::host::from_unit;
use crate::recovery::crash::{CrashReason, Dead, Evidence, Verdict, decide, gather, note};

/// Leaves it. `None` where there is nothing to tell: an orderly end, a watcher that lives, or one whose end is known.
pub fn note_end(
    config: &RecoverConfig,
    env: &Environment,
    now: Timestamp,
) -> std::io::Result<Option<Verdict>> {
    let told = |name: &str| env.text(name).unwrap_or_default();
    let result = told("SERVICE_RESULT");
    let said = from_unit(result, told("EXIT_CODE"), told("EXIT_STATUS")).filter(|_| result != "success");
    let layout = Layout::new(&config.root);
    let (Some(said), Some(dead)) = (said, Dead::find(&layout, &config.worker)) else { return Ok(None) };
    let path = layout.death(&config.worker);
    if note::read(&path, &dead.process).is_some_and(|known| known.reason != CrashReason::Unknown) {
        return Ok(None);
    }
    let known = Evidence { host: Some(said), ..Evidence::default() };
    let verdict = decide(&gather(&layout, &config.worker, Some(&dead), known));
    let verdict = if result == "watchdog" { by_watchdog(verdict) } else { verdict };
    note::write(&path, &dead.process, &verdict, now)?;
    Ok(Some(verdict))
}

/// The signal that systemd's watchdog sends says less than that it was sent.
fn by_watchdog(verdict: Verdict) -> Verdict {
    match verdict.reason {
        CrashReason::Signalled(_) | CrashReason::Unknown => Verdict {
            reason: CrashReason::Hung,
            text: "systemd ended it, since it had shown no sign of life for as long as WatchdogSec= says; look whether \
                   the disk below the root answers, and whether somebody had stopped it (SIGSTOP)"
                .to_owned(),
        },
        CrashReason::OomKilled
        | CrashReason::Panicked
        | CrashReason::Hung
        | CrashReason::HostRestarted
        | CrashReason::Exited(_) => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::holder::{Holder, Role};
    use crate::os::process::ProcessId;

    /// What is said and left about the watcher `dead` that systemd says this of, where so much was `known`.
    fn left(
        dead: &ProcessId,
        told: [&str; 3],
        known: Option<CrashReason>,
    ) -> (Option<CrashReason>, Option<CrashReason>) {
        let dir = tempfile::tempdir().unwrap();
        let config = RecoverConfig::resolve(
            "marie".parse().unwrap(),
            &mut crate::config::Settings::new(Vec::new(), None),
            &Environment::of(&[]),
        );
        let config = RecoverConfig { root: dir.path().to_owned(), ..config.unwrap() };
        let layout = Layout::new(dir.path());
        for made in [layout.worker(&config.worker), layout.locks()] {
            std::fs::create_dir_all(made).unwrap();
        }
        let now: Timestamp = "2026-11-27T10:00:00Z".parse().unwrap();
        let holder = Holder::current(Role::Watcher, Some(config.worker.clone()), now);
        let holder = Holder { process: dead.clone(), ..holder };
        holder.write_to(&layout.watcher_lock(&config.worker)).unwrap();
        if let Some(reason) = known {
            let known = Verdict { reason, text: "it was seen".to_owned() };
            note::write(&layout.death(&config.worker), dead, &known, now).unwrap();
        }
        let [result, code, status] = told;
        let vars = [("SERVICE_RESULT", result), ("EXIT_CODE", code), ("EXIT_STATUS", status)];
        let said = note_end(&config, &Environment::of(&vars), now).unwrap();
        let noted = note::read(&layout.death(&config.worker), dead);
        (said.map(|it| it.reason), noted.map(|it| it.reason))
    }

    fn gone() -> ProcessId {
        ProcessId { start_ticks: 1, ..ProcessId::current() }
    }

    #[test]
    fn each_end_has_its_word() {
        for (told, reason) in [
            (["signal", "killed", "KILL"], CrashReason::Signalled(9)),
            (["core-dump", "dumped", "SEGV"], CrashReason::Signalled(11)),
            (["watchdog", "killed", "ABRT"], CrashReason::Hung),
            (["oom-kill", "killed", "KILL"], CrashReason::OomKilled),
            (["exit-code", "exited", "75"], CrashReason::Exited(75)),
        ] {
            assert_eq!(left(&gone(), told, None), (Some(reason), Some(reason)), "{told:?}");
            let unknown = Some(CrashReason::Unknown);
            assert_eq!(left(&gone(), told, unknown), (Some(reason), Some(reason)), "{told:?}");
        }
    }

    #[test]
    fn an_orderly_end_a_living_watcher_and_what_was_known_are_left_alone() {
        assert_eq!(left(&gone(), ["success", "exited", "0"], None), (None, None));
        assert_eq!(left(&gone(), ["", "", ""], None), (None, None));
        // Another watcher has the worker: this unit's own never held its lock.
        assert_eq!(left(&ProcessId::current(), ["exit-code", "exited", "78"], None), (None, None));
        let panicked = Some(CrashReason::Panicked);
        assert_eq!(left(&gone(), ["signal", "killed", "KILL"], panicked), (None, panicked));
    }
}
