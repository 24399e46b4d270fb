//! The branch of a run: `agent/<task>`, or the next number of it that is free. Pure.

/// Where branches of ours stand.
const PREFIX: &str = "agent/";

/// A branch for `task` that nothing in `taken` is in the way of; a branch `agent` leaves no room for `agent/x`.
pub(super) fn free(task: &str, taken: &[String]) -> String {
    let is_free = |name: &str| {
        let below = format!("{name}/");
        !taken.iter().any(|it| it == name || it.starts_with(&below))
    };
    let prefix = if is_taken_whole(taken) { "agent-" } else { PREFIX };
    let base = format!("{prefix}{}", plain(task));
    if is_free(&base) {
        return base;
    }
    (2..u64::MAX).map(|n| format!("{base}-{n}")).find(|it| is_free(it)).unwrap_or(base)
}

fn is_taken_whole(taken: &[String]) -> bool {
    taken.iter().any(|it| it == "agent")
}

/// A task's name as a part of a ref's (`git-check-ref-format`): of all that it may hold only `~`, two dots, a dot at the
/// end and `.lock` are refused.
fn plain(task: &str) -> String {
    let mut name = task.replace('~', "-");
    while name.contains("..") {
        name = name.replace("..", ".");
    }
    let name = name.trim_end_matches('.');
    name.strip_suffix(".lock").map_or_else(|| name.to_owned(), |it| format!("{it}-lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_named_after_its_task_and_after_no_other() {
        let taken = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (task, there, name) in [
            ("fix", &[][..], "agent/fix"),
            ("fix", &["agent/fix"], "agent/fix-2"),
            ("fix", &["agent/fix", "agent/fix-2"], "agent/fix-3"),
            ("fix", &["agent/fix/deep"], "agent/fix-2"),
            ("fix", &["agent/fixed"], "agent/fix"),
            ("fix", &["agent"], "agent-fix"),
            ("x~2", &[], "agent/x-2"),
            ("a..b.", &[], "agent/a.b"),
            ("a.lock", &[], "agent/a-lock"),
        ] {
            assert_eq!(free(task, &taken(there)), name, "{task} {there:?}");
        }
    }
}
