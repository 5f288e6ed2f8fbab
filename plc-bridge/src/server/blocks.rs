//! The two blocks as Modbus sees them.
//!
//! | address | function codes | what |
//! |---|---|---|
//! | holding `control_base` + 0–95 | 3, 6, 16, 22, 23 | control block; the PLC writes it |
//! | holding `status_base` + 0–127 | 3, 23 (read) | status block, read-only |
//! | input 0–127 | 4 | status block |
//! | coils 0–31 | 1, 5, 15 | control registers 0–1 bit by bit, lowest bit first |
//! | discrete inputs 0–31 | 2 | status registers 0–1 bit by bit |
//!
//! Exceptions, in the order in which they are looked for (Modbus Application Protocol V1.1b3, clause 6): a count out of
//! range is 03; an address outside, across the end of a block, or a write to what is read-only is 02; a value out of range
//! is 03. Out of range are command codes that the map does not know, and ones in bits and registers that it does not name:
//! zero is the safe value, and whoever sets a bit that means nothing believes that it means something.
//!
//! Invariants: a refused request changes nothing; the control block never holds a value that was out of range; all values
//! of one answer are of one moment.

use crate::jmap::{CONTROL, CONTROL_LEN, Kind, STATUS_LEN, low_bits};
use std::ops::{Range, RangeInclusive};
use std::sync::LazyLock;
use tokio_modbus::{ExceptionCode, Request, Response};

pub(super) type ControlWords = [u16; CONTROL_LEN as usize];
pub(super) type StatusWords = [u16; STATUS_LEN as usize];

/// Limits of clause 6.1, 6.3, 6.11, 6.12 and 6.17.
const READ_BITS_MAX: u16 = 2000;
const READ_WORDS_MAX: u16 = 125;
const WRITE_BITS_MAX: usize = 1968;
const WRITE_WORDS_MAX: usize = 123;
const READ_WRITE_WORDS_MAX: usize = 121;

/// Coils, and discrete inputs.
const BITS: u16 = 32;
/// Register of `Command`, and the codes of the map.
const COMMAND: usize = 3;
const COMMANDS: [RangeInclusive<u16>; 2] = [0..=11, 100..=104];

/// The bits of each control register that have a name.
static NAMED: LazyLock<ControlWords> = LazyLock::new(|| {
    let mut named = [0; CONTROL_LEN as usize];
    for field in CONTROL {
        let bits = match field.kind {
            Kind::Bits { first, count } => low_bits(count) << first,
            Kind::U16 | Kind::U32 | Kind::Ascii | Kind::Words => u16::MAX,
        };
        for register in &mut named[usize::from(field.register)..usize::from(field.register + field.width)] {
            *register |= bits;
        }
    }
    named
});

/// Where the blocks lie among the holding registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bases {
    pub(super) control: u16,
    pub(super) status: u16,
}

/// Whether a request wants to change something.
pub(super) const fn writes(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::WriteSingleCoil(..)
            | Request::WriteMultipleCoils(..)
            | Request::WriteSingleRegister(..)
            | Request::WriteMultipleRegisters(..)
            | Request::MaskWriteRegister(..)
            | Request::ReadWriteMultipleRegisters(..)
    )
}

/// Both blocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) bases: Bases,
    pub(super) control: ControlWords,
    pub(super) status: StatusWords,
    /// Nobody may write now.
    pub(super) read_only: bool,
}

fn within(base: u16, address: u16, count: usize, len: usize) -> Option<Range<usize>> {
    let from = usize::from(address.checked_sub(base)?);
    (from + count <= len).then(|| from..from + count)
}

const fn counted(count: usize, most: usize) -> Result<(), ExceptionCode> {
    if count == 0 || count > most { Err(ExceptionCode::IllegalDataValue) } else { Ok(()) }
}

