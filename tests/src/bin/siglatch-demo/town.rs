//! Where everything happens: a gateway, a client and a stranger, each in a namespace of its own, and a router between
//! them. Never knows what they do.
//!
//! ```text
//! client   198.51.100.7  2001:db8:2::7  ──┐
//!                                          router ── eth0  gateway  192.0.2.1  2001:db8:1::1
//! stranger 203.0.113.66  2001:db8:3::66 ──┘
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use siglatch_tests::netns::{Namespace, join};
use siglatch_tests::scene::Pair;
use siglatch_tests::service::Echo;

/// The namespaces, and the services on the gateway. Dropping it takes everything down.
pub(crate) struct Town {
    _services: [Echo; 2],
    pub(crate) gateway: Host,
    pub(crate) client: Host,
    pub(crate) stranger: Host,
    pub(crate) router: Namespace,
}

/// One of them.
pub(crate) struct Host {
    pub(crate) place: Namespace,
    pub(crate) addresses: Pair,
}

/// Which internet protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Town {
    pub(crate) fn build() -> Result<Self> {
        let router = Namespace::new("router")?;
        router.shell("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")?;
        let gateway = Host::settle("gateway", Pair { v4: Ipv4Addr::new(192, 0, 2, 1), v6: v6(1, 1) }, &router)?;
        let client = Host::settle("client", Pair { v4: Ipv4Addr::new(198, 51, 100, 7), v6: v6(2, 7) }, &router)?;
        let stranger = Host::settle("stranger", Pair { v4: Ipv4Addr::new(203, 0, 113, 66), v6: v6(3, 0x66) }, &router)?;
        let services = [Echo::start(&gateway.place, SSH)?, Echo::start(&gateway.place, DATABASE)?];
        // Of the operator's own, as most gateways have it: what is served comes in, all else is dropped.
        gateway.place.shell(&format!("nft '{OPERATORS_FIREWALL}'"))?;
        Ok(Self { _services: services, gateway, client, stranger, router })
    }

    /// The lines of `/etc/hosts` that name the gateway.
    pub(crate) fn hosts(&self) -> String {
        let Pair { v4, v6 } = self.gateway.addresses;
        format!("127.0.0.1 localhost\n{v4} {NAME}\n{v6} {NAME}\n")
    }

    /// A TCP service of the gateway.
    pub(crate) fn service(&self, port: u16, family: Family) -> SocketAddr {
        SocketAddr::new(self.gateway.address(family), port)
    }
}

impl Family {
    /// The option that asks for it.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

impl Host {
    fn settle(role: &str, addresses: Pair, router: &Namespace) -> Result<Self> {
        let place = Namespace::new(role)?;
        join((&place, INTERFACE), (router, role))?;
        let Pair { v4, v6 } = addresses;
        let (mut next_v4, mut next_v6) = (v4.octets(), v6.segments());
        (next_v4[3], next_v6[7]) = (254, 0xfe);
        let (next_v4, next_v6) = (Ipv4Addr::from(next_v4), Ipv6Addr::from(next_v6));
        router.shell(&format!(
            "ip address add {next_v4}/24 dev {role}; ip address add {next_v6}/64 dev {role} nodad; ip link set {role} up"
        ))?;
        place.shell(&format!(
            "ip address add {v4}/24 dev {INTERFACE}; ip address add {v6}/64 dev {INTERFACE} nodad; \
             ip link set {INTERFACE} up; ip route add default via {next_v4}; ip -6 route add default via {next_v6}"
        ))?;
        Ok(Self { place, addresses })
    }

    pub(crate) fn address(&self, family: Family) -> IpAddr {
        self.addresses.of(family == Family::V4)
    }

    /// Whether an address is this host's.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        [Family::V4, Family::V6].into_iter().any(|family| self.address(family) == address)
    }
}

/// RFC 3849.
const fn v6(network: u16, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, host)
}

/// What the gateway is called (RFC 2606), for whoever reads `/etc/hosts`.
pub(crate) const NAME: &str = "gw.example.org";
/// Every host's only one.
pub(crate) const INTERFACE: &str = "eth0";
/// The router's interface to the gateway.
pub(crate) const TO_GATEWAY: &str = "gateway";
pub(crate) const SSH: u16 = 22;
pub(crate) const DATABASE: u16 = 5432;
pub(crate) const KNOCKS: u16 = 62201;

const OPERATORS_FIREWALL: &str = "table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iif lo accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } ip6 hoplimit 255 accept
    tcp dport { 22, 5432 } accept
  }
}";
