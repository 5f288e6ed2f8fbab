//! A point costs no allocation: every `push` runs under an allocator that counts.
//!
//! Each thread counts its own allocations, so that tests beside each other do not disturb. Counting needs a global allocator,
//! and that trait is unsafe to implement: the only place in this crate and its tests where `unsafe` is let in.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use spc::autocorrelation::ResidualChart;
use spc::camera_error::{CameraStudy, CorrectedChart, CorrectedLimits, Reported, Verdicts};
use spc::chart::SpreadStatistic;
use spc::chart::constants::OfSize;
use spc::multivariate::{Covariance, Mcusum, McusumSettings, Mewma, MewmaSettings, Phase, Reference, Spread, T2Limits};
use spc::run_chart::RunChart;
use spc::short_run::Part;
use spc::weighted::{Cusum, CusumSettings, Ewma, EwmaSettings, MovingAverage, MovingAverageSettings, Process};
use spc::{ChartKind, HotellingT2, Monitor, Rule, RuleSet, Sample, Settings, ShortRun, Subgroup};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; this passes everything on to the system's allocator and counts")]
// SAFETY: every call goes to `System` unchanged; counting touches a thread-local integer that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The logistic map: between 0 and 1, irregular, and the same everywhere.
fn irregular() -> impl FnMut() -> f64 {
    let mut state = 0.2;
    move || {
        state = 3.99 * state * (1.0 - state);
        state
    }
}

/// Fails if a thousand pushes allocate. Points are dropped: what they own is part of what a push costs.
fn assert_none<P, E: std::fmt::Debug>(what: &str, mut push: impl FnMut(f64) -> Result<P, E>) {
    let mut value = irregular();
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..1000 {
        let point = push(value());
        drop(std::hint::black_box(point).expect("every value can be judged"));
    }
    let count = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!(count, 0, "{what}: {count} allocations in 1000 pushes");
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.with(Cell::get);
    let mut kept = std::hint::black_box(vec![1_u8; 32]);
    assert_eq!(ALLOCATIONS.with(Cell::get), before + 1, "{kept:?}");
    kept.reserve_exact(4096);
    assert_eq!(ALLOCATIONS.with(Cell::get), before + 2, "{kept:?}");
}

/// Phase I, the push that freezes, and phase II, with every rule there is, of every chart. Memory may be taken only in the one
/// push that freezes the limits of charts that go through their phase I a second time (Laney, g), where probability limits of
/// ranges are found for a size not seen before, and once per process for the constants of a subgroup size.
#[test]
fn no_monitor_allocates() {
    use ChartKind::*;
    let all = RuleSet::only(&Rule::ALL);
    assert!(OfSize::of(2).and(OfSize::of(4)).and(OfSize::median_error(4)).is_some());
    for probability in [None, Some(0.99)] {
        let individual = |x: f64| Sample::Value(x);
        let pieces = |x: f64| Sample::Counted { count: u32::from(x > 0.5) + u32::from(x > 0.9), size: if x > 0.7 { 100.0 } else { 120.0 } };
        let one_size = |x: f64| Sample::Counted { count: 1 + u32::from(x > 0.5), size: 100.0 };
        let tally = |x: f64| Sample::Tally(u32::from(x > 0.3) + 2 * u32::from(x > 0.7));
        let ratio = |x: f64| Sample::Ratio { amount: 3.0 * x, size: 1.0 + x };
        let subgroup = |x: f64| Sample::Subgroup(Subgroup::of(&[x, x * x, 1.0 - x, 0.5]).expect("finite"));
        let charts: [(ChartKind, &dyn Fn(f64) -> Sample); 15] = [
            (Individuals, &individual),
            (T, &individual),
            (P, &pieces),
            (U, &pieces),
            (LaneyP, &pieces),
            (LaneyU, &pieces),
            (Np, &one_size),
            (C, &tally),
            (G, &tally),
            (IPrime, &ratio),
            (XbarR, &subgroup),
            (XbarS, &subgroup),
            (MedianR, &subgroup),
            (BetweenWithinR, &subgroup),
            (BetweenWithinS, &subgroup),
        ];
        for (chart, sample) in charts {
            let counts = matches!(chart, P | U | LaneyP | LaneyU | Np | C | G);
            let settings = if counts { Settings::counts() } else { Settings::values() };
            let settings = Settings { rules: all, range_rules: all, probability, ..settings };
            let mut monitor = Monitor::new(chart, settings).unwrap();
            // The summary of a subgroup is made by the caller.
            let mut value = irregular();
            let samples: Vec<_> = (0..1000).map(|_| sample(value())).collect();
            let mut next = samples.iter().cycle();
            let may = matches!(chart, LaneyP | LaneyU | G) || (probability.is_some() && chart.within() == Some(SpreadStatistic::Range));
            for _ in 0..if may { 26 } else { 0 } {
                monitor.push(*next.next().expect("a thousand")).unwrap();
            }
            assert_none(&format!("{chart:?}"), |_| monitor.push(*next.next().expect("a thousand")));
            assert!(monitor.limits().is_some(), "{chart:?} went on to phase II");
        }
    }
}

