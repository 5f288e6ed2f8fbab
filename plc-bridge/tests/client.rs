//! The client over other ways than one TCP connection: serial lines, gateways, a coil, several PLCs.

mod gateway;
mod rig;

use gateway::Gateway;
use plc_bridge::client::{SourceSettings, WriteRule};
use plc_bridge::map::{Kind, Payload, Sample, TagSpec};
use plc_bridge::sim::{Outage, Sim, SimHandle, SimSettings, TAGS_BASE};
use plc_bridge::{BridgeReport, Settings, run};
use rig::{Bench, Judge, Rig, clock, lockstep, plc, within};
use station::line::LinkFault;
use station::reading::{Quality, Reading};
use station::station::Event;
use station::units::Micros;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_modbus::Request;

const COIL: u16 = 100;

/// Faults of the link, without the one of a slow start: a permit that comes before the first heartbeat is taken back by the
/// simulated PLC's watchdog, and does not read back.
fn faults(judge: &Judge) -> Vec<LinkFault> {
    judge.downs.iter().copied().filter(|fault| *fault != LinkFault::ReadBackMismatch).collect()
}

fn is_permit_write(request: &Request<'_>) -> Option<bool> {
    match request {
        Request::WriteMultipleRegisters(1000, words) => Some(words[1] & 0x80 != 0),
        _ => None,
    }
}

#[tokio::test]
async fn a_whole_handshake_over_a_serial_line() {
    let bench = Bench::start(lockstep(12)).await;
    let gateway = Gateway::to(bench.address()).await;
    let (way, _end) = gateway.serial(115_200);
    let rig = bench.start_client(|settings| plc(settings).peer.way = way);
    let mut judge = Judge::by(|piece| piece % 2 == 1);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the last piece to leave", |_| rig.plc.observe().finished).await;
    let seen = rig.plc.observe();
    assert_eq!(*seen.passed_ids, [1, 3, 5, 7, 9, 11]);
    assert_eq!(*seen.rejected_ids, [2, 4, 6, 8, 10, 12]);
    assert_eq!((seen.results_repeated, seen.results_unknown, seen.unanswered_at_gate), (0, 0, 0));
    assert!(faults(&judge).is_empty() && judge.missed.is_empty(), "{:?} {:?}", judge.downs, judge.missed);
    assert!(judge.qualities.iter().all(|quality| *quality == Quality::Good));
    let plc = judge.finish(rig).await;
    assert_eq!(plc.holding(1000, 64).expect("the status block"), vec![0; 64]);
}

#[tokio::test]
async fn the_permit_coil_goes_first_to_stop_and_last_to_run() {
    let bench = Bench::start(SimSettings::default()).await;
    let gateway = Gateway::to(bench.address()).await;
    let way = gateway.tcp().await;
    gateway.memory().coils.insert(COIL, true);
    let rig = bench.start_client(|settings| {
        plc(settings).peer.way = way;
        plc(settings).permit_coil = Some(COIL);
    });
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the line to run", |judge| judge.running).await;
    assert!(gateway.memory().coils[&COIL]);
    judge.permit(&rig, false).await;
    judge.until(&rig, &mut reports, "the line to stop", |judge| !judge.running).await;
    {
        let memory = gateway.memory();
        let mut permits = (None, None);
        for request in &memory.asked {
            if let Request::WriteSingleCoil(COIL, on) = request {
                permits.0 = Some(*on);
            }
            permits.1 = is_permit_write(request).or(permits.1);
            // At no moment does the coil say more than the block; before the first write it says what it said before.
            assert!(permits.0 != Some(true) || permits.1 == Some(true), "{request:?}");
        }
        assert_eq!(permits, (Some(false), Some(false)));
        let first =
            memory.asked.iter().find(|request| matches!(request, Request::WriteSingleCoil(..) | Request::WriteMultipleRegisters(..)));
        assert_eq!(first, Some(&Request::WriteSingleCoil(COIL, false)), "an old coil is taken back before anything else");
    }
    judge.permit(&rig, true).await;
    judge.until(&rig, &mut reports, "the line to run again", |judge| judge.running).await;
    assert!(faults(&judge).is_empty(), "{:?}", judge.downs);
    let before = judge.downs.len();
    // Someone else takes the coil back: what the appliance believes no longer reads back.
    gateway.memory().coils.insert(COIL, false);
    judge.until(&rig, &mut reports, "the mismatch", |judge| judge.downs[before..].contains(&LinkFault::ReadBackMismatch)).await;
    judge.finish(rig).await;
    assert!(!gateway.memory().coils[&COIL]);
}

