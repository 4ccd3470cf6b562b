//! A folder with a configuration, and the command run in it. Never judges what it says.

use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder with a sound configuration and a user, alice.
pub(super) fn ready() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["init", "--dir", ".", "--host", "gw.example.org", "--iface", "eth0"][..],
        &["user", "add", "alice", "--config", "siglatch.toml"],
    ] {
        let done = ctl(&folder, arguments);
        assert!(done.status.success(), "{}", both(&done));
    }
    folder
}

/// What the command does in that folder.
pub(super) fn ctl(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_siglatchctl")).args(arguments).current_dir(folder).output().unwrap()
}

/// Everything that it has printed.
pub(super) fn both(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}
