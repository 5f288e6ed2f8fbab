//! From a picture and a plan to measurements with their uncertainty.
//!
//! Uncertainties are standard uncertainties after JCGM 100:2008 (GUM): scatter of the edges (type A) and scale, edge bias and
//! pose (type B) are combined as the root of the sum of squares (5.1.2). Expanded uncertainty is with k = 2, about 95 %.

use super::GaugeError;
use super::blob::Blob;
use super::edge::Grey;
use super::geometry::{Circle, Line, Point};
use super::outline::Outline;
use super::plan::{Calibrate, FrameOf, Measure, PinSize, Plan, Tool};
use super::resting::{Sizes, Solved};
use super::rule::{self, Read};
use super::scale::Scale;
use super::tools::{self, Stand};
use std::sync::Arc;

/// One measured size.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Its name in the plan: the tag under which it is charted.
    pub name: Arc<str>,
    /// The value, finite.
    pub value: f64,
    /// Its unit: `mm` or `deg`.
    pub unit: &'static str,
    /// Standard uncertainty in the same unit, above 0.
    pub uncertainty: f64,
}

impl Measurement {
    /// Expanded uncertainty, k = 2: the true value is within the value plus or minus this in about 95 of 100 cases.
    #[must_use]
    pub fn expanded(&self) -> f64 {
        2.0 * self.uncertainty
    }
}

/// What was found, for the overlay.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawn {
    /// A straight edge between two places.
    Segment(Point, Point),
    /// A circle.
    Circle(Circle),
    /// Single edge points.
    Dots(Vec<Point>),
}

/// What one picture gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The sizes in the plan's order; what cannot be measured is an error.
    pub sizes: Vec<Result<Measurement, GaugeError>>,
    /// Pixels per millimetre.
    pub scale: Scale,
    /// The rule's graduations, if there is a rule.
    pub rule: Vec<Read>,
    /// What was found, for the overlay.
    pub drawn: Vec<Drawn>,
}

/// A plan that is ready to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    plan: Plan,
}

/// A value with its standard uncertainty, before it has a name.
struct Value {
    value: f64,
    uncertainty: f64,
}

/// What the picture shows before any tool is used.
struct Scene<'a> {
    grey: Grey<'a>,
    scale: Scale,
    stand: Stand,
    pin: Option<Result<(Outline, Option<Solved>), GaugeError>>,
    edge: f64,
    drawn: Vec<Drawn>,
}

