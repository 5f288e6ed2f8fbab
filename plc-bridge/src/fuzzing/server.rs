//! Any bytes as requests to the real server.
//!
//! A TCP case is `mode, piece, stream…`: what a client sends, handed over in pieces. An RTU case is `mode`, then
//! `kind, length, bytes…` for each piece that is heard: bit 0 of `kind` after a silence, bit 1 before a long one, bit 6 with
//! its check sum mended. `mode`: 0 nobody holds control, 1 the server is a mirror, 2 somebody else holds control.
//!
//! Oracle: a second server, written from the contract alone, gives the same answer byte for byte, and has the same control
//! block at the end. Over TCP there is one answer for every whole request, in order; over RTU every request that was done
//! was heard as a whole frame for this unit.

use super::frames::{Framing, counted, crc, frame, pdu, word};
use super::tape::{Reply, Tape};
use super::{Outcome, Reached};
use crate::server::fuzzing::Service;

/// The server's unit.
pub(crate) const OWN_UNIT: u8 = 1;
/// What the status block shows to whoever holds control.
pub(crate) const MODEL_IMAGE: fn(usize) -> u16 = |index| u16::try_from(0x5A00 + index).unwrap_or(0);

/// How the server stands when the case begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Free,
    Mirror,
    Held,
}

impl Mode {
    const fn of(byte: u8) -> Self {
        match byte % 3 {
            1 => Self::Mirror,
            2 => Self::Held,
            _ => Self::Free,
        }
    }
}

const ILLEGAL_FUNCTION: u8 = 1;
const ILLEGAL_ADDRESS: u8 = 2;
const ILLEGAL_VALUE: u8 = 3;
const NO_SUCH_TARGET: u8 = 0x0B;

/// The second server.
struct Model {
    mode: Mode,
    held: bool,
    control: Vec<u16>,
}

/// Bits of control registers that have a name in the contract.
const fn named(register: usize) -> u16 {
    match register {
        0 => 0xFF9F,
        1 => 0xFF0D,
        28..=31 => 0,
        _ => 0xFFFF,
    }
}

impl Model {
    fn new(mode: Mode) -> Self {
        let mut control = vec![0; 96];
        control[2] = u16::from(mode == Mode::Held);
        Self { mode, held: mode == Mode::Held, control }
    }

    fn status(&self) -> Vec<u16> {
        let shown = self.held || self.mode == Mode::Mirror;
        (0..128).map(|index| if shown { MODEL_IMAGE(index) } else { 0 }).collect()
    }

    /// Registers of a block that begins at `base`.
    fn part(block: &[u16], base: u16, address: u16, count: u16) -> Option<&[u16]> {
        let from = usize::from(address.checked_sub(base)?);
        block.get(from..from + usize::from(count))
    }

    fn bits(block: &[u16], address: u16, count: u16) -> Result<Vec<u8>, u8> {
        if count == 0 || count > 2000 {
            return Err(ILLEGAL_VALUE);
        }
        let (from, to) = (u32::from(address), u32::from(address) + u32::from(count));
        if to > 32 {
            return Err(ILLEGAL_ADDRESS);
        }
        let long = u32::from(block[0]) | u32::from(block[1]) << 16;
        let mut bytes = vec![0; usize::from(count.div_ceil(8))];
        for (index, bit) in (from..to).enumerate() {
            bytes[index / 8] |= u8::from(long >> bit & 1 == 1) << (index % 8);
        }
        Ok(bytes)
    }

    fn holding(&self, address: u16, count: u16) -> Result<Vec<u16>, u8> {
        if count == 0 || count > 125 {
            return Err(ILLEGAL_VALUE);
        }
        let status = self.status();
        let words = Self::part(&self.control, 0, address, count).or_else(|| Self::part(&status, 1000, address, count));
        words.map(<[u16]>::to_vec).ok_or(ILLEGAL_ADDRESS)
    }

