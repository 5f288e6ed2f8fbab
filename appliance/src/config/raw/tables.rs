//! What a rubric document has and the settings have not: days, pairs, and tables with a key for every grade.

use super::{Leaf, Section};
use station::rubric::scheme::Day;
use std::ops::RangeInclusive;
use toml::de::DeValue;

/// A key of a table whose keys are free, its text, and where it stands.
pub(in crate::config) struct FreeText<'s> {
    pub(in crate::config) key: &'s str,
    pub(in crate::config) text: &'s str,
    leaf: Leaf<'s>,
}

impl<'s> Section<'s> {
    /// Takes over the problems of another file that this one names.
    pub(in crate::config) fn adopt(&self, problems: &super::Problems) {
        self.sheet.problems.borrow_mut().extend(problems.iter().cloned());
    }

    /// A number within `range`, if the key is there; the outer `None` means that it is there and wrong.
    pub(in crate::config) fn optional_real(&self, key: &'static str, range: RangeInclusive<f64>) -> Option<Option<f64>> {
        let form = super::real_form(&range);
        self.optional(key).map_or(Some(None), |leaf| self.real_leaf(&leaf, &range, &form).map(Some))
    }

    /// A day of the calendar.
    pub(in crate::config) fn day(&self, key: &'static str, form: &str) -> Option<Day> {
        self.day_leaf(&self.required(key, form)?, form)
    }

    /// A day of the calendar, if the key is there; the outer `None` means that it is there and wrong.
    pub(in crate::config) fn optional_day(&self, key: &'static str, form: &str) -> Option<Option<Day>> {
        self.optional(key).map_or(Some(None), |leaf| self.day_leaf(&leaf, form).map(Some))
    }

    fn day_leaf(&self, leaf: &Leaf<'s>, form: &str) -> Option<Day> {
        let written = match leaf.value {
            DeValue::Datetime(time) => time.to_string(),
            DeValue::String(text) => text.clone().into_owned(),
            _ => return self.wrong_type(leaf, form),
        };
        let day = Day::from_text(&written);
        if day.is_none() {
            self.refuse(leaf, format!("`{}` is no day", written.escape_debug()), form);
        }
        day
    }

    /// Two numbers within `range`, the first below the second.
    pub(in crate::config) fn edges(&self, key: &'static str, range: RangeInclusive<f64>) -> Option<[f64; 2]> {
        let form = format!("a pair [from, to], each {}", super::real_form(&range));
        let leaf = self.required(key, &form)?;
        let ends = self.list(&leaf, &form, |end| self.real_leaf(end, &range, &form))?;
        match ends[..] {
            [from, to] if from < to => Some([from, to]),
            _ => {
                self.refuse(&leaf, "this is not a lower and an upper edge".to_owned(), &form);
                None
            }
        }
    }

    /// A table with a number, or `"any"`, for each of `grades`, if the key is there.
    pub(in crate::config) fn limits(
        &self,
        key: &'static str,
        grades: &[String],
        range: RangeInclusive<f64>,
    ) -> Option<Option<Vec<Option<f64>>>> {
        let form = format!("for every grade {} or \"any\"", super::real_form(&range));
        let one = |leaf: &Leaf<'s>| match leaf.value.as_str() {
            Some("any") => Some(None),
            _ => self.real_leaf(leaf, &range, &form).map(Some),
        };
        self.by_grade(key, grades, &form, one)
    }

    /// A table with `true` or `false` for each of `grades`, if the key is there.
    pub(in crate::config) fn flags(&self, key: &'static str, grades: &[String]) -> Option<Option<Vec<bool>>> {
        let form = "for every grade true or false";
        self.by_grade(key, grades, form, |leaf| leaf.value.as_bool().or_else(|| self.wrong_type(leaf, form)))
    }

    fn by_grade<T>(
        &self,
        key: &'static str,
        grades: &[String],
        form: &str,
        one: impl Fn(&Leaf<'s>) -> Option<T>,
    ) -> Option<Option<Vec<T>>> {
        let Some(leaf) = self.optional(key) else { return Some(None) };
        let Some(table) = leaf.value.as_table() else { return self.wrong_type(&leaf, form) };
        let mut whole = true;
        for (name, _) in table.iter().filter(|(name, _)| !grades.iter().any(|grade| grade == name.get_ref())) {
            let path = format!("{}.{}", leaf.path, name.get_ref().escape_debug());
            let mend = format!("name one of {}", grades.join(", "));
            self.sheet.report(Some(self.sheet.line(name.span())), &path, "there is no such grade".to_owned(), mend);
            whole = false;
        }
        let read: Vec<Option<T>> = grades
            .iter()
            .map(|grade| {
                let Some((name, value)) = table.get_key_value(grade.as_str()) else {
                    self.refuse(&leaf, format!("nothing is said of grade {grade}"), form);
                    return None;
                };
                one(&Leaf { path: format!("{}.{grade}", leaf.path), line: self.sheet.line(name.span()), value: value.get_ref() })
            })
            .collect();
        read.into_iter().collect::<Option<Vec<T>>>().filter(|_| whole).map(Some)
    }

    /// A table whose keys are free, each with a text, if the key is there; the outer `None` means that it is there and wrong.
    pub(in crate::config) fn free_texts(&self, key: &'static str, form: &str) -> Option<Vec<FreeText<'s>>> {
        let leaf = self.required(key, form)?;
        let Some(table) = leaf.value.as_table() else { return self.wrong_type(&leaf, form) };
        let read: Vec<Option<FreeText<'s>>> = table
            .iter()
            .map(|(name, value)| {
                let path = format!("{}.{}", leaf.path, name.get_ref().escape_debug());
                let leaf = Leaf { path, line: self.sheet.line(name.span()), value: value.get_ref() };
                self.not_empty(&leaf, form).map(|text| FreeText { key: name.get_ref(), text, leaf })
            })
            .collect();
        if read.is_empty() {
            self.refuse(&leaf, "the table is empty".to_owned(), form);
            return None;
        }
        read.into_iter().collect()
    }

    /// Tells that the text of a free key cannot be meant.
    pub(in crate::config) fn wrong_text(&self, entry: &FreeText<'s>, what: impl Into<String>, mend: impl Into<String>) {
        self.sheet.report(Some(entry.leaf.line), &entry.leaf.path, what.into(), mend.into());
    }
}
