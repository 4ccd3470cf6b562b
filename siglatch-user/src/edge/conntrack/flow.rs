//! Decides what an entry of the connection tracking table says, and whose it is. Never talks to the kernel.

use siglatch_common::address::Address;

use crate::gate::GrantKey;
use crate::policy::{Protocol, Service};

/// A tracked connection, as it was begun.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Flow {
    pub(super) client: Address,
    client_port: u16,
    /// Whom it was for, before any translation of addresses.
    pub(super) asked: Address,
    asked_service: Service,
    /// The host that it got to, and its service there.
    pub(super) server: Address,
    service: Service,
    /// NFPROTO_*, `linux/netfilter.h`.
    pub(super) family: u8,
    /// What names it to the kernel: attributes as they came.
    pub(super) name: Vec<u8>,
}

/// The two ends of a connection: a client's port, and the service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Ends {
    pub(super) client: Address,
    pub(super) client_port: u16,
    pub(super) server: Address,
    pub(super) service: Service,
}

impl Flow {
    /// Reads the body of a message behind its header; nothing if it is no TCP or UDP between two hosts.
    pub(super) fn read(family: u8, body: &[u8]) -> Option<Self> {
        let (mut original, mut reply, mut name) = (None, None, Vec::new());
        for (kind, whole, value) in attributes(body) {
            match kind {
                TUPLE_ORIGINAL => original = Some(Tuple::read(value)?),
                TUPLE_REPLY => reply = Some(Tuple::read(value)?),
                ID | ZONE => {}
                _ => continue,
            }
            if kind != TUPLE_REPLY {
                name.extend(whole);
                name.resize(name.len().next_multiple_of(4), 0);
            }
        }
        let (original, reply) = (original?, reply?);
        let service = Service { protocol: reply.protocol, port: reply.source_port };
        let asked_service = Service { protocol: original.protocol, port: original.port };
        Some(Self {
            client: original.source,
            client_port: original.source_port,
            asked: original.destination,
            asked_service,
            server: reply.source,
            service,
            family,
            name,
        })
    }

    /// The grants that let it in: to where it got, or to the port of this host that led it there.
    pub(super) fn keys(&self, mut is_own: impl FnMut(Address) -> bool) -> [GrantKey; 2] {
        let mut key = |host, service| {
            let destination = if is_own(host) { None } else { Some(host) };
            GrantKey { source: self.client, destination, service }
        };
        [key(self.server, self.service), key(self.asked, self.asked_service)]
    }

    pub(super) const fn ends(&self) -> Ends {
        let Self { client, client_port, server, service, .. } = *self;
        Ends { client, client_port, server, service }
    }
}

/// One direction of a connection.
struct Tuple {
    source: Address,
    destination: Address,
    protocol: Protocol,
    source_port: u16,
    port: u16,
}

impl Tuple {
    fn read(value: &[u8]) -> Option<Self> {
        let (mut source, mut destination, mut protocol, mut source_port, mut port) = (None, None, None, None, None);
        for (kind, _, value) in attributes(value) {
            match kind {
                TUPLE_IP => {
                    for (kind, _, value) in attributes(value) {
                        match kind {
                            V4_SOURCE | V6_SOURCE => source = address(value),
                            V4_DESTINATION | V6_DESTINATION => destination = address(value),
                            _ => {}
                        }
                    }
                }
                TUPLE_PROTOCOL => {
                    for (kind, _, value) in attributes(value) {
                        match kind {
                            PROTOCOL_NUMBER => protocol = Protocol::from_number(*value.first()?),
                            SOURCE_PORT => source_port = Some(u16::from_be_bytes(*value.first_chunk()?)),
                            PORT => port = Some(u16::from_be_bytes(*value.first_chunk()?)),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let (source, destination) = (source?, destination?);
        Some(Self { source, destination, protocol: protocol?, source_port: source_port?, port: port? })
    }
}

fn address(value: &[u8]) -> Option<Address> {
    match value.len() {
        4 => Some(Address::v4(value.try_into().ok()?)),
        _ => Some(Address::v6(value.try_into().ok()?)),
    }
}

/// Takes attributes apart: kind, all of it, value. Stops at what is cut short.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let [l0, l1, k0, k1] = *bytes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let (whole, value) = (bytes.get(..length)?, bytes.get(4..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & KIND, whole, value))
    })
}

/// `enum ctattr_type`, `linux/netfilter/nfnetlink_conntrack.h`.
pub(super) const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// `enum ctattr_tuple`.
pub(super) const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
/// `enum ctattr_ip`.
pub(super) const V4_SOURCE: u16 = 1;
const V4_DESTINATION: u16 = 2;
pub(super) const V6_SOURCE: u16 = 3;
const V6_DESTINATION: u16 = 4;
/// `enum ctattr_l4proto`.
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const PORT: u16 = 3;

/// NLA_TYPE_MASK, `linux/netlink.h`: without the flags for nested attributes and byte order.
const KIND: u16 = 0x3fff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_counts_by_where_it_got_to() {
        let flow = Flow::read(2, &body()).unwrap();
        assert_eq!(flow.client, Address::v4([192, 0, 2, 7]));
        // Known outside as port 8080 of another address.
        let behind = GrantKey {
            source: flow.client,
            destination: Some(Address::v4([10, 0, 0, 5])),
            service: "tcp/22".parse().unwrap(),
        };
        // The address that it was begun to is this host's.
        let here = GrantKey { destination: None, service: "tcp/8080".parse().unwrap(), ..behind };
        let public = Address::v4([203, 0, 113, 1]);
        assert_eq!(flow.keys(|host| host == public), [behind, here]);
        assert_eq!(flow.keys(|_| true)[0], GrantKey { destination: None, ..behind });
        assert_eq!(flow.ends().client_port, 40_000);
        // It is named as it was begun, by its number as well.
        let names: Vec<_> = attributes(&flow.name).map(|(kind, _, _)| kind).collect();
        assert_eq!(names, [TUPLE_ORIGINAL, ID]);
    }

    #[test]
    fn what_is_cut_short_or_has_no_ports_is_nobodys() {
        let whole = body();
        for cut in 0..whole.len() {
            let flow = Flow::read(2, &whole[..cut]);
            assert!(flow.is_none_or(|flow| flow.client_port == 40_000), "{cut}");
        }
        let icmp = tuple([192, 0, 2, 7], 1, 0, [203, 0, 113, 1], 0);
        assert_eq!(Flow::read(2, &attribute(TUPLE_ORIGINAL, &icmp)), None);
    }

    fn body() -> Vec<u8> {
        let original = tuple([192, 0, 2, 7], 6, 40_000, [203, 0, 113, 1], 8080);
        let reply = tuple([10, 0, 0, 5], 6, 22, [192, 0, 2, 7], 40_000);
        let status = attribute(3, &[0; 4]);
        let id = attribute(ID, &[1, 2, 3, 4]);
        [attribute(TUPLE_ORIGINAL | 0x8000, &original), attribute(TUPLE_REPLY | 0x8000, &reply), status, id].concat()
    }

    fn tuple(source: [u8; 4], protocol: u8, source_port: u16, to: [u8; 4], port: u16) -> Vec<u8> {
        let ip = [attribute(1, &source), attribute(2, &to)].concat();
        let ports = [attribute(2, &source_port.to_be_bytes()), attribute(3, &port.to_be_bytes())].concat();
        let protocol = [attribute(1, &[protocol]), ports].concat();
        [attribute(1 | 0x8000, &ip), attribute(2 | 0x8000, &protocol)].concat()
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = [(value.len() as u16 + 4).to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}
