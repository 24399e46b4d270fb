//! A span as plain data, and the context that ties the spans of several programs together. Pure.
//!
//! The context is that of W3C Trace Context, level 1: `00-<trace>-<span>-<flags>`, lower-case hexadecimal.

use crate::clock::Timestamp;
use crate::task::RunId;

/// The longest `TRACESTATE` that everybody has to hand on.
const STATE_MAX: usize = 512;

/// Which span of which trace, and whether anybody records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace; never all zero.
    pub trace: [u8; 16],
    /// The span; never all zero.
    pub span: [u8; 8],
    /// Whether whoever began the trace records it.
    pub sampled: bool,
}

impl Context {
    /// Reads a `TRACEPARENT`; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = bytes::<1>(version)?;
        // Version 00 ends here; later ones may say more.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span, [flags]) = (bytes::<16>(trace)?, bytes::<8>(span)?, bytes::<1>(flags)?);
        let named = trace != [0; 16] && span != [0; 8];
        named.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// As it is handed on in `TRACEPARENT`.
    pub fn header(&self) -> String {
        format!("00-{}-{}-{:02x}", hex(&self.trace), hex(&self.span), u8::from(self.sampled))
    }

    /// The trace, as readers of it ask for it.
    pub fn trace_id(&self) -> String {
        hex(&self.trace)
    }

    /// A trace of its own.
    pub fn fresh() -> Self {
        let (trace, span) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        Self { trace: trace.into_bytes(), span: first_eight(span.into_bytes()), sampled: true }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: Self::fresh().span, ..*self }
    }

    /// The span of attempt `number` of `run`: always the same one, so that whoever takes up a living agent ends
    /// the span that its first watcher handed to it. Without a parent the run is its own trace.
    pub fn of_attempt(run: RunId, number: u32, parent: Option<Self>) -> Self {
        let id = run.0.into_bytes();
        // FNV-1a, which is the same in every version of this program; the run is random enough.
        let hash = id
            .iter()
            .chain(&number.to_be_bytes())
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            })
            .max(1);
        let trace = parent.map_or(id, |it| it.trace);
        Self { trace, span: hash.to_be_bytes(), sampled: parent.is_none_or(|it| it.sampled) }
    }
}

/// A context as it travels between programs: `TRACEPARENT`, and `TRACESTATE` where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Which span.
    pub context: Context,
    /// What belongs to it and is handed on as it came.
    pub state: Option<String>,
}

impl Carried {
    /// Reads the two; `None` if the first is no context. A state that is none is passed over.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let is_one = |text: &&str| {
            !text.is_empty()
                && text.len() <= STATE_MAX
                && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        let state = state.map(str::trim).filter(is_one).map(str::to_owned);
        Some(Self { context: Context::parse(parent)?, state })
    }
}

fn first_eight(from: [u8; 16]) -> [u8; 8] {
    // The ends of a random UUID; its version stands in between, so this is never zero in practice.
    let mut span = [0; 8];
    span.copy_from_slice(&from[8..]);
    span
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() != 2 * N || !lower {
        return None;
    }
    let mut out = [0; N];
    for (n, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(out)
}

/// What stands behind a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Words.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Any number.
    Amount(f64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Something that happened within a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub name: &'static str,
    /// When.
    pub at: Timestamp,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nobody judged.
    #[default]
    Unset,
    /// Well.
    Good,
    /// Badly, and why.
    Bad(String),
}

/// One span, over.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What was done.
    pub name: &'static str,
    /// Who it is.
    pub context: Context,
    /// The span that it is part of.
    pub parent: Option<[u8; 8]>,
    /// What whoever began the trace handed on beside it: `TRACESTATE`.
    pub state: Option<String>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; never before it began.
    pub ended: Timestamp,
    /// What is known about it.
    pub attributes: Vec<(&'static str, Value)>,
    /// What happened in it.
    pub events: Vec<Event>,
    /// How it went.
    pub status: Status,
}

impl Span {
    /// A span without attributes and judgement.
    pub fn new(name: &'static str, context: Context, began: Timestamp, ended: Timestamp) -> Self {
        Self {
            name,
            context,
            parent: None,
            state: None,
            began,
            ended: ended.max(began),
            attributes: Vec::new(),
            events: Vec::new(),
            status: Status::Unset,
        }
    }

    /// The same with one thing more known about it.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_it_came() {
        let context = Context::parse(HEADER).unwrap();
        assert!(context.sampled);
        assert_eq!(context.header(), HEADER);
        let later = Context::parse("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more").unwrap();
        assert!(!later.sampled);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            "",
            "00",
            "garbage",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c8031-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319\u{e9}-b7ad6b7169203331-01",
        ] {
            assert_eq!(Context::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_attempt_is_always_the_same_span_and_no_two_are_one() {
        let (run, parent) = (RunId::mint(), Context::parse(HEADER));
        let first = Context::of_attempt(run, 1, parent);
        assert_eq!(first, Context::of_attempt(run, 1, parent));
        assert_eq!(Some(first.trace), parent.map(|it| it.trace));
        assert_ne!(first.span, Context::of_attempt(run, 2, parent).span);
        assert_ne!(first.span, Context::of_attempt(RunId::mint(), 1, parent).span);
        let alone = Context::of_attempt(run, 1, None);
        assert_eq!((alone.trace, alone.sampled), (run.0.into_bytes(), true));
    }

    #[test]
    fn a_state_is_handed_on_as_it_came_or_not_at_all() {
        let state = |text| Carried::parse(HEADER, text).unwrap().state;
        assert_eq!(state(Some(" a=b,c@d=e ")).as_deref(), Some("a=b,c@d=e"));
        for text in [None, Some(""), Some("a=b\nc=d"), Some("a=\u{fc}"), Some("x".repeat(513).as_str())] {
            assert_eq!(state(text), None, "{text:?}");
        }
        assert_eq!(Carried::parse("garbage", Some("a=b")), None);
    }

    #[test]
    fn whoever_does_not_record_is_not_overruled() {
        let parent = Context::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        assert!(!Context::of_attempt(RunId::mint(), 1, parent).sampled);
    }
}
