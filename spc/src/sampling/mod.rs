//! Acceptance sampling: what a plan lets through, and the smallest plan that keeps both sides' risks.
//!
//! Invariants: a plan accepts a perfect lot always and a worse lot never more often than a better one; accepting,
//! rejecting and going on to the next sample exclude each other, and the last sample decides.

pub mod sequential;
pub mod switching;
pub mod table;

use serde::{Deserialize, Serialize};

use crate::distribution::{binomial_up_to, ln_gamma, poisson_up_to};
use crate::study::{self, StudyError};

/// How nonconforming pieces fall into a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// Pieces from a running process.
    Binomial,
    /// Nonconformities, of which a piece can have several.
    Poisson,
    /// Pieces from one lot of this size, not put back. The nonconforming pieces of a lot are its size times the fraction,
    /// to the nearest piece, halves to the even number.
    Hypergeometric {
        /// Pieces in the lot.
        lot: u32,
    },
}

/// One sample of a plan. Acceptance and rejection numbers count from the first sample on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Pieces drawn in this sample.
    pub size: u32,
    /// Accept at this many or fewer; `None` where this sample alone cannot accept.
    pub accept: Option<u32>,
    /// Reject at this many or more.
    pub reject: u32,
}

/// A single, double or multiple sampling plan by attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    stages: Vec<Stage>,
}

impl Plan {
    /// Single plan: accept the lot at `accept` or fewer in a sample of `size`.
    ///
    /// # Errors
    /// A sample of no pieces.
    pub fn single(size: u32, accept: u32) -> Result<Self, StudyError> {
        Self::new(vec![Stage { size, accept: Some(accept), reject: accept.saturating_add(1) }])
    }

    /// A plan of any number of samples.
    ///
    /// # Errors
    /// No sample; a sample of no pieces; numbers that fall from sample to sample; a last sample that leaves a gap between
    /// acceptance and rejection.
    pub fn new(stages: Vec<Stage>) -> Result<Self, StudyError> {
        let layout = |what, place, mend| Err(StudyError::Layout { what, place, mend });
        let Some(last) = stages.last() else { return layout("a plan without samples", 1, "give one sample or more") };
        if last.accept.is_none_or(|accept| accept.saturating_add(1) != last.reject) {
            return layout("a last sample that does not decide", stages.len(), "give rejection = acceptance + 1");
        }
        for (index, stage) in stages.iter().enumerate() {
            if stage.size == 0 {
                return layout("a sample of no pieces", index + 1, "give a size of at least 1");
            }
            if stage.accept.is_some_and(|accept| accept >= stage.reject) {
                return layout("acceptance at or above rejection", index + 1, "give a rejection number above the acceptance number");
            }
        }
        match stages.windows(2).position(|pair| pair[1].accept < pair[0].accept || pair[1].reject < pair[0].reject) {
            Some(index) => layout("numbers that fall from sample to sample", index + 2, "give cumulative numbers"),
            None => Ok(Self { stages }),
        }
    }

    /// The samples.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Probability of acceptance at this fraction nonconforming (or nonconformities per piece): a point of the operating
    /// characteristic, type A for [`Model::Hypergeometric`], type B otherwise.
    ///
    /// Source: Montgomery, Introduction to Statistical Quality Control, chapter 15; ISO 2859-1:1999, clause 12.
    ///
    /// # Errors
    /// A fraction below 0, not finite, or above 1 (except for [`Model::Poisson`]); samples larger than the lot.
    pub fn acceptance(&self, fraction: f64, model: Model) -> Result<f64, StudyError> {
        self.walk(fraction, model).map(|walk| walk.accepted)
    }

    /// Mean number of pieces inspected per lot, without curtailment.
    ///
    /// # Errors
    /// As [`Plan::acceptance`].
    pub fn average_sample_number(&self, fraction: f64, model: Model) -> Result<f64, StudyError> {
        self.walk(fraction, model).map(|walk| walk.pieces)
    }

    /// Average outgoing quality: fraction that passes when rejected lots of this size are sorted and nonconforming pieces are
    /// replaced, for a single sample `p P (N − n)/N`, generally with the sample number of accepted lots.
    ///
    /// # Errors
    /// As [`Plan::acceptance`]; a lot smaller than the samples.
    pub fn average_outgoing_quality(&self, fraction: f64, lot: u32, model: Model) -> Result<f64, StudyError> {
        self.fits(lot)?;
        let walk = self.walk(fraction, model)?;
        Ok(fraction * (walk.accepted - walk.accepted_pieces / f64::from(lot)))
    }

    fn fits(&self, lot: u32) -> Result<(), StudyError> {
        let drawn = self.stages.iter().fold(0_u32, |drawn, stage| drawn.saturating_add(stage.size));
        let what = "lot size";
        if drawn > lot { Err(StudyError::Setting { what, value: f64::from(lot), wanted: "at least all samples together" }) } else { Ok(()) }
    }

