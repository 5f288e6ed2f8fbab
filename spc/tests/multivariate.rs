//! Properties of the charts of several variables: they are what their definitions say, they do not depend on the units or
//! the order of the variables, streaming is batch to the bit, a checkpoint resumes anywhere, a refusal leaves no trace, no
//! number is ever not finite, and simulated run lengths are the exact ones.

mod seeded;

use proptest::prelude::*;
use seeded::Seeded;
use spc::alarm::MewmaDesign;
use spc::distribution::chi_square_quantile;
use spc::multivariate::{
    Covariance, HotellingT2, Mcusum, McusumSettings, Mewma, MewmaSettings, MultivariateError, Phase, Reference, Spread, T2Limits,
    VectorError, VectorPoint,
};
use spc::weighted::{Ewma, EwmaSettings, Process};

const VARIABLES: usize = 3;

/// Pieces of three variables that move together, in steps of 1/64.
fn pieces(count: usize) -> impl Strategy<Value = Vec<[f64; VARIABLES]>> {
    let step = || (-64i32..64).prop_map(|x| f64::from(x) / 64.0);
    let piece = (step(), step(), step()).prop_map(|(a, b, c)| [10.0 + a, 20.0 + a + b, 5.0 - b + 0.5 * c]);
    prop::collection::vec(piece, count)
}

fn statistics(points: &[VectorPoint]) -> Vec<f64> {
    points.iter().map(|point| point.statistic).collect()
}

fn close(got: &[f64], expected: &[f64], relative: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        prop_assert!((got - expected).abs() <= relative * (1.0 + expected.abs()), "{got} is not {expected}");
    }
    Ok(())
}

fn charts(reference: &Reference) -> (HotellingT2, Mewma, Mcusum) {
    let limits = T2Limits::new(reference.clone(), None).expect("enough subgroups");
    let settings = MewmaSettings { lambda: 0.2, limit: 11.8, spread: Spread::Exact };
    let mewma = Mewma::new(reference.clone(), settings).expect("settings that can be meant");
    let mcusum = Mcusum::new(reference.clone(), McusumSettings { k: 0.5, h: 6.0 }).expect("settings that can be meant");
    (HotellingT2::new(limits, Phase::Two), mewma, mcusum)
}

