//! The PLC of the model: a belt, a light barrier, a gate, and a program that is not always patient.

use super::books::{Books, Dice, Piece, serial, u32_of};
use super::{GATE_OFFSET, PITCH, WATCHDOG_STEPS};
use plc_bridge::jmap::{Control, Status};
use station::verdict::Verdict;
use std::collections::VecDeque;

/// What lies on the belt, as the PLC remembers it.
pub struct OnBelt {
    pub index: usize,
    pub number: u32,
    pub pass: bool,
}

/// The PLC: a belt, a light barrier, a gate, and a program that is not always patient.
pub struct Plc {
    pub control: Control,
    /// What was last written into it.
    pub status: Status,
    pub encoder: u32,
    /// Counts still to go to the next piece.
    pub to_next: u32,
    pub next_number: u32,
    pub belt: VecDeque<OnBelt>,
    /// Pieces whose trigger waits for the exchange of the one before.
    pub at_barrier: VecDeque<usize>,
    pub held_back: Option<usize>,
    pub standing_until: u64,
    pub backed_up: u32,
    pub ack_at: Option<u64>,
    pub heartbeat_at: u64,
    pub confirms_due: u32,
    pub confirms: u32,
    pub confirmed_at: u64,
    pub gone_until: u64,
    /// The piece that is announced once more.
    pub again: Option<usize>,
    pub raised_at: u64,
    pub greeted: bool,
    /// Triggers raised, and those of them that were taken back without an acknowledgement.
    pub raised: u32,
    pub withdrawn: u32,
    pub passed_at_gate: u32,
    /// The belt moves in equal steps, so that after a restart a piece lies at the very count of an earlier one.
    pub indexed: bool,
    /// So many pieces are made.
    pub pieces: usize,
}

impl Plc {
    pub fn new(pieces: usize, indexed: bool, dice: &mut Dice) -> Self {
        // Soon after the start the encoder wraps.
        let encoder = u32::MAX - u32_of(dice.below(100_000_000));
        Self {
            control: Control { trigger_enable: true, buffer_results_enable: true, ..Control::default() },
            status: Status::default(),
            encoder,
            to_next: PITCH,
            next_number: 1 + u32_of(dice.below(1000)),
            belt: VecDeque::new(),
            at_barrier: VecDeque::new(),
            held_back: None,
            standing_until: 0,
            backed_up: 0,
            ack_at: None,
            heartbeat_at: 0,
            confirms_due: 0,
            confirms: 0,
            confirmed_at: 0,
            gone_until: 0,
            again: None,
            raised_at: 0,
            greeted: false,
            raised: 0,
            withdrawn: 0,
            passed_at_gate: 0,
            indexed,
            pieces,
        }
    }

    /// Loses its memory. Its numbers begin anew, sometimes just before the last ones; so may its encoder.
    pub fn restart(&mut self, now: u64, dice: &mut Dice, books: &mut Books) {
        let back = u32_of(dice.below(20));
        *self = Self {
            next_number: if dice.one_in(2) { 1 } else { self.next_number.saturating_sub(back).max(1) },
            encoder: if dice.one_in(2) { 0 } else { self.encoder },
            gone_until: now + 5 + dice.below(120),
            heartbeat_at: now,
            control: Control::default(),
            confirms: self.confirms,
            passed_at_gate: self.passed_at_gate,
            raised: self.raised,
            withdrawn: self.withdrawn,
            ..Self::new(self.pieces, self.indexed, dice)
        };
        books.by_number.clear();
        books.epoch += 1;
    }

    pub fn scan(&mut self, now: u64, dice: &mut Dice, books: &mut Books) {
        if now < self.gone_until {
            return;
        }
        self.control.heartbeat = self.control.heartbeat.wrapping_add(1);
        self.control.trigger_enable = true;
        if dice.one_in(if self.control.buffer_results_enable { 50_000 } else { 1000 }) {
            self.control.buffer_results_enable ^= true;
        }
        let permit = self.status.run_permit && now - self.heartbeat_at < WATCHDOG_STEPS;
        self.results(now, dice, books);
        if permit {
            self.move_belt(now, dice, books);
        }
        self.trigger(now, dice, books);
        if self.confirms_due > 0 && now - self.confirmed_at >= 2 {
            (self.confirms_due, self.confirms, self.confirmed_at) = (self.confirms_due - 1, self.confirms + 1, now);
            self.control.reject_confirm ^= true;
        }
    }