    /// Changes control, or says why not.
    fn take(&mut self, next: Vec<u16>) -> Result<(), u8> {
        let known = matches!(next[3], 0..=11 | 100..=104);
        if !known || next.iter().enumerate().any(|(register, word)| word & !named(register) != 0) {
            return Err(ILLEGAL_VALUE);
        }
        self.control = next;
        self.held = true;
        Ok(())
    }

    fn write(&mut self, address: u16, words: &[u16], most: usize) -> Result<(), u8> {
        if words.is_empty() || words.len() > most {
            return Err(ILLEGAL_VALUE);
        }
        let from = usize::from(address);
        if self.mode != Mode::Free || from + words.len() > self.control.len() {
            return Err(ILLEGAL_ADDRESS);
        }
        let mut next = self.control.clone();
        next[from..from + words.len()].copy_from_slice(words);
        self.take(next)
    }

    fn write_bits(&mut self, address: u16, count: u16, on: impl Fn(u32) -> bool) -> Result<(), u8> {
        if count == 0 || count > 1968 {
            return Err(ILLEGAL_VALUE);
        }
        if self.mode != Mode::Free || u32::from(address) + u32::from(count) > 32 {
            return Err(ILLEGAL_ADDRESS);
        }
        let mut next = self.control.clone();
        for index in 0..u32::from(count) {
            let bit = u32::from(address) + index;
            let register = &mut next[usize::from(bit >= 16)];
            *register = *register & !(1 << (bit % 16)) | u16::from(on(index)) << (bit % 16);
        }
        self.take(next)
    }

    /// The answer to a PDU.
    fn answer(&mut self, asked: &[u8]) -> Vec<u8> {
        let function = asked.first().copied().unwrap_or(0);
        self.done(function, asked).unwrap_or_else(|code| vec![function | 0x80, code])
    }

    fn done(&mut self, function: u8, asked: &[u8]) -> Result<Vec<u8>, u8> {
        let at = |index: usize| word(asked, index).unwrap_or(0);
        let (address, value) = (at(1), at(3));
        let bytes_at = |index: usize| usize::from(asked.get(index).copied().unwrap_or(0));
        let right = match function {
            1..=6 => asked.len() == 5,
            15 => asked.len() == 6 + bytes_at(5) && bytes_at(5) == usize::from(value.div_ceil(8)),
            16 => asked.len() == 6 + bytes_at(5) && bytes_at(5) == 2 * usize::from(value),
            22 => asked.len() == 7,
            23 => asked.len() == 10 + bytes_at(9) && bytes_at(9) == 2 * usize::from(at(7)),
            _ => return Err(ILLEGAL_FUNCTION),
        };
        if !right || (function == 5 && !matches!(value, 0 | 0xFF00)) {
            return Err(ILLEGAL_VALUE);
        }
        let words = |from: usize| -> Vec<u16> { asked[from..].as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect() };
        let packed = |bytes: Vec<u8>| [vec![function, u8::try_from(bytes.len()).unwrap_or(0)], bytes].concat();
        match function {
            1 => Self::bits(&self.control, address, value).map(packed),
            2 => Self::bits(&self.status(), address, value).map(packed),
            3 => self.holding(address, value).map(|words| counted(function, &words)),
            4 if value == 0 || value > 125 => Err(ILLEGAL_VALUE),
            4 => Self::part(&self.status(), 0, address, value).map(|words| counted(function, words)).ok_or(ILLEGAL_ADDRESS),
            5 => self.write_bits(address, 1, |_| value != 0).map(|()| asked.to_vec()),
            6 => self.write(address, &[value], 123).map(|()| asked.to_vec()),
            15 => {
                let on =
                    |index: u32| asked.get(usize::try_from(6 + index / 8).unwrap_or(0)).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
                self.write_bits(address, value, on).map(|()| pdu(function, &[address, value]))
            }
            16 => self.write(address, &words(6), 123).map(|()| pdu(function, &[address, value])),
            22 => {
                let old = self.control.get(usize::from(address)).copied().ok_or(ILLEGAL_ADDRESS)?;
                let (and, or) = (at(3), at(5));
                self.write(address, &[old & and | or & !and], 1).map(|()| asked.to_vec())
            }
            _ => {
                let words = words(10);
                if words.is_empty() || words.len() > 121 {
                    return Err(ILLEGAL_VALUE);
                }
                self.holding(address, value)?;
                self.write(at(5), &words, 121)?;
                self.holding(address, value).map(|words| counted(function, &words))
            }
        }
    }
}

