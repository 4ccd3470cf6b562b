//! The cast of the packet tables, and every header shape that a datagram to the gateway can have.
//! Never judges a frame.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use siglatch_common::address::Address;
use siglatch_common::layout::PortRule;
use siglatch_common::wire::Wire;

use crate::packet::{Extension, Frame, Tag};

/// The gateway's addresses (RFC 5737, RFC 3849).
pub const GATEWAY: Pair = Pair::documentation(1);
/// Somebody outside.
pub const STRANGER: Pair = Pair::documentation(77);
/// A host behind the gateway.
pub const BEHIND: Pair = Pair::documentation(200);

/// Knock port of the sealed wire.
pub const SEALED_PORT: u16 = 62201;
/// Knock port of the clear wire.
pub const CLEAR_PORT: u16 = 62205;
/// The knock ports of the tables.
pub const PORTS: [PortRule; 2] = [PortRule::new(SEALED_PORT, Wire::Sealed), PortRule::new(CLEAR_PORT, Wire::Clear)];

/// Where the stranger's datagrams come from.
pub const SOURCE_PORT: u16 = 40_000;

/// One host's addresses, one of each family.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
}

/// The headers in front of a UDP datagram.
#[derive(Clone, Debug)]
pub struct Shape {
    /// VLAN tags, the outermost first.
    pub tags: Vec<Tag>,
    /// What follows them.
    pub ip: Ip,
}

/// The IP header and what belongs to it.
#[derive(Clone, Debug)]
pub enum Ip {
    /// With so many 32-bit words of options.
    V4(u8),
    /// With these extension headers.
    V6(Vec<Extension>),
}

impl Pair {
    const fn documentation(host: u8) -> Self {
        Self { v4: Ipv4Addr::new(192, 0, 2, host), v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host as u16) }
    }

    /// The address of one family.
    #[must_use]
    pub const fn of(self, v4: bool) -> IpAddr {
        if v4 { IpAddr::V4(self.v4) } else { IpAddr::V6(self.v6) }
    }

    /// Both, as the maps hold them.
    #[must_use]
    pub fn addresses(self) -> [Address; 2] {
        [IpAddr::V4(self.v4).into(), IpAddr::V6(self.v6).into()]
    }
}

impl Shape {
    /// Every shape that must be read down to its UDP header.
    #[must_use]
    pub fn all() -> Vec<Self> {
        tag_stacks().iter().flat_map(|tags| ips().into_iter().map(|ip| Self { tags: tags.clone(), ip })).collect()
    }

    /// The barest shape of each family.
    #[must_use]
    pub fn plain() -> [Self; 2] {
        [Self { tags: Vec::new(), ip: Ip::V4(0) }, Self { tags: Vec::new(), ip: Ip::V6(Vec::new()) }]
    }

    /// Whether it is IPv4.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        matches!(self.ip, Ip::V4(_))
    }

    /// The stranger's datagram to a port of the gateway.
    #[must_use]
    pub fn to_gateway(&self, port: u16, payload: &[u8]) -> Frame {
        let v4 = self.is_v4();
        let from = SocketAddr::new(STRANGER.of(v4), SOURCE_PORT);
        let frame = Frame::udp(from, SocketAddr::new(GATEWAY.of(v4), port), payload).behind(&self.tags);
        match &self.ip {
            Ip::V4(words) => frame.with_options(*words),
            Ip::V6(extensions) => frame.with_extensions(extensions),
        }
    }
}

fn tag_stacks() -> [Vec<Tag>; 5] {
    let (customer, service) = (Tag::Customer(10), Tag::Service(20));
    [vec![], vec![customer], vec![service], vec![service, customer], vec![customer, Tag::Customer(4094)]]
}

fn ips() -> Vec<Ip> {
    use Extension::{Authentication, Destination, Fragment, HopByHop, Routing};

    let chains = [
        vec![],
        vec![HopByHop(0)],
        vec![HopByHop(12)],
        vec![Destination(1)],
        vec![Routing { units: 0, left: 0 }],
        vec![Routing { units: 4, left: 0 }],
        vec![Authentication(4)],
        // RFC 6946: a datagram in one piece, with a fragment header all the same.
        vec![Fragment { offset: 0, more: false }],
        vec![
            HopByHop(0),
            Destination(0),
            Routing { units: 2, left: 0 },
            Fragment { offset: 0, more: false },
            Authentication(3),
            Destination(2),
        ],
        vec![Destination(0); LONGEST_CHAIN],
    ];
    let v6 = chains.into_iter().map(Ip::V6);
    [0, 1, 5, 10].into_iter().map(Ip::V4).chain(v6).collect()
}

/// Extension headers that are followed before a datagram counts as none of the filter's business.
pub const LONGEST_CHAIN: usize = 8;

/// A payload of this length in which no two neighbouring bytes are alike.
#[must_use]
pub fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ 0x5a).collect()
}
