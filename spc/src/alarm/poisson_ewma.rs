//! Run lengths of the EWMA of Poisson counts, `z = (1−λ) z + λ x`: events per sample, defects per piece.
//!
//! The statistic takes more values than any chain has states, so the range between the limits is cut into cells; a cell moves to
//! where its ends move, and what it holds is shared out by overlap. Sources: C. M. Borror, C. W. Champ, S. E. Rigdon, Journal of
//! Quality Technology 30 (1998) 352–361 (the chart and a chain by midpoints); M. C. Morais, S. Knoth, Quality and Reliability
//! Engineering International 36 (2020) 876–889, who improve its accuracy.
//!
//! Invariant: this is an approximation whose error falls with the number of cells, the only one in this module: at 101 cells a few
//! thousandths, at 501 some ten-thousandths.

use super::counts::poisson;
use super::linear::{Moves, dot};
use super::process::{means, settled};
use super::quadrature::number;
use super::{AlarmError, within};

/// Which way an EWMA of counts looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CountSides {
    /// Signals outside both limits.
    Both,
    /// Signals above the upper limit and is held at or above the lower one; at 0 that never matters.
    Upper,
    /// Signals below the lower limit and is held at or below the upper one.
    Lower,
}

/// An EWMA of Poisson counts with fixed limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoissonEwmaDesign {
    weight: f64,
    lower: f64,
    upper: f64,
    start: f64,
    sides: CountSides,
    cells: usize,
}

impl PoissonEwmaDesign {
    /// With the weight `λ` of the newest count and limits `lower` and `upper`, in events; it starts at `start`, usually the expected
    /// count. Limits at `A` standard deviations are `μ ± A √(λ μ / (2 − λ))`. It computes with 501 cells.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`]: a weight outside 0.001 … 1, limits beyond ±1e4 or in the wrong order, a start that is not between
    /// them.
    pub fn new(weight: f64, (lower, upper): (f64, f64), start: f64, sides: CountSides) -> Result<Self, AlarmError> {
        within("the weight λ", weight, (0.001, 1.0), "between 0.001 and 1")?;
        within("the lower limit", lower, (-1e4, 1e4), "between -1e4 and 1e4 events")?;
        within("the upper limit", upper, (lower + 1e-6, 1e4), "above the lower one and at most 1e4 events")?;
        within("the start", start, (lower, upper), "between the limits")?;
        Ok(Self { weight, lower, upper, start, sides, cells: 501 })
    }

    /// With another number of cells between the limits.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for less than 11 or more than 2001.
    pub fn with_cells(self, cells: u32) -> Result<Self, AlarmError> {
        within("the number of cells", f64::from(cells), (11.0, 2001.0), "between 11 and 2001")?;
        Ok(Self { cells: usize::try_from(cells).unwrap_or(2001), ..self })
    }

    /// Expected number of samples until a signal when `mean` events are expected per sample.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a mean outside 0 … 1e4, [`AlarmError::NeverEnds`].
    pub fn average(&self, mean: f64) -> Result<f64, AlarmError> {
        Ok(means(&self.moves(mean)?)?[self.cell(self.start)])
    }

    /// Expected number of samples from a change to its signal, when `mean` events are expected per sample after a long time with
    /// `in_control`, without a false signal (conditional steady state).
    ///
    /// # Errors
    /// As [`PoissonEwmaDesign::average`].
    pub fn average_after_long(&self, in_control: f64, mean: f64) -> Result<f64, AlarmError> {
        Ok(dot(&settled(&self.moves(in_control)?)?, &means(&self.moves(mean)?)?))
    }

    /// The cell that holds a value between the limits.
    fn cell(&self, value: f64) -> usize {
        (1..self.cells).filter(|cell| self.end(*cell) <= value).count()
    }

    fn end(&self, cell: usize) -> f64 {
        self.lower + number(cell) / number(self.cells) * (self.upper - self.lower)
    }

    fn moves(&self, mean: f64) -> Result<Moves, AlarmError> {
        within("the expected count", mean, (0.0, 1e4), "between 0 and 10000 events")?;
        let chances = poisson(mean);
        Ok(Moves::from_rows((0..self.cells).map(|cell| self.row(cell, &chances))))
    }

