//! Questions about all records: the same answer from blocks, from rows that wait, after a restart and from a new view.

use super::*;
use crate::pipeline::note::tests::setup;
use crate::store::rows::origin::Origin;
use crate::store::rows::question::{Question, Range};
use station::action::{By, Person, Role};
use station::decision::{Decision, DecisionRecord};
use station::intake::SupplierLot;
use station::record::Started;

/// A chain of several starts, lots, grades and set points; what a question must find is known from the entries themselves.
fn filled(store: &Store, count: usize) -> Vec<PieceRecord> {
    let (mut chain, mut pieces) = (Chain::new(), Vec::new());
    let mut dice = Dice::new(41);
    while pieces.len() < count {
        let setup = setup();
        let mut batch = vec![chain.entry(Body::Started(Box::new(Started {
            identity: setup.identity.clone(),
            recipe: Arc::clone(&setup.recipe),
            program: setup.program.clone(),
        })))];
        for _ in 0..dice.below(200) {
            let mut entry = chain.piece();
            let Body::Piece(piece) = &mut entry.body else { continue };
            piece.arrival.lot = u32::try_from(dice.below(5)).unwrap();
            piece.arrived_at.wall_micros = entry.at.wall_micros;
            let value = dice.below(100) as f64;
            let quality = if dice.below(4) == 0 { Quality::Stale } else { Quality::Good };
            let sampled_at = entry.at;
            piece.readings = vec![Reading { tag: "oven".into(), value, unit: "Cel".into(), text: None, quality, sampled_at }];
            pieces.push((**piece).clone());
            chain.digest = Entry::digest(entry.previous, &entry.to_bytes().unwrap());
            batch.push(entry);
        }
        // Groups of any size, as the store thread makes them.
        while !batch.is_empty() {
            let group: Vec<_> = batch.drain(..batch.len().min(1 + dice.below(40))).collect();
            store.keep(&group).unwrap();
        }
    }
    pieces
}

fn ids(pieces: &[PieceRecord], fits: impl Fn(&PieceRecord) -> bool) -> Vec<u64> {
    pieces.iter().filter(|piece| fits(piece)).map(|piece| piece.result_id).collect()
}

#[test]
fn a_question_has_the_same_answer_from_every_view() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let pieces = filled(&store, 500);
    let count = u64::try_from(pieces.len()).unwrap();
    let middle = pieces[pieces.len() / 2].arrived_at.wall_micros;
    let in_oven = |piece: &PieceRecord| {
        let reading = &piece.readings[0];
        reading.quality == Quality::Good && (20.0..=40.0).contains(&reading.value)
    };
    let oven = Range { tag: "oven".to_owned(), min: 20.0, max: 40.0 };
    let cases: Vec<(Question, Vec<u64>)> = vec![
        (Question::default(), (1..=count).collect()),
        (Question { lots: vec![2, 3], ..Question::default() }, ids(&pieces, |piece| [2, 3].contains(&piece.arrival.lot))),
        (Question { until_micros: Some(middle), ..Question::default() }, ids(&pieces, |piece| piece.arrived_at.wall_micros < middle)),
        (Question { model: Some("pcb".to_owned()), ..Question::default() }, (1..=count).collect()),
        (
            Question { verdict: Some(Verdict::Reject), first: Some(100), ..Question::default() },
            ids(&pieces, |piece| piece.judgement.verdict == Verdict::Reject && piece.result_id >= 100),
        ),
        (Question { readings: vec![oven], ..Question::default() }, ids(&pieces, in_oven)),
        (
            Question { serials: vec!["SN00017".to_owned(), "SN00100".to_owned()], ..Question::default() },
            ids(&pieces, |piece| matches!(piece.arrival.serial.as_deref(), Some("SN00017" | "SN00100"))),
        ),
    ];
    let ask_all = |store: &Store, of: &str| {
        for (question, right) in &cases {
            let found = store.search(question).unwrap();
            assert_eq!((&found.records, found.searched), (right, count), "{of}: {question:?}");
        }
        let error = store.search(&Question { model: Some("pbc".to_owned()), ..Question::default() }).unwrap_err();
        assert_eq!(error.to_string(), "no record has the model `pbc`; there are: pcb@1");
    };
    ask_all(&store, "as kept");
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(report.view, ViewReport::default());
    ask_all(&store, "after a restart");
    store.rebuild_view().unwrap();
    ask_all(&store, "built again");
    // While it is in use, the command line answers from the ledger alone.
    let mut archive = archive::Archive::open(dir.path()).unwrap();
    assert_eq!(archive.in_use_by(), Some(std::process::id().to_string().as_str()));
    for (question, right) in &cases {
        assert_eq!(&archive.search(question).unwrap().records, right, "{question:?}");
    }
    assert_eq!(archive.record(17).unwrap(), store.piece(17).unwrap());
    assert_eq!(archive.starts().unwrap(), store.starts().unwrap());
    assert!(store.starts().unwrap().len() > 3);
    assert!(archive::Archive::open(&dir.path().join("other")).unwrap_err().to_string().contains("ledger"));
    // It goes on behind the rows that waited.
    let past = store.resume();
    let mut chain = Chain::after(&past);
    chain.results = count;
    store.keep(&chain.pieces(3)).unwrap();
    assert_eq!(store.search(&Question { first: Some(count + 1), ..Question::default() }).unwrap().records.len(), 3);
}

