//! `[[plc.tag]]` and `[[source.tag]]`: registers that overlap, kinds that do not fit their table, readings that are always stale.

use super::plc::Span;
use super::refuse_repetition;
use crate::config::TagSettings;
use crate::config::raw::Section;
use plc_bridge::map::{Kind, Limits, READ_MAX, Sample, Table};
use station::units::Micros;
use std::sync::Arc;

/// A tag as the control plan knows it, even if something else is wrong with it.
pub(super) struct KnownTag {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Its unit, if that could be read.
    pub(super) unit: Option<Arc<str>>,
    /// False for text.
    pub(super) is_number: bool,
}

/// Unit of what is counted or switched.
const PLAIN: &str = "1";

/// The tags of all sections; `None` if the name of one could not be read.
pub(super) fn known(plc: Option<&Section<'_>>, sources: &[Section<'_>]) -> Option<Vec<KnownTag>> {
    plc.into_iter().chain(sources).flat_map(|owner| owner.glance_sections("tag")).map(|section| known_tag(&section)).collect()
}

fn known_tag(section: &Section<'_>) -> Option<KnownTag> {
    let kind = section.glance("kind");
    let unit = if matches!(kind, Some("bool" | "bits")) { Some(PLAIN) } else { section.glance("unit") };
    Some(KnownTag { name: section.glance("name")?.into(), unit: unit.map(Into::into), is_number: kind != Some("ascii") })
}

/// A reading is found by its tag's name alone.
pub(super) fn names_differ(plc: Option<&Section<'_>>, sources: &[Section<'_>]) {
    let sections: Vec<_> = plc.into_iter().chain(sources).flat_map(|owner| owner.glance_sections("tag")).collect();
    let names: Vec<_> = sections.iter().map(|section| (section, section.glance("name"))).collect();
    refuse_repetition(&names, "name", |name| format!("there are two tags named {name}"), "give each tag a name of its own");
}

/// Whose tags they are.
pub(super) struct Owner {
    /// Its unit identifier, if that could be read.
    pub(super) unit_id: Option<u8>,
    /// The status block in it, where no tag can be.
    pub(super) status: Option<Span>,
    /// How often it is asked at most.
    pub(super) poll_interval_millis: Option<u64>,
    /// How much it answers in one request, if that could be read.
    pub(super) limits: Option<Limits>,
    /// True if it triggers pieces.
    pub(super) triggers: bool,
}

/// The bits that a tag takes, among all bits of one unit and table.
#[derive(Clone, Copy)]
struct Taken {
    unit_id: Option<u8>,
    table: Table,
    /// First and last bit, 16 to a register.
    bits: (u32, u32),
}

impl Taken {
    fn of(tag: &TagSettings, owner: &Owner) -> Self {
        let first = u32::from(tag.address) * 16;
        let bits = match tag.kind {
            Kind::Bool { bit } => (first + u32::from(bit), first + u32::from(bit)),
            Kind::Bits { first: low, count } => (first + u32::from(low), first + u32::from(low) + u32::from(count) - 1),
            kind => (first, first + u32::from(kind.width()) * 16 - 1),
        };
        Self { unit_id: tag.unit_id.or(owner.unit_id), table: tag.table, bits }
    }

    fn meets(self, other: Self) -> bool {
        let both = self.unit_id.zip(other.unit_id).is_none_or(|(one, two)| one == two) && self.table == other.table;
        both && self.bits.0 <= other.bits.1 && other.bits.0 <= self.bits.1
    }
}

