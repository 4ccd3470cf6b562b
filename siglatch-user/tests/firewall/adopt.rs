//! A living firewall goes over to other settings: nothing opens or closes on the way that should not.

use std::net::IpAddr;
use std::time::Duration;
use std::time::Instant;

use siglatch_user::config::{Firewall as Settings, OperatorSets, OwnTable};
use siglatch_user::edge::firewall::{Adopted, Begun, Change, Firewall, FirewallError, Restored};
use siglatch_user::gate::{Grant, GrantKey};

use crate::namespace::{in_namespace, nft};
use crate::{adopt, assert_left, grant, key, left, now, own, read_back};

#[test]
fn what_is_protected_changes_and_grants_keep_their_time() {
    in_namespace(|| {
        let (mut firewall, _) = Firewall::open(&own(), &[62201], now()).unwrap();
        let live = [grant("192.0.2.7", "tcp/22", 300), grant("2001:db8::7", "tcp/22", 300)];
        let since = Instant::now();
        firewall.write(&live, now()).unwrap();
        let mut watcher = firewall.watch().unwrap().unwrap();

        let wanted = table(5, &["tcp/22", "tcp/443"], &["tcp/22@10.0.0.5"]);
        assert_eq!(adopt(&mut firewall, &wanted, &[62202], &live, now()).unwrap(), Adopted::default());
        let listed = nft("list table inet siglatch");
        for part in
            ["priority filter + 5", "tcp . 443", "10.0.0.5 . tcp . 22", "elements = { 62202 }", "chain forward {"]
        {
            assert!(listed.contains(part), "{part} is not in\n{listed}");
        }
        assert!(!listed.contains("51820") && !listed.contains("62201"), "{listed}");
        assert_left("192.0.2.7", 290, 300);
        // It knows what it holds, and finds the table as it should be.
        watcher.check().unwrap();
        firewall.write(&[grant("192.0.2.7", "tcp/22", 60)], now()).unwrap();
        assert_left("192.0.2.7", 290, 300);
        assert_eq!(firewall.restore(&left(&live, since), now()).unwrap(), Restored::default());
        assert_eq!(watcher.check().unwrap(), None);

        // What is flushed is put back as it is now, not as it was.
        nft("flush ruleset");
        firewall.restore(&left(&live, since), now()).unwrap();
        assert!(nft("list table inet siglatch").contains("10.0.0.5 . tcp . 22"));
        // And back: the sets of hosts behind this one go with what stands in them.
        assert_eq!(adopt(&mut firewall, &own(), &[], &live, now()).unwrap(), Adopted::default());
        let listed = nft("list table inet siglatch");
        assert!(!listed.contains("forward") && !listed.contains("knock_ports"), "{listed}");
        drop(firewall);
        assert_eq!(read_back().len(), 2);
    });
}

#[test]
fn nothing_is_run_if_nothing_has_changed() {
    in_namespace(|| {
        let (mut firewall, _) = Firewall::open(&own(), &[62201, 62202], now()).unwrap();
        let before = nft("-a list ruleset");
        let mut watcher = firewall.watch().unwrap().unwrap();
        // Another order is no other setting.
        let same = table(-7, &["tcp/22", "udp/51820"], &[]);
        assert_eq!(adopt(&mut firewall, &same, &[62202, 62201], &[], now()).unwrap(), Adopted::default());
        assert_eq!((nft("-a list ruleset"), watcher.check().unwrap()), (before, None));

        operators_table();
        let (mut firewall, _) = Firewall::open(&sets("a"), &[], now()).unwrap();
        firewall.write(&[grant("192.0.2.7", "tcp/22", 300)], now()).unwrap();
        assert_eq!(adopt(&mut firewall, &sets("a"), &[62203], &[], now()).unwrap(), Adopted::default());
        assert!(nft("list set inet filter a").contains("192.0.2.7"));
    });
}

#[test]
fn what_is_closed_changes_without_another_rule() {
    in_namespace(|| {
        let before = table(-10, &["tcp/22", "tcp/80"], &["tcp/22@10.0.0.5", "tcp/22@2001:db8::5"]);
        let (mut firewall, _) = Firewall::open(&before, &[62201], now()).unwrap();
        let mut watcher = firewall.watch().unwrap().unwrap();
        let rules = |listed: String| -> Vec<String> {
            listed.lines().filter(|line| line.contains("handle")).map(str::to_owned).collect()
        };
        let handles = rules(nft("-a list table inet siglatch"));
        let after = table(-10, &["tcp/22", "udp/53"], &["tcp/23@10.0.0.5", "udp/53@10.0.0.6"]);
        assert_eq!(adopt(&mut firewall, &after, &[62202], &[], now()).unwrap(), Adopted::default());
        assert_eq!(rules(nft("-a list table inet siglatch")), handles);
        let (changed, notices) = (nft("list table inet siglatch"), watcher.check().unwrap());
        assert_eq!((firewall.restore(&[], now()).unwrap(), notices), (Restored::default(), None));

        // `nft` would have made the same.
        nft("flush ruleset");
        drop(Firewall::open(&after, &[62202], now()).unwrap());
        assert_eq!(nft("list table inet siglatch"), changed);

        // What somebody has changed meanwhile is put right on the way.
        nft("delete table inet siglatch");
        assert_eq!(adopt(&mut firewall, &before, &[62201], &[], now()).unwrap(), Adopted::default());
        assert_eq!(firewall.restore(&[], now()).unwrap(), Restored::default());
        assert!(nft("list set inet siglatch protected").contains("tcp . 80"));
    });
}

