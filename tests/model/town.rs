//! The model: two watchers, a supervisor, a leader, an operator, agents and people who drop files, step by step in any
//! order, and killed or cut off from power between any two steps.
//!
//! What acts for a worker goes from one change of the disk to the next; what it reads in between it reads at once. Every
//! step is the program's own ([`super::unfold`]); what is written here is who may begin what, and when.
//!
//! It deliberately does not know what must hold: that is [`super::promises`].

#![expect(clippy::fn_params_excessive_bools, reason = "a table of facts, each true or not")]

use agent_worker::spool::Step;
use agent_worker::task::{FileName, Place, TaskFile};
use stateright::{Model, Property};

use super::disk::Disk;
use super::intern::{self, PathId, Text, layout, worker};
use super::operations::{Done, Ending, Op, Verb};
use super::promises::{self, Promise};
use super::scenarios::{Act, Scenario};
use super::state::{Agent, Budget, Key, State, Watcher, Work};
use super::unfold::{Answer, Next, Point, Request, Unfolded};

/// So many runs of one task are begun only by what goes round for ever.
const RUNS: u8 = 15;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Watcher(usize),
    Other,
    Leader,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Happens {
    Start(usize),
    Step(Who),
    Take(usize, PathId),
    Spawn(usize, Ending),
    End(usize),
    AgentSays(Key),
    AgentGoes(Key),
    Sweep(usize),
    Lead,
    Late,
    Rewrite(PathId),
    Act(Act, PathId),
    StopLead,
    // What nobody wants.
    Kill(Who),
    KillAgent(Key),
    PowerCut { view: usize, keeps: bool },
}

/// A scenario, and the program as it is or with one step changed.
#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) scenario: Scenario,
    pub(crate) unfolded: Unfolded,
}

impl Town {
    fn fresh(state: &State, nth: usize) -> u8 {
        u8::try_from(nth).unwrap_or(0) * 16 + state.runs[nth]
    }

    fn begin(&self, state: &mut State, who: Who, nth: usize, verb: Verb) {
        let index = match who {
            Who::Watcher(nth) => u8::try_from(nth).unwrap_or(0),
            Who::Other => 2,
            Who::Leader => 3,
        };
        let op = Op { worker: nth, verb, fresh: Self::fresh(state, nth), life: state.deaths * 4 + index };
        let point = self.unfolded.begin(&op, &|request| state.answer(request));
        if who == Who::Other {
            state.other = Some((nth, point));
        }
        self.go_on(state, who, nth, point);
    }

    /// Waits for its turn to change something, or is done.
    fn go_on(&self, state: &mut State, who: Who, nth: usize, point: Point) {
        match self.unfolded.next(point) {
            Next::Asks(_) => state.put_point(who, Some(point)),
            Next::Ended(done) => {
                state.put_point(who, None);
                self.ended(state, who, nth, (&self.unfolded.op(point).verb, &done));
            }
        }
    }

    fn step(&self, state: &mut State, who: Who) {
        let Some(point) = state.point(who) else { return };
        let Next::Asks(Request::Perform(step)) = self.unfolded.next(point) else { return };
        let nth = self.unfolded.op(point).worker;
        let done = state.disk.perform(&step);
        if let (Step::MakeDir(_), Ok(())) = (&step, done) {
            state.runs[nth] += 1;
            if state.runs[nth] == RUNS {
                state.broken = Some(Promise::ComesToRest);
            }
        }
        if done.is_ok() {
            state.tried.clear();
        }
        let point = self.unfolded.told(point, Answer::Performed(done), &|request| state.answer(request));
        self.go_on(state, who, nth, point);
    }

    fn ended(&self, state: &mut State, who: Who, nth: usize, (verb, done): (&Verb, &Done)) {
        if let (Verb::Recover, Done::Recovered(living)) = (verb, done) {
            state.lost_power[nth] = false;
            promises::after_recovery(state, nth, living);
        }
        if matches!(done, Done::Recovered(_) | Done::Ended) {
            promises::report(state, nth);
        }
        match who {
            Who::Leader => {}
            Who::Other if *verb == Verb::Recover && self.scenario.is_handed_on => {
                self.begin(state, who, nth, Verb::HandOn);
            }
            Who::Other => state.other = None,
            Who::Watcher(_) => self.watcher_ended(state, nth, done),
        }
    }

