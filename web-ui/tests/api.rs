//! The API over real HTTP: who may come in, who may decide, what leaves, what is refused.

#[expect(clippy::unwrap_used, reason = "everything in here runs in a test; the lint only knows test functions")]
mod site;

use serde_json::{Value, json};
use site::{Client, PASSWORD, Site, head_of_post, read_answer, snapshot_stopped};
use station::action::{Action, Person, Request, Revision, Role};
use station::decision::{Affected, Decision, ResultRange};
use station::recipe::GivenLimits;
use station::snapshot::{ChartView, DecisionsView, Phase, Snapshot};
use station::verdict::Verdict;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use web_ui::{Page, PageError, PageSettings, Refused};

#[test]
fn the_first_person_is_set_up_once_with_the_code() {
    let site = Site::start();
    let client = site.client();
    let code = site.setup_code.clone().unwrap();
    let (status, body) = client.get("/api/v1/session");
    assert_eq!((status, &body["code"]), (401, &json!("set_up_first")));

    let set_up =
        |code: &str, name: &str, password: &str| client.post("/api/v1/setup", &json!({ "code": code, "name": name, "password": password }));
    assert_eq!(set_up("0000-0000-0000-0000", "Li Wei", PASSWORD).0, 401);
    let (status, body) = set_up(&code, "Li Wei", "too short");
    assert_eq!((status, &body["code"]), (422, &json!("weak_password")));
    assert_eq!(set_up(&code, "", PASSWORD).0, 422);
    let wrong_role = json!({ "code": code, "name": "Li Wei", "password": PASSWORD, "role": "operator" });
    assert_eq!(client.post("/api/v1/setup", &wrong_role).0, 422);

    let (status, body) = set_up(&code.to_lowercase(), "Li Wei", PASSWORD);
    assert_eq!((status, body), (201, json!({ "name": "Li Wei", "role": "administrator" })));
    assert_eq!(client.get("/api/v1/session").0, 200, "whoever set it up is signed in");
    assert_eq!(client.get("/api/v1/snapshot").0, 200);

    let (status, body) = site.client().post("/api/v1/setup", &json!({ "code": code, "name": "Mallory", "password": PASSWORD }));
    assert_eq!((status, &body["code"]), (409, &json!("already_set_up")));
    let (status, body) = site.client().get("/api/v1/session");
    assert_eq!((status, &body["code"]), (401, &json!("not_signed_in")));
}

#[test]
fn people_sign_in_and_out_and_a_wrong_password_tells_nothing() {
    let site = Site::with_people();
    let client = site.client();
    let refusals = [("supervisor", "eight grey boards"), ("nobody", PASSWORD)].map(|(name, password)| {
        let (status, body) = client.post("/api/v1/session", &json!({ "name": name, "password": password }));
        assert_eq!(status, 401);
        body
    });
    assert_eq!(refusals[0], refusals[1], "an unknown name looks like a wrong password");

    let answer = client.send("POST", "/api/v1/session", &[], Some(&json!({ "name": "Supervisor", "password": PASSWORD })));
    assert_eq!(answer.status, 201);
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(client.get("/api/v1/session").1, json!({ "name": "supervisor", "role": "supervisor" }));

    let stolen = client.cookie();
    assert_eq!(client.send("DELETE", "/api/v1/session", &[], None).status, 204);
    assert_eq!(client.get("/api/v1/session").0, 401);
    assert_eq!(site.client().with_cookie(stolen).get("/api/v1/snapshot").0, 401, "the session is over at the appliance, too");
}

#[test]
fn signing_in_again_ends_the_session_before() {
    let site = Site::with_people();
    let client = site.signed_in("operator");
    let first = client.cookie();
    client.sign_in("supervisor");
    assert_eq!(site.client().with_cookie(first).get("/api/v1/snapshot").0, 401);
    assert_eq!(client.get("/api/v1/snapshot").0, 200);
}

