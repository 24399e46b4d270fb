//! A collector of our own: it takes OTLP over gRPC or over HTTP, and keeps the spans as a test asks for them.
//!
//! What arrives is decoded here by hand, field by field (opentelemetry-proto, `trace/v1/trace.proto`), so that the
//! sender's libraries do not judge themselves.

#![allow(clippy::allow_attributes, reason = "the lints of a test's support differ from test to test")]
#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// A span as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub began: u64,
    pub ended: u64,
    /// As text; flags as `true` and `false`.
    pub attributes: BTreeMap<String, String>,
    pub events: Vec<String>,
    /// 0 unset, 1 well, 2 badly.
    pub status: u64,
    /// What the resource says.
    pub resource: BTreeMap<String, String>,
    /// `TRACESTATE`.
    pub state: String,
    /// `METHOD path content-type` of the request that brought it.
    pub came: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Grpc,
    Http,
}

/// What a collector does with what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Taking,
    /// It takes the request and never answers.
    Silent,
    /// It says that it cannot.
    Refusing,
}

#[derive(Default)]
struct Kept {
    spans: Vec<Span>,
    /// The trace of each log record.
    logs: Vec<String>,
    mood: Mood,
}

/// A collector that listens on a port of its own.
pub struct Collector {
    pub addr: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub fn start(way: Way) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), way)
    }

    pub fn start_at(addr: SocketAddr, way: Way) -> Self {
        let listener = std::net::TcpListener::bind(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let theirs = Arc::clone(&kept);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // It ends with the test's process.
        std::thread::spawn(move || runtime.block_on(serve(listener, way, theirs)));
        Self { addr, kept }
    }

    /// Everything that has arrived.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// The trace of each log record that has arrived.
    pub fn logs(&self) -> Vec<String> {
        self.kept.lock().unwrap().logs.clone()
    }

    /// What it does from now on.
    pub fn be(&self, mood: Mood) {
        self.kept.lock().unwrap().mood = mood;
    }

    /// The spans of one name.
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }
}

async fn serve(listener: std::net::TcpListener, way: Way, kept: Arc<Mutex<Kept>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let kept = Arc::clone(&kept);
        let service = service_fn(move |request| take(way, Arc::clone(&kept), request));
        let io = TokioIo::new(stream);
        tokio::spawn(async move {
            match way {
                Way::Grpc => {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    server.serve_connection(io, service).await.ok();
                }
                Way::Http => {
                    let server = hyper::server::conn::http1::Builder::new();
                    server.serve_connection(io, service).await.ok();
                }
            }
        });
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn take(
    way: Way,
    kept: Arc<Mutex<Kept>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let kind = request.headers().get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let came = format!("{} {} {kind}", request.method(), request.uri().path());
    let pairs = request.headers().iter().filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    let headers: BTreeMap<_, _> =
        pairs.map(|(name, value)| (name.as_str().to_owned(), value.to_owned())).collect();
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = match way {
        // One frame: a flag for compression, the length, the message.
        Way::Grpc => body.get(5..).unwrap_or_default().to_vec(),
        Way::Http => body.to_vec(),
    };
    let mood = kept.lock().unwrap().mood;
    match mood {
        Mood::Taking => {}
        Mood::Silent => std::future::pending().await,
        Mood::Refusing => return Ok(refusal(way)),
    }
    if came.contains("/v1/logs") {
        kept.lock().unwrap().logs.extend(traces_of_logs(&message));
    } else {
        let arrived = decode(&message).into_iter();
        let arrived = arrived.map(|span| Span { came: came.clone(), headers: headers.clone(), ..span });
        kept.lock().unwrap().spans.extend(arrived);
    }
    Ok(match way {
        Way::Grpc => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let empty = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
            Response::builder().header("content-type", "application/grpc").body(empty.boxed_unsync()).unwrap()
        }
        Way::Http => Response::builder()
            .header("content-type", "application/x-protobuf")
            .body(Full::new(Bytes::new()).boxed_unsync())
            .unwrap(),
    })
}

