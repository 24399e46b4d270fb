//! The argument vector of the CLI.
//!
//! Invariants:
//! - the prompt is not in it, and nothing that a task says except numbers; what an operator says is checked when it is
//!   read;
//! - no variadic flag is the last one, so that none can swallow what follows;
//! - every flag is one that 2.1.197 and 2.1.330 know: an unknown one would end the CLI at once.
//!
//! A working directory's own settings, hooks and CLAUDE.md are in force, since leaving the settings out
//! (`--setting-sources user`) leaves CLAUDE.md out too. Whoever names a `--workdir-root` trusts what lies under it.
//!
//! It deliberately does not know where the CLI is or how it is started.

use crate::task::{Attempt, Began, SessionId};

/// Whether a conversation begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStart {
    /// The identifier is fresh: the CLI refuses one that it has seen in this working directory.
    New,
    /// The CLI must find the conversation's transcript.
    Resume,
    /// The same of another conversation, of which it makes a copy under this fresh identifier.
    Fork(SessionId),
}

impl SessionStart {
    /// As an attempt is recorded to begin.
    pub fn of(attempt: &Attempt) -> Self {
        match (attempt.began, attempt.forked_from) {
            (Some(Began::Resumed), _) => Self::Resume,
            (Some(Began::Forked), Some(from)) => Self::Fork(from),
            (Some(Began::Forked), None) | (Some(Began::New | Began::Told) | None, _) => Self::New,
        }
    }
}

/// What one start of the CLI is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// The conversation.
    pub session: SessionId,
    /// Whether it begins or goes on.
    pub start: SessionStart,
    /// How it works.
    pub manner: Manner,
    /// The most turns this start may take.
    pub max_turns: Option<u32>,
    /// The most the session may cost, in US dollars.
    pub max_cost_usd: Option<f64>,
}

/// How the CLI works, as the operator says; what is `None` is as it is for everybody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manner {
    /// A model's name or alias; the CLI's default without it.
    pub model: Option<String>,
    /// What answers where that one is busy, in this order.
    pub fallback_model: Option<Vec<String>>,
    /// Who is asked before a tool is used.
    pub permission_mode: Option<&'static str>,
    /// The tools and rules that need no question, in place of [`ALLOWED_TOOLS`].
    pub allowed_tools: Option<Vec<String>>,
    /// Those that are denied, besides [`REMOVED_TOOLS`].
    pub disallowed_tools: Option<Vec<String>>,
    /// What is added to the CLI's own system prompt.
    pub system_prompt: Option<String>,
    /// The JSON Schema that the answer has to fit.
    pub json_schema: Option<String>,
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
    let manner = &invocation.manner;
    let mut argv = fixed(manner);
    let session = invocation.session.to_string();
    argv.extend(match invocation.start {
        SessionStart::New => vec!["--session-id".to_owned(), session],
        SessionStart::Resume => vec!["--resume".to_owned(), session],
        SessionStart::Fork(from) => {
            let from = from.to_string();
            vec!["--resume".to_owned(), from, "--fork-session".to_owned(), "--session-id".to_owned(), session]
        }
    });
    if let Some(turns) = invocation.max_turns {
        argv.extend(["--max-turns".to_owned(), turns.to_string()]);
    }
    if let Some(usd) = invocation.max_cost_usd {
        argv.extend(["--max-budget-usd".to_owned(), usd.to_string()]);
    }
    // Each in one argument, so that a text with a leading dash stays a text.
    argv.extend(manner.model.iter().map(|model| format!("--model={model}")));
    argv.extend(manner.fallback_model.iter().map(|models| format!("--fallback-model={}", models.join(","))));
    argv.extend(manner.json_schema.iter().map(|schema| format!("--json-schema={schema}")));
    argv.extend(manner.system_prompt.iter().map(|text| format!("--append-system-prompt={text}")));
    argv
}

