//! The computed run lengths of schemes against their definitions, played with seeded numbers: one-sided and with a head start,
//! Shiryaev–Roberts, and of counts. `alarm_design.rs` does the same for what goes through a chart's `push`.

mod seeded;

use seeded::Seeded;
use spc::alarm::{
    BinomialEwmaDesign, CusumDesign, CusumSides, EwmaDesign, EwmaSides, PoissonCusumDesign, ShiryaevRobertsDesign, VarianceCusumDesign,
};

/// Samples until `next` gives true, from a fresh state each time: mean and standard error over the runs.
fn played<S>(runs: u32, start: impl Fn() -> S, mut next: impl FnMut(&mut S) -> bool) -> (f64, f64) {
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..runs {
        let mut state = start();
        let mut length = 1.0;
        while !next(&mut state) {
            length += 1.0;
        }
        sum += length;
        squares += length * length;
    }
    let average = sum / f64::from(runs);
    (average, ((squares / f64::from(runs) - average * average) / f64::from(runs)).sqrt())
}

/// Within four standard errors: an exact value that is wrong by some percent fails, luck practically never does.
fn agree(what: &str, (average, error): (f64, f64), exact: f64) {
    println!("{what}: played {average:.3} ± {error:.3}, exact {exact:.3}");
    assert!((average - exact).abs() <= 4.0 * error, "{what}: played {average} ± {error}, exact {exact}");
}

const RUNS: u32 = 6000;

#[test]
fn one_sided_cusums_and_head_starts() {
    let mut noise = Seeded::new(11);
    let (k, h) = (0.5, 3.5);
    for head_start in [0.0, 1.75] {
        let upper = CusumDesign::new(k, h, CusumSides::Upper).unwrap().with_head_start(head_start).unwrap();
        let both = CusumDesign::new(k, h, CusumSides::Both).unwrap().with_head_start(head_start).unwrap();
        for mean in [0.0, 0.5, 1.5] {
            let lengths = played(
                RUNS,
                || head_start,
                |sum| {
                    *sum = (*sum + mean + noise.normal() - k).max(0.0);
                    *sum > h
                },
            );
            agree(&format!("upper CUSUM from {head_start} at {mean}"), lengths, upper.average(mean).unwrap());
            let lengths = played(
                RUNS,
                || (head_start, head_start),
                |(above, below)| {
                    let x = mean + noise.normal();
                    *above = (*above + x - k).max(0.0);
                    *below = (*below - x - k).max(0.0);
                    above.max(*below) > h
                },
            );
            agree(&format!("two-sided CUSUM from {head_start} at {mean}"), lengths, both.average(mean).unwrap());
        }
    }
    let crosier = CusumDesign::new(k, h, CusumSides::Crosier).unwrap();
    for mean in [0.0, 1.0] {
        let lengths = played(
            RUNS,
            || 0.0_f64,
            |sum| {
                let whole = *sum + mean + noise.normal();
                *sum = if whole.abs() <= k { 0.0 } else { whole - k.copysign(whole) };
                sum.abs() > h
            },
        );
        agree(&format!("Crosier's CUSUM at {mean}"), lengths, crosier.average(mean).unwrap());
    }
}

#[test]
fn one_sided_ewma_and_head_starts() {
    let mut noise = Seeded::new(12);
    let (weight, width) = (0.2_f64, 2.4);
    let spread = (weight / (2.0 - weight)).sqrt();
    for head_start in [0.0, 1.2] {
        let both = EwmaDesign::new(weight, width, EwmaSides::Both).unwrap().with_head_start(head_start).unwrap();
        let upper = EwmaDesign::new(weight, width, EwmaSides::Upper { barrier: 0.0 }).unwrap().with_head_start(head_start).unwrap();
        for mean in [0.0, 1.0] {
            let start = || head_start * spread;
            let lengths = played(RUNS, start, |z| {
                *z += weight * (mean + noise.normal() - *z);
                z.abs() > width * spread
            });
            agree(&format!("EWMA from {head_start} at {mean}"), lengths, both.average(mean).unwrap());
            let lengths = played(RUNS, start, |z| {
                *z = (*z + weight * (mean + noise.normal() - *z)).max(0.0);
                *z > width * spread
            });
            agree(&format!("upper EWMA from {head_start} at {mean}"), lengths, upper.average(mean).unwrap());
        }
    }
}

