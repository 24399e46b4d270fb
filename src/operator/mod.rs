//! The verbs of `agentctl`, one a file, and how things read to a person.

pub mod report;

pub use report::Report;
