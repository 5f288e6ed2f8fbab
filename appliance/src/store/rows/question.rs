//! What a person asks of the records — which pieces have this in common? — and whether a row has it.
//!
//! Invariant: a name that no record ever had is an error that lists the names there are, never an empty answer: nobody may
//! conclude from a misspelt model that no piece is affected.

use super::origin::{Origin, Origins};
use super::overruled::{Overruled, Overrules};
use super::{Names, Row, Sort};
use station::intake::SupplierLot;
use station::verdict::Verdict;
use std::collections::BTreeSet;

/// What the pieces that are sought have in common. All that is said must hold; what is left out is not asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// One of these serials.
    pub serials: Vec<String>,
    /// One of these lots.
    pub lots: Vec<u32>,
    /// Made of this supplier lot.
    pub origin: Origin,
    /// Announced at this time or later: microseconds since 1970.
    pub since_micros: Option<i64>,
    /// Announced before this time.
    pub until_micros: Option<i64>,
    /// Looked at by this model: the name of its package, of any version, or `name@version`.
    pub model: Option<String>,
    /// Graded by this version of the rubric.
    pub rubric: Option<u16>,
    /// With a defect of this class.
    pub defect: Option<String>,
    /// With this verdict, as it is in force: a person may have overruled that of the record.
    pub verdict: Option<Verdict>,
    /// With this grade, as it is in force.
    pub grade: Option<String>,
    /// Verdict and grade are meant as the station gave them, whatever people decided later.
    pub as_judged: bool,
    /// Records from this number…
    pub first: Option<u64>,
    /// …to this one.
    pub last: Option<u64>,
    /// Made at these set points: each reading was good and within its range.
    pub readings: Vec<Range>,
}

/// The range that a reading must have been in.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Its tag.
    pub tag: String,
    /// Least value, in its unit.
    pub min: f64,
    /// Greatest value, in its unit.
    pub max: f64,
}

/// Names that a refusal lists at most.
const KNOWN_MAX: usize = 50;

/// A name in a question that no record has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no record has the {what} `{name}`; there {}", known(.there_are))]
pub struct Unknown {
    /// What it should name.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// Those that records have.
    pub there_are: Vec<String>,
}

impl Unknown {
    /// The parameter of a question that said it.
    #[must_use]
    pub fn parameter(&self) -> &'static str {
        match self.what {
            "defect class" => "defect",
            "supplier lot" => "supplier_lot",
            other => other,
        }
    }
}

fn known(names: &[String]) -> String {
    if names.is_empty() { "is none yet".to_owned() } else { format!("are: {}", names.join(", ")) }
}

/// A question in the numbers of a station's names.
#[derive(Debug, Clone)]
pub struct Sought {
    question: Question,
    models: Option<BTreeSet<u16>>,
    class: Option<u16>,
    grade: Option<u16>,
    readings: Vec<(u16, f64, f64)>,
    serials: Option<BTreeSet<u64>>,
    overrules: Overrules,
    /// First and last of the records that were made of the supplier lot in question.
    made_of: Option<Vec<(u64, u64)>>,
}

impl Question {
    /// The question in numbers. `records_with` tells the records of a serial.
    ///
    /// # Errors
    /// A name that no record has, or what `records_with` says.
    pub fn in_numbers<E: From<Unknown>>(
        &self,
        names: &Names,
        origins: &Origins,
        mut records_with: impl FnMut(&str) -> Result<Vec<u64>, E>,
    ) -> Result<Sought, E> {
        let find = |sort, what, name: &Option<String>| name.as_ref().map(|name| look_up(names, sort, what, name)).transpose();
        let models = self.model.as_ref().map(|wanted| {
            let fits = |name: &str| name == wanted || name.split_once('@').is_some_and(|(package, _)| package == wanted);
            let found: BTreeSet<u16> = names.of(Sort::Model).filter(|(_, name)| fits(name)).map(|(number, _)| number).collect();
            if found.is_empty() { Err(unknown(names, Sort::Model, "model", wanted)) } else { Ok(found) }
        });
        let range = |range: &Range| Ok::<_, Unknown>((look_up(names, Sort::Tag, "reading", &range.tag)?, range.min, range.max));
        let mut serials = None;
        for serial in &self.serials {
            serials.get_or_insert_with(BTreeSet::new).extend(records_with(serial)?);
        }
        Ok(Sought {
            models: models.transpose()?,
            class: find(Sort::Class, "defect class", &self.defect)?,
            grade: find(Sort::Grade, "grade", &self.grade)?,
            readings: self.readings.iter().map(range).collect::<Result<_, _>>()?,
            serials,
            overrules: Overrules::new(),
            made_of: (!self.origin.is_empty()).then(|| self.runs(origins)).transpose()?,
            question: self.clone(),
        })
    }

