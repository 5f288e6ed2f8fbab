//! One piece record as one GS1 EPCIS 2.0 event (CBV 2.0 vocabulary), and many as one document.
//!
//! ```text
//! pass   disposition conformant
//! reject disposition non_conformant, persistentDisposition set non_conformant
//! hold   disposition non_conformant, persistentDisposition set unavailable, jidoka:judged false
//! ```
//! CBV has no word for "nobody judged it". A hold is told by the pair that blocks the piece at any reader: one that knows only
//! `disposition` sees a piece that is not conformant; one that follows the piece further sees it unavailable until a person
//! unsets that; one that knows our terms sees that it was never judged; and the sensor list carries `ERROR_CONDITION`.
//!
//! A piece that is known to be made of supplier lots has a second event, a `TransformationEvent` from those lots to the piece. What
//! people decided later is in `decided`.
//!
//! Invariants: `conformant` is written only for a pass that an inspection, or a person who overruled it, stands behind; the same record gives the same event
//! with the same `eventID`; a stale or bad reading is named without its value.

mod event;

pub use event::{
    BizTransaction, Chart, Decided, Disposition, Document, EPCIS_CONTEXT, ErrorDeclaration, Event, Input, NAMESPACE, PersistentDisposition,
    Place, Quantity, SensorElement, SensorMetadata, SensorReport, Terms,
};

use crate::upload::context::{Context, MappingError, Standing, digest_of, event_id, transformation_id};
use crate::upload::measure::{Measure, measure};
use crate::upload::uri;
use station::inspection::{CameraView, ClassId, Inspection, MissReason, ModelRef};
use station::intake::SupplierLot;
use station::judge::defects;
use station::reading::{Quality, Reading};
use station::recipe::{Source, Spread};
use station::record::{Body, ChartPoint, Entry, PieceRecord};
use station::units::Digest;
use station::verdict::{Reason, Verdict};
use std::collections::BTreeMap;

/// What stays with a piece of this verdict until a person unsets it.
pub(crate) const fn lasting(verdict: Verdict) -> Option<Disposition> {
    match verdict {
        Verdict::Pass => None,
        Verdict::Reject => Some(Disposition::NonConformant),
        Verdict::Hold => Some(Disposition::Unavailable),
    }
}

/// What the disposition of a verdict is.
pub(crate) const fn disposition(verdict: Verdict) -> Disposition {
    if matches!(verdict, Verdict::Pass) { Disposition::Conformant } else { Disposition::NonConformant }
}

/// The event of a piece record.
pub fn event_of(entry: &Entry, context: &Context) -> Result<Event, MappingError> {
    match &entry.body {
        Body::Piece(piece) => event(entry, piece, context),
        _ => Err(MappingError::NotAPiece(entry.number.0)),
    }
}

/// One piece record as an EPCIS event.
pub fn event(entry: &Entry, piece: &PieceRecord, context: &Context) -> Result<Event, MappingError> {
    let digest = digest_of(entry)?;
    let (event_time, event_time_zone_offset) = context.time(entry.number.0, entry.at)?;
    let standing = Standing::of(piece);
    let (epc_list, quantity_list) = what(piece, context);
    let result = uri::of_station(&context.identity, "result", &[&piece.result_id.to_string()]);
    Ok(Event {
        kind: "ObjectEvent",
        event_id: event_id(&context.identity, digest),
        event_time,
        event_time_zone_offset,
        epc_list,
        quantity_list,
        action: "OBSERVE",
        biz_step: "inspecting",
        disposition: Some(disposition(standing.verdict)),
        persistent_disposition: lasting(standing.verdict).map(|kind| PersistentDisposition { set: vec![kind], unset: Vec::new() }),
        read_point: Place { id: uri::read_point(&context.identity) },
        biz_transaction_list: transactions(piece, result),
        sensor_element_list: sensors(entry, piece, context)?,
        terms: Some(terms(piece, context, standing, digest)),
        error_declaration: None,
        decision: None,
        input_quantity_list: Vec::new(),
        output_epc_list: Vec::new(),
        output_quantity_list: Vec::new(),
        made_of: Vec::new(),
    })
}

