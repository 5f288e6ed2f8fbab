//! The appliance on a paced line, raced against tuned Python programs around the same model: reaction, overhead, tails, cost.
//!
//! Alternating rounds of the peers of `../shared/peer/race` (bare inference, tuned ONNX Runtime, tuned OpenVINO) and of `jidoka
//! run` as a user starts it: free-running on the same pictures from memory, the same ONNX file, the same PLC server, with
//! charts, ledger, uploader, journal and two open pages, of which the peers have none. One JSON line per contestant and round,
//! then the table with the bars. A *reaction* ends when the PLC has answered the write that says "reject".
//!
//! `QUICK=1` does one short round, `BOARD=1` only the small pictures with one camera, `FIFO=20` gives the Python peers real-time priority, `JIDOKA=path` races another binary.
//! Without `../shared/peer` (or Python with the packages of `requirements.txt`) nothing is measured and the reason is printed.

#[path = "race/arrangement.rs"]
mod arrangement;
#[path = "race/contestants.rs"]
mod contestants;
#[path = "race/page.rs"]
mod page;
#[path = "race/plc.rs"]
mod plc;
#[path = "race/table.rs"]
mod table;

use arrangement::Arrangement;
use contestants::{Lap, Run, round};
use serde_json::json;
use std::error::Error;

type Done<T> = Result<T, Box<dyn Error>>;

/// A model on pictures at a pace.
#[derive(Debug, Clone, Copy)]
struct Track {
    /// Name of the model file and of its package.
    model: &'static str,
    frames: &'static str,
    /// Pieces a second.
    rate: f64,
    /// Cameras that look at each piece.
    cameras: u32,
}

const BOARD: Track = Track { model: "s320", frames: "f640", rate: 25.0, cameras: 1 };
const LARGE: Track = Track { model: "n640", frames: "f5mp", rate: 8.0, cameras: 1 };
const PAIR: Track = Track { cameras: 2, ..BOARD };

/// Shares of the bare throughput of two streams at which two cameras are tried, the first that loses nothing counts. The wish
/// is 0.93.
const SHARES: [f64; 6] = [0.93, 0.85, 0.75, 0.65, 0.55, 0.45];

fn main() -> Done<()> {
    let quick = std::env::var_os("QUICK").is_some();
    let (rounds, seconds) = if quick { (1, 8) } else { (3, 18) };
    let arrangement = match Arrangement::make() {
        Ok(arrangement) => arrangement,
        Err(error) => {
            eprintln!("skipped: {error}");
            return Ok(());
        }
    };
    let lap = Lap { seconds, settle: 2 };
    let only_board = std::env::var_os("BOARD").is_some();
    let tracks = if only_board { 1 } else { 2 };
    let mut runs: Vec<Run> = Vec::new();
    for round in 0..rounds {
        for track in [BOARD, LARGE].into_iter().take(tracks) {
            runs.push(arrangement.floor(track, lap, round, track.model)?);
            runs.push(arrangement.peer("tuned", "ort", track, lap, round)?);
            runs.push(arrangement.product("jidoka", track, track.model, lap, round)?);
            if track.model == BOARD.model {
                runs.push(arrangement.peer("tuned-openvino", "openvino", track, lap, round)?);
                runs.push(arrangement.floor(track, lap, round, "s320-cut")?);
                runs.push(arrangement.product("jidoka, verdict first", track, "s320-cut", lap, round)?);
            }
            for run in
                runs.iter().rev().take_while(|run| run.round == round && run.track == track.model).collect::<Vec<_>>().into_iter().rev()
            {
                println!("{}", run.json());
            }
        }
    }
    let mut share = f64::NAN;
    if !only_board {
        runs.push(arrangement.product("jidoka, two cameras", PAIR, PAIR.model, lap, 0)?);
        println!("{}", runs.last().map(Run::json).unwrap_or_default());
        share = two_cameras(&arrangement, lap)?;
    }
    println!("{}", table::table(&runs, share));
    Ok(())
}

/// The largest share of the throughput of two bare streams at which two cameras lose no piece; 0 if none of those tried.
fn two_cameras(arrangement: &Arrangement, lap: Lap) -> Done<f64> {
    let bare = arrangement.two_streams(PAIR, lap)?;
    for share in SHARES {
        let track = Track { rate: share * bare / f64::from(PAIR.cameras), ..PAIR };
        let run = arrangement.product("jidoka, two cameras", track, track.model, lap, 0)?;
        println!("{}", json!({"bench": "appliance.two_cameras", "bare_frames_per_s": round(bare), "share": share, "dropped": run.dropped}));
        if run.dropped == 0 {
            return Ok(share);
        }
    }
    Ok(0.0)
}
