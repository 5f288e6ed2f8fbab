//! Modbus TCP: a listening socket, a door, and a task per client.
//!
//! Invariants: a task owns its client's place and gives it back whatever happens; dropping `serve` closes every connection;
//! a request that has begun must end within `FRAME_TIMEOUT`, an answer too.
//! Source of the frame: Modbus Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3.

use super::network::{Door, Refusal, Refused};
use super::pdu::{self, PDU_MAX};
use super::{Counter, FRAME_TIMEOUT, RETRY_FIRST};
use crate::bridge::Note;
use rustix::net::sockopt;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_modbus::ExceptionCode;
use tracing::{debug, info, warn};

/// Transaction, protocol, length, unit.
const HEADER: usize = 7;
/// The largest frame (clause 4.1 of the application protocol); also the read buffer of a client.
const ADU_MAX: usize = HEADER + PDU_MAX;
/// A dead peer is noticed after about `KEEPALIVE_IDLE + KEEPALIVE_COUNT * KEEPALIVE_EVERY`, long before `idle_timeout`.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
const KEEPALIVE_COUNT: u32 = 3;
/// Bytes that nobody acknowledges for this long end the connection, in milliseconds.
const UNACKNOWLEDGED_MILLIS_MAX: u32 = 2000;
/// A wait after the socket could not accept, for example because there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a connection ended.
#[derive(Debug, Error)]
pub(super) enum Ended {
    #[error("closed by the client")]
    Closed,
    #[error("nothing asked for {0:?}")]
    Idle(Duration),
    #[error("a request did not arrive, or an answer did not leave, within {FRAME_TIMEOUT:?}")]
    Slow,
    #[error("not Modbus TCP: protocol {protocol}, length {length}")]
    NotModbus { protocol: u16, length: u16 },
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// Listens until dropped.
pub(super) async fn serve(counter: &Arc<Counter>, address: SocketAddr) {
    let mut wait = RETRY_FIRST;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => counter.again(&mut wait, &address.to_string(), &error).await,
        }
    };
    let bound = listener.local_addr().unwrap_or(address);
    info!(address = %bound, mirror = counter.mirror, "the Modbus server listens");
    if counter.notes.send(Note::Listening(bound)).await.is_err() {
        return;
    }
    let mut door = Door::new(counter.server.clients_allowed.clone(), counter.server.clients_max);
    let mut clients = JoinSet::new();
    let mut session = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => match door.ask(peer.ip(), clients.len(), counter.now()) {
                Ok(()) => {
                    session += 1;
                    debug!(%peer, session, "a Modbus client connects");
                    clients.spawn(client(Arc::clone(counter), stream, peer, session));
                }
                Err(refused) => tell(refused, peer, counter.server.clients_max),
            },
            Err(error) => {
                warn!(error = &error as &dyn Error, "cannot accept a Modbus client");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn tell(refused: Refused, peer: SocketAddr, clients_max: usize) {
    let Refused { why, tell } = refused;
    match why {
        Refusal::NotListed if tell => warn!(%peer, "refused a Modbus client that is not on the list of allowed addresses"),
        Refusal::Full if tell => warn!(%peer, clients_max, "refused a Modbus client; all places are taken"),
        Refusal::NotListed | Refusal::Full => debug!(%peer, ?why, "refused a Modbus client"),
    }
}

async fn client(counter: Arc<Counter>, stream: TcpStream, peer: SocketAddr, session: u64) {
    let ended = match prepare(&stream) {
        Ok(()) => converse(&counter, stream, session).await,
        Err(error) => error.into(),
    };
    match &ended {
        Ended::Closed => debug!(%peer, session, "a Modbus client left"),
        ended => warn!(%peer, session, error = ended as &dyn Error, "lost a Modbus client"),
    }
    counter.leave(session).await;
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    Ok(sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MILLIS_MAX)?)
}

/// Answers one request after the other until the connection ends.
pub(super) async fn converse(counter: &Counter, stream: impl AsyncRead + AsyncWrite + Unpin, session: u64) -> Ended {
    let mut stream = BufReader::with_capacity(ADU_MAX, stream);
    loop {
        match timeout(counter.server.idle_timeout, stream.fill_buf()).await {
            Err(_) => return Ended::Idle(counter.server.idle_timeout),
            Ok(Err(error)) => return error.into(),
            Ok(Ok([])) => return Ended::Closed,
            Ok(Ok(_)) => {}
        }
        let (header, pdu) = match timeout(FRAME_TIMEOUT, frame(&mut stream)).await {
            Err(_) => return Ended::Slow,
            Ok(Err(ended)) => return ended,
            Ok(Ok(frame)) => frame,
        };
        let (frame, last_word) = answer(counter, session, &header, &pdu).await;
        match timeout(FRAME_TIMEOUT, stream.write_all(&frame)).await {
            Err(_) => return Ended::Slow,
            Ok(Err(error)) => return error.into(),
            Ok(Ok(())) if last_word => counter.released.notify_one(),
            Ok(Ok(())) => {}
        }
    }
}

/// Reads one frame. What does not look like a frame ends the connection: where the next one begins cannot be known.
async fn frame(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Result<([u8; HEADER], Vec<u8>), Ended> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await?;
    let [_, _, p, q, l, m, _] = header;
    let (protocol, length) = (u16::from_be_bytes([p, q]), u16::from_be_bytes([l, m]));
    // The length counts the unit and the PDU, which is at least a function code.
    let size = usize::from(length).saturating_sub(1);
    if protocol != 0 || size == 0 || size > PDU_MAX {
        return Err(Ended::NotModbus { protocol, length });
    }
    let mut pdu = vec![0; size];
    stream.read_exact(&mut pdu).await?;
    Ok((header, pdu))
}

/// The frame to answer with, and whether it is the last word to the holder of control.
async fn answer(counter: &Counter, session: u64, header: &[u8; HEADER], pdu: &[u8]) -> (Vec<u8>, bool) {
    let [t, u, .., unit] = *header;
    let mut last_word = false;
    let answer = if unit == 0 || unit == u8::MAX || unit == counter.server.unit {
        match pdu::request(pdu) {
            Ok(request) => {
                let answered = counter.answer(session, &request).await;
                last_word = answered.last_word;
                answered.answer
            }
            Err(exception) => Err(exception),
        }
    } else {
        // Silence would cost the client its time-out; this is what a gateway says of a unit that it does not reach.
        Err(ExceptionCode::GatewayTargetDevice)
    };
    let pdu = pdu::answer(pdu, &answer);
    let [high, low] = u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX).to_be_bytes();
    ([&[t, u, 0, 0, high, low, unit], pdu.as_slice()].concat(), last_word)
}
