//! The part of a GS1 EPCIS 2.0 document that this appliance writes: fields, their names, and nothing of where they come from.
//!
//! Invariant: what is not known is left out, never written as null or as an empty list that means something.

use serde::Serialize;
use station::units::Digest;

/// The JSON-LD context of EPCIS 2.0.
pub const EPCIS_CONTEXT: &str = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld";

/// What the prefix `jidoka:` stands for in our extension terms. Private: not registered with IANA.
pub const NAMESPACE: &str = "urn:jidoka:epcis:1:";

/// An `ObjectEvent`, reduced to what an inspection says, or a `TransformationEvent` that says what the piece was made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// `ObjectEvent` or `TransformationEvent`.
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub epc_list: Vec<String>,
    /// The lot, if that is all that is known of the piece.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantity_list: Vec<Quantity>,
    /// The supplier lots that went into it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_quantity_list: Vec<Quantity>,
    /// The piece that came of them, if it has a name of its own.
    #[serde(rename = "outputEPCList", skip_serializing_if = "Vec::is_empty")]
    pub output_epc_list: Vec<String>,
    /// Its lot, if that is all that is known of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output_quantity_list: Vec<Quantity>,
    /// `OBSERVE`; empty, and left out, of a transformation.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub action: &'static str,
    /// `inspecting`; of a decision about a set `holding` or `other`; empty, and left out, of a transformation.
    #[serde(skip_serializing_if = "str::is_empty")]
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
    /// What each input of a transformation is.
    #[serde(rename = "jidoka:madeOf", skip_serializing_if = "Vec::is_empty")]
    pub made_of: Vec<Input>,
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

/// A supplier lot in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// What it is.
    #[serde(rename = "jidoka:material")]
    pub material: String,
    /// Who made it.
    #[serde(rename = "jidoka:supplier")]
    pub supplier: String,
    /// Their number of the lot.
    #[serde(rename = "jidoka:lot")]
    pub lot: String,
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
