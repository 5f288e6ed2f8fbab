//! What is said of `[images]`: the classes, and settings of before there were any.

use super::*;

/// The sample with another `[images]`.
fn with(images: &str) -> String {
    let (before, rest) = sample().split_once("[images]\n").expect("the sample has [images]");
    let (_, after) = rest.split_once("# The only harmless defaults").expect("and something after it");
    format!("{before}[images]\n{images}\n# The only harmless defaults{after}")
}

fn problems(images: &str) -> Vec<String> {
    let found = parse(&with(images)).expect_err("these settings are refused");
    found.iter().map(|problem| format!("{}: {} (mend: {})", problem.key, problem.what, problem.mend)).collect()
}

#[test]
fn settings_of_before_there_were_classes_go_on_being_read() {
    let settings = parse(&with("keep_bytes_max = 2_000_000\nkeep = [\"reject\", \"hold\"]")).expect("valid");
    let kept = Class::ALL.map(|class| settings.images.of(class));
    assert_eq!(kept.map(|limits| limits.kept), [false, false, false, true, true, false, false]);
    assert!(kept.iter().all(|limits| limits.days.is_none() && limits.bytes_max.is_none()));
    assert_eq!((settings.images.bytes_max, settings.images.free_bytes_min), (2_000_000, None));
    assert!(!parse(&with("keep_bytes_max = 2_000_000\nkeep = []")).expect("valid").images.of(Class::Reject).kept);
}

#[test]
fn what_is_wrong_about_classes_is_told_with_its_mend() {
    assert_eq!(
        problems("keep_bytes_max = 2_000_000\nkeep = [\"reject\"]\nhold = {}"),
        [
            "images.keep: the classes have keys of their own (mend: take `keep` out: a key of its own keeps a class, as `hold = { days = … }` does)"
        ]
    );
    assert_eq!(
        problems("keep_bytes_max = 2_000_000"),
        [
            "images.reject: missing (mend: nothing says which pictures are kept: add `reject = { days = … }` and `hold = { days = … }`, or `keep = []` for none)"
        ]
    );
    assert_eq!(
        problems("keep_bytes_max = 2_000_000\nkeep = [\"reject\", \"reject\"]"),
        ["images.keep: an item stands here twice (mend: write each item once)"]
    );
    assert_eq!(
        problems("keep_bytes_max = 2_000_000\nreject = { days = 0, bytes_max = 10 }\nsampled_pass = { days = 3 }"),
        [
            "images.reject.bytes_max: 10 is out of range (mend: write a whole number from 1000000 to 9223372036854775807)",
            "images.reject.days: 0 is out of range (mend: write a whole number from 1 to 36525)",
            "images.sampled_pass.every: missing (mend: add `every = …`, a whole number from 1 to 1000000)",
        ]
    );
    assert_eq!(
        problems("keep_bytes_max = 2_000_000\nrejct = { days = 3 }"),
        ["images.rejct: unknown key (mend: did you mean `reject`?)"],
        "a class that is misspelt is one problem"
    );
}
