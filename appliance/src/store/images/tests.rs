//! The pictures' store against restarts, quotas, ages, holds, full disks and damage.

use super::*;
use crate::store::tests::Dice;
use station::action::{By, Person, Role};
use station::decision::{Affected, Decision, ResultRange};

fn picture(byte: u8) -> (Digest, Vec<u8>) {
    (Digest::of(&[byte]), vec![byte; 1000])
}

fn now(secs: u64) -> Timestamp {
    Timestamp { wall_micros: 1_700_000_000_000_000 + i64::try_from(secs).unwrap() * 1_000_000, mono_micros: secs * 1_000_000 }
}

fn tag(class: Class, record: u64) -> Tag {
    Tag { record, ..Tag::nobodys(class) }
}

#[test]
fn the_oldest_go_when_the_quota_is_reached_and_a_restart_knows_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path(), Retention::within(3100)).unwrap();
    for byte in 1..=4 {
        let (digest, jpeg) = picture(byte);
        images.put(digest, &jpeg, tag(Class::Reject, byte.into()), now(byte.into())).unwrap();
        images.put(digest, &jpeg, tag(Class::Reject, byte.into()), now(byte.into())).unwrap();
    }
    assert!(matches!(images.get(picture(1).0), Err(ImageError::Absent(_))));
    assert_eq!(images.get(picture(4).0).unwrap(), picture(4).1);
    let removed = images.fate(1, picture(1).0);
    assert_eq!(removed.words(), "removed on 2023-11-14 by retention (bytes), class reject");
    assert_eq!(Images::look(dir.path()).fate(1, picture(1).0), removed, "for whoever only looks as well");
    assert_eq!(images.fate(9, picture(9).0), Fate::Never);
    let refused = images.put(picture(9).0, &[0; 4000], tag(Class::Reject, 9), now(9));
    assert!(matches!(refused, Err(ImageError::TooLarge { .. })));
    let stale = images.path(picture(2).0).with_extension("new");
    std::fs::write(&stale, b"half a pic").unwrap();
    let again = Images::open(dir.path(), Retention::within(3100)).unwrap();
    assert_eq!((again.stock(), again.bytes()), (Stock { disk: Disk::default(), headroom: 0, ..images.stock() }, images.bytes()));
    assert!(!stale.exists() && again.strangers().is_empty());
    assert_eq!(again.shed(1).unwrap(), 1012);
    assert_eq!(again.stock().classes[3].1.count, 2);
    std::fs::remove_file(again.path(picture(4).0)).unwrap();
    assert_eq!(again.fate(4, picture(4).0), Fate::Missing, "nobody has let it go");
}

#[test]
fn a_damaged_picture_is_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path(), Retention::within(1 << 20)).unwrap();
    let (digest, jpeg) = picture(7);
    images.put(digest, &jpeg, tag(Class::Reject, 1), now(1)).unwrap();
    let path = images.path(digest);
    let whole = fs::read(&path).unwrap();
    for at in [0, 500, 999, 1000, 1005, 1011] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(images.get(digest), Err(ImageError::Damaged(_))), "byte {at}");
    }
    fs::write(&path, &whole[..700]).unwrap();
    assert!(matches!(images.get(digest), Err(ImageError::Damaged(_))));
}

fn decided(decision_id: u64, decision: Decision) -> DecisionRecord {
    let by = By::Person(Person { name: "officer".to_owned(), role: Role::QualityOfficer });
    DecisionRecord { decision_id, results: u64::MAX, decision, by, reason: "a test".to_owned() }
}

fn lots(lots: &[u32]) -> Affected {
    Affected { lots: lots.iter().copied().collect(), ..Affected::default() }
}

fn results(first: u64, last: u64) -> Affected {
    Affected { results: vec![ResultRange { first, last }], ..Affected::default() }
}

