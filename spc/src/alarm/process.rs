//! From a charted statistic to its run length: discretise the statistic between its limits, then solve.
//!
//! The expected run length `L(s)` from state `s` obeys `L(s) = 1 + ∫ L(t) f(s → t) dt` over the states `t` that do not
//! signal (E. S. Page, Biometrika 41 (1954) 100–115). Gauss–Legendre nodes turn it into linear equations (Nyström's method;
//! for CUSUM A. L. Goel and S. M. Wu, Technometrics 13 (1971) 221–230, for EWMA S. V. Crowder, Technometrics 29 (1987)
//! 401–407).
//!
//! Invariants: the chance of a signal is never computed as a difference; results are given only once two discretisations agree.

use super::linear::{Moves, dot};
use super::quadrature::{Quadrature, number};
use super::{AlarmError, within};

/// A charted statistic as a Markov process on the states that do not signal.
pub(super) trait Process {
    /// The intervals that hold the states; the density is smooth inside each.
    fn panels(&self) -> Vec<(f64, f64)>;
    /// A state that is reached with a probability of its own: the reset of a CUSUM, a reflecting barrier.
    fn atom(&self) -> Option<f64> {
        None
    }
    /// The probability density of going from one state to another.
    fn density(&self, from: f64, to: f64) -> f64;
    /// The probability of going to the atom.
    fn to_atom(&self, _from: f64) -> f64 {
        0.0
    }
    /// The probability of a signal, accurate however small.
    fn signal(&self, from: f64) -> f64;
    /// A length over which the density changes; how many nodes a panel needs follows from it.
    fn scale(&self) -> f64;
}

/// A process on finitely many states: the atom, if there is one, and then the nodes.
pub(super) struct Chain {
    atom: Option<f64>,
    rule: Quadrature,
    moves: Moves,
}

impl Chain {
    /// With this many nodes per length of change.
    pub(super) fn of(process: &impl Process, fineness: usize) -> Self {
        let mut rule = Quadrature::default();
        for (low, high) in process.panels() {
            let panel = Quadrature::legendre(node_count(high - low, process.scale(), fineness), low, high);
            rule.nodes.extend(panel.nodes);
            rule.weights.extend(panel.weights);
        }
        let atom = process.atom();
        let states = atom.iter().chain(&rule.nodes);
        let moves = Moves::from_rows(states.map(|from| (row(process, atom, &rule, *from), process.signal(*from))));
        Self { atom, rule, moves }
    }

    /// The chances of going from any state to each state of the chain.
    pub(super) fn row(&self, process: &impl Process, from: f64) -> Vec<f64> {
        row(process, self.atom, &self.rule, from)
    }

    /// A distribution over the states as chances of the chain's states: its density, and the chance of the atom if there is one.
    pub(super) fn spread(&self, at_atom: f64, density: impl Fn(f64) -> f64) -> Vec<f64> {
        let at_nodes = self.rule.nodes.iter().zip(&self.rule.weights).map(|(node, weight)| weight * density(*node));
        self.atom.map(|_| at_atom).into_iter().chain(at_nodes).collect()
    }

    /// The states' moves among each other.
    pub(super) fn moves(&self) -> &Moves {
        &self.moves
    }

    pub(super) fn into_moves(self) -> Moves {
        self.moves
    }

    /// The expected run length from each state.
    pub(super) fn means(&self) -> Result<Vec<f64>, AlarmError> {
        means(&self.moves)
    }

    /// The expected run length from `from`, not counting the sample that led there.
    pub(super) fn mean_from(&self, process: &impl Process, from: f64) -> Result<f64, AlarmError> {
        Ok(1.0 + dot(&self.row(process, from), &self.means()?))
    }

    /// Where a chain that has run for long without a signal is; sums to one.
    pub(super) fn settled(&self) -> Result<Vec<f64>, AlarmError> {
        settled(&self.moves)
    }
}

/// How many nodes an interval of this length takes for a density that changes over `scale`.
pub(super) fn node_count(length: f64, scale: f64, fineness: usize) -> usize {
    let wanted = 12.0 + number(fineness) * (1.0 + 0.35 * (length / scale).min(1e3));
    let mut count = 12;
    while number(count) < wanted {
        count += 1;
    }
    count
}

fn row(process: &impl Process, atom: Option<f64>, rule: &Quadrature, from: f64) -> Vec<f64> {
    let to_atom = atom.map(|_| process.to_atom(from));
    let to_nodes = rule.nodes.iter().zip(&rule.weights).map(|(to, weight)| weight * process.density(from, *to));
    to_atom.into_iter().chain(to_nodes).collect()
}

