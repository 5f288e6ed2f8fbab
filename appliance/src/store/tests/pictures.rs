//! Pictures with the records that name them: holds from the moment a decision is kept, over restarts, and without a register.

use super::*;
use crate::store::images::Fate;
use crate::store::images::register::REGISTER;
use station::action::{By, Person, Role};
use station::decision::{Affected, Decision, DecisionRecord, Open, ResultRange};

fn at(secs: u64) -> Timestamp {
    Timestamp { wall_micros: 1_700_000_000_000_000, mono_micros: secs * 1_000_000 }
}

fn picture(record: u64) -> (Digest, Vec<u8>) {
    // As the chain's pieces name it.
    (Digest::of(&record.to_le_bytes()), vec![u8::try_from(record).unwrap(); 900])
}

fn decided(chain: &mut Chain, decision_id: u64, decision: Decision) -> Entry {
    let by = By::Person(Person { name: "officer".to_owned(), role: Role::QualityOfficer });
    let results = chain.results;
    chain.entry(Body::Decided(Box::new(DecisionRecord { decision_id, results, decision, by, reason: "a test".to_owned() })))
}

fn of_records(first: u64, last: u64) -> Affected {
    Affected { results: vec![ResultRange { first, last }], ..Affected::default() }
}

/// Ten pieces with their pictures (records 5 and 10 are rejects), a hold, an overrule and a complaint.
fn station(dir: &Path) -> Chain {
    let (store, _) = open(dir);
    let mut chain = Chain::new();
    store.keep(&chain.pieces(10)).unwrap();
    for record in 1..=10 {
        let Some(Entry { body: Body::Piece(piece), .. }) = store.piece(record).unwrap() else { panic!("a piece") };
        let class = images::policy::Retention::by_verdict(piece.judgement.verdict);
        store.images().put(picture(record).0, &picture(record).1, Tag::of(class, &piece), at(0)).unwrap();
    }
    let batch = [
        decided(&mut chain, 1, Decision::Hold { set: of_records(1, 2) }),
        decided(&mut chain, 2, Decision::Overrule { result_id: 3, verdict: Verdict::Reject, grade: 0 }),
        decided(&mut chain, 3, Decision::Complaint { result_id: None, serial: Some("SN00004".to_owned()) }),
    ];
    store.keep(&batch).unwrap();
    // Nothing but a checkpoint remembers the hold from here on.
    let holds = vec![Open { decision_id: 1, name: "h".to_owned(), set: of_records(1, 2) }];
    let decisions = Arc::new(station::decision::Decisions { last: 3, holds, ..Default::default() });
    let memory = Memory { results: chain.results, decisions, ..Memory::default() };
    store.keep(&[chain.entry(Body::Checkpoint(Box::new(memory)))]).unwrap();
    chain
}

fn classes(store: &Store) -> Vec<Option<(&'static str, bool)>> {
    let of = |record| match store.images().fate(record, picture(record).0) {
        Fate::Kept { class, held } => Some((class.map_or("?", Class::name), held)),
        _ => None,
    };
    (1..=5).map(of).collect()
}

const SORTED: [Option<(&str, bool)>; 5] =
    [Some(("pass", true)), Some(("pass", true)), Some(("overruled", false)), Some(("pass", true)), Some(("reject", false))];

#[test]
fn a_decision_holds_pictures_from_the_moment_it_is_kept_and_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = station(dir.path());
    // The register was never told of the decisions: the store was closed at once.
    let (store, _) = open(dir.path());
    assert_eq!(classes(&store), SORTED);
    store.tend_pictures(at(1)).unwrap();
    store.images().shed(u64::MAX).unwrap();
    assert_eq!(store.images().stock().held.count, 3);
    assert_eq!(classes(&store)[..4], [SORTED[0], SORTED[1], None, SORTED[3]]);
    store.keep(&[decided(&mut chain, 4, Decision::ReleaseHold { hold: 1, set: of_records(1, 2) })]).unwrap();
    assert_eq!(store.images().shed(u64::MAX).unwrap(), 2 * 912);
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!((store.images().decided(), store.images().stock().held.count), (4, 1), "the complaint");
    assert!(examine::examine(dir.path()).unwrap().faults.is_empty());
    assert_eq!(all(&store).len(), 15, "records are untouched");
}

#[test]
fn without_a_register_the_ledger_says_whose_pictures_they_are() {
    let dir = tempfile::tempdir().unwrap();
    station(dir.path());
    std::fs::remove_file(dir.path().join("images").join(REGISTER)).unwrap();
    assert_eq!(examine::examine(dir.path()).unwrap().faults.len(), 1, "doctor says so");
    let (store, _) = open(dir.path());
    assert_eq!(store.images().strangers().len(), 10);
    assert_eq!(store.images().shed(u64::MAX).unwrap(), 0, "what nobody knows yet stays");
    store.tend_pictures(at(1)).unwrap();
    assert_eq!(classes(&store), SORTED);
    assert!(store.images().strangers().is_empty() && examine::examine(dir.path()).unwrap().faults.is_empty());
    assert_eq!(store.images().shed(u64::MAX).unwrap(), 7 * 912);
}

#[test]
fn a_copy_has_the_pictures_that_its_register_says() {
    let dir = tempfile::tempdir().unwrap();
    station(dir.path());
    let (store, _) = open(dir.path());
    store.tend_pictures(at(1)).unwrap();
    store.images().shed(1).unwrap();
    let to = dir.path().join("copy");
    copy::backup(dir.path(), &to, &mut |_, _| ()).unwrap();
    let examined = examine::examine(&to).unwrap();
    assert!(examined.faults.is_empty() && examined.images == 9, "{examined:?}");
    let (copied, _) = open(&to);
    assert_eq!((copied.images().stock().held, copied.images().bytes()), (store.images().stock().held, 9 * 912));
}
