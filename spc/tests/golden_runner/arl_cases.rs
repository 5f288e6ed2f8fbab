//! Run-length tables: one evaluation per element of the grid, by the function that the case's `call` names.

use serde_json::Value;
use spc::alarm::{
    AlarmError, BinomialEwmaDesign, CountSides, CusumDesign, CusumSides, EwmaDesign, EwmaLimits, EwmaSides, MewmaDesign, Observations,
    PoissonCusumDesign, PoissonEwmaDesign, RuleDesign, ShiryaevRobertsDesign, VarianceCusumDesign, VarianceEwmaDesign, VarianceSides,
    autocorrelated_average, mean_and_variance_average,
};
use spc::rules::PartialWindow;
use spc::{Conventions, Rule, RuleSet};

use super::Checker;
use super::cases::{Step, failed, unsupported};

pub fn run(case: &Value, checker: &mut Checker) -> Step<()> {
    let call = Call::read(case);
    let rows = call.rows();
    let fields = case["expected"].as_object().into_iter().flat_map(|fields| fields.keys());
    for field in fields.filter(|field| *field != "peer_rel_error_estimate") {
        let results: Step<Vec<f64>> = (0..rows).map(|row| evaluate(&Row { call: &call, row }, field)).collect();
        checker.series(field, &results?);
    }
    Ok(())
}

fn evaluate(row: &Row, field: &str) -> Step<f64> {
    let result = match row.call.function.as_str() {
        "" => return rules(row, &row.call.rules()),
        "xcusum.arl" => cusum(row).and_then(|design| design.average(row.mean())),
        "xcusum.ad" if row.restarts() => cusum(row).and_then(|design| design.average_after_restarts(row.mean())),
        "xcusum.ad" => cusum(row).and_then(|design| design.average_after_long(row.mean())),
        "xcusum.sf" => cusum(row).and_then(|design| design.survival(row.mean(), row.count("n"))),
        "xDcusum.arl" if !row.call.drifts_later() => cusum(row).and_then(|design| design.average_under_drift(row.or("delta", 0.0))),
        "xDewma.arl" if !row.call.drifts_later() => ewma(row).and_then(|design| design.average_under_drift(row.or("delta", 0.0))),
        "xtewma.arl" => heavy_tailed(row).and_then(|(design, scale)| design.average(row.mean() / scale)),
        "xtewma.ad" => heavy_tailed(row).and_then(|(design, scale)| design.average_after_long(row.mean() / scale)),
        "xcusum.q" => cusum(row).and_then(|design| design.quantile(row.mean(), row.or("alpha", 0.5))).map(whole),
        "xcusum.crit" => cusum(row).and_then(|design| design.with_interval_for(row.or("L0", 0.0))).map(|design| design.interval()),
        "xewma.arl" => ewma(row).and_then(|design| design.average(row.mean())),
        "xewma.ad" if row.restarts() => ewma(row).and_then(|design| design.average_after_restarts(row.mean())),
        "xewma.ad" => ewma(row).and_then(|design| design.average_after_long(row.mean())),
        "xewma.q" => ewma(row).and_then(|design| design.quantile(row.mean(), row.or("alpha", 0.5))).map(whole),
        "xewma.sf" => ewma(row).and_then(|design| design.survival(row.mean(), row.count("n"))),
        "xewma.crit" => ewma(row).and_then(|design| design.for_run_length(row.or("L0", 0.0))).map(|design| design.width()),
        "xgrsr.arl" => shiryaev(row).and_then(|design| design.average(row.mean())),
        "xgrsr.ad" => shiryaev(row).and_then(|design| design.average_after_long(row.mean())),
        "xgrsr.crit" => shiryaev(row).and_then(|design| design.with_limit_for(row.or("L0", 0.0))).map(|design| design.limit()),
        "sewma.arl" => variance_ewma(row).and_then(|design| design.average(row.or("sigma", 1.0))),
        "sewma.q" => variance_ewma(row).and_then(|design| design.quantile(row.or("sigma", 1.0), row.or("alpha", 0.5))).map(whole),
        "sewma.crit" => {
            variance_ewma(row).and_then(|design| design.for_run_length(row.or("L0", 0.0))).map(|design| limit_sought(design, field))
        }
        "sewma.sf" => variance_ewma(row).and_then(|design| design.survival(row.or("sigma", 1.0), row.count("n"))),
        "scusum.arl" if row.call.option("sided") == "two" => variance_cusums(row),
        "scusum.arl" => variance_cusum(row).and_then(|design| design.average(row.or("sigma", 1.0))),
        "scusum.crit" => {
            let design = variance_cusum(row).and_then(|design| design.for_run_length(row.or("L0", 0.0)));
            design.map(|design| design.interval())
        }
        "xsewma.arl" => both_charts(row),
        "mewma.arl" => mewma(row).and_then(|design| design.average(row.distance())),
        "mewma.ad" if row.restarts() => mewma(row).and_then(|design| design.average_after_restarts(row.distance())),
        "mewma.ad" => mewma(row).and_then(|design| design.average_after_long(row.distance())),
        "mewma.crit" => mewma(row).and_then(|design| design.with_limit_for(row.or("L0", 0.0))).map(|design| design.limit()),
        "p.ewma.arl" => binomial_ewma(row),
        "pois.cusum.arl" => poisson_cusum(row),
        "pois.ewma.arl" if row.call.option("mcdesign") != "classic" => {
            poisson_ewma(row).and_then(|design| design.average(row.or("mu", 0.0)))
        }
        "pois.ewma.ad" if row.call.option("mcdesign") == "transfer" => {
            poisson_ewma(row).and_then(|design| design.average_after_long(row.or("mu0", 0.0), row.or("mu", 0.0)))
        }
        "pois.cusum.crit" => {
            let design = PoissonCusumDesign::new(row.count("km"), 100, row.count("m"), row.call.option("sided") != "lower");
            let design = design.and_then(|design| design.with_head_start(row.count("i0")));
            design.and_then(|design| design.with_interval_for(row.or("A", 0.0), row.or("mu0", 0.0))).map(|design| design.interval().into())
        }
        "xshewhart.ar1.arl" => autocorrelated_average(row.or("alpha", 0.0), row.or("cS", 3.0), row.or("delta", 0.0)),
        "xshewhartrunsrules.arl" | "xshewhartrunsrules.ad" | "xshewhartrunsrules.crit" => return rules(row, &row.text("type")),
        other => return unsupported(format!("run lengths of {other}")),
    };
    result.map_err(failed)
}

