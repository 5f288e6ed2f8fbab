//! Run lengths of the multivariate EWMA: in control by the length of the smoothed vector alone, after a shift by its part
//! along the shift and the length of the rest.
//!
//! Sources: S. E. Rigdon, Journal of Statistical Computation and Simulation 52 (1995) 351–365 (in control) and Statistics &
//! Probability Letters 24 (1995) 365–373 (after a shift); G. C. Runger, S. S. Prabhu, Journal of the American Statistical
//! Association 91 (1996) 1701–1706, that the direction of the shift does not matter.

use std::f64::consts::FRAC_PI_2;

use super::linear::{Moves, dot};
use super::process::{Chain, Process, after_restarts, converged, means, node_count, parameter_for, settled};
use super::quadrature::Quadrature;
use super::{AlarmError, wanted_length, within};
use crate::distribution::{gamma_above, ln_gamma, normal_density};

/// A multivariate EWMA `z = (1−λ) z + λ x` of standardised vectors: it signals when `T² = (2−λ)/λ · |z|²` exceeds `h4`.
///
/// C. A. Lowry, W. H. Woodall, C. W. Champ, S. E. Rigdon, Technometrics 34 (1992) 46–53, with the asymptotic covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MewmaDesign {
    weight: f64,
    limit: f64,
    dimension: u32,
    start: f64,
}

impl MewmaDesign {
    /// With the weight `λ` of the newest vector, the limit `h4` of `T²`, and the number of characteristics.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`]: a weight outside 0.005 … 1, a limit outside 0.01 … 1000, fewer than 2 or more than 100
    /// characteristics (one is an [`EwmaDesign`](super::EwmaDesign) with `L = √h4`).
    pub fn new(weight: f64, limit: f64, dimension: u32) -> Result<Self, AlarmError> {
        within("the weight λ", weight, (0.005, 0.9999), "between 0.005 and 0.9999")?;
        within("the limit h4", limit, (0.01, 1000.0), "between 0.01 and 1000")?;
        within("the number of characteristics", f64::from(dimension), (2.0, 100.0), "between 2 and 100")?;
        Ok(Self { weight, limit, dimension, start: 0.0 })
    }

    /// Starting away from the centre, where `T²` has this value (fast initial response); in control only, because after a shift
    /// the direction of the start would matter.
    ///
    /// # Errors
    /// A start outside `0 ..= h4`: [`AlarmError::Parameter`].
    pub fn with_head_start(mut self, start: f64) -> Result<Self, AlarmError> {
        self.start = within("the head start", start, (0.0, self.limit), "between 0 and the limit h4")?;
        Ok(self)
    }

    /// The limit at which the in-control ARL is `run_length` samples.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`], [`AlarmError::Unreachable`].
    pub fn for_run_length(weight: f64, run_length: f64, dimension: u32) -> Result<Self, AlarmError> {
        Self::new(weight, 1.0, dimension)?.with_limit_for(run_length)
    }

    /// The same chart with the limit at which the in-control ARL is `run_length` samples; weight, dimension and head start are kept.
    ///
    /// # Errors
    /// As [`MewmaDesign::for_run_length`].
    pub fn with_limit_for(self, run_length: f64) -> Result<Self, AlarmError> {
        wanted_length(run_length)?;
        let (narrowest, highest) = (self.start.max(0.01), self.start + 60.0 + 4.0 * f64::from(self.dimension));
        let at = |limit| Self { limit, ..self };
        let limit = parameter_for(run_length, (narrowest, highest), |limit| at(limit).average(0.0))?;
        Ok(at(limit))
    }

    /// `h4`.
    #[must_use]
    pub const fn limit(&self) -> f64 {
        self.limit
    }

