use super::incoming::Incoming;
use super::lot::{CapabilityMin, LotGrade, LotRule, LotTally, Tolerance};
use super::scheme::{
    Care, Day, Factor, Halves, LengthUnit, Limit, Limits, Picked, Rule, Sampling, Scattered, Shape, SignOff, Size, VerdictBy, Zone,
    ZoneUnit,
};
use super::*;
use crate::inspection::{ClassId, Finding, ModelRef, PixelBox, StageMicros};
use crate::judge::judge;
use crate::piece::PieceId;
use crate::policy::{PlcAcknowledge, RecalledSeen, StopPolicy};
use crate::reading::Quality;
use crate::recipe::DefectClass;
use crate::units::{Digest, Micros, Timestamp};
use crate::verdict::{Reason, Verdict};
use spc::sampling::switching::Inspection as Severity;
use spc::sampling::table::Level;

fn model() -> Arc<ModelRef> {
    Arc::new(ModelRef { package: "m@1".to_owned(), weights: Digest::default() })
}

fn recipe(rubric: Rubric) -> Recipe {
    let class = |name: &str| DefectClass { name: name.to_owned(), threshold: 0.5 };
    let stop = StopPolicy {
        consecutive_rejects: 3,
        reject_rate_window: 50,
        reject_rate_max: 5,
        camera_misses: 3,
        model_errors: 3,
        deadline_window: 100,
        deadline_misses_max: 5,
        unconfirmed_rejects: 2,
        backlog_entries_max: 100,
        recalled_serial: RecalledSeen::Stop,
        plc_acknowledge: PlcAcknowledge::Ignored,
    };
    Recipe {
        name: "r".to_owned(),
        product: "p".to_owned(),
        model: model(),
        frame_set: None,
        classes: vec![class("speck"), class("stain")],
        rubric,
        verdict_deadline: Micros(1),
        gate_offset: 0,
        gate_slack: 0,
        characteristics: vec![],
        stop,
        payload: vec![],
    }
}

/// A square finding of this class, score, middle and side in pixels.
fn finding(class: u8, score: f32, x: f32, y: f32, side: f32) -> Finding {
    let half = side / 2.0;
    let bounds = PixelBox { x1: x - half, y1: y - half, x2: x + half, y2: y + half };
    Finding { class: ClassId(class), score, bounds, area_mm2: None, camera: 0 }
}

fn inspection(findings: Vec<Finding>) -> Inspection {
    Inspection {
        piece: PieceId(1),
        acquisition: 0,
        camera: "top".into(),
        frame: 1,
        image: Digest::default(),
        width: 1000,
        height: 1000,
        model: model(),
        findings,
        measurements: vec![],
        micros: StageMicros::default(),
        views: vec![],
    }
}

fn reading(tag: &str, value: f64, unit: &str) -> Reading {
    Reading { tag: tag.into(), value, unit: unit.into(), text: None, quality: Quality::Good, sampled_at: Timestamp::default() }
}

fn specks() -> Picked {
    let classes = vec!["speck".to_owned()];
    Picked { classes, zone: None, from_score: None, size: Size::Diameter, unit: LengthUnit::Mm, larger_than: None, up_to: None }
}

fn factor(name: &str, rule: Rule) -> Factor {
    Factor { name: name.to_owned(), source: String::new(), stages: vec![], rule }
}

/// Grades A and B at a tenth of a millimetre per pixel.
fn scheme(factors: Vec<Factor>) -> Scheme {
    let day = Day::new(2026, 11, 1).unwrap();
    Scheme {
        name: "test".to_owned(),
        effective_from: day,
        effective_until: None,
        signed_off: SignOff { by: "A. Tanaka".to_owned(), on: day },
        verdict: VerdictBy::Grade,
        grades: vec!["A".to_owned(), "B".to_owned()],
        below: "loss".to_owned(),
        stage: None,
        stages: vec![],
        millimetres_per_pixel: [(String::new(), 0.1)].into(),
        zones: vec![],
        factors,
        lot: None,
        sampling: None,
    }
}

