//! One connection to the PLC.
//!
//! Invariants: every call ends within its time-out; after any error the connection is gone, because a late answer to an
//! old question must never be taken for the answer to a new one; an answer of the wrong length is an error.

use super::bus::{Bus, BusError, Buses, Question, Rank};
use super::outlet::Cleared;
use super::peer::{Asked, Peer, Way, WireError};
use super::socket::{self, Grip};
use crate::map::{Batch, Table};
use std::io;
use std::sync::Arc;
use tokio::time::timeout;
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::prelude::SlaveContext;
use tokio_modbus::{Error, Request, Response, Slave};
use tracing::debug;

/// An open connection.
pub(crate) struct Wire {
    peer: Peer,
    link: Link,
}

enum Link {
    Tcp {
        context: Context,
        /// `None` only if there is no socket below; see `fuzzing`.
        grip: Option<Grip>,
    },
    Serial {
        bus: Arc<Bus>,
        rank: Rank,
    },
}

/// Characters of a read and its answer on a serial line, without the values (Modbus over Serial Line V1.02, 2.5.1; Modbus
/// Application Protocol V1.1b3, 6.1 to 6.4): 8, and 5 around the values.
const READ_CHARACTERS: u32 = 8 + 5;
/// The same of a write (6.11, 6.12): 9 around the values, and 8.
const WRITE_CHARACTERS: u32 = 9 + 8;

/// What was asked, until it was answered: the wire for the next question, and the answer or the PLC's refusal.
type Answered<T> = Result<(Wire, Result<T, WireError>), WireError>;

impl Wire {
    /// A connection of its own over TCP, or a share of `buses`' serial device.
    pub(crate) async fn connect_over(peer: &Peer, buses: &Buses, rank: Rank) -> Result<Self, WireError> {
        let failed = |source| WireError::Connect { peer: peer.way.clone(), source };
        let link = match &peer.way {
            Way::Tcp(address) => {
                let (stream, grip) = socket::connect(*address, peer).await.map_err(failed)?;
                Link::Tcp { context: tcp::attach_slave(stream, Slave(peer.unit)), grip: Some(grip) }
            }
            Way::Serial(line) => {
                let bus = buses.bus(line).map_err(failed)?;
                bus.open(rank, peer.call_timeout).await.map_err(|error| trouble(&peer.way, None, error))?;
                Link::Serial { bus, rank }
            }
        };
        Ok(Self { peer: peer.clone(), link })
    }

