//! Test writes against a real server: what is refused, what is written, and that zeros are left behind.

mod rig;

use plc_bridge::Settings;
use plc_bridge::client::{ClientSettings, WireError};
use plc_bridge::sim::{Outage, Pace, Sim, SimHandle, SimSettings};
use plc_bridge::test_write::{Commissioning, TestOutcome, TestStep, TestWrite, TestWriteError, test_write};
use rig::{Judge, Rig, clock, within};
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;

async fn alone() -> (SimHandle, ClientSettings) {
    let settings = SimSettings { pace: Pace::Lockstep, ..SimSettings::default() };
    let sim = Sim::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), settings).await.expect("a free port");
    let (handle, address) = (sim.handle(), sim.local_addr());
    tokio::spawn(sim.run(pending()));
    (handle, patient(address))
}

fn patient(address: SocketAddr) -> ClientSettings {
    let mut plc = ClientSettings::new(address);
    plc.peer.call_timeout = Duration::from_millis(800);
    plc
}

/// Its watchdog is patient: a crowded machine is no dead appliance.
fn patient_sim() -> SimSettings {
    SimSettings { vision_timeout: Duration::from_secs(10), ..SimSettings::default() }
}

fn write(field: &str, value: u32, hold: Duration) -> TestWrite {
    TestWrite { field: field.to_owned(), value, hold }
}

async fn run(plc: &ClientSettings, write: &TestWrite, tell: impl FnMut(TestStep) + Send) -> Result<TestOutcome, TestWriteError> {
    let settings = Settings::alone(clock());
    within("the test write", test_write(&settings, plc, Commissioning::Allowed, write, tell, pending())).await
}

fn is_zero(plc: &SimHandle) -> bool {
    plc.holding(1000, 128).expect("a status block").iter().all(|word| *word == 0)
}

const AGES: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn nothing_is_sent_without_permission_or_sense() {
    // Nobody listens there: whoever sends something gets a wire error instead.
    let nobody = ClientSettings::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let settings = Settings::alone(clock());
    let run = async |commissioning, field: &str, value| {
        let write = write(field, value, AGES);
        test_write(&settings, &nobody, commissioning, &write, |_| {}, pending()).await.expect_err("a refusal")
    };
    assert!(matches!(run(Commissioning::Forbidden, "RunPermit", 1).await, TestWriteError::NotCommissioning));
    let allowed = Commissioning::Allowed;
    assert!(matches!(run(allowed, "Trigger", 1).await, TestWriteError::NoSuchField(_)), "a field of the other block");
    assert!(matches!(run(allowed, "Payload", 1).await, TestWriteError::NotOneNumber("Payload")));
    assert!(matches!(run(allowed, "RunPermit", 2).await, TestWriteError::DoesNotFit { field: "RunPermit", value: 2 }));
    assert!(matches!(run(allowed, "Score", 65_536).await, TestWriteError::DoesNotFit { .. }));
    assert!(matches!(run(allowed, "Score", 1).await, TestWriteError::Wire(WireError::Connect { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_stands_in_the_plc_and_is_gone_afterwards() {
    let (plc, client) = alone().await;
    let mut steps = Vec::new();
    let seen = |step: TestStep| {
        if step == TestStep::Holding {
            assert_eq!(plc.holding(1010, 3), Some(vec![1, 2, 0]), "the field, and nothing else");
        }
        steps.push(step);
    };
    let outcome = run(&client, &write("PieceSeqEcho", 0x0001_0002, Duration::from_millis(200)), seen).await;
    assert!(matches!(outcome, Ok(TestOutcome::Held)), "{outcome:?}");
    assert_eq!(steps, [TestStep::Quiet, TestStep::Written { place: "1010-1011".into() }, TestStep::Holding, TestStep::Restored]);
    assert!(is_zero(&plc));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_without_a_heartbeat_is_taken_back_by_the_plc() {
    let (plc, client) = alone().await;
    let outcome = run(&client, &write("RunPermit", 1, Duration::from_millis(300)), |_| {}).await;
    assert!(matches!(outcome, Ok(TestOutcome::TakenBack { .. })), "{outcome:?}");
    assert!(is_zero(&plc));
    assert_eq!(plc.observe().triggered, 0, "the line moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn being_told_to_stop_restores_the_zeros_too() {
    let (plc, client) = alone().await;
    let settings = Settings::alone(clock());
    let (tell, mut told) = mpsc::unbounded_channel();
    let stop = async {
        while told.recv().await.is_some_and(|step| step != TestStep::Holding) {}
        assert!(!is_zero(&plc));
    };
    let write = write("StopSeq", 7, AGES);
    let tell = |step| tell.send(step).unwrap_or_default();
    let outcome = within("the end", test_write(&settings, &client, Commissioning::Allowed, &write, tell, stop)).await;
    assert!(matches!(outcome, Ok(TestOutcome::Held)), "{outcome:?}");
    assert!(is_zero(&plc));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_that_is_alive_is_not_disturbed() {
    let rig = Rig::start(patient_sim(), |_| {}).await;
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    judge.until(&rig, &mut reports, "a piece", |judge| !judge.arrived.is_empty()).await;
    let plc = patient(rig.address());
    let write = write("StopSeq", 7, AGES);
    let mut steps = Vec::new();
    let refused = tokio::select! {
        refused = run(&plc, &write, |step| steps.push(step)) => refused,
        () = judge.until(&rig, &mut reports, "nothing", |_| false) => unreachable!("the judge never ends"),
    };
    assert!(matches!(refused, Err(TestWriteError::Alive { .. })), "{refused:?}");
    assert_eq!(steps, []);
    assert!(judge.downs.is_empty(), "{:?}", judge.downs);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_that_comes_to_life_takes_over() {
    let rig = Rig::start(patient_sim(), |_| {}).await;
    let plc = patient(rig.address());
    let bench = rig.kill_client();
    let (tell, mut told) = mpsc::unbounded_channel();
    let testing = tokio::spawn(async move { run(&plc, &write("StopSeq", 7, AGES), |step| tell.send(step).unwrap_or_default()).await });
    while within("the value to stand there", told.recv()).await.expect("the test runs") != TestStep::Holding {}
    let rig = bench.start_client(|_| {});
    let mut judge = Judge::by(|_| true);
    let mut reports = rig.reports();
    let ended = tokio::select! {
        ended = testing => ended.expect("no panic"),
        () = judge.until(&rig, &mut reports, "nothing", |_| false) => unreachable!("the judge never ends"),
    };
    assert!(matches!(ended, Err(TestWriteError::TakenOver)), "{ended:?}");
    assert!(!judge.downs.contains(&station::line::LinkFault::ReadBackMismatch), "{:?}", judge.downs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plc_that_goes_away_is_told_with_the_place_to_clear() {
    let (plc, client) = alone().await;
    let write = write("StopSeq", 7, AGES);
    let outage = plc.clone();
    let gone = run(&client, &write, move |step| {
        if step == TestStep::Holding {
            outage.outage(Outage::Closed, AGES);
        }
    });
    let Err(error) = gone.await else { panic!("the PLC was gone") };
    assert!(matches!(error, TestWriteError::NotRestored { .. }), "{error:?}");
    assert!(error.to_string().contains("clear 1022 by hand"), "{error}");
}
