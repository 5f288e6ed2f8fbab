//! The appliance as Modbus server (role S), with the library's client as the PLC.
//!
//! Every wait is for a condition, with a deadline; a deadline that passes is a failure.

mod master;

use master::{Lost, Master, Station, permit, within};
use plc_bridge::jmap::Status;
use station::line::LinkFault;
use tokio_modbus::ExceptionCode;
use tokio_modbus::client::{Reader as _, Writer as _};

const ADDRESS: Result<(), ExceptionCode> = Err(ExceptionCode::IllegalDataAddress);

#[tokio::test]
async fn forty_pieces_get_one_result_each_and_the_last_word_is_zeros() {
    let (mut station, address) = Station::on_tcp(|_| {}).await;
    let mut plc = Master::connect(address).await;
    for number in 1..=40 {
        let status = plc.piece(number).await;
        assert_eq!((status.piece_seq_echo, status.encoder_echo), (number, number * 1000));
        assert_eq!((status.pass, status.fail, status.no_verdict), (number % 2 == 1, number % 2 == 0, false));
    }
    let seen = station.until("the last result", |seen| seen.written.len() == 40).await;
    assert_eq!(seen.pieces(), (1..=40).collect::<Vec<_>>());
    assert_eq!(seen.written, seen.pieces());
    assert_eq!(seen.arrivals[6].serial.as_deref(), Some("M000007"));
    assert!(seen.missed.is_empty() && seen.downs.is_empty() && seen.running, "{seen:?}");
    let mut micros = seen.written_micros.clone();
    micros.sort_unstable();
    println!("result to readable: p50 {} µs, max {} µs", micros[20], micros[39]);

    let bridge = station.ask_to_stop();
    let mut last = plc.until("zeros", |status| *status == Status::default()).await;
    while let Ok(status) = within("the end", plc.scan()).await {
        last = status;
    }
    assert_eq!(last, Status::default(), "the last thing that the PLC read was not the stop");
    within("the bridge to end", bridge).await.expect("it did not panic");
}

#[tokio::test]
async fn a_trigger_that_falls_between_two_looks_of_anybody_else_is_seen() {
    let (mut station, address) = Station::on_tcp(|_| {}).await;
    let mut plc = Master::connect(address).await;
    plc.until("TriggerReady", |status| status.trigger_ready).await;
    for number in 1..=60 {
        plc.control.piece_seq = number;
        plc.control.trigger = true;
        plc.scan().await.expect("the link holds");
        plc.control.trigger = false;
        plc.scan().await.expect("the link holds");
    }
    let seen = station.until("sixty pieces", |seen| seen.arrivals.len() >= 60).await;
    assert_eq!(seen.pieces(), (1..=60).collect::<Vec<_>>());
    station.stop_while(plc).await;
}

#[tokio::test]
async fn a_lost_plc_finds_zeros_and_no_permit_until_the_station_says_so() {
    let (mut station, address) = Station::on_tcp(|_| {}).await;
    let mut plc = Master::connect(address).await;
    plc.until("the permit", |status| status.run_permit).await;
    let mut scada = Master::connect(address).await.context;
    drop(plc);
    station.until("the loss", |seen| seen.downs == [LinkFault::Disconnected]).await;
    let words = scada.read_input_registers(1, 1).await.expect("it is served").expect("it may read");
    assert_eq!(words[0] & 0x80, 0, "a permit for nobody");
    assert_eq!(scada.read_holding_registers(0, 96).await.expect("served"), Ok(vec![0; 96]), "the control block of nobody");

    let mut plc = Master::connect(address).await;
    let first = plc.scan().await.expect("it may write");
    assert_eq!(first, Status::default(), "the first thing that a new connection reads");
    plc.until("the permit", |status| status.run_permit).await;
    assert_eq!(station.until("the link", |seen| seen.ups == 2).await.downs.len(), 1);
    station.send(permit(false)).await;
    plc.until("the stop", |status| !status.run_permit).await;
    assert_eq!(station.until("the reading of it", |seen| seen.permits.len() == 3).await.permits, [true, true, false]);
    station.stop_while(plc).await;
}

#[tokio::test]
async fn one_client_controls_and_the_others_only_read() {
    let (mut station, address) = Station::on_tcp(|_| {}).await;
    let mut plc = Master::connect(address).await;
    plc.until("the permit", |status| status.run_permit).await;
    let mut second = Master::connect(address).await;
    assert!(matches!(second.scan().await, Err(Lost::Refused(ExceptionCode::IllegalDataAddress))));
    assert_eq!(second.context.write_single_register(2, 9).await.expect("served"), ADDRESS);
    assert_eq!(second.context.write_single_coil(1, true).await.expect("served"), ADDRESS);
    let permit = second.context.read_discrete_inputs(23, 1).await.expect("served").expect("it may read");
    assert_eq!(permit, [true]);
    let heartbeat = second.context.read_holding_registers(2, 1).await.expect("served").expect("it may read");
    assert_eq!(heartbeat, [plc.control.heartbeat]);
    assert!(plc.scan().await.is_ok(), "the second writer disturbed the first");
    drop(plc);
    station.until("the loss", |seen| !seen.downs.is_empty()).await;
    second.until("the permit", |status| status.run_permit).await;
    station.stop_while(second).await;
}
