//! The part of `doctor` that looks at what the station remembers: ledger, signatures, pictures, marks, settings.
//!
//! Invariant: it writes nothing but the mark that an index is wrong, so that it is built again.

use crate::config::Settings;
use crate::config::seal::{self, Seal};
use crate::doctor::Finding;
use crate::pipeline::see::chain;
use crate::store::examine::{Examined, examine};
use crate::store::walk::Fault;
use std::path::Path;

/// More damaged places than this are counted, not listed: `jidoka verify` lists more.
const FAULTS_MAX: usize = 20;

/// What stands in the data folder, and whether the settings are those that were written.
pub fn findings(config: &Path, settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![settings_file(config, settings)];
    findings.extend(store(&settings.data_directory));
    findings
}

fn settings_file(config: &Path, settings: &Settings) -> Finding {
    const WHAT: &str = "settings file";
    let shown = config.display();
    match seal::look(config, &settings.data_directory) {
        Ok(Seal::First) => Finding::ok(WHAT, format!("{shown} is valid; no station has started with it yet")),
        Ok(Seal::Same) => Finding::ok(WHAT, format!("{shown} is that of the last start")),
        Ok(Seal::Changed(first, last)) => {
            let detail = format!("{shown} was changed since the last start, in lines {first} to {last}");
            Finding::warn(WHAT, detail, "nothing, if that was meant; it counts from the next start")
        }
        Ok(Seal::Damaged { line, copy }) => {
            let detail = format!("{shown}, line {line}: it differs from the last start, and nobody has written it since");
            Finding::fail(WHAT, detail, format!("compare it with {}, and put it in order", copy.display()))
        }
        Err(error) => Finding::fail(WHAT, format!("{shown}: {error}"), "give it to the user that runs the station"),
    }
}

fn store(data: &Path) -> Vec<Finding> {
    const WHAT: &str = "records";
    let examined = match examine(data) {
        Ok(examined) => examined,
        Err(error) => return vec![Finding::fail(WHAT, chain(&error), "give the data directory to the user that runs the station")],
    };
    let mut findings: Vec<Finding> = examined.faults.iter().take(FAULTS_MAX).map(finding).collect();
    if examined.faults.len() > FAULTS_MAX {
        let more = examined.faults.len() - FAULTS_MAX;
        findings.push(Finding::fail(WHAT, format!("{more} more damaged places"), "`jidoka verify --data DIRECTORY` lists them"));
    }
    if findings.is_empty() {
        let index = examined.index_left_out.map_or_else(String::new, |why| format!("; the index was left out: {why}"));
        let gone: Vec<String> = examined.images_removed.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let gone = if gone.is_empty() { String::new() } else { format!("; retention removed others ({})", gone.join(", ")) };
        let Examined { entries, signed_up_to, images, .. } = examined;
        let detail = format!("{entries} entries, signed up to {signed_up_to}, {images} pictures: all whole{gone}{index}");
        findings.push(Finding::ok(WHAT, detail));
    }
    findings
}

/// File, bytes, entries and mend of a damaged place.
fn finding(fault: &Fault) -> Finding {
    let Fault { file, from, to, first_entry, last_entry, what, mend } = fault;
    let entries = match (first_entry, last_entry) {
        (first, last) if first > last => "no entry".to_owned(),
        (first, last) if first == last => format!("entry {first}"),
        (first, last) => format!("entries {first} to {last}"),
    };
    Finding::fail("records", format!("{}, bytes {from} to {to}, {entries}: {what}", file.display()), mend.clone())
}
