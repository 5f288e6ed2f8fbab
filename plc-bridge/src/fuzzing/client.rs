//! Any bytes as a server's answers to the real client.
//!
//! A case is a script: `unit, questions`, and for each question
//!
//! ```text
//!   kind | address (2) | count | piece | length (2) | length bytes of answer
//!   kind: bits 0–2 what is asked (function 3, 4, 1, 2, 5, 16, 6, 15), bit 3 of the next unit,
//!         bit 6 the check sum of the answer is mended (RTU), bit 7 its transaction number is (TCP)
//! ```
//! What is missing at the end counts as zero. Mending lets the mutations reach what lies behind the first check.
//!
//! Oracle: a value, a confirmed write or a refusal is only ever told if the frame that says so, spelled out from the
//! question and the value, lies in the bytes that were handed over: all of them for TCP, whose frames carry the number of
//! their question; those since the question for RTU.

use super::frames::{Framing, counted, crc, frame, pdu, word};
use super::tape::{Reply, Tape};
use super::{Outcome, Reached};
use crate::client::fuzzing::Partner;
use std::ops::RangeInclusive;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Holding,
    Input,
    Coil,
    Discrete,
    WriteCoil,
    WriteRegister,
    WriteCoils,
    WriteRegisters,
}

impl Asked {
    const fn function(self) -> u8 {
        match self {
            Self::Coil => 1,
            Self::Discrete => 2,
            Self::Holding => 3,
            Self::Input => 4,
            Self::WriteCoil => 5,
            Self::WriteRegister => 6,
            Self::WriteCoils => 15,
            Self::WriteRegisters => 16,
        }
    }

    const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete | Self::WriteCoil | Self::WriteCoils)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) asked: Asked,
    pub(crate) unit: u8,
    pub(crate) address: u16,
    pub(crate) count: u16,
}

impl Question {
    /// What is written; a coil is 0 or 1.
    pub(crate) fn written(&self) -> Vec<u16> {
        let value = |index: u16| if self.asked.is_bits() { self.address.wrapping_add(index) & 1 } else { 0xA000 + index };
        (0..self.count).map(value).collect()
    }
}

/// What the client made of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Words(Vec<u16>),
    Written,
    Refused(u8),
    /// No value; the connection is gone.
    Failed,
}

/// What may be written, with every function.
pub(crate) const WRITABLE: RangeInclusive<u16> = 1000..=1127;
/// At most so many questions in one case.
const QUESTIONS_MAX: u8 = 4;

const MEND_SUM: u8 = 1 << 6;
const MEND_NUMBER: u8 = 1 << 7;

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes.to_vec()
    }
}

const ASKED: [Asked; 8] = [
    Asked::Holding,
    Asked::Input,
    Asked::Coil,
    Asked::Discrete,
    Asked::WriteCoil,
    Asked::WriteRegisters,
    Asked::WriteRegister,
    Asked::WriteCoils,
];

fn question(cursor: &mut Cursor<'_>, own_unit: u8) -> (Question, Reply, u8) {
    let kind = cursor.byte();
    let (address, count, piece) = (cursor.word(), cursor.byte(), usize::from(cursor.byte()));
    let length = usize::from(cursor.word() & 0x1FF);
    let bytes = cursor.bytes(length);
    let asked = ASKED[usize::from(kind & 0b111)];
    let reads = matches!(asked, Asked::Holding | Asked::Input | Asked::Coil | Asked::Discrete);
    // The appliance writes to its own partner only.
    let unit = if reads { own_unit.wrapping_add(kind >> 3 & 1) } else { own_unit };
    let most = match asked {
        Asked::Holding | Asked::Input => 125,
        Asked::Coil | Asked::Discrete => 255,
        Asked::WriteRegisters | Asked::WriteCoils => 64,
        Asked::WriteCoil | Asked::WriteRegister => 1,
    };
    let count = u16::from(count).clamp(1, most);
    let address = if reads { address } else { WRITABLE.start() + address % (WRITABLE.end() - WRITABLE.start() + 2 - count) };
    (Question { asked, unit, address, count }, Reply { bytes, piece }, kind)
}

