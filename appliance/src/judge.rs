//! The judging thread: one event in, its effects out, and the heartbeat that proves it is alive.
//!
//! Invariants: it never blocks on anyone — every outlet is tried, and a full one is an event or a count, never a wait; the
//! heartbeat comes from here and from nowhere else; entries leave in the order of their numbers; a permit that found no room is
//! not forgotten: as soon as there is room the station says it anew.

use crate::clock::Clock;
use crate::meter::{Meter, Stage};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use station::line::{Feedback, LineCommand, LinkFault, PlcLink};
use station::record::{Body, Entry};
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
    /// To the pictures thread: pieces that were closed. A full queue loses one: its picture is then judged by itself.
    pub closed: Sender<Arc<Entry>>,
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
    /// Commands were lost, and the PLC has not yet been told the permit anew.
    behind: bool,
    /// What the bridge last said of the link and of the PLC's side.
    link_is_up: bool,
    feedback: Option<Feedback>,
    /// Happenings since the journal got the whole station.
    told: u64,
}

impl Judge {
    /// A judge around a station that has already started, with the effects of its start.
    #[must_use]
    pub fn new(station: Station, start: Vec<Effect>, clock: Clock, meter: Arc<Meter>, outlets: Outlets) -> Self {
        let mut judge = Self {
            station,
            clock,
            meter,
            outlets,
            overflow: VecDeque::new(),
            overrun: false,
            behind: false,
            link_is_up: false,
            feedback: None,
            told: 0,
        };
        judge.dispatch(&start);
        judge
    }

    /// Runs until it is told to finish, or until nobody is left who could tell it anything.
    pub fn run(mut self, inputs: Receiver<Input>) {
        let mut next_tick = self.clock.mono_micros();
        loop {
            let wait = Duration::from_micros(next_tick.saturating_sub(self.clock.mono_micros()));
            match inputs.recv_timeout(wait) {
                Ok(Input::Event(event)) => {
                    self.listen(&event);
                    self.catch_up();
                    self.handle(event);
                }
                Ok(Input::Finish) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.clock.mono_micros() >= next_tick {
                next_tick = self.clock.mono_micros().saturating_add(u64::try_from(TICK.as_micros()).unwrap_or(u64::MAX));
                self.tick();
            }
            self.stop_if_overrun();
        }
        // Nobody may wait for a judge who has left, least of all the store that is waited for now.
        drop(inputs);
        self.hand_over_the_rest();
    }

    /// The permit goes before the heartbeat that would make an old one count again.
    fn tick(&mut self) {
        self.catch_up();
        self.handle(Event::Tick);
        (self.outlets.alive)();
    }

    fn listen(&mut self, event: &Event) {
        match event {
            Event::Link(PlcLink::Up) => self.link_is_up = true,
            Event::Link(PlcLink::Down(_)) => self.link_is_up = false,
            Event::Link(PlcLink::Feedback(feedback)) => self.feedback = Some(*feedback),
            _ => {}
        }
    }

    fn stop_if_overrun(&mut self) {
        if std::mem::take(&mut self.overrun) && !std::mem::replace(&mut self.behind, true) {
            self.handle(Event::Link(PlcLink::Down(LinkFault::Overrun)));
        }
    }

    /// Whatever was lost, the permit may have been among it: once half the queue is free, the link counts as up again, to
    /// which the station always answers with its permit. A link that is really down is told by the bridge.
    fn catch_up(&mut self) {
        let plc = &self.outlets.plc;
        if self.behind && plc.capacity() * 2 >= plc.max_capacity() {
            self.behind = false;
            if self.link_is_up {
                self.handle(Event::Link(PlcLink::Up));
                if let Some(feedback) = self.feedback {
                    self.handle(Event::Link(PlcLink::Feedback(feedback)));
                }
            }
        }
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
                    if let LineCommand::Result(result) = command {
                        self.meter.add(result.piece, |times| (times.judged, times.verdict) = (now, Some(result.verdict)));
                    }
                    // A full queue means that the PLC is not following: the station stops the line. A closed one means that
                    // the PLC thread has left, as it does first when the appliance stops, with RunPermit 0 as its last word.
                    self.overrun |=
                        matches!(self.outlets.plc.try_send(command.clone()), Err(tokio::sync::mpsc::error::TrySendError::Full(_)));
                }
                Effect::Keep(entry) => {
                    if matches!(entry.body, Body::Piece(_)) && self.outlets.closed.try_send(Arc::clone(entry)).is_err() {
                        tracing::debug!(entry = entry.number.0, "the pictures thread does not follow");
                    }
                    self.overflow.push_back((Arc::clone(entry), now));
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::note::tests::setup;
    use crossbeam::channel::unbounded;
    use station::Past;
    use station::action::{Action, Person, Request, Role};
    use station::line::Permit;
    use station::record::EntryNumber;

    fn permits(commands: &mut tokio::sync::mpsc::Receiver<LineCommand>) -> Vec<Permit> {
        let all = std::iter::from_fn(|| commands.try_recv().ok());
        all.filter_map(|command| if let LineCommand::Permit(permit) = command { Some(permit) } else { None }).collect()
    }

    /// The PLC thread takes nothing for a while, and meanwhile the line must stop.
    #[test]
    fn a_stop_that_found_no_room_is_said_again_before_the_next_heartbeat() {
        let clock = Clock::new();
        let mut start = Vec::new();
        let station = Station::start(setup(), &Past::default(), clock.now(), &mut start).unwrap();
        let (plc, mut commands) = tokio::sync::mpsc::channel(8);
        let (store, _entries) = unbounded();
        let (show, _snapshots) = tokio::sync::watch::channel(Arc::new(station.snapshot(clock.now())));
        let alive = Box::new(|| ());
        let (closed, _pictures) = unbounded();
        let outlets = Outlets { plc, store, closed, journal: None, show, alive, journal_lost: Arc::default() };
        let mut judge = Judge::new(station, start, clock, Arc::default(), outlets);
        let tell = |judge: &mut Judge, event: Event| {
            judge.listen(&event);
            judge.catch_up();
            judge.handle(event);
            judge.stop_if_overrun();
        };
        tell(&mut judge, Event::Kept(EntryNumber(2)));
        tell(&mut judge, Event::Link(PlcLink::Up));
        assert!(permits(&mut commands).last().unwrap().run, "the line runs");

        // Heartbeats fill the queue exactly; then somebody stops the line.
        (0..4).for_each(|_| judge.tick());
        assert_eq!(judge.outlets.plc.capacity(), 0);
        let by = Person { name: "operator".to_owned(), role: Role::Operator };
        tell(&mut judge, Event::Asked(Request { by, action: Action::Stop { note: String::new() } }));
        assert!(judge.behind && permits(&mut commands).is_empty(), "the stop found no room");

        // The PLC thread goes on: the first thing it is given is the stop.
        judge.tick();
        let Some(LineCommand::Permit(first)) = commands.try_recv().ok() else { panic!("a heartbeat went first") };
        assert!(!first.run);
        assert!(!judge.behind && !permits(&mut commands).iter().any(|permit| permit.run));
    }
}
