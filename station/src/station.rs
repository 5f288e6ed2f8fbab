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
//! RunPermit is 1 in `Running` and nowhere else. A cause to stop leads to `Stopped` from every state.
//!
//! The life of a piece: `Arrived` opens it; `Seen`, `Missed` or its deadline closes it with exactly one result and exactly
//! one record. What is announced twice gets its first result again; numbers that were skipped get a `Hold` record.
//!
//! Laws kept here: the permit is withdrawn before anything is written (**stop before writing**); the line runs again only
//! when the release is durable, and stops when records pile up undurable (**write before releasing**); only a completed
//! inspection can give a `Pass` (**unjudged is Hold**); nothing here asks a clock (**same events, same effects**).

use crate::action::{Action, Request, Role};
use crate::charts::{ChartError, Charts};
use crate::inspection::{Inspection, Miss, MissReason};
use crate::judge::{defects, hold, judge};
use crate::line::{Answer, Feedback, LineCommand, LinkFault, Permit, PieceResult, PlcLink};
use crate::memory::{Cause, Judged, Memory, goes_to_gate};
use crate::piece::{Arrival, PieceId};
use crate::policy::{StopReason, StopReasons};
use crate::reading::{Quality, Reading};
use crate::recipe::Recipe;
use crate::record::{Acknowledgement, Body, Entry, EntryNumber, Identity, PieceRecord, ReleaseRecord, Started, StopRecord};
use crate::snapshot::{Phase, Snapshot};
use crate::units::{Digest, EncoderCount, Micros, Timestamp};
use crate::verdict::{Judgement, Verdict};
use crate::view::View;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Piece records between two checkpoints: a restart folds at most this many, a checkpoint costs some 20 kB.
const CHECKPOINT_EVERY: u64 = 512;
/// Numbers the PLC may skip before the gap counts as a restart of its counter instead of as missed pieces.
const GAP_MAX: u32 = 64;
/// A key switch that keeps stops from being commanded works no longer than this.
const INHIBIT_EXPIRES: Micros = Micros::from_millis(10 * 60 * 1000);

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
}

