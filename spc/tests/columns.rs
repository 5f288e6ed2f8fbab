//! A whole series judged many points at a time gives what point after point gives, to the bit: for every rule, by every convention.

use proptest::prelude::*;
use spc::batch::{self, BatchError, Columns};
use spc::rules::{Counting, KOfN, Lengths, Mixture, PartialWindow, Sides, Ties, ZoneRule, Zones};
use spc::{Chart, ChartKind, Conventions, Limits, Rule, RuleSet, Sample, SampleError, Settings, SettingsError};

fn zone() -> impl Strategy<Value = KOfN> {
    prop_oneof![4 => 1u32..8, 1 => 1u32..=32].prop_flat_map(|n| (1..=n).prop_map(move |k| KOfN { k, n }))
}

fn lengths() -> impl Strategy<Value = Lengths> {
    let short = || prop_oneof![4 => 3u32..10, 1 => 3u32..=32];
    (short(), short(), short(), short(), zone(), zone(), short(), short()).prop_map(
        |(western, side, trend, turns, two, one, inside, mixture)| Lengths {
            side_western_electric: western,
            side,
            trend,
            alternation: turns,
            beyond_two: two,
            beyond_one: one,
            stratification: inside,
            mixture,
        },
    )
}

fn conventions() -> impl Strategy<Value = Conventions> {
    let counting = || prop::sample::select(vec![Counting::Points, Counting::Steps]);
    let ties = prop::sample::select(vec![Ties::Break, Ties::Continue]);
    let mixture = prop::sample::select(vec![Mixture::BothSides, Mixture::AnySide]);
    let partial = prop::sample::select(vec![PartialWindow::Silent, PartialWindow::Signals]);
    let zones = prop::sample::select(vec![Zones::StandardErrors, Zones::ThirdsOfLimits]);
    let lengths = prop_oneof![Just(Conventions::REFERENCE.lengths), lengths()];
    (counting(), counting(), ties, mixture, partial, zones, lengths).prop_map(
        |(trend, alternation, ties, mixture, partial_window, zones, lengths)| Conventions {
            trend,
            alternation,
            ties,
            mixture,
            partial_window,
            zones,
            lengths,
        },
    )
}

fn rules() -> impl Strategy<Value = RuleSet> {
    let pattern = (zone(), 0.25f64..3.0, prop::sample::select(vec![Sides::One, Sides::Any]));
    let patterns = prop::collection::vec(pattern.prop_map(|(KOfN { k, n }, z, sides)| ZoneRule { k, n, z, sides }), 0..=4);
    let watched = prop_oneof![Just(Rule::ALL.to_vec()), prop::sample::subsequence(Rule::ALL.to_vec(), 0..5)];
    (watched, conventions(), patterns).prop_map(|(watched, conventions, patterns)| {
        let own = |rule: &Rule| matches!(rule, Rule::Custom1 | Rule::Custom2 | Rule::Custom3 | Rule::Custom4);
        let watched: Vec<_> = watched.into_iter().filter(|rule| !own(rule)).collect();
        RuleSet::only(&watched).with_conventions(conventions).with_custom(&patterns)
    })
}

/// Few decimals, so that ties and points on lines happen; slow waves, trends and sawteeth, so that long patterns happen.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let steps = |span: i32| prop::collection::vec((-span..=span).prop_map(|x| f64::from(x) / 4.0), 0..300);
    let walk = steps(2).prop_map(|steps| {
        steps
            .iter()
            .scan(0.0, |sum, step| {
                *sum = (*sum + step).clamp(-4.0, 4.0);
                Some(*sum)
            })
            .collect()
    });
    let sawtooth =
        steps(6).prop_map(|steps| steps.iter().zip([1.0, -1.0].into_iter().cycle()).map(|(step, sign)| step.abs() * sign).collect());
    prop_oneof![steps(2), steps(6), steps(16), walk, sawtooth, (0usize..300).prop_map(|count| vec![0.25; count])]
}

