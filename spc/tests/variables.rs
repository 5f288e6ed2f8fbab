//! Charts of subgroups, rare events and rates: limits against the definitions written out plainly, staged and signed limits, and
//! what every chart refuses.

use proptest::prelude::*;
use spc::batch::{self, staged};
use spc::limits::{DataUsed, Exclusion, Revision, RevisionError, SigmaMethod, SignOff, SpreadCentre};
use spc::{Chart, ChartKind, Monitor, PairChart, Rule, Sample, SampleError, Settings, SettingsError, Subgroup};

/// Diameters in mm; sizes 3, 4 and 5.
const ROWS: [&[f64]; 6] = [
    &[74.03, 74.002, 74.019, 73.992, 74.008],
    &[73.995, 73.992, 74.001],
    &[73.988, 74.024, 74.021, 74.005, 74.002],
    &[74.002, 73.996, 73.993, 74.015],
    &[73.992, 74.007, 74.015, 73.989, 74.014],
    &[74.009, 73.994, 73.997, 73.985],
];

fn subgroups() -> Vec<Sample> {
    ROWS.iter().map(|row| Sample::Subgroup(Subgroup::of(row).expect("finite values"))).collect()
}

fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0), "got {got}, expected {expected}");
}

fn sd(row: &[f64]) -> f64 {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (row.len() as f64 - 1.0)).sqrt()
}

fn range(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::MIN, f64::max) - row.iter().copied().fold(f64::MAX, f64::min)
}

/// The constants themselves are held against independent integration where they are made.
fn constant(of: fn(u32) -> Option<f64>, n: usize) -> f64 {
    u32::try_from(n).ok().and_then(of).expect("a small size")
}

fn c4(n: usize) -> f64 {
    constant(spc::chart::constants::c4, n)
}

fn d2(n: usize) -> f64 {
    constant(spc::chart::constants::d2, n)
}

fn d3(n: usize) -> f64 {
    constant(spc::chart::constants::d3, n)
}

fn sigma_by(method: SigmaMethod) -> f64 {
    let chart =
        if matches!(method, SigmaMethod::MeanRange | SigmaMethod::MinimumVarianceRange) { ChartKind::XbarR } else { ChartKind::XbarS };
    let settings = Settings { sigma: Some(method), ..Settings::values() };
    Chart::phase_one(chart, &subgroups(), &[], &settings).expect("enough subgroups").sigma
}

#[test]
fn sigma_is_what_each_method_says() {
    let weighed = |estimate: &dyn Fn(&[f64]) -> f64, weight: &dyn Fn(usize) -> f64| {
        let (sum, weights) = ROWS.iter().fold((0.0, 0.0), |(sum, weights), row| {
            let w = weight(row.len());
            (sum + w * estimate(row), weights + w)
        });
        sum / weights
    };
    let (by_range, by_sd) = (|row: &[f64]| range(row) / d2(row.len()), |row: &[f64]| sd(row) / c4(row.len()));
    near(sigma_by(SigmaMethod::MeanRange), weighed(&by_range, &|_| 1.0));
    near(sigma_by(SigmaMethod::MeanSd), weighed(&by_sd, &|_| 1.0));
    near(sigma_by(SigmaMethod::MinimumVarianceRange), weighed(&by_range, &|n| (d2(n) / d3(n)).powi(2)));
    near(sigma_by(SigmaMethod::MinimumVarianceSd), weighed(&by_sd, &|n| c4(n).powi(2) / (1.0 - c4(n).powi(2))));
    let pooled = weighed(&|row| sd(row).powi(2), &|n| n as f64 - 1.0).sqrt();
    near(sigma_by(SigmaMethod::PooledSd), pooled / c4(21));
    near(sigma_by(SigmaMethod::PooledSdOwnSize), pooled);
}

