//! The store against what happens to it: kills, flipped bits, full disks, failed syncs, other processes.

mod anything;
mod damage;
mod full;
mod kill;
mod ledger;
mod outbox;
mod pictures;
mod search;
mod tamper;

use super::images::policy::Class;
use super::images::shelf::Tag;
use super::shared::piece_number;
use super::*;
use station::inspection::{ClassId, Finding, Inspection, ModelRef, PixelBox, StageMicros};
use station::memory::Memory;
use station::piece::Arrival;
use station::policy::{StopReason, StopReasons};
use station::reading::{Quality, Reading};
use station::record::{PieceRecord, StopRecord};
use station::units::{Digest, EncoderCount, Timestamp};
use station::verdict::{Judgement, Reason};

/// A small pseudo-random sequence (xorshift64*), the same for the same seed everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % bound
    }
}

/// Makes entries that continue a chain, as the station would.
#[derive(Clone)]
pub struct Chain {
    pub number: u64,
    pub digest: Digest,
    pub results: u64,
}

impl Chain {
    pub fn new() -> Self {
        Self { number: 0, digest: Digest::default(), results: 0 }
    }

    /// Goes on where a station would after `past`.
    pub fn after(past: &Past) -> Self {
        let (number, digest) = past.last.unwrap_or_default();
        let pieces = past.after.iter().filter(|entry| matches!(entry.body, Body::Piece(_))).count();
        let counted =
            past.checkpoint.as_ref().map_or(0, |entry| if let Body::Checkpoint(memory) = &entry.body { memory.results } else { 0 });
        Self { number: number.0, digest, results: counted + u64::try_from(pieces).unwrap() }
    }

    pub fn entry(&mut self, body: Body) -> Entry {
        self.number += 1;
        let at = Timestamp { wall_micros: 1_700_000_000_000_000 + i64::try_from(self.number).unwrap(), mono_micros: self.number * 1000 };
        let entry = Entry { number: EntryNumber(self.number), at, previous: self.digest, body };
        self.digest = Entry::digest(entry.previous, &entry.to_bytes().unwrap());
        entry
    }

    pub fn piece(&mut self) -> Entry {
        self.piece_numbered(u32::try_from(self.results + 1).unwrap())
    }

    /// A piece with the PLC's own number.
    pub fn piece_numbered(&mut self, number: u32) -> Entry {
        self.results += 1;
        let score = 0.25 + (self.results % 7) as f32 / 10.0;
        let reject = self.results.is_multiple_of(5);
        let inspection = Inspection {
            acquisition: 0,
            piece: PieceId(number),
            camera: "camera 1".into(),
            frame: self.results,
            image: Digest::of(&self.results.to_le_bytes()),
            width: 640,
            height: 640,
            model: Arc::new(ModelRef { package: "pcb@1".to_owned(), weights: Digest::of(b"weights") }),
            findings: vec![Finding {
                class: ClassId(1),
                score,
                bounds: PixelBox { x1: 1.5, y1: 2.25, x2: 30.0, y2: 40.125 },
                area_mm2: None,
                camera: 0,
            }],
            measurements: Vec::new(),
            micros: StageMicros { capture: 1, prepare: 2, infer: 3, decode: 4 },
            views: Vec::new(),
        };
        let serial = (!self.results.is_multiple_of(3)).then(|| format!("SN{:05}", self.results % 1000));
        let reasons = if reject { vec![Reason::Defects { class: ClassId(1), count: 1, score }] } else { Vec::new() };
        self.entry(Body::Piece(Box::new(PieceRecord {
            result_id: self.results,
            arrival: Arrival {
                acquisition: 0,
                piece: PieceId(number),
                serial,
                lot: 7,
                encoder: EncoderCount(number.wrapping_mul(1000)),
                golden: false,
                retain: false,
                user_data: Vec::new(),
            },
            arrived_at: Timestamp { wall_micros: 1, mono_micros: 2 },
            inspection: Some(Arc::new(inspection)),
            judgement: Judgement { verdict: if reject { Verdict::Reject } else { Verdict::Pass }, reasons, grade: 1 },
            rubric_version: 1,
            readings: Vec::new(),
            points: Vec::new(),
            reject_at: reject.then_some(EncoderCount(17)),
            latency_micros: 12_345,
            made_of: Default::default(),
        })))
    }

