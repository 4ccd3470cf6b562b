//! Services of hosts behind the gateway: closed until a knock opens one of them, for one address and for a time.
#![expect(clippy::disallowed_types, reason = "the hosts inside have UDP services")]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::gateway::{DATABASE, Gateway, Plan, RULES, SSH};
use siglatch_tests::netns::{DOOR, Namespace, Street, join};
use siglatch_tests::process::{PATIENCE, Process, wait_until};
use siglatch_tests::scene::{GATEWAY, Pair, STRANGER};
use siglatch_tests::service::{Echo, closes_within, is_open, opens_within, say, talk};
use siglatch_tests::stage::client;

#[test]
fn a_knock_opens_a_service_behind_the_gateway_to_its_own_address_and_nothing_else() -> Result<()> {
    let site = Site::new(RULED)?;
    for v4 in [true, false] {
        let door = SocketAddr::new(HOST.of(v4), DATABASE);
        let untouched = [SocketAddr::new(HOST.of(v4), SSH), SocketAddr::new(NEIGHBOUR.of(v4), DATABASE)];
        ensure!(!site.is_open(client(v4), door), "open before the knock");
        for service in untouched {
            ensure!(site.is_open(STRANGER.of(v4), service), "{service} is none of siglatch's business");
        }
        ensure!(!site.hears(client(v4))?, "open before the knock, for UDP");

        site.knock(client(v4), FOR_LONG)?;
        site.opens(client(v4), door)?;
        ensure!(site.hears(client(v4))?, "UDP is granted as well");
        ensure!(!site.is_open(STRANGER.of(v4), door) && !site.hears(STRANGER.of(v4))?, "open to another address");
        let own = SocketAddr::new(GATEWAY.of(v4), SSH);
        ensure!(!site.is_open(client(v4), own), "the gateway's own service was not asked for");
        for service in untouched {
            ensure!(site.is_open(client(v4), service), "{service} is none of siglatch's business");
        }
    }
    Ok(())
}

#[test]
fn a_connection_outlives_its_grant_which_the_kernel_ends_alone() -> Result<()> {
    let mut site = Site::new(RULED)?;
    let doors = [true, false].map(|v4| (client(v4), SocketAddr::new(HOST.of(v4), DATABASE)));
    let mut connections = Vec::new();
    for (source, door) in doors {
        site.knock(source, FOR_SECONDS)?;
        site.opens(source, door)?;
        connections.push(talk(&site.street.outside, source, door)?);
    }
    site.daemon.kill()?;
    for (source, door) in doors {
        closes_within(PATIENCE, &site.street.outside, source, door)?;
        ensure!(!site.hears(source)?, "for UDP, too");
    }
    connections.iter_mut().try_for_each(|connection| say(connection, b"still here").context("cut off"))
}

#[test]
fn what_is_flushed_is_put_back_and_a_second_daemon_takes_it_over() -> Result<()> {
    let mut site = Site::new(RULED)?;
    let doors = [true, false].map(|v4| (client(v4), SocketAddr::new(HOST.of(v4), DATABASE)));
    for (source, door) in doors {
        site.knock(source, FOR_LONG)?;
        site.opens(source, door)?;
    }
    site.street.gateway.shell("nft flush ruleset")?;
    // TCP and UDP, of two addresses.
    site.daemon.wait_for("the firewall was put back table=Missing grants=4")?;
    let stands = |site: &Site| {
        for (source, door) in doors {
            site.opens(source, door)?;
            ensure!(!site.is_open(STRANGER.of(source.is_ipv4()), door), "open to another address");
        }
        Ok(())
    };
    stands(&site)?;
    let second = site.gateway.start()?;
    ensure!(second.said().contains("taken over grants=4"), "{}", second.said());
    std::mem::replace(&mut site.daemon, second).end()?;
    stands(&site)?;

    // What it does not protect any more is no business of its: chain, sets and grants are gone.
    site.gateway.configure(&plan(""))?;
    site.daemon = site.gateway.start()?;
    ensure!(!site.street.gateway.shell("nft list ruleset")?.contains("forward"));
    ensure!(site.is_open(STRANGER.of(true), doors[0].1));
    Ok(())
}

