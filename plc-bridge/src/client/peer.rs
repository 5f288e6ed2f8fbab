//! Where a PLC is, what it was asked, and how it can fail to answer.
//!
//! Invariant: every error names the way to the PLC and what was asked, because the person who reads it stands at a cabinet
//! with five of them.

use super::rules::Forbidden;
use crate::serial::SerialLine;
use station::line::LinkFault;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use tokio_modbus::ExceptionCode;

/// The way to a PLC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Modbus TCP: address and port.
    Tcp(SocketAddr),
    /// Modbus RTU. Peers that name the same device share it.
    Serial(SerialLine),
}

impl Way {
    const fn mend(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "address, port and cable",
            Self::Serial(_) => "device, permissions and who else has it open",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Serial(line) => write!(f, "{} ({} baud)", line.device.display(), line.baud),
        }
    }
}

impl From<SocketAddr> for Way {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<SerialLine> for Way {
    fn from(line: SerialLine) -> Self {
        Self::Serial(line)
    }
}

/// How to reach a PLC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub way: Way,
    /// Modbus unit identifier (255 or 1 for most PLCs that are not gateways).
    pub unit: u8,
    /// Limit for connecting.
    pub connect_timeout: Duration,
    /// Limit for one question and its answer: the longest that the PLC may think. Over a serial line the time that both
    /// take on the line comes on top.
    pub call_timeout: Duration,
}

impl Peer {
    /// Unit 1 there; 300 ms to connect, 200 ms to answer: a black hole is noticed within 300 ms.
    #[must_use]
    pub fn new(way: impl Into<Way>) -> Self {
        Self { way: way.into(), unit: 1, connect_timeout: Duration::from_millis(300), call_timeout: Duration::from_millis(200) }
    }
}

/// Why a call did not give what was asked.
#[derive(Debug, Error)]
pub enum WireError {
    /// No connection, or the serial device does not open.
    #[error("cannot connect to the PLC at {peer}; check {}", peer.mend())]
    Connect {
        /// Where to.
        peer: Way,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection was lost, or its bytes made no sense.
    #[error("the connection to the PLC at {peer} is unusable")]
    Broken {
        /// Where to.
        peer: Way,
        /// Why.
        #[source]
        source: tokio_modbus::Error,
    },
    /// No answer in time.
    #[error("the PLC at {peer} did not answer {asked} within {limit:?}")]
    TimedOut {
        /// Where to.
        peer: Way,
        /// What was asked.
        asked: Asked,
        /// How long it had.
        limit: Duration,
    },
    /// The PLC refused. The connection is still good.
    #[error("the PLC at {peer} refused {asked}: {exception}")]
    Refused {
        /// Where to.
        peer: Way,
        /// What was asked.
        asked: Asked,
        /// Its reason.
        exception: ExceptionCode,
    },
    /// The answer does not fit the question.
    #[error("the PLC at {peer} answered {asked} with something else")]
    Nonsense {
        /// Where to.
        peer: Way,
        /// What was asked.
        asked: Asked,
    },
    /// The write is not on the list of what may be written. Nothing was sent.
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
    pub(super) verb: &'static str,
    pub(super) what: &'static str,
    pub(super) address: u16,
    pub(super) count: usize,
    pub(super) unit: u8,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, what, address, count, unit } = self;
        write!(f, "{verb} {count} {what} at {address} of unit {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::Parity;

    #[test]
    fn errors_name_the_way_and_the_question() {
        let asked = Asked { verb: "to read", what: "registers", address: 2000, count: 4, unit: 3 };
        let line = SerialLine { device: "/dev/ttyS1".into(), baud: 19_200, parity: Parity::Even };
        let late = WireError::TimedOut { peer: line.clone().into(), asked, limit: Duration::from_millis(210) };
        assert_eq!(
            late.to_string(),
            "the PLC at /dev/ttyS1 (19200 baud) did not answer to read 4 registers at 2000 of unit 3 within 210ms"
        );
        let absent = WireError::Connect { peer: line.into(), source: io::ErrorKind::NotFound.into() };
        assert!(absent.to_string().ends_with("check device, permissions and who else has it open"));
    }
}
