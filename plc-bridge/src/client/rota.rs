//! Which tags are asked for next, and what is made of the answers.
//!
//! ```text
//!   tags ──batches──► groups ──due──► asked ──┬─ cells ──────────► readings worth telling
//!                       ▲                     ├─ refused, many ──► each tag asked alone, once; then those that were
//!                       │ grouped anew,       │                    answered are grouped without gaps
//!                       └─ without gaps ◄─────┤
//!                                             ├─ refused, one ───► Bad
//!                                             ├─ busy ───────────► nothing; the value ages
//!                                             └─ no answer ──────► the unit's tags Stale, the unit asked more seldom
//! ```
//! Pure: the caller asks, and tells the time. Invariants: one bad address does not spoil its neighbours; `Stale` is told
//! once; a tag is `Bad` only because of what the PLC answered.

use super::peer::WireError;
use super::units::{SILENT_MAX, Units};
use crate::jmap::Order;
use crate::map::{Batch, Kept, Limits, Reach, Sample, TagSpec, batches};
use station::reading::{Quality, Reading};
use station::units::{Micros, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_modbus::ExceptionCode;
use tracing::{debug, info, warn};

/// What a refusal says of the tags that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// One of the addresses may be wrong, or a gap between them.
    Addresses,
    /// The whole table.
    Table,
    /// Nothing: the PLC has no time now.
    Busy,
    /// The unit is not there; a gateway says so.
    Unit,
}

impl Blame {
    /// `None` if the link itself failed.
    pub(super) const fn of(error: &WireError) -> Option<Self> {
        let WireError::Refused { exception, .. } = error else { return None };
        Some(match exception {
            ExceptionCode::IllegalFunction => Self::Table,
            ExceptionCode::Acknowledge | ExceptionCode::ServerDeviceBusy => Self::Busy,
            ExceptionCode::GatewayPathUnavailable | ExceptionCode::GatewayTargetDevice => Self::Unit,
            _ => Self::Addresses,
        })
    }
}

/// Groups anew after some tags of a group were refused: some PLCs refuse to read across gaps.
pub(super) fn regrouped(tags: &[TagSpec], good: &[usize], bad: &[usize], limits: &Limits) -> Vec<Batch> {
    let gapless = |reach: Reach| Reach { gap_max: 0, ..reach };
    let tight = Limits { registers: gapless(limits.registers), bits: gapless(limits.bits) };
    let mut out = batches(tags, good, &tight);
    out.extend(bad.iter().flat_map(|index| batches(tags, &[*index], &tight)));
    out
}

#[derive(Debug)]
struct Group {
    batch: Batch,
    every: Micros,
    due_micros: u64,
    /// One tag of a group that was refused, and whether it was answered alone.
    trial: Option<Option<bool>>,
}

/// The interval tags of one link.
#[derive(Debug)]
pub(super) struct Rota<'a> {
    tags: &'a [TagSpec],
    order: Order,
    limits: Limits,
    groups: BTreeMap<usize, Group>,
    /// Groups by the moment at which they are due.
    queue: BTreeSet<(u64, usize)>,
    next_key: usize,
    kept: Vec<Kept>,
    units: Units,
    /// Before this moment no value grows too old.
    expiry_micros: u64,
}

impl<'a> Rota<'a> {
    /// The interval tags of `tags`. `first` and `most` bound the waits for a link with one unit.
    pub(super) fn new(tags: &'a [TagSpec], order: Order, limits: Limits, (first, most): (Duration, Duration), seed: u64) -> Self {
        let units: BTreeSet<Option<u8>> = tags.iter().map(|tag| tag.unit_id).collect();
        let units = Units::new(first, if units.len() > 1 { SILENT_MAX.max(most) } else { most }, seed);
        let kept = vec![Kept::default(); tags.len()];
        let (groups, queue) = Default::default();
        let mut rota = Self { tags, order, limits, groups, queue, next_key: 0, kept, units, expiry_micros: u64::MAX };
        rota.group();
        rota
    }

