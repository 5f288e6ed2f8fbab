//! The way to the reject gate: every piece that must not pass is followed by the belt's own count until its end is known.
//!
//! ```text
//!         offset                         slack
//!  camera ───────────────────▶ target ───────────▶ given up: unconfirmed
//!    │ arrived                    │ the gate acts, the PLC confirms
//!    ▼                            ▼
//!  Open ──reject or hold──▶ Waiting ──confirmed─────────▶ Confirmed
//!    │ pass                   ├──────count past slack───▶ Unconfirmed
//!    ▼                        └──────link lost──────────▶ Lost
//!  forgotten
//!  Open, confirmed before its verdict (the PLC rejects what has no pass) ──reject or hold──▶ Confirmed
//!  Open, past target + slack ─────────────────────────────reject or hold──▶ Late
//! ```
//! Invariants: a target is the count at the trigger plus the offset, whenever the verdict comes; pieces are in the order of
//! their targets, which is their order on the belt, never in the order of verdicts; a piece ends exactly once; nothing is
//! given up before the count has passed its target and the slack, however often the belt stops, backs up or wraps, and
//! what has passed is given up at the next count that is told. Speed does not occur: only counts do.
//!
//! The count is known at triggers only. A confirmation therefore belongs to the first piece on the belt that did not pass,
//! wherever the belt was last seen; only a piece without a verdict must have been seen near the gate to be the one.

use crate::line::GateQueue;
use crate::piece::PieceId;
use crate::units::EncoderCount;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Rejects followed at one time; more than lie between any camera and its gate. One slot costs some 20 bytes. Full: the
/// foremost is given up as unconfirmed — a line without an encoder, or whose encoder was set anew, must end somewhere.
pub const WAITING_MAX: usize = 256;

/// How a piece on its way to the gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The PLC confirmed that it was rejected.
    Confirmed,
    /// It passed the gate and nobody confirmed it.
    Unconfirmed,
    /// It had passed the gate before its verdict: the PLC must have rejected it by default, but nobody confirmed it.
    Late,
    /// Nobody listened while it was on its way: the link was lost, or the appliance started anew.
    Lost,
}

/// A piece and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateEnd {
    /// The piece.
    pub piece: PieceId,
    /// Its end.
    pub fate: Fate,
}

/// The belt between camera and gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    offset: u32,
    slack: u32,
    position: Option<EncoderCount>,
    /// In the order of their targets.
    belt: VecDeque<OnBelt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct OnBelt {
    piece: PieceId,
    target: EncoderCount,
    /// Judged, and not to pass.
    waiting: bool,
    /// Confirmed before its verdict.
    confirmed: bool,
    /// On the belt while nobody listened.
    lost: bool,
}

impl OnBelt {
    fn is(&self, piece: PieceId, target: EncoderCount) -> bool {
        self.piece == piece && self.target == target
    }
}

impl Gate {
    /// An empty belt with `offset` counts from the camera to the gate, and `slack` counts around the gate within which a
    /// confirmation comes.
    #[must_use]
    pub const fn new(offset: u32, slack: u32) -> Self {
        Self { offset, slack, position: None, belt: VecDeque::new() }
    }

    /// The count is now `position`. It may have gone back.
    pub fn moved(&mut self, position: EncoderCount, ends: &mut Vec<GateEnd>) {
        self.position = Some(position);
        let (slack, belt) = (self.slack, &mut self.belt);
        belt.retain(|on_belt| {
            let gone = on_belt.waiting && position.has_passed(on_belt.target.ahead(slack));
            if gone {
                ends.push(GateEnd { piece: on_belt.piece, fate: Fate::Unconfirmed });
            }
            !gone
        });
    }

    /// `piece` was triggered at `count` and has no verdict yet.
    pub fn arrived(&mut self, piece: PieceId, count: EncoderCount) {
        let target = count.ahead(self.offset);
        self.insert(OnBelt { piece, target, waiting: false, confirmed: false, lost: false });
    }

    /// `piece`, triggered at `count`, got its verdict. A piece that was never announced begins its way here.
    pub fn judged(&mut self, piece: PieceId, count: EncoderCount, passes: bool, ends: &mut Vec<GateEnd>) {
        let target = count.ahead(self.offset);
        let known = self.belt.iter().position(|on_belt| !on_belt.waiting && on_belt.is(piece, target));
        let before = known.and_then(|index| self.belt.remove(index));
        if passes {
            return;
        }
        let fate = match before {
            Some(OnBelt { confirmed: true, .. }) => Some(Fate::Confirmed),
            Some(OnBelt { lost: true, .. }) => Some(Fate::Lost),
            _ => self.position.is_some_and(|position| position.has_passed(target.ahead(self.slack))).then_some(Fate::Late),
        };
        if let Some(fate) = fate {
            ends.push(GateEnd { piece, fate });
            return;
        }
        let on_belt = OnBelt { piece, target, waiting: true, confirmed: false, lost: false };
        match known {
            // Back to its own place: among pieces with one target their order on the belt is kept.
            Some(index) => self.belt.insert(index, on_belt),
            None => self.insert(on_belt),
        }
        if self.belt.iter().filter(|on_belt| on_belt.waiting).count() > WAITING_MAX
            && let Some(index) = self.belt.iter().position(|on_belt| on_belt.waiting)
            && let Some(first) = self.belt.remove(index)
        {
            ends.push(GateEnd { piece: first.piece, fate: Fate::Unconfirmed });
        }
    }

    /// The PLC confirmed one reject. False if there is none that it can have been.
    pub fn confirmed(&mut self, ends: &mut Vec<GateEnd>) -> bool {
        let slack = self.slack;
        let near = |target: EncoderCount| self.position.is_some_and(|position| position.ahead(slack).has_passed(target));
        let Some(index) = self.belt.iter().position(|on_belt| !on_belt.confirmed && !on_belt.lost) else { return false };
        let Some(first) = self.belt.get_mut(index) else { return false };
        if first.waiting {
            ends.push(GateEnd { piece: first.piece, fate: Fate::Confirmed });
            self.belt.remove(index);
            return true;
        }
        let target = first.target;
        if !near(target) {
            return false;
        }
        if let Some(first) = self.belt.get_mut(index) {
            first.confirmed = true;
        }
        true
    }

    /// Nobody listens any more: what is on the belt ends unknown, now or with its verdict.
    pub fn lost(&mut self, ends: &mut Vec<GateEnd>) {
        self.belt.retain_mut(|on_belt| {
            if on_belt.waiting {
                ends.push(GateEnd { piece: on_belt.piece, fate: Fate::Lost });
            }
            on_belt.lost = !on_belt.confirmed;
            !on_belt.waiting
        });
    }

    /// What the PLC is told: how many pieces wait, and the next target that the belt has not reached.
    #[must_use]
    pub fn queue(&self) -> GateQueue {
        let ahead = |on_belt: &&OnBelt| self.position.is_none_or(|position| !position.has_passed(on_belt.target));
        GateQueue {
            waiting: u16::try_from(self.waiting()).unwrap_or(u16::MAX),
            next: self.belt.iter().filter(|on_belt| on_belt.waiting).find(ahead).map(|on_belt| on_belt.target),
        }
    }

    /// Rejected pieces whose end is not known.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.belt.iter().filter(|on_belt| on_belt.waiting).count()
    }

    fn insert(&mut self, on_belt: OnBelt) {
        let behind = self.belt.iter().rposition(|other| on_belt.target.beyond(other.target) >= 0);
        self.belt.insert(behind.map_or(0, |index| index + 1), on_belt);
    }
}

#[cfg(test)]
mod tests;