/// A block that says something else than what was written must not shorten an answer.
#[test]
fn rows_that_cannot_be_read_are_an_error_and_the_view_is_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let pieces = filled(&store, 300);
    store.shared.ask(|view| view.spoil(b"c", |block| block.pop().is_some())).unwrap();
    let error = store.search(&Question::default()).unwrap_err();
    assert!(error.to_string().contains("not readable"), "{error}");
    drop(store);
    let (store, report) = open(dir.path());
    assert!(report.view.rebuilt.is_some(), "{report:?}");
    assert_eq!(store.search(&Question::default()).unwrap().records.len(), pieces.len());
}

/// Every part of an answer, one after the other.
fn in_parts(store: &Store, question: &Question, limit: usize, look_max: u64) -> Vec<u64> {
    let (mut from, mut out) = (None, Vec::new());
    loop {
        let part = store.search_part(question, from, limit, look_max).unwrap();
        assert!(part.records.len() <= limit && part.searched <= look_max, "{part:?}");
        out.extend(part.records);
        match part.next {
            None => return out,
            Some(next) => from = Some(next),
        }
    }
}

#[test]
fn the_parts_of_an_answer_are_the_whole_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let count = u64::try_from(filled(&store, 500).len()).unwrap();
    let questions = [
        Question::default(),
        Question { verdict: Some(Verdict::Reject), ..Question::default() },
        Question { lots: vec![3], first: Some(70), last: Some(count - 3), ..Question::default() },
        Question { serials: vec!["SN00064".to_owned(), "SN00200".to_owned()], ..Question::default() },
        Question { serials: vec!["nobody's".to_owned()], ..Question::default() },
    ];
    for question in &questions {
        let mut whole = store.search(question).unwrap().records;
        whole.reverse();
        for (limit, look_max) in [(1, 1), (7, 1000), (50, 64), (1000, 1_000_000)] {
            assert_eq!(in_parts(&store, question, limit, look_max), whole, "{question:?} by {limit}, {look_max}");
        }
    }
    let part = store.search_part(&questions[3], None, 10, 1000).unwrap();
    assert!(part.searched < 200, "only the rows between two serials are looked at: {part:?}");
}