fn rounded(number: f64) -> u32 {
    format!("{number:.0}").parse().unwrap_or(0)
}

fn whole(length: u64) -> f64 {
    u32::try_from(length).map_or(f64::INFINITY, f64::from)
}

/// The rules by their numbers, `1234`; the peers judge a window that is not yet full.
fn rules(row: &Row, numbers: &str) -> Step<f64> {
    let named = |digit| match digit {
        '1' => Ok(Rule::WesternElectric1),
        '2' => Ok(Rule::WesternElectric2),
        '3' => Ok(Rule::WesternElectric3),
        '4' => Ok(Rule::WesternElectric4),
        _ => unsupported(format!("run rules {numbers}")),
    };
    let rules: Vec<Rule> = numbers.chars().map(named).collect::<Step<_>>()?;
    let conventions = Conventions { partial_window: PartialWindow::Signals, ..Conventions::REFERENCE };
    let design = RuleDesign::new(&RuleSet::only(&rules).with_conventions(conventions)).map_err(failed)?;
    let design = design.stretched(row.or("c", 1.0)).map_err(failed)?;
    match row.call.function.as_str() {
        "xshewhartrunsrules.ad" => design.average_after_long(row.mean()),
        "xshewhartrunsrules.crit" => design.for_run_length(row.or("L0", 0.0)).map(|design| design.stretch()),
        _ => design.average(row.mean()),
    }
    .map_err(failed)
}

