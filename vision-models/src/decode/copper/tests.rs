//! Small boards of two traces, and what strokes on them are called.

use super::*;
use crate::package::{Grid, Head};
use crate::prepare::tests::{geometry, layout};
use proptest::prelude::*;

const SIDE: usize = 64;
const NAMES: [&str; 6] = ["cut", "bite", "hole", "bridge", "bump", "island"];
const CUT: u8 = 1;
const BITE: u8 = 2;
const HOLE: u8 = 3;
const BRIDGE: u8 = 4;
const BUMP: u8 = 5;
const ISLAND: u8 = 6;
/// A class of which nothing is known.
const STAIN: u8 = 7;

/// Left, top, right and bottom, without right and bottom.
type Patch = [usize; 4];

/// Two traces from left to right.
const TRACES: [Patch; 2] = [[0, 10, 64, 20], [0, 30, 64, 40]];

fn namer() -> Namer {
    let [cut, bite, hole, bridge, bump, island] = NAMES.map(str::to_owned);
    let copper = Copper { level: 128, margin: 4, crumb_pixels: 32, cut, bite, hole, bridge, bump, island };
    let head = Head::Grid(Grid { scores: "prob".to_owned(), boxes: "ltrb".to_owned(), stride: 8 });
    let rules = Boxes { floor: 0.1, nms_iou: 0.5, nms_iou_across_classes: 0.7, findings_max: 50, copper: Some(copper.clone()), head };
    let classes = NAMES.into_iter().chain(["stain"]).map(|name| ClassEntry { name: name.to_owned(), threshold: 0.5 });
    Namer::new(&rules, &copper, &classes.collect::<Vec<_>>(), &layout()).unwrap()
}

fn with(mut picture: Vec<f32>, patches: &[Patch], value: f32) -> Vec<f32> {
    for [left, top, right, bottom] in patches {
        (*top..*bottom).for_each(|y| picture[y * SIDE + left..y * SIDE + right].fill(value));
    }
    picture
}

/// A piece with copper added or taken away, and then its golden picture.
fn board(copper: &[Patch], added: &[Patch], taken: &[Patch]) -> Vec<f32> {
    let golden = with(vec![1.0; SIDE * SIDE], copper, 0.0);
    let mut planes = with(with(golden.clone(), added, 0.0), taken, 1.0);
    planes.extend(golden);
    planes
}

fn finding(class: u8, score: f32, [x1, y1, x2, y2]: [f32; 4]) -> Finding {
    Finding { class: ClassId(class), score, bounds: PixelBox { x1, y1, x2, y2 }, area_mm2: None, camera: 0 }
}

fn named(planes: &[f32], found: Vec<Finding>) -> Vec<Finding> {
    namer().name(found, &geometry((64, 64), &layout()), planes)
}

/// The name of the one fault around (31, 22) if the model calls it `said`.
fn one(planes: &[f32], said: u8) -> u8 {
    let before = finding(said, 0.8, [18.0, 5.0, 46.0, 42.0]);
    let after = named(planes, vec![before]);
    assert_eq!(after.len(), 1);
    assert_eq!((after[0].score, after[0].bounds, after[0].area_mm2), (before.score, before.bounds, before.area_mm2));
    after[0].class.0
}

#[test]
fn a_fault_is_called_what_it_does_to_the_copper() {
    let added = |patch| board(&TRACES, &[patch], &[]);
    let taken = |patch| board(&TRACES, &[], &[patch]);
    let cases = [
        (added([28, 20, 32, 30]), [BUMP, ISLAND, BRIDGE], BRIDGE),
        (added([28, 20, 34, 26]), [BRIDGE, ISLAND, BUMP], BUMP),
        (added([28, 23, 34, 27]), [BRIDGE, BUMP, ISLAND], ISLAND),
        (taken([28, 10, 34, 20]), [BITE, HOLE, CUT], CUT),
        (taken([28, 10, 34, 16]), [CUT, HOLE, BITE], BITE),
        (taken([28, 13, 34, 17]), [CUT, BITE, HOLE], HOLE),
    ];
    for (planes, said, want) in cases {
        assert_eq!(said.map(|said| one(&planes, said)), [want; 3]);
    }
}

#[test]
fn copper_on_both_sides_of_one_trace_joins_nothing() {
    let trace = [[28, 0, 36, 64]];
    assert_eq!(one(&board(&trace, &[[22, 20, 42, 26]], &[]), BRIDGE), BUMP);
    // Beyond the finding the golden picture counts: another fault there does not make this one a bridge.
    let other = [[22, 20, 42, 26], [0, 54, 28, 58]];
    assert_eq!(one(&board(&trace, &other, &[]), BRIDGE), BUMP);
}

