//! What a run has said so far, as far as its verdict needs it.
//!
//! Invariants:
//! - it is folded line by line and stays small, except for the last answer;
//! - the order of lines counts: a wait for the API is over as soon as the API has answered;
//! - what was under way when the run was asked to end stays under way: the CLI closes it with lines of its own;
//! - the same lines give the same evidence, whether they are read as they come or afterwards from the file.
//!
//! It deliberately does not know how the process ended.

use super::lines::Line;
use super::meter::Meter;
use super::stream::{
    Assistant, Denial, Hook, Init, RateLimit, ResultLine, Retry, StreamEvent, ToolResult, ToolUse, parse,
};
use crate::task::{HoldCause, Tokens};

/// The tools whose fate is followed at once; more than an agent ever asks for together.
const OPEN_TOOLS_MAX: usize = 64;

/// The denials that are kept: the first few say it all.
const DENIALS_MAX: usize = 16;

/// What a run has said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The last beginning of a turn.
    pub init: Option<Init>,
    /// The last end of a turn.
    pub last_result: Option<ResultLine>,
    /// The model that answered last.
    pub answered_by: Option<String>,
    /// What the CLI said in the model's place in this turn.
    pub assistant_error: Option<String>,
    /// The wait for the API that has not ended yet.
    pub open_retry: Option<Retry>,
    /// The rate limit, as the API last told it.
    pub rate_limit: Option<RateLimit>,
    /// The tools that were denied.
    pub denials: Vec<Denial>,
    /// The tools that are at work, oldest first.
    pub open_tools: Vec<ToolUse>,
    /// The hooks that are at work, oldest first.
    pub open_hooks: Vec<Hook>,
    /// What all turns of this process used that ended.
    pub tokens: Tokens,
    /// What the turn has used that is under way.
    meter: Meter,
    /// Lines that were events of the CLI.
    pub messages: u64,
    /// Lines that were not.
    pub garbage: u64,
    /// Lines that were too long to be read.
    pub oversized: u64,
    /// Whether the stream ends in the middle of a line.
    pub is_torn: bool,
    /// Whether a turn is under way: one began after the last that ended.
    pub is_in_turn: bool,
    /// Whether one of us has asked the run to end.
    is_ending: bool,
}

impl Evidence {
    /// The evidence of a whole stream.
    pub fn of(stream: &[u8]) -> Self {
        let (mut evidence, mut lines) = (Self::default(), super::LineSplitter::default());
        lines.push(stream, |line| {
            evidence.read(line);
        });
        evidence.is_torn = lines.torn_bytes() > 0;
        evidence
    }

    /// Takes a line into account, and gives back what it said.
    pub fn read(&mut self, line: Line<'_>) -> StreamEvent {
        match line {
            Line::Whole(bytes) => {
                let mut event = parse(bytes);
                if event == StreamEvent::Garbage {
                    event = behind_a_tear(bytes).unwrap_or(event);
                }
                self.observe(&event);
                event
            }
            Line::Oversized { .. } => {
                self.oversized += 1;
                StreamEvent::Garbage
            }
        }
    }