#[test]
fn what_is_held_stays_whatever_quota_and_age_say_and_goes_when_the_hold_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Retention { complaint_days: 2, ..Retention::within(3100) };
    kept.of_mut(Class::Reject).days = Some(1);
    let images = Images::open(dir.path(), kept).unwrap();
    for byte in 1..=3_u8 {
        let tag = Tag { lot: byte.into(), serial: register::short(&format!("SN{byte}")), ..tag(Class::Reject, byte.into()) };
        images.put(picture(byte).0, &picture(byte).1, tag, now(0)).unwrap();
    }
    images.decide(&decided(1, Decision::Hold { set: lots(&[1]) }), now(0));
    images.decide(&decided(2, Decision::Recall { name: "r".into(), criteria: "c".into(), set: results(2, 2) }), now(0));
    images.decide(&decided(3, Decision::Complaint { result_id: None, serial: Some("SN3".to_owned()) }), now(0));
    images.tend(now(90_000)).unwrap();
    assert_eq!((images.stock().held.count, images.bytes()), (3, 3 * 1012), "a day and an hour later");
    assert!(matches!(images.fate(1, picture(1).0), Fate::Kept { class: Some(Class::Reject), held: true }));
    assert!(matches!(images.put(picture(4).0, &picture(4).1, tag(Class::Overruled, 4), now(90_001)), Err(ImageError::NoRoom { .. })));
    assert_eq!(images.stock().troubles().len(), 1, "an alarm, and nothing is removed: {:?}", images.stock());
    assert_eq!(images.shed(u64::MAX).unwrap(), 0);

    // A restart knows the complaint from the register; holds and recalls the station bears in mind.
    drop(images);
    let images = Images::open(dir.path(), kept).unwrap();
    let open = |decision_id, set| Open { decision_id, name: String::new(), set };
    images.in_force([open(1, lots(&[1])), open(2, results(2, 2))].iter());
    assert_eq!((images.decided(), images.stock().held.count), (3, 3));
    images.decide(&decided(4, Decision::EndRecall { recall: 2, set: Affected::default() }), now(0));
    images.tend(now(90_010)).unwrap();
    assert_eq!(images.fate(2, picture(2).0).words(), "removed on 2023-11-15 by retention (age), class reject");
    images.decide(&decided(5, Decision::ReleaseHold { hold: 1, set: Affected::default() }), now(0));
    images.tend(now(90_020)).unwrap();
    assert!(matches!(images.fate(1, picture(1).0), Fate::Removed { reason: Some(Reason::Age), .. }));
    assert!(matches!(images.fate(3, picture(3).0), Fate::Kept { held: true, .. }), "ten years in the settings, two days here");
    images.tend(now(3 * 86_400)).unwrap();
    assert!(matches!(images.fate(3, picture(3).0), Fate::Removed { .. }));
    assert!(examine::examine(dir.path(), false).faults.is_empty());
}

#[test]
fn a_picture_that_several_records_name_stays_as_long_as_one_of_them_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Retention::within(1 << 20);
    kept.of_mut(Class::SampledPass).days = Some(1);
    kept.of_mut(Class::Reject).days = Some(3);
    let images = Images::open(dir.path(), kept).unwrap();
    let (digest, jpeg) = picture(1);
    images.put(digest, &jpeg, tag(Class::SampledPass, 1), now(0)).unwrap();
    images.put(digest, &jpeg, tag(Class::Reject, 2), now(10)).unwrap();
    images.put(digest, &jpeg, tag(Class::SampledPass, 3), now(86_400 * 3)).unwrap();
    images.tend(now(86_400 * 3 + 20)).unwrap();
    assert_eq!(images.get(digest).unwrap(), jpeg, "record 2 has let it go, and record 3 wants it");
    images.decide(&decided(1, Decision::Overrule { result_id: 3, verdict: station::verdict::Verdict::Reject, grade: 0 }), now(0));
    images.tend(now(86_400 * 40)).unwrap();
    let images = Images::open(dir.path(), kept).unwrap();
    assert_eq!(images.fate(3, digest), Fate::Kept { class: Some(Class::Overruled), held: false }, "a person has overruled it");
    assert_eq!((images.bytes(), images.of_record(3), images.decided()), (1012, vec![digest], 1));
}

