//! Which traces are recorded. Pure.
//!
//! The decision follows from the trace's identity alone, so that whoever takes a run up decides as its first watcher did,
//! and so that all spans of a recovery are recorded or none.

use super::span::Context;

/// What becomes of a trace that nobody has decided about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Root {
    All,
    None,
    Share(f64),
}

/// The rule: `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    root: Root,
    /// Whether whoever began the trace has the last word.
    heeds_parent: bool,
}

impl Default for Sampler {
    /// `parentbased_always_on`.
    fn default() -> Self {
        Self { root: Root::All, heeds_parent: true }
    }
}

impl Sampler {
    /// The one that is called so; `share` is for those that take one.
    pub fn named(name: &str, share: f64) -> Option<Self> {
        let (heeds_parent, rest) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let root = match rest {
            "always_on" => Root::All,
            "always_off" => Root::None,
            "traceidratio" => Root::Share(share),
            _ => return None,
        };
        Some(Self { root, heeds_parent })
    }

    /// `context` with the decision whether it is recorded; `parent` is what it was made from.
    #[must_use]
    pub fn decide(&self, context: Context, parent: Option<Context>) -> Context {
        let sampled = match (parent.filter(|_| self.heeds_parent), self.root) {
            (Some(parent), _) => parent.sampled,
            (None, Root::All) => true,
            (None, Root::None) => false,
            (None, Root::Share(share)) => is_within(context.trace, share),
        };
        Context { sampled, ..context }
    }
}

/// By the last 32 bits of the trace: those before them are not random in an identifier that begins with the time and
/// counts within a millisecond.
fn is_within(trace: [u8; 16], share: f64) -> bool {
    let [.., a, b, c, d] = trace;
    f64::from(u32::from_be_bytes([a, b, c, d])) < share * (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::RunId;

    fn recorded(name: &str, share: f64, parent: Option<bool>) -> usize {
        let sampler = Sampler::named(name, share).unwrap();
        let parent = parent.map(|sampled| Context { sampled, ..Context::fresh() });
        let decided = |_| sampler.decide(Context::of_attempt(RunId::mint(), 1, parent), parent);
        (0..1000).map(decided).filter(|context| context.sampled).count()
    }

    #[test]
    fn each_sampler_records_what_its_name_says() {
        for (name, alone, recorded_parent, other_parent) in [
            ("always_on", 1000, 1000, 1000),
            ("always_off", 0, 0, 0),
            ("parentbased_always_on", 1000, 1000, 0),
            ("parentbased_always_off", 0, 1000, 0),
        ] {
            let all = [None, Some(true), Some(false)].map(|parent| recorded(name, 1.0, parent));
            assert_eq!(all, [alone, recorded_parent, other_parent], "{name}");
        }
        assert_eq!(Sampler::named("parentbased_always_on", 1.0), Some(Sampler::default()));
        for name in ["", "parentbased_", "jaeger_remote", "xray"] {
            assert_eq!(Sampler::named(name, 1.0), None, "{name}");
        }
    }

    #[test]
    fn a_share_is_that_share_of_real_runs() {
        for share in [0.0, 0.1, 0.5, 1.0] {
            #[expect(clippy::cast_precision_loss, reason = "a thousand")]
            let got = recorded("traceidratio", share, None) as f64 / 1000.0;
            assert!((got - share).abs() < 0.08, "{share}: {got}");
        }
        assert_eq!(recorded("parentbased_traceidratio", 0.0, Some(true)), 1000);
    }
}