    pub fn stop(&mut self) -> Entry {
        let mut reasons = StopReasons::default();
        reasons.insert(StopReason::DiskExhausted);
        let (first, detail) = (StopReason::DiskExhausted, "records are not becoming durable".to_owned());
        self.entry(Body::Stopped(StopRecord { seq: 1, first, detail, reasons, piece: None, withheld: None, chart: 0, nelson_rules: 0 }))
    }

    pub fn checkpoint(&mut self) -> Entry {
        let memory = Memory { results: self.results, ..Memory::default() };
        self.entry(Body::Checkpoint(Box::new(memory)))
    }

    pub fn pieces(&mut self, count: usize) -> Vec<Entry> {
        (0..count).map(|_| self.piece()).collect()
    }
}

pub const SMALL: StoreSettings = StoreSettings { segment_bytes: 16 << 10, images: Retention::within(1 << 20), ballast_bytes: 64 << 10 };

/// Written while a test starts a process: until that process runs, it holds a copy of every lock of this one.
pub static STARTING: RwLock<()> = RwLock::new(());

pub fn open_with(dir: &Path, settings: StoreSettings) -> (Store, OpenReport) {
    drop(STARTING.read().unwrap_or_else(PoisonError::into_inner));
    Store::open(dir, settings).unwrap()
}

pub fn open(dir: &Path) -> (Store, OpenReport) {
    open_with(dir, SMALL)
}

/// Every whole entry from 1 on.
pub fn all(store: &Store) -> Vec<Entry> {
    let mut out = Vec::new();
    store
        .read_from(EntryNumber(1), &mut |kept| {
            out.push(kept.entry);
            ControlFlow::Continue(())
        })
        .unwrap();
    out
}

#[test]
fn what_is_kept_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, report) = open(dir.path());
    assert_eq!((report.ledger.head.number.0, report.warnings()), (0, Vec::<String>::new()));
    assert_eq!(store.resume(), Past::default());
    let mut chain = Chain::new();
    let mut kept = Vec::new();
    for round in 0..20 {
        let mut batch = vec![chain.checkpoint()];
        batch.extend(chain.pieces(round));
        assert_eq!(store.keep(&batch).unwrap(), EntryNumber(chain.number));
        kept.extend(batch);
    }
    assert_eq!(all(&store), kept);
    assert_eq!(store.piece(17).unwrap().as_ref(), kept.iter().find(|entry| piece_number(entry) == Some(17)));
    assert_eq!(store.piece(0).unwrap(), None);
    assert_eq!(store.piece(chain.results + 1).unwrap(), None);
    let found: Vec<_> = store.find("SN00017").unwrap().iter().filter_map(piece_number).collect();
    assert_eq!(found, [17]);
    assert_eq!(store.find_piece(PieceId(18)).unwrap().len(), 1);
    let rejects: Vec<_> = store.last_with(Verdict::Reject, 3).unwrap().iter().filter_map(piece_number).collect();
    assert_eq!(rejects, [190, 185, 180]);
    let passes: Vec<_> = store.last_with(Verdict::Pass, 6).unwrap().iter().filter_map(piece_number).collect();
    assert_eq!(passes, [189, 188, 187, 186, 184, 183]);
    assert!((1..=190).all(|id| store.piece(id).unwrap().as_ref().and_then(piece_number) == Some(id)));
    drop(store);

    let (store, report) = open(dir.path());
    assert!(report.warnings().is_empty(), "{report:?}");
    assert!(report.ledger.segments > 3 && report.ledger.segments_read < report.ledger.segments, "{report:?}");
    let past = store.resume();
    assert_eq!(past.last, Some((EntryNumber(chain.number), chain.digest)));
    assert_eq!(past.after, kept[kept.len() - 19..]);
    assert_eq!(past.checkpoint.as_ref(), kept.get(kept.len() - 20));
    assert_eq!(store.pieces(), 190);
    let report = verify::verify(dir.path()).unwrap();
    assert!(report.whole, "{report:?}");
    assert_eq!((report.entries, report.pieces, report.head.digest), (chain.number, 190, chain.digest));
}