#[test]
fn shiryaev_roberts() {
    let mut noise = Seeded::new(13);
    let (k, g) = (0.5_f64, 4.0_f64);
    let design = ShiryaevRobertsDesign::new(k, g).unwrap();
    for mean in [0.0, 0.5, 1.5] {
        // On the scale of the likelihood ratios, not the logarithm that the design computes with; the barrier is 1 there.
        let lengths = played(
            RUNS,
            || 0.0_f64,
            |ratio| {
                *ratio = ((1.0 + *ratio) * (mean + noise.normal() - k).exp()).max(1.0);
                *ratio > g.exp()
            },
        );
        agree(&format!("Shiryaev–Roberts at {mean}"), lengths, design.average(mean).unwrap());
    }
}

/// Events in one sample: exponential gaps that fit in.
fn poisson(noise: &mut Seeded, mean: f64) -> u32 {
    let mut count = 0;
    let mut left = mean + noise.uniform().ln();
    while left > 0.0 {
        count += 1;
        left += noise.uniform().ln();
    }
    count
}

#[test]
fn cusums_of_counts() {
    let mut noise = Seeded::new(14);
    // k = 5/2 and h = 5 events.
    for (upward, means) in [(true, [2.0, 3.0]), (false, [3.0, 2.0])] {
        for head_start in [0, 5] {
            let design = PoissonCusumDesign::new(5, 10, 2, upward).unwrap().with_head_start(head_start).unwrap();
            for mean in means {
                let lengths = played(
                    RUNS,
                    || i64::from(head_start),
                    |sum| {
                        let step = 2 * i64::from(poisson(&mut noise, mean)) - 5;
                        *sum = (*sum + if upward { step } else { -step }).max(0);
                        *sum > 10
                    },
                );
                agree(&format!("Poisson CUSUM, upward {upward}, from {head_start} at {mean}"), lengths, design.average(mean).unwrap());
            }
        }
    }
}

#[test]
fn ewma_of_nonconforming_counts() {
    let mut noise = Seeded::new(15);
    let (size, weight, upper, start) = (50, 0.25, 3.0, 1.5);
    let design = BinomialEwmaDesign::new(weight, (None, Some(upper)), start, 100).unwrap();
    for share in [0.03, 0.05] {
        let lengths = played(
            RUNS,
            || start,
            |z: &mut f64| {
                let count = (0..size).filter(|_| noise.uniform() < share).count();
                let x = f64::from(u32::try_from(count).expect("a small count"));
                // Rounded to hundredths, upward at ties.
                *z = (((1.0 - weight) * *z + weight * x) * 100.0 + 0.5).floor() / 100.0;
                *z > upper
            },
        );
        agree(&format!("binomial EWMA at {share}"), lengths, design.average(size, share).unwrap());
    }
}

#[test]
fn cusum_of_variances() {
    let mut noise = Seeded::new(16);
    let (k, h) = (1.2, 3.0);
    let design = VarianceCusumDesign::new(k, h, 4.0, true).unwrap();
    for sigma in [1.0_f64, 1.4] {
        let lengths = played(
            RUNS,
            || 0.0_f64,
            |sum| {
                let variance = (0..4).map(|_| noise.normal().powi(2)).sum::<f64>() / 4.0 * sigma * sigma;
                *sum = (*sum + variance - k).max(0.0);
                *sum > h
            },
        );
        agree(&format!("variance CUSUM at {sigma}"), lengths, design.average(sigma).unwrap());
    }
}
