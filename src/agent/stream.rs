//! One line of the CLI's output, as a value.
//!
//! Invariants:
//! - every line is an event, also one that is not JSON ([`StreamEvent::Garbage`]) or that we have no use for
//!   ([`StreamEvent::Other`]): each is a sign of life;
//! - key order does not matter, fields we do not read are skipped, and a field of an unexpected type is absent;
//! - texts for people are cut to [`BRIEF`] bytes; only an answer is kept whole.
//!
//! It deliberately does not judge anything: see [`crate::agent::evidence`].

use serde_json::value::RawValue;
use uuid::Uuid;

use super::meter::Metered;
use super::wire::{
    BlockWire, ControlBodyWire, ControlWire, DenialWire, Field, Head, HookWire, InitWire, InputWire,
    LifecycleWire, MessageWire, PartialEventWire, PartialWire, RateLimitInfoWire, RateLimitWire, ResultWire,
    RetryWire, TurnWire, UsageWire,
};
use crate::task::Tokens;
use crate::task::outcome::head;

/// The bytes of a text that is shown to people: a tool's subject, the beginning of what the agent said.
pub const BRIEF: usize = 400;

/// The bytes of a window's name.
const WINDOW: usize = 40;

/// What one line says.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// A turn begins.
    Init(Init),
    /// The agent said something, or wants a tool, or the CLI says in its place that the API failed.
    Assistant(Assistant),
    /// Tools have answered.
    ToolResults(Vec<ToolResult>),
    /// The CLI waits before it asks the API again.
    Retry(Retry),
    /// The API says how much of a rate limit is used up.
    RateLimit(RateLimit),
    /// A tool was denied, since nobody was there to allow it.
    PermissionDenied(Denial),
    /// A turn ended.
    Result(Box<ResultLine>),
    /// A hook of the settings or of the working directory began or ended.
    Hook(Hook),
    /// A piece of a message that is still coming.
    Partial,
    /// The same, with what its message has used so far.
    Metered(Metered),
    /// A message that carried an identifier was taken up: it steers this turn, or begins the next.
    TakenUp(Uuid),
    /// An answer to a control request of ours.
    ControlResponse(ControlResponse),
    /// Well-formed, and of no use to us.
    Other,
    /// Not JSON, or not UTF-8.
    Garbage,
}

/// `system/init`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// The conversation.
    pub session_id: Option<String>,
    /// The model that answers.
    pub model: Option<String>,
    /// The CLI's version.
    pub version: Option<String>,
    /// Whether an answer of a given shape was asked for (`--json-schema`).
    pub wants_structured_output: bool,
}

/// `assistant`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assistant {
    /// The beginning of what was said; empty where nothing was.
    pub text: String,
    /// The tools that are asked for.
    pub tools: Vec<ToolUse>,
    /// The model that says it.
    pub model: Option<String>,
    /// What went wrong, where the CLI speaks in the model's place.
    pub error: Option<String>,
    /// Whether a subagent speaks.
    pub is_subagent: bool,
    /// What the message has used so far.
    pub metered: Option<Metered>,
}

/// A tool that the agent uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// Tells its result.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// What it is about, on one line: the command, the file, the address.
    pub brief: String,
}

/// A tool's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// Tells its use.
    pub id: String,
    /// Whether it failed.
    pub is_error: bool,
}

/// `system/api_retry`: printed before each wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Counted from 1.
    pub attempt: u32,
    /// How many there will be.
    pub max: u32,
    /// The wait, in milliseconds.
    pub delay_ms: u64,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The kind of failure.
    pub error: Option<String>,
}

/// `rate_limit_event`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Whether requests are refused now.
    pub is_rejected: bool,
    /// Whether they will be before long.
    pub is_near: bool,
    /// When the limit is lifted, in seconds since 1970.
    pub resets_at: Option<i64>,
    /// Which window it is of: `five_hour`, `seven_day`.
    pub window: Option<String>,
    /// How much of it is used up, in hundredths.
    pub used_percent: Option<u32>,
}

