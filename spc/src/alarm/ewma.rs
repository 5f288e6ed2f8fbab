//! Run lengths of the EWMA: fixed and exact time-varying limits, fast initial response, steady state, quantiles, and the
//! width for a wanted ARL.

use super::cusum::{agreeing, restarted, steady};
use super::linear::{Moves, dot};
use super::process::{Chain, Process, Survival, converged, drifting, node_count, parameter_for, quantile};
use super::quadrature::Quadrature;
use super::{AlarmError, Observations, open_share, shift, wanted_length, within};
use crate::distribution::{normal_below, normal_density};

/// Which way an EWMA looks.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum EwmaSides {
    /// Upward only; the statistic is held at or above a barrier.
    Upper {
        /// The barrier, in asymptotic standard deviations of the statistic; below the upper limit. 0 is usual.
        barrier: f64,
    },
    /// Both ways, with limits at equal distances.
    Both,
}

/// How the distance of the limits develops from the first sample on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EwmaLimits {
    /// Asymptotic limits from the start: `L √(λ/(2−λ))`.
    Fixed,
    /// The statistic's own standard deviation at sample `t`: `L √(λ/(2−λ) · (1 − (1−λ)²ᵗ))`. Montgomery, equation (9.25).
    Exact,
    /// Two statistics start at ± the head start and only one limit each is watched; the limits are asymptotic. J. M. Lucas,
    /// M. S. Saccucci, Technometrics 32 (1990) 1–12, section 4.
    HeadStart,
    /// The same with exact limits. T. R. Rhoads, D. C. Montgomery, C. M. Mastrangelo, Quality Engineering 9 (1996) 317–327.
    ExactHeadStart,
    /// Asymptotic limits; the first sample counts with the weight `√(λ/(2−λ))` instead of `λ`, so that the statistic has its asymptotic
    /// standard deviation from the start. A head start has no meaning here.
    Stationary,
    /// Exact limits times `1 − 0.5^(1 + a (t−1))` with `a = (2/log₁₀ 2 − 1)/19`. S. H. Steiner, Journal of Quality Technology
    /// 31 (1999) 75–86.
    Steiner,
}

/// An EWMA of standardised observations, `z = (1−λ) z + λ x`: it signals when `z` leaves its limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EwmaDesign {
    weight: f64,
    width: f64,
    sides: EwmaSides,
    limits: EwmaLimits,
    head_start: f64,
    observations: Observations,
}

impl EwmaDesign {
    /// With the weight `λ` of the newest sample and limits at `width` (`L`) standard deviations of the statistic, fixed.
    ///
    /// # Errors
    /// A weight outside 0.001 … 1, a width outside 0.01 … 20, a barrier outside −20 … the width: [`AlarmError::Parameter`].
    pub fn new(weight: f64, width: f64, sides: EwmaSides) -> Result<Self, AlarmError> {
        within("the weight λ", weight, (0.001, 1.0), "between 0.001 and 1")?;
        within("the width L", width, (0.01, 20.0), "between 0.01 and 20 standard deviations")?;
        if let EwmaSides::Upper { barrier } = sides {
            within("the barrier", barrier, (-20.0, width - 1e-6), "between -20 and the width, in standard deviations of the EWMA")?;
        }
        Ok(Self { weight, width, sides, limits: EwmaLimits::Fixed, head_start: 0.0, observations: Observations::Normal })
    }

    /// Starting at this many asymptotic standard deviations of the statistic instead of 0.
    ///
    /// # Errors
    /// A head start that is not between the limits: [`AlarmError::Parameter`].
    pub fn with_head_start(mut self, head_start: f64) -> Result<Self, AlarmError> {
        let low = if let EwmaSides::Upper { barrier } = self.sides { barrier } else { -self.width };
        within("the head start", head_start, (low, self.width), "between the limits, in standard deviations of the EWMA")?;
        self.head_start = head_start;
        Ok(self)
    }

