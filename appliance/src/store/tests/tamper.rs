//! Somebody who can write every file and knows every format changes what was recorded: what a signature covers is found.

use super::*;
use crate::store::ledger::Ledger;
use crate::store::sign::{self, SIGNATURES};
use crate::store::verify::{Trust, VerifyReport, verify_with};
use vision_models::package::PublicKey;

/// Mutations in `make test`; `ROUNDS=1000` is the campaign.
const ROUNDS: u64 = 120;

struct Original {
    dir: tempfile::TempDir,
    entries: Vec<Entry>,
    key: PublicKey,
    /// Entries up to this one are signed.
    signed: usize,
}

fn original() -> Original {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut chain = Chain::new();
    for round in 0..12_i64 {
        store.keep(&chain.pieces(4)).unwrap();
        store.keep(&[chain.stop()]).unwrap();
        if round % 4 == 2 {
            store.sign(round * 1_000_000).unwrap();
        }
    }
    let entries = all(&store);
    let key = sign::own_key(dir.path()).unwrap();
    let up_to = verify_with(dir.path(), Trust { key: Some(key), signatures: None }).unwrap().signed.unwrap().up_to;
    Original { dir, entries, key, signed: usize::try_from(up_to).unwrap() }
}

/// Writes `entries` as a ledger that fits in itself: numbers, digests, piece records, checksums, witness.
fn forge(entries: &[Entry], dir: &Path) -> Vec<Entry> {
    let (mut ledger, _, _) = Ledger::open(&dir.join(LEDGER), SMALL.segment_bytes, walk::Head::default()).unwrap();
    let (mut previous, mut pieces, mut forged) = (Digest::default(), 0, Vec::new());
    for (number, entry) in (1..).zip(entries) {
        let mut entry = Entry { number: EntryNumber(number), previous, ..entry.clone() };
        if let Body::Piece(piece) = &mut entry.body {
            pieces += 1;
            piece.result_id = pieces;
        }
        previous = Entry::digest(previous, &entry.to_bytes().unwrap());
        forged.push(entry);
    }
    ledger.append(&forged).unwrap();
    forged
}

fn edit(entry: &mut Entry, dice: &mut Dice) {
    match &mut entry.body {
        Body::Piece(piece) if dice.below(2) == 0 => piece.judgement.grade ^= 1,
        Body::Piece(piece) => piece.latency_micros += 1,
        Body::Stopped(stop) => stop.detail.push('.'),
        _ => entry.at.wall_micros += 1,
    }
}

/// Changes the record within what is signed, and makes the chain anew. Says what was done.
fn change_the_record(entries: &mut Vec<Entry>, signed: usize, dice: &mut Dice) -> &'static str {
    let at = dice.below(signed);
    match dice.below(6) {
        0 | 1 => {
            edit(&mut entries[at], dice);
            "edited"
        }
        2 => {
            entries.remove(at);
            "deleted"
        }
        3 => {
            let other = (at + 1 + dice.below(signed - 1)) % signed;
            entries.swap(at, other);
            "reordered"
        }
        4 => {
            entries.insert(at, entries[dice.below(signed)].clone());
            "put in"
        }
        _ => {
            entries.truncate(at.max(1));
            "truncated"
        }
    }
}

/// Changes the signatures themselves. The last line may go unnoticed if it is cut off: see `sign.rs`.
fn change_the_signatures(path: &Path, dice: &mut Dice) -> Option<&'static str> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let at = dice.below(lines.len());
    let what = match dice.below(4) {
        0 => {
            let mut bytes = std::mem::take(&mut lines[at]).into_bytes();
            let place = dice.below(bytes.len());
            bytes[place] ^= 1;
            lines[at] = String::from_utf8(bytes).ok()?;
            "a signature edited"
        }
        1 => {
            lines.remove(dice.below(lines.len() - 1));
            "a signature taken out"
        }
        2 => {
            let other = 1 + dice.below(lines.len() - 1);
            lines.swap(0, other);
            "signatures reordered"
        }
        _ => {
            let again = lines[at].clone();
            lines.insert(at, again);
            "a signature put in again"
        }
    };
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
    Some(what)
}

