//! The thread: it accepts, speaks HTTP and keeps the deadlines. Thin.
//!
//! Invariant: everything here runs on one thread, so the number of threads does not depend on who connects.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioTimer;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time;

use super::patience::Patient;
use super::slots::{Slots, Stamp, places};
use super::{Shown, routes};

/// For a whole request head, from the first moment.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// hyper's smallest buffer, and so the longest head, in bytes.
const HEAD_BYTES: usize = 8192;
const HEADERS: usize = 64;
/// For a connection as a whole: ends those who read what they asked for a byte at a time.
const LIFETIME: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that the kernel keeps for us: wide, so that a flood drops nobody's SYN (listen(2)).
const BACKLOG: u32 = 4096;

type Seats = Arc<Mutex<Slots<AbortHandle>>>;

/// Listens, says so, and serves until `stopped`.
pub(super) fn run(
    addr: SocketAddr,
    shown: Shown,
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
                        () = accept(&listener, Arc::new(shown)) => {}
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

async fn accept(listener: &TcpListener, shown: Arc<Shown>) {
    // Without an answer of the kernel, as if there were few.
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let seats: Seats = Arc::new(Mutex::new(Slots::new(places(descriptors))));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(&seats, stream, &shown),
            Err(error) => recover(&seats, &error).await,
        }
        // A connection that is new gets its turn before more are accepted and could push it out.
        tokio::task::yield_now().await;
    }
}

/// Out of descriptors: the oldest connection gives its own. Anything else is waited out.
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

fn admit(seats: &Seats, stream: TcpStream, shown: &Arc<Shown>) {
    let stamp = lock(seats).stamp();
    let seat = Seat { seats: Arc::clone(seats), stamp };
    let task = tokio::spawn(converse(stream, seat, Arc::clone(shown)));
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
    stamp: Stamp,
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.seats).leave(self.stamp);
    }
}

async fn converse(stream: TcpStream, _seat: Seat, shown: Arc<Shown>) {
    let service = service_fn(|request: Request<Incoming>| {
        std::future::ready(Ok::<_, Infallible>(respond(&request, &shown)))
    });
    let connection = http1::Builder::new()
        // Whoever may ask again and again on one connection keeps the others waiting.
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_BYTES)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(Patient::new(stream), service);
    // How a connection ends is its own affair: nobody here could do anything about it.
    time::timeout(LIFETIME, pin!(connection)).await.ok();
}

fn respond(request: &Request<Incoming>, shown: &Shown) -> Response<Full<Bytes>> {
    let reply = routes::reply(request.method(), request.uri(), request.headers(), shown);
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
