//! From "at most one false stop in 10 shifts at 30 pieces a minute" to charts: `cargo run -p spc --example alarm_design`.
//!
//! Every chart printed keeps that budget exactly; what differs is how soon each finds a mean that has moved by one standard
//! deviation. Run lengths are exact, none is simulated.

use spc::alarm::{AlarmChart, AlarmError, AlarmPlan, FalseStopBudget};
use spc::{Rule, RuleSet};

fn main() -> Result<(), AlarmError> {
    let budget = FalseStopBudget::one_in(10.0, 30.0);
    println!("10 shifts of 8 hours at 30 pieces a minute: one false stop in {} points", budget.run_length()?);
    for plan in budget.plans(1.0)? {
        print(&plan)?;
    }
    // Western Electric's rules 1 to 3 with their zones widened; rule 4 alone would stop the line every 255 points.
    let zones = RuleSet::only(&[Rule::WesternElectric1, Rule::WesternElectric2, Rule::WesternElectric3]);
    print(&budget.stretched_rules(&zones, 1.0)?)
}

fn print(plan: &AlarmPlan) -> Result<(), AlarmError> {
    let name = match &plan.chart {
        AlarmChart::Shewhart(rules) => format!("Shewhart, limits at {:.3} sigma", 3.0 * rules.stretch()),
        AlarmChart::Ewma(ewma) => format!("EWMA, lambda {}, limits at {:.3}", ewma.weight(), ewma.width()),
        AlarmChart::Cusum(cusum) => format!("CUSUM, k {}, h {:.3}", cusum.reference(), cusum.interval()),
        other => format!("{other:?}"),
    };
    println!("{name}");
    println!(
        "  {:.4} false stops a shift; one sigma is found in {:.1} points, {:.2} minutes",
        plan.false_stops_per_shift(),
        plan.delay_points,
        plan.delay_minutes()
    );
    for shift in [0.0, 0.5, 1.0, 2.0, 3.0] {
        println!("  ARL at {shift} sigma: {:.2}", plan.chart.average(shift)?);
    }
    Ok(())
}
