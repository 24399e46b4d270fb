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
    /// `METHOD path content-type` of the request that brought it.
    pub came: String,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Grpc,
    Http,
}

/// A collector that listens on a port of its own.
pub struct Collector {
    pub addr: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub fn start(way: Way) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // It ends with the test's process.
        std::thread::spawn(move || runtime.block_on(serve(listener, way, kept)));
        Self { addr, spans }
    }

    /// Everything that has arrived.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of one name.
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }
}

async fn serve(listener: std::net::TcpListener, way: Way, kept: Arc<Mutex<Vec<Span>>>) {
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
    kept: Arc<Mutex<Vec<Span>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let kind = request.headers().get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let came = format!("{} {} {kind}", request.method(), request.uri().path());
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = match way {
        // One frame: a flag for compression, the length, the message.
        Way::Grpc => body.get(5..).unwrap_or_default().to_vec(),
        Way::Http => body.to_vec(),
    };
    let spans = decode(&message).into_iter().map(|span| Span { came: came.clone(), ..span });
    kept.lock().unwrap().extend(spans);
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

fn span(bytes: &[u8]) -> Span {
    let mut span = Span::default();
    for (number, wire) in fields(bytes) {
        match number {
            1 => span.trace = wire.hex(),
            2 => span.id = wire.hex(),
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
        other => panic!("no such value: {other}"),
    }
}
