//! The door to OpenCV: from frames to the model's input, and from the model's boxes back to the frame.
//!
//! Invariants: piece and golden picture go the same way, so that what is equal stays equal; frames are halved exactly
//! (mean of 2 x 2 pixels) before anything else is done to them, because plain bilinear sampling skips rows and a fault of
//! two pixels with them; all memory is used again for every frame; a grey picture is never made into a coloured one.

mod planes;

use crate::frame::PixelFormat;
use crate::package::{Input, Plane};
use opencv::core::{self, BORDER_REPLICATE, Mat, MatTraitConst, MatTraitConstManual, Scalar, Size, ToInputArray};
use opencv::imgproc::{self, INTER_AREA, INTER_LINEAR};
use planes::{Levels, Rows, Size as Size2, channel, is_coloured, lighten, plain, split};
use station::inspection::PixelBox;
use thiserror::Error;

/// Why a frame could not be prepared.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// Piece and golden picture differ in size.
    #[error("the frame has {frame} pixels and its golden picture {golden}")]
    Size {
        /// Of the frame.
        frame: String,
        /// Of the golden picture.
        golden: String,
    },
    /// The model compares, and there is nothing to compare with.
    #[error("the model compares each frame with a golden picture, and this one has none")]
    NoGolden,
    /// OpenCV failed.
    #[error("the frame of {width}x{height} pixels cannot be prepared")]
    Picture {
        /// Width of the frame.
        width: u32,
        /// Height of the frame.
        height: u32,
        /// What OpenCV says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A grey picture to prepare: width, height and pixels row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grey<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: &'a [u8],
}

/// A picture to prepare: its bytes row by row, and how they are to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) format: PixelFormat,
    pub(crate) pixels: &'a [u8],
}

impl<'a> From<Grey<'a>> for View<'a> {
    fn from(Grey { width, height, pixels }: Grey<'a>) -> Self {
        Self { width, height, format: PixelFormat::Mono8, pixels }
    }
}

/// One step on the way from frame to input, with the size after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Repeats the last column (1) or row (1), so that both sides are even.
    Even(i32, i32),
    /// Exact mean of 2 x 2 pixels.
    Halve(i32, i32),
    /// Bilinear, by a factor below 2.
    Shrink(i32, i32),
    /// Mean over areas, by any factor; a side that is kept is untouched.
    Average(i32, i32),
    /// Bilinear, to something larger; a side that is kept is untouched.
    Enlarge(i32, i32),
    /// Fills up at the right and at the bottom.
    Fill(i32, i32),
}

/// How frames of one size become input, and how boxes find back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Geometry {
    frame: (u32, u32),
    steps: Vec<Step>,
    /// Columns and rows of the input.
    pub(crate) input: (u32, u32),
    /// Input pixels per frame pixel, to the right and down.
    scale: (f32, f32),
}

impl Geometry {
    pub(crate) fn of(frame: (u32, u32), layout: &Input) -> Self {
        let most = (layout.width_max, layout.height_max);
        if layout.stretched {
            return Self::stretched(frame, most);
        }
        let (mut width, mut height) = frame;
        let mut steps = Vec::new();
        let (mut scale_x, mut scale_y) = (1.0_f32, 1.0_f32);
        while is_far((width, height), most) {
            if width % 2 == 1 || height % 2 == 1 {
                steps.push(Step::Even(side(width % 2), side(height % 2)));
                (width, height) = (width.next_multiple_of(2), height.next_multiple_of(2));
            }
            (width, height) = (width / 2, height / 2);
            (scale_x, scale_y) = (scale_x / 2.0, scale_y / 2.0);
            steps.push(Step::Halve(side(width), side(height)));
        }
        if width > most.0 || height > most.1 {
            // The narrower of the two ratios decides; integers, so that both sides end exactly where they should.
            let by_width = u64::from(most.0) * u64::from(height) <= u64::from(most.1) * u64::from(width);
            let scaled = |length: u32, limit: u32, whole: u32| {
                u32::try_from(u64::from(length) * u64::from(limit) / u64::from(whole)).unwrap_or(1).max(1)
            };
            let (w, h) = if by_width { (most.0, scaled(height, most.0, width)) } else { (scaled(width, most.1, height), most.1) };
            (scale_x, scale_y) = (scale_x * ratio(w, width), scale_y * ratio(h, height));
            (width, height) = (w, h);
            steps.push(Step::Shrink(side(width), side(height)));
        }
        let filled = |length: u32, most: u32| if layout.fixed { most } else { length.next_multiple_of(layout.multiple) };
        let input = (filled(width, most.0), filled(height, most.1));
        if input != (width, height) {
            steps.push(Step::Fill(side(input.0), side(input.1)));
        }
        Self { frame, steps, input, scale: (scale_x, scale_y) }
    }