impl Blocks {
    /// Answers one request; a write changes `control`.
    pub(super) fn answer(&mut self, request: &Request<'_>) -> Result<Response, ExceptionCode> {
        match request {
            Request::ReadCoils(address, count) => bits(&self.control, *address, *count).map(Response::ReadCoils),
            Request::ReadDiscreteInputs(address, count) => bits(&self.status, *address, *count).map(Response::ReadDiscreteInputs),
            Request::ReadHoldingRegisters(address, count) => self.holding(*address, *count).map(Response::ReadHoldingRegisters),
            Request::ReadInputRegisters(address, count) => {
                counted(usize::from(*count), usize::from(READ_WORDS_MAX))?;
                let range = within(0, *address, usize::from(*count), self.status.len()).ok_or(ExceptionCode::IllegalDataAddress)?;
                Ok(Response::ReadInputRegisters(self.status[range].to_vec()))
            }
            Request::WriteSingleCoil(address, on) => {
                self.write_bits(*address, &[*on])?;
                Ok(Response::WriteSingleCoil(*address, *on))
            }
            Request::WriteMultipleCoils(address, coils) => {
                let count = self.write_bits(*address, coils)?;
                Ok(Response::WriteMultipleCoils(*address, count))
            }
            Request::WriteSingleRegister(address, word) => {
                self.write(*address, &[*word], WRITE_WORDS_MAX)?;
                Ok(Response::WriteSingleRegister(*address, *word))
            }
            Request::WriteMultipleRegisters(address, words) => {
                let count = self.write(*address, words, WRITE_WORDS_MAX)?;
                Ok(Response::WriteMultipleRegisters(*address, count))
            }
            Request::MaskWriteRegister(address, and, or) => {
                let at = within(self.bases.control, *address, 1, self.control.len()).ok_or(ExceptionCode::IllegalDataAddress)?;
                self.write(*address, &[(self.control[at.start] & and) | (or & !and)], WRITE_WORDS_MAX)?;
                Ok(Response::MaskWriteRegister(*address, *and, *or))
            }
            Request::ReadWriteMultipleRegisters(address, count, write_address, words) => {
                counted(words.len(), READ_WRITE_WORDS_MAX)?;
                self.holding(*address, *count)?;
                self.write(*write_address, words, READ_WRITE_WORDS_MAX)?;
                // The standard writes first and reads then (clause 6.17).
                self.holding(*address, *count).map(Response::ReadWriteMultipleRegisters)
            }
            Request::ReportServerId | Request::ReadDeviceIdentification(..) | Request::Custom(..) => Err(ExceptionCode::IllegalFunction),
        }
    }

    fn holding(&self, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let count = usize::from(count);
        counted(count, usize::from(READ_WORDS_MAX))?;
        let control = within(self.bases.control, address, count, self.control.len()).map(|range| &self.control[range]);
        let status = || within(self.bases.status, address, count, self.status.len()).map(|range| &self.status[range]);
        control.or_else(status).map(<[u16]>::to_vec).ok_or(ExceptionCode::IllegalDataAddress)
    }

    fn write(&mut self, address: u16, words: &[u16], most: usize) -> Result<u16, ExceptionCode> {
        counted(words.len(), most)?;
        let range = within(self.bases.control, address, words.len(), self.control.len());
        let range = range.filter(|_| !self.read_only).ok_or(ExceptionCode::IllegalDataAddress)?;
        let mut next = self.control;
        next[range].copy_from_slice(words);
        self.take(next, words.len())
    }

    fn write_bits(&mut self, address: u16, coils: &[bool]) -> Result<u16, ExceptionCode> {
        counted(coils.len(), WRITE_BITS_MAX)?;
        let range = within(0, address, coils.len(), usize::from(BITS));
        let range = range.filter(|_| !self.read_only).ok_or(ExceptionCode::IllegalDataAddress)?;
        let mut next = self.control;
        for (bit, on) in range.zip(coils) {
            let mask = 1 << (bit % 16);
            next[bit / 16] = if *on { next[bit / 16] | mask } else { next[bit / 16] & !mask };
        }
        self.take(next, coils.len())
    }

    fn take(&mut self, next: ControlWords, count: usize) -> Result<u16, ExceptionCode> {
        let count = u16::try_from(count).map_err(|_| ExceptionCode::IllegalDataValue)?;
        let unnamed = next.iter().zip(NAMED.iter()).any(|(word, named)| word & !named != 0);
        if unnamed || !COMMANDS.iter().any(|codes| codes.contains(&next[COMMAND])) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        self.control = next;
        Ok(count)
    }
}

/// Bits of the first two registers of a block.
fn bits(block: &[u16], address: u16, count: u16) -> Result<Vec<bool>, ExceptionCode> {
    counted(usize::from(count), usize::from(READ_BITS_MAX))?;
    let range = within(0, address, usize::from(count), usize::from(BITS)).ok_or(ExceptionCode::IllegalDataAddress)?;
    Ok(range.map(|bit| block[bit / 16] >> (bit % 16) & 1 == 1).collect())
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
