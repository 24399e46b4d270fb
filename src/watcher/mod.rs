//! To come.
pub mod core;
pub mod hold;
