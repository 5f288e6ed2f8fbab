//! A running sum that does not lose small addends, because phase I limits are frozen for months.
//!
//! Invariants: finite addends whose total stays in range give a finite sum; scaling every addend by a power of two
//! scales the sum exactly (barring underflow).

use serde::{Deserialize, Serialize};

/// Compensated sum. Source: A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen",
/// ZAMM 54 (1974) 39–51, algorithm IV.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    #[inline]
    pub(crate) fn add(&mut self, addend: f64) {
        // What the rounded total lost, exactly, without asking which operand was larger (TwoSum; Knuth, The Art of
        // Computer Programming 2, 4.2.2, theorem B).
        let total = self.total + addend;
        let taken = total - self.total;
        self.lost += (self.total - (total - taken)) + (addend - taken);
        self.total = total;
    }

    pub(crate) fn value(self) -> f64 {
        self.total + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn keeps_what_a_plain_sum_loses() {
        let mut sum = Sum::default();
        for addend in [1.0, 1e100, 1.0, -1e100] {
            sum.add(addend);
        }
        assert_eq!(sum.value(), 2.0);
    }
}
