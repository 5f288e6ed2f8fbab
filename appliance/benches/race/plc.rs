//! The PLC: the peers' own server, and beside it the program that a PLC runs on the registers of the contract — heartbeat,
//! acknowledgement of results, process values. It is a Modbus client of that server like everybody else.

use crate::Done;
use crate::arrangement::until_listening;
use plc_bridge::jmap::{Control, Order, STATUS_HEAD, Status};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// First register of the appliance's status block in the server's 1024 registers; the control block is at 0.
pub const STATUS_BASE: u16 = 128;
/// First register of the process values.
pub const TAGS_BASE: u16 = 300;
/// How often the program runs.
const SCAN: Duration = Duration::from_millis(5);
/// Scans between two heartbeats, and between two sets of process values.
const BEAT_SCANS: u32 = 20;

/// The server.
pub struct Server {
    pub port: u16,
    child: Child,
}

impl Server {
    pub fn start(folder: &Path) -> Done<Self> {
        // Free now; whoever takes it before the server does makes the server end, which is noticed.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let child = Command::new(folder.join("plc_server")).arg(port.to_string()).stderr(Stdio::null()).spawn()?;
        until_listening(port)?;
        Ok(Self { port, child })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the PLC's server did not end: {error}");
        }
    }
}

/// The program.
pub struct Program {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Program {
    pub fn start(port: u16) -> Done<Self> {
        let mut wire = Wire { stream: TcpStream::connect(("127.0.0.1", port))?, transaction: 0 };
        wire.stream.set_nodelay(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("plc-program".to_owned()).spawn(move || {
            if let Err(error) = run(&mut wire, &told) {
                eprintln!("the PLC's program has ended: {error}");
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(wire: &mut Wire, stop: &AtomicBool) -> Done<()> {
    let mut control = Control { buffer_results_enable: true, line_running: true, ..Control::default() };
    let (mut written, mut scan, mut due) = (Vec::new(), 0_u32, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let status = Status::decode(&wire.read(STATUS_BASE, STATUS_HEAD)?, Order::default());
        control.results_ack = status.results_valid;
        if scan.is_multiple_of(BEAT_SCANS) {
            control.heartbeat = control.heartbeat.wrapping_add(1);
            wire.write(TAGS_BASE, &process(scan))?;
        }
        let words = control.encode(Order::default())[..12].to_vec();
        if words != written {
            wire.write(0, &words)?;
            written = words;
        }
        scan = scan.wrapping_add(1);
        due += SCAN;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// A process that is well: paste height, three zones, placement force, each with some noise.
fn process(scan: u32) -> [u16; 10] {
    let noise =
        |salt: u32| u16::try_from((scan / BEAT_SCANS).wrapping_mul(2_654_435_761).wrapping_add(salt * 97) >> 16 & 0x7F).unwrap_or(0);
    let [force_high, force_low] = {
        let bits = (3.0_f32 + f32::from(noise(5)) / 1000.0).to_bits();
        [u16::try_from(bits >> 16).unwrap_or(0), u16::try_from(bits & 0xFFFF).unwrap_or(0)]
    };
    [11_940 + noise(1), 0, 18_000 + noise(2), 0, 22_000 + noise(3), 0, 24_500 + noise(4), 0, force_high, force_low]
}

/// One Modbus connection.
struct Wire {
    stream: TcpStream,
    transaction: u16,
}

impl Wire {
    fn read(&mut self, address: u16, count: u16) -> Done<Vec<u16>> {
        let body = self.ask(3, &[address.to_be_bytes(), count.to_be_bytes()].concat())?;
        Ok(body.get(1..).unwrap_or_default().as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two)).collect())
    }

    fn write(&mut self, address: u16, words: &[u16]) -> Done<()> {
        let count = u16::try_from(words.len())?;
        let mut body = [address.to_be_bytes(), count.to_be_bytes()].concat();
        body.push(u8::try_from(2 * count)?);
        body.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        self.ask(16, &body).map(drop)
    }

    /// The answer without its function code.
    fn ask(&mut self, function: u8, body: &[u8]) -> Done<Vec<u8>> {
        self.transaction = self.transaction.wrapping_add(1);
        let length = u16::try_from(body.len() + 2)?;
        let mut frame = [self.transaction.to_be_bytes(), [0, 0], length.to_be_bytes()].concat();
        frame.extend([1, function]);
        frame.extend(body);
        self.stream.write_all(&frame)?;
        let mut head = [0; 8];
        self.stream.read_exact(&mut head)?;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])).saturating_sub(2)];
        self.stream.read_exact(&mut rest)?;
        if head[7] == function { Ok(rest) } else { Err(format!("exception {rest:?} to function {function}").into()) }
    }
}
