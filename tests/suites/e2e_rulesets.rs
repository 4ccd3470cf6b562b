//! The rulesets of `docs/gateway.md`, as they stand there: loaded, knocked on, and connected through.
#![expect(clippy::disallowed_methods, reason = "firewalld is given files")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::gateway::{DATABASE, Gateway, Plan, RULES, SSH};
use siglatch_tests::netns::{DOOR, Namespace, Street, join};
use siglatch_tests::process::{PATIENCE, Process, wait_until};
use siglatch_tests::scene::{GATEWAY, Pair, STRANGER};
use siglatch_tests::service::{Echo, is_open, opens_within};
use siglatch_tests::stage::client;

#[test]
fn a_hand_written_ruleset_opens_this_host_what_is_behind_it_and_a_port_that_leads_there() -> Result<()> {
    let site = Site::new("yard", [INNER, HOST], "nftables", &[])?;
    let _services = [
        Echo::start(&site.street.gateway, SSH)?,
        Echo::start(&site.inside, SSH)?,
        Echo::start(&site.inside, DATABASE)?,
    ];
    for v4 in [true, false] {
        let here = |port| SocketAddr::new(GATEWAY.of(v4), port);
        let door = SocketAddr::new(HOST.of(v4), DATABASE);
        for (action, service) in [(OPEN, here(SSH)), (INSIDE, door), (LED, here(2222))] {
            site.opens_to_the_client_alone(v4, action, service)?;
        }
    }
    // Loaded again with the sets: they are filled again.
    site.street.gateway.shell("nft flush ruleset")?;
    site.load("nftables")?;
    let filled = || {
        site.street.gateway.shell("nft list set inet filter siglatch_v4").is_ok_and(|set| set.contains("siglatch: "))
    };
    ensure!(wait_until(PATIENCE, filled), "{}", site.daemon.said());
    site.opens(client(true), SocketAddr::new(GATEWAY.of(true), SSH))
}

#[test]
fn beside_firewalld_a_table_closes_what_its_zone_opens() -> Result<()> {
    let site = Site::new("yard", [INNER, HOST], "firewalld", &[])?;
    let firewalld = Firewalld::start(&site.street.gateway)?;
    let _services = [Echo::start(&site.street.gateway, SSH)?, Echo::start(&site.street.gateway, DATABASE)?];
    for v4 in [true, false] {
        site.opens_to_the_client_alone(v4, OPEN, SocketAddr::new(GATEWAY.of(v4), SSH))?;
        // What its zone does not open stays closed.
        let closed = SocketAddr::new(GATEWAY.of(v4), DATABASE);
        ensure!(!site.is_open(client(v4), closed));
    }
    firewalld.ask("--reload")?;
    let ssh = SocketAddr::new(GATEWAY.of(true), SSH);
    site.opens(client(true), ssh)?;
    ensure!(!site.is_open(STRANGER.of(true), ssh), "open to another address after a reload");
    // It is the zone that lets it in: both have a say.
    firewalld.ask("--remove-service=ssh")?;
    ensure!(!site.is_open(client(true), ssh));
    Ok(())
}

#[test]
fn beside_docker_a_table_closes_a_published_port_at_both_hooks() -> Result<()> {
    let site = Site::new("docker0", [BRIDGE, CONTAINER], "docker", DOCKER)?;
    let _container = [Echo::start(&site.inside, 80)?, Echo::start(&site.inside, 81)?];
    // In docker-proxy's place.
    let _proxy = [Echo::start(&site.street.gateway, PUBLISHED)?, Echo::start(&site.street.gateway, OPEN_TO_ALL)?];
    let ports = site.street.gateway.shell("iptables-nft -t nat -S DOCKER")?;
    ensure!(ports.contains("--to-destination 172.17.0.2:80"), "{ports}");
    for v4 in [true, false] {
        let untouched = SocketAddr::new(GATEWAY.of(v4), OPEN_TO_ALL);
        ensure!(site.is_open(STRANGER.of(v4), untouched), "{untouched} is nobody's business");
        site.opens_to_the_client_alone(v4, GET_PUBLISHED, SocketAddr::new(GATEWAY.of(v4), PUBLISHED))?;
    }
    Ok(())
}

