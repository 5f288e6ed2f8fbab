//! Random damage to any file of a station's memory: found, never served, costing no more than what it hit.

use super::damage::{copy, damage, files};
use super::*;
use crate::store::examine::{Examined, examine};
use crate::store::images::ImageError;

/// Damages in `make test`; `ROUNDS=1000` is the campaign.
const ROUNDS: u64 = 70;
/// Kinds of files, damaged in turn.
const KINDS: [&str; 8] = ["ledger", "view", "images", "register", "outbox", "acknowledged", "signatures", "station.key"];

struct Original {
    dir: tempfile::TempDir,
    entries: BTreeMap<u64, Entry>,
    pictures: BTreeMap<Digest, Vec<u8>>,
}

fn original() -> Original {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (mut chain, mut pictures) = (Chain::new(), BTreeMap::new());
    for round in 0..24_u8 {
        store.keep(&chain.pieces(1 + usize::from(round) % 7)).unwrap();
        store.keep(&[if round % 8 == 3 { chain.checkpoint() } else { chain.stop() }]).unwrap();
        let jpeg: Vec<u8> = (0..3000_u32).map(|at| (at * 31 + u32::from(round)).to_le_bytes()[0]).collect();
        let (digest, tag) = (Digest::of(&[round]), Tag { record: u64::from(round) + 1, ..Tag::nobodys(Class::Reject) });
        store.images().put(digest, &jpeg, tag, Timestamp::default()).unwrap();
        pictures.insert(digest, jpeg);
        if round % 6 == 5 {
            store.sign(i64::from(round)).unwrap();
        }
    }
    for backend in ["traceability", "grading"] {
        let outbox = store.outbox(backend).unwrap();
        outbox.delivered(&(1..=40).collect::<Vec<_>>()).unwrap();
        outbox.quarantine(41, "no such product").unwrap();
    }
    let entries = all(&store).into_iter().map(|entry| (entry.number.0, entry)).collect();
    // Retention has removed two, and the register says so.
    store.images().shed(3013).unwrap();
    pictures.retain(|digest, _| store.images().get(*digest).is_ok());
    drop(store);
    Original { dir, entries, pictures }
}

/// A file of this kind, by chance.
fn pick(dir: &Path, kind: &str, dice: &mut Dice) -> PathBuf {
    let all = match kind {
        "ledger" => files(&dir.join(LEDGER)).into_iter().filter(|path| path.extension().is_some_and(|end| end == "seg")).collect(),
        "acknowledged" => vec![dir.join(LEDGER).join(kind)],
        "signatures" => vec![dir.join(kind)],
        "station.key" => vec![dir.join(kind), dir.join("station.pub")],
        "register" => vec![dir.join("images").join(kind)],
        "images" => files(&dir.join(kind)).iter().filter(|sub| sub.is_dir()).flat_map(|sub| files(sub)).collect(),
        // Of the index only what its engine reads; its other files are of the same kind.
        _ => files(&dir.join(kind)).into_iter().filter(|path| path.is_file()).collect::<Vec<_>>(),
    };
    all[dice.below(all.len())].clone()
}

/// What is served is what was kept; gives back how many entries are no longer served.
fn check_served(original: &Original, dir: &Path, case: &str) -> usize {
    let (store, _) = open(dir);
    let served = all(&store);
    for entry in &served {
        assert_eq!(original.entries.get(&entry.number.0), Some(entry), "{case}");
    }
    for entry in original.entries.values() {
        let Some(id) = piece_number(entry) else { continue };
        match store.piece(id) {
            Ok(found) => assert_eq!(found.as_ref(), Some(entry), "{case}"),
            Err(error) => assert!(matches!(error, StoreError::Ledger(_) | StoreError::View(_)), "{case}: {error}"),
        }
    }
    for (digest, jpeg) in &original.pictures {
        match store.images().get(*digest) {
            Ok(shown) => assert_eq!(&shown, jpeg, "{case}"),
            Err(error) => assert!(matches!(error, ImageError::Damaged(_) | ImageError::Absent(_)), "{case}: {error}"),
        }
    }
    // An index that was caught just now comes back by itself.
    store.mend();
    for backend in ["traceability", "grading"] {
        let counts = store.outbox(backend).unwrap().counts();
        assert_eq!(counts.kept, counts.delivered + counts.waiting + counts.quarantined, "{case}");
        assert!(counts.delivered <= 40, "{case}: {counts:?}");
    }
    let mut chain = Chain::after(&store.resume());
    store.keep(&chain.pieces(2)).unwrap();
    original.entries.len() - served.len()
}

