//! `[plc]`, `[modbus_server]`, `[[source]]`: who shakes hands, where everybody is, time-outs that contradict each other.

use super::tags::{self, KnownTag, Owner};
use super::{host_and_port, refuse_repetition, server, writes};
use crate::config::raw::Section;
use crate::config::{HandshakeSettings, LinkSettings, PlcSettings, ServerPort, ServerSettings, SourceSettings};
use plc_bridge::jmap::{CONTROL_HEAD, CONTROL_LEN, STATUS_HEAD, STATUS_LEN};
use plc_bridge::map::{Limits, READ_MAX, Reach};
use plc_bridge::serial::{Parity, SerialLine};
use std::path::PathBuf;
use std::time::Duration;

/// First and last register of something.
pub(super) type Span = (u16, u16);

pub(super) const fn overlap(a: Span, b: Span) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

/// The Modbus side of the file.
pub(super) struct Modbus {
    pub(super) plc: Option<PlcSettings>,
    pub(super) server: Option<ServerSettings>,
    pub(super) handshake: HandshakeSettings,
    pub(super) sources: Vec<SourceSettings>,
}

/// Reads all of it, and apart from it the tags for the control plan: `None` if the name of one could not be read.
pub(super) fn settings(root: &Section<'_>) -> (Option<Modbus>, Option<Vec<KnownTag>>) {
    let (plc, server) = (root.optional_section("plc"), root.optional_section("modbus_server"));
    if plc.is_none() && server.is_none() {
        root.misses(
            "plc",
            "nobody would shake hands: add a section [plc] if this station is the client of a PLC, or [modbus_server] if the PLC is the client; \
             the annotated sample shows their keys",
        );
    }
    let sources = root.sections("source");
    let known = tags::known(plc.as_ref(), &sources);

    let handshake = plc.as_ref().or(server.as_ref()).map(handshake);
    let agreed = handshake.flatten();
    let plc_read = plc.as_ref().map(|section| partner(section, agreed.as_ref()));
    let server_read = server.as_ref().map(|section| server::settings(section, plc.is_none()));
    let sources_read: Vec<_> = sources.iter().map(source).collect();
    let names: Vec<_> = sources.iter().map(|section| (section, section.glance("name"))).collect();
    refuse_repetition(&names, "name", |name| format!("there are two sources named {name}"), "give each source a name of its own");
    tags::names_differ(plc.as_ref(), &sources);
    devices_agree(plc.as_ref(), server.as_ref(), &sources);

    let read = || {
        Some(Modbus {
            plc: plc_read.map_or(Some(None), |read| read.map(Some))?,
            server: server_read.map_or(Some(None), |read| read.map(Some))?,
            handshake: agreed?,
            sources: sources_read.into_iter().collect::<Option<_>>()?,
        })
    };
    (read(), known)
}

/// What is agreed with the partner that shakes hands, in whose section it stands.
fn handshake(section: &Section<'_>) -> Option<HandshakeSettings> {
    let word_swap = section.flag("word_swap");
    let byte_swap = section.flag("byte_swap");
    let plc_heartbeat_timeout_millis = section.whole("plc_heartbeat_timeout_millis", 1..=60_000_u64);
    let vision_heartbeat_timeout_millis = section.whole("vision_heartbeat_timeout_millis", 1..=60_000_u64);
    let gate_offset_counts = section.whole("gate_offset_counts", 1..=1_u32 << 30);
    let gate_slack_counts = section.whole("gate_slack_counts", 1..=1_u32 << 30);
    Some(HandshakeSettings {
        word_swap: word_swap?,
        byte_swap: byte_swap?,
        plc_heartbeat_timeout_millis: plc_heartbeat_timeout_millis?,
        vision_heartbeat_timeout_millis: vision_heartbeat_timeout_millis?,
        gate_offset_counts: gate_offset_counts?,
        gate_slack_counts: gate_slack_counts?,
    })
}

/// Reads `[plc]`.
fn partner(section: &Section<'_>, agreed: Option<&HandshakeSettings>) -> Option<PlcSettings> {
    let link = link(section);
    let unit_id = section.whole("unit_id", 0..=u8::MAX);
    let control_base = section.whole("control_base", 0..=u16::MAX - CONTROL_LEN + 1);
    let status_base = section.whole("status_base", 0..=u16::MAX - STATUS_LEN + 1);
    let permit_coil = section.optional_whole("permit_coil", 0..=u16::MAX);
    let poll_interval_millis = section.whole("poll_interval_millis", 1..=10_000_u64);
    let connect_timeout_millis = section.whole("connect_timeout_millis", 1..=60_000_u64);
    let request_timeout_millis = section.whole("request_timeout_millis", 1..=60_000_u64);
    let read = read_limits(section);
    let tag_connection = section.flag_or("tag_connection", true);
    let commissioning = section.flag_or("commissioning", false);

    let status = status_base.map(|base| (base, base + (STATUS_LEN - 1)));
    blocks_differ(section, control_base, status_base);
    let write_allowed = writes::allowed(section, control_base.zip(status_base), permit_coil);
    time_outs_agree(section, poll_interval_millis, request_timeout_millis, agreed);
    if let (Some(LinkSettings::Serial { device, baud, parity }), Some(agreed)) = (&link, agreed) {
        let line = SerialLine { device: device.clone(), baud: *baud, parity: *parity };
        line_is_fast_enough(section, &line, agreed.vision_heartbeat_timeout_millis);
    }
    let owner = Owner { unit_id, status, poll_interval_millis, limits: read, triggers: true };
    let tags = tags::settings(&section.sections("tag"), &owner);
    Some(PlcSettings {
        link: link?,
        unit_id: unit_id?,
        control_base: control_base?,
        status_base: status_base?,
        write_allowed: write_allowed?,
        permit_coil: permit_coil?,
        poll_interval_millis: poll_interval_millis?,
        connect_timeout_millis: connect_timeout_millis?,
        request_timeout_millis: request_timeout_millis?,
        read: read?,
        tag_connection: tag_connection?,
        tags: tags?,
        commissioning: commissioning?,
    })
}