fn explained(scheme: &Scheme, findings: Vec<Finding>, readings: &[Reading]) -> Explanation {
    let rubric = Rubric { version: 1, bands: vec![], scheme: Some(Arc::new(scheme.clone())) };
    let recipe = recipe(rubric.clone());
    rubric.explain(&Seen { recipe: &recipe, inspection: &inspection(findings), readings })
}

fn named(scheme: &Scheme, findings: Vec<Finding>, readings: &[Reading]) -> String {
    explained(scheme, findings, readings).name
}

fn limits(a: f64, b: Option<f64>) -> Limits {
    vec![Some(a), b]
}

#[test]
fn the_first_band_that_fits_decides() {
    let band = |grade: &str, defects_max, suspects_max| Band { grade: grade.to_owned(), defects_max, suspects_max, suspect_score: 0.2 };
    let rubric = Rubric::of_bands(1, vec![band("A", 0, 0), band("B", 0, 3)]);
    let recipe = recipe(rubric.clone());
    let grade = |defects: usize, suspects: usize| {
        let findings = [vec![finding(1, 0.9, 5.0, 5.0, 2.0); defects], vec![finding(2, 0.3, 5.0, 5.0, 2.0); suspects]].concat();
        rubric.grade(&Seen { recipe: &recipe, inspection: &inspection(findings), readings: &[] })
    };
    assert_eq!((grade(0, 0), grade(0, 2), grade(0, 4), grade(1, 0)), (1, 2, 3, 3));
    assert_eq!(rubric.names(), ["A", "B", "below B"]);
    assert_eq!((rubric.name(0), rubric.name(4)), ("-".to_owned(), "below B".to_owned()));
}

/// As ledgers of version 0.1 hold it.
#[test]
fn a_rubric_of_an_old_ledger_reads_and_is_written_as_it_was() {
    let old = r#"{"version":3,"bands":[{"grade":"A","defects_max":0,"suspects_max":0,"suspect_score":0.25}]}"#;
    let rubric: Rubric = serde_json::from_str(old).unwrap();
    assert_eq!((rubric.version, rubric.bands.len(), rubric.scheme.is_none()), (3, 1, true));
    assert_eq!(serde_json::to_string(&rubric).unwrap(), old);
}

/// What this version writes must be read by every later one.
#[test]
fn a_scheme_at_rest_is_this_text() {
    let mut told = scheme(vec![
        factor("specks", Rule::Count { of: Picked { up_to: Some(0.8), ..specks() }, at_most: limits(1.0, None) }),
        factor("air cell", Rule::Limit(air_cell(Care { round_to: Some(0.1), halves: Halves::Even, guard_band: 0.0 }))),
    ]);
    told.stages = vec!["intake".to_owned()];
    let rubric = Rubric { version: 2, bands: vec![], scheme: Some(Arc::new(told)) };
    let golden = concat!(
        r#"{"version":2,"bands":[],"scheme":{"name":"test","effective_from":"2026-11-01","signed_off":{"by":"A. Tanaka","on":"2026-11-01"},"#,
        r#""verdict":"grade","grades":["A","B"],"below":"loss","stages":["intake"],"millimetres_per_pixel":{"":0.1},"factors":["#,
        r#"{"name":"specks","rule":{"kind":"count","of":{"classes":["speck"],"size":"diameter","unit":"mm","up_to":0.8},"at_most":[1.0,null]}},"#,
        r#"{"name":"air cell","rule":{"kind":"limit","reading":"air_cell","unit":"in","at_most":[0.125,0.1875],"#,
        r#""care":{"round_to":0.1,"halves":"even","guard_band":0.0}}}]}}"#
    );
    assert_eq!(serde_json::to_string(&rubric).unwrap(), golden);
    assert_eq!(serde_json::from_str::<Rubric>(golden).unwrap(), rubric);
}

fn air_cell(care: Care) -> Limit {
    Limit { reading: "air_cell".into(), unit: "in".to_owned(), at_most: Some(limits(0.125, Some(0.1875))), at_least: None, care }
}