#[test]
fn a_clock_that_steps_takes_no_picture_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Retention::within(1 << 20);
    kept.of_mut(Class::Reject).days = Some(30);
    let images = Images::open(dir.path(), kept).unwrap();
    let (digest, jpeg) = picture(1);
    images.put(digest, &jpeg, tag(Class::Reject, 1), now(0)).unwrap();
    let stepped = |years: i64, mono| Timestamp { wall_micros: now(0).wall_micros + years * 31_557_600_000_000, mono_micros: mono };
    for (years, mono) in [(10, 1_000_000), (-40, 2_000_000), (0, 3_000_000)] {
        images.tend(stepped(years, mono)).unwrap();
        assert!(images.get(digest).is_ok(), "{years} years");
    }
    // A start with a wrong clock costs three days of age at most; many such starts no more than one.
    drop(images);
    for _ in 0..20 {
        Images::open(dir.path(), kept).unwrap().tend(stepped(10, 1)).unwrap();
    }
    let images = Images::open(dir.path(), kept).unwrap();
    images.tend(stepped(10, 0)).unwrap();
    assert!(images.get(digest).is_ok());
    images.tend(stepped(10, 26 * 86_400_000_000)).unwrap();
    assert!(images.get(digest).is_ok(), "three days and 26");
    images.tend(stepped(10, 27 * 86_400_000_000)).unwrap();
    assert!(images.get(digest).is_err(), "it is thirty days old by the time that the station ran");
}

#[test]
fn what_is_gone_although_nobody_removed_it_is_damage_and_what_was_removed_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path(), Retention::within(1 << 20)).unwrap();
    for byte in 1..=4_u8 {
        images.put(picture(byte).0, &picture(byte).1, tag(Class::Reject, byte.into()), now(0)).unwrap();
    }
    images.shed(1).unwrap();
    let faults = || examine::examine(dir.path(), false).faults;
    assert!(faults().is_empty(), "{:?}", faults());
    fs::remove_file(images.path(picture(2).0)).unwrap();
    let found = faults();
    assert!(found.len() == 1 && found[0].file == images.path(picture(2).0) && found[0].what.contains("record 2"), "{found:?}");
    // Power was cut between a picture and its line: it stays until somebody knows whose it is.
    let lines = fs::read(dir.path().join(REGISTER)).unwrap();
    let cut = register::WIDTH * 3 + 5;
    fs::write(dir.path().join(REGISTER), &lines[..cut]).unwrap();
    drop(images);
    let images = Images::open(dir.path(), Retention::within(1100)).unwrap();
    assert_eq!(images.strangers(), [picture(4).0]);
    images.shed(u64::MAX).unwrap();
    images.tend(now(5)).unwrap();
    assert_eq!(images.get(picture(4).0).unwrap(), picture(4).1);
    images.sort(picture(4).0, &[(tag(Class::Reject, 4), 1_700_000_000)]).unwrap();
    assert!(images.strangers().is_empty());
    assert_eq!(images.shed(u64::MAX).unwrap(), 1012);
}

/// What the file system of a test says; one for all of them, so that only one test uses it.
static FREE: AtomicU64 = AtomicU64::new(u64::MAX);

/// Random pieces, decisions, ages, restarts and room on the disk, against a model.
#[test]
fn never_over_quota_never_what_is_held_and_in_the_order_of_sacrifice() {
    let rounds = std::env::var("ROUNDS").map_or(6, |text| text.parse().unwrap());
    for seed in 1..=rounds {
        Campaign::new(seed).run();
    }
}

