//! The Modbus side of one station: who shakes hands, who only listens, who is only listened to.
//!
//! ```text
//!   commands ─►┌────────┐ newest image ┌──────────────────────┐
//!              │ middle ├─────────────►│ client: outputs      ├─────► the PLC that shakes hands (role C)
//!   report  ◄──┤ (pure  │◄─────────────┤         control, tags│◄─────
//!              │  logic)│   notes      ├──────────────────────┤
//!              │        │◄────────────►│ server               │◄────► the PLC that shakes hands (role S), or readers
//!              │        │              ├──────────────────────┤
//!              │        │◄─────────────┤ sources              │◄───── PLCs that only give readings, one link each
//!              └────────┘              └──────────────────────┘
//! ```
//! Exactly one partner shakes hands: the PLC of `Settings::plc` if there is one, else the client of `Settings::server`.
//! With both, the server shows the same blocks to readers and takes no control.
//!
//! Invariants: no part waits for another (the newest image replaces an older one that was not written yet: every exchange
//! of the handshake waits for the other side's level, so nothing is lost by it); a permit that waits in the queue is in the
//! very next image, whatever else waits before it; when the commands end, the line is told to stop, because nobody is left
//! to judge.

mod middle;
mod note;

pub(crate) use note::{Image, Note, OutputNote, PollNote};

use crate::client::{self, ClientSettings, SourceSettings};
use crate::handshake::Identity;
use crate::jmap::{CONTROL_LEN, Order};
use crate::map::Payload;
use crate::server::{self, ServerSettings};
use middle::Middle;
use station::line::LineCommand;
use station::piece::PieceId;
use station::station::Event;
use station::units::{Micros, Timestamp};
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

/// Tells the time; owned by the program, because this crate asks no clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Notes that wait for the middle; one slot costs some 200 bytes. When it is full the parts wait, which they may: the
/// middle never waits for them.
const NOTES_MAX: usize = 64;

/// What the status block says of the machine, apart from the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// `StoragePermille`: how full the storage is.
    pub storage_permille: u16,
    /// `UploadBacklog`: records that wait to be delivered.
    pub upload_backlog: u32,
}

/// Everything the Modbus side needs to know.
#[derive(Clone)]
pub struct Settings {
    /// The PLC whose server the appliance is a client of (role C).
    pub plc: Option<ClientSettings>,
    /// The appliance's own server (role S).
    pub server: Option<ServerSettings>,
    /// Other PLCs that only give readings.
    pub sources: Vec<SourceSettings>,
    /// How wide values lie in the blocks.
    pub order: Order,
    /// Where the values of a result's payload lie in the status block.
    pub payload: Payload,
    /// `PlcHeartbeat` may stand still for this long.
    pub heartbeat_timeout: Micros,
    /// Time for the last write when stopping.
    pub stop_deadline: Duration,
    /// What the status block says of the appliance.
    pub identity: Identity,
    /// What it says of the machine; zeros if nobody tells.
    pub facts: Option<watch::Receiver<Facts>>,
    /// The time.
    pub clock: Clock,
}

impl Settings {
    /// Settings of the map with one PLC at `address`: control at 0, status at 1000, 2 ms poll, 1 s heartbeat.
    #[must_use]
    pub fn new(address: SocketAddr, clock: Clock) -> Self {
        Self { plc: Some(ClientSettings::new(address)), ..Self::alone(clock) }
    }

    /// Settings of the map with nobody at the other end yet.
    #[must_use]
    pub fn alone(clock: Clock) -> Self {
        Self {
            plc: None,
            server: None,
            sources: Vec::new(),
            order: Order::default(),
            payload: Payload::default(),
            heartbeat_timeout: Micros::from_millis(1000),
            stop_deadline: Duration::from_millis(500),
            identity: Identity::default(),
            facts: None,
            clock,
        }
    }

    fn facts(&self) -> Facts {
        self.facts.as_ref().map_or_else(Facts::default, |facts| *facts.borrow())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("plc", &self.plc).field("server", &self.server).finish_non_exhaustive()
    }
}

