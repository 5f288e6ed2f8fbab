//! The appliance as Modbus server (JMAP role S): a PLC, a SCADA system or a person reads the status block here, and the
//! PLC that shakes hands writes the control block.
//!
//! ```text
//!   TCP client ─► door ─► frame ─┐          ┌────────┐ looks, in the order of the writes
//!   TCP client ─► door ─► frame ─┼─ pdu ───►│ desk   ├──────────────────────────────────► middle
//!   serial line ───────► ear ────┘          │ blocks │◄────────────────────────────────── newest image
//!                                           └────────┘
//! ```
//! A write is answered after its look has found room in the middle's queue. So a master that raises and drops Trigger
//! between two looks of anybody else is seen, and one that writes faster than the middle looks is slowed down by its own
//! answers; the middle waits for nobody, so that this cannot stand still.
//!
//! Modbus has no names, no keys and no secrets. Outside this machine the list of allowed addresses is the only guard.
//!
//! Invariants: a reader gets one image and one state of the control block, never a mixture of two; nothing but the control
//! block can be written, and as a mirror not even that; who is not on the list is not served; a client that stops in the
//! middle of a frame, or does not take its answers, loses its place; no bytes of a client can end the program.

mod blocks;
mod desk;
pub(crate) mod ear;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod network;
pub(crate) mod pdu;
mod rtu;
mod tcp;

pub use network::{Network, NotANetwork};

use crate::bridge::{Image, Note, Settings};
use crate::jmap::{CONTROL_LEN, STATUS_LEN, status2};
use crate::serial::SerialLine;
use blocks::{Bases, ControlWords, writes};
use desk::{Change, Desk, NOTES_PER_LEAVE, NOTES_PER_WRITE};
use station::units::Timestamp;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_modbus::{ExceptionCode, Request, Response};
use tracing::{error, info, warn};

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Modbus TCP. Port 0 takes any free port; `BridgeReport::Listening` tells which.
    Tcp(SocketAddr),
    /// Modbus RTU, as one of the slaves on the line.
    Serial(SerialLine),
}

/// The server's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it listens.
    pub listen: Listen,
    /// Its unit identifier, 1–247. Over TCP it answers to 0 and 255 as well, as servers that are no gateways do.
    pub unit: u8,
    /// First holding register of the control block.
    pub control_base: u16,
    /// First holding register of the status block's mirror.
    pub status_base: u16,
    /// TCP connections served at once, the PLC's included.
    pub clients_max: usize,
    /// Who may connect over TCP; an empty list means only this machine.
    pub clients_allowed: Vec<Network>,
    /// A client that asks nothing for this long is gone: its connection is closed, its control is free.
    pub idle_timeout: Duration,
}

/// Settings that cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ServerFault {
    /// Not a unit identifier of a server.
    #[error("unit {0} is not possible; choose 1 to 247")]
    Unit(u8),
    /// A block that does not fit.
    #[error("the {name} block has {len} registers and cannot begin at {base}; its last register would be above 65535")]
    OutOfSpace {
        /// `control` or `status`.
        name: &'static str,
        /// Where it would begin.
        base: u16,
        /// Its length.
        len: u16,
    },
    /// One register would be two.
    #[error("the control block (96 registers from {control}) and the status block (128 from {status}) overlap")]
    Overlap {
        /// First register of the control block.
        control: u16,
        /// First register of the status block.
        status: u16,
    },
    /// Nobody could connect.
    #[error("clients_max is 0, so nobody could connect; 1 is the PLC alone")]
    NoClients,
}

impl ServerSettings {
    /// A server at `listen` as the map has it: unit 1, control at 0, status at 1000, 8 clients of this machine only.
    #[must_use]
    pub const fn new(listen: Listen) -> Self {
        Self {
            listen,
            unit: 1,
            control_base: 0,
            status_base: 1000,
            clients_max: 8,
            clients_allowed: Vec::new(),
            idle_timeout: Duration::from_secs(60),
        }
    }

