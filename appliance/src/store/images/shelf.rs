//! What is on the shelf and what may go, in memory: no file is touched here.
//!
//! A picture has one want for each record that names it. Its class is the strongest of its wants, and it goes when none is left.
//! A picture is *held* while a hold, a recall or a complaint names one of its records, also one that has let it go: then nothing
//! takes it.
//!
//! Ages are those of a clock of its own that begins with the wall clock and from then on counts the seconds that the station runs;
//! the time that it stood still counts for three days at most. A wall clock that steps takes no picture with it (faults.md F7).
//!
//! Invariants: what goes first is the first of [`Shelf::order`], and what is held is not in it; sums are those of the pictures.

use super::policy::{Class, ClassLimits, Reason, Retention};
use super::register::{Line, Word, short};
use serde::Serialize;
use station::decision::{Affected, Decision, DecisionRecord, Open, ResultRange};
use station::record::PieceRecord;
use station::units::{Digest, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

const DAY_SECS: u64 = 86_400;
/// The longest time a station may have stood still that counts as age.
const STANDSTILL_SECS_MAX: u64 = 3 * DAY_SECS;

/// Whose picture it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// As what it is kept.
    pub class: Class,
    /// Number of the piece record; 0 if it is not known.
    pub record: u64,
    /// Its lot; 0 if it is not known.
    pub lot: u32,
    /// Its serial, shortened; 0 if it has none.
    pub serial: u64,
}

impl Tag {
    /// Of a closed piece.
    #[must_use]
    pub fn of(class: Class, record: &PieceRecord) -> Self {
        let serial = record.arrival.serial.as_deref().map_or(0, short);
        Self { class, record: record.result_id, lot: record.arrival.lot, serial }
    }

    /// Of a piece record that is not known.
    #[must_use]
    pub const fn nobodys(class: Class) -> Self {
        Self { class, record: 0, lot: 0, serial: 0 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Want {
    tag: Tag,
    since: u64,
    /// False: let go. A hold may still come that names its record.
    is_live: bool,
}

/// The place of a picture in the order of sacrifice.
type Place = (Class, u64, u64, Digest);

#[derive(Debug, Default)]
struct Item {
    bytes: u64,
    /// Orders pictures of one second.
    turn: u64,
    wants: Vec<Want>,
    /// Where it stands, and whether it is held.
    placed: Option<(Place, bool)>,
}

/// Pictures and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        (self.count, self.bytes) = (self.count + 1, self.bytes + bytes);
    }

    fn take(&mut self, bytes: u64) {
        (self.count, self.bytes) = (self.count.saturating_sub(1), self.bytes.saturating_sub(bytes));
    }
}

/// Pictures that go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Going {
    /// Which one.
    pub digest: Digest,
    /// The class whose wants end; `None`: all of them.
    pub class: Option<Class>,
    /// Why.
    pub reason: Reason,
}

/// A set of pieces as decisions name it, with shortened serials.
#[derive(Debug, Default)]
struct HeldSet {
    results: Vec<ResultRange>,
    lots: BTreeSet<u32>,
    serials: BTreeSet<u64>,
}

impl HeldSet {
    fn of(set: &Affected) -> Self {
        let serials = set.serials.iter().map(|serial| short(serial)).collect();
        Self { results: set.results.clone(), lots: set.lots.clone(), serials }
    }

    fn has(&self, tag: &Tag) -> bool {
        self.results.iter().any(|range| (range.first..=range.last).contains(&tag.record))
            || (tag.lot > 0 && self.lots.contains(&tag.lot))
            || (tag.serial != 0 && self.serials.contains(&tag.serial))
    }
}

#[derive(Debug, Clone, Copy)]
struct Complaint {
    record: u64,
    serial: u64,
    until: u64,
}

