//! Properties of the time-weighted charts: they are what their definitions say, streaming is batch to the bit, a checkpoint
//! resumes anywhere, a refusal leaves no trace, no number is ever not finite, a change of unit changes no signal, and
//! simulated run lengths are the exact ones.

mod seeded;

use proptest::prelude::*;
use seeded::Seeded;
use spc::alarm::{CusumDesign, CusumSides, EwmaDesign, EwmaLimits, EwmaSides};
use spc::weighted::{Cusum, CusumPoint, CusumSettings, Ewma, EwmaSettings, EwmaWidth, MovingAverage, MovingAverageSettings, Process};
use spc::{Point, Rule, SampleError, Settings};

/// Values as gauges deliver them: few decimals, so that ties and points on the centre happen and small sums are exact.
fn subgroups(count: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let value = (-40i32..40).prop_map(|x| 74.0 + f64::from(x) / 64.0);
    prop::collection::vec(prop::collection::vec(value, 1..=4), count)
}

fn widths() -> impl Strategy<Value = EwmaWidth> {
    prop_oneof![Just(EwmaWidth::Exact), Just(EwmaWidth::Asymptotic), Just(EwmaWidth::Recursive), Just(EwmaWidth::Steiner)]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / real(values.len())
}

fn real(n: usize) -> f64 {
    f64::from(u32::try_from(n).expect("a small count"))
}

fn near(got: f64, expected: f64, scale: f64) -> Result<(), TestCaseError> {
    prop_assert!((got - expected).abs() <= 1e-11 * scale, "{got} is not {expected}");
    Ok(())
}

