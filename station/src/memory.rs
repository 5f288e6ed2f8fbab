//! What the station remembers across a restart: a fold over the chain of entries.
//!
//! Invariant: `Memory::default()` folded over all entries equals the memory in a checkpoint folded over the entries after
//! it. The running station changes its memory through the same functions, so a restart cannot remember something else.
//! At every instant: rejects commanded = confirmed + unconfirmed + at the gate.

use crate::charts::Charts;
use crate::decision::Decisions;
use crate::gate::Fate;
use crate::inspection::{Inspection, MissReason};
use crate::intake::MadeOf;
use crate::judge::defects;
use crate::line::{Counters, PieceResult};
use crate::piece::{Arrival, PieceId};
use crate::policy::{StopReason, StopReasons, Withheld};
use crate::reading::Reading;
use crate::recipe::Recipe;
use crate::record::{Acknowledgement, ArmRecord, Body, ChartPoint, Entry, GateRecord, KeySwitch, Mark, PieceRecord, StopRecord};
use crate::tally::Tally;
use crate::units::Timestamp;
use crate::verdict::{Judgement, Reason, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// Results that are kept in mind, so that a piece announced again gets the same answer. A PLC buffers at most 8.
const RECENT_RESULTS: usize = 32;

/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Number of the last piece record.
    pub results: u64,
    /// The last piece that got a record.
    pub last_piece: Option<PieceId>,
    /// Counters since they were reset.
    pub counters: Counters,
    /// Number of the last stop.
    pub stop_seq: u16,
    /// The stop in force.
    pub stop: Option<StopMemory>,
    /// The stop before it.
    pub last_stop: Option<StopMemory>,
    /// How the line stop was armed or disarmed last; `None`: nobody ever armed it.
    pub arming: Option<Arming>,
    /// Stops that were not commanded, since the counters were reset.
    pub withheld_stops: u32,
    /// How the key switch stood when it was last told.
    pub key_switch: KeySwitch,
    /// The next piece is a challenge piece because somebody asked for it.
    pub golden_asked: bool,
    /// Rejected pieces whose end at the gate is not recorded, in the order of their verdicts.
    pub at_gate: VecDeque<PieceId>,
    /// Windows of the stop policy.
    pub tally: Tally,
    /// The control charts.
    pub charts: Charts,
    /// The last results with the serials they were for, oldest first.
    pub recent: VecDeque<(PieceResult, Option<String>)>,
    /// What people decided about pieces that had their verdict.
    #[serde(default, skip_serializing_if = "no_decisions")]
    pub decisions: Arc<Decisions>,
    /// The supplier lots in use.
    #[serde(default, skip_serializing_if = "crate::intake::is_nothing")]
    pub made_of: MadeOf,
}

fn no_decisions(decisions: &Decisions) -> bool {
    decisions.is_empty()
}

/// A stop, and what was done about it so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopMemory {
    /// The stop as recorded, with every reason added since.
    pub record: StopRecord,
    /// Since when.
    pub since: Timestamp,
    /// The acknowledgement, once there is one.
    pub acknowledged: Option<Acknowledgement>,
}

/// How the line stop was armed or disarmed last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arming {
    /// As recorded.
    pub record: ArmRecord,
    /// When.
    pub since: Timestamp,
}

/// Something that may stop the line.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// The reason.
    pub reason: StopReason,
    /// In words.
    pub detail: String,
    /// The chart that asked for it and the Nelson rules it showed; zeros if none did.
    pub chart: (u16, u16),
}

/// Only a Pass goes on, and never a challenge piece: its defect is known.
pub(crate) fn goes_to_gate(verdict: Verdict, arrival: &Arrival) -> bool {
    verdict != Verdict::Pass || arrival.golden
}

/// A challenge piece carries a known defect: a station that does not find it must not judge others.
fn challenge(piece: &Judged<'_>) -> Option<Cause> {
    let piece = (piece.judgement.verdict == Verdict::Pass).then_some(piece.arrival.piece)?;
    let detail = format!("the defect of challenge piece {piece} was not found");
    Some(Cause { reason: StopReason::GoldenFailed, detail, chart: (0, 0) })
}

/// A recalled piece that is seen again: it must not get lost once more.
fn recalled(piece: &Judged<'_>) -> Option<Cause> {
    let is_recall = |reason: &Reason| if let Reason::Recalled { recall, name } = reason { Some((*recall, Arc::clone(name))) } else { None };
    let (recall, name) = piece.judgement.reasons.iter().find_map(is_recall)?;
    let what = piece.arrival.serial.as_ref().map_or_else(|| format!("piece {}", piece.arrival.piece), |serial| format!("serial {serial}"));
    Some(Cause { reason: StopReason::RecalledSerial, detail: format!("{what} is recalled: {name} (decision {recall})"), chart: (0, 0) })
}

