//! Cases of capability studies, normal and by percentiles.

use serde_json::Value;
use spc::capability::fit::{Family, Fitted};
use spc::capability::percentile::{Percentiles, expected, indices_by_share};
use spc::capability::{Confidence, Indices, Outside, TargetFreedom, Within, WithinMethod};
use spc::normality::anderson_darling;
use spc::univariate::Summary;
use spc::{Capability, Constants, Specification};

use super::Checker;
use super::cases::{Step, failed, unsupported};
use super::studies_cases::{flat, strings};

fn specification(settings: &Value) -> Step<Specification> {
    let limit = |name: &str| settings.get(name).and_then(Value::as_f64);
    Specification::new(limit("lsl"), limit("usl"), limit("target")).map_err(failed)
}

pub fn normal(case: &Value, checker: &mut Checker) -> Step<()> {
    let (settings, data) = (&case["settings"], flat(&case["input"]["data"]));
    let specification = specification(settings)?;
    // qcc's interval of Cpm is its own; its cases are the ones of a chart.
    let target_freedom = if settings.get("chart").is_some() { TargetFreedom::FirstPower } else { TargetFreedom::Boyles };
    let confidence = Confidence { level: settings["confidence_level"].as_f64().unwrap_or(0.95), target_freedom };
    let study = |printed: bool| -> Step<Capability> {
        let within = within(case, &data, printed)?;
        Capability::of(&data, within, &specification, confidence).map_err(failed)
    };
    let both = case.get("expected_exact_constants").is_some();
    // Without exact constants beside them, the numbers rest on the peer's printed table.
    check(&study(!both)?, &data, checker)?;
    if both {
        checker.against("expected (printed constants)", &case["expected"]);
        check(&study(true)?, &data, checker)?;
    }
    Ok(())
}

/// The spread within subgroups of the case's chart, if it names one; with the peer's rounded d2 where that is asked for.
fn within(case: &Value, data: &[f64], printed: bool) -> Step<Option<Within>> {
    let settings = &case["settings"];
    let chart = settings["chart"].as_str();
    let method = settings["sigma_method"].as_str();
    let constants = if printed { Constants::Printed } else { Constants::Exact };
    if chart.is_none() && method.is_none() {
        return Ok(None);
    }
    if chart == Some("xbar.one") || method == Some("MR") {
        let span = settings["mr_span"].as_u64().and_then(|span| span.try_into().ok()).unwrap_or(2);
        let within = if method == Some("SD") { Within::of_all(data) } else { Within::of_moving_ranges(data, span, constants) };
        return within.map(Some).map_err(failed);
    }
    let subgroups = subgroups(&case["input"]);
    // qcc goes over to pooling where ranges of large subgroups waste too much.
    let large = subgroups.iter().any(|subgroup| subgroup.len() > 25);
    let method = match method {
        None if large => WithinMethod::Pooled,
        None | Some("UWAVE-R" | "xbar-R") => WithinMethod::MeanRange,
        Some("MVLUE-R") => WithinMethod::WeightedRange,
        Some("UWAVE-SD" | "xbar-S" | "xbar-s") => WithinMethod::MeanStdDev,
        Some("MVLUE-SD") => WithinMethod::WeightedStdDev,
        Some("RMSDF" | "pooled") => WithinMethod::Pooled,
        Some(other) => return unsupported(format!("sigma method {other}")),
    };
    let within = Within::of_subgroups(&subgroups, method, constants).map_err(failed)?;
    // qcc counts all readings for the Cp family, as the notes of its cases say.
    let freedom = if chart.is_some() { (data.len() - 1) as f64 } else { within.freedom };
    Ok(Some(Within { freedom, ..within }))
}

