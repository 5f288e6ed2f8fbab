//! The outbox against random deliveries, refusals, restarts and a lost view: the sum is always right, nothing is lost.

use super::*;
use crate::outbox::OutboxCounts;
use std::collections::BTreeSet;

#[derive(Default)]
struct Model {
    delivered: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

impl Model {
    fn check(&self, store: &Store, seed: u64) {
        let outbox = store.outbox("trace").unwrap();
        let (delivered, quarantined) = (self.delivered.len() as u64, self.refused.len() as u64);
        let kept = store.pieces();
        let expected = OutboxCounts { kept, delivered, waiting: kept - delivered - quarantined, quarantined };
        assert_eq!(outbox.counts(), expected, "seed {seed}");
        let waiting: Vec<u64> = (1..=kept).filter(|id| !self.delivered.contains(id) && !self.refused.contains(id)).take(9).collect();
        let next: Vec<u64> = outbox.next(9).unwrap().iter().map(|parcel| parcel.result_id).collect();
        assert_eq!(next, waiting, "seed {seed}");
        assert_eq!(store.quarantined("trace").unwrap().into_keys().collect::<BTreeSet<_>>(), self.refused, "seed {seed}");
    }
}

#[test]
fn kept_is_delivered_plus_waiting_plus_quarantined_whatever_happens() {
    for seed in 1..=12 {
        let mut dice = Dice::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(dir.path());
        let (mut chain, mut model) = (Chain::new(), Model::default());
        for _ in 0..60 {
            match dice.below(8) {
                0..=2 => drop(store.keep(&chain.pieces(1 + dice.below(6))).unwrap()),
                3..=5 => {
                    let outbox = store.outbox("trace").unwrap();
                    let mut ids: Vec<u64> = outbox.next(1 + dice.below(8)).unwrap().iter().map(|parcel| parcel.result_id).collect();
                    // Out of order and with gaps, as a backend answers.
                    ids.reverse();
                    ids.retain(|_| dice.below(4) > 0);
                    outbox.delivered(&ids).unwrap();
                    outbox.delivered(&ids).unwrap();
                    model.delivered.extend(ids);
                }
                6 => {
                    let outbox = store.outbox("trace").unwrap();
                    if let Some(parcel) = outbox.next(3).unwrap().last() {
                        outbox.quarantine(parcel.result_id, "unknown product").unwrap();
                        model.refused.insert(parcel.result_id);
                    }
                }
                _ => {
                    drop(store);
                    (store, _) = open(dir.path());
                }
            }
            model.check(&store, seed);
        }
        store.rebuild_view().unwrap();
        model.check(&store, seed);
        drop(store);
        // The view is gone: delivery starts again from the mark. Nothing is lost, a little may be sent twice.
        std::fs::remove_dir_all(dir.path().join(VIEW)).unwrap();
        let (store, _) = open(dir.path());
        let outbox = store.outbox("trace").unwrap();
        let counts = outbox.counts();
        assert_eq!(counts.kept, counts.delivered + counts.waiting + counts.quarantined, "seed {seed}");
        assert_eq!(counts.quarantined, model.refused.len() as u64, "seed {seed}");
        loop {
            let ids: Vec<u64> = outbox.next(20).unwrap().iter().map(|parcel| parcel.result_id).collect();
            if ids.is_empty() {
                break;
            }
            outbox.delivered(&ids).unwrap();
            model.delivered.extend(ids);
        }
        model.check(&store, seed);
        assert_eq!(outbox.counts().waiting, 0, "seed {seed}");
    }
}

#[test]
fn what_a_backend_cannot_know_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.keep(&Chain::new().pieces(3)).unwrap();
    let outbox = store.outbox("grading").unwrap();
    assert!(outbox.delivered(&[4]).is_err());
    assert!(outbox.quarantine(0, "?").is_err());
    assert!(store.outbox("../etc").is_err());
    outbox.quarantine(2, "bad").unwrap();
    outbox.delivered(&[2]).unwrap();
    assert_eq!(outbox.counts(), OutboxCounts { kept: 3, delivered: 1, waiting: 2, quarantined: 0 });
    outbox.delivered(&[1, 3]).unwrap();
    assert_eq!(outbox.counts(), OutboxCounts { kept: 3, delivered: 3, waiting: 0, quarantined: 0 });
    assert_eq!(store.outbox("trace").unwrap().counts().waiting, 3, "every backend has its own cursor");
}

#[test]
fn a_record_damaged_in_the_ledger_is_quarantined_not_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.keep(&Chain::new().pieces(5)).unwrap();
    let path = segment::path(&dir.path().join(LEDGER), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let third = segment::parts(&bytes).into_iter().nth(2).map(|part| if let segment::Part::Frame(frame) = part { frame.end() } else { 0 });
    bytes[third.unwrap() - 20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let outbox = store.outbox("trace").unwrap();
    let ids: Vec<_> = outbox.next(10).unwrap().iter().map(|parcel| parcel.result_id).collect();
    assert_eq!(ids, [1, 2, 4, 5]);
    assert_eq!(outbox.counts(), OutboxCounts { kept: 5, delivered: 0, waiting: 4, quarantined: 1 });
    assert!(store.quarantined("trace").unwrap()[&3].contains("damaged"));
}