/// What the bridge tells the program.
#[derive(Debug, Clone, PartialEq)]
pub enum BridgeReport {
    /// For the station, in this order.
    Event(Event),
    /// A result stands where the PLC reads it; time from the bridge taking the command to that.
    Written {
        /// The piece.
        piece: PieceId,
        /// Microseconds.
        micros: u64,
    },
    /// A changed permit stands in the PLC and reads back, or was read by the PLC (role S); time from the bridge taking the
    /// command to that.
    Permitted {
        /// May the line run?
        run: bool,
        /// Microseconds.
        micros: u64,
    },
    /// One write of the status block and its answer took this long.
    RoundTrip {
        /// Microseconds.
        micros: u64,
    },
    /// The server listens here.
    Listening(SocketAddr),
}

/// Serves the line until `stop` resolves or the commands end; reconnects for ever. `report` must not block.
///
/// On the way out it shows a status block of zeros (RunPermit 0, TriggerReady 0) if it has a connection, within
/// `stop_deadline`. Dropping the future closes the connections at once; the PLC's watchdog then stops the line.
pub async fn run(
    settings: Settings,
    mut commands: mpsc::Receiver<LineCommand>,
    report: impl FnMut(BridgeReport) + Send,
    stop: impl Future<Output = ()> + Send,
) {
    let (images, newest) = watch::channel(Image::safe());
    let (notes, mut told) = mpsc::channel(NOTES_MAX);
    let (seen, mirrored) = watch::channel([0; CONTROL_LEN as usize]);
    let mut parts = pin!(parts(&settings, &newest, &mirrored, notes));
    let mirror = settings.plc.is_some() && settings.server.is_some();
    let mut stop = pin!(stop);
    let mut middle = Middle::new(&settings, report, images);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            command = commands.recv() => {
                let Some(command) = command else {
                    warn!("the judge is gone; stopping the line");
                    break;
                };
                middle.commands(command, &mut commands);
            }
            Some(note) = told.recv() => {
                if mirror && let Note::Poll(PollNote::Look { control, .. }) = &note {
                    seen.send_replace(control.encode(settings.order));
                }
                middle.note(note);
            }
            // They only end after this function let go of them.
            () = &mut parts => return,
        }
    }
    middle.finish();
    let last_write = async {
        // The parts may still have something to tell; nobody needs it now, but they must not wait for room.
        tokio::select! {
            () = &mut parts => {}
            () = async { while told.recv().await.is_some() {} } => {}
        }
    };
    match timeout(settings.stop_deadline, last_write).await {
        Ok(()) => info!("the PLC bridge has ended"),
        Err(_) => warn!("the last write to the PLC did not end in time; its watchdog stops the line"),
    }
}

/// Everything that moves registers, until the part that carries the status block has written its last image.
async fn parts(
    settings: &Settings,
    images: &watch::Receiver<Image>,
    mirrored: &watch::Receiver<[u16; CONTROL_LEN as usize]>,
    notes: mpsc::Sender<Note>,
) {
    // Serial devices are shared by all who name them.
    let buses = client::Buses::default();
    let sources = client::listen(settings, &buses, notes.clone());
    let mirror = settings.plc.is_some();
    let server = async {
        match &settings.server {
            Some(server) => server::run(settings, server, mirror, images.clone(), mirrored.clone(), notes.clone()).await,
            None => std::future::pending().await,
        }
    };
    let plc = async {
        match &settings.plc {
            Some(plc) => client::run(settings, plc, &buses, images.clone(), notes.clone()).await,
            None => std::future::pending().await,
        }
    };
    let shown = async {
        if mirror {
            // The mirror has nothing to wait for and ends first; the last write to the PLC goes on.
            let mirroring = async {
                server.await;
                std::future::pending().await
            };
            tokio::select! {
                () = plc => {}
                () = mirroring => {}
            }
        } else {
            server.await;
        }
    };
    tokio::select! {
        () = shown => {}
        () = sources => {}
    }
}
