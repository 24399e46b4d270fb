//! Killed at every call that changes something that outlives the program.

use std::sync::Arc;

use crate::dice::Dice;
use crate::scene::Scene;
use crate::sweep::{Point, chosen, quiet, scenes, seed, sweep};
use crate::syscalls::Call;
use crate::tracer::{Among, Fate};
use crate::{verbs, works};

/// Kills at every point of all scenes, or at `few` points of four.
fn kill_in(all: &[Scene], few: usize) {
    let among: Among = Arc::new(Call::changes);
    let seed = seed();
    let mut dice = Dice(seed);
    let mut points = Vec::new();
    for scene in scenes(all, 4, &mut dice) {
        let calls = quiet(scene, &among).len();
        println!("{}: {calls} calls that change something", scene.name());
        let kill = |n| Point::of(scene, "KILL", Among::clone(&among), Fate::Kill(n));
        points.extend(chosen(calls, few, &mut dice).into_iter().map(kill));
    }
    sweep("kills", seed, &points);
}

#[test]
fn those_who_work_are_killed_at_every_call_that_changes_something() {
    kill_in(works::SCENES, 4);
}

#[test]
fn the_operators_commands_are_killed_at_every_call_that_changes_something() {
    kill_in(verbs::SCENES, 4);
}
