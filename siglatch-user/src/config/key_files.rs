//! What must be true of a file that holds a key. Never opens one itself: the caller brings them, and time zones, too.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use siglatch_common::seal::{GateKey, HmacKey, KeyFlaw};
use zeroize::Zeroizing;

use super::finding::{Code, Findings, Span};
use super::section::Located;
use crate::keys::{ServerKey, ServerKeyFlaw};

/// Where the contents of files come from: the disk, or a table in tests.
pub trait KeyFiles {
    /// The file at `path`, with what the system says of it.
    ///
    /// # Errors
    /// [`Unreadable`] says why there is nothing to judge.
    fn read(&self, path: &Path) -> Result<KeyFile, Unreadable>;

    /// What the system says of the file or folder at `path`.
    ///
    /// # Errors
    /// [`Unreadable`] says why there is nothing to judge.
    fn facts(&self, path: &Path) -> Result<Facts, Unreadable>;

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
    /// What the system says of it.
    pub facts: Facts,
}

/// Whose a file or a folder is, and what they may do with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
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
    /// We may, but for what this process gave up when it began its work.
    Withheld,
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
    files: &'a dyn KeyFiles,
    /// The user who the daemon becomes.
    reader: Option<(&'a str, Account)>,
    /// How many the daemon's user may not read, and where the first is named.
    closed: Cell<(usize, Option<Span>)>,
    /// Where key files were read from.
    folders: RefCell<Vec<PathBuf>>,
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
    let code = match flaw {
        ServerKeyFlaw::Size { bits: ..SERVER_KEY_BITS } => Code::ShortServerKey,
        ServerKeyFlaw::Size { .. }
        | ServerKeyFlaw::Form
        | ServerKeyFlaw::Pkcs1
        | ServerKeyFlaw::Encrypted
        | ServerKeyFlaw::Unsound => Code::KeyFileMalformed,
    };
    findings.report(code, path.span, message, how);
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
                Unreadable::Withheld => {
                    let message = format!(
                        "the running daemon may not read {shown}: it keeps to folders that it knew at its start"
                    );
                    (message, cabinet.how_to_reach(at))
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
    let facts = file.facts;
    cabinet.note_folder(at);
    cabinet.note_closed(facts, path.span);
    if facts.mode & OTHERS != 0 && !cabinet.is_for_daemon(facts) {
        let message = format!("{shown} is open to others (mode {:04o})", facts.mode & 0o7777);
        findings.report(Code::KeyFileExposed, path.span, message, cabinet.how_to_close(at));
    }
    if let Owner::Stranger { uid } = facts.owner {
        let message = format!("{shown} belongs to user {uid}, who could read and replace it");
        findings.report(Code::KeyFileOwner, path.span, message, format!("chown root {shown}"));
    }
    Some(file)
}

impl<'a> Cabinet<'a> {
    pub(super) const fn new(folder: &'a Path, files: &'a dyn KeyFiles, reader: Option<(&'a str, Account)>) -> Self {
        Self { folder, files, reader, closed: Cell::new((0, None)), folders: RefCell::new(Vec::new()) }
    }

    /// Whether those who may read the file besides root are the daemon's own group, and they may do nothing else with it.
    fn is_for_daemon(&self, facts: Facts) -> bool {
        let is_readers = self.reader.is_some_and(|(_, account)| account.gid == facts.group);
        is_readers && facts.owner == Owner::Root && facts.mode & OTHERS == GROUP_READS
    }

    /// The folders where key files are, and that of the configuration.
    pub(super) fn into_folders(self) -> Vec<PathBuf> {
        let mut folders = self.folders.into_inner();
        folders.push(self.folder.to_owned());
        folders.sort_unstable();
        folders.dedup();
        folders
    }

    fn note_folder(&self, at: &Path) {
        let Some(folder) = at.parent() else { return };
        let mut folders = self.folders.borrow_mut();
        // Most key files are in one folder; comparing texts is much faster than comparing paths.
        if folders.last().is_none_or(|last| last.as_os_str() != folder.as_os_str()) {
            folders.push(folder.to_owned());
        }
    }

    /// Counts a file of root's that the daemon, once it is somebody else, could not read again.
    fn note_closed(&self, facts: Facts, span: Span) {
        let Some((_, account)) = self.reader else { return };
        let is_open = facts.group == account.gid && facts.mode & GROUP_READS != 0;
        if facts.owner == Owner::Root && !is_open {
            let (number, first) = self.closed.get();
            self.closed.set((number + 1, first.or(Some(span))));
        }
    }

    /// Reports them, all at once: they are made in one way.
    pub(super) fn tell_closed(&self, findings: &mut Findings) {
        if let (Some((name, _)), (number @ 1.., first)) = (self.reader, self.closed.get()) {
            let which = if number == 1 { "this key file".to_owned() } else { format!("{number} key files") };
            let message = format!(
                "the daemon becomes {name}, who may not read {which}: once one has changed, no reload would succeed"
            );
            let help = format!("for each of them: chgrp \"$(id -gn {name})\" FILE; chmod 640 FILE");
            findings.report(Code::KeyFileClosed, first, message, help);
        }
    }

    fn how_to_reach(&self, at: &Path) -> String {
        let own = if self.folder == Path::new("") { Path::new(".") } else { self.folder };
        let other = at.parent().unwrap_or(own);
        format!(
            "put the file itself, and no link to it, below {}; or restart the daemon: from its next start on it reads {}",
            own.display(),
            other.display()
        )
    }

    fn how_to_close(&self, at: &Path) -> String {
        let shown = at.display();
        match self.reader {
            Some((name, _)) => format!("chown root: {shown}; chgrp \"$(id -gn {name})\" {shown}; chmod 640 {shown}"),
            None => format!("chmod 600 {shown}"),
        }
    }
}

/// Anything shorter can be broken.
const SERVER_KEY_BITS: usize = 2048;

/// Every permission of group and world.
const OTHERS: u32 = 0o077;

/// That the group may read.
const GROUP_READS: u32 = 0o040;
