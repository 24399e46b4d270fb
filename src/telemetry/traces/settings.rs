//! What was set about traces besides where they go: the variables of the OpenTelemetry specification. Pure.
//!
//! Each variable is heard or named: what is not understood, and what has no effect here, is told in plain words, and
//! what the specification has as its default holds instead.

use std::time::Duration;

use super::sampler::Sampler;

/// How spans are gathered and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Spans that may wait for the collector.
    pub waiting: usize,
    /// Spans that travel together at most.
    pub batch: usize,
    /// How long the first of a batch waits for company.
    pub company: Duration,
    /// How long a batch may take.
    pub patience: Duration,
}

/// What was set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is recorded.
    pub sampler: Sampler,
    /// How spans are gathered and sent.
    pub pace: Pace,
    /// Whether contexts are taken from others and handed on to agents.
    pub carries: bool,
    /// The resource: what is said about this program beside what it says itself.
    pub resource: Vec<(String, String)>,
    /// What was not understood or has no effect, a line each.
    pub complaints: Vec<String>,
}

/// What is heard; all other names that begin with `OTEL_` are named, unless they are about metrics and logs.
const HEARD: &[&str] = &[
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_PROPAGATORS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
];

/// Reads all of it. `names` are those that are set.
pub fn settings<'a>(
    variable: &dyn Fn(&str) -> Option<String>,
    names: impl IntoIterator<Item = &'a str>,
) -> Settings {
    let mut reader = Reader { variable, complaints: Vec::new() };
    let sampler = reader.sampler();
    let pace = reader.pace();
    let carries = reader.carries();
    let resource = reader.resource();
    reader.compression();
    reader.exporters();
    if let Some(value) = reader.get("OTEL_SDK_DISABLED").filter(|it| !it.eq_ignore_ascii_case("false")) {
        reader.doubt("OTEL_SDK_DISABLED", &value, "takes true or false; traces are sent");
    }
    let is_other = |name: &&str| {
        name.starts_with("OTEL_")
            && !HEARD.contains(name)
            // What the agent's own telemetry goes by is none of ours.
            && !name.contains("METRIC")
            && !name.contains("LOG")
            && !name.ends_with("INSECURE")
    };
    let unheard: Vec<&str> = names.into_iter().filter(is_other).collect();
    if !unheard.is_empty() {
        reader.complaints.push(format!("without effect on the traces sent here: {}", unheard.join(", ")));
    }
    Settings { sampler, pace, carries, resource, complaints: reader.complaints }
}

struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    complaints: Vec<String>,
}

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The one for traces alone wins over the common one.
    fn either(&self, rest: &'static str) -> Option<(String, String)> {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{rest}"), format!("OTEL_EXPORTER_OTLP_{rest}")];
        names.into_iter().find_map(|name| Some((self.get(&name)?, name))).map(|(value, name)| (name, value))
    }

    fn doubt(&mut self, name: &str, value: &str, what: &str) {
        self.complaints.push(format!("{name}={}: {what}", value.escape_debug()));
    }

    fn sampler(&mut self) -> Sampler {
        let Some(name) = self.get("OTEL_TRACES_SAMPLER") else { return Sampler::default() };
        let argument = self.get("OTEL_TRACES_SAMPLER_ARG");
        let share = argument.as_deref().map_or(Some(1.0), |it| it.parse().ok());
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        let Some(sampler) = Sampler::named(&name, share.unwrap_or(1.0)) else {
            self.doubt("OTEL_TRACES_SAMPLER", &name, "no such sampler here; taking parentbased_always_on");
            return Sampler::default();
        };
        if let Some(argument) = argument.filter(|_| share.is_none() && name.ends_with("ratio")) {
            self.doubt("OTEL_TRACES_SAMPLER_ARG", &argument, "takes a share from 0 to 1; taking 1");
        }
        sampler
    }

    fn pace(&mut self) -> Pace {
        let waiting = self.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1..=1_000_000);
        let batch = self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1..=1_000_000);
        // The specification's 5 s would keep a span longer than most programs of ours take to end.
        let company = self.number("OTEL_BSP_SCHEDULE_DELAY", 500, 0..=3_600_000);
        let limit = self.number("OTEL_BSP_EXPORT_TIMEOUT", 30_000, 1..=3_600_000);
        let timeout =
            self.either("TIMEOUT").map_or(10_000, |(name, _)| self.number(&name, 10_000, 1..=3_600_000));
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Pace {
            waiting: size(waiting),
            batch: size(batch.min(waiting)),
            company: Duration::from_millis(company),
            patience: Duration::from_millis(timeout.min(limit)),
        }
    }

    fn number(&mut self, name: &str, usual: u64, may: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(value) = self.get(name) else { return usual };
        if let Some(number) = value.parse().ok().filter(|number| may.contains(number)) {
            return number;
        }
        let (least, most) = (may.start(), may.end());
        self.doubt(name, &value, &format!("takes a whole number from {least} to {most}; taking {usual}"));
        usual
    }

    fn carries(&mut self) -> bool {
        let Some(list) = self.get("OTEL_PROPAGATORS") else { return true };
        let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let foreign: Vec<&str> =
            names.iter().copied().filter(|name| !["tracecontext", "none"].contains(name)).collect();
        if !foreign.is_empty() {
            let what = format!("only tracecontext is carried here, not {}", foreign.join(", "));
            self.doubt("OTEL_PROPAGATORS", &list, &what);
        }
        names.contains(&"tracecontext")
    }

    /// That there is `otlp` among them was seen already.
    fn exporters(&mut self) {
        let list = self.get("OTEL_TRACES_EXPORTER").unwrap_or_default();
        let others: Vec<&str> =
            list.split(',').map(str::trim).filter(|it| !["otlp", ""].contains(it)).collect();
        if !others.is_empty() {
            let what = format!("traces go to otlp alone, not to {}", others.join(", "));
            self.doubt("OTEL_TRACES_EXPORTER", &list, &what);
        }
    }

    fn compression(&mut self) {
        if let Some((name, value)) = self.either("COMPRESSION").filter(|(_, value)| value != "none") {
            self.doubt(&name, &value, "not built in; spans travel uncompressed");
        }
    }

    /// `a=b,c=d`, percent-encoded; `OTEL_SERVICE_NAME` wins over a `service.name` in it.
    fn resource(&mut self) -> Vec<(String, String)> {
        let text = self.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        let pairs: Option<Vec<_>> = parts.map(pair).collect();
        if pairs.is_none() {
            self.doubt(
                "OTEL_RESOURCE_ATTRIBUTES",
                &text,
                "takes name=value,…, percent-encoded; it is passed over",
            );
        }
        let mut resource = pairs.unwrap_or_default();
        if let Some(service) = self.get("OTEL_SERVICE_NAME") {
            resource.retain(|(name, _)| name != "service.name");
            resource.push(("service.name".to_owned(), service));
        }
        resource
    }
}

