//! The appliance as Modbus client (JMAP role C).
//!
//! ```text
//!   the PLC that shakes hands          PLCs that are only listened to
//!   outputs   poll (control   tags     tags   tags   tags             one connection each: nothing waits for another
//!      │       block, tags     │ rota    │      │      │
//!      │       of a piece)     │         │      │      │
//!   outlet       │             │         │      │      │
//!  (rules: what  │             │         │      │      │
//!   may be       │             │         │      │      │
//!   written)     │             │         │      │      │
//!      └──────────┴────────────┴── wire ─┴──────┴──────┘
//!                             ┌──────┴──────┐
//!                       socket (TCP)   bus (a serial device, shared: outputs first)
//! ```
//! Invariants: outputs never wait behind polling, nor one PLC behind another; what failed once is never asked again over
//! the same connection.

mod backoff;
mod bus;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod loss;
mod outlet;
mod outputs;
mod peer;
mod poll;
#[cfg(feature = "bench")]
mod probe;
mod rota;
mod rules;
mod socket;
mod tags;
mod units;
mod wire;

pub(crate) use bus::{Buses, Rank};
pub(crate) use outlet::Outlet;
pub use peer::{Asked, Peer, Way, WireError};
#[cfg(feature = "bench")]
pub use probe::Probe;
pub use rules::{Forbidden, Objection, Write, WriteFunction, WriteRule, covers};
pub(crate) use wire::Wire;

use crate::bridge::{Image, Note, Settings};
use crate::map::{Limits, TagSpec};
use backoff::Backoff;
use loss::Loss;
use outputs::Outputs;
use poll::Poll;
use rota::Rota;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tags::TagLink;
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
    /// How far one request for tags reaches.
    pub limits: Limits,
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
            limits: Limits::default(),
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
    /// How far one request reaches.
    pub limits: Limits,
}

impl SourceSettings {
    /// A PLC there, with the usual time-outs.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, way: impl Into<Way>, tags: Vec<TagSpec>) -> Self {
        Self {
            name: name.into(),
            peer: Peer::new(way),
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
            tags,
            limits: Limits::default(),
        }
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
    let poll = Poll::new(settings, plc, buses, notes.clone()).run();
    let tags = async {
        if plc.tag_connection {
            let link =
                Link { name: "tags", peer: &plc.peer, backoff: (plc.backoff_first, plc.backoff_max), tags: &plc.tags, limits: plc.limits };
            link.of(settings, buses, notes, 2).run().await;
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        () = outputs => {}
        () = poll => {}
        () = tags => {}
    }
}

/// Listens to every PLC that only gives readings; none waits for another.
pub(crate) async fn listen(settings: &Settings, buses: &Buses, notes: mpsc::Sender<Note>) {
    let links = settings.sources.iter().zip(3..).map(|(source, seed)| {
        let SourceSettings { name, peer, backoff_first, backoff_max, tags, limits } = source;
        let link = Link { name, peer, backoff: (*backoff_first, *backoff_max), tags, limits: *limits };
        link.of(settings, buses, notes.clone(), seed).run()
    });
    let mut links: Vec<_> = links.map(Box::pin).collect();
    // They end only when the bridge is gone. Polling one that was not woken costs a look at its timer.
    poll_fn(|cx| {
        links.retain_mut(|link| link.as_mut().poll(cx).is_pending());
        std::task::Poll::<()>::Pending
    })
    .await
}

/// What a link of tags needs to know.
struct Link<'a> {
    name: &'a str,
    peer: &'a Peer,
    backoff: (Duration, Duration),
    tags: &'a [TagSpec],
    limits: Limits,
}

impl<'a> Link<'a> {
    fn of(self, settings: &'a Settings, buses: &'a Buses, notes: mpsc::Sender<Note>, number: u64) -> TagLink<'a> {
        let Self { name, peer, backoff, tags, limits } = self;
        let seed = seed(settings, number);
        TagLink {
            clock: &settings.clock,
            peer,
            buses,
            notes,
            rota: Rota::new(tags, settings.order, limits, backoff, seed),
            backoff: Backoff::new(backoff.0, backoff.1, seed),
            loss: Loss::of(name),
        }
    }
}

/// Dice for the jitter of one of the links.
fn seed(settings: &Settings, number: u64) -> u64 {
    settings.clock.as_ref()().mono_micros.wrapping_add(number << 32)
}
