//! When systemd ends what a dead watcher left: asked of systemd itself, since an operator may have changed it. Thin.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::clock::Clock;
use crate::os::process::asking;
use crate::task::WorkerName;

/// How long it may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long after a bad end the agents of `worker` are ended; `None` where no systemd is at work or it has no such timer.
pub(super) fn after(worker: &WorkerName, clock: &dyn Clock) -> Option<Duration> {
    // As `sd_booted(3)` tells.
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "the one question that systemd is asked here")]
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=TimersMonotonic", "--value", "--"]);
    command.arg(format!("agent-leftovers@{worker}.timer"));
    told(&asking::ask(&mut command, DEADLINE, clock).ok()?.text)
}

/// The span in `{ OnActiveUSec=35min ; next_elapse=0 }`.
fn told(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once("OnActiveUSec=")?;
    let span: jiff::SignedDuration = rest.split(';').next()?.trim().parse().ok()?;
    span.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_tells_of_a_timer_is_a_span_or_nothing() {
        for (text, minutes) in [
            ("{ OnActiveUSec=35min ; next_elapse=0 }\n", Some(35)),
            ("{ OnActiveUSec=1h 5min ; next_elapse=(null) }", Some(65)),
            ("{ OnActiveUSec=2h ; next_elapse=1h }", Some(120)),
            ("{ OnBootUSec=2h ; next_elapse=1h }", None),
            ("{ OnActiveUSec=infinity ; next_elapse=0 }", None),
            ("", None),
        ] {
            assert_eq!(told(text), minutes.map(Duration::from_mins), "{text}");
        }
    }
}