/// Expected number of steps from each state until the chain ends: `(I − Q)⁻¹ · 1`.
///
/// Source: J. G. Kemeny, J. L. Snell, Finite Markov Chains, theorem 3.3.5; D. Brook, D. A. Evans, Biometrika 59 (1972) 539–549.
pub(super) fn means(moves: &Moves) -> Result<Vec<f64>, AlarmError> {
    let means = moves.factors()?.solve(&vec![1.0; moves.size()]);
    if means.iter().all(|mean| *mean <= LENGTH_MAX) { Ok(means) } else { Err(AlarmError::NeverEnds) }
}

/// The distribution over the states, given that the chain has not ended after many steps: the left eigenvector of the
/// largest eigenvalue, by inverse iteration. S. V. Crowder 1987; the "conditional" steady state.
pub(super) fn settled(moves: &Moves) -> Result<Vec<f64>, AlarmError> {
    let factors = moves.factors()?;
    let mut state = vec![1.0 / number(moves.size()); moves.size()];
    for _ in 0..2000 {
        let mut next = factors.solve_left(&state);
        let total: f64 = next.iter().sum();
        next.iter_mut().for_each(|chance| *chance /= total);
        let change = next.iter().zip(&state).map(|(a, b)| (a - b).abs()).sum::<f64>();
        state = next;
        if change < 1e-13 {
            return Ok(state);
        }
    }
    Err(AlarmError::NotConverged)
}

/// How often each state is visited from the first sample to the signal, where `start` holds the chances of the states after the
/// first sample: `start (I − Q)⁻¹` (Kemeny, Snell, theorem 3.2.4).
pub(super) fn visits(moves: &Moves, start: &[f64]) -> Result<Vec<f64>, AlarmError> {
    Ok(moves.factors()?.solve_left(start))
}

/// Mean delay when the change comes at any time of a chart that starts anew after each false signal: of a cycle's states, the
/// start counts once and every other as often as it is visited. `in_control` and `shifted` give the moves and the first step.
///
/// The "cyclical" steady state beside the "conditional" one: R. B. Crosier, Technometrics 28 (1986) 187–194.
pub(super) fn after_restarts((moves, first): (&Moves, &[f64]), (shifted, first_shifted): (&Moves, &[f64])) -> Result<f64, AlarmError> {
    let visits = visits(moves, first)?;
    let delays = means(shifted)?;
    let from_start = 1.0 + dot(first_shifted, &delays);
    Ok((from_start + dot(&visits, &delays)) / (1.0 + visits.iter().sum::<f64>()))
}

/// Expected number of samples from `start` until a signal when the mean of sample `t` is off by `t · drift`: each sample moves the
/// chances of the states by the chain of its own mean.
///
/// Source: F. F. Gan, The Statistician 41 (1992) 71–84 (the model); S. Knoth, Sequential Analysis 22 (2003) 241–255 (the steps).
pub(super) fn drifting<P: Process>(process: impl Fn(f64) -> P, start: f64, drift: f64) -> Result<f64, AlarmError> {
    within("the drift per sample", drift.abs(), (1e-5, 10.0), "between 0.00001 and 10 standard deviations, up or down")?;
    converged(|fineness| {
        let first = process(drift);
        let mut chances = Chain::of(&first, fineness).row(&first, start);
        let (mut total, mut samples) = (1.0, 1.0);
        while samples < 50_000.0 {
            let survived: f64 = chances.iter().sum();
            total += survived;
            if survived <= 1e-14 * total {
                return Ok(total);
            }
            samples += 1.0;
            chances = Chain::of(&process(samples * drift), fineness).moves().times_left(&chances);
        }
        Err(AlarmError::NeverEnds)
    })
}

/// The chance of no signal within `1, 2, 3, …` samples; `start` holds the chances of the states after the first.
pub(super) struct Survival<'a> {
    moves: &'a Moves,
    /// The chance to survive this many steps more, by state.
    left: Vec<f64>,
    start: Vec<f64>,
}

impl<'a> Survival<'a> {
    pub(super) fn new(moves: &'a Moves, start: Vec<f64>) -> Self {
        Self { moves, left: vec![1.0; moves.size()], start }
    }
}

impl Iterator for Survival<'_> {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let survives = dot(&self.start, &self.left);
        self.left = self.moves.times(&self.left);
        Some(survives)
    }
}

