//! JMAP v1 as data: every named field of the two blocks, and how numbers and text lie in registers.
//!
//! Invariants: a register that is missing or zero decodes to the safe value; the tables and the two structs name the same
//! bits and registers (a test compares them); addresses here are offsets within a block, the base is a setting.

mod control;
mod status;
mod symbols;

pub use control::{CONTROL, Control};
pub use status::{ResultCode, STATUS, State, Status, error_code, status2};
pub use symbols::{function_block_st, symbols_csv, symbols_st};

use serde::{Deserialize, Serialize};

/// Version of the map (status register 49).
pub const MAP_VERSION: u16 = 1;
/// Registers of the control block.
pub const CONTROL_LEN: u16 = 96;
/// Registers of the control block without `UserData`: what is polled.
pub const CONTROL_HEAD: u16 = 28;
/// First control register of what `SetUserData` latches: `Serial` and `UserData`, to the end of the block.
pub const CONTROL_LATCHED: u16 = 12;
/// Registers of the status block.
pub const STATUS_LEN: u16 = 128;
/// Registers of the status block that always form one snapshot, written in one request.
pub const STATUS_HEAD: u16 = 64;
/// Results that may wait on offer.
pub const RESULTS_MAX: usize = 8;

/// The two blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// PLC to appliance.
    Control,
    /// Appliance to PLC.
    Status,
}

/// How a field lies in its registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bits `first..first + count` of one register.
    Bits {
        /// Lowest bit.
        first: u8,
        /// Number of bits.
        count: u8,
    },
    /// One register, unsigned.
    U16,
    /// Two registers, unsigned.
    U32,
    /// Text, two characters per register, padded with zeros.
    Ascii,
    /// Raw registers.
    Words,
}

/// One named field of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name as in the map.
    pub name: &'static str,
    /// First register, counted from the start of the block.
    pub register: u16,
    /// Number of registers.
    pub width: u16,
    /// How it lies there.
    pub kind: Kind,
    /// What it means, in a few words.
    pub doc: &'static str,
}

impl Field {
    const fn flag(name: &'static str, register: u16, bit: u8, doc: &'static str) -> Self {
        Self { name, register, width: 1, kind: Kind::Bits { first: bit, count: 1 }, doc }
    }

    const fn bits(name: &'static str, register: u16, first: u8, count: u8, doc: &'static str) -> Self {
        Self { name, register, width: 1, kind: Kind::Bits { first, count }, doc }
    }

    const fn word(name: &'static str, register: u16, doc: &'static str) -> Self {
        Self { name, register, width: 1, kind: Kind::U16, doc }
    }

    const fn long(name: &'static str, register: u16, doc: &'static str) -> Self {
        Self { name, register, width: 2, kind: Kind::U32, doc }
    }

    const fn span(name: &'static str, register: u16, width: u16, kind: Kind, doc: &'static str) -> Self {
        Self { name, register, width, kind, doc }
    }

    /// Where it lies, as people write it, if its block begins at `base`: `1001.7`, `1001.8-15`, `5-6` or `49`.
    #[must_use]
    pub fn place(&self, base: u16) -> String {
        let register = u32::from(base) + u32::from(self.register);
        match self.kind {
            Kind::Bits { first, count: 1 } => format!("{register}.{first}"),
            Kind::Bits { first, count } => format!("{register}.{first}-{}", first + count - 1),
            _ if self.width > 1 => format!("{register}-{}", register + u32::from(self.width) - 1),
            _ => register.to_string(),
        }
    }

    /// The largest number that it holds; `None` for text and raw registers.
    #[must_use]
    pub const fn most(&self) -> Option<u32> {
        match self.kind {
            Kind::Bits { count, .. } => Some(low_bits(count) as u32),
            Kind::U16 => Some(u16::MAX as u32),
            Kind::U32 => Some(u32::MAX),
            Kind::Ascii | Kind::Words => None,
        }
    }

    /// Its registers if it holds `value` and the other bits there are 0; `None` if it cannot hold it.
    #[must_use]
    pub fn registers(&self, value: u32, order: Order) -> Option<Vec<u16>> {
        if value > self.most()? {
            return None;
        }
        Some(match self.kind {
            Kind::Bits { first, .. } => vec![u16::try_from(value).ok()?.checked_shl(first.into())?],
            Kind::U32 => order.split(value).to_vec(),
            _ => vec![u16::try_from(value).ok()?],
        })
    }

