//! The station with a conscience: feeds events to it and checks every invariant after each of them.

use station::action::{Action, Person, Request, Role};
use station::decision::{Affected, Decision, DecisionRecord};
use station::inspection::{ClassId, Finding, Inspection, ModelRef, PixelBox, StageMicros};
use station::intake::{IntakeRecord, MadeOf};
use station::line::{GateQueue, LineCommand, Permit, PlcLink};
use station::piece::{Arrival, PieceId};
use station::policy::{PlcAcknowledge, RecalledSeen, StopPolicy, StopReason, Withheld};
use station::reading::{Quality, Reading};
use station::recipe::{Characteristic, Counting, DefectClass, PayloadValue, Recipe, RuleNames, Source};
use station::record::{Body, Entry, EntryNumber, Identity, KeySwitch, StopRecord};
use station::rubric::{Band, Rubric};
use station::units::{Digest, EncoderCount, Micros, Timestamp};
use station::verdict::{Reason, Verdict};
use station::{Effect, Event, Past, Setup, Station};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Encoder counts between two pieces.
pub const PITCH: u32 = 1000;

/// The model that the test recipe trusts.
#[must_use]
pub fn model() -> Arc<ModelRef> {
    Arc::new(ModelRef { package: "test@1".to_owned(), weights: Digest::of(b"weights") })
}

/// A recipe with one charted reading, one p chart, and a stop policy that is easy to reach.
#[must_use]
pub fn recipe() -> Recipe {
    let rules = |nelson: &[u8]| RuleNames { nelson: nelson.to_vec(), western_electric: vec![1], ..RuleNames::default() };
    let paste = Characteristic {
        id: 1,
        name: "paste_height".to_owned(),
        source: Source::Individuals { tag: "paste_height".into(), unit: "um".into() },
        phase_one_subgroups: 10,
        rules: rules(&[1, 2, 3]),
        spread_rules: None,
        counting: Counting::default(),
        patterns: Vec::new(),
        stop_rules: RuleNames { nelson: vec![1, 2], ..RuleNames::default() },
        stop_after_points: 2,
        reaction: "check the squeegee".to_owned(),
        limits: None,
        alarm: None,
    };
    let rejects = Characteristic {
        id: 2,
        name: "rejects".to_owned(),
        source: Source::RejectShare { subgroup: 5, overdispersed: false },
        phase_one_subgroups: 5,
        rules: rules(&[1]),
        spread_rules: None,
        counting: Counting::default(),
        patterns: Vec::new(),
        stop_rules: RuleNames::default(),
        stop_after_points: 1,
        reaction: String::new(),
        limits: None,
        alarm: None,
    };
    Recipe {
        name: "test".to_owned(),
        product: "board".to_owned(),
        model: model(),
        frame_set: None,
        classes: ["open", "short"].map(|name| DefectClass { name: name.to_owned(), threshold: 0.5 }).to_vec(),
        rubric: Rubric::of_bands(1, vec![Band { grade: "A".to_owned(), defects_max: 0, suspects_max: 0, suspect_score: 0.3 }]),
        verdict_deadline: Micros::from_millis(500),
        gate_offset: 2 * PITCH + PITCH / 2,
        gate_slack: PITCH,
        characteristics: vec![paste, rejects],
        payload: vec![
            PayloadValue::Record,
            PayloadValue::Reading { tag: "paste_height".into() },
            PayloadValue::ReadingGood { tag: "paste_height".into() },
            PayloadValue::Defects { class: None },
            PayloadValue::Defects { class: Some(ClassId(2)) },
            PayloadValue::Score { class: ClassId(1) },
        ],
        stop: StopPolicy {
            consecutive_rejects: 5,
            reject_rate_window: 20,
            reject_rate_max: 10,
            camera_misses: 3,
            model_errors: 3,
            deadline_window: 10,
            deadline_misses_max: 2,
            unconfirmed_rejects: 3,
            backlog_entries_max: 40,
            plc_acknowledge: PlcAcknowledge::Acknowledges,
            recalled_serial: RecalledSeen::Stop,
        },
    }
}