proptest! {
    /// Every mean has the weight that its age gives it, and the variance is the sum of what that makes of each.
    #[test]
    fn ewma_is_its_definition(data in subgroups(30), lambda in 0.01f64..=1.0, limits in widths()) {
        let process = Process::given(74.0, 0.25).unwrap();
        let settings = EwmaSettings { lambda, limits, ..EwmaSettings::default() };
        let seen = Ewma::new(process, settings).unwrap().batch(&data).unwrap();
        for (t, point) in seen.iter().enumerate() {
            let weight = |i: usize| lambda * (1.0 - lambda).powi(i32::try_from(t - i).unwrap());
            let weighted: f64 = (0..=t).map(|i| weight(i) * (mean(&data[i]) - 74.0)).sum();
            near(point.statistic, 74.0 + weighted, 74.0)?;
            let size = |i: usize| match limits { EwmaWidth::Recursive => real(data[i].len()), _ => real(data[t].len()) };
            let variance: f64 = match limits {
                EwmaWidth::Asymptotic => lambda / (2.0 - lambda) / size(t),
                _ => (0..=t).map(|i| weight(i) * weight(i) / size(i)).sum(),
            };
            let lines = point.lines.unwrap();
            near(lines.se, 0.25 * variance.sqrt(), 1.0)?;
            let narrower = 1.0 - 0.5 * 0.02f64.powf(real(t) / 19.0);
            let width = settings.width * if limits == EwmaWidth::Steiner { narrower } else { 1.0 };
            near(lines.ucl - lines.centre, width * lines.se, 74.0)?;
            near(lines.centre - lines.lcl, width * lines.se, 74.0)?;
            prop_assert_eq!(point.signals.contains(Rule::Nelson1), point.statistic > lines.ucl || point.statistic < lines.lcl);
        }
    }

    /// The upper sum is the largest sum of any stretch that ends here, or nothing; with the lower sum upside down.
    #[test]
    fn cusum_is_its_definition(data in subgroups(40), shift in 0.1f64..3.0) {
        let process = Process::given(74.0, 0.25).unwrap();
        let settings = CusumSettings { shift, interval: 4.0, head_start: 0.0 };
        let seen = Cusum::new(process, settings).unwrap().batch(&data).unwrap();
        let z: Vec<f64> = data.iter().map(|x| (mean(x) - 74.0) / 0.25 * real(x.len()).sqrt()).collect();
        for (t, point) in seen.iter().enumerate() {
            let largest = |sign: f64| {
                let mut sum = 0.0;
                (0..=t).rev().map(|i| { sum += sign * z[i] - 0.5 * shift; sum }).fold(0.0, f64::max)
            };
            near(point.upper, largest(1.0), 10.0)?;
            near(point.lower, largest(-1.0), 10.0)?;
            let since = |sum: fn(&CusumPoint) -> f64| seen[..=t].iter().rev().take_while(|seen| sum(seen) > 0.0).count();
            prop_assert_eq!(point.upper_since, u64::try_from(since(|x| x.upper)).unwrap());
            prop_assert_eq!(point.lower_since, u64::try_from(since(|x| x.lower)).unwrap());
            prop_assert_eq!((point.upper_signal, point.lower_signal), (point.upper > 4.0, point.lower > 4.0));
        }
    }

    #[test]
    fn moving_average_is_its_definition(data in subgroups(20), span in 1u32..8) {
        let process = Process::given(74.0, 0.25).unwrap();
        let chart = MovingAverage::new(process, MovingAverageSettings { span, ..MovingAverageSettings::default() }).unwrap();
        for (t, point) in chart.batch(&data).unwrap().iter().enumerate() {
            let window = &data[(t + 1).saturating_sub(usize::try_from(span).unwrap())..=t];
            let means: Vec<f64> = window.iter().map(|x| mean(x)).collect();
            near(point.statistic, mean(&means), 74.0)?;
            let variance: f64 = window.iter().map(|x| 1.0 / real(x.len())).sum::<f64>() / real(window.len()).powi(2);
            near(point.lines.unwrap().se, 0.25 * variance.sqrt(), 1.0)?;
        }
    }

    /// After every point, and through a checkpoint at every point.
    #[test]
    fn streaming_is_batch(data in subgroups(25), limits in widths(), head_start in 0.0f64..4.0) {
        let process = Process::phase_one(&data[..12], &[3], &Settings::values()).unwrap();
        prop_assume!(process.sigma > 0.0);
        let ewma = Ewma::new(process, EwmaSettings { limits, ..EwmaSettings::default() }).unwrap();
        let cusum = Cusum::new(process, CusumSettings { head_start, ..CusumSettings::default() }).unwrap();
        let average = MovingAverage::new(process, MovingAverageSettings::default()).unwrap();
        let (mut a, mut b, mut c) = (ewma.clone(), cusum.clone(), average.clone());
        let (mut seen_a, mut seen_b, mut seen_c) = (Vec::new(), Vec::new(), Vec::new());
        for (t, subgroup) in data.iter().enumerate() {
            (a, b, c) = serde_json::from_str(&serde_json::to_string(&(a, b, c)).unwrap()).unwrap();
            seen_a.push(a.push(subgroup).unwrap());
            seen_b.push(b.push(subgroup).unwrap());
            seen_c.push(c.push(subgroup).unwrap());
            prop_assert_eq!(&seen_a, &ewma.clone().batch(&data[..=t]).unwrap());
            prop_assert_eq!(&seen_b, &cusum.clone().batch(&data[..=t]).unwrap());
            prop_assert_eq!(&seen_c, &average.clone().batch(&data[..=t]).unwrap());
        }
    }

    /// Any f64 at all is either refused without a trace or leads to finite numbers only, whatever the process is.
    #[test]
    fn no_number_is_ever_not_finite(
        data in prop::collection::vec(prop::collection::vec(prop::num::f64::ANY, 0..3), 30),
        centre in prop::num::f64::ANY,
        sigma in prop::num::f64::ANY,
    ) {
        if let Ok(process) = Process::phase_one(&data, &[], &Settings::values()) {
            prop_assert!(process.centre.is_finite() && process.sigma.is_finite());
        }
        let process = Process::given(centre, sigma).or_else(|_| Process::given(0.0, 1.0)).unwrap();
        let mut ewma = Ewma::new(process, EwmaSettings::default()).unwrap();
        let mut average = MovingAverage::new(process, MovingAverageSettings::default()).unwrap();
        let mut cusum = Cusum::new(process, CusumSettings::default()).ok();
        let finite = |point: Point| {
            let lines = point.lines.unwrap();
            [point.statistic, lines.centre, lines.lcl, lines.ucl, lines.se].into_iter().all(f64::is_finite)
        };
        for subgroup in &data {
            let before = (ewma.clone(), average.clone(), cusum.clone());
            if let Ok(point) = ewma.push(subgroup) {
                prop_assert!(finite(point));
                prop_assert!(finite(average.push(subgroup).unwrap()));
            } else {
                prop_assert!(average.push(subgroup).is_err());
                prop_assert_eq!((&ewma, &average), (&before.0, &before.1));
            }
            if let Some(cusum) = &mut cusum {
                match cusum.push(subgroup) {
                    Ok(point) => prop_assert!([point.z, point.upper, point.lower].into_iter().all(f64::is_finite)),
                    Err(_) => prop_assert_eq!(Some(&*cusum), before.2.as_ref()),
                }
                prop_assert!(cusum.shifted_mean(1).is_none_or(|mean| !mean.is_nan()));
            }
        }
    }

    /// Another unit (a power of two: exact) moves every line by that factor and no signal; turning the gauge round changes
    /// the sides; the order within a subgroup does not matter.
    #[test]
    fn unit_sign_and_order_change_no_signal(data in subgroups(40), power in -20i32..20) {
        let charts = |by: f64| {
            let data: Vec<Vec<f64>> = data.iter().map(|x| x.iter().map(|x| by * x).collect()).collect();
            let process = Process::phase_one(&data[..20], &[], &Settings::values()).unwrap();
            let ewma = Ewma::new(process, EwmaSettings::default()).unwrap().batch(&data).unwrap();
            (ewma, Cusum::new(process, CusumSettings::default()).map(|chart| chart.batch(&data).unwrap()))
        };
        let factor = 2.0f64.powi(power);
        let (plain, scaled, turned) = (charts(1.0), charts(factor), charts(-1.0));
        for ((a, b), c) in plain.0.iter().zip(&scaled.0).zip(&turned.0) {
            prop_assert_eq!((a.signals, a.signals), (b.signals, c.signals));
            prop_assert_eq!((a.statistic * factor, -a.statistic), (b.statistic, c.statistic));
            prop_assert_eq!((a.ucl().map(|x| x * factor), a.ucl().map(|x| -x)), (b.ucl(), c.lcl()));
        }
        let (Ok(plain), Ok(scaled), Ok(turned)) = (plain.1, scaled.1, turned.1) else { return Ok(()) };
        prop_assert_eq!(&plain, &scaled);
        for (a, c) in plain.iter().zip(&turned) {
            prop_assert_eq!((a.upper, a.lower, a.upper_since, a.lower_since), (c.lower, c.upper, c.lower_since, c.upper_since));
        }
        let reversed: Vec<Vec<f64>> = data.iter().map(|x| x.iter().rev().copied().collect()).collect();
        let of = |data: &[Vec<f64>]| Process::phase_one(data, &[], &Settings::values()).unwrap();
        prop_assert_eq!(of(&data), of(&reversed));
    }
}

