//! What the control plan promises: limits that are given, and alarms whose width follows from a budget for false stops.

use super::{parse, sample_with};
use station::recipe::{Alarm, Characteristic, Counting, GivenLimits, Pattern, Source, Spread};

const CHART: &str = "reaction = \"Check squeegee pressure and stencil wiping; measure three boards by hand.\"";
const STOPS: &str = "\n[false_stops]\nshifts = 10\npieces_per_minute = 30\n";

/// The sample without the alarm that it shows.
const PLAIN: [(&str, &str); 3] = [
    ("limits = { centre = 120.0, sigma = 2.0 }\n", ""),
    ("alarm = { shift = 1.0 }\n", ""),
    ("[false_stops]\nshifts = 10\nshift_minutes = 480\npieces_per_minute = 60\n", ""),
];

pub(super) fn plain_with(changes: &[(&str, &str)]) -> String {
    sample_with(&[&PLAIN, changes].concat())
}

fn with(more: &str, stops: &str) -> Result<Vec<Characteristic>, String> {
    let text = plain_with(&[(CHART, &format!("{CHART}\n{more}")), ("\n[stop_policy]", &format!("{stops}\n[stop_policy]"))]);
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
    let share = plain_with(&[("kind = \"reject_share\"", "kind = \"reject_share\"\nalarm = { shift = 1.0 }")]);
    assert!(parse(&share).expect_err("a share").to_string().contains("a point of this chart is made of many"));
    let rate = plain_with(&[("kind = \"reject_share\"", "kind = \"reject_share\"\nlimits = { centre = 0.02 }")]);
    let plan = parse(&rate).unwrap_or_else(|problems| panic!("{problems}")).characteristics;
    assert!(plan.iter().any(|chart| chart.limits == Some(GivenLimits { centre: 0.02, sigma: None })));
}

#[test]
fn charts_and_rules_of_the_trade_are_known_by_name() {
    let individuals = "kind = \"individuals\"\ntag = \"paste_height\"";
    let averages = "kind = \"averages\"\ntag = \"paste_height\"\nsubgroup = 5\nspread = \"range\"";
    let rules = "rules = { nelson = [1, 2, 3, 5, 6], western_electric = [] }";
    let more = "rules = { nelson = [1, 2], westgard = [\"R-4s\", \"10x\"], pattern = [2] }\ncounting = \"aiag\"\nspread_rules = { nelson = [1] }\n\
                pattern = [{ points = 2, of = 2, beyond_sigma = 2.0 }, { points = 3, of = 4, beyond_sigma = 1.5, sides = \"any\" }]";
    let text = plain_with(&[(individuals, averages), (rules, more)]);
    let plan = parse(&text).unwrap_or_else(|problems| panic!("{problems}")).characteristics;
    let chart = &plan[0];
    let Source::Averages { subgroup: 5, spread: Spread::Range, ref tag, .. } = chart.source else { panic!("{:?}", chart.source) };
    assert_eq!((&**tag, chart.counting), ("paste_height", Counting::Aiag));
    assert_eq!((chart.rules.westgard.join(" "), &chart.rules.patterns[..]), ("R-4s 10x".to_owned(), &[2][..]));
    assert_eq!(chart.patterns[1], Pattern { points: 3, of: 4, beyond_sigma: 1.5, any_side: true });
    assert_eq!(chart.spread_rules.as_ref().map(|rules| &rules.nelson[..]), Some(&[1][..]));

    let told = |from: &str, to: &str| parse(&plain_with(&[(from, to)])).expect_err(to).to_string();
    assert!(told(rules, "rules = { nelson = [1, 2], westgard = [\"3-1s\"] }").contains("`3-1s` is no rule of Westgard's"));
    assert!(told(rules, "rules = { nelson = [1, 2], pattern = [1] }").contains("there is no pattern 1"));
    assert!(told(rules, &more.replace("points = 2", "points = 3")).contains("3 of 2 points"));
    assert!(told(individuals, &averages.replace("= 5", "= 1")).contains("subgroup"));
    let stop = "stop_rules = { nelson = [1] }\nstop_after_points = 2";
    assert!(
        told(stop, "stop_rules = { westgard = [\"10x\"] }\nstop_after_points = 2").contains("rule 10x stops the line but is not among")
    );
    let laney = "kind = \"reject_share\"\noverdispersed = true";
    assert!(parse(&plain_with(&[("kind = \"reject_share\"", laney)])).is_ok());
    assert!(told("kind = \"reject_share\"", &format!("{laney}\nlimits = {{ centre = 0.02 }}")).contains("overdispersed"));
}
