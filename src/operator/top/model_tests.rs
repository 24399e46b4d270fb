//! What follows from a key, table by table.

use super::super::fixtures::{scene, task, worker};
use super::super::order::Sort;
use super::*;
use crate::task::{Place, TaskState};

fn model() -> Model {
    Model::new(scene())
}

/// A model after some actions, and the last wish.
fn after(actions: &[Action]) -> (Model, Option<Wish>) {
    let mut model = model();
    let wish = actions.iter().fold(None, |_, action| model.take(*action));
    (model, wish)
}

fn typed(text: &str) -> Vec<Action> {
    text.chars().map(Action::Type).collect()
}

#[test]
fn keys_move_within_a_list_and_between_lists() {
    use Action::{First, Last, Move, NextPane, Page, PreviousPane};
    for (actions, pane, subject) in [
        (&[][..], Pane::Running, "marie/report"),
        (&[Move(1)], Pane::Running, "marie/invoices"),
        (&[Move(1), Move(1), Move(1)], Pane::Running, "marie/invoices"),
        (&[Move(-1)], Pane::Running, "marie/report"),
        (&[Last, First], Pane::Running, "marie/report"),
        (&[Page(1)], Pane::Running, "marie/invoices"),
        (&[NextPane], Pane::Waiting, "marie/slides"),
        (&[NextPane, Last], Pane::Waiting, "inbox/anyone"),
        (&[NextPane, NextPane], Pane::Failed, "marie/endless"),
        (&[PreviousPane], Pane::Workers, "anga"),
        (&[NextPane, NextPane, NextPane, Move(2)], Pane::Workers, "marie"),
    ] {
        let (model, wish) = after(actions);
        assert_eq!((model.pane, model.subject().as_deref()), (pane, Some(subject)), "{actions:?}");
        assert_eq!(wish, None, "{actions:?}");
    }
}

#[test]
fn what_is_selected_stays_selected_while_it_is_there() {
    let mut model = model();
    model.take(Action::Move(1));
    let mut later = scene();
    later.running.insert(0, task("anga", "new", Place::Active, TaskState::Running));
    model.see(later);
    assert_eq!(model.subject().as_deref(), Some("marie/invoices"), "it moved a row down");
    model.see(Scene { running: scene().running[..1].to_vec(), ..scene() });
    assert_eq!(model.subject().as_deref(), Some("marie/report"), "it ended, and its neighbour is selected");
    model.see(Scene { running: Vec::new(), ..scene() });
    assert_eq!(model.subject(), None);
    model.see(scene());
    assert!(model.subject().is_some());
}

#[test]
fn a_command_is_about_what_is_selected() {
    use Action::{Accept, Cancel, Interrupt, Move, NextPane, Pause, PreviousPane, Retry, Tell};
    let marie = || "marie".parse().unwrap();
    let report = || "marie/report".to_owned();
    let with = |before: &[Action], text: &str| {
        let mut actions = before.to_vec();
        actions.extend(typed(text));
        actions.push(Accept);
        actions
    };
    for (actions, deed) in [
        (vec![Pause], Deed::Pause(marie())),
        (vec![PreviousPane, Pause], Deed::Pause("anga".parse().unwrap())),
        (vec![PreviousPane, Move(1), Pause], Deed::Resume("fabien".parse().unwrap())),
        (vec![Cancel, Accept], Deed::Cancel(report())),
        (vec![NextPane, Cancel, Accept], Deed::Cancel("marie/slides".to_owned())),
        (vec![NextPane, Retry], Deed::Retry("marie/slides".to_owned())),
        (vec![NextPane, NextPane, Retry], Deed::Retry("marie/endless".to_owned())),
        (with(&[Tell], "use French"), Deed::Tell(report(), "use French".to_owned())),
        (with(&[Interrupt], "stop"), Deed::Interrupt(report(), Some("stop".to_owned()))),
        (with(&[Interrupt], ""), Deed::Interrupt(report(), None)),
    ] {
        assert_eq!(after(&actions).1, Some(Wish::Do(deed)), "{actions:?}");
    }
}