/// Mean of the run lengths of `runs` charts on simulated standard normal values.
fn simulated(runs: u32, values: &mut Seeded, mut signals: impl FnMut(bool, f64) -> bool) -> f64 {
    let mut points = 0u32;
    for _ in 0..runs {
        let mut first = true;
        loop {
            points += 1;
            if signals(std::mem::take(&mut first), values.normal()) {
                break;
            }
        }
    }
    f64::from(points) / f64::from(runs)
}

/// Run lengths are nearly geometric, so that their mean has a standard error of about itself over √runs; four of them.
fn agrees(simulated: f64, exact: f64, runs: u32) {
    let tolerance = 4.0 * exact / f64::from(runs).sqrt();
    assert!((simulated - exact).abs() < tolerance, "simulated {simulated}, exact {exact} ± {tolerance}");
}

#[test]
fn simulated_run_lengths_are_the_exact_ones() {
    let process = Process::given(0.0, 1.0).unwrap();
    let mut values = Seeded::new(20_251_123);
    for (mean, head_start, runs) in [(0.0, 0.0, 800), (1.0, 0.0, 4000), (1.0, 2.0, 4000)] {
        let settings = CusumSettings { shift: 1.0, interval: 4.0, head_start };
        let mut chart = Cusum::new(process, settings).unwrap();
        let got = simulated(runs, &mut values, |first, z| {
            if first {
                chart.restart();
            }
            let point = chart.push(&[z + mean]).unwrap();
            point.upper_signal || point.lower_signal
        });
        let design = CusumDesign::new(0.5, 4.0, CusumSides::Both).unwrap().with_head_start(head_start).unwrap();
        agrees(got, design.average(mean).unwrap(), runs);
    }
    let fixed = (EwmaWidth::Asymptotic, EwmaLimits::Fixed);
    let exact = (EwmaWidth::Exact, EwmaLimits::Exact);
    let steiner = (EwmaWidth::Steiner, EwmaLimits::Steiner);
    for ((limits, design), mean, runs) in [(fixed, 0.0, 500), (fixed, 1.0, 4000), (exact, 1.0, 4000), (steiner, 1.0, 4000)] {
        let settings = EwmaSettings { lambda: 0.1, width: 2.454, limits, ..EwmaSettings::default() };
        let mut chart = Ewma::new(process, settings).unwrap();
        let got = simulated(runs, &mut values, |first, z| {
            if first {
                chart.restart();
            }
            !chart.push(&[z + mean]).unwrap().signals.is_empty()
        });
        let design = EwmaDesign::new(0.1, 2.454, EwmaSides::Both).unwrap().with_limits(design).unwrap();
        agrees(got, design.average(mean).unwrap(), runs);
    }
}

