//! The run rule engine against the rules' definitions, written out over the whole series as a reader of Nelson (1984)
//! and the Western Electric handbook would: slow, with nothing remembered between points.

use proptest::prelude::*;
use spc::rules::{Counting, KOfN, Mixture, PartialWindow, Sides, Ties, ZoneRule, Zones};
use spc::{Chart, Conventions, Hits, Limits, Rule, RuleSet, Sample, Settings};

const ONE_IN: f64 = 4.0;

fn usize_of(n: u32) -> usize {
    n.try_into().expect("a run length fits")
}

/// The last `n` values up to now, if there are so many.
fn last(series: &[f64], n: u32) -> Option<&[f64]> {
    let n = usize_of(n);
    series.len().checked_sub(n).map(|from| &series[from..])
}

fn all(window: Option<&[f64]>, test: impl Fn(f64) -> bool) -> bool {
    window.is_some_and(|window| window.iter().all(|z| test(*z)))
}

fn k_of_n(series: &[f64], zone: KOfN, line: f64, partial: PartialWindow) -> bool {
    let window = match (last(series, zone.n), partial) {
        (Some(window), _) => window,
        (None, PartialWindow::Signals) => series,
        (None, PartialWindow::Silent) => return false,
    };
    let newest = window[window.len() - 1];
    let enough = |beyond: &dyn Fn(f64) -> bool| beyond(newest) && window.iter().filter(|z| beyond(**z)).count() >= usize_of(zone.k);
    enough(&|z| z > line) || enough(&|z| z < -line)
}

fn points(length: u32, counting: Counting) -> u32 {
    if counting == Counting::Points { length } else { length + 1 }
}

fn trend(series: &[f64], length: u32, ties: Ties) -> bool {
    let Some(window) = last(series, length) else { return false };
    let monotone = |onward: &dyn Fn(f64, f64) -> bool| window.windows(2).all(|pair| onward(pair[0], pair[1]));
    if ties == Ties::Break {
        return monotone(&|a, b| a < b) || monotone(&|a, b| a > b);
    }
    // Equal neighbours count as steps of a trend that has begun: the first step of the window that is not a tie, or
    // failing that the newest one before the window, gives the direction.
    let rising = monotone(&|a, b| a <= b);
    let falling = monotone(&|a, b| a >= b);
    let begun = |at: usize| {
        let steps: Vec<f64> = series[..=at].windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.iter().rev().find(|step| **step != 0.0).copied()
    };
    let first_step = series.len() - window.len() + 1;
    match begun(first_step) {
        Some(step) if step > 0.0 => rising,
        Some(_) => falling,
        None => false,
    }
}

fn alternates(series: &[f64], length: u32) -> bool {
    last(series, length).is_some_and(|window| {
        let steps: Vec<f64> = window.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.iter().all(|step| *step != 0.0) && steps.windows(2).all(|pair| pair[0] * pair[1] < 0.0)
    })
}

/// Patterns of the user's own, on a line that quarters of sigma hit.
const CUSTOM: [ZoneRule; 2] = [ZoneRule { k: 3, n: 4, z: 1.5, sides: Sides::One }, ZoneRule { k: 2, n: 6, z: 2.5, sides: Sides::Any }];

fn one_side_beyond(series: &[f64], n: u32, line: f64) -> bool {
    all(last(series, n), |z| z > line) || all(last(series, n), |z| z < -line)
}

fn custom(series: &[f64], pattern: &ZoneRule) -> bool {
    let ZoneRule { k, n, z: line, sides } = *pattern;
    let Some(window) = last(series, n) else { return false };
    let newest = window[window.len() - 1];
    let enough = |beyond: &dyn Fn(f64) -> bool| beyond(newest) && window.iter().filter(|z| beyond(**z)).count() >= usize_of(k);
    match sides {
        Sides::One => enough(&|z| z > line) || enough(&|z| z < -line),
        Sides::Any => enough(&|z| z.abs() > line),
    }
}

