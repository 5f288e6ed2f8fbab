//! The map as text for PLC tools: symbols as CSV and as IEC 61131-3 structured text, and the PLC's half of the contract
//! as a function block with its ladder version.
//!
//! Invariants: every register and bit in these texts comes out of `CONTROL` and `STATUS`, none is written by hand; the
//! structured text is plain ASCII and names only fields that exist (tests compare it with the tables).

use super::{CONTROL, CONTROL_LEN, Field, Kind, MAP_VERSION, STATUS, STATUS_LEN, low_bits};
use std::fmt::{self, Write as _};

/// The function block's text, without registers.
const FUNCTION_BLOCK: &str = include_str!("fb_jidoka.st");
/// The ladder version, with the names of fields where addresses belong.
const LADDER: &str = include_str!("ladder.txt");

/// Both blocks as a symbol list for PLC tools: `name,block,register,bit,width,type,comment`, registers with their bases added.
#[must_use]
pub fn symbols_csv(control_base: u16, status_base: u16) -> String {
    let mut out = String::from("name,block,register,bit,width,type,comment\n");
    for (block, base, fields) in [("control", control_base, CONTROL), ("status", status_base, STATUS)] {
        for field in fields {
            let (kind, bit) = match field.kind {
                Kind::Bits { first, count: 1 } => ("BOOL", first.to_string()),
                Kind::Bits { first, count } => ("BITS", format!("{first}-{}", first + count - 1)),
                Kind::U16 => ("UINT", String::new()),
                Kind::U32 => ("UDINT", String::new()),
                Kind::Ascii => ("STRING", String::new()),
                Kind::Words => ("WORD", String::new()),
            };
            let register = u32::from(base) + u32::from(field.register);
            line(&mut out, format_args!("{},{block},{register},{bit},{},{kind},\"{}\"", field.name, field.width, field.doc));
        }
    }
    out
}

/// Both blocks as structured text: the types `JMAP_CONTROL` and `JMAP_STATUS` with every field, the two blocks as global
/// arrays at `%MW` addresses (holding register n is `%MWn`; other PLCs need another mapping), their registers by name for
/// watch tables, and the two function blocks that move fields between registers and types.
///
/// Wide values lie high word first, which is `word_swap = false`, `byte_swap = false` on the appliance's side, whatever
/// the PLC's own order is: the function blocks build them word by word.
#[must_use]
pub fn symbols_st(control_base: u16, status_base: u16) -> String {
    let mut out = format!(
        "(* JMAP version {MAP_VERSION}: the registers shared with the inspection appliance. Generated; change it there, not here.\n   \
         Control block: holding registers {control_base} to {}. Status block: {status_base} to {}. High word first. *)\n\n",
        u32::from(control_base) + u32::from(CONTROL_LEN) - 1,
        u32::from(status_base) + u32::from(STATUS_LEN) - 1,
    );
    for (name, len) in [("JMAP_CONTROL_WORDS", CONTROL_LEN), ("JMAP_STATUS_WORDS", STATUS_LEN)] {
        line(&mut out, format_args!("TYPE {name} : ARRAY[0..{}] OF WORD;\nEND_TYPE\n", len - 1));
    }
    if let Some(serial) = CONTROL.iter().find(|field| field.kind == Kind::Ascii) {
        line(&mut out, format_args!("TYPE JMAP_SERIAL : {};\nEND_TYPE\n", words(serial)));
    }
    structure(&mut out, "JMAP_CONTROL", CONTROL);
    structure(&mut out, "JMAP_STATUS", STATUS);
    out.push_str("VAR_GLOBAL\n");
    line(&mut out, format_args!("    JmapControl AT %MW{control_base} : JMAP_CONTROL_WORDS; (* the appliance reads it *)"));
    line(&mut out, format_args!("    JmapStatus AT %MW{status_base} : JMAP_STATUS_WORDS; (* the appliance writes it *)"));
    out.push_str("    (* The same memory by name, for watch tables and panels. Flags lie in the words called Flags. *)\n");
    globals(&mut out, "jc_", control_base, CONTROL);
    globals(&mut out, "js_", status_base, STATUS);
    out.push_str("END_VAR\n\n");
    read_block(&mut out);
    write_block(&mut out);
    out
}

