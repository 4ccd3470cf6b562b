//! The operator's own table: grants go into its sets, and nothing else is touched.

use std::time::Instant;

use siglatch_user::config::{Firewall as Settings, OperatorSets};
use siglatch_user::edge::firewall::{Change, Firewall, FirewallError, Found, Restored};

use crate::namespace::{in_namespace, nft, shell};
use crate::{grant, key, left, now};

#[test]
fn grants_go_into_the_operators_sets_and_nothing_else_changes() {
    in_namespace(|| {
        operators_table();
        nft("add element inet filter knockers { 192.0.2.99 . tcp . 22 timeout 1h comment \"the boss\" }");
        let before = nft("-t list ruleset");
        let (mut firewall, found) = Firewall::open(&operator(), &[62201], now()).unwrap();
        assert_eq!(found, []);
        let live = [grant("192.0.2.7", "tcp/22", 300), grant("2001:db8::7", "tcp/22", 300)];
        let since = Instant::now();
        firewall.write(&live, now()).unwrap();
        assert_eq!(nft("-t list ruleset"), before);
        assert!(nft("list set inet filter knockers").contains("192.0.2.7 . tcp . 22 timeout 5m"));
        assert!(nft("list set inet filter knockers").contains("comment \"siglatch: alice ssh\""));

        let mut watcher = firewall.watch().unwrap().unwrap();
        nft("add element inet filter knockers { 192.0.2.98 . tcp . 22 timeout 1h }");
        nft("add rule inet filter input counter");
        assert_eq!(watcher.check().unwrap(), None);
        nft("flush set inet filter knockers");
        assert_eq!(watcher.check().unwrap(), Some(Change::Elements));
        assert_eq!(
            firewall.restore(&left(&live, since), now()).unwrap(),
            Restored { skeleton: Found::Whole, grants: 1 }
        );

        let (_again, mut found) = Firewall::open(&operator(), &[], now()).unwrap();
        found.sort_unstable_by_key(|grant| grant.key);
        assert_eq!(found.iter().map(|grant| grant.key).collect::<Vec<_>>(), live.each_ref().map(|grant| grant.key));
        assert!(found.iter().all(|grant| grant.label == "alice ssh"));
    });
}

#[test]
fn a_missing_set_of_the_operators_is_named_with_its_cure() {
    in_namespace(|| {
        let add = "nft add set inet filter knockers '{ type ipv4_addr . inet_proto . inet_service; flags timeout; }'";
        let refused = |sets: &Settings| Firewall::open(sets, &[], now()).err().unwrap().to_string();
        let no_table = refused(&operator());
        assert!(no_table.ends_with(&format!("nft add table inet filter && {add}")), "{no_table}");
        shell(no_table.split_once("make it: ").unwrap().1);
        nft("add set inet filter knockers6 { type ipv6_addr . inet_proto . inet_service; }");
        let unfit = refused(&operator());
        assert!(unfit.contains("no `flags timeout`"), "{unfit}");
        shell(unfit.split_once("then: ").unwrap().1);
        let (mut firewall, _) = Firewall::open(&operator(), &[], now()).unwrap();

        nft("delete set inet filter knockers");
        let live = grant("192.0.2.7", "tcp/22", 60);
        let FirewallError::NotWritten { source, .. } = firewall.write(std::slice::from_ref(&live), now()).unwrap_err()
        else {
            panic!("another error")
        };
        assert!(source.to_string().ends_with(add), "{source}");
        let gone = firewall.restore(std::slice::from_ref(&live), now()).unwrap_err().to_string();
        assert!(gone.ends_with(add), "{gone}");
        shell(gone.split_once("make it: ").unwrap().1);
        assert_eq!(firewall.restore(&[live], now()).unwrap().grants, 1);
    });
}

#[test]
fn a_set_of_the_wrong_type_is_named_with_its_cure() {
    in_namespace(|| {
        operators_table();
        nft("delete set inet filter knockers");
        nft("add set inet filter knockers { type ipv4_addr; flags timeout; }");
        let error = Firewall::open(&operator(), &[], now()).err().unwrap();
        assert!(matches!(error, FirewallError::SetUnfit { .. }), "{error}");
        shell(error.to_string().split_once("then: ").unwrap().1);
        assert!(Firewall::open(&operator(), &[], now()).is_ok());
    });
}

#[test]
fn a_version_without_a_set_fails_alone() {
    in_namespace(|| {
        operators_table();
        let v4_only = Settings::Sets(OperatorSets {
            family: "inet".to_owned(),
            table: "filter".to_owned(),
            v4: Some("knockers".to_owned()),
            ..OperatorSets::default()
        });
        let (mut firewall, _) = Firewall::open(&v4_only, &[], now()).unwrap();
        let grants = [grant("2001:db8::7", "tcp/22", 60), grant("192.0.2.7", "tcp/22", 60)];
        let error = firewall.write(&grants, now()).unwrap_err();
        let FirewallError::NotWritten { failed, source } = error else { panic!("{error}") };
        assert_eq!(failed, [key("2001:db8::7", "tcp/22")]);
        assert!(matches!(*source, FirewallError::NoSet { key: "set_v6", .. }), "{source}");
        assert!(nft("list set inet filter knockers").contains("192.0.2.7"));
    });
}

fn operator() -> Settings {
    Settings::Sets(OperatorSets {
        family: "inet".to_owned(),
        table: "filter".to_owned(),
        v4: Some("knockers".to_owned()),
        v6: Some("knockers6".to_owned()),
        ..OperatorSets::default()
    })
}

fn operators_table() {
    nft("add table inet filter");
    nft("add set inet filter knockers { type ipv4_addr . inet_proto . inet_service; flags timeout; }");
    nft("add set inet filter knockers6 { type ipv6_addr . inet_proto . inet_service; flags timeout; }");
    nft("add chain inet filter input { type filter hook input priority 0; policy accept; }");
}
