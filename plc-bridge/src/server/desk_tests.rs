//! Who holds control: clients by number, times in milliseconds.

use super::*;
use station::piece::PieceId;
use tokio_modbus::ExceptionCode::{IllegalDataAddress, IllegalDataValue};

const PERMIT: u16 = 0x80;

fn desk(mirror: bool) -> Desk {
    Desk::new(Bases { control: 0, status: 1000 }, Order::default(), mirror, Micros::from_millis(1000))
}

fn at(millis: u64) -> Timestamp {
    Timestamp { wall_micros: 0, mono_micros: millis * 1000 }
}

fn image(connection: u64) -> Image {
    let mut image = Image { connection, ..Image::safe() };
    image.words[1] = PERMIT;
    image
}

fn words(note: &Note) -> String {
    match note {
        Note::Poll(PollNote::Look { control, .. }) => format!("look {} {}", control.heartbeat, control.trigger),
        Note::Poll(PollNote::Up) => "poll up".into(),
        Note::Poll(PollNote::Down(fault)) => format!("poll {fault:?}"),
        Note::Outputs(OutputNote::Up { connection }) => format!("up {connection}"),
        Note::Outputs(OutputNote::Down(fault)) => format!("{fault:?}"),
        other => format!("{other:?}"),
    }
}

/// `client` writes the heartbeat; what was told.
fn beat(desk: &mut Desk, client: u64, heartbeat: u16, millis: u64) -> Result<Vec<String>, ExceptionCode> {
    let mut notes = Vec::new();
    let request = Request::WriteSingleRegister(2, heartbeat);
    desk.write(client, &request, &image(desk.connections), at(millis), &mut notes)?;
    assert!(notes.len() <= NOTES_PER_WRITE);
    Ok(notes.iter().map(words).collect())
}

fn permit(desk: &Desk, image: &Image) -> u16 {
    let read = |request| match desk.read(&request, image, &[0; 96]) {
        Ok(Response::ReadInputRegisters(words) | Response::ReadHoldingRegisters(words)) => words[0],
        other => panic!("{other:?}"),
    };
    let permit = read(Request::ReadInputRegisters(1, 1));
    assert_eq!(permit, read(Request::ReadHoldingRegisters(1001, 1)));
    permit
}

