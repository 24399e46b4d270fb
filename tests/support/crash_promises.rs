//! The promises, as sentences that a moment of the world keeps or breaks.

#![expect(clippy::fn_params_excessive_bools, reason = "a promise is a condition and its sentence")]

use std::collections::BTreeMap;
use std::path::Path;

use agent_worker::recovery::ramp::Record;
use agent_worker::task::{AttemptOutcome, Place, TaskFile, TaskState};

use super::crash_world::{ANSWER, Broken, Home, Moment, OLD, is_queue, is_terminal, layout, marie, place_of};
use super::model_disk::Moves;

/// How a moment was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cut {
    Kill,
    Power,
}

/// Says what is broken, unless it holds.
fn hold(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}

/// What holds at every cut, before anybody mends anything.
pub(crate) fn at_cut(moment: &Moment, cut: Cut) -> Result<(), Broken> {
    if !moment.is_scribbled {
        nothing_torn_in_active(moment)?;
    }
    let mut homes: BTreeMap<char, Vec<Home>> = BTreeMap::new();
    for home in moment.homes() {
        homes.entry(home.mark).or_default().push(home);
    }
    for (mark, dropped) in &moment.dropped {
        let homes = homes.get(mark).map_or(&[][..], Vec::as_slice);
        let is_there = !homes.is_empty() || (cut == Cut::Power && !dropped.is_held);
        hold(is_there, || format!("task {mark} is lost"))?;
        one_place(moment, cut, homes)?;
    }
    if moment.is_ramped {
        what_is_staged_is_recorded(moment)?;
    }
    homes.remove(&OLD);
    homes.values().flatten().try_for_each(|home| papers(moment, home))?;
    reported_stays(moment)
}

fn one_place(moment: &Moment, cut: Cut, homes: &[Home]) -> Result<(), Broken> {
    let places: Vec<_> = homes.iter().map(|home| home.path.display().to_string()).collect();
    match homes {
        [] | [_] => Ok(()),
        [one, two] => {
            let linked = moment.disk.moves == Moves::LinkAndUnlink && one.inode == two.inode;
            hold(moment.is_amid, || format!("two homes at rest: {places:?}"))?;
            hold(cut == Cut::Power || moment.lost_power || linked, || {
                format!("two homes after a kill: {places:?}")
            })?;
            // A batch moves from one queue to another.
            let ramped =
                moment.is_ramped && one.inode == two.inode && [one, two].iter().all(|it| is_queue(it.place));
            hold(linked || ramped || may_both_show(one, two), || {
                format!("two homes of this kind: {places:?}")
            })
        }
        _ => Err(format!("three homes: {places:?}")),
    }
}

/// Filed and worked, or worked and queued; filed and queued only for a drop that was rejected.
fn may_both_show(one: &Home, two: &Home) -> bool {
    let shows = |is_first: fn(Place) -> bool, is_second: fn(Place) -> bool| {
        (is_first(one.place) && is_second(two.place)) || (is_first(two.place) && is_second(one.place))
    };
    let is_active = |place| place == Place::Active;
    shows(is_terminal, is_active)
        || shows(is_active, is_queue)
        || (shows(is_terminal, is_queue) && one.inode == two.inode)
}

/// A batch is durable before the first of its tasks moves.
fn what_is_staged_is_recorded(moment: &Moment) -> Result<(), Broken> {
    let bytes = moment.disk.content(&layout().resume(&marie()));
    let record =
        bytes.map(|bytes| Record::parse(bytes).ok_or("resume.json is not whole".to_owned())).transpose()?;
    let is_named = |home: &Home| {
        let mut open = record.iter().flat_map(Record::open);
        open.any(|ticket| home.path.file_name().is_some_and(|it| it == ticket.file.as_str()))
    };
    let stray = moment.homes().into_iter().find(|home| home.place == Place::Staged && !is_named(home));
    hold(stray.is_none(), || format!("{:?} was staged, and no record names it", stray.map(|it| it.path)))
}

fn nothing_torn_in_active(moment: &Moment) -> Result<(), Broken> {
    let mut active = moment.disk.files().filter(|(path, _)| {
        place_of(path) == Some(Place::Active) && path.extension().is_some_and(|it| it == "json")
    });
    let torn = active.find(|(_, bytes)| TaskFile::parse(bytes).is_err());
    hold(torn.is_none(), || "active/ holds half a file".to_owned())
}

/// What an outcome speaks of is there before it, and whole.
fn papers(moment: &Moment, home: &Home) -> Result<(), Broken> {
    let Some(task) = &home.task else {
        return hold(home.place != Place::Failed || reason_is_whole(moment, home), || {
            format!("{} was rejected without a reason", home.path.display())
        });
    };
    let record = &task.record;
    let (Some(run), Some(outcome)) = (record.run_id, record.outcome()) else {
        return hold(!is_terminal(home.place), || format!("{} has no outcome", home.path.display()));
    };
    let paths = layout().run(&run);
    if outcome.state == TaskState::Completed {
        let answer = moment.disk.content(&paths.output());
        hold(answer == Some(ANSWER.as_bytes()), || "the answer of a completed task is not whole".to_owned())?;
    }
    if !is_terminal(home.place) {
        return Ok(());
    }
    hold(outcome.state.terminal_place() == Some(home.place), || {
        format!("{} is {}", home.path.display(), outcome.state)
    })?;
    let result = moment.disk.content(&paths.result()).unwrap_or_default();
    let result: Option<serde_json::Value> = serde_json::from_slice(result).ok();
    hold(result.is_some_and(|it| it["state"] == outcome.state.as_str()), || {
        "result.json does not repeat the outcome".to_owned()
    })?;
    hold(home.place != Place::Failed || reason_is_whole(moment, home), || "no reason in failed/".to_owned())
}

