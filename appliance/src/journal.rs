//! The incident journal: everything the station was told, in order, so that `jidoka replay` can tell it again.
//!
//! A journal is a directory of files `NNNNNNNN.jsonl`, one JSON object per line. The first line is a [`Header`]; every other line
//! is a [`Line`]: the event, when it came, and the digest of what the station answered. A file that is full is followed by
//! the next one, whose header says that it continues; the oldest files are deleted, so a replay is possible from the last file whose
//! header does not continue. Call [`JournalWriter::begin`] from time to time with a fresh resume state to make one.
//!
//! Invariants: the journal never holds the line up (a failed write is counted, told once, and tried again with the next file);
//! it is bounded in bytes; the last line of a killed process may be torn, and a reader says so instead of failing.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use station::station::{Effect, Event};
use station::units::{Digest, Timestamp};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// The format this program writes.
pub const FORMAT: u32 = 1;

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Format of the file, 1.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// Everything a station is built from: recipe, identity, control plan.
    pub station: Value,
    /// What the station remembered before the first event of this file.
    pub resume: Value,
    /// True if the file only continues the one before; `station` and `resume` are then null.
    pub continues: bool,
}

/// One event and what it caused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Number of the event since the last header that does not continue, from 1. A jump means that lines were lost.
    pub n: u64,
    /// When the event came.
    pub now: Timestamp,
    /// The event.
    pub event: Event,
    /// How many effects it caused.
    pub effects: usize,
    /// SHA-256 over the JSON bytes of the list of effects.
    pub digest: Digest,
}

/// How large a journal may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalSettings {
    /// A file that has reached this many bytes is followed by the next one.
    pub file_bytes: u64,
    /// This many files stay, the one being written included; at least 1.
    pub files_max: usize,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { file_bytes: 32 << 20, files_max: 8 }
    }
}

/// The journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk does not do its work.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is not what a journal holds.
    #[error("{}, line {line}: not a line of a journal", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// What the decoder said.
        #[source]
        source: serde_json::Error,
    },
    /// The file is from another program.
    #[error("{} is in journal format {format}; this program reads format {FORMAT}: replay it with the program that wrote it ({program})", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The program that wrote it.
        program: String,
    },
    /// Lines are missing in the middle.
    #[error("{}, line {line}: event {found} follows event {before}; what is between was not written", .path.display())]
    Gap {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// The event before.
        before: u64,
        /// This event.
        found: u64,
    },
    /// No file of the directory begins a journal.
    #[error("{} holds no journal that begins at its beginning: the first files were deleted, keep more of them", .0.display())]
    NoBeginning(PathBuf),
}

/// SHA-256 over the JSON bytes of the list of effects, as a journal keeps it and a replay recomputes it.
pub fn digest_of(effects: &[Effect]) -> Result<Digest, serde_json::Error> {
    let mut hasher = Hasher(Sha256::new());
    serde_json::to_writer(&mut hasher, effects)?;
    Ok(Digest(hasher.0.finalize().into()))
}

struct Hasher(Sha256);

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a journal.
#[derive(Debug)]
pub struct JournalWriter {
    dir: PathBuf,
    settings: JournalSettings,
    program: String,
    ordinal: u32,
    file: Option<BufWriter<File>>,
    bytes: u64,
    events: u64,
    lost: u64,
    trouble: Option<JournalError>,
    is_told: bool,
}

impl JournalWriter {
    /// Creates the next file in `dir`. `station` and `resume` are what a replay starts from.
    pub fn create(dir: &Path, settings: JournalSettings, program: &str, station: Value, resume: Value) -> Result<Self, JournalError> {
        fs::create_dir_all(dir).map_err(|source| failed("create", dir, source))?;
        let ordinal = files(dir)?.last().map_or(0, |(ordinal, _)| *ordinal);
        let mut writer = Self {
            dir: dir.to_owned(),
            settings,
            program: program.to_owned(),
            ordinal,
            file: None,
            bytes: 0,
            events: 0,
            lost: 0,
            trouble: None,
            is_told: false,
        };
        writer.start_file(station, resume, false)?;
        Ok(writer)
    }

    /// Begins a file from which a replay can start: `resume` is what the station remembers now.
    pub fn begin(&mut self, station: Value, resume: Value) {
        self.events = 0;
        let begun = self.start_file(station, resume, false);
        self.note(begun);
    }

