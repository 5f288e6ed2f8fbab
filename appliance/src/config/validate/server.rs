//! `[modbus_server]`: who may connect, and that nobody from outside does so by default.

use super::plc::{overlap, serial};
use crate::config::raw::Section;
use crate::config::{ServerPort, ServerSettings};
use plc_bridge::jmap::{CONTROL_LEN, STATUS_LEN};
use plc_bridge::server::Network;
use std::net::SocketAddr;

/// Reads `[modbus_server]`; `shakes_hands` is false if it is a mirror.
pub(super) fn settings(section: &Section<'_>, shakes_hands: bool) -> Option<ServerSettings> {
    let listen = port(section);
    // 0 is a broadcast and 248 to 255 are reserved (Modbus over Serial Line V1.02, 2.2).
    let unit_id = section.whole_or("unit_id", 1..=247_u8, 1);
    let control_base = section.whole_or("control_base", 0..=u16::MAX - CONTROL_LEN + 1, 0);
    let status_base = section.whole_or("status_base", 0..=u16::MAX - STATUS_LEN + 1, 1000);
    let clients_max = section.whole_or("clients_max", 1..=64_u16, 8);
    let form = "a list of addresses or networks, for example [\"192.168.7.20\", \"192.168.8.0/24\"]";
    let clients_allowed = section.texts("clients_allowed", form, |text| {
        text.parse::<Network>().map_err(|_| format!("`{}` is neither an address nor a network", text.escape_debug()))
    });
    let idle_timeout_millis = section.whole_or("idle_timeout_millis", 1000..=3_600_000_u64, 60_000);

    if let (Some(control), Some(status)) = (control_base, status_base) {
        let (control, status) = ((control, control + (CONTROL_LEN - 1)), (status, status + (STATUS_LEN - 1)));
        if overlap(control, status) {
            let what = format!("the status block {}…{} lies over the control block {}…{}", status.0, status.1, control.0, control.1);
            section.wrong("status_base", what, "move one of the blocks");
        }
    }
    match (&listen, &clients_allowed) {
        (Some(ServerPort::Tcp(listen)), Some(clients)) if !listen.ip().is_loopback() && clients.is_empty() => {
            let what = format!("{listen} can be reached from other machines, and Modbus has neither sign-in nor encryption");
            let may = if shakes_hands { "trigger pieces and read results" } else { "read results" };
            let mend = format!(
                "name the machines that may {may}, for example clients_allowed = [\"192.168.7.20\"], and keep them on a network of their own; \
                 or listen on 127.0.0.1"
            );
            section.wrong("clients_allowed", what, mend);
        }
        (Some(ServerPort::Serial { .. }), Some(clients)) if !clients.is_empty() => {
            section.wrong("clients_allowed", "a serial line has no addresses", "remove it");
        }
        _ => {}
    }
    Some(ServerSettings {
        listen: listen?,
        unit_id: unit_id?,
        control_base: control_base?,
        status_base: status_base?,
        clients_max: clients_max?,
        clients_allowed: clients_allowed?,
        idle_timeout_millis: idle_timeout_millis?,
    })
}

/// `listen`, or `serial` with `baud` and `parity`.
fn port(section: &Section<'_>) -> Option<ServerPort> {
    let form = "an address and a port, for example \"0.0.0.0:502\" or \"127.0.0.1:1502\"";
    let listen = section.optional_text("listen", form);
    let serial = serial(section);
    match (section.has("listen"), section.has("serial")) {
        (true, true) => {
            section.wrong("serial", "the server is one of TCP and RTU", "keep either listen or serial");
            None
        }
        (false, true) => serial.map(|line| ServerPort::Serial { device: line.device, baud: line.baud, parity: line.parity }),
        (true, false) => {
            let text = listen??;
            let listen = text.parse::<SocketAddr>().ok();
            if listen.is_none() {
                section.wrong("listen", format!("`{}` is not an address and a port", text.escape_debug()), format!("write {form}"));
            }
            listen.map(ServerPort::Tcp)
        }
        (false, false) => {
            section.misses("listen", format!("add `listen = …`, {form}, or `serial = …`, a device such as \"/dev/ttyS1\""));
            None
        }
    }
}
