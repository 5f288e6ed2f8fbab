//! From a case's settings to calls of the public API, and from their results to the fields of `expected`.

use serde_json::Value;
use spc::chart::constants::{c4, d2, d3};
use spc::rules::{Counting, KOfN, Mixture, Ties};
use spc::{Chart, ChartKind, Constants, Conventions, Hits, Limits, Lines, Monitor, Observation, Rule, RuleSet, Sample, Settings, batch};

use super::{Checker, arl_cases, time_cases};

/// Why a case could not be compared to its end.
pub enum Stop {
    Unsupported(String),
    Failed(String),
}

pub type Step<T> = Result<T, Stop>;

pub fn unsupported<T>(what: impl Into<String>) -> Step<T> {
    Err(Stop::Unsupported(what.into()))
}

pub fn failed(error: impl std::fmt::Display) -> Stop {
    Stop::Failed(format!("refused: {error}"))
}

pub fn run(case: &Value, checker: &mut Checker) -> Step<()> {
    if let Some(step) = super::studies_cases::run(case, checker) {
        return step;
    }
    match case["family"].as_str().unwrap_or_default() {
        "constants" => constants(case, checker),
        "imr" | "p" | "np" | "c" | "u" => {
            let study = Study::read(case, constants_of(case))?;
            study.check(checker)?;
            if case.get("expected_exact_constants").is_some() {
                checker.against("expected (printed constants)", &case["expected"]);
                Study::read(case, Constants::Printed)?.check(checker)?;
            }
            Ok(())
        }
        "rules" if case["settings"].get("chart").is_some() => rules_on_chart(case, checker),
        "rules" => rules_given(case, checker),
        family if family.starts_with("arl_") => arl_cases::run(case, checker),
        family => time_cases::run(family, case, checker).unwrap_or_else(|| unsupported(format!("family {family}"))),
    }
}

fn constants(case: &Value, checker: &mut Checker) -> Step<()> {
    let Some(sizes) = case["input"]["n"].as_array() else { return Ok(()) };
    let sizes: Vec<u32> = sizes.iter().filter_map(Value::as_u64).filter_map(|n| n.try_into().ok()).collect();
    let all = |constant: fn(u32) -> Option<f64>| sizes.iter().map(|n| constant(*n)).collect::<Vec<_>>();
    checker.gappy_series("d2", &all(d2));
    checker.gappy_series("d3", &all(d3));
    checker.gappy_series("c4", &all(c4));
    Ok(())
}

/// qcc and qicharts2 carry a printed table; a case against exact constants is a run of its own.
fn constants_of(case: &Value) -> Constants {
    let package = case["origin"]["package"].as_str().unwrap_or_default();
    let rounds = case["settings"].get("constants").is_some() || package == "R qcc";
    if rounds && case.get("expected_exact_constants").is_none() { Constants::Printed } else { Constants::Exact }
}

/// Phase I, phase II and how to look at them.
struct Study {
    chart: ChartKind,
    settings: Settings,
    samples: Vec<Sample>,
    /// Stages, each with limits of its own: where it starts, where it ends, and how much of it is phase I.
    stages: Vec<(usize, usize, usize)>,
    excluded: Vec<u64>,
    screened: bool,
    on_ranges: bool,
    multiply: f64,
    /// Fields of `expected` with rule names of the peer's own.
    own_rules: &'static [(&'static str, Rule)],
}

