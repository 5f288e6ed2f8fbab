//! The simulated PLC's program: one scan reads the status block, moves the belt and writes the control block.
//!
//! ```text
//!    pitch     pitch                        gate offset
//!  ──■─────────■─────────■ camera ──■─────────■───────── gate ──► passed: read ResultsValid ∧ Pass ∧ PieceSeqEcho = this
//!                          Trigger            ResultsAck     └──► rejected: everything else, and what comes within its dwell
//!                                                                 └─ confirmation sensor: RejectConfirm toggles
//! ```
//! Before its first trigger it has what it asks of the appliance answered (`desk`).
//!
//! Invariants: the belt moves only while RunPermit is 1 **and** VisionHeartbeat moves; a piece without a Pass of its own
//! number, read while the heartbeat moved, never passes the gate; a piece passes the camera and the gate once, also if the
//! belt is backed up; a Trigger is held until TriggerAck, however long that
//! takes, and the belt waits for it; no piece is lost: triggered = on the belt + passed + rejected.
//!
//! Pure: time comes in as the duration since the last scan.

use super::bank::Bank;
use super::desk::Desk;
use super::process::{Disturbance, value};
use super::{Observed, Pace, SimSettings};
use crate::jmap::{Control, Order, Status, status2};
use station::units::EncoderCount;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Piece numbers kept of what passed and what was rejected; one slot costs 4 bytes, the oldest is forgotten.
const IDS_MAX: usize = 4096;
/// How long RejectConfirm keeps a level, so that a slow reader sees every toggle.
const CONFIRM_HOLD: Duration = Duration::from_millis(20);

/// Disturbances a person or a test can cause besides those of the process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Faults {
    pub(super) heartbeat_frozen: bool,
    pub(super) bin_full: bool,
    pub(super) estop: bool,
    pub(super) belt_held: bool,
    /// Counts that the belt has still to go back.
    pub(super) back_up: u32,
    pub(super) stop_inhibit: bool,
    pub(super) golden_next: bool,
    /// So many rejects will not be confirmed.
    pub(super) confirmations_lost: u32,
    pub(super) process: Vec<Disturbance>,
}

#[derive(Debug)]
struct OnBelt {
    piece: u32,
    at: EncoderCount,
    pass: bool,
    answered: bool,
}

#[derive(Debug)]
pub(super) struct Program {
    settings: SimSettings,
    pub(super) faults: Faults,
    pub(super) control: Control,
    pub(super) desk: Desk,
    belt: VecDeque<OnBelt>,
    /// Belt position in counts, and the part of a count that is still missing.
    encoder: u32,
    counts_owed: f64,
    next_at: u32,
    beat_seen: Option<u16>,
    beat_age: Duration,
    watchdog_alive: bool,
    permitted: bool,
    stopped_with_reason: bool,
    waited_for_result: Duration,
    /// Until where the gate stays out.
    gate_out_until: Option<EncoderCount>,
    /// Where the sensor will see the rejected pieces.
    confirms: VecDeque<EncoderCount>,
    confirm_age: Duration,
    /// Serial and user data of the next piece are latched already.
    latched: bool,
    pub(super) seen: Observed,
}

impl Program {
    pub(super) fn new(settings: SimSettings) -> Self {
        let next_at = settings.encoder_start.wrapping_add(settings.pitch);
        let seen = Observed { encoder: settings.encoder_start, ..Observed::default() };
        Self {
            faults: Faults { process: settings.disturbances.clone(), ..Faults::default() },
            control: Control { trigger_enable: true, buffer_results_enable: true, ..Control::default() },
            desk: Desk::new(settings.arms_line_stop, settings.command_timeout),
            belt: VecDeque::new(),
            encoder: settings.encoder_start,
            counts_owed: 0.0,
            next_at,
            beat_seen: None,
            beat_age: Duration::ZERO,
            watchdog_alive: false,
            permitted: false,
            stopped_with_reason: false,
            waited_for_result: Duration::ZERO,
            gate_out_until: None,
            confirms: VecDeque::new(),
            confirm_age: CONFIRM_HOLD,
            latched: false,
            seen,
            settings,
        }
    }

