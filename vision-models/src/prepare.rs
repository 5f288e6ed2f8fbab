//! The door to OpenCV: from grey frames to the model's input, and from the model's boxes back to the frame.
//!
//! Invariants: piece and golden picture go the same way, so that what is equal stays equal; frames are halved exactly
//! (mean of 2 x 2 pixels) before anything else is done to them, because plain bilinear sampling skips rows and a fault of
//! two pixels with them; the input buffer is used again for every frame.

use crate::package::{Input, Plane};
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

    /// Fills the input buffer from a piece and, where the model compares, its golden picture.
    pub(crate) fn prepare(&mut self, test: Grey<'_>, golden: Option<Grey<'_>>) -> Result<(&Geometry, &[f32]), PrepareError> {
        let frame = (test.width, test.height);
        if self.geometry.as_ref().is_none_or(|known| known.frame != frame) {
            let geometry = Geometry::of(frame, &self.layout);
            self.values = vec![0.0; self.layout.planes.len() * area(geometry.input)];
            self.geometry = Some(geometry);
        }
        let Self { layout, geometry, values } = self;
        let geometry = geometry.get_or_insert_with(|| Geometry::of(frame, layout));
        for (plane, values) in layout.planes.iter().zip(values.chunks_exact_mut(area(geometry.input))) {
            let grey = match plane {
                Plane::Test => test,
                Plane::Golden => beside(test, golden)?,
            };
            let failed = |source: opencv::Error| PrepareError::Picture { width: frame.0, height: frame.1, source: source.into() };
            fill_plane(grey, geometry, layout, values).map_err(failed)?;
        }
        Ok((geometry, values))
    }
}

