//! Which key means what, by what the screen is waiting for. Pure.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the screen waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ear {
    /// A command.
    Browse,
    /// A line of text.
    Line,
    /// Yes or no.
    Question,
    /// To move in one long text, or to leave it.
    Full,
    /// Any key.
    Help,
}

/// What a person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// To leave the program.
    Quit,
    /// To stop it as the shell does (`fg` goes on).
    Suspend,
    /// To have the screen drawn anew.
    Redraw,
    /// To see the keys.
    Help,
    /// So many rows down; up where negative.
    Move(isize),
    /// So many pages down.
    Page(isize),
    /// The first row.
    First,
    /// The last one.
    Last,
    /// The next list.
    NextPane,
    /// The one before.
    PreviousPane,
    /// To show only what has a text in it.
    Filter,
    /// By the next column.
    Sort,
    /// The other way round.
    Reverse,
    /// To pause the worker, or to let it go on.
    Pause,
    /// To end a task.
    Cancel,
    /// To say something to an agent.
    Tell,
    /// To interrupt it.
    Interrupt,
    /// To try a task again.
    Retry,
    /// To see all of it.
    Open,
    /// Back to where one was.
    Back,
    /// One more character.
    Type(char),
    /// One less.
    Erase,
    /// None any more.
    EraseAll,
    /// Yes; the line is whole.
    Accept,
}

/// What `key` means; `None`: nothing.
pub(super) fn action(ear: Ear, key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    found(&ALWAYS, key).or_else(|| match ear {
        Ear::Browse => found(&MOVES, key).or_else(|| found(&COMMANDS, key)),
        Ear::Line => line(key),
        Ear::Question if found(&YES, key).is_some() => Some(Action::Accept),
        Ear::Help if key.code == KeyCode::F(10) => Some(Action::Quit),
        Ear::Question | Ear::Help => Some(Action::Back),
        Ear::Full => found(&FULL, key).or_else(|| found(&MOVES, key)),
    })
}

/// A key, with Ctrl or without.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stroke {
    Plain(KeyCode),
    Control(char),
}

use Stroke::{Control, Plain};

const fn letter(letter: char) -> Stroke {
    Plain(KeyCode::Char(letter))
}

const ALWAYS: [(Stroke, Action); 3] =
    [(Control('c'), Action::Quit), (Control('z'), Action::Suspend), (Control('l'), Action::Redraw)];

const MOVES: [(Stroke, Action); 16] = [
    (Plain(KeyCode::Up), Action::Move(-1)),
    (letter('k'), Action::Move(-1)),
    (Control('p'), Action::Move(-1)),
    (Plain(KeyCode::Down), Action::Move(1)),
    (letter('j'), Action::Move(1)),
    (Control('n'), Action::Move(1)),
    (Plain(KeyCode::PageUp), Action::Page(-1)),
    (Control('b'), Action::Page(-1)),
    (Control('u'), Action::Page(-1)),
    (Plain(KeyCode::PageDown), Action::Page(1)),
    (Control('f'), Action::Page(1)),
    (Control('d'), Action::Page(1)),
    (Plain(KeyCode::Home), Action::First),
    (letter('g'), Action::First),
    (Plain(KeyCode::End), Action::Last),
    (letter('G'), Action::Last),
];

const COMMANDS: [(Stroke, Action); 24] = [
    (letter('q'), Action::Quit),
    (Plain(KeyCode::F(10)), Action::Quit),
    (letter('?'), Action::Help),
    (letter('h'), Action::Help),
    (Plain(KeyCode::F(1)), Action::Help),
    (letter('/'), Action::Filter),
    (Plain(KeyCode::F(4)), Action::Filter),
    (letter('s'), Action::Sort),
    (Plain(KeyCode::F(6)), Action::Sort),
    (letter('S'), Action::Reverse),
    (letter('I'), Action::Reverse),
    (letter('p'), Action::Pause),
    (letter('c'), Action::Cancel),
    (Plain(KeyCode::F(9)), Action::Cancel),
    (letter('t'), Action::Tell),
    (letter('i'), Action::Interrupt),
    (letter('r'), Action::Retry),
    (Plain(KeyCode::Tab), Action::NextPane),
    (Plain(KeyCode::Right), Action::NextPane),
    (Plain(KeyCode::BackTab), Action::PreviousPane),
    (Plain(KeyCode::Left), Action::PreviousPane),
    (Plain(KeyCode::Enter), Action::Open),
    (Plain(KeyCode::Esc), Action::Back),
    (Plain(KeyCode::Backspace), Action::Back),
];

const FULL: [(Stroke, Action); 5] = [
    (Plain(KeyCode::F(10)), Action::Quit),
    (Plain(KeyCode::Esc), Action::Back),
    (Plain(KeyCode::Enter), Action::Back),
    (letter('q'), Action::Back),
    (letter(' '), Action::Page(1)),
];

