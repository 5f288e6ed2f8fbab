//! One connection to the PLC.
//!
//! Invariants: every call ends within its time-out; after any error the connection is gone, because a late answer to an
//! old question must never be taken for the answer to a new one; an answer of the wrong length is an error.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use station::line::LinkFault;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::prelude::SlaveContext as _;
use tokio_modbus::{ExceptionCode, Request, Response, Slave};

use super::outlet::{Forbidden, Outlet};
use crate::map::{Batch, Table};

/// Why a call did not give what was asked.
#[derive(Debug, Error)]
pub enum WireError {
    /// No TCP connection.
    #[error("cannot connect to the PLC at {peer}; check address, port and cable")]
    Connect {
        /// Where to.
        peer: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection was lost, or its bytes made no sense.
    #[error("the connection to the PLC at {peer} is unusable")]
    Broken {
        /// Where to.
        peer: SocketAddr,
        /// Why.
        #[source]
        source: tokio_modbus::Error,
    },
    /// No answer in time.
    #[error("the PLC at {peer} did not answer {asked} within {limit:?}")]
    TimedOut {
        /// Where to.
        peer: SocketAddr,
        /// What was asked.
        asked: Asked,
        /// How long it had.
        limit: Duration,
    },
    /// The PLC refused. The connection is still good.
    #[error("the PLC at {peer} refused {asked}: {exception}")]
    Refused {
        /// Where to.
        peer: SocketAddr,
        /// What was asked.
        asked: Asked,
        /// Its reason.
        exception: ExceptionCode,
    },
    /// The answer does not fit the question.
    #[error("the PLC at {peer} answered {asked} with something else")]
    Nonsense {
        /// Where to.
        peer: SocketAddr,
        /// What was asked.
        asked: Asked,
    },
    /// The write lies outside what may be written. Nothing was sent.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

impl WireError {
    /// The fault as the station knows it.
    #[must_use]
    pub const fn fault(&self) -> LinkFault {
        match self {
            Self::Connect { .. } | Self::Broken { .. } => LinkFault::Disconnected,
            Self::TimedOut { .. } => LinkFault::TimedOut,
            Self::Refused { .. } | Self::Nonsense { .. } | Self::Forbidden(_) => LinkFault::Refused,
        }
    }

    /// True if the PLC answered, with a refusal: the connection may be used on.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// A question, as it appears in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    verb: &'static str,
    address: u16,
    count: usize,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} registers at {}", self.verb, self.count, self.address)
    }
}

/// How to reach a PLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address and port.
    pub address: SocketAddr,
    /// Modbus unit identifier (255 or 1 for most PLCs that are not gateways).
    pub unit: u8,
    /// Limit for connecting.
    pub connect_timeout: Duration,
    /// Limit for one question and its answer.
    pub call_timeout: Duration,
}

/// An open connection.
pub(crate) struct Wire {
    peer: Peer,
    context: Context,
}

