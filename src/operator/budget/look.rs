//! Looking: what was spent under this root, by the journals, and what may be, by the packs and what each worker says.

use std::collections::BTreeMap;

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::{look, packs};
use crate::budget::forgiven::{self, Forgiven};
use crate::budget::{Ledger, Scope, Spent, Unit, Use, Window, assess, minute_of, most_pressing, words};
use crate::config::Allowance;
use crate::telemetry::state_file::State;

/// One worker or pack.
pub(in crate::operator) struct Account {
    pub(in crate::operator) scope: Scope,
    /// What is used of its bounds.
    pub(in crate::operator) uses: Vec<Use>,
    /// What it spent in the last 60 minutes, forgiven or not.
    pub(in crate::operator) hour: Spent,
    /// The same for the last 24 hours.
    pub(in crate::operator) day: Spent,
    /// What an operator has forgiven.
    pub(in crate::operator) forgiven: Option<Forgiven>,
}

impl Account {
    /// The bound to tell of.
    pub(in crate::operator) fn pressing(&self) -> Option<&Use> {
        most_pressing(&self.uses)
    }

    pub(super) fn bound(&self, window: Window, unit: Unit) -> Option<&Use> {
        self.uses.iter().find(|it| it.window == window && it.unit == unit)
    }

    pub(super) const fn used(&self, window: Window, unit: Unit) -> u64 {
        let spent = match window {
            Window::Hour => self.hour,
            Window::Day => self.day,
        };
        match unit {
            Unit::Usd => spent.micro_usd,
            Unit::Tokens => spent.tokens,
        }
    }
}

/// Every worker, and every pack that has a budget or was worked with in the last 24 hours; workers first.
pub(in crate::operator) fn accounts(desk: &Desk) -> Result<Vec<Account>, OperatorError> {
    let ledger = read(desk)?;
    let mut scopes: BTreeMap<Scope, Allowance> =
        ledger.scopes().into_iter().map(|scope| (scope, Allowance::default())).collect();
    for worker in look::workers(&desk.layout)? {
        let allowance = State::read(&desk.layout.state(&worker)).ok().flatten().map(|it| it.budget);
        scopes.insert(Scope::Worker(worker), allowance.unwrap_or_default());
    }
    for (name, allowance) in packs::allowances(desk) {
        scopes.insert(Scope::Pack(name), allowance);
    }
    Ok(scopes.into_iter().map(|(scope, allowance)| account(desk, &ledger, scope, &allowance)).collect())
}

/// Why nothing is started with a pack that may use so much.
pub(in crate::operator) fn bar(desk: &Desk, pack: &str, allowance: &Allowance) -> Option<packs::Barred> {
    if allowance.is_none() {
        return None;
    }
    let account = account(desk, &read(desk).ok()?, Scope::Pack(pack.to_owned()), allowance);
    let it = account.pressing().filter(|it| it.is_spent())?;
    let why = format!("{} {}", words::name(&account.scope), words::used(it));
    let remedy = words::remedy(&account.scope, it);
    Some(packs::Barred { why, remedy, until: it.eases.map(|(at, _)| at) })
}

fn read(desk: &Desk) -> Result<Ledger, OperatorError> {
    let mut ledger = Ledger::new(desk.layout.clone());
    ledger
        .read(desk.clock.wall())
        .map_err(OperatorError::io("read the journals in", &desk.layout.workers()))?;
    Ok(ledger)
}

fn account(desk: &Desk, ledger: &Ledger, scope: Scope, allowance: &Allowance) -> Account {
    let (now, spent) = (desk.clock.wall(), ledger.of(&scope));
    let minute = minute_of(now);
    let forgiven = forgiven::minute(&desk.layout, &scope, now);
    Account {
        uses: assess(allowance, &spent, minute, forgiven),
        hour: spent.sum(Window::Hour.minutes(), minute, None),
        day: spent.sum(Window::Day.minutes(), minute, None),
        forgiven: forgiven::read(&desk.layout, &scope),
        scope,
    }
}
