//! The Modbus side as the settings describe it: from keys of the file to the bridge's own settings.
//!
//! Invariant: nothing is decided here; what the file does not say has its default in `config`.

use crate::clock::Clock;
use crate::config::{
    LinkSettings, PayloadSettings, PlcSettings, ServerPort, ServerSettings, Settings, SourceSettings, TagSettings, WriteAllowed,
};
use crate::pipeline::{LineError, at};
use plc_bridge::client::{self, ClientSettings, Way};
use plc_bridge::jmap::Order;
use plc_bridge::map::{Payload, TagSpec};
use plc_bridge::serial::{Parity, SerialLine};
use plc_bridge::server::{self, Listen};
use station::Setup;
use station::units::Micros;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The bridge's settings, with what its status block says of the recipe.
pub fn bridge_settings(settings: &Settings, setup: &Setup, clock: Clock) -> Result<plc_bridge::Settings, LineError> {
    let mut bridge = bridge(settings, clock)?;
    bridge.identity.rubric_version = setup.recipe.rubric.version;
    Ok(bridge)
}

/// Who is asked, who asks, and how it is read.
pub fn bridge(settings: &Settings, clock: Clock) -> Result<plc_bridge::Settings, LineError> {
    let order = settings.handshake.order();
    let mut bridge = plc_bridge::Settings::alone(clock.as_fn());
    bridge.plc = settings.plc.as_ref().map(|plc| partner(plc, order)).transpose()?;
    bridge.server = settings.modbus_server.as_ref().map(server);
    bridge.sources = settings.sources.iter().map(|listed| source(listed, order)).collect::<Result<_, _>>()?;
    bridge.order = order;
    bridge.payload = payload(settings)?;
    bridge.heartbeat_timeout = Micros::from_millis(settings.handshake.plc_heartbeat_timeout_millis);
    Ok(bridge)
}

/// Where the values of a result lie.
pub fn payload(settings: &Settings) -> Result<Payload, LineError> {
    let fields = settings.recipe.payload.iter().map(PayloadSettings::spec).collect();
    Payload::new(fields).map_err(|bad| LineError { what: "the payload cannot be laid out".to_owned(), source: Some(Box::new(bad)) })
}

/// The PLC that shakes hands.
pub fn partner(plc: &PlcSettings, order: Order) -> Result<ClientSettings, LineError> {
    let mut client = ClientSettings::new(way(&plc.link)?);
    client.peer.unit = plc.unit_id;
    client.peer.connect_timeout = Duration::from_millis(plc.connect_timeout_millis);
    client.peer.call_timeout = Duration::from_millis(plc.request_timeout_millis);
    client.control_base = plc.control_base;
    client.status_base = plc.status_base;
    client.allowed = plc.write_allowed.iter().filter_map(WriteAllowed::rule).collect();
    client.permit_coil = plc.permit_coil;
    client.tag_connection = plc.tag_connection;
    client.poll_interval = Duration::from_millis(plc.poll_interval_millis);
    client.limits = plc.read;
    client.tags = plc.tags.iter().map(|listed| tag(listed, order)).collect();
    Ok(client)
}

/// A PLC that only gives readings.
pub fn source(listed: &SourceSettings, order: Order) -> Result<client::SourceSettings, LineError> {
    let tags = listed.tags.iter().map(|listed| tag(listed, order)).collect();
    let mut source = client::SourceSettings::new(Arc::clone(&listed.name), way(&listed.link)?, tags);
    source.limits = listed.read;
    source.peer.unit = listed.unit_id;
    source.peer.connect_timeout = Duration::from_millis(listed.connect_timeout_millis);
    source.peer.call_timeout = Duration::from_millis(listed.request_timeout_millis);
    Ok(source)
}

fn server(listed: &ServerSettings) -> server::ServerSettings {
    let listen = match &listed.listen {
        ServerPort::Tcp(address) => Listen::Tcp(*address),
        ServerPort::Serial { device, baud, parity } => Listen::Serial(line(device, *baud, *parity)),
    };
    server::ServerSettings {
        unit: listed.unit_id,
        control_base: listed.control_base,
        status_base: listed.status_base,
        clients_max: usize::from(listed.clients_max),
        clients_allowed: listed.clients_allowed.clone(),
        idle_timeout: Duration::from_millis(listed.idle_timeout_millis),
        ..server::ServerSettings::new(listen)
    }
}

fn line(device: &Path, baud: u32, parity: Parity) -> SerialLine {
    SerialLine { device: device.to_owned(), baud, parity }
}

fn way(link: &LinkSettings) -> Result<Way, LineError> {
    match link {
        LinkSettings::Tcp { host, port } => resolve(host, *port).map(Way::Tcp),
        LinkSettings::Serial { device, baud, parity } => Ok(Way::Serial(line(device, *baud, *parity))),
    }
}

/// The first address of a host.
pub fn resolve(host: &str, port: u16) -> Result<SocketAddr, LineError> {
    let mut found = (host, port).to_socket_addrs().map_err(at(&format!("the address of {host} cannot be found")))?;
    found.next().ok_or_else(|| LineError { what: format!("{host} has no address"), source: None })
}

/// A tag of the settings as the bridge reads it; `order` is its partner's.
#[must_use]
pub fn tag(listed: &TagSettings, order: Order) -> TagSpec {
    let own = Order { word_swap: listed.word_swap.unwrap_or(order.word_swap), byte_swap: listed.byte_swap.unwrap_or(order.byte_swap) };
    TagSpec {
        name: Arc::clone(&listed.name),
        unit_id: listed.unit_id,
        table: listed.table,
        address: listed.address,
        kind: listed.kind,
        order: (own != order).then_some(own),
        scale: listed.scale,
        offset: listed.offset,
        unit: Arc::clone(&listed.unit),
        valid_min: listed.min,
        valid_max: listed.max,
        dead_band: listed.dead_band,
        sample: listed.sample,
        stale_after: Micros::from_millis(listed.stale_after_millis),
    }
}
