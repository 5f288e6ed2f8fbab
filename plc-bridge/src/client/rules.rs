//! The list of what may be written to a PLC, as the settings say it and as `jidoka check` verifies it.
//!
//! Pure. Invariant: what no entry allows, as a whole and alone, is forbidden; an empty list means exactly the status block
//! (and the permit coil, if there is one), never "anything".

use super::ClientSettings;
use crate::jmap::{CONTROL_LEN, STATUS_HEAD, STATUS_LEN};
use std::fmt;
use thiserror::Error;

/// How something is written (Modbus Application Protocol V1.1b3, 6.5, 6.6, 6.11, 6.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteFunction {
    /// Function 5: one coil.
    Coil,
    /// Function 6: one register.
    Register,
    /// Function 15: coils in a row.
    Coils,
    /// Function 16: registers in a row.
    Registers,
}

impl WriteFunction {
    /// The function with this code, if it is one that writes.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            5 => Some(Self::Coil),
            6 => Some(Self::Register),
            15 => Some(Self::Coils),
            16 => Some(Self::Registers),
            _ => None,
        }
    }

    /// Its code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Coil => 5,
            Self::Register => 6,
            Self::Coils => 15,
            Self::Registers => 16,
        }
    }

    /// Most values in one request (same clauses).
    const fn most(self) -> usize {
        match self {
            Self::Coil | Self::Register => 1,
            Self::Coils => 1968,
            Self::Registers => 123,
        }
    }

    const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Coils)
    }
}

/// One write. A coil's value is 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// Function 5.
    Coil(u16, bool),
    /// Function 6.
    Register(u16, u16),
    /// Function 15.
    Coils(u16, &'a [bool]),
    /// Function 16.
    Registers(u16, &'a [u16]),
}

impl Write<'_> {
    /// How it is written.
    #[must_use]
    pub const fn function(&self) -> WriteFunction {
        match self {
            Self::Coil(..) => WriteFunction::Coil,
            Self::Register(..) => WriteFunction::Register,
            Self::Coils(..) => WriteFunction::Coils,
            Self::Registers(..) => WriteFunction::Registers,
        }
    }

    /// First address and number of values.
    #[must_use]
    pub const fn place(&self) -> (u16, usize) {
        match self {
            Self::Coil(address, _) | Self::Register(address, _) => (*address, 1),
            Self::Coils(address, bits) => (*address, bits.len()),
            Self::Registers(address, words) => (*address, words.len()),
        }
    }

    fn last(&self) -> Option<u16> {
        let (address, count) = self.place();
        address.checked_add(u16::try_from(count).ok()?.checked_sub(1)?)
    }

    /// The first value outside `min..=max`.
    fn outside(&self, min: u16, max: u16) -> Option<u16> {
        let bad = |value: &u16| *value < min || *value > max;
        match self {
            Self::Coil(_, on) => Some(u16::from(*on)).filter(bad),
            Self::Register(_, word) => Some(*word).filter(bad),
            Self::Coils(_, bits) => bits.iter().map(|bit| u16::from(*bit)).find(bad),
            Self::Registers(_, words) => words.iter().copied().find(bad),
        }
    }
}

impl fmt::Display for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, count) = self.place();
        let what = if self.function().is_bits() { "coils" } else { "registers" };
        write!(f, "{count} {what} at {address} with function {}", self.function().code())
    }
}

/// One entry of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteRule {
    /// How it may be written.
    pub function: WriteFunction,
    /// First address, 0-based.
    pub first: u16,
    /// Last address.
    pub last: u16,
    /// Smallest value.
    pub min: u16,
    /// Largest value.
    pub max: u16,
    /// Most writes in a second; `None` = as often as the PLC answers. RunPermit going to 0 is never held up by it.
    pub per_second: Option<u32>,
}

impl WriteRule {
    /// Any value, at any rate, into these registers.
    #[must_use]
    pub const fn registers(first: u16, last: u16) -> Self {
        Self { function: WriteFunction::Registers, first, last, min: 0, max: u16::MAX, per_second: None }
    }

    /// One coil, at any rate.
    #[must_use]
    pub const fn coil(address: u16) -> Self {
        Self { function: WriteFunction::Coil, first: address, last: address, min: 0, max: 1, per_second: None }
    }

    fn misses(&self, write: &Write<'_>) -> Option<Forbidden> {
        let what = write.to_string();
        let rule = *self;
        match write.last() {
            Some(last) if write.place().0 >= self.first && last <= self.last => {
                write.outside(self.min, self.max).map(|value| Forbidden::Value { what, value, rule })
            }
            _ => Some(Forbidden::Address { what, rule }),
        }
    }
}

impl fmt::Display for WriteRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, first, last, min, max, per_second } = self;
        write!(f, "function {} at {first}-{last}, values {min}-{max}", function.code())?;
        per_second.map_or(Ok(()), |per_second| write!(f, ", {per_second} a second"))
    }
}

