//! The judging thread: one event in, its effects out, and the heartbeat that proves it is alive.
//!
//! Invariants: it never blocks on anyone — every outlet is tried, and a full one is an event or a count, never a wait; the
//! heartbeat comes from here and from nowhere else; entries leave in the order of their numbers.

use crate::clock::Clock;
use crate::meter::{Meter, Stage};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use station::line::{LineCommand, LinkFault, PlcLink};
use station::record::Entry;
use station::snapshot::Snapshot;
use station::units::Timestamp;
use station::{Effect, Event, Station};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time between two heartbeats (JMAP: `VisionHeartbeat` +1 every 100 ms).
pub const TICK: Duration = Duration::from_millis(100);

/// Happenings after which the journal gets the whole station, so that a replay can begin there: some hours of a quiet line, and
/// less than the journal keeps. A copy costs a fraction of a millisecond.
const STATE_EVERY: u64 = 100_000;

/// What the judging thread is told.
#[derive(Debug)]
pub enum Input {
    /// Something happened.
    Event(Event),
    /// Nothing more will come: leave.
    Finish,
}

/// One event with all it caused, for the journal.
#[derive(Debug, Clone)]
pub struct Happening {
    /// The station before it, from time to time.
    pub before: Option<Box<Station>>,
    /// When it was handled.
    pub now: Timestamp,
    /// What happened.
    pub event: Event,
    /// What it caused, in order.
    pub effects: Arc<Vec<Effect>>,
}

/// Where effects go.
pub struct Outlets {
    /// To the PLC thread.
    pub plc: tokio::sync::mpsc::Sender<LineCommand>,
    /// To the store thread, with the moment it was handed over.
    pub store: Sender<(Arc<Entry>, u64)>,
    /// To the journal thread.
    pub journal: Option<Sender<Happening>>,
    /// To everyone who looks; latest wins.
    pub show: tokio::sync::watch::Sender<Arc<Snapshot>>,
    /// Called once per heartbeat (the service manager's watchdog).
    pub alive: Box<dyn FnMut() + Send>,
    /// Happenings the journal had no room for.
    pub journal_lost: Arc<AtomicU64>,
}

/// The judging thread's own state.
pub struct Judge {
    station: Station,
    clock: Clock,
    meter: Arc<Meter>,
    outlets: Outlets,
    /// Entries the store had no room for yet. Bounded by the stop policy's backlog: the station stops the line before it grows.
    overflow: VecDeque<(Arc<Entry>, u64)>,
    overrun: bool,
    /// Happenings since the journal got the whole station.
    told: u64,
}

impl Judge {
    /// A judge around a station that has already started, with the effects of its start.
    #[must_use]
    pub fn new(station: Station, start: Vec<Effect>, clock: Clock, meter: Arc<Meter>, outlets: Outlets) -> Self {
        let mut judge = Self { station, clock, meter, outlets, overflow: VecDeque::new(), overrun: false, told: 0 };
        judge.dispatch(&start);
        judge
    }

    /// Runs until it is told to finish, or until nobody is left who could tell it anything.
    pub fn run(mut self, inputs: Receiver<Input>) {
        let mut next_tick = self.clock.mono_micros();
        loop {
            let wait = Duration::from_micros(next_tick.saturating_sub(self.clock.mono_micros()));
            match inputs.recv_timeout(wait) {
                Ok(Input::Event(event)) => self.handle(event),
                Ok(Input::Finish) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.clock.mono_micros() >= next_tick {
                next_tick = self.clock.mono_micros().saturating_add(u64::try_from(TICK.as_micros()).unwrap_or(u64::MAX));
                self.handle(Event::Tick);
                (self.outlets.alive)();
            }
            if std::mem::take(&mut self.overrun) {
                self.handle(Event::Link(PlcLink::Down(LinkFault::Overrun)));
            }
        }
        // Nobody may wait for a judge who has left, least of all the store that is waited for now.
        drop(inputs);
        self.hand_over_the_rest();
    }

    fn handle(&mut self, event: Event) {
        let now = self.clock.now();
        let verdict = matches!(event, Event::Seen(_) | Event::Missed(_));
        let told = self.outlets.journal.is_some().then(|| (self.state_if_due(), event.clone()));
        let mut effects = Vec::new();
        self.station.handle(event, now, &mut effects);
        self.dispatch(&effects);
        if verdict {
            self.meter.note(Stage::Judge, self.clock.mono_micros().saturating_sub(now.mono_micros));
        }
        if let (Some(journal), Some((before, event))) = (&self.outlets.journal, told)
            && journal.try_send(Happening { before, now, event, effects: Arc::new(effects) }).is_err()
        {
            self.outlets.journal_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn state_if_due(&mut self) -> Option<Box<Station>> {
        self.told += 1;
        (self.told.is_multiple_of(STATE_EVERY)).then(|| Box::new(self.station.clone()))
    }

    /// Hands the effects on in their order; the permit comes before what is kept because the station says so.
    fn dispatch(&mut self, effects: &[Effect]) {
        let now = self.clock.mono_micros();
        for effect in effects {
            match effect {
                Effect::Command(command) => {
                    // A full queue means that the PLC is not following: the station stops the line. A closed one means that
                    // the PLC thread has left, as it does first when the appliance stops, with RunPermit 0 as its last word.
                    self.overrun |=
                        matches!(self.outlets.plc.try_send(command.clone()), Err(tokio::sync::mpsc::error::TrySendError::Full(_)));
                }
                Effect::Keep(entry) => self.overflow.push_back((Arc::clone(entry), now)),
                Effect::Show(snapshot) => {
                    self.outlets.show.send_replace(Arc::clone(snapshot));
                }
            }
        }
        while let Some(entry) = self.overflow.pop_front() {
            if let Err(TrySendError::Full(entry) | TrySendError::Disconnected(entry)) = self.outlets.store.try_send(entry) {
                self.overflow.push_front(entry);
                break;
            }
        }
    }

    /// On the way out, waiting for the store is right: nothing is judged any more.
    fn hand_over_the_rest(&mut self) {
        for entry in self.overflow.drain(..) {
            if self.outlets.store.send(entry).is_err() {
                tracing::error!("the store left before the last entries were handed over");
                return;
            }
        }
    }
}