/// Puts right what a mutation nearly always breaks.
fn mend(framing: Framing, kind: u8, transaction: u16, bytes: &mut [u8]) {
    match framing {
        Framing::Tcp if kind & MEND_NUMBER != 0 => {
            for (byte, right) in bytes.iter_mut().zip(transaction.to_be_bytes()) {
                *byte = right;
            }
        }
        Framing::Rtu if kind & MEND_SUM != 0 => {
            if let Some((body, sum)) = bytes.split_last_chunk_mut::<2>() {
                *sum = crc(body).to_le_bytes();
            }
        }
        Framing::Tcp | Framing::Rtu => {}
    }
}

/// Runs one case.
///
/// # Panics
/// If the client tells what nobody said.
#[must_use]
pub fn run(framing: Framing, script: &[u8]) -> Reached {
    let mut cursor = Cursor(script);
    let (unit, questions) = (cursor.byte(), cursor.byte() % QUESTIONS_MAX + 1);
    let tape = Tape::default();
    let mut partner = Some(Partner::new(framing, tape.clone(), unit));
    let mut reached = Reached::default();
    for transaction in 0..u16::from(questions) {
        let Some(alive) = partner.take() else { break };
        let (question, mut reply, kind) = question(&mut cursor, unit);
        mend(framing, kind, transaction, &mut reply.bytes);
        tape.put(reply, framing == Framing::Rtu);
        let answer;
        (partner, answer) = super::block_on(alive.ask(&question));
        assert_said(framing, transaction, &question, &answer, &tape.heard());
        reached.count(match answer {
            Answer::Words(_) | Answer::Written => Outcome::Value,
            Answer::Refused(_) => Outcome::Refusal,
            Answer::Failed => Outcome::Nothing,
        });
    }
    assert_asked(framing, &tape.said());
    reached
}

/// What the data of an answer must be like.
enum Data {
    Exactly(Vec<u8>),
    /// These bits, lowest first, in whole bytes; the rest of the last byte is nobody's business.
    Bits(Vec<u16>),
}

impl Data {
    fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Exactly(wanted) => bytes == wanted,
            Self::Bits(bits) => {
                let at = |index: usize| u16::from(bytes[index / 8] >> (index % 8) & 1);
                bytes.len() == bits.len().div_ceil(8) && bits.iter().enumerate().all(|(index, bit)| at(index) == *bit)
            }
        }
    }
}

/// The PDU that answers this question with this: its head, and what must follow.
fn spelled(question: &Question, answer: &Answer) -> Option<(Vec<u8>, Data, usize)> {
    let Question { asked, address, count, .. } = *question;
    let function = asked.function();
    let first = || question.written().first().copied().unwrap_or(0);
    let echo = |value: u16| (pdu(function, &[address]), Data::Exactly(value.to_be_bytes().to_vec()), 2);
    Some(match answer {
        Answer::Words(words) => {
            assert_eq!(words.len(), usize::from(count), "another length than asked for: {question:?}");
            if asked.is_bits() {
                let bytes = words.len().div_ceil(8);
                (vec![function, u8::try_from(bytes).unwrap_or(0)], Data::Bits(words.clone()), bytes)
            } else {
                let whole = counted(function, words);
                (whole[..2].to_vec(), Data::Exactly(whole[2..].to_vec()), whole.len() - 2)
            }
        }
        Answer::Written => match asked {
            Asked::WriteCoil => echo(if first() == 0 { 0 } else { 0xFF00 }),
            Asked::WriteRegister => echo(first()),
            _ => echo(count),
        },
        Answer::Refused(code) => (vec![function | 0x80], Data::Exactly(vec![*code]), 1),
        Answer::Failed => return None,
    })
}

