//! A scan of every port, faster than any scanner's: SYNs and datagrams without waiting. Never listens for answers; the
//! capture does.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use anyhow::{Context as _, Result};
use siglatch_common::wire::Wire;
use siglatch_tests::packet::{Frame, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::town::{Family, Host, KNOCKS, Town};

/// Sends one SYN and one datagram to every port, and datagrams of a knock's length to the knock port; says how many
/// packets that were.
pub(crate) fn scan(town: &Town, by: &Host, family: Family) -> Result<u64> {
    by.place.within(|| send(town, by, family))?
}

fn send(town: &Town, by: &Host, family: Family) -> Result<u64> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    // Raw sockets of this number take whole packets, headers included (raw(7)).
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    let from = SocketAddr::new(by.address(family), SOURCE_PORT);
    let mut count = 0;
    let mut packet = |to: SocketAddr, payload: &[u8], transport: Transport| {
        let built = Frame::udp(from, to, payload).carrying(transport).build();
        count += 1;
        let to = match to {
            SocketAddr::V4(to) => SocketAddr::from(SocketAddrV4::new(*to.ip(), 0)),
            SocketAddr::V6(to) => SocketAddr::from(SocketAddrV6::new(*to.ip(), 0, 0, 0)),
        };
        socket.send_to(&built.bytes[built.ip_at..], &to.into()).context("the scan cannot send")
    };
    for port in 1..=u16::MAX {
        packet(town.service(port, family), &[], Transport::Tcp(SYN))?;
        packet(town.service(port, family), b"?", Transport::Udp)?;
    }
    for _ in 0..10 {
        packet(town.service(KNOCKS, family), &[0x5a; Wire::Stamped.datagram_len() as usize], Transport::Udp)?;
    }
    Ok(count)
}

const SOURCE_PORT: u16 = 40_000;
/// RFC 9293, section 3.1.
const SYN: u8 = 0x02;
