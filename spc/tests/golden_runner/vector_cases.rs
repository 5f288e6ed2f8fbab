//! Charts of several variables at once: Hotelling's T², MEWMA, MCUSUM.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use spc::alarm::MewmaDesign;
use spc::multivariate::{
    Covariance, HotellingT2, Mcusum, McusumSettings, Mewma, MewmaSettings, Phase, Reference, Spread, T2Limits, VectorPoint,
};

use super::Checker;
use super::cases::{Step, failed, unsupported};
use super::time_cases::{SIX_DIGITS, excluded, reals, streamed};

/// The cases of this family, or nothing where the family is not one of these.
pub fn run(family: &str, case: &Value, checker: &mut Checker) -> Option<Step<()>> {
    Some(match family {
        "hotelling_t2" => hotelling_t2(case, checker),
        "mewma" => mewma(case, checker),
        "mcusum" => mcusum(case, checker),
        _ => return None,
    })
}

/// Variables come in the order in which the file names them, which a map read from JSON forgets: it is noted beside them.
pub fn note_order(case: &mut Value, text: &str) {
    if case["input"]["data"].is_object()
        && let Ok(InOrder { input: Data { data: Names(names) } }) = serde_json::from_str(text)
    {
        case["input"]["variables"] = names.into();
    }
}

#[derive(Deserialize)]
struct InOrder {
    input: Data,
}

#[derive(Deserialize)]
struct Data {
    data: Names,
}

/// The keys of an object, in order.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

fn hotelling_t2(case: &Value, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let (variables, subgroups) = vectors(&case["input"], "data")?;
    let estimated = Reference::phase_one(variables, &subgroups, &excluded(settings)).map_err(failed)?;
    let number = |key: &str| settings.get(key).filter(|value| !value.is_null());
    let reference = if number("center").is_some() || number("cov").is_some() {
        let centre = number("center").map_or_else(|| Ok(estimated.centre().to_vec()), reals)?;
        let covariance = number("cov").map_or_else(|| Ok(estimated.covariance().clone()), covariance)?;
        let used = estimated.subgroups().unwrap_or(0);
        Reference::given(&centre, covariance, estimated.size()).map_err(failed)?.estimated_from(used)
    } else {
        estimated
    };
    let limits = T2Limits::new(reference, settings["confidence_level"].as_f64()).map_err(failed)?;
    let chart = |phase| HotellingT2::new(limits.clone(), phase);
    let first = streamed(&subgroups, || chart(Phase::One), |chart, values| chart.push(values), checker)?;
    checker.series("center", limits.reference.centre());
    checker.matrix("cov", &Vec::from(limits.reference.covariance().clone()));
    checker.series("det_cov", &[limits.reference.covariance().determinant()]);
    checker.series("t2", &statistics(&first));
    checker.series("lcl", &[0.0]);
    checker.series("ucl_phase1", &[limits.ucl_phase_one]);
    checker.series("ucl_phase2", &[limits.ucl_phase_two]);
    checker.points("violations_phase1", first.iter().map(|point| point.beyond));
    let margin = |points: &[VectorPoint]| points.iter().map(|point| (point.statistic / point.ucl - 1.0).abs()).fold(f64::MAX, f64::min);
    let mut least = margin(&first);
    if case["input"].get("new_data").is_some() {
        let (_, subgroups) = vectors(&case["input"], "new_data")?;
        let second = streamed(&subgroups, || chart(Phase::Two), |chart, values| chart.push(values), checker)?;
        checker.series("new_t2", &statistics(&second));
        checker.points("violations_phase2", second.iter().map(|point| point.beyond));
        least = least.min(margin(&second));
    }
    checker.loosely("decision_margin_rel", least, SIX_DIGITS);
    Ok(())
}

