//! A connection whose reader must read: an answer that nobody takes for a while ends it.
//!
//! Invariant: one that did not come to its end is reset, so that the kernel does not keep for minutes what was not sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{self, Sleep};

/// For each piece of an answer, from the moment at which no more fits into the kernel's buffers.
const PATIENCE: Duration = Duration::from_secs(5);

/// A stream with a deadline on its writes. Those on its reads are hyper's.
pub(super) struct Patient {
    io: TokioIo<TcpStream>,
    waiting: Option<Pin<Box<Sleep>>>,
    is_answered: bool,
}

impl Patient {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { io: TokioIo::new(stream), waiting: None, is_answered: false }
    }

    fn judge<R>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if done.is_ready() {
            self.waiting = None;
            return done;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(time::sleep(PATIENCE)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        if !self.is_answered {
            // Without it, it is closed in the usual way.
            self.io.inner().set_zero_linger().ok();
        }
    }
}

impl Read for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(context, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_flush(context);
        self.judge(context, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_shutdown(context);
        self.is_answered |= matches!(done, Poll::Ready(Ok(())));
        done
    }
}
