//! Signed checkpoints: the station vouches for everything it has recorded so far, so that a chain that was made anew from the first
//! changed entry on is noticed by whoever knows the station's public key.
//!
//! Files: `station.key` (the secret half, mode 0600, made at the first start), `station.pub` (64 hexadecimal digits: hand it to whoever
//! will check) and `signatures`, one line of text for each checkpoint, only ever appended to:
//!
//! ```text
//! 1 NUMBER DIGEST PIECES WALL_MICROS PREVIOUS KEY SIGNATURE
//! │ │      │      │      │           │        │   └ Ed25519 (RFC 8032) over "jidoka checkpoint " and the line up to and with KEY
//! │ │      │      │      │           │        └ the public key that signed
//! │ │      │      │      │           └ SHA-256 of the line before, without its line end; zeros in the first line
//! │ │      │      │      └ when, microseconds since 1970 (UTC)
//! │ │      │      └ piece records up to that entry
//! │ │      └ digest of that entry, which follows from every entry before it
//! │ └ the last entry that was durable
//! └ version of this format
//! ```
//!
//! Invariants: only what is durable is signed; a line appears whole or, torn, is no line; lines name the ones before, so that none in
//! the middle can be taken out. What no signature on the machine itself can show: that the last lines and all entries since were cut
//! off together. A copy of `signatures` that is kept elsewhere shows it.

use super::ledger::read_witness;
use super::{LEDGER, StoreError};
use station::units::Digest;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use vision_models::package::{PublicKey, SecretKey};

/// Name of the file with the signatures.
pub const SIGNATURES: &str = "signatures";
/// Name of the file with the public key.
pub const PUBLIC: &str = "station.pub";
/// Name of the file with the secret key.
pub const SECRET: &str = "station.key";
const CONTEXT: &str = "jidoka checkpoint ";
const VERSION: &str = "1";

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key cannot be made or used.
    #[error("the station's key in {} cannot be used", .path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: vision_models::package::KeyError,
    },
    /// The two halves of the key do not belong together: one of them is damaged or was put there by somebody.
    #[error("{} is not the public half of {}", .public.display(), .secret.display())]
    Halves {
        /// File of the public half.
        public: PathBuf,
        /// File of the secret half.
        secret: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}", .path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// One signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last entry it covers.
    pub number: u64,
    /// Digest of that entry.
    pub digest: Digest,
    /// Piece records up to there.
    pub pieces: u64,
    /// When it was signed, microseconds since 1970.
    pub wall_micros: i64,
    /// Digest of the line before.
    pub previous: Digest,
    /// Who signed.
    pub key: PublicKey,
    line: String,
}

impl Checkpoint {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(' ').collect();
        let [VERSION, number, digest, pieces, wall_micros, previous, key, _] = fields.as_slice() else { return None };
        Some(Self {
            number: number.parse().ok()?,
            digest: Digest::from_hex(digest)?,
            pieces: pieces.parse().ok()?,
            wall_micros: wall_micros.parse().ok()?,
            previous: Digest::from_hex(previous)?,
            key: PublicKey::from_str(key).ok()?,
            line: line.to_owned(),
        })
    }

    /// True if `key` has signed exactly this.
    #[must_use]
    pub fn is_signed_by(&self, key: PublicKey) -> bool {
        let Some((signed, signature)) = self.line.rsplit_once(' ') else { return false };
        key == self.key && key.has_signed(format!("{CONTEXT}{signed}").as_bytes(), signature)
    }

    /// When it was signed, for people.
    #[must_use]
    pub fn at(&self) -> String {
        jiff::Timestamp::from_microsecond(self.wall_micros).map_or_else(|_| "an unknown time".to_owned(), |at| format!("{at:.0}"))
    }
}

/// Signs the durable end of the ledger in `dir`; nothing if it is signed already or if there is nothing. May be called beside a
/// running station. Gives back the last checkpoint.
///
/// # Errors
/// If the key or the file with the signatures cannot be made, read or written.
pub fn sign(dir: &Path, wall_micros: i64) -> Result<Option<Checkpoint>, SignError> {
    let path = dir.join(SIGNATURES);
    let failed = |what| {
        let path = path.clone();
        move |source| SignError::File { what, path, source }
    };
    let head = read_witness(&dir.join(LEDGER));
    if head.number.0 == 0 && !path.exists() {
        return Ok(None);
    }
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed("open"))?;
    file.lock().map_err(failed("lock"))?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed("read"))?;
    // A torn line is no line.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let last = text.get(..whole).unwrap_or_default().lines().last();
    let last_signed = last.and_then(Checkpoint::parse);
    if head.number.0 <= last_signed.as_ref().map_or(0, |last| last.number) {
        return Ok(last_signed);
    }
    let key = key(dir)?;
    let previous = last.map_or_else(Digest::default, |line| Digest::of(line.as_bytes()));
    let signed = format!("{VERSION} {} {} {} {wall_micros} {previous} {}", head.number.0, head.digest, head.pieces, key.public());
    let line = format!("{signed} {}", key.sign(format!("{CONTEXT}{signed}").as_bytes()));
    let written = file
        .set_len(u64::try_from(whole).unwrap_or(u64::MAX))
        .and_then(|()| file.seek(SeekFrom::End(0)))
        .and_then(|_| writeln!(file, "{line}"))
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(dir)?.sync_all());
    written.map_err(failed("write"))?;
    Ok(Checkpoint::parse(&line))
}