    /// For observations that are not normal: how much sooner heavy tails make the same chart stop the line. C. M. Borror,
    /// D. C. Montgomery, G. C. Runger, Journal of Quality Technology 31 (1999) 309–316.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for degrees of freedom outside 2.1 … 1000; [`AlarmError::Combination`] with a stationary start, which
    /// is defined by the normal distribution.
    pub fn with_observations(mut self, observations: Observations) -> Result<Self, AlarmError> {
        if let Observations::StudentT { freedom } = observations {
            within("the degrees of freedom", freedom, (2.1, 1000.0), "between 2.1 and 1000")?;
        }
        self.observations = observations;
        self.with_limits(self.limits)
    }

    /// With limits that develop over the first samples.
    ///
    /// # Errors
    /// [`AlarmError::Combination`] where head-start limits (`HeadStart`, `ExactHeadStart`, `Steiner`) are asked of a one-sided
    /// chart; only fixed and exact limits and a stationary start are defined there, the latter for normal observations.
    pub fn with_limits(mut self, limits: EwmaLimits) -> Result<Self, AlarmError> {
        let both = self.sides == EwmaSides::Both;
        if !both && !matches!(limits, EwmaLimits::Fixed | EwmaLimits::Exact | EwmaLimits::Stationary) {
            return Err(AlarmError::Combination("head-start limits are defined for the two-sided EWMA"));
        }
        if limits == EwmaLimits::Stationary && self.observations != Observations::Normal {
            return Err(AlarmError::Combination("a stationary start is defined for normal observations"));
        }
        self.limits = limits;
        Ok(self)
    }

    /// The width at which this chart's in-control ARL is `run_length` samples; the rest of the design is kept.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a run length outside 1 … 1e12, [`AlarmError::Unreachable`] if no width up to 20 gives it.
    pub fn for_run_length(self, run_length: f64) -> Result<Self, AlarmError> {
        wanted_length(run_length)?;
        let start = if let EwmaSides::Upper { barrier } = self.sides { barrier.max(0.0) } else { 0.0 };
        let narrowest = (start + 0.01).max(self.head_start.abs() + 1e-9);
        let at = |width| Self { width, ..self };
        let width = parameter_for(run_length, (narrowest, 12.0), |width| at(width).average(0.0))?;
        Ok(at(width))
    }

    /// `λ`.
    #[must_use]
    pub const fn weight(&self) -> f64 {
        self.weight
    }

    /// `L`, in standard deviations of the statistic.
    #[must_use]
    pub const fn width(&self) -> f64 {
        self.width
    }

    /// Expected number of samples until a signal when the mean has been off by `mean` standard deviations from the start.
    ///
    /// Time-varying limits: S. Knoth, Sequential Analysis 22 (2003) 241–255 (one step per sample until the limits stand, then
    /// the integral equation).
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a shift beyond ±100, [`AlarmError::NeverEnds`], [`AlarmError::NotConverged`].
    pub fn average(&self, mean: f64) -> Result<f64, AlarmError> {
        shift(mean)?;
        let process = self.process(mean);
        converged(|fineness| {
            let chain = Chain::of(&process, fineness);
            let (survived, first) = self.first_step(&chain, &process, fineness);
            Ok(1.0 + survived.iter().sum::<f64>() + dot(&first, &chain.means()?))
        })
    }

    /// The chances to survive the samples whose limits still move, and where the chain of the standing limits is after one more.
    fn first_step(&self, chain: &Chain, process: &Smoothed, fineness: usize) -> (Vec<f64>, Vec<f64>) {
        match self.limits {
            EwmaLimits::Fixed => (Vec::new(), chain.row(process, self.head_start * self.spread())),
            EwmaLimits::Stationary => {
                let standard = |z: f64| z / self.spread() - process.mean;
                let at_barrier = process.barrier.map_or(0.0, |barrier| normal_below(standard(barrier)));
                (Vec::new(), chain.spread(at_barrier, |z| normal_density(standard(z)) / self.spread()))
            }
            _ => {
                let opening = Opening::of(self, process.mean, fineness);
                let first = opening.onto(chain, process);
                (opening.survived, first)
            }
        }
    }