struct Campaign {
    seed: u64,
    dice: Dice,
    dir: tempfile::TempDir,
    kept: Retention,
    images: Images,
    clock: u64,
    records: u64,
    decision: u64,
    /// Digest to the records that name it, as long as it is there; and what it was named by before it was removed.
    named: BTreeMap<Digest, Vec<u64>>,
    before: BTreeMap<Digest, Vec<u64>>,
    holds: BTreeMap<u64, Affected>,
    complaints: Vec<u64>,
    decisions: Vec<DecisionRecord>,
}

impl Campaign {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Retention { free_bytes_min: Some(20_000), ..Retention::within(30_000) };
        kept.of_mut(Class::Reject).days = Some(20);
        kept.of_mut(Class::SampledPass).days = Some(5);
        kept.of_mut(Class::LowConfidence).bytes_max = Some(6_000);
        FREE.store(u64::MAX, Ordering::Relaxed);
        let images = Self::open(&dir, kept);
        let (named, before, holds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let dice = Dice::new(seed);
        Self {
            seed,
            dice,
            dir,
            kept,
            images,
            clock: 0,
            records: 0,
            decision: 0,
            named,
            before,
            holds,
            complaints: Vec::new(),
            decisions: Vec::new(),
        }
    }

    fn open(dir: &tempfile::TempDir, kept: Retention) -> Images {
        let disk = |_: &Path| Some(Disk { free: FREE.load(Ordering::Relaxed), size: 1 << 40 });
        Images { disk, ..Images::open(dir.path(), kept).unwrap() }
    }

    fn is_held(&self, digest: Digest) -> bool {
        let held = |record: u64| {
            let lot = u32::try_from(1 + record % 7).unwrap();
            let in_it = |set: &Affected| set.lots.contains(&lot) || set.results.iter().any(|one| (one.first..=one.last).contains(&record));
            self.holds.values().any(in_it) || self.complaints.contains(&record)
        };
        self.named.get(&digest).is_some_and(|records| records.iter().any(|record| held(*record)))
    }

    /// The classes of the pictures that are there and may go.
    fn there(&self) -> BTreeMap<Digest, Class> {
        let all = self.named.keys().filter(|digest| self.images.path(**digest).exists());
        all.filter_map(|digest| Some((*digest, lock(&self.images.shelf).class(*digest)?.0))).collect()
    }

    fn run(&mut self) {
        for step in 0..250 {
            let before = self.there();
            let held: Vec<Digest> = before.keys().copied().filter(|digest| self.is_held(*digest)).collect();
            let what = self.dice.below(20);
            let case = format!("seed {}, step {step}, {what}", self.seed);
            let coming = self.act(what);
            let after = self.there();
            for digest in held {
                assert!(after.contains_key(&digest), "{case}: what is held was removed");
            }
            assert!(self.images.bytes() <= self.kept.bytes_max, "{case}: {} bytes", self.images.bytes());
            // Beyond ages and the quota of a class, nothing goes before what is worth less.
            let by_room = |digest: &Digest| {
                let record = self.named[digest].last().copied().unwrap_or(0);
                matches!(self.images.fate(record, *digest), Fate::Removed { reason: Some(Reason::Headroom), .. })
            };
            let gone = before.iter().filter(|(digest, _)| !after.contains_key(*digest) && by_room(digest)).map(|(_, class)| *class).max();
            let left =
                after.iter().filter(|(digest, _)| before.contains_key(*digest) && !self.is_held(**digest)).map(|(_, class)| *class).min();
            if let (Some(gone), Some(left)) = (gone, left) {
                assert!(gone <= left, "{case}: {gone} went before {left}");
            }
            if let (Some(coming), Some(gone)) = (coming, gone) {
                assert!(gone <= coming, "{case}: {gone} made room for {coming}");
            }
            for digest in before.keys().filter(|digest| !after.contains_key(*digest)) {
                let records = self.named.remove(digest).unwrap_or_default();
                self.before.entry(*digest).or_default().extend(records);
            }
        }
        let faults = examine::examine(self.dir.path(), false).faults;
        assert!(faults.is_empty(), "seed {}: {faults:?}", self.seed);
        for (digest, records) in self.named.iter().chain(&self.before) {
            let is_there = self.images.path(*digest).exists();
            for record in records {
                let fate = self.images.fate(*record, *digest);
                assert_eq!(is_there, matches!(fate, Fate::Kept { .. }), "seed {}: record {record}: {fate:?}", self.seed);
                assert!(is_there || matches!(fate, Fate::Removed { .. } | Fate::Never), "record {record}: {fate:?}");
            }
        }
    }

