//! The socket on which set elements are read and written: whole transactions, their answers, and dumps. Never
//! decides what to write.

use std::io;

use netlink_bindings::nftables::{Chained, Nfgenmsg, SetAttrs, TableAttrs};
use netlink_sys::{Socket, SocketAddr};

use crate::gate::GrantKey;

use super::elements::{self, Element};
use super::sets::Shape;
use super::target::Target;

/// A socket to nf_tables, in the network namespace of the thread that opened it.
pub(super) struct Netlink {
    socket: Socket,
    port: u32,
    sequence: u32,
    outbox: Vec<u8>,
    inbox: Vec<u8>,
}

/// A socket for questions to one of the kernel's families, one at a time, in the network namespace of the thread that
/// opened it.
pub(in crate::edge) struct Exchange {
    socket: Socket,
    sequence: u32,
    inbox: Vec<u8>,
}

/// One message of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Message<'a> {
    /// The subsystem in the high byte, what happened in the low one.
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// The port of the socket whose request caused it.
    pub(super) port: u32,
    /// Behind the header.
    pub(super) body: &'a [u8],
}

impl Netlink {
    /// Opens the socket. Needs no privilege yet; every use of it does.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(libc::NETLINK_NETFILTER as isize)?;
        let port = socket.bind_auto()?.port_number();
        // Answers without a copy of the request: a refused batch would not fit the inbox.
        socket.set_cap_ack(true)?;
        Ok(Self { socket, port, sequence: 1, outbox: Vec::new(), inbox: Vec::with_capacity(INBOX_LEN) })
    }

    /// What notifications name as the cause of our changes.
    pub(super) const fn port(&self) -> u32 {
        self.port
    }

    /// Carries out all messages that `build` adds, at least one, or none of them.
    ///
    /// # Errors
    /// The kernel's answer to the first message that it refused.
    pub(super) fn transact(&mut self, build: impl FnOnce(&mut Chained<'_>)) -> io::Result<()> {
        let first = self.sequence;
        let mut chain = Chained::new_with_buf(&mut self.outbox, first);
        let _ = chain.request().op_batch_begin_do(&batch_header());
        build(&mut chain);
        let _ = chain.request().op_batch_end_do(&batch_header());
        drop(chain.finalize());
        let length = messages(&self.outbox).count() as u32;
        self.sequence = first.wrapping_add(length);
        // What is refused is answered in any case; of what is done, the last message before the end tells enough.
        let last = length.saturating_sub(2);
        ask_answer_of(last as usize, &mut self.outbox);
        self.socket.send_to(&self.outbox, &SocketAddr::new(0, 0), 0)?;

        // The kernel works in our call: all answers wait in the socket, refusals before the last message's.
        let mut refused = None;
        loop {
            self.inbox.clear();
            match self.socket.recv(&mut self.inbox, libc::MSG_DONTWAIT) {
                Err(end) if end.kind() == io::ErrorKind::WouldBlock => {
                    return Err(refused.unwrap_or_else(|| io::Error::other("the kernel did not answer")));
                }
                Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            for message in messages(&self.inbox) {
                let index = message.sequence.wrapping_sub(first);
                match message.outcome() {
                    Some(Ok(())) if index == last && refused.is_none() => return Ok(()),
                    Some(Err(error)) if index < length => refused = refused.or(Some(error)),
                    Some(_) | None => {}
                }
            }
        }
    }

    /// Whether the table exists, and its flags if it does.
    pub(super) fn table_flags(&mut self, target: &Target) -> io::Result<Option<u32>> {
        let mut flags = None;
        let answer = self.ask(
            |chain| {
                let mut message = chain.request().op_gettable_do(&elements::header(target));
                let _ = message.encode().push_name_bytes(target.table.as_bytes());
            },
            |attributes| flags = Some(TableAttrs::new(attributes).get_flags().unwrap_or(0)),
        );
        absent_is_none(answer)?;
        Ok(flags)
    }

    /// What the set holds; nothing if the table or the set is missing.
    pub(super) fn shape(&mut self, target: &Target, set: &str) -> io::Result<Option<Shape>> {
        let mut shape = None;
        let answer = self.ask(
            |chain| {
                let mut message = chain.request().op_getset_do(&elements::header(target));
                let _ = message.encode().push_table_bytes(target.table.as_bytes()).push_name_bytes(set.as_bytes());
            },
            |attributes| shape = Some(Shape::read(&SetAttrs::new(attributes))),
        );
        absent_is_none(answer)?;
        Ok(shape)
    }

    /// Every element of a set.
    pub(super) fn elements(&mut self, target: &Target, set: &str) -> io::Result<Vec<Element>> {
        self.dump(
            |chain| {
                let mut message = chain.request().op_getsetelem_dump(&elements::header(target));
                let _ = message.encode().push_table_bytes(target.table.as_bytes()).push_set_bytes(set.as_bytes());
            },
            |attributes, found| found.extend(elements::read(attributes)),
        )
    }

    /// One element of a set; nothing if it is not there.
    pub(super) fn element(&mut self, target: &Target, set: &str, key: &GrantKey) -> io::Result<Option<Element>> {
        let mut found = None;
        let answer = self.ask(
            |chain| {
                let mut message = chain.request().op_getsetelem_do(&elements::header(target));
                let _ = message
                    .encode()
                    .push_table_bytes(target.table.as_bytes())
                    .push_set_bytes(set.as_bytes())
                    .nested_elements()
                    .nested_elem()
                    .nested_key()
                    .push_value(&elements::key_bytes(key));
            },
            |attributes| found = elements::read(attributes).into_iter().next(),
        );
        absent_is_none(answer)?;
        Ok(found)
    }

    /// Collects what `read` makes of every answer to a request; asks again if something changed meanwhile.
    pub(super) fn dump<T>(
        &mut self,
        build: impl Fn(&mut Chained<'_>),
        read: impl Fn(&[u8], &mut Vec<T>),
    ) -> io::Result<Vec<T>> {
        let mut attempt = 1;
        loop {
            let mut found = Vec::new();
            match self.ask(&build, |attributes| read(attributes, &mut found)) {
                Ok(()) => return Ok(found),
                Err(error) if error.raw_os_error() == Some(libc::EINTR) && attempt < DUMP_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends one request and hands over the attributes of every answer.
    fn ask(&mut self, build: impl FnOnce(&mut Chained<'_>), mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let mut chain = Chained::new_with_buf(&mut self.outbox, sequence);
        build(&mut chain);
        drop(chain.finalize());
        self.socket.send_to(&self.outbox, &SocketAddr::new(0, 0), 0)?;

        hear(&self.socket, &mut self.inbox, sequence, |body| each(body.get(Nfgenmsg::len()..).unwrap_or_default()))
    }
}

impl Exchange {
    /// Opens a socket to a family: NETLINK_*, `linux/netlink.h`.
    pub(in crate::edge) fn open(family: libc::c_int) -> io::Result<Self> {
        let mut socket = Socket::new(family as isize)?;
        socket.bind_auto()?;
        Ok(Self { socket, sequence: 0, inbox: Vec::with_capacity(INBOX_LEN) })
    }

    /// Sends a message of these parts, and hands over the body of every answer.
    ///
    /// # Errors
    /// The kernel's answer; EINTR if something changed between two parts of a dump.
    pub(in crate::edge) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        parts: &[&[u8]],
        each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEADER_LEN + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut message = Vec::with_capacity(length);
        message.extend((length as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((flags | REQUEST).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        parts.iter().for_each(|part| message.extend(*part));
        self.socket.send_to(&message, &SocketAddr::new(0, 0), 0)?;
        hear(&self.socket, &mut self.inbox, self.sequence, each)
    }
}

/// Hands over the body of every answer to a request, until it has ended.
fn hear(socket: &Socket, inbox: &mut Vec<u8>, sequence: u32, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut interrupted = false;
    loop {
        inbox.clear();
        match socket.recv(inbox, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        for message in messages(inbox).filter(|message| message.sequence == sequence) {
            interrupted |= message.flags & DUMP_INTERRUPTED != 0;
            match message.outcome() {
                Some(Ok(())) if interrupted => return Err(io::Error::from_raw_os_error(libc::EINTR)),
                Some(outcome) => return outcome,
                None => each(message.body),
            }
        }
    }
}

impl Message<'_> {
    /// How the request ended, if this message says so.
    fn outcome(&self) -> Option<io::Result<()>> {
        if i32::from(self.kind) != libc::NLMSG_ERROR && i32::from(self.kind) != libc::NLMSG_DONE {
            return None;
        }
        match self.body.first_chunk().copied().map(i32::from_ne_bytes) {
            Some(0) => Some(Ok(())),
            Some(errno) => Some(Err(io::Error::from_raw_os_error(errno.wrapping_neg()))),
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// Takes a datagram apart; stops at what is cut short.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.first_chunk::<HEADER_LEN>()?;
        let word = |at: usize| Some(u32::from_ne_bytes(*header.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_ne_bytes(*header.get(at..)?.first_chunk()?));
        let length = usize::try_from(word(0)?).ok()?;
        let body = datagram.get(HEADER_LEN..length)?;
        let message = Message { kind: half(4)?, flags: half(6)?, sequence: word(8)?, port: word(12)?, body };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Leaves the wish for an answer to success on the message at `index` only.
fn ask_answer_of(index: usize, batch: &mut [u8]) {
    let lengths: Vec<usize> = messages(batch).map(|message| HEADER_LEN + message.body.len()).collect();
    let mut at = 0;
    for (place, length) in lengths.into_iter().enumerate() {
        if let Some([low, high]) = batch.get_mut(at + 6..at + 8) {
            let mut flags = u16::from_ne_bytes([*low, *high]) & !ACK;
            if place == index {
                flags |= ACK;
            }
            [*low, *high] = flags.to_ne_bytes();
        }
        at += length.next_multiple_of(4);
    }
}

fn absent_is_none(answer: io::Result<()>) -> io::Result<()> {
    match answer {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        answer => answer,
    }
}

/// The subsystem that a transaction is for stands in network byte order: NFNL_SUBSYS_NFTABLES.
fn batch_header() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.set_res_id(SUBSYSTEM);
    header
}

/// NFNL_SUBSYS_NFTABLES, `linux/netfilter/nfnetlink.h`.
pub(super) const SUBSYSTEM: u16 = 10;

/// `struct nlmsghdr`, `linux/netlink.h`.
const HEADER_LEN: usize = 16;

/// NLM_F_REQUEST, `linux/netlink.h`.
const REQUEST: u16 = 0x1;

/// NLM_F_ACK, `linux/netlink.h`.
const ACK: u16 = 0x4;

/// NLM_F_DUMP_INTR, `linux/netlink.h`: something changed between two parts of the dump.
const DUMP_INTERRUPTED: u16 = 0x10;

const DUMP_ATTEMPTS: u32 = 8;

/// The kernel fills at most 32 KiB of what a reader offers.
pub(super) const INBOX_LEN: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_comes_apart_and_cut_ones_do_not_panic() {
        let datagram = [message(2, 7, &[0; 20]), message(3, 8, &[1, 2, 3])].concat();
        let found: Vec<_> = messages(&datagram).map(|message| (message.kind, message.sequence)).collect();
        assert_eq!(found, [(2, 7), (3, 8)]);
        for cut in 0..datagram.len() {
            let whole = messages(&datagram[..cut]).count();
            assert_eq!(whole, usize::from(cut >= 36) + usize::from(cut >= 36 + 19), "{cut}");
        }
    }

    #[test]
    fn a_length_shorter_than_its_header_ends_the_datagram() {
        for length in 0..16_u32 {
            let mut datagram = message(2, 7, &[0; 20]);
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&datagram).count(), 0, "{length}");
        }
    }

    #[test]
    fn one_message_asks_for_an_answer() {
        let mut batch = [message(2, 7, &[0; 5]), message(3, 8, &[]), message(4, 9, &[1])].concat();
        ask_answer_of(1, &mut batch);
        assert_eq!(messages(&batch).map(|message| message.flags).collect::<Vec<_>>(), [0, ACK, 0]);
        ask_answer_of(2, &mut batch);
        assert_eq!(messages(&batch).map(|message| message.flags).collect::<Vec<_>>(), [0, 0, ACK]);
    }

    #[test]
    fn errors_are_the_kernels_negated() {
        let refusal = message(2, 7, &(-libc::ENOENT).to_ne_bytes());
        let outcome = messages(&refusal).next().unwrap().outcome().unwrap();
        assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::ENOENT));
        let cut_short = message(2, 7, &[0]);
        assert!(messages(&cut_short).next().unwrap().outcome().unwrap().is_err());
    }

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((HEADER_LEN as u32 + body.len() as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0, 0]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}