#[test]
fn no_time_weighted_chart_allocates() {
    let process = Process::given(0.5, 0.3).unwrap();
    let mut ewma = Ewma::new(process, EwmaSettings::default()).unwrap();
    assert_none("EWMA", |x| ewma.push(&[x]));
    assert_none("EWMA of subgroups", |x| ewma.push(&[x, 1.0 - x, x * x]));
    let mut cusum = Cusum::new(process, CusumSettings { head_start: 2.5, ..CusumSettings::default() }).unwrap();
    assert_none("CUSUM", |x| cusum.push(&[x]));
    let mut average = MovingAverage::new(process, MovingAverageSettings::default()).unwrap();
    assert_none("moving average", |x| average.push(&[x]));
}

#[test]
fn no_chart_of_several_variables_allocates() {
    let covariance = Covariance::new(&[vec![1.0, 0.3, 0.1], vec![0.3, 1.0, 0.2], vec![0.1, 0.2, 2.0]]).unwrap();
    let reference = Reference::given(&[0.5, 0.4, 0.3], covariance, 1).unwrap();
    let mut t2 = HotellingT2::new(T2Limits::new(reference.clone(), None).unwrap(), Phase::Two);
    assert_none("T²", |x| t2.push(&[x, x * x, 1.0 - x]));
    for spread in [Spread::Exact, Spread::Asymptotic] {
        let mut mewma = Mewma::new(reference.clone(), MewmaSettings { lambda: 0.2, limit: 11.8, spread }).unwrap();
        assert_none("MEWMA", |x| mewma.push(&[x, x * x, 1.0 - x]));
    }
    let mut mcusum = Mcusum::new(reference, McusumSettings { k: 0.5, h: 6.0 }).unwrap();
    assert_none("MCUSUM", |x| mcusum.push(&[x, x * x, 1.0 - x]));
}

#[test]
fn no_chart_of_many_parts_or_of_a_model_allocates() {
    let part = |name: &str, nominal| (name.to_owned(), Part { nominal, scale: 0.3 });
    let mut short = ShortRun::z_mr([part("short", 0.4), part("long", 0.6)].into(), &Settings::values()).unwrap();
    assert_none("short runs", |x| short.push(if x > 0.5 { "long" } else { "short" }, x));

    let mut value = irregular();
    let series: Vec<_> = (0..50).map(|_| value()).collect();
    let mut residuals = ResidualChart::phase_one(&series, &[], &Settings::values()).unwrap();
    assert_none("residuals", |x| residuals.push(x));
    let mut run = RunChart::phase_one(&series, &[]).unwrap();
    assert_none("run chart", |x| run.push(x));
}

#[test]
fn no_corrected_chart_allocates() {
    let study = CameraStudy { bad_shown: 100, missed: 5, good_shown: 100, false_calls: 2 };
    let samples = [Reported { count: 5, size: 100.0 }; 20];
    for (verdicts, laney) in [(Verdicts::Pieces, false), (Verdicts::Pieces, true)] {
        let limits = CorrectedLimits::phase_one(verdicts, &samples, &[], study, laney).unwrap();
        let mut corrected = CorrectedChart::new(limits, RuleSet::nelson_1_to_4()).unwrap();
        assert_none("corrected p chart", |x| corrected.push(Reported { count: 3 + u32::from(x > 0.5), size: 100.0 }));
        assert_none("checks of the camera", |_| corrected.check_camera(study));
    }
}
