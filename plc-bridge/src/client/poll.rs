//! The connection that reads: the control block every few milliseconds, tags with the trigger or at their interval.
//!
//! Invariants: the tags of a piece are read in the cycle that saw its trigger, before anything else; between two looks at
//! the control block lies at most one interval batch; a refused batch makes its tags `Bad` and does not break the link.

use super::ClientSettings;
use super::backoff::Backoff;
use super::bus::{Buses, Rank};
use super::loss::Loss;
use super::peer::WireError;
use super::wire::Wire;
use crate::bridge::{Note, PollNote, Settings};
use crate::handshake::{is_edge, is_new_user_data};
use crate::jmap::{CONTROL_HEAD, CONTROL_LATCHED, CONTROL_LEN, Control};
use crate::map::{Batch, Kept, Limits, Sample, batches};
use station::reading::Reading;
use station::units::{Micros, Timestamp};
use std::error::Error;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;

/// A group of interval tags and when it is due.
struct Round {
    batch: Batch,
    every: Micros,
    due_micros: u64,
}

pub(super) struct Poll<'a> {
    settings: &'a Settings,
    plc: &'a ClientSettings,
    buses: &'a Buses,
    notes: mpsc::Sender<Note>,
    with_trigger: Vec<Batch>,
    rounds: Vec<Round>,
    /// The last reading of each tag.
    shelf: Vec<Kept>,
}

impl<'a> Poll<'a> {
    pub(super) fn new(settings: &'a Settings, plc: &'a ClientSettings, buses: &'a Buses, notes: mpsc::Sender<Note>) -> Self {
        let (tags, limits) = (&plc.tags, Limits::default());
        let chosen = |wanted: Sample| -> Vec<usize> { (0..tags.len()).filter(|index| tags[*index].sample == wanted).collect() };
        let mut intervals: Vec<Micros> = tags
            .iter()
            .filter_map(|tag| match tag.sample {
                Sample::Every(micros) => Some(micros),
                Sample::WithTrigger => None,
            })
            .collect();
        intervals.sort_unstable();
        intervals.dedup();
        let rounds = intervals
            .into_iter()
            .flat_map(|every| {
                batches(tags, &chosen(Sample::Every(every)), &limits).into_iter().map(move |batch| Round { batch, every, due_micros: 0 })
            })
            .collect();
        Self {
            settings,
            plc,
            buses,
            notes,
            with_trigger: batches(tags, &chosen(Sample::WithTrigger), &limits),
            rounds,
            shelf: vec![Kept::default(); tags.len()],
        }
    }

    /// Runs until dropped, or until the bridge is gone.
    pub(super) async fn run(mut self) {
        let seed = self.settings.clock.as_ref()().mono_micros.wrapping_add(1 << 32);
        let mut backoff = Backoff::new(self.plc.backoff_first, self.plc.backoff_max, seed);
        let mut loss = Loss::of("control block");
        loop {
            let fault = match self.serve(&mut backoff, &mut loss).await {
                Ok(()) => return,
                Err(error) => {
                    loss.tell(&error);
                    error.fault()
                }
            };
            if self.notes.send(Note::Poll(PollNote::Down(fault))).await.is_err() {
                return;
            }
            let wait = backoff.next();
            debug!(?wait, "reconnecting the poll");
            sleep(wait).await;
        }
    }

    /// Polls until an error, or `Ok` when the bridge is gone.
    async fn serve(&mut self, backoff: &mut Backoff, loss: &mut Loss) -> Result<(), WireError> {
        let mut wire = Wire::connect_over(&self.plc.peer, self.buses, Rank::Control).await?;
        if self.notes.send(Note::Poll(PollNote::Up)).await.is_err() {
            return Ok(());
        }
        let mut ticks = interval(self.plc.poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Control::default();
        loop {
            ticks.tick().await;
            let words;
            (wire, words) = wire.must_read(self.plc.control_base, CONTROL_HEAD).await?;
            backoff.reset();
            loss.over();
            let mut control = Control::decode(&words, self.settings.order);
            if is_new_user_data(&before, &control) {
                (wire, control) = self.read_user_data(wire, words).await?;
            }
            let at = self.settings.clock.as_ref()();
            let (mut with_trigger, mut at_interval) = (Vec::new(), Vec::new());
            if is_edge(&before, &control) {
                for index in 0..self.with_trigger.len() {
                    let batch = self.with_trigger[index].clone();
                    wire = self.read_batch(wire, &batch, &mut with_trigger).await?;
                }
            } else if let Some(batch) = self.take_due(at) {
                wire = self.read_batch(wire, &batch, &mut at_interval).await?;
            }
            self.shelve(&mut at_interval, at);
            before = control.clone();
            let look = PollNote::Look { control: Box::new(control), at, with_trigger, at_interval };
            if self.notes.send(Note::Poll(look)).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Serial and user data once more after the latch was asked for: whatever order the PLC writes in, they are whole now.
    /// A PLC that has no registers there has no user data.
    async fn read_user_data(&self, wire: Wire, mut words: Vec<u16>) -> Result<(Wire, Control), WireError> {
        let (wire, latched) = wire.read(self.plc.control_base.saturating_add(CONTROL_LATCHED), CONTROL_LEN - CONTROL_LATCHED).await?;
        match latched {
            Ok(latched) => drop(words.splice(usize::from(CONTROL_LATCHED).min(words.len()).., latched)),
            Err(refusal) => debug!(error = &refusal as &dyn Error, "the PLC has no user data"),
        }
        Ok((wire, Control::decode(&words, self.settings.order)))
    }

    fn take_due(&mut self, now: Timestamp) -> Option<Batch> {
        let round = self.rounds.iter_mut().filter(|round| round.due_micros <= now.mono_micros).min_by_key(|round| round.due_micros)?;
        round.due_micros = now.mono_micros.saturating_add(round.every.0);
        Some(round.batch.clone())
    }

    async fn read_batch(&self, wire: Wire, batch: &Batch, out: &mut Vec<Reading>) -> Result<Wire, WireError> {
        let (wire, cells) = wire.read_batch(batch).await?;
        let at = self.settings.clock.as_ref()();
        match cells {
            Ok(cells) => out.extend(batch.readings(&self.plc.tags, &cells, self.settings.order, at)),
            Err(refusal) => {
                debug!(error = &refusal as &dyn Error, "tags are bad");
                out.extend(batch.refused(&self.plc.tags, at));
            }
        }
        Ok(wire)
    }

    /// Keeps the interval readings, lets through what is worth telling, and tells once when one has become too old.
    fn shelve(&mut self, fresh: &mut Vec<Reading>, now: Timestamp) {
        let sampled = std::mem::take(fresh);
        for (tag, kept) in self.plc.tags.iter().zip(&mut self.shelf) {
            fresh.extend(match sampled.iter().find(|reading| reading.tag == tag.name) {
                Some(reading) => kept.take(tag, reading.clone()),
                None => kept.expire(tag, now),
            });
        }
    }
}
