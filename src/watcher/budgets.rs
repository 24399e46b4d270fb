//! What was spent and what may be, as the loop meets it: with every beat, before the next task is taken at the end of a run,
//! and right before an agent is started.
//!
//! Each tier is told once when it is reached, and again only after enough has left the window in between.
//! It deliberately does not know what follows from a hold or a bar: that is the core's.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::core::Event;
use super::ctx::Ctx;
use super::shell::Looping;
use crate::agent::disposition::Holding;
use crate::budget::{
    Ledger, Scope, Tier, Unit, Use, Window, assess, forgiven, minute_of, most_pressing, words,
};
use crate::clock::Timestamp;
use crate::config::Allowance;
use crate::layout::Layout;
use crate::pack::{Bar, What};
use crate::task::HoldCause;
use crate::telemetry::health::Check;
use crate::telemetry::journal::Event as Noted;
use crate::telemetry::metrics::BudgetLabels;

/// A tier is told again once the share was so many hundredths below it.
const SLACK: u64 = 5;

/// What was spent under this root, as far as anybody asks.
#[derive(Debug)]
pub(super) struct Budgets {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    told: Told,
    /// What the last look found, and what it went by.
    seen: Vec<(Scope, Vec<Use>)>,
    basis: Option<Basis>,
    is_blind: bool,
}

/// While none of it changes, nothing else does.
#[derive(Clone, Debug, PartialEq)]
struct Basis {
    minute: i64,
    revision: u64,
    allowed: Vec<(Scope, Allowance, Option<i64>)>,
}

/// The tiers that were told.
#[derive(Debug, Default)]
struct Told(HashMap<(Scope, Window, Unit), Tier>);

impl Told {
    /// The bounds that have reached a tier which was not told yet.
    fn news(&mut self, scope: &Scope, uses: &[Use]) -> Vec<(Use, Tier)> {
        let mut news = Vec::new();
        for it in uses {
            let key = (scope.clone(), it.window, it.unit);
            let known = self.0.get(&key).copied();
            // What was told stands until the share is well below it.
            let stands = known.filter(|tier| it.percent() + SLACK >= tier.percent());
            let now = it.tier().max(stands);
            if now > known
                && let Some(tier) = now
            {
                news.push((*it, tier));
            }
            match now {
                Some(tier) => drop(self.0.insert(key, tier)),
                None => drop(self.0.remove(&key)),
            }
        }
        news
    }
}

impl Budgets {
    pub(super) fn new(layout: Layout) -> Self {
        let inner = Inner {
            ledger: Ledger::new(layout),
            told: Told::default(),
            seen: Vec::new(),
            basis: None,
            is_blind: false,
        };
        Self { inner: Mutex::new(inner) }
    }

    /// Reads on and judges; what there is to tell is told.
    pub(super) fn look(&self, ctx: &Ctx) {
        let now = ctx.clock.wall();
        let allowed = allowed(ctx, now);
        let mut inner = self.inner();
        if allowed.is_empty() && inner.seen.is_empty() {
            return;
        }
        inner.read(ctx, now);
        let basis = Basis { minute: minute_of(now), revision: inner.ledger.revision(), allowed };
        if inner.basis.as_ref() == Some(&basis) {
            return;
        }
        let judged = basis.allowed.iter().map(|(scope, allowance, forgiven)| {
            (scope.clone(), assess(allowance, &inner.ledger.of(scope), basis.minute, *forgiven))
        });
        let judged: Vec<(Scope, Vec<Use>)> = judged.collect();
        for (scope, uses) in &judged {
            for (it, tier) in inner.told.news(scope, uses) {
                tell(ctx, scope, &it, tier);
            }
        }
        let gone = |(scope, uses): &&(Scope, Vec<Use>)| {
            uses.iter().any(Use::is_spent)
                && !judged.iter().any(|(it, uses)| it == scope && uses.iter().any(Use::is_spent))
        };
        for (scope, _) in inner.seen.iter().filter(gone) {
            tracing::info!("the budget of {} is not used up any more", words::name(scope));
        }
        ctx.metrics.budget().set_used(judged.iter().flat_map(shares));
        ctx.board.show().budget = check(&judged);
        (inner.seen, inner.basis) = (judged, Some(basis));
    }

    /// Why this worker starts nothing, as the last look found it.
    fn holding(&self) -> Option<Holding> {
        self.inner().seen.iter().find_map(|(scope, uses)| {
            let Scope::Worker(name) = scope else { return None };
            let it = most_pressing(uses).filter(|it| it.is_spent())?;
            Some(Holding {
                cause: HoldCause::Budget,
                reason: format!("its budget is used up: {name} {}", words::used(it)),
                remedy: words::remedy(scope, it),
                until: it.eases.map(|(at, _)| at),
            })
        })
    }

