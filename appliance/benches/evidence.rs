//! A million records: kept, asked, shown, indexed again; beside SQLite on the same work.
//!
//! Records are those of the sample plan, some three kilobytes each, kept in groups as the store thread makes them, each group durable
//! before the next. `QUICK=1` takes a tenth. SQLite (Python's own) does the same with WAL and `synchronous=FULL`: the same
//! bytes of text with the columns and indexes that the same questions need.

use appliance::store::rows::question::{Question, Range};
use appliance::store::{Store, StoreSettings};
use serde_json::json;
use station::inspection::{ClassId, Finding, Inspection, ModelRef, PixelBox, StageMicros};
use station::piece::{Arrival, PieceId};
use station::reading::{Quality, Reading};
use station::record::{Body, ChartPoint, Entry, EntryNumber, PieceRecord};
use station::units::{Digest, EncoderCount, Timestamp};
use station::verdict::{Judgement, Reason, Verdict};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Entries that are made durable together; what the store thread finds when records come fast.
const GROUP: u64 = 256;
/// Pieces of a lot.
const LOT: u64 = 5_000;

fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = if std::env::var_os("QUICK").is_some() { 100_000 } else { 1_000_000 };
    let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"))?;
    let data = dir.path().join("data");
    let settings = StoreSettings::default();
    let (store, _) = Store::open(&data, settings)?;
    let (mut maker, mut keeping, mut payload) = (Maker::default(), Duration::ZERO, 0_usize);
    for _ in 0..count.div_ceil(GROUP) {
        let group: Vec<Entry> = (0..GROUP.min(count - maker.results)).map(|_| maker.piece(&mut payload)).collect();
        let begun = Instant::now();
        store.keep(&group)?;
        keeping += begun.elapsed();
    }
    let rate = number(count) / keeping.as_secs_f64();
    let lot = Question { lots: vec![3], ..Question::default() };
    let oven = Range { tag: "oven_zone_1".to_owned(), min: 240.0, max: 241.0 };
    let point = Question { readings: vec![oven], model: Some("pcb".to_owned()), since_micros: Some(0), ..Question::default() };
    let asked = [("lot", &lot), ("set point", &point)].map(|(name, question)| {
        let times: Vec<f64> = (0..5).map(|_| millis(|| store.search(question).map(|found| found.records.len()))).collect();
        (name, store.search(question).map(|found| found.records.len()).unwrap_or_default(), median(times))
    });
    // Any piece: numbers without an order, by a multiplier that is coprime to the count.
    let cards: Vec<f64> = (0..1000_u64).map(|n| millis(|| store.piece(1 + n * 7_919 % count))).collect();
    let card = median(cards.clone());
    let worst = cards.into_iter().fold(0.0, f64::max);
    let begun = Instant::now();
    let read = store.rebuild_view()?;
    let rebuilt = begun.elapsed().as_secs_f64();
    drop(store);
    let disk = bytes_below(&data) - settings.ballast_bytes;
    let share = number(disk) / payload_bytes(payload);
    println!(
        "{}",
        json!({"bench": "evidence", "records": count, "bytes_a_record": payload / usize::try_from(count)?, "kept_per_s": round(rate),
        "recall_ms": asked.iter().map(|(name, found, ms)| json!({"by": name, "found": found, "p50": round(*ms)})).collect::<Vec<_>>(),
        "card_ms": {"p50": round(card), "max": round(worst)}, "rebuild_s": round(rebuilt), "entries_read": read,
        "disk_over_payload": round(share), "rss_mb_max": round(rss_mb())})
    );
    drop(std::fs::remove_dir_all(&data));
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/evidence_sqlite.py");
    let peer = Command::new(python).arg(script).arg(dir.path().join("peer.db")).args([count.to_string(), GROUP.to_string()]).output()?;
    if !peer.status.success() {
        eprintln!("no peer: {}", String::from_utf8_lossy(&peer.stderr));
        return Ok(());
    }
    let peer: serde_json::Value = serde_json::from_slice(&peer.stdout)?;
    println!("{peer}");
    let of = |key: &str| peer[key].as_f64().unwrap_or(f64::NAN);
    println!(
        "{count} records: kept {:.0}/s (SQLite {:.0}: {:.2} x), recall by set point {:.0} ms (SQLite {:.0}), a card {card:.2} ms, index again {rebuilt:.1} s, disk {share:.2} x payload (SQLite {:.2}), {:.0} MB",
        rate,
        of("kept_per_s"),
        rate / of("kept_per_s"),
        asked[1].2,
        of("recall_ms"),
        of("disk_over_payload"),
        rss_mb()
    );
    Ok(())
}

