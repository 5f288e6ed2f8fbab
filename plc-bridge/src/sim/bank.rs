//! The simulated PLC's memory as Modbus sees it.
//!
//! | address | function codes | what |
//! |---|---|---|
//! | holding 0–95 | 3 | control block; owned by the PLC program, no client may write it |
//! | holding 1000–1127 | 3, 6, 16, 22, 23 | status block; the appliance writes it |
//! | holding 2000–2099 | 3 | process tags |
//! | holding 2100–2115 | 3 | what the line did, see `TALLY` |
//! | input 0–127 | 4 | status block |
//! | coils 0–31 | 1 | control registers 0–1 bit by bit |
//! | discrete inputs 0–31 | 2 | status registers 0–1 bit by bit |
//!
//! Invariants: an address outside, or a write to what is read-only, is exception 02; a count or value out of range is 03; a
//! refused request changes nothing.

use crate::jmap::{CONTROL_LEN, STATUS_LEN};
use tokio_modbus::{ExceptionCode, Request, Response};

/// First register of the control block.
pub const CONTROL_BASE: u16 = 0;
/// First register of the status block.
pub const STATUS_BASE: u16 = 1000;
/// First register of the process tags.
pub const TAGS_BASE: u16 = 2000;
/// Registers for process tags.
pub const TAGS_LEN: u16 = 100;
/// First register of what the line did.
pub const TALLY_BASE: u16 = 2100;
/// Registers of it.
pub const TALLY_LEN: u16 = 16;

/// Limits of the Modbus Application Protocol V1.1b3 (6.1, 6.3, 6.12, 6.17).
const READ_WORDS_MAX: u16 = 125;
const READ_BITS_MAX: u16 = 2000;
const WRITE_WORDS_MAX: usize = 123;

/// Status registers with a range narrower than 16 bits: `(offset, largest value)`.
const STATUS_LIMITS: [(u16, u16); 3] = [(3, 8), (14, 7), (18, 10_000)];

/// The memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bank {
    /// Control block.
    pub control: [u16; CONTROL_LEN as usize],
    /// Status block.
    pub status: [u16; STATUS_LEN as usize],
    /// Process tags.
    pub tags: [u16; TAGS_LEN as usize],
    /// What the line did.
    pub tally: [u16; TALLY_LEN as usize],
}

impl Default for Bank {
    fn default() -> Self {
        Self {
            control: [0; CONTROL_LEN as usize],
            status: [0; STATUS_LEN as usize],
            tags: [0; TAGS_LEN as usize],
            tally: [0; TALLY_LEN as usize],
        }
    }
}

fn within(block: &[u16], base: u16, address: u16, count: u16) -> Option<&[u16]> {
    let from = usize::from(address.checked_sub(base)?);
    block.get(from..from + usize::from(count))
}

impl Bank {
    /// Holding registers, or `None` if not all of them exist.
    #[must_use]
    pub fn holding(&self, address: u16, count: u16) -> Option<&[u16]> {
        let tail = || within(&self.tags, TAGS_BASE, address, count).or_else(|| within(&self.tally, TALLY_BASE, address, count));
        within(&self.control, CONTROL_BASE, address, count).or_else(|| within(&self.status, STATUS_BASE, address, count)).or_else(tail)
    }

    fn read(&self, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        if count == 0 || count > READ_WORDS_MAX {
            return Err(ExceptionCode::IllegalDataValue);
        }
        if let Some(words) = self.holding(address, count) {
            return Ok(words.to_vec());
        }
        // A read may run from the tags into the tally: in between there is no gap.
        let (tags, tally) = (TALLY_BASE.saturating_sub(address), count.saturating_sub(TALLY_BASE.saturating_sub(address)));
        let first = within(&self.tags, TAGS_BASE, address, tags).ok_or(ExceptionCode::IllegalDataAddress)?;
        let second = within(&self.tally, TALLY_BASE, TALLY_BASE, tally).ok_or(ExceptionCode::IllegalDataAddress)?;
        Ok([first, second].concat())
    }

