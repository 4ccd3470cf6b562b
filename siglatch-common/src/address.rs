//! Addresses and networks, IPv4 mapped into IPv6, as they stand in packets and in maps. Never resolves a name.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An address in network byte order; IPv4 as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Address {
    /// Offset 0, 16 bytes, network byte order.
    pub octets: [u8; 16],
}

impl Address {
    /// `::`, which no packet may come from; marks an empty place in tables.
    pub const UNSPECIFIED: Self = Self { octets: [0; 16] };

    /// An IPv4 address from its four bytes.
    #[inline(always)]
    #[must_use]
    pub const fn v4(a: [u8; 4]) -> Self {
        Self { octets: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a[0], a[1], a[2], a[3]] }
    }

    /// An IPv6 address from its sixteen bytes.
    #[inline(always)]
    #[must_use]
    pub const fn v6(octets: [u8; 16]) -> Self {
        Self { octets }
    }

    /// The two halves as integers, most significant first: what comparisons and hashes work on.
    #[inline(always)]
    #[must_use]
    pub const fn halves(&self) -> (u64, u64) {
        let o = &self.octets;
        (
            u64::from_be_bytes([o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]]),
            u64::from_be_bytes([o[8], o[9], o[10], o[11], o[12], o[13], o[14], o[15]]),
        )
    }

    /// Whether no packet from outside can rightly carry this source: zero, loopback, multicast, broadcast,
    /// and IPv4-mapped addresses in an IPv6 header count as `v6`'s business in [`crate::frame`].
    #[inline(always)]
    #[must_use]
    pub const fn is_impossible_source(&self) -> bool {
        let (high, low) = self.halves();
        if high == 0 && low >> 32 == 0xffff {
            let v4 = low & 0xffff_ffff;
            let first = v4 >> 24;
            return first == 0 || first == 127 || first >= 224 && (first < 240 || v4 == 0xffff_ffff);
        }
        high >> 56 == 0xff || high == 0 && low <= 1
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from(address.octets).to_canonical()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

/// A network in CIDR form, with no bit set behind its prefix.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network {
    address: Address,
    /// Counted on the 128-bit form: an IPv4 `/24` is 120.
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkFlaw {
    /// The part before the slash is no IPv4 or IPv6 address.
    Address,
    /// The prefix length is no number, or more than 32 (IPv4) or 128 (IPv6).
    Prefix,
    /// Bits are set behind the prefix: `192.0.2.7/24` names a host, not a network.
    HostBits,
}

impl Network {
    /// Whether `address` lies in this network. An IPv4 address lies in no IPv6 network.
    #[must_use]
    pub fn contains(&self, address: Address) -> bool {
        mask(address, self.bits) == self.address && self.is_v4() == is_v4(address)
    }

    fn is_v4(&self) -> bool {
        self.bits >= 96 && is_v4(self.address)
    }
}

impl FromStr for Network {
    type Err = NetworkFlaw;

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or a bare address as a network of one.
    fn from_str(text: &str) -> Result<Self, NetworkFlaw> {
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| NetworkFlaw::Address)?;
        let widest = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) => digits.parse::<u8>().ok().filter(|n| *n <= widest).ok_or(NetworkFlaw::Prefix)?,
            None => widest,
        };
        let bits = prefix + (128 - widest);
        let address = Address::from(ip);
        if mask(address, bits) != address {
            return Err(NetworkFlaw::HostBits);
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.is_v4() { self.bits - 96 } else { self.bits };
        write!(f, "{}/{bits}", self.address)
    }
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        Self::v4(ip.octets())
    }
}

fn is_v4(address: Address) -> bool {
    let (high, low) = address.halves();
    high == 0 && low >> 32 == 0xffff
}

fn mask(address: Address, bits: u8) -> Address {
    let keep = u128::MAX.checked_shl(u32::from(128 - bits)).unwrap_or(0);
    Address::v6((u128::from_be_bytes(address.octets) & keep).to_be_bytes())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_network_holds_its_own_addresses_only() {
        let home: Network = "192.0.2.0/24".parse().unwrap();
        assert!(home.contains(address("192.0.2.255")));
        assert!(!home.contains(address("192.0.3.0")));
        let lab: Network = "2001:db8::/33".parse().unwrap();
        assert!(lab.contains(address("2001:db8:7fff::1")));
        assert!(!lab.contains(address("2001:db8:8000::1")));
    }

    #[test]
    fn ipv6_any_does_not_hold_ipv4() {
        assert!(!"::/0".parse::<Network>().unwrap().contains(address("192.0.2.1")));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains(address("192.0.2.1")));
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains(address("2001:db8::1")));
    }

    #[test]
    fn networks_read_back_as_they_were_written() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_string(), "192.0.2.7/32");
    }

    #[test]
    fn each_flaw_is_named() {
        assert_eq!("192.0.2/24".parse::<Network>(), Err(NetworkFlaw::Address));
        assert_eq!("192.0.2.0/33".parse::<Network>(), Err(NetworkFlaw::Prefix));
        assert_eq!("192.0.2.0/x".parse::<Network>(), Err(NetworkFlaw::Prefix));
        assert_eq!("192.0.2.7/24".parse::<Network>(), Err(NetworkFlaw::HostBits));
    }

    #[test]
    fn impossible_sources_and_their_neighbours() {
        for text in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255"] {
            assert!(address(text).is_impossible_source(), "{text}");
        }
        for text in ["::", "::1", "ff02::1"] {
            assert!(address(text).is_impossible_source(), "{text}");
        }
        for text in ["1.0.0.0", "126.255.255.255", "128.0.0.1", "223.255.255.255", "10.0.0.1", "::2", "fe80::1"] {
            assert!(!address(text).is_impossible_source(), "{text}");
        }
    }

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }
}