#[test]
fn lines_follow_the_size_of_each_subgroup() {
    let settings = Settings { sigma: Some(SigmaMethod::PooledSdOwnSize), ..Settings::values() };
    let limits = Chart::phase_one(ChartKind::XbarS, &subgroups(), &[], &settings).unwrap();
    // Montgomery 6.3.2: x̿ ± A3 s̄ and B3 s̄, B4 s̄ with the factors of each size.
    for n in [3_u32, 4, 5] {
        let (size, c4) = (f64::from(n), spc::chart::constants::c4(n).unwrap());
        near(limits.lines(size).ucl, limits.centre + 3.0 * limits.sigma / (c4 * size.sqrt()));
        let within = limits.within_lines(size).unwrap();
        near(within.centre, limits.sigma);
        near(within.ucl, limits.sigma * (1.0 + 3.0 * (1.0 - c4 * c4).sqrt() / c4));
        near(within.lcl, 0.0);
    }
    assert_eq!(limits.within_lines(1.0), None);
    let values: Vec<f64> = ROWS.concat();
    near(limits.centre, values.iter().sum::<f64>() / values.len() as f64);

    let limits = Chart::phase_one(ChartKind::XbarR, &subgroups(), &[], &Settings::values()).unwrap();
    near(limits.within_lines(4.0).unwrap().centre, d2(4) * limits.sigma);
    let averaged = Settings { spread_centre: SpreadCentre::Average, ..Settings::values() };
    let limits = Chart::phase_one(ChartKind::XbarR, &subgroups(), &[], &averaged).unwrap();
    let weighted = ROWS.iter().map(|row| row.len() as f64 * range(row)).sum::<f64>() / 26.0;
    near(limits.within_lines(4.0).unwrap().centre, weighted);
    near(limits.within_lines(5.0).unwrap().centre, weighted);
}

#[test]
fn medians_and_three_way_charts_have_their_own_errors() {
    let limits = Chart::phase_one(ChartKind::MedianR, &subgroups(), &[], &Settings::values()).unwrap();
    near(limits.centre, (74.008 + 73.995 + 74.005 + 73.999 + 74.007 + 73.9955) / 6.0);
    // mpmath: the median of 5 standard normal values has standard deviation 0.535568540530413.
    near(limits.lines(5.0).ucl, limits.centre + 3.0 * 0.535_568_540_530_413 * limits.sigma);

    let limits = Chart::phase_one(ChartKind::BetweenWithinS, &subgroups(), &[], &Settings::values()).unwrap();
    let means: Vec<f64> = ROWS.iter().map(|row| row.iter().sum::<f64>() / row.len() as f64).collect();
    let mean_range = means.windows(2).map(|pair| (pair[0] - pair[1]).abs()).sum::<f64>() / 5.0;
    near(limits.centre, means.iter().sum::<f64>() / 6.0);
    near(limits.sigma, mean_range / d2(2));
    near(limits.lines(5.0).ucl, limits.centre + 3.0 * limits.sigma);
    near(limits.within.unwrap().sigma, ROWS.iter().map(|row| sd(row) / c4(row.len())).sum::<f64>() / 6.0);
    let within = limits.within.unwrap().sigma;
    near(limits.between_sigma(5.0).unwrap(), (limits.sigma.powi(2) - within.powi(2) / 5.0).max(0.0).sqrt());

    let mut chart = Chart::new(limits, Settings::values().rules, Settings::values().range_rules).unwrap();
    chart.push(subgroups()[0]).unwrap();
    let wide = Sample::Subgroup(Subgroup::of(&[73.9, 74.1, 74.3, 74.5]).unwrap());
    let observation = chart.push(wide).unwrap();
    assert!(observation.moving_range.is_some());
    let hit: Vec<_> = observation.signals().filter(|signal| signal.rule == Rule::Nelson1).map(|signal| signal.chart).collect();
    assert_eq!(hit, [PairChart::Location, PairChart::Spread, PairChart::Within]);
}

#[test]
fn a_single_value_has_no_spread_and_a_large_subgroup_no_range() {
    let mut monitor = Monitor::new(ChartKind::XbarR, Settings { phase_one_subgroups: 2, ..Settings::values() }).unwrap();
    let single = Sample::Subgroup(Subgroup::of(&[74.0]).unwrap());
    for _ in 0..3 {
        let observation = monitor.push(single).unwrap();
        assert_eq!((observation.within, observation.froze_limits), (None, false), "a spread is missing");
    }
    assert!(monitor.push(subgroups()[0]).unwrap().froze_limits);
    let large = Sample::Subgroup(Subgroup::of(&[74.0; 101]).unwrap());
    let before = monitor.clone();
    assert_eq!(monitor.push(large), Err(SampleError::SubgroupTooLarge { point: 5 }));
    assert_eq!(monitor.push(Sample::Value(74.0)), Err(SampleError::WrongSample { point: 5, chart: ChartKind::XbarR }));
    assert_eq!(monitor, before);
    let given = spc::Limits::given_process(ChartKind::XbarS, 74.0, 0.01, &Settings::values()).unwrap();
    near(given.lines(500.0).ucl, 74.0 + 0.03 / 500.0_f64.sqrt());
    assert!(given.within_lines(500.0).unwrap().lcl > 0.0);
}

