//! A picture costs no memory that a pool can hold: every step runs under an allocator that counts.
//!
//! Each thread counts its own allocations. ONNX Runtime and OpenCV have allocators of their own, which are not seen here; what
//! is seen is all of Rust: cameras, frames, the way into and out of the model, and the binding to ONNX Runtime. Counting
//! needs a global allocator, and that trait is unsafe to implement: the only place in this crate's tests where `unsafe` is let in.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod common;

use common::tiny::Tiny;
use common::{clock, runtime};
use station::piece::PieceId;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vision_models::camera::{Camera, CameraError, Replay, Watched};
use vision_models::detector::Detector;
use vision_models::frame::{Frame, FramePool, PixelFormat, Shot};
use vision_models::package::Package;
use vision_models::picture::Picture;

/// Side of the pictures in here.
const SIDE: u32 = 64;
/// What the binding to ONNX Runtime takes for each run: the handles of a tensor in and of those out. None grows with the picture.
const BINDING: u64 = 5;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; this passes everything on to the system's allocator and counts")]
// SAFETY: every call goes to `System` unchanged; counting touches a thread-local integer that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread in `act`.
fn count<T>(act: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.with(Cell::get);
    let done = std::hint::black_box(act());
    (ALLOCATIONS.with(Cell::get) - before, done)
}

/// A camera that paints: `dark` cells, and no picture like another.
struct Painter {
    number: u64,
    dark: bool,
}

impl Camera for Painter {
    fn name(&self) -> &str {
        "painter"
    }

    fn take(&mut self, _: PieceId, pool: &FramePool) -> Result<Frame, CameraError> {
        self.number += 1;
        let mut blank = pool.take().ok_or(CameraError::Pool)?;
        let pixels = blank.bytes_mut();
        pixels.fill(128);
        if self.dark {
            pixels[..8 * SIDE as usize].fill(0);
        }
        // Too little for the model to see.
        pixels[pixels.len() - 1] = u8::try_from(self.number % 100).unwrap();
        pixels[pixels.len() - 2] = u8::try_from(self.number / 100 % 100).unwrap();
        let (number, format) = (self.number, PixelFormat::Mono8);
        let shot = Shot { width: SIDE, height: SIDE, format, number, mono_micros: number, capture_micros: 0, golden: None };
        Ok(Frame::seal(blank, shot).unwrap())
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| vec![1_u8; 32]).0, 1);
    assert_eq!(count(|| 1).0, 0);
}

#[test]
fn taking_a_picture_allocates_nothing() {
    let pool = FramePool::new(2, (SIDE * SIDE) as usize);
    let mut camera = Watched::new(Painter { number: 0, dark: false });
    camera.grab(PieceId(1), &pool).unwrap();
    for piece in 2..1000 {
        let (allocations, frame) = count(|| camera.grab(PieceId(piece), &pool).unwrap());
        assert_eq!(allocations, 0, "piece {piece}");
        // Two hold it: the model and the people.
        let (allocations, _) = count(|| (frame.clone(), frame.digest()));
        assert_eq!(allocations, 0, "piece {piece}");
    }
    assert_eq!(pool.free(), 2);

    let folder = tempfile::tempdir().unwrap();
    for number in 0..20_u8 {
        let picture = Picture::new(8, 8, (0..64).map(|place| place + number).collect()).unwrap();
        picture.write_png(&folder.path().join(format!("p_{number:04}.png"))).unwrap();
    }
    // Faster than a clock of microseconds: no two pictures may have one stamp.
    let time = AtomicU64::new(0);
    let ticking = Arc::new(move || time.fetch_add(1, Ordering::Relaxed));
    let mut camera = Watched::new(Replay::open("cam0", folder.path(), ticking).unwrap());
    for piece in 1..100 {
        assert_eq!(count(|| camera.grab(PieceId(piece), &pool).map(drop).unwrap()).0, 0, "piece {piece}");
    }
}

#[test]
fn looking_at_a_picture_allocates_its_findings_and_what_the_binding_takes() {
    let folder = tempfile::tempdir().unwrap();
    Tiny::Detect.write(folder.path());
    let mut detector = Detector::load(&runtime(), &Package::open(folder.path()).unwrap(), clock()).unwrap();
    let pool = FramePool::new(2, (SIDE * SIDE) as usize);
    let name: Arc<str> = "painter".into();
    // The rows of cells that were painted dark, and lists of them: those found, those that stay, those being sorted.
    for (dark, findings, lists) in [(false, 0, 0), (true, 8, 4)] {
        let mut camera = Painter { number: 0, dark };
        for piece in 1..200 {
            let frame = camera.grab(PieceId(piece), &pool).unwrap();
            std::hint::black_box(frame.digest());
            let (allocations, seen) = count(|| detector.inspect(&frame, PieceId(piece), &name).unwrap());
            assert_eq!(seen.findings.len(), findings);
            if piece > 2 {
                assert!(allocations <= BINDING + lists, "piece {piece}: {allocations} allocations");
            }
        }
    }
}