    fn runs(&self, origins: &Origins) -> Result<Vec<(u64, u64)>, Unknown> {
        let runs = self.origin.runs(origins);
        if !runs.is_empty() {
            return Ok(runs);
        }
        let asked = [("material", &self.origin.material), ("supplier", &self.origin.supplier), ("supplier lot", &self.origin.lot)];
        // The first name that nobody ever gave; or all are known, and were never in one lot.
        let known = |what: &str| -> BTreeSet<&str> {
            let lots = origins.values().rev().flat_map(|lots| lots.iter());
            lots.map(|lot| part_of(lot, what)).collect()
        };
        let said: Vec<_> = asked.into_iter().filter_map(|(what, name)| Some((what, name.as_ref()?))).collect();
        let strange = said.iter().find(|(what, name)| !known(what).contains(name.as_str())).or(said.last());
        let (what, name) = strange.map_or(("supplier lot", String::new()), |(what, name)| (*what, (*name).clone()));
        let mut there_are: Vec<String> = known(what).into_iter().map(str::to_owned).collect();
        if there_are.contains(&name) {
            there_are =
                origins.values().flat_map(|lots| lots.iter()).map(|lot| format!("{} {} {}", lot.material, lot.supplier, lot.lot)).collect();
            there_are.sort_unstable();
            there_are.dedup();
        }
        there_are.truncate(KNOWN_MAX);
        Err(Unknown { what, name, there_are })
    }

    /// True if nothing is asked: every record would be the answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Self { as_judged: false, ..self.clone() } == Self::default()
    }
}

fn look_up(names: &Names, sort: Sort, what: &'static str, name: &str) -> Result<u16, Unknown> {
    names.look_up(sort, name).ok_or_else(|| unknown(names, sort, what, name))
}

fn unknown(names: &Names, sort: Sort, what: &'static str, name: &str) -> Unknown {
    let mut there_are: Vec<String> = names.of(sort).map(|(_, name)| name.to_owned()).collect();
    there_are.sort_unstable();
    Unknown { what, name: name.to_owned(), there_are }
}

impl Sought {
    /// The same, knowing what people overruled.
    #[must_use]
    pub fn knowing(self, overrules: Overrules) -> Self {
        Self { overrules, ..self }
    }

    /// What was overruled of these records.
    #[must_use]
    pub fn overruled(&self, records: &[u64]) -> Overrules {
        // Whichever is shorter: a page has a handful of records, a whole answer a million.
        if records.len() < self.overrules.len() {
            let one = |id: &u64| Some((*id, self.overrules.get(id)?.clone()));
            return records.iter().filter_map(one).collect();
        }
        let found: BTreeSet<u64> = records.iter().copied().collect();
        self.overrules.iter().filter(|(id, _)| found.contains(id)).map(|(id, by)| (*id, by.clone())).collect()
    }

    /// The least and the greatest number that a record in question can have.
    #[must_use]
    pub fn bounds(&self) -> (u64, u64) {
        let asked = (self.question.first.unwrap_or(1), self.question.last.unwrap_or(u64::MAX));
        let asked = match self.made_of.as_deref() {
            Some(runs @ [(first, _), ..]) => (asked.0.max(*first), asked.1.min(runs.last().map_or(u64::MAX, |run| run.1))),
            _ => asked,
        };
        let Some(serials) = &self.serials else { return asked };
        // Of no record at all there is nothing to look through.
        let (Some(first), Some(last)) = (serials.first(), serials.last()) else { return (1, 0) };
        (asked.0.max(*first), asked.1.min(*last))
    }

    /// What is in force instead of the row's verdict and grade, unless the question is after those.
    fn now(&self, row: &Row) -> Option<&Overruled> {
        self.overrules.get(&row.result_id).filter(|_| !self.question.as_judged)
    }

    fn has_verdict_and_grade(&self, row: &Row) -> bool {
        let (asked, now) = (&self.question, self.now(row));
        let grade = |now: &Overruled| asked.grade.as_deref().is_none_or(|grade| grade == now.grade);
        asked.verdict.is_none_or(|verdict| now.map_or(row.verdict, |now| now.verdict) == verdict)
            && now.map_or_else(|| self.grade.is_none_or(|grade| row.grade == grade), grade)
    }

