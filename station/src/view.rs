//! What people have seen lately: the rings behind a `Snapshot`.
//!
//! Invariant: fixed length; nothing is decided by anything in here.

use crate::decision::{Decision, DecisionRecord, Open};
use crate::judge::defects;
use crate::memory::{Memory, StopMemory};
use crate::recipe::{Recipe, Source};
use crate::record::{Body, Entry, PieceRecord};
use crate::snapshot::{
    ChartView, DecisionsView, DefectView, LineStopView, OpenView, OverruleView, Phase, PieceView, PlcView, PointView, Snapshot, StopView,
};
use crate::station::Setup;
use crate::units::Timestamp;
use crate::verdict::Reason;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// Pieces on the verdict strip.
const PIECES: usize = 60;
/// Points on a live chart.
const POINTS: usize = 120;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct View {
    line: Arc<str>,
    recipe: Arc<str>,
    model: Arc<str>,
    pieces: VecDeque<Arc<PieceView>>,
    charts: Vec<Arc<ChartView>>,
    reactions: Vec<(u16, String)>,
    #[serde(default)]
    grades: Arc<[String]>,
}

impl View {
    pub(crate) fn new(setup: &Setup) -> Self {
        let recipe = &setup.recipe;
        let chart = |characteristic: &crate::recipe::Characteristic| {
            let kind = match characteristic.source {
                Source::Individuals { .. } => "individuals",
                Source::Averages { .. } => "averages",
                Source::RejectShare { overdispersed: false, .. } => "reject_share",
                Source::RejectShare { overdispersed: true, .. } => "reject_share_laney",
                Source::DefectsPerPiece { overdispersed: false, .. } => "defects_per_piece",
                Source::DefectsPerPiece { overdispersed: true, .. } => "defects_per_piece_laney",
            };
            let learning = characteristic.phase_one_subgroups;
            Arc::new(ChartView {
                id: characteristic.id,
                name: characteristic.name.clone(),
                kind: kind.into(),
                unit: characteristic.source.unit().to_owned(),
                learning,
                revision: 0,
                points: Vec::new(),
            })
        };
        Self {
            line: format!("{} / {}", setup.identity.line, setup.identity.station).into(),
            recipe: recipe.name.as_str().into(),
            model: models(recipe).into(),
            pieces: VecDeque::with_capacity(PIECES + 1),
            charts: recipe.characteristics.iter().map(chart).collect(),
            reactions: recipe.characteristics.iter().map(|characteristic| (characteristic.id, characteristic.reaction.clone())).collect(),
            grades: (1..=recipe.rubric.worst()).map(|grade| recipe.rubric.name(grade)).collect(),
        }
    }

    /// Fills the rings from the chain.
    pub(crate) fn fold(&mut self, recipe: &Recipe, entry: &Entry) {
        match &entry.body {
            Body::Piece(record) => self.note_piece(recipe, record, entry.at),
            Body::Decided(record) => self.note_decision(recipe, record),
            _ => {}
        }
    }

    /// An overrule is shown with its piece for as long as the piece is.
    pub(crate) fn note_decision(&mut self, recipe: &Recipe, record: &DecisionRecord) {
        let Decision::Overrule { result_id, verdict, grade } = record.decision else { return };
        let Some(piece) = self.pieces.iter_mut().find(|piece| piece.result_id == result_id) else { return };
        Arc::make_mut(piece).overruled = Some(OverruleView {
            decision_id: record.decision_id,
            verdict,
            grade: recipe.rubric.name(grade),
            by: record.by.clone(),
            reason: record.reason.clone(),
        });
    }

    pub(crate) fn note_piece(&mut self, recipe: &Recipe, record: &PieceRecord, at: Timestamp) {
        self.pieces.push_back(Arc::new(piece_view(recipe, record, at)));
        if self.pieces.len() > PIECES {
            self.pieces.pop_front();
        }
        for point in &record.points {
            let Some(chart) = self.charts.iter_mut().find(|chart| chart.id == point.chart) else { continue };
            let points = &mut Arc::make_mut(chart).points;
            if points.len() >= POINTS {
                points.remove(0);
            }
            points.push(PointView { piece: record.arrival.piece, point: point.clone() });
        }
    }

