//! Makes a package whole after its weights, manifest or golden pictures were changed: draws golden boards that are
//! missing, computes what the model finds on each, and writes the SHA-256 of every file into `[files]`.
//!
//! `cargo run -p vision-models --example make-package -- vision-models/packages/pcb`

use station::piece::PieceId;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use vision_models::boards::{BOARD_SIDE, BoardSettings, Boards, SIDE};
use vision_models::detector::Detector;
use vision_models::frame::MonoClock;
use vision_models::package::{MANIFEST, Manifest, Package, seal};
use vision_models::picture::Picture;
use vision_models::runtime::Runtime;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let argument = std::env::args().nth(1).ok_or("usage: make-package DIR")?;
    let folder = Path::new(&argument);
    let manifest = Manifest::parse(&std::fs::read_to_string(folder.join(MANIFEST))?)?;
    std::fs::create_dir_all(folder.join("golden"))?;
    for (number, piece) in (1_u32..).zip(&manifest.parity.piece) {
        if let Some(golden) = piece.golden.as_ref().filter(|_| !folder.join(&piece.test).exists()) {
            draw(folder, &piece.test, golden, number)?;
        }
        std::fs::write(folder.join(&piece.expected), "[]\n")?;
    }
    seal(folder)?;
    let start = Instant::now();
    let clock: MonoClock = Arc::new(move || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
    let runtime = Runtime::find()?;
    let package = Package::open(folder)?;
    let mut detector = Detector::load(&runtime, &package.clone().without_goldens(), Arc::clone(&clock))?;
    for (piece, golden) in manifest.parity.piece.iter().zip(package.goldens()) {
        let findings = detector.findings(&golden.test, golden.golden.as_deref())?;
        println!("{}: {} findings", piece.test, findings.len());
        std::fs::write(folder.join(&piece.expected), serde_json::to_string_pretty(&findings)? + "\n")?;
    }
    seal(folder)?;
    Detector::load(&runtime, &Package::open(folder)?, clock)?;
    println!("{}: whole, and proved on its golden pieces", package.model().package);
    Ok(())
}

/// Golden boards without noise, which would only make the files large; a board called `good` has no fault.
fn draw(folder: &Path, test: &str, golden: &str, number: u32) -> Done {
    let bad_share = if test.contains("good_test") { 0.0 } else { 1.0 };
    let boards = Boards::new(BoardSettings { seed: 48, bad_share, flaws_max: 6, noise: 0 })?;
    let mut pixels = vec![0; SIDE * SIDE];
    boards.draw(PieceId(number), &mut pixels);
    Picture::new(BOARD_SIDE, BOARD_SIDE, pixels)?.write_png(&folder.join(test))?;
    boards.golden(PieceId(number)).write_png(&folder.join(golden))?;
    println!("{test}: drawn, with {} faults", boards.truth(PieceId(number)).len());
    Ok(())
}
