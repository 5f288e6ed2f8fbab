//! Which variant of a package looks: the one that was asked for, or the fastest that passes its proof here.
//!
//! Invariants: a variant that does not pass its proof never looks; who decides (`decide`) sees numbers alone and no clock,
//! so that the rule can be tested; whatever is not as asked for is said in `Choice::warning`.

use crate::detector::{Detector, LoadError};
use crate::frame::MonoClock;
use crate::package::{Package, Speed};
use crate::runtime::Runtime;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What is asked for if not a certain variant.
pub const FASTEST: &str = "fastest";

/// A variant that takes this many times what its package states is not the model that its makers measured.
pub const SLOW_FACTOR: f64 = 10.0;

/// Rounds over the golden pictures in which variants take turns; whoever else is busy then disturbs all of them alike.
const ROUNDS: usize = 5;

/// Why no variant can be used.
#[derive(Debug, Error)]
pub enum ChoiceError {
    /// The package has no such variant.
    #[error("package {package} has no variant {name}, it has {there}")]
    Unknown {
        /// The package.
        package: String,
        /// What was asked for.
        name: String,
        /// What there is.
        there: String,
    },
    /// The one variant that was asked for is refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// None is good enough.
    #[error("package {package} is refused: {reason}")]
    None {
        /// The package.
        package: String,
        /// What is wrong with each.
        reason: String,
    },
}

/// A variant as it was measured on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Its name.
    pub variant: String,
    /// Milliseconds for a golden picture by the clock of the measurement, median.
    pub millis: f64,
}

/// The variant that looks, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Its name.
    pub variant: String,
    /// Why this one, for people.
    pub reason: String,
    /// What people must know about it.
    pub warning: Option<String>,
    /// What was measured.
    pub measured: Vec<Measured>,
}

/// What the measured variants are held to.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// What the package states.
    pub stated: Option<&'a Speed>,
    /// What the yardstick takes here.
    pub yardstick_millis: f64,
    /// A picture must be judged within this time.
    pub limit_millis: Option<f64>,
}

impl Terms<'_> {
    /// What this machine should take, by what the package states and how fast the yardstick is here.
    fn expected(&self, variant: &str) -> Option<f64> {
        let speed = self.stated?;
        Some(speed.cpu_ms.get(variant)? * self.yardstick_millis / speed.yardstick_ms)
    }

    /// What is wrong with how fast it is: too slow to be used, or slower than it should be.
    fn trouble(&self, measured: &Measured) -> Trouble {
        let Measured { variant, millis } = measured;
        if let Some(limit) = self.limit_millis.filter(|limit| millis > limit) {
            return Trouble::TooSlow(format!("{variant} takes {millis:.1} ms a picture, and a verdict is due after {limit:.0} ms"));
        }
        match self.expected(variant).filter(|expected| *millis > SLOW_FACTOR * expected) {
            Some(expected) => Trouble::Slow(format!(
                "{variant} takes {millis:.1} ms a picture, more than {SLOW_FACTOR} times the {expected:.1} ms that its package states for a machine like this"
            )),
            None => Trouble::None,
        }
    }
}

enum Trouble {
    None,
    Slow(String),
    TooSlow(String),
}

