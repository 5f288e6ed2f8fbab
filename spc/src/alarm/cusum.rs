//! Run lengths of the tabular CUSUM: zero state, head start, steady state, quantiles, and the interval for a wanted ARL.

use super::process::{Chain, Process, Survival, after_restarts, converged, drifting, parameter_for, quantile};
use super::{AlarmError, open_share, shift, wanted_length, within};
use crate::distribution::{normal_above, normal_below, normal_density};

/// Which way a CUSUM looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CusumSides {
    /// Upward only: `S = max(0, S + x − k)`.
    Upper,
    /// Two one-sided CUSUMs at once, the usual tabular scheme. Montgomery, section 9.1.
    Both,
    /// One signed sum that shrinks towards zero by `k`. R. B. Crosier, Technometrics 28 (1986) 187–194.
    Crosier,
}

/// A CUSUM of standardised observations: it signals when a sum exceeds the interval `h`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CusumDesign {
    reference: f64,
    interval: f64,
    head_start: f64,
    sides: CusumSides,
}

impl CusumDesign {
    /// With reference value `k` (half the shift that matters) and decision interval `h`, both in standard deviations.
    ///
    /// # Errors
    /// `reference` outside 0 … 10, `interval` outside 0.01 … 1000 or either not finite: [`AlarmError::Parameter`].
    pub fn new(reference: f64, interval: f64, sides: CusumSides) -> Result<Self, AlarmError> {
        within("the reference value k", reference, (0.0, 10.0), "between 0 and 10 standard deviations")?;
        within("the decision interval h", interval, (0.01, 1000.0), "between 0.01 and 1000 standard deviations")?;
        Ok(Self { reference, interval, head_start: 0.0, sides })
    }

    /// Starting each sum at this value instead of 0 (fast initial response; half of `h` is usual). J. M. Lucas, R. B. Crosier,
    /// Technometrics 24 (1982) 199–205.
    ///
    /// # Errors
    /// A head start outside `0 ..= h`: [`AlarmError::Parameter`].
    pub fn with_head_start(mut self, head_start: f64) -> Result<Self, AlarmError> {
        within("the head start", head_start, (0.0, self.interval), "between 0 and the decision interval")?;
        self.head_start = head_start;
        Ok(self)
    }

    /// The decision interval at which the in-control ARL is `run_length` samples, from a start at zero.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a run length outside 1 … 1e12 or a bad reference value, [`AlarmError::Unreachable`] if
    /// even the shortest interval runs longer.
    pub fn for_run_length(reference: f64, run_length: f64, sides: CusumSides) -> Result<Self, AlarmError> {
        Self::new(reference, 1.0, sides)?.with_interval_for(run_length)
    }

    /// The same scheme with the decision interval at which the in-control ARL is `run_length` samples; reference value and head
    /// start are kept.
    ///
    /// # Errors
    /// As [`CusumDesign::for_run_length`].
    pub fn with_interval_for(self, run_length: f64) -> Result<Self, AlarmError> {
        wanted_length(run_length)?;
        let narrowest = self.head_start.max(0.01);
        let at = |interval| Self { interval, ..self };
        let interval = parameter_for(run_length, (narrowest, narrowest + 40.0), |interval| at(interval).average(0.0))?;
        Ok(at(interval))
    }

    /// `k`, in standard deviations.
    #[must_use]
    pub const fn reference(&self) -> f64 {
        self.reference
    }

    /// `h`, in standard deviations.
    #[must_use]
    pub const fn interval(&self) -> f64 {
        self.interval
    }

    /// Expected number of samples until a signal when the mean has been off by `mean` standard deviations from the start.
    ///
    /// For [`CusumSides::Both`] the two one-sided run lengths are combined exactly: K. W. Kemp (1971); with head starts
    /// Lucas and Crosier 1982, equation (A.5).
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a shift beyond ±100, [`AlarmError::NeverEnds`], [`AlarmError::NotConverged`].
    pub fn average(&self, mean: f64) -> Result<f64, AlarmError> {
        shift(mean)?;
        converged(|fineness| match self.sides {
            CusumSides::Upper => self.one_sided(mean, fineness).map(|(_, started)| started),
            CusumSides::Crosier => {
                let crosier = Crosier { reference: self.reference, interval: self.interval, mean };
                Chain::of(&crosier, fineness).mean_from(&crosier, self.head_start)
            }
            CusumSides::Both => {
                let up = self.one_sided(mean, fineness);
                // In control both sides are the same chain.
                let down = if mean == 0.0 { up } else { self.one_sided(-mean, fineness) };
                combined(up, down)
            }
        })
    }