impl Gauge {
    /// For one plan.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self { plan }
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Measures everything in one picture.
    ///
    /// # Errors
    /// If there is no scale or no part; a single size that cannot be measured is an error in its place.
    pub fn measure<'a>(&self, picture: impl Into<Grey<'a>>) -> Result<Measured, GaugeError> {
        let grey = picture.into();
        let (scale, rule) = self.calibrate(grey)?;
        let barriers: Vec<_> = rule.iter().map(|read| (read.edge, read.inwards)).collect();
        let blob = self.plan.locate.as_ref().map(|locate| Blob::find(grey, locate, &barriers)).transpose()?;
        let stand = match (&blob, self.plan.frame) {
            (Some(blob), FrameOf::Part) => Stand { origin: blob.middle, along: blob.along },
            _ => Stand::PICTURE,
        };
        let half = |side: usize| side as f64 / 2.0;
        let centre = Point::new(half(grey.width), half(grey.height));
        let pin = blob.as_ref().zip(self.plan.headed_pin.as_ref()).map(|(blob, pin)| {
            Outline::trace(grey, blob).map(|outline| {
                let solved = Solved::new(&outline, &scale, centre, pin);
                (outline, solved)
            })
        });
        let mut drawn: Vec<_> = rule.iter().map(|read| segment(&read.edge, 400.0)).collect();
        if let Some(Ok((outline, _))) = &pin {
            drawn.extend(trace(outline));
        }
        let edge = self.plan.edge_uncertainty_pixels;
        let mut scene = Scene { grey, scale, stand, pin, edge, drawn };
        let sizes = self.plan.measure.iter().map(|measure| Self::one(&mut scene, measure)).collect();
        Ok(Measured { sizes, scale, rule, drawn: scene.drawn })
    }

    fn calibrate(&self, grey: Grey<'_>) -> Result<(Scale, Vec<Read>), GaugeError> {
        match &self.plan.calibrate {
            Calibrate::Fixed { mm_per_pixel, relative_uncertainty } => {
                Ok((Scale::even(1.0 / mm_per_pixel, *relative_uncertainty), Vec::new()))
            }
            Calibrate::Target { width, distance_mm, uncertainty_mm } => {
                let pair = tools::pair(grey, &Stand::PICTURE, width).map_err(GaugeError::Target)?;
                let seen = pair.width();
                let doubt = pair.error().hypot(self.plan.edge_uncertainty_pixels * 2.0_f64.sqrt()) / seen;
                Ok((Scale::even(seen / distance_mm, doubt.hypot(uncertainty_mm / distance_mm)), Vec::new()))
            }
            Calibrate::Rule { graduation } => rule::read(grey, graduation),
        }
    }

    fn one(scene: &mut Scene<'_>, measure: &Measure) -> Result<Measurement, GaugeError> {
        let name = || measure.name.to_string();
        let value = match &measure.tool {
            Tool::HeadedPin { size } => Self::pin(scene, *size, &name())?,
            tool => scene.tool(tool).map_err(|why| GaugeError::Size { name: name(), why })?,
        };
        if !value.value.is_finite() || !value.uncertainty.is_finite() || value.uncertainty <= 0.0 {
            return Err(GaugeError::Size { name: name(), why: "its fit has no finite value".to_owned() });
        }
        Ok(Measurement { name: Arc::clone(&measure.name), value: value.value, unit: measure.unit(), uncertainty: value.uncertainty })
    }

    fn pin(scene: &Scene<'_>, size: PinSize, name: &str) -> Result<Value, GaugeError> {
        let failed = |why: &str| GaugeError::Size { name: name.to_owned(), why: why.to_owned() };
        let (outline, solved) = scene.pin.as_ref().ok_or_else(|| failed("there is no [headed_pin]"))?.as_ref().map_err(Clone::clone)?;
        let solved = solved.as_ref().ok_or_else(|| failed("no resting part of any size has the outline that is seen"))?;
        let of: fn(&Sizes) -> f64 = match size {
            PinSize::Length => |sizes| sizes.length,
            PinSize::HeadDiameter => |sizes| sizes.head_diameter,
            PinSize::ShankDiameter => |sizes| sizes.shank_diameter,
            PinSize::HeadHeight => |sizes| sizes.head_height,
        };
        let (value, pose) = (of(&solved.sizes), solved.uncertainty(of));
        let scatter = match size {
            PinSize::Length => end_error(&outline.head).hypot(end_error(&outline.tail)),
            PinSize::HeadDiameter => outline.head_width.error,
            PinSize::ShankDiameter => outline.shank_width.error,
            // The shoulder is one place on the outline: no averaging.
            PinSize::HeadHeight => end_error(&outline.head).hypot(1.0),
        };
        let edges = scatter.hypot(scene.edge * 2.0_f64.sqrt()) / scene.scale.at(outline.origin);
        Ok(Value { value, uncertainty: edges.hypot(pose).hypot(value * scene.scale.relative) })
    }
}