#[test]
fn what_dnat_leads_to_a_protected_service_is_closed_and_opened_with_it() -> Result<()> {
    let public = SocketAddr::new(GATEWAY.of(true), 8080);
    let dnat = format!(
        "nft 'add table ip nat; add chain ip nat pre {{ type nat hook prerouting priority -100; }}; \
         add rule ip nat pre ip daddr {} tcp dport {} dnat to {}:{DATABASE}'",
        public.ip(),
        public.port(),
        HOST.v4
    );
    let site = Site::prepared(RULED, &[&dnat])?;
    ensure!(!site.is_open(client(true), public));
    site.knock(client(true), FOR_LONG)?;
    site.opens(client(true), public)?;
    ensure!(!site.is_open(STRANGER.of(true), public));
    Ok(())
}

#[test]
fn a_port_of_the_gateway_leads_the_granted_to_a_service_behind_it() -> Result<()> {
    let mut site = Site::new(LED)?;
    let doors = [true, false].map(|v4| (client(v4), SocketAddr::new(GATEWAY.of(v4), LEADING)));
    let mut connections = Vec::new();
    for (source, port) in doors {
        ensure!(!site.is_open(source, port) && !site.is_led(source)?, "open before the knock");
        site.knock(source, LED_FOR_LONG)?;
        site.opens(source, port)?;
        ensure!(site.is_led(source)?, "UDP is granted as well");
        let stranger = STRANGER.of(source.is_ipv4());
        ensure!(!site.is_open(stranger, port) && !site.is_led(stranger)?, "open to another address");
        // The host's own address and port are another door, which nobody was granted.
        ensure!(!site.is_open(source, SocketAddr::new(HOST.of(source.is_ipv4()), DATABASE)));
        connections.push(talk(&site.street.outside, source, port)?);
    }
    site.street.gateway.shell("nft flush ruleset")?;
    site.daemon.wait_for("the firewall was put back table=Missing grants=4")?;
    doors.iter().try_for_each(|(source, port)| site.opens(*source, *port))?;
    let second = site.gateway.start()?;
    ensure!(second.said().contains("taken over grants=4"), "{}", second.said());
    std::mem::replace(&mut site.daemon, second).end()?;
    for (source, port) in doors {
        site.opens(source, port)?;
        site.knock(source, LED_REVOKED)?;
        closes_within(Duration::from_secs(5), &site.street.outside, source, port)?;
        ensure!(!site.is_led(source)?, "for UDP, too");
    }
    connections.iter_mut().try_for_each(|connection| say(connection, b"still here").context("cut off"))
}

#[test]
fn the_operators_own_rules_let_in_what_stands_in_the_operators_sets() -> Result<()> {
    let firewall = "mode = \"sets\"\ntable = \"filter\"\nset_v4 = \"here\"\nset_forward_v4 = \"there\"";
    let street = OPERATORS_TABLE.replace("DOOR", &format!("ip daddr {} tcp dport {DATABASE}", HOST.v4));
    let site = Site::prepared(firewall, &[&format!("nft '{street}'")])?;
    let door = SocketAddr::new(HOST.of(true), DATABASE);
    ensure!(!site.is_open(client(true), door));
    site.knock(client(true), OVER_V4)?;
    site.opens(client(true), door)?;
    ensure!(!site.is_open(STRANGER.of(true), door));
    let listed = || site.street.gateway.shell("nft list set inet filter there");
    let element = format!("{} . {} . tcp . {DATABASE}", client(true), HOST.v4);
    ensure!(listed()?.contains(&element), "{}", listed()?);
    site.street.gateway.shell("nft flush set inet filter there")?;
    ensure!(wait_until(PATIENCE, || listed().is_ok_and(|set| set.contains(&element))), "{}", site.daemon.said());
    Ok(())
}

