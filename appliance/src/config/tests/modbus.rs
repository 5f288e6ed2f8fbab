//! What the Modbus part of the settings promises: who shakes hands, who may connect, what a tag can be.

use super::{check, line_of, parse, sample_with};
use crate::config::{LinkSettings, PayloadSettings, PayloadSource, ServerPort, Settings, WriteAllowed};
use plc_bridge::map::{Kind, Limits, Sample, Table};
use plc_bridge::serial::Parity;
use station::inspection::{ClassId, ModelRef};
use station::recipe::{DefectClass, PayloadValue};
use station::units::{Digest, Micros};
use std::sync::Arc;

const PLC_ADDRESS: &str = "address = \"127.0.0.1:5020\"";
const TAG: &str = "name = \"paste_height\"\naddress = 2000\nkind = \"u16\"      # u16 i16 u32 i32 u64 i64 f32 f64 bool bits ascii\nscale = 0.01\noffset = 0.0\nunit = \"um\"\nmin = 30.0\nmax = 240.0\nsample = \"trigger\"\nstale_after_millis = 5000";

/// The sample with `more` before `[stop_policy]`.
fn with(more: &str) -> String {
    sample_with(&[("# When the line stops. It stays", &format!("{more}\n\n# When the line stops. It stays"))])
}

/// What is wrong with the sample and `more` before `[stop_policy]`, without the file's name.
fn wrong_with(more: &str) -> Vec<String> {
    problems(&with(more))
}

fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| format!("{}: {} (mend: {})", problem.key, problem.what, problem.mend)).collect(),
    }
}

/// The sample without `[plc]`, its tags, and the charts of the tags.
fn without_plc() -> String {
    let sample = super::sample();
    let (before, from_plc) = sample.split_once("\n[plc]\n").expect("the sample has [plc]");
    let (_, stop_policy) = from_plc.split_once("# When the line stops. It stays").expect("the sample has a stop policy");
    format!("{before}\n@\n# When the line stops. It stays{stop_policy}")
}

fn server_alone(server: &str) -> String {
    let agreed = "word_swap = false\nbyte_swap = false\nplc_heartbeat_timeout_millis = 1000\nvision_heartbeat_timeout_millis = 500\n\
                  gate_offset_counts = 3000\ngate_slack_counts = 500";
    without_plc().replace('@', &format!("[modbus_server]\n{server}\n{agreed}\n"))
}

fn tag_of(text: &str) -> crate::config::TagSettings {
    let settings = parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    settings.plc.expect("[plc] is there").tags.remove(0)
}

#[test]
fn what_a_tag_does_not_say_has_its_documented_default() {
    let tag = tag_of(&sample_with(&[
        (
            TAG,
            "name = \"x\"\naddress = 2000\nkind = \"u16\"\nunit = \"um\"\nmin = 0\nmax = 9\nsample = \"interval\"\ninterval_millis = 200",
        ),
        ("tag = \"paste_height\"", "tag = \"x\""),
    ]));
    assert_eq!((tag.scale, tag.offset, tag.dead_band), (1.0, 0.0, 0.0));
    assert_eq!((tag.table, tag.unit_id, tag.word_swap, tag.byte_swap), (Table::Holding, None, None, None));
    assert_eq!((tag.sample, tag.stale_after_millis), (Sample::Every(Micros::from_millis(200)), 600));
    let settings = parse(super::sample()).expect("the sample is valid");
    let plc = settings.plc.expect("[plc] is there");
    assert_eq!((plc.read, plc.permit_coil, plc.commissioning), (Limits::default(), None, false));
    assert_eq!(plc.write_allowed, [WriteAllowed::registers(1000, 1127)]);
    assert!(settings.modbus_server.is_none() && settings.sources.is_empty());
}

