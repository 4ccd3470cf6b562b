//! Services of hosts behind this one: what the table has for them, and what is written into it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use std::time::Instant;

use siglatch_user::config::{Firewall as Settings, OperatorSets, OwnTable};
use siglatch_user::edge::firewall::{Change, Firewall, FirewallError, Found, Restored};
use siglatch_user::gate::{Grant, GrantKey};
use siglatch_user::policy::Door;

use crate::namespace::{in_namespace, nft, shell};
use crate::neighbour::{NO_WAITING, Neighbour};
use crate::{grant, key, left, now, own};

#[test]
fn the_table_is_what_the_documentation_draws() {
    in_namespace(|| {
        let _firewall = open();
        let expected = "\
	set protected_forward_v4 {
		type ipv4_addr . inet_proto . inet_service
		elements = { 10.8.0.2 . tcp . 5432,
			     10.8.0.2 . udp . 5000 }
	}

	set protected_forward_v6 {
		type ipv6_addr . inet_proto . inet_service
		elements = { fd08::2 . udp . 5000 }
	}

	chain protected {
		ct state established,related accept
		iif \"lo\" accept
		ip saddr . meta l4proto . th dport @grants_v4 accept
		ip6 saddr . meta l4proto . th dport @grants_v6 accept
		counter packets 0 bytes 0 drop
	}

	chain input {
		type filter hook input priority filter; policy accept;
		meta l4proto . th dport @protected jump protected
	}

	chain protected_forward {
		ct state established,related ct direction original accept
		meta l4proto udp ct state established,related accept
		ip saddr . ip daddr . meta l4proto . th dport @forward_v4 accept
		ip6 saddr . ip6 daddr . meta l4proto . th dport @forward_v6 accept
		counter packets 0 bytes 0 drop
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		ip daddr . meta l4proto . th dport @protected_forward_v4 jump protected_forward
		ip6 daddr . meta l4proto . th dport @protected_forward_v6 jump protected_forward
	}
";
        let table = nft("list table inet siglatch");
        for part in expected.split("\n\n") {
            assert!(table.contains(part.trim_end()), "{part}\n\nis not in\n{table}");
        }
        for (set, address) in [("forward_v4", "ipv4_addr"), ("forward_v6", "ipv6_addr")] {
            let drawn = format!(
                "\tset {set} {{\n\t\ttype {address} . {address} . inet_proto . inet_service\n\t\tflags timeout\n\t}}\n"
            );
            assert!(table.contains(&drawn), "{drawn} is not in\n{table}");
        }
    });
}

#[test]
fn a_host_that_protects_none_behind_it_has_no_chain_there_and_says_how_it_would() {
    in_namespace(|| {
        let (mut firewall, _) = Firewall::open(&own(), &[], now()).unwrap();
        assert!(!nft("list ruleset").contains("forward"));
        let wanted = forward("192.0.2.7", "tcp/5432@10.8.0.2");
        let error = firewall.write(std::slice::from_ref(&wanted), now()).unwrap_err();
        let FirewallError::NotWritten { failed, source } = error else { panic!("{error}") };
        assert_eq!(failed, [wanted.key]);
        assert!(source.to_string().starts_with("tcp/5432@10.8.0.2 is not closed"), "{source}");
        assert!(source.to_string().contains("`protect_forward`"), "{source}");
        // There is nothing to end, either.
        firewall.revoke(&[wanted.key]).unwrap();
    });
}