fn compare(model: &mut Model, asked: &[u8], answered: &[u8], reached: &mut Reached) {
    let wanted = model.answer(asked);
    assert_eq!(answered, wanted, "the answer to {asked:02X?} (as hexadecimal: {answered:02X?}, not {wanted:02X?})");
    reached.count(if answered[0] & 0x80 == 0 { Outcome::Value } else { Outcome::Refusal });
}

fn assert_same(service: &Service, model: &Model) {
    if model.mode != Mode::Mirror {
        assert_eq!(super::block_on(service.control()), model.control, "the control block is not what was written");
    }
}

/// Runs one case over TCP.
///
/// # Panics
/// If the server answers anything but the contract's answer.
#[must_use]
pub fn run_tcp(case: &[u8]) -> Reached {
    let [mode, piece, stream @ ..] = case else { return Reached::default() };
    let mode = Mode::of(*mode);
    let tape = Tape::default();
    tape.put(Reply { bytes: stream.to_vec(), piece: usize::from(*piece) }, false);
    let service = super::block_on(async {
        let service = Service::new(mode).await;
        service.tcp(tape.clone()).await;
        service
    });
    let (mut model, mut reached) = (Model::new(mode), Reached::default());
    let said = tape.said();
    let (mut rest, mut answers) = (stream, said.as_slice());
    while let Some((header, behind)) = rest.split_first_chunk::<7>() {
        let length = usize::from(word(header, 4).unwrap_or(0));
        // A PDU has 1 to 253 bytes; what is no Modbus, or ends early, is not answered, and nothing after it.
        if word(header, 2) != Some(0) || !(2..=254).contains(&length) || behind.len() < length - 1 {
            break;
        }
        let (asked, next) = behind.split_at(length - 1);
        rest = next;
        let (transaction, unit) = (word(header, 0).unwrap_or(0), header[6]);
        let (head, body) = answers.split_first_chunk::<7>().expect("an answer to every whole request");
        let size = usize::from(word(head, 4).unwrap_or(0));
        assert!(size >= 3 && body.len() >= size - 1, "half an answer: {answers:02X?}");
        let (answered, next) = body.split_at(size - 1);
        assert_eq!(head[..], frame(Framing::Tcp, transaction, unit, answered)[..7], "the head of the answer to {header:02X?}");
        answers = next;
        if matches!(unit, OWN_UNIT | 0 | 0xFF) {
            compare(&mut model, asked, answered, &mut reached);
        } else {
            assert_eq!(answered, [asked[0] | 0x80, NO_SUCH_TARGET], "a request to unit {unit}");
            reached.count(Outcome::Refusal);
        }
    }
    assert!(answers.is_empty(), "nobody asked for {answers:02X?}");
    assert_same(&service, &model);
    reached
}

