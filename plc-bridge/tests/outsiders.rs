//! Others beside the appliance: `mbpoll` (a Modbus master that is not ours) and a person with `plc watch`.

mod rig;

use plc_bridge::Settings;
use plc_bridge::client::{ClientSettings, WireError};
use plc_bridge::jmap::{Order, STATUS};
use plc_bridge::sim::{Outage, SimHandle, SimSettings};
use plc_bridge::watch::{Watcher, read_once, table};
use rig::{Judge, Rig, clock};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// What mbpoll prints, on both streams; `None` if it is not installed.
async fn mbpoll(port: u16, arguments: &str) -> Option<String> {
    let arguments = format!("-m tcp -p {port} -1 {}", arguments.replace("HOST", "127.0.0.1"));
    let run = spawn_blocking(move || Command::new("mbpoll").args(arguments.split_whitespace()).output());
    match run.await.expect("no panic") {
        Ok(output) => Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "mbpoll must be installed here (package mbpoll)");
            println!("skipped: mbpoll is not installed");
            None
        }
        Err(error) => panic!("mbpoll does not start: {error}"),
    }
}

/// The value mbpoll shows for a 1-based reference.
fn shown(text: &str, reference: u16) -> Option<u16> {
    let line = text.lines().find(|line| line.starts_with(&format!("[{reference}]:")))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn permit_bit(plc: &SimHandle) -> bool {
    plc.holding(1001, 1).is_some_and(|words| words[0] & 0x80 != 0)
}

#[tokio::test]
async fn mbpoll_reads_the_permit_and_may_not_write_what_the_plc_owns() {
    let rig = Rig::start(SimSettings::default(), |_| {}).await;
    let port = rig.port();
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the line to run", |judge| judge.running).await;
    let background = judge.keep_beating(&rig, reports);
    let Some(text) = mbpoll(port, "-t 4 -r 1002 -c 1 HOST").await else { return };
    assert_eq!(shown(&text, 1002).map(|word| word & 0x80), Some(0x80), "{text}");
    for (arguments, reference) in [("-t 1 -r 24 -c 1 HOST", 24), ("-t 3 -r 2 -c 1 HOST", 2), ("-t 0 -r 1 -c 1 HOST", 1)] {
        let text = mbpoll(port, arguments).await.expect("it ran a moment ago");
        assert!(shown(&text, reference).is_some_and(|value| value > 0), "{arguments}: {text}");
    }
    for arguments in ["-t 4 -r 500 -c 1 HOST", "-t 4 -r 1 HOST 2", "-t 4 -r 2001 HOST 2", "-t 0 -r 2 HOST 1"] {
        let text = mbpoll(port, arguments).await.expect("it ran a moment ago");
        assert!(text.contains("Illegal data address"), "{arguments}: {text}");
    }
    let text = mbpoll(port, "-t 4 -r 1015 HOST 9").await.expect("it ran a moment ago");
    assert!(text.contains("Illegal data value"), "{text}");

    let (mut judge, mut reports) = background.stop().await;
    judge.permit(&rig, false).await;
    judge.until(&rig, &mut reports, "the line to stop", |judge| !judge.running).await;
    let text = mbpoll(port, "-t 4 -r 1002 -c 1 HOST").await.expect("it ran a moment ago");
    assert_eq!(shown(&text, 1002).map(|word| word & 0x80), Some(0), "{text}");
    assert!(judge.downs.is_empty(), "a second client disturbed the first: {:?}", judge.downs);
}

#[tokio::test]
async fn a_second_writer_of_the_permit_is_found_out() {
    let rig = Rig::start(SimSettings::default(), |_| {}).await;
    let port = rig.port();
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "the line to run", |judge| judge.running).await;
    judge.permit(&rig, false).await;
    judge.until(&rig, &mut reports, "the line to stop", |judge| !judge.running).await;
    let background = judge.keep_beating(&rig, reports);
    // Someone lets the line run behind the appliance's back.
    if mbpoll(port, "-t 4 -r 1002 HOST 128").await.is_none() {
        return;
    }
    let (mut judge, mut reports) = background.stop().await;
    judge.until(&rig, &mut reports, "the mismatch", |judge| !judge.downs.is_empty()).await;
    assert_eq!(judge.downs[0], station::line::LinkFault::ReadBackMismatch);
    judge.until(&rig, &mut reports, "the link to come up", |judge| judge.ups == 2).await;
    judge.permit(&rig, false).await;
    judge.until(&rig, &mut reports, "the permit to be gone", |_| !permit_bit(&rig.plc)).await;
}

#[tokio::test]
async fn a_person_sees_both_blocks_and_the_tags() {
    let rig = Rig::start(SimSettings::default(), |_| {}).await;
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "a piece", |judge| !judge.arrived.is_empty()).await;
    let settings = Settings::alone(clock());
    let plc = ClientSettings { tags: SimSettings::default().tag_specs(), ..ClientSettings::new(rig.address()) };
    let picture = read_once(&settings, &plc).await.expect("the PLC answers");
    let status = picture.status.clone().expect("a status block");
    let named = |name: &str| STATUS.iter().find(|field| field.name == name).and_then(|field| field.show(&status, Order::default()));
    assert_eq!(named("MapVersion").as_deref(), Some("1"));
    assert_eq!(named("RunPermit").as_deref(), Some("1"));
    assert_eq!(picture.readings.len(), 5);
    let look = async |plc: ClientSettings| {
        let mut watcher = Watcher::new(Settings { plc: Some(plc), ..settings.clone() });
        table(watcher.look().await, (settings.clock)())
    };
    let text = look(plc.clone()).await;
    for name in ["TriggerEnable", "PieceSeq ", "RunPermit", "CountMissedTriggers", "paste_height", "placement_force"] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    let elsewhere = ClientSettings { control_base: 400, ..plc };
    assert!(look(elsewhere).await.contains("refused to read"));
}

#[tokio::test]
async fn watching_an_absent_plc_says_so() {
    // A port that was free a moment ago and has no listener now.
    let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = read_once(&Settings::alone(clock()), &ClientSettings::new(address)).await.expect_err("nobody listens");
    assert!(matches!(error, WireError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()));

    let rig = Rig::start(SimSettings::default(), |_| {}).await;
    rig.plc.outage(Outage::Silent, Duration::from_secs(600));
    let error = read_once(&Settings::alone(clock()), &ClientSettings::new(rig.address())).await.expect_err("it is silent");
    assert!(matches!(error, WireError::TimedOut { .. }), "{error:?}");
}
