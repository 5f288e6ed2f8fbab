//! The appliance's side of the JMAP handshake, without registers and without a wire.
//!
//! Every exchange waits for the other side's level, so that a slow reader on either side never misses one. Each is a machine
//! of its own, drawn on top of its file, and this file lets them run side by side:
//!
//! ```text
//!   one look at the control block                                      LineCommand of the station
//!        │                                                                  │
//!        ├─► user_data  latch of Serial and UserData                        ├─ Permit ─────► errors, TriggerReady, RunPermit
//!        ├─► errors     one at a time: ClearError shows the next            ├─ Result ─────► trigger (settles), mode, results
//!        ├─► trigger    edge: taken, missed or refused  ──► Arrived, Missed ├─ Exposed ────► trigger
//!        ├─► commands   echo, LineStopAck, soft events  ──► Asked           ├─ Answer ─────► commands
//!        │      └─► mode   what may be triggered                            └─ Gate, Counters, Beat: shown as they are
//!        └─► results    on offer, acknowledged, next
//!                             all of them ──► one status block
//! ```
//! Invariants (a property test checks all of them after every event): `RunPermit` only if the station said so after the
//! link last came up; Pass, Fail and NoVerdict one-hot while `ResultsValid`, all zero otherwise; `TriggerAck` equals the
//! `Trigger` last seen; results leave in the order in which they came; no piece is announced twice; a command is completed
//! only after it was done.
//!
//! Of the contract's rule 6 (a result after its deadline is NoVerdict) the time is the station's, which knows when a piece
//! arrived. The belt's position is known here only at triggers (`EncoderAtTrigger`), so it can end no deadline between them.
//!
//! A PLC that loses its memory comes back with an empty block. Its numbers then mean other pieces, so what was owed or on offer
//! is *forgotten*: recorded, but not offered any more.

mod commands;
mod errors;
mod mode;
mod results;
mod trigger;
mod user_data;

pub use results::Offer;
pub use trigger::is_edge;
pub use user_data::is_new_user_data;

use crate::jmap::{Control, MAP_VERSION, State, Status};
use commands::{ACKNOWLEDGE_ERROR, Commands, DEQUEUE_RESULT, Outcome, Refusal, Wish, order_of};
use errors::{Errors, Trouble};
use mode::{Mode, ModeOrder};
use results::{Results, spoiled};
use station::inspection::{Miss, MissReason};
use station::line::{Counters, Feedback, GateQueue, LineCommand, Permit, PieceResult, PlcLink, PlcRequest};
use station::piece::{Arrival, PieceId};
use station::station::Event;
use station::units::EncoderCount;
use trigger::{Fate, Triggers};
use user_data::Latched;

/// `OfflineReason` while the PLC holds `SetOffline` or has halted the appliance.
const OFFLINE_BY_PLC: u8 = 3;

/// What the status block says that does not change while running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// `CurrentRecipe`.
    pub recipe: u16,
    /// `ModelVersion`.
    pub model_version: u16,
    /// `RubricVersion`.
    pub rubric_version: u16,
    /// First number given to pieces of a PLC that does not number them (`PieceSeq` 0); later ones count up. Not 0.
    pub own_numbers_from: u32,
}

impl Default for Identity {
    fn default() -> Self {
        Self { recipe: 0, model_version: 0, rubric_version: 0, own_numbers_from: 1 }
    }
}

/// What one observation of the control block means.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// For the station, in this order.
    Station(Event),
    /// A trigger carried the number of a piece that still awaits its verdict or its acknowledgement. It was refused:
    /// two pieces with one number cannot be told apart at the gate.
    Repeated(PieceId),
    /// The PLC came back without its memory: so many results that it had not taken are not offered any more.
    Forgotten(usize),
    /// A command of this code was refused.
    Refused(u16),
}

/// The handshake's memory.
#[derive(Debug, Clone)]
pub struct Handshake {
    identity: Identity,
    link_up: bool,
    /// The station commanded a permit since the link came up.
    fresh: bool,
    permit: Permit,
    beat: u16,
    counters: Counters,
    gate: GateQueue,
    seen: Control,
    /// `seen` really was seen.
    looked: bool,
    /// The PLC had something in its block while the link was last up, or may have had before the start.
    had_memory: bool,
    latched: Latched,
    triggers: Triggers,
    results: Results,
    mode: Mode,
    commands: Commands,
    errors: Errors,
    confirm_seen: Option<bool>,
    confirmed: u32,
    feedback_told: Option<Feedback>,
}

