//! Flipped bits, zeroed blocks, cut and deleted files at seeded places: found, never served, and everything else still there.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const CASES: u64 = 200;
const VIEW_CASES: u64 = 40;

struct Original {
    dir: tempfile::TempDir,
    entries: BTreeMap<u64, Entry>,
    /// File, first byte, first byte after, number of every frame.
    frames: Vec<(PathBuf, usize, usize, u64)>,
}

fn original() -> Original {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut chain = Chain::new();
    for round in 0..30 {
        store.keep(&chain.pieces(1 + round % 7)).unwrap();
        store.keep(&[chain.stop()]).unwrap();
        if round % 8 == 3 {
            store.keep(&[chain.checkpoint()]).unwrap();
        }
    }
    let outbox = store.outbox("trace").unwrap();
    outbox.delivered(&(1..=40).collect::<Vec<_>>()).unwrap();
    outbox.quarantine(41, "no such product").unwrap();
    let entries = all(&store).into_iter().map(|entry| (entry.number.0, entry)).collect();
    drop((store, outbox));
    let mut frames = Vec::new();
    for path in files(&dir.path().join(LEDGER)) {
        let bytes = std::fs::read(&path).unwrap();
        let found =
            segment::parts(&bytes).into_iter().filter_map(|part| if let segment::Part::Frame(frame) = part { Some(frame) } else { None });
        let name = PathBuf::from(path.file_name().unwrap());
        frames.extend(found.filter(|_| path.extension().is_some()).map(|frame| (name.clone(), frame.offset, frame.end(), frame.number.0)));
    }
    Original { dir, entries, frames }
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    out.sort();
    out
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in files(from) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Damages a file. Gives back the bytes that are no longer what they were; `None` if nothing changed.
pub fn damage(path: &Path, dice: &mut Dice) -> Option<(usize, usize)> {
    let before = std::fs::read(path).unwrap();
    let (kind, at) = (dice.below(12), dice.below(before.len().max(1)));
    let mut after = before.clone();
    let range = match kind {
        0..=5 if !before.is_empty() => {
            after[at] ^= 1 << dice.below(8);
            (at, at + 1)
        }
        6..=8 => {
            let to = (at + 1 + dice.below(4096)).min(before.len());
            after[at..to].fill(0);
            (at, to)
        }
        9..=10 => {
            after.truncate(at);
            (at, before.len())
        }
        _ => {
            std::fs::remove_file(path).unwrap();
            return Some((0, before.len()));
        }
    };
    std::fs::write(path, &after).unwrap();
    (after != before).then_some(range)
}

#[test]
fn damage_to_the_ledger_is_found_and_costs_only_what_it_hit() {
    let original = original();
    let head = *original.entries.last_key_value().unwrap().0;
    let mut damaged = 0;
    for case in 0..CASES {
        let mut dice = Dice::new(case + 1);
        let dir = tempfile::tempdir().unwrap();
        copy(&original.dir.path().join(LEDGER), &dir.path().join(LEDGER));
        if case % 2 == 0 {
            copy(&original.dir.path().join(VIEW), &dir.path().join(VIEW));
        }
        let choice = files(&dir.path().join(LEDGER));
        let segments: Vec<_> = choice.iter().filter(|path| path.extension().is_some()).collect();
        let path = segments[dice.below(segments.len())];
        let Some((from, to)) = damage(path, &mut dice) else { continue };
        damaged += 1;
        let name = Path::new(path.file_name().unwrap());
        let hit: BTreeSet<u64> =
            original.frames.iter().filter(|frame| frame.0 == name && frame.1 < to && from < frame.2).map(|frame| frame.3).collect();

        let report = verify::verify(dir.path()).unwrap();
        assert!(!report.whole && report.fault_count > 0, "case {case}: {name:?} {from}..{to}: {report:?}");
        assert_named(&report, &hit, case);
        let (store, _) = open(dir.path());
        let served = all(&store);
        for entry in &served {
            assert_eq!(original.entries.get(&entry.number.0), Some(entry), "case {case}");
        }
        let served: BTreeSet<u64> = served.iter().map(|entry| entry.number.0).collect();
        let expected: BTreeSet<u64> = original.entries.keys().copied().filter(|number| !hit.contains(number)).collect();
        assert_eq!(served, expected, "case {case}: {name:?} {from}..{to}");

        let mut chain = Chain::after(&store.resume());
        assert_eq!((chain.number, chain.results), (head, store.pieces()), "case {case}");
        store.keep(&chain.pieces(2)).unwrap();
        drop(store);
        let (store, _) = open(dir.path());
        assert_eq!(all(&store).len(), expected.len() + 2, "case {case}");
        let again = verify::verify(dir.path()).unwrap();
        assert!(!again.whole, "case {case}");
        assert_named(&again, &hit, case);
    }
    assert!(damaged > CASES * 9 / 10, "{damaged} of {CASES} cases changed something");
}

fn assert_named(report: &verify::VerifyReport, lost: &BTreeSet<u64>, case: u64) {
    for number in lost {
        let names_it = |fault: &walk::Fault| (fault.first_entry..=fault.last_entry).contains(number);
        assert!(report.faults.iter().any(names_it), "case {case}: entry {number} is lost and not named: {report:?}");
    }
}

#[test]
fn damage_to_the_view_costs_nothing() {
    let original = original();
    let (mut rebuilt, mut pieces) = (0, 0);
    for case in 0..VIEW_CASES {
        let mut dice = Dice::new(1000 + case);
        let dir = tempfile::tempdir().unwrap();
        copy(original.dir.path(), dir.path());
        let view = dir.path().join(VIEW);
        match case % 8 {
            0 => std::fs::remove_dir_all(&view).unwrap(),
            1 => std::fs::remove_file(view.join("db")).unwrap(),
            _ => {
                let choice: Vec<_> = files(&view).into_iter().filter(|path| path.is_file()).collect();
                damage(&choice[dice.below(choice.len())], &mut dice);
            }
        }
        let (store, report) = open(dir.path());
        assert!(report.ledger.faults.is_empty() && report.view.missing.is_none(), "case {case}: {report:?}");
        rebuilt += usize::from(report.view.rebuilt.is_some());
        // A view may be found wrong only when it is asked; then it is closed, and the next opening builds it again.
        if (1..=store.pieces()).any(|id| store.piece(id).is_err()) {
            drop(store);
            let (store, report) = open(dir.path());
            assert!(report.view.rebuilt.is_some(), "case {case}: {report:?}");
            check(&original, &store, case);
            rebuilt += 1;
        } else {
            check(&original, &store, case);
        }
        pieces += 1;
    }
    assert!(rebuilt > 5, "{rebuilt} of {pieces} damaged views were built again");
}

fn check(original: &Original, store: &Store, case: u64) {
    for entry in original.entries.values() {
        let Some(id) = piece_number(entry) else { continue };
        assert_eq!(store.piece(id).unwrap().as_ref(), Some(entry), "case {case}");
    }
    let outbox = store.outbox("trace").unwrap();
    let counts = outbox.counts();
    assert_eq!(counts.kept, counts.delivered + counts.waiting + counts.quarantined, "case {case}");
    assert_eq!((counts.delivered, counts.quarantined), (40, 1), "case {case}: the mark remembers what the view forgot");
    assert_eq!(outbox.next(1).unwrap()[0].result_id, 42, "case {case}");
}

#[test]
fn another_ledgers_view_is_not_believed() {
    let original = original();
    let other = tempfile::tempdir().unwrap();
    let (store, _) = open(other.path());
    let mut chain = Chain::new();
    store.keep(&[chain.stop()]).unwrap();
    store.keep(&chain.pieces(20)).unwrap();
    drop(store);
    std::fs::remove_dir_all(original.dir.path().join(VIEW)).unwrap();
    copy(&other.path().join(VIEW), &original.dir.path().join(VIEW));
    let (store, report) = open(original.dir.path());
    assert!(report.view.rebuilt.is_some_and(|why| why.contains("disagreed")));
    check(&original, &store, 0);
}

#[test]
fn a_view_that_never_came_back_from_opening_is_set_aside() {
    let original = original();
    std::fs::write(original.dir.path().join("view.opening"), "2").unwrap();
    let (store, report) = open(original.dir.path());
    assert!(report.view.rebuilt.is_some() && report.view.set_aside.is_some(), "{report:?}");
    check(&original, &store, 0);
    store.rebuild_view().unwrap();
    check(&original, &store, 1);
    drop(store);
    assert!(open(original.dir.path()).1.view.rebuilt.is_none());
}