    /// The whole frame.
    pub(crate) const fn whole(&self) -> PixelBox {
        PixelBox { x1: 0.0, y1: 0.0, x2: length(self.frame.0), y2: length(self.frame.1) }
    }

    /// Cells of `stride` pixels of the input per pixel of the frame, to the right and down.
    pub(crate) fn cells_per_pixel(&self, stride: u32) -> (f32, f32) {
        (self.scale.0 / length(stride), self.scale.1 / length(stride))
    }

    /// Each side on its own: what is too long is averaged, so that nothing small is skipped, and then what is too short enlarged.
    fn stretched(frame: (u32, u32), to: (u32, u32)) -> Self {
        let averaged = (frame.0.min(to.0), frame.1.min(to.1));
        let mut steps = Vec::new();
        if averaged != frame {
            steps.push(Step::Average(side(averaged.0), side(averaged.1)));
        }
        if averaged != to {
            steps.push(Step::Enlarge(side(to.0), side(to.1)));
        }
        Self { frame, steps, input: to, scale: (ratio(to.0, frame.0), ratio(to.1, frame.1)) }
    }

    /// A box of the frame as a box of the input.
    pub(crate) fn to_input(&self, b: &PixelBox) -> PixelBox {
        PixelBox { x1: b.x1 * self.scale.0, y1: b.y1 * self.scale.1, x2: b.x2 * self.scale.0, y2: b.y2 * self.scale.1 }
    }

    /// A box of the input as a box of the frame, cut at its edges; `None` if nothing of it lies on the frame.
    pub(crate) fn to_frame(&self, b: &PixelBox) -> Option<PixelBox> {
        let (width, height) = (length(self.frame.0), length(self.frame.1));
        let x = |value: f32| (value / self.scale.0).clamp(0.0, width);
        let y = |value: f32| (value / self.scale.1).clamp(0.0, height);
        let mapped = PixelBox { x1: x(b.x1), y1: y(b.y1), x2: x(b.x2), y2: y(b.y2) };
        (mapped.x1 < mapped.x2 && mapped.y1 < mapped.y2).then_some(mapped)
    }
}

/// True if bilinear sampling would leave hardly anything of some pixels: beyond a ratio of 1.75 a pixel may lie so far from
/// both samples beside it that less than a quarter of it is seen. An exact halving sees all of it, at the cost of an eighth of
/// the resolution at most.
const fn is_far((width, height): (u32, u32), most: (u32, u32)) -> bool {
    4 * width > 7 * most.0 || 4 * height > 7 * most.1
}

/// A model has at most three planes: red, green and blue, or the piece and its golden picture.
const PLANES_MAX: usize = 3;

/// Makes the model's input of frames.
pub(crate) struct Preparer {
    layout: Input,
    levels: Levels,
    geometry: Option<Geometry>,
    values: Vec<f32>,
    /// What each step leaves, in memory that is used again.
    steps: Vec<Mat>,
    rows: Rows,
}

