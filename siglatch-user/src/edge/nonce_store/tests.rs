//! Real files: what survives what.

use siglatch_common::units::Boot;
use siglatch_common::wire::v1::UserId;

use super::*;

const SKEW: Duration = Duration::from_secs(60);

#[test]
fn every_record_reads_back_and_no_flipped_bit_is_believed() {
    let records = [
        Record::Nonce(nonce(7)),
        Record::Lease(Wall::from_secs(1 << 40)),
        Record::Floor(Wall::from_secs(9)),
        Record::Opened([1, 2, 3, 4, 5, 6, 7, 8]),
        Record::Closed,
    ];
    for record in records {
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Some(record));
        for bit in 0..Record::LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(&damaged), None, "{record:?}, bit {bit}");
        }
    }
}

#[test]
fn nonces_survive_a_kill_and_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, remembered, recovery) = open(dir.path());
    assert_eq!((remembered, recovery), (Remembered::default(), Recovery::Complete));
    store.lease(Wall::from_secs(1_030)).unwrap();
    store.remember(&[nonce(1), nonce(2)]).unwrap();
    drop(store);
    let (mut store, remembered, recovery) = open(dir.path());
    assert_eq!(
        (&remembered.nonces[..], remembered.floor, recovery),
        (&[nonce(1), nonce(2)][..], None, Recovery::Complete)
    );
    store.remember(&[nonce(3)]).unwrap();
    store.close().unwrap();
    let (_, remembered, recovery) = open(dir.path());
    assert_eq!((&remembered.nonces[..], recovery), (&[nonce(1), nonce(2), nonce(3)][..], Recovery::Complete));
}

#[test]
fn a_kill_between_two_names_loses_no_floor() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, ..) = open(dir.path());
    // Far ahead: the clock was set back since.
    let ahead = Wall::from_secs(1 << 31);
    store.remember(&[nonce(1)]).unwrap();
    store.forget(ahead, None).unwrap();
    drop(store);
    fs::rename(dir.path().join(CURRENT), dir.path().join(FRESH)).unwrap();
    let (_, remembered, recovery) = open(dir.path());
    assert!(matches!(recovery, Recovery::Missing(_)), "{recovery:?}");
    assert_eq!((&remembered.nonces[..], remembered.floor), (&[nonce(1)][..], Some(ahead)));
}

#[test]
fn one_generation_is_forgotten_at_a_time_and_the_floor_stays() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, ..) = open(dir.path());
    store.remember(&[nonce(1)]).unwrap();
    store.forget(Wall::from_secs(5), Some(Wall::from_secs(50))).unwrap();
    store.remember(&[nonce(2)]).unwrap();
    drop(store);
    let (mut store, remembered, _) = open(dir.path());
    assert_eq!((remembered.nonces.len(), remembered.floor), (2, Some(Wall::from_secs(5))));
    store.forget(Wall::from_secs(6), None).unwrap();
    store.forget(Wall::from_secs(7), None).unwrap();
    drop(store);
    let (_, remembered, _) = open(dir.path());
    assert_eq!((remembered.nonces.len(), remembered.floor), (0, Some(Wall::from_secs(7))));
}

#[test]
fn after_a_loss_of_power_the_lease_is_the_floor() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, ..) = open(dir.path());
    store.lease(Wall::from_secs(1_030)).unwrap();
    store.remember(&[nonce(1)]).unwrap();
    drop(store);
    pretend_other_boot(dir.path());
    let (store, remembered, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery::PowerLoss(Wall::from_secs(1_030)));
    assert_eq!((remembered.nonces.len(), remembered.floor), (1, Some(Wall::from_secs(1_030))));
    store.close().unwrap();
    pretend_other_boot(dir.path());
    let (_, remembered, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery::Complete, "a clean stop before the machine's is complete");
    assert_eq!(remembered.floor, Some(Wall::from_secs(1_030)), "but the floor stays");
}

#[test]
fn a_missing_store_refuses_everything_stamped_before() {
    let dir = tempfile::tempdir().unwrap();
    let (_, remembered, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery::Missing(Wall::from_secs(1_060)));
    assert_eq!(remembered.floor, Some(Wall::from_secs(1_060)));
}

#[test]
fn every_truncation_and_every_damaged_byte_fails_closed() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, ..) = open(dir.path());
    store.lease(Wall::from_secs(1_030)).unwrap();
    store.remember(&[nonce(1), nonce(2)]).unwrap();
    drop(store);
    pretend_other_boot(dir.path());
    let path = dir.path().join(CURRENT);
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let (_, remembered, recovery) = open(dir.path());
        assert_ne!(recovery, Recovery::Complete, "{len} bytes");
        assert!(remembered.floor >= Some(Wall::from_secs(1_030)), "{len} bytes: {remembered:?}");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let (_, remembered, recovery) = open(dir.path());
        assert_ne!(recovery, Recovery::Complete, "byte {at}");
        assert!(remembered.floor >= Some(Wall::from_secs(1_030)), "byte {at}: {remembered:?}");
    }
}

