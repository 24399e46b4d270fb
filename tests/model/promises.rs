//! The promises, each as a property of the model.
//!
//! | promise | kind |
//! |---|---|
//! | what was dropped is somewhere | always |
//! | a task has one home; after a power cut, until it is recovered, two of certain kinds | always |
//! | nothing torn stands in `active/` | always |
//! | no agent is started while another of the same task lives, nor for what has ended | always |
//! | a start is durable before it happens | always |
//! | what an outcome speaks of is there, whole, when a task is filed | always |
//! | what was told to be filed stays | always |
//! | a crash is charged once, and nothing else is charged | always |
//! | foreign fields and the place in the queue survive | always |
//! | what is staged is named in the record of the resume | always |
//! | a recovery leaves nothing of the dead | always |
//! | every task is filed | eventually |
//!
//! It deliberately does not know how a state was reached.

#![expect(clippy::fn_params_excessive_bools, reason = "a table of facts, each true or not")]

use std::path::Path;

use agent_worker::recovery::ramp::Record;
use agent_worker::task::{AttemptOutcome, FileName, Place, TaskFile, TaskState};
use stateright::Property;

use super::disk::Disk;
use super::ending::ANSWER;
use super::intern::{self, PathId, Text, layout, worker};
use super::state::{Dropped, State, Work};
use super::town::{Town, task_of};

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Promise {
    NothingLost,
    OnePlace,
    NothingTorn,
    OneRunner,
    NotRepeated,
    StartRecorded,
    OutcomeBeforeMove,
    ReportedStays,
    ChargedOnce,
    FieldsSurvive,
    PlaceKept,
    StagedIsRecorded,
    CleanRecovery,
    ComesToRest,
}

impl Promise {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NothingLost => "nothing is lost",
            Self::OnePlace => "one place",
            Self::NothingTorn => "nothing torn in active",
            Self::OneRunner => "one runner",
            Self::NotRepeated => "what ended is not run again",
            Self::StartRecorded => "a start is recorded before it happens",
            Self::OutcomeBeforeMove => "outcome before move",
            Self::ReportedStays => "what was told stays",
            Self::ChargedOnce => "a crash is charged once",
            Self::FieldsSurvive => "foreign fields survive",
            Self::PlaceKept => "the place in the queue is kept",
            Self::StagedIsRecorded => "what is staged is recorded",
            Self::CleanRecovery => "a recovery leaves nothing behind",
            Self::ComesToRest => "every task is filed",
        }
    }
}

macro_rules! always {
    ($($promise:ident),* $(,)?) => {
        vec![$(Property::<Town>::always(Promise::$promise.name(), |_, state| {
            state.broken != Some(Promise::$promise)
        })),*]
    };
}

/// All of them, as the checker asks them.
pub(crate) fn properties() -> Vec<Property<Town>> {
    let mut all = always![
        NothingLost,
        OnePlace,
        NothingTorn,
        OneRunner,
        NotRepeated,
        StartRecorded,
        OutcomeBeforeMove,
        ReportedStays,
        ChargedOnce,
        FieldsSurvive,
        PlaceKept,
        StagedIsRecorded,
        CleanRecovery,
    ];
    all.push(Property::eventually(Promise::ComesToRest.name(), |_, state: &State| is_all_filed(state)));
    // Of an eventually the checker looks at one way into a state; this is asked of every state in which nothing more
    // happens by itself.
    all.push(Property::always("at rest every task is filed", |town: &Town, state| {
        !town.is_at_rest(state) || is_all_filed(state)
    }));
    all
}

/// A home of a marked task.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) mark: char,
    pub(crate) path: PathId,
    pub(crate) nth: usize,
    pub(crate) place: Place,
    pub(crate) text: Text,
    number: Option<u8>,
}

/// Every task file of the state directories that bears a mark.
pub(crate) fn homes(disk: &Disk) -> impl Iterator<Item = Home> + '_ {
    disk.files().filter_map(|(path, text)| {
        let (nth, place, _) = intern::home(path)?;
        let mark = intern::facts(text).mark?;
        Some(Home { mark, path, nth: *nth, place: *place, text, number: disk.number(path) })
    })
}

fn hold(holds: bool, promise: Promise) -> Result<(), Promise> {
    if holds { Ok(()) } else { Err(promise) }
}

fn is_queue(place: Place) -> bool {
    Place::QUEUES.contains(&place)
}

fn is_terminal(place: Place) -> bool {
    Place::TERMINAL.contains(&place)
}

/// What holds at every instant.
pub(crate) fn always(state: &mut State) {
    if state.broken.is_none() {
        state.broken = look(state).err();
    }
}

