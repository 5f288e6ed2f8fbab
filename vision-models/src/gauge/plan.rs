//! The gauge plan: how a picture becomes measured sizes, as a quality engineer writes it down.
//!
//! Invariant: a `Plan` that came out of `parse` names every size once, has finite numbers in their ranges, and asks only for
//! what it also says how to find. All places are in pixels: of the picture, or with `frame = "part"` from the part's middle
//! along its axis and across it.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A gauge plan.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this layout; 1.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// Where millimetres come from.
    pub calibrate: Calibrate,
    /// How the part is found; not needed if every tool stands at a place of the picture.
    pub locate: Option<Locate>,
    /// The places below are of the picture, or of the part.
    #[serde(default)]
    pub frame: FrameOf,
    /// Standard uncertainty of one edge's place that no averaging takes away (blur on one side, light from one side).
    #[serde(default = "edge_uncertainty")]
    pub edge_uncertainty_pixels: f64,
    /// The part is a turned part with a head that lies on a table.
    pub headed_pin: Option<HeadedPin>,
    /// What is measured.
    pub measure: Vec<Measure>,
}

const fn edge_uncertainty() -> f64 {
    0.1
}

/// Whose coordinates places are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameOf {
    /// The picture's: origin at its top left corner.
    #[default]
    Picture,
    /// The part's: origin at its middle, x along its axis, y across it.
    Part,
}

/// Where millimetres come from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Calibrate {
    /// Measured once: camera and part keep their distance.
    Fixed {
        /// Millimetres per pixel.
        mm_per_pixel: f64,
        /// Its relative standard uncertainty.
        relative_uncertainty: f64,
    },
    /// A thing of known width that lies in every picture.
    Target {
        /// How its width is measured, in picture coordinates.
        width: Caliper,
        /// Its width.
        distance_mm: f64,
        /// Standard uncertainty of its width.
        uncertainty_mm: f64,
    },
    /// A steel rule that lies in every picture.
    Rule {
        /// Its graduations; a second one gives the change of scale across the rule.
        graduation: Vec<Graduation>,
    },
}

/// A graduation along a rule's edge.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graduation {
    /// Where the edge is: left, top, right, bottom in pixels.
    pub search: [f64; 4],
    /// On which side of its edge the rule is.
    pub rule: Side,
    /// The rule is darker than what is beside it.
    #[serde(default = "yes")]
    pub rule_is_dark: bool,
    /// Distance of ticks in millimetres.
    pub pitch_mm: f64,
    /// Their distance in pixels lies between these two.
    pub pitch_pixels: (f64, f64),
}

const fn yes() -> bool {
    true
}

/// A side of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Towards the bottom of the picture.
    Below,
    /// Towards its top.
    Above,
    /// Towards its left.
    Left,
    /// Towards its right.
    Right,
}

/// How the part is found: the largest dark (or bright) area.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locate {
    /// Where it is looked for: left, top, right, bottom in pixels.
    pub region: [f64; 4],
    /// The part is darker than its background.
    pub part_is_dark: bool,
    /// Threshold between the part's grey level (0) and the background's (1).
    #[serde(default = "half")]
    pub threshold_share: f64,
    /// A smaller area is no part.
    pub area_pixels_min: f64,
}

const fn half() -> f64 {
    0.5
}

/// A turned part with a head that lies on a table under a camera: what its outline alone does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadedPin {
    /// From the camera's entrance pupil to the calibrated plane.
    pub standoff_mm: f64,
    /// Its relative standard uncertainty.
    pub standoff_relative_uncertainty: f64,
    /// The calibrated plane (the rule's face) is this far above the table.
    pub datum_height_mm: f64,
    /// Its standard uncertainty.
    pub datum_height_uncertainty_mm: f64,
    /// How much of the tilt that head, shank and a flat table give is seen: 0 lies flat, 1 rests on sharp rims.
    pub rest_share: f64,
    /// Its standard uncertainty.
    pub rest_share_uncertainty: f64,
    /// Bevel of the head's free end, as a share of the shank's diameter (ISO 4762: at most 0.1).
    pub head_break: f64,
    /// Bevel of the shank's free end, as a share of its diameter.
    pub end_break: f64,
    /// Height of the collar below the head's widest part, as a share of the shank's diameter.
    pub collar: f64,
}