    /// True if the row is what is sought.
    #[must_use]
    pub fn is(&self, row: &Row) -> bool {
        let asked = &self.question;
        let within =
            |(tag, min, max): &(u16, f64, f64)| row.readings.iter().any(|(its, value)| its == tag && (*min..=*max).contains(value));
        asked.first.is_none_or(|first| row.result_id >= first)
            && asked.last.is_none_or(|last| row.result_id <= last)
            && asked.since_micros.is_none_or(|since| row.at_micros >= since)
            && asked.until_micros.is_none_or(|until| row.at_micros < until)
            && (asked.lots.is_empty() || asked.lots.contains(&row.lot))
            && asked.rubric.is_none_or(|rubric| row.rubric == rubric)
            && self.has_verdict_and_grade(row)
            && self.made_of.as_ref().is_none_or(|runs| is_within(runs, row.result_id))
            && self.class.is_none_or(|class| row.names.contains(&class))
            && self.models.as_ref().is_none_or(|models| row.names.iter().any(|name| models.contains(name)))
            && self.serials.as_ref().is_none_or(|serials| serials.contains(&row.result_id))
            && self.readings.iter().all(within)
    }
}

fn part_of<'l>(lot: &'l SupplierLot, what: &str) -> &'l str {
    match what {
        "material" => &lot.material,
        "supplier" => &lot.supplier,
        _ => &lot.lot,
    }
}

fn is_within(runs: &[(u64, u64)], result_id: u64) -> bool {
    let after = runs.partition_point(|(first, _)| *first <= result_id);
    after.checked_sub(1).and_then(|index| runs.get(index)).is_some_and(|(_, last)| result_id <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_counts_and_a_name_that_nobody_had_is_told() {
        let mut names = Names::default();
        let [old, new] = ["pcb@1.0.0", "pcb@2.0.0"].map(|name| names.number(Sort::Model, name));
        let open = names.number(Sort::Class, "open");
        let zone = names.number(Sort::Tag, "oven_zone_1");
        let grade = names.number(Sort::Grade, "A");
        let row = Row {
            result_id: 10,
            at_micros: 1000,
            verdict: Verdict::Reject,
            rubric: 2,
            lot: 7,
            grade,
            names: vec![old, open],
            readings: vec![(zone, 230.0)],
        };
        let is = |question: &Question| -> Result<bool, Unknown> {
            let with = |serial: &str| Ok(if serial == "SN1" { vec![10] } else { Vec::new() });
            Ok(question.in_numbers(&names, &Origins::new(), with)?.is(&row))
        };
        let range = |tag: &str, min, max| Range { tag: tag.to_owned(), min, max };
        let text = |text: &str| Some(text.to_owned());
        let all = Question {
            serials: vec!["SN1".to_owned()],
            lots: vec![6, 7],
            origin: Origin::default(),
            since_micros: Some(1000),
            until_micros: Some(1001),
            model: text("pcb"),
            rubric: Some(2),
            defect: text("open"),
            verdict: Some(Verdict::Reject),
            grade: text("A"),
            as_judged: false,
            first: Some(10),
            last: Some(10),
            readings: vec![range("oven_zone_1", 229.0, 230.0)],
        };
        assert!(is(&all).unwrap() && is(&Question::default()).unwrap());
        let others: [fn(&mut Question); 10] = [
            |q| q.serials = vec!["SN2".to_owned()],
            |q| q.lots = vec![8],
            |q| q.since_micros = Some(1001),
            |q| q.until_micros = Some(1000),
            |q| q.model = Some("pcb@2.0.0".to_owned()),
            |q| q.rubric = Some(1),
            |q| q.verdict = Some(Verdict::Pass),
            |q| q.first = Some(11),
            |q| q.last = Some(9),
            |q| q.readings[0].max = 229.5,
        ];
        for (index, change) in others.into_iter().enumerate() {
            let mut question = all.clone();
            change(&mut question);
            assert!(!is(&question).unwrap(), "condition {index}");
        }
        let _ = new;
        let error = is(&Question { model: text("pbc"), ..Question::default() }).unwrap_err();
        assert_eq!(error.to_string(), "no record has the model `pbc`; there are: pcb@1.0.0, pcb@2.0.0");
        assert!(is(&Question { defect: text("short"), ..Question::default() }).is_err());
        assert!(is(&Question { grade: text("B"), ..Question::default() }).is_err());
        assert!(is(&Question { readings: vec![range("oven", 0.0, 1.0)], ..Question::default() }).is_err());
    }
}
