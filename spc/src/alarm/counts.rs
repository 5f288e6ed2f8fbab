//! Run lengths of charts for counted data: the EWMA of binomial counts on a rounded scale and the CUSUM of Poisson counts.
//! Both are Markov chains with finitely many states, so that nothing is approximated.

use super::cusum::combined;
use super::linear::Moves;
use super::process::means;
use super::quadrature::number;
use super::{AlarmError, wanted_length, within};
use crate::distribution::ln_gamma;

/// More states than this would fill the memory.
const STATES_MAX: usize = 4000;

/// An EWMA of nonconforming counts, `z = (1−λ) z + λ x`, rounded after each sample to a multiple of `1/resolution` (upward at
/// ties); it signals outside its limits.
///
/// F. F. Gan, Journal of Statistical Computation and Simulation 37 (1990) 45–60: rounding makes it a finite chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BinomialEwmaDesign {
    weight: f64,
    lower: Option<f64>,
    upper: Option<f64>,
    start: f64,
    resolution: u32,
}

impl BinomialEwmaDesign {
    /// With the weight `λ`, limits in pieces (at least one), the start (usually the expected count) and steps per piece.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`]: a weight outside 0.001 … 1, limits that are negative or beyond 1e6 or leave more than 4000
    /// states, a start that is not between them; [`AlarmError::Combination`] without any limit.
    pub fn new(weight: f64, (lower, upper): (Option<f64>, Option<f64>), start: f64, resolution: u32) -> Result<Self, AlarmError> {
        within("the weight λ", weight, (0.001, 1.0), "between 0.001 and 1")?;
        if lower.is_none() && upper.is_none() {
            return Err(AlarmError::Combination("a chart without limits never signals"));
        }
        let low = within("the lower limit", lower.unwrap_or(0.0), (0.0, 1e6), "between 0 and 1e6 pieces")?;
        let high = within("the upper limit", upper.unwrap_or(1e6), (low, 1e6), "between the lower limit and 1e6 pieces")?;
        within("the start", start, (low, high), "between the limits")?;
        within("the resolution", f64::from(resolution), (1.0, 1e4), "between 1 and 10000 steps per piece")?;
        Ok(Self { weight, lower, upper, start, resolution })
    }

    /// Expected number of samples of `size` pieces until a signal when each is nonconforming with probability `share`.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a size outside 1 … 10000 or a share outside 0 … 1, [`AlarmError::NeverEnds`].
    pub fn average(&self, size: u32, share: f64) -> Result<f64, AlarmError> {
        within("the sample size", f64::from(size), (1.0, 1e4), "between 1 and 10000 pieces")?;
        within("the share nonconforming", share, (0.0, 1.0), "between 0 and 1")?;
        let steps = f64::from(self.resolution);
        // Rounding can leave the statistic on the last step inside a limit and never beyond it.
        let lowest = self.lower.map_or(0.0, |limit| (limit * steps).ceil());
        let highest = self.upper.map_or(f64::from(size) * steps, |limit| (limit * steps).floor());
        let count = whole(highest - lowest).filter(|count| *count < STATES_MAX);
        let Some(count) = count else {
            return Err(AlarmError::Combination("more than 4000 steps between the limits: choose a coarser resolution"));
        };
        let chances = binomial(size, share);
        let row = |state: f64| {
            let (mut row, mut signal) = (vec![0.0; count + 1], 0.0);
            for (pieces, chance) in (0..).map(f64::from).zip(&chances) {
                let next = nearest((1.0 - self.weight) * state + self.weight * pieces * steps);
                match whole(next - lowest).filter(|index| *index <= count) {
                    Some(index) => row[index] += chance,
                    None => signal += chance,
                }
            }
            (row, signal)
        };
        let moves = Moves::from_rows((0..=count).map(|index| row(lowest + number(index))));
        let (first, _) = row(nearest(self.start * steps));
        Ok(1.0 + super::linear::dot(&first, &means(&moves)?))
    }
}

/// The nearest step, upward at ties; decimal weights such as 0.1 miss a tie by rounding.
fn nearest(steps: f64) -> f64 {
    (steps + 0.5 + 1e-9).floor()
}

/// The probabilities of 0, 1, …, `size` successes.
fn binomial(size: u32, share: f64) -> Vec<f64> {
    let size = f64::from(size);
    let mut probabilities = Vec::new();
    let mut count = 0.0;
    while count <= size {
        let ways = ln_gamma(size + 1.0) - ln_gamma(count + 1.0) - ln_gamma(size - count + 1.0);
        let power = |base: f64, exponent: f64| if exponent == 0.0 { 0.0 } else { exponent * base.ln() };
        probabilities.push((ways + power(share, count) + power(1.0 - share, size - count)).exp());
        count += 1.0;
    }
    probabilities
}

