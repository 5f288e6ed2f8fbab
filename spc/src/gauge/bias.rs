//! The gauge beside the truth: one reference part measured often (type 1 study), several over the range (linearity and bias).
//!
//! Invariants: a gauge that reads right has bias 0; Cgk never exceeds Cg; nothing is divided by a spread of zero.

use serde::{Deserialize, Serialize};

use crate::distribution::student_below;
use crate::study::{self, StudyError, real};

/// A t test of "no effect".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TTest {
    /// Estimate divided by its standard error.
    pub t: f64,
    /// Degrees of freedom.
    pub freedom: f64,
    /// Two-sided probability of at least such a t without effect.
    pub p: f64,
}

impl TTest {
    fn of(t: f64, freedom: f64) -> Self {
        Self { t, freedom, p: (2.0 * student_below(-t.abs(), freedom)).min(1.0) }
    }
}

/// How a type 1 study is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TypeOneSettings {
    /// Reference value of the part, in the unit of the readings.
    pub reference: f64,
    /// Width of the tolerance.
    pub tolerance: f64,
    /// Share of the tolerance that the gauge may use, percent: usually 20.
    pub percent_of_tolerance: f64,
    /// Study variation in standard deviations: 4 or 6.
    pub multiple: f64,
}

/// A type 1 study.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TypeOne {
    /// Mean of the readings.
    pub mean: f64,
    /// Mean less reference.
    pub bias: f64,
    /// Sample standard deviation.
    pub std_dev: f64,
    /// Standard deviation times the multiple.
    pub study_variation: f64,
    /// Reference less half the allowed share of the tolerance.
    pub lower: f64,
    /// Reference plus that.
    pub upper: f64,
    /// Capability of repeatability: allowed share/study variation. At least 1.33 is asked for.
    pub cg: f64,
    /// As Cg, less the bias.
    pub cgk: f64,
    /// Share of the tolerance that repeatability uses, percent: the allowed share/Cg.
    pub percent_repeatability: f64,
    /// The same with bias: the allowed share/Cgk; `None` where the bias alone uses it up (Cgk not above 0).
    pub percent_with_bias: Option<f64>,
    /// Is there a bias?
    pub test: TTest,
}

/// Type 1 study: one part of known size, measured at least twice (25 to 50 times as a rule) by one appraiser.
///
/// Source: VDA 5 (2010); Bosch, Quality Management booklet 10, procedure 1; ISO 22514-7:2021.
///
/// # Errors
/// Fewer than two readings; NaN or infinite ones; readings that do not vary (the gauge is too coarse); settings not above zero.
pub fn type_one(data: &[f64], settings: &TypeOneSettings) -> Result<TypeOne, StudyError> {
    study::finite(data, 2)?;
    study::finite(&[settings.reference], 1)?;
    let allowed = study::above_zero("tolerance", settings.tolerance)?
        * study::above_zero("percent of tolerance", settings.percent_of_tolerance)?
        / 100.0;
    let multiple = study::above_zero("study multiple", settings.multiple)?;
    let mean = study::mean(data);
    let squares = study::squares(data, mean);
    let std_dev = (squares / real(data.len() - 1)).sqrt();
    if !study::varies(squares) || data.iter().all(|value| *value == data[0]) {
        return Err(StudyError::NoVariation { what: "readings" });
    }
    let bias = mean - settings.reference;
    let cg = allowed / (multiple * std_dev);
    let cgk = (0.5 * allowed - bias.abs()) / (0.5 * multiple * std_dev);
    Ok(TypeOne {
        mean,
        bias,
        std_dev,
        study_variation: multiple * std_dev,
        lower: settings.reference - 0.5 * allowed,
        upper: settings.reference + 0.5 * allowed,
        cg,
        cgk,
        percent_repeatability: settings.percent_of_tolerance / cg,
        percent_with_bias: (cgk > 0.0).then(|| settings.percent_of_tolerance / cgk),
        test: TTest::of(bias / (std_dev / real(data.len()).sqrt()), real(data.len() - 1)),
    })
}

/// One reading of a reference part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReferenceReading<'a> {
    /// Name of the part.
    pub part: &'a str,
    /// Its reference value.
    pub reference: f64,
    /// What the gauge read.
    pub value: f64,
}

/// Bias of one reference part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartBias {
    /// Name of the part.
    pub part: String,
    /// Its reference value.
    pub reference: f64,
    /// Mean reading.
    pub mean: f64,
    /// Mean less reference.
    pub bias: f64,
    /// Is it there? `None` where the readings of this part do not vary or are fewer than two.
    pub test: Option<TTest>,
}

/// A coefficient of the regression line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coefficient {
    /// Estimate.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
    /// Is it different from zero?
    pub test: TTest,
}

/// Linearity and bias over the gauge's range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Linearity {
    /// Each part, in the order of its first reading.
    pub parts: Vec<PartBias>,
    /// Mean of all biases.
    pub bias: f64,
    /// Is it there? Against the scatter about the line.
    pub bias_test: TTest,
    /// Bias at reference 0.
    pub intercept: Coefficient,
    /// Bias per unit of the reference.
    pub slope: Coefficient,
    /// Standard deviation about the line, S.
    pub scatter: f64,
    /// Share of the variation that the line explains, R²; `None` if the biases do not vary.
    pub r_squared: Option<f64>,
}

impl Linearity {
    /// |slope| times the process variation (6 σ of the process, in the unit of the readings); NaN where that is NaN.
    #[must_use]
    pub fn linearity(&self, process_variation: f64) -> f64 {
        self.slope.value.abs() * process_variation
    }

