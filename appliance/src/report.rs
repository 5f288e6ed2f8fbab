//! What a run of the line achieved: a fold over the ledger, compared with the generator's truth. One JSON line.
//!
//! Invariant: everything that can be is read from the ledger, not counted on the way; other programs depend on the names.

use crate::meter::{Meter, Spread, Stage};
use crate::outbox::OutboxCounts;
use serde::Serialize;
use station::judge::defects;
use station::piece::PieceId;
use station::policy::Withheld;
use station::recipe::Recipe;
use station::record::{Body, Entry, PieceRecord};
use station::units::Digest;
use station::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use vision_models::score::{Score, TruthBox, score};

/// The report of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Pieces with a record.
    pub pieces: u64,
    /// Pass.
    pub pass: u64,
    /// Reject.
    pub fail: u64,
    /// Hold.
    pub hold: u64,
    /// Holds because nobody inspected the piece.
    pub missed: u64,
    /// Verdicts against the truth.
    pub truth: TruthTable,
    /// Stops in order.
    pub stops: Vec<StopLine>,
    /// The evidence.
    pub ledger: LedgerLine,
    /// One row per backend.
    pub outbox: BTreeMap<String, OutboxCounts>,
    /// Where the time went.
    pub latency_micros: Latency,
    /// Largest resident set in MiB.
    pub rss_mib_max: u64,
    /// Seed of the simulated line.
    pub seed: u64,
    /// The model, `name@version`.
    pub model: String,
    /// Digest over all that was decided, without times — arrivals, findings, verdicts, rejects, chart points, limits, stops,
    /// acknowledgements, releases: equal for two runs with the same seed.
    pub verdicts_sha256: Digest,
}

/// Verdicts against the truth. Pieces on hold were not judged and count nowhere but in `held_bad`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TruthTable {
    /// Bad pieces.
    pub pieces_bad: u64,
    /// Bad pieces that passed.
    pub escapes: u64,
    /// Good pieces that were rejected.
    pub overkill: u64,
    /// Defects on judged pieces.
    pub defects: u64,
    /// Defects that no finding belongs to.
    pub defects_missed: u64,
    /// Findings that belong to no defect.
    pub false_calls: u64,
    /// Bad pieces that were held.
    pub held_bad: u64,
}

/// One stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopLine {
    /// Its number.
    pub seq: u16,
    /// The first reason.
    pub reason: String,
    /// In words.
    pub detail: String,
    /// The piece at which it stopped, if one did it.
    pub piece: Option<PieceId>,
    /// What kept it from being commanded; `null` if it was.
    pub withheld: Option<Withheld>,
    /// Who let the line run again; `null` while nobody has.
    pub released_by: Option<String>,
}

/// The state of the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LedgerLine {
    /// Piece records of this run.
    pub records: u64,
    /// Every digest was recomputed and fits.
    pub verified: bool,
    /// Pieces with more than one record: always 0.
    pub doubled: u64,
}

/// Where the time of a piece went.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Latency {
    /// Trigger seen to verdict acknowledged by the PLC.
    pub end_to_end: Spread,
    /// Every stage.
    pub stages: BTreeMap<&'static str, Spread>,
}

impl Latency {
    /// From the meter's windows.
    #[must_use]
    pub fn of(meter: &Meter) -> Self {
        use Stage::{Capture, Decode, Infer, Judge, Keep, PlcWrite, Prepare};
        let stages = [Capture, Prepare, Infer, Decode, Judge, PlcWrite, Keep].map(|stage| (stage.name(), meter.spread(stage)));
        Self { end_to_end: meter.spread(Stage::EndToEnd), stages: BTreeMap::from(stages) }
    }
}

/// Folds the entries of one run.
pub struct Fold<'a> {
    recipe: &'a Recipe,
    truth: &'a dyn Fn(PieceId) -> Vec<TruthBox>,
    report: Report,
    seen: BTreeSet<PieceId>,
    digest: Digest,
    score: Score,
}

