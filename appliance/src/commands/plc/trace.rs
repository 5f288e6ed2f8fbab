//! `plc trace`: the handshake's timing, piece by piece.

use super::super::{Failure, say};
use super::target::find;
use crate::cli::PlcTrace;
use crate::pipeline::{at, runtime, told_to_end};
use plc_bridge::trace::{Traced, What};
use tokio::sync::watch;

/// Shows how long each step took, and a summary at the end.
pub fn trace(args: &PlcTrace) -> Result<(), Failure> {
    let target = find(&args.target)?;
    let Some(plc) = &target.bridge.plc else {
        return Err(Failure { text: "there is nobody to trace: the settings have neither [plc] nor [modbus_server]".to_owned(), code: 78 });
    };
    if !args.json {
        say(&format!("{}\n{}", target.title, Traced::header()))?;
    }
    // Told pieces and a reader that left end the trace in the same way.
    let (enough, mut ended) = watch::channel(false);
    let mut left = args.pieces.map(std::num::NonZeroU32::get);
    let mut unsaid = None;
    let tell = |traced: Traced| {
        if left == Some(0) || unsaid.is_some() {
            return;
        }
        unsaid = say(&if args.json { traced.json() } else { traced.line() }).err();
        if let (Some(left), What::Piece(_)) = (&mut left, &traced.what) {
            *left -= 1;
        }
        if left == Some(0) || unsaid.is_some() {
            enough.send_replace(true);
        }
    };
    let stop = async {
        tokio::select! {
            told = told_to_end() => drop(told),
            _ = ended.wait_for(|ended| *ended) => {}
        }
    };
    let traced = runtime()?.block_on(plc_bridge::trace::trace(&target.bridge, plc, tell, stop));
    let summary = traced.map_err(at(&format!("{} cannot be traced", target.title)))?;
    if let Some(failure) = unsaid {
        return Err(failure);
    }
    if args.json {
        say(&serde_json::to_string(&serde_json::json!({ "summary": summary })).map_err(at("the summary"))?)
    } else {
        say(&format!("\n{}", summary.to_string().trim_end()))
    }
}
