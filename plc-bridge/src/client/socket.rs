//! A TCP connection that cannot deceive.
//!
//! Invariants: what was written on a connection that failed is thrown away with it (closing with unsent bytes would let
//! the kernel deliver them minutes later, an old permit among them); a peer that is gone is noticed although nothing is
//! asked of it.

use super::peer::Peer;
use rustix::net::sockopt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An idle connection is asked for a sign of life after this long, then this often, so many times.
const KEEP_IDLE: Duration = Duration::from_secs(2);
const KEEP_EVERY: Duration = Duration::from_secs(1);
const KEEP_COUNT: u32 = 2;

/// A second hold on a connection's socket, for its options alone.
#[derive(Debug)]
pub(super) struct Grip(OwnedFd);

impl Grip {
    /// Closing will end the conversation in order. Only for connections with nothing left to be answered.
    pub(super) fn part_politely(&self) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(&self.0, None)?)
    }
}

/// Connects within `peer.connect_timeout`.
pub(super) async fn connect(address: SocketAddr, peer: &Peer) -> io::Result<(TcpStream, Grip)> {
    let stream = timeout(peer.connect_timeout, TcpStream::connect(address)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    // tcp(7): unacknowledged data may wait this long before the connection is closed by force; 0 would mean the default.
    sockopt::set_tcp_user_timeout(&stream, u32::try_from(peer.call_timeout.as_millis()).unwrap_or(u32::MAX).max(1))?;
    sockopt::set_tcp_keepidle(&stream, KEEP_IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEP_EVERY)?;
    sockopt::set_tcp_keepcnt(&stream, KEEP_COUNT)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    let grip = Grip(stream.as_fd().try_clone_to_owned()?);
    Ok((stream, grip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, Grip, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, grip) = connect(address, &Peer::new(address)).await.unwrap();
        (stream, grip, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn every_connection_is_quick_and_watched() {
        let (stream, grip, _plc) = pair().await;
        assert!(stream.nodelay().unwrap());
        assert_eq!(sockopt::tcp_user_timeout(&grip.0).unwrap(), 200);
        assert!(sockopt::socket_keepalive(&grip.0).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&grip.0).unwrap(), KEEP_IDLE);
    }

    #[tokio::test]
    async fn what_a_dropped_connection_had_still_to_send_is_never_delivered() {
        let (mut stream, grip, mut plc) = pair().await;
        // More than both buffers hold: the rest waits here for a peer that does not read.
        let chunk = [1; 65_536];
        while let Ok(sent) = tokio::time::timeout(Duration::from_millis(50), stream.write(&chunk)).await {
            sent.unwrap();
        }
        drop((stream, grip));
        let mut rest = Vec::new();
        let ended = plc.read_to_end(&mut rest).await;
        assert_eq!(ended.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset), "{} bytes came", rest.len());
    }

    #[tokio::test]
    async fn a_conversation_that_is_over_ends_in_order() {
        let (mut stream, grip, mut plc) = pair().await;
        stream.write_all(b"goodbye").await.unwrap();
        grip.part_politely().unwrap();
        drop((stream, grip));
        let mut all = Vec::new();
        assert_eq!(plc.read_to_end(&mut all).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn nobody_there_is_said_in_time() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(connect(address, &Peer::new(address)).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
