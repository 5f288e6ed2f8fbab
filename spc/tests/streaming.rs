//! Properties of the streaming path: it is batch to the bit, it survives a checkpoint anywhere, it refuses without a
//! trace, it never shows or stores a number that is not finite, and it follows a change of unit.

use proptest::prelude::*;
use spc::{ChartKind, Lines, Monitor, Observation, Point, RuleSet, Sample, Settings, Subgroup, batch};

fn settings(phase_one_subgroups: u32, span: u32) -> Settings {
    let all = RuleSet::only(&spc::Rule::ALL);
    Settings { phase_one_subgroups, span, rules: all, range_rules: all, ..Settings::values() }
}

fn run(monitor: &mut Monitor, samples: &[Sample]) -> Vec<Observation> {
    samples.iter().map(|sample| monitor.push(*sample).expect("these samples can all be judged")).collect()
}

fn bits(observations: &[Observation]) -> Vec<u64> {
    let lines = |Lines { centre, lcl, ucl, se }: Lines| [centre, lcl, ucl, se];
    let point = |point: Point| std::iter::once(point.statistic).chain(point.lines.into_iter().flat_map(lines)).map(f64::to_bits);
    let spread = |x: &Observation| x.moving_range.into_iter().chain(x.within);
    observations.iter().flat_map(|x| point(x.point).chain(spread(x).flat_map(point))).collect()
}

/// Values as gauges deliver them: few decimals, so that ties and points on the centre line happen.
fn gauge_values(count: usize) -> impl Strategy<Value = Vec<Sample>> {
    let value = (-40i32..40).prop_map(|x| Sample::Value(74.0 + f64::from(x) / 64.0));
    prop::collection::vec(value, count)
}

fn counted(count: usize) -> impl Strategy<Value = Vec<Sample>> {
    let subgroup = (1u32..400).prop_flat_map(|n| (0..=n.min(30), Just(n)));
    let sample = subgroup.prop_map(|(count, n)| Sample::Counted { count, size: f64::from(n) });
    prop::collection::vec(sample, count)
}

/// Subgroups of one to six values, most of them of the same size.
fn subgroups(count: usize) -> impl Strategy<Value = Vec<Sample>> {
    let values = prop::collection::vec((-40i32..40).prop_map(|x| 74.0 + f64::from(x) / 64.0), 6);
    let size = prop_oneof![4 => Just(5usize), 1 => 1usize..=6];
    let sample = (values, size).prop_map(|(values, size)| Sample::Subgroup(Subgroup::of(&values[..size]).expect("finite values")));
    // The first two have a spread, so that every phase I here can be estimated from.
    let first = Sample::Subgroup(Subgroup::of(&[73.0, 74.0, 74.5]).expect("finite values"));
    prop::collection::vec(sample, count - 1).prop_map(move |rest| [vec![first], rest].concat())
}

fn of_subgroups() -> impl Strategy<Value = (ChartKind, Vec<Sample>)> {
    use ChartKind::{BetweenWithinR, BetweenWithinS, MedianR, XbarR, XbarS};
    (prop::sample::select(vec![XbarR, XbarS, MedianR, BetweenWithinR, BetweenWithinS]), subgroups(60))
}

fn rare_events() -> impl Strategy<Value = (ChartKind, Vec<Sample>)> {
    let times = prop::collection::vec((0u32..4000).prop_map(|x| Sample::Value(f64::from(x) / 16.0)), 60);
    let between = prop::collection::vec((0u32..300).prop_map(Sample::Tally), 60);
    prop_oneof![times.prop_map(|samples| (ChartKind::T, samples)), between.prop_map(|samples| (ChartKind::G, samples))]
}

fn prime_charts() -> impl Strategy<Value = (ChartKind, Vec<Sample>)> {
    let ratio = (-400i32..4000, 1u32..90).prop_map(|(x, n)| Sample::Ratio { amount: f64::from(x) / 8.0, size: f64::from(n) / 4.0 });
    prop_oneof![
        counted(60).prop_map(|samples| (ChartKind::LaneyP, samples)),
        counted(60).prop_map(|samples| (ChartKind::LaneyU, samples)),
        prop::collection::vec(ratio, 60).prop_map(|samples| (ChartKind::IPrime, samples)),
    ]
}

