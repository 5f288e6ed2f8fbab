//! Cost of one point on an I-MR chart with Nelson's eight rules, streaming and batch, beside a Python peer in the same run.
//!
//! One JSON line per measurement: medians (`p50`) and the least (`min`) of many alternating rounds, in CPU time of this thread,
//! as the peer counts, so that the machine's other work does not count. The peer is `shared/peer/spc/bench_python.py`; without it
//! (or without Python and numpy) our own figures are printed alone.

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde_json::{Value, json};
use spc::{ChartKind, Limits, Monitor, RuleSet, Settings, batch};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

const POINTS: usize = 200_000;
const ROUNDS: usize = 31;

/// Deterministic noise around 10 with a standard deviation near 1 (sum of twelve uniform numbers, splitmix64).
fn values() -> Vec<f64> {
    let mut state = 7_u64;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0)) / 4_294_967_296.0
    };
    (0..POINTS).map(|_| 4.0 + (0..12).map(|_| uniform()).sum::<f64>()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a day fit an f64 exactly")]
fn nanos_per_point(work: impl FnOnce()) -> f64 {
    let begun = clock_gettime(ClockId::ThreadCPUTime);
    work();
    let ended = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = |time: Timespec| time.tv_sec as f64 * 1e9 + time.tv_nsec as f64;
    (nanos(ended) - nanos(begun)) / POINTS as f64
}

fn streaming(values: &[f64], range_rules: RuleSet) -> f64 {
    let settings = Settings { rules: RuleSet::nelson(), range_rules, ..Settings::values() };
    let mut monitor = Monitor::individuals(settings).expect("sound settings");
    nanos_per_point(|| {
        for value in values {
            black_box(monitor.push_value(*value).expect("finite"));
        }
    })
}

fn judged_in_batch(limits: &Limits, values: &[f64]) -> f64 {
    let Settings { range_rules, .. } = Settings::values();
    nanos_per_point(|| {
        black_box(batch::judge_values(limits, &RuleSet::nelson(), &range_rules, black_box(values)).expect("finite"));
    })
}

/// Limits anew from the whole series.
fn estimated(values: &[f64]) -> f64 {
    nanos_per_point(|| {
        black_box(batch::estimate(ChartKind::Individuals, black_box(values), &[], &Settings::values()).expect("finite"));
    })
}

/// Least and median.
fn spread(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2])
}

/// The peer's nanoseconds per point, the least of three rounds: streaming in plain Python, all rules in numpy.
fn python() -> Option<(f64, f64)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let peer = root.join("../shared/peer/spc/bench_python.py");
    let venv = root.join(".venv/bin/python3");
    let python = if venv.is_file() { venv } else { "python3".into() };
    let output = Command::new(python).arg(&peer).arg(POINTS.to_string()).output().ok().filter(|output| output.status.success())?;
    let report: Value = serde_json::from_slice(&output.stdout).ok()?;
    let points = f64::from(u32::try_from(POINTS).ok()?);
    let streaming = report["python_stream_us_per_point"]["cpu"].as_f64()?;
    Some((streaming * 1000.0, report["numpy_all_nelson"]["cpu"].as_f64()? / points * 1e9))
}

/// What must hold: nanoseconds at the median, or how many times the peer's least time is ours.
enum Bar {
    Nanos(f64),
    Times(f64),
}

fn tell(bench: &str, ours: (f64, f64), peer: &str, theirs: Option<f64>, bar: Bar) {
    let (bar, met) = match bar {
        Bar::Nanos(most) => (format!("p50<={most}"), ours.1 <= most),
        Bar::Times(least) => (format!("ratio<=1/{least}"), theirs.is_some_and(|theirs| theirs >= least * ours.0)),
    };
    let line = json!({
        "bench": bench, "unit": "ns_per_point", "ours": {"min": ours.0, "p50": ours.1}, "peer": theirs.map(|_| peer),
        "theirs": theirs.map(|theirs| json!({"min": theirs})), "ratio": theirs.map(|theirs| json!({"min": ours.0 / theirs})),
        "bar": bar, "met": met,
    });
    println!("{line}");
}

fn main() {
    let values = values();
    let limits = batch::estimate(ChartKind::Individuals, &values[..25], &[], &Settings::values()).expect("25 points");
    let (mut stream, mut location, mut batch, mut limits_anew) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        stream.push(streaming(&values, Settings::values().range_rules));
        limits_anew.push(estimated(&values));
        batch.push(judged_in_batch(&limits, &values));
        // The peer's work: it judges the values and not their moving ranges.
        location.push(streaming(&values, RuleSet::only(&[])));
    }
    let peer = python();
    if peer.is_none() {
        eprintln!("the Python peer did not run (shared/peer/spc, Python and numpy are needed): our figures stand alone");
    }
    let (stream, location, batch, limits_anew) = (spread(stream), spread(location), spread(batch), spread(limits_anew));
    let plain = peer.map(|(streaming, _)| streaming);
    tell("spc.imr_nelson8_streaming", stream, "plain Python, which does not judge moving ranges", plain, Bar::Nanos(40.0));
    tell("spc.imr_nelson8_streaming_values_alone", location, "plain Python", plain, Bar::Times(40.0));
    tell("spc.imr_nelson8_batch", batch, "numpy, which does not judge moving ranges", peer.map(|(_, batch)| batch), Bar::Nanos(15.0));
    tell("spc.imr_limits", limits_anew, "numpy", None, Bar::Nanos(10.0));
    println!("I-MR + Nelson 1-8: streaming {:.0} ns, batch {:.0} ns per point", stream.1, batch.1);
}
