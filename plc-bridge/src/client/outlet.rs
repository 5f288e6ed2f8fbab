//! The one gate through which something can be written to a PLC.
//!
//! Invariants: every write of this crate is a `Cleared`, and only `Outlet::clear` makes one; what the list of allowed
//! writes does not have is refused before a byte is sent. An appliance that judges pieces must not be able to change a set
//! point.

use super::rules::{Forbidden, Write, WriteRule, covers};
use std::borrow::Cow;
use tokio_modbus::{Request, Response};

/// A write that may be sent.
#[derive(Debug, Clone)]
pub(crate) struct Cleared<'a> {
    write: Write<'a>,
}

impl<'a> Cleared<'a> {
    pub(super) fn place(&self) -> (u16, usize) {
        self.write.place()
    }

    pub(super) const fn is_bits(&self) -> bool {
        matches!(self.write, Write::Coil(..) | Write::Coils(..))
    }

    pub(super) const fn request(&self) -> Request<'a> {
        match self.write {
            Write::Coil(address, on) => Request::WriteSingleCoil(address, on),
            Write::Register(address, word) => Request::WriteSingleRegister(address, word),
            Write::Coils(address, bits) => Request::WriteMultipleCoils(address, Cow::Borrowed(bits)),
            Write::Registers(address, words) => Request::WriteMultipleRegisters(address, Cow::Borrowed(words)),
        }
    }

    /// Whether the PLC says that exactly this was written.
    pub(super) fn is_confirmed_by(&self, response: &Response) -> bool {
        let (at, count) = self.write.place();
        match (self.write, response) {
            (Write::Coil(_, on), Response::WriteSingleCoil(address, is_on)) => (at, on) == (*address, *is_on),
            (Write::Register(_, word), Response::WriteSingleRegister(address, reads)) => (at, word) == (*address, *reads),
            (Write::Coils(..), Response::WriteMultipleCoils(address, written))
            | (Write::Registers(..), Response::WriteMultipleRegisters(address, written)) => {
                (at, count) == (*address, usize::from(*written))
            }
            _ => false,
        }
    }
}

/// The list, and how much of each entry's rate is used up.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    rules: Vec<WriteRule>,
    /// Per rule: the moment from which on its rate is wholly free again.
    free_micros: Vec<u64>,
}

const SECOND_MICROS: u64 = 1_000_000;

impl Outlet {
    pub(crate) fn new(rules: Vec<WriteRule>) -> Self {
        Self { free_micros: vec![0; rules.len()], rules }
    }