    fn watcher_ended(&self, state: &mut State, nth: usize, done: &Done) {
        match done {
            Done::Nothing => {}
            Done::Recovered(living) => {
                let work = |file: &FileName| {
                    let path = intern::path(&layout().task(&worker(nth), Place::Active, file));
                    let task = state.disk.text(path)?;
                    let record = &intern::facts(task).task.as_ref()?.record;
                    let key = (record.run_id?, record.attempts.last()?.number);
                    Some(Work { file: file.clone(), task, key, is_started: true })
                };
                let works = living.iter().filter_map(work).collect();
                state.watchers[nth].works = works;
            }
            Done::Leased(file, task, key) => {
                let is_started = state.agent(*key).is_some();
                let work = Work { file: file.clone(), task: *task, key: *key, is_started };
                state.watchers[nth].works = vec![work];
            }
            Done::Open(file) => {
                self.begin(state, Who::Watcher(nth), nth, Verb::TakeUp(file.clone()));
            }
            Done::Ended | Done::LaidBy => {
                if *done == Done::LaidBy {
                    state.agents.iter_mut().for_each(|it| it.laid_by |= it.owes());
                }
                state.watchers[nth].works.clear();
            }
            Done::Refused => {
                state.watchers[nth].works.clear();
                self.begin(state, Who::Watcher(nth), nth, Verb::Recover);
            }
        }
    }

    fn spawn(&self, state: &mut State, nth: usize, ending: Ending) {
        let Some(work) = state.watchers[nth].works.first_mut() else { return };
        work.is_started = true;
        let work = work.clone();
        let Some(mark) = intern::facts(work.task).mark else { return };
        promises::before_start(state, nth, &work, mark);
        state.agents.push(Agent {
            key: work.key,
            mark,
            ending,
            lives: true,
            heard: false,
            settled: false,
            laid_by: false,
        });
        state.agents.sort_unstable_by_key(|it| it.key);
        if let Some(dropped) = state.drop_mut(mark) {
            dropped.is_held = true;
        }
        self.begin(state, Who::Watcher(nth), nth, Verb::Update(work.file, work.task));
    }

    fn end(&self, state: &mut State, nth: usize) {
        let Some(work) = state.watchers[nth].works.first().cloned() else { return };
        let Some(agent) = state.agent_mut(work.key) else { return };
        let ending = agent.ending;
        let verb = if agent.owes() && ending == Ending::LaidBy && !agent.laid_by {
            Verb::LayBy(work.file, work.task)
        } else {
            agent.settled |= agent.owes();
            let is_known = agent.heard || matches!(ending, Ending::Stopped | Ending::Cancelled);
            Verb::End(work.file, work.task, if is_known { ending } else { Ending::Crash })
        };
        self.begin(state, Who::Watcher(nth), nth, verb);
    }

    fn act(&self, state: &mut State, act: Act, path: PathId) {
        state.budget.acts -= 1;
        let Some((nth, _, _)) = intern::home(path) else { return };
        let verb = match act {
            Act::Cancel => Verb::Cancel(path),
            Act::Amend => Verb::Amend(path),
            Act::Renew => {
                promises::renew(state, path);
                Verb::Renew(path)
            }
        };
        let who = if state.watchers[*nth].is_up { Who::Watcher(*nth) } else { Who::Other };
        self.begin(state, who, *nth, verb);
    }

    fn cut_power(state: &mut State, view: usize, keeps: bool) {
        let mut views = state.disk.power_cuts();
        state.disk = views.swap_remove(view);
        state.watchers = <[Watcher; 2]>::default();
        (state.other, state.leader) = (None, None);
        (state.lost_power, state.budget.powers) = ([true; 2], state.budget.powers - 1);
        state.deaths += 1;
        state.tried.clear();
        for agent in &mut state.agents {
            agent.lives = false;
            let dir = intern::path(layout().run(&agent.key.0).dir());
            agent.heard &= keeps && state.disk.has_folder(dir);
        }
        let there: Vec<char> = promises::homes(&state.disk).map(|it| it.mark).collect();
        state.dropped.retain(|it| it.is_held || there.contains(&it.mark));
        for dropped in &mut state.dropped {
            dropped.finished = dropped.reported.is_some();
        }
        state.note_crashes();
    }
}

impl Model for Town {
    type State = State;
    type Action = Happens;