fn reason_is_whole(moment: &Moment, home: &Home) -> bool {
    let reason = moment.disk.content(&home.path.with_extension("json.reason")).unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(reason).is_ok()
}

fn reported_stays(moment: &Moment) -> Result<(), Broken> {
    let gone = moment
        .reported
        .iter()
        .find(|(mark, path)| moment.disk.content(path).and_then(super::crash_world::mark_of) != Some(**mark));
    hold(gone.is_none(), || format!("{gone:?} was reported and is not there any more"))
}

/// What holds when recovery has come to its end.
pub(crate) fn after_recovery(before: &Moment, after: &Moment) -> Result<(), Broken> {
    at_cut(after, Cut::Kill)?;
    let homes = after.homes();
    for home in before.homes().iter().filter(|home| is_terminal(home.place)) {
        hold(homes.iter().any(|it| it.path == home.path), || {
            format!("filed did not win: {} is gone", home.path.display())
        })?;
    }
    for home in homes.iter().filter(|home| home.place == Place::Active) {
        let mut agents = after.agents.values();
        let lives = agents.any(|agent| (agent.lives || agent.owes()) && agent.mark == home.mark);
        hold(lives, || format!("{} was left in active/ without an agent", home.path.display()))?;
    }
    for (key, agent) in after.agents.iter().filter(|(_, agent)| agent.lives) {
        let adopted = homes.iter().any(|home| home.place == Place::Active && home.mark == agent.mark);
        hold(adopted, || format!("the agent of {key:?} lives and was not left in active/"))?;
    }
    // A file with two names cannot be read, so its run is not known yet.
    let is_known = |home: &Home| home.place == Place::Active && before.disk.moves == Moves::Rename;
    let worked = before.homes().into_iter().filter(is_known);
    let runs: Vec<_> = worked.filter_map(|home| home.task?.record.run_id).collect();
    let is_swept = |path: &Path| {
        place_of(path).is_some() || runs.iter().any(|run| path.starts_with(layout().run(run).dir()))
    };
    let temp = after.disk.files().map(|(path, _)| path).find(|path| is_temp(path) && is_swept(path));
    hold(temp.is_none(), || format!("a temporary file was left: {temp:?}"))
}

fn is_temp(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "tmp")
}

/// What holds at the end of everything.
pub(crate) fn at_end(moment: &Moment) -> Result<(), Broken> {
    at_cut(moment, Cut::Kill)?;
    let resume = moment.disk.content(&layout().resume(&marie()));
    hold(resume.is_none(), || "a gradual resume is left at its end".to_owned())?;
    let temp = moment.disk.files().map(|(path, _)| path).find(|it| is_temp(it) && place_of(it).is_some());
    hold(temp.is_none(), || format!("a temporary file is left at the end: {temp:?}"))?;
    let homes = moment.homes();
    let waits = moment.disk.files().find(|(path, _)| place_of(path).is_some_and(|it| !is_terminal(it)));
    hold(waits.is_none(), || format!("{:?} was left behind", waits.map(|it| it.0)))?;
    for home in &homes {
        if let Some(task) = &home.task {
            charges(moment, task)?;
            let text = moment.disk.content(&home.path).unwrap_or_default();
            let text = String::from_utf8_lossy(text);
            hold(text.contains("[1.50,{ }]"), || format!("foreign fields did not survive: {text}"))?;
        }
    }
    starts(moment, &homes)?;
    let done = homes.iter().filter(|home| home.place == Place::Completed).map(|home| home.mark);
    let done: Vec<_> = done.collect();
    let owing = moment.agents.values().find(|it| it.owes());
    hold(owing.is_none(), || format!("what {owing:?} owes was never done"))?;
    let heard = moment.agents.values().filter(|it| it.heard && it.ending.is_done());
    let lost = heard.map(|it| it.mark).find(|mark| !done.contains(mark));
    hold(lost.is_none(), || format!("{lost:?} was done and is not completed"))
}

fn charges(moment: &Moment, task: &TaskFile) -> Result<(), Broken> {
    let Some(run) = task.record.run_id else { return Ok(()) };
    for (index, attempt) in task.record.attempts.iter().enumerate() {
        hold(attempt.number as usize == index + 1, || "the attempts are not numbered 1, 2, 3".to_owned())?;
        let charged = matches!(
            attempt.outcome,
            Some(AttemptOutcome::Crashed | AttemptOutcome::Failed | AttemptOutcome::TimedOut)
        );
        hold(attempt.charged == charged, || format!("wrongly charged: {attempt:?}"))?;
        let crashed = moment.crashed.contains(&(run, attempt.number));
        hold(attempt.charged || !crashed, || format!("a crash was not charged: {attempt:?}"))?;
        hold(attempt.outcome.is_some(), || format!("an attempt has no end: {attempt:?}"))?;
    }
    let charged = task.record.attempts.iter().filter(|it| it.charged).count();
    let count = task.record.retry_count.unwrap_or(0) as usize;
    hold(count == charged, || format!("retry_count is {count}, and {charged} attempts were charged"))
}

/// Every start is recorded before it happens.
fn starts(moment: &Moment, homes: &[Home]) -> Result<(), Broken> {
    let is_recorded = |run, number| {
        let mut tasks = homes.iter().filter_map(|home| home.task.as_ref());
        tasks.any(|it| it.record.run_id == Some(run) && it.record.attempts.iter().any(|a| a.number == number))
    };
    let missing = moment.agents.keys().find(|(run, number)| !is_recorded(*run, *number));
    hold(missing.is_none(), || format!("a start was not recorded: {missing:?} of {:?}", marie()))
}