/// Decides which of the measured variants looks: the wanted one, or without a wish the fastest. One that is ten times slower
/// than stated gives way to any that is not; one that misses the verdict's deadline is never taken.
///
/// # Errors
/// What is wrong with each, if none can be taken.
pub fn decide(wanted: Option<&str>, measured: &[Measured], terms: Terms<'_>) -> Result<Choice, String> {
    let (mut good, mut slow, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for one in measured {
        match terms.trouble(one) {
            Trouble::None => good.push(one),
            Trouble::Slow(what) => {
                told.push(what);
                slow.push(one);
            }
            Trouble::TooSlow(what) => told.push(what),
        }
    }
    let pick = |among: &[&Measured]| {
        let wish = among.iter().find(|one| Some(one.variant.as_str()) == wanted);
        wish.or_else(|| among.iter().min_by(|a, b| a.millis.total_cmp(&b.millis))).map(|one| (*one).clone())
    };
    let Some(chosen) = pick(&good).or_else(|| pick(&slow)) else {
        let mend = "give verdicts more time ([recipe] verdict_deadline_millis), use a smaller model, or a faster machine";
        return Err(format!("{}: {mend}", told.join("; ")));
    };
    let reason = match wanted {
        Some(wanted) if wanted == chosen.variant => "asked for".to_owned(),
        Some(wanted) => format!("instead of {wanted}"),
        None if measured.len() == 1 => "the only one".to_owned(),
        None => format!("the fastest of {} that pass their proof, {:.1} ms a picture", measured.len(), chosen.millis),
    };
    let mend = "check that nothing else holds the machine, and measure again with `jidoka doctor`";
    let warning = (!told.is_empty()).then(|| format!("{}; {} is used: {mend}", told.join("; "), chosen.variant));
    Ok(Choice { variant: chosen.variant, reason, warning, measured: measured.to_vec() })
}

/// Loads the variant that is wanted (`None`: the fastest), with the proof of each that is looked at. `clock` measures, best
/// CPU time of the calling thread; [`Detector::with_clock`] gives the detector another one for its work.
///
/// # Errors
/// [`ChoiceError`]; a variant that was asked for and does not pass its proof is not replaced by another.
pub fn choose(
    runtime: &Runtime,
    package: &Package,
    wanted: Option<&str>,
    limit_millis: Option<f64>,
    clock: &MonoClock,
) -> Result<(Package, Detector, Choice), ChoiceError> {
    let of = |name: &str| {
        let unknown = || ChoiceError::Unknown {
            package: package.model().package.clone(),
            name: name.to_owned(),
            there: package.variants().collect::<Vec<_>>().join(", "),
        };
        package.variant(name).ok_or_else(unknown)
    };
    let stated = package.manifest().speed.as_ref();
    // Where nothing is stated nothing is compared.
    let yardstick_millis = if stated.is_some() { yardstick_millis(clock) } else { 0.0 };
    let terms = Terms { stated, yardstick_millis, limit_millis };
    if let Some(name) = wanted {
        let package = of(name)?;
        let detector = Detector::load(runtime, &package, clock.clone())?;
        let measured = [Measured { variant: name.to_owned(), millis: detector.proof_millis() }];
        if let Ok(choice) = decide(wanted, &measured, terms)
            && choice.warning.is_none()
        {
            return Ok((package, detector, choice));
        }
    }
    let refuse = |reason: String| ChoiceError::None { package: package.model().package.clone(), reason };
    let (mut loaded, mut refused) = (Vec::new(), Vec::new());
    for name in package.variants() {
        let package = of(name)?;
        match Detector::load(runtime, &package, clock.clone()) {
            Ok(detector) => loaded.push((package, detector)),
            Err(error) if wanted == Some(name) => return Err(error.into()),
            Err(error) => refused.push(crate::chain(&error)),
        }
    }
    if loaded.is_empty() {
        return Err(refuse(refused.join("; ")));
    }
    let measured = measure(&mut loaded, package, clock);
    let mut choice = decide(wanted, &measured, terms).map_err(refuse)?;
    if !refused.is_empty() {
        refused.extend(choice.warning.take());
        choice.warning = Some(refused.join("; "));
    }
    let taken = loaded.into_iter().find(|(package, _)| package.variant_name() == choice.variant);
    let (package, detector) = taken.ok_or_else(|| refuse("no variant was chosen".to_owned()))?;
    Ok((package, detector, choice))
}

/// The median time of each variant over the golden pictures, taken in turns.
fn measure(loaded: &mut [(Package, Detector)], package: &Package, clock: &MonoClock) -> Vec<Measured> {
    let mut times = vec![Vec::new(); loaded.len()];
    for _ in 0..ROUNDS {
        for golden in package.goldens() {
            for ((_, detector), times) in loaded.iter_mut().zip(&mut times) {
                let start = clock();
                // It has passed its proof on this very picture.
                if detector.findings(&golden.test, golden.golden.as_deref()).is_ok() {
                    times.push(clock().saturating_sub(start));
                }
            }
        }
    }
    let of = |((package, _), times): (&(Package, Detector), &mut Vec<u64>)| Measured {
        variant: package.variant_name().to_owned(),
        millis: median_millis(times),
    };
    loaded.iter().zip(&mut times).map(of).collect()
}

/// Median of microseconds in milliseconds; 0 of nothing.
pub(crate) fn median_millis(micros: &mut [u64]) -> f64 {
    micros.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "microseconds of one picture are far below 2^53")]
    micros.get(micros.len() / 2).map_or(0.0, |micros| *micros as f64 / 1000.0)
}