fn cusum_sides(call: &Call) -> CusumSides {
    match call.option("sided").as_str() {
        "two" => CusumSides::Both,
        "Crosier" => CusumSides::Crosier,
        _ => CusumSides::Upper,
    }
}

fn cusum(row: &Row) -> Result<CusumDesign, AlarmError> {
    // An interval is what `crit` looks for, from the head start on.
    let design = CusumDesign::new(row.or("k", 0.0), row.or("h", 100.0), cusum_sides(row.call))?;
    design.with_head_start(row.or("hs", 0.0))
}

fn ewma(row: &Row) -> Result<EwmaDesign, AlarmError> {
    let sides = match row.call.option("sided").as_str() {
        "two" => EwmaSides::Both,
        _ => EwmaSides::Upper { barrier: row.or("zr", 0.0) },
    };
    let limits = match row.call.option("limits").as_str() {
        "vacl" => EwmaLimits::Exact,
        "stat" => EwmaLimits::Stationary,
        "fir" => EwmaLimits::HeadStart,
        "both" => EwmaLimits::ExactHeadStart,
        "Steiner" => EwmaLimits::Steiner,
        _ => EwmaLimits::Fixed,
    };
    let weight = row.number("lambda").or(row.number("l")).unwrap_or(0.0);
    // A width is what `crit` looks for.
    let width = row.number("L").or(row.number("c")).unwrap_or(3.0);
    EwmaDesign::new(weight, width, sides)?.with_head_start(row.or("hs", 0.0))?.with_limits(limits)
}

/// The peer's observations are t-distributed as they are, not scaled: with them and their standard deviation.
fn heavy_tailed(row: &Row) -> Result<(EwmaDesign, f64), AlarmError> {
    let freedom = row.or("df", 0.0);
    let scale = (freedom / (freedom - 2.0)).sqrt();
    let weight = row.number("lambda").or(row.number("l")).unwrap_or(0.0);
    let width = row.number("L").or(row.number("c")).unwrap_or(3.0);
    let design = EwmaDesign::new(weight, width / scale, EwmaSides::Both)?.with_head_start(row.or("hs", 0.0) / scale)?;
    Ok((design.with_observations(Observations::StudentT { freedom })?, scale))
}

fn shiryaev(row: &Row) -> Result<ShiryaevRobertsDesign, AlarmError> {
    let design = ShiryaevRobertsDesign::new(row.or("k", 0.0), row.or("g", 100.0))?.with_barrier(row.or("zr", 0.0))?;
    row.number("hs").map_or(Ok(design), |start| design.with_head_start(start))
}

fn variance_ewma(row: &Row) -> Result<VarianceEwmaDesign, AlarmError> {
    // Limits that `crit` looks for start from something possible.
    let (low, high) = (row.number("cl"), row.number("cu"));
    let sides = match row.call.option("sided").as_str() {
        "Rupper" => VarianceSides::UpperWithBarrier { barrier: low.unwrap_or(1.0), limit: high.unwrap_or(2.0) },
        "Rlower" => VarianceSides::LowerWithBarrier { limit: low.unwrap_or(0.5), barrier: high.unwrap_or(1.0) },
        "two" => VarianceSides::Both { lower: low.unwrap_or(0.5), upper: high.unwrap_or(2.0) },
        _ => VarianceSides::Upper { limit: high.unwrap_or(2.0) },
    };
    let weight = row.number("lambda").or(row.number("l")).unwrap_or(0.0);
    VarianceEwmaDesign::new(weight, row.or("df", 0.0), sides)?.with_start(row.or("hs", 1.0))
}

/// The limit of that name, `cl` or `cu`; without a name the one that was looked for.
fn limit_sought(design: VarianceEwmaDesign, field: &str) -> f64 {
    let (low, high, sought) = match design.sides() {
        VarianceSides::Upper { limit } => (0.0, limit, limit),
        VarianceSides::UpperWithBarrier { barrier, limit } => (barrier, limit, limit),
        VarianceSides::LowerWithBarrier { limit, barrier } => (limit, barrier, limit),
        VarianceSides::Both { lower, upper } => (lower, upper, lower),
        _ => return f64::INFINITY,
    };
    match field {
        "cl" => low,
        "cu" => high,
        _ => sought,
    }
}

