//! PLCs that nobody here wrote, on pymodbus and on libmodbus: the real appliance side as their client (role C).

mod peers;

use peers::{BAUD, COUNTERS, Cable, Line, Make, Peer, Seen, Socat, Ways, clock, encoder, permit};
use plc_bridge::client::{ClientSettings, Way};
use plc_bridge::jmap::{CONTROL, Control, Kind, Order, STATUS};
use plc_bridge::map::{Kind as TagKind, Payload, TagSpec};
use plc_bridge::serial::{Parity, SerialLine};
use plc_bridge::watch::read_once;
use plc_bridge::{Facts, Settings};
use station::inspection::ClassId;
use station::line::{Answer, GateQueue, LineCommand, Permit, PieceResult, PlcLink, PlcOrder, PlcRequest};
use station::policy::StopReasons;
use station::units::{EncoderCount, Micros};
use station::verdict::Verdict;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::watch;

fn settings(port: u16) -> Settings {
    settings_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
}

fn settings_at(way: Way) -> Settings {
    let mut settings = Settings { plc: Some(ClientSettings::new(way)), ..Settings::alone(clock()) };
    // Generous, so that a crowded machine is not a broken link.
    settings.heartbeat_timeout = Micros::from_millis(10_000);
    let plc = settings.plc.as_mut().expect("a PLC");
    plc.peer.call_timeout = Duration::from_secs(5);
    plc.peer.connect_timeout = Duration::from_secs(5);
    plc.backoff_max = Duration::from_millis(200);
    settings
}

/// Every third piece is bad, every seventh cannot be judged.
const fn verdict(piece: u32) -> Option<Verdict> {
    Some(if piece.is_multiple_of(7) {
        Verdict::Hold
    } else if piece.is_multiple_of(3) {
        Verdict::Reject
    } else {
        Verdict::Pass
    })
}

const JUDGE: Ways = Ways { verdict, permit: true, beats: true, obeys: true };

/// Number, verdict, encoder: as the peer must have read it.
fn expected(piece: u32) -> (u32, String, u32) {
    let word = match verdict(piece) {
        Some(Verdict::Pass) => "pass",
        Some(Verdict::Reject) => "fail",
        Some(Verdict::Hold) | None => "hold",
    };
    (piece, word.to_owned(), encoder(piece).0)
}

/// Pieces, a stop and its release, a PLC that begins anew with empty memory, pieces again.
async fn shake_hands(make: Make, cable: Cable, at: impl FnOnce(u16) -> Settings) {
    let Some(mut plc) = Peer::start(make, &cable).await else { return };
    let again = match cable {
        Cable::Tcp(_) => Cable::Tcp(plc.port),
        Cable::Rtu(device) => Cable::Rtu(device),
    };
    let mut line = Line::start(at(plc.port), JUDGE);
    assert_eq!(plc.hear("permit").await, "on");
    plc.tell("make 48");
    plc.hear("made").await;
    assert_eq!(plc.pieces, (1..=48).map(expected).collect::<Vec<_>>());
    plc.assert_fair();
    let seen = line.until("the pieces", |seen| seen.arrivals.len() >= 48).await;
    assert_eq!(seen.arrivals.iter().map(|arrival| arrival.piece.0).collect::<Vec<_>>(), (1..=48).collect::<Vec<_>>());
    assert!(seen.arrivals.iter().all(|arrival| arrival.encoder == encoder(arrival.piece.0)), "an encoder count of another piece");
    assert!(seen.missed.is_empty() && seen.downs.is_empty(), "{:?} {:?}", seen.missed, seen.downs);
    if make == Make::Pymodbus {
        // It gives every other piece a serial number.
        let serial = |piece: u32| (piece % 2 == 1).then(|| format!("PY{piece:08}"));
        let wrong = seen.arrivals.iter().find(|arrival| arrival.serial != serial(arrival.piece.0));
        assert_eq!(wrong, None, "a serial number of another piece");
    }

    line.send(permit(false)).await;
    assert_eq!(plc.hear("permit").await, "off");
    line.until("the belt to stand", |seen| !seen.running).await;
    line.send(permit(true)).await;
    assert_eq!(plc.hear("permit").await, "on");
    line.until("the belt to move", |seen| seen.running).await;

    drop(plc);
    line.until("the link to be lost", |seen| !seen.downs.is_empty()).await;
    let mut plc = Peer::start(make, &again).await.expect("it ran a moment ago");
    line.until("the link to come back", |seen| seen.ups == 2).await;
    assert_eq!(plc.hear("permit").await, "on");
    plc.tell("from 1000");
    plc.tell("make 12");
    plc.hear("made").await;
    assert_eq!(plc.pieces, (1001..=1012).map(expected).collect::<Vec<_>>());
    plc.assert_fair();
    println!("{make:?} over {again:?}: 60 pieces, one result each; stop, release and a restart of the PLC between them");
    line.stop().await;
    assert_eq!(plc.hear("permit").await, "off", "the last word of the appliance is a stop");
}