fn any_case() -> impl Strategy<Value = (ChartKind, Vec<Sample>)> {
    let tallies = prop::collection::vec((0u32..30).prop_map(Sample::Tally), 60);
    prop_oneof![
        of_subgroups(),
        rare_events(),
        prime_charts(),
        gauge_values(60).prop_map(|samples| (ChartKind::Individuals, samples)),
        counted(60).prop_map(|samples| (ChartKind::P, samples)),
        counted(60).prop_map(|samples| (ChartKind::Np, samples)),
        counted(60).prop_map(|samples| (ChartKind::U, samples)),
        tallies.prop_map(|samples| (ChartKind::C, samples)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After every point: the limits are those of batch phase I, the points those of batch judgement.
    #[test]
    fn streaming_is_batch((chart, samples) in any_case(), learn in 3u32..40, share in prop::option::of(0.9f64..0.999)) {
        let settings = Settings { probability: share, ..settings(learn, 3) };
        let mut monitor = Monitor::new(chart, settings).unwrap();
        let (phase_one, phase_two) = samples.split_at(usize::try_from(learn).unwrap());
        let learnt = run(&mut monitor, phase_one);
        prop_assert!(learnt.iter().all(|x| x.point.lines.is_none() && x.point.signals.is_empty()));
        prop_assert_eq!(learnt.iter().position(|x| x.froze_limits), Some(phase_one.len() - 1));
        let limits = *monitor.limits().unwrap();
        prop_assert_eq!(limits, batch::estimate(chart, phase_one, &[], &settings).unwrap());

        // The batch chart has not seen phase I, so its first ranges and numbers differ; compare from where both agree.
        let mut fresh = Monitor::with_limits(limits, settings).unwrap();
        for prefix in 1..=phase_two.len() {
            let whole = batch::judge(limits, settings.rules, settings.range_rules, &phase_two[..prefix]).unwrap();
            let streamed = fresh.push(phase_two[prefix - 1]).unwrap();
            prop_assert_eq!(bits(&whole[prefix - 1..]), bits(&[streamed]));
            prop_assert_eq!(whole[prefix - 1], streamed);
            let monitored = monitor.push(phase_two[prefix - 1]).unwrap();
            prop_assert_eq!(monitored.point.signals, streamed.point.signals);
            prop_assert_eq!(monitored.point.lines, streamed.point.lines);
        }
    }

    /// Written as JSON and read back at any point, a monitor goes on as if nothing had happened.
    #[test]
    fn a_checkpoint_resumes_bit_exactly((chart, samples) in any_case(), learn in 3u32..40, cut in 0usize..60) {
        let mut straight = Monitor::new(chart, settings(learn, 3)).unwrap();
        let expected = run(&mut straight, &samples);
        let mut monitor = Monitor::new(chart, settings(learn, 3)).unwrap();
        let before = run(&mut monitor, &samples[..cut]);
        let json = serde_json::to_string(&monitor).unwrap();
        let mut resumed: Monitor = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&resumed, &monitor);
        let after = run(&mut resumed, &samples[cut..]);
        prop_assert_eq!(bits(&expected), bits(&[before, after].concat()));
        prop_assert_eq!(resumed, straight);
    }

    /// A checkpoint of the first revision, which knew neither charts within subgroups nor rules of Westgard's or of one's own,
    /// is read and goes on.
    #[test]
    fn an_old_checkpoint_resumes(samples in gauge_values(60), cut in 30usize..60) {
        let nelson = Settings { rules: RuleSet::nelson(), ..Settings::values() };
        let mut straight = Monitor::individuals(nelson).unwrap();
        run(&mut straight, &samples[..cut]);
        let mut json = serde_json::to_value(&straight).unwrap();
        let chart = &mut json["phase"]["judging"];
        let removed = [chart["limits"].as_object_mut().unwrap().remove("within"), chart.as_object_mut().unwrap().remove("within_runs")];
        prop_assert!(removed.iter().all(Option::is_some));
        for runs in ["runs", "range_runs"] {
            let runs = chart[runs].as_object_mut().unwrap();
            prop_assert!(runs.remove("westgard").is_some() && runs.remove("custom").is_some());
        }
        let mut resumed: Monitor = serde_json::from_value(json).unwrap();
        prop_assert_eq!(&resumed, &straight);
        prop_assert_eq!(run(&mut resumed, &samples[cut..]), run(&mut straight, &samples[cut..]));
    }

    /// Any f64 at all is either refused without a trace or leads to finite numbers only.
    #[test]
    fn no_number_is_ever_not_finite(values in prop::collection::vec(prop::num::f64::ANY, 40), learn in 2u32..10) {
        let mut monitor = Monitor::individuals(settings(learn, 2)).unwrap();
        for value in values {
            let before = monitor.clone();
            match monitor.push_value(value) {
                Err(_) => prop_assert_eq!(&monitor, &before),
                Ok(observation) => {
                    prop_assert!(bits(&[observation]).into_iter().all(|x| f64::from_bits(x).is_finite()));
                }
            }
            // A number that is not finite would be written as null and not be read back.
            let json = serde_json::to_string(&monitor).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Monitor>(&json).unwrap(), &monitor);
        }
    }

    /// The same for rates, with sizes from anywhere.
    #[test]
    fn no_rate_is_ever_not_finite(
        subgroups in prop::collection::vec((any::<u32>(), prop_oneof![1e-12f64..1e16, prop::num::f64::ANY]), 40),
        learn in 1u32..10,
    ) {
        for chart in [ChartKind::P, ChartKind::Np, ChartKind::U] {
            let mut monitor = Monitor::new(chart, settings(learn, 2)).unwrap();
            for (count, size) in &subgroups {
                let before = monitor.clone();
                let size = if chart == ChartKind::U { *size } else { size.trunc() };
                match monitor.push(Sample::Counted { count: *count, size }) {
                    Err(_) => prop_assert_eq!(&monitor, &before),
                    Ok(observation) => {
                        prop_assert!(bits(&[observation]).into_iter().all(|x| f64::from_bits(x).is_finite()));
                    }
                }
                let json = serde_json::to_string(&monitor).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Monitor>(&json).unwrap(), &monitor);
            }
        }
    }

    /// Another unit (a power of two: exact) changes every line by that factor and no signal; so does turning the
    /// gauge round, with the limits exchanged.
    #[test]
    fn unit_and_sign_change_no_signal(samples in gauge_values(60), power in -20i32..20) {
        let factor = 2.0f64.powi(power);
        let scaled = |by: f64| -> Vec<Sample> {
            samples.iter().map(|x| if let Sample::Value(x) = x { Sample::Value(x * by) } else { *x }).collect()
        };
        let observe = |samples: &[Sample]| run(&mut Monitor::individuals(settings(25, 2)).unwrap(), samples);
        let plain = observe(&samples);
        for ((a, b), c) in plain.iter().zip(observe(&scaled(factor))).zip(observe(&scaled(-1.0))) {
            prop_assert_eq!(a.signals().collect::<Vec<_>>(), b.signals().collect::<Vec<_>>());
            prop_assert_eq!(a.signals().collect::<Vec<_>>(), c.signals().collect::<Vec<_>>());
            prop_assert_eq!(a.point.centre().map(|x| x * factor), b.point.centre());
            prop_assert_eq!(a.point.ucl().map(|x| x * factor), b.point.ucl());
            prop_assert_eq!(a.point.lcl().map(|x| -x), c.point.ucl());
        }
    }

    /// A shift moves the centre by itself and leaves sigma alone. The data are multiples of 1/64 and the shift whole,
    /// so that the moving ranges are exact.
    #[test]
    fn a_shift_moves_only_the_centre(samples in gauge_values(30), shift in -1000i32..1000) {
        let shift = f64::from(shift);
        let shifted: Vec<Sample> =
            samples.iter().map(|x| if let Sample::Value(x) = x { Sample::Value(x + shift) } else { *x }).collect();
        let estimate = |samples: &[Sample]| {
            batch::estimate(ChartKind::Individuals, samples, &[], &Settings::values()).unwrap()
        };
        let (plain, moved) = (estimate(&samples), estimate(&shifted));
        prop_assert_eq!(plain.sigma, moved.sigma);
        prop_assert_eq!(plain.range, moved.range);
        prop_assert!((plain.centre + shift - moved.centre).abs() <= 1e-9);
    }
}
