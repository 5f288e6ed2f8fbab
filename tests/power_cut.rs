//! The power is cut at moments nobody chose: what was kept is on the disk, the backend has nothing twice, and the line goes on
//! without anybody's help.
//!
//! The appliance's data lie on a file system in a file. It is stopped (SIGSTOP) somewhere, the file is copied as it is — without
//! what was written and not synced — and the appliance is killed; the next one finds the copy. PLC and backend never notice more
//! than a dead appliance, and remember what really happened. In every third round the index is broken besides. `ROUNDS=60` and
//! `SEED=…` are for campaigns. It needs root and loop devices.

use line_tests::binary::Running;
use line_tests::floor::{DEADLINE, Dice, Floor, Ledger, assert_every_piece_is_accounted_for, from_environment, seed};
use line_tests::loop_disk::LoopDisk;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Cuts in `make test`; SPECIFICATION.md promises what a campaign of 60 shows.
const ROUNDS: u64 = 4;
/// A cut comes at most this long after the line was seen to inspect.
const CUT_WITHIN_MILLIS: u64 = 1500;
/// A program that aborts on a broken index gets through at the third start.
const STARTS_MAX: u32 = 3;

#[test]
fn cuts_of_the_power_lose_nothing_and_double_nothing() {
    let Some(mut disk) = LoopDisk::new() else { return };
    let rounds = from_environment("ROUNDS").unwrap_or(ROUNDS);
    let seed = seed();
    let data = disk.path().join("data");
    // The disk is small.
    let (mut dice, floor) = (Dice(seed), Floor::new(seed, Some(&data), &[("keep_bytes_max", "8_000_000")]));
    let (mut kills, mut broken, mut aborted, mut rebuilt, mut slowest) = (Vec::new(), 0, 0, 0, Duration::ZERO);
    let mut breaks = None;
    for round in 1..=rounds {
        let started = Instant::now();
        let mut appliance = start(&floor, breaks.take(), &mut aborted);
        slowest = slowest.max(started.elapsed());
        std::thread::sleep(Duration::from_millis(dice.below(CUT_WITHIN_MILLIS)));
        appliance.pause();
        // Acknowledged there before this moment means durable here at this moment.
        let delivered = floor.health("events").max(floor.health("grades"));
        let before = durable(&floor);
        let photograph = disk.photograph();
        rebuilt += u32::from(appliance.stderr().contains("the index was built again"));
        appliance.kill();
        kills.push(floor.wait_until_it_stands().triggered);
        disk.develop(&photograph);

        let ledger = Ledger::of(&data);
        assert!(ledger.number("/head/number") >= before, "round {round}: entry {before} was kept: {}", ledger.report);
        assert!(ledger.number("/pieces") >= delivered, "round {round}: the backend knows {delivered}: {}", ledger.report);
        if round % 3 == 0 {
            breaks = break_view(&data.join("view"), &mut dice);
            broken += u32::from(breaks.is_some());
        }
    }

    let mut appliance = start(&floor, breaks, &mut aborted);
    floor.plc.press_estop(true);
    floor.wait("the belt stands", Some(&appliance), |seen| !seen.line_running);
    floor.wait_until_delivered(&appliance, &kills);
    let refused = floor.health("duplicates_refused");
    let left = appliance.terminate(DEADLINE);
    assert!(left.success(), "{left}\n{}", appliance.stderr());
    let (in_flight, ledger) = (assert_every_piece_is_accounted_for(&floor, &kills), Ledger::of(&data));
    let pieces = ledger.number("/pieces");
    assert_eq!((floor.health("events"), floor.health("grades")), (pieces, pieces), "each once at the backend");
    println!(
        "{rounds} power cuts: {pieces} pieces, {} entries, 0 kept records lost, 0 doubled at the backend ({refused} sent again and recognised), \
         {broken} indexes broken on purpose ({aborted} starts ended by them), {rebuilt} built again, {in_flight} between result and record; at most {slowest:.1?} from start to inspecting",
        ledger.number("/entries"),
    );
}

/// What the appliance has acknowledged to itself, as its own witness says (`ledger.rs`: the number is the first eight bytes). It is
/// written after the sync of what it names, so that it may be read from the memory of this machine.
fn durable(floor: &Floor) -> u64 {
    let witness = fs::read(floor.data.join("ledger/acknowledged")).unwrap_or_default();
    witness.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// Starts the appliance until it inspects. Only a broken index may end a start, and only in a program that aborts on panics.
fn start(floor: &Floor, breaks: Option<String>, aborted: &mut u32) -> Running {
    for _ in 0..STARTS_MAX {
        let before = floor.plc.observe();
        let appliance = floor.start();
        let inspects = || {
            let seen = floor.plc.observe();
            seen.line_running && seen.triggered >= before.triggered + 2 && seen.results_read >= before.results_read + 2
        };
        let until = Instant::now() + DEADLINE;
        while appliance.is_running() && !inspects() {
            assert!(Instant::now() < until, "it does not inspect; broken was {breaks:?}\n{}", appliance.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
        if appliance.is_running() {
            return appliance;
        }
        assert!(breaks.is_some(), "it has left although nothing was broken\n{}", appliance.stderr());
        *aborted += 1;
    }
    panic!("{STARTS_MAX} starts did not come back from {breaks:?}");
}

/// Damages a file of the index, or takes one away. Says what it did.
fn break_view(view: &Path, dice: &mut Dice) -> Option<String> {
    let mut files: Vec<_> = fs::read_dir(view).ok()?.filter_map(|file| Some(file.ok()?.path())).filter(|path| path.is_file()).collect();
    files.sort();
    let path = files.get(usize::try_from(dice.below(u64::try_from(files.len()).ok()?)).ok()?)?;
    let mut bytes = fs::read(path).ok()?;
    let at = usize::try_from(dice.below(u64::try_from(bytes.len()).ok()?.max(1))).ok()?;
    let end = bytes.len().min(at + 4096);
    let what = match dice.below(4) {
        0 => {
            fs::remove_file(path).ok()?;
            return Some(format!("{} removed", path.display()));
        }
        1 => {
            bytes.truncate(at);
            "cut"
        }
        2 => {
            bytes.get_mut(at..end)?.fill(0);
            "zeroed"
        }
        _ => {
            *bytes.get_mut(at)? ^= 1 << dice.below(8);
            "flipped"
        }
    };
    fs::write(path, bytes).ok()?;
    Some(format!("{} {what} at {at}", path.display()))
}