#[test]
fn grants_are_written_renewed_revoked_put_back_and_taken_over() {
    in_namespace(|| {
        let mut firewall = open();
        let live = [
            forward("192.0.2.7", "tcp/5432@10.8.0.2"),
            forward("2001:db8::7", "udp/5000@fd08::2"),
            grant("192.0.2.7", "tcp/22", 300),
        ];
        let mut watcher = firewall.watch().unwrap().unwrap();
        firewall.write(&live, now()).unwrap();
        let v4 = || nft("list set inet siglatch forward_v4");
        assert!(v4().contains("192.0.2.7 . 10.8.0.2 . tcp . 5432 timeout 5m expires "), "{}", v4());
        assert!(v4().contains("comment \"alice ssh\""));
        let v6 = nft("list set inet siglatch forward_v6");
        assert!(v6.contains("2001:db8::7 . fd08::2 . udp . 5000 timeout 5m expires "), "{v6}");
        let renewed = live.each_ref().map(|grant| Grant { ttl: grant.ttl * 2, ..grant.clone() });
        let since = Instant::now();
        firewall.write(&renewed, now()).unwrap();
        assert!(v4().contains("5432 timeout 10m expires "), "{}", v4());
        assert_eq!(watcher.check().unwrap(), None);

        for (vandalism, skeleton, grants) in [
            ("flush ruleset", Found::Missing, 3),
            ("flush set inet siglatch forward_v6", Found::Whole, 1),
            ("flush chain inet siglatch protected_forward", Found::Changed, 0),
            ("flush chain inet siglatch forward", Found::Changed, 0),
            ("delete element inet siglatch protected_forward_v4 { 10.8.0.2 . tcp . 5432 }", Found::Changed, 0),
            ("add element inet siglatch protected_forward_v6 { fd08::3 . tcp . 80 }", Found::Changed, 0),
        ] {
            nft(vandalism);
            assert!(watcher.check().unwrap().is_some(), "{vandalism}");
            let restored = firewall.restore(&left(&renewed, since), now()).unwrap();
            assert_eq!(restored, Restored { skeleton, grants }, "{vandalism}");
            assert_eq!(firewall.restore(&left(&renewed, since), now()).unwrap(), Restored::default(), "{vandalism}");
            watcher.check().unwrap();
        }

        // One destination of several, and nothing else.
        let other = forward("192.0.2.7", "udp/5000@10.8.0.2");
        firewall.write(std::slice::from_ref(&other), now()).unwrap();
        firewall.revoke(&[live[0].key, live[1].key]).unwrap();
        drop(firewall);
        let (_second, mut found) = Firewall::open(&settings(), &[], now()).unwrap();
        found.sort_unstable_by_key(|grant| grant.key);
        assert_eq!(found.iter().map(|grant| grant.key).collect::<Vec<_>>(), [live[2].key, other.key]);
        assert!(found.iter().all(|grant| grant.label == "alice ssh"));
    });
}

#[test]
fn what_is_protected_no_more_goes_with_its_grants() {
    in_namespace(|| {
        let mut first = open();
        first.write(&[forward("192.0.2.7", "tcp/5432@10.8.0.2"), grant("192.0.2.7", "tcp/22", 300)], now()).unwrap();
        drop(first);
        let (_second, found) = Firewall::open(&own(), &[], now()).unwrap();
        assert_eq!(found.iter().map(|grant| grant.key).collect::<Vec<_>>(), [key("192.0.2.7", "tcp/22")]);
        assert!(!nft("list ruleset").contains("forward"));
    });
}

