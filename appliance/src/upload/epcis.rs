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
//! What people decided later is in `decided`.
//!
//! Invariants: `conformant` is written only for a pass that an inspection, or a person who overruled it, stands behind; the same record gives the same event
//! with the same `eventID`; a stale or bad reading is named without its value.

use crate::upload::context::{Context, MappingError, Standing, digest_of, event_id};
use crate::upload::measure::{Measure, measure};
use crate::upload::uri;
use serde::Serialize;
use station::inspection::{CameraView, Inspection, MissReason, ModelRef};
use station::judge::defects;
use station::reading::{Quality, Reading};
use station::recipe::{Source, Spread};
use station::record::{Body, ChartPoint, Entry, PieceRecord};
use station::units::Digest;
use station::verdict::{Reason, Verdict};

/// The JSON-LD context of EPCIS 2.0.
pub const EPCIS_CONTEXT: &str = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld";

/// What the prefix `jidoka:` stands for in our extension terms. Private: not registered with IANA.
pub const NAMESPACE: &str = "urn:jidoka:epcis:1:";

/// An `ObjectEvent`, reduced to what an inspection says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Always `ObjectEvent`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `urn:uuid:…`, derived from station and record digest.
    #[serde(rename = "eventID")]
    pub event_id: String,
    /// When the verdict was given, RFC 3339 with offset.
    pub event_time: String,
    /// Declares that the event of this name was wrong, and which ones are right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_declaration: Option<ErrorDeclaration>,
    /// The plant's offset, `+08:00`.
    pub event_time_zone_offset: String,
    /// The piece, if it has a name of its own; else empty.
    pub epc_list: Vec<String>,
    /// The lot, if that is all that is known of the piece.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantity_list: Vec<Quantity>,
    /// Always `OBSERVE`.
    pub action: &'static str,
    /// `inspecting`; of a decision about a set `holding` or `other`.
    pub biz_step: &'static str,
    /// How it stands with the piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// What stays with the piece until a person unsets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_disposition: Option<PersistentDisposition>,
    /// Where.
    pub read_point: Place,
    /// The inspection result this event tells of, and the order it belongs to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub biz_transaction_list: Vec<BizTransaction>,
    /// What was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensor_element_list: Vec<SensorElement>,
    /// Our own terms of a piece.
    #[serde(flatten)]
    pub terms: Option<Terms>,
    /// Our own terms of a decision.
    #[serde(rename = "jidoka:decision", skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decided>,
}

/// That an event was wrong (EPCIS 2.0 §7.4.1.3). The rest of the event that carries it is the wrong one, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDeclaration {
    /// When that was found.
    pub declaration_time: String,
    /// CBV error reason; here always `incorrect_data`.
    pub reason: &'static str,
    /// The events that are right.
    #[serde(rename = "correctiveEventIDs")]
    pub corrective_event_ids: Vec<String>,
}

/// The CBV dispositions in use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Inspected and good.
    Conformant,
    /// Not known to be good.
    NonConformant,
    /// Not to be used.
    Unavailable,
    /// In quarantine by a person's decision.
    NonSellableOther,
    /// It must come back.
    Recalled,
    /// Somebody complained of it.
    Unknown,
}

/// Dispositions that outlast the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PersistentDisposition {
    /// Those that begin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Disposition>,
    /// Those that end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<Disposition>,
}

/// Some of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quantity {
    /// The class, an LGTIN.
    pub epc_class: String,
    /// How many; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
}

/// A place by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// SGLN or a name of ours.
    pub id: String,
}

/// A business document the event belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BizTransaction {
    /// CBV business transaction type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    #[serde(rename = "bizTransaction")]
    pub biz_transaction: String,
}

/// What one device reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SensorElement {
    /// Who reported, when, and by which method.
    pub sensor_metadata: SensorMetadata,
    /// What it reported; never empty.
    pub sensor_report: Vec<SensorReport>,
}

/// Who reported, when, and by which method.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SensorMetadata {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The device.
    #[serde(rename = "deviceID", skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The image, by its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_data: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_processing_method: Option<String>,
    /// The rubric or the control plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biz_rules: Option<String>,
}

/// One measured or counted thing.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SensorReport {
    /// Measurement type of GS1, or a term of ours.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `ALARM_CONDITION` while an SPC signal is active, `ERROR_CONDITION` if the source is not to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<&'static str>,
    /// When it was sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The value in `uom`; absent if there is none to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Mean of a subgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_value: Option<f64>,
    /// Standard deviation within that subgroup, where the plan charts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s_dev: Option<f64>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// UN/CEFACT Rec. 20 code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uom: Option<&'static str>,
    /// The tag or characteristic.
    #[serde(rename = "jidoka:characteristic", skip_serializing_if = "Option::is_none")]
    pub characteristic: Option<String>,
    /// The unit as configured, if it has no code.
    #[serde(rename = "jidoka:unit", skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// `stale` or `bad`.
    #[serde(rename = "jidoka:quality", skip_serializing_if = "Option::is_none")]
    pub quality: Option<&'static str>,
    /// Best score of a defect class.
    #[serde(rename = "jidoka:score", skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// The control chart of a point.
    #[serde(rename = "jidoka:chart", skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
}

