//! What the control plan promises: limits that are given, and alarms whose width follows from a budget for false stops.

use super::{parse, sample_with};
use station::recipe::{Alarm, Characteristic, GivenLimits};

const CHART: &str = "reaction = \"Check squeegee pressure and stencil wiping; measure three boards by hand.\"";
const STOPS: &str = "\n[false_stops]\nshifts = 10\npieces_per_minute = 30\n";

fn with(more: &str, stops: &str) -> Result<Vec<Characteristic>, String> {
    let text = sample_with(&[(CHART, &format!("{CHART}\n{more}")), ("\n[stop_policy]", &format!("{stops}\n[stop_policy]"))]);
    parse(&text).map(|settings| settings.characteristics).map_err(|problems| problems.to_string())
}

#[test]
fn limits_are_known_and_an_alarm_is_computed() {
    let known = "limits = { centre = 120.0, sigma = 2.5 }";
    let plan = with(&format!("{known}\nalarm = {{ shift = 1.0, chart = \"ewma\" }}"), STOPS).expect("a sound plan");
    assert_eq!(plan[0].limits, Some(GivenLimits { centre: 120.0, sigma: Some(2.5) }));
    let Some(Alarm::Ewma { lambda, width }) = plan[0].alarm else { panic!("{:?}", plan[0].alarm) };
    // Ten shifts of 480 minutes at 30 pieces a minute are 144 000 points: limits much wider than the 2.7 of a textbook.
    assert!((0.02..=0.4).contains(&lambda) && (3.5..5.5).contains(&width), "{lambda} {width}");
    let cusum = |stops: &str| match with(&format!("{known}\nalarm = {{ shift = 1.0, chart = \"cusum\" }}"), stops).expect("sound")[0].alarm
    {
        Some(Alarm::Cusum { shift, interval }) => (shift, interval),
        other => panic!("{other:?}"),
    };
    let ((shift, interval), (_, wider)) = (cusum(STOPS), cusum(&STOPS.replace("10", "100")));
    assert!((shift - 1.0).abs() < 1e-12 && interval > 5.0 && wider > interval + 1.0, "{interval} {wider}");
    assert!(with("phase_one = 1", "").expect_err("no such key").contains("phase_one"));
}

#[test]
fn an_alarm_that_cannot_keep_its_promise_is_refused() {
    let told = |more: &str, stops: &str| with(more, stops).expect_err(more);
    let known = "limits = { centre = 120.0, sigma = 2.5 }\n";
    assert!(told("alarm = { shift = 1.0 }", STOPS).contains("learnt from 25 values are too uncertain"));
    assert!(told(&format!("{known}alarm = {{ shift = 1.0 }}"), "").contains("add [false_stops]"));
    assert!(told("", STOPS).contains("no characteristic has an alarm"));
    assert!(told(&format!("{known}alarm = {{ shift = 0.0 }}"), STOPS).contains("alarm.shift"));
    assert!(told("limits = { centre = 120.0 }", "").contains("sigma"));
    assert!(told("limits = { centre = 120.0, sigma = 0.0 }", "").contains("limits.sigma"));
    let share = sample_with(&[("kind = \"reject_share\"", "kind = \"reject_share\"\nalarm = { shift = 1.0 }")]);
    assert!(parse(&share).expect_err("a share").to_string().contains("watches single values"));
    let rate = sample_with(&[("kind = \"reject_share\"", "kind = \"reject_share\"\nlimits = { centre = 0.02 }")]);
    let plan = parse(&rate).unwrap_or_else(|problems| panic!("{problems}")).characteristics;
    assert!(plan.iter().any(|chart| chart.limits == Some(GivenLimits { centre: 0.02, sigma: None })));
}