/// A number that is whole and not negative, as an index.
fn whole(number: f64) -> Option<usize> {
    if !(0.0..1e7).contains(&number) {
        return None;
    }
    // There is no lossless cast; the range is small.
    let (mut low, mut high) = (0_u32, 10_000_000_u32);
    while low < high {
        let middle = low.midpoint(high);
        if f64::from(middle) >= number { high = middle } else { low = middle + 1 }
    }
    usize::try_from(low).ok()
}

/// A one-sided CUSUM of Poisson counts on a grid of `1/denominator`: upward `max(0, s + x − k)`, downward `max(0, s − x + k)`; it
/// signals when the sum exceeds `h`. J. M. Lucas, Technometrics 27 (1985) 129–144, whose charts signal at `h` already: there take
/// one step less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoissonCusumDesign {
    reference: u32,
    interval: u32,
    denominator: u32,
    head_start: u32,
    upward: bool,
}

impl PoissonCusumDesign {
    /// With reference value `k = reference/denominator` and interval `h = interval/denominator`, in events.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a denominator of zero, above 10000 or an interval above 4000 steps.
    pub fn new(reference: u32, interval: u32, denominator: u32, upward: bool) -> Result<Self, AlarmError> {
        within("the denominator", f64::from(denominator), (1.0, 1e4), "between 1 and 10000")?;
        within("the decision interval in steps", f64::from(interval), (0.0, number(STATES_MAX)), "at most 4000")?;
        within("the reference value in steps", f64::from(reference), (0.0, 1e8), "at most 1e8")?;
        Ok(Self { reference, interval, denominator, head_start: 0, upward })
    }

    /// Starting at this many steps instead of 0.
    ///
    /// # Errors
    /// A head start beyond the interval: [`AlarmError::Parameter`].
    pub fn with_head_start(mut self, head_start: u32) -> Result<Self, AlarmError> {
        within("the head start", f64::from(head_start), (0.0, f64::from(self.interval)), "at most the decision interval")?;
        self.head_start = head_start;
        Ok(self)
    }

    /// Expected number of samples until a signal when `mean` events are expected per sample.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a mean outside 0 … 1e4, [`AlarmError::NeverEnds`].
    pub fn average(&self, mean: f64) -> Result<f64, AlarmError> {
        let means = self.means(mean)?;
        Ok(means[usize::try_from(self.head_start).unwrap_or(0)])
    }

    /// Expected number of samples until this scheme or `other`, which looks the other way, signals first.
    ///
    /// Combined from each one's own run length: J. M. Lucas, R. B. Crosier, Technometrics 24 (1982) 199–205, equation (A.5). Exact
    /// where the intervals differ by no more than the reference values do, so that one sum is at 0 whenever the other signals; else
    /// a close approximation.
    ///
    /// # Errors
    /// As [`PoissonCusumDesign::average`]; [`AlarmError::Combination`] where both look the same way.
    pub fn average_with(&self, other: &Self, mean: f64) -> Result<f64, AlarmError> {
        if self.upward == other.upward {
            return Err(AlarmError::Combination("a two-sided scheme is an upward and a downward CUSUM"));
        }
        let of = |design: &Self| design.means(mean).map(|means| (means[0], means[usize::try_from(design.head_start).unwrap_or(0)]));
        combined(of(self), of(other))
    }

    /// The same scheme with the shortest interval at which the ARL at `mean` events per sample is at least `run_length` samples;
    /// counts come in steps, so that an exact run length cannot be had.
    ///
    /// # Errors
    /// As [`PoissonCusumDesign::average`]; [`AlarmError::Unreachable`] if 1000 steps are too few.
    pub fn with_interval_for(self, run_length: f64, mean: f64) -> Result<Self, AlarmError> {
        wanted_length(run_length)?;
        let at = |interval| Self { interval, ..self };
        let enough = |interval| match at(interval).average(mean) {
            Ok(average) => Ok(average >= run_length),
            Err(AlarmError::NeverEnds) => Ok(true),
            Err(error) => Err(error),
        };
        let (mut short, mut long) = (self.head_start, self.head_start.max(1));
        while !enough(long)? {
            if long >= 1000 {
                return Err(AlarmError::Unreachable { run_length });
            }
            (short, long) = (long + 1, (2 * long).min(1000));
        }
        while short < long {
            let middle = short.midpoint(long);
            if enough(middle)? { long = middle } else { short = middle + 1 }
        }
        Ok(at(long))
    }

    /// The decision interval in steps.
    #[must_use]
    pub const fn interval(&self) -> u32 {
        self.interval
    }

