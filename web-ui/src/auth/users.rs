//! The people who may sign in, kept in one JSON file.
//!
//! Invariants: the file is replaced whole or not at all, and only its owner can read it; a name is unique whatever its
//! case; checking a name that does not exist costs the same work as checking one that does.

use super::password;
use serde::{Deserialize, Serialize};
use station::action::{Person, Role};
use station::units::Digest;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Format of the file. A file with another number is refused rather than guessed at.
const FORMAT: u32 = 1;

const NAME_CHARS_MAX: usize = 64;

/// A file larger than this is not a list of users.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the users could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file could not be read.
    #[error("{}: the users could not be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("{}: the users could not be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a list of users.
    #[error("{}: not a list of users: {problem}; restore it from a backup, or move it away to set up anew", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Others than the owner can read or change the file.
    #[error("{}: mode {mode:o} lets others read it; run `chmod 600` on it", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The name is taken.
    #[error("the name `{0}` is taken; choose another")]
    NameTaken(String),
    /// The name cannot be used.
    #[error("a name has 1 to {NAME_CHARS_MAX} visible characters; choose another")]
    Name,
    /// The password is too weak.
    #[error("{0}")]
    Password(&'static str),
    /// Somebody has been set up already.
    #[error("the first person has been set up already; sign in instead")]
    NotFirst,
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Hash(#[source] password::HashError),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    users: Vec<User>,
    /// SHA-256 of the users as JSON without spaces: a flipped bit in a name or a role is noticed. Files of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<Digest>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    role: Role,
    /// argon2id, as a PHC string.
    password: String,
}

/// The people who may sign in.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    /// By name in lowercase.
    people: Mutex<BTreeMap<String, User>>,
    /// What the password of an unknown name is checked against, so that the time does not tell who exists.
    decoy: String,
}

impl Users {
    /// Reads the users from `path`. A file that does not exist is an empty list. Blocks.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, UsersError> {
        let path = path.into();
        let people = read(&path)?;
        let decoy = password::hash("nobody has this password").map_err(UsersError::Hash)?;
        Ok(Self { path, people: Mutex::new(people), decoy })
    }

    /// True if nobody can sign in yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.people().is_empty()
    }

    /// Adds a person and writes the file. Blocks for the hash and the disk.
    pub fn add(&self, name: &str, role: Role, password: &str) -> Result<Person, UsersError> {
        self.insert(name, role, password, false)
    }

    /// Adds the first person; refused as soon as there is anybody.
    pub(crate) fn add_first(&self, name: &str, role: Role, password: &str) -> Result<Person, UsersError> {
        self.insert(name, role, password, true)
    }

    /// The person, if the password is theirs. Blocks for the hash, also for a name that does not exist.
    pub(crate) fn verify(&self, name: &str, password: &str) -> Option<Person> {
        let user = self.people().get(&key(name)).cloned();
        let stored = user.as_ref().map_or(self.decoy.as_str(), |user| user.password.as_str());
        let fits = password::verify(password, stored);
        user.filter(|_| fits).map(|user| Person { name: user.name, role: user.role })
    }

    /// True if there is a person of this name. For the log only: a name nobody has may be a password typed into the wrong field.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.people().contains_key(&key(name))
    }

    fn insert(&self, name: &str, role: Role, password: &str, first_only: bool) -> Result<Person, UsersError> {
        let name = name.trim();
        check_name(name)?;
        check_password(name, password)?;
        let hashed = password::hash(password).map_err(UsersError::Hash)?;
        let mut people = self.people();
        if first_only && !people.is_empty() {
            return Err(UsersError::NotFirst);
        }
        if people.contains_key(&key(name)) {
            return Err(UsersError::NameTaken(name.to_owned()));
        }
        let mut changed = people.clone();
        changed.insert(key(name), User { name: name.to_owned(), role, password: hashed });
        write(&self.path, &changed)?;
        *people = changed;
        Ok(Person { name: name.to_owned(), role })
    }

    fn people(&self) -> MutexGuard<'_, BTreeMap<String, User>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

fn check_name(name: &str) -> Result<(), UsersError> {
    let chars = name.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX || name.chars().any(char::is_control) { Err(UsersError::Name) } else { Ok(()) }
}