fn subgroups(input: &Value) -> Vec<Vec<f64>> {
    let rows = input["data"].as_array().into_iter().flatten();
    let Some(names) = input.get("subgroup") else { return rows.map(flat).collect() };
    let mut groups: Vec<(String, Vec<f64>)> = Vec::new();
    for (name, value) in strings(names).into_iter().zip(rows) {
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.extend(flat(value)),
            None => groups.push((name, flat(value))),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn check(study: &Capability, data: &[f64], checker: &mut Checker) -> Step<()> {
    checker.number("nobs", study.count as f64);
    checker.number("n", study.count as f64);
    checker.number("center", study.mean);
    checker.number("mean", study.mean);
    checker.number("std_dev_overall", study.overall_sigma);
    checker.number("target", study.specification.target());
    checker.number("z_score", study.sigma_score());
    if let Some(within) = study.within {
        checker.number("std_dev_within", within.sigma);
    }
    // Where there is a separate within spread, "Cpm" of Minitab and JASP is still an overall index: their cases have no Ppm.
    let overall_target = checker.expected("Cpm_ci").is_some();
    if let Some(potential) = &study.potential {
        indices(potential, ["Cp", "Cpl", "Cpu", "Cpk", if overall_target { "" } else { "Cpm" }], checker);
        ppm(&potential.expected, "ppm_expected_within", checker);
        // The peer prints 0 below 0.01 percent.
        let percent = |ppm: f64| if ppm < 100.0 { 0.0 } else { ppm / 1e4 };
        checker.gappy_series("expected_pct_below_lsl", &[potential.expected.below.map(percent)]);
        checker.gappy_series("expected_pct_above_usl", &[potential.expected.above.map(percent)]);
    }
    indices(&study.performance, ["Pp", "Ppl", "Ppu", "Ppk", if overall_target { "Cpm" } else { "Ppm" }], checker);
    ppm(&study.performance.expected, "ppm_expected_overall", checker);
    ppm(&study.observed, "ppm_observed", checker);
    checker.gappy_series("observed_pct_below_lsl", &[study.observed.below.map(|ppm| ppm / 1e4)]);
    checker.gappy_series("observed_pct_above_usl", &[study.observed.above.map(|ppm| ppm / 1e4)]);
    if checker.expected("anderson_darling").is_some() {
        let test = anderson_darling(data).map_err(failed)?;
        checker.number("anderson_darling/A", test.statistic);
        checker.number("anderson_darling/p", test.p);
    }
    Ok(())
}

/// `name: {value, ci}` or `name` and `name_ci`.
fn indices(indices: &Indices, names: [&str; 5], checker: &mut Checker) {
    let all = [indices.width, indices.lower, indices.upper, Some(indices.nearest), indices.target];
    for (name, index) in names.into_iter().zip(all) {
        let Some(index) = index.filter(|_| !name.is_empty()) else { continue };
        if checker.expected(name).is_some_and(Value::is_object) {
            checker.number(&format!("{name}/value"), index.value);
            checker.series(&format!("{name}/ci"), &[index.low, index.high]);
        } else {
            checker.number(name, index.value);
            checker.series(&format!("{name}_ci"), &[index.low, index.high]);
        }
    }
}

fn ppm(outside: &Outside, name: &str, checker: &mut Checker) {
    checker.gappy_series(&format!("{name}/below"), &[outside.below]);
    checker.gappy_series(&format!("{name}/above"), &[outside.above]);
    checker.number(&format!("{name}/total"), outside.total());
}

fn family(case: &Value) -> Step<Family> {
    let name = case["settings"]["distribution"].as_str().unwrap_or_default().to_lowercase();
    let threshold = name.contains('3') || name.contains("three");
    // Minitab and JASP print the lognormal spread with divisor n − 1.
    let sample = case["origin"]["package"].as_str().is_some_and(|package| package.contains("JASP") || package.contains("Minitab"));
    Ok(match name.as_str() {
        "normal" => Family::Normal,
        "gamma" => Family::Gamma,
        "exponential" => Family::Exponential,
        name if name.contains("lognormal") && threshold => Family::LognormalThreshold,
        name if name.contains("lognormal") && sample => Family::LognormalSample,
        name if name.contains("lognormal") => Family::Lognormal,
        name if name.contains("weibull") && threshold => Family::WeibullThreshold,
        name if name.contains("weibull") => Family::Weibull,
        other => return unsupported(format!("distribution {other}")),
    })
}

pub fn percentile(case: &Value, checker: &mut Checker) -> Step<()> {
    let (settings, data) = (&case["settings"], flat(&case["input"]["data"]));
    let family = family(case)?;
    let fitted = Fitted::to(&data, family).map_err(failed)?;
    let parameters: &[(&str, f64)] = &match fitted {
        Fitted::Normal { mean, std_dev } => vec![("mean", mean), ("sd", std_dev)],
        Fitted::Lognormal { log_mean, log_std_dev, threshold } => {
            vec![("meanlog", log_mean), ("sdlog", log_std_dev), ("location", log_mean), ("scale", log_std_dev), ("threshold", threshold)]
        }
        Fitted::Weibull { shape, scale, threshold } => vec![("shape", shape), ("scale", scale), ("threshold", threshold)],
        Fitted::Gamma { shape, rate } => vec![("shape", shape), ("rate", rate)],
        Fitted::Exponential { rate } => vec![("rate", rate)],
    };
    for (name, value) in parameters {
        checker.number(&format!("parameters/{name}"), *value);
        if family != Family::Normal {
            checker.number(name, *value);
        }
    }
    let summary = Summary::of(&data).map_err(failed)?;
    checker.number("n", summary.count as f64);
    checker.number("mean", summary.mean);
    checker.number("std_dev", summary.std_dev);
    checker.loosened(1e-4, |checker| checker.number("loglik", fitted.log_likelihood(&data)));
    let percentiles = Percentiles::of(&fitted);
    checker.number("x_00135", percentiles.low);
    checker.number("x_50", percentiles.median);
    checker.number("x_99865", percentiles.high);
    let specification = specification(settings)?;
    let by_share = settings["method"].as_str().is_some_and(|method| method.to_lowercase().contains("conform"));
    let indices = if by_share { indices_by_share(&fitted, &specification) } else { percentiles.indices(&specification) };
    let indices = indices.map_err(failed)?;
    checker.gappy_series("Pp", &[indices.width]);
    checker.gappy_series("Ppl", &[indices.lower]);
    checker.gappy_series("Ppu", &[indices.upper]);
    checker.number("Ppk", indices.nearest);
    let outside = expected(&fitted, &specification);
    for name in ["ppm_below_lsl", "ppm_below"] {
        checker.gappy_series(name, &[outside.below]);
    }
    for name in ["ppm_above_usl", "ppm_above"] {
        checker.gappy_series(name, &[outside.above]);
    }
    checker.number("ppm_total", outside.total());
    Ok(())
}
