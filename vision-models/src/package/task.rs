//! What a model does: a task says what comes out of its model, and how findings are made of that.
//!
//! Each task is a table of the manifest (`[task.compare]`, `[task.detect]` …); `decode` has the code that goes with it.

use super::copper::Copper;
use super::manifest::{ClassEntry, Input, Plane, Problems};
use serde::{Deserialize, Serialize};

/// What a model does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Compares a piece with a golden picture and boxes what differs.
    Compare(Boxes),
    /// Boxes faults on the picture of a piece alone.
    Detect(Boxes),
    /// Says of the whole picture what it shows.
    Classify(Classify),
    /// Draws the regions of faults.
    Segment(Segment),
    /// Says how far a piece is from the good pieces it was taught from, and where.
    Anomaly(Heat),
}

/// Scores of the whole picture: one finding, as large as the frame, for each class above the floor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classify {
    /// Name of the output: one score per label.
    pub scores: String,
    /// What the scores stand for, in their order: every class once, and kinds of good.
    pub labels: Vec<String>,
    /// What makes shares of the scores.
    #[serde(default)]
    pub activation: Activation,
    /// Shares below this are not even findings.
    pub floor: f32,
}

/// Scores per cell: neighbouring cells of one class are a region, and a region is a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Name of the output: one plane per label.
    pub map: String,
    /// What the planes stand for, in their order: every class once, and kinds of good. A cell is what its largest share says.
    pub labels: Vec<String>,
    /// What makes shares of the scores.
    #[serde(default)]
    pub activation: Activation,
    /// Pixels per cell.
    pub stride: u32,
    /// Cells whose largest share is below this belong to no region.
    pub floor: f32,
    /// Smaller regions are not findings, in square millimetres.
    #[serde(default)]
    pub area_min_mm2: f32,
    /// At most this many findings of one piece are kept, the best ones.
    pub findings_max: u32,
}

/// What makes shares, 0…1, of the numbers a model puts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// They are shares already.
    #[default]
    None,
    /// Each for itself.
    Sigmoid,
    /// All labels together make 1.
    Softmax,
}

/// A task whose finding is the hot part of a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heat {
    /// A piece whose score is below this has no finding at all.
    pub floor: f32,
    /// Name of the score of the whole piece: one number, 0…1.
    pub score: String,
    /// Name of the map: one plane, 0…1.
    pub heat: String,
    /// Pixels of the input per cell of the map.
    pub stride: u32,
}

/// A task whose findings are boxes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// Scores below this are not even findings.
    pub floor: f32,
    /// Of two findings of one class that overlap by more than this (intersection over union), the better one stays.
    pub nms_iou: f32,
    /// The same for findings of different classes: one place, one fault.
    pub nms_iou_across_classes: f32,
    /// At most this many findings of one piece are kept, the best ones.
    pub findings_max: u32,
    /// Names of a board's faults from its copper; the model's own where this is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copper: Option<Copper>,
    /// How the model puts boxes out.
    pub head: Head,
}

/// How a model puts boxes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Our own models: one cell per `stride` pixels in both directions.
    Grid(Grid),
    /// A YOLO-like export with its boxes decoded in the graph: one output, all levels in one row.
    Yolo(Yolo),
    /// The same after [`crate::cut`]: scores and raw sides, of which boxes are made only where there is a finding.
    YoloCut(YoloCut),
}

/// `[1, 4 + classes, cells]`: middle, width and height in pixels of the input, then scores 0…1; strides 8, 16 and 32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yolo {
    /// Name of the output.
    pub output: String,
}

/// `[1, classes, cells]` scores 0…1 and `[1, 64, cells]` logits, 16 for each of left, top, right and bottom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YoloCut {
    /// Name of the scores.
    pub scores: String,
    /// Name of the sides' logits.
    pub sides: String,
}

/// A grid of cells, each with a score per class and one box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Name of the scores: one plane per class, 0…1.
    pub scores: String,
    /// Name of the boxes: four planes, distance in pixels from the cell's middle to left, top, right and bottom.
    pub boxes: String,
    /// Pixels per cell.
    pub stride: u32,
}

