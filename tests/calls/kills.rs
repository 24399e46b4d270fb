//! Killed at every call that changes something that outlives the program.

use std::sync::Arc;

use crate::dice::Dice;
use crate::scene::Scene;
use crate::sweep::{Series, chosen, quiet, scenes, seed, sweep};
use crate::syscalls::Call;
use crate::tracer::{Among, Fate};
use crate::{verbs, works};

/// Kills at every point of all scenes, or at `few` points of four.
fn kill_in(all: &[Scene], few: usize) {
    let among: Among = Arc::new(Call::changes);
    let seed = seed();
    let mut dice = Dice(seed);
    let mut series = Vec::new();
    for scene in scenes(all, 4, &mut dice) {
        let calls = quiet(scene, &among).len();
        println!("{}: {calls} calls that change something", scene.name());
        let chosen = chosen(calls, few, &mut dice);
        series.push(Series::of(scene, "KILL", chosen, (Among::clone(&among), Fate::Kill)));
    }
    sweep("kills", seed, &series);
}

#[test]
fn those_who_work_are_killed_at_every_call_that_changes_something() {
    kill_in(works::SCENES, 4);
}

#[test]
fn the_operators_commands_are_killed_at_every_call_that_changes_something() {
    kill_in(verbs::SCENES, 4);
}
