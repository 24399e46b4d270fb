//! How budgets read to a person. Pure.

use super::Scope;
use super::assess::{Unit, Use, Window};

/// `the last 24 hours`.
pub const fn window(window: Window) -> &'static str {
    match window {
        Window::Hour => "the last 60 minutes",
        Window::Day => "the last 24 hours",
    }
}

/// `$10.02`, `2034000 tokens`.
pub fn amount(unit: Unit, amount: u64) -> String {
    match unit {
        Unit::Usd => dollars(amount),
        Unit::Tokens => format!("{amount} tokens"),
    }
}

/// Cents are enough but for what is less.
fn dollars(micro: u64) -> String {
    if micro < 1_000_000 && !micro.is_multiple_of(10_000) {
        format!("${}.{:06}", micro / 1_000_000, micro % 1_000_000)
    } else {
        // Rounded down: what is not all spent is not said to be.
        format!("${}.{:02}", micro / 1_000_000, micro % 1_000_000 / 10_000)
    }
}

/// The pack or worker with its name.
pub fn name(scope: &Scope) -> String {
    match scope {
        Scope::Worker(name) => format!("the worker {name}"),
        Scope::Pack(name) => format!("the pack `{name}`"),
    }
}

/// `has used $10.02 of $10.00 in the last 24 hours (100 %)`, and when that eases.
pub fn used(it: &Use) -> String {
    let eases = it.eases.map_or_else(String::new, |(at, left)| {
        format!("; about {} leaves that window by {at:.0}", amount(it.unit, left))
    });
    format!(
        "has used {} of {} in {}{eases}",
        amount(it.unit, it.used),
        amount(it.unit, it.limit),
        window(it.window),
    )
}

/// What to do where it is used up.
pub fn remedy(scope: &Scope, it: &Use) -> String {
    let key = format!("{}_per_{}", it.unit.as_str(), it.window.as_str());
    match scope {
        Scope::Pack(name) => format!(
            "nothing: they go on by themselves; to go on now raise `{key}` in packs/{name}.toml, or `agentctl budget reset --pack {name}`"
        ),
        Scope::Worker(name) => format!(
            "nothing: it goes on by itself; to go on now `agentctl budget reset --worker {name}`, or a higher --budget-{} (in its configuration file SIGHUP will do)",
            key.replace('_', "-")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_of_what_and_until_when() {
        let eases = Some(("2026-03-01T14:05:00Z".parse().unwrap(), 3_100_000));
        let it = Use { window: Window::Day, unit: Unit::Usd, used: 10_020_000, limit: 10_000_000, eases };
        assert_eq!(
            used(&it),
            "has used $10.02 of $10.00 in the last 24 hours; about $3.10 leaves that window by 2026-03-01T14:05:00Z"
        );
        let it = Use { window: Window::Hour, unit: Unit::Tokens, used: 80, limit: 100, eases: None };
        assert_eq!(used(&it), "has used 80 tokens of 100 tokens in the last 60 minutes");
        assert!(remedy(&Scope::Pack("a".to_owned()), &it).contains("`tokens_per_hour` in packs/a.toml"));
        assert!(remedy(&Scope::Worker("marie".parse().unwrap()), &it).contains("--budget-tokens-per-hour"));
    }

    #[test]
    fn small_sums_are_not_shown_as_nothing_and_no_sum_is_rounded_up() {
        for (micro, text) in [
            (3750, "$0.003750"),
            (500_000, "$0.50"),
            (9_999_999, "$9.99"),
            (0, "$0.00"),
            (12_345_678, "$12.34"),
        ] {
            assert_eq!(dollars(micro), text);
        }
    }
}
