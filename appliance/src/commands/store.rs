//! What is done with a station's memory from outside: verify, sign, rebuild, backup, export, import.

use super::{Failure, say};
use crate::cli::{self, Data, Verify};
use crate::pipeline::at;
use crate::store::copy::{self, Copied, CopyError};
use crate::store::images::policy::Retention;
use crate::store::verify::{Signed, Trust, VerifyReport, verify_with};
use crate::store::{Store, StoreError, StoreSettings, sign};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::Path;
use std::time::Duration;

/// `jidoka verify`
pub fn verify(args: &Verify) -> Result<(), Failure> {
    let named = args.key.as_deref().map(sign::public_key).transpose();
    let key = named.map_err(|text| Failure { text: format!("--key: {text}"), code: 64 })?;
    if let Some(signatures) = args.signatures.as_ref().filter(|path| !path.is_file()) {
        return Err(Failure { text: format!("--signatures: there is no file {}", signatures.display()), code: 64 });
    }
    let data = &args.data.data;
    must_have_a_ledger(data)?;
    let report = verify_with(data, Trust { key, signatures: args.signatures.as_deref() });
    let report = report.map_err(at(&format!("{} cannot be verified", data.display())))?;
    if args.data.json {
        say(&serde_json::to_string(&report).map_err(at("the report"))?)?;
    } else {
        say(&words(&report))?;
    }
    if report.whole { Ok(()) } else { Err(Failure { text: "the ledger is not whole".to_owned(), code: 1 }) }
}

fn words(report: &VerifyReport) -> String {
    let faults = report
        .faults
        .iter()
        .map(|fault| format!("{}, bytes {} to {}: {}; {}\n", fault.file.display(), fault.from, fault.to, fault.what, fault.mend));
    let faults: String = faults.collect();
    let torn = if report.torn.is_some() { "\nthe end of a write was cut short; nothing of it was ever acknowledged" } else { "" };
    let signed = report.signed.as_ref().map_or_else(|| "\nnothing is signed yet".to_owned(), |signed| signed_words(signed, report));
    format!("{faults}{} entries, {} piece records, chain head {}{torn}{signed}", report.entries, report.pieces, report.head.digest)
}

fn signed_words(signed: &Signed, report: &VerifyReport) -> String {
    let Signed { key, key_was_given, signatures, up_to, wall_micros } = signed;
    if *signatures == 0 {
        return format!("\nnothing of it is signed with the key {key}");
    }
    let when = jiff::Timestamp::from_microsecond(*wall_micros).map_or_else(|_| String::new(), |at| format!(", the last of {at:.0}"));
    let whose =
        if *key_was_given { "" } else { "\nthat key lay beside the ledger: compare it with the one you were given, or name it with --key" };
    format!(
        "\nsigned up to entry {up_to} of {} ({signatures} {}{when}) with the key {key}{whose}",
        report.head.number.0,
        if *signatures == 1 { "signature" } else { "signatures" }
    )
}

/// A folder that was mistyped must not look like a station that has recorded nothing.
fn must_have_a_ledger(data: &Path) -> Result<(), Failure> {
    if data.join("ledger").is_dir() {
        return Ok(());
    }
    let text = format!("{} is no station's data folder: it has no `ledger` (mend: name the folder with --data)", data.display());
    Err(Failure { text, code: 64 })
}

/// `jidoka sign`
pub fn sign(args: &Data) -> Result<(), Failure> {
    let now = crate::clock::Clock::new().now().wall_micros;
    must_have_a_ledger(&args.data)?;
    let point = sign::sign(&args.data, now).map_err(at(&format!("{} is not signed", args.data.display())))?;
    let Some(point) = point else { return Err(Failure { text: "the ledger is empty: there is nothing to sign".to_owned(), code: 1 }) };
    if args.json {
        let told = serde_json::json!({
            "number": point.number, "digest": point.digest.to_string(), "pieces": point.pieces, "key": point.key.to_string(), "at": point.at(),
        });
        return say(&told.to_string());
    }
    say(&format!(
        "entry {} ({} piece records) and all before it, signed {} with the key {}",
        point.number,
        point.pieces,
        point.at(),
        point.key
    ))
}

/// `jidoka store …`
pub fn store(command: &cli::Store) -> Result<(), Failure> {
    match command {
        cli::Store::Rebuild(args) => rebuild(&args.data),
        cli::Store::Backup(args) => {
            let copied = with_bar(|progress| copy::backup(&args.data, &args.to, progress))?;
            say(&format!("{}; in the place of a data folder it is a station's again", told(&copied, &args.to)))
        }
        cli::Store::Export(args) => export(args),
        cli::Store::Import(args) => import(args),
    }
}

fn rebuild(data: &Path) -> Result<(), Failure> {
    must_have_a_ledger(data)?;
    let (store, _) = open(data)?;
    let bar = spinner("building the index");
    let entries = store.rebuild_view().map_err(at("the index is not built"))?;
    bar.finish_and_clear();
    say(&format!("the index of {} is built anew from {entries} entries", data.display()))
}

fn export(args: &cli::StoreTo) -> Result<(), Failure> {
    must_have_a_ledger(&args.data)?;
    // Held until the copy is done, so that nothing comes after it.
    let (store, _) = open(&args.data)?;
    store.write_marks().map_err(at("where the backends stand is not written down"))?;
    store.sign(crate::clock::Clock::new().now().wall_micros).map_err(at("the ledger is not signed"))?;
    let copied = with_bar(|progress| copy::backup(&args.data, &args.to, progress))?;
    drop(store);
    say(&format!(
        "{}; `jidoka store import` makes a station of it. Do not start this one again: both would give the same numbers to different pieces. Settings, users and tokens lie beside the settings file and move with it",
        told(&copied, &args.to)
    ))
}

fn import(args: &cli::StoreFrom) -> Result<(), Failure> {
    let copied = with_bar(|progress| copy::import(&args.from, &args.data, progress))?;
    let bar = spinner("building the index");
    let (store, report) = open(&args.data)?;
    let pieces = store.pieces();
    drop(store);
    bar.finish_and_clear();
    // That the index was not there is what an import is.
    let faults = report.ledger.faults.len();
    say(&format!("{}, {pieces} piece records; every file is what was copied", told(&copied, &args.data)))?;
    if faults == 0 {
        Ok(())
    } else {
        Err(Failure { text: format!("the ledger was damaged before it was copied, in {faults} places: run `jidoka verify`"), code: 1 })
    }
}

fn open(data: &Path) -> Result<(Store, crate::store::OpenReport), Failure> {
    // No picture is given up here: how many may stay is the station's to say.
    let settings = StoreSettings { images: Retention::EVERYTHING, ..StoreSettings::default() };
    Store::open(data, settings).map_err(|error: StoreError| Failure { text: crate::pipeline::see::chain(&error), code: 1 })
}

fn told(copied: &Copied, to: &Path) -> String {
    let Copied { files, bytes, entries } = copied;
    format!("{entries} entries in {}: {files} files, {} MiB", to.display(), bytes.div_ceil(1 << 20))
}

/// A bar on a terminal, nothing elsewhere.
fn with_bar(copy: impl FnOnce(copy::Progress<'_>) -> Result<Copied, CopyError>) -> Result<Copied, Failure> {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    let copied = copy(&mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    copied.map_err(|error| {
        let code = if matches!(error, CopyError::NotEmpty(_) | CopyError::NoStation(_) | CopyError::Unfinished(_)) { 64 } else { 1 };
        Failure { text: crate::pipeline::see::chain(&error), code }
    })
}

fn spinner(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
