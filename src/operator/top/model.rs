//! What is shown, and what follows from a key. Pure: a scene and an action make the next model, and a wish if something
//! is to be done outside.
//!
//! Invariants:
//! - what was selected stays selected while it is there, wherever it moves; when it goes, its neighbour is;
//! - a deed names what was selected when the key was pressed, and not what has taken its row since.

use super::acts::{Deed, Said};
use super::keys::{Action, Ear};
use super::order::{self, Order};
use super::scene::{Scene, Task, Worker};

/// The lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    /// The workers.
    Workers,
    /// The tasks at work.
    Running,
    /// Those that wait.
    Waiting,
    /// Those that failed.
    Failed,
}

impl Pane {
    /// Every list, in the order in which Tab goes through them.
    pub(super) const ALL: [Self; 4] = [Self::Workers, Self::Running, Self::Waiting, Self::Failed];

    fn beside(self, step: usize) -> Self {
        let at = Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0);
        Self::ALL[(at + step) % Self::ALL.len()]
    }
}

/// For what a line of text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LineFor {
    /// To find rows.
    Filter,
    /// For an agent.
    Tell(String),
    /// For an agent that is interrupted.
    Interrupt(String),
}

/// What the screen waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A command.
    Browse,
    /// A line of text, as far as it is typed.
    Line(LineFor, String),
    /// A yes.
    Confirm(Deed),
    /// To be left: one text on the whole screen, so many rows away from where it begins: the end of what an agent
    /// says, else the beginning.
    Full(usize),
    /// To be left: the keys.
    Help,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To end.
    Quit,
    /// To stop as the shell does.
    Suspend,
    /// To draw everything anew.
    Redraw,
    /// To do something to a worker or a task.
    Do(Deed),
}

/// Where the selection stands in a list.
#[derive(Clone, Debug, Default)]
struct Spot {
    name: Option<String>,
    at: usize,
}

/// The screen as a value.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// What there is.
    pub(super) scene: Scene,
    /// The list that the keys move in.
    pub(super) pane: Pane,
    /// The list of tasks that is shown.
    pub(super) tab: Pane,
    /// In which order tasks are.
    pub(super) order: Order,
    /// Only rows with this text.
    pub(super) filter: String,
    /// What the screen waits for.
    pub(super) mode: Mode,
    /// How the last deed went, or what is under way.
    pub(super) notice: Option<Said>,
    /// How many rows a page has.
    pub(super) page: usize,
    /// How far the text on the whole screen can be moved.
    pub(super) reach: usize,
    spots: [Spot; 4],
}

impl Model {
    /// The screen at the start.
    pub(super) fn new(scene: Scene) -> Self {
        let mut model = Self {
            scene: Scene::default(),
            pane: Pane::Running,
            tab: Pane::Running,
            order: Order::default(),
            filter: String::new(),
            mode: Mode::Browse,
            notice: None,
            page: 10,
            reach: 0,
            spots: Default::default(),
        };
        model.see(scene);
        model
    }

    /// Takes what a new survey found.
    pub(super) fn see(&mut self, scene: Scene) {
        self.scene = scene;
        for pane in Pane::ALL {
            self.settle(pane);
        }
    }

    /// What the screen waits for.
    pub(super) const fn ear(&self) -> Ear {
        match self.mode {
            Mode::Browse => Ear::Browse,
            Mode::Line(..) => Ear::Line,
            Mode::Confirm(_) => Ear::Question,
            Mode::Full(_) => Ear::Full,
            Mode::Help => Ear::Help,
        }
    }

    /// The workers that are shown.
    pub(super) fn workers(&self) -> Vec<&Worker> {
        let all = self.scene.workers.iter();
        let is_filtered = self.pane == Pane::Workers && !self.filter.is_empty();
        all.filter(|it| !is_filtered || order::has(it.row.name.as_str(), &self.filter)).collect()
    }

    /// The tasks of a list as they are shown.
    pub(super) fn tasks(&self, pane: Pane) -> Vec<&Task> {
        let all = match pane {
            Pane::Workers => return Vec::new(),
            Pane::Running => &self.scene.running,
            Pane::Waiting => &self.scene.waiting,
            Pane::Failed => &self.scene.failed,
        };
        order::chosen(all, &self.filter, self.order)
    }

