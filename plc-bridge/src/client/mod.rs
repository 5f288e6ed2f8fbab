//! The appliance as Modbus client (JMAP role C).
//!
//! Connections of their own for what must not wait: `outputs` writes the newest image of the status block and reads it
//! back, `poll` looks at the control block.
//!
//! ```text
//!   settings ─► rules ─► outlet (what may be written)
//!   outputs, poll ─► wire ─┬─► socket (TCP)
//!                          └─► bus (a serial device, shared)
//! ```

mod backoff;
mod bus;
mod loss;
mod outlet;
mod outputs;
mod peer;
mod poll;
mod rules;
mod socket;
mod wire;

pub(crate) use bus::{Buses, Rank};
pub use peer::{Asked, Peer, Way, WireError};
pub use rules::{Forbidden, Objection, Write, WriteFunction, WriteRule, covers};
pub(crate) use wire::Wire;

use crate::bridge::{Image, Note, Settings};
use crate::map::TagSpec;
use outputs::Outputs;
use poll::Poll;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(300);

/// The PLC that shakes hands.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// How to reach it.
    pub peer: Peer,
    /// First holding register of the control block.
    pub control_base: u16,
    /// First holding register of the status block.
    pub status_base: u16,
    /// What may be written; empty means exactly the status block (function 16) and the permit coil. Verify it with
    /// [`ClientSettings::objections`].
    pub allowed: Vec<WriteRule>,
    /// A coil of the PLC that also carries RunPermit.
    pub permit_coil: Option<u16>,
    /// Tags at intervals are read over a connection of their own; without it they share that of the control block, which
    /// then waits for at most one of their requests.
    pub tag_connection: bool,
    /// Time between two looks at the control block.
    pub poll_interval: Duration,
    /// First wait before connecting again.
    pub backoff_first: Duration,
    /// Longest wait before connecting again.
    pub backoff_max: Duration,
    /// Process tags to read.
    pub tags: Vec<TagSpec>,
}

impl ClientSettings {
    /// A PLC there as the map has it: control at 0, status at 1000, 2 ms poll. Its time-outs and waits have a session back
    /// within a second of the PLC's return: 300 ms for an attempt that comes too early, 300 ms until the next one, and
    /// 250 ms for a heartbeat.
    #[must_use]
    pub fn new(way: impl Into<Way>) -> Self {
        Self {
            peer: Peer::new(way),
            control_base: 0,
            status_base: 1000,
            allowed: Vec::new(),
            permit_coil: None,
            tag_connection: true,
            poll_interval: Duration::from_millis(2),
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
            tags: Vec::new(),
        }
    }
}

/// A PLC that only gives readings.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Its name, for people.
    pub name: Arc<str>,
    /// How to reach it.
    pub peer: Peer,
    /// First wait before connecting again.
    pub backoff_first: Duration,
    /// Longest wait before connecting again.
    pub backoff_max: Duration,
    /// Tags to read, all of them at an interval.
    pub tags: Vec<TagSpec>,
}

impl SourceSettings {
    /// A PLC there, with the usual time-outs.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, way: impl Into<Way>, tags: Vec<TagSpec>) -> Self {
        Self { name: name.into(), peer: Peer::new(way), backoff_first: BACKOFF_FIRST, backoff_max: BACKOFF_MAX, tags }
    }
}

/// Serves the PLC that shakes hands until the last image was written.
pub(crate) async fn run(
    settings: &Settings,
    plc: &ClientSettings,
    buses: &Buses,
    images: watch::Receiver<Image>,
    notes: mpsc::Sender<Note>,
) {
    let outputs = Outputs::new(settings, plc, buses, images, notes.clone()).run();
    let poll = Poll::new(settings, plc, buses, notes).run();
    tokio::select! {
        () = outputs => {}
        () = poll => {}
    }
}

/// Listens to every PLC that only gives readings.
pub(crate) async fn listen(_settings: &Settings, _buses: &Buses, _notes: mpsc::Sender<Note>) {
    std::future::pending().await
}