/// A setup around [`recipe`].
#[must_use]
pub fn setup() -> Setup {
    let identity = Identity { line: "line".to_owned(), station: "station".to_owned(), sgln: String::new(), sgtin_base: String::new() };
    Setup { identity, recipe: Arc::new(recipe()), program: "line-tests".to_owned() }
}

/// An inspection of `piece` by the trusted model, with one finding per score.
#[must_use]
pub fn inspection(piece: u32, scores: &[f32]) -> Inspection {
    let finding = |score: &f32| Finding {
        class: ClassId(1),
        score: *score,
        bounds: PixelBox { x1: 1.0, y1: 1.0, x2: 9.0, y2: 9.0 },
        area_mm2: None,
        camera: 0,
    };
    Inspection {
        acquisition: 0,
        piece: PieceId(piece),
        camera: "cam0".into(),
        frame: u64::from(piece),
        image: Digest::of(&piece.to_be_bytes()),
        width: 640,
        height: 640,
        model: model(),
        findings: scores.iter().map(finding).collect(),
        measurements: Vec::new(),
        micros: StageMicros::default(),
        views: Vec::new(),
    }
}

/// The arrival of `piece` on a belt where piece n lies at n pitches.
#[must_use]
pub fn arrival(piece: u32) -> Arrival {
    let encoder = EncoderCount(piece.wrapping_mul(PITCH));
    Arrival {
        acquisition: 0,
        piece: PieceId(piece),
        serial: Some(format!("SN{piece}")),
        lot: 7,
        encoder,
        golden: false,
        retain: false,
        user_data: Vec::new(),
    }
}

/// A station, its chain, and every promise it has made so far.
pub struct World {
    /// The station.
    pub station: Station,
    /// The time of the next event.
    pub now: Timestamp,
    /// Every entry kept so far.
    pub chain: Vec<Entry>,
    /// Effects of the last event.
    pub last: Vec<Effect>,
    /// Every effect ever, as its JSON bytes.
    pub effects: Vec<u8>,
    /// The events given, for a replay.
    pub events: Vec<(Timestamp, Event)>,
    /// The last permit commanded.
    pub permit: Permit,
    head: Digest,
    records: u64,
    durable: u64,
    stopped: bool,
    must_be_durable: u64,
    link_up: bool,
    armed: bool,
    key_switch: KeySwitch,
    gate_told: Option<GateQueue>,
    results: BTreeMap<(u32, u32), Verdict>,
    decisions: u64,
    recalls: BTreeMap<u64, Affected>,
    alarm_only: bool,
    /// What was in use, and from when on.
    in_use: Vec<(u64, MadeOf)>,
}

impl World {
    /// A station with this setup that has just started, is armed, durable, and has heard the PLC.
    #[must_use]
    pub fn with(setup: Setup) -> Self {
        let mut world = Self::of(setup, Vec::new(), Timestamp { wall_micros: 1_700_000_000_000_000, mono_micros: 1 });
        world.keep_all();
        world.give(Event::Link(PlcLink::Up));
        world.arm();
        world
    }

    /// A station that starts on `chain`.
    #[must_use]
    pub fn on(chain: Vec<Entry>, now: Timestamp) -> Self {
        Self::of(setup(), chain, now)
    }

    /// A station with this setup that starts on `chain`.
    #[must_use]
    pub fn of(setup: Setup, chain: Vec<Entry>, now: Timestamp) -> Self {
        let mut effects = Vec::new();
        let alarm_only = setup.recipe.stop.recalled_serial == RecalledSeen::Alarm;
        let station = Station::start(setup, &past(&chain), now, &mut effects).expect("the test recipe is sound");
        let durable = chain.last().map_or(0, |entry| entry.number.0);
        let mut world = Self {
            station,
            now,
            chain: Vec::new(),
            last: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
            permit: Permit::default(),
            head: digest_of_last(&[]),
            records: 0,
            durable,
            stopped: false,
            must_be_durable: 0,
            link_up: false,
            armed: false,
            key_switch: KeySwitch::Off,
            gate_told: None,
            results: BTreeMap::new(),
            decisions: 0,
            recalls: BTreeMap::new(),
            alarm_only,
            in_use: Vec::new(),
        };
        for entry in &chain {
            world.note(entry);
        }
        world.check(&[], effects);
        world
    }