/// A standard error of 1e-309 beside a value of ordinary size: 1e311 of them, which is more than a number can hold.
#[test]
fn a_distance_of_too_many_standard_errors_stays_finite() {
    let tiny = Sample::Subgroup(Subgroup { size: 2, mean: 5e-309, median: 5e-309, range: 1e-308, sd: 7e-309 });
    let mut monitor = Monitor::new(ChartKind::XbarR, Settings { phase_one_subgroups: 2, ..Settings::values() }).unwrap();
    for sample in [tiny, tiny, subgroups()[0]] {
        monitor.push(sample).unwrap();
    }
    let json = serde_json::to_string(&monitor).unwrap();
    assert_eq!(serde_json::from_str::<Monitor>(&json).unwrap(), monitor);
}

#[test]
fn settings_belong_to_their_chart() {
    let settings = Settings { sigma: Some(SigmaMethod::MeanRange), ..Settings::counts() };
    let refused = SettingsError::SigmaMethod { chart: ChartKind::P, method: SigmaMethod::MeanRange };
    assert_eq!(Monitor::p(settings), Err(refused));
    for share in [0.0, 1.0, f64::NAN] {
        let settings = Settings { probability: Some(share), ..Settings::values() };
        assert_eq!(Monitor::individuals(settings), Err(SettingsError::Probability));
    }
    let known = Settings { known_sigma: Some(1.0), ..Settings::counts() };
    assert_eq!(Monitor::u(known), Err(SettingsError::Domain { chart: ChartKind::U }));
    let aimed = Settings { target: Some(74.0), known_sigma: Some(0.01), ..Settings::values() };
    let limits = Chart::phase_one(ChartKind::XbarR, &subgroups(), &[], &aimed).unwrap();
    assert_eq!((limits.centre, limits.sigma, limits.method), (74.0, 0.01, SigmaMethod::Given));
}

#[test]
fn plain_numbers_are_refused_by_their_number_too() {
    let settings = Settings::values();
    for (bad, error) in [
        (f64::NAN, SampleError::NotFinite { point: 4 }),
        (f64::NEG_INFINITY, SampleError::NotFinite { point: 4 }),
        (-1e101, SampleError::TooLarge { point: 4 }),
    ] {
        let refused = batch::estimate(ChartKind::Individuals, &[1.0, 2.0, 1.5, bad, 1.0], &[2], &settings);
        assert_eq!(refused, Err(batch::BatchError::Sample(error)));
    }
    // What is left out may be anything.
    let limits = batch::estimate(ChartKind::Individuals, &[1.0, 2.0, f64::NAN, 4.0, 6.0], &[9, 3, 3, 0], &settings).unwrap();
    assert_eq!((limits.centre, limits.subgroups, limits.excluded), (3.25, 4, 1));
    near(limits.sigma, 1.5 / d2(2));
    let wrong = batch::estimate(ChartKind::P, &[0.5], &[], &settings);
    assert_eq!(wrong, Err(batch::BatchError::Sample(SampleError::WrongSample { point: 1, chart: ChartKind::P })));
}

#[test]
fn stages_have_limits_of_their_own() {
    let values: Vec<Sample> = [1.0, 3.0, 2.0, 11.0, 99.0, 13.0, 12.0].into_iter().map(Sample::Value).collect();
    let stages = staged(ChartKind::Individuals, &values, &[4], &[5], &Settings::values()).unwrap();
    assert_eq!(stages.iter().map(|stage| stage.limits.centre).collect::<Vec<_>>(), [2.0, 12.0]);
    assert_eq!((stages[1].limits.revision, stages[1].limits.predecessor, stages[1].limits.excluded), (2, Some(1), 1));
    assert_eq!(stages[1].observations[0].moving_range, None);
    assert!(stages[1].observations[1].point.signals.contains(Rule::Nelson1), "left out, but judged");
    assert!(matches!(staged(ChartKind::Individuals, &values, &[9], &[], &Settings::values()), Err(batch::BatchError::TooFew(_))));
}

