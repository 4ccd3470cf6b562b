//! Real files: what survives what.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::{Boot, Wall};
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use super::*;
use crate::gate::{Call, Debt, DebtId, KnockId};

#[test]
fn a_new_ledger_has_noted_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, noted) = Ledger::open(&dir.path().join("state")).unwrap();
    assert_eq!((noted, ledger.damage()), (Noted::default(), None));
}

#[test]
fn the_last_word_about_each_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    ledger.note(&[]).unwrap();
    ledger.note(&[user("alice", 1), owed(1), owed(2)]).unwrap();
    ledger.note(&[user("bob", 7), action("open", 2)]).unwrap();
    ledger.note(&[user("alice", 2), Entry::Settled(DebtId(1))]).unwrap();
    ledger.note(&[Entry::Settled(DebtId(99))]).unwrap();
    for _ in 0..3 {
        drop(ledger);
        let noted;
        (ledger, noted) = open(dir.path());
        assert_eq!(noted.users, [("alice".to_owned(), 2), ("bob".to_owned(), 7)]);
        assert_eq!(noted.actions, [("open".to_owned(), 2)]);
        assert_eq!(noted.debts, [debt(2)]);
        assert!(!noted.rebooted && !noted.damaged);
    }
}

#[test]
fn a_payload_of_every_byte_and_a_name_of_any_text_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    let every: Vec<u8> = (0..=255).collect();
    let names = ["", "a b", "\n", "\u{0}\u{7f}\"\\", "Zoë 🙂", "{\"settled\":1}"];
    let debts: Vec<_> = every
        .chunks(199)
        .zip(names.iter().cycle())
        .zip(1..)
        .map(|((payload, name), id)| {
            let mut debt = debt(id);
            debt.call.payload = Payload::new(payload).unwrap();
            debt.call.user_name = (*name).to_owned();
            debt
        })
        .collect();
    let entries: Vec<_> = debts.iter().cloned().map(|debt| Entry::Owed(Box::new(debt))).collect();
    ledger.note(&entries).unwrap();
    ledger.note(&names.map(|name| user(name, 1))).unwrap();
    let (_, noted) = open(dir.path());
    assert_eq!(noted.debts, debts);
    assert_eq!(noted.users.len(), names.len());
}

#[test]
fn after_a_reboot_debts_have_an_end_by_the_new_clock_and_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    let brief = Debt { ends_with_boot: true, ..debt(2) };
    let overdue = Debt { due_wall: Wall::from_secs(5), ..debt(3) };
    ledger.note(&[owed(1), Entry::Owed(Box::new(brief)), Entry::Owed(Box::new(overdue))]).unwrap();
    let later = Now { boot: Boot::from_nanos(77), wall: Wall::from_secs(1_100) };
    for rebooted in [true, false] {
        let (_, noted) = Ledger::open_at(dir.path(), "another", later).unwrap();
        assert_eq!((noted.rebooted, noted.damaged), (rebooted, false));
        let ends: Vec<_> = noted.debts.iter().map(|debt| debt.due).collect();
        assert_eq!(ends, [later.boot.after(Duration::from_secs(900)), later.boot, later.boot]);
        assert_eq!(noted.debts[0].due_wall, debt(1).due_wall);
    }
    let (_, noted) = Ledger::open_at(dir.path(), "", later).unwrap();
    assert!(noted.rebooted, "a kernel that does not say has restarted");
}

#[test]
fn wherever_a_line_is_cut_short_what_was_noted_before_stays() {
    let mut bytes = Line::Begun { boot: "one".to_owned() }.encode();
    let mut states = vec![(bytes.len(), Book::default())];
    for entries in [vec![user("alice", 1), owed(1)], vec![action("open", 1)], vec![Entry::Settled(DebtId(1)), owed(2)]]
    {
        bytes.extend(Line::Noted(entries.clone()).encode());
        let mut book = states.last().unwrap().1.clone();
        entries.into_iter().for_each(|entry| book.enter(entry));
        states.push((bytes.len(), book));
    }
    for len in 0..=bytes.len() {
        let kept = Kept::read(&bytes[..len]);
        let expected = states.iter().rfind(|(at, _)| *at <= len).map(|(_, book)| book.clone());
        assert_eq!(kept.is_damaged, expected.is_none(), "{len} bytes");
        assert_eq!(kept.book, expected.unwrap_or_default(), "{len} bytes");
    }
}

