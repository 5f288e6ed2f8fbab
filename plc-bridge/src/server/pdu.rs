//! Protocol data units: bytes to requests, responses to bytes.
//!
//! tokio-modbus 0.17 reads requests too, but it trusts the counts in them: a "write multiple coils" that announces more
//! coils than it brings, or a count whose double does not fit 16 bits, panics, and a panic ends this program. It also drops
//! the connection where the standard wants an exception. So its types are used here and its reader is not.
//!
//! Invariants: any bytes give a request or an exception, never a panic; a request that was understood has exactly the
//! length and the counts it claims. Source: Modbus Application Protocol V1.1b3, clause 6.

use tokio_modbus::{ExceptionCode, Request, Response};

/// The longest PDU (clause 4.1).
pub(crate) const PDU_MAX: usize = 253;

/// Reads from the front of a request; running dry is a wrong length.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, ExceptionCode> {
        let (first, rest) = self.0.split_first().ok_or(ExceptionCode::IllegalDataValue)?;
        self.0 = rest;
        Ok(*first)
    }

    fn word(&mut self) -> Result<u16, ExceptionCode> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// `count` words behind their byte count, to the end of the request.
    fn words(&mut self, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let bytes = usize::from(self.byte()?);
        if bytes != 2 * usize::from(count) || bytes != self.0.len() {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let (pairs, _) = std::mem::take(&mut self.0).as_chunks::<2>();
        Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
    }

    /// `count` bits behind their byte count, to the end of the request.
    fn bits(&mut self, count: u16) -> Result<Vec<bool>, ExceptionCode> {
        let bytes = usize::from(self.byte()?);
        if bytes != usize::from(count).div_ceil(8) || bytes != self.0.len() {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let packed = std::mem::take(&mut self.0);
        Ok((0..usize::from(count)).map(|bit| packed[bit / 8] >> (bit % 8) & 1 == 1).collect())
    }
}

/// The request in a PDU.
///
/// # Errors
/// `IllegalFunction` for a function code that is not served, `IllegalDataValue` for a length or a count that is wrong in
/// itself, or a coil value other than on and off. Whether addresses exist is not known here.
pub(crate) fn request(pdu: &[u8]) -> Result<Request<'static>, ExceptionCode> {
    let mut read = Reader(pdu);
    let request = match read.byte().map_err(|_| ExceptionCode::IllegalFunction)? {
        1 => Request::ReadCoils(read.word()?, read.word()?),
        2 => Request::ReadDiscreteInputs(read.word()?, read.word()?),
        3 => Request::ReadHoldingRegisters(read.word()?, read.word()?),
        4 => Request::ReadInputRegisters(read.word()?, read.word()?),
        5 => Request::WriteSingleCoil(
            read.word()?,
            match read.word()? {
                0xFF00 => true,
                0x0000 => false,
                _ => return Err(ExceptionCode::IllegalDataValue),
            },
        ),
        6 => Request::WriteSingleRegister(read.word()?, read.word()?),
        15 => {
            let (address, count) = (read.word()?, read.word()?);
            Request::WriteMultipleCoils(address, read.bits(count)?.into())
        }
        16 => {
            let (address, count) = (read.word()?, read.word()?);
            Request::WriteMultipleRegisters(address, read.words(count)?.into())
        }
        22 => Request::MaskWriteRegister(read.word()?, read.word()?, read.word()?),
        23 => {
            let (address, count, write_address, write_count) = (read.word()?, read.word()?, read.word()?, read.word()?);
            Request::ReadWriteMultipleRegisters(address, count, write_address, read.words(write_count)?.into())
        }
        _ => return Err(ExceptionCode::IllegalFunction),
    };
    if read.0.is_empty() { Ok(request) } else { Err(ExceptionCode::IllegalDataValue) }
}