fn look(state: &State) -> Result<(), Promise> {
    let homes: Vec<Home> = homes(&state.disk).collect();
    for dropped in &state.dropped {
        let own: Vec<&Home> = homes.iter().filter(|it| it.mark == dropped.mark).collect();
        hold(!own.is_empty() || !dropped.is_held, Promise::NothingLost)?;
        one_place(state, &own)?;
        let stays = |path| state.disk.text(path).and_then(|it| intern::facts(it).mark) == Some(dropped.mark);
        hold(dropped.reported.is_none_or(stays), Promise::ReportedStays)?;
    }
    for (path, text) in state.disk.files() {
        let is_active = intern::home(path).is_some_and(|it| it.1 == Place::Active);
        hold(!is_active || task_of(text).is_some() || state.is_scribbled, Promise::NothingTorn)?;
    }
    if state.is_ramped {
        what_is_staged_is_recorded(state, &homes)?;
    }
    homes.iter().filter(|it| is_terminal(it.place)).try_for_each(|home| filed(state, home))
}

/// Of several homes each two may show together: a task that was filed and begun again before a disk that keeps half a rename
/// had heard of either has three.
fn one_place(state: &State, homes: &[&Home]) -> Result<(), Promise> {
    for (n, one) in homes.iter().enumerate() {
        homes[n + 1..].iter().try_for_each(|two| hold(may_both_show(state, one, two), Promise::OnePlace))?;
    }
    Ok(())
}

fn may_both_show(state: &State, one: &Home, two: &Home) -> bool {
    let is_one_file = one.number == two.number;
    let may_be = |first: fn(Place) -> bool, second: fn(Place) -> bool| {
        (first(one.place) && second(two.place)) || (first(two.place) && second(one.place))
    };
    let is_active = |place| place == Place::Active;
    let are_of_a_move = may_be(is_terminal, is_active)
        || may_be(is_active, is_queue)
        || (is_one_file && (may_be(is_queue, is_queue) || may_be(is_terminal, is_queue)));
    let is_after_a_cut = state.lost_power[one.nth] || state.lost_power[two.nth];
    are_of_a_move && is_after_a_cut
}

fn what_is_staged_is_recorded(state: &State, homes: &[Home]) -> Result<(), Promise> {
    let resume = state.disk.text(intern::path(&layout().resume(&worker(0))));
    let record = resume.and_then(|it| Record::parse(intern::bytes(it)));
    hold(resume.is_none() || record.is_some(), Promise::StagedIsRecorded)?;
    let is_named = |home: &Home| {
        let file = intern::path_of(home.path).file_name();
        record.iter().flat_map(Record::open).any(|it| file.is_some_and(|name| name == it.file.as_str()))
    };
    let is_stray = |home: &Home| home.place == Place::Staged && !is_named(home);
    hold(!homes.iter().any(is_stray), Promise::StagedIsRecorded)
}

fn json(state: &State, path: &Path) -> Option<serde_json::Value> {
    let text = state.disk.text(intern::path(path))?;
    serde_json::from_slice(intern::bytes(text)).ok()
}

/// What an outcome speaks of is there, and whole; and it counts what it must.
fn filed(state: &State, home: &Home) -> Result<(), Promise> {
    let file = &intern::home(home.path).ok_or(Promise::OutcomeBeforeMove)?.2;
    let reason = || json(state, &layout().reason(&worker(home.nth), file)).is_some();
    hold(home.place != Place::Failed || reason(), Promise::OutcomeBeforeMove)?;
    // Of what was rejected nothing else is known.
    let Some(task) = task_of(home.text) else { return Ok(()) };
    let (Some(run), Some(outcome)) = (task.record.run_id, task.record.outcome()) else {
        return Err(Promise::OutcomeBeforeMove);
    };
    hold(outcome.state.terminal_place() == Some(home.place), Promise::OutcomeBeforeMove)?;
    let result = json(state, &layout().run(&run).result());
    hold(result.is_some_and(|it| it["state"] == outcome.state.as_str()), Promise::OutcomeBeforeMove)?;
    if outcome.state == TaskState::Completed {
        let answer = state.disk.text(intern::path(&layout().run(&run).output())).map(intern::bytes);
        hold(answer == Some(ANSWER.as_bytes()), Promise::OutcomeBeforeMove)?;
    }
    let text = String::from_utf8_lossy(intern::bytes(home.text));
    hold(text.contains("[1.50,{ }]"), Promise::FieldsSurvive)?;
    hold(charges(state, task), Promise::ChargedOnce)
}

fn charges(state: &State, task: &TaskFile) -> bool {
    let attempts = &task.record.attempts;
    let run = task.record.run_id;
    let is_charged_right = attempts.iter().enumerate().all(|(index, attempt)| {
        let charged = matches!(
            attempt.outcome,
            Some(AttemptOutcome::Crashed | AttemptOutcome::Failed | AttemptOutcome::TimedOut)
        );
        let crashed = run.is_some_and(|run| state.crashed.contains(&(run, attempt.number)));
        attempt.number as usize == index + 1
            && attempt.outcome.is_some()
            && attempt.charged == charged
            && (attempt.charged || !crashed)
    });
    let count = task.record.retry_count.unwrap_or(0) as usize;
    is_charged_right && count == attempts.iter().filter(|it| it.charged).count()
}