#[test]
fn a_line_cut_short_is_gone_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    ledger.note(&[user("alice", 1)]).unwrap();
    ledger.file.write_all(&Line::Noted(vec![user("alice", 2)]).encode()[..20]).unwrap();
    for _ in 0..2 {
        let (_, noted) = open(dir.path());
        assert_eq!((noted.damaged, noted.users), (false, vec![("alice".to_owned(), 1)]));
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed_and_what_can_be_read_is_kept() {
    let lines = [
        Line::Begun { boot: "one".to_owned() },
        Line::Noted(vec![user("alice", 1)]),
        Line::Noted(vec![user("bob", 2), owed(1)]),
        Line::Noted(vec![action("open", 3)]),
    ];
    let [begun, alice, bob, open] = lines.map(|line| line.encode());
    let ends = [begun.len(), begun.len() + alice.len(), begun.len() + alice.len() + bob.len()];
    let whole = [begun, alice, bob, open].concat();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let kept = Kept::read(&damaged);
        assert!(kept.is_damaged, "bit {bit}");
        // The line feed before a line is needed for it, too.
        let hits = |from: usize, to: usize| (from - 1..to).contains(&(bit / 8));
        let noted = kept.book.noted(false, true);
        let of = |counts: &[(String, u32)], name: &str| counts.iter().any(|(of, _)| of == name);
        assert_eq!(of(&noted.users, "alice"), !hits(ends[0], ends[1]), "bit {bit}");
        assert_eq!(
            (of(&noted.users, "bob"), noted.debts.len()),
            match hits(ends[1], ends[2]) {
                true => (false, 0),
                false => (true, 1),
            },
            "bit {bit}"
        );
        assert_eq!(of(&noted.actions, "open"), !hits(ends[2], whole.len()), "bit {bit}");
    }
}

#[test]
fn damage_is_remembered_until_the_operator_takes_the_file_away() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    ledger.note(&[user("alice", 1)]).unwrap();
    let path = dir.path().join(CURRENT);
    let first = [&fs::read(&path).unwrap()[..], b"no line\n"].concat();
    fs::write(&path, &first).unwrap();
    for _ in 0..2 {
        let (mut ledger, noted) = open(dir.path());
        assert!(noted.damaged);
        assert_eq!(noted.users, [("alice".to_owned(), noted.users[0].1)]);
        let damage = ledger.damage().unwrap();
        assert_eq!(fs::read(&damage.path).unwrap(), first);
        assert!(damage.to_string().contains("ledger.damaged") && damage.to_string().contains("take the file away"));
        ledger.note(&[user("alice", 2)]).unwrap();
    }
    fs::remove_file(dir.path().join(DAMAGED)).unwrap();
    let (_, noted) = open(dir.path());
    assert_eq!((noted.damaged, noted.users), (false, vec![("alice".to_owned(), 2)]));
}

#[test]
fn a_line_of_another_version_counts_as_damage() {
    let dir = tempfile::tempdir().unwrap();
    for json in ["{\"begun\":{\"version\":2,\"boot\":\"one\"}}", "{\"noted\":[{\"lent\":7}]}", "{\"noted\":[]}"] {
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        fs::write(dir.path().join(CURRENT), line).unwrap();
        assert!(open(dir.path()).1.damaged, "{json}");
        fs::remove_file(dir.path().join(DAMAGED)).unwrap();
    }
}

#[test]
fn it_is_written_anew_when_little_of_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CURRENT);
    let (mut ledger, _) = open(dir.path());
    let (mut longest, mut last) = (0, 0);
    for _ in 0..80 {
        let entries = (0..20).flat_map(|_| {
            last += 1;
            [user("alice", last), owed(u64::from(last)), Entry::Settled(DebtId(u64::from(last)))]
        });
        ledger.note(&entries.collect::<Vec<_>>()).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        assert_eq!(length, ledger.length);
        longest = longest.max(length);
    }
    assert!((SMALL / 2..SMALL).contains(&longest), "{longest}");
    let (_, noted) = open(dir.path());
    assert_eq!((noted.users, noted.debts), (vec![("alice".to_owned(), last)], vec![]));
}

#[test]
fn what_counts_is_never_shortened() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    for first in (1..=1_000).step_by(100) {
        ledger.note(&(first..first + 100).map(owed).collect::<Vec<_>>()).unwrap();
    }
    assert!(ledger.length > 2 * SMALL);
    let (_, noted) = open(dir.path());
    assert_eq!(noted.debts, (1..=1_000).map(debt).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_takes_nothing_and_nothing_is_written_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    ledger.note(&[user("alice", 1)]).unwrap();
    // full(4): every write fails for want of room; and it cannot be made shorter.
    let full = File::options().append(true).open("/dev/full").unwrap();
    let disk = std::mem::replace(&mut ledger.file, full);
    for _ in 0..2 {
        let error = ledger.note(&[user("alice", 2)]).unwrap_err().to_string();
        assert!(error.contains("/ledger:"), "{error}");
        assert_eq!(ledger.flaw, Some(Flaw::Tail));
    }
    ledger.file = disk;
    ledger.note(&[user("bob", 1)]).unwrap();
    drop(ledger);
    let (_, noted) = open(dir.path());
    assert_eq!(noted.users, [("alice".to_owned(), 1), ("bob".to_owned(), 1)]);
}

