//! Writes the seeds of every fuzz target, cases made of real frames, into the folders `<argument>/<target>`.

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let corpus = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("say where: fuzz_seeds plc-bridge/fuzz/corpus"))?;
    for target in plc_bridge::fuzzing::TARGETS {
        let folder = Path::new(&corpus).join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in (target.seeds)() {
            std::fs::write(folder.join(format!("seed-{name}")), bytes)?;
        }
    }
    Ok(())
}