/// What a fixed piece of arithmetic takes on this machine, in milliseconds by `clock`: the best of a few runs. It stands for
/// the machine where a package says how long it took elsewhere: multiply-adds over 256 KiB, as in a convolution.
#[must_use]
pub fn yardstick_millis(clock: &MonoClock) -> f64 {
    const VALUES: usize = 65_536;
    const PASSES: u16 = 64;
    let mut values = vec![0.5_f32; VALUES];
    let mut runs: Vec<u64> = Vec::new();
    for _ in 0..3 {
        let start = clock();
        for pass in 0..PASSES {
            let factor = 1.0 - f32::from(pass) / 4096.0;
            values.iter_mut().for_each(|value| *value = *value * factor + 0.01);
            std::hint::black_box(&mut values);
        }
        runs.push(clock().saturating_sub(start));
    }
    // A machine on which it takes no time at all does not exist; a clock that is too coarse for it does.
    runs.sort_unstable();
    median_millis(&mut runs[..1]).max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn measured(list: &[(&str, f64)]) -> Vec<Measured> {
        list.iter().map(|(variant, millis)| Measured { variant: (*variant).to_owned(), millis: *millis }).collect()
    }

    fn stated() -> Speed {
        let cpu_ms = BTreeMap::from([("fp32".to_owned(), 12.0), ("int8".to_owned(), 8.0)]);
        Speed { machine: "x".to_owned(), yardstick_ms: 1.0, cpu_ms }
    }

    /// On this machine the yardstick takes twice as long: 24 and 16 ms are expected, and a verdict is due after 400 ms.
    fn decide_here(wanted: Option<&str>, list: &[(&str, f64)]) -> Result<Choice, String> {
        let stated = stated();
        decide(wanted, &measured(list), Terms { stated: Some(&stated), yardstick_millis: 2.0, limit_millis: Some(400.0) })
    }

    #[test]
    fn the_wanted_one_is_taken_or_else_the_fastest() {
        let choice = decide_here(Some("fp32"), &[("fp32", 30.0), ("int8", 20.0)]).unwrap();
        assert_eq!((choice.variant.as_str(), choice.reason.as_str(), choice.warning), ("fp32", "asked for", None));
        let choice = decide_here(None, &[("fp32", 30.0), ("int8", 20.0)]).unwrap();
        assert_eq!((choice.variant.as_str(), choice.warning), ("int8", None));
        assert_eq!(choice.reason, "the fastest of 2 that pass their proof, 20.0 ms a picture");
        let choice = decide_here(None, &[("fp32", 239.9)]).unwrap();
        assert_eq!((choice.reason.as_str(), choice.warning), ("the only one", None), "not more than ten times slower");
    }

    #[test]
    fn ten_times_slower_than_stated_gives_way_or_is_told() {
        let choice = decide_here(Some("int8"), &[("fp32", 30.0), ("int8", 161.0)]).unwrap();
        assert_eq!((choice.variant.as_str(), choice.reason.as_str()), ("fp32", "instead of int8"));
        let warning = choice.warning.unwrap();
        assert!(warning.contains("int8 takes 161.0 ms a picture, more than 10 times the 16.0 ms"), "{warning}");
        let choice = decide_here(Some("int8"), &[("fp32", 241.0), ("int8", 161.0)]).unwrap();
        assert_eq!(choice.variant, "int8", "both are slow: the wish counts");
        assert!(choice.warning.unwrap().contains("fp32 takes 241.0 ms"));
    }

    #[test]
    fn slower_than_the_deadline_is_never_taken() {
        let choice = decide_here(Some("fp32"), &[("fp32", 401.0), ("int8", 170.0)]).unwrap();
        assert_eq!(choice.variant, "int8");
        let error = decide_here(None, &[("fp32", 401.0), ("int8", 500.0)]).unwrap_err();
        assert!(error.contains("a verdict is due after 400 ms") && error.contains("verdict_deadline_millis"), "{error}");
        // Nothing is stated and no deadline is known: nothing to compare with.
        let free = Terms { stated: None, yardstick_millis: 1.0, limit_millis: None };
        assert_eq!(decide(None, &measured(&[("fp32", 1e6)]), free).unwrap().warning, None);
    }

    #[test]
    fn the_yardstick_takes_time() {
        let start = std::time::Instant::now();
        let clock: MonoClock = std::sync::Arc::new(move || u64::try_from(start.elapsed().as_micros()).unwrap());
        assert!(yardstick_millis(&clock) > 0.05);
        assert!((median_millis(&mut [9000, 1000, 3000]) - 3.0).abs() < 1e-9);
    }
}
