//! Masters that nobody here wrote, `mbpoll` (on libmodbus) and pymodbus, over TCP and over a serial line. Each reads every
//! field of the status block and writes every field of the control block; what they say is compared with the tables.

mod master;

use master::{Cable, LOCAL, Master, Station, serving, skipped, within};
use plc_bridge::jmap::{CONTROL, Field, Kind, Order, STATUS};
use plc_bridge::map::{Kind as TagKind, Payload, TagSpec};
use plc_bridge::server::Listen;
use plc_bridge::{Facts, Settings};
use station::line::{Counters, GateQueue, LineCommand, Permit};
use station::policy::StopReasons;
use station::units::{EncoderCount, Micros};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

/// What a request gave: values, or a Modbus exception.
type Answer = Result<Vec<u16>, u8>;

/// Where a master finds the appliance.
#[derive(Clone)]
enum Way {
    Tcp(SocketAddr),
    Line(PathBuf),
}

/// One of the tables, by the function that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Coils = 1,
    Discretes = 2,
    Holding = 3,
    Inputs = 4,
}

enum Outsider {
    Mbpoll(Way),
    Pymodbus(Pymodbus),
}

struct Pymodbus {
    child: Child,
    stdin: ChildStdin,
    said: mpsc::UnboundedReceiver<String>,
}

impl Drop for Pymodbus {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// A python that has pymodbus.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let python = std::env::var_os("JIDOKA_PYMODBUS").map_or(root, PathBuf::from);
    let there = Command::new(&python).args(["-c", "import pymodbus, serial"]).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) { Some(python) } else { skipped("pymodbus is not in .venv (scripts/setup.sh test)") }
}

impl Pymodbus {
    async fn start(way: &Way) -> Option<Self> {
        let mut command = Command::new(spawn_blocking(python).await.expect("no panic")?);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/master/master.py"));
        match way {
            Way::Tcp(address) => command.arg("tcp").arg(address.ip().to_string()).arg(address.port().to_string()),
            Way::Line(device) => command.arg("rtu").arg(device).arg(master::BAUD.to_string()),
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (tell, said) = mpsc::unbounded_channel();
        spawn_blocking(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                tell.send(line).unwrap_or_default();
            }
        });
        let mut started = Self { child, stdin, said };
        assert_eq!(started.hear().await, "ready");
        Some(started)
    }

    async fn hear(&mut self) -> String {
        within("pymodbus", self.said.recv()).await.expect("it lives")
    }

    async fn ask(&mut self, question: &str) -> Answer {
        writeln!(self.stdin, "{question}").expect("it lives");
        let line = self.hear().await;
        let (verb, numbers) = line.split_once(' ').unwrap_or((&line, ""));
        let mut numbers = numbers.split_whitespace().map(|number| number.parse().expect("a number"));
        match verb {
            "ok" => Ok(numbers.collect()),
            _ => Err(numbers.next().map(|code: u16| u8::try_from(code).expect("a code")).expect("a code")),
        }
    }
}

/// Runs mbpoll once; `None` if it is not installed.
async fn mbpoll(way: &Way, options: String, values: &[u16]) -> Option<Answer> {
    let mut command = Command::new("mbpoll");
    command.args(["-0", "-1", "-o", "10"]).args(options.split_whitespace());
    match way {
        Way::Tcp(address) => command.args(["-m", "tcp", "-p", &address.port().to_string(), &address.ip().to_string()]),
        Way::Line(device) => command.args(["-m", "rtu", "-P", "even", "-b", &master::BAUD.to_string()]).arg(device),
    };
    command.args(values.iter().map(u16::to_string));
    let Ok(output) = spawn_blocking(move || command.output()).await.expect("no panic") else {
        return skipped("mbpoll is not installed (package mbpoll)");
    };
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let exceptions = [("Illegal function", 1), ("Illegal data address", 2), ("Illegal data value", 3)];
    if let Some((_, code)) = exceptions.iter().find(|(words, _)| text.contains(words)) {
        return Some(Err(*code));
    }
    assert!(output.status.success(), "{text}");
    // `[5]:   65535 (-1)`
    let shown = text.lines().filter(|line| line.starts_with('['));
    Some(Ok(shown.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()))
}

