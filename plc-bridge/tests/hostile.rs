//! The real client against a PLC that misbehaves on the wire: nothing that was answered to another question is ever taken for
//! a value, and the line goes on when it can.
//!
//! Every wait is for a condition, with a deadline; a deadline that passes is a failure.

mod rig;

use plc_bridge::client::Way;
use plc_bridge::serial::{Parity, SerialLine};
use plc_bridge::sim::hostile::{Hostile, HostileHandle, HostileSettings, Noise, NoisyWire, Trouble};
use plc_bridge::sim::{Pace, Sim, SimSettings};
use rig::{Bench, Judge, plc};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

fn fast() -> SimSettings {
    // Its watchdog is patient: what is tried here is the wire.
    SimSettings {
        pace: Pace::Paced { pieces_per_minute: 1200.0 },
        vision_timeout: Duration::from_secs(10),
        scan_interval: Duration::from_millis(4),
        ..SimSettings::default()
    }
}

/// Serials and values must be those of the piece and of the sensor.
fn check(judge: &Judge, sim: &SimSettings, trouble: &str) {
    for (piece, serial) in judge.arrived.iter().zip(&judge.serials) {
        // A serial that could not be read for certain is none.
        assert!(serial.is_empty() || *serial == format!("SN{piece:08}"), "{trouble}: piece {piece} got serial {serial}");
    }
    assert!(judge.arrived.windows(2).all(|pair| pair[0] < pair[1]), "{trouble}: {:?}", judge.arrived);
    let good = judge.order.iter().filter_map(|words| words.strip_prefix("read "));
    let good: Vec<(&str, f64)> = good
        .filter_map(|words| {
            let (name, value) = words.split_once(" Good ")?;
            Some((name, value.parse().expect("a number")))
        })
        .collect();
    assert!(good.len() > 10, "{trouble}: hardly a reading: {:?}", judge.order);
    for (name, value) in good {
        let tag = sim.tags.iter().find(|tag| &*tag.spec.name == name).expect("a known tag");
        assert!((value - tag.mean).abs() < 8.0 * tag.sigma, "{trouble}: {name} = {value}");
    }
}

async fn hostile(sim: SocketAddr, trouble: Trouble) -> (SocketAddr, HostileHandle) {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let proxy = Hostile::bind(HostileSettings { listen, upstream: sim, seed: 7, trouble: Some(trouble) }).expect("a free port");
    let (address, handle) = (proxy.local_addr(), proxy.handle());
    tokio::spawn(proxy.run(std::future::pending()));
    (address, handle)
}

async fn survives(trouble: &str) {
    let sim = fast();
    let server = Sim::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), sim.clone()).await.expect("a free port");
    let handle = server.handle();
    let (address, hostile) = hostile(server.local_addr(), trouble.parse().expect("a known trouble")).await;
    tokio::spawn(server.run(std::future::pending()));
    let rig = Bench::of(handle, sim.clone(), address).start_client(|settings| {
        plc(settings).peer.call_timeout = Duration::from_millis(200);
        plc(settings).backoff_max = Duration::from_millis(60);
    });
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    let wanted = |judge: &Judge| judge.arrived.len() >= 12 && hostile.deeds().spoiled >= 5;
    judge.until(&rig, &mut reports, trouble, wanted).await;
    check(&judge, &sim, trouble);
    assert!(rig.plc.audit().first_not_zero + rig.plc.audit().backwards == 0, "{trouble}: {:?}", rig.plc.audit());
    println!("{trouble}: {:?}, {} pieces, {:?}", hostile.deeds(), judge.arrived.len(), judge.downs);
    judge.finish(rig).await;
}

#[tokio::test]
async fn replies_of_the_wrong_form_are_never_values() {
    for trouble in ["wrong-transaction/150", "wrong-unit/150", "wrong-function/150", "short/150", "oversized/150", "truncated/150"] {
        survives(trouble).await;
    }
}

#[tokio::test]
async fn replies_at_the_wrong_time_are_never_values() {
    for trouble in ["slow=30ms/20", "slow=300ms/150", "duplicate/150", "garbage/150"] {
        survives(trouble).await;
    }
}

#[tokio::test]
async fn exceptions_are_told_from_values_and_from_lost_links() {
    for trouble in ["exception=1/150", "exception=4/150", "exception=6/150", "exception=11/150", "exception=200/150"] {
        survives(trouble).await;
    }
}

/// A PLC on a serial line behind `noise`, and the client at the other end.
async fn over_a_wire(what: &str, noise: Noise, pieces: usize) -> usize {
    let sim = fast();
    let (wire, port) = NoisyWire::new(7).expect("a pseudo terminal");
    let (device, hand) = (wire.device(), wire.noise());
    tokio::spawn(wire.run(std::future::pending()));
    let server = Sim::bind_serial(port, 1, sim.clone());
    let handle = server.handle();
    tokio::spawn(server.run(std::future::pending()));
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let rig = Bench::of(handle, sim.clone(), nowhere).start_client(|settings| {
        plc(settings).peer.way = Way::Serial(SerialLine { device, baud: 115_200, parity: Parity::Even });
        plc(settings).peer.call_timeout = Duration::from_millis(150);
        plc(settings).backoff_max = Duration::from_millis(60);
    });
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "a piece over the serial line", |judge| !judge.arrived.is_empty()).await;
    hand.send_replace(noise);
    judge.until(&rig, &mut reports, what, |judge| judge.arrived.len() >= pieces).await;
    check(&judge, &sim, what);
    println!("{what}: {} pieces, {:?}", judge.arrived.len(), judge.downs);
    let downs = judge.downs.len();
    judge.finish(rig).await;
    downs
}

#[tokio::test]
async fn the_same_plc_shakes_hands_over_a_serial_line() {
    assert_eq!(over_a_wire("a quiet cable", Noise::default(), 12).await, 0);
}

#[tokio::test]
async fn a_disturbed_cable_costs_time_and_gives_no_wrong_values() {
    let quiet = Noise::default();
    let flips = over_a_wire("flipped bits", Noise { flipped_per_mille: 1, ..quiet }, 12).await;
    let losses = over_a_wire("lost bytes", Noise { lost_per_mille: 1, ..quiet }, 12).await;
    let inventions = over_a_wire("invented bytes", Noise { invented_per_mille: 1, ..quiet }, 12).await;
    over_a_wire("a slow cable", Noise { delay: Duration::from_millis(2), ..quiet }, 6).await;
    assert!(flips + losses + inventions > 0, "no noise was noticed");
}