    fn write(&mut self, address: u16, words: &[u16]) -> Result<(), ExceptionCode> {
        if words.is_empty() || words.len() > WRITE_WORDS_MAX {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let from = usize::from(address.checked_sub(STATUS_BASE).ok_or(ExceptionCode::IllegalDataAddress)?);
        let target = self.status.get_mut(from..from + words.len()).ok_or(ExceptionCode::IllegalDataAddress)?;
        for (offset, most) in STATUS_LIMITS {
            let value = usize::from(offset).checked_sub(from).and_then(|index| words.get(index));
            if value.is_some_and(|value| *value > most) {
                return Err(ExceptionCode::IllegalDataValue);
            }
        }
        target.copy_from_slice(words);
        Ok(())
    }

    /// Answers one request.
    ///
    /// # Errors
    /// The Modbus exception to answer with.
    pub fn answer(&mut self, request: &Request<'_>) -> Result<Response, ExceptionCode> {
        match request {
            Request::ReadCoils(address, count) => bits(&self.control, *address, *count).map(Response::ReadCoils),
            Request::ReadDiscreteInputs(address, count) => bits(&self.status, *address, *count).map(Response::ReadDiscreteInputs),
            Request::ReadHoldingRegisters(address, count) => self.read(*address, *count).map(Response::ReadHoldingRegisters),
            Request::ReadInputRegisters(address, count) => {
                if *count == 0 || *count > READ_WORDS_MAX {
                    return Err(ExceptionCode::IllegalDataValue);
                }
                let words = within(&self.status, 0, *address, *count).ok_or(ExceptionCode::IllegalDataAddress)?;
                Ok(Response::ReadInputRegisters(words.to_vec()))
            }
            Request::WriteSingleRegister(address, word) => {
                self.write(*address, &[*word]).map(|()| Response::WriteSingleRegister(*address, *word))
            }
            Request::WriteMultipleRegisters(address, words) => {
                self.write(*address, words)?;
                let count = u16::try_from(words.len()).map_err(|_| ExceptionCode::IllegalDataValue)?;
                Ok(Response::WriteMultipleRegisters(*address, count))
            }
            Request::MaskWriteRegister(address, and, or) => {
                let old = *self.read(*address, 1)?.first().ok_or(ExceptionCode::IllegalDataAddress)?;
                self.write(*address, &[(old & and) | (or & !and)])?;
                Ok(Response::MaskWriteRegister(*address, *and, *or))
            }
            Request::ReadWriteMultipleRegisters(address, count, write_address, words) => {
                self.read(*address, *count)?;
                self.write(*write_address, words)?;
                self.read(*address, *count).map(Response::ReadWriteMultipleRegisters)
            }
            // The coils mirror the control block, which the PLC program owns.
            Request::WriteSingleCoil(..) | Request::WriteMultipleCoils(..) => Err(ExceptionCode::IllegalDataAddress),
            Request::ReportServerId | Request::ReadDeviceIdentification(..) | Request::Custom(..) => Err(ExceptionCode::IllegalFunction),
        }
    }
}

/// Bits of the first two registers of a block, register by register, lowest bit first.
fn bits(block: &[u16], address: u16, count: u16) -> Result<Vec<bool>, ExceptionCode> {
    if count == 0 || count > READ_BITS_MAX {
        return Err(ExceptionCode::IllegalDataValue);
    }
    if address.checked_add(count).is_none_or(|end| end > 32) {
        return Err(ExceptionCode::IllegalDataAddress);
    }
    Ok((address..address + count).map(|bit| block[usize::from(bit / 16)] >> (bit % 16) & 1 == 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    const ADDRESS: Result<Response, ExceptionCode> = Err(ExceptionCode::IllegalDataAddress);
    const VALUE: Result<Response, ExceptionCode> = Err(ExceptionCode::IllegalDataValue);

    fn write(address: u16, words: &[u16]) -> Request<'_> {
        Request::WriteMultipleRegisters(address, Cow::Borrowed(words))
    }

    #[test]
    fn clients_write_the_status_block_and_nothing_else() {
        let mut bank = Bank::default();
        let before = bank.clone();
        for (address, count) in [(0, 1), (95, 1), (999, 2), (999, 1), (1127, 2), (1128, 1), (2000, 1), (2100, 1), (u16::MAX, 1)] {
            assert_eq!(bank.answer(&write(address, &vec![1; count])), ADDRESS, "{address} {count}");
        }
        assert_eq!(bank.answer(&Request::WriteSingleCoil(1, true)), ADDRESS);
        assert_eq!(bank.answer(&Request::WriteMultipleCoils(0, Cow::Owned(vec![true; 32]))), ADDRESS);
        assert_eq!(bank, before, "a refused write changed something");
        assert_eq!(bank.answer(&write(1000, &[1, 2])), Ok(Response::WriteMultipleRegisters(1000, 2)));
        assert_eq!(bank.status[..2], [1, 2]);
    }

    #[test]
    fn counts_and_values_have_ranges() {
        let mut bank = Bank::default();
        assert_eq!(bank.answer(&Request::ReadHoldingRegisters(0, 0)), VALUE);
        assert_eq!(bank.answer(&Request::ReadHoldingRegisters(0, 126)), VALUE);
        assert_eq!(bank.answer(&Request::ReadHoldingRegisters(0, 97)), ADDRESS);
        assert_eq!(bank.answer(&Request::ReadHoldingRegisters(500, 1)), ADDRESS);
        assert_eq!(bank.answer(&Request::ReadHoldingRegisters(u16::MAX, 2)), ADDRESS);
        assert_eq!(bank.answer(&write(1000, &[])), VALUE);
        assert_eq!(bank.answer(&write(1014, &[8])), VALUE);
        assert_eq!(bank.answer(&write(1010, &[0, 0, 0, 0, 0, 0, 0, 0, 10_001])), VALUE);
        assert_eq!(bank.status, [0; 128]);
        assert_eq!(bank.answer(&Request::ReadCoils(31, 2)), ADDRESS);
        assert_eq!(bank.answer(&Request::ReportServerId), Err(ExceptionCode::IllegalFunction));
    }

    #[test]
    fn bits_mirror_the_first_two_registers() {
        let mut bank = Bank::default();
        bank.control[0] = 0b10;
        bank.status[1] = 1 << 7;
        assert_eq!(bank.answer(&Request::ReadCoils(0, 3)), Ok(Response::ReadCoils(vec![false, true, false])));
        assert_eq!(bank.answer(&Request::ReadDiscreteInputs(22, 2)), Ok(Response::ReadDiscreteInputs(vec![false, true])));
    }

    #[test]
    fn one_request_may_write_and_read() {
        let mut bank = Bank::default();
        let both = Request::ReadWriteMultipleRegisters(1000, 2, 1000, Cow::Owned(vec![5, 6]));
        assert_eq!(bank.answer(&both), Ok(Response::ReadWriteMultipleRegisters(vec![5, 6])));
        let refused = Request::ReadWriteMultipleRegisters(500, 1, 1000, Cow::Owned(vec![9]));
        assert_eq!(bank.answer(&refused), ADDRESS);
        assert_eq!(bank.status[0], 5, "the write half of a refused request was done");
        assert_eq!(bank.answer(&Request::MaskWriteRegister(1000, 0xFFFE, 0x0010)), Ok(Response::MaskWriteRegister(1000, 0xFFFE, 0x0010)));
        assert_eq!(bank.status[0], 4);
        bank.tally[0] = 7;
        assert_eq!(bank.answer(&Request::ReadHoldingRegisters(2099, 2)), Ok(Response::ReadHoldingRegisters(vec![0, 7])));
    }
}
