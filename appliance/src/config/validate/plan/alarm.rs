//! `[false_stops]` and `alarm = { … }` of a characteristic: how many false stops the line can bear, and which shifts matter.
//!
//! The parameters of the charts are computed here, once, so that the recipe carries numbers and the station decides nothing.

use crate::config::raw::Section;
use station::alarm::{AlarmKind, FalseStopBudget, design};
use station::recipe::{Alarm, Source};

/// Fewest single values from which the centre is known well enough for a chart that finds small shifts (order of magnitude of
/// W. A. Jensen and others, "Effects of parameter estimation on control chart properties", Journal of Quality Technology 38,
/// 2006, 349–364; table of L. A. Jones and others for an EWMA).
const LEARNT_FROM_MIN: u32 = 400;

/// Reads `[false_stops]`, whose budget the characteristics with an alarm share; `None` if there is none or it is wrong.
pub(super) fn budget(root: &Section<'_>, characteristics: &[Section<'_>]) -> Option<FalseStopBudget> {
    let section = root.optional_section("false_stops")?;
    let shifts = section.real("shifts", 0.01..=100_000.0);
    let minutes_per_shift = section.real_or("shift_minutes", 1.0..=1440.0, 480.0);
    let pieces_per_minute = section.real("pieces_per_minute", 0.01..=100_000.0);
    let charts = u32::try_from(characteristics.iter().filter(|section| section.has("alarm")).count()).ok()?;
    if charts == 0 {
        section.wrong_section("no characteristic has an alarm, so nothing is done with it", "add alarm = { … } to one, or remove this");
        return None;
    }
    let (shifts, minutes_per_shift, pieces_per_minute) = (shifts?, minutes_per_shift?, pieces_per_minute?);
    Some(FalseStopBudget { shifts, minutes_per_shift, pieces_per_minute, pieces_per_point: 1.0, charts })
}

/// Reads the alarm of a characteristic. `source` is `None` if it is not known what is charted.
pub(super) fn alarm(section: &Section<'_>, source: Option<&Source>, budget: Option<&FalseStopBudget>) -> Option<Option<Alarm>> {
    let Some(alarm) = section.optional_section("alarm") else { return Some(None) };
    let kinds = [("best", AlarmKind::Best), ("limits", AlarmKind::Shewhart), ("ewma", AlarmKind::Ewma), ("cusum", AlarmKind::Cusum)];
    let kind = alarm.choice_or("chart", &kinds, AlarmKind::Best);
    let shift = alarm.real("shift", 0.1..=10.0);
    if source.is_some_and(|source| !matches!(source, Source::Individuals { .. })) {
        section.wrong("alarm", "an alarm watches single values, and a point of this chart is made of many", "remove it");
        return None;
    }
    let learns = section.glance_whole::<u32>("phase_one_subgroups").filter(|_| !section.has("limits"));
    if let Some(few) = learns.filter(|learns| *learns < LEARNT_FROM_MIN) {
        let what = format!("limits learnt from {few} values are too uncertain: false stops would come many times as often as they may");
        section.wrong("alarm", what, format!("give `limits` of a study, or learn from {LEARNT_FROM_MIN} (phase_one_subgroups)"));
        return None;
    }
    let Some(budget) = budget else {
        let mend = "add [false_stops] with shifts and pieces_per_minute: at most one false stop in so many shifts";
        section.wrong("alarm", "how far its limits are follows from how many false stops the line can bear", mend);
        return None;
    };
    match design(budget, kind?, shift?) {
        Ok(designed) => Some(Some(designed.alarm)),
        Err(error) => {
            section.wrong("alarm", error.to_string(), "choose another chart, or change [false_stops]");
            None
        }
    }
}
