//! The thread that sends spans to a collector over OTLP. Only this file knows OpenTelemetry.
//!
//! Invariants:
//! - one batch is on its way at a time, bounded in number, and is given up after its time;
//! - that the collector cannot be reached is said when it begins and when it is over, not in between;
//! - nothing of the libraries reaches the log: at debug they would tell every frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status as OtelStatus, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::sync::mpsc;

use super::settings::Pace;
use super::span::{Context, Span, Status, Value};
use super::target::{Protocol, Target};
use super::{Mail, Say, Sender};

/// How long the last batch may take.
const LAST_PATIENCE: Duration = Duration::from_millis(1500);

/// Why nothing is sent, and whom to tell.
pub(super) struct NotStarted {
    why: String,
    say: Say,
}

impl NotStarted {
    /// Tells it.
    pub(super) fn tell(&self) {
        (self.say)(&self.why);
    }
}

/// Starts the thread; its end is told to the receiver.
pub(super) fn start(
    target: &Target,
    (sender, pace): (&Sender, Pace),
    say: Say,
    inbox: mpsc::Receiver<Mail>,
    lost: Arc<AtomicU64>,
) -> Result<Receiver<()>, NotStarted> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Err(NotStarted { why: format!("no traces are sent: {error}"), say }),
    };
    let exporter = {
        // The connection is made in the background, which belongs to this runtime.
        let _inside = runtime.enter();
        exporter(target, sender, pace.patience)
    };
    let exporter = match exporter {
        Ok(exporter) => exporter,
        Err(why) => {
            return Err(NotStarted { why: format!("no traces are sent to {}: {why}", target.shown()), say });
        }
    };
    let (finished, done) = sync_channel(1);
    let office = Office { exporter, pace, endpoint: target.shown(), say, lost, failing: false };
    // A thread that cannot be had drops what it was given, and with it the queue: spans are counted as lost.
    std::thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || {
            runtime.block_on(office.work(inbox));
            finished.send(()).ok();
        })
        .ok();
    Ok(done)
}

fn exporter(target: &Target, sender: &Sender, patience: Duration) -> Result<SpanExporter, String> {
    let builder = SpanExporter::builder();
    let built = match target.protocol {
        Protocol::Grpc => builder.with_tonic().with_endpoint(&target.endpoint).with_timeout(patience).build(),
        Protocol::Http => builder
            .with_http()
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(&target.endpoint)
            .with_timeout(patience)
            .build(),
    };
    let mut exporter = built.map_err(|error| error.to_string())?;
    let mut attributes = vec![
        KeyValue::new("service.name", "agent-worker"),
        KeyValue::new("service.instance.id", sender.instance.clone()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    attributes.extend(sender.host.iter().map(|host| KeyValue::new("host.name", host.clone())));
    // Of two that are called alike the later one holds.
    attributes.extend(sender.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone())));
    exporter.set_resource(&Resource::builder_empty().with_attributes(attributes).build());
    Ok(exporter)
}

/// Whoever sends.
struct Office {
    exporter: SpanExporter,
    pace: Pace,
    endpoint: String,
    say: Say,
    lost: Arc<AtomicU64>,
    failing: bool,
}

impl Office {
    async fn work(mut self, mut inbox: mpsc::Receiver<Mail>) {
        loop {
            let (batch, over) = collect(&mut inbox, self.pace).await;
            let patience = if over { LAST_PATIENCE.min(self.pace.patience) } else { self.pace.patience };
            if !batch.is_empty() {
                self.send(batch, patience).await;
            }
            if over {
                return;
            }
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>, patience: Duration) {
        let count = batch.len() as u64;
        let sent = Silent(Box::pin(tokio::time::timeout(patience, self.exporter.export(batch)))).await;
        let why = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", patience.as_secs_f32())),
        };
        let Some(why) = why else {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if self.failing || lost > 0 {
                (self.say)(&format!("traces reach {} again; {lost} span(s) were lost", self.endpoint));
            }
            self.failing = false;
            return;
        };
        self.lost.fetch_add(count, Ordering::Relaxed);
        if !self.failing {
            let endpoint = &self.endpoint;
            (self.say)(&format!(
                "traces do not reach {endpoint}: {}; the work goes on, and spans are lost until it answers",
                why.escape_debug()
            ));
        }
        self.failing = true;
    }
}

/// The next spans, and whether they are the last.
async fn collect(inbox: &mut mpsc::Receiver<Mail>, pace: Pace) -> (Vec<SpanData>, bool) {
    let mut batch = Vec::new();
    let Some(Mail::Span(first)) = inbox.recv().await else { return (batch, true) };
    batch.push(data(*first));
    let pause = tokio::time::sleep(pace.company);
    tokio::pin!(pause);
    while batch.len() < pace.batch {
        tokio::select! {
            biased;
            mail = inbox.recv() => match mail {
                Some(Mail::Span(span)) => batch.push(data(*span)),
                Some(Mail::End) | None => return (batch, true),
            },
            () = &mut pause => break,
        }
    }
    (batch, false)
}

/// A future during whose steps nothing is logged.
struct Silent<F>(std::pin::Pin<Box<F>>);

impl<F: Future> Future for Silent<F> {
    type Output = F::Output;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let nobody = tracing::subscriber::NoSubscriber::new();
        tracing::subscriber::with_default(nobody, || self.0.as_mut().poll(context))
    }
}

fn data(span: Span) -> SpanData {
    let mut events = SpanEvents::default();
    events.events.extend(span.events.iter().map(|it| Event::new(it.name, it.at.into(), Vec::new(), 0)));
    SpanData {
        span_context: context(&span.context, span.state.as_deref()),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: span.name.into(),
        start_time: span.began.into(),
        end_time: span.ended.into(),
        attributes: span.attributes.into_iter().map(|(name, value)| key_value(name, value)).collect(),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: match span.status {
            Status::Unset => OtelStatus::Unset,
            Status::Good => OtelStatus::Ok,
            Status::Bad(why) => OtelStatus::error(why),
        },
        instrumentation_scope: InstrumentationScope::builder("agent-worker")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn context(context: &Context, state: Option<&str>) -> SpanContext {
    let (trace, span) = (TraceId::from_bytes(context.trace), SpanId::from_bytes(context.span));
    let state = state.and_then(|state| state.parse().ok()).unwrap_or_default();
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, state)
}

fn key_value(name: &'static str, value: Value) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::new(name, text),
        Value::Flag(flag) => KeyValue::new(name, flag),
        Value::Number(number) => KeyValue::new(name, number),
        Value::Amount(amount) => KeyValue::new(name, amount),
    }
}
