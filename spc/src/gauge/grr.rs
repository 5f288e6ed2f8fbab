//! Gauge repeatability and reproducibility by analysis of variance: how much of the observed variation is the gauge's own.
//!
//! Invariants: the sums of squares of the sources add up to the total; components are never negative (a negative estimate is
//! 0); the total variation is gauge plus parts.

use serde::{Deserialize, Serialize};

use super::interval::{Combination, MeanSquare};
use super::{Reading, Table};
use crate::distribution::f_above;
use crate::study::{self, StudyError, real};

/// Source of variation in an analysis of variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Between parts (nested studies: parts within appraisers).
    Part,
    /// Between appraisers.
    Appraiser,
    /// Appraisers that differ on some parts only.
    Interaction,
    /// Between trials.
    Repeatability,
    /// All readings.
    Total,
}

/// One row of an analysis of variance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AnovaRow {
    /// Which source.
    pub source: Source,
    /// Degrees of freedom.
    pub freedom: f64,
    /// Sum of squares, in squared units of the readings.
    pub squares: f64,
    /// Mean square; `None` for the total.
    pub mean_square: Option<f64>,
    /// Ratio to the mean square of the source beneath; `None` for repeatability and total, and where that is zero.
    pub f: Option<f64>,
    /// Probability of such a ratio if the source had no effect.
    pub p: Option<f64>,
}

/// What the effects of parts and appraisers are compared with, while the interaction is kept. Programs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FDenominator {
    /// The interaction: parts and appraisers are samples of more (AIAG).
    #[default]
    Interaction,
    /// Repeatability: just these appraisers.
    Repeatability,
}

/// How a study is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GrrSettings {
    /// An interaction with a p-value above this is pooled into repeatability: 0.05 (AIAG takes 0.25 at times); 1 never pools.
    pub pool_above: f64,
    /// Denominator of the F ratios.
    pub denominator: FDenominator,
    /// Study variation in standard deviations: 6 (99.73 %), formerly 5.15.
    pub multiple: f64,
    /// Width of the tolerance, in the unit of the readings.
    pub tolerance: Option<f64>,
    /// Standard deviation of the process where it is known from elsewhere (its control chart), in the unit of the readings: the
    /// parts of a study are seldom a fair sample of it.
    #[serde(default)]
    pub process_sigma: Option<f64>,
    /// Confidence of the intervals of the components.
    pub confidence: f64,
}

impl Default for GrrSettings {
    fn default() -> Self {
        Self {
            pool_above: 0.05,
            denominator: FDenominator::Interaction,
            multiple: 6.0,
            tolerance: None,
            process_sigma: None,
            confidence: 0.95,
        }
    }
}

/// One variance component with its shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Variance, in squared units of the readings.
    pub variance: f64,
    /// Confidence interval of the variance (modified large samples).
    pub interval: (f64, f64),
    /// Standard deviation.
    pub std_dev: f64,
    /// Standard deviation times the study multiple.
    pub study_variation: f64,
    /// Share of the total variance, percent.
    pub percent_contribution: f64,
    /// Share of the total study variation, percent. These do not add up to 100.
    pub percent_study_variation: f64,
    /// Study variation as a share of the tolerance, percent.
    pub percent_tolerance: Option<f64>,
    /// Standard deviation as a share of the process's own, percent; where that was given.
    #[serde(default)]
    pub percent_process: Option<f64>,
}

/// A gauge study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GaugeStudy {
    /// Analysis of variance with all sources.
    pub anova: Vec<AnovaRow>,
    /// The analysis after pooling, where the interaction was pooled.
    pub pooled: Option<Vec<AnovaRow>>,
    /// Repeatability and reproducibility together: the gauge.
    pub gauge: Component,
    /// Between trials (equipment variation).
    pub repeatability: Component,
    /// Between appraisers, interaction included (appraiser variation).
    pub reproducibility: Component,
    /// Between appraisers.
    pub appraiser: Component,
    /// Interaction; `None` when pooled or nested.
    pub interaction: Option<Component>,
    /// Between parts.
    pub part: Component,
    /// Gauge and parts together.
    pub total: Component,
    /// Classes that the gauge tells apart: ⌊1.41 part/gauge⌋, at least 1; `None` if the gauge does not vary at all.
    pub distinct_categories: Option<f64>,
}

