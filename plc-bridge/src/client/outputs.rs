//! The connection that carries permit, results and heartbeat. Nothing else travels on it, so nothing can delay them.
//!
//! ```text
//!  connect ─► write zeros ─► read back RunPermit=0 ─► tell "up" ─► write the newest image, again and again:
//!                                                                   permit gone? head · payload changed? payload · head
//!     ▲                                                                 │ any error, any mismatch
//!     └──────────────── wait (bounded, jittered) ◄── tell "down" ◄──────┘
//! ```
//! Invariants: the first write of every connection is all zeros; an image made for an earlier connection is never written;
//! a changed permit is read back at once, an unchanged one before every heartbeat, so that a second writer is found out;
//! the permit coil, if there is one, goes to 0 before the block does and to 1 after it was read back.

use super::backoff::Backoff;
use super::bus::{Buses, Rank};
use super::loss::Loss;
use super::outlet::Outlet;
use super::peer::WireError;
use super::rules::{Forbidden, Write};
use super::wire::Wire;
use super::{ClientSettings, seed};
use crate::bridge::{Clock, Image, Note, OutputNote, Settings};
use crate::jmap::{STATUS_HEAD, status2};
use station::line::LinkFault;
use std::time::Duration;
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
    settings: &'a Settings,
    plc: &'a ClientSettings,
    buses: &'a Buses,
    outlet: Outlet,
    images: watch::Receiver<Image>,
    notes: mpsc::Sender<Note>,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        plc: &'a ClientSettings,
        buses: &'a Buses,
        images: watch::Receiver<Image>,
        notes: mpsc::Sender<Note>,
    ) -> Self {
        Self { settings, plc, buses, outlet: Outlet::new(plc.rules()), images, notes }
    }

    /// Runs until the last image was written, or until dropped.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(self.plc.backoff_first, self.plc.backoff_max, seed(self.settings, 0));
        let mut loss = Loss::of("outputs");
        let mut connection = 0;
        loop {
            connection += 1;
            let fault = match self.serve(connection, &mut backoff, &mut loss).await {
                Ok(()) | Err(Failure::Over) => return,
                Err(Failure::Wire(error)) => {
                    loss.tell(&error);
                    error.fault()
                }
                Err(Failure::ReadBack) => {
                    warn!(peer = %self.plc.peer.way, "RunPermit did not read back as written; is there a second writer?");
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

    async fn serve(&mut self, connection: u64, backoff: &mut Backoff, loss: &mut Loss) -> Result<(), Failure> {
        let wire = Wire::connect_over(&self.plc.peer, self.buses, Rank::Outputs).await?;
        let mut written = Image::safe();
        let mut wire = self.write_image(wire, &written, true).await?;
        if self.settings.payload.registers() > 0 {
            wire = self.write(wire, self.payload_write(&written), true).await?;
        }
        self.tell(OutputNote::Up { connection }).await?;
        backoff.reset();
        loss.over();
        loop {
            let image = self.next(connection, &written).await?;
            if self.payload_changed(&image, &written) {
                if written.permit() && !image.permit() {
                    // Stop before anything else; what the result says comes after.
                    let stopped = Image { permit_micros: image.permit_micros, ..written.clone().stopped() };
                    wire = self.write_image(wire, &stopped, true).await?;
                    self.tell(OutputNote::Permitted { run: false, handed_micros: image.permit_micros }).await?;
                    written = stopped;
                }
                // Before the head, so that whoever sees the result valid finds the values that belong to it.
                wire = self.write(wire, self.payload_write(&image), image.last).await?;
            }
            let withdraws = image.last || (written.permit() && !image.permit());
            let changed = image.last || image.permit() != written.permit();
            if !changed && image.words[HEARTBEAT] != written.words[HEARTBEAT] {
                wire = self.read_back(wire, written.permit()).await?;
            }
            wire = if changed { self.write_image(wire, &image, withdraws).await? } else { self.write_block(wire, &image, false).await? };
            if image.permit() != written.permit() {
                self.tell(OutputNote::Permitted { run: image.permit(), handed_micros: image.permit_micros }).await?;
            }
            if let Some((_, piece, handed_micros)) = image.offer
                && image.offer != written.offer
            {
                self.tell(OutputNote::Offered { piece, handed_micros }).await?;
            }
            if image.last {
                wire.close();
                return Ok(());
            }
            written = image;
        }
    }

    /// Whether registers of the recipe's payload are to be written. The PLC's memory beyond them is its own.
    fn payload_changed(&self, image: &Image, written: &Image) -> bool {
        let used = usize::from(self.settings.payload.registers());
        image.payload()[..used] != written.payload()[..used]
    }

    fn payload_write<'i>(&self, image: &'i Image) -> Write<'i> {
        let used = usize::from(self.settings.payload.registers());
        Write::Registers(self.plc.status_base.saturating_add(STATUS_HEAD), &image.payload()[..used])
    }

    /// The newest image for this connection, as soon as the rate of the list of allowed writes lets it pass.
    async fn next(&mut self, connection: u64, written: &Image) -> Result<Image, Failure> {
        loop {
            self.images.changed().await.map_err(|_| Failure::Over)?;
            loop {
                let image = self.images.borrow_and_update().clone();
                if image.connection != connection && !image.last {
                    break;
                }
                let withdraws = image.last || (written.permit() && !image.permit());
                match self.too_soon(&image, written, withdraws) {
                    None => return Ok(image),
                    // Meanwhile a newer one may come, which may take the permit back.
                    Some(wait) => tokio::select! {
                        () = sleep(wait) => {}
                        changed = self.images.changed() => changed.map_err(|_| Failure::Over)?,
                    },
                }
            }
        }
    }

    fn too_soon(&self, image: &Image, written: &Image, withdraws: bool) -> Option<Duration> {
        let head = Write::Registers(self.plc.status_base, image.head());
        let now = now(&self.settings.clock);
        let wait = |refused: Forbidden| match refused {
            Forbidden::Rate { wait_micros, .. } => Some(Duration::from_micros(wait_micros)),
            // What else is wrong with it, the write itself will say.
            _ => None,
        };
        if self.payload_changed(image, written) {
            // Both must pass, one after the other.
            let mut trial = self.outlet.clone();
            let both = trial.clear(self.payload_write(image), withdraws, now).and_then(|_| trial.clear(head, withdraws, now));
            return both.err().and_then(wait);
        }
        self.outlet.check(&head, withdraws, now).err().and_then(wait)
    }

    /// Writes an image whose permit is another than the last one's, and reads it back.
    async fn write_image(&mut self, wire: Wire, image: &Image, withdraws: bool) -> Result<Wire, Failure> {
        let permit = image.permit();
        let mut wire = match self.plc.permit_coil {
            Some(coil) if !permit => self.write(wire, Write::Coil(coil, false), withdraws).await?,
            _ => wire,
        };
        wire = self.write_block(wire, image, withdraws).await?;
        if let Some(coil) = self.plc.permit_coil
            && permit
        {
            wire = self.read_back_block(wire, true).await?;
            wire = self.write(wire, Write::Coil(coil, true), false).await?;
            return self.read_back_coil(wire, coil, true).await;
        }
        self.read_back(wire, permit).await
    }

    async fn write_block(&mut self, wire: Wire, image: &Image, withdraws: bool) -> Result<Wire, Failure> {
        let began = now(&self.settings.clock);
        let wire = self.write(wire, Write::Registers(self.plc.status_base, image.head()), withdraws).await?;
        let micros = now(&self.settings.clock).saturating_sub(began);
        self.tell(OutputNote::RoundTrip { micros }).await?;
        Ok(wire)
    }

    async fn write(&mut self, wire: Wire, write: Write<'_>, withdraws: bool) -> Result<Wire, Failure> {
        let cleared = self.outlet.clear(write, withdraws, now(&self.settings.clock)).map_err(WireError::from)?;
        Ok(wire.write(cleared).await?)
    }

    async fn read_back(&self, wire: Wire, permit: bool) -> Result<Wire, Failure> {
        let wire = self.read_back_block(wire, permit).await?;
        match self.plc.permit_coil {
            Some(coil) => self.read_back_coil(wire, coil, permit).await,
            None => Ok(wire),
        }
    }

    async fn read_back_block(&self, wire: Wire, permit: bool) -> Result<Wire, Failure> {
        let (wire, words) = wire.must_read(self.plc.status_base.saturating_add(status2::REGISTER), 1).await?;
        let reads = words.first().is_some_and(|word| word & status2::RUN_PERMIT != 0);
        if reads == permit { Ok(wire) } else { Err(Failure::ReadBack) }
    }

    async fn read_back_coil(&self, wire: Wire, coil: u16, permit: bool) -> Result<Wire, Failure> {
        let (wire, reads) = wire.must_read_coil(coil).await?;
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
