//! `jidoka intake` and `jidoka quarantine`: what a person has a station do, or finds out of it.

use super::{Failure, say};
use crate::cli::{Intake, IntakeList, Quarantine, QuarantineList, QuarantineOf, QuarantineRelease};
use crate::outbox::{DECISIONS, name_of};
use crate::pipeline::at;
use crate::store::images::policy::Retention;
use crate::store::{Store, StoreError, StoreSettings};
use crate::upload::person::SignedIn;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is in quarantine, by backend and number.
type Refused = BTreeMap<String, BTreeMap<u64, String>>;

fn sign_in(station: &str, user: &str) -> Result<SignedIn, Failure> {
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        eprintln!("password of {user} at {station}, then Enter (it is shown; a file or a pipe keeps it to itself):");
    }
    let mut password = String::new();
    std::io::stdin().read_line(&mut password).map_err(at("the password on standard input"))?;
    Ok(SignedIn::at(station, user, password.trim_end_matches(['\r', '\n'])).map_err(at("you are not signed in"))?)
}

/// `jidoka intake`
pub(super) fn intake(command: &Intake) -> Result<(), Failure> {
    match command {
        Intake::InUse(args) => {
            let lot = json!({"material": args.material, "supplier": args.supplier, "lot": args.lot});
            let person = sign_in(&args.sign_in.station, &args.sign_in.user)?;
            let (status, _) = person.post("/supplier-lots", &lot).map_err(at("the lot was not taken in"))?;
            let what = format!("{} {} of {}", args.material, args.lot, args.supplier);
            if status == 200 {
                return say(&format!("{what} is in use already; nothing was changed"));
            }
            say(&format!("{what} is in use from the next piece on"))
        }
        Intake::UsedUp(args) => {
            let person = sign_in(&args.sign_in.station, &args.sign_in.user)?;
            let body = json!({"material": args.material});
            person.post("/supplier-lots/used-up", &body).map_err(at("nothing was changed"))?;
            say(&format!("no {} is in use from the next piece on", args.material))
        }
        Intake::List(args) => list_lots(args),
    }
}

fn list_lots(args: &IntakeList) -> Result<(), Failure> {
    let person = sign_in(&args.sign_in.station, &args.sign_in.user)?;
    let answer = person.get("/supplier-lots").map_err(at("the supplier lots are not known"))?;
    if args.json {
        return say(&answer.to_string());
    }
    let lots = answer["supplier_lots"].as_array().cloned().unwrap_or_default();
    if lots.is_empty() {
        return say("no piece was made of a known supplier lot yet");
    }
    let text = |lot: &Value, name: &str| lot[name].as_str().unwrap_or_default().to_owned();
    let line = |lot: &Value| {
        let ranges = lot["results"].as_array().into_iter().flatten().map(|range| format!("{}..{}", range["first"], range["last"]));
        let ranges: Vec<String> = ranges.collect();
        let (material, supplier, name) = (text(lot, "material"), text(lot, "supplier"), text(lot, "lot"));
        format!("{material} {name} of {supplier}: {} records ({})", lot["records"], ranges.join(", "))
    };
    say(&lots.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// `jidoka quarantine`
pub(super) fn quarantine(command: &Quarantine) -> Result<(), Failure> {
    match command {
        Quarantine::List(args) => list(args),
        Quarantine::Release(args) => release(args),
    }
}

fn list(args: &QuarantineList) -> Result<(), Failure> {
    let refused: Refused = match &args.of.user {
        Some(user) => {
            let answer = sign_in(&args.of.station, user)?.get("/quarantine").map_err(at("the quarantine is not known"))?;
            serde_json::from_value(answer).map_err(at("the station's answer"))?
        }
        None => open(&args.of)?.quarantines().map_err(at("the quarantine cannot be read"))?,
    };
    if args.json {
        return say(&serde_json::to_string(&refused).map_err(at("the quarantine"))?);
    }
    let lines = refused
        .iter()
        .flat_map(|(backend, parcels)| parcels.iter().map(move |(number, words)| format!("{backend}: {}: {words}", name_of(*number))));
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return say("nothing is in quarantine");
    }
    say(&lines.join("\n"))?;
    say("\nwhen what the backend says is mended, give them another try: jidoka quarantine release BACKEND")
}

fn release(args: &QuarantineRelease) -> Result<(), Failure> {
    let numbers: Vec<u64> =
        args.record.iter().copied().chain(args.decision.iter().map(|number| DECISIONS.saturating_add(*number))).collect();
    let released = match &args.of.user {
        Some(user) => {
            let path = format!("/backends/{}/quarantine/release{}", args.backend, parameters(args));
            let (_, answer) = sign_in(&args.of.station, user)?.post(&path, &json!({})).map_err(at("nothing was released"))?;
            answer["released"].as_u64().unwrap_or_default()
        }
        None => {
            let store = open(&args.of)?;
            let known = store.quarantines().map_err(at("the quarantine cannot be read"))?;
            let Some(refused) = known.get(&args.backend) else {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                let there_are = if names.is_empty() { "is none".to_owned() } else { format!("are: {}", names.join(", ")) };
                return Err(Failure { text: format!("this station knows no backend `{}`; there {there_are}", args.backend), code: 64 });
            };
            let all = || refused.keys().copied().collect();
            let numbers = if numbers.is_empty() { all() } else { numbers };
            let outbox = store.outbox(&args.backend).map_err(at("nothing was released"))?;
            outbox.release(&numbers).map_err(at("nothing was released"))?
        }
    };
    let when = if args.of.user.is_some() { "" } else { " when the station runs" };
    say(&format!("{released} of {} get another try{when}", args.backend))
}

fn parameters(args: &QuarantineRelease) -> String {
    let records = args.record.iter().map(|number| format!("record={number}"));
    let all: Vec<String> = records.chain(args.decision.iter().map(|number| format!("decision={number}"))).collect();
    if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
}

fn open(of: &QuarantineOf) -> Result<Store, Failure> {
    if !of.data.join("ledger").is_dir() {
        let text =
            format!("{} is no data folder of a station; give it with --data, or ask a running station with --user NAME", of.data.display());
        return Err(Failure { text, code: 64 });
    }
    let settings = StoreSettings { images: Retention::EVERYTHING, ..StoreSettings::default() };
    match Store::open(&of.data, settings) {
        Ok((store, _)) => Ok(store),
        Err(StoreError::InUse { pid, .. }) => {
            let text = format!("the station runs (process {pid}): ask it itself, with --user NAME and your password on standard input");
            Err(Failure { text, code: 1 })
        }
        Err(error) => Err(at(&format!("{} cannot be opened", of.data.display()))(error).into()),
    }
}
