//! The door to OpenCV: from grey frames to the model's input, and from the model's boxes back to the frame.
//!
//! Invariants: piece and golden picture go the same way, so that what is equal stays equal; frames are halved exactly
//! (mean of 2 x 2 pixels) before anything else is done to them, because plain bilinear sampling skips rows and a fault of
//! two pixels with them; the input buffer is used again for every frame.

use crate::package::Input;
use opencv::core::{self, BORDER_CONSTANT, BORDER_REPLICATE, CV_8U, CV_32F, Mat, MatTrait, MatTraitConst, Scalar, Size, ToInputArray};
use opencv::imgproc::{self, INTER_AREA, INTER_LINEAR};
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
    /// OpenCV failed.
    #[error("the frame of {width}x{height} pixels cannot be prepared")]
    Picture {
        /// Width of the frame.
        width: u32,
        /// Height of the frame.
        height: u32,
        /// What OpenCV says.
        #[source]
        source: opencv::Error,
    },
}

/// A grey picture to prepare: width, height and pixels row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grey<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: &'a [u8],
}

/// One step on the way from frame to input, with the size after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Repeats the last row or column, so that both sides are even.
    Even(i32, i32),
    /// Exact mean of 2 x 2 pixels.
    Halve(i32, i32),
    /// Bilinear, by a factor below 2.
    Shrink(i32, i32),
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
    fn of(frame: (u32, u32), layout: &Input) -> Self {
        let most = (layout.width_max, layout.height_max);
        let (mut width, mut height) = frame;
        let mut steps = Vec::new();
        let (mut scale_x, mut scale_y) = (1.0_f32, 1.0_f32);
        while width >= 2 * most.0 || height >= 2 * most.1 {
            if width % 2 == 1 || height % 2 == 1 {
                (width, height) = (width.next_multiple_of(2), height.next_multiple_of(2));
                steps.push(Step::Even(side(width), side(height)));
            }
            (width, height) = (width / 2, height / 2);
            (scale_x, scale_y) = (scale_x / 2.0, scale_y / 2.0);
            steps.push(Step::Halve(side(width), side(height)));
        }
        if width > most.0 || height > most.1 {
            // The narrower of the two ratios decides; integers, so that both sides end exactly where they should.
            let by_width = u64::from(most.0) * u64::from(height) <= u64::from(most.1) * u64::from(width);
            let scaled = |length: u32, limit: u32, whole: u32| u32::try_from(u64::from(length) * u64::from(limit) / u64::from(whole)).unwrap_or(1).max(1);
            let (w, h) = if by_width { (most.0, scaled(height, most.0, width)) } else { (scaled(width, most.1, height), most.1) };
            (scale_x, scale_y) = (scale_x * ratio(w, width), scale_y * ratio(h, height));
            (width, height) = (w, h);
            steps.push(Step::Shrink(side(width), side(height)));
        }
        let input = (width.next_multiple_of(layout.multiple), height.next_multiple_of(layout.multiple));
        if input != (width, height) {
            steps.push(Step::Fill(side(input.0), side(input.1)));
        }
        Self { frame, steps, input, scale: (scale_x, scale_y) }
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

/// Makes the model's input of frames.
pub(crate) struct Preparer {
    layout: Input,
    geometry: Option<Geometry>,
    values: Vec<f32>,
}

impl Preparer {
    /// For one model. OpenCV is told to use the calling thread alone.
    pub(crate) fn new(layout: Input) -> opencv::Result<Self> {
        core::set_num_threads(1)?;
        Ok(Self { layout, geometry: None, values: Vec::new() })
    }

    /// Fills the input buffer from a piece and its golden picture.
    pub(crate) fn prepare(&mut self, test: Grey<'_>, golden: Grey<'_>) -> Result<(&Geometry, &[f32]), PrepareError> {
        let frame = (test.width, test.height);
        if frame != (golden.width, golden.height) {
            let text = |grey: &Grey<'_>| format!("{}x{}", grey.width, grey.height);
            return Err(PrepareError::Size { frame: text(&test), golden: text(&golden) });
        }
        if self.geometry.as_ref().is_none_or(|known| known.frame != frame) {
            let geometry = Geometry::of(frame, &self.layout);
            self.values = vec![0.0; 2 * area(geometry.input)];
            self.geometry = Some(geometry);
        }
        let Self { layout, geometry, values } = self;
        let geometry = geometry.get_or_insert_with(|| Geometry::of(frame, layout));
        let (first, second) = values.split_at_mut(area(geometry.input));
        for (grey, plane) in [(test, first), (golden, second)] {
            let failed = |source| PrepareError::Picture { width: frame.0, height: frame.1, source };
            fill_plane(grey, geometry, layout, plane).map_err(failed)?;
        }
        Ok((geometry, values))
    }
}

fn fill_plane(grey: Grey<'_>, geometry: &Geometry, layout: &Input, plane: &mut [f32]) -> opencv::Result<()> {
    let source = Mat::new_rows_cols_with_data(side(grey.height), side(grey.width), grey.pixels)?;
    let mut target = Mat::new_rows_cols_with_data_mut(side(geometry.input.1), side(geometry.input.0), plane)?;
    let mut image: Option<Mat> = None;
    for step in &geometry.steps {
        let mut next = Mat::default();
        let from = match &image {
            Some(image) => image.input_array()?,
            None => source.input_array()?,
        };
        let now = image.as_ref().map_or(source.size()?, |image| Size::new(image.cols(), image.rows()));
        match *step {
            Step::Even(w, h) => {
                core::copy_make_border(&from, &mut next, 0, h - now.height, 0, w - now.width, BORDER_REPLICATE, Scalar::all(0.0))?;
            }
            Step::Halve(w, h) => imgproc::resize(&from, &mut next, Size::new(w, h), 0.0, 0.0, INTER_AREA)?,
            Step::Shrink(w, h) => imgproc::resize(&from, &mut next, Size::new(w, h), 0.0, 0.0, INTER_LINEAR)?,
            Step::Fill(w, h) => {
                let fill = Scalar::all(f64::from(layout.fill));
                core::copy_make_border(&from, &mut next, 0, h - now.height, 0, w - now.width, BORDER_CONSTANT, fill)?;
            }
        }
        image = Some(next);
    }
    // Bytes saturate, so this one pass also cuts off what lies beyond black and white.
    let (gain, shift) = stretch(layout);
    let mut stretched = Mat::default();
    match &image {
        Some(image) => image.convert_to(&mut stretched, CV_8U, gain, shift)?,
        None => source.convert_to(&mut stretched, CV_8U, gain, shift)?,
    }
    // The target has the right size and type already, so OpenCV writes into it instead of reserving memory of its own.
    let place = target.data_mut();
    stretched.convert_to(&mut target, CV_32F, layout.scale, layout.offset)?;
    if target.data_mut() != place {
        return Err(opencv::Error::new(core::StsUnmatchedSizes, "the input plane was not written in place"));
    }
    Ok(())
}

/// Factor and summand that make `black` 0 and `white` 255.
fn stretch(layout: &Input) -> (f64, f64) {
    let gain = 255.0 / f64::from(layout.white.saturating_sub(layout.black).max(1));
    (gain, -f64::from(layout.black) * gain)
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
