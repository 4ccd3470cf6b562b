//! Ports of this host that lead whoever is granted them to a host behind it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use siglatch_user::config::{Firewall as Settings, OwnTable};
use siglatch_user::edge::firewall::{Firewall, Found, Restored};

use crate::cut::cut_of;
use crate::namespace::{in_namespace, nft, shell};
use crate::neighbour::{NO_WAITING, Neighbour};
use crate::{adopt, grant, key, now};

#[test]
fn the_table_is_what_the_documentation_draws() {
    in_namespace(|| {
        let (mut firewall, _) = Firewall::open(&settings(&[]), &[], now()).unwrap();
        let table = nft("list table inet siglatch");
        let chain = "\
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 2222 ip saddr . meta l4proto . tcp dport @grants_v4 fib daddr type local dnat ip to 10.8.0.2:5432
		tcp dport 2222 ip6 saddr . meta l4proto . tcp dport @grants_v6 fib daddr type local dnat ip6 to [fd08::2]:5432
		udp dport 5300 ip saddr . meta l4proto . udp dport @grants_v4 fib daddr type local dnat ip to 10.8.0.2:53
	}
";
        assert!(table.contains(chain), "{table}");
        assert!(table.contains("elements = { tcp . 22,\n\t\t\t     tcp . 2222,\n\t\t\t     udp . 5300 }"), "{table}");
        assert!(!table.contains("forward"), "{table}");

        let doors = settings(&["tcp/5432@10.8.0.2"]);
        adopt(&mut firewall, &doors, &[], &[], now()).unwrap();
        let table = nft("list chain inet siglatch protected_forward");
        for (protocol, version, set) in
            [("tcp", "ip", "grants_v4"), ("tcp", "ip6", "grants_v6"), ("udp", "ip", "grants_v4")]
        {
            let rule = format!(
                "meta l4proto {protocol} ct status dnat {version} saddr . meta l4proto . ct original proto-dst @{set} accept"
            );
            assert!(table.contains(&rule), "{rule} is not in\n{table}");
        }
        for vandalism in ["flush chain inet siglatch prerouting", "delete table inet siglatch"] {
            nft(vandalism);
            assert_ne!(firewall.restore(&[], now()).unwrap().skeleton, Found::Whole, "{vandalism}");
            assert_eq!(firewall.restore(&[], now()).unwrap(), Restored::default(), "{vandalism}");
        }
        let none = Settings::Table(OwnTable { priority: 0, ..OwnTable::default() });
        adopt(&mut firewall, &none, &[], &[], now()).unwrap();
        assert!(!nft("list table inet siglatch").contains("dnat"));
    });
}

#[test]
fn the_granted_are_led_on_until_their_grant_ends_or_their_connection_is_cut() {
    for doors in [&[][..], &["tcp/5432@10.8.0.2", "tcp/5432@fd08::2"]] {
        in_namespace(move || {
            shell(NO_WAITING);
            let outside = Neighbour::new("outside", ["10.9.0", "fd09:"]);
            let inside = Neighbour::new("inside", ["10.8.0", "fd08:"]);
            shell("echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding");
            let (mut firewall, _) = Firewall::open(&settings(doors), &[], now()).unwrap();
            let service = inside.does(|| TcpListener::bind("[::]:5432").unwrap());
            // What listens here is not reached by anybody.
            let _here = TcpListener::bind("[::]:2222").unwrap();
            for (client, other, gateway) in
                [("10.9.0.2", "10.9.0.3", "10.9.0.1:2222"), ("fd09::2", "fd09::3", "[fd09::1]:2222")]
            {
                let connect = |from: &str| outside.tcp(from.parse().unwrap(), gateway.parse().unwrap());
                assert!(connect(client).is_err(), "closed to whoever has no grant");
                let granted = grant(client, "tcp/2222", 600);
                firewall.write(std::slice::from_ref(&granted), now()).unwrap();
                let (mut before, mut server) = (connect(client).unwrap(), service.accept().unwrap().0);
                assert!(connect(other).is_err(), "closed to others");
                let speak = |mut from: &std::net::TcpStream, mut to: &std::net::TcpStream| {
                    from.write_all(b"hello").unwrap();
                    to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                    to.read_exact(&mut [0; 5]).unwrap();
                };
                firewall.revoke(&[granted.key]).unwrap();
                assert!(connect(client).is_err(), "closed again");
                speak(&before, &server);
                speak(&server, &before);
                assert_eq!(cut_of(&[key(other, "tcp/2222")]).unwrap(), 0);
                assert_eq!(cut_of(&[granted.key]).unwrap(), 1);
                server.write_all(b"news").unwrap();
                before.write_all(b"still here?").unwrap();
                server.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
                let error = server.read(&mut [0; 16]).unwrap_err();
                // The client knows nobody of that address, and may say so.
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset), "{error}");
            }
        });
    }
}

fn settings(doors: &[&str]) -> Settings {
    let dnat = ["udp/5300 -> 10.8.0.2:53", "tcp/2222 -> 10.8.0.2:5432", "tcp/2222 -> [fd08::2]:5432"];
    Settings::Table(OwnTable {
        priority: 0,
        protect: vec!["tcp/22".parse().unwrap()],
        protect_forward: doors.iter().map(|door| door.parse().unwrap()).collect(),
        dnat: dnat.map(|forward| forward.parse().unwrap()).to_vec(),
        ..OwnTable::default()
    })
}
