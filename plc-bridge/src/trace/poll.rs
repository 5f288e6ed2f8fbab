//! Looks at both blocks of a PLC and lets the tracer judge. Read-only, over a connection of its own.

use super::{Summary, Traced, Tracer, What};
use crate::bridge::Settings;
use crate::client::{ClientSettings, WireError};
use crate::jmap::{Control, Status};
use crate::look::{Eye, chain};
use std::pin::pin;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Traces the handshake of `plc` until `stop` resolves: both blocks every `poll_interval`, or as fast as the PLC answers.
/// `tell` gets everything in order and must not block. A link that is lost is told and made anew.
///
/// # Errors
/// If the first look fails: the PLC cannot be reached, does not answer, or refuses a block.
pub async fn trace(
    settings: &Settings,
    plc: &ClientSettings,
    mut tell: impl FnMut(Traced) + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<Summary, WireError> {
    let mut eye = Eye::alone(&plc.peer);
    let mut tracer = Tracer::new();
    let mut ticks = interval(plc.poll_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(stop);
    let (mut up, mut looked) = (false, false);
    loop {
        let looking = async {
            ticks.tick().await;
            look(&mut eye, plc, settings).await
        };
        let look = tokio::select! {
            biased;
            () = &mut stop => break,
            look = looking => look,
        };
        let at = (settings.clock)();
        match look {
            Ok((control, status)) => {
                if !std::mem::replace(&mut up, true) {
                    tell(Traced { at, what: What::Link { up, error: None } });
                }
                looked = true;
                tracer.look(&control, &status, at).into_iter().for_each(&mut tell);
            }
            Err(error) if !looked => return Err(error),
            Err(error) => {
                tracer.lose(at).into_iter().for_each(&mut tell);
                if std::mem::replace(&mut up, false) {
                    tell(Traced { at, what: What::Link { up, error: Some(chain(&error)) } });
                }
                tokio::select! {
                    () = sleep(plc.backoff_max) => {}
                    () = &mut stop => break,
                }
            }
        }
    }
    tracer.lose((settings.clock)()).into_iter().for_each(&mut tell);
    Ok(tracer.summary())
}

async fn look(eye: &mut Eye, plc: &ClientSettings, settings: &Settings) -> Result<(Control, Status), WireError> {
    let (control, status) = eye.heads(plc).await?;
    Ok((Control::decode(&control?, settings.order), Status::decode(&status?, settings.order)))
}
