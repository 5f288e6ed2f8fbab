//! The appliance as Modbus server (JMAP role S): a PLC, a SCADA system or a person reads the status block here, and the
//! PLC that shakes hands writes the control block.
//!
//! Invariants: a reader of status 0–63 gets one image, never a mixture of two; nothing but the control block can be
//! written, and with `mirror` not even that; who is not on the list is not served.

use crate::bridge::{Image, Note, Settings};
use std::net::SocketAddr;
use tokio::sync::{mpsc, watch};

/// The server's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Serves until the last image was shown.
pub(crate) async fn run(
    _settings: &Settings,
    _server: &ServerSettings,
    _mirror: bool,
    _images: watch::Receiver<Image>,
    _notes: mpsc::Sender<Note>,
) {
    std::future::pending().await
}
