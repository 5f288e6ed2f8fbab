//! What the PLC is told of a piece, out of its record: so that a restart tells the same of the same piece.

use crate::inspection::ClassId;
use crate::judge::defects;
use crate::line::PieceResult;
use crate::reading::Quality;
use crate::recipe::{PayloadValue, Recipe};
use crate::record::PieceRecord;
use crate::verdict::Verdict;
use std::sync::Arc;

/// The result of a piece record, as the PLC was told.
pub(super) fn result_of(recipe: &Recipe, record: &PieceRecord) -> PieceResult {
    let found: Vec<_> = record.inspection.iter().flat_map(|inspection| defects(recipe, inspection)).collect();
    let best = found.iter().max_by(|a, b| a.score.total_cmp(&b.score));
    PieceResult {
        piece: record.arrival.piece,
        encoder: record.arrival.encoder,
        verdict: record.judgement.verdict,
        golden: record.arrival.golden,
        // To a PLC a piece that nobody judged has no grade.
        grade: if record.judgement.verdict == Verdict::Hold { 0 } else { record.judgement.grade },
        top_class: best.map(|finding| finding.class),
        defects: u16::try_from(found.len()).unwrap_or(u16::MAX),
        score: best.map_or(0, |finding| score_in_ten_thousandths(finding.score)),
        latency_tenth_millis: u16::try_from(record.latency_micros / 100).unwrap_or(u16::MAX),
        reject_at: record.reject_at,
        payload: recipe.payload.iter().map(|value| payload(recipe, record, value)).collect(),
    }
}

fn payload(recipe: &Recipe, record: &PieceRecord, value: &PayloadValue) -> f64 {
    let good = |tag: &Arc<str>| record.readings.iter().find(|reading| reading.tag == *tag && reading.quality == Quality::Good);
    let flag = |set: bool| if set { 1.0 } else { 0.0 };
    let defects = |wanted: &dyn Fn(ClassId) -> bool| {
        let found = record.inspection.iter().flat_map(|inspection| defects(recipe, inspection)).filter(|finding| wanted(finding.class));
        f64::from(u32::try_from(found.count()).unwrap_or(u32::MAX))
    };
    match value {
        PayloadValue::Reading { tag } => good(tag).map_or(0.0, |reading| reading.value),
        PayloadValue::ReadingGood { tag } => flag(good(tag).is_some()),
        PayloadValue::Defects { class: None } => defects(&|_| true),
        PayloadValue::Defects { class: Some(class) } => defects(&|found| found == *class),
        PayloadValue::Score { class } => {
            let seen = record.inspection.iter().flat_map(|inspection| &inspection.findings).filter(|finding| finding.class == *class);
            seen.map(|finding| f64::from(finding.score)).fold(0.0, f64::max)
        }
        #[expect(clippy::cast_precision_loss, reason = "a station that judges ten pieces a second reaches 2^53 in 28 million years")]
        PayloadValue::Record => record.result_id as f64,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0…10 000 before the cast")]
fn score_in_ten_thousandths(score: f32) -> u16 {
    (score.clamp(0.0, 1.0) * 10_000.0).round() as u16
}
