//! The middle of the bridge: what polling saw goes through the handshake to the station, what the station asks goes
//! through the handshake to the outputs. Nothing here waits for the PLC.
//!
//! The link is up while both connections are, and `PlcHeartbeat` moves:
//!
//! ```text
//!            both connected and the heartbeat moved
//!   down ─────────────────────────────────────────────► up      told to the station, permit stays 0 until it answers
//!     ▲                                                 │
//!     └─────────────────────────────────────────────────┘
//!       a connection failed · heartbeat stood still · permit did not read back
//! ```
//! One connection that fails puts the other in doubt (a PLC that was restarted has forgotten both, and only the first call
//! on each tells): before the link is up again, both have been answered since.
//!
//! Invariants: events leave in the order feedback, readings of the piece, arrival, miss; a fault is told once per change;
//! every image that is published after a fault has RunPermit 0.

use super::{BridgeReport, Facts, Image, Note, OutputNote, PollNote, Settings};
use crate::handshake::{Handshake, Notice};
use crate::jmap::{Control, STATUS_HEAD, STATUS_LEN, Status};
use crate::map::{PAYLOAD_LEN, PayloadWords};
use station::line::{LineCommand, LinkFault, PlcLink};
use station::piece::PieceId;
use station::reading::Reading;
use station::station::Event;
use station::units::Timestamp;
use std::collections::VecDeque;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

/// Hand-over times kept for results that are not written yet; one slot costs 16 bytes. When it is full the oldest is
/// forgotten: one latency goes unreported, nothing else.
const HANDED_MAX: usize = 64;

pub(super) struct Middle<'a, R> {
    settings: &'a Settings,
    handshake: Handshake,
    report: R,
    images: watch::Sender<Image>,
    connection: Option<u64>,
    /// The outputs were answered since the poll last failed.
    answered: bool,
    polling: bool,
    /// Last heartbeat value and when it last changed; `None` until the first look of a connection.
    heartbeat: Option<(u16, Timestamp)>,
    heartbeat_moved: bool,
    up: bool,
    told: Option<LinkFault>,
    handed: VecDeque<(PieceId, u64)>,
    /// When the station last commanded a permit.
    permit_micros: u64,
    /// The payload of the last result on offer.
    payload: PayloadWords,
    /// Number of that offer, and whether it still has values (a spoiled one has none).
    payload_of: Option<(u64, bool)>,
}

impl<'a, R: FnMut(BridgeReport)> Middle<'a, R> {
    pub(super) fn new(settings: &'a Settings, report: R, images: watch::Sender<Image>) -> Self {
        Self {
            settings,
            handshake: Handshake::new(settings.identity),
            report,
            images,
            connection: None,
            answered: false,
            polling: false,
            heartbeat: None,
            heartbeat_moved: false,
            up: false,
            told: None,
            handed: VecDeque::new(),
            permit_micros: 0,
            payload: [0; PAYLOAD_LEN],
            payload_of: None,
        }
    }

    /// Takes `first` and whatever waits behind it, and publishes once: a permit is never delayed by the results before it.
    pub(super) fn commands(&mut self, first: LineCommand, waiting: &mut mpsc::Receiver<LineCommand>) {
        self.command(first);
        while let Ok(command) = waiting.try_recv() {
            self.command(command);
        }
        self.publish();
    }

    fn command(&mut self, command: LineCommand) {
        let LineCommand::Result(result) = command else {
            if matches!(command, LineCommand::Permit(_)) {
                self.permit_micros = self.settings.clock.as_ref()().mono_micros;
            }
            self.handshake.command(command);
            return;
        };
        if self.handed.len() >= HANDED_MAX {
            self.handed.pop_front();
        }
        self.handed.push_back((result.piece, self.settings.clock.as_ref()().mono_micros));
        let piece = result.piece;
        self.handshake.command(LineCommand::Result(result));
        if !self.handshake.offers(piece) {
            warn!(%piece, "no room to offer the result; the PLC does not acknowledge fast enough");
        }
    }

    /// Takes one note of a connection, and publishes what follows from it.
    pub(super) fn note(&mut self, note: Note) {
        self.heed(note);
        self.publish();
    }

    fn heed(&mut self, note: Note) {
        match note {
            Note::Readings(readings) => {
                for reading in readings {
                    self.event(Event::Read(reading));
                }
            }
            Note::Listening(address) => (self.report)(BridgeReport::Listening(address)),
            Note::Outputs(OutputNote::Up { connection }) => {
                self.connection = Some(connection);
                self.answered = true;
                self.try_up();
            }
            Note::Outputs(OutputNote::Down(fault)) => {
                self.connection = None;
                self.heartbeat_moved = false;
                self.down(fault);
            }
            Note::Outputs(OutputNote::Offered { piece, handed_micros }) => {
                let micros = self.settings.clock.as_ref()().mono_micros.saturating_sub(handed_micros);
                (self.report)(BridgeReport::Written { piece, micros });
            }
            Note::Outputs(OutputNote::Permitted { run, handed_micros }) => {
                let micros = self.settings.clock.as_ref()().mono_micros.saturating_sub(handed_micros);
                (self.report)(BridgeReport::Permitted { run, micros });
            }
            Note::Outputs(OutputNote::RoundTrip { micros }) => {
                (self.report)(BridgeReport::RoundTrip { micros });
                self.answered = true;
                self.try_up();
            }
            Note::Poll(PollNote::Up) => {
                self.polling = true;
                self.heartbeat = None;
                self.heartbeat_moved = false;
            }
            Note::Poll(PollNote::Down(fault)) => {
                self.polling = false;
                self.answered = false;
                self.down(fault);
            }
            Note::Poll(PollNote::Look { control, at, with_trigger, at_interval }) => {
                self.watch_heartbeat(control.heartbeat, at);
                self.look(*control, with_trigger, at_interval);
            }
        }
    }