#[test]
fn every_kind_and_table_can_be_said() {
    let kinds = [
        ("kind = \"u16\"", "", Kind::U16),
        ("kind = \"i16\"", "", Kind::I16),
        ("kind = \"u32\"", "", Kind::U32),
        ("kind = \"i32\"", "", Kind::I32),
        ("kind = \"f32\"", "", Kind::F32),
        ("kind = \"u64\"", "", Kind::U64),
        ("kind = \"i64\"", "", Kind::I64),
        ("kind = \"f64\"\nword_swap = true\nbyte_swap = true\ndead_band = 0.5\nunit_id = 7", "", Kind::F64),
        ("kind = \"bool\"\nbit = 15", "bits", Kind::Bool { bit: 15 }),
        ("kind = \"bits\"\nbit = 4\nbits = 3", "bits", Kind::Bits { first: 4, count: 3 }),
        ("kind = \"ascii\"\nlength = 21", "bits", Kind::Ascii { chars: 21 }),
        ("kind = \"bool\"\ntable = \"coil\"", "bits", Kind::Bool { bit: 0 }),
        ("kind = \"bool\"\ntable = \"discrete\"", "bits", Kind::Bool { bit: 0 }),
        ("kind = \"u32\"\ntable = \"input\"", "", Kind::U32),
    ];
    for (written, form, kind) in kinds {
        let number = if form == "bits" { "" } else { "unit = \"um\"\nmin = 0\nmax = 9\n" };
        let tag = format!("name = \"x\"\naddress = 2300\n{written}\n{number}sample = \"trigger\"");
        let text = with(&format!(
            "[[source]]\nname = \"oven\"\naddress = \"127.0.0.1:1\"\n[[source.tag]]\n{}",
            tag.replace("sample = \"trigger\"", "interval_millis = 100")
        ));
        let settings = parse(&text).unwrap_or_else(|problems| panic!("{written}: {problems}"));
        let read = &settings.sources[0].tags[0];
        assert_eq!(read.kind, kind, "{written}");
        if kind == Kind::F64 {
            assert_eq!((read.word_swap, read.byte_swap, read.dead_band, read.unit_id), (Some(true), Some(true), 0.5, Some(7)));
        }
    }
}

#[test]
fn a_kind_that_its_registers_cannot_hold_is_told() {
    let cases = [
        ("kind = \"bool\"\nbit = 16", vec!["plc.tag[1].bit: 16 is out of range (mend: write a whole number from 0 to 15)"]),
        ("kind = \"bits\"\nbit = 12\nbits = 5", vec!["plc.tag[1].bits: bits 12…16 are more than a register has (mend: write 4 or less)"]),
        ("kind = \"bits\"\nbit = 12", vec!["plc.tag[1].bits: missing (mend: add `bits = …`, a whole number from 1 to 16)"]),
        ("kind = \"ascii\"\nlength = 251", vec!["plc.tag[1].length: 251 is out of range (mend: write a whole number from 1 to 250)"]),
        ("kind = \"bool\"", vec!["plc.tag[1].bit: missing (mend: add `bit = …`, a whole number from 0 to 15)"]),
        (
            "kind = \"u16\"\ntable = \"coil\"",
            vec!["plc.tag[1].kind: in this table every address is one bit (mend: write \"bool\", or correct table)"],
        ),
        (
            "kind = \"bool\"\nbit = 1\ntable = \"coils\"",
            vec!["plc.tag[1].table: `coils` is not known here (mend: write \"holding\" or \"input\" or \"coil\" or \"discrete\")"],
        ),
        (
            "kind = \"ascii\"\nlength = 8\nscale = 2",
            vec![
                "plc.tag[1].scale: unknown key (mend: remove it; here belong `address`, `byte_swap`, `interval_millis`, `kind`, `length`, \
                 `name`, `sample`, `stale_after_millis`, `table`, `unit_id`, `word_swap`)",
            ],
        ),
    ];
    for (written, expected) in cases {
        let tag = format!("name = \"spare\"\naddress = 2300\n{written}\nsample = \"interval\"\ninterval_millis = 100");
        let text = super::sample().replacen("[[plc.tag]]", &format!("[[plc.tag]]\n{tag}\n\n[[plc.tag]]"), 1);
        assert_eq!(problems(&text), expected, "{written}");
    }
}