    pub fn results(&mut self, now: u64, dice: &mut Dice, books: &mut Books) {
        if !self.status.results_valid {
            (self.control.results_ack, self.ack_at) = (false, None);
            return;
        }
        if self.control.results_ack {
            return;
        }
        let due = *self.ack_at.get_or_insert_with(|| now + if dice.one_in(500) { 40 + dice.below(160) } else { dice.below(3) });
        if now < due {
            return;
        }
        books.tell(&self.status);
        let status = &self.status;
        for on_belt in self.belt.iter_mut().filter(|on_belt| on_belt.number == status.piece_seq_echo) {
            on_belt.pass = status.pass && !status.fail && !status.no_verdict;
        }
        self.control.results_ack = true;
    }

    pub fn move_belt(&mut self, now: u64, dice: &mut Dice, books: &mut Books) {
        if now < self.standing_until {
            return;
        }
        if dice.one_in(3000) {
            self.standing_until = now + dice.below(150);
            // A belt that stops may be pushed back a little.
            self.backed_up = u32_of(dice.below(u64::from(PITCH / 2)));
            self.encoder = self.encoder.wrapping_sub(self.backed_up);
            return;
        }
        // The light barrier holds the belt in front of the next piece until the exchange of the last one is over.
        if self.at_barrier.len() > 2 {
            return;
        }
        let counts = if self.indexed { 100 } else { 60 + u32_of(dice.below(80)) };
        self.encoder = self.encoder.wrapping_add(counts);
        let regained = counts.min(self.backed_up);
        self.backed_up -= regained;
        let forward = counts - regained;
        if forward >= self.to_next {
            self.to_next = self.to_next + PITCH - forward;
            self.piece_at_camera(dice, books);
        } else {
            self.to_next -= forward;
        }
        self.pass_gate(dice, books);
    }

    pub fn piece_at_camera(&mut self, dice: &mut Dice, books: &mut Books) {
        let index = books.pieces.len();
        if index >= self.pieces {
            return;
        }
        let piece = Piece {
            epoch: books.epoch,
            number: self.next_number,
            encoder: self.encoder,
            has_serial: !dice.one_in(5),
            bad: dice.one_in(6),
            announced: false,
            recorded: None,
            told: None,
        };
        self.next_number = self.next_number.checked_add(1).unwrap_or(1);
        books.by_place.insert((piece.number, piece.encoder), index);
        books.by_number.insert(piece.number, index);
        self.belt.push_back(OnBelt { index, number: piece.number, pass: false });
        books.pieces.push(piece);
        match dice.below(400) {
            // The light barrier did not see it.
            0 => {}
            // Two lanes that merge: the later one is announced first.
            1 | 2 => self.held_back = self.held_back.or(Some(index)),
            _ => self.at_barrier.extend([Some(index), self.held_back.take()].into_iter().flatten()),
        }
    }

    pub fn trigger(&mut self, now: u64, dice: &mut Dice, books: &Books) {
        if self.control.trigger {
            // An impatient program does not wait for the acknowledgement, and may be too fast to be seen.
            if self.status.trigger_ack || (dice.one_in(2000) && now > self.raised_at) {
                self.withdrawn += u32::from(!self.status.trigger_ack);
                (self.control.trigger, self.control.set_user_data) = (false, false);
            }
            if self.status.set_user_data_ack {
                self.control.set_user_data = false;
            }
            return;
        }
        self.control.set_user_data &= !self.status.set_user_data_ack;
        // Nobody is impatient before TriggerReady was seen at all: that is the one rule a PLC must keep after its start.
        self.greeted |= self.status.trigger_ready;
        let impatient = self.greeted && dice.one_in(200);
        if self.status.trigger_ack || !(self.status.trigger_ready || impatient) {
            return;
        }
        let Some(index) = self.again.take().or_else(|| self.at_barrier.pop_front()) else { return };
        let piece = &books.pieces[index];
        if dice.one_in(300) {
            self.again = Some(index);
        }
        (self.raised_at, self.raised) = (now, self.raised + 1);
        self.control.trigger = true;
        self.control.piece_seq = piece.number;
        self.control.encoder_at_trigger = piece.encoder;
        if piece.has_serial {
            self.control.set_user_data = true;
            self.control.serial = Some(serial(index));
        }
    }

    pub fn pass_gate(&mut self, dice: &mut Dice, books: &Books) {
        while let Some(first) = self.belt.front() {
            let way = self.encoder.wrapping_sub(books.pieces[first.index].encoder);
            if !(GATE_OFFSET..1 << 31).contains(&way) {
                return;
            }
            let piece = &books.pieces[first.index];
            if first.pass {
                self.passed_at_gate += 1;
                assert!(!piece.bad && piece.recorded == Some(Verdict::Pass), "{piece:?} passed the gate");
            } else if !dice.one_in(100) {
                self.confirms_due += 1;
            }
            self.belt.pop_front();
        }
    }
}