#[test]
fn the_worst_factor_decides_and_says_why() {
    let mut told = scheme(vec![
        factor("air cell", Rule::Limit(air_cell(Care::default()))),
        factor("specks", Rule::Count { of: Picked { zone: Some("face".to_owned()), ..specks() }, at_most: limits(1.0, Some(3.0)) }),
    ]);
    let zone = Zone {
        name: "face".to_owned(),
        camera: None,
        shape: Shape::Rectangle,
        unit: ZoneUnit::Percent,
        x: [0.0, 50.0],
        y: [0.0, 100.0],
        except: vec![],
    };
    told.zones = vec![zone];
    let two = vec![finding(1, 0.9, 100.0, 100.0, 7.0), finding(1, 0.9, 300.0, 100.0, 7.0), finding(1, 0.9, 900.0, 100.0, 7.0)];
    let cell = [reading("air_cell", 3.0, "mm")];
    let why = explained(&told, two, &cell);
    assert_eq!(why.name, "B");
    assert_eq!(why.because, ["specks: 2 × speck (0.7 mm, 0.7 mm) in zone face; A admits at most 1"]);
    assert_eq!(why.factors[0], "air cell: air_cell is 0.1181 in; A admits at most 0.125 in");
    assert_eq!(named(&told, vec![], &cell), "A");
    assert_eq!(named(&told, vec![], &[reading("air_cell", 5.0, "mm")]), "loss");
    let unknown = explained(&told, vec![], &[]);
    assert_eq!((unknown.name.as_str(), unknown.grade), (CANNOT_JUDGE, 4));
    assert_eq!(unknown.because, ["air cell: air_cell was not measured"]);
    // What is certainly below needs no further measurement.
    assert_eq!(named(&told, vec![finding(1, 0.9, 100.0, 100.0, 7.0); 4], &[]), "loss");
}

#[test]
fn what_cannot_be_relied_on_cannot_be_judged() {
    let told = scheme(vec![factor("air cell", Rule::Limit(air_cell(Care::default())))]);
    let with = |reading: Reading| named(&told, vec![], &[reading]);
    let cell = || reading("air_cell", 0.1, "in");
    assert_eq!(with(cell()), "A");
    for bad in [
        Reading { quality: Quality::Stale, ..cell() },
        Reading { quality: Quality::Bad, ..cell() },
        Reading { value: f64::NAN, ..cell() },
        Reading { unit: "g".into(), ..cell() },
        Reading { text: Some("0.1".into()), ..cell() },
    ] {
        assert_eq!(with(bad.clone()), CANNOT_JUDGE, "{bad:?}");
    }
    let mut blind = scheme(vec![factor("specks", Rule::Count { of: specks(), at_most: limits(0.0, Some(1.0)) })]);
    blind.millimetres_per_pixel.clear();
    assert_eq!(named(&blind, vec![finding(1, 0.9, 5.0, 5.0, 2.0)], &[]), CANNOT_JUDGE);
    let strange = Picked { classes: vec!["dent".to_owned()], ..specks() };
    let strange = scheme(vec![factor("dents", Rule::Count { of: strange, at_most: limits(0.0, None) })]);
    assert_eq!(named(&strange, vec![], &[]), CANNOT_JUDGE);
    assert_eq!(named(&scheme(vec![]), vec![], &[]), CANNOT_JUDGE);
}

#[test]
fn rounding_and_guard_band_come_before_the_limit() {
    let grade = |value: f64, care: Care| {
        let limit = Limit { at_most: Some(limits(0.2, Some(0.4))), unit: "mm".to_owned(), ..air_cell(care) };
        named(&scheme(vec![factor("f", Rule::Limit(limit))]), vec![], &[reading("air_cell", value, "mm")])
    };
    let rounded = |halves| Care { round_to: Some(0.1), halves, guard_band: 0.0 };
    // 0.25 to the even tenth is 0.2, away from zero 0.3.
    assert_eq!(grade(0.25, rounded(Halves::Even)), "A");
    assert_eq!(grade(0.25, rounded(Halves::Up)), "B");
    assert_eq!(grade(0.15 + 0.1, Care::default()), "B");
    assert_eq!(grade(0.1 + 0.1, Care::default()), "A");
    let guarded = Care { guard_band: 0.02, ..Care::default() };
    assert_eq!((grade(0.18, guarded), grade(0.19, guarded), grade(0.39, guarded)), ("A".to_owned(), "B".to_owned(), "loss".to_owned()));
    let least = Limit { at_most: None, at_least: Some(limits(50.0, Some(40.0))), ..air_cell(Care { guard_band: 1.0, ..Care::default() }) };
    let least = scheme(vec![factor("weight", Rule::Limit(Limit { unit: "g".to_owned(), ..least }))]);
    let weigh = |grams| named(&least, vec![], &[reading("air_cell", grams, "g")]);
    assert_eq!((weigh(51.0), weigh(50.5), weigh(40.0)), ("A".to_owned(), "B".to_owned(), "loss".to_owned()));
}

