//! What cannot be undone is asked for twice.

use std::io::{self, BufRead};

use crate::config::Exit;

use super::super::desk::Desk;
use super::super::error::OperatorError;
use super::super::report::printable;

/// Whether a person said beforehand that it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Sure {
    /// `--yes`.
    Said,
    /// They are asked.
    Ask,
}

impl From<bool> for Sure {
    fn from(yes: bool) -> Self {
        if yes { Self::Said } else { Self::Ask }
    }
}

/// Asks the person whether `what` is meant, unless they said so. Where nobody can be asked it is refused.
pub(in crate::operator) fn confirm(desk: &Desk, sure: Sure, what: &str) -> Result<(), OperatorError> {
    if sure == Sure::Said {
        return Ok(());
    }
    let refused = |why: String, hint: &str, exit| {
        Err(OperatorError::NotPossible { why, hint: Some(hint.to_owned()), exit })
    };
    if !desk.env.terminals().stdin {
        let why = format!("this cannot be undone, and there is no terminal to ask at: {what}");
        return refused(why, "--yes, if it is meant", Exit::Usage);
    }
    desk.report.talk(&printable(&format!("{what}\nIs that meant? [y/N]")));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(OperatorError::io("read", "stdin".as_ref()))?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    refused("nothing was done".to_owned(), "answer `y`, or say --yes", Exit::TryAgain)
}
