//! What an EPCIS 2.0 event must look like, as tables: fields, their forms, and what is required.
//!
//! Source: GS1 EPCIS 2.0 §7 and CBV 2.0 §7. Invariant: nothing is accepted here that the official JSON schema, with formats
//! asserted, refuses; a test compares the two on the official examples and on broken copies of them.

/// The form of one value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// Any text.
    Text,
    /// An absolute URI.
    Uri,
    /// One URI or a list of them.
    Uris,
    /// RFC 3339 with a zone.
    Time,
    /// `+hh:mm`, at most 14:00.
    Offset,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// Hexadecimal digits.
    Hex,
    /// Two or three capitals or digits (UN/CEFACT).
    Uom,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, or a URI outside GS1's own vocabularies.
    Vocabulary(&'static [&'static str]),
    /// A list of at least so many.
    List(&'static Form, usize),
    /// A list without repetition.
    Set(&'static Form, usize),
    /// An object.
    Of(&'static Shape),
    /// An object whose every field is an extension.
    Extensions,
    /// A JSON-LD context.
    Context,
}

/// The form of an object.
#[derive(Debug)]
pub(super) struct Shape {
    /// Known fields.
    pub fields: &'static [(&'static str, Form)],
    /// Those that must be there.
    pub required: &'static [&'static str],
    /// What other fields may be there.
    pub others: Others,
}

/// Fields that a shape does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// None.
    Refused,
    /// Extensions: their names are URIs.
    Extensions,
    /// Any.
    Any,
}

pub(super) const BIZ_STEPS: &[&str] = &[
    "accepting",
    "arriving",
    "assembling",
    "collecting",
    "commissioning",
    "consigning",
    "creating_class_instance",
    "cycle_counting",
    "decommissioning",
    "departing",
    "destroying",
    "disassembling",
    "dispensing",
    "encoding",
    "entering_exiting",
    "holding",
    "inspecting",
    "installing",
    "killing",
    "loading",
    "other",
    "packing",
    "picking",
    "receiving",
    "removing",
    "repackaging",
    "repairing",
    "replacing",
    "reserving",
    "retail_selling",
    "sampling",
    "sensor_reporting",
    "shipping",
    "staging_outbound",
    "stock_taking",
    "stocking",
    "storing",
    "transporting",
    "unloading",
    "unpacking",
    "void_shipping",
];

pub(super) const DISPOSITIONS: &[&str] = &[
    "active",
    "available",
    "completeness_inferred",
    "completeness_verified",
    "conformant",
    "container_closed",
    "container_open",
    "damaged",
    "destroyed",
    "dispensed",
    "disposed",
    "encoded",
    "expired",
    "in_progress",
    "in_transit",
    "inactive",
    "mismatch_class",
    "mismatch_instance",
    "mismatch_quantity",
    "needs_replacement",
    "no_pedigree_match",
    "non_conformant",
    "non_sellable_other",
    "partially_dispensed",
    "recalled",
    "reserved",
    "retail_sold",
    "returned",
    "sellable_accessible",
    "sellable_not_accessible",
    "stolen",
    "unavailable",
    "unknown",
];

const TRANSACTION_TYPES: &[&str] =
    &["bol", "cert", "desadv", "inv", "pedigree", "po", "poc", "prodorder", "recadv", "rma", "testprd", "testres", "upevt"];