    /// The part of a snapshot that the rings and the memory know; the caller sets the rest.
    pub(crate) fn snapshot(&self, memory: &Memory) -> Snapshot {
        let stop = |stop: &StopMemory| self.stop_view(stop);
        let chart = |chart: &Arc<ChartView>| {
            let learning = memory.charts.learning(chart.id);
            let revision = memory.charts.revision(chart.id).unwrap_or(0);
            let same = (chart.learning, chart.revision) == (learning, revision);
            if same { Arc::clone(chart) } else { Arc::new(ChartView { learning, revision, ..(**chart).clone() }) }
        };
        Snapshot {
            at: Timestamp::default(),
            line: Arc::clone(&self.line),
            recipe: Arc::clone(&self.recipe),
            model: Arc::clone(&self.model),
            phase: Phase::Starting,
            run_permit: false,
            stop: memory.stop.as_ref().map(stop),
            last_stop: memory.last_stop.as_ref().map(stop),
            line_stop: LineStopView {
                armed: memory.is_armed(),
                by: memory.arming.as_ref().map(|arming| arming.record.by.clone()),
                since: memory.arming.as_ref().map(|arming| arming.since),
                withheld: memory.withheld_stops,
            },
            counters: memory.counters,
            pieces: self.pieces.iter().cloned().collect(),
            charts: self.charts.iter().map(chart).collect(),
            readings: Vec::new(),
            plc: PlcView::default(),
            backlog_entries: 0,
            kept: 0,
            decisions: self.decisions(memory),
            made_of: Arc::clone(&memory.made_of),
        }
    }

    fn decisions(&self, memory: &Memory) -> DecisionsView {
        let all = &memory.decisions;
        let views = |open: &[Open]| open.iter().map(open_view).collect();
        DecisionsView {
            last: all.last,
            results: memory.results,
            escapes: all.escapes,
            grades: Arc::clone(&self.grades),
            holds: views(&all.holds),
            recalls: views(&all.recalls),
            all: Arc::clone(all),
        }
    }

    fn stop_view(&self, stop: &StopMemory) -> StopView {
        let reaction = self.reactions.iter().find(|(chart, _)| *chart == stop.record.chart);
        StopView {
            seq: stop.record.seq,
            first: stop.record.first,
            detail: stop.record.detail.clone(),
            reasons: stop.record.reasons,
            reaction: reaction.map_or_else(String::new, |(_, reaction)| reaction.clone()),
            piece: stop.record.piece,
            chart: stop.record.chart,
            since: stop.since,
            acknowledged_by: stop.acknowledged.as_ref().map(|acknowledged| acknowledged.by.clone()),
            cause: stop.acknowledged.as_ref().map_or_else(String::new, |acknowledged| acknowledged.cause.clone()),
            withheld: stop.record.withheld,
        }
    }
}

fn open_view(open: &Open) -> OpenView {
    OpenView {
        decision_id: open.decision_id,
        name: open.name.clone(),
        results: open.set.results_count(),
        lots: open.set.lots.iter().copied().collect(),
        serials: open.set.serials.len(),
    }
}

/// The packages that look, each once.
fn models(recipe: &Recipe) -> String {
    let mut names = vec![recipe.model.package.as_str()];
    for member in recipe.frame_set.iter().flat_map(|set| &set.members) {
        if !names.contains(&member.model.package.as_str()) {
            names.push(&member.model.package);
        }
    }
    names.join(", ")
}

fn piece_view(recipe: &Recipe, record: &PieceRecord, at: Timestamp) -> PieceView {
    let inspection = record.inspection.as_deref();
    let name = |class| recipe.class(class).map_or_else(|| "?".to_owned(), |class| class.name.clone());
    let reason = |reason: &Reason| match reason {
        Reason::Defects { class, count: 1, .. } => name(*class),
        Reason::Defects { class, count, .. } => format!("{count} × {}", name(*class)),
        Reason::Grade { name, .. } => name.to_string(),
        Reason::Missed(missed) => missed.name().to_owned(),
        Reason::MissedBy { camera, reason } => format!("{camera}: {reason}"),
        Reason::Recalled { name, .. } => format!("recalled: {name}"),
    };
    let views = inspection.map_or(&[][..], |inspection| &inspection.views);
    let defect = |finding: &crate::inspection::Finding| DefectView {
        class: name(finding.class),
        score: finding.score,
        bounds: finding.bounds,
        camera: views.get(usize::from(finding.camera)).map(|view| Arc::clone(&view.camera)),
    };
    PieceView {
        piece: record.arrival.piece,
        serial: record.arrival.serial.clone(),
        result_id: record.result_id,
        at,
        verdict: record.judgement.verdict,
        grade: recipe.rubric.name(record.judgement.grade),
        reason: record.judgement.reasons.iter().map(reason).collect::<Vec<_>>().join(", "),
        latency_micros: record.latency_micros,
        frame: inspection.map_or([0, 0], |inspection| [inspection.width, inspection.height]),
        camera: inspection.filter(|_| !views.is_empty()).map(|inspection| Arc::clone(&inspection.camera)),
        defects: inspection.into_iter().flat_map(|inspection| defects(recipe, inspection)).map(defect).collect(),
        overruled: None,
    }
}