/// A write that the list does not allow. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// No protocol carries it: nothing in it, too much in it, or past the last address.
    #[error("refused to write {what}: no request can carry that")]
    Shape {
        /// The write.
        what: String,
    },
    /// No entry has its function.
    #[error("refused to write {what}: the list of allowed writes has no entry with that function")]
    Function {
        /// The write.
        what: String,
    },
    /// No entry of its function has its addresses.
    #[error("refused to write {what}: it does not lie within `{rule}` of the list of allowed writes")]
    Address {
        /// The write.
        what: String,
        /// The entry, the first of its function.
        rule: WriteRule,
    },
    /// A value is out of the entry's range.
    #[error("refused to write {what}: the value {value} is not one of `{rule}` of the list of allowed writes")]
    Value {
        /// The write.
        what: String,
        /// The value.
        value: u16,
        /// The entry.
        rule: WriteRule,
    },
    /// It comes too soon after the ones before.
    #[error("refused to write {what}: too soon for `{rule}` of the list of allowed writes")]
    Rate {
        /// The write.
        what: String,
        /// The entry.
        rule: WriteRule,
        /// It will be allowed in this many microseconds.
        wait_micros: u64,
    },
}

/// Which entry of the list allows the write, its rate apart.
///
/// # Errors
/// If none does; the error names the entry that comes nearest.
pub fn covers(rules: &[WriteRule], write: &Write<'_>) -> Result<usize, Forbidden> {
    let (_, count) = write.place();
    if count == 0 || count > write.function().most() || write.last().is_none() {
        return Err(Forbidden::Shape { what: write.to_string() });
    }
    let mut nearest = None;
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.function == write.function()) {
        match rule.misses(write) {
            None => return Ok(index),
            // A wrong value is nearer than a wrong address.
            Some(miss) if nearest.is_none() || matches!(miss, Forbidden::Value { .. }) => nearest = Some(miss),
            Some(_) => {}
        }
    }
    Err(nearest.unwrap_or_else(|| Forbidden::Function { what: write.to_string() }))
}

/// Something that is wrong between the list, the map and what the bridge is going to write.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Objection {
    /// The status block does not fit below the last register.
    #[error("the status block needs {STATUS_LEN} registers from {base} on, and the last one is 65535")]
    PastTheEnd {
        /// Where it begins.
        base: u16,
    },
    /// The two blocks lie on one another.
    #[error("the status block at {status} overlaps the control block at {control}, which the PLC writes")]
    Overlap {
        /// Where the status block begins.
        status: u16,
        /// Where the control block begins.
        control: u16,
    },
    /// The bridge will write something that the list forbids.
    #[error("the line cannot run: {0}")]
    Uncovered(Forbidden),
    /// An entry that allows nothing.
    #[error("`{0}` of the list of allowed writes allows nothing")]
    Empty(WriteRule),
    /// An entry is slower than the heartbeat.
    #[error("`{0}` of the list of allowed writes is too slow: heartbeat and results need {RATE_MIN} a second or more")]
    TooSlow(WriteRule),
    /// An entry allows more than the map has.
    #[error("`{0}` of the list of allowed writes reaches outside the status block; whoever judges pieces must not change a set point")]
    Outside(WriteRule),
}

/// The heartbeat needs 10 writes a second, and every piece some six (ready, acknowledged, exposed, offered, withdrawn).
const RATE_MIN: u32 = 20;

impl ClientSettings {
    /// What may be written: the list of the settings, or without one the status block and the permit coil.
    #[must_use]
    pub fn rules(&self) -> Vec<WriteRule> {
        if !self.allowed.is_empty() {
            return self.allowed.clone();
        }
        let status = WriteRule::registers(self.status_base, self.status_base.saturating_add(STATUS_LEN - 1));
        std::iter::once(status).chain(self.permit_coil.map(WriteRule::coil)).collect()
    }

    /// Everything that is wrong with the list and the places of the blocks; empty if the line may run with them.
    #[must_use]
    pub fn objections(&self) -> Vec<Objection> {
        let (status, control, rules) = (self.status_base, self.control_base, self.rules());
        let mut out = Vec::new();
        let end = status.checked_add(STATUS_LEN - 1);
        if end.is_none() {
            out.push(Objection::PastTheEnd { base: status });
        }
        if status < control.saturating_add(CONTROL_LEN) && control < status.saturating_add(STATUS_LEN) {
            out.push(Objection::Overlap { status, control });
        }
        for rule in &rules {
            if rule.first > rule.last || rule.min > rule.max || rule.per_second == Some(0) {
                out.push(Objection::Empty(*rule));
            } else if !self.within_the_map(rule) {
                out.push(Objection::Outside(*rule));
            } else if rule.function == WriteFunction::Registers && rule.per_second.is_some_and(|rate| rate < RATE_MIN) {
                out.push(Objection::TooSlow(*rule));
            }
        }
        for extreme in [0, u16::MAX] {
            let head = [extreme; STATUS_HEAD as usize];
            let permits = self.permit_coil.map(|coil| Write::Coil(coil, extreme != 0));
            for write in std::iter::once(Write::Registers(status, &head)).chain(permits) {
                if let Err(forbidden) = covers(&rules, &write) {
                    out.push(Objection::Uncovered(forbidden));
                }
            }
        }
        out
    }

