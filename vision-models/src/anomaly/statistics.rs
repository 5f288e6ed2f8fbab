//! What the features of good pieces have in common: their mean, and the directions in which they spread.
//!
//! Invariants: everything is computed in one fixed order, so that the same pictures give the same numbers; no direction
//! is divided by less than half of the mean spread, so that noise in a direction that good pieces hardly use counts little.

/// Features of one picture: `channels` planes of `places` values, plane by plane.
pub(super) type Features = Vec<f32>;

/// A direction in which good pieces hardly spread counts as if it spread by this share of the mean spread.
const SOFTENING: f64 = 0.5;

/// From features to few numbers per place: `weights * features + bias`, where good pieces spread about evenly.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Projection {
    pub(super) channels: usize,
    /// Numbers per place.
    pub(super) kept: usize,
    /// `kept` rows of `channels`.
    pub(super) weights: Vec<f32>,
    /// `kept` numbers.
    pub(super) bias: Vec<f32>,
}

impl Projection {
    /// Principal components of all places of all pictures, each divided by its softened spread, the widest `kept` of them.
    pub(super) fn of(pictures: &[Features], channels: usize, kept: usize) -> Self {
        let mean = mean(pictures, channels);
        let (spread, axes) = eigen(covariance(pictures, &mean), channels);
        let average = spread.iter().sum::<f64>() / real(channels);
        let mut order: Vec<usize> = (0..channels).collect();
        order.sort_by(|a, b| spread[*b].total_cmp(&spread[*a]));
        let kept = kept.min(channels);
        let (mut weights, mut bias) = (Vec::with_capacity(kept * channels), Vec::with_capacity(kept));
        for axis in order.into_iter().take(kept) {
            let scale = 1.0 / (spread[axis].max(0.0) + SOFTENING * average).sqrt().max(1e-9);
            let row: Vec<f64> = (0..channels).map(|channel| axes[channel * channels + axis] * scale).collect();
            bias.push(narrow(-row.iter().zip(&mean).map(|(weight, mean)| weight * mean).sum::<f64>()));
            weights.extend(row.into_iter().map(narrow));
        }
        Self { channels, kept, weights, bias }
    }

    /// The features of one picture: `kept` planes.
    pub(super) fn apply(&self, features: &[f32]) -> Features {
        let places = features.len() / self.channels;
        let mut out = Vec::with_capacity(self.kept * places);
        for (row, bias) in self.weights.chunks_exact(self.channels).zip(&self.bias) {
            let start = out.len();
            out.resize(start + places, *bias);
            for (weight, plane) in row.iter().zip(features.chunks_exact(places)) {
                for (out, value) in out[start..].iter_mut().zip(plane) {
                    *out += weight * value;
                }
            }
        }
        out
    }
}

fn mean(pictures: &[Features], channels: usize) -> Vec<f64> {
    let mut mean = vec![0.0; channels];
    let mut count = 0;
    for features in pictures {
        let places = features.len() / channels;
        count += places;
        for (mean, plane) in mean.iter_mut().zip(features.chunks_exact(places)) {
            *mean += plane.iter().map(|value| f64::from(*value)).sum::<f64>();
        }
    }
    mean.iter_mut().for_each(|mean| *mean /= real(count).max(1.0));
    mean
}

/// Row by row; symmetric.
fn covariance(pictures: &[Features], mean: &[f64]) -> Vec<f64> {
    let channels = mean.len();
    let mut sums = vec![0.0; channels * channels];
    let mut count = 0;
    for features in pictures {
        let places = features.len() / channels;
        count += places;
        let planes = features.chunks_exact(places).zip(mean);
        let centred: Vec<f32> = planes.flat_map(|(plane, mean)| plane.iter().map(|value| value - narrow(*mean))).collect();
        for i in 0..channels {
            for j in 0..=i {
                sums[i * channels + j] += f64::from(dot(&centred[i * places..][..places], &centred[j * places..][..places]));
            }
        }
    }
    for i in 0..channels {
        for j in 0..=i {
            let value = sums[i * channels + j] / real(count).max(1.0);
            (sums[i * channels + j], sums[j * channels + i]) = (value, value);
        }
    }
    sums
}

