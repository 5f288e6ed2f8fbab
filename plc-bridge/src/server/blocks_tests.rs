//! The memory, request by request.

use super::*;
use crate::jmap::Field;
use ExceptionCode::{IllegalDataAddress, IllegalDataValue, IllegalFunction};
use proptest::prelude::*;

fn blocks() -> Blocks {
    let bases = Bases { control: 0, status: 1000 };
    let mut status = [0; STATUS_LEN as usize];
    for (word, register) in status.iter_mut().zip(500..) {
        *word = register;
    }
    Blocks { bases, control: [0; CONTROL_LEN as usize], status, read_only: false }
}

fn write(address: u16, words: &[u16]) -> Request<'static> {
    Request::WriteMultipleRegisters(address, words.to_vec().into())
}

fn coils(address: u16, coils: &[bool]) -> Request<'static> {
    Request::WriteMultipleCoils(address, coils.to_vec().into())
}

fn both(read: u16, count: u16, address: u16, words: &[u16]) -> Request<'static> {
    Request::ReadWriteMultipleRegisters(read, count, address, words.to_vec().into())
}

/// Asks, and sees to it that a refusal changes nothing.
fn ask(blocks: &mut Blocks, request: &Request<'_>) -> Result<Response, ExceptionCode> {
    let before = blocks.clone();
    let answer = blocks.answer(request);
    assert_eq!(blocks.status, before.status, "{request:?} changed the status block");
    if answer.is_err() || !writes(request) {
        assert_eq!(*blocks, before, "{request:?} changed something");
    }
    answer
}

#[test]
fn every_table_shows_its_block() {
    let mut blocks = blocks();
    blocks.control[0] = 0b10;
    blocks.control[95] = 7;
    blocks.status[1] = 1 << 7;
    let mut ask = |request: &Request<'_>| ask(&mut blocks, request);
    assert_eq!(ask(&Request::ReadHoldingRegisters(95, 1)), Ok(Response::ReadHoldingRegisters(vec![7])));
    assert_eq!(ask(&Request::ReadHoldingRegisters(1126, 2)), Ok(Response::ReadHoldingRegisters(vec![626, 627])));
    assert_eq!(ask(&Request::ReadInputRegisters(126, 2)), Ok(Response::ReadInputRegisters(vec![626, 627])));
    assert_eq!(ask(&Request::ReadCoils(0, 3)), Ok(Response::ReadCoils(vec![false, true, false])));
    assert_eq!(ask(&Request::ReadDiscreteInputs(22, 3)), Ok(Response::ReadDiscreteInputs(vec![false, true, false])));
}

#[test]
fn what_does_not_exist_or_is_read_only_is_02() {
    for read_only in [false, true] {
        let mut blocks = Blocks { read_only, ..blocks() };
        for request in [
            Request::ReadHoldingRegisters(95, 2),
            Request::ReadHoldingRegisters(96, 1),
            Request::ReadHoldingRegisters(999, 2),
            Request::ReadHoldingRegisters(1127, 2),
            Request::ReadHoldingRegisters(u16::MAX, 125),
            Request::ReadInputRegisters(127, 2),
            Request::ReadInputRegisters(1000, 1),
            Request::ReadCoils(31, 2),
            Request::ReadDiscreteInputs(32, 1),
            Request::WriteSingleCoil(32, true),
            Request::WriteSingleRegister(96, 1),
            Request::WriteSingleRegister(1000, 1),
            Request::MaskWriteRegister(1001, 0, 0x80),
            write(94, &[1, 1, 1]),
            write(999, &[1, 1]),
            write(1001, &[0x80]),
            write(1127, &[1]),
            coils(30, &[true; 3]),
            both(96, 1, 40, &[1]),
            both(1000, 64, 94, &[1, 1, 1]),
            both(0, 1, 1000, &[1]),
            // Both wrong: the address is looked at before the value.
            write(94, &[1, 0xFFFF, 1]),
        ] {
            assert_eq!(ask(&mut blocks, &request), Err(IllegalDataAddress), "{request:?}");
        }
    }
    let mut closed = Blocks { read_only: true, ..blocks() };
    let writes = [
        write(0, &[0]),
        Request::WriteSingleRegister(2, 1),
        Request::WriteSingleCoil(1, true),
        coils(0, &[false]),
        Request::MaskWriteRegister(2, 0xFFFF, 0),
        both(1000, 1, 2, &[1]),
    ];
    for request in writes {
        assert_eq!(ask(&mut closed, &request), Err(IllegalDataAddress), "{request:?}");
    }
    assert!(ask(&mut closed, &Request::ReadHoldingRegisters(0, 96)).is_ok());
}