    /// Expected number of samples from a shift to its signal, when the shift by `mean` comes after a long time in control
    /// without a false signal (conditional steady state; the limits stand by then).
    ///
    /// # Errors
    /// As [`EwmaDesign::average`].
    pub fn average_after_long(&self, mean: f64) -> Result<f64, AlarmError> {
        shift(mean)?;
        steady(|mean| self.process(mean), mean)
    }

    /// Expected number of samples from a shift to its signal, when the shift by `mean` comes at any time long after the start of a
    /// chart that starts anew, at its head start, after each false signal (cyclical steady state); fixed limits.
    ///
    /// # Errors
    /// As [`EwmaDesign::average`]; [`AlarmError::Combination`] for limits that vary.
    pub fn average_after_restarts(&self, mean: f64) -> Result<f64, AlarmError> {
        shift(mean)?;
        if self.limits != EwmaLimits::Fixed {
            return Err(AlarmError::Combination("the cyclical steady state is offered for fixed limits"));
        }
        restarted(|mean| self.process(mean), self.head_start * self.spread(), mean)
    }

    /// Expected number of samples until a signal when the mean leaves its place from the first sample on by `drift` standard
    /// deviations per sample, as a tool that wears; fixed limits.
    ///
    /// # Errors
    /// As [`EwmaDesign::average`]; [`AlarmError::Parameter`] for a drift outside 0.00001 … 10, up or down;
    /// [`AlarmError::Combination`] for limits that vary.
    pub fn average_under_drift(&self, drift: f64) -> Result<f64, AlarmError> {
        if self.limits != EwmaLimits::Fixed {
            return Err(AlarmError::Combination("run lengths under drift are offered for fixed limits"));
        }
        drifting(|mean| self.process(mean), self.head_start * self.spread(), drift)
    }

    /// The run length that the share `share` of runs does not exceed, in samples.
    ///
    /// # Errors
    /// As [`EwmaDesign::average`], and [`AlarmError::Parameter`] for a share outside 0 … 1.
    pub fn quantile(&self, mean: f64, share: f64) -> Result<u64, AlarmError> {
        shift(mean)?;
        open_share(share)?;
        let process = self.process(mean);
        let at = |fineness| {
            let chain = Chain::of(&process, fineness);
            let (survived, first) = self.first_step(&chain, &process, fineness);
            quantile(survived.into_iter().chain(Survival::new(chain.moves(), first)), share)
        };
        agreeing(at)
    }

    /// Chance of no signal within the first `samples`, for a mean off by `mean` from the start.
    ///
    /// # Errors
    /// As [`EwmaDesign::average`].
    pub fn survival(&self, mean: f64, samples: u32) -> Result<f64, AlarmError> {
        shift(mean)?;
        let process = self.process(mean);
        let Some(before) = samples.checked_sub(1).and_then(|before| usize::try_from(before).ok()) else { return Ok(1.0) };
        converged(|fineness| {
            let chain = Chain::of(&process, fineness);
            let (survived, first) = self.first_step(&chain, &process, fineness);
            // An iterator without an end has an element of every number.
            survived.into_iter().chain(Survival::new(chain.moves(), first)).nth(before).ok_or(AlarmError::NotConverged)
        })
    }

    /// The statistic's moves and where its first sample takes it, for a mean and a standard deviation of the observations;
    /// fixed limits only.
    pub(super) fn discretised(&self, mean: f64, sigma: f64, fineness: usize) -> Result<(Moves, Vec<f64>), AlarmError> {
        shift(mean)?;
        if self.limits != EwmaLimits::Fixed || self.observations != Observations::Normal {
            return Err(AlarmError::Combination("together with a variance chart the mean chart must have fixed limits and normal data"));
        }
        // In units of the actual standard deviation all limits shrink.
        let Smoothed { weight, low, high, barrier, observations, .. } = self.process(0.0);
        let barrier = barrier.map(|barrier| barrier / sigma);
        let process = Smoothed { weight, low: low / sigma, high: high / sigma, barrier, mean: mean / sigma, observations };
        let chain = Chain::of(&process, fineness);
        let start = chain.row(&process, self.head_start * self.spread() / sigma);
        Ok((chain.into_moves(), start))
    }

