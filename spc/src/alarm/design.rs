//! From "at most one false stop in ten shifts" to the parameters of a chart.
//!
//! A line that is stopped for nothing stops being listened to. The budget for false stops is therefore the input, in the
//! floor's own units, and limits follow from it; what is left to choose is which chart then finds the shift that matters
//! soonest.
//!
//! Invariants: every plan keeps the budget exactly (its in-control ARL is the one asked for, to 1e-9); plans are ordered by
//! delay, ties by the order Shewhart, EWMA, CUSUM.

use super::{AlarmError, CusumDesign, CusumSides, EwmaDesign, EwmaSides, RuleDesign, within};
use crate::rules::{Rule, RuleSet};

/// How many false stops a line can bear, and how often a chart gets to cause one.
///
/// `ARL = pieces in the budgeted shifts / pieces per sample × charts`: stops of independent charts add up, and correlated ones
/// stop the line less often than that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FalseStopBudget {
    /// At most one false stop in this many shifts, on average. Above 0.
    pub shifts: f64,
    /// Length of a shift, in minutes. 480 for eight hours.
    pub minutes_per_shift: f64,
    /// Pieces that pass per minute.
    pub pieces_per_minute: f64,
    /// Pieces from one charted point to the next; 1 where every piece is a point.
    pub pieces_per_point: f64,
    /// Charts on the line that can stop it.
    pub charts: u32,
}

impl FalseStopBudget {
    /// At most one false stop in `shifts` shifts of eight hours at `pieces_per_minute`, with one chart that sees every piece.
    #[must_use]
    pub const fn one_in(shifts: f64, pieces_per_minute: f64) -> Self {
        Self { shifts, minutes_per_shift: 480.0, pieces_per_minute, pieces_per_point: 1.0, charts: 1 }
    }

    /// The in-control ARL that each chart must have, in points.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for a field that is not finite or not above 0, or a budget outside 2 … 1e12 points.
    pub fn run_length(&self) -> Result<f64, AlarmError> {
        let fields = [
            ("the number of shifts", self.shifts),
            ("the minutes per shift", self.minutes_per_shift),
            ("the pieces per minute", self.pieces_per_minute),
            ("the pieces per point", self.pieces_per_point),
            ("the number of charts", f64::from(self.charts)),
        ];
        for (name, value) in fields {
            within(name, value, (1e-9, 1e12), "above 0 and at most 1e12")?;
        }
        let points = self.shifts * self.minutes_per_shift * self.pieces_per_minute / self.pieces_per_point * f64::from(self.charts);
        within("the number of points in the budget", points, (2.0, 1e12), "between 2 and 1e12: allow fewer or more false stops")
    }

    /// Every chart that keeps this budget, the one that finds a shift of the mean by `shift` standard deviations (of a point)
    /// soonest first: a Shewhart chart with its limits alone, CUSUMs and EWMAs tuned to the shift.
    ///
    /// # Errors
    /// [`AlarmError::Parameter`] for the budget or a shift outside 0.1 … 10 standard deviations; whatever the run lengths
    /// refuse.
    pub fn plans(&self, shift: f64) -> Result<Vec<AlarmPlan>, AlarmError> {
        within("the shift that matters", shift, (0.1, 10.0), "between 0.1 and 10 standard deviations")?;
        let run_length = self.run_length()?;
        let plan = |chart: AlarmChart| -> Result<AlarmPlan, AlarmError> {
            let (false_every, delay) = (chart.average(0.0)?, chart.average(shift)?);
            Ok(AlarmPlan { chart, false_every_points: false_every, delay_points: delay, budget: *self })
        };
        let limits_alone = RuleDesign::new(&RuleSet::only(&[Rule::WesternElectric1]))?;
        let mut plans = vec![plan(AlarmChart::Shewhart(limits_alone.for_run_length(run_length)?))?];
        plans.push(plan(AlarmChart::Ewma(best_ewma(run_length, shift)?))?);
        // Half the shift is the reference value of the sequential probability ratio test: Montgomery, section 9.1.3.
        let reference = (0.5 * shift).min(3.0);
        plans.push(plan(AlarmChart::Cusum(CusumDesign::for_run_length(reference, run_length, CusumSides::Both)?))?);
        plans.sort_by(|a, b| a.delay_points.total_cmp(&b.delay_points));
        Ok(plans)
    }

    /// The run rules of `rules` with their zones stretched until they keep this budget.
    ///
    /// # Errors
    /// [`AlarmError::Unreachable`] where no stretch does: a rule on the side of the centre, such as Western Electric 4, has a
    /// false stop in 255 points by itself. [`AlarmError::Combination`] for rules that have no zone chain.
    pub fn stretched_rules(&self, rules: &RuleSet, shift: f64) -> Result<AlarmPlan, AlarmError> {
        let chart = AlarmChart::Shewhart(RuleDesign::new(rules)?.for_run_length(self.run_length()?)?);
        let (false_every_points, delay_points) = (chart.average(0.0)?, chart.average(shift)?);
        Ok(AlarmPlan { chart, false_every_points, delay_points, budget: *self })
    }
}

