//! What holds for every chart there is, on data of any kind: ties, no variation at all, tiny and huge units, sizes that vary,
//! points left out, and every convention by name.

use proptest::prelude::*;
use spc::chart::SpreadStatistic;
use spc::limits::{Estimator, Gaps, Geometric, SigmaMethod, SpreadCentre, would_differ};
use spc::rules::{Counting, Zones};
use spc::{Chart, ChartKind, Constants, Conventions, Limits, Lines, Observation, Point, Rule, RuleSet, Sample, Settings, Subgroup, batch};

const KINDS: [ChartKind; 15] = [
    ChartKind::Individuals,
    ChartKind::P,
    ChartKind::Np,
    ChartKind::C,
    ChartKind::U,
    ChartKind::XbarR,
    ChartKind::XbarS,
    ChartKind::MedianR,
    ChartKind::BetweenWithinR,
    ChartKind::BetweenWithinS,
    ChartKind::LaneyP,
    ChartKind::LaneyU,
    ChartKind::IPrime,
    ChartKind::G,
    ChartKind::T,
];

/// Points of a case.
const POINTS: usize = 24;

/// Whole numbers that become samples of any chart.
type Raw = Vec<[i32; 6]>;

/// How whole numbers become samples.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Numbers are taken modulo this: 1 is data without variation, 3 full of ties.
    modulus: i32,
    /// The unit is this power of two, so that a change of unit is exact.
    power: i32,
    sizes_vary: bool,
}

/// A chart, its settings, and what comes to it.
#[derive(Debug, Clone)]
struct Case {
    kind: ChartKind,
    raw: Raw,
    shape: Shape,
    settings: Settings,
    excluded: Vec<u64>,
}

impl Case {
    fn samples(&self, factor: f64, shift: f64) -> Vec<Sample> {
        self.raw.iter().map(|raw| sample(self.kind, *raw, self.shape, factor, shift)).collect()
    }
}