#[tokio::test]
async fn pymodbus_shakes_hands_over_tcp() {
    shake_hands(Make::Pymodbus, Cable::Tcp(0), settings).await;
}

#[tokio::test]
async fn libmodbus_shakes_hands_over_tcp() {
    shake_hands(Make::Libmodbus, Cable::Tcp(0), settings).await;
}

/// The peer at one end of a cable, the appliance at the other. A client that finds nobody waits for the next try.
async fn shake_hands_over_rtu(make: Make) {
    let Some(socat) = Socat::start().await else { return };
    let [ours, theirs] = socat.ends.clone();
    let line = SerialLine { device: ours, baud: BAUD, parity: Parity::None };
    shake_hands(make, Cable::Rtu(theirs), |_| settings_at(line.into())).await;
}

#[tokio::test]
async fn pymodbus_shakes_hands_over_rtu() {
    shake_hands_over_rtu(Make::Pymodbus).await;
}

#[tokio::test]
async fn libmodbus_shakes_hands_over_rtu() {
    shake_hands_over_rtu(Make::Libmodbus).await;
}

/// Rows of the table: block and field → what stood there.
type Rows = BTreeMap<(&'static str, &'static str), String>;

fn print_table(block: &str, peer: &str, rows: &Rows) {
    println!("| field | peer | value |\n|---|---|---|");
    for ((of, name), value) in rows.iter().filter(|((of, _), _)| *of == block) {
        println!("| {of}.{name} | {peer} | {value} |");
    }
}

/// What the PLC sets in a field of the control block: something of its own for each, and never 0.
fn distinctive(index: usize, kind: Kind, width: u16) -> String {
    let number = index + 1;
    match kind {
        Kind::Bits { count: 1, .. } => "1".to_owned(),
        Kind::Bits { count, .. } => ((0b1010_0101_usize >> (number % 2)) & ((1 << count) - 1)).to_string(),
        Kind::U16 => (0x4000 + 257 * number).to_string(),
        Kind::U32 => (0x0102_0304 * number).to_string(),
        Kind::Ascii => "SN-000123/outsiders-A.long~tail!".to_owned(),
        Kind::Words => (0..usize::from(width)).map(|word| (0x8000 + 100 * number + word).to_string()).collect::<Vec<_>>().join(" "),
    }
}

#[tokio::test]
async fn every_control_field_that_a_pymodbus_plc_sets_is_read() {
    let Some(mut plc) = Peer::start(Make::Pymodbus, &Cable::Tcp(0)).await else { return };
    plc.tell("beat off");
    let settings = settings(plc.port);
    let client = settings.plc.clone().expect("a PLC");
    let mut rows = Rows::new();
    // Alone, so that no field leans on its neighbours; then all of them together.
    for (index, field) in CONTROL.iter().enumerate() {
        let value = distinctive(index, field.kind, field.width);
        plc.tell(&format!("set {} {value}", field.name));
        plc.sees(field.name, &value).await;
        let picture = read_once(&settings, &client).await.expect("the PLC answers");
        let words = picture.control.expect("a control block");
        assert_eq!(words.iter().filter(|word| **word != 0).count().min(1), 1, "{} is nowhere", field.name);
        let control = Control::decode(&words, Order::default());
        assert_ne!(control, Control::default(), "{} means nothing", field.name);
        assert_eq!(control.encode(Order::default())[..], words[..], "{} is not what was decoded", field.name);
        let shown = field.show(&words, Order::default()).expect("the block is long enough");
        assert_eq!(shown, in_hex_if_words(field.kind, &value), "{}", field.name);
        rows.insert(("control", field.name), shown);
        plc.tell(&format!("set {} {}", field.name, zero(field.kind, field.width)));
    }
    for (index, field) in CONTROL.iter().enumerate() {
        plc.tell(&format!("set {} {}", field.name, distinctive(index, field.kind, field.width)));
    }
    let last = &CONTROL[CONTROL.len() - 1];
    plc.sees(last.name, &distinctive(CONTROL.len() - 1, last.kind, last.width)).await;
    let words = read_once(&settings, &client).await.expect("the PLC answers").control.expect("a control block");
    for field in CONTROL {
        assert_eq!(field.show(&words, Order::default()).as_ref(), rows.get(&("control", field.name)), "{}", field.name);
    }
    print_table("control", "pymodbus", &rows);
    assert_eq!(rows.len(), CONTROL.len());
}