    fn init_states(&self) -> Vec<State> {
        let Scenario { kills, powers, sweeps, acts, .. } = self.scenario;
        let budget = Budget { kills, powers, sweeps, acts: u8::from(acts.is_some()) };
        let mut state = State {
            disk: Disk::of(self.scenario.is_journal),
            watchers: <[Watcher; 2]>::default(),
            other: None,
            leader: None,
            agents: Vec::new(),
            dropped: Vec::new(),
            crashed: Vec::new(),
            budget,
            runs: [0; 2],
            deaths: 0,
            tried: Vec::new(),
            lost_power: [false; 2],
            is_ramped: false,
            is_late: false,
            is_scribbled: false,
            broken: None,
        };
        self.scenario.begin(&mut state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Happens>) {
        if state.broken.is_some() {
            return;
        }
        self.wanted(state, actions);
        self.unwanted(state, actions);
    }

    fn next_state(&self, last: &State, happens: Happens) -> Option<State> {
        let mut state = last.clone();
        match happens {
            Happens::Start(nth) => {
                state.watchers[nth].is_up = true;
                state.tried.clear();
                self.begin(&mut state, Who::Watcher(nth), nth, Verb::Recover);
            }
            Happens::Step(who) => self.step(&mut state, who),
            Happens::Take(nth, path) => {
                promises::kept_its_age(&mut state, path);
                state.tried.push((u8::try_from(nth).unwrap_or(0), path));
                state.tried.sort_unstable();
                self.begin(&mut state, Who::Watcher(nth), nth, Verb::Take(path));
            }
            Happens::Spawn(nth, ending) => self.spawn(&mut state, nth, ending),
            Happens::End(nth) => self.end(&mut state, nth),
            Happens::AgentSays(key) => state.agent_mut(key)?.heard = true,
            Happens::AgentGoes(key) | Happens::KillAgent(key) => {
                state.agent_mut(key)?.lives = false;
                state.tried.clear();
                if matches!(happens, Happens::KillAgent(_)) {
                    state.budget.kills -= 1;
                    state.agent_mut(key)?.ending = Ending::Crash;
                }
                if state.agent(key)?.ending == Ending::Crash {
                    state.note_crashes();
                }
            }
            Happens::Sweep(nth) => {
                state.budget.sweeps -= 1;
                self.begin(&mut state, Who::Other, nth, Verb::Recover);
            }
            Happens::Lead => {
                state.is_ramped = true;
                state.tried.push((3, intern::path(&layout().resume(&worker(0)))));
                self.begin(&mut state, Who::Leader, 0, Verb::Lead);
            }
            Happens::StopLead => {
                state.budget.acts -= 1;
                self.begin(&mut state, Who::Leader, 0, Verb::StopLead);
            }
            Happens::Late => self.scenario.come_late(&mut state),
            Happens::Rewrite(path) => Scenario::rewrite(&mut state, path),
            Happens::Act(act, path) => self.act(&mut state, act, path),
            Happens::Kill(who) => {
                state.budget.kills -= 1;
                state.kill(who);
            }
            Happens::PowerCut { view, keeps } => Self::cut_power(&mut state, view, keeps),
        }
        state.note_ends();
        promises::always(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::properties()
    }
}

impl Town {
    /// The next change of the disk that somebody makes, in words.
    pub(crate) fn next_step(&self, state: &State, who: Who) -> String {
        match state.point(who).map(|point| self.unfolded.next(point)) {
            Some(Next::Asks(Request::Perform(step))) => step.to_string(),
            _ => "nothing".to_owned(),
        }
    }

    /// What happens by itself, sooner or later.
    pub(crate) fn wanted(&self, state: &State, actions: &mut Vec<Happens>) {
        for nth in 0..self.scenario.watchers {
            let watcher = &state.watchers[nth];
            if !watcher.is_up {
                if !state.is_locked(nth) {
                    actions.push(Happens::Start(nth));
                }
            } else if watcher.at.is_some() {
                actions.push(Happens::Step(Who::Watcher(nth)));
            } else if let Some(work) = watcher.works.first() {
                let agent = state.agent(work.key);
                if !work.is_started {
                    self.scenario.endings(work.task).for_each(|it| {
                        actions.push(Happens::Spawn(nth, it));
                    });
                } else if agent.is_none_or(|it| !it.lives) {
                    actions.push(Happens::End(nth));
                }
            } else {
                let is_new = |it: &PathId| !state.tried.contains(&(u8::try_from(nth).unwrap_or(0), *it));
                actions.extend(state.queued(nth).filter(is_new).map(|it| Happens::Take(nth, it)));
            }
        }
        if state.other.is_some() {
            actions.push(Happens::Step(Who::Other));
        }
        self.leading(state, actions);
        for agent in state.agents.iter().filter(|it| it.lives) {
            let is_silent = agent.ending.is_heard() && !agent.heard;
            let what = if is_silent { Happens::AgentSays } else { Happens::AgentGoes };
            actions.push(what(agent.key));
        }
    }

    fn leading(&self, state: &State, actions: &mut Vec<Happens>) {
        let resume = intern::path(&layout().resume(&worker(0)));
        let goes_on = state.disk.text(resume).is_some();
        if state.leader.is_some() {
            actions.push(Happens::Step(Who::Leader));
        } else if self.scenario.is_led && (goes_on || !state.is_ramped) && !state.tried.contains(&(3, resume))
        {
            actions.push(Happens::Lead);
        }
    }

    fn unwanted(&self, state: &State, actions: &mut Vec<Happens>) {
        let budget = state.budget;
        if budget.kills > 0 {
            let up = (0..2).filter(|nth| state.watchers[*nth].is_up).map(Who::Watcher);
            actions.extend(up.map(Happens::Kill));
            actions.extend(state.other.map(|_| Happens::Kill(Who::Other)));
            actions.extend(state.leader.map(|_| Happens::Kill(Who::Leader)));
            let silent = state.agents.iter().filter(|it| it.lives && !it.heard);
            actions.extend(silent.map(|it| Happens::KillAgent(it.key)));
        }
        if budget.powers > 0 {
            let keeps: &[bool] =
                if state.agents.iter().any(|it| it.heard) { &[true, false] } else { &[true] };
            let views = 0..state.disk.power_cuts().len();
            actions.extend(
                views.flat_map(|view| {
                    keeps.iter().map(move |keeps| Happens::PowerCut { view, keeps: *keeps })
                }),
            );
        }
        for nth in 0..2 {
            if budget.sweeps > 0 && !state.is_locked(nth) && state.other.is_none() {
                actions.push(Happens::Sweep(nth));
            }
        }
        if self.scenario.late.is_some() && !state.is_late {
            actions.push(Happens::Late);
        }
        // While a second home of the task is about to be removed, what somebody writes into that goes with it.
        if self.scenario.is_rewritten && !state.is_scribbled && !state.lost_power[0] {
            let queued = state.disk.files().map(|it| it.0).filter(|path| is_in_queue(*path));
            actions.extend(queued.map(Happens::Rewrite));
        }
        self.acts(state, actions);
    }

    fn acts(&self, state: &State, actions: &mut Vec<Happens>) {
        let Some(act) = self.scenario.acts.filter(|_| state.budget.acts > 0) else { return };
        for (path, _) in state.disk.files() {
            let Some((nth, place, _)) = intern::home(path) else { continue };
            let watcher = &state.watchers[*nth];
            let is_free = watcher.is_up && watcher.at.is_none()
                || !watcher.is_up
                    && state.other.is_none()
                    && !state.is_locked(*nth)
                    // What is known of this: docs/adr/0031.
                    && !state.lost_power[*nth];
            let is_meant = match act {
                Act::Cancel | Act::Amend => Place::QUEUES.contains(place),
                Act::Renew => Place::TERMINAL.contains(place),
            };
            if is_free && is_meant {
                actions.push(Happens::Act(act, path));
            }
        }
        if self.scenario.is_led && state.leader.is_none() && state.is_ramped {
            actions.push(Happens::StopLead);
        }
    }

    /// Whether nothing happens any more by itself.
    pub(crate) fn is_at_rest(&self, state: &State) -> bool {
        let is_busy = state.watchers.iter().any(|it| it.at.is_some() || !it.works.is_empty());
        if is_busy || state.broken.is_some() {
            return false;
        }
        let mut actions = Vec::new();
        self.wanted(state, &mut actions);
        actions.is_empty()
    }
}

fn is_in_queue(path: PathId) -> bool {
    intern::home(path).is_some_and(|(_, place, _)| Place::QUEUES.contains(place))
}

/// What a task says, as far as it is one.
pub(crate) fn task_of(text: Text) -> Option<&'static TaskFile> {
    intern::facts(text).task.as_ref()
}
