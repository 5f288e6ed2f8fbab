//! Names for pieces, places and things, as URIs: GS1's where the plant has them, our own otherwise.
//!
//! Invariants: everything made here passes [`is_uri`]; the same thing always gets the same name; nothing is squeezed into a
//! GS1 form that does not fit it (a serial that GS1 cannot write gets a name of ours, never a shortened one).

use station::intake::SupplierLot;
use station::record::Identity;
use station::units::Digest;

/// Prefix of every name that is ours. It is private: the identifier `jidoka` is not registered with IANA.
const OURS: &str = "urn:jidoka";

/// Most characters of a serial (AI 21) or lot (AI 10), GS1 General Specifications §3.
const AI_LENGTH_MAX: usize = 20;

/// True if `text` is an absolute URI (RFC 3986 §3): a scheme, and nothing but characters a URI may have.
#[must_use]
pub fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut letters = scheme.bytes();
    let starts_well = letters.next().is_some_and(|first| first.is_ascii_alphabetic());
    starts_well
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && rest.matches('#').count() <= 1
        && has_only_uri_characters(rest.as_bytes())
        && (!rest.starts_with("//") || has_plain_authority(&rest[2..]))
}

fn has_only_uri_characters(mut bytes: &[u8]) -> bool {
    while let Some((byte, rest)) = bytes.split_first() {
        bytes = match byte {
            b'%' if rest.len() >= 2 && rest[0].is_ascii_hexdigit() && rest[1].is_ascii_hexdigit() => &rest[2..],
            b'#' => rest,
            byte if byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=".contains(byte) => rest,
            _ => return false,
        };
    }
    true
}

/// Host names and IPv4 with an optional port. Bracketed IPv6 literals are not names of things and are refused.
fn has_plain_authority(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `urn:jidoka:KIND:PART:…`, each part percent-encoded where needed. An empty part becomes `-`.
#[must_use]
pub fn ours(kind: &str, parts: &[&str]) -> String {
    let mut urn = format!("{OURS}:{kind}");
    for part in parts {
        urn.push(':');
        match *part {
            "" => urn.push('-'),
            "-" => urn.push_str("%2D"),
            _ => push_encoded(&mut urn, part),
        }
    }
    urn
}

fn push_encoded(urn: &mut String, part: &str) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            urn.push(char::from(byte));
        } else {
            urn.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Something of this station, for example its camera.
#[must_use]
pub fn of_station(identity: &Identity, kind: &str, parts: &[&str]) -> String {
    let mut all = vec![identity.line.as_str(), identity.station.as_str()];
    all.extend_from_slice(parts);
    ours(kind, &all)
}

/// The read point: the plant's SGLN, or a name of ours if there is none (or none that is a URI).
#[must_use]
pub fn read_point(identity: &Identity) -> String {
    if is_uri(&identity.sgln) { identity.sgln.clone() } else { of_station(identity, "station", &[]) }
}

/// `PREFIX.ITEM` of `urn:epc:id:sgtin:PREFIX.ITEM`, if that is what it is: 13 digits, 6 to 12 of them before the dot
/// (GS1 Tag Data Standard §6.3.1).
fn item_of(sgtin_base: &str) -> Option<&str> {
    let item = sgtin_base.strip_prefix("urn:epc:id:sgtin:")?;
    let (prefix, reference) = item.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(prefix) && digits(reference) && (6..=12).contains(&prefix.len()) && prefix.len() + reference.len() == 13).then_some(item)
}

/// `text` as EPC URIs write a serial or a lot (Tag Data Standard, GS3A3), or `None` if GS1 cannot write it.
fn in_gs1_characters(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > AI_LENGTH_MAX {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' | b'&' | b'/' | b'<' | b'>' | b'?' => out.push_str(&format!("%{byte:02X}")),
            byte if byte.is_ascii_alphanumeric() || b"!'()*+,-.:;=_".contains(&byte) => out.push(char::from(byte)),
            _ => return None,
        }
    }
    Some(out)
}

/// The piece with this serial as SGTIN.
#[must_use]
pub fn sgtin(sgtin_base: &str, serial: &str) -> Option<String> {
    Some(format!("urn:epc:id:sgtin:{}.{}", item_of(sgtin_base)?, in_gs1_characters(serial)?))
}

/// The class of all pieces of this lot as LGTIN. Lot 0 is no lot.
#[must_use]
pub fn lgtin(sgtin_base: &str, lot: u32) -> Option<String> {
    (lot != 0).then_some(())?;
    Some(format!("urn:epc:class:lgtin:{}.{lot}", item_of(sgtin_base)?))
}

