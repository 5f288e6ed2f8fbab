//! The one state machine: every event of the line goes in, every effect on the world comes out.
//!
//! ```text
//!              start is durable,            a cause to stop
//!              PLC link is up             (first-out, latched)
//!   Starting ─────────────────▶ Running ─────────────────────▶ Stopped
//!                                  ▲                              │ a person acknowledges, with a cause
//!              release is durable  │                              ▼
//!                              Releasing ◀──────────────── Acknowledged
//!                                          a person releases
//! ```
//! RunPermit is 1 in `Running` and nowhere else. A cause to stop leads to `Stopped` from every state, unless it is withheld
//! (`stops`): by the key switch, or because nobody has armed the line stop.
//!
//! The life of a piece: `Arrived` opens it; `Seen`, `Missed` or its deadline closes it with exactly one result and exactly
//! one record. What is announced twice gets its first result again; numbers that were skipped get a `Hold` record.
//!
//! Laws kept here: the permit is withdrawn before anything is written (**stop before writing**); the line runs again only
//! when the release is durable, and stops when records pile up undurable (**write before releasing**); only a completed
//! inspection can give a `Pass` (**unjudged is Hold**); nothing here asks a clock (**same events, same effects**).

mod asked;
mod link;
mod numbers;
mod seen;
mod stops;
mod told;

use crate::action::Request;
use crate::charts::{ChartError, Charts};
use crate::frame_set::Heard;
use crate::gate::{Fate, Gate, GateEnd};
use crate::inspection::{Inspection, Miss};
use crate::intake::MadeOf;
use crate::line::{Feedback, GateQueue, LineCommand, Permit, PlcLink};
use crate::memory::{Judged, Memory, goes_to_gate};
use crate::piece::{Arrival, PieceId};
use crate::policy::StopReasons;
use crate::reading::{Quality, Reading};
use crate::recipe::Recipe;
use crate::record::{Body, Entry, EntryNumber, GateRecord, Identity, KeySwitch, KeySwitchRecord, PieceRecord, Started};
use crate::snapshot::{Phase, Snapshot};
use crate::units::{Digest, EncoderCount, Timestamp};
use crate::verdict::{Judgement, Reason, Verdict};
use crate::view::View;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Piece records between two checkpoints: a restart folds at most this many, a checkpoint costs some 20 kB.
const CHECKPOINT_EVERY: u64 = 512;

/// Everything the station ever learns. Closed on purpose: a new variant is an architecture decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A piece is in front of the camera and now owes a verdict.
    Arrived(Arrival),
    /// It was inspected.
    Seen(Arc<Inspection>),
    /// It was not, and will not be.
    Missed(Miss),
    /// A process value.
    Read(Reading),
    /// The link to the PLC.
    Link(PlcLink),
    /// A person decided something.
    Asked(Request),
    /// Every entry up to this one is durable.
    Kept(EntryNumber),
    /// 100 ms passed.
    Tick,
}

/// Everything the world may be asked to do, in this order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Ask the line.
    Command(LineCommand),
    /// Keep an entry.
    Keep(Arc<Entry>),
    /// Show people.
    Show(Arc<Snapshot>),
}

/// What the station is told before its first event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Who we are in the plant.
    pub identity: Identity,
    /// The recipe in force.
    pub recipe: Arc<Recipe>,
    /// Name and version of the program.
    pub program: String,
}

/// What the chain holds from before this start.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Past {
    /// Number and digest of the last entry.
    pub last: Option<(EntryNumber, Digest)>,
    /// The last checkpoint, if there is one.
    pub checkpoint: Option<Entry>,
    /// Every entry after it.
    pub after: Vec<Entry>,
}

/// A piece that owes a verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    arrival: Arrival,
    arrived_at: Timestamp,
    readings: Vec<Reading>,
    /// What the cameras of its frame set have said so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    heard: Heard,
    /// The supplier lots that were in use when it was announced.
    #[serde(default, skip_serializing_if = "crate::intake::is_nothing")]
    made_of: MadeOf,
}