/// Looks for a frame with this PDU in what was heard.
fn assert_said(framing: Framing, transaction: u16, question: &Question, answer: &Answer, heard: &[u8]) {
    let Some((head, data, length)) = spelled(question, answer) else { return };
    // The head of the frame, as if the data were zeros; a check sum is looked at where there is one.
    let zeros = frame(framing, transaction, question.unit, &[head.as_slice(), &vec![0; length]].concat());
    let sum = if framing == Framing::Rtu { 2 } else { 0 };
    let from = zeros.len() - sum - length;
    let said = heard.windows(zeros.len()).any(|window| {
        let (body, tail) = window.split_at(zeros.len() - sum);
        let mut body = body.to_vec();
        // tokio-modbus takes a refusal with bytes behind it for one. It gives no value, so let it.
        if framing == Framing::Tcp && matches!(answer, Answer::Refused(_)) && word(&body, 4).is_some_and(|length| length > 3) {
            body[4..6].copy_from_slice(&zeros[4..6]);
        }
        body[..from] == zeros[..from] && data.fits(&body[from..]) && (sum == 0 || crc(&body).to_le_bytes() == tail)
    });
    assert!(said, "{question:?} was answered with {answer:?}, but nobody said so: {heard:02X?}");
}

/// What the client says is well formed, whatever it hears.
fn assert_asked(framing: Framing, said: &[u8]) {
    let mut rest = said;
    while !rest.is_empty() {
        let header = if framing == Framing::Tcp { 6 } else { 0 };
        let function = rest.get(header + 1).copied().unwrap_or(0);
        let body = match function {
            1..=6 => 6,
            15 | 16 => 7 + usize::from(rest.get(header + 6).copied().unwrap_or(0)),
            _ => panic!("the client asked with function {function}"),
        };
        let length = header + body + if framing == Framing::Rtu { 2 } else { 0 };
        assert!(rest.len() >= length, "half a question: {rest:02X?}");
        let (question, behind) = rest.split_at(length);
        let (address, value) = (word(question, header + 2).unwrap_or(0), word(question, header + 4).unwrap_or(0));
        let last = match function {
            5 | 6 => Some(address),
            15 | 16 => Some(address.saturating_add(value) - 1),
            _ => None,
        };
        let allowed = last.is_none_or(|last| WRITABLE.contains(&address) && WRITABLE.contains(&last));
        assert!(allowed, "wrote to {address} with function {function}");
        rest = behind;
    }
}