/// Study in which every appraiser measures every part, two trials or more each.
///
/// Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III B and appendix A; R. K. Burdick, C. M. Borror,
/// D. C. Montgomery, Journal of Quality Technology 35 (2003) 342–354 (intervals).
///
/// ```
/// use spc::gauge::Reading;
/// use spc::gauge::grr::{GrrSettings, crossed};
///
/// // Two cameras, three parts, two looks each, in mm.
/// let looks = [("1", [4.01, 4.02], [4.00, 4.01]), ("2", [4.31, 4.30], [4.30, 4.29]), ("3", [4.62, 4.61], [4.60, 4.61])];
/// let reading = |part, appraiser, value| Reading { part, appraiser, value };
/// let readings: Vec<Reading> = looks
///     .iter()
///     .flat_map(|(part, left, right)| left.map(|value| reading(*part, "left", value)).into_iter().chain(right.map(|value| reading(*part, "right", value))))
///     .collect();
/// let study = crossed(&readings, &GrrSettings { tolerance: Some(0.5), ..GrrSettings::default() })?;
/// assert!(study.gauge.percent_tolerance.is_some_and(|percent| percent < 20.0));
/// assert!(study.distinct_categories.is_some_and(|classes| classes >= 5.0));
/// # Ok::<(), spc::study::StudyError>(())
/// ```
///
/// # Errors
/// Fewer than two parts, appraisers or trials; unequal numbers of trials; NaN or infinite readings, by place; readings that do
/// not vary; settings outside their range.
pub fn crossed(readings: &[Reading], settings: &GrrSettings) -> Result<GaugeStudy, StudyError> {
    settings.check()?;
    let table = Table::crossed(readings)?;
    let squares = Squares::of(&table, true)?;
    let anova = squares.crossed_rows(settings.denominator);
    let keep = anova[2].p.is_none_or(|p| p <= settings.pool_above);
    let pooled = (!keep).then(|| squares.pooled_rows());
    let rows = pooled.as_ref().unwrap_or(&anova);
    let (parts, appraisers, trials) = (squares.parts, squares.appraisers, squares.trials);
    let (p, o, e) = (0, 1, rows.len() - 2);
    let combination = |terms: &[(usize, f64)]| squares.combination(rows, terms);
    let (per_part, per_appraiser) = (1.0 / (appraisers * trials), 1.0 / (parts * trials));
    let estimates = if keep {
        let i = 2;
        Estimates {
            gauge: combination(&[(o, per_appraiser), (i, (parts - 1.0) * per_appraiser), (e, (trials - 1.0) / trials)]),
            repeatability: combination(&[(e, 1.0)]),
            reproducibility: combination(&[(o, per_appraiser), (i, (parts - 1.0) * per_appraiser), (e, -1.0 / trials)]),
            appraiser: combination(&[(o, per_appraiser), (i, -per_appraiser)]),
            interaction: Some(combination(&[(i, 1.0 / trials), (e, -1.0 / trials)])),
            part: combination(&[(p, per_part), (i, -per_part)]),
        }
    } else {
        let appraiser = combination(&[(o, per_appraiser), (e, -per_appraiser)]);
        Estimates {
            gauge: combination(&[(o, per_appraiser), (e, 1.0 - per_appraiser)]),
            repeatability: combination(&[(e, 1.0)]),
            reproducibility: appraiser.clone(),
            appraiser,
            interaction: None,
            part: combination(&[(p, per_part), (e, -per_part)]),
        }
    };
    estimates.study(settings, anova, pooled)
}

/// Study of parts that cannot be measured by a second appraiser: each appraiser measures parts of their own, two trials or
/// more each. The appraiser's effect is compared with the parts within appraisers.
///
/// Source: D. C. Montgomery, Design and Analysis of Experiments, chapter 14 (two-stage nested design); AIAG, Measurement
/// Systems Analysis, 4th edition, chapter IV (non-replicable systems).
///
/// # Errors
/// As [`crossed`], with two parts per appraiser.
pub fn nested(readings: &[Reading], settings: &GrrSettings) -> Result<GaugeStudy, StudyError> {
    settings.check()?;
    let table = Table::nested(readings)?;
    let squares = Squares::of(&table, false)?;
    let anova = squares.nested_rows();
    let (o, p, e) = (0, 1, 2);
    let (parts, trials) = (squares.parts, squares.trials);
    let combination = |terms: &[(usize, f64)]| squares.combination(&anova, terms);
    let per_appraiser = 1.0 / (parts * trials);
    let appraiser = combination(&[(o, per_appraiser), (p, -per_appraiser)]);
    let estimates = Estimates {
        gauge: combination(&[(o, per_appraiser), (p, -per_appraiser), (e, 1.0)]),
        repeatability: combination(&[(e, 1.0)]),
        reproducibility: appraiser.clone(),
        appraiser,
        interaction: None,
        part: combination(&[(p, 1.0 / trials), (e, -1.0 / trials)]),
    };
    estimates.study(settings, anova, None)
}

