//! The gradual resume in the real world: `supervisor resume W`, and the one that a supervisor leads by itself.
//!
//! | room | what happens there |
//! |---|---|
//! | `lead` | does what [`crate::recovery::ramp`] decides |
//! | `verb` | `supervisor resume W` |
//! | `plan` | its `--dry-run`, and `--abandon` |
//! | `auto` | after a crash, and in place of a leader that died |
//! | `bar` | how far it is, on a terminal |

pub(super) mod auto;
mod bar;
mod lead;
mod plan;
pub mod verb;
