//! Answers and silences, and what is told of the tags.

use super::super::peer::{Asked, Way};
use super::*;
use crate::map::Kind;
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddr};

const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(300));

/// Tag, quality, value.
type Told = (String, Quality, f64);

fn at(millis: u64) -> Timestamp {
    Timestamp { wall_micros: 0, mono_micros: millis * 1000 }
}

fn tag(name: &str, address: u16, millis: u64) -> TagSpec {
    let sample = Sample::Every(Micros::from_millis(millis));
    TagSpec { sample, stale_after: Micros::from_millis(1000), ..TagSpec::new(name, address, Kind::U16) }
}

fn rota(tags: &[TagSpec]) -> Rota<'_> {
    Rota::new(tags, Order::default(), Limits::default(), WAITS, 7)
}

fn refused(exception: ExceptionCode) -> WireError {
    let peer = Way::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let asked = Asked { verb: "to read", what: "holding registers", address: 0, count: 1, unit: 1 };
    WireError::Refused { peer, asked, exception }
}

/// Every register holds its own address; those in `refuses` do not exist.
fn answer(batch: &Batch, refuses: &[u16]) -> Result<Vec<u16>, WireError> {
    let cells = batch.address..batch.address + batch.count;
    if cells.clone().any(|cell| refuses.contains(&cell)) { Err(refused(ExceptionCode::IllegalDataAddress)) } else { Ok(cells.collect()) }
}

/// Asks for everything that is due until nothing is; gives what was asked and what was told.
fn round(rota: &mut Rota<'_>, now: u64, refuses: &[u16]) -> (Vec<(u16, u16)>, Vec<Told>) {
    let (mut asked, mut out) = (Vec::new(), Vec::new());
    rota.expire(at(now), &mut out);
    while let Some(key) = rota.take(at(now)) {
        let batch = rota.batch(key).unwrap().clone();
        asked.push((batch.address, batch.count));
        rota.answered(key, answer(&batch, refuses), at(now), &mut out);
    }
    (asked, out.into_iter().map(|reading| (reading.tag.to_string(), reading.quality, reading.value)).collect())
}

fn named(name: &str, quality: Quality, value: f64) -> Told {
    (name.to_owned(), quality, value)
}

#[test]
fn tags_of_one_period_share_requests_and_are_due_on_a_grid() {
    let tags = [tag("a", 10, 100), tag("b", 12, 100), tag("slow", 11, 1000)];
    let mut rota = rota(&tags);
    assert_eq!(round(&mut rota, 0, &[]).0, [(10, 3), (11, 1)]);
    assert_eq!(rota.next_micros(), Some(100_000));
    assert_eq!(round(&mut rota, 107, &[]).0, [(10, 3)]);
    assert_eq!(rota.next_micros(), Some(200_000), "a late round does not move the next one");
    assert_eq!(round(&mut rota, 555, &[]).0, [(10, 3)], "what was missed is not made up for");
    assert_eq!(rota.next_micros(), Some(655_000));
}

#[test]
fn one_bad_address_does_not_spoil_its_neighbours() {
    let tags = [tag("a", 10, 100), tag("bad", 12, 100), tag("c", 13, 100), tag("d", 14, 100)];
    let mut rota = rota(&tags);
    let (asked, told) = round(&mut rota, 0, &[12]);
    assert_eq!(asked, [(10, 5), (10, 1), (12, 1), (13, 1), (14, 1)]);
    let expected = [
        named("a", Quality::Good, 10.0),
        named("bad", Quality::Bad, 0.0),
        named("c", Quality::Good, 13.0),
        named("d", Quality::Good, 14.0),
    ];
    assert_eq!(told, expected);
    let (asked, told) = round(&mut rota, 100, &[12]);
    assert_eq!(asked, [(10, 1), (13, 2), (12, 1)], "grouped anew, the bad one apart");
    assert!(told.iter().all(|(name, quality, _)| (*quality == Quality::Bad) == (name == "bad")), "{told:?}");
    // The PLC gets a new program: the link was down meanwhile.
    rota.lost(&mut Vec::new());
    rota.group();
    assert_eq!(round(&mut rota, 200, &[]).0, [(10, 5)]);
}

#[test]
fn a_gap_that_may_not_be_read_costs_no_tag() {
    let tags = [tag("a", 10, 100), tag("b", 14, 100)];
    let mut rota = rota(&tags);
    let (asked, told) = round(&mut rota, 0, &[12]);
    assert_eq!(asked, [(10, 5), (10, 1), (14, 1)]);
    assert!(told.iter().all(|(_, quality, _)| *quality == Quality::Good), "{told:?}");
    assert_eq!(round(&mut rota, 100, &[12]).0, [(10, 1), (14, 1)]);
}