/// Reads a `[[source]]`.
fn source(section: &Section<'_>) -> Option<SourceSettings> {
    let name = section.text("name", "a name for people, for example \"oven\"");
    let link = link(section);
    let unit_id = section.whole_or("unit_id", 0..=u8::MAX, 1);
    let connect_timeout_millis = section.whole_or("connect_timeout_millis", 1..=60_000_u64, 1000);
    let request_timeout_millis = section.whole_or("request_timeout_millis", 1..=60_000_u64, 1000);
    let read = read_limits(section);
    let owner = Owner { unit_id, status: None, poll_interval_millis: None, limits: read, triggers: false };
    let sections = section.sections("tag");
    let tags = tags::settings(&sections, &owner);
    if sections.is_empty() {
        section.misses("tag", "a source without tags is never asked for anything: add a [[source.tag]] below it, or remove it");
    }
    Some(SourceSettings {
        name: name?.into(),
        link: link?,
        unit_id: unit_id?,
        connect_timeout_millis: connect_timeout_millis?,
        request_timeout_millis: request_timeout_millis?,
        read: read?,
        tags: tags?,
    })
}

fn read_limits(section: &Section<'_>) -> Option<Limits> {
    let usual = Limits::default();
    let gap = section.whole_or("read_gap", 0..=READ_MAX, usual.registers.gap_max);
    let max = section.whole_or("read_max", 1..=READ_MAX, usual.registers.read_max);
    let gap_bits = section.whole_or("read_gap_bits", 0..=usual.bits.read_max, usual.bits.gap_max);
    let max_bits = section.whole_or("read_max_bits", 1..=usual.bits.read_max, usual.bits.read_max);
    let registers = Reach { gap_max: gap?, read_max: max? };
    Some(Limits { registers, bits: Reach { gap_max: gap_bits?, read_max: max_bits? } })
}

/// Where a partner is: `address`, or `serial` with `baud` and `parity`.
fn link(section: &Section<'_>) -> Option<LinkSettings> {
    let form = "the partner's host and port, for example \"192.168.0.10:502\"";
    let address = section.optional_text("address", form);
    let serial = serial(section);
    match (section.has("address"), section.has("serial")) {
        (true, true) => {
            section.wrong("serial", "a partner is reached by TCP or by a serial line", "keep either address or serial");
            None
        }
        (false, true) => serial.map(|line| LinkSettings::Serial { device: line.device, baud: line.baud, parity: line.parity }),
        (true, false) => {
            let address = address??;
            let Some((host, port)) = host_and_port(address) else {
                let what = format!("`{}` is not a host and a port", address.escape_debug());
                section.wrong("address", what, "write HOST:PORT with a port from 1 to 65535; an IPv6 address stands in [ ]");
                return None;
            };
            Some(LinkSettings::Tcp { host: host.trim_matches(['[', ']']).to_owned(), port })
        }
        (false, false) => {
            section.misses("address", format!("add `address = …`, {form}, or `serial = …`, a device such as \"/dev/ttyS1\""));
            None
        }
    }
}

/// Speeds that a Linux serial driver knows by name.
const BAUDS: [u32; 11] = [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600];

/// Of lines whose file does not say (Modbus over Serial Line V1.02, 3.2).
const BAUD: u32 = 19_200;

/// A serial line, if there is one. Its defaults are those of the standard: 19 200 baud, even parity (Modbus over Serial Line
/// V1.02, 2.5.1 and 3.2).
pub(super) fn serial(section: &Section<'_>) -> Option<SerialLine> {
    let device = section.optional_text("serial", "a device, for example \"/dev/ttyS1\"");
    if !section.has("serial") {
        return None;
    }
    let baud = section.whole_or("baud", 1..=u32::MAX, BAUD).filter(|baud| {
        let known = BAUDS.contains(baud);
        if !known {
            let bauds = BAUDS.map(|baud| baud.to_string()).join(", ");
            section.wrong("baud", format!("{baud} is not a speed of serial lines"), format!("write one of {bauds}"));
        }
        known
    });
    let parities = [("even", Parity::Even), ("odd", Parity::Odd), ("none", Parity::None)];
    let parity = section.choice_or("parity", &parities, Parity::Even);
    let device = device.flatten().filter(|device| {
        let whole = device.starts_with('/');
        if !whole {
            section.wrong(
                "serial",
                format!("`{}` is not the path of a device", device.escape_debug()),
                "write it from /dev on, for example \"/dev/ttyS1\"",
            );
        }
        whole
    });
    Some(SerialLine { device: PathBuf::from(device?), baud: baud?, parity: parity? })
}