fn fixed(manner: &Manner) -> Vec<String> {
    let plain = [
        "-p",
        "--output-format",
        "stream-json",
        "--input-format",
        "stream-json",
        "--verbose",
        // Life signs while the model thinks: without them minutes of silence are normal.
        "--include-partial-messages",
        // Which hook is at work: one that never ends is not a silent API.
        "--include-hook-events",
        "--permission-mode",
        manner.permission_mode.unwrap_or("acceptEdits"),
        // A repository's own .mcp.json would start programs, and one that never answers holds the start up for 30 s.
        "--strict-mcp-config",
    ];
    let mut argv: Vec<String> = plain.map(str::to_owned).into();
    let usual = || ALLOWED_TOOLS.map(str::to_owned).into();
    let allowed: Vec<String> = manner.allowed_tools.clone().unwrap_or_else(usual);
    if !allowed.is_empty() {
        argv.extend(["--allowedTools".to_owned(), allowed.join(",")]);
    }
    let removed = REMOVED_TOOLS.iter().map(|tool| (*tool).to_owned());
    let denied: Vec<String> = removed.chain(manner.disallowed_tools.clone().unwrap_or_default()).collect();
    argv.extend(["--disallowedTools".to_owned(), denied.join(",")]);
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(start: SessionStart) -> Invocation {
        Invocation {
            session: SessionId::mint(),
            start,
            manner: Manner::default(),
            max_turns: None,
            max_cost_usd: None,
        }
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
        let copy = SessionId::mint();
        let fork = Invocation { session: copy, start: SessionStart::Fork(first.session), ..first.clone() };
        let argv = arguments(&fork);
        assert_eq!(value_of(&argv, "--resume"), Some(first.session.to_string().as_str()));
        assert_eq!(value_of(&argv, "--session-id"), Some(copy.to_string().as_str()));
        assert!(argv.contains(&"--fork-session".to_owned()), "without it both together are refused");
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
            manner: Manner { model: Some("-odd".to_owned()), ..Manner::default() },
            max_turns: Some(7),
            max_cost_usd: Some(0.25),
            ..invocation(SessionStart::New)
        });
        assert_eq!(value_of(&full, "--max-turns"), Some("7"));
        assert_eq!(value_of(&full, "--max-budget-usd"), Some("0.25"));
        assert!(full.contains(&"--model=-odd".to_owned()));
    }

    #[test]
    fn what_the_operator_says_takes_the_place_of_the_usual() {
        let manner = Manner {
            fallback_model: Some(vec!["haiku".to_owned(), "sonnet".to_owned()]),
            permission_mode: Some("dontAsk"),
            allowed_tools: Some(vec!["Read".to_owned(), "Bash(git *)".to_owned()]),
            disallowed_tools: Some(vec!["Bash(git push *)".to_owned()]),
            system_prompt: Some("--be brief".to_owned()),
            json_schema: Some("{\"type\":\"object\"}".to_owned()),
            ..Manner::default()
        };
        let argv = arguments(&Invocation { manner, ..invocation(SessionStart::New) });
        assert_eq!(value_of(&argv, "--permission-mode"), Some("dontAsk"));
        assert_eq!(value_of(&argv, "--allowedTools"), Some("Read,Bash(git *)"));
        let denied = value_of(&argv, "--disallowedTools").unwrap();
        assert!(denied.ends_with(",Bash(git push *)") && denied.starts_with("CronCreate,"), "{denied}");
        assert!(argv.contains(&"--fallback-model=haiku,sonnet".to_owned()));
        assert!(argv.contains(&"--json-schema={\"type\":\"object\"}".to_owned()));
        assert!(argv.contains(&"--append-system-prompt=--be brief".to_owned()));
        let manner = Manner { allowed_tools: Some(Vec::new()), ..Manner::default() };
        let argv = arguments(&Invocation { manner, ..invocation(SessionStart::New) });
        assert_eq!(value_of(&argv, "--allowedTools"), None, "an empty list would swallow the next flag");
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