fn sample(kind: ChartKind, raw: [i32; 6], shape: Shape, factor: f64, shift: f64) -> Sample {
    let Shape { modulus, power, sizes_vary } = shape;
    let unit = 2.0f64.powi(power) * factor;
    let small = raw.map(|x| x % modulus);
    let count = small[0].unsigned_abs();
    let size = if sizes_vary { raw[5].unsigned_abs() % 300 + 1 } else { 200 };
    match kind {
        ChartKind::Individuals => Sample::Value((f64::from(small[0]) + shift) * unit),
        ChartKind::T => Sample::Value(f64::from(count) * unit),
        ChartKind::C | ChartKind::G => Sample::Tally(if power > 0 { count * 1_000_000 } else { count }),
        ChartKind::P | ChartKind::Np | ChartKind::LaneyP => Sample::Counted { count: count % (size + 1), size: f64::from(size) },
        ChartKind::U | ChartKind::LaneyU => Sample::Counted { count, size: f64::from(size) * 2.0f64.powi(power.clamp(-20, 30)) },
        ChartKind::IPrime => Sample::Ratio { amount: f64::from(small[0]) * unit, size: f64::from(size) / 4.0 },
        _ => {
            let size = if sizes_vary { usize::try_from(size % 5 + 2).expect("small") } else { 5 };
            let values = small.map(|x| (f64::from(x) + shift) * unit);
            Sample::Subgroup(Subgroup::of(&values[..size]).expect("finite values"))
        }
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let modulus = prop::sample::select(vec![1, 3, 60, 4001]);
    let power = prop::sample::select(vec![-300, -40, 0, 0, 40, 300]);
    (modulus, power, any::<bool>()).prop_map(|(modulus, power, sizes_vary)| Shape { modulus, power, sizes_vary })
}

fn sigma_of(kind: ChartKind) -> impl Strategy<Value = Option<SigmaMethod>> {
    use SigmaMethod::*;
    let methods = match kind {
        ChartKind::Individuals | ChartKind::T => vec![MovingRange, SampleSd],
        _ if kind.within() == Some(SpreadStatistic::Range) || kind.within() == Some(SpreadStatistic::Sd) => {
            vec![MeanRange, MeanSd, MinimumVarianceRange, MinimumVarianceSd, PooledSd, PooledSdOwnSize]
        }
        _ => vec![SigmaMethod::usual(kind)],
    };
    prop::option::of(prop::sample::select(methods))
}

fn settings(kind: ChartKind) -> impl Strategy<Value = Settings> {
    let counting = prop::sample::select(vec![Counting::Points, Counting::Steps]);
    let zones = prop::sample::select(vec![Zones::StandardErrors, Zones::ThirdsOfLimits]);
    let rules = (counting, zones)
        .prop_map(|(trend, zones)| RuleSet::only(&Rule::ALL).with_conventions(Conventions { trend, zones, ..Conventions::REFERENCE }));
    let width = prop::sample::select(vec![2.0, 3.0, 3.5]);
    let probability = prop::option::weighted(0.3, prop::sample::select(vec![0.95, 0.9973]));
    let drawn = (
        prop::sample::select(vec![SpreadCentre::Expected, SpreadCentre::Average]),
        prop::sample::select(vec![Geometric::Mean, Geometric::Median, Geometric::CountsTheEvent]),
        prop::sample::select(vec![Constants::Exact, Constants::Printed]),
        prop::sample::select(vec![Gaps::Break, Gaps::Bridge]),
    );
    (rules, width, probability, sigma_of(kind), 2u32..5, any::<bool>(), drawn).prop_map(
        |(rules, width, probability, sigma, span, screened, (spread_centre, geometric, constants, gaps))| Settings {
            phase_one_subgroups: 12,
            rules,
            range_rules: rules,
            width,
            span,
            probability,
            sigma,
            screened,
            spread_centre,
            geometric,
            constants,
            gaps,
            ..Settings::values()
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    case_of(|_| true)
}

/// A case of one of the charts of which something holds.
fn case_of(holds: fn(ChartKind) -> bool) -> impl Strategy<Value = Case> {
    let kinds: Vec<ChartKind> = KINDS.into_iter().filter(|kind| holds(*kind)).collect();
    prop::sample::select(kinds).prop_flat_map(|kind| {
        let raw = prop::collection::vec(prop::array::uniform6(-4000i32..4000), POINTS);
        let excluded = prop::collection::vec(1u64..20, 0..4);
        (raw, shape(), settings(kind), excluded).prop_map(move |(raw, shape, settings, excluded)| Case {
            kind,
            raw,
            shape,
            settings,
            excluded,
        })
    })
}

/// Values with a unit, judged as they are.
fn measured(kind: ChartKind) -> bool {
    kind.within().is_some() || matches!(kind, ChartKind::Individuals | ChartKind::IPrime)
}

/// Rates over areas whose unit is free.
fn per_area(kind: ChartKind) -> bool {
    matches!(kind, ChartKind::U | ChartKind::LaneyU | ChartKind::IPrime)
}

/// Limits that no order of the points changes.
fn unordered(kind: ChartKind) -> bool {
    matches!(kind, ChartKind::P | ChartKind::Np | ChartKind::C | ChartKind::U | ChartKind::G)
}

fn bits(observation: &Observation) -> Vec<u64> {
    let lines = |Lines { centre, lcl, ucl, se }: Lines| [centre, lcl, ucl, se];
    let of = |point: Point| std::iter::once(point.statistic).chain(point.lines.into_iter().flat_map(lines));
    let points = [Some(observation.point), observation.moving_range, observation.within];
    points.into_iter().flatten().flat_map(of).map(f64::to_bits).collect()
}

/// Everything that a chart has is finite: JSON has no other numbers, and writes them as null.
fn is_finite<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq>(value: &T) -> bool {
    let json = serde_json::to_string(value).expect("values are written");
    serde_json::from_str::<T>(&json).is_ok_and(|read| read == *value)
}

/// Limits of the case's samples; `None` where what was not left out is too little to estimate from.
fn limits_of(case: &Case, samples: &[Sample]) -> Option<Limits> {
    match batch::estimate(case.kind, samples, &case.excluded, &case.settings) {
        Ok(limits) => Some(limits),
        Err(batch::BatchError::TooFew(_)) => None,
        Err(other) => panic!("{other}"),
    }
}

fn judged(case: &Case, limits: Limits, samples: &[Sample]) -> Vec<Observation> {
    batch::judge(limits, case.settings.rules, case.settings.range_rules, samples).expect("these samples can all be judged")
}

/// Every line of an observation.
fn lines(observation: &Observation) -> Vec<Lines> {
    [Some(observation.point), observation.moving_range, observation.within].into_iter().flatten().filter_map(|x| x.lines).collect()
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * scale
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Phase I and phase II, after every point, to the bit; and every number finite.
    #[test]
    fn streaming_is_batch_and_finite(case in case()) {
        let samples = case.samples(1.0, 0.0);
        let mut estimator = Estimator::new(case.kind, &case.settings).unwrap();
        for (sample, number) in samples.iter().zip(1u64..) {
            if case.excluded.contains(&number) {
                estimator.exclude();
            } else {
                estimator.push(*sample).unwrap();
            }
            let prefix = &samples[..usize::try_from(number).unwrap()];
            prop_assert_eq!(estimator.limits().ok(), limits_of(&case, prefix));
        }
        let Some(limits) = limits_of(&case, &samples) else { return Ok(()) };
        let plain = |sample: &Sample| if let Sample::Value(value) = sample { Some(*value) } else { None };
        if let Some(values) = samples.iter().map(plain).collect::<Option<Vec<f64>>>() {
            prop_assert_eq!(batch::estimate(case.kind, &values, &case.excluded, &case.settings).unwrap(), limits);
        }
        prop_assert!(is_finite(&limits), "{:?}", limits);
        let Settings { rules, range_rules, .. } = case.settings;
        let mut chart = Chart::new(limits, rules, range_rules).unwrap();
        for (index, sample) in samples.iter().enumerate() {
            let streamed = chart.push(*sample).unwrap();
            let whole = judged(&case, limits, &samples[..=index]);
            prop_assert_eq!(&whole[index], &streamed);
            prop_assert_eq!(bits(&whole[index]), bits(&streamed));
            prop_assert!(is_finite(&streamed) && is_finite(&chart), "{:?}", streamed);
            for Lines { centre, lcl, ucl, se } in lines(&streamed) {
                // A median that is drawn, and quantiles of what is rare, may leave the centre outside.
                let free = case.kind == ChartKind::G || case.settings.probability.is_some();
                prop_assert!(se >= 0.0 && lcl <= ucl && (free || (lcl <= centre && centre <= ucl)), "{:?}", streamed);
            }
        }
    }

    /// Another unit changes every line by that factor and no signal: to the bit where the unit is a power of two. Times are
    /// judged after a power that is rounded, pieces have no unit.
    #[test]
    fn a_change_of_unit_changes_no_signal(case in case_of(measured), power in -20i32..20) {
        let factor = 2.0f64.powi(power);
        let (plain, scaled) = (case.samples(1.0, 0.0), case.samples(factor, 0.0));
        let (Some(limits), Some(other)) = (limits_of(&case, &plain), limits_of(&case, &scaled)) else { return Ok(()) };
        for (a, b) in judged(&case, limits, &plain).iter().zip(judged(&case, other, &scaled)) {
            prop_assert_eq!(a.signals().collect::<Vec<_>>(), b.signals().collect::<Vec<_>>());
            for (a, b) in lines(a).iter().zip(lines(&b)) {
                prop_assert_eq!([a.centre * factor, a.lcl * factor, a.ucl * factor, a.se * factor], [b.centre, b.lcl, b.ucl, b.se]);
            }
        }
    }

    /// Defects per piece, per dozen or per pallet: four units of opportunity in place of one are a quarter of the rate.
    #[test]
    fn a_change_of_area_changes_no_signal(case in case_of(per_area), quarters in 1i32..4) {
        let area = 4.0f64.powi(quarters);
        let plain = case.samples(1.0, 0.0);
        let wider: Vec<Sample> = plain
            .iter()
            .map(|sample| match *sample {
                Sample::Counted { count, size } => Sample::Counted { count, size: size * area },
                Sample::Ratio { amount, size } => Sample::Ratio { amount, size: size * area },
                other => other,
            })
            .collect();
        let (Some(limits), Some(other)) = (limits_of(&case, &plain), limits_of(&case, &wider)) else { return Ok(()) };
        for (a, b) in judged(&case, limits, &plain).iter().zip(judged(&case, other, &wider)) {
            prop_assert_eq!(a.signals().collect::<Vec<_>>(), b.signals().collect::<Vec<_>>());
            for (a, b) in lines(a).iter().zip(lines(&b)) {
                prop_assert_eq!([a.centre, a.lcl, a.ucl, a.se], [b.centre * area, b.lcl * area, b.ucl * area, b.se * area]);
            }
        }
    }

    /// Times between events in another unit: the same to nine digits.
    #[test]
    fn a_change_of_unit_scales_the_lines_of_times(case in case_of(|kind| kind == ChartKind::T), factor in 0.01f64..100.0) {
        let (plain, scaled) = (case.samples(1.0, 0.0), case.samples(factor, 0.0));
        let (Some(limits), Some(other)) = (limits_of(&case, &plain), limits_of(&case, &scaled)) else { return Ok(()) };
        let (a, b) = (limits.lines(1.0), other.lines(1.0));
        // A lower limit near zero is what is left of two larger numbers.
        prop_assert!(near(a.centre * factor, b.centre, b.centre) && near(a.ucl * factor, b.ucl, b.ucl), "{:?} {:?}", a, b);
        prop_assert!(near(a.lcl * factor, b.lcl, b.centre), "{:?} {:?}", a, b);
    }

    /// A shift moves the centre with it and leaves the spread alone.
    #[test]
    fn a_shift_leaves_the_spread_alone(case in case_of(|kind| measured(kind) && kind != ChartKind::IPrime), shift in -5000i32..5000) {
        let unit = 2.0f64.powi(case.shape.power);
        let (plain, moved) = (case.samples(1.0, 0.0), case.samples(1.0, f64::from(shift)));
        let (Some(limits), Some(other)) = (limits_of(&case, &plain), limits_of(&case, &moved)) else { return Ok(()) };
        let scale = 10_000.0 * unit;
        prop_assert!(near(limits.centre + f64::from(shift) * unit, other.centre, scale));
        prop_assert!(near(limits.sigma, other.sigma, scale), "{} {}", limits.sigma, other.sigma);
        for size in [2.0, 5.0] {
            let spread = |limits: &Limits| limits.within_lines(size).map_or([0.0; 4], |x| [x.centre, x.lcl, x.ucl, x.se]);
            prop_assert!(spread(&limits).iter().zip(spread(&other)).all(|(a, b)| near(*a, b, scale)));
        }
    }

    /// The order of the values within a subgroup has no meaning, nor has the order of subgroups of counts.
    #[test]
    fn order_has_no_meaning_where_there_is_none(case in case_of(|kind| unordered(kind) || kind.within().is_some()), by in 1usize..POINTS) {
        let case = Case { excluded: Vec::new(), ..case };
        let mut turned = case.clone();
        if case.kind.within().is_some() {
            // The last number says how many values there are.
            turned.shape.sizes_vary = false;
            turned.raw.iter_mut().for_each(|raw| raw[..5].rotate_left(by % 5));
        } else {
            turned.raw.rotate_left(by);
        }
        let case = Case { shape: turned.shape, ..case };
        let (Some(a), Some(b)) = (limits_of(&case, &case.samples(1.0, 0.0)), limits_of(&turned, &turned.samples(1.0, 0.0))) else {
            return Ok(());
        };
        if unordered(case.kind) {
            prop_assert_eq!(a, b);
        }
        let scale = 10_000.0 * 2.0f64.powi(case.shape.power);
        let spread = |limits: &Limits| limits.within.map_or(0.0, |within| within.sigma);
        prop_assert!(near(a.centre, b.centre, scale) && near(a.sigma, b.sigma, scale) && near(spread(&a), spread(&b), scale));
    }

    /// What a revision would change is what either limits signal by themselves.
    #[test]
    fn a_revision_differs_by_what_each_signals(case in case(), from in 4usize..POINTS) {
        let samples = case.samples(1.0, 0.0);
        let (Some(now), Some(then)) = (limits_of(&case, &samples), limits_of(&case, &samples[..from])) else { return Ok(()) };
        let Settings { rules, range_rules, .. } = case.settings;
        let differences = would_differ((now, rules, range_rules), (then, rules, range_rules), &samples).unwrap();
        let mut at = differences.iter().peekable();
        for (a, b) in judged(&case, now, &samples).iter().zip(judged(&case, then, &samples)) {
            let (in_force, revised): (Vec<_>, Vec<_>) = (a.signals().collect(), b.signals().collect());
            match at.next_if(|difference| difference.point == a.point.index) {
                Some(found) => {
                    prop_assert!(!(in_force.is_empty() && revised.is_empty()));
                    prop_assert_eq!((found.is_new(), found.is_gone()), (in_force.is_empty(), revised.is_empty()));
                    prop_assert_eq!((&found.in_force, &found.revised), (&in_force, &revised));
                }
                None => prop_assert!(in_force.is_empty() && revised.is_empty()),
            }
        }
        prop_assert!(at.next().is_none());
    }
}
