//! The ledger on a disk that is small: what finds no room leaves nothing behind. Needs root, and fails without.
#![expect(clippy::disallowed_types, reason = "the disk is the subject: it is filled with a file")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use siglatch_user::edge::ledger::Ledger;
use siglatch_user::gate::Entry;

#[test]
fn what_finds_no_room_leaves_nothing_behind() {
    on_a_small_disk(|dir| {
        let (mut ledger, _) = Ledger::open(dir).unwrap();
        ledger.note(&[used("alice", 1)]).unwrap();
        fill(dir);
        let length = || fs::metadata(dir.join("ledger")).unwrap().len();
        let before = length();
        // More than the rest of its page: some of it is written, and some is not.
        let many = vec![used("mallory", 1); 500];
        for _ in 0..2 {
            let error = ledger.note(&many).unwrap_err().to_string();
            assert!(error.contains("No space left") && error.contains("make room"), "{error}");
            assert_eq!(length(), before);
        }
        // What fits into that page still does.
        ledger.note(&[used("alice", 2)]).unwrap();
        assert_eq!(
            Ledger::open(dir).unwrap_err().to_string().matches("make room").count(),
            1,
            "no room for a new file"
        );

        fs::remove_file(dir.join("ballast")).unwrap();
        ledger.note(&[used("bob", 1)]).unwrap();
        let (_, noted) = Ledger::open(dir).unwrap();
        assert_eq!((noted.damaged, noted.users), (false, vec![("alice".to_owned(), 2), ("bob".to_owned(), 1)]));
    });
}

/// Runs the test on a thread that alone sees a tmpfs of 64 kB; it goes with the thread.
fn on_a_small_disk(test: impl FnOnce(&Path) + Send) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: only FILES and similar flags let threads disagree on descriptors; NEWNS moves this thread alone.
            let done = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
            done.expect("a file system of its own takes root: run the tests as root");
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
            mount("none", dir, "tmpfs", MountFlags::empty(), Some(c"size=64k,mode=700")).unwrap();
            test(dir);
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Leaves no room for one page more.
fn fill(dir: &Path) {
    let mut file = File::create(dir.join("ballast")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

fn used(name: &str, times: u32) -> Entry {
    Entry::UserUsed { name: name.to_owned(), times }
}