/// Makes the records of a line that runs.
#[derive(Default)]
struct Maker {
    number: u64,
    digest: Digest,
    results: u64,
}

impl Maker {
    fn piece(&mut self, payload: &mut usize) -> Entry {
        self.number += 1;
        self.results += 1;
        let n = self.results;
        let wall_micros = 1_795_000_000_000_000 + i64::try_from(n * 40_000).unwrap_or(0);
        let at = Timestamp { wall_micros, mono_micros: n * 40_000 };
        let wave = |period: u64, height: f64| number(n * 2_654_435_761 % period) / number(period) * height;
        let reading = |tag: &str, value: f64, unit: &str| Reading {
            tag: tag.into(),
            value,
            unit: unit.into(),
            text: None,
            quality: Quality::Good,
            sampled_at: at,
        };
        let point = |chart: u16| ChartPoint {
            chart,
            index: n,
            value: 120.0 + wave(997, 4.0),
            range: Some(wave(991, 3.0)),
            centre: Some(120.0),
            lcl: Some(114.0),
            ucl: Some(126.0),
            signals: Vec::new(),
        };
        let is_bad = n.is_multiple_of(50);
        let finding = Finding {
            class: ClassId(3),
            score: 0.91,
            bounds: PixelBox { x1: 10.5, y1: 20.25, x2: 33.0, y2: 41.5 },
            area_mm2: None,
            camera: 0,
        };
        let record = PieceRecord {
            result_id: n,
            arrival: Arrival {
                piece: PieceId(u32::try_from(n).unwrap_or(0)),
                serial: Some(format!("SN{n:010}")),
                lot: u32::try_from(n / LOT + 1).unwrap_or(0),
                encoder: EncoderCount(u32::try_from(n % 4_000_000).unwrap_or(0)),
                acquisition: 1,
                golden: false,
                retain: false,
                user_data: Vec::new(),
            },
            arrived_at: at,
            inspection: Some(Arc::new(Inspection {
                piece: PieceId(u32::try_from(n).unwrap_or(0)),
                acquisition: 1,
                camera: "cam0".into(),
                frame: n,
                image: Digest::of(&n.to_le_bytes()),
                width: 640,
                height: 640,
                model: Arc::new(ModelRef { package: "pcb@2.1.0".to_owned(), weights: Digest::of(b"weights") }),
                findings: if is_bad { vec![finding; 2] } else { Vec::new() },
                measurements: Vec::new(),
                micros: StageMicros { capture: 90, prepare: 350, infer: 8_900, decode: 12 },
                views: Vec::new(),
            })),
            judgement: Judgement {
                verdict: if is_bad { Verdict::Reject } else { Verdict::Pass },
                reasons: if is_bad { vec![Reason::Defects { class: ClassId(3), count: 2, score: 0.91 }] } else { Vec::new() },
                grade: if is_bad { 3 } else { 1 },
            },
            rubric_version: 1,
            readings: vec![
                reading("paste_height", 118.0 + wave(1009, 4.0), "um"),
                reading("oven_zone_1", 230.0 + wave(10_007, 20.0), "Cel"),
                reading("oven_zone_2", 240.0 + wave(1013, 5.0), "Cel"),
                reading("oven_zone_3", 250.0 + wave(1019, 5.0), "Cel"),
                reading("placement_force", 3.0 + wave(1021, 0.5), "N"),
            ],
            points: (1..=5).map(point).collect(),
            reject_at: is_bad.then_some(EncoderCount(17)),
            latency_micros: 11_000,
            made_of: Default::default(),
        };
        let entry = Entry { number: EntryNumber(self.number), at, previous: self.digest, body: Body::Piece(Box::new(record)) };
        let bytes = entry.to_bytes().unwrap_or_default();
        *payload += bytes.len();
        self.digest = Entry::digest(entry.previous, &bytes);
        entry
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

fn payload_bytes(bytes: usize) -> f64 {
    number(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn millis<T, E>(ask: impl FnOnce() -> Result<T, E>) -> f64 {
    let begun = Instant::now();
    if ask().is_err() { f64::NAN } else { begun.elapsed().as_secs_f64() * 1000.0 }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.metadata().map_or(0, |meta| if meta.is_dir() { bytes_below(&entry.path()) } else { meta.len() })).sum()
}

/// Largest resident set of this process.
fn rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(f64::NAN) / 1000.0
}