#[test]
fn counts_have_the_ranges_of_the_standard() {
    let mut blocks = blocks();
    for (request, wanted) in [
        (Request::ReadCoils(0, 0), IllegalDataValue),
        (Request::ReadCoils(0, 2001), IllegalDataValue),
        (Request::ReadCoils(0, 2000), IllegalDataAddress),
        (Request::ReadDiscreteInputs(0, 0), IllegalDataValue),
        (Request::ReadHoldingRegisters(0, 0), IllegalDataValue),
        (Request::ReadHoldingRegisters(0, 126), IllegalDataValue),
        (Request::ReadHoldingRegisters(0, 125), IllegalDataAddress),
        (Request::ReadInputRegisters(0, 126), IllegalDataValue),
        (write(0, &[]), IllegalDataValue),
        (write(1000, &[0; 124]), IllegalDataValue),
        (write(0, &[0; 123]), IllegalDataAddress),
        (coils(0, &[]), IllegalDataValue),
        (coils(0, &[false; 1969]), IllegalDataValue),
        (coils(0, &[false; 1968]), IllegalDataAddress),
        (both(0, 0, 0, &[0]), IllegalDataValue),
        (both(0, 126, 0, &[0]), IllegalDataValue),
        (both(0, 1, 0, &[]), IllegalDataValue),
        (both(0, 1, 0, &[0; 122]), IllegalDataValue),
        (both(0, 1, 0, &[0; 121]), IllegalDataAddress),
        (Request::ReportServerId, IllegalFunction),
        (Request::Custom(8, vec![0, 0].into()), IllegalFunction),
    ] {
        assert_eq!(ask(&mut blocks, &request), Err(wanted), "{request:?}");
    }
}

#[test]
fn every_named_bit_can_be_written_and_no_other() {
    let named = |register: u16, bit: u16| {
        CONTROL.iter().any(|field: &Field| {
            let here = (field.register..field.register + field.width).contains(&register);
            here && match field.kind {
                Kind::Bits { first, count } => (u16::from(first)..u16::from(first + count)).contains(&bit),
                _ => true,
            }
        })
    };
    for register in 0..CONTROL_LEN {
        for bit in 0..16 {
            let mut blocks = blocks();
            let answer = ask(&mut blocks, &Request::WriteSingleRegister(register, 1 << bit));
            let code = usize::from(register) == COMMAND;
            let wanted = named(register, bit) && (!code || bit < 4);
            assert_eq!(answer.is_ok(), wanted, "register {register} bit {bit}");
            assert!(wanted || answer == Err(IllegalDataValue));
            if register < 2 {
                let coil = Request::WriteSingleCoil(register * 16 + bit, true);
                let mut by_coil = super::tests::blocks();
                assert_eq!(ask(&mut by_coil, &coil).is_ok(), wanted, "coil of register {register} bit {bit}");
                assert_eq!(by_coil.control, blocks.control);
                assert!(ask(&mut by_coil, &Request::WriteSingleCoil(register * 16 + bit, false)).is_ok());
                assert_eq!(by_coil.control, [0; 96]);
            }
        }
    }
}

#[test]
fn commands_are_those_of_the_map() {
    let known: Vec<u16> = (0..=u16::MAX).filter(|code| ask(&mut blocks(), &Request::WriteSingleRegister(3, *code)).is_ok()).collect();
    assert_eq!(known, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 100, 101, 102, 103, 104]);
}

