//! The link to the PLC: up, down, what its side says, and the way of rejected pieces to the gate.

use super::{Effect, Station};
use crate::gate::GateEnd;
use crate::line::{Feedback, LineCommand, LinkFault, PlcLink};
use crate::policy::StopReason;
use crate::reading::Quality;
use crate::record::{Body, GateRecord};
use crate::units::{EncoderCount, Timestamp};

impl Station {
    pub(super) fn link(&mut self, link: PlcLink, now: Timestamp, effects: &mut Vec<Effect>) {
        match link {
            PlcLink::Up => {
                // After an overrun the bridge's own count went on; after a lost link it began anew.
                if self.link != Some(PlcLink::Down(LinkFault::Overrun)) {
                    self.feedback.rejects_confirmed = 0;
                }
                self.link = Some(link);
                self.gate_told = None;
                // The PLC may have lost its memory: what it is told is told anew, and only by this command.
                self.permit = self.wanted_permit();
                effects.push(Effect::Command(LineCommand::Permit(self.permit)));
            }
            PlcLink::Forgot => self.forget_numbers(),
            PlcLink::Down(fault) => self.link_down(fault, now, effects),
            PlcLink::Feedback(feedback) => self.feedback(feedback, now, effects),
            PlcLink::Asked(request) => self.ordered(request, now, effects),
        }
    }

    fn link_down(&mut self, fault: LinkFault, now: Timestamp, effects: &mut Vec<Effect>) {
        let was_up = self.link == Some(PlcLink::Up);
        self.link = Some(PlcLink::Down(fault));
        for reading in self.readings.values_mut().filter(|reading| reading.quality == Quality::Good) {
            reading.quality = Quality::Stale;
        }
        if was_up {
            self.raise_and_keep(StopReason::PlcLink, format!("PLC link: {fault:?}"), now, effects);
        }
        let mut ends = Vec::new();
        self.gate.lost(&mut ends);
        self.end_at_gate(ends, now, effects);
    }

    fn feedback(&mut self, feedback: Feedback, now: Timestamp, effects: &mut Vec<Effect>) {
        let confirmed = feedback.rejects_confirmed.wrapping_sub(self.feedback.rejects_confirmed);
        let mut ends = Vec::new();
        // A count that went back began anew without a word of it: it confirms nothing.
        if confirmed < 1 << 31 {
            for _ in 0..confirmed {
                // The belt has no piece left that it could be.
                if !self.gate.confirmed(&mut ends) {
                    break;
                }
            }
        }
        self.turn_key_switch(feedback.stop_inhibit, now, effects);
        self.feedback = feedback;
        self.end_at_gate(ends, now, effects);
    }

    /// Rejects that the belt has carried past the gate without a confirmation.
    pub(super) fn watch_gate(&mut self, count: EncoderCount, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut ends = Vec::new();
        self.gate.moved(count, &mut ends);
        self.end_at_gate(ends, now, effects);
    }

    /// Records the end of rejected pieces; too many that nobody saw are a cause to stop.
    pub(super) fn end_at_gate(&mut self, pieces: Vec<GateEnd>, now: Timestamp, effects: &mut Vec<Effect>) {
        if pieces.is_empty() {
            return;
        }
        self.keep(Body::Gate(GateRecord { pieces }), now, effects);
        if let Some((reason, detail)) = self.memory.tally.unconfirmed_cause(&self.setup.recipe.stop) {
            self.raise_and_keep(reason, detail, now, effects);
        }
    }

    /// Tells the PLC what waits for the gate: after the link came up, and whenever it changed.
    pub(super) fn tell_gate(&mut self, effects: &mut Vec<Effect>) {
        let queue = self.gate.queue();
        if self.link == Some(PlcLink::Up) && self.gate_told != Some(queue) {
            self.gate_told = Some(queue);
            effects.push(Effect::Command(LineCommand::Gate(queue)));
        }
    }
}