    /// The packs with which nothing is started.
    pub(super) fn bars(&self) -> BTreeMap<String, Bar> {
        let inner = self.inner();
        let barred = inner.seen.iter().filter_map(|(scope, uses)| {
            let Scope::Pack(name) = scope else { return None };
            Some((name.clone(), bar(scope, uses)?))
        });
        barred.collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn read(&mut self, ctx: &Ctx, now: Timestamp) {
        let error = self.ledger.read(now).err();
        if let Some(error) = error.as_ref().filter(|_| !self.is_blind) {
            let remedy = "look at the disk, and at who owns workers/*/journal";
            ctx.herald.caution(
                None,
                &format!("not all journals can be read ({error}): budgets go by what was read before"),
                Some(remedy),
            );
        }
        self.is_blind = error.is_some();
    }
}

/// Everything that is bounded here, with what is forgiven of it.
fn allowed(ctx: &Ctx, now: Timestamp) -> Vec<(Scope, Allowance, Option<i64>)> {
    let own = Some((Scope::Worker(ctx.config.worker.clone()), ctx.config.budget));
    let packs = ctx.packs.allowances().into_iter().map(|(name, allowance)| (Scope::Pack(name), allowance));
    let bounded = own.into_iter().chain(packs).filter(|(_, allowance)| !allowance.is_none());
    bounded
        .map(|(scope, allowance)| {
            let forgiven = forgiven::minute(ctx.layout(), &scope, now);
            (scope, allowance, forgiven)
        })
        .collect()
}

/// What keeps the tasks of a pack waiting, if its budget is used up.
fn bar(scope: &Scope, uses: &[Use]) -> Option<Bar> {
    let it = most_pressing(uses).filter(|it| it.is_spent())?;
    Some(Bar {
        what: What::Spent,
        why: format!("{} {}", words::name(scope), words::used(it)),
        remedy: words::remedy(scope, it),
        end_running: false,
    })
}

fn tell(ctx: &Ctx, scope: &Scope, it: &Use, tier: Tier) {
    let said = format!("{} {} ({} %)", words::name(scope), words::used(it), it.percent());
    match (tier, scope) {
        (Tier::Near, _) => tracing::warn!("{said}"),
        (Tier::Close, _) => tracing::error!("{said}: nothing more is started when all is used"),
        (Tier::Spent, Scope::Pack(_)) => {
            tracing::error!(remedy = %words::remedy(scope, it), "{said}: nothing more is started with it");
        }
        // The hold is told by itself.
        (Tier::Spent, Scope::Worker(_)) => {}
    }
    ctx.note_worker(Noted::Budget, &said);
    let remedy = (tier == Tier::Spent).then(|| words::remedy(scope, it));
    ctx.herald.warn(&said, remedy.as_deref());
}

fn shares((scope, uses): &(Scope, Vec<Use>)) -> impl Iterator<Item = (BudgetLabels, f64)> {
    uses.iter().map(move |it| {
        let labels = [scope.kind(), scope.name(), it.window.as_str(), it.unit.as_str()];
        (labels.map(str::to_owned), it.share())
    })
}

/// What the face says: from nine tenths on somebody should know. The work goes on.
fn check(judged: &[(Scope, Vec<Use>)]) -> Check {
    let close = judged.iter().filter_map(|(scope, uses)| {
        let it = most_pressing(uses).filter(|it| it.tier() >= Some(Tier::Close))?;
        Some(format!("{} {}", words::name(scope), words::used(it)))
    });
    let close: Vec<String> = close.collect();
    if close.is_empty() { Check::Ok } else { Check::Degraded(close.join("; ")) }
}

impl Looping {
    /// What the look at the packs found spent of the worker's own budget holds it.
    pub(super) fn heed_budget(&mut self) {
        let holding = self.ctx.budgets.holding();
        self.on_event(Event::Budget(holding.map(Box::new)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(percent: u64) -> Use {
        Use { window: Window::Hour, unit: Unit::Usd, used: percent, limit: 100, eases: None }
    }

    #[test]
    fn each_tier_is_told_once_when_it_is_reached() {
        let (mut told, scope) = (Told::default(), Scope::Pack("a".to_owned()));
        for (percent, tier) in [
            (10, None),
            (75, Some(Tier::Near)),
            (76, None),
            (74, None),
            (75, None),
            (92, Some(Tier::Close)),
            (130, Some(Tier::Spent)),
            (130, None),
            (99, None),
            (100, None),
            (94, None),
            (100, Some(Tier::Spent)),
            (69, None),
            (80, Some(Tier::Near)),
            (0, None),
            (100, Some(Tier::Spent)),
        ] {
            let news = told.news(&scope, &[used(percent)]);
            assert_eq!(news.first().map(|(_, tier)| *tier), tier, "{percent}");
        }
    }

    #[test]
    fn a_pack_is_barred_by_what_is_used_up_and_by_nothing_less() {
        let scope = Scope::Pack("a".to_owned());
        assert_eq!(bar(&scope, &[used(99)]), None);
        let barred = bar(&scope, &[used(10), used(100)]).unwrap();
        assert_eq!((barred.what, barred.end_running), (What::Spent, false));
        assert!(barred.why.contains("the pack `a` has used"), "{}", barred.why);
        assert_eq!(check(&[(scope.clone(), vec![used(89)])]), Check::Ok);
        assert!(matches!(check(&[(scope, vec![used(90)])]), Check::Degraded(_)));
    }
}