/// The golden picture, if it can lie on the piece's.
fn beside<'a>(test: Grey<'_>, golden: Option<Grey<'a>>) -> Result<Grey<'a>, PrepareError> {
    let golden = golden.ok_or(PrepareError::NoGolden)?;
    if (test.width, test.height) != (golden.width, golden.height) {
        let text = |grey: &Grey<'_>| format!("{}x{}", grey.width, grey.height);
        return Err(PrepareError::Size { frame: text(&test), golden: text(&golden) });
    }
    Ok(golden)
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::package::Layout;

    pub(crate) fn layout() -> Input {
        Input {
            name: "image".to_owned(),
            layout: Layout::Nchw,
            planes: vec![Plane::Test, Plane::Golden],
            black: 0,
            white: 255,
            scale: 1.0 / 255.0,
            offset: 0.0,
            width_max: 64,
            height_max: 64,
            multiple: 32,
            fill: 255,
            fixed: false,
        }
    }

    pub(crate) fn geometry(frame: (u32, u32), layout: &Input) -> Geometry {
        Geometry::of(frame, layout)
    }

    fn prepared(width: u32, height: u32, pixels: &[u8], layout: Input) -> ((u32, u32), Vec<f32>) {
        let mut preparer = Preparer::new(layout).unwrap();
        let golden = vec![255; pixels.len()];
        let test = Grey { width, height, pixels };
        let (geometry, values) = preparer.prepare(test, Some(Grey { pixels: &golden, ..test })).unwrap();
        let half = values.len() / 2;
        assert!(values[half..].iter().all(|value| (*value - 1.0).abs() < 1e-6), "the golden plane is white");
        (geometry.input, values[..half].to_vec())
    }

    #[test]
    fn a_frame_of_the_right_size_goes_through_unchanged() {
        let pixels: Vec<u8> = (0..64 * 32_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (input, values) = prepared(64, 32, &pixels, layout());
        assert_eq!(input, (64, 32));
        assert!(values.iter().zip(&pixels).all(|(value, pixel)| (value - f32::from(*pixel) / 255.0).abs() < 1e-6));
    }

    #[test]
    fn levels_are_stretched_and_cut_off() {
        let mut pixels = vec![0_u8; 64 * 32];
        pixels[..5].copy_from_slice(&[20, 48, 124, 200, 231]);
        let (_, values) = prepared(64, 32, &pixels, Input { black: 48, white: 200, ..layout() });
        let want = [0.0, 0.0, 0.5, 1.0, 1.0];
        assert!(values.iter().zip(want).all(|(got, want)| (got - want).abs() < 0.003), "{:?}", &values[..5]);
    }

    #[test]
    fn a_small_frame_is_filled_up_at_the_right_and_at_the_bottom() {
        let (input, values) = prepared(50, 20, &vec![0; 1000], layout());
        assert_eq!(input, (64, 32));
        for (index, value) in values.iter().enumerate() {
            let black = index % 64 < 50 && index / 64 < 20;
            assert!((value - if black { 0.0 } else { 1.0 }).abs() < 1e-6, "{index}");
        }
    }

    #[test]
    fn a_large_frame_is_halved_exactly_so_that_no_single_pixel_is_lost() {
        // 131 x 70: even sides, halved to 66 x 35, shrunk to 64 x 33, filled up to 64 x 64.
        let layout = layout();
        let geometry = Geometry::of((131, 70), &layout);
        assert_eq!(geometry.steps, [Step::Even(132, 70), Step::Halve(66, 35), Step::Shrink(64, 33), Step::Fill(64, 64)]);
        let mut pixels = vec![255_u8; 128 * 128];
        pixels[37 * 128 + 91] = 0;
        let (input, values) = prepared(128, 128, &pixels, layout);
        assert_eq!(input, (64, 64));
        // The mean of one black and three white pixels: 191.25, rounded to 191.
        for (index, value) in values.iter().enumerate() {
            let want = if index == 18 * 64 + 45 { 191.0 / 255.0 } else { 1.0 };
            assert!((value - want).abs() < 1e-6, "{index}: {value}");
        }
    }

    #[test]
    fn boxes_find_back_to_the_frame() {
        let layout = layout();
        let near = |geometry: &Geometry, from: [f32; 4], want: [f32; 4]| {
            let [x1, y1, x2, y2] = from;
            let got = geometry.to_frame(&PixelBox { x1, y1, x2, y2 }).unwrap();
            let got = [got.x1, got.y1, got.x2, got.y2];
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-3), "{got:?} {want:?}");
        };
        near(&Geometry::of((128, 128), &layout), [10.0, 20.0, 30.0, 64.0], [20.0, 40.0, 60.0, 128.0]);
        near(&Geometry::of((96, 48), &layout), [32.0, 16.0, 64.0, 32.0], [48.0, 24.0, 96.0, 48.0]);
        let filled = Geometry::of((50, 20), &layout);
        near(&filled, [40.0, -3.0, 60.0, 25.0], [40.0, 0.0, 50.0, 20.0]);
        assert_eq!(filled.to_frame(&PixelBox { x1: 52.0, y1: 2.0, x2: 60.0, y2: 9.0 }), None);
    }

    #[test]
    fn pictures_of_different_size_are_refused() {
        let mut preparer = Preparer::new(layout()).unwrap();
        let test = Grey { width: 64, height: 32, pixels: &[0; 2048] };
        let golden = Grey { width: 32, height: 64, pixels: &[0; 2048] };
        assert!(preparer.prepare(test, Some(golden)).unwrap_err().to_string().contains("64x32"));
        assert!(matches!(preparer.prepare(test, None), Err(PrepareError::NoGolden)));
    }

    #[test]
    fn a_model_that_does_not_compare_gets_one_plane_of_its_one_size() {
        let layout = Input { planes: vec![Plane::Test], fixed: true, height_max: 96, ..layout() };
        let mut preparer = Preparer::new(layout).unwrap();
        let (geometry, values) = preparer.prepare(Grey { width: 50, height: 20, pixels: &[0; 1000] }, None).unwrap();
        assert_eq!((geometry.input, values.len()), ((64, 96), 64 * 96));
        let black = values.iter().filter(|value| value.abs() < 1e-6).count();
        assert_eq!(black, 1000, "the rest is filled up");
    }
}