/// A size of a headed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinSize {
    /// From the head's free end to the shank's.
    Length,
    /// Of the head.
    HeadDiameter,
    /// Of the shank, over its crests.
    ShankDiameter,
    /// Of the head, along the axis.
    HeadHeight,
}

/// Scan lines from one place to another, repeated side by side.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caliper {
    /// Where the scan line in the middle begins: x, y.
    pub from: [f64; 2],
    /// Where it ends.
    pub to: [f64; 2],
    /// Scan lines lie side by side over this many pixels.
    pub breadth: f64,
    /// What lies between the two edges is dark.
    pub dark: bool,
}

/// A straight edge that is looked for beside an expected line.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Straight {
    /// One end of the expected line: x, y.
    pub from: [f64; 2],
    /// Its other end.
    pub to: [f64; 2],
    /// Scan lines reach this many pixels to both sides.
    pub reach: f64,
}

/// How a size is measured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Tool {
    /// Distance of two opposite edges, in mm.
    Width {
        /// The scan lines.
        caliper: Caliper,
    },
    /// Of a circle, in mm.
    Diameter {
        /// Expected middle: x, y.
        centre: [f64; 2],
        /// Its edge lies between these radii.
        radius: (f64, f64),
        /// The circle's inside is dark.
        dark: bool,
    },
    /// Between two straight edges, in deg, 0 to 90.
    Angle {
        /// One edge.
        first: Straight,
        /// The other.
        second: Straight,
    },
    /// From the middle of one straight edge to the line of another, in mm.
    Distance {
        /// The edge whose middle is taken.
        point: Straight,
        /// The edge that is the line.
        line: Straight,
    },
    /// A size of the headed part, in mm.
    HeadedPin {
        /// Which.
        size: PinSize,
    },
}

/// One measured size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Its name: the tag under which it is charted.
    pub name: Arc<str>,
    /// What it should be, in its unit.
    pub nominal: Option<f64>,
    /// How far it may be from that, both ways.
    pub tolerance: Option<f64>,
    /// How it is measured.
    pub tool: Tool,
}

impl Measure {
    /// Its unit, as UCUM writes it.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        if matches!(self.tool, Tool::Angle { .. }) { "deg" } else { "mm" }
    }
}

impl Plan {
    /// Reads and checks a plan.
    ///
    /// # Errors
    /// What is wrong, in one text: where it cannot be read, or everything that is out of range.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plan: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let problems = plan.problems();
        if problems.is_empty() { Ok(plan) } else { Err(problems.join("; ")) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut need = |good: bool, what: &str| {
            if !good {
                problems.push(what.to_owned());
            }
        };
        need(self.format == 1, "format must be 1");
        need(!self.measure.is_empty(), "there must be a [[measure]]");
        let names: BTreeSet<_> = self.measure.iter().map(|measure| &measure.name).collect();
        need(
            names.len() == self.measure.len() && names.iter().all(|name| !name.trim().is_empty()),
            "measure names must differ and not be empty",
        );
        need(positive(self.edge_uncertainty_pixels, 5.0), "edge_uncertainty_pixels must be above 0 and at most 5");
        need(self.frame == FrameOf::Picture || self.locate.is_some(), "frame = \"part\" needs [locate]");
        self.calibrate.check(&mut need);
        if let Some(locate) = &self.locate {
            need(is_box(&locate.region), "locate.region must be left, top, right, bottom, in this order, in pixels");
            need((0.1..=0.9).contains(&locate.threshold_share), "locate.threshold_share must be 0.1 to 0.9");
            need(positive(locate.area_pixels_min, 1e9), "locate.area_pixels_min must be above 0");
        }
        if let Some(pin) = &self.headed_pin {
            need(self.locate.is_some(), "[headed_pin] needs [locate]");
            need(positive(pin.standoff_mm, 1e5), "headed_pin.standoff_mm must be above 0, at most 100000");
            need((-1e4..1e4).contains(&pin.datum_height_mm), "headed_pin.datum_height_mm must be -10000 to 10000");
            need((0.0..=1.0).contains(&pin.rest_share), "headed_pin.rest_share must be 0 to 1");
            let share = |value: f64| (0.0..=0.45).contains(&value);
            need(
                share(pin.head_break) && share(pin.end_break) && share(pin.collar),
                "headed_pin.head_break, end_break and collar must be 0 to 0.45",
            );
            let doubts = [pin.standoff_relative_uncertainty, pin.datum_height_uncertainty_mm, pin.rest_share_uncertainty];
            need(doubts.iter().all(|doubt| doubt.is_finite() && *doubt >= 0.0), "uncertainties in [headed_pin] must be 0 or above");
        }
        for measure in &self.measure {
            let name = &measure.name;
            let tolerance = measure.tolerance.is_none_or(|tolerance| positive(tolerance, 1e6));
            need(tolerance && measure.nominal.is_none_or(f64::is_finite), &format!("{name}: tolerance must be above 0, nominal a number"));
            need(measure.tolerance.is_none() || measure.nominal.is_some(), &format!("{name}: a tolerance needs a nominal"));
            match &measure.tool {
                Tool::Width { caliper } => {
                    need(caliper.is_good(), &format!("{name}: the caliper must have a length and a breadth of 2 or more"))
                }
                Tool::Diameter { centre, radius, .. } => need(
                    centre.iter().all(|place| place.is_finite()) && positive(radius.0, 1e5) && radius.1 > radius.0 && radius.1 < 1e5,
                    &format!("{name}: radius must be the least and the greatest, above 0"),
                ),
                Tool::Angle { first, second } => {
                    need(first.is_good() && second.is_good(), &format!("{name}: both edges need a length and a reach"))
                }
                Tool::Distance { point, line } => {
                    need(point.is_good() && line.is_good(), &format!("{name}: both edges need a length and a reach"))
                }
                Tool::HeadedPin { .. } => need(self.headed_pin.is_some(), &format!("{name}: there is no [headed_pin]")),
            }
        }
        problems
    }
}