    /// A connection over anything.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) const fn over(peer: Peer, context: Context) -> Self {
        Self { peer, link: Link::Tcp { context, grip: None } }
    }

    /// Ends the conversation in order. Dropping a wire ends it at once, with whatever is still unsent.
    pub(crate) fn close(self) {
        if let Link::Tcp { grip: Some(grip), .. } = &self.link
            && let Err(error) = grip.part_politely()
        {
            debug!(%error, "the connection ends abruptly");
        }
    }

    /// Reads holding registers of the peer's own unit.
    pub(crate) async fn read(self, address: u16, count: u16) -> Answered<Vec<u16>> {
        self.read_cells(None, Table::Holding, address, count).await
    }

    /// Reads the cells of a batch, one per address, coils and discrete inputs as 0 or 1.
    pub(crate) async fn read_batch(self, batch: &Batch) -> Answered<Vec<u16>> {
        self.read_cells(batch.unit_id, batch.table, batch.address, batch.count).await
    }

    /// On an error that is not a refusal the connection must be dropped; taking `self` by value and giving it back only
    /// with an answer leaves no other way.
    async fn read_cells(self, unit: Option<u8>, table: Table, address: u16, count: u16) -> Answered<Vec<u16>> {
        let request = match table {
            Table::Holding => Request::ReadHoldingRegisters(address, count),
            Table::Input => Request::ReadInputRegisters(address, count),
            Table::Coil => Request::ReadCoils(address, count),
            Table::Discrete => Request::ReadDiscreteInputs(address, count),
        };
        let unit = unit.unwrap_or(self.peer.unit);
        let asked = Asked { verb: "to read", what: table.cells(), address, count: usize::from(count), unit };
        let bytes = if table.is_bits() { count.div_ceil(8) } else { count.saturating_mul(2) };
        let (wire, answer) = self.call(request, asked, READ_CHARACTERS + u32::from(bytes)).await?;
        let response = match answer {
            Ok(response) => response,
            Err(refusal) => return Ok((wire, Err(refusal))),
        };
        match cells(response, table, asked.count) {
            Some(cells) => Ok((wire, Ok(cells))),
            None => Err(WireError::Nonsense { peer: wire.peer.way, asked }),
        }
    }

    /// Reads holding registers where a refusal is as bad as no answer.
    pub(crate) async fn must_read(self, address: u16, count: u16) -> Result<(Self, Vec<u16>), WireError> {
        let (wire, words) = self.read(address, count).await?;
        Ok((wire, words?))
    }

    /// Whether a coil of the peer's own unit is on.
    pub(crate) async fn must_read_coil(self, address: u16) -> Result<(Self, bool), WireError> {
        let (wire, bits) = self.read_cells(None, Table::Coil, address, 1).await?;
        Ok((wire, bits? == [1]))
    }

    /// Writes what an `Outlet` let pass, to the peer's own unit.
    pub(crate) async fn write(self, cleared: Cleared<'_>) -> Result<Self, WireError> {
        let (address, count) = cleared.place();
        let (table, bytes) = if cleared.is_bits() { (Table::Coil, count.div_ceil(8)) } else { (Table::Holding, count * 2) };
        let asked = Asked { verb: "to write", what: table.cells(), address, count, unit: self.peer.unit };
        let characters = WRITE_CHARACTERS + u32::try_from(bytes).unwrap_or(u32::from(u8::MAX));
        let (wire, answer) = self.call(cleared.request(), asked, characters).await?;
        if cleared.is_confirmed_by(&answer?) { Ok(wire) } else { Err(WireError::Nonsense { peer: wire.peer.way, asked }) }
    }

    async fn call(mut self, request: Request<'_>, asked: Asked, characters: u32) -> Answered<Response> {
        let limit = self.peer.call_timeout;
        let answer = match &mut self.link {
            Link::Tcp { context, .. } => {
                context.set_slave(Slave(asked.unit));
                match timeout(limit, context.call(request)).await {
                    Err(_) => Err(BusError::TimedOut(limit)),
                    Ok(Err(error)) => Err(BusError::Broken(plain(error))),
                    Ok(Ok(answer)) => Ok(answer),
                }
            }
            Link::Serial { bus, rank } => bus.ask(*rank, Question { unit: asked.unit, request, thinks: limit, characters }).await,
        };
        match answer {
            Ok(Ok(response)) => Ok((self, Ok(response))),
            Ok(Err(exception)) => {
                let refusal = WireError::Refused { peer: self.peer.way.clone(), asked, exception };
                Ok((self, Err(refusal)))
            }
            Err(error) => Err(trouble(&self.peer.way, Some(asked), error)),
        }
    }
}

/// The codec answers the end of a stream with whatever error number the thread had last; only that of a reset or of a
/// user time-out means something.
fn plain(error: Error) -> Error {
    match error {
        Error::Transport(error) if error.raw_os_error().is_some() && !is_about_the_peer(error.kind()) => {
            Error::Transport(io::Error::new(io::ErrorKind::UnexpectedEof, "the PLC closed the connection"))
        }
        other => other,
    }
}

const fn is_about_the_peer(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
    matches!(kind, ConnectionReset | ConnectionAborted | BrokenPipe | TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown)
}

fn trouble(peer: &Way, asked: Option<Asked>, error: BusError) -> WireError {
    let peer = peer.clone();
    match (error, asked) {
        (BusError::Closed(source), _) => WireError::Connect { peer, source },
        (BusError::TimedOut(limit), Some(asked)) => WireError::TimedOut { peer, asked, limit },
        (BusError::TimedOut(_), None) => WireError::Connect { peer, source: io::ErrorKind::TimedOut.into() },
        (BusError::Broken(source), _) => WireError::Broken { peer, source },
    }
}

/// The cells of an answer, if it is the one to this question. Bits come in whole bytes; what was not asked for is cut.
fn cells(response: Response, table: Table, count: usize) -> Option<Vec<u16>> {
    match (table, response) {
        (Table::Holding, Response::ReadHoldingRegisters(words)) | (Table::Input, Response::ReadInputRegisters(words)) => {
            (words.len() == count).then_some(words)
        }
        (Table::Coil, Response::ReadCoils(bits)) | (Table::Discrete, Response::ReadDiscreteInputs(bits)) => {
            (bits.len() == count.next_multiple_of(8)).then(|| bits.into_iter().take(count).map(u16::from).collect())
        }
        _ => None,
    }
}
