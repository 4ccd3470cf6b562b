//! Connections that outlive their grant, and are cut.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use siglatch_user::config::{Firewall as Settings, OwnTable};
use siglatch_user::edge::conntrack::cut;
use siglatch_user::edge::firewall::Firewall;
use siglatch_user::gate::{GrantKey, Whose};

use crate::forward::forward;
use crate::namespace::{in_namespace, nft, shell};
use crate::neighbour::{NO_WAITING, Neighbour};
use crate::{grant, key, now};

#[test]
fn a_connection_outlives_its_grant_until_it_is_cut_and_others_stay() {
    in_namespace(|| {
        shell(NO_WAITING);
        let outside = Neighbour::new("outside", ["10.9.0", "fd09:"]);
        let mut firewall = open();
        let service = TcpListener::bind("[::]:5000").unwrap();
        let open_to = TcpListener::bind("[::]:5001").unwrap();
        let clients = ["10.9.0.2", "10.9.0.3", "fd09::2", "fd09::3"];
        firewall.write(&clients.map(|client| grant(client, "tcp/5000", 600)), now()).unwrap();
        let mut lines = clients.map(|client| Line::new(&outside, client, &service, 5000));
        // Nothing is closed on this port, so nothing of it is cut.
        let mut untouched = Line::new(&outside, clients[0], &open_to, 5001);

        let ended = [clients[0], clients[2]].map(|client| key(client, "tcp/5000"));
        firewall.revoke(&ended).unwrap();
        lines.iter_mut().for_each(Line::speaks);
        assert_eq!(cut_of(&ended).unwrap(), 2);
        for (at, line) in lines.iter_mut().enumerate() {
            if at % 2 == 1 {
                line.speaks();
                continue;
            }
            let error = line.client.read(&mut [0; 16]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            assert!(matches!(line.server.read(&mut [0; 16]), Err(_) | Ok(0)), "the service hears of it");
        }
        untouched.speaks();
        assert_eq!(cut_of(&ended).unwrap(), 0);
        assert!(outside.tcp(clients[0].parse().unwrap(), at(clients[0], 5000)).is_err(), "closed");
    });
}

#[test]
fn what_is_forwarded_is_cut_by_where_it_got_to_and_does_not_come_back_when_the_service_speaks() {
    in_namespace(|| {
        shell(NO_WAITING);
        let outside = Neighbour::new("outside", ["10.9.0", "fd09:"]);
        let inside = Neighbour::new("inside", ["10.8.0", "fd08:"]);
        shell("echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding");
        nft("add table ip nat");
        nft("add chain ip nat pre { type nat hook prerouting priority -100; }");
        nft("add rule ip nat pre tcp dport 8080 dnat to 10.8.0.2:5432");
        let mut firewall = open();
        let service = inside.does(|| TcpListener::bind("[::]:5432").unwrap());
        let grants = [forward("10.9.0.2", "tcp/5432@10.8.0.2"), forward("fd09::2", "tcp/5432@fd08::2")];
        firewall.write(&grants, now()).unwrap();
        let client = |address: &str, to: &str| {
            let client = outside.tcp(address.parse().unwrap(), to.parse().unwrap()).unwrap();
            Line::of(client, service.accept().unwrap().0)
        };
        let mut lines = [
            client("10.9.0.2", "10.8.0.2:5432"),
            // Known outside as another port of the gateway's.
            client("10.9.0.2", "10.9.0.1:8080"),
            client("fd09::2", "[fd08::2]:5432"),
        ];
        // A service that nothing is closed of.
        let mut untouched = client("10.9.0.2", "10.8.0.3:5432");
        let keys = grants.each_ref().map(|grant| grant.key);
        firewall.revoke(&keys).unwrap();
        lines.iter_mut().for_each(Line::speaks);

        assert_eq!(cut_of(&keys).unwrap(), 3);
        for line in &mut lines {
            // The service speaks first: the connection is tracked again, but as one that the service began.
            line.server.write_all(b"news").unwrap();
            line.client.write_all(b"still here?").unwrap();
            line.server.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            let error = line.server.read(&mut [0; 16]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
        }
        untouched.speaks();
        // A new grant lets the same connection go on.
        firewall.write(&grants, now()).unwrap();
        lines[0].server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(lines[0].server.read(&mut [0; 16]).unwrap(), 11);
    });
}

#[test]
fn flows_of_udp_are_forgotten_and_their_number_is_told() {
    in_namespace(|| {
        shell(NO_WAITING);
        let outside = Neighbour::new("outside", ["10.9.0", "fd09:"]);
        let mut firewall = open();
        let service = UdpSocket::bind("[::]:5000").unwrap();
        service.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let granted = grant("10.9.0.2", "udp/5000", 600);
        firewall.write(std::slice::from_ref(&granted), now()).unwrap();
        let client = outside.udp("10.9.0.2:0".parse().unwrap());
        client.send_to(b"hello", "10.9.0.1:5000").unwrap();
        let (_, from) = service.recv_from(&mut [0; 16]).unwrap();
        service.send_to(b"hello", from).unwrap();
        client.recv(&mut [0; 16]).unwrap();
        firewall.revoke(&[granted.key]).unwrap();
        client.send_to(b"established", "10.9.0.1:5000").unwrap();
        assert_eq!(service.recv(&mut [0; 16]).unwrap(), 11);
        // Grants of many others do not matter: then the whole table is looked through.
        let mut keys: Vec<_> = (0..100).map(|n| key(&format!("10.1.0.{n}"), "udp/5000")).collect();
        assert_eq!(cut_of(&keys).unwrap(), 0);
        keys.push(granted.key);
        assert_eq!(cut_of(&keys).unwrap(), 1);
        client.send_to(b"cut", "10.9.0.1:5000").unwrap();
        service.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(service.recv(&mut [0; 16]).is_err());
    });
}

#[test]
fn everybody_is_cut_off_what_is_closed_but_the_gateway_itself() {
    in_namespace(|| {
        shell(NO_WAITING);
        shell("ip link set lo up");
        // Connections are tracked before.
        nft("add table inet tracked");
        nft("add chain inet tracked pre { type filter hook prerouting priority 0; }");
        nft("add rule inet tracked pre ct state established counter");
        let outside = Neighbour::new("outside", ["10.9.0", "fd09:"]);
        let inside = Neighbour::new("inside", ["10.8.0", "fd08:"]);
        shell("echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding");
        let here = TcpListener::bind("[::]:5000").unwrap();
        let open_to = TcpListener::bind("[::]:5001").unwrap();
        let behind = inside.does(|| TcpListener::bind("[::]:5432").unwrap());
        // From before there was a firewall: no grant has let them in.
        let to_behind = |address: &str, to: &str| {
            let client = outside.tcp(address.parse().unwrap(), to.parse().unwrap()).unwrap();
            Line::of(client, behind.accept().unwrap().0)
        };
        let mut closed = [
            Line::new(&outside, "10.9.0.2", &here, 5000),
            Line::new(&outside, "fd09::2", &here, 5000),
            to_behind("10.9.0.2", "10.8.0.2:5432"),
            to_behind("fd09::2", "[fd08::2]:5432"),
        ];
        let own =
            |to: &str, service: &TcpListener| Line::of(TcpStream::connect(to).unwrap(), service.accept().unwrap().0);
        let mut others = [
            Line::new(&outside, "10.9.0.2", &open_to, 5001),
            to_behind("10.9.0.2", "10.8.0.3:5432"),
            own("127.0.0.1:5000", &here),
            own("[::1]:5000", &here),
            own("10.9.0.1:5000", &here),
            own("10.8.0.2:5432", &behind),
        ];
        let _firewall = open();
        closed.iter_mut().chain(&mut others).for_each(Line::speaks);

        assert_eq!(cut(&Whose::Everybody(settings().closed().collect())).unwrap(), 4);
        for line in &mut closed {
            // To services of this host by a reset; what is forwarded is heard no more.
            let _ = line.client.write_all(b"still here?");
            line.server.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            assert!(matches!(line.server.read(&mut [0; 16]), Err(_) | Ok(0)), "{line:?}");
        }
        others.iter_mut().for_each(Line::speaks);
        assert_eq!(cut(&Whose::Of([].into())).unwrap(), 0);
    });
}

/// A connection, both ends of it.
#[derive(Debug)]
struct Line {
    client: TcpStream,
    server: TcpStream,
}

impl Line {
    fn new(outside: &Neighbour, client: &str, service: &TcpListener, port: u16) -> Self {
        let client = outside.tcp(client.parse().unwrap(), at(client, port)).unwrap();
        Self::of(client, service.accept().unwrap().0)
    }

    fn of(client: TcpStream, server: TcpStream) -> Self {
        for end in [&client, &server] {
            end.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        let mut line = Self { client, server };
        line.speaks();
        line
    }

    /// Asserts that both hear each other.
    fn speaks(&mut self) {
        self.client.write_all(b"question").unwrap();
        self.server.read_exact(&mut [0; 8]).unwrap();
        self.server.write_all(b"answer").unwrap();
        self.client.read_exact(&mut [0; 6]).unwrap();
    }
}

/// The gateway's address, of the version of this one.
fn at(client: &str, port: u16) -> SocketAddr {
    let gateway: IpAddr = if client.contains(':') { "fd09::1" } else { "10.9.0.1" }.parse().unwrap();
    SocketAddr::new(gateway, port)
}

/// What was let in by these, and by no others.
pub(super) fn cut_of(keys: &[GrantKey]) -> std::io::Result<usize> {
    cut(&Whose::Of(keys.iter().copied().collect()))
}

fn open() -> Firewall {
    Firewall::open(&settings(), &[], now()).unwrap().0
}

fn settings() -> Settings {
    Settings::Table(OwnTable {
        priority: 0,
        protect: ["tcp/5000", "udp/5000"].map(|service| service.parse().unwrap()).to_vec(),
        protect_forward: ["tcp/5432@10.8.0.2", "tcp/5432@fd08::2"].map(|door| door.parse().unwrap()).to_vec(),
        ..OwnTable::default()
    })
}
