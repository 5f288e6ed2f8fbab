//! The connection that reads: the control block every few milliseconds, and the tags of a piece with its trigger. Without a
//! connection for tags, also the tags at intervals.
//!
//! Invariants: the tags of a piece are read in the cycle that saw its trigger, before anything else; between two looks at
//! the control block lies at most one request for interval tags; a refused request makes its tags `Bad` and does not break
//! the link, nor does another unit behind the same link that does not answer.

use super::backoff::Backoff;
use super::bus::{Buses, Rank};
use super::loss::Loss;
use super::peer::WireError;
use super::rota::{Blame, Rota, regrouped};
use super::units::{SILENT_MAX, Units};
use super::wire::Wire;
use super::{ClientSettings, seed};
use crate::bridge::{Note, PollNote, Settings};
use crate::handshake::{is_edge, is_new_user_data};
use crate::jmap::{CONTROL_HEAD, CONTROL_LATCHED, CONTROL_LEN, Control};
use crate::map::{Batch, Sample, batches};
use station::reading::Reading;
use std::error::Error;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

pub(super) struct Poll<'a> {
    settings: &'a Settings,
    plc: &'a ClientSettings,
    buses: &'a Buses,
    notes: mpsc::Sender<Note>,
    with_trigger: Vec<Batch>,
    /// Units with tags of a piece that do not answer.
    units: Units,
    /// The tags at intervals, unless they have a connection of their own.
    rota: Rota<'a>,
}

impl<'a> Poll<'a> {
    pub(super) fn new(settings: &'a Settings, plc: &'a ClientSettings, buses: &'a Buses, notes: mpsc::Sender<Note>) -> Self {
        let (tags, order, seed) = (&plc.tags, settings.order, seed(settings, 1));
        let of_a_piece: Vec<usize> = (0..tags.len()).filter(|index| tags[*index].sample == Sample::WithTrigger).collect();
        let with_trigger = batches(tags, &of_a_piece, &plc.limits);
        let waits = (plc.backoff_first, plc.backoff_max);
        let rota = if plc.tag_connection { Rota::empty(order) } else { Rota::new(tags, order, plc.limits, waits, seed) };
        Self { settings, plc, buses, notes, with_trigger, units: Units::new(plc.backoff_first, SILENT_MAX, seed), rota }
    }