    /// The statistic's asymptotic standard deviation, in standard deviations of an observation.
    fn spread(&self) -> f64 {
        (self.weight / (2.0 - self.weight)).sqrt()
    }

    fn process(&self, mean: f64) -> Smoothed {
        let high = self.width * self.spread();
        let (low, barrier) = match self.sides {
            EwmaSides::Both => (-high, None),
            EwmaSides::Upper { barrier } => (barrier * self.spread(), Some(barrier * self.spread())),
        };
        Smoothed { weight: self.weight, low, high, barrier, mean, observations: self.observations }
    }

    /// The statistic's limits (states without a signal) at sample `t`, from 1; `kept` is `(1 − λ)ᵗ`.
    fn between(&self, t: f64, kept: f64) -> (f64, f64) {
        let fixed = self.width * self.spread();
        let exact = fixed * (1.0 - kept * kept).sqrt();
        let head = self.head_start * self.spread() * kept;
        let distance = match self.limits {
            EwmaLimits::Fixed | EwmaLimits::Stationary => fixed,
            EwmaLimits::Exact => exact,
            EwmaLimits::HeadStart => fixed - head,
            EwmaLimits::ExactHeadStart => exact - head,
            EwmaLimits::Steiner => exact * (1.0 - 0.5_f64.powf(1.0 + (2.0 / 2.0_f64.log10() - 1.0) / 19.0 * (t - 1.0))),
        };
        // A barrier would not move with the limits: in the opening it is scaled with them.
        match self.sides {
            EwmaSides::Both => (-distance.max(0.0), distance.max(0.0)),
            EwmaSides::Upper { barrier } => (barrier * self.spread() * distance / fixed, distance),
        }
    }
}

/// An EWMA between its asymptotic limits.
#[derive(Clone)]
struct Smoothed {
    weight: f64,
    low: f64,
    high: f64,
    barrier: Option<f64>,
    mean: f64,
    observations: Observations,
}

impl Smoothed {
    fn falls_below(&self, from: f64) -> f64 {
        self.observations.below((self.low - (1.0 - self.weight) * from) / self.weight - self.mean)
    }
}

impl Process for Smoothed {
    fn panels(&self) -> Vec<(f64, f64)> {
        vec![(self.low, self.high)]
    }
    fn atom(&self) -> Option<f64> {
        self.barrier
    }
    fn density(&self, from: f64, to: f64) -> f64 {
        self.observations.density((to - (1.0 - self.weight) * from) / self.weight - self.mean) / self.weight
    }
    fn to_atom(&self, from: f64) -> f64 {
        self.falls_below(from)
    }
    fn signal(&self, from: f64) -> f64 {
        let above = self.observations.above((self.high - (1.0 - self.weight) * from) / self.weight - self.mean);
        above + if self.barrier.is_none() { self.falls_below(from) } else { 0.0 }
    }
    fn scale(&self) -> f64 {
        self.weight
    }
}

/// The samples during which the limits still move: the chance to have survived each, and where the statistic is after the last.
struct Opening {
    survived: Vec<f64>,
    states: Vec<f64>,
    chances: Vec<f64>,
}

impl Opening {
    fn of(design: &EwmaDesign, mean: f64, fineness: usize) -> Self {
        // Head starts that tighten the limits are in the limits; the statistic itself starts at 0 then.
        let shifted = matches!(design.limits, EwmaLimits::HeadStart | EwmaLimits::ExactHeadStart);
        let start = if shifted { 0.0 } else { design.head_start * design.spread() };
        let (mut states, mut chances, mut survived) = (vec![start], vec![1.0], Vec::new());
        let (mut t, mut kept) = (0.0, 1.0);
        loop {
            t += 1.0;
            kept *= 1.0 - design.weight;
            let (low, high) = design.between(t, kept);
            let barrier = matches!(design.sides, EwmaSides::Upper { .. }).then_some(low);
            let process = Smoothed { low, high, barrier, mean, weight: design.weight, observations: design.observations };
            let stands = high >= (1.0 - 1e-15) * design.width * design.spread();
            if stands || high - low <= 0.0 || t > 40_000.0 {
                break;
            }
            let count = node_count(high - low, process.scale(), fineness);
            let rule = Quadrature::legendre(count, low, high);
            let reach = |to: f64| states.iter().zip(&chances).map(|(from, chance)| chance * process.density(*from, to)).sum::<f64>();
            let mut next: Vec<f64> = rule.nodes.iter().zip(&rule.weights).map(|(to, weight)| weight * reach(*to)).collect();
            let mut at = rule.nodes.clone();
            if let Some(barrier) = barrier {
                next.push(states.iter().zip(&chances).map(|(from, chance)| chance * process.to_atom(*from)).sum());
                at.push(barrier);
            }
            survived.push(next.iter().sum());
            (states, chances) = (at, next);
        }
        Self { survived, states, chances }
    }

