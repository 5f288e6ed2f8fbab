//! `[plc]` and `[[plc.tag]]`: addresses that overlap, time-outs that contradict each other, writes beyond the status block.

use super::{host_and_port, refuse_repetition};
use crate::config::raw::Section;
use crate::config::{PlcSettings, TagKind, TagSample, TagSettings};
use station::units::Micros;
use std::sync::Arc;

/// A tag as the control plan knows it, even if something else is wrong with it.
pub(super) struct KnownTag {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Its unit, if that could be read.
    pub(super) unit: Option<Arc<str>>,
}

/// Registers of the control block: the named ones and the user data (JMAP v1).
const CONTROL_REGISTERS: u16 = 96;
/// Registers of the status block: the named ones and the payload (JMAP v1).
const STATUS_REGISTERS: u16 = 128;
/// Registers of the status block before the payload; without any one of them the PLC would not see a consistent status.
const STATUS_NAMED_REGISTERS: u16 = 64;

/// First and last register of something.
type Span = (u16, u16);

const fn overlap(a: Span, b: Span) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

/// Reads `[plc]`, and apart from it the tags for the control plan: `None` if the name of one could not be read.
pub(super) fn settings(section: &Section<'_>) -> (Option<PlcSettings>, Option<Vec<KnownTag>>) {
    let sections = section.sections("tag");
    let names = sections.iter().map(known_tag).collect();
    (link(section, &sections), names)
}

fn known_tag(section: &Section<'_>) -> Option<KnownTag> {
    Some(KnownTag { name: section.glance("name")?.into(), unit: section.glance("unit").map(Into::into) })
}

fn link(section: &Section<'_>, tag_sections: &[Section<'_>]) -> Option<PlcSettings> {
    let address = section.text("address", "the PLC's host and port, for example \"192.168.0.10:502\"");
    let host_port = address.and_then(host_and_port);
    if let (Some(address), None) = (address, host_port) {
        let what = format!("`{}` is not a host and a port", address.escape_debug());
        section.wrong("address", what, "write HOST:PORT with a port from 1 to 65535; an IPv6 address stands in [ ]");
    }
    let unit_id = section.whole("unit_id", 0..=u8::MAX);
    let control_base = section.whole("control_base", 0..=u16::MAX - CONTROL_REGISTERS + 1);
    let status_base = section.whole("status_base", 0..=u16::MAX - STATUS_REGISTERS + 1);
    let write_allowed = section.register_ranges("write_allowed");
    let word_swap = section.flag("word_swap");
    let byte_swap = section.flag("byte_swap");
    let poll_interval_millis = section.whole("poll_interval_millis", 1..=10_000_u64);
    let connect_timeout_millis = section.whole("connect_timeout_millis", 1..=60_000_u64);
    let request_timeout_millis = section.whole("request_timeout_millis", 1..=60_000_u64);
    let plc_heartbeat_timeout_millis = section.whole("plc_heartbeat_timeout_millis", 1..=60_000_u64);
    let vision_heartbeat_timeout_millis = section.whole("vision_heartbeat_timeout_millis", 1..=60_000_u64);
    let gate_offset_counts = section.whole("gate_offset_counts", 1..=1_u32 << 30);
    let gate_slack_counts = section.whole("gate_slack_counts", 1..=1_u32 << 30);

    let control = control_base.map(|base| (base, base + (CONTROL_REGISTERS - 1)));
    let status = status_base.map(|base| (base, base + (STATUS_REGISTERS - 1)));
    if let (Some(control), Some(status)) = (control, status)
        && overlap(control, status)
    {
        let what = format!("the status block {}…{} lies over the control block {}…{}", status.0, status.1, control.0, control.1);
        section.wrong("status_base", what, "move one of the blocks");
    }
    if let (Some(status), Some(allowed)) = (status, &write_allowed) {
        writes_stay_in_status_block(section, status, allowed);
    }
    time_outs_agree(section, poll_interval_millis, request_timeout_millis, plc_heartbeat_timeout_millis, vision_heartbeat_timeout_millis);
    let tags = tags(tag_sections, status, poll_interval_millis);

    let (host, port) = host_port?;
    Some(PlcSettings {
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        unit_id: unit_id?,
        control_base: control_base?,
        status_base: status_base?,
        write_allowed: write_allowed?,
        word_swap: word_swap?,
        byte_swap: byte_swap?,
        poll_interval_millis: poll_interval_millis?,
        connect_timeout_millis: connect_timeout_millis?,
        request_timeout_millis: request_timeout_millis?,
        plc_heartbeat_timeout_millis: plc_heartbeat_timeout_millis?,
        vision_heartbeat_timeout_millis: vision_heartbeat_timeout_millis?,
        gate_offset_counts: gate_offset_counts?,
        gate_slack_counts: gate_slack_counts?,
        tags: tags?,
    })
}

