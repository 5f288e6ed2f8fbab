//! `write_allowed`: nothing beyond the status block and the permit's coil, and all of what the PLC needs to see.

use super::plc::Span;
use crate::config::WriteAllowed;
use crate::config::raw::Section;
use plc_bridge::client::{ClientSettings, Objection};
use plc_bridge::jmap::{STATUS_HEAD, STATUS_LEN};
use std::net::{Ipv4Addr, SocketAddr};

/// Write Single Coil and Write Multiple Registers (Modbus Application Protocol V1.1b3, 6.5 and 6.12).
const COIL: u8 = 5;
const REGISTERS: u8 = 16;
/// `VisionHeartbeat` is written ten times a second (JMAP v1); as much again is left for results.
const PER_SECOND_MIN: u32 = 20;

/// Reads `write_allowed` and holds it against the map. `bases` are those of control and status block; `permit_coil` is `None`
/// if it is there and wrong.
pub(super) fn allowed(section: &Section<'_>, bases: Option<Span>, permit_coil: Option<Option<u16>>) -> Option<Vec<WriteAllowed>> {
    let allowed = section.register_ranges("write_allowed", WriteAllowed::registers, entry)?;
    let Some(((control_base, status_base), permit_coil)) = bases.zip(permit_coil) else { return Some(allowed) };
    let status = (status_base, status_base + (STATUS_LEN - 1));
    let fits = [stays_in_status_block(section, status, &allowed), coil_agrees(section, permit_coil, &allowed)];
    if fits == [true; 2] {
        // What is left to object to is seen by those who will write. Where to is of no interest to them.
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let allowed = allowed.iter().filter_map(WriteAllowed::rule).collect();
        let writes = ClientSettings { control_base, status_base, permit_coil, allowed, ..ClientSettings::new(nowhere) };
        // Blocks that do not fit are told where their bases stand, a rate that is too low where it stands.
        let told = |objection: &Objection| {
            matches!(objection, Objection::PastTheEnd { .. } | Objection::Overlap { .. } | Objection::TooSlow { .. })
        };
        for objection in writes.objections().iter().filter(|objection| !told(objection)) {
            section.wrong("write_allowed", objection.to_string(), format!("[[{}, {}]] allows what the map needs", status.0, status.1));
        }
    }
    Some(allowed)
}

fn entry(section: &Section<'_>) -> Option<WriteAllowed> {
    let function = section.whole_or("function", 1..=127_u8, REGISTERS).filter(|function| {
        let known = matches!(*function, COIL | REGISTERS);
        if !known {
            let what = format!("this station never writes with function {function}");
            section.wrong("function", what, "write 16 for registers, or 5 for the coil of permit_coil");
        }
        known
    });
    let first = section.whole("first", 0..=u16::MAX);
    let last = section.whole("last", 0..=u16::MAX);
    let min = section.whole_or("min", 0..=u16::MAX, 0);
    let max = section.whole_or("max", 0..=u16::MAX, u16::MAX);
    let per_second = section.optional_whole("per_second", 1..=10_000_u32);
    if let (Some(first), Some(last)) = (first, last)
        && first > last
    {
        section.wrong("last", format!("{last} is before the first address, {first}"), "write the addresses in order");
    }
    if min.is_some_and(|min| min > 0) {
        section.wrong("min", "0 is the safe value of every register, and it could not be written", "write 0, or leave it out");
    }
    if let (Some(REGISTERS), Some(Some(most))) = (function, per_second)
        && most < PER_SECOND_MIN
    {
        let what = format!("VisionHeartbeat alone is written 10 times a second, so with {most} the PLC would stop the line");
        section.wrong("per_second", what, format!("write {PER_SECOND_MIN} or more"));
    }
    let entry = WriteAllowed { function: function?, first: first?, last: last?, min: min?, max: max?, per_second: per_second? };
    (entry.first <= entry.last && entry.min == 0).then_some(entry)
}

/// True if nothing is wrong.
fn stays_in_status_block(section: &Section<'_>, status: Span, allowed: &[WriteAllowed]) -> bool {
    let block = format!("[[{}, {}]]", status.0, status.1);
    let registers = || allowed.iter().filter(|entry| entry.function == REGISTERS);
    let beyond = registers().find(|entry| entry.first < status.0 || entry.last > status.1);
    if let Some(beyond) = beyond {
        let what = format!("{}…{} is not in the status block, and nothing else may be written", beyond.first, beyond.last);
        section.wrong("write_allowed", what, format!("write {block} or less"));
    }
    let (first, last) = (status.0, status.0 + (STATUS_HEAD - 1));
    let gap = (first..=last).find(|register| !registers().any(|entry| (entry.first..=entry.last).contains(register)));
    if let Some(gap) = gap {
        let what = format!("register {gap} of the status block may not be written, so the PLC would never see its content");
        section.wrong("write_allowed", what, format!("cover {first}…{last}, for example {block}"));
    } else if !registers().any(|entry| entry.first <= first && entry.last >= last) {
        // One request carries them all, so that the PLC never sees half of a result.
        let what = format!("{first}…{last} are written in one request, which no entry allows alone");
        section.wrong("write_allowed", what, format!("cover them with one entry, for example {block}"));
        return false;
    }
    beyond.is_none() && gap.is_none()
}

/// True if nothing is wrong.
fn coil_agrees(section: &Section<'_>, permit_coil: Option<u16>, allowed: &[WriteAllowed]) -> bool {
    let mut coils = allowed.iter().filter(|entry| entry.function == COIL).peekable();
    if let (Some(coil), None) = (permit_coil, coils.peek()) {
        let what = format!("coil {coil} is not among write_allowed, so it would never be written");
        section.wrong(
            "permit_coil",
            what,
            format!("add {{ function = 5, first = {coil}, last = {coil} }} to write_allowed, or remove this"),
        );
        return false;
    }
    let beyond = coils.find(|entry| Some(entry.first) != permit_coil || entry.first != entry.last);
    if let Some(beyond) = beyond {
        let what = format!("coil {}…{} may be written, but only that of permit_coil ever is", beyond.first, beyond.last);
        let mend =
            permit_coil.map_or("remove the entry, or add permit_coil".to_owned(), |coil| format!("write first = {coil}, last = {coil}"));
        section.wrong("write_allowed", what, mend);
    }
    beyond.is_none()
}
