//! Settings, read once, each with where it came from.

pub mod durability;

pub use durability::Durability;
