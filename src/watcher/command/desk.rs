//! Commands about tasks: one after the other, since each moves files that the next may mean.
//!
//! Invariants:
//! - while something is done to a task that waits, the core takes it for one at work: nobody else takes it;
//! - how many wait has a bound; one too many is told to come again.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::attend::{Answer, Order};
use super::super::core::{Event, Whereabouts, name_of};
use super::super::effects::Told;
use super::super::herald::Asker;
use super::super::shell::Looping;
use super::acts::{self, Act, Clerk};
use crate::clock::Ticks;
use crate::config::Exit;
use crate::pipe::reply::Reply;
use crate::pipe::words::{Op, Request};
use crate::spool::Examined;
use crate::task::text::shown;
use crate::task::{FileName, Place};

/// How many commands wait.
const WAITING_MAX: usize = 1000;
/// How long a task may be on its way before it is said that nothing can be done to it now.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// Where a task was found that the core does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::watcher) enum Found {
    /// It waits: it came just now.
    Waiting(Place, FileName),
    /// It has ended.
    Ended(Place, FileName),
    /// Nowhere.
    Nowhere,
}

/// A command about a task.
#[derive(Debug)]
pub(in crate::watcher) struct Errand {
    request: Request,
    asker: Asker,
    since: Ticks,
    found: Option<Found>,
}

/// Those that wait.
#[derive(Debug, Default)]
pub(in crate::watcher) struct Desk {
    waiting: VecDeque<Errand>,
    is_busy: bool,
}

impl Looping {
    /// Takes a command about a task.
    pub(in crate::watcher) fn take(&mut self, request: Request, asker: Asker) {
        if self.desk.waiting.len() >= WAITING_MAX {
            return asker.answer(
                Reply::refused(Exit::TryAgain.code(), "too many commands wait already")
                    .hinting("ask again in a moment"),
            );
        }
        let since = self.ctx.clock.ticks();
        self.desk.waiting.push_back(Errand { request, asker, since, found: None });
        self.serve();
    }

    /// The last one is done.
    pub(in crate::watcher) fn on_served(&mut self) {
        self.desk.is_busy = false;
        self.serve();
    }

    /// A task was looked for.
    pub(in crate::watcher) fn on_found(&mut self, mut errand: Errand, found: Found) {
        errand.found = Some(found);
        self.desk.waiting.push_front(errand);
        self.on_served();
    }

    /// Goes on with those that wait, as far as that is possible now.
    pub(in crate::watcher) fn serve(&mut self) {
        while !self.desk.is_busy
            && let Some(errand) = self.desk.waiting.pop_front()
        {
            if let Some(errand) = self.attend(errand) {
                self.desk.waiting.push_front(errand);
                return;
            }
        }
    }

    /// Carries one out, or begins to; one that has to wait comes back.
    fn attend(&mut self, errand: Errand) -> Option<Errand> {
        if errand.request.op == Op::Submit {
            self.begin(Act::Submit, errand);
            return None;
        }
        let called = errand.request.task.clone().unwrap_or_default();
        let worker = &self.ctx.config.worker;
        let Some(name) = name_of(worker, &called) else {
            let why = format!("`{}` is not a task of {worker}", shown(&called, 150));
            errand
                .asker
                .answer(Reply::refused(Exit::Data.code(), why).hinting("ask that worker, on its own pipe"));
            return None;
        };
        match (self.core.whereabouts(name), errand.found.clone()) {
            (Whereabouts::Running(file), _) => self.on_running(&file, errand),
            (Whereabouts::OnItsWay(file), _) => return self.not_yet(&file, errand),
            (Whereabouts::Waiting(place, file), _)
            | (Whereabouts::Elsewhere, Some(Found::Waiting(place, file))) => {
                if self.core.is_live(&file) {
                    return self.not_yet(&file, errand);
                }
                self.on_waiting(place, file, errand);
            }
            (Whereabouts::Elsewhere, Some(Found::Ended(place, file))) => self.on_ended(place, file, errand),
            (Whereabouts::Elsewhere, Some(Found::Nowhere)) => {
                let why = format!("there is no task `{}` here", shown(&called, 150));
                errand.asker.answer(
                    Reply::refused(Exit::Data.code(), why)
                        .hinting("agentctl list shows those that there are"),
                );
            }
            (Whereabouts::Elsewhere, None) => {
                self.desk.is_busy = true;
                let name = name.to_owned();
                self.errands.go(move |spool| {
                    let found = acts::look_for(spool, &name);
                    vec![Told::Found(Box::new(errand), found)]
                });
            }
        }
        None
    }