fn mewma(case: &Value, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let Some(lambda) = settings["lambda"].as_f64() else { return unsupported("a MEWMA chart without lambda") };
    let (reference, points) = known(case)?;
    let dimension = u32::try_from(reference.variables()).map_err(failed)?;
    let designed = MewmaDesign::for_run_length(lambda, 200.0, dimension).map_err(failed)?.limit();
    checker.loosely("h4_arl200", designed, 1e-3);
    // The peer's own limit is a printed number, coarse in places, by which its list of violations was made.
    checker.loosely("ucl_table", designed, 5e-3);
    let printed = checker.expected("ucl_table").and_then(Value::as_f64);
    let limit = printed.or(settings["h4"].as_f64()).unwrap_or(designed);
    let spread = if settings["limits"] == "fixed" { Spread::Asymptotic } else { Spread::Exact };
    let chart = Mewma::new(reference, MewmaSettings { lambda, limit, spread }).map_err(failed)?;
    let seen = streamed(&points, || chart.clone(), |chart, values| chart.push(values), checker)?;
    checker.series("mewma_t2", &statistics(&seen));
    checker.points("violations", seen.iter().map(|point| point.beyond));
    checker.points("violations_table_ucl", seen.iter().map(|point| point.beyond));
    Ok(())
}

fn mcusum(case: &Value, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let (Some(k), Some(h)) = (settings["k"].as_f64(), settings["h"].as_f64()) else {
        return unsupported("a MCUSUM chart without k and h");
    };
    let (reference, points) = known(case)?;
    let chart = Mcusum::new(reference, McusumSettings { k, h }).map_err(failed)?;
    let seen = streamed(&points, || chart.clone(), |chart, values| chart.push(values), checker)?;
    checker.series("mcusum", &statistics(&seen));
    checker.points("violations", seen.iter().map(|point| point.beyond));
    Ok(())
}

/// Centre and covariance as the case gives them, else of its data; and every point, phase I first.
fn known(case: &Value) -> Step<(Reference, Vec<Vec<f64>>)> {
    let settings = &case["settings"];
    let (variables, mut points) = vectors(&case["input"], "data")?;
    let mut reference = Reference::phase_one(variables, &points, &[]).map_err(failed)?;
    if settings.get("center").is_some() || settings.get("cov").is_some() {
        let centre = settings.get("center").map_or_else(|| Ok(reference.centre().to_vec()), reals)?;
        let covariance = settings.get("cov").map_or_else(|| Ok(reference.covariance().clone()), covariance)?;
        reference = Reference::given(&centre, covariance, reference.size()).map_err(failed)?;
    }
    if case["input"].get("new_data").is_some() {
        points.extend(vectors(&case["input"], "new_data")?.1);
    }
    Ok((reference, points))
}

fn statistics(points: &[VectorPoint]) -> Vec<f64> {
    points.iter().map(|point| point.statistic).collect()
}

/// Rows of one observation each; or for each variable a matrix of subgroups × observations.
fn vectors(input: &Value, name: &str) -> Step<(usize, Vec<Vec<f64>>)> {
    let data = &input[name];
    if data.is_object() {
        let names = input["variables"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let matrices: Vec<Vec<Vec<f64>>> = names.map(|name| rows(&data[name])).collect::<Step<_>>()?;
        let subgroups = matrices.first().map_or(0, Vec::len);
        let subgroup = |i: usize| {
            let size = matrices[0][i].len();
            (0..size).flat_map(|j| matrices.iter().map(move |matrix| matrix[i][j])).collect()
        };
        return Ok((matrices.len(), (0..subgroups).map(subgroup).collect()));
    }
    let rows = rows(data)?;
    Ok((rows.first().map_or(0, Vec::len), rows))
}

fn covariance(rows: &Value) -> Step<Covariance> {
    Covariance::new(&self::rows(rows)?).map_err(failed)
}

fn rows(matrix: &Value) -> Step<Vec<Vec<f64>>> {
    matrix.as_array().into_iter().flatten().map(reals).collect()
}