fn check_password(name: &str, password: &str) -> Result<(), UsersError> {
    let chars = password.chars().count();
    let lower = password.to_lowercase();
    let mut kinds: Vec<char> = lower.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    if chars < password::CHARS_MIN {
        Err(UsersError::Password("the password is too short; use at least 12 characters"))
    } else if chars > password::CHARS_MAX {
        Err(UsersError::Password("the password is too long; use at most 200 characters"))
    } else if kinds.len() < 5 {
        Err(UsersError::Password("the password repeats itself; use at least 5 different characters"))
    } else if name.chars().count() >= 4 && lower.contains(&key(name)) {
        Err(UsersError::Password("the password contains the name; choose another"))
    } else {
        Ok(())
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, User>, UsersError> {
    let failed = |source| UsersError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(UsersError::TooOpen { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let broken = |problem| UsersError::Content { path: path.to_owned(), problem };
    let stored: Stored = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    if stored.format != FORMAT {
        return Err(broken(format!("format {} is not known here (this program knows {FORMAT})", stored.format)));
    }
    if stored.check.is_some_and(|expected| check(&stored.users) != Some(expected)) {
        let problem = "its check does not fit, so it is damaged (or was changed by hand: then remove the line `check`)";
        return Err(broken(problem.to_owned()));
    }
    let mut people = BTreeMap::new();
    for user in stored.users {
        if !password::is_usable(&user.password) {
            return Err(broken(format!("the password of `{}` is not an argon2id hash", user.name)));
        }
        if let Some(other) = people.insert(key(&user.name), user) {
            return Err(broken(format!("the name `{}` is there twice", other.name)));
        }
    }
    Ok(people)
}

fn check(users: &[User]) -> Option<Digest> {
    serde_json::to_vec(users).ok().map(|bytes| Digest::of(&bytes))
}

/// Beside, then over: a crash leaves the old file or the new one.
fn write(path: &Path, people: &BTreeMap<String, User>) -> Result<(), UsersError> {
    let failed = |source| UsersError::Write { path: path.to_owned(), source };
    let users: Vec<User> = people.values().cloned().collect();
    let stored = Stored { format: FORMAT, check: check(&users), users };
    let text = serde_json::to_vec_pretty(&stored).map_err(|error| failed(error.into()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(&text).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn every_flipped_bit_of_the_file_is_noticed_and_an_older_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        let users = Users::open(&path).unwrap();
        users.add("Li Wei", Role::Operator, "seven grey boards").unwrap();
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            // A hexadecimal digit in upper case means the same.
            let is_harmless = bytes[bit / 8].eq_ignore_ascii_case(&whole[bit / 8]) && bytes[bit / 8].is_ascii_hexdigit();
            assert!(read(&path).is_err() || is_harmless, "bit {bit}");
        }
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(read(&path).is_err(), "cut to {len} bytes");
        }
        let mut older: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        older.as_object_mut().unwrap().remove("check").unwrap();
        std::fs::write(&path, older.to_string()).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
    }

    #[test]
    fn people_survive_a_restart_and_no_password_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        let users = Users::open(&path).unwrap();
        assert!(users.is_empty());
        users.add("Li Wei", Role::Supervisor, "seven grey boards").unwrap();
        assert!(matches!(users.add("li wei", Role::Operator, "seven grey boards"), Err(UsersError::NameTaken(_))));

        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("grey"), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        let users = Users::open(&path).unwrap();
        let person = users.verify(" LI WEI ", "seven grey boards");
        assert_eq!(person, Some(Person { name: "Li Wei".into(), role: Role::Supervisor }));
        assert_eq!(users.verify("Li Wei", "seven grey Boards"), None);
        assert_eq!(users.verify("nobody", "seven grey boards"), None);
    }

    #[test]
    fn weak_passwords_and_impossible_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::open(folder.path().join("users.json")).unwrap();
        for (name, password) in
            [("anna", "short"), ("anna", "aaaaaaaaaaaaaaab"), ("anna", "xy anna 1234567"), ("anna", &"ab3d5".repeat(50))]
        {
            assert!(matches!(users.add(name, Role::Operator, password), Err(UsersError::Password(_))), "{password}");
        }
        for name in ["", "  ", "a\nb", &"x".repeat(65)] {
            assert!(matches!(users.add(name, Role::Operator, "seven grey boards"), Err(UsersError::Name)), "{name:?}");
        }
        assert!(users.is_empty());
    }

    #[test]
    fn only_one_person_can_be_first() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::open(folder.path().join("users.json")).unwrap();
        let first = std::thread::scope(|scope| {
            let tries = ["anna", "bert"].map(|name| scope.spawn(|| users.add_first(name, Role::Administrator, "seven grey boards")));
            tries.map(|one| one.join().unwrap())
        });
        assert_eq!(first.iter().filter(|one| one.is_ok()).count(), 1);
        assert_eq!(first.iter().filter(|one| matches!(one, Err(UsersError::NotFirst))).count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_broken_is_refused_with_its_mend() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        Users::open(&path).unwrap().add("anna", Role::Operator, "seven grey boards").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Users::open(&path).unwrap_err().to_string().contains("chmod 600"));

        for text in ["", "{}", r#"{"format":2,"users":[]}"#, r#"{"format":1,"users":[{"name":"a","role":"operator","password":"plain"}]}"#]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Users::open(&path), Err(UsersError::Content { .. })), "{text}");
        }
    }
}
