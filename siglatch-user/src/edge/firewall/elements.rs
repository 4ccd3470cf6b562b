//! Decides how a grant stands in a set: key, timeout and comment as bytes, both ways. Never sends them.

use std::ffi::CStr;
use std::net::IpAddr;
use std::time::Duration;

use netlink_bindings::nftables::{Chained, Nfgenmsg, SetelemListAttrs};
use siglatch_common::address::Address;

use crate::gate::GrantKey;
use crate::policy::{Door, Protocol, Service};

use super::target::{Kind, Side, Target, Version};

/// An element of any set, as the kernel tells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Element {
    /// Fields in network byte order, each padded to four bytes if there are several.
    pub(super) key: Vec<u8>,
    /// Time left; nothing if it never ends.
    pub(super) left: Option<Duration>,
    pub(super) comment: Option<String>,
}

/// What stands in a message for one element.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: GrantKey,
    pub(super) ttl: Duration,
    pub(super) comment: String,
}

/// Whether an element may be there already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Presence {
    /// The whole transaction fails with EEXIST if one is.
    New,
    /// Kernels before 6.12 leave it as it is, later ones give it the new timeout.
    Any,
}

/// Adds a message that puts `entries`, all of one version and at most [`A_MESSAGE`], into their set.
pub(super) fn add(chain: &mut Chained<'_>, target: &Target, set: &str, entries: &[&Entry], presence: Presence) {
    let request = match presence {
        Presence::New => chain.request().set_create().set_excl(),
        Presence::Any => chain.request().set_create(),
    };
    let mut message = request.op_newsetelem_do(&header(target));
    let mut list =
        message.encode().push_table_bytes(target.table.as_bytes()).push_set_bytes(set.as_bytes()).nested_elements();
    for entry in entries {
        list = list
            .nested_elem()
            .nested_key()
            .push_value(&key_bytes(&entry.key))
            .end_nested()
            // Declared as native-endian by the bindings; the kernel wants network byte order.
            .push_timeout(millis(entry.ttl).to_be())
            .push_userdata(&userdata(&entry.comment))
            .end_nested();
    }
}

/// Adds a message that puts keys that never end, at most [`A_MESSAGE`], into their set. They may be there already.
pub(super) fn add_fixed(chain: &mut Chained<'_>, target: &Target, set: &str, keys: &[Vec<u8>]) {
    let mut message = chain.request().set_create().op_newsetelem_do(&header(target));
    let mut list =
        message.encode().push_table_bytes(target.table.as_bytes()).push_set_bytes(set.as_bytes()).nested_elements();
    for key in keys {
        list = list.nested_elem().nested_key().push_value(key).end_nested().end_nested();
    }
}

/// Adds a message that takes keys, at most [`A_MESSAGE`], out of their set.
pub(super) fn delete(
    chain: &mut Chained<'_>,
    target: &Target,
    set: &str,
    keys: impl Iterator<Item = impl AsRef<[u8]>>,
) {
    let mut message = chain.request().op_delsetelem_do(&header(target));
    let mut list =
        message.encode().push_table_bytes(target.table.as_bytes()).push_set_bytes(set.as_bytes()).nested_elements();
    for key in keys {
        list = list.nested_elem().nested_key().push_value(key.as_ref()).end_nested().end_nested();
    }
}

/// The header that every message about the table begins with.
pub(super) fn header(target: &Target) -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.nfgen_family = target.family.number();
    header
}

/// Reads the attributes of a message about elements. What is no single element (a range) is left out.
pub(super) fn read(attributes: &[u8]) -> Vec<Element> {
    let Ok(list) = SetelemListAttrs::new(attributes).get_elements() else {
        return Vec::new();
    };
    let single = |attributes: netlink_bindings::nftables::IterableSetelemAttrs<'_>| {
        let key = attributes.get_key().ok()?.get_value().ok()?;
        if attributes.get_key_end().is_ok_and(|end| end.get_value().is_ok_and(|end| end != key)) {
            return None;
        }
        Some(Element {
            key: key.to_vec(),
            left: attributes.get_expiration().ok().map(|left| Duration::from_millis(u64::from_be(left))),
            comment: attributes.get_userdata().ok().and_then(comment),
        })
    };
    list.get_elem().filter_map(single).collect()
}