#[test]
fn bits_share_a_register_and_values_do_not() {
    let bits = |second: &str| {
        let flag = |name: &str, key: &str| format!("[[plc.tag]]\nname = \"{name}\"\naddress = 2300\n{key}\nsample = \"trigger\"\n");
        let text = format!("{}\n{}\n[[plc.tag]]", flag("door", "kind = \"bool\"\nbit = 3"), flag("state", second));
        problems(&super::sample().replacen("[[plc.tag]]", &text, 1))
    };
    assert!(bits("kind = \"bits\"\nbit = 4\nbits = 3").is_empty());
    assert!(bits("kind = \"bool\"\nbit = 3\nunit_id = 2").is_empty(), "another unit has registers of its own");
    assert!(bits("kind = \"bool\"\nbit = 3\ntable = \"input\"").is_empty(), "another table too");
    assert_eq!(
        bits("kind = \"bits\"\nbit = 2\nbits = 2"),
        ["plc.tag[2].address: register 2300…2300 is also used by tag door (mend: give each value registers of its own)"]
    );
}

#[test]
fn text_is_not_charted_and_dead_bands_leave_something() {
    check(
        &[(TAG, "name = \"paste_height\" # text\naddress = 2300\nkind = \"ascii\"\nlength = 8\nsample = \"trigger\"")],
        &[
            "@tag = \"paste_height\"@: characteristic[1].tag: paste_height is text, which cannot be charted (mend: name a tag that is a number)",
        ],
    );
    check(
        &[("scale = 0.01", "scale = 0.01\ndead_band = 210")],
        &["@dead_band@: plc.tag[1].dead_band: 210 is all of min…max, so no change would ever be seen (mend: write less)"],
    );
    let narrow = problems(&sample_with(&[("connect_timeout_millis = 1000", "connect_timeout_millis = 1000\nread_max = 1")]));
    assert_eq!(narrow.len(), 4, "paste_height alone is one register: {narrow:?}");
    assert_eq!(
        narrow[0],
        "plc.tag[2].kind: its 2 registers are more than read_max, and in two requests it could change in between (mend: raise read_max, or choose a shorter kind)"
    );
}

#[test]
fn nobody_to_shake_hands_with_is_told() {
    let text = without_plc().replace('@', "");
    let told = problems(&text);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("plc: missing (mend: nobody would shake hands: add a section [plc]"), "{told:?}");
}

#[test]
fn a_plc_is_reached_by_tcp_or_by_a_serial_line() {
    let plc = |link: &str| sample_with(&[(PLC_ADDRESS, link)]);
    let settings = parse(&plc("serial = \"/dev/ttyS1\"\nbaud = 115200\nparity = \"none\"")).expect("a serial line is valid");
    let expected = LinkSettings::Serial { device: "/dev/ttyS1".into(), baud: 115_200, parity: Parity::None };
    assert_eq!(settings.plc.map(|plc| plc.link), Some(expected));
    let defaults = parse(&plc("serial = \"/dev/ttyS1\"")).expect("19200 baud, even parity");
    assert_eq!(
        defaults.plc.map(|plc| plc.link),
        Some(LinkSettings::Serial { device: "/dev/ttyS1".into(), baud: 19_200, parity: Parity::Even })
    );
    for (link, told) in [
        (
            "",
            "plc.address: missing (mend: add `address = …`, the partner's host and port, for example \"192.168.0.10:502\", or `serial = …`, a device such as \"/dev/ttyS1\")",
        ),
        (
            "address = \"127.0.0.1:1\"\nserial = \"/dev/ttyS1\"",
            "plc.serial: a partner is reached by TCP or by a serial line (mend: keep either address or serial)",
        ),
        ("serial = \"ttyS1\"", "plc.serial: `ttyS1` is not the path of a device (mend: write it from /dev on, for example \"/dev/ttyS1\")"),
        (
            "serial = \"/dev/ttyS1\"\nbaud = 19201",
            "plc.baud: 19201 is not a speed of serial lines (mend: write one of 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)",
        ),
        ("serial = \"/dev/ttyS1\"\nparity = \"E\"", "plc.parity: `E` is not known here (mend: write \"even\" or \"odd\" or \"none\")"),
        ("adress = \"127.0.0.1:1\"", "plc.adress: unknown key (mend: did you mean `address`?)"),
        (
            "serial = \"/dev/ttyS1\"\nbaud = 9600",
            "plc.baud: at 9600 baud one round of control and status takes 288 ms, so one lost answer would stop the line after 500 ms without a heartbeat (mend: make the line faster, or let the PLC wait 577 ms (vision_heartbeat_timeout_millis))",
        ),
    ] {
        assert_eq!(problems(&plc(link)), [told], "{link}");
    }
}