impl Scene<'_> {
    /// The uncertainty in millimetres of a length between two edges.
    fn doubt(&self, millimetres: f64, error_pixels: f64, at: Point) -> f64 {
        let edges = error_pixels.hypot(self.edge * 2.0_f64.sqrt()) / self.scale.at(at);
        edges.hypot(millimetres * self.scale.relative)
    }

    fn tool(&mut self, tool: &Tool) -> Result<Value, String> {
        match tool {
            Tool::Width { caliper } => {
                let pair = tools::pair(self.grey, &self.stand, caliper)?;
                self.drawn.extend([segment(&pair.first, caliper.breadth), segment(&pair.second, caliper.breadth)]);
                let value = pair.width() / self.scale.at(pair.middle());
                Ok(Value { value, uncertainty: self.doubt(value, pair.error(), pair.middle()) })
            }
            Tool::Diameter { centre, radius, dark } => {
                let circle = tools::circle(self.grey, &self.stand, *centre, *radius, *dark)?;
                self.drawn.push(Drawn::Circle(circle));
                let value = 2.0 * circle.radius / self.scale.at(circle.middle);
                Ok(Value { value, uncertainty: self.doubt(value, 2.0 * circle.error, circle.middle) })
            }
            Tool::Angle { first, second } => {
                let lines =
                    [first, second].map(|straight| tools::straight(self.grey, &self.stand, straight).map(|line| (line, length(straight))));
                let [(a, a_long), (b, b_long)] = [lines[0].clone()?, lines[1].clone()?];
                self.drawn.extend([segment(&a, a_long), segment(&b, b_long)]);
                let value = a.along.dot(b.along).abs().min(1.0).acos().to_degrees();
                // An edge's bias may turn it by as much as it can differ from one end to the other.
                let bias = self.edge * 12.0_f64.sqrt();
                let turn = a.turn_error.hypot(b.turn_error).hypot(bias / a_long).hypot(bias / b_long);
                Ok(Value { value, uncertainty: turn.to_degrees() })
            }
            Tool::Distance { point, line } => {
                let a = tools::straight(self.grey, &self.stand, point)?;
                let b = tools::straight(self.grey, &self.stand, line)?;
                self.drawn.extend([segment(&a, length(point)), segment(&b, length(line))]);
                let at = (a.middle + b.middle) * 0.5;
                let value = b.distance(a.middle).abs() / self.scale.at(at);
                let lever = (a.middle - b.middle).dot(b.along).abs() * b.turn_error;
                Ok(Value { value, uncertainty: self.doubt(value, a.error.hypot(b.error).hypot(lever), at) })
            }
            Tool::HeadedPin { .. } => Err("it is no tool of one place".to_owned()),
        }
    }
}

fn length(straight: &super::plan::Straight) -> f64 {
    (straight.to[0] - straight.from[0]).hypot(straight.to[1] - straight.from[1])
}

/// Standard error of an end's place in pixels: neighbouring scan lines share pixels, so one in three counts.
fn end_error(end: &[(f64, f64)]) -> f64 {
    let places: Vec<f64> = end.iter().map(|edge| edge.1).collect();
    let middle = super::geometry::median(&places).unwrap_or(0.0);
    let scatter = 1.4826 * super::geometry::median(&places.iter().map(|place| (place - middle).abs()).collect::<Vec<_>>()).unwrap_or(0.0);
    1.2533 * scatter.max(0.05) / (places.len() as f64 / 3.0).max(1.0).sqrt()
}

fn segment(line: &Line, length: f64) -> Drawn {
    Drawn::Segment(line.middle - line.along * (length / 2.0), line.middle + line.along * (length / 2.0))
}

fn trace(outline: &Outline) -> [Drawn; 5] {
    let across = outline.along.turned();
    let place = |aside: f64, at: f64| outline.origin + across * aside + outline.along * at;
    let dots = |end: &[(f64, f64)]| Drawn::Dots(end.iter().map(|(aside, at)| place(*aside, *at)).collect());
    let (head, tail) = (Outline::middle(&outline.head), Outline::middle(&outline.tail));
    let half = outline.head_width.value / 2.0;
    let side = |half: f64| Drawn::Segment(place(half, head), place(half, outline.shoulder));
    [dots(&outline.head), dots(&outline.tail), Drawn::Segment(place(0.0, head), place(0.0, tail)), side(half), side(-half)]
}