impl GrrSettings {
    fn check(&self) -> Result<(), StudyError> {
        if !(0.0..=1.0).contains(&self.pool_above) {
            return Err(StudyError::Setting { what: "p-value to pool above", value: self.pool_above, wanted: "0 to 1" });
        }
        study::above_zero("study multiple", self.multiple)?;
        study::share("confidence", self.confidence)?;
        for (what, value) in [("tolerance", self.tolerance), ("standard deviation of the process", self.process_sigma)] {
            value.map(|value| study::above_zero(what, value)).transpose()?;
        }
        Ok(())
    }
}

/// Sums of squares of a balanced table.
struct Squares {
    parts: f64,
    appraisers: f64,
    trials: f64,
    part: f64,
    appraiser: f64,
    interaction: f64,
    within: f64,
    total: f64,
}

impl Squares {
    fn of(table: &Table, crossed: bool) -> Result<Self, StudyError> {
        study::enough("appraisers", 2, table.appraisers())?;
        study::enough("parts per appraiser", 2, table.parts())?;
        study::enough("trials", 2, table.trials)?;
        let (parts, appraisers, trials) = (real(table.parts()), real(table.appraisers()), real(table.trials));
        let grand = table.grand_mean();
        let cells: Vec<Vec<f64>> = table.cells.iter().map(|row| row.iter().map(|cell| study::mean(cell)).collect()).collect();
        let rows: Vec<f64> = cells.iter().map(|row| study::mean(row)).collect();
        let columns: Vec<f64> = (0..table.parts()).map(|part| study::sum(cells.iter().map(|row| row[part])) / appraisers).collect();
        let square = |x: f64| x * x;
        let over_cells = |deviation: &dyn Fn(usize, usize) -> f64| {
            let pairs = (0..table.appraisers()).flat_map(|appraiser| (0..table.parts()).map(move |part| (appraiser, part)));
            trials * study::sum(pairs.map(|(appraiser, part)| square(deviation(appraiser, part))))
        };
        let total = study::sum(table.all().map(|value| square(value - grand)));
        if !study::varies(total) {
            return Err(StudyError::NoVariation { what: "readings" });
        }
        let within = table.cells.iter().flatten().map(|cell| study::squares(cell, study::mean(cell)));
        Ok(Self {
            parts,
            appraisers,
            trials,
            part: if crossed {
                over_cells(&|_, part| columns[part] - grand)
            } else {
                over_cells(&|appraiser, part| cells[appraiser][part] - rows[appraiser])
            },
            appraiser: over_cells(&|appraiser, _| rows[appraiser] - grand),
            interaction: if crossed {
                over_cells(&|appraiser, part| cells[appraiser][part] - rows[appraiser] - columns[part] + grand)
            } else {
                0.0
            },
            within: study::sum(within),
            total,
        })
    }

    fn freedom(&self, source: Source) -> f64 {
        match source {
            Source::Part => self.parts - 1.0,
            Source::Appraiser => self.appraisers - 1.0,
            Source::Interaction => (self.parts - 1.0) * (self.appraisers - 1.0),
            Source::Repeatability => self.parts * self.appraisers * (self.trials - 1.0),
            Source::Total => self.parts * self.appraisers * self.trials - 1.0,
        }
    }

    fn crossed_rows(&self, denominator: FDenominator) -> Vec<AnovaRow> {
        let interaction = (self.interaction, self.freedom(Source::Interaction));
        let error = (self.within, self.freedom(Source::Repeatability));
        let beneath = if denominator == FDenominator::Interaction { interaction } else { error };
        vec![
            row(Source::Part, (self.part, self.freedom(Source::Part)), Some(beneath)),
            row(Source::Appraiser, (self.appraiser, self.freedom(Source::Appraiser)), Some(beneath)),
            row(Source::Interaction, interaction, Some(error)),
            row(Source::Repeatability, error, None),
            total(self.total, self.freedom(Source::Total)),
        ]
    }

