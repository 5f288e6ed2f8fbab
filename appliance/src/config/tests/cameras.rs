//! Several cameras: what is read, and what two of them cannot mean together.

use super::*;
use station::frame_set::Member;
use station::units::Digest;

const DRAWN: &str = "kind = \"generated\"\nseed = 7\nbad_share = 0.08";
const SET: &str = "[frame_set]\nwindow_millis = 20";

/// The sample with these cameras in place of its own.
fn with(cameras: &[&str], frame_set: &str) -> String {
    let text = sample();
    let (from, to) = (text.find("[camera]\n").expect("a camera"), text.find("[model]\n").expect("a model"));
    let cameras: String = cameras.iter().map(|camera| format!("[[camera]]\n{camera}\n")).collect();
    format!("{}{cameras}{frame_set}\n{}", &text[..from], &text[to..])
}

fn gige(name: &str, address: &str) -> String {
    let rest = "trigger = \"software\"\nwidth_pixels = 1280\nheight_pixels = 1024\nframe_deadline_millis = 200";
    format!("name = \"{name}\"\nkind = \"gige\"\ncamera = \"{address}\"\n{rest}")
}

fn told(cameras: &[&str], frame_set: &str) -> String {
    parse(&with(cameras, frame_set)).expect_err("a problem").to_string()
}

#[test]
fn several_cameras_are_a_frame_set_and_one_is_as_ever() {
    let (top, side) = (format!("name = \"top\"\n{DRAWN}"), format!("name = \"side\"\n{DRAWN}\npackage = \"side\"\nvariant = \"int8\""));
    let settings = parse(&with(&[&top, &side], "[frame_set]\nwindow_millis = 20\nmissing_member = \"hold\"\nfree_run_per_second = 25"))
        .expect("valid");
    let names: Vec<_> = settings.cameras().map(|camera| camera.name.as_str()).collect();
    assert_eq!((names, settings.free_run_per_second()), (vec!["top", "side"], Some(25.0)));
    assert_eq!(settings.frame_set.expect("a set").window, Micros(20_000));
    let own = settings.more_cameras[0].own_model.as_ref().expect("a package");
    assert_eq!((own.package.as_path(), own.variant.as_deref()), (Path::new("/etc/jidoka/side"), Some("int8")));

    let one = parse(&with(&[&top], "")).expect("a list of one is one camera");
    assert_eq!((one.camera.name.as_str(), one.more_cameras.len(), one.frame_set), ("top", 0, None));
    let plain = parse(sample()).expect("no problem");
    let (first, _) = looks("m@1", &[("open", 0.5)]);
    let recipe = plain.recipe(first, &[DefectClass { name: "open".to_owned(), threshold: 0.5 }], &[]).expect("a recipe");
    assert!(recipe.frame_set.is_none() && !serde_json::to_string(&recipe).expect("plain data").contains("frame_set"));
}