/// The judgement. It can be written down whole: read back, it goes on with the same effects, byte for byte.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Station {
    setup: Setup,
    memory: Memory,
    view: View,
    head: (EntryNumber, Digest),
    kept: EntryNumber,
    /// The start or release that must be durable before the line may run.
    awaited: EntryNumber,
    released: bool,
    link: Option<PlcLink>,
    feedback: Feedback,
    /// Since when the key switch is on; `None` unless it withholds stops.
    key_on_since: Option<Timestamp>,
    /// Causes that stand and whose stop was withheld: recorded once, and a stop as soon as nothing withholds it.
    withheld_standing: StopReasons,
    readings: BTreeMap<Arc<str>, Reading>,
    open: VecDeque<Open>,
    gate: Gate,
    /// What the PLC was last told of the gate, since the link came up.
    gate_told: Option<GateQueue>,
    last_arrived: Option<PieceId>,
    /// Numbers that were skipped, oldest first, with the count at which they were announced after all; at most `SKIPPED_MAX`.
    skipped: VecDeque<(PieceId, Option<EncoderCount>)>,
    /// Number of the last piece record before the PLC lost its memory.
    forgotten: u64,
    permit: Permit,
    beat: u16,
}

impl Station {
    /// Builds the station from its chain, and keeps a `Started` entry with a checkpoint. The line may run when that is
    /// durable, the PLC link is up, and no stop is in force.
    ///
    /// # Errors
    /// The recipe asks for a chart that cannot be made.
    pub fn start(setup: Setup, past: &Past, now: Timestamp, effects: &mut Vec<Effect>) -> Result<Self, ChartError> {
        let mut memory = Memory { charts: Charts::new(&setup.recipe)?, ..Memory::default() };
        let mut view = View::new(&setup);
        for entry in past.checkpoint.iter().chain(&past.after) {
            memory.fold(&setup.recipe, entry, told::result_of);
            view.fold(&setup.recipe, entry);
        }
        let head = past.last.unwrap_or_default();
        let gate = Gate::new(setup.recipe.gate_offset, setup.recipe.gate_slack);
        let mut station = Self {
            last_arrived: memory.last_piece,
            setup,
            memory,
            view,
            head,
            kept: head.0,
            awaited: head.0,
            released: false,
            link: None,
            feedback: Feedback::default(),
            key_on_since: None,
            withheld_standing: StopReasons::default(),
            readings: BTreeMap::new(),
            open: VecDeque::new(),
            gate,
            gate_told: None,
            skipped: VecDeque::new(),
            forgotten: 0,
            permit: Permit::default(),
            beat: 0,
        };
        let Setup { identity, recipe, program } = station.setup.clone();
        station.keep(Body::Started(Box::new(Started { identity, recipe, program })), now, effects);
        station.close_what_was_open(now, effects);
        station.keep(Body::Checkpoint(Box::new(station.memory.clone())), now, effects);
        station.awaited = station.head.0;
        station.permit = station.wanted_permit();
        effects.push(Effect::Command(LineCommand::Permit(station.permit)));
        Ok(station)
    }

    /// What nobody followed while the program was away: rejects at the gate end unknown, and a key switch that was on no
    /// longer withholds anything until it is turned anew — an exception does not outlive the program that made it.
    fn close_what_was_open(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.memory.key_switch == KeySwitch::On {
            self.keep(Body::KeySwitch(KeySwitchRecord { position: KeySwitch::Expired }), now, effects);
        }
        let pieces: Vec<_> = self.memory.at_gate.iter().map(|piece| GateEnd { piece: *piece, fate: Fate::Lost }).collect();
        if !pieces.is_empty() {
            self.keep(Body::Gate(GateRecord { pieces }), now, effects);
        }
    }

