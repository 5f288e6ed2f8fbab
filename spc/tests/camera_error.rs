//! A process and a camera, both simulated, each moved alone: the chart must name the one that moved.

use spc::camera_error::{
    CameraError, CameraStudy, Cause, CorrectedChart, CorrectedLimits, CorrectedPoint, PhaseOneError, Reported, Verdicts,
};
use spc::{ChartKind, RuleSet, Sample, SampleError, Settings, batch};

/// Uniform numbers on 0 … 1 (splitmix64).
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits")) / 4_294_967_296.0
    }

    fn count(&mut self, of: u32, share: f64) -> u32 {
        (0..of).map(|_| u32::from(self.uniform() < share)).sum()
    }
}

/// What is made and how it is seen.
#[derive(Clone, Copy)]
struct Line {
    bad: f64,
    miss: f64,
    false_reject: f64,
}

const USUAL: Line = Line { bad: 0.03, miss: 0.1, false_reject: 0.02 };

impl Line {
    fn sample(self, dice: &mut Dice) -> Reported {
        let rejects = (1.0 - self.miss) * self.bad + self.false_reject * (1.0 - self.bad);
        Reported { count: dice.count(400, rejects), size: 400.0 }
    }

    fn study(self, dice: &mut Dice, shown: u32) -> CameraStudy {
        CameraStudy {
            bad_shown: shown,
            missed: dice.count(shown, self.miss),
            good_shown: shown,
            false_calls: dice.count(shown, self.false_reject),
        }
    }
}

fn phase_one(dice: &mut Dice) -> CorrectedLimits {
    let samples: Vec<_> = (0..100).map(|_| USUAL.sample(dice)).collect();
    let study = USUAL.study(dice, 3000);
    CorrectedLimits::phase_one(Verdicts::Pieces, &samples, &[], study, false).expect("a sound study")
}

/// The share of each cause over a day with a camera check of `shown` pieces each way before every tenth sample.
fn day(limits: CorrectedLimits, line: Line, shown: u32, dice: &mut Dice) -> [f64; 4] {
    let mut chart = CorrectedChart::new(limits, RuleSet::nelson_1_to_4()).expect("sound limits");
    let mut causes = [0.0; 4];
    for number in 0..200 {
        if number % 10 == 0 {
            chart.check_camera(line.study(dice, shown)).expect("a sound check");
        }
        let point = chart.push(line.sample(dice)).expect("a sound sample");
        causes[point.cause as usize] += 1.0 / 200.0;
    }
    causes
}

#[test]
fn what_moved_is_named() {
    let mut dice = Dice(11);
    let limits = phase_one(&mut dice);
    assert!((limits.corrected - USUAL.bad).abs() < 3.0 * limits.corrected_se, "{limits:?}");
    let share = |causes: [f64; 4], cause: Cause| causes[cause as usize];

    let quiet = day(limits, USUAL, 300, &mut dice);
    assert!(share(quiet, Cause::Nothing) > 0.95, "{quiet:?}");
    let process = day(limits, Line { bad: 0.09, ..USUAL }, 300, &mut dice);
    assert!(share(process, Cause::Process) > 0.9, "{process:?}");
    let blinder = day(limits, Line { miss: 0.5, ..USUAL }, 300, &mut dice);
    assert!(share(blinder, Cause::Camera) > 0.9, "{blinder:?}");
    let nervous = day(limits, Line { false_reject: 0.1, ..USUAL }, 300, &mut dice);
    assert!(share(nervous, Cause::Camera) > 0.85, "{nervous:?}");
    // Five times as many bad pieces, of which the camera now passes most: the verdicts alone look as ever.
    let hidden = Line { bad: 0.16, miss: 0.7, ..USUAL };
    let both = day(limits, hidden, 1500, &mut dice);
    assert!(share(both, Cause::Both) > 0.5, "{both:?}");
    let reported = hidden.sample(&mut dice);
    let lines = limits.reported_lines(400.0);
    assert!((lines.lcl..lines.ucl).contains(&(f64::from(reported.count) / 400.0)));
    println!("nothing moved {quiet:?}\nprocess {process:?}\nmore missed {blinder:?}\nmore false rejects {nervous:?}\nboth {both:?}");
}

#[test]
fn the_correction_is_unbiased_and_its_error_honest() {
    let mut dice = Dice(5);
    let mut outside = 0;
    for _ in 0..200 {
        let limits = phase_one(&mut dice);
        outside += u32::from((limits.corrected - USUAL.bad).abs() > 1.96 * limits.corrected_se);
    }
    // 5 % of 200, give or take three standard errors.
    assert!((1..=20).contains(&outside), "{outside}");
}

