//! The appliance's side of the JMAP handshake, without registers and without a wire.
//!
//! Two four-phase exchanges run side by side; each waits for the other side's level, so that a slow reader on either side
//! never misses one:
//!
//! ```text
//!  trigger                                     results (oldest first, 8 deep; 1 deep without BufferResultsEnable)
//!
//!   ┌──────────┐ Trigger 0→1, ready            ┌──────┐ a result waits, ResultsAck=0   ┌───────────────┐
//!   │ waiting  ├──────────► Arrived            │ idle ├───────────────────────────────►│ on offer      │
//!   │ Ack=0    │                               │ V=0  │   InspectionCompleted toggles  │ ResultsValid=1│
//!   │ Ready=   │ Trigger 0→1, not ready        └──▲───┘                                └──────┬────────┘
//!   │ may_take ├──────────► Arrived + NotReady    │ ResultsAck=0   ┌───────────┐ ResultsAck=1 │
//!   └────▲─────┘            AcqError=1            └────────────────┤ withdrawn │◄─────────────┘
//!        │ Trigger=0                                               │ V=0       │
//!   ┌────┴─────┐                                                   └───────────┘
//!   │ held     │ PieceSeq changes while held:    link down: on offer ─► idle, the same result is offered again
//!   │ Ack=1    │ a trigger that was too short    (PieceSeqEcho makes the repetition harmless)
//!   │ Ready=0  │ to see ─► Arrived + NotReady
//!   └──────────┘
//! ```
//!
//! Invariants (a property test checks all of them after every event): `RunPermit` only if the station said so after the
//! link last came up; Pass, Fail and NoVerdict one-hot while `ResultsValid`, all zero otherwise; `TriggerAck` equals the
//! `Trigger` last seen; results leave in the order in which they came; no piece is announced twice.
//!
//! Commands: only `Reset` and `AcknowledgeError` are done here (both clear AcqError, ResultsBufferOverrun and Error). Every
//! other command is answered with `CommandFailed`, as are no soft events: a PLC must never believe that something was done.

use crate::jmap::{Control, MAP_VERSION, RESULTS_MAX, ResultCode, State, Status, error_code};
use station::inspection::{Miss, MissReason};
use station::line::{Counters, Feedback, LineCommand, Permit, PieceResult, PlcLink};
use station::piece::{Arrival, PieceId};
use station::station::Event;
use station::units::EncoderCount;
use station::verdict::Verdict;
use std::collections::VecDeque;

/// Pieces that may await their verdict at once; one slot costs 8 bytes. When it is full, triggers are missed (and say so).
const OUTSTANDING_MAX: usize = 64;
/// Commanded rejects remembered for `NextRejectAt`; one slot costs 4 bytes. When it is full, the oldest is forgotten (information only).
const REJECTS_MAX: usize = 64;
/// JMAP command codes that are done here.
const RESET: u16 = 7;
const ACKNOWLEDGE_ERROR: u16 = 11;
/// `OfflineReason` while the PLC holds `SetOffline`.
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
}

/// A result on its way to the PLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Counts up with every result; tells one offer from the next.
    pub number: u64,
    /// What is offered.
    pub result: PieceResult,
    acquisition: u16,
    announced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offering {
    Idle,
    Valid,
    Withdrawn,
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
    seen: Control,
    /// `seen` really was seen.
    looked: bool,
    serial: Option<String>,
    next_own_number: u32,
    acquisition: u16,
    outstanding: VecDeque<(PieceId, u16)>,
    offers: VecDeque<Offer>,
    offering: Offering,
    offers_made: u64,
    completed_toggle: bool,
    exposure_complete: bool,
    acq_error: bool,
    overrun: bool,
    overruns: u32,
    missed_triggers: u32,
    rejects: VecDeque<EncoderCount>,
    confirm_seen: Option<bool>,
    confirmed: u32,
    feedback_told: Option<Feedback>,
    command: Option<(u16, bool)>,
}

