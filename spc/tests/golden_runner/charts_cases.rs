//! Shewhart charts: from a case's settings to a study of phase I and II, streamed, and held against batch and a monitor.

use serde_json::Value;
use spc::limits::{Gaps, Geometric, SigmaMethod, SpreadCentre};
use spc::rules::Zones;
use spc::{
    Chart, ChartKind, Constants, Conventions, Limits, Monitor, Observation, PairChart, Rule, RuleSet, Sample, Settings, Subgroup, batch,
};

use super::Checker;
use super::cases::{Step, Stop, failed, unsupported};
use super::charts_fields::Seen;

/// Runs a case of one of these families; `None` for another family.
pub fn run(case: &Value, checker: &mut Checker) -> Option<Step<()>> {
    let family = case["family"].as_str().unwrap_or_default();
    let mine = ["xbar", "r", "s", "imr", "p", "np", "c", "u", "laney_p", "laney_u", "ip", "g", "t"];
    mine.contains(&family).then(|| compare(case, checker))
}

fn compare(case: &Value, checker: &mut Checker) -> Step<()> {
    Study::read(case, constants_of(case))?.check(checker)?;
    if case.get("expected_exact_constants").is_some() {
        checker.against("expected (the peer's rounded constants)", &case["expected"]);
        let study = Study::read(case, Constants::Printed)?;
        // The peer's table of d3 is wrong in the sixth digit; the exact constants were held to the case's tolerance.
        let own_d3 = study.plotted == PairChart::Within || study.settings.sigma == Some(SigmaMethod::MinimumVarianceRange);
        return if own_d3 { checker.loosened_to(1e-4, |checker| study.check(checker)) } else { study.check(checker) };
    }
    Ok(())
}

fn is_qicharts(case: &Value) -> bool {
    case["origin"]["package"].as_str().is_some_and(|package| package.contains("qicharts2"))
}

fn is_qcc(case: &Value) -> bool {
    case["origin"]["package"].as_str().is_some_and(|package| package.starts_with("R qcc"))
}

/// qcc and qicharts2 carry a printed table; a case against exact constants is a run of its own.
pub fn constants_of(case: &Value) -> Constants {
    if case.get("expected_exact_constants").is_some() {
        Constants::Exact
    } else if case["settings"].get("constants").is_some() || is_qcc(case) {
        Constants::Printed
    } else {
        Constants::Exact
    }
}

/// Phase I, phase II and how to look at them.
pub struct Study {
    pub chart: ChartKind,
    pub settings: Settings,
    pub samples: Vec<Sample>,
    /// Stages, each with limits of its own: where it starts, where it ends, and how much of it is phase I.
    pub stages: Vec<(usize, usize, usize)>,
    pub excluded: Vec<u64>,
    /// Which of the charts that belong together the case is about.
    pub plotted: PairChart,
    /// The centre of ranges or standard deviations, where it is given.
    spread_centre: Option<f64>,
    pub multiply: f64,
    /// Fields of `expected` with rule names of the peer's own.
    pub own_rules: &'static [(&'static str, Rule)],
}