fn blocks_differ(section: &Section<'_>, control_base: Option<u16>, status_base: Option<u16>) {
    let Some((control_base, status_base)) = control_base.zip(status_base) else { return };
    let (control, status) = ((control_base, control_base + (CONTROL_LEN - 1)), (status_base, status_base + (STATUS_LEN - 1)));
    if overlap(control, status) {
        let what = format!("the status block {}…{} lies over the control block {}…{}", status.0, status.1, control.0, control.1);
        section.wrong("status_base", what, "move one of the blocks");
    }
}

/// The rules behind: one lost answer must not look like a dead peer, and a heartbeat must be read more often than it is missed.
fn time_outs_agree(section: &Section<'_>, poll: Option<u64>, request: Option<u64>, agreed: Option<&HandshakeSettings>) {
    let plc_heartbeat = agreed.map(|agreed| agreed.plc_heartbeat_timeout_millis);
    let vision_heartbeat = agreed.map(|agreed| agreed.vision_heartbeat_timeout_millis);
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

/// Characters of a request to write registers, and of its answer (Modbus over Serial Line V1.02, 2.5.1).
const fn written(registers: u16) -> u32 {
    9 + 2 * registers as u32 + 8
}

/// Characters of a request to read registers, and of its answer.
const fn asked(registers: u16) -> u32 {
    8 + 5 + 2 * registers as u32
}

/// On a serial line everything goes one after the other: the control block, the status block, and its read-back.
fn line_is_fast_enough(section: &Section<'_>, line: &SerialLine, vision_heartbeat_millis: u64) {
    let exchange = |characters: u32| line.on_the_line(characters) + 2 * line.silence();
    let round = exchange(asked(CONTROL_HEAD)) + exchange(written(STATUS_HEAD)) + exchange(asked(2));
    let millis = |time: Duration| time.as_millis();
    if u128::from(vision_heartbeat_millis) < 2 * millis(round) {
        let what = format!(
            "at {} baud one round of control and status takes {} ms, so one lost answer would stop the line after {vision_heartbeat_millis} ms \
             without a heartbeat",
            line.baud,
            millis(round)
        );
        let mend = format!("make the line faster, or let the PLC wait {} ms (vision_heartbeat_timeout_millis)", 2 * millis(round) + 1);
        section.wrong(if section.has("baud") { "baud" } else { "serial" }, what, mend);
    }
}

/// Partners on one serial device share it, each with a unit of its own; the server's device is its own, because a line has
/// one master.
fn devices_agree(plc: Option<&Section<'_>>, server: Option<&Section<'_>>, sources: &[Section<'_>]) {
    let mut seen: Vec<(&str, (u32, &str), u8)> = Vec::new();
    for section in plc.into_iter().chain(sources) {
        let Some(device) = section.glance("serial") else { continue };
        let pace = (section.glance_whole("baud").unwrap_or(BAUD), section.glance("parity").unwrap_or("even"));
        let unit = section.glance_whole("unit_id").unwrap_or(1);
        for (_, other_pace, other_unit) in seen.iter().filter(|(other, ..)| *other == device) {
            if *other_pace != pace {
                let mend = "give all partners on one line the same baud and parity";
                section.wrong("serial", format!("{device} has another baud or parity above"), mend);
            } else if *other_unit == unit {
                let mend = "give each device on the wires a number of its own, there and here";
                section.wrong("unit_id", format!("there is a unit {unit} on {device} above"), mend);
            }
        }
        seen.push((device, pace, unit));
    }
    if let Some(server) = server
        && let Some(device) = server.glance("serial")
        && seen.iter().any(|(other, ..)| *other == device)
    {
        let what = format!("{device} is the line of a partner that this station asks");
        server.wrong("serial", what, "give the server a line of its own: a line has one master");
    }
}

/// The TCP port that this program or a PLC on this machine listens on, with its owner.
pub(super) fn local_ports(modbus: &Modbus) -> Vec<(u16, &'static str)> {
    let mut ports = Vec::new();
    if let Some(LinkSettings::Tcp { host, port }) = modbus.plc.as_ref().map(|plc| &plc.link)
        && super::is_loopback(host)
    {
        ports.push((*port, "the PLC's"));
    }
    if let Some(ServerPort::Tcp(listen)) = modbus.server.as_ref().map(|server| &server.listen) {
        ports.push((listen.port(), "the Modbus server's"));
    }
    ports
}
