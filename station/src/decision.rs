//! What people decide about pieces after their verdict: overrule, hold, recall, complaint.
//!
//! Invariants: a decision is a record of its own and changes no other; it names who and why; decisions are numbered without
//! gaps from 1, and a hold or a recall is known by the number of the decision that began it. What the station must bear in mind
//! of them (open holds, recalls in force) is bounded, and a decision that would go beyond the bound is refused, never cut.
//!
//! ```text
//!  overrule   the verdict and grade of one piece record are others now; the record stays as it is
//!  hold       a set of pieces is in quarantine until that hold is released
//!  recall     a set of pieces must come back; one that is seen again is rejected, and the policy says what else
//!  complaint  somebody found fault with a piece that had left: an escape
//! ```

use crate::action::{By, Role};
use crate::piece::Arrival;
use crate::verdict::{Judgement, Reason, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Holds, and recalls, that may be open at one time. One costs some 100 bytes in each checkpoint, and its set.
pub const OPEN_MAX: usize = 64;
/// Serials that all open holds, or all recalls in force, may name together: 64 characters each, so 300 kB at worst.
pub const SERIALS_MAX: usize = 4096;
/// Ranges of piece records, or lots, that one set may name.
pub const RANGES_MAX: usize = 256;
/// Piece records that one set may name by their ranges: a backend is told of each of them, some 60 bytes.
pub const RESULTS_MAX: u64 = 20_000;
/// Longest serial in characters; JMAP carries 32.
pub const SERIAL_CHARS_MAX: usize = 64;
/// Longest reason, complaint or criteria in characters.
pub const TEXT_CHARS_MAX: usize = 1000;
/// Longest name of a recall in characters.
pub const NAME_CHARS_MAX: usize = 100;

/// Piece records from the first to the last, both among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultRange {
    /// Number of the first piece record.
    pub first: u64,
    /// Number of the last one.
    pub last: u64,
}

/// The pieces a decision is about, by whatever is known of them; a piece belongs if any of it fits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affected {
    /// By the numbers of their records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ResultRange>,
    /// By their lots.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lots: BTreeSet<u32>,
    /// By their serials.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub serials: BTreeSet<String>,
}

impl Affected {
    /// True if it names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.results.is_empty() && self.lots.is_empty() && self.serials.is_empty()
    }

    /// True if the piece belongs by what the PLC told of it.
    #[must_use]
    pub fn has_arrival(&self, arrival: &Arrival) -> bool {
        let serial = arrival.serial.as_ref().is_some_and(|serial| self.serials.contains(serial));
        serial || self.lots.contains(&arrival.lot)
    }

    /// True if the piece of this record belongs.
    #[must_use]
    pub fn has(&self, result_id: u64, arrival: &Arrival) -> bool {
        self.results.iter().any(|range| (range.first..=range.last).contains(&result_id)) || self.has_arrival(arrival)
    }

    /// How many piece records its ranges name.
    #[must_use]
    pub fn results_count(&self) -> u64 {
        self.results.iter().map(|range| (range.last + 1).saturating_sub(range.first)).fold(0, u64::saturating_add)
    }

    fn check(&self, results: u64) -> Result<(), Refusal> {
        if self.is_empty() {
            return Err(Refusal::NoPieces);
        }
        if let Some(range) = self.results.iter().find(|range| range.first == 0 || range.last < range.first || range.last > results) {
            return Err(Refusal::NoSuchResults { first: range.first, last: range.last, results });
        }
        if self.lots.contains(&0) {
            return Err(Refusal::UnknownLot);
        }
        if self.results.len() > RANGES_MAX || self.lots.len() > RANGES_MAX || self.results_count() > RESULTS_MAX {
            return Err(Refusal::TooManyRanges);
        }
        let fits = |serial: &String| !serial.trim().is_empty() && serial.chars().count() <= SERIAL_CHARS_MAX;
        self.serials.iter().find(|serial| !fits(serial)).map_or(Ok(()), |serial| Err(Refusal::Serial(serial.chars().take(80).collect())))
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Decision {
    /// One piece has another verdict and grade than its record says. The last overrule of a piece counts.
    Overrule {
        /// Number of its record.
        result_id: u64,
        /// The verdict from now on.
        verdict: Verdict,
        /// The grade from now on, 1-based; 0 = not graded.
        grade: u16,
    },
    /// A set of pieces is in quarantine.
    Hold {
        /// Which.
        set: Affected,
    },
    /// A quarantine ends.
    ReleaseHold {
        /// The decision that began it.
        hold: u64,
        /// What it held; filled in by the station.
        #[serde(default)]
        set: Affected,
    },
    /// A set of pieces must come back.
    Recall {
        /// What people call this recall.
        name: String,
        /// How the set was found, in words.
        criteria: String,
        /// Which.
        set: Affected,
    },
    /// A recall is over: its pieces may be seen again.
    EndRecall {
        /// The decision that began it.
        recall: u64,
        /// What it named; filled in by the station.
        #[serde(default)]
        set: Affected,
    },
    /// Somebody found fault with a piece that had left. What they said is the reason of the record.
    Complaint {
        /// Number of its record, if known.
        result_id: Option<u64>,
        /// Its serial, if known.
        serial: Option<String>,
    },
}

impl Decision {
    /// The least role that may decide this.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::Complaint { .. } => Role::Operator,
            _ => Role::QualityOfficer,
        }
    }

    /// The name as written in records.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Overrule { .. } => "overrule",
            Self::Hold { .. } => "hold",
            Self::ReleaseHold { .. } => "release_hold",
            Self::Recall { .. } => "recall",
            Self::EndRecall { .. } => "end_recall",
            Self::Complaint { .. } => "complaint",
        }
    }

    /// The pieces it is about, if it names a set.
    #[must_use]
    pub const fn set(&self) -> Option<&Affected> {
        match self {
            Self::Hold { set } | Self::ReleaseHold { set, .. } | Self::Recall { set, .. } | Self::EndRecall { set, .. } => Some(set),
            Self::Overrule { .. } | Self::Complaint { .. } => None,
        }
    }

    /// The single piece record it is about, if it names one.
    #[must_use]
    pub const fn result_id(&self) -> Option<u64> {
        match self {
            Self::Overrule { result_id, .. } => Some(*result_id),
            Self::Complaint { result_id, .. } => *result_id,
            _ => None,
        }
    }
}

