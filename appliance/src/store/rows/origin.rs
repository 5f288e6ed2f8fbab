//! What pieces were made of, as runs of records: the supplier lots in use change a few times a day, so only the changes are kept.
//!
//! Invariant: the lots of a record are those of the last change at or before it.

use station::intake::{MadeOf, SupplierLot};
use std::collections::BTreeMap;

/// From which record on what was in use. Empty as long as nobody ever took a lot in.
pub type Origins = BTreeMap<u64, MadeOf>;

/// A supplier lot, by what is known of it. All that is said must fit one and the same lot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its number at the supplier.
    pub lot: Option<String>,
    /// Who made it.
    pub supplier: Option<String>,
    /// What it is.
    pub material: Option<String>,
}

impl Origin {
    /// True if nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True if it is this lot.
    #[must_use]
    pub fn is(&self, lot: &SupplierLot) -> bool {
        let fits = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|asked| asked == is);
        fits(&self.lot, &lot.lot) && fits(&self.supplier, &lot.supplier) && fits(&self.material, &lot.material)
    }

    /// The runs of records that were made of it: first and last of each, oldest first.
    #[must_use]
    pub fn runs(&self, origins: &Origins) -> Vec<(u64, u64)> {
        let ends = origins.keys().skip(1).map(|next| next - 1).chain([u64::MAX]);
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for ((first, lots), last) in origins.iter().zip(ends) {
            if !lots.iter().any(|lot| self.is(lot)) {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.1.saturating_add(1) == *first => run.1 = last,
                _ => runs.push((*first, last)),
            }
        }
        runs
    }
}

/// A supplier lot and the records that were made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Which.
    pub lot: SupplierLot,
    /// First and last record of each run, oldest first; the last one of a lot in use is the last record there is.
    pub runs: Vec<(u64, u64)>,
}

/// Every supplier lot that was ever in use, the latest first; there are `results` records.
#[must_use]
pub fn uses(origins: &Origins, results: u64) -> Vec<Use> {
    let mut latest: BTreeMap<&SupplierLot, u64> = BTreeMap::new();
    for (first, lots) in origins {
        latest.extend(lots.iter().map(|lot| (lot, *first)));
    }
    let mut latest: Vec<_> = latest.into_iter().collect();
    latest.sort_by_key(|(lot, first)| (std::cmp::Reverse(*first), *lot));
    let of = |lot: &SupplierLot| {
        let origin = Origin { lot: Some(lot.lot.clone()), supplier: Some(lot.supplier.clone()), material: Some(lot.material.clone()) };
        let runs = origin.runs(origins).into_iter().map(|(first, last)| (first, last.min(results))).collect();
        Use { lot: lot.clone(), runs }
    };
    latest.into_iter().map(|(lot, _)| of(lot)).collect()
}

/// Takes in what a record was made of. Gives back true if that is a change.
pub fn note(origins: &mut Origins, result_id: u64, made_of: &MadeOf) -> bool {
    let known = origins.last_key_value();
    let changes = known.is_none_or(|(first, lots)| *first < result_id && lots != made_of) && !(known.is_none() && made_of.is_empty());
    if changes {
        origins.insert(result_id, made_of.clone());
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lots(names: &[&str]) -> MadeOf {
        let lot = |name: &&str| SupplierLot { material: name[..1].to_owned(), supplier: "Acme".to_owned(), lot: (*name).to_owned() };
        names.iter().map(lot).collect()
    }

    #[test]
    fn runs_of_records_are_found_by_any_name_of_a_lot() {
        let mut origins = Origins::new();
        for (result_id, names) in [(1, &[][..]), (2, &["L1"]), (3, &["L1"]), (4, &["L1", "P1"]), (7, &["L2", "P1"]), (8, &[]), (9, &["L1"])]
        {
            note(&mut origins, result_id, &lots(names));
        }
        assert_eq!(origins.keys().copied().collect::<Vec<_>>(), [2, 4, 7, 8, 9]);
        let of = |lot: Option<&str>, material: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            Origin { lot: text(lot), supplier: None, material: text(material) }.runs(&origins)
        };
        assert_eq!(of(Some("L1"), None), [(2, 6), (9, u64::MAX)]);
        assert_eq!(of(Some("P1"), None), [(4, 7)]);
        assert_eq!(of(None, Some("L")), [(2, 7), (9, u64::MAX)]);
        assert_eq!(of(Some("P1"), Some("L")), []);
        let used = uses(&origins, 20);
        assert_eq!(used.iter().map(|used| used.lot.lot.as_str()).collect::<Vec<_>>(), ["L1", "L2", "P1"]);
        assert_eq!(used[0].runs, [(2, 6), (9, 20)]);
    }
}