fn variance_cusum(row: &Row) -> Result<VarianceCusumDesign, AlarmError> {
    let upward = row.call.option("sided") != "lower";
    let design = VarianceCusumDesign::new(row.or("k", 0.0), row.or("h", 1.0), row.or("df", 0.0), upward)?;
    design.with_head_start(row.or("hs", 0.0))
}

/// The lower scheme's parameters end in 2.
fn variance_cusums(row: &Row) -> Result<f64, AlarmError> {
    let design = |k, h, hs, upward| {
        let design = VarianceCusumDesign::new(row.or(k, 0.0), row.or(h, 0.0), row.or("df", 0.0), upward)?;
        design.with_head_start(row.or(hs, 0.0))
    };
    design("k", "h", "hs", true)?.average_with(&design("k2", "h2", "hs2", false)?, row.or("sigma", 1.0))
}

fn mewma(row: &Row) -> Result<MewmaDesign, AlarmError> {
    let limit = row.number("h4").or(row.number("cE")).or(row.number("h")).unwrap_or(1000.0);
    MewmaDesign::new(row.number("lambda").or(row.number("l")).unwrap_or(0.0), limit, row.count("p"))?.with_head_start(row.or("hs", 0.0))
}

/// The start `n*p0` is the expected count at the first rate of the grid, the one in control.
fn binomial_ewma(row: &Row) -> Result<f64, AlarmError> {
    let size = row.or("n", 0.0);
    let in_control = Row { call: row.call, row: 0 }.or("p", 0.0);
    let start = row.or("z0", size * in_control);
    let limits = match row.call.option("sided").as_str() {
        "lower" => (row.number("lcl"), None),
        "two" => (row.number("lcl"), row.number("ucl")),
        _ => (None, row.number("ucl")),
    };
    // The setting is what was run; the call shows the peer's default.
    let resolution = row.call.case["settings"]["resolution"].as_f64().or(row.number("d.res")).unwrap_or(1.0);
    BinomialEwmaDesign::new(row.or("lambda", 0.0), limits, start, rounded(resolution))?.average(rounded(size), row.or("p", 0.0))
}

fn poisson_ewma(row: &Row) -> Result<PoissonEwmaDesign, AlarmError> {
    let (weight, in_control) = (row.or("lambda", 0.0), row.or("mu0", 0.0));
    let spread = (weight * in_control / (2.0 - weight)).sqrt();
    let mut limits = (in_control - row.or("AL", 3.0) * spread, in_control + row.or("AU", 3.0) * spread);
    let sides = match row.call.option("sided").as_str() {
        "upper" => {
            limits.0 = 0.0;
            CountSides::Upper
        }
        "lower" => CountSides::Lower,
        _ => CountSides::Both,
    };
    let cells = row.call.case["settings"]["resolution"].as_f64().or(row.number("N")).unwrap_or(101.0);
    PoissonEwmaDesign::new(weight, limits, row.or("z0", in_control), sides)?.with_cells(rounded(cells))
}

fn poisson_cusum(row: &Row) -> Result<f64, AlarmError> {
    let upward = row.call.option("sided") != "lower";
    let design = |names: [&str; 4], upward| {
        let [km, hm, m, i0] = names.map(|name| row.count(name));
        PoissonCusumDesign::new(km, hm, m, upward)?.with_head_start(i0)
    };
    let upper = design(["km", "hm", "m", "i0"], upward)?;
    if row.call.option("sided") == "two" {
        return upper.average_with(&design(["km2", "hm2", "m2", "i02"], false)?, row.or("mu", 0.0));
    }
    upper.average(row.or("mu", 0.0))
}

