//! What `claude --version` says, and whether agents may be started with it. Pure.

use std::path::Path;
use std::time::Duration;

use super::disposition::Holding;
use crate::os::process::Exit;
use crate::task::HoldCause;
use crate::task::text::shown;

/// The oldest CLI that agents are started with: the first whose stdout was seen to be held, and so locked, by the CLI
/// alone and by none of its tools. By that lock a living agent is known.
pub const CLI_SINCE: [u32; 3] = [2, 1, 139];
/// How to get a newer one.
pub const INSTALL: &str = "npm install -g @anthropic-ai/claude-code@latest";
/// How long it may take to answer.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It ended.
    Said {
        /// How.
        exit: Exit,
        /// What it printed on its standard output.
        text: String,
        /// What it printed on its standard error.
        complaint: String,
    },
    /// It did not end in time, and was killed.
    Silence,
}

/// A CLI that agents may be started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Its version, `2.1.330`.
    Version(String),
    /// It answers, and not with a version: somebody's own way to start it. Here is what it says.
    Unknown(String),
}

/// `2.1.330 (Claude Code)`.
pub fn version_of(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split_whitespace().next()?.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// `2.1.139`.
pub fn spoken(version: [u32; 3]) -> String {
    version.map(|part| part.to_string()).join(".")
}

/// Whether agents may be started with the program at `path`; why not, and what to do.
pub fn judge(path: &Path, answer: &Answer) -> Result<Fit, Holding> {
    let path = path.display();
    let no = |reason: String, remedy: String| {
        Err(Holding { cause: HoldCause::Configuration, reason, remedy, until: None })
    };
    let look = format!(
        "see what `{path} --version` says as the worker's user; update the CLI with `{INSTALL}`, or name another with --claude-bin or CLAUDE_BIN"
    );
    match answer {
        Answer::Silence => {
            let seconds = DEADLINE.as_secs();
            no(
                format!(
                    "`{path} --version` gave no answer within {seconds} s, so no agent is started with it"
                ),
                look,
            )
        }
        Answer::Said { exit: Exit::Code(0), text, .. } => match version_of(text) {
            Some(version) if version < CLI_SINCE => {
                let (is, since) = (spoken(version), spoken(CLI_SINCE));
                no(
                    format!(
                        "claude {is} at `{path}` is older than {since}, the oldest that agents are started with"
                    ),
                    format!(
                        "`{INSTALL}`, or name another with --claude-bin or CLAUDE_BIN; the worker goes on by itself"
                    ),
                )
            }
            Some(version) => Ok(Fit::Version(spoken(version))),
            None => Ok(Fit::Unknown(first_line(text))),
        },
        Answer::Said { exit, text, complaint } => {
            let said =
                Some(first_line(complaint)).filter(|it| !it.is_empty()).unwrap_or_else(|| first_line(text));
            let said = if said.is_empty() { said } else { format!(": {said}") };
            no(format!("`{path} --version` failed ({exit}), so no agent is started with it{said}"), look)
        }
    }
}

fn first_line(text: &str) -> String {
    shown(text.trim().lines().next().unwrap_or_default(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32, text: &str, complaint: &str) -> Answer {
        Answer::Said { exit: Exit::Code(code), text: text.to_owned(), complaint: complaint.to_owned() }
    }

    #[test]
    fn who_is_new_enough_or_answers_in_another_way_will_do() {
        for (text, fit) in [
            ("2.1.330 (Claude Code)\n", Fit::Version("2.1.330".to_owned())),
            ("2.1.139 (Claude Code)\n", Fit::Version("2.1.139".to_owned())),
            ("3.0.0\n", Fit::Version("3.0.0".to_owned())),
            ("our wrapper, v7\nmore\n", Fit::Unknown("our wrapper, v7".to_owned())),
            ("10.0.1\n", Fit::Version("10.0.1".to_owned())),
            ("v2.1.3\n", Fit::Unknown("v2.1.3".to_owned())),
            ("2.1\n", Fit::Unknown("2.1".to_owned())),
            ("2.1.330-beta.1 (Claude Code)\n", Fit::Unknown("2.1.330-beta.1 (Claude Code)".to_owned())),
            ("", Fit::Unknown(String::new())),
        ] {
            assert_eq!(judge(Path::new("/bin/claude"), &said(0, text, "")), Ok(fit), "{text:?}");
        }
    }

    #[test]
    fn who_is_too_old_broken_or_silent_holds_the_worker_with_a_way_out() {
        let killed = Answer::Said { exit: Exit::Signal(11), text: String::new(), complaint: String::new() };
        for (answer, word) in [
            (said(0, "2.1.138 (Claude Code)", ""), "claude 2.1.138 at `/bin/claude` is older than 2.1.139"),
            (said(0, "1.99.500", ""), "claude 1.99.500"),
            (said(1, "2.1.330 (Claude Code)", ""), "failed (exit status 1)"),
            (said(127, "", "\nsh: node: not found\n"), ": sh: node: not found"),
            (said(1, "", "\u{1b}[31mno"), "no"),
            (killed, "SIGSEGV"),
            (Answer::Silence, "no answer within 10 s"),
        ] {
            let holding = judge(Path::new("/bin/claude"), &answer).unwrap_err();
            assert!(holding.reason.contains(word) && !holding.reason.contains('\u{1b}'), "{holding:?}");
            assert!(
                holding.remedy.contains("npm install") && holding.remedy.contains("--claude-bin"),
                "{holding:?}"
            );
            assert_eq!(holding.cause, HoldCause::Configuration);
        }
    }
}
