//! One connection to a PLC for measurements: the same wire and the same gate for writes as the appliance's own.
//!
//! Compiled with the feature `bench` only, never into the appliance.

use super::bus::{Buses, Rank};
use super::outlet::Outlet;
use super::peer::{Peer, Way, WireError};
use super::rules::{Write, WriteRule};
use super::wire::Wire;

/// The connection. A call that failed ends it, because the wire is gone with the error.
pub struct Probe {
    wire: Wire,
    outlet: Outlet,
    coil: u16,
}

impl Probe {
    /// Connects, with leave to write one coil.
    ///
    /// # Errors
    /// If the PLC cannot be reached.
    pub async fn connect(way: impl Into<Way>, coil: u16) -> Result<Self, WireError> {
        let wire = Wire::connect_over(&Peer::new(way), &Buses::default(), Rank::Outputs).await?;
        Ok(Self { wire, outlet: Outlet::new(vec![WriteRule::coil(coil)]), coil })
    }

    /// Reads holding registers.
    ///
    /// # Errors
    /// As the wire says; a refusal is an error too.
    pub async fn read(mut self, address: u16, count: u16) -> Result<(Self, Vec<u16>), WireError> {
        let words;
        (self.wire, words) = self.wire.must_read(address, count).await?;
        Ok((self, words))
    }

    /// Writes the coil.
    ///
    /// # Errors
    /// As the wire says.
    pub async fn write(mut self, on: bool) -> Result<Self, WireError> {
        let cleared = self.outlet.clear(Write::Coil(self.coil, on), false, 0)?;
        self.wire = self.wire.write(cleared).await?;
        Ok(self)
    }
}