fn writes_stay_in_status_block(section: &Section<'_>, status: Span, allowed: &[Span]) {
    let block = format!("[[{}, {}]]", status.0, status.1);
    if let Some(beyond) = allowed.iter().find(|range| range.0 < status.0 || range.1 > status.1) {
        let what = format!("{}…{} is not in the status block, and nothing else may be written", beyond.0, beyond.1);
        section.wrong("write_allowed", what, format!("write {block} or less"));
    }
    let named = status.0..status.0 + STATUS_NAMED_REGISTERS;
    if let Some(gap) = named.clone().find(|register| !allowed.iter().any(|range| (range.0..=range.1).contains(register))) {
        let what = format!("register {gap} of the status block may not be written, so the PLC would never see its content");
        section.wrong("write_allowed", what, format!("cover {}…{}, for example {block}", named.start, named.end - 1));
    }
}

/// The rules behind: one lost answer must not look like a dead peer, and a heartbeat must be read more often than it is missed.
fn time_outs_agree(
    section: &Section<'_>,
    poll: Option<u64>,
    request: Option<u64>,
    plc_heartbeat: Option<u64>,
    vision_heartbeat: Option<u64>,
) {
    if let (Some(poll), Some(heartbeat)) = (poll, plc_heartbeat)
        && heartbeat < 2 * poll
    {
        let what = format!("{heartbeat} ms is less than two polls, so the PLC would look dead between them");
        section.wrong("plc_heartbeat_timeout_millis", what, format!("write {} or more, or poll more often", 2 * poll));
    }
    if let (Some(request), Some(heartbeat)) = (request, vision_heartbeat)
        && request >= heartbeat
    {
        let what = format!("one answer may take {request} ms, but the PLC stops the line after {heartbeat} ms without a heartbeat");
        section.wrong("request_timeout_millis", what, "write less than plc.vision_heartbeat_timeout_millis");
    }
}

fn tags(sections: &[Section<'_>], status: Option<Span>, poll_interval_millis: Option<u64>) -> Option<Vec<TagSettings>> {
    let read: Vec<Option<TagSettings>> = sections.iter().map(|section| tag(section, poll_interval_millis)).collect();
    let names: Vec<_> = sections.iter().map(|section| (section, section.glance("name"))).collect();
    refuse_repetition(&names, "name", |name| format!("there are two tags named {name}"), "give each tag a name of its own");

    let mut taken: Vec<(Span, String)> = status.map(|span| (span, "the status block".to_owned())).into_iter().collect();
    for (section, tag) in sections.iter().zip(&read) {
        let Some(tag) = tag else { continue };
        let Some(last) = tag.address.checked_add(tag.kind.registers() - 1) else {
            section.wrong("address", "its second register would be 65536", "write 65534 or less");
            continue;
        };
        let span = (tag.address, last);
        if let Some((_, other)) = taken.iter().find(|(other, _)| overlap(*other, span)) {
            section.wrong(
                "address",
                format!("register {}…{} is also used by {other}", span.0, span.1),
                "give each value registers of its own",
            );
        }
        taken.push((span, format!("tag {}", tag.name)));
    }
    read.into_iter().collect()
}

fn tag(section: &Section<'_>, poll_interval_millis: Option<u64>) -> Option<TagSettings> {
    let name = section.text("name", "a name without spaces, for example \"paste_height\"");
    let address = section.whole("address", 0..=u16::MAX);
    let kinds = [("u16", TagKind::U16), ("i16", TagKind::I16), ("u32", TagKind::U32), ("i32", TagKind::I32), ("f32", TagKind::F32)];
    let kind = section.choice("kind", &kinds);
    let any = f64::NEG_INFINITY..=f64::INFINITY;
    let scale = section.real("scale", any.clone());
    let offset = section.real("offset", any.clone());
    let unit = section.text("unit", "its unit, for example \"um\" or \"Cel\"; \"1\" for a plain number");
    let min = section.real("min", any.clone());
    let max = section.real("max", any);
    let sample = match section.choice("sample", &[("trigger", false), ("interval", true)]) {
        Some(false) => Some(TagSample::Trigger),
        Some(true) => interval(section, poll_interval_millis).map(TagSample::Interval),
        None => {
            section.open_ended();
            None
        }
    };
    let stale_after_millis = section.whole("stale_after_millis", 1..=3_600_000_u64);

    if name.is_some_and(|name| name.contains(|letter: char| letter.is_whitespace() || ":=,\"".contains(letter))) {
        section.wrong("name", "a tag's name is also used on the command line", "write it without spaces and without : = , \"");
    }
    if scale == Some(0.0) {
        section.wrong("scale", "with 0 every reading has the same value", "write the factor from the register to the unit");
    }
    if let (Some(min), Some(max)) = (min, max)
        && min >= max
    {
        section.wrong("min", format!("{min} is not less than max, {max}, so every reading is bad"), "make min less than max");
    }
    if let (Some(TagSample::Interval(every)), Some(stale)) = (sample, stale_after_millis)
        && stale * 1000 < 2 * every.0
    {
        let twice = 2 * every.0 / 1000;
        let what = format!("{stale} ms is less than two intervals, so its readings are stale between them");
        section.wrong("stale_after_millis", what, format!("write {twice} or more, or read it more often"));
    }
    Some(TagSettings {
        name: name?.into(),
        address: address?,
        kind: kind?,
        scale: scale?,
        offset: offset?,
        unit: unit?.into(),
        min: min?,
        max: max?,
        sample: sample?,
        stale_after_millis: stale_after_millis?,
    })
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
