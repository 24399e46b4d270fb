//! Text that others wrote: what may be shown of it, and what may be kept. Pure.
//!
//! | module | what it is for |
//! |---|---|
//! | [`escape`] | nothing in a text steers a terminal or poses as another line |
//! | [`redact`] | secrets are taken out before a text is written into a record of ours |
//!
//! It deliberately does not know who wrote a text or where it goes.

pub mod escape;
pub mod redact;
