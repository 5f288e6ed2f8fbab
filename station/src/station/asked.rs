//! What people and the PLC ask for: stops, acknowledgements, releases, arming, and the PLC's orders.
//!
//! Invariants: nothing changes but by a record that says who asked; every order of the PLC is answered exactly once, in the
//! event that brought it; asking for what is already so changes nothing and is done.

use super::{Effect, Station};
use crate::action::{Action, By, Person, Request, Role};
use crate::decision::{Decision, DecisionRecord};
use crate::intake::{Intake, IntakeRecord};
use crate::line::{Answer, LineCommand, PlcOrder, PlcRequest};
use crate::policy::{PlcAcknowledge, StopReason, StopReasons};
use crate::record::{Acknowledgement, ArmRecord, Body, CountersReset, LotRecord, Mark, MarkRecord, ReleaseRecord, RevisionRecord};
use crate::snapshot::Phase;
use crate::units::Timestamp;
use std::sync::Arc;

/// The cause in an acknowledgement that came from the PLC, which knows no causes.
const CAUSE_AT_PLC: &str = "acknowledged at the PLC";
/// JMAP has eight soft events, 0…7.
const SOFT_EVENTS: u8 = 8;

impl Station {
    pub(super) fn asked(&mut self, request: Request, now: Timestamp, effects: &mut Vec<Effect>) {
        let Request { by, action } = request;
        match action {
            Action::Stop { note } => {
                let detail =
                    if note.trim().is_empty() { format!("stopped by {}", by.name) } else { format!("{}: {}", by.name, note.trim()) };
                self.raise_and_keep(StopReason::Operator, detail, now, effects);
            }
            Action::Acknowledge { stop_seq, cause, corrective_action } => {
                if self.phase() == Phase::Stopped && stop_seq == self.memory.stop_seq && !cause.trim().is_empty() {
                    let by = By::Person(by);
                    self.keep(Body::Acknowledged(Acknowledgement { stop_seq, by, cause, corrective_action }), now, effects);
                }
            }
            Action::Release { stop_seq } => {
                if by.role >= Role::Supervisor && stop_seq == self.memory.stop_seq {
                    self.release(By::Person(by), now, effects);
                }
            }
            Action::ReviseLimits { chart, replaces, revision, reason } => {
                let allowed = by.role >= Role::Engineer && !reason.trim().is_empty();
                // Tried on a copy: what is recorded is what took place.
                let name = self.memory.charts.clone().revise(chart, revision).ok();
                if let Some(name) = name.filter(|_| allowed && self.memory.charts.revision(chart) == Some(replaces)) {
                    let by = By::Person(by);
                    self.keep(Body::Revised(RevisionRecord { chart, name, replaces, revision, by, reason }), now, effects);
                }
            }
            Action::Decide { decision, reason } => self.decide(by, decision, reason, now, effects),
            Action::TakeIn { intake } => self.take_in(by, intake, now, effects),
            Action::Arm | Action::Disarm => {
                if by.role >= Role::Engineer {
                    self.arm(matches!(action, Action::Arm), By::Person(by), now, effects);
                }
            }
        }
    }

    /// Records a decision about pieces that have their verdict. What does not hold water is not recorded.
    fn decide(&mut self, by: Person, decision: Decision, reason: String, now: Timestamp, effects: &mut Vec<Effect>) {
        if by.role < decision.role() {
            return;
        }
        let (known, results) = (Arc::clone(&self.memory.decisions), self.memory.results);
        let Ok(decision) = known.check(decision, &reason, results, self.setup.recipe.rubric.worst()) else { return };
        let record = DecisionRecord { decision_id: known.last + 1, results, decision, by: By::Person(by), reason };
        self.view.note_decision(&self.setup.recipe, &record);
        self.keep(Body::Decided(Box::new(record)), now, effects);
    }

    /// Records what pieces are made of from here on, unless it is so already.
    fn take_in(&mut self, by: Person, intake: Intake, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Ok(Some(_)) = intake.applied(&self.memory.made_of) {
            let record = IntakeRecord { intake, by: By::Person(by), results: self.memory.results };
            self.keep(Body::TakenIn(Box::new(record)), now, effects);
        }
    }

    /// Lets the line run again once that is durable. Only after the acknowledgement, and only if no cause stands.
    fn release(&mut self, by: By, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let may = self.phase() == Phase::Acknowledged && self.standing_causes() == StopReasons::default();
        if may {
            self.keep(Body::Released(ReleaseRecord { stop_seq: self.memory.stop_seq, by }), now, effects);
            self.awaited = self.head.0;
            self.released = true;
        }
        may
    }

    fn arm(&mut self, armed: bool, by: By, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.memory.is_armed() != armed {
            self.keep(Body::Armed(ArmRecord { armed, by }), now, effects);
        }
    }

    /// Carries out an order of the PLC and answers it.
    pub(super) fn ordered(&mut self, request: PlcRequest, now: Timestamp, effects: &mut Vec<Effect>) {
        let PlcRequest { number, order } = request;
        let done = self.carry_out(order, now, effects);
        effects.push(Effect::Command(LineCommand::Answer(Answer { number, done })));
    }

    fn carry_out(&mut self, order: PlcOrder, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let by = By::Plc;
        match order {
            PlcOrder::AcknowledgeStop => return self.acknowledge_at_plc(now, effects),
            PlcOrder::NewLot(lot) => self.keep(Body::Lot(LotRecord { lot, by }), now, effects),
            PlcOrder::ArmLineStop => self.arm(true, by, now, effects),
            PlcOrder::DisarmLineStop => self.arm(false, by, now, effects),
            PlcOrder::ResetCounters => {
                self.keep(Body::CountersReset(CountersReset { before: self.memory.counters, by }), now, effects);
            }
            PlcOrder::GoldenCheck => self.keep(Body::Mark(MarkRecord { mark: Mark::GoldenCheck, by }), now, effects),
            PlcOrder::SoftEvent(number) if number < SOFT_EVENTS => {
                self.keep(Body::Mark(MarkRecord { mark: Mark::SoftEvent(number), by }), now, effects);
            }
            PlcOrder::SoftEvent(_) => return false,
        }
        true
    }

    /// True if it changed something.
    fn acknowledge_at_plc(&mut self, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let policy = self.setup.recipe.stop.plc_acknowledge;
        if policy == PlcAcknowledge::Ignored {
            return false;
        }
        let acknowledges = self.phase() == Phase::Stopped;
        if acknowledges {
            let stop_seq = self.memory.stop_seq;
            let (cause, corrective_action) = (CAUSE_AT_PLC.to_owned(), String::new());
            self.keep(Body::Acknowledged(Acknowledgement { stop_seq, by: By::Plc, cause, corrective_action }), now, effects);
        }
        // With a cause that still stands, the acknowledgement stays; the next one, or a person, releases.
        let releases = policy == PlcAcknowledge::Releases && self.release(By::Plc, now, effects);
        acknowledges || releases
    }
}
