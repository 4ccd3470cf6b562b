//! Our own table: what it looks like, what is written into it, and what a second start makes of it.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use siglatch_user::config::{Firewall as Settings, OwnTable};
use siglatch_user::edge::firewall::{Firewall, FirewallError};
use siglatch_user::gate::Grant;

use crate::namespace::{in_namespace, nft};
use crate::{assert_left, grant, key, now, open, own, read_back};

#[test]
fn the_table_is_what_the_documentation_draws() {
    in_namespace(|| {
        let (_firewall, grants) = Firewall::open(&own(), &[62201, 62202], now()).unwrap();
        assert_eq!(grants, []);
        let expected = "\
table inet siglatch {
	set grants_v4 {
		type ipv4_addr . inet_proto . inet_service
		flags timeout
	}

	set grants_v6 {
		type ipv6_addr . inet_proto . inet_service
		flags timeout
	}

	set protected {
		type inet_proto . inet_service
		elements = { tcp . 22,
			     udp . 51820 }
	}

	set knock_ports {
		type inet_service
		elements = { 62201, 62202 }
	}

	chain protected {
		ct state established,related accept
		iif \"lo\" accept
		ip saddr . meta l4proto . th dport @grants_v4 accept
		ip6 saddr . meta l4proto . th dport @grants_v6 accept
		counter packets 0 bytes 0 drop
	}

	chain input {
		type filter hook input priority filter - 7; policy accept;
		udp dport @knock_ports drop
		meta l4proto . th dport @protected jump protected
	}
}
";
        assert_eq!(nft("list table inet siglatch"), expected);
    });
}

#[test]
fn without_knock_ports_the_table_has_none() {
    in_namespace(|| {
        let _firewall = open(&[]);
        assert!(!nft("list table inet siglatch").contains("knock_ports"));
    });
}

#[test]
fn a_grant_is_an_element_with_timeout_and_comment() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        let grants = [grant("192.0.2.7", "tcp/22", 300), grant("2001:db8::7", "udp/51820", 600)];
        firewall.write(&grants, now()).unwrap();
        let v4 = nft("list set inet siglatch grants_v4");
        assert!(v4.contains("192.0.2.7 . tcp . 22 timeout 5m expires "), "{v4}");
        assert!(v4.contains("comment \"alice ssh\""), "{v4}");
        let v6 = nft("list set inet siglatch grants_v6");
        assert!(v6.contains("2001:db8::7 . udp . 51820 timeout 10m expires "), "{v6}");
        assert!(v6.contains("comment \"alice ssh\""), "{v6}");
    });
}

#[test]
fn renewal_extends_and_never_shortens() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        firewall.write(&[grant("192.0.2.7", "tcp/22", 60)], now()).unwrap();
        let longer = Grant { label: "alice ssh again".to_owned(), ..grant("192.0.2.7", "tcp/22", 600) };
        firewall.write(&[longer], now()).unwrap();
        assert_left("192.0.2.7", 595, 600);
        assert!(nft("list set inet siglatch grants_v4").contains("alice ssh again"));
        firewall.write(&[grant("192.0.2.7", "tcp/22", 60)], now()).unwrap();
        assert_left("192.0.2.7", 595, 600);
    });
}

#[test]
fn what_others_wrote_is_not_shortened_either() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        nft("add element inet siglatch grants_v4 { 192.0.2.7 . tcp . 22 timeout 600s, 192.0.2.8 . tcp . 22 }");
        nft("add element inet siglatch grants_v4 { 192.0.2.9 . tcp . 22 timeout 30s }");
        let grants = ["192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.10"].map(|ip| grant(ip, "tcp/22", 60));
        firewall.write(&grants, now()).unwrap();
        assert_left("192.0.2.7", 595, 600);
        assert!(nft("list set inet siglatch grants_v4").contains("192.0.2.8 . tcp . 22,"), "still without an end");
        assert_left("192.0.2.9", 55, 60);
        assert_left("192.0.2.10", 55, 60);
    });
}