#[test]
fn nothing_is_done_without_a_yes_or_to_what_cannot_hear() {
    use Action::{Accept, Back, Cancel, Erase, Interrupt, NextPane, PreviousPane, Retry, Tell, Type};
    for actions in [
        &[Cancel][..],
        &[Cancel, Back],
        &[Tell, Accept],
        &[Tell, Type('x'), Erase, Accept],
        &[Tell, Type('x'), Back],
        &[Interrupt, Back],
        &[Retry],
        &[NextPane, Tell],
        &[NextPane, NextPane, Cancel],
        &[NextPane, NextPane, Interrupt],
        &[PreviousPane, Cancel],
    ] {
        let (model, wish) = after(actions);
        assert_eq!(wish, None, "{actions:?}");
        assert!(model.mode != Mode::Browse || model.notice.is_some(), "{actions:?}: silence");
    }
}

#[test]
fn a_deed_names_what_was_selected_when_the_key_was_pressed() {
    let mut model = model();
    model.take(Action::Cancel);
    model.see(Scene { running: scene().running[1..].to_vec(), ..scene() });
    assert_eq!(model.take(Action::Accept), Some(Wish::Do(Deed::Cancel("marie/report".to_owned()))));
}

#[test]
fn a_filter_leaves_rows_with_its_text_and_goes_with_escape() {
    let mut actions = vec![Action::Filter];
    actions.extend(typed("INVOICE"));
    let (mut model, _) = after(&actions);
    let names = |model: &Model| -> Vec<String> {
        model.tasks(Pane::Running).iter().map(|task| task.name.clone()).collect()
    };
    assert_eq!(names(&model), ["invoices"]);
    assert_eq!(model.subject().as_deref(), Some("marie/invoices"));
    model.take(Action::Accept);
    assert_eq!((names(&model).len(), model.mode == Mode::Browse), (1, true));
    model.take(Action::Back);
    assert_eq!(names(&model), ["report", "invoices"]);
    assert_eq!(model.subject().as_deref(), Some("marie/invoices"), "what was found stays selected");
}

#[test]
fn tasks_are_sorted_by_what_one_looks_for() {
    let mut model = model();
    for (sort, reversed, first) in [
        (Sort::Time, false, "report"),
        (Sort::Name, false, "invoices"),
        (Sort::Name, true, "report"),
        (Sort::Cost, false, "report"),
        (Sort::Cost, true, "invoices"),
    ] {
        model.order = Order { by: sort, is_reversed: reversed };
        assert_eq!(model.tasks(Pane::Running)[0].name, first, "{sort:?} {reversed}");
    }
    let mut sort = Sort::Time;
    for _ in 0..6 {
        sort = sort.next();
    }
    assert_eq!(sort, Sort::Time, "the columns come round");
}

#[test]
fn a_long_text_is_moved_in_within_its_ends() {
    let mut model = model();
    model.take(Action::Open);
    (model.page, model.reach) = (10, 25);
    for (action, away) in [
        // What an agent says is read from its end.
        (Action::Move(1), 0),
        (Action::Move(-1), 1),
        (Action::Page(-1), 11),
        (Action::First, 25),
        (Action::Page(1), 15),
        (Action::Last, 0),
    ] {
        model.take(action);
        assert_eq!(model.mode, Mode::Full(away), "{action:?}");
    }
    model.take(Action::Back);
    assert_eq!(model.mode, Mode::Browse);
}

#[test]
fn the_only_worker_need_not_be_selected() {
    let mut model = Model::new(Scene { workers: vec![worker("marie")], ..Scene::default() });
    assert_eq!(model.take(Action::Pause), Some(Wish::Do(Deed::Pause("marie".parse().unwrap()))));
    let mut model = Model::new(Scene::default());
    assert_eq!(model.take(Action::Pause), None);
}