/// A tool that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The tool's name.
    pub tool: String,
    /// Tells its use.
    pub id: String,
}

/// `system/hook_started` and `system/hook_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Tells its run.
    pub id: String,
    /// What it is called, such as `Stop` or `SessionStart:startup`.
    pub name: String,
    /// Whether it has ended.
    pub is_over: bool,
}

/// `control_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlResponse {
    /// The request that it answers.
    pub request_id: String,
    /// Why it was refused.
    pub error: Option<String>,
}

/// `result`: how a turn ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultLine {
    /// `success`, or `error_…`. API failures are a `success` too.
    pub subtype: String,
    /// Whether it is a failure.
    pub is_error: bool,
    /// The answer, or what stands in its place.
    pub answer: Option<String>,
    /// What went wrong, where there is no answer.
    pub errors: Vec<String>,
    /// The conversation.
    pub session_id: Option<String>,
    /// The turns taken.
    pub num_turns: Option<u32>,
    /// What the session cost so far, in US dollars.
    pub cost_usd: Option<f64>,
    /// What this turn used.
    pub tokens: Tokens,
    /// The tools that were denied.
    pub denials: Vec<Denial>,
    /// Why the model stopped.
    pub stop_reason: Option<String>,
    /// Why the CLI stopped.
    pub terminal_reason: Option<String>,
    /// The HTTP status of an API failure.
    pub api_error_status: Option<u16>,
    /// The kind of an API failure.
    pub api_error_type: Option<String>,
    /// The answer in the shape that was asked for, as JSON.
    pub structured_output: Option<String>,
    /// The time spent in API calls, in milliseconds.
    pub api_ms: Option<u64>,
}

impl ResultLine {
    /// Whether it says that somebody interrupted the turn.
    pub fn is_aborted(&self) -> bool {
        self.terminal_reason.as_deref().is_some_and(|reason| reason.starts_with("aborted"))
    }

    /// Whether it says that a hook ended the turn, or was ended in it.
    pub fn is_ended_by_hook(&self) -> bool {
        self.terminal_reason.as_deref() == Some("stop_hook_prevented")
    }
}

/// Reads one line, without its newline.
pub fn parse(line: &[u8]) -> StreamEvent {
    let Ok(text) = std::str::from_utf8(line) else { return StreamEvent::Garbage };
    let text = text.trim_ascii();
    if text.is_empty() {
        return StreamEvent::Other;
    }
    if !text.starts_with('{') {
        return StreamEvent::Garbage;
    }
    read(text).unwrap_or(StreamEvent::Garbage)
}

fn read(text: &str) -> serde_json::Result<StreamEvent> {
    let head: Head<'_> = serde_json::from_str(text)?;
    Ok(match (&*head.kind, head.subtype.as_deref().unwrap_or_default()) {
        ("stream_event", _) => partial(text)?,
        ("system", "init") => StreamEvent::Init(init(&serde_json::from_str(text)?)),
        ("system", "api_retry") => StreamEvent::Retry(retry(&serde_json::from_str(text)?)),
        ("system", "permission_denied") => {
            StreamEvent::PermissionDenied(denial(&serde_json::from_str(text)?))
        }
        ("system", "hook_started") => StreamEvent::Hook(hook(&serde_json::from_str(text)?)),
        ("system", "hook_response") => {
            StreamEvent::Hook(Hook { is_over: true, ..hook(&serde_json::from_str(text)?) })
        }
        ("assistant", _) => StreamEvent::Assistant(assistant(&serde_json::from_str(text)?)),
        ("user", _) => tool_results(&serde_json::from_str(text)?),
        ("result", _) => StreamEvent::Result(Box::new(result(text)?)),
        ("rate_limit_event", _) => StreamEvent::RateLimit(rate_limit(&serde_json::from_str(text)?)),
        ("command_lifecycle", _) => lifecycle(&serde_json::from_str(text)?),
        ("control_response", _) => control_response(&serde_json::from_str(text)?),
        _ => StreamEvent::Other,
    })
}