#[test]
fn what_a_failed_write_has_left_is_cut_off_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    ledger.note(&[user("alice", 1)]).unwrap();
    for left in [&Line::Noted(vec![user("alice", 2)]).encode()[..], b"half a li"] {
        ledger.file.write_all(left).unwrap();
        ledger.flaw = Some(Flaw::Tail);
        ledger.note(&[user("bob", 1)]).unwrap();
    }
    drop(ledger);
    let (_, noted) = open(dir.path());
    assert_eq!((noted.damaged, noted.users), (false, vec![("alice".to_owned(), 1), ("bob".to_owned(), 1)]));
}

#[test]
fn a_file_that_cannot_be_written_anew_goes_on_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    // Nothing can be written under that name.
    let obstacle = dir.path().join(NEW);
    fs::create_dir(&obstacle).unwrap();
    let mut times = 0;
    while ledger.length < 5 * SMALL {
        times += 1;
        let mut entries = vec![user("alice", times)];
        entries.extend((0..100).flat_map(|id| [owed(id), Entry::Settled(DebtId(id))]));
        ledger.note(&entries).unwrap();
    }
    fs::remove_dir(&obstacle).unwrap();
    while ledger.length > SMALL {
        times += 1;
        ledger.note(&vec![user("alice", times); 500]).unwrap();
    }
    let (_, noted) = open(dir.path());
    assert_eq!(noted.users, [("alice".to_owned(), times)]);
}

#[test]
fn a_file_whose_name_might_be_lost_takes_nothing_before_it_is_safe() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(dir.path());
    // As after a rename whose folder could not be written through.
    ledger.flaw = Some(Flaw::NameUnsynced);
    let place = std::mem::replace(&mut ledger.dir, dir.path().join("elsewhere"));
    assert!(ledger.note(&[user("alice", 1)]).is_err());
    ledger.dir = place;
    ledger.note(&[user("alice", 2)]).unwrap();
    let (_, noted) = open(dir.path());
    assert_eq!(noted.users, [("alice".to_owned(), 2)]);
}

#[test]
fn nobody_else_reads_it_and_no_other_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(NEW), "what a kill has left").unwrap();
    let (mut ledger, _) = open(dir.path());
    ledger.compact();
    ledger.note(&[owed(1)]).unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode(CURRENT), 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fs::write(dir.path().join(CURRENT), "no line\n").unwrap();
    open(dir.path());
    assert_eq!((mode(CURRENT), mode(DAMAGED)), (0o600, 0o600));
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_the_cure() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("state"), "a file").unwrap();
    let error = Ledger::open(&dir.path().join("state")).unwrap_err().to_string();
    assert!(error.contains("state") && error.contains("[state]"), "{error}");
}

fn open(dir: &Path) -> (Ledger, Noted) {
    let now = Now { boot: Boot::from_nanos(5), wall: Wall::from_secs(1_000) };
    Ledger::open_at(dir, "one", now).unwrap()
}

fn user(name: &str, times: u32) -> Entry {
    Entry::UserUsed { name: name.to_owned(), times }
}

fn action(name: &str, times: u32) -> Entry {
    Entry::ActionUsed { name: name.to_owned(), times }
}

fn owed(id: u64) -> Entry {
    Entry::Owed(Box::new(debt(id)))
}

fn debt(id: u64) -> Debt {
    let call = Call {
        knock: KnockId::new(7, id as u32),
        source: match id % 2 {
            0 => Address::v4([192, 0, 2, 7]),
            _ => Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
        },
        user: UserId(65_535),
        user_name: "alice".to_owned(),
        action: ActionId(255),
        action_name: "vpn".to_owned(),
        sealed: true,
        payload: Payload::new(b"ttl=10m").unwrap(),
    };
    let due = Boot::from_nanos(u64::MAX - id);
    Debt {
        id: DebtId(id),
        program: "vpn-down".to_owned(),
        call,
        due,
        due_wall: Wall::from_secs(2_000),
        ends_with_boot: false,
    }
}