/// Runs one case over a serial line.
///
/// # Panics
/// If the server does what nobody asked for, or answers anything but the contract's answer.
#[must_use]
pub fn run_rtu(case: &[u8]) -> Reached {
    let [mode, rest @ ..] = case else { return Reached::default() };
    let mode = Mode::of(*mode);
    let (mut pieces, mut rest) = (Vec::new(), rest);
    while let [kind, length, behind @ ..] = rest {
        let (bytes, next) = behind.split_at(usize::from(*length).min(behind.len()));
        let mut bytes = bytes.to_vec();
        if kind & 1 << 6 != 0
            && let Some((body, sum)) = bytes.split_last_chunk_mut::<2>()
        {
            *sum = crc(body).to_le_bytes();
        }
        pieces.push((bytes, kind & 1 != 0, kind & 2 != 0));
        rest = next;
    }
    let (service, done) = super::block_on(async {
        let service = Service::new(mode).await;
        let done = service.rtu(&pieces).await;
        (service, done)
    });
    let (mut model, mut reached) = (Model::new(mode), Reached::default());
    let line: Vec<u8> = pieces.into_iter().flat_map(|(bytes, ..)| bytes).collect();
    let mut from = 0;
    for (asked, answered) in done {
        let whole = frame(Framing::Rtu, 0, OWN_UNIT, &asked);
        let found = line[from..].windows(whole.len()).position(|window| window == whole);
        from += found.unwrap_or_else(|| panic!("nobody asked {asked:02X?} on the line {line:02X?}")) + whole.len();
        compare(&mut model, &asked, &answered, &mut reached);
    }
    assert_same(&service, &model);
    reached
}

/// Requests as clients send them, and the traps that end other servers.
fn requests() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let trigger = [vec![16, 0, 0, 0, 2, 4], vec![0, 0x03, 0, 0]].concat();
    let block = {
        let mut words = [0_u16; 96];
        (words[0], words[2], words[5], words[6]) = (0x0007, 9, 0x0001, 0x1170);
        words
    };
    let long = [vec![16, 0, 0, 0, 96, 192], counted(0, &block)[2..].to_vec()].concat();
    vec![
        ("read-control", vec![pdu(3, &[0, 96])]),
        ("read-status", vec![pdu(3, &[1000, 64]), pdu(4, &[0, 64]), pdu(4, &[64, 64])]),
        ("read-bits", vec![pdu(1, &[0, 32]), pdu(2, &[16, 16]), pdu(2, &[23, 1])]),
        ("trigger", vec![trigger, pdu(3, &[1000, 2]), pdu(1, &[0, 3])]),
        ("whole-block", vec![long, pdu(3, &[0, 96]), pdu(4, &[0, 52])]),
        ("heartbeat", vec![pdu(6, &[2, 1]), pdu(6, &[2, 2]), pdu(6, &[2, 3])]),
        ("coil", vec![pdu(5, &[0, 0xFF00]), pdu(5, &[1, 0xFF00]), pdu(5, &[1, 0]), pdu(1, &[0, 2])]),
        ("coils", vec![[pdu(15, &[0, 10]), vec![2, 0x8F, 0x03]].concat(), pdu(1, &[0, 16])]),
        ("mask", vec![pdu(22, &[0, 0xFFFE, 1]), pdu(22, &[2, 0, 77])]),
        ("both-ways", vec![[pdu(23, &[1000, 52, 0, 3]), vec![6, 0, 1, 0, 0, 0, 5]].concat()]),
        ("status-is-not-yours", vec![pdu(6, &[1001, 0x80]), [pdu(16, &[1000, 1]), vec![2, 0, 1]].concat()]),
        ("outside", vec![pdu(3, &[96, 1]), pdu(3, &[0xFFFF, 2]), pdu(4, &[127, 2]), pdu(1, &[31, 2]), pdu(3, &[90, 10])]),
        ("counts", vec![pdu(3, &[0, 0]), pdu(3, &[0, 126]), pdu(1, &[0, 0]), pdu(1, &[0, 2001])]),
        ("values", vec![pdu(6, &[3, 99]), pdu(6, &[0, 0x20]), pdu(6, &[28, 1]), pdu(5, &[5, 0xFF00]), pdu(5, &[1, 0x1234])]),
        ("commands", vec![pdu(6, &[3, 11]), pdu(6, &[3, 12]), pdu(6, &[3, 100]), pdu(6, &[3, 104]), pdu(6, &[3, 105])]),
        ("functions", vec![vec![7], vec![17], vec![43, 14, 1, 0], vec![8, 0, 0, 0, 0], vec![0], vec![0x83, 2], vec![100, 1, 2]]),
        ("coils-that-lie", vec![[pdu(15, &[0, 16]), vec![1, 0xFF]].concat(), [pdu(15, &[0, 0xFFFF]), vec![0]].concat()]),
        ("words-that-lie", vec![[pdu(16, &[0, 0x8000]), vec![0]].concat(), [pdu(16, &[0, 2]), vec![2, 0, 1]].concat()]),
        ("both-that-lie", vec![[pdu(23, &[0, 1, 0, 0x8000]), vec![0]].concat()]),
    ]
}

