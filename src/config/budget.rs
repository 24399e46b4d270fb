//! What may be used in an hour and in a day.
//!
//! The windows slide: the last 60 minutes, the last 24 hours.

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use super::settings::Settings;

/// What a worker, or all tasks of a pack, may use. What is `None` is without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowance {
    /// US dollars in the last 60 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_hour: Option<f64>,
    /// US dollars in the last 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_day: Option<f64>,
    /// Tokens in the last 60 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_hour: Option<u64>,
    /// Tokens in the last 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
}

impl Allowance {
    /// Resolves a worker's.
    pub fn resolve(settings: &mut Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            usd_per_hour: settings.take_optional("budget_usd_per_hour", dollars)?.flatten(),
            usd_per_day: settings.take_optional("budget_usd_per_day", dollars)?.flatten(),
            tokens_per_hour: settings.take_optional("budget_tokens_per_hour", tokens)?.flatten(),
            tokens_per_day: settings.take_optional("budget_tokens_per_day", tokens)?.flatten(),
        })
    }

    /// Whether it bounds nothing.
    pub const fn is_none(&self) -> bool {
        self.usd_per_hour.is_none()
            && self.usd_per_day.is_none()
            && self.tokens_per_hour.is_none()
            && self.tokens_per_day.is_none()
    }
}

fn is_off(text: &str) -> bool {
    matches!(text, "0" | "off" | "none" | "never")
}

/// Dollars above 0; `off` takes away what the file says for all workers.
fn dollars(text: &str) -> Result<Option<f64>, String> {
    if is_off(text) {
        return Ok(None);
    }
    let usd = text.parse().ok().filter(|usd: &f64| usd.is_finite() && *usd > 0.0);
    usd.map(Some).ok_or_else(|| "takes dollars above 0, such as 12.50, or off".to_owned())
}

fn tokens(text: &str) -> Result<Option<u64>, String> {
    if is_off(text) {
        return Ok(None);
    }
    let tokens = text.replace('_', "").parse().ok().filter(|tokens: &u64| *tokens > 0);
    tokens.map(Some).ok_or_else(|| "takes a number of tokens, such as 2000000, or off".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_above_0_or_off() {
        assert_eq!(dollars("12.5"), Ok(Some(12.5)));
        assert_eq!((dollars("off"), tokens("0")), (Ok(None), Ok(None)));
        assert_eq!(tokens("2_000_000"), Ok(Some(2_000_000)));
        for wrong in ["-1", "nan", "inf", "much", ""] {
            assert!(dollars(wrong).is_err() && tokens(wrong).is_err(), "{wrong}");
        }
        assert!(tokens("1.5").is_err());
    }
}