/// What a piece was made of, as an event of its own: CBV lets an inspection name no inputs. `None` where no supplier lot is known, and
/// of a challenge piece, which is no product of this line.
pub fn transformation_of(entry: &Entry, context: &Context) -> Result<Option<Event>, MappingError> {
    let Body::Piece(piece) = &entry.body else { return Err(MappingError::NotAPiece(entry.number.0)) };
    if piece.made_of.is_empty() || piece.arrival.golden {
        return Ok(None);
    }
    let (event_time, event_time_zone_offset) = context.time(entry.number.0, piece.arrived_at)?;
    let (output_epc_list, output_quantity_list) = what(piece, context);
    let input = |lot: &SupplierLot| Quantity { epc_class: uri::supplier_lot(lot), quantity: None };
    let words = |lot: &SupplierLot| {
        let SupplierLot { material, supplier, lot } = lot.clone();
        Input { material, supplier, lot }
    };
    Ok(Some(Event {
        kind: "TransformationEvent",
        event_id: transformation_id(&context.identity, digest_of(entry)?),
        event_time,
        event_time_zone_offset,
        epc_list: Vec::new(),
        quantity_list: Vec::new(),
        input_quantity_list: piece.made_of.iter().map(input).collect(),
        output_epc_list,
        output_quantity_list,
        action: "",
        biz_step: "",
        disposition: None,
        persistent_disposition: None,
        read_point: Place { id: uri::read_point(&context.identity) },
        biz_transaction_list: Vec::new(),
        sensor_element_list: Vec::new(),
        terms: None,
        made_of: piece.made_of.iter().map(words).collect(),
        error_declaration: None,
        decision: None,
    }))
}

/// The tag under which a PLC tells the order that a piece belongs to, as text.
pub const ORDER_TAG: &str = "order";