fn both_charts(row: &Row) -> Result<f64, AlarmError> {
    let means = EwmaDesign::new(row.or("lx", 0.0), row.or("cx", 0.0), EwmaSides::Both)?.with_head_start(row.or("hsx", 0.0))?;
    let sides = match row.call.option("sided").as_str() {
        "Rupper" => VarianceSides::UpperWithBarrier { barrier: row.or("csl", 0.0), limit: row.or("csu", 0.0) },
        "two" => VarianceSides::Both { lower: row.or("csl", 0.0), upper: row.or("csu", 0.0) },
        _ => VarianceSides::Upper { limit: row.or("csu", 0.0) },
    };
    let variances = VarianceEwmaDesign::new(row.or("ls", 0.0), row.or("df", 0.0), sides)?.with_start(row.or("hss", 1.0))?;
    mean_and_variance_average(&means, &variances, row.or("mu", 0.0), row.or("sigma", 1.0))
}

/// What was called, with the arguments that are the same for every element of the grid.
pub struct Call<'a> {
    case: &'a Value,
    pub function: String,
    arguments: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    fn read(case: &'a Value) -> Self {
        let text = case["origin"]["call"].as_str().unwrap_or_default();
        let (function, rest) = text.split_once('(').unwrap_or_default();
        let arguments = rest.trim_end_matches(')').split(',').filter_map(|argument| argument.split_once('='));
        let clean = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
        let arguments = arguments.map(|(name, value)| (clean(name), clean(value))).collect();
        Self { case, function: function.trim().to_owned(), arguments }
    }

    fn rows(&self) -> usize {
        let grid = self.case["input"]["grid"].as_object();
        grid.and_then(|grid| grid.values().filter_map(Value::as_array).map(Vec::len).max()).unwrap_or(0)
    }

    /// A word among the arguments, or among the settings, or nothing.
    pub fn option(&self, name: &str) -> String {
        let argument = self.arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        argument.or_else(|| self.case["settings"][name].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Whether the first sample is still in control.
    fn drifts_later(&self) -> bool {
        self.option("with0") == "TRUE"
    }

    fn rules(&self) -> String {
        let numbers = self.case["settings"]["rules"].as_array().into_iter().flatten();
        numbers.map(Value::to_string).collect()
    }
}

/// One element of the grid.
pub struct Row<'a> {
    pub call: &'a Call<'a>,
    row: usize,
}

impl Row<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        let case = self.call.case;
        let in_grid = case["input"]["grid"].get(name).and_then(|array| array.get(self.row));
        in_grid.or_else(|| case["settings"].get(name)).or_else(|| case["input"].get(name))
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.value(name).and_then(Value::as_f64).or_else(|| self.product(&self.call.option(name)))
    }

    /// An argument as it was written: a number, a name of the grid, or a product or quotient of such (`h/2`, `n*p0`).
    fn product(&self, text: &str) -> Option<f64> {
        let factor = |text: &str| {
            let text = text.trim();
            text.parse().ok().or_else(|| self.value(text).and_then(Value::as_f64))
        };
        let mut product = 1.0;
        for (index, part) in text.split('*').enumerate() {
            let mut quotient = part.split('/');
            let first = factor(quotient.next()?)?;
            let value = quotient.try_fold(first, |value, divisor| Some(value / factor(divisor)?))?;
            product = if index == 0 { value } else { product * value };
        }
        Some(product)
    }

    pub fn or(&self, name: &str, usual: f64) -> f64 {
        self.number(name).unwrap_or(usual)
    }

    fn count(&self, name: &str) -> u32 {
        rounded(self.or(name, 0.0))
    }

    fn mean(&self) -> f64 {
        self.number("mu").or(self.number("mu1")).unwrap_or(0.0)
    }

    /// The peer measures a shift by the square of its Mahalanobis distance.
    fn distance(&self) -> f64 {
        self.or("delta", 0.0).sqrt()
    }

    /// Whether a change after a long time comes to a chart that starts anew after each false signal.
    fn restarts(&self) -> bool {
        self.call.option("steady.state.mode") == "cyclical" || self.call.option("type") == "cycl"
    }

    fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => self.call.option(name),
        }
    }
}
