//! Cases of agreement: exact intervals, kappas, intraclass correlation, concordance, whole attribute studies.

use serde_json::{Value, json};
use spc::gauge::agreement::{AppraiserAgreement, Matched, PartVerdicts, clopper_pearson, study};
use spc::gauge::kappa::{Kappa, Weights, agreement, cohen};
use spc::gauge::reliability::{IccModel, IccUnit, Ties, icc, kendall};

use super::Checker;
use super::cases::{Step, failed, unsupported};
use super::studies_cases::{flat, strings};

pub fn run(case: &Value, checker: &mut Checker) -> Step<()> {
    let (input, settings) = (&case["input"], &case["settings"]);
    let confidence = settings["confidence_level"].as_f64().unwrap_or(0.95);
    if input.get("matched").is_some() {
        return intervals(input, confidence, checker);
    }
    if input.get("trials").is_some() {
        return whole_study(input, settings, confidence, checker);
    }
    if input.get("rater1").is_some() {
        return two_raters(input, settings, checker);
    }
    let Some(rows) = input["ratings"].as_array() else { return unsupported("input without ratings") };
    let numeric = rows.first().is_some_and(|row| row.as_array().is_some_and(|row| row.iter().all(Value::is_number)));
    if settings.get("model").is_some() {
        return correlation(rows, settings, confidence, checker);
    }
    let ranked = checker.expected("kappa").is_none();
    if numeric && ranked {
        let ties = if settings["correct"] == false { Ties::Ignored } else { Ties::Corrected };
        return concordance(rows, ties, checker);
    }
    many_raters(&rows.iter().map(strings).collect::<Vec<_>>(), checker)
}

fn intervals(input: &Value, confidence: f64, checker: &mut Checker) -> Step<()> {
    let counts = |name: &str| input[name].as_array().into_iter().flatten().filter_map(Value::as_u64);
    let pairs = counts("matched").zip(counts("inspected"));
    let found: Vec<(f64, f64)> = pairs.map(|(x, n)| clopper_pearson(x, n, confidence).map_err(failed)).collect::<Step<_>>()?;
    checker.series("lower", &found.iter().map(|interval| interval.0).collect::<Vec<_>>());
    checker.series("upper", &found.iter().map(|interval| interval.1).collect::<Vec<_>>());
    Ok(())
}

fn two_raters(input: &Value, settings: &Value, checker: &mut Checker) -> Step<()> {
    let (first, second, mut levels) = (strings(&input["rater1"]), strings(&input["rater2"]), strings(&settings["levels"]));
    if levels.is_empty() {
        levels = first.iter().chain(&second).cloned().collect();
        levels.sort();
        levels.dedup();
    }
    let weights = match settings["weights"].as_str().unwrap_or("unweighted") {
        "unweighted" => Weights::Unweighted,
        "equal" | "linear" => Weights::Equal,
        "squared" | "quadratic" => Weights::Squared,
        other => return unsupported(format!("weights {other}")),
    };
    let slices = [&first, &second, &levels].map(|list| list.iter().map(String::as_str).collect::<Vec<_>>());
    let kappa = cohen(&slices[0], &slices[1], &slices[2], weights).map_err(failed)?;
    tested("kappa", kappa, checker);
    Ok(())
}

fn tested(name: &str, kappa: Kappa, checker: &mut Checker) {
    checker.number(name, kappa.value);
    checker.gappy_series("z", &[kappa.z]);
    checker.gappy_series("p", &[kappa.p]);
}

fn many_raters(rows: &[Vec<String>], checker: &mut Checker) -> Step<()> {
    let found = agreement(rows).map_err(failed)?;
    tested("kappa", found.fleiss, checker);
    checker.exact("categories", &found.categories.iter().map(|category| json!(category.category)).collect());
    // The peer rounds these to three decimals, as its notes say.
    checker.loosened(5.1e-4, |checker| {
        checker.series("kappa_by_category", &found.categories.iter().map(|category| category.kappa.value).collect::<Vec<_>>());
        checker.gappy_series("z_by_category", &found.categories.iter().map(|category| category.kappa.z).collect::<Vec<_>>());
    });
    checker.number("kappa_conger", found.conger);
    checker.gappy_series("kappa_light", &[found.light]);
    checker.number("percent_agreement_all", found.percent_all_agree);
    Ok(())
}

fn correlation(rows: &[Value], settings: &Value, confidence: f64, checker: &mut Checker) -> Step<()> {
    let ratings: Vec<Vec<f64>> = rows.iter().map(flat).collect();
    let model = match (settings["model"].as_str().unwrap_or_default(), settings["type"].as_str().unwrap_or_default()) {
        ("oneway", _) => IccModel::OneWay,
        ("twoway", "consistency") => IccModel::TwoWayConsistency,
        ("twoway", "agreement") => IccModel::TwoWayAgreement,
        (model, kind) => return unsupported(format!("model {model} {kind}")),
    };
    let unit = if settings["unit"] == "average" { IccUnit::Average } else { IccUnit::Single };
    let found = icc(&ratings, model, unit, confidence).map_err(failed)?;
    checker.number("icc", found.value);
    checker.number("f", found.f);
    checker.number("df1", found.freedom_above);
    checker.number("df2", found.freedom_below);
    checker.number("p", found.p);
    checker.series("ci95", &[found.low, found.high]);
    checker.series("ci", &[found.low, found.high]);
    Ok(())
}

