//! The last few values of an individuals chart, for its moving range; allocated once, at its full length.
//!
//! Invariants: at most `span − 1` values are remembered; a range exists only when `span` values are in view.

use serde::{Deserialize, Serialize};

/// The predecessors of the next value, newest last.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Window {
    /// `span − 1` places; only the last `filled` of them count.
    places: Box<[f64]>,
    filled: usize,
}

impl Window {
    pub(crate) fn new(span: u32) -> Self {
        let places = usize::try_from(span.saturating_sub(1)).unwrap_or(0);
        Self { places: vec![0.0; places].into_boxed_slice(), filled: 0 }
    }

    /// Takes the next value and gives the range (largest minus smallest) of the last `span` ones, if there are so many.
    #[inline]
    pub(crate) fn push(&mut self, value: f64) -> Option<f64> {
        // Nearly every chart looks at two values.
        if let ([last], 1) = (&mut *self.places, self.filled) {
            return Some((value - std::mem::replace(last, value)).abs());
        }
        let full = self.filled >= self.places.len();
        let range = full.then(|| {
            let (low, high) = self.places.iter().fold((value, value), |(low, high), &x| (low.min(x), high.max(x)));
            // Which zero of two is the larger is left open; a range of nothing is always the positive one.
            (high - low).abs()
        });
        if !self.places.is_empty() {
            self.places.rotate_left(1);
        }
        if let Some(last) = self.places.last_mut() {
            *last = value;
        }
        if !full {
            self.filled += 1;
        }
        range
    }

    /// The ranges of a whole series: as if its values were pushed into a new window.
    pub(crate) fn ranges(span: u32, values: &[f64]) -> Vec<f64> {
        if span == 2 {
            return values.iter().zip(values.iter().skip(1)).map(|(before, value)| (value - before).abs()).collect();
        }
        let mut window = Self::new(span);
        values.iter().filter_map(|value| window.push(*value)).collect()
    }

    /// The value before the next one, if there is one.
    pub(crate) fn newest(&self) -> Option<f64> {
        self.places.last().copied().filter(|_| self.filled > 0)
    }

    /// Puts another value in the place of the newest, where a window of two values was led outside.
    pub(crate) fn replace_newest(&mut self, value: f64) {
        if let Some(last) = self.places.last_mut() {
            *last = value;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.places.fill(0.0);
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn a_range_needs_a_full_span() {
        let mut window = Window::new(3);
        let ranges: Vec<_> = [5.0, 1.0, 2.0, 2.0, 2.0].into_iter().map(|x| window.push(x)).collect();
        assert_eq!(ranges, [None, None, Some(4.0), Some(1.0), Some(0.0)]);
        window.clear();
        assert_eq!(window, Window::new(3));
    }
}
