//! Time-weighted and short-run charts, and the residual chart of autocorrelated data.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spc::autocorrelation::{Autocorrelation, ResidualChart};
use spc::limits::SigmaMethod;
use spc::short_run::{Part, Pooling, ShortRun};
use spc::weighted::{Cusum, CusumPoint, CusumSettings, Ewma, EwmaSettings, EwmaWidth, MovingAverage, MovingAverageSettings, Process};
use spc::{Constants, Conventions, Lines, Point, Rule, RuleSet, Settings};
use std::collections::BTreeMap;
use std::fmt::Debug;

use super::Checker;
use super::cases::{Step, failed, unsupported};

/// The cases of this family, or nothing where the family is not one of these.
pub fn run(family: &str, case: &Value, checker: &mut Checker) -> Option<Step<()>> {
    Some(match family {
        "ewma" => with_both_tables(case, checker, ewma),
        "cusum" => with_both_tables(case, checker, cusum),
        "moving_average" => with_both_tables(case, checker, moving_average),
        "short_run" => short_run(case, checker),
        "autocorrelation" => with_both_tables(case, checker, autocorrelation),
        _ => return super::vector_cases::run(family, case, checker),
    })
}

/// The exact constants first, where the case has results with both.
fn with_both_tables(case: &Value, checker: &mut Checker, compare: fn(&Value, Constants, &mut Checker) -> Step<()>) -> Step<()> {
    let both = case.get("expected_exact_constants").is_some();
    let peer = case["origin"]["package"].as_str().is_some_and(|package| package.contains("qcc"));
    compare(case, if peer && !both { Constants::Printed } else { Constants::Exact }, checker)?;
    if both {
        checker.against("expected (printed constants)", &case["expected"]);
        compare(case, Constants::Printed, checker)?;
    }
    Ok(())
}

/// Phase I of single values or subgroups, and all points, phase I first.
fn process(case: &Value, constants: Constants) -> Step<(Process, Vec<Vec<f64>>)> {
    let settings = &case["settings"];
    let mut points = subgroups(&case["input"]["data"])?;
    let method = settings.get("sigma_method").or(settings.get("std_dev")).and_then(Value::as_str);
    let asked = Settings {
        constants,
        target: settings["center"].as_f64(),
        known_sigma: settings["std_dev"].as_f64(),
        // The peer takes ranges up to 25 values and pooled deviations above.
        sigma: match method {
            None if points.iter().any(|point| point.len() > 25) => Some(SigmaMethod::PooledSd),
            method => method.map(sigma_method).transpose()?,
        },
        ..Settings::values()
    };
    let process = Process::phase_one(&points, &excluded(settings), &asked).map_err(failed)?;
    points.extend(subgroups(&case["input"]["new_data"])?);
    Ok((process, points))
}

fn sigma_method(name: &str) -> Step<SigmaMethod> {
    Ok(match name {
        "MR" => SigmaMethod::MovingRange,
        "SD" => SigmaMethod::SampleSd,
        "UWAVE-R" => SigmaMethod::MeanRange,
        "UWAVE-SD" => SigmaMethod::MeanSd,
        "MVLUE-R" => SigmaMethod::MinimumVarianceRange,
        "MVLUE-SD" => SigmaMethod::MinimumVarianceSd,
        "RMSDF" => SigmaMethod::PooledSd,
        other => return unsupported(format!("sigma method {other}")),
    })
}

fn ewma(case: &Value, constants: Constants, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let (process, points) = process(case, constants)?;
    let usual = EwmaSettings::default();
    let settings = EwmaSettings {
        lambda: settings["lambda"].as_f64().unwrap_or(usual.lambda),
        width: settings["nsigmas"].as_f64().unwrap_or(usual.width),
        limits: if fixed(case) { EwmaWidth::Asymptotic } else { EwmaWidth::Exact },
        ..usual
    };
    let chart = Ewma::new(process, settings).map_err(failed)?;
    let seen = streamed(&points, || chart.clone(), |chart, values| chart.push(values), checker)?;
    let first = case["input"]["data"].as_array().map_or(0, Vec::len);
    let means: Vec<f64> = points.iter().map(|point| point.iter().sum::<f64>() / point.len() as f64).collect();
    checker.series("center", &[process.centre]);
    checker.series("std_dev", &[process.sigma]);
    checker.series("statistics", &means[..first]);
    checker.series("new_statistics", &means[first..]);
    checker.series("ewma", &seen.iter().map(|point| point.statistic).collect::<Vec<_>>());
    checker.gappy_series("sigma", &seen.iter().map(|point| point.lines.map(|lines| lines.se)).collect::<Vec<_>>());
    limits_and_violations(&seen, checker);
    // The distance to the nearest limit, in mean standard errors.
    let lines = || seen.iter().filter_map(|point| point.lines.map(|lines| (point.statistic, lines)));
    let distance = |(z, lines): (f64, Lines)| (z - lines.lcl).abs().min((z - lines.ucl).abs());
    let mean_se = lines().map(|(_, lines)| lines.se).sum::<f64>() / seen.len() as f64;
    let margin = lines().map(distance).fold(f64::MAX, f64::min) / mean_se;
    checker.loosely("decision_margin_rel", margin, SIX_DIGITS);
    Ok(())
}

