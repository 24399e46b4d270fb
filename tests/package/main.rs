//! Installing, on machines of its own: the Debian package on one with systemd, from the first installation to the purge with
//! an update under running agents between; and `scripts/install.sh` on a host without dpkg and without systemd. What is typed
//! there is read from docs/installing.md.
//!
//! The programs are those that cargo built for the tests: the package takes them as `scripts/package.sh` takes others.

#![cfg(feature = "test-support")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test plays the operator and the host"
)]

#[path = "../support/base.rs"]
mod base;
mod built;
#[path = "../support/engine.rs"]
mod engine;
mod gone;
#[path = "../support/machine.rs"]
mod machine;
mod other;
mod page;
#[path = "../support/real.rs"]
mod real;
mod there;
#[path = "../support/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Instant;

use built::Built;
use engine::Engine;
use machine::Machine;

/// One thing that happens to the machine.
type Act = (&'static str, fn(&Machine));

const ACTS: [Act; 7] = [
    ("it is installed, and nothing is started", there::is_installed),
    ("it starts and works as the page says", there::works),
    ("an update under running agents loses nothing", there::is_updated),
    ("a removal ends what runs, and says what is left", gone::is_removed),
    ("an installation after it goes on", gone::is_back),
    ("a purge takes the configuration and no task", gone::is_purged),
    ("an installation after that begins anew", gone::is_new),
];

#[test]
fn the_package_lives_through_install_update_remove_and_purge() {
    let began = Instant::now();
    let told = |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f32());
    let Some(built) = Built::make() else { return };
    told("built");
    built.is_what_the_script_installs();
    told("looked at");
    let Some(engine) = Engine::find().map(Arc::new) else { return };
    let Some(image) = engine.system() else { return };
    let machine = Machine::boot(&engine, &image);
    machine.put(&built.packages(), there::PACKAGES);
    machine.put(&built.claude(), "/usr/bin/claude");
    told("booted");
    for (name, act) in ACTS {
        told(name);
        act(&machine);
    }
    drop(machine);
    told("on a host without dpkg and systemd");
    other::is_installed_and_works(&engine, &image, &built);
    told("its form");
    built.is_clean();
    told("done");
}
