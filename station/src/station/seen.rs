//! What was seen of a piece, or not: from here a piece has what it needs for its verdict, or never will.
//!
//! Invariant: what comes too late, or of another piece, finds nothing and changes nothing.

use super::{Effect, Open, Station};
use crate::frame_set::Standing;
use crate::inspection::{Inspection, Miss, MissReason};
use crate::judge::{hold, hold_for, judge};
use crate::piece::PieceId;
use crate::units::Timestamp;
use crate::verdict::Reason;
use std::sync::Arc;

impl Station {
    pub(super) fn seen(&mut self, inspection: &Arc<Inspection>, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(index) = self.find_open(inspection.piece, inspection.acquisition) else { return };
        let recipe = Arc::clone(&self.setup.recipe);
        let standing = match (&recipe.frame_set, self.open.get_mut(index)) {
            (Some(set), Some(open)) => set.hear(&recipe, &mut open.heard, inspection),
            _ => Standing::Whole(Arc::clone(inspection)),
        };
        if matches!(standing, Standing::Waiting) {
            return;
        }
        let Some(open) = self.open.remove(index) else { return };
        match standing {
            Standing::Whole(inspection) => self.close_seen(open, &inspection, now, effects),
            Standing::Broken(reasons) => self.close(open, None, hold_for(reasons), now, effects),
            Standing::Waiting => {}
        }
    }

    fn close_seen(&mut self, mut open: Open, inspection: &Arc<Inspection>, now: Timestamp, effects: &mut Vec<Effect>) {
        for measured in &inspection.measurements {
            open.readings.retain(|reading| reading.tag != measured.tag);
            open.readings.push(measured.clone());
        }
        let judgement = judge(&self.setup.recipe, inspection, &open.readings);
        self.close(open, Some(inspection), judgement, now, effects);
    }

    pub(super) fn missed(&mut self, miss: Miss, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(open) = self.find_open(miss.piece, miss.acquisition).and_then(|index| self.open.remove(index)) else { return };
        let Miss { reason, camera, .. } = miss;
        let reason = camera.map_or(Reason::Missed(reason), |camera| Reason::MissedBy { camera, reason });
        self.close(open, None, hold_for(vec![reason]), now, effects);
    }

    pub(super) fn close_late_pieces(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let recipe = Arc::clone(&self.setup.recipe);
        while self.open.front().is_some_and(|open| now.since(open.arrived_at) > recipe.verdict_deadline) {
            if let Some(open) = self.open.pop_front() {
                let late = recipe.frame_set.as_ref().map(|set| hold_for(set.not_heard(&open.heard)));
                self.close(open, None, late.unwrap_or_else(|| hold(MissReason::Deadline)), now, effects);
            }
        }
    }

    /// What comes too late finds nothing, even if another piece has the same number by now.
    fn find_open(&self, piece: PieceId, acquisition: u16) -> Option<usize> {
        self.open.iter().position(|open| open.arrival.piece == piece && open.arrival.acquisition == acquisition)
    }
}