fn cusum(case: &Value, constants: Constants, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let (process, points) = process(case, constants)?;
    let usual = CusumSettings::default();
    let settings = CusumSettings {
        shift: settings["se_shift"].as_f64().unwrap_or(usual.shift),
        interval: settings["decision_interval"].as_f64().unwrap_or(usual.interval),
        head_start: settings["head_start"].as_f64().unwrap_or(usual.head_start),
    };
    let chart = Cusum::new(process, settings).map_err(failed)?;
    let seen = streamed(&points, || chart.clone(), |chart, values| chart.push(values), checker)?;
    let of = |field: fn(&CusumPoint) -> f64| seen.iter().map(field).collect::<Vec<_>>();
    checker.series("center", &[process.centre]);
    checker.series("std_dev", &[process.sigma]);
    checker.series("cusum_pos", &of(|point| point.upper));
    checker.series("cusum_neg", &of(|point| -point.lower));
    checker.series("upper_bound", &[settings.interval]);
    checker.series("lower_bound", &[-settings.interval]);
    checker.points("violations_upper", seen.iter().map(|point| point.upper_signal));
    checker.points("violations_lower", seen.iter().map(|point| point.lower_signal));
    let margin = seen.iter().flat_map(|point| [point.upper, point.lower]).map(|sum| (sum - settings.interval).abs());
    checker.loosely("decision_margin", margin.fold(f64::MAX, f64::min), SIX_DIGITS);
    Ok(())
}

fn moving_average(case: &Value, constants: Constants, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let (process, points) = process(case, constants)?;
    let usual = MovingAverageSettings::default();
    let settings = MovingAverageSettings {
        span: settings["span"].as_u64().and_then(|span| span.try_into().ok()).unwrap_or(usual.span),
        width: settings["nsigmas"].as_f64().unwrap_or(usual.width),
        ..usual
    };
    let chart = MovingAverage::new(process, settings).map_err(failed)?;
    let seen = streamed(&points, || chart.clone(), |chart, values| chart.push(values), checker)?;
    checker.series("center", &[process.centre]);
    checker.series("std_dev", &[process.sigma]);
    checker.series("statistics", &seen.iter().map(|point| point.statistic).collect::<Vec<_>>());
    limits_and_violations(&seen, checker);
    Ok(())
}

/// Margins are printed with six digits.
pub const SIX_DIGITS: f64 = 1e-5;

fn limits_and_violations(seen: &[Point], checker: &mut Checker) {
    checker.gappy_series("lcl", &seen.iter().map(Point::lcl).collect::<Vec<_>>());
    checker.gappy_series("ucl", &seen.iter().map(Point::ucl).collect::<Vec<_>>());
    checker.points("violations", seen.iter().map(|point| point.signals.contains(Rule::Nelson1)));
}

/// A case with the limits of a chart that has run for long says so in its settings, title or notes.
fn fixed(case: &Value) -> bool {
    let settings = case["settings"].as_object().into_iter().flatten();
    let says = |value: &Value| value.as_str().is_some_and(|text| text.contains("fix") || text.contains("asymptotic"));
    settings.into_iter().any(|(key, value)| says(value) || (key.contains("fix") && value == true))
        || says(&case["title"])
        || case["notes"].as_array().into_iter().flatten().any(says)
}

