//! Ends the TCP sockets of this host's services that are meant. Never decides whose.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use siglatch_common::address::Address;

use super::flow::Ends;
use crate::edge::firewall::netlink::Exchange;
use crate::gate::{GrantKey, Whose};
use crate::policy::{Protocol, Service};

/// Ends them; each client is told by a reset.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] if the kernel cannot.
pub(super) fn end(whose: &Whose, mut is_own: impl FnMut(Address) -> bool) -> io::Result<HashSet<Ends>> {
    let here = whose.here().into_iter().filter(|service| service.protocol == Protocol::Tcp);
    let ports: BTreeSet<u16> = here.map(|service| service.port).collect();
    let mut ended = HashSet::new();
    if ports.is_empty() {
        return Ok(ended);
    }
    let mut kernel = Exchange::open(libc::NETLINK_SOCK_DIAG).map_err(unsupported)?;
    for port in ports {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut found = Vec::new();
            let asked = request(family as u8, port);
            let read = kernel.ask(BY_FAMILY, DUMP, &[&asked], |body| found.extend(Connection::read(body)));
            match read {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                read => read.map_err(unsupported)?,
            }
            for Connection { ends, id } in found {
                let key = GrantKey { source: ends.client, destination: None, service: ends.service };
                if !whose.means(&key, || is_own(ends.client)) {
                    continue;
                }
                let mut named = asked;
                if let Some(place) = named.get_mut(ID) {
                    place.copy_from_slice(&id);
                }
                match kernel.ask(DESTROY, ACK, &[&named], |_| {}) {
                    Ok(()) => drop(ended.insert(ends)),
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                    Err(error) => return Err(unsupported(error)),
                }
            }
        }
    }
    Ok(ended)
}

/// A socket with somebody at the other end.
struct Connection {
    ends: Ends,
    /// What names it to the kernel.
    id: [u8; ID_LEN],
}

impl Connection {
    /// Reads a `struct inet_diag_msg`, `linux/inet_diag.h`.
    fn read(body: &[u8]) -> Option<Self> {
        let id: [u8; ID_LEN] = *body.get(4..)?.first_chunk()?;
        let (port, client_port) = (u16::from_be_bytes([id[0], id[1]]), u16::from_be_bytes([id[2], id[3]]));
        let is_v4 = i32::from(*body.first()?) == libc::AF_INET;
        let address = |at: usize| -> Option<Address> {
            let bytes: [u8; 16] = *id.get(at..)?.first_chunk()?;
            Some(if is_v4 {
                Address::v4(*bytes.first_chunk()?)
            } else {
                // A socket for both versions has IPv4 clients, too.
                IpAddr::from(Ipv6Addr::from(bytes)).to_canonical().into()
            })
        };
        let service = Service { protocol: Protocol::Tcp, port };
        let ends = Ends { client: address(20)?, client_port, server: address(4)?, service };
        Some(Self { ends, id })
    }
}

/// A `struct inet_diag_req_v2`: TCP sockets that are connected on this port.
fn request(family: u8, port: u16) -> [u8; 56] {
    let mut bytes = [0; 56];
    bytes[0] = family;
    bytes[1] = libc::IPPROTO_TCP as u8;
    bytes[4..8].copy_from_slice(&CONNECTED.to_ne_bytes());
    bytes[8..10].copy_from_slice(&port.to_be_bytes());
    bytes
}

fn unsupported(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::ENOENT | libc::EINVAL) => {
            let message =
                "this kernel cannot end sockets (CONFIG_INET_DIAG_DESTROY): a service that speaks first goes on";
            io::Error::new(io::ErrorKind::Unsupported, message)
        }
        _ => error,
    }
}

/// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
const ID_LEN: usize = 48;
const ID: std::ops::Range<usize> = 8..56;

/// Every state but TCP_LISTEN, TCP_CLOSE and TCP_TIME_WAIT, `net/tcp_states.h`: one bit each.
const CONNECTED: u32 = 0xfff & !(1 << 10 | 1 << 7 | 1 << 6 | 1);

/// SOCK_DIAG_BY_FAMILY and SOCK_DESTROY, `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;

/// NLM_F_ACK and NLM_F_DUMP, `linux/netlink.h`.
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
