//! What the settings promise to a person with a wrong file: every problem, its line, its key, its mend.

mod cameras;
mod images;
mod modbus;
mod plan;

use super::*;
use crate::store::images::policy::Class;
use proptest::prelude::*;
use station::recipe::Alarm;

/// The sample with `from` replaced by `to`. Fails if the sample has no `from`, so that no test runs on nothing.
fn sample_with(changes: &[(&str, &str)]) -> String {
    let mut text = sample().to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "the sample has no {from:?}");
        text = text.replacen(from, to, 1);
    }
    text
}

fn parse(text: &str) -> Result<Settings, Problems> {
    Settings::parse("t.toml", text, Path::new("/etc/jidoka"))
}

/// Line of the first `needle` in `text` that is not in a line of comment, from 1.
fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| !line.starts_with("# ") && line.contains(needle)).expect("the text has this line") + 1
}

/// Changes the sample and expects exactly these problems. `@TEXT@` in an expectation stands for the line of `TEXT`.
fn check(changes: &[(&str, &str)], expect: &[&str]) {
    let text = sample_with(changes);
    let expected: Vec<String> = expect
        .iter()
        .map(|problem| {
            let mut parts = problem.splitn(3, '@');
            let (_, needle, rest) = (parts.next(), parts.next().expect("an @TEXT@"), parts.next().expect("a problem"));
            if needle.is_empty() { format!("t.toml{rest}") } else { format!("t.toml:{}{rest}", line_of(&text, needle)) }
        })
        .collect();
    let found = match parse(&text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.to_string().lines().map(ToOwned::to_owned).collect(),
    };
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

#[test]
fn the_sample_is_valid_and_says_what_it_seems_to_say() {
    let settings = parse(sample()).expect("the sample has no problem");
    assert_eq!(settings.identity.line, "SMT 2");
    assert_eq!(settings.data_directory, Path::new("/var/lib/jidoka"));
    assert_eq!(settings.camera.source, CameraSource::Generated { seed: 7, bad_share: 0.08 });
    assert_eq!(settings.recipe.verdict_deadline, Micros(1_000_000));
    assert_eq!(settings.recipe.rubric.bands.len(), 3);
    let plc = settings.plc.as_ref().expect("[plc] is there");
    assert_eq!(plc.link, LinkSettings::Tcp { host: "127.0.0.1".to_owned(), port: 5020 });
    assert_eq!((plc.tags.len(), plc.commissioning), (5, false));
    assert_eq!(settings.characteristics.len(), 7);
    assert_eq!(settings.characteristics[0].stop_rules.nelson, [1]);
    assert!(matches!(settings.characteristics[0].alarm, Some(Alarm::Ewma { .. } | Alarm::Cusum { .. })));
    assert_eq!(settings.page.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.backends.iter().map(|backend| backend.name).collect::<Vec<_>>(), [BackendName::Traceability, BackendName::Grading]);
    let kept = |class| settings.images.of(class).kept;
    assert_eq!(Class::ALL.map(kept), [true, false, true, true, true, true, true]);
    assert_eq!((settings.images.sampled_every, settings.images.of(Class::Reject).days), (200, Some(365)));
    assert_eq!(settings.panel.as_ref().map(|panel| panel.language), Some(Language::En));
}

#[test]
fn what_is_harmless_may_be_left_out() {
    let cut = sample().split("[log]").next().expect("the sample has [log]");
    let settings = parse(cut).expect("log and panel may be left out");
    assert_eq!((settings.log_level, settings.panel), (LogLevel::Info, None));
}

#[test]
fn relative_paths_start_at_the_file() {
    let text = sample_with(&[("\"/var/lib/jidoka\"", "\"data\""), ("kind = \"generated\"", "kind = \"folder\"\npath = \"boards\"")]);
    let text = text.replace("seed = 7", "").replace("bad_share = 0.08", "");
    let settings = parse(&text).expect("a folder camera is valid");
    assert_eq!(settings.data_directory, Path::new("/etc/jidoka/data"));
    assert_eq!(settings.camera.source, CameraSource::Folder { path: "/etc/jidoka/boards".into() });
}

#[test]
fn an_unknown_key_is_told_with_what_was_probably_meant() {
    check(
        &[("poll_interval_millis = 2", "pol_interval_millis = 20")],
        &["@pol_interval@: plc.pol_interval_millis: unknown key (mend: did you mean `poll_interval_millis`?)"],
    );
    check(&[("[images]", "[imagse]")], &["@[imagse]@: imagse: unknown key (mend: did you mean `images`?)"]);
    check(
        &[("seed = 7", "seed = 7\ncolour = \"red\"")],
        &["@colour@: camera.colour: unknown key (mend: remove it; here belong `bad_share`, `contrast_min`, `kind`, `name`, `seed`)"],
    );
}

#[test]
fn a_missing_key_is_told_with_what_it_should_hold() {
    check(
        &[("consecutive_rejects = 4\n", "")],
        &[
            "@[stop_policy]@: stop_policy.consecutive_rejects: missing (mend: add `consecutive_rejects = …`, a whole number from 1 to 100000)",
        ],
    );
    check(
        &[("[page]\n", ""), ("listen = \"127.0.0.1:8080\"", "# "), ("users =", "# ")],
        &["@@: page: missing (mend: add a section [page]; the annotated sample shows its keys)"],
    );
    check(
        &[("threshold_source = \"package\"", "")],
        &["@[model]@: model.threshold_source: missing (mend: add `threshold_source = …`, \"package\" or \"settings\")"],
    );
    check(
        &[("phase_one_subgroups = 25", "")],
        &[
            "@[[characteristic]]@: characteristic[1].phase_one_subgroups: missing (mend: add `phase_one_subgroups = …`, a whole number from 5 to 10000)",
        ],
    );
}

#[test]
fn a_wrong_type_or_range_is_told_where_it_stands() {
    check(
        &[("poll_interval_millis = 2", "poll_interval_millis = 0")],
        &["@poll_interval@: plc.poll_interval_millis: 0 is out of range (mend: write a whole number from 1 to 10000)"],
    );
    check(&[("unit_id = 1", "unit_id = \"1\"")], &["@unit_id@: plc.unit_id: a string is here (mend: write a whole number from 0 to 255)"]);
    check(
        &[("unit_id = 1", "unit_id = 0x100")],
        &["@unit_id@: plc.unit_id: 0x100 is out of range (mend: write a whole number from 0 to 255)"],
    );
    check(
        &[("bad_share = 0.08", "bad_share = 8")],
        &["@bad_share@: camera.bad_share: 8 is out of range (mend: write a number from 0 to 1)"],
    );
    check(
        &[("bad_share = 0.08", "bad_share = nan")],
        &["@bad_share@: camera.bad_share: nan is out of range (mend: write a number from 0 to 1)"],
    );
    check(&[("scale = 0.01", "scale = inf")], &["@scale = inf@: plc.tag[1].scale: inf is out of range (mend: write a finite number)"]);
    check(&[("word_swap = false", "word_swap = 0")], &["@word_swap = 0@: plc.word_swap: an integer is here (mend: write true or false)"]);
    check(
        &[("kind = \"generated\"", "kind = \"usb\"")],
        &[
            "@\"usb\"@: camera.kind: `usb` is not known here (mend: write \"generated\" or \"folder\" or \"replay\" or \"video\" or \"v4l2\" or \"rtsp\" or \"gige\" or \"simulated\")",
        ],
    );
    check(&[("line = \"SMT 2\"", "line = \" \"")], &["@line = \" \"@: station.line: the text is empty (mend: write the name of the line)"]);
    check(
        &[("rules = { nelson = [1, 2, 3, 5, 6]", "rules = { nelson = [1, 2, 9, 2, \"x\"]")],
        &[
            "@[1, 2, 9@: characteristic[1].rules.nelson[3]: 9 is out of range (mend: write a list of whole numbers from 1 to 8)",
            "@[1, 2, 9@: characteristic[1].rules.nelson[5]: a string is here (mend: write a list of whole numbers from 1 to 8)",
        ],
    );
    check(
        &[("[station]", "data = \"/var\"\n[station]"), ("[data]\n", ""), ("directory = ", "# ")],
        &["@data = @: data: a string is here (mend: write a section [data])"],
    );
}

#[test]
fn keys_that_contradict_each_other_are_told() {
    check(
        &[("tag = \"paste_height\"", "tag = \"paste_hight\"")],
        &["@tag = \"paste_hight\"@: characteristic[1].tag: there is no tag named paste_hight (mend: did you mean `paste_height`?)"],
    );
    check(
        &[(
            "stop_rules = { nelson = [1] }\nstop_after_points = 2",
            "stop_after_points = 2\nstop_rules = { nelson = [1, 4], western_electric = [2] }",
        )],
        &[
            "@nelson = [1, 4]@: characteristic[1].stop_rules.nelson: rule 4 stops the line but is not among the rules that are shown (mend: add 4 to rules.nelson, or take it out here)",
            "@nelson = [1, 4]@: characteristic[1].stop_rules.western_electric: rule 2 stops the line but is not among the rules that are shown (mend: add 2 to rules.western_electric, or take it out here)",
        ],
    );
    check(
        &[("id = 2\n", "id = 1 # again\n"), ("name = \"oven_zone_2\"\nkind", "name = \"oven_zone_1\" # again\nkind")],
        &[
            "@id = 1 # again@: characteristic[2].id: there are two characteristics with id 1 (mend: give each chart a number of its own)",
            "@oven_zone_1\" # again@: characteristic[3].name: there are two characteristics named oven_zone_1 (mend: give each chart a name of its own)",
        ],
    );
    check(
        &[("reject_rate_max = 12", "reject_rate_max = 50")],
        &[
            "@reject_rate_max = 50@: stop_policy.reject_rate_max: 50 cannot be exceeded in a window of 50, so this would never stop the line (mend: make it less than its window)",
        ],
    );
    check(
        &[("request_timeout_millis = 300", "request_timeout_millis = 500")],
        &[
            "@request_timeout@: plc.request_timeout_millis: one answer may take 500 ms, but the PLC stops the line after 500 ms without a heartbeat (mend: write less than plc.vision_heartbeat_timeout_millis)",
        ],
    );
}

#[test]
fn register_addresses_that_overlap_are_told() {
    check(
        &[("address = 2002\n", "address = 1999 # wide\n")],
        &["@# wide@: plc.tag[2].address: register 1999…2000 is also used by tag paste_height (mend: give each value registers of its own)"],
    );
    check(
        &[("address = 2000\n", "address = 1127\n")],
        &[
            "@address = 1127@: plc.tag[1].address: register 1127…1127 is also used by the status block (mend: give each value registers of its own)",
        ],
    );
    check(
        &[("status_base = 1000", "status_base = 95"), ("[[1000, 1127]]", "[[95, 222]]")],
        &["@status_base = 95@: plc.status_base: the status block 95…222 lies over the control block 0…95 (mend: move one of the blocks)"],
    );
    check(
        &[("address = 2006\n", "address = 65535\n")],
        &["@address = 65535@: plc.tag[4].address: its last register would be 65536 (mend: write 65534 or less)"],
    );
    check(
        &[("name = \"oven_zone_2\"\naddress", "name = \"oven_zone_1\" # again\naddress")],
        &[
            "@# again@: plc.tag[3].name: there are two tags named oven_zone_1 (mend: give each tag a name of its own)",
            "@tag = \"oven_zone_2\"@: characteristic[3].tag: there is no tag named oven_zone_2 (mend: did you mean `oven_zone_1`?)",
        ],
    );
}

#[test]
fn a_plans_sizes_are_tags_and_a_plan_that_cannot_be_read_is_told() {
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/../vision-models/gauges/screws.toml");
    let with = |plan: &str, tag: &str| {
        let gauge = format!("[gauge]\nplan = {plan:?}\n\n[recipe]\n");
        sample_with(&[("[recipe]\n", gauge.as_str()), ("tag = \"paste_height\"", &format!("tag = {tag:?}"))])
    };
    let settings = parse(&with(plan, "overall_length")).expect("the plan's sizes are known");
    assert_eq!(settings.gauge.as_ref().expect("[gauge] is there").plan, Path::new(plan));
    let source = &settings.characteristics[0].source;
    assert_eq!(source.tag().map(|tag| &**tag), Some("overall_length"));
    assert!(format!("{source:?}").contains("\"mm\""), "{source:?}");
    let told = parse(&with(plan, "overall_lenght")).expect_err("no such size").to_string();
    assert!(told.contains("there is no tag named overall_lenght (mend: did you mean `overall_length`?)"), "{told}");
    let told = parse(&with("/nowhere/plan.toml", "paste_height")).expect_err("no such plan").to_string();
    assert!(told.contains("gauge.plan: the gauge plan /nowhere/plan.toml cannot be read"), "{told}");
}

#[test]
fn readings_that_are_always_stale_are_told() {
    check(
        &[("sample = \"trigger\"\nstale_after_millis = 5000", "sample = \"interval\"\ninterval_millis = 1\nstale_after_millis = 1")],
        &[
            "@interval_millis = 1@: plc.tag[1].interval_millis: 1 ms is less than plc.poll_interval_millis, 2, in which the PLC is asked (mend: write 2 or more)",
            "@stale_after_millis = 1@: plc.tag[1].stale_after_millis: 1 ms is less than two intervals, so its readings are stale between them (mend: write 2 or more, or read it more often)",
        ],
    );
    check(
        &[("[[plc.tag]]\n", "[[plc.tag]] # no interval\n"), ("sample = \"trigger\"\nstale", "sample = \"interval\"\nstale")],
        &["@# no interval@: plc.tag[1].interval_millis: missing (mend: add `interval_millis = …`, a whole number from 1 to 3600000)"],
    );
    check(
        &[("plc_heartbeat_timeout_millis = 1000", "plc_heartbeat_timeout_millis = 3")],
        &[
            "@plc_heartbeat_timeout@: plc.plc_heartbeat_timeout_millis: 3 ms is less than two polls, so the PLC would look dead between them (mend: write 4 or more, or poll more often)",
        ],
    );
    check(
        &[("min = 30.0", "min = 240"), ("scale = 1.0", "scale = 0 # none")],
        &[
            "@min = 240@: plc.tag[1].min: 240 is not less than max, 240, so every reading is bad (mend: make min less than max)",
            "@scale = 0 # none@: plc.tag[5].scale: with 0 every reading has the same value (mend: write the factor from the register to the unit)",
        ],
    );
}

#[test]
fn nothing_beyond_the_status_block_may_be_written() {
    check(
        &[("[[1000, 1127]]", "[[0, 10], [1000, 1127]]")],
        &[
            "@write_allowed = @: plc.write_allowed: 0…10 is not in the status block, and nothing else may be written (mend: write [[1000, 1127]] or less)",
        ],
    );
    check(
        &[("[[1000, 1127]]", "[[1000, 1019], [1021, 1127]]")],
        &[
            "@write_allowed = @: plc.write_allowed: register 1020 of the status block may not be written, so the PLC would never see its content (mend: cover 1000…1063, for example [[1000, 1127]])",
        ],
    );
    check(
        &[("[[1000, 1127]]", "[[1127, 1000], [1]]")],
        &[
            "@write_allowed = @: plc.write_allowed[1]: this is not a first and a last address (mend: write a list of pairs [first, last] of register addresses from 0 to 65535)",
            "@write_allowed = @: plc.write_allowed[2]: this is not a first and a last address (mend: write a list of pairs [first, last] of register addresses from 0 to 65535)",
        ],
    );
    check(
        &[("[[1000, 1127]]", "[[1000, 1031], [1032, 1063]]")],
        &[
            "@write_allowed = @: plc.write_allowed: 1000…1063 are written in one request, which no entry allows alone (mend: cover them with one entry, for example [[1000, 1127]])",
        ],
    );
    assert!(parse(&sample_with(&[("[[1000, 1127]]", "[[1000, 1065]]")])).is_ok());
}

#[test]
fn what_would_leave_the_machine_in_the_clear_is_refused() {
    check(
        &[("\"127.0.0.1:8080\"", "\"0.0.0.0:8080\"")],
        &[
            "@listen = @: page.listen: 0.0.0.0:8080 can be reached from other machines (mend: write 127.0.0.1 and put a proxy with TLS in front; sign-in without TLS must not leave the machine)",
        ],
    );
    let clear = "the token would cross the network in the clear (mend: write https://)";
    let no_host = "this address has no host or no valid port (mend: write https://HOST, or http://127.0.0.1:PORT on this machine)";
    let no_http = "this is not an http address (mend: write https://HOST, or http://127.0.0.1:PORT on this machine)";
    let password = "a password in an address ends up in logs (mend: put the token into token_file)";
    for (url, refused) in [
        ("http://backend.plant.example", clear),
        ("http://127.0.0.1.evil.example:80/", clear),
        ("http://localhost:80@evil.example/", password),
        ("https://:443/", no_host),
        ("https://host:99999/", no_host),
        ("ftp://host/", no_http),
    ] {
        let text = sample_with(&[("url = \"http://127.0.0.1:8090\"", &format!("url = \"{url}\""))]);
        let line = line_of(&text, url);
        assert_eq!(parse(&text).expect_err(url).to_string(), format!("t.toml:{line}: backend[1].url: {refused}"));
    }
    for url in ["https://backend.plant.example", "http://localhost:80/in", "http://[::1]:8090"] {
        let text = sample_with(&[("url = \"http://127.0.0.1:8090\"", &format!("url = \"{url}\""))]);
        assert_eq!(parse(&text).map(|settings| settings.backends[0].url.clone()).as_deref(), Ok(url));
    }
}

#[test]
fn identities_keep_the_form_of_gs1() {
    for (key, wrong) in [
        ("sgln = \"urn:epc:id:sgln:0614141.12345.aoi-2\"", "sgln = \"urn:epc:id:sgln:0614141.123456.0\""),
        ("sgln = \"urn:epc:id:sgln:0614141.12345.aoi-2\"", "sgln = \"0614141.12345\""),
        ("sgtin_base = \"urn:epc:id:sgtin:0614141.107346\"", "sgtin_base = \"urn:epc:id:sgtin:0614141.10734\""),
        ("sgtin_base = \"urn:epc:id:sgtin:0614141.107346\"", "sgtin_base = \"urn:epc:id:sgtin:0614141.107346.1\""),
    ] {
        let problems = parse(&sample_with(&[(key, wrong)])).expect_err(wrong);
        assert_eq!(problems.count(), 1, "{wrong}: {problems}");
    }
    assert!(
        parse(&sample_with(&[("\"urn:epc:id:sgln:0614141.12345.aoi-2\"", "\"\""), ("\"urn:epc:id:sgtin:0614141.107346\"", "\"\"")]))
            .is_ok()
    );
}

#[test]
fn grades_that_can_never_be_given_are_told() {
    check(
        &[
            ("defects_max = 0\nsuspects_max = 3", "defects_max = 0\nsuspects_max = 0"),
            ("[[rubric.band]]\ngrade = \"B\"", "[[rubric.band]] # second\ngrade = \"B\""),
        ],
        &[
            "@# second@: rubric.band[2]: every piece that fits band B fits band A before it, so this grade is never given (mend: order the bands from the strictest to the widest)",
        ],
    );
}

#[test]
fn a_page_on_the_port_of_the_plc_is_told() {
    check(
        &[("127.0.0.1:8080", "127.0.0.1:5020")],
        &["@listen = @: page.listen: port 5020 is the PLC's (mend: give the page a port of its own)"],
    );
}

#[test]
fn a_very_wrong_file_is_told_whole() {
    let text = sample_with(&[
        ("line = \"SMT 2\"", "line = 2"),
        ("seed = 7", "sed = 7"),
        ("verdict_deadline_millis = 1000", "verdict_deadline_millis = \"soon\""),
        ("address = \"127.0.0.1:5020\"", "address = \"plc\""),
        ("name = \"oven_zone_1\"\naddress", "# \naddress"),
        ("kind = \"individuals\"\ntag", "kind = \"individual\"\ntag"),
        ("consecutive_rejects = 4", "consecutive_rejects = 0"),
        ("[images]", "[imagse]"),
        ("language = \"en\"", "language = \"de\""),
    ]);
    let problems = parse(&text).expect_err("nine things are wrong");
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected = [
        "station.line",
        "camera.sed",
        "recipe.verdict_deadline_millis",
        "plc.address",
        "plc.tag[2].name",
        "characteristic[1].kind",
        "stop_policy.consecutive_rejects",
        "imagse",
        "panel.language",
    ];
    assert_eq!(keys, expected, "\n{problems}");
    assert_eq!(problems.count(), problems.to_string().lines().count());
}

#[test]
fn broken_toml_does_not_hide_what_is_wrong_elsewhere() {
    check(
        &[("unit_id = 1", "unit_id = "), ("consecutive_rejects = 4", "consecutive_rejects = 0"), ("seed = 7", "seed = 7\nseed = 8")],
        &[
            "@seed = 8@: duplicate key (mend: mend the TOML on this line; text stands in double quotes, every table and key once)",
            "@unit_id = @: string values must be quoted, expected literal string (mend: mend the TOML on this line; text stands in double quotes, every table and key once)",
            "@consecutive_rejects@: stop_policy.consecutive_rejects: 0 is out of range (mend: write a whole number from 1 to 100000)",
        ],
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("none.toml");
    let problems = Settings::load(&path).expect_err("there is no such file");
    assert!(problems.to_string().starts_with(&format!("{}: cannot be read: ", path.display())), "{problems}");
    std::fs::write(&path, b"[station]\nline = \"\xff\"\n").expect("written");
    let problems = Settings::load(&path).expect_err("not UTF-8");
    assert_eq!(problems.to_string(), format!("{}: line 2 is not UTF-8 (mend: save the file as UTF-8)", path.display()));
}

fn package() -> (Arc<ModelRef>, Vec<DefectClass>) {
    let model = ModelRef { package: "pcb@1".to_owned(), weights: station::units::Digest::default() };
    let class = |name: &str, threshold| DefectClass { name: name.to_owned(), threshold };
    (Arc::new(model), vec![class("open", 0.5), class("mousebite", 0.475)])
}

#[test]
fn thresholds_come_from_where_the_file_says() {
    let (model, classes) = package();
    let recipe = |changes: &[(&str, &str)]| parse(&sample_with(changes)).expect("valid").recipe(model.clone(), &classes, &[]);
    let thresholds = |recipe: Recipe| recipe.classes.iter().map(|class| class.threshold).collect::<Vec<_>>();

    let taken = recipe(&[]).expect("the package decides");
    assert_eq!((taken.gate_offset, taken.verdict_deadline, taken.stop.consecutive_rejects), (3000, Micros(1_000_000), 4));
    assert_eq!(thresholds(taken), [0.5, 0.475]);
    assert_eq!(thresholds(recipe(&[("# mousebite = 0.4", "mousebite = 0.4")]).expect("one override")), [0.5, 0.4]);

    let text = [("# mousebite = 0.4", "mousbite = 0.4"), ("threshold_source = \"package\"", "threshold_source = \"settings\"")];
    let line = |needle| line_of(&sample_with(&text), needle);
    assert_eq!(
        recipe(&text).expect_err("misspelt and incomplete").to_string(),
        format!(
            "t.toml:{source}: model.threshold.mousebite: missing, while model.threshold_source is \"settings\" and pcb@1 has this class (mend: add its threshold to [model.threshold])\n\
             t.toml:{source}: model.threshold.open: missing, while model.threshold_source is \"settings\" and pcb@1 has this class (mend: add its threshold to [model.threshold])\n\
             t.toml:{wrong}: model.threshold.mousbite: the model package pcb@1 has no such class (mend: did you mean `mousebite`?)",
            source = line("threshold_source ="),
            wrong = line("mousbite"),
        )
    );
}

#[test]
fn the_written_demonstration_loads_and_keeps_its_comments() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let places = |camera| DemoPlaces {
        plc_address: "127.0.0.1:45502".to_owned(),
        page_listen: "127.0.0.1:45080".parse().expect("an address"),
        traceability_url: "http://127.0.0.1:45090".to_owned(),
        grading_url: "http://127.0.0.1:45091".to_owned(),
        package: "/srv/a \"quoted\" package".into(),
        onnxruntime: Some("/srv/libonnxruntime.so".into()),
        data_directory: folder.path().join("data"),
        camera,
    };
    let dir = folder.path().join("made/for/it");
    for camera in [CameraSource::Generated { seed: 99, bad_share: 1.0 }, CameraSource::Folder { path: "/srv/boards".into() }] {
        let places = places(camera);
        let path = write_demo_config(&dir, &places).expect("written");
        let settings = Settings::load(&path).expect("loads without a problem");
        assert_eq!(demo_settings(&dir, &places).expect("valid"), settings, "what is written is what runs");
        assert_eq!(settings.camera.source, places.camera);
        assert_eq!(settings.plc.as_ref().map(|plc| plc.link.to_string()).as_deref(), Some("127.0.0.1:45502"));
        assert_eq!(settings.page, PageSettings { listen: places.page_listen, users: dir.join("users.json") });
        assert_eq!(settings.backends[0].url, places.traceability_url);
        assert_eq!(settings.backends[1].url, places.grading_url);
        assert_eq!(settings.backends[1].token_file, dir.join("grading.token"));
        assert_eq!((settings.model.package, settings.model.onnxruntime), (places.package, places.onnxruntime));
        assert_eq!(settings.data_directory, places.data_directory);
        let text = std::fs::read_to_string(&path).expect("readable");
        let comments = |text: &str| text.lines().filter(|line| line.starts_with("# ")).count();
        assert!(comments(&text) >= comments(sample()), "the annotations are kept");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Whatever a slip of the hand makes of the file, the answer is settings or problems, and every problem says something.
    #[test]
    fn a_mutated_sample_never_panics(cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, "[\\PC\n\\[\\]=\"0-9.-]{0,8}"), 1..6)) {
        // Without the alarm, whose design is a tenth of a second of arithmetic each time.
        let mut text: Vec<char> = plan::plain_with(&[]).chars().collect();
        for (at, length, inserted) in cuts {
            let from = at.index(text.len() + 1);
            let to = (from + length).min(text.len());
            text.splice(from..to, inserted.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = parse(&text) {
            let lines = text.lines().count() + 1;
            prop_assert!(problems.count() > 0);
            for problem in problems.iter() {
                prop_assert!(!problem.what.is_empty() && !problem.mend.is_empty());
                prop_assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)));
                prop_assert!(problem.mend != "report this as a bug", "refused without a reason");
            }
        }
    }
}

