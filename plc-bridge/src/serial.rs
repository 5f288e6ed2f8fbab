//! Serial lines for Modbus RTU: their parameters and the silences that frames need.
//!
//! Source of the timing: Modbus over Serial Line, Specification and Implementation Guide V1.02, 2.5.1.1.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use tokio_serial::{SerialPort, SerialPortBuilderExt, SerialStream};

/// The parity bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parity {
    /// The standard's default; one stop bit.
    #[default]
    Even,
    /// One stop bit.
    Odd,
    /// Two stop bits, so that a character always has 11 bits.
    None,
}

/// A serial line. Eight data bits, as RTU demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialLine {
    /// The device, for example `/dev/ttyS1`.
    pub device: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// The parity bit.
    pub parity: Parity,
}

/// Bits of one character on the line: start, eight data, parity or second stop, stop.
const BITS_PER_CHARACTER: u64 = 11;
/// Above this speed the silences are fixed (same clause).
const FIXED_ABOVE_BAUD: u32 = 19_200;

impl SerialLine {
    /// Opens the device for this process alone.
    ///
    /// # Errors
    /// If it does not exist, is in use, or refuses the parameters.
    pub fn open(&self) -> tokio_serial::Result<SerialStream> {
        let (parity, stop_bits) = match self.parity {
            Parity::Even => (tokio_serial::Parity::Even, tokio_serial::StopBits::One),
            Parity::Odd => (tokio_serial::Parity::Odd, tokio_serial::StopBits::One),
            Parity::None => (tokio_serial::Parity::None, tokio_serial::StopBits::Two),
        };
        let device = self.device.to_string_lossy();
        let port = tokio_serial::new(device, self.baud).parity(parity).stop_bits(stop_bits).open_native_async()?;
        port.clear(tokio_serial::ClearBuffer::All)?;
        Ok(port)
    }

    /// Time that `characters` take on the line.
    #[must_use]
    pub fn on_the_line(&self, characters: u32) -> Duration {
        Duration::from_nanos(u64::from(characters) * BITS_PER_CHARACTER * 1_000_000_000 / u64::from(self.baud.max(1)))
    }

    /// The silence that ends a frame: 3.5 characters, 1.75 ms above 19 200 baud.
    #[must_use]
    pub fn silence(&self) -> Duration {
        if self.baud > FIXED_ABOVE_BAUD { Duration::from_micros(1750) } else { self.on_the_line(7) / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_are_those_of_the_standard() {
        let line = |baud| SerialLine { device: "/dev/null".into(), baud, parity: Parity::Even };
        assert_eq!(line(9600).silence().as_micros(), 4010);
        assert_eq!(line(19_200).silence().as_micros(), 2005);
        assert_eq!(line(38_400).silence().as_micros(), 1750);
        assert_eq!(line(9600).on_the_line(8).as_micros(), 9166);
    }
}