    fn pooled_rows(&self) -> Vec<AnovaRow> {
        let error = (self.interaction + self.within, self.freedom(Source::Interaction) + self.freedom(Source::Repeatability));
        vec![
            row(Source::Part, (self.part, self.freedom(Source::Part)), Some(error)),
            row(Source::Appraiser, (self.appraiser, self.freedom(Source::Appraiser)), Some(error)),
            row(Source::Repeatability, error, None),
            total(self.total, self.freedom(Source::Total)),
        ]
    }

    fn nested_rows(&self) -> Vec<AnovaRow> {
        let parts = (self.part, self.appraisers * (self.parts - 1.0));
        let error = (self.within, self.freedom(Source::Repeatability));
        vec![
            row(Source::Appraiser, (self.appraiser, self.freedom(Source::Appraiser)), Some(parts)),
            row(Source::Part, parts, Some(error)),
            row(Source::Repeatability, error, None),
            total(self.total, self.freedom(Source::Total)),
        ]
    }

    fn combination(&self, rows: &[AnovaRow], terms: &[(usize, f64)]) -> Combination {
        let term = |&(index, weight): &(usize, f64)| {
            let row = &rows[index];
            MeanSquare { value: row.mean_square.unwrap_or(0.0), freedom: row.freedom, weight }
        };
        Combination(terms.iter().map(term).collect())
    }
}

fn row(source: Source, (squares, freedom): (f64, f64), beneath: Option<(f64, f64)>) -> AnovaRow {
    let mean_square = squares / freedom;
    // Rounding apart, a source beneath that does not vary leaves nothing to compare with.
    let ratio = beneath.filter(|(squares, _)| study::varies(*squares)).map(|(squares, below)| (mean_square / (squares / below), below));
    let p = ratio.map(|(f, below)| f_above(f, freedom, below));
    AnovaRow { source, freedom, squares, mean_square: Some(mean_square), f: ratio.map(|(f, _)| f), p }
}

fn total(squares: f64, freedom: f64) -> AnovaRow {
    AnovaRow { source: Source::Total, freedom, squares, mean_square: None, f: None, p: None }
}

struct Estimates {
    gauge: Combination,
    repeatability: Combination,
    reproducibility: Combination,
    appraiser: Combination,
    interaction: Option<Combination>,
    part: Combination,
}

