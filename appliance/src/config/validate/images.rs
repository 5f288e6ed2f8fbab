//! `[images]`: which pictures are kept, and for how long.
//!
//! Invariant: what settings of before there were classes say (`keep = [...]`) goes on being read, and cannot be mixed with them.

use crate::config::raw::Section;
use crate::store::images::policy::{COMPLAINT_DAYS, Class, ClassLimits, MARGIN, Retention};
use station::verdict::Verdict;

/// A hundred years.
const DAYS_MAX: u32 = 36_525;
/// Less than one picture would be a limit in name only.
const BYTES_LEAST: i64 = 1_000_000;

pub(super) fn settings(section: &Section<'_>) -> Option<Retention> {
    let bytes_max = section.whole("keep_bytes_max", BYTES_LEAST..=i64::MAX).map(i64::unsigned_abs);
    let free_bytes_min = section.optional_whole("free_bytes_min", 0..=i64::MAX).map(|bytes| bytes.map(i64::unsigned_abs));
    let complaint_days = section.whole_or("complaint_days", 1..=DAYS_MAX, COMPLAINT_DAYS);
    let mut kept = Retention { classes: [ClassLimits::default(); 7], ..Retention::within(bytes_max.unwrap_or(u64::MAX)) };
    let (mut is_whole, mut named) = (true, None);
    for class in Class::ALL {
        if let Some(own) = section.optional_section(class.name()) {
            named = Some(class);
            is_whole &= of_class(&own, class, &mut kept).is_some();
        }
    }
    match (section.has("keep"), named) {
        (true, Some(class)) => {
            let mend = format!("take `keep` out: a key of its own keeps a class, as `{class} = {{ days = … }}` does");
            section.wrong("keep", "the classes have keys of their own", mend);
            section.heard("keep");
            is_whole = false;
        }
        (true, None) => {
            let verdicts = [Verdict::Pass, Verdict::Reject, Verdict::Hold].map(|verdict| (verdict.name(), verdict));
            let keep = section.choices("keep", &verdicts);
            is_whole &= keep.is_some();
            keep.iter().flatten().for_each(|verdict| kept.of_mut(Retention::by_verdict(*verdict)).kept = true);
        }
        (false, None) if bytes_max.is_some() => {
            let mend =
                "nothing says which pictures are kept: add `reject = { days = … }` and `hold = { days = … }`, or `keep = []` for none";
            section.misses("reject", mend);
            is_whole = false;
        }
        (false, _) => {}
    }
    let (bytes_max, free_bytes_min, complaint_days) = (bytes_max?, free_bytes_min?, complaint_days?);
    is_whole.then_some(Retention { bytes_max, free_bytes_min, complaint_days, ..kept })
}

fn of_class(section: &Section<'_>, class: Class, kept: &mut Retention) -> Option<()> {
    let days = section.optional_whole("days", 1..=DAYS_MAX);
    let bytes_max = section.optional_whole("bytes_max", BYTES_LEAST..=i64::MAX).map(|bytes| bytes.map(i64::unsigned_abs));
    let every = if class == Class::SampledPass { section.whole("every", 1..=1_000_000_u64) } else { Some(0) };
    let margin = if class == Class::LowConfidence { section.real_or("margin", 0.0..=1.0, f64::from(MARGIN)) } else { Some(0.0) };
    let (days, bytes_max, every, margin) = (days?, bytes_max?, every?, margin?);
    *kept.of_mut(class) = ClassLimits { kept: true, days, bytes_max };
    match class {
        Class::SampledPass => kept.sampled_every = every,
        Class::LowConfidence => kept.margin = single(margin),
        _ => {}
    }
    Some(())
}

#[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1, which needs no more digits than a score has")]
const fn single(share: f64) -> f32 {
    share as f32
}