    /// Expected number of samples until a signal when the mean vector has been off from the start by the Mahalanobis distance
    /// `distance` (`√(μ' Σ⁻¹ μ)`, 0 in control). Accurate to about 1e-11 in control and 1e-9 after a shift.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a distance outside 0 … 50; [`AlarmError::Combination`] for a shift of a chart with a head start;
    /// [`AlarmError::NeverEnds`], [`AlarmError::NotConverged`].
    pub fn average(&self, distance: f64) -> Result<f64, AlarmError> {
        shifted(distance)?;
        if distance == 0.0 {
            let length = Length { weight: self.weight, radius: self.radius(), freedom: f64::from(self.dimension) };
            let start = (self.start * self.weight / (2.0 - self.weight)).sqrt();
            return converged(|fineness| Chain::of(&length, fineness).mean_from(&length, start));
        }
        self.starts_centred()?;
        self.refined(|grid| Ok(1.0 + dot(&grid.row(0.0, 0.0, distance), &means(&grid.moves(distance))?)))
    }

    /// Expected number of samples from a shift to its signal, when the shift by `distance` comes after a long time in control
    /// without a false signal (conditional steady state).
    ///
    /// # Errors
    /// As [`MewmaDesign::average`].
    pub fn average_after_long(&self, distance: f64) -> Result<f64, AlarmError> {
        shifted(distance)?;
        self.refined(|grid| Ok(dot(&settled(&grid.moves(0.0))?, &means(&grid.moves(distance))?)))
    }

    /// Expected number of samples from a shift to its signal, when the shift by `distance` comes at any time long after the start
    /// of a chart that starts anew, at the centre, after each false signal (cyclical steady state).
    ///
    /// # Errors
    /// As [`MewmaDesign::average`].
    pub fn average_after_restarts(&self, distance: f64) -> Result<f64, AlarmError> {
        shifted(distance)?;
        self.starts_centred()?;
        self.refined(|grid| {
            let (before, after) = (grid.moves(0.0), grid.moves(distance));
            after_restarts((&before, &grid.row(0.0, 0.0, 0.0)), (&after, &grid.row(0.0, 0.0, distance)))
        })
    }

    fn starts_centred(&self) -> Result<(), AlarmError> {
        let no_direction = "a head start has no direction: its run lengths are offered in control and at zero state only";
        if self.start == 0.0 { Ok(()) } else { Err(AlarmError::Combination(no_direction)) }
    }

    /// The length of the smoothed vector beyond which it signals.
    fn radius(&self) -> f64 {
        (self.limit * self.weight / (2.0 - self.weight)).sqrt()
    }

    /// Refines the grid until two agree to 1e-8, of which the finer is better by a digit or more; the equations grow with the square of the nodes, so that the steps are small.
    fn refined(&self, result: impl Fn(&Grid) -> Result<f64, AlarmError>) -> Result<f64, AlarmError> {
        let at = |fineness| result(&Grid::of(self, fineness));
        let mut coarse = at(2)?;
        for fineness in [3, 4, 5, 6, 8] {
            let fine = at(fineness)?;
            if (fine - coarse).abs() <= 1e-8 * fine {
                return Ok(fine);
            }
            coarse = fine;
        }
        Err(AlarmError::NotConverged)
    }
}

fn shifted(distance: f64) -> Result<f64, AlarmError> {
    within("the distance of the mean", distance, (0.0, 50.0), "between 0 and 50 Mahalanobis units")
}

/// The length of the smoothed vector in control.
struct Length {
    weight: f64,
    radius: f64,
    freedom: f64,
}

impl Process for Length {
    fn panels(&self) -> Vec<(f64, f64)> {
        vec![(0.0, self.radius)]
    }
    fn density(&self, from: f64, to: f64) -> f64 {
        chi_density(to / self.weight, self.freedom, (1.0 - self.weight) / self.weight * from) / self.weight
    }
    fn signal(&self, from: f64) -> f64 {
        chi_above(self.radius / self.weight, self.freedom, (1.0 - self.weight) / self.weight * from)
    }
    fn scale(&self) -> f64 {
        self.weight
    }
}

/// Nodes in the half disc of the part along the shift and the length of the rest.
///
/// `along = R sin θ`, `rest = R cos θ · s`: smooth up to the edge. Nodes at `θ` and `−θ` share their lengths of the rest.
struct Grid {
    weight: f64,
    freedom: f64,
    along: Vec<f64>,
    /// For each `along`, the lengths of the rest with the weight of the node.
    rest: Vec<Vec<(f64, f64)>>,
}

