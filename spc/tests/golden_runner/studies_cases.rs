//! Cases of the studies: univariate summaries, Pareto, normality, tolerance intervals.

use serde_json::Value;
use spc::normality::{self, BoxCox};
use spc::pareto::pareto;
use spc::tolerance;
use spc::univariate::Summary;

use super::Checker;
use super::cases::{Step, failed};

/// Runs a case of one of these families; `None` for another family.
pub fn run(case: &Value, checker: &mut Checker) -> Option<Step<()>> {
    Some(match case["family"].as_str().unwrap_or_default() {
        "univariate" => univariate(case, checker),
        "pareto" => pareto_table(case, checker),
        "normality" => normality_tests(case, checker),
        "tolerance" => tolerance_factors(case, checker),
        "capability" => super::capability_cases::normal(case, checker),
        "capability_nonnormal" => super::capability_cases::percentile(case, checker),
        "acceptance_sampling" => super::sampling_cases::plans(case, checker),
        "acceptance_tables" => super::sampling_cases::tables(case, checker),
        "grr" => super::gauge_cases::grr(case, checker),
        "gauge_linearity" => super::gauge_cases::bias_and_linearity(case, checker),
        "gauge_type1" => super::gauge_cases::type_one_study(case, checker),
        "attribute_agreement" => super::agreement_cases::run(case, checker),
        _ => return None,
    })
}

/// The numbers of a list, row by row where it is a matrix; missing ones are left out.
pub fn flat(list: &Value) -> Vec<f64> {
    match list {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        single => single.as_f64().into_iter().collect(),
    }
}

pub fn strings(list: &Value) -> Vec<String> {
    let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    list.as_array().into_iter().flatten().map(text).collect()
}

fn univariate(case: &Value, checker: &mut Checker) -> Step<()> {
    let summary = Summary::of(&flat(&case["input"]["data"])).map_err(failed)?;
    checker.number("n", summary.count as f64);
    checker.number("mean", summary.mean);
    checker.number("std_dev", summary.std_dev);
    checker.gappy_series("lag1_autocorrelation", &[summary.lag1_autocorrelation]);
    Ok(())
}

fn pareto_table(case: &Value, checker: &mut Checker) -> Step<()> {
    let categories = strings(&case["input"]["categories"]);
    let counts = case["input"]["counts"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    let rows = pareto(categories.iter().map(String::as_str).zip(counts));
    checker.exact("categories", &rows.iter().map(|row| row.category.as_str()).collect());
    checker.series("frequency", &rows.iter().map(|row| row.count as f64).collect::<Vec<_>>());
    checker.series("cumulative", &rows.iter().map(|row| row.cumulative as f64).collect::<Vec<_>>());
    checker.series("percent", &rows.iter().map(|row| row.percent).collect::<Vec<_>>());
    checker.series("cumulative_percent", &rows.iter().map(|row| row.cumulative_percent).collect::<Vec<_>>());
    Ok(())
}

fn normality_tests(case: &Value, checker: &mut Checker) -> Step<()> {
    let data = flat(&case["input"]["data"]);
    type NormalityTest = fn(&[f64]) -> Result<normality::Test, spc::study::StudyError>;
    let tests: [(&str, &str, NormalityTest); 5] = [
        ("anderson_darling", "A", normality::anderson_darling),
        ("shapiro_wilk", "W", normality::shapiro_wilk),
        ("lilliefors", "D", normality::lilliefors),
        ("cramer_von_mises", "W", normality::cramer_von_mises),
        ("shapiro_francia", "W", normality::shapiro_francia),
    ];
    for (name, letter, test) in tests {
        if checker.expected(name).is_some_and(Value::is_object) {
            let test = test(&data).map_err(failed)?;
            checker.number(&format!("{name}/{letter}"), test.statistic);
            checker.number(&format!("{name}/p"), test.p);
        }
    }
    if checker.expected("boxcox/lambda_grid_max").is_some() {
        checker.number("boxcox/lambda_grid_max", BoxCox::on_grid(&data, -3.0, 3.0, 0.01).map_err(failed)?.lambda);
    }
    let summary = Summary::of(&data).map_err(failed)?;
    checker.gappy_series("skewness_g1", &[summary.skewness]);
    checker.gappy_series("kurtosis_excess_g2", &[summary.kurtosis_excess]);
    Ok(())
}

fn tolerance_factors(case: &Value, checker: &mut Checker) -> Step<()> {
    let grid = |name: &str| flat(&case["input"]["grid"][name]);
    let sizes = case["input"]["grid"]["n"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    let factor = |((size, cover), risk): ((u64, f64), f64)| {
        let size = usize::try_from(size).map_err(failed)?;
        let exact = case["settings"]["mode"].as_str().is_none_or(|mode| mode == "exact");
        let of = if exact { tolerance::two_sided_factor } else { tolerance::two_sided_factor_wald_wolfowitz };
        of(size, cover, 1.0 - risk).map_err(failed)
    };
    let factors: Vec<f64> = sizes.zip(grid("p")).zip(grid("a")).map(factor).collect::<Step<_>>()?;
    checker.series("k", &factors);
    Ok(())
}
