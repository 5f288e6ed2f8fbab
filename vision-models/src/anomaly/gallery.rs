//! The gallery of good pieces, and how far a piece is from it.
//!
//! A piece has two marks. *Part*: every place is compared with the same place of the ten good pieces that are most like this
//! one, the nearest counts, and the mean of the twenty farthest places is taken: a local fault. *Whole*: the mean distance
//! over all places to the one good piece that is most like it: a piece that is odd all over. Each mark is divided by what
//! is usual for a good piece; a third of part and two thirds of whole are the piece's *distance*: 1 is usual.
//!
//! Invariant: a good piece is never compared with itself when the usual is found, nor when the threshold is.

use super::statistics::{Features, narrow, normal_tail, quantile, real};

/// A piece is compared with this many good pieces, the ones most like it.
pub(super) const NEAREST: usize = 10;

/// So many of the farthest places make the mark of the part.
pub(super) const WORST: usize = 20;

/// Weight of the mark of the whole where that of the part has 1.
pub(super) const WHOLE_WEIGHT: f32 = 2.0;

/// The marks of the good pieces, each against all others.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Usual {
    /// Median mark of the part.
    pub(super) part: f32,
    /// Median mark of the whole.
    pub(super) whole: f32,
    /// Distance of a place that 1 in 200 places of good pieces exceeds.
    pub(super) place: f32,
    /// Distance of every piece, in their order.
    pub(super) distances: Vec<f32>,
}

/// Projected good pieces as the model has them: for each place, for each number, all pieces.
pub(super) struct Gallery {
    pub(super) pieces: usize,
    pub(super) kept: usize,
    pub(super) places: usize,
    pub(super) values: Vec<f32>,
}

impl Gallery {
    /// Of projected features, `kept` planes each.
    pub(super) fn of(projected: &[Features], kept: usize) -> Self {
        let pieces = projected.len();
        let places = projected.first().map_or(0, |features| features.len() / kept);
        let mut values = Vec::with_capacity(pieces * kept * places);
        for place in 0..places {
            for number in 0..kept {
                values.extend(projected.iter().map(|features| features[number * places + place]));
            }
        }
        Self { pieces, kept, places, values }
    }

    /// `|x|²` for each place and piece.
    pub(super) fn squares(&self) -> Vec<f32> {
        let mut squares = Vec::with_capacity(self.places * self.pieces);
        for place in self.values.chunks_exact(self.kept * self.pieces) {
            squares.extend((0..self.pieces).map(|piece| place.iter().skip(piece).step_by(self.pieces).map(|x| x * x).sum::<f32>()));
        }
        squares
    }

    /// Distance of a piece of the gallery to every piece: for each place, all pieces.
    fn distances(&self, piece: usize) -> Vec<f32> {
        let mut out = vec![0.0_f32; self.places * self.pieces];
        for (out, place) in out.chunks_exact_mut(self.pieces).zip(self.values.chunks_exact(self.kept * self.pieces)) {
            for row in place.chunks_exact(self.pieces) {
                let own = row[piece];
                for (out, value) in out.iter_mut().zip(row) {
                    *out += (value - own) * (value - own);
                }
            }
            out.iter_mut().for_each(|out| *out = out.sqrt());
        }
        out
    }

    /// What is usual: every piece against all others.
    pub(super) fn usual(&self) -> Usual {
        let marks: Vec<(f32, f32, Vec<f32>)> = (0..self.pieces).map(|piece| self.marks(piece)).collect();
        let all = |mark: fn(&(f32, f32, Vec<f32>)) -> f32| marks.iter().map(mark).collect::<Vec<f32>>();
        // Pieces that are alike to the last bit would make the usual 0 and every other piece infinitely odd.
        let part = quantile(&all(|mark| mark.0), 0.5).max(1e-3);
        let whole = quantile(&all(|mark| mark.1), 0.5).max(1e-3);
        let places: Vec<f32> = marks.iter().flat_map(|mark| mark.2.iter().copied()).collect();
        let distances = marks.iter().map(|mark| (mark.0 / part + WHOLE_WEIGHT * mark.1 / whole) / (1.0 + WHOLE_WEIGHT)).collect();
        Usual { part, whole, place: quantile(&places, 0.995).max(1e-3), distances }
    }

