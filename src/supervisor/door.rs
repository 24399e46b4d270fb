//! The supervisor's own port: a predecessor or a stranger may have it, so it is tried again until it is free.

use std::net::SocketAddr;
use std::sync::Arc;

use super::face::SupervisorFace;
use crate::telemetry::face::{Face, FaceSource, Hosts};

/// Where the face is served, or is to be.
#[derive(Debug)]
pub(super) struct Door {
    addr: Option<SocketAddr>,
    hosts: Hosts,
    face: Arc<SupervisorFace>,
    served: Option<Face>,
}

impl Door {
    /// Serves `face` at `addr` where that was asked for; what there is to say if it cannot be.
    pub(super) fn open(
        (addr, hosts): (Option<SocketAddr>, Hosts),
        face: &Arc<SupervisorFace>,
    ) -> (Self, Option<String>) {
        let mut door = Self { addr, hosts, face: Arc::clone(face), served: None };
        let unserved = door.try_again().err().map(|why| {
            format!(
                "{why}: the supervisor works on without its own metrics and health, and tries again; another port: --metrics-addr"
            )
        });
        (door, unserved)
    }

    /// Where it is served.
    pub(super) fn at(&self) -> Option<SocketAddr> {
        self.served.as_ref().map(Face::addr)
    }

    /// Serves if that is wanted and not done; whether that is new.
    pub(super) fn try_again(&mut self) -> Result<bool, String> {
        let Some(addr) = self.addr.filter(|_| self.served.is_none()) else { return Ok(false) };
        let source: Arc<dyn FaceSource> = Arc::<SupervisorFace>::clone(&self.face);
        self.served = Some(Face::start(addr, self.hosts.clone(), source).map_err(|error| error.to_string())?);
        Ok(true)
    }
}
