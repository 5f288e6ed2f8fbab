//! What the file says of the Modbus side: `[plc]`, `[[plc.tag]]`, `[modbus_server]`, `[[source]]` and `[[recipe.payload]]`.
//!
//! Invariant: exactly one partner shakes hands; what is agreed with it stands once, in [`HandshakeSettings`].

use plc_bridge::client::{WriteFunction, WriteRule};
use plc_bridge::jmap::Order;
use plc_bridge::map::{Kind, Limits, Sample, Table, TagSpec};
use plc_bridge::serial::Parity;
use plc_bridge::server::Network;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a Modbus partner is. `address`, or `serial` with `baud` and `parity`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkSettings {
    /// Modbus TCP.
    Tcp {
        /// A name or an address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Modbus RTU; eight data bits.
    Serial {
        /// The device, for example `/dev/ttyS1`.
        device: PathBuf,
        /// Bits per second.
        baud: u32,
        /// The parity bit; without one there are two stop bits.
        parity: Parity,
    },
}

impl std::fmt::Display for LinkSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Serial { device, baud, .. } => write!(f, "{} at {baud} baud", device.display()),
        }
    }
}

/// What both sides of the handshake have agreed on, whoever is the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HandshakeSettings {
    /// 32-bit values have their low word first.
    pub word_swap: bool,
    /// The bytes of each word are swapped.
    pub byte_swap: bool,
    /// `PlcHeartbeat` unchanged for this long means that the link is down.
    pub plc_heartbeat_timeout_millis: u64,
    /// `VisionHeartbeat` unchanged for this long makes the PLC stop the line. It is set in the PLC's program; here it is
    /// only compared with the time-outs, and the simulated PLC takes it.
    pub vision_heartbeat_timeout_millis: u64,
    /// Belt travel from the camera to the reject gate.
    pub gate_offset_counts: u32,
    /// Belt travel past the gate after which a reject without confirmation counts as unconfirmed.
    pub gate_slack_counts: u32,
}

impl HandshakeSettings {
    /// How wide values lie in the blocks.
    #[must_use]
    pub const fn order(&self) -> Order {
        Order { word_swap: self.word_swap, byte_swap: self.byte_swap }
    }
}

/// `[plc]`: role C of the Modbus contract, the appliance being the client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlcSettings {
    /// Where it is.
    pub link: LinkSettings,
    /// Modbus unit identifier.
    pub unit_id: u8,
    /// First holding register of the control block (PLC → appliance), 96 registers.
    pub control_base: u16,
    /// First holding register of the status block (appliance → PLC), 128 registers.
    pub status_base: u16,
    /// What may be written; it lies in the status block and covers its named part. Said apart from `status_base` so that one
    /// wrong digit in either is found before anything is written.
    pub write_allowed: Vec<WriteAllowed>,
    /// Coil that also carries RunPermit; none if it is only in the status block.
    pub permit_coil: Option<u16>,
    /// How often the control block is read, and with a trigger the tags that belong to the piece.
    pub poll_interval_millis: u64,
    /// A connection that does not come up in this time has failed.
    pub connect_timeout_millis: u64,
    /// A request that is not answered in this time has failed, and with it the connection.
    pub request_timeout_millis: u64,
    /// How tags share requests. `read_gap`, `read_max`, `read_gap_bits`, `read_max_bits`
    pub read: Limits,
    /// Tags at intervals are read over a connection of their own.
    pub tag_connection: bool,
    /// What is read from the process.
    pub tags: Vec<TagSettings>,
    /// `jidoka plc test-write` may be used, and `jidoka run` not.
    pub commissioning: bool,
}

/// An entry of `write_allowed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WriteAllowed {
    /// Modbus function: 16 writes registers, 5 the coil of `permit_coil`.
    pub function: u8,
    /// First address.
    pub first: u16,
    /// Last address.
    pub last: u16,
    /// Smallest value of a register.
    pub min: u16,
    /// Largest value of a register.
    pub max: u16,
    /// Most writes per second; `None` = no limit.
    pub per_second: Option<u32>,
}

impl WriteAllowed {
    /// The entry as the client's outlet takes it; `None` if no function of this number writes.
    #[must_use]
    pub fn rule(&self) -> Option<WriteRule> {
        let Self { function, first, last, min, max, per_second } = *self;
        Some(WriteRule { function: WriteFunction::from_code(function)?, first, last, min, max, per_second })
    }

    /// Any value, at any rate, to these registers: what the pair `[first, last]` says.
    #[must_use]
    pub const fn registers(first: u16, last: u16) -> Self {
        Self { function: 16, first, last, min: 0, max: u16::MAX, per_second: None }
    }
}