    fn not_yet(&self, file: &FileName, errand: Errand) -> Option<Errand> {
        if self.ctx.clock.ticks().since(errand.since) < ON_ITS_WAY {
            return Some(errand);
        }
        let why = format!("`{file}` is on its way, into work or out of it");
        errand.asker.answer(Reply::refused(Exit::TryAgain.code(), why).hinting("ask again in a moment"));
        None
    }

    fn on_running(&self, file: &FileName, errand: Errand) {
        let Errand { request, asker, .. } = errand;
        let (op, text) = (request.op, request.text);
        if ![Op::Cancel, Op::Tell, Op::Interrupt].contains(&op) {
            return asker.answer(busy(op));
        }
        let answer = Answer::to(request.by, move |reply| asker.answer(reply));
        let order = if op == Op::Cancel {
            Order::Cancel { reason: request.reason, answer }
        } else if op == Op::Tell {
            Order::Tell { text: text.unwrap_or_default(), answer }
        } else {
            Order::Interrupt { text, answer }
        };
        self.tell_run(file, order);
    }

    fn on_waiting(&mut self, place: Place, file: FileName, errand: Errand) {
        let head = self.core.queue().get(place, &file);
        let is_held = head.map(|it| it.is_held);
        let waits = head.map(|it| it.special().not_before.is_some());
        match act_on_waiting(errand.request.op, (place, file), is_held, waits) {
            Ok(act) => self.begin(act, errand),
            Err(reply) => errand.asker.answer(*reply),
        }
    }

    fn on_ended(&mut self, place: Place, file: FileName, errand: Errand) {
        let is_well = place == Place::Completed;
        if errand.request.op == Op::Retry && !is_well {
            return self.begin(Act::Renew(place, file), errand);
        }
        let hint = if is_well { "its answer: agentctl show TASK" } else { "`retry` begins a new life of it" };
        errand.asker.answer(impossible(&format!("it has ended: it lies in {place}/")).hinting(hint));
    }

    fn begin(&mut self, act: Act, errand: Errand) {
        self.desk.is_busy = true;
        let taken = act.takes().map(|(place, file)| (place, file.clone()));
        if let Some((place, file)) = taken.clone() {
            // What is known of it is of no use afterwards.
            self.on_event(Event::Recovering { file: file.clone() });
            self.on_event(Event::Looked(vec![((place, file), Examined::Gone)]));
        }
        let clerk = Clerk::new(&self.ctx);
        self.errands.go(move |spool| {
            let Errand { request, asker, .. } = errand;
            let (reply, seen) = clerk.perform(spool, &act, &request);
            asker.answer(reply);
            // First it is nobody's any more, or what was seen of it since would not count.
            let free = taken.map(|(_, file)| Told::Core(Event::NotClaimed { file }));
            free.into_iter().chain(seen).chain([Told::Served]).collect()
        });
    }
}

fn impossible(why: &str) -> Reply {
    Reply::refused(Exit::Unavailable.code(), why)
}

/// What can be done to a task that waits; what is not known of it is looked at by whoever does it.
fn act_on_waiting(
    op: Op,
    (place, file): (Place, FileName),
    is_held: Option<bool>,
    waits: Option<bool>,
) -> Result<Act, Box<Reply>> {
    let refused = |why: &str| Err(Box::new(impossible(why)));
    if op == Op::Cancel {
        Ok(Act::Cancel(place, file))
    } else if op == Op::Hold {
        Ok(Act::Hold(place, file))
    } else if op == Op::Release {
        if is_held == Some(false) { refused("it is not held") } else { Ok(Act::Release(place, file)) }
    } else if op == Op::Retry {
        if waits == Some(false) {
            refused("it waits for its turn, and for nothing else")
        } else {
            Ok(Act::TryNow(place, file))
        }
    } else {
        refused("it waits: there is no agent that could hear; say it when it runs")
    }
}

/// Why nothing is done to a task that is being worked on.
fn busy(op: Op) -> Reply {
    if op == Op::Hold {
        impossible("it is being worked on").hinting("`interrupt TASK` ends that, and holds it")
    } else if op == Op::Retry {
        impossible("it is being worked on").hinting("`cancel` it first")
    } else {
        impossible("it is being worked on, and not held")
    }
}
