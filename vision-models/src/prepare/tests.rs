//! The fast way from frame to input beside a slow one, and what must survive it.

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
        stretched: false,
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
    assert_eq!(geometry.steps, [Step::Even(1, 0), Step::Halve(66, 35), Step::Shrink(64, 33), Step::Fill(64, 64)]);
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

const RGB: [Plane; 3] = [Plane::Red, Plane::Green, Plane::Blue];

fn channel_of(view: &View<'_>, x: u32, y: u32, plane: Plane) -> f64 {
    let at = |channel: usize| {
        let pixel = usize::try_from(y * view.width + x).unwrap();
        f64::from(view.pixels[pixel * view.format.channels() + channel])
    };
    match view.format {
        PixelFormat::Mono8 => at(0),
        format => at(planes::channel(format, plane).unwrap()),
    }
}

/// The slow way: exact means of 2 x 2 pixels, rounded as bytes are; then bilinear between the middles of pixels.
fn reference(view: &View<'_>, layout: &Input) -> ((u32, u32), Vec<f64>) {
    let geometry = Geometry::of((view.width, view.height), layout);
    let mut values = Vec::new();
    for plane in &layout.planes {
        let (mut width, mut height) = (view.width, view.height);
        let mut image: Vec<f64> =
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| channel_of(view, x, y, *plane)).collect();
        for step in &geometry.steps {
            let at = |x: u32, y: u32| image[usize::try_from(y.min(height - 1) * width + x.min(width - 1)).unwrap()];
            let (next, size): (Vec<f64>, (u32, u32)) = match *step {
                Step::Even(right, bottom) => {
                    let (w, h) = (width + right.unsigned_abs(), height + bottom.unsigned_abs());
                    ((0..h).flat_map(|y| (0..w).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect(), (w, h))
                }
                Step::Halve(w, h) => {
                    let (w, h) = (w.unsigned_abs(), h.unsigned_abs());
                    let four = |x: u32, y: u32| at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1);
                    let mean = |(x, y): (u32, u32)| ((four(2 * x, 2 * y) + 2.0) / 4.0).floor();
                    ((0..h).flat_map(|y| (0..w).map(move |x| (x, y))).map(mean).collect(), (w, h))
                }
                Step::Average(..) | Step::Enlarge(..) => unreachable!("no stretched input is compared here"),
                Step::Shrink(w, h) => {
                    let (w, h) = (w.unsigned_abs(), h.unsigned_abs());
                    let place = |index: u32, from: u32, to: u32| {
                        let at = ((f64::from(index) + 0.5) * f64::from(from) / f64::from(to) - 0.5).max(0.0);
                        let whole = (0..from).rev().find(|whole| f64::from(*whole) <= at).unwrap();
                        (whole, at - f64::from(whole))
                    };
                    let value = |(x, y): (u32, u32)| {
                        let ((x, right), (y, below)) = (place(x, width, w), place(y, height, h));
                        let upper = at(x, y) * (1.0 - right) + at(x + 1, y) * right;
                        let lower = at(x, y + 1) * (1.0 - right) + at(x + 1, y + 1) * right;
                        upper * (1.0 - below) + lower * below
                    };
                    ((0..h).flat_map(|y| (0..w).map(move |x| (x, y))).map(value).collect(), (w, h))
                }
                Step::Fill(w, h) => {
                    let (w, h) = (w.unsigned_abs(), h.unsigned_abs());
                    let value = |(x, y): (u32, u32)| if x < width && y < height { at(x, y) } else { f64::from(layout.fill) };
                    ((0..h).flat_map(|y| (0..w).map(move |x| (x, y))).map(value).collect(), (w, h))
                }
            };
            (image, (width, height)) = (next, size);
        }
        values.extend(image.into_iter().map(|level| level * layout.scale + layout.offset));
    }
    (geometry.input, values)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    /// Whatever size, format and planes: the fast way gives what the slow one gives, to half a grey level.
    #[test]
    fn the_fast_way_is_the_slow_way(
        width in 20..150_u32,
        height in 20..150_u32,
        format in proptest::sample::select(vec![PixelFormat::Mono8, PixelFormat::Rgb8, PixelFormat::Bgr8]),
        turned in proptest::bool::ANY,
        seed in 0..1000_u32,
    ) {
        let mut planes = RGB.to_vec();
        if turned { planes.reverse(); }
        let layout = Input { planes, fixed: true, fill: 114, offset: -0.5, ..layout() };
        let count = usize::try_from(width * height).unwrap() * format.channels();
        // Smooth, so that rounding between two bilinear steps stays small; with a step, so that a shift is seen.
        let pixels: Vec<u8> = (0..count).map(|n| u8::try_from((n * 3 + usize::try_from(seed).unwrap()) % 200).unwrap()).collect();
        let view = View { width, height, format, pixels: &pixels };
        let (size, want) = reference(&view, &layout);
        let mut preparer = Preparer::new(layout).unwrap();
        for _ in 0..2 {
            let (geometry, got) = preparer.prepare(view, None).unwrap();
            proptest::prop_assert_eq!((geometry.input, got.len()), (size, want.len()));
            let far = got.iter().zip(&want).map(|(got, want)| (f64::from(*got) - want).abs()).fold(0.0, f64::max);
            proptest::prop_assert!(far < 0.8 / 255.0, "{} levels", far * 255.0);
        }
    }
}