    /// Which row of a list is selected, if it has any.
    pub(super) fn selected(&self, pane: Pane) -> Option<usize> {
        let names = self.names(pane);
        let spot = &self.spots[pane as usize];
        let there = names.iter().position(|name| Some(*name) == spot.name.as_deref());
        names.len().checked_sub(1).map(|last| there.unwrap_or(spot.at.min(last)))
    }

    /// The task that a command is about: none while the workers have the keys.
    pub(super) fn task(&self) -> Option<&Task> {
        self.tasks(self.pane).get(self.selected(self.pane)?).copied()
    }

    /// The worker that a command is about: the selected one, or that of the selected task.
    pub(super) fn worker(&self) -> Option<&Worker> {
        if self.pane == Pane::Workers {
            return self.workers().get(self.selected(Pane::Workers)?).copied();
        }
        let name = &self.task()?.worker;
        self.scene.workers.iter().find(|it| it.row.name.as_str() == name)
    }

    /// What the lower part of the screen tells of.
    pub(super) fn subject(&self) -> Option<String> {
        match self.pane {
            Pane::Workers => self.worker().map(|it| it.row.name.as_str().to_owned()),
            Pane::Running | Pane::Waiting | Pane::Failed => self.task().map(|it| it.full_name.clone()),
        }
    }

    /// Takes an action.
    pub(super) fn take(&mut self, action: Action) -> Option<Wish> {
        self.notice = None;
        match action {
            Action::Quit => return Some(Wish::Quit),
            Action::Suspend => return Some(Wish::Suspend),
            Action::Redraw => return Some(Wish::Redraw),
            Action::Accept => return self.accept(),
            Action::Pause => return self.pause(),
            Action::Retry => return self.retry(),
            Action::Cancel => self.cancel(),
            Action::Tell => self.speak(LineFor::Tell),
            Action::Interrupt => self.speak(LineFor::Interrupt),
            Action::Back => self.back(),
            Action::Type(letter) => self.edit(|text| text.push(letter)),
            Action::Erase => self.edit(|text| text.truncate(before_last(text))),
            Action::EraseAll => self.edit(String::clear),
            Action::Move(_) | Action::Page(_) | Action::First | Action::Last => self.go(action),
            Action::Help => self.mode = Mode::Help,
            Action::NextPane => self.turn_to(self.pane.beside(1)),
            Action::PreviousPane => self.turn_to(self.pane.beside(3)),
            Action::Filter => self.mode = Mode::Line(LineFor::Filter, self.filter.clone()),
            Action::Sort => self.order.by = self.order.by.next(),
            Action::Reverse => self.order.is_reversed = !self.order.is_reversed,
            Action::Open if self.subject().is_some() => self.mode = Mode::Full(0),
            Action::Open => {}
        }
        None
    }

    /// Notes how a deed went.
    pub(super) fn hear(&mut self, said: Said) {
        self.notice = Some(said);
    }

    fn back(&mut self) {
        match std::mem::replace(&mut self.mode, Mode::Browse) {
            Mode::Browse | Mode::Line(LineFor::Filter, _) => self.set_filter(String::new()),
            Mode::Confirm(_) | Mode::Line(..) => self.hear(Said::refused("nothing was done")),
            Mode::Full(_) | Mode::Help => {}
        }
    }

    fn accept(&mut self) -> Option<Wish> {
        match std::mem::replace(&mut self.mode, Mode::Browse) {
            Mode::Confirm(deed) => Some(Wish::Do(deed)),
            Mode::Line(LineFor::Tell(_), text) if text.trim().is_empty() => {
                self.hear(Said::refused("nothing was said"));
                None
            }
            Mode::Line(LineFor::Tell(task), text) => Some(Wish::Do(Deed::Tell(task, text))),
            Mode::Line(LineFor::Interrupt(task), text) => {
                let text = Some(text).filter(|text| !text.trim().is_empty());
                Some(Wish::Do(Deed::Interrupt(task, text)))
            }
            Mode::Line(LineFor::Filter, _) | Mode::Browse | Mode::Full(_) | Mode::Help => None,
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut String)) {
        let Mode::Line(what, text) = &mut self.mode else { return };
        change(text);
        if *what == LineFor::Filter {
            let filter = text.clone();
            self.set_filter(filter);
        }
    }

    fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        for pane in Pane::ALL {
            self.settle(pane);
        }
    }

    fn turn_to(&mut self, pane: Pane) {
        self.pane = pane;
        if pane != Pane::Workers {
            self.tab = pane;
        }
        self.settle(pane);
    }

    fn pause(&self) -> Option<Wish> {
        let row = &self.worker().or_else(|| self.only_worker())?.row;
        let name = row.name.clone();
        Some(Wish::Do(if row.is_paused { Deed::Resume(name) } else { Deed::Pause(name) }))
    }

    fn cancel(&mut self) {
        let Some(task) = self.named() else { return };
        if self.pane == Pane::Failed {
            self.hear(Said::refused(format!("{task} has ended already: r tries it again")));
        } else {
            self.mode = Mode::Confirm(Deed::Cancel(task));
        }
    }

    fn retry(&mut self) -> Option<Wish> {
        let task = self.named()?;
        if self.pane == Pane::Running {
            self.hear(Said::refused(format!("{task} is at work")));
            return None;
        }
        Some(Wish::Do(Deed::Retry(task)))
    }

    fn speak(&mut self, what: impl FnOnce(String) -> LineFor) {
        let Some(task) = self.named() else { return };
        if self.pane == Pane::Running {
            self.mode = Mode::Line(what(task), String::new());
        } else {
            self.hear(Said::refused(format!("{task} is not at work: nobody would hear it")));
        }
    }

    /// The name of the task that a command is about; without one it is said.
    fn named(&mut self) -> Option<String> {
        let named = self.task().map(|task| task.full_name.clone());
        if named.is_none() {
            self.hear(Said::refused("no task is selected: Tab goes to the tasks"));
        }
        named
    }

    /// Where there is but one worker it need not be selected.
    fn only_worker(&self) -> Option<&Worker> {
        self.scene.workers.first().filter(|_| self.scene.workers.len() == 1)
    }

    fn go(&mut self, action: Action) {
        if let Mode::Full(away) = &mut self.mode {
            // What an agent says is read from its end backwards.
            let step = step(action, self.page);
            let step = if self.pane == Pane::Running { -step } else { step };
            *away = moved(*away, step, self.reach);
            return;
        }
        let pane = self.pane;
        if let (Some(at), Some(last)) = (self.selected(pane), self.names(pane).len().checked_sub(1)) {
            self.select(pane, moved(at, step(action, self.page), last));
        }
    }

    fn select(&mut self, pane: Pane, at: usize) {
        let name = self.names(pane).get(at).map(|name| (*name).to_owned());
        self.spots[pane as usize] = Spot { name, at };
    }

    /// What is selected is remembered by its name, wherever it went.
    fn settle(&mut self, pane: Pane) {
        if let Some(at) = self.selected(pane) {
            self.select(pane, at);
        }
    }

    fn names(&self, pane: Pane) -> Vec<&str> {
        if pane == Pane::Workers {
            return self.workers().iter().map(|it| it.row.name.as_str()).collect();
        }
        self.tasks(pane).iter().map(|it| it.full_name.as_str()).collect()
    }
}

/// Where the last character begins.
fn before_last(text: &str) -> usize {
    text.char_indices().last().map_or(0, |(at, _)| at)
}

/// How many rows down a move leads.
fn step(action: Action, page: usize) -> isize {
    if let Action::Move(rows) = action {
        return rows;
    }
    if let Action::Page(pages) = action {
        return pages.saturating_mul(isize::try_from(page.max(1)).unwrap_or(isize::MAX));
    }
    if action == Action::First { -isize::MAX } else { isize::MAX }
}

fn moved(at: usize, step: isize, last: usize) -> usize {
    at.min(last).saturating_add_signed(step).min(last)
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
