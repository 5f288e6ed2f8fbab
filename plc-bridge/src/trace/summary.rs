//! A trace as people and programs read it: lines, JSON, and a summary with the measured resolution.

use super::{Anomaly, PieceTrace, Traced, What};
use serde::Serialize;
use station::units::Micros;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Values kept for the summary, the newest ones; 8 bytes each, six lists.
const VALUES_MAX: usize = 10_000;

/// The steps of an exchange, in order.
const STEPS: [&str; 5] = ["trigger_ack", "exposure_complete", "results_valid", "results_ack", "results_withdrawn"];

const fn steps(piece: &PieceTrace) -> [Option<Micros>; 5] {
    [piece.trigger_ack, piece.exposure_complete, piece.results_valid, piece.results_ack, piece.results_withdrawn]
}

impl Anomaly {
    /// Its name, as in the JSON lines.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TriggerDropped { .. } => "trigger_dropped",
            Self::TriggersMissed { .. } => "triggers_missed",
            Self::ResultsNotAcked { .. } => "results_not_acked",
            Self::ResultsOverrun { .. } => "results_overrun",
            Self::UnexpectedEcho { .. } => "unexpected_echo",
            Self::HeartbeatStill { .. } => "heartbeat_still",
            Self::HeartbeatGap { .. } => "heartbeat_gap",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TriggerDropped { piece } => write!(f, "piece {piece}: Trigger went to 0 before TriggerAck; hold it until they are equal"),
            Self::TriggersMissed { count } => write!(f, "{count} trigger(s) came while TriggerReady was 0; wait for it"),
            Self::ResultsNotAcked { piece, waited } => {
                write!(f, "piece {piece}: its result is on offer for {} ms without ResultsAck", waited.0 / 1000)
            }
            Self::ResultsOverrun { count } => write!(f, "{count} result(s) found no room on offer; acknowledge results faster"),
            Self::UnexpectedEcho { echo, expected: Some(expected) } => write!(f, "a result for piece {echo}, but {expected} was due"),
            Self::UnexpectedEcho { echo, expected: None } => write!(f, "a result for piece {echo}, but no piece waits for one"),
            Self::HeartbeatStill { side } => write!(f, "{side:?} heartbeat stands still for over 250 ms"),
            Self::HeartbeatGap { side, gap } => write!(f, "{side:?} heartbeat moves again after {} ms", gap.0 / 1000),
        }
    }
}

impl Traced {
    /// Head of the table that `line` fills.
    #[must_use]
    pub fn header() -> String {
        let columns = ["ack", "exposure", "valid", "results ack", "withdrawn"];
        let columns = columns.map(|column| format!("{column:>12}")).concat();
        format!("{:>12} {:>10}{columns} {:>5} {:>9}   (ms since Trigger, each right to +/-)", "s", "piece", "code", "+/-")
    }

    /// As one line of the table.
    #[must_use]
    pub fn line(&self) -> String {
        let seconds = millis(Micros(self.at.mono_micros / 1000));
        match &self.what {
            What::Piece(piece) => {
                let times = steps(piece).map(|step| format!("{:>12}", step.map_or_else(|| "-".to_owned(), millis))).concat();
                let (code, resolution) = (piece.result_code, millis(piece.resolution));
                format!("{seconds:>12} {:>10}{times} {code:>5} {resolution:>9}", piece.piece)
            }
            What::Anomaly(anomaly) => format!("{seconds:>12} ! {anomaly}"),
            What::Permit { run: true, .. } => format!("{seconds:>12} RunPermit 1"),
            What::Permit { run: false, reasons, stop_seq } => {
                let reasons = if reasons.is_empty() { "no reason given".to_owned() } else { reasons.join(", ") };
                format!("{seconds:>12} RunPermit 0: {reasons} (stop {stop_seq})")
            }
            What::Link { up: true, .. } => format!("{seconds:>12} looking at the PLC"),
            What::Link { up: false, error } => format!("{seconds:>12} ! lost the PLC: {}", error.as_deref().unwrap_or("no reason given")),
        }
    }

    /// As one line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // Numbers, names and text: nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Microseconds as milliseconds with three digits.
fn millis(Micros(micros): Micros) -> String {
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

/// How a time is spread over the pieces (the newest 10 000 of them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many were seen.
    pub count: usize,
    /// Smallest.
    pub min: Micros,
    /// Middle one.
    pub median: Micros,
    /// 95 of 100 are no longer (nearest rank).
    pub p95: Micros,
    /// Largest.
    pub max: Micros,
}

impl Spread {
    fn of(values: &VecDeque<Micros>) -> Option<Self> {
        let mut sorted: Vec<Micros> = values.iter().copied().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { count: sorted.len(), min: *sorted.first()?, median: rank(50)?, p95: rank(95)?, max: *sorted.last()? })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, min, median, p95, max } = self;
        let [min, median, p95, max] = [min, median, p95, max].map(|value| millis(*value));
        write!(f, "{count:>7} {min:>10} {median:>10} {p95:>10} {max:>10}")
    }
}

/// What a trace measured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Time between two looks as it was, not as it was set: no time in the trace is finer than this.
    pub period: Option<Spread>,
    /// Pieces told.
    pub pieces: u64,
    /// Of them, those whose exchange was seen to its end.
    pub complete: u64,
    /// Anomalies by name.
    pub anomalies: BTreeMap<&'static str, u64>,
    /// Each step of the exchange, counted from the trigger.
    pub steps: Vec<(&'static str, Spread)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} pieces, {} seen to the end", self.pieces, self.complete)?;
        writeln!(f, "{:<20} {:>7} {:>10} {:>10} {:>10} {:>10}", "ms since Trigger", "seen", "min", "median", "p95", "max")?;
        for (name, spread) in &self.steps {
            writeln!(f, "{name:<20} {spread}")?;
        }
        if let Some(period) = &self.period {
            writeln!(f, "{:<20} {period}", "time between looks")?;
            writeln!(
                f,
                "each time is right to +/- the time between two looks: {} ms as a rule, {} ms at worst",
                millis(period.median),
                millis(period.max)
            )?;
        }
        for (name, count) in &self.anomalies {
            writeln!(f, "! {name}: {count}")?;
        }
        if self.anomalies.is_empty() {
            writeln!(f, "no anomalies")?;
        }
        Ok(())
    }
}

/// Counts while a trace runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    periods: VecDeque<Micros>,
    steps: [VecDeque<Micros>; 5],
    pieces: u64,
    complete: u64,
    anomalies: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn period(&mut self, period: Micros) {
        keep(&mut self.periods, period);
    }

    pub(super) fn note(&mut self, what: &What) {
        match what {
            What::Piece(piece) => {
                self.pieces += 1;
                self.complete += u64::from(piece.results_withdrawn.is_some());
                for (values, step) in self.steps.iter_mut().zip(steps(piece)) {
                    if let Some(step) = step {
                        keep(values, step);
                    }
                }
            }
            What::Anomaly(anomaly) => *self.anomalies.entry(anomaly.name()).or_default() += 1,
            What::Permit { .. } | What::Link { .. } => {}
        }
    }

    pub(super) fn summary(&self) -> Summary {
        let steps = STEPS.into_iter().zip(&self.steps).filter_map(|(name, values)| Some((name, Spread::of(values)?))).collect();
        let period = Spread::of(&self.periods);
        Summary { period, pieces: self.pieces, complete: self.complete, anomalies: self.anomalies.clone(), steps }
    }
}

fn keep(values: &mut VecDeque<Micros>, value: Micros) {
    if values.len() >= VALUES_MAX {
        values.pop_front();
    }
    values.push_back(value);
}