/// An overruled piece is in answers by the verdict in force, and by its first one only when that is asked: as kept, after a restart,
/// from a new view, and from the ledger alone.
#[test]
fn answers_follow_what_people_overrule() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let setup = setup();
    let mut chain = Chain::new();
    let started = Started { identity: setup.identity.clone(), recipe: Arc::clone(&setup.recipe), program: setup.program.clone() };
    let mut batch = vec![chain.entry(Body::Started(Box::new(started)))];
    batch.extend(chain.pieces(200));
    store.keep(&batch).unwrap();
    let of = |verdict, as_judged| Question { verdict: Some(verdict), as_judged, ..Question::default() };
    let rejected: Vec<u64> = (1..=200).filter(|id| id % 5 == 0).collect();
    assert_eq!(store.search(&of(Verdict::Reject, false)).unwrap().records, rejected);
    // 7 is rejected by a person, 10 passes, and 15 passes and is rejected after all.
    let overrules = [(7, Verdict::Reject, 0), (10, Verdict::Pass, 1), (15, Verdict::Pass, 2), (15, Verdict::Reject, 2)];
    for (number, (result_id, verdict, grade)) in (1..).zip(overrules) {
        let by = By::Person(Person { name: "Ada".to_owned(), role: Role::QualityOfficer });
        let decision = Decision::Overrule { result_id, verdict, grade };
        let record = DecisionRecord { decision_id: number, results: 200, decision, by, reason: "seen under the lens".to_owned() };
        store.keep(&[chain.entry(Body::Decided(Box::new(record)))]).unwrap();
    }
    let grades = setup.recipe.rubric.names();
    let now: Vec<u64> = (1..=200).filter(|id| (id % 5 == 0 && *id != 10) || *id == 7).collect();
    let ask_all = |search: &mut dyn FnMut(&Question) -> Found, of_what: &str| {
        let found = search(&of(Verdict::Reject, false));
        assert_eq!(found.records, now, "{of_what}");
        assert_eq!(found.overruled.keys().copied().collect::<Vec<_>>(), [7, 15], "{of_what}");
        assert_eq!((found.overruled[&15].decision_id, found.overruled[&15].grade.as_str()), (4, grades[1].as_str()), "{of_what}");
        let found = search(&of(Verdict::Reject, true));
        assert_eq!(found.records, rejected, "{of_what}");
        assert_eq!(found.overruled.keys().copied().collect::<Vec<_>>(), [10, 15], "what is listed as it was is told to be overruled");
        let passes = search(&of(Verdict::Pass, false)).records;
        assert!(passes.contains(&10) && !passes.contains(&7) && !passes.contains(&15), "{of_what}");
        // A grade that no record has but by an overrule.
        let second = Question { grade: Some(grades[1].clone()), ..Question::default() };
        assert_eq!(search(&second).records, [15], "{of_what}");
    };
    ask_all(&mut |question| store.search(question).unwrap(), "as kept");
    let mut archive = archive::Archive::open(dir.path()).unwrap();
    assert!(archive.in_use_by().is_some());
    ask_all(&mut |question| archive.search(question).unwrap(), "from the ledger alone");
    assert_eq!(archive.decisions_about(15).unwrap(), store.decisions_about(15).unwrap());
    assert_eq!(in_parts(&store, &of(Verdict::Pass, false), 9, 1000).len(), 200 - now.len());
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(report.view, ViewReport::default());
    ask_all(&mut |question| store.search(question).unwrap(), "after a restart");
    store.rebuild_view().unwrap();
    ask_all(&mut |question| store.search(question).unwrap(), "built again");
    assert_eq!(store.shared.view().unwrap().differs(&dir.path().join(LEDGER)).unwrap(), None);
    store.shared.ask(|view| view.spoil(b"v", |by| by.pop().is_some())).unwrap();
    assert!(store.shared.view().unwrap().differs(&dir.path().join(LEDGER)).unwrap().is_some());
}