#[test]
fn busy_is_no_reason_to_call_a_value_bad_but_it_ages() {
    let tags = [tag("a", 10, 100)];
    let mut rota = rota(&tags);
    round(&mut rota, 0, &[]);
    let mut out = Vec::new();
    for millis in [100, 200] {
        let key = rota.take(at(millis)).unwrap();
        rota.answered(key, Err(refused(ExceptionCode::ServerDeviceBusy)), at(millis), &mut out);
    }
    rota.expire(at(1000), &mut out);
    assert!(out.is_empty(), "{out:?}");
    rota.expire(at(1001), &mut out);
    rota.expire(at(1002), &mut out);
    assert_eq!(out.iter().map(|reading| reading.quality).collect::<Vec<_>>(), [Quality::Stale]);
    assert_eq!(out[0].sampled_at, at(0));
}

#[test]
fn a_table_that_does_not_exist_is_not_asked_for_tag_by_tag() {
    let tags = [tag("a", 10, 100), tag("b", 11, 100)];
    let mut rota = rota(&tags);
    let (key, mut out) = (rota.take(at(0)).unwrap(), Vec::new());
    rota.answered(key, Err(refused(ExceptionCode::IllegalFunction)), at(0), &mut out);
    assert_eq!(out.len(), 2);
    assert!(out.iter().all(|reading| reading.quality == Quality::Bad) && rota.take(at(0)).is_none());
}

#[test]
fn a_silent_unit_makes_its_tags_stale_once_and_leaves_the_others_alone() {
    let tags =
        [tag("own", 10, 100), TagSpec { unit_id: Some(9), ..tag("far", 10, 100) }, TagSpec { unit_id: Some(9), ..tag("far2", 500, 100) }];
    let mut rota = rota(&tags);
    round(&mut rota, 0, &[]);
    let (mut told, mut attempts) = (Vec::new(), Vec::new());
    for millis in (100..60_000).step_by(100) {
        let mut out = Vec::new();
        while let Some(key) = rota.take(at(millis)) {
            let batch = rota.batch(key).unwrap().clone();
            if batch.unit_id == Some(9) {
                attempts.push(millis);
                // A gateway that says so and one that says nothing are the same.
                match attempts.len() % 2 {
                    0 => rota.silent(key, at(millis), &mut out),
                    _ => rota.answered(key, Err(refused(ExceptionCode::GatewayTargetDevice)), at(millis), &mut out),
                }
            } else {
                rota.answered(key, answer(&batch, &[]), at(millis), &mut out);
            }
        }
        assert_eq!(out.iter().filter(|reading| &*reading.tag == "own").count(), 1, "at {millis}");
        told.extend(out.into_iter().filter(|reading| &*reading.tag != "own").map(|reading| (reading.tag.to_string(), reading.quality)));
    }
    assert_eq!(told, [("far".to_owned(), Quality::Stale), ("far2".to_owned(), Quality::Stale)]);
    assert!(attempts.len() < 15 && attempts.len() > 5, "{attempts:?}");
    // It comes back: one answer, and everything is asked for as before.
    let (_, told) = round(&mut rota, 200_000, &[]);
    assert_eq!(told.iter().filter(|(name, quality, _)| name != "own" && *quality == Quality::Good).count(), 2, "{told:?}");
    assert_eq!(round(&mut rota, 200_100, &[]).0.len(), 3);
}

#[test]
fn a_lost_link_makes_good_values_stale_once() {
    let tags = [tag("a", 10, 100), tag("bad", 30, 100)];
    let mut rota = rota(&tags);
    round(&mut rota, 0, &[30]);
    let mut out = Vec::new();
    rota.lost(&mut out);
    rota.lost(&mut out);
    rota.expire(at(5000), &mut out);
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!((&*out[0].tag, out[0].quality, out[0].value), ("a", Quality::Stale, 10.0));
    assert_eq!(rota.next_micros().map(|next| next <= 100_000), Some(true));
}

proptest! {
    /// Whatever the PLC refuses: after two rounds every tag has the quality it deserves, and is asked for in one request.
    #[test]
    fn refusals_settle(addresses in proptest::collection::btree_set(0..60_u16, 1..30), holes in proptest::collection::btree_set(0..60_u16, 0..20)) {
        let tags: Vec<TagSpec> = addresses.iter().map(|address| tag(&address.to_string(), *address, 100)).collect();
        let holes: Vec<u16> = holes.into_iter().collect();
        let mut rota = rota(&tags);
        let (_, told) = round(&mut rota, 0, &holes);
        prop_assert_eq!(told.len(), tags.len());
        for (name, quality, value) in told {
            let address: u16 = name.parse().unwrap();
            prop_assert_eq!(quality == Quality::Bad, holes.contains(&address));
            prop_assert!(quality == Quality::Bad || (value - f64::from(address)).abs() < 1e-9);
        }
        let (asked, _) = round(&mut rota, 100, &holes);
        for address in addresses {
            let covering = asked.iter().filter(|(from, count)| (*from..from + count).contains(&address)).count();
            prop_assert!(covering >= 1);
        }
        prop_assert_eq!(round(&mut rota, 200, &holes).0, asked, "nothing is learnt twice");
    }
}