/// The key of a grant, as in a set of type `ipv4_addr . inet_proto . inet_service`, with the address of the destination
/// behind that of the source if there is one (or `ipv6_addr …`).
pub(super) fn key_bytes(key: &GrantKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key_len(Kind::of(key)));
    push_address(key.source, &mut bytes);
    if let Some(destination) = key.destination {
        push_address(destination, &mut bytes);
    }
    bytes.extend(service_bytes(key.service));
    bytes
}

/// The key of a service of a host behind this one, as in a set of type `ipv4_addr . inet_proto . inet_service`.
pub(super) fn door_bytes(door: Door) -> Vec<u8> {
    key_bytes(&GrantKey { source: door.destination, destination: None, service: door.service })
}

/// The key of a service, as in a set of type `inet_proto . inet_service`.
pub(super) fn service_bytes(service: Service) -> [u8; 8] {
    let [high, low] = service.port.to_be_bytes();
    [service.protocol.number(), 0, 0, 0, high, low, 0, 0]
}

/// The grant with that key; nothing if it has another length, or a protocol without ports.
pub(super) fn grant_key(bytes: &[u8]) -> Option<GrantKey> {
    let (service, addresses) = (bytes.last_chunk::<8>()?, bytes.len().checked_sub(8)?);
    let addresses = bytes.get(..addresses)?;
    let (source, destination) = match addresses.len() {
        4 | 16 => (addresses, None),
        8 | 32 => addresses.split_at_checked(addresses.len() / 2).map(|(source, to)| (source, Some(to)))?,
        _ => return None,
    };
    let destination = match destination {
        None => None,
        Some(destination) => Some(address(destination)?),
    };
    let [protocol, _, _, _, high, low, _, _] = *service;
    let service = Service { protocol: Protocol::from_number(protocol)?, port: u16::from_be_bytes([high, low]) };
    Some(GrantKey { source: address(source)?, destination, service })
}

/// Length of a grant's key, in bytes.
pub(super) const fn key_len(kind: Kind) -> usize {
    let address = match kind.version {
        Version::V4 => 4,
        Version::V6 => 16,
    };
    match kind.side {
        Side::Input => address + 8,
        Side::Forward => 2 * address + 8,
    }
}

fn push_address(address: Address, bytes: &mut Vec<u8>) {
    match IpAddr::from(address) {
        IpAddr::V4(v4) => bytes.extend(v4.octets()),
        IpAddr::V6(v6) => bytes.extend(v6.octets()),
    }
}

fn address(bytes: &[u8]) -> Option<Address> {
    match bytes.len() {
        4 => Some(Address::v4(bytes.try_into().ok()?)),
        _ => Some(Address::v6(bytes.try_into().ok()?)),
    }
}

/// Whole milliseconds, rounded up; at least one, because 0 means "never ends" to the kernel.
fn millis(ttl: Duration) -> u64 {
    let millis = ttl.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX).clamp(1, LONGEST_MILLIS)
}

/// A comment as `nft` keeps it: type, length and text of one TLV, the text ending in a zero.
fn userdata(comment: &str) -> Vec<u8> {
    let text = comment.as_bytes();
    let Some(length) = u8::try_from(text.len() + 1).ok().filter(|_| !text.is_empty()) else {
        return Vec::new();
    };
    let mut bytes = Vec::with_capacity(text.len() + 3);
    bytes.extend([COMMENT, length]);
    bytes.extend(text);
    bytes.push(0);
    bytes
}

fn comment(mut userdata: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = userdata {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return CStr::from_bytes_until_nul(value).ok()?.to_str().ok().map(str::to_owned);
        }
        userdata = rest;
    }
    None
}

