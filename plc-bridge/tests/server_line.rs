//! The appliance as a slave on a serial line: ptys for a cable, the library's RTU client as the master.

mod master;

use master::{Cable, Master, Station, line, serving, within};
use plc_bridge::jmap::Status;
use plc_bridge::server::Listen;
use station::line::LinkFault;
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn station(device: &Path) -> Station {
    Station::start(serving(Listen::Serial(line(device))))
}

#[tokio::test]
async fn twenty_pieces_over_a_serial_line() {
    let Some(cable) = Cable::plug().await else { return };
    let mut station = station(&cable.ends[0]);
    let mut plc = Master::on_line(cable.master());
    for number in 1..=20 {
        let status = plc.piece(number).await;
        assert_eq!((status.piece_seq_echo, status.pass, status.fail), (number, number % 2 == 1, number % 2 == 0));
    }
    let seen = station.until("the last result", |seen| seen.written.len() == 20).await;
    assert_eq!((seen.pieces(), seen.downs), ((1..=20).collect::<Vec<_>>(), Vec::new()));
    let bridge = station.ask_to_stop();
    plc.until("zeros", |status| *status == Status::default()).await;
    within("the bridge to end", bridge).await.expect("it did not panic");
}

/// CRC-16/MODBUS bit by bit, written anew so that the test does not believe the server.
fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = [&[unit], pdu].concat();
    let mut sum = 0xFFFF_u16;
    for byte in &frame {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 };
        }
    }
    frame.extend(sum.to_le_bytes());
    frame
}

#[tokio::test]
async fn noise_and_neighbours_get_no_answer_and_do_not_confuse() {
    let Some(cable) = Cable::plug().await else { return };
    let mut station = station(&cable.ends[0]);
    let mut port = cable.master();
    let question = frame(1, &[3, 0, 2, 0, 1]);
    let mut broken = frame(1, &[6, 0, 2, 0, 9]);
    broken[5] ^= 1;
    let neighbour = [frame(9, &[3, 0, 0, 0, 100]), frame(9, &[&[3, 200][..], &question.repeat(25)].concat())].concat();
    for before in [&[][..], &broken, &neighbour, &frame(0, &[6, 0, 2, 0, 9]), &[0, 0xFF, 0x10], &question[..5], &[0x55; 300]] {
        port.write_all(before).await.expect("a cable");
        // A master waits for an answer before it asks again; here it waits until the line is silent for certain.
        let mut answer = [0; 7];
        let answered = async {
            loop {
                port.write_all(&question).await.expect("a cable");
                let heard = tokio::time::timeout(std::time::Duration::from_millis(500), port.read_exact(&mut answer)).await;
                if heard.is_ok() {
                    return;
                }
            }
        };
        within("an answer", answered).await;
        assert_eq!(answer[..], frame(1, &[3, 2, 0, 0]), "after {before:?}: the broadcast or the broken write was done");
    }
    port.write_all(&frame(1, &[8, 0, 0, 0x12, 0x34])).await.expect("a cable");
    let mut answer = [0; 5];
    within("an answer", port.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(answer[..], frame(1, &[0x88, 1]), "a function that is not served");
    // A master that asked again has given the first question up: it is done, and only the second is answered.
    port.write_all(&[frame(1, &[6, 0, 2, 0, 9]), question].concat()).await.expect("a cable");
    let mut answer = [0; 7];
    within("an answer", port.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(answer[..], frame(1, &[3, 2, 0, 9]));
    assert_eq!(station.until("nothing", |_| true).await.ups, 0);
    // Nobody reads the last word here, and nobody needs to: without a master there is nothing to wait for.
    drop((port, cable));
    station.stop().await;
}

#[tokio::test]
async fn an_adapter_is_plugged_in_pulled_and_plugged_in_again() {
    let name = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("line-{}", std::process::id()));
    let mut station = station(&name);
    for round in 1..=2 {
        let Some(cable) = Cable::plug_as(&name).await else { return };
        let mut port = Some(cable.master());
        // Until the server has opened its end nobody answers.
        let found = async {
            let port = port.as_mut().expect("it was opened");
            let mut answer = [0; 7];
            loop {
                port.write_all(&frame(1, &[4, 0, 49, 0, 1])).await.expect("a cable");
                let heard = tokio::time::timeout(std::time::Duration::from_millis(300), port.read_exact(&mut answer)).await;
                if heard.is_ok() {
                    return;
                }
            }
        };
        within("the server to find the line", found).await;
        drop(port.take());
        let mut plc = Master::on_line(cable.master());
        plc.until("the permit", |status| status.run_permit).await;
        drop((plc, cable));
        let seen = station.until("the loss", |seen| seen.downs.len() == round).await;
        assert_eq!((seen.downs.last(), seen.ups), (Some(&LinkFault::Disconnected), round));
    }
    station.stop().await;
}