impl Study {
    fn read(case: &Value, constants: Constants) -> Step<Self> {
        let settings = &case["settings"];
        for (key, what) in [("confidence_level", "probability limits"), ("cl", "a target as centre")] {
            if settings.get(key).is_some() {
                return unsupported(what);
            }
        }
        if settings.get("sigma_method").is_some_and(|method| method != "MR") {
            return unsupported(format!("sigma method {}", settings["sigma_method"]));
        }
        let kind = settings["type"].as_str().or(settings["chart"].as_str()).unwrap_or_default();
        let chart = match kind {
            "xbar.one" | "imr" | "i" | "mr" => ChartKind::Individuals,
            "p" => ChartKind::P,
            "np" => ChartKind::Np,
            "c" => ChartKind::C,
            "u" => ChartKind::U,
            other => return unsupported(format!("chart {other}")),
        };
        let mut samples = samples(chart, &case["input"], "")?;
        let first = samples.len();
        samples.extend(self::samples(chart, &case["input"], "new_")?);
        let learn = settings["freeze"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(first);
        let mut cuts: Vec<usize> = numbers(&settings["part_after"]).filter_map(|n| n.try_into().ok()).collect();
        cuts.push(samples.len());
        let mut from = 0;
        let mut stages = Vec::new();
        for to in cuts {
            let learnt = if stages.is_empty() && to == samples.len() { learn } else { to };
            stages.push((from, to, learnt));
            from = to;
        }
        Ok(Self {
            chart,
            settings: Settings {
                rules: RuleSet::only(&Rule::ALL),
                width: settings["nsigmas"].as_f64().unwrap_or(3.0),
                span: settings["mr_span"].as_u64().and_then(|span| span.try_into().ok()).unwrap_or(2),
                constants,
                ..Settings::values()
            },
            samples,
            stages,
            excluded: numbers(&settings["exclude"]).collect(),
            screened: settings["screened_mr"] == true,
            on_ranges: kind == "mr",
            multiply: settings["multiply"].as_f64().unwrap_or(1.0),
            own_rules: &[],
        })
    }

    /// Streams every stage, holds it against batch, and compares all fields.
    fn check(&self, checker: &mut Checker) -> Step<()> {
        let mut seen = Vec::new();
        for &(from, to, learn) in &self.stages {
            let samples = &self.samples[from..to];
            let before = u64::try_from(from).map_err(failed)?;
            let excluded: Vec<u64> = self.excluded.iter().filter_map(|n| n.checked_sub(before)).collect();
            let phase_one = &samples[..learn - from];
            let limits = if self.screened && self.chart == ChartKind::Individuals {
                batch::estimate_screened(phase_one, &excluded, &self.settings)
            } else {
                batch::estimate(self.chart, phase_one, &excluded, &self.settings)
            }
            .map_err(failed)?;
            if excluded.is_empty() && !self.screened {
                monitored(&self.settings, &limits, samples, phase_one.len(), checker)?;
            }
            let observations = streamed(limits, &self.settings, samples, checker)?;
            seen.extend(observations.into_iter().zip(samples).map(|(point, sample)| Seen::new(point, &limits, *sample)));
        }
        self.fields(&seen, checker);
        Ok(())
    }

    fn fields(&self, seen: &[Seen], checker: &mut Checker) {
        let first = self.stages.last().map_or(0, |stage| stage.2);
        let first = if checker.expected("new_statistics").is_some() { first } else { seen.len() };
        let of = |field: fn(&Seen) -> f64| seen.iter().map(|x| self.multiply * field(x)).collect::<Vec<_>>();
        let ranges = |field: fn(&Seen) -> Option<f64>| seen.iter().map(field).collect::<Vec<_>>();
        let range_lines = |field: fn(&Lines) -> f64| {
            let any = seen.iter().find_map(|x| x.limits.range).map(|range| range.lines);
            vec![any.as_ref().map(field); seen.len()]
        };
        if self.on_ranges {
            checker.gappy_series("statistics", &ranges(|x| x.observation.moving_range.map(|point| point.statistic)));
            checker.gappy_series("center", &range_lines(|lines| lines.centre));
            checker.gappy_series("lcl", &range_lines(|lines| lines.lcl));
            checker.gappy_series("ucl", &range_lines(|lines| lines.ucl));
            checker.rule_points("sigma_signals", Rule::Nelson1, &range_hits(seen));
            return;
        }
        let statistics = of(|x| x.observation.point.statistic);
        checker.series("statistics", &statistics[..first]);
        checker.series("new_statistics", &statistics[first..]);
        for prefix in ["", "individuals/"] {
            checker.series(&format!("{prefix}center"), &of(|x| x.lines.centre));
            checker.series(&format!("{prefix}lcl"), &of(|x| x.lines.lcl));
            checker.series(&format!("{prefix}ucl"), &of(|x| x.lines.ucl));
        }
        checker.series("lcl_2s", &of(|x| x.warning.lcl));
        checker.series("ucl_2s", &of(|x| x.warning.ucl));
        checker.series("std_dev", &of(Seen::std_dev));
        checker.gappy_series("moving_range/center", &range_lines(|lines| lines.centre));
        checker.gappy_series("moving_range/lcl", &range_lines(|lines| lines.lcl));
        checker.gappy_series("moving_range/ucl", &range_lines(|lines| lines.ucl));
        checker.rule_points("moving_range/violations", Rule::Nelson1, &range_hits(seen));
        let hits = hits(seen.iter().map(|x| &x.observation));
        for path in ["sigma_signals", "beyond_limits", "individuals/violations"] {
            checker.rule_points(path, Rule::Nelson1, &hits);
        }
        if checker.expected("violations").is_some_and(Value::is_array) {
            checker.rule_points("violations", Rule::Nelson1, &hits);
        }
        named_rules("violations", &hits, checker);
        for (path, rule) in self.own_rules {
            checker.rule_points(path, *rule, &hits);
        }
    }
}

/// A judged point with everything that a field may be about.
struct Seen {
    observation: Observation,
    limits: Limits,
    lines: Lines,
    warning: Lines,
}

impl Seen {
    fn new(observation: Observation, limits: &Limits, sample: Sample) -> Self {
        let size = if let Sample::Counted { size, .. } = sample { size } else { 1.0 };
        Self { observation, limits: *limits, lines: limits.lines(size), warning: limits.lines_at(size, 2.0) }
    }

