//! Draws boards into a folder, to look at them or to train on them:
//! `cargo run -p vision-models --example draw-boards -- DIR [SEED [COUNT [FLAWS_MAX]]]`.
//!
//! Beside `N_test.png` and `N_golden.png` lies `N.txt` with one fault a line, as in DeepPCB: `x1 y1 x2 y2 class`.

use station::piece::PieceId;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use vision_models::boards::{BOARD_SIDE, BoardSettings, Boards, SIDE};
use vision_models::picture::Picture;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().ok_or("usage: draw-boards DIR [SEED [COUNT [FLAWS_MAX]]]")?);
    let seed = arguments.get(1).map_or(Ok(1), |text| text.parse())?;
    let count: u32 = arguments.get(2).map_or(Ok(6), |text| text.parse())?;
    let flaws_max = arguments.get(3).map_or(Ok(6), |text| text.parse())?;
    std::fs::create_dir_all(folder)?;
    let boards = Boards::new(BoardSettings { seed, bad_share: 1.0, flaws_max, ..BoardSettings::default() })?;
    let mut pixels = vec![0; SIDE * SIDE];
    for number in 1..=count {
        let piece = PieceId(number);
        boards.draw(piece, &mut pixels);
        let mut truth = String::new();
        for fault in boards.truth(piece) {
            let b = fault.bounds;
            writeln!(truth, "{} {} {} {} {}", b.x1, b.y1, b.x2, b.y2, fault.class.0)?;
        }
        std::fs::write(folder.join(format!("{number}.txt")), &truth)?;
        Picture::new(BOARD_SIDE, BOARD_SIDE, pixels.clone())?.write_png(&folder.join(format!("{number}_test.png")))?;
        boards.golden(piece).write_png(&folder.join(format!("{number}_golden.png")))?;
    }
    println!("{count} boards of seed {seed} lie in {}", folder.display());
    Ok(())
}