fn pair(part: &str) -> Option<(String, String)> {
    let (name, value) = part.split_once('=')?;
    let name = decoded(name.trim())?;
    (!name.is_empty()).then_some((name, decoded(value.trim())?))
}

/// Percent-encoded text as what it means; `None` if it means nothing.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits =
            std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Settings {
        let variable =
            |name: &str| set.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned());
        settings(&variable, set.iter().map(|(name, _)| *name))
    }

    #[test]
    fn without_a_word_nothing_is_complained_about() {
        let plain = read(&[("HOME", "/x")]);
        assert_eq!(plain.complaints, [""; 0]);
        assert_eq!((plain.sampler, plain.carries), (Sampler::default(), true));
        assert_eq!((plain.pace.waiting, plain.pace.batch), (2048, 512));
        assert_eq!(plain.pace.patience, Duration::from_secs(10));
    }

    #[test]
    fn what_is_set_holds_and_the_one_for_traces_wins() {
        let set = read(&[
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "9000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "700"),
            ("OTEL_PROPAGATORS", "none"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a, team=b%20c%2Cd,,"),
            ("OTEL_SERVICE_NAME", "queue"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_SDK_DISABLED", "False"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://x"),
        ]);
        assert_eq!(set.complaints, [""; 0]);
        assert_eq!(Some(set.sampler), Sampler::named("parentbased_traceidratio", 0.25));
        let pace =
            Pace { waiting: 8, batch: 8, company: Duration::ZERO, patience: Duration::from_millis(700) };
        assert_eq!((set.pace, set.carries), (pace, false));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(set.resource, [pair("team", "b c,d"), pair("service.name", "queue")]);
    }

    #[test]
    fn what_has_no_effect_is_said_and_the_default_holds() {
        for (name, value, word) in [
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", "parentbased_always_on"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "taking 2048"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon", "taking 500"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "-1", "taking 10000"),
            ("OTEL_PROPAGATORS", "tracecontext,baggage", "not baggage"),
            ("OTEL_PROPAGATORS", "b3", "not b3"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "uncompressed"),
            ("OTEL_TRACES_EXPORTER", "otlp,console", "not to console"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz", "passed over"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "passed over"),
            ("OTEL_SDK_DISABLED", "yes", "true or false"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/x", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        ] {
            let told = read(&[(name, value)]);
            assert_eq!(told.complaints.len(), 1, "{name}={value}: {:?}", told.complaints);
            assert!(told.complaints[0].contains(word), "{:?}", told.complaints);
            let plain = Settings { complaints: told.complaints.clone(), ..read(&[]) };
            assert_eq!(Settings { carries: plain.carries, ..told }, plain, "{name}={value}");
        }
        let ratio = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
        assert!(read(&ratio).complaints[0].contains("from 0 to 1"));
    }
}