/// A daemon in `mode = "sets"` on a gateway with one host behind it. Its parts are taken down in this order.
struct Site {
    daemon: Process,
    gateway: Gateway,
    street: Street,
    inside: Namespace,
}

impl Site {
    /// With the ruleset and the settings of that name, after these commands.
    fn new(interface: &str, [inner, host]: [Pair; 2], name: &str, commands: &[&str]) -> Result<Self> {
        let (street, inside) = (Street::new()?, Namespace::new("in")?);
        for namespace in [&street.gateway, &inside] {
            namespace.shell("cd /proc/sys/net/ipv6/conf; echo 0 | tee all/accept_dad default/accept_dad")?;
        }
        join((&street.gateway, interface), (&inside, DOOR))?;
        for (namespace, interface, Pair { v4, v6 }) in [(&street.gateway, interface, inner), (&inside, DOOR, host)] {
            namespace.ip(&format!("link set {interface} up"))?;
            namespace.ip(&format!("address add {v4}/24 dev {interface}"))?;
            namespace.ip(&format!("address add {v6}/64 dev {interface} nodad"))?;
        }
        for v4 in [true, false] {
            street.outside.ip(&format!("route add {} via {}", host.of(v4), GATEWAY.of(v4)))?;
            inside.ip(&format!("route add default via {}", inner.of(v4)))?;
        }
        street.gateway.shell("echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding")?;
        for command in commands {
            street.gateway.shell(command)?;
        }
        let closed = "[firewall]\nprotect = [\"tcp/22\", \"tcp/5432\"]";
        ensure!(RULES.contains(closed), "the default rules have another firewall");
        let rules =
            RULES.replace(closed, block("settings", name)?) + if name == "nftables" { FORWARDED } else { PUBLISHES };
        let gateway = Gateway::new(&street.gateway, &Plan { rules, ..Plan::default() })?;
        load(&street.gateway, name)?;
        let daemon = gateway.start()?;
        Ok(Self { daemon, gateway, street, inside })
    }

    fn load(&self, name: &str) -> Result<()> {
        load(&self.street.gateway, name)
    }

    fn opens_to_the_client_alone(&self, v4: bool, action: u8, service: SocketAddr) -> Result<()> {
        ensure!(!self.is_open(client(v4), service), "{service} is open before the knock");
        self.gateway.knock(&self.street.outside, client(v4), action)?;
        self.opens(client(v4), service)?;
        ensure!(!self.is_open(STRANGER.of(v4), service), "{service} is open to another address");
        Ok(())
    }

    fn is_open(&self, source: IpAddr, service: SocketAddr) -> bool {
        is_open(&self.street.outside, source, service)
    }

    fn opens(&self, source: IpAddr, service: SocketAddr) -> Result<()> {
        opens_within(PATIENCE, &self.street.outside, source, service)
            .map_err(|error| error.context(self.daemon.said()))?;
        Ok(())
    }
}

/// firewalld as Debian has it, with a message bus of its own, in a namespace.
struct Firewalld {
    _daemon: Process,
    _bus: Process,
    namespace: Namespace,
    folder: PathBuf,
}

impl Firewalld {
    fn start(namespace: &Namespace) -> Result<Self> {
        let folder = std::env::temp_dir().join(namespace.name());
        fs::create_dir_all(&folder)?;
        let (address, rules) = (format!("unix:path={}/bus", folder.display()), folder.join("bus.conf"));
        let listen = format!("<listen>{address}</listen><auth>EXTERNAL</auth>");
        fs::write(&rules, format!("<busconfig>{listen}{EVERYTHING}</busconfig>"))?;
        let mut bus = namespace.command("dbus-daemon");
        let bus = Process::start(bus.arg("--nofork").arg(format!("--config-file={}", rules.display())))?;
        ensure!(wait_until(PATIENCE, || folder.join("bus").exists()), "dbus-daemon: apt-get install dbus-daemon");
        let mut daemon = namespace.command("firewalld");
        daemon
            .env("DBUS_SYSTEM_BUS_ADDRESS", &address)
            .args(["--nofork", "--nopid", "--log-file"])
            .arg(folder.join("log"));
        let daemon = Process::start(&mut daemon).context("apt-get install firewalld")?;
        let firewalld = Self { _daemon: daemon, _bus: bus, namespace: namespace.clone(), folder };
        ensure!(wait_until(4 * PATIENCE, || firewalld.ask("--state").is_ok()), "firewalld does not start");
        Ok(firewalld)
    }