    /// One scan, `elapsed` after the last.
    pub(super) fn scan(&mut self, bank: &mut Bank, elapsed: Duration) {
        let status = Status::decode(&bank.status, Order::default());
        if !self.faults.heartbeat_frozen {
            self.control.heartbeat = self.control.heartbeat.wrapping_add(1);
        }
        self.watch(&status, elapsed);
        if !self.watchdog_alive {
            bank.status[usize::from(status2::REGISTER)] &= !status2::RUN_PERMIT;
        }
        let permit = self.watchdog_alive && status.run_permit;
        self.repair(permit, &status);
        let running = permit && !self.faults.estop && !self.faults.belt_held;
        self.read_result(&status, elapsed, running);
        self.answer_handshakes(&status);
        self.desk.scan(&status, &mut self.control, self.watchdog_alive, elapsed);
        if running {
            self.move_belt(&status, bank, elapsed);
        }
        self.confirm(elapsed);
        self.control.line_running = running;
        self.control.line_speed = if running { self.line_speed() } else { 0 };
        self.control.reject_bin_full = self.faults.bin_full;
        self.control.estop = self.faults.estop;
        self.control.stop_inhibit = self.faults.stop_inhibit;
        self.observe(bank, &status, running, permit);
        bank.control = self.control.encode(Order::default());
    }

    fn watch(&mut self, status: &Status, elapsed: Duration) {
        match self.beat_seen.replace(status.heartbeat) {
            Some(last) if last != status.heartbeat => {
                self.beat_age = Duration::ZERO;
                self.watchdog_alive = true;
            }
            _ => self.beat_age = self.beat_age.saturating_add(elapsed),
        }
        if self.beat_age >= self.settings.vision_timeout {
            self.watchdog_alive = false;
        }
    }

    /// Maintenance comes while the line is stopped for a reason, and is done when it is released.
    fn repair(&mut self, permit: bool, status: &Status) {
        let before = std::mem::replace(&mut self.permitted, permit);
        self.stopped_with_reason |= !permit && self.watchdog_alive && status.stop_reason != 0 && self.seen.triggered > 0;
        if permit && !before && std::mem::take(&mut self.stopped_with_reason) && self.settings.repair_on_release {
            let last = self.seen.triggered;
            self.faults.process.retain(|disturbance| disturbance.from_piece > last);
        }
    }

    fn read_result(&mut self, status: &Status, elapsed: Duration, running: bool) {
        if status.results_valid && !self.control.results_ack {
            // Pass, Fail and NoVerdict are one-hot; anything else is no pass.
            let pass = self.watchdog_alive && status.pass && !status.fail && !status.no_verdict;
            let found = self.belt.iter_mut().find(|on_belt| on_belt.piece == status.piece_seq_echo);
            match found {
                Some(on_belt) if !on_belt.answered => {
                    on_belt.pass = pass;
                    on_belt.answered = true;
                }
                // The same result again after a lost link; the first one counts.
                Some(_) => self.seen.results_repeated += 1,
                None => self.seen.results_unknown += 1,
            }
            self.seen.results_read += 1;
        }
        self.control.results_ack = status.results_valid;
        let waiting = running && self.belt.back().is_some_and(|on_belt| !on_belt.answered);
        self.waited_for_result = if waiting { self.waited_for_result.saturating_add(elapsed) } else { Duration::ZERO };
    }

    const fn answer_handshakes(&mut self, status: &Status) {
        if status.trigger_ack {
            self.control.trigger = false;
        }
        if status.set_user_data_ack && self.control.set_user_data {
            self.control.set_user_data = false;
            self.latched = true;
        }
    }