/// The inverse by Gauss-Jordan elimination, on purpose not the way the crate goes.
fn inverse(mut left: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let p = left.len();
    let mut right: Vec<Vec<f64>> = (0..p).map(|i| (0..p).map(|j| if i == j { 1.0 } else { 0.0 }).collect()).collect();
    for i in 0..p {
        let pivot = left[i][i];
        for matrix in [&mut left, &mut right] {
            matrix[i].iter_mut().for_each(|x| *x /= pivot);
        }
        for k in (0..p).filter(|k| *k != i) {
            let factor = left[k][i];
            for matrix in [&mut left, &mut right] {
                let row = matrix[i].clone();
                matrix[k].iter_mut().zip(row).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }
    right
}

fn form(inverse: &[Vec<f64>], difference: &[f64]) -> f64 {
    let row = |row: &Vec<f64>| row.iter().zip(difference).map(|(x, d)| x * d).sum::<f64>();
    inverse.iter().map(row).zip(difference).map(|(x, d)| x * d).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the inverse; and over phase I the statistics of individuals add up to p(m − 1).
    #[test]
    fn t2_is_its_definition(data in pieces(20)) {
        let limits = T2Limits::phase_one(VARIABLES, &data, &[], None).unwrap();
        let seen = statistics(&HotellingT2::new(limits.clone(), Phase::One).batch(&data).unwrap());
        let centre: Vec<f64> = (0..VARIABLES).map(|j| data.iter().map(|x| x[j]).sum::<f64>() / 20.0).collect();
        let away = |x: &[f64; VARIABLES]| (0..VARIABLES).map(|j| x[j] - centre[j]).collect::<Vec<_>>();
        let entry = |i: usize, j: usize| data.iter().map(|x| away(x)[i] * away(x)[j]).sum::<f64>() / 19.0;
        let covariance = (0..VARIABLES).map(|i| (0..VARIABLES).map(|j| entry(i, j)).collect()).collect();
        let inverse = inverse(covariance);
        close(&seen, &data.iter().map(|x| form(&inverse, &away(x))).collect::<Vec<_>>(), 1e-9)?;
        close(&[seen.iter().sum()], &[3.0 * 19.0], 1e-9)?;
        prop_assert!(seen.iter().all(|t2| *t2 <= 19.0 * 19.0 / 20.0), "no point of phase I can be farther out");
        prop_assert!(limits.ucl_phase_one < 19.0 * 19.0 / 20.0 && limits.ucl_phase_one < limits.ucl_phase_two);

        // Leaving a variable out takes away what it contributed.
        let parts = limits.contributions(&data[7]).unwrap();
        for (without, part) in parts.iter().enumerate() {
            let rest: Vec<Vec<f64>> =
                data.iter().map(|x| (0..VARIABLES).filter(|j| *j != without).map(|j| x[j]).collect()).collect();
            let limits = T2Limits::phase_one(VARIABLES - 1, &rest, &[], None).unwrap();
            let less = HotellingT2::new(limits, Phase::One).batch(&rest).unwrap()[7].statistic;
            close(&[seen[7] - less], &[*part], 1e-9)?;
        }
    }

    /// The covariance within subgroups: by hand for each, then the mean; and T² of the means with n of them.
    #[test]
    fn subgroups_are_measured_by_what_varies_within(data in pieces(24)) {
        let subgroups: Vec<Vec<f64>> = data.chunks(4).map(|pieces| pieces.concat()).collect();
        let reference = Reference::phase_one(VARIABLES, &subgroups, &[2]).unwrap();
        prop_assert_eq!((reference.size(), reference.subgroups(), reference.excluded()), (4, Some(5), 1));
        let kept: Vec<&[[f64; VARIABLES]]> = data.chunks(4).enumerate().filter(|(i, _)| *i != 1).map(|(_, x)| x).collect();
        let mean = |pieces: &[[f64; VARIABLES]], j: usize| pieces.iter().map(|x| x[j]).sum::<f64>() / 4.0;
        for i in 0..VARIABLES {
            close(&[reference.centre()[i]], &[kept.iter().map(|pieces| mean(pieces, i)).sum::<f64>() / 5.0], 1e-12)?;
            for j in 0..VARIABLES {
                let within = |pieces: &&[[f64; VARIABLES]]| {
                    pieces.iter().map(|x| (x[i] - mean(pieces, i)) * (x[j] - mean(pieces, j))).sum::<f64>() / 3.0
                };
                let expected = kept.iter().map(within).sum::<f64>() / 5.0;
                close(&[reference.covariance().entry(i, j).unwrap()], &[expected], 1e-12)?;
            }
        }
        let inverse = inverse(Vec::from(reference.covariance().clone()));
        let away = |pieces: &[[f64; VARIABLES]]| (0..VARIABLES).map(|j| mean(pieces, j) - reference.centre()[j]).collect::<Vec<_>>();
        let expected: Vec<f64> = data.chunks(4).map(|pieces| 4.0 * form(&inverse, &away(pieces))).collect();
        let limits = T2Limits::new(reference, None).unwrap();
        close(&statistics(&HotellingT2::new(limits, Phase::Two).batch(&subgroups).unwrap()), &expected, 1e-8)?;
    }

    /// Other units, another zero, another order of the variables: the same chart.
    #[test]
    fn units_and_order_of_variables_do_not_matter(data in pieces(30), scale in 0.01f64..100.0, shift in -50.0f64..50.0) {
        let changed: Vec<[f64; VARIABLES]> = data.iter().map(|[a, b, c]| [c * scale, a - shift, shift + b / scale]).collect();
        let of = |data: &[[f64; VARIABLES]]| {
            let (t2, mewma, mcusum) = charts(&Reference::phase_one(VARIABLES, &data[..20], &[]).unwrap());
            (t2.batch(data).unwrap(), mewma.batch(data).unwrap(), mcusum.batch(data).unwrap())
        };
        let (plain, other) = (of(&data), of(&changed));
        close(&statistics(&plain.0), &statistics(&other.0), 1e-7)?;
        close(&statistics(&plain.1), &statistics(&other.1), 1e-7)?;
        close(&statistics(&plain.2), &statistics(&other.2), 1e-7)?;
    }

    /// One variable is the ordinary EWMA; λ = 1 is T².
    #[test]
    fn mewma_agrees_with_its_relatives(data in pieces(25), lambda in 0.05f64..1.0, exact in any::<bool>()) {
        let spread = if exact { Spread::Exact } else { Spread::Asymptotic };
        let one: Vec<[f64; 1]> = data.iter().map(|x| [x[0]]).collect();
        let known = Reference::given(&[10.0], Covariance::new(&[vec![0.25]]).unwrap(), 1).unwrap();
        let seen = Mewma::new(known, MewmaSettings { lambda, limit: 9.0, spread }).unwrap().batch(&one).unwrap();
        let limits = if exact { spc::weighted::EwmaWidth::Exact } else { spc::weighted::EwmaWidth::Asymptotic };
        let ewma = Ewma::new(Process::given(10.0, 0.5).unwrap(), EwmaSettings { lambda, limits, ..EwmaSettings::default() }).unwrap();
        let square = |point: &spc::Point| ((point.statistic - 10.0) / point.lines.unwrap().se).powi(2);
        close(&statistics(&seen), &ewma.batch(&one).unwrap().iter().map(square).collect::<Vec<_>>(), 1e-9)?;

        let reference = Reference::phase_one(VARIABLES, &data, &[]).unwrap();
        let newest = Mewma::new(reference.clone(), MewmaSettings { lambda: 1.0, limit: 9.0, spread }).unwrap();
        let t2 = HotellingT2::new(T2Limits::new(reference, None).unwrap(), Phase::Two);
        close(&statistics(&newest.batch(&data).unwrap()), &statistics(&t2.batch(&data).unwrap()), 1e-9)?;
    }

    /// What is plotted is the length of the vector of sums, by the inverse.
    #[test]
    fn mcusum_is_its_definition(data in pieces(40), k in 0.0f64..1.5) {
        let reference = Reference::phase_one(VARIABLES, &data[..20], &[]).unwrap();
        let inverse = inverse(Vec::from(reference.covariance().clone()));
        let mut sums = [0.0; VARIABLES];
        let mut expected = Vec::new();
        for piece in &data {
            let next: Vec<f64> = (0..VARIABLES).map(|j| sums[j] + piece[j] - reference.centre()[j]).collect();
            let c = form(&inverse, &next).sqrt();
            sums = std::array::from_fn(|j| if c <= k { 0.0 } else { next[j] * (1.0 - k / c) });
            expected.push(form(&inverse, &sums).sqrt());
        }
        let seen = Mcusum::new(reference, McusumSettings { k, h: 5.0 }).unwrap().batch(&data).unwrap();
        close(&statistics(&seen), &expected, 1e-7)?;
        prop_assert!(seen.iter().all(|point| point.beyond == (point.statistic > 5.0)));
    }

    /// After every point, and through a checkpoint at every point.
    #[test]
    fn streaming_is_batch(data in pieces(25)) {
        let fresh = charts(&Reference::phase_one(VARIABLES, &data[..15], &[4]).unwrap());
        let mut charts = fresh.clone();
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        for (t, piece) in data.iter().enumerate() {
            charts = serde_json::from_str(&serde_json::to_string(&charts).unwrap()).unwrap();
            a.push(charts.0.push(piece).unwrap());
            b.push(charts.1.push(piece).unwrap());
            c.push(charts.2.push(piece).unwrap());
            prop_assert_eq!(&a, &fresh.0.clone().batch(&data[..=t]).unwrap());
            prop_assert_eq!(&b, &fresh.1.clone().batch(&data[..=t]).unwrap());
            prop_assert_eq!(&c, &fresh.2.clone().batch(&data[..=t]).unwrap());
        }
    }

    /// Any f64 at all is either refused without a trace or leads to finite numbers only.
    #[test]
    fn no_number_is_ever_not_finite(data in prop::collection::vec(prop::collection::vec(prop::num::f64::ANY, 1..4), 20)) {
        let pairs: Vec<&[f64]> = data.iter().filter(|x| x.len() == 2).map(Vec::as_slice).collect();
        let reference = Reference::phase_one(2, &pairs, &[]).unwrap_or_else(|_| known(2));
        prop_assert!(reference.centre().iter().all(|x| x.is_finite()));
        let (mut t2, mut mewma, mut mcusum) = charts(&reference.estimated_from(10));
        let finite = |seen: Result<VectorPoint, VectorError>| seen.map(|point| point.statistic.is_finite() && point.statistic >= 0.0);
        for values in &data {
            let before = (t2.clone(), mewma.clone(), mcusum.clone());
            let seen = (finite(t2.push(values)), finite(mewma.push(values)), finite(mcusum.push(values)));
            prop_assert!(seen.0 == Ok(true) || (seen.0.is_err() && t2 == before.0));
            prop_assert!(seen.1 == Ok(true) || (seen.1.is_err() && mewma == before.1));
            prop_assert!(seen.2 == Ok(true) || (seen.2.is_err() && mcusum == before.2));
            prop_assert_eq!(values.len() == 2 || seen.0.is_err(), true);
        }
    }
}

/// Centre 0, unit variances, no correlation.
fn known(variables: usize) -> Reference {
    let rows: Vec<Vec<f64>> = (0..variables).map(|i| (0..variables).map(|j| if i == j { 1.0 } else { 0.0 }).collect()).collect();
    Reference::given(&vec![0.0; variables], Covariance::new(&rows).expect("the identity"), 1).expect("one centre for each")
}

fn simulated(runs: u32, values: &mut Seeded, mut fresh: impl FnMut() -> Box<dyn FnMut(&[f64]) -> bool>) -> f64 {
    let mut points = 0u32;
    for _ in 0..runs {
        let mut chart = fresh();
        loop {
            points += 1;
            if chart(&[values.normal(), values.normal()]) {
                break;
            }
        }
    }
    f64::from(points) / f64::from(runs)
}

/// T² with known parameters has independent points: its run length is one over the risk. The MEWMA runs as long as its
/// design says. Run lengths are nearly geometric: four standard errors of the mean.
#[test]
fn simulated_run_lengths_are_the_exact_ones() {
    let mut values = Seeded::new(5);
    let runs = 1000;
    let tolerance = 4.0 / f64::from(runs).sqrt();
    let limits = T2Limits::new(known(2), Some(0.99)).unwrap();
    assert_eq!(limits.ucl_phase_two, chi_square_quantile(0.99, 2.0));
    let t2 = simulated(runs, &mut values, || {
        let mut chart = HotellingT2::new(limits.clone(), Phase::Two);
        Box::new(move |values| chart.push(values).unwrap().beyond)
    });
    assert!((t2 / 100.0 - 1.0).abs() < tolerance, "{t2}");
    let design = MewmaDesign::for_run_length(0.1, 200.0, 2).unwrap();
    let settings = MewmaSettings { lambda: 0.1, limit: design.limit(), spread: Spread::Asymptotic };
    let mewma = simulated(runs, &mut values, || {
        let mut chart = Mewma::new(known(2), settings).unwrap();
        Box::new(move |values| chart.push(values).unwrap().beyond)
    });
    assert!((mewma / 200.0 - 1.0).abs() < tolerance, "{mewma}");
}

#[test]
fn says_why_there_is_nothing_to_judge_by() {
    let refused = |rows: &[Vec<f64>], excluded: &[u64]| T2Limits::phase_one(2, rows, excluded, None).unwrap_err();
    let rows: Vec<Vec<f64>> = (0..6u8).map(|i| vec![f64::from(i), f64::from(i * i)]).collect();
    assert!(T2Limits::phase_one(2, &rows, &[], None).is_ok());
    assert_eq!(refused(&[], &[]), MultivariateError::TooFew { used: 0, least: 2 });
    assert_eq!(refused(&rows[..3], &[]), MultivariateError::TooFew { used: 3, least: 4 });
    assert_eq!(refused(&rows, &[1, 2, 3, 4]), MultivariateError::TooFew { used: 2, least: 3 });
    assert_eq!(refused(&[vec![1.0, 2.0, 3.0]], &[]), MultivariateError::SubgroupSize);
    let line: Vec<Vec<f64>> = (0..6u8).map(|i| vec![f64::from(i), f64::from(2 * i)]).collect();
    assert_eq!(refused(&line, &[]), MultivariateError::NoVariation { variable: 2 });
    let mut gap = rows.clone();
    gap[4][1] = f64::NAN;
    assert_eq!(refused(&gap, &[]), MultivariateError::Sample(VectorError::NotFinite { point: 5, variable: 2 }));
    gap.truncate(4);
    gap[2].pop();
    assert_eq!(refused(&gap, &[]), MultivariateError::Sample(VectorError::Count { point: 3, got: 1, expected: 2 }));
    assert!(matches!(T2Limits::phase_one(2, &rows, &[], Some(1.0)), Err(MultivariateError::Parameter { name: "confidence", .. })));
}

/// A checkpoint whose parts do not fit each other is refused: when it is read, or at the next point.
#[test]
fn a_damaged_checkpoint_is_refused() {
    let (_, mewma, mcusum) = charts(&known(2).estimated_from(10));
    let damaged = |json: &str| json.replace(r#""centre":[0.0,0.0]"#, r#""centre":[0.0]"#);
    assert!(serde_json::from_str::<Mewma>(&damaged(&serde_json::to_string(&mewma).unwrap())).is_err());
    let json = serde_json::to_string(&mewma).unwrap().replace(r#""weighted":[0.0,0.0]"#, r#""weighted":[0.0,0.0,0.0]"#);
    let longer = serde_json::from_str::<Mewma>(&json).unwrap().push(&[0.0, 0.0]);
    assert_eq!(longer, Err(VectorError::Count { point: 1, got: 3, expected: 2 }));
    let json = serde_json::to_string(&mcusum).unwrap().replace(r#""sums":[0.0,0.0]"#, r#""sums":[]"#);
    let shorter = serde_json::from_str::<Mcusum>(&json).unwrap().push(&[0.0, 0.0]);
    assert_eq!(shorter, Err(VectorError::Count { point: 1, got: 0, expected: 2 }));
}