#[test]
fn attempts_are_limited_even_with_the_right_password() {
    let site = Site::with_people();
    let client = site.client();
    let wrong = json!({ "name": "supervisor", "password": "eight grey boards" });
    let statuses: Vec<u16> = (0..9).map(|_| client.post("/api/v1/session", &wrong).0).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 401, 401, 429]);
    let right = json!({ "name": "SUPERVISOR", "password": PASSWORD });
    let answer = client.send("POST", "/api/v1/session", &[], Some(&right));
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    client.sign_in("operator");
}

#[test]
fn nothing_is_shown_or_done_without_signing_in() {
    let site = Site::with_people();
    let client = site.client();
    for path in ["snapshot", "health", "stream", "frame.jpg", "panel.png", "pieces/1", "pieces/1/frame.jpg", "pieces?serial=A1"] {
        let (status, body) = client.get(&format!("/api/v1/{path}"));
        assert_eq!((status, &body["code"]), (401, &json!("not_signed_in")), "{path}");
        assert!(body["error"].is_string() && body["mend"].is_string());
    }
    for path in ["stop", "stop/acknowledge", "stop/release", "line-stop/arm", "line-stop/disarm"] {
        assert_eq!(client.post(&format!("/api/v1/{path}"), &json!({})).0, 401, "{path}");
    }
    assert_eq!(site.decisions(), []);
    for path in ["/livez", "/readyz", "/metrics", "/", "/main.js"] {
        assert_eq!(client.send("GET", path, &[], None).status, 200, "{path}");
    }
}

#[test]
fn a_refusal_that_was_made_before_the_body_came_does_not_cost_the_next_request() {
    let site = Site::with_people();
    for body_length in [2, 20_000] {
        let socket = TcpStream::connect(site.address).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(&socket);
        (&socket).write_all(head_of_post(body_length, "").as_bytes()).unwrap();
        // The head is there; while others are answered, it is looked at.
        for _ in 0..20 {
            assert_eq!(site.client().send("GET", "/livez", &[], None).status, 200);
        }
        (&socket).write_all(&vec![b' '; body_length]).unwrap();
        assert_eq!(read_answer(&mut reader), Some((401, false)));
        (&socket).write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut reader), Some((200, false)), "the connection was promised to go on");
    }
}

#[test]
fn a_refusal_whose_body_never_comes_says_that_the_connection_ends() {
    let site = Site::with_people();
    let asks_first = "expect: 100-continue\r\n";
    for (more, sent, declared) in [("", 0, 2), (asks_first, 0, 2), ("", 1, 2), ("", 64 * 1024 + 1, 1_000_000)] {
        let socket = TcpStream::connect(site.address).unwrap();
        let mut reader = BufReader::new(&socket);
        (&socket).write_all(head_of_post(declared, more).as_bytes()).unwrap();
        (&socket).write_all(&vec![b' '; sent]).unwrap();
        assert_eq!(read_answer(&mut reader), Some((401, true)), "{more:?}: {sent} of {declared}");
        assert_eq!(read_answer(&mut reader), None, "and it does end");
    }
}

