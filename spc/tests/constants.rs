//! d2, d3, d4 and c4 for every size from 2 to 50, computed once more in another way: the crate integrates products of normal
//! probabilities over the line; here the distribution of the range is integrated by Romberg's method, and c4 comes from products.

use spc::chart::constants::{c4, d2, d3, range_median};
use spc::distribution::{normal_below, normal_density};

/// Steps per unit, and the largest range of 50 values that matters.
const STEPS: usize = 32;
const WIDEST: usize = 18;

/// Φ and φ at −9, −9 + 1/32, … 27: any value may lie a whole range below the highest one.
fn grid() -> Vec<(f64, f64)> {
    (0..=2 * WIDEST * STEPS).map(|i| i as f64 / STEPS as f64 - 9.0).map(|x| (normal_below(x), normal_density(x))).collect()
}

/// P(W ≤ j/32) of n values: n ∫ φ(x) (Φ(x + w) − Φ(x))^(n − 1) dx. The trapezium rule is exact for what falls off so fast.
fn below(grid: &[(f64, f64)], j: usize, n: i32) -> f64 {
    let term = |i: usize| grid[i].1 * (grid[i + j].0 - grid[i].0).powi(n - 1);
    f64::from(n) * (0..=WIDEST * STEPS).map(term).sum::<f64>() / STEPS as f64
}

/// ∫ f over 0 … 18 from its values at every step.
fn romberg(values: &[f64]) -> f64 {
    let trapezium = |every: usize| {
        let inner: f64 = values.iter().step_by(every).sum();
        (inner - 0.5 * (values[0] + values[values.len() - 1])) * every as f64 / STEPS as f64
    };
    let mut row: Vec<f64> = [1, 2, 4, 8, 16].map(trapezium).to_vec();
    for order in 1..5 {
        let factor = 4.0f64.powi(order);
        row = row.windows(2).map(|pair| (factor * pair[0] - pair[1]) / (factor - 1.0)).collect();
    }
    row[0]
}

/// Γ(k/2) by its products.
fn gamma_of_half(k: u32) -> f64 {
    let (first, start) = if k.is_multiple_of(2) { (1.0, 2) } else { (std::f64::consts::PI.sqrt(), 1) };
    (start..k).step_by(2).fold(first, |product, j| product * f64::from(j) / 2.0)
}

fn close(what: &str, n: u32, got: Option<f64>, expected: f64) {
    let got = got.expect("a size from 2 to 50");
    assert!((got - expected).abs() <= 1e-12, "{what}({n}): got {got}, expected {expected}");
}

#[test]
fn every_size_to_twelve_digits() {
    let grid = grid();
    for n in 2..=50_u32 {
        let power = i32::try_from(n).unwrap();
        let beyond: Vec<f64> = (0..=WIDEST * STEPS).map(|j| 1.0 - below(&grid, j, power)).collect();
        let mean = romberg(&beyond);
        let weighted: Vec<f64> = beyond.iter().enumerate().map(|(j, beyond)| 2.0 * j as f64 / STEPS as f64 * beyond).collect();
        close("d2", n, d2(n), mean);
        close("d3", n, d3(n), (romberg(&weighted) - mean * mean).sqrt());
        close("c4", n, c4(n), (2.0 / f64::from(n - 1)).sqrt() * gamma_of_half(n) / gamma_of_half(n - 1));
        // The median splits the distribution in half, which changes by at least 0.3 per unit there.
        let w = range_median(n).unwrap();
        let at = |i: usize| i as f64 / STEPS as f64 - 9.0;
        let term = |i: usize| grid[i].1 * (normal_below(at(i) + w) - grid[i].0).powi(power - 1);
        let half = f64::from(n) * (0..=WIDEST * STEPS).map(term).sum::<f64>() / STEPS as f64;
        assert!((half - 0.5).abs() <= 0.3e-12, "d4({n}) leaves {half} below");
    }
}