#[test]
fn a_revision_is_signed_and_looks_back() {
    let values: Vec<Sample> = (0..30).map(|i| Sample::Value(f64::from(i % 3) + if i == 7 { 50.0 } else { 0.0 })).collect();
    let data = DataUsed { first_point: 101, samples: &values };
    let signed = |author: &str| SignOff { author: author.to_owned(), reason: "new tool".to_owned(), at_micros: 1_700_000_000_000_000 };
    let chipped = |reason: &str| vec![Exclusion { point: 108, reason: reason.to_owned() }];
    let make = |exclusions, before: Option<&Revision>, author| {
        Revision::make(ChartKind::Individuals, data, exclusions, &Settings::values(), before, signed(author))
    };
    assert_eq!(make(Vec::new(), None, " "), Err(RevisionError::Unsigned));
    assert_eq!(make(chipped(""), None, "Aiko"), Err(RevisionError::NoCause { point: 108 }));
    let elsewhere = vec![Exclusion { point: 7, reason: "chipped".to_owned() }];
    assert_eq!(make(elsewhere, None, "Aiko"), Err(RevisionError::NotInData { point: 7, first: 101, last: 130 }));

    let first = make(Vec::new(), None, "Aiko").unwrap();
    let second = make(chipped("chipped insert"), Some(&first), "Aiko").unwrap();
    assert_eq!((second.limits().revision, second.limits().predecessor, second.limits().excluded), (2, Some(1), 1));
    assert_eq!(second.points(), (101, 130));
    let signalled: Vec<u64> = second.would_have_signalled(&values).unwrap().iter().map(|x| x.point.index).collect();
    assert!(signalled.contains(&8), "{signalled:?}");
    let json = serde_json::to_string(&second).unwrap();
    assert_eq!(serde_json::from_str::<Revision>(&json).unwrap(), second);
}

/// Samples of any shape, with any numbers at all.
fn anything() -> impl Strategy<Value = Sample> {
    use prop::num::f64::ANY;
    let summary = (0u32..120, ANY, ANY, ANY, ANY)
        .prop_map(|(size, mean, median, range, sd)| Sample::Subgroup(Subgroup { size, mean, median, range, sd }));
    let values = prop::collection::vec(prop_oneof![ANY, -1e3f64..1e3], 1..7);
    let subgroup = values.prop_filter_map("finite", |values| Subgroup::of(&values).ok().map(Sample::Subgroup));
    prop_oneof![
        ANY.prop_map(Sample::Value),
        (0f64..1e4).prop_map(Sample::Value),
        any::<u32>().prop_map(Sample::Tally),
        (any::<u32>(), 1e-12f64..1e16).prop_map(|(count, size)| Sample::Counted { count, size: size.trunc() }),
        (ANY, prop_oneof![1e-12f64..1e16, ANY]).prop_map(|(amount, size)| Sample::Ratio { amount, size }),
        summary,
        subgroup,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every chart either refuses a sample without a trace or goes on with finite numbers only.
    #[test]
    fn no_chart_shows_or_stores_what_is_not_finite(samples in prop::collection::vec(anything(), 60), learn in 2u32..6) {
        use ChartKind::*;
        for chart in [XbarR, XbarS, MedianR, BetweenWithinR, BetweenWithinS, LaneyP, LaneyU, IPrime, G, T] {
            let mut monitor = Monitor::new(chart, Settings { phase_one_subgroups: learn, ..Settings::values() }).unwrap();
            for sample in &samples {
                let before = monitor.clone();
                let outcome = monitor.push(*sample);
                if outcome.is_err() {
                    prop_assert_eq!(&monitor, &before);
                }
                // A number that is not finite would be written as null and not be read back.
                let state = (monitor.clone(), outcome.ok());
                let json = serde_json::to_string(&state).unwrap();
                let read = serde_json::from_str::<(Monitor, Option<spc::Observation>)>(&json);
                prop_assert!(read.is_ok_and(|read| read == state), "{:?} {:?}", chart, sample);
            }
        }
    }

    /// The order of the subgroups changes no limit of a chart that looks at them one by one.
    #[test]
    fn order_of_subgroups_has_no_meaning(rows in prop::collection::vec(prop::collection::vec(-50i32..50, 2..6), 3..12), by in 1usize..9) {
        let mut samples: Vec<Sample> = rows
            .iter()
            .map(|row| Sample::Subgroup(Subgroup::of(&row.iter().map(|x| f64::from(*x) / 8.0).collect::<Vec<_>>()).unwrap()))
            .collect();
        for chart in [ChartKind::XbarR, ChartKind::XbarS, ChartKind::MedianR] {
            let straight = Chart::phase_one(chart, &samples, &[], &Settings::values()).unwrap();
            let turn = by % samples.len();
            samples.rotate_left(turn);
            let turned = Chart::phase_one(chart, &samples, &[], &Settings::values()).unwrap();
            prop_assert!((straight.centre - turned.centre).abs() < 1e-12 && (straight.sigma - turned.sigma).abs() < 1e-12);
        }
    }
}
