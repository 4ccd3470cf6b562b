//! Addresses and networks, IPv4 mapped into IPv6, as they stand in packets and in maps. Never resolves a name.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An address in network byte order; IPv4 as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(8))]
pub struct Address {
    /// Offset 0, 16 bytes, network byte order. Aligned, so that the kernel compares and copies it in two pieces.
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

    /// Its two halves.
    #[inline(always)]
    #[must_use]
    pub const fn halves(&self) -> Halves {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.octets;
        Halves::from_octets([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p])
    }

    /// Whether it is an IPv4 address.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        self.halves().is_v4()
    }

    /// Whether the whole internet may know it: it is neither private, shared, link-local nor reserved (RFC 6890).
    #[must_use]
    pub fn is_global(&self) -> bool {
        !self.is_impossible_source() && !NOT_GLOBAL.iter().any(|network| network.contains(*self))
    }

    /// See [`Halves::is_impossible_source`].
    #[must_use]
    pub const fn is_impossible_source(&self) -> bool {
        self.halves().is_impossible_source()
    }
}

/// An address in two pieces, each read as the machine reads eight bytes: what the kernel compares and hashes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Halves {
    /// The first eight bytes.
    pub first: u64,
    /// The last eight bytes.
    pub last: u64,
}

impl Halves {
    /// Those of `::`.
    pub const UNSPECIFIED: Self = Self { first: 0, last: 0 };

    /// Those of an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn from_octets(first: [u8; 8], last: [u8; 8]) -> Self {
        Self { first: u64::from_ne_bytes(first), last: u64::from_ne_bytes(last) }
    }

    /// Those of an IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4([a, b, c, d]: [u8; 4]) -> Self {
        Self { first: 0, last: u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d]) }
    }

    /// The address.
    #[inline(always)]
    #[must_use]
    pub const fn address(self) -> Address {
        let [a, b, c, d, e, f, g, h] = self.first.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = self.last.to_ne_bytes();
        Address { octets: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] }
    }

    /// What one sender can use freely: an IPv4 address, or the /64 of an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn origin(self) -> Self {
        if self.is_v4() { self } else { Self { first: self.first, last: 0 } }
    }

    /// Whether it is an IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.first == 0 && u64::from_be(self.last) >> 32 == 0xffff
    }

    /// Whether no packet from outside can rightly carry this source: zero, loopback, multicast or broadcast.
    #[inline(always)]
    #[must_use]
    pub const fn is_impossible_source(self) -> bool {
        let (first, last) = (u64::from_be(self.first), u64::from_be(self.last));
        if self.is_v4() {
            let v4 = last & 0xffff_ffff;
            let net = v4 >> 24;
            return net == 0 || net == 127 || net >= 224 && (net < 240 || v4 == 0xffff_ffff);
        }
        first >> 56 == 0xff || first == 0 && last <= 1
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
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
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
        mask(address, self.bits) == self.address && self.is_v4() == address.is_v4()
    }

    /// The network of one address.
    #[must_use]
    pub const fn of(address: Address) -> Self {
        Self { address, bits: 128 }
    }

    /// The network of so many leading bits, counted on the 128-bit form; bits behind them are cleared.
    #[must_use]
    pub fn with_bits(address: Address, bits: u8) -> Self {
        let bits = bits.min(128);
        Self { address: mask(address, bits), bits }
    }

    /// Its first address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Its prefix length, counted on the 128-bit form: an IPv4 `/24` is 120.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Its address, if it is the network of one.
    #[must_use]
    pub fn as_single(&self) -> Option<Address> {
        (self.bits == 128).then_some(self.address)
    }

    /// Whether it is a network of IPv6 addresses so wide that, in a table that knows the 128-bit form alone, every IPv4
    /// address would be in it.
    #[must_use]
    pub fn swallows_ipv4(&self) -> bool {
        self.bits < V4_MAPPED.bits && mask(V4_MAPPED.address, self.bits) == self.address
    }

    /// Whether it is a network of IPv4 addresses.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        self.bits >= 96 && self.address.is_v4()
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

/// RFC 6890 and its registries, as far as hosts have such addresses: RFC 1918, RFC 6598, RFC 3927, RFC 2544, and those for
/// examples; RFC 4193, RFC 4291.
const NOT_GLOBAL: [Network; 12] = [
    Network { address: Address::v4([10, 0, 0, 0]), bits: 96 + 8 },
    Network { address: Address::v4([100, 64, 0, 0]), bits: 96 + 10 },
    Network { address: Address::v4([169, 254, 0, 0]), bits: 96 + 16 },
    Network { address: Address::v4([172, 16, 0, 0]), bits: 96 + 12 },
    Network { address: Address::v4([192, 0, 2, 0]), bits: 96 + 24 },
    Network { address: Address::v4([192, 168, 0, 0]), bits: 96 + 16 },
    Network { address: Address::v4([198, 18, 0, 0]), bits: 96 + 15 },
    Network { address: Address::v4([198, 51, 100, 0]), bits: 96 + 24 },
    Network { address: Address::v4([203, 0, 113, 0]), bits: 96 + 24 },
    Network { address: Address::v6([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), bits: 32 },
    Network { address: Address::v6([0xfc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), bits: 7 },
    Network { address: Address::v6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), bits: 10 },
];

/// RFC 4291, section 2.5.5.2: where IPv4 addresses are in IPv6.
const V4_MAPPED: Network = Network { address: Address::v4([0; 4]), bits: 96 };

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
        for (text, swallows) in
            [("::/0", true), ("::/80", true), ("8000::/1", false), ("0.0.0.0/0", false), ("::1/128", false)]
        {
            assert_eq!(text.parse::<Network>().unwrap().swallows_ipv4(), swallows, "{text}");
        }
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
    fn a_bare_address_is_shown_without_a_prefix_only_if_asked() {
        let single: Network = "2001:db8::7".parse().unwrap();
        assert_eq!(single.as_single(), Some(address("2001:db8::7")));
        assert_eq!("192.0.2.0/31".parse::<Network>().unwrap().as_single(), None);
        assert_eq!(Network::with_bits(address("192.0.2.7"), 120).to_string(), "192.0.2.0/24");
    }

    #[test]
    fn an_origin_is_an_ipv4_address_or_a_64() {
        assert_eq!(address("192.0.2.7").halves().origin().address(), address("192.0.2.7"));
        assert_eq!(address("2001:db8:1:2:3:4:5:6").halves().origin().address(), address("2001:db8:1:2::"));
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