/// A chart with parameters.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AlarmChart {
    /// A Shewhart chart of a rule set; its limits are at three times the stretch, in standard errors.
    Shewhart(RuleDesign),
    /// An EWMA with fixed limits.
    Ewma(EwmaDesign),
    /// A tabular CUSUM.
    Cusum(CusumDesign),
}

impl AlarmChart {
    /// Expected number of points until a signal when the mean is off by `mean` standard deviations from the start.
    ///
    /// # Errors
    /// Those of the chart.
    pub fn average(&self, mean: f64) -> Result<f64, AlarmError> {
        match self {
            Self::Shewhart(rules) => rules.average(mean),
            Self::Ewma(ewma) => ewma.average(mean),
            Self::Cusum(cusum) => cusum.average(mean),
        }
    }
}

/// One chart, and what it promises.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmPlan {
    /// The chart with its parameters.
    pub chart: AlarmChart,
    /// In-control ARL: points between false stops, on average.
    pub false_every_points: f64,
    /// ARL after the shift that matters: points until it is found, on average, from the chart's start.
    pub delay_points: f64,
    budget: FalseStopBudget,
}

impl AlarmPlan {
    /// Minutes until the shift that matters is found, on average.
    #[must_use]
    pub fn delay_minutes(&self) -> f64 {
        self.delay_points * self.budget.pieces_per_point / self.budget.pieces_per_minute
    }

    /// False stops per shift, all charts together.
    #[must_use]
    pub fn false_stops_per_shift(&self) -> f64 {
        let points = self.budget.minutes_per_shift * self.budget.pieces_per_minute / self.budget.pieces_per_point;
        points * f64::from(self.budget.charts) / self.false_every_points
    }
}

/// Weights that are told apart on the floor; between neighbours the delay changes by a few percent. Over the weight the delay
/// falls to one least value and rises again, so the search ends where it has begun to rise.
const WEIGHTS: [f64; 9] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8];

fn best_ewma(run_length: f64, shift: f64) -> Result<EwmaDesign, AlarmError> {
    let mut best: Option<(f64, EwmaDesign)> = None;
    for weight in WEIGHTS {
        let design = EwmaDesign::new(weight, 3.0, EwmaSides::Both)?.for_run_length(run_length)?;
        let delay = design.average(shift)?;
        if best.is_some_and(|(shortest, _)| delay > shortest) {
            break;
        }
        best = Some((delay, design));
    }
    best.map(|(_, design)| design).ok_or(AlarmError::NotConverged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_counted_in_points() {
        let budget = FalseStopBudget::one_in(10.0, 30.0);
        assert_eq!(budget.run_length(), Ok(144_000.0));
        let subgroups = FalseStopBudget { pieces_per_point: 5.0, charts: 3, ..budget };
        assert_eq!(subgroups.run_length(), Ok(86_400.0));
        let nothing = FalseStopBudget { pieces_per_minute: 0.0, ..budget };
        assert!(matches!(nothing.run_length(), Err(AlarmError::Parameter { name: "the pieces per minute", .. })));
    }

    #[test]
    fn every_plan_keeps_the_budget_and_the_quickest_comes_first() {
        let budget = FalseStopBudget::one_in(10.0, 30.0);
        let plans = budget.plans(1.0).unwrap();
        assert_eq!(plans.len(), 3);
        for plan in &plans {
            assert!((plan.false_every_points / 144_000.0 - 1.0).abs() < 1e-9, "{plan:?}");
            assert!((plan.false_stops_per_shift() - 0.1).abs() < 1e-9);
            assert!(plan.delay_minutes() > 0.0);
        }
        assert!(plans.windows(2).all(|pair| pair[0].delay_points <= pair[1].delay_points));
        // One standard deviation is small: a Shewhart chart with such wide limits finds it last.
        assert!(matches!(plans[2].chart, AlarmChart::Shewhart(_)), "{plans:?}");
        // Six are large: there it is as good as any.
        let large = budget.plans(6.0).unwrap();
        assert!(large[0].delay_points < 1.2, "{large:?}");
    }

    #[test]
    fn rules_that_cannot_keep_a_budget_say_so() {
        let budget = FalseStopBudget::one_in(1.0, 30.0);
        assert!(matches!(budget.stretched_rules(&RuleSet::western_electric(), 1.0), Err(AlarmError::Unreachable { .. })));
        let rules = RuleSet::only(&[Rule::WesternElectric1, Rule::WesternElectric2]);
        let plan = budget.stretched_rules(&rules, 1.0).unwrap();
        assert!((plan.false_every_points / 14_400.0 - 1.0).abs() < 1e-9);
    }
}
