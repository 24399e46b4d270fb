//! Steps are not there for nothing: with each of those in `steps.tsv` left out, the model finds a promise that breaks, which
//! stands there with its scenario. That no step at all can be left out is asked of by `tests/crash.rs`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use stateright::HasDiscoveries;

use super::scenarios::Scenario;
use super::shapes::Mutation;
use super::{Seen, chosen, explore, is_long, scenarios};

/// Small ones, in which each list of steps is done.
const SMALL: [&str; 9] = [
    "no task",
    "one task",
    "copied",
    "cancelled",
    "changed",
    "renewed",
    "written again",
    "any ending",
    "looked after",
];

fn table() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/model/steps.tsv")
}

/// A step, and what breaks without it.
struct Row {
    scenario: String,
    size: (u8, u8),
    mutation: Mutation,
    promise: String,
}

impl Row {
    fn of(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().map(str::to_owned);
        let (promise, scenario, kills, powers) = (next()?, next()?, next()?, next()?);
        let (at, _, shape) = (next()?, next()?, next()?);
        let size = (kills.parse().ok()?, powers.parse().ok()?);
        Some(Self { scenario, size, mutation: Mutation { shape, at: at.parse().ok()? }, promise })
    }
}

fn without(scenario: Scenario, (kills, powers): (u8, u8), mutation: &Mutation) -> Seen {
    let ends = HasDiscoveries::AnyFailures;
    explore(Scenario { kills, powers, ..scenario }, Some(mutation.clone()), ends)
}

fn scenario(name: &str) -> Scenario {
    scenarios().into_iter().find(|it| it.name == name).expect("a scenario of that name")
}

#[test]
fn without_a_step_a_promise_breaks() {
    let text = std::fs::read_to_string(table()).expect("the table of steps");
    let rows: Vec<Row> = text.lines().filter(|it| !it.starts_with('#')).filter_map(Row::of).collect();
    assert!(rows.len() > 60, "the table is whole");
    for row in &rows {
        let Row { mutation, promise, .. } = row;
        let seen = without(scenario(&row.scenario), row.size, mutation);
        let is_step = seen.shapes.contains_key(&mutation.shape);
        assert!(is_step, "nothing does this any more; write the table anew: [{}]", mutation.shape);
        assert!(
            !seen.broken.is_empty(),
            "nothing breaks without step {} of [{}]",
            mutation.at,
            mutation.shape
        );
        println!("{}: {promise}: {:?}", mutation.at, seen.broken.keys());
    }
}

/// Writes the table, as far as the small scenarios go; `MODEL_LONG=1 MODEL_ONLY=steps`.
#[test]
fn the_table_is_written_in_the_long_form() {
    if !is_long() || chosen() != "steps" {
        return;
    }
    let mut done: BTreeSet<(String, usize)> = BTreeSet::new();
    let mut file = std::fs::File::create(table()).expect("the table of steps");
    writeln!(file, "# promise\tscenario\tkills\tpower cuts\tstep\tin words\tin the list").expect("a line");
    for name in SMALL {
        for size in [(0, 1), (1, 0)] {
            let whole = Scenario { kills: size.0, powers: size.1, ..scenario(name) };
            for (shape, steps) in explore(whole, None, HasDiscoveries::All).shapes {
                for (at, word) in steps.iter().enumerate() {
                    if done.contains(&(shape.clone(), at)) {
                        continue;
                    }
                    let mutation = Mutation { shape: shape.clone(), at };
                    // Who goes round for ever makes more files than the model counts.
                    let asked = || without(scenario(name), size, &mutation);
                    let Ok(seen) = std::panic::catch_unwind(asked) else { continue };
                    // What is only not reached is the least telling.
                    let promise = seen.broken.keys().find(|it| **it != "every task is filed");
                    let Some(promise) = promise.or(seen.broken.keys().next()) else { continue };
                    let (kills, powers) = size;
                    let line = format!("{promise}\t{name}\t{kills}\t{powers}\t{at}\t{word}\t{shape}");
                    writeln!(file, "{line}").expect("a line");
                    done.insert((shape.clone(), at));
                }
            }
        }
    }
}