#[test]
fn a_stop_goes_its_way_through_the_right_hands() {
    let site = Site::with_people();
    let operator = site.signed_in("operator");
    let supervisor = site.signed_in("supervisor");
    let by = |name: &str, role| Person { name: name.into(), role };
    let acknowledge = json!({ "stop_seq": 3, "cause": " material: paste dried ", "corrective_action": "changed" });
    let release = json!({ "stop_seq": 3 });

    assert_eq!(operator.post("/api/v1/stop/acknowledge", &acknowledge).1["code"], "not_stopped");
    assert_eq!(supervisor.post("/api/v1/stop/release", &release).1["code"], "not_stopped");
    assert_eq!(operator.post("/api/v1/stop", &json!({ "note": "smoke" })).0, 202);
    assert_eq!(operator.post("/api/v1/stop", &json!({})).0, 202, "a stop needs no reason");

    site.show(snapshot_stopped(3, Phase::Stopped));
    let (status, body) = operator.post("/api/v1/stop/acknowledge", &json!({ "stop_seq": 2, "cause": "x" }));
    assert_eq!((status, &body["code"]), (409, &json!("other_stop")));
    for cause in ["", "  \n"] {
        let (status, body) = operator.post("/api/v1/stop/acknowledge", &json!({ "stop_seq": 3, "cause": cause }));
        assert_eq!((status, &body["code"]), (422, &json!("cause_empty")));
    }
    let (status, body) = operator.post("/api/v1/stop/acknowledge", &json!({ "stop_seq": 3, "cause": "x".repeat(501) }));
    assert_eq!((status, &body["code"]), (422, &json!("too_long")));
    let (status, body) = supervisor.post("/api/v1/stop/release", &release);
    assert_eq!((status, &body["code"]), (409, &json!("not_acknowledged")));
    assert_eq!(operator.post("/api/v1/stop/acknowledge", &acknowledge).0, 202);

    site.show(snapshot_stopped(3, Phase::Acknowledged));
    assert_eq!(operator.post("/api/v1/stop/acknowledge", &acknowledge).1["code"], "already_done");
    let (status, body) = operator.post("/api/v1/stop/release", &release);
    assert_eq!((status, &body["code"]), (403, &json!("role_too_small")));
    assert_eq!(supervisor.post("/api/v1/stop/release", &release).0, 202);

    site.show(snapshot_stopped(3, Phase::Releasing));
    assert_eq!(supervisor.post("/api/v1/stop/release", &release).1["code"], "already_done");

    let stop = |note: &str| Request { by: by("operator", Role::Operator), action: Action::Stop { note: note.into() } };
    let cause = "material: paste dried".to_owned();
    let expected = [
        stop("smoke"),
        stop(""),
        Request {
            by: by("operator", Role::Operator),
            action: Action::Acknowledge { stop_seq: 3, cause, corrective_action: "changed".into() },
        },
        Request { by: by("supervisor", Role::Supervisor), action: Action::Release { stop_seq: 3 } },
    ];
    assert_eq!(site.decisions(), expected);
}

#[test]
fn only_engineers_arm_and_disarm_the_line_stop() {
    let site = Site::with_people();
    for name in ["operator", "supervisor"] {
        let client = site.signed_in(name);
        for path in ["arm", "disarm"] {
            let (status, body) = client.post(&format!("/api/v1/line-stop/{path}"), &json!({}));
            assert_eq!((status, &body["code"]), (403, &json!("role_too_small")), "{name} {path}");
        }
    }
    assert_eq!(site.decisions(), []);
    let engineer = site.signed_in("engineer");
    for (path, action) in [("arm", Action::Arm), ("disarm", Action::Disarm)] {
        assert_eq!(engineer.post(&format!("/api/v1/line-stop/{path}"), &json!({})).0, 202, "{path}");
        let by = Person { name: "engineer".into(), role: Role::Engineer };
        assert_eq!(site.decisions().pop(), Some(Request { by, action }));
    }
    assert_eq!(engineer.get("/api/v1/snapshot").1["line_stop"], json!({ "armed": true, "by": null, "since": null, "withheld": 0 }));
}

