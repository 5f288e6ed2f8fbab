//! The corpus, and a million mutations of it for client and server together. `fuzz/README.md` says how to search further.

use super::mutate::{Dice, mutate};
use super::{Reached, TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

/// Seeds, and what the guided search kept.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut cases: Vec<(String, Vec<u8>)> = files
        .map(|file| file.expect("a file"))
        .map(|file| (file.file_name().to_string_lossy().into_owned(), std::fs::read(file.path()).expect("it can be read")))
        .collect();
    // In a folder there is no order.
    cases.sort();
    assert!(!cases.is_empty(), "{} is empty", folder.display());
    cases.extend((target.seeds)().into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
    cases
}

fn run(target: &Target, what: &str, bytes: &[u8]) -> Reached {
    catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)))
        .unwrap_or_else(|_| panic!("{}: {what} fails; put these bytes into fuzz/corpus/{0}: {bytes:02X?}", target.name))
}

/// Each target in a test of its own, so that they run side by side.
fn campaign(name: &str) {
    let (seed, target) = (1_u64..).zip(&TARGETS).find(|(_, target)| target.name == name).expect("a target of this name");
    let began = Instant::now();
    let corpus = corpus(target);
    let mut reached = Reached::default();
    for (name, bytes) in &corpus {
        reached.add(run(target, name, bytes));
    }
    let mut dice = Dice::new(seed);
    let (of_corpus, cases) = (reached, target.mutations);
    for number in 0..cases {
        let mut bytes = corpus[dice.below(corpus.len())].1.clone();
        let other = &corpus[dice.below(corpus.len())].1;
        mutate(&mut bytes, other, &mut dice);
        reached.add(run(target, &format!("mutation {number}"), &bytes));
    }
    println!("{name}: {} files, {cases} mutations: {reached:?} in {:?}", corpus.len(), began.elapsed());
    // A search that breaks every case at the first check has looked at nothing behind it.
    assert!(of_corpus.values > 0 && reached.values > cases / 20, "{name}: {reached:?} is too little");
}

#[test]
fn a_tcp_server_that_says_anything_is_never_misunderstood() {
    campaign("client_tcp");
}

#[test]
fn an_rtu_slave_that_says_anything_is_never_misunderstood() {
    campaign("client_rtu");
}

#[test]
fn a_tcp_client_that_asks_anything_gets_the_answer_of_the_contract() {
    campaign("server_tcp");
}

#[test]
fn an_rtu_master_that_asks_anything_gets_the_answer_of_the_contract() {
    campaign("server_rtu");
}

#[test]
fn any_registers_read_the_same_after_they_were_written() {
    campaign("blocks");
}

#[test]
fn it_is_a_million_cases_for_client_and_server() {
    let cases: u64 = TARGETS.iter().filter(|target| target.name != "blocks").map(|target| target.mutations).sum();
    assert!(cases >= 1_000_000, "{cases}");
}

/// The oracle must be able to fail: an answer that nobody gave is found out.
#[test]
fn honest_servers_are_believed_word_for_word() {
    for target in &TARGETS[..2] {
        let seeds = (target.seeds)();
        let reached = |wanted: &str| {
            let (_, bytes) = seeds.iter().find(|(name, _)| *name == wanted).expect("a seed of this name");
            (target.run)(bytes)
        };
        assert_eq!(reached("write-and-read-back"), Reached { values: 3, refusals: 0, nothing: 0 }, "{}", target.name);
        assert_eq!(reached("refused"), Reached { values: 1, refusals: 1, nothing: 0 }, "{}", target.name);
        for liar in [
            "one-behind",
            "other-function",
            "other-length",
            "other-unit",
            "other-address",
            "odd-count",
            "coils-too-few",
            "coils-for-words",
            "write-coil-strange",
            "write-register-other-value",
            "empty",
            "silence",
        ] {
            assert_eq!(reached(liar).values, 0, "{}: {liar}", target.name);
        }
    }
}
