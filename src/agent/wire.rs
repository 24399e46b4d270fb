//! The shapes of the CLI's lines, as far as we read them.
//!
//! Invariants:
//! - every field is optional and one of an unexpected type counts as absent: a new version of the CLI may add to a
//!   line or change it, and a result that was paid for is not lost over that;
//! - nothing is copied that is not used.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// What kind of line it is. Keys come in any order.
#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) subtype: Option<Cow<'a, str>>,
}

/// A value that is looked at only when somebody asks for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Field<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

impl<'a> Field<'a> {
    /// The value, if it is there and of the type that is asked for.
    pub(super) fn get<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }

    /// The value as text, also where it was cut in the middle of a character.
    pub(super) fn text(self) -> Option<String> {
        let raw = self.0?.get();
        serde_json::from_str(raw).ok().or_else(|| serde_json::from_str(&mend_surrogates(raw)?).ok())
    }

    /// The value, kept.
    pub(super) fn owned<T: DeserializeOwned>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }

    /// Whether there is a value other than `null`.
    pub(super) fn is_set(self) -> bool {
        self.raw().is_some()
    }

    /// The JSON of a value other than `null`.
    pub(super) fn raw(self) -> Option<&'a str> {
        self.0.map(RawValue::get).filter(|raw| *raw != "null")
    }
}

macro_rules! line {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Default, Deserialize)]
        #[serde(default)]
        pub(super) struct $name<'a> {
            $($(#[$attr])* #[serde(borrow)] pub(super) $field: Field<'a>,)*
        }
    };
}

line! {
    /// `system/init`.
    InitWire { session_id, model, claude_code_version, tools }
}
line! {
    /// `system/api_retry`.
    RetryWire { attempt, max_retries, retry_delay_ms, error_status, error }
}
line! {
    /// `system/permission_denied`, and an element of `result.permission_denials`.
    DenialWire { tool_name, tool_use_id }
}
line! {
    /// `rate_limit_event`.
    RateLimitWire { rate_limit_info }
}
line! {
    /// What stands in a `rate_limit_event`.
    RateLimitInfoWire { status, utilization, #[serde(rename = "resetsAt")] resets_at, #[serde(rename = "rateLimitType")] rate_limit_type }
}
line! {
    /// `assistant` and `user`.
    TurnWire { message, error, api_error_status, parent_tool_use_id }
}
line! {
    /// The message of such a line.
    MessageWire { id, model, content, stop_reason, usage }
}
line! {
    /// `stream_event`.
    PartialWire { event, api_message_id }
}
line! {
    /// What stands in a `stream_event`.
    PartialEventWire { r#type, message, usage }
}
line! {
    /// A block of such a message.
    BlockWire { r#type, text, id, name, input, tool_use_id, is_error }
}
line! {
    /// `control_response`.
    ControlWire { response }
}
line! {
    /// What stands in a `control_response`.
    ControlBodyWire { subtype, request_id, error }
}
line! {
    /// `system/hook_started` and `system/hook_response`.
    HookWire { hook_id, hook_name }
}
line! {
    /// `command_lifecycle`.
    LifecycleWire { command_uuid, state }
}
line! {
    /// `result`.
    ResultWire {
        subtype, is_error, result, errors, session_id, num_turns, total_cost_usd, usage, permission_denials,
        stop_reason, terminal_reason, api_error_status, api_error_type, structured_output, duration_api_ms,
    }
}
line! {
    /// `result.usage`.
    #[expect(clippy::struct_field_names, reason = "the CLI's own names")]
    UsageWire { input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens }
}
line! {
    /// The members of a tool's input that tell a person what it is about.
    InputWire { command, file_path, notebook_path, path, pattern, url, query, skill, description, prompt }
}

/// The text with every escape of a lone surrogate replaced: the CLI cuts strings between the halves of a pair, and
/// such a string is no JSON to us. `None` if there is nothing to replace.
fn mend_surrogates(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut mended) = (text, false);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (unit(rest), unit(rest.get(6..).unwrap_or_default())) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str("\\ufffd");
                mended = true;
                rest = &rest[6..];
                continue;
            }
            // Any other escape: the backslash and the character after it.
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out.push_str(rest);
    mended.then_some(out)
}

/// The UTF-16 unit that an escape at the start of `text` stands for.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
        let table = [
            (r#""\ud83d\ude00""#, None),
            (r#""plain \n \\ud83d""#, None),
            (r#""a\ud83d""#, Some(r#""a\ufffd""#)),
            (r#""\ude00b""#, Some(r#""\ufffdb""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\n""#, Some(r#""\ufffd\n""#)),
            (r#""\\\ud83dé""#, Some(r#""\\\ufffdé""#)),
        ];
        for (text, mended) in table {
            assert_eq!(mend_surrogates(text).as_deref(), mended, "{text}");
            let readable = mended.unwrap_or(text);
            assert!(serde_json::from_str::<String>(readable).is_ok(), "{readable}");
        }
    }

    #[test]
    fn a_field_of_another_type_counts_as_absent() {
        let line: RetryWire<'_> =
            serde_json::from_str(r#"{"attempt":"one","error":null,"new":[1]}"#).unwrap();
        assert_eq!(line.attempt.get::<u32>(), None);
        assert_eq!(line.error.text(), None);
        assert!(!line.error.is_set() && line.attempt.is_set() && !line.error_status.is_set());
    }
}
