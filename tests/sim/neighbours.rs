//! Three PLCs of which one is ill: how evenly are the other two read?
//!
//! One shakes hands, two only give readings. Every tag is the PLC's own heartbeat register, so that each value tells when
//! it was made: values that go backwards, or that stop, are seen.
//!
//! Invariant: healthy and ill times take turns in one run, so that a busy machine disturbs both alike.

use plc_bridge::client::SourceSettings;
use plc_bridge::map::{Kind, Sample, TagSpec};
use plc_bridge::sim::hostile::{Hostile, HostileHandle, HostileSettings, Mischief};
use plc_bridge::sim::{Sim, SimSettings};
use plc_bridge::{BridgeReport, Clock, Settings};
use serde_json::{Value, json};
use station::Event;
use station::reading::{Quality, Reading};
use station::units::{Micros, Timestamp};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Time between two readings of a tag.
const EVERY: Micros = Micros::from_millis(10);
/// `PlcHeartbeat` in the control block.
const HEARTBEAT: u16 = 2;
/// Longer than anything here takes on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is wrong with one of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Illness {
    /// A PLC that is only listened to cannot be reached: connecting hangs.
    SourceDead,
    /// It answers 400 ms late.
    SourceSlow,
    /// The PLC that shakes hands cannot be reached.
    PartnerDead,
    /// It answers 400 ms late.
    PartnerSlow,
}

impl Illness {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::SourceDead, Self::SourceSlow, Self::PartnerDead, Self::PartnerSlow];

    /// As it stands in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SourceDead => "source_dead",
            Self::SourceSlow => "source_slow_400ms",
            Self::PartnerDead => "partner_dead",
            Self::PartnerSlow => "partner_slow_400ms",
        }
    }

    const fn mischief(self) -> Mischief {
        match self {
            Self::SourceDead | Self::PartnerDead => Mischief::Unreachable,
            Self::SourceSlow | Self::PartnerSlow => Mischief::Slow(Duration::from_millis(400)),
        }
    }

    const fn patient(self) -> &'static str {
        match self {
            Self::SourceDead | Self::SourceSlow => "third",
            Self::PartnerDead | Self::PartnerSlow => "first",
        }
    }
}

/// How evenly the healthy two were read.
#[derive(Debug, Clone)]
pub struct Evenness {
    /// What was wrong with the third.
    pub illness: Illness,
    /// Microseconds between readings while all were well, turn by turn.
    pub well: Vec<Vec<u64>>,
    /// The same while one was ill, each after the well time of the same turn.
    pub ill: Vec<Vec<u64>>,
    /// Values of the healthy that were older than one before, or not good.
    pub disorder: u64,
}

/// Microseconds: median, one in a hundred, and the mean distance from the period.
fn spread(turns: &[Vec<u64>]) -> (u64, u64, f64) {
    let mut all = turns.concat();
    all.sort_unstable();
    let at = |share: usize| all.get(all.len().saturating_sub(1) * share / 100).copied().unwrap_or(0);
    (at(50), at(99), jitter(&all))
}

