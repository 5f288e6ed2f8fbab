//! The line as it is heard: whole, torn, merged, broken, and with neighbours.

use super::*;
use proptest::prelude::*;

const US: u8 = 3;
const NOBODY: [u8; 0] = [];

fn read(unit: u8) -> Vec<u8> {
    frame(unit, &[3, 0, 0, 0, 10])
}

fn read_answer(unit: u8) -> Vec<u8> {
    frame(unit, &[&[3, 20][..], &[0x5A; 20]].concat())
}

fn write(unit: u8) -> Vec<u8> {
    frame(unit, &[16, 0, 0, 0, 2, 4, 0, 1, 0, 2])
}

/// Everything heard after these chunks, each with whether silence came before it.
fn heard(chunks: &[(&[u8], bool)], ended: bool) -> Vec<u8> {
    let mut ear = Ear::new(US);
    let mut units = Vec::new();
    for (bytes, silence) in chunks {
        ear.hear(bytes, *silence);
        units.extend(std::iter::from_fn(|| ear.next(false)).map(|frame| frame.unit));
    }
    if ended {
        units.extend(std::iter::from_fn(|| ear.next(true)).map(|frame| frame.unit));
        assert!(!ear.waits(), "something is kept after the silence");
    }
    units
}

/// Source: Modbus over Serial Line V1.02, appendix B, and worked examples all over the trade: 01 03 00 00 00 0A, C5 CD.
#[test]
fn the_check_sum_is_the_known_one() {
    assert_eq!(frame(1, &[3, 0, 0, 0, 10]), [1, 3, 0, 0, 0, 10, 0xC5, 0xCD]);
}

#[test]
fn a_frame_is_taken_when_it_is_whole() {
    let bytes = read(US);
    assert_eq!(heard(&[(&bytes, true)], false), [US]);
    for torn in 1..bytes.len() {
        assert_eq!(heard(&[(&bytes[..torn], true)], false), NOBODY);
        assert_eq!(heard(&[(&bytes[..torn], true)], true), NOBODY);
        for silence in [false, true] {
            assert_eq!(heard(&[(&bytes[..torn], true), (&bytes[torn..], silence)], false), [US], "an adapter tears frames apart");
        }
    }
}

#[test]
fn a_broken_check_sum_is_no_request_and_the_next_one_is() {
    let good = read(US);
    for flipped in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[flipped / 8] ^= 1 << (flipped % 8);
        assert_eq!(heard(&[(&bad, true)], true), NOBODY, "bit {flipped}");
        assert_eq!(heard(&[(&bad, true), (&good, true)], false), [US], "bit {flipped}");
    }
}

#[test]
fn neighbours_do_not_confuse() {
    let (other, theirs, ours) = (read(9), read_answer(9), read(US));
    assert_eq!(heard(&[(&other, true), (&theirs, true), (&ours, true)], false), [9, 9, US]);
    let merged = [other.clone(), theirs.clone(), ours.clone()].concat();
    assert_eq!(heard(&[(&merged, true)], false), [9, 9, US], "an adapter merges frames");
    for torn in 1..merged.len() {
        assert_eq!(heard(&[(&merged[..torn], true), (&merged[torn..], false)], false), [9, 9, US], "{torn}");
    }
    let writes = [write(9), frame(9, &[16, 0, 0, 0, 2]), frame(9, &[0x90, 2]), write(US)].concat();
    assert_eq!(heard(&[(&writes, true)], false), [9, 9, 9, US]);
    // A neighbour's long answer that contains a request to us, byte for byte.
    let payload = [&[3, 40][..], &[7; 16], &ours, &[7; 16]].concat();
    assert_eq!(heard(&[(&other, true), (&frame(9, &payload), true)], true), [9, 9]);
}

#[test]
fn nobody_answers_for_us() {
    // What reads as an answer of ours is an unfinished request to us.
    assert_eq!(heard(&[(&read_answer(US), true)], false), NOBODY);
    assert_eq!(heard(&[(&frame(US, &[16, 0, 0, 0, 2]), true), (&read(US), true)], false), [US]);
}

#[test]
fn a_function_of_unknown_length_ends_with_the_silence() {
    let diagnosis = frame(US, &[8, 0, 0, 0x12, 0x34]);
    assert_eq!(heard(&[(&diagnosis, true)], false), NOBODY);
    assert_eq!(heard(&[(&diagnosis, true)], true), [US]);
    assert_eq!(heard(&[(&[0, 0xFF], true), (&diagnosis, true)], true), [US], "noise before it");
}

proptest! {
    #[test]
    fn any_noise_is_survived_and_the_request_behind_a_silence_is_found(
        noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..6)
    ) {
        let mut ear = Ear::new(US);
        for chunk in &noise {
            ear.hear(chunk, true);
            while let Some(frame) = ear.next(false) {
                prop_assert!(frame.pdu.len() <= 253);
            }
            prop_assert!(ear.bytes.len() <= KEPT_MAX);
        }
        while ear.next(true).is_some() {}
        prop_assert!(!ear.waits());
        ear.hear(&read(US), true);
        prop_assert_eq!(ear.next(false), Some(Frame { unit: US, pdu: vec![3, 0, 0, 0, 10] }));
    }

    #[test]
    fn a_conversation_in_any_pieces_is_heard_whole(
        units in proptest::collection::vec(prop::sample::select(vec![US, 9, 17]), 1..12), cuts in proptest::collection::vec(1..40_usize, 1..20)
    ) {
        let conversation: Vec<u8> = units.iter().enumerate().flat_map(|(at, unit)| if at % 2 == 0 { read(*unit) } else { write(*unit) }).collect();
        let mut rest = conversation.as_slice();
        let mut chunks = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
            chunks.push((chunk, false));
            rest = tail;
        }
        prop_assert_eq!(heard(&chunks, false), units);
    }
}
