//! What is done with a station's memory from outside: verify, sign.

use super::{Failure, say};
use crate::cli::{Data, Verify};
use crate::pipeline::at;
use crate::store::sign;
use crate::store::verify::{Signed, Trust, VerifyReport, verify_with};
use std::path::Path;

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
