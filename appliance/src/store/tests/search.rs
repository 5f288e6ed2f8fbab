//! Questions about all records: the same answer from blocks, from rows that wait, after a restart and from a new view.

use super::*;
use crate::pipeline::note::tests::setup;
use crate::store::rows::question::{Question, Range};
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
    store.shared.ask(|view| view.damage_a_block()).unwrap();
    let error = store.search(&Question::default()).unwrap_err();
    assert!(error.to_string().contains("not readable"), "{error}");
    drop(store);
    let (store, report) = open(dir.path());
    assert!(report.view.rebuilt.is_some(), "{report:?}");
    assert_eq!(store.search(&Question::default()).unwrap().records.len(), pieces.len());
}
