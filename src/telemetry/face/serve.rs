//! The thread: it accepts, speaks HTTP and keeps the deadlines. Thin.
//!
//! Invariant: everything here runs on one thread, so the number of threads does not depend on who connects.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::errno::Errno;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time;

use super::slots::{Slots, Stamp};
use super::{FaceSource, routes};

/// For a whole request head, from the first moment; also how long a connection may be idle between requests.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// hyper's smallest buffer, and so the longest head, in bytes.
const HEAD_BYTES: usize = 8192;
const HEADERS: usize = 64;
/// For a connection as a whole: ends those who never read what they asked for.
const LIFETIME: Duration = Duration::from_mins(1);
/// How many requests one connection may make.
const REQUESTS: u32 = 1000;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that the kernel keeps for us: wide, so that a flood drops nobody's SYN (listen(2)).
const BACKLOG: u32 = 4096;

type Seats = Arc<Mutex<Slots<AbortHandle>>>;

/// Listens, says so, and serves until `stopped`.
pub(super) fn run(
    addr: SocketAddr,
    source: &Arc<dyn FaceSource>,
    ready: &mpsc::SyncSender<io::Result<SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(error))),
    };
    runtime.block_on(async {
        let bound = listen(addr).and_then(|listener| Ok((listener.local_addr()?, listener)));
        match bound {
            Ok((addr, listener)) => {
                if ready.send(Ok(addr)).is_ok() {
                    tokio::select! {
                        () = accept(&listener, source) => {}
                        _ = stopped => {}
                    }
                }
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A worker that was just restarted must get its port back while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: &TcpListener, source: &Arc<dyn FaceSource>) {
    let seats: Seats = Arc::new(Mutex::new(Slots::new()));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(&seats, stream, source),
            Err(error) => recover(&seats, &error).await,
        }
        // A connection that is new gets its turn before more are accepted and could push it out.
        tokio::task::yield_now().await;
    }
}

/// Out of descriptors: the connection that has been idle longest gives its own. Anything else is waited out.
async fn recover(seats: &Seats, error: &io::Error) {
    tracing::debug!(%error, "could not accept a connection; trying again");
    let scarce =
        [Errno::EMFILE, Errno::ENFILE].map(|errno| Some(errno as i32)).contains(&error.raw_os_error());
    let idle = if scarce { lock(seats).oldest() } else { None };
    match idle {
        Some(connection) => connection.abort(),
        None => time::sleep(ACCEPT_PAUSE).await,
    }
}

fn admit(seats: &Seats, stream: TcpStream, source: &Arc<dyn FaceSource>) {
    let stamp = lock(seats).stamp();
    let seat =
        Arc::new(Seat { seats: Arc::clone(seats), stamp: AtomicU64::new(stamp), served: AtomicU32::new(0) });
    let task = tokio::spawn(converse(stream, seat, Arc::clone(source)));
    end(lock(seats).seat(stamp, task.abort_handle()));
}

fn end(connection: Option<AbortHandle>) {
    if let Some(connection) = connection {
        connection.abort();
    }
}

fn lock(seats: &Seats) -> MutexGuard<'_, Slots<AbortHandle>> {
    seats.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection's place; dropping it frees the place.
struct Seat {
    seats: Seats,
    stamp: AtomicU64,
    served: AtomicU32,
}

impl Seat {
    /// A request came: the connection is the youngest again. True while more may come.
    fn serve_one(&self) -> bool {
        let old: Stamp = self.stamp.load(Ordering::Relaxed);
        let fresh = lock(&self.seats).touch(old);
        self.stamp.store(fresh, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed) + 1 < REQUESTS
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.seats).leave(self.stamp.load(Ordering::Relaxed));
    }
}

async fn converse(stream: TcpStream, seat: Arc<Seat>, source: Arc<dyn FaceSource>) {
    let service = service_fn(|request: Request<Incoming>| {
        let mut answer = respond(&request, source.as_ref());
        if !seat.serve_one() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_BYTES)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ends is its own affair: nobody here could do anything about it.
    time::timeout(LIFETIME, pin!(connection)).await.ok();
}

fn respond(request: &Request<Incoming>, source: &dyn FaceSource) -> Response<Full<Bytes>> {
    let reply = routes::reply(request.method(), request.uri().path(), request.headers(), source);
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