fn short_run(case: &Value, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let values = reals(&case["input"]["data"])?;
    let names = case["input"]["part"].as_array().into_iter().flatten().map(|part| part.as_str().unwrap_or_default());
    let pieces: Vec<(&str, f64)> = names.zip(values).collect();
    let by_part = |key: &str| -> BTreeMap<String, f64> {
        let parts = settings[key].as_object().into_iter().flatten();
        parts.filter_map(|(part, value)| Some((part.clone(), value.as_f64()?))).collect()
    };
    let nominals = by_part("nominal");
    let sigmas = ["sigma", "std_dev", "sd"].map(by_part).into_iter().find(|sigmas| !sigmas.is_empty()).unwrap_or_default();
    let settings_type = settings["type"].as_str().unwrap_or_default();
    let mut conventions = Conventions::REFERENCE;
    conventions.lengths.side = 8;
    let rules = RuleSet::only(&[Rule::Nelson1, Rule::Nelson2]).with_conventions(conventions);
    let constants = if settings["constants"] == "exact" { Constants::Exact } else { Constants::Printed };
    let settings = Settings { rules, constants, width: settings["nsigmas"].as_f64().unwrap_or(3.0), ..Settings::values() };
    let standardised = settings_type.starts_with('z');
    let chart = if standardised && sigmas.is_empty() {
        let parts = ShortRun::estimate(&pieces, &[], Pooling::ByPart).map_err(failed)?;
        ShortRun::z_mr(parts, &settings)
    } else if sigmas.is_empty() {
        ShortRun::dnom(&nominals, &pieces, &[], &settings)
    } else {
        let part = |(part, nominal): (&String, &f64)| Some((part.clone(), Part { nominal: *nominal, scale: *sigmas.get(part)? }));
        ShortRun::z_mr(nominals.iter().filter_map(part).collect(), &settings)
    };
    let chart = chart.map_err(failed)?;
    let push = |chart: &mut ShortRun, (part, value): &(&str, f64)| chart.push(part, *value);
    let seen = streamed(&pieces, || chart.clone(), push, checker)?;
    let points: Vec<Point> = seen.iter().map(|seen| seen.point).collect();
    checker.series("statistics", &points.iter().map(|point| point.statistic).collect::<Vec<_>>());
    checker.series("center", &[chart.limits().centre]);
    checker.series("std_dev", &[chart.limits().sigma]);
    limits_and_violations(&points, checker);
    checker.points("beyond_limits", points.iter().map(|point| point.signals.contains(Rule::Nelson1)));
    checker.points("runs8", points.iter().map(|point| point.signals.contains(Rule::Nelson2)));
    Ok(())
}

fn autocorrelation(case: &Value, constants: Constants, checker: &mut Checker) -> Step<()> {
    let series = reals(&case["input"]["data"])?;
    let lags = case["settings"]["lags"].as_u64().and_then(|lags| lags.try_into().ok()).unwrap_or(5);
    let found = Autocorrelation::of(&series, lags).map_err(failed)?;
    checker.series("acf", &found.coefficients);
    checker.series("ljung_box/statistic", &[found.ljung_box.statistic]);
    checker.series("ljung_box/p", &[found.ljung_box.p]);
    let settings = Settings { constants, ..Settings::values() };
    let chart = ResidualChart::phase_one(&series, &[], &settings).map_err(failed)?;
    checker.series("ar1/intercept", &[chart.model().intercept]);
    checker.series("ar1/phi", &[chart.model().phi]);
    let seen = streamed(&series, || chart.clone(), |chart, value| chart.push(*value), checker)?;
    let points: Vec<Point> = seen.iter().flatten().map(|seen| seen.point).collect();
    checker.series("residuals", &points.iter().map(|point| point.statistic).collect::<Vec<_>>());
    checker.series("residual_chart/center", &[chart.limits().centre]);
    checker.series("residual_chart/std_dev", &[chart.limits().sigma]);
    let lines = chart.limits().lines(1.0);
    checker.series("residual_chart/lcl", &[lines.lcl]);
    checker.series("residual_chart/ucl", &[lines.ucl]);
    checker.points("residual_chart/violations_beyond", points.iter().map(|point| point.signals.contains(Rule::Nelson1)));
    Ok(())
}

pub fn excluded(settings: &Value) -> Vec<u64> {
    settings["exclude"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// Single values, or rows of a subgroup each, shorter where values are missing.
fn subgroups(data: &Value) -> Step<Vec<Vec<f64>>> {
    let subgroup = |item: &Value| match item {
        Value::Array(values) => Ok(values.iter().filter_map(Value::as_f64).collect()),
        value => value.as_f64().map_or_else(|| unsupported("missing values"), |value| Ok(vec![value])),
    };
    data.as_array().into_iter().flatten().map(subgroup).collect()
}

/// Judges point by point, through JSON after every one, and holds every prefix against a chart of its own.
pub fn streamed<S, C, P, E>(
    samples: &[S],
    fresh: impl Fn() -> C,
    push: impl Fn(&mut C, &S) -> Result<P, E>,
    checker: &mut Checker,
) -> Step<Vec<P>>
where
    C: PartialEq + Debug + Serialize + DeserializeOwned,
    P: PartialEq + Debug,
    E: std::fmt::Display,
{
    let mut chart = fresh();
    let mut seen = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        seen.push(push(&mut chart, sample).map_err(failed)?);
        let json = serde_json::to_string(&chart).map_err(failed)?;
        let resumed = serde_json::from_str(&json).map_err(failed)?;
        checker.same("resumed", &resumed, &chart);
        chart = resumed;
        let mut batch = fresh();
        let whole: Result<Vec<_>, _> = samples[..=index].iter().map(|sample| push(&mut batch, sample)).collect();
        checker.same(&format!("after point {}", index + 1), &seen, &whole.map_err(failed)?);
    }
    Ok(seen)
}

pub fn reals(array: &Value) -> Step<Vec<f64>> {
    let number = |value: &Value| value.as_f64().map_or_else(|| unsupported("missing values"), Ok);
    array.as_array().into_iter().flatten().map(number).collect()
}
