//! What charts rest on: constants, overdispersion, operating characteristics; and the run chart.

use serde_json::Value;
use spc::Constants;
use spc::chart::constants::{ControlFactors, c4, c5, d2, d2_star, d3, range_median};
use spc::distribution::normal_quantile;
use spc::oc_curve::{CountLimits, count_beta, range_beta, sd_beta, share_beta, xbar_beta};
use spc::overdispersion::Overdispersion;
use spc::run_chart::RunChart;

use super::Checker;
use super::cases::{Step, failed, unsupported};
use super::charts_cases::{numbers, whole};
use super::charts_fields::verdict;
use super::studies_cases::flat;

/// Runs a case of one of these families; `None` for another family.
pub fn run(case: &Value, checker: &mut Checker) -> Option<Step<()>> {
    Some(match case["family"].as_str().unwrap_or_default() {
        "constants" => constants(case, checker),
        "overdispersion" => overdispersion(case, checker),
        "oc_curve" => oc_curve(case, checker),
        "run" => run_chart(case, checker),
        _ => return None,
    })
}

fn counts(list: &Value) -> Vec<u32> {
    numbers(list).filter_map(|n| n.try_into().ok()).collect()
}

fn constants(case: &Value, checker: &mut Checker) -> Step<()> {
    let input = &case["input"];
    let (sizes, groups) = (counts(&input["m"]), counts(&input["g"]));
    let row = |m: &u32| groups.iter().map(|g| d2_star(*m, *g).unwrap_or(f64::NAN)).collect();
    checker.matrix("d2_star", &sizes.iter().map(row).collect::<Vec<_>>());
    let sizes = counts(&input["n"]);
    let plain: [(&str, Constant); 5] = [("d2", d2), ("d3", d3), ("d4", range_median), ("c4", c4), ("c5", c5)];
    for (name, constant) in plain {
        checker.gappy_series(name, &sizes.iter().map(|n| constant(*n)).collect::<Vec<_>>());
    }
    let width = case["settings"]["sigma_multiple"].as_f64().unwrap_or(3.0);
    for (name, factor) in FACTORS {
        let of = |n: &u32| ControlFactors::of(*n, width).as_ref().map(factor);
        checker.gappy_series(name, &sizes.iter().map(of).collect::<Vec<_>>());
    }
    Ok(())
}

type Constant = fn(u32) -> Option<f64>;
type Factor = fn(&ControlFactors) -> f64;
const FACTORS: [(&str, Factor); 13] = [
    ("A", |f| f.a),
    ("A2", |f| f.a2),
    ("A3", |f| f.a3),
    ("B3", |f| f.b3),
    ("B4", |f| f.b4),
    ("B5", |f| f.b5),
    ("B6", |f| f.b6),
    ("D1", |f| f.big_d1),
    ("D2", |f| f.big_d2),
    ("D3", |f| f.big_d3),
    ("D4", |f| f.big_d4),
    ("E2", |f| f.e2),
    ("E3", |f| f.e3),
];

fn overdispersion(case: &Value, checker: &mut Checker) -> Step<()> {
    let input = &case["input"];
    let sizes = flat(&input["sizes"]);
    let size = |index: usize| sizes.get(index).or(sizes.first()).copied().unwrap_or(1.0);
    let counts = flat(&input["counts"]).into_iter().enumerate().map(|(index, count)| Ok((whole(count)?, size(index))));
    let counts = counts.collect::<Step<Vec<_>>>()?;
    let test = match case["settings"]["type"].as_str() {
        Some("binomial") => Overdispersion::binomial(&counts),
        // The peer takes counts of one size here, whatever sizes a case lists.
        Some("poisson") => Overdispersion::poisson(&counts.iter().map(|(count, _)| (*count, 1.0)).collect::<Vec<_>>()),
        other => return unsupported(format!("overdispersion of {other:?}")),
    };
    let test = test.map_err(failed)?;
    checker.number("variance_ratio", test.variance_ratio);
    checker.number("statistic", test.statistic);
    checker.number("p_value", test.p_value);
    Ok(())
}