fn assert_agrees(limits: Limits, rules: RuleSet, range_rules: RuleSet, values: &[f64]) -> Result<(), TestCaseError> {
    let Columns { lines, signals, range_lines, moving_ranges, range_signals } = batch::judge_values(&limits, &rules, &range_rules, values)?;
    let mut chart = Chart::new(limits, rules, range_rules)?;
    prop_assert_eq!(signals.len(), values.len());
    let mut ranges = moving_ranges.iter().zip(&range_signals);
    for (value, hits) in values.iter().zip(&signals) {
        let point = chart.push(Sample::Value(*value))?;
        prop_assert_eq!(point.point.lines, Some(lines));
        prop_assert_eq!(point.point.signals, *hits, "point {}", point.point.index);
        if let Some(streamed) = point.moving_range {
            let (range, hits) = ranges.next().expect("a range for each that was streamed");
            prop_assert_eq!(streamed.lines, range_lines);
            prop_assert_eq!(streamed.statistic.to_bits(), range.to_bits());
            prop_assert_eq!(streamed.signals, *hits, "range at point {}", streamed.index);
        }
    }
    prop_assert_eq!(ranges.next(), None);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn columns_are_the_stream(
        values in values(),
        rules in rules(),
        range_rules in rules(),
        sigma in prop_oneof![Just(1.0), Just(0.5), Just(0.0), Just(1e-30)],
        centre in prop_oneof![Just(0.0), Just(-0.0), Just(0.25), Just(1e6)],
        span in 2u32..6,
        width in prop_oneof![Just(3.0), 1.0f64..4.0],
    ) {
        let settings = Settings { span, width, ..Settings::values() };
        let limits = Limits::given(0.0, 1.0, &settings).unwrap();
        assert_agrees(Limits { centre, sigma, ..limits }, rules, range_rules, &values)?;
        assert_agrees(Limits { range: None, ..limits }, rules, range_rules, &values)?;
    }
}

#[test]
fn every_rule_is_hit_across_the_edge_of_a_word() {
    let limits = Limits::given(0.0, 1.0, &Settings::values()).unwrap();
    let rules = RuleSet::only(&Rule::ALL).with_custom(&[ZoneRule { k: 3, n: 4, z: 1.5, sides: Sides::Any }; 4]);
    let calm = |count: usize| [0.1, -0.1, -0.1, 0.1].into_iter().cycle().take(count);
    let patterns: [&[f64]; 6] = [
        &[2.5, 3.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5],
        &[-2.5, -3.5, 2.5, 2.5, -1.5, 1.5, -1.5, 1.5, 1.5, -1.5],
        &[-0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.2, 0.4, 0.6],
        &[0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5],
        &[0.5; 20],
        &[1.2, 1.4, 1.3, 1.2, 1.6, 1.7, 1.6, 1.4, 1.8],
    ];
    let mut hit = spc::Hits::EMPTY;
    for start in 40..70 {
        for pattern in patterns {
            let series: Vec<_> = calm(start).chain(pattern.iter().copied()).chain(calm(80)).collect();
            assert_agrees(limits, rules, rules, &series).unwrap();
            let columns = batch::judge_values(&limits, &rules, &rules, &series).unwrap();
            hit = columns.signals.iter().flat_map(|hits| hits.iter()).fold(hit, spc::Hits::with);
        }
    }
    assert_eq!(hit, spc::Hits::of(&Rule::ALL));
}

#[test]
fn what_cannot_be_judged_is_refused_by_name() {
    let limits = Limits::given(0.0, 1.0, &Settings::values()).unwrap();
    let judge = |limits: Limits, values: &[f64]| batch::judge_values(&limits, &RuleSet::nelson(), &RuleSet::nelson(), values);
    let refusal = |values: &[f64]| judge(limits, values).unwrap_err();
    assert_eq!(refusal(&[1.0, f64::NAN, f64::INFINITY]), BatchError::Sample(SampleError::NotFinite { point: 2 }));
    assert_eq!(refusal(&[1.0, 2.0, f64::NEG_INFINITY]), BatchError::Sample(SampleError::NotFinite { point: 3 }));
    assert_eq!(refusal(&[-1e101]), BatchError::Sample(SampleError::TooLarge { point: 1 }));
    let counted = Limits::given_rate(ChartKind::C, 4.0, &Settings::counts()).unwrap();
    assert_eq!(judge(counted, &[1.0]).unwrap_err(), BatchError::Settings(SettingsError::Domain { chart: ChartKind::C }));
    assert!(judge(limits, &[]).unwrap().signals.is_empty());
    let one = judge(limits, &[4.0]).unwrap();
    assert_eq!((one.signals[0].len(), one.moving_ranges.len()), (1, 0));
}