/// One piece on its way into the record.
pub(crate) struct Judged<'a> {
    pub arrival: &'a Arrival,
    pub inspection: Option<&'a Inspection>,
    pub judgement: &'a Judgement,
    pub readings: &'a [Reading],
}

impl Memory {
    /// Notes a judged piece: counters, charts, windows. Returns the chart points it completed and every cause to stop.
    pub(crate) fn note_piece(&mut self, recipe: &Recipe, piece: &Judged<'_>) -> (Vec<ChartPoint>, Vec<Cause>) {
        self.results += 1;
        self.last_piece = Some(piece.arrival.piece);
        self.golden_asked &= !piece.arrival.golden;
        self.count(piece);
        let inspected = piece.inspection.filter(|_| piece.judgement.verdict != Verdict::Hold);
        let defects = inspected.map(|inspection| u32::try_from(defects(recipe, inspection).count()).unwrap_or(u32::MAX));
        let mut causes = Vec::new();
        if piece.arrival.golden && piece.judgement.verdict != Verdict::Hold {
            // It tests the station and is no product: what is found on it says nothing of the process.
            causes.extend(challenge(piece));
            return (Vec::new(), causes);
        }
        causes.extend(recalled(piece));
        if !causes.is_empty() && piece.judgement.verdict != Verdict::Hold {
            // It was made long ago and is rejected for its name: it says nothing of the process.
            return (Vec::new(), causes);
        }
        let (points, signals) = self.charts.push(recipe, piece.judgement.verdict, defects, piece.readings);
        let missed = piece.judgement.reasons.iter().find_map(Reason::missed);
        if missed != Some(MissReason::Interrupted) {
            for (reason, detail) in self.tally.note(&recipe.stop, piece.judgement) {
                causes.push(Cause { reason, detail, chart: (0, 0) });
            }
        }
        causes.extend(signals.iter().filter(|signal| signal.stops).map(|signal| Cause {
            reason: StopReason::SpcRule,
            detail: format!("{}: {}", signal.name, signal.rule),
            chart: (signal.chart, signal.nelson_bits),
        }));
        (points, causes)
    }

    fn count(&mut self, piece: &Judged<'_>) {
        let counters = &mut self.counters;
        counters.inspected = counters.inspected.wrapping_add(1);
        let of_verdict = match piece.judgement.verdict {
            Verdict::Pass => &mut counters.pass,
            Verdict::Reject => &mut counters.reject,
            Verdict::Hold => &mut counters.hold,
        };
        *of_verdict = of_verdict.wrapping_add(1);
        if piece.judgement.reasons.iter().any(|reason| reason.missed().is_some()) {
            counters.missed = counters.missed.wrapping_add(1);
        }
        if goes_to_gate(piece.judgement.verdict, piece.arrival) {
            counters.reject_commanded = counters.reject_commanded.wrapping_add(1);
            self.at_gate.push_back(piece.arrival.piece);
        }
    }

    /// Keeps a result in mind, so that the same piece announced again gets the same answer.
    pub(crate) fn note_result(&mut self, result: PieceResult, serial: Option<String>) {
        self.recent.push_back((result, serial));
        while self.recent.len() > RECENT_RESULTS {
            self.recent.pop_front();
        }
    }

    /// The result this very piece already got: same number, same encoder count, same serial. Only results after number
    /// `since` count, because a PLC that has forgotten its pieces gives their numbers and counts to others.
    pub(crate) fn result_of(&self, arrival: &Arrival, since: u64) -> Option<PieceResult> {
        let same = |(result, serial): &&(PieceResult, Option<String>)| {
            result.piece == arrival.piece && result.encoder == arrival.encoder && arrival.may_be(serial.as_deref())
        };
        self.recent_since(since).find(same).map(|(result, _)| result.clone())
    }

    /// Whether a piece of this number got a result lately.
    pub(crate) fn has_result(&self, piece: PieceId, since: u64) -> bool {
        self.recent_since(since).any(|(result, _)| result.piece == piece)
    }

    fn recent_since(&self, since: u64) -> impl Iterator<Item = &(PieceResult, Option<String>)> {
        let known = usize::try_from(self.results.saturating_sub(since)).unwrap_or(usize::MAX);
        self.recent.iter().rev().take(known)
    }

