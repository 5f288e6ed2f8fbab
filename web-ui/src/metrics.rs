//! The same numbers for a monitoring system (Prometheus text exposition format 0.0.4).

use crate::health::{Health, PartState, PicturesView};
use crate::page::Shared;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use station::policy::StopReason;
use station::snapshot::{Phase, Snapshot};
use std::fmt::Display;
use std::sync::Arc;

const PHASES: [(Phase, &str); 5] = [
    (Phase::Starting, "starting"),
    (Phase::Running, "running"),
    (Phase::Stopped, "stopped"),
    (Phase::Acknowledged, "acknowledged"),
    (Phase::Releasing, "releasing"),
];

/// `GET /metrics`
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let snapshot = Arc::clone(&shared.sources.snapshots.borrow());
    let health = Arc::clone(&shared.sources.health.borrow());
    let mut page = Exposition::default();
    station(&mut page, &snapshot);
    appliance(&mut page, &health);
    page.gauge("jidoka_snapshot_age_seconds", "Time since the station last showed something new.", |one| {
        one.line(&[], shared.live.borrow().age().as_secs_f64());
    });
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.text).into_response()
}

fn station(page: &mut Exposition, snapshot: &Snapshot) {
    let counters = snapshot.counters;
    page.gauge("jidoka_run_permit", "1 while the line may run.", |one| one.line(&[], u8::from(snapshot.run_permit)));
    page.gauge("jidoka_phase", "1 for the phase the station is in.", |one| {
        for (phase, name) in PHASES {
            one.line(&[("phase", name)], u8::from(snapshot.phase == phase));
        }
    });
    page.gauge("jidoka_stop_reason", "1 for every reason for which the line is stopped.", |one| {
        for reason in StopReason::ALL {
            let here = snapshot.stop.as_ref().is_some_and(|stop| stop.reasons.contains(reason));
            one.line(&[("reason", reason.name())], u8::from(here));
        }
    });
    let line_stop = &snapshot.line_stop;
    page.gauge("jidoka_line_stop_armed", "1 if stops are commanded, 0 if they are only counted.", |one| {
        one.line(&[], u8::from(line_stop.armed));
    });
    page.counter("jidoka_stops_withheld_total", "Stops that were due and not commanded since the counters were reset.", |one| {
        one.line(&[], line_stop.withheld);
    });
    page.counter("jidoka_pieces_total", "Pieces by verdict since the counters were reset.", |one| {
        for (verdict, count) in [("pass", counters.pass), ("reject", counters.reject), ("hold", counters.hold)] {
            one.line(&[("verdict", verdict)], count);
        }
    });
    page.counter("jidoka_pieces_missed_total", "Pieces nobody inspected.", |one| one.line(&[], counters.missed));
    page.counter("jidoka_rejects_total", "Pieces sent to the reject gate, by what was seen there.", |one| {
        one.line(&[("state", "commanded")], counters.reject_commanded);
        one.line(&[("state", "confirmed")], counters.reject_confirmed);
        one.line(&[("state", "unconfirmed")], counters.reject_unconfirmed);
    });
    let decisions = &snapshot.decisions;
    page.counter("jidoka_decisions_total", "Decisions of people about pieces that had their verdict.", |one| {
        one.line(&[], decisions.last);
    });
    page.counter("jidoka_escapes_total", "Complaints about pieces that had left.", |one| one.line(&[], decisions.escapes));
    page.gauge("jidoka_decisions_open", "Sets of pieces in quarantine, and recalls in force.", |one| {
        one.line(&[("what", "hold")], decisions.holds.len());
        one.line(&[("what", "recall")], decisions.recalls.len());
    });
    page.gauge("jidoka_ledger_backlog_entries", "Ledger entries that are not yet durable.", |one| {
        one.line(&[], snapshot.backlog_entries);
    });
    page.counter("jidoka_ledger_entries_total", "Ledger entries that are durable.", |one| one.line(&[], snapshot.kept));
    page.gauge("jidoka_reading", "Latest good reading of a tag, in its own unit.", |one| {
        for reading in &snapshot.readings {
            if reading.quality == station::reading::Quality::Good && reading.text.is_none() {
                one.line(&[("tag", &reading.tag), ("unit", &reading.unit)], reading.value);
            }
        }
    });
}