#[test]
fn a_free_running_line_with_real_time_priority_is_what_the_file_says() {
    let text = sample_with(&[
        ("kind = \"generated\"", "kind = \"replay\"\npath = \"pictures\"\nfree_run_per_second = 25"),
        ("seed = 7\n", ""),
        ("bad_share = 0.08\n", ""),
        ("# [realtime]\n# priority = 20\n# lock_memory = true", "[realtime]\npriority = 20\nlock_memory = true"),
    ]);
    let settings = parse(&text).expect("no problem");
    assert_eq!(settings.camera.source, CameraSource::Replay { path: "/etc/jidoka/pictures".into() });
    assert_eq!(settings.camera.free_run_per_second, Some(25.0));
    assert_eq!(settings.realtime, Some(Realtime { priority: 20, lock_memory: true }));
    let settings = parse(sample()).expect("no problem");
    assert_eq!((settings.camera.free_run_per_second, settings.realtime), (None, None));
    let wrong = text.replace("priority = 20", "priority = 99").replace("free_run_per_second = 25", "free_run_per_second = 0");
    let told = parse(&wrong).expect_err("two problems").to_string();
    assert!(told.contains("realtime.priority") && told.contains("camera.free_run_per_second"), "{told}");
}

/// The sample with a live camera in place of the drawn boards.
fn live(keys: &str) -> String {
    sample_with(&[("kind = \"generated\"", keys)]).replace("\nseed = 7\n", "\n").replace("\nbad_share = 0.08\n", "\n")
}

