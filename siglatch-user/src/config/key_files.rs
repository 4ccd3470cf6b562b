//! What must be true of a file that holds a key. Never opens one itself: the caller brings them, and time zones, too.

use std::path::Path;

use siglatch_common::seal::{GateKey, HmacKey, KeyFlaw};
use zeroize::Zeroizing;

use super::finding::{Code, Findings};
use super::section::Located;
use crate::keys::{ServerKey, ServerKeyFlaw};

/// Where the contents of files come from: the disk, or a table in tests.
pub trait KeyFiles {
    /// The file at `path`, with what the system says of it.
    ///
    /// # Errors
    /// [`Unreadable`] says why there is nothing to judge.
    fn read(&self, path: &Path) -> Result<KeyFile, Unreadable>;

    /// The rules of the time zone with that name, as RFC 9636 writes them. The name is a path of plain words: none of
    /// them empty, or with dots.
    ///
    /// # Errors
    /// [`Unreadable`] says why there is nothing to judge.
    fn zone(&self, name: &str) -> Result<Vec<u8>, Unreadable>;

    /// The user of this machine with that name or number.
    fn user(&self, name: &str) -> Option<Account>;

    /// The number of the group of this machine with that name or number.
    fn group(&self, name: &str) -> Option<u32>;
}

/// A user of this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Account {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
}

/// A key file as it was found.
#[derive(Debug)]
pub struct KeyFile {
    /// Wiped when dropped.
    pub contents: Zeroizing<Vec<u8>>,
    /// The permission bits, as `chmod` takes them.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// The number of its group.
    pub group: u32,
}

/// Whose a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// The user's who runs this program.
    Us,
    /// root's.
    Root,
    /// Somebody else's: they could read it, and replace it.
    Stranger {
        /// Their number.
        uid: u32,
    },
}

/// Why a file could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unreadable {
    /// There is none.
    Missing,
    /// We may not.
    Forbidden,
    /// A folder, a device or the like.
    NotAFile,
    /// Larger than any such file.
    TooLarge {
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// What the system says.
    Failed {
        /// In its words.
        reason: String,
    },
}

/// Where the key files of a configuration are, and who besides their owner may read them.
pub(super) struct Cabinet<'a> {
    /// Relative paths count from it.
    pub(super) folder: &'a Path,
    pub(super) files: &'a dyn KeyFiles,
    /// The user who the daemon becomes.
    pub(super) reader: Option<(&'a str, Account)>,
}

/// The server's key in the file named there, if it is sound; a finding for each reason why it is not.
pub(super) fn server_key(path: Located<&str>, cabinet: &Cabinet<'_>, findings: &mut Findings) -> Option<ServerKey> {
    let at = cabinet.folder.join(path.value);
    let how =
        format!("make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {}", at.display());
    let file = open(path, &at, &how, cabinet, findings)?;
    let flaw = match std::str::from_utf8(&file.contents) {
        Ok(text) if text.contains("-----BEGIN PUBLIC KEY-----") => {
            let message = format!("{} holds a public key; the server needs the private one", at.display());
            findings.report(Code::KeyFileMalformed, path.span, message, "name the file that was made together with it");
            return None;
        }
        Ok(text) => match ServerKey::from_pem(text) {
            Ok(key) => return Some(key),
            Err(flaw) => flaw,
        },
        Err(_) => ServerKeyFlaw::Form,
    };
    let message = match file.contents.is_empty() {
        true => format!("{} is empty", at.display()),
        false => format!("{}: {flaw}", at.display()),
    };
    findings.report(Code::KeyFileMalformed, path.span, message, how);
    None
}