#[test]
fn what_opens_and_ends_while_the_table_is_written_does_so() {
    in_namespace(|| {
        // With a set that stays, and with one that somebody has spoiled, which is made anew.
        for spoils in [false, true] {
            let (mut firewall, _) = Firewall::open(&own(), &[62201], now()).unwrap();
            let (stays, ends) = (grant("192.0.2.7", "tcp/22", 300), grant("192.0.2.8", "tcp/22", 300));
            let since = Instant::now();
            firewall.write(&[stays.clone(), ends.clone()], now()).unwrap();
            if spoils {
                nft("add table inet siglatch { flags dormant; }");
            }
            let wanted = table(5, &["tcp/22", "tcp/443"], &[]);
            let Begun::Aside(rewrite) =
                firewall.begin(&wanted, &[62201], &[stays.clone(), ends.clone()], now()).unwrap()
            else {
                panic!("it is another table")
            };
            let opens = grant("192.0.2.9", "tcp/22", 300);
            if !spoils {
                firewall.write(std::slice::from_ref(&opens), now()).unwrap();
            }
            firewall.revoke(&[ends.key]).unwrap();
            let rewritten = rewrite.write();
            if spoils {
                firewall.write(std::slice::from_ref(&opens), now()).unwrap();
            }
            let live = [stays, opens];
            let Adopted { placeless, risen } = firewall.finish(rewritten, &live).unwrap();
            assert_eq!(placeless, []);
            assert_eq!(risen, if spoils { vec![ends.key] } else { vec![] });
            firewall.revoke(&risen).unwrap();
            assert_eq!(firewall.restore(&left(&live, since), now()).unwrap(), Restored::default());
            let set = nft("list set inet siglatch grants_v4");
            assert!(set.contains("192.0.2.7") && set.contains("192.0.2.9") && !set.contains("192.0.2.8"), "{set}");
            nft("flush ruleset");
        }
    });
}

#[test]
fn what_is_refused_changes_nothing() {
    in_namespace(|| {
        let (mut firewall, _) = Firewall::open(&own(), &[62201], now()).unwrap();
        let live = [grant("192.0.2.7", "tcp/22", 300)];
        let since = Instant::now();
        firewall.write(&live, now()).unwrap();
        let before = nft("-at list table inet siglatch");
        let another = OwnTable { name: "another".to_owned(), ..OwnTable::default() };
        for refused in [Settings::Table(another), sets("a"), Settings::Untouched] {
            let error = adopt(&mut firewall, &refused, &[], &live, now()).unwrap_err();
            assert!(matches!(error, FirewallError::NotLive), "{error}");
        }
        assert_eq!(nft("-at list table inet siglatch"), before);
        // nftables keeps no such comment, and says no to the whole transaction.
        let key = GrantKey { destination: Some("10.0.0.5".parse::<IpAddr>().unwrap().into()), ..live[0].key };
        let unfit = Grant { key, label: "x".repeat(300), ..live[0].clone() };
        let wanted = table(0, &["tcp/443"], &["tcp/22@10.0.0.5"]);
        let error = adopt(&mut firewall, &wanted, &[], &[unfit], now()).unwrap_err();
        assert!(matches!(error, FirewallError::NftRefused { .. }), "{error}");
        assert_eq!(nft("-at list table inet siglatch"), before);
        assert_eq!(firewall.restore(&left(&live, since), now()).unwrap(), Restored::default());
        assert_left("192.0.2.7", 295, 300);
    });
}

#[test]
fn grants_move_from_set_to_set_of_the_operators() {
    in_namespace(|| {
        operators_table();
        let (mut firewall, _) = Firewall::open(&sets("a"), &[], now()).unwrap();
        let live = [grant("192.0.2.7", "tcp/22", 300), grant("2001:db8::7", "tcp/22", 300)];
        let since = Instant::now();
        firewall.write(&live, now()).unwrap();
        nft("add element inet filter a { 192.0.2.99 . tcp . 22 timeout 1h comment \"the boss\" }");
        // One that holds no more under the new settings.
        firewall.write(&[grant("192.0.2.66", "tcp/22", 300)], now()).unwrap();
        let mut watcher = firewall.watch().unwrap().unwrap();

        assert_eq!(adopt(&mut firewall, &sets("b"), &[], &live, now()).unwrap(), Adopted::default());
        let (a, b) = (nft("list set inet filter a"), nft("list set inet filter b"));
        assert!(b.contains("192.0.2.7 . tcp . 22 timeout 5m") && b.contains("siglatch: alice ssh"), "{b}");
        assert!(!b.contains("the boss") && !b.contains("192.0.2.66"), "{b}");
        assert!(a.contains("the boss") && !a.contains("siglatch:"), "{a}");
        assert!(nft("list set inet filter six").contains("2001:db8::7"));

        // Its watcher hears of the new one, and of the old one no more.
        nft("flush set inet filter a");
        assert_eq!(watcher.check().unwrap(), None);
        nft("flush set inet filter b");
        assert_eq!(watcher.check().unwrap(), Some(Change::Elements));
        assert_eq!(firewall.restore(&left(&live, since), now()).unwrap().grants, 1);
        firewall.revoke(&[live[0].key]).unwrap();
        assert!(!nft("list set inet filter b").contains("192.0.2.7"));
    });
}