#[test]
fn sizes_sums_words_and_stages() {
    let band = Picked { larger_than: Some(0.5), up_to: Some(0.8), ..specks() };
    let told = scheme(vec![factor("band", Rule::Count { of: band, at_most: limits(0.0, Some(2.0)) })]);
    let of = |side: f32, many: usize| named(&told, vec![finding(1, 0.9, 50.0, 50.0, side); many], &[]);
    assert_eq!(
        (of(5.0, 9), of(6.0, 1), of(8.0, 2), of(8.0, 3), of(9.0, 9)),
        ("A".into(), "B".into(), "B".into(), "loss".into(), "A".into())
    );
    let sum = Rule::Sum { of: specks(), at_most: limits(1.0, Some(2.0)), care: Care::default() };
    let told = scheme(vec![factor("sum", sum)]);
    assert_eq!(named(&told, vec![finding(1, 0.9, 50.0, 50.0, 5.0); 2], &[]), "A");
    let why = explained(&told, vec![finding(1, 0.9, 50.0, 50.0, 5.0); 3], &[]);
    assert_eq!(why.because, ["sum: 1.5 mm of 3 × speck; A admits at most 1 mm"]);
    // A suspect is below its threshold and counts only where the factor says so.
    let suspects = Picked { classes: vec![], from_score: Some(0.2), ..specks() };
    let told = scheme(vec![factor("suspects", Rule::Count { of: suspects, at_most: limits(0.0, Some(1.0)) })]);
    assert_eq!(named(&told, vec![finding(1, 0.3, 5.0, 5.0, 2.0)], &[]), "B");
    let words = [("firm".to_owned(), 1), ("weak".to_owned(), 2), ("bloody".to_owned(), 3), ("7".to_owned(), 2)].into();
    let mut told = scheme(vec![factor("white", Rule::Word { reading: "white".into(), words })]);
    let say = |text: &str| Reading { text: Some(text.into()), ..reading("white", 0.0, "") };
    let grade = |told: &Scheme, reading| named(told, vec![], &[reading]);
    assert_eq!((grade(&told, say("firm")), grade(&told, say("weak "))), ("A".to_owned(), "B".to_owned()));
    assert_eq!((grade(&told, say("bloody")), grade(&told, say("odd"))), ("loss".to_owned(), CANNOT_JUDGE.to_owned()));
    assert_eq!(grade(&told, reading("white", 7.0, "")), "B");
    told.factors[0].stages = vec!["intake".to_owned()];
    told.factors.push(factor("cell", Rule::Limit(air_cell(Care::default()))));
    let cell = [say("weak"), reading("air_cell", 0.1, "in")];
    assert_eq!(named(&told, vec![], &cell), "A");
    told.stage = Some("intake".to_owned());
    assert_eq!(named(&told, vec![], &cell), "B");
}