/// `UNAVAILABLE`.
fn refusal(way: Way) -> Response<Body> {
    let empty = Full::new(Bytes::new()).boxed_unsync();
    match way {
        Way::Grpc => Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "14")
            .header("grpc-message", "full")
            .body(empty)
            .unwrap(),
        Way::Http => Response::builder().status(503).body(empty).unwrap(),
    }
}

/// A value on the wire.
enum Wire {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Wire {
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => panic!("bytes where a number belongs"),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => panic!("a number where bytes belong"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn hex(&self) -> String {
        let digits =
            |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap());
        self.bytes().iter().flat_map(digits).collect()
    }
}

/// The fields of a message, with their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let wire = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            1 => Wire::Number(u64::from_le_bytes(cut(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                Wire::Bytes(cut(&mut bytes, length).to_vec())
            }
            5 => Wire::Number(u32::from_le_bytes(cut(&mut bytes, 4).try_into().unwrap()).into()),
            other => panic!("no such wire type: {other}"),
        };
        found.push((key >> 3, wire));
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = cut(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("an endless number")
}

fn cut<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(n);
    *bytes = rest;
    taken
}

/// The messages in field `number` of a message.
fn parts(bytes: &[u8], number: u64) -> Vec<Vec<u8>> {
    fields(bytes).iter().filter(|(n, _)| *n == number).map(|(_, wire)| wire.bytes().to_vec()).collect()
}

fn decode(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in parts(request, 1) {
        let attributes =
            parts(&resource_spans, 1).iter().flat_map(|resource| parts(resource, 1)).collect::<Vec<_>>();
        let resource: BTreeMap<_, _> = attributes.iter().map(|it| attribute(it)).collect();
        for scope_spans in parts(&resource_spans, 2) {
            spans.extend(
                parts(&scope_spans, 2).iter().map(|it| Span { resource: resource.clone(), ..span(it) }),
            );
        }
    }
    spans
}

/// The trace of each record in a request with logs (opentelemetry-proto, `logs/v1/logs.proto`).
fn traces_of_logs(request: &[u8]) -> Vec<String> {
    let scopes = parts(request, 1).into_iter().flat_map(|resource_logs| parts(&resource_logs, 2));
    let records = scopes.flat_map(|scope_logs| parts(&scope_logs, 2));
    let trace = |record: Vec<u8>| fields(&record).iter().find(|(n, _)| *n == 9).map(|(_, wire)| wire.hex());
    records.map(|record| trace(record).unwrap_or_default()).collect()
}

fn span(bytes: &[u8]) -> Span {
    let mut span = Span::default();
    for (number, wire) in fields(bytes) {
        match number {
            1 => span.trace = wire.hex(),
            2 => span.id = wire.hex(),
            3 => span.state = wire.text(),
            4 => span.parent = wire.hex(),
            5 => span.name = wire.text(),
            7 => span.began = wire.number(),
            8 => span.ended = wire.number(),
            9 => span.attributes.extend([attribute(wire.bytes())]),
            11 => span
                .events
                .extend(fields(wire.bytes()).iter().filter(|(n, _)| *n == 2).map(|(_, name)| name.text())),
            15 => {
                let code = fields(wire.bytes()).iter().find(|(n, _)| *n == 3).map(|(_, code)| code.number());
                span.status = code.unwrap_or(0);
            }
            _ => {}
        }
    }
    span
}

fn attribute(bytes: &[u8]) -> (String, String) {
    let (mut key, mut value) = (String::new(), String::new());
    for (number, wire) in fields(bytes) {
        match number {
            1 => key = wire.text(),
            2 => value = fields(wire.bytes()).iter().map(any_value).collect(),
            _ => {}
        }
    }
    (key, value)
}

fn any_value((number, wire): &(u64, Wire)) -> String {
    match number {
        1 => wire.text(),
        2 => (wire.number() != 0).to_string(),
        3 => wire.number().to_string(),
        4 => f64::from_bits(wire.number()).to_string(),
        // A list: its values one after the other.
        5 => parts(wire.bytes(), 1).iter().flat_map(|value| fields(value)).map(|it| any_value(&it)).collect(),
        other => panic!("no such value: {other}"),
    }
}