/// A daemon on a gateway between the outside and two hosts inside. Its parts are taken down in this order.
struct Site {
    daemon: Process,
    gateway: Gateway,
    _services: [Echo; 3],
    /// A UDP service that is protected and one that is not, on every address inside.
    udp: [UdpSocket; 2],
    street: Street,
    _inside: Namespace,
}

impl Site {
    fn new(firewall: &str) -> Result<Self> {
        Self::prepared(firewall, &[])
    }

    /// With commands carried out on the gateway before the daemon starts.
    fn prepared(firewall: &str, commands: &[&str]) -> Result<Self> {
        let (street, inside) = (Street::new()?, Namespace::new("in")?);
        for namespace in [&street.gateway, &inside] {
            // Else the gateway asks for no neighbour until it has made sure, for seconds, that nobody has its address.
            namespace.shell("cd /proc/sys/net/ipv6/conf; echo 0 | tee all/accept_dad default/accept_dad")?;
        }
        join((&street.gateway, YARD), (&inside, DOOR))?;
        for (namespace, interface, hosts) in
            [(&street.gateway, YARD, &[INNER][..]), (&inside, DOOR, &[HOST, NEIGHBOUR])]
        {
            namespace.ip(&format!("link set {interface} up"))?;
            for Pair { v4, v6 } in hosts {
                namespace.ip(&format!("address add {v4}/24 dev {interface}"))?;
                namespace.ip(&format!("address add {v6}/64 dev {interface} nodad"))?;
            }
        }
        for (namespace, to, via) in
            [(&street.outside, ["10.0.0.0/24", "2001:db8:1::/64"], GATEWAY), (&inside, ["default"; 2], INNER)]
        {
            for (to, v4) in to.into_iter().zip([true, false]) {
                namespace.ip(&format!("route add {to} via {}", via.of(v4)))?;
            }
        }
        street.gateway.shell("echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding")?;
        for command in commands {
            street.gateway.shell(command)?;
        }
        let services =
            [Echo::start(&inside, DATABASE)?, Echo::start(&inside, SSH)?, Echo::start(&street.gateway, SSH)?];
        let udp = |port| inside.udp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        let udp = [udp(NAMES)?, udp(UNPROTECTED)?];
        let gateway = Gateway::new(&street.gateway, &plan(firewall))?;
        let daemon = gateway.start()?;
        Ok(Self { daemon, gateway, _services: services, udp, street, _inside: inside })
    }

    fn knock(&self, source: IpAddr, action: u8) -> Result<()> {
        self.gateway.knock(&self.street.outside, source, action)
    }

    fn is_open(&self, source: IpAddr, service: SocketAddr) -> bool {
        is_open(&self.street.outside, source, service)
    }

    fn opens(&self, source: IpAddr, service: SocketAddr) -> Result<()> {
        opens_within(PATIENCE, &self.street.outside, source, service)
            .map_err(|error| error.context(self.daemon.said()))?;
        Ok(())
    }

    /// Whether a datagram for the protected UDP service gets there.
    fn hears(&self, source: IpAddr) -> Result<bool> {
        self.arrives(source, SocketAddr::new(HOST.of(source.is_ipv4()), NAMES))
    }

    /// Whether one for the gateway's port is led there.
    fn is_led(&self, source: IpAddr) -> Result<bool> {
        self.arrives(source, SocketAddr::new(GATEWAY.of(source.is_ipv4()), LEADING_NAMES))
    }

