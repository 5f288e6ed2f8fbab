//! Properties of the short-run and the residual chart: streaming is batch to the bit, a checkpoint resumes anywhere, a refusal
//! leaves no trace, no number is ever not finite, and neither the unit nor where the gauge has its zero changes a signal.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spc::autocorrelation::{Autocorrelation, ResidualChart};
use spc::short_run::{Pooling, ShortRun};
use spc::{Observation, Settings};

const PARTS: [&str; 3] = ["A", "B", "C"];

/// Pieces of three parts in steps of 1/64, so that ties happen and small sums are exact.
fn pieces(count: usize) -> impl Strategy<Value = Vec<(&'static str, f64)>> {
    let piece = (prop::sample::select(PARTS.to_vec()), -64i32..64).prop_map(|(part, x)| (part, 10.0 + f64::from(x) / 64.0));
    prop::collection::vec(piece, count)
}

fn nominals(at: f64) -> BTreeMap<String, f64> {
    PARTS.iter().map(|part| ((*part).to_owned(), at)).collect()
}

fn finite(seen: &Observation) -> bool {
    let points = [Some(seen.point), seen.moving_range];
    points.into_iter().flatten().all(|point| {
        point.statistic.is_finite()
            && point.lines.is_none_or(|lines| [lines.centre, lines.lcl, lines.ucl, lines.se].into_iter().all(f64::is_finite))
    })
}

fn resumed<T: serde::Serialize + serde::de::DeserializeOwned>(chart: &T) -> T {
    let json = serde_json::to_string(chart).expect("a chart is written");
    serde_json::from_str(&json).expect("what was written is read")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn streaming_is_batch(data in pieces(40), excluded in prop::collection::vec(1u64..30, 0..4), pooling in 0..4) {
        let settings = Settings::values();
        let phase_one = &data[..30];
        let short = match [Pooling::ByPart, Pooling::Constant, Pooling::RelativeToSize].get(usize::try_from(pooling).unwrap()) {
            None => ShortRun::dnom(&nominals(10.0), phase_one, &excluded, &settings),
            Some(pooling) => ShortRun::estimate(phase_one, &excluded, *pooling).and_then(|parts| ShortRun::z_mr(parts, &settings)),
        };
        // A part without two neighbours has no sigma, and says so.
        let Ok(short) = short else { return Ok(()) };
        prop_assume!(data.iter().all(|(part, _)| short.parts().contains_key(*part)));
        let series: Vec<f64> = data.iter().map(|(_, value)| *value).collect();
        let residuals = ResidualChart::phase_one(&series[..30], &excluded, &settings).unwrap();
        let (mut a, mut b) = (short.clone(), residuals.clone());
        let (mut seen_a, mut seen_b) = (Vec::new(), Vec::new());
        for (t, (part, value)) in data.iter().enumerate() {
            (a, b) = (resumed(&a), resumed(&b));
            seen_a.push(a.push(part, *value).unwrap());
            seen_b.push(b.push(*value).unwrap());
            prop_assert_eq!(&seen_a, &short.clone().batch(&data[..=t]).unwrap());
            prop_assert_eq!(&seen_b, &residuals.clone().batch(&series[..=t]).unwrap());
        }
    }

    /// Any f64 at all is either refused without a trace or leads to finite numbers only.
    #[test]
    fn a_refusal_leaves_no_trace(data in pieces(30), values in prop::collection::vec(prop::num::f64::ANY, 20)) {
        let series: Vec<f64> = data.iter().map(|(_, value)| *value).collect();
        let settings = Settings::values();
        let mut short = ShortRun::dnom(&nominals(10.0), &data, &[], &settings).unwrap();
        let mut residuals = ResidualChart::phase_one(&series, &[], &settings).unwrap();
        for value in values {
            let before = (short.clone(), residuals.clone());
            prop_assert!(short.push("D", value).is_err());
            prop_assert_eq!(&short, &before.0);
            match short.push("A", value) {
                Ok(seen) => prop_assert!(finite(&seen)),
                Err(_) => prop_assert_eq!(&short, &before.0),
            }
            match residuals.push(value) {
                Ok(seen) => prop_assert!(seen.is_none_or(|seen| finite(&seen))),
                Err(_) => prop_assert_eq!(&residuals, &before.1),
            }
        }
    }

    /// A unit that is a power of two, and a zero that is moved together with the nominals by a whole number, are exact.
    #[test]
    fn unit_and_zero_change_no_signal(data in pieces(40), power in -20i32..20, zero in -8i32..8) {
        let settings = Settings::values();
        let short = |data: &[(&str, f64)], nominal: f64| ShortRun::dnom(&nominals(nominal), &data[..30], &[], &settings).unwrap().batch(data).unwrap();
        let (factor, zero) = (2.0f64.powi(power), f64::from(zero));
        let scaled: Vec<_> = data.iter().map(|(part, x)| (*part, factor * x)).collect();
        let moved: Vec<_> = data.iter().map(|(part, x)| (*part, x + zero)).collect();
        let (plain, scaled, moved) = (short(&data, 10.0), short(&scaled, 10.0 * factor), short(&moved, 10.0 + zero));
        for ((a, b), c) in plain.iter().zip(&scaled).zip(&moved) {
            prop_assert_eq!((a.point.signals, a.point.statistic * factor), (b.point.signals, b.point.statistic));
            prop_assert_eq!(a, c);
        }
        let series: Vec<f64> = data.iter().map(|(_, value)| *value).collect();
        let found = |series: &[f64]| Autocorrelation::of(series, 4);
        let Ok(plain) = found(&series) else { return Ok(()) };
        let scaled: Vec<f64> = series.iter().map(|x| factor * x).collect();
        prop_assert_eq!(&plain, &found(&scaled).unwrap());
    }
}