impl Calibrate {
    fn check(&self, need: &mut impl FnMut(bool, &str)) {
        match self {
            Self::Fixed { mm_per_pixel, relative_uncertainty } => {
                need(positive(*mm_per_pixel, 1e3), "calibrate.mm_per_pixel must be above 0");
                need((0.0..0.5).contains(relative_uncertainty), "calibrate.relative_uncertainty must be 0 to 0.5");
            }
            Self::Target { width, distance_mm, uncertainty_mm } => {
                need(width.is_good(), "calibrate.width must have a length and a breadth of 2 or more");
                need(positive(*distance_mm, 1e5), "calibrate.distance_mm must be above 0");
                need((0.0..*distance_mm).contains(uncertainty_mm), "calibrate.uncertainty_mm must be 0 or above, below the distance");
            }
            Self::Rule { graduation } => {
                need((1..=2).contains(&graduation.len()), "calibrate needs one or two [[calibrate.graduation]]");
                for graduation in graduation {
                    let (low, high) = graduation.pitch_pixels;
                    need(
                        is_box(&graduation.search),
                        "calibrate.graduation.search must be left, top, right, bottom, in this order, in pixels",
                    );
                    need(positive(graduation.pitch_mm, 1e4), "calibrate.graduation.pitch_mm must be above 0");
                    // Above its double a period is another tick's; below 2.5 pixels there are no ticks to be seen.
                    let good = low >= 2.5 && high > low && high < 2.0 * low;
                    need(
                        good,
                        "calibrate.graduation.pitch_pixels must be the least (2.5 or more) and the greatest (below twice the least)",
                    );
                }
            }
        }
    }
}

impl Caliper {
    fn is_good(&self) -> bool {
        is_long(self.from, self.to) && (2.0..1e4).contains(&self.breadth)
    }
}

impl Straight {
    fn is_good(&self) -> bool {
        is_long(self.from, self.to) && (4.0..1e4).contains(&self.reach)
    }
}

fn is_long(from: [f64; 2], to: [f64; 2]) -> bool {
    (8.0..1e5).contains(&(to[0] - from[0]).hypot(to[1] - from[1]))
}

fn positive(value: f64, most: f64) -> bool {
    value > 0.0 && value <= most
}

fn is_box(region: &[f64; 4]) -> bool {
    region.iter().all(|side| (0.0..=16_384.0).contains(side)) && region[0] < region[2] && region[1] < region[3]
}
