//! When inspection turns tightened, reduced, or stops: the switching rules of ISO 2859-1 as a state that each lot moves.
//!
//! ```text
//!                 2 of 5 lots not accepted            5th lot not accepted while tightened
//!   REDUCED <───> NORMAL ────────────────> TIGHTENED ─────────────────────────────────> DISCONTINUED
//!      score ≥ 30 and          5 accepted in a row ┘                supplier acted: back to tightened
//!      steady production
//! ```
//!
//! Invariants: only lots on original inspection count; a severity changes at most once per lot; nothing leads from
//! discontinued inspection but [`Switching::resume`].

use serde::{Deserialize, Serialize};

/// How hard lots are inspected now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inspection {
    /// Where every series starts.
    Normal,
    /// After 2 of 5 or fewer consecutive lots not accepted.
    Tightened,
    /// After a switching score of 30, with steady production and the responsible authority's consent.
    Reduced,
    /// Acceptance has stopped until the supplier has improved the process.
    Discontinued,
}

/// What came of one lot on original inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LotResult {
    /// The lot was accepted.
    pub accepted: bool,
    /// Acceptance number of the single plan that was used.
    pub accept: u32,
    /// The lot would also have been accepted at the next lower AQL. Read only for an acceptance number of 2 or more.
    pub one_step_tighter: bool,
    /// Production is steady, and the responsible authority holds reduced inspection desirable.
    pub steady: bool,
}

/// Limit of the switching score (ISO 2859-1:1999, 9.3.3.1).
const SCORE_FOR_REDUCED: u32 = 30;

/// The state of a series of lots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switching {
    inspection: Inspection,
    score: u32,
    /// The last five lots on this severity, newest in the lowest bit; set: not accepted.
    recent: u8,
    accepted_in_a_row: u32,
    not_accepted_while_tightened: u32,
}

impl Default for Switching {
    fn default() -> Self {
        Self { inspection: Inspection::Normal, score: 0, recent: 0, accepted_in_a_row: 0, not_accepted_while_tightened: 0 }
    }
}

impl Switching {
    /// How the next lot is inspected.
    #[must_use]
    pub const fn inspection(&self) -> Inspection {
        self.inspection
    }

    /// The switching score: 3 more per lot accepted one AQL step tighter (2 more per accepted lot where the acceptance number is
    /// 0 or 1), back to 0 otherwise. Counted on normal inspection only.
    #[must_use]
    pub const fn score(&self) -> u32 {
        self.score
    }

    /// Takes a lot's result in and gives the inspection of the next lot. Results while discontinued change nothing.
    ///
    /// Source: ISO 2859-1:1999, clauses 9.3.1 (tightened), 9.3.2 (back to normal), 9.3.3 (reduced, switching score for single
    /// plans), 9.3.4 (back to normal), 9.4 (discontinuation).
    pub fn push(&mut self, lot: LotResult) -> Inspection {
        self.recent = ((self.recent << 1) | u8::from(!lot.accepted)) & 0b1_1111;
        self.accepted_in_a_row = if lot.accepted { self.accepted_in_a_row.saturating_add(1) } else { 0 };
        match self.inspection {
            Inspection::Normal => {
                let (points, earned) = if lot.accept >= 2 { (3, lot.accepted && lot.one_step_tighter) } else { (2, lot.accepted) };
                self.score = if earned { self.score.saturating_add(points) } else { 0 };
                if self.recent.count_ones() >= 2 {
                    self.turn(Inspection::Tightened);
                } else if self.score >= SCORE_FOR_REDUCED && lot.steady {
                    self.turn(Inspection::Reduced);
                }
            }
            Inspection::Tightened => {
                self.not_accepted_while_tightened += u32::from(!lot.accepted);
                if self.not_accepted_while_tightened >= 5 {
                    self.turn(Inspection::Discontinued);
                } else if self.accepted_in_a_row >= 5 {
                    self.turn(Inspection::Normal);
                }
            }
            Inspection::Reduced if !lot.accepted || !lot.steady => self.turn(Inspection::Normal),
            Inspection::Reduced | Inspection::Discontinued => {}
        }
        self.inspection
    }

    /// The supplier has acted and the authority agrees: inspection goes on, tightened. Changes nothing unless discontinued.
    pub fn resume(&mut self) {
        if self.inspection == Inspection::Discontinued {
            self.turn(Inspection::Tightened);
        }
    }

    fn turn(&mut self, inspection: Inspection) {
        *self = Self { inspection, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(accepted: bool) -> LotResult {
        LotResult { accepted, accept: 2, one_step_tighter: accepted, steady: true }
    }

    fn after(results: &str) -> Inspection {
        let mut switching = Switching::default();
        results.chars().for_each(|result| {
            switching.push(lot(result == '+'));
        });
        switching.inspection()
    }

    #[test]
    fn two_of_five_turn_it_tightened() {
        assert_eq!(after("+-++++-"), Inspection::Normal);
        assert_eq!(after("+-++-"), Inspection::Tightened);
        assert_eq!(after("--"), Inspection::Tightened);
    }

    #[test]
    fn five_in_a_row_turn_it_back() {
        assert_eq!(after("--++++"), Inspection::Tightened);
        assert_eq!(after("--+++++"), Inspection::Normal);
        // The lots before the change do not count again.
        assert_eq!(after("--+++++-"), Inspection::Normal);
    }

    #[test]
    fn the_fifth_lot_not_accepted_stops_it() {
        assert_eq!(after("---+--+-"), Inspection::Tightened);
        assert_eq!(after("---+--+--"), Inspection::Discontinued);
        assert_eq!(after("---+--+--+++++"), Inspection::Discontinued);
        let mut switching = Switching { inspection: Inspection::Discontinued, ..Switching::default() };
        switching.resume();
        assert_eq!(switching.inspection(), Inspection::Tightened);
    }

    #[test]
    fn ten_clean_lots_earn_reduced_and_one_bad_lot_loses_it() {
        assert_eq!(after("+++++++++"), Inspection::Normal);
        assert_eq!(after("++++++++++"), Inspection::Reduced);
        assert_eq!(after("++++++++++-"), Inspection::Normal);
        let mut small = Switching::default();
        for count in 1..=15 {
            let state = small.push(LotResult { accepted: true, accept: 0, one_step_tighter: false, steady: true });
            assert_eq!(state == Inspection::Reduced, count == 15, "{count}");
        }
        assert_eq!(small.push(LotResult { steady: false, ..lot(true) }), Inspection::Normal);
    }

    #[test]
    fn unsteady_production_keeps_normal() {
        let mut switching = Switching::default();
        for _ in 0..20 {
            assert_eq!(switching.push(LotResult { steady: false, ..lot(true) }), Inspection::Normal);
        }
        assert_eq!(switching.score(), 60);
    }
}