#[test]
fn limits_are_revised_by_engineers_with_a_reason_and_against_the_revision_they_saw() {
    let site = Site::with_people();
    let chart = json!({ "id": 1, "name": "paste_height", "kind": "individuals", "unit": "um", "learning": 0, "revision": 1, "points": [] });
    let chart: ChartView = serde_json::from_value(chart).expect("a chart");
    site.show(Snapshot { charts: vec![Arc::new(chart)], ..snapshot_stopped(1, Phase::Stopped) });
    let path = "/api/v1/charts/1/limits";
    let ask = json!({ "replaces": 1, "centre": 120.0, "sigma": 2.5, "reason": " new stencil " });
    assert_eq!(site.signed_in("supervisor").post(path, &ask).1["code"], "role_too_small");
    let engineer = site.signed_in("engineer");
    let with = |changes: &[(&str, serde_json::Value)]| {
        let mut ask = ask.clone();
        changes.iter().for_each(|(key, value)| ask[key] = value.clone());
        ask
    };
    for (body, code) in [
        (with(&[("reason", json!("  "))]), "reason_empty"),
        (with(&[("replaces", json!(0))]), "other_revision"),
        (with(&[("relearn", json!(true))]), "limits"),
        (with(&[("sigma", json!(null))]), "limits"),
        (with(&[("sigma", json!(-1.0))]), "limits"),
        (with(&[("centre", json!(null))]), "limits"),
    ] {
        assert_eq!(engineer.post(path, &body).1["code"], code, "{body}");
    }
    assert_eq!(engineer.post("/api/v1/charts/99/limits", &ask).0, 404);
    assert_eq!(site.decisions(), []);
    assert_eq!(engineer.post(path, &ask).0, 202);
    let relearn = json!({ "replaces": 1, "relearn": true, "reason": "new paste" });
    assert_eq!(engineer.post(path, &relearn).0, 202);
    let by = Person { name: "engineer".into(), role: Role::Engineer };
    let revised = |revision, reason: &str| Request {
        by: by.clone(),
        action: Action::ReviseLimits { chart: 1, replaces: 1, revision, reason: reason.into() },
    };
    let given = Revision::Given(GivenLimits { centre: 120.0, sigma: Some(2.5) });
    assert_eq!(site.decisions(), [revised(given, "new stencil"), revised(Revision::Relearn, "new paste")]);
}

#[test]
fn decisions_about_pieces_need_a_quality_officer_and_words_and_are_checked_as_the_station_checks_them() {
    let site = Site::with_people();
    let grades: Arc<[String]> = ["A", "B", "below B"].map(str::to_owned).into();
    site.show(Snapshot {
        decisions: DecisionsView { results: 9, grades, ..DecisionsView::default() },
        ..snapshot_stopped(1, Phase::Stopped)
    });
    let (supervisor, engineer) = (site.signed_in("supervisor"), site.signed_in("engineer"));
    let hold = json!({ "results": [{ "first": 2, "last": 4 }], "lots": [7], "serials": ["S1"], "reason": "paste too old" });
    let recall = json!({ "name": "R1", "criteria": "glued before ten", "serials": ["S1"], "reason": "cracks" });
    let overrule = json!({ "verdict": "pass", "grade": 2, "reason": "seen by eye" });
    for (path, body) in
        [("pieces/3/overrule", &overrule), ("holds", &hold), ("recalls", &recall), ("holds/1/release", &json!({ "reason": "x" }))]
    {
        assert_eq!(supervisor.post(&format!("/api/v1/{path}"), body).1["code"], "role_too_small", "{path}");
    }
    let with = |ask: &serde_json::Value, key: &str, value: serde_json::Value| {
        let mut ask = ask.clone();
        ask[key] = value;
        ask
    };
    for (path, body, status, code) in [
        ("pieces/10/overrule", overrule.clone(), 404, "not_found"),
        ("pieces/x/overrule", overrule.clone(), 404, "not_found"),
        ("pieces/3/overrule", with(&overrule, "grade", json!(4)), 422, "grade"),
        ("pieces/3/overrule", with(&overrule, "reason", json!(" ")), 422, "text"),
        ("pieces/3/overrule", with(&overrule, "verdict", json!("fine")), 400, "body"),
        ("pieces/3/overrule", with(&overrule, "by", json!("somebody else")), 400, "body"),
        ("holds", json!({ "reason": "nothing named" }), 422, "no_pieces"),
        ("holds", with(&hold, "results", json!([{ "first": 2, "last": 40 }])), 422, "results"),
        ("holds", with(&hold, "lots", json!([0])), 422, "lots"),
        ("holds", with(&hold, "serials", json!([""])), 422, "serials"),
        ("holds", with(&hold, "reason", json!("x".repeat(1001))), 422, "too_long"),
        ("holds/1/release", json!({ "reason": "x" }), 409, "not_open"),
        ("recalls", with(&recall, "name", json!("")), 422, "text"),
        ("recalls/7/end", json!({ "reason": "x" }), 409, "not_open"),
        ("complaints", json!({ "words": "the lid is loose" }), 422, "no_pieces"),
    ] {
        let (got, answer) = engineer.post(&format!("/api/v1/{path}"), &body);
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{path} {body}: {answer}");
    }
    assert_eq!(site.decisions(), []);
    for (path, body) in [("pieces/3/overrule", &overrule), ("holds", &hold), ("recalls", &recall)] {
        assert_eq!(engineer.post(&format!("/api/v1/{path}"), body).0, 202, "{path}");
    }
    let operator = site.signed_in("operator");
    assert_eq!(operator.post("/api/v1/complaints", &json!({ "serial": "S1", "words": "the lid is loose" })).0, 202);
    let decided: Vec<_> = site.decisions().into_iter().map(|request| (request.by.name, request.action)).collect();
    let decide = |by: &str, decision, reason: &str| (by.to_owned(), Action::Decide { decision, reason: reason.to_owned() });
    let serials = || std::collections::BTreeSet::from(["S1".to_owned()]);
    let held = Affected { results: vec![ResultRange { first: 2, last: 4 }], lots: [7].into(), serials: serials() };
    let recalled = Affected { serials: serials(), ..Affected::default() };
    assert_eq!(
        decided,
        [
            decide("engineer", Decision::Overrule { result_id: 3, verdict: Verdict::Pass, grade: 2 }, "seen by eye"),
            decide("engineer", Decision::Hold { set: held }, "paste too old"),
            decide("engineer", Decision::Recall { name: "R1".into(), criteria: "glued before ten".into(), set: recalled }, "cracks"),
            decide("operator", Decision::Complaint { result_id: None, serial: Some("S1".into()) }, "the lid is loose"),
        ]
    );
}

