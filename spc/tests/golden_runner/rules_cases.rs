//! Run rules: on given limits under each convention that a case has results for, and on charts that are estimated first.

use serde_json::Value;
use spc::rules::{Counting, KOfN, Mixture, Ties};
use spc::{Conventions, Limits, Rule, RuleSet, Sample, Settings};

use super::Checker;
use super::cases::{Step, failed, unsupported};
use super::charts_cases::{Study, constants_of, individuals, numbers, streamed};
use super::charts_fields::{hits, named_rules};

/// Runs a case of this family; `None` for another one.
pub fn run(case: &Value, checker: &mut Checker) -> Option<Step<()>> {
    (case["family"] == "rules").then(|| match case["settings"].get("chart") {
        Some(_) => rules_on_chart(case, checker),
        None => rules_given(case, checker),
    })
}

/// Rules on a chart whose centre and sigma are given, under each convention that the case has results for.
fn rules_given(case: &Value, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let (Some(centre), Some(sigma)) = (settings["center"].as_f64(), settings["sigma"].as_f64()) else {
        return unsupported("rules without centre and sigma");
    };
    let samples = individuals(&case["input"])?;
    let limits = Limits::given(centre, sigma, &Settings::values()).map_err(failed)?;
    let ties = Conventions { ties: Ties::Continue, ..Conventions::RSPC };
    let sections = [
        ("violations", Conventions::REFERENCE),
        ("rspc", lengths_of(settings, Conventions::RSPC)),
        ("minitab_counting", Conventions::MINITAB),
        ("ties_do_not_break_trend", ties),
    ];
    for (section, conventions) in sections {
        if checker.expected(section).is_some_and(Value::is_object) {
            let rules = RuleSet::only(&Rule::ALL).with_conventions(conventions);
            let observations = streamed(limits, &Settings { rules, ..Settings::values() }, &samples, checker)?;
            named_rules(section, &hits(observations.iter().map(|x| Some(x.point))), checker);
        }
    }
    westgard(limits, &samples, checker)
}

fn westgard(limits: Limits, samples: &[Sample], checker: &mut Checker) -> Step<()> {
    let settings = Settings { rules: RuleSet::westgard(), ..Settings::values() };
    let observations = streamed(limits, &settings, samples, checker)?;
    let hits = hits(observations.iter().map(|x| Some(x.point)));
    for (path, rule) in WESTGARD {
        checker.rule_points(path, rule, &hits);
    }
    Ok(())
}

const WESTGARD: [(&str, Rule); 6] = [
    ("12s", Rule::Westgard12s),
    ("13s", Rule::Westgard13s),
    ("22s", Rule::Westgard22s),
    ("R4s", Rule::WestgardR4s),
    ("41s", Rule::Westgard41s),
    ("10x", Rule::Westgard10x),
];

/// Lengths and choices that a case sets itself (`rule2_n`, `rule5_m_of_n`, …).
fn lengths_of(settings: &Value, conventions: Conventions) -> Conventions {
    let mut changed = conventions;
    let number = |key: &str, usual: u32| settings[key].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(usual);
    let pair = |key: &str, usual: KOfN| {
        let pair: Vec<u32> = numbers(&settings[key]).filter_map(|n| n.try_into().ok()).collect();
        if let [k, n] = pair[..] { KOfN { k, n } } else { usual }
    };
    let lengths = &mut changed.lengths;
    lengths.side = number("rule2_n", lengths.side);
    lengths.trend = number("rule3_n", lengths.trend);
    lengths.alternation = number("rule4_n", lengths.alternation);
    lengths.beyond_two = pair("rule5_m_of_n", lengths.beyond_two);
    lengths.beyond_one = pair("rule6_m_of_n", lengths.beyond_one);
    lengths.stratification = number("rule7_n", lengths.stratification);
    lengths.mixture = number("rule8_n", lengths.mixture);
    if settings["counting"].as_str().is_some_and(|counting| counting.starts_with("minitab")) {
        changed.trend = Counting::Steps;
        changed.alternation = Counting::Steps;
    }
    if settings["rule8_needs_both_sides"] == true {
        changed.mixture = Mixture::BothSides;
    }
    changed
}

/// Rules on a chart that has to be estimated first, with lengths of the peer's own.
fn rules_on_chart(case: &Value, checker: &mut Checker) -> Step<()> {
    let mut study = Study::read(case, constants_of(case))?;
    let settings = &case["settings"];
    let number = |key: &str, usual: u32| settings[key].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(usual);
    let mut conventions = Conventions::MINITAB;
    let lengths = &mut conventions.lengths;
    lengths.side = number("rule2_k", number("run_length", lengths.side));
    lengths.trend = number("rule3_k", lengths.trend);
    lengths.stratification = number("rule5_k", lengths.stratification);
    lengths.mixture = number("rule6_k", lengths.mixture);
    lengths.alternation = number("rule8_k", lengths.alternation);
    study.settings.rules = RuleSet::only(&Rule::ALL).with_conventions(conventions);
    study.own_rules = if settings.get("run_length").is_some() { &QCC_27 } else { &JASP };
    study.check(checker)
}

/// Where the peers put which rule's points.
const QCC_27: [(&str, Rule); 1] = [("violating_runs", Rule::Nelson2)];
const JASP: [(&str, Rule); 8] = [
    ("rule1", Rule::Nelson1),
    ("rule2", Rule::Nelson2),
    ("rule3", Rule::Nelson3),
    ("rule4", Rule::Nelson5),
    ("rule5", Rule::Nelson7),
    ("rule6", Rule::Nelson8),
    ("rule7", Rule::Nelson6),
    ("rule8", Rule::Nelson4),
];