    fn watch_heartbeat(&mut self, value: u16, at: Timestamp) {
        match self.heartbeat {
            Some((last, _)) if last != value => {
                self.heartbeat = Some((value, at));
                self.heartbeat_moved = true;
                self.try_up();
            }
            None => self.heartbeat = Some((value, at)),
            Some((_, since)) if at.since(since) > self.settings.heartbeat_timeout => {
                self.heartbeat_moved = false;
                self.down(LinkFault::HeartbeatFrozen);
            }
            Some(_) => {}
        }
    }

    fn look(&mut self, control: Control, with_trigger: Vec<Reading>, at_interval: Vec<Reading>) {
        for reading in at_interval {
            self.event(Event::Read(reading));
        }
        let mut notices = Vec::new();
        self.handshake.observe(control, &mut notices);
        let mut with_trigger = with_trigger.into_iter();
        for notice in notices {
            if matches!(notice, Notice::Station(Event::Arrived(_))) {
                for reading in with_trigger.by_ref() {
                    self.event(Event::Read(reading));
                }
            }
            self.pass_on(notice);
        }
    }

    fn pass_on(&mut self, notice: Notice) {
        match notice {
            Notice::Station(event) => {
                if let Event::Missed(miss) = &event {
                    error!(piece = %miss.piece, "a trigger came while not ready; the piece was not inspected");
                }
                self.event(event);
            }
            Notice::Repeated(piece) => error!(%piece, "the PLC announced a piece whose result it has not taken yet; refused"),
            Notice::Forgotten(0) => {}
            Notice::Forgotten(results) => {
                warn!(results, "the PLC came back without its memory; what it had not taken is not offered again")
            }
            Notice::Refused(command) => warn!(command, "a command of the PLC was refused"),
        }
    }

    fn event(&mut self, event: Event) {
        (self.report)(BridgeReport::Event(event));
    }

    fn try_up(&mut self) {
        if self.up || self.connection.is_none() || !self.answered || !self.polling || !self.heartbeat_moved {
            return;
        }
        self.up = true;
        self.told = None;
        info!("the PLC link is up");
        self.event(Event::Link(PlcLink::Up));
        let mut notices = Vec::new();
        self.handshake.link_up(&mut notices);
        for notice in notices {
            self.pass_on(notice);
        }
    }

    fn down(&mut self, fault: LinkFault) {
        self.handshake.link_down();
        if self.up || self.told != Some(fault) {
            debug!(?fault, "the PLC link is down");
            self.up = false;
            self.told = Some(fault);
            self.event(Event::Link(PlcLink::Down(fault)));
        }
    }

    /// Makes the newest state of the status block visible to the outputs.
    fn publish(&mut self) {
        let offer = self.handshake.on_offer().map(|offer| (offer.number, offer.result.piece));
        let offer = offer.map(|(number, piece)| {
            let handed = self.handed.iter().rev().find(|(handed, _)| *handed == piece);
            (number, piece, handed.map_or_else(|| self.settings.clock.as_ref()().mono_micros, |(_, at)| *at))
        });
        self.take_payload();
        let mut words = [0; STATUS_LEN as usize];
        words[..usize::from(STATUS_HEAD)].copy_from_slice(&self.status().encode(self.settings.order));
        words[usize::from(STATUS_HEAD)..].copy_from_slice(&self.payload);
        let connection = self.connection.unwrap_or(0);
        let image = Image { connection, offer, permit_micros: self.permit_micros, words, last: false };
        self.images.send_if_modified(|current| {
            let changed = *current != image;
            if changed {
                *current = image;
            }
            changed
        });
    }

    /// The payload changes with the result on offer, and not before there is another.
    fn take_payload(&mut self) {
        if let Some(offer) = self.handshake.on_offer() {
            let of = Some((offer.number, offer.result.payload.is_empty()));
            if self.payload_of != of {
                self.payload_of = of;
                self.payload = self.settings.payload.encode(&offer.result.payload, self.settings.order);
            }
        }
    }

    fn status(&self) -> Status {
        let Facts { storage_permille, upload_backlog } = self.settings.facts();
        Status { storage_permille, upload_backlog, ..self.handshake.status() }
    }

    /// The last word: zeros.
    pub(super) fn finish(&mut self) {
        self.images.send_replace(Image { last: true, ..Image::safe() });
    }
}

#[cfg(test)]
#[path = "middle_tests.rs"]
mod tests;