    /// Writes one event down. Never fails and never waits for the disk beyond one buffered write; see [`JournalWriter::trouble`].
    pub fn record(&mut self, now: Timestamp, event: &Event, effects: &[Effect]) {
        self.events += 1;
        let written = self.try_record(now, event, effects);
        self.lost += u64::from(written.is_err());
        self.note(written);
    }

    /// True if the file being written is full: a good moment to [`JournalWriter::begin`]. If nobody does, the next file continues it.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bytes >= self.settings.file_bytes
    }

    /// Hands what is buffered to the system, so that it outlives the process.
    pub fn flush(&mut self) {
        let flushed = self.file.as_mut().map_or(Ok(()), io::Write::flush);
        let path = self.path();
        self.note(flushed.map_err(|source| failed("write", &path, source)));
    }

    /// Events known not to be written (what a failing file still had in its buffer shows as a gap to the reader).
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The first trouble, once.
    pub const fn trouble(&mut self) -> Option<JournalError> {
        self.trouble.take()
    }

    fn try_record(&mut self, now: Timestamp, event: &Event, effects: &[Effect]) -> Result<(), JournalError> {
        let encode = |source: serde_json::Error| failed("encode an event for", &self.dir, source.into());
        let digest = digest_of(effects).map_err(encode)?;
        let line = Borrowed { n: self.events, now, event, effects: effects.len(), digest };
        let line = serde_json::to_vec(&line).map_err(encode)?;
        if self.file.is_none() || self.is_full() {
            self.start_file(Value::Null, Value::Null, true)?;
        }
        self.write(line)
    }

    fn write(&mut self, mut line: Vec<u8>) -> Result<(), JournalError> {
        line.push(b'\n');
        let written = self.file.as_mut().map_or_else(|| Err(io::ErrorKind::NotFound.into()), |file| file.write_all(&line));
        match written {
            Ok(()) => {
                self.bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
                Ok(())
            }
            Err(source) => {
                // What the buffer still holds would be written after the gap: into_parts drops it, the next event starts a file.
                if let Some(file) = self.file.take() {
                    drop(file.into_parts());
                }
                Err(failed("write", &self.path(), source))
            }
        }
    }

    fn start_file(&mut self, station: Value, resume: Value, continues: bool) -> Result<(), JournalError> {
        if let Some(mut file) = self.file.take()
            && let Err(source) = file.flush()
        {
            drop(file.into_parts());
            let error = failed("write", &self.path(), source);
            self.note(Err(error));
        }
        self.ordinal += 1;
        let path = self.path();
        let file = File::options().write(true).create_new(true).open(&path).map_err(|source| failed("create", &path, source))?;
        self.file = Some(BufWriter::with_capacity(256 << 10, file));
        self.bytes = 0;
        let header = Header { format: FORMAT, program: self.program.clone(), station, resume, continues };
        let header = serde_json::to_vec(&header).map_err(|source| failed("encode the header of", &path, source.into()))?;
        self.write(header)?;
        self.forget_old()
    }

    fn forget_old(&self) -> Result<(), JournalError> {
        let files = files(&self.dir)?;
        let surplus = files.len().saturating_sub(self.settings.files_max.max(1));
        for (_, path) in &files[..surplus] {
            fs::remove_file(path).map_err(|source| failed("delete", path, source))?;
        }
        Ok(())
    }

    fn note(&mut self, result: Result<(), JournalError>) {
        if let Err(error) = result
            && !self.is_told
        {
            self.is_told = true;
            self.trouble = Some(error);
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(format!("{:08}.jsonl", self.ordinal))
    }
}

#[derive(Serialize)]
struct Borrowed<'a> {
    n: u64,
    now: Timestamp,
    event: &'a Event,
    effects: usize,
    digest: Digest,
}

/// Reads a journal: the header, then the lines.
#[derive(Debug)]
pub struct JournalReader {
    header: Header,
    files: std::vec::IntoIter<PathBuf>,
    file: Option<BufReader<File>>,
    path: PathBuf,
    line: u64,
    before: u64,
    is_torn: bool,
}

