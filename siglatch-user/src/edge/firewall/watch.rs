//! Tells that somebody else changed the table: from the kernel's own notifications. Never repairs anything.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netlink_sys::Socket;
use socket2::{SockFilter, SockRef};

use super::FirewallError;
use super::netlink::{INBOX_LEN, Message, SUBSYSTEM, messages};
use super::target::Target;

/// Hears of changes by others. Waiting blocks; whoever has an event loop polls the descriptor and calls
/// [`Watcher::check`].
pub struct Watcher {
    socket: Socket,
    subject: Subject,
    inbox: Vec<u8>,
}

/// What somebody else did, or may have done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// The table was deleted or altered: `nft flush ruleset` does that.
    Table,
    /// A chain.
    Chain,
    /// A rule.
    Rule,
    /// A set.
    Set,
    /// The elements of a set.
    Elements,
    /// Something else in the table.
    Object,
    /// Notifications were lost: anything may have happened.
    Unknown,
}

/// Which notifications count.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) target: Target,
    /// What its sets of grants are called now.
    pub(super) sets: Names,
    /// The port of the socket that our own changes come from.
    pub(super) own_port: u32,
    /// Whether the whole table is ours, or only the sets of grants.
    pub(super) whole_table: bool,
}

/// The names of the sets of grants. A firewall that takes others tells its watchers through it.
#[derive(Clone, Debug)]
pub(super) struct Names(Arc<Mutex<Vec<String>>>);

impl Names {
    pub(super) fn new(target: &Target) -> Self {
        Self(Arc::new(Mutex::new(list(target))))
    }

    /// From now on, those of this target.
    pub(super) fn set(&self, target: &Target) {
        *self.lock() = list(target);
    }