const MEASUREMENT_TYPES: &[&str] = &[
    "AbsoluteHumidity",
    "AbsorbedDose",
    "AbsorbedDoseRate",
    "Acceleration",
    "Altitude",
    "AmountOfSubstance",
    "AmountOfSubstancePerUnitVolume",
    "Angle",
    "AngularAcceleration",
    "AngularMomentum",
    "AngularVelocity",
    "Area",
    "Capacitance",
    "Conductance",
    "Conductivity",
    "Count",
    "Density",
    "Dimensionless",
    "DoseEquivalent",
    "DoseEquivalentRate",
    "DynamicViscosity",
    "ElectricCharge",
    "ElectricCurrent",
    "ElectricCurrentDensity",
    "ElectricFieldStrength",
    "Energy",
    "Exposure",
    "Force",
    "Frequency",
    "Illuminance",
    "Inductance",
    "Irradiance",
    "KinematicViscosity",
    "Length",
    "LinearMomentum",
    "Luminance",
    "LuminousFlux",
    "LuminousIntensity",
    "MagneticFlux",
    "MagneticFluxDensity",
    "MagneticVectorPotential",
    "Mass",
    "MassConcentration",
    "MassFlowRate",
    "MassPerAreaTime",
    "MemoryCapacity",
    "MolalityOfSolute",
    "MolarEnergy",
    "MolarMass",
    "MolarVolume",
    "Power",
    "Pressure",
    "RadiantFlux",
    "RadiantIntensity",
    "Radioactivity",
    "RelativeHumidity",
    "Resistance",
    "Resistivity",
    "SolidAngle",
    "SpecificVolume",
    "Speed",
    "SurfaceDensity",
    "SurfaceTension",
    "Temperature",
    "Time",
    "Torque",
    "Voltage",
    "Volume",
    "VolumeFlowRate",
    "VolumeFraction",
    "VolumetricFlux",
    "Wavenumber",
];

const COMPONENTS: &[&str] = &[
    "altitude",
    "axial_distance",
    "azimuth",
    "easting",
    "elevation_angle",
    "height",
    "latitude",
    "longitude",
    "northing",
    "polar_angle",
    "spherical_radius",
    "x",
    "y",
    "z",
];

const DISPOSITION: Form = Form::Vocabulary(DISPOSITIONS);
const URI: Form = Form::Uri;
const TIME: Form = Form::Time;
const NUMBER: Form = Form::Number;

const PLACE: Shape = Shape { fields: &[("id", URI)], required: &["id"], others: Others::Any };
const QUANTITY: Shape =
    Shape { fields: &[("epcClass", URI), ("quantity", NUMBER), ("uom", Form::Uom)], required: &["epcClass"], others: Others::Refused };
const TRANSACTION: Shape = Shape {
    fields: &[("type", Form::Vocabulary(TRANSACTION_TYPES)), ("bizTransaction", URI)],
    required: &["bizTransaction"],
    others: Others::Refused,
};
const PARTY: Form = Form::Vocabulary(&["owning_party", "possessing_party", "location"]);
const SOURCE: Shape = Shape { fields: &[("type", PARTY), ("source", URI)], required: &["type", "source"], others: Others::Refused };
const DESTINATION: Shape =
    Shape { fields: &[("type", PARTY), ("destination", URI)], required: &["type", "destination"], others: Others::Refused };
const PERSISTENT: Shape =
    Shape { fields: &[("set", Form::Set(&DISPOSITION, 1)), ("unset", Form::Set(&DISPOSITION, 1))], required: &[], others: Others::Refused };
const ERROR_DECLARATION: Shape = Shape {
    fields: &[
        ("declarationTime", TIME),
        ("reason", Form::Vocabulary(&["did_not_occur", "incorrect_data"])),
        ("correctiveEventIDs", Form::List(&URI, 0)),
    ],
    required: &["declarationTime"],
    others: Others::Extensions,
};
const SENSOR_METADATA: Shape = Shape {
    fields: &[
        ("time", TIME),
        ("startTime", TIME),
        ("endTime", TIME),
        ("deviceID", URI),
        ("deviceMetadata", URI),
        ("rawData", URI),
        ("dataProcessingMethod", URI),
        ("bizRules", URI),
    ],
    required: &[],
    others: Others::Extensions,
};
const SENSOR_REPORT: Shape = Shape {
    fields: &[
        ("type", Form::Vocabulary(MEASUREMENT_TYPES)),
        ("exception", Form::Vocabulary(&["ALARM_CONDITION", "ERROR_CONDITION"])),
        ("deviceID", URI),
        ("deviceMetadata", URI),
        ("rawData", URI),
        ("dataProcessingMethod", URI),
        ("bizRules", URI),
        ("time", TIME),
        ("microorganism", URI),
        ("chemicalSubstance", URI),
        ("coordinateReferenceSystem", URI),
        ("value", NUMBER),
        ("component", Form::Vocabulary(COMPONENTS)),
        ("stringValue", Form::Text),
        ("booleanValue", Form::Flag),
        ("hexBinaryValue", Form::Hex),
        ("uriValue", URI),
        ("minValue", NUMBER),
        ("maxValue", NUMBER),
        ("meanValue", NUMBER),
        ("sDev", NUMBER),
        ("percRank", NUMBER),
        ("percValue", NUMBER),
        ("uom", Form::Uom),
    ],
    required: &["type"],
    others: Others::Extensions,
};
const SENSOR_ELEMENT: Shape = Shape {
    fields: &[("sensorMetadata", Form::Of(&SENSOR_METADATA)), ("sensorReport", Form::List(&Form::Of(&SENSOR_REPORT), 1))],
    required: &["sensorReport"],
    others: Others::Extensions,
};