#[test]
fn a_fault_of_two_pixels_survives_the_way_from_five_megapixels() {
    let layout = Input { planes: RGB.to_vec(), width_max: 640, height_max: 640, fixed: true, fill: 114, ..layout() };
    let mut preparer = Preparer::new(layout).unwrap();
    let (width, height) = (2448_u32, 2048_u32);
    let mut pixels = vec![200_u8; 2448 * 2048];
    for place in 0..40_u32 {
        let (x, y) = (301 + 41 * place, 403 + 37 * place);
        let dots = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)].map(|(x, y)| usize::try_from(y * width + x).unwrap());
        dots.iter().for_each(|dot| pixels[*dot] = 0);
        let view = View { width, height, format: PixelFormat::Mono8, pixels: &pixels };
        let (geometry, values) = preparer.prepare(view, None).unwrap();
        let (columns, rows) = (usize::try_from(geometry.input.0).unwrap(), 512);
        let picture = values[..columns * rows].chunks(columns).flat_map(|row| &row[..612]);
        let lost: Vec<f32> = picture.map(|value| 200.0 - value * 255.0).collect();
        // Four black pixels of sixteen are a quarter of one pixel, or spread over its neighbours; never more, never nothing.
        let (deepest, sum) = (lost.iter().copied().fold(0.0, f32::max), lost.iter().sum::<f32>());
        assert!(deepest > 10.0 && (30.0..60.0).contains(&sum), "at {x},{y}: {deepest} of 200, {sum} in all");
        dots.iter().for_each(|dot| pixels[*dot] = 200);
    }
}

#[test]
fn a_grey_picture_has_all_colours_alike_and_a_coloured_one_a_grey_plane() {
    let layout = Input { planes: RGB.to_vec(), ..layout() };
    let mut preparer = Preparer::new(layout.clone()).unwrap();
    let pixels: Vec<u8> = (0..=255).cycle().take(64 * 32).collect();
    let (_, values) = preparer.prepare(Grey { width: 64, height: 32, pixels: &pixels }, None).unwrap();
    let (first, others) = values.split_at(64 * 32);
    assert!(others.chunks(64 * 32).all(|plane| plane == first));
    let mut preparer = Preparer::new(Input { planes: vec![Plane::Test], ..layout }).unwrap();
    let red = [255, 0, 0].repeat(64 * 32);
    let mut grey = |format| preparer.prepare(View { width: 64, height: 32, format, pixels: &red }, None).unwrap().1[5] * 255.0;
    assert!((grey(PixelFormat::Rgb8) - 76.0).abs() < 1.0 && (grey(PixelFormat::Bgr8) - 29.0).abs() < 1.0);
}

#[test]
fn a_frame_of_any_shape_is_stretched_to_the_one_size() {
    let stretched = Input { stretched: true, ..layout() };
    // 32 columns are doubled, 128 rows are halved by their mean.
    let pixels: Vec<u8> = (0..128_u8).flat_map(|row| [if row % 2 == 0 { 10 } else { 30 }; 32]).collect();
    let (input, values) = prepared(32, 128, &pixels, stretched.clone());
    assert_eq!(input, (64, 64));
    assert!(values.iter().all(|value| (value - 20.0 / 255.0).abs() < 1e-6));
    let back = Geometry::of((32, 128), &stretched).to_frame(&PixelBox { x1: 16.0, y1: 16.0, x2: 32.0, y2: 64.0 }).unwrap();
    assert_eq!((back.x1, back.y1, back.x2, back.y2), (8.0, 32.0, 16.0, 128.0));
}