/// A mean that moved by one and a half standard deviations is told back.
#[test]
fn a_signal_tells_when_and_whereto_the_mean_moved() {
    let process = Process::given(10.0, 2.0).unwrap();
    let mut chart = Cusum::new(process, CusumSettings::default()).unwrap();
    let seen: Vec<CusumPoint> = [9.0, 9.0, 13.0, 13.0, 13.0, 13.0, 13.0, 13.0].iter().map(|x| chart.push(&[*x]).unwrap()).collect();
    let first = seen.iter().find(|point| point.upper_signal).unwrap();
    assert_eq!((first.index, first.upper_since), (8, 6));
    assert_eq!(chart.shifted_mean(1), Some(13.0));
    chart.restart();
    assert_eq!(chart.shifted_mean(1), None);
    assert_eq!(chart.push(&[]), Err(SampleError::Size { point: 9 }));
}

/// A process that never varies sits on its centre for ever.
#[test]
fn a_constant_process_signals_nothing() {
    let data = vec![vec![0.1; 3]; 50];
    let ewma = Ewma::phase_one(&data[..20], &[], EwmaSettings::default()).unwrap();
    assert!(ewma.batch(&data).unwrap().iter().all(|point| point.signals.is_empty()));
    let average = MovingAverage::phase_one(&data[..20], &[], MovingAverageSettings::default()).unwrap();
    assert!(average.batch(&data).unwrap().iter().all(|point| point.signals.is_empty()));
    assert!(Cusum::phase_one(&data[..20], &[], CusumSettings::default()).is_err());
}