/// The appliance shows raw registers in hexadecimal.
fn in_hex_if_words(kind: Kind, value: &str) -> String {
    if kind != Kind::Words {
        return value.to_owned();
    }
    let words = value.split(' ').map(|word| format!("{:04x}", word.parse::<u16>().expect("a register")));
    words.collect::<Vec<_>>().join(" ")
}

fn zero(kind: Kind, width: u16) -> String {
    match kind {
        Kind::Ascii => String::new(),
        Kind::Words => vec!["0"; usize::from(width)].join(" "),
        Kind::Bits { .. } | Kind::U16 | Kind::U32 => "0".to_owned(),
    }
}

/// What the recipe tells with a result, from the first register of the payload to the last, with a gap.
const PAYLOAD_VALUES: [f64; 4] = [120.34, 1.5, -70_000.0, 1e9];

fn payload() -> Payload {
    let field = |name: &str, address, kind, scale| TagSpec { scale, ..TagSpec::new(name, address, kind) };
    let fields = vec![
        field("height", 64, TagKind::U16, 0.01),
        field("force", 66, TagKind::F32, 1.0),
        field("drift", 70, TagKind::I32, 1.0),
        field("records", 124, TagKind::U64, 1.0),
    ];
    Payload::new(fields).expect("it fits")
}

/// The payload's registers as a PLC has them while no result came, and with `PAYLOAD_VALUES`.
fn payload_words(result: bool) -> String {
    let mut words = [0_u16; 64];
    if result {
        words[0] = 12_034;
        words[2] = 0x3FC0;
        (words[6], words[7]) = (0xFFFE, 0xEE90);
        (words[62], words[63]) = (0x3B9A, 0xCA00);
    }
    words.map(|word| word.to_string()).join(" ")
}

/// Says nothing by itself: the test says everything.
const PUPPET: Ways = Ways { verdict: |_| None, permit: false, beats: false, obeys: false };

struct Stage {
    plc: Peer,
    line: Line,
    rows: Rows,
    /// Requests of the PLC that were answered.
    answered: usize,
}

