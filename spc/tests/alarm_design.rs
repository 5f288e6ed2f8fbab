//! The computed run lengths against the charts themselves: seeded noise goes through `push`, and the points between signals are
//! counted.

use spc::alarm::{AlarmChart, CusumDesign, CusumSides, EwmaDesign, EwmaLimits, EwmaSides, FalseStopBudget, RuleDesign};
use spc::rules::PartialWindow;
use spc::weighted::{Cusum, CusumSettings, Ewma, EwmaSettings, EwmaWidth, Process};
use spc::{Chart, Conventions, Limits, Rule, RuleSet, Sample, Settings};

/// Standard normal numbers: G. Marsaglia's polar method on splitmix64.
struct Noise {
    state: u64,
    spare: Option<f64>,
}

impl Noise {
    fn new(seed: u64) -> Self {
        Self { state: seed, spare: None }
    }

    /// Uniform on −1 … 1.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits");
        (f64::from(top) + 0.5) / 2_147_483_648.0 - 1.0
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (u, v) = (self.uniform(), self.uniform());
            let square = u * u + v * v;
            if square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(v * factor);
                return u * factor;
            }
        }
    }
}

/// A chart that says whether the next value signals, and can start over.
trait Judge {
    fn signals(&mut self, value: f64) -> bool;
    fn restart(&mut self);
}

impl Judge for Chart {
    fn signals(&mut self, value: f64) -> bool {
        !self.push(Sample::Value(value)).expect("finite").point.signals.is_empty()
    }
    fn restart(&mut self) {
        self.restart_runs();
    }
}

impl Judge for Cusum {
    fn signals(&mut self, value: f64) -> bool {
        let point = self.push(&[value]).expect("finite");
        point.upper_signal || point.lower_signal
    }
    fn restart(&mut self) {
        Cusum::restart(self);
    }
}

impl Judge for Ewma {
    fn signals(&mut self, value: f64) -> bool {
        !self.push(&[value]).expect("finite").signals.is_empty()
    }
    fn restart(&mut self) {
        Ewma::restart(self);
    }
}

fn shewhart(design: &RuleDesign) -> Chart {
    let limits = Limits::given(0.0, design.stretch(), &Settings::values()).expect("sound settings");
    Chart::new(limits, *design.rules(), RuleSet::only(&[])).expect("sound settings")
}

fn cusum(design: &CusumDesign) -> Cusum {
    let settings = CusumSettings { shift: 2.0 * design.reference(), interval: design.interval(), head_start: 0.0 };
    Cusum::new(Process::given(0.0, 1.0).expect("sound process"), settings).expect("sound settings")
}

fn ewma(design: &EwmaDesign, limits: EwmaWidth) -> Ewma {
    let settings = EwmaSettings { lambda: design.weight(), width: design.width(), limits, ..EwmaSettings::default() };
    Ewma::new(Process::given(0.0, 1.0).expect("sound process"), settings).expect("sound settings")
}

/// Mean and standard error of the run lengths of a chart whose process is off by `mean`.
fn simulated(mut chart: impl Judge, mean: f64, runs: u32, seed: u64) -> (f64, f64) {
    let mut noise = Noise::new(seed);
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..runs {
        chart.restart();
        let mut length = 1.0;
        while !chart.signals(mean + noise.normal()) {
            length += 1.0;
        }
        sum += length;
        squares += length * length;
    }
    let average = sum / f64::from(runs);
    (average, ((squares / f64::from(runs) - average * average) / f64::from(runs)).sqrt())
}

/// Within four standard errors: a wrong result of a percent or two fails, luck practically never does.
fn agree(what: &str, (average, error): (f64, f64), exact: f64) {
    println!("{what}: simulated {average:.3} ± {error:.3}, exact {exact:.3}");
    assert!((average - exact).abs() <= 4.0 * error, "{what}: simulated {average} ± {error}, exact {exact}");
}

#[test]
fn western_electric_signals_as_often_as_computed() {
    let early = Conventions { partial_window: PartialWindow::Signals, ..Conventions::REFERENCE };
    for conventions in [early, Conventions::REFERENCE] {
        let design = RuleDesign::new(&RuleSet::western_electric().with_conventions(conventions)).unwrap();
        for mean in [0.0, 0.6, 2.0] {
            agree(&format!("WE 1-4 at {mean}"), simulated(shewhart(&design), mean, 20_000, 1), design.average(mean).unwrap());
        }
    }
}

#[test]
fn every_zone_rule_signals_as_often_as_computed() {
    use Rule::*;
    let rules = RuleSet::only(&[Nelson1, Nelson2, Nelson5, Nelson6, Nelson7, Nelson8]);
    for conventions in [Conventions::REFERENCE, Conventions::RSPC] {
        let design = RuleDesign::new(&rules.with_conventions(conventions)).unwrap();
        for mean in [0.0, 1.0] {
            agree(&format!("Nelson 1, 2, 5-8 at {mean}"), simulated(shewhart(&design), mean, 20_000, 2), design.average(mean).unwrap());
        }
    }
    for rule in [Nelson7, Nelson8] {
        let design = RuleDesign::new(&RuleSet::only(&[rule])).unwrap();
        agree(&format!("{rule} alone"), simulated(shewhart(&design), 0.0, 1_500, 3), design.average(0.0).unwrap());
    }
}

#[test]
fn cusum_and_ewma_signal_as_often_as_computed() {
    let design = CusumDesign::for_run_length(0.5, 370.0, CusumSides::Both).unwrap();
    for mean in [0.0, 0.75] {
        agree(&format!("CUSUM at {mean}"), simulated(cusum(&design), mean, 8_000, 4), design.average(mean).unwrap());
    }
    let fixed = EwmaDesign::new(0.1, 2.5, EwmaSides::Both).unwrap();
    let exact = fixed.with_limits(EwmaLimits::Exact).unwrap();
    for mean in [0.0, 0.75] {
        agree("EWMA, fixed limits", simulated(ewma(&fixed, EwmaWidth::Asymptotic), mean, 8_000, 5), fixed.average(mean).unwrap());
        agree("EWMA, exact limits", simulated(ewma(&exact, EwmaWidth::Exact), mean, 8_000, 6), exact.average(mean).unwrap());
    }
}

/// "At most one false stop in ten shifts at 30 pieces a minute": 144 000 pieces between false stops.
#[test]
fn a_budget_for_false_stops_is_met() {
    let budget = FalseStopBudget::one_in(10.0, 30.0);
    let runs = 150;
    for plan in budget.plans(1.0).unwrap() {
        let (average, error) = match &plan.chart {
            AlarmChart::Shewhart(design) => simulated(shewhart(design), 0.0, runs, 7),
            AlarmChart::Ewma(design) => simulated(ewma(design, EwmaWidth::Asymptotic), 0.0, runs, 8),
            AlarmChart::Cusum(design) => simulated(cusum(design), 0.0, runs, 9),
            other => panic!("{other:?}"),
        };
        println!("one false stop in {:.2} shifts, found after {:.1} points: {:?}", average / 14_400.0, plan.delay_points, plan.chart);
        agree("pieces between false stops", (average, error), 144_000.0);
        assert!((plan.false_stops_per_shift() - 0.1).abs() < 1e-9);
    }
}