#[test]
fn beyond_loopback_the_server_wants_a_list() {
    assert!(problems(&server_alone("listen = \"127.0.0.1:1502\"")).is_empty());
    let open = problems(&server_alone("listen = \"0.0.0.0:502\""));
    assert_eq!(
        open,
        [
            "modbus_server.clients_allowed: 0.0.0.0:502 can be reached from other machines, and Modbus has neither sign-in nor encryption (mend: name the machines that may trigger pieces and read results, for example clients_allowed = [\"192.168.7.20\"], and keep them on a network of their own; or listen on 127.0.0.1)"
        ]
    );
    let named = parse(&server_alone("listen = \"0.0.0.0:502\"\nclients_allowed = [\"192.168.0.10\", \"192.168.8.0/24\"]"))
        .expect("with a list it may");
    let server = named.modbus_server.expect("[modbus_server] is there");
    assert_eq!((server.unit_id, server.control_base, server.status_base, server.clients_max), (1, 0, 1000, 8));
    assert_eq!(server.clients_allowed.len(), 2);
    assert_eq!(server.listen, ServerPort::Tcp("0.0.0.0:502".parse().expect("an address")));
    for (server, told) in [
        (
            "listen = \"127.0.0.1:1502\"\nclients_allowed = [\"plc\"]",
            "modbus_server.clients_allowed[1]: `plc` is neither an address nor a network (mend: write a list of addresses or networks, for example [\"192.168.7.20\", \"192.168.8.0/24\"])",
        ),
        (
            "listen = \"127.0.0.1:1502\"\nclients_max = 0",
            "modbus_server.clients_max: 0 is out of range (mend: write a whole number from 1 to 64)",
        ),
        (
            "listen = \"127.0.0.1:1502\"\nstatus_base = 90",
            "modbus_server.status_base: the status block 90…217 lies over the control block 0…95 (mend: move one of the blocks)",
        ),
        (
            "serial = \"/dev/ttyS1\"\nclients_allowed = [\"127.0.0.1\"]",
            "modbus_server.clients_allowed: a serial line has no addresses (mend: remove it)",
        ),
        (
            "",
            "modbus_server.listen: missing (mend: add `listen = …`, an address and a port, for example \"0.0.0.0:502\" or \"127.0.0.1:1502\", or `serial = …`, a device such as \"/dev/ttyS1\")",
        ),
        (
            "listen = \"localhost\"",
            "modbus_server.listen: `localhost` is not an address and a port (mend: write an address and a port, for example \"0.0.0.0:502\" or \"127.0.0.1:1502\")",
        ),
    ] {
        assert_eq!(problems(&server_alone(server)), [told], "{server}");
    }
}

#[test]
fn what_is_agreed_stands_with_the_partner_and_nowhere_else() {
    let settings: Settings = parse(&server_alone("serial = \"/dev/ttyS1\"\nbaud = 38400")).expect("role S over RTU");
    assert!(settings.plc.is_none());
    assert_eq!(settings.handshake.gate_offset_counts, 3000);
    let alone = without_plc().replace('@', "[modbus_server]\nlisten = \"127.0.0.1:1502\"\n");
    assert_eq!(problems(&alone).len(), 6, "what is agreed is missing: {:?}", problems(&alone));
    // With [plc] the server is a mirror and agrees on nothing.
    assert!(wrong_with("[modbus_server]\nlisten = \"127.0.0.1:1502\"").is_empty());
    let doubled = wrong_with("[modbus_server]\nlisten = \"127.0.0.1:1502\"\ngate_offset_counts = 1");
    assert!(doubled.len() == 1 && doubled[0].starts_with("modbus_server.gate_offset_counts: unknown key"), "{doubled:?}");
}