#[test]
fn one_address_granted_twice_in_a_batch_gets_the_longer_time() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        let grants = [60, 600, 300].map(|secs| grant("192.0.2.7", "tcp/22", secs));
        firewall.write(&grants, now()).unwrap();
        assert_left("192.0.2.7", 595, 600);
    });
}

#[test]
fn the_kernel_ends_a_grant_and_it_can_be_given_anew() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        let short = Grant { ttl: Duration::from_secs(1), ..grant("192.0.2.7", "tcp/22", 0) };
        firewall.write(std::slice::from_ref(&short), now()).unwrap();
        assert!(nft("list set inet siglatch grants_v4").contains("192.0.2.7"));
        // Renewing right around the end, too: the element may be there or not.
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(998));
            firewall.write(std::slice::from_ref(&short), now()).unwrap();
            assert!(nft("list set inet siglatch grants_v4").contains("192.0.2.7"));
        }
        thread::sleep(Duration::from_millis(1500));
        assert!(!nft("list set inet siglatch grants_v4").contains("192.0.2.7"));
        firewall.write(&[short], now()).unwrap();
        assert!(nft("list set inet siglatch grants_v4").contains("192.0.2.7"));
    });
}

#[test]
fn no_time_opens_nothing() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        firewall.write(&[grant("192.0.2.7", "tcp/22", 0)], now()).unwrap();
        assert_eq!(read_back(), []);
    });
}

#[test]
fn a_thousand_grants_go_in_and_are_read_back() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        let label = "x".repeat(Grant::LABEL_MAX);
        let grants: Vec<_> = (0..1000_u32)
            .map(|n| {
                let source = if n % 2 == 0 { format!("10.0.{}.{}", n / 256, n % 256) } else { format!("fd00::{n:x}") };
                Grant { label: label.clone(), ..grant(&source, "tcp/22", 300) }
            })
            .collect();
        firewall.write(&grants, now()).unwrap();
        let renewed: Vec<_> =
            grants.iter().map(|grant| Grant { ttl: Duration::from_secs(900), ..grant.clone() }).collect();
        firewall.write(&renewed, now()).unwrap();
        drop(firewall);

        let found: BTreeMap<_, _> = read_back().into_iter().map(|grant| (grant.key, grant)).collect();
        assert_eq!(found.len(), 1000);
        for grant in &renewed {
            let found = &found[&grant.key];
            assert_eq!(found.label, label);
            assert!(found.ttl > Duration::from_secs(890) && found.ttl <= grant.ttl, "{found:?}");
        }
    });
}

#[test]
fn revoked_grants_are_gone_and_missing_ones_no_error() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        let grants = ["192.0.2.7", "192.0.2.8", "2001:db8::7"].map(|ip| grant(ip, "tcp/22", 60));
        firewall.write(&grants, now()).unwrap();
        firewall.revoke(&["192.0.2.7", "192.0.2.99", "2001:db8::7"].map(|ip| key(ip, "tcp/22"))).unwrap();
        let left: Vec<_> = read_back().into_iter().map(|grant| grant.key).collect();
        assert_eq!(left, [key("192.0.2.8", "tcp/22")]);
        firewall.write(&[grant("192.0.2.7", "tcp/22", 30)], now()).unwrap();
        assert_left("192.0.2.7", 25, 30);
    });
}