/// A decision, numbered and signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Gap-free number of the decision at this station, from 1.
    pub decision_id: u64,
    /// Number of the last piece record before it.
    pub results: u64,
    /// What.
    pub decision: Decision,
    /// Who.
    pub by: By,
    /// Why, or what was complained of; not empty.
    pub reason: String,
}

/// A hold or a recall that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The decision that began it.
    pub decision_id: u64,
    /// Name of the recall, or reason of the hold.
    pub name: String,
    /// The pieces.
    pub set: Affected,
}

/// What the station bears in mind of decisions. Bounded by [`OPEN_MAX`], [`SERIALS_MAX`] and [`RANGES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Decisions {
    /// Number of the last decision.
    pub last: u64,
    /// Complaints, each an escape.
    pub escapes: u64,
    /// Open holds, oldest first.
    pub holds: Vec<Open>,
    /// Recalls in force, oldest first.
    pub recalls: Vec<Open>,
}

/// Why a decision was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is named.
    #[error("it names no piece")]
    NoPieces,
    /// A range of piece records that are not there.
    #[error("there are no piece records {first} to {last}; they go from 1 to {results}")]
    NoSuchResults {
        /// First of the range.
        first: u64,
        /// Last of the range.
        last: u64,
        /// The last piece record.
        results: u64,
    },
    /// Lot 0.
    #[error("lot 0 means that the lot is not known")]
    UnknownLot,
    /// More than one set may name.
    #[error("a set names at most {RANGES_MAX} ranges with {RESULTS_MAX} piece records, and {RANGES_MAX} lots")]
    TooManyRanges,
    /// A serial that cannot be one.
    #[error("`{0}` is no serial of 1 to {SERIAL_CHARS_MAX} characters")]
    Serial(String),
    /// All sets together would name too many serials.
    #[error("all open sets together may name {SERIALS_MAX} serials")]
    TooManySerials,
    /// Too many are open.
    #[error("{OPEN_MAX} are open already")]
    TooManyOpen,
    /// Nothing to end.
    #[error("decision {0} is not in force")]
    NotOpen(u64),
    /// The rubric has no such grade.
    #[error("the rubric has no grade {0}")]
    Grade(u16),
    /// A text that is missing or too long.
    #[error("{0} is empty or too long")]
    Text(&'static str),
}

