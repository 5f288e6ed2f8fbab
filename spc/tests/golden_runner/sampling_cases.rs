//! Cases of acceptance sampling: operating characteristics, plan search, the master tables.

use serde_json::{Value, json};
use spc::sampling::table::{Cell, Level, Severity, cell, code_letter, plan};
use spc::sampling::{Model, Plan, RiskPoint, Stage, find_plan};

use super::Checker;
use super::cases::{Step, failed, unsupported};
use super::studies_cases::{flat, strings};

fn model(settings: &Value) -> Step<Model> {
    match settings["distribution"].as_str().unwrap_or("binomial") {
        "binomial" => Ok(Model::Binomial),
        "poisson" => Ok(Model::Poisson),
        "hypergeometric" | "hypergeom" => {
            let lot = ["lot_size", "N", "lot"].iter().find_map(|name| settings.get(name).and_then(Value::as_u64));
            match lot.and_then(|lot| lot.try_into().ok()) {
                Some(lot) => Ok(Model::Hypergeometric { lot }),
                None => unsupported("a lot without size"),
            }
        }
        other => unsupported(format!("distribution {other}")),
    }
}

pub fn plans(case: &Value, checker: &mut Checker) -> Step<()> {
    let (input, settings) = (&case["input"], &case["settings"]);
    let model = model(settings)?;
    if input.get("prp").is_some() {
        let points = |name: &str| -> Vec<RiskPoint> {
            let rows = input[name].as_array().into_iter().flatten().map(flat);
            rows.map(|row| RiskPoint { fraction: row[0], acceptance: row[1] }).collect()
        };
        let found: Vec<(u32, u32)> = points("prp")
            .into_iter()
            .zip(points("crp"))
            .map(|(producer, consumer)| find_plan(producer, consumer, model).map_err(failed))
            .collect::<Step<_>>()?;
        checker.series("n", &found.iter().map(|(size, _)| f64::from(*size)).collect::<Vec<_>>());
        checker.series("c", &found.iter().map(|(_, accept)| f64::from(*accept)).collect::<Vec<_>>());
        return Ok(());
    }
    let whole = |name: &str| -> Vec<u32> {
        settings[name].as_array().into_iter().flatten().filter_map(|item| item.as_u64()?.try_into().ok()).collect()
    };
    let (sizes, accepts, mut rejects) = (whole("n"), whole("c"), whole("r"));
    if rejects.is_empty() {
        rejects = accepts.iter().map(|accept| accept + 1).collect();
    }
    if sizes.is_empty() || sizes.len() != accepts.len() || sizes.len() != rejects.len() {
        return unsupported("a plan other than sizes, acceptance and rejection numbers");
    }
    let stages = sizes.into_iter().zip(accepts).zip(rejects);
    let stages = stages.map(|((size, accept), reject)| Stage { size, accept: Some(accept), reject }).collect();
    let plan = Plan::new(stages).map_err(failed)?;
    let curve: Vec<f64> = flat(&input["fraction_defective"])
        .into_iter()
        .map(|fraction| plan.acceptance(fraction, model).map_err(failed))
        .collect::<Step<_>>()?;
    checker.series("p_accept", &curve);
    Ok(())
}

pub fn tables(case: &Value, checker: &mut Checker) -> Step<()> {
    let (input, settings) = (&case["input"], &case["settings"]);
    if input.get("lot_size").is_some() {
        return letters(input, settings, checker);
    }
    let severity = match settings["inspection"].as_str().unwrap_or("normal") {
        "normal" => Severity::Normal,
        "tightened" => Severity::Tightened,
        other => return unsupported(format!("{other} inspection")),
    };
    if settings["type"].as_str().is_some_and(|kind| kind != "single") {
        return unsupported(format!("{} plans", settings["type"]));
    }
    let aqls = flat(&input["aql"]);
    let (mut cells, mut found) = (Vec::new(), Vec::new());
    for letter in strings(&input["code_letter"]).iter().filter_map(|letter| letter.chars().next()) {
        let row = aqls.iter().map(|aql| cell(letter, *aql, severity).map_err(failed)).collect::<Step<Vec<_>>>()?;
        let shown = |cell: Cell| match cell {
            Cell::Accept(accept) => json!(accept),
            Cell::Up => json!("up"),
            Cell::Down => json!("down"),
        };
        cells.push(row.into_iter().map(shown).collect::<Vec<_>>());
        found.push(aqls.iter().map(|aql| plan(letter, *aql, severity).map_err(failed)).collect::<Step<Vec<_>>>()?);
    }
    checker.exact("cell", &json!(cells));
    let column = |read: fn(&spc::sampling::table::TablePlan) -> Value| -> Value {
        found.iter().map(|row| row.iter().map(read).collect::<Value>()).collect()
    };
    checker.exact("resolved_letter", &column(|plan| json!(plan.letter)));
    checker.exact("resolved_n", &column(|plan| json!(plan.size)));
    checker.exact("ac", &column(|plan| json!(plan.accept)));
    Ok(())
}

/// Code letters of lots, at one level (`settings.level`) or at several (`expected` by level).
fn letters(input: &Value, settings: &Value, checker: &mut Checker) -> Step<()> {
    let lots: Vec<u32> = input["lot_size"].as_array().into_iter().flatten().filter_map(|lot| lot.as_u64()?.try_into().ok()).collect();
    let levels = [
        ("S-1", Level::S1),
        ("S-2", Level::S2),
        ("S-3", Level::S3),
        ("S-4", Level::S4),
        ("S1", Level::S1),
        ("S2", Level::S2),
        ("S3", Level::S3),
        ("S4", Level::S4),
        ("I", Level::I),
        ("II", Level::II),
        ("III", Level::III),
    ];
    let letters = |level: Level| lots.iter().map(|lot| code_letter(*lot, level).map_err(failed)).collect::<Step<Vec<_>>>();
    let level_of = |name: &str| levels.iter().find(|(known, _)| *known == name).map(|(_, level)| *level);
    for (name, level) in levels {
        let letters = json!(letters(level)?);
        for path in [name.to_owned(), format!("code_letter/{name}")] {
            checker.exact(&path, &letters);
        }
        if settings["level"].as_str().unwrap_or("II") == name && input.get("level").is_none() {
            checker.exact("code_letter", &letters);
        }
    }
    // Several levels in one table: a row per lot, or a row per level.
    let named = strings(&input["level"]);
    if !named.is_empty() {
        let rows = named.iter().map(|name| match level_of(name) {
            Some(level) => letters(level),
            None => unsupported(format!("level {name}")),
        });
        let by_level: Vec<Vec<char>> = rows.collect::<Step<_>>()?;
        let by_lot: Vec<Vec<char>> = (0..lots.len()).map(|lot| by_level.iter().map(|row| row[lot]).collect()).collect();
        let expected = checker.expected("code_letter").and_then(Value::as_array).map_or(0, Vec::len);
        checker.exact("code_letter", &if expected == by_lot.len() { json!(by_lot) } else { json!(by_level) });
    }
    Ok(())
}
