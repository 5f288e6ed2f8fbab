//! Clients of the server that are many, rude, strange or dead.
//!
//! Every wait is for a condition, with a deadline; a deadline that passes is a failure.

mod master;

use master::{LOCAL, Lost, Master, Station, serving, within};
use plc_bridge::Settings;
use plc_bridge::server::{Listen, ServerSettings};
use plc_bridge::sim::{Sim, SimSettings};
use station::line::{Counters, LineCommand, LinkFault};
use station::units::Micros;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_modbus::ExceptionCode;
use tokio_modbus::client::{Context, Reader as _, Writer as _};

fn server(settings: &mut Settings) -> &mut ServerSettings {
    settings.server.as_mut().expect("it serves")
}

/// A frame as bytes: transaction 7, the PDU for `unit`.
fn adu(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = u8::try_from(pdu.len() + 1).expect("short");
    [&[0, 7, 0, 0, 0, length, unit], pdu].concat()
}

/// The PDU that answers.
async fn ask(stream: &mut TcpStream, unit: u8, pdu: &[u8]) -> Vec<u8> {
    stream.write_all(&adu(unit, pdu)).await.expect("it takes bytes");
    let mut header = [0; 7];
    within("an answer", stream.read_exact(&mut header)).await.expect("an answer");
    assert_eq!(header[..4], [0, 7, 0, 0]);
    assert_eq!(header[6], unit);
    let mut pdu = vec![0; usize::from(header[5]) - 1];
    stream.read_exact(&mut pdu).await.expect("the rest of it");
    pdu
}

/// The server closed this connection and said nothing more.
async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good as an end.
    within("the server to close", stream.read_to_end(&mut rest)).await.unwrap_or_default();
    assert!(rest.is_empty(), "{rest:?}");
}

/// Connects until the server lets it in.
async fn comes_in(address: SocketAddr) -> Context {
    let coming = async {
        loop {
            let mut context = Master::connect(address).await.context;
            if context.read_input_registers(0, 1).await.is_ok() {
                return context;
            }
        }
    };
    within("a free place", coming).await
}

#[tokio::test]
async fn malformed_requests_are_answered_and_change_nothing() {
    let (station, address) = Station::on_tcp(|_| {}).await;
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    for (pdu, answer) in [
        // Coils and registers announced and not brought; counts whose double is 0 in 16 bits.
        (&[15, 0, 0, 0, 16, 1, 0xFF][..], [0x8F, 3]),
        (&[15, 0, 0, 0xFF, 0xFF, 0], [0x8F, 3]),
        (&[16, 0, 0, 0x80, 0, 0], [0x90, 3]),
        (&[23, 3, 0xE8, 0, 1, 0, 0, 0x80, 0, 0], [0x97, 3]),
        (&[16, 0, 2, 0, 1, 2, 0], [0x90, 3]),
        (&[5, 0, 1, 0x12, 0x34], [0x85, 3]),
        (&[3, 0, 0], [0x83, 3]),
        (&[3, 0, 0, 0, 126], [0x83, 3]),
        (&[3, 0, 95, 0, 2], [0x83, 2]),
        (&[6, 0, 0, 0, 0x20], [0x86, 3]),
        (&[6, 0, 3, 0, 12], [0x86, 3]),
        (&[6, 3, 0xE9, 0, 0x80], [0x86, 2]),
        (&[7], [0x87, 1]),
        (&[43, 14, 1, 0], [0xAB, 1]),
        (&[0x83, 2], [0x83, 1]),
        (&[0], [0x80, 1]),
    ] {
        assert_eq!(ask(&mut stream, 1, pdu).await, answer, "{pdu:?}");
    }
    let longest = [&[16, 0, 0, 0, 123, 246][..], &[0; 246]].concat();
    assert_eq!(ask(&mut stream, 1, &longest).await, [0x90, 2]);
    let control = ask(&mut stream, 1, &[3, 0, 0, 0, 96]).await;
    assert_eq!(control, [&[3, 192][..], &[0; 192]].concat());
    for (unit, wanted) in [(1, vec![3, 2, 0, 0]), (0, vec![3, 2, 0, 0]), (255, vec![3, 2, 0, 0]), (2, vec![0x83, 0x0B])] {
        assert_eq!(ask(&mut stream, unit, &[3, 0, 0, 0, 1]).await, wanted, "unit {unit}");
    }
    // Requests that come before the last was answered are answered one by one.
    stream.write_all(&[adu(1, &[3, 0, 0, 0, 1]), adu(1, &[7])].concat()).await.expect("it takes bytes");
    let mut answers = [0; 20];
    within("both answers", stream.read_exact(&mut answers)).await.expect("both answers");
    assert_eq!(answers[..], [0, 7, 0, 0, 0, 5, 1, 3, 2, 0, 0, 0, 7, 0, 0, 0, 3, 1, 0x87, 1]);
    station.stop().await;
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection() {
    let (station, address) = Station::on_tcp(|_| {}).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0, 1, 0, 1, 0, 6, 1, 3, 0, 0, 0, 1],
        &[0, 1, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1],
        &[0, 1, 0, 0, 0, 1, 1, 3, 0, 0, 0, 1],
        &[0, 1, 0, 0, 1, 0, 1, 3, 0, 0, 0, 1],
        &[0, 1, 0, 0, 0xFF, 0xFF, 1, 3, 0, 0, 0, 1],
    ] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(bytes).await.expect("it takes bytes");
        is_closed(&mut stream).await;
    }
    let mut plc = Master::connect(address).await;
    assert!(plc.scan().await.is_ok());
    station.stop_while(plc).await;
}