impl Outsider {
    async fn read(&mut self, table: Table, address: u16, count: u16) -> Answer {
        match self {
            Self::Pymodbus(master) => master.ask(&format!("{} {address} {count}", table as u8)).await,
            Self::Mbpoll(way) => {
                let kind = [0, 0, 1, 4, 3][table as usize];
                mbpoll(way, format!("-t {kind} -r {address} -c {count}"), &[]).await.expect("it ran a moment ago")
            }
        }
    }

    /// Writes coils or holding registers: one value by function 5 or 6, more by 15 or 16.
    async fn write(&mut self, table: Table, address: u16, values: &[u16]) -> Answer {
        let coils = table == Table::Coils;
        match self {
            Self::Pymodbus(master) => {
                let function = if coils { 5 } else { 6 } + if values.len() == 1 { 0 } else { 10 };
                let values: Vec<String> = values.iter().map(u16::to_string).collect();
                master.ask(&format!("{function} {address} {}", values.join(" "))).await
            }
            Self::Mbpoll(way) => {
                let kind = if coils { 0 } else { 4 };
                mbpoll(way, format!("-t {kind} -r {address}"), values).await.expect("it ran a moment ago")
            }
        }
    }
}

/// Lets one master after the other speak over one connection, as a gateway does: mbpoll connects anew for every request,
/// and a client that leaves takes its control block with it.
async fn gateway(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(LOCAL).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut answers, mut requests) = TcpStream::connect(to).await.expect("the server listens").into_split();
        while let Ok((mut master, _)) = listener.accept().await {
            let (mut from, mut back) = master.split();
            tokio::select! {
                // An end or a reset: mbpoll has what it wanted.
                _ = copy(&mut from, &mut requests) => {}
                _ = copy(&mut answers, &mut back) => {}
            }
        }
    });
    address
}

/// A machine and a line of which almost every value is not zero.
fn settings(listen: Listen) -> Settings {
    let mut settings = serving(listen);
    // Whoever looks for a minute is still there.
    settings.heartbeat_timeout = Micros::from_millis(600_000);
    settings.identity.recipe = 11;
    settings.identity.model_version = 12;
    settings.identity.rubric_version = 13;
    let field = |name: &str, address, kind| TagSpec::new(name, address, kind);
    let fields = vec![field("height", 64, TagKind::F32), field("records", 124, TagKind::U64)];
    settings.payload = Payload::new(fields).expect("it fits");
    let (_, facts) = watch::channel(Facts { storage_permille: 555, upload_backlog: 0x0009_0001 });
    settings.facts = Some(facts);
    settings
}

const COUNTERS: Counters = Counters {
    inspected: 0x0001_0021,
    pass: 0x0002_0022,
    reject: 0x0003_0023,
    hold: 0x0004_0024,
    missed: 0x0005_0025,
    reject_commanded: 0x0006_0026,
    reject_confirmed: 0x0007_0027,
    reject_unconfirmed: 0x0008_0028,
};

/// A bad piece whose result stays on offer, with everything that commands can say.
async fn offer_a_result(station: &Station, plc: &mut Master) {
    let why = Permit { run: true, reasons: StopReasons(0x0000_0401), stop_seq: 21, spc_rules: 0x81, spc_chart: 9 };
    plc.until("the link", |status| status.run_permit).await;
    station.send(LineCommand::Permit(why)).await;
    station.send(LineCommand::Counters(COUNTERS)).await;
    station.send(LineCommand::Beat(0x0102)).await;
    plc.until("TriggerReady", |status| status.trigger_ready && status.heartbeat == 0x0102).await;
    plc.control.piece_seq = 0x0001_0002;
    plc.control.encoder_at_trigger = 0xFFFF_0003;
    plc.control.set_user_data = true;
    plc.control.trigger = true;
    plc.until("the result", |status| status.results_valid && status.set_user_data_ack).await;
    station.send(LineCommand::Gate(GateQueue { waiting: 2, next: Some(EncoderCount(0x0005_0006)) })).await;
    plc.until("the gate", |status| status.next_reject_at != 0).await;
    // A piece while the last trigger still stands, and a command that nobody answers.
    plc.control.piece_seq += 1;
    plc.control.command = 103;
    plc.control.execute_command = true;
    plc.until("the miss and the command", |status| status.acq_error && status.ack_command == 103).await;
}

