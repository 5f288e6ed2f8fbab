//! Settings of a line that is killed, or whose camera is ill, and must go on all the same.

/// Keys of the written settings that would stop a line for what is done to it; everything else stays as shipped.
/// Pieces that were in front of a killed program or an ill camera are holds, and holds count as rejects.
pub const LENIENT: &[(&str, &str)] = &[
    ("consecutive_rejects", "1000"),
    ("reject_rate_window", "1000"),
    ("reject_rate_max", "999"),
    ("camera_misses", "1000"),
    ("deadline_window", "1000"),
    ("deadline_misses_max", "999"),
    ("unconfirmed_rejects", "1000"),
    // By chance a chart may signal in a run as long as this one, and nobody is here to release the line.
    ("stop_rules", "{}"),
    // A crowded machine is not a broken link.
    ("request_timeout_millis", "450"),
    ("plc_heartbeat_timeout_millis", "10000"),
];

/// Replaces the value of every line `key = …` of a settings file.
///
/// # Panics
/// If the file has no such key.
#[must_use]
pub fn set(text: &str, key: &str, value: &str) -> String {
    let start = format!("{key} = ");
    assert!(text.lines().any(|line| line.starts_with(&start)), "the settings have no {key}");
    text.lines().map(|line| if line.starts_with(&start) { format!("{start}{value}\n") } else { format!("{line}\n") }).collect()
}