#[test]
fn where_one_pixel_decides_the_model_has_its_say() {
    let nearly_cut = board(&TRACES, &[], &[[28, 10, 34, 19]]);
    assert_eq!([CUT, BITE, HOLE].map(|said| one(&nearly_cut, said)), [CUT, BITE, BITE]);
    let nearly_joined = board(&TRACES, &[[28, 20, 34, 29]], &[]);
    assert_eq!([BRIDGE, BUMP, ISLAND].map(|said| one(&nearly_joined, said)), [BRIDGE, BUMP, BUMP]);
}

#[test]
fn a_crumb_is_no_piece() {
    let pad = [[10, 0, 54, 48]];
    // A ring of bare board around copper: 4 x 4 pixels of it are a crumb, 10 x 10 are a piece.
    let ring = |crumb: Patch| with(board(&pad, &[], &[[20, 14, 40, 34]]), &[crumb], 0.0);
    assert_eq!(one(&ring([28, 22, 32, 26]), CUT), HOLE);
    assert_eq!(one(&ring([25, 19, 35, 29]), HOLE), CUT);
}

#[test]
fn what_is_no_fault_of_the_copper_keeps_its_name() {
    let bridge = board(&TRACES, &[[28, 20, 32, 30]], &[]);
    assert_eq!(one(&bridge, STAIN), STAIN, "a class that the copper says nothing about");
    assert_eq!([CUT, BITE, HOLE].map(|said| one(&bridge, said)), [CUT, BITE, HOLE], "copper is too much, none is missing");
    let nothing = board(&TRACES, &[], &[]);
    // A trace that lies a pixel lower differs along all of its edges, and nowhere by more than a pixel.
    let off = board(&TRACES, &[[0, 20, 64, 21], [0, 40, 64, 41]], &[[0, 10, 64, 11], [0, 30, 64, 31]]);
    for said in [CUT, BITE, HOLE, BRIDGE, BUMP, ISLAND] {
        assert_eq!([one(&nothing, said), one(&off, said)], [said; 2]);
    }
}

#[test]
fn of_two_findings_that_turn_out_to_be_one_the_better_stays() {
    let planes = board(&TRACES, &[[28, 20, 32, 30]], &[]);
    let found = vec![finding(BRIDGE, 0.6, [20.0, 12.0, 40.0, 38.0]), finding(BUMP, 0.8, [20.0, 14.0, 42.0, 44.0])];
    // They overlap by 0.65: too little to be one fault of two classes, enough to be one of one class.
    assert_eq!(named(&planes, found), [finding(BRIDGE, 0.8, [20.0, 14.0, 42.0, 44.0])]);
}

#[test]
fn a_frame_that_was_made_smaller_is_looked_up_where_it_is() {
    let planes = board(&TRACES, &[[28, 20, 32, 30]], &[]);
    let found = vec![finding(BUMP, 0.8, [36.0, 20.0, 92.0, 76.0])];
    let named = namer().name(found, &geometry((128, 128), &layout()), &planes);
    assert_eq!(named, [finding(BRIDGE, 0.8, [36.0, 20.0, 92.0, 76.0])]);
}

#[test]
fn a_frame_full_of_findings_costs_no_more_than_its_pixels() {
    let planes = board(&TRACES, &[[28, 20, 32, 30]], &[]);
    let found = vec![finding(BUMP, 0.9, [0.0, 0.0, 64.0, 64.0]), finding(ISLAND, 0.8, [18.0, 5.0, 46.0, 42.0])];
    let classes: Vec<u8> = named(&planes, found).iter().map(|finding| finding.class.0).collect();
    assert_eq!(classes, [BRIDGE, ISLAND], "the second keeps its name: the first was as large as the frame");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the pictures and the findings are: a finding stays where it is, on its side of too much and missing.
    #[test]
    fn any_picture_gives_names_and_nothing_else(
        pixels in proptest::collection::vec(prop_oneof![4 => 0.0..1.0_f32, 1 => proptest::sample::select(vec![f32::NAN, f32::INFINITY, -9.0])], 2 * 64 * 32),
        found in proptest::collection::vec((1..=7_u8, 0.1..1.0_f32, 0.0..63.0_f32, 0.0..31.0_f32, 1.0..40.0_f32, 1.0..20.0_f32), 0..12),
    ) {
        let mut found: Vec<Finding> = found.into_iter().map(|(class, score, x, y, wide, high)| {
            finding(class, score, [x, y, (x + wide).min(64.0), (y + high).min(32.0)])
        }).collect();
        found.sort_by(super::super::order);
        let after = namer().name(found.clone(), &geometry((64, 32), &layout()), &pixels);
        prop_assert!(after.is_sorted_by(|a, b| a.score >= b.score));
        for finding in &after {
            let missing = |class: ClassId| (class.0 - 1) / 3;
            let same = |before: &&Finding| before.bounds == finding.bounds && before.score.to_bits() == finding.score.to_bits();
            prop_assert!(found.iter().filter(same).any(|before| missing(before.class) == missing(finding.class)));
        }
    }
}