/// Mean distance from the period, in microseconds.
fn jitter(intervals: &[u64]) -> f64 {
    let off: u64 = intervals.iter().map(|micros| micros.abs_diff(EVERY.0)).sum();
    f64_of(off) * 1e6 / f64::from(u32::try_from(intervals.len()).unwrap_or(u32::MAX)).max(1.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn percent(change: f64) -> f64 {
    (change * 1000.0).round() / 10.0
}

impl Evenness {
    /// One line of a report. The change of jitter is the median over turns of ill to well of the same turn, and the noise
    /// that of one well time to the next: what a machine at rest changes by itself.
    #[must_use]
    pub fn json(&self) -> Value {
        let ((p50, p99, well), (ill_p50, ill_p99, ill)) = (spread(&self.well), spread(&self.ill));
        let turns = self.well.iter().zip(&self.ill).map(|(well, ill)| jitter(ill) / jitter(well) - 1.0);
        let noise = self.well.windows(2).map(|pair| (jitter(&pair[1]) / jitter(&pair[0]) - 1.0).abs());
        json!({
            "bench": "neighbours",
            "illness": self.illness.name(),
            "turns": self.well.len(),
            "intervals": self.well.iter().map(Vec::len).sum::<usize>(),
            "period_micros": EVERY.0,
            "well": {"p50": p50, "p99": p99, "jitter": well.round()},
            "ill": {"p50": ill_p50, "p99": ill_p99, "jitter": ill.round()},
            "p99_change_percent": percent(f64_of(ill_p99) / f64_of(p99.max(1)) - 1.0),
            "jitter_change_percent": percent(median(turns.collect())),
            "jitter_noise_percent": percent(median(noise.collect())),
            "disorder": self.disorder,
        })
    }
}

fn f64_of(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || {
        let mono_micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        Timestamp { wall_micros: 1_700_000_000_000_000, mono_micros }
    })
}

fn tag(name: &str) -> TagSpec {
    TagSpec { sample: Sample::Every(EVERY), ..TagSpec::new(name, HEARTBEAT, Kind::U16) }
}

/// A PLC behind a proxy.
async fn plc(seed: u64, background: &mut JoinSet<()>) -> (SocketAddr, HostileHandle) {
    let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sim = Sim::bind(localhost, SimSettings { seed, ..SimSettings::default() }).await.expect("a free port");
    let proxy = HostileSettings { listen: localhost, upstream: sim.local_addr(), seed, trouble: None };
    let proxy = Hostile::bind(proxy).expect("a free port");
    let (address, handle) = (proxy.local_addr(), proxy.handle());
    background.spawn(async { sim.run(std::future::pending()).await.expect("the simulated PLC listens") });
    background.spawn(async { proxy.run(std::future::pending()).await.expect("the proxy listens") });
    (address, handle)
}

/// What was last read of each tag.
struct Ear {
    reports: mpsc::UnboundedReceiver<BridgeReport>,
    last: BTreeMap<Arc<str>, Reading>,
    disorder: u64,
}

impl Ear {
    async fn next(&mut self) -> Reading {
        loop {
            let report = timeout(DEADLINE, self.reports.recv()).await.expect("readings come").expect("the bridge runs");
            if let BridgeReport::Event(Event::Read(reading)) = report {
                return reading;
            }
        }
    }

    /// Intervals of every tag but that of `patient`, until there are `count` of them.
    async fn intervals(&mut self, patient: &str, count: usize) -> Vec<u64> {
        let mut intervals = Vec::with_capacity(count);
        let (mut since, mut seen) = (BTreeMap::new(), 0);
        while intervals.len() < count {
            let reading = self.next().await;
            if &*reading.tag == patient {
                continue;
            }
            seen += 1;
            let older = self.last.get(&reading.tag).is_some_and(|last| backwards(last.value, reading.value));
            self.disorder += u64::from(older || reading.quality != Quality::Good);
            // The first intervals lie in the time before.
            if let Some(last) = since.insert(Arc::clone(&reading.tag), reading.sampled_at)
                && seen > 10
            {
                intervals.push(reading.sampled_at.since(last).0);
            }
            self.last.insert(Arc::clone(&reading.tag), reading);
        }
        intervals
    }
}

/// The heartbeat counts up and wraps.
fn backwards(before: f64, now: f64) -> bool {
    let step = now - before;
    !(0.0..=32_768.0).contains(&if step < 0.0 { step + 65_536.0 } else { step })
}

/// Reads three PLCs, `turns` times `count` intervals well and ill.
///
/// # Panics
/// If readings of the healthy stop coming.
pub async fn measure(illness: Illness, turns: usize, count: usize) -> Evenness {
    let mut background = JoinSet::new();
    let (first, first_hand) = plc(1, &mut background).await;
    let (second, _) = plc(2, &mut background).await;
    let (third, third_hand) = plc(3, &mut background).await;
    let mut settings = Settings::new(first, clock());
    if let Some(partner) = &mut settings.plc {
        partner.tags = vec![tag("first")];
    }
    settings.sources = [("second", second), ("third", third)].map(|(name, at)| SourceSettings::new(name, at, vec![tag(name)])).to_vec();
    // A busy machine must not make the healthy look ill.
    let partner = settings.plc.iter_mut().map(|plc| ("first".into(), &mut plc.peer));
    let peers = partner.chain(settings.sources.iter_mut().map(|source| (source.name.to_string(), &mut source.peer)));
    for (_, peer) in peers.filter(|(name, _)| name != illness.patient()) {
        peer.call_timeout = Duration::from_secs(5);
    }
    let (tell, reports) = mpsc::unbounded_channel();
    let (commands, asked) = mpsc::channel(1);
    let report = move |report| tell.send(report).unwrap_or_default();
    background.spawn(plc_bridge::run(settings, asked, report, std::future::pending()));

    let patient = illness.patient();
    let hand = if patient == "first" { first_hand } else { third_hand };
    let mut ear = Ear { reports, last: BTreeMap::new(), disorder: 0 };
    let mut evenness = Evenness { illness, well: Vec::new(), ill: Vec::new(), disorder: 0 };
    for _ in 0..turns {
        while ear.next().await.tag.as_ref() != patient {}
        evenness.well.push(ear.intervals(patient, count).await);
        hand.begin(illness.mischief());
        // It is noticed when the patient's tag is no longer good.
        loop {
            let reading = ear.next().await;
            if &*reading.tag == patient && reading.quality != Quality::Good {
                break;
            }
        }
        evenness.ill.push(ear.intervals(patient, count).await);
        hand.end();
        loop {
            let reading = ear.next().await;
            if &*reading.tag == patient && reading.quality == Quality::Good {
                break;
            }
        }
    }
    drop(commands);
    background.shutdown().await;
    Evenness { disorder: ear.disorder, ..evenness }
}