#[test]
fn sources_give_readings_at_intervals() {
    let source = |link: &str, tag: &str| {
        format!(
            "[[source]]\nname = \"oven\"\n{link}\n[[source.tag]]\nname = \"humidity\"\naddress = 0\nkind = \"u16\"\nunit = \"%\"\nmin = 0\nmax = 100\n{tag}"
        )
    };
    let good = parse(&with(&source("address = \"oven.plant.example:502\"", "interval_millis = 1000"))).expect("a source is valid");
    let oven = &good.sources[0];
    assert_eq!((oven.unit_id, oven.connect_timeout_millis, oven.request_timeout_millis, oven.read), (1, 1000, 1000, Limits::default()));
    assert_eq!(oven.tags[0].sample, Sample::Every(Micros::from_millis(1000)));
    let chart = "\n[[characteristic]]\nid = 8\nname = \"humidity\"\nkind = \"individuals\"\ntag = \"humidity\"\nphase_one_subgroups = 25\nrules = { nelson = [1] }\nstop_rules = {}\nstop_after_points = 3\nreaction = \"look\"\n";
    assert!(
        wrong_with(&format!("{}{chart}", source("address = \"h:1\"", "interval_millis = 1000"))).is_empty(),
        "a source's tag can be charted"
    );

    for (link, tag, told) in [
        (
            "address = \"h:1\"",
            "sample = \"trigger\"",
            "source[1].tag[1].sample: a source knows nothing of pieces and triggers (mend: write \"interval\" with interval_millis)",
        ),
        (
            "address = \"h:1\"",
            "",
            "source[1].tag[1].interval_millis: missing (mend: add `interval_millis = …`, a whole number from 1 to 3600000)",
        ),
        (
            "address = \"h\"",
            "interval_millis = 10",
            "source[1].address: `h` is not a host and a port (mend: write HOST:PORT with a port from 1 to 65535; an IPv6 address stands in [ ])",
        ),
    ] {
        assert_eq!(wrong_with(&source(link, tag)), [told], "{link} {tag}");
    }
    let twice = format!("{}\n{}", source("address = \"h:1\"", "interval_millis = 10"), source("address = \"h:2\"", "interval_millis = 10"));
    assert_eq!(
        wrong_with(&twice),
        [
            "source[2].name: there are two sources named oven (mend: give each source a name of its own)",
            "source[2].tag[1].name: there are two tags named humidity (mend: give each tag a name of its own)",
        ]
    );
    let empty = wrong_with("[[source]]\nname = \"oven\"\naddress = \"h:1\"");
    assert_eq!(
        empty,
        ["source[1].tag: missing (mend: a source without tags is never asked for anything: add a [[source.tag]] below it, or remove it)"]
    );
}

#[test]
fn partners_on_one_line_agree_on_it() {
    let line = |name: &str, more: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\nserial = \"/dev/ttyS1\"\n{more}\n[[source.tag]]\nname = \"{name}_x\"\naddress = 0\nkind = \"bool\"\nbit = 0\ninterval_millis = 1000\n"
        )
    };
    assert!(wrong_with(&format!("{}{}", line("a", ""), line("b", "unit_id = 2\nbaud = 19200"))).is_empty());
    assert_eq!(
        wrong_with(&format!("{}{}", line("a", ""), line("b", "baud = 9600\nunit_id = 2"))),
        ["source[2].serial: /dev/ttyS1 has another baud or parity above (mend: give all partners on one line the same baud and parity)"]
    );
    assert_eq!(
        wrong_with(&format!("{}{}", line("a", ""), line("b", ""))),
        [
            "source[2].unit_id: there is a unit 1 on /dev/ttyS1 above (mend: give each device on the wires a number of its own, there and here)"
        ]
    );
    assert_eq!(
        wrong_with(&format!("{}[modbus_server]\nserial = \"/dev/ttyS1\"", line("a", ""))),
        [
            "modbus_server.serial: /dev/ttyS1 is the line of a partner that this station asks (mend: give the server a line of its own: a line has one master)"
        ]
    );
}

