//! Another rubric over the pieces of a ledger, while the station that writes it is open. `RECORDS=100000` measures it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../src/upload/fixture.rs"]
mod fixture;

use appliance::config::rubric::Document;
use appliance::grading::regrade::{Question, regrade};
use appliance::grading::{Period, ledger, lots};
use appliance::store::{Store, StoreSettings};
use fixture::{NOON, mixed, started};
use station::inspection::{ClassId, Finding, PixelBox};
use station::record::{Body, Entry, EntryNumber, PieceRecord};
use station::units::{Digest, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Pieces with a short of 1 to 5 mm each, at a tenth of a millimetre per pixel; every fifth was not looked at.
const RUBRIC: &str = r#"format = 1
name = "boards"
version = 4
effective_from = 2026-11-01
signed_off_by = "A. Tanaka"
signed_off_on = 2026-10-30
verdict = "grade"
grades = ["A", "B"]
below = "scrap"

[millimetres_per_pixel]
every_camera = 0.1

[[factor]]
name = "shorts"
kind = "count"
classes = ["short"]
size = "length"
unit = "mm"
larger_than = 1.0
at_most = { A = 0, B = 1 }

[[factor]]
name = "paste"
kind = "limit"
reading = "paste_height"
unit = "um"
at_most = { A = 150.0, B = 160.0 }

[lot]
pieces_min = 10
below = "refused"

[[lot.grade]]
grade = "good"

[[lot.grade.share]]
of = ["scrap", "cannot judge"]
at_most_percent = 25.0

[sampling]
aql = 10
level = "II"
nonconforming = ["scrap"]

[worth]
currency = "EUR"
per_piece = { A = 2.0, B = 1.0, scrap = 0.0, "below B" = 0.0 }
"#;

fn with_findings(mut piece: PieceRecord) -> PieceRecord {
    let side = if piece.result_id.is_multiple_of(2) { 8.0 } else { 20.0 };
    if let Some(inspection) = &mut piece.inspection {
        let bounds = PixelBox { x1: 10.0, y1: 10.0, x2: 10.0 + side, y2: 14.0 };
        Arc::make_mut(inspection).findings = vec![Finding { class: ClassId(2), score: 0.9, bounds, area_mm2: None, camera: 0 }];
    }
    piece
}

/// A store with a start and so many pieces, still open.
fn store(dir: &Path, pieces: u64) -> Store {
    let (store, _) = Store::open(dir, StoreSettings { segment_bytes: 1 << 20, ..StoreSettings::default() }).unwrap();
    let mut previous = Digest::default();
    let mut chained = |number: u64, at: Timestamp, body: Body| {
        let entry = Entry { number: EntryNumber(number), at, previous, body };
        previous = Entry::digest(previous, &entry.to_bytes().unwrap());
        entry
    };
    let mut batch = vec![chained(1, Timestamp { wall_micros: NOON, mono_micros: 0 }, Body::Started(Box::new(started())))];
    for number in 1..=pieces {
        let piece = with_findings(mixed(number));
        batch.push(chained(number + 1, piece.arrived_at, Body::Piece(Box::new(piece))));
        if batch.len() >= 2000 || number == pieces {
            store.keep(&batch).unwrap();
            batch.clear();
        }
    }
    store
}

fn records() -> u64 {
    std::env::var("RECORDS").map_or(500, |count| count.parse().expect("RECORDS is a number"))
}

#[test]
fn a_new_rubric_over_an_open_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = records() / 10 * 10;
    let _running = store(folder.path(), pieces);
    let document = Document::parse("boards.toml", RUBRIC).unwrap();
    let worth = document.worth.as_ref().map(|worth| (worth, Path::new("boards.toml")));
    let all = Question { data: folder.path(), document: &document, period: Period::default(), worth, list: 3 };
    let (begin, mut told_of) = (Instant::now(), 0);
    let told = regrade(&all, &mut |entry, _| told_of = entry).unwrap();
    println!("{pieces} pieces graded anew in {:.2} s", begin.elapsed().as_secs_f64());
    // Of ten in a row two are holds, two rejects (below B) and six passes (A); odd ones have a short of 2 mm, which is a B now.
    let tens = pieces / 10;
    assert_eq!((told.pieces, told.not_inspected, told.damaged), (8 * tens, 2 * tens, 0));
    assert_eq!(
        (told.old_grades.clone(), told.new_grades.clone()),
        (["A", "B", "below B"].map(str::to_owned).to_vec(), ["A", "B", "scrap", "cannot judge"].map(str::to_owned).to_vec())
    );
    assert_eq!(told.matrix, [[3 * tens, 3 * tens, 0, 0], [0; 4], [tens, tens, 0, 0]]);
    assert_eq!((told.changed, told.pass_to_reject, told.reject_to_pass), (5 * tens, 0, 2 * tens));
    assert_eq!(told.list.len(), 3);
    assert_eq!((told.list[0].result_id, &*told.list[0].old, &*told.list[0].new), (1, "A", "B"));
    assert_eq!(told.list[0].because, ["shorts: 1 × short (2 mm); A admits at most 0"]);
    let cost = told.cost.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a count of tens")]
    let tens_worth = tens as f64;
    assert_eq!((cost.before, cost.after, cost.difference), (12.0 * tens_worth, 12.0 * tens_worth, 0.0));
    assert!(told.warnings.is_empty() && told_of <= pieces + 1, "{:?}", told.warnings);
    // Pieces 11 to 20, one a second.
    let period = Period { from: NOON + 11_000_000, until: NOON + 21_000_000 };
    let part = regrade(&Question { period, ..all }, &mut |_, _| {}).unwrap();
    assert_eq!((part.pieces, part.not_inspected), (8, 2));
}

