//! The published rubrics, limit by limit, and the form of rubric documents: the schema for editors and the checker agree.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use appliance::config::rubric::Document;
use appliance::grading::cases;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PUBLISHED: [&str; 2] = ["hen-eggs", "ceramic-tiles"];

fn shelf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rubrics")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(shelf().join(format!("{name}.toml"))).unwrap()
}

#[test]
fn published_rubrics_give_the_published_grades() {
    for (name, rows) in [("hen-eggs", 30), ("ceramic-tiles", 18)] {
        let document = Document::load(&shelf().join(format!("{name}.toml"))).unwrap_or_else(|problems| panic!("{problems}"));
        let tried = cases::run(&document, &shelf().join(format!("{name}.cases.toml"))).unwrap();
        let wrong: Vec<_> = tried.iter().filter(|case| case.is_wrong()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        assert!(tried.len() >= rows && tried.iter().all(|case| case.expected.is_some() && !case.source.is_empty()), "{name}");
        // Every grade is given by some row, so that no limit stands untried at the end of a scale.
        let names = document.rubric.names();
        let given = |grade: &&String| tried.iter().any(|case| case.got.name == **grade);
        let missing: Vec<_> = names.iter().filter(|grade| !given(grade) && *grade != "cannot judge").collect();
        assert!(missing.is_empty(), "{name}: no row is {missing:?}");
    }
}

/// A case whose grade is not the expected one is told, so that the table above can fail.
#[test]
fn a_wrong_expectation_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cases.toml");
    let document = Document::parse("tiles.toml", &text("ceramic-tiles")).unwrap();
    std::fs::write(&path, "[[piece]]\nname = \"clean\"\ngrade = \"second\"\n").unwrap();
    let tried = cases::run(&document, &path).unwrap();
    assert!(tried[0].is_wrong() && tried[0].got.name == "first");
    for (wrong, told) in [
        ("[[piece]]\nname = \"clean\"\ngrade = \"fourth\"\n", "there is no grade fourth"),
        ("[[piece]]\nname = \"clean\"\n\nsurface = 3\n", "cases.toml:4: unknown field `surface`"),
        ("[[piece]]\nname = \"clean\"\nstage = \"oven\"\n", "the rubric knows no stage oven"),
    ] {
        std::fs::write(&path, wrong).unwrap();
        let said = cases::run(&document, &path).unwrap_err().to_string();
        assert!(said.contains(told), "{said}");
    }
}

fn json_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(time) => json!(time.to_string()),
        toml::Value::Array(list) => list.iter().map(json_of).collect(),
        toml::Value::Table(table) => Value::Object(table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect()),
    }
}

fn schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rubric.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::options().offline().should_validate_formats(true).build(&schema).unwrap()
}

/// What is wrong with a document, as the checker tells it.
fn problems(text: &str) -> String {
    Document::parse("r.toml", text).map_or_else(|problems| problems.to_string(), |_| String::new())
}

/// A change of a published rubric that leaves a good document.
const GOOD: [(&str, &str, &str); 8] = [
    ("hen-eggs", "signed_off_on = 2026-10-30", "signed_off_on = \"2026-10-30\""),
    ("hen-eggs", "effective_from = 2026-11-01", "effective_from = 2026-11-01\neffective_until = 2027-10-31"),
    (
        "hen-eggs",
        "unit = \"in\"\nat_most = { AA = 0.125, A",
        "unit = \"in\"\nround_to = 0.001\nhalves = \"up\"\nguard_band = 0.01\nat_most = { AA = 0.125, A",
    ),
    ("hen-eggs", "at_most = { AA = 0.0, A = 0.0, B = 0.125 }", "from_score = 0.2\nat_most = { AA = 0, A = 0.1, B = \"any\" }"),
    ("ceramic-tiles", "verdict = \"grade\"", "verdict = \"both\""),
    ("ceramic-tiles", "pieces_min = 30", "pieces_min = 1"),
    ("ceramic-tiles", "level = \"II\"", "level = \"S-4\"\nreduced = false"),
    (
        "ceramic-tiles",
        "at_least_percent = 95.0",
        "at_least_percent = 95\n[[lot.grade.capability]]\nreading = \"edge\"\nunit = \"mm\"\nupper = 300.5\ncpk_at_least = 1.33",
    ),
];