#[test]
fn density_share_and_zones() {
    let dense = Rule::Dense { of: specks(), count: 2, within_cm2: 2.0, allowed: vec![false, true] };
    let told = scheme(vec![factor("dense", dense)]);
    // A circle of 2 cm² is 15.96 mm wide: 159.6 pixels.
    let apart = |pixels: f32| explained(&told, vec![finding(1, 0.9, 100.0, 500.0, 6.0), finding(1, 0.9, 100.0 + pixels, 500.0, 6.0)], &[]);
    assert_eq!(apart(159.0).because, ["dense: 2 × speck within 2 cm²; A admits fewer than 2 within 2 cm²"]);
    assert_eq!(apart(160.0).name, "A");
    let of = Picked { classes: vec!["stain".to_owned()], size: Size::Area, ..specks() };
    let scattered = Some(Scattered { at_most: limits(2.0, Some(6.25)), localised_within_percent: 10.0 });
    let told = scheme(vec![factor("stain", Rule::Share { of, at_most: limits(1.0, Some(3.125)), scattered })]);
    // 200 × 200 pixels are 4 % of the picture; two of 141 pixels are as much, scattered.
    assert_eq!(named(&told, vec![finding(2, 0.9, 500.0, 500.0, 200.0)], &[]), "loss");
    assert_eq!(named(&told, vec![finding(2, 0.9, 500.0, 500.0, 170.0)], &[]), "B");
    let two = vec![finding(2, 0.9, 100.0, 100.0, 141.0), finding(2, 0.9, 900.0, 900.0, 141.0)];
    assert_eq!(explained(&told, two, &[]).because, ["stain: 3.9762 % covered by scattered stain; A admits at most 2 % if scattered"]);
    let mut told =
        scheme(vec![factor("f", Rule::Count { of: Picked { zone: Some("rim".to_owned()), ..specks() }, at_most: limits(0.0, None) })]);
    let zone = |name: &str, shape, unit, edges: [f64; 2], except: &[&str]| Zone {
        name: name.to_owned(),
        camera: Some("top".to_owned()),
        shape,
        unit,
        x: edges,
        y: edges,
        except: except.iter().map(|name| (*name).to_owned()).collect(),
    };
    told.zones = vec![
        zone("rim", Shape::Rectangle, ZoneUnit::Mm, [0.0, 100.0], &["middle"]),
        zone("middle", Shape::Ellipse, ZoneUnit::Px, [100.0, 900.0], &[]),
    ];
    let at = |x: f32, y: f32| named(&told, vec![finding(1, 0.9, x, y, 4.0)], &[]);
    assert_eq!((at(500.0, 500.0), at(120.0, 120.0), at(50.0, 500.0)), ("A".to_owned(), "B".to_owned(), "B".to_owned()));
    told.zones[0].camera = Some("side".to_owned());
    assert_eq!(named(&told, vec![], &[]), CANNOT_JUDGE);
}

#[test]
fn the_grade_makes_the_verdict_where_the_rubric_says_so() {
    let judged = |by: VerdictBy, findings: Vec<Finding>, cell: Option<f64>| {
        let mut told = scheme(vec![factor("air cell", Rule::Limit(air_cell(Care::default())))]);
        told.verdict = by;
        let recipe = recipe(Rubric { version: 1, bands: vec![], scheme: Some(Arc::new(told)) });
        let readings: Vec<_> = cell.map(|value| reading("air_cell", value, "in")).into_iter().collect();
        judge(&recipe, &inspection(findings), &readings)
    };
    let speck = || vec![finding(1, 0.9, 5.0, 5.0, 2.0)];
    let (pass, reject, hold) = (Verdict::Pass, Verdict::Reject, Verdict::Hold);
    for (by, clean_b, speck_a, clean_loss, unknown) in [
        (VerdictBy::Defects, pass, reject, pass, pass),
        (VerdictBy::Grade, pass, pass, reject, hold),
        (VerdictBy::Both, pass, reject, reject, hold),
    ] {
        assert_eq!(judged(by, vec![], Some(0.15)).verdict, clean_b, "{by:?}");
        assert_eq!(judged(by, speck(), Some(0.1)).verdict, speck_a, "{by:?}");
        assert_eq!(judged(by, vec![], Some(0.5)).verdict, clean_loss, "{by:?}");
        assert_eq!(judged(by, vec![], None).verdict, unknown, "{by:?}");
    }
    assert_eq!(judged(VerdictBy::Grade, vec![], None).reasons, [Reason::Grade { grade: 4, name: CANNOT_JUDGE.into() }]);
    assert_eq!(judged(VerdictBy::Grade, speck(), Some(0.1)).reasons, []);
    assert_eq!(judged(VerdictBy::Both, speck(), None).verdict, Verdict::Reject);
    assert_eq!(judged(VerdictBy::Grade, speck(), Some(0.5)).verdict, Verdict::Reject);
}

