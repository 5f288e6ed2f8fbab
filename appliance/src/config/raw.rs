//! The settings file as it stands: sections, keys, values and the line of each. Nothing is judged here but form.
//!
//! A [`Section`] is read key by key. Each key is judged on its own, so that one wrong value does not hide the next one;
//! what cannot be read becomes `None` and a problem in the [`Sheet`].
//!
//! Invariants: a key that nobody asked for is a problem (found when its section goes out of scope); a misspelt key is
//! one problem, not an unknown one and a missing one; a file that is not TOML still has its readable part judged.

mod tables;

use super::problem::{Problem, Problems};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A settings file under judgement, and what was found wrong so far.
pub(super) struct Sheet<'t> {
    file: &'t str,
    text: &'t str,
    /// Byte offsets at which lines begin, after the first line.
    breaks: Vec<usize>,
    /// Lines that are not TOML. While there are any, absence proves nothing and only what stands on other lines is judged.
    broken: BTreeSet<usize>,
    problems: RefCell<Vec<Problem>>,
    places: RefCell<BTreeMap<String, usize>>,
}

impl<'t> Sheet<'t> {
    /// Reads `text` as TOML, as far as it is any.
    pub(super) fn read(file: &'t str, text: &'t str) -> (Self, Spanned<DeTable<'t>>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        let mut sheet = Self { file, text, breaks, broken: BTreeSet::new(), problems: RefCell::default(), places: RefCell::default() };
        for error in errors {
            let line = sheet.line(error.span().unwrap_or(0..0));
            sheet.broken.insert(line);
            let what = error.message().lines().next().unwrap_or("not TOML").to_owned();
            let mend = "mend the TOML on this line; text stands in double quotes, every table and key once".to_owned();
            sheet.problems.get_mut().push(Problem { file: file.to_owned(), line: Some(line), key: String::new(), what, mend });
        }
        (sheet, table)
    }

    /// The whole file as the outermost section.
    pub(super) fn root<'s>(&'s self, table: &'s Spanned<DeTable<'s>>) -> Section<'s> {
        Section::new(self, String::new(), None, Some(table.get_ref()))
    }

    /// Ends the reading: where every key stands, or everything that is wrong.
    pub(super) fn finish(self) -> Result<BTreeMap<String, usize>, Problems> {
        match Problems::found(self.problems.into_inner()) {
            Some(problems) => Err(problems),
            None => Ok(self.places.into_inner()),
        }
    }

    fn line(&self, span: Range<usize>) -> usize {
        let at = span.start.min(self.text.len());
        self.breaks.partition_point(|start| *start <= at) + 1
    }

    fn report(&self, line: Option<usize>, key: &str, what: String, mend: String) {
        if line.is_some_and(|line| self.broken.contains(&line)) {
            return;
        }
        self.problems.borrow_mut().push(Problem { file: self.file.to_owned(), line, key: key.to_owned(), what, mend });
    }
}

/// One table of the file.
pub(super) struct Section<'s> {
    sheet: &'s Sheet<'s>,
    path: String,
    line: Option<usize>,
    /// `None` if the section is missing or not a table, which has been told; every key in it is then silently `None`.
    table: Option<&'s DeTable<'s>>,
    asked: RefCell<BTreeSet<&'static str>>,
    /// Required keys that are not there, and what they should hold.
    missing: RefCell<Vec<(&'static str, String)>>,
    /// False if the keys that belong here are not known, because the one that decides it is wrong.
    closed: Cell<bool>,
    /// True if somebody else reads it and tells what is unknown or missing.
    silent: Cell<bool>,
}

/// A value, and where it stands.
struct Leaf<'s> {
    path: String,
    line: usize,
    value: &'s DeValue<'s>,
}

impl<'s> Section<'s> {
    fn new(sheet: &'s Sheet<'s>, path: String, line: Option<usize>, table: Option<&'s DeTable<'s>>) -> Self {
        Self {
            sheet,
            path,
            line,
            table,
            asked: RefCell::default(),
            missing: RefCell::default(),
            closed: Cell::new(true),
            silent: Cell::new(false),
        }
    }

    /// Lets keys pass that nobody asked for.
    pub(super) fn open_ended(&self) {
        self.closed.set(false);
    }

    /// Path of a key of this section.
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// True if the key is there, whatever its value is.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// Of this key everything was said, whatever its value is.
    pub(super) fn heard(&self, key: &'static str) {
        self.asked.borrow_mut().insert(key);
    }