/// A piece on its way to the reject gate.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ToGate {
    target: EncoderCount,
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
    inhibited_since: Option<Timestamp>,
    told_while_inhibited: StopReasons,
    readings: BTreeMap<Arc<str>, Reading>,
    open: VecDeque<Open>,
    to_gate: VecDeque<ToGate>,
    last_arrived: Option<PieceId>,
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
            memory.fold(&setup.recipe, entry, result_of);
            view.fold(&setup.recipe, entry);
        }
        let head = past.last.unwrap_or_default();
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
            inhibited_since: None,
            told_while_inhibited: StopReasons::default(),
            readings: BTreeMap::new(),
            open: VecDeque::new(),
            to_gate: VecDeque::new(),
            permit: Permit::default(),
            beat: 0,
        };
        let Setup { identity, recipe, program } = station.setup.clone();
        station.keep(Body::Started(Box::new(Started { identity, recipe, program })), now, effects);
        station.keep(Body::Checkpoint(Box::new(station.memory.clone())), now, effects);
        station.awaited = station.head.0;
        station.permit = station.wanted_permit();
        effects.push(Effect::Command(LineCommand::Permit(station.permit)));
        Ok(station)
    }

    /// Takes one event and appends its effects, in the order in which they must happen.
    pub fn handle(&mut self, event: Event, now: Timestamp, effects: &mut Vec<Effect>) {
        let before = self.phase();
        let first = effects.len();
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
        let reject_queue = u32::try_from(self.to_gate.len()).unwrap_or(u32::MAX);
        let plc = crate::snapshot::PlcView {
            link: self.link,
            line_running: self.feedback.line_running,
            estop: self.feedback.estop,
            stop_inhibit: self.feedback.stop_inhibit,
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

    fn arrived(&mut self, arrival: Arrival, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(result) = self.memory.result_of(&arrival) {
            effects.push(Effect::Command(LineCommand::Result(result)));
            return;
        }
        if self.open.iter().any(|open| open.arrival == arrival) {
            return;
        }
        self.watch_gate(arrival.encoder, now, effects);
        self.record_gap(&arrival, now, effects);
        self.last_arrived = Some(arrival.piece);
        let readings = self.readings.values().cloned().collect();
        self.open.push_back(Open { arrival, arrived_at: now, readings });
    }

    /// Numbers between the last piece and this one were never announced: nobody judged them, so each is a hold.
    fn record_gap(&mut self, arrival: &Arrival, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(last) = self.last_arrived else { return };
        let gap = arrival.piece.0.wrapping_sub(last.0);
        if gap == 0 || gap > GAP_MAX {
            return;
        }
        for number in 1..gap {
            let piece = PieceId(last.0.wrapping_add(number));
            let arrival = Arrival { piece, serial: None, ..arrival.clone() };
            let open = Open { arrival, arrived_at: now, readings: Vec::new() };
            self.close(open, None, hold(MissReason::Interrupted), now, effects);
        }
    }

    fn seen(&mut self, inspection: &Arc<Inspection>, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(open) = self.take_open(inspection.piece) else { return };
        let judgement = judge(&self.setup.recipe, inspection);
        self.close(open, Some(inspection), judgement, now, effects);
    }

    fn missed(&mut self, miss: Miss, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(open) = self.take_open(miss.piece) else { return };
        self.close(open, None, hold(miss.reason), now, effects);
    }

    fn close_late_pieces(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let deadline = self.setup.recipe.verdict_deadline;
        while self.open.front().is_some_and(|open| now.since(open.arrived_at) > deadline) {
            if let Some(open) = self.open.pop_front() {
                self.close(open, None, hold(MissReason::Deadline), now, effects);
            }
        }
    }

    fn take_open(&mut self, piece: PieceId) -> Option<Open> {
        let index = self.open.iter().position(|open| open.arrival.piece == piece)?;
        self.open.remove(index)
    }

    /// Gives a piece its one result and its one record. The order of the effects is the law: stop, tell the gate, write.
    fn close(&mut self, open: Open, seen: Option<&Arc<Inspection>>, judgement: Judgement, now: Timestamp, effects: &mut Vec<Effect>) {
        let recipe = Arc::clone(&self.setup.recipe);
        // An inspection that gave no verdict (wrong model, nonsense) is not evidence and does not enter the record.
        let seen = seen.filter(|_| judgement.verdict != Verdict::Hold);
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
            arrival: open.arrival,
            judgement,
            points,
        };
        let stops = self.raise(causes, Some(record.arrival.piece), now, effects);
        let result = result_of(&recipe, &record);
        self.memory.note_result(result, record.arrival.serial.clone());
        effects.push(Effect::Command(LineCommand::Result(result)));
        if let Some(target) = record.reject_at {
            self.to_gate.push_back(ToGate { target });
        }
        let limits: Vec<_> = record.points.iter().filter_map(|point| self.memory.charts.frozen_limits(point)).collect();
        self.view.note_piece(&recipe, &record, now);
        self.keep(Body::Piece(Box::new(record)), now, effects);
        for body in limits.into_iter().map(Body::Limits).chain(stops.into_iter().map(Body::Stopped)) {
            self.keep(body, now, effects);
        }
        if self.memory.results.is_multiple_of(CHECKPOINT_EVERY) {
            self.keep(Body::Checkpoint(Box::new(self.memory.clone())), now, effects);
        }
    }

    /// Withdraws the permit for every cause that is not yet a reason of the stop in force; returns what is to be kept.
    fn raise(&mut self, causes: Vec<Cause>, piece: Option<PieceId>, now: Timestamp, effects: &mut Vec<Effect>) -> Vec<StopRecord> {
        let mut records = Vec::new();
        for cause in causes {
            let mut reasons = self.memory.reasons();
            if reasons.contains(cause.reason) {
                continue;
            }
            reasons.insert(cause.reason);
            let new = self.memory.stop.is_none();
            let seq = if new { self.memory.stop_seq.wrapping_add(1).max(1) } else { self.memory.stop_seq };
            let inhibited = new && self.is_inhibited(now);
            let (chart, nelson_rules) = cause.chart;
            let record = StopRecord { seq, first: cause.reason, detail: cause.detail, reasons, piece, chart, nelson_rules, inhibited };
            self.memory.note(&Body::Stopped(record.clone()), now);
            records.push(record);
        }
        if !self.wanted_permit().run {
            self.assert_permit(effects);
        }
        records
    }

    fn raise_and_keep(&mut self, reason: StopReason, detail: String, now: Timestamp, effects: &mut Vec<Effect>) {
        for record in self.raise(vec![Cause { reason, detail, chart: (0, 0) }], None, now, effects) {
            self.keep(Body::Stopped(record), now, effects);
        }
    }

    fn is_inhibited(&self, now: Timestamp) -> bool {
        self.inhibited_since.is_some_and(|since| now.since(since) < INHIBIT_EXPIRES)
    }

    fn read(&mut self, mut reading: Reading) {
        if !reading.value.is_finite() {
            reading.value = 0.0;
            reading.quality = Quality::Bad;
        }
        self.readings.insert(Arc::clone(&reading.tag), reading);
    }

    fn link(&mut self, link: PlcLink, now: Timestamp, effects: &mut Vec<Effect>) {
        match link {
            PlcLink::Up => {
                self.link = Some(link);
                self.feedback.rejects_confirmed = 0;
                // The PLC may have lost its memory: what it is told is told anew, and only by this command.
                self.permit = self.wanted_permit();
                effects.push(Effect::Command(LineCommand::Permit(self.permit)));
            }
            PlcLink::Down(fault) => self.link_down(fault, now, effects),
            PlcLink::Feedback(feedback) => self.feedback(feedback, now),
            PlcLink::Asked(request) => {
                effects.push(Effect::Command(LineCommand::Answer(Answer { number: request.number, done: false })));
            }
        }
    }

    fn link_down(&mut self, fault: LinkFault, now: Timestamp, effects: &mut Vec<Effect>) {
        let was_up = self.link == Some(PlcLink::Up);
        self.link = Some(PlcLink::Down(fault));
        for reading in self.readings.values_mut().filter(|reading| reading.quality == Quality::Good) {
            reading.quality = Quality::Stale;
        }
        let lost = u32::try_from(self.to_gate.len()).unwrap_or(u32::MAX);
        self.to_gate.clear();
        self.memory.counters.reject_unconfirmed = self.memory.counters.reject_unconfirmed.wrapping_add(lost);
        if was_up {
            self.raise_and_keep(StopReason::PlcLink, format!("PLC link: {fault:?}"), now, effects);
        }
    }

    fn feedback(&mut self, feedback: Feedback, now: Timestamp) {
        let confirmed = feedback.rejects_confirmed.wrapping_sub(self.feedback.rejects_confirmed);
        for _ in 0..confirmed {
            if self.to_gate.pop_front().is_none() {
                break;
            }
            self.memory.counters.reject_confirmed = self.memory.counters.reject_confirmed.wrapping_add(1);
        }
        self.inhibited_since = match (feedback.stop_inhibit, self.inhibited_since) {
            (true, since) => since.or(Some(now)),
            (false, _) => None,
        };
        self.feedback = feedback;
    }

    /// Rejects that the belt has carried past the gate without a confirmation.
    fn watch_gate(&mut self, encoder: EncoderCount, now: Timestamp, effects: &mut Vec<Effect>) {
        let slack = self.setup.recipe.gate_slack;
        while self.to_gate.front().is_some_and(|piece| encoder.has_passed(piece.target.ahead(slack))) {
            self.to_gate.pop_front();
            self.memory.counters.reject_unconfirmed = self.memory.counters.reject_unconfirmed.wrapping_add(1);
            if let Some((reason, detail)) = self.memory.tally.note_unconfirmed(&self.setup.recipe.stop) {
                self.raise_and_keep(reason, detail, now, effects);
            }
        }
    }

    /// A cause that stands stops the line, however long it has stood; while the key switch is on it is recorded once.
    fn watch_standing_causes(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let standing = self.standing_causes();
        let inhibited = self.is_inhibited(now);
        for (reason, detail) in [
            (StopReason::RejectBinFull, "the reject bin is full".to_owned()),
            (StopReason::DiskExhausted, format!("{} records are not yet durable", self.head.0.0 - self.kept.0)),
        ] {
            let told = inhibited && self.told_while_inhibited.contains(reason);
            if standing.contains(reason) && !told && !self.memory.reasons().contains(reason) {
                self.raise_and_keep(reason, detail, now, effects);
            }
        }
        self.told_while_inhibited = if inhibited { standing } else { StopReasons::default() };
    }

    fn asked(&mut self, request: Request, now: Timestamp, effects: &mut Vec<Effect>) {
        let Request { by, action } = request;
        match action {
            Action::Stop { note } => {
                let detail =
                    if note.trim().is_empty() { format!("stopped by {}", by.name) } else { format!("{}: {}", by.name, note.trim()) };
                self.raise_and_keep(StopReason::Operator, detail, now, effects);
            }
            Action::Acknowledge { stop_seq, cause, corrective_action } => {
                if self.phase() == Phase::Stopped && stop_seq == self.memory.stop_seq && !cause.trim().is_empty() {
                    self.keep(Body::Acknowledged(Acknowledgement { stop_seq, by, cause, corrective_action }), now, effects);
                }
            }
            Action::Release { stop_seq } => {
                let may = by.role >= Role::Supervisor && self.standing_causes() == StopReasons::default();
                if self.phase() == Phase::Acknowledged && stop_seq == self.memory.stop_seq && may {
                    self.keep(Body::Released(ReleaseRecord { stop_seq, by }), now, effects);
                    self.awaited = self.head.0;
                    self.released = true;
                }
            }
        }
    }

    /// Causes that still hold: a release would only lead to the next stop.
    #[must_use]
    pub fn standing_causes(&self) -> StopReasons {
        let mut causes = StopReasons::default();
        if self.link != Some(PlcLink::Up) {
            causes.insert(StopReason::PlcLink);
        }
        if self.feedback.bin_full {
            causes.insert(StopReason::RejectBinFull);
        }
        if self.head.0.0 - self.kept.0 > self.setup.recipe.stop.backlog_entries_max {
            causes.insert(StopReason::DiskExhausted);
        }
        causes
    }

    fn tick(&mut self, effects: &mut Vec<Effect>) {
        self.beat = self.beat.wrapping_add(1);
        effects.push(Effect::Command(LineCommand::Beat(self.beat)));
        effects.push(Effect::Command(LineCommand::Counters(self.memory.counters)));
    }

    fn wanted_permit(&self) -> Permit {
        let stop = self.memory.stop.as_ref().map(|stop| &stop.record);
        Permit {
            run: self.phase() == Phase::Running,
            reasons: self.memory.reasons(),
            stop_seq: self.memory.stop_seq,
            spc_rules: stop.map_or(0, |stop| stop.nelson_rules),
            spc_chart: stop.map_or(0, |stop| stop.chart),
        }
    }

    fn assert_permit(&mut self, effects: &mut Vec<Effect>) {
        let wanted = self.wanted_permit();
        if wanted != self.permit {
            self.permit = wanted;
            effects.push(Effect::Command(LineCommand::Permit(wanted)));
        }
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

/// One event may close several pieces, of which only the last is a cause to stop: the permit goes before all that is kept.
fn stop_before_writing(effects: &mut Vec<Effect>, first: usize) {
    let is_stop = |effect: &Effect| matches!(effect, Effect::Command(LineCommand::Permit(Permit { run: false, .. })));
    let kept = effects.iter().skip(first).position(|effect| matches!(effect, Effect::Keep(_))).map(|at| first + at);
    let stop = effects.iter().skip(first).rposition(is_stop).map(|at| first + at);
    if let (Some(kept), Some(stop)) = (kept, stop)
        && kept < stop
    {
        let stop = effects.remove(stop);
        effects.insert(kept, stop);
    }
}

/// The result of a piece record, as the PLC was told.
fn result_of(recipe: &Recipe, record: &PieceRecord) -> PieceResult {
    let found: Vec<_> = record.inspection.iter().flat_map(|inspection| defects(recipe, inspection)).collect();
    let best = found.iter().max_by(|a, b| a.score.total_cmp(&b.score));
    PieceResult {
        piece: record.arrival.piece,
        encoder: record.arrival.encoder,
        verdict: record.judgement.verdict,
        golden: record.arrival.golden,
        grade: record.judgement.grade,
        top_class: best.map(|finding| finding.class),
        defects: u16::try_from(found.len()).unwrap_or(u16::MAX),
        score: best.map_or(0, |finding| score_in_ten_thousandths(finding.score)),
        latency_tenth_millis: u16::try_from(record.latency_micros / 100).unwrap_or(u16::MAX),
        reject_at: record.reject_at,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0…10 000 before the cast")]
fn score_in_ten_thousandths(score: f32) -> u16 {
    (score.clamp(0.0, 1.0) * 10_000.0).round() as u16
}
