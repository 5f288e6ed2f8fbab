use super::*;
use crate::client::{Peer, SourceSettings};
use crate::jmap::Status;
use crate::map::{Kind as TagKind, Table};
use crate::sim::{Outage, Pace, Sim, SimSettings};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

fn at(millis: u64) -> Timestamp {
    Timestamp { wall_micros: 0, mono_micros: millis * 1000 }
}

fn row(name: &str, value: &str, quality: Quality, millis: u64) -> Row {
    Row {
        name: name.into(),
        place: "holding 2000".into(),
        value: value.into(),
        unit: "um".into(),
        quality,
        sampled_at: at(millis),
        stale_after: Micros::from_millis(1000),
        changed: false,
        note: String::new(),
    }
}

fn section(trouble: Option<&str>, rows: Vec<Row>) -> Section {
    Section { title: "TAGS".into(), trouble: trouble.map(str::to_owned), rows }
}

#[test]
fn a_person_sees_names_values_and_ages() {
    let settings = Settings::alone(Arc::new(|| at(1000)));
    let status = Status { run_permit: true, piece_seq_echo: 70_000, ..Status::default() };
    let mut words = status.encode(Order::default()).to_vec();
    words.resize(128, 0);
    let board = Board {
        at: at(1000),
        sections: vec![
            block_section("STATUS", 1000, STATUS, Ok(Ok(words)), &settings),
            section(None, vec![row("paste_height", "120.5", Quality::Good, 1000), row("roll", "", Quality::Bad, 1000)]),
        ],
    };
    let text = table(&board, at(1250));
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    assert_eq!(line("RunPermit")[..6], ["RunPermit", "1001.7", "1", "250", "ms", "good"]);
    assert_eq!(line("PieceSeqEcho")[..3], ["PieceSeqEcho", "1010-1011", "70000"]);
    assert_eq!(line("paste_height"), ["paste_height", "holding", "2000", "120.5", "um", "250", "ms", "good"]);
    assert_eq!(line("roll").last(), Some(&"BAD"));
    assert!(!text.contains("Payload"));
    assert!(table(&board, at(2001)).contains("STALE"), "ages grow while nobody looks");
}

#[test]
fn what_changed_is_marked_and_what_is_gone_stays_with_its_age() {
    let before = section(None, vec![row("a", "1", Quality::Good, 0), row("b", "2", Quality::Good, 0), row("c", "3", Quality::Good, 0)]);
    let mut now = section(None, vec![row("a", "1", Quality::Good, 9), row("b", "5", Quality::Good, 9), row("c", "3", Quality::Bad, 9)]);
    compare(&mut now, &before);
    assert_eq!(now.rows.iter().map(|row| row.changed).collect::<Vec<_>>(), [false, true, true]);
    let mut gone = section(Some("no answer"), Vec::new());
    compare(&mut gone, &now);
    let kept: Vec<_> = gone.rows.iter().map(|row| (row.value.as_str(), row.quality, row.changed)).collect();
    assert_eq!(kept, [("1", Quality::Stale, false), ("5", Quality::Stale, false), ("3", Quality::Bad, false)]);
}

async fn sim() -> (crate::sim::SimHandle, SocketAddr) {
    let settings = SimSettings { pace: Pace::Lockstep, ..SimSettings::default() };
    let sim = Sim::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), settings).await.expect("a free port");
    let (handle, address) = (sim.handle(), sim.local_addr());
    tokio::spawn(sim.run(std::future::pending()));
    (handle, address)
}

fn clock() -> crate::Clock {
    let start = Instant::now();
    Arc::new(move || Timestamp { wall_micros: 0, mono_micros: u64::try_from(start.elapsed().as_micros()).unwrap() })
}

fn quick(address: SocketAddr) -> Peer {
    Peer { call_timeout: Duration::from_millis(800), ..Peer::new(address) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_every_table_and_comes_back_after_an_outage() {
    let (plc, address) = sim().await;
    let mut settings = Settings::new(address, clock());
    let client = settings.plc.as_mut().unwrap();
    client.peer = quick(address);
    client.tags = SimSettings::default().tag_specs();
    // Coil 0 and discrete input 7 mirror the blocks; 60 000 does not exist.
    client.tags.extend([
        TagSpec { table: Table::Coil, ..TagSpec::new("trigger_enable", 0, TagKind::Bool { bit: 0 }) },
        TagSpec { table: Table::Discrete, ..TagSpec::new("online", 7, TagKind::Bool { bit: 0 }) },
        TagSpec::new("nowhere", 60_000, TagKind::U16),
        TagSpec::new("impossible", 1, TagKind::Ascii { chars: 999 }),
    ]);
    let source = SourceSettings::new("oven", address, vec![TagSpec::new("zone", 2002, TagKind::I32)]);
    settings.sources = vec![SourceSettings { peer: quick(address), ..source }];
    let mut watcher = Watcher::new(settings);
    let board = watcher.look().await.clone();
    assert_eq!(board.troubles().count(), 0, "{board:?}");
    let titles: Vec<_> = board.sections.iter().map(|section| section.title.as_str()).collect();
    assert_eq!(titles, ["CONTROL (PLC to appliance)", "STATUS (appliance to PLC)", "TAGS", "TAGS of oven"]);
    let find = |board: &Board, name: &str| {
        let mut rows = board.sections.iter().flat_map(|section| &section.rows);
        rows.find(|row| &*row.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!((find(&board, "trigger_enable").value.as_str(), find(&board, "online").value.as_str()), ("1", "0"));
    assert!(find(&board, "nowhere").note.contains("refused"), "{:?}", find(&board, "nowhere"));
    assert!(find(&board, "impossible").note.contains("999"));
    assert_eq!(find(&board, "zone").quality, Quality::Good);
    assert!(!find(&board, "PlcHeartbeat").changed, "nothing was seen before");

    let deadline = Instant::now() + Duration::from_secs(30);
    while !find(watcher.look().await, "PlcHeartbeat").changed {
        assert!(Instant::now() < deadline, "the heartbeat of a running PLC never changed");
    }
    plc.outage(Outage::Closed, Duration::from_secs(3600));
    // The PLC closes its connections a moment after it was told to.
    while watcher.look().await.troubles().count() < 4 {
        assert!(Instant::now() < deadline, "the outage was not seen: {:?}", watcher.board);
    }
    assert_eq!(find(&watcher.board, "trigger_enable").quality, Quality::Stale);
    plc.outage(Outage::Closed, Duration::ZERO);
    while watcher.look().await.troubles().count() > 0 {
        assert!(Instant::now() < deadline, "the watcher did not come back");
    }
    assert_eq!(find(&watcher.board, "trigger_enable").quality, Quality::Good);
}