/// The bits of a field in its register.
fn mask(field: &Field) -> u16 {
    match field.kind {
        Kind::Bits { first, count } => (u16::MAX >> (16 - count)) << first,
        _ => u16::MAX,
    }
}

/// Every field of the status block, from both tables and bit by bit, against `block`.
async fn reads_all(outsider: &mut Outsider, block: &[u16]) {
    for field in STATUS {
        let (from, to) = (usize::from(field.register), usize::from(field.register + field.width));
        for (table, base) in [(Table::Inputs, 0), (Table::Holding, 1000)] {
            let words =
                outsider.read(table, base + field.register, field.width).await.unwrap_or_else(|code| panic!("{}: {code}", field.name));
            let mut seen = vec![0; 128];
            seen[from..to].copy_from_slice(&words);
            assert_eq!(field.show(&seen, Order::default()), field.show(block, Order::default()), "{} in {table:?}", field.name);
        }
        if let (Kind::Bits { first, count }, 0..=1) = (field.kind, field.register) {
            let at = field.register * 16 + u16::from(first);
            let bits = outsider.read(Table::Discretes, at, u16::from(count)).await.expect("it is served");
            let wanted = (block[from] & mask(field)) >> first;
            assert_eq!(bits.iter().rev().fold(0, |word, bit| word << 1 | bit), wanted, "{} bit by bit", field.name);
        }
    }
    let zeros: Vec<&str> = STATUS
        .iter()
        .filter(|field| block[usize::from(field.register)..][..usize::from(field.width)].iter().all(|word| *word == 0))
        .map(|field| field.name)
        .collect();
    println!("status fields of registers that were all zero: {zeros:?}");
    assert!(!zeros.contains(&"Payload"), "the result's values are not there");
    assert!(zeros.len() <= 4, "too much of the block is zero to prove anything: {zeros:?}");
}

/// Values for a field of the control block that nothing else looks like, in the range of the map.
fn sample(field: &Field) -> Vec<u16> {
    match (field.name, field.kind) {
        ("Command", _) => vec![104],
        (_, Kind::Bits { .. }) => vec![mask(field)],
        (_, Kind::U16) => vec![0xA000 + field.register],
        (_, Kind::Ascii) => (0..field.width).map(|register| 0x4130 + register).collect(),
        (_, Kind::U32 | Kind::Words) => (0..field.width).map(|register| 0xF100 + field.register + register).collect(),
    }
}

/// Every field of the control block, alone, and its bits as coils; read back by the same master.
async fn writes_all(outsider: &mut Outsider) {
    for field in CONTROL {
        let sample = sample(field);
        assert_eq!(outsider.write(Table::Holding, field.register, &sample).await, Ok(vec![]), "{}", field.name);
        let mut wanted = vec![0; 96];
        wanted[usize::from(field.register)..][..sample.len()].copy_from_slice(&sample);
        let shown = field.show(&wanted, Order::default());
        assert!(shown.as_deref().is_some_and(|shown| !shown.is_empty() && shown != "0"), "{}", field.name);
        let block = outsider.read(Table::Holding, 0, 96).await.expect("it is served");
        assert_eq!(block, wanted, "{}: other registers changed, or not the right ones", field.name);
        assert_eq!(field.show(&block, Order::default()), shown, "{}", field.name);
        let empty = vec![0; sample.len()];
        assert_eq!(outsider.write(Table::Holding, field.register, &empty).await, Ok(vec![]), "{}", field.name);
        if let (Kind::Bits { first, count }, 0..=1) = (field.kind, field.register) {
            let at = field.register * 16 + u16::from(first);
            let ones = vec![1; usize::from(count)];
            assert_eq!(outsider.write(Table::Coils, at, &ones).await, Ok(vec![]), "{} as coils", field.name);
            assert_eq!(outsider.read(Table::Coils, at, u16::from(count)).await, Ok(ones), "{} as coils", field.name);
            assert_eq!(outsider.read(Table::Holding, field.register, 1).await, Ok(vec![mask(field)]), "{} as coils", field.name);
            assert_eq!(outsider.write(Table::Coils, at, &vec![0; usize::from(count)]).await, Ok(vec![]));
        }
    }
    assert_eq!(outsider.read(Table::Holding, 0, 96).await, Ok(vec![0; 96]));
}

