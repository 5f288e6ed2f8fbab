//! `[[recipe.payload]]`: values that every result carries to the PLC, in the registers that the map leaves to the recipe.

use super::refuse_repetition;
use super::tags::KnownTag;
use crate::config::raw::{Section, nearest};
use crate::config::{Origin, PayloadSettings, PayloadSource, PlcSettings, Problem, Problems, RecipeSettings, WriteAllowed};
use plc_bridge::map::{Kind, PAYLOAD, Payload};
use station::inspection::ClassId;
use station::recipe::{DefectClass, PayloadValue};
use std::sync::Arc;

#[derive(Clone, Copy)]
enum Value {
    Reading,
    ReadingGood,
    Defects,
    Score,
    Record,
}

/// Reads all `[[recipe.payload]]`. `tags` is `None` if the tags' own names could not be read.
pub(super) fn settings(recipe: &Section<'_>, tags: Option<&[KnownTag]>) -> Option<Vec<PayloadSettings>> {
    let sections = recipe.sections("payload");
    let read: Vec<Option<PayloadSettings>> = sections.iter().map(|section| field(section, tags)).collect();
    let names: Vec<_> = sections.iter().map(|section| (section, section.glance("name"))).collect();
    refuse_repetition(&names, "name", |name| format!("there are two values named {name}"), "give each value a name of its own");
    let mut before = Vec::new();
    for (section, field) in sections.iter().zip(&read) {
        let Some(field) = field else { continue };
        before.push(field.spec());
        if let Err(bad) = Payload::new(before.clone()) {
            section.wrong("register", bad.to_string(), "give each value registers of its own, from 64 to 127");
            before.pop();
        }
    }
    read.into_iter().collect()
}

/// In role C the registers are written, so the list of writes must have them.
pub(super) fn may_be_written(recipe: &Section<'_>, payload: &[PayloadSettings], plc: &PlcSettings) {
    let Some(registers) = Payload::new(payload.iter().map(PayloadSettings::spec).collect()).ok().map(|payload| payload.registers()) else {
        return;
    };
    let first = plc.status_base.saturating_add(*PAYLOAD.start()).max(1);
    let last = first.saturating_add(registers.saturating_sub(1));
    let covered = |first: u16, last: u16| {
        let covers = |entry: &WriteAllowed| {
            entry.function == 16 && entry.first <= first && last <= entry.last && (entry.min, entry.max) == (0, u16::MAX)
        };
        plc.write_allowed.iter().any(covers)
    };
    // Without the head nothing works, which is told where the list is read.
    if registers > 0 && covered(plc.status_base, first - 1) && !covered(first, last) {
        let what = format!("its values take registers {first}…{last}, which no entry of plc.write_allowed lets be written with any value");
        recipe.wrong("payload", what, format!("add [{first}, {last}] to plc.write_allowed, or widen the entry of the status block"));
    }
}

