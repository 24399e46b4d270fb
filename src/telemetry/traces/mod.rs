//! Traces: spans as plain values on their way to a collector.
//!
//! | module | what it is for |
//! |---|---|
//! | [`span`] | a span, and the context that reaches other programs (pure) |
//! | [`target`] | where traces go, from what was set (pure) |
//! | [`settings`] | everything else that was set (pure) |
//! | [`sampler`] | which traces are recorded (pure) |
//! | `export` | the thread that sends, and the only one that knows OpenTelemetry; with the feature `otlp` only |
//!
//! Invariants:
//! - handing over a span never waits: the queue is bounded, and what does not fit is counted and said;
//! - a collector that is down, slow or talks garbage costs spans and one line in the log, never work;
//! - without a word about traces there is no thread and no span;
//! - a variable of the specification is heard, or it is said that it is not.
//!
//! It deliberately does not know what is worth a span.

#[cfg(feature = "otlp")]
mod export;
pub mod sampler;
pub mod settings;
pub mod span;
pub mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::Environment;
use sampler::Sampler;
use settings::Pace;
use span::{Context, Span};
use target::{Said, Target};

/// How long the last spans may take at the end of the program.
const FAREWELL: Duration = Duration::from_secs(2);

/// Who sends: the resource that the spans belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `service.instance.id`: the worker, or `supervisor`.
    pub instance: String,
    /// `host.name`.
    pub host: Option<String>,
    /// What was set: it wins over what we say ourselves.
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
    sampler: Sampler,
    is_alone: bool,
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
        let names = env.vars().filter_map(|(name, _)| name.to_str());
        let settings = settings::settings(&variable, names);
        let sender = Sender {
            instance: instance.to_owned(),
            host: crate::os::holder::hostname(),
            resource: settings.resource,
        };
        for complaint in &settings.complaints {
            say(complaint);
        }
        let (traces, guard) = begin(&target, (&sender, settings.pace), say);
        (Self { sampler: settings.sampler, is_alone: !settings.carries, ..traces }, guard)
    }

    /// Whether a context is neither taken from others nor handed on.
    pub const fn are_alone(&self) -> bool {
        self.is_alone
    }

    /// `context` with the decision whether it is recorded.
    #[must_use]
    pub fn decide(&self, context: Context, parent: Option<Context>) -> Context {
        self.sampler.decide(context, parent)
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
fn begin(target: &Target, (sender, pace): (&Sender, Pace), say: Say) -> (Traces, TracesGuard) {
    let (mail, inbox) = mpsc::channel(pace.waiting);
    let lost = Arc::new(AtomicU64::new(0));
    match export::start(target, (sender, pace), say, inbox, Arc::clone(&lost)) {
        Ok(done) => {
            let outlet = Some(Arc::new(Outlet { mail, lost }));
            (Traces { outlet: outlet.clone(), ..Traces::default() }, TracesGuard { outlet, done: Some(done) })
        }
        Err(why) => {
            why.tell();
            Default::default()
        }
    }
}

#[cfg(not(feature = "otlp"))]
#[expect(clippy::needless_pass_by_value, reason = "the other build keeps it")]
fn begin(target: &Target, _: (&Sender, Pace), say: Say) -> (Traces, TracesGuard) {
    say(&format!(
        "no traces are sent to {}: this program was built without them; build it with `cargo build --release \
         --features otlp`, or unset OTEL_TRACES_EXPORTER",
        target.shown()
    ));
    Default::default()
}
