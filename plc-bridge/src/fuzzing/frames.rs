//! Frames, spelled out by hand: what the targets compare against must not come from the code that is tested.
//!
//! Sources: Modbus Application Protocol V1.1b3, clause 4; Modbus Messaging on TCP/IP V1.0b, 3.1.3; Modbus over Serial
//! Line V1.02, 2.5.1 and appendix B.

/// Which frames a conversation is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A header with a transaction number and a length.
    Tcp,
    /// A unit, and a check sum at the end.
    Rtu,
}

/// The check sum of RTU, bit by bit.
#[must_use]
pub fn crc(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0xFFFF, |sum, byte| (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 }))
}

/// The frame of a PDU; RTU has no `transaction`.
#[must_use]
pub fn frame(framing: Framing, transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    match framing {
        Framing::Tcp => {
            let length = u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX);
            [&transaction.to_be_bytes()[..], &[0, 0], &length.to_be_bytes(), &[unit], pdu].concat()
        }
        Framing::Rtu => {
            let body = [&[unit], pdu].concat();
            let sum = crc(&body).to_le_bytes();
            [body, sum.to_vec()].concat()
        }
    }
}

/// A function code, then big-endian words.
#[must_use]
pub fn pdu(function: u8, words: &[u16]) -> Vec<u8> {
    [vec![function], words.iter().flat_map(|word| word.to_be_bytes()).collect()].concat()
}

/// A function code, a byte count, then big-endian words.
#[must_use]
pub fn counted(function: u8, words: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    [vec![function, u8::try_from(bytes.len()).unwrap_or(u8::MAX)], bytes].concat()
}

/// The big-endian word at `at`, if it is there.
#[must_use]
pub fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of the serial guide's appendix B, and the check value of CRC-16/MODBUS.
    #[test]
    fn sums_and_frames_of_the_standard() {
        assert_eq!(crc(&[0x02, 0x07]), 0x1241);
        assert_eq!(crc(b"123456789"), 0x4B37);
        assert_eq!(frame(Framing::Rtu, 9, 2, &[7]), [2, 7, 0x41, 0x12]);
        assert_eq!(frame(Framing::Tcp, 0x1501, 0xFF, &pdu(3, &[4, 1])), [0x15, 1, 0, 0, 0, 6, 0xFF, 3, 0, 4, 0, 1]);
        assert_eq!(counted(3, &[5]), [3, 2, 0, 5]);
    }
}
