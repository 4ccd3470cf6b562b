//! The kernel's table of connections: what is in it, and forgetting. Never decides which.

use std::io;
use std::net::IpAddr;

use siglatch_common::address::Address;

use super::flow::{Flow, TUPLE_IP, TUPLE_ORIGINAL, V4_SOURCE, V6_SOURCE};
use crate::edge::firewall::netlink::Exchange;

/// A socket to the table, in the network namespace of the thread that opened it.
pub(super) struct Table(Exchange);

/// Which flows are asked for. A kernel before 5.8 gives all of that version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Query {
    /// Those that an address began, which is one of IPv4: asked for one of IPv6, the kernel (6.18) gives all but that.
    Source(Address),
    V4,
    V6,
}

impl Table {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(Exchange::open(libc::NETLINK_NETFILTER)?))
    }

    /// Those that the query means, and maybe more.
    pub(super) fn flows(&mut self, query: &Query) -> io::Result<Vec<Flow>> {
        let mut flows = Vec::new();
        let family = query.family();
        let dumped = self.0.ask(GET, DUMP, &[&header(family), &*query.filter()], |body| {
            flows.extend(body.get(HEADER_LEN..).and_then(|body| Flow::read(family, body)));
        });
        match dumped {
            // What went while the table was read is not missed; what came is as new as what comes right after.
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => Ok(flows),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => Err(untracked()),
            dumped => dumped.map(|()| flows),
        }
    }

    /// Forgets one; says whether it was there.
    pub(super) fn forget(&mut self, flow: &Flow) -> io::Result<bool> {
        match self.0.ask(DELETE, ACK, &[&header(flow.family), &flow.name], |_| {}) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Query {
    const fn family(&self) -> u8 {
        let is_v4 = match self {
            Self::Source(source) => source.is_v4(),
            Self::V4 => true,
            Self::V6 => false,
        };
        (if is_v4 { libc::AF_INET } else { libc::AF_INET6 }) as u8
    }

    /// Attributes that ask for one source only; none for everything.
    fn filter(&self) -> Vec<u8> {
        let Self::Source(source) = self else {
            return Vec::new();
        };
        let source = match IpAddr::from(*source) {
            IpAddr::V4(v4) => attribute(V4_SOURCE, &v4.octets()),
            IpAddr::V6(v6) => attribute(V6_SOURCE, &v6.octets()),
        };
        let tuple = attribute(TUPLE_ORIGINAL | NESTED, &attribute(TUPLE_IP | NESTED, &source));
        let flags =
            [attribute(FILTER_ORIGINAL, &BY_SOURCE.to_ne_bytes()), attribute(FILTER_REPLY, &0_u32.to_ne_bytes())];
        [tuple, attribute(FILTER | NESTED, &flags.concat())].concat()
    }
}

fn untracked() -> io::Error {
    let message = "this kernel does not tell of the connections that it tracks: try `modprobe nf_conntrack_netlink`";
    io::Error::new(io::ErrorKind::Unsupported, message)
}

/// `struct nfgenmsg`, `linux/netfilter/nfnetlink.h`.
const fn header(family: u8) -> [u8; HEADER_LEN] {
    [family, 0, 0, 0]
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 8);
    bytes.extend((value.len() as u16 + 4).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

const HEADER_LEN: usize = 4;

/// NFNL_SUBSYS_CTNETLINK and `enum cntl_msg_types`, `linux/netfilter/nfnetlink_conntrack.h`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;

/// CTA_FILTER and its attributes: which fields of the tuple count, of each direction.
const FILTER: u16 = 25;
const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
/// CTA_FILTER_F_CTA_IP_SRC, `nf_internals.h`.
const BY_SOURCE: u32 = 1;

/// NLA_F_NESTED, NLM_F_ACK and NLM_F_DUMP, `linux/netlink.h`.
const NESTED: u16 = 0x8000;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
