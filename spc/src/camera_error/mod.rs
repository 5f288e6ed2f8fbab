//! Defect charts of a camera's verdicts, corrected for the camera's own errors.
//!
//! A camera that misses the share `m` of what is bad and rejects the share `f` of what is good reports, of a process that makes
//! the share `p` bad, the share `q = (1 − m) p + f (1 − p)`. A p chart of `q` moves when the process moves and when the
//! camera moves, and cannot say which. Here the chart knows `m` and `f` from a study with pieces of known state, plots the
//! corrected `p = (q − f) / (1 − m − f)`, and takes the result of every later check with master pieces into the verdict.
//!
//! For defects per unit the reported rate is `(1 − m) u + φ` with `φ` false calls per unit.
//!
//! Sources: W. J. Rogan, B. Gladen, American Journal of Epidemiology 107 (1978) 71–76 (the correction and its variance);
//! K. E. Case, Journal of Quality Technology 12 (1980) 1–9 (the p chart under inspection error); N. L. Johnson, S. Kotz, X. Wu,
//! Inspection Errors for Attributes in Quality Control, 1991; D. B. Laney, Quality Engineering 14 (2002) 531–537 (samples
//! so large that the binomial limits are too narrow).
//!
//! Invariants: limits are frozen values; every number is finite; a refused sample or check changes nothing; what is computed
//! for a point uses `+ − × ÷` and `sqrt` alone.

mod study;

use serde::{Deserialize, Serialize};

use crate::chart::{Lines, SIZE_RANGE, SampleError};
use crate::rules::{Hits, Rule, RuleSet, Runs};
pub use study::{CameraError, CameraStudy, Verdicts};

/// One sample of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// Pieces rejected, or defects called.
    pub count: u32,
    /// Pieces inspected, or units.
    pub size: f64,
}

/// What phase I found: the process behind the camera, and how far samples scatter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CorrectedLimits {
    /// What is counted.
    pub verdicts: Verdicts,
    /// The study that the correction rests on.
    pub study: CameraStudy,
    /// Mean of what the camera reported.
    pub reported: f64,
    /// Mean of what there was: share bad, or defects per unit. Never below 0.
    pub corrected: f64,
    /// Standard error of `corrected`: from the number of pieces and, mostly, from the size of the study.
    pub corrected_se: f64,
    /// Laney's factor on the binomial or Poisson scatter; 1 without it.
    pub sigma_z: f64,
}

impl CorrectedLimits {
    /// Limits from phase I. Samples in `excluded` (numbered from 1) are left out. `laney` estimates from the moving range of the
    /// standardised samples how much more (or less) they scatter than their distribution says.
    ///
    /// # Errors
    /// [`PhaseOneError`]: a study or camera that cannot be used, a sample that is named by its number, or too few samples.
    pub fn phase_one(
        verdicts: Verdicts,
        samples: &[Reported],
        excluded: &[u64],
        study: CameraStudy,
        laney: bool,
    ) -> Result<Self, PhaseOneError> {
        study.check(verdicts)?;
        useful(&study, verdicts)?;
        let mut used = Vec::new();
        for (sample, number) in samples.iter().zip(1_u64..) {
            check_sample(verdicts, *sample, number)?;
            if !excluded.contains(&number) {
                used.push(*sample);
            }
        }
        if used.len() < if laney { 2 } else { 1 } {
            return Err(CameraError::TooFew.into());
        }
        let mut size = crate::sum::Sum::default();
        let mut count = crate::sum::Sum::default();
        for sample in &used {
            size.add(sample.size);
            count.add(f64::from(sample.count));
        }
        let reported = count.value() / size.value();
        let mut limits = Self { verdicts, study, reported, corrected: 0.0, corrected_se: 0.0, sigma_z: 1.0 };
        limits.corrected = limits.correct(reported, &study).max(0.0);
        if laney {
            limits.sigma_z = limits.laney(&used);
        }
        let scatter = limits.sigma_z * limits.sigma_z * limits.variance(reported) / size.value();
        limits.corrected_se = limits.corrected_error(scatter, &study);
        Ok(limits)
    }

    /// The corrected rate behind a reported one, by the error rates of `study`. It can fall below 0 where fewer are
    /// reported than false calls alone would give.
    fn correct(&self, reported: f64, study: &CameraStudy) -> f64 {
        (reported - study.false_rate()) / self.slope(study)
    }

    /// What the camera would report of the corrected centre, by the error rates of `study`.
    fn expected(&self, study: &CameraStudy) -> f64 {
        study.false_rate() + self.slope(study) * self.corrected
    }

