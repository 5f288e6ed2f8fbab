//! What must hold for studies of any data: units and order do not matter, streams equal batches, nothing is ever NaN.

use proptest::prelude::*;
use spc::Constants;
use spc::capability::fit::{Family, Fitted};
use spc::capability::summary::{CapabilityStudy, StudySettings};
use spc::capability::{Capability, Confidence, Specification, Within};
use spc::gauge::Reading;
use spc::gauge::agreement::clopper_pearson;
use spc::gauge::bias::{ReferenceReading, TypeOneSettings, linearity, type_one};
use spc::gauge::grr::{GrrSettings, Source, crossed, nested};
use spc::gauge::kappa::agreement;
use spc::gauge::ranges::{self, TrialDivisor};
use spc::gauge::reliability::{IccModel, IccUnit, Ties, icc, kendall, kendall_tau};
use spc::normality;
use spc::pareto::{Bins, Histogram};
use spc::sampling::switching::{Inspection, LotResult, Switching};
use spc::sampling::{Model, Plan, RiskPoint, find_plan};
use spc::study::StudyError;
use spc::tolerance;
use spc::univariate::{Running, Summary};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-7 * (1.0 + a.abs().max(b.abs()))
}

/// Readings as a gauge of limited resolution gives them: ties happen.
fn readings(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((1_i32..2000).prop_map(|steps| f64::from(steps) * 0.01), count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_streamed_summary_is_the_batch_one_after_every_reading(data in readings(2..40)) {
        let mut running = Running::default();
        for (index, value) in data.iter().enumerate() {
            running.push(*value).unwrap();
            if index > 0 {
                let batch = Summary::of(&data[..=index]).unwrap();
                prop_assert_eq!(running.mean(), Some(batch.mean));
                prop_assert_eq!(running.std_dev(), Some(batch.std_dev));
            }
        }
    }

    #[test]
    fn capability_does_not_depend_on_unit_or_order(data in readings(3..60), scale in 0.01_f64..100.0, shift in -50.0_f64..50.0) {
        let study = |data: &[f64], at: &dyn Fn(f64) -> f64| {
            let specification = Specification::new(Some(at(1.0)), Some(at(25.0)), Some(at(11.0))).unwrap();
            Capability::of(data, None, &specification, Confidence::level(0.9))
        };
        let moved: Vec<f64> = data.iter().rev().map(|value| shift + scale * value).collect();
        match (study(&data, &|x| x), study(&moved, &|x| shift + scale * x)) {
            (Ok(before), Ok(after)) => {
                let (before, after) = (before.performance, after.performance);
                prop_assert!(close(before.nearest.value, after.nearest.value));
                for (before, after) in [(before.width, after.width), (before.target, after.target), (before.lower, after.lower)] {
                    let (before, after) = (before.unwrap(), after.unwrap());
                    prop_assert!(close(before.value, after.value) && close(before.low, after.low) && close(before.high, after.high));
                    prop_assert!(before.low.is_finite() && before.low <= before.value && before.value <= before.high);
                }
                prop_assert!(before.target.unwrap().value <= before.width.unwrap().value);
            }
            (before, after) => prop_assert_eq!(before.err(), after.err()),
        }
    }

    #[test]
    fn normality_does_not_depend_on_unit_or_order(data in readings(8..80), scale in 0.01_f64..100.0) {
        let moved: Vec<f64> = data.iter().rev().map(|value| 3.0 + scale * value).collect();
        for test in [normality::anderson_darling, normality::cramer_von_mises, normality::lilliefors, normality::shapiro_wilk, normality::shapiro_francia] {
            if let (Ok(before), Ok(after)) = (test(&data), test(&moved)) {
                prop_assert!(close(before.statistic, after.statistic), "{before:?} {after:?}");
                prop_assert!((0.0..=1.0).contains(&before.p));
            }
        }
    }

    #[test]
    fn fits_give_finite_numbers_or_an_error(data in readings(2..50)) {
        let families = [Family::Normal, Family::Lognormal, Family::LognormalSample, Family::Weibull, Family::Gamma, Family::Exponential];
        for family in families.into_iter().chain([Family::LognormalThreshold, Family::WeibullThreshold]) {
            match Fitted::to(&data, family) {
                Ok(fitted) => {
                    let (low, high) = (fitted.quantile(0.00135), fitted.quantile(0.99865));
                    prop_assert!(low.is_finite() && high.is_finite() && low < high, "{fitted:?}");
                    prop_assert!(fitted.log_likelihood(&data).is_finite(), "{fitted:?}");
                }
                Err(StudyError::NoVariation { .. }) => {}
                Err(error) => prop_assert!(matches!(family, Family::LognormalThreshold | Family::WeibullThreshold), "{error}"),
            }
        }
    }

    #[test]
    fn a_page_gets_finite_numbers_or_an_error(data in readings(2..60), shift in -30.0_f64..10.0) {
        let specification = Specification::new(Some(-20.0), Some(15.0), None).unwrap();
        let moved: Vec<f64> = data.iter().map(|value| value + shift).collect();
        match CapabilityStudy::of(&moved, None, &specification, &StudySettings::default()) {
            Ok(study) => {
                prop_assert_eq!(study.histogram.counts.iter().sum::<u64>(), moved.len() as u64);
                prop_assert!(study.indices.nearest.is_finite() && study.expected.total().is_finite(), "{study:?}");
                prop_assert!(study.is_normal() || moved.iter().all(|value| *value > 0.0));
            }
            Err(error) => prop_assert!(matches!(error, StudyError::NoVariation { .. }), "{error}"),
        }
    }

    #[test]
    fn rank_correlation_changes_sign_with_the_order(first in prop::collection::vec(0_i32..6, 3..30), turn in 1_usize..29) {
        let scores: Vec<f64> = first.iter().map(|score| f64::from(*score)).collect();
        let mut other = scores.clone();
        other.rotate_left(turn % scores.len());
        let turned: Vec<f64> = other.iter().map(|score| -2.0 * score).collect();
        match (kendall_tau(&scores, &other), kendall_tau(&scores, &turned)) {
            (Ok(before), Ok(after)) => {
                prop_assert!(close(before.tau, -after.tau) && close(before.p, after.p));
                prop_assert!(before.tau.abs() <= 1.0 + 1e-12 && (0.0..=1.0).contains(&before.p));
            }
            (before, after) => prop_assert_eq!(before.is_err(), after.is_err()),
        }
    }

    #[test]
    fn gauge_components_add_up(values in readings(24..25), turn in 0_usize..24) {
        let parts = ["a", "b", "c", "d"];
        let cameras = ["left", "right"];
        let mut study: Vec<Reading> = values
            .iter()
            .enumerate()
            .map(|(index, value)| Reading { part: parts[index % 4], appraiser: cameras[(index / 4) % 2], value: *value })
            .collect();
        let settings = GrrSettings { tolerance: Some(2.0), ..GrrSettings::default() };
        for analyse in [crossed, nested] {
            let Ok(found) = analyse(&study, &settings) else { continue };
            let rows = &found.anova;
            let squares: f64 = rows.iter().filter(|row| row.source != Source::Total).map(|row| row.squares).sum();
            let freedom: f64 = rows.iter().filter(|row| row.source != Source::Total).map(|row| row.freedom).sum();
            let total = rows.last().unwrap();
            prop_assert!(close(squares, total.squares) && freedom == total.freedom);
            prop_assert!(close(found.gauge.variance + found.part.variance, found.total.variance));
            prop_assert!(close(found.repeatability.variance + found.reproducibility.variance, found.gauge.variance));
            for component in [found.gauge, found.repeatability, found.reproducibility, found.part, found.total] {
                let (low, high) = component.interval;
                prop_assert!(0.0 <= low && low <= high && high.is_finite(), "{component:?}");
            }
        }
        let before = crossed(&study, &settings).map(|found| found.total.variance);
        let by_range = ranges::average_and_range(&study, TrialDivisor::Exact).map(|found| found.total);
        study.rotate_left(turn);
        if let (Ok(before), Ok(after)) = (before, crossed(&study, &settings)) {
            prop_assert!(close(before, after.total.variance));
        }
        if let (Ok(before), Ok(after)) = (by_range, ranges::average_and_range(&study, TrialDivisor::Exact)) {
            prop_assert!(close(before, after.total));
        }
    }

    #[test]
    fn agreement_does_not_depend_on_names_or_order(rows in prop::collection::vec(prop::collection::vec(0_usize..3, 3), 2..20)) {
        let named = |names: [&'static str; 3]| rows.iter().map(|row| row.iter().map(|index| names[*index]).collect()).collect::<Vec<Vec<&str>>>();
        let mut turned = named(["z", "a", "m"]);
        turned.reverse();
        turned.iter_mut().for_each(|row| row.reverse());
        match (agreement(&named(["a", "b", "c"])), agreement(&turned)) {
            (Ok(before), Ok(after)) => {
                prop_assert!(close(before.fleiss.value, after.fleiss.value) && close(before.conger, after.conger));
                prop_assert!(before.fleiss.value <= 1.0 + 1e-12 && before.fleiss.value.is_finite());
                prop_assert_eq!(before.light.is_some(), after.light.is_some());
            }
            (before, after) => prop_assert_eq!(before.is_err(), after.is_err()),
        }
        let scores: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().zip(1..).map(|(index, rater)| f64::from(rater) + [0.0, 1.0, 5.0][*index]).collect()).collect();
        if let Ok(found) = kendall(&scores, Ties::Corrected) {
            prop_assert!((-1e-12..=1.0 + 1e-12).contains(&found.w), "{found:?}");
        }
        for model in [IccModel::OneWay, IccModel::TwoWayConsistency, IccModel::TwoWayAgreement] {
            if let Ok(found) = icc(&scores, model, IccUnit::Single, 0.95) {
                prop_assert!(found.value <= 1.0 + 1e-12 && found.low <= found.high && found.p.is_finite(), "{model:?} {found:?}");
            }
        }
    }

    #[test]
    fn an_interval_holds_its_share_and_narrows_with_the_number(matched in 0_u64..50, more in 0_u64..50) {
        let inspected = matched + more + 1;
        let (low, high) = clopper_pearson(matched, inspected, 0.95).unwrap();
        let share = matched as f64 / inspected as f64;
        prop_assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
        let (closer_low, closer_high) = clopper_pearson(10 * matched, 10 * inspected, 0.95).unwrap();
        prop_assert!(closer_high - closer_low < high - low);
    }

    #[test]
    fn plans_keep_their_risks(good in 0.002_f64..0.03, ratio in 3.0_f64..8.0, alpha in 0.01_f64..0.1, beta in 0.05_f64..0.2) {
        let producer = RiskPoint { fraction: good, acceptance: 1.0 - alpha };
        let consumer = RiskPoint { fraction: good * ratio, acceptance: beta };
        for model in [Model::Binomial, Model::Poisson] {
            let (size, accept) = find_plan(producer, consumer, model).unwrap();
            let at = |size, fraction| Plan::single(size, accept).unwrap().acceptance(fraction, model).unwrap();
            prop_assert!(at(size, producer.fraction) >= producer.acceptance && at(size, consumer.fraction) <= consumer.acceptance);
            prop_assert!(size == accept + 1 || at(size - 1, consumer.fraction) > consumer.acceptance);
        }
    }

    #[test]
    fn switching_never_leaves_its_rules(lots in prop::collection::vec((prop::bool::weighted(0.7), 0_u32..4, any::<bool>(), prop::bool::weighted(0.8)), 1..200)) {
        let mut switching = Switching::default();
        for (accepted, accept, one_step_tighter, steady) in lots {
            let before = switching.inspection();
            let after = switching.push(LotResult { accepted, accept, one_step_tighter, steady });
            let allowed = match before {
                Inspection::Normal => accepted || after != Inspection::Reduced,
                Inspection::Tightened => after != Inspection::Reduced && (accepted || after != Inspection::Normal),
                Inspection::Reduced => (after == Inspection::Reduced) == (accepted && steady),
                Inspection::Discontinued => after == Inspection::Discontinued,
            };
            prop_assert!(allowed, "{before:?} {after:?}");
        }
    }
}

/// A result that is finite throughout, or an error that says what is wrong.
fn finite<T: std::fmt::Debug>(what: &str, found: &Result<T, StudyError>) {
    if let Ok(found) = found {
        let shown = format!("{found:?}");
        assert!(!shown.contains("NaN") && !shown.contains("inf"), "{what}: {shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn studies_of_any_size_of_number_are_finite_or_refused(steps in prop::collection::vec(0_i32..40, 8..24), exponent in -320_i32..=308, offset in 0_i32..3) {
        let scale = 10.0_f64.powi(exponent);
        let data: Vec<f64> = steps.iter().map(|step| f64::from(*step + offset) * scale).filter(|value| value.is_finite()).collect();
        let rows: Vec<Vec<f64>> = data.chunks_exact(2).map(<[f64]>::to_vec).collect();
        finite("summary", &Summary::of(&data));
        for test in [normality::anderson_darling, normality::cramer_von_mises, normality::lilliefors, normality::shapiro_wilk, normality::shapiro_francia] {
            finite("normality", &test(&data));
        }
        finite("Box–Cox", &normality::BoxCox::best(&data));
        finite("tolerance", &tolerance::normal(&data, 0.9, 0.95));
        finite("histogram", &Histogram::of(&data, Bins::FreedmanDiaconis));
        finite("histogram", &Histogram::of(&data, Bins::Scott));
        for family in [Family::Normal, Family::Lognormal, Family::Weibull, Family::Gamma, Family::Exponential, Family::LognormalThreshold] {
            finite("fit", &Fitted::to(&data, family));
        }
        if let Ok(specification) = Specification::new(Some(-scale), Some(30.0 * scale), None) {
            let within = Within::of_moving_ranges(&data, 2, Constants::Exact);
            finite("within", &within);
            finite("capability", &Capability::of(&data, within.ok(), &specification, Confidence::level(0.95)));
            finite("page", &CapabilityStudy::of(&data, None, &specification, &StudySettings::default()));
        }
        let settings = TypeOneSettings { reference: 5.0 * scale, tolerance: 40.0 * scale, percent_of_tolerance: 20.0, multiple: 6.0 };
        finite("type 1", &type_one(&data, &settings));
        finite("icc", &icc(&rows, IccModel::TwoWayAgreement, IccUnit::Single, 0.95));
        finite("kendall", &kendall(&rows, Ties::Corrected));
        let readings: Vec<Reading> = data
            .iter()
            .zip(0_usize..)
            .map(|(value, place)| Reading { part: ["a", "b"][place % 2], appraiser: ["left", "right"][(place / 2) % 2], value: *value })
            .take(8)
            .collect();
        finite("grr", &crossed(&readings, &GrrSettings::default()));
        finite("nested", &nested(&readings, &GrrSettings::default()));
        finite("ranges", &ranges::average_and_range(&readings, TrialDivisor::Printed));
        let parts: Vec<ReferenceReading> = data
            .iter()
            .zip(0_usize..)
            .map(|(value, place)| ReferenceReading { part: ["a", "b"][place % 2], reference: [scale, 20.0 * scale][place % 2], value: *value })
            .collect();
        finite("linearity", &linearity(&parts));
    }
}

/// Units in which squares of squares would leave the range of numbers.
#[test]
fn the_smallest_and_largest_units_change_nothing() {
    let steps = [0.0, 3.0, 1.0, 7.0, 2.0, 2.0, 5.0, 6.0];
    for unit in [1e-81, 1e77] {
        let data = steps.map(|step| step * unit);
        let (plain, moved) = (Summary::of(&steps).unwrap(), Summary::of(&data).unwrap());
        assert!(close(plain.kurtosis_excess.unwrap(), moved.kurtosis_excess.unwrap()), "{unit} {moved:?}");
        let rows = |data: &[f64]| data.chunks_exact(2).map(<[f64]>::to_vec).collect::<Vec<_>>();
        let correlation = |data| icc(&rows(data), IccModel::TwoWayAgreement, IccUnit::Single, 0.95).unwrap();
        assert!(close(correlation(&steps).low, correlation(&data).low) && close(correlation(&steps).high, correlation(&data).high));
        let share = |data: &[f64; 8]| {
            let places = data.iter().zip(0_usize..);
            let readings: Vec<Reading> =
                places.map(|(value, at)| Reading { part: ["a", "b"][at % 2], appraiser: ["l", "r"][at / 2 % 2], value: *value }).collect();
            let gauge = crossed(&readings, &GrrSettings::default()).unwrap().gauge;
            gauge.interval.1 / gauge.variance
        };
        assert!(close(share(&steps), share(&data)));
    }
    assert!(matches!(Summary::of(&[1.0, 1e101]), Err(StudyError::TooLarge { place: 2, .. })));
}

/// The stated confidence is kept: intervals of Cpk over simulated normal lots (generator: SplitMix64, normal by inversion).
#[test]
fn intervals_cover_as_often_as_they_say() {
    let mut state = 20_240_229_u64;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let specification = Specification::new(Some(-4.0), Some(5.0), None).unwrap();
    let (mut nearest, mut width) = (0, 0);
    let lots = 1500;
    for _ in 0..lots {
        let data: Vec<f64> = (0..40).map(|_| spc::distribution::normal_quantile(uniform().max(1e-300))).collect();
        let found = Capability::of(&data, None, &specification, Confidence::level(0.9)).unwrap().performance;
        let holds = |index: spc::capability::Index, truth: f64| u32::from(index.low <= truth && truth <= index.high);
        nearest += holds(found.nearest, 4.0 / 3.0);
        width += holds(found.width.unwrap(), 1.5);
    }
    let share = |count: u32| f64::from(count) / f64::from(lots);
    // Three standard errors of 1500 trials are 0.023; the interval of Cpk is an approximation.
    assert!((share(width) - 0.9).abs() < 0.025, "Cp: {}", share(width));
    assert!((share(nearest) - 0.9).abs() < 0.035, "Cpk: {}", share(nearest));
}
