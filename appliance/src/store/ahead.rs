//! Reads the entries of frames ahead of whoever walks past them, on every core: reading an entry takes ten times as long as
//! finding its frame, and a million of them are to be read while somebody waits.
//!
//! Invariant: what is given for a part is what [`Frame::entry`](super::segment::Frame::entry) says of it, whatever the number of threads.

use super::segment::{Frame, FrameFault, Part};
use station::record::Entry;
use std::num::NonZero;
use std::thread;

/// Parts read at once, at most: some megabytes of entries.
const WINDOW: usize = 512;
/// Fewer than this are read on the spot.
const WORTH_A_THREAD: usize = 64;
/// More threads than this only wait for the one that walks.
const THREADS_MAX: usize = 4;

/// The entries of the parts of a segment.
pub struct Ahead<'p, 'a> {
    parts: &'p [Part<'a>],
    /// Index of the part that `ready` begins with.
    first: usize,
    ready: Vec<Option<Result<Entry, FrameFault>>>,
    /// How many to read next: few for those who stop soon.
    window: usize,
}

impl<'p, 'a> Ahead<'p, 'a> {
    /// Nothing is read yet.
    pub const fn new(parts: &'p [Part<'a>]) -> Self {
        Self { parts, first: 0, ready: Vec::new(), window: 1 }
    }

    /// The entry of `frame`, which is the part at `index`.
    pub fn entry(&mut self, index: usize, frame: &Frame<'_>) -> Result<Entry, FrameFault> {
        if index < self.first || index >= self.first + self.ready.len() {
            let rest = self.parts.get(index..).unwrap_or_default();
            self.ready = read(&rest[..rest.len().min(self.window)]);
            self.first = index;
            self.window = (self.window * 2).min(WINDOW);
        }
        self.ready.get_mut(index - self.first).and_then(Option::take).unwrap_or_else(|| frame.entry())
    }
}

fn read_one(part: &Part<'_>) -> Option<Result<Entry, FrameFault>> {
    if let Part::Frame(frame) = part { Some(frame.entry()) } else { None }
}

fn read(parts: &[Part<'_>]) -> Vec<Option<Result<Entry, FrameFault>>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    if parts.len() < WORTH_A_THREAD || threads == 1 {
        return parts.iter().map(read_one).collect();
    }
    let (own, others) = parts.split_at(parts.len().div_ceil(threads));
    thread::scope(|scope| {
        let share = others.len().div_ceil(threads - 1).max(1);
        let others: Vec<_> = others.chunks(share).map(|chunk| scope.spawn(|| chunk.iter().map(read_one).collect::<Vec<_>>())).collect();
        let mut ready: Vec<_> = own.iter().map(read_one).collect();
        for other in others {
            ready.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        ready
    })
}
