//! The control plan at work: which number of a piece goes onto which chart, and what the charts say.
//!
//! Invariants: a reading that is not `Good`, or was charted before, is no point; a piece nobody inspected is in no
//! subgroup; limits are estimated once from the first subgroups and then frozen.

use crate::action::Revision;
use crate::reading::{Quality, Reading};
use crate::recipe::{Characteristic, GivenLimits, Recipe, Source, Spread};
use crate::record::{ChartPoint, LimitsRecord};
use crate::units::Timestamp;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};
use spc::limits::SettingsError;
use spc::{ChartKind, Limits, Monitor, Observation, PairChart, Rule, Sample, Settings, Subgroup};
use std::sync::Arc;
use watch::Watch;

mod names;
mod watch;

/// Every chart of the control plan, in its order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Charts {
    lines: Vec<Line>,
}

/// One characteristic and its monitor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    characteristic: Arc<Characteristic>,
    monitor: Monitor,
    /// The alarm chart, once there are limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watch: Option<Watch>,
    /// Sample of the last charted reading: the same sample is not a second point.
    last_sample: Option<Timestamp>,
    /// Pieces and events of the subgroup that is being filled.
    pieces: u32,
    events: u32,
    /// Readings of the subgroup that is being filled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<f64>,
    /// Points in a row that showed a stop rule.
    stop_points: u32,
}

/// A rule that was hit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signal {
    pub(crate) chart: u16,
    pub(crate) name: String,
    pub(crate) rule: String,
    /// Bit n−1 = Nelson rule n (JMAP `SpcRules`); Western Electric rules have no bit there.
    pub(crate) nelson_bits: u16,
    pub(crate) stops: bool,
}

/// A characteristic that no chart can be made of.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("characteristic `{name}`: {what}")]
pub struct ChartError {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub what: String,
}

impl Charts {
    /// Fresh charts for a recipe.
    pub fn new(recipe: &Recipe) -> Result<Self, ChartError> {
        let lines = recipe.characteristics.iter().map(Line::new).collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }

    /// Keeps what the charts know of characteristics that the recipe still asks for in the same way; the others start afresh.
    pub(crate) fn fit(&mut self, recipe: &Recipe) {
        let known = std::mem::take(&mut self.lines);
        let line = |characteristic: &Characteristic| {
            let same = known.iter().find(|line| *line.characteristic == *characteristic);
            same.cloned().or_else(|| Line::new(characteristic).ok())
        };
        self.lines = recipe.characteristics.iter().filter_map(line).collect();
    }

    /// Charts one judged piece. `defects` is `None` for a piece nobody inspected.
    pub(crate) fn push(
        &mut self,
        recipe: &Recipe,
        verdict: Verdict,
        defects: Option<u32>,
        readings: &[Reading],
    ) -> (Vec<ChartPoint>, Vec<Signal>) {
        if self.lines.len() != recipe.characteristics.len() {
            self.fit(recipe);
        }
        let mut points = Vec::new();
        let mut signals = Vec::new();
        for line in &mut self.lines {
            if let Some(observation) = line.push(verdict, defects, readings) {
                let alarm = line.alarm(&observation);
                points.push(line.point(&observation, alarm.as_ref()));
                signals.extend(line.signals(&observation));
                signals.extend(alarm);
            }
        }
        (points, signals)
    }

    /// Run rules start anew after a release.
    pub(crate) fn restart_runs(&mut self) {
        for line in &mut self.lines {
            line.monitor.restart_runs();
            line.stop_points = 0;
            // A mean of values from before and after what was mended would speak of neither.
            line.values.clear();
            line.watch.iter_mut().for_each(Watch::restart);
        }
    }

    /// Gives a chart other limits; its name if that was possible.
    pub(crate) fn revise(&mut self, chart: u16, revision: Revision) -> Result<String, ChartError> {
        let line = self.lines.iter_mut().find(|line| line.characteristic.id == chart);
        let line = line.ok_or_else(|| ChartError { name: chart.to_string(), what: "there is no such chart".to_owned() })?;
        line.revise(revision)?;
        Ok(line.characteristic.name.clone())
    }

    /// Revision of a chart's limits, 0 before the first; `None` without that chart.
    pub(crate) fn revision(&self, chart: u16) -> Option<u32> {
        self.lines.iter().find(|line| line.characteristic.id == chart).map(|line| line.monitor.revision())
    }

    /// Subgroups that the chart still needs before its limits are frozen.
    pub(crate) fn learning(&self, chart: u16) -> u32 {
        self.lines.iter().find(|line| line.characteristic.id == chart).map_or(0, |line| line.monitor.subgroups_to_learn())
    }

