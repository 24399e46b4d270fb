//! Once a second: which packs nothing may be started with. What changed is told once, where people look.

use super::ctx::Ctx;
use crate::pack::{Bar, Bars, Survey, What};
use crate::telemetry::health::Check;
use crate::telemetry::state_file::BarredPack;

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Packs {
    told: Bars,
    odd: Vec<(String, String)>,
}

impl Packs {
    /// Looks at all of them.
    pub(super) fn look(&mut self, ctx: &Ctx) -> Bars {
        let Survey { bars: mut found, packs, odd } = ctx.packs.survey();
        ctx.budgets.look(ctx);
        for (name, bar) in ctx.budgets.bars() {
            found.named.entry(name).or_insert(bar);
        }
        let bars = self.lasting(&found);
        self.tell_odd(ctx, odd);
        ctx.metrics.packs().set(packs.iter().map(|name| (name.as_str(), bars.of(Some(name)).is_none())));
        if bars != self.told {
            // What is used up was told when it was, and is more with every run that ends.
            for (name, bar) in news(&bars, &self.told).filter(|(_, bar)| bar.what != What::Spent) {
                let said = format!("nothing is started with {name}: {}", bar.why);
                tracing::warn!(remedy = %bar.remedy, "{said}");
                ctx.herald.warn(&said, Some(&bar.remedy));
            }
            for (name, _) in news(&self.told, &bars)
                .filter(|(name, bar)| bar.what != What::Spent && !is_named(&bars, name))
            {
                tracing::info!("{name} can be used again");
            }
            ctx.board.show().packs = shown(&bars);
            self.told = bars;
        }
        found
    }

    /// What bars nothing, and is not as it should be.
    fn tell_odd(&mut self, ctx: &Ctx, odd: Vec<(String, String)>) {
        for (what, remedy) in odd.iter().filter(|it| !self.odd.contains(*it)) {
            tracing::warn!(remedy = %remedy, "{what}");
            ctx.herald.warn(what, Some(remedy));
        }
        self.odd = odd;
    }

    /// What is worth telling: a file that is being changed is as it was before, until it stands still.
    fn lasting(&self, found: &Bars) -> Bars {
        let lasting = |(name, bar): (&String, &Bar)| {
            let bar = if bar.what == What::Changing { self.told.named.get(name)? } else { bar };
            Some((name.clone(), bar.clone()))
        };
        Bars { named: found.named.iter().filter_map(lasting).collect(), others: found.others.clone() }
    }
}

/// What is in `bars` and not in `before`.
fn news<'a>(bars: &'a Bars, before: &'a Bars) -> impl Iterator<Item = (String, &'a Bar)> {
    let named = bars.named.iter().filter(|(name, bar)| before.named.get(*name) != Some(*bar));
    let others = bars.others.iter().filter(|bar| before.others.as_ref() != Some(*bar));
    named
        .map(|(name, bar)| (format!("the pack `{name}`"), bar))
        .chain(others.map(|bar| ("any pack of its own".to_owned(), bar)))
}

fn is_named(bars: &Bars, said: &str) -> bool {
    bars.named.keys().any(|name| said == format!("the pack `{name}`"))
}

fn shown(bars: &Bars) -> Vec<BarredPack> {
    let barred = |name: &str, bar: &Bar| BarredPack {
        pack: name.to_owned(),
        reason: bar.why.clone(),
        remedy: bar.remedy.clone(),
    };
    let others = bars.others.iter().map(|bar| barred("*", bar));
    bars.named.iter().map(|(name, bar)| barred(name, bar)).chain(others).collect()
}

/// What that means for the worker's health: the other packs are worked with.
pub(super) fn check(packs: &[BarredPack]) -> Check {
    let Some(first) = packs.first() else { return Check::Ok };
    let more = if packs.len() > 1 { format!(" (and {} more packs)", packs.len() - 1) } else { String::new() };
    Check::Degraded(format!(
        "tasks of the pack `{}` wait: {}; {}{more}",
        first.pack, first.reason, first.remedy
    ))
}