#[test]
fn a_busy_or_stopping_station_is_said_to_be_so() {
    let site = Site::with_people();
    let operator = site.signed_in("operator");
    for (refused, code) in [(Refused::Busy, "busy"), (Refused::Stopping, "stopping")] {
        site.refuse(refused);
        let (status, body) = operator.post("/api/v1/stop", &json!({ "note": "" }));
        assert_eq!((status, &body["code"]), (503, &json!(code)));
    }
}

#[test]
fn requests_from_other_pages_are_refused() {
    let site = Site::with_people();
    let operator = site.signed_in("operator");
    let stop = json!({ "note": "" });
    let foreign = [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site")];
    for header in foreign {
        let answer = operator.send("POST", "/api/v1/stop", &[header], Some(&stop));
        assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("foreign_origin")), "{header:?}");
        assert_eq!(operator.send("DELETE", "/api/v1/session", &[header], None).status, 403);
    }
    let form = operator.send_raw("POST", "/api/v1/stop", &[("content-type", "text/plain")], br#"{"note":""}"#);
    assert_eq!(form.status, 415, "what a form can send is not taken");
    assert_eq!(operator.send("GET", "/api/v1/snapshot", &[("host", "evil.example")], None).status, 421);
    assert_eq!(site.decisions(), []);

    let own = format!("http://{}", site.address);
    let answer = operator.send("POST", "/api/v1/stop", &[("origin", &own), ("sec-fetch-site", "same-origin")], Some(&stop));
    assert_eq!(answer.status, 202);
}