#[tokio::test]
async fn the_values_of_a_result_are_there_before_it_is_valid_and_after_a_stop() {
    let bench = Bench::start(lockstep(4)).await;
    let gateway = Gateway::to(bench.address()).await;
    let way = gateway.tcp().await;
    let rig = bench.start_client(|settings| {
        plc(settings).peer.way = way;
        settings.payload = Payload::new(vec![TagSpec::new("piece", 64, Kind::U32)]).expect("it fits");
    });
    let mut judge = Judge::by(|_| true);
    judge.stops_with = Some(3);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the result of the piece that stops the line", |judge| judge.written.contains(&3)).await;
    let (mut permit, mut payload, mut valid) = (false, None, Vec::new());
    for request in &gateway.memory().asked {
        permit = is_permit_write(request).unwrap_or(permit);
        match request {
            Request::WriteMultipleRegisters(1064, words) => {
                assert_eq!(words.len(), 2, "the PLC's memory beyond the payload is its own");
                payload = Some(words[1]);
                assert!(words[1] != 3 || !permit, "the line was told to stop after something else");
            }
            Request::WriteMultipleRegisters(1000, words) if words[0] & 0x0800 != 0 => {
                assert_eq!(payload, Some(words[11]), "a result was valid before its values were there");
                valid.push(words[11]);
            }
            _ => {}
        }
    }
    valid.dedup();
    assert_eq!((valid.as_slice(), permit), (&[1, 2, 3][..], false));
    judge.finish(rig).await;
}

#[tokio::test]
async fn what_the_list_does_not_allow_is_never_sent() {
    let bench = Bench::start(SimSettings::default()).await;
    let gateway = Gateway::to(bench.address()).await;
    let way = gateway.tcp().await;
    let rig = bench.start_client(|settings| {
        plc(settings).peer.way = way;
        // One digit is wrong.
        plc(settings).allowed = vec![WriteRule::registers(1100, 1227)];
    });
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the refusal", |judge| judge.downs.contains(&LinkFault::Refused)).await;
    assert!(gateway.memory().asked.iter().all(|request| matches!(request, Request::ReadHoldingRegisters(..))));
    judge.finish(rig).await;
}

/// Readings of PLCs that nobody shakes hands with.
struct Listener {
    readings: mpsc::UnboundedReceiver<Reading>,
    _running: tokio::task::JoinHandle<()>,
    _commands: mpsc::Sender<station::line::LineCommand>,
}

impl Listener {
    fn start(sources: Vec<SourceSettings>) -> Self {
        let (tell, readings) = mpsc::unbounded_channel();
        let (commands, asked) = mpsc::channel(8);
        let report = move |report| {
            if let BridgeReport::Event(Event::Read(reading)) = report {
                tell.send(reading).unwrap_or_default();
            }
        };
        let settings = Settings { sources, ..Settings::alone(clock()) };
        let running = tokio::spawn(run(settings, asked, report, std::future::pending()));
        Self { readings, _running: running, _commands: commands }
    }

    /// Reads on until `wanted` is told; gives everything that was told until then.
    async fn until(&mut self, what: &str, mut wanted: impl FnMut(&Reading) -> bool) -> Vec<Reading> {
        let mut told = Vec::new();
        within(what, async {
            loop {
                let reading = self.readings.recv().await.expect("the bridge runs");
                told.push(reading);
                if told.last().is_some_and(&mut wanted) {
                    break;
                }
            }
        })
        .await;
        told
    }
}

fn oven(name: &str) -> TagSpec {
    TagSpec { sample: Sample::Every(Micros::from_millis(10)), ..TagSpec::new(name, TAGS_BASE, Kind::U16) }
}

async fn sim() -> (SimHandle, SocketAddr) {
    let sim = Sim::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), lockstep(0)).await.expect("a free port");
    let (handle, address) = (sim.handle(), sim.local_addr());
    tokio::spawn(sim.run(std::future::pending()));
    (handle, address)
}

