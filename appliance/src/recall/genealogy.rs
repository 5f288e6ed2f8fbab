//! Where a piece comes from and what else came from there: up to its supplier lots, order and lot, and down again from those.
//!
//! Invariant: what the record does not say is not guessed; a station knows no further down than its own records.

use crate::store::rows::origin::Use;
use crate::store::{Store, StoreError};
use crate::upload::epcis::order_of;
use serde_json::{Value, json};
use station::intake::SupplierLot;
use station::record::PieceRecord;

/// Other records of a serial that a card names: the latest ones.
const OTHERS_MAX: usize = 20;

/// A value as it stands in an address (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The question that finds every piece made of this lot.
fn question(lot: &SupplierLot) -> String {
    let SupplierLot { material, supplier, lot } = lot;
    format!("supplier_lot={}&supplier={}&material={}", escaped(lot), escaped(supplier), escaped(material))
}

/// Of one piece: `up` is what it came from, `down` the questions (for `/records`) that find what else came from there, and the other
/// records of its serial.
///
/// # Errors
/// A view that is missing or cannot be read.
pub fn of(store: &Store, piece: &PieceRecord) -> Result<Value, StoreError> {
    let arrival = &piece.arrival;
    let serial = arrival.serial.as_deref();
    let mut others = serial.map(|serial| store.records_with_serial(serial)).transpose()?.unwrap_or_default();
    others.retain(|result_id| *result_id != piece.result_id);
    let others = others.split_off(others.len().saturating_sub(OTHERS_MAX));
    let lot = (arrival.lot > 0).then_some(arrival.lot);
    let questions = piece.made_of.iter().map(question).chain(lot.map(|lot| format!("lot={lot}")));
    Ok(json!({
        "up": {"supplier_lots": piece.made_of, "order": order_of(piece), "lot": lot},
        "down": {"same_serial": others, "questions": questions.collect::<Vec<_>>()},
    }))
}

/// Every supplier lot that was ever in use, the latest first, each with the records that were made of it.
///
/// # Errors
/// A view that is missing.
pub fn supplier_lots(store: &Store) -> Result<Value, StoreError> {
    let told = |used: &Use| {
        let runs: Vec<Value> = used.runs.iter().map(|(first, last)| json!({"first": first, "last": last})).collect();
        let pieces: u64 = used.runs.iter().map(|(first, last)| (last + 1).saturating_sub(*first)).sum();
        let SupplierLot { material, supplier, lot } = &used.lot;
        json!({
            "material": material, "supplier": supplier, "lot": lot, "results": runs, "records": pieces, "question": question(&used.lot),
        })
    };
    Ok(json!({"supplier_lots": store.supplier_lots()?.iter().map(told).collect::<Vec<_>>()}))
}