    /// Marks of part and whole of a piece against all others, and how far each of its places is.
    fn marks(&self, piece: usize) -> (f32, f32, Vec<f32>) {
        let distances = self.distances(piece);
        let mut means = vec![0.0_f32; self.pieces];
        for place in distances.chunks_exact(self.pieces) {
            for (mean, distance) in means.iter_mut().zip(place) {
                *mean += distance;
            }
        }
        let mut others: Vec<usize> = (0..self.pieces).filter(|other| *other != piece).collect();
        others.sort_by(|a, b| means[*a].total_cmp(&means[*b]));
        let whole = others.first().map_or(0.0, |nearest| means[*nearest] / narrow(real(self.places)));
        others.truncate(NEAREST);
        let nearest = |place: &[f32]| others.iter().map(|other| place[*other]).fold(f32::INFINITY, f32::min);
        let places: Vec<f32> = distances.chunks_exact(self.pieces).map(nearest).collect();
        let mut worst = places.clone();
        worst.sort_by(|a, b| b.total_cmp(a));
        worst.truncate(WORST);
        (worst.iter().sum::<f32>() / narrow(real(worst.len().max(1))), whole, places)
    }
}

/// The distance from which a piece is rejected, so that this share of good pieces is.
///
/// With three or more good pieces in the share it is counted. With fewer, good pieces beyond those seen must be reckoned
/// with: the logarithm of the distance is taken as normal, and nothing that was seen and may not be rejected is.
pub(super) fn threshold(distances: &[f32], overkill: f64) -> f32 {
    let count = real(distances.len());
    let mut sorted = distances.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let may = (1..=sorted.len()).take_while(|rejected| real(*rejected) <= overkill * count).count();
    let counted = sorted.get(may).copied().unwrap_or(1.0) * 1.000_1;
    if may >= 3 {
        return counted;
    }
    let logs: Vec<f64> = distances.iter().map(|distance| f64::from(distance.max(1e-6)).ln()).collect();
    let mean = logs.iter().sum::<f64>() / count;
    let spread = (logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0)).sqrt();
    counted.max(narrow((mean + normal_tail(overkill) * spread).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve pieces of four places and one number; the last piece is odd at its last place.
    fn gallery() -> Gallery {
        let piece = |n: u8| -> Features { (0..4_u8).map(|p| f32::from(p) + 0.1 * f32::from(n % 4)).collect() };
        let mut pieces: Vec<Features> = (0..12).map(piece).collect();
        pieces[11][3] += 5.0;
        Gallery::of(&pieces, 1)
    }

    #[test]
    fn an_odd_piece_is_farther_than_the_others_and_none_is_compared_with_itself() {
        let usual = gallery().usual();
        let odd = usual.distances[11];
        assert!(usual.distances[..11].iter().all(|distance| *distance < odd / 2.0), "{:?}", usual.distances);
        let (_, whole, places) = gallery().marks(11);
        assert!((places[3] - 5.0).abs() < 0.2 && whole > 1.0, "{places:?} {whole}");
    }

    #[test]
    fn the_threshold_rejects_the_share_that_was_asked_for() {
        let distances: Vec<f32> = (1..=1000_u16).map(f32::from).collect();
        let above = |threshold: f32| distances.iter().filter(|distance| **distance >= threshold).count();
        assert_eq!(above(threshold(&distances, 0.01)), 10);
        assert_eq!(above(threshold(&distances, 0.05)), 50);
        let few: Vec<f32> = (0..20_u8).map(|n| 1.0 + 0.01 * f32::from(n)).collect();
        assert!(threshold(&few, 0.01) > 1.19);
    }

    #[test]
    fn squares_are_those_of_the_values() {
        let squares = gallery().squares();
        assert_eq!(squares.len(), 48);
        assert!((squares[12 + 1] - 1.21).abs() < 1e-5, "{squares:?}");
    }
}
