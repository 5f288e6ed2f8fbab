//! Who vouches for a package: an Ed25519 signature (RFC 8032) of its manifest, which lists the digest of every other file.
//!
//! Invariants: keys and signatures are hexadecimal text; a secret key is never printed, and neither written to nor read from
//! a file that others may read; what is verified are the bytes that are then parsed.

use super::{MANIFEST, PackageError};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;
use thiserror::Error;

/// Name of the signature in a package's folder.
pub const SIGNATURE: &str = "model.toml.sig";

/// What a file with a secret key begins with.
const SECRET: &str = "jidoka-secret-key-ed25519 ";

/// Why a key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It is no key.
    #[error("{0}")]
    Form(&'static str),
    /// Its file cannot be read or written.
    #[error("{path} cannot be read or written")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read the secret.
    #[error("{path} has mode {mode:o}, so others than its owner may use the key: chmod 600 it, or make a new key")]
    Mode {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
}

/// A public key: 32 bytes, written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = from_hex(text).and_then(|bytes| bytes.try_into().ok());
        Ok(Self(bytes.ok_or(KeyError::Form("a public key is 64 hexadecimal digits, as `jidoka model key` prints it"))?))
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl PublicKey {
    /// True if `signature` (128 hexadecimal digits) is this key's signature of `bytes`.
    #[must_use]
    pub fn has_signed(self, bytes: &[u8], signature: &str) -> bool {
        from_hex(signature).is_some_and(|signature| UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, &signature).is_ok())
    }
}

/// A secret key.
pub struct SecretKey {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

impl SecretKey {
    /// A new key of the system's random numbers, written to a new file that its owner alone may read.
    ///
    /// # Errors
    /// If the file is there already or cannot be written, or if the system has no random numbers.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Form("the system gives no random numbers"))?;
        let key = Self::of(seed)?;
        let failed = |source| KeyError::File { path: path.display().to_string(), source };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(format!("{SECRET}{}\n", to_hex(&key.seed)).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(key)
    }

    /// Reads a key that [`SecretKey::create`] wrote.
    ///
    /// # Errors
    /// If the file cannot be read, if others may read it, or if it holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let failed = |source| KeyError::File { path: name(), source };
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode { path: name(), mode });
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let seed = text.trim_end().strip_prefix(SECRET).and_then(from_hex).and_then(|bytes| bytes.try_into().ok());
        Self::of(seed.ok_or(KeyError::Form("the file holds no secret key; `jidoka model key` makes one"))?)
    }

    fn of(seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Form("this is no Ed25519 key"))?;
        Ok(Self { pair, seed })
    }

    /// Its signature of `bytes`: 128 hexadecimal digits.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> String {
        to_hex(self.pair.sign(bytes).as_ref())
    }

    /// The key that others know.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }
}

/// Signs the manifest of a package's folder.
///
/// # Errors
/// If the manifest cannot be read or the signature not written.
pub fn sign(folder: &Path, key: &SecretKey) -> Result<(), PackageError> {
    let (manifest, signature) = (folder.join(MANIFEST), folder.join(SIGNATURE));
    let bytes = fs::read(&manifest).map_err(|source| PackageError::File { path: manifest, source })?;
    let text = format!("{} {}\n", key.public(), to_hex(key.pair.sign(&bytes).as_ref()));
    fs::write(&signature, text).map_err(|source| PackageError::File { path: signature, source })
}

/// Who signed these bytes of a manifest, if it is one of the trusted keys; `None` where no key is asked for.
pub(super) fn verify(folder: &Path, manifest: &[u8], trusted: &[PublicKey]) -> Result<Option<PublicKey>, PackageError> {
    if trusted.is_empty() {
        return Ok(None);
    }
    let path = folder.join(SIGNATURE);
    let refuse = |reason: String| Err(PackageError::Signature { path: path.clone(), reason });
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return refuse("the package is not signed".to_owned()),
        Err(source) => return Err(PackageError::File { path, source }),
    };
    let parts = text.trim_end().split_once(' ').and_then(|(key, signature)| Some((PublicKey::from_str(key).ok()?, from_hex(signature)?)));
    let Some((key, signature)) = parts else { return refuse("it is no signature".to_owned()) };
    if !trusted.contains(&key) {
        return refuse(format!("it is signed with the key {key}, which is not trusted"));
    }
    if UnparsedPublicKey::new(&ED25519, key.0).verify(manifest, &signature).is_err() {
        return refuse(format!("{MANIFEST} is not what was signed"));
    }
    Ok(Some(key))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_is_its_owner_s_alone_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = SecretKey::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SecretKey::create(&path).is_err(), "a key is not written over");
        let again = SecretKey::read(&path).unwrap();
        assert_eq!((again.public(), key.public().to_string().parse::<PublicKey>().unwrap()), (key.public(), key.public()));
        assert!(!format!("{key:?}").contains(&to_hex(&key.seed)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SecretKey::read(&path), Err(KeyError::Mode { mode: 0o640, .. })));
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn the_published_example_is_signed_and_verified() {
        let seed = from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap().try_into().unwrap();
        let key = SecretKey::of(seed).unwrap();
        assert_eq!(key.public().to_string(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(to_hex(key.pair.sign(&[0x72]).as_ref()), signature);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SIGNATURE), format!("{} {signature}\n", key.public())).unwrap();
        assert_eq!(verify(folder.path(), &[0x72], &[key.public()]).unwrap(), Some(key.public()));
        let error = verify(folder.path(), &[0x73], &[key.public()]).unwrap_err().to_string();
        assert!(error.contains("not what was signed"), "{error}");
    }
}