    /// The chances of the chain's states after one sample more, under the standing limits.
    fn onto(&self, chain: &Chain, process: &Smoothed) -> Vec<f64> {
        let mut total = vec![0.0; chain.moves().size()];
        for (from, chance) in self.states.iter().zip(&self.chances) {
            for (sum, move_) in total.iter_mut().zip(chain.row(process, *from)) {
                *sum += chance * move_;
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_sided(weight: f64, width: f64) -> EwmaDesign {
        EwmaDesign::new(weight, width, EwmaSides::Both).unwrap()
    }

    /// As printed: S. V. Crowder, Technometrics 29 (1987) 401–407, table 1; SAS/QC manual 1999 (EWMAARL). Crowder cuts
    /// rather than rounds.
    #[test]
    fn agrees_with_published_tables() {
        for (mean, half, twentieth) in [(0.0, 26.45, 127.53), (0.5, 11.89, 18.97), (2.0, 1.94, 4.04), (4.0, 1.05, 2.15)] {
            for (weight, printed) in [(0.5, half), (0.05, twentieth)] {
                let got = two_sided(weight, 2.0).average(mean).unwrap();
                assert!((got - printed).abs() <= 0.010_1, "{weight}, {mean}: {got} is not {printed}");
            }
        }
        assert!((two_sided(0.25, 3.0).average(1.0).unwrap() - 11.154_267_016).abs() < 5e-10);
    }

    /// J. M. Lucas, M. S. Saccucci 1990, table 5 (head start of half the width); S. H. Steiner 1999, tables 2 and 5.
    #[test]
    fn opening_limits_agree_with_published_tables() {
        let near = |got: Result<f64, AlarmError>, printed: f64| {
            let got = got.unwrap();
            assert!((got / printed - 1.0).abs() < 0.08 || (got - printed).abs() <= 0.07, "{got} is not {printed}");
        };
        let fir = two_sided(0.5, 3.071).with_head_start(3.071 / 2.0).unwrap().with_limits(EwmaLimits::HeadStart).unwrap();
        for (mean, printed) in [(0.0, 487.0), (0.5, 86.1), (1.0, 15.9), (2.0, 2.87), (3.0, 1.45)] {
            near(fir.average(mean), printed);
        }
        let exact = two_sided(0.05, 3.0).with_limits(EwmaLimits::Exact).unwrap();
        for (mean, printed) in [(0.0, 1353.0), (0.5, 32.5), (1.0, 9.0), (2.0, 2.8), (4.0, 1.1)] {
            near(exact.average(mean), printed);
        }
        let steiner = two_sided(0.03, 2.55).with_limits(EwmaLimits::Steiner).unwrap();
        // His Markov chain is coarse: direct simulation (10⁵ runs) gives 424 ± 2, 14.7 and 3.84, where he prints 391, 13.8 and 3.6.
        for (mean, printed) in [(0.0, 391.0), (0.5, 13.8), (1.0, 3.6), (2.0, 1.3)] {
            near(steiner.average(mean), printed);
        }
    }

    /// The Monte Carlo values (10⁹ runs) in the manual of the R package spc, `xewma.arl`: λ = 0.1, ARL 500, practically no barrier.
    #[test]
    fn a_stationary_start_agrees_with_simulation() {
        let design = EwmaDesign::new(0.1, 3.0, EwmaSides::Upper { barrier: -6.0 }).unwrap().with_limits(EwmaLimits::Stationary).unwrap();
        let design = design.for_run_length(500.0).unwrap();
        for (mean, printed) in [(0.5, 22.313), (1.0, 7.292), (2.0, 2.5131), (3.0, 1.4029)] {
            assert!((design.average(mean).unwrap() / printed - 1.0).abs() < 1e-4, "{mean}");
        }
    }

    /// R package spc 0.6.7: `xtewma.arl(0.1, 2.7, 10, mu, sided = "two", r = 60)`, whose t is not scaled.
    #[test]
    fn heavy_tails_agree_with_a_peer() {
        let scale = 1.25_f64.sqrt();
        let heavy = two_sided(0.1, 2.7 / scale).with_observations(Observations::StudentT { freedom: 10.0 }).unwrap();
        for (mean, printed) in [(0.0, 173.746_054_024), (1.0, 9.699_867_544_58)] {
            let got = heavy.average(mean / scale).unwrap();
            assert!((got / printed - 1.0_f64).abs() < 1e-9, "{got} is not {printed}");
        }
        let usual = two_sided(0.1, 2.7).average(0.0).unwrap();
        let heavy = two_sided(0.1, 2.7).with_observations(Observations::StudentT { freedom: 3.0 }).unwrap().average(0.0).unwrap();
        assert!(heavy < usual);
        assert!(two_sided(0.1, 2.7).with_observations(Observations::StudentT { freedom: 2.0 }).is_err());
    }

    /// R package spc 0.6.7: `xDewma.arl(0.1, 2.7, delta, sided = "two", r = 60)`.
    #[test]
    fn a_drift_agrees_with_a_peer() {
        for (drift, printed) in [(0.1, 12.985_701_423), (1.0, 3.687_514_723_94)] {
            let got = two_sided(0.1, 2.7).average_under_drift(drift).unwrap();
            assert!((got / printed - 1.0_f64).abs() < 1e-9, "{got} is not {printed}");
        }
    }

    /// As for a CUSUM: the delay of a change that changes nothing is `E[N (N + 1)] / (2 E[N])`.
    #[test]
    fn restarts_are_a_renewal_process() {
        let design = two_sided(0.3, 1.2).with_head_start(0.9).unwrap();
        let survival: Vec<f64> = (0..250).map(|samples| design.survival(0.0, samples).unwrap()).collect();
        let (average, twice): (f64, f64) = (survival.iter().sum(), (1_u32..).zip(&survival).map(|(n, left)| f64::from(n) * left).sum());
        assert!((design.average_after_restarts(0.0).unwrap() - twice / average).abs() < 1e-8);
        let moving = design.with_limits(EwmaLimits::Exact).unwrap();
        let sum: f64 = (0..300).map(|samples| moving.survival(1.0, samples).unwrap()).sum();
        assert!((sum - moving.average(1.0).unwrap()).abs() < 1e-8);
    }

    #[test]
    fn survival_sums_to_the_average_and_inverts_the_quantile() {
        let design = two_sided(0.25, 2.0);
        let sum: f64 = (0..800).map(|samples| design.survival(0.5, samples).unwrap()).sum();
        assert!((sum - design.average(0.5).unwrap()).abs() < 1e-8, "{sum}");
        let median = u32::try_from(design.quantile(0.5, 0.5).unwrap()).unwrap();
        assert!(design.survival(0.5, median).unwrap() <= 0.5);
        assert!(design.survival(0.5, median - 1).unwrap() > 0.5);
    }

    #[test]
    fn a_design_meets_its_run_length() {
        for limits in [EwmaLimits::Fixed, EwmaLimits::Exact, EwmaLimits::Steiner] {
            let design = two_sided(0.2, 3.0).with_limits(limits).unwrap().for_run_length(370.0).unwrap();
            assert!((design.average(0.0).unwrap() / 370.0 - 1.0).abs() < 1e-9, "{limits:?}");
        }
        assert!(EwmaDesign::new(0.2, 3.0, EwmaSides::Upper { barrier: 4.0 }).is_err());
        assert!(EwmaDesign::new(f64::INFINITY, 3.0, EwmaSides::Both).is_err());
    }
}
