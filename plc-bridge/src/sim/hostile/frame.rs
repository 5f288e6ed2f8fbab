//! Modbus TCP frames, and how to spoil them.
//!
//! Source: Modbus Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 (MBAP header: transaction, protocol, length, unit).
//!
//! Invariant: what is not to be spoiled is passed on byte by byte.

use super::Mischief;
use crate::sim::dice::Dice;

/// Length of the header with the unit.
const HEAD: usize = 7;
/// Longest unit + PDU of the standard.
const LONGEST: usize = 254;
/// Bit of the function code that says "refused".
const REFUSED: u8 = 0x80;

/// One frame, request or reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) transaction: u16,
    pub(super) unit: u8,
    /// Function code and data; never empty.
    pub(super) pdu: Vec<u8>,
}

/// Bytes that are no Modbus TCP frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoFrame;

impl Frame {
    /// Takes the first frame out of `bytes`; `None` if more bytes are needed.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, NoFrame> {
        let &[transaction_high, transaction_low, protocol_high, protocol_low, length_high, length_low, unit, ..] = bytes.as_slice() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if [protocol_high, protocol_low] != [0, 0] || !(2..=LONGEST).contains(&length) {
            return Err(NoFrame);
        }
        let end = HEAD - 1 + length;
        let Some(pdu) = bytes.get(HEAD..end) else { return Ok(None) };
        let frame = Self { transaction: u16::from_be_bytes([transaction_high, transaction_low]), unit, pdu: pdu.to_vec() };
        bytes.drain(..end);
        Ok(Some(frame))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(self.pdu.len() + 1).unwrap_or(u16::MAX);
        let mut bytes = [self.transaction.to_be_bytes(), [0, 0], length.to_be_bytes()].concat();
        bytes.push(self.unit);
        bytes.extend_from_slice(&self.pdu);
        bytes
    }

    pub(super) fn function(&self) -> u8 {
        self.pdu.first().copied().unwrap_or(0)
    }

    /// True for a request that changes nothing: function codes 1 to 4.
    pub(super) fn is_read(&self) -> bool {
        (1..=4).contains(&self.function())
    }

    /// The refusal of this request.
    pub(super) fn refused(&self, code: u8) -> Self {
        Self { pdu: vec![self.function() | REFUSED, code], ..self.clone() }
    }

    /// What a server that writes answers; `None` for a request that also reads.
    pub(super) fn acknowledged(&self) -> Option<Self> {
        let pdu = match self.function() {
            5 | 6 | 22 => self.pdu.clone(),
            15 | 16 => self.pdu.get(..5)?.to_vec(),
            _ => return None,
        };
        Some(Self { pdu, ..self.clone() })
    }

    /// The bytes of this reply as `mischief` lets them through.
    pub(super) fn spoiled(mut self, mischief: Mischief, dice: &mut Dice) -> Vec<u8> {
        match mischief {
            Mischief::WrongTransaction => self.transaction = self.transaction.wrapping_sub(1),
            Mischief::WrongUnit => self.unit = self.unit.wrapping_add(1),
            // Another function that is answered in the same form, so that only its number tells.
            Mischief::WrongFunction => {
                if let Some(function) = self.pdu.first_mut() {
                    *function = match *function {
                        3 => 4,
                        4 => 3,
                        16 => 15,
                        other => other ^ 1,
                    };
                }
            }
            Mischief::Truncated => {
                let bytes = self.bytes();
                return bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
            }
            Mischief::Short => self.shorten(),
            Mischief::Oversized => {
                // A length that the standard does not know, and as many bytes as it promises.
                self.pdu.resize(300, 0);
            }
            Mischief::Duplicate => return self.bytes().repeat(2),
            Mischief::Garbage => return (0..=dice.below(40)).map(|_| dice.byte()).collect(),
            _ => {}
        }
        self.bytes()
    }

    /// One register (or eight bits) less; a write is said to have written one register less.
    fn shorten(&mut self) {
        match self.pdu.as_mut_slice() {
            [function @ 1..=4, count, ..] => {
                let less = if *function <= 2 { 1 } else { 2 };
                *count = count.saturating_sub(less);
                let end = usize::from(*count) + 2;
                self.pdu.truncate(end);
            }
            [15 | 16, _, _, _, count] => *count = count.wrapping_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply() -> Frame {
        Frame { transaction: 7, unit: 1, pdu: vec![3, 4, 0, 1, 0, 2] }
    }

    fn spoiled(mischief: Mischief) -> Vec<u8> {
        reply().spoiled(mischief, &mut Dice::of(1, 2))
    }

    #[test]
    fn each_trouble_changes_what_it_says_and_nothing_else() {
        assert_eq!(reply().bytes(), [0, 7, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2]);
        assert_eq!(spoiled(Mischief::Frozen), reply().bytes());
        assert_eq!(spoiled(Mischief::WrongTransaction), [0, 6, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2]);
        assert_eq!(spoiled(Mischief::WrongUnit), [0, 7, 0, 0, 0, 7, 2, 3, 4, 0, 1, 0, 2]);
        assert_eq!(spoiled(Mischief::WrongFunction), [0, 7, 0, 0, 0, 7, 1, 4, 4, 0, 1, 0, 2]);
        assert_eq!(spoiled(Mischief::Short), [0, 7, 0, 0, 0, 5, 1, 3, 2, 0, 1]);
        assert_eq!(spoiled(Mischief::Truncated), [0, 7, 0, 0, 0, 7]);
        assert_eq!(spoiled(Mischief::Duplicate).len(), 26);
        assert_eq!(spoiled(Mischief::Oversized)[4..6], [1, 45], "301 bytes follow");
        assert_eq!(spoiled(Mischief::Garbage), spoiled(Mischief::Garbage), "the same seed, the same bytes");
    }

    #[test]
    fn writes_are_acknowledged_as_a_server_does() {
        let write = Frame { transaction: 9, unit: 1, pdu: vec![16, 3, 232, 0, 1, 2, 0, 5] };
        assert_eq!(write.acknowledged().unwrap().pdu, [16, 3, 232, 0, 1]);
        assert_eq!(write.refused(4).pdu, [0x90, 4]);
        assert_eq!(reply().acknowledged(), None);
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(transaction: u16, unit: u8, pdu in proptest::collection::vec(any::<u8>(), 1..=253), cut in 0..260_usize) {
            let frame = Frame { transaction, unit, pdu };
            let bytes = [frame.bytes(), frame.bytes()].concat();
            let cut = cut.min(bytes.len());
            let mut buffer = bytes[..cut].to_vec();
            let mut seen = Vec::new();
            while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                seen.push(frame);
            }
            buffer.extend_from_slice(&bytes[cut..]);
            while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                seen.push(frame);
            }
            prop_assert_eq!(seen, vec![frame.clone(), frame]);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            while let Ok(Some(frame)) = Frame::take(&mut bytes) {
                prop_assert!(!frame.pdu.is_empty());
            }
        }
    }
}
