//! One question over HTTP to a face such as ours: what a metrics page says, within a deadline.
//!
//! Invariants:
//! - the whole exchange ends within the patience given, however slowly the other side speaks; only the look-up of
//!   a host's name has the resolver's own limits;
//! - at most [`BODY_MAX`] bytes are taken.
//!
//! It asks with HTTP/1.0, so that an answer ends where its connection does. It deliberately knows no TLS and follows
//! no redirect: faces are on this machine, or beside it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::clock::{Clock, Ticks};

/// The longest answer, in bytes, head included.
pub const BODY_MAX: usize = 4 << 20;
/// The least a system call is given: zero would mean for ever.
const LEAST: Duration = Duration::from_millis(1);

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The body; bytes that are no UTF-8 are replaced.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The host has no address.
    #[error("{host}: no such host ({source})")]
    Host {
        /// As it was given.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody listens, or not to us.
    #[error("{addr}: {source}")]
    Connect {
        /// Where.
        addr: String,
        /// Why.
        source: io::Error,
    },
    /// The exchange broke off.
    #[error("{addr} does not answer: {source}")]
    Broken {
        /// Where.
        addr: String,
        /// Why.
        source: io::Error,
    },
    /// That is no HTTP.
    #[error("{addr} does not speak HTTP")]
    Garbage {
        /// Where.
        addr: String,
    },
}

/// Asks `addr` (`host:port`) for `path`.
pub fn get(addr: &str, path: &str, patience: Duration, clock: &dyn Clock) -> Result<Answer, FetchError> {
    let until = clock.ticks().plus(patience);
    let mut stream = connect(addr, until, clock)?;
    let bytes = exchange(&mut stream, addr, path, until, clock)
        .map_err(|source| FetchError::Broken { addr: addr.to_owned(), source })?;
    parse(&bytes).ok_or_else(|| FetchError::Garbage { addr: addr.to_owned() })
}

fn connect(addr: &str, until: Ticks, clock: &dyn Clock) -> Result<TcpStream, FetchError> {
    let none = || io::Error::from(io::ErrorKind::NotFound);
    let host = |source| FetchError::Host { host: addr.to_owned(), source };
    let mut last = FetchError::Host { host: addr.to_owned(), source: none() };
    for one in addr.to_socket_addrs().map_err(host)? {
        match TcpStream::connect_timeout(&one, left(until, clock)) {
            Ok(stream) => return Ok(stream),
            Err(source) => last = FetchError::Connect { addr: addr.to_owned(), source },
        }
    }
    Err(last)
}

fn left(until: Ticks, clock: &dyn Clock) -> Duration {
    until.since(clock.ticks()).max(LEAST)
}

fn exchange(
    stream: &mut TcpStream,
    addr: &str,
    path: &str,
    until: Ticks,
    clock: &dyn Clock,
) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(left(until, clock)))?;
    // In one piece: whoever answers after a part of it would cut the connection over the rest.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        if clock.ticks() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left(until, clock)))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(n) if bytes.len() + n > BODY_MAX => return Err(io::ErrorKind::FileTooLarge.into()),
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What a socket's own timeout is called.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = words.next()?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::clock::SystemClock;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[derive(Clone, Copy, PartialEq)]
    enum After {
        Go,
        Stay,
    }

    /// A server of one connection that says `answer`, and then stays on the line or goes.
    fn server(answer: Vec<u8>, after: After) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 512];
            drop(stream.read(&mut asked));
            stream.write_all(&answer).ok();
            if after == After::Stay {
                // Until the one who asks has had enough.
                drop(stream.read(&mut asked));
            }
        });
        addr
    }

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let addr = server(b"HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nno\n".to_vec(), After::Go);
        let answer = get(&addr, "/metrics", PATIENCE, &SystemClock).unwrap();
        assert_eq!(answer, Answer { status: 503, body: "no\n".to_owned() });
    }

    #[test]
    fn whoever_is_silent_garbled_endless_or_absent_is_an_error_in_time() {
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'x'; BODY_MAX]].concat();
        for (answer, after, patience, word) in [
            (Vec::new(), After::Stay, Duration::from_millis(200), "timed out"),
            (b"SSH-2.0-x\r\n".to_vec(), After::Go, PATIENCE, "does not speak HTTP"),
            (endless, After::Go, PATIENCE, "too large"),
        ] {
            let error = get(&server(answer, after), "/", patience, &SystemClock).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let error = get(&gone, "/", PATIENCE, &SystemClock).unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
    }
}
