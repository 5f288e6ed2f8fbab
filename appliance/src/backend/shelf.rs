//! Where captured things are kept: lines of JSON, written together, then one line that says they belong together.
//!
//! ```text
//! {"item":{…}}                       one event or grade as captured
//! {"commit":{"items":2,…}}           the items since the last commit are kept; fdatasync follows, then the answer
//! ```
//! Invariants: the file only grows; an item without its commit line was never acknowledged and is not read back; what cannot be
//! read is counted and set aside, never silently dropped, and does not keep the rest from being read.

use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where an item lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    offset: u64,
    length: usize,
}

/// An open file of captured things.
#[derive(Debug)]
pub(super) struct Shelf {
    file: File,
    length: u64,
    /// A failed write could not be undone: nothing more is taken until the next start.
    broken: bool,
}

/// What is read back, in the order in which it was kept.
#[derive(Debug)]
pub(super) enum Kept {
    /// An item and its place.
    Item(Span, Value),
    /// What the commit said that came with the items before.
    Commit(Value),
}

impl Shelf {
    /// Opens or creates `path`, tells `each` what is whole, and returns how many lines are not. A tail that was never
    /// committed is set aside in `path` + `.lost`.
    pub(super) fn open(path: &Path, each: &mut dyn FnMut(Kept)) -> io::Result<(Self, u64)> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        let (lost_lines, whole) = read_back(&file, each)?;
        let end = file.seek(SeekFrom::End(0))?;
        if end > whole {
            set_aside(&mut file, path, whole)?;
        }
        Ok((Self { file, length: whole, broken: false }, lost_lines))
    }

    /// Keeps `items` together. They are durable when this returns; on an error none of them is kept.
    pub(super) fn append(&mut self, items: &[Value], mut commit: Value) -> io::Result<Vec<Span>> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed half-way; the file takes nothing more before a restart"));
        }
        let mut bytes = Vec::new();
        let mut spans = Vec::with_capacity(items.len());
        for item in items {
            let line = serde_json::to_vec(&serde_json::json!({ "item": item }))?;
            let before = u64::try_from(bytes.len()).map_err(io::Error::other)?;
            spans.push(Span { offset: self.length + before, length: line.len() });
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        if let Some(fields) = commit.as_object_mut() {
            fields.insert("items".to_owned(), items.len().into());
        }
        serde_json::to_writer(&mut bytes, &serde_json::json!({ "commit": commit }))?;
        bytes.push(b'\n');
        match self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.length += u64::try_from(bytes.len()).map_err(io::Error::other)?;
                Ok(spans)
            }
            Err(error) => {
                // Pages of a failed fsync may be gone: nothing built on them is trusted, the half-written tail is cut off.
                self.broken = self.file.set_len(self.length).and_then(|()| self.file.sync_all()).is_err();
                Err(error)
            }
        }
    }

    /// Reads one item.
    pub(super) fn read(&self, span: Span) -> io::Result<Value> {
        let mut line = vec![0; span.length];
        self.file.read_exact_at(&mut line, span.offset)?;
        item_of(&line).ok_or_else(|| io::Error::other(format!("the line at byte {} changed since it was read", span.offset)))
    }
}

fn item_of(line: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(line).ok()?.get_mut("item").map(Value::take)
}

/// Reads all commits; returns the lines that are lost, and the length up to and including the last commit.
fn read_back(file: &File, each: &mut dyn FnMut(Kept)) -> io::Result<(u64, u64)> {
    let mut lost_lines = 0;
    let mut pending: Vec<(Span, Value)> = Vec::new();
    let (mut offset, mut whole) = (0, 0);
    let mut lines = BufReader::new(file);
    lines.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let length = u64::try_from(line.len()).map_err(io::Error::other)?;
        let complete = line.strip_suffix(b"\n");
        let value: Option<Value> = complete.and_then(|text| serde_json::from_slice(text).ok());
        match value {
            Some(mut value) if value.get("item").is_some() => {
                let span = Span { offset, length: line.len() - 1 };
                pending.push((span, value.get_mut("item").map(Value::take).unwrap_or_default()));
            }
            Some(mut value) if value.get("commit").is_some() => {
                let commit = value.get_mut("commit").map(Value::take).unwrap_or_default();
                lost_lines += take_committed(&mut pending, commit, each);
                whole = offset + length;
            }
            _ => lost_lines += 1,
        }
        offset += length;
        line.clear();
    }
    lost_lines += u64::try_from(pending.len()).map_err(io::Error::other)?;
    Ok((lost_lines, whole))
}