#[test]
fn writes_are_held_against_the_map() {
    let allowed = |entries: &str| sample_with(&[("write_allowed = [[1000, 1127]]", &format!("write_allowed = {entries}"))]);
    let settings = parse(&allowed(
        "[{ first = 1000, last = 1127, function = 16, per_second = 500 }, { function = 5, first = 8, last = 8 }]\npermit_coil = 8",
    ));
    let plc = settings.expect("registers and the permit's coil").plc.expect("[plc] is there");
    assert_eq!((plc.permit_coil, plc.write_allowed.len(), plc.write_allowed[0].per_second), (Some(8), 2, Some(500)));
    for (entries, told) in [
        (
            "[{ first = 999, last = 1127 }]",
            "plc.write_allowed: 999…1127 is not in the status block, and nothing else may be written (mend: write [[1000, 1127]] or less)",
        ),
        (
            "[{ first = 1127, last = 1000 }]",
            "plc.write_allowed[1].last: 1000 is before the first address, 1127 (mend: write the addresses in order)",
        ),
        (
            "[{ first = 1000, last = 1127, function = 6 }]",
            "plc.write_allowed[1].function: this station never writes with function 6 (mend: write 16 for registers, or 5 for the coil of permit_coil)",
        ),
        (
            "[{ first = 1000, last = 1127, min = 1 }]",
            "plc.write_allowed[1].min: 0 is the safe value of every register, and it could not be written (mend: write 0, or leave it out)",
        ),
        (
            "[[1000, 1127], { function = 5, first = 8, last = 8 }]",
            "plc.write_allowed: coil 8…8 may be written, but only that of permit_coil ever is (mend: remove the entry, or add permit_coil)",
        ),
        (
            "[[1000, 1127], { function = 5, first = 8, last = 9 }]\npermit_coil = 8",
            "plc.write_allowed: coil 8…9 may be written, but only that of permit_coil ever is (mend: write first = 8, last = 8)",
        ),
        (
            "[[1000, 1127]]\npermit_coil = 8",
            "plc.permit_coil: coil 8 is not among write_allowed, so it would never be written (mend: add { function = 5, first = 8, last = 8 } to write_allowed, or remove this)",
        ),
        (
            "[{ first = 1000, last = 1127, per_second = 5 }]",
            "plc.write_allowed[1].per_second: VisionHeartbeat alone is written 10 times a second, so with 5 the PLC would stop the line (mend: write 20 or more)",
        ),
        (
            "[{ first = 1000, last = 1127, max = 10000 }]",
            "plc.write_allowed: the line cannot run: refused to write 64 registers at 1000 with function 16: the value 65535 is not one of `function 16 at 1000-1127, values 0-10000` of the list of allowed writes (mend: [[1000, 1127]] allows what the map needs)",
        ),
        ("[{ last = 1127 }]", "plc.write_allowed[1].first: missing (mend: add `first = …`, a whole number from 0 to 65535)"),
    ] {
        assert_eq!(problems(&allowed(entries)), [told], "{entries}");
    }
}

#[test]
fn a_port_is_used_once() {
    let text = with("[modbus_server]\nlisten = \"127.0.0.1:8080\"");
    let line = line_of(&text, "listen = \"127.0.0.1:8080\"");
    assert!(line > 0);
    assert_eq!(problems(&text), ["page.listen: port 8080 is the Modbus server's (mend: give the page a port of its own)"]);
}