/// The answer to the request `asked`, as a PDU. A response that no request of this server leads to becomes exception 04.
pub(crate) fn answer(asked: &[u8], answer: &Result<Response, ExceptionCode>) -> Vec<u8> {
    let function = asked.first().copied().unwrap_or(0);
    let mut pdu = vec![function];
    let put = |pdu: &mut Vec<u8>, words: &[u16]| pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    let counted = |pdu: &mut Vec<u8>, bytes: usize| pdu.push(u8::try_from(bytes).unwrap_or(u8::MAX));
    let exception = match answer {
        Ok(Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits)) => {
            counted(&mut pdu, bits.len().div_ceil(8));
            pdu.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |packed, bit| packed << 1 | u8::from(*bit))));
            return pdu;
        }
        Ok(Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) | Response::ReadWriteMultipleRegisters(words)) => {
            counted(&mut pdu, 2 * words.len());
            put(&mut pdu, words);
            return pdu;
        }
        Ok(Response::WriteSingleCoil(address, on)) => {
            put(&mut pdu, &[*address, if *on { 0xFF00 } else { 0 }]);
            return pdu;
        }
        Ok(
            Response::WriteSingleRegister(address, value)
            | Response::WriteMultipleCoils(address, value)
            | Response::WriteMultipleRegisters(address, value),
        ) => {
            put(&mut pdu, &[*address, *value]);
            return pdu;
        }
        Ok(Response::MaskWriteRegister(address, and, or)) => {
            put(&mut pdu, &[*address, *and, *or]);
            return pdu;
        }
        Ok(Response::ReportServerId(..) | Response::ReadDeviceIdentification(_) | Response::Custom(..)) => {
            ExceptionCode::ServerDeviceFailure
        }
        Err(exception) => *exception,
    };
    vec![function | 0x80, exception.into()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExceptionCode::{IllegalDataValue, IllegalFunction};
    use proptest::prelude::*;

    /// The worked examples of the standard, clause 6.
    #[test]
    fn the_examples_of_the_standard() {
        let cases: &[(&[u8], Request<'_>, Response, &[u8])] = &[
            (
                &[0x01, 0x00, 0x13, 0x00, 0x13],
                Request::ReadCoils(0x13, 0x13),
                Response::ReadCoils((0..19).map(|bit| [0xCD_u8, 0x6B, 0x05][bit / 8] >> (bit % 8) & 1 == 1).collect()),
                &[0x01, 0x03, 0xCD, 0x6B, 0x05],
            ),
            (
                &[0x03, 0x00, 0x6B, 0x00, 0x03],
                Request::ReadHoldingRegisters(0x6B, 3),
                Response::ReadHoldingRegisters(vec![0x022B, 0, 0x64]),
                &[0x03, 0x06, 0x02, 0x2B, 0x00, 0x00, 0x00, 0x64],
            ),
            (
                &[0x04, 0x00, 0x08, 0x00, 0x01],
                Request::ReadInputRegisters(8, 1),
                Response::ReadInputRegisters(vec![10]),
                &[0x04, 0x02, 0x00, 0x0A],
            ),
            (
                &[0x05, 0x00, 0xAC, 0xFF, 0x00],
                Request::WriteSingleCoil(0xAC, true),
                Response::WriteSingleCoil(0xAC, true),
                &[0x05, 0x00, 0xAC, 0xFF, 0x00],
            ),
            (
                &[0x06, 0x00, 0x01, 0x00, 0x03],
                Request::WriteSingleRegister(1, 3),
                Response::WriteSingleRegister(1, 3),
                &[0x06, 0x00, 0x01, 0x00, 0x03],
            ),
            (
                &[0x0F, 0x00, 0x13, 0x00, 0x0A, 0x02, 0xCD, 0x01],
                Request::WriteMultipleCoils(0x13, [true, false, true, true, false, false, true, true, true, false].to_vec().into()),
                Response::WriteMultipleCoils(0x13, 10),
                &[0x0F, 0x00, 0x13, 0x00, 0x0A],
            ),
            (
                &[0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0A, 0x01, 0x02],
                Request::WriteMultipleRegisters(1, vec![0x0A, 0x0102].into()),
                Response::WriteMultipleRegisters(1, 2),
                &[0x10, 0x00, 0x01, 0x00, 0x02],
            ),
            (
                &[0x16, 0x00, 0x04, 0x00, 0xF2, 0x00, 0x25],
                Request::MaskWriteRegister(4, 0xF2, 0x25),
                Response::MaskWriteRegister(4, 0xF2, 0x25),
                &[0x16, 0x00, 0x04, 0x00, 0xF2, 0x00, 0x25],
            ),
            (
                &[0x17, 0x00, 0x03, 0x00, 0x06, 0x00, 0x0E, 0x00, 0x03, 0x06, 0x00, 0xFF, 0x00, 0xFF, 0x00, 0xFF],
                Request::ReadWriteMultipleRegisters(3, 6, 14, vec![0xFF; 3].into()),
                Response::ReadWriteMultipleRegisters(vec![0xFE, 0x0ACD, 1, 3, 0x0D, 0xFF]),
                &[0x17, 0x0C, 0x00, 0xFE, 0x0A, 0xCD, 0x00, 0x01, 0x00, 0x03, 0x00, 0x0D, 0x00, 0xFF],
            ),
        ];
        for (bytes, wanted, response, answered) in cases {
            assert_eq!(request(bytes).as_ref(), Ok(wanted));
            assert_eq!(answer(bytes, &Ok(response.clone())), *answered);
        }
        assert_eq!(answer(&[0x01, 0x04, 0xA1, 0, 1], &Err(ExceptionCode::IllegalDataAddress)), [0x81, 0x02]);
    }

    #[test]
    fn counts_that_lie_are_refused() {
        for (bytes, wanted) in [
            // 16 and more coils in no byte, one word in no byte, counts whose double is 0 in 16 bits.
            (&[15, 0, 0, 0, 16, 1, 0xFF][..], IllegalDataValue),
            (&[15, 0, 0, 0xFF, 0xFF, 0], IllegalDataValue),
            (&[15, 0, 0, 0, 8, 2, 0, 0], IllegalDataValue),
            (&[16, 0, 0, 0x80, 0, 0], IllegalDataValue),
            (&[16, 0, 0, 0, 1, 2, 0], IllegalDataValue),
            (&[16, 0, 0, 0, 1, 2, 0, 0, 0], IllegalDataValue),
            (&[23, 0, 0, 0, 1, 0, 0, 0x80, 0, 0], IllegalDataValue),
            (&[5, 0, 1, 0x12, 0x34], IllegalDataValue),
            (&[3, 0, 0, 0], IllegalDataValue),
            (&[3, 0, 0, 0, 1, 0], IllegalDataValue),
            (&[7], IllegalFunction),
            (&[17], IllegalFunction),
            (&[43, 14, 1, 0], IllegalFunction),
            (&[0x83, 2], IllegalFunction),
            (&[], IllegalFunction),
        ] {
            assert_eq!(request(bytes), Err(wanted), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_exception(bytes in proptest::collection::vec(any::<u8>(), 0..PDU_MAX)) {
            let read = request(&bytes);
            let refused = read.err().unwrap_or(IllegalFunction);
            prop_assert_eq!(answer(&bytes, &Err(refused)).len(), 2);
        }

        /// Bytes that start like a request, so that the counts are reached.
        #[test]
        fn any_counts_are_survived(
            function in prop::sample::select(vec![15_u8, 16, 23]), head in proptest::collection::vec(any::<u8>(), 4..10),
            tail in proptest::collection::vec(any::<u8>(), 0..243)
        ) {
            let bytes = [&[function][..], &head, &tail].concat();
            if let Ok(Request::WriteMultipleRegisters(_, words)) = request(&bytes) {
                prop_assert_eq!(words.len() * 2 + 6, bytes.len());
            }
        }
    }
}