/// A user's key in the file named there, if it is sound; a finding for each reason why it is not.
pub(super) fn user_key(path: Located<&str>, cabinet: &Cabinet<'_>, findings: &mut Findings) -> Option<HmacKey> {
    let at = cabinet.folder.join(path.value);
    let how = format!("make one with: (umask 077; openssl rand -hex 32 > {})", at.display());
    let file = open(path, &at, &how, cabinet, findings)?;
    let flaw = match HmacKey::parse(&file.contents) {
        Ok(key) => return Some(key),
        Err(flaw) => flaw,
    };
    let message = match flaw {
        KeyFlaw::Form if file.contents.is_empty() => format!("{} is empty", at.display()),
        KeyFlaw::Form if file.contents.starts_with(b"-----BEGIN") => {
            format!("{} holds PEM; a user's key is 32 raw bytes or 64 hex digits", at.display())
        }
        KeyFlaw::Form | KeyFlaw::Zero => format!("{}: {flaw}", at.display()),
    };
    findings.report(Code::KeyFileMalformed, path.span, message, how);
    None
}

/// A gate key in the file named there, if it is sound; a finding for each reason why it is not.
pub(super) fn gate_key(path: Located<&str>, cabinet: &Cabinet<'_>, findings: &mut Findings) -> Option<GateKey> {
    let at = cabinet.folder.join(path.value);
    let how = format!("make one with: (umask 077; openssl rand -hex 16 > {})", at.display());
    let file = open(path, &at, &how, cabinet, findings)?;
    let flaw = match GateKey::parse(&file.contents) {
        Ok(key) => return Some(key),
        Err(flaw) => flaw,
    };
    let message = match flaw {
        KeyFlaw::Form if file.contents.is_empty() => format!("{} is empty", at.display()),
        KeyFlaw::Form => format!("{}: a gate key is 16 raw bytes or 32 hex digits", at.display()),
        KeyFlaw::Zero => format!("{}: {flaw}", at.display()),
    };
    findings.report(Code::KeyFileMalformed, path.span, message, how);
    None
}

fn open(path: Located<&str>, at: &Path, how: &str, cabinet: &Cabinet<'_>, findings: &mut Findings) -> Option<KeyFile> {
    let shown = at.display();
    let file = match cabinet.files.read(at) {
        Ok(file) => file,
        Err(Unreadable::Missing) => {
            findings.report(Code::KeyFileMissing, path.span, format!("there is no key file {shown}"), how);
            return None;
        }
        Err(reason) => {
            let (message, help) = match reason {
                Unreadable::Missing | Unreadable::Forbidden => {
                    (format!("may not read {shown}"), format!("run as root, or as the owner of {shown}"))
                }
                Unreadable::NotAFile => (format!("{shown} is not a file"), "name a file that holds the key".to_owned()),
                Unreadable::TooLarge { limit } => {
                    (format!("{shown} is larger than {limit} bytes"), "name a file that holds only the key".to_owned())
                }
                Unreadable::Failed { reason } => (format!("cannot read {shown}: {reason}"), how.to_owned()),
            };
            findings.report(Code::KeyFileUnreadable, path.span, message, help);
            return None;
        }
    };
    if file.mode & OTHERS != 0 && !cabinet.is_for_daemon(&file) {
        let message = format!("{shown} is open to others (mode {:04o})", file.mode & 0o7777);
        findings.report(Code::KeyFileExposed, path.span, message, cabinet.how_to_close(at));
    }
    if let Owner::Stranger { uid } = file.owner {
        let message = format!("{shown} belongs to user {uid}, who could read and replace it");
        findings.report(Code::KeyFileOwner, path.span, message, format!("chown root {shown}"));
    }
    Some(file)
}

impl Cabinet<'_> {
    /// Whether those who may read the file besides root are the daemon's own group, and they may do nothing else with it.
    fn is_for_daemon(&self, file: &KeyFile) -> bool {
        let is_readers = self.reader.is_some_and(|(_, account)| account.gid == file.group);
        is_readers && file.owner == Owner::Root && file.mode & OTHERS == GROUP_READS
    }

    fn how_to_close(&self, at: &Path) -> String {
        let shown = at.display();
        match self.reader {
            Some((name, _)) => format!("chown root: {shown}; chgrp \"$(id -gn {name})\" {shown}; chmod 640 {shown}"),
            None => format!("chmod 600 {shown}"),
        }
    }
}

/// Every permission of group and world.
const OTHERS: u32 = 0o077;

/// That the group may read.
const GROUP_READS: u32 = 0o040;