#[test]
fn a_faultless_camera_gives_the_plain_p_chart() {
    let counts = [(4, 100.0), (7, 120.0), (2, 90.0), (5, 100.0), (9, 150.0)];
    let samples: Vec<_> = counts.iter().map(|(count, size)| Reported { count: *count, size: *size }).collect();
    let plain: Vec<_> = counts.iter().map(|(count, size)| Sample::Counted { count: *count, size: *size }).collect();
    let study = CameraStudy { bad_shown: 100, missed: 0, good_shown: 100, false_calls: 0 };
    let limits = CorrectedLimits::phase_one(Verdicts::Pieces, &samples, &[], study, false).unwrap();
    let settings = Settings::counts();
    let p = batch::estimate(ChartKind::P, &plain, &[], &settings).unwrap();
    let points = batch::judge(p, settings.rules, settings.range_rules, &plain).unwrap();
    let mut chart = CorrectedChart::new(limits, settings.rules).unwrap();
    for (sample, observation) in samples.iter().zip(points) {
        let point = chart.push(*sample).unwrap();
        let lines = observation.point.lines.unwrap();
        let pairs = [
            (point.corrected, observation.point.statistic),
            (point.corrected_lines.centre, lines.centre),
            (point.corrected_lines.lcl, lines.lcl),
            (point.corrected_lines.ucl, lines.ucl),
            (point.reported_lines.ucl, lines.ucl),
        ];
        assert!(pairs.iter().all(|(ours, plain)| (ours - plain).abs() < 1e-15), "{pairs:?}");
        assert_eq!(point.signals, observation.point.signals);
    }
}

#[test]
fn laney_widens_where_samples_scatter_more_than_binomially() {
    let mut dice = Dice(3);
    let study = USUAL.study(&mut dice, 1000);
    let samples: Vec<_> = (0..200)
        .map(|day| Line { bad: if day % 2 == 0 { 0.02 } else { 0.04 }, ..USUAL }.sample(&mut dice))
        .map(|Reported { count, size }| Reported { count: count * 20, size: size * 20.0 })
        .collect();
    let limits = CorrectedLimits::phase_one(Verdicts::Pieces, &samples, &[], study, true).unwrap();
    assert!(limits.sigma_z > 4.0, "{limits:?}");
    let calm: Vec<_> = (0..200).map(|_| USUAL.sample(&mut dice)).collect();
    let calm = CorrectedLimits::phase_one(Verdicts::Pieces, &calm, &[], study, true).unwrap();
    assert!((0.8..1.2).contains(&calm.sigma_z), "{calm:?}");
}

#[test]
fn defects_per_unit_are_corrected_too() {
    // 90 % found and 0.1 false calls per unit: 1.0 reported are 1.0 there.
    let study = CameraStudy { bad_shown: 1000, missed: 100, good_shown: 1000, false_calls: 100 };
    let samples = [Reported { count: 100, size: 100.0 }; 5];
    let limits = CorrectedLimits::phase_one(Verdicts::Defects, &samples, &[], study, false).unwrap();
    assert!((limits.corrected - 1.0).abs() < 1e-14);
    // Excluding a sample leaves the others; more false calls than reported leave nothing.
    let few = [Reported { count: 1, size: 100.0 }, Reported { count: 1000, size: 100.0 }];
    let limits = CorrectedLimits::phase_one(Verdicts::Defects, &few, &[2], study, false).unwrap();
    assert_eq!(limits.corrected, 0.0);
    let mut chart = CorrectedChart::new(limits, RuleSet::nelson_1_to_4()).unwrap();
    let point = chart.push(Reported { count: 0, size: 100.0 }).unwrap();
    assert_eq!((point.corrected, point.corrected_lines.lcl), (0.0, 0.0));
    assert!(point.corrected_lines.ucl.is_finite());
}

#[test]
fn what_cannot_be_judged_changes_nothing() {
    let limits = phase_one(&mut Dice(1));
    let mut chart = CorrectedChart::new(limits, RuleSet::nelson_1_to_4()).unwrap();
    chart.push(Reported { count: 20, size: 400.0 }).unwrap();
    let before = chart.clone();
    for (sample, error) in [
        (Reported { count: 1, size: f64::NAN }, SampleError::Size { point: 2 }),
        (Reported { count: 1, size: 0.0 }, SampleError::Size { point: 2 }),
        (Reported { count: 1, size: 2.5 }, SampleError::SizeNotWhole { point: 2 }),
        (Reported { count: 9, size: 8.0 }, SampleError::CountAboveSize { point: 2, count: 9 }),
    ] {
        assert_eq!(chart.push(sample), Err(error));
    }
    let coin = CameraStudy { bad_shown: 500, missed: 250, good_shown: 500, false_calls: 250 };
    assert!(matches!(chart.check_camera(coin), Err(CameraError::NoBetterThanChance { .. })));
    assert!(chart.check_camera(CameraStudy::default()).is_err());
    assert_eq!(chart, before);
    let again: CorrectedChart = serde_json::from_str(&serde_json::to_string(&chart).unwrap()).unwrap();
    assert_eq!(again, chart);
    let refused = CorrectedLimits::phase_one(Verdicts::Pieces, &[Reported { count: 3, size: 2.0 }], &[], limits.study, false);
    assert_eq!(refused, Err(PhaseOneError::Sample(SampleError::CountAboveSize { point: 1, count: 3 })));
    let nothing = CorrectedLimits::phase_one(Verdicts::Pieces, &[], &[], limits.study, false);
    assert_eq!(nothing, Err(PhaseOneError::Camera(CameraError::TooFew)));
    let _: CorrectedPoint = chart.push(Reported { count: 20, size: 400.0 }).unwrap();
}
