//! Cases of gauge studies: repeatability and reproducibility, type 1, linearity and bias.

use serde_json::{Value, json};
use spc::gauge::Reading;
use spc::gauge::bias::{ReferenceReading, TypeOneSettings, linearity, type_one};
use spc::gauge::grr::{AnovaRow, Component, FDenominator, GaugeStudy, GrrSettings, Source, crossed, nested};
use spc::gauge::ranges::{TrialDivisor, average_and_range, quick};

use super::Checker;
use super::cases::{Step, failed, unsupported};
use super::studies_cases::{flat, strings};

pub fn grr(case: &Value, checker: &mut Checker) -> Step<()> {
    let (input, settings) = (&case["input"], &case["settings"]);
    let (parts, appraisers, values) = (strings(&input["part"]), strings(&input["appraiser"]), flat(&input["value"]));
    let readings: Vec<Reading> =
        parts.iter().zip(&appraisers).zip(&values).map(|((part, appraiser), value)| Reading { part, appraiser, value: *value }).collect();
    let usual = GrrSettings::default();
    let with = GrrSettings {
        pool_above: settings["alpha_pool_interaction"].as_f64().unwrap_or(usual.pool_above),
        denominator: match settings["f_denominator"].as_str() {
            Some("repeatability") => FDenominator::Repeatability,
            _ => FDenominator::Interaction,
        },
        multiple: settings["sigma_multiple"].as_f64().unwrap_or(usual.multiple),
        tolerance: settings["tolerance"].as_f64(),
        process_sigma: ["historical_sd", "historical_sigma", "process_sigma"].iter().find_map(|name| settings[name].as_f64()),
        ..usual
    };
    let study = match settings["method"].as_str().unwrap_or("crossed") {
        "crossed" => crossed(&readings, &with),
        "nested" => nested(&readings, &with),
        ranges if ranges.contains("range") || ranges.to_lowercase().contains("xbar") => return by_ranges(&readings, &with, checker),
        other => return unsupported(format!("method {other}")),
    }
    .map_err(failed)?;
    anova(&study.anova, "anova", checker);
    if let Some(pooled) = &study.pooled {
        anova(pooled, "anova_reduced", checker);
    }
    components(&study, checker);
    by_letters(&study, checker);
    for name in ["number_of_distinct_categories", "ndc"] {
        checker.gappy_series(name, &[study.distinct_categories]);
    }
    Ok(())
}

/// Which source a peer's row is. The appraiser's row bears a name of its own.
fn source(name: &str) -> Source {
    match name.trim().to_lowercase().as_str() {
        "total" | "total variation" => Source::Total,
        "repeatability" | "residuals" => Source::Repeatability,
        "interaction" => Source::Interaction,
        mixed if mixed.contains(':') || mixed.contains('(') => Source::Interaction,
        part if part.starts_with("part") => Source::Part,
        _ => Source::Appraiser,
    }
}

fn anova(rows: &[AnovaRow], table: &str, checker: &mut Checker) {
    let names = strings(checker.expected(&format!("{table}/source")).unwrap_or(&Value::Null));
    let has = |wanted: Source| rows.iter().any(|row| row.source == wanted);
    let row = |name: &String| {
        // In a nested study "appraiser:part" is the parts within appraisers.
        let wanted = source(name);
        let wanted = if wanted == Source::Interaction && !has(wanted) { Source::Part } else { wanted };
        rows.iter().find(|row| row.source == wanted)
    };
    let found: Vec<Option<&AnovaRow>> = names.iter().map(row).collect();
    let column = |read: &dyn Fn(&AnovaRow) -> Option<f64>| found.iter().map(|row| row.and_then(read)).collect::<Vec<_>>();
    checker.exact(&format!("{table}/source"), &json!(names));
    checker.gappy_series(&format!("{table}/df"), &column(&|row| Some(row.freedom)));
    checker.gappy_series(&format!("{table}/ss"), &column(&|row| Some(row.squares)));
    checker.gappy_series(&format!("{table}/ms"), &column(&|row| row.mean_square));
    checker.gappy_series(&format!("{table}/f"), &column(&|row| row.f));
    checker.gappy_series(&format!("{table}/p"), &column(&|row| row.p));
    if let Some(interaction) = rows.iter().find(|row| row.source == Source::Interaction) {
        checker.gappy_series(&format!("{table}/f_interaction"), &[interaction.f]);
        checker.gappy_series(&format!("{table}/p_interaction"), &[interaction.p]);
    }
}