fn is_the_same_key(original: &Path, damaged: &Path) -> bool {
    let signs_as = |dir: &Path| sign::examine_key(dir).ok().and(sign::own_key(dir));
    signs_as(damaged).is_some() && signs_as(damaged) == signs_as(original)
}

#[test]
fn random_damage_is_found_and_never_served() {
    let original = original();
    let clean = examine(original.dir.path()).unwrap();
    assert!(clean.faults.is_empty() && clean.images == 22 && clean.signed_up_to > 0, "{clean:?}");
    let rounds = std::env::var("ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let seed: u64 = std::env::var("SEED").map_or(1, |text| text.parse().unwrap());
    println!("SEED={seed}");
    let (mut found, mut harmless, mut unread, mut lost_most) = (BTreeMap::<&str, u64>::new(), 0, 0, 0);
    for round in 0..rounds {
        let mut dice = Dice::new(seed.wrapping_mul(1_000_003) + round);
        let kind = KINDS[usize::try_from(round).unwrap() % KINDS.len()];
        let dir = tempfile::tempdir().unwrap();
        copy(original.dir.path(), dir.path());
        let path = pick(dir.path(), kind, &mut dice);
        let Some((from, to)) = damage(&path, &mut dice) else { continue };
        let case = format!("round {round}: {} bytes {from} to {to}", path.display());
        let Examined { faults, index_left_out: left_out, .. } = examine(dir.path()).unwrap();
        let gone = !path.exists();
        match kind {
            // Bytes that its engine does not read: every key of it was held against the ledger.
            "view" if faults.is_empty() => {
                unread += 1;
                assert_eq!(left_out, None, "{case}");
            }
            // Cut off at the end of a line: only a copy that was kept elsewhere shows it (sign.rs).
            "signatures" if std::fs::read(&path).is_ok_and(|left| left.ends_with(b"\n") && left.len() == from) => harmless += 1,
            // A digit in upper case, or no line end: the same key.
            "station.key" if faults.is_empty() && is_the_same_key(original.dir.path(), dir.path()) => harmless += 1,
            _ => {
                assert!(!faults.is_empty(), "{case}: not found");
                // Where the end of the register is gone, pictures say so that it let go, or that it knew.
                let of_register = |file: &Path| kind == "register" && file.starts_with(dir.path().join("images"));
                let names_it = |file: &Path| file == path || path.starts_with(file) || file.parent() == path.parent() || of_register(file);
                assert!(faults.iter().any(|fault| names_it(&fault.file) && !fault.mend.is_empty()), "{case}: {faults:?}");
                *found.entry(kind).or_default() += 1;
            }
        }
        let lost = check_served(&original, dir.path(), &case);
        if kind == "ledger" {
            let named = faults
                .iter()
                .filter(|fault| fault.file.parent() == path.parent())
                .map(|fault| (fault.last_entry + 1).saturating_sub(fault.first_entry));
            assert!(u64::try_from(lost).unwrap() <= named.sum(), "{case}: {lost} entries are lost and not all named: {faults:?}");
            lost_most = lost_most.max(if gone || to - from > 1 { 0 } else { lost });
        } else {
            assert_eq!(lost, 0, "{case}");
        }
    }
    assert!(lost_most <= 1, "one flipped bit costs one entry at most, not {lost_most}");
    println!(
        "found by kind: {found:?}; {unread} in bytes of the index that nothing reads (every key of it was compared); {harmless} without evidence in them (the same key in other letters): nothing wrong served"
    );
}
