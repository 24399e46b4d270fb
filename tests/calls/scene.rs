//! A scene: what is laid out, which program is struck, and what everybody does afterwards.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use agent_worker::layout::Layout;
use nix::sys::signal::Signal;

use crate::judge::{self, Accepted};
use crate::syscalls::Call;
use crate::tracer::{Among, Fate, Traced};
use crate::world::{Started, World, until};

/// How long a program that was struck may take to end by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// What a program does until it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It works until every task is filed, and is then asked to stop.
    Works,
    /// It does one thing and ends.
    Acts,
}

/// One program at one thing.
pub(crate) struct Scene {
    /// `watcher`, `supervisor recover`, `agentctl cancel`.
    pub(crate) program: &'static str,
    /// What it is at.
    pub(crate) at: &'static str,
    pub(crate) life: Life,
    /// What is there before.
    pub(crate) lay: fn(&World),
    pub(crate) command: fn(&World) -> Command,
    /// Who is at work beside it.
    pub(crate) beside: fn(&World, &Traced) -> Vec<Started>,
    /// The tasks that there are.
    pub(crate) accepted: &'static [Accepted],
    /// What its user does next, before a watcher works off what is left.
    pub(crate) next: fn(&World),
}

/// What came of a play.
pub(crate) struct Struck {
    /// The name of the call, if the point was reached.
    pub(crate) call: Option<&'static str>,
    /// The calls that were counted.
    pub(crate) calls: Vec<Call>,
    /// What is wrong.
    pub(crate) broken: Vec<String>,
}

impl Scene {
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.program, self.at)
    }

    /// Plays it: the program meets its fate, then the rest of the world goes on.
    pub(crate) fn play(&self, among: &Among, fate: Fate) -> Struck {
        let world = World::new();
        (self.lay)(&world);
        let command = (self.command)(&world);
        let traced = Traced::start(&world, &command, "struck", Among::clone(among), fate);
        let company = (self.beside)(&world, &traced);
        let exit = self.live(&world, &traced, fate);
        let (calls, struck) = (traced.calls(), traced.struck());
        drop(traced);
        // Who is at work beside it moves tasks while they are looked for.
        let mut broken = Vec::new();
        until(Duration::from_secs(2), || {
            broken = judge::at_any_moment(&world, self.accepted);
            broken.is_empty().then_some(())
        });
        if exit.is_none() {
            broken.push("it does not end".to_owned());
        }
        // Without a thread for its errands a program ends as by a bug (docs/adr/0009), which is a kill to all others.
        if !matches!(fate, Fate::Kill(_)) && !struck.iter().any(Call::is_of_a_thread) {
            broken.extend(exit.and_then(|code| unclear(&world, code)));
        }
        if broken.is_empty() {
            let went = catch_unwind(AssertUnwindSafe(|| {
                (self.next)(&world);
                self.settle(&world, company);
            }));
            broken.extend(went.err().map(|why| why.downcast_ref::<String>().cloned().unwrap_or_default()));
            broken.extend(judge::at_rest(&world, self.accepted));
        }
        if !broken.is_empty() {
            let hit: Vec<_> = struck.iter().map(|it| format!("{} {}", it.name, it.what)).take(3).collect();
            broken.insert(0, format!("{}: {fate:?} at {hit:?}, exit {exit:?}", self.name()));
            broken.push(world.said());
        }
        Struck { call: struck.first().map(|it| it.name), calls, broken }
    }

    /// Lets the program live to its end.
    fn live(&self, world: &World, traced: &Traced, fate: Fate) -> Option<i32> {
        if matches!(fate, Fate::RefuseAll(..)) {
            // Who waits for the disk says so, and goes on when it is over; the others end.
            let waits = || said(world).contains("it is tried again");
            until(PATIENCE, || (traced.is_over().is_some() || waits()).then_some(()));
            traced.relent();
        }
        if self.life == Life::Works {
            until(PATIENCE, || (traced.is_over().is_some() || self.is_settled(world)).then_some(()));
            traced.signal(Signal::SIGTERM);
        }
        traced.ended(PATIENCE)
    }

    /// Whether every task lies where it may rest, those that may be missing aside.
    fn is_settled(&self, world: &World) -> bool {
        self.accepted.iter().all(|it| {
            let homes = world.homes(it.name);
            homes.iter().any(|home| it.homes.contains(&home.as_str())) || it.may_be_gone && homes.is_empty()
        })
    }

    /// A watcher works off what is left, and is stopped.
    fn settle(&self, world: &World, mut company: Vec<Started>) {
        if company.is_empty() {
            company.push(world.up("marie"));
        }
        world.until("everything has come to rest", || self.is_settled(world).then_some(()));
        let temporary =
            || judge::at_any_moment(world, self.accepted).is_empty() && judge::left(world).is_empty();
        until(Duration::from_secs(10), || temporary().then_some(()));
        for it in company {
            assert_eq!(it.stop(), 0, "who went on ends well");
        }
    }
}

/// What is wrong with how a program ended whose calls were refused: it ends with a code that is told, and if that is
/// not 0, with a sentence.
pub(crate) fn unclear(world: &World, code: i32) -> Option<String> {
    let said = said(world);
    if said.contains("panicked at") {
        return Some(format!("it panicked, and ended with {code}"));
    }
    if !matches!(code, 0 | 1 | 64 | 65 | 69 | 70 | 75 | 77 | 78) {
        return Some(format!("it ended with {code}"));
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    (code != 0 && last.len() < 20).then(|| format!("it ended with {code} and said only {last:?}"))
}

/// The folders of a root with marie.
pub(crate) fn lay_out(world: &World) {
    let layout = Layout::new(world.root());
    let dirs = layout.common_dirs().into_iter().chain(layout.worker_dirs(&"marie".parse().unwrap()));
    dirs.for_each(|dir| fs::create_dir_all(dir).unwrap());
}

/// Drops a task, whole.
pub(crate) fn drop_task(world: &World, place: &str, name: &str, text: &str) {
    let dir = world.root().join("tasks").join(place);
    let temp = dir.join(format!("{name}.part"));
    fs::write(&temp, text).unwrap();
    fs::rename(temp, dir.join(format!("{name}.json"))).unwrap();
}

/// Nothing is done next: a watcher goes on.
pub(crate) fn nothing(_: &World) {}

/// Nobody is at work beside it.
pub(crate) fn alone(_: &World, _: &Traced) -> Vec<Started> {
    Vec::new()
}

/// What the struck program said.
fn said(world: &World) -> String {
    fs::read_to_string(world.logs().join("struck.err")).unwrap_or_default()
}
