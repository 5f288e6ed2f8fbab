//! Units as GS1 writes them: the unit of a tag → measurement type (GS1 Web Vocabulary) and UN/CEFACT Rec. 20 code.
//!
//! Invariant: a unit that is not in the table is passed on as it was written, never guessed.

/// Unit as configured, GS1 measurement type, UN/CEFACT Recommendation 20 common code.
const UNITS: &[(&str, &str, &str)] = &[
    ("Cel", "Temperature", "CEL"),
    ("°C", "Temperature", "CEL"),
    ("degC", "Temperature", "CEL"),
    ("K", "Temperature", "KEL"),
    ("degF", "Temperature", "FAH"),
    ("um", "Length", "4H"),
    ("µm", "Length", "4H"),
    ("mm", "Length", "MMT"),
    ("cm", "Length", "CMT"),
    ("m", "Length", "MTR"),
    ("mN", "Force", "C20"),
    ("N", "Force", "NEW"),
    ("kN", "Force", "B47"),
    ("N.m", "Torque", "NU"),
    ("Nm", "Torque", "NU"),
    ("Pa", "Pressure", "PAL"),
    ("kPa", "Pressure", "KPA"),
    ("MPa", "Pressure", "MPA"),
    ("mbar", "Pressure", "MBR"),
    ("bar", "Pressure", "BAR"),
    ("mg", "Mass", "MGM"),
    ("g", "Mass", "GRM"),
    ("kg", "Mass", "KGM"),
    ("us", "Time", "B98"),
    ("ms", "Time", "C26"),
    ("s", "Time", "SEC"),
    ("min", "Time", "MIN"),
    ("h", "Time", "HUR"),
    ("mV", "Voltage", "2Z"),
    ("V", "Voltage", "VLT"),
    ("mA", "ElectricCurrent", "4K"),
    ("A", "ElectricCurrent", "AMP"),
    ("W", "Power", "WTT"),
    ("kW", "Power", "KWT"),
    ("Hz", "Frequency", "HTZ"),
    ("kHz", "Frequency", "KHZ"),
    ("deg", "Angle", "DD"),
    ("rad", "Angle", "C81"),
    ("mm/s", "Speed", "C16"),
    ("m/s", "Speed", "MTS"),
    ("m/min", "Speed", "2X"),
    ("lx", "Illuminance", "LUX"),
    ("%", "Dimensionless", "P1"),
];

/// How GS1 names a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Measurement type; a term of ours if the unit is unknown.
    pub kind: &'static str,
    /// UN/CEFACT code; `None` if the unit is unknown or there is none.
    pub uom: Option<&'static str>,
}

/// What `unit` measures. Unknown units are `jidoka:reading` without a code.
#[must_use]
pub fn measure(unit: &str) -> Measure {
    if matches!(unit, "" | "1") {
        return Measure { kind: "Dimensionless", uom: None };
    }
    let known = UNITS.iter().find(|(name, _, _)| *name == unit);
    known.map_or(Measure { kind: "jidoka:reading", uom: None }, |(_, kind, uom)| Measure { kind, uom: Some(uom) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_units_have_codes_and_unknown_ones_are_not_guessed() {
        assert_eq!(measure("um"), Measure { kind: "Length", uom: Some("4H") });
        assert_eq!(measure("Cel"), Measure { kind: "Temperature", uom: Some("CEL") });
        assert_eq!(measure("N"), Measure { kind: "Force", uom: Some("NEW") });
        assert_eq!(measure("furlong"), Measure { kind: "jidoka:reading", uom: None });
        assert!(UNITS.iter().all(|(_, _, code)| (2..=3).contains(&code.len())));
    }
}