#[tokio::test]
async fn half_a_frame_keeps_no_place_for_ever() {
    let (station, address) = Station::on_tcp(|settings| server(settings).clients_max = 2).await;
    for bytes in [&[0, 7, 0][..], &[0, 7, 0, 0, 0, 254, 1, 16], &adu(1, &[3, 0, 0, 0, 1])[..11]] {
        let mut rude = TcpStream::connect(address).await.expect("it listens");
        rude.write_all(bytes).await.expect("it takes bytes");
        is_closed(&mut rude).await;
    }
    comes_in(address).await;
    station.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_loses_its_place() {
    let (station, address) = Station::on_tcp(|settings| server(settings).clients_max = 1).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("a small buffer");
    let mut deaf = socket.connect(address).await.expect("it listens");
    let question = adu(1, &[3, 3, 0xE8, 0, 125]).repeat(64);
    let asking = async { while deaf.write_all(&question).await.is_ok() {} };
    within("the server to close", asking).await;
    comes_in(address).await;
    station.stop().await;
}

#[tokio::test]
async fn who_asks_nothing_is_gone() {
    let (mut station, address) = Station::on_tcp(|settings| server(settings).idle_timeout = Duration::from_millis(100)).await;
    let mut idle = TcpStream::connect(address).await.expect("it listens");
    is_closed(&mut idle).await;
    // The client that controls, too: its control is free then.
    let mut plc = Master::connect(address).await;
    plc.scan().await.expect("it may write");
    station.until("the loss", |seen| seen.downs == [LinkFault::Disconnected]).await;
    assert!(matches!(plc.scan().await, Err(Lost::Connection)));
    station.stop().await;
}

#[tokio::test]
async fn places_are_counted_and_given_back() {
    let (station, address) = Station::on_tcp(|settings| server(settings).clients_max = 2).await;
    let (first, mut second) = (comes_in(address).await, comes_in(address).await);
    let mut third = TcpStream::connect(address).await.expect("the socket listens");
    is_closed(&mut third).await;
    assert!(second.read_input_registers(0, 1).await.is_ok(), "a refused client disturbed another");
    drop(first);
    comes_in(address).await;
    station.stop().await;
}

#[tokio::test]
async fn only_listed_addresses_come_in() {
    let listed = ["127.0.0.2", "127.0.0.128/25"].map(|network| network.parse().expect("a network"));
    let (station, address) = Station::on_tcp(|settings| server(settings).clients_allowed = listed.to_vec()).await;
    for (host, welcome) in [(1, false), (2, true), (3, false), (127, false), (128, true), (254, true)] {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0))).expect("all of 127/8 is here");
        let mut stream = socket.connect(address).await.expect("the socket listens");
        if welcome {
            assert_eq!(ask(&mut stream, 1, &[4, 0, 49, 0, 1]).await[..2], [4, 2], "{host}");
        } else {
            is_closed(&mut stream).await;
        }
    }
    station.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_tried_again() {
    let taken = std::net::TcpListener::bind(LOCAL).expect("a free port");
    let address = taken.local_addr().expect("an address");
    let mut station = Station::start(serving(Listen::Tcp(address)));
    assert!(TcpStream::connect(address).await.is_ok(), "the other program has it");
    drop(taken);
    assert_eq!(station.listening().await, address);
    comes_in(address).await;
    station.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_listen_still_ends() {
    let taken = std::net::TcpListener::bind(LOCAL).expect("a free port");
    Station::start(serving(Listen::Tcp(taken.local_addr().expect("an address")))).stop().await;
    let mut settings = serving(Listen::Tcp(LOCAL));
    server(&mut settings).status_base = 0;
    Station::start(settings).stop().await;
}

#[tokio::test]
async fn a_frozen_plc_is_noticed_though_nothing_comes() {
    let (mut station, address) = Station::on_tcp(|settings| settings.heartbeat_timeout = Micros::from_millis(300)).await;
    let mut plc = Master::connect(address).await;
    plc.until("the permit", |status| status.run_permit).await;
    // The connection stays, and nothing is written.
    station.until("the freeze", |seen| seen.downs.contains(&LinkFault::HeartbeatFrozen)).await;
    let words = plc.context.read_input_registers(0, 2).await.expect("the connection stays").expect("it may read");
    assert_eq!((words[0] & 1, words[1] & 0x80), (0, 0), "TriggerReady and RunPermit");
    plc.until("the permit", |status| status.run_permit).await;
    station.stop_while(plc).await;
}

#[tokio::test]
async fn a_plc_that_comes_back_on_a_new_connection_gets_control_though_the_old_one_never_ended() {
    let (mut station, address) = Station::on_tcp(|settings| settings.heartbeat_timeout = Micros::from_millis(300)).await;
    let mut old = Master::connect(address).await;
    old.until("the permit", |status| status.run_permit).await;
    let mut new = Master::connect(address).await;
    let taking = async {
        loop {
            match new.scan().await {
                Ok(status) => return status,
                Err(Lost::Refused(ExceptionCode::IllegalDataAddress)) => tokio::task::yield_now().await,
                Err(lost) => panic!("{lost:?}"),
            }
        }
    };
    let first = within("control", taking).await;
    assert_eq!(first, plc_bridge::jmap::Status::default(), "an image of the old connection");
    new.until("the permit", |status| status.run_permit).await;
    assert!(matches!(old.scan().await, Err(Lost::Refused(ExceptionCode::IllegalDataAddress))));
    drop(old);
    new.until("another beat", |status| status.run_permit).await;
    assert_eq!(station.until("the link", |seen| seen.ups == 2).await.ups, 2);
    station.stop_while(new).await;
}

/// A number that no mixture of two others of its kind can be.
const fn paired(count: u16) -> u32 {
    (count as u32) << 16 | count as u32
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_answer_is_of_one_moment() {
    let (station, address) = Station::on_tcp(|_| {}).await;
    let mut plc = Master::connect(address).await;
    plc.until("the permit", |status| status.run_permit).await;
    let (done, over) = tokio::sync::watch::channel(false);
    // Both blocks change as fast as they can; every reader sees a whole state of each.
    let images = async {
        let mut count = 0_u16;
        while !*over.borrow() {
            count = count.wrapping_add(1);
            let same = paired(count);
            let counters = Counters {
                inspected: same,
                pass: same,
                reject: same,
                hold: same,
                reject_commanded: same,
                reject_confirmed: same,
                reject_unconfirmed: same,
                ..Counters::default()
            };
            station.send(LineCommand::Counters(counters)).await;
        }
        count
    };
    let writes = async {
        let mut count = 0_u16;
        while !*over.borrow() {
            count = count.wrapping_add(1);
            let words = [count; 64];
            plc.context.write_multiple_registers(32, &words).await.expect("served").expect("it may write");
            plc.scan().await.expect("it may write");
        }
        count
    };
    let readers = async {
        let mut reading = tokio::task::JoinSet::new();
        for way in 0..3 {
            let mut context = Master::connect(address).await.context;
            reading.spawn(async move {
                let (mut states, mut last) = (0, 0);
                for _ in 0..1000 {
                    if way == 2 {
                        let words = context.read_holding_registers(0, 96).await.expect("served").expect("it may read");
                        assert!(words[32..].iter().all(|word| *word == words[32]), "a mixture: {words:?}");
                        states += u32::from(std::mem::replace(&mut last, words[32]) != words[32]);
                        continue;
                    }
                    let words = match way {
                        0 => context.read_input_registers(0, 64).await,
                        _ => context.read_holding_registers(1000, 64).await,
                    };
                    let words = words.expect("served").expect("it may read");
                    // Missed triggers and overruns (36–39) are the handshake's own.
                    let counters = [&words[28..36], &words[40..46]].concat();
                    assert!(counters.iter().all(|word| *word == words[28]), "a mixture: {counters:?}");
                    states += u32::from(std::mem::replace(&mut last, words[28]) != words[28]);
                }
                states
            });
        }
        let states = reading.join_all().await;
        done.send_replace(true);
        states
    };
    let (images, writes, states) = within("the readers", async { tokio::join!(images, writes, readers) }).await;
    println!("{images} images, {writes} writes; states seen by three readers: {states:?}");
    assert!(states.iter().all(|states| *states > 5), "nothing changed while they looked: {states:?}");
    station.stop_while(plc).await;
}

#[tokio::test]
async fn beside_a_client_the_server_is_a_mirror_that_takes_no_control() {
    let sim = Sim::bind(LOCAL, SimSettings::default()).await.expect("a free port");
    let (plc, at) = (sim.handle(), sim.local_addr());
    tokio::spawn(sim.run(std::future::pending()));
    let mut settings = serving(Listen::Tcp(LOCAL));
    settings.plc = Settings::new(at, master::clock()).plc;
    let mut station = Station::start(settings);
    let address = station.listening().await;
    station.until("pieces", |seen| seen.written.len() >= 2).await;
    let mut scada = Master::connect(address).await;
    assert!(matches!(scada.scan().await, Err(Lost::Refused(ExceptionCode::IllegalDataAddress))));
    let refused = scada.context.write_single_coil(1, false).await.expect("served");
    assert_eq!(refused, Err(ExceptionCode::IllegalDataAddress));
    let watching = async {
        let mut pieces = std::collections::BTreeSet::new();
        while pieces.len() < 3 {
            let control = scada.context.read_holding_registers(0, 28).await.expect("served").expect("it may read");
            let status = scada.context.read_holding_registers(1000, 64).await.expect("served").expect("it may read");
            assert_eq!(control[0] >> 9 & 1, 1, "LineRunning");
            assert_eq!((status[49], status[1] & 0x80), (1, 0x80), "MapVersion and RunPermit");
            pieces.insert((control[6], plc_bridge::jmap::text(&control[12..28], Default::default())));
        }
        pieces
    };
    let pieces = within("three pieces", watching).await;
    assert!(pieces.iter().all(|(number, serial)| *serial == Some(format!("SN{number:08}"))), "{pieces:?}");
    assert_eq!(plc.observe().triggered_unready, 0);
    let seen = station.until("more pieces", |seen| seen.written.len() >= 5).await;
    assert!(seen.downs.is_empty() && seen.ups == 1, "the mirror disturbed the link: {seen:?}");
    station.stop().await;
    // Well before the watchdog: the PLC was told, whatever became of the mirror.
    assert_eq!(plc.holding(1000, 64), Some(vec![0; 64]), "the last write to the PLC was lost");
    let ended = within("the end", scada.context.read_input_registers(0, 1)).await;
    assert!(ended.is_err(), "a connection outlived the server");
}