/// An event of any type: what the types add to each other is decided in `check`.
pub(super) const EVENT: Shape = Shape {
    fields: &[
        ("@context", Form::Context),
        ("type", Form::Text),
        ("eventTime", TIME),
        ("recordTime", TIME),
        ("eventTimeZoneOffset", Form::Offset),
        ("eventID", URI),
        ("certificationInfo", Form::Uris),
        ("errorDeclaration", Form::Of(&ERROR_DECLARATION)),
        ("action", Form::Choice(&["OBSERVE", "ADD", "DELETE"])),
        ("epcList", Form::Set(&URI, 0)),
        ("quantityList", Form::List(&Form::Of(&QUANTITY), 0)),
        ("parentID", URI),
        ("childEPCs", Form::List(&URI, 0)),
        ("childQuantityList", Form::List(&Form::Of(&QUANTITY), 0)),
        ("inputEPCList", Form::Set(&URI, 0)),
        ("inputQuantityList", Form::List(&Form::Of(&QUANTITY), 0)),
        ("outputEPCList", Form::Set(&URI, 0)),
        ("outputQuantityList", Form::List(&Form::Of(&QUANTITY), 0)),
        ("transformationID", URI),
        ("bizStep", Form::Vocabulary(BIZ_STEPS)),
        ("disposition", DISPOSITION),
        ("persistentDisposition", Form::Of(&PERSISTENT)),
        ("readPoint", Form::Of(&PLACE)),
        ("bizLocation", Form::Of(&PLACE)),
        ("bizTransactionList", Form::List(&Form::Of(&TRANSACTION), 0)),
        ("sourceList", Form::List(&Form::Of(&SOURCE), 0)),
        ("destinationList", Form::List(&Form::Of(&DESTINATION), 0)),
        ("sensorElementList", Form::List(&Form::Of(&SENSOR_ELEMENT), 0)),
        ("ilmd", Form::Extensions),
    ],
    required: &["type", "eventTime", "eventTimeZoneOffset"],
    others: Others::Extensions,
};

/// What the event types add: type, required fields, and fields of `EVENT` that belong only to other types.
pub(super) const TYPES: &[(&str, &[&str], &[&str])] = &[
    (
        "ObjectEvent",
        &["action"],
        &[
            "parentID",
            "childEPCs",
            "childQuantityList",
            "inputEPCList",
            "inputQuantityList",
            "outputEPCList",
            "outputQuantityList",
            "transformationID",
        ],
    ),
    (
        "AggregationEvent",
        &["action"],
        &[
            "epcList",
            "quantityList",
            "inputEPCList",
            "inputQuantityList",
            "outputEPCList",
            "outputQuantityList",
            "transformationID",
            "persistentDisposition",
            "ilmd",
        ],
    ),
    (
        "TransactionEvent",
        &["action", "bizTransactionList"],
        &[
            "childEPCs",
            "childQuantityList",
            "inputEPCList",
            "inputQuantityList",
            "outputEPCList",
            "outputQuantityList",
            "transformationID",
            "persistentDisposition",
            "ilmd",
        ],
    ),
    ("TransformationEvent", &[], &["action", "epcList", "quantityList", "parentID", "childEPCs", "childQuantityList"]),
    (
        "AssociationEvent",
        &["action", "parentID"],
        &[
            "epcList",
            "quantityList",
            "inputEPCList",
            "inputQuantityList",
            "outputEPCList",
            "outputQuantityList",
            "transformationID",
            "persistentDisposition",
            "ilmd",
        ],
    ),
];