/// A point's place on its control chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// Number of the chart.
    #[serde(rename = "jidoka:chartId")]
    pub id: u16,
    /// Number of the point.
    #[serde(rename = "jidoka:point")]
    pub point: u64,
    /// Centre line.
    #[serde(rename = "jidoka:centre", skip_serializing_if = "Option::is_none")]
    pub centre: Option<f64>,
    /// Lower control limit.
    #[serde(rename = "jidoka:lcl", skip_serializing_if = "Option::is_none")]
    pub lcl: Option<f64>,
    /// Upper control limit.
    #[serde(rename = "jidoka:ucl", skip_serializing_if = "Option::is_none")]
    pub ucl: Option<f64>,
    /// Rules that signal.
    #[serde(rename = "jidoka:signals", skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
}

/// What EPCIS has no field for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Terms {
    /// `pass`, `reject` or `hold`.
    #[serde(rename = "jidoka:verdict")]
    pub verdict: &'static str,
    /// False: nobody looked.
    #[serde(rename = "jidoka:judged")]
    pub judged: bool,
    /// Why it did not pass.
    #[serde(rename = "jidoka:reasons", skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Grade by the rubric.
    #[serde(rename = "jidoka:grade", skip_serializing_if = "Option::is_none")]
    pub grade: Option<String>,
    /// Number of the record at its station.
    #[serde(rename = "jidoka:resultId")]
    pub result_id: u64,
    /// Digest of the ledger entry.
    #[serde(rename = "jidoka:recordDigest")]
    pub record_digest: Digest,
    /// The PLC's number of the piece.
    #[serde(rename = "jidoka:piece")]
    pub piece: u32,
    /// Serial as the PLC gave it.
    #[serde(rename = "jidoka:serial", skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Lot.
    #[serde(rename = "jidoka:lot", skip_serializing_if = "Option::is_none")]
    pub lot: Option<u32>,
    /// Product and recipe.
    #[serde(rename = "jidoka:product")]
    pub product: String,
    /// Recipe.
    #[serde(rename = "jidoka:recipe")]
    pub recipe: String,
    /// What the PLC attached to the piece, as 16-bit words.
    #[serde(rename = "jidoka:userData", skip_serializing_if = "Vec::is_empty")]
    pub user_data: Vec<u16>,
    /// A challenge piece, not product.
    #[serde(rename = "jidoka:golden", skip_serializing_if = "std::ops::Not::not")]
    pub golden: bool,
}

/// What a person decided, in our own terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Number of the decision at its station.
    #[serde(rename = "jidoka:decisionId")]
    pub decision_id: u64,
    /// `overrule`, `hold`, `release_hold`, `recall`, `end_recall` or `complaint`.
    #[serde(rename = "jidoka:what")]
    pub what: &'static str,
    /// Who.
    #[serde(rename = "jidoka:by")]
    pub by: String,
    /// Why, or what was complained of.
    #[serde(rename = "jidoka:reason")]
    pub reason: String,
    /// Name of the recall.
    #[serde(rename = "jidoka:name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How its pieces were found.
    #[serde(rename = "jidoka:criteria", skip_serializing_if = "Option::is_none")]
    pub criteria: Option<String>,
    /// The hold or recall that ends.
    #[serde(rename = "jidoka:ends", skip_serializing_if = "Option::is_none")]
    pub ends: Option<u64>,
    /// Digest of the ledger entry.
    #[serde(rename = "jidoka:recordDigest")]
    pub record_digest: Digest,
}

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
    })
}

/// The tag under which a PLC tells the order that a piece belongs to, as text.
pub const ORDER_TAG: &str = "order";

fn transactions(piece: &PieceRecord, result: String) -> Vec<BizTransaction> {
    let good = |reading: &&Reading| &*reading.tag == ORDER_TAG && reading.quality == Quality::Good;
    let text = piece.readings.iter().find(good).and_then(|reading| reading.text.as_deref());
    let order = text.map(str::trim).filter(|text| !text.is_empty());
    let order = order.map(|order| BizTransaction { kind: "prodorder", biz_transaction: uri::order(order) });
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
        elements.push(looked(inspection, piece, context, seen_at.clone(), rules.clone()));
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

/// The camera's element: how many defects, in all and by class.
fn looked(inspection: &Inspection, piece: &PieceRecord, context: &Context, time: String, rules: String) -> SensorElement {
    let counts: Vec<(String, u16, f32)> = piece
        .judgement
        .reasons
        .iter()
        .filter_map(|reason| match reason {
            Reason::Defects { class, count, score } => Some((context.class_name(*class), *count, *score)),
            Reason::Missed(_) | Reason::MissedBy { .. } | Reason::Recalled { .. } => None,
        })
        .collect();
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
    let missed = piece.judgement.reasons.iter().find_map(Reason::missed).map(MissReason::name);
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

/// Events on their way to a backend.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    #[serde(rename = "@context")]
    context: (&'static str, Namespaces),
    #[serde(rename = "type")]
    kind: &'static str,
    schema_version: &'static str,
    creation_date: String,
    epcis_body: DocumentBody<'a>,
}

#[derive(Debug, Serialize)]
struct Namespaces {
    jidoka: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentBody<'a> {
    event_list: &'a [Event],
}

impl<'a> Document<'a> {
    /// A document of `events`, made at `creation_date` (RFC 3339 with offset).
    #[must_use]
    pub fn new(events: &'a [Event], creation_date: String) -> Self {
        Self {
            context: (EPCIS_CONTEXT, Namespaces { jidoka: NAMESPACE }),
            kind: "EPCISDocument",
            schema_version: "2.0",
            creation_date,
            epcis_body: DocumentBody { event_list: events },
        }
    }
}
