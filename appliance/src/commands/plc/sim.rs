//! `plc sim`: a conveyor behind a real Modbus server, which can also be asked to misbehave.

use super::super::{Failure, say};
use crate::cli::PlcSim;
use crate::pipeline::{at, runtime, told_to_end};
use plc_bridge::serial::{Parity, SerialLine};
use plc_bridge::sim::hostile::{Hostile, HostileHandle, HostileSettings, Trouble};
use plc_bridge::sim::{Pace, Sim, SimSettings};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::watch;

/// Runs the simulated conveyor PLC until it is told to end.
pub fn sim(args: &PlcSim) -> Result<(), Failure> {
    let pace = if args.pace == 0 { Pace::Lockstep } else { Pace::Paced { pieces_per_minute: f64::from(args.pace) } };
    let settings = SimSettings { seed: args.seed, pace, ..SimSettings::default() };
    runtime()?.block_on(async {
        if let Some(device) = &args.serial {
            let line = SerialLine { device: device.clone(), baud: args.baud, parity: Parity::None };
            let cannot = format!("{} cannot be opened as a serial line; does it exist, and is it free?", device.display());
            let port = line.open().map_err(std::io::Error::from).map_err(at(&cannot))?;
            say(&format!("simulated PLC: {}, slave 1, {} baud", device.display(), args.baud))?;
            let ended = async { drop(told_to_end().await) };
            return Ok(Sim::bind_serial(port, 1, settings).run(ended).await.map_err(at("the simulated PLC has ended"))?);
        }
        let cannot = format!("cannot listen on {}", args.listen);
        let Some(trouble) = args.hostile else {
            let sim = Sim::bind(args.listen, settings).await.map_err(at(&cannot))?;
            say(&format!("simulated PLC: {}", sim.local_addr()))?;
            let ended = async { drop(told_to_end().await) };
            return Ok(sim.run(ended).await.map_err(at("the simulated PLC has ended"))?);
        };
        // The PLC itself behaves; what stands in front of it does not.
        let behind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sim = Sim::bind(behind, settings).await.map_err(at(&cannot))?;
        let front = HostileSettings { listen: args.listen, upstream: sim.local_addr(), seed: args.seed, trouble: None };
        let hostile = Hostile::bind(front).map_err(at(&cannot))?;
        say(&format!("simulated PLC: {}", hostile.local_addr()))?;
        let (end, ended) = watch::channel(false);
        let until = |mut ended: watch::Receiver<bool>| async move { drop(ended.wait_for(|ended| *ended).await) };
        let misbehave = misbehave(hostile.handle(), trouble, args);
        let served = async { tokio::join!(sim.run(until(ended.clone())), hostile.run(until(ended))) };
        let told = async {
            tokio::select! {
                told = told_to_end() => told,
                told = misbehave => told,
            }
        };
        let ((plc, front), told) = tokio::join!(served, async {
            let told = told.await;
            end.send_replace(true);
            told
        });
        told?;
        plc.map_err(at("the simulated PLC has ended"))?;
        Ok(front.map_err(at("the misbehaving front has ended"))?)
    })
}

/// Begins and ends the trouble, and says when; then waits for ever.
async fn misbehave(hand: HostileHandle, trouble: Trouble, args: &PlcSim) -> Result<(), crate::pipeline::LineError> {
    let tell = |what: &str| say(what).map_err(|failure| crate::pipeline::LineError { what: failure.text, source: None });
    tokio::time::sleep(Duration::from_secs(args.hostile_after)).await;
    hand.begin(trouble);
    tell(&format!("from now on: {trouble}"))?;
    if let Some(secs) = args.hostile_for {
        tokio::time::sleep(Duration::from_secs(secs)).await;
        hand.end();
        tell(&format!("over: {trouble}"))?;
    }
    std::future::pending().await
}