#[test]
fn the_operators_sets_are_checked_filled_and_watched() {
    in_namespace(|| {
        let sets = Settings::Sets(OperatorSets {
            family: "inet".to_owned(),
            table: "filter".to_owned(),
            forward_v4: Some("guests".to_owned()),
            forward_v6: Some("guests6".to_owned()),
            ..OperatorSets::default()
        });
        nft("add table inet filter");
        nft("add set inet filter guests { type ipv4_addr . inet_proto . inet_service; flags timeout; }");
        for cut in ["then: ", "make it: "] {
            let refused = Firewall::check(&sets, &[]).unwrap_err().to_string();
            assert!(refused.contains("ip") && refused.contains("_addr . inet_proto . inet_service"), "{refused}");
            shell(refused.split_once(cut).expect(&refused).1);
        }
        let (mut firewall, _) = Firewall::open(&sets, &[], now()).unwrap();
        let mut watcher = firewall.watch().unwrap().unwrap();
        let live = [forward("192.0.2.7", "tcp/5432@10.8.0.2"), forward("2001:db8::7", "udp/5000@fd08::2")];
        let since = Instant::now();
        firewall.write(&live, now()).unwrap();
        assert!(nft("list set inet filter guests").contains("192.0.2.7 . 10.8.0.2 . tcp . 5432 timeout 5m"));
        assert!(nft("list set inet filter guests6").contains("comment \"siglatch: alice ssh\""));
        nft("flush set inet filter guests6");
        assert_eq!(watcher.check().unwrap(), Some(Change::Elements));
        assert_eq!(
            firewall.restore(&left(&live, since), now()).unwrap(),
            Restored { skeleton: Found::Whole, grants: 1 }
        );

        let error = firewall.write(&[grant("192.0.2.7", "tcp/22", 60)], now()).unwrap_err();
        let FirewallError::NotWritten { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().ends_with("`set_v4`"), "{source}");
        let (_again, found) = Firewall::open(&sets, &[], now()).unwrap();
        assert_eq!(found.len(), 2);
    });
}

#[test]
fn only_the_granted_are_forwarded_and_only_to_that_door_fragments_included() {
    in_namespace(|| {
        shell(NO_WAITING);
        let outside = Neighbour::new("outside", ["10.9.0", "fd09:"]);
        let inside = Neighbour::new("inside", ["10.8.0", "fd08:"]);
        shell("echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding");
        let mut firewall = open();
        let grants = [forward("10.9.0.2", "udp/5000@10.8.0.2"), forward("fd09::2", "udp/5000@fd08::2")];
        firewall.write(&grants, now()).unwrap();

        for (source, granted) in [("10.9.0.2", true), ("10.9.0.3", false), ("fd09::2", true), ("fd09::3", false)] {
            let here = if source.contains(':') { "fd08:" } else { "10.8.0" };
            let separator = if source.contains(':') { ":" } else { "." };
            let at = |host: u8, port| SocketAddr::new(format!("{here}{separator}{host}").parse().unwrap(), port);
            let sender = outside.udp(SocketAddr::new(source.parse().unwrap(), 0));
            // The door; another port of that host, and that port of another host.
            let doors = [at(2, 5000), at(2, 5001), at(3, 5000)].map(|door| inside.udp(door));
            for door in &doors {
                for size in [10, 4000] {
                    sender.send_to(&vec![7; size], door.local_addr().unwrap()).unwrap();
                }
            }
            // What is sent later on the same way has arrived: what has not by then never will.
            for untouched in &doors[1..] {
                assert_eq!([arrived(untouched), arrived(untouched)], [Some(10), Some(4000)], "from {source}");
            }
            doors[0].set_nonblocking(true).unwrap();
            let expected = if granted { [Some(10), Some(4000)] } else { [None, None] };
            assert_eq!([arrived(&doors[0]), arrived(&doors[0])], expected, "from {source}");
        }
    });
}

fn arrived(socket: &UdpSocket) -> Option<usize> {
    socket.recv(&mut [0; 8192]).ok()
}

fn open() -> Firewall {
    Firewall::open(&settings(), &[], now()).unwrap().0
}

fn settings() -> Settings {
    let doors = ["udp/5000@fd08::2", "tcp/5432@10.8.0.2", "udp/5000@10.8.0.2"];
    let protect_forward = doors.map(|door| door.parse().unwrap()).to_vec();
    Settings::Table(OwnTable { name: "siglatch".to_owned(), priority: 0, protect_forward, ..OwnTable::default() })
}

pub fn forward(source: &str, door: &str) -> Grant {
    let Door { destination, service } = door.parse().unwrap();
    let key = GrantKey { destination: Some(destination), service, source: source.parse::<IpAddr>().unwrap().into() };
    Grant { key, ttl: Duration::from_secs(300), label: "alice ssh".to_owned() }
}