/// All pictures of a store.
#[derive(Debug, Default)]
pub struct Shelf {
    items: BTreeMap<Digest, Item>,
    /// What may go, first first.
    order: BTreeSet<Place>,
    by_record: BTreeSet<(u64, Digest)>,
    /// Those that are not held, and all of them.
    loose: BTreeMap<Class, Sum>,
    sums: BTreeMap<Class, Sum>,
    held: Sum,
    holds: BTreeMap<u64, HeldSet>,
    complaints: Vec<Complaint>,
    /// The last decision that was heeded.
    decided: u64,
    removed: BTreeMap<Reason, u64>,
    /// Age and wall clock as last known, and the steady clock at that time, once somebody has told it.
    age: u64,
    wall: i64,
    mono: Option<u64>,
    turn: u64,
}

impl Shelf {
    /// Takes in a line of the register. Files are told afterwards, with [`Self::found`].
    pub fn recall(&mut self, line: &Line, complaint_secs: u64) {
        let is_decision = matches!(line.word, Word::Overrule | Word::Complaint | Word::Decided);
        if !is_decision {
            // A decision's line has the decision's time, which may be long ago.
            self.wall = line.wall_secs;
        }
        self.age = self.age.max(line.age_secs);
        let tag = Tag { class: line.class.unwrap_or(Class::Hold), record: line.record, lot: line.lot, serial: line.serial };
        match line.word {
            Word::Kept => self.want(line.digest, 0, tag, line.age_secs),
            Word::LetGo => {
                if self.items.contains_key(&line.digest) {
                    self.lose(line.digest, |want| want.tag.record == tag.record);
                    if !self.items.contains_key(&line.digest) {
                        *self.removed.entry(line.reason.unwrap_or(Reason::Bytes)).or_default() += 1;
                    }
                }
            }
            Word::Overrule => self.overrule(line.record),
            Word::Complaint => {
                let until = line.age_secs.saturating_add(complaint_secs);
                self.complaints.push(Complaint { record: line.record, serial: line.serial, until });
            }
            Word::Decided | Word::Time => {}
        }
        if is_decision {
            self.decided = self.decided.max(line.number);
        }
    }

    /// A picture's file is there, with so many bytes. False if the register does not know it.
    pub fn found(&mut self, digest: Digest, bytes: u64) -> bool {
        let is_known = self.items.contains_key(&digest);
        if is_known {
            self.unplace(digest);
            self.items.entry(digest).and_modify(|item| item.bytes = bytes);
            self.place(digest);
        }
        is_known
    }

