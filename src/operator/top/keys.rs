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
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match (control, key.code) {
        (true, KeyCode::Char('c')) => return Some(Action::Quit),
        (true, KeyCode::Char('z')) => return Some(Action::Suspend),
        (true, KeyCode::Char('l')) => return Some(Action::Redraw),
        _ => {}
    }
    match ear {
        Ear::Browse => browse(key.code, control),
        Ear::Line => line(key.code, control),
        Ear::Question => {
            Some(if matches!(key.code, KeyCode::Char('y' | 'Y')) { Action::Accept } else { Action::Back })
        }
        Ear::Full => full(key.code, control),
        Ear::Help => Some(if matches!(key.code, KeyCode::F(10)) { Action::Quit } else { Action::Back }),
    }
}

fn browse(code: KeyCode, control: bool) -> Option<Action> {
    moves(code, control).or_else(|| commands(code)).filter(|_| !control || is_a_move(code))
}

/// The keys that mean something together with Ctrl.
const fn is_a_move(code: KeyCode) -> bool {
    matches!(code, KeyCode::Char('d' | 'u' | 'f' | 'b' | 'n' | 'p'))
}

fn commands(code: KeyCode) -> Option<Action> {
    let letter = |letter: char| match letter {
        'q' => Some(Action::Quit),
        '?' | 'h' => Some(Action::Help),
        '/' => Some(Action::Filter),
        's' => Some(Action::Sort),
        'S' | 'I' => Some(Action::Reverse),
        'p' => Some(Action::Pause),
        'c' => Some(Action::Cancel),
        't' => Some(Action::Tell),
        'i' => Some(Action::Interrupt),
        'r' => Some(Action::Retry),
        _ => None,
    };
    if let KeyCode::Char(it) = code {
        return letter(it);
    }
    [
        (KeyCode::F(10), Action::Quit),
        (KeyCode::F(1), Action::Help),
        (KeyCode::F(4), Action::Filter),
        (KeyCode::F(6), Action::Sort),
        (KeyCode::F(9), Action::Cancel),
        (KeyCode::Tab, Action::NextPane),
        (KeyCode::Right, Action::NextPane),
        (KeyCode::BackTab, Action::PreviousPane),
        (KeyCode::Left, Action::PreviousPane),
        (KeyCode::Enter, Action::Open),
        (KeyCode::Esc, Action::Back),
    ]
    .into_iter()
    .find_map(|(it, action)| (it == code).then_some(action))
}

fn moves(code: KeyCode, control: bool) -> Option<Action> {
    Some(match (code, control) {
        (KeyCode::Up, _) | (KeyCode::Char('k'), false) | (KeyCode::Char('p'), true) => Action::Move(-1),
        (KeyCode::Down, _) | (KeyCode::Char('j'), false) | (KeyCode::Char('n'), true) => Action::Move(1),
        (KeyCode::PageUp, _) | (KeyCode::Char('b' | 'u'), true) => Action::Page(-1),
        (KeyCode::PageDown, _) | (KeyCode::Char('f' | 'd'), true) => Action::Page(1),
        (KeyCode::Home, _) | (KeyCode::Char('g'), false) => Action::First,
        (KeyCode::End, _) | (KeyCode::Char('G'), false) => Action::Last,
        _ => return None,
    })
}

fn full(code: KeyCode, control: bool) -> Option<Action> {
    match code {
        KeyCode::F(10) => Some(Action::Quit),
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => Some(Action::Back),
        KeyCode::Char(' ') => Some(Action::Page(1)),
        other => moves(other, control),
    }
}

fn line(code: KeyCode, control: bool) -> Option<Action> {
    match code {
        KeyCode::Enter => Some(Action::Accept),
        KeyCode::Esc => Some(Action::Back),
        KeyCode::Backspace => Some(Action::Erase),
        KeyCode::Char('u' | 'w') if control => Some(Action::EraseAll),
        KeyCode::Char(letter) if !control => Some(Action::Type(letter)),
        _ => None,
    }
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
