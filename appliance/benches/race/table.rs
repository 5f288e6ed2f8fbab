//! Medians over rounds and of the ratios within each round, beside the bars.

use crate::contestants::{Run, quantiles};

/// The table for people.
pub fn table(runs: &[Run], share: f64) -> String {
    let mut text = String::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    text.push_str(&format!(
        "\n{:<28} {:>5} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>6} {:>6} {:>5} {:>5}\n",
        "contestant", "model", "react", "p99", "p99.9", "infer", "overhead", "CPU/frm", "RSS", "first", "drop", "wrong"
    ));
    for run in runs {
        if seen.contains(&(&run.name, &run.track)) {
            continue;
        }
        seen.push((&run.name, &run.track));
        let of = |value: fn(&Run) -> f64| median(of(runs, &run.name, &run.track).map(value).collect());
        let sum = |value: fn(&Run) -> u64| of_runs(runs, run).map(value).sum::<u64>();
        text.push_str(&format!(
            "{:<28} {:>5} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>9.3} {:>8.2} {:>6.0} {:>6.2} {:>5} {:>5}\n",
            run.name,
            run.track,
            of(|run| run.react[0]),
            of(|run| run.react[1]),
            of(|run| run.react[2]),
            of(|run| run.infer[0]),
            of(|run| run.overhead),
            of(|run| run.cpu),
            of(|run| run.rss),
            of(|run| run.first),
            sum(|run| run.dropped),
            sum(|run| run.wrong),
        ));
    }
    text.push_str("(ms, MB, s; a reaction is from the picture in memory to the PLC's answer)\n\n");
    for (what, value, bar) in bars(runs) {
        text.push_str(&format!("{what:<78} {value:>8.3}  <= {bar:<5} {}\n", if value <= bar { "met" } else { "NOT MET" }));
    }
    let (what, least) = ("two cameras without a loss, of the throughput of two bare streams", 0.93);
    text.push_str(&format!("{what:<78} {share:>8.3}  >= {least:<5} {}\n", if share >= least { "met" } else { "NOT MET" }));
    text
}

fn of<'r>(runs: &'r [Run], name: &'r str, track: &'r str) -> impl Iterator<Item = &'r Run> {
    runs.iter().filter(move |run| run.name == name && run.track == track)
}

fn of_runs<'r>(runs: &'r [Run], like: &'r Run) -> impl Iterator<Item = &'r Run> {
    of(runs, &like.name, &like.track)
}

fn bars(runs: &[Run]) -> Vec<(&'static str, f64, f64)> {
    let one = |name: &str, track: &str, value: fn(&Run) -> f64| median(of(runs, name, track).map(value).collect());
    let ratio = |name: &str, to: &str, value: fn(&Run) -> f64| {
        let pairs = of(runs, name, "s320").filter_map(|run| {
            let other = of(runs, to, "s320").find(|other| other.round == run.round)?;
            Some(value(run) / value(other))
        });
        median(pairs.collect())
    };
    let tail = |name: &str| {
        let mut all: Vec<f64> = of(runs, name, "s320").flat_map(|run| run.overheads.iter().copied()).collect();
        all.sort_by(f64::total_cmp);
        let [p50, _, p999] = quantiles(&all);
        p999 / p50
    };
    let (ours, cut) = ("jidoka", "jidoka, verdict first");
    vec![
        ("overhead p50, 640x640 colour (ms)", one(ours, "s320", |run| run.overhead), 0.6),
        ("  of the tuned peer's", ratio(ours, "tuned", |run| run.overhead), 0.45),
        ("overhead p50, 5 megapixels grey (ms)", one(ours, "n640", |run| run.overhead), 2.0),
        ("reaction p50 over bare inference of the same graph", ratio(ours, "bare s320", |run| run.react[0]), 1.06),
        ("reaction p99 over bare inference's p99", ratio(ours, "bare s320", |run| run.react[1]), 1.10),
        ("overhead p99.9 over its p50", tail(ours), 4.0),
        ("reaction p50, verdict first, over the tuned peer's", ratio(cut, "tuned", |run| run.react[0]), 0.75),
        ("CPU per frame over bare inference's", ratio(ours, "bare s320", |run| run.cpu), 1.08),
        ("peak resident memory, one camera (MB)", one(ours, "s320", |run| run.rss), 130.0),
        ("peak resident memory, two cameras (MB)", one("jidoka, two cameras", "s320", |run| run.rss), 130.0),
        ("exec to first verdict over the tuned peer's", ratio(ours, "tuned", |run| run.first), 0.5),
        ("verdicts unlike the pictures' names, and pieces nobody judged", wrongs(runs), 0.0),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "some pieces")]
fn wrongs(runs: &[Run]) -> f64 {
    runs.iter().filter(|run| run.name.starts_with("jidoka")).map(|run| run.wrong + run.dropped).sum::<u64>() as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
