//! The HTTP face: `/metrics`, `/health…` and `/api/status`, on a thread of its own.
//!
//! Invariants:
//! - it only reads, and only what [`FaceSource`] has ready: a stuck work loop is reported, not waited for;
//! - a connection is for one request: its head has 5 s in all and 8 KiB, a body is never read, an answer that nobody
//!   reads waits 5 s, and after half a minute it ends in any case;
//! - at most 64 connections are open, and never more than an eighth of the descriptors that this process may have, since
//!   the work needs some too; a new one takes the place of the oldest, so that half-open ones keep nobody out;
//! - a page about tasks is shown under names that are ours only, and to no script of another page;
//! - no request, however it is formed, ends the thread, and errors of `accept(2)` are met: by closing the oldest connection, else by waiting;
//! - a port that is taken is an error of [`Face::start`], which says who may have it; the work goes on without.
//!
//! | module | what it is for |
//! |---|---|
//! | `routes` | from a method and a path to an answer (pure) |
//! | `hosts` | under which names the pages about tasks are shown (pure) |
//! | `slots` | which connection has to go (pure) |
//! | `patience` | a deadline on writes |
//! | `serve` | the thread: accept, HTTP, deadlines |
//! | `holder` | who listens on a port, as far as `/proc` tells |
//!
//! It deliberately changes nothing: commands come through pipes. Why hyper: `docs/adr/0002`.

pub mod holder;
mod hosts;
mod patience;
mod routes;
mod serve;
mod slots;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::health::Snapshot;
pub use hosts::Hosts;

/// Where the face gets its answers. Each call must return at once: no disk, no lock that the work loop holds long.
pub trait FaceSource: Send + Sync {
    /// The text of `/metrics`.
    fn metrics(&self) -> String;
    /// What the health answers are made from.
    fn snapshot(&self) -> Snapshot;
    /// The JSON of `/api/status`.
    fn status(&self) -> serde_json::Value;
}

/// What is shown, and under which names.
struct Shown {
    hosts: Hosts,
    source: Arc<dyn FaceSource>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    /// Somebody else has the port.
    #[error("could not serve on {addr}: the port is taken{}", held_by(.holder.as_deref()))]
    InUse {
        /// The address that was wanted.
        addr: SocketAddr,
        /// Who may have it, as far as it can be seen: a program and its pid.
        holder: Option<String>,
        /// What the kernel said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("could not serve on {addr}")]
    Bind {
        /// The address that was wanted.
        addr: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The thread or its runtime could not be made.
    #[error("could not start the thread that serves {addr}")]
    Thread {
        /// The address that was wanted.
        addr: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

fn held_by(holder: Option<&str>) -> String {
    holder.map_or_else(String::new, |who| format!(", perhaps by {who}"))
}

/// The face while it serves. Dropping it ends the thread and frees the port.
#[must_use = "dropping it ends the serving"]
#[derive(Debug)]
pub struct Face {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Face {
    /// Listens on `addr` (port 0: any free one) and serves from a thread of its own.
    pub fn start(addr: SocketAddr, hosts: Hosts, source: Arc<dyn FaceSource>) -> Result<Self, FaceError> {
        let shown = Shown { hosts, source };
        let (stop, stopped) = oneshot::channel();
        let (ready, bound) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("face".to_owned())
            .spawn(move || serve::run(addr, shown, &ready, stopped))
            .map_err(|source| FaceError::Thread { addr, source })?;
        let bound = bound.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)));
        match bound {
            Ok(addr) => Ok(Self { addr, stop: Some(stop), thread: Some(thread) }),
            Err(source) => Err(refused(addr, source)),
        }
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends the serving; the port is free afterwards.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Face {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // A thread that has already ended needs no word.
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn refused(addr: SocketAddr, source: io::Error) -> FaceError {
    if source.kind() == io::ErrorKind::AddrInUse {
        FaceError::InUse { addr, holder: holder::of_port(addr.port()), source }
    } else {
        FaceError::Bind { addr, source }
    }
}
