//! A client whose server is a recording; see `crate::fuzzing`.

use super::outlet::Outlet;
use super::peer::{Peer, WireError};
use super::rules::{Write, WriteFunction, WriteRule};
use super::wire::Wire;
use crate::fuzzing::client::{Answer, Asked, Question, WRITABLE};
use crate::fuzzing::frames::Framing;
use crate::fuzzing::tape::Tape;
use crate::map::{Batch, Table};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio_modbus::Slave;
use tokio_modbus::client::{rtu, tcp};

pub(crate) struct Partner(Wire);

/// Every function may write the same addresses, and no other.
fn outlet() -> Outlet {
    let functions = [WriteFunction::Coil, WriteFunction::Register, WriteFunction::Coils, WriteFunction::Registers];
    let (first, last) = (*WRITABLE.start(), *WRITABLE.end());
    let rule = |function: WriteFunction| {
        let max = if matches!(function, WriteFunction::Coil | WriteFunction::Coils) { 1 } else { u16::MAX };
        WriteRule { function, first, last, min: 0, max, per_second: None }
    };
    Outlet::new(functions.map(rule).to_vec())
}

impl Partner {
    pub(crate) fn new(framing: Framing, tape: Tape, unit: u8) -> Self {
        let limit = Duration::from_secs(60);
        let way = SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into();
        let peer = Peer { way, unit, connect_timeout: limit, call_timeout: limit };
        let context = match framing {
            Framing::Tcp => tcp::attach_slave(tape, Slave(unit)),
            Framing::Rtu => rtu::attach_slave(tape, Slave(unit)),
        };
        Self(Wire::over(peer, context))
    }

    /// Asks; without an answer the connection is gone.
    pub(crate) async fn ask(self, question: &Question) -> (Option<Self>, Answer) {
        let Question { asked, unit, address, count } = *question;
        let table = match asked {
            Asked::Holding => Table::Holding,
            Asked::Input => Table::Input,
            Asked::Coil => Table::Coil,
            Asked::Discrete => Table::Discrete,
            Asked::WriteCoil | Asked::WriteRegister | Asked::WriteCoils | Asked::WriteRegisters => return self.write(question).await,
        };
        let batch = Batch { unit_id: Some(unit), table, address, count, tags: Vec::new() };
        match self.0.read_batch(&batch).await {
            Ok((wire, Ok(words))) => (Some(Self(wire)), Answer::Words(words)),
            Ok((wire, Err(refusal))) => (Some(Self(wire)), refused(&refusal)),
            Err(_) => (None, Answer::Failed),
        }
    }

    async fn write(self, question: &Question) -> (Option<Self>, Answer) {
        let words = question.written();
        let bits: Vec<bool> = words.iter().map(|word| *word != 0).collect();
        let write = match (question.asked, words.first()) {
            (Asked::WriteCoil, Some(word)) => Write::Coil(question.address, *word != 0),
            (Asked::WriteRegister, Some(word)) => Write::Register(question.address, *word),
            (Asked::WriteCoils, _) => Write::Coils(question.address, &bits),
            _ => Write::Registers(question.address, &words),
        };
        let mut outlet = outlet();
        match outlet.clear(write, false, 0) {
            Ok(cleared) => match self.0.write(cleared).await {
                Ok(wire) => (Some(Self(wire)), Answer::Written),
                Err(error) => (None, refused(&error)),
            },
            Err(_) => (Some(self), Answer::Failed),
        }
    }
}

fn refused(error: &WireError) -> Answer {
    match error {
        WireError::Refused { exception, .. } => Answer::Refused((*exception).into()),
        _ => Answer::Failed,
    }
}