impl Task {
    /// The task's name, as in the manifest.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Compare(_) => "compare",
            Self::Detect(_) => "detect",
            Self::Classify(_) => "classify",
            Self::Segment(_) => "segment",
            Self::Anomaly(_) => "anomaly",
        }
    }

    /// Scores below this are not even findings, so that no threshold may lie below it.
    #[must_use]
    pub const fn floor(&self) -> f32 {
        match self {
            Self::Compare(boxes) | Self::Detect(boxes) => boxes.floor,
            Self::Classify(classify) => classify.floor,
            Self::Segment(segment) => segment.floor,
            Self::Anomaly(heat) => heat.floor,
        }
    }

    /// True if every picture is looked at beside a golden one.
    #[must_use]
    pub const fn needs_golden(&self) -> bool {
        matches!(self, Self::Compare(_))
    }

    /// What is wrong with the task, and with the input for this task.
    pub(super) fn check(&self, input: &Input, classes: &[ClassEntry], problems: &mut Problems) {
        let planes: &[Plane] = if self.needs_golden() { &[Plane::Test, Plane::Golden] } else { &[Plane::Test] };
        let coloured = !self.needs_golden() && is_coloured(&input.planes);
        problems.need(input.planes == planes || coloured, || {
            let or = if self.needs_golden() { "" } else { ", or red, green and blue in any order" };
            format!("input.planes must be {} for the task {}{or}", names(planes), self.name())
        });
        let at = format!("task.{}", self.name());
        problems.share(self.floor(), &at, "floor");
        match self {
            Self::Compare(boxes) | Self::Detect(boxes) => {
                boxes.check(input, &at, problems);
                if let Some(copper) = &boxes.copper {
                    problems.need(self.needs_golden(), || {
                        format!("{at}.copper needs a golden picture, which the task {} has not", self.name())
                    });
                    copper.check(input, classes, &at, problems);
                }
            }
            Self::Classify(classify) => check_labels(&classify.labels, classes, &at, problems),
            Self::Segment(segment) => segment.check(input, classes, &at, problems),
            Self::Anomaly(heat) => problems.stride(heat.stride, input, &at),
        }
    }
}

impl Boxes {
    fn check(&self, input: &Input, at: &str, problems: &mut Problems) {
        problems.share(self.nms_iou, at, "nms_iou");
        problems.share(self.nms_iou_across_classes, at, "nms_iou_across_classes");
        problems.need((1..=10_000).contains(&self.findings_max), || format!("{at}.findings_max must be 1 to 10000"));
        match &self.head {
            Head::Grid(grid) => problems.stride(grid.stride, input, &format!("{at}.head.grid")),
            Head::Yolo(_) | Head::YoloCut(_) => {
                problems.need(input.multiple.is_multiple_of(32), || format!("{at}.head needs input.multiple to be a multiple of 32"));
            }
        }
    }
}

impl Segment {
    fn check(&self, input: &Input, classes: &[ClassEntry], at: &str, problems: &mut Problems) {
        check_labels(&self.labels, classes, at, problems);
        problems.stride(self.stride, input, at);
        let area = self.area_min_mm2;
        problems.need(area.is_finite() && area >= 0.0, || format!("{at}.area_min_mm2 must be 0 or more"));
        problems.need((1..=10_000).contains(&self.findings_max), || format!("{at}.findings_max must be 1 to 10000"));
    }
}

/// A label that is misspelt must not become a kind of good: then its class has no label.
fn check_labels(labels: &[String], classes: &[ClassEntry], at: &str, problems: &mut Problems) {
    for class in classes {
        let count = labels.iter().filter(|label| **label == class.name).count();
        problems.need(count == 1, || format!("{at}.labels must have the class {} once, it is there {count} times", class.name));
    }
    problems.need(labels.len() <= 1000, || format!("{at}.labels must be at most 1000"));
}

/// Each of the three colours once.
fn is_coloured(planes: &[Plane]) -> bool {
    planes.len() == 3 && [Plane::Red, Plane::Green, Plane::Blue].iter().all(|colour| planes.contains(colour))
}

fn names(planes: &[Plane]) -> String {
    let names: Vec<_> = planes.iter().map(|plane| format!("\"{}\"", plane.name())).collect();
    format!("[{}]", names.join(", "))
}