    /// The field's value as people read it, out of the registers of its block; `None` if the block ends before it.
    #[must_use]
    pub fn show(&self, block: &[u16], order: Order) -> Option<String> {
        let from = usize::from(self.register);
        let words = block.get(from..from + usize::from(self.width))?;
        Some(match self.kind {
            Kind::Bits { first, count } => ((words.first()? >> first) & low_bits(count)).to_string(),
            Kind::U16 => words.first()?.to_string(),
            Kind::U32 => order.long(words).to_string(),
            Kind::Ascii => text(words, order).unwrap_or_default(),
            Kind::Words => words.iter().map(|word| format!("{word:04x}")).collect::<Vec<_>>().join(" "),
        })
    }
}

/// The lowest `count` bits set.
pub(crate) const fn low_bits(count: u8) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

/// How a PLC lays out what is wider than one register. The default is the map's own: high word first, high byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Low word first in 32-bit and 64-bit values.
    pub word_swap: bool,
    /// Low byte first within each register of wider values and of text. Single 16-bit registers are never swapped.
    pub byte_swap: bool,
}

impl Order {
    const fn turned(self, word: u16) -> u16 {
        if self.byte_swap { word.swap_bytes() } else { word }
    }

    /// A 32-bit value out of two registers; a missing register counts as zero.
    #[must_use]
    pub fn long(self, words: &[u16]) -> u32 {
        let first = u32::from(self.turned(words.first().copied().unwrap_or(0)));
        let second = u32::from(self.turned(words.get(1).copied().unwrap_or(0)));
        if self.word_swap { second << 16 | first } else { first << 16 | second }
    }

    /// Two registers out of a 32-bit value.
    #[must_use]
    pub fn split(self, value: u32) -> [u16; 2] {
        let [a, b, c, d] = value.to_be_bytes();
        let (high, low) = (self.turned(u16::from_be_bytes([a, b])), self.turned(u16::from_be_bytes([c, d])));
        if self.word_swap { [low, high] } else { [high, low] }
    }
}

impl Order {
    /// A 64-bit value out of four registers; a missing register counts as zero. `word_swap` means that the lowest word
    /// comes first, so all four are turned round.
    #[must_use]
    pub fn quad(self, words: &[u16]) -> u64 {
        let [first, second] = [self.long(words), self.long(words.get(2..).unwrap_or_default())].map(u64::from);
        if self.word_swap { second << 32 | first } else { first << 32 | second }
    }

    /// Four registers out of a 64-bit value.
    #[must_use]
    pub fn split_quad(self, value: u64) -> [u16; 4] {
        let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
        let ([a, b], [c, d]) = (self.split(u32::from_be_bytes([a, b, c, d])), self.split(u32::from_be_bytes([e, f, g, h])));
        if self.word_swap { [c, d, a, b] } else { [a, b, c, d] }
    }
}

/// Text out of registers: up to the first zero, without blanks around it. `None` if it is empty or not printable ASCII,
/// because half a serial number is worse than none.
#[must_use]
pub fn text(words: &[u16], order: Order) -> Option<String> {
    text_of(words, order, usize::MAX)
}

/// `text`, of the first `chars` characters.
pub(crate) fn text_of(words: &[u16], order: Order, chars: usize) -> Option<String> {
    let bytes = words.iter().flat_map(|word| order.turned(*word).to_be_bytes()).take(chars);
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    let text = str::from_utf8(&bytes).ok()?.trim();
    let printable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    printable.then(|| text.to_owned())
}

/// Text into registers, padded with zeros; what does not fit is cut.
pub fn put_text(text: &str, order: Order, words: &mut [u16]) {
    let mut bytes = text.bytes();
    for word in words {
        let pair = [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)];
        *word = order.turned(u16::from_be_bytes(pair));
    }
}

/// A cursorless view of a block's registers: what lies outside reads as zero.
#[derive(Clone, Copy)]
struct Registers<'a> {
    words: &'a [u16],
    order: Order,
}