    /// Expected number of samples from a shift to its signal, when the shift by `mean` comes after a long time in control
    /// without a false signal (conditional steady state).
    ///
    /// # Errors
    /// As [`CusumDesign::average`]; [`AlarmError::Combination`] for the two-sided scheme, whose two sums have no common
    /// one-dimensional state.
    pub fn average_after_long(&self, mean: f64) -> Result<f64, AlarmError> {
        shift(mean)?;
        let (reference, interval) = (self.reference, self.interval);
        match self.sides {
            CusumSides::Both => Err(AlarmError::Combination("the steady state is offered for the upper and for Crosier's CUSUM")),
            CusumSides::Upper => steady(|mean| Upper { reference, interval, mean }, mean),
            CusumSides::Crosier => steady(|mean| Crosier { reference, interval, mean }, mean),
        }
    }

    /// Expected number of samples from a shift to its signal, when the shift by `mean` comes at any time long after the start of a
    /// chart that starts anew, at its head start, after each false signal (cyclical steady state).
    ///
    /// # Errors
    /// As [`CusumDesign::average_after_long`].
    pub fn average_after_restarts(&self, mean: f64) -> Result<f64, AlarmError> {
        shift(mean)?;
        let (reference, interval) = (self.reference, self.interval);
        match self.sides {
            CusumSides::Both => Err(AlarmError::Combination("the steady state is offered for the upper and for Crosier's CUSUM")),
            CusumSides::Upper => restarted(|mean| Upper { reference, interval, mean }, self.head_start, mean),
            CusumSides::Crosier => restarted(|mean| Crosier { reference, interval, mean }, self.head_start, mean),
        }
    }

    /// Expected number of samples until a signal when the mean leaves its place from the first sample on by `drift` standard
    /// deviations per sample, as a tool that wears.
    ///
    /// # Errors
    /// As [`CusumDesign::average_after_long`]; [`AlarmError::Parameter`] for a drift outside 0.00001 … 10, up or down.
    pub fn average_under_drift(&self, drift: f64) -> Result<f64, AlarmError> {
        let (reference, interval) = (self.reference, self.interval);
        match self.sides {
            CusumSides::Both => Err(AlarmError::Combination("run lengths under drift are offered for the upper and for Crosier's CUSUM")),
            CusumSides::Upper => drifting(|mean| Upper { reference, interval, mean }, self.head_start, drift),
            CusumSides::Crosier => drifting(|mean| Crosier { reference, interval, mean }, self.head_start, drift),
        }
    }

    /// Chance of no signal within the first `samples`, for a mean off by `mean` from the start.
    ///
    /// # Errors
    /// As [`CusumDesign::average_after_long`].
    pub fn survival(&self, mean: f64, samples: u32) -> Result<f64, AlarmError> {
        shift(mean)?;
        let (reference, interval) = (self.reference, self.interval);
        match self.sides {
            CusumSides::Both => Err(AlarmError::Combination("the survival is offered for the upper and for Crosier's CUSUM")),
            CusumSides::Upper => survival_of(&Upper { reference, interval, mean }, self.head_start, samples),
            CusumSides::Crosier => survival_of(&Crosier { reference, interval, mean }, self.head_start, samples),
        }
    }

    /// The run length that the share `share` of runs does not exceed, in samples.
    ///
    /// # Errors
    /// As [`CusumDesign::average_after_long`], and [`AlarmError::Parameter`] for a share outside 0 … 1.
    pub fn quantile(&self, mean: f64, share: f64) -> Result<u64, AlarmError> {
        shift(mean)?;
        open_share(share)?;
        let (reference, interval) = (self.reference, self.interval);
        match self.sides {
            CusumSides::Both => Err(AlarmError::Combination("quantiles are offered for the upper and for Crosier's CUSUM")),
            CusumSides::Upper => quantile_of(&Upper { reference, interval, mean }, self.head_start, share),
            CusumSides::Crosier => quantile_of(&Crosier { reference, interval, mean }, self.head_start, share),
        }
    }

    /// The ARL of the upper CUSUM from zero and from the head start.
    fn one_sided(&self, mean: f64, fineness: usize) -> Result<(f64, f64), AlarmError> {
        let upper = Upper { reference: self.reference, interval: self.interval, mean };
        let chain = Chain::of(&upper, fineness);
        Ok((chain.mean_from(&upper, 0.0)?, chain.mean_from(&upper, self.head_start)?))
    }
}