    /// Gives back the class of a picture that came.
    fn act(&mut self, what: usize) -> Option<Class> {
        match what {
            0..=9 => {
                self.records += 1;
                let class = Class::ALL[self.dice.below(5)];
                // Now and then the same picture again.
                let shown = if self.dice.below(8) == 0 { self.records / 2 } else { self.records };
                let (digest, jpeg) = (Digest::of(&shown.to_le_bytes()), vec![7; 400 + usize::try_from(shown % 900).unwrap()]);
                let lot = u32::try_from(1 + self.records % 7).unwrap();
                let put = self.images.put(digest, &jpeg, Tag { lot, ..tag(class, self.records) }, now(self.clock));
                if put.is_ok() {
                    self.named.entry(digest).or_default().push(self.records);
                }
                return Some(class);
            }
            10..=11 => self.clock += u64::try_from(self.dice.below(86_400 * 3)).unwrap(),
            12..=13 => self.images.tend(now(self.clock)).unwrap(),
            14 => {
                FREE.store(if self.dice.below(2) == 0 { u64::MAX } else { 5_000 + self.dice.below(30_000) as u64 }, Ordering::Relaxed);
            }
            15 => drop(self.images.shed(self.dice.below(4_000) as u64).unwrap()),
            16 => {
                self.images = Self::open(&self.dir, self.kept);
                let open: Vec<_> =
                    self.holds.iter().map(|(id, set)| Open { decision_id: *id, name: String::new(), set: set.clone() }).collect();
                self.images.in_force(open.iter());
                // What the register was not told before the restart is told again, as the store does.
                let known = usize::try_from(self.images.decided()).unwrap();
                self.decisions[known..].iter().for_each(|record| self.images.decide(record, now(self.clock)));
            }
            _ => self.decide(),
        }
        None
    }

    fn decide(&mut self) {
        self.decision += 1;
        let record = 1 + self.dice.below(usize::try_from(self.records.max(1)).unwrap()) as u64;
        let oldest = self.holds.keys().next().copied();
        let decision = match (self.dice.below(6), oldest) {
            (0, _) if self.holds.len() < 3 => Decision::Hold { set: lots(&[u32::try_from(1 + record % 7).unwrap()]) },
            (1, _) if self.holds.len() < 3 => Decision::Recall { name: "r".into(), criteria: "c".into(), set: results(record, record + 3) },
            (2, _) if self.complaints.len() < 3 => Decision::Complaint { result_id: Some(record), serial: None },
            (3, _) | (_, None) => Decision::Overrule { result_id: record, verdict: station::verdict::Verdict::Pass, grade: 0 },
            (_, Some(hold)) => Decision::ReleaseHold { hold, set: Affected::default() },
        };
        match &decision {
            Decision::Hold { set } | Decision::Recall { set, .. } => drop(self.holds.insert(self.decision, set.clone())),
            Decision::ReleaseHold { hold, .. } => drop(self.holds.remove(hold)),
            Decision::Complaint { .. } => self.complaints.push(record),
            _ => {}
        }
        self.decisions.push(decided(self.decision, decision));
        self.images.decide(&self.decisions[self.decisions.len() - 1], now(self.clock));
    }
}