impl Grid {
    fn of(design: &MewmaDesign, fineness: usize) -> Self {
        let radius = design.radius();
        let count = node_count(2.0 * radius, design.weight, fineness);
        let angles = Quadrature::legendre(count, -FRAC_PI_2, FRAC_PI_2);
        let depth = Quadrature::legendre(node_count(radius, design.weight, fineness) / 2 + 4, 0.0, 1.0);
        let cosine = |i: usize| angles.nodes[i.min(count - 1 - i)].cos();
        let column = |i: usize| {
            let jacobian = radius * cosine(i) * radius * cosine(i) * angles.weights[i];
            depth.nodes.iter().zip(&depth.weights).map(|(s, weight)| (radius * cosine(i) * s, weight * jacobian)).collect()
        };
        Self {
            weight: design.weight,
            freedom: f64::from(design.dimension) - 1.0,
            along: angles.nodes.iter().map(|angle| radius * angle.sin()).collect(),
            rest: (0..count).map(column).collect(),
        }
    }

    /// The chances of going from a state to each node, for a mean off by `distance`.
    fn row(&self, along: f64, rest: f64, distance: f64) -> Vec<f64> {
        let rests: Vec<Vec<f64>> = self.rest_densities(rest);
        self.joined(along, &rests, distance)
    }

    /// The density of the next length of the rest at every node; columns mirror each other.
    fn rest_densities(&self, from: f64) -> Vec<Vec<f64>> {
        let carried = (1.0 - self.weight) / self.weight * from;
        let density = |(to, weight): &(f64, f64)| weight * chi_density(to / self.weight, self.freedom, carried) / self.weight;
        let half = self.rest.len().div_ceil(2);
        self.rest[..half].iter().map(|column| column.iter().map(density).collect()).collect()
    }

    fn joined(&self, along: f64, rests: &[Vec<f64>], distance: f64) -> Vec<f64> {
        let last = self.along.len() - 1;
        let mut row = Vec::new();
        for (i, to) in self.along.iter().enumerate() {
            let ahead = normal_density((to - (1.0 - self.weight) * along) / self.weight - distance) / self.weight;
            row.extend(rests[i.min(last - i)].iter().map(|density| ahead * density));
        }
        row
    }

    fn moves(&self, distance: f64) -> Moves {
        let last = self.along.len() - 1;
        let half = self.rest.len().div_ceil(2);
        let densities: Vec<Vec<_>> =
            self.rest[..half].iter().map(|column| column.iter().map(|(rest, _)| self.rest_densities(*rest)).collect()).collect();
        let states =
            self.along.iter().enumerate().flat_map(|(i, along)| densities[i.min(last - i)].iter().map(move |rests| (along, rests)));
        Moves::from_rows(states.map(|(along, rests)| {
            let row = self.joined(*along, rests, distance);
            // A shift signals often enough for a difference to keep its digits.
            let leaves = (1.0 - row.iter().sum::<f64>()).max(0.0);
            (row, leaves)
        }))
    }
}

/// Density of the length of a vector of `freedom` independent standard normal coordinates whose mean has the length `mean`.
///
/// The mixture of central densities over a Poisson index, summed outwards from its largest term. Source: N. L. Johnson,
/// S. Kotz, N. Balakrishnan, Continuous Univariate Distributions 2, 2nd edition, equation (29.3).
fn chi_density(length: f64, freedom: f64, mean: f64) -> f64 {
    if length <= 0.0 {
        return 0.0;
    }
    let (half, ncp) = (0.5 * length * length, 0.5 * mean * mean);
    let product = half * ncp;
    let shape = 0.5 * freedom;
    let ratio = |j: f64| product / ((j + 1.0) * (shape + j));
    // The largest term, where the ratio of neighbours is one.
    let peak = (0.25 * (shape - 1.0) * (shape - 1.0) + product).sqrt() - 0.5 * (shape + 1.0);
    let peak = peak.max(0.0).floor();
    let logarithm = if peak > 0.0 { peak * ncp.ln() - ln_gamma(peak + 1.0) } else { 0.0 };
    let logarithm = logarithm - ncp + (shape + peak - 1.0) * half.ln() - half - ln_gamma(shape + peak) + length.ln();
    let mut sum = 1.0;
    let (mut term, mut j) = (1.0, peak);
    while term > 1e-17 * sum {
        term *= ratio(j);
        sum += term;
        j += 1.0;
    }
    (term, j) = (1.0, peak);
    while j > 0.0 && term > 1e-17 * sum {
        j -= 1.0;
        term /= ratio(j);
        sum += term;
    }
    logarithm.exp() * sum
}