/// The ARL of two sums at once from each one's ARL from zero and from its head start. A side that practically never signals
/// does not matter.
pub(super) fn combined(up: Result<(f64, f64), AlarmError>, down: Result<(f64, f64), AlarmError>) -> Result<f64, AlarmError> {
    match (up, down) {
        (Ok((up, started_up)), Ok((down, started_down))) => {
            // Without products, which would overflow.
            Ok((started_up - up * (1.0 - started_down / down)) / (1.0 + up / down))
        }
        (Ok((_, started)), Err(AlarmError::NeverEnds)) | (Err(AlarmError::NeverEnds), Ok((_, started))) => Ok(started),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Mean delay after a long time in control; `process` gives the statistic at a mean.
pub(super) fn steady<P: Process>(process: impl Fn(f64) -> P, mean: f64) -> Result<f64, AlarmError> {
    converged(|fineness| {
        let settled = Chain::of(&process(0.0), fineness).settled()?;
        Ok(super::linear::dot(&settled, &Chain::of(&process(mean), fineness).means()?))
    })
}

/// Mean delay in a chart that starts anew at `start` after each false signal; `process` gives the statistic at a mean.
pub(super) fn restarted<P: Process>(process: impl Fn(f64) -> P, start: f64, mean: f64) -> Result<f64, AlarmError> {
    let (settled, moved) = (process(0.0), process(mean));
    converged(|fineness| {
        let (before, after) = (Chain::of(&settled, fineness), Chain::of(&moved, fineness));
        after_restarts((before.moves(), &before.row(&settled, start)), (after.moves(), &after.row(&moved, start)))
    })
}

/// Chance of no signal within the first `samples` from `start`.
pub(super) fn survival_of(process: &impl Process, start: f64, samples: u32) -> Result<f64, AlarmError> {
    let Some(before) = samples.checked_sub(1).and_then(|before| usize::try_from(before).ok()) else { return Ok(1.0) };
    converged(|fineness| {
        let chain = Chain::of(process, fineness);
        // An iterator without an end has an element of every number.
        Survival::new(chain.moves(), chain.row(process, start)).nth(before).ok_or(AlarmError::NotConverged)
    })
}

/// Quantile of the run length from `start`.
pub(super) fn quantile_of(process: &impl Process, start: f64, share: f64) -> Result<u64, AlarmError> {
    agreeing(|fineness| {
        let chain = Chain::of(process, fineness);
        quantile(Survival::new(chain.moves(), chain.row(process, start)), share)
    })
}

/// Refines a discretisation until two successive ones give the same whole number.
pub(super) fn agreeing(at: impl Fn(usize) -> Result<u64, AlarmError>) -> Result<u64, AlarmError> {
    let mut coarse = at(11)?;
    for fineness in [15, 21, 29] {
        let fine = at(fineness)?;
        if fine == coarse {
            return Ok(fine);
        }
        coarse = fine;
    }
    Err(AlarmError::NotConverged)
}

struct Upper {
    reference: f64,
    interval: f64,
    mean: f64,
}

impl Process for Upper {
    fn panels(&self) -> Vec<(f64, f64)> {
        vec![(0.0, self.interval)]
    }
    fn atom(&self) -> Option<f64> {
        Some(0.0)
    }
    fn density(&self, from: f64, to: f64) -> f64 {
        normal_density(to - from + self.reference - self.mean)
    }
    fn to_atom(&self, from: f64) -> f64 {
        normal_below(self.reference - from - self.mean)
    }
    fn signal(&self, from: f64) -> f64 {
        normal_above(self.interval - from + self.reference - self.mean)
    }
    fn scale(&self) -> f64 {
        1.0
    }
}

struct Crosier {
    reference: f64,
    interval: f64,
    mean: f64,
}

impl Process for Crosier {
    fn panels(&self) -> Vec<(f64, f64)> {
        vec![(-self.interval, 0.0), (0.0, self.interval)]
    }
    fn atom(&self) -> Option<f64> {
        Some(0.0)
    }
    fn density(&self, from: f64, to: f64) -> f64 {
        normal_density(to - from + self.reference.copysign(to) - self.mean)
    }
    fn to_atom(&self, from: f64) -> f64 {
        normal_below(self.reference - from - self.mean) - normal_below(-self.reference - from - self.mean)
    }
    fn signal(&self, from: f64) -> f64 {
        let far = self.interval + self.reference;
        normal_above(far - from - self.mean) + normal_below(-far - from - self.mean)
    }
    fn scale(&self) -> f64 {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arl(reference: f64, interval: f64, sides: CusumSides, mean: f64) -> f64 {
        CusumDesign::new(reference, interval, sides).unwrap().average(mean).unwrap()
    }

    /// As printed: L. C. Vance, Journal of Quality Technology 18 (1986) 189–193, table 1; SAS/QC manual 1999 (CUSUMARL);
    /// R. B. Crosier 1986, table 3. The tables carry their own discretisation error in the last digits.
    #[test]
    fn agrees_with_published_tables() {
        for (mean, printed) in [(-0.25, 2071.51), (0.0, 124.66), (0.25, 36.71), (1.0, 10.75)] {
            let got = arl(0.0, 10.0, CusumSides::Upper, mean);
            assert!((got / printed - 1.0).abs() <= 3e-4, "{mean}: {got} is not {printed}");
        }
        assert!((arl(0.25, 8.0, CusumSides::Upper, 2.5) - 4.150_083_622_5).abs() < 2e-6);
        assert!((arl(0.25, 8.0, CusumSides::Both, 2.5) - 4.150_082_671_5).abs() < 2e-6);
        let started = CusumDesign::new(0.25, 8.0, CusumSides::Upper).unwrap().with_head_start(0.1).unwrap();
        assert!((started.average(2.5).unwrap() - 4.106_158_813_1).abs() < 2e-6);
        for (mean, printed) in [(0.25, 70.7), (0.5, 25.1), (1.0, 7.92), (3.0, 2.09)] {
            assert!((arl(0.5, 3.73, CusumSides::Crosier, mean) / printed - 1.0).abs() < 0.005);
        }
        // Lucas and Crosier 1982, table 1: two-sided, h = 4, head start 2.
        let fir = CusumDesign::new(0.5, 4.0, CusumSides::Both).unwrap().with_head_start(2.0).unwrap();
        for (mean, printed) in [(0.0, 149.0), (0.5, 20.1), (1.0, 5.29), (2.0, 2.01)] {
            assert!((fir.average(mean).unwrap() / printed - 1.0).abs() < 0.004, "{mean}");
        }
    }

    /// A change that changes nothing comes at a random time between two false signals: its delay is that of a renewal process,
    /// `E[N (N + 1)] / (2 E[N])`. W. Feller, An Introduction to Probability Theory 2, 2nd edition, section XI.4.
    #[test]
    fn restarts_are_a_renewal_process() {
        let design = CusumDesign::new(0.5, 0.5, CusumSides::Upper).unwrap().with_head_start(0.3).unwrap();
        let survival: Vec<f64> = (0..200).map(|samples| design.survival(0.3, samples).unwrap()).collect();
        let average: f64 = survival.iter().sum();
        assert!((average - design.average(0.3).unwrap()).abs() < 1e-9);
        let survival: Vec<f64> = (0..200).map(|samples| design.survival(0.0, samples).unwrap()).collect();
        let (average, twice): (f64, f64) = (survival.iter().sum(), (1_u32..).zip(&survival).map(|(n, left)| f64::from(n) * left).sum());
        assert!((design.average_after_restarts(0.0).unwrap() - twice / average).abs() < 1e-8);
    }

    /// R package spc 0.6.7: `xDcusum.arl(0.25, 8, delta, r = 60, mode = "Knoth")`.
    #[test]
    fn a_drift_agrees_with_a_peer() {
        let design = CusumDesign::new(0.25, 8.0, CusumSides::Upper).unwrap();
        for (drift, printed) in [(0.1, 14.086_530_155_1), (1.0, 4.224_065_291_68)] {
            let got = design.average_under_drift(drift).unwrap();
            assert!((got / printed - 1.0_f64).abs() < 1e-9, "{got} is not {printed}");
        }
        assert!(design.average_under_drift(0.0).is_err());
    }

    #[test]
    fn a_head_start_is_kept_while_the_interval_is_sought() {
        let started = CusumDesign::new(0.5, 1.0, CusumSides::Both).unwrap().with_head_start(1.0).unwrap();
        let design = started.with_interval_for(200.0).unwrap();
        assert!((design.average(0.0).unwrap() / 200.0 - 1.0).abs() < 1e-9);
        assert!(design.interval() > CusumDesign::for_run_length(0.5, 200.0, CusumSides::Both).unwrap().interval());
    }

    #[test]
    fn a_design_meets_its_run_length_and_nonsense_is_named() {
        let design = CusumDesign::for_run_length(0.5, 465.0, CusumSides::Both).unwrap();
        assert!((design.average(0.0).unwrap() / 465.0 - 1.0).abs() < 1e-9);
        assert!((design.interval() - 5.0).abs() < 0.001);
        assert!(matches!(
            CusumDesign::new(f64::NAN, 4.0, CusumSides::Both),
            Err(AlarmError::Parameter { name: "the reference value k", .. })
        ));
        assert_eq!(CusumDesign::for_run_length(0.5, 1.001, CusumSides::Both), Err(AlarmError::Unreachable { run_length: 1.001 }));
        let long = CusumDesign::new(5.0, 100.0, CusumSides::Upper).unwrap();
        assert_eq!(long.average(0.0), Err(AlarmError::NeverEnds));
    }
}