#[test]
fn a_second_start_takes_the_grants_over() {
    in_namespace(|| {
        let mut first = open(&[62201]);
        let grants = [grant("192.0.2.7", "tcp/22", 300), grant("2001:db8::7", "udp/51820", 300)];
        first.write(&grants, now()).unwrap();
        drop(first);

        let changed =
            Settings::Table(OwnTable { priority: 5, protect: vec!["tcp/443".parse().unwrap()], ..OwnTable::default() });
        let (mut second, found) = Firewall::open(&changed, &[], now()).unwrap();
        let mut keys: Vec<_> = found.iter().map(|grant| grant.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, grants.each_ref().map(|grant| grant.key));
        assert!(found.iter().all(|grant| grant.label == "alice ssh" && grant.ttl > Duration::from_secs(295)));
        let table = nft("list table inet siglatch");
        assert!(table.contains("priority filter + 5") && table.contains("tcp . 443"), "{table}");
        assert!(!table.contains("tcp . 22,") && !table.contains("knock_ports"), "{table}");
        // It knows of them: what is shorter changes nothing, what is longer does.
        second.write(&[grant("192.0.2.7", "tcp/22", 60)], now()).unwrap();
        assert_left("192.0.2.7", 290, 300);
        second.write(&[grant("192.0.2.7", "tcp/22", 900)], now()).unwrap();
        assert_left("192.0.2.7", 895, 900);
    });
}

#[test]
fn sets_of_another_type_are_replaced_and_what_they_granted_is_kept() {
    in_namespace(|| {
        nft("add table inet siglatch");
        nft(
            "add set inet siglatch grants_v4 { type ipv4_addr . inet_proto . inet_service; flags timeout; timeout 1h; }",
        );
        nft("add set inet siglatch grants_v6 { type ipv6_addr; flags timeout; }");
        nft("add element inet siglatch grants_v4 { 192.0.2.7 . tcp . 22 timeout 300s comment \"bob ssh\" }");
        nft("add chain inet siglatch input");
        nft("add rule inet siglatch input ip saddr . meta l4proto . th dport @grants_v4 accept");
        let (_firewall, found) = Firewall::open(&own(), &[], now()).unwrap();
        assert_eq!(found.len(), 1);
        assert_left("192.0.2.7", 295, 300);
        let table = nft("list table inet siglatch");
        assert!(table.contains("comment \"bob ssh\""), "{table}");
        assert!(!table.contains("timeout 1h"), "{table}");
        assert!(table.contains("type ipv6_addr . inet_proto . inet_service"), "{table}");
    });
}

#[test]
fn other_tables_stay_as_they_are() {
    in_namespace(|| {
        nft("add table inet filter");
        nft("add set inet filter grants_v4 { type ipv4_addr; }");
        nft("add chain inet filter input { type filter hook input priority 0; policy accept; }");
        nft("add rule inet filter input ip saddr @grants_v4 counter accept comment \"mine\"");
        nft("add table ip siglatch");
        nft("add chain ip siglatch input { type filter hook input priority 0; policy accept; }");
        let before = [nft("-a list table inet filter"), nft("-a list table ip siglatch")];
        let mut firewall = open(&[62201]);
        let live = [grant("192.0.2.7", "tcp/22", 60)];
        firewall.write(&live, now()).unwrap();
        nft("delete table inet siglatch");
        firewall.restore(&live, now()).unwrap();
        assert_eq!([nft("-a list table inet filter"), nft("-a list table ip siglatch")], before);
    });
}

#[test]
fn a_check_changes_nothing() {
    in_namespace(|| {
        Firewall::check(&own(), &[62201]).unwrap();
        assert_eq!(nft("list ruleset"), "");
        let bad = Settings::Table(OwnTable { name: "x".repeat(256), ..OwnTable::default() });
        let error = Firewall::check(&bad, &[]).unwrap_err();
        assert!(matches!(error, FirewallError::Kernel { .. }), "{error}");
    });
}

#[test]
fn taking_it_away_leaves_other_tables_and_nothing_of_its_own() {
    in_namespace(|| {
        nft("add table inet others");
        assert!(!Firewall::take_away(&own()).unwrap());
        let (mut firewall, _) = Firewall::open(&own(), &[62201], now()).unwrap();
        firewall.write(&[grant("192.0.2.7", "tcp/22", 60)], now()).unwrap();
        assert!(Firewall::take_away(&own()).unwrap());
        assert_eq!(nft("list tables"), "table inet others\n");
        assert!(!Firewall::take_away(&own()).unwrap());
    });
}