/// `[[source]]`: a PLC or a meter that only gives readings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceSettings {
    /// Its name, unique.
    pub name: Arc<str>,
    /// Where it is.
    pub link: LinkSettings,
    /// Modbus unit identifier.
    pub unit_id: u8,
    /// A connection that does not come up in this time has failed.
    pub connect_timeout_millis: u64,
    /// A request that is not answered in this time has failed, and with it the connection.
    pub request_timeout_millis: u64,
    /// How tags share requests. `read_gap`, `read_max`, `read_gap_bits`, `read_max_bits`
    pub read: Limits,
    /// What is read, all of it at intervals.
    pub tags: Vec<TagSettings>,
}

/// `[modbus_server]`: role S of the Modbus contract, the appliance being the server. With `[plc]` it is a mirror that
/// nobody can write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerSettings {
    /// Where it listens.
    pub listen: ServerPort,
    /// Modbus unit identifier that it answers to.
    pub unit_id: u8,
    /// First holding register of the control block.
    pub control_base: u16,
    /// First holding register of the copy of the status block.
    pub status_base: u16,
    /// Most clients at once.
    pub clients_max: u16,
    /// Who may connect; empty on loopback, where everybody on this machine may.
    pub clients_allowed: Vec<Network>,
    /// A client that asks nothing for this long loses its connection.
    pub idle_timeout_millis: u64,
}

/// Where the server listens. `listen`, or `serial` with `baud` and `parity`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerPort {
    /// Modbus TCP.
    Tcp(SocketAddr),
    /// Modbus RTU.
    Serial {
        /// The device.
        device: PathBuf,
        /// Bits per second.
        baud: u32,
        /// The parity bit.
        parity: Parity,
    },
}

/// `[[plc.tag]]` and `[[source.tag]]`: a process value. A number is `raw × scale + offset` in `unit`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TagSettings {
    /// Name, unique among all tags of the file.
    pub name: Arc<str>,
    /// Unit identifier behind the same link (gateway or RS-485 bus), if it is not the link's own.
    pub unit_id: Option<u8>,
    /// Which of the four tables it is in.
    pub table: Table,
    /// First register or bit, 0-based.
    pub address: u16,
    /// How it is written there.
    pub kind: Kind,
    /// Low word first, if it differs from the partner's.
    pub word_swap: Option<bool>,
    /// Bytes of each word swapped, if it differs from the partner's.
    pub byte_swap: Option<bool>,
    /// Factor, not 0.
    pub scale: f64,
    /// Summand, in `unit`.
    pub offset: f64,
    /// Unit, for example `um` or `Cel` (UCUM).
    pub unit: Arc<str>,
    /// A value below this is bad, in `unit`.
    pub min: f64,
    /// A value above this is bad, in `unit`.
    pub max: f64,
    /// A change up to this is none, in `unit`.
    pub dead_band: f64,
    /// When it is read.
    pub sample: Sample,
    /// A value older than this is stale.
    pub stale_after_millis: u64,
}

/// `[[recipe.payload]]`: a value that every result carries to the PLC. `value = register × scale + offset` in `unit`; what does
/// not fit is written as the nearest value that does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PayloadSettings {
    /// Its name, unique in the payload.
    pub name: Arc<str>,
    /// First register within the status block, 64 to 127.
    pub register: u16,
    /// How it is written there: a number in whole registers.
    pub kind: Kind,
    /// Factor, not 0.
    pub scale: f64,
    /// Summand, in `unit`.
    pub offset: f64,
    /// Unit: that of the tag, `1` for a plain number.
    pub unit: Arc<str>,
    /// What it is. `value`, with `tag` or `class`
    pub value: PayloadSource,
}

/// What a value of the payload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadSource {
    /// The reading in force when the piece arrived; 0 if it was not good.
    Reading {
        /// The tag.
        tag: Arc<str>,
    },
    /// 1 if that reading was good, else 0.
    ReadingGood {
        /// The tag.
        tag: Arc<str>,
    },
    /// Number of defects, of one class or of all.
    Defects {
        /// Name of the class; `None` = all.
        class: Option<String>,
    },
    /// Best score of a class, 0…1.
    Score {
        /// Name of the class.
        class: String,
    },
    /// Number of the piece's record at this station.
    Record,
}

impl PayloadSettings {
    /// The field as the bridge lays it into the status block.
    #[must_use]
    pub fn spec(&self) -> TagSpec {
        let Self { name, register, kind, scale, offset, unit, .. } = self;
        let plain = TagSpec::new(Arc::clone(name), *register, *kind);
        TagSpec { scale: *scale, offset: *offset, unit: Arc::clone(unit), ..plain }
    }
}
