//! Causes to stop: what is commanded, what is withheld and by whom, and what stands until somebody removes it.
//!
//! ```text
//!            a stop is in force ─────────────────────────────▶ added to its reasons
//!  cause ──▶ key switch on ──────────────────────────────────▶ withheld: recorded, counted, shown; the line runs on
//!            the policy asks for an alarm alone ─────────────▶ withheld
//!            not armed, and the machine's own conclusion ────▶ withheld
//!            else ───────────────────────────────────────────▶ commanded: latched, RunPermit 0
//! ```
//! Invariants: a withheld cause that still stands stops the line the moment nothing withholds it any more (the switch is
//! turned or has expired, somebody arms); whatever is withheld, RunPermit is 0 while the link is down or the start is not
//! durable; disarming releases nothing.

use super::{Effect, Station};
use crate::line::{LineCommand, Permit, PlcLink};
use crate::memory::Cause;
use crate::piece::PieceId;
use crate::policy::{RecalledSeen, StopReason, StopReasons, Withheld};
use crate::record::{Body, KeySwitch, KeySwitchRecord, StopRecord};
use crate::snapshot::Phase;
use crate::units::{Micros, Timestamp};

/// A key switch that keeps stops from being commanded works no longer than this.
const KEY_SWITCH_EXPIRES: Micros = Micros::from_millis(10 * 60 * 1000);

impl Station {
    /// Withdraws the permit for every cause that is not yet a reason of the stop in force; returns what is to be kept.
    pub(super) fn raise(
        &mut self,
        causes: Vec<Cause>,
        piece: Option<PieceId>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Vec<StopRecord> {
        let mut records = Vec::new();
        for cause in causes {
            let mut reasons = self.memory.reasons();
            if reasons.contains(cause.reason) {
                continue;
            }
            reasons.insert(cause.reason);
            let new = self.memory.stop.is_none();
            let seq = if new { self.memory.stop_seq.wrapping_add(1).max(1) } else { self.memory.stop_seq };
            let withheld = if new { self.withholds(cause.reason) } else { None };
            if withheld.is_some_and(|by| by != Withheld::Policy) {
                self.withheld_standing.insert(cause.reason);
            } else {
                self.withheld_standing.remove(cause.reason);
            }
            let (chart, nelson_rules) = cause.chart;
            let record = StopRecord { seq, first: cause.reason, detail: cause.detail, reasons, piece, chart, nelson_rules, withheld };
            self.memory.note(&Body::Stopped(record.clone()), now);
            records.push(record);
        }
        if !self.wanted_permit().run {
            self.assert_permit(effects);
        }
        records
    }

    pub(super) fn raise_and_keep(&mut self, reason: StopReason, detail: String, now: Timestamp, effects: &mut Vec<Effect>) {
        for record in self.raise(vec![Cause { reason, detail, chart: (0, 0) }], None, now, effects) {
            self.keep(Body::Stopped(record), now, effects);
        }
    }

    /// What keeps a stop for `reason` from being commanded now.
    fn withholds(&self, reason: StopReason) -> Option<Withheld> {
        if self.memory.key_switch == KeySwitch::On {
            return Some(Withheld::KeySwitch);
        }
        if reason == StopReason::RecalledSerial && self.setup.recipe.stop.recalled_serial == RecalledSeen::Alarm {
            return Some(Withheld::Policy);
        }
        (!self.memory.is_armed() && reason.needs_arming()).then_some(Withheld::Unarmed)
    }

    /// The switch was turned, as the PLC says.
    pub(super) fn turn_key_switch(&mut self, on: bool, now: Timestamp, effects: &mut Vec<Effect>) {
        let position = match (on, self.memory.key_switch) {
            (true, KeySwitch::Off) => KeySwitch::On,
            (false, KeySwitch::On | KeySwitch::Expired) => KeySwitch::Off,
            // An expired switch has to be turned off before it counts again.
            (true, KeySwitch::On | KeySwitch::Expired) | (false, KeySwitch::Off) => return,
        };
        self.key_on_since = on.then_some(now);
        self.keep(Body::KeySwitch(KeySwitchRecord { position }), now, effects);
    }

    /// A switch that somebody forgot does not keep the line unprotected.
    pub(super) fn watch_key_switch(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.key_on_since.is_some_and(|since| now.since(since) >= KEY_SWITCH_EXPIRES) {
            self.key_on_since = None;
            self.keep(Body::KeySwitch(KeySwitchRecord { position: KeySwitch::Expired }), now, effects);
        }
    }

    /// A cause that stands stops the line, however long it has stood; while its stop is withheld it is recorded once.
    pub(super) fn watch_standing_causes(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let standing = self.standing_causes();
        self.withheld_standing = self.withheld_standing.and(standing);
        for (reason, detail) in [
            (StopReason::PlcLink, "the PLC link that was lost is still down".to_owned()),
            (StopReason::RejectBinFull, "the reject bin is full".to_owned()),
            (StopReason::DiskExhausted, format!("{} records are not yet durable", self.head.0.0 - self.kept.0)),
        ] {
            let withheld_before = self.withheld_standing.contains(reason);
            // A link that has not come up yet is no cause: there is nothing to stop. One that was lost was raised by its loss.
            let is_due = withheld_before || reason != StopReason::PlcLink;
            let is_told = self.memory.reasons().contains(reason) || (withheld_before && self.withholds(reason).is_some());
            if standing.contains(reason) && is_due && !is_told {
                self.raise_and_keep(reason, detail, now, effects);
            }
        }
    }

    /// Causes that still hold: a release would only lead to the next stop.
    #[must_use]
    pub fn standing_causes(&self) -> StopReasons {
        let mut causes = StopReasons::default();
        if self.link != Some(PlcLink::Up) {
            causes.insert(StopReason::PlcLink);
        }
        if self.feedback.bin_full {
            causes.insert(StopReason::RejectBinFull);
        }
        if self.head.0.0 - self.kept.0 > self.setup.recipe.stop.backlog_entries_max {
            causes.insert(StopReason::DiskExhausted);
        }
        causes
    }

    pub(super) fn wanted_permit(&self) -> Permit {
        let stop = self.memory.stop.as_ref().map(|stop| &stop.record);
        Permit {
            run: self.phase() == Phase::Running,
            reasons: self.memory.reasons(),
            stop_seq: self.memory.stop_seq,
            spc_rules: stop.map_or(0, |stop| stop.nelson_rules),
            spc_chart: stop.map_or(0, |stop| stop.chart),
        }
    }

    pub(super) fn assert_permit(&mut self, effects: &mut Vec<Effect>) {
        let wanted = self.wanted_permit();
        if wanted != self.permit {
            self.permit = wanted;
            effects.push(Effect::Command(LineCommand::Permit(wanted)));
        }
    }
}
