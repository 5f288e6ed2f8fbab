//! Records for tests: a small recipe and pieces of every verdict.
//!
//! Knows only `station`, so that tests outside this crate can include it too.
#![allow(dead_code, missing_docs, reason = "each test that includes this uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use station::inspection::{ClassId, Finding, Inspection, MissReason, ModelRef, PixelBox, StageMicros};
use station::piece::{Arrival, PieceId};
use station::policy::{PlcAcknowledge, RecalledSeen, StopPolicy};
use station::reading::{Quality, Reading};
use station::recipe::{Characteristic, Counting, DefectClass, Recipe, RuleNames, Source};
use station::record::{Body, ChartPoint, Entry, EntryNumber, Identity, PieceRecord, Started};
use station::rubric::{Band, Rubric};
use station::units::{Digest, EncoderCount, Micros, Timestamp};
use station::verdict::{Judgement, Reason, Verdict};
use std::sync::Arc;

/// 2026-11-22T11:59:59.812Z.
pub const NOON: i64 = 1_795_348_799_812_000;

pub fn model() -> Arc<ModelRef> {
    Arc::new(ModelRef { package: "pcb@1.2.0".to_owned(), weights: Digest::of(b"weights") })
}

pub fn started() -> Started {
    let class = |name: &str| DefectClass { name: name.to_owned(), threshold: 0.5 };
    let band = |grade: &str, suspects_max| Band { grade: grade.to_owned(), defects_max: 0, suspects_max, suspect_score: 0.2 };
    let chart = |id, name: &str, source| Characteristic {
        id,
        name: name.to_owned(),
        source,
        phase_one_subgroups: 25,
        rules: RuleNames { nelson: vec![1, 2], ..RuleNames::default() },
        spread_rules: None,
        counting: Counting::default(),
        patterns: Vec::new(),
        stop_rules: RuleNames { nelson: vec![1], ..RuleNames::default() },
        stop_after_points: 1,
        reaction: "clean the stencil".to_owned(),
        limits: None,
        alarm: None,
    };
    let recipe = Recipe {
        name: "board-a".to_owned(),
        product: "board A".to_owned(),
        model: model(),
        frame_set: None,
        classes: vec![class("open"), class("short")],
        rubric: Rubric::of_bands(3, vec![band("A", 0), band("B", 2)]),
        verdict_deadline: Micros::from_millis(200),
        gate_offset: 1000,
        gate_slack: 100,
        characteristics: vec![
            chart(1, "paste_height", Source::Individuals { tag: "paste_height".into(), unit: "um".into() }),
            chart(2, "rejects", Source::RejectShare { subgroup: 50, overdispersed: false }),
        ],
        payload: Vec::new(),
        stop: StopPolicy {
            consecutive_rejects: 3,
            reject_rate_window: 100,
            reject_rate_max: 10,
            camera_misses: 2,
            model_errors: 2,
            deadline_window: 100,
            deadline_misses_max: 3,
            unconfirmed_rejects: 1,
            backlog_entries_max: 1000,
            plc_acknowledge: PlcAcknowledge::Ignored,
            recalled_serial: RecalledSeen::Stop,
        },
    };
    let identity = Identity {
        line: "Line 1".to_owned(),
        station: "AOI".to_owned(),
        sgln: "urn:epc:id:sgln:4012345.00005.3".to_owned(),
        sgtin_base: "urn:epc:id:sgtin:4012345.011111".to_owned(),
    };
    Started { identity, recipe: Arc::new(recipe), program: "0.1.0".to_owned() }
}

pub fn reading(tag: &str, value: f64, unit: &str, quality: Quality, at: Timestamp) -> Reading {
    Reading { tag: tag.into(), value, unit: unit.into(), quality, sampled_at: at, text: None }
}

fn short(score: f32) -> Finding {
    let bounds = PixelBox { x1: 10.0, y1: 10.0, x2: 30.0, y2: 20.0 };
    Finding { camera: 0, class: ClassId(2), score, bounds, area_mm2: None }
}

/// Piece number `result_id` with this verdict, one piece a second from noon on.
pub fn piece(result_id: u64, verdict: Verdict) -> PieceRecord {
    let number = u32::try_from(result_id).unwrap();
    let at = Timestamp { wall_micros: NOON + i64::from(number) * 1_000_000, mono_micros: result_id * 1_000_000 };
    let id = PieceId(number);
    let (reasons, grade) = match verdict {
        Verdict::Pass => (vec![], 1),
        Verdict::Reject => (vec![Reason::Defects { class: ClassId(2), count: 2, score: 0.93 }], 3),
        Verdict::Hold => (vec![Reason::Missed(MissReason::CameraLost)], 0),
    };
    let seen = Inspection {
        acquisition: 0,
        piece: id,
        camera: "cam0".into(),
        frame: result_id,
        image: Digest::of(&result_id.to_be_bytes()),
        width: 640,
        height: 640,
        model: model(),
        findings: if verdict == Verdict::Reject { vec![short(0.93), short(0.91)] } else { vec![] },
        measurements: vec![],
        micros: StageMicros::default(),
        views: Vec::new(),
    };
    PieceRecord {
        result_id,
        arrival: Arrival {
            acquisition: 0,
            piece: id,
            serial: Some(format!("SN-{result_id:05}")),
            lot: 77,
            encoder: EncoderCount(number),
            golden: false,
            retain: false,
            user_data: Vec::new(),
        },
        arrived_at: at,
        inspection: (verdict != Verdict::Hold).then(|| Arc::new(seen)),
        judgement: Judgement { verdict, reasons, grade },
        rubric_version: 3,
        readings: vec![
            reading("paste_height", 148.2, "um", Quality::Good, at),
            reading("oven_zone_1", 182.4, "Cel", Quality::Good, at),
            reading("force", 31.0, "N", Quality::Stale, at),
            reading("vibration", 0.5, "furlong", Quality::Good, at),
        ],
        points: vec![ChartPoint {
            chart: 1,
            index: result_id,
            value: 148.2,
            range: Some(0.4),
            centre: Some(150.0),
            lcl: Some(144.0),
            ucl: Some(156.0),
            signals: if verdict == Verdict::Reject { vec!["Nelson 2".to_owned()] } else { vec![] },
        }],
        reject_at: (verdict != Verdict::Pass).then_some(EncoderCount(number + 1000)),
        latency_micros: 21_000,
        made_of: Default::default(),
    }
}

/// A ledger entry of `piece`. Its number is the piece's own plus one (entry 1 is the start).
pub fn entry(piece: PieceRecord) -> Entry {
    let number = piece.result_id + 1;
    let at = Timestamp { wall_micros: piece.arrived_at.wall_micros + 21_000, mono_micros: piece.arrived_at.mono_micros + 21_000 };
    Entry { number: EntryNumber(number), at, previous: Digest::of(&number.to_be_bytes()), body: Body::Piece(Box::new(piece)) }
}

/// A mix of verdicts: mostly passes, some rejects, few holds.
pub fn mixed(result_id: u64) -> PieceRecord {
    piece(result_id, [Verdict::Pass, Verdict::Pass, Verdict::Reject, Verdict::Pass, Verdict::Hold][usize::try_from(result_id % 5).unwrap()])
}