    /// The limits of a chart whose phase I just ended with this point.
    pub(crate) fn frozen_limits(&self, point: &ChartPoint) -> Option<LimitsRecord> {
        let line = self.lines.iter().find(|line| line.characteristic.id == point.chart)?;
        let limits = line.monitor.limits().filter(|_| point.centre.is_none() && point.index == line.monitor.index())?;
        let lines = limits.lines(f64::from(line.characteristic.source.pieces_per_point()));
        Some(LimitsRecord {
            chart: point.chart,
            name: line.characteristic.name.clone(),
            version: limits.revision,
            centre: lines.centre,
            lcl: lines.lcl,
            ucl: lines.ucl,
            subgroups: limits.subgroups,
        })
    }
}

impl Line {
    fn new(characteristic: &Characteristic) -> Result<Self, ChartError> {
        let refuse = |what: String| ChartError { name: characteristic.name.clone(), what };
        let rules = names::rule_set(characteristic, &characteristic.rules).map_err(refuse)?;
        names::within(characteristic).map_err(refuse)?;
        let (kind, usual) = match characteristic.source {
            Source::Individuals { .. } => (ChartKind::Individuals, Settings::values()),
            Source::Averages { spread: Spread::Range, .. } => (ChartKind::XbarR, Settings::values()),
            Source::Averages { spread: Spread::StandardDeviation, .. } => (ChartKind::XbarS, Settings::values()),
            Source::RejectShare { overdispersed: false, .. } => (ChartKind::P, Settings::counts()),
            Source::RejectShare { overdispersed: true, .. } => (ChartKind::LaneyP, Settings::counts()),
            Source::DefectsPerPiece { overdispersed: false, .. } => (ChartKind::U, Settings::counts()),
            Source::DefectsPerPiece { overdispersed: true, .. } => (ChartKind::LaneyU, Settings::counts()),
        };
        let spread = characteristic.spread_rules.as_ref().map(|spread| names::rule_set(characteristic, spread));
        let range_rules = spread.transpose().map_err(refuse)?.unwrap_or(usual.range_rules);
        let settings = Settings { rules, range_rules, phase_one_subgroups: characteristic.phase_one_subgroups, ..usual };
        let monitor = match characteristic.limits {
            Some(given) => given_limits(kind, given, &settings).and_then(|limits| Monitor::with_limits(limits, settings)),
            None => Monitor::new(kind, settings),
        };
        let monitor = monitor.map_err(|error| refuse(error.to_string()))?;
        if let (Some(alarm), false) = (characteristic.alarm, kind == ChartKind::Individuals) {
            return Err(refuse(format!("{alarm:?} watches single values, and this chart has none")));
        }
        let watch = Watch::of(characteristic, &monitor).map_err(&refuse)?;
        let least = if matches!(characteristic.source, Source::Averages { .. }) { 2 } else { 1 };
        if characteristic.source.pieces_per_point() < least {
            return Err(refuse(format!("a subgroup has {least} pieces or more")));
        }
        Ok(Self {
            characteristic: Arc::new(characteristic.clone()),
            monitor,
            watch,
            last_sample: None,
            pieces: 0,
            events: 0,
            values: Vec::new(),
            stop_points: 0,
        })
    }

    fn push(&mut self, verdict: Verdict, defects: Option<u32>, readings: &[Reading]) -> Option<Observation> {
        match self.characteristic.source {
            // A value beyond the chart's arithmetic is refused and leaves the chart as it was: no point.
            Source::Individuals { .. } => self.reading(readings).and_then(|value| self.monitor.push_value(value).ok()),
            Source::Averages { subgroup, .. } => self.reading(readings).and_then(|value| self.gather(subgroup, value)),
            Source::RejectShare { subgroup, .. } => {
                let reject = u32::from(verdict == Verdict::Reject);
                defects.and_then(|_| self.fill(subgroup, reject))
            }
            Source::DefectsPerPiece { subgroup, .. } => defects.and_then(|defects| self.fill(subgroup, defects)),
        }
    }

    /// The reading of this piece, if it can be relied on and was not charted before.
    fn reading(&mut self, readings: &[Reading]) -> Option<f64> {
        let tag = self.characteristic.source.tag()?;
        let fit = |reading: &&Reading| reading.tag == *tag && reading.quality == Quality::Good && reading.text.is_none();
        let reading = readings.iter().find(fit).filter(|reading| self.last_sample != Some(reading.sampled_at))?;
        self.last_sample = Some(reading.sampled_at);
        Some(reading.value)
    }

