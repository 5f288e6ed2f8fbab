//! Shewhart charts: which field of `expected` is which number of the observations.

use serde_json::{Value, json};
use spc::rules::Crossings;
use spc::{ChartKind, Hits, Limits, Lines, Observation, PairChart, Point, Rule, Sample};

use super::Checker;
use super::charts_cases::Study;

/// A judged point with everything that a field may be about.
pub struct Seen {
    pub observation: Observation,
    limits: Limits,
    by_data: Limits,
    size: f64,
    /// It was not left out of phase I.
    included: bool,
}

impl Seen {
    pub fn new(observation: Observation, limits: &Limits, sample: Sample, included: bool) -> Self {
        let size = match sample {
            Sample::Counted { size, .. } | Sample::Ratio { size, .. } => size,
            Sample::Subgroup(subgroup) => f64::from(subgroup.size),
            _ => 1.0,
        };
        Self { observation, limits: *limits, by_data: *limits, size, included }
    }

    /// States the sigma of other limits.
    pub fn with_sigma_of(self, by_data: &Limits) -> Self {
        Self { by_data: *by_data, ..self }
    }

    fn point(&self, plotted: PairChart) -> Option<Point> {
        match plotted {
            PairChart::Location => Some(self.observation.point),
            PairChart::Spread => self.observation.moving_range,
            PairChart::Within => self.observation.within,
        }
    }

    fn lines(&self, plotted: PairChart) -> Option<Lines> {
        match plotted {
            PairChart::Location => Some(self.limits.lines(self.size)),
            PairChart::Spread => self.limits.range.map(|range| range.lines),
            PairChart::Within => self.limits.within_lines(self.size),
        }
    }

    /// At two standard errors. Of the moving range chart the peer draws two thirds of the way from zero to its upper limit.
    fn warning(&self, plotted: PairChart) -> Option<Lines> {
        match plotted {
            PairChart::Location => Some(self.limits.lines_at(self.size, 2.0)),
            PairChart::Within => self.limits.within_lines_at(self.size, 2.0),
            PairChart::Spread => self.limits.range.map(|range| Lines { ucl: range.lines.ucl * 2.0 / 3.0, ..range.lines }),
        }
    }

    /// FORMAT.md: for p and np that of the point, otherwise that of the process.
    fn std_dev(&self) -> f64 {
        if matches!(self.limits.chart, ChartKind::P | ChartKind::Np) { self.by_data.lines(self.size).se } else { self.by_data.sigma }
    }
}

impl Study {
    pub fn fields(&self, seen: &[Seen], checker: &mut Checker) {
        let first = self.stages.last().map_or(0, |stage| stage.2);
        let first = if checker.expected("new_statistics").is_some() { first } else { seen.len() };
        let scaled =
            |field: &dyn Fn(&Seen) -> Option<f64>| seen.iter().map(|x| field(x).map(|value| self.multiply * value)).collect::<Vec<_>>();
        let statistics = scaled(&|x| x.point(self.plotted).map(|point| point.statistic));
        checker.gappy_series("statistics", &statistics[..first]);
        checker.gappy_series("new_statistics", &statistics[first..]);
        let groups = std::iter::once(("", self.plotted)).chain(PAIRS);
        for (prefix, plotted) in groups {
            for (name, of) in LINES {
                let path = format!("{prefix}{name}");
                let lines = scaled(&|x| x.lines(plotted).map(|lines| of(&lines)));
                checker.gappy_series(&path, as_far_as(&path, &lines, first, checker));
            }
            let violations = hits(seen.iter().map(|x| x.point(plotted)));
            if checker.expected(&format!("{prefix}violations")).is_some_and(Value::is_array) {
                checker.rule_points(&format!("{prefix}violations"), Rule::Nelson1, &violations);
            }
        }
        checker.gappy_series("lcl_2s", &scaled(&|x| x.warning(self.plotted).map(|lines| lines.lcl)));
        checker.gappy_series("ucl_2s", &scaled(&|x| x.warning(self.plotted).map(|lines| lines.ucl)));
        let std_dev = scaled(&|x| Some(x.std_dev()));
        checker.gappy_series("std_dev", as_far_as("std_dev", &std_dev, first, checker));
        let hits = hits(seen.iter().map(|x| x.point(self.plotted)));
        for path in ["sigma_signals", "beyond_limits"] {
            checker.rule_points(path, Rule::Nelson1, &hits);
        }
        named_rules("violations", &hits, checker);
        for (path, rule) in self.own_rules {
            checker.rule_points(path, *rule, &hits);
        }
        self.runs_analysis(seen, checker);
    }

    /// Runs and crossings of every stage, points left out of phase I taking no part.
    fn runs_analysis(&self, seen: &[Seen], checker: &mut Checker) {
        let of_stage = |&(from, to, _): &(usize, usize, usize)| {
            let mut crossings = Crossings::default();
            for x in seen[from..to].iter().filter(|x| x.included) {
                if let (Some(point), Some(lines)) = (x.point(self.plotted), x.lines(self.plotted)) {
                    crossings.push(point.statistic, lines.centre);
                }
            }
            verdict(from, to, &crossings)
        };
        let mut stages: Vec<Value> = self.stages.iter().map(of_stage).collect();
        if self.plotted == PairChart::Spread {
            // The peer counts the runs of moving ranges and gives no verdict on them.
            stages.iter_mut().filter(|stage| stage.is_object()).for_each(|stage| stage["signal"] = Value::Bool(false));
        }
        checker.exact("anhoej_runs", &Value::Array(stages));
    }
}

/// The runs of one stage as a case states them.
pub fn verdict(from: usize, to: usize, crossings: &Crossings) -> Value {
    crossings.verdict().map_or(Value::Null, |verdict| {
        json!({
            "points": [from + 1, to], "n_useful": verdict.useful,
            "longest_run": verdict.longest_run, "longest_run_max": verdict.longest_run_max,
            "n_crossings": verdict.crossings, "n_crossings_min": verdict.crossings_min, "signal": verdict.signal,
        })
    })
}

/// What the halves of a pair are called where a case has both.
const PAIRS: [(&str, PairChart); 9] = [
    ("individuals/", PairChart::Location),
    ("moving_range/", PairChart::Spread),
    ("xbar/", PairChart::Location),
    ("r/", PairChart::Within),
    ("R/", PairChart::Within),
    ("range/", PairChart::Within),
    ("s/", PairChart::Within),
    ("S/", PairChart::Within),
    ("sd/", PairChart::Within),
];

/// The peer states some numbers for phase I alone, where they differ from point to point.
fn as_far_as<'a>(path: &str, all: &'a [Option<f64>], first: usize, checker: &Checker) -> &'a [Option<f64>] {
    let stated = checker.expected(path).and_then(Value::as_array).map(Vec::len);
    if stated == Some(first) { &all[..first] } else { all }
}

type LineOf = fn(&Lines) -> f64;
const LINES: [(&str, LineOf); 3] = [("center", |lines| lines.centre), ("lcl", |lines| lines.lcl), ("ucl", |lines| lines.ucl)];

pub fn hits(points: impl Iterator<Item = Option<Point>>) -> Vec<Hits> {
    points.map(|point| point.map_or(Hits::EMPTY, |point| point.signals)).collect()
}

pub fn named_rules(prefix: &str, hits: &[Hits], checker: &mut Checker) {
    for rule in Rule::ALL {
        let name = rule.name().to_lowercase().replace(' ', "");
        checker.rule_points(&format!("{prefix}/{name}"), rule, hits);
    }
}
