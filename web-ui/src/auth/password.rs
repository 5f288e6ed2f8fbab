//! Passwords: made into something that is useless to whoever steals the file, and checked against it.
//!
//! Invariant: hashing and checking cost tens of milliseconds and 19 MiB on purpose; both belong on the blocking pool.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

// argon2id with 19 MiB, 2 passes, 1 lane: the first of the equivalent settings in the OWASP Password Storage Cheat Sheet,
// section "Argon2id".
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Shortest password. NIST SP 800-63B asks for 8 beside a second factor and 15 alone; 12 is what can still be typed with
/// gloves. OWASP ASVS 5.0 §6.2.1 asks for at least 8.
pub(super) const CHARS_MIN: usize = 12;

/// Longest password, so that nobody can make the appliance hash a novel (ASVS 5.0 §6.2.9 asks for at least 64).
pub(super) const CHARS_MAX: usize = 200;

/// A password that could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// No random numbers for the salt.
    #[error("the system gave no random numbers for the salt")]
    Random(#[source] getrandom::Error),
    /// The hash function refused.
    #[error("argon2id failed: {0}")]
    Argon2(String),
}

fn argon2id() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| HashError::Argon2(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash as a PHC string, with its salt and parameters.
pub(super) fn hash(password: &str) -> Result<String, HashError> {
    let mut salt = [0_u8; 16];
    getrandom::fill(&mut salt).map_err(HashError::Random)?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| HashError::Argon2(error.to_string()))?;
    let hash = argon2id()?.hash_password(password.as_bytes(), &salt).map_err(|error| HashError::Argon2(error.to_string()))?;
    Ok(hash.to_string())
}

/// True if `stored` is the hash of `password`. The parameters are those in `stored`, so that older hashes stay usable.
pub(super) fn verify(password: &str, stored: &str) -> bool {
    let (Ok(argon2), Ok(stored)) = (argon2id(), PasswordHash::new(stored)) else { return false };
    argon2.verify_password(password.as_bytes(), &stored).is_ok()
}

/// True if `stored` can be checked against at all.
pub(super) fn is_usable(stored: &str) -> bool {
    PasswordHash::new(stored).is_ok_and(|hash| hash.algorithm == argon2::ARGON2ID_IDENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_names_its_parameters_and_fits_only_its_password() {
        let stored = hash("correct horse battery").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(is_usable(&stored));
        assert!(verify("correct horse battery", &stored));
        assert!(!verify("correct horse batterz", &stored));
        assert_ne!(stored, hash("correct horse battery").unwrap(), "every hash has its own salt");
        assert!(!is_usable("plain"));
    }
}