/// The pieces come by the thousand: only those that may say what was used are looked into.
fn partial(text: &str) -> serde_json::Result<StreamEvent> {
    if !text.contains("\"usage\"") {
        return Ok(StreamEvent::Partial);
    }
    let wire: PartialWire<'_> = serde_json::from_str(text)?;
    let event: PartialEventWire<'_> = wire.event.get().unwrap_or_default();
    Ok(match event.r#type.get::<&str>() {
        Some("message_start") => metered(&event.message.get().unwrap_or_default())
            .map_or(StreamEvent::Partial, |it| StreamEvent::Metered(Metered { begins: true, ..it })),
        Some("message_delta") if event.usage.is_set() => StreamEvent::Metered(Metered {
            message: wire.api_message_id.text(),
            tokens: tokens(&event.usage.get().unwrap_or_default()),
            begins: false,
        }),
        _ => StreamEvent::Partial,
    })
}

/// What a message says that it has used so far.
fn metered(wire: &MessageWire<'_>) -> Option<Metered> {
    let usage = wire.usage.is_set().then(|| wire.usage.get().unwrap_or_default())?;
    Some(Metered { message: wire.id.text(), tokens: tokens(&usage), begins: false })
}

fn init(wire: &InitWire<'_>) -> Init {
    let tools: Vec<String> = wire.tools.owned().unwrap_or_default();
    Init {
        session_id: wire.session_id.text(),
        model: wire.model.text(),
        version: wire.claude_code_version.text(),
        wants_structured_output: tools.iter().any(|tool| tool == "StructuredOutput"),
    }
}

fn retry(wire: &RetryWire<'_>) -> Retry {
    Retry {
        attempt: wire.attempt.get().unwrap_or_default(),
        max: wire.max_retries.get().unwrap_or_default(),
        delay_ms: milliseconds(wire.retry_delay_ms).unwrap_or_default(),
        status: wire.error_status.get(),
        error: wire.error.text(),
    }
}

fn denial(wire: &DenialWire<'_>) -> Denial {
    Denial {
        tool: wire.tool_name.text().unwrap_or_else(|| "a tool".to_owned()),
        id: wire.tool_use_id.text().unwrap_or_default(),
    }
}

fn hook(wire: &HookWire<'_>) -> Hook {
    let name = brief(&wire.hook_name.text().unwrap_or_default());
    Hook { id: wire.hook_id.text().unwrap_or_default(), name, is_over: false }
}

fn rate_limit(wire: &RateLimitWire<'_>) -> RateLimit {
    let info: RateLimitInfoWire<'_> = wire.rate_limit_info.get().unwrap_or_default();
    let status = info.status.text().unwrap_or_default();
    let used = info.utilization.get::<f64>().filter(|used| (0.0..=100.0).contains(used));
    RateLimit {
        is_rejected: status == "rejected",
        is_near: status == "allowed_warning",
        resets_at: info.resets_at.get(),
        window: info.rate_limit_type.text().map(|window| head(&window, WINDOW).to_owned()),
        used_percent: used.map(percent),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10000")]
fn percent(share: f64) -> u32 {
    (share * 100.0).round() as u32
}

fn assistant(wire: &TurnWire<'_>) -> Assistant {
    let message: MessageWire<'_> = wire.message.get().unwrap_or_default();
    let mut said = Assistant {
        model: message.model.text(),
        error: wire.error.text(),
        is_subagent: wire.parent_tool_use_id.is_set(),
        metered: metered(&message),
        ..Assistant::default()
    };
    for block in blocks(wire) {
        match block.r#type.get::<&str>() {
            Some("text") if said.text.is_empty() => {
                said.text = brief(&block.text.text().unwrap_or_default());
            }
            Some("tool_use") => said.tools.push(tool_use(&block)),
            _ => {}
        }
    }
    said
}

fn tool_use(block: &BlockWire<'_>) -> ToolUse {
    ToolUse {
        id: block.id.text().unwrap_or_default(),
        name: block.name.text().unwrap_or_else(|| "a tool".to_owned()),
        brief: subject(&block.input.get().unwrap_or_default()),
    }
}

/// The member of a tool's input that tells a person most.
fn subject(input: &InputWire<'_>) -> String {
    let told = [
        input.command,
        input.file_path,
        input.notebook_path,
        input.path,
        input.pattern,
        input.url,
        input.query,
        input.skill,
        input.description,
        input.prompt,
    ];
    brief(&told.iter().find_map(|field| field.text()).unwrap_or_default())
}

fn tool_results(wire: &TurnWire<'_>) -> StreamEvent {
    let results: Vec<_> = blocks(wire)
        .iter()
        .filter(|block| block.r#type.get() == Some("tool_result"))
        .map(|block| ToolResult {
            id: block.tool_use_id.text().unwrap_or_default(),
            is_error: block.is_error.get().unwrap_or(false),
        })
        .collect();
    if results.is_empty() { StreamEvent::Other } else { StreamEvent::ToolResults(results) }
}

/// The blocks of a message, each only as far as it can be read; a message that is a plain string has none.
fn blocks<'a>(wire: &TurnWire<'a>) -> Vec<BlockWire<'a>> {
    let message: MessageWire<'a> = wire.message.get().unwrap_or_default();
    let raw: Vec<&'a RawValue> = message.content.get().unwrap_or_default();
    raw.into_iter().filter_map(|block| serde_json::from_str(block.get()).ok()).collect()
}