    /// From sample to sample: how likely each count is among lots that are still undecided.
    fn walk(&self, fraction: f64, model: Model) -> Result<Walk, StudyError> {
        let most = if model == Model::Poisson { f64::MAX } else { 1.0 };
        if !(0.0..=most).contains(&fraction) {
            return Err(StudyError::Setting {
                what: "fraction nonconforming",
                value: fraction,
                wanted: "0 to 1, more only per 100 pieces",
            });
        }
        if let Model::Hypergeometric { lot } = model {
            self.fits(lot)?;
        }
        if let [Stage { size, accept: Some(accept), .. }] = *self.stages.as_slice() {
            let accepted = up_to(accept, Draw { size, fraction, drawn: 0, found: 0 }, model);
            let pieces = f64::from(size);
            return Ok(Walk { accepted, pieces, accepted_pieces: accepted * pieces });
        }
        let mut walk = Walk::default();
        let mut open = vec![(0_u32, 1.0)];
        let mut drawn = 0_u32;
        for stage in &self.stages {
            walk.pieces += f64::from(stage.size) * open.iter().map(|(_, weight)| weight).sum::<f64>();
            let mut next = vec![];
            let total = drawn.saturating_add(stage.size);
            // Counts from the acceptance number on, up to rejection, stay open.
            let first = stage.accept.map_or(0, |accept| accept + 1);
            for &(found, weight) in &open {
                let draw = Draw { size: stage.size, fraction, drawn, found };
                if let Some(more) = stage.accept.and_then(|accept| accept.checked_sub(found)) {
                    let accepted = weight * up_to(more, draw, model);
                    walk.accepted += accepted;
                    walk.accepted_pieces += accepted * f64::from(total);
                }
                next.extend((first.max(found)..stage.reject).map(|count| (count, weight * exactly(count - found, draw, model))));
            }
            open = (first..stage.reject)
                .map(|count| (count, next.iter().filter(|(at, _)| *at == count).map(|(_, weight)| weight).sum()))
                .collect();
            drawn = total;
        }
        Ok(walk)
    }
}

#[derive(Default)]
struct Walk {
    accepted: f64,
    pieces: f64,
    /// Pieces drawn, summed over lots that are accepted.
    accepted_pieces: f64,
}

/// One sample, and what had been drawn and found before.
#[derive(Clone, Copy)]
struct Draw {
    size: u32,
    fraction: f64,
    drawn: u32,
    found: u32,
}

fn up_to(count: u32, draw: Draw, model: Model) -> f64 {
    match model {
        Model::Binomial => binomial_up_to(f64::from(count), f64::from(draw.size), draw.fraction),
        Model::Poisson => poisson_up_to(f64::from(count), f64::from(draw.size) * draw.fraction),
        Model::Hypergeometric { .. } => (0..=count.min(draw.size)).map(|count| exactly(count, draw, model)).sum::<f64>().min(1.0),
    }
}

fn exactly(count: u32, draw: Draw, model: Model) -> f64 {
    match model {
        Model::Hypergeometric { lot } => {
            let bad = (f64::from(lot) * draw.fraction).round_ties_even() - f64::from(draw.found);
            let (left, size, count) = (f64::from(lot - draw.drawn), f64::from(draw.size), f64::from(count));
            let good = left - bad;
            let impossible = bad < count || good < size - count || size < count;
            if impossible { 0.0 } else { (ln_choose(bad, count) + ln_choose(good, size - count) - ln_choose(left, size)).exp() }
        }
        _ if count == 0 => up_to(0, draw, model),
        _ => (up_to(count, draw, model) - up_to(count - 1, draw, model)).max(0.0),
    }
}

fn ln_choose(of: f64, take: f64) -> f64 {
    ln_gamma(of + 1.0) - ln_gamma(take + 1.0) - ln_gamma(of - take + 1.0)
}

/// A point that an operating characteristic must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RiskPoint {
    /// Fraction nonconforming, or nonconformities per piece.
    pub fraction: f64,
    /// Probability of acceptance: at least this for the producer's point, at most this for the consumer's.
    pub acceptance: f64,
}

