//! What pieces are made of: the supplier lots in use, as whoever opens a new one says.
//!
//! Invariants: one lot of each material is in use at a time; a piece is made of what was in use when it was announced; what changed is a
//! record of its own that names who said so. What the station bears in mind is bounded, and what would go beyond is refused.

use crate::action::By;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Materials that may be in use at one time: each is named in every piece record, some 80 bytes.
pub const MATERIALS_MAX: usize = 16;
/// Longest name of a material, a supplier or a lot in characters.
pub const NAME_CHARS_MAX: usize = 60;

/// A lot of a material as its supplier names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplierLot {
    /// What it is: `laminate`.
    pub material: String,
    /// Who made it.
    pub supplier: String,
    /// Their number of the lot.
    pub lot: String,
}

/// The lots in use, in the order of their materials.
pub type MadeOf = Arc<[SupplierLot]>;

/// What somebody says at intake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Intake {
    /// From the next piece on this lot is used, in place of the one of the same material.
    InUse {
        /// Which.
        lot: SupplierLot,
    },
    /// From the next piece on none of this material is used.
    UsedUp {
        /// Which.
        material: String,
    },
}

/// What somebody said, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeRecord {
    /// What.
    pub intake: Intake,
    /// Who.
    pub by: By,
    /// Number of the last piece record before it.
    pub results: u64,
}

/// Why an intake was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeRefusal {
    /// A name that is none.
    #[error("the {0} is not a name of 1 to {NAME_CHARS_MAX} characters")]
    Name(&'static str),
    /// More than can be borne in mind.
    #[error("{MATERIALS_MAX} materials are in use already")]
    TooMany,
    /// Nothing to end.
    #[error("no lot of `{0}` is in use")]
    NotInUse(String),
}

impl Intake {
    /// What is in use after it; `None` if that is so already.
    ///
    /// # Errors
    /// [`IntakeRefusal`]: nothing is to be recorded.
    pub fn applied(&self, in_use: &[SupplierLot]) -> Result<Option<MadeOf>, IntakeRefusal> {
        let mut lots = in_use.to_vec();
        match self {
            Self::InUse { lot } => {
                for (what, name) in [("material", &lot.material), ("supplier", &lot.supplier), ("lot", &lot.lot)] {
                    named(what, name)?;
                }
                lots.retain(|known| known.material != lot.material);
                lots.push(lot.clone());
            }
            Self::UsedUp { material } => {
                lots.retain(|known| known.material != *material);
                if lots.len() == in_use.len() {
                    return Err(IntakeRefusal::NotInUse(material.chars().take(NAME_CHARS_MAX).collect()));
                }
            }
        }
        if lots.len() > MATERIALS_MAX {
            return Err(IntakeRefusal::TooMany);
        }
        lots.sort();
        Ok((lots != in_use).then(|| lots.into()))
    }
}

fn named(what: &'static str, name: &str) -> Result<(), IntakeRefusal> {
    let is_name = name.trim() == name && (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_name.then_some(()).ok_or(IntakeRefusal::Name(what))
}

pub(crate) fn is_nothing(made_of: &MadeOf) -> bool {
    made_of.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(material: &str, lot: &str) -> SupplierLot {
        SupplierLot { material: material.to_owned(), supplier: "Acme".to_owned(), lot: lot.to_owned() }
    }

    fn in_use(known: &[SupplierLot], new: SupplierLot) -> Result<Option<MadeOf>, IntakeRefusal> {
        Intake::InUse { lot: new }.applied(known)
    }

    #[test]
    fn one_lot_of_each_material_is_in_use() {
        let first = in_use(&[], lot("paste", "P1")).unwrap().unwrap();
        let both = in_use(&first, lot("laminate", "L1")).unwrap().unwrap();
        assert_eq!(*both, [lot("laminate", "L1"), lot("paste", "P1")]);
        let next = in_use(&both, lot("laminate", "L2")).unwrap().unwrap();
        assert_eq!(*next, [lot("laminate", "L2"), lot("paste", "P1")]);
        assert_eq!(in_use(&next, lot("laminate", "L2")), Ok(None), "it is so already");
        let used_up = Intake::UsedUp { material: "paste".to_owned() };
        assert_eq!(*used_up.applied(&next).unwrap().unwrap(), [lot("laminate", "L2")]);
        assert_eq!(used_up.applied(&[]), Err(IntakeRefusal::NotInUse("paste".to_owned())));
    }

    #[test]
    fn what_is_no_name_and_what_is_too_much_is_refused() {
        for wrong in ["", " P1", "P\n1", &"P".repeat(61)] {
            assert_eq!(in_use(&[], lot("paste", wrong)), Err(IntakeRefusal::Name("lot")), "{wrong:?}");
        }
        let all: Vec<_> = (0..16).map(|number| lot(&format!("material {number:02}"), "1")).collect();
        assert_eq!(in_use(&all, lot("paste", "P1")), Err(IntakeRefusal::TooMany));
        assert!(in_use(&all, lot("material 03", "2")).unwrap().is_some());
    }
}
