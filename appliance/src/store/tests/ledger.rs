//! The ledger by itself: what it refuses, and what a failed sync or a torn write does to it.

use super::*;
use crate::store::ledger::failing;
use std::os::unix::fs::FileExt as _;

fn ledger_files(dir: &Path) -> Vec<PathBuf> {
    let ledger = dir.join(LEDGER);
    segment::ordinals(&ledger).unwrap().into_iter().map(|ordinal| segment::path(&ledger, ordinal)).collect()
}

#[test]
fn an_entry_that_does_not_continue_the_chain_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut chain = Chain::new();
    store.keep(&chain.pieces(3)).unwrap();
    let mut forked = chain.clone();
    forked.digest = Digest([7; 32]);
    let mut skipped = chain.clone();
    skipped.number += 1;
    let mut again = chain.clone();
    again.results -= 1;
    for wrong in [vec![forked.piece()], vec![skipped.piece()], vec![again.piece()], vec![chain.clone().piece(), chain.clone().piece()]] {
        let refused = store.keep(&wrong).unwrap_err();
        assert!(!refused.is_retryable(), "{refused}");
    }
    let mut infinite = chain.clone().piece();
    if let Body::Piece(piece) = &mut infinite.body {
        piece.points = vec![station::record::ChartPoint {
            chart: 1,
            index: 1,
            value: f64::INFINITY,
            range: None,
            centre: None,
            lcl: None,
            ucl: None,
            signals: Vec::new(),
        }];
    }
    assert!(matches!(store.keep(&[infinite]), Err(StoreError::Ledger(LedgerError::Unreadable { number: 4 }))));
    assert_eq!(store.keep(&[chain.piece()]).unwrap(), EntryNumber(4));
    assert_eq!(store.keep::<Entry>(&[]).unwrap(), EntryNumber(4));
    assert_eq!(all(&store).len(), 4);
}

#[test]
fn after_a_failed_sync_the_frames_go_to_a_new_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut chain = Chain::new();
    store.keep(&chain.pieces(2)).unwrap();
    let before = std::fs::read(&ledger_files(dir.path())[0]).unwrap();
    failing::next_syncs(1);
    let batch = chain.pieces(3);
    assert_eq!(store.keep(&batch).unwrap(), EntryNumber(5));
    let files = ledger_files(dir.path());
    assert_eq!(files.len(), 2);
    assert_eq!(std::fs::read(&files[0]).unwrap(), before, "the sealed segment holds what was durable and nothing else");

    failing::next_syncs(2);
    let batch = chain.pieces(3);
    let refused = store.keep(&batch).unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert_eq!(store.keep(&batch).unwrap(), EntryNumber(8));
    assert_eq!(ledger_files(dir.path()).len(), 3, "a segment whose sync failed is not written again, not even after a pause");
    assert_eq!(all(&store).len(), 8);
    assert_eq!(store.pieces(), 8);
    drop(store);
    assert!(verify::verify(dir.path()).unwrap().whole);
    let (store, report) = open(dir.path());
    assert!(report.warnings().is_empty(), "{report:?}");
    assert_eq!(all(&store).len(), 8);
}

#[test]
fn what_was_written_twice_counts_once() {
    // The frames of a failed sync could not be cut off: the new segment's first number voids them.
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut chain = Chain::new();
    store.keep(&chain.pieces(2)).unwrap();
    failing::next_syncs(1);
    store.keep(&chain.pieces(2)).unwrap();
    drop(store);
    let files = ledger_files(dir.path());
    let (old, new) = (std::fs::read(&files[0]).unwrap(), std::fs::read(&files[1]).unwrap());
    let whole_then_torn = new[segment::HEADER_LEN..new.len() - 9].to_vec();
    std::fs::write(&files[0], [old, whole_then_torn].concat()).unwrap();
    let report = verify::verify(dir.path()).unwrap();
    assert!(report.whole && report.entries == 4, "{report:?}");
    assert_eq!(all(&open(dir.path()).0).len(), 4);
}

#[test]
fn a_torn_end_is_cut_off_and_an_acknowledged_one_is_reported() {
    let mut dice = Dice::new(11);
    for case in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        let mut chain = Chain::new();
        store.keep(&chain.pieces(3)).unwrap();
        drop(store);
        // As a kill or a power cut leaves it: part of the next append, perhaps with pages that never reached the disk.
        let path = &ledger_files(dir.path())[0];
        let whole = std::fs::metadata(path).unwrap().len();
        let mut frames = Vec::new();
        let settled = EntryNumber(chain.number);
        for entry in chain.clone().pieces(3) {
            let payload = entry.to_bytes().unwrap();
            let digest = Entry::digest(entry.previous, &payload);
            segment::Frame::encode(&mut frames, entry.number, settled, segment::Kind::Piece, digest, &payload);
        }
        let first = segment::Frame::decode(&frames, 0).unwrap().end();
        let cut = 1 + dice.below(first - 1);
        match case % 3 {
            0 => frames.truncate(cut),
            1 => frames[cut..first].fill(0),
            _ => frames.fill(0),
        }
        std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(&frames, whole).unwrap();
        let verified = verify::verify(dir.path()).unwrap();
        assert!(verified.whole && verified.torn.is_some(), "case {case}: {verified:?}");
        let (store, report) = open(dir.path());
        assert!(report.warnings().is_empty() && report.ledger.torn.is_some(), "case {case}: {report:?}");
        assert_eq!(std::fs::metadata(path).unwrap().len(), whole);
        assert_eq!(all(&store).len(), 3);
        store.keep(&chain.pieces(1)).unwrap();
        drop(store);

        // The same bytes missing from an entry that was acknowledged are damage, and the chain goes on after it.
        let end = std::fs::metadata(path).unwrap().len();
        let cut = u64::try_from(1 + dice.below(300)).unwrap();
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(end - cut).unwrap();
        assert!(!verify::verify(dir.path()).unwrap().whole);
        let (store, report) = open(dir.path());
        assert_eq!((report.ledger.faults[0].first_entry, report.ledger.faults[0].last_entry), (4, 4), "case {case}: {report:?}");
        let past = store.resume();
        assert_eq!(past.last, Some((EntryNumber(4), chain.digest)));
        let mut chain = Chain::after(&past);
        assert_eq!(chain.results, 4, "the number of the lost piece record is not given again");
        store.keep(&chain.pieces(2)).unwrap();
        let numbers: Vec<_> = all(&store).iter().map(|entry| entry.number.0).collect();
        assert_eq!(numbers, [1, 2, 3, 5, 6]);
        assert!(store.piece(4).is_err());
        let report = verify::verify(dir.path()).unwrap();
        assert_eq!(report.first_fault.map(|fault| (fault.first_entry, fault.last_entry)), Some((4, 4)));
    }
}

