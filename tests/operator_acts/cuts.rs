//! An operator's command is killed after each of its durable steps: the task has one home, and goes on.

use std::os::unix::process::ExitStatusExt;

use serde_json::json;

use crate::tree::{done, fail, laid_out};
use crate::world::World;

/// Far more steps than any has.
const MANY: u32 = 60;

/// Runs it, killed after the n-th step; whether it was.
fn is_killed(world: &World, words: &str, n: u32) -> bool {
    let mut command = world.command("agentctl");
    command
        .arg("--root")
        .arg(world.root())
        .args(words.split(' '))
        .env("AGENT_WORKER_KILL_AFTER", n.to_string());
    command.output().unwrap().status.signal() == Some(9)
}

fn recover(world: &World) {
    let mut command = world.command("supervisor");
    let recovered = command.args(["recover", "marie", "--root"]).arg(world.root()).output().unwrap();
    assert!(recovered.status.success(), "{recovered:?}\n{}", world.said());
}

/// Cuts a command everywhere; `after` says what must come of it.
fn cut(lay: impl Fn(&World), words: &str, after: impl Fn(&World)) {
    for n in 1..MANY {
        let world = laid_out();
        lay(&world);
        let killed = is_killed(&world, words, n);
        assert_eq!(world.homes("x").len(), 1, "{words}, killed after {n}: {:?}", world.homes("x"));
        recover(&world);
        assert_eq!(world.homes("x").len(), 1, "{words}, killed after {n}, recovered: {:?}", world.homes("x"));
        after(&world);
        if !killed {
            assert!(n > 3, "{words} has more than {n} steps");
            return;
        }
    }
    panic!("{words} is never over");
}

#[test]
fn a_cancel_that_is_killed_is_done_or_can_be_said_again() {
    let lay = |world: &World| world.submit("marie/pending", "x", &json!({"prompt": "x"}));
    cut(lay, "cancel x", |world| {
        if world.homes("x") != ["marie/cancelled"] {
            done(world, "cancel x");
        }
        assert_eq!(world.homes("x"), ["marie/cancelled"]);
    });
}

#[test]
fn a_hold_that_is_killed_leaves_a_task_that_waits() {
    let lay = |world: &World| world.submit("", "x", &json!({"prompt": "x"}));
    cut(lay, "hold x", |world| {
        let homes = world.homes("x");
        assert!(homes == [""] || homes == ["marie/pending"], "{homes:?}");
        done(world, "hold x");
        done(world, "release x");
    });
}

#[test]
fn a_retry_that_is_killed_leaves_it_where_it_was_or_where_it_goes() {
    cut(
        |world| fail(world, "x", "E006"),
        "retry x",
        |world| {
            if world.homes("x") != ["marie/pending"] {
                done(world, "retry x");
            }
            assert_eq!(world.homes("x"), ["marie/pending"]);
        },
    );
}

/// A watcher that is killed after its n-th step, asked to cancel what waits; whether it was killed.
fn is_cut(world: &World, n: u32) -> bool {
    let mut command = world.watcher("marie");
    let mut marie = world.start(command.env("AGENT_WORKER_KILL_AFTER", n.to_string()), "marie");
    let pipe = world.root().join("pipes/marie.in");
    world.until("it hears or is gone", || (marie.is_over() || pipe.exists()).then_some(()));
    let said = crate::tree::agentctl(world, "cancel x");
    // Done by it, not answered since it died, or done on the files since it was gone.
    assert!([0, 75].contains(&said.code), "{said:?}\n{}", world.said());
    let killed = said.code != 0 || marie.is_over();
    assert_eq!(world.homes("x").len(), 1, "killed after {n}: {:?}", world.homes("x"));
    drop(marie);
    killed
}

#[test]
fn a_watcher_that_is_killed_while_it_cancels_loses_nothing_and_its_next_start_goes_on() {
    for n in 1..MANY {
        let world = laid_out();
        world.submit("marie/pending", "x", &json!({"prompt": "fake: succeed", "held": {}}));
        if !is_cut(&world, n) {
            assert!(n > 10, "a cancel has more than {n} steps");
            return;
        }
        let _marie = world.up("marie");
        let pipe = world.root().join("pipes/marie.in");
        world.until("it hears", || pipe.exists().then_some(()));
        if world.homes("x") != ["marie/cancelled"] {
            done(&world, "cancel x");
        }
        assert_eq!(world.homes("x"), ["marie/cancelled"], "killed after {n}");
    }
    panic!("it is killed however long it lives");
}
