//! A full disk, for real: a small file system, filled to the last block.

use super::*;
use std::process::Command;

/// A mounted file system of eight megabytes; unmounted when it goes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let _starting = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _starting = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        let done = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "the small disk stays mounted at {}", self.0.path().display());
    }
}

#[test]
fn a_full_disk_takes_pictures_first_refuses_pieces_and_still_writes_the_stop() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a small file system needs root");
        return;
    };
    let dir = disk.0.path().join("store");
    let settings = StoreSettings { segment_bytes: 256 << 10, images: Retention::within(512 << 10), ballast_bytes: 1 << 20 };
    let (store, report) = open_with(&dir, settings);
    assert!(report.ballast, "{report:?}");
    let mut chain = Chain::new();
    store.keep(&chain.pieces(10)).unwrap();
    for number in 0..4_u8 {
        store.images().put(Digest::of(&[number]), &vec![number; 100 << 10], Tag::nobodys(Class::Hold), Timestamp::default()).unwrap();
    }
    let filler = disk.fill();
    let refused = loop {
        let before = chain.clone();
        let batch = chain.pieces(50);
        if let Err(error) = store.keep(&batch) {
            chain = before;
            break (error, batch);
        }
        assert!(chain.results < 10_000, "the disk never became full");
    };
    assert!(refused.0.is_disk_full() && refused.0.is_retryable(), "{}", refused.0);
    assert_eq!(store.images().bytes(), 0, "pictures go before records are refused");
    assert!(store.condition().ballast, "pieces do not use the ballast");
    let refused_again = store.keep(&refused.1).unwrap_err();
    assert!(refused_again.is_disk_full());

    // The station stops the line; that entry and what waited before it find room.
    let mut batch = chain.pieces(50);
    assert_eq!(batch, refused.1);
    batch.push(chain.stop());
    assert_eq!(store.keep(&batch).unwrap(), EntryNumber(chain.number));
    assert!(!store.condition().ballast);
    let kept = all(&store).len();
    drop(store);
    drop(disk.fill());

    let (store, report) = open_with(&dir, settings);
    assert!(!report.ballast && report.ledger.faults.is_empty(), "{report:?}");
    assert_eq!((all(&store).len(), Chain::after(&store.resume()).number), (kept, chain.number));
    assert!(store.keep(&chain.clone().pieces(2000)).unwrap_err().is_disk_full());

    std::fs::remove_file(filler).unwrap();
    for _ in 0..4 {
        store.keep(&chain.pieces(100)).unwrap();
    }
    store.mend();
    let condition = store.condition();
    assert!(condition.ballast && condition.view_missing.is_none(), "all is well again: {condition:?}");
    assert_eq!(store.outbox("trace").unwrap().counts().kept, chain.results);
    assert_eq!(store.piece(chain.results).unwrap().as_ref().and_then(piece_number), Some(chain.results));
    drop(store);
    assert!(verify::verify(&dir).unwrap().whole);
    let (_, report) = open_with(&dir, settings);
    assert!(report.warnings().is_empty(), "{report:?}");
}

#[test]
fn pictures_make_room_in_their_order_long_before_the_disk_is_full_and_records_go_on() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: mounting a small file system needs root");
        return;
    };
    let dir = disk.0.path().join("store");
    let headroom = 2 << 20;
    let kept = Retention { free_bytes_min: Some(headroom), ..Retention::within(4 << 20) };
    let settings = StoreSettings { segment_bytes: 256 << 10, images: kept, ballast_bytes: 64 << 10 };
    let (store, _) = open_with(&dir, settings);
    let (mut chain, images, mut number) = (Chain::new(), store.images(), 0_u64);
    let mut put = |class| {
        number += 1;
        let (digest, tag) = (Digest::of(&number.to_le_bytes()), Tag { record: number, ..Tag::nobodys(class) });
        images.put(digest, &vec![1; 100 << 10], tag, Timestamp::default())
    };
    let classes = [Class::Reject, Class::Pass, Class::SampledPass];
    classes.iter().for_each(|class| (0..6).for_each(|_| put(*class).unwrap()));
    let count = |class: Class| store.images().stock().classes.iter().find(|(of, _)| *of == class).map_or(0, |(_, sum)| sum.count);
    let free = || rustix::fs::statvfs(&dir).map(|disk| disk.f_bavail * disk.f_frsize).unwrap();
    let fill_to = |left: u64| {
        let mut file = OpenOptions::new().create(true).append(true).open(disk.0.path().join("filler")).unwrap();
        let more = usize::try_from(free().saturating_sub(left)).unwrap();
        file.write_all(&vec![1; more]).unwrap();
    };
    assert!(store.condition().ballast && store.images().stock().troubles().is_empty());

    fill_to(headroom * 3 / 2);
    store.tend_pictures(Timestamp::default()).unwrap();
    assert_eq!(store.images().stock().troubles().len(), 1, "an alarm before anything is taken");
    assert_eq!(classes.map(count), [6, 6, 6]);

    fill_to(headroom - (800 << 10));
    store.tend_pictures(Timestamp::default()).unwrap();
    assert_eq!(classes.map(count), [6, 4, 0], "sampled passes, then passes");
    assert!(free() >= headroom);
    store.keep(&chain.pieces(50)).unwrap();

    // Somebody else goes on filling: when only rejects are left, no pass is written any more, and rejects down to half of it.
    fill_to(headroom - (1000 << 10));
    store.tend_pictures(Timestamp::default()).unwrap();
    assert_eq!(classes.map(count), [0, 0, 0]);
    fill_to(headroom * 3 / 4);
    assert!(matches!(put(Class::Pass), Err(images::ImageError::NearlyFull { .. })));
    put(Class::Reject).unwrap();
    fill_to(headroom / 2 - 8192);
    assert!(matches!(put(Class::Reject), Err(images::ImageError::NearlyFull { .. })));
    store.keep(&chain.pieces(50)).unwrap();
    assert!(store.condition().ballast, "and the disk was never full");
    drop(store);
    assert!(examine::examine(&dir).unwrap().faults.is_empty());
    assert!(verify::verify(&dir).unwrap().whole);
}