impl Preparer {
    /// For one model. OpenCV is told to use the calling thread alone.
    pub(crate) fn new(layout: Input) -> opencv::Result<Self> {
        core::set_num_threads(1)?;
        let levels = Levels::of(&layout);
        Ok(Self { layout, levels, geometry: None, values: Vec::new(), steps: Vec::new(), rows: Rows::default() })
    }

    /// Fills the input buffer from a piece and, where the model compares, its golden picture.
    pub(crate) fn prepare<'a>(&mut self, test: impl Into<View<'a>>, golden: Option<Grey<'_>>) -> Result<(&Geometry, &[f32]), PrepareError> {
        let test = test.into();
        let frame = (test.width, test.height);
        let golden = if self.layout.planes.contains(&Plane::Golden) { Some(beside(&test, golden)?) } else { None };
        if self.geometry.as_ref().is_none_or(|known| known.frame != frame) {
            let geometry = Geometry::of(frame, &self.layout);
            // What is filled up stays: no frame of this size writes there.
            self.values = vec![self.levels.value(self.layout.fill); self.layout.planes.len() * area(geometry.input)];
            self.steps = geometry.steps.iter().map(|_| Mat::default()).collect();
            self.geometry = Some(geometry);
        }
        let Self { layout, levels, geometry, values, steps, rows } = self;
        let geometry = geometry.get_or_insert_with(|| Geometry::of(frame, layout));
        let failed = |source: opencv::Error| PrepareError::Picture { width: frame.0, height: frame.1, source: source.into() };
        // As many as a model may have; a list would be reserved for every frame.
        let mut room: [(Plane, &mut [f32]); PLANES_MAX] = std::array::from_fn(|_| (Plane::Test, Default::default()));
        let chunks = layout.planes.iter().copied().zip(values.chunks_exact_mut(area(geometry.input)));
        let count = room.iter_mut().zip(chunks).map(|(place, plane)| *place = plane).count();
        let planes = room.get_mut(..count).unwrap_or_default();
        // Golden planes first, those of the piece behind them.
        planes.sort_unstable_by_key(|(plane, _)| *plane != Plane::Golden);
        let (of_golden, of_test) = planes.split_at_mut(planes.partition_point(|(plane, _)| *plane == Plane::Golden));
        let mut brush = Brush { geometry, steps, pen: Pen { stride: geometry.input.0, levels, rows } };
        if let Some(golden) = golden {
            for (_, plane) in of_golden {
                brush.paint(golden.into(), &mut [(Plane::Test, &mut **plane)]).map_err(failed)?;
            }
        }
        brush.paint(test, of_test).map_err(failed)?;
        Ok((geometry, values))
    }
}

/// The golden picture, if it can lie on the piece's.
fn beside<'a>(test: &View<'_>, golden: Option<Grey<'a>>) -> Result<Grey<'a>, PrepareError> {
    let golden = golden.ok_or(PrepareError::NoGolden)?;
    if (test.width, test.height) != (golden.width, golden.height) {
        let text = |width: u32, height: u32| format!("{width}x{height}");
        return Err(PrepareError::Size { frame: text(test.width, test.height), golden: text(golden.width, golden.height) });
    }
    Ok(golden)
}

/// What one picture is brought into the input with.
struct Brush<'p> {
    geometry: &'p Geometry,
    steps: &'p mut [Mat],
    pen: Pen<'p>,
}

/// What brings bytes into planes.
struct Pen<'p> {
    /// Columns of the input.
    stride: u32,
    levels: &'p Levels,
    rows: &'p mut Rows,
}