#[test]
fn lots_have_tolerances_and_need_capability() {
    let mut told = scheme(vec![]);
    let share = |of: &[u16], least, most| Tolerance { of: of.to_vec(), at_least_percent: least, at_most_percent: most };
    let cpk = CapabilityMin { reading: "width".into(), unit: "mm".to_owned(), lower: Some(9.0), upper: Some(11.0), cpk_at_least: 1.33 };
    let first = LotGrade { grade: "first".to_owned(), shares: vec![share(&[1], Some(95.0), None)], capability: vec![cpk] };
    let second = LotGrade { grade: "second".to_owned(), shares: vec![share(&[3, 4], None, Some(5.0))], capability: vec![] };
    told.lot = Some(LotRule { pieces_min: 10, below: "refused".to_owned(), grades: vec![first, second] });
    let lot = |good: u32, bad: u32, spread: f64| {
        let mut tally = LotTally::default();
        for piece in 0..good + bad {
            let width = 10.0 + if piece % 2 == 0 { spread } else { -spread };
            tally.note(&told, if piece < good { 1 } else { 3 }, &[reading("width", width, "mm")]);
        }
        told.lot_grade(&tally).unwrap()
    };
    assert_eq!(lot(19, 1, 0.1).grade, "first");
    let poor = lot(38, 2, 0.5);
    assert_eq!(poor.grade, "second");
    assert!(poor.because[0].starts_with("first: Cpk of width is 0."), "{:?}", poor.because);
    assert_eq!(lot(18, 2, 0.1).grade, "refused");
    assert_eq!(lot(18, 2, 0.1).because[1], "second: 10.00 % of 20 pieces are loss or cannot judge; at most 5 % may be");
    assert_eq!(lot(9, 0, 0.1).grade, CANNOT_JUDGE);
    let mut blind = LotTally::default();
    (0..20).for_each(|_| blind.note(&told, 1, &[]));
    assert_eq!(told.lot_grade(&blind).unwrap().grade, CANNOT_JUDGE);
}

#[test]
fn incoming_lots_are_tightened_stopped_and_resumed() {
    let sampling = Sampling { aql: 1.0, level: Level::II, nonconforming: vec![3] };
    let mut series = Incoming::new(&sampling);
    // 500 pieces, level II: letter H, 50 pieces, accept 1.
    let lot = |series: &mut Incoming, bad: usize| {
        let grades = [vec![3; bad], vec![1; 50 - bad]].concat();
        series.judge(500, &grades, |grade| grade != 0).unwrap()
    };
    let first = lot(&mut series, 1);
    assert_eq!((first.plan.unwrap().size, first.plan.unwrap().accept, first.accepted), (50, 1, true));
    assert_eq!(lot(&mut series, 2).next, Severity::Normal);
    assert_eq!(lot(&mut series, 2).next, Severity::Tightened);
    for _ in 0..4 {
        assert_eq!(lot(&mut series, 9).next, Severity::Tightened);
    }
    assert_eq!(lot(&mut series, 9).next, Severity::Discontinued);
    let refused = lot(&mut series, 0);
    assert_eq!((refused.plan, refused.accepted), (None, false));
    series.resume();
    assert_eq!(series.inspection(), Severity::Tightened);
    // A sample that is too small, or of which nobody judged a piece, does not accept.
    let mut short = Incoming::new(&sampling);
    assert!(!short.judge(500, &[1; 49], |grade| grade != 0).unwrap().accepted);
    assert!(!Incoming::new(&sampling).judge(500, &[0; 50], |grade| grade != 0).unwrap().accepted);
    // Fifty clean lots earn no reduced inspection, of which there are no tables.
    let mut clean = Incoming::new(&sampling);
    (0..50).for_each(|_| assert_eq!(lot(&mut clean, 0).next, Severity::Normal));
}

#[test]
fn days_are_those_of_the_calendar() {
    assert_eq!(Day::from_text("2028-02-29").unwrap().to_string(), "2028-02-29");
    for wrong in ["2026-02-29", "2026-11-31", "2026-13-01", "2026-1-01", "2026-11-1", "+026-11-01", "2026-11-01T00:00", ""] {
        assert_eq!(Day::from_text(wrong), None, "{wrong}");
    }
    assert!(Day::from_text("2026-09-30").unwrap() < Day::from_text("2026-10-01").unwrap());
}
