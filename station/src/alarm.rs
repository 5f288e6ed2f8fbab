//! From the control plan's words to the parameters of alarm charts: how many false stops the line can bear, and which shift
//! of which characteristic matters.
//!
//! Invariant: the charts of one plan share its budget, so that all of them together stop the line for nothing no more often
//! than it says.

use crate::recipe::Alarm;
use spc::alarm::AlarmChart;
pub use spc::alarm::{AlarmError, FalseStopBudget};

/// Which chart is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// The one that finds the shift soonest.
    Best,
    /// Limits alone.
    Shewhart,
    /// EWMA.
    Ewma,
    /// CUSUM.
    Cusum,
}

/// An alarm chart and what it promises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DesignedAlarm {
    /// Its parameters.
    pub alarm: Alarm,
    /// Points between false stops by this chart, on average.
    pub false_every_points: f64,
    /// Points until the shift is found, on average.
    pub delay_points: f64,
    /// The same in minutes.
    pub delay_minutes: f64,
}

/// The chart of this kind that keeps the budget and finds a shift of the mean by `shift` standard deviations of single values.
///
/// # Errors
/// [`AlarmError`]: a budget or a shift for which there is no chart, and what to change.
pub fn design(budget: &FalseStopBudget, kind: AlarmKind, shift: f64) -> Result<DesignedAlarm, AlarmError> {
    let wanted = |chart: &AlarmChart| match kind {
        AlarmKind::Best => true,
        AlarmKind::Shewhart => matches!(chart, AlarmChart::Shewhart(_)),
        AlarmKind::Ewma => matches!(chart, AlarmChart::Ewma(_)),
        AlarmKind::Cusum => matches!(chart, AlarmChart::Cusum(_)),
    };
    // The plans are ordered, the quickest first.
    let plan = budget.plans(shift)?.into_iter().find(|plan| wanted(&plan.chart)).ok_or(AlarmError::NotConverged)?;
    let alarm = match &plan.chart {
        AlarmChart::Ewma(ewma) => Alarm::Ewma { lambda: ewma.weight(), width: ewma.width() },
        AlarmChart::Cusum(cusum) => Alarm::Cusum { shift: 2.0 * cusum.reference(), interval: cusum.interval() },
        AlarmChart::Shewhart(rules) => Alarm::Shewhart { width: 3.0 * rules.stretch() },
        _ => return Err(AlarmError::NotConverged),
    };
    let (false_every_points, delay_points, delay_minutes) = (plan.false_every_points, plan.delay_points, plan.delay_minutes());
    Ok(DesignedAlarm { alarm, false_every_points, delay_points, delay_minutes })
}