impl Study {
    pub fn read(case: &Value, constants: Constants) -> Step<Self> {
        let settings = &case["settings"];
        let kind = settings["type"].as_str().or(settings["chart"].as_str()).unwrap_or_default();
        let rows = Rows::read(&case["input"], "");
        let (chart, plotted, sigma) = chart_of(kind, case, &rows)?;
        let mut samples = samples(chart, &case["input"], "", &rows)?;
        let first = samples.len();
        samples.extend(self::samples(chart, &case["input"], "new_", &Rows::read(&case["input"], "new_"))?);
        let learn = settings["freeze"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(first);
        let centre = settings["cl"].as_f64().or(settings["center"].as_f64());
        // The centre of an np chart is stated as a number of pieces.
        let pieces = match samples.first() {
            Some(Sample::Counted { size, .. }) if chart == ChartKind::Np => *size,
            _ => 1.0,
        };
        // qcc draws its zones at thirds of the limits.
        let zones = if is_qcc(case) { Zones::ThirdsOfLimits } else { Zones::StandardErrors };
        let rules = RuleSet::only(&Rule::ALL).with_conventions(Conventions { zones, ..Conventions::REFERENCE });
        let chart_settings = Settings {
            sigma,
            rules,
            range_rules: rules,
            width: settings["nsigmas"].as_f64().unwrap_or(3.0),
            span: settings["mr_span"].as_u64().and_then(|span| span.try_into().ok()).unwrap_or(2),
            constants,
            probability: settings["confidence_level"].as_f64(),
            target: centre.filter(|_| plotted != PairChart::Within).map(|centre| centre / pieces),
            known_sigma: settings["std_dev"].as_f64(),
            // The peer screens what sigma is made of, and not its chart of moving ranges.
            screened: settings["screened_mr"] == true && plotted != PairChart::Spread,
            gaps: if is_qicharts(case) { Gaps::Bridge } else { Gaps::Break },
            spread_centre: SpreadCentre::Average,
            geometric: if is_qicharts(case) { Geometric::Median } else { Geometric::CountsTheEvent },
            ..Settings::values()
        };
        Ok(Self {
            chart,
            settings: chart_settings,
            stages: stages(settings, samples.len(), learn),
            samples,
            excluded: numbers(&settings["exclude"]).collect(),
            plotted,
            spread_centre: centre.filter(|_| plotted == PairChart::Within),
            multiply: settings["multiply"].as_f64().unwrap_or(1.0),
            own_rules: &[],
        })
    }

    /// Streams every stage, holds it against batch, and compares all fields.
    pub fn check(&self, checker: &mut Checker) -> Step<()> {
        let mut seen = Vec::new();
        for &(from, to, learn) in &self.stages {
            let samples = &self.samples[from..to];
            let before = u64::try_from(from).map_err(failed)?;
            let excluded: Vec<u64> = self.excluded.iter().filter_map(|n| n.checked_sub(before)).collect();
            let phase_one = &samples[..learn - from];
            let mut limits = Chart::phase_one(self.chart, phase_one, &excluded, &self.settings).map_err(failed)?;
            if let (Some(centre), Some(within)) = (self.spread_centre, &mut limits.within) {
                within.centre = Some(centre);
            } else if excluded.is_empty() {
                monitored(&self.settings, &limits, samples, phase_one.len(), checker)?;
            }
            let observations = streamed(limits, &self.settings, samples, checker)?;
            // The peer's sigma of counts comes from the data even where the centre is given.
            let by_data = Settings { target: None, ..self.settings };
            let by_data = if self.chart.within().is_none() && self.settings.known_sigma.is_none() {
                Chart::phase_one(self.chart, phase_one, &excluded, &by_data).map_err(failed)?
            } else {
                limits
            };
            let numbered = observations.into_iter().zip(samples).zip(1..);
            let seen_here = numbered.map(|((point, sample), n)| Seen::new(point, &limits, *sample, !excluded.contains(&n)));
            seen.extend(seen_here.map(|seen| seen.with_sigma_of(&by_data)));
        }
        self.fields(&seen, checker);
        Ok(())
    }
}

fn stages(settings: &Value, all: usize, learn: usize) -> Vec<(usize, usize, usize)> {
    let mut cuts: Vec<usize> = numbers(&settings["part_after"]).filter_map(|n| n.try_into().ok()).collect();
    cuts.push(all);
    let mut from = 0;
    let mut stages = Vec::new();
    for to in cuts {
        let learnt = if stages.is_empty() && to == all { learn } else { to };
        stages.push((from, to, learnt));
        from = to;
    }
    stages
}

/// The chart, which half of it is plotted, and how sigma is found.
fn chart_of(kind: &str, case: &Value, rows: &Rows) -> Step<(ChartKind, PairChart, Option<SigmaMethod>)> {
    let settings = &case["settings"];
    let location = |chart| Ok((chart, PairChart::Location, None));
    match kind {
        "xbar.one" | "imr" | "i" => Ok((ChartKind::Individuals, PairChart::Location, individuals_sigma(settings)?)),
        "mr" => Ok((ChartKind::Individuals, PairChart::Spread, None)),
        "p" => location(ChartKind::P),
        "np" => location(ChartKind::Np),
        "c" => location(ChartKind::C),
        "u" => location(ChartKind::U),
        "pp" => location(ChartKind::LaneyP),
        "up" => location(ChartKind::LaneyU),
        "ip" => location(ChartKind::IPrime),
        "g" => location(ChartKind::G),
        "t" => location(ChartKind::T),
        "xbar" | "R" | "r" | "S" | "s" => {
            let method = subgroup_sigma(kind, case, rows)?;
            let ranges = matches!(method, SigmaMethod::MeanRange | SigmaMethod::MinimumVarianceRange);
            let chart = if matches!(kind, "R" | "r") || (kind == "xbar" && ranges) { ChartKind::XbarR } else { ChartKind::XbarS };
            let plotted = if kind == "xbar" { PairChart::Location } else { PairChart::Within };
            Ok((chart, plotted, Some(method)))
        }
        other => unsupported(format!("chart {other}")),
    }
}

fn individuals_sigma(settings: &Value) -> Step<Option<SigmaMethod>> {
    match settings["sigma_method"].as_str() {
        None | Some("MR") => Ok(None),
        Some("SD") => Ok(Some(SigmaMethod::SampleSd)),
        Some(other) => unsupported(format!("sigma method {other}")),
    }
}

/// Where the case does not name it: qcc takes ranges up to 25 values and pooled deviations above, and deviations for an
/// s chart; qicharts2 takes mean deviations, pooled ones where sizes vary. A book's pair is told by what it expects.
fn subgroup_sigma(kind: &str, case: &Value, rows: &Rows) -> Step<SigmaMethod> {
    let qicharts = is_qicharts(case);
    let with_deviations = ["s", "S", "s_chart"].iter().any(|part| case["expected"][*part].is_object());
    let sizes: Vec<usize> = rows.0.iter().map(Vec::len).collect();
    let vary = sizes.windows(2).any(|pair| pair[0] != pair[1]);
    let large = sizes.iter().any(|size| *size > 25);
    Ok(match case["settings"]["sigma_method"].as_str() {
        Some("UWAVE-R") => SigmaMethod::MeanRange,
        Some("UWAVE-SD") => SigmaMethod::MeanSd,
        Some("MVLUE-R") => SigmaMethod::MinimumVarianceRange,
        Some("MVLUE-SD") => SigmaMethod::MinimumVarianceSd,
        Some("RMSDF") => SigmaMethod::PooledSd,
        Some(other) => return unsupported(format!("sigma method {other}")),
        None if qicharts && vary => SigmaMethod::PooledSdOwnSize,
        None if qicharts => SigmaMethod::MeanSd,
        None => match kind {
            "S" | "s" => SigmaMethod::MeanSd,
            _ if with_deviations => SigmaMethod::MeanSd,
            "xbar" if large => SigmaMethod::PooledSd,
            _ => SigmaMethod::MeanRange,
        },
    })
}

/// Judges point by point and holds every prefix against batch.
pub fn streamed(limits: Limits, settings: &Settings, samples: &[Sample], checker: &mut Checker) -> Step<Vec<Observation>> {
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

pub fn numbers(array: &Value) -> impl Iterator<Item = u64> + '_ {
    array.as_array().into_iter().flatten().filter_map(Value::as_u64)
}

/// Subgroups of a matrix (a row each, missing values left out) or of a list with labels.
struct Rows(Vec<Vec<f64>>);

impl Rows {
    fn read(input: &Value, prefix: &str) -> Self {
        let data = input.get(format!("{prefix}data")).and_then(Value::as_array);
        let labels = input.get(format!("{prefix}subgroup")).and_then(Value::as_array);
        let mut rows: Vec<Vec<f64>> = Vec::new();
        let mut last = None;
        for (index, item) in data.into_iter().flatten().enumerate() {
            if let Some(row) = item.as_array() {
                rows.push(row.iter().filter_map(Value::as_f64).collect());
            } else if let Some(label) = labels.and_then(|labels| labels.get(index)) {
                if last != Some(label) {
                    rows.push(Vec::new());
                }
                last = Some(label);
                if let (Some(row), Some(value)) = (rows.last_mut(), item.as_f64()) {
                    row.push(value);
                }
            }
        }
        Self(rows)
    }
}

/// The samples of one phase: `data`/`counts` and `sizes`, or with the prefix `new_`.
fn samples(chart: ChartKind, input: &Value, prefix: &str, rows: &Rows) -> Step<Vec<Sample>> {
    if chart.within().is_some() {
        return rows.0.iter().map(|row| Subgroup::of(row).map(Sample::Subgroup).map_err(failed)).collect();
    }
    let field = |name: &str| input.get(format!("{prefix}{name}")).and_then(Value::as_array);
    let Some(values) = field("counts").or_else(|| field("data")) else { return Ok(Vec::new()) };
    let sizes = field("sizes");
    let sample = |(index, value): (usize, &Value)| {
        let Some(number) = value.as_f64() else { return unsupported("missing values") };
        let size = || sizes.and_then(|sizes| sizes.get(index)).and_then(Value::as_f64).ok_or(Stop::Unsupported("missing sizes".into()));
        match chart {
            ChartKind::Individuals | ChartKind::T => Ok(Sample::Value(number)),
            ChartKind::C | ChartKind::G => Ok(Sample::Tally(whole(number)?)),
            ChartKind::IPrime => Ok(Sample::Ratio { amount: number, size: size()? }),
            _ => Ok(Sample::Counted { count: whole(number)?, size: size()? }),
        }
    };
    values.iter().enumerate().map(sample).collect()
}

pub fn individuals(input: &Value) -> Step<Vec<Sample>> {
    samples(ChartKind::Individuals, input, "", &Rows(Vec::new()))
}

pub fn whole(number: f64) -> Step<u32> {
    format!("{number}").parse().map_err(|_| Stop::Unsupported(format!("a count of {number}")))
}