/// The PLC's half of the contract: function block `FB_JIDOKA` (heartbeats, watchdog, run permit, trigger, results, gate)
/// and the same as ladder rungs in a comment, whose addresses have the bases added. It needs the types and blocks of
/// `symbols_st`; how to call it stands at its end.
#[must_use]
pub fn function_block_st(control_base: u16, status_base: u16) -> String {
    let clear = STATUS.iter().find(|field| field.name == "RunPermit").map_or_else(String::new, |field| {
        let register = field.register;
        format!("Status[{register}] := Status[{register}] AND WORD#16#{:04X};", !mask(field))
    });
    let mut ladder = LADDER.to_owned();
    for (prefix, base, fields) in [("C", control_base, CONTROL), ("S", status_base, STATUS)] {
        for field in fields {
            ladder = ladder.replace(&format!("{{{prefix}.{}}}", field.name), &field.place(base));
        }
    }
    let ladder: String = LADDER.lines().zip(ladder.lines()).map(|(before, after)| railed(before, after) + "\n").collect();
    let call = "(* Call it so, once per scan:\n\n   \
                Vision(Enable := AutomaticMode, PieceAtCamera := LightBarrier, Encoder := BeltCounts, GateOffset := 3000, GateDwell := 200,\n   \
                \x20      RejectSeen := GateSensor, LineRunning := DriveRuns, Control := JmapControl, Status := JmapStatus);\n   \
                DriveEnable := AutomaticMode AND Vision.RunPermit;\n   \
                GateSolenoid := Vision.Reject; *)\n";
    format!("{}\n{call}\n{ladder}", FUNCTION_BLOCK.replace("{CLEAR_RUN_PERMIT}", &clear))
}

/// A rung whose right rail stands where it stood before names became addresses, which are shorter.
fn railed(before: &str, after: &str) -> String {
    let lost = before.chars().count().saturating_sub(after.chars().count());
    let Some(rung) = after.strip_suffix('|').filter(|_| lost > 0) else { return after.to_owned() };
    let wire = if rung.ends_with('-') { "-" } else { " " };
    format!("{rung}{}|", wire.repeat(lost))
}

/// Writes a line; writing to a `String` cannot fail.
fn line(out: &mut String, text: fmt::Arguments<'_>) {
    let _infallible = writeln!(out, "{text}");
}

fn words(field: &Field) -> String {
    format!("ARRAY[0..{}] OF WORD", field.width - 1)
}

/// The bits of the field within its register.
const fn mask(field: &Field) -> u16 {
    match field.kind {
        Kind::Bits { first, count } => low_bits(count) << first,
        _ => u16::MAX,
    }
}

fn structure(out: &mut String, name: &str, fields: &[Field]) {
    line(out, format_args!("TYPE {name} :\nSTRUCT"));
    for field in fields {
        let kind = match field.kind {
            Kind::Bits { count: 1, .. } => "BOOL".to_owned(),
            Kind::Bits { .. } | Kind::U16 => "UINT".to_owned(),
            Kind::U32 => "UDINT".to_owned(),
            Kind::Ascii => "JMAP_SERIAL".to_owned(),
            Kind::Words => words(field),
        };
        line(out, format_args!("    {} : {kind}; (* register {}: {} *)", field.name, field.place(0), field.doc));
    }
    out.push_str("END_STRUCT\nEND_TYPE\n\n");
}

fn globals(out: &mut String, prefix: &str, base: u16, fields: &[Field]) {
    let mut flags_seen = None;
    for field in fields {
        let (register, doc) = (u32::from(base) + u32::from(field.register), field.doc);
        match field.kind {
            Kind::Bits { .. } if flags_seen == Some(register) => {}
            Kind::Bits { .. } => {
                flags_seen = Some(register);
                let names = fields.iter().filter(|other| other.register == field.register).map(|other| other.name);
                let names = names.collect::<Vec<_>>().join(" ");
                line(out, format_args!("    {prefix}Flags{} AT %MW{register} : WORD; (* {names} *)", field.register));
            }
            Kind::U16 => line(out, format_args!("    {prefix}{} AT %MW{register} : UINT; (* {doc} *)", field.name)),
            Kind::U32 => line(
                out,
                format_args!("    {prefix}{} AT %MW{register} : ARRAY[0..1] OF WORD; (* high word, low word: {doc} *)", field.name),
            ),
            Kind::Ascii | Kind::Words => {
                line(out, format_args!("    {prefix}{} AT %MW{register} : {}; (* {doc} *)", field.name, words(field)))
            }
        }
    }
}

