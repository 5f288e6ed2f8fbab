//! What a recall asks of piece records, in some fifty bytes each: when, which verdict, which lot, model, defects, set points.
//!
//! A recall over a million records must answer while somebody waits, and a record has some three kilobytes: so the view keeps a row
//! of each record, sixty-four and more to a value, and a question reads all of them. What is a string in a record (model, class,
//! grade, tag) is a number in a row, and the list of these names lies in the view as well. Nothing here is evidence: a row says
//! which records to read.
//!
//! Invariants: rows lie in the order of their records; a block holds rows of one recipe, since class and grade are only numbers
//! without it; a block that cannot be read is an error, never a shorter answer.

mod bytes;
pub mod origin;
pub mod overruled;
pub mod question;
pub mod serials;

use origin::Origins;
use overruled::Overruled;
use station::decision::DecisionRecord;
use station::intake::MadeOf;
use station::reading::Quality;
use station::recipe::Recipe;
use station::record::PieceRecord;
use station::verdict::{Reason, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Numbers of records that one block spans at most; what a start reads from the ledger to go on with an unfinished one.
pub const BLOCK: u64 = 64;

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A model package, `name@version`.
    Model,
    /// A defect class.
    Class,
    /// A grade.
    Grade,
    /// A tag, a gauge or a payload: whatever has a reading.
    Tag,
}

impl Sort {
    const ALL: [Self; 4] = [Self::Model, Self::Class, Self::Grade, Self::Tag];

    const fn letter(self) -> u8 {
        match self {
            Self::Model => b'm',
            Self::Class => b'd',
            Self::Grade => b'g',
            Self::Tag => b't',
        }
    }
}

/// The names that rows refer to by number.
#[derive(Debug, Clone, Default)]
pub struct Names {
    numbers: BTreeMap<(Sort, Arc<str>), u16>,
    names: Vec<(Sort, Arc<str>)>,
}

impl Names {
    /// The number of a name, which is given one if it is new. Past 65 535 names the last one stands for all others.
    pub fn number(&mut self, sort: Sort, name: &str) -> u16 {
        if let Some(number) = self.look_up(sort, name) {
            return number;
        }
        let Some(number) = u16::try_from(self.names.len()).ok().filter(|number| *number < u16::MAX) else { return u16::MAX };
        let name: Arc<str> = name.into();
        self.names.push((sort, Arc::clone(&name)));
        self.numbers.insert((sort, name), number);
        number
    }

    /// The number of a name that is known.
    #[must_use]
    pub fn look_up(&self, sort: Sort, name: &str) -> Option<u16> {
        self.numbers.get(&(sort, Arc::from(name))).copied()
    }

    /// The name of a number.
    #[must_use]
    pub fn name(&self, number: u16) -> &str {
        self.names.get(usize::from(number)).map_or("?", |(_, name)| name)
    }

    /// Every name of a sort with its number.
    pub fn of(&self, sort: Sort) -> impl Iterator<Item = (u16, &str)> {
        (0..).zip(&self.names).filter(move |(_, (its, _))| *its == sort).map(|(number, (_, name))| (number, &**name))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The name of a number as it is kept: its sort and itself.
    #[must_use]
    pub fn to_bytes(&self, number: usize) -> Vec<u8> {
        self.names.get(number).map(|(sort, name)| [&[sort.letter()], name.as_bytes()].concat()).unwrap_or_default()
    }

    /// Takes a kept name in; names come in the order of their numbers. False if it is no name.
    pub fn take_in(&mut self, bytes: &[u8]) -> bool {
        let Some((letter, name)) = bytes.split_first() else { return false };
        let sort = Sort::ALL.into_iter().find(|sort| sort.letter() == *letter);
        let (Some(sort), Ok(name)) = (sort, std::str::from_utf8(name)) else { return false };
        usize::from(self.number(sort, name)) + 1 == self.names.len()
    }
}

/// What a recall may ask of one piece record.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The record.
    pub result_id: u64,
    /// When the piece was announced: microseconds since 1970.
    pub at_micros: i64,
    /// Its verdict.
    pub verdict: Verdict,
    /// Version of the rubric that graded it.
    pub rubric: u16,
    /// The lot; 0 if unknown.
    pub lot: u32,
    /// Number of the name of its grade.
    pub grade: u16,
    /// Numbers of the names of the models that looked, and of its defects' classes.
    pub names: Vec<u16>,
    /// Number of the tag's name, and the good reading that it had.
    pub readings: Vec<(u16, f64)>,
}

