//! The command lines as a person sees them, on roots that are laid out by hand: what is printed, and with which
//! code each ends.

#![expect(clippy::disallowed_methods, reason = "tests lay files and start programs themselves")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod examples;
mod fields;
mod logs;
mod look;
mod root;
mod scene;
mod screens;
mod settings;
mod shells;
mod submit;
#[cfg(not(feature = "top"))]
mod top;
mod wait;
mod watch;