    /// Change of the reported rate per change of the real one.
    fn slope(&self, study: &CameraStudy) -> f64 {
        slope(study, self.verdicts)
    }

    /// Variance of the reported rate in a sample of size one.
    fn variance(&self, reported: f64) -> f64 {
        match self.verdicts {
            Verdicts::Pieces => reported * (1.0 - reported),
            Verdicts::Defects => reported,
        }
    }

    /// Standard error of a corrected rate: the reported rate's variance and the study's. Rogan and Gladen 1978, equation (6).
    fn corrected_error(&self, scatter: f64, study: &CameraStudy) -> f64 {
        let (missed, false_calls) = study.variances(self.verdicts);
        let good = if self.verdicts == Verdicts::Pieces { 1.0 - self.corrected } else { 1.0 };
        (scatter + self.corrected * self.corrected * missed + good * good * false_calls).sqrt() / self.slope(study)
    }

    fn laney(&self, samples: &[Reported]) -> f64 {
        let z = |sample: &Reported| {
            let se = (self.variance(self.reported) / sample.size).sqrt();
            if se > 0.0 { (f64::from(sample.count) / sample.size - self.reported) / se } else { 0.0 }
        };
        let mut ranges = crate::sum::Sum::default();
        let mut pairs = 0.0;
        for pair in samples.windows(2) {
            ranges.add((z(&pair[1]) - z(&pair[0])).abs());
            pairs += 1.0;
        }
        // The mean range of two normal values is 2/√π standard deviations.
        ranges.value() / pairs * (0.5 * std::f64::consts::PI.sqrt())
    }

    /// Lines of the reported rate for a sample of this size, by the camera of phase I: three standard errors, inside the
    /// possible.
    #[must_use]
    pub fn reported_lines(&self, size: f64) -> Lines {
        let centre = self.expected(&self.study);
        let se = self.sigma_z * (self.variance(centre) / size).sqrt();
        self.lines(centre, se)
    }

    /// Lines of the corrected rate for a sample of this size, by the camera of `study`. The study's uncertainty widens them
    /// only where it is not the study of phase I: errors common to centre and samples cancel between them.
    #[must_use]
    pub fn corrected_lines(&self, size: f64, study: &CameraStudy) -> Lines {
        let scatter = self.sigma_z * self.sigma_z * self.variance(self.expected(study)) / size;
        let se = if *study == self.study { scatter.sqrt() / self.slope(study) } else { self.corrected_error(scatter, study) };
        self.lines(self.corrected, se)
    }

    fn lines(&self, centre: f64, se: f64) -> Lines {
        let most = if self.verdicts == Verdicts::Pieces { 1.0 } else { f64::MAX };
        Lines { centre, lcl: (centre - 3.0 * se).max(0.0), ucl: (centre + 3.0 * se).min(most), se }
    }
}

/// Why phase I gave no limits.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PhaseOneError {
    /// The study, or too few samples.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// A sample that cannot be plotted; the error names it.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

fn slope(study: &CameraStudy, verdicts: Verdicts) -> f64 {
    let found = 1.0 - study.miss_rate();
    if verdicts == Verdicts::Pieces { found - study.false_rate() } else { found }
}

fn useful(study: &CameraStudy, verdicts: Verdicts) -> Result<(), CameraError> {
    // Below this a percent of process change moves the verdicts by less than a hundredth of a percent.
    if slope(study, verdicts) >= 0.01 {
        Ok(())
    } else {
        Err(CameraError::NoBetterThanChance { miss: study.miss_rate(), false_reject: study.false_rate() })
    }
}

fn check_sample(verdicts: Verdicts, sample: Reported, point: u64) -> Result<(), SampleError> {
    if !(SIZE_RANGE.0..=SIZE_RANGE.1).contains(&sample.size) {
        return Err(SampleError::Size { point });
    }
    if verdicts == Verdicts::Pieces && sample.size.fract() != 0.0 {
        return Err(SampleError::SizeNotWhole { point });
    }
    if verdicts == Verdicts::Pieces && f64::from(sample.count) > sample.size {
        return Err(SampleError::CountAboveSize { point, count: sample.count });
    }
    Ok(())
}

/// What moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Verdicts and camera are as in phase I.
    Nothing,
    /// More or fewer bad pieces are made; the last check found the camera unchanged.
    Process,
    /// The camera's errors changed, and they explain the verdicts.
    Camera,
    /// The camera's errors changed, and what is left after correcting for them is not the process of phase I either. A camera that
    /// misses more can hide such a process from an uncorrected chart.
    Both,
}