#[test]
fn what_a_failed_write_has_left_is_cut_off_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, ..) = open(dir.path());
    store.remember(&[nonce(1)]).unwrap();
    // As a write does that fails after one record and a half.
    let left = [&Record::Nonce(nonce(2)).encode()[..], &Record::Nonce(nonce(3)).encode()[..7]].concat();
    store.current.write_all(&left).unwrap();
    store.flaw = Some(Flaw::Tail);
    store.remember(&[nonce(4)]).unwrap();
    drop(store);
    let (_, remembered, recovery) = open(dir.path());
    assert_eq!((&remembered.nonces[..], recovery), (&[nonce(1), nonce(4)][..], Recovery::Complete));
}

#[test]
fn a_full_disk_takes_nothing_and_nothing_is_written_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, ..) = open(dir.path());
    store.remember(&[nonce(1)]).unwrap();
    // full(4): every write fails for want of room; and it cannot be made shorter.
    let full = File::options().append(true).open("/dev/full").unwrap();
    let disk = std::mem::replace(&mut store.current, full);
    for _ in 0..2 {
        assert!(store.remember(&[nonce(2)]).unwrap_err().to_string().contains("nonces.current"));
        assert_eq!(store.flaw, Some(Flaw::Tail));
        assert!(store.lease(Wall::from_secs(2_000)).is_err());
        assert!(store.forget(Wall::from_secs(2_000), None).is_err(), "a file with a flaw is not set aside");
    }
    store.current = disk;
    store.remember(&[nonce(3)]).unwrap();
    assert_eq!(store.flaw, None);
    store.forget(Wall::from_secs(500), None).unwrap();
    drop(store);
    let (_, remembered, recovery) = open(dir.path());
    assert_eq!((&remembered.nonces[..], recovery), (&[nonce(1), nonce(3)][..], Recovery::Complete));
    assert_eq!(remembered.floor, Some(Wall::from_secs(500)));
}

#[test]
fn a_generation_that_cannot_begin_ends_no_other() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, ..) = open(dir.path());
    store.remember(&[nonce(1)]).unwrap();
    store.forget(Wall::from_secs(5), None).unwrap();
    store.remember(&[nonce(2)]).unwrap();
    // Nothing can be written under that name.
    let obstacle = dir.path().join(FRESH);
    fs::create_dir(&obstacle).unwrap();
    for _ in 0..3 {
        assert!(store.forget(Wall::from_secs(6), None).is_err());
    }
    store.remember(&[nonce(3)]).unwrap();
    fs::remove_dir(&obstacle).unwrap();
    drop(store);
    let (_, remembered, recovery) = open(dir.path());
    assert_eq!((remembered.nonces.len(), remembered.floor), (3, Some(Wall::from_secs(5))));
    assert_eq!(recovery, Recovery::Complete);
}

#[test]
fn a_generation_begins_once_however_often_its_file_cannot_be_named() {
    let dir = tempfile::tempdir().unwrap();
    NonceStore::create(dir.path()).unwrap();
    let (mut store, ..) = open(dir.path());
    store.remember(&[nonce(1)]).unwrap();
    store.forget(Wall::from_secs(5), None).unwrap();
    // As after a rename that failed.
    fs::rename(dir.path().join(CURRENT), dir.path().join("elsewhere")).unwrap();
    store.flaw = Some(Flaw::Nameless);
    for _ in 0..3 {
        assert!(store.remember(&[nonce(2)]).is_err());
    }
    fs::rename(dir.path().join("elsewhere"), dir.path().join(FRESH)).unwrap();
    store.remember(&[nonce(2)]).unwrap();
    drop(store);
    let (_, remembered, recovery) = open(dir.path());
    assert_eq!((&remembered.nonces[..], recovery), (&[nonce(1), nonce(2)][..], Recovery::Complete));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("state"), "a file").unwrap();
    let error = NonceStore::open(&dir.path().join("state"), SKEW, now()).unwrap_err().to_string();
    assert!(error.contains("state") && error.contains("[state]"), "{error}");
}

fn open(dir: &Path) -> (NonceStore, Remembered, Recovery) {
    NonceStore::open(dir, SKEW, now()).unwrap()
}

fn now() -> Now {
    Now { boot: Boot::from_nanos(0), wall: Wall::from_secs(1_000) }
}

fn nonce(challenge: u32) -> Nonce {
    Nonce { user: UserId(1), timestamp: 1_000, challenge }
}

/// Changes the boot id in the file: to the reader, the machine has restarted since.
fn pretend_other_boot(dir: &Path) {
    let path = dir.join(CURRENT);
    let mut bytes = fs::read(&path).unwrap();
    bytes[MAGIC.len()..][..Record::LEN].copy_from_slice(&Record::Opened([0; 8]).encode());
    fs::write(&path, bytes).unwrap();
}