fn check(dir: &Path, key: PublicKey, signatures: Option<&Path>) -> VerifyReport {
    verify_with(dir, Trust { key: Some(key), signatures }).unwrap()
}

#[test]
fn whatever_is_changed_below_a_signature_is_found() {
    let original = original();
    let rounds = std::env::var("ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let untouched = check(original.dir.path(), original.key, None);
    assert!(untouched.whole && untouched.signed.as_ref().is_some_and(|signed| signed.signatures == 3), "{untouched:?}");
    assert!(original.signed < original.entries.len(), "what came after the last signature is not covered yet");
    let copy = original.dir.path().join(SIGNATURES);
    let (mut done, mut unnoticed_by_the_chain) = (BTreeMap::<&str, u64>::new(), 0);
    for round in 0..rounds {
        let mut dice = Dice::new(round + 1);
        let dir = tempfile::tempdir().unwrap();
        let of_signatures = round % 5 == 4;
        let mut entries = original.entries.clone();
        let what = if of_signatures { "" } else { change_the_record(&mut entries, original.signed, &mut dice) };
        let forged = forge(&entries, dir.path());
        if !of_signatures && forged.get(..original.signed) == original.entries.get(..original.signed) {
            // Two entries that say the same changed places.
            continue;
        }
        let alone = verify::verify(dir.path()).unwrap();
        assert!(alone.whole && alone.signed.is_none(), "the forged chain fits in itself: {alone:?}");
        unnoticed_by_the_chain += u64::from(!of_signatures);
        std::fs::copy(&copy, dir.path().join(SIGNATURES)).unwrap();
        let what = if of_signatures {
            let Some(what) = change_the_signatures(&dir.path().join(SIGNATURES), &mut dice) else { continue };
            what
        } else {
            what
        };
        let report = check(dir.path(), original.key, None);
        assert!(!report.whole && report.first_fault.is_some(), "round {round}, {what}: {report:?}");
        *done.entry(what).or_default() += 1;
    }
    println!("{done:?}: all found; {unnoticed_by_the_chain} of them fitted in themselves and only a signature told");
    assert!(done.values().sum::<u64>() > rounds * 9 / 10 && done.len() == 9, "{done:?}");
}

#[test]
fn what_was_cut_off_with_its_signature_is_found_by_a_copy_kept_elsewhere() {
    let original = original();
    let dir = tempfile::tempdir().unwrap();
    drop(forge(&original.entries[..20], dir.path()));
    let text = std::fs::read_to_string(original.dir.path().join(SIGNATURES)).unwrap();
    let first = text.lines().next().unwrap();
    std::fs::write(dir.path().join(SIGNATURES), format!("{first}\n")).unwrap();
    assert!(check(dir.path(), original.key, None).whole, "nothing on this machine shows it");
    let report = check(dir.path(), original.key, Some(&original.dir.path().join(SIGNATURES)));
    assert!(!report.whole && report.faults.iter().all(|fault| fault.what.contains("the ledger ends at 20")), "{report:?}");
}

#[test]
fn another_key_s_signature_is_none_and_what_is_signed_is_not_signed_again() {
    let (original, other) = (original(), original());
    let report = check(original.dir.path(), other.key, None);
    assert!(!report.whole && report.signed.as_ref().is_some_and(|signed| signed.up_to == 0), "{report:?}");
    let (store, _) = open(original.dir.path());
    let last = store.sign(77).unwrap().unwrap();
    assert_eq!((last.number, store.sign(78).unwrap()), (60, Some(last.clone())), "a signature more would say nothing more");
    // A line that a kill cut short is no line.
    let path = original.dir.path().join(SIGNATURES);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.truncate(text.len() - 9);
    std::fs::write(&path, text).unwrap();
    assert!(!check(original.dir.path(), original.key, None).whole, "it says so");
    assert_eq!(store.sign(79).unwrap().map(|point| point.number), Some(60));
    let report = check(original.dir.path(), original.key, None);
    assert!(report.whole && report.signed.is_some_and(|signed| signed.up_to == 60), "signed anew");
}
