//! Whose connections are cut along with grants, by value.

use std::collections::{BTreeSet, HashSet};

use super::workshop::*;
use super::*;
use crate::policy::Service;

#[test]
fn what_ended_by_itself_is_cut_as_well_as_what_is_revoked() {
    let mut door = Door::of(workshop());
    assert_eq!(door.now_knock(WEB, HOME), admitted(WEB));
    door.pass_secs(3_600);
    assert_eq!(door.now_knock(WEB, ELSEWHERE), admitted(WEB));
    let gone = door.gate.revoke(&of_alice(), door.now);
    assert_eq!(gone.grants.len(), 1);
    let cut = door.gate.connections(&of_alice(), door.now);
    assert_eq!(keys(&cut), HashSet::from([key(HOME, "tcp/443"), key(ELSEWHERE, "tcp/443")]));
    assert_eq!((cut.shared, cut.lack), (0, Some(Lack::Started)));
    let at_home = Revocation { source: Some(address(HOME)), service: "tcp/443".parse().ok(), ..of_alice() };
    assert_eq!(keys(&door.gate.connections(&at_home, door.now)), HashSet::from([key(HOME, "tcp/443")]));
    assert!(door.gate.knows_ended(&at_home, door.now));
    let of_bob = Revocation { user: Some("bob".into()), ..Revocation::default() };
    assert!(keys(&door.gate.connections(&of_bob, door.now)).is_empty() && !door.gate.knows_ended(&of_bob, door.now));
    door.pass(past::Past::KEPT);
    let cut = door.gate.connections(&of_alice(), door.now);
    assert_eq!((keys(&cut).len(), cut.lack), (0, None), "both are forgotten, and there was nothing else");
}

#[test]
fn however_a_grant_has_ended_its_connections_can_be_cut() {
    let mut door = Door::of(workshop());
    // By a knock.
    assert_eq!(door.now_knock(WEB, HOME), admitted(WEB));
    assert_eq!(door.now_knock(CLOSE, HOME), admitted(CLOSE));
    // By other rules: alice is gone.
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    let _ = door.said();
    let rules = workshop_with(|users, _, _| users.retain(|user| user.name != "alice"));
    let _ = door.gate.adopt(Arc::new(rules), 4, 1_000, door.now);
    // While the daemon was away, or in the way of a firewall that has no place for it.
    let grant = Grant { key: key(ELSEWHERE, "tcp/22"), ttl: Duration::from_secs(9), label: "alice ssh".into() };
    door.gate.end_debts_of(&[grant], door.now);
    let cut = door.gate.connections(&of_alice(), door.now);
    assert_eq!(keys(&cut), HashSet::from([key(HOME, "tcp/443"), key(HOME, "tcp/22"), key(ELSEWHERE, "tcp/22")]));
    assert!(door.gate.knows_ended(&of_alice(), door.now), "though nobody is called that any more");
}

#[test]
fn behind_one_address_everybody_who_was_let_in_is_known_and_whoever_still_is() {
    let mut door = Door::of(workshop());
    assert_eq!(door.now_knock(SSH, HOME), admitted(SSH));
    door.pass_secs(10);
    // It is bob's from here on.
    assert_eq!(door.bobs_knock(SSH, HOME), Said::Admitted(BOB, SSH, Outcome::Done));
    let _ = door.said();
    assert_eq!(door.gate.revoke(&of_alice(), door.now).grants.len(), 0);
    let cut = door.gate.connections(&of_alice(), door.now);
    assert_eq!((keys(&cut), cut.shared), (HashSet::from([key(HOME, "tcp/22")]), 1));
    // And stays so if alice asks for less.
    let less = door.knock(SSH, b"ttl=1s");
    assert_eq!(door.clear(less, HOME), admitted(SSH));
    let _ = door.said();
    assert_eq!(door.gate.connections(&of_alice(), door.now).shared, 1);
    assert_eq!(
        door.gate.revoke(&Revocation { user: Some("bob".into()), ..Revocation::default() }, door.now).grants.len(),
        1
    );
    assert_eq!(door.gate.connections(&of_alice(), door.now).shared, 0);
}

#[test]
fn everybody_is_whoever_has_something_to_do_with_what_is_closed_but_this_host() {
    let mut door = Door::of(workshop());
    let _ = door.does(WEB);
    door.pass_secs(3_600);
    // Nobody can open tcp/443 any more, and it is closed no longer.
    let rules = workshop_with(|_, actions, _| actions.retain(|action| action.name != "web" && action.name != "close"));
    let _ = door.gate.adopt(Arc::new(rules), 4, 1_000, door.now);
    let behind = Some(address("10.0.0.5"));
    let cut = door.gate.everybody([(None, service("tcp/80")), (behind, service("tcp/5432"))], door.now);
    let meant = |source: &str, destination, to: &str| {
        let key = GrantKey { destination, ..key(source, to) };
        cut.whose.means(&key, || source == "10.0.0.1")
    };
    for to in ["tcp/22", "tcp/443", "tcp/80"] {
        assert!(meant(ELSEWHERE, None, to) && !meant("10.0.0.1", None, to), "{to}");
        assert!(!meant(ELSEWHERE, behind, to));
    }
    assert!(meant(ELSEWHERE, behind, "tcp/5432") && !meant(ELSEWHERE, None, "tcp/5432"));
    assert!(!meant(ELSEWHERE, Some(address("10.0.0.6")), "tcp/5432") && !meant(ELSEWHERE, None, "tcp/25"));
    assert_eq!(cut.whose.here(), BTreeSet::from(["tcp/22", "tcp/443", "tcp/80"].map(service)));
    assert!(!cut.whose.is_nobody());
}

#[test]
fn who_only_tells_cuts_nobody() {
    let mut policy = workshop();
    policy.make_dry();
    let mut door = Door::of(policy);
    let cut = door.gate.everybody([(None, service("tcp/80"))], door.now);
    assert!(cut.whose.is_nobody());
}

fn keys(cut: &Cut) -> HashSet<GrantKey> {
    match &cut.whose {
        Whose::Of(keys) => keys.clone(),
        Whose::Everybody(_) => panic!("{cut:?}"),
    }
}

fn key(source: &str, to: &str) -> GrantKey {
    GrantKey { source: address(source), destination: None, service: service(to) }
}

fn address(text: &str) -> Address {
    text.parse::<IpAddr>().unwrap().into()
}

fn service(text: &str) -> Service {
    text.parse().unwrap()
}

fn of_alice() -> Revocation {
    Revocation { user: Some("alice".into()), ..Revocation::default() }
}
