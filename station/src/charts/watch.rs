//! The alarm chart beside a chart with rules: it finds small shifts soonest, and its parameters keep the line's budget for
//! false stops.
//!
//! Invariants: it judges by the same frozen centre and sigma as the chart beside it, from the first point after they were
//! frozen, given or revised; after a release it starts on the centre again.

use crate::recipe::{Alarm, Characteristic};
use serde::{Deserialize, Serialize};
use spc::weighted::{Cusum, CusumSettings, Ewma, EwmaSettings, EwmaWidth, Process};
use spc::{ChartKind, Monitor};

/// One alarm chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Watch {
    Shewhart { lower: f64, upper: f64 },
    Ewma(Box<Ewma>),
    Cusum(Cusum),
}

impl Watch {
    /// The alarm chart of a characteristic, if it asks for one and there are limits.
    pub(super) fn of(characteristic: &Characteristic, monitor: &Monitor) -> Result<Option<Self>, String> {
        let limits = monitor.limits().filter(|limits| limits.chart == ChartKind::Individuals);
        let Some((alarm, limits)) = characteristic.alarm.zip(limits) else { return Ok(None) };
        let process = Process::given(limits.centre, limits.sigma).map_err(|error| error.to_string())?;
        Ok(Some(match alarm {
            Alarm::Shewhart { width } => {
                let (lower, upper) = (limits.centre - width * limits.sigma, limits.centre + width * limits.sigma);
                if !(lower.is_finite() && upper.is_finite() && width > 0.0) {
                    return Err("the width of the alarm must lie above 0".to_owned());
                }
                Self::Shewhart { lower, upper }
            }
            Alarm::Ewma { lambda, width } => {
                let settings = EwmaSettings { lambda, width, limits: EwmaWidth::Asymptotic, ..EwmaSettings::default() };
                Self::Ewma(Box::new(Ewma::new(process, settings).map_err(|error| error.to_string())?))
            }
            Alarm::Cusum { shift, interval } => {
                let settings = CusumSettings { shift, interval, ..CusumSettings::default() };
                Self::Cusum(Cusum::new(process, settings).map_err(|error| error.to_string())?)
            }
        }))
    }

    /// The name of the chart if it signals at this value.
    pub(super) fn push(&mut self, value: f64) -> Option<&'static str> {
        match self {
            Self::Shewhart { lower, upper } => (value < *lower || value > *upper).then_some("alarm limits"),
            Self::Ewma(ewma) => ewma.push(&[value]).ok().filter(|point| !point.signals.is_empty()).map(|_| "EWMA"),
            Self::Cusum(cusum) => cusum.push(&[value]).ok().filter(|point| point.upper_signal || point.lower_signal).map(|_| "CUSUM"),
        }
    }

    pub(super) fn restart(&mut self) {
        match self {
            Self::Shewhart { .. } => {}
            Self::Ewma(ewma) => ewma.restart(),
            Self::Cusum(cusum) => cusum.restart(),
        }
    }
}