#[test]
fn a_plc_that_counts_from_the_start_again_has_two_pieces_of_one_number() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (mut chain, mut model) = (Chain::new(), BTreeMap::<u32, Vec<u64>>::new());
    // Counts, skips, counts on, begins again at 1, and again.
    for numbers in [1..=5, 9..=12, 13..=13, 1..=6, 1..=2] {
        let batch: Vec<_> = numbers.map(|number| chain.piece_numbered(number)).collect();
        store.keep(&batch).unwrap();
        for entry in &batch {
            let Body::Piece(piece) = &entry.body else { continue };
            model.entry(piece.arrival.piece.0).or_default().push(piece.result_id);
        }
    }
    let check = |store: &Store| {
        for number in 0..20 {
            let found: Vec<_> = store.find_piece(PieceId(number)).unwrap().iter().filter_map(piece_number).collect();
            assert_eq!(found, model.get(&number).cloned().unwrap_or_default(), "piece {number}");
        }
    };
    check(&store);
    store.rebuild_view().unwrap();
    check(&store);
}

#[test]
fn a_second_instance_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let refused = Store::open(dir.path(), SMALL).unwrap_err();
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(store);
    open(dir.path());
}

#[test]
fn keeping_finding_and_uploading_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let outbox = store.outbox("trace").unwrap();
    let mut chain = Chain::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                store.keep(&chain.pieces(3)).unwrap();
            }
        });
        scope.spawn(|| {
            let mut seen = Vec::new();
            while seen.len() < 300 {
                let ids: Vec<_> = outbox.next(16).unwrap().iter().map(|parcel| parcel.result_id).collect();
                outbox.delivered(&ids).unwrap();
                seen.extend(ids);
                let counts = outbox.counts();
                assert_eq!(counts.kept, counts.delivered + counts.waiting + counts.quarantined);
            }
            assert_eq!(seen, (1..=300).collect::<Vec<_>>());
        });
        scope.spawn(|| {
            while store.pieces() < 300 {
                let last = store.pieces();
                assert_eq!(store.piece(last).unwrap().as_ref().and_then(piece_number), (last > 0).then_some(last));
            }
        });
    });
    assert_eq!(outbox.counts(), crate::outbox::OutboxCounts { kept: 300, delivered: 300, waiting: 0, quarantined: 0 });
}

#[test]
fn a_store_that_lost_its_ledger_never_starts_empty_in_silence() {
    for lose_the_view in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        let mut chain = Chain::new();
        store.keep(&chain.pieces(5)).unwrap();
        store.outbox("trace").unwrap().quarantine(3, "no").unwrap();
        store.outbox("trace").unwrap().delivered(&[1, 2, 4]).unwrap();
        store.outbox("trace").unwrap().quarantine(5, "no").unwrap();
        drop(store);
        std::fs::remove_dir_all(dir.path().join(LEDGER)).unwrap();
        if lose_the_view {
            std::fs::remove_dir_all(dir.path().join(VIEW)).unwrap();
        }
        let (store, report) = open(dir.path());
        assert!(!report.ledger.faults.is_empty(), "{report:?}");
        let mut chain = Chain::after(&store.resume());
        assert_eq!(chain.results, 5, "no number of a piece record is given twice");
        store.keep(&[chain.piece()]).unwrap();
        let outbox = store.outbox("trace").unwrap();
        assert_eq!(outbox.next(9).unwrap().iter().map(|parcel| parcel.result_id).collect::<Vec<_>>(), [6]);
    }
}

#[test]
fn pictures_that_cannot_be_kept_do_not_keep_records_from_being_kept() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("images"), b"not a directory").unwrap();
    let (store, report) = open(dir.path());
    assert_eq!(report.warnings().len(), 1, "{report:?}");
    assert!(store.images().put(Digest::of(b"x"), b"jpeg", Tag::nobodys(Class::Hold), Timestamp::default()).is_err());
    assert_eq!(store.keep(&Chain::new().pieces(3)).unwrap(), EntryNumber(3));
}

#[test]
fn durable_throughput_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for batch in [1, 16, 64] {
        let (store, _) = open_with(&dir.path().join(batch.to_string()), StoreSettings::default());
        let mut chain = Chain::new();
        let batches: Vec<_> = (0..20).map(|_| chain.pieces(batch)).collect();
        let begun = std::time::Instant::now();
        for batch in &batches {
            store.keep(batch).unwrap();
        }
        let rate = (20 * batch) as f64 / begun.elapsed().as_secs_f64();
        println!("batches of {batch}: {rate:.0} entries/s durable (this build, this disk, this load)");
        assert_eq!(store.pieces(), chain.results);
    }
}
