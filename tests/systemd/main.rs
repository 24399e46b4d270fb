//! The units under a real systemd: a machine of its own, PID 1 and all, on which the project is installed as its README
//! says and lives through what an operator and a host do to it.
//!
//! It is one test, since a machine takes longer to boot than to live through each act; the acts are told by name.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test plays the operator and the host"
)]

#[path = "../support/base.rs"]
mod base;
#[path = "../runbook/blocks.rs"]
mod blocks;
mod cuts;
mod ends;
#[path = "../support/engine.rs"]
mod engine;
mod install;
mod journal;
mod life;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../operating/page.rs"]
mod page;
mod promised;
#[path = "../support/promises/mod.rs"]
mod promises;
#[path = "../support/real.rs"]
mod real;
mod typed;
#[path = "../support/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Instant;

use engine::Engine;
use machine::Machine;

/// One thing that happens to the machine.
type Act = (&'static str, fn(&Machine));

const ACTS: [Act; 31] = [
    ("what is installed is clean", install::is_clean),
    ("the units start and say that they are ready", install::starts),
    ("each worker has the limits of the runbook", install::has_its_limits),
    ("each unit is as closed as its work allows", install::is_hardened),
    ("the key reaches the agent and no log", install::hands_the_key_on),
    ("the journal has the fields of each line", journal::is_asked),
    ("a reload changes nothing that runs", life::is_reloaded),
    ("what takes too much memory is ended alone", life::runs_out_of_memory),
    ("a watcher that takes too much memory is told so", life::dies_of_memory),
    ("drops by every hand are tasks", promised::is_given_tasks_by_every_hand),
    ("a name that is taken is not written over", promised::keeps_what_has_a_name),
    ("a tree ends with its task", promised::ends_whole_trees),
    ("what the pages tell to type runs", typed::as_it_stands),
    ("the runbook's blocks", typed::the_runbooks_blocks),
    ("a restart loses nothing", life::is_restarted),
    ("the agent of a killed watcher is adopted", life::is_killed),
    ("what shed every sign after its watcher's death is ended", life::leaves_nothing),
    ("agents that are killed with their watcher go on where they were", life::is_killed_whole),
    ("a watcher that stands still is replaced", life::stands_still),
    ("a stop in the middle of claiming loses nothing", cuts::is_stopped_while_it_claims),
    ("kills in the middle of claiming lose nothing", cuts::is_killed_while_it_claims),
    ("an answer that came while nobody watched is filed", cuts::is_answered_while_it_is_dead),
    ("strays of a dead agent end before it goes on", cuts::has_strays_of_a_dead_agent),
    ("a second unit of one name is refused", cuts::has_a_twin),
    ("a disk that is full loses nothing", promised::runs_out_of_room),
    ("a stop leaves nothing behind", ends::is_stopped),
    ("what nobody takes up again is ended after a time", ends::is_left),
    ("the target stops and starts them all", ends::are_one),
    ("the supervisor restarts by asking systemd", ends::is_restarted_by_the_supervisor),
    ("a wrong configuration is not tried again", ends::is_misconfigured),
    ("a reboot and a power cut lose nothing", ends::reboots),
];

#[test]
fn the_units_live_through_what_happens_to_them() {
    let Some(engine) = Engine::find() else { return };
    let Some(image) = engine.system() else { return };
    let began = Instant::now();
    let told = |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f32());
    let machine = Machine::boot(&Arc::new(engine), &image);
    told("booted");
    install::install(&machine);
    for (name, act) in ACTS {
        told(name);
        act(&machine);
    }
    told("done");
}

#[test]
fn the_three_units_differ_in_the_worker_s_name_and_port_only() {
    let unit = |worker: &str, port: &str| {
        let path = format!("{}/systemd/agent-worker-{worker}.service", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap().replace(worker, "WORKER").replace(port, "PORT")
    };
    let marie = unit("marie", "9091");
    assert!(marie.contains("watcher --worker WORKER") && marie.contains("127.0.0.1:PORT"), "{marie}");
    assert_eq!(unit("anga", "9092"), marie);
    assert_eq!(unit("fabien", "9093"), marie);
}