/// Tables with one row per component.
fn components(study: &GaugeStudy, checker: &mut Checker) {
    let component = |name: &str| -> Option<Component> {
        match name.trim().to_lowercase().as_str() {
            "total gage r&r" | "total gauge r&r" => Some(study.gauge),
            "repeatability" => Some(study.repeatability),
            "reproducibility" => Some(study.reproducibility),
            "part-to-part" => Some(study.part),
            "total variation" => Some(study.total),
            // A nested study has parts within appraisers in that place.
            mixed if mixed.contains(':') || mixed.contains('(') => study.interaction.or(Some(study.part)),
            _ => Some(study.appraiser),
        }
    };
    for table in ["variance", "study"] {
        let names = strings(checker.expected(&format!("{table}/component")).unwrap_or(&Value::Null));
        let found: Vec<Option<Component>> = names.iter().map(|name| component(name)).collect();
        let column = |read: &dyn Fn(Component) -> Option<f64>| found.iter().map(|component| component.and_then(read)).collect::<Vec<_>>();
        checker.exact(&format!("{table}/component"), &json!(names));
        checker.gappy_series(&format!("{table}/variance"), &column(&|component| Some(component.variance)));
        checker.gappy_series(&format!("{table}/std_dev"), &column(&|component| Some(component.std_dev)));
        checker.gappy_series(&format!("{table}/study_variation"), &column(&|component| Some(component.study_variation)));
        // The peer rounds percentages to two decimals, as its notes say.
        checker.loosened(0.0051, |checker| {
            checker.gappy_series(&format!("{table}/pct_contribution"), &column(&|component| Some(component.percent_contribution)));
            checker.gappy_series(&format!("{table}/pct_study_variation"), &column(&|component| Some(component.percent_study_variation)));
            checker.gappy_series(&format!("{table}/pct_tolerance"), &column(&|component| component.percent_tolerance));
            checker.gappy_series(&format!("{table}/pct_process"), &column(&|component| component.percent_process));
        });
    }
}

/// The AIAG form: EV, AV, GRR, PV, TV.
fn by_letters(study: &GaugeStudy, checker: &mut Checker) {
    let all = [("EV", study.repeatability), ("AV", study.reproducibility), ("GRR", study.gauge), ("PV", study.part), ("TV", study.total)];
    for (name, component) in all {
        checker.number(&format!("sigma/{name}"), component.std_dev);
        // Books print percentages to two decimals.
        checker.loosened(0.0051, |checker| {
            checker.number(&format!("pct_contribution/{name}"), component.percent_contribution);
            checker.number(&format!("pct_study_variation/{name}"), component.percent_study_variation);
            checker.gappy_series(&format!("pct_tolerance/{name}"), &[component.percent_tolerance]);
        });
    }
}