#[test]
fn without_any_other_witness_a_later_frame_tells_what_was_settled() {
    for (damaged, torn, served) in [(3, false, vec![1, 2, 4, 5, 6]), (5, true, vec![1, 2, 3, 4])] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        let mut chain = Chain::new();
        for batch in [2, 2, 2] {
            store.keep(&chain.pieces(batch)).unwrap();
        }
        drop(store);
        // After a power cut the witness may be old and the view gone; entry 5 is then as good as never acknowledged, entry 3 is not.
        std::fs::remove_file(dir.path().join(LEDGER).join("acknowledged")).unwrap();
        std::fs::remove_dir_all(dir.path().join(VIEW)).unwrap();
        let path = &ledger_files(dir.path())[0];
        let mut bytes = std::fs::read(path).unwrap();
        let end =
            segment::parts(&bytes).get(damaged - 1).map_or(0, |part| if let segment::Part::Frame(frame) = part { frame.end() } else { 0 });
        bytes[end - 1] ^= 1;
        std::fs::write(path, bytes).unwrap();
        let report = verify::verify(dir.path()).unwrap();
        assert_eq!((report.torn.is_some(), report.whole), (torn, torn), "{report:?}");
        let (store, report) = open(dir.path());
        assert_eq!((report.ledger.torn.is_some(), report.ledger.faults.is_empty()), (torn, torn), "{report:?}");
        assert_eq!(all(&store).iter().map(|entry| entry.number.0).collect::<Vec<_>>(), served);
    }
}

#[test]
fn a_segment_of_a_newer_format_is_refused_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.keep(&Chain::new().pieces(2)).unwrap();
    drop(store);
    let path = &ledger_files(dir.path())[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(path, &bytes).unwrap();
    let refused = Store::open(dir.path(), SMALL).unwrap_err().to_string();
    assert!(refused.contains("format 2"), "{refused}");
    assert_eq!(std::fs::read(path).unwrap(), bytes);
}

#[test]
fn tampering_is_found_even_when_the_checksums_are_made_to_fit() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut chain = Chain::new();
    store.keep(&chain.pieces(5)).unwrap();
    drop(store);
    let path = &ledger_files(dir.path())[0];
    let whole = std::fs::read(path).unwrap();
    let frames: Vec<_> = segment::parts(&whole)
        .into_iter()
        .map(|part| if let segment::Part::Frame(frame) = part { frame } else { panic!("a hole in a whole segment") })
        .collect();
    let head = &whole[..segment::HEADER_LEN];
    let raw = |index: usize| &whole[frames[index].offset..frames[index].end()];
    let mut forged = Vec::new();
    let mut entry = frames[2].entry().unwrap();
    if let Body::Piece(piece) = &mut entry.body {
        piece.judgement.verdict = Verdict::Hold;
    }
    let payload = entry.to_bytes().unwrap();
    let digest = Entry::digest(entry.previous, &payload);
    segment::Frame::encode(&mut forged, entry.number, frames[2].settled, segment::Kind::Piece, digest, &payload);
    let cases: [(&str, Vec<&[u8]>, u64); 5] = [
        ("edited", vec![head, raw(0), raw(1), &forged, raw(3), raw(4)], 3),
        ("deleted", vec![head, raw(0), raw(2), raw(3), raw(4)], 2),
        ("swapped", vec![head, raw(0), raw(2), raw(1), raw(3), raw(4)], 2),
        ("repeated", vec![head, raw(0), raw(1), raw(1), raw(2), raw(3), raw(4)], 2),
        ("cut off", vec![head, raw(0), raw(1), raw(2), raw(3)], 5),
    ];
    for (what, bytes, first) in cases {
        std::fs::write(path, bytes.concat()).unwrap();
        let report = verify::verify(dir.path()).unwrap();
        assert_eq!(report.first_fault.as_ref().map(|fault| fault.first_entry), Some(first), "{what}: {report:?}");
        assert!(!report.whole, "{what}");
    }
    // The last entry, with nothing after it to contradict: the acknowledged digest does.
    let mut last = frames[4].entry().unwrap();
    last.at.wall_micros += 1;
    let (payload, mut frame) = (last.to_bytes().unwrap(), Vec::new());
    segment::Frame::encode(
        &mut frame,
        last.number,
        frames[4].settled,
        segment::Kind::Piece,
        Entry::digest(last.previous, &payload),
        &payload,
    );
    std::fs::write(path, [&whole[..frames[4].offset], &frame].concat()).unwrap();
    assert_eq!(verify::verify(dir.path()).unwrap().first_fault.map(|fault| fault.first_entry), Some(5));
    std::fs::write(path, &whole).unwrap();
    assert!(verify::verify(dir.path()).unwrap().whole);
}
