//! The register of pictures: what was kept, and what was let go, when and why. A text file that only grows.
//!
//! `images/register` has lines of 198 bytes, so that a line is found by counting and read by eye (`grep DIGEST register`):
//!
//! ```text
//! 1 kept      reject         -        2026-11-24T03:00:00Z 001795489200 000000000017 0000000007 0123456789abcdef 000000051234 DIGEST CRC
//! │ what      class          reason   wall clock           age clock    record       lot        serial           bytes        pixels
//! └ version
//! ```
//! `kept`: this record wants the picture. `let-go`: it does not any more; with its last record the file is removed. `overrule`,
//! `complaint`, `decided`: decision number `bytes` is heeded. `time`: the age clock goes on. The age clock counts seconds that a
//! station has run (see `shelf.rs`); the serial is the first 8 bytes of its SHA-256. The CRC32C is of what stands before it.
//!
//! Invariants: a line is never changed; a picture is removed only after its `let-go` is durable; a line that power or a kill cut
//! short is cut off at the next start; a damaged line is passed over and named, and says nothing about the others.

use super::policy::{Class, Reason};
use station::units::Digest;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Name of the file among the pictures.
pub const REGISTER: &str = "register";
/// Bytes of a line.
pub const WIDTH: usize = 198;
/// Where a line's record and check stand.
const RECORD: std::ops::Range<usize> = 70..82;
const CHECKED: usize = 188;
/// Lines read at once.
const LINES: usize = 4096;

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// A record wants this picture.
    Kept,
    /// It does not any more.
    LetGo,
    /// An overrule of a piece was heeded.
    Overrule,
    /// A complaint about a piece was heeded.
    Complaint,
    /// Any other decision was heeded.
    Decided,
    /// Nothing but the time.
    Time,
}

const WORDS: [(Word, &str); 6] = [
    (Word::Kept, "kept"),
    (Word::LetGo, "let-go"),
    (Word::Overrule, "overrule"),
    (Word::Complaint, "complaint"),
    (Word::Decided, "decided"),
    (Word::Time, "time"),
];

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What it tells.
    pub word: Word,
    /// Of which class.
    pub class: Option<Class>,
    /// Why it was let go.
    pub reason: Option<Reason>,
    /// Seconds since 1970 by the wall clock.
    pub wall_secs: i64,
    /// Seconds of the age clock.
    pub age_secs: u64,
    /// The piece record; 0 if it is not known.
    pub record: u64,
    /// Its lot; 0 if it is not known.
    pub lot: u32,
    /// Its serial, shortened; 0 if it has none.
    pub serial: u64,
    /// Bytes of the file, or the number of the decision.
    pub number: u64,
    /// The picture.
    pub digest: Digest,
}

impl Line {
    /// The line as it stands in the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let word = WORDS.iter().find(|(word, _)| *word == self.word).map_or("", |(_, name)| name);
        let (class, reason) = (self.class.map_or("-", Class::name), self.reason.map_or("-", Reason::name));
        let Self { age_secs, record, lot, serial, number, digest, .. } = self;
        let wall = wall_text(self.wall_secs);
        // Numbers that do not fit into their columns are none that a station has.
        let (age, record, number) = ((*age_secs).min(MOST), (*record).min(MOST), (*number).min(MOST));
        let text =
            format!("1 {word:<9} {class:<14} {reason:<8} {wall} {age:012} {record:012} {lot:010} {serial:016x} {number:012} {digest} ");
        let check = crc32c::crc32c(text.as_bytes());
        format!("{text}{check:08x}\n")
    }

    /// Reads a line; `None` if it is not what was written.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() == WIDTH && text.is_ascii() && text.ends_with('\n'))?;
        let check = &text[CHECKED + 1..WIDTH - 1];
        // Upper case would be read as the same number: a flipped bit that changes nothing is a flipped bit all the same.
        if format!("{:08x}", crc32c::crc32c(&bytes[..=CHECKED])) != check {
            return None;
        }
        let mut fields = text.split_ascii_whitespace();
        let mut next = || fields.next();
        if next()? != "1" {
            return None;
        }
        let word = next()?;
        let (word, _) = WORDS.iter().find(|(_, name)| *name == word)?;
        let (class, reason) = (Class::from_name(next()?), Reason::from_name(next()?));
        Some(Self {
            word: *word,
            class,
            reason,
            wall_secs: next()?.parse::<jiff::Timestamp>().ok()?.as_second(),
            age_secs: next()?.parse().ok()?,
            record: next()?.parse().ok()?,
            lot: next()?.parse().ok()?,
            serial: u64::from_str_radix(next()?, 16).ok()?,
            number: next()?.parse().ok()?,
            digest: Digest::from_hex(next()?)?,
        })
    }
}

/// The greatest number of a column.
const MOST: u64 = 999_999_999_999;