    fn move_belt(&mut self, status: &Status, bank: &mut Bank, elapsed: Duration) {
        // A new trigger needs the exchange of the last one to be over on both sides; until then the light barrier holds
        // the belt in front of the next piece.
        let mut may_announce = !self.control.trigger && !status.trigger_ack;
        // What was asked at the start is answered before the first piece comes.
        if self.seen.triggered == 0 && self.desk.asks() {
            return;
        }
        if self.settings.latch_first && may_announce && self.more_pieces() {
            may_announce = self.latch_next(status);
        }
        match self.settings.pace {
            Pace::Paced { pieces_per_minute } => {
                let counts_per_second = f64::from(self.settings.pitch) * pieces_per_minute / 60.0;
                self.counts_owed += counts_per_second * elapsed.as_secs_f64();
                while self.counts_owed >= 1.0 {
                    self.counts_owed -= 1.0;
                    if self.faults.back_up > 0 {
                        self.faults.back_up -= 1;
                        self.encoder = self.encoder.wrapping_sub(1);
                        continue;
                    }
                    if self.encoder.wrapping_add(1) == self.next_at && (self.control.trigger || !may_announce) {
                        self.counts_owed = 0.0;
                        return;
                    }
                    self.encoder = self.encoder.wrapping_add(1);
                    self.pass_gate();
                    if self.encoder == self.next_at {
                        self.piece_at_camera(status, bank);
                    }
                }
            }
            Pace::Lockstep => {
                let last_answered = self.belt.back().is_none_or(|last| last.answered);
                let given_up = self.waited_for_result >= self.settings.result_timeout;
                let exchange_over = may_announce && !status.results_valid && !self.control.results_ack;
                let idle = !self.confirm_is_due() && self.confirm_age >= CONFIRM_HOLD;
                let carries = !self.belt.is_empty() || !self.confirms.is_empty();
                let more = self.more_pieces();
                if exchange_over && (last_answered || given_up) && ((more && status.trigger_ready) || (!more && carries && idle)) {
                    self.encoder = self.next_at;
                    self.pass_gate();
                    self.piece_at_camera(status, bank);
                }
            }
        }
    }

    const fn more_pieces(&self) -> bool {
        match self.settings.pieces {
            Some(pieces) => self.seen.triggered < pieces,
            None => true,
        }
    }

    fn piece_at_camera(&mut self, status: &Status, bank: &mut Bank) {
        self.next_at = self.encoder.wrapping_add(self.settings.pitch);
        if !self.more_pieces() {
            return;
        }
        let piece = self.settings.first_piece.wrapping_add(self.seen.triggered);
        self.seen.triggered += 1;
        self.seen.triggered_unready += u32::from(!status.trigger_ready);
        for tag in &self.settings.tags {
            // Disturbances count pieces of this run, whatever number the first one has.
            let value = value(tag, self.settings.seed, self.seen.triggered, &self.faults.process);
            let at = usize::from(tag.spec.address.saturating_sub(super::TAGS_BASE));
            if let Ok(words) = tag.spec.encode(value, Order::default())
                && let Some(target) = bank.tags.get_mut(at..at + words.len())
            {
                target.copy_from_slice(&words);
            }
        }
        self.control.trigger = true;
        if !std::mem::take(&mut self.latched) || !self.settings.latch_first {
            self.offer_user_data(piece);
        }
        self.control.piece_seq = piece;
        self.control.encoder_at_trigger = self.encoder;
        self.control.lot_no = self.settings.lot + (self.seen.triggered - 1) / self.settings.lot_size.max(1);
        self.control.golden_piece = std::mem::take(&mut self.faults.golden_next);
        self.control.force_retain = std::mem::take(&mut self.desk.retain_next);
        self.belt.push_back(OnBelt { piece, at: EncoderCount(self.encoder), pass: false, answered: false });
    }

    /// Serial and user data of `piece` stand in the block, and are to be latched.
    fn offer_user_data(&mut self, piece: u32) {
        self.control.set_user_data = true;
        self.control.serial = Some(format!("SN{piece:08}"));
        let words = Order::default().split(piece);
        self.control.user_data[..2].copy_from_slice(&words);
    }

    /// Has the data of the next piece latched before it reaches the camera; true once that is done.
    fn latch_next(&mut self, status: &Status) -> bool {
        if !self.latched && !self.control.set_user_data && !status.set_user_data_ack {
            self.offer_user_data(self.settings.first_piece.wrapping_add(self.seen.triggered));
        }
        self.latched && !status.set_user_data_ack
    }