impl Decisions {
    /// True if nothing was ever decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The decision as it would be recorded: checked, with the set of what it ends. There are piece records 1 to `results`, and
    /// grades 1 to `grade_max`.
    ///
    /// # Errors
    /// [`Refusal`]: nothing is to be recorded.
    pub fn check(&self, decision: Decision, reason: &str, results: u64, grade_max: u16) -> Result<Decision, Refusal> {
        text("the reason", reason, TEXT_CHARS_MAX)?;
        match &decision {
            Decision::Overrule { result_id, grade, .. } => {
                one_of(*result_id, results)?;
                if *grade > grade_max {
                    return Err(Refusal::Grade(*grade));
                }
            }
            Decision::Hold { set } => room(&self.holds, set, results)?,
            Decision::Recall { name, criteria, set } => {
                text("the name", name, NAME_CHARS_MAX)?;
                text("the criteria", criteria, TEXT_CHARS_MAX)?;
                room(&self.recalls, set, results)?;
            }
            Decision::Complaint { result_id: None, serial: None } => return Err(Refusal::NoPieces),
            Decision::Complaint { result_id, serial } => {
                result_id.map_or(Ok(()), |result_id| one_of(result_id, results))?;
                let serials = serial.iter().cloned().collect::<BTreeSet<_>>();
                if !serials.is_empty() {
                    Affected { serials, ..Affected::default() }.check(results)?;
                }
            }
            Decision::ReleaseHold { hold, .. } => {
                let set = open(&self.holds, *hold)?.set.clone();
                return Ok(Decision::ReleaseHold { hold: *hold, set });
            }
            Decision::EndRecall { recall, .. } => {
                let set = open(&self.recalls, *recall)?.set.clone();
                return Ok(Decision::EndRecall { recall: *recall, set });
            }
        }
        Ok(decision)
    }

    /// Notes a recorded decision.
    pub(crate) fn note(&mut self, record: &DecisionRecord) {
        let decision_id = record.decision_id;
        self.last = decision_id;
        match &record.decision {
            Decision::Overrule { .. } => {}
            Decision::Hold { set } => self.holds.push(Open { decision_id, name: record.reason.clone(), set: set.clone() }),
            Decision::ReleaseHold { hold, .. } => self.holds.retain(|open| open.decision_id != *hold),
            Decision::Recall { name, set, .. } => self.recalls.push(Open { decision_id, name: name.clone(), set: set.clone() }),
            Decision::EndRecall { recall, .. } => self.recalls.retain(|open| open.decision_id != *recall),
            Decision::Complaint { .. } => self.escapes += 1,
        }
    }

    /// A recalled piece does not pass, whatever was seen of it; one that nobody saw stays a hold. A challenge piece is no product.
    pub(crate) fn apply(&self, arrival: &Arrival, mut judgement: Judgement) -> Judgement {
        let recall = self.recalls.iter().find(|recall| !arrival.golden && recall.set.has_arrival(arrival));
        let Some(Open { decision_id, name, .. }) = recall else { return judgement };
        judgement.reasons.insert(0, Reason::Recalled { recall: *decision_id, name: name.as_str().into() });
        if judgement.verdict != Verdict::Hold {
            judgement.verdict = Verdict::Reject;
            judgement.grade = 0;
        }
        judgement
    }
}

fn one_of(result_id: u64, results: u64) -> Result<(), Refusal> {
    let known = (1..=results).contains(&result_id);
    known.then_some(()).ok_or(Refusal::NoSuchResults { first: result_id, last: result_id, results })
}

fn open(all: &[Open], decision_id: u64) -> Result<&Open, Refusal> {
    all.iter().find(|open| open.decision_id == decision_id).ok_or(Refusal::NotOpen(decision_id))
}

fn room(all: &[Open], set: &Affected, results: u64) -> Result<(), Refusal> {
    set.check(results)?;
    let serials = all.iter().map(|open| open.set.serials.len()).sum::<usize>() + set.serials.len();
    match (all.len() < OPEN_MAX, serials <= SERIALS_MAX) {
        (false, _) => Err(Refusal::TooManyOpen),
        (true, false) => Err(Refusal::TooManySerials),
        (true, true) => Ok(()),
    }
}

fn text(what: &'static str, words: &str, chars_max: usize) -> Result<(), Refusal> {
    let fits = !words.trim().is_empty() && words.chars().count() <= chars_max;
    fits.then_some(()).ok_or(Refusal::Text(what))
}
