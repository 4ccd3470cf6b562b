//! Where a knock leaves from, and which of a host's addresses it may go to. Never opens a socket.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// A local address, with a port or any.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bind(SocketAddr);

/// The text is no local address.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "write an address of this machine, with a port or without: 192.0.2.7, 192.0.2.7:4000, 2001:db8::7, [2001:db8::7]:4000"
)]
pub struct BindFlaw;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Bind {
    /// The address; port 0 if the system may choose one.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        self.0
    }

    /// The family that it ties a knock to.
    #[must_use]
    pub const fn family(self) -> Family {
        Family::of(self.0.ip())
    }
}

impl FromStr for Bind {
    type Err = BindFlaw;

    fn from_str(text: &str) -> Result<Self, BindFlaw> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match (text.parse(), bare.parse()) {
            (Ok(address), _) => Ok(Self(address)),
            (Err(_), Ok(ip)) => Ok(Self(SocketAddr::new(ip, 0))),
            (Err(_), Err(_)) => Err(BindFlaw),
        }
    }
}

impl Family {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// An address's family.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Any address and port of this machine.
    #[must_use]
    pub const fn unspecified(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
            Self::V6 => SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 0),
        }
    }
}

/// Whether a gateway elsewhere probably sees another address than this one: it is private, and the gateway's is not.
#[must_use]
pub const fn is_translated(from: IpAddr, to: IpAddr) -> bool {
    is_private(from) && !is_private(to)
}

const fn is_private(ip: IpAddr) -> bool {
    match ip {
        // 100.64.0.0/10 is what carriers translate (RFC 6598).
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_be_named_or_not() {
        for (text, address) in [
            ("192.0.2.7", "192.0.2.7:0"),
            ("192.0.2.7:4000", "192.0.2.7:4000"),
            ("2001:db8::7", "[2001:db8::7]:0"),
            ("[2001:db8::7]", "[2001:db8::7]:0"),
            ("[2001:db8::7]:4000", "[2001:db8::7]:4000"),
        ] {
            assert_eq!(text.parse::<Bind>().unwrap().address(), address.parse().unwrap(), "{text}");
        }
        for text in ["", "eth0", "192.0.2.7:", "192.0.2.7:65536", "[192.0.2.7", ":4000"] {
            assert_eq!(text.parse::<Bind>(), Err(BindFlaw), "{text}");
        }
    }

    #[test]
    fn a_private_address_is_hidden_from_a_public_one_only() {
        let translated = |from: &str, to: &str| is_translated(from.parse().unwrap(), to.parse().unwrap());
        assert!(translated("192.168.1.2", "203.0.113.1"));
        assert!(translated("100.64.0.1", "203.0.113.1"));
        assert!(translated("fd00::2", "2001:db8::1"));
        assert!(!translated("192.168.1.2", "10.0.0.1"));
        assert!(!translated("100.128.0.1", "203.0.113.1"));
        assert!(!translated("198.51.100.2", "203.0.113.1"));
    }
}
