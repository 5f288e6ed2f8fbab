//! The first run: a code that only whoever can see the appliance's own output knows lets the first person in.
//!
//! Invariants: there is no default password; the code exists only while there is nobody, and only in memory.

use station::units::Digest;
use std::sync::{Mutex, PoisonError};

/// Crockford's base 32: no I, L, O, U, so that a code survives being read aloud.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Letters in a code: 80 bits, tried at most a few times per minute.
const LENGTH: usize = 16;

/// The one-time set-up code.
#[derive(Debug, Default)]
pub(crate) struct SetUp {
    code: Mutex<Option<String>>,
}

impl SetUp {
    /// With a fresh code, written as four groups of four letters.
    pub(crate) fn with_code() -> Result<Self, getrandom::Error> {
        let mut random = [0_u8; LENGTH];
        getrandom::fill(&mut random)?;
        let letters: Vec<u8> = random.iter().map(|byte| LETTERS[usize::from(byte & 31)]).collect();
        let groups: Vec<_> = letters.chunks(4).map(String::from_utf8_lossy).collect();
        Ok(Self { code: Mutex::new(Some(groups.join("-"))) })
    }

    /// The code, while it can be used.
    pub(crate) fn code(&self) -> Option<String> {
        self.code.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if `typed` is the code, whatever its case and dashes.
    pub(crate) fn fits(&self, typed: &str) -> bool {
        // Digests are compared, so that the time of the comparison tells nothing about the code.
        self.code().is_some_and(|code| Digest::of(plain(typed).as_bytes()) == Digest::of(plain(&code).as_bytes()))
    }

    /// The code has done its work.
    pub(crate) fn spend(&self) {
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect::<String>().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_fits_as_people_type_it_and_only_until_it_is_spent() {
        let setup = SetUp::with_code().unwrap();
        let code = setup.code().unwrap();
        assert_eq!(code.len(), LENGTH + 3);
        assert!(setup.fits(&code));
        assert!(setup.fits(&code.to_lowercase().replace('-', " ")));
        assert!(!setup.fits(""));
        assert!(!setup.fits(&code[1..]));
        setup.spend();
        assert!(!setup.fits(&code));
        assert!(!SetUp::default().fits(""));
    }
}