const GIGE: &str = "kind = \"gige\"\ncamera = \"192.168.7.20\"\ntrigger = \"software\"\nwidth_pixels = 1280\nheight_pixels = 1024\nframe_deadline_millis = 200";

#[test]
fn a_live_camera_is_read_with_its_deadlines() {
    let settings = parse(&live(GIGE)).expect("a GigE camera is valid");
    let CameraSource::Live(camera) = &settings.camera.source else { panic!("{:?}", settings.camera) };
    assert_eq!((camera.width_pixels, camera.height_pixels, camera.frame_deadline_millis), (1280, 1024, 200));
    assert_eq!((camera.open_deadline_millis, camera.reconnect_max_millis, settings.camera.contrast_min), (1400, 500, 8));
    let by_name = parse(&live(&GIGE.replace("192.168.7.20", "Maker-1234"))).expect("a name is valid");
    let CameraSource::Live(camera) = &by_name.camera.source else { panic!("{:?}", by_name.camera) };
    assert_eq!(camera.open_deadline_millis, 3000, "a camera is looked for by its name for a second");
}

#[test]
fn a_camera_that_cannot_be_meant_is_told() {
    let told = |keys: &str| parse(&live(keys)).map(|_| ()).unwrap_err().to_string();
    let rtsp = |more: &str| {
        format!("kind = \"rtsp\"\ntrigger = \"free_run\"\ndelay_millis = 80\n{more}\n{}", &GIGE[GIGE.find("width").expect("a width")..])
    };
    parse(&live(&rtsp("url = \"rtsp://10.0.0.5:554/s\""))).expect("a stream is valid");
    let text = told(&rtsp("url = \"rtsp://me:sesame@10.0.0.5/s\""));
    assert!(text.contains("camera.url") && text.contains("password_file") && !text.contains("sesame"), "{text}");
    let text = told(&rtsp("url = \"rtsp://10.0.0.5/s\"\nuser = \"me\""));
    assert!(text.contains("user and password_file belong together"), "{text}");
    let text = told(&rtsp("url = \"rtsp://10.0.0.5/s\"").replace("\"free_run\"\ndelay_millis = 80", "\"software\""));
    assert!(text.contains("camera.trigger: this kind of camera cannot be triggered so"), "{text}");
    let text = told(&GIGE.replace("\"software\"", "\"free_run\""));
    assert!(text.contains("camera.delay_millis: missing"), "{text}");
    let text = told(&format!("{GIGE}\ndelay_millis = 80"));
    assert!(text.contains("camera.delay_millis: unknown key"), "{text}");
    let text = told(&GIGE.replace("1280", "12800"));
    assert!(text.contains("camera.width_pixels: 12800 is out of range"), "{text}");
}