    /// The holds and recalls in force, as the station bears them in mind.
    pub fn in_force<'a>(&mut self, open: impl Iterator<Item = &'a Open>) {
        self.holds = open.map(|open| (open.decision_id, HeldSet::of(&open.set))).collect();
        self.place_all();
    }

    /// It is now. The first call after a start says how long the station stood still.
    pub fn tell_time(&mut self, now: Timestamp) {
        let wall = now.wall_micros.div_euclid(1_000_000);
        let passed = match self.mono {
            Some(before) => now.mono_micros.saturating_sub(before) / 1_000_000,
            None if self.age == 0 => u64::try_from(wall).unwrap_or(1).max(1),
            None => u64::try_from(wall.saturating_sub(self.wall)).unwrap_or(0).min(STANDSTILL_SECS_MAX),
        };
        // What is less than a second is not lost: the steady clock moves on by whole seconds.
        self.mono = Some(self.mono.map_or(now.mono_micros, |before| before + passed * 1_000_000));
        (self.age, self.wall) = (self.age + passed, wall);
        let before = self.complaints.len();
        self.complaints.retain(|complaint| complaint.until > self.age);
        if self.complaints.len() < before {
            self.place_all();
        }
    }

    /// A line of now.
    #[must_use]
    pub fn line(&self, word: Word, tag: Option<Tag>, digest: Digest, number: u64) -> Line {
        let Tag { record, lot, serial, .. } = tag.unwrap_or(Tag::nobodys(Class::Hold));
        Line {
            word,
            class: tag.map(|tag| tag.class),
            reason: None,
            wall_secs: self.wall,
            age_secs: self.age,
            record,
            lot,
            serial,
            number,
            digest,
        }
    }

    /// A record wants a picture of so many bytes since `since` of the age clock (at most now).
    pub fn want(&mut self, digest: Digest, bytes: u64, tag: Tag, since: u64) {
        self.unplace(digest);
        self.turn += 1;
        let turn = self.turn;
        let item = self.items.entry(digest).or_default();
        (item.bytes, item.turn) = (item.bytes.max(bytes), turn);
        // A record that is named now was nobody's before.
        item.wants.retain(|want| want.tag.record != tag.record && want.tag.record != 0);
        item.wants.push(Want { tag, since, is_live: true });
        self.by_record.remove(&(0, digest));
        self.by_record.insert((tag.record, digest));
        self.place(digest);
    }

    /// Takes wants away. A picture without any is gone from here.
    fn lose(&mut self, digest: Digest, goes: impl Fn(&Want) -> bool) {
        self.unplace(digest);
        let Some(item) = self.items.get_mut(&digest) else { return };
        item.wants.iter_mut().filter(|want| goes(want)).for_each(|want| want.is_live = false);
        if item.wants.iter().any(|want| want.is_live) {
            self.place(digest);
            return;
        }
        for want in &item.wants {
            self.by_record.remove(&(want.tag.record, digest));
        }
        self.items.remove(&digest);
    }

    /// The lines that say what goes. Nothing has gone yet.
    #[must_use]
    pub fn lines(&self, going: &Going) -> Vec<Line> {
        let Some(item) = self.items.get(&going.digest) else { return Vec::new() };
        let wants = item.wants.iter().filter(|want| want.is_live && going.class.is_none_or(|class| want.tag.class == class));
        let line = |want: &Want| Line {
            reason: Some(going.reason),
            number: item.bytes,
            ..self.line(Word::LetGo, Some(want.tag), going.digest, item.bytes)
        };
        wants.map(line).collect()
    }

    /// True if the file goes with it.
    #[must_use]
    pub fn is_last(&self, going: &Going) -> bool {
        let goes = |want: &Want| !want.is_live || going.class.is_none_or(|class| want.tag.class == class);
        self.items.get(&going.digest).is_some_and(|item| item.wants.iter().all(goes))
    }

    /// It has gone.
    pub fn went(&mut self, going: &Going) {
        self.lose(going.digest, |want| going.class.is_none_or(|class| want.tag.class == class));
        if !self.items.contains_key(&going.digest) {
            *self.removed.entry(going.reason).or_default() += 1;
        }
    }

    fn place(&mut self, digest: Digest) {
        let Some(item) = self.items.get_mut(&digest) else { return };
        let strongest = item.wants.iter().filter(|want| want.is_live).map(|want| (want.tag.class, want.since)).max();
        let Some((class, since)) = strongest else { return };
        let complained = |tag: &Tag| {
            self.complaints.iter().any(|one| (one.record > 0 && one.record == tag.record) || (one.serial != 0 && one.serial == tag.serial))
        };
        let holds = &self.holds;
        let is_held = item.wants.iter().any(|Want { tag, .. }| holds.values().any(|set| set.has(tag)) || complained(tag));
        let place = (class, since, item.turn, digest);
        item.placed = Some((place, is_held));
        self.sums.entry(class).or_default().add(item.bytes);
        if is_held {
            self.held.add(item.bytes);
        } else {
            self.loose.entry(class).or_default().add(item.bytes);
            self.order.insert(place);
        }
    }

    fn unplace(&mut self, digest: Digest) {
        let Some(item) = self.items.get_mut(&digest) else { return };
        let Some((place, is_held)) = item.placed.take() else { return };
        self.sums.entry(place.0).or_default().take(item.bytes);
        if is_held {
            self.held.take(item.bytes);
        } else {
            self.loose.entry(place.0).or_default().take(item.bytes);
            self.order.remove(&place);
        }
    }

    fn place_all(&mut self) {
        let all: Vec<Digest> = self.items.keys().copied().collect();
        for digest in all {
            self.unplace(digest);
            self.place(digest);
        }
    }

    /// Heeds a decision of so many seconds since 1970, if it is the next one. Gives back what the register must know of it.
    pub fn decide(&mut self, record: &DecisionRecord, wall_secs: i64, complaint_secs: u64) -> Option<Line> {
        if record.decision_id != self.decided + 1 {
            return None;
        }
        self.decided = record.decision_id;
        let tag = |record, serial| Some(Tag { class: Class::Overruled, record, lot: 0, serial });
        // A decision may be heeded long after it was taken, and before anybody has told the time.
        let ago = u64::try_from(self.wall.saturating_sub(wall_secs)).unwrap_or(0);
        let age_secs = if self.age == 0 { u64::try_from(wall_secs).unwrap_or(0) } else { self.age.saturating_sub(ago) };
        let line = |shelf: &Self, word, tag| {
            let line = shelf.line(word, tag, Digest::default(), record.decision_id);
            Line { wall_secs, age_secs, ..line }
        };
        Some(match &record.decision {
            Decision::Overrule { result_id, .. } => {
                self.overrule(*result_id);
                line(self, Word::Overrule, tag(*result_id, 0))
            }
            Decision::Complaint { result_id, serial } => {
                let (record, serial) = (result_id.unwrap_or(0), serial.as_deref().map_or(0, short));
                self.complaints.push(Complaint { record, serial, until: age_secs.saturating_add(complaint_secs) });
                self.place_all();
                Line { class: None, ..line(self, Word::Complaint, tag(record, serial)) }
            }
            Decision::Hold { set } | Decision::Recall { set, .. } => {
                self.holds.insert(record.decision_id, HeldSet::of(set));
                self.place_all();
                line(self, Word::Decided, None)
            }
            Decision::ReleaseHold { hold: open, .. } | Decision::EndRecall { recall: open, .. } => {
                self.holds.remove(open);
                self.place_all();
                line(self, Word::Decided, None)
            }
        })
    }

    fn overrule(&mut self, record: u64) {
        let pictures: Vec<Digest> = self.of_record(record).collect();
        for digest in pictures {
            self.unplace(digest);
            if let Some(item) = self.items.get_mut(&digest) {
                let of_it = item.wants.iter_mut().filter(|want| want.tag.record == record && record > 0);
                of_it.for_each(|want| want.tag.class = Class::Overruled);
            }
            self.place(digest);
        }
    }

    /// Passes over a decision that is damaged, if it is the next one.
    pub fn pass_over(&mut self, decision_id: u64) {
        if decision_id == self.decided + 1 {
            self.decided = decision_id;
        }
    }

    /// The last decision that was heeded.
    pub const fn decided(&self) -> u64 {
        self.decided
    }

    /// The first pictures to go, until these bytes are reached or none is left that may go; none of a class after `up_to`.
    #[must_use]
    pub fn first(&self, bytes: u64, up_to: Option<Class>, reason: Reason) -> Vec<Going> {
        let may_go = self.order.iter().take_while(|(class, ..)| up_to.is_none_or(|last| *class <= last));
        self.enough(may_go, bytes).map(|(_, _, _, digest)| Going { digest: *digest, class: None, reason }).collect()
    }

    /// The oldest pictures of a class, likewise; they stay if a record of another class wants them.
    #[must_use]
    pub fn oldest(&self, class: Class, bytes: u64) -> Vec<Going> {
        let of_it = self.of_class(class);
        let going = |(_, _, _, digest): &Place| Going { digest: *digest, class: Some(class), reason: Reason::Bytes };
        self.enough(of_it, bytes).map(going).collect()
    }

    fn enough<'a>(&'a self, places: impl Iterator<Item = &'a Place>, bytes: u64) -> impl Iterator<Item = &'a Place> {
        let mut sum = 0;
        places.take_while(move |(_, _, _, digest)| {
            let is_wanted = sum < bytes;
            sum += self.items.get(digest).map_or(0, |item| item.bytes);
            is_wanted
        })
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = &Place> {
        self.order.range((class, 0, 0, Digest([0; 32]))..=(class, u64::MAX, u64::MAX, Digest([0xFF; 32])))
    }

    /// What has the age of its class, or more bytes than its class or all pictures may have, if `adding` bytes of a class come.
    /// What is held counts for all pictures alone: it must not crowd out its class.
    #[must_use]
    pub fn overdue(&self, kept: &Retention, adding: Option<(Class, u64)>) -> Vec<Going> {
        let mut going = Vec::new();
        for class in Class::ALL {
            let ClassLimits { days, bytes_max, .. } = kept.of(class);
            if let Some(days) = days {
                let age = u64::from(days) * DAY_SECS;
                let aged = self.of_class(class).take_while(|(_, since, ..)| since.saturating_add(age) <= self.age);
                going.extend(aged.map(|(_, _, _, digest)| Going { digest: *digest, class: Some(class), reason: Reason::Age }));
            }
            if let Some(most) = bytes_max.filter(|_| going.is_empty()) {
                let comes = adding.filter(|(of, _)| *of == class).map_or(0, |(_, bytes)| bytes);
                let loose = self.loose.get(&class).map_or(0, |sum| sum.bytes);
                let over = (loose + comes).saturating_sub(most);
                going.extend(self.oldest(class, over));
            }
            if !going.is_empty() {
                // One class at a time: what is taken from it may fall to a weaker one.
                return going;
            }
        }
        let comes = adding.map_or(0, |(_, bytes)| bytes);
        let over = (self.all().bytes + comes).saturating_sub(kept.bytes_max);
        self.first(over, adding.map(|(class, _)| class), Reason::Bytes)
    }

    /// All pictures of a class.
    #[must_use]
    pub fn sum(&self, class: Class) -> Sum {
        self.sums.get(&class).copied().unwrap_or_default()
    }

    /// All pictures.
    #[must_use]
    pub fn all(&self) -> Sum {
        self.sums.values().fold(Sum::default(), |all, sum| Sum { count: all.count + sum.count, bytes: all.bytes + sum.bytes })
    }

    /// What nothing may take.
    #[must_use]
    pub const fn held(&self) -> Sum {
        self.held
    }

    /// How many were removed for this reason.
    #[must_use]
    pub fn removed(&self, reason: Reason) -> u64 {
        self.removed.get(&reason).copied().unwrap_or(0)
    }

    /// The age clock.
    #[must_use]
    pub const fn age(&self) -> u64 {
        self.age
    }

    /// The wall clock as last told, in seconds.
    #[must_use]
    pub const fn wall(&self) -> i64 {
        self.wall
    }

    /// True if a record wants it and its file is there.
    #[must_use]
    pub fn has(&self, digest: Digest) -> bool {
        self.items.get(&digest).is_some_and(|item| item.bytes > 0)
    }

    /// Its class, and whether it is held.
    #[must_use]
    pub fn class(&self, digest: Digest) -> Option<(Class, bool)> {
        self.items.get(&digest)?.placed.map(|((class, ..), held)| (class, held))
    }

    /// True if this record wants it already as this or more.
    #[must_use]
    pub fn wants(&self, digest: Digest, tag: &Tag) -> bool {
        let at_least = |want: &Want| want.is_live && want.tag.record == tag.record && want.tag.class >= tag.class;
        self.items.get(&digest).is_some_and(|item| item.wants.iter().any(at_least))
    }

    /// The pictures that a record wants.
    pub fn of_record(&self, record: u64) -> impl Iterator<Item = Digest> {
        self.by_record.range((record, Digest([0; 32]))..=(record, Digest([0xFF; 32]))).map(|(_, digest)| *digest)
    }
}