/// The single plan of smallest acceptance number, and for it of smallest sample, that accepts often enough at the producer's
/// point and seldom enough at the consumer's.
///
/// Source: W. C. Guenther, "Use of the binomial, hypergeometric and Poisson tables to obtain sampling plans", Journal of
/// Quality Technology 1 (1969) 105–109.
///
/// # Errors
/// Points that are not shares, or of which the consumer's is not worse and less accepted; no plan below a million pieces
/// (below the lot size for a lot).
pub fn find_plan(producer: RiskPoint, consumer: RiskPoint, model: Model) -> Result<(u32, u32), StudyError> {
    study::share("producer's probability of acceptance", producer.acceptance)?;
    study::share("consumer's probability of acceptance", consumer.acceptance)?;
    study::share("producer's fraction", producer.fraction)?;
    study::share("consumer's fraction", consumer.fraction)?;
    if producer.fraction >= consumer.fraction || producer.acceptance <= consumer.acceptance {
        let wanted = "a worse quality than the producer's, accepted less often";
        return Err(StudyError::Setting { what: "consumer's fraction", value: consumer.fraction, wanted });
    }
    let largest = if let Model::Hypergeometric { lot } = model { lot } else { 1_000_000 };
    let accepts = |size: u32, accept: u32, fraction: f64| up_to(accept, Draw { size, fraction, drawn: 0, found: 0 }, model);
    let mut size = 1;
    for accept in 0..largest {
        // Smallest sample that protects the consumer: acceptance falls with the sample size.
        let (mut low, mut high) = (size.max(accept.saturating_add(1)), largest);
        if accepts(high, accept, consumer.fraction) > consumer.acceptance {
            break;
        }
        while low < high {
            let middle = low.midpoint(high);
            if accepts(middle, accept, consumer.fraction) <= consumer.acceptance { high = middle } else { low = middle + 1 }
        }
        size = low;
        if accepts(size, accept, producer.fraction) >= producer.acceptance {
            return Ok((size, accept));
        }
    }
    Err(StudyError::NotConverged { what: "a plan for these two risks" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
    }

    #[test]
    fn agrees_with_hand_calculation() {
        let plan = Plan::single(2, 0).unwrap();
        near(plan.acceptance(0.1, Model::Binomial).unwrap(), 0.81);
        near(plan.acceptance(0.1, Model::Poisson).unwrap(), (-0.2_f64).exp());
        // 9 of 10 good: 9/10 · 8/9.
        near(plan.acceptance(0.1, Model::Hypergeometric { lot: 10 }).unwrap(), 0.8);
        near(plan.average_outgoing_quality(0.1, 10, Model::Binomial).unwrap(), 0.1 * 0.81 * 0.8);
        // 1 then 1 piece, accept 0, go on at 1 of the first: p accepted = q + p q.
        let double = Plan::new(vec![Stage { size: 1, accept: Some(0), reject: 2 }, Stage { size: 1, accept: Some(1), reject: 2 }]).unwrap();
        near(double.acceptance(0.3, Model::Binomial).unwrap(), 0.7 + 0.3 * 0.7);
        near(double.average_sample_number(0.3, Model::Binomial).unwrap(), 1.3);
        near(double.acceptance(0.5, Model::Hypergeometric { lot: 2 }).unwrap(), 1.0);
    }

    #[test]
    fn worse_lots_are_accepted_less() {
        let triple = Plan::new(vec![
            Stage { size: 20, accept: None, reject: 2 },
            Stage { size: 20, accept: Some(0), reject: 3 },
            Stage { size: 20, accept: Some(2), reject: 3 },
        ])
        .unwrap();
        for model in [Model::Binomial, Model::Poisson, Model::Hypergeometric { lot: 500 }] {
            let curve: Vec<f64> = (0..=20).map(|i| triple.acceptance(0.02 * f64::from(i), model).unwrap()).collect();
            near(curve[0], 1.0);
            assert!(curve.windows(2).all(|pair| pair[0] > pair[1]), "{model:?} {curve:?}");
        }
    }

    #[test]
    fn the_plan_found_is_the_smallest() {
        let (producer, consumer) = (RiskPoint { fraction: 0.01, acceptance: 0.95 }, RiskPoint { fraction: 0.06, acceptance: 0.1 });
        for model in [Model::Binomial, Model::Poisson, Model::Hypergeometric { lot: 1000 }] {
            let (size, accept) = find_plan(producer, consumer, model).unwrap();
            let plan = |size, accept| Plan::single(size, accept).unwrap();
            assert!(plan(size, accept).acceptance(0.01, model).unwrap() >= 0.95);
            assert!(plan(size, accept).acceptance(0.06, model).unwrap() <= 0.1);
            assert!(plan(size - 1, accept).acceptance(0.06, model).unwrap() > 0.1, "{model:?} {size} {accept}");
        }
        assert!(find_plan(consumer, producer, Model::Binomial).is_err());
    }

    #[test]
    fn refuses_plans_that_do_not_decide() {
        assert!(Plan::new(vec![]).is_err() && Plan::single(0, 0).is_err());
        assert!(Plan::new(vec![Stage { size: 5, accept: Some(0), reject: 2 }]).is_err());
        assert!(Plan::single(5, 1).unwrap().acceptance(1.2, Model::Binomial).is_err());
        assert!(Plan::single(5, 1).unwrap().acceptance(0.1, Model::Hypergeometric { lot: 4 }).is_err());
    }
}