/// qcc rounds both limits of a count down, and draws range charts with a rounded d2.
fn oc_curve(case: &Value, checker: &mut Checker) -> Step<()> {
    let (input, settings) = (&case["input"], &case["settings"]);
    let share = settings["confidence_level"].as_f64().map(|share| normal_quantile(0.5 + 0.5 * share));
    let width = share.or(settings["nsigmas"].as_f64()).unwrap_or(3.0);
    let chart = settings["type"].as_str().or(case["title"].as_str()).and_then(|title| title.split(' ').next()).unwrap_or_default();
    let rows = |changes: &Value, beta: &dyn Fn(f64, u32) -> Option<f64>| -> Vec<Vec<f64>> {
        let sizes = counts(&input["n"]);
        flat(changes).into_iter().map(|change| sizes.iter().map(|n| beta(change, *n).unwrap_or(f64::NAN)).collect()).collect()
    };
    let beta = if input.get("shift_sigma").is_some() {
        rows(&input["shift_sigma"], &|shift, n| xbar_beta(shift, n, width))
    } else if input.get("sigma_multiplier").is_some() {
        rows(&input["sigma_multiplier"], &|times, n| {
            if matches!(chart, "S" | "s") { sd_beta(times, n, width) } else { range_beta(times, n, width, Constants::Printed) }
        })
    } else if let (Some(lcl), Some(ucl)) = (input["lcl"].as_f64(), input["ucl"].as_f64()) {
        let size = input["n"].as_f64().unwrap_or(1.0);
        let of = |parameter: f64| match chart {
            "p" => share_beta(parameter, whole(size).ok()?, lcl * size, ucl * size, CountLimits::RoundedDown),
            "np" => share_beta(parameter, whole(size).ok()?, lcl, ucl, CountLimits::RoundedDown),
            // The mean is that of the defects in a subgroup, not that of one unit.
            "u" => count_beta(parameter, lcl * size, ucl * size, CountLimits::RoundedDown),
            _ => count_beta(parameter, lcl, ucl, CountLimits::RoundedDown),
        };
        let beta: Vec<f64> = flat(&input["parameter"]).into_iter().map(|x| of(x).unwrap_or(f64::NAN)).collect();
        checker.series("beta", &beta);
        checker.series("arl", &beta.iter().map(|beta| 1.0 / (1.0 - beta)).collect::<Vec<_>>());
        return Ok(());
    } else {
        return unsupported("an operating characteristic of another chart");
    };
    checker.matrix("beta", &beta);
    checker.matrix("arl", &beta.iter().map(|row| row.iter().map(|beta| 1.0 / (1.0 - beta)).collect()).collect::<Vec<_>>());
    Ok(())
}

fn run_chart(case: &Value, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let multiply = settings["multiply"].as_f64().unwrap_or(1.0);
    let mut values = flat(&case["input"]["data"]);
    values.iter_mut().zip(flat(&case["input"]["sizes"])).for_each(|(value, size)| *value /= size);
    let known = settings["cl"].as_f64();
    let excluded: Vec<u64> = numbers(&settings["exclude"]).collect();
    let mut cuts: Vec<usize> = numbers(&settings["part_after"]).filter_map(|n| n.try_into().ok()).collect();
    cuts.push(values.len());
    let learn = settings["freeze"].as_u64().and_then(|n| usize::try_from(n).ok());
    let (mut statistics, mut centres, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    let mut from = 0;
    for to in cuts {
        let stage = &values[from..to];
        let left_out: Vec<u64> = excluded.iter().filter_map(|n| n.checked_sub(from as u64)).collect();
        let phase_one = &stage[..learn.unwrap_or(stage.len()).min(stage.len())];
        let mut chart = match known {
            Some(median) => RunChart::given(median).map_err(failed)?,
            None => RunChart::phase_one(phase_one, &left_out).map_err(failed)?,
        };
        for (value, number) in stage.iter().zip(1..) {
            let excluded = left_out.contains(&number);
            let point = if excluded { chart.push_excluded(*value) } else { chart.push(*value) }.map_err(failed)?;
            statistics.push(multiply * point.statistic);
            centres.push(multiply * point.centre);
        }
        verdicts.push(verdict(from, to, chart.crossings()));
        from = to;
    }
    checker.series("statistics", &statistics);
    checker.series("center", &centres);
    checker.exact("anhoej_runs", &Value::Array(verdicts));
    Ok(())
}
