//! Where the time of a piece goes: the last measurements of every stage, and what people are told of them.
//!
//! Invariant: fixed memory; a measurement costs one short lock and never waits for a reader that computes.

use serde::Serialize;
use station::inspection::StageMicros;
use station::piece::PieceId;
use station::verdict::Verdict;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// Measurements that are kept per stage, and pieces: enough for a p99 of a shift's last pieces, 32 kB a stage, 400 kB the pieces.
const WINDOW: usize = 4096;

/// The stages of a piece, in the order in which they happen, and the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Trigger to frame in memory.
    Capture,
    /// Frame to model input.
    Prepare,
    /// The model.
    Infer,
    /// Model output to findings.
    Decode,
    /// The judgement.
    Judge,
    /// Verdict to acknowledged write at the PLC.
    PlcWrite,
    /// Permit given or withdrawn to its reading back from the PLC.
    Permit,
    /// Record to durable.
    Keep,
    /// Trigger seen to verdict acknowledged by the PLC.
    EndToEnd,
}

impl Stage {
    /// The name as written in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Prepare => "prepare",
            Self::Infer => "infer",
            Self::Decode => "decode",
            Self::Judge => "judge",
            Self::PlcWrite => "plc_write",
            Self::Permit => "permit",
            Self::Keep => "keep",
            Self::EndToEnd => "end_to_end",
        }
    }
}

/// Median, 99th percentile and maximum of the window, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Spread {
    /// Median.
    pub p50: u64,
    /// 99th percentile (nearest rank).
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// What is known of the time of one piece, in microseconds of the clock that never steps; 0 is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PieceTimes {
    /// The piece.
    pub piece: u32,
    /// When its trigger was seen, or its free-running picture was due.
    pub due: u64,
    /// The camera's own number of its frame.
    pub frame: u64,
    /// What the model took, and what was done before and after.
    pub stages: StageMicros,
    /// When it had a verdict.
    pub judged: u64,
    /// `pass`, `reject` or `hold`.
    pub verdict: Option<Verdict>,
    /// When the PLC had acknowledged the write that says so.
    pub written: u64,
}

/// The measurements of every stage, and those of the last pieces.
#[derive(Debug, Default)]
pub struct Meter {
    stages: Mutex<BTreeMap<Stage, VecDeque<u64>>>,
    pieces: Mutex<VecDeque<PieceTimes>>,
}

impl Meter {
    /// A piece comes.
    pub fn begin(&self, piece: PieceId, due: u64) {
        let mut pieces = self.pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if pieces.len() == WINDOW {
            pieces.pop_front();
        }
        pieces.push_back(PieceTimes { piece: piece.0, due, ..PieceTimes::default() });
    }

    /// Adds what is now known of a piece.
    pub fn add(&self, piece: PieceId, add: impl FnOnce(&mut PieceTimes)) {
        let mut pieces = self.pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // It is one of the last, whatever the window.
        if let Some(times) = pieces.iter_mut().rev().find(|times| times.piece == piece.0) {
            add(times);
        }
    }

    /// The last pieces, the oldest first.
    #[must_use]
    pub fn pieces(&self) -> Vec<PieceTimes> {
        self.pieces.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().copied().collect()
    }

    /// Notes one measurement.
    pub fn note(&self, stage: Stage, micros: u64) {
        let mut stages = self.stages.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let window = stages.entry(stage).or_insert_with(|| VecDeque::with_capacity(WINDOW));
        if window.len() == WINDOW {
            window.pop_front();
        }
        window.push_back(micros);
    }

    /// What the window of one stage says; zeros if nothing was measured.
    #[must_use]
    pub fn spread(&self, stage: Stage) -> Spread {
        let window: Vec<u64> = {
            let stages = self.stages.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            stages.get(&stage).map(|window| window.iter().copied().collect()).unwrap_or_default()
        };
        spread(window)
    }
}

/// Nearest-rank percentiles (the smallest value with at least p % of the values at or below it).
#[must_use]
pub fn spread(mut values: Vec<u64>) -> Spread {
    values.sort_unstable();
    let rank = |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
    Spread { p50: rank(50), p99: rank(99), max: values.last().copied().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        assert_eq!(spread((1..=100).collect()), Spread { p50: 50, p99: 99, max: 100 });
        assert_eq!(spread(vec![7]), Spread { p50: 7, p99: 7, max: 7 });
        assert_eq!(spread(Vec::new()), Spread::default());
    }

    #[test]
    fn the_window_forgets_the_oldest() {
        let meter = Meter::default();
        for value in 0..5000 {
            meter.note(Stage::Infer, value);
        }
        assert_eq!(meter.spread(Stage::Infer).max, 4999);
        assert_eq!(meter.spread(Stage::Infer).p50, 904 + 2047);
        assert_eq!(meter.spread(Stage::Keep), Spread::default());
    }

    #[test]
    fn what_is_known_of_a_piece_gathers_under_its_number() {
        let meter = Meter::default();
        meter.begin(PieceId(7), 100);
        meter.begin(PieceId(8), 200);
        meter.add(PieceId(7), |times| times.written = 150);
        meter.add(PieceId(9), |times| times.written = 999);
        let got: Vec<_> = meter.pieces().iter().map(|times| (times.piece, times.due, times.written)).collect();
        assert_eq!(got, [(7, 100, 150), (8, 200, 0)]);
    }
}