/// A change that leaves a bad one: what the checker says, and whether it is a fault of form, which the schema sees too.
const BAD: [(&str, &str, &str, &str, bool); 40] = [
    ("hen-eggs", "format = 1", "format = 2", "format: 2 is out of range", true),
    ("hen-eggs", "version = 1", "version = 0", "version: 0 is out of range", true),
    ("hen-eggs", "signed_off_by = \"your quality officer\"\n", "", "signed_off_by: missing", true),
    ("hen-eggs", "signed_off_by = \"your quality officer\"", "signed_off_by = \" \"", "signed_off_by: the text is empty", true),
    ("hen-eggs", "effective_from = 2026-11-01", "effective_from = \"soon\"", "effective_from: `soon` is no day", true),
    ("hen-eggs", "signed_off_on = 2026-10-30", "signed_off_on = 2026-11-02", "signed_off_on: it is signed off after it is in force", false),
    (
        "hen-eggs",
        "effective_from = 2026-11-01",
        "effective_from = 2026-11-01\neffective_until = 2026-10-31",
        "effective_until: the last day lies",
        false,
    ),
    ("hen-eggs", "verdict = \"grade\"", "verdict = \"all\"", "verdict: `all` is not known here", true),
    ("hen-eggs", "grades = [\"AA\", \"A\", \"B\"]", "grades = []", "grades: the list is empty", true),
    ("hen-eggs", "grades = [\"AA\", \"A\", \"B\"]", "grades = [\"AA\", \"A\", \"A\"]", "grades: an item stands here twice", true),
    ("hen-eggs", "below = \"loss\"", "below = \"A\"", "below: this is the name of a grade", false),
    ("hen-eggs", "below = \"loss\"", "below = \"cannot judge\"", "below: this is the name of a grade", true),
    ("hen-eggs", "kind = \"sum\"", "kind = \"total\"", "kind: `total` is not known here", true),
    ("hen-eggs", "reading = \"air_cell\"\n", "", "factor[1].reading: missing", true),
    (
        "hen-eggs",
        "at_most = { AA = 0.125, A = 0.1875, B = \"any\" }",
        "at_most = { AA = 0.125, A = 0.1875 }",
        "nothing is said of grade B",
        false,
    ),
    ("hen-eggs", "B = \"any\" }", "B = \"all\" }", "factor[1].at_most.B: a string is here", true),
    ("hen-eggs", "AA = 0.125, A", "AA = 0.2, A", "factor[1].at_most: A is stricter than AA", false),
    ("hen-eggs", "at_most = { AA = 0.125, A = 0.1875, B = \"any\" }", "", "factor[1]: neither an upper nor a lower limit", true),
    ("hen-eggs", "stages = [\"origin\"]", "stages = [\"orgin\"]", "factor[1].stages: there is no stage orgin", false),
    ("hen-eggs", "weak and watery\" = \"B\"", "weak and watery\" = \"C\"", "there is no grade C", false),
    ("hen-eggs", "size = \"diameter\"\n", "", "factor[6].size: missing", true),
    (
        "hen-eggs",
        "unit = \"in\"\nat_most = { AA = 0.0",
        "unit = \"ft\"\nat_most = { AA = 0.0",
        "factor[6].unit: `ft` is not known here",
        true,
    ),
    (
        "hen-eggs",
        "[millimetres_per_pixel]\nevery_camera = 0.05\n",
        "",
        "factor[6].unit: without the size of a pixel a length cannot be told",
        false,
    ),
    ("hen-eggs", "zone = \"shell\"", "zone = \"shel\"", "factor[7].zone: there is no zone shel", false),
    ("hen-eggs", "x = [5.0, 95.0]", "x = [95.0, 5.0]", "zone[1].x: this is not a lower and an upper edge", false),
    ("hen-eggs", "x = [5.0, 95.0]", "x = [5.0, 105.0]", "105.0 is out of range", true),
    ("hen-eggs", "localised_within_percent = 25.0\n", "", "factor[7].localised_within_percent: missing", true),
    ("hen-eggs", "loss = 0.0\n", "", "worth: nothing says what loss is worth", false),
    ("hen-eggs", "AA = 0.30", "AA = nan", "worth.per_piece.AA: nan is out of range", true),
    ("ceramic-tiles", "larger_than = 0.5\nup_to = 0.8", "larger_than = 0.8\nup_to = 0.5", "factor[1].up_to: nothing is larger", false),
    ("ceramic-tiles", "count = 2", "count = 1", "factor[2].count: 1 is out of range", true),
    ("ceramic-tiles", "first = false, second = true", "first = true, second = false", "factor[2].allowed: second is stricter", false),
    ("ceramic-tiles", "round_to = 0.1", "halves = \"up\"", "factor[5].halves: nothing is rounded", true),
    ("ceramic-tiles", "name = \"cracks\"", "name = \"cracks\"\ncolour = 1", "factor[4].colour: unknown key", true),
    ("ceramic-tiles", "name = \"cracks\"", "name = \"large specks\"", "factor[4].name: there are two factors named large specks", false),
    ("ceramic-tiles", "at_least_percent = 95.0\n", "", "lot.grade[1].share[1]: this asks for nothing", true),
    ("ceramic-tiles", "of = [\"first\"]", "of = [\"best\"]", "lot.grade[1].share[1].of[1]: there is no grade best", false),
    ("ceramic-tiles", "aql = 2.5", "aql = 2.0", "sampling.aql: ISO 2859-1 has no plans for an AQL of 2", true),
    (
        "ceramic-tiles",
        "level = \"II\"",
        "level = \"II\"\nreduced = true",
        "sampling.reduced: there are no plans for reduced inspection",
        true,
    ),
    ("ceramic-tiles", "third = \"any\" }", "thrid = \"any\" }", "factor[1].at_most.thrid: there is no such grade", false),
];

