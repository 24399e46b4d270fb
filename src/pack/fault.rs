//! What is wrong in a pack file, and where.

use std::fmt;

use serde::Serialize;

use crate::text::position;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its line, from 1; 0 where it is about the file as a whole.
    pub line: usize,
    /// Its column in characters, from 1; 0 likewise.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do, or what was probably meant.
    pub hint: Option<String>,
}

impl Fault {
    /// About the file as a whole.
    pub fn of_file(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { line: 0, column: 0, what: what.into(), hint: Some(hint.into()) }
    }

    /// About what begins at byte `at` of `text`.
    pub(super) fn at(text: &str, at: usize, what: String, hint: Option<String>) -> Self {
        let (line, column) = position(text, at);
        Self { line, column, what, hint }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        f.write_str(&self.what)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}
