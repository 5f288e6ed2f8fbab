//! Any registers as blocks and tags.
//!
//! A case is `order, words…`: bit 0 and 1 of `order` swap words and bytes; what follows is big-endian registers, an odd
//! byte at the end is ignored.
//!
//! Oracle: nothing panics; what was understood survives being written and read again; no field of the table lies outside
//! what was shown; a reading is finite, and Good only within its range.

use super::{Outcome, Reached};
use crate::jmap::{CONTROL, Control, Order, STATUS, Status, symbols_csv, text};

/// Runs one case.
///
/// # Panics
/// If something was not understood the same way twice.
#[must_use]
pub fn run(case: &[u8]) -> Reached {
    let (first, rest) = case.split_first().map_or((0, case), |(first, rest)| (*first, rest));
    let order = Order { word_swap: first & 1 != 0, byte_swap: first & 2 != 0 };
    let (pairs, _) = rest.as_chunks::<2>();
    let words: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();

    let control = Control::decode(&words, order);
    assert_eq!(Control::decode(&control.encode(order), order), control, "a control block changed on the way");
    let status = Status::decode(&words, order);
    assert_eq!(Status::decode(&status.encode(order), order), status, "a status block changed on the way");
    for field in CONTROL.iter().chain(STATUS) {
        let whole = usize::from(field.register + field.width) <= words.len();
        assert_eq!(field.show(&words, order).is_some(), whole, "{} of {} registers", field.name, words.len());
    }
    if let Some(text) = text(&words, order) {
        assert!(!text.is_empty() && text.is_ascii() && !text.contains('\0'), "{text:?} is no text");
    }
    // Long, and the same but for the bases.
    if let [control, status] = words[..] {
        assert_eq!(symbols_csv(control, status).lines().count(), 1 + CONTROL.len() + STATUS.len());
    }
    let mut reached = Reached::default();
    reached.count(if words.iter().any(|word| *word != 0) { Outcome::Value } else { Outcome::Nothing });
    reached
}

/// Blocks as they travel.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let case = |order: u8, words: &[u16]| [vec![order], words.iter().flat_map(|word| word.to_be_bytes()).collect()].concat();
    let control =
        Control { trigger_enable: true, trigger: true, piece_seq: 0x0102_0304, serial: Some("SN-000123".to_owned()), ..Control::default() };
    let status = Status { run_permit: true, results_valid: true, pass: true, piece_seq_echo: 70_001, ..Status::default() };
    let swapped = Order { word_swap: true, byte_swap: true };
    vec![
        ("nothing", vec![]),
        ("control", case(0, &control.encode(Order::default()))),
        ("control-swapped", case(3, &control.encode(swapped))),
        ("control-head", case(0, &control.encode(Order::default())[..28])),
        ("status", case(0, &status.encode(Order::default()))),
        ("status-swapped", case(3, &status.encode(swapped))),
        ("two-words", case(0, &[40_000, 65_500])),
        ("ones", case(1, &[0xFFFF; 128])),
        ("zeros", case(2, &[0; 128])),
    ]
}