const LINE: [(Stroke, Action); 5] = [
    (Plain(KeyCode::Enter), Action::Accept),
    (Plain(KeyCode::Esc), Action::Back),
    (Plain(KeyCode::Backspace), Action::Erase),
    (Control('u'), Action::EraseAll),
    (Control('w'), Action::EraseAll),
];

const YES: [(Stroke, Action); 2] = [(letter('y'), Action::Accept), (letter('Y'), Action::Accept)];

fn found(table: &[(Stroke, Action)], key: KeyEvent) -> Option<Action> {
    let pressed = stroke(key);
    table.iter().find(|(stroke, _)| Some(*stroke) == pressed).map(|(_, action)| *action)
}

fn line(key: KeyEvent) -> Option<Action> {
    found(&LINE, key).or_else(|| match stroke(key) {
        Some(Plain(KeyCode::Char(letter))) => Some(Action::Type(letter)),
        _ => None,
    })
}

/// Keys with Alt mean nothing, and what Ctrl makes of keys without a letter is the terminal's own.
fn stroke(key: KeyEvent) -> Option<Stroke> {
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    if let (KeyCode::Char(letter), true) = (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        return Some(Control(letter));
    }
    Some(Plain(key.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn control(letter: char) -> KeyEvent {
        KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)
    }

    #[test]
    fn keys_mean_what_they_mean_in_htop() {
        for (pressed, expected) in [
            (key(KeyCode::Down), Some(Action::Move(1))),
            (key(KeyCode::Char('k')), Some(Action::Move(-1))),
            (key(KeyCode::PageDown), Some(Action::Page(1))),
            (key(KeyCode::End), Some(Action::Last)),
            (key(KeyCode::Tab), Some(Action::NextPane)),
            (key(KeyCode::BackTab), Some(Action::PreviousPane)),
            (key(KeyCode::F(1)), Some(Action::Help)),
            (key(KeyCode::Char('?')), Some(Action::Help)),
            (key(KeyCode::Char('/')), Some(Action::Filter)),
            (key(KeyCode::F(6)), Some(Action::Sort)),
            (key(KeyCode::F(10)), Some(Action::Quit)),
            (key(KeyCode::Char('q')), Some(Action::Quit)),
            (key(KeyCode::Enter), Some(Action::Open)),
            (key(KeyCode::Char('p')), Some(Action::Pause)),
            (key(KeyCode::Char('c')), Some(Action::Cancel)),
            (key(KeyCode::Char('t')), Some(Action::Tell)),
            (key(KeyCode::Char('i')), Some(Action::Interrupt)),
            (key(KeyCode::Char('r')), Some(Action::Retry)),
            (key(KeyCode::Char('y')), None),
            (control('p'), Some(Action::Move(-1))),
            // A slip of the finger on Ctrl does not cancel, retry or interrupt.
            (control('r'), None),
            (control('i'), None),
            (control('t'), None),
        ] {
            assert_eq!(action(Ear::Browse, pressed), expected, "{pressed:?}");
        }
    }

    #[test]
    fn in_a_line_letters_are_letters() {
        for (pressed, expected) in [
            (key(KeyCode::Char('q')), Some(Action::Type('q'))),
            (key(KeyCode::Char('漢')), Some(Action::Type('漢'))),
            (key(KeyCode::Backspace), Some(Action::Erase)),
            (control('u'), Some(Action::EraseAll)),
            (key(KeyCode::Enter), Some(Action::Accept)),
            (key(KeyCode::Esc), Some(Action::Back)),
            (key(KeyCode::Up), None),
        ] {
            assert_eq!(action(Ear::Line, pressed), expected, "{pressed:?}");
        }
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for (pressed, expected) in [
            (KeyCode::Char('y'), Action::Accept),
            (KeyCode::Char('Y'), Action::Accept),
            (KeyCode::Enter, Action::Back),
            (KeyCode::Char('c'), Action::Back),
            (KeyCode::Esc, Action::Back),
        ] {
            assert_eq!(action(Ear::Question, key(pressed)), Some(expected), "{pressed:?}");
        }
    }

    #[test]
    fn one_can_always_leave() {
        for ear in [Ear::Browse, Ear::Line, Ear::Question, Ear::Full, Ear::Help] {
            assert_eq!(action(ear, control('c')), Some(Action::Quit), "{ear:?}");
            assert_eq!(action(ear, control('z')), Some(Action::Suspend), "{ear:?}");
        }
        for ear in [Ear::Line, Ear::Question, Ear::Full, Ear::Help] {
            assert_eq!(action(ear, key(KeyCode::Esc)), Some(Action::Back), "{ear:?}");
        }
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(action(Ear::Browse, released), None);
    }
}