/// Rules hit at the newest point of a standardised series whose limits are `width` from its centre.
fn defined(series: &[f64], c: &Conventions, width: f64) -> Hits {
    let zone = if c.zones == Zones::ThirdsOfLimits { width / 3.0 } else { 1.0 };
    let newest = series[series.len() - 1];
    let lengths = &c.lengths;
    let one_side = |n| all(last(series, n), |z| z > 0.0) || all(last(series, n), |z| z < 0.0);
    let mixture = last(series, lengths.mixture);
    let both = mixture.is_some_and(|w| w.iter().any(|z| *z > zone) && w.iter().any(|z| *z < -zone));
    let beyond = newest.abs() > width;
    let two = k_of_n(series, lengths.beyond_two, 2.0 * zone, c.partial_window);
    let one = k_of_n(series, lengths.beyond_one, zone, c.partial_window);
    let found = [
        (Rule::WesternElectric1, beyond),
        (Rule::WesternElectric2, two),
        (Rule::WesternElectric3, one),
        (Rule::WesternElectric4, one_side(lengths.side_western_electric)),
        (Rule::Nelson1, beyond),
        (Rule::Nelson2, one_side(lengths.side)),
        (Rule::Nelson3, trend(series, points(lengths.trend, c.trend), c.ties)),
        (Rule::Nelson4, alternates(series, points(lengths.alternation, c.alternation))),
        (Rule::Nelson5, two),
        (Rule::Nelson6, one),
        (Rule::Nelson7, all(last(series, lengths.stratification), |z| z.abs() <= zone)),
        (Rule::Nelson8, all(mixture, |z| z.abs() > zone) && (both || c.mixture == Mixture::AnySide)),
        (Rule::Westgard12s, newest.abs() > 2.0),
        (Rule::Westgard13s, newest.abs() > 3.0),
        (Rule::Westgard22s, one_side_beyond(series, 2, 2.0)),
        (Rule::WestgardR4s, last(series, 2).is_some_and(|pair| pair[0].max(pair[1]) > 2.0 && pair[0].min(pair[1]) < -2.0)),
        (Rule::Westgard41s, one_side_beyond(series, 4, 1.0)),
        (Rule::Westgard10x, one_side(10)),
        (Rule::Custom1, custom(series, &CUSTOM[0])),
        (Rule::Custom2, custom(series, &CUSTOM[1])),
    ];
    Hits::of(&found.into_iter().filter(|(_, hit)| *hit).map(|(rule, _)| rule).collect::<Vec<_>>())
}

/// Series in quarters of sigma, so that ties, centre line and zone lines are hit; pieces of every pattern.
fn series() -> impl Strategy<Value = Vec<f64>> {
    let noise = prop::collection::vec(-14i32..=14, 1..12);
    let calm = prop::collection::vec(-4i32..=4, 1..20);
    let high = prop::collection::vec(1i32..=13, 1..12);
    let steps = (-10i32..0, prop::collection::vec(0i32..=2, 1..10)).prop_map(|(start, steps)| {
        steps
            .iter()
            .scan(start, |at, step| {
                *at += step;
                Some(*at)
            })
            .collect::<Vec<_>>()
    });
    let zigzag = prop::collection::vec(0i32..=9, 1..18)
        .prop_map(|sizes| sizes.iter().enumerate().map(|(i, size)| if i % 2 == 0 { *size } else { -*size }).collect::<Vec<_>>());
    let part = prop_oneof![noise, calm, high, steps, zigzag];
    prop::collection::vec((part, any::<bool>()), 1..8).prop_map(|parts| {
        let flipped = |(part, flip): (Vec<i32>, bool)| part.into_iter().map(move |z| if flip { -z } else { z });
        parts.into_iter().flat_map(flipped).map(|z| f64::from(z) / ONE_IN).collect()
    })
}

fn conventions() -> impl Strategy<Value = Conventions> {
    let counting = || prop_oneof![Just(Counting::Points), Just(Counting::Steps)];
    let ties = prop_oneof![Just(Ties::Break), Just(Ties::Continue)];
    let mixture = prop_oneof![Just(Mixture::BothSides), Just(Mixture::AnySide)];
    let partial = prop_oneof![Just(PartialWindow::Silent), Just(PartialWindow::Signals)];
    let zones = prop_oneof![Just(Zones::StandardErrors), Just(Zones::ThirdsOfLimits)];
    let side = 5u32..10;
    (counting(), counting(), ties, mixture, partial, zones, side).prop_map(
        |(trend, alternation, ties, mixture, partial_window, zones, side)| {
            let mut conventions = Conventions { trend, alternation, ties, mixture, partial_window, zones, ..Conventions::REFERENCE };
            conventions.lengths.side = side;
            conventions
        },
    )
}

proptest! {
    #[test]
    fn the_engine_is_the_definition(series in series(), conventions in conventions(), width in prop::sample::select(vec![1.5, 3.0, 6.0])) {
        let limits = Limits::given(0.0, 1.0, &Settings { width, ..Settings::values() }).unwrap();
        let rules = RuleSet::only(&Rule::ALL).with_conventions(conventions).with_custom(&CUSTOM);
        let mut chart = Chart::new(limits, rules, rules).unwrap();
        for (index, z) in series.iter().enumerate() {
            let got = chart.push(Sample::Value(*z)).unwrap().point.signals;
            let expected = defined(&series[..=index], &conventions, width);
            prop_assert_eq!(got, expected, "point {}", index + 1);
        }
    }
}
