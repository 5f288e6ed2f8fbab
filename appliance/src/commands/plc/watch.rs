//! `plc watch`: the live registers of a PLC, for a person with a laptop.
//!
//! Invariants: it only reads; on a terminal it draws in place and never more than fits, elsewhere it appends.

use super::super::{Failure, say};
use super::target::{Target, find};
use crate::cli::PlcWatch;
use crate::pipeline::{at, runtime};
use plc_bridge::jmap::Order;
use plc_bridge::map::{Kind, Sample, TagSpec};
use plc_bridge::watch::{Board, Row, Watcher, table};
use serde_json::{Value, json};
use station::units::{Micros, Timestamp};
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Shows the live registers of a PLC.
pub fn watch(args: &PlcWatch) -> Result<(), Failure> {
    let mut target = find(&args.target)?;
    for text in &args.tags {
        let tags = tag(text)?;
        let plc = target.bridge.plc.as_mut().ok_or_else(|| usage("--tag needs a PLC that is asked".to_owned()))?;
        plc.tags.extend(tags);
    }
    known_names(args, &target)?;
    let (clock, title) = (target.bridge.clock.clone(), target.title);
    let in_place = !args.once && !args.json && std::io::stdout().is_terminal();
    let mut watcher = Watcher::new(target.bridge);
    runtime()?.block_on(async {
        loop {
            let board = only(watcher.look().await, &args.names);
            if args.json {
                say(&to_json(&board, clock()).to_string())?;
            } else if in_place {
                draw(&format!("{title}\n\n{}", table(&board, clock())))?;
            } else {
                say(&format!("{title}\n\n{}", table(&board, clock())))?;
            }
            if args.once {
                let troubles: Vec<&str> = board.troubles().collect();
                return if troubles.is_empty() { Ok(()) } else { Err(Failure { text: troubles.join("\n"), code: 1 }) };
            }
            tokio::time::sleep(Duration::from_millis(args.every_millis)).await;
        }
    })
}

fn usage(text: String) -> Failure {
    Failure { text, code: 64 }
}

/// `NAME=ADDRESS:KIND`, as tags. Several registers can lie in four orders, and all of them are shown: the right one is
/// the one whose value makes sense.
fn tag(text: &str) -> Result<Vec<TagSpec>, Failure> {
    let form = "write NAME=ADDRESS:KIND, for example speed=2000:f32; kinds are u16 i16 u32 i32 u64 i64 f32 f64";
    let refuse = |what: &str| usage(format!("--tag {text}: {what}; {form}"));
    let (name, place) = text.split_once('=').ok_or_else(|| refuse("there is no ="))?;
    let (address, kind) = place.split_once(':').ok_or_else(|| refuse("there is no kind"))?;
    let address = address.parse().map_err(|_| refuse("the address is not a number from 0 to 65535"))?;
    let kind = match kind {
        "u16" => Kind::U16,
        "i16" => Kind::I16,
        "u32" => Kind::U32,
        "i32" => Kind::I32,
        "u64" => Kind::U64,
        "i64" => Kind::I64,
        "f32" => Kind::F32,
        "f64" => Kind::F64,
        _ => return Err(refuse("this kind is not known")),
    };
    let spec =
        |name: String, order| TagSpec { order, sample: Sample::Every(Micros::from_millis(1000)), ..TagSpec::new(name, address, kind) };
    if kind.width() == 1 {
        return Ok(vec![spec(name.to_owned(), None)]);
    }
    let orders = [("", false, false), (" word_swap", true, false), (" byte_swap", false, true), (" both_swap", true, true)];
    Ok(orders.map(|(suffix, word_swap, byte_swap)| spec(format!("{name}{suffix}"), Some(Order { word_swap, byte_swap }))).to_vec())
}

/// A name that is nowhere would show an empty table, and nobody would know why.
fn known_names(args: &PlcWatch, target: &Target) -> Result<(), Failure> {
    let fields = plc_bridge::jmap::CONTROL.iter().chain(plc_bridge::jmap::STATUS).map(|field| field.name);
    let (plc, sources) = (target.bridge.plc.iter().flat_map(|plc| &plc.tags), target.bridge.sources.iter().flat_map(|source| &source.tags));
    let payload: Vec<_> = target.bridge.payload.tags(0).collect();
    let known: Vec<&str> = fields.chain(plc.chain(sources).chain(&payload).map(|tag| &*tag.name)).collect();
    match args.names.iter().find(|name| !known.iter().any(|known| is_meant(known, name))) {
        Some(name) => {
            let text = format!("{name}: no such field or tag; `jidoka plc symbols` lists the fields, the configuration file the tags");
            Err(usage(text))
        }
        None => Ok(()),
    }
}

