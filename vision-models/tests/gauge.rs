//! Gauging on drawn pictures whose sizes are known to a fraction of a pixel, and on photographs of screws beside a steel rule.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "grey levels are drawn from floats that were clamped")]

use proptest::prelude::*;
use std::path::Path;
use vision_models::gauge::{Gauge, Measured, Plan, draw, evaluate};
use vision_models::picture::Picture;

/// Deterministic noise, about standard normal: the sum of twelve even numbers of a small generator.
struct Noise(u64);

impl Noise {
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f64) / f64::from(1_u32 << 24)
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.even()).sum::<f64>() - 6.0
    }
}

/// Draws what `shade` says: grey level of a point, each pixel the mean of 4 × 4 points, then noise.
fn picture(width: u32, height: u32, noise: f64, shade: impl Fn(f64, f64) -> f64) -> Picture {
    let mut random = Noise(7);
    let mut pixels = Vec::new();
    for row in 0..height {
        for column in 0..width {
            let mut sum = 0.0;
            for part in 0..16_u32 {
                let (u, v) = (f64::from(part % 4) / 4.0 - 0.375, f64::from(part / 4) / 4.0 - 0.375);
                sum += shade(f64::from(column) + u, f64::from(row) + v);
            }
            pixels.push((sum / 16.0 + noise * random.normal()).round().clamp(0.0, 255.0) as u8);
        }
    }
    Picture::new(width, height, pixels).unwrap()
}

/// A blurred step: 0 far before `at`, 1 far behind it.
fn step(x: f64, at: f64, blur: f64) -> f64 {
    1.0 / (1.0 + (-(x - at) * 1.702 / blur).exp())
}

/// A dark bar between two edges.
fn bar(x: f64, left: f64, right: f64, blur: f64) -> f64 {
    200.0 - 150.0 * step(x, left, blur) * (1.0 - step(x, right, blur))
}

fn gauge(text: &str) -> Gauge {
    Gauge::new(Plan::parse(text).unwrap())
}

const FIXED: &str =
    "format = 1\nname = \"test\"\nsummary = \"\"\n[calibrate]\nkind = \"fixed\"\nmm_per_pixel = 0.1\nrelative_uncertainty = 0.001\n";

fn width_plan() -> Gauge {
    gauge(&format!(
        "{FIXED}[[measure]]\nname = \"width\"\ntool = {{ kind = \"width\", caliper = {{ from = [10, 60], to = [150, 60], breadth = 60, dark = true }} }}\n"
    ))
}

fn value(measured: &Measured, at: usize) -> (f64, f64) {
    let size = measured.sizes[at].as_ref().unwrap();
    (size.value, size.uncertainty)
}

#[test]
fn a_width_is_measured_to_a_twentieth_of_a_pixel_through_blur_and_noise() {
    let gauge = width_plan();
    for (number, blur) in [0.4, 0.8, 1.5, 2.5].into_iter().enumerate() {
        for noise in [0.0, 2.0, 6.0] {
            let (left, right) = (40.13 + 0.29 * number as f64, 101.4 + 0.17 * number as f64);
            let measured = gauge.measure(&picture(160, 120, noise, |x, _| bar(x, left, right, blur))).unwrap();
            let (width, uncertainty) = value(&measured, 0);
            let most = if blur > 2.0 { 0.01 } else { 0.005 };
            assert!((width - 0.1 * (right - left)).abs() < most, "blur {blur}, noise {noise}: {width} of {}", 0.1 * (right - left));
            assert!((0.001..0.05).contains(&uncertainty), "{uncertainty}");
        }
    }
}