    /// Takes an event into account.
    pub fn observe(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Garbage => self.garbage += 1,
            StreamEvent::Init(_)
            | StreamEvent::Assistant(_)
            | StreamEvent::ToolResults(_)
            | StreamEvent::Retry(_)
            | StreamEvent::RateLimit(_)
            | StreamEvent::PermissionDenied(_)
            | StreamEvent::Result(_)
            | StreamEvent::Hook(_)
            | StreamEvent::Partial
            | StreamEvent::Metered(_)
            | StreamEvent::TakenUp(_)
            | StreamEvent::ControlResponse(_)
            | StreamEvent::Other => self.messages += 1,
        }
        match event {
            StreamEvent::Init(init) => self.begin_turn(init),
            StreamEvent::Assistant(said) => self.hear(said),
            StreamEvent::ToolResults(results) => self.close_tools(results),
            StreamEvent::Retry(retry) => self.open_retry = Some(retry.clone()),
            StreamEvent::RateLimit(limit) => self.rate_limit = Some(limit.clone()),
            StreamEvent::PermissionDenied(denial) => self.deny(denial),
            StreamEvent::Result(result) => self.end_turn(result),
            StreamEvent::Hook(hook) => self.hook(hook),
            StreamEvent::Partial => self.end_wait(),
            StreamEvent::Metered(metered) => {
                self.end_wait();
                self.meter.read(metered);
            }
            StreamEvent::TakenUp(_)
            | StreamEvent::ControlResponse(_)
            | StreamEvent::Other
            | StreamEvent::Garbage => {}
        }
    }

    /// One of us asks the run to end: what it was doing at this moment is why.
    pub const fn ask_to_end(&mut self) {
        self.is_ending = true;
    }

    /// Whether the run need not go on, since the CLI waits for what no wait can mend: a login, or a payment.
    pub fn hopeless(&self) -> Option<HoldCause> {
        let retry = self.open_retry.as_ref()?;
        let cause = HoldCause::of(retry.status, None, retry.error.as_deref())?;
        matches!(cause, HoldCause::Auth | HoldCause::Billing).then_some(cause)
    }

    /// What this process has used, the turn that is under way included.
    pub fn used(&self) -> Tokens {
        self.tokens.plus(self.meter.sum())
    }

    /// The good answer, if the last turn ended with one.
    pub fn answer(&self) -> Option<&str> {
        let result = self.last_result.as_ref()?;
        (!result.is_error && result.subtype == "success")
            .then(|| result.answer.as_deref().unwrap_or_default())
    }

    fn begin_turn(&mut self, init: &Init) {
        self.init = Some(init.clone());
        self.is_in_turn = true;
        self.assistant_error = None;
        self.open_tools.clear();
    }

    fn end_wait(&mut self) {
        if !self.is_ending {
            self.open_retry = None;
        }
    }

    fn hear(&mut self, said: &Assistant) {
        self.end_wait();
        if let Some(metered) = &said.metered {
            self.meter.read(metered);
        }
        if said.error.is_some() {
            self.assistant_error.clone_from(&said.error);
        } else if said.model.is_some() && !said.is_subagent {
            self.answered_by.clone_from(&said.model);
        }
        let room = OPEN_TOOLS_MAX.saturating_sub(self.open_tools.len());
        self.open_tools.extend(said.tools.iter().take(room).cloned());
    }

    fn close_tools(&mut self, results: &[ToolResult]) {
        if self.is_ending {
            return;
        }
        self.open_tools.retain(|tool| !results.iter().any(|result| result.id == tool.id));
    }

    fn hook(&mut self, hook: &Hook) {
        if !hook.is_over {
            if self.open_hooks.len() < OPEN_TOOLS_MAX {
                self.open_hooks.push(hook.clone());
            }
        } else if !self.is_ending {
            self.open_hooks.retain(|open| open.id != hook.id);
        }
    }

    fn deny(&mut self, denial: &Denial) {
        let known = self.denials.iter().any(|seen| seen == denial);
        if !known && self.denials.len() < DENIALS_MAX {
            self.denials.push(denial.clone());
        }
    }

    fn end_turn(&mut self, result: &ResultLine) {
        // An interrupted turn has got over nothing.
        if !result.is_aborted() {
            self.end_wait();
        }
        if !self.is_ending {
            self.open_tools.clear();
            self.open_hooks.clear();
        }
        let metered = std::mem::take(&mut self.meter).sum();
        // A turn that was cut short may not count the request in whose middle it was.
        let used = if result.is_aborted() { result.tokens.most(metered) } else { result.tokens };
        self.tokens = self.tokens.plus(used);
        for denial in &result.denials {
            self.deny(denial);
        }
        self.last_result = Some(result.clone());
        self.is_in_turn = false;
    }
}

/// The tears that are looked behind in one line.
const TEARS_MAX: usize = 32;