/// One sample on the chart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CorrectedPoint {
    /// Number of the sample, from 1; refused ones are not counted.
    pub index: u64,
    /// What the camera reported, as a rate.
    pub reported: f64,
    /// The lines that it would be judged by without knowing better.
    pub reported_lines: Lines,
    /// What there was, by the camera as last checked; held at what a rate can be.
    pub corrected: f64,
    /// Lines of the corrected rate.
    pub corrected_lines: Lines,
    /// Rules that the corrected rate completes; the limits alone (Nelson 1) while it is corrected by a check that found the
    /// camera changed.
    pub signals: Hits,
    /// What moved.
    pub cause: Cause,
}

/// A chart with frozen limits that takes samples of verdicts, and checks of the camera in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorrectedChart {
    limits: CorrectedLimits,
    rules: RuleSet,
    runs: Runs,
    /// The camera as it is now: the study of phase I until a check surprises.
    camera: CameraStudy,
    index: u64,
}

const LIMITS_ALONE: RuleSet = RuleSet::only(&[Rule::Nelson1]);

/// A check this surprising says that the camera moved: as rare as a point beyond three standard errors.
pub const SURPRISE_MAX: f64 = 0.0027;

impl CorrectedChart {
    /// A chart at its first sample. `rules` judge the corrected rate; [`RuleSet::nelson_1_to_4`] suits counted data.
    ///
    /// # Errors
    /// [`CameraError`] if the limits' study cannot be used (they may come from outside).
    pub fn new(limits: CorrectedLimits, rules: RuleSet) -> Result<Self, CameraError> {
        limits.study.check(limits.verdicts)?;
        useful(&limits.study, limits.verdicts)?;
        Ok(Self { limits, rules, runs: Runs::default(), camera: limits.study, index: 0 })
    }

    /// The limits that it judges by.
    #[must_use]
    pub const fn limits(&self) -> &CorrectedLimits {
        &self.limits
    }

    /// Whether the last check found the camera changed.
    #[must_use]
    pub fn camera_moved(&self) -> bool {
        self.camera != self.limits.study
    }

    /// Takes a check with pieces of known state; gives whether the camera has moved since phase I. From then on verdicts are
    /// corrected by the check; with the next check that surprises nobody, by the study of phase I again.
    ///
    /// # Errors
    /// [`CameraError`] for impossible counts, a check without bad or without good pieces, or a camera that has become no
    /// better than chance. The chart is then as before.
    pub fn check_camera(&mut self, check: CameraStudy) -> Result<bool, CameraError> {
        let verdicts = self.limits.verdicts;
        check.check(verdicts)?;
        let moved = check.surprise(&self.limits.study, verdicts) <= SURPRISE_MAX;
        if moved {
            useful(&check, verdicts)?;
        }
        let camera = if moved { check } else { self.limits.study };
        if camera != self.camera {
            // Runs from before were seen by another camera.
            self.runs = Runs::default();
        }
        self.camera = camera;
        Ok(moved)
    }

    /// Judges the next sample.
    ///
    /// # Errors
    /// [`SampleError`], naming the sample; the chart is then as if it had not come.
    pub fn push(&mut self, sample: Reported) -> Result<CorrectedPoint, SampleError> {
        let index = self.index.saturating_add(1);
        check_sample(self.limits.verdicts, sample, index)?;
        let reported = f64::from(sample.count) / sample.size;
        let corrected_lines = self.limits.corrected_lines(sample.size, &self.camera);
        let most = if self.limits.verdicts == Verdicts::Pieces { 1.0 } else { f64::MAX };
        let corrected = self.limits.correct(reported, &self.camera).clamp(0.0, most);
        let se = corrected_lines.se;
        let z = if se > 0.0 { (corrected - corrected_lines.centre) / se } else { corrected - corrected_lines.centre };
        // A check's error is common to every sample until the next one: runs would see it, limits allow for it.
        let rules = if self.camera_moved() { LIMITS_ALONE } else { self.rules };
        let signals = self.runs.judge(corrected, z, &corrected_lines, &rules);
        self.index = index;
        let cause = match (self.camera_moved(), signals.is_empty()) {
            (false, true) => Cause::Nothing,
            (false, false) => Cause::Process,
            (true, true) => Cause::Camera,
            (true, false) => Cause::Both,
        };
        let reported_lines = self.limits.reported_lines(sample.size);
        Ok(CorrectedPoint { index, reported, reported_lines, corrected, corrected_lines, signals, cause })
    }
}
