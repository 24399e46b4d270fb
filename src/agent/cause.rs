//! Which fault a failure of the API is: told by status and kind, never by prose.

use crate::task::HoldCause;

impl HoldCause {
    /// What a failure of the API is, by its status, its kind, and what the CLI calls it; `None` if it is the request
    /// that was wrong.
    pub fn of(status: Option<u16>, kind: Option<&str>, error: Option<&str>) -> Option<Self> {
        match (status, kind, error) {
            (Some(402), _, _) | (_, _, Some("billing_error")) | (_, Some("billing_error"), _) => {
                Some(Self::Billing)
            }
            (Some(401 | 403), _, _) | (_, _, Some("authentication_failed")) => Some(Self::Auth),
            (Some(429), _, _) | (_, _, Some("rate_limit")) => Some(Self::RateLimit),
            (Some(404), _, _) | (_, _, Some("model_not_found")) => Some(Self::Configuration),
            (Some(408 | 500..), _, _)
            | (_, Some("overloaded_error"), _)
            | (None, _, Some("server_error" | "overloaded" | "unknown")) => Some(Self::Outage),
            (Some(_) | None, _, _) => None,
        }
    }
}