/// Wall time to the second, as everybody reads it. What no calendar has is 1970.
#[must_use]
pub fn wall_text(wall_secs: i64) -> String {
    let time = jiff::Timestamp::from_second(wall_secs).ok().filter(|_| (0..=253_402_300_799).contains(&wall_secs));
    time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A serial as the register has it.
#[must_use]
pub fn short(serial: &str) -> u64 {
    let digest = Digest::of(serial.as_bytes()).0;
    digest[..8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// The register, open for writing by the one process that may.
#[derive(Debug)]
pub struct Register {
    file: File,
    len: u64,
    /// True if not all of it is durable.
    unsynced: bool,
}

impl Register {
    /// Opens or creates it, and gives every whole line to `visit`. An unfinished line at the end is cut off.
    ///
    /// # Errors
    /// If the file cannot be made, read or cut.
    pub fn open(path: &Path, visit: &mut dyn FnMut(Line)) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let read = read_lines(path, &mut |_, line| {
            if let Some(line) = line {
                visit(line);
            }
        })?;
        if file.metadata()?.len() > read {
            file.set_len(read)?;
        }
        Ok(Self { file, len: read, unsynced: true })
    }

    /// Adds lines, not yet durable.
    ///
    /// # Errors
    /// If they cannot be written; what was written of them is written over by the next ones.
    pub fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let text: String = lines.iter().map(Line::to_text).collect();
        self.file.write_all_at(text.as_bytes(), self.len)?;
        self.len += u64::try_from(text.len()).unwrap_or(0);
        self.unsynced = true;
        Ok(())
    }

    /// Makes everything durable that was added.
    ///
    /// # Errors
    /// If the disk does not do it.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Visits every line with its first byte; `None` is a damaged one. Gives back the bytes of all lines, without an unfinished end.
///
/// # Errors
/// If the file cannot be read.
pub fn read_lines(path: &Path, visit: &mut dyn FnMut(u64, Option<Line>)) -> io::Result<u64> {
    each(path, &mut |at, bytes| visit(at, Line::from_bytes(bytes)))
}

/// What the register says last of the pictures of some records.
#[derive(Debug, Default)]
pub struct History(BTreeMap<(u64, Digest), Line>);

impl History {
    /// Reads the lines of these records, and those that name none, in one go.
    ///
    /// # Errors
    /// If the file cannot be read; one that is not there says nothing.
    pub fn read(path: &Path, is_wanted: &dyn Fn(u64) -> bool) -> io::Result<Self> {
        let mut lines = BTreeMap::new();
        let looked = each(path, &mut |_, bytes| {
            let record = bytes[RECORD].iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit & 0xF));
            let line = (record == 0 || is_wanted(record)).then(|| Line::from_bytes(bytes)).flatten();
            if let Some(line) = line.filter(|line| matches!(line.word, Word::Kept | Word::LetGo)) {
                lines.insert((line.record, line.digest), line);
            }
        });
        match looked {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            looked => looked.map(|_| Self(lines)),
        }
    }

    /// The last line of a record's picture, or of the picture if no record was named with it.
    #[must_use]
    pub fn last(&self, record: u64, digest: Digest) -> Option<&Line> {
        self.0.get(&(record, digest)).or_else(|| self.0.get(&(0, digest)))
    }

    /// The pictures of a record.
    pub fn of_record(&self, record: u64) -> impl Iterator<Item = Digest> {
        self.0.range((record, Digest([0; 32]))..=(record, Digest([0xFF; 32]))).map(|((_, digest), _)| *digest)
    }
}

fn each(path: &Path, visit: &mut dyn FnMut(u64, &[u8])) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let (mut block, mut at) = (vec![0; WIDTH * LINES], 0);
    loop {
        let read = fill(&mut file, &mut block)?;
        for line in block[..read].chunks_exact(WIDTH) {
            visit(at, line);
            at += u64::try_from(WIDTH).unwrap_or(0);
        }
        if read < block.len() {
            return Ok(at);
        }
    }
}

fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < block.len() {
        match file.read(&mut block[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Line {
        Line {
            word: Word::LetGo,
            class: Some(Class::LowConfidence),
            reason: Some(Reason::Headroom),
            wall_secs: 1_795_489_200,
            age_secs: 1_795_489_201,
            record: number,
            lot: u32::MAX,
            serial: short("SN1"),
            number: 51_234,
            digest: Digest::of(&number.to_le_bytes()),
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_no_flipped_bit_goes_unnoticed() {
        let text = line(17).to_text();
        assert_eq!(text.len(), WIDTH, "{text}");
        assert_eq!(&text[RECORD], "000000000017");
        assert_eq!(Line::from_bytes(text.as_bytes()), Some(line(17)));
        let time = Line { word: Word::Time, class: None, reason: None, wall_secs: i64::MAX, digest: Digest::default(), ..line(0) };
        assert_eq!(Line::from_bytes(time.to_text().as_bytes()), Some(Line { wall_secs: 0, ..time }));
        for at in 0..WIDTH * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            assert_eq!(Line::from_bytes(&bytes), None, "bit {at}");
        }
    }

    #[test]
    fn an_unfinished_line_is_cut_off_and_a_damaged_one_says_nothing_about_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(REGISTER);
        let mut register = Register::open(&path, &mut |_| panic!("it is new")).unwrap();
        register.append(&(1..=LINES as u64 + 3).map(line).collect::<Vec<_>>()).unwrap();
        register.sync().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[WIDTH + 20] ^= 1;
        bytes.truncate(bytes.len() - 7);
        std::fs::write(&path, &bytes).unwrap();
        let mut seen = Vec::new();
        let mut register = Register::open(&path, &mut |line| seen.push(line.record)).unwrap();
        assert_eq!((seen.len(), seen[0], seen[1], seen.last()), (LINES + 1, 1, 3, Some(&(LINES as u64 + 2))));
        register.append(&[line(9)]).unwrap();
        let nine = Digest::of(&9_u64.to_le_bytes());
        let history = History::read(&path, &|record| record == 9).unwrap();
        assert_eq!((history.of_record(9).collect::<Vec<_>>(), history.last(9, nine)), (vec![nine], Some(&line(9))));
        assert_eq!(history.last(3, Digest::of(&3_u64.to_le_bytes())), None, "nobody asked for it");
        let mut bad = Vec::new();
        read_lines(&path, &mut |at, line| bad.extend(line.is_none().then_some(at))).unwrap();
        assert_eq!(bad, [WIDTH as u64]);
        assert_eq!(History::read(&dir.path().join("none"), &|_| true).unwrap().of_record(9).count(), 0);
    }
}