#[test]
fn one_bad_register_spoils_the_whole_request() {
    let mut blocks = blocks();
    assert!(ask(&mut blocks, &write(0, &[3, 0, 9])).is_ok());
    for request in [
        write(0, &[1, 0, 8, 12]),
        write(2, &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        coils(0, &[true, true, true, true, true, true]),
        both(1000, 2, 0, &[1 << 5]),
        Request::MaskWriteRegister(0, 0xFFFF, 0),
    ] {
        let refused = ask(&mut blocks, &request);
        assert!(refused == Err(IllegalDataValue) || request == Request::MaskWriteRegister(0, 0xFFFF, 0), "{request:?}");
    }
    assert_eq!(blocks.control[..4], [3, 0, 9, 0]);
    assert_eq!(ask(&mut blocks, &Request::MaskWriteRegister(0, 0xFFFE, 0x0008)), Ok(Response::MaskWriteRegister(0, 0xFFFE, 8)));
    assert_eq!(blocks.control[0], 2, "a mask changes what it masks out: (3 & FFFE) | (0008 & 0001)");
    let answer = ask(&mut blocks, &both(0, 3, 2, &[10]));
    assert_eq!(answer, Ok(Response::ReadWriteMultipleRegisters(vec![2, 0, 10])), "the write comes first");
    let answer = ask(&mut blocks, &coils(14, &[true, true, true]));
    assert_eq!((answer, &blocks.control[..2]), (Ok(Response::WriteMultipleCoils(14, 3)), &[0xC002, 1][..]));
}

#[test]
fn the_blocks_lie_where_the_settings_say() {
    let mut blocks = Blocks { bases: Bases { control: 65440, status: 0 }, ..blocks() };
    assert!(ask(&mut blocks, &write(65535, &[4])).is_ok());
    assert_eq!(blocks.control[95], 4);
    assert_eq!(ask(&mut blocks, &write(0, &[4])), Err(IllegalDataAddress));
    assert_eq!(ask(&mut blocks, &Request::ReadHoldingRegisters(1, 1)), Ok(Response::ReadHoldingRegisters(vec![501])));
    assert_eq!(ask(&mut blocks, &Request::WriteSingleCoil(9, true)), Ok(Response::WriteSingleCoil(9, true)));
}

fn requests() -> impl Strategy<Value = Request<'static>> {
    let address = prop_oneof![0..110_u16, 990..1140_u16, any::<u16>()];
    let words = proptest::collection::vec(prop_oneof![Just(0_u16), Just(1_u16), any::<u16>()], 0..130);
    (0..10, address.clone(), 0..130_u16, address, words).prop_map(|(kind, at, count, other, words)| match kind {
        0 => Request::ReadCoils(at, count),
        1 => Request::ReadDiscreteInputs(at, count),
        2 => Request::ReadHoldingRegisters(at, count),
        3 => Request::ReadInputRegisters(at, count),
        4 => Request::WriteSingleCoil(at, count.is_multiple_of(2)),
        5 => Request::WriteSingleRegister(at, other),
        6 => Request::WriteMultipleCoils(at, words.iter().map(|word| word & 1 == 1).collect::<Vec<_>>().into()),
        7 => Request::WriteMultipleRegisters(at, words.into()),
        8 => Request::MaskWriteRegister(at, count, other),
        _ => Request::ReadWriteMultipleRegisters(at, count, other, words.into()),
    })
}

proptest! {
    #[test]
    fn whatever_is_asked_the_control_block_stays_in_range(asked in proptest::collection::vec(requests(), 1..40), read_only: bool) {
        let mut blocks = Blocks { read_only, ..blocks() };
        for request in &asked {
            let answer = ask(&mut blocks, request);
            prop_assert!(answer.is_err() || !read_only || !writes(request));
            let again = blocks.control;
            prop_assert!(blocks.clone().take(again, 1).is_ok(), "out of range after {:?}", request);
        }
    }
}
