//! What a rubric does to pieces: made-up ones whose grade is known, and those of the ledger.
//!
//! Invariant: nothing here writes; the ledger is read beside a station that runs.

pub mod cases;
pub mod ledger;
pub mod lots;
pub mod regrade;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use station::units::Timestamp;

/// From when to when pieces are meant, by the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first microsecond since 1970.
    pub from: i64,
    /// The first microsecond after it.
    pub until: i64,
}

impl Default for Period {
    fn default() -> Self {
        Self { from: i64::MIN, until: i64::MAX }
    }
}

/// A time on the command line is none.
#[derive(Debug, thiserror::Error)]
#[error("--{option} {text}: this is no day and no instant (mend: write 2026-11-01, or 2026-11-01T06:00:00+09:00)")]
pub struct NoTime {
    option: &'static str,
    text: String,
}

impl Period {
    /// Reads `--since` and `--until`. Days are those of the machine's time zone; `--until` of a day is its end.
    ///
    /// # Errors
    /// A text that is neither a day nor an instant.
    pub fn read(told: &crate::cli::Period) -> Result<Self, NoTime> {
        let from = told.since.as_deref().map(|text| instant("since", text, 0)).transpose()?;
        let until = told.until.as_deref().map(|text| instant("until", text, 1)).transpose()?;
        Ok(Self { from: from.unwrap_or(i64::MIN), until: until.unwrap_or(i64::MAX) })
    }

    fn has(self, at: Timestamp) -> bool {
        (self.from..self.until).contains(&at.wall_micros)
    }
}

/// A day's beginning, `days` later, or an instant.
fn instant(option: &'static str, text: &str, days: i64) -> Result<i64, NoTime> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    let start = |date: Date| {
        let day = date.checked_add(jiff::Span::new().days(days))?;
        day.to_zoned(TimeZone::system())
    };
    let zoned = text.parse::<Date>().and_then(start).map_err(|_| NoTime { option, text: text.to_owned() })?;
    Ok(zoned.timestamp().as_microsecond())
}