impl Wire {
    pub(crate) async fn connect(peer: Peer) -> Result<Self, WireError> {
        let failed = |source| WireError::Connect { peer: peer.address, source };
        let connecting = timeout(peer.connect_timeout, TcpStream::connect(peer.address));
        let stream = connecting.await.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { peer, context: tcp::attach_slave(stream, Slave(peer.unit)) })
    }

    /// Reads holding registers. On an error that is not a refusal the connection must be dropped; taking `self` by value
    /// and giving it back only with an answer leaves no other way.
    pub(crate) async fn read(self, address: u16, count: u16) -> Result<(Self, Result<Vec<u16>, WireError>), WireError> {
        let asked = Asked { verb: "to read", address, count: usize::from(count) };
        let (wire, answer) = self.call(Request::ReadHoldingRegisters(address, count), asked).await?;
        let words = match answer {
            Ok(Response::ReadHoldingRegisters(words)) if words.len() == usize::from(count) => Ok(words),
            Ok(_) => return Err(WireError::Nonsense { peer: wire.peer.address, asked }),
            Err(refusal) => Err(refusal),
        };
        Ok((wire, words))
    }

    /// Reads the cells of a batch, one per address, coils and discrete inputs as 0 or 1; otherwise as `read`.
    pub(crate) async fn read_batch(mut self, batch: &Batch) -> Result<(Self, Result<Vec<u16>, WireError>), WireError> {
        let (address, count) = (batch.address, batch.count);
        let request = match batch.table {
            Table::Holding => Request::ReadHoldingRegisters(address, count),
            Table::Input => Request::ReadInputRegisters(address, count),
            Table::Coil => Request::ReadCoils(address, count),
            Table::Discrete => Request::ReadDiscreteInputs(address, count),
        };
        let asked = Asked { verb: "to read", address, count: usize::from(count) };
        self.context.set_slave(Slave(batch.unit_id.unwrap_or(self.peer.unit)));
        let (mut wire, answer) = self.call(request, asked).await?;
        wire.context.set_slave(Slave(wire.peer.unit));
        let cells = match (batch.table, answer) {
            (Table::Holding, Ok(Response::ReadHoldingRegisters(words))) | (Table::Input, Ok(Response::ReadInputRegisters(words))) => words,
            (Table::Coil, Ok(Response::ReadCoils(bits))) | (Table::Discrete, Ok(Response::ReadDiscreteInputs(bits))) => {
                cells(&bits, usize::from(count))
            }
            (_, Ok(_)) => Vec::new(),
            (_, Err(refusal)) => return Ok((wire, Err(refusal))),
        };
        if cells.len() == usize::from(count) { Ok((wire, Ok(cells))) } else { Err(WireError::Nonsense { peer: wire.peer.address, asked }) }
    }

    /// Reads holding registers where a refusal is as bad as no answer.
    pub(crate) async fn must_read(self, address: u16, count: u16) -> Result<(Self, Vec<u16>), WireError> {
        let (wire, words) = self.read(address, count).await?;
        Ok((wire, words?))
    }

    /// Writes registers that `outlet` allows.
    pub(crate) async fn write(self, outlet: &Outlet, offset: u16, words: &[u16]) -> Result<Self, WireError> {
        let (address, request) = outlet.request(offset, words)?;
        let asked = Asked { verb: "to write", address, count: words.len() };
        let written = u16::try_from(words.len()).unwrap_or(u16::MAX);
        let (wire, answer) = self.call(request, asked).await?;
        match answer? {
            Response::WriteMultipleRegisters(at, count) if at == address && count == written => Ok(wire),
            _ => Err(WireError::Nonsense { peer: wire.peer.address, asked }),
        }
    }

    async fn call(mut self, request: Request<'_>, asked: Asked) -> Result<(Self, Result<Response, WireError>), WireError> {
        let Peer { address: peer, call_timeout: limit, .. } = self.peer;
        match timeout(limit, self.context.call(request)).await {
            Err(_) => Err(WireError::TimedOut { peer, asked, limit }),
            Ok(Err(source)) => Err(WireError::Broken { peer, source }),
            Ok(Ok(Err(exception))) => Ok((self, Err(WireError::Refused { peer, asked, exception }))),
            Ok(Ok(Ok(response))) => Ok((self, Ok(response))),
        }
    }
}

/// Bits come in whole bytes; what was not asked for is cut. An answer of the wrong length gives no cells.
fn cells(bits: &[bool], count: usize) -> Vec<u16> {
    let whole = bits.len() == count.next_multiple_of(8) || bits.len() == count;
    if whole { bits.iter().take(count).map(|bit| u16::from(*bit)).collect() } else { Vec::new() }
}

/// The only write request of this crate; see `outlet`.
pub(super) fn write_request(address: u16, words: &[u16]) -> Request<'_> {
    Request::WriteMultipleRegisters(address, Cow::Borrowed(words))
}

/// Waits between attempts to connect: doubling from `first` to `most`, each shortened by up to a quarter so that two
/// appliances do not knock in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    dice: u64,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, next: first, dice: seed | 1 }
    }

    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next.min(self.most);
        self.next = wait.saturating_mul(2).min(self.most);
        // Marsaglia's xorshift64: jitter needs no better dice.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let thousandths = u32::try_from(self.dice % 250).unwrap_or(0);
        wait - wait.saturating_mul(thousandths) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_over() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, most, 7);
        let waits: Vec<Duration> = (0..8).map(|_| backoff.next()).collect();
        for (wait, ideal) in waits.iter().zip([100, 200, 400, 800, 1600, 2000, 2000, 2000]) {
            let ideal = Duration::from_millis(ideal);
            assert!(*wait <= ideal && *wait >= ideal * 3 / 4, "{wait:?} for {ideal:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