    /// No tags at all.
    pub(super) fn empty(order: Order) -> Self {
        Self::new(&[], order, Limits::default(), (Duration::ZERO, Duration::ZERO), 0)
    }

    /// Groups all tags as if none had ever been refused: a PLC that was away may have another program now.
    pub(super) fn group(&mut self) {
        let mut periods: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, tag) in self.tags.iter().enumerate() {
            if let Sample::Every(every) = tag.sample {
                periods.entry(every.0).or_default().push(index);
            }
        }
        self.groups.clear();
        self.queue.clear();
        for (every, members) in periods {
            for batch in batches(self.tags, &members, &self.limits) {
                self.add(batch, Micros(every), 0, None);
            }
        }
    }

    fn add(&mut self, batch: Batch, every: Micros, due_micros: u64, trial: Option<Option<bool>>) {
        self.queue.insert((due_micros, self.next_key));
        self.groups.insert(self.next_key, Group { batch, every, due_micros, trial });
        self.next_key += 1;
    }

    /// When there is something to do; `None` = never.
    pub(super) fn next_micros(&self) -> Option<u64> {
        let due = self.queue.first().map(|(due, _)| *due);
        let expiry = Some(self.expiry_micros).filter(|expiry| *expiry < u64::MAX);
        due.into_iter().chain(expiry).min()
    }

    /// The group that has been due for longest, if one is. It is due again one period after it was, or after now if that
    /// is past: what was missed is not made up for.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<usize> {
        loop {
            let (due, key) = self.queue.first().copied().filter(|(due, _)| *due <= now.mono_micros)?;
            self.queue.remove(&(due, key));
            let Some(group) = self.groups.get_mut(&key) else { continue };
            let held = self.units.held(group.batch.unit_id, now.mono_micros);
            let next = due.saturating_add(group.every.0);
            let next = if next > now.mono_micros { next } else { now.mono_micros.saturating_add(group.every.0.max(1)) };
            group.due_micros = held.unwrap_or(next);
            self.queue.insert((group.due_micros, key));
            if held.is_none() {
                return Some(key);
            }
        }
    }

    /// What to ask for a group.
    pub(super) fn batch(&self, key: usize) -> Option<&Batch> {
        self.groups.get(&key).map(|group| &group.batch)
    }

    /// The PLC answered a group, with cells or with a refusal.
    pub(super) fn answered(&mut self, key: usize, answer: Result<Vec<u16>, WireError>, at: Timestamp, out: &mut Vec<Reading>) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        let unit = group.batch.unit_id;
        let blame = answer.as_ref().err().and_then(Blame::of);
        if blame == Some(Blame::Unit) {
            return self.silent(key, at, out);
        }
        if self.units.answered(unit) {
            info!(unit, "the unit answers again");
        }
        match answer {
            Ok(cells) => {
                let batch = group.batch.clone();
                self.settle(key, true, at);
                self.keep(&batch, batch.readings(self.tags, &cells, self.order, at), out);
            }
            Err(_busy) if blame == Some(Blame::Busy) => {}
            Err(refusal) => {
                debug!(error = &refusal as &dyn std::error::Error, "tags are refused");
                self.refused(key, blame, at, out);
            }
        }
    }

    fn refused(&mut self, key: usize, blame: Option<Blame>, at: Timestamp, out: &mut Vec<Reading>) {
        let Some(group) = self.groups.get(&key) else { return };
        let (apart, every) = (group.batch.apart(self.tags), group.every);
        if blame == Some(Blame::Addresses) && !apart.is_empty() {
            self.drop_group(key);
            for alone in apart {
                self.add(alone, every, at.mono_micros, Some(None));
            }
            return;
        }
        let batch = group.batch.clone();
        for (tag, kept) in batch.tags.iter().filter_map(|index| self.tags.get(*index).zip(self.kept.get(*index))) {
            if kept.look(tag, at).is_none_or(|(reading, _)| reading.quality != Quality::Bad) {
                warn!(tag = %tag.name, address = tag.address, "the PLC refuses this tag; check its address, table and kind");
            }
        }
        self.settle(key, false, at);
        self.keep(&batch, batch.refused(self.tags, at), out);
    }

    /// Notes the answer to a trial; when all trials of a period were answered, groups their tags anew.
    fn settle(&mut self, key: usize, answered: bool, at: Timestamp) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        if group.trial.is_none() {
            return;
        }
        group.trial = Some(Some(answered));
        let (unit, every) = (group.batch.unit_id, group.every);
        let siblings = |group: &Group| group.every == every && group.batch.unit_id == unit && group.trial.is_some();
        let trials: Vec<usize> = self.groups.iter().filter(|(_, group)| siblings(group)).map(|(key, _)| *key).collect();
        if trials.iter().any(|key| self.groups.get(key).is_some_and(|group| group.trial == Some(None))) {
            return;
        }
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for key in trials {
            if let Some(group) = self.drop_group(key) {
                if group.trial == Some(Some(true)) { &mut good } else { &mut bad }.extend(group.batch.tags);
            }
        }
        for batch in regrouped(self.tags, &good, &bad, &self.limits) {
            self.add(batch, every, at.mono_micros.saturating_add(every.0), None);
        }
    }

    fn drop_group(&mut self, key: usize) -> Option<Group> {
        let group = self.groups.remove(&key)?;
        self.queue.remove(&(group.due_micros, key));
        Some(group)
    }

    /// The unit of a group did not answer.
    pub(super) fn silent(&mut self, key: usize, at: Timestamp, out: &mut Vec<Reading>) {
        let Some(group) = self.groups.get(&key) else { return };
        let unit = group.batch.unit_id;
        if self.units.silent(unit, at.mono_micros) {
            warn!(unit, "the unit does not answer; it is asked ever more seldom, the others as before");
        }
        let tags = self.tags.iter().zip(&mut self.kept).filter(|(tag, _)| tag.unit_id == unit);
        out.extend(tags.filter_map(|(tag, kept)| kept.lose(tag)));
    }

    /// The link is lost, and with it all that was known.
    pub(super) fn lost(&mut self, out: &mut Vec<Reading>) {
        out.extend(self.tags.iter().zip(&mut self.kept).filter_map(|(tag, kept)| kept.lose(tag)));
        self.expiry_micros = u64::MAX;
    }

    /// Tells once what has become older than its tag allows.
    pub(super) fn expire(&mut self, now: Timestamp, out: &mut Vec<Reading>) {
        if now.mono_micros < self.expiry_micros {
            return;
        }
        out.extend(self.tags.iter().zip(&mut self.kept).filter_map(|(tag, kept)| kept.expire(tag, now)));
        let expiries = self.tags.iter().zip(&self.kept).filter_map(|(tag, kept)| {
            let (reading, aged) = kept.look(tag, now)?;
            (aged.quality == Quality::Good).then(|| expiry(reading, tag))
        });
        self.expiry_micros = expiries.min().unwrap_or(u64::MAX);
    }

    fn keep(&mut self, batch: &Batch, readings: impl Iterator<Item = Reading>, out: &mut Vec<Reading>) {
        for (index, reading) in batch.tags.iter().zip(readings) {
            if let Some((tag, kept)) = self.tags.get(*index).zip(self.kept.get_mut(*index)) {
                if reading.quality == Quality::Good {
                    self.expiry_micros = self.expiry_micros.min(expiry(&reading, tag));
                }
                out.extend(kept.take(tag, reading));
            }
        }
    }
}

/// The first moment at which a reading is too old.
fn expiry(reading: &Reading, tag: &TagSpec) -> u64 {
    reading.sampled_at.mono_micros.saturating_add(tag.stale_after.0).saturating_add(1)
}

#[cfg(test)]
#[path = "rota_tests.rs"]
mod tests;
