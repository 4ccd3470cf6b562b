//! Whether a later siglatch-user has written what is in the state folder. Never reads more than the beginning of a file, and
//! never changes one: it is asked before a running daemon is disturbed.
//!
//! Each format says its version where it begins, and every later one will.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A file of the state folder is of a later format than this daemon reads.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "{} is of format {version}, and this siglatch-user reads up to {known}: a later one has written it. Install that again; or, \
     to stay with this one, stop the daemon and move the folder {} away. Then bans, use counts and what is switched off begin anew, \
     and knocks of the first minute are refused",
    .path.display(), .path.parent().unwrap_or(.path).display()
)]
pub struct Newer {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub version: u32,
    /// The latest that this daemon reads.
    pub known: u32,
}

/// Checks the beginning of every file there. One that is not there, cannot be read, or begins otherwise is for its own reader to
/// tell of.
///
/// # Errors
/// [`Newer`] names the first file of a later format.
pub fn check(state_dir: &Path) -> Result<(), Newer> {
    for (name, from, marks) in FORMATS {
        let path = state_dir.join(name);
        let version = beginning(&path).and_then(|bytes| version(bytes.get(from..)?, marks));
        if let Some(version) = version.filter(|version| *version > KNOWN) {
            return Err(Newer { path, version, known: KNOWN });
        }
    }
    Ok(())
}

fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(BEGINNING).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The number behind these marks, one after the other with nothing but white space between them.
fn version(bytes: &[u8], marks: &[&str]) -> Option<u32> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.as_ref();
    for mark in marks {
        rest = rest.trim_start().strip_prefix(mark)?;
    }
    let rest = rest.trim_start();
    let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// Each file, where its text begins, and what stands before the number of its format.
const FORMATS: [(&str, usize, &[&str]); 6] = [
    ("nonces.current", 0, NONCES),
    ("nonces.previous", 0, NONCES),
    // Behind the checksum of the line.
    ("ledger", 9, &["{", "\"begun\"", ":", "{", "\"version\"", ":"]),
    ("bans.json", 0, JSON),
    ("known.json", 0, JSON),
    ("switches.json", 0, JSON),
];
const NONCES: &[&str] = &["siglatch nonce"];
const JSON: &[&str] = &["{", "\"version\"", ":"];

/// Every format is in its first version.
const KNOWN: u32 = 1;

/// The number stands within the first so many bytes.
const BEGINNING: u64 = 128;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::edge::ledger::Ledger;
    use crate::edge::nonce_store::NonceStore;

    #[test]
    fn what_this_daemon_writes_is_not_newer() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check(folder.path()), Ok(()));
        NonceStore::create(folder.path()).unwrap();
        Ledger::open(folder.path()).unwrap();
        for name in ["bans.json", "known.json"] {
            fs::write(folder.path().join(name), "{\"version\":1,\"boot\":\"\",\"lists\":0}").unwrap();
        }
        fs::write(folder.path().join("switches.json"), "{\n  \"version\": 1,\n  \"off\": []\n}").unwrap();
        assert_eq!(check(folder.path()), Ok(()));
        for (name, from, marks) in FORMATS {
            if name != "nonces.previous" {
                let bytes = beginning(&folder.path().join(name)).unwrap();
                assert_eq!(version(&bytes[from..], marks), Some(1), "{name}");
            }
        }
    }

    #[test]
    fn a_later_format_is_named_with_what_to_do() {
        let texts: [(&str, &[u8]); 6] = [
            ("nonces.current", b"siglatch nonce 2\x01\x00\xff\xff"),
            ("nonces.previous", b"siglatch nonce 17"),
            ("ledger", b"5e0c1f0a {\"begun\":{\"version\":2,\"boot\":\"0c5a\"}}\n"),
            ("bans.json", b"{\"version\":2,\"else\":[]}"),
            ("known.json", b" { \"version\" : 3 }"),
            ("switches.json", b"{\n  \"version\": 4294967295,\n"),
        ];
        for (name, text) in texts {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), text).unwrap();
            let newer = check(folder.path()).unwrap_err();
            assert_eq!(newer.path, folder.path().join(name));
            let said = newer.to_string();
            assert!(said.contains(name) && said.contains("Install that again"), "{said}");
        }
    }

    #[test]
    fn nonsense_is_for_the_readers_to_tell_of() {
        for (name, ..) in FORMATS {
            for text in
                [&b""[..], b"\xff\xff\xff", b"{\"version\":", b"siglatch nonce x", b"12345678 {\"begun\":[2]}", b"{}"]
            {
                let folder = tempfile::tempdir().unwrap();
                fs::write(folder.path().join(name), text).unwrap();
                assert_eq!(check(folder.path()), Ok(()), "{name}: {text:?}");
            }
        }
    }
}