/// What is not allowed, by code.
async fn is_refused(outsider: &mut Outsider) {
    for (table, address, values, code) in [
        (Table::Holding, 1000, &[1][..], 2),
        (Table::Holding, 1001, &[0x80], 2),
        (Table::Holding, 95, &[1, 2], 2),
        (Table::Holding, 96, &[1], 2),
        (Table::Coils, 32, &[1], 2),
        (Table::Holding, 3, &[12], 3),
        (Table::Holding, 0, &[1, 2], 3),
        (Table::Coils, 5, &[1], 3),
    ] {
        assert_eq!(outsider.write(table, address, values).await, Err(code), "{table:?} {address} {values:?}");
    }
    for (table, address, count) in [(Table::Holding, 90, 7), (Table::Inputs, 120, 9), (Table::Coils, 30, 3), (Table::Discretes, 32, 1)] {
        assert_eq!(outsider.read(table, address, count).await, Err(2), "{table:?} {address} {count}");
    }
    assert_eq!(outsider.read(Table::Holding, 0, 96).await, Ok(vec![0; 96]), "a refused write changed something");
}

/// One station, one way, and the master that `outsider` makes for it.
async fn prove(way: &str, outsider: impl AsyncFn(&Way) -> Option<Outsider>) {
    let cable = if way == "line" { Some(Cable::plug().await) } else { None };
    let listen = match &cable {
        None => Listen::Tcp(LOCAL),
        Some(Some(cable)) => Listen::Serial(master::line(&cable.ends[0])),
        Some(None) => return,
    };
    let mut station = Station::with_beats(settings(listen), false);
    let (mut plc, way, block);
    match cable.as_ref().and_then(Option::as_ref) {
        None => {
            let address = station.listening().await;
            plc = Master::connect(address).await;
            offer_a_result(&station, &mut plc).await;
            block = plc.status_block().await;
            way = Way::Tcp(gateway(address).await);
        }
        Some(cable) => {
            plc = Master::on_line(cable.master());
            offer_a_result(&station, &mut plc).await;
            block = plc.status_block().await;
            way = Way::Line(cable.ends[1].clone());
        }
    }
    // On a serial line there is one master at a time.
    let plc = if cable.is_some() {
        drop(plc);
        None
    } else {
        Some(plc)
    };
    let Some(mut outsider) = outsider(&way).await else { return };
    reads_all(&mut outsider, &block).await;
    if plc.is_some() {
        assert_eq!(outsider.write(Table::Holding, 2, &[9]).await, Err(2), "the PLC holds control");
        drop(plc);
        station.until("the PLC to be gone", |seen| !seen.downs.is_empty()).await;
    } else {
        assert_eq!(outsider.write(Table::Holding, 0, &[0; 96]).await, Ok(vec![]));
    }
    writes_all(&mut outsider).await;
    is_refused(&mut outsider).await;
    if let Outsider::Pymodbus(master) = &mut outsider {
        let both = master.ask("23 0 4 2 17 0 0").await;
        assert_eq!(both, Ok(vec![0, 0, 17, 0]), "what FC23 writes is written before it reads");
        assert_eq!(master.ask("23 1049 1 2 18").await, Ok(vec![1]), "MapVersion with a heartbeat in one round trip");
        assert_eq!(master.ask("22 2 65520 5").await, Ok(vec![]));
        assert_eq!(master.ask("3 2 1").await, Ok(vec![18 & 65520 | 5 & 15]));
        assert_eq!(master.ask("23 0 1 1000 1").await, Err(2));
    }
}

async fn by_mbpoll(way: &Way) -> Option<Outsider> {
    mbpoll(way, "-t 3 -r 49 -c 1".into(), &[]).await.map(|_| Outsider::Mbpoll(way.clone()))
}

async fn by_pymodbus(way: &Way) -> Option<Outsider> {
    Pymodbus::start(way).await.map(Outsider::Pymodbus)
}

#[tokio::test]
async fn mbpoll_over_tcp() {
    prove("tcp", by_mbpoll).await;
}

#[tokio::test]
async fn mbpoll_over_a_serial_line() {
    prove("line", by_mbpoll).await;
}

#[tokio::test]
async fn pymodbus_over_tcp() {
    prove("tcp", by_pymodbus).await;
}

#[tokio::test]
async fn pymodbus_over_a_serial_line() {
    prove("line", by_pymodbus).await;
}