    /// Linearity as a share of the process variation, percent.
    #[must_use]
    pub fn percent_linearity(&self) -> f64 {
        100.0 * self.slope.value.abs()
    }
}

/// Regression of the single biases on the reference values.
///
/// Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III B, "guidelines for determining linearity".
///
/// # Errors
/// Fewer than three readings; NaN or infinite readings or references (by place); one reference value only; readings exactly on
/// a line.
pub fn linearity(readings: &[ReferenceReading]) -> Result<Linearity, StudyError> {
    let references: Vec<f64> = readings.iter().map(|reading| reading.reference).collect();
    study::finite(&references, 0)?;
    let biases: Vec<f64> = readings.iter().map(|reading| reading.value - reading.reference).collect();
    study::finite(&biases, 3)?;
    let (centre, bias) = (study::mean(&references), study::mean(&biases));
    let (spread, total) = (study::squares(&references, centre), study::squares(&biases, bias));
    if !study::varies(spread) {
        return Err(StudyError::NoVariation { what: "reference values" });
    }
    let slope = study::sum(references.iter().zip(&biases).map(|(x, y)| (x - centre) * (y - bias))) / spread;
    let intercept = bias - slope * centre;
    let residual = study::sum(references.iter().zip(&biases).map(|(x, y)| {
        let away = (y - bias) - slope * (x - centre);
        away * away
    }));
    if !study::varies(residual) {
        return Err(StudyError::NoVariation { what: "readings about the line" });
    }
    let (count, freedom) = (real(readings.len()), real(readings.len() - 2));
    let scatter = (residual / freedom).sqrt();
    let coefficient = |value: f64, error: f64| Coefficient { value, error, test: TTest::of(value / error, freedom) };
    Ok(Linearity {
        parts: part_biases(readings),
        bias,
        bias_test: TTest::of(bias / (scatter / count.sqrt()), freedom),
        intercept: coefficient(intercept, scatter * (1.0 / count + centre * centre / spread).sqrt()),
        slope: coefficient(slope, scatter / spread.sqrt()),
        scatter,
        r_squared: study::varies(total).then(|| 1.0 - residual / total),
    })
}

fn part_biases(readings: &[ReferenceReading]) -> Vec<PartBias> {
    let of_part = |part: &str| {
        let own: Vec<&ReferenceReading> = readings.iter().filter(|reading| reading.part == part).collect();
        let values: Vec<f64> = own.iter().map(|reading| reading.value).collect();
        let biases: Vec<f64> = own.iter().map(|reading| reading.value - reading.reference).collect();
        let (bias, squares) = (study::mean(&biases), study::squares(&biases, study::mean(&biases)));
        let freedom = real(own.len()) - 1.0;
        let test = study::varies(squares).then(|| TTest::of(bias / (squares / freedom / real(own.len())).sqrt(), freedom));
        PartBias { part: part.to_owned(), reference: own[0].reference, mean: study::mean(&values), bias, test }
    };
    super::names(readings.iter().map(|reading| reading.part)).into_iter().map(of_part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: TypeOneSettings = TypeOneSettings { reference: 2.0, tolerance: 10.0, percent_of_tolerance: 20.0, multiple: 6.0 };

    /// By hand: mean 2.5, s = 1, allowed 2: Cg = 2/6, Cgk = (1 − 0.5)/3.
    #[test]
    fn agrees_with_hand_calculation() {
        let study = type_one(&[1.5, 2.5, 3.5], &SETTINGS).unwrap();
        assert!((study.cg - 1.0 / 3.0).abs() < 1e-15 && (study.cgk - 0.5 / 3.0).abs() < 1e-15);
        assert!((study.percent_repeatability - 60.0).abs() < 1e-12);
        assert!((study.test.t - 0.5 * 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((study.lower, study.upper), (1.0, 3.0));
    }

    #[test]
    fn a_bias_beyond_the_share_has_no_percentage() {
        assert_eq!(type_one(&[8.0, 9.0], &SETTINGS).unwrap().percent_with_bias, None);
        assert_eq!(type_one(&[2.0; 30], &SETTINGS), Err(StudyError::NoVariation { what: "readings" }));
        assert!(type_one(&[1.0, 2.0], &TypeOneSettings { tolerance: 0.0, ..SETTINGS }).is_err());
    }

    #[test]
    fn a_line_is_found() {
        let reading = |part, reference, noise| ReferenceReading { part, reference, value: reference + 0.5 - 0.1 * reference + noise };
        let readings: Vec<ReferenceReading> = [("a", 1.0), ("b", 5.0), ("c", 9.0)]
            .iter()
            .flat_map(|(part, reference)| [-0.01, 0.01].map(|noise| reading(part, *reference, noise)))
            .collect();
        let study = linearity(&readings).unwrap();
        assert!((study.slope.value + 0.1).abs() < 1e-12 && (study.intercept.value - 0.5).abs() < 1e-12);
        assert!((study.bias).abs() < 1e-12 && study.bias_test.p > 0.99);
        assert!((study.parts[2].bias + 0.4).abs() < 1e-12 && study.parts[2].test.unwrap().p < 0.05);
        assert!((study.percent_linearity() - 10.0).abs() < 1e-9 && study.slope.test.p < 1e-6);
        assert!(linearity(&readings[..2]).is_err());
        assert!(matches!(linearity(&[readings[0], readings[1], readings[0]]), Err(StudyError::NoVariation { .. })));
    }
}