/// The last items before a commit line are its own; more than it names belong to a commit whose line is damaged, fewer mean
/// that some of its own lines are. Returns how many had no commit.
fn take_committed(pending: &mut Vec<(Span, Value)>, commit: Value, each: &mut dyn FnMut(Kept)) -> u64 {
    let count = commit.get("items").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let foreign = pending.len().saturating_sub(count);
    for (span, item) in pending.drain(..).skip(foreign) {
        each(Kept::Item(span, item));
    }
    each(Kept::Commit(commit));
    u64::try_from(foreign).unwrap_or(u64::MAX)
}

fn set_aside(file: &mut File, path: &Path, whole: u64) -> io::Result<()> {
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(whole))?;
    file.read_to_end(&mut tail)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lost");
    let mut aside = OpenOptions::new().append(true).create(true).open(name)?;
    aside.write_all(&tail)?;
    aside.sync_all()?;
    file.set_len(whole)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn open(path: &Path) -> (Shelf, Vec<String>, u64) {
        let mut texts = Vec::new();
        let mut each = |kept| {
            if let Kept::Item(_, item) = kept {
                texts.push(item.to_string());
            }
        };
        let (shelf, lost_lines) = Shelf::open(path, &mut each).unwrap();
        (shelf, texts, lost_lines)
    }

    #[test]
    fn a_torn_tail_is_set_aside_and_what_was_committed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut shelf = open(&path).0;
        shelf.append(&[json!("a"), json!("b")], json!({})).unwrap();
        let spans = shelf.append(&[json!("c")], json!({})).unwrap();
        assert_eq!(shelf.read(spans[0]).unwrap(), json!("c"));
        drop(shelf);
        let whole = std::fs::read(&path).unwrap();
        let mut tried = 0;
        let first = texts_after_cut(&path, &whole[..whole.len() - 1]);
        assert_eq!(first, ["\"a\"", "\"b\""]);
        for cut in 0..whole.len() {
            let kept = texts_after_cut(&path, &whole[..cut]);
            assert!(kept.is_empty() || kept == ["\"a\"", "\"b\""], "cut at {cut}: {kept:?}");
            tried += 1;
        }
        assert_eq!(tried, whole.len());
        assert_eq!(texts_after_cut(&path, &whole).len(), 3);
    }

    /// Opens a file cut short, adds one more item and opens it again: the addition must always be found.
    fn texts_after_cut(path: &Path, bytes: &[u8]) -> Vec<String> {
        std::fs::write(path, bytes).unwrap();
        let (mut shelf, found, _) = open(path);
        shelf.append(&[json!("new")], json!({})).unwrap();
        assert_eq!(open(path).1.last().map(String::as_str), Some("\"new\""));
        found
    }

    #[test]
    fn a_damaged_line_costs_its_item_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut shelf = open(&path).0;
        shelf.append(&[json!("a"), json!("b")], json!({})).unwrap();
        shelf.append(&[json!("c")], json!({})).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replacen("{\"item\":\"a\"}", "{\"item\":\"a\x00}", 1);
        std::fs::write(&path, text).unwrap();
        let (_, found, lost_lines) = open(&path);
        assert_eq!((found, lost_lines), (vec!["\"b\"".to_owned(), "\"c\"".to_owned()], 1));
    }
}