/// Cases over TCP.
pub(crate) fn seeds_tcp() -> Vec<(&'static str, Vec<u8>)> {
    let case = |mode: u8, piece: u8, unit: u8, pdus: &[Vec<u8>]| {
        let frames = (0x0101_u16..).zip(pdus).flat_map(|(number, pdu)| frame(Framing::Tcp, number, unit, pdu));
        [vec![mode, piece], frames.collect()].concat()
    };
    let mut out: Vec<_> = requests().into_iter().map(|(name, pdus)| (name, case(0, 0, OWN_UNIT, &pdus))).collect();
    let beats = [pdu(6, &[2, 2]), pdu(3, &[0, 4]), pdu(4, &[0, 4])];
    out.push(("mirror", case(1, 0, OWN_UNIT, &beats)));
    out.push(("held", case(2, 0, 0xFF, &beats)));
    out.push(("in-pieces", case(0, 3, 0, &beats)));
    out.push(("other-unit", case(0, 0, 9, &beats)));
    out.push(("empty-pdu", case(0, 0, OWN_UNIT, &[Vec::new(), pdu(3, &[0, 1])])));
    out.push(("half", case(0, 0, OWN_UNIT, &beats)[..20].to_vec()));
    out
}

/// Cases over a serial line.
pub(crate) fn seeds_rtu() -> Vec<(&'static str, Vec<u8>)> {
    let piece = |kind: u8, bytes: &[u8]| [&[kind, u8::try_from(bytes.len()).unwrap_or(0)], bytes].concat();
    let ours = |pdu: &[u8]| frame(Framing::Rtu, 0, OWN_UNIT, pdu);
    let case = |mode: u8, pdus: &[Vec<u8>]| {
        let pieces = pdus.iter().flat_map(|pdu| piece(0b0100_0001, &ours(pdu)));
        [vec![mode], pieces.collect()].concat()
    };
    let mut out: Vec<_> = requests().into_iter().map(|(name, pdus)| (name, case(0, &pdus))).collect();
    let beat = pdu(6, &[2, 2]);
    out.push(("mirror", case(1, &[beat.clone(), pdu(4, &[0, 4])])));
    out.push(("held", case(2, &[beat.clone(), pdu(4, &[0, 4])])));
    out.push(("together", [vec![0], piece(1, &[ours(&beat), ours(&pdu(3, &[0, 3]))].concat())].concat()));
    out.push(("torn", [vec![0], piece(1, &ours(&beat)[..3]), piece(0, &ours(&beat)[3..])].concat()));
    out.push(("noise", [vec![0], piece(3, &[0xFF, 0, 7]), piece(1, &ours(&beat))].concat()));
    // A neighbour's answer that contains a request to us.
    let inside = [vec![3, 20], ours(&beat), vec![0; 12]].concat();
    let neighbour = frame(Framing::Rtu, 0, 2, &inside);
    out.push(("neighbour", [vec![0], piece(1, &frame(Framing::Rtu, 0, 2, &pdu(3, &[0, 10]))), piece(1, &neighbour)].concat()));
    out
}