impl Estimates {
    /// Components are set to zero one by one, then added up, so that gauge = repeatability + reproducibility holds.
    fn study(self, settings: &GrrSettings, anova: Vec<AnovaRow>, pooled: Option<Vec<AnovaRow>>) -> Result<GaugeStudy, StudyError> {
        let positive = |combination: &Combination| combination.value().max(0.0);
        let repeatability = positive(&self.repeatability);
        let appraiser = positive(&self.appraiser);
        let reproducibility = appraiser + self.interaction.as_ref().map_or(0.0, positive);
        let (gauge, part) = (repeatability + reproducibility, positive(&self.part));
        let total = gauge + part;
        if total <= 0.0 {
            return Err(StudyError::NoVariation { what: "readings" });
        }
        let component = |variance: f64, interval: (f64, f64)| Component {
            variance,
            interval,
            std_dev: variance.sqrt(),
            study_variation: settings.multiple * variance.sqrt(),
            percent_contribution: 100.0 * variance / total,
            percent_study_variation: 100.0 * (variance / total).sqrt(),
            percent_tolerance: settings.tolerance.map(|tolerance| 100.0 * settings.multiple * variance.sqrt() / tolerance),
            percent_process: settings.process_sigma.map(|sigma| 100.0 * variance.sqrt() / sigma),
        };
        let bounds = |combination: &Combination| combination.interval(settings.confidence);
        let all = self.gauge.plus(&self.part);
        Ok(GaugeStudy {
            anova,
            pooled,
            gauge: component(gauge, bounds(&self.gauge)),
            repeatability: component(repeatability, bounds(&self.repeatability)),
            reproducibility: component(reproducibility, bounds(&self.reproducibility)),
            appraiser: component(appraiser, bounds(&self.appraiser)),
            interaction: self.interaction.as_ref().map(|interaction| component(positive(interaction), bounds(interaction))),
            part: component(part, bounds(&self.part)),
            total: component(total, bounds(&all)),
            distinct_categories: (gauge > 0.0).then(|| (1.41 * (part / gauge).sqrt()).floor().max(1.0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three parts, two cameras, two trials, with additive effects only: the interaction is exactly zero.
    fn additive() -> Vec<Reading<'static>> {
        let mut readings = Vec::new();
        for (part, size) in [("a", 1.0), ("b", 4.0), ("c", 7.0)] {
            for (appraiser, offset) in [("left", 0.0), ("right", 0.5)] {
                for noise in [-0.25, 0.25] {
                    readings.push(Reading { part, appraiser, value: size + offset + noise });
                }
            }
        }
        readings
    }

    /// By hand: parts 2·2·(9+0+9) = 72, appraisers 12 · 0.25² = 0.75, trials 12 · 0.25² = 0.75.
    #[test]
    fn agrees_with_hand_calculation() {
        let study =
            crossed(&additive(), &GrrSettings { tolerance: Some(10.0), process_sigma: Some(5.0), ..GrrSettings::default() }).unwrap();
        let squares: Vec<f64> = study.anova.iter().map(|row| row.squares).collect();
        for (got, expected) in squares.iter().zip([72.0, 0.75, 0.0, 0.75, 73.5]) {
            assert!((got - expected).abs() < 1e-12, "{squares:?}");
        }
        let pooled = study.pooled.as_ref().unwrap();
        assert_eq!(pooled[2].freedom, 8.0);
        assert!((study.repeatability.variance - 0.75 / 8.0).abs() < 1e-12);
        assert!((study.appraiser.variance - (0.75 - 0.75 / 8.0) / 6.0).abs() < 1e-12);
        assert!((study.part.variance - (36.0 - 0.75 / 8.0) / 4.0).abs() < 1e-12);
        assert!((study.gauge.percent_tolerance.unwrap() - 60.0 * study.gauge.std_dev).abs() < 1e-12);
        assert!((study.gauge.percent_process.unwrap() - 20.0 * study.gauge.std_dev).abs() < 1e-12);
        assert!((study.gauge.percent_contribution + study.part.percent_contribution - 100.0).abs() < 1e-12);
    }

    #[test]
    fn intervals_hold_their_estimates_and_order_does_not_matter() {
        let settings = GrrSettings { pool_above: 1.0, ..GrrSettings::default() };
        let mut readings = additive();
        readings[3].value += 0.4;
        readings[8].value -= 0.3;
        let study = crossed(&readings, &settings).unwrap();
        for component in [study.gauge, study.repeatability, study.part, study.appraiser, study.total, study.interaction.unwrap()] {
            let (low, high) = component.interval;
            assert!(low <= component.variance + 1e-12 && component.variance <= high, "{component:?}");
        }
        readings.reverse();
        let turned = crossed(&readings, &settings).unwrap();
        assert!((turned.gauge.variance - study.gauge.variance).abs() < 1e-14);
    }

    /// By hand: appraiser means 1 and 3; parts within them differ by 2; trials by 0.2.
    #[test]
    fn nested_compares_appraisers_with_their_parts() {
        let mut readings = Vec::new();
        for (appraiser, mean) in [("left", 1.0), ("right", 3.0)] {
            for (part, offset) in [("1", -1.0), ("2", 1.0)] {
                readings.extend([-0.1, 0.1].map(|noise| Reading { part, appraiser, value: mean + offset + noise }));
            }
        }
        let study = nested(&readings, &GrrSettings::default()).unwrap();
        let found: Vec<(Source, f64, f64)> = study.anova.iter().map(|row| (row.source, row.freedom, row.squares)).collect();
        for ((source, freedom, squares), expected) in
            found.iter().zip([(Source::Appraiser, 1.0, 8.0), (Source::Part, 2.0, 8.0), (Source::Repeatability, 4.0, 0.08)])
        {
            assert_eq!((*source, *freedom), (expected.0, expected.1));
            assert!((squares - expected.2).abs() < 1e-12);
        }
        assert!((study.anova[0].f.unwrap() - 2.0).abs() < 1e-12);
        assert!((study.part.variance - (4.0 - 0.02) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn refuses_holes_and_dead_gauges() {
        let mut readings = additive();
        readings.pop();
        assert!(matches!(crossed(&readings, &GrrSettings::default()), Err(StudyError::Layout { place: 2, .. })));
        readings[2].value = f64::NAN;
        assert!(matches!(crossed(&readings, &GrrSettings::default()), Err(StudyError::NotFinite { place: 3, .. })));
        let dead: Vec<Reading> = additive().iter().map(|reading| Reading { value: 1.0, ..*reading }).collect();
        assert!(matches!(crossed(&dead, &GrrSettings::default()), Err(StudyError::NoVariation { .. })));
        assert!(crossed(&[], &GrrSettings::default()).is_err());
    }
}
