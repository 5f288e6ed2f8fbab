//! A camera without a device: moving stripes, and every way in which a real one misbehaves.
//!
//! The first word of its script says how it is; the script is read again before every act, so that a test or a person can
//! change it while it runs.
//!
//! Invariant: no two starts draw the same picture, so that one that was started again is not taken for one that repeats itself.

use crate::{Picture, Source, Taken, Trouble};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vision_models::camera::wire::{Order, TriggerMode};
use vision_models::frame::PixelFormat;

/// How a simulated camera is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Well,
    /// The cable is out: it cannot be opened, and an open one is gone.
    Pulled,
    /// Its driver never returns.
    Hang,
    /// It delivers its last picture again.
    Stale,
    /// It answers, but takes no pictures.
    Mute,
    /// It delivers darkness.
    Black,
    /// It delivers one row less.
    Size,
    /// Each picture takes this long.
    Slow(Duration),
    /// Its driver crashes.
    Crash,
}

/// The stripes.
pub struct Simulated {
    layout: (u32, u32, PixelFormat),
    interval: Option<Duration>,
    script: Option<PathBuf>,
    pixels: Vec<u8>,
    /// Differs from start to start.
    start: u64,
    number: u64,
    triggers: u32,
    due: Instant,
    begun: Instant,
}

impl Simulated {
    /// Opens it, if it is not pulled.
    pub fn open(order: &Order, interval: Duration, script: Option<PathBuf>) -> Result<Self, Trouble> {
        let Order { width, height, format, .. } = *order;
        let bytes = format.bytes(width, height).ok_or_else(|| Trouble(format!("{width}x{height} is no size of a picture")))?;
        let interval = (order.trigger != TriggerMode::Software).then_some(interval.max(Duration::from_millis(1)));
        let now = Instant::now();
        let layout = (width, height, format);
        let (pixels, start) = (vec![0; bytes], start());
        let simulated = Self { layout, interval, script, pixels, start, number: 0, triggers: 0, due: now, begun: now };
        simulated.endure()?;
        Ok(simulated)
    }

    fn mode(&self) -> Mode {
        let text = self.script.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let mut words = text.split_whitespace();
        match words.next() {
            Some("pulled") => Mode::Pulled,
            Some("hang") => Mode::Hang,
            Some("stale") => Mode::Stale,
            Some("mute") => Mode::Mute,
            Some("black") => Mode::Black,
            Some("size") => Mode::Size,
            Some("slow") => Mode::Slow(Duration::from_millis(words.next().and_then(|word| word.parse().ok()).unwrap_or(1000))),
            Some("crash") => Mode::Crash,
            _ => Mode::Well,
        }
    }

    /// What a driver does that is asked anything while the device is in this state.
    fn endure(&self) -> Result<Mode, Trouble> {
        match self.mode() {
            Mode::Pulled => Err(Trouble("the cable is out".to_owned())),
            Mode::Crash => std::process::abort(),
            Mode::Hang => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            mode => Ok(mode),
        }
    }

    fn draw(&mut self, black: bool) {
        let width = usize::try_from(self.layout.0).unwrap_or(1) * self.layout.2.channels();
        let shift = usize::try_from(self.number % 251).unwrap_or(0);
        let seed = usize::try_from(self.number).unwrap_or(0).wrapping_mul(0x9E37_79B9);
        let mut rows = self.start;
        for (y, row) in self.pixels.chunks_exact_mut(width).enumerate() {
            rows = mix(rows);
            let start = usize::from(rows.to_be_bytes()[0] & 0x0F);
            for (x, pixel) in row.iter_mut().enumerate() {
                // The noise of a dark sensor differs from picture to picture.
                let value = if black { (x.wrapping_mul(seed | 1) >> 13) % 3 } else { x + y + shift * 7 + start };
                *pixel = u8::try_from(value & 0xFF).unwrap_or(0);
            }
        }
    }
}

/// The process and how often one was opened in it: as far as pictures are remembered, no other start has both.
fn start() -> u64 {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    (u64::from(std::process::id()) << 32) | STARTS.fetch_add(1, Ordering::Relaxed)
}

/// Steele, Lea and Flood's SplitMix64: the next of a row of numbers without a pattern.
const fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Source for Simulated {
    fn layout(&self) -> (u32, u32, PixelFormat) {
        self.layout
    }

    fn trigger(&mut self) -> Result<(), Trouble> {
        let mode = self.endure()?;
        self.triggers += 1;
        self.due = Instant::now() + if let Mode::Slow(time) = mode { time } else { Duration::ZERO };
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Taken<'_>, Trouble> {
        let mode = self.endure()?;
        let asked = self.interval.is_some() || self.triggers > 0;
        let left = self.due.saturating_duration_since(Instant::now());
        if !asked || mode == Mode::Mute || !left.is_zero() {
            std::thread::sleep(wait.min(left.max(Duration::from_micros(500))));
            return Ok(Taken::Nothing);
        }
        self.triggers = self.triggers.saturating_sub(1);
        if let Some(interval) = self.interval {
            self.due = Instant::now() + if let Mode::Slow(time) = mode { time } else { interval };
        }
        if mode != Mode::Stale || self.number == 0 {
            self.number += 1;
            self.draw(mode == Mode::Black);
        }
        let (width, height, format) = self.layout;
        let height = if mode == Mode::Size { height.saturating_sub(1).max(1) } else { height };
        let stride = usize::try_from(width).unwrap_or(0) * format.channels();
        let device_micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (number, rows) = (self.number, self.pixels.as_slice());
        Ok(Taken::Picture(Picture { width, height, format, number, device_micros, rows, stride }))
    }

    fn alive(&mut self) -> Result<(), Trouble> {
        self.endure().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vision_models::camera::wire::Device;

    fn pictures(simulated: &mut Simulated, count: usize) -> Vec<(u64, Vec<u8>)> {
        let mut taken = Vec::new();
        while taken.len() < count {
            simulated.trigger().unwrap();
            if let Taken::Picture(picture) = simulated.next(Duration::from_secs(1)).unwrap() {
                taken.push((picture.number, picture.rows.to_vec()));
            }
        }
        taken
    }

    #[test]
    fn no_start_repeats_another_and_a_frozen_one_repeats_itself() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        let device = Device::Simulated { interval_millis: 40, script: Some(script.clone()) };
        let order = Order { device, trigger: TriggerMode::Software, width: 64, height: 48, format: PixelFormat::Mono8 };
        let mut all: Vec<(u64, Vec<u8>)> = Vec::new();
        for _ in 0..8 {
            let mut opened = Simulated::open(&order, Duration::from_millis(40), Some(script.clone())).unwrap();
            all.extend(pictures(&mut opened, 40));
        }
        let mut different: Vec<_> = all.iter().map(|(_, pixels)| pixels).collect();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 320, "numbers begin anew with each start, pictures do not");

        let mut frozen = Simulated::open(&order, Duration::from_millis(40), Some(script.clone())).unwrap();
        let before = pictures(&mut frozen, 1);
        std::fs::write(&script, "stale").unwrap();
        assert_eq!(pictures(&mut frozen, 3), [&before[..], &before[..], &before[..]].concat());
    }
}