    fn row(&self, cell: usize, chances: &[f64]) -> (Vec<f64>, f64) {
        let (mut row, mut signal) = (vec![0.0; self.cells], 0.0);
        let (last, kept) = (self.cells - 1, 1.0 - self.weight);
        let width = kept * (self.end(cell + 1) - self.end(cell));
        for (events, chance) in (0_u32..).map(f64::from).zip(chances) {
            let low = kept * self.end(cell) + self.weight * events;
            let high = low + width;
            // What lies outside, as a share of the cell; with all weight on the newest count a cell moves to a point.
            let share = |length: f64| if width > 0.0 { (length / width).clamp(0.0, 1.0) } else { f64::from(u8::from(length > 0.0)) };
            let (below, above) = (share(self.lower - low), share(high - self.upper));
            match self.sides {
                CountSides::Both => signal += chance * (below + above),
                CountSides::Upper => {
                    row[0] += chance * below;
                    signal += chance * above;
                }
                CountSides::Lower => {
                    signal += chance * below;
                    row[last] += chance * above;
                }
            }
            if low > self.upper || high < self.lower {
                continue;
            }
            let (first, end) = (self.cell(low.max(self.lower)), self.cell(high.min(self.upper)));
            for (target, moved) in row.iter_mut().enumerate().take(end + 1).skip(first) {
                let overlap = high.min(self.end(target + 1)) - low.max(self.end(target));
                *moved += chance * if width > 0.0 { share(overlap) } else { 1.0 };
            }
        }
        (row, signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design(weight: f64, factor: f64, in_control: f64, sides: CountSides) -> PoissonEwmaDesign {
        let distance = factor * (weight * in_control / (2.0 - weight)).sqrt();
        let limits = (in_control - distance, in_control + distance);
        PoissonEwmaDesign::new(weight, limits, in_control, sides).unwrap()
    }

    /// R package spc 0.6.7, by its default design: `pois.ewma.arl(0.2, 3, 3, 4, 4, 4)` with N = 101 and 201, `sided = "upper"` and
    /// `"lower"` (whose upper chart has no barrier but 0); `pois.ewma.arl(0.2, 3, 3, 20, 20, 24)`; `pois.ewma.arl(0.5, 3, 3, 1, 1, 1)`, whose lower limit is below 0.
    #[test]
    fn agrees_with_a_peer() {
        let four = |sides, cells| design(0.2, 3.0, 4.0, sides).with_cells(cells).unwrap();
        let of = |weight, in_control| design(weight, 3.0, in_control, CountSides::Both).with_cells(101).unwrap();
        let both = four(CountSides::Both, 101);
        let upper = PoissonEwmaDesign::new(0.2, (0.0, both.upper), 4.0, CountSides::Upper).unwrap().with_cells(101).unwrap();
        for (design, mean, printed) in [
            (both, 4.0, 499.9319),
            (four(CountSides::Both, 201), 4.0, 501.1882),
            (upper, 4.0, 563.3493),
            (four(CountSides::Lower, 101), 4.0, 4448.779),
            (of(0.2, 20.0), 24.0, 12.730_25),
            (of(0.5, 1.0), 1.0, 155.2562),
        ] {
            let got = design.average(mean).unwrap();
            assert!((got / printed - 1.0_f64).abs() < 1e-6, "{got} is not {printed}");
        }
    }

    #[test]
    fn a_long_run_has_lost_its_start_and_nonsense_is_named() {
        let four = design(0.2, 3.0, 4.0, CountSides::Both).with_cells(101).unwrap();
        let (fresh, settled) = (four.average(6.0).unwrap(), four.average_after_long(4.0, 6.0).unwrap());
        assert!((settled / fresh - 1.0).abs() < 0.1, "{settled}");
        assert!(four.average_after_long(4.0, 4.0).unwrap() < four.average(4.0).unwrap());
        assert!(PoissonEwmaDesign::new(0.2, (2.0, 6.0), 7.0, CountSides::Both).is_err());
        assert!(matches!(design(0.2, 3.0, 4.0, CountSides::Both).average(f64::NAN), Err(AlarmError::Parameter { .. })));
    }
}
