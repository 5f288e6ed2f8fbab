//! What people decide: the only ways in which a person changes what the station does.

use crate::decision::Decision;
use crate::intake::Intake;
use crate::recipe::GivenLimits;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a person may do at the station. The order is the order of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Stops the line, acknowledges a stop.
    Operator,
    /// Also releases a stop.
    Supervisor,
    /// Also holds and releases for quality.
    QualityOfficer,
    /// Also changes recipe, control plan and policy.
    Engineer,
    /// Also manages users and the appliance.
    Administrator,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Supervisor => "supervisor",
            Self::QualityOfficer => "quality officer",
            Self::Engineer => "engineer",
            Self::Administrator => "administrator",
        })
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name they signed in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// Who decided something: a person at the appliance, or whoever stands at the PLC, whose name nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "who")]
pub enum By {
    /// Somebody who was signed in.
    Person(Person),
    /// The PLC asked for it.
    Plc,
}

impl By {
    /// The name as written in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Person(person) => &person.name,
            Self::Plc => "PLC",
        }
    }
}

impl From<Person> for By {
    fn from(person: Person) -> Self {
        Self::Person(person)
    }
}

/// A decision of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    /// Stop the line now.
    Stop {
        /// Why, in their words; may be empty.
        note: String,
    },
    /// The stop was understood. A stop cannot be acknowledged without a cause.
    Acknowledge {
        /// Number of the stop that is meant, so that an older page cannot acknowledge a newer stop.
        stop_seq: u16,
        /// What caused it; not empty.
        cause: String,
        /// What was done about it; may be empty.
        corrective_action: String,
    },
    /// Let the line run again. Only after the acknowledgement.
    Release {
        /// Number of the stop that is meant.
        stop_seq: u16,
    },
    /// From now on a cause to stop withdraws the permit. Needs an engineer.
    Arm,
    /// From now on a cause to stop is shown, counted and recorded, but not commanded. Needs an engineer.
    Disarm,
    /// A chart judges by other limits from its next point on. Needs an engineer, and a reason.
    ReviseLimits {
        /// Number of the chart.
        chart: u16,
        /// Revision that is replaced, so that an older page cannot replace newer limits; 0 while the first are being learnt.
        replaces: u32,
        /// The new ones.
        revision: Revision,
        /// Why; not empty.
        reason: String,
    },
    /// Something about pieces that have their verdict. The role it needs is `Decision::role`.
    Decide {
        /// What.
        decision: Decision,
        /// Why, or what was complained of; not empty.
        reason: String,
    },
    /// What pieces are made of from here on.
    TakeIn {
        /// What.
        intake: Intake,
    },
}

/// Where new limits come from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revision {
    /// From a study.
    Given(GivenLimits),
    /// From the next points: phase I begins anew.
    Relearn,
}

/// A decision and who took it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Who.
    pub by: Person,
    /// What.
    pub action: Action,
}