/// An image by the digest of its pixels: `ni:///sha-256;` and the digest in base64url without padding (RFC 6920 §3).
#[must_use]
pub fn image(digest: Digest) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = "ni:///sha-256;".to_owned();
    for three in digest.0.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or_default();
            out.push(char::from(LETTERS[index]));
        }
    }
    out
}

/// A production order.
#[must_use]
pub fn order(order: &str) -> String {
    ours("order", &[order])
}

/// A lot of a supplier: its own name if it is an LGTIN as a URN, else a name of ours.
#[must_use]
pub fn supplier_lot(lot: &SupplierLot) -> String {
    let is_lgtin = lot.lot.starts_with("urn:epc:class:lgtin:") && is_uri(&lot.lot);
    if is_lgtin { lot.lot.clone() } else { ours("supplier-lot", &[&lot.supplier, &lot.material, &lot.lot]) }
}

/// The class of all pieces of this lot: an LGTIN, or a name of ours if GS1 cannot write one.
#[must_use]
pub fn lot(identity: &Identity, lot: u32) -> String {
    lgtin(&identity.sgtin_base, lot).unwrap_or_else(|| of_station(identity, "lot", &[&lot.to_string()]))
}

/// The piece with this serial: an SGTIN, or a name of ours if GS1 cannot write one.
#[must_use]
pub fn serial(identity: &Identity, product: &str, serial: &str) -> String {
    sgtin(&identity.sgtin_base, serial).unwrap_or_else(|| ours("serial", &[product, serial]))
}

/// A deterministic UUID (RFC 9562 version 8) from the parts that make the thing what it is.
///
/// GS1's own hash form `ni:///sha-256;…?ver=CBV2.0` is left alone on purpose: it promises the CBV hash algorithm over the event,
/// and this is a digest over the ledger's record.
#[must_use]
pub fn uuid(parts: &[&[u8]]) -> String {
    let lengths: Vec<[u8; 8]> = parts.iter().map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()).collect();
    let framed: Vec<&[u8]> = lengths.iter().zip(parts).flat_map(|(length, part)| [length.as_slice(), *part]).collect();
    let mut bytes = Digest::of_parts(&framed).0;
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_told_from_text() {
        for good in [
            "urn:epc:id:sgtin:4012345.011111.987",
            "https://id.gs1.org/01/1?x=1#a",
            "jidoka:grade",
            "geo:42.69,23.3",
            "ni:///sha-256;ab?ver=CBV2.0",
        ] {
            assert!(is_uri(good), "{good}");
        }
        for bad in [
            "",
            "conformant",
            "bad disposition",
            "urn:a b",
            "1urn:x",
            ":x",
            "urn:x%2",
            "urn:x%zz",
            "urn:ä",
            "a:b#c#d",
            "http://h:1x/",
            "a:{b}",
        ] {
            assert!(!is_uri(bad), "{bad}");
        }
    }

    #[test]
    fn gs1_names_only_what_gs1_can_write() {
        let base = "urn:epc:id:sgtin:4012345.011111";
        assert_eq!(sgtin(base, "A/1").as_deref(), Some("urn:epc:id:sgtin:4012345.011111.A%2F1"));
        assert_eq!(sgtin(base, "with space"), None);
        assert_eq!(sgtin(base, "123456789012345678901"), None);
        assert_eq!(sgtin("urn:epc:id:sgtin:4012345.11111", "1"), None);
        assert_eq!(sgtin("", "1"), None);
        assert_eq!(lgtin(base, 7).as_deref(), Some("urn:epc:class:lgtin:4012345.011111.7"));
        assert_eq!(lgtin(base, 0), None);
    }

    #[test]
    fn our_names_survive_any_text_and_never_collide() {
        let names = [ours("a", &["x:y", ""]), ours("a", &["x", "y"]), ours("a", &["线 1", "-"]), ours("a", &["x", "%"])];
        assert!(names.iter().all(|name| is_uri(name)));
        assert_eq!(names[2], "urn:jidoka:a:%E7%BA%BF%201:%2D");
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn an_image_is_named_as_rfc_6920_names_it() {
        // RFC 6920 §8.1: the digest of "Hello World!".
        assert_eq!(image(Digest::of(b"Hello World!")), "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk");
    }

    #[test]
    fn a_uuid_has_version_8_and_depends_on_where_parts_end() {
        let id = uuid(&[b"ab", b"c"]);
        assert_eq!(id.len(), 45);
        assert_eq!(&id[23..24], "8");
        assert!(matches!(&id[28..29], "8" | "9" | "a" | "b"));
        assert_ne!(id, uuid(&[b"a", b"bc"]));
        assert_eq!(id, uuid(&[b"ab", b"c"]));
    }
}