    /// Runs until dropped, or until the bridge is gone.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(self.plc.backoff_first, self.plc.backoff_max, seed(self.settings, 1));
        let mut loss = Loss::of("control block");
        loop {
            let fault = match self.serve(&mut backoff, &mut loss).await {
                Ok(()) => return,
                Err(error) => {
                    loss.tell(&error);
                    error.fault()
                }
            };
            let mut stale = Vec::new();
            self.rota.lost(&mut stale);
            self.rota.group();
            let down = self.notes.send(Note::Poll(PollNote::Down(fault))).await;
            if down.is_err() || (!stale.is_empty() && self.notes.send(Note::Readings(stale)).await.is_err()) {
                return;
            }
            let wait = backoff.next();
            debug!(?wait, "reconnecting the poll");
            sleep(wait).await;
        }
    }

    /// Polls until an error, or `Ok` when the bridge is gone.
    async fn serve(&mut self, backoff: &mut Backoff, loss: &mut Loss) -> Result<(), WireError> {
        let mut wire = self.connect().await?;
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
                wire = self.read_with_trigger(wire, &mut with_trigger).await?;
            } else if let Some(key) = self.rota.take(at) {
                wire = self.read_at_interval(wire, key, &mut at_interval).await?;
            }
            self.rota.expire(at, &mut at_interval);
            before = control.clone();
            let look = PollNote::Look { control: Box::new(control), at, with_trigger, at_interval };
            if self.notes.send(Note::Poll(look)).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn connect(&self) -> Result<Wire, WireError> {
        Wire::connect_over(&self.plc.peer, self.buses, Rank::Control).await
    }

    /// Serial and user data once more after the latch was asked for: whatever order the PLC writes in, they are whole now.
    /// A PLC that has no registers there has no user data.
    ///
    /// The serial is read twice by that. If the two differ, the PLC was still writing, or something between answers from a
    /// memory of its own (a gateway that hangs gave the serial of the piece before): then a third look must agree with the
    /// second, or the piece has no serial and no user data, because those of another piece are worse than none.
    async fn read_user_data(&self, wire: Wire, mut words: Vec<u16>) -> Result<(Wire, Control), WireError> {
        let from = usize::from(CONTROL_LATCHED).min(words.len());
        let (mut wire, latched) = wire.read(self.plc.control_base.saturating_add(CONTROL_LATCHED), CONTROL_LEN - CONTROL_LATCHED).await?;
        match latched {
            Ok(latched) => {
                let mut agreed = latched.starts_with(&words[from..]);
                if !agreed {
                    let again;
                    (wire, again) = wire.must_read(self.plc.control_base, CONTROL_HEAD).await?;
                    agreed = again.get(from..).is_some_and(|serial| latched.starts_with(serial));
                }
                drop(words.splice(from.., if agreed { latched } else { Vec::new() }));
            }
            Err(refusal) => debug!(error = &refusal as &dyn Error, "the PLC has no user data"),
        }
        Ok((wire, Control::decode(&words, self.settings.order)))
    }

    /// Reads the tags of a piece. A refused batch is asked for tag by tag at once, because the piece is here now, and the
    /// next piece's are grouped by what was learnt.
    async fn read_with_trigger(&mut self, mut wire: Wire, out: &mut Vec<Reading>) -> Result<Wire, WireError> {
        let mut plan = Vec::new();
        for batch in self.with_trigger.clone() {
            let blame;
            (wire, blame) = self.read_batch(wire, &batch, out).await?;
            let apart = if blame == Some(Blame::Addresses) { batch.apart(&self.plc.tags) } else { Vec::new() };
            if apart.is_empty() {
                if blame.is_some() {
                    out.extend(batch.refused(&self.plc.tags, self.settings.clock.as_ref()()));
                }
                plan.push(batch);
                continue;
            }
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for alone in apart {
                let blame;
                (wire, blame) = self.read_batch(wire, &alone, out).await?;
                if blame.is_some() {
                    out.extend(alone.refused(&self.plc.tags, self.settings.clock.as_ref()()));
                }
                if blame.is_some() { &mut bad } else { &mut good }.extend(alone.tags);
            }
            warn!(refused = bad.len(), answered = good.len(), "the PLC refuses tags of a piece; check addresses, tables and kinds");
            plan.extend(regrouped(&self.plc.tags, &good, &bad, &self.plc.limits));
        }
        self.with_trigger = plan;
        Ok(wire)
    }

    /// Readings, or why there are none.
    async fn read_batch(&mut self, wire: Wire, batch: &Batch, out: &mut Vec<Reading>) -> Result<(Wire, Option<Blame>), WireError> {
        let now = self.settings.clock.as_ref()().mono_micros;
        if self.units.held(batch.unit_id, now).is_some() {
            return Ok((wire, Some(Blame::Unit)));
        }
        let asked = wire.read_batch(batch).await;
        let at = self.settings.clock.as_ref()();
        match asked {
            Ok((wire, Ok(cells))) => {
                self.units.answered(batch.unit_id);
                out.extend(batch.readings(&self.plc.tags, &cells, self.settings.order, at));
                Ok((wire, None))
            }
            Ok((wire, Err(refusal))) => {
                debug!(error = &refusal as &dyn Error, "tags are bad");
                let blame = Blame::of(&refusal);
                if blame == Some(Blame::Unit) {
                    self.units.silent(batch.unit_id, at.mono_micros);
                }
                Ok((wire, blame))
            }
            Err(WireError::TimedOut { .. }) if self.is_neighbour(batch) => {
                warn!(unit = batch.unit_id, "a unit with tags of a piece does not answer; the piece goes without them");
                self.units.silent(batch.unit_id, at.mono_micros);
                Ok((self.connect().await?, Some(Blame::Unit)))
            }
            Err(error) => Err(error),
        }
    }

    async fn read_at_interval(&mut self, wire: Wire, key: usize, out: &mut Vec<Reading>) -> Result<Wire, WireError> {
        let Some(batch) = self.rota.batch(key) else { return Ok(wire) };
        let (asked, is_neighbour) = (wire.read_batch(batch).await, self.is_neighbour(batch));
        let at = self.settings.clock.as_ref()();
        match asked {
            Ok((wire, answer)) => {
                self.rota.answered(key, answer, at, out);
                Ok(wire)
            }
            Err(WireError::TimedOut { .. }) if is_neighbour => {
                self.rota.silent(key, at, out);
                self.connect().await
            }
            Err(error) => Err(error),
        }
    }

    /// True if another unit than the PLC's own is asked: its silence says nothing of the PLC.
    fn is_neighbour(&self, batch: &Batch) -> bool {
        batch.unit_id.is_some_and(|unit| unit != self.plc.peer.unit)
    }
}
