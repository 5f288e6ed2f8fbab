//! Random numbers for drawing boards: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
//! OOPSLA 2014), the same on every machine for ever.
//!
//! Invariant: only integer arithmetic and `+ - * /` on `f32` go into a board, so x86-64 and ARM64 draw the same pixels.

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream for one purpose: `seed` tells the run, `number` the piece or design in it.
    pub(crate) const fn new(seed: u64, number: u64) -> Self {
        Self(mix(seed ^ GOLDEN_GAMMA).wrapping_add(mix(number.wrapping_add(1))))
    }

    /// 64 random bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        mix(self.0)
    }

    /// 0 ≤ x < 1 in steps of 2⁻²⁴.
    pub(crate) fn unit(&mut self) -> f32 {
        unit_of(self.bits())
    }

    /// `low` ≤ x < `high`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// 0 ≤ n < `count`; `count` must not be 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        usize::try_from(self.bits() % count).unwrap_or(0)
    }

    /// True with probability `share`.
    pub(crate) fn chance(&mut self, share: f32) -> bool {
        self.unit() < share
    }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn unit_of(bits: u64) -> f32 {
    let top = u16::try_from(bits >> 48).unwrap_or(0);
    let next = u8::try_from((bits >> 40) & 0xFF).unwrap_or(0);
    (f32::from(top) * 256.0 + f32::from(next)) / 16_777_216.0
}

/// Smooth noise −1…1 at a point: random values on a square lattice of `spacing` pixels, blended between its corners.
pub(crate) fn smooth_noise(salt: u64, spacing: f32, x: f32, y: f32) -> f32 {
    let (u, v) = (x / spacing, y / spacing);
    let (column, row) = (u.floor(), v.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (s, t) = (ease(u - column), ease(v - row));
    let corner = |dx: f32, dy: f32| {
        let key = (u64::from((column + dx).to_bits()) << 32) | u64::from((row + dy).to_bits());
        unit_of(mix(key ^ salt)) * 2.0 - 1.0
    };
    let top = corner(0.0, 0.0) * (1.0 - s) + corner(1.0, 0.0) * s;
    let bottom = corner(0.0, 1.0) * (1.0 - s) + corner(1.0, 1.0) * s;
    top * (1.0 - t) + bottom * t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_sequence() {
        // First outputs of SplitMix64 from state 0, as published with the xoshiro generators.
        let mut random = Random(0);
        assert_eq!([random.bits(), random.bits()], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
    }

    #[test]
    fn noise_is_bounded_and_continuous() {
        for n in 0..2000_u16 {
            let x = f32::from(n) * 0.37;
            let here = smooth_noise(9, 4.0, x, 11.0);
            assert!(here.abs() <= 1.0 && (here - smooth_noise(9, 4.0, x + 0.01, 11.0)).abs() < 0.02);
        }
    }
}