/// The order that a piece belongs to, if the PLC told it.
#[must_use]
pub fn order_of(piece: &PieceRecord) -> Option<&str> {
    let good = |reading: &&Reading| &*reading.tag == ORDER_TAG && reading.quality == Quality::Good;
    let text = piece.readings.iter().find(good).and_then(|reading| reading.text.as_deref());
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn transactions(piece: &PieceRecord, result: String) -> Vec<BizTransaction> {
    let order = order_of(piece).map(|order| BizTransaction { kind: "prodorder", biz_transaction: uri::order(order) });
    std::iter::once(BizTransaction { kind: "testres", biz_transaction: result }).chain(order).collect()
}

/// SGTIN if the serial is known and GS1 can write it; else LGTIN if only the lot is known; else a name of ours.
fn what(piece: &PieceRecord, context: &Context) -> (Vec<String>, Vec<Quantity>) {
    let base = &context.identity.sgtin_base;
    match &piece.arrival.serial {
        Some(serial) => (vec![uri::serial(&context.identity, &context.recipe.product, serial)], Vec::new()),
        None => match uri::lgtin(base, piece.arrival.lot) {
            Some(epc_class) => (Vec::new(), vec![Quantity { epc_class, quantity: Some(1) }]),
            None => (vec![uri::of_station(&context.identity, "piece", &[&piece.result_id.to_string()])], Vec::new()),
        },
    }
}

fn terms(piece: &PieceRecord, context: &Context, standing: Standing, record_digest: Digest) -> Terms {
    let grade = piece.judgement.grade;
    Terms {
        verdict: standing.verdict.name(),
        judged: standing.judged,
        reasons: piece.judgement.reasons.iter().map(|reason| context.reason(reason)).collect(),
        grade: (standing.judged && grade != 0).then(|| context.recipe.rubric.name(grade)),
        result_id: piece.result_id,
        record_digest,
        piece: piece.arrival.piece.0,
        serial: piece.arrival.serial.clone(),
        lot: (piece.arrival.lot != 0).then_some(piece.arrival.lot),
        product: context.recipe.product.clone(),
        recipe: context.recipe.name.clone(),
        user_data: piece.arrival.user_data.clone(),
        golden: piece.arrival.golden,
    }
}

fn sensors(entry: &Entry, piece: &PieceRecord, context: &Context) -> Result<Vec<SensorElement>, MappingError> {
    let number = entry.number.0;
    let seen_at = context.time(number, piece.arrived_at)?.0;
    let rules = uri::of_station(&context.identity, "rubric", &[&piece.rubric_version.to_string()]);
    let mut elements = Vec::new();
    if let Some(inspection) = &piece.inspection {
        elements.push(looked(inspection, context, seen_at.clone(), rules.clone()));
        // The first element is the camera with the worst defect; each other camera of the frame set has one of its own.
        for (index, view) in inspection.views.iter().enumerate().filter(|(_, view)| view.camera != inspection.camera) {
            elements.push(looked_too(inspection, (index, view), context, seen_at.clone(), rules.clone()));
        }
    }
    if !Standing::of(piece).judged {
        elements.push(not_looked(piece, context, seen_at, rules));
    }
    if !piece.readings.is_empty() {
        let plc = SensorMetadata { device_id: Some(uri::of_station(&context.identity, "plc", &[])), ..SensorMetadata::default() };
        let reports: Result<Vec<_>, _> = piece.readings.iter().map(|reading| reading_report(number, reading, context)).collect();
        elements.push(SensorElement { sensor_metadata: plc, sensor_report: reports? });
    }
    if !piece.points.is_empty() {
        let charts = SensorMetadata {
            time: Some(context.time(number, entry.at)?.0),
            device_id: Some(uri::of_station(&context.identity, "charts", &[])),
            biz_rules: Some(uri::of_station(&context.identity, "control-plan", &[&context.recipe.name])),
            ..SensorMetadata::default()
        };
        let reports = piece.points.iter().map(|point| point_report(point, context)).collect();
        elements.push(SensorElement { sensor_metadata: charts, sensor_report: reports });
    }
    Ok(elements)
}

/// The camera's element: how many defects, in all and by class. Where grades decide, a piece with defects may pass, and then they are no
/// reasons: they are counted in what was seen.
fn looked(inspection: &Inspection, context: &Context, time: String, rules: String) -> SensorElement {
    let mut by_class = BTreeMap::<ClassId, (u16, f32)>::new();
    for defect in defects(&context.recipe, inspection) {
        let (count, best) = by_class.entry(defect.class).or_default();
        (*count, *best) = (count.saturating_add(1), best.max(defect.score));
    }
    let counts: Vec<(String, u16, f32)> =
        by_class.into_iter().map(|(class, (count, score))| (context.class_name(class), count, score)).collect();
    let total: u32 = counts.iter().map(|(_, count, _)| u32::from(*count)).sum();
    let mut sensor_report = vec![SensorReport {
        kind: "Count",
        value: Some(f64::from(total)),
        characteristic: Some("defects".to_owned()),
        ..SensorReport::default()
    }];
    sensor_report.extend(counts.into_iter().map(|(class, count, score)| SensorReport {
        kind: "Count",
        value: Some(f64::from(count)),
        characteristic: Some(class),
        score: Some(score),
        ..SensorReport::default()
    }));
    let sensor_metadata = camera(&inspection.camera, inspection.image, &inspection.model, context, time, rules);
    SensorElement { sensor_metadata, sensor_report }
}

/// Another camera of the frame set: its picture, its model, and how many of the defects it saw.
fn looked_too(inspection: &Inspection, view: (usize, &CameraView), context: &Context, time: String, rules: String) -> SensorElement {
    let (index, view) = view;
    let own = defects(&context.recipe, inspection).filter(|finding| usize::from(finding.camera) == index).count();
    let report = SensorReport {
        kind: "Count",
        value: Some(f64::from(u32::try_from(own).unwrap_or(u32::MAX))),
        characteristic: Some("defects".to_owned()),
        ..SensorReport::default()
    };
    SensorElement { sensor_metadata: camera(&view.camera, view.image, &view.model, context, time, rules), sensor_report: vec![report] }
}

fn camera(name: &str, image: Digest, model: &ModelRef, context: &Context, time: String, rules: String) -> SensorMetadata {
    SensorMetadata {
        time: Some(time),
        device_id: Some(uri::of_station(&context.identity, "camera", &[name])),
        raw_data: Some(uri::image(image)),
        data_processing_method: Some(uri::ours("model", &[&model.package, "sha-256", &model.weights.to_string()])),
        biz_rules: Some(rules),
    }
}

/// Nobody judged it: the station says so where a reader expects the camera.
fn not_looked(piece: &PieceRecord, context: &Context, time: String, rules: String) -> SensorElement {
    let missed = piece.judgement.reasons.iter().find_map(|reason| match reason {
        Reason::Grade { name, .. } => Some(&**name),
        other => other.missed().map(MissReason::name),
    });
    let report = SensorReport {
        kind: "jidoka:inspection",
        exception: Some("ERROR_CONDITION"),
        string_value: Some(missed.unwrap_or("no inspection").to_owned()),
        ..SensorReport::default()
    };
    let sensor_metadata = SensorMetadata {
        time: Some(time),
        device_id: Some(uri::of_station(&context.identity, "station", &[])),
        biz_rules: Some(rules),
        ..SensorMetadata::default()
    };
    SensorElement { sensor_metadata, sensor_report: vec![report] }
}

fn reading_report(entry: u64, reading: &Reading, context: &Context) -> Result<SensorReport, MappingError> {
    let Measure { kind, uom } = measure(&reading.unit);
    let text = reading.text.as_deref();
    let good = reading.quality == Quality::Good && reading.value.is_finite();
    let quality = match reading.quality {
        Quality::Stale => Some("stale"),
        Quality::Good if good => None,
        Quality::Good | Quality::Bad => Some("bad"),
    };
    Ok(SensorReport {
        // A text measures nothing, whatever unit its tag was given.
        kind: if text.is_some() { "jidoka:text" } else { kind },
        exception: (!good).then_some("ERROR_CONDITION"),
        time: Some(context.time(entry, reading.sampled_at)?.0),
        value: (good && text.is_none()).then_some(reading.value),
        string_value: text.filter(|_| good).map(str::to_owned),
        uom: uom.filter(|_| text.is_none()),
        characteristic: Some(reading.tag.to_string()),
        unit: (uom.is_none() && text.is_none()).then(|| reading.unit.to_string()),
        quality,
        ..SensorReport::default()
    })
}

fn point_report(point: &ChartPoint, context: &Context) -> SensorReport {
    let characteristic = context.characteristic(point.chart);
    let unit = match characteristic.map(|known| &known.source) {
        Some(Source::Individuals { unit, .. } | Source::Averages { unit, .. }) => unit.as_ref(),
        Some(Source::RejectShare { .. } | Source::DefectsPerPiece { .. }) | None => "",
    };
    let Measure { kind, uom } = measure(unit);
    let (mean, deviation) = match characteristic.map(|known| &known.source) {
        Some(Source::Averages { spread: Spread::StandardDeviation, .. }) => (Some(point.value), point.range),
        Some(Source::Averages { .. }) => (Some(point.value), None),
        _ => (None, None),
    };
    SensorReport {
        kind,
        mean_value: mean.filter(|value| value.is_finite()),
        s_dev: deviation.filter(|value| value.is_finite()),
        exception: (!point.signals.is_empty()).then_some("ALARM_CONDITION"),
        value: point.value.is_finite().then_some(point.value),
        uom,
        characteristic: Some(characteristic.map_or_else(|| format!("chart {}", point.chart), |known| known.name.clone())),
        unit: (uom.is_none() && !unit.is_empty()).then(|| unit.to_owned()),
        chart: Some(Chart {
            id: point.chart,
            point: point.index,
            centre: point.centre.filter(|limit| limit.is_finite()),
            lcl: point.lcl.filter(|limit| limit.is_finite()),
            ucl: point.ucl.filter(|limit| limit.is_finite()),
            signals: point.signals.clone(),
        }),
        ..SensorReport::default()
    }
}