#[test]
fn a_set_that_is_missing_is_named_and_the_grants_stay_where_they_are() {
    in_namespace(|| {
        operators_table();
        let (mut firewall, _) = Firewall::open(&sets("a"), &[], now()).unwrap();
        let live = [grant("192.0.2.7", "tcp/22", 300)];
        firewall.write(&live, now()).unwrap();
        let error = adopt(&mut firewall, &sets("c"), &[], &live, now()).unwrap_err();
        assert!(matches!(error, FirewallError::SetMissing { .. }), "{error}");
        // One that has no room: nothing of it is left there.
        nft("add set inet filter tiny { type ipv4_addr . inet_proto . inet_service; flags timeout; size 1; }");
        let many = [live[0].clone(), grant("192.0.2.8", "tcp/22", 300)];
        let since = Instant::now();
        firewall.write(&many, now()).unwrap();
        adopt(&mut firewall, &sets("tiny"), &[], &many, now()).unwrap_err();
        assert!(!nft("list set inet filter tiny").contains("192.0.2"), "{}", nft("list set inet filter tiny"));

        assert_eq!(firewall.restore(&left(&many, since), now()).unwrap(), Restored::default());
        // What it has room for can be moved there, and taken out of it when it is full.
        firewall.revoke(&[many[1].key]).unwrap();
        adopt(&mut firewall, &sets("tiny"), &[], &live, now()).unwrap();
        firewall.revoke(&[live[0].key]).unwrap();
        assert!(!nft("list set inet filter tiny").contains("192.0.2"), "{}", nft("list set inet filter tiny"));
        adopt(&mut firewall, &sets("a"), &[], &many, now()).unwrap();
        firewall.write(&[grant("192.0.2.7", "tcp/22", 900)], now()).unwrap();
        let a = nft("list set inet filter a");
        assert!(a.contains("192.0.2.7 . tcp . 22 timeout 15m") && a.contains("192.0.2.8"), "{a}");
    });
}

#[test]
fn a_set_that_has_gone_with_its_name_is_no_obstacle_and_what_has_no_set_is_named() {
    in_namespace(|| {
        operators_table();
        let (mut firewall, _) = Firewall::open(&sets("a"), &[], now()).unwrap();
        let live = [grant("192.0.2.7", "tcp/22", 300), grant("2001:db8::7", "tcp/22", 300)];
        firewall.write(&live, now()).unwrap();
        nft("delete set inet filter a");
        let Settings::Sets(named) = sets("b") else { unreachable!() };
        let v4_only = Settings::Sets(OperatorSets { v6: None, ..named });
        let adopted = adopt(&mut firewall, &v4_only, &[], &live, now()).unwrap();
        assert_eq!(adopted, Adopted { placeless: vec![key("2001:db8::7", "tcp/22")], risen: vec![] });
        assert!(!nft("list set inet filter six").contains("2001:db8::7"));
        assert!(nft("list set inet filter b").contains("192.0.2.7"));
        // What it takes over from now on stands where it should.
        let (_, found) = Firewall::open(&v4_only, &[], now()).unwrap();
        assert!(found.len() == 1 && found[0].ttl > Duration::from_secs(295), "{found:?}");
    });
}

fn table(priority: i32, protect: &[&str], doors: &[&str]) -> Settings {
    Settings::Table(OwnTable {
        priority,
        protect: protect.iter().map(|service| service.parse().unwrap()).collect(),
        protect_forward: doors.iter().map(|door| door.parse().unwrap()).collect(),
        ..OwnTable::default()
    })
}

fn sets(v4: &str) -> Settings {
    Settings::Sets(OperatorSets {
        family: "inet".to_owned(),
        table: "filter".to_owned(),
        v4: Some(v4.to_owned()),
        v6: Some("six".to_owned()),
        ..OperatorSets::default()
    })
}

fn operators_table() {
    nft("add table inet filter");
    for set in ["a", "b"] {
        nft(&format!("add set inet filter {set} {{ type ipv4_addr . inet_proto . inet_service; flags timeout; }}"));
    }
    nft("add set inet filter six { type ipv6_addr . inet_proto . inet_service; flags timeout; }");
}