    /// FORMAT.md: for p and np that of the point, otherwise that of the process.
    fn std_dev(&self) -> f64 {
        if matches!(self.limits.chart, ChartKind::P | ChartKind::Np) { self.lines.se } else { self.limits.sigma }
    }
}

fn hits<'a>(observations: impl Iterator<Item = &'a Observation>) -> Vec<Hits> {
    observations.map(|observation| observation.point.signals).collect()
}

fn range_hits(seen: &[Seen]) -> Vec<Hits> {
    seen.iter().map(|x| x.observation.moving_range.map_or(Hits::EMPTY, |point| point.signals)).collect()
}

fn named_rules(prefix: &str, hits: &[Hits], checker: &mut Checker) {
    for rule in Rule::ALL {
        let name = rule.name().to_lowercase().replace(' ', "");
        checker.rule_points(&format!("{prefix}/{name}"), rule, hits);
    }
}

/// Judges point by point and holds every prefix against batch.
fn streamed(limits: Limits, settings: &Settings, samples: &[Sample], checker: &mut Checker) -> Step<Vec<Observation>> {
    let mut chart = Chart::new(limits, settings.rules, settings.range_rules).map_err(failed)?;
    let mut observations = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        observations.push(chart.push(*sample).map_err(failed)?);
        let prefix = &samples[..=index];
        let whole = batch::judge(limits, settings.rules, settings.range_rules, prefix).map_err(failed)?;
        checker.same(&format!("after point {}", index + 1), &observations, &whole);
    }
    Ok(observations)
}

/// The way a station takes: learn, freeze, judge, with a checkpoint through JSON after every point.
fn monitored(settings: &Settings, limits: &Limits, samples: &[Sample], learn: usize, checker: &mut Checker) -> Step<()> {
    let settings = Settings { phase_one_subgroups: u32::try_from(learn).map_err(failed)?, ..*settings };
    let mut monitor = Monitor::new(limits.chart, settings).map_err(failed)?;
    for (index, sample) in samples.iter().enumerate() {
        let observation = monitor.push(*sample).map_err(failed)?;
        checker.same("froze at", &observation.froze_limits, &(index + 1 == learn));
        let json = serde_json::to_string(&monitor).map_err(failed)?;
        let resumed: Monitor = serde_json::from_str(&json).map_err(failed)?;
        checker.same("resumed", &resumed, &monitor);
        monitor = resumed;
    }
    checker.same("limits", &monitor.limits(), &Some(limits));
    Ok(())
}

/// Rules on a chart whose centre and sigma are given, under each convention that the case has results for.
fn rules_given(case: &Value, checker: &mut Checker) -> Step<()> {
    let settings = &case["settings"];
    let (Some(centre), Some(sigma)) = (settings["center"].as_f64(), settings["sigma"].as_f64()) else {
        return unsupported("rules without centre and sigma");
    };
    let samples = samples(ChartKind::Individuals, &case["input"], "")?;
    let limits = Limits::given(centre, sigma, &Settings::values()).map_err(failed)?;
    let ties = Conventions { ties: Ties::Continue, ..Conventions::RSPC };
    let sections = [
        ("violations", Conventions::REFERENCE),
        ("rspc", lengths_of(settings, Conventions::RSPC)),
        ("minitab_counting", Conventions::MINITAB),
        ("ties_do_not_break_trend", ties),
    ];
    for (section, conventions) in sections {
        if checker.expected(section).is_some() {
            let rules = RuleSet::only(&Rule::ALL).with_conventions(conventions);
            let observations = streamed(limits, &Settings { rules, ..Settings::values() }, &samples, checker)?;
            named_rules(section, &hits(observations.iter()), checker);
        }
    }
    Ok(())
}

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

fn numbers(array: &Value) -> impl Iterator<Item = u64> + '_ {
    array.as_array().into_iter().flatten().filter_map(Value::as_u64)
}

/// The samples of one phase: `data`/`counts` and `sizes`, or with the prefix `new_`.
fn samples(chart: ChartKind, input: &Value, prefix: &str) -> Step<Vec<Sample>> {
    let field = |name: &str| input.get(format!("{prefix}{name}")).and_then(Value::as_array);
    let Some(values) = field("counts").or_else(|| field("data")) else { return Ok(Vec::new()) };
    let sizes = field("sizes");
    let sample = |(index, value): (usize, &Value)| {
        let Some(number) = value.as_f64() else { return unsupported("missing values") };
        match chart {
            ChartKind::Individuals => Ok(Sample::Value(number)),
            ChartKind::C => Ok(Sample::Tally(whole(number)?)),
            _ => match sizes.and_then(|sizes| sizes.get(index)).and_then(Value::as_f64) {
                Some(size) => Ok(Sample::Counted { count: whole(number)?, size }),
                None => unsupported("missing sizes"),
            },
        }
    };
    values.iter().enumerate().map(sample).collect()
}

fn whole(number: f64) -> Step<u32> {
    format!("{number}").parse().map_err(|_| Stop::Unsupported(format!("a count of {number}")))
}
