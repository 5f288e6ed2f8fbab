//! Until when a certificate is valid: a backend that asks for one stops taking records on a day that is known long before.
//!
//! Only two fields of the certificate are walked to (RFC 5280 §4.1), so that no X.509 library is needed; what cannot be read is not
//! guessed.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ureq::tls::{PemItem, parse_pem};

/// People are told this long before.
pub const NOTICE_DAYS: i64 = 30;
const DAY_SECS: i64 = 86_400;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the first certificate in a PEM file, which is the appliance's own; `None` if there is none that can be read.
#[must_use]
pub fn not_after(pem: &[u8]) -> Option<Timestamp> {
    let certificate = parse_pem(pem).find_map(|item| if let Ok(PemItem::Certificate(own)) = item { Some(own) } else { None })?;
    of_der(certificate.der())
}

/// What people must be told at `now` (microseconds since 1970) of a certificate that ends then; `None` as long as there is time.
#[must_use]
pub fn notice(not_after: Timestamp, now_micros: i64) -> Option<String> {
    let left = not_after.as_second() - now_micros.div_euclid(1_000_000);
    if left <= 0 {
        return Some(format!("the client certificate has ended on {not_after}: put a new one in its place and start the station again"));
    }
    (left <= NOTICE_DAYS * DAY_SECS)
        .then(|| format!("the client certificate ends in {} days, on {not_after}: have a new one made", left / DAY_SECS))
}

/// `Certificate → tbsCertificate → validity → notAfter`.
fn of_der(der: &[u8]) -> Option<Timestamp> {
    let certificate = inside(SEQUENCE, der)?;
    let mut rest = inside(SEQUENCE, certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let validity = inside(SEQUENCE, rest)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// RFC 5280 §4.1.2.5: always UTC and with seconds; two digits of a year from 50 on are of the last century.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    let digits = match tag {
        UTC_TIME if digits.len() == 12 => format!("{}{digits}", if digits >= "50" { "19" } else { "20" }),
        GENERALIZED_TIME if digits.len() == 14 => digits.to_owned(),
        _ => return None,
    };
    let local = DateTime::strptime("%Y%m%d%H%M%S", digits).ok()?;
    Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn inside(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    element(bytes).filter(|(its, _, _)| *its == tag).map(|(_, content, _)| content)
}

/// Tag, content and what follows (X.690 §8.1, definite lengths).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0_usize, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &[u8] = include_bytes!("tests/tls/client.pem");

    #[test]
    fn the_end_of_a_certificate_is_the_one_that_openssl_prints() {
        // openssl x509 -in client.pem -noout -enddate
        assert_eq!(not_after(CLIENT).unwrap().to_string(), "2126-10-31T00:54:59Z");
        assert_eq!(not_after(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), None);
        assert_eq!(not_after(b""), None);
    }

    #[test]
    fn a_damaged_certificate_is_not_guessed_at() {
        let PemItem::Certificate(own) = parse_pem(CLIENT).next().unwrap().unwrap() else { panic!("no certificate") };
        let der = own.der();
        let right = of_der(der).unwrap();
        assert!((0..der.len()).all(|end| of_der(&der[..end]).is_none()), "cut short");
        // Whatever a flipped bit makes of a length, the walk ends; most of them make it no certificate or leave the date alone.
        let flipped = (0..der.len() * 8).map(|bit| {
            let mut wrong = der.to_vec();
            wrong[bit / 8] ^= 1 << (bit % 8);
            of_der(&wrong)
        });
        let others = flipped.flatten().filter(|told| *told != right).count();
        assert!(others < 15 * 8, "{others} flipped bits make another date; its text has 15 bytes");
    }

    #[test]
    fn times_are_those_of_rfc_5280() {
        let told = |tag, text| time(tag, text).map(|time| time.to_string());
        assert_eq!(told(UTC_TIME, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(told(UTC_TIME, "500101000000Z").as_deref(), Some("1950-01-01T00:00:00Z"));
        assert_eq!(told(GENERALIZED_TIME, "20500101000000Z").as_deref(), Some("2050-01-01T00:00:00Z"));
        for wrong in ["", "Z", "4912312359Z", "491231235959", "491331235959Z", "49123123595éZ"] {
            assert_eq!(told(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn people_are_told_thirty_days_before() {
        let end: Timestamp = "2027-01-31T12:00:00Z".parse().unwrap();
        let at = |text: &str| notice(end, text.parse::<Timestamp>().unwrap().as_microsecond());
        assert_eq!(at("2027-01-01T11:59:59Z"), None);
        assert!(at("2027-01-01T12:00:00Z").unwrap().contains("ends in 30 days, on 2027-01-31T12:00:00Z"));
        assert!(at("2027-01-31T11:00:00Z").unwrap().contains("ends in 0 days"));
        assert!(at("2027-01-31T12:00:00Z").unwrap().contains("has ended on 2027-01-31T12:00:00Z"));
    }
}