    fn within_the_map(&self, rule: &WriteRule) -> bool {
        if rule.function.is_bits() {
            return self.permit_coil.is_some_and(|coil| (rule.first, rule.last) == (coil, coil));
        }
        rule.first >= self.status_base && rule.last <= self.status_base.saturating_add(STATUS_LEN - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};

    fn plc(adjust: impl FnOnce(&mut ClientSettings)) -> ClientSettings {
        let mut plc = ClientSettings::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 502)));
        adjust(&mut plc);
        plc
    }

    fn objections(adjust: impl FnOnce(&mut ClientSettings)) -> Vec<String> {
        plc(adjust).objections().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_map_as_it_is_has_no_objections() {
        assert_eq!(objections(|_| {}), Vec::<String>::new());
        assert_eq!(objections(|plc| plc.permit_coil = Some(7)), Vec::<String>::new());
        let said = |plc: &mut ClientSettings| {
            plc.allowed = vec![WriteRule::registers(1000, 1063), WriteRule::coil(7)];
            plc.permit_coil = Some(7);
        };
        assert_eq!(objections(said), Vec::<String>::new());
    }

    #[test]
    fn one_wrong_digit_is_found_before_anything_is_written() {
        let wrong = objections(|plc| {
            plc.allowed = vec![WriteRule::registers(1000, 1127)];
            plc.status_base = 1100;
        });
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(
            wrong[0].starts_with("`function 16 at 1000-1127, values 0-65535`") && wrong[1].starts_with("the line cannot run"),
            "{wrong:?}"
        );
        assert_eq!(objections(|plc| plc.status_base = 50).len(), 1);
        assert_eq!(
            objections(|plc| plc.status_base = u16::MAX - 100)[0],
            "the status block needs 128 registers from 65435 on, and the last one is 65535"
        );
        let narrow = WriteRule { max: 10_000, ..WriteRule::registers(1000, 1127) };
        assert!(objections(|plc| plc.allowed = vec![narrow])[0].contains("the value 65535 is not one of"));
        let never = WriteRule { per_second: Some(0), ..WriteRule::registers(1000, 1127) };
        assert!(objections(|plc| plc.allowed = vec![never])[0].ends_with("allows nothing"));
        let slow = WriteRule { per_second: Some(19), ..WriteRule::registers(1000, 1127) };
        assert!(objections(|plc| plc.allowed = vec![slow])[0].contains("too slow"));
    }

    #[test]
    fn a_coil_needs_an_entry_of_its_own_and_takes_both_values() {
        let bare = |plc: &mut ClientSettings| {
            plc.permit_coil = Some(7);
            plc.allowed = vec![WriteRule::registers(1000, 1127)];
        };
        assert!(objections(bare)[0].contains("no entry with that function"));
        let only_stop = |plc: &mut ClientSettings| {
            plc.permit_coil = Some(7);
            plc.allowed = vec![WriteRule::registers(1000, 1127), WriteRule { max: 0, ..WriteRule::coil(7) }];
        };
        assert!(objections(only_stop)[0].contains("the value 1 is not one of"));
        assert!(objections(|plc| plc.allowed = vec![WriteRule::registers(1000, 1127), WriteRule::coil(3)])[0].contains("outside"));
    }

    #[test]
    fn the_refusal_names_the_nearest_entry() {
        let rules = [WriteRule::registers(1000, 1127), WriteRule { max: 5, ..WriteRule::registers(3000, 3000) }];
        let said = |write: Write<'_>| covers(&rules, &write).map_err(|error| error.to_string());
        assert_eq!(said(Write::Registers(1000, &[9; 64])), Ok(0));
        assert_eq!(said(Write::Registers(3000, &[5])), Ok(1));
        assert!(said(Write::Registers(3000, &[6])).is_err_and(|error| error.contains("`function 16 at 3000-3000, values 0-5`")));
        assert!(said(Write::Registers(2000, &[6])).is_err_and(|error| error.contains("`function 16 at 1000-1127")));
        assert!(said(Write::Register(1000, 6)).is_err_and(|error| error.contains("function 6: the list")));
        assert!(said(Write::Registers(1000, &[])).is_err_and(|error| error.contains("no request can carry")));
        assert!(said(Write::Registers(1000, &[0; 124])).is_err_and(|error| error.contains("no request can carry")));
        assert!(said(Write::Registers(u16::MAX, &[0; 2])).is_err_and(|error| error.contains("no request can carry")));
    }
}