impl<'a> Fold<'a> {
    /// An empty report.
    #[must_use]
    pub fn new(recipe: &'a Recipe, seed: u64, truth: &'a dyn Fn(PieceId) -> Vec<TruthBox>) -> Self {
        let report = Report {
            pieces: 0,
            pass: 0,
            fail: 0,
            hold: 0,
            missed: 0,
            truth: TruthTable::default(),
            stops: Vec::new(),
            ledger: LedgerLine::default(),
            outbox: BTreeMap::new(),
            latency_micros: Latency::default(),
            rss_mib_max: 0,
            seed,
            model: recipe.model.package.clone(),
            verdicts_sha256: Digest::default(),
        };
        Self { recipe, truth, report, seen: BTreeSet::new(), digest: Digest::default(), score: Score::default() }
    }

    /// Takes the next entry of the run.
    pub fn push(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Piece(record) => self.piece(record),
            Body::Stopped(stop) if self.report.stops.last().is_none_or(|last| last.seq != stop.seq) => {
                self.chain(&(stop.first.name(), &stop.detail, stop.piece));
                self.report.stops.push(StopLine {
                    seq: stop.seq,
                    reason: stop.first.name().to_owned(),
                    detail: stop.detail.clone(),
                    piece: stop.piece,
                    withheld: stop.withheld,
                    released_by: None,
                });
            }
            Body::Released(release) => {
                self.chain(release);
                let stop = self.report.stops.iter_mut().find(|stop| stop.seq == release.stop_seq);
                if let Some(stop) = stop {
                    stop.released_by = Some(release.by.name().to_owned());
                }
            }
            Body::Acknowledged(acknowledgement) => self.chain(acknowledgement),
            Body::Limits(limits) => self.chain(limits),
            Body::Revised(revision) => self.chain(revision),
            Body::Lot(lot) => self.chain(lot),
            Body::CountersReset(reset) => self.chain(&reset.by),
            Body::Mark(mark) => self.chain(mark),
            Body::Decided(decision) => self.chain(decision),
            Body::TakenIn(intake) => self.chain(intake),
            // When somebody arms, turns a key or confirms a reject lies between two pieces by chance.
            Body::Armed(_) | Body::KeySwitch(_) | Body::Gate(_) => {}
            Body::Stopped(_) | Body::Started(_) | Body::Checkpoint(_) => {}
        }
    }

    fn piece(&mut self, record: &PieceRecord) {
        let report = &mut self.report;
        report.pieces += 1;
        report.ledger.records += 1;
        report.ledger.doubled += u64::from(!self.seen.insert(record.arrival.piece));
        match record.judgement.verdict {
            Verdict::Pass => report.pass += 1,
            Verdict::Reject => report.fail += 1,
            Verdict::Hold => report.hold += 1,
        }
        let truth = (self.truth)(record.arrival.piece);
        match &record.inspection {
            Some(inspection) => {
                let found: Vec<_> = defects(self.recipe, inspection).copied().collect();
                self.score += score(&found, &truth);
            }
            None => {
                report.missed += 1;
                report.truth.held_bad += u64::from(!truth.is_empty());
            }
        }
        let findings = record.inspection.as_ref().map(|inspection| &inspection.findings);
        self.chain(&(&record.arrival, &record.judgement, findings, record.reject_at, &record.points));
    }

    fn chain(&mut self, what: &impl Serialize) {
        let bytes = serde_json::to_vec(what).unwrap_or_default();
        self.digest = Digest::of_parts(&[&self.digest.0, &bytes]);
    }

    /// The report so far.
    #[must_use]
    pub fn finish(self) -> Report {
        let Score { bad_pieces, escapes, overkills, defects, missed, false_calls, .. } = self.score;
        let held_bad = self.report.truth.held_bad;
        let (pieces_bad, overkill, defects_missed) = (bad_pieces + held_bad, overkills, missed);
        let truth = TruthTable { pieces_bad, escapes, overkill, defects, defects_missed, false_calls, held_bad };
        Report { truth, verdicts_sha256: self.digest, ..self.report }
    }
}