impl Stage {
    /// The PLC reads these fields so.
    async fn shows(&mut self, fields: &[(&'static str, &str)]) {
        for (name, value) in fields {
            assert!(STATUS.iter().any(|field| field.name == *name), "{name} is no field");
            self.plc.sees(name, value).await;
            if *value != "0" {
                self.rows.insert(("status", name), (*value).to_owned());
            }
        }
    }

    fn plc_sets(&mut self, fields: &[(&str, u32)]) {
        for (name, value) in fields {
            self.plc.tell(&format!("set {name} {value}"));
        }
    }

    /// A piece in front of the camera; the trigger is taken back when the appliance has seen it.
    async fn trigger(&mut self, piece: u32) {
        self.plc_sets(&[("PieceSeq", piece), ("EncoderAtTrigger", encoder(piece).0), ("Trigger", 1)]);
        self.shows(&[("TriggerAck", "1")]).await;
        self.line.until("the piece", |seen| seen.arrivals.iter().any(|arrival| arrival.piece.0 == piece)).await;
        self.plc_sets(&[("Trigger", 0)]);
        self.shows(&[("TriggerAck", "0")]).await;
    }

    async fn clear_command(&mut self) {
        self.plc_sets(&[("ExecuteCommand", 0), ("Command", 0)]);
        self.shows(&[("AckCommand", "0")]).await;
    }

    /// The station does what it is asked: the next `count` requests.
    async fn answer_requests(&mut self, count: usize) -> Vec<PlcOrder> {
        let asked = |seen: &Seen| -> Vec<PlcRequest> {
            let request = |link: &PlcLink| if let PlcLink::Asked(request) = link { Some(*request) } else { None };
            seen.links.iter().filter_map(request).collect()
        };
        let known = self.answered;
        self.answered += count;
        let seen = self.line.until("the requests", |seen| asked(seen).len() >= known + count).await;
        let requests = asked(&seen).split_off(known);
        for request in &requests {
            self.line.send(LineCommand::Answer(Answer { number: request.number, done: true })).await;
        }
        requests.into_iter().map(|request| request.order).collect()
    }

    async fn acknowledge_results(&mut self) {
        self.plc_sets(&[("ResultsAck", 1)]);
        self.shows(&[("ResultsValid", "0")]).await;
        self.plc_sets(&[("ResultsAck", 0)]);
    }
}

/// A result with a value of its own in every place.
fn rich(piece: u32, verdict: Verdict) -> LineCommand {
    LineCommand::Result(PieceResult {
        piece: station::piece::PieceId(piece),
        encoder: encoder(piece),
        verdict,
        grade: 3,
        top_class: Some(ClassId(41)),
        defects: 17,
        score: 9876,
        latency_tenth_millis: 543,
        reject_at: (verdict == Verdict::Reject).then_some(EncoderCount(0x0A0B_0C0D)),
        golden: false,
        payload: PAYLOAD_VALUES.to_vec(),
    })
}

#[tokio::test]
async fn every_status_field_is_read_by_a_pymodbus_plc() {
    let Some(plc) = Peer::start(Make::Pymodbus, &Cable::Tcp(0)).await else { return };
    let mut settings = settings(plc.port);
    settings.identity.recipe = 1101;
    settings.identity.model_version = 1202;
    settings.identity.rubric_version = 1303;
    settings.payload = payload();
    let (_facts, told) = watch::channel(Facts { storage_permille: 777, upload_backlog: 0x0009_0029 });
    settings.facts = Some(told);
    let line = Line::start(settings, PUPPET);
    let mut stage = Stage { plc, line, rows: Rows::new(), answered: 0 };
    stage.line.until("the link", |seen| seen.ups == 1).await;
    the_machine(&mut stage).await;
    the_pieces(&mut stage).await;
    the_exceptions(&mut stage).await;
    print_table("status", "pymodbus", &stage.rows);
    let missing: Vec<&str> = STATUS.iter().map(|field| field.name).filter(|name| !stage.rows.contains_key(&("status", name))).collect();
    assert!(missing.is_empty(), "fields that no peer read: {missing:?}");
    stage.plc.assert_fair();
    stage.line.stop().await;
}

/// Permit, stop, heartbeat, counters, identity.
async fn the_machine(stage: &mut Stage) {
    stage.line.send(LineCommand::Counters(COUNTERS)).await;
    stage.line.send(LineCommand::Beat(54_321)).await;
    let stop = Permit { run: false, reasons: StopReasons(0x2001), stop_seq: 19, spc_rules: 0x81, spc_chart: 6 };
    stage.line.send(LineCommand::Permit(stop)).await;
    stage.shows(&[("StopReason", "8193"), ("StopSeq", "19"), ("SpcRules", "129"), ("SpcChartId", "6"), ("RunPermit", "0")]).await;
    stage.shows(&[("VisionHeartbeat", "54321"), ("State", "6"), ("Online", "1"), ("MapVersion", "1")]).await;
    stage.shows(&[("CurrentRecipe", "1101"), ("ModelVersion", "1202"), ("RubricVersion", "1303")]).await;
    stage.shows(&[("StoragePermille", "777"), ("UploadBacklog", "589865"), ("ErrorCode", "1")]).await;
    let counts = [COUNTERS.inspected, COUNTERS.pass, COUNTERS.reject, COUNTERS.hold].map(|count| count.to_string());
    stage.shows(&[("CountInspected", &counts[0]), ("CountPass", &counts[1]), ("CountFail", &counts[2])]).await;
    let gate = [COUNTERS.reject_commanded, COUNTERS.reject_confirmed, COUNTERS.reject_unconfirmed].map(|count| count.to_string());
    stage.shows(&[("CountNoVerdict", &counts[3]), ("CountRejectCommanded", &gate[0])]).await;
    stage.shows(&[("CountRejectConfirmed", &gate[1]), ("CountRejectUnconfirmed", &gate[2])]).await;
    stage.line.send(permit(true)).await;
    stage.shows(&[("RunPermit", "1")]).await;
}

/// Trigger, verdicts, the gate.
async fn the_pieces(stage: &mut Stage) {
    stage.shows(&[("Payload", &payload_words(false))]).await;
    stage.plc_sets(&[("BufferResultsEnable", 1), ("TriggerEnable", 1)]);
    stage.shows(&[("TriggerReady", "1"), ("State", "8")]).await;
    for (piece, verdict, flag, code) in
        [(70_001, Verdict::Pass, "Pass", "1"), (70_002, Verdict::Reject, "Fail", "2"), (70_003, Verdict::Hold, "NoVerdict", "4")]
    {
        stage.trigger(piece).await;
        stage.shows(&[("Busy", "1"), ("AcquisitionID", &(piece - 70_000).to_string())]).await;
        stage.line.send(rich(piece, verdict)).await;
        let (echo, count) = (piece.to_string(), encoder(piece).0.to_string());
        stage.shows(&[("ResultsValid", "1"), (flag, "1"), ("ResultCode", code), ("PieceSeqEcho", &echo), ("EncoderEcho", &count)]).await;
        stage.shows(&[("Grade", "3"), ("TopDefectClass", "41"), ("DefectCount", "17"), ("Score", "9876"), ("Latency", "543")]).await;
        stage.shows(&[("InspectionID", &(piece - 70_000).to_string()), ("ExposureComplete", "1"), ("Busy", "0")]).await;
        // It stood there before the result was valid.
        stage.shows(&[("Payload", &payload_words(true))]).await;
        if piece == 70_001 {
            stage.shows(&[("InspectionCompleted", "1")]).await;
        }
        stage.acknowledge_results().await;
    }
    let target = EncoderCount(0x0A0B_0C0D);
    stage.line.send(LineCommand::Gate(GateQueue { waiting: 1, next: Some(target) })).await;
    stage.shows(&[("RejectQueueDepth", "1"), ("NextRejectAt", "168496141")]).await;
}

/// What goes wrong, and what is asked.
async fn the_exceptions(stage: &mut Stage) {
    stage.plc_sets(&[("TriggerEnable", 0)]);
    stage.shows(&[("TriggerReady", "0")]).await;
    stage.trigger(70_004).await;
    stage.shows(&[("AcqError", "1"), ("Error", "1"), ("CountMissedTriggers", "1"), ("ErrorCode", "8451")]).await;
    stage.plc_sets(&[("ClearError", 1)]);
    stage.shows(&[("AcqError", "0"), ("Error", "0"), ("ErrorCode", "1")]).await;
    stage.plc_sets(&[("ClearError", 0)]);
    // A command that nobody knows.
    stage.plc_sets(&[("Command", 999), ("ExecuteCommand", 1)]);
    stage.shows(&[("CommandFailed", "1"), ("AckCommand", "999"), ("ErrorCause", "999")]).await;
    stage.clear_command().await;
    // Reset.
    stage.plc_sets(&[("Command", 7), ("ExecuteCommand", 1)]);
    stage.shows(&[("CommandCompleted", "1"), ("AckCommand", "7"), ("ErrorCause", "0")]).await;
    stage.clear_command().await;
    // A new lot, which takes the station.
    stage.plc_sets(&[("LotNo", 4711), ("Command", 100), ("ExecuteCommand", 1)]);
    stage.shows(&[("CommandExecuting", "1"), ("AckCommand", "100"), ("CommandCompleted", "0")]).await;
    assert_eq!(stage.answer_requests(1).await, [PlcOrder::NewLot(4711)]);
    stage.shows(&[("CommandCompleted", "1"), ("CommandExecuting", "0")]).await;
    stage.clear_command().await;
    stage.plc_sets(&[("SoftEvent", 0b0010_0101)]);
    assert_eq!(stage.answer_requests(3).await, [PlcOrder::SoftEvent(0), PlcOrder::SoftEvent(2), PlcOrder::SoftEvent(5)]);
    stage.shows(&[("SoftEventAck", "37")]).await;
    // Nobody takes the results, and only one may wait.
    stage.plc_sets(&[("BufferResultsEnable", 0), ("TriggerEnable", 1)]);
    stage.shows(&[("TriggerReady", "1")]).await;
    for piece in [70_005, 70_006] {
        stage.trigger(piece).await;
    }
    for piece in [70_005, 70_006] {
        stage.line.send(rich(piece, Verdict::Pass)).await;
    }
    stage.shows(&[("ResultsBufferOverrun", "1"), ("CountBufferOverruns", "1")]).await;
    stage.plc_sets(&[("SetUserData", 1)]);
    stage.shows(&[("SetUserDataAck", "1")]).await;
    stage.plc_sets(&[("SetOffline", 1)]);
    stage.shows(&[("OfflineReason", "3"), ("State", "2"), ("Online", "0")]).await;
}