#[test]
fn what_cameras_cannot_mean_together_is_told_with_its_mend() {
    let (top, side) = (format!("name = \"top\"\n{DRAWN}"), format!("name = \"side\"\n{DRAWN}"));
    let problems = [
        (told(&[&top, &top], SET), "camera[2].name: there are two cameras named top (mend: give each camera a name of its own)"),
        (
            told(&[&top, &side], ""),
            "frame_set: missing (mend: several cameras look at one piece: add a section [frame_set] with window_millis",
        ),
        (
            told(&[&top, &side], "[frame_set]\nwindow_millis = 0"),
            "frame_set.window_millis: 0 is out of range (mend: write a whole number from 1 to 10000)",
        ),
        (
            told(&[&top, &side], "[frame_set]\nwindow_millis = 1000"),
            "frame_set.window_millis: a piece is a hold before its last picture may come",
        ),
        (
            told(&[&top, &side], "[frame_set]\nwindow_millis = 9\nmissing_member = \"pass\""),
            "frame_set.missing_member: `pass` is not known here (mend: write \"hold\")",
        ),
        (told(&[&top], SET), "frame_set: one camera is no frame set"),
        (
            told(&[&top, &format!("{side}\nfree_run_per_second = 5.0")], SET),
            "camera[2].free_run_per_second: the cameras of a frame set take their pictures together",
        ),
        (told(&[&top, &gige("side", "10.0.0.2")], SET), "camera[2].kind: top and side never see the same piece"),
        (told(&[&gige("top", "10.0.0.2"), &gige("side", "10.0.0.2")], SET), "camera[2].camera: 10.0.0.2 is the device of top already"),
        (told(&[&format!("{top}\npackage = \"side\"")], ""), "camera[1].package: there is one camera"),
        (told(&[&top, &format!("{side}\nvariant = \"int8\"")], SET), "camera[2].variant: it belongs to a package of this camera's own"),
        (told(&[&top, &side, "name = \"third\""], SET), "camera[3].kind: missing"),
        (
            told(&[&top, &side], "[frame_set]\nwindow_milis = 9"),
            "frame_set.window_milis: unknown key (mend: did you mean `window_millis`?)",
        ),
    ];
    for (told, expected) in problems {
        assert!(told.contains(expected), "{expected}\n{told}");
        assert_eq!(told.lines().count(), 1, "one fault is one problem\n{told}");
    }
    let many: Vec<String> = (0..9).map(|number| format!("name = \"cam{number}\"\n{DRAWN}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(told(&many, SET).contains("camera[9]: there are more than 8 cameras"));
    let none = sample().replacen("[camera]\n", "[other]\n", 1);
    assert!(parse(&none).expect_err("no camera").to_string().contains("camera: missing"));
}

fn looks(package: &str, classes: &[(&str, f32)]) -> Looks {
    let model = Arc::new(ModelRef { package: package.to_owned(), weights: Digest::of(package.as_bytes()) });
    (model, classes.iter().map(|(name, threshold)| DefectClass { name: (*name).to_owned(), threshold: *threshold }).collect())
}

#[test]
fn the_classes_of_all_packages_are_one_list_with_one_threshold_each() {
    let (top, side) = (format!("name = \"top\"\n{DRAWN}"), format!("name = \"side\"\n{DRAWN}\npackage = \"side\""));
    let text = with(&[&top, &side], SET);
    let (model, classes) = looks("a@1", &[("open", 0.5), ("short", 0.4)]);
    let other = looks("b@1", &[("scratch", 0.3), ("open", 0.5)]);
    let recipe = parse(&text).expect("valid").recipe(Arc::clone(&model), &classes, std::slice::from_ref(&other)).expect("a recipe");
    let names: Vec<_> = recipe.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["open", "short", "scratch"]);
    let set = recipe.frame_set.expect("a set");
    let member = |camera: &str, model: &Arc<ModelRef>, classes: &[u8]| Member {
        camera: camera.into(),
        model: Arc::clone(model),
        classes: classes.iter().map(|class| ClassId(*class)).collect(),
    };
    assert_eq!(set.members, [member("top", &model, &[1, 2]), member("side", &other.0, &[3, 1])]);

    let unlike = looks("b@1", &[("open", 0.25)]);
    let told = parse(&text)
        .expect("valid")
        .recipe(Arc::clone(&model), &classes, std::slice::from_ref(&unlike))
        .expect_err("two thresholds")
        .to_string();
    assert!(told.contains("model.threshold.open: a@1 has 0.5 for this class, and b@1 has 0.25 (mend: write one threshold"), "{told}");
    let settled = text.replace("# mousebite = 0.4", "open = 0.3");
    let recipe = parse(&settled).expect("valid").recipe(model, &classes, &[unlike]).expect("the file decides");
    assert_eq!(recipe.classes.iter().map(|class| class.threshold).collect::<Vec<_>>(), [0.3, 0.4]);
}
