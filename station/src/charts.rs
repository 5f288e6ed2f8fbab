//! The control plan at work: which number of a piece goes onto which chart, and what the charts say.
//!
//! Invariants: a reading that is not `Good`, or was charted before, is no point; a piece nobody inspected is in no
//! subgroup; limits are estimated once from the first subgroups and then frozen.

use crate::reading::{Quality, Reading};
use crate::recipe::{Characteristic, Recipe, RuleNames, Source};
use crate::record::{ChartPoint, LimitsRecord};
use crate::units::Timestamp;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};
use spc::{Hits, Monitor, Observation, PairChart, Rule, RuleSet, Settings};
use std::sync::Arc;

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
    /// Sample of the last charted reading: the same sample is not a second point.
    last_sample: Option<Timestamp>,
    /// Pieces and events of the subgroup that is being filled.
    pieces: u32,
    events: u32,
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
                points.push(line.point(&observation));
                signals.extend(line.signals(&observation));
            }
        }
        (points, signals)
    }

    /// Run rules start anew after a release.
    pub(crate) fn restart_runs(&mut self) {
        for line in &mut self.lines {
            line.monitor.restart_runs();
            line.stop_points = 0;
        }
    }

    /// Subgroups that the chart still needs before its limits are frozen.
    pub(crate) fn learning(&self, chart: u16) -> u32 {
        self.lines.iter().find(|line| line.characteristic.id == chart).map_or(0, |line| line.monitor.subgroups_to_learn())
    }

    /// The limits of a chart whose phase I just ended with this point.
    pub(crate) fn frozen_limits(&self, point: &ChartPoint) -> Option<LimitsRecord> {
        let line = self.lines.iter().find(|line| line.characteristic.id == point.chart)?;
        let limits = line.monitor.limits().filter(|_| point.centre.is_none() && point.index == line.monitor.index())?;
        let lines = limits.lines(line.subgroup_size());
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
        let rules = RuleSet::only(&rules(&characteristic.rules).map_err(refuse)?);
        rules_within(characteristic).map_err(refuse)?;
        let phase_one_subgroups = characteristic.phase_one_subgroups;
        let monitor = match characteristic.source {
            Source::Individuals { .. } => Monitor::individuals(Settings { rules, phase_one_subgroups, ..Settings::values() }),
            Source::RejectShare { .. } => Monitor::p(Settings { rules, phase_one_subgroups, ..Settings::counts() }),
            Source::DefectsPerPiece { .. } => Monitor::u(Settings { rules, phase_one_subgroups, ..Settings::counts() }),
        };
        let monitor = monitor.map_err(|error| refuse(error.to_string()))?;
        match characteristic.source {
            Source::RejectShare { subgroup: 0 } | Source::DefectsPerPiece { subgroup: 0 } => {
                Err(refuse("a subgroup of 0 pieces".to_owned()))
            }
            _ => Ok(Self {
                characteristic: Arc::new(characteristic.clone()),
                monitor,
                last_sample: None,
                pieces: 0,
                events: 0,
                stop_points: 0,
            }),
        }
    }

    fn subgroup_size(&self) -> f64 {
        match self.characteristic.source {
            Source::Individuals { .. } => 1.0,
            Source::RejectShare { subgroup } | Source::DefectsPerPiece { subgroup } => f64::from(subgroup),
        }
    }

    fn push(&mut self, verdict: Verdict, defects: Option<u32>, readings: &[Reading]) -> Option<Observation> {
        match &self.characteristic.source {
            Source::Individuals { tag, .. } => {
                let reading =
                    readings.iter().find(|reading| reading.tag == *tag && reading.quality == Quality::Good && reading.text.is_none())?;
                if self.last_sample == Some(reading.sampled_at) {
                    return None;
                }
                self.last_sample = Some(reading.sampled_at);
                // A value beyond the chart's arithmetic is refused and leaves the chart as it was: no point.
                self.monitor.push_value(reading.value).ok()
            }
            Source::RejectShare { subgroup } => {
                let (subgroup, reject) = (*subgroup, u32::from(verdict == Verdict::Reject));
                defects.and_then(|_| self.fill(subgroup, reject))
            }
            Source::DefectsPerPiece { subgroup } => {
                let subgroup = *subgroup;
                defects.and_then(|defects| self.fill(subgroup, defects))
            }
        }
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

    fn point(&self, observation: &Observation) -> ChartPoint {
        let point = observation.point;
        ChartPoint {
            chart: self.characteristic.id,
            index: point.index,
            value: point.statistic,
            range: observation.moving_range.map(|range| range.statistic),
            centre: point.centre(),
            lcl: point.lcl(),
            ucl: point.ucl(),
            signals: observation.signals().map(|signal| signal.to_string()).collect(),
        }
    }

    fn signals(&mut self, observation: &Observation) -> Vec<Signal> {
        let stop = rules(&self.characteristic.stop_rules).map(|rules| Hits::of(&rules)).unwrap_or_default();
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

fn rules_within(characteristic: &Characteristic) -> Result<(), String> {
    let shown = Hits::of(&rules(&characteristic.rules)?);
    match rules(&characteristic.stop_rules)?.into_iter().find(|rule| !shown.contains(*rule)) {
        Some(rule) => Err(format!("{rule} stops the line, but is not among the rules of the chart")),
        None => Ok(()),
    }
}

fn rules(names: &RuleNames) -> Result<Vec<Rule>, String> {
    let find = |family: &'static str, number: &u8| {
        let name = format!("{family} {number}");
        Rule::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(|| format!("there is no rule {name}"))
    };
    let nelson = names.nelson.iter().map(|number| find("Nelson", number));
    nelson.chain(names.western_electric.iter().map(|number| find("WE", number))).collect()
}

fn nelson_bit(rule: Rule) -> u16 {
    let number = rule.name().strip_prefix("Nelson ").and_then(|number| number.parse::<u16>().ok());
    number.and_then(|number| number.checked_sub(1)).map_or(0, |bit| 1 << bit)
}