impl JournalReader {
    /// Opens one file, or in a directory the last file that does not continue another, and everything after it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut chain = if path.is_dir() { files(path)?.into_iter().map(|(_, path)| path).collect() } else { vec![path.to_owned()] };
        let mut begins = None;
        for (index, file) in chain.iter().enumerate().rev() {
            let (header, reader) = open_file(file)?;
            if !header.continues {
                begins = Some((index, header, reader));
                break;
            }
        }
        let (index, header, reader) = begins.ok_or_else(|| JournalError::NoBeginning(path.to_owned()))?;
        let files = chain.split_off(index).into_iter();
        let mut reader = Self { header, files, file: Some(reader), path: PathBuf::new(), line: 1, before: 0, is_torn: false };
        reader.path = reader.files.next().unwrap_or_default();
        Ok(reader)
    }

    /// What the replay starts from.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// File and line of the last line given.
    #[must_use]
    pub fn place(&self) -> (&Path, u64) {
        (&self.path, self.line)
    }

    /// True once the end was reached and the last line had been cut short by a kill.
    #[must_use]
    pub const fn is_torn(&self) -> bool {
        self.is_torn
    }

    fn next_line(&mut self) -> Result<Option<Line>, JournalError> {
        loop {
            let Some(file) = &mut self.file else { return Ok(None) };
            let mut bytes = Vec::new();
            file.read_until(b'\n', &mut bytes).map_err(|source| failed("read", &self.path, source))?;
            if bytes.last() == Some(&b'\n') {
                self.line += 1;
                let (path, line) = (self.path.clone(), self.line);
                let read: Line =
                    serde_json::from_slice(&bytes).map_err(|source| JournalError::Line { path: path.clone(), line, source })?;
                let before = std::mem::replace(&mut self.before, read.n);
                if read.n != before + 1 {
                    return Err(JournalError::Gap { path, line, before, found: read.n });
                }
                return Ok(Some(read));
            }
            self.is_torn |= !bytes.is_empty();
            self.file = None;
            if let Some(path) = self.files.next() {
                let (_, reader) = open_file(&path)?;
                (self.file, self.path, self.line) = (Some(reader), path, 1);
            }
        }
    }
}

impl Iterator for JournalReader {
    type Item = Result<Line, JournalError>;

    /// After an error there are no more lines: what follows a gap cannot be replayed.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_line().transpose();
        if matches!(next, Some(Err(_))) {
            self.file = None;
            self.files = Vec::new().into_iter();
        }
        next
    }
}

fn open_file(path: &Path) -> Result<(Header, BufReader<File>), JournalError> {
    let file = File::open(path).map_err(|source| failed("open", path, source))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).map_err(|source| failed("read", path, source))?;
    let header: Header = serde_json::from_slice(&line).map_err(|source| JournalError::Line { path: path.to_owned(), line: 1, source })?;
    match header.format {
        FORMAT => Ok((header, reader)),
        format => Err(JournalError::Format { path: path.to_owned(), format, program: header.program }),
    }
}