fn key(dir: &Path) -> Result<SecretKey, SignError> {
    let path = dir.join(SECRET);
    let failed = |source| SignError::Key { path: path.clone(), source };
    if path.exists() {
        let key = SecretKey::read(&path).map_err(failed)?;
        let public = dir.join(PUBLIC);
        // One flipped bit of a secret key is another key.
        return if own_key(dir) == Some(key.public()) { Ok(key) } else { Err(SignError::Halves { public, secret: path }) };
    }
    let public = dir.join(PUBLIC);
    if public.exists() {
        return Err(SignError::Halves { public, secret: path });
    }
    let key = SecretKey::create(&path).map_err(failed)?;
    let written = File::create(&public).and_then(|mut file| writeln!(file, "{}", key.public()).and_then(|()| file.sync_all()));
    written.map_err(|source| SignError::File { what: "write", path: public, source })?;
    Ok(key)
}

/// Looks whether the station's key can be used; fine if it has none yet, or if whoever looks may not read it.
///
/// # Errors
/// If it cannot.
pub fn examine_key(dir: &Path) -> Result<(), SignError> {
    let secret = dir.join(SECRET);
    match File::open(&secret) {
        Ok(_) => key(dir).map(drop),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !dir.join(SIGNATURES).exists() => Ok(()),
        Err(source) => Err(SignError::File { what: "open", path: secret, source }),
    }
}

/// The public key that a person names: 64 hexadecimal digits, or a file that holds them.
///
/// # Errors
/// Says what is wrong with it.
pub fn public_key(named: &str) -> Result<PublicKey, String> {
    if let Ok(key) = PublicKey::from_str(named) {
        return Ok(key);
    }
    let text =
        fs::read_to_string(named).map_err(|error| format!("{named} is neither 64 hexadecimal digits nor a readable file: {error}"))?;
    PublicKey::from_str(text.trim()).map_err(|_| format!("{named} holds no public key; the station's is in its data folder, `{PUBLIC}`"))
}

/// The station's own public key, if it has signed anything yet.
#[must_use]
pub fn own_key(dir: &Path) -> Option<PublicKey> {
    PublicKey::from_str(fs::read_to_string(dir.join(PUBLIC)).ok()?.trim()).ok()
}

/// A line of the signatures that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// First byte of the line and the first after it.
    pub bytes: (u64, u64),
    /// What is wrong.
    pub what: String,
}

/// The checkpoints in `path` that `key` has signed, and what does not fit.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn read(path: &Path, key: PublicKey) -> Result<(Vec<Checkpoint>, Vec<BadLine>), StoreError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|source| StoreError::Directory { what: "read", path: path.to_owned(), source })?,
    };
    let (mut good, mut bad) = (Vec::<Checkpoint>::new(), Vec::new());
    let (mut previous, mut from) = (Digest::default(), 0_u64);
    for (index, bytes) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let to = from + u64::try_from(bytes.len()).unwrap_or(0);
        let mut tell = |what: &str| bad.push(BadLine { line: index + 1, bytes: (from, to), what: what.to_owned() });
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        match std::str::from_utf8(line).ok().and_then(Checkpoint::parse) {
            None if !bytes.ends_with(b"\n") => tell("the line is cut short"),
            None => tell("it is no signature"),
            Some(point) if point.key != key => tell("it is by another key"),
            Some(point) if !point.is_signed_by(key) => tell("it is not what was signed"),
            Some(point) => {
                if point.previous != previous {
                    tell("it does not follow the line before: one was taken out or put in");
                } else if good.last().is_some_and(|last| last.number >= point.number) {
                    tell("it covers less than the one before");
                }
                good.push(point);
            }
        }
        previous = Digest::of(line);
        from = to;
    }
    Ok((good, bad))
}

/// Digests of signed entries, as the ledger has them.
pub type Found = BTreeMap<u64, Digest>;