fn changed(name: &str, from: &str, to: &str) -> String {
    let text = text(name);
    assert!(text.contains(from), "{name} has no `{from}`");
    text.replacen(from, to, 1)
}

fn as_json(text: &str) -> Value {
    json_of(&toml::Value::Table(text.parse().unwrap_or_else(|error| panic!("{text}\n{error}"))))
}

#[test]
fn schema_and_checker_accept_the_same_documents() {
    let schema = schema();
    let told = |document: &Value| schema.iter_errors(document).map(|error| error.to_string()).collect::<Vec<_>>();
    for name in PUBLISHED {
        assert_eq!((problems(&text(name)), told(&as_json(&text(name)))), (String::new(), vec![]), "{name}");
    }
    for (name, from, to) in GOOD {
        let text = changed(name, from, to);
        assert_eq!((problems(&text), told(&as_json(&text))), (String::new(), vec![]), "{to}");
    }
    for (name, from, to, expected, of_form) in BAD {
        let text = changed(name, from, to);
        let said = problems(&text);
        assert!(said.contains(expected), "{to}: {said}");
        assert!(said.lines().all(|line| line.starts_with("r.toml:") && line.contains("(mend: ")), "{said}");
        // JSON has no NaN, so a schema never sees one as a number.
        assert_eq!(!schema.is_valid(&as_json(&text)), of_form, "{to}: {:?}", told(&as_json(&text)));
    }
}

#[test]
fn all_problems_are_told_at_once_with_line_key_and_mend() {
    let text = changed("ceramic-tiles", "version = 1", "version = 0").replacen("kind = \"dense\"", "kind = \"densse\"", 1).replacen(
        "zone = \"face\"",
        "zone = \"back\"",
        1,
    );
    let line = |needle: &str| text.lines().position(|line| line == needle).unwrap() + 1;
    let expected = [
        format!("r.toml:{}: version: 0 is out of range (mend: write a whole number from 1 to 65535)", line("version = 0")),
        format!("r.toml:{}: factor[1].zone: there is no zone back (mend: name one of face)", line("zone = \"back\"")),
        format!(
            "r.toml:{}: factor[2].kind: `densse` is not known here (mend: write \"limit\" or \"word\" or \"count\" or \"sum\" or \"share\" or \"dense\")",
            line("kind = \"densse\"")
        ),
    ];
    assert_eq!(problems(&text).lines().collect::<Vec<_>>(), expected);
}
