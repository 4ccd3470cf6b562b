//! Our own table in the hands of others: what they change is noticed and put right.

use std::time::Instant;

use siglatch_user::edge::firewall::{Change, FirewallError, Found, Restored};

use crate::namespace::{in_namespace, nft};
use crate::{assert_left, grant, key, left, now, open};

#[test]
fn a_flushed_ruleset_is_noticed_and_put_back() {
    in_namespace(|| {
        let mut firewall = open(&[62201]);
        let live = [grant("192.0.2.7", "tcp/22", 300), grant("2001:db8::7", "tcp/22", 300)];
        let since = Instant::now();
        firewall.write(&live, now()).unwrap();
        let before = without_times(&nft("list table inet siglatch"));
        let mut watcher = firewall.watch().unwrap().unwrap();
        assert_eq!(watcher.check().unwrap(), None);

        nft("flush ruleset");
        assert!(watcher.wait().is_ok());
        let restored = firewall.restore(&left(&live, since), now()).unwrap();
        assert_eq!(restored, Restored { skeleton: Found::Missing, grants: 2 });
        assert_eq!(without_times(&nft("list table inet siglatch")), before);
        assert_left("192.0.2.7", 295, 301);
        assert_eq!(firewall.restore(&left(&live, since), now()).unwrap(), Restored::default());
    });
}

#[test]
fn whatever_is_changed_in_the_table_is_put_right() {
    in_namespace(|| {
        let mut firewall = open(&[62201]);
        let live = [grant("192.0.2.7", "tcp/22", 300), grant("2001:db8::7", "tcp/22", 300)];
        let since = Instant::now();
        firewall.write(&live, now()).unwrap();
        let before = without_times(&nft("list table inet siglatch"));
        let mut watcher = firewall.watch().unwrap().unwrap();
        for (vandalism, skeleton, grants) in [
            ("delete table inet siglatch", Found::Missing, 2),
            ("flush table inet siglatch", Found::Changed, 0),
            ("flush chain inet siglatch protected", Found::Changed, 0),
            ("insert rule inet siglatch input accept", Found::Changed, 0),
            ("flush set inet siglatch grants_v4", Found::Whole, 1),
            ("delete element inet siglatch grants_v6 { 2001:db8::7 . tcp . 22 }", Found::Whole, 1),
            ("flush set inet siglatch protected", Found::Changed, 0),
            ("delete element inet siglatch knock_ports { 62201 }", Found::Changed, 0),
            ("add chain inet siglatch stray { type filter hook input priority -300; policy drop; }", Found::Changed, 0),
            (
                "add map inet siglatch jumps { type inet_service : verdict; elements = { 80 : jump protected }; }",
                Found::Changed,
                0,
            ),
            ("add table inet siglatch { flags dormant; }", Found::Changed, 2),
        ] {
            nft(vandalism);
            assert!(watcher.check().unwrap().is_some(), "{vandalism}");
            let restored = firewall.restore(&left(&live, since), now()).unwrap();
            assert_eq!(restored, Restored { skeleton, grants }, "{vandalism}");
            assert_eq!(without_times(&nft("list table inet siglatch")), before, "{vandalism}");
            watcher.check().unwrap();
        }
    });
}

#[test]
fn a_write_into_a_deleted_table_says_what_is_missing() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        nft("delete table inet siglatch");
        let wanted = grant("192.0.2.7", "tcp/22", 60);
        let error = firewall.write(std::slice::from_ref(&wanted), now()).unwrap_err();
        let FirewallError::NotWritten { failed, source } = error else { panic!("{error}") };
        assert_eq!(failed, [wanted.key]);
        assert!(matches!(*source, FirewallError::Gone { .. }), "{source}");
        firewall.restore(&[wanted], now()).unwrap();
        assert_left("192.0.2.7", 55, 61);
    });
}

#[test]
fn our_own_writes_and_other_tables_wake_no_watcher() {
    in_namespace(|| {
        let mut firewall = open(&[]);
        let mut watcher = firewall.watch().unwrap().unwrap();
        firewall.write(&[grant("192.0.2.7", "tcp/22", 60)], now()).unwrap();
        firewall.write(&[grant("192.0.2.7", "tcp/22", 90)], now()).unwrap();
        firewall.revoke(&[key("192.0.2.7", "tcp/22")]).unwrap();
        let source = |n: u32| format!("10.0.{}.{}", n / 256, n % 256);
        let burst: Vec<_> = (0..10_000).map(|n| grant(&source(n), "tcp/22", 60)).collect();
        firewall.write(&burst, now()).unwrap();
        nft("add table inet other");
        nft("add table ip siglatch");
        assert_eq!(watcher.check().unwrap(), None);
        nft("add element inet siglatch protected { tcp . 80 }");
        assert_eq!(watcher.check().unwrap(), Some(Change::Elements));
    });
}

#[test]
fn lost_notifications_count_as_a_change() {
    in_namespace(|| {
        let firewall = open(&[]);
        let mut watcher = firewall.watch().unwrap().unwrap();
        let comment = "x".repeat(100);
        for part in 0..10 {
            let element = |n| format!("10.{part}.{}.{} . tcp . 22 timeout 60s comment \"{comment}\"", n / 256, n % 256);
            let elements: Vec<_> = (0..500).map(element).collect();
            nft(&format!("add element inet siglatch grants_v4 {{ {} }}", elements.join(", ")));
        }
        assert_eq!(watcher.check().unwrap(), Some(Change::Unknown));
        assert_eq!(watcher.check().unwrap(), None);
    });
}

/// A listing without the times of its elements.
fn without_times(listing: &str) -> String {
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        while let Some(at) = words.iter().position(|word| *word == "timeout" || *word == "expires") {
            words.drain(at..words.len().min(at + 2));
        }
        words.join(" ")
    };
    listing.lines().map(line).collect::<Vec<_>>().join("\n")
}
