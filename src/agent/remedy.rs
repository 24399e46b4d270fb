//! What a person can do about a run that cannot go on, in words that can be typed.
//!
//! It deliberately does not know who reads it: state, log, health page and terminal show the same sentence.

use crate::task::HoldCause;

/// What to do so that the worker can go on.
pub const fn remedy(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::Auth => {
            "log in: run `claude` as the worker's user and type `/login`, and it goes on by itself; or set \
             ANTHROPIC_API_KEY (or CLAUDE_CODE_OAUTH_TOKEN, from `claude setup-token`) in the worker's \
             environment and restart it"
        }
        HoldCause::Billing => {
            "add credit or change the plan at https://console.anthropic.com/settings/billing, or set the \
             ANTHROPIC_API_KEY of an account that has some and restart the worker"
        }
        HoldCause::RateLimit => "nothing: the worker goes on by itself when the limit is lifted",
        HoldCause::Outage => {
            "nothing: the worker tries again by itself; https://status.claude.com says whether the API is down, \
             `curl -sI ${ANTHROPIC_BASE_URL:-https://api.anthropic.com}` whether it can be reached from here"
        }
        HoldCause::Resume => {
            "look why the tasks failed (`agentctl status`, the *.reason in failed/), then `supervisor resume WORKER` \
             again, or with --abandon"
        }
        HoldCause::Budget => {
            "nothing: the worker goes on by itself as it grows older; a higher budget lets it go on now, and so does \
             `agentctl budget reset`"
        }
        HoldCause::Disk => "make room, or mend the disk: the worker goes on by itself",
        HoldCause::Memory => {
            "nothing, if it passes: the worker goes on by itself; else free some (`ps aux --sort -rss | head`), raise \
             MemoryMax= or mem_limit, let fewer agents run at once (--concurrency), or lower --reserve-memory"
        }
        HoldCause::Configuration => {
            "run `claude --version` and `claude -p hello` as the worker's user to see what is wrong; check \
             --claude-bin, the model's name, and update the CLI with `npm install -g @anthropic-ai/claude-code`"
        }
    }
}

/// What to do where the kernel ended an agent for want of memory.
pub const MORE_MEMORY: &str = "give the worker more (MemoryMax=, mem_limit), let fewer agents run at once (--concurrency), or \
                               bound each of them below that (--agent-memory, `max_memory` of its pack)";

/// The sentence for tools that were denied: which, and how to allow them; `pack` is the file that says what is allowed.
pub fn denied(tools: &[&str], pack: Option<&str>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for tool in tools {
        if !names.contains(tool) {
            names.push(tool);
        }
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let (noun, verb) = if names.len() == 1 { ("tool", "was") } else { ("tools", "were") };
    let quoted = quoted.join(",");
    let put = pack.map_or_else(
        || format!("put {{\"permissions\":{{\"allow\":[{quoted}]}}}} into ~/.claude/settings.json of the worker's user"),
        |file| format!("add {quoted} to `allowed_tools` in {file}, or say `denied_tools = \"report\"` there"),
    );
    format!(
        "the {noun} {} {verb} denied, since nobody was there to allow it; to allow it, {put} and retry the task",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_tool_is_named_once_with_the_way_to_allow_it() {
        let one = denied(&["WebFetch", "WebFetch"], None);
        assert!(one.starts_with("the tool WebFetch was denied"), "{one}");
        assert!(one.contains(r#"{"permissions":{"allow":["WebFetch"]}}"#), "{one}");
        let two = denied(&["WebFetch", "mcp__q__ping"], Some("/s/packs/a.toml"));
        assert!(two.starts_with("the tools WebFetch, mcp__q__ping were denied"), "{two}");
        assert!(two.contains(r#""WebFetch","mcp__q__ping" to `allowed_tools` in /s/packs/a.toml"#), "{two}");
        let two = denied(&["WebFetch", "mcp__q__ping"], None);
        assert!(two.contains(r#"["WebFetch","mcp__q__ping"]"#), "{two}");
    }

    #[test]
    fn a_remedy_says_what_to_type() {
        assert!(remedy(HoldCause::Auth).contains("/login"));
        assert!(remedy(HoldCause::Auth).contains("ANTHROPIC_API_KEY"));
        assert!(remedy(HoldCause::Configuration).contains("claude --version"));
    }
}