    /// A station that has just started, is armed, durable, and has heard the PLC.
    #[must_use]
    pub fn running() -> Self {
        let mut world = Self::unarmed();
        world.arm();
        world
    }

    fn arm(&mut self) {
        let by = Person { name: "engineer".to_owned(), role: Role::Engineer };
        self.give(Event::Asked(Request { by, action: Action::Arm }));
        self.keep_all();
        assert!(self.armed && self.permit.run);
    }

    /// A station that has just started, is durable, and has heard the PLC. Nobody has armed the line stop.
    #[must_use]
    pub fn unarmed() -> Self {
        let mut world = Self::on(Vec::new(), Timestamp { wall_micros: 1_700_000_000_000_000, mono_micros: 1 });
        world.keep_all();
        world.give(Event::Link(PlcLink::Up));
        assert!(world.permit.run, "durable and connected, but no permit");
        world
    }

    /// Gives one event, 1 ms after the last, and checks everything.
    pub fn give(&mut self, event: Event) {
        self.now.mono_micros += 1000;
        self.now.wall_micros += 1000;
        self.events.push((self.now, event.clone()));
        match &event {
            Event::Kept(number) => self.durable = self.durable.max(number.0.min(self.chain.len() as u64)),
            Event::Link(PlcLink::Up) => self.link_up = true,
            Event::Link(PlcLink::Down(_)) => self.link_up = false,
            // From now on its numbers and counts are those of other pieces.
            Event::Link(PlcLink::Forgot) => self.results.clear(),
            _ => {}
        }
        if matches!(event, Event::Link(PlcLink::Up)) {
            self.gate_told = None;
        }
        let asked = match &event {
            Event::Link(PlcLink::Asked(request)) => vec![request.number],
            _ => Vec::new(),
        };
        let mut effects = Vec::new();
        self.station.handle(event, self.now, &mut effects);
        self.check(&asked, effects);
    }

    /// A good reading of the charted tag, sampled now.
    pub fn read(&mut self, value: f64) {
        let reading =
            Reading { tag: "paste_height".into(), value, unit: "um".into(), quality: Quality::Good, sampled_at: self.now, text: None };
        self.give(Event::Read(reading));
    }

    /// One piece from trigger to verdict.
    pub fn piece(&mut self, number: u32, scores: &[f32]) {
        self.give(Event::Arrived(arrival(number)));
        self.give(Event::Seen(Arc::new(inspection(number, scores))));
    }

    /// Tells the station that all it asked to keep is durable.
    pub fn keep_all(&mut self) {
        let last = self.chain.last().map_or(0, |entry| entry.number.0);
        self.give(Event::Kept(EntryNumber(last)));
    }

    /// The piece records of the chain.
    pub fn records(&self) -> impl Iterator<Item = &station::record::PieceRecord> {
        self.chain.iter().filter_map(|entry| match &entry.body {
            Body::Piece(record) => Some(&**record),
            _ => None,
        })
    }

