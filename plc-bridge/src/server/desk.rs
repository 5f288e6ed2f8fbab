//! Who holds control, and what the others are told. Pure: requests, images and times in, answers and notes out.
//!
//! ```text
//!            an accepted write of anybody                 the holder's connection ends, or it is idle for too long
//!   nobody ────────────────────────────► one client ─────────────────────────────────────────────────────► nobody
//!                                          │      ▲
//!                                          └──────┘ a write of another, when the holder has not written for as long as a
//!                                                   heartbeat may stand still: a PLC whose cable was pulled comes back on a
//!                                                   new connection before the old one is known to be dead
//! ```
//! A write of another while the holder writes is exception 02: for that client the control block is read-only.
//!
//! Invariants: every accepted write becomes one look, in the order of the answers; a refused write takes no control and
//! makes no look; who takes control finds both blocks at zero, and never sees an image that was made for the holder before;
//! as a mirror, nobody takes control and nothing is told.

use super::blocks::{Bases, Blocks, ControlWords, StatusWords};
use crate::bridge::{Image, Note, OutputNote, PollNote};
use crate::jmap::{CONTROL_LEN, Control, Order, STATUS_LEN};
use station::line::LinkFault;
use station::units::{Micros, Timestamp};
use tokio_modbus::{ExceptionCode, Request, Response};

/// The most notes that one request can lead to: the old holder gone (2), the new one there (2), its look, a permit read.
pub(super) const NOTES_PER_WRITE: usize = 6;
/// The most notes that the end of a client can lead to.
pub(super) const NOTES_PER_LEAVE: usize = 2;

/// The client that holds control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    session: u64,
    connection: u64,
    wrote_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Desk {
    bases: Bases,
    order: Order,
    mirror: bool,
    /// A holder that has not written for this long may be replaced.
    silence_max: Micros,
    control: ControlWords,
    holder: Option<Holder>,
    /// Counts up with every change of holder, from 1.
    connections: u64,
    offer_told: Option<u64>,
    /// RunPermit as the holder last read it.
    permit_read: bool,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It took control with this.
    Took,
    /// It had control.
    Had,
}

impl Desk {
    pub(super) const fn new(bases: Bases, order: Order, mirror: bool, silence_max: Micros) -> Self {
        let control = [0; CONTROL_LEN as usize];
        Self { bases, order, mirror, silence_max, control, holder: None, connections: 0, offer_told: None, permit_read: false }
    }

    /// What a reader may see of the newest image. Zeros, as long as it was made for another holder.
    fn visible(&self, image: &Image, connection: u64) -> StatusWords {
        let mut status = [0; STATUS_LEN as usize];
        if self.mirror || image.connection == connection {
            status = image.words;
        }
        status
    }

    fn connection(&self) -> u64 {
        self.holder.map_or(0, |holder| holder.connection)
    }

    pub(super) fn holds(&self, session: u64) -> bool {
        self.holder.is_some_and(|holder| holder.session == session)
    }

    pub(super) const fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    /// Answers a request that writes nothing, or one to a mirror. `mirrored` is the control block of the PLC beside it.
    pub(super) fn read(&self, request: &Request<'_>, image: &Image, mirrored: &ControlWords) -> Result<Response, ExceptionCode> {
        let control = if self.mirror { *mirrored } else { self.control };
        let status = self.visible(image, self.connection());
        Blocks { bases: self.bases, control, status, read_only: true }.answer(request)
    }

    /// Answers a request of `session` that writes; `notes` are to be passed on in their order.
    pub(super) fn write(
        &mut self,
        session: u64,
        request: &Request<'_>,
        image: &Image,
        at: Timestamp,
        notes: &mut Vec<Note>,
    ) -> Result<(Response, Change), ExceptionCode> {
        let held = self.holder.filter(|holder| holder.session == session);
        let free = self.holder.is_none_or(|holder| at.since(holder.wrote_at) > self.silence_max);
        let takes = held.is_none() && free && !self.mirror;
        let connection = if takes { self.connections + 1 } else { self.connection() };
        let control = if takes { [0; CONTROL_LEN as usize] } else { self.control };
        let status = self.visible(image, connection);
        let mut blocks = Blocks { bases: self.bases, control, status, read_only: held.is_none() && !takes };
        let response = blocks.answer(request)?;
        if takes {
            if self.holder.is_some() {
                gone(notes);
            }
            self.connections = connection;
            self.offer_told = None;
            self.permit_read = false;
            notes.push(Note::Poll(PollNote::Up));
            notes.push(Note::Outputs(OutputNote::Up { connection }));
        }
        self.control = blocks.control;
        self.holder = Some(Holder { session, connection, wrote_at: at });
        notes.extend(self.look(at));
        Ok((response, if takes { Change::Took } else { Change::Had }))
    }

    /// A look at the control block as it stands; `None` while nobody holds control.
    pub(super) fn look(&self, at: Timestamp) -> Option<Note> {
        self.holder?;
        let control = Box::new(Control::decode(&self.control, self.order));
        Some(Note::Poll(PollNote::Look { control, at, with_trigger: Vec::new(), at_interval: Vec::new() }))
    }

    /// `session` is over, or has said nothing for too long. True if it held control.
    pub(super) fn leave(&mut self, session: u64, notes: &mut Vec<Note>) -> bool {
        let held = self.holds(session);
        if held {
            self.holder = None;
            self.control = [0; CONTROL_LEN as usize];
            gone(notes);
        }
        held
    }

    /// The holder's answer shows RunPermit; the note that it is another than the last one it read.
    pub(super) fn permit_read(&mut self, image: &Image) -> Option<Note> {
        let run = image.permit();
        if image.connection != self.connection() || std::mem::replace(&mut self.permit_read, run) == run {
            return None;
        }
        Some(Note::Outputs(OutputNote::Permitted { run, handed_micros: image.permit_micros }))
    }

    /// The note that a result can be read from now on, once per result and holder.
    pub(super) fn offered(&mut self, image: &Image) -> Option<Note> {
        let (number, piece, handed_micros) = image.offer?;
        if self.mirror || self.holder.is_none() || image.connection != self.connection() || self.offer_told == Some(number) {
            return None;
        }
        self.offer_told = Some(number);
        Some(Note::Outputs(OutputNote::Offered { piece, handed_micros }))
    }
}

fn gone(notes: &mut Vec<Note>) {
    notes.push(Note::Outputs(OutputNote::Down(LinkFault::Disconnected)));
    notes.push(Note::Poll(PollNote::Down(LinkFault::Disconnected)));
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
