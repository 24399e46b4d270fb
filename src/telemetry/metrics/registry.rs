//! A registry that hands out registered metrics, so that none can be made and forgotten.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::MetricsError;

/// A registry of our own, never the global one.
#[derive(Clone, Debug, Default)]
pub(super) struct Registrar(Registry);

impl Registrar {
    /// A registry that already tells about this process and this build.
    pub(super) fn new(version: &str) -> Result<Self, MetricsError> {
        let registrar = Self::default();
        let process = registrar.0.register(Box::new(ProcessCollector::for_self()));
        process.map_err(|source| MetricsError { name: "process".to_owned(), source })?;
        let help = "The running version; always 1.";
        let info = registrar.int_gauges("agent_worker_build_info", help, "version")?;
        info.with_label_values(&[version]).set(1);
        Ok(registrar)
    }

    /// The text of a scrape.
    pub(super) fn render(&self) -> String {
        let mut out = Vec::new();
        // Only a broken metric of our own can fail here; what was written until then is still worth having.
        if let Err(error) = TextEncoder::new().encode(&self.0.gather(), &mut out) {
            tracing::error!(%error, "could not write all metrics");
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        self.add(name, IntCounter::new(name, help))
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntCounterVec, MetricsError> {
        self.add(name, IntCounterVec::new(Opts::new(name, help), &[label]))
    }

    pub(super) fn counters_by(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, MetricsError> {
        self.add(name, IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn float_counter(&self, name: &str, help: &str) -> Result<prometheus::Counter, MetricsError> {
        self.add(name, prometheus::Counter::new(name, help))
    }

    pub(super) fn float_counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<CounterVec, MetricsError> {
        self.add(name, CounterVec::new(Opts::new(name, help), &[label]))
    }

    pub(super) fn gauges_of(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, MetricsError> {
        self.add(name, GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<Gauge, MetricsError> {
        self.add(name, Gauge::new(name, help))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, label: &str) -> Result<GaugeVec, MetricsError> {
        self.add(name, GaugeVec::new(Opts::new(name, help), &[label]))
    }

    pub(super) fn int_gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        self.add(name, IntGauge::new(name, help))
    }

    pub(super) fn int_gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntGaugeVec, MetricsError> {
        self.add(name, IntGaugeVec::new(Opts::new(name, help), &[label]))
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, MetricsError> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(name, Histogram::with_opts(opts))
    }

    fn add<C>(&self, name: &str, made: prometheus::Result<C>) -> Result<C, MetricsError>
    where
        C: Collector + Clone + 'static,
    {
        let failed = |source| MetricsError { name: name.to_owned(), source };
        let metric = made.map_err(failed)?;
        self.0.register(Box::new(metric.clone())).map_err(failed)?;
        Ok(metric)
    }
}