/// The message behind one that was cut short: on a disk that was full for a moment the end of a line is lost, its line
/// break too, and the next message stands right behind the half. Within a JSON text quotes are escaped, so the first
/// place from which the rest of the line is a whole message is where that begins.
fn behind_a_tear(line: &[u8]) -> Option<StreamEvent> {
    const BEGIN: &[u8] = br#"{"type":"#;
    let begins = line.windows(BEGIN.len()).enumerate().skip(1).filter(|(_, at)| *at == BEGIN);
    begins.take(TEARS_MAX).map(|(at, _)| parse(&line[at..])).find(|event| *event != StreamEvent::Garbage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Evidence {
        Evidence::of([lines.join("\n"), String::from("\n")].concat().as_bytes())
    }

    const INIT: &str = r#"{"type":"system","subtype":"init","session_id":"s","model":"m","tools":["Bash"]}"#;
    const RETRY: &str = r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":2,"retry_delay_ms":500,"error_status":401,"error":"authentication_failed"}"#;
    const TOOL: &str = r#"{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t1","name":"Bash","input":{}}]}}"#;
    const ANSWERED: &str =
        r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1"}]}}"#;

    #[test]
    fn a_wait_is_over_when_the_api_answers() {
        assert_eq!(after(&[INIT, RETRY]).hopeless(), Some(HoldCause::Auth));
        for answer in [r#"{"type":"stream_event"}"#, TOOL, r#"{"type":"result","subtype":"success"}"#] {
            let evidence = after(&[INIT, RETRY, answer]);
            assert!(evidence.open_retry.is_none() && evidence.hopeless().is_none(), "{answer}");
        }
        let limited = RETRY.replace("401", "429").replace("authentication_failed", "rate_limit");
        let evidence = after(&[INIT, &limited]);
        assert!(evidence.open_retry.is_some() && evidence.hopeless().is_none(), "a limit passes by itself");
    }

    #[test]
    fn an_interrupted_turn_has_got_over_nothing() {
        let aborted = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_streaming"}"#;
        assert_eq!(after(&[INIT, RETRY, aborted]).hopeless(), Some(HoldCause::Auth));
        let mut evidence = after(&[INIT, TOOL]);
        evidence.ask_to_end();
        for line in [ANSWERED, aborted] {
            evidence.read(Line::Whole(line.as_bytes()));
        }
        assert_eq!(evidence.open_tools[0].name, "Bash", "the interrupt closed it, and it did not answer");
    }

    #[test]
    fn tools_are_open_until_they_answer() {
        assert_eq!(after(&[INIT, TOOL]).open_tools[0].name, "Bash");
        assert!(after(&[INIT, TOOL, ANSWERED]).open_tools.is_empty());
    }

    #[test]
    fn hooks_are_open_until_they_end_by_themselves() {
        let hook = |what: &str, id: &str| {
            format!(r#"{{"type":"system","subtype":"hook_{what}","hook_id":"{id}","hook_name":"Stop"}}"#)
        };
        let begun = [hook("started", "a"), hook("started", "b"), hook("response", "a")];
        let lines: Vec<&str> = begun.iter().map(String::as_str).collect();
        let mut evidence = after(&lines);
        assert_eq!(evidence.open_hooks.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["b"]);
        evidence.ask_to_end();
        evidence.read(Line::Whole(hook("response", "b").as_bytes()));
        assert_eq!(evidence.open_hooks.len(), 1, "who asked it to end ended it");
    }

    #[test]
    fn a_message_that_stands_right_behind_a_torn_one_is_heard() {
        let result = r#"{"type":"result","subtype":"success","is_error":false,"result":"kept {\"type\":\"x\"}","usage":{"output_tokens":2}}"#;
        for cut in [1, 9, 30, TOOL.len() - 1] {
            let evidence = after(&[INIT, &format!("{}{result}", &TOOL[..cut])]);
            assert_eq!(evidence.answer(), Some(r#"kept {"type":"x"}"#), "cut after {cut} bytes");
            assert_eq!(evidence.garbage, 0);
        }
        let evidence = after(&[INIT, "no message", &format!("{result}{result} and more")]);
        assert_eq!((evidence.garbage, evidence.answer()), (2, None));
    }

    #[test]
    fn tokens_add_up_over_turns_and_denials_are_counted_once() {
        let denied =
            r#"{"type":"system","subtype":"permission_denied","tool_name":"Write","tool_use_id":"t"}"#;
        let result = r#"{"type":"result","subtype":"success","result":"a","usage":{"input_tokens":3,"output_tokens":2},"permission_denials":[{"tool_name":"Write","tool_use_id":"t"}]}"#;
        let evidence = after(&[INIT, denied, result, INIT, result]);
        assert_eq!((evidence.tokens.input, evidence.tokens.output), (6, 4));
        assert_eq!(evidence.denials.len(), 1);
        assert_eq!(evidence.answer(), Some("a"));
    }

    #[test]
    fn what_a_turn_uses_is_known_while_it_goes_on_and_counts_once_when_it_ends() {
        let start = r#"{"type":"stream_event","event":{"type":"message_start","message":{"id":"m1","usage":{"input_tokens":1000,"output_tokens":1,"cache_creation_input_tokens":7}}},"api_message_id":"m1"}"#;
        let block = r#"{"type":"assistant","message":{"id":"m1","content":[],"usage":{"input_tokens":1000,"output_tokens":1}}}"#;
        let delta = r#"{"type":"stream_event","event":{"type":"message_delta","usage":{"output_tokens":50}},"api_message_id":"m1"}"#;
        let next = block.replace("m1", "m2");
        let killed = after(&[INIT, start, block, block, delta, &next]);
        assert_eq!((killed.used().input, killed.used().output, killed.used().counted()), (2000, 51, 2058));
        assert_eq!(killed.tokens, Tokens::default(), "no turn has ended");
        let result = r#"{"type":"result","subtype":"success","result":"a","usage":{"input_tokens":2000,"output_tokens":60}}"#;
        assert_eq!(after(&[INIT, start, block, delta, &next, result]).used().counted(), 2060);
        let aborted = result.replace("\"subtype\"", "\"terminal_reason\":\"aborted_streaming\",\"subtype\"");
        let cut = after(&[INIT, start, delta, &next, &aborted.replace("2000", "1000")]);
        assert_eq!((cut.used().input, cut.used().output), (2000, 60), "the request in its middle was sent");
    }

    #[test]
    fn a_torn_line_is_no_event() {
        let evidence = Evidence::of(b"{\"type\":\"result\",\"subtype\":\"success\",\"result\":\"a\"}");
        assert!(evidence.is_torn && evidence.last_result.is_none() && evidence.messages == 0);
    }

    #[test]
    fn what_is_not_json_is_counted_apart() {
        let evidence = after(&["oops", INIT]);
        assert_eq!((evidence.garbage, evidence.messages), (1, 1));
    }

    #[test]
    fn a_helper_of_the_agent_is_not_who_answers() {
        let says = |model: &str, of: &str| {
            format!(
                r#"{{"type":"assistant","parent_tool_use_id":{of},"message":{{"model":"{model}","content":[]}}}}"#
            )
        };
        let (main, helper) = (says("large", "null"), says("small", r#""t1""#));
        assert_eq!(after(&[INIT, &main, &helper]).answered_by.as_deref(), Some("large"));
        let silent = r#"{"type":"assistant","message":{"content":[]}}"#;
        assert_eq!(after(&[INIT, &main, silent]).answered_by.as_deref(), Some("large"), "it names none");
    }

    #[test]
    fn what_is_kept_of_a_flood_is_bounded() {
        let lines = |say: fn(usize) -> String| {
            let all: Vec<String> = (0..100).map(say).collect();
            after(&all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let hooks = lines(|n| format!(r#"{{"type":"system","subtype":"hook_started","hook_id":"h{n}"}}"#));
        assert_eq!(hooks.open_hooks.len(), OPEN_TOOLS_MAX);
        let denied =
            lines(|n| format!(r#"{{"type":"system","subtype":"permission_denied","tool_use_id":"t{n}"}}"#));
        assert_eq!(denied.denials.len(), DENIALS_MAX);
    }
}