#[test]
fn angle_distance_and_diameter_are_those_that_were_drawn() {
    let plan = gauge(&format!(
        "{FIXED}
[[measure]]
name = \"angle\"
tool = {{ kind = \"angle\", first = {{ from = [40, 30], to = [140, 30], reach = 12 }}, second = {{ from = [60, 90], to = [170, 129], reach = 16 }} }}
[[measure]]
name = \"distance\"
tool = {{ kind = \"distance\", point = {{ from = [80, 96], to = [120, 111], reach = 14 }}, line = {{ from = [40, 30], to = [140, 30], reach = 12 }} }}
[[measure]]
name = \"diameter\"
tool = {{ kind = \"diameter\", centre = [201, 59], radius = [18, 40], dark = true }}
"
    ));
    let turn = 20.0_f64.to_radians();
    let shade = |x: f64, y: f64| {
        // A strip whose upper side is level at 30.4 and whose lower side falls by 20 degrees through (100, 104.2).
        let lower = (y - 104.2) * turn.cos() - (x - 100.0) * turn.sin();
        let strip = step(y, 30.4, 0.8) * (1.0 - step(lower, 0.0, 0.8)) * (1.0 - step(x, 172.0, 0.8));
        let disc = 1.0 - step((x - 202.3).hypot(y - 58.6), 27.35, 0.8);
        200.0 - 150.0 * strip.max(disc)
    };
    let measured = plan.measure(&picture(250, 170, 2.0, shade)).unwrap();
    let (angle, doubt) = value(&measured, 0);
    assert!((angle - 20.0).abs() < 0.1 && doubt < 0.5, "{angle} ± {doubt}");
    let (distance, _) = value(&measured, 1);
    // Where the point's line is cut in its middle, column 100 of the plan.
    assert!((distance - 7.38).abs() < 0.03, "{distance}");
    let (diameter, doubt) = value(&measured, 2);
    assert!((diameter - 5.47).abs() < 0.005 && doubt < 0.05, "{diameter} ± {doubt}");
}

/// A rule below row `top`: ticks of `pitch(x)` phase, rotated by `turn`, with a second graduation at its lower edge.
fn with_rule(pixels_per_mm: f64, turn: f64, change: f64) -> Picture {
    let phase = move |u: f64| u * pixels_per_mm.recip() - change / (2.0 * pixels_per_mm * pixels_per_mm) * u * u;
    picture(640, 240, 2.0, move |x, y| {
        let (dx, dy) = (x - 320.0, y - 100.0);
        let (u, v) = (dx * turn.cos() + dy * turn.sin(), dy * turn.cos() - dx * turn.sin());
        let tick = (phase(u) * std::f64::consts::TAU).cos().max(0.3) - 0.3;
        let rule = 110.0 - if v < 30.0 { 60.0 * tick } else { 0.0 };
        200.0 + (rule - 200.0) * step(v, 0.0, 0.8)
    })
}

fn rule_plan() -> Gauge {
    gauge(
        "format = 1
name = \"rule\"
summary = \"\"
[calibrate]
kind = \"rule\"
[[calibrate.graduation]]
search = [20, 60, 620, 140]
rule = \"below\"
pitch_mm = 1.0
pitch_pixels = [6.5, 12.0]
[[measure]]
name = \"width\"
tool = { kind = \"width\", caliper = { from = [10, 60], to = [150, 60], breadth = 20, dark = true } }
",
    )
}

#[test]
fn a_rule_gives_the_scale_wherever_it_lies_and_however_it_is_turned() {
    let gauge = rule_plan();
    for (scale, turn, change) in [(9.6, 0.0, 0.0), (7.37, 0.02, 0.0), (10.91, -0.04, 0.0), (9.6, 0.03, 2e-4), (8.2, -0.01, -4e-4)] {
        let measured = gauge.measure(&with_rule(scale, turn, change)).unwrap();
        let at = measured.scale.at;
        let along = (at.x - 320.0) * turn.cos() + (at.y - 100.0) * turn.sin();
        let want = scale + change * along;
        assert!((measured.scale.value / want - 1.0).abs() < 1e-3, "{scale} {turn} {change}: {:?}", measured.scale);
        assert!((measured.scale.slope.x - change).abs() < 5e-5, "{change}: {:?}", measured.scale.slope);
        assert!(measured.scale.relative < 2e-3, "{:?}", measured.scale);
    }
}

#[test]
fn what_is_not_there_is_told_with_its_place_and_never_measured() {
    let empty = picture(640, 240, 2.0, |_, _| 180.0);
    let error = rule_plan().measure(&empty).unwrap_err().to_string();
    assert!(error.contains("no steel rule can be read in columns 20 to 620, rows 60 to 140"), "{error}");
    let plain = picture(640, 240, 2.0, |_, y| 200.0 - 90.0 * step(y, 100.0, 0.8));
    let error = rule_plan().measure(&plain).unwrap_err().to_string();
    assert!(error.contains("no graduation is seen beside the edge"), "{error}");
    let measured = width_plan().measure(&picture(160, 120, 2.0, |_, _| 180.0)).unwrap();
    let error = measured.sizes[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("width cannot be measured: only 0 of 61 scan lines see two edges"), "{error}");
}

#[test]
fn a_wrong_plan_is_told_whole() {
    let text = format!(
        "{FIXED}[[measure]]\nname = \"a\"\ntool = {{ kind = \"headed_pin\", size = \"length\" }}\n[[measure]]\nname = \"a\"\ntolerance = 1.0\ntool = {{ kind = \"diameter\", centre = [0, 0], radius = [9, 3], dark = true }}\n"
    );
    let error = Plan::parse(&text.replace("0.001", "7")).unwrap_err();
    for part in
        ["relative_uncertainty", "names must differ", "there is no [headed_pin]", "a tolerance needs a nominal", "radius must be the least"]
    {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(Plan::parse("format = 1\nnam = 2").unwrap_err().contains("nam"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A bar is as wide wherever it lies, however it is turned, and twice as wide at twice the scale.
    #[test]
    fn a_width_moves_turns_and_grows_with_its_bar(shift in -6.0..6.0_f64, turn in -0.3..0.3_f64, width in 25.0..60.0_f64) {
        let bar_at = |x: f64, y: f64, factor: f64| {
            let across = (x - 80.0 - shift) * turn.cos() + (y - 60.0) * turn.sin();
            bar(across, -factor * width / 2.0, factor * width / 2.0, 0.9)
        };
        let gauge = width_plan();
        let measured = gauge.measure(&picture(160, 120, 1.0, |x, y| bar_at(x, y, 1.0))).unwrap();
        let (one, _) = value(&measured, 0);
        prop_assert!((one - 0.1 * width).abs() < 0.008, "{one} of {}", 0.1 * width);
        let measured = gauge.measure(&picture(160, 120, 1.0, |x, y| bar_at(x, y, 1.5))).unwrap();
        let (more, _) = value(&measured, 0);
        prop_assert!((more / one - 1.5).abs() < 0.005, "{more} of {one}");
    }

    /// Whatever is in the picture, what is told is finite.
    #[test]
    fn no_picture_gives_a_value_that_is_no_number(seed in any::<u64>(), coarse in 1_u32..40) {
        let mut noise = Noise(seed);
        let levels: Vec<f64> = (0..400).map(|_| 255.0 * noise.even()).collect();
        let cell = |x: f64, y: f64| {
            let at = (x.max(0.0) as usize) / coarse as usize + 20 * ((y.max(0.0) as usize) / coarse as usize);
            levels[at % levels.len()]
        };
        let any = picture(160, 120, 0.0, cell);
        for gauge in [width_plan(), rule_plan(), screws()] {
            if let Ok(measured) = gauge.measure(&any) {
                for size in measured.sizes.into_iter().flatten() {
                    prop_assert!(size.value.is_finite() && size.uncertainty.is_finite() && size.uncertainty > 0.0);
                }
            }
        }
    }
}

fn screws() -> Gauge {
    gauge(&std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("gauges/screws.toml")).unwrap())
}

#[test]
fn screws_beside_a_steel_rule_are_measured_to_three_tenths_of_a_millimetre() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = shared.join("data/screw-gauging");
    if !folder.is_dir() {
        let must_run = std::env::var("CI").is_ok_and(|value| value == "true") && shared.is_dir();
        assert!(!must_run, "{} is missing, and with CI=true no test may be skipped for it", folder.display());
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let gauge = screws();
    let report = evaluate(&gauge, &folder, 0.3, &|| 0).unwrap();
    let length = report.summary.iter().find(|summary| summary.name == "overall_length").unwrap();
    assert_eq!(length.measured, length.pictures, "{report:?}");
    assert!(length.share_within >= 0.95, "{length:?}");
    let head = report.summary.iter().find(|summary| summary.name == "head_diameter").unwrap();
    assert!(head.share_within >= 0.95, "{head:?}");
    assert!(length.share_covered >= 0.9, "{length:?}");
    for repeat in &report.repeat {
        assert!(repeat.name == "head_height" || repeat.standard_deviation < 0.2, "{repeat:?}");
    }
    let picture = Picture::read(&folder.join(&report.pictures[0].file)).unwrap();
    let measured = gauge.measure(&picture).unwrap();
    assert_eq!(measured, gauge.measure(&picture).unwrap(), "the same pixels give the same values");
    assert_ne!(draw(&picture, &measured).unwrap(), picture);
}