/// Eight sums side by side, which the processor adds at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.0.iter().zip(b.0) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix by cyclic Jacobi rotations.
/// Source: G. H. Golub, C. F. Van Loan, *Matrix Computations*, 4th edition, section 8.5.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut axes = vec![0.0; n * n];
    for i in 0..n {
        axes[i * n + i] = 1.0;
    }
    let size: f64 = a.iter().map(|value| value * value).sum();
    for _ in 0..30 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j] * a[i * n + j]).sum();
        if off <= size * 1e-22 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut axes, n, (p, q));
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), axes)
}

fn rotate(a: &mut [f64], axes: &mut [f64], n: usize, (p, q): (usize, usize)) {
    let apq = a[p * n + q];
    if apq.abs() < 1e-300 {
        return;
    }
    let tau = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
        let (x, y) = (axes[k * n + p], axes[k * n + q]);
        (axes[k * n + p], axes[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
    }
}

/// The value that this share of all lies below, of values in any order.
pub(super) fn quantile(values: &[f32], share: f64) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let rank = (share.clamp(0.0, 1.0) * real(sorted.len().saturating_sub(1))).round();
    // Counting up is exact where a cast would have to be explained.
    let index = (0..sorted.len()).find(|index| real(*index) >= rank).unwrap_or(0);
    sorted.get(index).copied().unwrap_or(0.0)
}

/// Where a standard normal variable lies above with this probability, 0 < `tail` < 0.5.
/// Source: M. Abramowitz, I. Stegun, *Handbook of Mathematical Functions*, 26.2.23; error below 4.5e-4.
pub(super) fn normal_tail(tail: f64) -> f64 {
    let t = (-2.0 * tail.clamp(1e-12, 0.5).ln()).sqrt();
    t - (2.515_517 + t * (0.802_853 + t * 0.010_328)) / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)))
}

/// Counts of pictures and places are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) const fn real(count: usize) -> f64 {
    count as f64
}

/// From the precision of sums to the precision of the model.
#[expect(clippy::cast_possible_truncation, reason = "the model computes in 32 bits; the value stays finite by its size")]
pub(super) const fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_are_those_of_the_matrix() {
        let n = 6;
        let value = |i: usize, j: usize| 1.0 / (1.0 + real(i) + real(j));
        let matrix: Vec<f64> = (0..n * n).map(|k| value(k / n, k % n)).collect();
        let (values, axes) = eigen(matrix.clone(), n);
        for axis in 0..n {
            for row in 0..n {
                let image: f64 = (0..n).map(|k| matrix[row * n + k] * axes[k * n + axis]).sum();
                assert!((image - values[axis] * axes[row * n + axis]).abs() < 1e-9, "axis {axis}");
            }
        }
        let trace: f64 = values.iter().sum();
        assert!((trace - (0..n).map(|i| value(i, i)).sum::<f64>()).abs() < 1e-9);
    }

    #[test]
    fn projected_features_have_mean_zero_and_an_even_spread() {
        // Two channels that go together, one that goes alone: 64 places.
        let plane = |f: fn(f32) -> f32| (0..64_u8).map(move |p| f(f32::from(p)));
        let features: Features = plane(f32::sin).chain(plane(|p| 10.0 + 3.0 * p.sin())).chain(plane(|p| (p * 1.7).cos())).collect();
        let projection = Projection::of(&[features.clone(), features.clone()], 3, 2);
        let out = projection.apply(&features);
        for plane in out.chunks_exact(64) {
            assert!((plane.iter().sum::<f32>() / 64.0).abs() < 1e-4);
            let spread = plane.iter().map(|value| value * value).sum::<f32>() / 64.0;
            assert!((0.2..1.0).contains(&spread), "{spread}");
        }
    }

    #[test]
    fn the_tail_of_the_normal_is_where_tables_have_it() {
        assert!((normal_tail(0.01) - 2.3263).abs() < 1e-3 && (normal_tail(0.025) - 1.96).abs() < 1e-3);
    }
}