impl Registers<'_> {
    fn word(self, register: usize) -> u16 {
        self.words.get(register).copied().unwrap_or(0)
    }

    fn flag(self, register: usize, bit: u8) -> bool {
        self.word(register) >> bit & 1 == 1
    }

    fn long(self, register: usize) -> u32 {
        self.order.long(&[self.word(register), self.word(register + 1)])
    }
}

/// Builds one register out of its flags: `(bit, on)`.
fn flags(bits: &[(u8, bool)]) -> u16 {
    bits.iter().filter(|(_, on)| *on).fold(0, |word, (bit, _)| word | 1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn orders() -> impl Strategy<Value = Order> {
        (any::<bool>(), any::<bool>()).prop_map(|(word_swap, byte_swap)| Order { word_swap, byte_swap })
    }

    #[test]
    fn the_four_orders_are_the_four_known_ones() {
        let order = |word_swap, byte_swap| Order { word_swap, byte_swap };
        assert_eq!(order(false, false).split(0x0A0B_0C0D), [0x0A0B, 0x0C0D]);
        assert_eq!(order(true, false).split(0x0A0B_0C0D), [0x0C0D, 0x0A0B]);
        assert_eq!(order(false, true).split(0x0A0B_0C0D), [0x0B0A, 0x0D0C]);
        assert_eq!(order(true, true).split(0x0A0B_0C0D), [0x0D0C, 0x0B0A]);
        let quad = 0x0102_0304_0506_0708;
        assert_eq!(order(false, false).split_quad(quad), [0x0102, 0x0304, 0x0506, 0x0708]);
        assert_eq!(order(true, false).split_quad(quad), [0x0708, 0x0506, 0x0304, 0x0102]);
        assert_eq!(order(false, true).split_quad(quad), [0x0201, 0x0403, 0x0605, 0x0807]);
        assert_eq!(order(true, true).split_quad(quad), [0x0807, 0x0605, 0x0403, 0x0201]);
    }

    #[test]
    fn a_serial_that_is_not_text_is_no_serial() {
        assert_eq!(text(&[0, 0], Order::default()), None);
        assert_eq!(text(&[0x4142, 0x4300], Order::default()).as_deref(), Some("ABC"));
        assert_eq!(text(&[0x41FF, 0x4300], Order::default()), None);
        assert_eq!(text(&[0x4107], Order::default()), None);
    }

    /// No two fields share a bit, none leaves its block, and every register below the reserved ones has a name.
    #[test]
    fn fields_do_not_overlap() {
        for (fields, len) in [(CONTROL, CONTROL_LEN), (STATUS, STATUS_LEN)] {
            let mut taken = vec![0_u16; usize::from(len)];
            for field in fields {
                for register in field.register..field.register + field.width {
                    let mask = match field.kind {
                        Kind::Bits { first, count } => low_bits(count) << first,
                        _ => u16::MAX,
                    };
                    assert_eq!(taken[usize::from(register)] & mask, 0, "{} overlaps", field.name);
                    taken[usize::from(register)] |= mask;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_a_field_can_hold_reads_back(value: u32, order in orders()) {
            for field in CONTROL.iter().chain(STATUS) {
                let mut block = vec![0; 128];
                match field.registers(value, order) {
                    Some(words) => {
                        let from = usize::from(field.register);
                        block[from..from + words.len()].copy_from_slice(&words);
                        prop_assert_eq!(field.show(&block, order), Some(value.to_string()), "{}", field.name);
                    }
                    None => prop_assert!(field.most().is_none_or(|most| value > most), "{}", field.name),
                }
            }
        }

        #[test]
        fn longs_survive(value: u32, order in orders()) {
            prop_assert_eq!(order.long(&order.split(value)), value);
        }

        #[test]
        fn quads_survive(value: u64, order in orders()) {
            prop_assert_eq!(order.quad(&order.split_quad(value)), value);
        }

        #[test]
        fn text_survives(value in "[!-~]{1,32}", order in orders()) {
            let mut words = [0_u16; 16];
            put_text(&value, order, &mut words);
            prop_assert_eq!(text(&words, order), Some(value));
        }
    }
}
