//! What an API does that is not well: it refuses, breaks off in the middle, or talks nonsense.

use std::io::{self, Write};
use std::net::Shutdown;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{Connection, Request, Scenario, Shared, pass_gate};

/// How an answer breaks.
#[derive(Clone, Copy, Debug)]
pub enum Break {
    /// The connection is cut in the middle.
    Cut,
    /// Nothing more comes after the first words.
    Stalled,
    /// What comes is no event.
    Malformed,
    /// An event says that the API is overloaded.
    ErrorEvent,
}

impl Scenario {
    /// 401.
    pub fn unauthorized() -> Self {
        Self::refuse(401, "authentication_error")
    }

    /// A refusal without further headers.
    pub fn refuse(status: u16, kind: &'static str) -> Self {
        Self::Refuse { status, kind, headers: Vec::new() }
    }

    /// 400, as it is said to who has no credit.
    pub fn no_credit() -> Self {
        Self::Refuse {
            status: 400,
            kind: "invalid_request_error",
            headers: vec![("x-stub", "credit".to_owned())],
        }
    }

    /// 429, with the seconds to wait.
    pub fn rate_limited(retry_after: u64) -> Self {
        let headers = vec![("retry-after", retry_after.to_string())];
        Self::Refuse { status: 429, kind: "rate_limit_error", headers }
    }

    /// 529.
    pub fn overloaded() -> Self {
        Self::refuse(529, "overloaded_error")
    }

    /// The five hours of a subscription are used up; they begin anew at this second.
    pub fn window_used_up(resets_at: u64) -> Self {
        let mut headers = window("rejected", "1.0", resets_at);
        headers.extend([("retry-after", "3600".to_owned()), ("x-should-retry", "false".to_owned())]);
        Self::Refuse { status: 429, kind: "rate_limit_error", headers }
    }

    /// A text, and the word that this share of the five hours is used up.
    pub fn near_the_limit(text: &str, used: &str, resets_at: u64) -> Self {
        Self::Headed(text.to_owned(), window("allowed_warning", used, resets_at))
    }

    /// The model stops for this reason after a few words.
    pub fn stopped(reason: &'static str) -> Self {
        Self::Stopped("I will not do that.".to_owned(), reason)
    }
}

/// The second that is so many seconds away.
pub fn seconds_ahead(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()) + seconds
}

fn window(status: &str, used: &str, resets_at: u64) -> Vec<(&'static str, String)> {
    let at = resets_at.to_string();
    [
        ("anthropic-ratelimit-unified-status", status),
        ("anthropic-ratelimit-unified-reset", &at),
        ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
        ("anthropic-ratelimit-unified-5h-status", status),
        ("anthropic-ratelimit-unified-5h-reset", &at),
        ("anthropic-ratelimit-unified-5h-utilization", used),
        ("anthropic-ratelimit-unified-5h-surpassed-threshold", "0.75"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

impl Connection {
    /// Begins an answer, and does not end it as it should.
    pub(super) fn break_off(&mut self, how: Break, request: &Request, shared: &Shared) -> io::Result<()> {
        if request.body["stream"] != true {
            return match how {
                Break::Cut => self.stream.shutdown(Shutdown::Both),
                Break::Stalled => pass_gate(shared),
                Break::Malformed => self.send("application/json", "{not json"),
                Break::ErrorEvent => self.refuse(529, "overloaded_error", &[]),
            };
        }
        self.begin(request)?;
        if matches!(how, Break::Malformed) {
            let text = "event: content_block_delta\ndata: {oops\n\nno event at all\n\n";
            return self.stream.write_all(format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len()).as_bytes());
        }
        self.event(&json!({"type": "content_block_start", "index": 0,
                           "content_block": {"type": "text", "text": ""}}))?;
        self.delta("so far ")?;
        match how {
            Break::Cut => self.stream.shutdown(Shutdown::Both),
            Break::Stalled => pass_gate(shared),
            Break::Malformed | Break::ErrorEvent => {
                let error = json!({"type": "overloaded_error", "message": "Overloaded"});
                self.event(&json!({"type": "error", "error": error}))?;
                self.stream.write_all(b"0\r\n\r\n")
            }
        }
    }

    fn send(&mut self, kind: &str, body: &str) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(head.as_bytes())
    }
}
