//! The appliance as Modbus TCP client of one PLC (JMAP role C).
//!
//! ```text
//!   commands ─►┌────────┐ newest image ┌─────────┐ FC16 status 0–63, read back
//!              │ bridge ├─────────────►│ outputs ├──────────────────────────► PLC
//!   report  ◄──┤ (pure  │◄─────────────┤         │
//!              │  logic)│   notes      ├─────────┤ FC03 control, tags
//!              │        │◄─────────────┤ poll    │◄────────────────────────── PLC
//!              └────────┘              └─────────┘
//! ```
//! Invariants: outputs never wait behind polling (two connections, and the newest image replaces an older one that was not
//! written yet: every exchange of the handshake waits for the other side's level, so nothing is lost by it); a permit that
//! waits in the queue is in the very next write, whatever else waits before it; when the commands end, the line is told to
//! stop, because nobody is left to judge. Role S and serial lines will be further folders beside this one.

mod bridge;
mod outlet;
mod outputs;
mod poll;
mod wire;

pub use outlet::Forbidden;
pub(crate) use wire::Wire;
pub use wire::{Asked, Peer, WireError};

use crate::handshake::Identity;
use crate::jmap::Order;
use crate::map::TagSpec;
use bridge::Bridge;
use outputs::{Image, Outputs};
use poll::Poll;
use station::line::LineCommand;
use station::piece::PieceId;
use station::station::Event;
use station::units::{Micros, Timestamp};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

/// Tells the time; owned by the program, because this crate asks no clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Notes from the two connections that wait for the bridge; one slot costs some 200 bytes. When it is full the connections
/// wait, which they may: the bridge never waits for them.
const NOTES_MAX: usize = 64;

/// Everything the client needs to know.
#[derive(Clone)]
pub struct Settings {
    /// The PLC.
    pub peer: Peer,
    /// First holding register of the control block.
    pub control_base: u16,
    /// First holding register of the status block.
    pub status_base: u16,
    /// How wide values lie in its registers.
    pub order: Order,
    /// Time between two looks at the control block.
    pub poll_interval: Duration,
    /// `PlcHeartbeat` may stand still for this long.
    pub heartbeat_timeout: Micros,
    /// First wait before connecting again.
    pub backoff_first: Duration,
    /// Longest wait before connecting again.
    pub backoff_max: Duration,
    /// Time for the last write when stopping.
    pub stop_deadline: Duration,
    /// Process tags to read.
    pub tags: Vec<TagSpec>,
    /// What the status block says of the appliance.
    pub identity: Identity,
    /// The time.
    pub clock: Clock,
}

impl Settings {
    /// Settings of the map: control at 0, status at 1000, 2 ms poll, 1 s heartbeat.
    #[must_use]
    pub fn new(address: SocketAddr, clock: Clock) -> Self {
        let peer = Peer { address, unit: 1, connect_timeout: Duration::from_secs(1), call_timeout: Duration::from_millis(200) };
        Self {
            peer,
            control_base: 0,
            status_base: 1000,
            order: Order::default(),
            poll_interval: Duration::from_millis(2),
            heartbeat_timeout: Micros::from_millis(1000),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            stop_deadline: Duration::from_millis(500),
            tags: Vec::new(),
            identity: Identity::default(),
            clock,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("peer", &self.peer).field("tags", &self.tags.len()).finish_non_exhaustive()
    }
}

/// What the client tells the program.
#[derive(Debug, Clone, PartialEq)]
pub enum BridgeReport {
    /// For the station, in this order.
    Event(Event),
    /// A result stands in the PLC's registers; time from the bridge taking the command to the PLC acknowledging the write.
    Written {
        /// The piece.
        piece: PieceId,
        /// Microseconds.
        micros: u64,
    },
    /// One write of the status block and its answer took this long.
    RoundTrip {
        /// Microseconds.
        micros: u64,
    },
}

/// What the connections tell the bridge.
#[derive(Debug)]
enum Note {
    Outputs(outputs::OutputNote),
    Poll(poll::PollNote),
}

/// Serves one PLC until `stop` resolves or the commands end; reconnects for ever. `report` must not block.
///
/// On the way out it writes a status block of zeros (RunPermit 0, TriggerReady 0) if it has a connection, within
/// `stop_deadline`. Dropping the future closes the connections at once; the PLC's watchdog then stops the line.
pub async fn run(
    settings: Settings,
    mut commands: mpsc::Receiver<LineCommand>,
    report: impl FnMut(BridgeReport) + Send,
    stop: impl Future<Output = ()> + Send,
) {
    let (images, newest) = watch::channel(Image::safe());
    let (notes, mut told) = mpsc::channel(NOTES_MAX);
    let outputs = Outputs { settings: &settings, images: newest, notes: notes.clone() }.run();
    let poll = Poll::new(&settings, notes).run();
    tokio::pin!(outputs, poll, stop);
    let mut bridge = Bridge::new(&settings, report, images);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            command = commands.recv() => {
                let Some(command) = command else {
                    warn!("the judge is gone; stopping the line");
                    break;
                };
                bridge.commands(command, &mut commands);
            }
            Some(note) = told.recv() => bridge.note(note),
            // Both only end after this function let go of them.
            () = &mut outputs => return,
            () = &mut poll => return,
        }
    }
    bridge.finish();
    let last_write = async {
        // The outputs may still have something to tell; nobody needs it now, but they must not wait for room.
        tokio::select! {
            () = &mut outputs => {}
            () = async { while told.recv().await.is_some() {} } => {}
        }
    };
    match timeout(settings.stop_deadline, last_write).await {
        Ok(()) => info!("the PLC bridge has ended"),
        Err(_) => warn!("the last write to the PLC did not end in time; its watchdog stops the line"),
    }
}