/// The orders of one ad-hoc tag go by its name.
fn is_meant(shown: &str, name: &str) -> bool {
    shown.eq_ignore_ascii_case(name) || shown.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))
}

/// The board with only these names on it; all of it without any.
fn only(board: &Board, names: &[String]) -> Board {
    let mut board = board.clone();
    if !names.is_empty() {
        for section in &mut board.sections {
            section.rows.retain(|row| names.iter().any(|name| is_meant(&row.name, name)));
        }
        board.sections.retain(|section| !section.rows.is_empty() || section.trouble.is_some());
    }
    board
}

fn to_json(board: &Board, now: Timestamp) -> Value {
    let row = |row: &Row| {
        let aged = row.aged(now);
        let Row { name, place, value, unit, changed, .. } = row;
        json!({ "name": name, "place": place, "value": value, "unit": unit, "quality": aged.quality, "age_millis": aged.age.0 / 1000, "changed": changed })
    };
    let sections = board.sections.iter().map(|section| {
        let rows: Vec<Value> = section.rows.iter().map(row).collect();
        json!({ "title": section.title, "trouble": section.trouble, "rows": rows })
    });
    json!({ "at_wall_micros": board.at.wall_micros, "sections": sections.collect::<Vec<_>>() })
}

/// Draws over what stood there. Lines that are too long or too many would scroll, and the next picture would not meet this one.
fn draw(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    // A terminal that does not know its size says 0.
    let size = rustix::termios::tcgetwinsize(&out).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    let (rows, columns) = size.map_or((24, 80), |size| (usize::from(size.ws_row).max(4), usize::from(size.ws_col).max(20)));
    let picture = fitted(text, rows, columns);
    Ok(out.write_all(picture.as_bytes()).and_then(|()| out.flush()).map_err(at("standard output"))?)
}

/// Cursor home, each line cut to the width and cleared to its end, changed lines bold, the rest of the screen cleared.
fn fitted(text: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let fits = if lines.len() < rows { lines.len() } else { rows.saturating_sub(2) };
    let mut out = String::from("\x1b[H");
    for line in &lines[..fits] {
        let cut: String = line.chars().take(columns).collect();
        let (bold, plain) = if line.starts_with('*') { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        // Writing to a String cannot fail.
        let _infallible = write!(out, "{bold}{cut}{plain}\x1b[K\r\n");
    }
    if fits < lines.len() {
        let hint: String =
            format!("… {} more lines: name fields to see only them, or use --once", lines.len() - fits).chars().take(columns).collect();
        let _infallible = write!(out, "{hint}\x1b[K");
    }
    out.push_str("\x1b[J");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_never_scrolls() {
        let text: String = (0..50).map(|line| format!("line {line} {}\n", "x".repeat(100))).collect();
        let picture = fitted(&text, 24, 80);
        assert_eq!(picture.matches("\r\n").count(), 22, "and the hint, and a spare line");
        assert!(picture.contains("… 28 more lines"));
        assert!(picture.lines().all(|line| line.chars().filter(|letter| *letter != '\x1b').count() <= 80 + "[H[K[J".len()), "{picture}");
        let small = fitted("one\n* two\n", 24, 80);
        assert_eq!(small, "\x1b[Hone\x1b[K\r\n\x1b[1m* two\x1b[0m\x1b[K\r\n\x1b[J");
    }

    #[test]
    fn a_wide_tag_is_shown_in_every_order() {
        let names = |text: &str| tag(text).map(|tags| tags.iter().map(|tag| tag.name.to_string()).collect::<Vec<_>>());
        assert_eq!(names("speed=2000:f32").expect("valid"), ["speed", "speed word_swap", "speed byte_swap", "speed both_swap"]);
        assert_eq!(names("count=2000:u16").expect("valid"), ["count"]);
        for wrong in ["speed", "speed=2000", "speed=x:f32", "speed=70000:f32", "speed=1:real"] {
            let told = names(wrong).expect_err(wrong);
            assert!(told.code == 64 && told.text.contains("write NAME=ADDRESS:KIND"), "{wrong}: {told}");
        }
    }
}