fn concordance(rows: &[Value], ties: Ties, checker: &mut Checker) -> Step<()> {
    let found = kendall(&rows.iter().map(flat).collect::<Vec<_>>(), ties).map_err(failed)?;
    let (real_rows, raters) = (rows.len() as f64, rows.first().map_or(0, |row| flat(row).len()) as f64);
    let names: Vec<String> = case_fields(checker);
    for name in names {
        let value = match name.to_lowercase().as_str() {
            "subjects" | "n" => real_rows,
            "raters" | "m" => raters,
            "df" => found.freedom,
            "p" | "p_value" => found.p,
            statistic if statistic.starts_with("chi") || statistic.starts_with("stat") => found.chi_square,
            _ => found.w,
        };
        checker.number(&name, value);
    }
    Ok(())
}

/// Names of the numeric fields that the case expects.
fn case_fields(checker: &Checker) -> Vec<String> {
    let fields = checker.all().as_object().into_iter().flatten();
    fields.filter(|(_, value)| value.is_number()).map(|(name, _)| name.clone()).collect()
}

fn whole_study(input: &Value, settings: &Value, confidence: f64, checker: &mut Checker) -> Step<()> {
    let (appraisers, parts) = (strings(&input["appraiser"]), strings(&input["part"]));
    let standards = strings(&input["standard"]);
    let trials: Vec<Vec<String>> = input["trials"].as_array().into_iter().flatten().map(strings).collect();
    let rows = appraisers.iter().zip(&parts).zip(&trials).enumerate();
    let rows: Vec<PartVerdicts> = rows
        .map(|(index, ((appraiser, part), trials))| PartVerdicts {
            appraiser,
            part,
            standard: standards.get(index).map(String::as_str),
            trials: trials.iter().map(String::as_str).collect(),
        })
        .collect();
    let study = study(&rows, settings["positive"].as_str().unwrap_or_default(), confidence).map_err(failed)?;
    let all = |read: fn(&AppraiserAgreement) -> Option<Matched>| study.appraisers.iter().filter_map(read).collect::<Vec<_>>();
    let names = json!(study.appraisers.iter().map(|appraiser| &appraiser.appraiser).collect::<Vec<_>>());
    for table in ["within", "vs_standard", "effectiveness", "fleiss"] {
        checker.exact(&format!("{table}/appraiser"), &names);
    }
    matched("within", &all(|appraiser| appraiser.within), checker);
    matched("vs_standard", &all(|appraiser| appraiser.against_standard), checker);
    matched("between", &[study.between], checker);
    matched("all_vs_standard", &study.all_against_standard.into_iter().collect::<Vec<_>>(), checker);
    let column = |read: fn(&AppraiserAgreement) -> Option<f64>| study.appraisers.iter().map(read).collect::<Vec<_>>();
    checker.gappy_series("effectiveness/effectiveness", &column(|appraiser| appraiser.against_standard.map(|matched| matched.percent)));
    checker.gappy_series("effectiveness/false_alarm_rate", &column(|appraiser| appraiser.false_alarm_percent));
    checker.gappy_series("effectiveness/miss_rate", &column(|appraiser| appraiser.miss_percent));
    for appraiser in &study.appraisers {
        checker.gappy_series(&format!("cohen_kappa_vs_standard/{}", appraiser.appraiser), &[appraiser.cohen]);
    }
    checker.gappy_series("cohen_kappa_vs_standard/All", &[study.cohen]);
    checker.gappy_series("fleiss/within", &column(|appraiser| appraiser.within_kappa));
    checker.gappy_series("fleiss/vs_standard", &column(|appraiser| appraiser.fleiss));
    checker.gappy_series("fleiss/between", &[study.between_kappa]);
    checker.gappy_series("fleiss/all_vs_standard", &[study.fleiss]);
    Ok(())
}

fn matched(table: &str, rows: &[Matched], checker: &mut Checker) {
    let column = |read: fn(&Matched) -> f64| rows.iter().map(read).collect::<Vec<_>>();
    checker.series(&format!("{table}/matched"), &column(|matched| matched.matched as f64));
    checker.series(&format!("{table}/inspected"), &column(|matched| matched.inspected as f64));
    checker.series(&format!("{table}/percent"), &column(|matched| matched.percent));
    let path = format!("{table}/ci");
    let ends: Vec<Vec<f64>> = rows.iter().map(|matched| vec![matched.interval.0, matched.interval.1]).collect();
    if checker.expected(&path).is_some_and(|ci| ci[0].is_array()) {
        checker.matrix(&path, &ends)
    } else {
        checker.series(&path, &ends.concat())
    }
}