#[test]
fn the_examples_in_the_sample_are_valid() {
    let example = |first: &str| -> String {
        let lines = super::sample().lines().skip_while(|line| *line != first).take_while(|line| line.starts_with("# "));
        lines.map(|line| format!("{}\n", line.trim_start_matches("# "))).collect()
    };
    let (source, server) = (example("# [[source]]"), example("# [modbus_server]"));
    assert!(source.contains("[[source.tag]]") && server.contains("clients_allowed"), "the sample has examples");
    assert_eq!(wrong_with(&format!("{source}\n{server}")), Vec::<String>::new());
    let serial = sample_with(&[(PLC_ADDRESS, ""), ("# serial = ", "serial = "), ("# baud = ", "baud = ")]);
    assert_eq!(problems(&serial), Vec::<String>::new());
    let testing = sample_with(&[("# commissioning = true", "commissioning = true")]);
    assert!(parse(&testing).expect("a valid file").plc.expect("[plc] is there").commissioning);
}

const FIELD: &str = "[[recipe.payload]]\nname = \"x\"\nregister = 80\nkind = \"u16\"\n";

#[test]
fn the_payload_says_where_its_values_lie_and_what_they_are() {
    let settings = parse(&with(&format!("{FIELD}scale = 0.5\nvalue = \"reading\"\ntag = \"oven_zone_1\"")))
        .unwrap_or_else(|problems| panic!("{problems}"));
    let field = settings.recipe.payload.last().expect("it was said").clone();
    let expected = PayloadSettings {
        name: "x".into(),
        register: 80,
        kind: Kind::U16,
        scale: 0.5,
        offset: 0.0,
        unit: "Cel".into(),
        value: PayloadSource::Reading { tag: "oven_zone_1".into() },
    };
    assert_eq!(field, expected);
    let field = |more: &str| wrong_with(&format!("{FIELD}{more}")).join("\n");
    assert_eq!(field("value = \"record\""), "");
    assert!(field("value = \"reading\"\ntag = \"oven_zone_l\"").contains("did you mean `oven_zone_1`?"));
    assert!(field("value = \"score\"").contains("class"));
    assert!(field("value = \"length\"").contains("recipe.payload[2].value"));
    assert!(field("value = \"record\"\nscale = 0").contains("every value would be the same"));
    let lying = |register: &str| {
        wrong_with(&FIELD.replace("80", register).replace("kind = \"u16\"", "kind = \"u32\"\nvalue = \"record\"")).join("\n")
    };
    assert!(lying("63").contains("64"), "{}", lying("63"));
    assert!(lying("127").contains("127 to 128"), "{}", lying("127"));
    assert!(lying("65").contains("`x` overlaps `record`"), "{}", lying("65"));
    let narrow = sample_with(&[("write_allowed = [[1000, 1127]]", "write_allowed = [[1000, 1064]]")]);
    let told = problems(&narrow).join("\n");
    assert!(told.contains("registers 1064…1065") && told.contains("add [1064, 1065] to plc.write_allowed"), "{told}");
}

#[test]
fn a_class_of_the_payload_must_be_in_the_package() {
    let settings = parse(&with(&format!("{FIELD}value = \"defects\"\nclass = \"shor\""))).unwrap_or_else(|problems| panic!("{problems}"));
    let model = Arc::new(ModelRef { package: "boards@1".to_owned(), weights: Digest::of(b"weights") });
    let classes = ["open", "short"].map(|name| DefectClass { name: name.to_owned(), threshold: 0.5 });
    let refused = settings.recipe(model.clone(), &classes, &[]).expect_err("there is no such class").to_string();
    assert!(refused.contains("recipe.payload[2].class") && refused.contains("did you mean `short`?"), "{refused}");
    let settings = parse(&with(&format!("{FIELD}value = \"defects\"\nclass = \"short\""))).unwrap_or_else(|problems| panic!("{problems}"));
    let recipe = settings.recipe(model, &classes, &[]).expect("the class is there");
    assert_eq!(recipe.payload.last(), Some(&PayloadValue::Defects { class: Some(ClassId(2)) }));
}