/// Before an agent is started.
pub(crate) fn before_start(state: &mut State, nth: usize, work: &Work, mark: char) {
    let lives = state.agents.iter().any(|it| it.lives && it.mark == mark);
    let was_started = state.agent(work.key).is_some();
    let has_ended = state.dropped.iter().any(|it| it.mark == mark && it.finished);
    let active = intern::path(&layout().task(&worker(nth), Place::Active, &work.file));
    let is_recorded = state.disk.durable_files().any(|(path, text)| {
        let open = task_of(text).and_then(|it| Some((it.record.run_id?, it.record.open_attempt()?.number)));
        path == active && open == Some(work.key)
    });
    let is_ours = state.disk.durable_files().any(|(path, text)| {
        intern::path_of(path) == layout().run(&work.key.0).input()
            && serde_json::from_slice::<serde_json::Value>(intern::bytes(text)).is_ok()
    });
    let checks = [
        (!lives, Promise::OneRunner),
        (!has_ended && !was_started, Promise::NotRepeated),
        (is_recorded && is_ours, Promise::StartRecorded),
    ];
    let broken = checks.into_iter().find(|it| !it.0).map(|it| it.1);
    state.broken = state.broken.or(broken);
}

/// When a recovery of a worker has come to its end.
pub(crate) fn after_recovery(state: &mut State, nth: usize, living: &[FileName]) {
    let mut active = homes(&state.disk).filter(|it| it.place == Place::Active && it.nth == nth);
    // Its agent may have come to its end since it was looked at.
    let is_adopted = |home: &Home| {
        intern::home(home.path).is_some_and(|it| living.contains(&it.2))
            && state.agents.iter().any(|it| it.mark == home.mark)
    };
    let stray = active.any(|it| !is_adopted(&it));
    let is_temp = |path: PathId| {
        let (path, worker) = (intern::path_of(path), worker(nth));
        let places = std::iter::once(Place::Active).chain(Place::TERMINAL);
        path.extension().is_some_and(|it| it == "tmp")
            && places.map(|it| layout().place(&worker, it)).any(|dir| path.parent() == Some(&*dir))
    };
    let temp = state.disk.files().any(|it| is_temp(it.0));
    if stray || temp {
        state.broken = state.broken.or(Some(Promise::CleanRecovery));
    }
}

/// A task that is chosen has the age that it was dropped with.
pub(crate) fn kept_its_age(state: &mut State, path: PathId) {
    let mark = state.disk.text(path).and_then(|it| intern::facts(it).mark);
    let mtime = state.disk.identity(path).map(|it| it.mtime_ns);
    let is_another = |it: &Dropped| Some(it.mark) == mark && Ok(it.mtime) != mtime;
    if state.dropped.iter().any(is_another) {
        state.broken = state.broken.or(Some(Promise::PlaceKept));
    }
}

/// From here on, what is filed stays.
pub(crate) fn report(state: &mut State, nth: usize) {
    let filed: Vec<Home> = homes(&state.disk).filter(|it| it.nth == nth && is_terminal(it.place)).collect();
    for home in filed {
        if let Some(dropped) = state.drop_mut(home.mark) {
            (dropped.reported, dropped.finished) = (Some(home.path), true);
        }
    }
}

/// What ended begins a new life.
pub(crate) fn renew(state: &mut State, path: PathId) {
    let Some(mark) = state.disk.text(path).and_then(|it| intern::facts(it).mark) else { return };
    let mtime = state.disk.identity(path).map_or(0, |it| it.mtime_ns);
    let run = state.disk.text(path).and_then(task_of).and_then(|it| it.record.run_id);
    if let Some(dropped) = state.drop_mut(mark) {
        (dropped.reported, dropped.finished, dropped.mtime) = (None, false, mtime);
        dropped.renewed = run;
    }
    state.agents.retain(|it| it.mark != mark);
}

fn is_all_filed(state: &State) -> bool {
    let is_filed = |mark: char| {
        let mut own = homes(&state.disk).filter(|it| it.mark == mark);
        own.next().is_some_and(|it| is_terminal(it.place)) && own.next().is_none()
    };
    let done = |mark: char| homes(&state.disk).any(|it| it.mark == mark && it.place == Place::Completed);
    let is_paid = |it: &super::state::Agent| !(it.heard && it.ending.is_done()) || done(it.mark);
    let waits = |path: PathId| intern::home(path).is_some_and(|it| !is_terminal(it.1));
    state.dropped.iter().all(|it| is_filed(it.mark))
        && state.agents.iter().all(is_paid)
        && !state.disk.files().any(|it| waits(it.0))
        && state.disk.text(intern::path(&layout().resume(&worker(0)))).is_none()
}