    /// Tells that a value is well formed but cannot be meant. The line is the key's, or the section's if the key is not there.
    pub(super) fn wrong(&self, key: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        let line = self.find(key).map(|leaf| leaf.line).or(self.line);
        self.sheet.report(line, &self.path_of(key), what.into(), mend.into());
    }

    /// As [`Self::wrong`], about the section itself.
    pub(super) fn wrong_section(&self, what: impl Into<String>, mend: impl Into<String>) {
        self.sheet.report(self.line, &self.path, what.into(), mend.into());
    }

    fn find(&self, key: &'static str) -> Option<Leaf<'s>> {
        let (name, value) = self.table?.get_key_value(key)?;
        let leaf = Leaf { path: self.path_of(key), line: self.sheet.line(name.span()), value: value.get_ref() };
        self.sheet.places.borrow_mut().insert(leaf.path.clone(), leaf.line);
        Some(leaf)
    }

    fn optional(&self, key: &'static str) -> Option<Leaf<'s>> {
        self.asked.borrow_mut().insert(key);
        self.find(key)
    }

    fn required(&self, key: &'static str, form: &str) -> Option<Leaf<'s>> {
        let leaf = self.optional(key);
        if leaf.is_none() && self.table.is_some() {
            self.missing.borrow_mut().push((key, format!("add `{key} = …`, {form}")));
        }
        leaf
    }

    /// Tells that a key must be there, unless it is there misspelt. For keys that are required only because of others.
    pub(super) fn misses(&self, key: &'static str, mend: impl Into<String>) {
        self.asked.borrow_mut().insert(key);
        if self.table.is_some() {
            self.missing.borrow_mut().push((key, mend.into()));
        }
    }

    fn refuse(&self, leaf: &Leaf<'_>, what: String, form: &str) {
        self.sheet.report(Some(leaf.line), &leaf.path, what, format!("write {form}"));
    }

    fn wrong_type<T>(&self, leaf: &Leaf<'_>, form: &str) -> Option<T> {
        self.refuse(leaf, format!("{} is here", article(leaf.value.type_str())), form);
        None
    }

    fn as_text(&self, leaf: &Leaf<'s>, form: &str) -> Option<&'s str> {
        match leaf.value.as_str() {
            Some(text) if text.chars().any(char::is_control) => {
                self.refuse(leaf, "the text has control characters in it".to_owned(), form);
                None
            }
            Some(text) => Some(text),
            None => self.wrong_type(leaf, form),
        }
    }

    /// A text that may be empty.
    pub(super) fn text_or_empty(&self, key: &'static str, form: &str) -> Option<&'s str> {
        self.as_text(&self.required(key, form)?, form)
    }

    /// A text that says something.
    pub(super) fn text(&self, key: &'static str, form: &str) -> Option<&'s str> {
        let leaf = self.required(key, form)?;
        self.not_empty(&leaf, form)
    }

    /// A text that says something, if the key is there; the outer `None` means that it is there and wrong.
    pub(super) fn optional_text(&self, key: &'static str, form: &str) -> Option<Option<&'s str>> {
        match self.optional(key) {
            None => Some(None),
            Some(leaf) => self.not_empty(&leaf, form).map(Some),
        }
    }

    fn not_empty(&self, leaf: &Leaf<'s>, form: &str) -> Option<&'s str> {
        let text = self.as_text(leaf, form)?;
        if text.trim().is_empty() {
            self.refuse(leaf, "the text is empty".to_owned(), form);
            return None;
        }
        Some(text)
    }

    /// A text if there is one, without a word if there is none: for what other sections say about this one.
    pub(super) fn glance(&self, key: &'static str) -> Option<&'s str> {
        self.find(key)?.value.as_str()
    }

    /// As [`Self::glance`], a whole number.
    pub(super) fn glance_whole<T: TryFrom<i64>>(&self, key: &'static str) -> Option<T> {
        let leaf = self.find(key)?;
        let DeValue::Integer(digits) = leaf.value else { return None };
        i64::from_str_radix(digits.as_str(), digits.radix()).ok().and_then(|number| T::try_from(number).ok())
    }

    /// A whole number within `range`.
    pub(super) fn whole<T: Copy + Display + PartialOrd + TryFrom<i64>>(&self, key: &'static str, range: RangeInclusive<T>) -> Option<T> {
        let form = format!("a whole number from {} to {}", range.start(), range.end());
        let leaf = self.required(key, &form)?;
        self.whole_leaf(&leaf, &range, &form)
    }

    /// A whole number within `range`, or `default` if the key is not there.
    pub(super) fn whole_or<T>(&self, key: &'static str, range: RangeInclusive<T>, default: T) -> Option<T>
    where
        T: Copy + Display + PartialOrd + TryFrom<i64>,
    {
        Some(self.optional_whole(key, range)?.unwrap_or(default))
    }

    /// A whole number within `range`, if the key is there; the outer `None` means that it is there and wrong.
    pub(super) fn optional_whole<T>(&self, key: &'static str, range: RangeInclusive<T>) -> Option<Option<T>>
    where
        T: Copy + Display + PartialOrd + TryFrom<i64>,
    {
        let form = format!("a whole number from {} to {}", range.start(), range.end());
        self.optional(key).map_or(Some(None), |leaf| self.whole_leaf(&leaf, &range, &form).map(Some))
    }

    fn whole_leaf<T: PartialOrd + TryFrom<i64>>(&self, leaf: &Leaf<'_>, range: &RangeInclusive<T>, form: &str) -> Option<T> {
        let DeValue::Integer(digits) = leaf.value else { return self.wrong_type(leaf, form) };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
        let fitting = number.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number));
        if fitting.is_none() {
            self.refuse(leaf, format!("{digits} is out of range"), form);
        }
        fitting
    }

    /// A number within `range`, with or without a decimal point.
    pub(super) fn real(&self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let form = real_form(&range);
        let leaf = self.required(key, &form)?;
        self.real_leaf(&leaf, &range, &form)
    }

    /// A number within `range`, or `default` if the key is not there.
    pub(super) fn real_or(&self, key: &'static str, range: RangeInclusive<f64>, default: f64) -> Option<f64> {
        let form = real_form(&range);
        self.optional(key).map_or(Some(default), |leaf| self.real_leaf(&leaf, &range, &form))
    }

    fn real_leaf(&self, leaf: &Leaf<'_>, range: &RangeInclusive<f64>, form: &str) -> Option<f64> {
        let (number, written) = match leaf.value {
            DeValue::Integer(digits) if digits.radix() == 10 => (digits.as_str().parse::<f64>().ok(), digits.as_str()),
            DeValue::Float(digits) => (digits.as_str().parse::<f64>().ok(), digits.as_str()),
            _ => return self.wrong_type(leaf, form),
        };
        let fitting = number.filter(|number| number.is_finite() && range.contains(number));
        if fitting.is_none() {
            self.refuse(leaf, format!("{written} is out of range"), form);
        }
        fitting
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let form = "true or false";
        let leaf = self.required(key, form)?;
        leaf.value.as_bool().or_else(|| self.wrong_type(&leaf, form))
    }

    /// `true` or `false`, if the key is there; the outer `None` means that it is there and wrong.
    pub(super) fn optional_flag(&self, key: &'static str) -> Option<Option<bool>> {
        let Some(leaf) = self.optional(key) else { return Some(None) };
        leaf.value.as_bool().or_else(|| self.wrong_type(&leaf, "true or false")).map(Some)
    }

    /// `true` or `false`, or `default` if the key is not there.
    pub(super) fn flag_or(&self, key: &'static str, default: bool) -> Option<bool> {
        Some(self.optional_flag(key)?.unwrap_or(default))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let leaf = self.required(key, &alternatives(words))?;
        self.word(&leaf, words)
    }

    /// One of a few words, or `default` if the key is not there.
    pub(super) fn choice_or<T: Copy>(&self, key: &'static str, words: &[(&str, T)], default: T) -> Option<T> {
        self.optional(key).map_or(Some(default), |leaf| self.word(&leaf, words))
    }

    fn word<T: Copy>(&self, leaf: &Leaf<'_>, words: &[(&str, T)]) -> Option<T> {
        let form = alternatives(words);
        let Some(text) = leaf.value.as_str() else { return self.wrong_type(leaf, &form) };
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            self.refuse(leaf, format!("`{}` is not known here", text.escape_debug()), &form);
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A list, whose items are read by `item`; a wrong item is told and does not hide the next one.
    fn list<T>(&self, leaf: &Leaf<'s>, form: &str, item: impl Fn(&Leaf<'s>) -> Option<T>) -> Option<Vec<T>> {
        let Some(items) = leaf.value.as_array() else { return self.wrong_type(leaf, form) };
        let place = |(index, value): (usize, &'s Spanned<DeValue<'s>>)| Leaf {
            path: format!("{}[{}]", leaf.path, index + 1),
            line: self.sheet.line(value.span()),
            value: value.get_ref(),
        };
        let read: Vec<Option<T>> = items.iter().enumerate().map(place).map(|leaf| item(&leaf)).collect();
        read.into_iter().collect()
    }

    /// A list of a few words, each at most once.
    pub(super) fn choices<T: Copy + PartialEq>(&self, key: &'static str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let form = format!("a list of {}", alternatives(words));
        let leaf = self.required(key, &form)?;
        let list = self.list(&leaf, &form, |leaf| self.word(leaf, words))?;
        self.without_repetition(&leaf, list)
    }

    /// A list of numbers within `range`, each at most once; empty if the key is not there.
    pub(super) fn numbers(&self, key: &'static str, range: RangeInclusive<u8>) -> Option<Vec<u8>> {
        let form = format!("a list of whole numbers from {} to {}", range.start(), range.end());
        let Some(leaf) = self.optional(key) else { return Some(Vec::new()) };
        let list = self.list(&leaf, &form, |leaf| self.whole_leaf(leaf, &range, &form))?;
        self.without_repetition(&leaf, list)
    }

    /// A list of register ranges, each a pair `[first, last]` or a table that `table` reads.
    pub(super) fn register_ranges<T>(
        &self,
        key: &'static str,
        pair: impl Fn(u16, u16) -> T,
        table: impl Fn(&Section<'s>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let form = "a list of pairs [first, last] of register addresses from 0 to 65535";
        let leaf = self.required(key, form)?;
        self.list(&leaf, form, |item| {
            if let Some(entry) = item.value.as_table() {
                return table(&Section::new(self.sheet, item.path.clone(), Some(item.line), Some(entry)));
            }
            let ends = self.list(item, form, |end| self.whole_leaf(end, &(0..=u16::MAX), form))?;
            match ends[..] {
                [first, last] if first <= last => Some(pair(first, last)),
                _ => {
                    self.refuse(item, "this is not a first and a last address".to_owned(), form);
                    None
                }
            }
        })
    }

    /// A list of texts, each read by `item`, which says what is wrong with it; empty if the key is not there.
    pub(super) fn texts<T: PartialEq>(&self, key: &'static str, form: &str, item: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let Some(leaf) = self.optional(key) else { return Some(Vec::new()) };
        let list = self.list(&leaf, form, |leaf| item(self.as_text(leaf, form)?).map_err(|what| self.refuse(leaf, what, form)).ok())?;
        self.without_repetition(&leaf, list)
    }

    fn without_repetition<T: PartialEq>(&self, leaf: &Leaf<'_>, list: Vec<T>) -> Option<Vec<T>> {
        let repeated = list.iter().enumerate().any(|(index, item)| list[..index].contains(item));
        if repeated {
            self.sheet.report(Some(leaf.line), &leaf.path, "an item stands here twice".to_owned(), "write each item once".to_owned());
            return None;
        }
        Some(list)
    }

    /// A table whose keys are free, each with a number within `range`; empty if it is not there.
    pub(super) fn free_numbers(&self, key: &'static str, range: RangeInclusive<f64>) -> Option<BTreeMap<String, f64>> {
        let form = format!("a number from {} to {}", range.start(), range.end());
        let Some(leaf) = self.optional(key) else { return Some(BTreeMap::new()) };
        let Some(table) = leaf.value.as_table() else { return self.wrong_type(&leaf, &format!("a table [{}]", leaf.path)) };
        let read: Vec<Option<(String, f64)>> = table
            .iter()
            .map(|(name, value)| {
                let path = format!("{}.{}", leaf.path, name.get_ref());
                let entry = Leaf { path, line: self.sheet.line(name.span()), value: value.get_ref() };
                self.sheet.places.borrow_mut().insert(entry.path.clone(), entry.line);
                Some((name.get_ref().clone().into_owned(), self.real_leaf(&entry, &range, &form)?))
            })
            .collect();
        read.into_iter().collect()
    }

    /// A section that must be there.
    pub(super) fn section(&self, key: &'static str) -> Section<'s> {
        let path = self.path_of(key);
        let form = format!("a section [{path}]");
        self.asked.borrow_mut().insert(key);
        match self.find(key) {
            Some(leaf) => self.table_of(leaf, &form),
            None => {
                if self.table.is_some() {
                    self.missing.borrow_mut().push((key, format!("add {form}; the annotated sample shows its keys")));
                }
                Section::new(self.sheet, path, None, None)
            }
        }
    }

    /// A section that may be left out.
    pub(super) fn optional_section(&self, key: &'static str) -> Option<Section<'s>> {
        let leaf = self.optional(key)?;
        let form = format!("a section [{}]", leaf.path);
        Some(self.table_of(leaf, &form))
    }

    fn table_of(&self, leaf: Leaf<'s>, form: &str) -> Section<'s> {
        let table = leaf.value.as_table().or_else(|| self.wrong_type(&leaf, form));
        Section::new(self.sheet, leaf.path, Some(leaf.line), table)
    }

    /// The sections `[[key]]`; none if there is none.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'s>> {
        let Some(leaf) = self.optional(key) else { return Vec::new() };
        let form = format!("sections [[{}]]", leaf.path);
        let open = |item: &Leaf<'s>| {
            let item = Leaf { path: item.path.clone(), line: item.line, value: item.value };
            Some(self.table_of(item, &form))
        };
        self.list(&leaf, &form, open).unwrap_or_default()
    }

    /// The section `[key]`, or the sections `[[key]]` if they are written so.
    pub(super) fn one_or_more(&self, key: &'static str) -> Vec<Section<'s>> {
        let is_list = self.find(key).is_some_and(|leaf| leaf.value.as_array().is_some());
        if is_list { self.sections(key) } else { vec![self.section(key)] }
    }

    /// As [`Self::sections`], for a look at what is read elsewhere: nothing is told of them.
    pub(super) fn glance_sections(&self, key: &'static str) -> Vec<Section<'s>> {
        let Some(items) = self.find(key).and_then(|leaf| leaf.value.as_array()) else { return Vec::new() };
        let look = |(index, item): (usize, &'s Spanned<DeValue<'s>>)| {
            let path = format!("{}[{}]", self.path_of(key), index + 1);
            let section = Section::new(self.sheet, path, Some(self.sheet.line(item.span())), item.get_ref().as_table());
            section.silent.set(true);
            section
        };
        items.iter().enumerate().map(look).collect()
    }

    fn tell_unknown_and_missing(&self) {
        let Some(table) = self.table else { return };
        if self.silent.get() || !self.sheet.broken.is_empty() {
            return;
        }
        let asked = self.asked.take();
        let mut missing = self.missing.take();
        let absent: Vec<&str> = asked.iter().copied().filter(|key| !table.contains_key(*key)).collect();
        for (name, _) in table.iter().filter(|(name, _)| self.closed.get() && !asked.contains(name.get_ref().as_ref())) {
            let meant = nearest(name.get_ref(), &absent);
            let mend = match meant {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("remove it; here belong {}", asked.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")),
            };
            missing.retain(|(key, _)| Some(*key) != meant);
            let path = self.path_of(&name.get_ref().escape_debug().to_string());
            self.sheet.report(Some(self.sheet.line(name.span())), &path, "unknown key".to_owned(), mend);
        }
        for (key, mend) in missing {
            self.sheet.report(self.line, &self.path_of(key), "missing".to_owned(), mend);
        }
    }
}

// On leaving scope, because a reader that forgot to ask would otherwise let unknown keys pass without a word.
impl Drop for Section<'_> {
    fn drop(&mut self) {
        self.tell_unknown_and_missing();
    }
}

fn alternatives<T>(words: &[(&str, T)]) -> String {
    words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

fn real_form(range: &RangeInclusive<f64>) -> String {
    match (range.start().is_finite(), range.end().is_finite()) {
        (true, true) => format!("a number from {} to {}", range.start(), range.end()),
        (true, false) => format!("a finite number, {} or more", range.start()),
        _ => "a finite number".to_owned(),
    }
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}

/// The word that differs least from `wrong`, if it differs little enough to be what was meant.
pub(super) fn nearest<'w>(wrong: &str, words: &[&'w str]) -> Option<&'w str> {
    let bound = (wrong.chars().count() / 3).clamp(1, 4);
    words.iter().map(|word| (distance(wrong, word), *word)).filter(|(far, _)| *far <= bound).min().map(|(_, word)| word)
}

/// Levenshtein's distance: letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("adress", &["address", "unit_id"]), Some("address"));
        assert_eq!(nearest("colour", &["address", "unit_id"]), None);
        assert_eq!(nearest("", &["a"]), Some("a"));
    }
}