    fn contain(&self, set: &[u8]) -> bool {
        self.lock().iter().any(|name| name.as_bytes() == set)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn list(target: &Target) -> Vec<String> {
    target.sets().map(|(_, set)| set.to_owned()).collect()
}

impl Watcher {
    pub(super) fn open(subject: Subject) -> Result<Self, FirewallError> {
        let open = || {
            let mut socket = Socket::new(libc::NETLINK_NETFILTER as isize)?;
            socket.bind_auto()?;
            SockRef::from(&socket).attach_filter(&not_from(subject.own_port))?;
            socket.add_membership(libc::NFNLGRP_NFTABLES as u32)?;
            Ok(socket)
        };
        let socket = open().map_err(|error| FirewallError::kernel("watch nftables", error))?;
        Ok(Self { socket, subject, inbox: Vec::with_capacity(INBOX_LEN) })
    }

    /// Waits for a change by somebody else; several that have piled up are one.
    ///
    /// # Errors
    /// [`FirewallError::Kernel`] if the socket is of no more use.
    pub fn wait(&mut self) -> Result<Change, FirewallError> {
        loop {
            if let Some(change) = self.read(0)? {
                self.check()?;
                return Ok(change);
            }
        }
    }

    /// The change that has been notified since the last call, if any. Does not wait.
    ///
    /// # Errors
    /// [`FirewallError::Kernel`] if the socket is of no more use.
    pub fn check(&mut self) -> Result<Option<Change>, FirewallError> {
        let mut first = None;
        while let Some(change) = self.read(libc::MSG_DONTWAIT)? {
            first = first.or(Some(change));
        }
        Ok(first)
    }

    /// Reads datagrams up to one that counts, or to the end if `flags` say not to wait.
    fn read(&mut self, flags: libc::c_int) -> Result<Option<Change>, FirewallError> {
        loop {
            self.inbox.clear();
            match self.socket.recv(&mut self.inbox, flags) {
                Ok(_) => {
                    if let Some(change) = messages(&self.inbox).find_map(|message| self.subject.change(&message)) {
                        return Ok(Some(change));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Some(Change::Unknown)),
                Err(error) => return Err(FirewallError::kernel("watch nftables", error)),
            }
        }
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Chain => "chain",
            Self::Rule => "rule",
            Self::Set => "set",
            Self::Elements => "elements",
            Self::Object => "object",
            Self::Unknown => "unknown",
        })
    }
}

impl Subject {
    /// What the message says of our table, if somebody else caused it.
    fn change(&self, message: &Message<'_>) -> Option<Change> {
        if message.port == self.own_port || message.kind >> 8 != SUBSYSTEM {
            return None;
        }
        let (change, adds) = kind(message.kind & 0xff)?;
        let [family, ..] = *message.body else {
            return None;
        };
        let attributes = message.body.get(4..)?;
        if family != self.target.family.number() || attribute(attributes, TABLE)? != self.target.table.as_bytes() {
            return None;
        }
        let counts = self.whole_table
            || match change {
                Change::Table => true,
                Change::Set | Change::Elements => !adds && self.sets.contain(attribute(attributes, SET)?),
                Change::Chain | Change::Rule | Change::Object | Change::Unknown => false,
            };
        counts.then_some(change)
    }
}

/// What a notification is about, and whether it tells of something new: `enum nf_tables_msg_types`,
/// `linux/netfilter/nf_tables.h`.
fn kind(message: u16) -> Option<(Change, bool)> {
    match message {
        0 => Some((Change::Table, true)),
        2 => Some((Change::Table, false)),
        3 => Some((Change::Chain, true)),
        5 => Some((Change::Chain, false)),
        6 => Some((Change::Rule, true)),
        8 => Some((Change::Rule, false)),
        9 => Some((Change::Set, true)),
        11 => Some((Change::Set, false)),
        12 => Some((Change::Elements, true)),
        14 => Some((Change::Elements, false)),
        18 | 22 => Some((Change::Object, true)),
        20 | 24 => Some((Change::Object, false)),
        _ => None,
    }
}

/// The text of the first attribute of that kind, without its final zero.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some([l0, l1, k0, k1]) = attributes.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([*k0, *k1]) == wanted {
            return Some(value.strip_suffix(&[0]).unwrap_or(value));
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// In messages of every kind the first attribute names the table, and the second, where there are sets, the set:
/// `NFTA_*_TABLE`, `NFTA_TABLE_NAME`, `NFTA_SET_NAME`, `NFTA_SET_ELEM_LIST_SET`.
const TABLE: u16 = 1;
const SET: u16 = 2;

/// A socket filter that drops what `port` caused, so that our own writes wake nobody. All messages of one datagram
/// have one cause.
fn not_from(port: u32) -> [SockFilter; 4] {
    // The kernel loads as from the network, and stores ports in its own byte order, 12 bytes into the header.
    let port = u32::from_be_bytes(port.to_ne_bytes());
    let code = |parts: [u32; 3]| parts.into_iter().fold(0, |code, part| code | part as u16);
    [
        SockFilter::new(code([libc::BPF_LD, libc::BPF_W, libc::BPF_ABS]), 0, 0, 12),
        SockFilter::new(code([libc::BPF_JMP, libc::BPF_JEQ, libc::BPF_K]), 0, 1, port),
        SockFilter::new(code([libc::BPF_RET, libc::BPF_K, 0]), 0, 0, 0),
        SockFilter::new(code([libc::BPF_RET, libc::BPF_K, 0]), 0, 0, u32::MAX),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OperatorSets, OwnTable};

    #[test]
    fn our_own_changes_and_other_tables_do_not_count() {
        let subject = own();
        assert_eq!(subject.change(&message(0x0a02, 8, &body(1, b"siglatch\0", b""))), Some(Change::Table));
        assert_eq!(subject.change(&message(0x0a02, 7, &body(1, b"siglatch\0", b""))), None);
        assert_eq!(subject.change(&message(0x0a02, 8, &body(2, b"siglatch\0", b""))), None);
        assert_eq!(subject.change(&message(0x0a02, 8, &body(1, b"siglatch2\0", b""))), None);
        assert_eq!(subject.change(&message(0x0102, 8, &body(1, b"siglatch\0", b""))), None);
        // A new generation has its number where others have the table.
        assert_eq!(subject.change(&message(0x0a0f, 8, &body(1, b"siglatch\0", b""))), None);
    }

    #[test]
    fn in_the_operators_table_only_losses_of_our_sets_count() {
        let sets = OperatorSets {
            family: "inet".to_owned(),
            table: "filter".to_owned(),
            v4: Some("knockers".to_owned()),
            ..OperatorSets::default()
        };
        let target = Target::operator(&sets).unwrap();
        let subject = Subject { sets: Names::new(&target), target, own_port: 7, whole_table: false };
        let of = |kind, set: &[u8]| subject.change(&message(kind, 8, &body(1, b"filter\0", set)));
        assert_eq!(of(0x0a0e, b"knockers\0"), Some(Change::Elements));
        assert_eq!(of(0x0a0b, b"knockers\0"), Some(Change::Set));
        assert_eq!(of(0x0a0c, b"knockers\0"), None);
        assert_eq!(of(0x0a0e, b"others\0"), None);
        assert_eq!(of(0x0a06, b"knockers\0"), None);
        assert_eq!(of(0x0a02, b""), Some(Change::Table));
        subject.sets.set(&Target::operator(&OperatorSets { v4: Some("others".to_owned()), ..sets }).unwrap());
        assert_eq!([of(0x0a0e, b"knockers\0"), of(0x0a0e, b"others\0")], [None, Some(Change::Elements)]);
    }

    #[test]
    fn messages_cut_short_are_nobodys() {
        let whole = body(1, b"siglatch\0", b"");
        for cut in 0..whole.len() {
            let change = own().change(&message(0x0a02, 8, &whole[..cut]));
            assert_eq!(change.is_some(), cut >= 4 + 4 + 9, "{cut}");
        }
    }

    fn own() -> Subject {
        let target = Target::own(&OwnTable::default());
        Subject { sets: Names::new(&target), target, own_port: 7, whole_table: true }
    }

    fn message(kind: u16, port: u32, body: &[u8]) -> Message<'_> {
        Message { kind, flags: 0, sequence: 0, port, body }
    }

    fn body(family: u8, table: &[u8], set: &[u8]) -> Vec<u8> {
        let mut bytes = vec![family, 0, 0, 0];
        for (kind, text) in [(TABLE, table), (SET, set)] {
            if text.is_empty() {
                continue;
            }
            bytes.extend((text.len() as u16 + 4).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(text);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }
}
