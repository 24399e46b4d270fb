//! From a method and a path to an answer. Pure, but for what the source has ready.
//!
//! Invariant: a request that could carry a body is refused before anything of it is read.

use hyper::header::{ALLOW, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::super::health::{self, Part};
use super::{FaceSource, Shown};

/// What there is, for whoever asks for something else.
const PATHS: [(&str, Route); 8] = [
    ("/metrics", Route::Metrics),
    ("/health", Route::Health(Part::All)),
    ("/health/worker", Route::Health(Part::Worker)),
    ("/health/queue", Route::Health(Part::Queue)),
    ("/health/artifacts", Route::Health(Part::Artifacts)),
    ("/health/registry", Route::Health(Part::Registry)),
    ("/health/orchestrator", Route::Health(Part::Orchestrator)),
    ("/api/status", Route::Status),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Metrics,
    Health(Part),
    Status,
}

/// An answer before it is HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(header::HeaderName, &'static str)>,
    pub(super) body: String,
}

/// What is answered to a request.
pub(super) fn reply(method: &Method, uri: &Uri, headers: &HeaderMap, shown: &Shown) -> Reply {
    if let Some(refusal) = refusal(method, headers) {
        return refusal;
    }
    let Some(&(_, route)) = PATHS.iter().find(|(known, _)| *known == uri.path()) else {
        return nothing_here();
    };
    if !(route.is_for_anybody() || host_of(uri, headers).is_ok_and(|host| shown.hosts.admit(host))) {
        return json_reply(
            StatusCode::MISDIRECTED_REQUEST,
            &json!({ "error": "this is not shown under that name; --allowed-host NAME lets it be" }),
        );
    }
    match route {
        Route::Metrics => text_reply(shown.source.metrics()),
        Route::Status => json_reply(StatusCode::OK, &shown.source.status()),
        Route::Health(part) => health_reply(part, shown.source.as_ref()),
    }
}

impl Route {
    /// Whether it tells of no task, so that scrapers and probes may call us by any name.
    const fn is_for_anybody(self) -> bool {
        match self {
            Self::Metrics | Self::Health(_) => true,
            Self::Status => false,
        }
    }
}

/// What is refused wherever it is asked for.
fn refusal(method: &Method, headers: &HeaderMap) -> Option<Reply> {
    let refuse = |status, why| json_reply(status, &json!({ "error": why }));
    if has_body(headers) {
        let mut refusal = refuse(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body");
        refusal.headers.push((CONNECTION, "close"));
        return Some(refusal);
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refusal = refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
        refusal.headers.push((ALLOW, "GET, HEAD"));
        return Some(refusal);
    }
    // Only a page of somebody else's that runs in a browser sends it with a GET.
    headers
        .contains_key(ORIGIN)
        .then(|| refuse(StatusCode::FORBIDDEN, "no page of another origin is answered here"))
}

/// The name under which we are asked; two of them are none.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, ()> {
    if let Some(authority) = uri.authority() {
        return Ok(Some(authority.as_str()));
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => host.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    headers.contains_key(TRANSFER_ENCODING) || lengths.any(|length| length != "0")
}

fn health_reply(part: Part, source: &dyn FaceSource) -> Reply {
    match health::answer(part, &source.snapshot()) {
        Some(answer) => {
            let status = StatusCode::from_u16(answer.verdict.http_status());
            json_reply(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), &answer.body)
        }
        None => nothing_here(),
    }
}

fn nothing_here() -> Reply {
    let paths = PATHS.map(|(path, _)| path);
    json_reply(StatusCode::NOT_FOUND, &json!({ "error": "there is nothing here", "paths": paths }))
}

fn text_reply(body: String) -> Reply {
    Reply { status: StatusCode::OK, headers: common("text/plain; version=0.0.4; charset=utf-8"), body }
}

fn json_reply(status: StatusCode, body: &Value) -> Reply {
    Reply { status, headers: common("application/json"), body: format!("{body}\n") }
}

fn common(content_type: &'static str) -> Vec<(header::HeaderName, &'static str)> {
    vec![
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Hosts;
    use super::*;
    use crate::telemetry::health::Snapshot;

    struct Still;

    impl FaceSource for Still {
        fn metrics(&self) -> String {
            "active_tasks 0\n".to_owned()
        }

        fn snapshot(&self) -> Snapshot {
            Snapshot { lock_held: false, ..Snapshot::healthy(crate::clock::Timestamp::UNIX_EPOCH) }
        }

        fn status(&self) -> Value {
            json!({ "worker": "marie" })
        }
    }

    fn shown() -> Shown {
        Shown { hosts: Hosts::new(&["box.example.org".to_owned()]), source: Arc::new(Still) }
    }

    fn status(method: &Method, path: &str, headers: &[(header::HeaderName, &'static str)]) -> u16 {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), header::HeaderValue::from_static(value)))
            .collect();
        reply(method, &path.parse().unwrap(), &headers, &shown()).status.as_u16()
    }

    #[test]
    fn every_path_has_its_answer() {
        for (path, expected) in [
            ("/metrics", 200),
            ("/api/status", 200),
            ("/health", 503),
            ("/health/worker", 503),
            ("/health/queue", 200),
            ("/health/artifacts", 200),
            ("/health/registry", 200),
            ("/health/orchestrator", 404),
            ("/", 404),
            ("/metrics/", 404),
            ("/health/../metrics", 404),
        ] {
            assert_eq!(status(&Method::GET, path, &[]), expected, "{path}");
        }
        let body = reply(&Method::GET, &Uri::from_static("/nowhere"), &HeaderMap::new(), &shown()).body;
        assert!(PATHS.iter().all(|(path, _)| body.contains(path)), "{body}");
    }

    #[test]
    fn only_reading_is_allowed_and_nothing_with_a_body() {
        assert_eq!(status(&Method::HEAD, "/metrics", &[]), 200);
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::CONNECT] {
            assert_eq!(status(&method, "/metrics", &[]), 405, "{method}");
        }
        for (header, expected) in [
            ((CONTENT_LENGTH, "0"), 200),
            ((CONTENT_LENGTH, "1"), 413),
            ((CONTENT_LENGTH, "99999999999"), 413),
            ((TRANSFER_ENCODING, "chunked"), 413),
        ] {
            assert_eq!(
                status(&Method::GET, "/metrics", std::slice::from_ref(&header)),
                expected,
                "{header:?}"
            );
        }
    }

    #[test]
    fn what_tells_of_tasks_is_shown_under_our_names_only_and_to_no_other_page() {
        for (path, headers, expected) in [
            ("/api/status", &[][..], 200),
            ("/api/status", &[(HOST, "marie:9091")], 200),
            ("/api/status", &[(HOST, "box.example.org")], 200),
            ("/api/status", &[(HOST, "rebind.attacker.net")], 421),
            ("http://rebind.attacker.net/api/status", &[(HOST, "marie")], 421),
            ("/metrics", &[(HOST, "prometheus.corp.example")], 200),
            ("/health/queue", &[(HOST, "probe.corp.example")], 200),
            ("/metrics", &[(ORIGIN, "https://attacker.net")], 403),
            ("/api/status", &[(HOST, "localhost"), (ORIGIN, "null")], 403),
        ] {
            assert_eq!(status(&Method::GET, path, headers), expected, "{path} {headers:?}");
        }
        let mut twice = HeaderMap::new();
        for name in ["marie", "anga"] {
            twice.append(HOST, header::HeaderValue::from_static(name));
        }
        let reply = reply(&Method::GET, &Uri::from_static("/api/status"), &twice, &shown());
        assert_eq!(reply.status.as_u16(), 421);
    }
}