#[test]
fn what_cannot_be_answered_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let document = Document::parse("boards.toml", RUBRIC).unwrap();
    let all = Question { data: folder.path(), document: &document, period: Period::default(), worth: None, list: 3 };
    let none = regrade(&all, &mut |_, _| {}).unwrap_err().to_string();
    assert!(none.contains("there is no ledger here (mend: "), "{none}");
    let running = store(folder.path(), 20);
    let bare = Document::parse("boards.toml", &RUBRIC.replace(", \"below B\" = 0.0", "")).unwrap();
    let worth = bare.worth.as_ref().map(|worth| (worth, Path::new("boards.toml")));
    let no_worth = regrade(&Question { document: &bare, worth, ..all }, &mut |_, _| {}).unwrap_err().to_string();
    assert_eq!(no_worth, "boards.toml: nothing says what a piece of grade below B is worth (mend: add \"below B\" = … to `per_piece`)");
    let strange = Document::parse("boards.toml", &RUBRIC.replace("[\"short\"]", "[\"shorts\"]")).unwrap();
    let told = regrade(&Question { document: &strange, ..all }, &mut |_, _| {}).unwrap();
    assert_eq!(told.warnings, ["boards.toml:17: factor[1].classes: the model package has no class shorts (mend: did you mean `short`?)"]);
    assert_eq!(told.matrix.iter().map(|row| row[3]).sum::<u64>(), 16, "none may be graded by a class that the model does not know");
    // A damaged entry is left out and counted.
    drop(running);
    let segment = folder.path().join("ledger/00000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&segment, bytes).unwrap();
    let told = regrade(&all, &mut |_, _| {}).unwrap();
    assert_eq!((told.damaged, told.pieces + told.not_inspected), (1, 19));
}

#[test]
fn lots_of_a_ledger_and_the_reason_of_one_piece() {
    let folder = tempfile::tempdir().unwrap();
    let _running = store(folder.path(), 40);
    let document = Document::parse("boards.toml", RUBRIC).unwrap();
    let scheme = document.rubric.scheme.clone().unwrap();
    let told = lots::grade(folder.path(), &document, &scheme, Period::default(), &mut |_, _| {}).unwrap();
    let lot = &told.lots[0];
    assert_eq!((lot.lot, lot.pieces, told.lots.len()), (77, 40, 1));
    // Eight pieces that nobody looked at cannot be judged: 20 %.
    assert_eq!(lot.grades, [("A".to_owned(), 16), ("B".to_owned(), 16), ("cannot judge".to_owned(), 8)]);
    assert_eq!(lot.grade.as_ref().unwrap().grade, "good");
    // 40 pieces, level II: letter D, 8 pieces, accept 2 at an AQL of 10; among the first eight one was not looked at.
    let said = "normal inspection, letter D: 1 of 8 pieces nonconforming, accepted up to 2: accepted";
    assert_eq!((lot.sampling.as_deref(), told.next), (Some(said), Some("normal")));
    let (recipe, record) = ledger::find(folder.path(), 3).unwrap().unwrap();
    assert_eq!((record.result_id, recipe.rubric.version), (3, 3));
    assert!(ledger::find(folder.path(), 41).unwrap().is_none());
}