fn lifecycle(wire: &LifecycleWire<'_>) -> StreamEvent {
    let is_taken = matches!(wire.state.get(), Some("started" | "completed"));
    let message = wire.command_uuid.get().filter(|_| is_taken);
    message.map_or(StreamEvent::Other, StreamEvent::TakenUp)
}

fn control_response(wire: &ControlWire<'_>) -> StreamEvent {
    let body: ControlBodyWire<'_> = wire.response.get().unwrap_or_default();
    let refused = body.subtype.text().is_some_and(|subtype| subtype == "error");
    StreamEvent::ControlResponse(ControlResponse {
        request_id: body.request_id.text().unwrap_or_default(),
        error: refused.then(|| brief(&body.error.text().unwrap_or_default())),
    })
}

fn result(text: &str) -> serde_json::Result<ResultLine> {
    let wire: ResultWire<'_> = serde_json::from_str(text)?;
    let subtype = wire.subtype.text().unwrap_or_default();
    let denials: Vec<&RawValue> = wire.permission_denials.get().unwrap_or_default();
    Ok(ResultLine {
        is_error: wire.is_error.get().unwrap_or(subtype != "success"),
        subtype,
        answer: wire.result.text(),
        errors: wire.errors.owned().unwrap_or_default(),
        session_id: wire.session_id.text(),
        num_turns: wire.num_turns.get(),
        cost_usd: wire.total_cost_usd.get().filter(|usd: &f64| usd.is_finite() && *usd >= 0.0),
        tokens: tokens(&wire.usage.get().unwrap_or_default()),
        denials: denials
            .iter()
            .filter_map(|raw| serde_json::from_str(raw.get()).ok().as_ref().map(denial))
            .collect(),
        stop_reason: wire.stop_reason.text(),
        terminal_reason: wire.terminal_reason.text(),
        api_error_status: wire.api_error_status.get(),
        api_error_type: wire.api_error_type.text(),
        structured_output: wire.structured_output.raw().map(str::to_owned),
        api_ms: milliseconds(wire.duration_api_ms),
    })
}

fn tokens(usage: &UsageWire<'_>) -> Tokens {
    let count = |field: Field<'_>| field.get().unwrap_or_default();
    Tokens {
        input: count(usage.input_tokens),
        output: count(usage.output_tokens),
        cache_read: count(usage.cache_read_input_tokens),
        cache_write: count(usage.cache_creation_input_tokens),
    }
}

/// A time that may be a fraction.
fn milliseconds(field: Field<'_>) -> Option<u64> {
    let ms: f64 = field.get()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    ms.is_finite().then_some(ms.max(0.0) as u64)
}

/// A text on one line and short.
fn brief(text: &str) -> String {
    let short = head(text.trim(), BRIEF);
    short.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