    /// Notes anything but a piece.
    pub(crate) fn note(&mut self, body: &Body, at: Timestamp) {
        match body {
            Body::Stopped(record) => self.note_stop(record, at),
            Body::Acknowledged(acknowledgement) => {
                if let Some(stop) = self.stop.as_mut().filter(|stop| stop.record.seq == acknowledgement.stop_seq) {
                    stop.acknowledged = Some(acknowledgement.clone());
                }
            }
            Body::Released(_) => {
                self.last_stop = self.stop.take().or(self.last_stop.take());
                self.tally = Tally::default();
                self.charts.restart_runs();
            }
            // Checked before it was recorded; a chart that the recipe no longer has is no longer there.
            Body::Revised(record) => drop(self.charts.revise(record.chart, record.revision)),
            Body::Armed(record) => self.arming = Some(Arming { record: record.clone(), since: at }),
            Body::Gate(record) => self.note_gate(record),
            Body::KeySwitch(record) => self.key_switch = record.position,
            Body::Lot(_) => self.tally = Tally::default(),
            Body::CountersReset(_) => self.reset_counters(),
            Body::Mark(record) => self.golden_asked |= record.mark == Mark::GoldenCheck,
            Body::Decided(record) => Arc::make_mut(&mut self.decisions).note(record),
            Body::TakenIn(record) => {
                // Checked before it was recorded.
                if let Ok(Some(made_of)) = record.intake.applied(&self.made_of) {
                    self.made_of = made_of;
                }
            }
            Body::Started(_) | Body::Piece(_) | Body::Limits(_) | Body::Checkpoint(_) => {}
        }
    }

    fn note_gate(&mut self, record: &GateRecord) {
        for end in &record.pieces {
            if let Some(index) = self.at_gate.iter().position(|piece| *piece == end.piece) {
                self.at_gate.remove(index);
            }
            let counter = match end.fate {
                Fate::Confirmed => &mut self.counters.reject_confirmed,
                Fate::Unconfirmed | Fate::Late | Fate::Lost => &mut self.counters.reject_unconfirmed,
            };
            *counter = counter.wrapping_add(1);
            if matches!(end.fate, Fate::Unconfirmed | Fate::Late) {
                self.tally.note_unconfirmed();
            }
        }
    }

    /// The pieces that are still on their way to the gate stay commanded, so that the counters go on to reconcile.
    fn reset_counters(&mut self) {
        let waiting = u32::try_from(self.at_gate.len()).unwrap_or(u32::MAX);
        self.counters = Counters { reject_commanded: waiting, ..Counters::default() };
        self.withheld_stops = 0;
    }

    fn note_stop(&mut self, record: &StopRecord, at: Timestamp) {
        self.stop_seq = record.seq;
        if record.withheld.is_some() {
            self.withheld_stops = self.withheld_stops.saturating_add(1);
            self.last_stop = Some(StopMemory { record: record.clone(), since: at, acknowledged: None });
            if record.withheld == Some(Withheld::Policy) {
                // Nobody will do anything about the process: what was counted goes on.
                return;
            }
            self.tally = Tally::default();
            self.charts.restart_runs();
            return;
        }
        match self.stop.as_mut() {
            Some(stop) => stop.record.reasons = record.reasons,
            None => self.stop = Some(StopMemory { record: record.clone(), since: at, acknowledged: None }),
        }
    }

    /// Folds one entry of the chain into the memory.
    pub(crate) fn fold(&mut self, recipe: &Recipe, entry: &Entry, result: impl Fn(&Recipe, &PieceRecord) -> PieceResult) {
        match &entry.body {
            Body::Checkpoint(memory) => {
                *self = (**memory).clone();
                self.charts.fit(recipe);
            }
            Body::Piece(record) => {
                let judged = Judged {
                    arrival: &record.arrival,
                    inspection: record.inspection.as_deref(),
                    judgement: &record.judgement,
                    readings: &record.readings,
                };
                drop(self.note_piece(recipe, &judged));
                self.note_result(result(recipe, record), record.arrival.serial.clone());
            }
            other => self.note(other, entry.at),
        }
    }

    /// True if causes to stop withdraw the permit.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.arming.as_ref().is_some_and(|arming| arming.record.armed)
    }

    /// The reasons of the stop in force.
    #[must_use]
    pub fn reasons(&self) -> StopReasons {
        self.stop.as_ref().map_or_else(StopReasons::default, |stop| stop.record.reasons)
    }
}
