//! The connection that carries permit, results and heartbeat. Nothing else travels on it, so nothing can delay them.
//!
//! ```text
//!  connect ─► write zeros ─► read back RunPermit=0 ─► tell "up" ─► write the newest image, again and again
//!     ▲                                                                 │ any error, any mismatch
//!     └──────────────── wait (bounded, jittered) ◄── tell "down" ◄──────┘
//! ```
//! Invariants: the first write of every connection is all zeros; an image made for an earlier connection is never written;
//! a changed permit is read back at once, an unchanged one before every heartbeat, so that a second writer is found out.

use super::ClientSettings;
use super::outlet::Outlet;
use super::wire::{Backoff, Wire, WireError};
use crate::bridge::{Clock, Image, Note, OutputNote, Settings};
use crate::jmap::status2;
use station::line::LinkFault;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{debug, warn};

enum Failure {
    Wire(WireError),
    ReadBack,
    /// The bridge is gone; there is nobody left to serve.
    Over,
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

pub(super) struct Outputs<'a> {
    pub(super) settings: &'a Settings,
    pub(super) plc: &'a ClientSettings,
    pub(super) images: watch::Receiver<Image>,
    pub(super) notes: mpsc::Sender<Note>,
}

impl Outputs<'_> {
    /// Runs until the last image was written, or until dropped.
    pub(super) async fn run(mut self) {
        let seed = self.settings.clock.as_ref()().mono_micros;
        let mut backoff = Backoff::new(self.plc.backoff_first, self.plc.backoff_max, seed);
        let mut connection = 0;
        loop {
            connection += 1;
            let fault = match self.serve(connection, &mut backoff).await {
                Ok(()) | Err(Failure::Over) => return,
                Err(Failure::Wire(error)) => {
                    warn!(error = &error as &dyn std::error::Error, "the outputs lost the PLC");
                    error.fault()
                }
                Err(Failure::ReadBack) => {
                    warn!(peer = %self.plc.peer.address, "RunPermit did not read back as written; is there a second writer?");
                    LinkFault::ReadBackMismatch
                }
            };
            if self.tell(OutputNote::Down(fault)).await.is_err() {
                return;
            }
            let wait = backoff.next();
            debug!(?wait, "reconnecting the outputs");
            tokio::select! {
                () = sleep(wait) => {}
                // Stopping while there is no connection: nothing can be written, the PLC's watchdog does the rest.
                () = last(&mut self.images) => return,
            }
        }
    }

    async fn serve(&mut self, connection: u64, backoff: &mut Backoff) -> Result<(), Failure> {
        let wire = Wire::connect(self.plc.peer).await?;
        let mut written = Image::safe();
        let mut wire = self.write(wire, &written).await?;
        wire = self.read_back(wire, false).await?;
        self.tell(OutputNote::Up { connection }).await?;
        backoff.reset();
        loop {
            self.images.changed().await.map_err(|_| Failure::Over)?;
            let image = self.images.borrow_and_update().clone();
            if image.connection != connection && !image.last {
                continue;
            }
            if image.permit() == written.permit() && !image.last {
                wire =
                    if image.words[HEARTBEAT] == written.words[HEARTBEAT] { wire } else { self.read_back(wire, written.permit()).await? };
            }
            wire = self.write(wire, &image).await?;
            if image.permit() != written.permit() || image.last {
                wire = self.read_back(wire, image.permit()).await?;
            }
            if let Some((_, piece, handed_micros)) = image.offer
                && image.offer != written.offer
            {
                self.tell(OutputNote::Offered { piece, handed_micros }).await?;
            }
            if image.last {
                return Ok(());
            }
            written = image;
        }
    }

    async fn write(&self, wire: Wire, image: &Image) -> Result<Wire, Failure> {
        let began = now(&self.settings.clock);
        let wire = wire.write(&Outlet::new(self.plc.status_base), 0, &image.words).await?;
        let micros = now(&self.settings.clock).saturating_sub(began);
        self.tell(OutputNote::RoundTrip { micros }).await?;
        Ok(wire)
    }

    async fn read_back(&self, wire: Wire, permit: bool) -> Result<Wire, Failure> {
        let (wire, words) = wire.must_read(self.plc.status_base + status2::REGISTER, 1).await?;
        let reads = words.first().is_some_and(|word| word & status2::RUN_PERMIT != 0);
        if reads == permit { Ok(wire) } else { Err(Failure::ReadBack) }
    }

    async fn tell(&self, note: OutputNote) -> Result<(), Failure> {
        self.notes.send(Note::Outputs(note)).await.map_err(|_| Failure::Over)
    }
}

const HEARTBEAT: usize = 2;

fn now(clock: &Clock) -> u64 {
    clock.as_ref()().mono_micros
}

/// Resolves when the last image is due, or when nobody can send one any more.
async fn last(images: &mut watch::Receiver<Image>) {
    if images.wait_for(|image| image.last).await.is_err() {
        debug!("the bridge is gone");
    }
}