impl Brush<'_> {
    /// Fills planes with a picture that goes through the steps of the geometry once.
    fn paint(&mut self, view: View<'_>, planes: &mut [(Plane, &mut [f32])]) -> opencv::Result<()> {
        let channels = i32::try_from(view.format.channels()).unwrap_or(1);
        let flat = Mat::new_rows_cols_with_data(side(view.height), side(view.width) * channels, view.pixels)?;
        let source = flat.reshape(channels, side(view.height))?;
        let shrinking = match self.geometry.steps.split_last() {
            Some((Step::Fill(..), shrinking)) => shrinking,
            _ => &self.geometry.steps,
        };
        // The last halving of a coloured picture and its way into three planes are one pass.
        let fused = matches!(shrinking.last(), Some(Step::Halve(..))) && is_coloured(view.format, planes);
        let count = if fused { shrinking.len() - 1 } else { shrinking.len() };
        for (index, step) in shrinking.iter().take(count).enumerate() {
            let (done, next) = self.steps.split_at_mut(index);
            let Some(next) = next.first_mut() else { break };
            match done.last() {
                Some(image) => take_step(image, *step, next)?,
                None => take_step(&source, *step, next)?,
            }
        }
        match count.checked_sub(1).and_then(|last| self.steps.get(last)) {
            Some(image) => self.pen.pour(image.data_bytes()?, (image.cols(), image.rows()), view.format, fused, planes),
            None => self.pen.pour(view.pixels, (side(view.width), side(view.height)), view.format, fused, planes),
        }
    }
}

impl Pen<'_> {
    /// From bytes to planes.
    fn pour(
        &mut self,
        pixels: &[u8],
        (width, height): (i32, i32),
        format: PixelFormat,
        fused: bool,
        planes: &mut [(Plane, &mut [f32])],
    ) -> opencv::Result<()> {
        let stride = usize::try_from(self.stride).unwrap_or(usize::MAX);
        let (width, height) = (usize::try_from(width).unwrap_or(0), usize::try_from(height).unwrap_or(0));
        let size = Size2 { width, height, stride };
        if is_coloured(format, planes) {
            let wanted = |plane: Plane| channel(format, plane);
            planes.sort_unstable_by_key(|(plane, _)| wanted(*plane));
            let [(_, first), (_, second), (_, third)] = planes else {
                return Err(opencv::Error::new(core::StsBadArg, "a coloured model has three planes"));
            };
            let to = [&mut **first, &mut **second, &mut **third];
            if fused {
                self.rows.halve(pixels, size, self.levels, to)
            } else {
                split(pixels, size, self.levels, to)
            }
            return Ok(());
        }
        let Some(((_, first), others)) = planes.split_first_mut() else { return Ok(()) };
        match format {
            PixelFormat::Mono8 => plain(pixels, size, self.levels, first),
            PixelFormat::Rgb8 | PixelFormat::Bgr8 => lighten(pixels, format, size, self.levels, first),
        }
        // A grey picture has the same red, green and blue.
        others.iter_mut().for_each(|(_, other)| other.copy_from_slice(first));
        Ok(())
    }
}

fn take_step(from: &impl ToInputArray, step: Step, next: &mut Mat) -> opencv::Result<()> {
    match step {
        Step::Even(right, bottom) => core::copy_make_border(from, next, 0, bottom, 0, right, BORDER_REPLICATE, Scalar::all(0.0)),
        Step::Halve(w, h) | Step::Average(w, h) => imgproc::resize(from, next, Size::new(w, h), 0.0, 0.0, INTER_AREA),
        Step::Shrink(w, h) | Step::Enlarge(w, h) => imgproc::resize(from, next, Size::new(w, h), 0.0, 0.0, INTER_LINEAR),
        Step::Fill(..) => Ok(()),
    }
}

/// OpenCV's sizes are signed; frames have at most 16 384 pixels a side.
fn side(pixels: u32) -> i32 {
    i32::try_from(pixels).unwrap_or(i32::MAX)
}

fn area(size: (u32, u32)) -> usize {
    usize::try_from(u64::from(size.0) * u64::from(size.1)).unwrap_or(usize::MAX)
}

/// Exact below 2^24.
#[expect(clippy::cast_precision_loss, reason = "frames have at most 16 384 pixels a side")]
const fn length(pixels: u32) -> f32 {
    pixels as f32
}

fn ratio(a: u32, b: u32) -> f32 {
    length(a) / length(b)
}

#[cfg(test)]
pub(crate) mod tests;
