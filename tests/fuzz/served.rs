//! The HTTP face on loopback, and requests that nobody meant.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, LazyLock};

use agent_worker::clock::{Clock, SystemClock};
use agent_worker::telemetry::face::{Face, FaceSource, Hosts};
use agent_worker::telemetry::health::Snapshot;
use agent_worker::telemetry::metrics::Metrics;

use super::http;

struct Healthy(Metrics);

impl FaceSource for Healthy {
    fn metrics(&self) -> String {
        self.0.render()
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::healthy(SystemClock.wall())
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({ "worker": "marie" })
    }
}

static FACE: LazyLock<Face> = LazyLock::new(|| {
    let source = Arc::new(Healthy(Metrics::new("0.0.0").expect("metrics")));
    Face::start(SocketAddr::from(([127, 0, 0, 1], 0)), Hosts::default(), source).expect("a face")
});

/// It is answered, or cut off; and the next one is served.
pub(crate) fn request(bytes: &[u8]) {
    let addr = FACE.addr();
    let mut stream = http::connect(addr);
    // Whoever is cut off cannot write any more.
    stream.write_all(bytes).ok();
    stream.shutdown(Shutdown::Write).ok();
    let answer = http::rest(stream);
    let is_known = answer.is_empty() || ["HTTP/1.1 ", "HTTP/1.0 "].iter().any(|it| answer.starts_with(it));
    assert!(is_known, "{answer:?}");
    assert!(!answer.starts_with("HTTP/1.1 5"), "{answer:?}");
    assert_eq!(http::code(&http::get(addr, "/health")), "200");
}