/// Pieces are found by the supplier lots that they were made of, from every view, and what no record has is refused by its name.
#[test]
fn pieces_are_found_by_what_they_were_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let lot = |material: &str, lot: &str| SupplierLot { material: material.to_owned(), supplier: "Acme".to_owned(), lot: lot.to_owned() };
    let uses: [(std::ops::RangeInclusive<u64>, Vec<SupplierLot>); 4] = [
        (31..=99, vec![lot("laminate", "L1")]),
        (100..=149, vec![lot("laminate", "L1"), lot("paste", "7")]),
        (150..=199, vec![lot("laminate", "L2"), lot("paste", "7")]),
        (260..=300, vec![lot("laminate", "7")]),
    ];
    let mut chain = Chain::new();
    for _ in 0..300 {
        let mut entry = chain.piece();
        let Body::Piece(piece) = &mut entry.body else { continue };
        let used = uses.iter().find(|(records, _)| records.contains(&piece.result_id));
        piece.made_of = used.map(|(_, lots)| lots.clone().into()).unwrap_or_default();
        chain.digest = Entry::digest(entry.previous, &entry.to_bytes().unwrap());
        store.keep(&[entry]).unwrap();
    }
    let of = |lot: Option<&str>, material: Option<&str>| {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Question { origin: Origin { lot: text(lot), supplier: None, material: text(material) }, ..Question::default() }
    };
    let cases = [
        (of(Some("L1"), None), (31..=149).collect::<Vec<u64>>()),
        (of(Some("7"), None), (100..=199).chain(260..=300).collect()),
        (of(Some("7"), Some("paste")), (100..=199).collect()),
        (of(None, Some("laminate")), (31..=199).chain(260..=300).collect()),
    ];
    let ask_all = |search: &mut dyn FnMut(&Question) -> Result<Found, StoreError>, of_what: &str| {
        for (question, right) in &cases {
            assert_eq!(&search(question).unwrap().records, right, "{of_what}: {question:?}");
        }
        let error = search(&of(Some("L3"), None)).unwrap_err().to_string();
        assert_eq!(error, "no record has the supplier lot `L3`; there are: 7, L1, L2", "{of_what}");
        let error = search(&of(Some("L1"), Some("paste"))).unwrap_err().to_string();
        assert!(error.ends_with("there are: laminate Acme 7, laminate Acme L1, laminate Acme L2, paste Acme 7"), "{of_what}: {error}");
    };
    ask_all(&mut |question| store.search(question), "as kept");
    let used: Vec<_> = store.supplier_lots().unwrap().into_iter().map(|used| (used.lot, used.runs)).collect();
    assert_eq!(used[0], (lot("laminate", "7"), vec![(260, 300)]));
    assert_eq!(used.last().unwrap(), &(lot("laminate", "L1"), vec![(31, 149)]));
    assert_eq!(in_parts(&store, &cases[1].0, 20, 1000).into_iter().rev().collect::<Vec<_>>(), cases[1].1);
    let mut archive = archive::Archive::open(dir.path()).unwrap();
    ask_all(&mut |question| archive.search(question), "from the ledger alone");
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(report.view, ViewReport::default());
    ask_all(&mut |question| store.search(question), "after a restart");
    store.rebuild_view().unwrap();
    ask_all(&mut |question| store.search(question), "built again");
    assert_eq!(store.supplier_lots().unwrap().len(), 4);
}

/// Every key that follows from the ledger is held against it, and an index that grew over several starts is as one built anew.
#[test]
fn an_index_that_differs_from_the_ledger_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let count = u64::try_from(filled(&store, 300).len()).unwrap();
    drop(store);
    for round in 0..4_usize {
        let (store, report) = open(dir.path());
        assert_eq!(report.view, ViewReport::default());
        let mut chain = Chain::after(&store.resume());
        chain.results = store.pieces();
        store.keep(&chain.pieces(1 + round * 50)).unwrap();
        store.keep(&[chain.checkpoint(), chain.stop()]).unwrap();
        drop(store);
        let examined = examine::examine(dir.path()).unwrap();
        assert_eq!((examined.index_left_out, examined.faults), (None, vec![]), "start {round}");
    }
    let (store, _) = open(dir.path());
    assert!(store.pieces() > count);
    let ledger = dir.path().join(LEDGER);
    let differs = |store: &Store| store.shared.view().unwrap().differs(&ledger).unwrap();
    let left_out = examine::examine(dir.path()).unwrap().index_left_out.unwrap();
    assert!(left_out.contains("in use by process"), "{left_out}");
    for letter in [b"r", b"p", b"s", b"n", b"c", b"w", b"k"] {
        for takes_away in [true, false] {
            assert_eq!(differs(&store), None);
            store
                .shared
                .ask(|view| {
                    view.spoil(letter, |value| {
                        value.push(7);
                        !takes_away
                    })
                })
                .unwrap();
            let told = differs(&store).unwrap();
            assert!(told.contains(&format!("(key {})", char::from(letter[0]))), "{told}");
            store.rebuild_view().unwrap();
        }
    }
    // A key that no entry made.
    store.shared.ask(|view| view.invent(b"s")).unwrap();
    let told = differs(&store).unwrap();
    assert!(told.contains("keys where the ledger makes"), "{told}");
    drop(store);
    // Whoever examines it makes sure that it is built again.
    let faults = examine::examine(dir.path()).unwrap().faults;
    assert!(faults.iter().any(|fault| fault.file.ends_with("view") && fault.what.contains("the index is wrong")), "{faults:?}");
    let (store, report) = open(dir.path());
    assert!(report.view.rebuilt.is_some(), "{report:?}");
    assert_eq!(differs(&store), None);
}