    fn ask(&self, what: &str) -> Result<String> {
        let address = format!("DBUS_SYSTEM_BUS_ADDRESS=unix:path={}/bus", self.folder.display());
        self.namespace.shell(&format!("{address} firewall-cmd {what}"))
    }
}

impl Drop for Firewalld {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Loads a ruleset of the document.
fn load(namespace: &Namespace, name: &str) -> Result<()> {
    let ruleset = block("ruleset", name)?;
    namespace.shell(&format!("nft -f - <<'END'\n{ruleset}\nEND"))?;
    Ok(())
}

/// A block of the document, by the comment before it.
fn block(kind: &str, name: &str) -> Result<&'static str> {
    let comment = format!("<!-- {kind}: {name} -->\n```");
    let (_, behind) = DOCUMENT.split_once(&comment).with_context(|| format!("no {kind} of {name}"))?;
    let (_, text) = behind.split_once('\n').context("an empty block")?;
    Ok(text.split_once("\n```").context("a block without an end")?.0)
}

const DOCUMENT: &str = include_str!("../../docs/gateway.md");

/// The gateway's addresses inside, and the host's that it leads to.
const INNER: Pair = inside(1);
const HOST: Pair = inside(5);

/// Docker's bridge, and a container.
const BRIDGE: Pair = container(1);
const CONTAINER: Pair = container(2);
const PUBLISHED: u16 = 8080;
const OPEN_TO_ALL: u16 = 9090;

const fn inside(host: u8) -> Pair {
    Pair { v4: Ipv4Addr::new(10, 0, 0, host), v6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, host as u16) }
}

const fn container(host: u8) -> Pair {
    Pair { v4: Ipv4Addr::new(172, 17, 0, host), v6: Ipv6Addr::new(0xfd00, 0xd0c, 0, 0, 0, 0, 0, host as u16) }
}

const OPEN: u8 = 1;
const INSIDE: u8 = 20;
const LED: u8 = 21;
const GET_PUBLISHED: u8 = 22;

const FORWARDED: &str = r#"
[action.inside]
id = 20
users = "all"
grant = ["tcp/5432"]
to = ["10.0.0.5", "2001:db8:1::5"]

[action.led]
id = 21
users = "all"
grant = ["tcp/2222"]
"#;

const PUBLISHES: &str = r#"
[action.published]
id = 22
users = "all"
grant = ["tcp/8080"]
"#;

const EVERYTHING: &str = "<policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>\
                          <allow own=\"*\"/><allow user=\"*\"/></policy>";

/// What Docker 24 writes at its start, and for `docker run -p 8080:80 -p 9090:81`.
const DOCKER: &[&str] = &[
    "iptables-nft -t nat -N DOCKER",
    "iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "iptables-nft -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
    "iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    "iptables-nft -t nat -A DOCKER -i docker0 -j RETURN",
    "iptables-nft -P FORWARD DROP",
    "iptables-nft -N DOCKER",
    "iptables-nft -N DOCKER-ISOLATION-STAGE-1",
    "iptables-nft -N DOCKER-ISOLATION-STAGE-2",
    "iptables-nft -N DOCKER-USER",
    "iptables-nft -A FORWARD -j DOCKER-USER",
    "iptables-nft -A FORWARD -j DOCKER-ISOLATION-STAGE-1",
    "iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "iptables-nft -A FORWARD -o docker0 -j DOCKER",
    "iptables-nft -A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    "iptables-nft -A FORWARD -i docker0 -o docker0 -j ACCEPT",
    "iptables-nft -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
    "iptables-nft -A DOCKER-ISOLATION-STAGE-1 -j RETURN",
    "iptables-nft -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
    "iptables-nft -A DOCKER-ISOLATION-STAGE-2 -j RETURN",
    "iptables-nft -A DOCKER-USER -j RETURN",
    "iptables-nft -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
    "iptables-nft -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 9090 -j DNAT --to-destination 172.17.0.2:81",
    "iptables-nft -t nat -A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE",
    "iptables-nft -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
    "iptables-nft -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 81 -j ACCEPT",
];
