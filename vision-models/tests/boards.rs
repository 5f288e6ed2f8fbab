//! Drawn boards: the same on every machine, and bad exactly where they say they are.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use station::piece::PieceId;
use station::units::Digest;
use std::collections::BTreeSet;
use vision_models::boards::{BoardSettings, Boards, Kind, SIDE, TRUTH_MARGIN};

fn boards(seed: u64, bad_share: f32) -> Boards {
    Boards::new(BoardSettings { seed, bad_share, ..BoardSettings::default() }).unwrap()
}

fn drawn(boards: &Boards, piece: u32) -> Vec<u8> {
    let mut pixels = vec![0; SIDE * SIDE];
    boards.draw(PieceId(piece), &mut pixels);
    pixels
}

#[test]
fn a_board_depends_on_seed_and_piece_alone() {
    let (one, two, other) = (boards(5, 0.5), boards(5, 0.5), boards(6, 0.5));
    // In another order, by another generator: the same pixels.
    let forwards: Vec<_> = (1..=6).map(|piece| Digest::of(&drawn(&one, piece))).collect();
    let mut backwards: Vec<_> = (1..=6).rev().map(|piece| Digest::of(&drawn(&two, piece))).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let all: BTreeSet<_> = forwards.iter().copied().chain((1..=6).map(|piece| Digest::of(&drawn(&other, piece)))).collect();
    assert_eq!(all.len(), 12, "every board differs from every other");
}

/// Recompute after a change of the generator: it is the same on x86-64 and ARM64, or two machines would not agree on a replay.
#[test]
fn the_pixels_of_one_board_are_known() {
    let digest = Digest::of(&drawn(&boards(7, 1.0), 3));
    assert_eq!(digest.to_string(), "db71eb59e17750ebdb43f19d0c80a960017d72affa3fe819d8b63a5b76f73d4b");
}

#[test]
fn a_board_differs_from_its_faultless_self_inside_its_truth_boxes_and_only_there() {
    let boards = boards(31, 1.0);
    let mut faultless = vec![0; SIDE * SIDE];
    for piece in 1..=25 {
        let test = drawn(&boards, piece);
        boards.draw_faultless(PieceId(piece), &mut faultless);
        let truth = boards.truth(PieceId(piece));
        assert!(!truth.is_empty(), "a bad board has at least one fault");
        let mut touched = vec![[f32::MAX, f32::MAX, f32::MIN, f32::MIN]; truth.len()];
        for (index, _) in test.iter().zip(&faultless).enumerate().filter(|(_, (a, b))| a != b) {
            let at = |n: usize| f32::from(u16::try_from(n).unwrap());
            let (x, y) = (at(index % SIDE), at(index / SIDE));
            let holder = truth.iter().position(|fault| {
                let b = fault.bounds;
                (b.x1..b.x2).contains(&x) && (b.y1..b.y2).contains(&y)
            });
            let holder = holder.unwrap_or_else(|| panic!("piece {piece} differs at {x},{y} outside of {truth:?}"));
            let t = &mut touched[holder];
            *t = [t[0].min(x), t[1].min(y), t[2].max(x + 1.0), t[3].max(y + 1.0)];
        }
        for (fault, t) in truth.iter().zip(&touched) {
            let b = fault.bounds;
            let exact = [t[0] - b.x1, t[1] - b.y1, b.x2 - t[2], b.y2 - t[3]];
            // Grey levels are rounded, so the outermost pixel of a soft edge may not differ.
            assert!(exact.iter().all(|gap| (gap - TRUTH_MARGIN).abs() <= 1.0), "piece {piece}: {fault:?} {t:?}");
        }
    }
}

#[test]
fn good_boards_differ_from_their_golden_board_by_little_and_bad_ones_have_all_kinds() {
    let good = boards(9, 0.0);
    for piece in 1..=12 {
        assert!(good.truth(PieceId(piece)).is_empty());
        let pixels = drawn(&good, piece);
        let golden = good.golden(PieceId(piece));
        let flipped = pixels.iter().zip(golden.pixels()).filter(|(a, b)| (**a > 127) != (**b > 127)).count();
        let share = flipped * 1000 / pixels.len();
        assert!((1..=40).contains(&share), "piece {piece}: {share} per mille of the pixels differ");
    }
    let bad = boards(9, 1.0);
    let kinds: BTreeSet<_> = (1..=60).flat_map(|piece| bad.truth(PieceId(piece))).map(|fault| fault.class.0).collect();
    assert_eq!(kinds, Kind::ALL.iter().map(|kind| kind.class()).collect());
    let mixed = boards(2, 0.1);
    let share = (1..=400).filter(|piece| mixed.truth(PieceId(*piece)).is_empty()).count();
    assert!((340..=380).contains(&share), "{share} of 400 boards are good at a share of 0.1 bad ones");
}