fn appliance(page: &mut Exposition, health: &Health) {
    page.gauge("jidoka_info", "Always 1; what runs here.", |one| {
        let simulated = if health.simulated { "true" } else { "false" };
        one.line(&[("version", &health.version), ("simulated", simulated)], 1);
    });
    page.gauge("jidoka_uptime_seconds", "Since the program started.", |one| one.line(&[], health.uptime_secs));
    page.gauge("jidoka_resident_mebibytes", "Memory in use.", |one| one.line(&[], health.rss_mib));
    page.gauge("jidoka_part_state", "1 for the state a part is in.", |one| {
        for (name, part) in [("camera", &health.camera), ("model", &health.model), ("disk", &health.disk)] {
            for state in PartState::ALL {
                one.line(&[("part", name), ("state", state.name())], u8::from(part.state == state));
            }
        }
    });
    page.gauge("jidoka_latency_microseconds", "Trigger to verdict over the last pieces.", |one| {
        let latency = health.latency;
        for (name, value) in
            [("p50", latency.p50_micros), ("p99", latency.p99_micros), ("max", latency.max_micros), ("budget", latency.budget_micros)]
        {
            one.line(&[("of", name)], value);
        }
    });
    pictures(page, &health.pictures);
    page.gauge("jidoka_upload_parcels", "Parcels by backend and state.", |one| {
        for upload in &health.uploads {
            for (state, count) in
                [("kept", upload.kept), ("delivered", upload.delivered), ("waiting", upload.waiting), ("quarantined", upload.quarantined)]
            {
                one.line(&[("backend", &upload.backend), ("state", state)], count);
            }
        }
    });
}

fn pictures(page: &mut Exposition, pictures: &PicturesView) {
    page.gauge("jidoka_pictures", "Pictures that are kept, by class.", |one| {
        pictures.classes.iter().for_each(|of| one.line(&[("class", of.class)], of.count));
    });
    page.gauge("jidoka_pictures_bytes", "Bytes of the pictures that are kept, by class.", |one| {
        pictures.classes.iter().for_each(|of| one.line(&[("class", of.class)], of.bytes));
    });
    page.gauge("jidoka_pictures_bytes_max", "Bytes that all pictures may have.", |one| one.line(&[], pictures.bytes_max));
    page.gauge("jidoka_pictures_held", "Pictures that a hold, a recall or a complaint keeps.", |one| one.line(&[], pictures.held_count));
    page.gauge("jidoka_pictures_held_bytes", "Bytes of the pictures that a hold, a recall or a complaint keeps.", |one| {
        one.line(&[], pictures.held_bytes);
    });
    page.counter("jidoka_pictures_removed_total", "Pictures removed by retention since the register of pictures began.", |one| {
        pictures.removed.iter().for_each(|(reason, count)| one.line(&[("reason", reason)], count));
    });
    page.counter("jidoka_pictures_lost_total", "Pictures that could not be kept since the start.", |one| one.line(&[], pictures.lost));
}

#[derive(Default)]
struct Exposition {
    text: String,
}

impl Exposition {
    fn gauge(&mut self, name: &'static str, help: &str, lines: impl FnOnce(&mut Family<'_>)) {
        self.family(name, help, "gauge", lines);
    }

    fn counter(&mut self, name: &'static str, help: &str, lines: impl FnOnce(&mut Family<'_>)) {
        self.family(name, help, "counter", lines);
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &str, lines: impl FnOnce(&mut Family<'_>)) {
        self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        lines(&mut Family { text: &mut self.text, name });
    }
}

struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    fn line(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        for (position, (name, text)) in labels.iter().enumerate() {
            let open = if position == 0 { '{' } else { ',' };
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            self.text.push_str(&format!("{open}{name}=\"{text}\""));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        self.text.push_str(&format!("{close} {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Exposition::default();
        page.gauge("jidoka_x", "An x.", |one| {
            one.line(&[("tag", "a\"b\\c\nd"), ("unit", "µm")], 1.5);
            one.line(&[], 2);
        });
        let expected = "# HELP jidoka_x An x.\n# TYPE jidoka_x gauge\njidoka_x{tag=\"a\\\"b\\\\c\\nd\",unit=\"µm\"} 1.5\njidoka_x 2\n";
        assert_eq!(page.text, expected);
    }
}