    fn check(&mut self, asked: &[u32], effects: Vec<Effect>) {
        let was_running = self.permit.run;
        let answered: Vec<u32> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Command(LineCommand::Answer(answer)) => Some(answer.number),
                _ => None,
            })
            .collect();
        assert_eq!(answered, asked, "every order of the PLC is answered once, and nothing else is");
        let mut kept_before_stop = false;
        for effect in &effects {
            match effect {
                Effect::Command(LineCommand::Permit(permit)) => {
                    assert!(!(was_running && !permit.run && kept_before_stop), "stop before writing: an entry was kept first");
                    assert!(!permit.run || self.link_up, "a permit without a link");
                    self.permit = *permit;
                }
                Effect::Command(LineCommand::Result(result)) => {
                    let key = (result.piece.0, result.encoder.0);
                    let first = *self.results.entry(key).or_insert(result.verdict);
                    assert_eq!(first, result.verdict, "piece {} got two verdicts", result.piece);
                }
                Effect::Keep(entry) => {
                    kept_before_stop = true;
                    self.note(entry);
                }
                Effect::Command(LineCommand::Gate(queue)) => {
                    assert!(self.link_up && self.gate_told != Some(*queue), "the gate's queue is told when it changed");
                    self.gate_told = Some(*queue);
                }
                Effect::Command(_) | Effect::Show(_) => {}
            }
        }
        self.check_permit();
        self.check_gate();
        self.effects.extend(serde_json::to_vec(&effects).expect("effects are plain data"));
        self.last = effects;
    }

    fn note(&mut self, entry: &Entry) {
        assert_eq!(entry.previous, self.head, "entry {} does not continue the chain", entry.number.0);
        assert_eq!(entry.number.0, self.chain.last().map_or(1, |last| last.number.0 + 1), "a gap in the numbers");
        match &entry.body {
            Body::Piece(record) => {
                let seen = record.inspection.is_some();
                assert!(seen || record.judgement.verdict == Verdict::Hold, "piece {} was judged unseen", record.arrival.piece);
                self.records += 1;
                assert_eq!(record.result_id, self.records, "a gap in the records");
                self.note_recalled(record);
                self.note_origin(record);
            }
            Body::Stopped(stop) => self.note_stop(stop),
            Body::Decided(record) => self.note_decision(record),
            Body::TakenIn(record) => self.note_intake(record, entry.at),
            Body::Armed(record) => self.armed = record.armed,
            Body::KeySwitch(record) => self.key_switch = record.position,
            Body::Released(_) => (self.stopped, self.must_be_durable) = (false, entry.number.0),
            Body::Started(_) => self.must_be_durable = entry.number.0,
            _ => {}
        }
        self.head = Entry::digest(entry.previous, &entry.to_bytes().expect("an entry is plain data"));
        self.chain.push(entry.clone());
    }

    /// A recalled piece never passes, says why, and nothing else is called recalled.
    fn note_recalled(&self, record: &station::record::PieceRecord) {
        let arrival = &record.arrival;
        let due = !arrival.golden && self.recalls.values().any(|set| set.has_arrival(arrival));
        let told = record.judgement.reasons.iter().any(|reason| matches!(reason, Reason::Recalled { .. }));
        assert_eq!(told, due, "piece {} is recalled", arrival.piece);
        assert!(!due || record.judgement.verdict != Verdict::Pass, "piece {} is recalled and passed", arrival.piece);
    }

    /// A piece is made of what was in use when it was announced, and of nothing that came later.
    fn note_origin(&self, record: &station::record::PieceRecord) {
        let before = self.in_use.iter().rev().find(|(since, _)| *since <= record.arrived_at.mono_micros);
        let due = before.map(|(_, lots)| Arc::clone(lots)).unwrap_or_default();
        assert_eq!(record.made_of, due, "piece {} is made of something else", record.arrival.piece);
    }

    /// What is taken in changes what is in use, and is signed.
    fn note_intake(&mut self, record: &IntakeRecord, at: Timestamp) {
        let before = self.in_use.last().map(|(_, lots)| Arc::clone(lots)).unwrap_or_default();
        let after = record.intake.applied(&before).expect("what does not hold water is not recorded");
        assert!(!record.by.name().is_empty() && record.results == self.records);
        self.in_use.push((at.mono_micros, after.expect("what is so already is not recorded")));
    }

    /// Decisions have no gaps, are signed and reasoned, and end only what is open.
    fn note_decision(&mut self, record: &DecisionRecord) {
        self.decisions += 1;
        assert_eq!((record.decision_id, record.results), (self.decisions, self.records), "a gap in the decisions");
        assert!(!record.reason.trim().is_empty());
        match &record.decision {
            Decision::Overrule { result_id, .. } => assert!((1..=self.records).contains(result_id)),
            Decision::Recall { set, .. } => drop(self.recalls.insert(record.decision_id, set.clone())),
            Decision::EndRecall { recall, set } => assert_eq!(self.recalls.remove(recall).as_ref(), Some(set)),
            _ => {}
        }
    }

    /// A stop is withheld exactly if no stop is in force and something may withhold this one.
    fn note_stop(&mut self, stop: &StopRecord) {
        let allowed = match (self.stopped, self.key_switch, self.armed) {
            (true, _, _) => None,
            (false, KeySwitch::On, _) => Some(Withheld::KeySwitch),
            (false, _, _) if self.alarm_only && stop.first == StopReason::RecalledSerial => Some(Withheld::Policy),
            (false, _, false) if stop.first.needs_arming() => Some(Withheld::Unarmed),
            (false, _, _) => None,
        };
        assert_eq!(stop.withheld, allowed, "stop {}: {}", stop.seq, stop.detail);
        self.stopped |= stop.withheld.is_none();
    }

    /// The line may run exactly if no stop is in force, the link is up, and the start or release is durable: a withheld stop
    /// takes nothing away, and nothing gives what is missing.
    fn check_permit(&self) {
        assert!(!(self.permit.run && self.stopped), "the line may run although a stop is in force");
        let durable = self.durable >= self.must_be_durable;
        assert!(!self.permit.run || durable, "write before releasing: the line may run before the release is durable");
        assert_eq!(self.permit.run, !self.stopped && self.link_up && durable, "nothing stops the line, and it may not run");
    }

    fn check_gate(&self) {
        let snapshot = self.station.snapshot(self.now);
        let counters = snapshot.counters;
        let known = counters.reject_confirmed + counters.reject_unconfirmed;
        assert_eq!(counters.reject_commanded, known + snapshot.plc.reject_queue, "commanded = confirmed + unconfirmed + waiting");
        if self.link_up {
            let told = self.gate_told.map(|queue| u32::from(queue.waiting));
            assert_eq!(told, Some(snapshot.plc.reject_queue), "the PLC knows how many wait");
        }
        assert_eq!(snapshot.line_stop.armed, self.armed, "what is shown is what was recorded");
    }
}

