//! A wire that is a recording: what the other side says is known beforehand, what this side says is kept.
//!
//! Invariants: it is always ready, so that a case takes no time; what was not yet heard of an earlier answer comes first
//! where the transport keeps it (TCP), and is gone where it is thrown away (RTU); at its end it is closed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one question is answered with: bytes, handed over in pieces of at most so many (0 = all at once).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) piece: usize,
}

#[derive(Debug, Default)]
struct Reel {
    ready: Vec<u8>,
    piece: usize,
    /// Everything handed over since the last `answer`, or ever.
    heard: Vec<u8>,
    said: Vec<u8>,
}

/// Both ends of the recording.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape(Arc<Mutex<Reel>>);

impl Tape {
    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts on what comes next. With `fresh` what was not heard before is thrown away, and `heard` begins anew.
    pub(crate) fn put(&self, reply: Reply, fresh: bool) {
        let mut reel = self.reel();
        if fresh {
            reel.ready.clear();
            reel.heard.clear();
        }
        reel.ready.extend(reply.bytes);
        reel.piece = reply.piece;
    }

    pub(crate) fn heard(&self) -> Vec<u8> {
        self.reel().heard.clone()
    }

    pub(crate) fn said(&self) -> Vec<u8> {
        self.reel().said.clone()
    }
}

impl AsyncRead for Tape {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut reel = self.reel();
        let most = if reel.piece == 0 { usize::MAX } else { reel.piece };
        let count = reel.ready.len().min(buf.remaining()).min(most);
        let bytes: Vec<u8> = reel.ready.drain(..count).collect();
        buf.put_slice(&bytes);
        reel.heard.extend(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tape {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.reel().said.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
