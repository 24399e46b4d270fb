//! Where traces go, from what was set: the variables of the OpenTelemetry specification. Pure.

/// How the spans travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC, usually on port 4317.
    Grpc,
    /// OTLP as protobuf over HTTP, usually on port 4318.
    Http,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Its URL; with the path of the traces for HTTP.
    pub endpoint: String,
}

impl Target {
    /// The URL without a name and a password that stand in it.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.endpoint.split_once("://") else { return self.endpoint.clone() };
        let authority = rest.split('/').next().unwrap_or(rest);
        let hidden = authority.rfind('@').map_or(0, |at| at + 1);
        format!("{scheme}://{}", &rest[hidden..])
    }
}

/// What was set about traces.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    /// `OTEL_TRACES_EXPORTER`, or the flag.
    pub exporter: Option<&'a str>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, or the flag.
    pub endpoint: Option<&'a str>,
    /// The other variables.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Said").field("exporter", &self.exporter).finish_non_exhaustive()
    }
}

/// Where traces go; `None`: nowhere, as without a word about them. The error says what to set instead.
pub fn target(said: &Said<'_>) -> Result<Option<Target>, String> {
    let variable = |name: &str| (said.variable)(name).filter(|value| !value.trim().is_empty());
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    match said.exporter.map(str::trim) {
        None | Some("" | "none") => return Ok(None),
        Some(list) if list.split(',').any(|one| one.trim() == "otlp") => {}
        Some(other) => {
            return Err(format!(
                "OTEL_TRACES_EXPORTER={}: the only exporter here is `otlp`; no traces are sent",
                other.escape_debug()
            ));
        }
    }
    let own = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let common = said.endpoint.map(str::to_owned).filter(|it| !it.trim().is_empty());
    let endpoint = own.clone().or(common).map(|it| with_scheme(it.trim()));
    if let Some(url) = endpoint.as_ref().filter(|url| !url.starts_with("http://")) {
        return Err(format!(
            "traces cannot go to {}: only http:// is built in; name a collector beside this machine, which \
             speaks TLS onward",
            url.escape_debug()
        ));
    }
    let protocol = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or(variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    let protocol = match protocol.as_deref().map(str::trim) {
        Some("grpc") => Protocol::Grpc,
        Some("http/protobuf") => Protocol::Http,
        Some(other) => {
            return Err(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL={}: takes grpc or http/protobuf; no traces are sent",
                other.escape_debug()
            ));
        }
        None => endpoint.as_deref().map_or(Protocol::Grpc, protocol_of),
    };
    let endpoint = match (protocol, endpoint) {
        (Protocol::Grpc, None) => "http://localhost:4317".to_owned(),
        (Protocol::Http, None) => "http://localhost:4318/v1/traces".to_owned(),
        // The variable for traces alone is taken as it is, the common one is a base.
        (Protocol::Http, Some(base)) if own.is_none() && !base.ends_with("/v1/traces") => {
            format!("{}/v1/traces", base.trim_end_matches('/'))
        }
        (Protocol::Grpc | Protocol::Http, Some(url)) => url,
    };
    Ok(Some(Target { protocol, endpoint }))
}

fn with_scheme(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
}

/// Nobody said how: the port of the specification or the path of the traces tell HTTP.
fn protocol_of(endpoint: &str) -> Protocol {
    let rest = endpoint.trim_start_matches("http://");
    let authority = rest.split('/').next().unwrap_or(rest);
    let http = authority.ends_with(":4318") || endpoint.trim_end_matches('/').ends_with("/v1/traces");
    if http { Protocol::Http } else { Protocol::Grpc }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(
        exporter: Option<&str>,
        endpoint: Option<&str>,
        set: &[(&str, &str)],
    ) -> Result<Option<Target>, String> {
        let variable =
            |name: &str| set.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned());
        target(&Said { exporter, endpoint, variable: &variable })
    }

    #[test]
    fn nothing_is_sent_without_a_word() {
        for exporter in [None, Some(""), Some("none")] {
            assert_eq!(wanted(exporter, Some("http://c:4317"), &[]), Ok(None), "{exporter:?}");
        }
        assert_eq!(wanted(Some("otlp"), None, &[("OTEL_SDK_DISABLED", "true")]), Ok(None));
    }

    #[test]
    fn the_endpoint_tells_the_protocol_unless_it_was_said() {
        use Protocol::{Grpc, Http};
        const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
        const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        for (endpoint, set, protocol, url) in [
            (None, vec![], Grpc, "http://localhost:4317"),
            (Some("http://otel-collector:4317"), vec![], Grpc, "http://otel-collector:4317"),
            (Some("otel-collector:4317"), vec![], Grpc, "http://otel-collector:4317"),
            (Some("http://c:4318"), vec![], Http, "http://c:4318/v1/traces"),
            (Some("http://c:4318/"), vec![], Http, "http://c:4318/v1/traces"),
            (None, vec![(PROTOCOL, "http/protobuf")], Http, "http://localhost:4318/v1/traces"),
            (Some("http://c:9"), vec![(PROTOCOL, "http/protobuf")], Http, "http://c:9/v1/traces"),
            (Some("http://c:4318"), vec![(PROTOCOL, "grpc")], Grpc, "http://c:4318"),
            (
                Some("http://c:4317"),
                vec![(PROTOCOL, "grpc"), ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")],
                Http,
                "http://c:4317/v1/traces",
            ),
            (
                Some("http://c:4317"),
                vec![(OWN, "http://d:4318/x/v1/traces")],
                Http,
                "http://d:4318/x/v1/traces",
            ),
            (None, vec![(OWN, "http://d:4318/here")], Http, "http://d:4318/here"),
        ] {
            let target = wanted(Some("otlp"), endpoint, &set).unwrap().unwrap();
            assert_eq!((target.protocol, target.endpoint.as_str()), (protocol, url), "{endpoint:?} {set:?}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_said_and_not_guessed() {
        for (exporter, endpoint, set, word) in [
            ("zipkin", None, vec![], "otlp"),
            ("otlp", Some("https://c:4317"), vec![], "http://"),
            ("otlp", Some("ftp://c"), vec![], "http://"),
            ("otlp", None, vec![("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")], "http/protobuf"),
        ] {
            let why = wanted(Some(exporter), endpoint, &set).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        for (endpoint, shown) in
            [("http://me:secret@c:4317/x@y", "http://c:4317/x@y"), ("http://c:4317", "http://c:4317")]
        {
            let target = Target { protocol: Protocol::Grpc, endpoint: endpoint.to_owned() };
            assert_eq!(target.shown(), shown);
        }
    }
}
