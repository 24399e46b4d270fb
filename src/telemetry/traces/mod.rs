//! Traces: spans as plain values on their way to a collector.
//!
//! | module | what it is for |
//! |---|---|
//! | [`span`] | a span, and the context that reaches other programs (pure) |
//! | [`target`] | where traces go, from what was set (pure) |
//! | `export` | the thread that sends, and the only one that knows OpenTelemetry; with the feature `otlp` only |
//!
//! Invariants:
//! - handing over a span never waits: the queue is bounded, and what does not fit is counted and said;
//! - a collector that is down, slow or talks garbage costs spans and one line in the log, never work;
//! - without a word about traces there is no thread and no span.
//!
//! It deliberately does not know what is worth a span.

#[cfg(feature = "otlp")]
mod export;
pub mod span;
pub mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::Environment;
use span::Span;
use target::{Said, Target};

/// Spans that may wait for the collector.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "the queue is made where something sends"))]
const WAITING: usize = 2048;
/// How long the last spans may take at the end of the program.
const FAREWELL: Duration = Duration::from_secs(2);

/// Who sends: the resource that the spans belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`: the worker, or `supervisor`.
    pub instance: String,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub resource: Vec<(String, String)>,
}

/// Says a line to whoever looks after this program.
pub type Say = Box<dyn Fn(&str) + Send>;

/// What is on its way to the thread that sends.
#[derive(Debug)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nothing sends"))]
enum Mail {
    Span(Box<Span>),
    End,
}

#[derive(Debug)]
struct Outlet {
    mail: mpsc::Sender<Mail>,
    lost: Arc<AtomicU64>,
}

/// Where spans are handed over; can be copied freely.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    outlet: Option<Arc<Outlet>>,
}

/// Ends the traces when it is dropped: what waits is sent, for two seconds at most.
#[derive(Debug, Default)]
#[must_use = "dropping it ends the traces"]
pub struct TracesGuard {
    outlet: Option<Arc<Outlet>>,
    done: Option<Receiver<()>>,
}

impl Traces {
    /// Nobody listens.
    pub fn off() -> Self {
        Self::default()
    }

    /// Begins to send where `exporter`, `endpoint` and the variables of the OpenTelemetry specification in `env` say.
    /// What is wrong with that is told to `say`, once, and nothing is sent then.
    pub fn start(
        exporter: Option<&str>,
        endpoint: Option<&str>,
        env: &Environment,
        instance: &str,
        say: Say,
    ) -> (Self, TracesGuard) {
        let variable = |name: &str| env.text(name).map(str::to_owned);
        let said = Said { exporter, endpoint, variable: &variable };
        let target = match target::target(&said) {
            Ok(None) => return Default::default(),
            Ok(Some(target)) => target,
            Err(why) => {
                say(&why);
                return Default::default();
            }
        };
        let sender = Sender {
            service: variable("OTEL_SERVICE_NAME").unwrap_or_else(|| "agent-worker".to_owned()),
            instance: instance.to_owned(),
            resource: target::resource(&variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default()),
        };
        begin(&target, &sender, say)
    }

    /// Whether anybody listens.
    pub const fn are_on(&self) -> bool {
        self.outlet.is_some()
    }

    /// Hands over a span, if its trace is recorded. Never waits.
    pub fn send(&self, span: Span) {
        let Some(outlet) = self.outlet.as_ref().filter(|_| span.context.sampled) else { return };
        if outlet.mail.try_send(Mail::Span(Box::new(span))).is_err() {
            outlet.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for TracesGuard {
    fn drop(&mut self) {
        let Some((outlet, done)) = self.outlet.take().zip(self.done.take()) else { return };
        // With a full queue the collector does not answer anyway.
        if outlet.mail.try_send(Mail::End).is_ok() {
            done.recv_timeout(FAREWELL).ok();
        }
    }
}

#[cfg(feature = "otlp")]
fn begin(target: &Target, sender: &Sender, say: Say) -> (Traces, TracesGuard) {
    let (mail, inbox) = mpsc::channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    match export::start(target, sender, say, inbox, Arc::clone(&lost)) {
        Ok(done) => {
            let outlet = Some(Arc::new(Outlet { mail, lost }));
            (Traces { outlet: outlet.clone() }, TracesGuard { outlet, done: Some(done) })
        }
        Err(why) => {
            why.tell();
            Default::default()
        }
    }
}

#[cfg(not(feature = "otlp"))]
#[expect(clippy::needless_pass_by_value, reason = "the other build keeps it")]
fn begin(target: &Target, _: &Sender, say: Say) -> (Traces, TracesGuard) {
    say(&format!(
        "no traces are sent to {}: this program was built without them; build it with `cargo build --release \
         --features otlp`, or unset OTEL_TRACES_EXPORTER",
        target.shown()
    ));
    Default::default()
}