#[tokio::test]
async fn a_silent_plc_of_three_delays_no_reading_of_the_others() {
    let (mut handles, mut sources) = (Vec::new(), Vec::new());
    for name in ["a", "b", "c"] {
        let (handle, address) = sim().await;
        handles.push(handle);
        let mut source = SourceSettings::new(name, address, vec![oven(name)]);
        source.peer.call_timeout = Duration::from_millis(800);
        sources.push(source);
    }
    let mut listener = Listener::start(sources);
    let mut seen = BTreeMap::new();
    listener
        .until("readings of all three", |reading| {
            seen.insert(reading.tag.to_string(), reading.quality);
            seen.len() == 3
        })
        .await;
    handles[1].outage(Outage::Silent, Duration::from_secs(600));
    // The silence costs its 800 ms at least once; meanwhile the others tell what they have.
    let told = listener.until("the silence to be noticed", |reading| &*reading.tag == "b" && reading.quality == Quality::Stale).await;
    for other in ["a", "c"] {
        let good = told.iter().filter(|reading| &*reading.tag == other && reading.quality == Quality::Good).count();
        assert!(good >= 10, "{other} told {good} values while b was silent");
    }
    let mut after = 0;
    let told = listener
        .until("many more readings", |_| {
            after += 1;
            after == 400
        })
        .await;
    assert!(told.iter().all(|reading| &*reading.tag != "b" && reading.quality == Quality::Good), "stale is told once");
    assert!(told.iter().filter(|reading| &*reading.tag == "a").count() > 100);
    handles[1].outage(Outage::Silent, Duration::ZERO);
    listener.until("b to recover", |reading| &*reading.tag == "b" && reading.quality == Quality::Good).await;
}

#[tokio::test]
async fn a_lost_plc_is_stale_once_and_comes_back() {
    let (handle, address) = sim().await;
    let mut listener = Listener::start(vec![SourceSettings::new("a", address, vec![oven("t")])]);
    for _ in 0..3 {
        listener.until("a good value", |reading| reading.quality == Quality::Good).await;
        handle.outage(Outage::Closed, Duration::from_millis(300));
        let told = listener.until("the loss", |reading| reading.quality == Quality::Stale).await;
        assert!(told.iter().all(|reading| reading.quality != Quality::Bad));
        let told = listener.until("the return", |reading| reading.quality == Quality::Good).await;
        assert_eq!(told.len(), 1, "nothing but the return is told: {told:?}");
    }
}

/// One unit behind a gateway is missing, over TCP and over a serial line.
#[tokio::test]
async fn a_missing_unit_starves_nobody_and_recovers_nothing_by_itself() {
    for serial in [false, true] {
        let (_handle, address) = sim().await;
        let gateway = Gateway::to(address).await;
        let (way, _end) = if serial {
            let (way, end) = gateway.serial(115_200);
            (way, Some(end))
        } else {
            (gateway.tcp().await, None)
        };
        let missing = TagSpec { unit_id: Some(9), ..oven("missing") };
        let mut source = SourceSettings::new("a", way, vec![oven("t"), missing]);
        source.peer.call_timeout = Duration::from_millis(100);
        let mut listener = Listener::start(vec![source]);
        let mut good = 0;
        let told = listener
            .until("many readings", |reading| {
                good += u32::from(reading.quality == Quality::Good);
                good == 150
            })
            .await;
        // A busy machine may let even the good unit look silent once; the missing one never has a value.
        assert!(told.iter().all(|reading| &*reading.tag == "t"), "{serial}");
        let memory = gateway.memory();
        let attempts = memory.units.iter().filter(|unit| **unit == 9).count();
        assert!((1..60).contains(&attempts), "{attempts} attempts for 150 readings");
    }
}

#[tokio::test]
async fn tags_share_the_control_connection_if_they_must() {
    for own in [true, false] {
        let rig = Rig::start(lockstep(4), |settings| {
            plc(settings).tag_connection = own;
            plc(settings).tags.push(oven("spare"));
            // Nothing is there.
            plc(settings).tags.push(TagSpec { address: TAGS_BASE - 2, ..oven("nothing") });
        })
        .await;
        let mut judge = Judge::by(|_| true);
        let mut reports = rig.reports();
        judge.until(&rig, &mut reports, "the last piece to leave", |_| rig.plc.observe().finished).await;
        let of = |tag: &str, quality: &str| judge.order.iter().filter(|event| event.starts_with(&format!("read {tag} {quality}"))).count();
        assert!(of("spare", "Good") >= 2 && of("spare", "Bad") == 0, "own connection: {own}");
        assert!(of("nothing", "Bad") >= 1 && of("nothing", "Good") == 0, "own connection: {own}");
        assert_eq!(of("paste_height", "Good"), 4);
        assert!(faults(&judge).is_empty(), "{:?}", judge.downs);
        judge.finish(rig).await;
    }
}