impl Row {
    /// The row of a record that was made under a recipe.
    pub fn of(piece: &PieceRecord, recipe: Option<&Recipe>, names: &mut Names) -> Self {
        let mut numbers = Vec::new();
        if let Some(inspection) = &piece.inspection {
            numbers.push(names.number(Sort::Model, &inspection.model.package));
            numbers.extend(inspection.views.iter().map(|view| names.number(Sort::Model, &view.model.package)));
        }
        for reason in &piece.judgement.reasons {
            if let Reason::Defects { class, .. } = reason {
                let known = recipe.and_then(|recipe| recipe.class(*class));
                let number = match known {
                    Some(known) => names.number(Sort::Class, &known.name),
                    None => names.number(Sort::Class, &format!("class {}", class.0)),
                };
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let grade = match recipe {
            Some(recipe) => names.number(Sort::Grade, &recipe.rubric.name(piece.judgement.grade)),
            None => names.number(Sort::Grade, &piece.judgement.grade.to_string()),
        };
        let good = piece.readings.iter().filter(|reading| reading.quality == Quality::Good && reading.text.is_none());
        Self {
            result_id: piece.result_id,
            at_micros: piece.arrived_at.wall_micros,
            verdict: piece.judgement.verdict,
            rubric: piece.rubric_version,
            lot: piece.arrival.lot,
            grade,
            readings: good.map(|reading| (names.number(Sort::Tag, &reading.tag), reading.value)).collect(),
            names: numbers,
        }
    }
}

/// The rows that no block holds yet, and what their numbers mean.
#[derive(Debug, Default)]
pub struct Rows {
    /// The recipe in force.
    pub recipe: Option<Arc<Recipe>>,
    /// The names.
    pub names: Names,
    waiting: Vec<Row>,
    /// Number and fingerprint of the serial of every record that waits.
    serials: Vec<(u64, u64)>,
    /// The last record that was taken in.
    last: u64,
    /// What records were made of.
    pub origins: Origins,
}

/// A block on its way into the view.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// Number of its first record.
    pub first: u64,
    /// Its rows.
    pub rows: Vec<u8>,
    /// The serials of its records.
    pub serials: Vec<u8>,
}

impl Rows {
    /// Rows that go on after record `last`.
    #[must_use]
    pub fn after(last: u64, names: Names, recipe: Option<Arc<Recipe>>) -> Self {
        Self { recipe, names, waiting: Vec::new(), serials: Vec::new(), last, origins: Origins::new() }
    }

    /// Takes a record in. Gives back a block that is full.
    pub fn take(&mut self, piece: &PieceRecord) -> Option<Block> {
        // A view that catches up may see the last entries again.
        if piece.result_id <= self.last {
            return None;
        }
        let first = self.waiting.first().map_or(piece.result_id, |row| row.result_id);
        let full = (piece.result_id - first >= BLOCK).then(|| self.close()).flatten();
        self.last = piece.result_id;
        let row = Row::of(piece, self.recipe.as_deref(), &mut self.names);
        self.waiting.push(row);
        self.serials.push((piece.result_id, serials::fingerprint(piece.arrival.serial.as_deref())));
        full
    }

    /// What a record was made of, if that differs from the one before it. To be asked before the record is taken in.
    pub fn origin(&mut self, piece: &PieceRecord) -> Option<MadeOf> {
        let is_new = piece.result_id > self.last;
        (is_new && origin::note(&mut self.origins, piece.result_id, &piece.made_of)).then(|| Arc::clone(&piece.made_of))
    }

    /// Another recipe is in force. Gives back what was waiting.
    pub fn change(&mut self, recipe: Arc<Recipe>) -> Option<Block> {
        self.recipe = Some(recipe);
        self.close()
    }

    /// What a decision overrules, if it does, and by what.
    pub fn overruled(&mut self, record: &DecisionRecord) -> Option<(u64, Overruled)> {
        let found = Overruled::of(record, self.recipe.as_deref())?;
        // A grade that no record has but by an overrule can be asked for as well.
        self.names.number(Sort::Grade, &found.1.grade);
        Some(found)
    }

    fn close(&mut self) -> Option<Block> {
        let block = bytes::encode(&self.waiting).map(|(first, rows)| Block { first, rows, serials: serials::encode(first, &self.serials) });
        self.waiting.clear();
        self.serials.clear();
        block
    }

    /// Records that no block holds and whose serial has this fingerprint.
    pub fn waiting_with(&self, fingerprint: u64) -> impl Iterator<Item = u64> {
        self.serials.iter().filter(move |(_, its)| *its == fingerprint).map(|(result_id, _)| *result_id)
    }

    /// The rows that no block holds.
    #[must_use]
    pub fn waiting(&self) -> &[Row] {
        &self.waiting
    }
}

/// The rows of a block, or `None` if its bytes are not what was written.
pub fn read_block(first: u64, bytes: &[u8], visit: &mut dyn FnMut(&Row)) -> Option<()> {
    bytes::decode(first, bytes, visit)
}