/// Share of such lengths above `length`: the same mixture of upper tails, each from the one before by adding a term.
fn chi_above(length: f64, freedom: f64, mean: f64) -> f64 {
    let (half, ncp) = (0.5 * length * length, 0.5 * mean * mean);
    let shape = 0.5 * freedom;
    let mut tail = gamma_above(half, shape);
    let mut added = (shape * half.ln() - half - ln_gamma(shape + 1.0)).exp();
    let mut logarithm = -ncp;
    let (mut sum, mut j) = (0.0, 0.0);
    loop {
        let term = f64::exp(logarithm) * tail;
        sum += term;
        if (j > ncp && term <= 1e-17 * sum) || ncp == 0.0 || j > 1e6 {
            return sum;
        }
        tail += added;
        j += 1.0;
        added *= half / (shape + j);
        logarithm += (ncp / j).ln();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mpmath (30 digits) from the Bessel form of the density and its integral; the last tail from scipy.stats.ncx2.
    #[test]
    fn lengths_are_distributed_as_they_should() {
        for (length, freedom, mean, density, above) in [
            (2.0, 3.0, 1.5, 0.468_256_858_759_004_97, 0.542_898_597_184_524_9),
            (15.0, 2.0, 14.0, 0.250_612_981_784_727_25, 0.167_153_136_275_441_68),
            (30.0, 7.0, 12.0, 2.725_209_387_815_279e-70, 1.517_763_440_177_188e-71),
        ] {
            let got = (chi_density(length, freedom, mean), chi_above(length, freedom, mean));
            assert!((got.0 / density - 1.0_f64).abs() < 1e-12 && (got.1 / above - 1.0_f64).abs() < 1e-12, "{got:?}");
        }
    }

    /// S. E. Rigdon 1995: λ = 0.1, p = 4, h4 = 12.73 has 200 in control; p = 5, h4 = 14.56 has 12.9 at distance 1.
    #[test]
    fn the_published_run_lengths() {
        assert!((MewmaDesign::new(0.1, 12.73, 4).unwrap().average(0.0).unwrap() / 200.0 - 1.0).abs() < 0.003);
        assert!((MewmaDesign::new(0.1, 14.56, 5).unwrap().average(1.0).unwrap() - 12.9).abs() < 0.06);
    }

    /// R package spc 0.6.7: `mewma.arl(0.1, 8, 2, hs = 8, r = 40)` and `mewma.ad(0.1, 8, 2, delta = 0.25, type = "cycl", r = 40)`, whose
    /// delta is the square of the distance.
    #[test]
    fn head_starts_and_restarts_agree_with_a_peer() {
        let design = MewmaDesign::new(0.1, 8.0, 2).unwrap();
        assert!((design.with_head_start(8.0).unwrap().average(0.0).unwrap() - 83.4647).abs() < 6e-5);
        assert!((design.average_after_restarts(0.5).unwrap() - 24.019_94).abs() < 6e-5);
        assert!(matches!(design.with_head_start(1.0).unwrap().average(0.5), Err(AlarmError::Combination(_))));
        assert!(design.with_head_start(8.1).is_err());
    }

    #[test]
    fn a_small_shift_is_almost_none_and_a_design_meets_its_run_length() {
        let design = MewmaDesign::for_run_length(0.2, 100.0, 2).unwrap();
        assert!((design.average(0.0).unwrap() / 100.0 - 1.0).abs() < 1e-9);
        assert!((design.average(1e-6).unwrap() / 100.0 - 1.0).abs() < 1e-8);
        assert!(design.average_after_long(0.0).unwrap() < 100.0);
        assert!(MewmaDesign::new(0.2, 10.0, 1).is_err());
    }
}