fn read_block(out: &mut String) {
    out.push_str(
        "(* Registers of the status block to fields. *)\nFUNCTION_BLOCK FB_JMAP_READ_STATUS\nVAR_IN_OUT\n    Words : JMAP_STATUS_WORDS;\n\
         END_VAR\nVAR_OUTPUT\n    S : JMAP_STATUS;\nEND_VAR\nVAR\n    i : INT;\nEND_VAR\n\n",
    );
    for field in STATUS {
        let (name, at) = (field.name, field.register);
        match field.kind {
            Kind::Bits { count: 1, .. } => {
                line(out, format_args!("S.{name} := (Words[{at}] AND WORD#16#{:04X}) <> WORD#16#0000;", mask(field)))
            }
            Kind::Bits { first, .. } => {
                line(out, format_args!("S.{name} := WORD_TO_UINT(SHR(Words[{at}] AND WORD#16#{:04X}, {first}));", mask(field)));
            }
            Kind::U16 => line(out, format_args!("S.{name} := WORD_TO_UINT(Words[{at}]);")),
            Kind::U32 => line(
                out,
                format_args!("S.{name} := DWORD_TO_UDINT(SHL(WORD_TO_DWORD(Words[{at}]), 16) OR WORD_TO_DWORD(Words[{}]));", at + 1),
            ),
            Kind::Ascii | Kind::Words => {
                line(out, format_args!("FOR i := 0 TO {} DO\n    S.{name}[i] := Words[{at} + i];\nEND_FOR;", field.width - 1));
            }
        }
    }
    out.push_str("END_FUNCTION_BLOCK\n\n");
}

