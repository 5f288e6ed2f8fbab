//! Prints a digest of every bit that each streaming chart gives for fixed data: `cargo run -p spc --example bits`. The same lines
//! on two machines mean the same statistics, lines and signals to the bit; see `scripts/golden-arm64.sh`.
//!
//! The data come from additions and multiplications alone, so that they are the same everywhere.

use std::error::Error;

use spc::alarm::{CusumDesign, CusumSides};
use spc::autocorrelation::ResidualChart;
use spc::camera_error::{CameraStudy, CorrectedChart, CorrectedLimits, Reported, Verdicts};
use spc::multivariate::{Covariance, Mcusum, McusumSettings, Mewma, MewmaSettings, Phase, Reference, Spread, T2Limits};
use spc::short_run::Part;
use spc::weighted::{CusumSettings, EwmaSettings, EwmaWidth, MovingAverageSettings};
use spc::{ChartKind, Cusum, Ewma, HotellingT2, Monitor, MovingAverage, Process, Rule, RuleSet, Sample, Settings, ShortRun, Subgroup};

type Done = Result<(), Box<dyn Error>>;

const POINTS: usize = 2000;

/// FNV-1a over the text of a point. Text and bits say the same, because numbers are written so that they read back exactly.
struct Digest(u64);

impl Digest {
    fn of<P: std::fmt::Debug, E: Error + 'static>(what: &str, mut push: impl FnMut(f64) -> Result<P, E>) -> Done {
        let mut digest = Self(0xcbf2_9ce4_8422_2325);
        let mut state = 0.2;
        for _ in 0..POINTS {
            // The logistic map: between 0 and 1, irregular, and the same everywhere.
            state = 3.99 * state * (1.0 - state);
            digest.add(&format!("{:?}", push(state)?));
        }
        println!("{what}: {:016x}", digest.0);
        Ok(())
    }

    fn add(&mut self, text: &str) {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    }
}

/// Phase I and phase II of every chart with every rule.
fn monitors() -> Done {
    use ChartKind::*;
    let all = RuleSet::only(&Rule::ALL);
    for chart in [Individuals, T, P, Np, C, U, LaneyP, LaneyU, G, IPrime, XbarR, XbarS, MedianR, BetweenWithinR, BetweenWithinS] {
        let few = |x: f64| u32::from(x > 0.3) + 2 * u32::from(x > 0.7);
        let sample = |x: f64| {
            Ok::<_, spc::chart::SubgroupError>(match chart {
                Individuals | T => Sample::Value(x),
                P | U | LaneyP | LaneyU => Sample::Counted { count: few(x), size: if x > 0.6 { 100.0 } else { 120.0 } },
                Np => Sample::Counted { count: few(x), size: 100.0 },
                C | G => Sample::Tally(few(x)),
                IPrime => Sample::Ratio { amount: 3.0 * x, size: 1.0 + x },
                _ => Sample::Subgroup(Subgroup::of(&[x, x * x, 1.0 - x, 0.5])?),
            })
        };
        let counts = matches!(chart, P | U | LaneyP | LaneyU | Np | C | G);
        let settings = if counts { Settings::counts() } else { Settings::values() };
        let mut monitor = Monitor::new(chart, Settings { rules: all, range_rules: all, ..settings })?;
        let push = |x| -> Result<_, Box<dyn Error>> { Ok(monitor.push(sample(x)?)?) };
        boxed(&format!("{chart:?}"), push)?;
    }
    Ok(())
}

/// As [`Digest::of`], for pushes that fail in more than one way.
fn boxed<P: std::fmt::Debug>(what: &str, mut push: impl FnMut(f64) -> Result<P, Box<dyn Error>>) -> Done {
    Digest::of(what, |x| push(x).map_err(|error| std::io::Error::other(error.to_string())))
}

fn weighted() -> Done {
    let process = Process::given(0.5, 0.3)?;
    for limits in [EwmaWidth::Exact, EwmaWidth::Asymptotic] {
        let mut ewma = Ewma::new(process, EwmaSettings { limits, ..EwmaSettings::default() })?;
        Digest::of(&format!("EWMA, {limits:?}"), |x| ewma.push(&[x]))?;
    }
    let design = CusumDesign::new(0.5, 5.0, CusumSides::Both)?;
    for head_start in [0.0, 2.5] {
        let settings = CusumSettings { shift: 2.0 * design.reference(), interval: design.interval(), head_start };
        let mut cusum = Cusum::new(process, settings)?;
        Digest::of(&format!("CUSUM from {head_start}"), |x| cusum.push(&[x]))?;
    }
    let mut average = MovingAverage::new(process, MovingAverageSettings::default())?;
    Digest::of("moving average", |x| average.push(&[x]))
}

fn several_variables() -> Done {
    let covariance = Covariance::new(&[vec![1.0, 0.3, 0.1], vec![0.3, 1.0, 0.2], vec![0.1, 0.2, 2.0]])?;
    let reference = Reference::given(&[0.5, 0.4, 0.3], covariance, 1)?;
    let mut t2 = HotellingT2::new(T2Limits::new(reference.clone(), None)?, Phase::Two);
    Digest::of("T²", |x| t2.push(&[x, x * x, 1.0 - x]))?;
    let mut mewma = Mewma::new(reference.clone(), MewmaSettings { lambda: 0.2, limit: 11.8, spread: Spread::Exact })?;
    Digest::of("MEWMA", |x| mewma.push(&[x, x * x, 1.0 - x]))?;
    let mut mcusum = Mcusum::new(reference, McusumSettings { k: 0.5, h: 6.0 })?;
    Digest::of("MCUSUM", |x| mcusum.push(&[x, x * x, 1.0 - x]))
}

fn parts_models_and_cameras() -> Done {
    let part = |name: &str, nominal| (name.to_owned(), Part { nominal, scale: 0.3 });
    let mut short = ShortRun::z_mr([part("short", 0.4), part("long", 0.6)].into(), &Settings::values())?;
    Digest::of("short runs", |x| short.push(if x > 0.5 { "long" } else { "short" }, x))?;

    let mut state = 0.3;
    let series: Vec<f64> = std::iter::repeat_with(|| {
        state = 3.99 * state * (1.0 - state);
        state
    })
    .take(50)
    .collect();
    let mut residuals = ResidualChart::phase_one(&series, &[], &Settings::values())?;
    Digest::of("residuals", |x| residuals.push(x))?;

    let study = CameraStudy { bad_shown: 100, missed: 5, good_shown: 100, false_calls: 2 };
    let samples = [Reported { count: 5, size: 100.0 }; 20];
    let limits = CorrectedLimits::phase_one(Verdicts::Pieces, &samples, &[], study, false)?;
    let mut corrected = CorrectedChart::new(limits, RuleSet::nelson_1_to_4())?;
    Digest::of("corrected p", |x| corrected.push(Reported { count: 3 + u32::from(x > 0.5), size: 100.0 }))
}

fn main() -> Done {
    monitors()?;
    weighted()?;
    several_variables()?;
    parts_models_and_cameras()
}