/// Scripts in which the server is honest, and some in which it is nearly so.
pub(crate) fn seeds(framing: Framing) -> Vec<(&'static str, Vec<u8>)> {
    let script = |parts: &[(u8, u16, u8, u8, Vec<u8>)]| {
        let mut out = vec![1, u8::try_from(parts.len() - 1).unwrap_or(0)];
        for (kind, address, count, piece, answer) in parts {
            out.push(*kind);
            out.extend(address.to_be_bytes());
            out.extend([*count, *piece]);
            out.extend(u16::try_from(answer.len()).unwrap_or(0).to_be_bytes());
            out.extend(answer);
        }
        out
    };
    let say = |number: u16, pdu: Vec<u8>| frame(framing, number, 1, &pdu);
    let control: Vec<u16> = (0..28).collect();
    let (kind, write) = (MEND_NUMBER | MEND_SUM, MEND_NUMBER | MEND_SUM | 5);
    vec![
        ("read", script(&[(kind, 0, 28, 0, say(0, counted(3, &control)))])),
        ("read-exactly", script(&[(0, 0, 2, 0, say(0, counted(3, &[7, 8])))])),
        ("read-in-pieces", script(&[(kind, 1001, 1, 1, say(0, counted(3, &[0x80])))])),
        ("write", script(&[(write, 0, 64, 0, say(0, pdu(16, &[1000, 64])))])),
        (
            "write-and-read-back",
            script(&[
                (write, 0, 64, 3, say(0, pdu(16, &[1000, 64]))),
                (kind, 1001, 1, 0, say(1, counted(3, &[0x80]))),
                (kind, 0, 28, 0, say(2, counted(3, &control))),
            ]),
        ),
        ("refused", script(&[(kind, 9, 2, 0, say(0, vec![0x83, 2])), (kind, 0, 1, 0, say(1, counted(3, &[1])))])),
        ("write-refused", script(&[(write, 0, 64, 0, say(0, vec![0x90, 3])), (kind, 0, 1, 0, say(1, counted(3, &[1])))])),
        // The traps: one behind, another function, another length, twice, noise before it, nothing, too much.
        ("one-behind", script(&[(0, 1, 1, 0, Vec::new()), (0, 2, 1, 0, say(0, counted(3, &[1001])))])),
        ("other-function", script(&[(kind, 0, 2, 0, say(0, counted(4, &[1, 2]))), (kind, 0, 1, 0, say(1, vec![0x84, 2]))])),
        ("other-length", script(&[(kind, 0, 3, 0, say(0, counted(3, &[1, 2])))])),
        ("other-unit", script(&[(kind, 0, 1, 0, frame(framing, 0, 2, &counted(3, &[1])))])),
        ("other-address", script(&[(write, 0, 64, 0, say(0, pdu(16, &[1001, 64])))])),
        (
            "twice",
            script(&[(0, 0, 1, 0, [say(0, counted(3, &[1])), say(0, counted(3, &[1]))].concat()), (0, 0, 1, 0, say(1, counted(3, &[2])))]),
        ),
        (
            "twice-in-pieces",
            script(&[(0, 0, 1, 7, [say(0, counted(3, &[1])), say(0, counted(3, &[1]))].concat()), (0, 0, 1, 0, say(1, counted(3, &[2])))]),
        ),
        ("noise-before", script(&[(0, 0, 1, 0, [vec![0xFF, 3, 0], say(0, counted(3, &[1]))].concat())])),
        ("odd-count", script(&[(kind, 0, 1, 0, say(0, vec![3, 3, 0, 1, 2]))])),
        ("custom", script(&[(kind, 0, 1, 0, say(0, vec![0x65, 1, 2, 3]))])),
        ("identification", script(&[(kind, 0, 1, 0, say(0, vec![0x2B, 0x0E, 1, 1, 0, 0, 2, 0, 1, 65, 1, 1, 66]))])),
        ("server-id", script(&[(kind, 0, 1, 0, say(0, vec![0x11, 2, 9, 0xFF]))])),
        ("coils", script(&[(kind | 2, 0, 9, 0, say(0, vec![1, 2, 0xFF, 0xFF])), (kind | 3, 0, 8, 0, say(1, vec![2, 1, 0x55]))])),
        ("coils-too-few", script(&[(kind | 2, 0, 9, 0, say(0, vec![1, 1, 0xFF]))])),
        ("coils-for-words", script(&[(kind, 0, 1, 0, say(0, vec![1, 2, 0, 1]))])),
        ("input", script(&[(kind | 1, 7, 2, 0, say(0, counted(4, &[1, 2]))), (kind | 1, 7, 1, 0, say(1, vec![0x84, 2]))])),
        ("write-coil", script(&[(kind | 4, 1, 1, 0, say(0, pdu(5, &[1001, 0xFF00]))), (kind | 4, 0, 1, 0, say(1, pdu(5, &[1000, 0])))])),
        ("write-coil-strange", script(&[(kind | 4, 1, 1, 0, say(0, pdu(5, &[1001, 0xFF01])))])),
        ("write-register", script(&[(kind | 6, 3, 1, 0, say(0, pdu(6, &[1003, 0xA000])))])),
        ("write-register-other-value", script(&[(kind | 6, 3, 1, 0, say(0, pdu(6, &[1003, 0xA001])))])),
        ("write-coils", script(&[(kind | 7, 0, 19, 0, say(0, pdu(15, &[1000, 19])))])),
        ("next-unit", script(&[(kind | 8, 0, 1, 0, frame(framing, 0, 2, &counted(3, &[5])))])),
        ("empty", script(&[(kind, 0, 1, 0, say(0, Vec::new()))])),
        ("silence", script(&[(0, 0, 1, 0, Vec::new())])),
        ("long", script(&[(kind, 0, 125, 50, say(0, counted(3, &[0x1234; 125])))])),
    ]
}
