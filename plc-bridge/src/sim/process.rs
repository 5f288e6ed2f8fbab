//! The simulated process: what the sensors say of piece n.
//!
//! Invariant: a value depends on seed, tag, piece and the disturbances in force, and on nothing else; two runs with the
//! same seed see the same line.

use crate::map::{Kind, Sample, TagSpec};
use std::f64::consts::TAU;

/// One sensor: where its value lies, and how the process scatters.
#[derive(Debug, Clone, PartialEq)]
pub struct SimTag {
    /// Name, registers, unit.
    pub spec: TagSpec,
    /// Mean while nothing is wrong, in the tag's unit.
    pub mean: f64,
    /// Standard deviation from piece to piece, in the tag's unit.
    pub sigma: f64,
}

/// How a tag leaves its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shift {
    /// Further away with every piece, by this many sigmas.
    Drift(f64),
    /// At once, by this many sigmas.
    Step(f64),
}

/// Something that went wrong with the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Disturbance {
    /// Name of the tag.
    pub tag: String,
    /// First piece that shows it.
    pub from_piece: u32,
    /// How the tag moves.
    pub shift: Shift,
}

impl Disturbance {
    /// The offset at `piece`, in sigmas.
    fn sigmas(&self, piece: u32) -> f64 {
        match self.shift {
            _ if piece < self.from_piece => 0.0,
            Shift::Step(sigmas) => sigmas,
            Shift::Drift(per_piece) => per_piece * f64::from(piece - self.from_piece + 1),
        }
    }
}

/// The value of `tag` at `piece`.
#[must_use]
pub fn value(tag: &SimTag, seed: u64, piece: u32, disturbances: &[Disturbance]) -> f64 {
    let name = &*tag.spec.name;
    let shift: f64 = disturbances.iter().filter(|disturbance| disturbance.tag == name).map(|disturbance| disturbance.sigmas(piece)).sum();
    tag.mean + tag.sigma * (normal(seed, name, piece) + shift)
}

/// A standard normal number (Box and Muller 1958) drawn by seed, name and piece.
fn normal(seed: u64, name: &str, piece: u32) -> f64 {
    // FNV-1a over the name keeps two tags of one piece apart.
    let name = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut state = seed ^ name ^ u64::from(piece).wrapping_mul(0xd134_2543_de82_ef95);
    let (first, second) = (uniform(&mut state), uniform(&mut state));
    (-2.0 * (1.0 - first).ln()).sqrt() * (TAU * second).cos()
}

/// A number in 0…1 without 1 (splitmix64, Steele et al. 2014).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let high = u32::try_from(mixed >> 32).unwrap_or(u32::MAX);
    f64::from(high) / 4_294_967_296.0
}

/// A solder paste printer, a three-zone oven and a placement head.
#[must_use]
pub fn default_tags(base: u16) -> Vec<SimTag> {
    let tag = |name: &str, offset: u16, kind, scale, unit: &str, mean: f64, sigma: f64| SimTag {
        spec: TagSpec {
            scale,
            unit: unit.into(),
            valid_min: mean * 0.25,
            valid_max: mean * 2.0,
            sample: Sample::WithTrigger,
            ..TagSpec::new(name, base + offset, kind)
        },
        mean,
        sigma,
    };
    vec![
        tag("paste_height", 0, Kind::U16, 0.01, "um", 120.0, 2.0),
        tag("oven_zone_1", 2, Kind::I32, 0.01, "Cel", 180.0, 0.4),
        tag("oven_zone_2", 4, Kind::I32, 0.01, "Cel", 220.0, 0.4),
        tag("oven_zone_3", 6, Kind::I32, 0.01, "Cel", 245.0, 0.4),
        tag("placement_force", 8, Kind::F32, 1.0, "N", 3.0, 0.05),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_promised_mean_and_sigma() {
        for tag in default_tags(2000) {
            let values: Vec<f64> = (1..=4000).map(|piece| value(&tag, 7, piece, &[])).collect();
            let mean = values.iter().sum::<f64>() / 4000.0;
            let sigma = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 3999.0).sqrt();
            // Four standard errors of a mean and of a standard deviation.
            assert!((mean - tag.mean).abs() < 4.0 * tag.sigma / 4000_f64.sqrt(), "{}: mean {mean}", tag.spec.name);
            assert!((sigma / tag.sigma - 1.0).abs() < 4.0 / 8000_f64.sqrt(), "{}: sigma {sigma}", tag.spec.name);
        }
    }

    #[test]
    fn tags_of_one_piece_scatter_independently() {
        let tags = default_tags(2000);
        let pairs = (1..=4000).map(|piece| (normal(7, &tags[1].spec.name, piece), normal(7, &tags[2].spec.name, piece)));
        let correlation = pairs.map(|(a, b)| a * b).sum::<f64>() / 4000.0;
        assert!(correlation.abs() < 4.0 / 4000_f64.sqrt(), "{correlation}");
    }

    #[test]
    fn drift_grows_and_step_stays() {
        let tag = &default_tags(2000)[0];
        let at = |piece, shift| {
            let disturbance = Disturbance { tag: "paste_height".into(), from_piece: 10, shift };
            ((value(tag, 7, piece, &[disturbance]) - value(tag, 7, piece, &[])) / tag.sigma * 1000.0).round() / 1000.0
        };
        assert_eq!([9, 10, 19].map(|piece| at(piece, Shift::Drift(0.25))), [0.0, 0.25, 2.5]);
        assert_eq!([9, 10, 19].map(|piece| at(piece, Shift::Step(-3.0))), [0.0, -3.0, -3.0]);
    }
}