/// An attribute's length is 16 bits. The largest element, IPv6 with a destination and the longest comment, takes 204
/// bytes.
pub(super) const A_MESSAGE: usize = 300;
const _: () = assert!(A_MESSAGE * 204 < u16::MAX as usize);

/// Type of a comment among an element's userdata: `NFTNL_UDATA_SET_ELEM_COMMENT`, libnftnl `udata.h`.
const COMMENT: u8 = 0;

/// Ten years: the kernel refuses what does not fit its nanoseconds.
const LONGEST_MILLIS: u64 = 10 * 366 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_nft_writes() {
        // Recorded with `nft --debug=netlink add element … { 1.2.3.4 . tcp . 22 }`.
        let recorded = [1, 2, 3, 4, 6, 0, 0, 0, 0, 22, 0, 0];
        assert_eq!(key_bytes(&key("1.2.3.4", "tcp/22")), recorded);
        let recorded = [1, 2, 3, 4, 10, 0, 0, 5, 6, 0, 0, 0, 0, 22, 0, 0];
        assert_eq!(key_bytes(&forward("1.2.3.4", "tcp/22@10.0.0.5")), recorded);
        assert_eq!(door_bytes("tcp/22@10.0.0.5".parse().unwrap()), recorded[4..]);
        for key in every_kind() {
            assert_eq!(key_bytes(&key).len(), key_len(Kind::of(&key)));
        }
    }

    #[test]
    fn keys_read_back() {
        for key in every_kind() {
            assert_eq!(grant_key(&key_bytes(&key)), Some(key));
        }
    }

    #[test]
    fn foreign_keys_are_nobodys() {
        let bytes = key_bytes(&forward("2001:db8::1", "udp/53@2001:db8::5"));
        for cut in 0..bytes.len() {
            assert_eq!(grant_key(&bytes[..cut]), None, "{cut}");
        }
        for key in every_kind() {
            let mut icmp = key_bytes(&key);
            let protocol = icmp.len() - 8;
            icmp[protocol] = 1;
            assert_eq!(grant_key(&icmp), None);
        }
    }

    #[test]
    fn comments_read_back_and_cut_ones_do_not_panic() {
        let bytes = userdata("alice ssh");
        assert_eq!(bytes, b"\x00\x0aalice ssh\x00");
        assert_eq!(comment(&bytes).as_deref(), Some("alice ssh"));
        for cut in 0..bytes.len() {
            assert_eq!(comment(&bytes[..cut]), None, "{cut}");
        }
        let behind_another = [b"\x01\x04abcd".as_slice(), &bytes].concat();
        assert_eq!(comment(&behind_another).as_deref(), Some("alice ssh"));
        assert_eq!(userdata(&"x".repeat(255)), b"");
        assert_eq!(userdata(""), b"");
    }

    #[test]
    fn no_ttl_becomes_a_grant_for_ever() {
        assert_eq!(millis(Duration::ZERO), 1);
        assert_eq!(millis(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(millis(Duration::from_secs(60)), 60_000);
        assert_eq!(millis(Duration::MAX), LONGEST_MILLIS);
    }

    fn key(source: &str, service: &str) -> GrantKey {
        GrantKey {
            source: source.parse::<IpAddr>().unwrap().into(),
            destination: None,
            service: service.parse().unwrap(),
        }
    }

    fn forward(source: &str, door: &str) -> GrantKey {
        let Door { destination, service } = door.parse().unwrap();
        GrantKey { source: source.parse::<IpAddr>().unwrap().into(), destination: Some(destination), service }
    }

    fn every_kind() -> [GrantKey; 4] {
        [
            key("1.2.3.4", "tcp/22"),
            key("2001:db8::1", "udp/65535"),
            forward("1.2.3.4", "udp/53@10.0.0.5"),
            forward("2001:db8::1", "tcp/443@2001:db8::5"),
        ]
    }
}