#[test]
fn bodies_that_are_too_large_or_not_understood_are_refused() {
    let site = Site::with_people();
    let operator = site.signed_in("operator");
    let json = [("content-type", "application/json")];
    let huge = json!({ "note": "x".repeat(20_000) });
    assert_eq!(operator.post("/api/v1/stop", &huge).0, 413);
    for body in [&b"{"[..], b"[]", br#"{"stop_seq":70000}"#, br#"{"note":"a","by":"somebody else"}"#, b"\xff\xfe", b""] {
        assert_eq!(operator.send_raw("POST", "/api/v1/stop", &json, body).status, 400, "{body:?}");
    }
    let answer = operator.send_raw("POST", "/api/v1/session", &json, br#"{"name":"operator","password":"my secret word"#);
    assert!(!answer.text().contains("secret"), "what was sent is not sent back");
    assert_eq!(operator.send("PUT", "/api/v1/stop", &[], None).status, 405);
    assert_eq!(operator.get("/api/v1/nothing").0, 404);
    assert_eq!(site.decisions(), []);
}

#[test]
fn every_answer_carries_the_headers_that_protect_it() {
    let site = Site::with_people();
    let client = site.client();
    for path in ["/", "/main.js", "/api/v1/session", "/api/v1/nothing", "/nothing", "/metrics"] {
        let answer = client.send("GET", path, &[], None);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        if path.starts_with("/api") {
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    let first = client.send("GET", "/", &[], None);
    assert!(first.text().contains("<div id=\"page\">"));
    let again = client.send("GET", "/", &[("if-none-match", first.header("etag").unwrap())], None);
    assert_eq!((again.status, again.bytes.len()), (304, 0));
}

#[test]
fn snapshots_health_frames_and_pieces_are_what_the_sources_hold() {
    let site = Site::with_people();
    let client = site.signed_in("operator");
    let (_, snapshot) = client.get("/api/v1/snapshot");
    assert_eq!((&snapshot["phase"], &snapshot["line"]), (&json!("running"), &json!("Line 4")));
    assert_eq!(client.get("/api/v1/health").1["simulated"], json!(true));

    let frame = client.send("GET", "/api/v1/frame.jpg", &[], None);
    assert_eq!((frame.status, &frame.bytes[..], frame.header("x-piece")), (200, &b"jpeg of 9"[..], Some("9")));
    assert_eq!(frame.header("content-type"), Some("image/jpeg"));
    let again = client.send("GET", "/api/v1/frame.jpg", &[("if-none-match", frame.header("etag").unwrap())], None);
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    assert_eq!(client.send("GET", "/api/v1/pieces/5/frame.jpg", &[], None).bytes, b"jpeg of 5");
    assert_eq!(client.send("GET", "/api/v1/panel.png", &[], None).bytes, b"png");

    assert_eq!(client.get("/api/v1/pieces/5"), (200, json!({ "result_id": 5 })));
    assert_eq!(client.get("/api/v1/pieces?serial=A%201"), (200, json!({ "serial": "A 1" })));
    for path in [
        "pieces/99",
        "pieces/99/frame.jpg",
        "pieces/x",
        "pieces/-1",
        "pieces/99999999999999999999",
        "pieces?serial=B1",
        "pieces?serial=%ff",
    ] {
        assert_eq!(client.get(&format!("/api/v1/{path}")).0, 404, "{path}");
    }
    for path in ["pieces", "pieces?serial=", &format!("pieces?serial={}", "x".repeat(65))] {
        assert_eq!(client.get(&format!("/api/v1/{path}")).0, 422, "{path}");
    }
}

#[test]
fn the_stream_brings_the_latest_state_and_ends_with_the_session() {
    let site = Site::with_people();
    let client = site.signed_in("operator");
    let mut lines = client.stream("/api/v1/stream").lines();
    let mut next = |wanted: &str| -> Value {
        let mut event = String::new();
        loop {
            let line = lines.next().expect("the stream goes on").unwrap();
            if let Some(name) = line.strip_prefix("event: ") {
                event = name.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ")
                && event == wanted
            {
                return serde_json::from_str(data).unwrap();
            }
        }
    };
    assert_eq!(next("state")["state"]["snapshot"]["phase"], "running");
    site.show(snapshot_stopped(3, Phase::Stopped));
    let state = next("state");
    assert_eq!(state["state"]["snapshot"]["stop"]["seq"], 3);
    assert_eq!(state["state"]["health"]["simulated"], true);
    assert!(state["age_millis"].is_u64());
    assert!(next("beat")["age_millis"].is_u64(), "nothing new is said, too");

    // Of many snapshots in a row the last one arrives; not every one before it.
    for seq in 4..200 {
        site.show(snapshot_stopped(seq, Phase::Stopped));
    }
    let mut states = 1;
    while next("state")["state"]["snapshot"]["stop"]["seq"] != 199 {
        states += 1;
    }
    assert!(states < 196, "{states} states were sent for 196 snapshots");
    assert_eq!(client.send("DELETE", "/api/v1/session", &[], None).status, 204);
    next("signed_out");
    assert!(lines.all(|line| line.unwrap().is_empty()), "the stream ends");
}

#[test]
fn stopping_the_server_ends_streams() {
    let mut site = Site::with_people();
    let client = site.signed_in("operator");
    let lines = client.stream("/api/v1/stream").lines();
    site.stop();
    assert_eq!(lines.map(Result::unwrap).filter(|line| line == "event: over").count(), 1);
}

#[test]
fn metrics_are_in_the_exposition_format_and_tell_the_state() {
    let site = Site::with_people();
    site.show(snapshot_stopped(3, Phase::Stopped));
    let text = site.client().send("GET", "/metrics", &[], None).text();
    let mut family = String::new();
    let mut values = std::collections::BTreeMap::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split(' ').next().unwrap().to_owned();
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(series.split('{').next().unwrap(), family, "every sample stands below its family");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(values.insert(series.to_owned(), value.to_owned()).is_none(), "{series} is there twice");
        }
    }
    for (series, value) in [
        ("jidoka_run_permit", "0"),
        ("jidoka_phase{phase=\"stopped\"}", "1"),
        ("jidoka_stop_reason{reason=\"spc_rule\"}", "1"),
        ("jidoka_stop_reason{reason=\"operator\"}", "0"),
        ("jidoka_line_stop_armed", "1"),
        ("jidoka_stops_withheld_total", "0"),
        ("jidoka_pieces_total{verdict=\"pass\"}", "8"),
        ("jidoka_upload_parcels{backend=\"trace\",state=\"waiting\"}", "2"),
        ("jidoka_part_state{part=\"disk\",state=\"warning\"}", "1"),
        ("jidoka_pictures{class=\"reject\"}", "3"),
        ("jidoka_pictures_bytes{class=\"reject\"}", "3000"),
        ("jidoka_pictures_held_bytes", "1000"),
        ("jidoka_pictures_removed_total{reason=\"age\"}", "2"),
    ] {
        assert_eq!(values.get(series).map(String::as_str), Some(value), "{series}");
    }
}

#[test]
fn readiness_waits_for_the_station() {
    let site = Site::with_people();
    let mut starting = snapshot_stopped(0, Phase::Starting);
    starting.stop = None;
    site.show(starting);
    assert_eq!(site.client().send("GET", "/readyz", &[], None).status, 503);
    assert_eq!(site.client().send("GET", "/livez", &[], None).status, 200);
    site.show(snapshot_stopped(1, Phase::Stopped));
    assert_eq!(site.client().send("GET", "/readyz", &[], None).status, 200, "a stopped line is ready to be looked at");
}

#[test]
fn beyond_this_machine_there_is_no_page_without_tls() {
    let site = Site::with_people();
    let folder = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:0", "192.168.1.2:80", "[::]:0"] {
        let settings = PageSettings::new(listen.parse().unwrap(), folder.path().join("users.json"));
        let error = Page::new(settings, site.sources.clone()).unwrap_err();
        assert!(matches!(error, PageError::NeedsTls { .. }));
        assert!(error.to_string().contains("TLS"));
    }
}

#[test]
fn one_client_is_not_another() {
    let site = Site::with_people();
    let client: Client = site.client().with_cookie("jidoka_session=".into());
    assert_eq!(client.get("/api/v1/snapshot").0, 401);
    let guessed = site.client().with_cookie(format!("jidoka_session={}", "0".repeat(64)));
    assert_eq!(guessed.get("/api/v1/snapshot").0, 401);
}

#[test]
fn garbage_on_the_wire_harms_nobody() {
    let site = Site::with_people();
    let huge = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let short = "POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let liar = "POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n{}";
    let random: Vec<u8> = (0..5000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for bytes in [huge.as_bytes(), many.as_bytes(), short.as_bytes(), liar.as_bytes(), b"\r\n\r\n\0", &random] {
        let mut socket = TcpStream::connect(site.address).unwrap();
        // The server may hang up before it has read everything.
        drop(socket.write_all(bytes));
        drop(socket.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        drop(socket.read_to_end(&mut answer));
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(site.client().send("GET", "/livez", &[], None).status, 200);
}

#[test]
fn whoever_opens_a_supplier_lot_says_so_by_name() {
    let site = Site::with_people();
    let lot = json!({ "material": "laminate", "supplier": "Acme", "lot": "L1" });
    assert_eq!(site.client().post("/api/v1/supplier-lots", &lot).0, 401);
    let operator = site.signed_in("operator");
    assert_eq!(operator.post("/api/v1/supplier-lots", &lot).0, 202);
    let Some(Request { by, action: Action::TakeIn { intake } }) = site.decisions().pop() else { panic!("an intake") };
    assert_eq!(by, Person { name: "operator".to_owned(), role: Role::Operator });
    let in_use = intake.applied(&[]).unwrap().unwrap();
    assert_eq!((in_use.len(), in_use[0].lot.as_str()), (1, "L1"));
    // What is so already, what is no name, and what is not in use.
    let snapshot = Snapshot { made_of: in_use, ..(**site.sources.snapshots.borrow()).clone() };
    site.show(snapshot);
    assert_eq!(operator.post("/api/v1/supplier-lots", &lot).0, 200);
    let (status, problem) = operator.post("/api/v1/supplier-lots", &json!({ "material": "laminate", "supplier": "", "lot": "L1" }));
    assert_eq!((status, &problem["error"]), (422, &json!("the supplier is not a name of 1 to 60 characters")));
    let (status, problem) = operator.post("/api/v1/supplier-lots/used-up", &json!({ "material": "paste" }));
    assert_eq!((status, &problem["mend"]), (409, &json!("in use are: laminate")));
    assert_eq!(operator.post("/api/v1/supplier-lots/used-up", &json!({ "material": "laminate" })).0, 202);
    assert_eq!(operator.post("/api/v1/supplier-lots", &json!({ "material": "laminate" })).0, 400);
    assert_eq!(site.decisions().len(), 2);
    // Where nobody keeps records, nobody can be asked.
    for path in ["records", "records/count?lot=1", "records.csv?lot=1", "records.epcis.json?lot=1", "supplier-lots", "quarantine"] {
        let (status, problem) = operator.get(&format!("/api/v1/{path}"));
        assert_eq!((status, &problem["code"]), (503, &json!("records_unavailable")), "{path}");
    }
    assert_eq!(operator.post("/api/v1/backends/trace/quarantine/release?record=x", &json!({})).0, 403);
    let (status, problem) = site.signed_in("supervisor").post("/api/v1/backends/trace/quarantine/release?record=x", &json!({}));
    assert_eq!((status, &problem["parameter"]), (422, &json!("record")));
}

#[test]
fn a_download_holds_up_nobody_and_ends_when_its_reader_goes() {
    let site = Site::with_people();
    let operator = site.signed_in("operator");
    for round in 0..3 {
        let mut socket = TcpStream::connect(site.address).unwrap();
        let head = format!("GET /api/v1/records.csv?lot=9 HTTP/1.1\r\nhost: localhost\r\ncookie: {}\r\n\r\n", operator.cookie());
        socket.write_all(head.as_bytes()).unwrap();
        // A place is free as soon as the reader before has gone; the answer then begins at once.
        let mut bytes = vec![0; 1 << 20];
        socket.read_exact(&mut bytes).unwrap();
        assert!(bytes.starts_with(b"HTTP/1.1 200"), "round {round}: {}", String::from_utf8_lossy(&bytes[..200]));
        // Nobody reads on, and questions and cards are answered all the same.
        assert_eq!(operator.get("/api/v1/records").1["code"], json!("records_unavailable"));
        assert_eq!(operator.get("/api/v1/pieces/3").0, 200);
        drop(socket);
    }
}
