//! SIGKILL at random moments: a real process that writes and acknowledges, and what the next one finds.

use super::*;
use std::io::BufRead as _;
use std::process::{Command, Stdio};

const ROUNDS: u64 = 30;
const WHERE: &str = "JIDOKA_TEST_STORE";

/// Not a test of its own: what the killed process does, when the environment tells it where.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(WHERE) else { return };
    let (store, _) = open(Path::new(&dir));
    let mut chain = Chain::after(&store.resume());
    let outbox = store.outbox("trace").unwrap();
    let mut dice = Dice::new(chain.number + 1);
    // Ends by itself if nobody kills it.
    for round in 0..20_000 {
        let mut batch = chain.pieces(1 + dice.below(6));
        if round % 16 == 0 {
            batch.push(chain.checkpoint());
        }
        store.keep(&batch).unwrap();
        println!("\nacked {} {}", chain.number, chain.digest);
        let ids: Vec<_> = outbox.next(dice.below(8)).unwrap().iter().map(|parcel| parcel.result_id).collect();
        outbox.delivered(&ids).unwrap();
        println!("\ndelivered {}", outbox.counts().delivered);
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(5);
    let (mut acked, mut torn, mut delivered) = (Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        let starting = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::tests::kill::child_that_writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(WHERE, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(starting);
        let acks = 1 + dice.below(60);
        let (mut seen, mut lines) = (0, std::io::BufReader::new(child.stdout.take().unwrap()).lines());
        let mut hear = |line: &str| {
            if let Some((number, digest)) = line.strip_prefix("acked ").and_then(|rest| rest.split_once(' ')) {
                acked.push((number.parse::<u64>().unwrap(), digest.to_owned()));
                return 1;
            }
            delivered = line.strip_prefix("delivered ").map_or(delivered, |count| count.parse::<u64>().unwrap());
            0
        };
        while seen < acks {
            let line = lines.next().expect("the child writes until it is killed").unwrap();
            seen += hear(&line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.map_while(Result::ok).for_each(|line| seen += hear(&line));

        let verified = verify::verify(dir.path()).unwrap();
        assert!(verified.whole, "round {round}: {verified:?}");
        let (store, report) = open(dir.path());
        torn += usize::from(report.ledger.torn.is_some());
        assert!(report.warnings().is_empty(), "round {round}: {report:?}");
        let outbox = store.outbox("trace").unwrap();
        let counts = outbox.counts();
        assert!(counts.delivered >= delivered, "round {round}: {counts:?}, {delivered} were acknowledged");
        assert_eq!(counts.kept, counts.delivered + counts.waiting + counts.quarantined, "round {round}");
        assert!(counts.waiting == 0 || outbox.next(1).unwrap()[0].result_id == counts.delivered + 1, "round {round}");
    }
    let (store, _) = open(dir.path());
    let mut digests = BTreeMap::new();
    store
        .read_from(EntryNumber(1), &mut |kept| {
            digests.insert(kept.entry.number.0, kept.digest.to_string());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(digests.len() as u64, digests.keys().last().copied().unwrap_or(0), "no gaps");
    for (number, digest) in &acked {
        assert_eq!(digests.get(number), Some(digest), "entry {number} was acknowledged");
    }
    println!("{ROUNDS} kills: {} acknowledgements, {} entries, {torn} torn ends, lost 0", acked.len(), digests.len());
}