    /// Looks for what cannot be served.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), ServerFault> {
        if !(1..=247).contains(&self.unit) {
            return Err(ServerFault::Unit(self.unit));
        }
        let last = |name, base: u16, len: u16| base.checked_add(len - 1).ok_or(ServerFault::OutOfSpace { name, base, len });
        let (control, status) = (self.control_base, self.status_base);
        let (control_last, status_last) = (last("control", control, CONTROL_LEN)?, last("status", status, STATUS_LEN)?);
        if control <= status_last && status <= control_last {
            return Err(ServerFault::Overlap { control, status });
        }
        if self.clients_max == 0 { Err(ServerFault::NoClients) } else { Ok(()) }
    }
}

/// Looks at an unchanged control block, so that a heartbeat that stands still is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// First and longest wait before an address or a device that could not be had is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// From the first byte of a request to its last, and from the first byte of an answer to its last. A request is one packet;
/// this is generous for a bad radio link and short for a client that wants to hold a place.
const FRAME_TIMEOUT: Duration = Duration::from_secs(2);

/// The discrete input of RunPermit.
const PERMIT_INPUT: u16 = 23;

/// What all clients share.
struct Counter {
    settings: Settings,
    server: ServerSettings,
    mirror: bool,
    desk: Mutex<Desk>,
    images: watch::Receiver<Image>,
    mirrored: watch::Receiver<ControlWords>,
    notes: mpsc::Sender<Note>,
    /// The holder of control has read zeros, or is gone.
    released: Notify,
}

/// An answer, and whether it told the holder of control that the line must stop because the server ends.
struct Answered {
    answer: Result<Response, ExceptionCode>,
    last_word: bool,
}

impl Counter {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // A request that panicked has changed all of the memory or nothing.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.settings.clock.as_ref()()
    }

    /// Answers one request of `session`. A write waits here until there is room for its look.
    async fn answer(&self, session: u64, request: &Request<'_>) -> Answered {
        if self.mirror || !writes(request) {
            let (mut desk, image) = (self.desk(), self.images.borrow());
            let answer = desk.read(request, &image, &self.mirrored.borrow());
            let told = answer.is_ok() && desk.holds(session) && self.shows_permit(request);
            // Only a measurement: without room it is told with the next answer.
            if told
                && let Ok(place) = self.notes.try_reserve()
                && let Some(note) = desk.permit_read(&image)
            {
                place.send(note);
            }
            return Answered { answer, last_word: told && image.last };
        }
        // Room first, then change and look in one step: what is cancelled in between has changed nothing.
        let Ok(mut room) = self.notes.reserve_many(NOTES_PER_WRITE).await else {
            return Answered { answer: Err(ExceptionCode::ServerDeviceFailure), last_word: false };
        };
        let mut notes = Vec::new();
        let mut desk = self.desk();
        let image = self.images.borrow();
        let written = desk.write(session, request, &image, self.now(), &mut notes);
        let told = written.is_ok() && self.shows_permit(request);
        if told {
            notes.extend(desk.permit_read(&image));
        }
        for note in notes {
            // There is one place for every note.
            if let Some(place) = room.next() {
                place.send(note);
            }
        }
        if matches!(written, Ok((_, Change::Took))) {
            info!(session, "a Modbus client holds control now");
        }
        Answered { answer: written.map(|(response, _)| response), last_word: told && image.last }
    }

    /// Whether the answer to `request` contains RunPermit.
    fn shows_permit(&self, request: &Request<'_>) -> bool {
        let (address, count, wanted) = match request {
            Request::ReadInputRegisters(address, count) => (*address, *count, status2::REGISTER),
            Request::ReadHoldingRegisters(address, count) | Request::ReadWriteMultipleRegisters(address, count, ..) => {
                (*address, *count, self.server.status_base.saturating_add(status2::REGISTER))
            }
            Request::ReadDiscreteInputs(address, count) => (*address, *count, PERMIT_INPUT),
            _ => return false,
        };
        address <= wanted && wanted - address < count
    }

    /// `session` is over, or has been idle for too long.
    async fn leave(&self, session: u64) {
        let Ok(mut room) = self.notes.reserve_many(NOTES_PER_LEAVE).await else { return };
        let mut notes = Vec::new();
        let held = self.desk().leave(session, &mut notes);
        for note in notes {
            if let Some(place) = room.next() {
                place.send(note);
            }
        }
        if held {
            warn!(session, "the Modbus client that held control is gone");
            self.released.notify_one();
        }
    }

    /// Tells the middle what follows from time and from images. Ends when the last image was shown.
    async fn attend(&self) {
        let mut images = self.images.clone();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let look = tokio::select! {
                changed = images.changed() => match changed {
                    Ok(()) => false,
                    Err(_) => return,
                },
                _ = looks.tick() => true,
            };
            let image = images.borrow_and_update().clone();
            if image.last {
                return self.show_last().await;
            }
            let Ok(place) = self.notes.reserve().await else { return };
            let mut desk = self.desk();
            if let Some(note) = if look { desk.look(self.now()) } else { desk.offered(&image) } {
                place.send(note);
            }
        }
    }

    /// Waits until the holder of control has read that the line must stop. The bridge's deadline bounds it.
    async fn show_last(&self) {
        if !self.mirror && self.desk().is_held() {
            self.released.notified().await;
        }
    }

    /// Tells that there is no place to listen, and waits before the next try; the wait doubles up to a bound.
    async fn again(&self, wait: &mut Duration, place: &str, error: &(impl Error + Sync + 'static)) {
        error!(place, error = error as &dyn Error, retry = ?*wait, "the Modbus server cannot listen; is the address taken, or the device missing?");
        sleep(*wait).await;
        *wait = wait.saturating_mul(2).min(RETRY_MAX);
    }
}

