//! The manual for controls engineers says what the program does: registers, rungs, stop reasons and keys of the settings are
//! compared with the code. A difference prints what the page should say.

use plc_bridge::jmap::{CONTROL, Field, Kind, STATUS, function_block_st};
use station::policy::StopReason;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page() -> String {
    text("docs/plc.md")
}

fn block(fields: &[Field]) -> String {
    let mut out = String::from("| register | name | type | content |\n|---|---|---|---|\n");
    for field in fields {
        let kind = match field.kind {
            Kind::Bits { count: 1, .. } => "bit",
            Kind::Bits { .. } => "bits",
            Kind::U16 => "u16",
            Kind::U32 => "u32",
            Kind::Ascii => "text",
            Kind::Words => "words",
        };
        writeln!(out, "| {} | {} | {kind} | {} |", field.place(0), field.name, field.doc).expect("a String takes it");
    }
    out
}

fn must_stand(expected: &str, what: &str) {
    assert!(page().contains(expected.trim_end()), "docs/plc.md differs from the code in {what}; it should say:\n\n{expected}");
}

#[test]
fn the_registers_of_the_page_are_those_of_the_code() {
    must_stand(&block(CONTROL), "the control block");
    must_stand(&block(STATUS), "the status block");
}

#[test]
fn the_rungs_of_the_page_are_those_that_are_printed() {
    let printed = function_block_st(0, 1000);
    let from = printed.find("   Rung 1").expect("the ladder has a first rung");
    let ladder: String = printed[from..].lines().take_while(|line| !line.contains("-- *)")).map(|line| format!("{line}\n")).collect();
    must_stand(&ladder, "the ladder");
    let call: String = printed
        .lines()
        .skip_while(|line| !line.contains("Vision(Enable"))
        .take(4)
        .map(|line| line.trim_end_matches("*)").trim())
        .fold(String::new(), |call, line| call + line);
    let squeezed: String = page().lines().map(str::trim).collect();
    assert!(squeezed.contains(&call), "docs/plc.md calls the function block otherwise than `{call}`");
}

#[test]
fn the_stop_reasons_of_the_page_are_those_of_the_code() {
    let named: Vec<String> = StopReason::ALL.iter().enumerate().map(|(bit, reason)| format!("{bit} `{}`", reason.name())).collect();
    let expected = named.join(" · ");
    let flat = page().replace('\n', " ");
    assert!(flat.contains(&expected), "docs/plc.md differs from the code in the stop reasons; it should say:\n\n{expected}");
}

/// The keys that a source of the settings asks its sections for.
fn asked(source: &str) -> BTreeSet<String> {
    let source = text(source);
    let mut keys = BTreeSet::new();
    for (at, _) in source.match_indices("section.") {
        let call = &source[at + "section.".len()..];
        let Some((method, rest)) = call.split_once('(') else { continue };
        let asks = ["whole", "real", "text", "flag", "choice", "sections", "register_ranges", "texts", "optional_"];
        if method.len() < 20 && asks.iter().any(|asks| method.starts_with(asks)) {
            let key = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            keys.extend(key.map(|(key, _)| key.to_owned()));
        }
    }
    keys
}

#[test]
fn every_key_of_the_modbus_settings_is_in_the_page() {
    let page = page();
    let mut all = BTreeSet::new();
    for file in ["plc", "tags", "server", "writes", "payload"] {
        let keys = asked(&format!("appliance/src/config/validate/{file}.rs"));
        assert!(keys.len() >= 4, "{file}: {keys:?}");
        all.extend(keys);
    }
    assert!(all.contains("permit_coil") && all.contains("clients_allowed") && all.contains("dead_band"), "the sources are read: {all:?}");
    // `[[plc.tag]]` and the entries of `write_allowed` are shown as they are written.
    let shown =
        |key: &str| page.contains(&format!("`{key}`")) || page.contains(&format!("{key} = ")) || page.contains(&format!(".{key}]]"));
    let missing: Vec<_> = all.iter().filter(|key| !shown(key)).collect();
    assert!(missing.is_empty(), "docs/plc.md does not say what these keys are: {missing:?}");
}