/// The files of a journal, oldest first.
fn files(dir: &Path) -> Result<Vec<(u32, PathBuf)>, JournalError> {
    let listed = fs::read_dir(dir).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>());
    let listed = listed.map_err(|source| failed("list", dir, source))?;
    let ordinal = |path: &PathBuf| path.file_name()?.to_str()?.strip_suffix(".jsonl").filter(|stem| stem.len() == 8)?.parse().ok();
    let mut out: Vec<(u32, PathBuf)> = listed.into_iter().filter_map(|path| Some((ordinal(&path)?, path))).collect();
    out.sort_unstable();
    Ok(out)
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use station::piece::{Arrival, PieceId};
    use station::record::EntryNumber;
    use station::units::EncoderCount;

    fn event(number: u32) -> Event {
        if number.is_multiple_of(3) {
            return Event::Tick;
        }
        let arrival = Arrival {
            acquisition: 0,
            piece: PieceId(number),
            serial: Some(format!("S{number}")),
            lot: 1,
            encoder: EncoderCount(number),
            golden: false,
            retain: false,
            user_data: Vec::new(),
        };
        Event::Arrived(arrival)
    }

    fn now(number: u32) -> Timestamp {
        Timestamp { wall_micros: i64::from(number), mono_micros: u64::from(number) }
    }

    fn effects(number: u32) -> Vec<Effect> {
        (0..number % 4).map(|beat| Effect::Command(station::line::LineCommand::Beat(u16::try_from(beat).unwrap()))).collect()
    }

    fn written(dir: &Path, settings: JournalSettings, events: u32) -> JournalWriter {
        let mut writer = JournalWriter::create(dir, settings, "jidoka 0.1.0", json!({"recipe": "pcb"}), json!({"last": 7})).unwrap();
        (1..=events).for_each(|number| writer.record(now(number), &event(number), &effects(number)));
        writer.flush();
        assert!(writer.trouble().is_none());
        writer
    }

    #[test]
    fn what_was_written_is_read_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let settings = JournalSettings { file_bytes: 2000, files_max: 100 };
        written(dir.path(), settings, 200);
        assert!(files(dir.path()).unwrap().len() > 5);
        let mut reader = JournalReader::open(dir.path()).unwrap();
        assert_eq!((reader.header().station["recipe"].as_str(), reader.header().resume["last"].as_u64()), (Some("pcb"), Some(7)));
        for number in 1..=200 {
            let line = reader.next().unwrap().unwrap();
            assert_eq!((line.n, line.now, line.event), (u64::from(number), now(number), event(number)));
            assert_eq!((line.effects, line.digest), (effects(number).len(), digest_of(&effects(number)).unwrap()));
        }
        assert!(reader.next().is_none() && !reader.is_torn());
    }

    #[test]
    fn a_digest_is_the_digest_of_the_json() {
        let json = serde_json::to_vec(&effects(3)).unwrap();
        assert_eq!(digest_of(&effects(3)).unwrap(), Digest::of(&json));
        assert_eq!(json, br#"[{"command":{"beat":0}},{"command":{"beat":1}},{"command":{"beat":2}}]"#);
    }

    #[test]
    fn old_files_go_and_a_fresh_beginning_can_be_replayed() {
        let dir = tempfile::tempdir().unwrap();
        let settings = JournalSettings { file_bytes: 2000, files_max: 3 };
        let mut writer = written(dir.path(), settings, 200);
        assert_eq!(files(dir.path()).unwrap().len(), 3);
        let refused = JournalReader::open(dir.path()).unwrap_err();
        assert!(matches!(refused, JournalError::NoBeginning(_)), "{refused}");
        writer.begin(json!("station"), json!("now"));
        (1..=4).for_each(|number| writer.record(now(number), &event(number), &[]));
        drop(writer);
        let reader = JournalReader::open(dir.path()).unwrap();
        assert_eq!(reader.header().resume, json!("now"));
        assert_eq!(reader.map(|line| line.unwrap().n).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_torn_last_line_is_told_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), JournalSettings::default(), 9);
        let path = dir.path().join("00000001.jsonl");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut reader = JournalReader::open(&path).unwrap();
        assert_eq!(reader.by_ref().map(Result::unwrap).count(), 8);
        assert!(reader.is_torn());

        let text = String::from_utf8(whole.clone()).unwrap();
        fs::write(&path, text.replacen("\"S5\"", "S5", 1)).unwrap();
        let lines: Vec<_> = JournalReader::open(&path).unwrap().collect();
        assert_eq!(lines.len(), 5);
        let told = lines[4].as_ref().unwrap_err().to_string();
        assert!(told.contains("line 6"), "{told}");

        fs::write(&path, text.lines().filter(|line| !line.contains("\"S5\"")).fold(String::new(), |all, line| all + line + "\n")).unwrap();
        let last = JournalReader::open(&path).unwrap().last().unwrap().unwrap_err();
        assert!(matches!(last, JournalError::Gap { line: 6, before: 4, found: 6, .. }), "{last}");

        fs::write(&path, text.replacen("\"format\":1", "\"format\":9", 1)).unwrap();
        assert!(matches!(JournalReader::open(&path), Err(JournalError::Format { format: 9, .. })));
        fs::write(&path, b"").unwrap();
        assert!(matches!(JournalReader::open(&path), Err(JournalError::Line { line: 1, .. })));
    }

    #[test]
    fn a_disk_that_refuses_costs_events_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("journal");
        let mut writer = written(&home, JournalSettings { file_bytes: 300, files_max: 4 }, 0);
        fs::remove_dir_all(&home).unwrap();
        fs::File::create(&home).unwrap().write_all(b"no directory").unwrap();
        for number in 1..=20 {
            writer.record(now(number), &Event::Kept(EntryNumber(u64::from(number))), &[]);
        }
        assert!(writer.lost() > 10, "{}", writer.lost());
        assert!(writer.trouble().is_some() && writer.trouble().is_none());
        fs::remove_file(&home).unwrap();
        fs::create_dir(&home).unwrap();
        let lost = writer.lost();
        writer.begin(json!(1), json!(2));
        writer.record(now(1), &Event::Tick, &[]);
        drop(writer);
        assert!(lost > 0);
        assert_eq!(JournalReader::open(&home).unwrap().map(Result::unwrap).count(), 1);
    }
}
