//! A configuration of ten thousand users, each with a key file of their own: read in a moment, and compared in one.
//!
//! `cargo test --release -p siglatch-user --test many_users -- --nocapture` shows how long it takes.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the test makes the files, and takes the time"
)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use siglatch_user::config::{Changes, Given};
use siglatch_user::ctl::{Loaded, load};

#[test]
fn ten_thousand_users_are_read_and_compared_in_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("siglatch.toml");
    write(folder.path());
    let given = Given::by_machine(false);
    let read = || load(&file, &given).unwrap_or_else(|failure| panic!("{failure}"));
    let mut loads: Vec<(Duration, Loaded)> = (0..5).map(|_| timed(read)).collect();
    loads.sort_by_key(|(took, _)| *took);
    let [(_, old), .., (_, new)] = &loads[..] else { unreachable!() };
    assert_eq!(old.settings.policy.users().count(), USERS);
    assert_eq!(old.report.findings(), []);
    let (compared, changes) = timed(|| Changes::between(&old.settings, &new.settings));
    assert!(changes.is_empty(), "{changes:?}");
    let took = loads[loads.len() / 2].0;
    println!("{USERS} users: read in {took:?} (median of {}), compared in {compared:?}", loads.len());
    // Generous: a debug build beside others.
    assert!(took < Duration::from_secs(20) && compared < Duration::from_secs(5), "{took:?} {compared:?}");
}

#[test]
fn ten_thousand_findings_are_told_in_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("siglatch.toml");
    write(folder.path());
    let text = fs::read_to_string(&file).unwrap().replace(".key\"\n", ".kee\"\n").replace("server.kee", "server.key");
    fs::write(&file, text).unwrap();
    let (took, failure) = timed(|| load(&file, &Given::by_machine(false)).unwrap_err());
    let (told, lines) = timed(|| failure.to_string());
    assert_eq!(lines.lines().count(), USERS);
    println!("{USERS} findings: found in {took:?}, told in {told:?}");
    assert!(took < Duration::from_secs(20) && told < Duration::from_secs(20), "{took:?} {told:?}");
}

/// Two actions, one of them for a group that everybody is in.
fn write(folder: &Path) {
    fs::create_dir(folder.join("keys")).unwrap();
    let server = folder.join("server.key");
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
        .arg(&server)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut text = "[gateway]\nhost = \"gw.example.org\"\n[ingress]\ninterfaces = [\"eth0\"]\n[[port]]\nport = 62201\n\
                    [keys]\nserver = \"server.key\"\n[firewall]\nprotect = [\"tcp/22\", \"tcp/23\"]\n\
                    [action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\n\
                    [action.ops]\nid = 2\ngroups = [\"ops\"]\ngrant = [\"tcp/23\"]\n"
        .to_owned();
    for number in 1..=USERS {
        let key = format!("{number:064x}\n");
        let path = folder.join(format!("keys/u{number}.key"));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .unwrap()
            .write_all(key.as_bytes())
            .unwrap();
        text += &format!("[user.u{number}]\nid = {number}\nkey = \"keys/u{number}.key\"\ngroups = [\"ops\"]\n");
    }
    fs::write(folder.join("siglatch.toml"), text).unwrap();
}

fn timed<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = what();
    (begun.elapsed(), done)
}

const USERS: usize = 10_000;