fn field(section: &Section<'_>, tags: Option<&[KnownTag]>) -> Option<PayloadSettings> {
    let name = section.text("name", "a name without spaces, for example \"paste_height\"");
    let register = section.whole("register", *PAYLOAD.start()..=*PAYLOAD.end());
    let kinds = [
        ("u16", Kind::U16),
        ("i16", Kind::I16),
        ("u32", Kind::U32),
        ("i32", Kind::I32),
        ("f32", Kind::F32),
        ("u64", Kind::U64),
        ("i64", Kind::I64),
        ("f64", Kind::F64),
    ];
    let kind = section.choice("kind", &kinds);
    let scale = section.real_or("scale", f64::NEG_INFINITY..=f64::INFINITY, 1.0);
    let offset = section.real_or("offset", f64::NEG_INFINITY..=f64::INFINITY, 0.0);
    let values = [
        ("reading", Value::Reading),
        ("reading_good", Value::ReadingGood),
        ("defects", Value::Defects),
        ("score", Value::Score),
        ("record", Value::Record),
    ];
    let class_form = "the name of a class of the model package";
    let (value, unit) = match section.choice("value", &values) {
        Some(Value::Reading) => tag(section, tags).map(|(tag, unit)| (PayloadSource::Reading { tag }, unit))?,
        Some(Value::ReadingGood) => (PayloadSource::ReadingGood { tag: tag(section, tags)?.0 }, "1".into()),
        Some(Value::Defects) => {
            let class = section.optional_text("class", class_form)?.map(str::to_owned);
            (PayloadSource::Defects { class }, "1".into())
        }
        Some(Value::Score) => (PayloadSource::Score { class: section.text("class", class_form)?.to_owned() }, "1".into()),
        Some(Value::Record) => (PayloadSource::Record, "1".into()),
        None => {
            section.open_ended();
            return None;
        }
    };
    if scale == Some(0.0) {
        section.wrong("scale", "with 0 every value would be the same", "write the factor from the register to the value");
    }
    if name.is_some_and(|name| name.contains(|letter: char| letter.is_whitespace() || ":=,\"".contains(letter))) {
        section.wrong("name", "it is also a symbol of the PLC's program", "write it without spaces and without : = , \"");
    }
    Some(PayloadSettings { name: name?.into(), register: register?, kind: kind?, scale: scale?, offset: offset?, unit, value })
}

/// The tag that is meant, with its unit.
fn tag(section: &Section<'_>, tags: Option<&[KnownTag]>) -> Option<(Arc<str>, Arc<str>)> {
    let tag = section.text("tag", "the name of the tag")?;
    let names: Vec<&str> = tags?.iter().map(|known| &*known.name).collect();
    let Some(found) = tags?.iter().find(|known| &*known.name == tag) else {
        let mend = nearest(tag, &names).map_or("define it in a [[plc.tag]]".to_owned(), |meant| format!("did you mean `{meant}`?"));
        section.wrong("tag", format!("there is no tag named {}", tag.escape_debug()), mend);
        return None;
    };
    if !found.is_number {
        section.wrong("tag", format!("{tag} is text, which no number can carry"), "name a tag that is a number");
        return None;
    }
    Some((Arc::clone(&found.name), found.unit.clone()?))
}

/// The values as the station computes them, once the classes of the package are known.
pub(in crate::config) fn values(
    recipe: &RecipeSettings,
    origin: &Origin,
    package: &str,
    classes: &[DefectClass],
) -> Result<Vec<PayloadValue>, Problems> {
    let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
    let mut problems = Vec::new();
    let mut values = Vec::new();
    for (index, field) in recipe.payload.iter().enumerate() {
        let mut class = |name: &str| {
            let at = names.iter().position(|known| *known == name).and_then(|at| u8::try_from(at + 1).ok()).map(ClassId);
            if at.is_none() {
                let key = format!("recipe.payload[{}].class", index + 1);
                let meant = nearest(name, &names).map(|meant| format!("did you mean `{meant}`?"));
                problems.push(Problem {
                    file: origin.file.clone(),
                    line: origin.places.get(&key).copied(),
                    key,
                    what: format!("the model package {package} has no class {}", name.escape_debug()),
                    mend: meant.unwrap_or_else(|| format!("name one of {}", names.join(", "))),
                });
            }
            at
        };
        values.extend(match &field.value {
            PayloadSource::Reading { tag } => Some(PayloadValue::Reading { tag: Arc::clone(tag) }),
            PayloadSource::ReadingGood { tag } => Some(PayloadValue::ReadingGood { tag: Arc::clone(tag) }),
            PayloadSource::Defects { class: None } => Some(PayloadValue::Defects { class: None }),
            PayloadSource::Defects { class: Some(name) } => class(name).map(|class| PayloadValue::Defects { class: Some(class) }),
            PayloadSource::Score { class: name } => class(name).map(|class| PayloadValue::Score { class }),
            PayloadSource::Record => Some(PayloadValue::Record),
        });
    }
    Problems::found(problems).map_or(Ok(values), Err)
}