/// Serves until the last image was shown. With `mirror` nobody takes control, and `mirrored` is the control block shown.
pub(crate) async fn run(
    settings: &Settings,
    server: &ServerSettings,
    mirror: bool,
    images: watch::Receiver<Image>,
    mirrored: watch::Receiver<ControlWords>,
    notes: mpsc::Sender<Note>,
) {
    let bases = Bases { control: server.control_base, status: server.status_base };
    let desk = Desk::new(bases, settings.order, mirror, settings.heartbeat_timeout);
    let (settings, server) = (settings.clone(), server.clone());
    let counter = Counter { settings, server, mirror, desk: Mutex::new(desk), images, mirrored, notes, released: Notify::new() };
    let counter = Arc::new(counter);
    let listening = async {
        if let Err(fault) = counter.server.check() {
            error!(error = &fault as &dyn Error, "the Modbus server cannot serve these settings; the line has no link through it");
            return std::future::pending().await;
        }
        match &counter.server.listen {
            Listen::Tcp(address) => tcp::serve(&counter, *address).await,
            Listen::Serial(line) => rtu::serve(&counter, line).await,
        }
    };
    tokio::select! {
        () = counter.attend() => {}
        () = listening => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn settings_that_cannot_be_served_are_named() {
        let good = ServerSettings::new(Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 502))));
        assert_eq!(good.check(), Ok(()));
        let with = |change: fn(&mut ServerSettings)| {
            let mut settings = good.clone();
            change(&mut settings);
            settings.check().err()
        };
        assert_eq!(with(|server| server.unit = 0), Some(ServerFault::Unit(0)));
        assert_eq!(with(|server| server.unit = 248), Some(ServerFault::Unit(248)));
        assert_eq!(with(|server| server.clients_max = 0), Some(ServerFault::NoClients));
        assert_eq!(with(|server| server.status_base = 95), Some(ServerFault::Overlap { control: 0, status: 95 }));
        assert_eq!(with(|server| server.control_base = 1127), Some(ServerFault::Overlap { control: 1127, status: 1000 }));
        assert_eq!(with(|server| server.status_base = 96), None);
        assert_eq!(with(|server| server.control_base = 65440), None);
        assert_eq!(with(|server| server.control_base = 65441), Some(ServerFault::OutOfSpace { name: "control", base: 65441, len: 96 }));
    }
}