impl Handshake {
    /// A handshake that has seen nothing: every output is safe.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            link_up: false,
            fresh: false,
            permit: Permit::default(),
            beat: 0,
            counters: Counters::default(),
            gate: GateQueue::default(),
            seen: Control::default(),
            looked: false,
            had_memory: true,
            latched: Latched::default(),
            triggers: Triggers::new(identity.own_numbers_from),
            results: Results::default(),
            mode: Mode::default(),
            commands: Commands::default(),
            errors: Errors::default(),
            confirm_seen: None,
            confirmed: 0,
            feedback_told: None,
        }
    }

    /// The link came up: outputs stay safe until the station commands a permit anew. Tells the PLC's side once.
    pub fn link_up(&mut self, notices: &mut Vec<Notice>) {
        self.link_up = true;
        self.fresh = false;
        self.confirmed = 0;
        self.feedback_told = None;
        self.tell_feedback(notices);
    }

    /// The link went down: permit, readiness and the result on offer are taken back.
    pub fn link_down(&mut self) {
        self.link_up = false;
        self.fresh = false;
        self.results.link_down();
    }

    /// The station asks something of the line.
    pub fn command(&mut self, command: LineCommand) {
        match command {
            LineCommand::Permit(permit) => {
                self.errors.follow(&self.permit, &permit);
                self.permit = permit;
                self.fresh = self.link_up;
            }
            LineCommand::Result(result) => self.result(result),
            LineCommand::Exposed(piece) => self.triggers.exposed(piece),
            LineCommand::Beat(beat) => self.beat = beat,
            LineCommand::Counters(counters) => self.counters = counters,
            LineCommand::Gate(gate) => self.gate = gate,
            LineCommand::Answer(answer) => match self.commands.answer(answer, self.seen.soft_events) {
                Some(Refusal::Command(code)) => self.errors.raise(Trouble::CommandRefused, code),
                Some(Refusal::StopAck) => self.errors.raise(Trouble::StopAckRefused, 0),
                None => {}
            },
        }
        self.advance();
    }

    fn result(&mut self, result: PieceResult) {
        let (acquisition, fate) = self.triggers.settle(result.piece, result.encoder);
        self.mode.done(result.piece);
        let result = match fate {
            Fate::Owed => result,
            Fate::Spoiled => spoiled(&result),
            Fate::Forgotten => return,
        };
        // Before the first look nobody knows whether the PLC buffers.
        let buffered = !self.looked || self.seen.buffer_results_enable;
        if !self.results.push(result, acquisition, buffered) {
            self.errors.raise(Trouble::ResultsOverrun, 0);
        }
    }

    /// One look at the control block. `notices` are to be passed on in their order.
    pub fn observe(&mut self, now: Control, notices: &mut Vec<Notice>) {
        let before = std::mem::replace(&mut self.seen, now);
        let first = !std::mem::replace(&mut self.looked, true);
        self.watch_memory(notices);
        self.latched.look(&before, &self.seen);
        if self.seen.clear_error && !before.clear_error {
            self.errors.acknowledge();
        }
        if self.seen.clear_exposure_complete {
            self.triggers.exposure_complete = false;
        }
        self.count_confirm();
        self.tell_feedback(notices);
        if is_edge(&before, &self.seen) {
            self.trigger(&before, notices);
        }
        self.obey(first, notices);
        if self.seen.line_stop_ack && !before.line_stop_ack && !first && self.link_up {
            ask(self.commands.acknowledge_stop(), notices);
        }
        self.commands.look_at_soft_events(&self.seen, |request| ask(request, notices));
        self.advance();
    }

    /// Finds out whether the PLC lost its memory while the link was down.
    fn watch_memory(&mut self, notices: &mut Vec<Notice>) {
        let has_memory = has_memory(&self.seen);
        if self.link_up {
            self.had_memory |= has_memory;
        } else if self.had_memory && !has_memory {
            self.had_memory = false;
            self.latched = Latched::default();
            self.triggers.forget(notices);
            notices.push(Notice::Forgotten(self.results.forget()));
            notices.push(Notice::Station(Event::Link(PlcLink::Forgot)));
        }
    }

    fn count_confirm(&mut self) {
        let now = self.seen.reject_confirm;
        if self.confirm_seen.replace(now).is_some_and(|before| before != now) {
            self.confirmed = self.confirmed.wrapping_add(1);
        }
    }

    fn tell_feedback(&mut self, notices: &mut Vec<Notice>) {
        let feedback = Feedback {
            line_running: self.seen.line_running,
            rejects_confirmed: self.confirmed,
            bin_full: self.seen.reject_bin_full,
            estop: self.seen.estop,
            stop_inhibit: self.seen.stop_inhibit,
        };
        if self.link_up && self.feedback_told.replace(feedback) != Some(feedback) {
            notices.push(Notice::Station(Event::Link(PlcLink::Feedback(feedback))));
        }
    }

    /// Whether a trigger would be taken, given the level it comes from.
    fn may_take(&self, held: bool) -> bool {
        self.link_up
            && self.fresh
            && !held
            && self.seen.trigger_enable
            && !self.seen.set_offline
            && self.mode.takes()
            && self.triggers.has_room()
    }

    fn trigger(&mut self, before: &Control, notices: &mut Vec<Notice>) {
        let latched = std::mem::take(&mut self.latched);
        let piece = self.triggers.number(self.seen.piece_seq);
        let encoder = EncoderCount(self.seen.encoder_at_trigger);
        let in_use = self.triggers.owed(piece).or_else(|| self.results.find(piece).map(|result| result.encoder));
        if let Some(known) = in_use {
            self.triggers.miss();
            self.errors.raise(Trouble::PieceRepeated, 0);
            notices.push(Notice::Repeated(piece));
            if known != encoder {
                self.triggers.spoil(piece, notices);
                self.results.spoil(piece);
            }
            return;
        }
        let ready = self.may_take(before.trigger);
        let acquisition = if ready { self.triggers.take(piece, encoder) } else { 0 };
        let arrival = Arrival {
            piece,
            acquisition,
            serial: latched.serial,
            lot: self.seen.lot_no,
            encoder,
            golden: self.seen.golden_piece,
            retain: self.seen.force_retain,
            user_data: latched.words,
        };
        notices.push(Notice::Station(Event::Arrived(arrival)));
        if ready {
            self.mode.taken(piece);
            self.errors.heal(Trouble::TriggerMissed);
            self.errors.heal(Trouble::PieceRepeated);
        } else {
            self.triggers.miss();
            self.errors.raise(Trouble::TriggerMissed, 0);
            notices.push(Notice::Station(Event::Missed(Miss { piece, acquisition, reason: MissReason::NotReady, camera: None })));
        }
    }

    fn obey(&mut self, first: bool, notices: &mut Vec<Notice>) {
        let (code, trouble) = match self.commands.look(&self.seen, first) {
            Wish::Nothing => return,
            Wish::Busy(code) => (code, Trouble::CommandBusy),
            Wish::Stale(code) => (code, Trouble::CommandRefused),
            Wish::Do(code) => match self.execute(code, notices) {
                Ok(outcome) => {
                    self.commands.begin(code, outcome);
                    return;
                }
                Err(trouble) => {
                    self.commands.begin(code, Outcome::Failed);
                    (code, trouble)
                }
            },
        };
        self.errors.raise(trouble, code);
        notices.push(Notice::Refused(code));
    }

    fn execute(&mut self, code: u16, notices: &mut Vec<Notice>) -> Result<Outcome, Trouble> {
        if let Some(order) = order_of(code, self.seen.lot_no) {
            let request = self.commands.request(order);
            ask(request, notices);
            self.forgive_commands();
            return Ok(Outcome::Asked(request.number));
        }
        match code {
            ACKNOWLEDGE_ERROR => self.errors.acknowledge(),
            DEQUEUE_RESULT if self.results.on_offer().is_none() => return Err(Trouble::CommandRefused),
            DEQUEUE_RESULT => {}
            _ => return self.change_mode(ModeOrder::from_code(code).ok_or(Trouble::CommandRefused)?, notices),
        }
        Ok(Outcome::Completed)
    }

    fn change_mode(&mut self, order: ModeOrder, notices: &mut Vec<Notice>) -> Result<Outcome, Trouble> {
        let recipe = self.seen.command_arg;
        if order == ModeOrder::PrepareRecipe && recipe != 0 && recipe != self.identity.recipe {
            return Err(Trouble::OtherRecipe);
        }
        if !self.mode.obey(order) {
            return Err(Trouble::CommandRefused);
        }
        self.forgive_commands();
        match order {
            ModeOrder::Stop => Ok(Outcome::Draining),
            ModeOrder::Abort => {
                self.triggers.abort(notices);
                Ok(Outcome::Draining)
            }
            ModeOrder::Reset => {
                self.errors.clear();
                Ok(Outcome::Completed)
            }
            _ => Ok(Outcome::Completed),
        }
    }

    /// A command that is taken ends the complaint about the one before it.
    fn forgive_commands(&mut self) {
        for trouble in [Trouble::CommandBusy, Trouble::CommandRefused, Trouble::OtherRecipe] {
            self.errors.heal(trouble);
        }
    }

    fn advance(&mut self) {
        if self.triggers.is_idle() {
            self.commands.drained();
        }
        self.results.advance(self.link_up, self.seen.results_ack || self.commands.acknowledges_result());
    }

    /// The result on offer right now, if `ResultsValid` is 1.
    #[must_use]
    pub fn on_offer(&self) -> Option<&Offer> {
        self.results.on_offer()
    }

    /// True if the result of `piece` still waits or is on offer.
    #[must_use]
    pub fn offers(&self, piece: PieceId) -> bool {
        self.results.find(piece).is_some()
    }

    /// What the status block must say now.
    #[must_use]
    pub fn status(&self) -> Status {
        let online = self.link_up && self.fresh && !self.seen.set_offline && !matches!(self.mode, Mode::Halted { .. });
        let offline_by_plc = self.seen.set_offline || matches!(self.mode, Mode::Halted { .. });
        let (error_code, error_cause, error) = self.errors.shown();
        let mut status = Status {
            trigger_ready: self.may_take(self.seen.trigger),
            trigger_ack: self.seen.trigger,
            acq_error: self.errors.has(Trouble::TriggerMissed) || self.errors.has(Trouble::PieceRepeated),
            offline_reason: if offline_by_plc { OFFLINE_BY_PLC } else { 0 },
            online,
            busy: !self.triggers.is_idle(),
            results_buffer_overrun: self.errors.has(Trouble::ResultsOverrun),
            command_executing: self.commands.is_executing(),
            command_completed: self.commands.outcome() == Some(Outcome::Completed),
            command_failed: self.commands.outcome() == Some(Outcome::Failed),
            error,
            set_user_data_ack: self.seen.set_user_data,
            exposure_complete: self.triggers.exposure_complete,
            run_permit: self.permit.run && self.link_up && self.fresh,
            soft_event_acks: self.commands.soft_event_acks(),
            heartbeat: self.beat,
            state: self.state(online) as u16,
            ack_command: self.commands.ack(),
            error_code,
            error_cause,
            current_recipe: self.identity.recipe,
            acquisition_id: self.triggers.acquisition(),
            stop_reason: self.permit.reasons.0,
            stop_seq: self.permit.stop_seq,
            spc_rules: self.permit.spc_rules,
            spc_chart_id: self.permit.spc_chart,
            reject_queue_depth: self.gate.waiting,
            next_reject_at: self.gate.next.map_or(0, |target| target.0),
            counters: self.counters_in_map_order(),
            map_version: MAP_VERSION,
            model_version: self.identity.model_version,
            rubric_version: self.identity.rubric_version,
            ..Status::default()
        };
        self.results.show(&mut status);
        status
    }

    fn state(&self, online: bool) -> State {
        if self.seen.set_offline {
            State::Halted
        } else if matches!(self.mode, Mode::Halted { .. }) {
            self.mode.state(false)
        } else if !online {
            State::Preoperational
        } else if self.errors.is_critical() {
            State::Error
        } else {
            self.mode.state(self.seen.trigger_enable)
        }
    }

    const fn counters_in_map_order(&self) -> [u32; 9] {
        let Counters { inspected, pass, reject, hold, reject_commanded, reject_confirmed, reject_unconfirmed, .. } = self.counters;
        // Missed triggers and overruns are facts of the handshake, so its own counts stand there.
        let (missed, overruns) = (self.triggers.missed(), self.results.overruns());
        [inspected, pass, reject, hold, missed, overruns, reject_commanded, reject_confirmed, reject_unconfirmed]
    }
}

fn ask(request: PlcRequest, notices: &mut Vec<Notice>) {
    notices.push(Notice::Station(Event::Link(PlcLink::Asked(request))));
}

/// False if the block holds nothing but levels: what a PLC shows that has just started with zeroed memory.
fn has_memory(control: &Control) -> bool {
    let numbers = [control.piece_seq, control.encoder_at_trigger, control.lot_no];
    numbers.iter().any(|number| *number != 0) || control.serial.is_some() || control.trigger
}

#[cfg(test)]
mod tests;
