//! Connected pieces of a small picture of two levels.
//!
//! Invariants: copper holds together over corners too, bare board over sides alone, so that no two of them cross; pieces are
//! numbered from 1 in the order in which they are met, row by row.

/// A number for each pixel: its piece, or 0 where there is none.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    of: Vec<u32>,
    count: usize,
}

impl Pieces {
    /// How many of the marked pixels each piece has; those of no piece come first.
    pub(super) fn counts(&self, marked: &[bool]) -> Vec<usize> {
        let mut counts = vec![0; self.count + 1];
        for (piece, _) in self.of.iter().zip(marked).filter(|(_, marked)| **marked) {
            counts[index(*piece)] += 1;
        }
        counts
    }
}

/// Finds the pieces of what is copper, or of what is not. `open` is memory to work with.
pub(super) fn label(picture: &[bool], copper: bool, columns: usize, pieces: &mut Pieces, open: &mut Vec<usize>) {
    pieces.of.clear();
    pieces.of.resize(picture.len(), 0);
    pieces.count = 0;
    let rows = picture.len() / columns.max(1);
    for first in 0..picture.len() {
        if picture[first] != copper || pieces.of[first] != 0 {
            continue;
        }
        pieces.count += 1;
        let number = u32::try_from(pieces.count).unwrap_or(u32::MAX);
        pieces.of[first] = number;
        open.clear();
        open.push(first);
        while let Some(place) = open.pop() {
            let (x, y) = (place % columns, place / columns);
            for next_y in y.saturating_sub(1)..(y + 2).min(rows) {
                for next_x in x.saturating_sub(1)..(x + 2).min(columns) {
                    let next = next_y * columns + next_x;
                    if (copper || next_x == x || next_y == y) && picture[next] == copper && pieces.of[next] == 0 {
                        pieces.of[next] = number;
                        open.push(next);
                    }
                }
            }
        }
    }
}

/// How many pixels each piece of one picture shares with each of another.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pixels: Vec<u32>,
    others: usize,
}

impl Shared {
    /// More pairs than this are noise and not copper; nothing is said about them.
    const PAIRS: usize = 1 << 18;

    pub(super) fn count(&mut self, pieces: &Pieces, others: &Pieces) -> Option<()> {
        let pairs = (pieces.count + 1) * (others.count + 1);
        self.others = others.count + 1;
        self.pixels.clear();
        if pairs > Self::PAIRS {
            return None;
        }
        self.pixels.resize(pairs, 0);
        for (piece, other) in pieces.of.iter().zip(&others.of) {
            self.pixels[index(*piece) * self.others + index(*other)] += 1;
        }
        Some(())
    }

    /// As many pieces of the other picture share at least `least` pixels with this one.
    pub(super) fn partners(&self, piece: usize, least: u32) -> usize {
        let row = self.pixels.get(piece * self.others..(piece + 1) * self.others).unwrap_or_default();
        row.iter().skip(1).filter(|pixels| **pixels >= least).count()
    }
}

/// Pieces are fewer than pixels.
fn index(piece: u32) -> usize {
    usize::try_from(piece).unwrap_or(usize::MAX)
}