    /// Takes one event and appends its effects, in the order in which they must happen.
    pub fn handle(&mut self, event: Event, now: Timestamp, effects: &mut Vec<Effect>) {
        let before = self.phase();
        let first = effects.len();
        self.watch_key_switch(now, effects);
        self.close_late_pieces(now, effects);
        let tick = matches!(event, Event::Tick);
        match event {
            Event::Arrived(arrival) => self.arrived(arrival, now, effects),
            Event::Seen(inspection) => self.seen(&inspection, now, effects),
            Event::Missed(miss) => self.missed(miss, now, effects),
            Event::Read(reading) => self.read(reading),
            Event::Link(link) => self.link(link, now, effects),
            Event::Asked(request) => self.asked(request, now, effects),
            Event::Kept(number) => self.kept = self.kept.max(number).min(self.head.0),
            Event::Tick => self.tick(effects),
        }
        self.watch_standing_causes(now, effects);
        self.assert_permit(effects);
        self.tell_gate(effects);
        stop_before_writing(effects, first);
        if tick || self.phase() != before {
            effects.push(Effect::Show(Arc::new(self.snapshot(now))));
        }
    }

    /// Where the station stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.memory.stop {
            Some(stop) if stop.acknowledged.is_some() => Phase::Acknowledged,
            Some(_) => Phase::Stopped,
            None if self.kept < self.awaited && self.released => Phase::Releasing,
            None if self.kept < self.awaited || self.link != Some(PlcLink::Up) => Phase::Starting,
            None => Phase::Running,
        }
    }

    /// Everything people see.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let reject_queue = u32::try_from(self.gate.waiting()).unwrap_or(u32::MAX);
        let plc = crate::snapshot::PlcView {
            link: self.link,
            line_running: self.feedback.line_running,
            estop: self.feedback.estop,
            stop_inhibit: self.feedback.stop_inhibit,
            inhibit_expired: self.feedback.stop_inhibit && self.memory.key_switch == KeySwitch::Expired,
            reject_queue,
        };
        Snapshot {
            at: now,
            phase: self.phase(),
            run_permit: self.permit.run,
            counters: self.memory.counters,
            readings: self.readings.values().cloned().collect(),
            plc,
            backlog_entries: self.head.0.0 - self.kept.0,
            kept: self.kept.0,
            ..self.view.snapshot(&self.memory)
        }
    }

    fn arrived(&mut self, mut arrival: Arrival, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(result) = self.known_result(&arrival) {
            effects.push(Effect::Command(LineCommand::Result(result)));
            return;
        }
        if self.open.iter().any(|open| open.arrival.is_again(&arrival)) {
            return;
        }
        self.watch_gate(arrival.encoder, now, effects);
        self.record_gap(&arrival, now, effects);
        arrival.golden |= self.memory.golden_asked && !self.open.iter().any(|open| open.arrival.golden);
        self.gate.arrived(arrival.piece, arrival.encoder);
        self.last_arrived = Some(arrival.piece);
        self.given_anew(arrival.piece);
        let readings = self.readings.values().cloned().collect();
        let made_of = Arc::clone(&self.memory.made_of);
        self.open.push_back(Open { arrival, arrived_at: now, readings, heard: Heard::new(), made_of });
    }

    /// Gives a piece its one result and its one record. The order of the effects is the law: stop, tell the gate, write.
    fn close(&mut self, open: Open, seen: Option<&Arc<Inspection>>, judgement: Judgement, now: Timestamp, effects: &mut Vec<Effect>) {
        let recipe = Arc::clone(&self.setup.recipe);
        let judgement = self.memory.decisions.apply(&open.arrival, judgement);
        // An inspection that gave no verdict (wrong model, nonsense) is not evidence and does not enter the record.
        // One that the rubric could not grade is: whoever decides on the piece must see it.
        let ungraded = judgement.reasons.iter().any(|reason| matches!(reason, Reason::Grade { .. }));
        let seen = seen.filter(|_| judgement.verdict != Verdict::Hold || ungraded);
        let piece =
            Judged { arrival: &open.arrival, inspection: seen.map(|seen| &**seen), judgement: &judgement, readings: &open.readings };
        let (points, causes) = self.memory.note_piece(&recipe, &piece);
        let record = PieceRecord {
            result_id: self.memory.results,
            arrived_at: open.arrived_at,
            inspection: seen.cloned(),
            rubric_version: recipe.rubric.version,
            reject_at: goes_to_gate(judgement.verdict, &open.arrival).then(|| open.arrival.encoder.ahead(recipe.gate_offset)),
            latency_micros: now.since(open.arrived_at).0,
            readings: open.readings,
            made_of: open.made_of,
            arrival: open.arrival,
            judgement,
            points,
        };
        let stops = self.raise(causes, Some(record.arrival.piece), now, effects);
        let result = told::result_of(&recipe, &record);
        self.memory.note_result(result.clone(), record.arrival.serial.clone());
        effects.push(Effect::Command(LineCommand::Result(result)));
        let (piece, encoder, passes) = (record.arrival.piece, record.arrival.encoder, record.reject_at.is_none());
        let limits: Vec<_> = record.points.iter().filter_map(|point| self.memory.charts.frozen_limits(point)).collect();
        self.view.note_piece(&recipe, &record, now);
        self.keep(Body::Piece(Box::new(record)), now, effects);
        for body in limits.into_iter().map(Body::Limits).chain(stops.into_iter().map(Body::Stopped)) {
            self.keep(body, now, effects);
        }
        let mut ends = Vec::new();
        self.gate.judged(piece, encoder, passes, &mut ends);
        self.end_at_gate(ends, now, effects);
        if self.memory.results.is_multiple_of(CHECKPOINT_EVERY) {
            self.keep(Body::Checkpoint(Box::new(self.memory.clone())), now, effects);
        }
    }

    fn read(&mut self, mut reading: Reading) {
        if !reading.value.is_finite() {
            reading.value = 0.0;
            reading.quality = Quality::Bad;
        }
        self.readings.insert(Arc::clone(&reading.tag), reading);
    }

    fn tick(&mut self, effects: &mut Vec<Effect>) {
        self.beat = self.beat.wrapping_add(1);
        effects.push(Effect::Command(LineCommand::Beat(self.beat)));
        effects.push(Effect::Command(LineCommand::Counters(self.memory.counters)));
    }

    /// Adds one entry to the chain. Changes of memory other than by a piece or a stop happen here, as in a fold.
    fn keep(&mut self, body: Body, now: Timestamp, effects: &mut Vec<Effect>) {
        if !matches!(body, Body::Piece(_) | Body::Stopped(_)) {
            self.memory.note(&body, now);
        }
        let entry = Entry { number: EntryNumber(self.head.0.0 + 1), at: now, previous: self.head.1, body };
        let bytes = entry.to_bytes().expect("an entry has string keys and finite numbers only");
        self.head = (entry.number, Entry::digest(self.head.1, &bytes));
        effects.push(Effect::Keep(Arc::new(entry)));
    }
}

/// One event may close several pieces, of which only the last is a cause to stop, or find one cause after another: the
/// permit goes once, with all its reasons, before anything is kept.
fn stop_before_writing(effects: &mut Vec<Effect>, first: usize) {
    let is_permit = |effect: &Effect| matches!(effect, Effect::Command(LineCommand::Permit(_)));
    let last = effects.iter().skip(first).rfind(|effect| is_permit(effect)).cloned();
    let Some(stop @ Effect::Command(LineCommand::Permit(Permit { run: false, .. }))) = last else { return };
    let place = effects.iter().skip(first).position(|effect| is_permit(effect) || matches!(effect, Effect::Keep(_)));
    let mut new = effects.split_off(first);
    new.retain(|effect| !is_permit(effect));
    new.insert(place.unwrap_or_default(), stop);
    effects.append(&mut new);
}
