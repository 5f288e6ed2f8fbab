//! Which PLC a person means: that of a settings file, or an address.

use super::super::Failure;
use crate::cli::PlcTarget;
use crate::clock::Clock;
use crate::config::Settings;
use crate::pipeline::modbus;
use plc_bridge::client::ClientSettings;
use plc_bridge::server::{Listen, ServerSettings};
use plc_bridge::sim::SimSettings;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where `jidoka plc sim` listens unless it is told otherwise.
const SIMULATED: &str = "127.0.0.1:1502";

/// A PLC to look at.
pub struct Target {
    /// The bridge's settings, for looking only: nothing runs with them.
    pub bridge: plc_bridge::Settings,
    /// What to say of it above a table.
    pub title: String,
}

/// Finds out which PLC is meant.
pub fn find(args: &PlcTarget) -> Result<Target, Failure> {
    let clock = Clock::new();
    if let Some(file) = &args.config {
        return of_file(&Settings::load(file)?, clock);
    }
    let text = args.plc.as_deref().unwrap_or(SIMULATED);
    let address = host_and_port(text)?;
    let mut client = ClientSettings::new(address);
    if let Some(unit) = args.unit {
        client.peer.unit = unit;
    }
    if args.plc.is_none() {
        client.tags = SimSettings::default().tag_specs();
    }
    let bridge = plc_bridge::Settings { plc: Some(client), ..plc_bridge::Settings::alone(clock.as_fn()) };
    Ok(Target { bridge, title: format!("{text}, as the map has it: control block at 0, status block at 1000") })
}

fn host_and_port(text: &str) -> Result<SocketAddr, Failure> {
    let refuse = || Failure { text: format!("--plc {text}: write HOST:PORT, for example 192.168.0.10:502"), code: 64 };
    let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
    let port = port.parse().map_err(|_| refuse())?;
    Ok(modbus::resolve(host.trim_matches(['[', ']']), port)?)
}

fn of_file(settings: &Settings, clock: Clock) -> Result<Target, Failure> {
    let mut bridge = modbus::bridge(settings, clock)?;
    let mut title = settings.plc.as_ref().map_or_else(String::new, |plc| plc.link.to_string());
    if bridge.plc.is_none()
        && let Some(server) = &bridge.server
    {
        // The station itself is the server: a person beside it looks as one more client.
        let client = own_server(server).ok_or_else(|| {
            let text = "the station is a slave on a serial line; whoever looks there would be a second master. Look from the PLC, or give \
                        [modbus_server] a `listen` while commissioning";
            Failure { text: text.to_owned(), code: 1 }
        })?;
        title = format!("this station's own server, {}", client.peer.way);
        bridge.plc = Some(client);
    }
    Ok(Target { bridge, title })
}

/// The station's own server, as a client on the same machine sees it.
fn own_server(server: &ServerSettings) -> Option<ClientSettings> {
    let Listen::Tcp(listen) = &server.listen else { return None };
    let here = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let mut client = ClientSettings::new(SocketAddr::new(here, listen.port()));
    client.peer.unit = server.unit;
    client.control_base = server.control_base;
    client.status_base = server.status_base;
    Some(client)
}
