//! Colours: the sixteen of the terminal's own, so that they fit a light and a dark one; without them what is loud is
//! bold, and what is selected is turned over.

use ratatui::style::{Color, Modifier, Style};

use super::super::super::report::Tone;

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Paint {
    /// They are.
    Coloured,
    /// They are not (`NO_COLOR`).
    Plain,
}

impl Paint {
    /// How a text of this tone looks.
    pub(super) fn tone(self, tone: Tone) -> Style {
        let coloured = |colour: Color| match self {
            Self::Coloured => Style::new().fg(colour),
            Self::Plain => Style::new(),
        };
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => coloured(Color::Green),
            Tone::Warn => coloured(Color::Yellow),
            Tone::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Faint => Style::new().add_modifier(Modifier::DIM),
            Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
        }
    }

    /// The row that the keys are about.
    pub(super) fn selected(self) -> Style {
        self.block(Color::Cyan)
    }

    /// The heading of the list that has the keys.
    pub(super) fn heading(self) -> Style {
        self.block(Color::Green)
    }

    /// What a key does, at the foot.
    pub(super) fn label(self) -> Style {
        self.block(Color::Cyan)
    }

    /// A question, at the foot.
    pub(super) fn question(self) -> Style {
        self.block(Color::Yellow)
    }

    fn block(self, colour: Color) -> Style {
        match self {
            Self::Coloured => Style::new().fg(Color::Black).bg(colour),
            Self::Plain => Style::new().add_modifier(Modifier::REVERSED),
        }
    }
}