    fn gather(&mut self, subgroup: u32, value: f64) -> Option<Observation> {
        self.values.push(value);
        if u32::try_from(self.values.len()).is_ok_and(|values| values < subgroup) {
            return None;
        }
        let full = Subgroup::of(&self.values);
        self.values.clear();
        self.monitor.push(Sample::Subgroup(full.ok()?)).ok()
    }

    fn fill(&mut self, subgroup: u32, events: u32) -> Option<Observation> {
        self.pieces += 1;
        self.events = self.events.saturating_add(events);
        if self.pieces < subgroup {
            return None;
        }
        let (count, size) = (self.events, self.pieces);
        (self.events, self.pieces) = (0, 0);
        self.monitor.push_count(count, size).ok()
    }

    fn revise(&mut self, revision: Revision) -> Result<(), ChartError> {
        let refuse = |what: String| ChartError { name: self.characteristic.name.clone(), what };
        let mut monitor = self.monitor.clone();
        match revision {
            Revision::Relearn => monitor.relearn(),
            Revision::Given(given) => given_limits(monitor.chart(), given, monitor.settings()).and_then(|limits| monitor.revise(limits)),
        }
        .map_err(|error| refuse(error.to_string()))?;
        let watch = Watch::of(&self.characteristic, &monitor).map_err(refuse)?;
        (self.monitor, self.watch, self.stop_points) = (monitor, watch, 0);
        // A subgroup that was half full belongs to the limits before.
        (self.pieces, self.events) = (0, 0);
        self.values.clear();
        Ok(())
    }

    /// What the alarm chart says of this point. It begins with the first point that is judged.
    fn alarm(&mut self, observation: &Observation) -> Option<Signal> {
        if observation.froze_limits {
            // Limits that were just frozen are fit for a chart; if not, the chart with rules goes on without this one.
            self.watch = Watch::of(&self.characteristic, &self.monitor).ok().flatten();
            return None;
        }
        let rule = self.watch.as_mut()?.push(observation.point.statistic)?;
        let (chart, name) = (self.characteristic.id, self.characteristic.name.clone());
        Some(Signal { chart, name, rule: rule.to_owned(), nelson_bits: 0, stops: true })
    }

    fn point(&self, observation: &Observation, alarm: Option<&Signal>) -> ChartPoint {
        let point = observation.point;
        let rules = observation.signals().map(|signal| signal.to_string());
        ChartPoint {
            chart: self.characteristic.id,
            index: point.index,
            value: point.statistic,
            range: observation.moving_range.or(observation.within).map(|range| range.statistic),
            centre: point.centre(),
            lcl: point.lcl(),
            ucl: point.ucl(),
            signals: rules.chain(alarm.map(|signal| signal.rule.clone())).collect(),
        }
    }

    fn signals(&mut self, observation: &Observation) -> Vec<Signal> {
        let stop = names::hits(&self.characteristic.stop_rules).unwrap_or_default();
        let shows_stop = !observation.point.signals.and(stop).is_empty();
        self.stop_points = if shows_stop { self.stop_points.saturating_add(1) } else { 0 };
        let due = self.stop_points >= self.characteristic.stop_after_points;
        let nelson_bits = observation.point.signals.iter().fold(0_u16, |bits, rule| bits | nelson_bit(rule));
        let signal = |signal: spc::Signal| Signal {
            chart: self.characteristic.id,
            name: self.characteristic.name.clone(),
            rule: signal.to_string(),
            nelson_bits,
            stops: due && signal.chart == PairChart::Location && stop.contains(signal.rule),
        };
        observation.signals().map(signal).collect()
    }
}

/// Limits from numbers of a person or of the control plan.
fn given_limits(kind: ChartKind, given: GivenLimits, settings: &Settings) -> Result<Limits, SettingsError> {
    match (kind, given.sigma) {
        (ChartKind::Individuals | ChartKind::XbarR | ChartKind::XbarS, Some(sigma)) => {
            Limits::given_process(kind, given.centre, sigma, settings)
        }
        // What a share or a rate varies by follows from it, unless it is overdispersed: then it must be learnt.
        (ChartKind::P | ChartKind::U, None) => Limits::given_rate(kind, given.centre, settings),
        _ => Err(SettingsError::Domain { chart: kind }),
    }
}

fn nelson_bit(rule: Rule) -> u16 {
    let number = rule.name().strip_prefix("Nelson ").and_then(|number| number.parse::<u16>().ok());
    number.and_then(|number| number.checked_sub(1)).map_or(0, |bit| 1 << bit)
}