    /// `LineSpeed` in 0.1 m/min, at 0.1 mm per count.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of the register")]
    fn line_speed(&self) -> u16 {
        match self.settings.pace {
            Pace::Paced { pieces_per_minute } => {
                (f64::from(self.settings.pitch) * pieces_per_minute / 1000.0).round().clamp(0.0, f64::from(u16::MAX)) as u16
            }
            Pace::Lockstep => 0,
        }
    }

    /// The belt moves differently from now on.
    pub(super) const fn set_pace(&mut self, pace: Pace) {
        self.settings.pace = pace;
    }

    /// Every piece that has reached the gate goes one of two ways.
    fn pass_gate(&mut self) {
        let here = EncoderCount(self.encoder);
        while self.belt.front().is_some_and(|first| here.has_passed(first.at.ahead(self.settings.gate_offset))) {
            let Some(first) = self.belt.pop_front() else { return };
            let gate = first.at.ahead(self.settings.gate_offset);
            self.seen.unanswered_at_gate += u32::from(!first.answered);
            let good = first.pass && self.watchdog_alive;
            let swept = self.gate_out_until.is_some_and(|until| !gate.has_passed(until));
            let ids = if good && !swept {
                self.seen.passed += 1;
                &mut self.seen.passed_ids
            } else {
                self.seen.rejected += 1;
                self.seen.swept += u32::from(good);
                if !good {
                    self.gate_out_until = Some(gate.ahead(self.settings.gate_dwell));
                }
                if self.faults.confirmations_lost > 0 {
                    self.faults.confirmations_lost -= 1;
                } else {
                    self.confirms.push_back(gate.ahead(self.settings.confirm_after));
                }
                &mut self.seen.rejected_ids
            };
            let ids = Arc::make_mut(ids);
            if ids.len() >= IDS_MAX {
                ids.remove(0);
            }
            ids.push(first.piece);
        }
    }

    fn confirm_is_due(&self) -> bool {
        self.confirms.front().is_some_and(|place| EncoderCount(self.encoder).has_passed(*place))
    }

    fn confirm(&mut self, elapsed: Duration) {
        self.confirm_age = self.confirm_age.saturating_add(elapsed);
        // In lockstep the next piece waits until this scan was seen, so the toggle may come with its trigger.
        let hold = if self.settings.pace == Pace::Lockstep { Duration::ZERO } else { CONFIRM_HOLD };
        if self.confirm_is_due() && self.confirm_age >= hold {
            self.confirms.pop_front();
            self.confirm_age = Duration::ZERO;
            self.control.reject_confirm ^= true;
        }
    }

    fn observe(&mut self, bank: &mut Bank, status: &Status, running: bool, permit: bool) {
        let seen = &mut self.seen;
        seen.encoder = self.encoder;
        seen.on_belt = u32::try_from(self.belt.len()).unwrap_or(u32::MAX);
        seen.run_permit = bank.status[usize::from(status2::REGISTER)] & status2::RUN_PERMIT != 0;
        seen.line_running = running;
        seen.vision_alive = self.watchdog_alive;
        seen.stop_reason = status.stop_reason;
        seen.commands = self.desk.commands;
        let all_made = self.settings.pieces.is_some_and(|pieces| seen.triggered >= pieces);
        seen.finished = all_made && self.belt.is_empty() && self.confirms.is_empty();
        seen.scans += 1;
        seen.stack_light.green = running;
        seen.stack_light.red = !permit;
        seen.stack_light.amber = !self.watchdog_alive || self.faults.bin_full || self.faults.stop_inhibit;
        let longs = [seen.triggered, seen.passed, seen.rejected, seen.encoder];
        for (pair, value) in bank.tally.chunks_exact_mut(2).zip(longs) {
            pair.copy_from_slice(&Order::default().split(value));
        }
        bank.tally[8] = seen.stack_light.word();
        bank.tally[9] = u16::try_from(self.belt.len()).unwrap_or(u16::MAX);
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