    /// The expected run length from every step.
    fn means(&self, mean: f64) -> Result<Vec<f64>, AlarmError> {
        within("the expected count", mean, (0.0, 1e4), "between 0 and 10000 events")?;
        let chances = poisson(mean);
        let row = |state: u32| {
            let (mut row, mut signal) = (vec![0.0; self.states()], 0.0);
            let mut total = 0.0;
            for (events, chance) in (0_u64..).zip(&chances) {
                let (up, down) = (events * u64::from(self.denominator), u64::from(self.reference));
                let (up, down) = if self.upward { (up, down) } else { (down, up) };
                let next = (u64::from(state) + up).saturating_sub(down);
                match usize::try_from(next).ok().filter(|index| *index < row.len()) {
                    Some(index) => row[index] += chance,
                    None => signal += chance,
                }
                total += chance;
            }
            // The counts left out are so large that upward they signal and downward they reset.
            let rest = f64::max(1.0 - total, 0.0);
            if self.upward {
                signal += rest
            } else {
                row[0] += rest
            }
            (row, signal)
        };
        let moves = Moves::from_rows((0..=self.interval).map(row));
        means(&moves)
    }

    fn states(&self) -> usize {
        usize::try_from(self.interval).unwrap_or(STATES_MAX) + 1
    }
}

/// The probabilities of 0, 1, 2, … events, until nothing is left that double precision could see.
pub(super) fn poisson(mean: f64) -> Vec<f64> {
    if mean == 0.0 {
        return vec![1.0];
    }
    let mut probabilities = Vec::new();
    let mut count = 0.0;
    loop {
        let probability = (count * mean.ln() - mean - ln_gamma(count + 1.0)).exp();
        probabilities.push(probability);
        if count > mean && probability < 1e-30 {
            return probabilities;
        }
        count += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// J. M. Lucas 1985, tables 2 to 5: k = 0.25, h = 10, mean 0.25; upward 438 and with head start 333, downward 437 and 318.
    #[test]
    fn the_published_cusum_run_lengths() {
        let design = |upward| PoissonCusumDesign::new(1, 39, 4, upward).unwrap();
        let started = |upward| design(upward).with_head_start(20).unwrap();
        for (design, printed) in [(design(true), 438.0), (started(true), 333.0), (design(false), 437.0), (started(false), 318.0)] {
            let got = design.average(0.25).unwrap();
            assert!((got / printed - 1.0).abs() < 0.003, "{got} is not {printed}");
        }
    }

    /// Against a chain of both sums at once, as far as its survival goes.
    #[test]
    fn two_sides_are_combined_exactly() {
        let (upper, lower) = (PoissonCusumDesign::new(6, 19, 4, true).unwrap(), PoissonCusumDesign::new(3, 17, 4, false).unwrap());
        let chances = poisson(1.2);
        let mut states = std::collections::BTreeMap::from([((0, 0), 1.0)]);
        let mut average = 0.0;
        while states.values().sum::<f64>() > 1e-10 {
            average += states.values().sum::<f64>();
            let mut next = std::collections::BTreeMap::new();
            for ((up, down), share) in states {
                for (events, chance) in (0_i32..).zip(&chances).take(30) {
                    let (up, down) = ((up + 4 * events - 6).max(0), (down - 4 * events + 3).max(0));
                    if up <= 19 && down <= 17 {
                        *next.entry((up, down)).or_insert(0.0) += share * chance;
                    }
                }
            }
            states = next;
        }
        assert!((upper.average_with(&lower, 1.2).unwrap() / average - 1.0).abs() < 1e-9, "{average}");
        assert!(upper.average_with(&upper, 1.2).is_err());
    }

    #[test]
    fn the_shortest_interval_that_keeps_a_run_length() {
        let design = PoissonCusumDesign::new(6, 1, 4, true).unwrap().with_interval_for(500.0, 1.0).unwrap();
        let shorter = PoissonCusumDesign::new(6, design.interval() - 1, 4, true).unwrap();
        assert!(design.average(1.0).unwrap() >= 500.0 && shorter.average(1.0).unwrap() < 500.0, "{design:?}");
        let never = PoissonCusumDesign::new(1, 1, 4, true).unwrap().with_interval_for(1e9, 1.0);
        assert_eq!(never, Err(AlarmError::Unreachable { run_length: 1e9 }));
    }

    /// With all weight on the newest sample the chart is an np chart: 1 / P(X > limit).
    #[test]
    fn a_weight_of_one_is_an_np_chart() {
        let design = BinomialEwmaDesign::new(1.0, (None, Some(4.0)), 1.0, 1).unwrap();
        let signal = 1.0 - crate::distribution::binomial_up_to(4.0, 50.0, 0.02);
        assert!((design.average(50, 0.02).unwrap() * signal - 1.0).abs() < 1e-10);
        assert_eq!(design.average(50, 0.0), Err(AlarmError::NeverEnds));
        assert!(BinomialEwmaDesign::new(1.0, (None, None), 1.0, 1).is_err());
    }
}