fn by_ranges(readings: &[Reading], with: &GrrSettings, checker: &mut Checker) -> Step<()> {
    // One look of each appraiser at each part is the quick study.
    if let Ok(gauge) = quick(readings) {
        for name in ["GRR", "sigma/GRR"] {
            checker.number(name, gauge);
        }
        return Ok(());
    }
    let study = average_and_range(readings, TrialDivisor::Printed).map_err(failed)?;
    let all = [("EV", study.repeatability), ("AV", study.reproducibility), ("GRR", study.gauge), ("PV", study.part), ("TV", study.total)];
    for (name, sigma) in all {
        checker.number(name, sigma);
        checker.number(&format!("sigma/{name}"), sigma);
        checker.loosened(0.0051, |checker| {
            checker.number(&format!("pct_contribution/{name}"), 100.0 * (sigma / study.total).powi(2));
            checker.number(&format!("pct_study_variation/{name}"), 100.0 * sigma / study.total);
            let of_tolerance = with.tolerance.map(|tolerance| 100.0 * with.multiple * sigma / tolerance);
            checker.gappy_series(&format!("pct_tolerance/{name}"), &[of_tolerance]);
        });
    }
    for name in ["number_of_distinct_categories", "ndc"] {
        checker.gappy_series(name, &[study.distinct_categories]);
    }
    Ok(())
}

pub fn type_one_study(case: &Value, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let number = |name: &str, usual: Option<f64>| {
        settings[name].as_f64().or(usual).ok_or_else(|| super::cases::Stop::Unsupported(format!("no {name}")))
    };
    let with = TypeOneSettings {
        reference: number("reference", None)?,
        tolerance: number("tolerance", None)?,
        percent_of_tolerance: number("percent_tolerance", Some(20.0))?,
        multiple: number("study_variation", Some(6.0))?,
    };
    let study = type_one(&flat(&case["input"]["data"]), &with).map_err(failed)?;
    let fields = [
        ("mean", study.mean),
        ("bias", study.bias),
        ("std_dev", study.std_dev),
        ("study_variation", study.study_variation),
        ("lower", study.lower),
        ("upper", study.upper),
        ("Cg", study.cg),
        ("Cgk", study.cgk),
        ("pct_var_repeatability", study.percent_repeatability),
        ("t", study.test.t),
        ("df", study.test.freedom),
        ("p", study.test.p),
    ];
    for (name, value) in fields {
        checker.number(name, value);
    }
    checker.gappy_series("pct_var_repeatability_bias", &[study.percent_with_bias]);
    Ok(())
}

pub fn bias_and_linearity(case: &Value, checker: &mut Checker) -> Step<()> {
    let (input, settings) = (&case["input"], &case["settings"]);
    let (parts, references, values) = (strings(&input["part"]), flat(&input["reference"]), flat(&input["value"]));
    let readings: Vec<ReferenceReading> = parts
        .iter()
        .zip(&references)
        .zip(&values)
        .map(|((part, reference), value)| ReferenceReading { part, reference: *reference, value: *value })
        .collect();
    let study = linearity(&readings).map_err(failed)?;
    let column = |read: &dyn Fn(&spc::gauge::bias::PartBias) -> Option<f64>| study.parts.iter().map(read).collect::<Vec<_>>();
    checker.gappy_series("bias/part", &column(&|part| part.part.parse().ok()));
    checker.gappy_series("bias/reference", &column(&|part| Some(part.reference)));
    checker.gappy_series("bias/mean", &column(&|part| Some(part.mean)));
    checker.gappy_series("bias/bias", &column(&|part| Some(part.bias)));
    checker.gappy_series("bias/p", &column(&|part| part.test.map(|test| test.p)));
    checker.number("bias/total_bias", study.bias);
    checker.number("bias/total_p", study.bias_test.p);
    for (name, coefficient) in [("intercept", study.intercept), ("slope", study.slope)] {
        checker.number(&format!("regression/{name}"), coefficient.value);
        checker.number(&format!("regression/{name}_se"), coefficient.error);
        checker.number(&format!("regression/{name}_t"), coefficient.test.t);
        checker.number(&format!("regression/{name}_p"), coefficient.test.p);
    }
    checker.number("S", study.scatter);
    checker.gappy_series("R2", &[study.r_squared]);
    if let Some(variation) = settings["process_variation"].as_f64() {
        checker.number("linearity", study.linearity(variation));
    }
    checker.number("pct_linearity", study.percent_linearity());
    Ok(())
}
