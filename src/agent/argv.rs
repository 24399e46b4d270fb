//! The argument vector of the CLI.
//!
//! Invariants:
//! - the prompt is not in it, and nothing that a task says except numbers and a model's name;
//! - no variadic flag is the last one, so that none can swallow what follows;
//! - every flag is one that 2.1.197 and 2.1.330 know: an unknown one would end the CLI at once.
//!
//! A working directory's own settings, hooks and CLAUDE.md are in force, since leaving the settings out
//! (`--setting-sources user`) leaves CLAUDE.md out too. Whoever names a `--workdir-root` trusts what lies under it.
//!
//! It deliberately does not know where the CLI is or how it is started.

use crate::task::SessionId;

/// Whether a conversation begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStart {
    /// The identifier is fresh: the CLI refuses one that it has seen in this working directory.
    New,
    /// The CLI must find the conversation's transcript.
    Resume,
}

/// What one start of the CLI is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// The conversation.
    pub session: SessionId,
    /// Whether it begins or goes on.
    pub start: SessionStart,
    /// A model's name or alias; the CLI's default without it.
    pub model: Option<String>,
    /// The most turns this start may take.
    pub max_turns: Option<u32>,
    /// The most the session may cost, in US dollars.
    pub max_cost_usd: Option<f64>,
}

/// What the default pack allows without asking, since nobody is there to answer: to read, edit, write and run
/// commands, and the CLI's own bookkeeping. Names that a CLI does not know do no harm. The web and MCP servers are
/// not among them.
pub const ALLOWED_TOOLS: [&str; 10] =
    ["Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "Skill", "Task", "TodoWrite", "Write"];

/// What an unattended run must not have at all: tools that wait for another day and would hold the process open after
/// its answer, and one that moves the session to another directory, where it could not be resumed.
pub const REMOVED_TOOLS: [&str; 4] = ["CronCreate", "EnterWorktree", "Monitor", "ScheduleWakeup"];

/// The arguments after the program's name.
pub fn arguments(invocation: &Invocation) -> Vec<String> {
    let mut argv = fixed();
    let flag = match invocation.start {
        SessionStart::New => "--session-id",
        SessionStart::Resume => "--resume",
    };
    argv.extend([flag.to_owned(), invocation.session.to_string()]);
    if let Some(turns) = invocation.max_turns {
        argv.extend(["--max-turns".to_owned(), turns.to_string()]);
    }
    if let Some(usd) = invocation.max_cost_usd {
        argv.extend(["--max-budget-usd".to_owned(), usd.to_string()]);
    }
    if let Some(model) = &invocation.model {
        // In one argument, so that a name with a leading dash stays a name.
        argv.push(format!("--model={model}"));
    }
    argv
}

fn fixed() -> Vec<String> {
    let plain = [
        "-p",
        "--output-format",
        "stream-json",
        "--input-format",
        "stream-json",
        "--verbose",
        // Life signs while the model thinks: without them minutes of silence are normal.
        "--include-partial-messages",
        "--permission-mode",
        "acceptEdits",
        // A repository's own .mcp.json would start programs, and one that never answers holds the start up for 30 s.
        "--strict-mcp-config",
        "--allowedTools",
    ];
    let mut argv: Vec<String> = plain.map(str::to_owned).into();
    argv.push(ALLOWED_TOOLS.join(","));
    argv.extend(["--disallowedTools".to_owned(), REMOVED_TOOLS.join(",")]);
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(start: SessionStart) -> Invocation {
        Invocation { session: SessionId::mint(), start, model: None, max_turns: None, max_cost_usd: None }
    }

    fn value_of<'a>(argv: &'a [String], flag: &str) -> Option<&'a str> {
        let at = argv.iter().position(|arg| arg == flag)?;
        argv.get(at + 1).map(String::as_str)
    }

    #[test]
    fn a_session_begins_once_and_is_resumed_after() {
        let first = invocation(SessionStart::New);
        let argv = arguments(&first);
        assert_eq!(value_of(&argv, "--session-id"), Some(first.session.to_string().as_str()));
        assert!(!argv.contains(&"--resume".to_owned()));
        let next = arguments(&Invocation { start: SessionStart::Resume, ..first.clone() });
        assert_eq!(value_of(&next, "--resume"), Some(first.session.to_string().as_str()));
        assert!(!next.contains(&"--session-id".to_owned()), "the CLI refuses both together");
    }

    #[test]
    fn both_directions_are_streams_with_life_signs() {
        let argv = arguments(&invocation(SessionStart::New));
        assert_eq!(value_of(&argv, "--output-format"), Some("stream-json"));
        assert_eq!(value_of(&argv, "--input-format"), Some("stream-json"));
        assert!(argv.contains(&"--verbose".to_owned()), "stream-json is refused without it");
        assert!(argv.contains(&"--include-partial-messages".to_owned()));
    }

    #[test]
    fn limits_and_model_are_told_only_when_set() {
        let bare = arguments(&invocation(SessionStart::New));
        assert!(!bare.iter().any(|arg| arg.starts_with("--max-") || arg.starts_with("--model")));
        let full = arguments(&Invocation {
            model: Some("-odd".to_owned()),
            max_turns: Some(7),
            max_cost_usd: Some(0.25),
            ..invocation(SessionStart::New)
        });
        assert_eq!(value_of(&full, "--max-turns"), Some("7"));
        assert_eq!(value_of(&full, "--max-budget-usd"), Some("0.25"));
        assert!(full.contains(&"--model=-odd".to_owned()));
    }

    #[test]
    fn a_list_of_tools_is_one_argument_and_is_followed_by_a_flag() {
        let argv = arguments(&invocation(SessionStart::New));
        for flag in ["--allowedTools", "--disallowedTools"] {
            let at = argv.iter().position(|arg| arg == flag).unwrap();
            assert!(argv[at + 1].contains(','));
            assert!(argv[at + 2].starts_with("--"), "{flag} must not swallow what follows");
        }
        let allowed = value_of(&argv, "--allowedTools").unwrap();
        for tool in ["Read", "Edit", "Write", "Bash"] {
            assert!(allowed.split(',').any(|name| name == tool));
        }
        assert!(!REMOVED_TOOLS.iter().any(|tool| ALLOWED_TOOLS.contains(tool)));
    }
}