    fn arrives(&self, source: IpAddr, to: SocketAddr) -> Result<bool> {
        let sender = self.street.outside.udp(SocketAddr::new(source, 0))?;
        for to in [to, SocketAddr::new(HOST.of(source.is_ipv4()), UNPROTECTED)] {
            sender.send_to(b"who is there", to)?;
        }
        // The second one went the same way: when it is there, the first is, or never will be.
        let [protected, unprotected] = &self.udp;
        unprotected.set_read_timeout(Some(PATIENCE))?;
        unprotected.recv(&mut [0; 16]).context("what is not protected arrives")?;
        protected.set_nonblocking(true)?;
        match protected.recv(&mut [0; 16]) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The default rules with another firewall, and these actions: those for hosts inside, if they are protected.
fn plan(firewall: &str) -> Plan {
    let closed = "protect = [\"tcp/22\", \"tcp/5432\"]";
    let (actions, firewall) = match firewall {
        "" => ("", closed.to_owned()),
        RULED => (ACTIONS, format!("{closed}\n{RULED}")),
        LED => (LED_ACTIONS, format!("{closed}\n{LED}")),
        sets => (ACTION_OVER_V4, sets.to_owned()),
    };
    Plan { rules: RULES.replace(closed, &firewall) + actions, ..Plan::default() }
}

/// The gateway's interface to the inside.
const YARD: &str = "yard";
/// Its addresses there.
const INNER: Pair = inside(1);
/// Somebody whose services are protected.
const HOST: Pair = inside(5);
/// Somebody whose are not.
const NEIGHBOUR: Pair = inside(6);
/// UDP ports of the hosts inside.
const NAMES: u16 = 5353;
const UNPROTECTED: u16 = 5354;

const FOR_LONG: u8 = 20;
const FOR_SECONDS: u8 = 21;
const OVER_V4: u8 = 22;

const fn inside(host: u8) -> Pair {
    Pair { v4: Ipv4Addr::new(10, 0, 0, host), v6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, host as u16) }
}

const RULED: &str = r#"protect_forward = ["tcp/5432@10.0.0.5", "tcp/5432@2001:db8:1::5", "udp/5353@10.0.0.5", "udp/5353@2001:db8:1::5"]"#;

const ACTIONS: &str = r#"
[action.inside]
id = 20
users = "all"
grant = ["tcp/5432", "udp/5353"]
to = ["10.0.0.5", "2001:db8:1::5"]

[action.inside-briefly]
id = 21
users = "all"
grant = ["tcp/5432", "udp/5353"]
to = ["10.0.0.5", "2001:db8:1::5"]
ttl = "2s"
"#;

/// Ports of the gateway that lead to the protected services.
const LEADING: u16 = 2222;
const LEADING_NAMES: u16 = 5300;
const LED_FOR_LONG: u8 = 23;
const LED_REVOKED: u8 = 24;

const LED: &str = r#"protect_forward = ["tcp/5432@10.0.0.5", "tcp/5432@2001:db8:1::5", "udp/5353@10.0.0.5", "udp/5353@2001:db8:1::5"]
dnat = [
  "tcp/2222 -> 10.0.0.5:5432", "tcp/2222 -> [2001:db8:1::5]:5432",
  "udp/5300 -> 10.0.0.5:5353", "udp/5300 -> [2001:db8:1::5]:5353",
]"#;

const LED_ACTIONS: &str = r#"
[action.led]
id = 23
users = "all"
grant = ["tcp/2222", "udp/5300"]

[action.led-no-more]
id = 24
users = "all"
revoke = ["led"]
"#;

const ACTION_OVER_V4: &str = r#"
[action.inside-v4]
id = 22
users = "all"
grant = ["tcp/5432"]
to = ["10.0.0.5"]
"#;

const OPERATORS_TABLE: &str = "
add table inet filter
add set inet filter here { type ipv4_addr . inet_proto . inet_service; flags timeout; }
add set inet filter there { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags timeout; }
add chain inet filter forward { type filter hook forward priority 0; }
add rule inet filter forward ct state established accept
add rule inet filter forward ip saddr . ip daddr . meta l4proto . th dport @there accept
add rule inet filter forward DOOR drop
";