    /// Lets `write` pass, or says why not. `withdraws`: it takes RunPermit back, which no rate may hold up.
    pub(crate) fn clear<'a>(&mut self, write: Write<'a>, withdraws: bool, now_micros: u64) -> Result<Cleared<'a>, Forbidden> {
        let (index, free_micros) = self.check(&write, withdraws, now_micros)?;
        if let Some(free) = self.free_micros.get_mut(index) {
            *free = free_micros;
        }
        Ok(Cleared { write })
    }

    /// Whether `clear` would let it pass: the rule, and when its rate will be wholly free again.
    pub(super) fn check(&self, write: &Write<'_>, withdraws: bool, now_micros: u64) -> Result<(usize, u64), Forbidden> {
        let index = covers(&self.rules, write)?;
        let free_micros = self.free_micros.get(index).copied().unwrap_or(0);
        let Some((rule, per_second)) = self.rules.get(index).and_then(|rule| Some((rule, rule.per_second?))) else {
            return Ok((index, free_micros));
        };
        // Generic cell rate algorithm (ITU-T I.371, annex A): a second's worth may come at once, then one per increment.
        let increment = SECOND_MICROS / u64::from(per_second.max(1));
        let wait_micros = (free_micros + increment).saturating_sub(now_micros + SECOND_MICROS);
        if (wait_micros > 0 || per_second == 0) && !withdraws {
            return Err(Forbidden::Rate { what: write.to_string(), rule: *rule, wait_micros: wait_micros.max(1) });
        }
        Ok((index, free_micros.max(now_micros) + increment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status(base: u16) -> Outlet {
        Outlet::new(vec![WriteRule::registers(base, base.saturating_add(127))])
    }

    proptest! {
        #[test]
        fn nothing_outside_the_block_is_ever_cleared(base: u16, address: u16, count in 0..200_usize) {
            let words = vec![0xFFFF; count];
            if let Ok(cleared) = status(base).clear(Write::Registers(address, &words), false, 0) {
                let (from, to) = (u32::from(address), u32::from(address) + u32::try_from(count).unwrap());
                prop_assert!(count > 0 && from >= u32::from(base) && to <= u32::from(base) + 128 && to <= 0x1_0000);
                prop_assert_eq!(cleared.request(), Request::WriteMultipleRegisters(address, Cow::Borrowed(&words)));
            }
            prop_assert!(status(base).clear(Write::Register(address, 1), true, 0).is_err());
            prop_assert!(status(base).clear(Write::Coil(address, true), true, 0).is_err());
            prop_assert!(status(base).clear(Write::Coils(address, &[true]), true, 0).is_err());
        }

        #[test]
        fn no_more_than_the_rate_passes_in_any_second(steps in proptest::collection::vec(0..300_000_u64, 1..200), per_second in 1..20_u32) {
            let rule = WriteRule { per_second: Some(per_second), ..WriteRule::registers(0, 0) };
            let mut outlet = Outlet::new(vec![rule]);
            let (mut now, mut passed) = (5_000_000, Vec::new());
            for step in steps {
                now += step;
                match outlet.clear(Write::Registers(0, &[1]), false, now) {
                    Ok(_) => passed.push(now),
                    Err(Forbidden::Rate { wait_micros, .. }) => {
                        prop_assert!(outlet.clone().clear(Write::Registers(0, &[1]), false, now + wait_micros).is_ok());
                        prop_assert!(wait_micros <= SECOND_MICROS);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            // A second's worth at once and a second's worth over the second after it.
            for from in &passed {
                let inside = passed.iter().filter(|at| **at >= *from && **at < from + SECOND_MICROS).count();
                prop_assert!(inside <= 2 * usize::try_from(per_second).unwrap(), "{inside}");
            }
        }
    }

    #[test]
    fn the_head_may_be_written_and_its_neighbours_not() {
        let mut outlet = status(1000);
        assert!(outlet.clear(Write::Registers(1000, &[0; 64]), false, 0).is_ok());
        assert!(outlet.clear(Write::Registers(1064, &[0; 64]), false, 0).is_ok());
        for (address, count) in [(1064, 65), (1127, 2), (1128, 1), (u16::MAX, 1), (1000, 0), (999, 1), (1000, 124)] {
            assert!(outlet.clear(Write::Registers(address, &vec![0; count]), false, 0).is_err(), "{address} {count}");
        }
        assert!(
            status(u16::MAX - 10).clear(Write::Registers(u16::MAX - 10, &[0; 64]), false, 0).is_err(),
            "the block must not wrap around"
        );
    }

    #[test]
    fn taking_the_permit_back_is_never_too_soon() {
        let rule = WriteRule { per_second: Some(2), ..WriteRule::coil(3) };
        let mut outlet = Outlet::new(vec![rule]);
        assert!(outlet.clear(Write::Coil(3, true), false, 0).is_ok());
        assert!(outlet.clear(Write::Coil(3, false), false, 0).is_ok());
        let refused = outlet.clear(Write::Coil(3, true), false, 10).unwrap_err();
        assert!(refused.to_string().contains("too soon for `function 5 at 3-3, values 0-1, 2 a second`"), "{refused}");
        assert!(outlet.clear(Write::Coil(3, false), true, 20).is_ok());
        // It counts all the same: what comes after it waits longer.
        assert!(matches!(outlet.clear(Write::Coil(3, true), false, 30), Err(Forbidden::Rate { wait_micros, .. }) if wait_micros > 500_000));
    }

    #[test]
    fn only_the_answer_to_this_write_confirms_it() {
        let mut outlet = Outlet::new(vec![WriteRule::registers(0, 100), WriteRule::coil(3)]);
        let words = outlet.clear(Write::Registers(10, &[1, 2]), false, 0).unwrap();
        assert!(words.is_confirmed_by(&Response::WriteMultipleRegisters(10, 2)));
        for wrong in [Response::WriteMultipleRegisters(10, 1), Response::WriteMultipleRegisters(11, 2), Response::WriteMultipleCoils(10, 2)]
        {
            assert!(!words.is_confirmed_by(&wrong), "{wrong:?}");
        }
        let coil = outlet.clear(Write::Coil(3, true), false, 0).unwrap();
        assert!(coil.is_confirmed_by(&Response::WriteSingleCoil(3, true)));
        assert!(!coil.is_confirmed_by(&Response::WriteSingleCoil(3, false)));
    }

    /// Write requests are built in four lines of this file. Every other way to write would have to name one of these.
    #[test]
    fn no_other_file_of_the_client_can_write() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let mut files = ["watch", "look", "test_write"].map(|file| format!("{folder}/{file}.rs")).to_vec();
        for part in ["client", "bridge", "handshake", "trace"] {
            for entry in std::fs::read_dir(format!("{folder}/{part}")).unwrap() {
                files.push(entry.unwrap().path().display().to_string());
            }
        }
        assert!(files.len() > 12, "{files:?}");
        // Tests play the PLC, too; they are not in the program.
        let program = |file: &&String| file.ends_with(".rs") && !file.ends_with("_tests.rs") && !file.ends_with("client/outlet.rs");
        for file in files.iter().filter(program) {
            let source = std::fs::read_to_string(file).unwrap();
            for word in ["Request::Write", "Request::ReadWrite", "Request::Mask", "Request::Custom", "Writer", "Cleared {"] {
                assert!(!source.contains(word), "`{word}` found in {file}");
            }
        }
        let (own, _tests) = include_str!("outlet.rs").split_once("#[cfg(test)]").unwrap();
        assert_eq!((own.matches("Request::Write").count(), own.matches("Request::").count()), (4, 4));
        // `impl` and `struct` carry a lifetime and do not count.
        assert_eq!(own.matches("Cleared {").count(), 1, "a second place makes a `Cleared`");
    }
}