/// Last register first: whoever reads in between sees a new trigger only with the number that belongs to it.
fn write_block(out: &mut String) {
    out.push_str(
        "(* Fields to registers of the control block: the flags last, each word at once. *)\nFUNCTION_BLOCK FB_JMAP_WRITE_CONTROL\n\
         VAR_INPUT\n    C : JMAP_CONTROL;\nEND_VAR\nVAR_IN_OUT\n    Words : JMAP_CONTROL_WORDS;\nEND_VAR\nVAR\n    i : INT;\n    w : WORD;\n\
         END_VAR\n\n",
    );
    for register in (0..CONTROL_LEN).rev() {
        let here: Vec<&Field> = CONTROL.iter().filter(|field| field.register == register).collect();
        let flags = here.iter().any(|field| matches!(field.kind, Kind::Bits { .. }));
        if flags {
            out.push_str("w := WORD#16#0000;\n");
        }
        for field in here {
            let name = field.name;
            match field.kind {
                Kind::Bits { count: 1, .. } => {
                    line(out, format_args!("IF C.{name} THEN\n    w := w OR WORD#16#{:04X};\nEND_IF;", mask(field)));
                }
                Kind::Bits { first, .. } => {
                    line(out, format_args!("w := w OR (SHL(UINT_TO_WORD(C.{name}), {first}) AND WORD#16#{:04X});", mask(field)));
                }
                Kind::U16 => line(out, format_args!("Words[{register}] := UINT_TO_WORD(C.{name});")),
                Kind::U32 => {
                    line(out, format_args!("Words[{}] := DWORD_TO_WORD(UDINT_TO_DWORD(C.{name}) AND DWORD#16#0000FFFF);", register + 1));
                    line(out, format_args!("Words[{register}] := DWORD_TO_WORD(SHR(UDINT_TO_DWORD(C.{name}), 16));"));
                }
                Kind::Ascii | Kind::Words => {
                    line(out, format_args!("FOR i := 0 TO {} DO\n    Words[{register} + i] := C.{name}[i];\nEND_FOR;", field.width - 1));
                }
            }
        }
        if flags {
            line(out, format_args!("Words[{register}] := w;"));
        }
    }
    out.push_str("END_FUNCTION_BLOCK\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Words of `text` that follow `mark`, such as the fields after `S.`, outside of comments.
    fn after<'a>(text: &'a str, mark: &str) -> BTreeSet<&'a str> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts = text.match_indices(mark).filter(|(at, _)| !text[..*at].ends_with(word));
        starts.map(|(at, _)| text[at + mark.len()..].split(|c| !word(c)).next().unwrap_or_default()).collect()
    }

    fn names(fields: &'static [Field]) -> BTreeSet<&'static str> {
        fields.iter().map(|field| field.name).collect()
    }

    #[test]
    fn the_rails_of_the_ladder_stand_in_line() {
        let printed = function_block_st(0, 41_000);
        let rungs: Vec<&str> = printed.lines().filter(|line| line.starts_with("           |")).collect();
        assert!(rungs.len() > 20 && rungs.iter().all(|rung| rung.ends_with('|') && rung.chars().count() == 96), "{rungs:#?}");
    }

    #[test]
    fn the_symbol_list_adds_the_base() {
        let csv = symbols_csv(0, 1000);
        assert!(csv.contains("RunPermit,status,1001,7,1,BOOL,"), "{csv}");
        assert!(csv.contains("PieceSeq,control,5,,2,UDINT,"), "{csv}");
        assert_eq!(csv.lines().count(), 1 + CONTROL.len() + STATUS.len());
    }

    #[test]
    fn the_function_block_names_only_fields_of_the_map() {
        let text = function_block_st(0, 1000);
        let (control, status) = (after(&text, "C."), after(&text, "S."));
        assert!(control.is_subset(&names(CONTROL)), "{:?}", control.difference(&names(CONTROL)));
        assert!(status.is_subset(&names(STATUS)), "{:?}", status.difference(&names(STATUS)));
        for needed in ["Trigger", "ResultsAck", "PlcHeartbeat", "PieceSeq", "EncoderAtTrigger", "RejectConfirm"] {
            assert!(control.contains(needed), "{needed}");
        }
        for needed in ["RunPermit", "VisionHeartbeat", "TriggerAck", "ResultsValid", "Pass", "PieceSeqEcho", "EncoderEcho"] {
            assert!(status.contains(needed), "{needed}");
        }
        // The only register it touches by number is that of RunPermit, and only to clear that bit.
        assert_eq!(after(&text, "Status["), BTreeSet::from(["1"]));
        assert!(text.contains("Status[1] := Status[1] AND WORD#16#FF7F;"), "{text}");
        assert!(after(&text, "Control[").is_empty());
        assert!(!text.contains(['{', '}']), "a name that is no field was left in the text");
    }

    #[test]
    fn the_ladder_has_the_addresses_of_the_map() {
        let text = function_block_st(100, 2000);
        for expected in ["| 2001.7 RunPermit |", "2002 VisionHeartbeat", "102 PlcHeartbeat", "/100.1 Trigger |", "105-106 PieceSeq"] {
            assert!(text.contains(expected), "{expected}");
        }
    }

    /// Reads the assignments back: each field of the map is moved exactly once, and from or to its own registers.
    #[test]
    fn every_field_is_moved_between_its_own_registers_and_the_type() {
        let text = symbols_st(0, 1000);
        let (reading, writing) = text.split_once("FUNCTION_BLOCK FB_JMAP_WRITE_CONTROL").unwrap();
        for field in STATUS {
            let start = format!("S.{}{} := ", field.name, if field.kind == Kind::Words { "[i]" } else { "" });
            let mut lines = reading.lines().filter(|line| line.trim_start().starts_with(&start));
            let (Some(found), None) = (lines.next(), lines.next()) else { panic!("{} is not read exactly once", field.name) };
            let registers: Vec<u16> = found.split("Words[").skip(1).map(number).collect();
            let expected = if field.kind == Kind::U32 { vec![field.register, field.register + 1] } else { vec![field.register] };
            assert_eq!(registers, expected, "{found}");
            if let Kind::Bits { .. } = field.kind {
                assert!(found.contains(&format!("16#{:04X}", mask(field))), "{found}");
            }
        }
        let mut written = BTreeSet::new();
        let mut waiting: BTreeSet<&str> = BTreeSet::new();
        for line in writing.lines() {
            waiting.extend(after(line, "C."));
            if let Some(register) = line.trim_start().strip_prefix("Words[").map(number) {
                for name in std::mem::take(&mut waiting) {
                    let field = CONTROL.iter().find(|field| field.name == name).unwrap();
                    assert!((field.register..field.register + field.width).contains(&register), "{name} in {register}");
                    written.insert(name);
                }
            }
        }
        assert_eq!(written, names(CONTROL));
    }

    fn number(text: &str) -> u16 {
        text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }

    #[test]
    fn the_globals_lie_where_the_map_says() {
        let text = symbols_st(40, 1000);
        for expected in [
            "JmapControl AT %MW40 : JMAP_CONTROL_WORDS;",
            "JmapStatus AT %MW1000 : JMAP_STATUS_WORDS;",
            "jc_PlcHeartbeat AT %MW42 : UINT;",
            "js_PieceSeqEcho AT %MW1010 : ARRAY[0..1] OF WORD;",
            "js_Flags1 AT %MW1001 : WORD; (* SetUserDataAck ExposureComplete Pass Fail NoVerdict RunPermit SoftEventAck *)",
            "Payload AT %MW1064 : ARRAY[0..63] OF WORD;",
            "TYPE JMAP_SERIAL : ARRAY[0..15] OF WORD;",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert_eq!(text.matches("Flags0 AT").count(), 2);
    }

    /// Comments do not nest in IEC 61131-3 before its third edition, and old tools read only ASCII.
    #[test]
    fn the_text_is_plain_and_its_comments_close() {
        for text in [symbols_st(0, 1000), function_block_st(0, 1000)] {
            assert!(text.is_ascii(), "{:?}", text.chars().find(|c| !c.is_ascii()));
            let mut open = false;
            for (at, _) in text.char_indices() {
                match (&text[at..text.len().min(at + 2)], open) {
                    ("(*", true) => panic!("a comment within a comment: {}", &text[at..text.len().min(at + 60)]),
                    ("(*", false) => open = true,
                    ("*)", _) => open = false,
                    _ => {}
                }
            }
            assert!(!open);
        }
    }
}
