//! The appliance as Modbus client (JMAP role C).
//!
//! Two connections to the PLC that shakes hands, so that outputs never wait behind polling: `outputs` writes the newest
//! image of the status block and reads it back, `poll` looks at the control block and the tags.

mod outlet;
mod outputs;
mod poll;
mod wire;

pub use outlet::Forbidden;
pub(crate) use wire::Wire;
pub use wire::{Asked, Peer, WireError};

use crate::bridge::{Image, Note, Settings};
use crate::map::TagSpec;
use outputs::Outputs;
use poll::Poll;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The PLC that shakes hands.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// How to reach it.
    pub peer: Peer,
    /// First holding register of the control block.
    pub control_base: u16,
    /// First holding register of the status block.
    pub status_base: u16,
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
    /// A PLC at `address` as the map has it: control at 0, status at 1000, 2 ms poll.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            peer: Peer { address, unit: 1, connect_timeout: Duration::from_secs(1), call_timeout: Duration::from_millis(200) },
            control_base: 0,
            status_base: 1000,
            poll_interval: Duration::from_millis(2),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
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

/// Serves the PLC that shakes hands until the last image was written.
pub(crate) async fn run(settings: &Settings, plc: &ClientSettings, images: watch::Receiver<Image>, notes: mpsc::Sender<Note>) {
    let outputs = Outputs { settings, plc, images, notes: notes.clone() }.run();
    let poll = Poll::new(settings, plc, notes).run();
    tokio::select! {
        () = outputs => {}
        () = poll => {}
    }
}

/// Listens to every PLC that only gives readings.
pub(crate) async fn listen(_settings: &Settings, _notes: mpsc::Sender<Note>) {
    std::future::pending().await
}
