//! Whether agents may write only where their run has to. Pure.

use super::check::Check;
use super::facts::Facts;
use crate::telemetry::vital::Vital;

/// One line.
pub(super) fn check(facts: &Facts) -> Check {
    const WHAT: &str = "confined";
    let living: Vec<_> = facts.workers.iter().filter(|it| it.vital != Vital::Dead).collect();
    let free: Vec<String> =
        living.iter().filter(|it| it.confined.is_none()).map(|it| it.name.to_string()).collect();
    let by = living.first().and_then(|it| it.confined.as_deref());
    let found = if free.is_empty() {
        let Some(by) = by else {
            return match &facts.confine {
                Ok(strength) => {
                    Check::ok(WHAT, format!("this kernel can keep agents to their own ({strength})"))
                }
                Err(why) => {
                    Check::warn(WHAT, format!("agents will write wherever their user may: {why}"), APART)
                }
            };
        };
        let gaps = facts.confine.as_ref().ok().and_then(|it| it.gaps());
        let but = gaps.map(|gaps| format!("; on this kernel {gaps}")).unwrap_or_default();
        return Check::ok(WHAT, format!("agents write only where their run has to ({by}){but}"));
    } else {
        format!("the agents of {} may write wherever their user may, the queue included", free.join(", "))
    };
    match &facts.confine {
        Ok(_) => Check::warn(WHAT, found, "take `--confine none` away, and start them again"),
        Err(why) => Check::warn(WHAT, format!("{found}: {why}"), APART),
    }
}

/// What does without the kernel's help.
const APART: &str = "a newer kernel; or give workers users or containers of their own: docs/security.md";
