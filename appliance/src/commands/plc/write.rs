//! `plc test-write`: one field of the status block for a while, to prove the wiring.
//!
//! Invariants: only with `commissioning = true` in [plc], with which no line runs; whatever happens, zeros are written at
//! the end, and if they could not be, that is what is told.

use super::super::{Failure, say};
use crate::cli::PlcTestWrite;
use crate::clock::Clock;
use crate::config::Settings;
use crate::pipeline::see::chain;
use crate::pipeline::{modbus, runtime, told_to_end};
use plc_bridge::test_write::{Commissioning, TestOutcome, TestStep, TestWrite, TestWriteError};
use std::time::Duration;

/// Writes, holds, and takes back.
pub fn test_write(args: &PlcTestWrite) -> Result<(), Failure> {
    let settings = Settings::load(&args.config)?;
    let Some(listed) = &settings.plc else {
        let text = "test writes go to the PLC of [plc], and this file has none: here the PLC is the client, and reads what it wants";
        return Err(Failure { text: text.to_owned(), code: 78 });
    };
    if !listed.commissioning {
        let text = format!(
            "{}: test writes are for commissioning only (mend: write commissioning = true in [plc], with which `jidoka run` does not start)",
            args.config.display()
        );
        return Err(Failure { text, code: 78 });
    }
    let bridge = modbus::bridge(&settings, Clock::new())?;
    let Some(plc) = &bridge.plc else { return Ok(()) };
    let write = TestWrite { field: args.field.clone(), value: args.value, hold: Duration::from_secs(args.hold_secs) };
    let mut unsaid = None;
    let tell = |step: TestStep| {
        if let Err(failure) = say(&words(&step, args)) {
            unsaid = Some(failure);
        }
    };
    let stop = async { drop(told_to_end().await) };
    let done = runtime()?.block_on(plc_bridge::test_write::test_write(&bridge, plc, Commissioning::Allowed, &write, tell, stop));
    match done {
        Err(error) => Err(Failure { text: chain(&error), code: if is_usage(&error) { 64 } else { 1 } }),
        Ok(outcome) => {
            say(&verdict(outcome, args))?;
            unsaid.map_or(Ok(()), Err)
        }
    }
}

fn is_usage(error: &TestWriteError) -> bool {
    matches!(error, TestWriteError::NoSuchField(_) | TestWriteError::NotOneNumber(_) | TestWriteError::DoesNotFit { .. })
}

fn words(step: &TestStep, args: &PlcTestWrite) -> String {
    match step {
        TestStep::Quiet => "no appliance is alive at this PLC; zeros are written first".to_owned(),
        TestStep::Written { place } => {
            format!("{} = {} stands in {place} and was read back; holding it for {} s", args.field, args.value, args.hold_secs)
        }
        TestStep::Holding => "still there".to_owned(),
        TestStep::TakenBack { after } => format!("the PLC took it back after {} ms", after.as_millis()),
        TestStep::Restored => "zeros are written again".to_owned(),
    }
}

fn verdict(outcome: TestOutcome, args: &PlcTestWrite) -> String {
    match outcome {
        TestOutcome::Held if args.field == "RunPermit" && args.value == 1 => {
            "attention: the PLC let RunPermit stand although VisionHeartbeat did not move; its program needs the watchdog, see docs/plc.md"
                .to_owned()
        }
        TestOutcome::TakenBack { .. } if args.field == "RunPermit" => "so its watchdog works".to_owned(),
        TestOutcome::Held => "done".to_owned(),
        TestOutcome::TakenBack { .. } => "done: somebody else writes this field too".to_owned(),
    }
}