/// Reads the tags of one partner.
pub(super) fn settings(sections: &[Section<'_>], owner: &Owner) -> Option<Vec<TagSettings>> {
    let read: Vec<Option<TagSettings>> = sections.iter().map(|section| tag(section, owner)).collect();
    let status = owner.status.map(|(first, last)| {
        let bits = (u32::from(first) * 16, u32::from(last) * 16 + 15);
        (Taken { unit_id: owner.unit_id, table: Table::Holding, bits }, "the status block".to_owned())
    });
    let mut taken: Vec<(Taken, String)> = status.into_iter().collect();
    for (section, tag) in sections.iter().zip(&read) {
        let Some(tag) = tag else { continue };
        let Some(last) = tag.address.checked_add(tag.kind.width() - 1) else {
            let most = u16::MAX - (tag.kind.width() - 1);
            let what = format!("its last register would be {}", u32::from(tag.address) + u32::from(tag.kind.width()) - 1);
            section.wrong("address", what, format!("write {most} or less"));
            continue;
        };
        if let Some(limits) = owner.limits
            && tag.kind.width() > limits.of(tag.table).read_max
        {
            let what = format!("its {} registers are more than read_max, and in two requests it could change in between", tag.kind.width());
            section.wrong("kind", what, "raise read_max, or choose a shorter kind");
        }
        let place = Taken::of(tag, owner);
        if let Some((_, other)) = taken.iter().find(|(other, _)| place.meets(*other)) {
            let what = format!("register {}…{last} is also used by {other}", tag.address);
            section.wrong("address", what, "give each value registers of its own");
        }
        taken.push((place, format!("tag {}", tag.name)));
    }
    read.into_iter().collect()
}

fn tag(section: &Section<'_>, owner: &Owner) -> Option<TagSettings> {
    let name = section.text("name", "a name without spaces, for example \"paste_height\"");
    let unit_id = section.optional_whole("unit_id", 0..=u8::MAX);
    let tables = [("holding", Table::Holding), ("input", Table::Input), ("coil", Table::Coil), ("discrete", Table::Discrete)];
    let table = section.choice_or("table", &tables, Table::Holding);
    let address = section.whole("address", 0..=u16::MAX);
    let kind = kind(section, table);
    let word_swap = section.optional_flag("word_swap");
    let byte_swap = section.optional_flag("byte_swap");
    let scaled = scaled(section, kind);
    let sample = sample(section, owner);
    let fresh = match sample {
        Some(Sample::Every(every)) => 3 * every.0 / 1000,
        _ => 5000,
    };
    let stale_after_millis = section.whole_or("stale_after_millis", 1..=3_600_000_u64, fresh.clamp(1, 3_600_000));

    if name.is_some_and(|name| name.contains(|letter: char| letter.is_whitespace() || ":=,\"".contains(letter))) {
        section.wrong("name", "a tag's name is also used on the command line", "write it without spaces and without : = , \"");
    }
    if let (Some(Sample::Every(every)), Some(stale)) = (sample, stale_after_millis)
        && stale * 1000 < 2 * every.0
    {
        let twice = 2 * every.0 / 1000;
        let what = format!("{stale} ms is less than two intervals, so its readings are stale between them");
        section.wrong("stale_after_millis", what, format!("write {twice} or more, or read it more often"));
    }
    let Scaled { scale, offset, unit, min, max, dead_band } = scaled?;
    Some(TagSettings {
        name: name?.into(),
        unit_id: unit_id?,
        table: table?,
        address: address?,
        kind: kind?,
        word_swap: word_swap?,
        byte_swap: byte_swap?,
        scale,
        offset,
        unit,
        min,
        max,
        dead_band,
        sample: sample?,
        stale_after_millis: stale_after_millis?,
    })
}

/// What `kind` says, and the keys that belong to it.
fn kind(section: &Section<'_>, table: Option<Table>) -> Option<Kind> {
    let kinds = [
        ("u16", Kind::U16),
        ("i16", Kind::I16),
        ("u32", Kind::U32),
        ("i32", Kind::I32),
        ("f32", Kind::F32),
        ("u64", Kind::U64),
        ("i64", Kind::I64),
        ("f64", Kind::F64),
        ("bool", Kind::Bool { bit: 0 }),
        ("bits", Kind::Bits { first: 0, count: 1 }),
        ("ascii", Kind::Ascii { chars: 1 }),
    ];
    let (Some(kind), Some(table)) = (section.choice("kind", &kinds), table) else {
        section.open_ended();
        return None;
    };
    if table.is_bits() {
        if !matches!(kind, Kind::Bool { .. }) {
            section.wrong("kind", "in this table every address is one bit", "write \"bool\", or correct table");
            section.open_ended();
            return None;
        }
        return Some(kind);
    }
    match kind {
        Kind::Bool { .. } => section.whole("bit", 0..=15_u8).map(|bit| Kind::Bool { bit }),
        Kind::Bits { .. } => {
            let (first, count) = (section.whole("bit", 0..=15_u8), section.whole("bits", 1..=16_u8));
            let (first, count) = (first?, count?);
            if first + count > 16 {
                let what = format!("bits {first}…{} are more than a register has", first + count - 1);
                section.wrong("bits", what, format!("write {} or less", 16 - first));
                return None;
            }
            Some(Kind::Bits { first, count })
        }
        Kind::Ascii { .. } => section.whole("length", 1..=2 * READ_MAX).map(|chars| Kind::Ascii { chars }),
        kind => Some(kind),
    }
}

struct Scaled {
    scale: f64,
    offset: f64,
    unit: Arc<str>,
    min: f64,
    max: f64,
    dead_band: f64,
}

/// What a number means. Bits mean themselves, and text has no number.
fn scaled(section: &Section<'_>, kind: Option<Kind>) -> Option<Scaled> {
    let plain = |max| Some(Scaled { scale: 1.0, offset: 0.0, unit: PLAIN.into(), min: 0.0, max, dead_band: 0.0 });
    match kind {
        Some(Kind::Bool { .. }) => return plain(1.0),
        Some(Kind::Bits { count, .. }) => return plain(f64::from((1_u32 << count) - 1)),
        Some(Kind::Ascii { .. }) => return plain(f64::MAX),
        Some(_) => {}
        // Which keys belong here is not known.
        None => {
            section.open_ended();
            return None;
        }
    }
    let any = f64::NEG_INFINITY..=f64::INFINITY;
    let scale = section.real_or("scale", any.clone(), 1.0);
    let offset = section.real_or("offset", any.clone(), 0.0);
    let unit = section.text("unit", "its unit, for example \"um\" or \"Cel\"; \"1\" for a plain number");
    let min = section.real("min", any.clone());
    let max = section.real("max", any);
    let dead_band = section.real_or("dead_band", 0.0..=f64::INFINITY, 0.0);
    if scale == Some(0.0) {
        section.wrong("scale", "with 0 every reading has the same value", "write the factor from the register to the unit");
    }
    if let (Some(min), Some(max)) = (min, max)
        && min >= max
    {
        section.wrong("min", format!("{min} is not less than max, {max}, so every reading is bad"), "make min less than max");
    }
    if let (Some(min), Some(max), Some(dead_band)) = (min, max, dead_band)
        && min < max
        && dead_band >= max - min
    {
        section.wrong("dead_band", format!("{dead_band} is all of min…max, so no change would ever be seen"), "write less");
    }
    Some(Scaled { scale: scale?, offset: offset?, unit: unit?.into(), min: min?, max: max?, dead_band: dead_band? })
}

fn sample(section: &Section<'_>, owner: &Owner) -> Option<Sample> {
    let words = [("trigger", false), ("interval", true)];
    let at_interval = if owner.triggers { section.choice("sample", &words) } else { section.choice_or("sample", &words, true) };
    match at_interval {
        Some(false) if !owner.triggers => {
            section.wrong("sample", "a source knows nothing of pieces and triggers", "write \"interval\" with interval_millis");
            section.open_ended();
            None
        }
        Some(false) => Some(Sample::WithTrigger),
        Some(true) => interval(section, owner.poll_interval_millis).map(Sample::Every),
        None => {
            section.open_ended();
            None
        }
    }
}

fn interval(section: &Section<'_>, poll_interval_millis: Option<u64>) -> Option<Micros> {
    let interval = section.whole("interval_millis", 1..=3_600_000_u64)?;
    if let Some(poll) = poll_interval_millis
        && interval < poll
    {
        let what = format!("{interval} ms is less than plc.poll_interval_millis, {poll}, in which the PLC is asked");
        section.wrong("interval_millis", what, format!("write {poll} or more"));
    }
    Some(Micros::from_millis(interval))
}
