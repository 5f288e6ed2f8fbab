//! Draws boards into a folder to look at them: `cargo run -p vision-models --example draw-boards -- DIR [SEED [COUNT]]`.

use station::piece::PieceId;
use std::error::Error;
use std::path::Path;
use std::time::Instant;
use vision_models::boards::{BOARD_SIDE, BoardSettings, Boards, SIDE};
use vision_models::picture::Picture;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().ok_or("usage: draw-boards DIR [SEED [COUNT]]")?);
    let seed = arguments.get(1).map_or(Ok(1), |text| text.parse())?;
    let count: u32 = arguments.get(2).map_or(Ok(6), |text| text.parse())?;
    std::fs::create_dir_all(folder)?;
    let boards = Boards::new(BoardSettings { seed, bad_share: 1.0, flaws_max: 6, ..BoardSettings::default() })?;
    let mut pixels = vec![0; SIDE * SIDE];
    for number in 1..=count {
        let piece = PieceId(number);
        let start = Instant::now();
        boards.draw(piece, &mut pixels);
        println!("piece {number}: {} us, {:?}", start.elapsed().as_micros(), boards.truth(piece));
        Picture::new(BOARD_SIDE, BOARD_SIDE, pixels.clone())?.write_png(&folder.join(format!("{number}_test.png")))?;
        boards.golden(piece).write_png(&folder.join(format!("{number}_golden.png")))?;
    }
    Ok(())
}
