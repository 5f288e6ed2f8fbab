//! What people are told of pictures: how many there are, what troubles them, and what became of one that is not there.

use super::policy::{Class, Reason};
use super::register::wall_text;
use super::shelf::Sum;
use serde::Serialize;

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Disk {
    /// Free for this process.
    pub free: u64,
    /// All of it.
    pub size: u64,
}

/// What became of a picture that a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Fate {
    /// It is there.
    Kept {
        /// As what; `None` if the register does not know it yet.
        class: Option<Class>,
        /// True: a hold, a recall or a complaint keeps it.
        held: bool,
    },
    /// Retention has removed it.
    Removed {
        /// Why.
        reason: Option<Reason>,
        /// As what it was kept.
        class: Option<Class>,
        /// When, in seconds since 1970.
        at_secs: i64,
    },
    /// It should be there and is not.
    Missing,
    /// It was never kept.
    Never,
}

impl Fate {
    /// In words, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Kept { held: true, .. } => "kept, and held".to_owned(),
            Self::Kept { class, .. } => class.map_or_else(|| "kept".to_owned(), |class| format!("kept, class {class}")),
            Self::Removed { reason, class, at_secs } => {
                let (reason, class) = (reason.map_or("?", Reason::name), class.map_or("?", Class::name));
                let day = wall_text(*at_secs).split('T').next().unwrap_or_default().to_owned();
                format!("removed on {day} by retention ({reason}), class {class}")
            }
            Self::Missing => "missing, and no retention removed it: see `jidoka doctor`".to_owned(),
            Self::Never => "not kept".to_owned(),
        }
    }
}

/// How the pictures stand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Stock {
    /// By class, in the order of sacrifice.
    pub classes: Vec<(Class, Sum)>,
    /// Those that nothing may take.
    pub held: Sum,
    /// Removed since the register began.
    pub removed: Vec<(Reason, u64)>,
    /// What all of them may have.
    pub bytes_max: u64,
    /// The file system as last looked at, and what must stay free on it.
    pub disk: Disk,
    /// Bytes that must stay free.
    pub headroom: u64,
}

impl Stock {
    /// What a person must be told, in words: long before the disk is full, and when holds leave no room for new pictures.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let mib = |bytes: u64| bytes >> 20;
        let mut out = Vec::new();
        if self.disk.size > 0 && self.disk.free < self.headroom.saturating_mul(2) {
            let what =
                if self.disk.free < self.headroom { "pictures make room for records" } else { "pictures will make room for records" };
            out.push(format!("{what}: {} MiB are free, {} MiB must be", mib(self.disk.free), mib(self.headroom)));
        }
        if self.held.bytes > self.bytes_max / 10 * 9 {
            let (held, most) = (mib(self.held.bytes), mib(self.bytes_max));
            out.push(format!("holds, recalls and complaints keep {held} MiB of the {most} MiB that pictures may have"));
        }
        out
    }
}