fn control(desk: &Desk) -> Vec<u16> {
    match desk.read(&Request::ReadHoldingRegisters(0, 96), &image(0), &[0; 96]) {
        Ok(Response::ReadHoldingRegisters(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_writer_holds_control_and_others_read() {
    let mut desk = desk(false);
    assert_eq!(desk.look(at(0)), None);
    assert_eq!(beat(&mut desk, 7, 1, 0).unwrap(), ["poll up", "up 1", "look 1 false"]);
    assert_eq!(beat(&mut desk, 7, 2, 10).unwrap(), ["look 2 false"]);
    assert_eq!(beat(&mut desk, 8, 9, 20), Err(IllegalDataAddress));
    assert_eq!(control(&desk)[2], 2, "the second writer changed something");
    assert_eq!(desk.look(at(60)).as_ref().map(words).as_deref(), Some("look 2 false"));
    assert!(desk.holds(7) && !desk.holds(8));
}

#[test]
fn a_refused_write_takes_no_control() {
    let mut desk = desk(false);
    let mut notes = Vec::new();
    for (request, wanted) in [
        (Request::WriteSingleRegister(0, 1 << 5), IllegalDataValue),
        (Request::WriteSingleRegister(1001, 0x80), IllegalDataAddress),
        (Request::ReadWriteMultipleRegisters(96, 1, 2, vec![5].into()), IllegalDataAddress),
    ] {
        assert_eq!(desk.write(7, &request, &image(0), at(0), &mut notes), Err(wanted));
    }
    assert_eq!((notes.len(), desk.is_held()), (0, false));
    // The holder's own bad write costs it neither control nor its last good write.
    beat(&mut desk, 7, 1, 0).unwrap();
    assert_eq!(desk.write(7, &Request::WriteSingleRegister(3, 99), &image(1), at(1), &mut notes), Err(IllegalDataValue));
    assert!(notes.is_empty() && desk.holds(7));
}

#[test]
fn each_holder_starts_from_zeros() {
    let mut desk = desk(false);
    assert_eq!(permit(&desk, &image(0)), PERMIT, "nobody holds control: what was made for nobody is shown");
    let mut notes = Vec::new();
    let both = Request::ReadWriteMultipleRegisters(1001, 1, 0, vec![3, 0, 1].into());
    let (answer, change) = desk.write(7, &both, &image(0), at(0), &mut notes).unwrap();
    assert_eq!((answer, change), (Response::ReadWriteMultipleRegisters(vec![0]), Change::Took));
    assert_eq!(permit(&desk, &image(0)), 0);
    assert_eq!(permit(&desk, &image(1)), PERMIT);

    notes.clear();
    assert!(desk.leave(7, &mut notes) && !desk.leave(7, &mut notes));
    assert_eq!(notes.iter().map(words).collect::<Vec<_>>(), ["Disconnected", "poll Disconnected"]);
    assert_eq!((permit(&desk, &image(1)), control(&desk)), (0, vec![0; 96]));
    assert_eq!(beat(&mut desk, 8, 4, 10).unwrap(), ["poll up", "up 2", "look 4 false"], "Trigger of the one before is gone");
    assert_eq!([1, 2].map(|connection| permit(&desk, &image(connection))), [0, PERMIT]);
}

#[test]
fn a_silent_holder_is_replaced_and_does_not_come_back_by_the_old_way() {
    let mut desk = desk(false);
    beat(&mut desk, 7, 1, 0).unwrap();
    beat(&mut desk, 7, 2, 500).unwrap();
    assert_eq!(beat(&mut desk, 8, 1, 1500), Err(IllegalDataAddress), "exactly as long as a heartbeat may stand still");
    let told = beat(&mut desk, 8, 1, 1501).unwrap();
    assert_eq!(told, ["Disconnected", "poll Disconnected", "poll up", "up 2", "look 1 false"]);
    assert_eq!(beat(&mut desk, 7, 3, 1502), Err(IllegalDataAddress));
    let mut notes = Vec::new();
    assert!(!desk.leave(7, &mut notes) && notes.is_empty(), "the end of the old connection takes nothing from the new one");
}

#[test]
fn a_result_is_told_once_per_holder() {
    let mut desk = desk(false);
    let offering = |connection, number| Image { offer: Some((number, PieceId(5), 77)), ..image(connection) };
    assert_eq!(desk.offered(&offering(0, 1)), None);
    beat(&mut desk, 7, 1, 0).unwrap();
    assert_eq!(desk.offered(&offering(0, 1)), None, "made for nobody, so nobody can read it");
    let told = Some(Note::Outputs(OutputNote::Offered { piece: PieceId(5), handed_micros: 77 }));
    assert_eq!(
        [(1, 1), (1, 1), (1, 2)].map(|(connection, number)| desk.offered(&offering(connection, number))),
        [told.clone(), None, told.clone()]
    );
    desk.leave(7, &mut Vec::new());
    beat(&mut desk, 8, 1, 0).unwrap();
    assert_eq!([1, 2, 2].map(|connection| desk.offered(&offering(connection, 2))), [None, told, None]);
}

#[test]
fn a_mirror_takes_no_control_and_shows_what_is_made_for_another() {
    let mut desk = desk(true);
    assert_eq!(beat(&mut desk, 7, 1, 0), Err(IllegalDataAddress));
    assert_eq!((desk.is_held(), desk.look(at(0)), permit(&desk, &image(3))), (false, None, PERMIT));
    assert_eq!(desk.offered(&Image { offer: Some((1, PieceId(1), 0)), ..image(0) }), None);
    let coils = desk.read(&Request::ReadCoils(0, 2), &image(3), &[2; 96]);
    assert_eq!(coils, Ok(Response::ReadCoils(vec![false, true])));
}

#[test]
fn a_changed_permit_is_told_when_the_holder_reads_it() {
    let mut desk = desk(false);
    beat(&mut desk, 7, 1, 0).unwrap();
    let told = |desk: &mut Desk, image: &Image| match desk.permit_read(image) {
        Some(Note::Outputs(OutputNote::Permitted { run, handed_micros: 5 })) => Some(run),
        other => other.map(|note| panic!("{note:?}")),
    };
    let permits = |connection| Image { permit_micros: 5, ..image(connection) };
    let stops = Image { connection: 1, permit_micros: 5, ..Image::safe() };
    assert_eq!(told(&mut desk, &permits(0)), None, "it was shown zeros");
    assert_eq!([told(&mut desk, &stops), told(&mut desk, &permits(1)), told(&mut desk, &permits(1))], [None, Some(true), None]);
    assert_eq!(told(&mut desk, &stops), Some(false));
}