/// The digest that the entry after `chain` must name.
#[must_use]
pub fn digest_of_last(chain: &[Entry]) -> Digest {
    let Some(last) = chain.last() else { return Digest::default() };
    Entry::digest(last.previous, &last.to_bytes().expect("an entry is plain data"))
}

/// What a start on `chain` is told: the last checkpoint and what follows it.
#[must_use]
pub fn past(chain: &[Entry]) -> Past {
    let checkpoint = chain.iter().rposition(|entry| matches!(entry.body, Body::Checkpoint(_)));
    Past {
        last: chain.last().map(|last| (last.number, digest_of_last(chain))),
        checkpoint: checkpoint.map(|index| chain[index].clone()),
        after: chain[checkpoint.map_or(0, |index| index + 1)..].to_vec(),
    }
}

/// Somebody with this role.
#[must_use]
pub fn person(role: Role) -> Person {
    Person { name: format!("{role}"), role }
}

/// Somebody with this role asks for something.
pub fn ask(world: &mut World, role: Role, action: Action) {
    world.give(Event::Asked(Request { by: person(role), action }));
}

/// Acknowledges a stop.
#[must_use]
pub fn acknowledge(stop_seq: u16, cause: &str) -> Action {
    Action::Acknowledge { stop_seq, cause: cause.to_owned(), corrective_action: String::new() }
}