/// The smallest run length that the share `p` of runs does not exceed.
///
/// Once the survival falls by a constant factor, the rest is geometric and need not be stepped through.
pub(super) fn quantile(survival: impl Iterator<Item = f64>, p: f64) -> Result<u64, AlarmError> {
    let open = 1.0 - p;
    let (mut before, mut ratio, mut steady) = (1.0_f64, 0.0_f64, 0);
    for (length, survives) in (1..).zip(survival) {
        if survives <= open {
            return Ok(length);
        }
        let now = survives / before;
        steady = if (now - ratio).abs() <= 1e-14 { steady + 1 } else { 0 };
        (before, ratio) = (survives, now);
        if steady >= 25 && length >= 500 {
            let further = (open / survives).ln() / now.ln();
            let further = first_at_least(further).ok_or(AlarmError::NeverEnds)?;
            return Ok(length + further);
        }
        if length > 1_000_000 {
            break;
        }
    }
    Err(AlarmError::NotConverged)
}

/// The smallest whole number that is at least `x`, by bisection: there is no lossless cast for it.
fn first_at_least(x: f64) -> Option<u64> {
    let (mut low, mut high) = (0_u32, 1_u32 << 31);
    if !x.is_finite() || x > f64::from(high) {
        return None;
    }
    while low < high {
        let middle = low.midpoint(high);
        if f64::from(middle) >= x { high = middle } else { low = middle + 1 }
    }
    Some(u64::from(low))
}

/// A run length that is as good as infinite: the age of the universe in nanoseconds is 4e26.
pub(super) const LENGTH_MAX: f64 = 1e100;

/// Refines a discretisation until two successive ones agree to 1e-11 of the result.
pub(super) fn converged(result: impl Fn(usize) -> Result<f64, AlarmError>) -> Result<f64, AlarmError> {
    converged_but_for(0.0, result)
}

/// The same for equations whose solution carries a relative rounding error of `noise` times the run length.
pub(super) fn converged_but_for(noise: f64, result: impl Fn(usize) -> Result<f64, AlarmError>) -> Result<f64, AlarmError> {
    let mut coarse = result(8);
    for fineness in [11, 15, 21, 29, 41] {
        let fine = result(fineness);
        if let (Ok(coarse), Ok(fine)) = (&coarse, &fine)
            && (fine - coarse).abs() <= (1e-11 + noise * fine.abs()) * fine.abs()
        {
            return Ok(*fine);
        }
        coarse = fine;
    }
    coarse.and(Err(AlarmError::NotConverged))
}

/// The value of a parameter at which the run length is `wanted`; the run length must rise with the parameter.
///
/// Bisection on the logarithm's sign, quickened by the secant (Illinois variant of regula falsi: M. Dowell, P. Jarratt, BIT 11
/// (1971) 168–174).
pub(super) fn parameter_for(
    wanted: f64,
    (low, high): (f64, f64),
    run_length: impl Fn(f64) -> Result<f64, AlarmError>,
) -> Result<f64, AlarmError> {
    let miss = |parameter: f64| match run_length(parameter) {
        Ok(length) => Ok((length / wanted).ln()),
        Err(AlarmError::NeverEnds) => Ok(LENGTH_MAX.ln()),
        Err(error) => Err(error),
    };
    let (mut a, mut b) = (low, low + 0.05 * (high - low));
    let mut miss_a = miss(a)?;
    if miss_a > 0.0 {
        return Err(AlarmError::Unreachable { run_length: wanted });
    }
    let mut miss_b = miss(b)?;
    while miss_b < 0.0 {
        if b >= high {
            return Err(AlarmError::Unreachable { run_length: wanted });
        }
        (a, miss_a) = (b, miss_b);
        b = (b + 0.1 * (high - low)).min(high);
        miss_b = miss(b)?;
    }
    for _ in 0..200 {
        let secant = b - miss_b * (b - a) / (miss_b - miss_a);
        let between = if secant > a.min(b) && secant < a.max(b) { secant } else { a.midpoint(b) };
        let now = miss(between)?;
        if now.abs() <= 1e-12 || (b - a).abs() <= 1e-13 * b.abs() {
            return Ok(between);
        }
        if now * miss_b < 0.0 {
            (a, miss_a) = (b, miss_b);
        } else {
            miss_a *= 0.5;
        }
        (b, miss_b) = (between, now);
    }
    Err(AlarmError::NotConverged)
}