/// True if `now` announces a piece that `before` did not: a rising edge, or a new number under a trigger that fell and
/// rose again between two polls.
#[must_use]
pub fn is_edge(before: &Control, now: &Control) -> bool {
    now.trigger && (!before.trigger || before.piece_seq != now.piece_seq)
}

/// True if `now` asks to latch serial and user data anew: a rising edge, or another serial under a level that fell and rose
/// again between two polls.
#[must_use]
pub fn is_new_user_data(before: &Control, now: &Control) -> bool {
    now.set_user_data && (!before.set_user_data || before.serial != now.serial)
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
            seen: Control::default(),
            looked: false,
            serial: None,
            next_own_number: identity.own_numbers_from.max(1),
            acquisition: 0,
            outstanding: VecDeque::new(),
            offers: VecDeque::new(),
            offering: Offering::Idle,
            offers_made: 0,
            completed_toggle: false,
            exposure_complete: false,
            acq_error: false,
            overrun: false,
            overruns: 0,
            missed_triggers: 0,
            rejects: VecDeque::new(),
            confirm_seen: None,
            confirmed: 0,
            feedback_told: None,
            command: None,
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
        if self.offering == Offering::Valid {
            self.offering = Offering::Idle;
        }
    }

    /// The station asks something of the line.
    pub fn command(&mut self, command: LineCommand) {
        match command {
            LineCommand::Permit(permit) => {
                self.permit = permit;
                self.fresh = self.link_up;
            }
            LineCommand::Result(result) => self.result(result),
            LineCommand::Beat(beat) => self.beat = beat,
            LineCommand::Counters(counters) => self.counters = counters,
            LineCommand::Gate(_) | LineCommand::Answer(_) => {}
        }
        self.advance_offer();
    }

    fn result(&mut self, result: PieceResult) {
        let mut acquisition = 0;
        if let Some(at) = self.outstanding.iter().position(|(piece, _)| *piece == result.piece) {
            acquisition = self.outstanding.remove(at).map_or(0, |(_, acquisition)| acquisition);
        }
        // The camera's own word for "exposed" does not reach the bridge; at the latest, a verdict means that the piece was seen.
        if acquisition != 0 && acquisition == self.acquisition {
            self.exposure_complete = true;
        }
        if let Some(target) = result.reject_at {
            if self.rejects.len() >= REJECTS_MAX {
                self.rejects.pop_front();
            }
            self.rejects.push_back(target);
        }
        let unbuffered = self.looked && !self.seen.buffer_results_enable;
        let room = if unbuffered { 1 } else { RESULTS_MAX };
        if self.offers.len() >= room {
            self.overrun = true;
            self.overruns = self.overruns.wrapping_add(1);
            return;
        }
        self.offers_made += 1;
        self.offers.push_back(Offer { number: self.offers_made, result, acquisition, announced: false });
    }

    /// One look at the control block. `notices` are to be passed on in their order.
    pub fn observe(&mut self, now: Control, notices: &mut Vec<Notice>) {
        let before = std::mem::replace(&mut self.seen, now);
        self.looked = true;
        if is_new_user_data(&before, &self.seen) {
            self.serial.clone_from(&self.seen.serial);
        }
        if self.seen.clear_error && !before.clear_error {
            self.clear_errors();
        }
        if self.seen.clear_exposure_complete {
            self.exposure_complete = false;
        }
        self.count_confirm();
        self.tell_feedback(notices);
        self.advance_offer();
        if is_edge(&before, &self.seen) {
            self.trigger(&before, notices);
        }
        self.obey();
    }

    fn count_confirm(&mut self) {
        let now = self.seen.reject_confirm;
        if self.confirm_seen.replace(now).is_some_and(|before| before != now) {
            self.confirmed = self.confirmed.wrapping_add(1);
            self.rejects.pop_front();
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

    fn advance_offer(&mut self) {
        let acknowledged = self.seen.results_ack;
        match self.offering {
            Offering::Idle if self.link_up && !acknowledged => {
                if let Some(offer) = self.offers.front_mut() {
                    self.completed_toggle ^= !offer.announced;
                    offer.announced = true;
                    self.offering = Offering::Valid;
                }
            }
            Offering::Valid if acknowledged => {
                self.offers.pop_front();
                self.offering = Offering::Withdrawn;
            }
            Offering::Withdrawn if !acknowledged => {
                self.offering = Offering::Idle;
                self.advance_offer();
            }
            Offering::Idle | Offering::Valid | Offering::Withdrawn => {}
        }
    }

    /// Whether a trigger would be taken, given the level it comes from.
    fn may_take(&self, held: bool) -> bool {
        self.link_up
            && self.fresh
            && !held
            && self.seen.trigger_enable
            && !self.seen.set_offline
            && self.outstanding.len() < OUTSTANDING_MAX
    }

    fn trigger(&mut self, before: &Control, notices: &mut Vec<Notice>) {
        let serial = self.serial.take();
        let piece = PieceId(match self.seen.piece_seq {
            0 => self.own_number(),
            number => number,
        });
        let encoder = EncoderCount(self.seen.encoder_at_trigger);
        self.rejects.retain(|target| !encoder.has_passed(*target));
        let ready = self.may_take(before.trigger);
        if self.knows(piece) {
            self.miss_trigger();
            notices.push(Notice::Repeated(piece));
            return;
        }
        let arrival = Arrival {
            piece,
            serial,
            lot: self.seen.lot_no,
            encoder,
            golden: self.seen.golden_piece,
            retain: self.seen.force_retain,
            user_data: Vec::new(),
        };
        notices.push(Notice::Station(Event::Arrived(arrival)));
        if ready {
            self.acquisition = self.acquisition.checked_add(1).unwrap_or(1);
            self.outstanding.push_back((piece, self.acquisition));
            self.acq_error = false;
            self.exposure_complete = false;
        } else {
            self.miss_trigger();
            notices.push(Notice::Station(Event::Missed(Miss { piece, reason: MissReason::NotReady })));
        }
    }

    fn own_number(&mut self) -> u32 {
        let number = self.next_own_number;
        self.next_own_number = number.checked_add(1).unwrap_or(1);
        number
    }

    fn knows(&self, piece: PieceId) -> bool {
        self.outstanding.iter().any(|(known, _)| *known == piece) || self.offers.iter().any(|offer| offer.result.piece == piece)
    }

    fn miss_trigger(&mut self) {
        self.acq_error = true;
        self.missed_triggers = self.missed_triggers.wrapping_add(1);
    }

    fn clear_errors(&mut self) {
        self.acq_error = false;
        self.overrun = false;
    }

    fn obey(&mut self) {
        let asked = self.seen.command;
        match self.command {
            None if self.seen.execute_command && asked != 0 => {
                let done = matches!(asked, RESET | ACKNOWLEDGE_ERROR);
                if done {
                    self.clear_errors();
                }
                self.command = Some((asked, done));
            }
            Some((code, _)) if asked != code => self.command = None,
            None | Some(_) => {}
        }
    }

    /// The result on offer right now, if `ResultsValid` is 1.
    #[must_use]
    pub fn on_offer(&self) -> Option<&Offer> {
        if self.offering == Offering::Valid { self.offers.front() } else { None }
    }

    /// True if the result of `piece` still waits or is on offer.
    #[must_use]
    pub fn offers(&self, piece: PieceId) -> bool {
        self.offers.iter().any(|offer| offer.result.piece == piece)
    }

    /// What the status block must say now.
    #[must_use]
    pub fn status(&self) -> Status {
        let online = self.link_up && self.fresh && !self.seen.set_offline;
        let (error_code, error_cause) = self.error();
        let mut status = Status {
            trigger_ready: self.may_take(self.seen.trigger),
            trigger_ack: self.seen.trigger,
            acq_error: self.acq_error,
            offline_reason: if self.seen.set_offline { OFFLINE_BY_PLC } else { 0 },
            online,
            busy: !self.outstanding.is_empty(),
            inspection_completed: self.completed_toggle,
            results_buffer_overrun: self.overrun,
            command_completed: self.command.is_some_and(|(_, done)| done),
            command_failed: self.command.is_some_and(|(_, done)| !done),
            error: error_code >> 12 == 2,
            set_user_data_ack: self.seen.set_user_data,
            exposure_complete: self.exposure_complete,
            run_permit: self.permit.run && self.link_up && self.fresh,
            heartbeat: self.beat,
            state: self.state(online) as u16,
            ack_command: self.command.map_or(0, |(code, _)| code),
            error_code,
            error_cause,
            current_recipe: self.identity.recipe,
            acquisition_id: self.acquisition,
            stop_reason: self.permit.reasons.0,
            stop_seq: self.permit.stop_seq,
            spc_rules: self.permit.spc_rules,
            spc_chart_id: self.permit.spc_chart,
            reject_queue_depth: u16::try_from(self.rejects.len()).unwrap_or(u16::MAX),
            next_reject_at: self.rejects.front().map_or(0, |target| target.0),
            counters: self.counters_in_map_order(),
            map_version: MAP_VERSION,
            model_version: self.identity.model_version,
            rubric_version: self.identity.rubric_version,
            ..Status::default()
        };
        if let Some(offer) = self.on_offer() {
            put_result(&mut status, offer);
        }
        status
    }

    const fn state(&self, online: bool) -> State {
        if self.seen.set_offline {
            State::Halted
        } else if !online {
            State::Preoperational
        } else if self.seen.trigger_enable {
            State::ContinuousExecution
        } else {
            State::Ready
        }
    }

    const fn error(&self) -> (u16, u16) {
        match self.command {
            Some((code, false)) => (error_code::COMMAND_REFUSED, code),
            _ if self.acq_error => (error_code::TRIGGER_MISSED, 0),
            _ if self.overrun => (error_code::RESULTS_OVERRUN, 0),
            _ => (error_code::NONE, 0),
        }
    }

    const fn counters_in_map_order(&self) -> [u32; 9] {
        let Counters { inspected, pass, reject, hold, reject_commanded, reject_confirmed, reject_unconfirmed, .. } = self.counters;
        // Missed triggers and overruns are facts of the handshake, so its own counts stand there.
        let (missed, overruns) = (self.missed_triggers, self.overruns);
        [inspected, pass, reject, hold, missed, overruns, reject_commanded, reject_confirmed, reject_unconfirmed]
    }
}

fn put_result(status: &mut Status, offer: &Offer) {
    let result = &offer.result;
    status.results_valid = true;
    status.inspection_id = offer.acquisition;
    status.piece_seq_echo = result.piece.0;
    status.encoder_echo = result.encoder.0;
    let code = match result.verdict {
        // A challenge piece carries a known defect: found or not, it must not pass the gate.
        Verdict::Pass if result.golden => {
            status.fail = true;
            ResultCode::GoldenFailed
        }
        Verdict::Pass => {
            status.pass = true;
            ResultCode::Pass
        }
        Verdict::Reject => {
            status.fail = true;
            if result.golden { ResultCode::GoldenOk } else { ResultCode::Fail }
        }
        Verdict::Hold => {
            status.no_verdict = true;
            ResultCode::NoVerdict
        }
    };
    status.result_code = code as u16;
    status.grade = result.grade;
    status.top_defect_class = result.top_class.map_or(0, |class| u16::from(class.0));
    status.defect_count = result.defects;
    status.score = result.score.min(10_000);
    status.latency = result.latency_tenth_millis;
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
